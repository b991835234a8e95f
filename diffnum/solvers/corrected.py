"""Predictor-corrector methods: UniPC and Adams-Bashforth-Moulton.

A step predicts ``x_t`` from the past, evaluates there, and corrects with that evaluation. PEC keeps the evaluation for
the next step: ``n`` steps cost ``n`` evaluations, the last step not being corrected. PECE evaluates again at the
corrected state: ``2 n - 1``. A predictor of order ``p`` and a corrector of order ``p + 1`` are together of order
``p + 1``; ``UniPC-p`` is that pair (Zhao et al. 2023).

Adams-Moulton's implicit methods are the correctors: with the option ``sweeps`` they are iterated, P(EC)^m E, and the
pair tends to the implicit method itself. That of one step is :data:`trapezoid`.
"""

from __future__ import annotations

from ..trace import Solver
from . import generated as g
from .coords import CLOCK, DATA, LOG_SNR, NOISE, RATIO
from .rules import Build, adams, formulas, named, predictor_corrector

__all__ = [
    "abm2_pece",
    "abm3_pece",
    "abm4_pece",
    "log_snr_abm2_pece",
    "log_snr_abm3_pece",
    "rho_abm2_pec",
    "rho_abm2_pece",
    "rho_abm3_pec",
    "rho_abm3_pece",
    "rho_abm4_pec",
    "rho_abm4_pece",
    "unip_2",
    "unip_3",
    "unipc_1",
    "unipc_1_bh1",
    "unipc_1_noise",
    "unipc_1_vary",
    "unipc_2",
    "unipc_2_bh1",
    "unipc_2_noise",
    "unipc_2_vary",
    "unipc_2_vary_coded",
    "unipc_3",
    "unipc_3_bh1",
    "unipc_3_noise",
    "unipc_3_vary",
    "unipc_3_vary_coded",
    "unipc_4",
    "unipc_5",
    "unipc_6",
]

_SOLVED = (g.exponential_adams_3, g.exponential_adams_4, g.exponential_adams_5, g.exponential_adams_6)
_MOULTON = (
    g.exponential_adams_moulton_3,
    g.exponential_adams_moulton_4,
    g.exponential_adams_moulton_5,
    g.exponential_adams_moulton_6,
    g.exponential_adams_moulton_7,
)
UNIP_BH1 = formulas(g.exponential_adams_1, g.unip_2_bh1, *_SOLVED)
UNIP_BH2 = formulas(g.exponential_adams_1, g.dpm_2m, *_SOLVED)
UNIC_BH1 = formulas(g.unic_1_bh1, *_MOULTON)
UNIC_BH2 = formulas(g.unic_1_bh2, *_MOULTON)
UNIC_CODED = formulas(g.exponential_adams_moulton_2, g.unic_2_coded, g.unic_3_coded)


def _corrected(name: str, build: Build, order: int, cold: int, cite: str, eq: str, says: str, note: str = "") -> Solver:
    return named(name, build, says, order=order, cold=cold, cite=cite, eq=eq, family="predictor-corrector", note=note)


