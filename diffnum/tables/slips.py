"""A single wrong entry: which one it may be, and what it should be.

Every entry in turn becomes an unknown ``x``. All conditions up to the claimed order are then polynomials in ``x``, and
the entry can be the slip iff they have a common zero. With exact entries that is decided by greatest common divisors
over the rationals; where entries are roundings, the zeros of the first condition that fails are tried on all others,
and the simplest fraction within the rounding is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..series import rational
from .entries import shown
from .numbers import Ball, Poly, common_divisor, convincing, middle, ratio, rational_roots, real_roots, vanishes

__all__ = ["Slip", "Unknown", "proposal", "solve"]


@dataclass(frozen=True)
class Slip:
    """An entry whose change mends a table.

    Attributes:
        where: its name, such as ``a_54``.
        given: what the table says. ``proposed``: what it should say.
        order: of the table with the proposed entry.
        remark: what else speaks for it, or what goes with it.
        value: the proposed number.
    """

    where: str
    given: str
    proposed: str
    order: int
    remark: str = ""
    value: Any = None

    def __str__(self) -> str:
        said = f"{self.where} = {self.given} should be {self.proposed}, which gives order {self.order}"
        return f"{said} ({self.remark})" if self.remark else said


@dataclass(frozen=True)
class Unknown:
    """An entry on trial.

    Attributes:
        where: its name.
        given: its number.
        conditions: from a number in its place to the residuals of all conditions, those first that see most.
        follows: what changes with it.
    """

    where: str
    given: Any
    conditions: Callable[[Any], Iterable[Any]]
    follows: str = ""


def solve(unknown: Unknown) -> Iterator[Any]:
    """Every number that mends all conditions when it stands in the place of an entry: rationals where all are exact."""
    divisor: tuple[Any, ...] = ()
    trial = _Trial(unknown.given)
    exact = True
    for residual in unknown.conditions(Poly.unknown()):
        c = residual.c if isinstance(residual, Poly) else (residual,)
        exact = exact and not any(isinstance(x, Ball) for x in c)
        if len(c) == 1 or all(vanishes(x) for x in c[1:]):
            if not vanishes(c[0]):
                return
            continue
        if exact:
            divisor = common_divisor(divisor, c)
        trial.hold(c, look=not exact)
        if len(divisor) == 1 or trial.roots == []:
            return
    yield from rational_roots(divisor) if exact else trial.roots or []


class _Trial:
    """Zeros of the first condition that fails, as long as they are zeros of all others."""

    def __init__(self, given: Any) -> None:
        self.given, self.roots, self._seen = given, None, []

    given: Any
    roots: list[Any] | None
    _seen: list[tuple[Any, ...]]

    def hold(self, c: tuple[Any, ...], look: bool) -> None:
        """One condition more; its zeros are not looked for while all is exact."""
        self._seen.append(c)
        if not look:
            return
        if self.roots is None:
            violated = next((d for d in self._seen if not vanishes(Poly(d)(self.given))), None)
            if violated is None:
                return
            self.roots = [x for x in _near_roots(violated) if all(vanishes(Poly(d)(x)) for d in self._seen)]
        else:
            self.roots = [x for x in self.roots if vanishes(Poly(c)(x))]


def _near_roots(c: tuple[Any, ...]) -> Iterator[Any]:
    p = Poly(c)
    if p.degree == 1:
        try:
            yield -(c[0] * rational(1)) / c[1]
        except ZeroDivisionError:
            return
        return
    slope = Poly(tuple(k * middle(x) for k, x in enumerate(c))[1:])
    for start in real_roots(c):
        x = rational(start)
        for _ in range(8):
            steep = slope(x)
            if steep == 0:
                break
            x = rational(round((x - middle(p(x)) / steep) * 2**300), 2**300)
        steep = abs(float(slope(x)))
        rest = p(Ball(x, 0.0))
        if steep > 0:
            yield Ball(x, 2 * (abs(float(rest.mid)) + rest.rad) / steep + 2.0**-290)


def proposal(root: Any) -> tuple[Any, str]:
    """A number to put in the place of an entry, and how it is written: the simplest fraction that it may be."""
    if not isinstance(root, Ball):
        return root, shown(root)
    if convincing(root):
        near = ratio(root)
        return rational(near.numerator, near.denominator), str(near)
    return root, repr(float(root.mid))
