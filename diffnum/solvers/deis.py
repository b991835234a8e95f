"""DEIS with polynomials in the process's clock: exponential integrators of Zhang & Chen (2023).

The noise is interpolated in the clock ``c`` and integrated against the exact linear part, with ``rho = sigma / alpha``

    x_t = (alpha_t / alpha_s) x + alpha_t sum_j eps_j int_{rho_s}^{rho_t} l_j(c(rho)) drho

(their tAB). Where the polynomial is in ``rho`` itself the integral is elementary and the method is Adams-Bashforth
(:data:`~diffnum.solvers.adams.deis_rhoab_3`); in the clock it is not. The reference code sums 10 000 rectangles,
which leaves an error of 1e-4; here the integral is exact to rounding (:mod:`.quadrature`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..plan import Level
from ..trace import Form, Solver, Trace
from .coords import RATIO, transfer
from .quadrature import decaying_mean, lagrange
from .rules import Build, named

__all__ = ["deis_tab_2", "deis_tab_3", "deis_tab_4"]


def clock_adams(points: int) -> Build:
    """tAB-DEIS of ``points`` points, which the paper counts from zero; started with fewer points."""

    def build(T: Trace, grid: Any) -> None:
        past: tuple[tuple[Form, Any], ...] = ()
        for s, t in T.steps(grid):
            e = T.evaluate(T.x, s)
            past = ((e.noise, T.process.clock(s)), *past)[:points]
            if s.pure_noise:
                T.x = transfer(T.x, s, t, e.data)
                continue
            moved, gain = RATIO.ratio(s, t) * T.x, RATIO.gain(t) * RATIO.step(T, s, t)
            for w, (noise, _) in zip(weights(T, s, t, [c for _, c in past]), past, strict=True):
                moved = moved + (gain * w) * noise
            T.x = moved

    return build


def weights(T: Trace, s: Level, t: Level, clocks: Sequence[Any]) -> Sequence[Any]:
    """``int l_j(c(rho)) drho / (rho_t - rho_s)``, ``l_j`` the Lagrange polynomials of the clock values."""
    if len(clocks) == 1:
        return (1,)
    rule = decaying_mean(T.h(s, t), len(clocks))
    values = [lagrange(clocks, T.process.clock(T.below(s, y))) for y, _ in rule]
    return [sum(w * row[j] for (_, w), row in zip(rule, values, strict=True)) for j in range(len(clocks))]


def _tab(points: int) -> Solver:
    says = f"DEIS tAB of {points} points: the noise is a polynomial in the clock, the linear part is exact."
    claim: dict[str, Any] = {"order": points, "cold": 2, "cite": "zhang2023deis", "eq": "tAB"}
    return named(f"deis_tab_{points}", clock_adams(points), says, family="exponential multistep", **claim)


deis_tab_2 = _tab(2)
deis_tab_3 = _tab(3)
deis_tab_4 = _tab(4)
