"""A denoiser that is a function and no more, as a law whose slopes are differences: what a fit asks of a network.

A linearised plan asks, at the state ``x`` of every evaluation, for ``D``, for its slope in the angle of the level, and
for the products ``J M`` of its Jacobian with the moves of the state by each number (:mod:`.sensitivity`). Only numbers
that have moved the state by then cost a call: in all about a third of the calls that a run of the plan for each number
takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level

__all__ = ["Products", "turn"]

_STEP = 1e-3
"""Relative: a forward difference errs by as much, a central one by its square, and a network in float32 by its
rounding divided by it."""


@dataclass(frozen=True, eq=False)
class Products:
    """``Cov[x0 | x] = sigma^2 / alpha dD/dx`` of a denoiser, known by its products alone.

    Attributes:
        law: with ``denoise``.
        x, level: where.
        mean: ``D`` there.
    """

    law: Any
    x: np.ndarray
    level: Level
    mean: np.ndarray

    def along(self, moves: np.ndarray) -> np.ndarray:
        """``(n, p, d)``, forward differences along every move that is not zero."""
        out = np.zeros_like(moves)
        size = _STEP * float(np.linalg.norm(self.x))
        for p in range(moves.shape[1]):
            length = float(np.linalg.norm(moves[:, p]))
            if length:
                step = size / length
                there = self.law.denoise(self.x + step * moves[:, p], self.level)
                out[:, p] = (self.level.sigma**2 / self.level.alpha / step) * (there - self.mean)
        return out


def turn(
    law: Any, x: np.ndarray, level: Level, step: float = _STEP, known: tuple[float, float] = (0.0, math.pi / 2)
) -> np.ndarray:
    """The slope of ``D`` in the angle of the level at constant ``x / rho``, by a central difference.

    Args:
        law, x, level: as above; any law with ``denoise``.
        step: relative.
        known: angles between which the law may be asked; near one of them the difference is to one side.
    """
    angle, rho = math.atan2(level.sigma, level.alpha), math.hypot(level.alpha, level.sigma)
    e = step * min(angle, math.pi / 2 - angle)
    ends = max(angle - e, known[0]), min(angle + e, known[1])
    below, above = (law.denoise(x / rho, Level(math.nan, math.cos(a), math.sin(a))) for a in ends)
    return (above - below) / (ends[1] - ends[0])
