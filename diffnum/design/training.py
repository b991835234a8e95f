"""Free numbers by least squares: the end of every trajectory is one residual per coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from ..plan import Level, Plan
from .levenberg import LOSSES, least_squares
from .sensitivity import numbers
from .trial import Trial

__all__ = ["Family", "Fit", "fit"]


class Family(Protocol):
    """Plans with free numbers: :class:`.free.Free`, :class:`.around.Around`."""

    @property
    def start(self) -> Level:
        """The first level, which does not depend on the numbers."""
        ...

    @property
    def size(self) -> int:
        """Length of a vector."""
        ...

    def plan(self, theta: Any, prediction: str = "data") -> Plan:
        """The plan of a vector, whose entries may be torch leaves."""
        ...


F = TypeVar("F", bound=Family)


@dataclass(frozen=True)
class Fit(Generic[F]):
    """A trained vector.

    Attributes:
        free: the family.
        theta: its vector.
        error: root mean square, over the trials, of the error in their units.
        before: the same at the vector that training started from.
        rounds: linearisations that were solved.
    """

    free: F
    theta: np.ndarray
    error: float
    before: float
    rounds: int

    def plan(self, prediction: str = "data") -> Plan:
        """The plan, in floats."""
        return self.free.plan(self.theta.tolist(), prediction)


def fit(
    free: F,
    theta: np.ndarray,
    trials: Sequence[Trial],
    units: Sequence[float] | None = None,
    rounds: int = 40,
    ridge: float = 1e-4,
    losses: Sequence[str] = ("soft_l1", "linear"),
) -> Fit[F]:
    """Minimise the mean square distance to the trajectories' ends over the family's numbers,

        min over theta of   mean over trials of (error of plan_theta / unit)^2 + s^2 ridge |theta - theta_0|^2,

    ``s^2`` the first term at ``theta_0``, by damped least squares on exact linearisations (:mod:`.levenberg`,
    :mod:`.sensitivity`). It converges in tens of rounds where first-order optimisers take thousands of steps, has no
    learning rate and no randomness.

    Args:
        free: the family.
        theta: where to start, such as :meth:`.free.Free.vector` or the zeros of an :class:`.around.Around`.
        trials: surrogates.
        units: of the error on each, such as that of the best hand-made plan, so that a surrogate that is harder to
            follow does not count for more; ones if None.
        rounds: most linearisations with each loss.
        losses: of :data:`.levenberg.LOSSES`, one after the other. Trajectories near a watershed end in the wrong mode
            until the plan is good, and their squares hide all others: ``"soft_l1"`` first counts them less.
        ridge: of the quadratic penalty, which decides the directions that the trajectories leave open.

    Raises:
        ValueError: no trials.
    """
    if not trials:
        raise ValueError("no trials were given: draw trajectories of a surrogate first")
    parts = [part for trial in trials for part in trial.parts]
    each = [1.0] * len(trials) if units is None else list(units)
    known = [unit for trial, unit in zip(trials, each, strict=True) for _ in trial.parts]
    scales = [
        np.full(n := len(part.trajectories), np.sqrt(part.weight / (n * len(trials))) / unit)[:, None]
        for part, unit in zip(parts, known, strict=True)
    ]

    def distance(vector: np.ndarray) -> np.ndarray:
        try:
            plan = free.plan(vector.tolist())
        except ValueError:
            # a step may bring levels together: it is taken back like any that gains nothing
            return np.full(sum(part.trajectories.x.size for part in parts), np.inf)
        return np.concatenate(
            [
                (scale * (part.trajectories.outputs(plan) - part.trajectories.end)).ravel()
                for scale, part in zip(scales, parts, strict=True)
            ]
        )

    before = float(np.linalg.norm(distance(theta)))
    leash = before * math.sqrt(ridge)

    def residual(vector: np.ndarray) -> np.ndarray:
        return np.append(distance(vector), leash * (vector - theta))

    def linearised(vector: np.ndarray) -> np.ndarray:
        made = numbers(free.plan, vector)
        rows = [
            (scale[..., None].astype(np.float32) * part.trajectories.slopes(made, free.start, np.float32))
            for scale, part in zip(scales, parts, strict=True)
        ]
        return np.concatenate([*(part.reshape(-1, free.size) for part in rows), leash * np.eye(free.size)])

    # a residual of a third of their root mean square is where the softer loss turns
    turn = before / math.sqrt(3 * sum(part.trajectories.x.size for part in parts))
    vector, solved = theta, 0
    for loss in losses:
        vector, more = least_squares(residual, linearised, vector, LOSSES[loss](turn), rounds)
        solved += more
    return Fit(free, vector, float(np.linalg.norm(distance(vector))), before, solved)
