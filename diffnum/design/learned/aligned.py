"""Timestep alignment: a plan whose network is told other times than its coefficients have (Xia et al. 2024).

At a step from ``s`` to ``t`` the noise network is asked for ``eps(x, r s)``, ``r`` learned for each step, while the
coefficients keep ``s``. It is a plan like any other, of the same cost, and any sampler of noise prediction may have it;
the last ratio is one.

The paper argues with the distance of the sampled to the true marginals; its code minimises another loss through one
DDIM step after another, on the states of the tuned sampler or on noised data,

    min_r E |eps(x_s, s) - eps(x_t(r), t)|^2,

so it asks for a constant noise, which no true trajectory has but for data of one point. :func:`align_coded` is that
for states of the sampler (the optimum there, where theirs takes 500 steps of Adam; that on noised data, all steps at
once, is left out); :func:`align` brings the state nearest to the trajectory.

For an isotropic Gaussian of mean zero and variance ``c`` on a variance-preserving process one DDIM step is exact for

    sigma(tau) / (alpha(tau)^2 c + sigma(tau)^2) = e,   e = (sqrt(v_t / v_s) - alpha_t / alpha_s) / (sigma_t - sigma_s alpha_t / alpha_s),

``v = alpha^2 c + sigma^2``: a quadratic equation in ``sigma(tau)``, of which the nearest root is :func:`isotropic_level`.
"""  # noqa: E501

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...plan import Eval, Level, Plan
from ...process import from_json
from ..trajectories import Trajectories
from .fitting import bounded_minimum, state_after

__all__ = ["align", "align_coded", "aligned", "isotropic_level"]

# ratios are searched between these
LOW, HIGH = 0.25, 1.5


def aligned(plan: Plan, ratios: Sequence[Any]) -> Plan:
    """The plan with its network told ``r t`` at every evaluation; a ratio of one leaves the level as it is.

    Args:
        plan: of noise prediction.
        ratios: one per evaluation. Times beyond the process's ends are those of its ends.

    Raises:
        ValueError: a plan of another prediction, whose meaning would change with the time; another number of ratios.
    """
    if plan.prediction != "noise":
        raise ValueError(f"alignment is for noise networks, not for {plan.prediction}: compile the plan for 'noise'")
    if len(ratios) != plan.nfe:
        raise ValueError(f"{len(ratios)} ratios for {plan.nfe} evaluations: give one per evaluation")
    process = from_json(plan.process)
    left = iter(ratios)

    def told(level: Level) -> Level:
        r = next(left)
        if isinstance(r, (int, float)) and r == 1:
            return level
        return process.level(min(max(r * level.t, process.t_clean), process.t_start))

    lines = [replace(line, level=told(line.level)) if isinstance(line, Eval) else line for line in plan.lines]
    return replace(plan, lines=tuple(lines), solver=f"{plan.solver} with aligned times")


def align(plan: Plan, trajectories: Trajectories) -> Plan:
    """Ratios step after step, each bringing the next state nearest to the exact trajectory there.

    Args:
        plan: of noise prediction, with one evaluation per step.

    Raises:
        ValueError: a plan of another prediction or with other evaluations.
    """
    goals = [trajectories.at(level) for level in plan.levels[1:]]

    def loss(tried: Plan, step: int, x: np.ndarray) -> float:
        state = state_after(tried, trajectories.target, x, step + 1)
        return float(((state - goals[step]) ** 2).sum())

    return _sequential(plan, trajectories, loss, plan.nfe)


def align_coded(plan: Plan, trajectories: Trajectories) -> Plan:
    """Ratios step after step with the loss of the reference code, on the states of the tuned sampler; see above."""

    def loss(tried: Plan, step: int, x: np.ndarray) -> float:
        s, t = tried.levels[step : step + 2]
        before = state_after(tried, trajectories.target, x, step)
        after = state_after(tried, trajectories.target, x, step + 1)
        noise = trajectories.target.predict
        return float(((noise(before, s, "noise") - noise(after, t, "noise")) ** 2).sum())

    return _sequential(plan, trajectories, loss, plan.nfe - 1)


def _sequential(
    plan: Plan, trajectories: Trajectories, loss: Callable[[Plan, int, np.ndarray], float], tuned: int
) -> Plan:
    if plan.nfe != plan.steps:
        raise ValueError(f"{plan.nfe} evaluations in {plan.steps} steps: alignment needs one in each step")
    x = trajectories.at(plan.start)
    ratios = [1.0] * plan.nfe
    for i in range(tuned):

        def tried(r: float, i: int = i) -> float:
            return loss(aligned(plan, [*ratios[:i], r, *ratios[i + 1 :]]), i, x)

        ratios[i] = min((bounded_minimum(tried, LOW, HIGH), 1.0), key=tried)
    return aligned(plan, ratios)


def isotropic_level(process: Any, s: Level, t: Level, variance: float) -> Level:
    """The level to tell for an exact DDIM step on an isotropic Gaussian of mean zero, in closed form.

    Raises:
        ValueError: no level of the process makes the step exact.
    """
    if not process.preserves_variance:
        raise ValueError(f"{process.name} does not preserve variance, which the closed form is for: solve numerically")
    before, after = (level.alpha**2 * variance + level.sigma**2 for level in (s, t))
    q = t.alpha / s.alpha
    wanted = (math.sqrt(after / before) - q) / (t.sigma - q * s.sigma)
    a, c = wanted * (1 - variance), wanted * variance
    root = 1 - 4 * a * c
    width = math.sqrt(root) if root >= 0 else math.nan
    # the noise share of a variance below one is no monotone function of the level
    found = [2 * c / (1 + width), *([(1 + width) / (2 * a)] if a else [])]
    inside = [sigma for sigma in found if 0 < sigma < 1]
    if not inside:
        raise ValueError(f"no level has the noise share {wanted:.6g} that an exact step needs: take a shorter step")
    sigma = min(inside, key=lambda sigma: abs(sigma - s.sigma))
    return process.at(math.log1p(-(sigma**2)) / 2 - math.log(sigma))
