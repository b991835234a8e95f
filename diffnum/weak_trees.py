"""Rooted trees with Gaussian leaves: what expectations of smooth functions of random states are made of.

A state that has drawn noise is expanded in ``y_0`` and the elementary differentials of a field ``G(y, c)``

    (k; t_1, ..., t_m)  =  d^k/dc^k d^m/dy^m G (F(t_1), ..., F(t_m))    at (y_0, c = 0),

rooted trees whose leaves may be ``y_0`` itself or draws ``z_i``, as :mod:`diffnum.order` does without noise; a smooth
function ``f`` of the state in the same trees with ``f`` at the root. An expectation pairs equal draws (Isserlis 1918;
Wick 1950), and what is left are trees whose leaves are paired: derivatives contracted over a basis,

    f_y(D_yy(z, z)) = sum_a f_y(D_yy(e_a, e_a)),    f_yy(z, D_y(z)) = sum_a f_yy(e_a, D_y(e_a)).

For generic ``f`` and ``G`` in many dimensions no two of them are alike, so two expectations agree iff every coefficient
does (Debrabant & Kvaerno 2008 for general noise). Coefficients are series in ``k = sqrt(h)``.

``E f`` of the solution of an SDE is such an expansion too, the time-ordered exponential of its generator at work on
``f``: each term of the generator attaches a leaf or a pair of leaves to every node of a tree in turn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import permutations
from typing import Any

from .generic import GenericProcess
from .order import Inconsistent
from .plan import Level
from .series import Series, compose, h_series

__all__ = [
    "DRAW",
    "ROOT",
    "Expansion",
    "F",
    "Generator",
    "Tree",
    "Y",
    "add",
    "displacement",
    "expectation",
    "moved",
    "show",
    "taylor",
]

# a node is (number of clock derivatives, *children); other tags are negative
STATE, DRAW, PAIR, ROOT = -1, -2, -3, -4
Tree = tuple[Any, ...]
Y: Tree = (STATE,)
F: Tree = (ROOT,)
Expansion = Mapping[Tree, Series]
# (tree, coefficient, its valuation, parity of every draw as bits)
Displacement = Sequence[tuple[Tree, Series, int, int]]


# --- trees ---


def _node(head: int, children: Iterable[Tree]) -> Tree:
    return (head, *sorted(children))


def _is_leaf(tree: Tree) -> bool:
    return tree[0] in (STATE, DRAW, PAIR)


@cache
def _leaves(tree: Tree, kind: int) -> tuple[int, ...]:
    """Labels of the leaves of one kind."""
    if tree[0] == kind:
        return tree[1:]
    return () if _is_leaf(tree) else tuple(label for t in tree[1:] for label in _leaves(t, kind))


def _relabel(tree: Tree, kind: int, labels: Iterator[Tree]) -> Tree:
    """The leaves of one kind replaced in order."""
    if tree[0] == kind:
        return next(labels)
    return tree if _is_leaf(tree) else (tree[0], *(_relabel(t, kind, labels) for t in tree[1:]))


def _sorted(tree: Tree) -> Tree:
    return tree if _is_leaf(tree) else _node(tree[0], (_sorted(t) for t in tree[1:]))


@cache
def _canonical(tree: Tree) -> Tree:
    """Pairs have no names: the least of all trees that differ in them only."""
    labels = _leaves(tree, PAIR)
    names = sorted(set(labels))
    options = []
    for order in permutations(range(len(names))):
        name = dict(zip(names, order, strict=True))
        options.append(_sorted(_relabel(tree, PAIR, iter([(PAIR, name[label]) for label in labels]))))
    return min(options)


@cache
def _expected(tree: Tree) -> tuple[tuple[Tree, int], ...]:
    """Expectation over all draws: the sum over all pairings of equal ones."""
    labels = _leaves(tree, DRAW)
    first = len(set(_leaves(tree, PAIR)))
    found: Counter[Tree] = Counter()
    for pairing in _pairings(labels):
        names = {i: first + n for n, two in enumerate(pairing) for i in two}
        found[_canonical(_relabel(tree, DRAW, iter([(PAIR, names[i]) for i in range(len(labels))])))] += 1
    return tuple(found.items())


def _pairings(labels: Sequence[int], left: tuple[int, ...] | None = None) -> Iterator[tuple[tuple[int, int], ...]]:
    left = tuple(range(len(labels))) if left is None else left
    if not left:
        yield ()
    for j in left[1:]:
        if labels[j] == labels[left[0]]:
            rest = tuple(i for i in left[1:] if i != j)
            yield from (((left[0], j), *more) for more in _pairings(labels, rest))


@cache
def derived(tree: Tree, along: Tree) -> tuple[tuple[Tree, int], ...]:
    """The derivative of a tree, as a function of ``y``, along another: ``along`` grows on every node in turn."""
    if tree == Y:
        return ((along, 1),)
    if _is_leaf(tree):
        return ()
    found: Counter[Tree] = Counter({_node(tree[0], (*tree[1:], along)): 1})
    for i, child in enumerate(tree[1:], 1):
        for t, m in derived(child, along):
            found[_node(tree[0], (*tree[1:i], t, *tree[i + 1 :]))] += m
    return tuple(found.items())


@cache
def laplacian(tree: Tree) -> tuple[tuple[Tree, int], ...]:
    pair: Tree = (PAIR, len(set(_leaves(tree, PAIR))))
    found: Counter[Tree] = Counter()
    for once, m in derived(tree, pair):
        for twice, n in derived(once, pair):
            found[_canonical(twice)] += m * n
    return tuple(found.items())


def show(tree: Tree) -> str:
    """A tree as a derivative of ``f``: ``f_yy(z, D_y(z))``, with ``z``, ``w``, ... for pairs."""
    if tree[0] == STATE:
        return "y"
    if tree[0] == PAIR:
        return "zwvpq"[tree[1]]
    name, k = ("f", 0) if tree[0] == ROOT else ("D", tree[0])
    children = tree[1:]
    head = name + ("_" + "c" * k + "y" * len(children) if k or children else "")
    return head + (f"({', '.join(show(t) for t in children)})" if children else "")


# --- expansions ---


def add(into: dict[Tree, Series], tree: Tree, term: Series) -> None:
    into[tree] = into[tree] + term if tree in into else term


def _times(s: Series, n: int) -> Series:
    # integers as they are: as fractions they would be converted once per coefficient
    return s if n == 1 else s.map(lambda c: c * n)


def _over(s: Series, n: int) -> Series:
    return s if n == 1 else s.map(lambda c: c / n)


@cache
def _parity(tree: Tree) -> int:
    """For every draw whether it occurs an odd number of times, as bits."""
    bits = 0
    for label in _leaves(tree, DRAW):
        bits ^= 1 << label
    return bits


def displacement(y: Expansion, order: int) -> Displacement:
    """``y - y_0`` as (tree, coefficient, valuation, parity of every draw as bits), the lightest first."""
    found = []
    for tree, s in y.items():
        s = (s - 1 if tree == Y else s).cut(order)
        v = s.valuation
        if v < s.end:
            if v < 1:
                raise Inconsistent("an evaluation sees a state that does not tend to x_s as h tends to 0")
            found.append((tree, s, v, _parity(tree)))
    return sorted(found, key=lambda term: term[2])


def _products(
    delta: Displacement, start: Series | None, used: int, order: int, even: bool, parity: int = 0
) -> list[tuple[tuple[Tree, ...], Series | None, int]]:
    """Every multiset of trees of ``delta`` with its weight over factorials, times ``start``, up to ``O(k^order)``.

    Args:
        start: None for one.
        used: valuation of ``start``.
        even: only those in which, with what ``start`` stands for, every draw occurs an even number of times.
        parity: of what ``start`` stands for.
    """
    lightest = delta[0][2] if delta else order
    found: list[tuple[tuple[Tree, ...], Series | None, int]] = []

    # a function that calls itself would be a cycle
    left: list[tuple[int, int, tuple[Tree, ...], Series | None, int, int]] = [(0, 0, (), start, used, parity)]
    while left:
        i, again, chosen, weight, used, bits = left.pop()
        if not (even and bits):
            found.append((chosen, weight, used))
        for j in range(i, len(delta)):
            tree, s, v, own = delta[j]
            total = used + v
            if total >= order:
                break
            # no more fits beside it, and an odd draw would be left over
            if even and bits != own and total + lightest >= order:
                continue
            count = again + 1 if j == i else 1
            term = s.cut(order - used)
            if weight is not None:
                term = _over(weight.cut(order - v) * term, count)
            left.append((j, count, (*chosen, tree), term, total, bits ^ own))
    return found


def taylor(head: int, delta: Displacement, theta: Series | None, order: int, even: bool = False) -> dict[Tree, Series]:
    """``G(y_0 + delta, theta)`` or ``f(y_0 + delta)`` by Taylor's theorem, up to ``O(k^order)``."""
    found: dict[Tree, Series] = {}
    one = Series(0, (1, *[0] * (order - 1)))
    moves = theta is not None and theta.valuation < theta.end
    for chosen, weight, used in _products(delta, None, 0, order, even):
        weight = weight or one
        add(found, _node(head, chosen), weight)
        k = 1
        while moves and theta is not None and used + k * theta.valuation < order:
            weight = _over(weight * theta, k)
            add(found, _node(head + k, chosen), weight)
            k += 1
    return {t: s.cut(order) for t, s in found.items()}


