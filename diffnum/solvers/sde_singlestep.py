"""Stochastic single-step samplers: SDE-DPM-Solver++(2S, 3S), DPM++ SDE and SEEDS.

The noise at a node and that at the end of the step belong to one path; a sampler that draws them on their own has
another law, and weak order one. ``rate`` is the noise per log-SNR, 1 by default.
"""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

from ..num import exp, expm1, sqrt
from ..plan import Level
from ..trace import Form, Solver, Trace, solver
from . import generated as g
from .coords import transfer
from .rules import Build, named
from .sde_rules import DATA_SDE, NOISE_SDE, stochastic_runge_kutta

__all__ = [
    "dpmpp_sde",
    "dpmpp_sde_independent",
    "sde_dpmpp_2s",
    "sde_dpmpp_2s_coded",
    "sde_dpmpp_2s_heun",
    "sde_dpmpp_3s",
    "sde_dpmpp_3s_coded",
    "sde_dpmpp_3s_taylor",
    "seeds_1",
    "seeds_2",
    "seeds_3",
]

FAMILY = "stochastic single-step"
CODE = "diffusers: DPMSolverSinglestepScheduler, sde-dpmsolver++"


def coded_3s(z: Any, r1: Any, r2: Any) -> Any:
    """Type taylor with ``-1/2`` for ``1/2`` in the factor of the second derivative, minus one."""
    nodes, matrix, b = g.dpm_3s_taylor(z, r1, r2)
    # minus 2 D[0, r1, r2] / (1 + rate) h, with z = -(1 + rate) h
    more = (2 / (z * r1 * r2), 2 / (z * r1 * (r1 - r2)), 2 / (z * r2 * (r2 - r1)))
    return nodes, matrix, tuple(w + m for w, m in zip(b, more, strict=True))


def _sampler(name: str, build: Build, order: int, cite: str, eq: str, says: str, note: str = "") -> Solver:
    return named(
        name, build, says, order=order, cold=order, cite=cite, eq=eq, family=FAMILY, note=note, stochastic=True
    )


sde_dpmpp_2s = _sampler(
    "sde_dpmpp_2s",
    stochastic_runge_kutta(DATA_SDE, g.dpm_2s, r=F(1, 2)),
    2,
    "lu2022dpmpp",
    "SDE-DPM-Solver++, Algorithm 1 with noise",
    "SDE-DPM-Solver++(2S): a node at the fraction ``r`` of the log-SNR step, noise of one path; SEEDS-2 on the data.",
)
sde_dpmpp_2s_heun = _sampler(
    "sde_dpmpp_2s_heun",
    stochastic_runge_kutta(DATA_SDE, g.etd2, r=F(1, 2)),
    2,
    "lu2022dpmpp",
    "SDE-DPM-Solver++, solver type heun",
    "SDE-DPM-Solver++(2S), type heun: the line through both data is integrated exactly, noise of one path.",
)
sde_dpmpp_2s_coded = _sampler(
    "sde_dpmpp_2s_coded",
    stochastic_runge_kutta(DATA_SDE, g.dpm_2s, independent=True, r=F(1, 2)),
    1,
    "lu2022dpmpp",
    CODE + " of order 2",
    "SDE-DPM-Solver++(2S) with noise at the node and at the end drawn on their own, as diffusers has it.",
    "published as order two; the end forgets the noise that its node has seen, which leaves weak order one",
)
sde_dpmpp_3s = _sampler(
    "sde_dpmpp_3s",
    stochastic_runge_kutta(DATA_SDE, g.dpm_3s, r1=F(1, 3), r2=F(2, 3)),
    2,
    "gonzalez2023seeds",
    "SEEDS-3 on the data",
    "SDE-DPM-Solver++(3S): nodes at ``r1``, ``r2``, noise of one path; of order three without noise.",
    "weak order two: the square of what the nodes do not see of the path inside the step is missing",
)
sde_dpmpp_3s_taylor = _sampler(
    "sde_dpmpp_3s_taylor",
    stochastic_runge_kutta(DATA_SDE, g.dpm_3s_taylor, r1=F(1, 3), r2=F(2, 3)),
    2,
    "lu2022dpmpp",
    "SDE-DPM-Solver++, solver type heun of order 3, corrected",
    "SDE-DPM-Solver++(3S) of type taylor, noise of one path; of order three without noise.",
)
sde_dpmpp_3s_coded = _sampler(
    "sde_dpmpp_3s_coded",
    stochastic_runge_kutta(DATA_SDE, coded_3s, independent=True, r1=F(1, 3), r2=F(2, 3)),
    0,
    "lu2022dpmpp",
    CODE + " of order 3, type heun",
    "SDE-DPM-Solver++(3S) as diffusers has it.",
    "published as order three; the sign of 1/2 in the factor of the second derivative leaves no order at all",
)
seeds_1 = _sampler(
    "seeds_1",
    stochastic_runge_kutta(NOISE_SDE, g.exponential_euler),
    1,
    "gonzalez2023seeds",
    "SEEDS-1",
    "SEEDS-1: ``x_t = (alpha_t/alpha_s) x - 2 sigma_t (e^h - 1) eps + sigma_t sqrt(e^{2h} - 1) z``; SDE-DPM-Solver-1.",
)
seeds_2 = _sampler(
    "seeds_2",
    stochastic_runge_kutta(NOISE_SDE, g.dpm_2s, r=F(1, 2)),
    2,
    "gonzalez2023seeds",
    "SEEDS-2",
    "SEEDS-2, on the noise, with its node at ``r`` (1/2 in the paper) and noise of one path wherever the node is.",
)
seeds_3 = _sampler(
    "seeds_3",
    stochastic_runge_kutta(NOISE_SDE, g.dpm_3s, r1=F(1, 3), r2=F(2, 3)),
    2,
    "gonzalez2023seeds",
    "SEEDS-3",
    "SEEDS-3, on the noise, nodes at ``r1``, ``r2``; weak order two with noise, order three without.",
    "weak order two: the square of what the nodes do not see of the path inside the step is missing",
)