unip_2 = _corrected(
    "unip_2", adams(DATA, 2, UNIP_BH2), 2, 2, "zhao2023unipc", "section 3", "UniP-2 with ``B_2``, on the data."
)
unip_3 = _corrected(
    "unip_3", adams(DATA, 3, UNIP_BH2), 3, 2, "zhao2023unipc", "section 3", "UniP-3 with ``B_2``, on the data."
)
unipc_1 = _corrected(
    "unipc_1",
    predictor_corrector(DATA, 1, UNIP_BH2, UNIC_BH2),
    2,
    2,
    "zhao2023unipc",
    "section 3",
    "UniPC-1 with ``B_2``, on the data.",
)
unipc_2 = _corrected(
    "unipc_2",
    predictor_corrector(DATA, 2, UNIP_BH2, UNIC_BH2),
    3,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-2 with ``B_2``, on the data.",
)
unipc_3 = _corrected(
    "unipc_3",
    predictor_corrector(DATA, 3, UNIP_BH2, UNIC_BH2),
    4,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-3 with ``B_2``, on the data.",
)
unipc_4 = _corrected(
    "unipc_4",
    predictor_corrector(DATA, 4, UNIP_BH2, UNIC_BH2),
    5,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-4 with ``B_2``, on the data.",
)
unipc_5 = _corrected(
    "unipc_5",
    predictor_corrector(DATA, 5, UNIP_BH2, UNIC_BH2),
    6,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-5 with ``B_2``, on the data.",
)
unipc_6 = _corrected(
    "unipc_6",
    predictor_corrector(DATA, 6, UNIP_BH2, UNIC_BH2),
    7,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-6 with ``B_2``, on the data.",
)
unipc_1_bh1 = _corrected(
    "unipc_1_bh1",
    predictor_corrector(DATA, 1, UNIP_BH1, UNIC_BH1),
    2,
    2,
    "zhao2023unipc",
    "section 3",
    "UniPC-1 with ``B_1``, on the data.",
)
unipc_1_noise = _corrected(
    "unipc_1_noise",
    predictor_corrector(NOISE, 1, UNIP_BH2, UNIC_BH2),
    2,
    2,
    "zhao2023unipc",
    "section 3",
    "UniPC-1 with ``B_2``, on the noise.",
)
unipc_1_vary = _corrected(
    "unipc_1_vary",
    predictor_corrector(DATA, 1),
    2,
    2,
    "zhao2023unipc",
    "section 3, varying coefficients",
    "UniPC-1 with varying coefficients, which is exponential Adams-Bashforth-Moulton, on the data.",
)
unipc_2_bh1 = _corrected(
    "unipc_2_bh1",
    predictor_corrector(DATA, 2, UNIP_BH1, UNIC_BH1),
    3,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-2 with ``B_1``, on the data.",
)
unipc_2_noise = _corrected(
    "unipc_2_noise",
    predictor_corrector(NOISE, 2, UNIP_BH2, UNIC_BH2),
    3,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-2 with ``B_2``, on the noise.",
)
unipc_2_vary = _corrected(
    "unipc_2_vary",
    predictor_corrector(DATA, 2),
    3,
    3,
    "zhao2023unipc",
    "section 3, varying coefficients",
    "UniPC-2 with varying coefficients, which is exponential Adams-Bashforth-Moulton, on the data.",
)
unipc_3_bh1 = _corrected(
    "unipc_3_bh1",
    predictor_corrector(DATA, 3, UNIP_BH1, UNIC_BH1),
    4,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-3 with ``B_1``, on the data.",
)
unipc_3_noise = _corrected(
    "unipc_3_noise",
    predictor_corrector(NOISE, 3, UNIP_BH2, UNIC_BH2),
    4,
    3,
    "zhao2023unipc",
    "section 3",
    "UniPC-3 with ``B_2``, on the noise.",
)
unipc_3_vary = _corrected(
    "unipc_3_vary",
    predictor_corrector(DATA, 3),
    4,
    3,
    "zhao2023unipc",
    "section 3, varying coefficients",
    "UniPC-3 with varying coefficients, which is exponential Adams-Bashforth-Moulton, on the data.",
)
unipc_2_vary_coded = _corrected(
    "unipc_2_vary_coded",
    predictor_corrector(DATA, 2, correct=UNIC_CODED),
    1,
    1,
    "zhao2023unipc",
    "reference code, variant vary_coeff",
    "UniPC-2 with varying coefficients as coded.",
    note="the code's corrector misses the first moment, so it is of order one",
)
unipc_3_vary_coded = _corrected(
    "unipc_3_vary_coded",
    predictor_corrector(DATA, 3, correct=UNIC_CODED),
    1,
    1,
    "zhao2023unipc",
    "reference code, variant vary_coeff",
    "UniPC-3 with varying coefficients as coded.",
    note="the code's corrector misses the first moment, so it is of order one",
)
rho_abm2_pec = _corrected(
    "rho_abm2_pec",
    predictor_corrector(RATIO, 2, corrector_points=1),
    2,
    2,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 2 in ``sigma / alpha``: predict, evaluate, correct.",
)
rho_abm2_pece = _corrected(
    "rho_abm2_pece",
    predictor_corrector(RATIO, 2, corrector_points=1, again=True),
    2,
    2,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 2 in ``sigma / alpha``: predict, evaluate, correct, evaluate again.",
)
abm2_pece = _corrected(
    "abm2_pece",
    predictor_corrector(CLOCK, 2, corrector_points=1, again=True),
    2,
    2,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 2 in the process's clock: predict, evaluate, correct, evaluate again.",
)
rho_abm3_pec = _corrected(
    "rho_abm3_pec",
    predictor_corrector(RATIO, 3, corrector_points=2),
    3,
    3,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 3 in ``sigma / alpha``: predict, evaluate, correct.",
)
rho_abm3_pece = _corrected(
    "rho_abm3_pece",
    predictor_corrector(RATIO, 3, corrector_points=2, again=True),
    3,
    3,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 3 in ``sigma / alpha``: predict, evaluate, correct, evaluate again.",
)
abm3_pece = _corrected(
    "abm3_pece",
    predictor_corrector(CLOCK, 3, corrector_points=2, again=True),
    3,
    3,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 3 in the process's clock: predict, evaluate, correct, evaluate again.",
)
rho_abm4_pec = _corrected(
    "rho_abm4_pec",
    predictor_corrector(RATIO, 4, corrector_points=3),
    4,
    3,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 4 in ``sigma / alpha``: predict, evaluate, correct.",
)
rho_abm4_pece = _corrected(
    "rho_abm4_pece",
    predictor_corrector(RATIO, 4, corrector_points=3, again=True),
    4,
    3,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 4 in ``sigma / alpha``: predict, evaluate, correct, evaluate again.",
)
abm4_pece = _corrected(
    "abm4_pece",
    predictor_corrector(CLOCK, 4, corrector_points=3, again=True),
    4,
    3,
    "hairer1993",
    "III.1",
    "Adams-Bashforth-Moulton of order 4 in the process's clock: predict, evaluate, correct, evaluate again.",
)
log_snr_abm2_pece, log_snr_abm3_pece = (
    _corrected(
        f"log_snr_abm{order}_pece",
        predictor_corrector(LOG_SNR, order, corrector_points=order - 1, again=True),
        order,
        order,
        "hairer1993",
        "III.1",
        f"Adams-Bashforth-Moulton of order {order} in log-SNR: predict, evaluate, correct, evaluate again.",
    )
    for order in (2, 3)
)
