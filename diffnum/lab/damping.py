"""What the noise of a sampler makes of the errors of its denoiser, in the limit of many steps.

On ``N(m, c)`` the reverse SDE with noise ``rate`` per log-SNR multiplies a deviation of ``x / alpha`` from ``s`` to
``t`` by ``((c + rho_t^2) / (c + rho_s^2))^((1 + rate) / 2)``, ``rho = sigma / alpha``, while an error ``d`` of the
denoiser adds ``(1 + rate) d`` per log-SNR (theory chapter 1). So an error made at ``s`` arrives at ``t`` with the gain

    G(rate, u) = (1 + rate) (1 + u)^(-(1 + rate) / 2),    u = (rho_s^2 - rho_t^2) / (c + rho_t^2).

Noise forgets what was, and answers to what is: it doubles an error that is made now, ``G(1, 0) = 2 G(0, 0)``, and damps
one that was made at ``u > 3``. Errors that are those of *another law*, at every level, it cannot touch: there
``d = dm u / (1 + u)`` down to the clean end, and the integral of ``G d`` is ``dm`` at every rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..plan import Level
from ..targets.gaussian import Gaussian
from ..targets.mistaken import Mistaken

__all__ = ["another_law", "bias", "constant_noise_error", "damped_from", "gain", "one_level", "seen_from"]


def gain(rate: float, u: Any) -> Any:
    """``G(rate, u)``: the error of the mean that one of size one over a unit of log-SNR leaves."""
    return (1 + rate) * (1 + np.asarray(u, dtype=float)) ** (-(1 + rate) / 2)


def damped_from(rate: float) -> float:
    """The ``u`` from which noise of this rate damps what the flow keeps: ``(1 + rate)^(2 / rate) - 1``.

    3 at rate one, ``e^2 - 1`` where there is almost no noise, towards 0 for much of it.

    Raises:
        ValueError: a rate that is not positive.
    """
    if not rate > 0:
        raise ValueError(f"rate = {rate!r} adds no noise, which damps nothing: use a positive one")
    return (1 + rate) ** (2 / rate) - 1


def seen_from(variances: Any, s: Level, t: Level) -> Any:
    """``u`` of errors made at ``s`` for modes of these variances at ``t``."""
    before, after = ((level.sigma / level.alpha) ** 2 for level in (s, t))
    return (before - after) / (np.asarray(variances, dtype=float) + after)


def bias(
    error: Callable[[float], float], rate: float, variances: Any, start: Level, stop: Level, points: int = 200
) -> np.ndarray:
    """Error of the mean of ``x / alpha`` at ``stop`` that a smooth ``error(lam)`` of the denoiser leaves, ``(d,)``.

    The integral of ``G`` over log-SNR by Gauss-Legendre quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(points)
    half = (stop.lam - start.lam) / 2
    c, after = np.asarray(variances, dtype=float), math.exp(-2 * stop.lam)
    lams = start.lam + half * (1 + nodes)
    terms = [gain(rate, (math.exp(-2 * lam) - after) / (c + after)) * error(float(lam)) for lam in lams]
    return half * (weights @ np.array(terms))


def constant_noise_error(target: Gaussian, size: float) -> Mistaken:
    """A network whose noise prediction is off by ``size`` in every direction and at every level."""
    return Mistaken(target, offset=lambda level: -size * level.sigma / level.alpha)


def one_level(target: Gaussian, at: Level, size: float = 1.0) -> Mistaken:
    """A network whose denoiser is off by ``size`` at one level only."""
    return Mistaken(target, offset=lambda level: size if level == at else 0.0)


def another_law(target: Gaussian, believed: Gaussian) -> Mistaken:
    """A network that knows, perfectly, another Gaussian of the same eigen-directions."""
    mean, c = believed.eigen()

    def slope(level: Level) -> Any:
        wrong, right = (level.alpha * v / (level.alpha**2 * v + level.sigma**2) for v in (c, target.eigen()[1]))
        return wrong - right

    def offset(level: Level) -> Any:
        # Mistaken's slope turns about the target's mean, scaled
        centre = target.eigen()[0]
        known = level.alpha * c / (level.alpha**2 * c + level.sigma**2)
        return (mean - centre) * (1 - level.alpha * known)

    return Mistaken(target, offset, slope)
