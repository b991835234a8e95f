"""Linear multistep quadrature: weights from the moments of a kernel.

Everything stands on the unit step: ``s`` runs from 0, the current point, to 1, the new one; points of the past have
``c_j < 0``. A quantity ``N`` known at nodes ``c_j`` is replaced by its interpolating polynomial,

    int_0^1 e^{(1-s) z} N(s) ds = sum_j w_j N_j,    w_j(z; c) = int_0^1 e^{(1-s) z} l_j(s) ds,

and since ``int_0^1 e^{(1-s) z} s^m ds = m! phi_{m+1}(z)`` the weights are the one solution of the moment equations

    sum_j w_j c_j^m = m! phi_{m+1}(z),    m = 0, ..., k - 1

(Hochbruck & Ostermann 2010, section 2.5; at ``z = 0`` Hairer, Norsett & Wanner 1993, III.1 and III.5). In log-SNR
``z = -h`` for data and ``z = h`` for noise; ``z = 0`` in any variable in which the kernel is constant.

The numerators are elementary symmetric functions of the other nodes. Nodes of the past have one sign, so their terms
do not cancel, and with ``phi`` free of cancellation float64 itself gives every explicit weight to 2e-15 of its size; in
an implicit one the new node has the other sign, which costs a digit (2e-14). :func:`diffnum.num.extended` gives the
rounded exact weights (``tests/test_adams.py`` measures both, on steps from 1e-8 to 10 whose ratios lie between 1/20 and
20). What does lose all digits at small steps is the published evaluation, a linear system for differences of ``phi``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import combinations
from random import Random
from typing import Any

import sympy
from sympy.polys.fields import field

from diffnum.num import phi
from diffnum.series import h_series

from .generator import PHI, Piece, formula, numbers
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "PIECES", "Z", "closed", "exponential_moments", "moment", "random_nodes", "rule"]

HIGHEST = 6  # of explicit methods and of classical ones; a corrector over as many past points has one more
Z, S = sympy.Symbol("z"), sympy.Symbol("s")
PAST = sympy.symbols("c1:6")
SOURCE = "Hochbruck & Ostermann 2010, section 2.5; Hairer, Norsett & Wanner 1993, III.1, III.5"


def rule(nodes: Sequence[Any], moments: Sequence[Any]) -> tuple[Any, ...]:
    """Weights over ``nodes`` that integrate polynomials as a kernel with these moments does:

    ``w_j = sum_m moments_m [s^m] prod_{i != j} (s - c_i) / (c_j - c_i)``.
    """
    found = []
    for j, node in enumerate(nodes):
        others = [c for i, c in enumerate(nodes) if i != j]
        found.append(_integral(others, moments) / math.prod(node - c for c in others))
    return tuple(found)


def _integral(roots: Sequence[Any], moments: Sequence[Any]) -> Any:
    """``sum_m moments_m [s^m] prod (s - root)``, by elementary symmetric functions of the roots."""
    degree = len(roots)
    terms = (
        (-1) ** (degree - m) * moments[m] * sum(math.prod(some) for some in combinations(roots, degree - m))
        for m in range(degree + 1)
    )
    return sum(terms)


def moment(weights: Sequence[Any], nodes: Sequence[Any], power: int) -> Any:
    """``sum_j w_j c_j^m``."""
    return sum(w * math.prod([c] * power) for w, c in zip(weights, nodes, strict=True))


def exponential_moments(count: int, z: Any = Z, function: Callable[[int, Any], Any] = PHI) -> list[Any]:
    """``m! phi_{m+1}(z)``."""
    return [math.factorial(m) * function(m + 1, z) for m in range(count)]


def classical_moments(count: int) -> list[Any]:
    """``1 / (m + 1)``."""
    return [sympy.Rational(1, m + 1) for m in range(count)]


def closed(expression: Any) -> Any:
    """An expression in :data:`PHI` with the closed forms that run on sympy."""
    return sympy.sympify(expression).replace(PHI, lambda k, z: phi(int(k), z))


# --- pieces ---


@dataclass(frozen=True)
class Family:
    """Adams weights of all orders: explicit over ``(0, c1, ...)``, implicit over ``(1, 0, c1, ...)``."""

    name: str
    implicit: bool
    exponential: bool

    def nodes(self, order: int, past: Sequence[Any] = PAST) -> tuple[Any, ...]:
        """As many as the order."""
        ends = (sympy.Integer(1), sympy.Integer(0)) if self.implicit else (sympy.Integer(0),)
        return (*ends, *past)[:order]

    def weights(self, order: int) -> tuple[Any, ...]:
        """In symbols."""
        moments = exponential_moments(order) if self.exponential else classical_moments(order)
        return rule(self.nodes(order), moments)

    def piece(self, order: int) -> Piece:
        """The generated function."""
        past = PAST[: order - 1 - self.implicit]
        kernel, value = ("e^{(1-s) z} ", "m! phi_{m+1}(z)") if self.exponential else ("", "1 / (m + 1)")
        over = ", ".join(str(c) for c in self.nodes(order))
        says = (
            f"Weights of order {order} over the nodes ({over}): ``w_j = int_0^1 {kernel}l_j(s) ds``, that is\n\n"
            f"    ``sum_j w_j c_j^m = {value}`` for ``m < {order}``."
        )
        arguments = (Z, *past) if self.exponential else past
        name = f"{self.name}_{order}"
        return formula(name, arguments, self.weights(order), says, "theory.adams.rule", self.check(order))

    def check(self, order: int) -> Callable[[Any], Iterator[Any]]:
        """The moment equations at two random histories: they determine every weight."""

        def residuals(module: Any) -> Iterator[Any]:
            random = Random(order)
            for _ in range(2):
                past = random_nodes(random, order - 1 - self.implicit)
                z = h_series(9, random_fraction(random))
                weights = getattr(module, f"{self.name}_{order}")(*((z,) if self.exponential else ()), *past)
                nodes = (*((1, 0) if self.implicit else (0,)), *past)
                for m in range(order):
                    found = moment(weights, nodes[:order], m)
                    yield found - (math.factorial(m) * phi(m + 1, z) if self.exponential else Fraction(1, m + 1))

        return residuals


EXPLICIT = Family("exponential_adams", implicit=False, exponential=True)
IMPLICIT = Family("exponential_adams_moulton", implicit=True, exponential=True)
BASHFORTH = Family("adams_bashforth", implicit=False, exponential=False)
MOULTON = Family("adams_moulton", implicit=True, exponential=False)


def random_fraction(random: Random) -> Fraction:
    """Between 1/7 and 7."""
    return Fraction(random.randint(1, 7), random.randint(1, 7))


def random_nodes(random: Random, count: int) -> tuple[Fraction, ...]:
    """Distinct and negative, nearest first."""
    steps = [random_fraction(random) for _ in range(count)]
    return tuple(-sum(steps[: i + 1], Fraction(0)) for i in range(count))


def constant_steps(family: Family) -> Piece:
    """The classical weights on equal steps, ``c_j = -j``; of order ``k`` at index ``k - 1``."""
    values = [_equal_steps(family, k) for k in range(1, HIGHEST + 1)]
    over = "(1, 0, -1, ...)" if family.implicit else "(0, -1, -2, ...)"
    name = family.name.upper()

    def check(module: Any) -> Iterator[Any]:
        for order, weights in enumerate(getattr(module, name), 1):
            nodes = ((1,) if family.implicit else ()) + tuple(-j for j in range(order))
            for m in range(order):
                yield moment(weights, nodes[:order], m) - Fraction(1, m + 1)

    says = f"Weights of orders 1 to {HIGHEST} on equal steps, over the nodes {over}."
    return numbers(name, values, says, "theory.adams.constant_steps", check)


def _equal_steps(family: Family, order: int) -> tuple[Any, ...]:
    return rule(family.nodes(order, [sympy.Integer(-j) for j in range(1, HIGHEST)]), classical_moments(order))


def bdf_weights(order: int, past: Sequence[Any] = PAST) -> tuple[Any, tuple[Any, ...]]:
    """``(beta, b)`` of ``y_t = sum_j b_j y_j + beta h y'_t``: the derivative at 1 of the polynomial through
    ``(1, 0, c1, ...)`` is ``y'_t``."""
    nodes = (sympy.Integer(0), *past[: order - 1])
    own = sum(1 / (1 - c) for c in nodes)
    slopes = [
        math.prod((1 - c) / (node - c) for i, c in enumerate(nodes) if i != j) / (node - 1)
        for j, node in enumerate(nodes)
    ]
    return 1 / own, tuple(sympy.cancel(-slope / own) for slope in slopes)


