"""Faults that one recording shows: its levels, its scale, its noise, its ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..plan import Level
from .building import level_of, ratio
from .findings import Finding
from .frames import Frame
from .measured import Measured
from .recording import Call, Recording
from .subjects import Subject

__all__ = ["checks"]

# times between two entries of a table: how its levels are interpolated is a matter of taste
BETWEEN = 0.05


def checks(
    recording: Recording, measured: Measured, frame: Frame, subject: Subject, single: bool, loss: float = 0.0
) -> tuple[Finding, ...]:
    """Findings of one run, in order of their steps.

    Args:
        single, loss: the sampler computes in single precision, which changes a coefficient by so much: what counts
            as rounding.
    """
    rounding = _Rounding(single, loss, measured.start[1], _unit(measured, frame))
    found = [
        *_levels(recording, measured, frame, rounding),
        *_noise(recording, measured, frame, subject, single),
        *_outside(recording, frame),
        *_idle(recording, subject, single),
        *_shift(recording, frame),
        *_counts(recording, subject),
        *_end(measured, frame, subject, recording, rounding),
    ]
    return tuple(sorted(found, key=lambda f: (f.note, math.inf if f.step is None else f.step)))


# --- levels ---


@dataclass(frozen=True)
class _Rounding:
    """What counts as rounding.

    Attributes:
        single: of which precision.
        loss: what single precision changes, see :class:`Lifted`.
        start: noise of ``x_T`` in the sampler's own scale of the state, over which its sums lose digits.
        unit: ``alpha`` of a clean state in that scale.
    """

    single: bool
    loss: float
    start: float
    unit: float

    def of(self, level: Level) -> float:
        """Slack of a log-SNR, or of a scale."""
        ulp = max(5e-7, 4 * self.loss) if self.single else 1e-14
        small = min(level.alpha, level.sigma)
        if small <= 0:
            return 1e-4 if self.single else 1e-8
        noise = level.sigma if abs(self.unit - 1) < 1e-3 else level.sigma / level.alpha
        return (1e-4 if self.single else 1e-8) + ulp / small + ulp * abs(self.start) / noise


def _levels(recording: Recording, measured: Measured, frame: Frame, rounding: _Rounding) -> Iterator[Finding]:
    """The level told against that of the input; the first of each kind, with the largest size."""
    kinds: dict[str, list[tuple[Call, int, float, str]]] = {}
    for k, (call, (alpha, sigma)) in enumerate(zip(recording.calls, measured.calls, strict=True)):
        if not math.isfinite(alpha) or not math.isfinite(sigma):
            return
        slack = rounding.of(call.level)
        size = frame.size(alpha, sigma)
        if frame.kind != "free" and not abs(size - 1) <= slack:
            words = f"alpha = {alpha:.6g} and sigma = {sigma:.6g}, which is no level ({_law(frame)})"
            kinds.setdefault("scale", []).append((call, k, abs(size - 1), words))
        gap = _gap(call.level, alpha, sigma)
        if not gap > slack:
            continue
        there = sigma / alpha if alpha else math.inf
        words = f"sigma / alpha = {ratio((call.level.alpha, call.level.sigma)):.6g}, its input is at {there:.6g}"
        kind = "level"
        if frame.time is not None and alpha > 0 and sigma > 0:
            true = frame.time(math.log(alpha / sigma))
            words += f" (time {call.time:.6g} for {true:.6g})"
            apart = abs(true - call.time)
            if call.time != int(call.time) and apart <= BETWEEN:
                continue
            # a whole entry is another level, not rounding
            kind = "rounded" if apart < 0.999 else "level"
            # after a wrong coefficient nothing is where it should be
            kind = "level" if kinds.keys() & {"scale", "level"} else kind
        kinds.setdefault(kind, []).append((call, k, gap, words))
    for kind, cases in kinds.items():
        call, k, _, words = cases[0]
        begins = k == 0 or recording.calls[k - 1].step < call.step
        maker = max(call.step - 1, 0) if begins else call.step
        size = max(case[2] for case in cases)
        said = {
            "scale": f"the input of call {k} is at {words}: a coefficient of step {maker} is wrong, "
            "or the method is not exact on one point",
            "level": f"call {k} is told {words}: the update steps to another level than the model is asked at",
            "rounded": f"call {k} is told {words}: times are cut to the entries of the table",
        }[kind]
        step = call.step if kind != "scale" else maker
        yield Finding(kind, said, step, k, size, count=len(cases))


def _law(frame: Frame) -> str:
    laws = {"circle": "alpha^2 + sigma^2 = 1", "flow": "alpha + sigma = 1", "exploding": "alpha = 1"}
    return laws[frame.kind]


def _gap(level: Level, alpha: float, sigma: float) -> float:
    """Of log-SNR, infinite where a sign is wrong; ends agree with ends."""
    if level.pure_noise or level.clean:
        small = alpha if level.pure_noise else sigma
        return abs(small)
    if alpha <= 0 or sigma <= 0:
        return math.inf
    return abs(math.log(alpha / sigma) - level.lam)


def _outside(recording: Recording, frame: Frame) -> Iterator[Finding]:
    if frame.span is None:
        return
    first, last = frame.span
    bad = [(k, c) for k, c in enumerate(recording.calls) if not first <= c.time <= last]
    if bad:
        k, call = bad[0]
        yield Finding(
            "outside",
            f"call {k} is told the time {call.time:g}, the network knows {first:g} to {last:g}: leave that step out",
            call.step,
            k,
            abs(call.time - min(max(call.time, first), last)),
            count=len(bad),
        )


# --- noise ---


def _noise(recording: Recording, measured: Measured, frame: Frame, subject: Subject, single: bool) -> Iterator[Finding]:
    """A draw that is added again to a state that has it already, however predictions are read.

    A method may write a step anew, with its draw; and read in one quantity a method of several steps looks as if it
    did. A draw that really is used again shows in both readings.
    """
    tol = 1e-4 if single else 1e-9
    again = _pinned_again if subject.pinned else _dense_again
    levels = [level_of(0.0, pair, frame) for pair in measured.calls]
    found: list[dict[int, int]] = []
    for quantity in ("data", "noise"):
        try:
            found.append(again(recording.read(frame.quantity, quantity, levels), tol))
        except ZeroDivisionError:
            continue
    for j, step in (found[0] if found else {}).items():
        if all(j in others for others in found):
            sentence = f"draw {j} is added again in step {step}: draw a fresh normal for every step"
            yield Finding("noise", sentence, step, column=f"z{j}")
            return


def _pinned_again(recording: Recording, tol: float) -> dict[int, int]:
    """Draws to the first later step that adds them to a state of after their own."""
    columns = [0, *(s.column for s in recording.states)]
    found: dict[int, int] = {}
    for event, row in recording.rows:
        least = tol * np.abs(row).max()
        for j, draw in enumerate(recording.draws):
            later = columns[draw.step + 1 : event.step + 1]
            if draw.step < event.step and abs(row[draw.column]) > least and any(abs(row[c]) > least for c in later):
                found.setdefault(j, event.step)
    return found


def _dense_again(recording: Recording, tol: float) -> dict[int, int]:
    """Draws to the first row three later in which they are more than what is left of the rows before."""
    inputs, states = recording.dense()
    calls, rows = recording.calls, [*inputs, states[-1]]
    offset = 1 + len(calls)
    first: dict[int, int] = {}
    found: dict[int, int] = {}
    for i, (before, row) in enumerate(pairwise(rows)):
        r = row[0] / before[0] if before[0] else 0.0
        new = np.abs(row - r * before)[offset:] > tol * np.abs(row).max()
        for j in (int(j) for j in np.flatnonzero(new)):
            if i >= first.setdefault(j, i) + 3:
                found.setdefault(j, calls[min(i, len(calls) - 1)].step)
    return found


# --- steps ---


def _idle(recording: Recording, subject: Subject, single: bool) -> Iterator[Finding]:
    inputs, states = recording.dense()
    tol = 1e-6 if single else 1e-12
    rows = states if subject.pinned else inputs
    calls = recording.calls
    same = [i for i, (a, b) in enumerate(pairwise(rows)) if np.abs(a - b).max() <= tol * np.abs(a).max()]
    if not subject.pinned:
        same = [i for i in same if calls[i].level == calls[i + 1].level]
    else:
        same = [i for i in same if not _moves(recording, i, tol)]
    if same:
        i = same[0]
        call = next((k for k, c in enumerate(calls) if c.step == i), None) if subject.pinned else i
        step = i if subject.pinned else calls[i].step
        yield Finding(
            "idle",
            f"step {step} changes nothing: its evaluation is spent on a level that repeats; leave the level out",
            step,
            call,
            0.0,
            count=len(same),
        )


def _moves(recording: Recording, i: int, tol: float) -> bool:
    """Whether step ``i`` adds to the state before it: beside coefficients of high noise the last ones are small."""
    row = recording.states[i].row
    before = recording.states[i - 1].column if i else 0
    rest = np.delete(row, before)
    return abs(row[before] - 1) < 1e-3 and np.abs(rest).max() > tol * np.abs(row).max()


def _counts(recording: Recording, subject: Subject) -> Iterator[Finding]:
    asked, calls = subject.steps, recording.calls
    if asked is None or len(calls) == asked:
        return
    steps = 1 + max(c.step for c in calls)
    if subject.pinned and steps < asked:
        sentence = f"step {steps} of {asked} is never taken: the model is called {len(calls)} times, walk to the end"
        yield Finding("missing", sentence, steps, len(calls), float(asked - steps), count=asked - steps)
        return
    sentence = f"{asked} steps were asked for, the model is called {len(calls)} times"
    yield Finding("calls", sentence, size=float(len(calls)), count=abs(len(calls) - asked))


# --- ends ---


def _end(
    measured: Measured, frame: Frame, subject: Subject, recording: Recording, rounding: _Rounding
) -> Iterator[Finding]:
    alpha, sigma = measured.states[-1]
    if not (math.isfinite(alpha) and math.isfinite(sigma)):
        return
    step, left = recording.output.step, ratio((alpha, sigma))
    if left > ratio(measured.start):
        # from data to noise
        return
    on = min(abs(frame.size(alpha, sigma) - 1), abs(alpha / _unit(measured, frame) - 1))
    if frame.kind != "free" and on > rounding.of(recording.calls[-1].level):
        words = f"alpha = {alpha:.6g} and sigma = {sigma:.6g}"
        yield Finding(
            "scale",
            f"the output is at {words}, which is no level ({_law(frame)}): a coefficient of step {step} is wrong, "
            "or the method is not exact on one point",
            step,
            None,
            on,
        )
    if subject.stop is not None:
        end = ratio((subject.stop.alpha, subject.stop.sigma))
        if abs(left - end) > 1e-6 * max(end, 1e-3):
            yield Finding(
                "end", f"the output is at sigma / alpha = {left:.6g}, the grid ends at {end:.6g}", step, None, left
            )
    elif frame.least is not None and left > 1.5 * frame.least:
        yield Finding(
            "end",
            f"noise is left in the output, sigma / alpha = {left:.6g}, and the network knows levels down to "
            f"{frame.least:.6g}: step to the data at last",
            step,
            None,
            left,
        )


def _unit(measured: Measured, frame: Frame) -> float:
    """``alpha`` of a state that is ``x / alpha``."""
    alpha, sigma = measured.start
    level = alpha / frame.size(alpha, sigma) if frame.kind != "exploding" else alpha
    return alpha / level if level else 1.0


def _shift(recording: Recording, frame: Frame) -> Iterator[Finding]:
    """Levels ``s u / (1 + (s - 1) u)`` of ``u`` that are such a shift themselves."""
    s = frame.shift
    if frame.kind != "flow" or s == 1 or frame.time is None or frame.least is None:
        return
    sigmas = list(dict.fromkeys(c.level.sigma for c in recording.calls))

    def back(u: float) -> float:
        return u / (s - (s - 1) * u)

    once = np.array([back(u) for u in sigmas])
    twice = np.array([back(back(u)) for u in sigmas])
    least = frame.least / (1 + frame.least)
    end = abs(twice[-1] - least) < 0.02 * least < abs(once[-1] - least)
    bent = len(sigmas) > 3 and _bend(twice) < 1e-3 < _bend(once)
    if end or bent:
        k = len(recording.calls) - 1 if not bent else 1
        call = recording.calls[k]
        what = "all levels are" if bent else "the last level is"
        yield Finding(
            "shift",
            f"{what} shifted by {s:g} twice: unshifted once, call {k} is at sigma = {once[-1 if not bent else 1]:.6g}, "
            f"unshifted twice at {twice[-1 if not bent else 1]:.6g}",
            call.step,
            k,
            float(abs(sigmas[-1 if not bent else 1] - _forward(twice[-1 if not bent else 1], s))),
        )


def _forward(u: float, s: float) -> float:
    return s * u / (1 + (s - 1) * u)


def _bend(u: np.ndarray) -> float:
    steps = np.diff(u)
    return float(np.abs(np.diff(steps)).max() / np.abs(steps).max())
