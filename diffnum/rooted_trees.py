"""Rooted trees, and the order conditions that they stand for, by recursion.

A tree is the sorted tuple of the trees that hang on its root: ``()`` is the single vertex, written ``\\tau`` in LaTeX,
``((), ((),))`` is ``[\\tau [\\tau]]`` (Hairer, Norsett & Wanner 1993, II.2). A Runge-Kutta method has order ``p`` iff

    Phi(t) = sum_i b_i prod_{s in t} Phi_i(s) = 1 / gamma(t),    Phi_i(s) = sum_j a_ij prod_{r in s} Phi_j(r)

for every tree of at most ``p`` vertices, provided that ``sum_j a_ij = c_i`` (II.2, theorem 2.13). The weights are
sums of products, so they are evaluated in any kind of number: fractions, symbols, series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from typing import Any

__all__ = [
    "Tree",
    "condition",
    "density",
    "elementary_weight",
    "forests",
    "latex",
    "order",
    "order_of",
    "residuals",
    "rooted_trees",
    "row_sums",
    "symmetry",
]

Tree = tuple[Any, ...]


def order(tree: Tree) -> int:
    """Number of vertices."""
    return 1 + sum(order(child) for child in tree)


def density(tree: Tree) -> int:
    """``gamma(t)``: the product, over all vertices, of the number of vertices at or above them."""
    return order(tree) * math.prod(density(child) for child in tree)


def symmetry(tree: Tree) -> int:
    """``sigma(t)``: the number of ways to permute equal branches."""
    repeated = math.prod(math.factorial(len(list(same))) for _, same in groupby(tree))
    return repeated * math.prod(symmetry(child) for child in tree)


@lru_cache
def rooted_trees(vertices: int) -> tuple[Tree, ...]:
    """All trees of so many vertices: 1, 1, 2, 4, 9, 20, 48, ..."""
    return tuple(sorted(forests(vertices - 1, rooted_trees), key=lambda tree: (-len(tree), tree)))


def forests(size: int, trees: Callable[[int], Sequence[Any]]) -> list[tuple[Any, ...]]:
    """All multisets of ``trees(1), trees(2), ...`` of total size ``size``, as sorted tuples."""
    found = _forests(size, size, trees)
    return sorted({tuple(sorted(forest)) for forest in found})


def _forests(size: int, largest: int, trees: Callable[[int], Sequence[Any]]) -> list[tuple[Any, ...]]:
    if size == 0:
        return [()]
    heads = [(n, tree) for n in range(1, min(size, largest) + 1) for tree in trees(n)]
    return [(tree, *rest) for n, tree in heads for rest in _forests(size - n, n, trees)]


def latex(tree: Tree) -> str:
    r"""The tree in brackets, ``\tau``, ``[\tau]``, ``[\tau^2, [\tau]]``."""
    if not tree:
        return r"\tau"
    parts = [(latex(child), len(list(same))) for child, same in groupby(tree)]
    return "[" + ", ".join(name if n == 1 else f"{name}^{n}" for name, n in parts) + "]"


def condition(tree: Tree) -> str:
    r"""The order condition in LaTeX with row sums ``c_i``: ``\sum b_i c_i a_{ij} c_j = \tfrac{1}{8}``."""
    names = iter("jklmnopq")
    right = "1" if not tree else rf"\tfrac{{1}}{{{density(tree)}}}"
    return rf"\sum b_i {_factors(tree, 'i', names)}".rstrip() + f" = {right}"


def _factors(tree: Tree, at: str, names: Iterable[str]) -> str:
    leaves = sum(not child for child in tree)
    power = "" if leaves == 0 else f"c_{at}" if leaves == 1 else f"c_{at}^{leaves}"
    parts = [power] if power else []
    for child in tree:
        if child:
            here = next(iter(names))
            parts.append(f"a_{{{at}{here}}} {_factors(child, here, names)}")
    return " ".join(parts)


def elementary_weight(tree: Tree, matrix: Sequence[Sequence[Any]], weights: Sequence[Any]) -> Any:
    """``Phi(t)`` of a method in whatever numbers its coefficients are."""
    return _dot(weights, _stage_products(tree, matrix))


def _stage_products(tree: Tree, matrix: Sequence[Sequence[Any]]) -> list[Any]:
    out: list[Any] = [Fraction(1)] * len(matrix)
    for child in tree:
        inner = _stage_products(child, matrix)
        out = [product * _dot(row, inner) for product, row in zip(out, matrix, strict=True)]
    return out


def _dot(row: Sequence[Any], values: Sequence[Any]) -> Any:
    return sum((a * value for a, value in zip(row, values, strict=False)), Fraction(0))


def residuals(table: Any, highest: int) -> dict[Tree, Any]:
    """``Phi(t) - 1/gamma(t)`` of every tree of at most ``highest`` vertices, smallest trees first.

    Args:
        table: anything with a ``matrix`` and ``weights``.
    """
    trees = [tree for vertices in range(1, highest + 1) for tree in rooted_trees(vertices)]
    return {t: elementary_weight(t, table.matrix, table.weights) - Fraction(1, density(t)) for t in trees}


def row_sums(table: Any) -> list[Any]:
    """``sum_j a_ij - c_i`` of every stage."""
    return [sum(row, Fraction(0)) - c for row, c in zip(table.matrix, table.nodes, strict=True)]


def order_of(table: Any, highest: int = 6) -> tuple[int, dict[Tree, Any]]:
    """The order of an exact table, and the conditions of the next order that fail, with their residuals.

    Raises:
        ArithmeticError: row sums that are not the nodes, or an order of at least ``highest``.
    """
    if any(r != 0 for r in row_sums(table)):
        raise ArithmeticError(f"row sums are not the nodes: they differ by {row_sums(table)}")
    for vertices in range(1, highest + 1):
        found = residuals(table, vertices)
        failed = {tree: found[tree] for tree in rooted_trees(vertices) if found[tree] != 0}
        if failed:
            return vertices - 1, failed
    raise ArithmeticError(f"every condition up to order {highest} holds: ask for more")
