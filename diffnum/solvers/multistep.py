"""Exponential and pseudo-linear multistep methods: one evaluation per step, the past interpolated.

Over points at ``c_0 = 0, c_1, ... < 0`` in units of the step (:mod:`.rules`),

    x_t = (sigma_t / sigma_s) x + alpha_t h sum_j w_j(-h; c) D_j      (data)
    x_t = (alpha_t / alpha_s) x - sigma_t h sum_j w_j(h; c) eps_j     (noise)

with weights of :mod:`.generated`. Started with fewer points unless the name says otherwise. A step to a clean level is
of first order, and evaluations at a pure-noise level are not remembered: log-SNR is infinite there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..trace import Solver
from . import generated as g
from .coords import DATA, NOISE, RATIO, Coords
from .rules import Build, Point, adams, formulas, named

__all__ = [
    "dpm_2m",
    "dpm_3m",
    "dpm_3m_corrected",
    "dpmpp_2m",
    "dpmpp_3m",
    "dpmpp_3m_corrected",
    "exp_ab2",
    "exp_ab2_noise",
    "exp_ab3",
    "exp_ab3_noise",
    "exp_ab3_rk",
    "exp_ab4",
    "exp_ab4_noise",
    "exp_ab4_rk",
    "exp_ab5",
    "exp_ab5_noise",
    "exp_ab6",
    "exp_ab6_noise",
    "ipndm_2",
    "ipndm_3",
    "ipndm_4",
]


def _constant(coords: Coords, step: Any, past: Sequence[Point]) -> Sequence[Any]:
    return g.ADAMS_BASHFORTH[len(past)]


DPM_2M = formulas(g.exponential_adams_1, g.dpm_2m)
DPM_3M = formulas(g.exponential_adams_1, g.dpm_2m, g.dpm_3m)
DPM_3M_CORRECTED = formulas(g.exponential_adams_1, g.dpm_2m, g.exponential_adams_3)
CONSTANT = _constant


def _multistep(
    name: str,
    build: Build,
    order: int,
    cold: int,
    cite: str,
    eq: str,
    says: str,
    note: str = "",
    smooth: int | None = None,
) -> Solver:
    family = "exponential multistep"
    return named(name, build, says, order=order, cold=cold, cite=cite, eq=eq, family=family, note=note, smooth=smooth)


dpmpp_2m = _multistep(
    "dpmpp_2m",
    adams(DATA, 2, DPM_2M),
    2,
    2,
    "lu2022dpmpp",
    "Algorithm 2",
    "DPM-Solver++(2M): ``x_t = (sigma_t/sigma_s) x + alpha_t (1 - e^-h) (D + h / (2 h_) (D - D_))``.",
)
dpmpp_3m = _multistep(
    "dpmpp_3m",
    adams(DATA, 3, DPM_3M),
    2,
    2,
    "lu2022dpmpp",
    "appendix; reference code",
    "DPM-Solver++(3M) as published: the term in ``phi_3`` carries half of the second derivative.",
    note="published as order three; the second difference lacks a factor 2, so it is of order two",
)
dpmpp_3m_corrected = _multistep(
    "dpmpp_3m_corrected",
    adams(DATA, 3, DPM_3M_CORRECTED),
    3,
    2,
    "lu2022dpmpp",
    "appendix, factor 2 restored",
    "DPM-Solver++(3M) with the whole second derivative: exponential Adams-Bashforth of three points.",
)
dpm_2m = _multistep(
    "dpm_2m",
    adams(NOISE, 2, DPM_2M),
    2,
    2,
    "lu2022dpmpp",
    "reference code, algorithm type dpmsolver",
    "DPM-Solver 2M: as :data:`dpmpp_2m`, on the noise.",
)
dpm_3m = _multistep(
    "dpm_3m",
    adams(NOISE, 3, DPM_3M),
    2,
    2,
    "lu2022dpmpp",
    "reference code, algorithm type dpmsolver",
    "DPM-Solver 3M as published, on the noise.",
    note="published as order three; the second difference lacks a factor 2, so it is of order two",
)
dpm_3m_corrected = _multistep(
    "dpm_3m_corrected",
    adams(NOISE, 3, DPM_3M_CORRECTED),
    3,
    2,
    "lu2022dpmpp",
    "reference code, factor 2 restored",
    "DPM-Solver 3M with the whole second derivative, on the noise.",
)
exp_ab2 = _multistep(
    "exp_ab2",
    adams(DATA, 2),
    2,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 2 points in log-SNR, on the data; RES-2M, DPM-Solver++ 2M of type heun.",
)
exp_ab3 = _multistep(
    "exp_ab3",
    adams(DATA, 3),
    3,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 3 points in log-SNR, on the data; RES-3M.",
)
exp_ab4 = _multistep(
    "exp_ab4",
    adams(DATA, 4),
    4,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 4 points in log-SNR, on the data.",
)
exp_ab5 = _multistep(
    "exp_ab5",
    adams(DATA, 5),
    5,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 5 points in log-SNR, on the data.",
)
exp_ab6 = _multistep(
    "exp_ab6",
    adams(DATA, 6),
    6,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 6 points in log-SNR, on the data.",
)
exp_ab2_noise = _multistep(
    "exp_ab2_noise",
    adams(NOISE, 2),
    2,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 2 points in log-SNR, on the noise; log-rho DEIS.",
)
exp_ab3_noise = _multistep(
    "exp_ab3_noise",
    adams(NOISE, 3),
    3,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 3 points in log-SNR, on the noise; log-rho DEIS.",
)
exp_ab4_noise = _multistep(
    "exp_ab4_noise",
    adams(NOISE, 4),
    4,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 4 points in log-SNR, on the noise; log-rho DEIS.",
)
exp_ab5_noise = _multistep(
    "exp_ab5_noise",
    adams(NOISE, 5),
    5,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 5 points in log-SNR, on the noise.",
)
exp_ab6_noise = _multistep(
    "exp_ab6_noise",
    adams(NOISE, 6),
    6,
    2,
    "hochbruck2010",
    "2.59",
    "Exponential Adams-Bashforth of 6 points in log-SNR, on the noise.",
)
exp_ab3_rk = _multistep(
    "exp_ab3_rk",
    adams(DATA, 3, start=g.etd3rk),
    3,
    3,
    "hochbruck2010",
    "2.59",
    "As :data:`exp_ab3`, started with an exponential Runge-Kutta method of its own order.",
)
exp_ab4_rk = _multistep(
    "exp_ab4_rk",
    adams(DATA, 4, start=g.krogstad_4),
    4,
    4,
    "hochbruck2010",
    "2.59",
    "As :data:`exp_ab4`, started with an exponential Runge-Kutta method of its own order.",
)
ipndm_2 = _multistep(
    "ipndm_2",
    adams(RATIO, 2, CONSTANT),
    1,
    2,
    "zhang2023deis",
    "iPNDM, appendix",
    "iPNDM of 2 points: weights of constant steps in ``sigma / alpha``, on whatever steps there are.",
    note="of order 2 only where sigma / alpha is equally spaced; two on smooth grids, one on others",
    smooth=2,
)
ipndm_3 = _multistep(
    "ipndm_3",
    adams(RATIO, 3, CONSTANT),
    1,
    2,
    "zhang2023deis",
    "iPNDM, appendix",
    "iPNDM of 3 points: weights of constant steps in ``sigma / alpha``, on whatever steps there are.",
    note="of order 3 only where sigma / alpha is equally spaced; two on smooth grids, one on others",
    smooth=2,
)
ipndm_4 = _multistep(
    "ipndm_4",
    adams(RATIO, 4, CONSTANT),
    1,
    2,
    "zhang2023deis",
    "iPNDM, appendix",
    "iPNDM of 4 points: weights of constant steps in ``sigma / alpha``, on whatever steps there are.",
    note="of order 4 only where sigma / alpha is equally spaced; two on smooth grids, one on others",
    smooth=2,
)
