"""h-Edit: a run that reproduces an image, bent towards another condition by Doob's h-transform (Nguyen et al. 2025)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..plan import Level, Plan
from ..prediction import convert
from .steps import Step, drawer, evaluator, steps_of

__all__ = ["Edited", "edit"]

Reward = Callable[[Any, Level], Any]
"""From a state and its level to the gradient of ``log h`` there."""


@dataclass(frozen=True)
class Edited:
    """What an edit gives.

    Attributes:
        x: the edited sample.
        states: at the levels of the plan.
        nfe: evaluations of both models.
    """

    x: Any
    states: tuple[Any, ...]
    nfe: int


def edit(
    plan: Plan,
    source: Any,
    target: Any,
    x: Any,
    noise: Any = None,
    loops: int = 0,
    reward: Reward | None = None,
    strength: float = 0.0,
    guidance: float = 1.0,
    reconstruction: float = 0.0,
) -> Edited:
    """Walk ``plan`` with the ``source`` model and the draws that reproduce an image, and add at every step

        x_t <- base + w c (eps_target(x_s) - eps_source(x_s)),                                  explicit (eq. 23)
        x^{k+1} = x^k + w c (eps_target(x^k, t) - eps_source(x^k, t)),   x^0 = base,  k < loops   implicit (eq. 25)

    where ``base`` is the plan's step and ``c`` what a step multiplies the predicted noise by, beyond what belongs to
    the state: ``c = sqrt(sigma_t^2 - nu^2) - sigma_s alpha_t / alpha_s``. With equal models the image comes back. The
    explicit form is the plan run with the model ``source + w (target - source)``; each loop of the implicit one looks
    at what it has made.

    With the draws of :func:`noise_maps` the explicit form is the pseudo-guidance of TurboEdit (Deutch et al. 2024,
    section 4.3), there written with the source path ``x``, the edited path ``y`` and the mean ``mu`` of a step as

        y_t = x_t + (mu_source(y_s) - mu_source(x_s)) + w (mu_target(y_s) - mu_source(y_s)):

    the trajectory term has weight one in the authors' code, and only the prompt term is scaled.

    Loops without end arrive where both models agree, wherever the image is. A ``reconstruction`` of ``r`` holds them
    back: each loop also adds ``r (base - x^k)``, and they end in ``w c (eps_target - eps_source) = r (x - base)``. The
    authors' code takes an l1 distance and scales its gradient to a tenth of the edit, from the second loop on.

    A reward with ``g = grad log h`` adds ``strength |edit| / |g| g`` per step or loop, norms per sample, so that only
    its direction counts. The authors' code for style takes the norm of ``eps_target - eps_source``, without ``c``, once
    for the batch, and asks ``g`` after the edit is added; with ``c`` a run's sum has a limit as steps shrink. For a
    sample without an edit to scale by, as with equal models, ``g`` itself is added ``strength`` times, as their code
    for faces does: the more steps, the more of it. The h-transform itself is an edit whose ``target`` is
    ``dn.models.ClassifierGuided(source, grad_log_h, 1.0, prediction)``: where ``h(x, t) = E[h(x_0) | x_t = x]`` the law
    of the edits tends to the source's, tilted by ``h``. A weight beyond one is guidance, which no law tilted by a power
    has, and ``K`` loops tend to a weight of ``K``.

    Args:
        plan: one-step, one evaluation a step at its own state: DDIM, or DDPM ancestral with its noise maps.
        source, target: models of ``plan.prediction``.
        x: the state at ``plan.start`` from which ``plan``, with ``source`` and ``noise``, gives the image.
        noise: the draws, such as :class:`~diffnum.inversion.NoiseMaps`.
        loops: 0 for the explicit form; of the implicit one.
        reward, strength: see above.
        guidance: ``w``; beyond one the edit is extrapolated.
        reconstruction: ``r >= 0``, for loops.

    Raises:
        ValueError: another kind of plan; a negative number of loops; a reward without strength or the reverse; a
            number that is not finite; loops at ``sigma = 0``, where a data or score prediction tells no noise.
    """
    if not (isinstance(loops, int) and loops >= 0):
        raise ValueError(f"loops = {loops!r} is no number of loops: use 0 for the explicit form, or a whole number > 0")
    if (reward is None) != (strength == 0):
        raise ValueError(f"strength = {strength!r} does not fit the reward: give both or none")
    if not (math.isfinite(strength) and math.isfinite(guidance)):
        raise ValueError(f"strength = {strength!r} and guidance = {guidance!r} are weights: give finite numbers")
    if not 0 <= reconstruction < math.inf or (reconstruction and not loops):
        raise ValueError(
            f"reconstruction = {reconstruction!r} with loops = {loops!r}: give a weight >= 0, and none without loops"
        )
    if loops and plan.stop.clean and plan.prediction in ("data", "score"):
        raise ValueError(
            f"loops = {loops} ask for the noise at sigma = 0, which a {plan.prediction} prediction does not tell: stop "
            "the grid at sigma > 0, or use noise or velocity prediction"
        )
    of_source, of_target = evaluator(plan, source), evaluator(plan, target)
    draw = drawer(plan, noise, x)
    states, nfe = [x], 0
    for step in steps_of(plan):
        now, seen = states[-1], {}

        def once(value: Any, level: Level, seen: dict[str, Any] = seen) -> Any:
            seen["source"] = of_source(value, level)
            return seen["source"]

        base = step(now, once, draw)
        nfe += step.nfe
        c = guidance * _noise_coefficient(step)
        after = base
        for k in range(max(loops, 1)):
            at, level = (after, step.t) if loops else (now, step.s)
            ours = of_source(at, level) if loops else seen["source"]
            theirs = of_target(at, level)
            nfe += 1 + bool(loops)
            b = convert(level, plan.prediction, "noise")[1]
            change = (c * b) * (theirs - ours)
            if reward is not None:
                change = change + _scaled(reward(at, level), change, strength)
            if reconstruction:
                change = change + reconstruction * (base - after)
            after = (after if k else base) + change
        states.append(after)
    return Edited(states[-1], tuple(states), nfe)


def _noise_coefficient(step: Step) -> float:
    """``c``: the step's weight of its prediction, as a prediction of noise."""
    evaluations = [r for r, line in step.lines if r in step.plan.evaluations]
    if len(evaluations) != 1 or step.plan.lines[evaluations[0] - 1].x != step.first:  # type: ignore[union-attr]
        raise ValueError(
            f"{step.plan.solver} does more in a step than ask once at its state: edit with ddim, ddim_eta or "
            "ddpm_ancestral"
        )
    # native = a x + b eps: a change of eps moves the native prediction by b times it
    b = convert(step.s, "noise", step.plan.prediction)[1]
    return step.coefficient(evaluations[0]) * b


def _scaled(g: Any, change: Any, strength: float) -> Any:
    """``strength |change| / |g| g`` for every sample, ``strength g`` where ``change`` is zero."""
    axes = tuple(range(1, len(g.shape)))
    size, own = ((v**2).sum(axes, keepdims=True) ** 0.5 for v in (change, g))
    still, flat = size == 0, own == 0
    return strength * (size + still * 1.0) / (own * ~still + (still | flat) * 1.0) * g
