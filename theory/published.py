"""Deterministic samplers as their papers, or the code that made them known, write them.

The chapters on equality compare them with each other and with :mod:`diffnum.solvers`; none of them is offered to users
from here, and start-up and end are kept as short as the comparison allows. Code that works in ``sigma`` with
``alpha = 1`` (k-diffusion and what grew out of it) does so here: run on flow matching as it stands, which libraries do,
its ``(x - D) / sigma`` is the velocity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffnum.num import exp, expm1, log, phi
from diffnum.plan import Level
from diffnum.trace import Form, Trace


def ratio(level: Level) -> Any:
    """``kappa = sigma / alpha``, in which ``d(x / alpha) = eps d kappa``."""
    return level.sigma / level.alpha


def to_d(T: Trace, x: Form, level: Level) -> Form:
    """k-diffusion's ``d = (x - D) / sigma``: noise where ``alpha = 1``, velocity where ``alpha = 1 - sigma``."""
    return (x - T.denoise(x, level)) / level.sigma


def step_with_noise(x: Form, s: Level, t: Level, e: Form) -> Form:
    """DDIM for a given noise: ``q x + (sigma_t - q sigma_s) e``, ``q = alpha_t / alpha_s``."""
    q = t.alpha / s.alpha
    return q * x + (t.sigma - q * s.sigma) * e


def step_with_data(x: Form, s: Level, t: Level, D: Form) -> Form:
    """DDIM for given data: ``r x + (alpha_t - r alpha_s) D``, ``r = sigma_t / sigma_s``."""
    r = t.sigma / s.sigma
    return r * x + (t.alpha - r * s.alpha) * D


# --- one evaluation a step


def minimax(T: Trace, grid: Any) -> None:
    """The MiniMax step, a convex combination: ``(sigma_t / sigma_s) x + (1 - sigma_t / sigma_s) D``."""
    for s, t in T.steps(grid):
        r = t.sigma / s.sigma
        T.x = r * T.x + (1 - r) * T.denoise(T.x, s)


def pndm_transfer(T: Trace, grid: Any) -> None:
    """PNDM's transfer (Liu et al. 2022), free of cancellation, with ``a = alpha^2`` and ``1 - a = sigma^2``:

    ``x + (a_t - a_s) / alpha_s [x / (alpha_s + alpha_t) - eps / (sigma_t alpha_s + sigma_s alpha_t)]``.
    """
    for s, t in T.steps(grid):
        e, a = T.evaluate(T.x, s).noise, t.alpha**2 - s.alpha**2
        mixed = t.sigma * s.alpha + s.sigma * t.alpha
        T.x = T.x + (a / (s.alpha * (s.alpha + t.alpha))) * T.x - (a / (s.alpha * mixed)) * e


def data_in_snr(T: Trace, grid: Any) -> None:
    """NeuralSolver's step for VP with weight one: Euler for ``x / sigma`` in ``alpha / sigma`` with slope ``D``."""
    for s, t in T.steps(grid):
        T.x = (t.sigma / s.sigma) * T.x + t.sigma * (1 / ratio(t) - 1 / ratio(s)) * T.denoise(T.x, s)


# --- two evaluations a step


def rf_solver(T: Trace, grid: Any) -> None:
    """RF-Solver (Wang et al. 2024): ``x + dc v + dc^2 / 2 (v_m - v) / (dc / 2)``, a Taylor step of order two."""
    for s, t in T.steps(grid):
        dc = T.dt(s, t)
        v = T.slope(T.x, s)
        v_m = T.slope(T.x + dc / 2 * v, T.clock_between(s, t, 0.5))
        T.x = T.x + dc * v + dc**2 / 2 * ((v_m - v) / (dc / 2))


