"""The exact law of a sampler's output on a Gaussian: no samples, no sampling noise.

On a Gaussian the denoiser is affine and every eigen-direction moves alone, so each register of an
affine plan is ``constant + a x_T + sum_k b_k z_k`` per direction; :func:`affine` carries these
forms through the plan, draws included, and :func:`moments` reads mean and variance off the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level, Noise, Plan, interpret
from ..prediction import to_native

__all__ = ["Affine", "affine", "moments"]


@dataclass(frozen=True)
class Affine:
    """``constant + rows[0] x_T + rows[1:] z`` per eigen-direction; shapes ``(d,)`` and ``(1 + draws, d)``."""

    constant: Any
    rows: Any


def affine(plan: Plan, mean: Any, variances: Any) -> Affine:
    """The output register as an affine form on ``N(mean, diag(variances))``.

    Args:
        mean, variances: ``(d,)`` in eigen-coordinates; numpy (float64 or objects such as mpmath
            numbers) or torch, which keeps the gradient.
    """
    torch = next((c for c in (mean, variances) if type(c).__module__.startswith("torch")), None)
    if torch is None and _has_tensor(plan):
        import torch as library

        mean, variances = library.as_tensor(mean), library.as_tensor(variances)
        torch = mean
    index = iter(range(1, 1 + len(plan.draws)))

    def stacked(rows: list[Any]) -> Any:
        if torch is None:
            return np.stack(rows)
        import torch as library

        return library.stack(rows)

    zero, one = mean * 0, variances * 0 + 1

    def lin(terms: Sequence[tuple[Any, Affine]]) -> Affine:
        constant = sum((c * value.constant for c, value in terms[1:]), terms[0][0] * terms[0][1].constant)
        widest = max((value.rows for _, value in terms), key=len)
        rows = widest * 0
        for c, value in terms:
            rows[: len(value.rows)] += c * value.rows
        return Affine(constant, rows)

    def evaluate(value: Affine, level: Level, quantity: str) -> Affine:
        gain = denoiser_gain(variances, level)
        a, b = to_native(level, quantity)
        return Affine(
            a * value.constant + b * (mean + gain * (value.constant - level.alpha * mean)),
            (a + b * gain) * value.rows,
        )

    def noise(line: Noise) -> Affine:
        k = next(index)
        return Affine(zero, stacked([zero] * k + [one]))

    start = Affine(zero, stacked([one]))
    return interpret(plan, start, lin, evaluate, noise)[0]


def _has_tensor(plan: Plan) -> bool:
    return any(type(level.sigma).__module__.startswith("torch") for level in plan.levels)


def denoiser_gain(variances: Any, level: Level) -> Any:
    """``alpha c / (alpha^2 c + sigma^2)``, the slope of ``E[x0 | x]`` on ``N(mean, c)``."""
    return level.alpha * variances / (level.alpha**2 * variances + level.sigma**2)


def moments(plan: Plan, target: Any, init: str = "marginal") -> tuple[Any, Any]:
    """Exact mean and variance of the plan's output on a Gaussian, per eigen-direction.

    Args:
        plan: any plan with scalar coefficients.
        target: a Gaussian (``eigen()`` gives mean and variances in its eigen-basis).
        init: ``"marginal"`` starts from the target's law at ``plan.start``, ``"prior"`` from
            ``N(0, plan.prior^2)``, what users draw.

    Returns:
        ``(mean, variance)``, each ``(d,)``.

    Raises:
        ValueError: a target that is not Gaussian; an unknown ``init``.
    """
    if not hasattr(target, "eigen"):
        raise ValueError(f"exact moments need a Gaussian target, got {type(target).__name__}: use dn.Gaussian.fit(data)")
    mean, variances = target.eigen()
    form = affine(plan, mean, variances)
    start_mean, start_var = start_law(plan, mean, variances, init)
    rows = form.rows
    variance = rows[0] ** 2 * start_var + (rows[1:] ** 2).sum(0)
    return form.constant + rows[0] * start_mean, variance


def start_law(plan: Plan, mean: Any, variances: Any, init: str) -> tuple[Any, Any]:
    """Mean and variance of ``x_T`` for an ``init`` of :func:`moments`."""
    if init == "marginal":
        return plan.start.alpha * mean, plan.start.alpha**2 * variances + plan.start.sigma**2
    if init == "prior":
        return mean * 0, variances * 0 + plan.prior**2
    raise ValueError(f"init = {init!r} is unknown: use 'marginal' or 'prior'")
