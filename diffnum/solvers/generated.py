"""Coefficients that theory derives: exact numbers and pure expressions.

Written by ``python -m theory``; do not edit. Every docstring names its derivation. Functions take any kind of number;
with floats call them through :func:`diffnum.num.extended`.
"""

# ruff: noqa: E501
from __future__ import annotations

from fractions import Fraction as F
from typing import Any

from ..num import phi
from .tables import Additive, Table

__all__ = [
    "ADAMS_BASHFORTH",
    "ADAMS_MOULTON",
    "BOGACKI_SHAMPINE3_EMBEDDED",
    "BOOLE5",
    "DORMAND_PRINCE5",
    "DORMAND_PRINCE5_EMBEDDED",
    "EULER",
    "FEHLBERG5",
    "FEHLBERG5_EMBEDDED",
    "HEUN2",
    "HEUN3",
    "IMPLICIT_MIDPOINT",
    "KUNTZMANN4",
    "KUTTA3",
    "LOBATTO_IIIA3",
    "MIDPOINT",
    "OPEN4",
    "PLATEN",
    "RADAU_IIA2",
    "RALSTON2",
    "RALSTON3",
    "RK4",
    "SHARK",
    "SRA1",
    "SRA3",
    "SSP33",
    "SSP43",
    "THREE_EIGHTHS",
    "TRAPEZOID",
    "TSITOURAS_5",
    "VAN_DER_HOUWEN3",
    "adams_bashforth_1",
    "adams_bashforth_2",
    "adams_bashforth_3",
    "adams_bashforth_4",
    "adams_bashforth_5",
    "adams_bashforth_6",
    "adams_moulton_2",
    "adams_moulton_3",
    "adams_moulton_4",
    "adams_moulton_5",
    "adams_moulton_6",
    "additive_2",
    "bdf_2",
    "bdf_3",
    "bdia",
    "belm_2",
    "cfree_4",
    "dpm_2m",
    "dpm_2s",
    "dpm_3m",
    "dpm_3s",
    "dpm_3s_taylor",
    "er_sde_power",
    "etd2",
    "etd3rk",
    "etd4rk",
    "explicit_2",
    "explicit_3",
    "explicit_3_equal",
    "explicit_3_zero",
    "explicit_4",
    "explicit_4_equal",
    "explicit_4_one",
    "explicit_4_zero",
    "explicit_5",
    "exponential_adams_1",
    "exponential_adams_2",
    "exponential_adams_3",
    "exponential_adams_4",
    "exponential_adams_5",
    "exponential_adams_6",
    "exponential_adams_moulton_2",
    "exponential_adams_moulton_3",
    "exponential_adams_moulton_4",
    "exponential_adams_moulton_5",
    "exponential_adams_moulton_6",
    "exponential_adams_moulton_7",
    "exponential_euler",
    "extrapolation_2",
    "friedli_4",
    "gauss_2",
    "hochbruck_ostermann_3",
    "hochbruck_ostermann_5",
    "ipndm_v_3",
    "ipndm_v_4",
    "ito_kernels",
    "ito_pair",
    "krogstad_4",
    "lawson_2a",
    "lawson_2b",
    "lawson_4",
    "lawson_euler",
    "leapfrog",
    "luan_4",
    "luan_ostermann_8",
    "sde_noise_data_2",
    "sde_noise_data_3",
    "sde_noise_noise_2",
    "sde_noise_noise_3",
    "sde_step_data",
    "sde_step_noise",
    "strehmel_weiner_4",
    "tsitouras_5",
    "unic_1_bh1",
    "unic_1_bh2",
    "unic_2_coded",
    "unic_3_coded",
    "unip_2_bh1",
]

ADAMS_BASHFORTH = (
    (1,),
    (F(3, 2), F(-1, 2)),
    (F(23, 12), F(-4, 3), F(5, 12)),
    (F(55, 24), F(-59, 24), F(37, 24), F(-3, 8)),
    (F(1901, 720), F(-1387, 360), F(109, 30), F(-637, 360), F(251, 720)),
    (F(4277, 1440), F(-2641, 480), F(4991, 720), F(-3649, 720), F(959, 480), F(-95, 288)),
)
"""Weights of orders 1 to 6 on equal steps, over the nodes (0, -1, -2, ...). Derived by ``theory.adams.constant_steps``."""

ADAMS_MOULTON = (
    (1,),
    (F(1, 2), F(1, 2)),
    (F(5, 12), F(2, 3), F(-1, 12)),
    (F(3, 8), F(19, 24), F(-5, 24), F(1, 24)),
    (F(251, 720), F(323, 360), F(-11, 30), F(53, 360), F(-19, 720)),
    (F(95, 288), F(1427, 1440), F(-133, 240), F(241, 720), F(-173, 1440), F(3, 160)),
)
"""Weights of orders 1 to 6 on equal steps, over the nodes (1, 0, -1, ...). Derived by ``theory.adams.constant_steps``."""

EULER = Table(
    (0,),
    ((),),
    (1,),
)
"""Euler's method. Derived by ``theory.runge_kutta_tables.entries``."""

MIDPOINT = Table(
    (0, F(1, 2)),
    ((), (F(1, 2),)),
    (0, 1),
)
"""The midpoint method, order two. Derived by ``theory.runge_kutta_tables.entries``."""

HEUN2 = Table(
    (0, 1),
    ((), (1,)),
    (F(1, 2), F(1, 2)),
)
"""Heun's method of order two, the trapezoidal rule. Derived by ``theory.runge_kutta_tables.entries``."""

RALSTON2 = Table(
    (0, F(2, 3)),
    ((), (F(2, 3),)),
    (F(1, 4), F(3, 4)),
)
"""Ralston's method of order two, on a quadrature of order three. Derived by ``theory.runge_kutta_tables.entries``."""

HEUN3 = Table(
    (0, F(1, 3), F(2, 3)),
    ((), (F(1, 3),), (0, F(2, 3))),
    (F(1, 4), 0, F(3, 4)),
)
"""Heun's method of order three; no node at 1. Derived by ``theory.runge_kutta_tables.entries``."""

KUTTA3 = Table(
    (0, F(1, 2), 1),
    ((), (F(1, 2),), (-1, 2)),
    (F(1, 6), F(2, 3), F(1, 6)),
)
"""Kutta's method of order three on Simpson's rule. Derived by ``theory.runge_kutta_tables.entries``."""

RALSTON3 = Table(
    (0, F(1, 2), F(3, 4)),
    ((), (F(1, 2),), (0, F(3, 4))),
    (F(2, 9), F(1, 3), F(4, 9)),
)
"""Ralston's method of order three, which Bogacki and Shampine embed; no node at 1. Derived by ``theory.runge_kutta_tables.entries``."""

SSP33 = Table(
    (0, 1, F(1, 2)),
    ((), (1,), (F(1, 4), F(1, 4))),
    (F(1, 6), F(1, 6), F(2, 3)),
)
"""Shu and Osher's, order three, strong stability preserving. Derived by ``theory.runge_kutta_tables.entries``."""

VAN_DER_HOUWEN3 = Table(
    (0, F(8, 15), F(2, 3)),
    ((), (F(8, 15),), (F(1, 4), F(5, 12))),
    (F(1, 4), 0, F(3, 4)),
)
"""Van der Houwen's (Wray's) low-storage method of order three; no node at 1. Derived by ``theory.runge_kutta_tables.entries``."""

SSP43 = Table(
    (0, F(1, 2), 1, F(1, 2)),
    ((), (F(1, 2),), (F(1, 2), F(1, 2)), (F(1, 6), F(1, 6), F(1, 6))),
    (F(1, 6), F(1, 6), F(1, 6), F(1, 2)),
)
"""Strong stability preserving method of order three with four stages of half steps. Derived by ``theory.runge_kutta_tables.entries``."""

RK4 = Table(
    (0, F(1, 2), F(1, 2), 1),
    ((), (F(1, 2),), (0, F(1, 2)), (0, 0, 1)),
    (F(1, 6), F(1, 3), F(1, 3), F(1, 6)),
)
"""The classical method of order four. Derived by ``theory.runge_kutta_tables.entries``."""

THREE_EIGHTHS = Table(
    (0, F(1, 3), F(2, 3), 1),
    ((), (F(1, 3),), (F(-1, 3), 1), (1, -1, 1)),
    (F(1, 8), F(3, 8), F(3, 8), F(1, 8)),
)
"""Kutta's method of order four on the 3/8 rule. Derived by ``theory.runge_kutta_tables.entries``."""

KUNTZMANN4 = Table(
    (0, F(2, 5), F(3, 5), 1),
    ((), (F(2, 5),), (F(-3, 20), F(3, 4)), (F(19, 44), F(-15, 44), F(10, 11))),
    (F(11, 72), F(25, 72), F(25, 72), F(11, 72)),
)
"""Kuntzmann's method of order four, at whose nodes four conditions of order five hold. Derived by ``theory.runge_kutta_tables.entries``."""

OPEN4 = Table(
    (0, F(2, 9), F(1, 3), F(2, 3), F(5, 6)),
    ((), (F(2, 9),), (F(1, 12), F(1, 4)), (F(1, 3), -1, F(4, 3)), (F(5, 24), F(-5, 16), F(5, 8), F(5, 16))),
    (F(1, 10), 0, F(1, 2), 0, F(2, 5)),
)
"""Order four with five stages, no node at 1, for steps that cannot evaluate at their end. Derived by ``theory.runge_kutta_tables.entries``."""

BOOLE5 = Table(
    (0, F(1, 6), F(1, 4), F(1, 2), F(3, 4), 1),
    (
        (),
        (F(1, 6),),
        (F(1, 16), F(3, 16)),
        (F(1, 4), F(-3, 4), 1),
        (F(3, 16), 0, 0, F(9, 16)),
        (F(-4, 7), F(3, 7), F(12, 7), F(-12, 7), F(8, 7)),
    ),
    (F(7, 90), 0, F(16, 45), F(2, 15), F(16, 45), F(7, 90)),
)
"""Order five with six stages on Boole's quadrature. Derived by ``theory.runge_kutta_tables.entries``."""

FEHLBERG5 = Table(
    (0, F(1, 4), F(3, 8), F(12, 13), 1, F(1, 2)),
    (
        (),
        (F(1, 4),),
        (F(3, 32), F(9, 32)),
        (F(1932, 2197), F(-7200, 2197), F(7296, 2197)),
        (F(439, 216), -8, F(3680, 513), F(-845, 4104)),
        (F(-8, 27), 2, F(-3544, 2565), F(1859, 4104), F(-11, 40)),
    ),
    (F(16, 135), 0, F(6656, 12825), F(28561, 56430), F(-9, 50), F(2, 55)),
)
"""Fehlberg's method of order five. Derived by ``theory.runge_kutta_tables.entries``."""

DORMAND_PRINCE5 = Table(
    (0, F(1, 5), F(3, 10), F(4, 5), F(8, 9), 1),
    (
        (),
        (F(1, 5),),
        (F(3, 40), F(9, 40)),
        (F(44, 45), F(-56, 15), F(32, 9)),
        (F(19372, 6561), F(-25360, 2187), F(64448, 6561), F(-212, 729)),
        (F(9017, 3168), F(-355, 33), F(46732, 5247), F(49, 176), F(-5103, 18656)),
    ),
    (F(35, 384), 0, F(500, 1113), F(125, 192), F(-2187, 6784), F(11, 84)),
)
"""Dormand and Prince's method of order five; its seventh stage is the next step's first. Derived by ``theory.runge_kutta_tables.entries``."""

BOGACKI_SHAMPINE3_EMBEDDED = Table(
    (0, F(1, 2), F(3, 4), 1),
    ((), (F(1, 2),), (0, F(3, 4)), (F(2, 9), F(1, 3), F(4, 9))),
    (F(7, 24), F(1, 4), F(1, 3), F(1, 8)),
)
"""Bogacki and Shampine's weights of order two beside RALSTON3, for an error estimate. Derived by ``theory.runge_kutta_tables.entries``."""

