"""The normal form of a sampler: one lower-triangular matrix by which samplers are compared.

Rows are every model input, then the output, which is the sample and not what goes along with it; columns are ``x_T``,
the evaluations, the draws. In canonical form the evaluations are denoiser outputs ``D``, inputs and ``x_T`` are divided
by ``alpha`` (by ``sigma`` at a pure-noise level), duplicate evaluations are one column, and evaluations are ordered by
dependence, then by level, then by their inputs. Two samplers are one method on a grid exactly when these matrices
agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level, Plan, interpret
from ..prediction import to_native

__all__ = ["Tableau", "canonical", "distance", "tableau"]


@dataclass(frozen=True)
class Tableau:
    """A canonical tableau.

    Attributes:
        matrix: ``(evaluations + 1, 1 + evaluations + draws)`` float64.
        lams: log-SNR of each evaluation.
        evaluations, draws: number of distinct columns of each kind.
    """

    matrix: np.ndarray
    lams: tuple[float, ...]
    evaluations: int
    draws: int


def tableau(plan: Plan) -> np.ndarray:
    """The canonical tableau as a matrix: rows every model input, then the output; columns ``x_T``, evaluations, draws.

    Use :func:`distance` to compare two plans. See :func:`canonical`.
    """
    return canonical(plan).matrix


def canonical(plan: Plan, tol: float = 1e-13) -> Tableau:
    """The canonical tableau of ``plan``; rows that agree to ``tol`` of their maximum at one level are one evaluation.

    Raises:
        ValueError: the plan holds coefficients that are not numbers.
    """
    m, k = plan.nfe, len(plan.draws)
    width = 1 + m + k
    rows: list[np.ndarray] = []
    levels: list[Level] = []

    def unit(i: int) -> np.ndarray:
        return np.eye(1, width, i)[0]

    def lin(terms: Any) -> np.ndarray:
        return sum((_real(c) * value for c, value in terms), np.zeros(width))

    def evaluate(value: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        a, b = to_native(level, quantity)
        rows.append(value)
        levels.append(level)
        return _real(a) * value + _real(b) * unit(len(rows))

    draws = iter(range(1 + m, width))
    out = interpret(plan, unit(0), lin, evaluate, lambda line: unit(next(draws)))[0]
    scaled = [row / _scale(level) for row, level in zip(rows, levels, strict=True)]
    # an end policy that denoises returns data, at alpha = 1
    scaled.append(out / (1.0 if plan.end in ("denoise", "half") else _scale(plan.stop)))
    matrix = np.array(scaled).reshape(m + 1, width)
    matrix[:, 0] *= _scale(plan.start)
    return _ordered(*_merged(matrix, levels, tol), k)


def _real(c: Any) -> float:
    try:
        return float(c)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the tableau needs numbers, got {c!r}: use the moments or the symbolic reading") from error


def _scale(level: Level) -> float:
    return _real(level.sigma if level.pure_noise else level.alpha)


def _merged(matrix: np.ndarray, levels: list[Level], tol: float) -> tuple[np.ndarray, list[Level]]:
    i = 0
    while i < len(levels):
        twin = next((j for j in range(i) if _same_row(matrix, levels, i, j, tol)), None)
        if twin is None:
            i += 1
            continue
        matrix[:, 1 + twin] += matrix[:, 1 + i]
        matrix = np.delete(np.delete(matrix, i, axis=0), 1 + i, axis=1)
        levels = levels[:i] + levels[i + 1 :]
    return matrix, levels


def _same_row(matrix: np.ndarray, levels: list[Level], i: int, j: int, tol: float) -> bool:
    one, two = levels[i].lam, levels[j].lam
    near = one == two or abs(one - two) <= tol * max(1.0, abs(one))
    return near and bool(np.abs(matrix[i] - matrix[j]).max() <= tol * np.abs(matrix[j]).max())


def _ordered(matrix: np.ndarray, levels: list[Level], draws: int) -> Tableau:
    m = len(levels)
    order: list[int] = []
    reads = matrix[:m, 1 : 1 + m] != 0
    missing, lams = reads.sum(axis=1), [level.lam for level in levels]
    left = set(range(m))
    while left:
        ready = [i for i in left if not missing[i]]
        lowest = min([lams[i] for i in ready])
        ready = [i for i in ready if lams[i] == lowest]
        # at one level what the inputs are made of decides, not the author's order
        known = [0, *(1 + j for j in order), *range(1 + m, matrix.shape[1])]
        place = min(ready, key=lambda i: (*matrix[i, known].round(9), i)) if len(ready) > 1 else ready[0]
        order.append(place)
        left.remove(place)
        missing -= reads[:, place]
    rows = [*order, m]
    columns = [0, *(1 + i for i in order), *range(1 + m, 1 + m + draws)]
    lams = tuple(float(levels[i].lam) for i in order)
    return Tableau(matrix[np.ix_(rows, columns)], lams, m, draws)


def distance(one: Plan | Tableau, two: Plan | Tableau) -> float:
    """Largest difference of two canonical tableaus over the row's maximum; ``inf`` for different shapes or levels."""
    a, b = (plan if isinstance(plan, Tableau) else canonical(plan) for plan in (one, two))
    if a.matrix.shape != b.matrix.shape or not np.allclose(a.lams, b.lams, rtol=1e-10, atol=1e-10):
        return float("inf")
    scale = np.maximum(np.abs(a.matrix).max(axis=1), np.abs(b.matrix).max(axis=1))
    return float((np.abs(a.matrix - b.matrix).max(axis=1) / scale).max())
