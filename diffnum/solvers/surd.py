"""Exact numbers ``a + b sqrt(d)``: coefficients of methods whose nodes are irrational.

A proof needs to know that ``sqrt(3)^2 = 3``; a run needs the nearest float. ``a`` and ``b`` are exact numbers of any
kind, so a :class:`Surd` goes where a fraction goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from importlib import import_module
from typing import Any

from ..nodes import made
from ..series import Series, rational

__all__ = ["Surd", "root"]

DIGITS = 60
_ZERO = rational(0)
_KIND = type(_ZERO)


@dataclass(frozen=True)
class Surd:
    """``a + b sqrt(d)``; with floats, torch leaves and extended numbers it is the nearest number of their kind."""

    a: Any
    b: Any
    d: int

    # numpy scalars must not take the operation over
    __array_ufunc__ = None

    def simplify(self) -> Surd:
        """Itself: it is in normal form."""
        return self

    def _sympy_(self) -> Any:
        # sympy asks for it, whatever the parts are
        sympy = import_module("sympy")
        return sympy.sympify(self.a) + sympy.sympify(self.b) * sympy.sqrt(self.d)

    def __float__(self) -> float:
        return self._nearest

    @cached_property
    def _nearest(self) -> float:
        scale = 10**DIGITS
        a, b = (Fraction(int(part.numerator), int(part.denominator)) for part in (self.a, self.b))
        return float(a + b * Fraction(math.isqrt(self.d * scale * scale), scale))

    def _with(self, other: Any, exact: Callable[[Surd], Any], plain: Callable[[Any, Any], Any]) -> Any:
        if type(other) is Surd:
            return exact(other)
        if type(other) is _KIND:
            return exact(Surd(other, _ZERO, self.d))
        if isinstance(other, Series) or hasattr(other, "terms"):
            return NotImplemented
        kind = type(other).__module__.partition(".")[0]
        if isinstance(other, float) or kind in ("torch", "numpy"):
            return plain(float(self), other)
        if kind in ("mpmath", "sympy") or type(other).__name__ == "mpfr":
            return plain(_of(kind, self), other)
        return exact(Surd(other, 0, self.d))

    def __add__(self, other: Any) -> Any:
        if type(other) is _KIND:
            return _plain(self.a + other, self.b, self.d)
        return self._with(other, lambda o: _plain(self.a + o.a, self.b + o.b, self.d), lambda x, y: x + y)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda o: _plain(self.a - o.a, self.b - o.b, self.d), lambda x, y: x - y)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda o: _plain(o.a - self.a, o.b - self.b, self.d), lambda x, y: y - x)

    def __mul__(self, other: Any) -> Any:
        if type(other) is _KIND:
            return _plain(self.a * other, self.b * other, self.d)
        if type(other) is float:
            return self._nearest * other
        return self._with(other, self._product, lambda x, y: x * y)

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, lambda o: self._product(o._inverse()), lambda x, y: x / y)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(other, lambda o: o._product(self._inverse()), lambda x, y: y / x)

    def __neg__(self) -> Surd:
        return Surd(-self.a, -self.b, self.d)

    def __pow__(self, n: int) -> Any:
        # of a whole number; below zero as of the inverse
        base = self if n >= 0 else self._inverse()
        return math.prod([base] * abs(n), start=Fraction(1))

    def _product(self, other: Surd) -> Any:
        a, b, c, e = self.a, self.b, other.a, other.b
        return _plain(a * c + b * e * self.d, a * e + b * c, self.d)

    def _inverse(self) -> Surd:
        norm = self.a * self.a - self.b * self.b * self.d
        return Surd(_ratio(self.a, norm), _ratio(-self.b, norm), self.d)

    __radd__ = __add__
    __rmul__ = __mul__


def root(d: int) -> Surd:
    """``sqrt(d)`` for a ``d`` that is no square."""
    return Surd(_ZERO, rational(1), d)


def _plain(a: Any, b: Any, d: int) -> Any:
    # a rational result is one, so that what is zero is seen to be zero
    return made(Surd, {"a": a, "b": b, "d": d}) if b else a


def _ratio(a: Any, b: Any) -> Any:
    # two integers would give a float
    return (Fraction(a) if isinstance(a, int) else a) / b


def _of(kind: str, number: Surd) -> Any:
    module = import_module(kind)
    one = getattr(module, {"mpmath": "mpf", "gmpy2": "mpfr"}.get(kind, "Integer"))(1)
    parts = [one * int(part.numerator) / int(part.denominator) for part in (number.a, number.b)]
    return parts[0] + parts[1] * module.sqrt(number.d)
