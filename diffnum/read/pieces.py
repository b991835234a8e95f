"""What a run needs to know of a plan, worked out once: its linear lines in pieces, when registers die, free scales."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from typing import Any

from ..plan import Eval, Lin, Line, Noise, Plan, sources

__all__ = ["Other", "Piece", "pieces", "unit"]

# beyond these ratios a scale could cost a float32 its range
_MOST = 2.0**20
# by the address of a plan that lives
_MADE: dict[int, dict[Any, Any]] = {}


@dataclass(frozen=True)
class Piece:
    """Linear lines in a row: nobody else acts between them.

    Attributes:
        inputs: registers that they read and do not write.
        lines: for each its register; the registers and the coefficients of its terms, from the last to the first; and
            the registers that die with it.
        shown: registers that are made here and handed out: to the model, to who watches, or as results.
        repeated: registers that are read more than once.
        numbers: whether all coefficients are plain numbers.
        end: the last register.
        after: the last register, where it dies as soon as it has been seen.
    """

    inputs: tuple[int, ...]
    lines: tuple[tuple[int, tuple[int, ...], tuple[Any, ...], tuple[int, ...]], ...]
    shown: tuple[int, ...]
    repeated: frozenset[int]
    numbers: bool
    end: int
    after: tuple[int, ...]


@dataclass(frozen=True)
class Other:
    """An evaluation, a draw, or a value that is given.

    Attributes:
        register, line: what is defined, and how.
        after: registers that die with it, once it has been seen.
    """

    register: int
    line: Line
    after: tuple[int, ...]


def pieces(plan: Plan, watched: Set[int] = frozenset(), given: Set[int] = frozenset()) -> tuple[Piece | Other, ...]:
    """The plan cut at evaluations, draws, registers that are watched, and those that are given."""
    return _once(plan, ("pieces", frozenset(watched), frozenset(given)), lambda: tuple(_cut(plan, watched, given)))


def unit(plan: Plan, watched: Set[int] = frozenset()) -> Plan:
    """The plan with registers that nobody sees divided by their last coefficient, so that this becomes one.

    A combination whose last coefficient is one begins with ``v + c w`` in one pass over memory, instead of a product
    and a sum in two. Whoever reads such a register multiplies its coefficient by the scale: the sample is the same but
    for rounding, which is that of a term as before, a relative ``2^-24`` in float32. Predictions that are stored,
    corrected states and the stages of Runge-Kutta methods are such registers, results, states at which the model is
    asked and registers in ``watched`` are not.
    """
    return _once(plan, ("unit", frozenset(watched)), lambda: _unit(plan, watched))


def _once(plan: Plan, key: Any, make: Callable[[], Any]) -> Any:
    known = _MADE.get(id(plan))
    if known is None:
        known = _MADE[id(plan)] = {}
        weakref.finalize(plan, _MADE.pop, id(plan), None).atexit = False
    if key not in known:
        known[key] = make()
    return known[key]


def _handed(plan: Plan) -> set[int]:
    return {line.x for line in plan.lines if isinstance(line, Eval)} | {r for _, r in plan.outputs}


def _cut(plan: Plan, watched: Set[int], given: Set[int]) -> list[Piece | Other]:
    last, handed = plan.last_use, _handed(plan) | watched
    found: list[Piece | Other] = []
    lines: list[tuple[int, Lin]] = []

    def close() -> None:
        if lines:
            found.append(_piece(lines, last, handed, watched))
            lines.clear()

    for r, line in enumerate(plan.lines, 1):
        if isinstance(line, Lin) and r not in given:
            lines.append((r, line))
            if r in watched:
                close()
        else:
            close()
            read = sources(line)
            found.append(Other(r, line, tuple(q for q in dict.fromkeys((*read, r)) if last[q] <= r)))
    close()
    return found


def _piece(lines: list[tuple[int, Lin]], last: dict[int, int], handed: Set[int], watched: Set[int]) -> Piece:
    mine, end = {r for r, _ in lines}, lines[-1][0]
    after = (end,) if end in watched and last[end] <= end else ()
    read = [q for _, line in lines for q, _ in line.terms]
    made = []
    for r, line in lines:
        registers = tuple(q for q, _ in reversed(line.terms))
        dead = tuple(q for q in dict.fromkeys((*registers, r)) if last[q] <= r and q not in after)
        made.append((r, registers, tuple(c for _, c in reversed(line.terms)), dead))
    return Piece(
        inputs=tuple(dict.fromkeys(q for q in read if q not in mine)),
        lines=tuple(made),
        shown=tuple(r for r in sorted(mine) if r in handed and (last[r] > end or r in after)),
        repeated=frozenset(q for q in read if read.count(q) > 1),
        numbers=all(isinstance(c, (int, float)) for _, line in lines for _, c in line.terms),
        end=end,
        after=after,
    )


def _unit(plan: Plan, watched: Set[int]) -> Plan:
    seen = _handed(plan) | watched | {r for _, r in plan.inputs}
    scales: dict[int, float] = {}
    lines: list[Eval | Lin | Noise] = []
    for r, line in enumerate(plan.lines, 1):
        if isinstance(line, Lin):
            terms = [(q, c * scales[q] if q in scales else c) for q, c in line.terms]
            if r not in seen and _scalable([c for _, c in terms]):
                scales[r] = terms[-1][1]
                terms = [*((q, c / scales[r]) for q, c in terms[:-1]), (terms[-1][0], 1.0)]
            line = replace(line, terms=tuple(terms))
        lines.append(line)
    return replace(plan, lines=tuple(lines))


def _scalable(coefficients: list[Any]) -> bool:
    if not all(isinstance(c, (int, float)) for c in coefficients) or len(coefficients) < 2:
        return False
    least = abs(coefficients[-1])
    return 1 / _MOST <= least <= _MOST and max(map(abs, coefficients)) <= _MOST * least
