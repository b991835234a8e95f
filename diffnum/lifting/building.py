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

__all__ = ["assumed", "build", "level_of", "ratio", "stepped"]

# a sigma / alpha that rounding leaves of a step to the data
CLEAN = 1e-6


def ratio(pair: tuple[float, float]) -> float:
    """``|sigma / alpha|``."""
    alpha, sigma = (abs(c) for c in pair)
    return sigma / alpha if alpha > 0 else float("inf")


def build(recording: Recording, measured: Measured, frame: Frame, subject: Subject, prior: float | None = None) -> Plan:
    """What the sampler computed.

    Every evaluation stands at the level that the model was told; the states and the two ends at those where they are,
    in the sampler's own scale, so that the plan takes and gives what the sampler does. A draw that is multiplied by
    nothing is left out.
    """
    start = level_of(recording.calls[0].time, measured.start, frame) if subject.start is None else subject.start
    left = measured.states[-1]
    stop = level_of(0.0, (left[0], 0.0) if ratio(left) <= CLEAN else left, frame)
    if subject.stop is not None and (_near(stop, subject.stop) or frame.kind == "free" or not _on(left, frame)):
        stop = subject.stop
    lines: list[Line] = []
    register = {0: 0}
    used = {int(i) for _, row in recording.rows for i in np.flatnonzero(row)}
    inputs: dict[int, int] = {}
    after: list[int] = []
    levels: list[Level] = []
    for k, event in enumerate(recording.events):
        step = event.step
        if isinstance(event, Draw):
            if event.column not in used:
                continue
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
        levels = [start, *_inner(recording, measured, frame), stop]
    else:
        bounds = _bounds(recording, start, ratio((stop.alpha, stop.sigma)), subject.levels)
        states = [0, *(inputs[k] for k in bounds), after[-1]]
        told = [recording.events[k] for k in bounds]
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
    """The plan with its evaluations at the levels where their inputs are, whatever the model was told.

    An input that is on no level keeps the one that was told.
    """
    pairs = iter(measured.calls)
    lines: list[Line] = []
    for line in plan.lines:
        if isinstance(line, Eval):
            pair = next(pairs)
            line = replace(line, level=level_of(line.level.t, pair, frame)) if _on(pair, frame) else line
        lines.append(line)
    return replace(plan, lines=tuple(lines))


def _near(one: Level, two: Level) -> bool:
    return abs(one.alpha - two.alpha) <= 1e-9 * max(1.0, two.alpha) and abs(one.sigma - two.sigma) <= 1e-9 * max(
        1.0, two.sigma
    )


def _on(pair: tuple[float, float], frame: Frame) -> bool:
    return frame.kind == "free" or abs(frame.size(*pair) - 1) <= 1e-5


def level_of(t: float, pair: tuple[float, float], frame: Frame) -> Level:
    """The level with the scales ``pair``, their signs put aside."""
    alpha, sigma = (abs(c) for c in pair)
    # no level has neither; a state that lost both is one of pure rounding
    sigma = sigma if alpha + sigma > 0 else 1.0
    return Level(t, alpha, sigma, v=frame.v(alpha, sigma))


def stepped(recording: Recording, start: Level, stop: float, walk: Sequence[float]) -> Recording:
    """A run that nobody drove step by step, its events numbered by the steps of the levels that were told."""
    bounds = _bounds(recording, start, stop, walk)
    step, events = 0, []
    for k, event in enumerate(recording.events):
        step += k in bounds
        events.append(replace(event, step=step))
    return Recording(tuple(events))


def _bounds(recording: Recording, start: Level, stop: float, walk: Sequence[float]) -> list[int]:
    """Events that begin a step: the last call at each new lowest level above ``stop``, of those of the walk where
    there is one."""
    lowest, found = ratio((start.alpha, start.sigma)), []
    for k, event in enumerate(recording.events):
        if not isinstance(event, Call):
            continue
        here = ratio((event.level.alpha, event.level.sigma))
        if walk and not any(abs(here - s) <= 1e-9 * s for s in walk if s != float("inf")):
            continue
        if here <= stop * (1 + 1e-9):
            continue
        if here < lowest * (1 - 1e-9):
            found.append(k)
            lowest = here
        elif found and abs(here - lowest) <= 1e-9 * lowest:
            found[-1] = k
    return found


def _inner(recording: Recording, measured: Measured, frame: Frame) -> list[Level]:
    """Levels of the states between the ends, in the sampler's scale; for one that is on none, what the next call is
    told."""
    first: dict[int, int] = {}
    for k, call in enumerate(recording.calls):
        first.setdefault(call.step, k)
    levels = []
    for state, pair in zip(recording.states[:-1], measured.states[:-1], strict=True):
        k = first.get(state.step + 1)
        if k is None:
            levels.append(level_of(0.0, pair, frame))
            continue
        call, at = recording.calls[k], measured.calls[k]
        if not _on(at, frame):
            grown = pair[0] / at[0] if at[0] else 1.0
            pair = call.level.alpha * grown, call.level.sigma * grown
        levels.append(level_of(call.time, pair, frame))
    return levels


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
