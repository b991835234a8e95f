"""Explicit Runge-Kutta methods of orders two to four with the fewest stages: every one of them, by elimination. One
family of order five with six stages (:mod:`theory.runge_kutta_fifth`).

Weights come from the quadrature conditions, linear in them, and what is left is linear in the matrix: with one node
prescribed by the theory (``c_4 = 1``, which four stages of order four need, with the assumption
``D(1): sum_i b_i a_ij = b_j (1 - c_j)``; Hairer, Norsett & Wanner 1993, II.1, lemma 1.4) the nodes are the free
parameters, and where nodes coincide a weight is (Kutta 1901; Butcher 2016, section 320 to 322).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import sympy

from .generator import Piece, formula
from .runge_kutta_fifth import family_of_order_five
from .trees import residuals, row_sums

__all__ = ["FAMILIES", "Family", "exact_table", "family", "member", "pieces", "quadrature", "solve", "table"]

C2, C3, C4, C5, B3, B4 = sympy.symbols("c2 c3 c4 c5 b3 b4")
ZERO, HALF, ONE, THIRD = sympy.Integer(0), sympy.Rational(1, 2), sympy.Integer(1), sympy.Rational(1, 3)
Entries = tuple[Sequence[Any], Sequence[Sequence[Any]], Sequence[Any]]


def solve(equations: Iterable[Any], unknowns: Sequence[Any]) -> list[Any]:
    """The one solution of linear equations, factored.

    Raises:
        ArithmeticError: there is none, or more than one.
    """
    found = sympy.solve(list(equations), list(unknowns), dict=True)
    if len(found) != 1 or len(found[0]) != len(unknowns):
        raise ArithmeticError(f"{len(found)} solutions for {unknowns}: {found}")
    return [sympy.factor(found[0][x]) for x in unknowns]


def quadrature(nodes: Sequence[Any], order: int, given: dict[int, Any]) -> list[Any]:
    """Weights with ``sum_i b_i c_i^(k-1) = 1/k`` for ``k`` up to ``order``; some are given, by index from 0."""
    weights = [given.get(i, sympy.Symbol(f"w{i}")) for i in range(len(nodes))]
    equations = [sum(w * c**k for w, c in zip(weights, nodes, strict=True)) - sympy.Rational(1, k + 1)
                 for k in range(order)]  # fmt: skip
    unknown = [w for i, w in enumerate(weights) if i not in given]
    found = dict(zip(unknown, solve(equations, unknown), strict=True))
    return [found.get(w, sympy.sympify(w)) for w in weights]


def table(nodes: Sequence[Any], columns: Sequence[Sequence[Any]], weights: Sequence[Any]) -> Entries:
    """The entries, the first column of the matrix from the row sums.

    Args:
        columns: of every stage from the second on, its entries but the first.
    """
    rows = [(sympy.factor(c - sum(row)), *row) for c, row in zip(nodes[1:], columns, strict=True)]
    return tuple(nodes), ((), *rows), tuple(weights)


def _second(nodes: Sequence[Any], given: dict[int, Any]) -> Entries:
    return table(nodes, [()], quadrature(nodes, 2, given))


def _third(nodes: Sequence[Any], given: dict[int, Any]) -> Entries:
    weights = quadrature(nodes, 3, given)
    # sum b_i a_ij c_j = 1/6 has one term
    return table(nodes, [(), (1 / (6 * weights[2] * nodes[1]),)], weights)


def _fourth(nodes: Sequence[Any], given: dict[int, Any]) -> Entries:
    _, c2, c3, c4 = nodes
    weights = quadrature(nodes, 4, given)
    _, b2, b3, b4 = weights
    a43 = b3 * (1 - c3) / b4  # D(1) for j = 3, then D(1) for j = 2 and sum b_i c_i a_ij c_j = 1/8
    a32, a42 = sympy.symbols("a32 a42")
    equations = [
        b3 * a32 + b4 * a42 - b2 * (1 - c2),
        b3 * c3 * a32 * c2 + b4 * c4 * (a42 * c2 + a43 * c3) - sympy.Rational(1, 8),
    ]
    a32, a42 = solve(equations, (a32, a42))
    return table(nodes, [(), (a32,), (a42, sympy.factor(a43))], weights)


@dataclass(frozen=True)
class Family:
    """All methods of one order with given nodes.

    Attributes:
        name: of the generated function.
        order: and, up to four, number of stages.
        arguments: free parameters, nodes or one weight.
        nodes, given: what the derivation starts from: nodes, and a weight by its index.
        says: the docstring.
        points: parameters at which the equations are evaluated: random rationals, for which a rational function that
            is not zero vanishes with probability zero.
    """

    name: str
    order: int
    arguments: tuple[sympy.Symbol, ...]
    nodes: tuple[Any, ...]
    given: tuple[tuple[int, Any], ...]
    says: str
    points: tuple[tuple[Fraction, ...], ...]


PAIRS = ((Fraction(3, 11), Fraction(7, 13)), (Fraction(17, 19), Fraction(2, 23)))
TRIPLES = tuple(tuple(map(Fraction, t.split())) for t in ("3/11 7/13 17/19", "5/23 11/17 2/29"))
SINGLES = ((Fraction(3, 11),), (Fraction(17, 19),))
FAMILIES = (
    Family("explicit_2", 2, (C2,), (ZERO, C2), (),
           "Every two-stage method of order two: ``c2 b2 = 1/2``; ``c2`` is not 0.", SINGLES),
    Family("explicit_3", 3, (C2, C3), (ZERO, C2, C3), (),
           "Three stages of order three, nodes ``0, c2, c3`` distinct, ``c2`` not 2/3: quadrature and "
           "``b3 a32 c2 = 1/6``.", PAIRS),
    Family("explicit_3_equal", 3, (B3,), (ZERO, 2 * THIRD, 2 * THIRD), ((2, B3),),
           "Three stages of order three with ``c2 = c3 = 2/3`` and the weight ``b3``, not 0.", SINGLES),
    Family("explicit_3_zero", 3, (B3,), (ZERO, 2 * THIRD, ZERO), ((2, B3),),
           "Three stages of order three with ``c2 = 2/3, c3 = 0`` and the weight ``b3``, not 0.", SINGLES),
    Family("explicit_4", 4, (C2, C3), (ZERO, C2, C3, ONE), (),
           "Four stages of order four, nodes ``0, c2, c3, 1`` distinct, ``c2`` not 1/2 (Kutta 1901).", PAIRS),
    Family("explicit_4_equal", 4, (B3,), (ZERO, HALF, HALF, ONE), ((2, B3),),
           "Four stages of order four with ``c2 = c3 = 1/2`` and the weight ``b3``, not 0.", SINGLES),
    Family("explicit_4_zero", 4, (B3,), (ZERO, HALF, ZERO, ONE), ((2, B3),),
           "Four stages of order four with ``c2 = 1/2, c3 = 0`` and the weight ``b3``, not 0.", SINGLES),
    Family("explicit_4_one", 4, (B4,), (ZERO, ONE, HALF, ONE), ((3, B4),),
           "Four stages of order four with ``c2 = 1, c3 = 1/2`` and the weight ``b4``, not 0.", SINGLES),
    Family("explicit_5", 5, (C3, C4, C5), (ZERO, 2 * C3 / 3, C3, C4, C5, ONE), ((1, ZERO),),
           "Six stages of order five with stage order three from the third on, ``b2 = 0``: nodes ``0, 2 c3 / 3, c3, "
           "c4, c5, 1``\n\n    distinct but for the second, ``10 c3 c4 - 5 c3 - 5 c4 + 3`` (of ``b5``) and the like of "
           "``b6`` not 0.", TRIPLES),
)  # fmt: skip
SOLVERS: dict[int, Callable[[Sequence[Any], dict[int, Any]], Entries]] = {
    2: _second, 3: _third, 4: _fourth, 5: family_of_order_five}  # fmt: skip


def family(name: str) -> Family:
    """By name."""
    return next(f for f in FAMILIES if f.name == name)


@lru_cache
def derived(name: str) -> Entries:
    """Entries of a family in its symbols."""
    f = family(name)
    return SOLVERS[f.order](f.nodes, dict(f.given))


def member(name: str, *parameters: Any) -> Entries:
    """Entries of one member, by substitution."""
    at = dict(zip(family(name).arguments, map(sympy.sympify, parameters), strict=True))

    def numbers(entries: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(sympy.sympify(e).subs(at) for e in entries)

    nodes, matrix, weights = derived(name)
    return numbers(nodes), tuple(numbers(row) for row in matrix), numbers(weights)


def exact_table(entries: Any) -> Any:
    """Nodes, matrix and weights by name, without the checks of a table, so that a wrong one can be looked at."""
    nodes, matrix, weights = entries
    return SimpleNamespace(nodes=nodes, matrix=matrix, weights=weights)


def _checked(f: Family) -> Callable[[Any], Iterable[Any]]:
    """Rows, order conditions, and the parameters, where they were put."""

    def check(module: Any) -> Iterable[Any]:
        for values in f.points:
            found = exact_table(getattr(module, f.name)(*values))
            at = dict(zip(f.arguments, values, strict=True))
            yield from row_sums(found)
            for c, node in zip(found.nodes, f.nodes, strict=True):
                yield sympy.sympify(c) - node.subs(at)
            for i, weight in f.given:
                yield sympy.sympify(found.weights[i]) - weight.subs(at)
            yield from residuals(found, f.order).values()

    return check


@lru_cache
def _piece(name: str) -> Piece:
    f = family(name)
    return formula(f.name, f.arguments, derived(name), f.says, "theory.runge_kutta_families.derived", _checked(f))


def _named(name: str) -> Callable[[], Piece]:
    return lambda: _piece(name)


def pieces() -> tuple[Callable[[], Piece], ...]:
    """Of all families."""
    return tuple(_named(f.name) for f in FAMILIES)
