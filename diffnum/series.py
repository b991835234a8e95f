"""Truncated Laurent series in the step size ``h``: the numbers of proofs.

``Series(v, (c0, c1, ...))`` stands for ``c0 h^v + c1 h^(v+1) + ... + O(h^(v+n))``; coefficients are
exact (Fraction), symbolic (sympy) or extended (mpmath). Precision is tracked: a division by ``h``
costs one order and nothing is ever invented. The elementary functions bring the methods that
:mod:`diffnum.num` looks for, so a builder runs on series unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from numbers import Rational
from operator import add, mul
from typing import Any

gmpy2: Any
try:
    import gmpy2
except ImportError:  # pragma: no cover
    gmpy2 = None

__all__ = ["Series", "compose", "h_series", "rational", "revert"]

# as exact as fractions and several times quicker, where it is installed
rational: Any = getattr(gmpy2, "mpq", Fraction)
_KIND = type(rational(0))
# a product of so many terms is quicker in whole numbers
LONG = 7
_FLOATING = type(getattr(gmpy2, "mpfr", float)(0))


def _exact(x: Any) -> Any:
    if type(x) is _KIND:
        return x
    if isinstance(x, float):
        return _meant(x)
    return rational(x) if isinstance(x, (int, Fraction)) else x


@lru_cache(maxsize=1024)
def _meant(x: float) -> Any:
    # a float within rounding of a fraction with a small denominator, such as 1 / 3 or 0.16, means that fraction
    exact = Fraction(x)
    near = exact.limit_denominator(2000)
    return rational(near if abs(near - exact) <= abs(near) * Fraction(1, 2**51) else exact)


def _is_zero(c: Any) -> bool:
    kind = type(c)
    if kind is _KIND:
        return not c
    if kind is _FLOATING:
        return abs(c) < 1e-30
    if kind.__module__.startswith("mpmath"):
        # below 2^-100: a comparison would convert its other side every time
        _, mantissa, exponent, bits = c._mpf_
        return exponent + bits < -99 if mantissa else c == 0
    if isinstance(c, Rational):
        return c == 0
    return bool(c == 0 or c.simplify() == 0)


@dataclass(frozen=True, init=False, slots=True)
class Series:
    """``sum(c[i] h^(v + i)) + O(h^(v + len(c)))``."""

    v: int
    c: tuple[Any, ...]
    _low: int | None = field(compare=False, repr=False)

    # numpy scalars must not take the operation over
    __array_ufunc__ = None

    def __init__(self, v: int, c: tuple[Any, ...]) -> None:
        # a proof makes millions: past the frozen door they take half the time
        _set_v(self, v)
        _set_c(self, c)
        _set_low(self, None)

    @property
    def end(self) -> int:
        """First unknown power of ``h``."""
        return self.v + len(self.c)

    @property
    def exact(self) -> bool:
        """Whether all coefficients are fractions."""
        return all([type(c) is _KIND for c in self.c])

    def __getitem__(self, power: int) -> Any:
        """Coefficient of ``h^power``; IndexError where it is not known."""
        if power >= self.end:
            raise IndexError(f"the coefficient of h^{power} is not known: the series ends at O(h^{self.end})")
        return self.c[power - self.v] if power >= self.v else rational(0)

    @property
    def valuation(self) -> int:
        """Lowest power with a non-zero coefficient; :attr:`end` for a series that is zero as far as known."""
        # asked for several times, and a series does not change
        known = self._low
        if known is None:
            known = self.v
            for c in self.c:
                if c if type(c) is _KIND else not _is_zero(c):
                    break
                known += 1
            _set_low(self, known)
        return known

    def trim(self) -> Series:
        """The same series without leading zeros."""
        v = self.valuation
        return self if v == self.v else Series(v, self.c[v - self.v :])

    def cut(self, end: int) -> Series:
        """The same series, known up to ``O(h^end)`` at most."""
        v, c = self.v, self.c
        if v + len(c) <= end:
            return self
        short = Series(v, c[: end - v]) if v < end else Series(end, ())
        low = self._low
        if low is not None:
            _set_low(short, low if low < end else end)
        return short

    def shift(self, k: int) -> Series:
        """Times ``h^k``."""
        return Series(self.v + k, self.c)

    def map(self, f: Callable[[Any], Any]) -> Series:
        """``f`` on every coefficient."""
        return Series(self.v, tuple([f(c) for c in self.c]))

    def _lift(self, other: Any) -> Series:
        if isinstance(other, Series):
            return other
        constant = (self._kin(other),) + (self._kin(0),) * max(0, self.end - 1)
        return Series(0, constant[: max(self.end, 0)])

    def _kin(self, x: Any) -> Any:
        """An exact number, beside extended numbers one of them: converted here once and not in every operation."""
        x = _exact(x)
        if not self.c or type(x) is not _KIND:
            return x
        kind = type(self.c[0])
        extended = kind is _FLOATING or kind.__module__.startswith("mpmath")
        return self.c[0] * 0 + x if extended else x

    def __add__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return self._plus(other)
        a, b = (self, other) if self.v <= other.v else (other, self)
        gap = b.v - a.v
        if not gap:
            return Series(a.v, tuple(map(add, a.c, b.c)))
        return Series(a.v, (*a.c[:gap], *map(add, a.c[gap:], b.c)))

    def _plus(self, number: Any) -> Series:
        v, c = self.v, self.c
        if v + len(c) <= 0:
            return self
        if v > 0:
            return Series(0, (self._kin(number), *(self._kin(0),) * (v - 1), *c))
        return Series(v, (*c[:-v], c[-v] + self._kin(number), *c[1 - v :]))

    __radd__ = __add__

    def __neg__(self) -> Series:
        return Series(self.v, tuple([-c for c in self.c]))

    def __sub__(self, other: Any) -> Series:
        return self + (-other)

    def __rsub__(self, other: Any) -> Series:
        return -self + other

    def __mul__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            if hasattr(other, "terms"):
                return NotImplemented
            factor = self._kin(other)
            return Series(self.v, tuple([c * factor for c in self.c]))
        v, w = self._low, other._low
        # most are known: the property is asked for the others
        v, w = self.valuation if v is None else v, other.valuation if w is None else w
        return Series(v + w, tuple(cauchy(self.c[v - self.v :], other.c[w - other.v :])))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return self * (1 / _exact(other))
        return self * other.inverse()

    def __rtruediv__(self, other: Any) -> Series:
        return self.inverse() * other

    def inverse(self) -> Series:
        """``1 / self``; ZeroDivisionError where no coefficient is non-zero."""
        a = self.trim()
        if not a.c:
            raise ZeroDivisionError("the series vanishes as far as it is known")
        first, rest = 1 / a.c[0], a.c[1:]
        out: list[Any] = [first]
        for k in range(1, len(a.c)):
            out.append(-sum(map(mul, rest[:k], reversed(out))) * first)
        return Series(-a.v, tuple(out))

    def __pow__(self, n: int) -> Series:
        if n < 0:
            return self.inverse() ** (-n)
        out = self._lift(1)
        for _ in range(n):
            out = out * self
        return out

    def _slope(self) -> list[Any]:
        """``k c_k`` from ``k = 1`` on, for a series that starts at ``h^0`` or later."""
        return [k * self[k] for k in range(1, self.end)]

    def _regular(self, name: str) -> None:
        if self.trim().v < 1:
            raise ValueError(f"{name} of a series needs a zero constant term, got h^{self.trim().v}: use differences")

    def __lt__(self, other: Any) -> bool:
        raise TypeError("a sampler may not branch on numbers: use indices and a level's flags pure_noise and clean")

    __le__ = __gt__ = __ge__ = __lt__

    def exp(self) -> Series:
        """``e^self`` for a series without constant term."""
        self._regular("exp")
        slope, out = self._slope(), [rational(1)]
        for k in range(1, self.end):
            out.append(sum(map(mul, slope[:k], reversed(out))) / k)
        return Series(0, tuple(out))

    def expm1(self) -> Series:
        """``e^self - 1``."""
        return self.exp() - 1

    def log(self) -> Series:
        """``log(self / self[0])``: the constant is dropped, since only differences of logarithms enter."""
        a = self.trim()
        if a.v != 0:
            raise ValueError(f"log of a series that starts at h^{a.v} is not a series: divide first")
        unit = (a / a.c[0]).c
        back, slope, out = unit[:0:-1], list[Any](), [rational(0)]
        for k in range(1, len(unit)):
            # k times the coefficient of h^k
            slope.append(k * unit[k] - sum(map(mul, slope, back[len(back) - k + 1 :])))
            out.append(slope[-1] / k)
        return Series(0, tuple(out))

    def log1p(self) -> Series:
        """``log(1 + self)`` for a series without constant term."""
        self._regular("log1p")
        return (self + 1).log()

    def atan(self) -> Series:
        """Arc tangent of a series without constant term."""
        self._regular("atan")
        slope, by = self._slope(), (self * self + 1).inverse().c
        out = [sum(map(mul, slope[:k], by[k - 1 :: -1])) / k for k in range(1, self.end)]
        return Series(0, (rational(0), *out))

    def tan(self) -> Series:
        """Tangent of a series without constant term, ``tan' = 1 + tan^2``."""
        self._regular("tan")

        slope, out = self._slope(), [rational(0)]
        square = [rational(1)]
        for k in range(1, self.end):
            out.append(sum(map(mul, slope[:k], reversed(square))) / k)
            square.append(sum(map(mul, out, reversed(out))))
        return Series(0, tuple(out))

    def sqrt(self) -> Series:
        """Square root; the leading term needs an even power and, for rationals, a rational root."""
        a = self.trim()
        if a.v % 2:
            raise ValueError(f"the root of a series that starts at h^{a.v} is not a series: use a finer variable")
        root = [_root(a.c[0])]
        for k in range(1, len(a.c)):
            cross = sum((root[i] * root[k - i] for i in range(1, k)), rational(0))
            root.append((a.c[k] - cross) / (2 * root[0]))
        return Series(a.v // 2, tuple(root))

    def phi(self, k: int) -> Series:
        """``phi_k(self)`` by its power series ``sum z^j / (j + k)!``."""
        self._regular("phi")
        return _phis(self, max(k, 3))[k] if self.exact else self._phi(k)

    def _phi(self, k: int) -> Series:
        return compose([rational(1, math.factorial(j + k)) for j in range(max(self.end, 1))], self)


_set_v, _set_c, _set_low = (vars(Series)[name].__set__ for name in ("v", "c", "_low"))


@lru_cache(maxsize=256)
def _phis(z: Series, top: int) -> tuple[Series, ...]:
    """``phi_0(z), ..., phi_top(z)``, of which a formula asks for several: ``phi_k = 1/k! + z phi_{k+1}``."""
    found = [z._phi(top)]
    for k in reversed(range(top)):
        found.append(z * found[-1] + rational(1, math.factorial(k)))
    return tuple(reversed(found))


def cauchy(x: Sequence[Any], y: Sequence[Any], most: int | None = None) -> list[Any]:
    """``sum_i x[i] y[k - i]`` for every ``k`` that both sequences reach, and below ``most``."""
    n = len(x) if len(x) < len(y) else len(y)
    if most is not None and most < n:
        n = most
    if n < 3:
        if n == 1:
            return [x[0] * y[0]]
        return [x[0] * y[0], x[0] * y[1] + x[1] * y[0]] if n == 2 else []
    x, y = x[:n], y[:n]
    # of one power, and in even ones alone
    if not (x[1] or any(x[2:])):
        return [x[0] * c for c in y]
    if not (y[1] or any(y[2:])):
        return [y[0] * c for c in x]
    if n > 4 and not (x[1] or y[1] or any(x[3::2]) or any(y[3::2])):
        evens, zero = cauchy(x[::2], y[::2]), x[1] * y[0]
        return [evens[k // 2] if k % 2 == 0 else zero for k in range(n)]
    # surds may stand among fractions
    if n >= LONG and type(x[0]) is _KIND and {*map(type, x), *map(type, y)} == {_KIND}:
        return _over_common(x, y)
    first, back = x[0], y[::-1]
    # the same sums, in the same order, whatever the kind of number
    return [first * y[0], *[sum(map(mul, x[1 : k + 1], back[n - k :]), first * y[k]) for k in range(1, n)]]


def _over_common(x: Sequence[Any], y: Sequence[Any]) -> list[Any]:
    """:func:`cauchy` of fractions, over one denominator for each factor."""
    (d, a), (e, b) = _whole(x), _whole(y)
    back, both, n = b[::-1], d * e, len(x)
    return [rational(sum(map(mul, a[: k + 1], back[n - 1 - k :])), both) for k in range(n)]


def _whole(x: Sequence[Any]) -> tuple[Any, list[Any]]:
    common = math.lcm(*[int(c.denominator) for c in x]) if gmpy2 is None else gmpy2.lcm(*[c.denominator for c in x])
    return common, [c.numerator * (common // c.denominator) for c in x]


def _root(c: Any) -> Any:
    if not isinstance(c, Rational):
        from .num import sqrt

        return sqrt(c)
    above, below = int(c.numerator), int(c.denominator)
    root = rational(math.isqrt(above), math.isqrt(below)) if above > 0 else rational(0)
    if root**2 != c:
        raise ValueError(f"{c} has no rational root: use mpmath coefficients")
    return root


def h_series(order: int, factor: Any = 1) -> Series:
    """``factor * h + O(h^order)``."""
    return Series(0, (rational(0), _exact(factor)) + (rational(0),) * (order - 2))


def compose(outer: Sequence[Any], inner: Series) -> Series:
    """``sum(outer[k] inner^k)`` by Horner's rule, each power as far as it is needed."""
    # powers of an inner series with a constant term begin at once: all are needed in full
    low, end = max(inner.valuation, 0), inner.end
    top = min(len(outer), (end + low - 1) // low) - 1 if low else len(outer) - 1
    if 0 < low < end and not any(inner.c[low + 1 - inner.v :]):
        return _of_power(outer[: top + 1], inner, low)
    total = inner._lift(outer[top]).cut(end - top * low)
    for k in reversed(range(top)):
        total = (total * inner + outer[k]).cut(end - k * low)
    return total


def _of_power(outer: Sequence[Any], inner: Series, low: int) -> Series:
    """:func:`compose` for ``inner = a h^low``."""
    found, a, power = [inner._kin(0)] * inner.end, inner[low], inner._kin(1)
    for k, c in enumerate(outer):
        found[k * low] = inner._kin(c) * power
        power = power * a
    return Series(0, tuple(found))


def revert(outer: Sequence[Any], inner: Series) -> Series:
    """``x`` with ``compose(outer, x) = inner``, for ``outer[0] = 0``, ``outer[1] != 0`` (Newton)."""
    x = inner / outer[1]
    slope = [k * c for k, c in enumerate(outer)][1:]
    for _ in range(max(1, inner.end).bit_length() + 1):
        x = x - (compose(outer, x) - inner) / compose(slope, x)
    return x