def moved(tree: Tree, delta: Displacement, order: int, even: bool = False) -> dict[Tree, Series]:
    """A tree of tensors at ``y_0 + delta`` as trees of tensors at ``y_0``.

    Args:
        even: only those in which every draw occurs an even number of times: the others have no expectation.
    """
    one = Series(0, (1, *[0] * (order - 1)))
    if tree == Y:
        return {Y: one} | {t: s + 1 if t == Y else s for t, s, _, _ in delta}
    if _is_leaf(tree):
        return {tree: one}
    parts: list[tuple[tuple[Tree, ...], Series | None, int]] = [((), None, 0)]
    for child in tree[1:]:
        grown = [(t, s, s.valuation) for t, s in moved(child, delta, order).items()]
        parts = [
            ((*c, t), s if w is None else w.cut(order - u) * s.cut(order - v), v + u)
            for c, w, v in parts
            for t, s, u in grown
            if v + u < order
        ]
    found: dict[Tree, Series] = {}
    for children, weight, used in parts:
        parity = 0
        for child in children:
            parity ^= _parity(child)
        for chosen, term, _ in _products(delta, weight, used, order, even, parity):
            add(found, _node(tree[0], (*children, *chosen)), term or one)
    return {t: s.cut(order) for t, s in found.items()}


