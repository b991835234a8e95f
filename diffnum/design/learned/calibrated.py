"""Calibration: the mean of the score taken off, which a true score does not have (Pang et al. 2023).

A true score has mean zero at every level, ``E_{q_t} grad log q_t = 0``, and a network's seldom has. The calibrated one,

    s_cal(x, t) = s(x, t) - E_{q_t} s(., t),

lowers the score-matching loss at every level by exactly half its weight times ``|E s|^2``, at no cost in
sampling: the means are estimated once per level on noised data. In the predictions of the network it is

    noise      eps - E eps                      velocity   v - (E v - b E[x0])
    data       D - (E D - E x0)                 with  v = b x0 + a eps.

For classes give each its own means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...plan import Level
from ...prediction import to_native
from ...read.sample import adapted_model
from ...targets.common import like

__all__ = ["Calibrated", "calibrate"]

Draw = Callable[[Level], Any]


@dataclass(frozen=True)
class Calibrated:
    """A model with its means taken off: ``calibrated(x, level)`` for any sampler.

    Attributes:
        model: ``model(x, level)`` of ``prediction``.
        prediction: what it returns.
        offsets: for ``(alpha, sigma)`` of each known level what is taken off, of the shape of one state.

    Raises:
        ValueError: when called, a level without a mean.
    """

    model: Callable[[Any, Level], Any]
    prediction: str
    offsets: dict[tuple[float, float], np.ndarray]

    def __call__(self, x: Any, level: Level) -> Any:
        found = self.offsets.get((float(level.alpha), float(level.sigma)))
        if found is None:
            raise ValueError(
                f"no mean is known at alpha = {level.alpha!r}, sigma = {level.sigma!r}: calibrate at the plan's levels"
            )
        return self.model(x, level) - like(x, found)


def calibrate(model: Any, draw: Draw, levels: Iterable[Level], prediction: str, mean: Any = 0.0) -> Calibrated:
    """Estimate the means of a model on noised data.

    Args:
        model: ``model(x, level)`` of ``prediction``, or a target.
        draw: from a level to a batch of noised data there, ``(n, ...)``, numpy or torch; for a law
            ``lambda level: law.sample(n, seed, level)``. Pairs ``x`` and ``2 alpha E[x0] - x`` leave no error of the
            estimate where the law is symmetric.
        levels: where a sampler will ask; those of a plan's evaluations.
        prediction: what the model returns.
        mean: ``E[x0]`` of the data, a number or of the shape of one state; the noise prediction does not need it.
    """
    call = adapted_model(model, prediction)
    offsets = {}
    for level in levels:
        key = (float(level.alpha), float(level.sigma))
        if key not in offsets:
            x = draw(level)
            found = call(x, level).mean(0)
            average = np.asarray(found.detach().cpu() if hasattr(found, "detach") else found, dtype=np.float64)
            offsets[key] = average - _true(level, prediction, np.asarray(mean, dtype=np.float64))
    return Calibrated(call, prediction, offsets)


def _true(level: Level, prediction: str, mean: np.ndarray) -> np.ndarray:
    """What the prediction is on average for a true score: ``D`` averages ``E x0``, the noise zero."""
    a, b = to_native(level, prediction)
    return (a * level.alpha + b) * mean
