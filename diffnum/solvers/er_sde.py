"""ER-SDE solvers: noise by a free function ``phi`` of the noise ratio ``l = sigma / alpha`` (Cui et al. 2023).

    x_t = (alpha_t/alpha_s) r x + alpha_t ((1 - r) D + w_1 D' + w_2 D'') + alpha_t sqrt(l_t^2 - r^2 l_s^2) z

with ``r = phi(l_t) / phi(l_s)``, derivatives of the data in ``l`` at ``l_s`` from backward differences, and

    w_1 = l_t - l_s + phi(l_t) int_{l_t}^{l_s} du / phi(u),
    w_2 = (l_t - l_s)^2 / 2 + phi(l_t) int_{l_t}^{l_s} (u - l_s) / phi(u) du.

``phi = l`` is the probability flow, ``phi = l^2`` the reverse SDE; the noise per log-SNR is ``d log phi / d log l - 1``
(theory.er_sde). For a power of ``l`` the weights are closed (:class:`Power`), for any other function a quadrature that
is exact to rounding; the code of the paper takes a left Riemann sum of 100 points, which misses ``w_1`` by a hundredth
of itself, so that it is of weak order one in the end. A step from pure noise or to ``sigma = 0`` is of first order.

The option ``phi`` is :func:`phi_exponential`, the default of their code, unless given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..num import exp, expm1, extended, log, sqrt
from ..plan import Level
from ..trace import Form, Solver, Trace
from . import generated as g
from .quadrature import decaying_mean
from .rules import Build, named
from .sde_rules import first_order

__all__ = ["Power", "er_sde_1", "er_sde_2", "er_sde_3", "er_sde_3_corrected", "phi_exponential"]

FAMILY = "extended reverse SDE"


@dataclass(frozen=True)
class Power:
    """``phi(l) = l^(1 + rate)``: noise of ``rate`` per log-SNR; 0 is the probability flow, 1 the reverse SDE.

    Raises:
        ValueError: a negative rate.
    """

    rate: Any

    def __post_init__(self) -> None:
        if isinstance(self.rate, (int, float)) and not self.rate >= 0:
            raise ValueError(f"rate = {self.rate!r} is no variance: use l^(1 + rate) with rate >= 0")

    def __call__(self, ratio: Any) -> Any:
        """``phi`` of ``sigma / alpha``."""
        return exp((1 + self.rate) * log(ratio))


def phi_exponential(ratio: Any) -> Any:
    """The default of the code of the paper, ``phi(l) = l (exp(l^0.3) + 10)``."""
    # e^{l^0.3} in two factors: the logarithm of a truncated series is that of l / l_0, so that its power starts at one
    return ratio * (math.e * exp(exp(3 * log(ratio) / 10) - 1) + 10)


def _step(T: Trace, s: Level, t: Level, phi: Callable[[Any], Any]) -> tuple[Any, Any, Any, Any]:
    """``r``, ``w_1``, ``w_2`` and the variance of the noise over ``sigma_t^2``."""
    h, low, high = T.h(s, t), t.sigma / t.alpha, s.sigma / s.alpha
    if isinstance(phi, Power):
        first, second, third = extended(g.er_sde_power, h, phi.rate)
        return 1 - first, low * second, low * low * third, extended(g.sde_step_data, h, phi.rate)[2]
    end = phi(low)
    r = end / phi(high)
    rule = [(high * exp(-y), w) for y, w in decaying_mean(h)]
    drop = high * expm1(-h)
    weights = [end / phi(u) * w for u, w in rule]
    first = drop - drop * sum(weights[1:], weights[0])
    moments = [w * (u - high) for w, (u, _) in zip(weights, rule, strict=True)]
    second = drop * drop / 2 - drop * sum(moments[1:], moments[0])
    return r, first, second, -expm1(2 * (log(r) + h))


def er_sde(points: int, whole: bool = False) -> Build:
    """ER-SDE of ``points`` data.

    Args:
        whole: move the first difference, which is the slope half a step back, to the current level.
    """

    def build(T: Trace, grid: Any, phi: Callable[[Any], Any] = phi_exponential) -> None:
        past: tuple[tuple[Form, Any], ...] = ()
        quiet = isinstance(phi, Power) and isinstance(phi.rate, (int, float)) and phi.rate == 0
        for s, t in T.steps(grid):
            D = T.denoise(T.x, s)
            if s.pure_noise or t.clean:
                T.x, past = first_order(T, s, t, D, 0 if quiet else 1), ()
                continue
            r, first, second, variance = _step(T, s, t, phi)
            past = ((D, s.sigma / s.alpha), *past)[:points]
            x = (t.alpha / s.alpha * r) * T.x + (t.alpha * (1 - r)) * D
            if len(past) > 1:
                slope = _difference(past[0], past[1])
                if len(past) > 2:
                    bend = (2 / (past[0][1] - past[2][1])) * (slope - _difference(past[1], past[2]))
                    x = x + (t.alpha * second) * bend
                    slope = slope + ((past[0][1] - past[1][1]) / 2) * bend if whole else slope
                x = x + (t.alpha * first) * slope
            T.x = x if quiet else x + (t.sigma * sqrt(variance)) * T.noise(s, t)

    return build


def _difference(one: tuple[Form, Any], two: tuple[Form, Any]) -> Form:
    return (1 / (one[1] - two[1])) * (one[0] - two[0])


def _sampler(name: str, build: Build, order: int, eq: str, says: str, note: str = "") -> Solver:
    return named(
        name,
        build,
        says,
        order=order,
        cold=order,
        cite="cui2023ersde",
        eq=eq,
        family=FAMILY,
        note=note,
        stochastic=True,
    )


er_sde_1 = _sampler(
    "er_sde_1", er_sde(1), 1, "Algorithm 1", "ER-SDE-Solver-1: ``phi = l`` is DDIM, ``phi = l^2`` ancestral sampling."
)
er_sde_2 = _sampler(
    "er_sde_2", er_sde(2), 2, "Algorithm 2", "ER-SDE-Solver-2: the slope of the data from its last two values."
)
er_sde_3 = _sampler(
    "er_sde_3",
    er_sde(3),
    2,
    "Algorithm 3",
    "ER-SDE-Solver-3 as published: slope and curvature of the data from its last three values.",
    "published as order three; its slope is that of half a step before, so that even without noise it is of order two",
)
er_sde_3_corrected = _sampler(
    "er_sde_3_corrected",
    er_sde(3, whole=True),
    2,
    "Algorithm 3, slope at the current level",
    "ER-SDE-Solver-3 with the slope moved to the current level: of order three without noise.",
)
