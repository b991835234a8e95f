"""Stochastic and mean-reverting samplers as their papers, or the code that made them known, write them.

See :mod:`theory.published` for what ``sigma`` means where ``alpha`` is not 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffnum.num import exp, expm1, log, phi, sqrt
from diffnum.plan import Level
from diffnum.trace import Form, Trace

from .published import differences, ratio, to_d

# --- exponential steps of the reverse SDE


def sde_heun(z: Any) -> Any:
    """Weight of the first difference in ``solver_type="heun"``: ``(1 - e^-z) / -z + 1``."""
    return -expm1(-z) / -z + 1


def sde_midpoint(z: Any) -> Any:
    """Weight of the first difference in ``solver_type="midpoint"``: ``(1 - e^-z) / 2``."""
    return -expm1(-z) / 2


def sde_first(z: Any) -> int:
    """No first difference: SDE-DPM-Solver++-1."""
    return 0


def k_dpmpp_2m_sde(T: Trace, grid: Any, eta: Any = 1, weight: Callable[[Any], Any] = sde_midpoint) -> None:
    """k-diffusion's ``sample_dpmpp_2m_sde`` with ``alpha_t`` put in, as in ComfyUI; ``z = h + eta h``:

    ``(sigma_t / sigma_s) e^(-eta h) x + alpha_t ((1 - e^-z) D + weight(z) (D - D_) h / h_)``, and
    ``sigma_t sqrt(1 - e^(-2 eta h))`` of noise.
    """
    past = None
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        z = h + eta * h
        x = (t.sigma / s.sigma) * exp(-eta * h) * T.x - t.alpha * expm1(-z) * D
        if past is not None:
            old, h_last = past
            x = x + (t.alpha * weight(z) / (h_last / h)) * (D - old)
        T.x = x if eta == 0 else x + t.sigma * sqrt(-expm1(-2 * eta * h)) * T.noise(s, t)
        past = D, h


def sde_dpm_solver(T: Trace, grid: Any, order: int = 1) -> None:
    """SDE-DPM-Solver-1 and 2M of type "heun" (diffusers), on the noise:

    ``(alpha_t / alpha_s) x - 2 sigma_t ((e^h - 1) eps + ((e^h - 1) / h - 1) D_1) + sigma_t sqrt(e^2h - 1) n``.
    """
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.evaluate(T.x, s).noise
        D1 = differences(m, h, past)[0]
        x = (t.alpha / s.alpha) * T.x - 2 * t.sigma * expm1(h) * m - 2 * t.sigma * (expm1(h) / h - 1) * D1
        T.x = x + t.sigma * sqrt(expm1(2 * h)) * T.noise(s, t)
        past = [(m, h)][: order - 1]


def square(kappa: Any) -> Any:
    """ER-SDE's ``phi(x) = x^2``: the reverse SDE."""
    return kappa**2


def identity(kappa: Any) -> Any:
    """ER-SDE's ``phi(x) = x``: the probability flow, without noise."""
    return kappa


def er_sde_1(T: Trace, grid: Any, scale: Callable[[Any], Any] = square) -> None:
    """ER-SDE-Solver-1 (Cui et al. 2023), ``r = phi(kappa_t) / phi(kappa_s)``:

    ``(alpha_t / alpha_s) r x + alpha_t (1 - r) D + alpha_t sqrt(kappa_t^2 - kappa_s^2 r^2) n``.
    """
    for s, t in T.steps(grid):
        r = scale(ratio(t)) / scale(ratio(s))
        T.x = (t.alpha / s.alpha) * r * T.x + t.alpha * (1 - r) * T.denoise(T.x, s)
        if scale is not identity:
            T.x = T.x + t.alpha * sqrt(ratio(t) ** 2 - ratio(s) ** 2 * r**2) * T.noise(s, t)


# --- ancestral steps: down to less noise than wanted, then up


def ancestral_step(s: Level, t: Level, eta: Any) -> tuple[Any, Any]:
    """k-diffusion's ``sigma_down`` and ``sigma_up``, for ``eta <= 1``."""
    up = eta * sqrt(t.sigma**2 * (s.sigma**2 - t.sigma**2) / s.sigma**2)
    return sqrt(t.sigma**2 - eta**2 * (t.sigma**2 - t.sigma**4 / s.sigma**2)), up


