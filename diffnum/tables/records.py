"""Tables of Runge-Kutta, exponential and multistep methods, as somebody else wrote them: exact, and perhaps wrong.

They are only held here; :func:`diffnum.tables.audit` says what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..series import rational
from .entries import Combination, combination, number
from .numbers import Ball, vanishes

__all__ = ["Exponential", "Multistep", "RungeKutta", "TableRecord"]

_Row = tuple[Any, ...]


@dataclass(frozen=True)
class RungeKutta:
    """A Runge-Kutta table, explicit or implicit, as published (Hairer, Norsett & Wanner 1993, II.1):

        Y_i = y + h sum_j a_ij f(t + c_i h, Y_j),    y_new = y + h sum_i b_i f(t + c_i h, Y_i)

    Attributes:
        A: rows; a row that is shorter than the table is filled with zeros. Entries are whatever
            :func:`~diffnum.tables.entries.number` takes, and rationals or balls once they are held.
        b: weights.
        c: nodes; left out, they are the row sums, for an autonomous equation knows no others.
        embedded: weights of an error estimate, or None.
        name: what it is called.
        order: what it claims, or None.
        embedded_order: what its embedded weights claim, or None.
        misfits: what is missing or too much in the shapes, one sentence each; missing numbers are zeros.

    Raises:
        ValueError: an entry that is no real number, a row that is no list, a table without weights and rows.
    """

    A: Any
    b: Any
    c: Any = None
    embedded: Any = None
    name: str = "table"
    order: int | None = None
    embedded_order: int | None = None
    misfits: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        _settle(self, number, rational(0))
        _claim(self.name, "order", self.order)
        _claim(self.name, "embedded_order", self.embedded_order)

    @property
    def stages(self) -> int:
        """Evaluations per step."""
        return len(self.b)

    @property
    def explicit(self) -> bool:
        """Whether every stage reads earlier ones alone."""
        return all(not _there(a) for i, row in enumerate(self.A) for a in row[i:])

    @property
    def nodes(self) -> _Row:
        """``c``, or the row sums."""
        return self.c if self.c is not None else tuple(sum(row, rational(0)) for row in self.A)

    def with_weights(self, b: Sequence[Any]) -> RungeKutta:
        """The same stages with other weights, without an embedded method."""
        return replace(self, b=tuple(b), embedded=None)


@dataclass(frozen=True)
class Exponential:
    """An exponential Runge-Kutta table for ``u' = L u + N(u)`` (Hochbruck & Ostermann 2005, 2.3):

        Y_i = e^{c_i h L} u + h sum_j a_ij(h L) N(Y_j),    u_new = e^{h L} u + h sum_i b_i(h L) N(Y_i)

    Attributes:
        A: rows of combinations of phi functions, see :func:`~diffnum.tables.entries.combination`.
        b: weights, likewise.
        c: nodes; left out, they are the row sums at ``z = 0``.
        name: what it is called.
        order: the classical order that it claims, or None.
        stiff_order: the stiff order that it claims, or None.
        misfits: as in :class:`RungeKutta`.

    Raises:
        ValueError: as in :class:`RungeKutta`; an implicit table.
    """

    A: Any
    b: Any
    c: Any = None
    name: str = "table"
    order: int | None = None
    stiff_order: int | None = None
    misfits: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        _settle(self, combination, Combination({}))
        _claim(self.name, "order", self.order)
        _claim(self.name, "stiff_order", self.stiff_order)
        if any(a.terms for i, row in enumerate(self.A) for a in row[i:]):
            raise ValueError(f"{self.name} has entries on or above its diagonal: an exponential table is explicit here")

    @property
    def stages(self) -> int:
        """Evaluations per step."""
        return len(self.b)

    @property
    def nodes(self) -> _Row:
        """``c``, or the row sums at zero."""
        if self.c is not None:
            return self.c
        return tuple(sum((a.taylor(0) for a in row), rational(0)) for row in self.A)

    def without_linear_part(self) -> RungeKutta:
        """The table at ``z = 0``."""
        rows = tuple(tuple(a.taylor(0) for a in row) for row in self.A)
        return RungeKutta(rows, tuple(a.taylor(0) for a in self.b), self.c, name=self.name, order=self.order)


@dataclass(frozen=True)
class Multistep:
    """A linear multistep method on equal steps (Hairer, Norsett & Wanner 1993, III.2):

        sum_{j=0}^k alpha_j y_{n+j} = h sum_{j=0}^k beta_j f_{n+j}

    Attributes:
        alpha: from the oldest value to the new one.
        beta: likewise; one entry less for an explicit method, whose ``beta_k`` is zero.
        name: what it is called.
        order: what it claims, or None.

    Raises:
        ValueError: an entry that is no real number, fewer than two ``alpha``, more ``beta``, a zero ``alpha_k``.
    """

    alpha: Any
    beta: Any
    name: str = "table"
    order: int | None = None

    def __post_init__(self) -> None:
        alpha, beta = (tuple(number(x) for x in _items(v, n)) for v, n in ((self.alpha, "alpha"), (self.beta, "beta")))
        if len(alpha) < 2 or len(beta) > len(alpha):
            raise ValueError(
                f"{self.name} has {len(alpha)} alpha and {len(beta)} beta: it needs two alpha or more, from the oldest "
                "value to the new one, and no more beta"
            )
        if vanishes(alpha[-1]):
            raise ValueError(f"{self.name} has alpha_{len(alpha) - 1} = 0: its last alpha belongs to the new value")
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "beta", (*beta, *[rational(0)] * (len(alpha) - len(beta))))
        _claim(self.name, "order", self.order)

    @property
    def explicit(self) -> bool:
        """Whether the new value is not an argument of ``f``."""
        return not _there(self.beta[-1])


TableRecord = RungeKutta | Exponential | Multistep


def _there(x: Any) -> bool:
    return isinstance(x, Ball) or bool(x != 0)


def _claim(name: str, what: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{name} claims {what} {value!r}: an order is a whole number")


def _items(x: Any, what: str) -> list[Any]:
    if isinstance(x, str) or not isinstance(x, Iterable):
        raise ValueError(f"{what} is {x!r}: write a list")
    return list(x)


def _settle(table: Any, entry: Any, zero: Any) -> None:
    """Shapes and kinds: fills what is missing and says so."""
    raw = [_items(row, f"row {i} of A") for i, row in enumerate(_items(table.A, "A"), 1)]
    b = _items(table.b, "b")
    # some write b as a table of one row, or of two with the embedded weights below
    if b and all(not isinstance(x, str) and isinstance(x, (list, tuple)) for x in b):
        if len(b) > 2 or (len(b) == 2 and getattr(table, "embedded", None) is not None):
            raise ValueError(f"{table.name} has {len(b)} rows of weights: write b, and one row of embedded weights")
        if len(b) == 2:
            object.__setattr__(table, "embedded", b[1])
        b = list(b[0])
    c = None if table.c is None else _items(table.c, "c")
    s = max(len(raw), len(b), len(c or ()))
    if not raw and not b:
        raise ValueError(f"{table.name} has neither rows nor weights: a table needs A and b")
    misfits = []
    for what, there in (("rows of A", raw), ("weights b", b), ("nodes c", c)):
        if there is not None and len(there) != s:
            misfits.append(f"{len(there)} {what} for {s} stages")
    wide = max((len(row) for row in raw), default=0)
    if wide > s:
        raise ValueError(f"{table.name} has a row of {wide} entries for {s} stages: a row has at most one per stage")
    extra = getattr(table, "embedded", None)
    if extra is not None:
        extra = _items(extra, "embedded")
        if len(extra) != s:
            misfits.append(f"{len(extra)} embedded weights for {s} stages")
        object.__setattr__(table, "embedded", _padded(extra, s, entry, zero))
    object.__setattr__(table, "A", tuple(_padded(row, s, entry, zero) for row in [*raw, *[[]] * (s - len(raw))]))
    object.__setattr__(table, "b", _padded(b, s, entry, zero))
    object.__setattr__(table, "c", None if c is None else _padded(c, s, number, rational(0)))
    object.__setattr__(table, "misfits", tuple(misfits))


def _padded(row: Sequence[Any], size: int, entry: Any, zero: Any) -> _Row:
    if len(row) > size:
        raise ValueError(f"a list of {len(row)} entries belongs to {size} stages: take the rest away")
    return (*(entry(x) for x in row), *[zero] * (size - len(row)))