FEHLBERG5_EMBEDDED = Table(
    (0, F(1, 4), F(3, 8), F(12, 13), 1, F(1, 2)),
    (
        (),
        (F(1, 4),),
        (F(3, 32), F(9, 32)),
        (F(1932, 2197), F(-7200, 2197), F(7296, 2197)),
        (F(439, 216), -8, F(3680, 513), F(-845, 4104)),
        (F(-8, 27), 2, F(-3544, 2565), F(1859, 4104), F(-11, 40)),
    ),
    (F(25, 216), 0, F(1408, 2565), F(2197, 4104), F(-1, 5), 0),
)
"""Weights of order four beside FEHLBERG5, for an error estimate. Derived by ``theory.runge_kutta_tables.entries``."""

DORMAND_PRINCE5_EMBEDDED = Table(
    (0, F(1, 5), F(3, 10), F(4, 5), F(8, 9), 1, 1),
    (
        (),
        (F(1, 5),),
        (F(3, 40), F(9, 40)),
        (F(44, 45), F(-56, 15), F(32, 9)),
        (F(19372, 6561), F(-25360, 2187), F(64448, 6561), F(-212, 729)),
        (F(9017, 3168), F(-355, 33), F(46732, 5247), F(49, 176), F(-5103, 18656)),
        (F(35, 384), 0, F(500, 1113), F(125, 192), F(-2187, 6784), F(11, 84)),
    ),
    (F(5179, 57600), 0, F(7571, 16695), F(393, 640), F(-92097, 339200), F(187, 2100), F(1, 40)),
)
"""Weights of order four beside DORMAND_PRINCE5, for an error estimate. Derived by ``theory.runge_kutta_tables.entries``."""

IMPLICIT_MIDPOINT = ((F(1, 2),), ((F(1, 2),),), (1,))
"""Nodes, matrix and weights of the collocation method of order 2, implicit (Hairer & Wanner 1996, IV.5, tables 5.1 to 5.7). Derived by ``theory.collocation.collocation``."""

TRAPEZOID = ((0, 1), ((0, 0), (F(1, 2), F(1, 2))), (F(1, 2), F(1, 2)))
"""Nodes, matrix and weights of the collocation method of order 2, implicit (Hairer & Wanner 1996, IV.5, tables 5.1 to 5.7). Derived by ``theory.collocation.collocation``."""

RADAU_IIA2 = ((F(1, 3), 1), ((F(5, 12), F(-1, 12)), (F(3, 4), F(1, 4))), (F(3, 4), F(1, 4)))
"""Nodes, matrix and weights of the collocation method of order 3, implicit (Hairer & Wanner 1996, IV.5, tables 5.1 to 5.7). Derived by ``theory.collocation.collocation``."""

LOBATTO_IIIA3 = (
    (0, F(1, 2), 1),
    ((0, 0, 0), (F(5, 24), F(1, 3), F(-1, 24)), (F(1, 6), F(2, 3), F(1, 6))),
    (F(1, 6), F(2, 3), F(1, 6)),
)
"""Nodes, matrix and weights of the collocation method of order 4, implicit (Hairer & Wanner 1996, IV.5, tables 5.1 to 5.7). Derived by ``theory.collocation.collocation``."""

TSITOURAS_5 = (
    557437282570322684402658355110014168831631398583172334632347127175422959571032561810651291875821036079136385,
)
"""The integer whose root the entries of ``tsitouras_5`` hold. Derived by ``theory.tsitouras.entries``."""

PLATEN = Additive(
    (0, 1),
    ((), (1,)),
    (F(1, 2), F(1, 2)),
    (0, 1),
    (0, 0),
)
"""Platen's explicit method of weak order two where noise is additive: the only one of two stages that draws no area (Kloeden & Platen 1992, 15.1). Derived by ``theory.additive.two_stages``."""

SRA1 = Additive(
    (0, F(3, 4)),
    ((), (F(3, 4),)),
    (F(1, 3), F(2, 3)),
    (0, F(3, 4)),
    (0, F(3, 2)),
)
"""Roessler's SRA1, strong order 1.5: the only one of two stages whose first stage is at the state. Derived by ``theory.additive.two_stages``."""

SHARK = Additive(
    (0, F(5, 6)),
    ((), (F(5, 6),)),
    (F(2, 5), F(3, 5)),
    (0, F(5, 6)),
    (1, 1),
)
"""ShARK, strong order 1.5: the only one of two stages that are shifted by the same area, their authors' choice. Derived by ``theory.additive.two_stages``."""

SRA3 = Additive(
    (0, 1, F(1, 2)),
    ((), (1,), (F(1, 4), F(1, 4))),
    (F(1, 6), F(1, 6), F(2, 3)),
    (0, 0, F(3, 4)),
    (0, 0, F(3, 2)),
)
"""Roessler's SRA3, strong order 1.5, order three without noise: the only one of three stages with noise in the last and the second at the end of the step, its author's choice. Derived by ``theory.additive.three_stages``."""


def exponential_adams_1(z: Any) -> Any:
    """Weights of order 1 over the nodes (0): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 1``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    return (p1,)


def exponential_adams_2(z: Any, c1: Any) -> Any:
    """Weights of order 2 over the nodes (0, c1): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 2``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    u1 = 1 / c1
    return (-u1 * (-c1 * p1 + p2), p2 * u1)


def exponential_adams_3(z: Any, c1: Any, c2: Any) -> Any:
    """Weights of order 3 over the nodes (0, c1, c2): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 3``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    u1 = 1 / c1
    u2 = 1 / c2
    u3 = c1 - c2
    u4 = -2 * p3
    return (
        u1 * u2 * (c1 * c2 * p1 - p2 * (c1 + c2) + 2 * p3),
        (u1 * (-c2 * p2 - u4)) / u3,
        (-u2 * (-c1 * p2 - u4)) / u3,
    )


def exponential_adams_4(z: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """Weights of order 4 over the nodes (0, c1, c2, c3): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 4``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    u1 = 1 / c1
    u2 = 1 / c2
    u3 = 1 / c3
    u4 = c1 * c2
    u5 = c2 + c3
    u6 = 2 * p3
    u7 = c1 * c3
    u8 = c2 * c3
    u9 = c1 - c2
    u10 = -c3
    u11 = c1 + u10
    u12 = 6 * p4
    u13 = c2 + u10
    return (
        -u1 * u2 * u3 * (-c3 * p1 * u4 + p2 * (u4 + u7 + u8) + 6 * p4 - u6 * (c1 + u5)),
        (u1 * (p2 * u8 + u12 - u5 * u6)) / (u11 * u9),
        (-u2 * (p2 * u7 + u12 - u6 * (c1 + c3))) / (u13 * u9),
        (u3 * (p2 * u4 + u12 - u6 * (c1 + c2))) / (u11 * u13),
    )


def exponential_adams_5(z: Any, c1: Any, c2: Any, c3: Any, c4: Any) -> Any:
    """Weights of order 5 over the nodes (0, c1, c2, c3, c4): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 5``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    p5 = phi(5, z)
    u1 = 1 / c1
    u2 = 1 / c2
    u3 = 1 / c3
    u4 = 1 / c4
    u5 = c1 * c2
    u6 = c3 * c4
    u7 = c3 + c4
    u8 = c2 + u7
    u9 = 6 * p4
    u10 = c3 * u5
    u11 = c4 * u5
    u12 = c1 * c3
    u13 = c4 * u12
    u14 = c2 * c3
    u15 = c4 * u14
    u16 = c2 * c4
    u17 = u14 + u16 + u6
    u18 = c1 * c4
    u19 = u12 + u18
    u20 = c1 - c2
    u21 = -c3
    u22 = c1 + u21
    u23 = -c4
    u24 = c1 + u23
    u25 = -24 * p5
    u26 = c2 + u21
    u27 = c2 + u23
    u28 = c3 + u23
    u29 = c1 + c2
    return (
        u1
        * u2
        * u3
        * u4
        * (p1 * u5 * u6 - p2 * (u10 + u11 + u13 + u15) + 2 * p3 * (u17 + u19 + u5) + 24 * p5 - u9 * (c1 + u8)),
        (u1 * (-p2 * u15 + 2 * p3 * u17 - u25 - u8 * u9)) / (u20 * u22 * u24),
        (-u2 * (-p2 * u13 + 2 * p3 * (u19 + u6) - u25 - u9 * (c1 + u7))) / (u20 * u26 * u27),
        (u3 * (-p2 * u11 + 2 * p3 * (u16 + u18 + u5) - u25 - u9 * (c4 + u29))) / (u22 * u26 * u28),
        (-u4 * (-p2 * u10 + 2 * p3 * (u12 + u14 + u5) - u25 - u9 * (c3 + u29))) / (u24 * u27 * u28),
    )


def exponential_adams_6(z: Any, c1: Any, c2: Any, c3: Any, c4: Any, c5: Any) -> Any:
    """Weights of order 6 over the nodes (0, c1, c2, c3, c4, c5): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 6``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    p5 = phi(5, z)
    p6 = phi(6, z)
    u1 = 1 / c1
    u2 = 1 / c2
    u3 = 1 / c3
    u4 = 1 / c4
    u5 = 1 / c5
    u6 = c3 * c4
    u7 = c1 * c2
    u8 = c5 * u7
    u9 = c3 + c4 + c5
    u10 = c2 + u9
    u11 = 24 * p5
    u12 = u6 * u7
    u13 = c3 * c5
    u14 = u13 * u7
    u15 = c4 * c5
    u16 = u15 * u7
    u17 = c1 * c3
    u18 = u15 * u17
    u19 = c2 * c3
    u20 = u15 * u19
    u21 = u13 + u15 + u6
    u22 = c2 * c4
    u23 = c2 * c5
    u24 = u22 + u23
    u25 = u19 + u21 + u24
    u26 = c1 * c4
    u27 = c1 * c5
    u28 = u26 + u27
    u29 = u17 + u28
    u30 = c3 * u7
    u31 = c4 * u19
    u32 = c5 * u19
    u33 = c5 * u22
    u34 = c5 * u6
    u35 = u31 + u32 + u33 + u34
    u36 = c4 * u17
    u37 = c5 * u17
    u38 = c5 * u26
    u39 = u36 + u37 + u38
    u40 = c4 * u7
    u41 = u40 + u8
    u42 = 2 * p3
    u43 = c1 - c2
    u44 = -c3
    u45 = c1 + u44
    u46 = -c4
    u47 = c1 + u46
    u48 = -c5
    u49 = c1 + u48
    u50 = 120 * p6
    u51 = 6 * p4
    u52 = c2 + u44
    u53 = c2 + u46
    u54 = c2 + u48
    u55 = c3 + u46
    u56 = c3 + u48
    u57 = c1 + c2 + c5
    u58 = c4 + u48
    u59 = u17 + u19 + u7
    return (
        -u1
        * u2
        * u3
        * u4
        * u5
        * (
            -p1 * u6 * u8
            + p2 * (u12 + u14 + u16 + u18 + u20)
            + 6 * p4 * (u25 + u29 + u7)
            + 120 * p6
            - u11 * (c1 + u10)
            - u42 * (u30 + u35 + u39 + u41)
        ),
        (u1 * (p2 * u20 - u10 * u11 + u25 * u51 - u35 * u42 + u50)) / (u43 * u45 * u47 * u49),
        (-u2 * (p2 * u18 - u11 * (c1 + u9) - u42 * (u34 + u39) + u50 + u51 * (u21 + u29))) / (u43 * u52 * u53 * u54),
        (u3 * (p2 * u16 - u11 * (c4 + u57) - u42 * (u33 + u38 + u41) + u50 + u51 * (u15 + u24 + u28 + u7)))
        / (u45 * u52 * u55 * u56),
        (-u4 * (p2 * u14 - u11 * (c3 + u57) - u42 * (u30 + u32 + u37 + u8) + u50 + u51 * (u13 + u23 + u27 + u59)))
        / (u47 * u53 * u55 * u58),
        (
            u5
            * (
                p2 * u12
                - u11 * (c1 + c2 + c3 + c4)
                - u42 * (u30 + u31 + u36 + u40)
                + u50
                + u51 * (u22 + u26 + u59 + u6)
            )
        )
        / (u49 * u54 * u56 * u58),
    )


def adams_bashforth_1() -> Any:
    """Weights of order 1 over the nodes (0): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 1``.

    Derived by ``theory.adams.rule``.
    """
    return (1,)


