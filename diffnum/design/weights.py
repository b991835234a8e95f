"""What each step of a plan takes from each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..plan import Level, Plan, interpret

__all__ = ["step_weights"]


def step_weights(plan: Plan) -> np.ndarray:
    """Weights ``w`` of a plan as a multistep method,

        x_{i+1} = r_i x_i + (alpha_{i+1} - r_i alpha_i) sum_j w_ij D_j,

    ``r_i`` the ratio of what the states hold of ``x_0``, shape ``(steps, nfe)``. Rows sum to one for every method that
    is exact for a constant ``D``; where it is so for a constant ``eps`` too, ``r_i = sigma_{i+1} / sigma_i``.

    Raises:
        ValueError: a plan of another prediction than data, or one that draws noise.
    """
    if plan.prediction != "data" or plan.draws:
        raise ValueError(
            f"{plan.solver} with {plan.prediction} prediction: weights are read off data plans without noise"
        )
    size = plan.nfe + 1
    unit = iter(np.eye(size)[1:])
    states: list[np.ndarray] = []
    at = {r: i for i, r in enumerate(plan.states)}

    def lin(terms: Sequence[tuple[Any, np.ndarray]]) -> np.ndarray:
        return sum((float(c) * row for c, row in terms), np.zeros(size))

    def evaluate(row: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        return next(unit)

    def visit(r: int, line: Any, row: np.ndarray) -> np.ndarray:
        if r in at:
            states.append(row)
        return row

    interpret(plan, np.eye(size)[0], lin, evaluate, lambda line: np.zeros(size), visit)
    found = []
    for (x, y), (s, t) in zip(pairwise(states), pairwise(plan.levels), strict=True):
        r = y[0] / x[0] if x[0] else t.sigma / s.sigma
        found.append((y - r * x)[1:] / (t.alpha - r * s.alpha))
    return np.array(found)
