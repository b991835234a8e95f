"""Statistics that stand for all: polynomials in log-SNR with random rational coefficients, for proofs of order."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ..generic import random_rational
from ..plan import Level
from ..series import Series, compose, rational

__all__ = ["GenericStatistics"]


@dataclass(frozen=True)
class GenericStatistics:
    """``l`` and ``s`` as polynomials in the log-SNR of a :class:`~diffnum.generic.GenericProcess`.

    What holds on random rationals holds for every smooth ``l`` and ``s``: only their Taylor coefficients enter.
    """

    l: tuple[Any, ...]  # noqa: E741
    s: tuple[Any, ...]

    @staticmethod
    def random(seed: int, degree: int = 6) -> GenericStatistics:
        """Random positive rationals, halved with each degree."""
        rng = random.Random(4000 + seed)
        l, s = (tuple(random_rational(rng) / 2**k for k in range(degree + 1)) for _ in range(2))  # noqa: E741
        return GenericStatistics(l, s)

    def linear(self, level: Level) -> Series:
        """``l``."""
        return compose(self.l, level.lam)

    def decay(self, s: Level, t: Level) -> Series:
        """``exp(-int l)``."""
        return (_integral(self.l, s.lam) - _integral(self.l, t.lam)).exp()

    def growth(self, s: Level, t: Level) -> Series:
        """``exp(int s)``."""
        return (_integral(self.s, t.lam) - _integral(self.s, s.lam)).exp()

    def moments(self, s: Level, t: Level, count: int) -> list[Series]:
        """``int exp(int (l + s)) (u - lam_s)^k du``: Taylor series of the kernel at ``lam_s``, term by term."""
        both = [a + b for a, b in zip(self.l, self.s, strict=True)]
        h = t.lam - s.lam
        # the kernel e(u) with e' = (l + s)(lam_s + u) e
        slopes = [compose(_derivative(both, n), s.lam) / math.factorial(n) for n in range(len(both))]
        e = [h._lift(1)]
        for n in range(1, h.end + 1):
            e.append(_total((slopes[j] * e[n - 1 - j] for j in range(min(n, len(slopes)))), h._lift(0)) / n)
        powers = [h._lift(1)]
        for _ in range(len(e) + count):
            powers.append(powers[-1] * h)
        zero = h._lift(0)
        return [_total((c * powers[n + k + 1] / (n + k + 1) for n, c in enumerate(e)), zero) for k in range(count)]


def _total(terms: Iterable[Series], zero: Series) -> Series:
    return reduce(lambda a, b: a + b, terms, zero)


def _integral(c: Sequence[Any], lam: Series) -> Series:
    return compose((rational(0), *(a / (k + 1) for k, a in enumerate(c))), lam)


def _derivative(c: Sequence[Any], n: int) -> list[Any]:
    for _ in range(n):
        c = [k * a for k, a in enumerate(c)][1:]
    return list(c)
