"""Stochastic Runge-Kutta methods where the noise is additive and a pure increment, and the SDEs of flows.

With noise of one per log-SNR the reverse SDE is, in two coordinates,

    d(alpha x / sigma^2) = D drho + dB_rho,              rho = (alpha / sigma)^2        (data)
    d(x / alpha) = 2 eps dkappa + dB,                    kappa = sigma / alpha          (noise; Var dB = -d kappa^2)

so methods for ``dY = f(Y, rho) drho + dB`` apply as they are, with ``W = sqrt(L) z_0`` and the space-time area
``H = sqrt(L / 12) z_1`` of a step of length ``L`` (``int int dB drho = L (W / 2 + H)``, see
:mod:`diffnum.noise.brownian`), two independent normals. They are exact for constant data.

Methods that multiply a draw by a model call, such as the Ito-Taylor method of order 1.5 and Platen's explicit one
(Kloeden & Platen 1992, 10.4 and 11.2), are not linear in their registers and have no plan; those below put the area
inside the argument of the model instead. Their tables are derived in theory.additive.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..num import exp, expm1, log1p, sqrt
from ..plan import Level
from ..trace import Evaluation, Form, Solver, Trace, solver
from . import generated as g
from .rules import named
from .tables import Additive, scaled

__all__ = [
    "flow_sde",
    "flow_sde_heun",
    "karras_sde_heun",
    "platen",
    "shark",
    "sra1",
    "sra3",
    "stochastic_improved_euler",
]

FAMILY = "stochastic Runge-Kutta"


def in_data(table: Additive, T: Trace, grid: Any) -> None:
    for s, t in T.steps(grid):
        T.x = _first(T, s, t) if s.pure_noise or t.clean else _step(table, T, s, t)


def _first(T: Trace, s: Level, t: Level) -> Form:
    """Where ``rho`` is not finite; no noise at the clean level."""
    h, D = T.h(s, t), T.denoise(T.x, s)
    if t.clean:
        return t.alpha * D
    x = (t.sigma / s.sigma * exp(-h)) * T.x - (t.alpha * expm1(-2 * h)) * D
    return x + (t.sigma * sqrt(-expm1(-2 * h))) * T.noise(s, t)


def _step(table: Additive, T: Trace, s: Level, t: Level) -> Form:
    h = T.h(s, t)
    length = -((t.alpha / t.sigma) ** 2) * expm1(-2 * h)
    draws = [(w, T.noise(s, t)) for w in (sqrt(length), sqrt(length / 12))[: 1 + any(table.area)]]

    def state(u: Level, weights: Sequence[Any], path: Any, area: Any) -> Form:
        unit = u.sigma * u.sigma / u.alpha
        y = (unit * s.alpha / (s.sigma * s.sigma)) * T.x
        terms = [(scaled(w, unit * length), D) for w, D in zip(weights, seen, strict=True) if w]
        terms += [(scaled(p, unit * size), z) for p, (size, z) in zip((path, area), draws, strict=False) if p]
        for c, form in terms:
            y = y + c * form
        return y

    seen: list[Form] = []
    for c, row, path, area in zip(table.nodes, table.matrix, table.path, table.area, strict=True):
        u = s if c == 0 else t if c == 1 else T.below(s, log1p(scaled(c, expm1(2 * h))) / 2)
        still = not (row or path or area)
        seen.append(T.denoise(T.x if still else state(u, row, path, area), u))
    return state(t, table.weights, 1, 0)


def _named(name: str, table: Additive, cite: str, eq: str, says: str) -> Solver:
    claim = {"order": 2, "cold": 2, "cite": cite, "eq": eq, "family": FAMILY, "stochastic": True}
    return named(name, partial(in_data, table), says, **claim)


platen = _named(
    "platen",
    g.PLATEN,
    "kloeden1992",
    "15.1.3, additive noise",
    "Platen's explicit method of weak order two for additive noise: Heun with one draw, in ``(alpha / sigma)^2``.",
)
sra1 = _named(
    "sra1",
    g.SRA1,
    "rossler2010",
    "Table 6.1, SRA1",
    "Roessler's SRA1 in ``(alpha / sigma)^2``: strong order 1.5 and weak order two, two evaluations.",
)
sra3 = _named(
    "sra3",
    g.SRA3,
    "rossler2010",
    "Table 6.3, SRA3",
    "Roessler's SRA3 in ``(alpha / sigma)^2``: strong order 1.5, order three without noise, three evaluations.",
)
shark = _named(
    "shark",
    g.SHARK,
    "foster2024shark",
    "SRK (6.1), ShARK",
    "Shifted additive-noise Runge-Kutta in ``(alpha / sigma)^2``: strong order 1.5, two evaluations.",
)


# --- in kappa and in the clock ---


@solver(order=2, cold=2, cite="karras2022edm", eq="6, by stochastic Heun", family=FAMILY, stochastic=True)
def karras_sde_heun(T: Trace, grid: Any, rate: float = 0.5) -> None:
    """EDM's SDE in ``sigma / alpha``, with ``rate`` of noise per log-SNR, by Heun with one draw for both stages:

    ``d(x / alpha) = (1 + rate) eps dkappa + dB``, ``Var dB = -rate d kappa^2``; the step to ``sigma = 0`` is ``D``.

    With ``rate = 1`` the term in ``h^2`` is so small, where the noise has made early errors forgotten, that errors fall
    like ``h^3`` and faster down to some 1e-6; ``rate = 2`` shows ``h^3`` throughout.
    """
    if rate < 0:
        raise ValueError(f"rate = {rate!r} is no variance: use 0 or more")
    for s, t in T.steps(grid):
        e, q = T.evaluate(T.x, s), t.alpha / s.alpha
        if t.clean:
            T.x = t.alpha * e.data
            continue
        slope = (1 + rate) * (t.sigma - q * s.sigma)
        kept = q * T.x
        if rate:
            kept = kept + (t.sigma * sqrt(rate * expm1(2 * T.h(s, t)))) * T.noise(s, t)
        T.x = kept + (slope / 2) * (e.noise + T.evaluate(kept + slope * e.noise, t).noise)


@solver(order=1, cold=1, cite="ma2024sit", eq="6, Euler-Maruyama", family=FAMILY, stochastic=True)
def flow_sde(T: Trace, grid: Any, norm: float = 1.0, power: int = 1) -> None:
    """The SDE of stochastic interpolants with diffusion ``w = norm sigma^power`` that is chosen freely, in the clock:

    ``dx = (v - w score / 2) dc + sqrt(w) dW``, backwards, by Euler-Maruyama; ``power = 0`` is a constant ``w``. No
    noise at ``sigma = 0``.
    """
    _check_norm(norm)
    for s, t in T.steps(grid):
        e, dc = T.evaluate(T.x, s), T.dt(s, t)
        T.x = T.x + dc * _drift(e, norm, power)
        if not t.clean and norm:
            T.x = T.x + sqrt(-norm * s.sigma**power * dc) * T.noise(s, t)


@solver(
    order=1,
    cold=1,
    cite="ma2024sit",
    eq="their code, Heun",
    family=FAMILY,
    stochastic=True,
    note="noise first, with the coefficient at the start of the step and the model called there: weak order one",
)
def flow_sde_heun(T: Trace, grid: Any, norm: float = 1.0, power: int = 1) -> None:
    """The same SDE by the Heun method of SiT's code: the step's noise is added first, then Heun without noise."""
    _check_norm(norm)
    for s, t in T.steps(grid):
        dc = T.dt(s, t)
        x = T.x + sqrt(-norm * s.sigma**power * dc) * T.noise(s, t) if norm and not t.clean else T.x
        first = _drift(T.evaluate(x, s), norm, power)
        T.x = x + dc * first
        if not t.clean:
            T.x = x + (dc / 2) * (first + _drift(T.evaluate(T.x, t), norm, power))


def _drift(e: Evaluation, norm: float, power: int) -> Form:
    s = e.level
    return e.slope + (norm * s.sigma**power / (2 * s.sigma)) * e.noise


def _check_norm(norm: float) -> None:
    if norm < 0:
        raise ValueError(f"norm = {norm!r} is no variance: use 0 or more")


# --- in the process's clock ---


@solver(order=2, cold=2, cite="jolicoeur2021ggf", eq="Algorithm 1, without control", family=FAMILY, stochastic=True)
def stochastic_improved_euler(T: Trace, grid: Any) -> None:
    """Stochastic improved Euler on the reverse SDE in the process's clock, one draw for both slopes:

    ``x' = x + dc f(x, s) + g_s sqrt(|dc|) z``, ``x~ = x + dc f(x', t) + g_t sqrt(|dc|) z``, ``x_t = (x' + x~) / 2``;
    ``D`` on a step to ``sigma = 0``.

    With error control on ``x_t - x'`` it is :func:`diffnum.adaptive.gotta_go_fast`.
    """
    for s, t in T.steps(grid):
        if t.clean:
            T.x = t.alpha * T.denoise(T.x, s)
            continue
        z = T.noise(s, t)
        first = _maruyama(T, T.x, T.x, s, T.dt(s, t), z)
        low = Form(((T.pin(first, "low"), 1.0),))
        T.x = 0.5 * low + 0.5 * _maruyama(T, T.x, low, t, T.dt(s, t), z)


def _maruyama(T: Trace, x: Form, at: Form, level: Level, dc: Any, z: Form) -> Form:
    """Euler-Maruyama from ``x`` with the coefficients and the prediction at ``at``."""
    e = T.evaluate(at, level)
    da, ds = T.process.rates(level)
    g2 = 2 * level.sigma * (ds - level.sigma * da / level.alpha)
    return x + dc * e.slope + (dc * g2 / (2 * level.sigma)) * e.noise + sqrt(-g2 * dc) * z
