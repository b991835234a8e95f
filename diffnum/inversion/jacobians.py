"""The derivative of a step of any number of evaluations, exactly, on laws whose posterior covariance is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..plan import Eval, Lin, Noise
from ..prediction import to_native
from .steps import Step

__all__ = ["jacobian"]


def jacobian(step: Step, target: Any, x: Any, draw: Callable[[Noise], Any]) -> np.ndarray:
    """``dx_t / dx_s`` of a step at ``x``, by the chain rule with ``dD/dx = alpha / sigma^2 Cov[x0 | x]`` (Tweedie).

    Args:
        target: a law with ``posterior_cov`` and ``predict``.
        x: ``(..., d)``, float64.
        draw: the step's draws, which are held.

    Returns:
        ``(..., d, d)``.
    """
    one = np.broadcast_to(np.eye(x.shape[-1]), (*x.shape, x.shape[-1]))
    values: dict[int, Any] = {step.first: x}
    slopes: dict[int, Any] = {step.first: one}
    for r, line in step.lines:
        if isinstance(line, Lin):
            values[r] = sum([float(c) * values[q] for q, c in line.terms])
            slopes[r] = sum([float(c) * slopes[q] for q, c in line.terms])
        elif isinstance(line, Eval):
            u, level = values[line.x], line.level
            a, b = to_native(level, line.quantity)
            of_data = level.alpha / level.sigma**2 * target.posterior_cov(u, level)
            values[r] = target.predict(u, level, line.quantity)
            slopes[r] = a * slopes[line.x] + b * of_data @ slopes[line.x]
        else:
            values[r], slopes[r] = draw(line), 0 * one
    return slopes[step.last]
