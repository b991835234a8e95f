"""Methods beside each other: what a gradient is off by, what it holds and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .memory import peak_bytes
from .problem import Gradient

__all__ = ["Comparison", "Row", "compare"]


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        name: what it is called.
        error: ``|dL/dx_T - truth| / |truth|``, Euclidean.
        parameter_error: the same of all parameters together; nan where there are none.
        drift: ``|x_T found again - x_T|``, largest entry; nan where states are stored.
        bytes: held at the peak, see :func:`~diffnum.gradients.peak_bytes`.
        evaluations, vjps: calls of the model, and products among them.
    """

    name: str
    error: float
    parameter_error: float
    drift: float
    bytes: int
    evaluations: int
    vjps: int


@dataclass(frozen=True)
class Comparison:
    """Rows in the order given; print it for a table."""

    rows: tuple[Row, ...]

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def __str__(self) -> str:
        width = max(6, *(len(row.name) for row in self.rows))
        columns = f"{'error':>9}  {'of theta':>9}  {'drift':>9}  {'bytes':>10}  {'calls':>6}  {'VJPs':>6}"
        head = f"{'method':<{width}}  {columns}"
        rows = [
            f"{r.name:<{width}}  {r.error:9.1e}  {r.parameter_error:9.1e}  {r.drift:9.1e}  {r.bytes:10d}  "
            f"{r.evaluations:6d}  {r.vjps:6d}"
            for r in self.rows
        ]
        return "\n".join([head, *rows])


def compare(
    methods: Mapping[str, Callable[[], Gradient]], x: Any, truth: Any, parameters: Iterable[Any] = ()
) -> Comparison:
    """Run each method and hold its gradient against the truth.

    Args:
        methods: name to a function without arguments, such as ``lambda: dn.gradients.backprop(plan, model, x, loss)``.
        x: ``x_T``.
        truth: ``dL/dx_T``; for what methods are exact for, the discrete gradient or that of the flow.
        parameters: true gradients of the parameters, in order.
    """
    import torch

    wanted = [torch.as_tensor(p) for p in parameters]
    rows: list[Row] = []
    for name, run in methods.items():
        found, held = peak_bytes(run)
        drift = torch.nan if found.returned is None else float((found.returned - x).abs().max())
        rows.append(
            Row(
                name,
                _apart([found.x], [torch.as_tensor(truth)]),
                _apart(found.parameters, wanted) if wanted else torch.nan,
                drift,
                held,
                found.evaluations,
                found.vjps,
            )
        )
    return Comparison(tuple(rows))


def _apart(found: Iterable[Any], wanted: Iterable[Any]) -> float:
    pairs = list(zip(found, wanted, strict=True))
    off = sum(float(((a.double() - b.double()) ** 2).sum()) for a, b in pairs)
    size = sum(float((b.double() ** 2).sum()) for _, b in pairs)
    return (off / size) ** 0.5
