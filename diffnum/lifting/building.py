"""From a recording to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..plan import Eval, Level, Lin, Line, Noise, Plan
from .frames import Frame
from .measured import Measured
from .recording import Call, Draw, Recording, State
from .subjects import Subject

__all__ = ["assumed", "build", "level_of", "ratio"]


def ratio(pair: tuple[float, float]) -> float:
    """``|sigma / alpha|``."""
    alpha, sigma = (abs(c) for c in pair)
    return sigma / alpha if alpha > 0 else float("inf")


def build(recording: Recording, measured: Measured, frame: Frame, subject: Subject, prior: float | None = None) -> Plan:
    """What the sampler computed.

    Every evaluation stands at the level that the model was told; the states and the two ends at those where they are,
    in the sampler's own scale, so that the plan takes and gives what the sampler does.
    """
    start = level_of(recording.calls[0].time, measured.start, frame) if subject.start is None else subject.start
    last = recording.calls[-1].level
    # what is left of the noise by rounding is none
    left = measured.states[-1]
    least = 1e-6 * min(ratio((last.alpha, last.sigma)), 1.0)
    stop = level_of(0.0, (left[0], 0.0) if ratio(left) <= least else left, frame)
    if subject.stop is not None and (_near(stop, subject.stop) or not _on(left, frame)):
        stop = subject.stop
    bounds = _pinned(recording) if subject.pinned else _seen(recording, start, subject.levels)
    lines: list[Line] = []
    register = {0: 0}
    inputs: dict[int, int] = {}
    after: list[int] = []
    levels: list[Level] = []
    for k, event in enumerate(recording.events):
        step = bounds.step_of[k]
        if isinstance(event, Draw):
            # levels of the interval are filled in below
            lines.append(Noise(start, stop, 0, "z", step))
            register[event.column] = len(lines)
        elif isinstance(event, State):
            lines.append(Lin(_terms(event.row, register), "x", step))
            register[event.column] = len(lines)
            after.append(len(lines))
        else:
            inputs[k] = _input(lines, event, register, step)
            lines.append(Eval(inputs[k], event.level, frame.quantity, "D", step))
            register[event.column] = len(lines)
    if subject.pinned:
        states = [0, *after]
        times = [c.time for c in _firsts(recording)][1:]
        inner = zip(measured.states[:-1], [*times, *[0.0] * len(after)], strict=False)
        levels = [start, *(level_of(t, pair, frame) for pair, t in inner), stop]
    else:
        states = [0, *(inputs[k] for k in bounds.events), after[-1]]
        told = [recording.events[k] for k in bounds.events]
        levels = [start, *(e.level for e in told if isinstance(e, Call)), stop]
    return Plan(
        lines=tuple(_intervals(lines, levels)),
        levels=tuple(levels),
        states=tuple(states),
        outputs=(("x", after[-1]),),
        prediction=frame.quantity,
        solver=subject.name,
        process=frame.process,
        prior=float(prior) if prior is not None else float(np.hypot(start.alpha, start.sigma)),
    )


def assumed(plan: Plan, measured: Measured, frame: Frame) -> Plan:
    """The plan with its evaluations at the levels where their inputs are, whatever the model was told."""
    pairs = iter(measured.calls)
    lines = [
        replace(line, level=level_of(line.level.t, next(pairs), frame)) if isinstance(line, Eval) else line
        for line in plan.lines
    ]
    return replace(plan, lines=tuple(lines))


def _near(one: Level, two: Level) -> bool:
    return abs(one.alpha - two.alpha) <= 1e-9 * max(1.0, two.alpha) and abs(one.sigma - two.sigma) <= 1e-9 * max(
        1.0, two.sigma
    )


def _on(pair: tuple[float, float], frame: Frame) -> bool:
    return frame.kind == "free" or abs(frame.size(*pair) - 1) <= 1e-6


def level_of(t: float, pair: tuple[float, float], frame: Frame) -> Level:
    """The level with the scales ``pair``, their signs put aside."""
    alpha, sigma = (abs(c) for c in pair)
    # no level has neither; a state that lost both is one of pure rounding
    sigma = sigma if alpha + sigma > 0 else 1.0
    return Level(t, alpha, sigma, v=frame.v(alpha, sigma))


class _Bounds:
    """Steps of events, and the events whose input is the state at a level inside the grid."""

    def __init__(self, step_of: Sequence[int], events: Sequence[int]) -> None:
        self.step_of, self.events = step_of, events


def _pinned(recording: Recording) -> _Bounds:
    return _Bounds([e.step for e in recording.events], [])


def _seen(recording: Recording, start: Level, walk: Sequence[float]) -> _Bounds:
    """The last call at each new lowest level, of those of the walk where there is one, starts a step."""
    lowest, found = ratio((start.alpha, start.sigma)), []
    for k, event in enumerate(recording.events):
        if not isinstance(event, Call):
            continue
        here = ratio((event.level.alpha, event.level.sigma))
        if walk and not any(abs(here - s) <= 1e-9 * s for s in walk if s != float("inf")):
            continue
        if here < lowest * (1 - 1e-9):
            found.append(k)
            lowest = here
        elif found and abs(here - lowest) <= 1e-9 * lowest:
            found[-1] = k
    step, steps = 0, []
    for k in range(len(recording.events)):
        step += k in found
        steps.append(step)
    return _Bounds(steps, found)


def _firsts(recording: Recording) -> list[Call]:
    seen: dict[int, Call] = {}
    for call in recording.calls:
        seen.setdefault(call.step, call)
    return list(seen.values())


def _terms(row: np.ndarray, register: dict[int, int], scale: float = 1.0) -> tuple[tuple[int, float], ...]:
    terms = tuple((register[int(i)], float(row[i]) / scale) for i in np.flatnonzero(row))
    return terms or ((0, 0.0),)


def _input(lines: list[Line], call: Call, register: dict[int, int], step: int) -> int:
    terms = _terms(call.row, register, call.view)
    if len(terms) == 1 and terms[0][1] == 1.0:
        return terms[0][0]
    lines.append(Lin(terms, "u", step))
    return len(lines)


def _intervals(lines: list[Line], levels: list[Level]) -> list[Line]:
    """Draws named by the levels of their step and their number in it."""
    made: list[Line] = []
    count: dict[int, int] = {}
    for line in lines:
        if isinstance(line, Noise):
            i = min(line.step, len(levels) - 2)
            line = Noise(levels[i], levels[i + 1], count.get(i, 0), line.name, line.step)
            count[i] = line.j + 1
        made.append(line)
    return made