def dpm_2(T: Trace, grid: Any) -> None:
    """k-diffusion's DPM2: midpoint at the geometric mean of ``sigma``, "inspired by DPM-Solver-2"."""
    for s, t in T.steps(grid):
        d, m = to_d(T, T.x, s), T.between(s, t, 0.5)
        if t.clean:
            T.x = T.x + (t.sigma - s.sigma) * d
            continue
        T.x = T.x + (t.sigma - s.sigma) * to_d(T, T.x + (m.sigma - s.sigma) * d, m)


def ratio_heun(T: Trace, grid: Any) -> None:
    """Trapezoid in ``kappa`` on ``x / alpha``: DEIS with Heun (rhoRK-2), and the start of S-PNDM."""
    for s, t in T.steps(grid):
        dk, e = ratio(t) - ratio(s), T.evaluate(T.x, s).noise
        e_t = T.evaluate(t.alpha / s.alpha * T.x + t.alpha * dk * e, t).noise
        T.x = t.alpha / s.alpha * T.x + (t.alpha * dk / 2) * (e + e_t)


def ucgm_heun(T: Trace, grid: Any) -> None:
    """UCGM of order two, with ``q = alpha_t / alpha_s``: ``q x + (sigma_t - q sigma_s) (eps + eps') / 2``."""
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s)
        e_t = T.evaluate(t.alpha * e.data + t.sigma * e.noise, t).noise
        T.x = t.alpha / s.alpha * T.x + ((t.sigma - t.alpha / s.alpha * s.sigma) / 2) * (e.noise + e_t)


Weight = Callable[[Any], Any]


def weak(c: Any) -> Weight:
    """``b_2 = phi_1 / (2 c)`` (Hochbruck & Ostermann 2005, section 5.1); exponential midpoint rule at ``c = 1/2``."""
    return lambda z: phi(1, z) / (2 * c)


def stiff(c: Any) -> Weight:
    """``b_2 = phi_2 / c`` (Hochbruck & Ostermann 2005, section 5.1); ETD2RK of Cox & Matthews 2002 at ``c = 1``."""
    return lambda z: phi(2, z) / c


def exponential_data(T: Trace, grid: Any, c: Any, b: Weight) -> None:
    """Exponential Runge-Kutta with node ``c`` and weights ``phi_1 - b, b`` on ``u' = -u + D``, ``u = x / alpha``."""
    for s, t in T.steps(grid):
        h, m, u, D = T.h(s, t), T.between(s, t, c), T.x / s.alpha, T.denoise(T.x, s)
        D_m = T.denoise(m.alpha * (exp(-c * h) * u + c * h * phi(1, -c * h) * D), m)
        T.x = t.alpha * (exp(-h) * u + h * ((phi(1, -h) - b(-h)) * D + b(-h) * D_m))


def exponential_noise(T: Trace, grid: Any, c: Any, b: Weight) -> None:
    """The same on ``w' = w - eps``, ``w = x / sigma``."""
    for s, t in T.steps(grid):
        h, m, w, e = T.h(s, t), T.between(s, t, c), T.x / s.sigma, T.evaluate(T.x, s).noise
        e_m = T.evaluate(m.sigma * (exp(c * h) * w - c * h * phi(1, c * h) * e), m).noise
        T.x = t.sigma * (exp(h) * w - h * ((phi(1, h) - b(h)) * e + b(h) * e_m))


def taylor_2s(T: Trace, grid: Any, r: Any = 0.5) -> None:
    """DPM-Solver++(2S) of type "taylor" (the authors' code): ``... + (alpha_t / r) ((e^-h - 1) / h + 1) (D_m - D)``."""
    for s, t in T.steps(grid):
        h, m, D = T.h(s, t), T.between(s, t, r), T.denoise(T.x, s)
        D_m = T.denoise((m.sigma / s.sigma) * T.x - m.alpha * expm1(-r * h) * D, m)
        T.x = (t.sigma / s.sigma) * T.x - t.alpha * expm1(-h) * D + (t.alpha / r) * (expm1(-h) / h + 1) * (D_m - D)


