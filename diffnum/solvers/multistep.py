"""Multistep deterministic samplers: Adams-Bashforth in the clock, DPM-Solver++ multistep in log-SNR.

History at an infinite log-SNR has no place in a polynomial in log-SNR: evaluations at a pure-noise
level are not remembered, and a step to a clean level is of first order.
"""

from __future__ import annotations

from typing import Any

from ..num import phi
from ..plan import Level
from ..trace import Form, Trace, solver
from .onestep import data_transfer, transfer

CLASSICAL = "classical multistep"
EXPONENTIAL = "exponential multistep"


@solver(order=2, cold=2, cite="hairer1993", eq="III.5.2", family=CLASSICAL)
def ab2(T: Trace, grid: Any) -> None:
    """Two-step Adams-Bashforth on variable steps in the clock, started with Euler:

    ``x_t = x_s + dc (v_s + dc / (2 dc_) (v_s - v_))``.
    """
    past = None
    for s, t in T.steps(grid):
        dc, v = T.dt(s, t), T.slope(T.x, s)
        if past is None:
            T.x = T.x + dc * v
        else:
            v_, dc_ = past
            T.x = T.x + dc * (v + dc / (2 * dc_) * (v - v_))
        past = v, dc


@solver(order=2, cold=2, cite="lu2022dpmpp", eq="Algorithm 2", family=EXPONENTIAL)
def dpmpp_2m(T: Trace, grid: Any) -> None:
    """DPM-Solver++(2M): ``x_t = (sigma_t/sigma_s) x - alpha_t (e^-h - 1) (D + h / (2 h_) (D - D_))``."""
    past = None
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        if past is None or t.clean:
            T.x = transfer(T.x, s, t, D)
        else:
            D_, h_ = past
            T.x = data_transfer(T, T.x, s, t, D + h / (2 * h_) * (D - D_))
        past = None if s.pure_noise else (D, h)


@solver(
    order=2,
    cold=2,
    cite="lu2022dpmpp",
    eq="appendix; reference code",
    family=EXPONENTIAL,
    note="published as order three; the second difference lacks a factor 2, so it is of order two",
)
def dpmpp_3m(T: Trace, grid: Any) -> None:
    """DPM-Solver++(3M) as published: the term in ``phi_3`` carries half of the second derivative."""
    _three_step(T, grid, 1)


@solver(order=3, cold=2, cite="lu2022dpmpp", eq="appendix, factor 2 restored", family=EXPONENTIAL)
def dpmpp_3m_corrected(T: Trace, grid: Any) -> None:
    """DPM-Solver++(3M) with the whole second derivative, ``D'' = 2 [D_s, D_1, D_2]``:

    ``x_t = r x + alpha_t h (phi_1(-h) D + phi_2(-h) h D' + phi_3(-h) h^2 D'')`` through three nodes.
    """
    _three_step(T, grid, 2)


def _three_step(T: Trace, grid: Any, factor: int) -> None:
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        if not past or t.clean:
            T.x = transfer(T.x, s, t, D)
        elif len(past) == 1:
            D1, h1 = past[0]
            T.x = data_transfer(T, T.x, s, t, D + h / (2 * h1) * (D - D1))
        else:
            T.x = _quadratic(T.x, s, t, h, D, past, factor)
        past = [] if s.pure_noise else [(D, h), *past][:2]


def _quadratic(x: Form, s: Level, t: Level, h: Any, D: Form, past: list[tuple[Form, Any]], factor: int) -> Form:
    (D1, h1), (D2, h2) = past
    r1, r2 = h1 / h, h2 / h
    first, second = (D - D1) / r1, (D1 - D2) / r2
    bend = (first - second) / (r1 + r2)
    slope = first + r1 * bend
    return (
        (t.sigma / s.sigma) * x
        + (t.alpha * h * phi(1, -h)) * D
        + (t.alpha * h * phi(2, -h)) * slope
        + (t.alpha * h * phi(3, -h) * factor) * bend
    )
