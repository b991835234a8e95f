"""Exponential Runge-Kutta methods, each from the linear equations that single it out.

A scheme is its nodes and as many equations as it has coefficients, in terms of the defects ``psi_k`` of
:mod:`diffnum.exponential_trees`. The same equations derive the coefficients, with symbols for them, and check the
generated ones, with exact numbers: sums of exponentials at a rational ``z``.

``L`` is a number here. In data prediction ``w = x / alpha`` obeys ``w' = -w + D`` in log-SNR: ``L = -1, z = -h``. In
noise prediction ``v = x / sigma`` obeys ``v' = v - eps``: ``L = 1, z = h``. Stage ``i`` starts from ``e^{c_i z}`` and
meets ``phi_k(c_i z)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from diffnum.exponential_trees import psi

__all__ = ["SCHEMES", "Coefficients", "Scheme", "gamma"]

HALF, THIRD = sympy.Rational(1, 2), sympy.Rational(1, 3)
C2, C3, R1, R2 = sympy.symbols("c2 c3 r1 r2")


@dataclass(frozen=True)
class Coefficients:
    """A table in any kind of number, with indices as in print, from one.

    Attributes:
        phi: ``(k, c) -> phi_k(c z)``.
    """

    nodes: Sequence[Any]
    matrix: Sequence[Sequence[Any]]
    weights: Sequence[Any]
    phi: Callable[[int, Any], Any]

    def a(self, i: int, j: int) -> Any:
        """``a_ij``."""
        return self.matrix[i - 1][j - 1]

    def b(self, j: int) -> Any:
        """``b_j``."""
        return self.weights[j - 1]

    def psi(self, k: int, i: int = 0) -> Any:
        """``psi_{k,i}(z)`` of stage ``i``; ``psi_k(z)`` of the step."""
        row, c = (self.matrix[i - 1], self.nodes[i - 1]) if i else (self.weights, 1)
        return psi(k, row, c, self.nodes, self.phi(k, c))

    def constant(self) -> list[Any]:
        """``psi_{1,i}`` and ``psi_1``: a constant ``N`` is integrated exactly."""
        return [self.psi(1, i) for i in range(2, len(self.nodes) + 1)] + [self.psi(1)]

    def power(self, i: int, j: int) -> Any:
        """``e^{(c_i - c_j) z}``; ``i = 0`` for the step."""
        return self.phi(0, (self.nodes[i - 1] if i else 1) - self.nodes[j - 1])


Equations = Callable[[Coefficients], list[Any]]


def gamma(c2: Any, c3: Any) -> Any:
    """Hochbruck & Ostermann's ``gamma``: ``2 (gamma c_2 + c_3) = 3 (gamma c_2^2 + c_3^2)``, i.e. ``psi_3(0) = 0``."""
    return c3 * (3 * c3 - 2) / (c2 * (2 - 3 * c2))


def _etd2(m: Coefficients) -> list[Any]:
    return [*m.constant(), m.psi(2)]


def _dpm_2s(m: Coefficients) -> list[Any]:
    return [*m.constant(), 2 * m.nodes[1] * m.b(2) - m.phi(1, 1)]


def _dpm_3s(m: Coefficients) -> list[Any]:
    return [*m.constant(), m.psi(2), m.psi(2, 3), m.b(2)]


def _dpm_3s_taylor(m: Coefficients) -> list[Any]:
    return [*m.constant(), m.psi(2), m.psi(3), m.psi(2, 3)]


def _hochbruck_ostermann_3(m: Coefficients) -> list[Any]:
    g = gamma(m.nodes[1], m.nodes[2])
    return [*m.constant(), m.psi(2), g * m.psi(2, 2) + m.psi(2, 3), m.b(2) - g * m.b(3)]


def _etd3rk(m: Coefficients) -> list[Any]:
    return [*m.constant(), m.psi(2), m.psi(3), m.a(3, 2) + 2 * m.a(3, 1)]


def _stages_of_runge_kutta(m: Coefficients) -> list[Any]:
    """The zeros of the classical method, and ``a_43 = phi_1(z/2)``: an exponential Euler half step from stage two."""
    return [m.a(3, 1), m.a(4, 2), m.a(4, 3) - m.phi(1, HALF)]


def _simpson(m: Coefficients) -> list[Any]:
    """Exponential quadrature of order three on 0, 1/2, 1/2, 1."""
    return [m.psi(2), m.psi(3)]


def _etd4rk(m: Coefficients) -> list[Any]:
    return [*m.constant(), *_simpson(m), m.b(2) - m.b(3), *_stages_of_runge_kutta(m)]


def _cfree_4(m: Coefficients) -> list[Any]:
    half = m.b(4) + m.phi(1, 1) / 6 - m.phi(1, HALF) / 3
    return [*m.constant(), m.b(2) - m.b(3), 3 * m.b(2) - m.phi(1, 1), half, *_stages_of_runge_kutta(m)]


