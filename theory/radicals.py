"""Sums of square roots of whole numbers over a field of rational functions, as a kind of number for diffnum's series.

A step of a stochastic sampler carries the root of its variance, ``sqrt(2 rate h)``, and its law their products only.
Here the roots are numbers of their own, multiplied by the rule ``sqrt(a) sqrt(b) = gcd(a, b) sqrt(a b / gcd(a, b)^2)``,
so that what is rational is seen to be rational.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Rational as ExactNumber
from typing import Any

import sympy
from sympy.polys.fields import FracElement

__all__ = ["Radical", "number"]


@dataclass(frozen=True, eq=False)
class Radical:
    """``sum(c sqrt(d))`` over the entries ``d: c``, ``d`` square-free, ``c`` a rational number or a rational function.

    Attributes:
        parts: without zeros.
    """

    parts: Mapping[int, Any]

    # numpy scalars must not take the operation over
    __array_ufunc__ = None

    def simplify(self) -> Radical:
        """Itself: it is in normal form."""
        return self

    def sqrt(self) -> Radical:
        """Of a positive rational number times even powers of the variables.

        Raises:
            ValueError: of anything else.
        """
        if not self.parts:
            return self
        if set(self.parts) != {1}:
            raise ValueError(f"the square root of {self._sympy_()} is no sum of roots: it holds a root itself")
        value = self.parts[1]
        constant, rest = _monomial(value) if isinstance(value, FracElement) else (value, 1)
        above, below = int(constant.numerator), int(constant.denominator)
        if above < 0:
            raise ValueError(f"the square root of {constant} is not real")
        whole = free = 1
        for prime, power in sympy.factorint(above * below).items():
            whole, free = whole * prime ** (power // 2), free * prime ** (power % 2)
        return Radical({free: rest * sympy.QQ(whole, below)})

    def _sympy_(self) -> sympy.Expr:
        return sympy.Add(*(sympy.sympify(_expression(c)) * sympy.sqrt(d) for d, c in self.parts.items()))

    def __add__(self, other: Any) -> Any:
        if (other := _lifted(other)) is None:
            return NotImplemented
        out = dict(self.parts)
        for d, c in other.parts.items():
            out[d] = out[d] + c if d in out else c
        return Radical({d: c for d, c in out.items() if c})

    def __neg__(self) -> Radical:
        return Radical({d: -c for d, c in self.parts.items()})

    def __sub__(self, other: Any) -> Any:
        other = _lifted(other)
        return NotImplemented if other is None else self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if (other := _lifted(other)) is None:
            return NotImplemented
        out: dict[int, Any] = {}
        for d, c in self.parts.items():
            for e, b in other.parts.items():
                shared = math.gcd(d, e)
                product, root = c * b * shared, d // shared * (e // shared)
                out[root] = out[root] + product if root in out else product
        return Radical({d: c for d, c in out.items() if c})

    def _inverse(self) -> Radical:
        if not self.parts:
            raise ZeroDivisionError("the sum of roots is zero")
        if len(self.parts) > 1:
            raise ValueError(f"one over {self._sympy_()} is not needed by any step: divide by one root at a time")
        ((d, c),) = self.parts.items()
        return Radical({d: 1 / (c * d)})

    def __truediv__(self, other: Any) -> Any:
        other = _lifted(other)
        return NotImplemented if other is None else self * other._inverse()

    def __rtruediv__(self, other: Any) -> Any:
        return self._inverse() * other

    def __eq__(self, other: Any) -> bool:
        difference = self - other
        return isinstance(difference, Radical) and not difference.parts

    def __hash__(self) -> int:
        return hash(frozenset(self.parts.items()))

    __radd__ = __add__
    __rmul__ = __mul__


def number(value: Any) -> Radical:
    """A rational number, or an element of a field of rational functions, as a :class:`Radical`."""
    if not isinstance(value, FracElement):
        value = sympy.QQ(int(value.numerator), int(value.denominator))
    return Radical({1: value} if value else {})


def _lifted(value: Any) -> Radical | None:
    if isinstance(value, Radical):
        return value
    return number(value) if isinstance(value, ExactNumber) or type(value) is type(sympy.QQ(1)) else None


def _monomial(value: FracElement) -> tuple[Any, FracElement]:
    """The constant, and the root of the rest."""
    (above, over), (below, under) = (_only(part) for part in (value.numer, value.denom))
    root = value.field.one
    for x, up, down in zip(value.field.gens, above, below, strict=True):
        if up % 2 or down % 2:
            raise ValueError(f"the square root of {value} is no rational function")
        root = root * x ** (up // 2) / x ** (down // 2)
    return over / under, root


def _only(polynomial: Any) -> tuple[Any, Any]:
    terms = polynomial.terms()
    if len(terms) > 1:
        raise ValueError(f"the square root of {polynomial} is no rational function")
    return terms[0]


def _expression(c: Any) -> Any:
    return c.as_expr() if isinstance(c, FracElement) else sympy.Rational(int(c.numerator), int(c.denominator))
