"""The last word for the network itself: a plan's numbers fitted to a few of the network's own trajectories.

Laws made from data stand in for a network, and the more free numbers a fit to them has the more it finds that holds of
the laws alone. Where the network can be asked, some of its own trajectories say what is true of it: from a plan that is
good already a few Gauss-Newton steps on a handful of them serve trajectories that were never seen as well, because
every one has as many residuals as the network has outputs, against some dozens of numbers. The fit is that of
:mod:`.training`; the network is a function and no more, whose slopes are differences (:mod:`.differences`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..plan import Level, Plan
from .free import Free
from .judging import agree, trial_of
from .training import fit

__all__ = ["Refined", "refine"]


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
        rounds: Gauss-Newton steps. The slopes of a plan of ``N`` evaluations take ``(N^3 - N) / 6 + 3 N - 2`` calls a
            sample, and every step that is tried ``N``.
        tol: relative error of the trajectories' ends, estimated by doubling their steps.

    Returns:
        The best plan found, never worse on ``x`` than its neighbour in the family that it began with.

    Raises:
        ValueError: a network for another process or prediction; a plan of one evaluation; no starting points, some that
            are not finite, or no rounds; a plan that the family has nothing near to; trajectories that do not converge.
    """
    if plan.nfe < 2:
        raise ValueError(f"{plan.solver} in {plan.nfe} evaluation has no number to fit: use a plan of at least 2")
    if len(x) < 1 or rounds < 1:
        raise ValueError(f"{len(x)} starting points and {rounds} rounds leave nothing to fit: use at least 1 of each")
    family = Free(process, plan.start, process.level(process.t_stop).lam, plan.nfe)
    theta = family.near(plan)
    if theta is None:
        raise ValueError(
            f"{plan.solver} in {plan.nfe} evaluations has no neighbour in the family: refine a design, or a multistep "
            "plan with an evaluation for each step between the process's first level and its last"
        )
    agree(plan, model, process, prediction)
    calls: list[int] = []

    def counted(x: Any, level: Level) -> Any:
        calls.append(len(x))
        return model(x, level)

    trial = trial_of(plan, counted, x, process, prediction, tol)
    ends = len(calls)
    made = fit(family, theta, [trial], rounds=rounds, losses=("linear",))
    refined = made.plan(prediction)
    return Refined(refined, trial.error(plan), trial.error(refined), sum(calls[ends:]))
