"""Run plans piece by piece on arrays and keep their lines: what was run is again a plan, the *frozen* one.

A piece is a plan of one step or a few, compiled when the numbers before it are known. Its registers become registers of
the whole run; an evaluation of a register at a level that was made before is not made again, so stages that attempts
share, first-same-as-last ones included, are counted once. Lines of attempts that were not kept fall away when frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..plan import Eval, Level, Lin, Line, Noise, Plan, sources
from ..read.sample import adapted_model, as_like, linear

__all__ = ["Record", "Span"]


@dataclass(frozen=True)
class Span:
    """Levels without a grid's checks, for the steps in between; what :func:`~diffnum.trace.compile` takes."""

    process: Any
    levels: tuple[Level, ...]
    h: tuple[Any, ...]
    end: str = "stop"


@dataclass
class Record:
    """The registers of a run, and the lines that made them.

    Attributes:
        model: ``model(x, level)`` for ``prediction``, or a target.
        x: the value of register 0.
        calls: model evaluations made so far, those of attempts that were not kept included.
        lines, values, known: the program, the values still held, and the register of each evaluation held.
    """

    model: Any
    prediction: str
    x: Any
    lines: list[Line] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)
    known: dict[tuple[int, Level], int] = field(default_factory=dict)
    calls: int = 0

    def __post_init__(self) -> None:
        self.values[0] = self.x
        self._call = adapted_model(self.model, self.prediction)
        self._combine = linear(self.x)

    def fresh(self, piece: Plan, at: int) -> int:
        """Model evaluations that :meth:`run` would make."""
        asked = {(line.x, line.level) for line in piece.lines if isinstance(line, Eval)}
        return len(asked) - sum(x == 0 and (at, level) in self.known for x, level in asked)

    def run(self, piece: Plan, at: int, step: int) -> list[int]:
        """Append ``piece`` from register ``at``, its first step as ``step``; where each of its registers is now."""
        where = [at]
        for line in piece.lines:
            where.append(self.add(_moved(line, where), step + line.step))
        return where

    def add(self, line: Line, step: int) -> int:
        """Append one line over the run's registers and compute it; the register that holds it."""
        if isinstance(line, Noise):
            raise ValueError("the sampler draws noise: error control here is for deterministic samplers")
        if isinstance(line, Eval) and (line.x, line.level) in self.known:
            return self.known[line.x, line.level]
        self.lines.append(replace(line, step=step))
        r = len(self.lines)
        if isinstance(line, Lin):
            self.values[r] = self._combine([(c, self.values[q]) for q, c in line.terms])
        else:
            x = self.values[line.x]
            self.values[r] = as_like(self._call(x, line.level), x)
            self.calls += 1
            self.known[line.x, line.level] = r
        return r

    def settle(self, kept: Iterable[int]) -> None:
        """Forget every value but those of the registers ``kept`` and the evaluations made at them."""
        keep = set(kept)
        self.known = {key: r for key, r in self.known.items() if key[0] in keep}
        alive = keep | set(self.known.values())
        self.values = {r: value for r, value in self.values.items() if r in alive}

    def frozen(self, states: Sequence[int], levels: Sequence[Level], out: int, **about: Any) -> Plan:
        """The plan of the lines that lead to ``out``, states included; the fields of :class:`Plan` in ``about``."""
        home = {r: i for i, r in enumerate(states)}
        needed = _needed(self.lines, {*states, out})
        number = {0: 0}
        kept: list[Line] = []
        for r in sorted(needed - {0}):
            line = _moved(self.lines[r - 1], number)
            if isinstance(line, Eval) and self.lines[r - 1].x in home:  # type: ignore[union-attr]
                # an evaluation at a state belongs to the step that starts there, whoever made it
                line = replace(line, step=home[self.lines[r - 1].x])  # type: ignore[union-attr]
            kept.append(line)
            number[r] = len(kept)
        return Plan(
            lines=tuple(kept),
            levels=tuple(levels),
            states=tuple(number[r] for r in states),
            outputs=(("x", number[out]),),
            prediction=self.prediction,
            **about,
        )


def _moved(line: Line, where: Any) -> Line:
    if isinstance(line, Lin):
        return replace(line, terms=tuple((where[q], c) for q, c in line.terms))
    return replace(line, x=where[line.x]) if isinstance(line, Eval) else line


def _needed(lines: Sequence[Line], ends: set[int]) -> set[int]:
    needed = set(ends)
    for r in range(len(lines), 0, -1):
        if r in needed:
            needed.update(sources(lines[r - 1]))
    return needed
