"""Rational functions of one variable as a kind of number for diffnum's series.

Sympy expressions swell and must be simplified to be compared with zero; quotients of polynomials have a normal form,
and a leading error that takes half a minute in the former takes milliseconds in the latter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Rational as ExactNumber
from typing import Any

import sympy
from sympy.polys.fields import FracElement, field

__all__ = ["Rational", "variable"]


@dataclass(frozen=True)
class Rational:
    """An element of Q(s); ``+ - * /`` with its kind, integers and fractions."""

    value: FracElement

    def simplify(self) -> Rational:
        """Itself: it is in normal form."""
        return self

    def sqrt(self) -> Rational:
        """Of one, which is the only square root that a normalised state asks for.

        Raises:
            ValueError: of anything else.
        """
        if self != 1:
            raise ValueError(f"the square root of {self.value} is no rational function: normalise the state first")
        return self

    def _sympy_(self) -> sympy.Expr:
        return self.value.as_expr()

    def _with(self, other: Any, f: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, Rational):
            return Rational(f(self.value, other.value))
        if isinstance(other, ExactNumber):
            constant = sympy.QQ(int(other.numerator), int(other.denominator))
            return Rational(f(self.value, self.value.field(constant)))
        return NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a * b)

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a / b)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b / a)

    def __neg__(self) -> Rational:
        return Rational(-self.value)

    def __eq__(self, other: Any) -> bool:
        difference = self - other
        return isinstance(difference, Rational) and not difference.value

    def __hash__(self) -> int:
        return hash(self.value)

    __radd__ = __add__
    __rmul__ = __mul__


def variable(name: str) -> Rational:
    """The variable ``name`` of Q(name)."""
    return Rational(field(name, sympy.QQ)[1])  # type: ignore[arg-type]
