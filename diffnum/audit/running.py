"""Lifts of one case: examined, in double precision, and on a few numbers for any count of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..lifting import Lifted, examine
from ..lifting.building import assumed, build, ratio, stepped
from ..lifting.measured import measure
from ..lifting.running import Stopped, prepared, run, run_on_units
from ..lifting.subjects import Subject, subject
from ..lifting.units import Exhausted
from ..plan import Plan
from .quiet import quiet
from .subjects import Case

__all__ = ["Trial", "examined", "lifted", "tried"]

WIDTH = 6
PACKAGE = Path(__file__).parents[1]


def _prepared(case: Case, n: int) -> tuple[Any, Any, dict[str, Any]]:
    """What to lift, how far, and how."""
    thing, options = _built(case) if case.sampler.kind == "scheduler" else case.build(n), dict(case.options)
    if case.sampler.kind == "function":
        return thing, _sigmas(n), {"options": options}
    if case.sampler.kind == "stepper":
        return thing, None, {"options": options}
    if case.preparation:
        return thing, None, {"options": options, "timesteps": {"num_inference_steps": n, **dict(case.preparation)}}
    return thing, n, {"options": options}


@lru_cache(maxsize=4)
def _built(case: Case) -> Any:
    """Some take long to make; what is lifted is a copy."""
    return case.build()


def _sigmas(n: int) -> list[float]:
    """Levels for a function: geometric from 80 to 0.002, then the data."""
    return [*np.geomspace(80.0, 0.002, n).tolist(), 0.0] if n > 1 else [80.0, 0.0]


def examined(case: Case, n: int, precision: str = "shipped") -> Lifted:
    """Everything that one run shows."""
    with quiet():
        thing, walk, arguments = _prepared(case, n)
        return examine(thing, walk, **arguments, precision=precision)


def lifted(case: Case, n: int, double: bool = True) -> tuple[Plan, Plan] | None:
    """What it computes with ``n`` steps: as it tells its model, and with evaluations where their inputs are; None
    where it cannot be lifted."""
    with quiet():
        thing, walk, arguments = _prepared(case, n)
        sampler = subject(thing, walk, **arguments)
        try:
            recording, handle, _ = run_on_units(sampler, double)
        except Stopped:
            return None
        if not all(np.isfinite(row).all() for _, row in recording.rows):
            return None
        frame = sampler.frame(handle)
        found = measure(recording, frame, None if sampler.pinned else sampler.start)
        if not sampler.pinned:
            stop = sampler.stop
            end = ratio(found.states[-1] if stop is None else (stop.alpha, stop.sigma))
            recording = stepped(recording, sampler.start or recording.calls[0].level, end, sampler.levels)
        plan = build(recording, found, frame, sampler, sampler.prior(handle))
        return plan, assumed(plan, found, frame)


@dataclass(frozen=True)
class Trial:
    """A run on a few random numbers.

    Attributes:
        steps: asked for.
        calls: of the model.
        error: the exception, in words; its class in ``raised``.
        step: where it stopped, or where numbers cease to be finite.
        early: it stopped before its first call.
        finite: everything it computed.
        outside: times that the network does not know.
    """

    steps: int
    calls: int = 0
    error: str = ""
    raised: str = ""
    step: int = 0
    early: bool = False
    finite: bool = True
    outside: int = 0


def tried(case: Case, n: int) -> Trial:
    """One run with ``n`` steps in the precision in which it is shipped."""
    with quiet():
        thing, walk, arguments = _prepared(case, n)
        sampler = subject(thing, walk, **arguments)
        basis = np.random.default_rng(n).standard_normal((8 * n + 64, WIDTH))
        found = Trial(n)
        for tail in ((), (1, 1)):
            try:
                return _trial(sampler, n, basis, tail)
            except Stopped as stopped:
                if _told_nothing(stopped.error):
                    return Trial(n, stopped.calls, step=stopped.step, finite=False)
                raised = type(stopped.error).__name__
                found = Trial(n, stopped.calls, str(stopped), raised, stopped.step, stopped.calls == 0)
            except Exhausted:
                found = Trial(n, len(basis), "it does not end", "Exhausted")
        return found


def _told_nothing(error: BaseException) -> bool:
    """It was our model that refused: it was told a time that is no number."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    ours = trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(PACKAGE)
    return ours and "nan" in str(error).lower()


def _trial(sampler: Subject, n: int, basis: np.ndarray, tail: tuple[int, ...]) -> Trial:
    handle = prepared(sampler)
    recording = run(sampler, handle, basis, tail)
    bad = next((event.step for event, row in recording.rows if not np.isfinite(row).all()), None)
    span = sampler.frame(handle).span or (-math.inf, math.inf)
    outside = sum(not span[0] <= call.time <= span[1] for call in recording.calls)
    return Trial(n, len(recording.calls), step=bad or 0, finite=bad is None, outside=outside)
