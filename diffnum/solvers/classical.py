"""Classical Runge-Kutta methods on the probability-flow ODE, in each variable.

In the process's clock they see the ODE as it is; in ``sigma / alpha``, ``alpha / sigma``, the angle and log-SNR they
see ``x / alpha``, ``x / sigma``, ``x / radius`` and ``x`` (:mod:`.coords`). On a step to ``sigma = 0`` a method with a
node at the end of its step takes a table without one; in log-SNR, which is infinite there, the step is DDIM's.

A name without prefix is the clock's, ``rho_`` stands for ``sigma / alpha`` and ``log_snr_`` for log-SNR. Where the
clock is ``sigma`` and ``alpha = 1`` (EDM, VE) the first two are one method. Two names are missing because they are
taken: Euler's method in ``sigma / alpha`` is :data:`ddim`, and the third-order member of Bogacki and Shampine's 3(2)
pair is :data:`ralston3`.
"""

from __future__ import annotations

from fractions import Fraction as F

from ..trace import Solver
from . import generated as g
from .coords import ANGLE, CLOCK, LOG_SNR, RATIO, SNR, Coords
from .rules import named, runge_kutta
from .surd import root
from .tables import Table

__all__ = [
    "boole5",
    "dormand_prince5",
    "euler",
    "fehlberg5",
    "heun",
    "heun3",
    "kutta3",
    "log_snr_dormand_prince5",
    "log_snr_euler",
    "log_snr_fehlberg5",
    "log_snr_heun",
    "log_snr_kutta3",
    "log_snr_midpoint",
    "log_snr_ralston2",
    "log_snr_ralston3",
    "log_snr_ralston4",
    "log_snr_rk4",
    "log_snr_ssp33",
    "log_snr_three_eighths",
    "log_snr_tsitouras5",
    "midpoint",
    "open4",
    "ralston2",
    "ralston3",
    "ralston4",
    "rho_dormand_prince5",
    "rho_fehlberg5",
    "rho_heun",
    "rho_heun3",
    "rho_kutta3",
    "rho_midpoint",
    "rho_ralston2",
    "rho_ralston3",
    "rho_ralston4",
    "rho_rk4",
    "rho_ssp33",
    "rho_three_eighths",
    "rho_tsitouras5",
    "rho_vdh3",
    "rk4",
    "snr_heun",
    "snr_rk4",
    "ssp33",
    "ssp43",
    "three_eighths",
    "trig_euler",
    "trig_heun",
    "trig_midpoint",
    "trig_rk4",
    "tsitouras5",
    "vdh3",
]

Source = tuple[str, str]
RHO_RK: Source = ("zhang2023deis", "rhoRK")
SLOPE: Source = ("song2021score", "13")
DATA_IN_SNR: Source = ("song2021ddim", "14")
TRIGFLOW: Source = ("lu2025trigflow", "TrigFlow")


def _one_step(
    name: str, coords: Coords, table: Table, order: int, source: Source, says: str, end: Table | None = None
) -> Solver:
    cite, eq = source
    build = runge_kutta(coords, table, end)
    return named(name, build, says, order=order, cold=order, cite=cite, eq=eq, family="classical")


def _in_clock(name: str, table: Table, order: int, source: Source, says: str, end: Table | None = None) -> Solver:
    return _one_step(name, CLOCK, table, order, source, f"{says}, in the process's clock.", end)


def _in_ratio(name: str, table: Table, order: int, says: str, end: Table | None = None) -> Solver:
    return _one_step(f"rho_{name}", RATIO, table, order, RHO_RK, f"{says}, in ``sigma / alpha``.", end)


def _in_log_snr(name: str, table: Table, order: int, says: str) -> Solver:
    return _one_step(f"log_snr_{name}", LOG_SNR, table, order, SLOPE, f"{says}, on ``dx / dlam``.")


def _in_each(
    name: str, table: Table, order: int, source: Source, says: str, end: Table | None = None
) -> tuple[Solver, Solver, Solver]:
    """In the clock, in ``sigma / alpha`` and in log-SNR."""
    clock, ratio = _in_clock(name, table, order, source, says, end), _in_ratio(name, table, order, says, end)
    return clock, ratio, _in_log_snr(name, table, order, says)


