"""Classical methods on the probability-flow ODE: explicit Runge-Kutta and Adams-Bashforth, in each variable.

In the process's clock they see the ODE as it is; in ``sigma / alpha``, ``alpha / sigma``, the angle and log-SNR they
see ``x / alpha``, ``x / sigma``, ``x / radius`` and ``x`` (:mod:`.coords`). On a step to ``sigma = 0`` a method with a
node at the end of its step takes a table without one.
"""

from __future__ import annotations

from ..trace import Solver
from . import generated as g
from .coords import ANGLE, CLOCK, LOG_SNR, RATIO, SNR, Coords
from .rules import adams, named, runge_kutta
from .tables import Table

__all__ = [
    "ab2",
    "ab3",
    "ab4",
    "ab5",
    "boole5",
    "deis_rhoab_2",
    "deis_rhoab_3",
    "deis_rhoab_4",
    "dormand_prince5",
    "euler",
    "fehlberg5",
    "heun",
    "heun3",
    "kutta3",
    "lms_4",
    "log_snr_euler",
    "log_snr_heun",
    "log_snr_rk4",
    "midpoint",
    "open4",
    "ralston2",
    "ralston3",
    "rho_heun",
    "rho_heun3",
    "rho_kutta3",
    "rho_midpoint",
    "rho_rk4",
    "rho_ssp33",
    "rho_vdh3",
    "rk4",
    "snr_ab2",
    "snr_ab3",
    "snr_heun",
    "snr_rk4",
    "ssp33",
    "ssp43",
    "three_eighths",
    "trig_ab2",
    "trig_ab3",
    "trig_ab4",
    "trig_euler",
    "trig_heun",
    "trig_midpoint",
    "trig_rk4",
    "vdh3",
]


def _one_step(
    name: str, coords: Coords, table: Table, order: int, cite: str, eq: str, says: str, end: Table | None = None
) -> Solver:
    build = runge_kutta(coords, table, end)
    return named(name, build, says, order=order, cold=order, cite=cite, eq=eq, family="classical")


def _multistep(name: str, coords: Coords, points: int, cite: str, eq: str, says: str) -> Solver:
    build = adams(coords, points)
    return named(name, build, says, order=points, cold=min(points, 2), cite=cite, eq=eq, family="classical multistep")


