"""Exponential Runge-Kutta methods in log-SNR, on the data and on the noise: the linear part is solved exactly.

With ``h`` the log-SNR increment, stages at ``lam_s + c_i h`` and ``z = -h`` for data, ``z = +h`` for noise,

    x_i = (sigma_i / sigma_s) x + alpha_i h sum_j a_ij(-h) D_j      (data)
    x_i = (alpha_i / alpha_s) x - sigma_i h sum_j a_ij(h) eps_j      (noise)

with the tables of :mod:`.generated` (Hochbruck & Ostermann 2005). At a clean level log-SNR is infinite: the last step
is of first order there.
"""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

from ..trace import Solver
from . import generated as g
from .coords import DATA, NOISE, Coords
from .rules import Formula, named, runge_kutta

__all__ = [
    "cfree4",
    "cfree4_noise",
    "dpm_solver_2",
    "dpm_solver_2_taylor",
    "dpm_solver_3",
    "dpm_solver_3_taylor",
    "dpmpp_2s",
    "dpmpp_3s",
    "dpmpp_3s_taylor",
    "etd2rk",
    "etd2rk_noise",
    "etd3rk",
    "etd3rk_noise",
    "etd4rk",
    "etd4rk_noise",
    "friedli4",
    "friedli4_noise",
    "hochbruck_ostermann4",
    "hochbruck_ostermann4_noise",
    "kdpm2",
    "krogstad4",
    "krogstad4_noise",
    "lawson1",
    "lawson1_noise",
    "lawson2a",
    "lawson2a_noise",
    "lawson2b",
    "lawson2b_noise",
    "lawson4",
    "lawson4_noise",
    "luan4",
    "luan4_noise",
    "luan_ostermann5",
    "luan_ostermann5_noise",
    "res_2s",
    "res_2s_noise",
    "res_3s",
    "res_3s_noise",
    "strehmel_weiner4",
    "strehmel_weiner4_noise",
]


LAWSON = "not exact for constant data, so the error of its last steps stays however small sigma is"


def _one_step(
    name: str,
    coords: Coords,
    table: Formula,
    order: int,
    cite: str,
    eq: str,
    says: str,
    vanishing: bool = True,
    **defaults: Any,
) -> Solver:
    build = runge_kutta(coords, table, **defaults)
    family, note = "exponential one-step", "" if vanishing else LAWSON
    claim: dict[str, Any] = {"order": order, "cold": order, "cite": cite, "eq": eq, "family": family}
    return named(name, build, says, **claim, note=note, vanishing=vanishing)


