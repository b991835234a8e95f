"""The variances against which a change of a state is called small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..plan import Level, Plan

__all__ = ["Scale", "ancestral", "marginal"]

Scale = Callable[[Plan], list[float]]
"""From a plan to a variance for the input of each of its evaluations."""


def ancestral(plan: Plan) -> list[float]:
    """The variance of the step that leaves the state, as DDPM draws it (Shih et al. 2023, algorithm 1 and code):

        sigma_t^2 / sigma_s^2 (sigma_s^2 - (alpha_s / alpha_t)^2 sigma_t^2)

    for the step from ``s`` to ``t``, whether the plan draws or not. It is zero for a step to ``sigma = 0``, so that
    what is evaluated there is final only when it does not change at all; so too for a plan's evaluation after its last
    step.
    """
    return [_step(*ends) for ends in _ends(plan)]


def marginal(plan: Plan) -> list[float]:
    """``sigma^2`` of the level at which each evaluation is made."""
    return [float(plan.lines[r - 1].level.sigma) ** 2 for r in plan.evaluations]  # type: ignore[union-attr]


def _ends(plan: Plan) -> list[tuple[Level, Level]]:
    steps = [plan.lines[r - 1].step for r in plan.evaluations]
    return [(plan.levels[min(i, plan.steps)], plan.levels[min(i + 1, plan.steps)]) for i in steps]


def _step(s: Level, t: Level) -> float:
    if s is t or s.clean:
        return 0.0
    ratio: Any = t.sigma / s.sigma
    return max(0.0, float(ratio**2 * (s.sigma**2 - (s.alpha / t.alpha) ** 2 * t.sigma**2)))
