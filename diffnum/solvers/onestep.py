"""One-step deterministic samplers: classical Runge-Kutta in the process's clock, and exponential steps.

The classical ones integrate the probability-flow ODE ``dx/dc = alpha' D + sigma' E[eps | x]`` in the
process's own clock ``c`` (``t`` for variance-preserving processes, ``sigma`` for VE, EDM and flow).
The exponential ones solve its linear part exactly: with ``h`` the log-SNR increment of the step,

    x_t = (sigma_t / sigma_s) x_s + sigma_t * int e^lam D dlam        (data)
    x_t = (alpha_t / alpha_s) x_s - alpha_t * int e^-lam eps dlam     (noise)

At a clean level ``lam`` is infinite: methods with a node inside the step take a first-order last step.
"""

from __future__ import annotations

from typing import Any

from ..num import expm1
from ..plan import Level
from ..trace import Form, Trace, solver

CLASSICAL = "classical"
EXPONENTIAL = "exponential one-step"


@solver(order=1, cold=1, cite="song2021score", eq="13", family=CLASSICAL)
def euler(T: Trace, grid: Any) -> None:
    """Euler in the process's clock: ``x_t = x_s + dc v(x_s, s)``."""
    for s, t in T.steps(grid):
        T.x = T.x + T.dt(s, t) * T.slope(T.x, s)


@solver(order=2, cold=2, cite="karras2022edm", eq="Algorithm 1", family=CLASSICAL)
def heun(T: Trace, grid: Any) -> None:
    """The trapezoidal two-stage method of EDM; Euler on a step to ``sigma = 0``."""
    for s, t in T.steps(grid):
        v = T.slope(T.x, s)
        x = T.x + T.dt(s, t) * v
        T.x = x if t.clean else T.x + T.dt(s, t) / 2 * (v + T.slope(x, t))


@solver(order=2, cold=2, cite="hairer1993", eq="II.1.4", family=CLASSICAL)
def midpoint(T: Trace, grid: Any) -> None:
    """Explicit midpoint in the process's clock."""
    for s, t in T.steps(grid):
        dc, m = T.dt(s, t), T.clock_between(s, t, 0.5)
        T.x = T.x + dc * T.slope(T.x + dc / 2 * T.slope(T.x, s), m)


@solver(order=4, cold=4, cite="hairer1993", eq="II.1 Table 1.2", family=CLASSICAL)
def rk4(T: Trace, grid: Any) -> None:
    """The classical four-stage Runge-Kutta method in the process's clock; three stages and a step of order
    three (Heun's third-order method, nodes 0, 1/3, 2/3) where the step ends at ``sigma = 0``."""
    for s, t in T.steps(grid):
        dc = T.dt(s, t)
        k1 = T.slope(T.x, s)
        if t.clean:
            k2 = T.slope(T.x + dc / 3 * k1, T.clock_between(s, t, 1 / 3))
            k3 = T.slope(T.x + 2 * dc / 3 * k2, T.clock_between(s, t, 2 / 3))
            T.x = T.x + dc / 4 * (k1 + 3 * k3)
            continue
        m = T.clock_between(s, t, 0.5)
        k2 = T.slope(T.x + dc / 2 * k1, m)
        k3 = T.slope(T.x + dc / 2 * k2, m)
        k4 = T.slope(T.x + dc * k3, t)
        T.x = T.x + dc / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def transfer(x: Form, s: Level, t: Level, D: Form) -> Form:
    """The first-order exponential step in level coordinates, ``r x + (alpha_t - r alpha_s) D`` with
    ``r = sigma_t / sigma_s``: no logarithm, no branch, exact for constant ``D``; any level but ``sigma_s = 0``."""
    r = t.sigma / s.sigma
    return r * x + (t.alpha - r * s.alpha) * D


@solver(order=1, cold=1, cite="song2021ddim", eq="12", family=EXPONENTIAL)
def ddim(T: Trace, grid: Any) -> None:
    """DDIM with ``eta = 0``: ``alpha_t D + sigma_t eps``, both predicted at ``s``."""
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s)
        T.x = t.alpha * e.data + t.sigma * e.noise


@solver(order=1, cold=1, cite="lu2022dpm", eq="3.7", family=EXPONENTIAL)
def dpm_solver_1(T: Trace, grid: Any) -> None:
    """DPM-Solver-1: ``(alpha_t / alpha_s) x - sigma_t (e^h - 1) eps``."""
    for s, t in T.steps(grid):
        T.x = noise_transfer(T.x, s, t, T.evaluate(T.x, s, "e").noise)


@solver(order=1, cold=1, cite="lu2022dpmpp", eq="9", family=EXPONENTIAL)
def dpmpp_1(T: Trace, grid: Any) -> None:
    """DPM-Solver++ of order one: ``(sigma_t / sigma_s) x - alpha_t (e^-h - 1) D``."""
    for s, t in T.steps(grid):
        T.x = data_transfer(T, T.x, s, t, T.denoise(T.x, s))


def noise_transfer(x: Form, s: Level, t: Level, e: Form) -> Form:
    """``(alpha_t / alpha_s) x - sigma_t (e^h - 1) e``, in level coordinates so that ``sigma_t = 0`` is regular."""
    q = t.alpha / s.alpha
    return q * x + (t.sigma - q * s.sigma) * e


def data_transfer(T: Trace, x: Form, s: Level, t: Level, D: Form) -> Form:
    """``(sigma_t / sigma_s) x - alpha_t (e^-h - 1) D``."""
    return (t.sigma / s.sigma) * x - (t.alpha * expm1(-T.h(s, t))) * D


@solver(order=2, cold=2, cite="lu2022dpm", eq="Algorithm 1", family=EXPONENTIAL)
def dpm_solver_2(T: Trace, grid: Any, r: Any = 0.5) -> None:
    """DPM-Solver-2 with an intermediate node at the fraction ``r`` of the log-SNR step:

    ``x_t = (alpha_t/alpha_s) x - sigma_t (e^h - 1) (eps_s + (eps_u - eps_s) / (2 r))``.
    """
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s, "e").noise
        if t.clean:
            T.x = noise_transfer(T.x, s, t, e)
            continue
        m = T.between(s, t, r)
        em = T.evaluate(noise_transfer(T.x, s, m, e), m, "e").noise
        T.x = noise_transfer(T.x, s, t, e + (em - e) / (2 * r))


@solver(order=2, cold=2, cite="lu2022dpmpp", eq="Algorithm 1", family=EXPONENTIAL)
def dpmpp_2s(T: Trace, grid: Any, r: Any = 0.5) -> None:
    """DPM-Solver++(2S): ``x_t = (sigma_t/sigma_s) x - alpha_t (e^-h - 1) (D_s + (D_u - D_s) / (2 r))``."""
    for s, t in T.steps(grid):
        D = T.denoise(T.x, s)
        if s.pure_noise or t.clean:
            T.x = transfer(T.x, s, t, D)
            continue
        m = T.between(s, t, r)
        Dm = T.denoise(data_transfer(T, T.x, s, m, D), m)
        T.x = data_transfer(T, T.x, s, t, D + (Dm - D) / (2 * r))