def bdf(order: int) -> Piece:
    """The backward differentiation formula on variable steps."""

    def check(module: Any) -> Iterator[Any]:
        past = random_nodes(Random(order), order - 1)
        beta, b = getattr(module, f"bdf_{order}")(*past)
        for m in range(order + 1):
            yield moment(b, (0, *past), m) + m * beta - 1

    says = (
        f"``(beta, b)`` of ``y_t = sum_j b_j y_j + beta h y'_t`` over ``(0, c1, ...)``, "
        f"exact for polynomials of degree {order}."
    )
    return formula(f"bdf_{order}", PAST[: order - 1], bdf_weights(order), says, "theory.adams.bdf", check)


PIECES: tuple[Callable[[], Piece], ...] = (
    *(partial(family.piece, order) for family in (EXPLICIT, BASHFORTH) for order in range(1, HIGHEST + 1)),
    *(partial(IMPLICIT.piece, order) for order in range(2, HIGHEST + 2)),
    *(partial(MOULTON.piece, order) for order in range(2, HIGHEST + 1)),
    partial(constant_steps, BASHFORTH),
    partial(constant_steps, MOULTON),
    partial(bdf, 2),
    partial(bdf, 3),
)


# --- statements ---


def _generic(family: Family, order: int) -> tuple[list[Any], list[Any]]:
    """Nodes and moments as elements of the field Q(p1, ..., p7, c1, ..., c5), where a quotient has a normal form."""
    names = [f"p{m}" for m in range(1, HIGHEST + 2)] + [str(c) for c in PAST]
    over, *generators = field(names, sympy.QQ)
    phis, past = generators[: HIGHEST + 1], generators[HIGHEST + 1 :]
    moments = [math.factorial(m) * p for m, p in enumerate(phis)]
    return [over(int(c)) if c.is_Integer else past[PAST.index(c)] for c in family.nodes(order)], moments