def euler_ancestral(T: Trace, grid: Any, eta: Any = 1) -> None:
    """k-diffusion's ``sample_euler_ancestral``: Euler down to ``sigma_down``, then ``sigma_up`` of noise."""
    for s, t in T.steps(grid):
        down, up = ancestral_step(s, t, eta)
        T.x = T.x + (down - s.sigma) * to_d(T, T.x, s) + up * T.noise(s, t)


def res_ancestral(T: Trace, grid: Any, eta: Any = 1) -> None:
    """ComfyUI's ``res_multistep_ancestral``: RES 2M from ``sigma`` to ``sigma_down``, then ``sigma_up`` of noise."""
    past = None
    for s, t in T.steps(grid):
        D = T.denoise(T.x, s)
        down, up = ancestral_step(s, t, eta)
        h = log(s.sigma) - log(down)
        new = phi(1, -h) * D
        if past is not None:
            old, c = past
            b_2 = phi(2, -h) / (c / h)
            new = (phi(1, -h) - b_2) * D + b_2 * old
        T.x = exp(-h) * T.x + h * new + up * T.noise(s, t)
        # t_prev - t_old of the next step
        past = D, log(down) - log(s.sigma)


# --- mean-reverting diffusion: x = alpha x0 + (1 - alpha) mu + sigma eps


def vector(T: Trace, grid: Any) -> Form:
    """A vector given from outside, such as ``mu``: formally a draw, which is a register that nothing defines."""
    return T.noise(grid.levels[0], grid.levels[0], "mu")


def mrs_data(T: Trace, grid: Any, order: int = 1) -> None:
    """MRS-n for the ODE with data prediction (Li et al. 2025 and their code), orders 1 to 3."""
    past: list[tuple[Form, Any]] = []
    mu = vector(T, grid)
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.denoise(T.x, s)
        D1, D2 = differences(m, h, past)
        p1 = expm1(-h)
        p2 = p1 / h + 1
        p3 = p2 / h - 0.5
        r = t.sigma / s.sigma
        T.x = r * T.x - t.alpha * (p1 * m - p2 * D1 + p3 * D2) + (1 - r + r * s.alpha - t.alpha) * mu
        past = [(m, h), *past][: order - 1]


def mrs_noise(T: Trace, grid: Any, order: int = 1) -> None:
    """MRS-n for the ODE with noise prediction, orders 1 to 3; ``eps = (x - alpha D - (1 - alpha) mu) / sigma``."""
    past: list[tuple[Form, Any]] = []
    mu = vector(T, grid)
    for s, t in T.steps(grid):
        h = T.h(s, t)
        m = T.evaluate(T.x, s).noise - (1 - s.alpha) / s.sigma * mu
        D1, D2 = differences(m, h, past)
        p1 = expm1(h)
        p2 = p1 / h - 1
        p3 = p2 / h - 0.5
        q = t.alpha / s.alpha
        T.x = q * T.x - t.sigma * (p1 * m + p2 * D1 + p3 * D2) + (1 - q) * mu
        past = [(m, h), *past][: order - 1]


def mrs_sde_data(T: Trace, grid: Any, order: int = 1) -> None:
    """MRS-n for the SDE with data prediction, orders 1 and 2."""
    past: list[tuple[Form, Any]] = []
    mu = vector(T, grid)
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.denoise(T.x, s)
        D1, p1 = differences(m, h, past)[0], -expm1(-2 * h)
        p2 = 1 - p1 / 2 / h
        shift = 1 - t.alpha / s.alpha * exp(-2 * h) - t.alpha * p1
        T.x = (t.sigma / s.sigma) * exp(-h) * T.x + t.alpha * (p1 * m + p2 * D1) + shift * mu
        T.x = T.x + t.sigma * sqrt(p1) * T.noise(s, t)
        past = [(m, h)][: order - 1]


def mrs_sde_noise(T: Trace, grid: Any, order: int = 1) -> None:
    """MRS-n for the SDE with noise prediction, orders 1 and 2."""
    past: list[tuple[Form, Any]] = []
    mu = vector(T, grid)
    for s, t in T.steps(grid):
        h = T.h(s, t)
        m = T.evaluate(T.x, s).noise - (1 - s.alpha) / s.sigma * mu
        D1, q = differences(m, h, past)[0], t.alpha / s.alpha
        T.x = q * T.x - 2 * t.sigma * (expm1(h) * m + (expm1(h) / h - 1) * D1) + (1 - q) * mu
        T.x = T.x + t.sigma * sqrt(expm1(2 * h)) * T.noise(s, t)
        past = [(m, h)][: order - 1]
