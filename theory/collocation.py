"""Implicit Runge-Kutta tables by collocation, for samplers that iterate them a few times.

The polynomial of degree ``s`` that satisfies the equation at ``c_1, ..., c_s`` gives

    a_ij = int_0^{c_i} l_j(x) dx,    b_j = int_0^1 l_j(x) dx

(Hairer & Wanner 1996, IV.5). At the zeros of shifted Legendre polynomials the order is ``2 s`` (Gauss), with
``c_s = 1`` prescribed ``2 s - 1`` (Radau IIA), with both ends ``2 s - 2`` (Lobatto IIIA). The nodes of Gauss's two
stages are ``(3 -+ r) / 6`` with ``r^2 = 3``: their piece is a function of ``r``, so that the text stays exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import sympy

from diffnum.solvers.surd import root

from .generator import Piece, formula, numbers
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "NODES", "PIECES", "collocation", "residuals"]

X, ROOT = sympy.Symbol("x"), sympy.Symbol("root")
Q = sympy.Rational
HALF, THIRD = Q(1, 2), Q(1, 3)
SOURCE = "Hairer & Wanner 1996, IV.5, tables 5.1 to 5.7"

# name: nodes, order, the ends that are prescribed
NODES: dict[str, tuple[tuple[Any, ...], int, dict[int, int]]] = {
    "IMPLICIT_MIDPOINT": ((HALF,), 2, {}),
    "TRAPEZOID": ((0, 1), 2, {0: 0, 1: 1}),
    "RADAU_IIA2": ((THIRD, 1), 3, {1: 1}),
    "LOBATTO_IIIA3": ((0, HALF, 1), 4, {0: 0, 2: 1}),
}
GAUSS = ((3 - ROOT) / 6, (3 + ROOT) / 6)


def collocation(nodes: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[tuple[Any, ...], ...], tuple[Any, ...]]:
    """``(nodes, matrix, weights)``."""
    integrals = []
    for j, node in enumerate(nodes):
        others = [c for i, c in enumerate(nodes) if i != j]
        basis = sympy.prod([(X - c) / (node - c) for c in others]) if others else sympy.Integer(1)
        integrals.append(sympy.integrate(sympy.expand(basis), X))
    matrix = tuple(tuple(_reduced(e.subs(X, c)) for e in integrals) for c in nodes)
    return tuple(map(sympy.sympify, nodes)), matrix, tuple(_reduced(e.subs(X, 1)) for e in integrals)


def _reduced(expression: Any) -> sympy.Expr:
    """With ``root^2 = 3``, and no root below a fraction stroke."""
    value = sympy.radsimp(sympy.sympify(expression).subs(ROOT, sympy.sqrt(3)))
    return sympy.expand(value).subs(sympy.sqrt(3), ROOT)


def residuals(entries: Any, order: int, ends: dict[int, int]) -> Iterator[Any]:
    """``B(order)``, ``C(s)`` and the prescribed nodes: together they determine every entry."""
    nodes, matrix, weights = entries
    yield from (nodes[i] - end for i, end in ends.items())
    for k in range(1, order + 1):
        yield k * _moment(weights, nodes, k) - 1
    for k in range(1, len(nodes) + 1):
        for c, row in zip(nodes, matrix, strict=True):
            yield k * _moment(row, nodes, k) - math.prod([c] * k)


def _moment(weights: Sequence[Any], nodes: Sequence[Any], k: int) -> Any:
    return sum(w * math.prod([c] * (k - 1)) for w, c in zip(weights, nodes, strict=True))


def constant_piece(name: str) -> Piece:
    """A table with rational nodes."""
    nodes, order, ends = NODES[name]

    def check(module: Any) -> Iterator[Any]:
        yield from residuals(getattr(module, name), order, ends)

    says = f"Nodes, matrix and weights of the collocation method of order {order}, implicit ({SOURCE})."
    return numbers(name, collocation(nodes), says, "theory.collocation.collocation", check)


def gauss_piece() -> Piece:
    """Gauss's two stages as a function of the square root of three."""

    def check(module: Any) -> Iterator[Any]:
        yield from residuals(module.gauss_2(root(3)), 4, {})

    says = f"Nodes, matrix and weights of Gauss's two stages, of order 4, where ``root^2 = 3`` ({SOURCE})."
    return formula("gauss_2", (ROOT,), collocation(GAUSS), says, "theory.collocation.collocation", check)


PIECES: tuple[Callable[[], Piece], ...] = (*(partial(constant_piece, name) for name in NODES), gauss_piece)


# --- statements ---

# as in the tables of Hairer & Wanner
BOOK: dict[str, tuple[str, str]] = {
    "TRAPEZOID": ("0 0; 1/2 1/2", "1/2 1/2"),
    "RADAU_IIA2": ("5/12 -1/12; 3/4 1/4", "3/4 1/4"),
    "LOBATTO_IIIA3": ("0 0 0; 5/24 1/3 -1/24; 1/6 2/3 1/6", "1/6 2/3 1/6"),
}


def _numbers(row: str) -> list[Any]:
    return [sympy.Rational(entry) for entry in row.split()]


def tables() -> Statement:
    """The entries against those printed, and every order condition for quadrature."""
    residual: list[Any] = []
    for name, (matrix, weights) in BOOK.items():
        _, rows, row = collocation(NODES[name][0])
        printed = [*map(_numbers, matrix.split(";")), _numbers(weights)]
        residual += [
            a - b for ours, book in zip((*rows, row), printed, strict=True) for a, b in zip(ours, book, strict=True)
        ]
    gauss = collocation(GAUSS)
    r = sympy.sqrt(3)
    printed = [[Q(1, 4), Q(1, 4) - r / 6], [Q(1, 4) + r / 6, Q(1, 4)], [Q(1, 2), Q(1, 2)]]
    for ours, book in zip((*gauss[1], gauss[2]), printed, strict=True):
        residual += [a.subs(ROOT, r) - b for a, b in zip(ours, book, strict=True)]
    return prove(
        "Collocation tables are those of the book",
        r"a_{ij} = \int_0^{c_i} \ell_j, \ b_j = \int_0^1 \ell_j: \quad "
        r"\text{trapezoid, Radau IIA, Lobatto IIIA, Gauss}",
        residual,
        f"diffnum.solvers.generated: TRAPEZOID, RADAU_IIA2, LOBATTO_IIIA3, gauss_2; {SOURCE}",
    )


def nodes() -> Statement:
    """Where the polynomial that vanishes at the nodes is orthogonal to lower ones the order is beyond ``s``."""
    residual = []
    cases = {name: (found, order) for name, (found, order, _) in NODES.items()}
    for found, order in (*cases.values(), (GAUSS, 4)):
        polynomial = sympy.expand(sympy.Mul(*[X - c for c in found]).subs(ROOT, sympy.sqrt(3)))
        residual += [sympy.integrate(sympy.expand(polynomial * X**k), (X, 0, 1)) for k in range(order - len(found))]
    return prove(
        "Orders of collocation beyond the number of stages",
        r"\int_0^1 x^k \prod_i (x - c_i)\, dx = 0, \qquad k < p - s",
        residual,
        f"theory.collocation.NODES; {SOURCE}",
    )


CHAPTER: Chapter = (tables, nodes)