def adams_bashforth_2(c1: Any) -> Any:
    """Weights of order 2 over the nodes (0, c1): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 2``.

    Derived by ``theory.adams.rule``.
    """
    u1 = 1 / (2 * c1)
    return (-u1 * (1 - 2 * c1), u1)


def adams_bashforth_3(c1: Any, c2: Any) -> Any:
    """Weights of order 3 over the nodes (0, c1, c2): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 3``.

    Derived by ``theory.adams.rule``.
    """
    u1 = 1 / c2
    u2 = 3 * c1
    u3 = 3 * c2
    u4 = 1 / (6 * c1)
    u5 = c1 - c2
    return (u1 * u4 * (6 * c1 * c2 - u2 - u3 + 2), (u4 * (2 - u3)) / u5, (-u1 * (2 - u2)) / (6 * u5))


def adams_bashforth_4(c1: Any, c2: Any, c3: Any) -> Any:
    """Weights of order 4 over the nodes (0, c1, c2, c3): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 4``.

    Derived by ``theory.adams.rule``.
    """
    u1 = 1 / c2
    u2 = 1 / c3
    u3 = 4 * c1
    u4 = 4 * c2
    u5 = 4 * c3
    u6 = c2 * c3
    u7 = 1 / (12 * c1)
    u8 = c1 - c2
    u9 = -c3
    u10 = c1 + u9
    u11 = -u4
    u12 = 3 - u5
    u13 = c2 + u9
    u14 = -u3
    u15 = 6 * c1
    return (
        -u1 * u2 * u7 * (6 * c1 * c2 + 6 * c1 * c3 - 12 * c1 * u6 + 6 * c2 * c3 - u3 - u4 - u5 + 3),
        (u7 * (u11 + u12 + 6 * u6)) / (u10 * u8),
        (-u1 * (c3 * u15 + u12 + u14)) / (12 * u13 * u8),
        (u2 * (c2 * u15 + u11 + u14 + 3)) / (12 * u10 * u13),
    )


def adams_bashforth_5(c1: Any, c2: Any, c3: Any, c4: Any) -> Any:
    """Weights of order 5 over the nodes (0, c1, c2, c3, c4): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 5``.

    Derived by ``theory.adams.rule``.
    """
    u1 = 1 / c2
    u2 = 1 / c3
    u3 = 1 / c4
    u4 = 15 * c1
    u5 = 15 * c2
    u6 = 15 * c3
    u7 = 15 * c4
    u8 = 20 * c1
    u9 = 20 * c2
    u10 = c3 * c4
    u11 = 30 * c1
    u12 = c2 * u11
    u13 = c3 * u12
    u14 = c4 * u12
    u15 = u10 * u11
    u16 = c2 * u10
    u17 = 30 * u16
    u18 = 1 / (60 * c1)
    u19 = c1 - c2
    u20 = -c3
    u21 = c1 + u20
    u22 = -c4
    u23 = c1 + u22
    u24 = -20 * c2 * c3
    u25 = -20 * c3 * c4 + u6 + u7 - 12
    u26 = -20 * c2 * c4 + u5
    u27 = c2 + u20
    u28 = c2 + u22
    u29 = -20 * c1 * c3
    u30 = -20 * c1 * c4 + u4
    u31 = c3 + u22
    u32 = -20 * c1 * c2 - 12
    return (
        u1
        * u18
        * u2
        * u3
        * (
            60 * c1 * u16
            + c2 * u8
            + c3 * u8
            + c3 * u9
            + c4 * u8
            + c4 * u9
            + 20 * u10
            - u13
            - u14
            - u15
            - u17
            - u4
            - u5
            - u6
            - u7
            + 12
        ),
        (u18 * (-u17 - u24 - u25 - u26)) / (u19 * u21 * u23),
        (-u1 * (-u15 - u25 - u29 - u30)) / (60 * u19 * u27 * u28),
        (u2 * (-u14 - u26 - u30 - u32 - u7)) / (60 * u21 * u27 * u31),
        (-u3 * (-u13 - u24 - u29 - u32 - u4 - u5 - u6)) / (60 * u23 * u28 * u31),
    )


def adams_bashforth_6(c1: Any, c2: Any, c3: Any, c4: Any, c5: Any) -> Any:
    """Weights of order 6 over the nodes (0, c1, c2, c3, c4, c5): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 6``.

    Derived by ``theory.adams.rule``.
    """
    u1 = 1 / c2
    u2 = 1 / c3
    u3 = 1 / c4
    u4 = 1 / c5
    u5 = 12 * c1
    u6 = 12 * c2
    u7 = 12 * c3
    u8 = 12 * c4
    u9 = 12 * c5
    u10 = 20 * c1
    u11 = c2 * c3
    u12 = u10 * u11
    u13 = c2 * u10
    u14 = c4 * u13
    u15 = c5 * u13
    u16 = c3 * u10
    u17 = c4 * u16
    u18 = c5 * u16
    u19 = c4 * c5
    u20 = u10 * u19
    u21 = 20 * u11
    u22 = c4 * u21
    u23 = c5 * u21
    u24 = 20 * u19
    u25 = c2 * u24
    u26 = c3 * u24
    u27 = u11 * u19
    u28 = 1 / (60 * c1)
    u29 = c1 - c2
    u30 = -c3
    u31 = c1 + u30
    u32 = -c4
    u33 = c1 + u32
    u34 = -c5
    u35 = c1 + u34
    u36 = -u22
    u37 = -u7
    u38 = -u8
    u39 = -u9
    u40 = 15 * c3
    u41 = c4 * u40
    u42 = c5 * u40
    u43 = 15 * u19
    u44 = -u26 + u37 + u38 + u39 + u41 + u42 + u43 + 10
    u45 = -u6
    u46 = 15 * c2
    u47 = c4 * u46
    u48 = c5 * u46
    u49 = -u25 + u45 + u47 + u48
    u50 = c3 * u46
    u51 = -u23 + u50
    u52 = c2 + u30
    u53 = c2 + u32
    u54 = c2 + u34
    u55 = -u17
    u56 = 30 * c1
    u57 = u19 * u56
    u58 = -u5
    u59 = 15 * c1
    u60 = c4 * u59
    u61 = c5 * u59
    u62 = -u20 + u58 + u60 + u61
    u63 = c3 * u59
    u64 = -u18 + u63
    u65 = c3 + u32
    u66 = c3 + u34
    u67 = c2 * u59
    u68 = -u15 + u39 + u67 + 10
    u69 = -u14 + u38
    u70 = c4 + u34
    u71 = u11 * u56
    u72 = -u12 + u37 + u45 + u58
    return (
        -u1
        * u2
        * u28
        * u3
        * u4
        * (
            30 * c1 * c2 * c3 * c4
            + 30 * c1 * c2 * c3 * c5
            + 30 * c1 * c2 * c4 * c5
            + 15 * c1 * c2
            + 30 * c1 * c3 * c4 * c5
            + 15 * c1 * c3
            + 15 * c1 * c4
            + 15 * c1 * c5
            - 60 * c1 * u27
            + 30 * c2 * c3 * c4 * c5
            + 15 * c2 * c3
            + 15 * c2 * c4
            + 15 * c2 * c5
            + 15 * c3 * c4
            + 15 * c3 * c5
            + 15 * c4 * c5
            - u12
            - u14
            - u15
            - u17
            - u18
            - u20
            - u22
            - u23
            - u25
            - u26
            - u5
            - u6
            - u7
            - u8
            - u9
            + 10
        ),
        (u28 * (30 * u27 + u36 + u44 + u49 + u51)) / (u29 * u31 * u33 * u35),
        (-u1 * (c3 * u57 + u44 + u55 + u62 + u64)) / (60 * u29 * u52 * u53 * u54),
        (u2 * (c2 * u57 + u43 + u49 + u62 + u68 + u69)) / (60 * u31 * u52 * u65 * u66),
        (-u3 * (c5 * u71 + u42 + u48 + u51 + u61 + u64 + u68 + u72)) / (60 * u33 * u53 * u65 * u70),
        (u4 * (c4 * u71 + u36 + u41 + u47 + u50 + u55 + u60 + u63 + u67 + u69 + u72 + 10))
        / (60 * u35 * u54 * u66 * u70),
    )


def exponential_adams_moulton_2(z: Any) -> Any:
    """Weights of order 2 over the nodes (1, 0): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 2``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    return (p2, p1 - p2)


def exponential_adams_moulton_3(z: Any, c1: Any) -> Any:
    """Weights of order 3 over the nodes (1, 0, c1): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 3``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    u1 = c1 - 1
    u2 = -2 * p3
    u3 = 1 / c1
    return ((c1 * p2 + u2) / u1, u3 * (c1 * p1 - p2 * (c1 + 1) + 2 * p3), (u3 * (-p2 - u2)) / u1)


def exponential_adams_moulton_4(z: Any, c1: Any, c2: Any) -> Any:
    """Weights of order 4 over the nodes (1, 0, c1, c2): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 4``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    u1 = c1 - 1
    u2 = c2 - 1
    u3 = 6 * p4
    u4 = c1 * c2
    u5 = c1 + c2
    u6 = 2 * p3
    u7 = 1 / c1
    u8 = 1 / c2
    u9 = c1 - c2
    return (
        (p2 * u4 + u3 - u5 * u6) / (u1 * u2),
        -u7 * u8 * (-p1 * u4 + p2 * (u4 + u5) + 6 * p4 - u6 * (u5 + 1)),
        (u7 * (c2 * p2 + u3 - u6 * (c2 + 1))) / (u1 * u9),
        (-u8 * (c1 * p2 + u3 - u6 * (c1 + 1))) / (u2 * u9),
    )


def exponential_adams_moulton_5(z: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """Weights of order 5 over the nodes (1, 0, c1, c2, c3): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 5``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    p5 = phi(5, z)
    u1 = c1 - 1
    u2 = c2 - 1
    u3 = c3 - 1
    u4 = -24 * p5
    u5 = c1 * c2
    u6 = c3 * u5
    u7 = c2 + c3
    u8 = c1 + u7
    u9 = 6 * p4
    u10 = c1 * c3
    u11 = c2 * c3
    u12 = u10 + u11 + u5
    u13 = 1 / c1
    u14 = 1 / c2
    u15 = 1 / c3
    u16 = c1 - c2
    u17 = -c3
    u18 = c1 + u17
    u19 = c2 + u17
    u20 = c1 + c3
    u21 = c1 + c2
    return (
        (p2 * u6 - 2 * p3 * u12 + u4 + u8 * u9) / (u1 * u2 * u3),
        u13 * u14 * u15 * (p1 * u6 - p2 * (u12 + u6) + 2 * p3 * (u12 + u8) + 24 * p5 - u9 * (u8 + 1)),
        (u13 * (-p2 * u11 + 2 * p3 * (u11 + u7) - u4 - u9 * (u7 + 1))) / (u1 * u16 * u18),
        (-u14 * (-p2 * u10 + 2 * p3 * (u10 + u20) - u4 - u9 * (u20 + 1))) / (u16 * u19 * u2),
        (u15 * (-p2 * u5 + 2 * p3 * (u21 + u5) - u4 - u9 * (u21 + 1))) / (u18 * u19 * u3),
    )