dpm_solver_2 = _one_step(
    "dpm_solver_2",
    NOISE,
    g.dpm_2s,
    2,
    "lu2022dpm",
    "Algorithm 1",
    "DPM-Solver-2 with a node at the fraction ``r`` of the log-SNR step, on the noise.",
    r=F(1, 2),
)
kdpm2 = _one_step(
    "kdpm2",
    NOISE,
    g.dpm_2s,
    2,
    "karras2022edm",
    "Algorithm 2 without noise",
    "KDPM2: the midpoint method in ``sigma / alpha`` with its node at the geometric mean, which is DPM-Solver-2.",
    r=F(1, 2),
)
dpm_solver_3 = _one_step(
    "dpm_solver_3",
    NOISE,
    g.dpm_3s,
    3,
    "lu2022dpm",
    "Algorithm 2",
    "DPM-Solver-3 with nodes at the fractions ``r1``, ``r2`` of the step, on the noise.",
    r1=F(1, 3),
    r2=F(2, 3),
)
dpmpp_2s = _one_step(
    "dpmpp_2s",
    DATA,
    g.dpm_2s,
    2,
    "lu2022dpmpp",
    "Algorithm 1",
    "DPM-Solver++(2S) with a node at the fraction ``r`` of the log-SNR step, on the data.",
    r=F(1, 2),
)
dpmpp_3s = _one_step(
    "dpmpp_3s",
    DATA,
    g.dpm_3s,
    3,
    "lu2022dpmpp",
    "appendix",
    "DPM-Solver++(3S) with nodes at the fractions ``r1``, ``r2`` of the step, on the data.",
    r1=F(1, 3),
    r2=F(2, 3),
)
dpm_solver_2_taylor = _one_step(
    "dpm_solver_2_taylor",
    NOISE,
    g.etd2,
    2,
    "lu2022dpm",
    "reference code, solver type taylor",
    "DPM-Solver-2 of type taylor: ETD2 with a node at ``r``, on the noise.",
    r=F(1, 2),
)
dpm_solver_3_taylor = _one_step(
    "dpm_solver_3_taylor",
    NOISE,
    g.dpm_3s_taylor,
    3,
    "lu2022dpm",
    "reference code, solver type taylor",
    "DPM-Solver-3 of type taylor, on the noise.",
    r1=F(1, 3),
    r2=F(2, 3),
)
dpmpp_3s_taylor = _one_step(
    "dpmpp_3s_taylor",
    DATA,
    g.dpm_3s_taylor,
    3,
    "lu2022dpmpp",
    "reference code, solver type taylor",
    "DPM-Solver++(3S) of type taylor, on the data.",
    r1=F(1, 3),
    r2=F(2, 3),
)
res_2s = _one_step(
    "res_2s",
    DATA,
    g.etd2,
    2,
    "hochbruck2005",
    "5.3",
    "RES-2S: the two-stage method of stiff order two with its node at ``c2``, on the data.",
    c2=F(1, 2),
)
res_3s = _one_step(
    "res_3s",
    DATA,
    g.hochbruck_ostermann_3,
    3,
    "hochbruck2005",
    "5.8",
    "RES-3S: three stages of stiff order three with nodes ``c2``, ``c3``, on the data.",
    c2=F(1, 2),
    c3=F(1),
)
etd2rk = _one_step("etd2rk", DATA, g.etd2, 2, "cox2002", "22", "ETD2RK: exponential Heun, on the data.", c2=1)
etd3rk = _one_step("etd3rk", DATA, g.etd3rk, 3, "cox2002", "23-25", "ETD3RK of Cox and Matthews, on the data.")
etd4rk = _one_step("etd4rk", DATA, g.etd4rk, 4, "cox2002", "26-29", "ETD4RK of Cox and Matthews, on the data.")
krogstad4 = _one_step(
    "krogstad4", DATA, g.krogstad_4, 4, "krogstad2005", "ETDRK4-B", "Krogstad's method of order four, on the data."
)
strehmel_weiner4 = _one_step(
    "strehmel_weiner4",
    DATA,
    g.strehmel_weiner_4,
    4,
    "hochbruck2005",
    "5.18",
    "Strehmel and Weiner's method of order four, on the data.",
)
hochbruck_ostermann4 = _one_step(
    "hochbruck_ostermann4",
    DATA,
    g.hochbruck_ostermann_5,
    4,
    "hochbruck2005",
    "5.19",
    "Five stages of stiff order four, on the data.",
)
luan4 = _one_step("luan4", DATA, g.luan_4, 4, "luan2021", "expRK4s6", "Six stages of stiff order four, on the data.")
luan_ostermann5 = _one_step(
    "luan_ostermann5",
    DATA,
    g.luan_ostermann_8,
    5,
    "luan2014",
    "expRK5s8",
    "Eight stages of stiff order five, on the data.",
)
cfree4 = _one_step(
    "cfree4",
    DATA,
    g.cfree_4,
    4,
    "celledoni2003",
    "order four",
    "The commutator-free method of order four, on the data.",
)
friedli4 = _one_step(
    "friedli4", DATA, g.friedli_4, 4, "hochbruck2005", "Friedli 1978", "Friedli's method of order four, on the data."
)
lawson1 = _one_step(
    "lawson1",
    DATA,
    g.lawson_euler,
    1,
    "lawson1967",
    "integrating factor",
    "Lawson-Euler: Euler after an integrating factor, on the data.",
    vanishing=False,
)
lawson2a = _one_step(
    "lawson2a",
    DATA,
    g.lawson_2a,
    2,
    "lawson1967",
    "integrating factor",
    "Lawson's midpoint method, on the data.",
    vanishing=False,
)
lawson2b = _one_step(
    "lawson2b",
    DATA,
    g.lawson_2b,
    2,
    "lawson1967",
    "integrating factor",
    "Lawson's Heun method, on the data.",
    vanishing=False,
)
lawson4 = _one_step(
    "lawson4",
    DATA,
    g.lawson_4,
    4,
    "lawson1967",
    "integrating factor",
    "Lawson's classical four-stage method, on the data.",
    vanishing=False,
)
res_2s_noise = _one_step(
    "res_2s_noise", NOISE, g.etd2, 2, "hochbruck2005", "5.3", "As :data:`res_2s`, on the noise.", c2=F(1, 2)
)
res_3s_noise = _one_step(
    "res_3s_noise",
    NOISE,
    g.hochbruck_ostermann_3,
    3,
    "hochbruck2005",
    "5.8",
    "As :data:`res_3s`, on the noise.",
    c2=F(1, 2),
    c3=F(1),
)
etd2rk_noise = _one_step(
    "etd2rk_noise", NOISE, g.etd2, 2, "cox2002", "22", "ETD2RK: exponential Heun, on the noise.", c2=1
)
etd3rk_noise = _one_step(
    "etd3rk_noise", NOISE, g.etd3rk, 3, "cox2002", "23-25", "ETD3RK of Cox and Matthews, on the noise."
)
etd4rk_noise = _one_step(
    "etd4rk_noise", NOISE, g.etd4rk, 4, "cox2002", "26-29", "ETD4RK of Cox and Matthews, on the noise."
)
krogstad4_noise = _one_step(
    "krogstad4_noise",
    NOISE,
    g.krogstad_4,
    4,
    "krogstad2005",
    "ETDRK4-B",
    "Krogstad's method of order four, on the noise.",
)
strehmel_weiner4_noise = _one_step(
    "strehmel_weiner4_noise",
    NOISE,
    g.strehmel_weiner_4,
    4,
    "hochbruck2005",
    "5.18",
    "Strehmel and Weiner's method of order four, on the noise.",
)
hochbruck_ostermann4_noise = _one_step(
    "hochbruck_ostermann4_noise",
    NOISE,
    g.hochbruck_ostermann_5,
    4,
    "hochbruck2005",
    "5.19",
    "Five stages of stiff order four, on the noise.",
)
luan4_noise = _one_step(
    "luan4_noise", NOISE, g.luan_4, 4, "luan2021", "expRK4s6", "Six stages of stiff order four, on the noise."
)
luan_ostermann5_noise = _one_step(
    "luan_ostermann5_noise",
    NOISE,
    g.luan_ostermann_8,
    5,
    "luan2014",
    "expRK5s8",
    "Eight stages of stiff order five, on the noise.",
)
cfree4_noise = _one_step(
    "cfree4_noise",
    NOISE,
    g.cfree_4,
    4,
    "celledoni2003",
    "order four",
    "The commutator-free method of order four, on the noise.",
)
friedli4_noise = _one_step(
    "friedli4_noise",
    NOISE,
    g.friedli_4,
    4,
    "hochbruck2005",
    "Friedli 1978",
    "Friedli's method of order four, on the noise.",
)
lawson1_noise = _one_step(
    "lawson1_noise",
    NOISE,
    g.lawson_euler,
    1,
    "lawson1967",
    "integrating factor",
    "Lawson-Euler: Euler after an integrating factor, on the noise.",
)
lawson2a_noise = _one_step(
    "lawson2a_noise",
    NOISE,
    g.lawson_2a,
    2,
    "lawson1967",
    "integrating factor",
    "Lawson's midpoint method, on the noise.",
)
lawson2b_noise = _one_step(
    "lawson2b_noise", NOISE, g.lawson_2b, 2, "lawson1967", "integrating factor", "Lawson's Heun method, on the noise."
)
lawson4_noise = _one_step(
    "lawson4_noise",
    NOISE,
    g.lawson_4,
    4,
    "lawson1967",
    "integrating factor",
    "Lawson's classical four-stage method, on the noise.",
)
