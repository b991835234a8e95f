"""The last word for the network itself: a plan's numbers fitted to a few of the network's own trajectories.

Laws made from data stand in for a network, and the more free numbers a fit to them has the more it finds that holds of
the laws alone. Where the network can be asked, some of its own trajectories say what is true of it: from a plan that
is good already a few Gauss-Newton steps on a handful of them,

    min over theta of   mean_k |plan_theta(x_k) - x_k(0)|^2 + ridge s^2 |theta - theta_0|^2,

``s^2`` the first term at ``theta_0``, serve trajectories that were never seen as well, because every one of them has as
many residuals as the network has outputs, against some dozens of numbers. The network is a function and no more: slopes
are forward differences, one run of the plan for each number, and nothing is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..plan import Level, Plan
from ..read.sample import sample
from .free import Free
from .judging import Followed, numbers_of
from .levenberg import LOSSES, least_squares
from .trajectories import DATA

__all__ = ["Refined", "refine"]

RIDGE = 1e-4
_STEP = 1e-3
"""Of a difference: its error is of this size, and so is that of a network in float32 divided by it."""


@dataclass(frozen=True)
class Refined:
    """A plan that was fitted to a model's trajectories.

    Attributes:
        plan: of as many evaluations from the same level, for the model's prediction.
        before, error: root mean square distance to the trajectories' ends, of the plan that was given and of this one,
            on the very trajectories of the fit. Judge it on others, by :func:`.judging.judge`.
        calls: evaluations of the model, each of one sample, beside those for the trajectories' ends.
    """

    plan: Plan
    before: float
    error: float
    calls: int


def refine(
    plan: Plan,
    model: Callable[[Any, Level], Any],
    x: Any,
    process: Any,
    prediction: str = "data",
    rounds: int = 4,
    tol: float = 1e-3,
) -> Refined:
    """Fit the levels and weights of a plan to the trajectories of a model from ``x``.

    Args:
        plan: to begin with, one of :func:`.designing.design` or a multistep method by hand that keeps each level's
            noise and has an evaluation for each step.
        model: ``model(x, level)``, returning ``prediction``.
        x: ``(n, ...)`` starting points at ``plan.start``, torch or numpy, as the model takes them; a dozen or two.
        process: the model's noise process.
        prediction: what the model returns.
        rounds: Gauss-Newton steps. Each takes a run on ``x`` for every free number, of which a plan of ``N``
            evaluations has ``(N - 1) (N + 2) / 2``, and some more.
        tol: relative error of the trajectories' ends, estimated by doubling their steps.

    Returns:
        The best plan found, never worse on ``x`` than its neighbour in the family that it began with.

    Raises:
        ValueError: no starting points or no rounds; a plan that the family has nothing near to; trajectories that do
            not converge.
    """
    if len(x) < 1 or rounds < 1:
        raise ValueError(f"{len(x)} starting points and {rounds} rounds leave nothing to fit: use at least 1 of each")
    family = Free(process, plan.start, process.level(process.t_stop).lam, plan.nfe)
    theta = family.near(plan)
    if theta is None:
        raise ValueError(
            f"{plan.solver} in {plan.nfe} evaluations has no neighbour in the family: refine a design, or a multistep "
            "plan with an evaluation for each step between the process's first level and its last"
        )
    law = Followed(model, prediction, process, process.level(process.t_stop), x)
    rows = numbers_of(x)
    task = _Task(family, law, rows, law.flow(rows, plan.start, DATA, tol))
    before = _norm(task.distance(plan))
    leash = np.sqrt(RIDGE) * _norm(task.residual(theta))

    def residual(vector: np.ndarray) -> np.ndarray:
        return np.append(task.residual(vector), leash * (vector - theta))

    def slopes(vector: np.ndarray) -> np.ndarray:
        here = residual(vector)
        return np.stack([(residual(vector + _STEP * e) - here) / _STEP for e in np.eye(family.size)], axis=1)

    vector, _ = least_squares(residual, slopes, theta, LOSSES["linear"](1.0), rounds)
    refined = family.plan(vector.tolist(), prediction)
    return Refined(refined, before, _norm(task.distance(refined)), sum(task.calls))


@dataclass(frozen=True, eq=False)
class _Task:
    """What the fit looks at.

    Attributes:
        family: of the plan.
        law: the model.
        x, ends: trajectories.
        calls: of the model, a number for each run.
    """

    family: Free
    law: Followed
    x: np.ndarray
    ends: np.ndarray
    calls: list[int] = field(default_factory=list)

    def distance(self, plan: Plan) -> np.ndarray:
        """Differences whose squares add up to the mean square distance."""
        self.calls.append(plan.nfe * len(self.x))
        return ((sample(plan, self.law, self.x) - self.ends) / np.sqrt(len(self.x))).ravel()

    def residual(self, vector: np.ndarray) -> np.ndarray:
        """The same of a vector; infinite where it is no plan."""
        try:
            return self.distance(self.family.plan(vector.tolist()))
        except ValueError:
            return np.full(self.x.size, np.inf)


def _norm(difference: np.ndarray) -> float:
    return float(np.linalg.norm(difference))
