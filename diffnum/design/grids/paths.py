"""The shortest path of exactly ``n`` steps, by dynamic programming: what step-size searches reduce to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Path", "shortest"]


@dataclass(frozen=True)
class Path:
    """Nodes from the first to the last, and what the path costs."""

    nodes: tuple[int, ...]
    cost: float


def shortest(costs: np.ndarray, n: int, factor: float = 1.0) -> Path:
    """The path of ``n`` steps from the first to the last node with the least cost (Bellman 1957),

        V_1(i) = c(i, N),    V_k(i) = min_j c(i, j) + factor V_{k-1}(j).

    With ``factor = 1`` it is the sum over steps; a larger one counts later steps more, ``factor^k`` for step ``k``.
    ``n (N + 1)^2`` operations. Among equal paths it is the one whose earlier nodes come first.

    Args:
        costs: ``(N + 1, N + 1)``, of a step from ``i`` to ``j``; ``inf`` where there is none. What lies below the
            diagonal is not read; the diagonal is, where staying is allowed.
        n: number of steps, >= 1.
        factor: of what follows, > 0.

    Raises:
        ValueError: costs that are no square matrix or hold NaN; no path of ``n`` steps.
    """
    costs = np.asarray(costs, dtype=np.float64)
    if costs.ndim != 2 or costs.shape[0] != costs.shape[1] or len(costs) < 2 or np.isnan(costs).any():
        raise ValueError(f"costs of shape {costs.shape} are no table of steps: give a square matrix without NaN")
    if not (isinstance(n, int) and n >= 1):
        raise ValueError(f"n = {n!r} is no number of steps: use an integer >= 1")
    if not factor > 0:
        raise ValueError(f"factor = {factor!r} does not weigh what follows: use a number > 0")
    upper = np.where(np.tri(len(costs), k=-1, dtype=bool), np.inf, costs)
    value = upper[:, -1]
    choices = []
    for _ in range(n - 1):
        total = upper + factor * value
        choice = total.argmin(axis=1)
        choices.append(choice)
        value = total[np.arange(len(total)), choice]
    if not np.isfinite(value[0]):
        raise ValueError(f"no path of {n} steps through {len(costs)} levels: use at most {len(costs) - 1} steps")
    nodes = [0]
    for choice in reversed(choices):
        nodes.append(int(choice[nodes[-1]]))
    return Path((*nodes, len(costs) - 1), float(value[0]))