def expectation(value: Expansion) -> dict[Tree, Series]:
    found: dict[Tree, Series] = {}
    for tree, s in value.items():
        for paired, count in _expected(tree):
            add(found, paired, _times(s, count))
    return found


# --- the solution ---


@dataclass(frozen=True)
class _Poly:
    """A polynomial in the fraction ``xi`` of a step, with series in ``k`` for coefficients."""

    c: tuple[Series, ...]

    @staticmethod
    def along(coefficients: Sequence[Any], start: Series, step: Series, order: int) -> _Poly:
        """``sum_n a_n (start + step xi)^n`` for a step of ``O(k^2)``."""
        powers = range((order + 1) // 2)
        start, step = start.cut(order), step.cut(order)
        inner = ([math.comb(n, m) * coefficients[n] for n in powers[m:]] for m in powers)
        return _Poly(tuple(compose(c, start) * step**m for m, c in zip(powers, inner, strict=True))).cut(order)

    def __mul__(self, other: _Poly) -> _Poly:
        out: list[Any] = [0] * (len(self.c) + len(other.c) - 1)
        for i, a in enumerate(self.c):
            for j, b in enumerate(other.c):
                out[i + j] = a * b + out[i + j]
        return _Poly(tuple(out))

    def __add__(self, other: _Poly) -> _Poly:
        longer, shorter = sorted((self.c, other.c), key=len, reverse=True)
        return _Poly((*(a + b for a, b in zip(longer, shorter, strict=False)), *longer[len(shorter) :]))

    def scaled(self, s: Any) -> _Poly:
        """Times a series or number."""
        return _Poly(tuple(a * s for a in self.c))

    def plus(self, s: Any) -> _Poly:
        """Plus a series or number."""
        return _Poly((self.c[0] + s, *self.c[1:]))

    def cut(self, order: int) -> _Poly:
        """Without what is beyond ``O(k^order)``."""
        c = [a.cut(order) for a in self.c]
        while len(c) > 1 and c[-1].valuation >= c[-1].end:
            c.pop()
        return _Poly(tuple(c))

    def rest(self) -> _Poly:
        """``int_xi^1``."""
        whole = [_over(a, i + 1) for i, a in enumerate(self.c)]
        return _Poly((sum(whole[1:], whole[0]), *(-a for a in whole)))

    @property
    def valuation(self) -> int:
        """The lowest power of ``k``."""
        return min(a.valuation for a in self.c)


@dataclass(frozen=True)
class Generator:
    """The generator of a reverse SDE along a step, per unit of the step.

    With noise ``kappa`` per log-SNR every SDE with the right marginals is, in ``y = (x / sigma) e^{rate lam}`` for any
    number ``rate``, and with ``G(y, c) = D(x, c)``,

        dy = -(kappa - rate) y dlam + M (alpha / sigma) (1 + kappa) G dlam + M sqrt(2 kappa) dW,   M = e^{rate lam}.

    Attributes:
        pull, push, spread: coefficients of ``y . grad``, of ``G_c^j . grad``, ``j = 0, 1, ...``, and of the Laplacian.
    """

    pull: _Poly
    push: tuple[_Poly, ...]
    spread: _Poly

    @staticmethod
    def of(process: GenericProcess, rate: Any, s: Level, t: Level, kappa: tuple[Any, Any], order: int) -> Generator:
        """With ``kappa = (mean, slope)`` for ``mean + slope ((lam - lam_s) / h - 1/2)``."""
        step = t.t - s.t
        clocked = process.level(h_series(order // 2 + 2))
        lams, ratio = clocked.lam, clocked.alpha / clocked.sigma
        lift = (lams * rate).exp()

        def along(f: Series) -> _Poly:
            return _Poly.along(f.c, s.t, step, order)

        passed = along(lams).plus(-s.lam).scaled(1 / (t.lam - s.lam)).plus(Fraction(-1, 2))
        noise = passed.scaled(kappa[1]).plus(kappa[0])
        speed = along(Series(0, tuple(n * a for n, a in enumerate(lams.c))[1:])).scaled(step)
        push = (along(lift * ratio) * noise.plus(1) * speed).cut(order)
        clock = _Poly((s.t, step))
        pushes = [push]
        while pushes[-1].valuation + 2 < order:
            pushes.append(_Poly(tuple(_over(a, len(pushes)) for a in (pushes[-1] * clock).c)).cut(order))
        return Generator(
            (noise.plus(-rate) * speed).scaled(-1).cut(order),
            tuple(pushes),
            (noise * along(lift * lift) * speed).cut(order),
        )

    def act(self, value: dict[Tree, _Poly], order: int) -> dict[Tree, _Poly]:
        """On a function of ``y``."""
        found: dict[Tree, _Poly] = {}
        terms = [(self.pull, lambda t: derived(t, Y)), (self.spread, laplacian)]
        terms += [(c, lambda t, j=j: derived(t, (j,))) for j, c in enumerate(self.push)]
        for c, grow in terms:
            low = c.valuation
            for tree, p in value.items():
                if low + p.valuation < order:
                    both = (c * p).cut(order)
                    for t, m in grow(tree):
                        term = _Poly(tuple(_times(a, m) for a in both.c))
                        found[t] = found[t] + term if t in found else term
        return found

    def solve(self, order: int, of: Mapping[Tree, Series] | None = None) -> dict[Tree, Series]:
        """``E f(X)`` at the end of the step as trees at its start: ``sum_j int L(xi_j) ... L(xi_1) f``.

        Args:
            of: trees, instead of ``f``.
        """
        total = {F: (self.push[0].c[0] * 0 + 1).cut(order)} if of is None else dict(of)
        value = {t: _Poly((s,)) for t, s in total.items()}
        for _ in range((order - 1) // 2):
            value = {t: p.rest().cut(order) for t, p in self.act(value, order).items()}
            for t, p in value.items():
                add(total, t, p.c[0])
        return {t: s for t, s in total.items() if s.valuation < s.end}
