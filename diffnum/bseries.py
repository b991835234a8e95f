"""B-series: states and evaluations as expansions over rooted trees, with truncated series in ``h`` for coefficients.

A tree is an elementary differential of :mod:`.order`: ``("u",)`` is the state ``u0`` itself, ``(k, t1, ..., tm)`` the
derivative of ``G``, ``k`` times in the clock and along ``t1, ..., tm`` in the state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import add, mul
from typing import Any

from .generic import GenericProcess
from .plan import Level
from .series import Series, cauchy, compose, h_series, rational

__all__ = ["GUARD", "STATE", "Expansion", "Inconsistent", "Tree", "combine", "exact_field", "exact_state", "field"]

# powers of h that a formula may lose, such as phi_3 written with divisions by h
GUARD = 4
STATE: tuple[Any, ...] = ("u",)
Tree = tuple[Any, ...]
Expansion = Mapping[Tree, Series]
Raw = tuple[int, list[Any]]
_ONE = Series(0, (rational(1),))


def _raw(s: Series, order: int) -> Raw:
    """``(valuation, coefficients)`` of a series up to ``O(h^order)``."""
    v = min(s.valuation, order)
    return v, list(s.c[v - s.v : order - s.v])


def _times(a: Raw, b: Raw, order: int) -> Raw:
    """Product, known as far as its factors are and at most up to ``O(h^order)``."""
    v = a[0] + b[0]
    return v, cauchy(a[1], b[1], order - v)


def _times_power(a: Raw, power: Raw, order: int, k: int) -> Raw:
    """:func:`_times` of a power of the clock: the first is one, and on the levels of a grid all are monomials."""
    (v, x), (w, y) = a, power
    if any(y[1:]):
        return _times(a, power, order)
    n = min(len(x), len(y), order - v - w)
    return v + w, x[:n] if k == 0 else [y[0] * c for c in x[:n]]


def field(u: Expansion, theta: Series, order: int) -> dict[Tree, Series]:
    """``G(u, c0 + theta)`` by Taylor's theorem, up to ``O(h^order)``."""
    delta = {t: s for t, s in u.items() if s.valuation < min(order, s.end)}
    if STATE in u:
        bump = u[STATE] - 1
        delta = {t: s for t, s in delta.items() if t != STATE}
        if bump.valuation < min(order, bump.end):
            delta[STATE] = bump
    if any(s.valuation < 1 for s in delta.values()):
        raise Inconsistent("an evaluation sees a state that does not tend to x_s as h tends to 0")
    keys = sorted(delta, key=repr)
    moved = [_raw(delta[t], order) for t in keys]
    clock = _powers(theta, order)
    out: dict[Tree, Series] = {}

    fitting = [[i for i, (v, _) in enumerate(moved) if v < room] for room in range(order + 1)]
    one: Raw = (0, [rational(1)] + [rational(0)] * (order - 1))
    # one tree per multiset of children and number of clock leaves; a function that calls itself would be a cycle
    left: list[tuple[int, tuple[Tree, ...], int, Raw]] = [(0, (), 0, one)]
    while left:
        first, children, repeated, weight = left.pop()
        room = order - weight[0]
        for k, power in enumerate(clock):
            if power[0] >= room:
                break
            v, c = _times_power(weight, power, order, k)
            out[(k, *children)] = Series(v, tuple(c))
        for i in fitting[room]:
            if i >= first:
                times = repeated + 1 if i == first and children and children[-1] == keys[i] else 1
                v, c = _times(weight, moved[i], order) if children else moved[i]
                left.append((i, (*children, keys[i]), times, (v, c if times == 1 else [a / times for a in c])))
    return out


def _powers(theta: Series, order: int) -> list[Raw]:
    """``theta^k / k!`` while they are not beyond the order."""
    found: list[Raw] = [(0, [rational(1)] + [rational(0)] * (order - 1))]
    step = _raw(theta, order)
    while step[1] and found[-1][0] + step[0] < order:
        k = len(found)
        v, c = _times(found[-1], step, order)
        found.append((v, [a / k for a in c]))
    return found


class Inconsistent(ValueError):
    """The plan is not a consistent discretisation: its order is zero."""


