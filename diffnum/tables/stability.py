"""Stability of tables: the rational function of a Runge-Kutta table and the root locus of a multistep method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..series import rational
from .entries import shown
from .numbers import middle, real_roots, vanishes
from .records import Multistep, RungeKutta

__all__ = ["MultistepStability", "Stability", "multistep_stability", "root_condition", "stability"]


@dataclass(frozen=True)
class Stability:
    """``R(z) = P(z) / Q(z)``, by which a step of ``y' = lambda y`` multiplies, ``z = h lambda`` (Hairer & Wanner 1996,
    IV.2).

    Attributes:
        numerator: coefficients of ``P``, lowest first; ``denominator`` of ``Q``, without common factor removed.
        real: largest ``L`` with ``|R| <= 1`` on ``[-L, 0]``; ``inf`` for the whole half line.
        imaginary: largest ``L`` with ``|R| <= 1`` on ``[-iL, iL]``.
        a_stable: ``|R| <= 1`` in the left half plane. ``l_stable``: and zero at infinity.
    """

    numerator: tuple[Any, ...]
    denominator: tuple[Any, ...]
    real: float
    imaginary: float
    a_stable: bool
    l_stable: bool

    def __str__(self) -> str:
        top, below = _written(self.numerator), _written(self.denominator)
        return top if below == "1" else f"({top}) / ({below})"


def stability(table: RungeKutta) -> Stability:
    """Of a Runge-Kutta table: ``P = det(I - z A + z 1 b^T)``, ``Q = det(I - z A)``."""
    shifted = [[a - w for a, w in zip(row, table.b, strict=True)] for row in table.A]
    p, q = _stripped(_determinant(shifted)), _stripped(_determinant(table.A))
    real = _first_excess(_excess(p, q, real=True))
    imaginary = math.sqrt(_first_excess(_excess(p, q, real=False)))
    outside = len(q) == 1 or _poles_to_the_right(q)
    a_stable = len(q) > 1 and outside and math.isinf(imaginary)
    return Stability(tuple(p), tuple(q), real, imaginary, a_stable, a_stable and len(p) < len(q))


def _determinant(matrix: Sequence[Sequence[Any]]) -> list[Any]:
    """Coefficients of ``det(I - z M)``, by Faddeev and LeVerrier."""
    size = len(matrix)
    out, power = [rational(1)], [[rational(0)] * size for _ in range(size)]
    for k in range(1, size + 1):
        shifted = [[x + (out[-1] if i == j else 0) for j, x in enumerate(row)] for i, row in enumerate(power)]
        columns = list(zip(*shifted, strict=True))
        power = [[_dot(row, column) for column in columns] for row in matrix]
        out.append(-sum((power[i][i] for i in range(size)), rational(0)) * rational(1, k))
    return out


def _dot(row: Sequence[Any], column: Sequence[Any]) -> Any:
    return sum((a * x for a, x in zip(row, column, strict=True)), rational(0))


def _stripped(c: Sequence[Any]) -> list[Any]:
    out = [rational(0) if vanishes(x) else x for x in c]
    while len(out) > 1 and out[-1] == 0:
        out.pop()
    return out


def _excess(p: Sequence[Any], q: Sequence[Any], real: bool) -> list[Any]:
    """``|P|^2 - |Q|^2`` in ``x`` at ``z = -x``, or in ``y^2`` at ``z = i y``."""
    if real:
        flipped = [[-c if k % 2 else c for k, c in enumerate(side)] for side in (p, q)]
        return _stripped(_minus(*(_product(side, side) for side in flipped)))
    return _stripped(_minus(*(_norm(side) for side in (p, q))))


def _norm(c: Sequence[Any]) -> list[Any]:
    """``|C(i y)|^2`` in powers of ``y^2``."""
    even = [x if k % 2 == 0 else -x for k, x in enumerate(c[::2])]
    odd = [x if k % 2 == 0 else -x for k, x in enumerate(c[1::2])]
    return _minus(_product(even, even), [rational(0), *(-x for x in _product(odd, odd))])


def _product(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    if not a or not b:
        return [rational(0)]
    out: list[Any] = [rational(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = out[i + j] + x * y
    return out


def _minus(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    size = max(len(a), len(b))
    one, other = ([*x, *[rational(0)] * (size - len(x))] for x in (a, b))
    return [x - y for x, y in zip(one, other, strict=True)]


def _first_excess(c: Sequence[Any]) -> float:
    """Where a polynomial in ``x > 0`` first becomes positive; ``inf`` where it never does."""
    c = [middle(x) for x in c]

    def positive(x: float) -> bool:
        at, total = rational(x), rational(0)
        for coefficient in reversed(c):
            total = total * at + coefficient
        return total > 0

    roots = [0.0, *(x for x in real_roots(c) if x > 0)]
    for low, high in pairwise([*roots, 2 * roots[-1] + 1]):
        if high > low * (1 + 1e-12) and positive((low + high) / 2):
            return low
    return math.inf


def _poles_to_the_right(q: Sequence[Any]) -> bool:
    return all(root.real > 0 for root, _ in _roots(q))


def _roots(c: Sequence[Any]) -> list[tuple[complex, int]]:
    """Roots of a polynomial, lowest coefficient first, with how often they are roots."""
    import sympy

    x = sympy.Symbol("x")
    parts = [sympy.Rational(int(a.numerator), int(a.denominator)) for a in (middle(v) for v in reversed(c))]
    found = []
    for factor, times in sympy.Poly(parts, x).sqf_list()[1]:
        found += [(complex(root), times) for root in factor.nroots(n=30, maxsteps=400)]
    return found


def _written(c: Sequence[Any]) -> str:
    parts = []
    for k, x in enumerate(c):
        if middle(x) != 0:
            z = "" if k == 0 else "z" if k == 1 else f"z^{k}"
            parts.append(shown(x) if k == 0 else z if shown(x) == "1" else f"{shown(x)} {z}")
    return " + ".join(parts).replace("+ -", "- ") or "0"


# --- multistep ---


@dataclass(frozen=True)
class MultistepStability:
    """Where all roots of ``rho - z sigma`` obey the root condition (Hairer & Wanner 1996, V.1).

    Attributes:
        roots: of ``rho(x) = sum alpha_j x^j``, with multiplicities.
        zero_stable: none of them lies outside the unit circle, and those on it are simple.
        real, imaginary, a_stable: as in :class:`Stability`; the intervals to about 1e-10, searched up to 1e4.
    """

    roots: tuple[tuple[complex, int], ...]
    zero_stable: bool
    real: float
    imaginary: float
    a_stable: bool


def root_condition(alpha: Sequence[Any]) -> tuple[tuple[tuple[complex, int], ...], bool]:
    """Roots of ``rho`` with multiplicities, and whether they obey the root condition."""
    found = tuple(_roots(alpha))
    bound = 1e-9 if any(not isinstance(a, type(rational(0))) for a in alpha) else 1e-14
    return found, all(abs(r) < 1 + bound and (times == 1 or abs(r) < 1 - bound) for r, times in found)


def multistep_stability(table: Multistep) -> MultistepStability:
    """Of a multistep method."""
    import numpy as np

    found, stable = root_condition(table.alpha)
    rho, sigma = (np.array([float(middle(x)) for x in side][::-1]) for side in (table.alpha, table.beta))

    def bounded(z: complex) -> bool:
        at = np.roots(rho - z * sigma)
        if len(at) == 0:
            return True
        largest = at[np.abs(at).argmax()]
        # rounding moves a cluster of m roots by the m-th root of an ulp
        cluster = int((np.abs(at - largest) < 1e-4).sum())
        return abs(largest) <= 1 + (64 * np.finfo(float).eps) ** (1 / cluster)

    def interval(direction: complex) -> float:
        if not stable:
            return 0.0
        lengths = [*np.geomspace(1e-2, 4, 400), *np.geomspace(4.02, 1e4, 200)]
        low = 0.0
        for high in lengths:
            if not bounded(direction * high):
                break
            low = high
        else:
            return math.inf
        if not low:
            return 0.0
        for _ in range(60):
            half = (low + high) / 2
            low, high = (half, high) if bounded(direction * half) else (low, half)
        return float(low)

    circle = np.exp(1j * np.linspace(0, np.pi, 1001)[1:])
    below = np.polyval(sigma, circle)
    locus = np.polyval(rho, circle)[below != 0] / below[below != 0]
    implicit = not table.explicit
    a_stable = stable and implicit and bounded(-1.0) and bool((locus.real > -1e-9).all()) and bounded(-1e6)
    return MultistepStability(found, stable, interval(-1.0), interval(1j), a_stable)
