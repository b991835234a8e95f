"""The best grid there is, with a proof: global optima for one-step samplers on a Gaussian.

A one-step sampler takes direction ``k`` of a centred Gaussian from level ``i`` to ``j`` by a factor, which is
``exp(l_ijk)`` times the exact one. Over a path the logarithms add up, ``L_k = sum l_ijk``, and the error is

    W2^2 = sum_k v_k f(L_k),  f = (exp(L) - 1)^2,        KL = sum_k f(L_k),  f = (exp(2 L) - 1 - 2 L) / 2,

with ``v`` the wanted variances. With a convex minorant ``g`` of ``f`` any tangent bounds the error of *every* path from
below by an additive cost,

    sum_k v_k f(L_k) >= sum_k v_k [g(z_k) + g'(z_k) (L_k - z_k)],

whose least value over all paths dynamic programming gives exactly. The best tangent point ``z`` is found by the
conditional gradient method (Bertsekas 2016), whose steps are the paths that dynamic programming returns; where a gap
stays, levels are decided one by one (branch and bound). With one variance and steps that all err to one side there is
no gap: a single path is best for all tangents.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...grid import Grid, through
from ...plan import Level
from ...process import Process
from ...read.moments import affine
from ...trace import Solver, compile
from .angles import angle, shares
from .bounding import Measure, Search, kl_measure, w2_measure
from .window import Window, as_spectrum

__all__ = ["Certified", "certified_kl", "certified_w2", "lower_bound_kl", "lower_bound_w2", "step_factors"]

Sampler = Solver | Callable[..., None]


@dataclass(frozen=True)
class Certified:
    """A grid, its error and what no grid from the same candidates can be below.

    Attributes:
        grid: the best found.
        value: its error.
        bound: a lower bound of every error.
        searched: number of subproblems that were bounded.
    """

    grid: Grid
    value: float
    bound: float
    searched: int

    @property
    def gap(self) -> float:
        """``1 - bound / value``: 0 where the grid is proved to be the best, up to rounding."""
        return 0.0 if self.value == 0 else max(0.0, 1 - self.bound / self.value)


def certified_w2(
    sampler: Sampler, candidates: Grid, n: int, spectrum: ArrayLike, gap: float = 1e-6, subproblems: int = 400
) -> Certified:
    """The ``n`` steps through levels of ``candidates`` with the least exact W2 error, and the proof as a number.

    Args:
        sampler: a deterministic one-step sampler (DDIM, Euler, Heun, ...).
        candidates: the levels to choose from, with the ends and the end policy of the answer; 30 to 300.
        n: number of steps.
        spectrum: variances of the centred Gaussian, > 0.
        gap: where the search stops, ``1 - bound / value``.
        subproblems: where it stops at the latest.

    Raises:
        ValueError: more steps than candidates allow; a sampler that draws noise or looks back.
    """
    c = as_spectrum(spectrum)
    search = Search(step_factors(sampler, candidates, c), _wanted(candidates, c) ** 2, w2_measure(), n)
    return _certified(search, candidates, gap, subproblems, math.sqrt)


def certified_kl(
    sampler: Sampler, candidates: Grid, n: int, spectrum: ArrayLike, gap: float = 1e-6, subproblems: int = 400
) -> Certified:
    """The same for ``KL(output || wanted)``; see :func:`certified_w2`."""
    c = as_spectrum(spectrum)
    search = Search(step_factors(sampler, candidates, c), np.ones_like(c), kl_measure(), n)
    return _certified(search, candidates, gap, subproblems, float)


def lower_bound_w2(
    process: Process,
    n: int,
    spectrum: ArrayLike,
    start: Level | float | None = None,
    stop: Level | float | None = None,
    end: str = "stop",
    cells: int = 256,
) -> float:
    """What the W2 error of ``n`` DDIM steps cannot be below, wherever their levels lie.

    The line of log-SNR is cut into cells of equal shares of the tangent law. DDIM's error grows with every widening of
    a step, so a step from a cell to another costs at least what one from the later end of the first to the earlier end
    of the second does, and dynamic programming over cells bounds all grids. It falls short of the optimum by about
    ``2 n / cells``, relatively.

    Args:
        process, n, start, stop, end: see :func:`diffnum.grid.uniform`; ``end`` is ``"stop"`` or ``"zero"``.
        spectrum: variances of the centred Gaussian, > 0.
        cells: number of cells; the time is proportional to its square.
    """
    c = as_spectrum(spectrum)
    window = _bounded(process, n, start, stop, end)
    return math.sqrt(_bound(window, c, window.last.alpha**2 * c + window.last.sigma**2, w2_measure(), cells))


def lower_bound_kl(
    process: Process,
    n: int,
    spectrum: ArrayLike,
    start: Level | float | None = None,
    stop: Level | float | None = None,
    end: str = "stop",
    cells: int = 256,
) -> float:
    """The same for ``KL(output || wanted)``; see :func:`lower_bound_w2`."""
    c = as_spectrum(spectrum)
    window = _bounded(process, n, start, stop, end)
    return _bound(window, c, np.ones_like(c), kl_measure(), cells)


def step_factors(sampler: Sampler, candidates: Grid, spectrum: ArrayLike) -> np.ndarray:
    """Logarithms ``l_ijk`` of a step's factor over the exact one, ``(N + 1, N + 1, d)``; ``-inf`` for no step.

    Raises:
        ValueError: a sampler that draws noise, looks back, or turns a direction round in some step.
    """
    c = as_spectrum(spectrum)
    levels, process = candidates.levels, candidates.process
    _check_one_step(sampler, candidates)
    deviations = [np.sqrt(level.alpha**2 * c + level.sigma**2) for level in levels[:-1]] + [_wanted(candidates, c)]
    size = len(levels)
    logs = np.full((size, size, len(c)), -np.inf)
    for i, j in itertools.combinations(range(size), 2):
        end = candidates.end if j == size - 1 else "stop"
        form = affine(compile(sampler, through(process, [levels[i], levels[j]], end)), np.zeros_like(c), c)
        factors = form.rows[0] * deviations[i] / deviations[j]
        # a step that turns a direction round errs by more than one that loses it: no optimum has it
        with np.errstate(divide="ignore", invalid="ignore"):
            logs[i, j] = np.where((factors > 0).all(), np.log(factors), -np.inf)
    return logs


def _check_one_step(sampler: Sampler, candidates: Grid) -> None:
    levels = candidates.levels
    if len(levels) < 3:
        raise ValueError(f"{len(levels)} candidates leave nothing to choose: give at least three levels")
    plan = compile(sampler, through(candidates.process, [levels[0], levels[1], levels[-1]], candidates.end))
    if plan.draws or plan.depth:
        trouble = "draws noise" if plan.draws else "looks back"
        raise ValueError(f"{plan.solver} {trouble}, so its error is no sum over steps: use spectral_w2 or evolve")


def _wanted(candidates: Grid, c: np.ndarray) -> np.ndarray:
    last = candidates.levels[-1]
    return np.sqrt(c) if candidates.end in ("denoise", "half") else np.sqrt(last.alpha**2 * c + last.sigma**2)


def _bounded(process: Process, n: int, start: object, stop: object, end: str) -> Window:
    if end not in ("stop", "zero"):
        raise ValueError(
            f"end = {end!r} adds a map after the last step, which this bound does not know: use 'stop' or 'zero'"
        )
    return Window.of(process, n, start, stop, end)


def _bound(window: Window, c: np.ndarray, weights: np.ndarray, measure: Measure, cells: int) -> float:
    """The bound over cells, among grids that are better than the law of many steps is with ``n``."""
    known = _angles(window, c, shares(window, c, weights, window.n))
    ceiling = float(weights @ measure.error(np.log(np.cos(np.diff(known, axis=0))).sum(0)))
    edges = _angles(window, c, shares(window, c, weights, cells))
    # the ends are cells of one point
    earliest, latest = np.concatenate([edges[:1], edges]), np.concatenate([edges, edges[-1:]])
    logs = np.log(np.maximum(np.cos(np.maximum(latest[:, None] - earliest[None], 0.0)), 1e-300))
    relaxed = Search(logs, weights, measure, window.n).relax(ceiling=ceiling)
    return min(ceiling, max(0.0, relaxed.bound))


def _angles(window: Window, c: np.ndarray, inner: list[float]) -> np.ndarray:
    """Of the ends and what lies between, ``(n + 1, d)``; falling."""
    ends = [[[angle(level, variance) for variance in c]] for level in (window.first, window.last)]
    return np.concatenate([ends[0], np.arctan(np.exp(-np.array(inner))[:, None] / np.sqrt(c)), ends[1]])


def _certified(
    search: Search, candidates: Grid, gap: float, subproblems: int, read: Callable[[float], float]
) -> Certified:
    best = search.run(lambda bound, value: read(max(0.0, bound)) >= (1 - gap) * read(value), subproblems)
    grid = through(candidates.process, [candidates.levels[i] for i in best.nodes], candidates.end)
    return Certified(grid, read(best.value), read(max(0.0, best.bound)), best.searched)