def seeds_2(T: Trace, grid: Any, r: Any = 0.5) -> None:
    """SEEDS-2 of type "phi_2" without noise (ComfyUI; ``exp_heun_2_x0`` at ``r = 1``)."""
    for s, t in T.steps(grid):
        h, m, D = T.h(s, t), T.between(s, t, r), T.denoise(T.x, s)
        D_m = T.denoise((m.sigma / s.sigma) * T.x - m.alpha * expm1(-r * h) * D, m)
        b_2 = (expm1(-h) + h) / (-h) / r
        T.x = (t.sigma / s.sigma) * T.x - t.alpha * ((expm1(-h) - b_2) * D + b_2 * D_m)


# --- exponential multistep


def k_dpmpp_2m(T: Trace, grid: Any) -> None:
    """k-diffusion's ``sample_dpmpp_2m``: everything from ``sigma``, log-SNR is ``-log sigma``."""
    old, h_last = None, None
    for s, t in T.steps(grid):
        D, h = T.denoise(T.x, s), log(s.sigma) - log(t.sigma)
        ahead = D
        if old is not None and not t.clean:
            r = h_last / h
            ahead = (1 + 1 / (2 * r)) * D - 1 / (2 * r) * old
        T.x = (t.sigma / s.sigma) * T.x - expm1(-h) * ahead
        old, h_last = D, h


def differences(m: Form, h: Any, past: Sequence[tuple[Form, Any]]) -> tuple[Form, Form]:
    """First and second divided difference in units of ``h``, as most multistep code has them; zero without history."""
    if not past:
        return Form(), Form()
    m1, h1 = past[0]
    r0 = h1 / h
    D10 = (m - m1) / r0
    if len(past) == 1:
        return D10, Form()
    m2, h2 = past[1]
    r1 = h2 / h
    D11 = (m1 - m2) / r1
    return D10 + (r0 / (r0 + r1)) * (D10 - D11), (D10 - D11) / (r0 + r1)


def dpmpp_heun(T: Trace, grid: Any, order: int = 2) -> None:
    """DPM-Solver++ multistep of type "heun" (diffusers), orders 1 to 3; the third lacks its factor 2, as published."""
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.denoise(T.x, s)
        D1, D2 = differences(m, h, past)
        p1 = expm1(-h)
        p2 = p1 / h + 1
        p3 = p2 / h - 0.5
        T.x = (t.sigma / s.sigma) * T.x - t.alpha * p1 * m + t.alpha * p2 * D1 - t.alpha * p3 * D2
        past = [(m, h), *past][: order - 1]


def dpm_solver_heun(T: Trace, grid: Any, order: int = 2) -> None:
    """DPM-Solver multistep of type "heun" (diffusers), on the noise; the third order as in :func:`dpmpp_heun`."""
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.evaluate(T.x, s).noise
        D1, D2 = differences(m, h, past)
        p1 = expm1(h)
        p2 = p1 / h - 1
        p3 = p2 / h - 0.5
        T.x = (t.alpha / s.alpha) * T.x - t.sigma * p1 * m - t.sigma * p2 * D1 - t.sigma * p3 * D2
        past = [(m, h), *past][: order - 1]


def dpm_solver_2m(T: Trace, grid: Any) -> None:
    """DPM-Solver 2M of type "midpoint" (diffusers), on the noise: ``... - sigma_t (e^h - 1) (eps + D_1 / 2)``."""
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.evaluate(T.x, s).noise
        D1 = differences(m, h, past)[0]
        T.x = (t.alpha / s.alpha) * T.x - t.sigma * expm1(h) * m - (t.sigma * expm1(h) / 2) * D1
        past = [(m, h)]