def exponential_adams_moulton_6(z: Any, c1: Any, c2: Any, c3: Any, c4: Any) -> Any:
    """Weights of order 6 over the nodes (1, 0, c1, c2, c3, c4): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 6``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    p5 = phi(5, z)
    p6 = phi(6, z)
    u1 = c1 - 1
    u2 = c2 - 1
    u3 = c3 - 1
    u4 = c4 - 1
    u5 = 120 * p6
    u6 = c1 * c2
    u7 = c3 * c4
    u8 = u6 * u7
    u9 = c2 + c3 + c4
    u10 = c1 + u9
    u11 = 24 * p5
    u12 = c3 * u6
    u13 = c4 * u6
    u14 = c1 * c3
    u15 = c4 * u14
    u16 = c2 * c3
    u17 = c4 * u16
    u18 = u12 + u13 + u15 + u17
    u19 = 2 * p3
    u20 = c2 * c4
    u21 = u16 + u20 + u7
    u22 = c1 * c4
    u23 = u14 + u22
    u24 = u21 + u23 + u6
    u25 = 6 * p4
    u26 = 1 / c1
    u27 = 1 / c2
    u28 = 1 / c3
    u29 = 1 / c4
    u30 = c1 - c2
    u31 = -c3
    u32 = c1 + u31
    u33 = -c4
    u34 = c1 + u33
    u35 = c2 + u31
    u36 = c2 + u33
    u37 = c1 + c4
    u38 = u37 + 1
    u39 = u23 + u7
    u40 = c3 + u33
    u41 = u20 + u22 + u6
    u42 = c1 + c2 + c3
    u43 = u14 + u16 + u6
    return (
        (p2 * u8 - u10 * u11 - u18 * u19 + u24 * u25 + u5) / (u1 * u2 * u3 * u4),
        -u26
        * u27
        * u28
        * u29
        * (-p1 * u8 + p2 * (u18 + u8) + 6 * p4 * (u10 + u24) + 120 * p6 - u11 * (u10 + 1) - u19 * (u18 + u24)),
        (u26 * (p2 * u17 - u11 * (u9 + 1) - u19 * (u17 + u21) + u25 * (u21 + u9) + u5)) / (u1 * u30 * u32 * u34),
        (-u27 * (p2 * u15 - u11 * (c3 + u38) - u19 * (u15 + u39) + u25 * (c3 + u37 + u39) + u5))
        / (u2 * u30 * u35 * u36),
        (u28 * (p2 * u13 - u11 * (c2 + u38) - u19 * (u13 + u41) + u25 * (c2 + u37 + u41) + u5))
        / (u3 * u32 * u35 * u40),
        (-u29 * (p2 * u12 - u11 * (u42 + 1) - u19 * (u12 + u43) + u25 * (u42 + u43) + u5)) / (u34 * u36 * u4 * u40),
    )


def exponential_adams_moulton_7(z: Any, c1: Any, c2: Any, c3: Any, c4: Any, c5: Any) -> Any:
    """Weights of order 7 over the nodes (1, 0, c1, c2, c3, c4, c5): ``w_j = int_0^1 e^{(1-s) z} l_j(s) ds``, that is

    ``sum_j w_j c_j^m = m! phi_{m+1}(z)`` for ``m < 7``.

    Derived by ``theory.adams.rule``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    p5 = phi(5, z)
    p6 = phi(6, z)
    p7 = phi(7, z)
    u1 = c1 - 1
    u2 = c2 - 1
    u3 = c3 - 1
    u4 = c4 - 1
    u5 = c5 - 1
    u6 = -720 * p7
    u7 = c3 * c4
    u8 = c1 * c2
    u9 = c5 * u8
    u10 = u7 * u9
    u11 = c2 + c3 + c4 + c5
    u12 = c1 + u11
    u13 = 120 * p6
    u14 = u7 * u8
    u15 = c3 * c5
    u16 = u15 * u8
    u17 = c4 * c5
    u18 = u17 * u8
    u19 = c1 * c3
    u20 = u17 * u19
    u21 = c2 * c3
    u22 = u17 * u21
    u23 = u14 + u16 + u18 + u20 + u22
    u24 = c2 * c4
    u25 = c2 * c5
    u26 = u15 + u17 + u21 + u24 + u25 + u7
    u27 = c1 * c4
    u28 = c1 * c5
    u29 = u19 + u27 + u28
    u30 = u26 + u29 + u8
    u31 = c3 * u8
    u32 = c4 * u21
    u33 = c5 * u21
    u34 = c5 * u24
    u35 = c5 * u7
    u36 = u32 + u33 + u34 + u35
    u37 = c4 * u19
    u38 = c5 * u19
    u39 = c5 * u27
    u40 = u37 + u38 + u39
    u41 = c4 * u8
    u42 = u41 + u9
    u43 = u31 + u36 + u40 + u42
    u44 = 6 * p4
    u45 = 1 / c1
    u46 = 1 / c2
    u47 = 1 / c3
    u48 = 1 / c4
    u49 = 1 / c5
    u50 = c1 - c2
    u51 = -c3
    u52 = c1 + u51
    u53 = -c4
    u54 = c1 + u53
    u55 = -c5
    u56 = c1 + u55
    u57 = c2 + u51
    u58 = c2 + u53
    u59 = c2 + u55
    u60 = c1 + c4 + c5
    u61 = u60 + 1
    u62 = u35 + u40
    u63 = u15 + u17 + u29 + u7
    u64 = c3 + u53
    u65 = c3 + u55
    u66 = u34 + u39 + u42
    u67 = u25 + u28 + u8
    u68 = u24 + u27
    u69 = u17 + u67 + u68
    u70 = c4 + u55
    u71 = c1 + c2 + c3
    u72 = u71 + 1
    u73 = u31 + u33 + u38 + u9
    u74 = u19 + u21
    u75 = u15 + u67 + u74
    u76 = u31 + u32 + u37 + u41
    u77 = u68 + u7 + u74 + u8
    return (
        (p2 * u10 - 2 * p3 * u23 - 24 * p5 * u30 + u12 * u13 + u43 * u44 + u6) / (u1 * u2 * u3 * u4 * u5),
        u45
        * u46
        * u47
        * u48
        * u49
        * (
            p1 * u10
            - p2 * (u10 + u23)
            + 2 * p3 * (u23 + u43)
            + 24 * p5 * (u12 + u30)
            + 720 * p7
            - u13 * (u12 + 1)
            - u44 * (u30 + u43)
        ),
        (u45 * (-p2 * u22 + 2 * p3 * (u22 + u36) + 24 * p5 * (u11 + u26) - u13 * (u11 + 1) - u44 * (u26 + u36) - u6))
        / (u1 * u50 * u52 * u54 * u56),
        (
            -u46
            * (
                -p2 * u20
                + 2 * p3 * (u20 + u62)
                + 24 * p5 * (c3 + u60 + u63)
                - u13 * (c3 + u61)
                - u44 * (u62 + u63)
                - u6
            )
        )
        / (u2 * u50 * u57 * u58 * u59),
        (
            u47
            * (
                -p2 * u18
                + 2 * p3 * (u18 + u66)
                + 24 * p5 * (c2 + u60 + u69)
                - u13 * (c2 + u61)
                - u44 * (u66 + u69)
                - u6
            )
        )
        / (u3 * u52 * u57 * u64 * u65),
        (
            -u48
            * (
                -p2 * u16
                + 2 * p3 * (u16 + u73)
                + 24 * p5 * (c5 + u71 + u75)
                - u13 * (c5 + u72)
                - u44 * (u73 + u75)
                - u6
            )
        )
        / (u4 * u54 * u58 * u64 * u70),
        (
            u49
            * (
                -p2 * u14
                + 2 * p3 * (u14 + u76)
                + 24 * p5 * (c4 + u71 + u77)
                - u13 * (c4 + u72)
                - u44 * (u76 + u77)
                - u6
            )
        )
        / (u5 * u56 * u59 * u65 * u70),
    )


def adams_moulton_2() -> Any:
    """Weights of order 2 over the nodes (1, 0): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 2``.

    Derived by ``theory.adams.rule``.
    """
    return (F(1, 2), F(1, 2))


def adams_moulton_3(c1: Any) -> Any:
    """Weights of order 3 over the nodes (1, 0, c1): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 3``.

    Derived by ``theory.adams.rule``.
    """
    u1 = 3 * c1
    u2 = c1 - 1
    u3 = 1 / (6 * c1)
    return ((u1 - 2) / (6 * u2), u3 * (u1 - 1), (-u3) / u2)


def adams_moulton_4(c1: Any, c2: Any) -> Any:
    """Weights of order 4 over the nodes (1, 0, c1, c2): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 4``.

    Derived by ``theory.adams.rule``.
    """
    u1 = c1 - 1
    u2 = c2 - 1
    u3 = 6 * c1 * c2
    u4 = 1 / c2
    u5 = 1 / (12 * c1)
    u6 = c1 - c2
    return (
        (-4 * c1 - 4 * c2 + u3 + 3) / (12 * u1 * u2),
        -u4 * u5 * (2 * c1 + 2 * c2 - u3 - 1),
        (u5 * (2 * c2 - 1)) / (u1 * u6),
        (-u4 * (2 * c1 - 1)) / (12 * u2 * u6),
    )


def adams_moulton_5(c1: Any, c2: Any, c3: Any) -> Any:
    """Weights of order 5 over the nodes (1, 0, c1, c2, c3): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 5``.

    Derived by ``theory.adams.rule``.
    """
    u1 = c1 - 1
    u2 = c2 - 1
    u3 = c3 - 1
    u4 = c2 * c3
    u5 = 30 * c1 * u4
    u6 = 1 / c2
    u7 = 1 / c3
    u8 = 10 * c1
    u9 = c2 * u8
    u10 = c3 * u8
    u11 = 10 * u4
    u12 = 1 / (60 * c1)
    u13 = c1 - c2
    u14 = -c3
    u15 = c1 + u14
    u16 = -5 * c2
    u17 = 3 - 5 * c3
    u18 = c2 + u14
    u19 = -5 * c1
    return (
        (-20 * c1 * c2 - 20 * c1 * c3 + 15 * c1 - 20 * c2 * c3 + 15 * c2 + 15 * c3 + u5 - 12) / (60 * u1 * u2 * u3),
        u12 * u6 * u7 * (5 * c1 + 5 * c2 + 5 * c3 - u10 - u11 + u5 - u9 - 3),
        (u12 * (-u11 - u16 - u17)) / (u1 * u13 * u15),
        (-u6 * (-u10 - u17 - u19)) / (60 * u13 * u18 * u2),
        (u7 * (-u16 - u19 - u9 - 3)) / (60 * u15 * u18 * u3),
    )


def adams_moulton_6(c1: Any, c2: Any, c3: Any, c4: Any) -> Any:
    """Weights of order 6 over the nodes (1, 0, c1, c2, c3, c4): ``w_j = int_0^1 l_j(s) ds``, that is

    ``sum_j w_j c_j^m = 1 / (m + 1)`` for ``m < 6``.

    Derived by ``theory.adams.rule``.
    """
    u1 = c1 - 1
    u2 = c2 - 1
    u3 = c3 - 1
    u4 = c4 - 1
    u5 = 15 * c1
    u6 = 15 * c2
    u7 = c3 * c4
    u8 = 20 * c1
    u9 = c2 * u8
    u10 = c2 * u7
    u11 = 30 * c1 * u10
    u12 = 1 / c2
    u13 = 1 / c3
    u14 = 1 / c4
    u15 = 5 * c1
    u16 = c2 * u15
    u17 = c3 * u15
    u18 = c4 * u15
    u19 = 5 * c2
    u20 = c3 * u19
    u21 = c4 * u19
    u22 = 5 * u7
    u23 = 1 / (60 * c1)
    u24 = c1 - c2
    u25 = -c3
    u26 = c1 + u25
    u27 = -c4
    u28 = c1 + u27
    u29 = -u20
    u30 = 3 * c3
    u31 = 3 * c4
    u32 = -u22 + u30 + u31 - 2
    u33 = 3 * c2
    u34 = -u21 + u33
    u35 = c2 + u25
    u36 = c2 + u27
    u37 = -u17
    u38 = 10 * c1
    u39 = 3 * c1
    u40 = -u18 + u39
    u41 = c3 + u27
    u42 = c2 * u38
    u43 = -u16 - 2
    return (
        (
            -12 * c1
            + c2 * u5
            - 12 * c2
            + c3 * u5
            + c3 * u6
            - c3 * u9
            - 12 * c3
            + c4 * u5
            + c4 * u6
            - c4 * u9
            - 12 * c4
            - 20 * u10
            + u11
            - u7 * u8
            + 15 * u7
            + 10
        )
        / (60 * u1 * u2 * u3 * u4),
        -u12
        * u13
        * u14
        * u23
        * (
            10 * c1 * c2 * c3
            + 10 * c1 * c2 * c4
            + 10 * c1 * c3 * c4
            + 3 * c1
            + 10 * c2 * c3 * c4
            + 3 * c2
            + 3 * c3
            + 3 * c4
            - u11
            - u16
            - u17
            - u18
            - u20
            - u21
            - u22
            - 2
        ),
        (u23 * (10 * u10 + u29 + u32 + u34)) / (u1 * u24 * u26 * u28),
        (-u12 * (u32 + u37 + u38 * u7 + u40)) / (60 * u2 * u24 * u35 * u36),
        (u13 * (c4 * u42 + u31 + u34 + u40 + u43)) / (60 * u26 * u3 * u35 * u41),
        (-u14 * (c3 * u42 + u29 + u30 + u33 + u37 + u39 + u43)) / (60 * u28 * u36 * u4 * u41),
    )


