"""Stochastic multistep samplers: SDE-DPM-Solver(++), in data and in noise, and SA-Solver.

Each is a row of weights for a rule of :mod:`.sde_rules`; ``rate`` is its noise per log-SNR, 1 by default. With
``rate=0`` it is the deterministic sampler of the same weights. gDDIM on a scalar process is ``sde_dpmpp_1`` with
``rate = lambda^2`` (Zhang et al. 2023, theorem 2 and proposition 6), which is DDIM with an ``eta`` for every step.

SA-Solver on the noise stops at two points in the predictor where there is a corrector: with three, few steps from high
noise multiply the rounding of float32 by more than the 16 that a certificate allows (26 to 40), since the weights of
the noise are ``1 + rate`` times those of the flow. The rules build them all the same.
"""

from __future__ import annotations

from typing import Any

from ..trace import Solver
from . import generated as g
from .rules import Build, named
from .sde_rules import (
    ADAMS,
    ADAMS_MOULTON,
    DATA_SDE,
    NOISE_SDE,
    stochastic_adams,
    stochastic_predictor_corrector,
)

__all__ = [
    "sa_p1c1",
    "sa_p1c2",
    "sa_p1c2_noise",
    "sa_p2",
    "sa_p2_exact",
    "sa_p2_noise",
    "sa_p2c2",
    "sa_p2c2_exact",
    "sa_p2c2_noise",
    "sa_p2c3",
    "sa_p2c3_noise",
    "sa_p3",
    "sa_p3_noise",
    "sa_p3c3",
    "sa_p3c4",
    "sa_p4",
    "sa_p4_noise",
    "sa_p4c4",
    "sde_dpm_1",
    "sde_dpm_2m",
    "sde_dpm_2m_heun",
    "sde_dpm_3m_corrected",
    "sde_dpmpp_1",
    "sde_dpmpp_2m",
    "sde_dpmpp_2m_heun",
    "sde_dpmpp_3m",
    "sde_dpmpp_3m_coded",
    "sde_dpmpp_3m_corrected",
]

DPMPP = "stochastic multistep"
SA = "stochastic Adams"


def coded_3m(z: Any, c1: Any, c2: Any) -> Any:
    """Weights of diffusers' third order: ``-1/2`` for ``1/2`` in the factor of the second difference, minus one."""
    w = g.dpm_3m(z, c1, c2)
    # minus D[0, c1, c2] / (1 + rate) h, with z = -(1 + rate) h
    return w[0] + 1 / (z * c1 * c2), w[1] + 1 / (z * c1 * (c1 - c2)), w[2] + 1 / (z * c2 * (c2 - c1))


def implicit(z: Any) -> Any:
    """The new point alone."""
    return *g.exponential_adams_1(z), 0


def _sampler(
    name: str, build: Build, order: int, eq: str, says: str, note: str = "", cold: int | None = None
) -> Solver:
    cite = "lu2022dpmpp"
    start = order if cold is None else cold
    return named(name, build, says, order=order, cold=start, cite=cite, eq=eq, family=DPMPP, note=note, stochastic=True)


sde_dpmpp_1 = _sampler(
    "sde_dpmpp_1",
    stochastic_adams(DATA_SDE, ADAMS[0]),
    1,
    "SDE-DPM-Solver++1",
    "``(sigma_t/sigma_s) e^{-rate h} x + alpha_t (1 - e^{-(1 + rate) h}) D + sigma_t sqrt(1 - e^{-2 rate h}) z``: "
    "at rate 1 ancestral sampling, at any other DDIM with an ``eta`` for the step; gDDIM on a scalar process.",
)
sde_dpmpp_2m = _sampler(
    "sde_dpmpp_2m",
    stochastic_adams(DATA_SDE, ADAMS[0], g.dpm_2m),
    2,
    "SDE-DPM-Solver++(2M)",
    "SDE-DPM-Solver++(2M), type midpoint: ``D + h / (2 h_) (D - D_)`` for the data; k-diffusion's dpmpp_2m_sde.",
)
sde_dpmpp_2m_heun = _sampler(
    "sde_dpmpp_2m_heun",
    stochastic_adams(DATA_SDE, *ADAMS[:2]),
    2,
    "SDE-DPM-Solver++(2M), solver type heun of k-diffusion and diffusers",
    "SDE-DPM-Solver++(2M), type heun: the line through two data is integrated exactly.",
)
sde_dpmpp_3m = _sampler(
    "sde_dpmpp_3m",
    stochastic_adams(DATA_SDE, *ADAMS[:2], g.dpm_3m),
    2,
    "k-diffusion: sample_dpmpp_3m_sde",
    "DPM-Solver++(3M) SDE as published in k-diffusion.",
    "published as order three; the second difference lacks a factor 2, so that even without noise it is of order two",
)
sde_dpmpp_3m_corrected = _sampler(
    "sde_dpmpp_3m_corrected",
    stochastic_adams(DATA_SDE, *ADAMS[:3]),
    2,
    "k-diffusion: sample_dpmpp_3m_sde, factor 2 restored",
    "DPM-Solver++(3M) SDE with the whole second derivative: order three without noise, weak order two with it.",
)
sde_dpmpp_3m_coded = _sampler(
    "sde_dpmpp_3m_coded",
    stochastic_adams(DATA_SDE, ADAMS[0], g.dpm_2m, coded_3m),
    0,
    "diffusers: sde-dpmsolver++ of order 3, multistep",
    "SDE-DPM-Solver++(3M) as diffusers has it; its two-point start is of type midpoint.",
    "published as order three; the sign of 1/2 in the factor of the second difference leaves weak order one on equal "
    "steps, where what it adds telescopes, and none on others",
)
sde_dpm_1 = _sampler(
    "sde_dpm_1",
    stochastic_adams(NOISE_SDE, ADAMS[0]),
    1,
    "SDE-DPM-Solver-1",
    "``x_t = (alpha_t/alpha_s) x - (1 + rate) sigma_t (e^h - 1) eps + sigma_t sqrt(rate (e^{2h} - 1)) z``; SEEDS-1.",
)
sde_dpm_2m = _sampler(
    "sde_dpm_2m",
    stochastic_adams(NOISE_SDE, ADAMS[0], g.dpm_2m),
    2,
    "SDE-DPM-Solver-2M",
    "SDE-DPM-Solver 2M, type midpoint: as :data:`sde_dpmpp_2m`, on the noise.",
)
sde_dpm_2m_heun = _sampler(
    "sde_dpm_2m_heun",
    stochastic_adams(NOISE_SDE, *ADAMS[:2]),
    2,
    "SDE-DPM-Solver-2M, solver type heun of diffusers",
    "SDE-DPM-Solver 2M, type heun: as :data:`sde_dpmpp_2m_heun`, on the noise.",
)
sde_dpm_3m_corrected = _sampler(
    "sde_dpm_3m_corrected",
    stochastic_adams(NOISE_SDE, *ADAMS[:3]),
    2,
    "SDE-DPM-Solver, three points",
    "As :data:`sde_dpmpp_3m_corrected`, on the noise; diffusers offers a third order and fails with an error.",
)