euler = _one_step(
    "euler", CLOCK, g.EULER, 1, "song2021score", "13", "Euler in the process's clock: ``x_t = x_s + dc v(x_s, s)``."
)
heun = _one_step(
    "heun",
    CLOCK,
    g.HEUN2,
    2,
    "karras2022edm",
    "Algorithm 1",
    "The trapezoidal two-stage method of EDM; Euler on a step to ``sigma = 0``.",
)
midpoint = _one_step(
    "midpoint",
    CLOCK,
    g.MIDPOINT,
    2,
    "hairer1993",
    "II.1.4",
    "Explicit midpoint in the process's clock; RF-Solver on Flow.",
)
ralston2 = _one_step(
    "ralston2", CLOCK, g.RALSTON2, 2, "ralston1962", "3.6", "Ralston's second-order method, nodes 0, 2/3."
)
heun3 = _one_step(
    "heun3", CLOCK, g.HEUN3, 3, "hairer1993", "II.1 Table 1.1", "Heun's third-order method, nodes 0, 1/3, 2/3."
)
kutta3 = _one_step(
    "kutta3",
    CLOCK,
    g.KUTTA3,
    3,
    "kutta1901",
    "third order",
    "Kutta's third-order method on Simpson's rule.",
    end=g.HEUN3,
)
ralston3 = _one_step(
    "ralston3",
    CLOCK,
    g.RALSTON3,
    3,
    "ralston1962",
    "third order",
    "Ralston's third-order method, which Bogacki and Shampine's 3(2) pair steps with.",
)
ssp33 = _one_step(
    "ssp33",
    CLOCK,
    g.SSP33,
    3,
    "shu1988",
    "2.18",
    "Shu and Osher's strong-stability-preserving method of order three.",
    end=g.HEUN3,
)
vdh3 = _one_step(
    "vdh3",
    CLOCK,
    g.VAN_DER_HOUWEN3,
    3,
    "vanderhouwen1977",
    "low storage",
    "Van der Houwen's (Wray's) low-storage method of order three.",
)
ssp43 = _one_step(
    "ssp43",
    CLOCK,
    g.SSP43,
    3,
    "kraaijevanger1991",
    "SSP(4,3)",
    "Strong stability preserving, order three with four stages.",
    end=g.HEUN3,
)
rk4 = _one_step(
    "rk4",
    CLOCK,
    g.RK4,
    4,
    "hairer1993",
    "II.1 Table 1.2",
    "The classical four-stage method in the process's clock.",
    end=g.HEUN3,
)
three_eighths = _one_step(
    "three_eighths",
    CLOCK,
    g.THREE_EIGHTHS,
    4,
    "kutta1901",
    "3/8 rule",
    "Kutta's four-stage method on the 3/8 rule.",
    end=g.HEUN3,
)
open4 = _one_step(
    "open4", CLOCK, g.OPEN4, 4, "hairer1993", "II.5", "Order four with five stages, none at the end of the step."
)
boole5 = _one_step(
    "boole5", CLOCK, g.BOOLE5, 5, "hairer1993", "II.5", "Order five with six stages on Boole's quadrature.", end=g.OPEN4
)
fehlberg5 = _one_step(
    "fehlberg5",
    CLOCK,
    g.FEHLBERG5,
    5,
    "fehlberg1969",
    "RKF4(5)",
    "Fehlberg's method of order five, six stages.",
    end=g.OPEN4,
)
dormand_prince5 = _one_step(
    "dormand_prince5",
    CLOCK,
    g.DORMAND_PRINCE5,
    5,
    "dormand1980",
    "RK5(4)7M",
    "Dormand and Prince's method of order five, six stages on fixed steps.",
    end=g.OPEN4,
)
rho_midpoint = _one_step(
    "rho_midpoint", RATIO, g.MIDPOINT, 2, "zhang2023deis", "rhoRK", "Explicit midpoint in ``sigma / alpha``."
)
rho_heun = _one_step(
    "rho_heun", RATIO, g.HEUN2, 2, "zhang2023deis", "rhoRK", "Heun in ``sigma / alpha``; EDM's sampler on any process."
)
rho_heun3 = _one_step(
    "rho_heun3", RATIO, g.HEUN3, 3, "zhang2023deis", "rhoRK", "Heun's third-order method in ``sigma / alpha``."
)
rho_kutta3 = _one_step(
    "rho_kutta3",
    RATIO,
    g.KUTTA3,
    3,
    "zhang2023deis",
    "rhoRK",
    "Kutta's third-order method in ``sigma / alpha``.",
    end=g.HEUN3,
)
rho_vdh3 = _one_step(
    "rho_vdh3", RATIO, g.VAN_DER_HOUWEN3, 3, "zhang2023deis", "rhoRK", "Van der Houwen's method in ``sigma / alpha``."
)
rho_ssp33 = _one_step(
    "rho_ssp33",
    RATIO,
    g.SSP33,
    3,
    "zhang2023deis",
    "rhoRK",
    "Shu and Osher's method in ``sigma / alpha``.",
    end=g.HEUN3,
)
rho_rk4 = _one_step(
    "rho_rk4",
    RATIO,
    g.RK4,
    4,
    "zhang2023deis",
    "rhoRK",
    "The classical four-stage method in ``sigma / alpha``.",
    end=g.HEUN3,
)
snr_heun = _one_step("snr_heun", SNR, g.HEUN2, 2, "song2021ddim", "14", "Heun in ``alpha / sigma`` on the data.")
snr_rk4 = _one_step(
    "snr_rk4", SNR, g.RK4, 4, "song2021ddim", "14", "The classical four-stage method in ``alpha / sigma`` on the data."
)
log_snr_euler = _one_step("log_snr_euler", LOG_SNR, g.EULER, 1, "song2021score", "13", "Euler on ``dx / dlam``.")
log_snr_heun = _one_step("log_snr_heun", LOG_SNR, g.HEUN2, 2, "song2021score", "13", "Heun on ``dx / dlam``.")
log_snr_rk4 = _one_step(
    "log_snr_rk4", LOG_SNR, g.RK4, 4, "song2021score", "13", "The classical four-stage method on ``dx / dlam``."
)
trig_euler = _one_step(
    "trig_euler",
    ANGLE,
    g.EULER,
    1,
    "lu2025trigflow",
    "TrigFlow",
    "Euler on the velocity in the angle ``atan(sigma / alpha)``.",
)
trig_heun = _one_step(
    "trig_heun", ANGLE, g.HEUN2, 2, "lu2025trigflow", "TrigFlow", "Heun on the velocity in the angle."
)
trig_midpoint = _one_step(
    "trig_midpoint",
    ANGLE,
    g.MIDPOINT,
    2,
    "lu2025trigflow",
    "TrigFlow",
    "Explicit midpoint on the velocity in the angle.",
)
trig_rk4 = _one_step(
    "trig_rk4",
    ANGLE,
    g.RK4,
    4,
    "lu2025trigflow",
    "TrigFlow",
    "The classical four-stage method on the velocity in the angle.",
    end=g.HEUN3,
)
ab2 = _multistep(
    "ab2",
    CLOCK,
    2,
    "hairer1993",
    "III.5.2",
    "Adams-Bashforth of 2 points on variable steps in the process's clock, started with fewer points.",
)
ab3 = _multistep(
    "ab3",
    CLOCK,
    3,
    "hairer1993",
    "III.5",
    "Adams-Bashforth of 3 points on variable steps in the process's clock, started with fewer points.",
)
ab4 = _multistep(
    "ab4",
    CLOCK,
    4,
    "hairer1993",
    "III.5",
    "Adams-Bashforth of 4 points on variable steps in the process's clock, started with fewer points.",
)
ab5 = _multistep(
    "ab5",
    CLOCK,
    5,
    "hairer1993",
    "III.5",
    "Adams-Bashforth of 5 points on variable steps in the process's clock, started with fewer points.",
)
deis_rhoab_2 = _multistep(
    "deis_rhoab_2", RATIO, 2, "zhang2023deis", "rhoAB", "DEIS rhoAB of 2 points: Adams-Bashforth in ``sigma / alpha``."
)
deis_rhoab_3 = _multistep(
    "deis_rhoab_3", RATIO, 3, "zhang2023deis", "rhoAB", "DEIS rhoAB of 3 points: Adams-Bashforth in ``sigma / alpha``."
)
deis_rhoab_4 = _multistep(
    "deis_rhoab_4", RATIO, 4, "zhang2023deis", "rhoAB", "DEIS rhoAB of 4 points: Adams-Bashforth in ``sigma / alpha``."
)
lms_4 = _multistep(
    "lms_4",
    RATIO,
    4,
    "hairer1993",
    "III.5",
    "Linear multistep of four points in ``sigma / alpha``, the method of k-diffusion's LMS sampler.",
)
snr_ab2 = _multistep(
    "snr_ab2", SNR, 2, "song2021ddim", "14", "Adams-Bashforth of 2 points in ``alpha / sigma`` on the data."
)
snr_ab3 = _multistep(
    "snr_ab3", SNR, 3, "song2021ddim", "14", "Adams-Bashforth of 3 points in ``alpha / sigma`` on the data."
)
trig_ab2 = _multistep(
    "trig_ab2", ANGLE, 2, "lu2025trigflow", "TrigFlow", "Adams-Bashforth of 2 points on the velocity in the angle."
)
trig_ab3 = _multistep(
    "trig_ab3", ANGLE, 3, "lu2025trigflow", "TrigFlow", "Adams-Bashforth of 3 points on the velocity in the angle."
)
trig_ab4 = _multistep(
    "trig_ab4", ANGLE, 4, "lu2025trigflow", "TrigFlow", "Adams-Bashforth of 4 points on the velocity in the angle."
)
