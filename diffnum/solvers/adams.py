"""Adams-Bashforth methods on the probability-flow ODE, in each variable, on variable steps.

Over the points of the past, in units of the step from the current one (:mod:`.rules`),

    y_t = y + step sum_j w_j N_j,    sum_j w_j c_j^m = 1 / (m + 1),    m < points

(Hairer, Norsett & Wanner 1993, III.5), started with fewer points. One point is Euler's method: :data:`ddim` in
``sigma / alpha``. There the method of up to four points is DEIS's rhoAB, and k-diffusion's linear multistep sampler.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..trace import Solver
from .coords import ANGLE, CLOCK, LOG_SNR, RATIO, SNR, Coords
from .rules import adams, named

__all__ = [
    "ab2",
    "ab3",
    "ab4",
    "ab5",
    "deis_rhoab_2",
    "deis_rhoab_3",
    "deis_rhoab_4",
    "lms_4",
    "log_snr_ab2",
    "log_snr_ab3",
    "log_snr_ab4",
    "log_snr_ab5",
    "rho_ab5",
    "snr_ab2",
    "snr_ab3",
    "trig_ab2",
    "trig_ab3",
    "trig_ab4",
    "trig_ab5",
]


def _bashforth(name: str, coords: Coords, points: Iterable[int], cite: str, eq: str, says: str) -> Iterable[Solver]:
    """One sampler for each number of points, which ``name`` and ``says`` have a place for."""
    for k in points:
        claim = {"order": k, "cold": min(k, 2), "cite": cite, "eq": eq, "family": "classical multistep"}
        yield named(name.format(k), adams(coords, k), says.format(k), **claim)


ab2, ab3, ab4, ab5 = _bashforth(
    "ab{}", CLOCK, range(2, 6), "hairer1993", "III.5", "Adams-Bashforth of {} points in the process's clock."
)
deis_rhoab_2, deis_rhoab_3, deis_rhoab_4 = _bashforth(
    "deis_rhoab_{}",
    RATIO,
    range(2, 5),
    "zhang2023deis",
    "rhoAB",
    "DEIS rhoAB of {} points: Adams-Bashforth in ``sigma / alpha``.",
)
(lms_4,) = _bashforth(
    "lms_{}",
    RATIO,
    (4,),
    "hairer1993",
    "III.5",
    "Linear multistep of {} points in ``sigma / alpha``, the method of k-diffusion's LMS sampler.",
)
(rho_ab5,) = _bashforth(
    "rho_ab{}", RATIO, (5,), "hairer1993", "III.5", "Adams-Bashforth of {} points in ``sigma / alpha``."
)
log_snr_ab2, log_snr_ab3, log_snr_ab4, log_snr_ab5 = _bashforth(
    "log_snr_ab{}", LOG_SNR, range(2, 6), "hairer1993", "III.5", "Adams-Bashforth of {} points on ``dx / dlam``."
)
snr_ab2, snr_ab3 = _bashforth(
    "snr_ab{}", SNR, range(2, 4), "song2021ddim", "14", "Adams-Bashforth of {} points in ``alpha / sigma`` on the data."
)
trig_ab2, trig_ab3, trig_ab4, trig_ab5 = _bashforth(
    "trig_ab{}",
    ANGLE,
    range(2, 6),
    "lu2025trigflow",
    "TrigFlow",
    "Adams-Bashforth of {} points on the velocity in the angle.",
)
