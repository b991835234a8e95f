"""Numbers that know how well they are known, and polynomials in one unknown entry.

An entry that is given as a fraction is exact; a decimal of twelve digits or more, a float and a root are balls
``mid +- rad``, and a residual counts as zero where its ball holds zero: where the rounding of the entries explains it.
A :class:`Poly` carries one entry as an unknown through the same formulas, so that a condition becomes an equation for
that entry.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from ..series import rational

__all__ = [
    "Ball",
    "Poly",
    "common_divisor",
    "convincing",
    "middle",
    "ratio",
    "rational_roots",
    "real_roots",
    "simplest",
    "vanishes",
]

_UP = 1 + 1e-9
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Ball:
    """A real number in ``[mid - rad, mid + rad]``; ``+ - * /`` keep that true.

    Attributes:
        mid: rational.
        rad: float.
    """

    mid: Any
    rad: float

    @cached_property
    def size(self) -> float:
        """``|mid|``, rounded up."""
        return abs(float(self.mid)) * _UP + _TINY

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Poly):
            return NotImplemented
        m, r = _parts(other)
        return Ball(self.mid + m, (self.rad + r) * _UP)

    def __neg__(self) -> Ball:
        return Ball(-self.mid, self.rad)

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Poly) else self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Poly):
            return NotImplemented
        if not isinstance(other, Ball):
            return Ball(self.mid * other, self.rad * abs(float(other)) * _UP)
        rad = self.size * other.rad + other.size * self.rad + self.rad * other.rad
        return Ball(self.mid * other.mid, rad * _UP)

    def __truediv__(self, other: Any) -> Any:
        return self * _inverse(other)

    def __rtruediv__(self, other: Any) -> Any:
        return _inverse(self) * other

    def __pow__(self, n: int) -> Any:
        return math.prod([self] * n, start=rational(1)) if n >= 0 else _inverse(self**-n)

    __radd__ = __add__
    __rmul__ = __mul__


def _parts(x: Any) -> tuple[Any, float]:
    return (x.mid, x.rad) if isinstance(x, Ball) else (rational(x), 0.0)


def _inverse(x: Any) -> Any:
    if not isinstance(x, Ball):
        return 1 / rational(x)
    least = abs(float(x.mid)) / _UP - x.rad
    if least <= 0:
        raise ZeroDivisionError(f"{float(x.mid)!r} is zero to its {x.rad:.0e}: nothing can be divided by it")
    return Ball(1 / x.mid, x.rad / (least * least) * _UP)


def middle(x: Any) -> Any:
    """The rational in the middle."""
    return x.mid if isinstance(x, Ball) else x


def vanishes(x: Any) -> bool:
    """Whether a number is zero, as far as it is known; a polynomial, for every value of its unknown."""
    if isinstance(x, Poly):
        return all(vanishes(c) for c in x.c)
    return abs(float(x.mid)) <= x.rad if isinstance(x, Ball) else x == 0


def simplest(low: Any, high: Any) -> Fraction:
    """The fraction of smallest denominator in an interval (Stern and Brocot)."""
    low, high = Fraction(low), Fraction(high)
    if low <= 0 <= high:
        return Fraction(0)
    if high < 0:
        return -simplest(-high, -low)
    floor = math.ceil(low)
    if floor <= high:
        return Fraction(floor)
    base = floor - 1
    return base + 1 / simplest(1 / (high - base), 1 / (low - base))


def ratio(x: Any) -> Fraction:
    """The simplest fraction that a number may be."""
    if not isinstance(x, Ball):
        return Fraction(int(x.numerator), int(x.denominator))
    mid = Fraction(int(x.mid.numerator), int(x.mid.denominator))
    return simplest(mid - Fraction(x.rad), mid + Fraction(x.rad))


def convincing(x: Any) -> bool:
    """Whether the simplest fraction that a ball holds is hardly there by chance: one of denominator ``q`` is, once in
    ``1 / (q^2 rad)``."""
    return ratio(x).denominator ** 2 * x.rad < 1e-3


@dataclass(frozen=True, eq=False)
class Poly:
    """``sum_k c[k] x^k``; ``+ - *`` with its kind and with numbers."""

    c: tuple[Any, ...]

    @staticmethod
    def unknown() -> Poly:
        """``x``."""
        return Poly((rational(0), rational(1)))

    @property
    def degree(self) -> int:
        """Of the highest coefficient that does not vanish; -1 for zero."""
        return max((k for k, c in enumerate(self.c) if not vanishes(c)), default=-1)

    def __add__(self, other: Any) -> Poly:
        a, b = self.c, _coefficients(other)
        if len(a) < len(b):
            a, b = b, a
        return Poly((*(x + y for x, y in zip(a, b, strict=False)), *a[len(b) :]))

    def __neg__(self) -> Poly:
        return Poly(tuple(-x for x in self.c))

    def __sub__(self, other: Any) -> Poly:
        return self + -other

    def __rsub__(self, other: Any) -> Poly:
        return -self + other

    def __mul__(self, other: Any) -> Poly:
        b = _coefficients(other)
        if len(b) == 1:
            return Poly(tuple(x * b[0] for x in self.c))
        out: list[Any] = [rational(0)] * (len(self.c) + len(b) - 1)
        for i, x in enumerate(self.c):
            for j, y in enumerate(b):
                out[i + j] = out[i + j] + x * y
        return Poly(tuple(out))

    def __truediv__(self, other: Any) -> Poly:
        return Poly(tuple(x / other for x in self.c))

    def __pow__(self, n: int) -> Any:
        return math.prod([self] * n, start=rational(1))

    def __call__(self, x: Any) -> Any:
        total: Any = rational(0)
        for c in reversed(self.c):
            total = total * x + c
        return total

    __radd__ = __add__
    __rmul__ = __mul__


def _coefficients(x: Any) -> tuple[Any, ...]:
    return x.c if isinstance(x, Poly) else (x,)


def common_divisor(one: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    """Of two polynomials with rational coefficients, lowest first, made monic; empty for two zeros."""
    a, b = _stripped(one), _stripped(other)
    while b:
        a, b = b, _remainder(a, b)
    return tuple(x / a[-1] for x in a)


def _stripped(c: Iterable[Any]) -> list[Any]:
    out = list(c)
    while out and out[-1] == 0:
        out.pop()
    return out


def _remainder(a: list[Any], b: list[Any]) -> list[Any]:
    a = list(a)
    while len(a) >= len(b):
        factor, shift = a[-1] / b[-1], len(a) - len(b)
        a = _stripped([x - factor * b[i - shift] if i >= shift else x for i, x in enumerate(a[:-1])])
    return a


def rational_roots(c: Sequence[Any]) -> list[Any]:
    """Of a polynomial with rational coefficients, lowest first."""
    c = _stripped(c)
    if len(c) == 2:
        return [-c[0] / c[1]]
    if len(c) < 2:
        return []
    import sympy

    x = sympy.Symbol("x")
    whole = sympy.Poly([sympy.Rational(int(a.numerator), int(a.denominator)) for a in reversed(c)], x)
    return [rational(int(r.p), int(r.q)) for r in whole.ground_roots()]


def real_roots(c: Sequence[Any]) -> list[float]:
    """Of a polynomial with real coefficients, lowest first, in order; a root of even multiplicity may be lost."""
    import mpmath

    c = _stripped(middle(x) for x in c)
    low = next((k for k, x in enumerate(c) if x != 0), 0)
    zero, c = [0.0] * (low > 0), c[low:]
    if len(c) < 2:
        return zero
    with mpmath.workdps(50):
        scale = max(abs(x) for x in c)
        numbers = [mpmath.mpf(int((x / scale).numerator)) / int((x / scale).denominator) for x in reversed(c)]
        found = mpmath.polyroots(numbers, maxsteps=400, extraprec=150)
        real = [float(r.real) for r in found if abs(r.imag) <= mpmath.mpf(10) ** -25 * (1 + abs(r))]
    return sorted([*zero, *real])
