"""Exponential Runge-Kutta methods: coefficients derived and checked by :mod:`theory.exponential_schemes`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

import sympy

from diffnum.exponential_trees import classical_residuals, first_argument, stiff_residual
from diffnum.num import phi
from diffnum.rooted_trees import rooted_trees

from .exponential_schemes import SCHEMES, Coefficients, Scheme
from .generator import PHI, Piece, formula, load, source
from .runge_kutta_families import solve

__all__ = ["PIECES", "generated", "method", "scheme"]

Z = sympy.Symbol("z")


def scheme(name: str) -> Scheme:
    """By name."""
    return next(s for s in SCHEMES if s.name == name)


@lru_cache
def derived(name: str) -> tuple[Any, Any, Any]:
    """Nodes, matrix and weights, from the equations of the scheme."""
    s = scheme(name)
    stages = len(s.nodes)
    nodes = tuple(map(sympy.sympify, s.nodes))
    matrix = [sympy.symbols(f"a{i}_1:{i}") for i in range(1, stages + 1)]
    weights = sympy.symbols(f"b1:{stages + 1}")
    found = s.equations(Coefficients(nodes, matrix, weights, lambda k, c: _phi(k, sympy.sympify(c) * Z)))
    unknowns = [x for row in (*matrix, weights) for x in row]
    values = dict(zip(unknowns, solve(map(sympy.sympify, found), unknowns), strict=True))
    return nodes, tuple(tuple(values[x] for x in row) for row in matrix), tuple(values[x] for x in weights)


def _phi(k: int, z: Any) -> Any:
    return sympy.Integer(1) if k == 0 and z == 0 else PHI(k, z)


def method(module: Any, s: Scheme, values: Sequence[Any]) -> Callable[[Any], Any]:
    """``z -> (nodes, matrix, weights)`` of the generated function with given arguments."""
    return lambda z: getattr(module, s.name)(z, *values)


def _checked(s: Scheme, module: Any) -> Iterable[Any]:
    """Nodes, the equations of the scheme, and its order conditions."""
    for values in s.points:
        run, at = method(module, s, values), dict(zip(s.arguments, values, strict=True))
        z = first_argument()
        nodes, matrix, weights = run(z)
        for c, node in zip(nodes, s.nodes, strict=True):
            yield sympy.sympify(c) - sympy.sympify(node).subs(at)
        found = Coefficients(nodes, matrix, weights, lambda k, c, z=z: phi(k, z * _fraction(c)))
        yield from s.equations(found)
        for order in range(1, s.order + 1):
            yield from classical_residuals(run, order).values()
        for order in range(1, s.stiff + 1):
            for tree in rooted_trees(order):
                yield stiff_residual(tree, run, weak=order == s.stiff)


def _fraction(c: Any) -> Fraction:
    return Fraction(int(c.numerator), int(c.denominator))


@lru_cache
def _piece(name: str) -> Piece:
    s = scheme(name)
    derivation = "theory.exponential_pieces.derived"
    return formula(name, (Z, *s.arguments), derived(name), s.says, derivation, partial(_checked, s))


def _named(name: str) -> Callable[[], Piece]:
    return lambda: _piece(name)


PIECES: tuple[Callable[[], Piece], ...] = tuple(_named(s.name) for s in SCHEMES)


@lru_cache
def generated() -> Any:
    """The module that the pieces of this chapter make."""
    return load(source([piece() for piece in PIECES]))
