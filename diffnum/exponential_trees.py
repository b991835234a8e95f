r"""Order conditions of exponential Runge-Kutta methods for ``u' = L u + N(u)``, by recursion on trees.

    Y_i = e^{c_i h L} u + h sum_{j < i} a_ij(h L) N(Y_j),    u_new = e^{h L} u + h sum_i b_i(h L) N(Y_i)

Two sets of conditions, for two meanings of a small step.

*Classical* (Berland, Owren & Skaflestad 2005): ``h L`` is small. Elementary differentials are trees of black
vertices, for derivatives of ``N``, and white ones, for ``L``, which is linear: a white vertex carries one branch, or
none where it acts on ``u``. A black vertex under ``k`` white ones meets the ``k``-th Taylor coefficients of the
``a_ij`` or ``b_i``. The exact solution has ``1 / gamma``, whatever the colours.

*Stiff* (Hochbruck & Ostermann 2005, section 4; Luan & Ostermann 2013): ``L`` is unbounded and ``N(u(t))`` is smooth.
With the defects of the stages,

    psi_{k,i}(z) = c_i^k phi_k(c_i z) - sum_j a_ij(z) c_j^{k-1} / (k-1)!,    psi_k likewise with b_j, and 1 for c_i,

a local error is made of ``psi_k`` and of ``sum_i b_i(z) c_i^k / k! J Psi_i J' Psi'_i ...``, where every ``Psi_i`` is
``psi_{k,i}`` or again ``sum_j a_ij(z) c_j^k / k! J Psi_j ...``: rooted trees, in which a vertex whose branches are all
single vertices is a ``psi_k``. There are as many conditions of an order as rooted trees.
``J`` is any operator between functions of ``L``, so the functions on its two sides have independent arguments. Where
``L`` is a number, as it is for the probability-flow ODE, they are one argument, and fewer conditions have to hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import count, repeat
from typing import Any

from .exponential_numbers import point
from .num import phi
from .rooted_trees import Tree, forests, rooted_trees
from .series import Series, h_series

__all__ = [
    "StiffOrder",
    "bicoloured_trees",
    "classical_order",
    "classical_residuals",
    "fewest_conditions",
    "first_argument",
    "psi",
    "row_defects",
    "show_bicoloured",
    "stiff_latex",
    "stiff_order",
    "stiff_residual",
]

# z -> (nodes, matrix, weights)
Method = Callable[[Any], Any]
BLACK, WHITE = 0, 1


# --- classical: trees in two colours, (colour, branch, branch, ...) ---


@lru_cache
def bicoloured_trees(vertices: int) -> tuple[Tree, ...]:
    """Trees of so many vertices in which a white vertex has at most one branch: 2, 4, 11, 34, 117, ..."""
    black = [(BLACK, *forest) for forest in forests(vertices - 1, bicoloured_trees)]
    white = [(WHITE, tree) for tree in bicoloured_trees(vertices - 1)] if vertices > 1 else [(WHITE,)]
    return tuple(black + white)


@lru_cache
def fewest_conditions(vertices: int) -> int:
    """Conditions left by ``sum_j a_ij(z) = c_i phi_1(c_i z)``, where a leaf has no colour: 1, 2, 5, 13, 37, ..."""
    return len(_without_leaf_colours(vertices))


@lru_cache
def _without_leaf_colours(vertices: int) -> tuple[Tree, ...]:
    if vertices == 1:
        return ((BLACK,),)
    black = [(BLACK, *forest) for forest in forests(vertices - 1, _without_leaf_colours)]
    return tuple(black + [(WHITE, tree) for tree in _without_leaf_colours(vertices - 1)])


def _vertices(tree: Tree) -> int:
    return 1 + sum(_vertices(branch) for branch in tree[1:])


def _density(tree: Tree) -> int:
    return _vertices(tree) * math.prod(_density(branch) for branch in tree[1:])


def classical_residuals(method: Method, order: int) -> dict[Tree, Any]:
    """Coefficient of the method minus ``1 / gamma(t)``, for all trees of ``order`` vertices with a black one."""
    nodes, matrix, weights = method(h_series(order + 2))
    trees = [tree for tree in bicoloured_trees(order) if _has_black(tree)]
    return {t: _coefficients(t, nodes, matrix, weights)[-1] - Fraction(1, _density(t)) for t in trees}


def _has_black(tree: Tree) -> bool:
    return tree[0] == BLACK or any(_has_black(branch) for branch in tree[1:])


def _coefficients(tree: Tree, nodes: Sequence[Any], matrix: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
    """Of the tree in the expansions of all stages and of the new value."""
    whites, (colour, *branches) = 0, tree
    while colour == WHITE:
        whites += 1
        if not branches:
            return [c**whites * Fraction(1, math.factorial(whites)) for c in (*nodes, 1)]
        colour, *branches = branches[0]
    inside: list[Any] = [Fraction(1)] * len(nodes)
    for branch in branches:
        stages = _coefficients(branch, nodes, matrix, weights)
        inside = [product * value for product, value in zip(inside, stages, strict=False)]
    return [
        sum((_taylor(a, whites) * value for a, value in zip(row, inside, strict=False)), Fraction(0))
        for row in (*matrix, weights)
    ]


def _taylor(coefficient: Any, power: int) -> Any:
    if isinstance(coefficient, Series):
        return coefficient[power]
    return coefficient if power == 0 else 0


def classical_order(method: Method, highest: int = 5) -> tuple[int, dict[Tree, Any]]:
    """The classical order for any operator ``L``, and what fails one order up.

    Raises:
        ArithmeticError: an order of at least ``highest``.
    """
    for order in range(1, highest + 1):
        failed = {tree: r for tree, r in classical_residuals(method, order).items() if r != 0}
        if failed:
            return order - 1, failed
    raise ArithmeticError(f"every condition up to order {highest} holds: ask for more")


def show_bicoloured(tree: Tree) -> str:
    """The elementary differential: ``N'(L N)``, ``L N''(N, Lu)``."""
    colour, *branches = tree
    if colour == WHITE:
        return "L " + show_bicoloured(branches[0]) if branches else "Lu"
    inside = ", ".join(show_bicoloured(branch) for branch in branches)
    return "N" + "'" * len(branches) + (f"({inside})" if branches else "")


