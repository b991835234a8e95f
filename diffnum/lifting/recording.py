"""What a sampler did, in numbers: the inputs of the model, the states and the draws as rows over unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..plan import Level
from ..prediction import convert

__all__ = ["Call", "Draw", "Event", "Recording", "State"]


@dataclass(frozen=True)
class Call:
    """One call of the model.

    Attributes:
        row: its input over the columns.
        time: what the sampler called the time, as a float.
        level: the level that this time tells the network.
        view: factor of the input over ``alpha x0 + sigma eps``; 1 but for preconditioned networks.
        column: of its prediction.
        step: in which it was made.
    """

    row: np.ndarray
    time: float
    level: Level
    view: float
    column: int
    step: int


@dataclass(frozen=True)
class State:
    """The state after ``step``; ``column`` is that of the unit vector that took its place, or -1."""

    row: np.ndarray
    column: int
    step: int


@dataclass(frozen=True)
class Draw:
    """A standard normal that the sampler drew."""

    column: int
    step: int


Event = Call | State | Draw


@dataclass(frozen=True)
class Recording:
    """One run of a sampler, its events in order, the last one the output; column 0 is ``x_T``."""

    events: tuple[Event, ...]

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The calls of the model, in order."""
        return tuple(e for e in self.events if isinstance(e, Call))

    @cached_property
    def states(self) -> tuple[State, ...]:
        """The states after each step, or only the output."""
        return tuple(e for e in self.events if isinstance(e, State))

    @cached_property
    def draws(self) -> tuple[Draw, ...]:
        """The draws, in order."""
        return tuple(e for e in self.events if isinstance(e, Draw))

    @cached_property
    def rows(self) -> tuple[tuple[Call | State, np.ndarray], ...]:
        """Every event that has a row, with it."""
        return tuple((e, e.row) for e in self.events if not isinstance(e, Draw))

    @cached_property
    def makers(self) -> tuple[int, ...]:
        """For every row the step that computed it: the first call of a step works on what the step before left."""
        made, before = [], None
        for event, _ in self.rows:
            begins = isinstance(event, Call) and isinstance(before, Call) and event.step > before.step
            made.append(before.step if begins and before is not None else event.step)
            before = event
        return tuple(made)

    @cached_property
    def output(self) -> State:
        """The last state."""
        return self.states[-1]

    def read(self, source: str, target: str, levels: Sequence[Level]) -> Recording:
        """The same run with its predictions of ``source`` read as ``target``, at these levels of the calls.

        Raises:
            ZeroDivisionError: a level where they do not determine it.
        """
        inputs: dict[int, tuple[np.ndarray, float, float]] = {}
        events: list[Event] = []
        at = iter(levels)
        for event in self.events:
            if isinstance(event, Draw):
                events.append(event)
                continue
            row = event.row.copy()
            for column in (int(i) for i in np.flatnonzero(event.row) if int(i) in inputs):
                before, a, b = inputs[column]
                c = event.row[column]
                row[column] += c * (b - 1)
                row += c * a * before
            events.append(replace(event, row=row))
            if isinstance(event, Call):
                a, b = convert(next(at), target, source)
                inputs[event.column] = (row / event.view, float(a), float(b))
        return Recording(tuple(events))

    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows over ``x_T``, the calls and the draws, in that order: of the inputs in the scale of their levels
        ``(calls, 1 + calls + draws)``, and of the states, the first of which is ``x_T`` itself."""
        calls, draws = self.calls, self.draws
        width = 1 + len(calls) + len(draws)
        columns = [0, *(c.column for c in calls), *(d.column for d in draws)]
        size = 1 + max([*columns, *(s.column for s in self.states)])
        unit = np.zeros((size, width))
        unit[columns, range(width)] = 1.0
        inputs, states = [], [unit[0].copy()]
        for event, row in self.rows:
            near = np.flatnonzero(row)
            value = row[near] @ unit[near]
            if isinstance(event, Call):
                inputs.append(value / event.view)
                continue
            states.append(value)
            if event.column >= 0:
                unit[event.column] = value
        return np.array(inputs).reshape(-1, width), np.array(states)
