"""Free numbers by least squares: the end of every trajectory is one residual per coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Plan
from .free import Free
from .sensitivity import numbers, sensitivities
from .trajectories import Trajectories

__all__ = ["Fit", "fit"]


@dataclass(frozen=True)
class Fit:
    """A trained vector.

    Attributes:
        free: the family.
        theta: its vector.
        error: root mean square distance to the ends of the training trajectories.
        before: the same at the vector that training started from.
        rounds: linearisations that were solved.
    """

    free: Free
    theta: np.ndarray
    error: float
    before: float
    rounds: int

    def plan(self, prediction: str = "data") -> Plan:
        """The plan, in floats."""
        return self.free.plan(self.theta.tolist(), prediction)


def fit(
    free: Free,
    theta: np.ndarray,
    trials: Sequence[Trajectories],
    weights: Sequence[float] | None = None,
    rounds: int = 40,
    ridge: float = 1e-4,
) -> Fit:
    """Minimise the mean square distance to the trajectories' ends over the family's numbers,

        min over theta of   sum_m w_m mean_k |plan_theta(x_mk) - end_mk|^2 + ridge s^2 |theta - theta_0|^2,

    ``s^2`` the error at ``theta_0``, by scipy's trust-region least squares on exact linearisations
    (:mod:`.sensitivity`). It converges in tens of rounds where first-order optimisers take thousands of steps, has no
    learning rate and no randomness.

    Args:
        free: the family.
        theta: where to start, see :meth:`Free.vector`.
        trials: trajectories, each from its own law, all known at ``free.start``.
        weights: of the laws; equal if None.
        rounds: most linearisations.
        ridge: of the quadratic penalty, which decides the directions that the trajectories leave open.

    Raises:
        ValueError: no trials.
    """
    from scipy.optimize import least_squares

    if not trials:
        raise ValueError("no trajectories were given: draw some with Trajectories.draw(target, start, n)")
    shares = np.full(len(trials), 1 / len(trials)) if weights is None else np.asarray(weights, dtype=np.float64)
    scales = [math.sqrt(w / len(t)) for w, t in zip(shares, trials, strict=True)]
    points = [t.at(free.start) for t in trials]
    kept: dict[bytes, Any] = {}

    def look(vector: np.ndarray) -> Any:
        key = vector.tobytes()
        if key not in kept:
            kept.clear()
            kept[key] = numbers(free.plan, vector)
        return kept[key]

    def distance(vector: np.ndarray) -> np.ndarray:
        plan = free.plan(vector.tolist())
        return np.concatenate(
            [
                scale * (trial.outputs(plan) - trial.end).ravel()
                for scale, trial in zip(scales, trials, strict=True)
            ]
        )

    before = float(np.linalg.norm(distance(theta)))
    leash = math.sqrt(ridge) * before

    def residual(vector: np.ndarray) -> np.ndarray:
        return np.append(distance(vector), leash * (vector - theta))

    def jacobian(vector: np.ndarray) -> np.ndarray:
        made = look(vector)
        rows = [
            scale * sensitivities(made, trial.target, x)[1].reshape(-1, free.size)
            for scale, trial, x in zip(scales, trials, points, strict=True)
        ]
        return np.concatenate([*rows, leash * np.eye(free.size)])

    found = least_squares(residual, theta, jacobian, method="trf", x_scale="jac", ftol=1e-5, xtol=1e-5, max_nfev=rounds)
    return Fit(free, found.x, float(np.linalg.norm(distance(found.x))), before, int(found.njev))