def _krogstad_4(m: Coefficients) -> list[Any]:
    return [*m.constant(), *_simpson(m), m.b(2) - m.b(3), m.a(4, 2), m.psi(2, 2) + m.psi(2, 3), m.psi(2, 4)]


def _strehmel_weiner_4(m: Coefficients) -> list[Any]:
    return [*m.constant(), *_simpson(m), m.b(2), m.psi(2, 3), m.psi(2, 4), m.a(4, 3) + 2 * m.a(4, 2)]


def _friedli_4(m: Coefficients) -> list[Any]:
    chosen = 25 * m.a(4, 2) + 26 * m.phi(1, 1) - 2 * m.phi(2, 1)
    return [*m.constant(), *_simpson(m), m.b(2), m.psi(2, 3), m.psi(2, 4), chosen]


def _hochbruck_ostermann_5(m: Coefficients) -> list[Any]:
    symmetric = [m.b(2), m.b(3), m.a(4, 2) - m.a(4, 3), m.a(5, 2) - m.a(5, 3)]
    cancelling = [m.psi(2, 2) + m.psi(2, 3), m.psi(2, 4), m.psi(2, 5), m.psi(3, 4) + 4 * m.psi(3, 5)]
    return [*m.constant(), *_simpson(m), *symmetric, *cancelling]


def _luan_4(m: Coefficients) -> list[Any]:
    zero = [m.a(4, 3), m.a(5, 2), m.a(6, 2), m.a(6, 5), m.b(2), m.b(3), m.b(4)]
    order_two = [m.psi(2, 3), m.psi(2, 4)]
    order_three = [m.psi(k, i) for i in (5, 6) for k in (2, 3)]
    return [*m.constant(), m.psi(2), m.psi(3), *zero, *order_two, *order_three]


def _luan_ostermann_8(m: Coefficients) -> list[Any]:
    """Weak forms of ``sum b_i J psi_{4,i}`` and ``sum b_i J a_i4 J psi_{3,4}`` beside defects that vanish."""
    b6, b7, b8 = sympy.Rational(125, 336), sympy.Rational(27, 56), sympy.Rational(5, 48)  # b_i(0)
    used = {(3, 2), (4, 3), (5, 3), (5, 4), (6, 4), (6, 5), (7, 4), (7, 5), (7, 6), (8, 5), (8, 6), (8, 7)}
    zero = [m.a(i, j) for i in range(3, 9) for j in range(2, i) if (i, j) not in used]
    weights = [*(m.b(i) for i in (2, 3, 4, 5)), m.psi(2), m.psi(3), m.psi(4)]
    stages = [m.psi(2, 3), m.psi(2, 4), *(m.psi(k, i) for i in (5, 6, 7, 8) for k in (2, 3))]
    weak = [
        m.psi(4, 6) * b6 + m.psi(4, 7) * b7 + m.psi(4, 8) * b8,
        m.a(6, 4) * b6 + m.a(7, 4) * b7,
    ]
    return [*m.constant(), *zero, *weights, *stages, *weak]


def _lawson(matrix: Sequence[Sequence[Any]], weights: Sequence[Any]) -> Equations:
    """``a_ij e^{(c_i - c_j) z}`` and ``b_j e^{(1 - c_j) z}``: the classical method on ``e^{-L t} u``."""

    def equations(m: Coefficients) -> list[Any]:
        rows = [*matrix, weights]
        places = [(i, j) for i, row in enumerate(rows, 1) for j in range(1, len(row) + 1)]
        at = [(0 if i > len(matrix) else i, j) for i, j in places]
        return [(m.a(i, j) if i else m.b(j)) - m.power(i, j) * rows[i - 1][j - 1] for i, j in at]

    return equations


@dataclass(frozen=True)
class Scheme:
    """One exponential Runge-Kutta method, or a family.

    Attributes:
        name: of the generated function of ``z`` and the arguments.
        nodes: in terms of ``arguments``.
        order: the classical order, for any operator ``L``. ``stiff``: that for unbounded ``L``.
        equations: zero for its coefficients and no others.
        says: what it is, with its source.
        points: arguments at which it is checked, random rationals.
    """

    name: str
    arguments: tuple[sympy.Symbol, ...]
    nodes: tuple[Any, ...]
    order: int
    stiff: int
    equations: Equations
    says: str
    points: tuple[tuple[Fraction, ...], ...] = ((),)