euler = _in_clock("euler", g.EULER, 1, SLOPE, "Euler's method ``x_t = x_s + dc v(x_s, s)``")
log_snr_euler = _in_log_snr("euler", g.EULER, 1, "Euler's method")
heun, rho_heun, log_snr_heun = _in_each(
    "heun", g.HEUN2, 2, ("karras2022edm", "Algorithm 1"), "Heun's method of order two, the sampler of EDM"
)
midpoint, rho_midpoint, log_snr_midpoint = _in_each(
    "midpoint", g.MIDPOINT, 2, ("hairer1993", "II.1.4"), "The explicit midpoint rule"
)
ralston2, rho_ralston2, log_snr_ralston2 = _in_each(
    "ralston2", g.RALSTON2, 2, ("ralston1962", "3.6"), "Ralston's second-order method, nodes 0, 2/3"
)
heun3 = _in_clock("heun3", g.HEUN3, 3, ("hairer1993", "II.1 Table 1.1"), "Heun's third-order method, nodes 0, 1/3, 2/3")
rho_heun3 = _in_ratio("heun3", g.HEUN3, 3, "Heun's third-order method, nodes 0, 1/3, 2/3")
kutta3, rho_kutta3, log_snr_kutta3 = _in_each(
    "kutta3", g.KUTTA3, 3, ("kutta1901", "third order"), "Kutta's third-order method on Simpson's rule", g.HEUN3
)
ralston3, rho_ralston3, log_snr_ralston3 = _in_each(
    "ralston3",
    g.RALSTON3,
    3,
    ("ralston1962", "third order"),
    "Ralston's third-order method, which Bogacki and Shampine's 3(2) pair steps with",
)
ssp33, rho_ssp33, log_snr_ssp33 = _in_each(
    "ssp33",
    g.SSP33,
    3,
    ("shu1988", "2.18"),
    "Shu and Osher's strong-stability-preserving method of order three",
    g.HEUN3,
)
vdh3 = _in_clock(
    "vdh3",
    g.VAN_DER_HOUWEN3,
    3,
    ("vanderhouwen1977", "low storage"),
    "Van der Houwen's (Wray's) low-storage method of order three",
)
rho_vdh3 = _in_ratio("vdh3", g.VAN_DER_HOUWEN3, 3, "Van der Houwen's (Wray's) low-storage method of order three")
ssp43 = _in_clock(
    "ssp43",
    g.SSP43,
    3,
    ("kraaijevanger1991", "SSP(4,3)"),
    "The strong-stability-preserving method of order three with four stages",
    g.HEUN3,
)
rk4, rho_rk4, log_snr_rk4 = _in_each(
    "rk4", g.RK4, 4, ("hairer1993", "II.1 Table 1.2"), "The classical four-stage method", g.HEUN3
)
three_eighths, rho_three_eighths, log_snr_three_eighths = _in_each(
    "three_eighths",
    g.THREE_EIGHTHS,
    4,
    ("kutta1901", "3/8 rule"),
    "Kutta's four-stage method on the 3/8 rule",
    g.HEUN3,
)
RALSTON4 = Table(*g.explicit_4(F(2, 5), F(7, 8) - F(3, 16) * root(5)))
ralston4, rho_ralston4, log_snr_ralston4 = _in_each(
    "ralston4",
    RALSTON4,
    4,
    ("ralston1962", "fourth order"),
    "Ralston's four-stage method, nodes 0, 2/5, 7/8 - 3 sqrt(5) / 16, 1, of least error bound",
    g.HEUN3,
)
open4 = _in_clock(
    "open4", g.OPEN4, 4, ("hairer1993", "II.5"), "Order four with five stages, none at the end of the step"
)
boole5 = _in_clock(
    "boole5", g.BOOLE5, 5, ("hairer1993", "II.5"), "Order five with six stages on Boole's quadrature", g.OPEN4
)
fehlberg5, rho_fehlberg5, log_snr_fehlberg5 = _in_each(
    "fehlberg5", g.FEHLBERG5, 5, ("fehlberg1969", "RKF4(5)"), "Fehlberg's method of order five, six stages", g.OPEN4
)
dormand_prince5, rho_dormand_prince5, log_snr_dormand_prince5 = _in_each(
    "dormand_prince5",
    g.DORMAND_PRINCE5,
    5,
    ("dormand1980", "RK5(4)7M"),
    "Dormand and Prince's method of order five, six stages on fixed steps",
    g.OPEN4,
)
TSITOURAS5 = Table(*g.tsitouras_5(root(*g.TSITOURAS_5)))
tsitouras5, rho_tsitouras5, log_snr_tsitouras5 = _in_each(
    "tsitouras5",
    TSITOURAS5,
    5,
    ("tsitouras2011", "table 1"),
    "Tsitouras's method of order five, six stages on fixed steps",
    g.OPEN4,
)
snr_heun = _one_step("snr_heun", SNR, g.HEUN2, 2, DATA_IN_SNR, "Heun in ``alpha / sigma`` on the data.")
snr_rk4 = _one_step(
    "snr_rk4", SNR, g.RK4, 4, DATA_IN_SNR, "The classical four-stage method in ``alpha / sigma`` on the data."
)
trig_euler = _one_step(
    "trig_euler", ANGLE, g.EULER, 1, TRIGFLOW, "Euler on the velocity in the angle ``atan(sigma / alpha)``."
)
trig_heun = _one_step("trig_heun", ANGLE, g.HEUN2, 2, TRIGFLOW, "Heun on the velocity in the angle.")
trig_midpoint = _one_step(
    "trig_midpoint", ANGLE, g.MIDPOINT, 2, TRIGFLOW, "Explicit midpoint on the velocity in the angle."
)
trig_rk4 = _one_step(
    "trig_rk4", ANGLE, g.RK4, 4, TRIGFLOW, "The classical four-stage method on the velocity in the angle.", g.HEUN3
)
