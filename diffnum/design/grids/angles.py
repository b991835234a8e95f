"""Grids in closed form: the tangent law of one variance, and its limit of many steps for a spectrum.

On ``N(0, c)`` a DDIM step from ``s`` to ``t``, in ``y = x / alpha`` and ``s = sigma / alpha``, multiplies ``y`` by
``1 - (s - t) s / (c + s^2)``. With the angle ``theta = arctan(s / sqrt(c))`` this is

    cos(theta_s - theta_t) cos(theta_s) / cos(theta_t),

of which ``cos(theta_s) / cos(theta_t)`` is the exact flow. So ``n`` steps multiply every trajectory by
``prod_i cos(Delta_i)`` too much, whatever the criterion, and the product is nearest to one where all steps in the angle
are equal: ``s_i = sqrt(c) tan(theta_i)`` (Sabour, Fidler & Kreis 2024, for KL; Sun, Poor & Zhang 2026, for spectra).

With several variances direction ``k`` is multiplied by ``exp(-L_k)``, ``L_k = -sum_i log cos(Delta theta_k,i)``, and

    W2^2 = sum_k v_k (1 - exp(-L_k))^2,        KL = sum_k (exp(-2 L_k) - 1 + 2 L_k) / 2.

For many steps both are sums of ``w_k L_k^2``, ``w = v`` or 1, and a grid with the share ``rho(lam)`` of its steps per
log-SNR has ``L_k = 1/(2n) int theta_k'^2 / rho``. That is convex in ``rho``, and stationary where

    rho^2 ~ sum_k w_k L_k theta_k'^2,          theta_k' = -sqrt(c_k) s / (c_k + s^2),

a fixed point whose shape no ``n`` enters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...grid import Grid, through
from ...plan import Level
from ...process import Process
from .window import Window, as_spectrum

__all__ = ["angle", "shares", "tangent", "tangent_kl", "tangent_w2"]

_POINTS = 4097
# beyond the outermost variances by this much in log-SNR the angle turns by less than 1e-8
_TAIL = 18.5
_SWEEPS = 500


def angle(level: Level, variance: float) -> float:
    """``arctan(sigma / (alpha sqrt(variance)))``, in ``[0, pi/2]``; the ends included."""
    return math.atan2(level.sigma, level.alpha * math.sqrt(variance))


def tangent(
    process: Process, n: int, variance: float = 1.0, start: Any = None, stop: Any = None, end: str = "stop"
) -> Grid:
    """The tangent law: levels equally spaced in ``arctan(sigma / (alpha sqrt(variance)))``.

    It is the grid of ``n`` DDIM steps with the least error on ``N(0, variance)``, in any distance: the output is
    ``cos(Delta)^n`` of the exact one, ``Delta`` the common step of the angle.

    Args:
        process: a noise process.
        n: number of steps, >= 1.
        variance: of the data, > 0.
        start, stop: a :class:`~diffnum.plan.Level` or a time; default the process's own ends. With ``end="zero"`` the
            law runs to the clean level itself, and there is no ``stop`` to give.
        end: the end policy of :mod:`diffnum.grid`.

    Raises:
        ValueError: what :func:`diffnum.grid.uniform` refuses; a variance that is not positive; ``stop`` beside
            ``end="zero"``.
    """
    window = Window.of(process, n, start, stop if end != "zero" else _no_stop(stop), end)
    (c,) = as_spectrum([variance])
    first, last = angle(window.first, c), angle(window.last, c)
    inner = [math.tan(((n - i) * first + i * last) / n) * math.sqrt(c) for i in range(1, n)]
    return through(process, [window.first, *(process.at(-math.log(s)) for s in inner), window.last], end)


def tangent_w2(
    process: Process, n: int, spectrum: ArrayLike, start: Any = None, stop: Any = None, end: str = "stop"
) -> Grid:
    """The tangent law of a spectrum for W2: the limit of many DDIM steps, read off at ``n`` of them.

    Args:
        spectrum: variances of the data per direction, > 0; the others are those of :func:`tangent`.
    """
    c = as_spectrum(spectrum)
    window = Window.of(process, n, start, stop if end != "zero" else _no_stop(stop), end)
    last = window.last if end in ("stop", "zero") else Level(0.0, 1.0, 0.0)
    return _quantiles(window, c, last.alpha**2 * c + last.sigma**2)


def tangent_kl(
    process: Process, n: int, spectrum: ArrayLike, start: Any = None, stop: Any = None, end: str = "stop"
) -> Grid:
    """The tangent law of a spectrum for the Kullback-Leibler divergence; see :func:`tangent_w2`."""
    c = as_spectrum(spectrum)
    window = Window.of(process, n, start, stop if end != "zero" else _no_stop(stop), end)
    return _quantiles(window, c, np.ones_like(c))


def _no_stop(stop: Any) -> None:
    if stop is not None:
        raise ValueError(f"stop = {stop!r} has no meaning beside end = 'zero', which runs to the clean level: leave it")


def _quantiles(window: Window, c: np.ndarray, weights: np.ndarray) -> Grid:
    inner = shares(window, c, weights, window.n)
    return through(window.process, [window.first, *map(window.process.at, inner), window.last], window.end)


def shares(window: Window, c: np.ndarray, weights: np.ndarray, n: int) -> list[float]:
    """The ``n - 1`` log-SNR at equal shares of the density of steps that is stationary for ``sum weights L^2``."""
    low, high = -0.5 * math.log(c.max()) - _TAIL, -0.5 * math.log(c.min()) + _TAIL
    lams = np.linspace(max(window.first.lam, low), min(window.last.lam, high), _POINTS)
    s, roots = np.exp(-lams), np.sqrt(c)[:, None]
    slopes = (roots * s / (c[:, None] + s**2)) ** 2
    total = np.cumsum(_density(lams, slopes, weights))
    total = np.concatenate([[0.0], total / total[-1]])
    return np.interp(np.arange(1, n) / n, total, lams).tolist()


def _density(lams: np.ndarray, slopes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Integral of the stationary density over each interval, up to a factor."""
    width = lams[1] - lams[0]
    middle = (slopes[:, 1:] + slopes[:, :-1]) / 2
    share = np.ones(len(weights))
    for _ in range(_SWEEPS):
        rho = np.sqrt((weights * share) @ middle)
        lengths = (middle / rho).sum(1) * rho.sum() * width**2
        step = lengths / lengths.max()
        # half a step in the logarithm: the whole one may swing between two spectra
        new = np.sqrt(share * step)
        if np.abs(new / share - 1).max() < 1e-12:
            break
        share = new / new.max()
    return np.sqrt((weights * share) @ middle)