SIX, ONE = sympy.Rational(1, 6), sympy.Integer(1)
ONES = ((Fraction(3, 11),), (Fraction(17, 19),))
TWOS = ((Fraction(3, 11), Fraction(7, 13)), (Fraction(17, 19), Fraction(2, 23)))
TO_TWO_THIRDS = ((Fraction(3, 11), Fraction(2, 3)), (Fraction(17, 19), Fraction(2, 3)))
NODES_4 = (0, HALF, HALF, 1)
SCHEMES = (
    Scheme("exponential_euler", (), (0,), 1, 1, Coefficients.constant,
           "Exponential Euler: DDIM, DPM-Solver-1."),
    Scheme("etd2", (C2,), (0, C2), 2, 2, _etd2,
           "``b_2 = phi_2 / c_2`` (Hochbruck & Ostermann 2005, section 5): ETD2RK of Cox & Matthews with ``c_2 = 1``, "
           "RES-2S, DPM-Solver-2 of type taylor.", ONES),
    Scheme("dpm_2s", (C2,), (0, C2), 2, 2, _dpm_2s,
           "``b_2 = phi_1 / (2 c_2)`` (Hochbruck & Ostermann 2005, section 5): DPM-Solver-2 and ++(2S); the "
           "exponential midpoint rule with ``c_2 = 1/2``.", ONES),
    Scheme("dpm_3s", (R1, R2), (0, R1, R2), 2, 2, _dpm_3s,
           "DPM-Solver-3 and ++(3S) as published (Lu et al. 2022, algorithm 2): ``b_2 = 0, psi_2 = psi_{2,3} = 0``; "
           "order three for ``r_2 = 2/3`` only.", TWOS),
    Scheme("dpm_3s_taylor", (R1, R2), (0, R1, R2), 2, 2, _dpm_3s_taylor,
           "DPM-Solver-3 of type taylor: quadrature of order three, ``psi_{2,3} = 0``; order three for ``r_2 = 2/3`` "
           "only. ETD2CF3 with 1/3, 2/3.", TWOS),
    Scheme("hochbruck_ostermann_3", (C2, C3), (0, C2, C3), 3, 3, _hochbruck_ostermann_3,
           "Three stages of stiff order three (Hochbruck & Ostermann 2005, section 5): RES-3S.", TWOS),
    Scheme("etd3rk", (), (0, HALF, 1), 3, 2, _etd3rk,
           "ETD3RK (Cox & Matthews 2002, eq. 23 to 25): Kutta's third-order method with exponential Euler stages."),
    Scheme("etd4rk", (), NODES_4, 4, 2, _etd4rk,
           "ETD4RK (Cox & Matthews 2002, eq. 26 to 29): the classical method with exponential Euler stages."),
    Scheme("cfree_4", (), NODES_4, 4, 2, _cfree_4,
           "The commutator-free method of order four (Celledoni, Marthinsen & Owren 2003)."),
    Scheme("krogstad_4", (), NODES_4, 4, 3, _krogstad_4,
           "ETDRK4-B (Krogstad 2005)."),
    Scheme("strehmel_weiner_4", (), NODES_4, 4, 3, _strehmel_weiner_4,
           "Strehmel and Weiner's method (Hochbruck & Ostermann 2005, section 5)."),
    Scheme("friedli_4", (), NODES_4, 4, 3, _friedli_4,
           "Friedli's method of 1978: as Strehmel and Weiner's with another choice of ``a_42``."),
    Scheme("hochbruck_ostermann_5", (), (*NODES_4, HALF), 4, 4, _hochbruck_ostermann_5,
           "Five stages of stiff order four (Hochbruck & Ostermann 2005, section 5)."),
    Scheme("luan_4", (), (0, HALF, HALF, THIRD, THIRD, 5 * SIX), 4, 4, _luan_4,
           "Six stages of stiff order four, all below 1, of which three and four, and five and six, are independent "
           "(Luan 2021, expRK4s6)."),
    Scheme("luan_ostermann_8", (), (0, HALF, HALF, HALF / 2, HALF, sympy.Rational(1, 5), 2 * THIRD, 1), 5, 5,
           _luan_ostermann_8, "Eight stages of stiff order five (Luan & Ostermann 2014, expRK5s8)."),
    Scheme("lawson_euler", (), (0,), 1, 1, _lawson([()], [ONE]),
           "Euler on ``e^{-L t} u`` (Lawson 1967)."),
    Scheme("lawson_2a", (), (0, HALF), 2, 1, _lawson([(), (HALF,)], [0 * ONE, ONE]),
           "The midpoint method on ``e^{-L t} u`` (Lawson 1967)."),
    Scheme("lawson_2b", (), (0, 1), 2, 1, _lawson([(), (ONE,)], [HALF, HALF]),
           "Heun's method of order two on ``e^{-L t} u`` (Lawson 1967)."),
    Scheme("lawson_4", (), NODES_4, 4, 1,
           _lawson([(), (HALF,), (0 * ONE, HALF), (0 * ONE, 0 * ONE, ONE)], [SIX, THIRD, THIRD, SIX]),
           "The classical method on ``e^{-L t} u`` (Lawson 1967)."),
)  # fmt: skip