# the code replaces the exact weights of two points: UniP-2 and UniC-1 with B_1, at (1 + rate) h
PREDICT = (ADAMS[0], g.unip_2_bh1, *ADAMS[2:4])
CORRECT = (g.unic_1_bh1, *ADAMS_MOULTON[1:3])


def _adams(name: str, build: Build, order: int, says: str, note: str = "", cold: int | None = None) -> Solver:
    start = order if cold is None else cold
    eq = "Algorithm 1, equations 14 and 17"
    return named(
        name, build, says, order=order, cold=start, cite="xue2023sa", eq=eq, family=SA, note=note, stochastic=True
    )


def _predictor(name: str, points: int, form: Any, says: str, rule: Any = None) -> Solver:
    weights = (rule or ADAMS)[:points]
    return _adams(name, stochastic_adams(form, *weights), 2, says)


def _corrected(
    name: str,
    points: int,
    corrector: int,
    form: Any,
    order: int,
    rules: tuple[Any, Any] = (ADAMS, ADAMS_MOULTON),
    note: str = "",
    how: str = "",
) -> Solver:
    predict, correct = rules[0][:points], rules[1][: corrector - 1] or (implicit,)
    kind = "data" if form is DATA_SDE else "noise"
    says = f"SA-Solver on the {kind}: predictor of {points} points, corrector of {corrector} with the new one{how}."
    return _adams(name, stochastic_predictor_corrector(form, predict, correct), order, says, note)


CODED = (PREDICT, CORRECT)
sa_p2 = _predictor("sa_p2", 2, DATA_SDE, "SA-Solver's predictor of 2 points on the data, as coded.", PREDICT)
sa_p2_exact = _predictor(
    "sa_p2_exact", 2, DATA_SDE, "SA-Solver's predictor of 2 points as in the paper: :data:`sde_dpmpp_2m_heun`."
)
sa_p3 = _predictor("sa_p3", 3, DATA_SDE, "SA-Solver's predictor of 3 points on the data.", PREDICT)
sa_p4 = _predictor("sa_p4", 4, DATA_SDE, "SA-Solver's predictor of 4 points on the data.", PREDICT)
sa_p2_noise = _predictor("sa_p2_noise", 2, NOISE_SDE, "SA-Solver's predictor of 2 points on the noise.")
sa_p3_noise = _predictor("sa_p3_noise", 3, NOISE_SDE, "SA-Solver's predictor of 3 points on the noise.")
sa_p4_noise = _predictor("sa_p4_noise", 4, NOISE_SDE, "SA-Solver's predictor of 4 points on the noise.")
sa_p1c1 = _corrected("sa_p1c1", 1, 1, DATA_SDE, 1)
sa_p1c2 = _corrected("sa_p1c2", 1, 2, DATA_SDE, 2, CODED)
sa_p2c2 = _corrected("sa_p2c2", 2, 2, DATA_SDE, 2, CODED)
sa_p2c2_exact = _corrected("sa_p2c2_exact", 2, 2, DATA_SDE, 2, how=", weights of the paper")
sa_p2c3 = _corrected("sa_p2c3", 2, 3, DATA_SDE, 2, CODED)
sa_p3c3 = _corrected("sa_p3c3", 3, 3, DATA_SDE, 2, CODED)
sa_p3c4 = _corrected("sa_p3c4", 3, 4, DATA_SDE, 2, CODED)
sa_p4c4 = _corrected("sa_p4c4", 4, 4, DATA_SDE, 2, CODED)
sa_p1c2_noise = _corrected("sa_p1c2_noise", 1, 2, NOISE_SDE, 2)
sa_p2c2_noise = _corrected("sa_p2c2_noise", 2, 2, NOISE_SDE, 2)
sa_p2c3_noise = _corrected("sa_p2c3_noise", 2, 3, NOISE_SDE, 2)