@lru_cache(maxsize=64)
def _exact_flow(process: GenericProcess, order: int) -> tuple[dict[Tree, Raw], dict[Tree, Raw]]:
    """Coefficients in ``theta`` of the exact solution ``u(theta)`` and of ``G`` along it, by Picard iteration."""
    theta = h_series(order)
    a, s = compose(process.alphas, theta), compose(process.sigmas, theta)
    da, ds = process.rates(Level(theta, a, s, theta, v=(a, s), pure_noise=False, clean=False))
    w = (da - a * ds / s) / s
    u: dict[Tree, Series] = {STATE: theta._lift(1)}
    for n in range(1, order):
        slope = field(u, theta, n)
        u = {STATE: theta._lift(1)} | {t: _integral(w * g, order) for t, g in slope.items()}
    along = field(u, theta, order)
    return _coefficients(u, order), _coefficients(along, order)


def _coefficients(expansion: Expansion, order: int) -> dict[Tree, Raw]:
    """From the first that is not zero on, and its power."""
    found: dict[Tree, Raw] = {}
    for t, s in expansion.items():
        c = [s[i] if i < s.end else rational(0) for i in range(order)]
        v = next((k for k, a in enumerate(c) if a), order)
        found[t] = v, c[v:]
    return found


def _integral(g: Series, order: int) -> Series:
    # Picard needs the known part only; what lies beyond is filled by later sweeps
    known = [rational(0)] * order
    for i in range(max(g.v, 0), min(g.end, order - 1)):
        known[i + 1] = g[i] / (i + 1)
    return Series(0, tuple(known))


def _at(coefficients: Mapping[Tree, Raw], theta: Series, order: int) -> dict[Tree, Series]:
    """Power series in the displacement, at ``theta``."""
    step = _raw(theta.cut(order), order)
    if step[0] == 1 < order == len(step[1]) + 1 and not any(step[1][1:]):
        return _scaled(coefficients, step[1][0], order)
    powers: list[Raw] = [(0, [rational(1)] + [rational(0)] * (order - 1))]
    while step[1] and powers[-1][0] + step[0] < order:
        powers.append(_times(powers[-1], step, order))
    rows = [[rational(0)] * v + c for v, c in powers]
    end = min(len(row) for row in rows)
    columns = [[row[i] for row in rows] for i in range(end)]
    out: dict[Tree, Series] = {}
    for t, (v, c) in coefficients.items():
        out[t] = Series(v, tuple(sum(map(mul, c[: i + 1 - v], columns[i][v:]), rational(0)) for i in range(v, end)))
    return out


def _scaled(coefficients: Mapping[Tree, Raw], a: Any, order: int) -> dict[Tree, Series]:
    """:func:`_at` a displacement ``a h``."""
    # not powers: what has no ** is a number too
    powers = list(accumulate([a] * (order - 1), mul, initial=rational(1)))
    from_on = [powers[v:] for v in range(order + 1)]
    return {t: Series(v, tuple(map(mul, c, from_on[v]))) for t, (v, c) in coefficients.items()}


@lru_cache(maxsize=512)
def exact_state(process: GenericProcess, level: Level, order: int) -> Expansion:
    """The exact solution at a level; levels of the random grids are those of many samplers."""
    return combine([(level.sigma, _at(_exact_flow(process, order)[0], level.t, order))], order)


@lru_cache(maxsize=512)
def exact_field(process: GenericProcess, level: Level, order: int) -> Expansion:
    """``G`` along the exact solution at a level."""
    return _at(_exact_flow(process, order)[1], level.t, order)


def combine(terms: Sequence[tuple[Any, Expansion]], order: int) -> dict[Tree, Series]:
    """A linear combination up to ``O(h^order)``, known as far as its terms are; trees that begin later are left out."""
    sums: dict[Tree, Raw] = {}
    for c, value in terms:
        low, x = _raw(c, order + GUARD) if isinstance(c, Series) else (0, None)
        factor = _ONE._lift(c)[0] if x is None else None
        for t, s in value.items():
            v, y = low + s.v, s.c
            if y and not y[0]:
                skip = s.valuation - s.v
                v, y = v + skip, y[skip:]
            n = order - v
            # a state is looked for, and may be nothing
            if n <= 0 and t != STATE:
                continue
            if x is None:
                product = (v, [factor * b for b in y[: max(n, 0)]] if factor != 1 else list(y[: max(n, 0)]))
            elif n == 1 and x and y:
                product = (v, [x[0] * y[0]])
            else:
                product = (v, cauchy(x, y, n))
            sums[t] = _sum(sums[t], product) if t in sums else product
    return {t: Series(v, tuple(c)) for t, (v, c) in sums.items()}


def _sum(a: Raw, b: Raw) -> Raw:
    (v, x), (w, y) = (a, b) if a[0] <= b[0] else (b, a)
    shift = w - v
    return v, [*x[:shift], *map(add, x[shift:], y)] if shift else list(map(add, x, y))