@solver(
    order=2,
    cold=2,
    cite="crowson2022kdiffusion",
    eq="sample_dpmpp_sde",
    family=FAMILY,
    stochastic=True,
)
def dpmpp_sde(T: Trace, grid: Any, eta: Any = 1, r: Any = F(1, 2)) -> None:
    """DPM++ SDE: :data:`sde_dpmpp_2s` with ``eta`` as in DDIM, and noise of a Brownian motion in ``sigma / alpha``:

    ``N_m ~ W(s, m)`` and ``N_t ~ W(s, t)`` share the fraction ``(1 - e^{-r h}) / (1 - e^-h)`` of their variance, where
    one path of the reverse SDE would have ``(e^{2 r h} - 1) / (e^{2h} - 1)``: the same up to ``O(h)``.
    """
    for s, t in T.steps(grid):
        _two_stages(T, s, t, eta, r, "shared")


@solver(
    order=1,
    cold=1,
    cite="crowson2022kdiffusion",
    eq="sample_dpmpp_sde with a noise sampler that draws afresh",
    family=FAMILY,
    stochastic=True,
    note="published as order two; the end forgets the noise that its node has seen, which leaves weak order one",
)
def dpmpp_sde_independent(T: Trace, grid: Any, eta: Any = 1, r: Any = F(1, 2)) -> None:
    """DPM++ SDE with a fresh draw for the node and another for the end, as ports without a Brownian tree have it."""
    for s, t in T.steps(grid):
        _two_stages(T, s, t, eta, r, "fresh")


def _two_stages(T: Trace, s: Level, t: Level, eta: Any, r: Any, noise: str) -> None:
    D = T.denoise(T.x, s)
    if t.clean:
        T.x = transfer(T.x, s, t, D)
        return
    if s.pure_noise:
        T.x = _down(T, s, t, eta, D) + (eta * t.sigma) * T.noise(s, t)
        return
    m = t if r == 1 else T.between(s, t, r)
    up, whole = (u.sigma * eta * sqrt(-expm1(-2 * T.h(s, u))) for u in (m, t))
    z = T.noise(s, m) if eta else Form()
    Dm = T.denoise(_down(T, s, m, eta, D) + up * z, m)
    if eta and noise == "fresh":
        z = T.noise(s, t)
    elif eta and r != 1:
        share = expm1(-T.h(s, m)) / expm1(-T.h(s, t))
        z = sqrt(share) * z + sqrt(1 - share) * T.noise(m, t)
    half = 1 / (2 * r)
    T.x = _down(T, s, t, eta, _times(1 - half, D) + _times(half, Dm)) + whole * z


def _times(c: Any, D: Form) -> Form:
    return float(c) * D if isinstance(c, (int, float)) else c * D


def _down(T: Trace, s: Level, u: Level, eta: Any, D: Form) -> Form:
    """DDIM to the level from which the noise leads up to ``u``, at ``sqrt(1 - eta^2 (1 - e^-2h))`` of its ``sigma``."""
    h = T.h(s, u)
    down = sqrt(1 + eta**2 * expm1(-2 * h))
    return (u.sigma / s.sigma * down) * T.x + (u.alpha * (1 - down * exp(-h))) * D