def bdf_2(c1: Any) -> Any:
    """``(beta, b)`` of ``y_t = sum_j b_j y_j + beta h y'_t`` over ``(0, c1, ...)``, exact for polynomials of degree 2.

    Derived by ``theory.adams.bdf``.
    """
    u1 = c1 - 2
    u2 = 1 / (c1 * u1)
    return ((c1 - 1) / u1, (u2 * (c1**2 - 2 * c1 + 1), -u2))


def bdf_3(c1: Any, c2: Any) -> Any:
    """``(beta, b)`` of ``y_t = sum_j b_j y_j + beta h y'_t`` over ``(0, c1, ...)``, exact for polynomials of degree 3.

    Derived by ``theory.adams.bdf``.
    """
    u1 = 1 - c1
    u2 = 1 - c2
    u3 = 1 / c1
    u4 = 1 / c2
    u5 = 2 * c1
    u6 = -u5
    u7 = 2 * c2
    u8 = -u7
    u9 = c1 * c2
    u10 = c1**2
    u11 = c2**2
    u12 = u11 + u8 + 1
    u13 = u10 + u6
    u14 = 1 / (-c1 * u11 + 3 * c1 + c2 * u10 - 3 * c2 - 2 * u10 + 2 * u11)
    return (
        (u1 * u2) / (-c1 - c2 + u1 * u2 + 2),
        (
            (u3 * u4 * (u10 * u11 - u10 * u7 - u11 * u5 + u12 + u13 + 4 * u9)) / (u6 + u8 + u9 + 3),
            u12 * u14 * u3,
            u14 * u4 * (-u13 - 1),
        ),
    )


def dpm_2m(z: Any, c1: Any) -> Any:
    """DPM-Solver(++) 2M, which is UniP-2 with ``B_2`` and ``a_1 = 1/2``, over (0, c1).

    Derived by ``theory.uni.dpm_2m``.
    """
    p1 = phi(1, z)
    u1 = p1 / (2 * c1)
    return (u1 * (2 * c1 - 1), u1)


def dpm_3m(z: Any, c1: Any, c2: Any) -> Any:
    """DPM-Solver(++) 3M, over (0, c1, c2): a factor 2 short of exponential_adams_3.

    Derived by ``theory.uni.dpm_3m``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    u1 = 1 / c1
    u2 = 1 / c2
    u3 = -p3
    u4 = 1 / (c1 - c2)
    return (u1 * u2 * (c1 * c2 * p1 - p2 * (c1 + c2) + p3), u1 * u4 * (-c2 * p2 - u3), u2 * u4 * (c1 * p2 + u3))


def unip_2_bh1(z: Any, c1: Any) -> Any:
    """UniP-2 with ``B_1`` and ``a_1 = 1/2``, over (0, c1).

    Derived by ``theory.uni.unip_2``.
    """
    p1 = phi(1, z)
    u1 = 1 / (2 * c1)
    return (u1 * (2 * c1 * p1 - 1), u1)


def unic_1_bh1(z: Any) -> Any:
    """UniC-1 with ``B_1`` and ``a_1 = 1/2``, over (1, 0).

    Derived by ``theory.uni.unic_1``.
    """
    p1 = phi(1, z)
    return (F(1, 2), (2 * p1 - 1) / 2)


def unic_1_bh2(z: Any) -> Any:
    """UniC-1 with ``B_2`` and ``a_1 = 1/2``, over (1, 0).

    Derived by ``theory.uni.unic_1``.
    """
    p1 = phi(1, z)
    u1 = p1 / 2
    return (u1, u1)


def unic_2_coded(z: Any, c1: Any) -> Any:
    """UniC-2 with varying coefficients as coded, over (1, 0, c1): of order one.

    Derived by ``theory.uni.unic_coded``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    u1 = c1 - 1
    u2 = 1 / u1
    u3 = u2 / c1
    return (c1 * p3 * u2, u3 * (-(c1**2) * p3 + c1 * p1 * u1 + p2), -p2 * u3)


def unic_3_coded(z: Any, c1: Any, c2: Any) -> Any:
    """UniC-3 with varying coefficients as coded, over (1, 0, c1, c2): of order one.

    Derived by ``theory.uni.unic_coded``.
    """
    p1 = phi(1, z)
    p2 = phi(2, z)
    p3 = phi(3, z)
    p4 = phi(4, z)
    u1 = -c1
    u2 = c1 * c2
    u3 = u1 + u2
    u4 = -c2 + u3 + 1
    u5 = 1 / u4
    u6 = 2 * p4 * (c1 + c2)
    u7 = c1**2
    u8 = c2 + u1 - u2 + u7
    u9 = c2**2
    u10 = c2 + u3 - u9
    u11 = u10 * u2 * u8
    u12 = c1 + 1
    u13 = c2 + 1
    u14 = 2 * p3
    u15 = 1 / (c1 * u8)
    u16 = 1 / (c2 * u10)
    return (
        -u5 * u6,
        u15
        * u16
        * u5
        * (p1 * u11 * u4 + p2 * u4 * (-u10 * u9 + u7 * u8) + u11 * u6 + u14 * u4 * (-c1 * u12 * u8 + c2 * u10 * u13)),
        u15 * (c2 * p2 - u13 * u14),
        u16 * (-c1 * p2 + 2 * p3 * u12),
    )


def ipndm_v_3(c1: Any, c2: Any) -> Any:
    """Weights of iPNDM-v over 3 points, as in the reference code: ``sum_j w_j c_j^m`` are 1, 1/2 and not the moments of a polynomial beyond.

    Derived by ``theory.variable_pndm.moments``.
    """
    u1 = 1 / c2
    u2 = 3 * c2
    u3 = 1 / (6 * c1)
    u4 = c1 - c2
    u5 = c1 * u2 - 1
    return (u1 * u3 * (9 * c1 * c2 - u2 - 1), (u3 * (3 * c1 - u2 + u5)) / u4, (-u1 * u5) / (6 * u4))


def ipndm_v_4(c1: Any, c2: Any, c3: Any) -> Any:
    """Weights of iPNDM-v over 4 points, as in the reference code: ``sum_j w_j c_j^m`` are 1, 1/2 and not the moments of a polynomial beyond.

    Derived by ``theory.variable_pndm.moments``.
    """
    u1 = 1 / c2
    u2 = 1 / c3
    u3 = 6 * c1
    u4 = c3 * u3
    u5 = c2 * u3
    u6 = c1 + c2
    u7 = 3 * c1
    u8 = c2 * u7 - 1
    u9 = -u7 - u8
    u10 = 2 * u9
    u11 = c2 * c3
    u12 = 2 * c1
    u13 = 2 * c2
    u14 = 2 * u6
    u15 = 6 * (1 - c1) * (1 - c2)
    u16 = 6 * c1**2 - u12 + u13 + u14 * u8 + u15 - 1
    u17 = 6 * u11 + u16
    u18 = 1 / (12 * c1)
    u19 = c1 - c2
    u20 = -c3
    u21 = c1 + u20
    u22 = 1 / u21
    u23 = c2 + u20
    u24 = 1 / (12 * u23)
    u25 = u19**2
    u26 = -u21
    u27 = -u23
    return (
        -u1 * u18 * u2 * (-12 * c1 * u11 + u10 * (c3 + u6) + u17 + u4 + u5),
        (u18 * u22 * (u10 * (c2 + c3) + u17)) / u19,
        (-u1 * u24 * (u10 * (c1 + c3) + u16 + u4)) / u19,
        (
            u2
            * u22
            * u24
            * (u21 * u23 * u25 * (u14 * u9 + u16 + u5) + u26 * u27 * (c1 * u23 + u25) * (u12 - u13 - u15 + 1))
        )
        / (u25 * u26 * u27),
    )


def explicit_2(c2: Any) -> Any:
    """Every two-stage method of order two: ``c2 b2 = 1/2``; ``c2`` is not 0.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = 1 / (2 * c2)
    return ((0, c2), ((), (c2,)), (u1 * (2 * c2 - 1), u1))


def explicit_3(c2: Any, c3: Any) -> Any:
    """Three stages of order three, nodes ``0, c2, c3`` distinct, ``c2`` not 2/3: quadrature and ``b3 a32 c2 = 1/6``.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = 3 * c2
    u2 = -u1
    u3 = 1 / c2
    u4 = u1 - 2
    u5 = (c3 * u3) / u4
    u6 = c2 - c3
    u7 = 1 / c3
    u8 = 3 * c3
    u9 = u3 / 6
    u10 = 1 / u6
    return (
        (0, c2, c3),
        ((), (c2,), (u5 * (3 * c2**2 + c3 + u2), u5 * u6)),
        (u7 * u9 * (6 * c2 * c3 + u2 - u8 + 2), -u10 * u9 * (u8 - 2), (u10 * u4 * u7) / 6),
    )


def explicit_3_equal(b3: Any) -> Any:
    """Three stages of order three with ``c2 = c3 = 2/3`` and the weight ``b3``, not 0.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = 1 / b3
    return (
        (0, F(2, 3), F(2, 3)),
        ((), (F(2, 3),), ((u1 * (8 * b3 - 3)) / 12, u1 / 4)),
        (F(1, 4), (3 - 4 * b3) / 4, b3),
    )


def explicit_3_zero(b3: Any) -> Any:
    """Three stages of order three with ``c2 = 2/3, c3 = 0`` and the weight ``b3``, not 0.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = 1 / (4 * b3)
    return ((0, F(2, 3), 0), ((), (F(2, 3),), (-u1, u1)), ((1 - 4 * b3) / 4, F(3, 4), b3))


def explicit_4(c2: Any, c3: Any) -> Any:
    """Four stages of order four, nodes ``0, c2, c3, 1`` distinct, ``c2`` not 1/2 (Kutta 1901).

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = c2**2
    u2 = 4 * u1
    u3 = 2 * c2
    u4 = u3 - 1
    u5 = 1 / c2
    u6 = u5 / 2
    u7 = (c3 * u6) / u4
    u8 = c2 - c3
    u9 = 6 * c2
    u10 = c3 * u9
    u11 = -4 * c2 - 4 * c3 + u10 + 3
    u12 = 1 / u11
    u13 = 5 * c3
    u14 = c3**2
    u15 = 4 * u14
    u16 = 12 * u14
    u17 = 1 / c3
    u18 = u17 * u5
    u19 = 1 / u8
    u20 = c2 - 1
    u21 = u12 * u20
    u22 = c3 - 1
    u23 = u17 * u19 * u4
    u24 = 2 * c3
    u25 = 1 / (12 * u20)
    u26 = 1 / u22
    return (
        (0, c2, c3, 1),
        (
            (),
            (c2,),
            (u7 * (-3 * c2 + c3 + u2), u7 * u8),
            (
                (u12 * u18 * (15 * c2 * c3 - c2 * u16 - 12 * c3 * u1 + u1 * u16 - u13 + u15 + u2 - u9 + 2)) / 2,
                u19 * u21 * u6 * (c2 + u13 - u15 - 2),
                u21 * u22 * u23,
            ),
        ),
        ((u18 * (u10 - u24 - u3 + 1)) / 12, u19 * u25 * u5 * (u24 - 1), (-u23 * u26) / 12, u11 * u25 * u26),
    )


def explicit_4_equal(b3: Any) -> Any:
    """Four stages of order four with ``c2 = c3 = 1/2`` and the weight ``b3``, not 0.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = 3 * b3
    u2 = u1 - 1
    u3 = 1 / (6 * b3)
    return (
        (0, F(1, 2), F(1, 2), 1),
        ((), (F(1, 2),), (u2 * u3, u3), (0, -u2, u1)),
        (F(1, 6), (2 - 3 * b3) / 3, b3, F(1, 6)),
    )