# --- stiff ---


def psi(k: int, row: Sequence[Any], c: Any, nodes: Sequence[Any], value: Any) -> Any:
    """``psi_{k,i}(z)`` of the stage with coefficients ``row`` at ``c``, or of the step with the weights at 1.

    Args:
        value: ``phi_k(c z)``.
    """
    moment = sum(a * x ** (k - 1) for a, x in zip(row, nodes, strict=False))
    return value * c**k - moment * Fraction(1, math.factorial(k - 1))


def first_argument() -> Any:
    """A rational of many digits, for ``z``."""
    return next(_arguments(together=True))


def _arguments(together: bool) -> Iterator[Any]:
    """One argument of functions of ``L`` for every vertex: all equal, or all different."""
    numbers = (Fraction(1000003 + 7919 * i, 618033 + 104729 * i) for i in (repeat(0) if together else count()))
    return (point(number) for number in numbers)


def row_defects(method: Method) -> list[Any]:
    """``psi_{1,i}`` of every stage: whether a constant ``N`` is integrated exactly there."""
    z = first_argument()
    nodes, matrix, _ = method(z)
    return [psi(1, row, c, nodes, phi(1, c * z)) for row, c in zip(matrix, nodes, strict=True)]


def stiff_residual(tree: Tree, method: Method, scalar: bool = False, weak: bool = False) -> Any:
    """The condition of a rooted tree.

    Args:
        scalar: ``L`` is a number, so that all functions have one argument.
        weak: with ``b_i(0)``, and with ``psi_k(0)``.
    """
    arguments = _arguments(scalar)
    z = point(0) if weak else next(arguments)
    nodes, _, weights = method(z)
    if not any(tree):
        return psi(len(tree) + 1, weights, 1, nodes, phi(len(tree) + 1, z))
    return _combined(weights, _inside(tree, method, arguments, nodes))