def moment_equations() -> Statement:
    """On any nodes, ``phi_1, phi_2, ...`` as indeterminates: the weights solve the equations whatever the kernel."""
    residual = []
    for family, first in ((EXPLICIT, 1), (IMPLICIT, 2)):
        for order in range(first, HIGHEST + 1):
            nodes, moments = _generic(family, order)
            weights = rule(nodes, moments)
            for m in range(order):
                residual.append((moment(weights, nodes, m) - moments[m]).as_expr())
    return prove(
        "Multistep weights solve the moment equations, orders 1 to 6, on any steps",
        r"w_j = \sum_{m<k} m!\,\varphi_{m+1}(z)\, [s^m] \prod_{i \ne j} \frac{s - c_i}{c_j - c_i} \ \Rightarrow\ "
        r"\sum_j w_j c_j^m = m!\,\varphi_{m+1}(z), \qquad m < k",
        residual,
        f"diffnum.solvers.generated: exponential_adams, exponential_adams_moulton; {SOURCE}",
    )


def as_integrals() -> Statement:
    """The same weights are integrals of Lagrange's polynomials against the kernel: numerators are compared."""
    z = sympy.Symbol("z", nonzero=True)
    residual = []
    for count in (1, 2, 3, 4):
        nodes = sympy.symbols(f"b1:{count + 1}")
        for j, w in enumerate(rule(nodes, exponential_moments(count, z, phi))):
            others = [c for i, c in enumerate(nodes) if i != j]
            integrand = sympy.expand(sympy.exp((1 - S) * z) * math.prod(S - c for c in others))
            below = math.prod(nodes[j] - c for c in others)
            residual.append(sympy.cancel(w * below) - sympy.integrate(integrand, (S, 0, 1)))
    return prove(
        "Multistep weights are integrals of Lagrange's polynomials",
        r"w_j(z; c) = \int_0^1 e^{(1-s) z}\, \ell_j(s)\, ds, \qquad \ell_j(c_i) = \delta_{ij}",
        residual,
        f"theory.adams.rule on up to four nodes; {SOURCE}",
    )


