"""Variances of edit-friendly noise maps on a Gaussian: of every step of every sampler, in every direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plan import Eval, Lin, Plan
from ..prediction import to_native
from ..targets.gaussian import Gaussian
from .maps import last_draw
from .steps import Step, steps_of

__all__ = ["map_variances"]


def map_variances(plan: Plan, target: Gaussian) -> np.ndarray:
    """Variance of every map of :func:`~diffnum.inversion.noise_maps` along an ``independent_path``, where images are
    drawn from the Gaussian's own law at ``plan.stop``.

    About its mean a step is ``x_t = a x_s + nu z`` in each direction of ``target.eigen()``. The noised copies share the
    image ``x_n`` alone: with ``k_i = alpha_i / alpha_n`` and ``w_i^2 = sigma_i^2 - (k_i sigma_n)^2``,

        Var z = ((k_t - a k_s)^2 v_n + w_t^2 + a^2 w_s^2) / nu^2,    v_n = alpha_n^2 c + sigma_n^2,

    which for DDPM between levels before the last tends to :func:`~diffnum.inversion.variance` as the image's own noise
    ``sigma_n`` vanishes; in the last step ``w_t = 0``, and the map is smaller. Draws of a step before its last add the
    square of what the step makes of them.

    Returns:
        ``(steps, dim)``.

    Raises:
        ValueError: as :func:`~diffnum.inversion.noise_maps`.
    """
    stop, c = plan.stop, target.eigen()[1]
    spread = stop.alpha**2 * c + stop.sigma**2
    keep = [level.alpha / stop.alpha for level in plan.levels]
    own = [level.sigma**2 - (k * stop.sigma) ** 2 for k, level in zip(keep, plan.levels, strict=True)]
    rows = []
    for i, step in enumerate(steps_of(plan)):
        register, _ = last_draw(step, i)
        others = [r for r, _ in step.draws if r != register]
        a, *drawn = (_gain(step, r, c) for r in (step.first, *others))
        seen = (keep[i + 1] - a * keep[i]) ** 2 * spread + own[i + 1] + a**2 * own[i]
        rows.append((seen + sum([g**2 for g in drawn])) / step.coefficient(register) ** 2)
    return np.stack(rows)


def _gain(step: Step, register: int, c: np.ndarray) -> Any:
    """By how much the state after the step moves with ``register`` in each direction, the model's answers included."""
    moves: dict[int, Any] = {r: 0 * c for r, _ in [(step.first, None), *step.draws]}
    moves[register] = 1 + 0 * c
    for r, line in step.lines:
        if isinstance(line, Lin):
            moves[r] = sum([float(factor) * moves[q] for q, factor in line.terms])
        elif isinstance(line, Eval):
            level = line.level
            a, b = to_native(level, line.quantity)
            moves[r] = (a + b * level.alpha * c / (level.alpha**2 * c + level.sigma**2)) * moves[line.x]
    return moves[step.last]
