"""Tsitouras's Runge-Kutta method of order five (2011), which assumes D(1) only, solved from its free parameters.

Six stages with ``c_6 = 1`` and ``D(1): sum_i b_i a_ij = b_j (1 - c_j)`` leave, beside quadrature,

    sum_i b_i c_i u_i = 1/8,  sum_i b_i c_i^2 u_i = 1/10,  sum_i b_i u_i^2 = 1/20,  u = A c,
    sum_ij b_i c_i a_ij c_j^2 = 1/15,  sum_ij b_i c_i a_ij u_j = 1/30

of the conditions of order five. Given the nodes and ``b_2``, quadrature gives the weights; with ``v = u - c^2 / 2`` the
first line is ``sum_i b_i v_i c_i^k = 0`` for ``k = 0, 1, 2`` and the quadratic ``sum_i b_i v_i^2 = 0``, in which
``u_2 = 0`` puts ``v_2 = -c_2^2 / 2``. Then ``a_42`` is free, and the rest is linear.

The paper prints sixteen digits. Here its nodes, ``b_2`` and ``a_42`` are those digits and all else is solved for: exact
numbers ``p + q root`` that agree with the paper's where it stops, and of order five without a remainder. Its ``c_5``
and ``a_42`` come from the embedded method of order four, which the digits leave to 1e-15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction as F
from functools import lru_cache
from math import isqrt
from typing import Any

import sympy

from diffnum.rooted_trees import residuals, row_sums
from diffnum.solvers.surd import Surd, root

from .generator import Piece, formula, numbers
from .runge_kutta_families import Entries, exact_table, quadrature
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "PIECES", "PRINTED", "entries"]

ROOT = sympy.Symbol("root")
SOURCE = "Tsitouras 2011, table 1"
NODES = (F(0), F("0.161"), F("0.327"), F("0.9"), F("0.9800255409045097"), F(1))
B2, A42 = F("0.01"), F("-6.359448489975075")
# what the paper prints of the rest
PRINTED = {
    "a32": "0.3354806554923570",
    "a43": "4.362295432869581",
    "a52": "-11.74888356406283",
    "a53": "7.495539342889836",
    "a54": "-0.09249506636175525",
    "a62": "-12.92096931784711",
    "a63": "8.159367898576159",
    "a64": "-0.07158497328140100",
    "a65": "-0.02826905039406838",
    "b1": "0.09646076681806523",
    "b3": "0.4798896504144996",
    "b4": "1.379008574103742",
    "b5": "-3.290069515436081",
    "b6": "2.324710524099774",
}


def eliminated(matrix: Sequence[Sequence[Any]], right: Sequence[Any]) -> list[Any]:
    """The solution of linear equations over any field, by elimination without pivots."""
    rows = [[*row, r] for row, r in zip(matrix, right, strict=True)]
    for i, pivot in enumerate(rows):
        pivot[:] = [x / pivot[i] for x in pivot]
        for j, row in enumerate(rows):
            if j != i:
                row[:] = [x - row[i] * p for x, p in zip(row, pivot, strict=True)]
    return [row[-1] for row in rows]


def _squarefree(n: int) -> tuple[int, int]:
    """``(d, m)`` with ``n = d m^2``, squares of small primes taken out."""
    d, m = n, 1
    for p in sympy.primerange(1000):
        while d % p**2 == 0:
            d, m = d // p**2, m * p
    return d, m


def _defects(b: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """``v`` as ``p + q v_3``: the three moments, linear in ``v_4, v_5, v_6``."""
    second = -(NODES[1] ** 2) / 2
    matrix = [[b[i] * NODES[i] ** k for i in (3, 4, 5)] for k in range(3)]
    p = eliminated(matrix, [-b[1] * second * NODES[1] ** k for k in range(3)])
    q = eliminated(matrix, [-b[2] * NODES[2] ** k for k in range(3)])
    return [F(0), second, F(0), *p], [F(0), F(0), F(1), *q]


@lru_cache
def entries() -> tuple[Any, int]:
    """Nodes, matrix and weights as exact numbers, and the integer whose root they hold."""
    c = NODES
    exact = [sympy.Rational(x.numerator, x.denominator) for x in c]
    b = [F(int(w.p), int(w.q)) for w in quadrature(exact, 5, {1: sympy.Rational(1, 100)})]
    p, q = _defects(b)
    two, one, zero = (
        sum(w * x for w, x in zip(b, terms, strict=True))
        for terms in ([y * y for y in q], [2 * x * y for x, y in zip(p, q, strict=True)], [x * x for x in p])
    )
    square = one * one - 4 * two * zero
    d, m = _squarefree(square.numerator * square.denominator)
    # of the two solutions the one with the printed a_32
    v3 = -(root(d) * F(m, square.denominator) + one) / (2 * two)
    u = [x + y * v3 + z * z / 2 for x, y, z in zip(p, q, c, strict=True)]
    rows: list[list[Any]] = [[], [F(0)], [F(0), u[2] / c[1]], [F(0), A42, (u[3] - A42 * c[1]) / c[2]]]
    rows.append([F(0), *_fifth(b, u, rows)])
    rows.append([F(0), *_sixth(b, rows)])
    for row, node in zip(rows[1:], c[1:], strict=True):
        row[0] = node - sum(row[1:], F(0))
    return (c, tuple(map(tuple, rows)), tuple(b)), d


def _fifth(b: Sequence[Any], u: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """``a_52, a_53, a_54``: the sixth row is replaced by D(1), which leaves factors ``c_i - 1``."""
    c = NODES

    def left(values: Sequence[Any], total: Any) -> Any:
        known = sum((w * (1 - x) * y for w, x, y in zip(b, c, values, strict=True)), F(0))
        for i in (2, 3):
            known += b[i] * (c[i] - 1) * sum((a * y for a, y in zip(rows[i], values, strict=False)), F(0))
        return (total - known) / (b[4] * (c[4] - 1))

    squares = [x * x for x in c]
    equations = [list(c[1:4]), squares[1:4], list(u[1:4])]
    # u_2 = 0: the last equation has no first unknown
    return eliminated(equations, [u[4], left(squares, F(1, 15)), left(u, F(1, 30))])


def _sixth(b: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """``a_62, ..., a_65`` from D(1)."""
    above = [sum((b[i] * rows[i][j] for i in range(j + 1, 5)), F(0)) for j in (1, 2, 3, 4)]
    return [(b[j] * (1 - NODES[j]) - known) / b[5] for j, known in zip((1, 2, 3, 4), above, strict=True)]


def _in_root(number: Any) -> sympy.Expr:
    parts = (number.a, number.b) if isinstance(number, Surd) else (number, F(0))
    p, q = (sympy.Rational(part.numerator, part.denominator) for part in parts)
    return p + q * ROOT


def piece() -> Piece:
    """The table as a function of the root."""
    (nodes, matrix, weights), d = entries()
    value = [[_in_root(x) for x in nodes], [[_in_root(x) for x in row] for row in matrix], [*map(_in_root, weights)]]
    says = f"Nodes, matrix and weights of Tsitouras's method of order 5, where ``root^2`` is TSITOURAS_5 ({SOURCE})."

    def check(module: Any) -> Iterator[Any]:
        found = exact_table(module.tsitouras_5(root(d)))
        yield from (a - x for a, x in zip(found.nodes, NODES, strict=True))
        yield from row_sums(found)
        yield found.weights[1] - B2
        yield found.matrix[3][1] - A42
        yield from residuals(found, 5).values()

    return formula("tsitouras_5", (ROOT,), value, says, "theory.tsitouras.entries", check)


def square_piece() -> Piece:
    """What it is the root of."""

    def check(module: Any) -> Iterator[Any]:
        (found,) = module.TSITOURAS_5
        yield found - entries()[1]

    says = "The integer whose root the entries of ``tsitouras_5`` hold."
    return numbers("TSITOURAS_5", (entries()[1],), says, "theory.tsitouras.entries", check)


PIECES: tuple[Callable[[], Piece], ...] = (square_piece, piece)


def _entry(found: Entries, place: str) -> Any:
    _, matrix, weights = found
    i = int(place[1]) - 1
    return weights[i] if place[0] == "b" else matrix[i][int(place[2]) - 1]


def order_five() -> Statement:
    """Every condition up to order five, not those of order six; the integer below the root is no square."""
    found, d = entries()
    table = exact_table(found)
    failing = [r for r in residuals(table, 6).values() if r != 0]
    return prove(
        "Tsitouras's method is of order five, and irrational",
        r"\sum_i b_i v_i c_i^k = 0 \ (k = 0, 1, 2), \quad \sum_i b_i v_i^2 = 0, \quad v = A c - \tfrac12 c^2, \quad "
        r"b_2 \ne 0",
        [*row_sums(table), *residuals(table, 5).values(), F(isqrt(d) ** 2 == d), F(not failing)],
        f"diffnum.solvers.generated: tsitouras_5; {SOURCE}",
    )


def printed() -> Statement:
    """The digits of the paper to one part in ``10^15``, which is what those of ``c_5`` and ``a_42`` leave."""
    found, _ = entries()
    wrong = []
    for place, text in PRINTED.items():
        exact = _entry(found, place)
        value = exact.a + exact.b * F(isqrt(entries()[1] * 10**160), 10**80) if isinstance(exact, Surd) else exact
        wrong.append(F(abs(value / F(text) - 1) > F(1, 10**15)))
    return prove(
        "The printed digits of Tsitouras's method",
        rf"a_{{32}} = {PRINTED['a32']}\dots, \quad a_{{54}} = {PRINTED['a54']}\dots, \quad b_5 = {PRINTED['b5']}\dots",
        wrong,
        f"diffnum.solvers.generated: tsitouras_5; {SOURCE}",
    )


CHAPTER: Chapter = (order_five, printed)
