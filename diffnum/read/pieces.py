"""What a run needs to know of a plan, worked out once: its linear lines in pieces, and when registers die."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

from ..plan import Eval, Lin, Line, Plan, sources

__all__ = ["Other", "Piece", "handed", "held", "once", "pieces"]

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
    return once(plan, ("pieces", frozenset(watched), frozenset(given)), lambda: tuple(_cut(plan, watched, given)))


def once(plan: Plan, key: Any, make: Callable[[], Any]) -> Any:
    """``make()``, remembered under ``key`` as long as ``plan`` lives."""
    known = _MADE.get(id(plan))
    if known is None:
        known = _MADE[id(plan)] = {}
        weakref.finalize(plan, _MADE.pop, id(plan), None).atexit = False
    if key not in known:
        known[key] = make()
    return known[key]


def handed(plan: Plan) -> set[int]:
    """Registers that others see: the model's inputs and the results."""
    return {line.x for line in plan.lines if isinstance(line, Eval)} | {r for _, r in plan.outputs}


def held(plan: Plan) -> int:
    """The largest number of registers that stand at once, besides the first, run as ``plan`` says."""
    return once(plan, "held", lambda: _held(plan))


def _held(plan: Plan) -> int:
    # what a line wrote stays with the run when it is dead, to be written again; the rest is given back, but not before
    # the lines between two evaluations are all written
    last, mine = plan.last_use, [False]
    written = others = free = spent = peak = 0
    for r, line in enumerate(plan.lines, 1):
        mine.append(isinstance(line, Lin))
        if mine[r]:
            written += 1
            free = max(0, free - 1)
        else:
            others += 1 - spent
            spent = 0
        peak = max(peak, written + free + others)
        for q in {*sources(line), r}:
            if last[q] <= r and q:
                free += mine[q]
                written -= mine[q]
                if mine[r]:
                    spent += not mine[q]
                else:
                    others -= not mine[q]
    return max(1, peak)


def _cut(plan: Plan, watched: Set[int], given: Set[int]) -> list[Piece | Other]:
    last, shown = plan.last_use, handed(plan) | watched
    found: list[Piece | Other] = []
    lines: list[tuple[int, Lin]] = []

    def close() -> None:
        if lines:
            found.append(_piece(lines, last, shown, watched))
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


def _piece(lines: list[tuple[int, Lin]], last: dict[int, int], shown: Set[int], watched: Set[int]) -> Piece:
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
        shown=tuple(r for r in sorted(mine) if r in shown and (last[r] > end or r in after)),
        repeated=frozenset(q for q in read if read.count(q) > 1),
        numbers=all(isinstance(c, (int, float)) for _, line in lines for _, c in line.terms),
        end=end,
        after=after,
    )
