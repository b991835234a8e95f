"""Ancestral steps: down to less noise than the next level has, then noise up to it.

Let ``keep`` be the share of the next level's noise that a step leaves from the last one. Whatever ``keep`` is,

    x_t = alpha_t D + keep sigma_t eps + sqrt(1 - keep^2) sigma_t z

has the right law to the order of the step down; what differs is the noise per log-SNR. With ``h`` the log-SNR step,

    DDPM, k-diffusion:   keep^2 = 1 - eta^2 (1 - e^-2h)                           eta^2 of noise per log-SNR
    rectified flow:      keep = (1 - u (1 - tau)) / (1 + u tau),  u = eta (1 - e^-h)    eta of noise per log-SNR

where ``tau = sigma / (alpha + sigma)`` is the time of the straight path, on which codes for flow models step down to
``tau_t (1 + eta (tau_t / tau_s - 1))``. Down a step is DDIM's, of weak order one, or of two evaluations, of order two.

All are for isotropic noise. Generalised DDIM (Zhang et al. 2023, gDDIM) differs from DDIM only where the noise has
another covariance than a multiple of the identity, as with blurring or a momentum; on these processes it is
:func:`~diffnum.solvers.stochastic.ddim_eta`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..num import exp, expm1, log, sqrt
from ..plan import Level
from ..process import as_float
from ..trace import Form, Solver, Trace, solver
from .coords import noise_transfer, transfer
from .rules import named

__all__ = [
    "ddpm_ancestral_large",
    "ddpm_ancestral_range",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_rf",
    "euler_ancestral",
    "euler_ancestral_rf",
    "kdpm2_ancestral",
    "kdpm2_ancestral_rf",
    "renoise",
    "ucgm_auto",
    "ucgm_auto_coded",
    "ucgm_renoise",
]

FAMILY = "ancestral"
Split = tuple[Any, Any]


# --- the posterior's variance ---


@solver(order=1, cold=1, cite="ho2020ddpm", eq="Section 3.2, sigma_t^2 = beta_t", family=FAMILY, stochastic=True)
def ddpm_ancestral_large(T: Trace, grid: Any) -> None:
    """DDPM with the upper variance, that of the forward step ``sigma_s^2 (1 - e^-2h)``: right for data of unit normals.

    The mean is the posterior's, so that the law misses by more than with the posterior's own variance, and at the same
    order. "fixed_large" of codes; none at ``sigma = 0``.
    """
    for s, t in T.steps(grid):
        _posterior(T, s, t, 1.0)


@solver(order=1, cold=1, cite="nichol2021improved", eq="15", family=FAMILY, stochastic=True)
def ddpm_ancestral_range(T: Trace, grid: Any, v: float = 0.5) -> None:
    """DDPM with a variance between the lower (``v = 0``) and the upper (``v = 1``), geometrically:

    ``exp(v log beta + (1 - v) log beta~)``. A network that learns its variance returns ``v`` for each coordinate; here
    it is one number.

    Raises:
        ValueError: ``v`` is not in [0, 1].
    """
    if not 0 <= v <= 1:
        raise ValueError(f"v = {v!r} is beyond the two variances: use 0 <= v <= 1")
    for s, t in T.steps(grid):
        _posterior(T, s, t, v)


def _posterior(T: Trace, s: Level, t: Level, v: float) -> None:
    e = T.evaluate(T.x, s)
    if t.clean:
        T.x = t.alpha * e.data
        return
    h = T.h(s, t)
    T.x = t.alpha * e.data + (t.sigma * exp(-h)) * e.noise
    grown = exp(v * log(s.sigma / t.sigma)) if v else 1.0
    T.x = T.x + (t.sigma * grown * sqrt(-expm1(-2 * h))) * T.noise(s, t)


# --- how far down ---


def _variance_split(T: Trace, s: Level, t: Level, eta: Any) -> Split:
    """``keep`` and ``sqrt(1 - keep^2)`` of DDPM and k-diffusion."""
    h = T.h(s, t)
    keep = exp(-h) if eta == 1 else sqrt(1 - eta**2 + eta**2 * exp(-2 * h))
    return keep, eta * sqrt(-expm1(-2 * h))


def _flow_split(T: Trace, s: Level, t: Level, eta: Any) -> Split:
    """``keep`` and ``sqrt(1 - keep^2)`` of codes for rectified flow."""
    u, tau = -eta * expm1(-T.h(s, t)), t.sigma / (t.alpha + t.sigma)
    gone = u / (1 + u * tau)
    return 1 - gone, sqrt(gone * (2 - gone))


# --- down a step: the state at ``t`` with ``keep`` of its noise ---

Descent = Callable[[Trace, Level, Level, Any], Form]


def _euler(T: Trace, s: Level, t: Level, keep: Any) -> Form:
    e = T.evaluate(T.x, s)
    return t.alpha * e.data + (t.sigma * keep) * e.noise


def _dpm_2(T: Trace, s: Level, t: Level, keep: Any) -> Form:
    """The midpoint rule for the noise at the geometric mean of the two ``sigma / alpha``."""
    if s.pure_noise or t.clean:
        return _euler(T, s, t, keep)
    e, m = T.evaluate(T.x, s), _middle(T, s, t, keep)
    q = t.alpha / s.alpha
    return q * T.x + (keep * t.sigma - q * s.sigma) * T.evaluate(noise_transfer(T.x, s, m, e.noise), m).noise


def _dpmpp_2s(T: Trace, s: Level, t: Level, keep: Any) -> Form:
    """The midpoint rule for the data, exponential, halfway in log-SNR."""
    if s.pure_noise or t.clean:
        return _euler(T, s, t, keep)
    D, m = T.denoise(T.x, s), _middle(T, s, t, keep)
    r = keep * t.sigma / s.sigma
    return r * T.x + (t.alpha - r * s.alpha) * T.denoise(transfer(T.x, s, m, D), m)


def _dpm_2_on_flow(T: Trace, s: Level, t: Level, keep: Any) -> Form:
    """The midpoint rule for ``eps - D`` in ``tau``, at the geometric mean of the two ``tau``."""
    if s.pure_noise or t.clean:
        return _euler(T, s, t, keep)
    e, a, c = T.evaluate(T.x, s), s.alpha + s.sigma, t.alpha + keep * t.sigma
    start, stop = s.sigma / a, keep * t.sigma / c
    middle = sqrt(start * stop)
    m = T.below(s, log((1 - middle) * start / (middle * (1 - start))))
    x = ((m.alpha + m.sigma) / a) * T.x + ((m.alpha + m.sigma) * (middle - start)) * e.read((-1.0, 1.0))
    return (c / a) * T.x + (c * (stop - start)) * T.evaluate(x, m).read((-1.0, 1.0))


def _middle(T: Trace, s: Level, t: Level, keep: Any) -> Level:
    """Halfway in log-SNR to where ``keep`` of the noise is left."""
    return T.below(s, (T.h(s, t) - log(keep)) / 2)


# --- and up again ---


def _down_and_up(split: Callable[..., Split], descend: Descent) -> Callable[..., None]:
    def build(T: Trace, grid: Any, eta: float = 1.0) -> None:
        _check("eta", eta)
        for s, t in T.steps(grid):
            keep, spread = split(T, s, t, eta)
            x = descend(T, s, t, keep)
            T.x = x if t.clean or not eta else x + (t.sigma * spread) * T.noise(s, t)

    return build


def _check(name: str, value: Any) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} = {value!r} leaves no variance for the predicted noise: use 0 <= {name} <= 1")


def _named(name: str, split: Callable[..., Split], descend: Descent, order: int, says: str) -> Solver:
    cite = "crowson2022kdiffusion" if split is _variance_split else "comfy2023comfyui"
    claim = {"order": order, "cold": order, "cite": cite, "eq": f"sample_{says.split()[0]}", "family": FAMILY}
    return named(name, _down_and_up(split, descend), says.partition(" ")[2], stochastic=True, **claim)


euler_ancestral = _named(
    "euler_ancestral",
    _variance_split,
    _euler,
    1,
    "euler_ancestral Euler in ``sigma / alpha``: ``ddim_eta``, ``eta = 1``.",
)
kdpm2_ancestral = _named(
    "kdpm2_ancestral",
    _variance_split,
    _dpm_2,
    2,
    "dpm_2_ancestral DPM-Solver-2 down; its middle is ``t`` at ``eta = 1``.",
)
dpmpp_2s_ancestral = _named(
    "dpmpp_2s_ancestral", _variance_split, _dpmpp_2s, 2, "dpmpp_2s_ancestral DPM-Solver++(2S) down, then noise up."
)
euler_ancestral_rf = _named(
    "euler_ancestral_rf",
    _flow_split,
    _euler,
    1,
    "euler_ancestral_RF Euler on the straight path of flow models, any process.",
)
kdpm2_ancestral_rf = _named(
    "kdpm2_ancestral_rf", _flow_split, _dpm_2_on_flow, 2, "dpm_2_ancestral_RF The midpoint rule on the straight path."
)
dpmpp_2s_ancestral_rf = _named(
    "dpmpp_2s_ancestral_rf", _flow_split, _dpmpp_2s, 2, "dpmpp_2s_ancestral_RF DPM-Solver++(2S) down the straight path."
)


# --- a fixed share of fresh noise ---


@solver(
    order=0,
    cold=0,
    cite="sun2025ucgm",
    eq="rho of UCGM-S, without extrapolation",
    family=FAMILY,
    stochastic=True,
    note="the share does not shrink with the step: each step starts anew, and levels add up their first-order errors",
)
def ucgm_renoise(T: Trace, grid: Any, rho: float = 0.5) -> None:
    """``alpha_t D + sigma_t (sqrt(1 - rho) eps + sqrt(rho) z)``: a share ``rho`` of the noise is fresh at every level.

    Raises:
        ValueError: ``rho`` is not in [0, 1].
    """
    _check("rho", rho)
    for s, t in T.steps(grid):
        T.x = _shared(T, s, t, rho)


def _shared(T: Trace, s: Level, t: Level, rho: Any) -> Form:
    e, known = T.evaluate(T.x, s), as_float(rho)
    x = t.alpha * e.data if known == 1 else t.alpha * e.data + (t.sigma * sqrt(1 - rho)) * e.noise
    return x if t.clean or known == 0 else x + (t.sigma * sqrt(rho)) * T.noise(s, t)


@solver(order=1, cold=1, cite="sun2025ucgm", eq="rho of UCGM-S, 'Auto' at every step", family=FAMILY, stochastic=True)
def ucgm_auto(T: Trace, grid: Any) -> None:
    """:data:`ucgm_renoise` with ``rho = min(1, 2 sigma_s |t - s| / sigma_t^2)``, ``s`` and ``t`` the process's times.

    On :class:`~diffnum.process.Flow` a step of the reverse SDE whose diffusion coefficient is ``sqrt(2 sigma)``.
    """
    for s, t in T.steps(grid):
        T.x = _shared(T, s, t, 0 if t.clean else _auto(s, t))


@solver(
    order=1,
    cold=1,
    cite="sun2025ucgm",
    eq="uni_sample, stochast_ratio = 'Auto'",
    family=FAMILY,
    stochastic=True,
    note="as coded: the share of the first step serves all; it shrinks with that step, so that the order is kept",
)
def ucgm_auto_coded(T: Trace, grid: Any) -> None:
    """:data:`ucgm_auto` as its authors' code runs it: the word is replaced by the first step's share."""
    first, second, *_ = grid.levels
    rho = 0 if second.clean else _auto(first, second)
    for s, t in T.steps(grid):
        T.x = _shared(T, s, t, rho)


def _auto(s: Level, t: Level) -> Any:
    share = 2 * s.sigma * (s.t - t.t) / (t.sigma * t.sigma)
    value = as_float(share)
    return 1.0 if value is not None and value > 1 else share


@solver(
    order=0,
    cold=0,
    cite="song2023consistency",
    eq="Algorithm 1",
    family=FAMILY,
    stochastic=True,
    note="with a consistency model it is exact; with a denoiser its law has lost what D does not say, on any grid",
)
def renoise(T: Trace, grid: Any) -> None:
    """``alpha_t D + sigma_t z``: all noise fresh at every level, as consistency models and few-step flows are sampled
    (``stochastic_sampling`` of flow schedulers)."""
    ucgm_renoise.build(T, grid, rho=1.0)