def without_stiffness() -> Statement:
    """As ``z -> 0`` exponential Adams becomes Adams, compared with integrated polynomials."""
    residual = []
    for family, first in ((EXPLICIT, 1), (IMPLICIT, 2)):
        for order in range(first, HIGHEST + first):
            nodes = family.nodes(order)
            limits = [sympy.sympify(w).replace(PHI, lambda k, _: 1 / sympy.factorial(k)) for w in family.weights(order)]
            for j, w in enumerate(limits):
                others = [c for i, c in enumerate(nodes) if i != j]
                below = math.prod(nodes[j] - c for c in others)
                polynomial = sympy.expand(math.prod(S - c for c in others))
                residual.append(sympy.cancel(w * below) - sympy.integrate(polynomial, (S, 0, 1)))
    return prove(
        "Without stiffness exponential Adams methods are Adams-Bashforth and Adams-Moulton methods",
        r"w_j(0; c) = \int_0^1 \ell_j(s)\, ds = \sum_{m<k} \frac{1}{m+1}\, [s^m]\, \ell_j(s)",
        residual,
        "diffnum.solvers.generated: adams_bashforth, adams_moulton; Hairer, Norsett & Wanner 1993, III.5",
    )


def mirror() -> Statement:
    """The kernels of data and noise are mirror images: reverse the step and pay ``e^{-h}``."""
    h = sympy.Symbol("h", positive=True)
    residual = []
    for count in (1, 2, 3, 4):
        nodes = sympy.symbols(f"b1:{count + 1}")
        data = rule(nodes, exponential_moments(count, -h, phi))
        noise = rule([1 - c for c in nodes], exponential_moments(count, h, phi))
        residual += [
            sympy.cancel(sympy.expand((a - sympy.exp(-h) * b) * h**count)) for a, b in zip(data, noise, strict=True)
        ]
    return prove(
        "Weights for data are weights for noise on mirrored nodes",
        r"w_j(-h; c) = e^{-h}\, w_j(h; 1 - c)",
        residual,
        "theory.adams.rule on up to four nodes",
    )


BASHFORTH_TABLE = ("1", "3 -1 / 2", "23 -16 5 / 12", "55 -59 37 -9 / 24", "1901 -2774 2616 -1274 251 / 720")
MOULTON_TABLE = ("1", "1 1 / 2", "5 8 -1 / 12", "9 19 -5 1 / 24", "251 646 -264 106 -19 / 720")


def _table(family: Family, rows: Sequence[str]) -> Iterator[sympy.Expr]:
    for order, row in enumerate(rows, 1):
        above, _, below = row.partition("/")
        published = [sympy.Rational(int(n), int(below or 1)) for n in above.split()]
        yield from (a - b for a, b in zip(_equal_steps(family, order), published, strict=True))


def equal_steps() -> Statement:
    """The numbers that PLMS, PNDM and iPNDM use on every grid."""
    return prove(
        "Adams weights on equal steps",
        r"\tfrac12 (3, -1), \ \tfrac1{12} (23, -16, 5), \ \tfrac1{24} (55, -59, 37, -9), \ "
        r"\tfrac1{720} (1901, -2774, 2616, -1274, 251); \qquad \tfrac12 (1, 1), \ \tfrac1{12} (5, 8, -1), \ "
        r"\tfrac1{24} (9, 19, -5, 1), \ \tfrac1{720} (251, 646, -264, 106, -19)",
        [*_table(BASHFORTH, BASHFORTH_TABLE), *_table(MOULTON, MOULTON_TABLE)],
        "diffnum.solvers.generated: ADAMS_BASHFORTH, ADAMS_MOULTON; Hairer, Norsett & Wanner 1993, III.1; "
        "Liu et al. 2022, eq. 12",
    )


