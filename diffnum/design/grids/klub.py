"""Align Your Steps on a surrogate: the published bound in closed form, and the grid at its least.

Sabour, Fidler & Kreis (2024) bound the Kullback-Leibler divergence between the paths of the exact reverse SDE and of
one whose prediction is frozen over each step. In ``s = sigma / alpha``, with ``y = x / alpha``,

    KLUB = sum_i int_{s_{i+1}}^{s_i} s^-3 E |D(y_s, s) - D(y_{s_i}, s_i)|^2 ds.

They estimate it by simulation. But ``D(y_{s_i})`` is the expectation of ``D(y_s)`` given the noisier ``y_{s_i}``, for
every law of the data, so the expectation is a difference of ``mmse(s) = E |x0 - D(y_s, s)|^2``; and with the
signal-to-noise ratio ``q = s^-2``

    KLUB = 1/2 sum_i int_{q_i}^{q_{i+1}} mmse(q_i) - mmse(q) dq:

what the left rectangles of the grid have too much of the integral that gives mutual information (Guo, Shamai & Verdu
2005). It is a sum over steps, so dynamic programming finds its global optimum.

A divergence asks for the small variances of the data as much as for the large ones. On a falling spectrum the grid of
least bound has less divergence than hand-made ones, the bound being of its size or several times it, and more W2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ...grid import Grid, log_snr
from ...plan import Level
from ...process import Process
from .paths import shortest
from .window import Window

__all__ = ["ays", "ays_bound", "mmse"]

Mmse = Callable[[Level], float]

_NODES = 16
_SWEEPS = 100


def mmse(target: Any, n: int = 2000, seed: int = 0) -> Mmse:
    """``mmse(level) = E |x0 - E[x0 | x]|^2`` of a law.

    ``sum_k c_k sigma^2 / (alpha^2 c_k + sigma^2)`` where the law has eigen-directions (a Gaussian); else the mean over
    ``n`` draws, the same at all levels, so that differences between levels are smooth.
    """
    if hasattr(target, "eigen"):
        c = target.eigen()[1]
        c = c[c > 0]
        return lambda level: float((c * level.sigma**2 / (level.alpha**2 * c + level.sigma**2)).sum())
    rng = np.random.default_rng(seed)
    clean = target.sample(n, rng)
    noise = rng.standard_normal(clean.shape)

    def mean(level: Level) -> float:
        denoised = target.denoise(level.alpha * clean + level.sigma * noise, level)
        return float(((clean - denoised) ** 2).sum(-1).mean())

    return mean


def ays_bound(grid: Grid, mmse: Mmse) -> float:
    """KLUB of a grid, in nats; the integral by Gauss-Legendre quadrature with 16 nodes per step in log-SNR.

    Args:
        grid: ends at a level with noise.
        mmse: of the data, see :func:`mmse`.

    Raises:
        ValueError: a grid to the clean level or from pure noise, where the bound is infinite or has no meaning.
    """
    _check_ends(grid[0], grid[-1])
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    total = 0.0
    for s, t in pairwise(grid.levels):
        lams = s.lam + (t.lam - s.lam) * (nodes + 1) / 2
        frozen = mmse(s)
        values = [(frozen - mmse(grid.process.at(float(lam)))) * math.exp(2 * lam) for lam in lams]
        # dq / 2 = exp(2 lam) dlam
        total += float(weights @ values) * (t.lam - s.lam) / 2
    return total


def ays(
    process: Process, n: int, mmse: Mmse, start: Any = None, stop: Any = None, end: str = "stop", candidates: int = 300
) -> Grid:
    """The grid of least :func:`ays_bound`: the global optimum among ``candidates`` levels equally spaced in log-SNR,
    then each level moved to its best place between its neighbours until none moves, where ``log mmse`` between
    candidates is a cubic spline.

    Args:
        process, n, start, stop, end: see :func:`diffnum.grid.uniform`. The bound is that of the steps down to ``stop``:
            with ``end="zero"``, where the last step goes to the clean level, that of the first ``n - 1``.
        mmse: see :func:`mmse`.
        candidates: number of steps of the fine grid.

    Raises:
        ValueError: ends that make no grid or lie at no noise or nothing but noise; more steps than candidates.
    """
    from scipy.interpolate import CubicSpline

    window = Window.of(process, n, start, stop, end)
    if end == "zero":
        if n == 1:
            return window.grid([])
        last = process.at(window.high)
        return window.grid([level.lam for level in ays(process, n - 1, mmse, start, last, "stop", candidates)][1:])
    _check_ends(window.first, window.last)
    fine = log_snr(process, candidates, window.first, window.last)
    q = np.array([math.exp(2 * level.lam) for level in fine])
    left = np.array([mmse(level) for level in fine])
    nodes = shortest(left[:, None] * (q[None] - q[:, None]), n).nodes
    curve = CubicSpline([level.lam for level in fine], np.log(left))
    lams = _settled([fine[i].lam for i in nodes], lambda lam: math.exp(curve(lam)), fine.h[0])
    return window.grid(lams[1:-1])


def _settled(lams: list[float], mmse: Callable[[float], float], width: float) -> list[float]:
    """Each inner level at the least of its two rectangles, ``m(a) (q - q(a)) + m(q) (q(b) - q)``, in turns."""
    from scipy.optimize import minimize_scalar

    known = [mmse(lam) for lam in lams]
    for _ in range(_SWEEPS):
        moved = 0.0
        for i in range(1, len(lams) - 1):
            before, after = known[i - 1], math.exp(2 * lams[i + 1])

            def area(lam: float, before: float = before, after: float = after) -> float:
                return before * math.exp(2 * lam) + mmse(lam) * (after - math.exp(2 * lam))

            room = (max(lams[i - 1], lams[i] - width), min(lams[i + 1], lams[i] + width))
            found: Any = minimize_scalar(area, bounds=room, method="bounded", options={"xatol": 1e-9})
            if found.fun < area(lams[i]):
                moved = max(moved, abs(found.x - lams[i]))
                lams[i], known[i] = float(found.x), mmse(float(found.x))
        if moved < 1e-7:
            break
    return lams


def _check_ends(first: Level, last: Level) -> None:
    if first.pure_noise or last.clean:
        trouble = "alpha = 0 has no x / alpha" if first.pure_noise else "the bound of a step to sigma = 0 is infinite"
        raise ValueError(f"{trouble}: bound a grid from a level with signal to one with noise")
