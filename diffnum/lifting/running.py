"""Runs of a sampler on unit vectors and on others, and where two runs part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .recording import Call, Recording
from .subjects import Subject, precise
from .units import Exhausted, Session, drawing

__all__ = ["Parting", "Stopped", "parting", "prepared", "run", "run_on_units"]

# one sample, as a row and as an image
SHAPES: tuple[tuple[int, ...], ...] = ((), (1, 1))
WIDEST = 1 << 15


class Stopped(Exception):
    """The sampler raised an exception, in this step, after this many calls."""

    def __init__(self, error: Exception, step: int, calls: int) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error, self.step, self.calls = error, step, calls


def prepared(subject: Subject, double: bool = False) -> Any:
    """A fresh sampler.

    Raises:
        Stopped: what its preparation raised.
    """
    try:
        with precise(subject, double):
            return subject.prepare(double)
    except Exception as error:
        raise Stopped(error, 0, 0) from error


def run(
    subject: Subject, handle: Any, basis: np.ndarray, tail: tuple[int, ...] = (), double: bool = False
) -> Recording:
    """One walk of a prepared sampler on the vectors of ``basis``.

    Raises:
        Stopped: what the sampler raised.
        Exhausted: the vectors did not suffice.
    """
    session = Session(subject.frame(handle), basis, tail)
    try:
        with precise(subject, double), drawing(session), torch.no_grad():
            subject.walk(handle, session)
    except Exhausted:
        raise
    except Exception as error:
        raise Stopped(error, session.step, len(session.recording().calls)) from error
    recording = session.recording()
    if not recording.calls:
        raise Stopped(ValueError("it never called its model"), 0, 0)
    return recording


def run_on_units(subject: Subject, double: bool = False) -> tuple[Recording, Any, tuple[int, ...]]:
    """The run of a fresh sampler on unit vectors, that sampler, and the shape that it took.

    Raises:
        Stopped: what the sampler raised.
    """
    width = max(64, 4 * (subject.steps or 0) + 16)
    first: Stopped | None = None
    for tail in SHAPES:
        while width <= WIDEST:
            handle = prepared(subject, double)
            try:
                return run(subject, handle, np.eye(width), tail, double), handle, tail
            except Exhausted:
                width *= 2
            except Stopped as stopped:
                first = first or stopped
                break
    raise first or Stopped(ValueError(f"more than {WIDEST} calls, steps and draws: give it fewer levels"), 0, WIDEST)


@dataclass(frozen=True)
class Parting:
    """Where a run first differs from what unit vectors said.

    Attributes:
        step: of the run.
        call: index of the call whose input differs; None for a state.
        size: largest difference over the largest entry that the row could give.
    """

    step: int
    call: int | None
    size: float


def parting(recording: Recording, other: Recording, basis: np.ndarray | None, tol: float) -> Parting | None:
    """The first event of ``other`` that is not that of ``recording`` times ``basis``; None where there is none.

    Args:
        recording: on unit vectors.
        other: on ``basis``; None for unit vectors again.
        tol: of the row's maximum.
    """
    calls = 0
    makers = recording.makers
    for i, ((a, row), (b, got)) in enumerate(zip(recording.rows, other.rows, strict=False)):
        near = np.flatnonzero(row)
        expected = row if basis is None else row[near] @ basis[near]
        scale = np.abs(row).max() if basis is None else (np.abs(row[near]) @ np.abs(basis[near])).max(initial=0.0)
        size = float("inf")
        if type(a) is type(b) and expected.shape == got.shape:
            size = float(np.abs(expected - got).max()) / max(float(scale), 1e-300)
        if not size <= tol:
            return Parting(makers[i], calls if isinstance(b, Call) else None, size)
        calls += isinstance(b, Call)
    if len(recording.rows) != len(other.rows):
        longer = max(recording.rows, other.rows, key=len)
        event, _ = longer[min(len(recording.rows), len(other.rows))]
        return Parting(event.step, None, float("inf"))
    return None