def explicit_4_zero(b3: Any) -> Any:
    """Four stages of order four with ``c2 = 1/2, c3 = 0`` and the weight ``b3``, not 0.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = 1 / (12 * b3)
    u2 = 6 * b3
    return (
        (0, F(1, 2), 0, 1),
        ((), (F(1, 2),), (-u1, u1), ((-2 * u2 - 1) / 2, F(3, 2), u2)),
        ((1 - 6 * b3) / 6, F(2, 3), b3, F(1, 6)),
    )


def explicit_4_one(b4: Any) -> Any:
    """Four stages of order four with ``c2 = 1, c3 = 1/2`` and the weight ``b4``, not 0.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = 1 / b4
    return (
        (0, 1, F(1, 2), 1),
        ((), (1,), (F(3, 8), F(1, 8)), ((u1 * (4 * b4 - 1)) / 4, (-u1) / 12, u1 / 3)),
        (F(1, 6), (1 - 6 * b4) / 6, F(2, 3), b4),
    )


def explicit_5(c3: Any, c4: Any, c5: Any) -> Any:
    """Six stages of order five with stage order three from the third on, ``b2 = 0``: nodes ``0, 2 c3 / 3, c3, c4, c5, 1``

    distinct but for the second, ``10 c3 c4 - 5 c3 - 5 c4 + 3`` (of ``b5``) and the like of ``b6`` not 0.

    Derived by ``theory.runge_kutta_families.derived``.
    """
    u1 = (2 * c3) / 3
    u2 = 5 * c3
    u3 = c4 * u2
    u4 = c3**2
    u5 = 4 * u4
    u6 = c4**2
    u7 = 1 / u4
    u8 = u7 / 4
    u9 = 3 * c3
    u10 = -2 * c4
    u11 = u6 * u7
    u12 = c3 - c4
    u13 = c4 * u4
    u14 = c5 * u13
    u15 = 20 * u14
    u16 = c3**3
    u17 = c4 * u16
    u18 = c5**2
    u19 = 10 * u18
    u20 = 6 * u6
    u21 = u4 * u6
    u22 = 4 * c3
    u23 = 10 * c5
    u24 = 50 * c5
    u25 = c3 * c5
    u26 = c4 * u25
    u27 = 10 * c3
    u28 = c5 * u27
    u29 = 20 * c3
    u30 = u29 * u6
    u31 = u19 * u6
    u32 = 40 * u16
    u33 = c5 * u20 - u31 + u32 * u6
    u34 = 1 / c4
    u35 = -u2
    u36 = c4 * u27
    u37 = 5 * c4
    u38 = 3 - u37
    u39 = u35 + u36 + u38
    u40 = c5 / u39
    u41 = u34 * u40
    u42 = 6 * c4
    u43 = 20 * c4
    u44 = c3 * u43
    u45 = 15 * c4
    u46 = 30 * u14 - u4 * u45
    u47 = (3 * u7) / 4
    u48 = 15 * c3
    u49 = 20 * u25
    u50 = u7 / 2
    u51 = 1 / u12
    u52 = -c5
    u53 = c3 + u52
    u54 = u51 * u53
    u55 = c4 + u52
    u56 = 30 * u26
    u57 = -c5 * u43 + 15 * c5 - u44 + u45 + u48 - u49 + u56 - 12
    u58 = 1 / u57
    u59 = c3 * c4
    u60 = u18 * u29
    u61 = 120 * u18
    u62 = u16 * u6
    u63 = c3 * u6
    u64 = u13 * u18
    u65 = c5 * u21
    u66 = 1 / c5
    u67 = u34 * u66
    u68 = c4 * u23
    u69 = 1 / u53
    u70 = u51 * u69
    u71 = c3 - 1
    u72 = u58 * u71
    u73 = 1 / u55
    u74 = u34 * u51 * u73
    u75 = c4 - 1
    u76 = u72 * u75
    u77 = c5 - 1
    u78 = u39 * u66 * u69 * u73
    u79 = 5 * c5
    u80 = 1 / (60 * c3)
    u81 = 1 / u71
    u82 = -u79
    u83 = 1 / (60 * u75)
    u84 = 1 / u77
    return (
        (0, u1, c3, c4, c5, 1),
        (
            (),
            (u1,),
            (c3 / 4, (3 * c3) / 4),
            (c4 * u8 * (-u3 + u5 + 2 * u6), (3 * u11 * (u10 + u9)) / 4, -u11 * u12),
            (
                u41
                * u8
                * (
                    -c3 * u20
                    - c5 * u5
                    + 16 * u13
                    + u15
                    + u16 * u23
                    - 30 * u17
                    + u18 * u22
                    + u18 * u3
                    + u18 * u30
                    - u19 * u4
                    - u21 * u24
                    - 5 * u21
                    - 13 * u26
                    + u28 * u6
                    + u33
                ),
                u40 * u47 * (c3 * u42 + c4 * u19 - c5 * u42 + c5 * u9 - u18 * u2 - u18 * u44 + u46),
                -u40
                * u50
                * u54
                * (-c4 * c5 * u48 + c4 * u22 - 10 * u13 + u15 - u20 + u23 * u6 + 2 * u25 + u48 * u6 - u49 * u6),
                (u41 * u54 * u55 * (u2 - 2)) / 2,
            ),
            (
                u58
                * u67
                * u8
                * (
                    12 * c3
                    + 150 * c5 * u17
                    + 78 * c5 * u4
                    - 120 * c5 * u62
                    + 92 * u13
                    - 216 * u14
                    - u16 * u24
                    + 20 * u16
                    - u17 * u61
                    - 60 * u17
                    - 170 * u18 * u21
                    + u18 * u32
                    - 60 * u18 * u4
                    - 45 * u18 * u59
                    + 70 * u18 * u63
                    - 60 * u21
                    - 66 * u25 * u6
                    - 28 * u25
                    + 69 * u26
                    + u30
                    + u33
                    - 32 * u4
                    - 32 * u59
                    + u60
                    + u61 * u62
                    + 160 * u64
                    + 175 * u65
                ),
                u47 * u58 * (-c5 * u2 - u42 + u46 - u56 + 16 * u59 + u68 + u9),
                -u50
                * u70
                * u72
                * (
                    40 * c3 * c4 * u18
                    + 16 * c3 * c4
                    + 25 * c3 * c5 * u6
                    + 14 * c3 * c5
                    - 6 * c3
                    + 20 * c4 * c5 * u16
                    + 6 * c5 * u6
                    - u13
                    - 10 * u17
                    - u18 * u27
                    - 45 * u26
                    - u31
                    + 15 * u4 * u6
                    + 2 * u4
                    - 16 * u63
                    - 20 * u64
                    - 20 * u65
                ),
                (u74 * u76 * (-14 * c5 + u10 + u19 + 25 * u25 - u27 + u3 - u60 + 6)) / 2,
                u76 * u77 * u78,
            ),
        ),
        (
            u67 * u80 * (u2 - u28 - u36 + u37 + u56 - u68 + u79 - 3),
            0,
            -u70 * u80 * u81 * (u38 + u68 + u82),
            u74 * u83 * (u28 + u35 + u82 + 3),
            (-u78 * u84) / 60,
            u57 * u81 * u83 * u84,
        ),
    )


def gauss_2(root: Any) -> Any:
    """Nodes, matrix and weights of Gauss's two stages, of order 4, where ``root^2 = 3`` (Hairer & Wanner 1996, IV.5, tables 5.1 to 5.7).

    Derived by ``theory.collocation.collocation``.
    """
    u1 = 2 * root
    return (((3 - root) / 6, (root + 3) / 6), ((F(1, 4), (3 - u1) / 12), ((u1 + 3) / 12, F(1, 4))), (F(1, 2), F(1, 2)))


def tsitouras_5(root: Any) -> Any:
    """Nodes, matrix and weights of Tsitouras's method of order 5, where ``root^2`` is TSITOURAS_5 (Tsitouras 2011, table 1).

    Derived by ``theory.tsitouras.entries``.
    """
    return (
        (0, F(161, 1000), F(327, 1000), F(9, 10), F(9800255409045097, 10000000000000000), 1),
        (
            (),
            (F(161, 1000),),
            (
                (-22340754450 * root - 140591871346526658836131361412354004590441668157258415807067953347)
                / 18544776828702768938594291670910539647889417408983250588910780489000,
                (446815089 * root + 124094677886646642035129294756002009389005623217895627167617863465)
                / 370895536574055378771885833418210792957788348179665011778215609780,
            ),
            (
                (
                    204961050000000000000 * root
                    + 52230820701010547989831844221150282714717362427400052042285455407976830166701
                )
                / 18081146256039340966684702644666097079352762582052851079722210460000000000000,
                F(-254377939599003, 40000000000000),
                (
                    158056658368825453201861560250350812137530315213018302442482295244340598275167
                    - 409922100000000000000 * root
                )
                / 36162292512078681933369405289332194158705525164105702159444420920000000000000,
            ),
            (
                (
                    2073303477250541848519388818130510179511603477142156037044570164188202501671047569999576518553515547393845530750000000000
                    * root
                    + 641048613610210272180433357880406754732752496862375282580984255298664411896996326210795568709169172920525447306729484293780888261725941586500821237861167728618896972463079661821
                )
                / 120655818050480587389458897683744466331238246822217142041574522304271587991010299375773634837265284090287120881365332018266000000000000000000000000000000000000000000000000000000,
                (
                    16732188008517689894642309064316960990639721601126081637972627431443044614482420981688658941898088760113475000000000000
                    * root
                    - 26022972495797614131188067057977404702756191056485784414049758566695714386057062051498595976939819110431745486843543672346866584513946312703111622199588491077522966700472758861
                )
                / 2213868221109735548430438489609990207912628382059030129203202244115075009009363291298598804353491451197928823511290495748000000000000000000000000000000000000000000000000000000,
                (
                    33786964595613087849963001323301258911348136615791101295737917581771165436297959278336560913696332342290366760994632816330773098523860219005480857593203656247651716700472758861
                    - 111631557185616989689875075142143365051957237726055412702232643842501268744432533836804228369506615492986325000000000000
                    * root
                )
                / 4496490113682506362340083143493582596195214167287595355586628160407636819540756498476036080891873941252936181914235975836000000000000000000000000000000000000000000000000000000,
                (
                    7206153387995019456030492945207106466668006153858422205290057408699 * root
                    - 7859729668156859860327522926646097676257465015236914969373472271591282132856202630295560374632106566000388468958973279155525
                )
                / 84916414884046285448202408721705062558901605927958777786523313111334747078101913368000000000000000000000000000000000000000000,
            ),
            (
                (
                    65302924474501261232914394009591635584804119356074767335554099217381123714122983999304060966150000000000000
                    * root
                    + 21402491898812469806144763813125733407999858355927273327246590575274040864987463373443565376678698245024080458434296775239710086632269860409534787829486330949264263
                )
                / 3659713597749060437290815421642488391987827300516037077516185833769847816032497660042456658417170731667399492449820881372980484760559922231158476755282000000000000,
                (
                    214760947362856954338892461057917726667184128761859521254896700382364057270000000000000000 * root
                    - 265761250825043608726888899357720102207586086954107697366340869798761294088611049520944246875383964053964398499568643182561220193131411410322671517
                )
                / 20555803521284561116082307238457998838152164818658093925768411666543983890024778421476902660543140423984998149781689179422897129807804000000000000,
                (
                    2230337679148578889485230408345536587182669835928927531624911738804823035002743699284940728868896700821369237229755256593774677655376256677976291160890806970402149
                    - 7746064937149802216392196202641036835758108307199875824021414143222966166650148846008345928700000000000000
                    * root
                )
                / 272638072125519996990180293680459860112628342176060584729232547185953069284598525232690575190167071714597963928675238770487820209676346962738214792516000000000000,
                (
                    9472421559676316227834702337528137725375000000000000 * root
                    - 5652993836992014595253149924700485118172758478870090937922859165631242662633319854437089977733023450058167389
                )
                / 78870205646188692484374916273917748745822643837031264819946489032503801978165404479268878841034908278295606901,
                F(
                    -18392097749836807003089621900000000000000000000000000000000000000000,
                    650608969648870426434569636676429520589478110530833759010208839783579,
                ),
            ),
        ),
        (
            F(41732040999859349585827787, 432632275032295807065000000),
            F(1, 100),
            F(118552371222348681307961129, 247040900173509332850375300),
            F(8536581190209246786758087, 6190375716668347843500000),
            F(
                -273634700200000000000000000000000000000000000000000000000000,
                83169884075756704390786964428908955495029645160558400425453,
            ),
            F(12703513877391710812723, 5464557305392265000000),
        ),
    )


