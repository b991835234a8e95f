"""Sums of exponentials as a kind of number: identities between phi functions, decided exactly.

At a rational ``z`` every ``phi_k(c z)`` with rational ``c`` is a combination of ``e^{c z}`` and one with rational
coefficients. Exponentials of different rationals are linearly independent over the rationals (Lindemann and
Weierstrass), so a combination vanishes iff its coefficients do. A coefficient is a rational function of ``z``; one that
vanishes at a rational of many digits, taken at random, is zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["ExpSum", "point"]


@dataclass(frozen=True)
class ExpSum:
    """``sum_q terms[q] e^q`` with rational ``q`` and rational coefficients, none of which is zero.

    Attributes:
        terms: pairs ``(q, coefficient)`` in order of ``q``.
    """

    terms: tuple[tuple[Fraction, Fraction], ...]

    @staticmethod
    def of(terms: dict[Fraction, Fraction]) -> ExpSum:
        """The normal form."""
        return ExpSum(tuple(sorted((q, c) for q, c in terms.items() if c)))

    def _lift(self, other: Any) -> ExpSum:
        return other if isinstance(other, ExpSum) else point(other)

    def __add__(self, other: Any) -> ExpSum:
        out = dict(self.terms)
        for q, c in self._lift(other).terms:
            out[q] = out.get(q, Fraction(0)) + c
        return ExpSum.of(out)

    __radd__ = __add__

    def __neg__(self) -> ExpSum:
        return ExpSum(tuple((q, -c) for q, c in self.terms))

    def __sub__(self, other: Any) -> ExpSum:
        return self + -self._lift(other)

    def __rsub__(self, other: Any) -> ExpSum:
        return -self + other

    def __mul__(self, other: Any) -> ExpSum:
        if not isinstance(other, ExpSum):
            return ExpSum(tuple((q, c * other) for q, c in self.terms if other))
        out: dict[Fraction, Fraction] = {}
        for p, a in self.terms:
            for q, b in other.terms:
                out[p + q] = out.get(p + q, Fraction(0)) + a * b
        return ExpSum.of(out)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> ExpSum:
        return self * (1 / self._lift(other).rational)

    def __rtruediv__(self, other: Any) -> ExpSum:
        return point(other / self.rational)

    def __pow__(self, n: int) -> ExpSum:
        return math.prod([self] * n, start=point(1))

    def __eq__(self, other: object) -> bool:
        return self.terms == (other if isinstance(other, ExpSum) else point(other)).terms

    def __hash__(self) -> int:
        return hash(self.terms)

    @property
    def rational(self) -> Fraction:
        """Its value, where it has no exponential.

        Raises:
            ValueError: it has one.
        """
        if any(q for q, _ in self.terms):
            raise ValueError("a sum of exponentials is no rational number: phi and division take rational arguments")
        return self.terms[0][1] if self.terms else Fraction(0)

    def exp(self) -> ExpSum:
        """``e^self``."""
        return ExpSum(((self.rational, Fraction(1)),))

    def phi(self, k: int) -> ExpSum:
        """``phi_k(self) = (e^z - sum_{j < k} z^j / j!) / z^k``, and ``1/k!`` at zero."""
        z = self.rational
        if not z:
            return point(Fraction(1, math.factorial(k)))
        head = sum((z**j / math.factorial(j) for j in range(k)), Fraction(0))
        return (self.exp() - head) * (1 / z**k)


def point(value: Any) -> ExpSum:
    """A rational number as a sum of exponentials."""
    return ExpSum.of({Fraction(0): Fraction(value)})
