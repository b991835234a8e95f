"""The root condition: whether the error of one step stays bounded over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .plan import Plan, interpret
from .series import Series

__all__ = ["root_condition"]


def root_condition(plan: Plan, bound: float = 1e4) -> bool:
    """Zero-stability: with ``D = 0`` a state is a bounded combination of earlier ones.

    Every state is replaced by its own unit; if state ``i + 1`` reads only state ``i`` (in ``u = x / sigma``,
    with coefficient 1) the method is zero-stable for every step ratio. Otherwise the powers of the product of
    companion matrices along the plan's own step ratios, up to the millionth, are bounded by ``bound``: a spurious
    root beyond the unit circle and a double root on it are not.
    """
    import numpy as np

    unit = {r: {r: 1.0} for r in plan.states}
    scale = {r: _head(level.sigma) for r, level in zip(plan.states, plan.levels, strict=True)}
    rows: list[dict[int, float]] = []

    def combine(terms: Sequence[tuple[Any, dict[int, float]]]) -> dict[int, float]:
        out: dict[int, float] = {}
        for c, value in terms:
            for r, a in value.items():
                out[r] = out.get(r, 0.0) + _head(c) * a
        return out

    def visit(r: int, line: Any, value: dict[int, float]) -> dict[int, float]:
        if r in unit and line is not None:
            rows.append({q: a * scale[q] / scale[r] for q, a in value.items() if a})
        return unit.get(r, value)

    interpret(plan, unit[0], combine, lambda x, level, quantity: {}, lambda line: {}, visit)
    width = max(plan.depth + 1, 1)
    if all(set(row) <= {plan.states[i]} for i, row in enumerate(rows)):
        return all(abs(sum(row.values()) - 1) < 1e-9 for row in rows)
    product = np.eye(width)
    for i, row in list(enumerate(rows))[width - 1 :]:
        companion = np.eye(width, k=-1)
        companion[0] = [row.get(plan.states[i - j], 0.0) for j in range(width)]
        product = companion @ product
    for _ in range(20):
        if not np.abs(product).max() < bound:
            return False
        product = product @ product
    return bool(np.abs(product).max() < bound)


def _head(c: Any) -> float:
    return float(c[0]) if isinstance(c, Series) else float(c)
