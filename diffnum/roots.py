"""The root condition: whether the error of one step stays bounded over many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .plan import Plan, interpret
from .series import Series

__all__ = ["reads_last_state", "root_condition", "state_rows"]


def state_rows(plan: Plan, number: Callable[[Any], Any] | None = None) -> list[dict[int, Any]]:
    """Every state as a combination of earlier ones where ``D = 0``, in ``u = x / sigma`` as ``h`` tends to 0.

    Args:
        number: of the leading coefficient of a series, default a float.

    Returns:
        One row a step, from how many states back, 0 for the one that the step begins with, to the coefficient; terms
        that vanish are left out.
    """
    kind = number or float
    place = {r: i for i, r in enumerate(plan.states)}
    unit: dict[int, Mapping[int, Any]] = {r: {r: 1} for r in plan.states}
    scale = [_head(level.sigma) for level in plan.levels]
    rows: list[dict[int, Any]] = []

    def combine(terms: Sequence[tuple[Any, Mapping[int, Any]]]) -> Mapping[int, Any]:
        out: dict[int, Any] = {}
        for c, value in terms:
            for r, a in value.items():
                out[r] = out.get(r, 0) + kind(_head(c)) * a
        return out

    def visit(r: int, line: Any, value: Mapping[int, Any]) -> Mapping[int, Any]:
        if r in unit and line is not None:
            i = place[r]
            whole = {i - 1 - place[q]: a * kind(scale[place[q]] / scale[i]) for q, a in value.items()}
            rows.append({back: a for back, a in whole.items() if a != 0})
        return unit.get(r, value)

    interpret(plan, unit[0], combine, lambda x, level, quantity: {}, lambda line: {}, visit)
    return rows


def reads_last_state(plan: Plan) -> bool:
    """Whether a state reads no other state than the last one, at every step: on random steps, a one-step method as far
    as zero-stability goes, so that it is stable for every step ratio or for none."""
    return all(set(row) <= {0} for row in state_rows(plan))


def root_condition(plan: Plan, first: int | None = None, period: int = 1, bound: float = 1e4) -> bool:
    """Zero-stability: with ``D = 0`` a state is a bounded combination of earlier ones.

    Every state is replaced by its own unit; if state ``i + 1`` reads only state ``i`` (in ``u = x / sigma``,
    with coefficient 1) the method is zero-stable for every step ratio. Otherwise the powers of the product of
    companion matrices along the plan's own step ratios, up to the millionth, are bounded by ``bound``: a spurious
    root beyond the unit circle and a double root on it are not. A step of the start-up, or the last one, may drop
    what the others carry on, and a product with it would be bounded whatever they do: so they are left out.

    Args:
        plan: a plan of so many steps that some are left.
        first: the first step after the start-up; default the depth of the plan.
        period: how many steps the plan's ratios take to repeat; as many whole periods as there are enter.
        bound: of every entry.

    Raises:
        ValueError: no whole period between the start-up and the last step.
    """
    import numpy as np

    rows = state_rows(plan)
    if all(set(row) <= {0} for row in rows):
        return all(abs(sum(row.values()) - 1) < 1e-9 for row in rows)
    first = plan.depth if first is None else first
    usual = rows[first:-1]
    usual = usual[len(usual) % period :]
    if not usual:
        raise ValueError(f"{len(rows)} steps hold no period of {period} from step {first} to the last: take more")
    width = 1 + max((back for row in usual for back in row), default=0)
    product = np.eye(width)
    for row in usual:
        companion = np.eye(width, k=-1)
        companion[0] = [row.get(back, 0.0) for back in range(width)]
        product = companion @ product
    for _ in range(20):
        if not np.abs(product).max() < bound:
            return False
        product = product @ product
    return bool(np.abs(product).max() < bound)


def _head(c: Any) -> Any:
    return c[0] if isinstance(c, Series) else c