def error_constants() -> Statement:
    """What the first moment beyond the order lacks; the numbers are those of equal steps at ``z = 0``."""
    residual = []
    for family, first in ((EXPLICIT, 1), (IMPLICIT, 2)):
        for order in range(first, HIGHEST + 1):
            nodes, moments = _generic(family, order)
            lacks = moments[order] - moment(rule(nodes, moments), nodes, order)
            residual.append((lacks - _integral(nodes, moments)).as_expr())
    known = {
        BASHFORTH: ("1/2", "5/12", "3/8", "251/720", "95/288", "19087/60480"),
        MOULTON: ("-1/2", "-1/12", "-1/24", "-19/720", "-3/160", "-863/60480"),
    }
    for family, constants in known.items():
        for order, constant in enumerate(constants, 1):
            nodes = family.nodes(order, [sympy.Integer(-j) for j in range(1, HIGHEST)])
            found = _integral(nodes, classical_moments(order + 1)) / sympy.factorial(order)
            residual.append(found - sympy.Rational(constant))
    return prove(
        "Error constants of multistep weights",
        r"\int_0^1 e^{(1-s)z} N\, ds - \sum_j w_j N_j = h^k N^{(k)} e_k + O(h^{k+1}), \quad "
        r"e_k(z; c) = \varphi_{k+1}(z) - \frac{1}{k!} \sum_j w_j c_j^k = \frac{1}{k!} \int_0^1 e^{(1-s)z} "
        r"\prod_j (s - c_j)\, ds; \quad e_k(0; 0, -1, \ldots) = \tfrac12, \tfrac5{12}, \tfrac38, \tfrac{251}{720}, "
        r"\tfrac{95}{288}, \tfrac{19087}{60480}; \quad e_k(0; 1, 0, \ldots) = -\tfrac12, -\tfrac1{12}, -\tfrac1{24}, "
        r"-\tfrac{19}{720}, -\tfrac3{160}, -\tfrac{863}{60480}",
        residual,
        "theory.adams.rule, orders 1 to 6; Hairer, Norsett & Wanner 1993, III.1, tables 1.1 and 1.2",
    )


def backward_differentiation() -> Statement:
    """Exact for polynomials of degree ``k``; on equal steps the formulas of the books."""
    residual = []
    for order, known in ((2, "2 4 -1 / 3"), (3, "6 18 -9 2 / 11")):
        beta, b = bdf_weights(order)
        nodes = (sympy.Integer(0), *PAST[: order - 1])
        residual += [moment(b, nodes, m) + m * beta - 1 for m in range(order + 1)]
        above, _, below = known.partition("/")
        beta, b = bdf_weights(order, [sympy.Integer(-1), sympy.Integer(-2)])
        residual += [a - sympy.Rational(int(n), int(below)) for a, n in zip((beta, *b), above.split(), strict=True)]
    return prove(
        "Backward differentiation on variable steps",
        r"y_t = \sum_j b_j y_j + \beta h y'_t, \quad \frac1\beta = \sum_j \frac{1}{1 - c_j}, \quad b_j = "
        r"\frac{\beta}{1 - c_j} \prod_{i \ne j} \frac{1 - c_i}{c_j - c_i}; \qquad \tfrac13 (4, -1), \ \beta = "
        r"\tfrac23; \quad \tfrac1{11} (18, -9, 2), \ \beta = \tfrac6{11}",
        residual,
        "diffnum.solvers.generated: bdf_2, bdf_3; Hairer, Norsett & Wanner 1993, III.1 and III.5",
    )


CHAPTER: Chapter = (
    moment_equations,
    as_integrals,
    without_stiffness,
    mirror,
    equal_steps,
    error_constants,
    backward_differentiation,
)
