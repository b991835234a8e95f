r"""Order conditions of Runge-Kutta tables whose nodes need not be their row sums, and of multistep methods.

A tree is ``(k, t_1, ..., t_m)``: a vertex with ``k`` clock leaves and branches. For ``y' = f(t, y)`` a method with
nodes ``c_i`` has order ``p`` iff for every such tree of at most ``p`` vertices, clock leaves among them,

    sum_i b_i Phi_i(t) = 1 / gamma(t),    Phi_i(k, t_1, ..., t_m) = c_i^k prod_r sum_j a_ij Phi_j(t_r)

since a derivative in ``t`` meets ``c_i`` where one in ``y`` meets ``sum_j a_ij`` (Hairer, Norsett & Wanner 1993, II.2).
Where ``sum_j a_ij = c_i`` a leaf has no kind, and what is left are rooted trees; for ``y' = f(y)`` there is no clock.
A wrong node alone is seen by a non-autonomous equation alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

from ..rooted_trees import forests
from ..series import rational
from .numbers import vanishes

__all__ = [
    "autonomous",
    "bracket",
    "clocked",
    "density",
    "formula",
    "multistep_residuals",
    "order_of",
    "plain",
    "stage_order",
    "weights",
]

Tree = tuple[Any, ...]
Trees = Callable[[int], tuple[Tree, ...]]


@lru_cache
def clocked(vertices: int) -> tuple[Tree, ...]:
    """Trees with leaves of both kinds: 1, 2, 5, 13, 37, ..."""
    return _by_clocks(vertices, clocked)


@lru_cache
def plain(vertices: int) -> tuple[Tree, ...]:
    """Trees whose leaves are clocks: one for every rooted tree."""
    return _by_clocks(vertices, lambda n: plain(n) if n > 1 else ())


@lru_cache
def autonomous(vertices: int) -> tuple[Tree, ...]:
    """Trees without clocks: one for every rooted tree."""
    return tuple((0, *forest) for forest in forests(vertices - 1, autonomous))


def _by_clocks(vertices: int, branches: Callable[[int], Sequence[Tree]]) -> tuple[Tree, ...]:
    return tuple((k, *f) for k in range(vertices - 1, -1, -1) for f in forests(vertices - 1 - k, branches))


@cache
def _vertices(tree: Tree) -> int:
    return 1 + tree[0] + sum(_vertices(t) for t in tree[1:])


@cache
def density(tree: Tree) -> int:
    """``gamma(t)``."""
    return _vertices(tree) * math.prod(density(t) for t in tree[1:])


def weights(A: Sequence[Sequence[Any]], b: Sequence[Any], c: Sequence[Any]) -> Callable[[Tree], Any]:
    """``tree -> sum_i b_i Phi_i(tree)`` in whatever numbers the entries are; every ``Phi_i`` is computed once."""
    rows = [[(j, a) for j, a in enumerate(row) if _there(a)] for row in A]
    wanted = [(i, x) for i, x in enumerate(b) if _there(x)]
    known: dict[Tree, list[Any]] = {}

    def inside(tree: Tree) -> list[Any]:
        if tree not in known:
            k, *branches = tree
            out: list[Any] = [x**k if k else rational(1) for x in c]
            for branch in branches:
                values = inside(branch)
                summed = [sum((a * values[j] for j, a in row), rational(0)) for row in rows]
                out = [x * y for x, y in zip(out, summed, strict=True)]
            known[tree] = out
        return known[tree]

    def weight(tree: Tree) -> Any:
        values = inside(tree)
        return sum((x * values[i] for i, x in wanted), rational(0))

    return weight


def _there(x: Any) -> bool:
    return not isinstance(x, type(rational(0))) or x != 0


def order_of(weight: Callable[[Tree], Any], trees: Trees, highest: int) -> tuple[int, dict[Tree, Any]]:
    """The order up to ``highest``, and the conditions of the next order that fail; none at ``highest``."""
    for n in range(1, highest + 2):
        found = {t: weight(t) - rational(1, density(t)) for t in trees(n)} if n <= highest else {}
        failed = {t: r for t, r in found.items() if not vanishes(r)}
        if failed:
            return n - 1, failed
    return highest, {}


def stage_order(A: Sequence[Sequence[Any]], b: Sequence[Any], c: Sequence[Any], highest: int) -> int:
    """Largest ``q`` with ``sum_j a_ij c_j^(k-1) = c_i^k / k`` for every stage and ``k <= q``, the same for the step."""
    rows, ends = [*A, b], [*c, rational(1)]
    for k in range(1, highest + 1):
        powers = [x ** (k - 1) if k > 1 else rational(1) for x in c]
        for row, end in zip(rows, ends, strict=True):
            if not vanishes(sum((a * x for a, x in zip(row, powers, strict=True)), -(end**k) * rational(1, k))):
                return k - 1
    return highest


def bracket(tree: Tree, clock: str = "τ") -> str:
    """In brackets: ``τ``, ``[τ^2, [τ]]``.

    Args:
        clock: a leaf that is one, for which ``t`` is written where the others are not alike.
    """
    k, *branches = tree
    if not k and not branches:
        return "τ"
    parts = ([(clock, k)] if k else []) + [(bracket(t, clock), len(list(same))) for t, same in groupby(branches)]
    return "[" + ", ".join(name if n == 1 else f"{name}^{n}" for name, n in parts) + "]"


def formula(tree: Tree) -> str:
    """The condition as it is written: ``sum b_i c_i a_ij c_j = 1/8``."""
    right = density(tree)
    return f"sum b_i {_factors(tree, 'i', iter('jklmnopqrs'))}".rstrip() + (f" = 1/{right}" if right > 1 else " = 1")


def _factors(tree: Tree, at: str, names: Iterator[str]) -> str:
    k, *branches = tree
    parts = [f"c_{at}" if k == 1 else f"c_{at}^{k}"] if k else []
    for branch in branches:
        here = next(names)
        parts += [f"a_{at}{here}", *filter(None, [_factors(branch, here, names)])]
    return " ".join(parts)


def multistep_residuals(alpha: Sequence[Any], beta: Sequence[Any]) -> Iterator[Any]:
    """``sum_j (j^q alpha_j - q j^(q-1) beta_j) / q!`` for ``q = 0, 1, 2, ...``."""
    q = 0
    while True:
        moved = [
            a * j**q - (b * (q * j ** (q - 1)) if q else rational(0))
            for j, (a, b) in enumerate(zip(alpha, beta, strict=True))
        ]
        yield sum(moved, rational(0)) * rational(1, math.factorial(q))
        q += 1