def res_2m(T: Trace, grid: Any) -> None:
    """RES 2M (Zhang et al. 2023; ComfyUI's ``res_multistep``), in ``x / alpha``:

    ``e^-h x + h (b_1 D + b_2 D_)``, ``b_2 = phi_2(-h) / c``, ``b_1 = phi_1(-h) - b_2``, ``c = -h_ / h``.
    """
    past = None
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        ahead = phi(1, -h) * D
        if past is not None:
            old, h_last = past
            b_2 = phi(2, -h) / (-h_last / h)
            ahead = (phi(1, -h) - b_2) * D + b_2 * old
        T.x = t.alpha * (exp(-h) / s.alpha * T.x + h * ahead)
        past = D, h


def etd_2(T: Trace, grid: Any) -> None:
    """ETD2 of Cox & Matthews 2002 for constant steps, on ``u' = -u + D``:

    ``e^-h u + [((1 - h) e^-h - 1 + 2 h) D - (e^-h - 1 + h) D_] / h``; the first step is exponential Euler.
    """
    old = None
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        new = -expm1(-h) * D
        if old is not None:
            new = (((1 - h) * exp(-h) - 1 + 2 * h) / h) * D - ((exp(-h) - 1 + h) / h) * old
        T.x = t.alpha * (exp(-h) / s.alpha * T.x + new)
        old = D


def b_1(z: Any) -> Any:
    """UniPC's "bh1": ``B(h) = h``."""
    return z


def b_2(z: Any) -> Any:
    """UniPC's "bh2": ``B(h) = e^h - 1``."""
    return expm1(z)


def one_half(right: Any) -> float:
    """What UniPC's code takes for the solution of its only equation at order two."""
    return 0.5


def solved(right: Any) -> Any:
    """The solution of UniPC's only equation at order two: its right side."""
    return right


def unip(
    T: Trace,
    grid: Any,
    order: int = 2,
    B: Callable[[Any], Any] = b_2,
    two: Callable[[Any], Any] = one_half,
) -> None:
    """UniP-p of UniPC (Zhao et al. 2023), ``p`` = 2 or 3, with ``z = -h``:

    ``(sigma_t / sigma_s) x - alpha_t (e^z - 1) D - alpha_t B(z) sum_j rho_j (D_j - D) / r_j``, where
    ``sum_j r_j^{i-1} rho_j = i! z phi_{i+1}(z) / B(z)``.
    """
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.denoise(T.x, s)
        z, b = -h, B(-h)
        right = [z * phi(2, z) / b, 2 * z * phi(3, z) / b]
        nodes = [-sum(step for _, step in past[: j + 1]) / h for j in range(len(past))]
        rho = [two(right[0])] if len(past) == 1 else _two_by_two(nodes, right)
        T.x = (t.sigma / s.sigma) * T.x - t.alpha * expm1(z) * m
        for (m_j, _), r_j, rho_j in zip(past, nodes, rho, strict=True):
            T.x = T.x - (t.alpha * b * rho_j) * ((m_j - m) / r_j)
        past = [(m, h), *past][: order - 1]


def _two_by_two(r: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    if len(r) < 2:
        return []
    return [(r[1] * b[0] - b[1]) / (r[1] - r[0]), (b[1] - r[0] * b[0]) / (r[1] - r[0])]


def deis_log_rho(T: Trace, grid: Any) -> None:
    """diffusers' DEIS of order two: ``eps`` linear in ``log kappa``, integrated in ``kappa`` on ``x / alpha``."""

    def integral(k: Any, b: Any, c: Any) -> Any:
        return k * (-log(c) + log(k) - 1) / (log(b) - log(c))

    past = None
    for s, t in T.steps(grid):
        e, a, b = T.evaluate(T.x, s).noise, ratio(t), ratio(s)
        new = (a - b) * e
        if past is not None:
            old, c = past
            new = (integral(a, b, c) - integral(b, b, c)) * e + (integral(a, c, b) - integral(b, c, b)) * old
        T.x = t.alpha * (1 / s.alpha * T.x + new)
        past = e, b
