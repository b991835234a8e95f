"""Classifier-free guidance as a law to learn on: its prediction is exact, its flow is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...plan import Level
from ...targets.common import (
    Array,
    denoise_by_predict,
    noise_prediction_by_predict,
    score_by_predict,
    velocity_by_predict,
)
from ...targets.conditional import Conditional
from ...targets.reference import reference_flow

__all__ = ["Guided"]


@dataclass(frozen=True, eq=False)
class Guided:
    """A family guided towards one class: ``unconditional + scale (conditional - unconditional)``.

    For scales other than 0 and 1 no law has these predictions at all levels; what a deterministic sampler approximates
    is the flow of the guided velocity, which is followed from the marginal of the class. So
    :class:`diffnum.design.Trajectories` can be drawn from it, and samplers be learned for a guidance scale.

    Attributes:
        family: the classes.
        label: the one guided towards.
        scale: 1 is the class itself.
    """

    family: Conditional
    label: Any
    scale: float

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.family.dim

    @property
    def rms(self) -> float:
        """A scale of the data, the family's."""
        return self.family.rms

    @property
    def singular(self) -> bool:
        """Whether some class has no density."""
        return self.family.singular

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The guided prediction of ``quantity``."""
        return self.family.guided(x, level, self.label, self.scale, quantity)

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``sigma^2 / alpha`` times the Jacobian of the guided denoiser: the same combination of the covariances of
        ``x0`` given ``x``. For scales other than 0 and 1 it is the covariance of nothing."""
        whole, own = self.family.posterior_cov(x, level), self.family.given(self.label).posterior_cov(x, level)
        return whole + self.scale * (own - whole)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the class at ``level``, where guided runs start."""
        return self.family.given(self.label).sample(n, rng, level)

    def flow(self, x: Array, s: Level, t: Level, tol: float = 1e-10) -> Array:
        """Where the guided velocity takes points, to ``tol``: :func:`diffnum.targets.reference.reference_flow`."""
        return reference_flow(self, x, s, t, tol)
