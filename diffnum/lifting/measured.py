"""At which level a sampler's state really is: its run on one point.

For data of a single point every prediction is known without a network: ``x0`` is the point, and the noise is whatever
of the input is not ``alpha x0``. Started at ``alpha x0 + sigma eps`` a sampler's states are then ``A x0 + S z`` with
``z`` of unit norm over the start's noise and the draws, and ``(A, S)`` is the level that its coefficients are made
for. It is read off the recording; the levels that the model was *told* do not enter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..plan import Level
from .frames import Frame
from .recording import Call, Recording

__all__ = ["Measured", "measure"]


@dataclass(frozen=True)
class Measured:
    """``(A, S)`` of everything that has a row.

    Attributes:
        start: of ``x_T`` in the scale that the sampler is given.
        calls: of each input of the model, in the scale of its level.
        states: after each step, or of the output alone, in the sampler's own scale.
    """

    start: tuple[float, float]
    calls: tuple[tuple[float, float], ...]
    states: tuple[tuple[float, float], ...]


def measure(recording: Recording, frame: Frame, start: Level | None = None) -> Measured:
    """The levels of a run.

    Args:
        start: of ``x_T``; None takes the level that the first call is told, in the scale that it implies.

    Raises:
        ValueError: the first call does not depend on ``x_T``.
    """
    draws = {d.column: 2 + j for j, d in enumerate(recording.draws)}
    columns = [0, *draws, *(e.column for e, _ in recording.rows)]
    on = np.zeros((1 + max(columns), 2 + len(draws)))
    for column, j in draws.items():
        on[column, j] = 1.0
    first = (start.alpha, start.sigma) if start is not None else _first(recording, frame, tuple(draws))
    on[0, :2] = first
    eps = np.eye(1, on.shape[1], 1)[0]
    calls, states = [], []
    for event, row in recording.rows:
        near = np.flatnonzero(row)
        value = row[near] @ on[near]
        if isinstance(event, Call):
            value = value / event.view
        noise = np.array([0.0, *value[1:]])
        norm = float(np.linalg.norm(noise))
        # fresh draws may be at right angles to the noise before; only its own reverse is a sign
        scale = -norm if noise @ eps < -0.5 * norm else norm
        eps = noise / scale if norm > 0 else eps
        level = float(value[0]), scale
        if not isinstance(event, Call):
            states.append(level)
            if event.column >= 0:
                on[event.column] = value
            continue
        calls.append(level)
        on[event.column] = _prediction(frame, *level, eps)
    return Measured(first, tuple(calls), tuple(states))


def _first(recording: Recording, frame: Frame, draws: tuple[int, ...]) -> tuple[float, float]:
    call = recording.calls[0]
    c = call.row[0] / call.view
    if c == 0:
        raise ValueError("the first call of the model does not depend on the start: the sampler ignores its x_T")
    drawn = sum(float(call.row[j] / call.view) ** 2 for j in draws if j < len(call.row))
    return call.level.alpha / c, max(call.level.sigma**2 - drawn, 0.0) ** 0.5 / c


def _prediction(frame: Frame, alpha: float, sigma: float, eps: np.ndarray) -> np.ndarray:
    point = np.eye(1, len(eps))[0]
    if frame.quantity == "data":
        return point
    if frame.quantity == "noise":
        return eps
    if frame.quantity == "score":
        size = frame.size(alpha, sigma)
        return -eps * (size / sigma) if sigma else 0 * eps
    a, b = frame.v(alpha, sigma)
    return a * point + b * eps
