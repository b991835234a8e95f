"""Whether a table is one that diffnum has, under any name, in any order of stages, with stages that nothing reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

from ..series import rational
from ..solvers import generated as g
from ..solvers.surd import root
from .entries import ARGUMENT, Combination, shown
from .numbers import middle, ratio, vanishes
from .records import Exponential, Multistep, RungeKutta, TableRecord
from .report import Known

__all__ = ["known", "reduced"]

_TABLES = (
    "EULER", "MIDPOINT", "HEUN2", "RALSTON2", "HEUN3", "KUTTA3", "RALSTON3", "SSP33", "VAN_DER_HOUWEN3", "SSP43", "RK4",
    "THREE_EIGHTHS", "KUNTZMANN4", "OPEN4", "BOOLE5", "FEHLBERG5", "DORMAND_PRINCE5", "BOGACKI_SHAMPINE3_EMBEDDED",
    "FEHLBERG5_EMBEDDED", "DORMAND_PRINCE5_EMBEDDED",
)  # fmt: skip
_IMPLICIT = ("IMPLICIT_MIDPOINT", "TRAPEZOID", "RADAU_IIA2", "LOBATTO_IIIA3")
# names of parameters, and where a member shows them
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("explicit_2", ("c2",)), ("explicit_3", ("c2", "c3")), ("explicit_3_equal", ("b3",)), ("explicit_3_zero", ("b3",)),
    ("explicit_4", ("c2", "c3")), ("explicit_4_equal", ("b3",)), ("explicit_4_zero", ("b3",)),
    ("explicit_4_one", ("b4",)),
)  # fmt: skip
_EXPONENTIAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("exponential_euler", ()), ("etd2", ("c2",)), ("dpm_2s", ("c2",)), ("dpm_3s", ("c2", "c3")),
    ("dpm_3s_taylor", ("c2", "c3")), ("hochbruck_ostermann_3", ("c2", "c3")), ("etd3rk", ()), ("etd4rk", ()),
    ("cfree_4", ()), ("krogstad_4", ()), ("strehmel_weiner_4", ()), ("friedli_4", ()), ("hochbruck_ostermann_5", ()),
    ("luan_4", ()), ("luan_ostermann_8", ()), ("lawson_euler", ()), ("lawson_2a", ()), ("lawson_2b", ()),
    ("lawson_4", ()),
)  # fmt: skip
_MOST_STAGES_TO_PERMUTE = 5


@dataclass(frozen=True)
class _Candidate:
    name: str
    A: tuple[tuple[Any, ...], ...]
    b: tuple[Any, ...]
    c: tuple[Any, ...]


@dataclass(frozen=True)
class _Match:
    """A table against a candidate, stages in the order that suits best."""

    name: str
    distance: float
    apart: tuple[tuple[str, Any, Any], ...]
    how: str

    def known(self) -> Known:
        said = tuple(f"{where} = {_written(x)} here, {_written(y)} there" for where, x, y in self.apart)
        return Known(self.name, self.distance, said, self.how)


def known(table: TableRecord) -> tuple[Known, ...]:
    """The methods of :mod:`diffnum.solvers.generated` that a table is, or else the nearest where few entries differ.

    Stages that do not reach the weights are taken away, and stages may stand in another order. "Few" is one entry in
    five, and at least one.
    """
    if isinstance(table, Multistep):
        return _multistep(table)
    here, how = reduced(table)
    found = [_compared(here, how, candidate) for candidate in _candidates(here, table)]
    same = tuple(x.known() for x in found if not x.apart)
    if same:
        return same
    entries = here.stages * (here.stages - 1) // 2 + 2 * here.stages
    near = [x for x in found if len(x.apart) <= max(1, entries // 5)]
    return (min(near, key=lambda x: (len(x.apart), x.distance)).known(),) if near else ()


def reduced(table: Any) -> tuple[Any, str]:
    """A table without the stages that its step does not read, with its nodes written out, and what was done to it."""
    wanted = {i for i, b in enumerate(table.b) if not _nothing(b)}
    while True:
        more = {j for i in wanted for j, a in enumerate(table.A[i]) if not _nothing(a)} - wanted
        if not more:
            break
        wanted |= more
    kept = sorted(wanted) or [0]
    A = tuple(tuple(table.A[i][j] for j in kept) for i in kept)
    b, c = (tuple(v[i] for i in kept) for v in (table.b, table.nodes))
    gone = table.stages - len(kept)
    how = f"without {gone} unused stage{'s' * (gone > 1)}" if gone else ""
    if isinstance(table, Exponential):
        return Exponential(A, b, c, name=table.name), how
    return RungeKutta(A, b, c, name=table.name), how


def _nothing(x: Any) -> bool:
    if isinstance(x, Combination):
        return all(vanishes(q) for q in x.terms.values())
    return vanishes(x)


def _candidates(here: Any, table: Any) -> Iterator[_Candidate]:
    pieces = _exponential_pieces() if isinstance(table, Exponential) else _runge_kutta_pieces()
    yield from (piece for piece in pieces if len(piece.b) == here.stages)
    families = _EXPONENTIAL if isinstance(table, Exponential) else _FAMILIES
    for name, parameters in families:
        if not parameters:
            continue
        places = {"c": here.c, "b": [x.taylor(0) if isinstance(x, Combination) else x for x in here.b]}
        if max(int(p[1]) for p in parameters) > here.stages:
            continue
        values = [rational(ratio(places[p[0]][int(p[1]) - 1])) for p in parameters]
        member = _member(name, values, isinstance(table, Exponential))
        if member is not None and len(member[2]) == here.stages:
            said = ", ".join(f"{p} = {shown(v)}" for p, v in zip(parameters, values, strict=True))
            yield _settled(f"{name}({said})", member, isinstance(table, Exponential))


def _member(name: str, values: Sequence[Any], exponential: bool) -> Any:
    family: Callable[..., Any] = getattr(g, name)
    try:
        return family(*([ARGUMENT] if exponential else []), *values)
    except ZeroDivisionError:
        return None


@lru_cache(maxsize=1)
def _runge_kutta_pieces() -> tuple[_Candidate, ...]:
    found = [(name, getattr(g, name)) for name in _TABLES]
    plain = [(name, (t.nodes, t.matrix, t.weights)) for name, t in found]
    plain += [(name, getattr(g, name)) for name in _IMPLICIT]
    plain += [("gauss_2", g.gauss_2(root(3))), ("tsitouras_5", g.tsitouras_5(root(*g.TSITOURAS_5)))]
    return tuple(_settled(name, parts, False) for name, parts in plain)


@lru_cache(maxsize=1)
def _exponential_pieces() -> tuple[_Candidate, ...]:
    return tuple(
        _settled(name, getattr(g, name)(ARGUMENT), True) for name, parameters in _EXPONENTIAL if not parameters
    )


def _settled(name: str, parts: Any, exponential: bool) -> _Candidate:
    c, A, b = parts
    whole, _ = reduced(Exponential(A, b, c) if exponential else RungeKutta(A, b, c))
    return _Candidate(name, whole.A, whole.b, whole.c)


def _compared(here: Any, how: str, there: _Candidate) -> _Match:
    best: tuple[int, float, tuple[int, ...], list[tuple[str, Any, Any]]] | None = None
    for order in _orders(here, there):
        apart = _apart(here, there, order, None if best is None else best[0])
        if apart is None:
            continue
        size = max((_distance(x, y) for _, x, y in apart), default=0.0)
        if best is None or (len(apart), size) < best[:2]:
            best = len(apart), size, order, apart
        if not apart:
            break
    assert best is not None
    _, size, order, apart = best
    moved = "" if order == tuple(range(here.stages)) else f"stages in the order {', '.join(str(i + 1) for i in order)}"
    return _Match(there.name, size, tuple(apart), "; ".join(filter(None, [how, moved])))


def _orders(here: Any, there: _Candidate) -> Iterator[tuple[int, ...]]:
    """Stages of a table in the order of another one: as they are first."""
    s = here.stages
    yield tuple(range(s))
    if s <= _MOST_STAGES_TO_PERMUTE:
        yield from permutations(range(s))
        return
    ranks = [sorted(range(s), key=lambda i: (float(middle(c[i])), i)) for c in (here.c, there.c)]
    order = [0] * s
    for mine, theirs in zip(*ranks, strict=True):
        order[theirs] = mine
    yield tuple(order)


def _apart(here: Any, there: _Candidate, order: Sequence[int], most: int | None) -> list[tuple[str, Any, Any]] | None:
    """Entries that differ, with their names here; None for more than ``most``."""
    out: list[tuple[str, Any, Any]] = []
    for i, p in enumerate(order):
        pairs = [(f"c_{p + 1}", here.c[p], there.c[i]), (f"b_{p + 1}", here.b[p], there.b[i])]
        pairs += [(f"a_{p + 1}{q + 1}", here.A[p][q], there.A[i][j]) for j, q in enumerate(order)]
        out += [pair for pair in pairs if not _nothing(pair[1] - pair[2])]
        if most is not None and len(out) > most:
            return None
    return out


def _distance(x: Any, y: Any) -> float:
    difference = x - y
    if isinstance(difference, Combination):
        return max(abs(float(middle(q))) for q in difference.terms.values())
    return abs(float(middle(difference)))


def _written(x: Any) -> str:
    return str(x) if isinstance(x, Combination) else shown(x)


# --- multistep ---


@lru_cache(maxsize=1)
def _multistep_pieces() -> tuple[tuple[str, tuple[Any, ...], tuple[Any, ...]], ...]:
    zero, one = rational(0), rational(1)
    found: list[tuple[str, Sequence[Any], Sequence[Any]]] = []
    for k, row in enumerate(g.ADAMS_BASHFORTH, 1):
        found.append((f"ADAMS_BASHFORTH of order {k}", [*[zero] * (k - 1), -one, one], [*reversed(row), zero]))
    for k, row in enumerate(g.ADAMS_MOULTON, 1):
        past = max(len(row) - 1, 1)
        found.append(
            (
                f"ADAMS_MOULTON of order {k}",
                [*[zero] * (past - 1), -one, one],
                [*[zero] * (past + 1 - len(row)), *reversed(row)],
            )
        )
    for k, (beta, b) in ((2, g.bdf_2(-one)), (3, g.bdf_3(-one, -2 * one))):
        found.append((f"bdf_{k} on equal steps", [*(-x for x in reversed(b)), one], [*[zero] * k, beta]))
    found.append(("leapfrog on equal steps", [-one, zero, one], [zero, 2 * one, zero]))
    return tuple((name, *_scaled(alpha, beta)) for name, alpha, beta in found)


def _scaled(alpha: Sequence[Any], beta: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """With one for the last ``alpha`` and without old values that are not read."""
    sides = [tuple(x * (1 / (alpha[-1] * rational(1))) for x in side) for side in (alpha, beta)]
    while len(sides[0]) > 2 and vanishes(sides[0][0]) and vanishes(sides[1][0]):
        sides = [side[1:] for side in sides]
    return sides[0], sides[1]


def _multistep(table: Multistep) -> tuple[Known, ...]:
    alpha, beta = _scaled(table.alpha, table.beta)
    scaled = "" if vanishes(table.alpha[-1] - 1) else "divided by its last alpha"
    found = []
    for name, a, b in _multistep_pieces():
        if len(a) == len(alpha):
            pairs = [(f"{side}_{j}", x, y) for side, mine, theirs in (("alpha", alpha, a), ("beta", beta, b))
                     for j, (x, y) in enumerate(zip(mine, theirs, strict=True)) if not vanishes(x - y)]  # fmt: skip
            size = max((_distance(x, y) for _, x, y in pairs), default=0.0)
            found.append(_Match(name, size, tuple(pairs), scaled))
    same = tuple(x.known() for x in found if not x.apart)
    near = [x for x in found if len(x.apart) == 1 and len(alpha) > 2]
    return same or ((min(near, key=lambda x: x.distance).known(),) if near else ())