def _inside(tree: Tree, method: Method, arguments: Iterator[Any], nodes: Sequence[Any]) -> list[Any]:
    k = tree.count(())
    values: list[Any] = [c**k * Fraction(1, math.factorial(k)) for c in nodes]
    for branch in tree:
        if branch:
            defects = _defects(branch, method, arguments)
            values = [value * defect for value, defect in zip(values, defects, strict=True)]
    return values


def _defects(tree: Tree, method: Method, arguments: Iterator[Any]) -> list[Any]:
    z = next(arguments)
    nodes, matrix, _ = method(z)
    if not any(tree):
        k = len(tree) + 1
        return [psi(k, row, c, nodes, phi(k, c * z)) for row, c in zip(matrix, nodes, strict=True)]
    values = _inside(tree, method, arguments, nodes)
    return [_combined(row, values) for row in matrix]


def _combined(row: Sequence[Any], values: Sequence[Any]) -> Any:
    return sum((a * value for a, value in zip(row, values, strict=False)), Fraction(0))


@dataclass(frozen=True)
class StiffOrder:
    """The order for unbounded ``L``.

    Attributes:
        order: largest ``p`` such that all conditions of order below ``p`` hold, and those of order ``p`` in weak form:
            the order of convergence (Hochbruck & Ostermann 2005, theorem 4.7).
        strong: largest ``p`` such that all conditions up to it hold as they are.
        violated: the first condition that keeps ``order`` from being larger, in LaTeX.
    """

    order: int
    strong: int
    violated: str


def stiff_order(method: Method, highest: int = 5, scalar: bool = False) -> StiffOrder:
    """Two-sided.

    Raises:
        ArithmeticError: an order of at least ``highest``.
    """
    for p in range(1, highest + 1):
        failed = _violated(method, p, scalar, weak=True)
        if failed:
            return StiffOrder(p - 1, p - 1, failed)
        failed = _violated(method, p, scalar, weak=False)
        if failed:
            return StiffOrder(p, p - 1, failed)
    raise ArithmeticError(f"every condition up to order {highest} holds: ask for more")


def _violated(method: Method, order: int, scalar: bool, weak: bool) -> str | None:
    if order == 2:
        for i, defect in enumerate(row_defects(method), 1):
            if defect != 0:
                return rf"\psi_{{1,{i}}}(z) = 0"
    for tree in rooted_trees(order):
        if stiff_residual(tree, method, scalar, weak) != 0:
            return stiff_latex(tree, weak)
    return None


def stiff_latex(tree: Tree, weak: bool = False) -> str:
    r"""The condition in LaTeX: ``\psi_{3}(z) = 0``, ``\sum b_i(z) c_i J \psi_{2,i} = 0``."""
    at = "0" if weak else "z"
    if not any(tree):
        return rf"\psi_{{{len(tree) + 1}}}({at}) = 0"
    return rf"\sum b_i({at}) {_stiff_factors(tree, 'i', iter('jklmnopq'))} = 0"


def _stiff_factors(tree: Tree, at: str, names: Iterator[str]) -> str:
    k = tree.count(())
    power = "" if k == 0 else f"c_{at} " if k == 1 else f"c_{at}^{k} "
    return power + " ".join(_stiff_branch(branch, at, names) for branch in tree if branch)


def _stiff_branch(tree: Tree, at: str, names: Iterator[str]) -> str:
    if not any(tree):
        return rf"J \psi_{{{len(tree) + 1},{at}}}"
    here = next(names)
    return rf"J a_{{{at}{here}}} {_stiff_factors(tree, here, names)}"