def extrapolation_2(c1: Any) -> Any:
    """Share by which data and noise, extrapolated over (0, c1), give order two: exact for ``y = rho`` and ``y = rho^2``.

    Derived by ``theory.extrapolation.share``.
    """
    return (1 / (c1 * (c1 - 2)),)


def exponential_euler(z: Any) -> Any:
    """Exponential Euler: DDIM, DPM-Solver-1.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z)
    return ((0,), ((),), (p1,))


def etd2(z: Any, c2: Any) -> Any:
    """``b_2 = phi_2 / c_2`` (Hochbruck & Ostermann 2005, section 5): ETD2RK of Cox & Matthews with ``c_2 = 1``, RES-2S, DPM-Solver-2 of type taylor.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z)
    p2 = phi(1, c2 * z)
    p3 = phi(2, z)
    u1 = 1 / c2
    return ((0, c2), ((), (c2 * p2,)), (u1 * (c2 * p1 - p3), p3 * u1))


def dpm_2s(z: Any, c2: Any) -> Any:
    """``b_2 = phi_1 / (2 c_2)`` (Hochbruck & Ostermann 2005, section 5): DPM-Solver-2 and ++(2S); the exponential midpoint rule with ``c_2 = 1/2``.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z)
    p2 = phi(1, c2 * z)
    u1 = p1 / (2 * c2)
    return ((0, c2), ((), (c2 * p2,)), (u1 * (2 * c2 - 1), u1))


def dpm_3s(z: Any, r1: Any, r2: Any) -> Any:
    """DPM-Solver-3 and ++(3S) as published (Lu et al. 2022, algorithm 2): ``b_2 = 0, psi_2 = psi_{2,3} = 0``; order three for ``r_2 = 2/3`` only.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z)
    p2 = phi(1, r1 * z)
    p3 = phi(1, r2 * z)
    p4 = phi(2, z)
    p5 = phi(2, r2 * z)
    u1 = 1 / r1
    u2 = 1 / r2
    return (
        (0, r1, r2),
        ((), (p2 * r1,), (r2 * u1 * (p3 * r1 - p5 * r2), p5 * r2**2 * u1)),
        (u2 * (p1 * r2 - p4), 0, p4 * u2),
    )


def dpm_3s_taylor(z: Any, r1: Any, r2: Any) -> Any:
    """DPM-Solver-3 of type taylor: quadrature of order three, ``psi_{2,3} = 0``; order three for ``r_2 = 2/3`` only. ETD2CF3 with 1/3, 2/3.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z)
    p2 = phi(1, r1 * z)
    p3 = phi(1, r2 * z)
    p4 = phi(2, z)
    p5 = phi(2, r2 * z)
    p6 = phi(3, z)
    u1 = 1 / r1
    u2 = 1 / r2
    u3 = 2 * p6
    u4 = p4 * r1
    u5 = p4 * r2
    u6 = 1 / (r1 - r2)
    u7 = -u3
    return (
        (0, r1, r2),
        ((), (p2 * r1,), (r2 * u1 * (p3 * r1 - p5 * r2), p5 * r2**2 * u1)),
        (u1 * u2 * (p1 * r1 * r2 + u3 - u4 - u5), -u1 * u6 * (u5 + u7), u2 * u6 * (u4 + u7)),
    )


def hochbruck_ostermann_3(z: Any, c2: Any, c3: Any) -> Any:
    """Three stages of stiff order three (Hochbruck & Ostermann 2005, section 5): RES-3S.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z)
    p2 = phi(1, c2 * z)
    p3 = phi(1, c3 * z)
    p4 = phi(2, z)
    p5 = phi(2, c2 * z)
    p6 = phi(2, c3 * z)
    u1 = 2 * c2
    u2 = c3 * p6
    u3 = 3 * c2
    u4 = c3 * u3
    u5 = -p5 * u1 + p5 * u4 - u2 * u3 + 2 * u2
    u6 = 1 / c2
    u7 = u3 - 2
    u8 = (c3 * u6) / u7
    u9 = 1 / c3
    u10 = 3 * c3
    u11 = u6 / 3
    u12 = p4 / (c2 - c3)
    return (
        (0, c2, c3),
        ((), (c2 * p2,), (u8 * (3 * c2**2 * p3 - p3 * u1 + u5), -u5 * u8)),
        (u11 * u9 * (p1 * u4 - p4 * u10 - p4 * u3 + 2 * p4), -u11 * u12 * (u10 - 2), (u12 * u7 * u9) / 3),
    )


def etd3rk(z: Any) -> Any:
    """ETD3RK (Cox & Matthews 2002, eq. 23 to 25): Kutta's third-order method with exponential Euler stages.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 2)
    p2 = phi(1, z)
    p3 = phi(2, z)
    p4 = phi(3, z)
    return ((0, F(1, 2), 1), ((), (p1 / 2,), (-p2, 2 * p2)), (p2 - 3 * p3 + 4 * p4, 4 * p3 - 8 * p4, -p3 + 4 * p4))


def etd4rk(z: Any) -> Any:
    """ETD4RK (Cox & Matthews 2002, eq. 26 to 29): the classical method with exponential Euler stages.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 2)
    p2 = phi(1, z)
    p3 = phi(2, z)
    p4 = phi(3, z)
    u1 = p1 / 2
    u2 = 4 * p4
    u3 = -u2
    u4 = 2 * p3 + u3
    return ((0, F(1, 2), F(1, 2), 1), ((), (u1,), (0, u1), (-p1 + p2, 0, p1)), (p2 - 3 * p3 + u2, u4, u4, -p3 - u3))


def cfree_4(z: Any) -> Any:
    """The commutator-free method of order four (Celledoni, Marthinsen & Owren 2003).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 2)
    p2 = phi(1, z)
    u1 = p1 / 2
    u2 = p1 / 3
    u3 = p2 / 3
    return (
        (0, F(1, 2), F(1, 2), 1),
        ((), (u1,), (0, u1), (-p1 + p2, 0, p1)),
        ((p2 - 2 * u2) / 2, u3, u3, (-p2 + 6 * u2) / 6),
    )


def krogstad_4(z: Any) -> Any:
    """ETDRK4-B (Krogstad 2005).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 2)
    p2 = phi(1, z)
    p3 = phi(2, z / 2)
    p4 = phi(2, z)
    p5 = phi(3, z)
    u1 = p1 / 2
    u2 = 2 * p4
    u3 = 4 * p5
    u4 = -u3
    u5 = u2 + u4
    return (
        (0, F(1, 2), F(1, 2), 1),
        ((), (u1,), (-p3 + u1, p3), (p2 - u2, 0, u2)),
        (p2 - 3 * p4 + u3, u5, u5, -p4 - u4),
    )


def strehmel_weiner_4(z: Any) -> Any:
    """Strehmel and Weiner's method (Hochbruck & Ostermann 2005, section 5).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 2)
    p2 = phi(1, z)
    p3 = phi(2, z / 2)
    p4 = phi(2, z)
    p5 = phi(3, z)
    u1 = p1 / 2
    u2 = p3 / 2
    u3 = -2 * p4
    u4 = 4 * p4
    return (
        (0, F(1, 2), F(1, 2), 1),
        ((), (u1,), (u1 - u2, u2), (p2 + u3, u3, u4)),
        (p2 - 3 * p4 + 4 * p5, 0, -8 * p5 + u4, -p4 + 4 * p5),
    )


def friedli_4(z: Any) -> Any:
    """Friedli's method of 1978: as Strehmel and Weiner's with another choice of ``a_42``.

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 2)
    p2 = phi(1, z)
    p3 = phi(2, z / 2)
    p4 = phi(2, z)
    p5 = phi(3, z)
    u1 = p1 / 2
    u2 = p3 / 2
    u3 = (26 * p2) / 25
    return (
        (0, F(1, 2), F(1, 2), 1),
        ((), (u1,), (u1 - u2, u2), (p2 - 2 * p4, (2 * p4 - 25 * u3) / 25, (48 * p4 + 25 * u3) / 25)),
        (p2 - 3 * p4 + 4 * p5, 0, 4 * p4 - 8 * p5, -p4 + 4 * p5),
    )


def hochbruck_ostermann_5(z: Any) -> Any:
    """Five stages of stiff order four (Hochbruck & Ostermann 2005, section 5).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 2)
    p2 = phi(1, z)
    p3 = phi(2, z / 2)
    p4 = phi(2, z)
    p5 = phi(3, z / 2)
    p6 = phi(3, z)
    u1 = p1 / 2
    u2 = p4 / 4
    u3 = p5 / 2
    u4 = -p6 + u2 - u3
    u5 = (p3 + 2 * u4) / 2
    return (
        (0, F(1, 2), F(1, 2), 1, F(1, 2)),
        (
            (),
            (u1,),
            (-p3 + u1, p3),
            (p2 - 2 * p4, p4, p4),
            ((-3 * p3 + 4 * p6 + 4 * u1 - 4 * u2 + 4 * u3) / 4, u5, u5, (-p3 - 4 * u4) / 4),
        ),
        (p2 - 3 * p4 + 4 * p6, 0, 0, -p4 + 4 * p6, 4 * p4 - 8 * p6),
    )


def luan_4(z: Any) -> Any:
    """Six stages of stiff order four, all below 1, of which three and four, and five and six, are independent (Luan 2021, expRK4s6).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 3)
    p2 = phi(1, z / 2)
    p3 = phi(1, (5 * z) / 6)
    p4 = phi(1, z)
    p5 = phi(2, z / 3)
    p6 = phi(2, z / 2)
    p7 = phi(2, (5 * z) / 6)
    p8 = phi(2, z)
    p9 = phi(3, z / 3)
    p10 = phi(3, (5 * z) / 6)
    p11 = phi(3, z)
    u1 = p2 / 2
    u2 = p6 / 2
    u3 = p1 / 3
    u4 = (2 * p5) / 9
    return (
        (0, F(1, 2), F(1, 2), F(1, 3), F(1, 3), F(5, 6)),
        (
            (),
            (u1,),
            (u1 - u2, u2),
            (u3 - u4, u4, 0),
            ((-5 * p5 + 4 * p9 + 9 * u3) / 9, 0, (-4 * p5 + 8 * p9) / 9, (3 * p5 - 4 * p9) / 3),
            ((250 * p10 + 30 * p3 - 125 * p7) / 36, 0, (125 * p10 - 25 * p7) / 9, (-250 * p10 + 75 * p7) / 12, 0),
        ),
        ((36 * p11 + 5 * p4 - 21 * p8) / 5, 0, 0, 0, -12 * p11 + 5 * p8, (24 * p11 - 4 * p8) / 5),
    )


def luan_ostermann_8(z: Any) -> Any:
    """Eight stages of stiff order five (Luan & Ostermann 2014, expRK5s8).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(1, z / 5)
    p2 = phi(1, z / 4)
    p3 = phi(1, z / 2)
    p4 = phi(1, (2 * z) / 3)
    p5 = phi(1, z)
    p6 = phi(2, z / 5)
    p7 = phi(2, z / 4)
    p8 = phi(2, z / 2)
    p9 = phi(2, (2 * z) / 3)
    p10 = phi(2, z)
    p11 = phi(3, z / 5)
    p12 = phi(3, z / 2)
    p13 = phi(3, (2 * z) / 3)
    p14 = phi(3, z)
    p15 = phi(4, z / 5)
    p16 = phi(4, (2 * z) / 3)
    p17 = phi(4, z)
    u1 = p3 / 2
    u2 = p8 / 2
    u3 = -u2
    u4 = p7 / 8
    u5 = 2 * p12
    u6 = (16 * p11) / 125
    u7 = -p5
    u8 = (27 * p10) / 14
    return (
        (0, F(1, 2), F(1, 2), F(1, 4), F(1, 2), F(1, 5), F(2, 3), 1),
        (
            (),
            (u1,),
            (u1 + u3, u2),
            ((p2 - 4 * u4) / 4, 0, u4),
            ((-3 * p8 + 2 * u1 + 2 * u5) / 2, 0, u3 + u5, -4 * p12 + 2 * p8),
            ((5 * p1 - 6 * p6 + 25 * u6) / 25, 0, 0, (-32 * p11 + 40 * p6) / 125, (-2 * p6 + 25 * u6) / 25),
            (
                (4 * p11 + 960 * p13 + 108 * p4 - 5 * p6 - 504 * p9) / 162,
                0,
                0,
                (16 * p11 - 20 * p6) / 81,
                (-4 * p11 + 960 * p13 + 5 * p6 - 144 * p9) / 243,
                (-100 * p11 - 4800 * p13 + 125 * p6 + 1800 * p9) / 486,
            ),
            (
                (
                    -595 * p10
                    + 42 * p11
                    + 2016 * p13
                    + 2870 * p14
                    - 36 * p15
                    - 5760 * p16
                    - 6300 * p17
                    - 15 * p6
                    - 216 * p9
                    - 70 * u7
                )
                / 70,
                0,
                0,
                0,
                (
                    -560 * p10
                    + 168 * p11
                    + 8064 * p13
                    + 7280 * p14
                    - 144 * p15
                    - 23040 * p16
                    - 25200 * p17
                    - 60 * p6
                    - 864 * p9
                )
                / 105,
                (
                    1750 * p10
                    - 210 * p11
                    - 10080 * p13
                    - 12250 * p14
                    + 180 * p15
                    + 28800 * p16
                    + 31500 * p17
                    + 75 * p6
                    + 1080 * p9
                )
                / 147,
                (
                    -378 * p11
                    - 18144 * p13
                    - 13230 * p14
                    + 324 * p15
                    + 51840 * p16
                    + 56700 * p17
                    + 135 * p6
                    + 1944 * p9
                    + 490 * u8
                )
                / 490,
            ),
        ),
        (
            (-15 * p10 + 56 * p14 - 90 * p17 - 2 * u7) / 2,
            0,
            0,
            0,
            0,
            (125 * p10 - 625 * p14 + 1125 * p17) / 14,
            (162 * p14 - 405 * p17 - 7 * u8) / 7,
            (p10 - 13 * p14 + 45 * p17) / 2,
        ),
    )


def lawson_euler(z: Any) -> Any:
    """Euler on ``e^{-L t} u`` (Lawson 1967).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(0, z)
    return ((0,), ((),), (p1,))


def lawson_2a(z: Any) -> Any:
    """The midpoint method on ``e^{-L t} u`` (Lawson 1967).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(0, z / 2)
    return ((0, F(1, 2)), ((), (p1 / 2,)), (0, p1))


def lawson_2b(z: Any) -> Any:
    """Heun's method of order two on ``e^{-L t} u`` (Lawson 1967).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(0, z)
    return ((0, 1), ((), (p1,)), (p1 / 2, F(1, 2)))


def lawson_4(z: Any) -> Any:
    """The classical method on ``e^{-L t} u`` (Lawson 1967).

    Derived by ``theory.exponential_pieces.derived``.
    """
    p1 = phi(0, z / 2)
    p2 = phi(0, z)
    u1 = p1 / 3
    return ((0, F(1, 2), F(1, 2), 1), ((), (p1 / 2,), (0, F(1, 2)), (0, 0, p1)), (p2 / 6, u1, u1, F(1, 6)))


def bdia(z: Any, c: Any, g: Any) -> Any:
    """``(A, B, W)`` of ``y_1 = A y_0 + B y_c + W N_0`` with gain ``B = g``, exact for constant ``N``.

    The step back has gain ``1/g``. BDIA's ``g`` in ``y = x / scale`` is its gamma times ``scale_c / scale_1``.

    Derived by ``theory.reversible.two_step``.
    """
    p1 = phi(0, z)
    p2 = phi(0, c * z)
    p3 = phi(1, z)
    p4 = phi(1, c * z)
    return (-g * p2 + p1, g, -c * g * p4 + p3)


def belm_2(z: Any, c: Any) -> Any:
    """``(A, B, W)`` of the reversible two-step method of order two over the nodes (0, c):

    exact for ``N = 1`` and ``N = s``; at ``z = 0`` the optimal BELM, ``B = 1 / c^2``.

    Derived by ``theory.reversible.belm_gain``.
    """
    p1 = phi(0, z)
    p2 = phi(0, c * z)
    p3 = phi(1, z)
    p4 = phi(1, c * z)
    p5 = phi(2, z)
    p6 = phi(2, c * z)
    u1 = c**2
    u2 = 1 / p6
    u3 = u2 / u1
    return (u3 * (p1 * p6 * u1 - p2 * p5), p5 * u3, (u2 * (c * p3 * p6 - p4 * p5)) / c)


def leapfrog(z: Any, c: Any) -> Any:
    """``(B, W)`` of ``y_1 = B y_c + W N_0``, exact for constant ``N`` over the nodes (0, c):

    of order two where ``c = -1`` and ``z = 0``, else of order one; its second root is ``-1`` on any steps.

    Derived by ``theory.reversible.leapfrog_gain``.
    """
    p1 = phi(0, z * (1 - c))
    p2 = phi(1, z * (1 - c))
    return (p1, p2 * (1 - c))


def sde_step_data(h: Any, rate: Any) -> Any:
    """``(keep, gain, variance)`` of ``x_t = (sigma_t/sigma_s) keep x + alpha_t gain D + sigma_t sqrt(variance) z``:

    ``e^{-rate h}``, ``1 - e^{-(1 + rate) h}``, ``1 - e^{-2 rate h}``.

    Derived by ``theory.ito.data_step``.
    """
    p1 = phi(0, -h * rate)
    p2 = phi(1, -2 * h * rate)
    p3 = phi(1, -h * (rate + 1))
    return (p1, h * p3 * (rate + 1), 2 * h * p2 * rate)


def sde_step_noise(h: Any, rate: Any) -> Any:
    """``(gain, variance)`` of ``x_t = (alpha_t/alpha_s) x - sigma_t gain eps + sigma_t sqrt(variance) z``:

    ``(1 + rate) (e^h - 1)``, ``rate (e^{2h} - 1)``.

    Derived by ``theory.ito.noise_step``.
    """
    p1 = phi(1, h)
    p2 = phi(1, 2 * h)
    return (h * p1 * (rate + 1), 2 * h * p2 * rate)


def sde_noise_data_2(h: Any, c1: Any, rate: Any) -> Any:
    """``(E, rows of L)``: noise at the fractions c1, 1 of the step, in units of ``sigma`` there, is ``L sqrt(E) z``

    with fresh ``z``; ``c1 < 1``, the data form of the sampler.

    Derived by ``theory.ito.data_factor``.
    """
    p1 = phi(0, -h * rate * (1 - c1))
    p2 = phi(1, -2 * c1 * h * rate)
    p3 = phi(1, -2 * h * rate * (1 - c1))
    u1 = 2 * h * rate
    return ((c1 * p2 * u1, p3 * u1 * (1 - c1)), ((p1,),))


def sde_noise_data_3(h: Any, c1: Any, c2: Any, rate: Any) -> Any:
    """``(E, rows of L)``: noise at the fractions c1, c2, 1 of the step, in units of ``sigma`` there, is ``L sqrt(E) z``

    with fresh ``z``; ``c1 < c2 < 1``, the data form of the sampler.

    Derived by ``theory.ito.data_factor``.
    """
    p1 = phi(0, -h * rate * (1 - c1))
    p2 = phi(0, -h * rate * (1 - c2))
    p3 = phi(0, -h * rate * (-c1 + c2))
    p4 = phi(1, -2 * c1 * h * rate)
    p5 = phi(1, -2 * h * rate * (1 - c2))
    p6 = phi(1, -2 * h * rate * (-c1 + c2))
    u1 = 2 * h * rate
    return ((c1 * p4 * u1, p6 * u1 * (-c1 + c2), p5 * u1 * (1 - c2)), ((p3,), (p1, p2)))


def sde_noise_noise_2(h: Any, c1: Any, rate: Any) -> Any:
    """``(E, rows of L)``: noise at the fractions c1, 1 of the step, in units of ``sigma`` there, is ``L sqrt(E) z``

    with fresh ``z``; ``c1 < 1``, the noise form of the sampler.

    Derived by ``theory.ito.noise_factor``.
    """
    p1 = phi(0, h * (1 - c1))
    p2 = phi(1, 2 * c1 * h)
    p3 = phi(1, 2 * h * (1 - c1))
    u1 = 2 * h * rate
    return ((c1 * p2 * u1, p3 * u1 * (1 - c1)), ((p1,),))


def sde_noise_noise_3(h: Any, c1: Any, c2: Any, rate: Any) -> Any:
    """``(E, rows of L)``: noise at the fractions c1, c2, 1 of the step, in units of ``sigma`` there, is ``L sqrt(E) z``

    with fresh ``z``; ``c1 < c2 < 1``, the noise form of the sampler.

    Derived by ``theory.ito.noise_factor``.
    """
    p1 = phi(0, h * (1 - c1))
    p2 = phi(0, h * (1 - c2))
    p3 = phi(0, h * (-c1 + c2))
    p4 = phi(1, 2 * c1 * h)
    p5 = phi(1, 2 * h * (1 - c2))
    p6 = phi(1, 2 * h * (-c1 + c2))
    u1 = 2 * h * rate
    return ((c1 * p4 * u1, p6 * u1 * (-c1 + c2), p5 * u1 * (1 - c2)), ((p3,), (p1, p2)))


def ito_pair(z: Any) -> Any:
    """``(E, rows of L)`` of ``J_k = int_0^1 (1-s)^k e^{(1-s) z} dW_s``, ``k = 0, 1``:

    ``E[J_j J_k] = int_0^1 s^{j+k} e^{2 s z} ds``; at ``z = 0`` the space-time integral of a Wiener process.

    Derived by ``theory.ito.pair``.
    """
    p1 = phi(0, 2 * z)
    p2 = phi(1, -2 * z)
    p3 = phi(2, -2 * z)
    p4 = phi(3, -2 * z)
    u1 = 1 / p2
    return ((p1 * p2, p1 * u1 * (2 * p2 * p4 - p3**2)), ((p3 * u1,),))


def ito_kernels(y: Any, z: Any) -> Any:
    """``(E, rows of L)`` of ``int_0^1 e^{(1-s) y} dW_s`` and ``int_0^1 e^{(1-s) z} dW_s`` over one path:

    covariances ``phi_1(2y)``, ``phi_1(y + z)``, ``phi_1(2z)``; singular at ``y = z``.

    Derived by ``theory.ito.two_kernels``.
    """
    p1 = phi(1, 2 * y)
    p2 = phi(1, 2 * z)
    p3 = phi(1, y + z)
    u1 = 1 / p1
    return ((p1, u1 * (p1 * p2 - p3**2)), ((p3 * u1,),))


def er_sde_power(h: Any, rate: Any) -> Any:
    """``w`` of ``x_t = (alpha_t/alpha_s) (1 - w_0) x + alpha_t (w_0 D + w_1 l_t D' + w_2 l_t^2 D'') + noise``:

    ``phi(l_t) int_{l_t}^{l_s} phi'/phi^2 (u - l_s)^k / k! du / l_t^k`` for ``phi = l^(1 + rate)``.

    Derived by ``theory.er_sde.power_weights``.
    """
    p1 = phi(0, h)
    p2 = phi(1, h)
    p3 = phi(1, -h * rate)
    p4 = phi(1, h * (1 - rate))
    p5 = phi(1, -h * (rate + 1))
    return (h * p5 * (rate + 1), h * (-p2 + p3), (h * (h * p2**2 - 2 * p1 * p3 + 2 * p4)) / 2)


def additive_2(q: Any) -> Any:
    """``(c, a, b, p, q)`` of every stochastic Runge-Kutta method of strong order 1.5 for additive noise with two stages

    and ``c1 = p1 = 0``, by the share ``q`` of the area in the first stage: ``b1 = 2 / (q^2 - 2 q + 6)``.

    Derived by ``theory.additive.two_stages``.
    """
    u1 = q**2
    u2 = -2 * q + u1
    u3 = u2 + 6
    u4 = u2 + 4
    u5 = 1 / u4
    u6 = (u3 * u5) / 2
    u7 = 1 / u3
    return ((0, u6), ((), (u6,)), (2 * u7, u4 * u7), (0, u6), (q, u5 * (-4 * q + u1 + 6)))
