"""Thresholding: the denoised data kept within what data can be, whatever the model predicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level
from ..read.sample import adapted_model
from ..targets.common import is_torch
from .guidance import calls_of, check_prediction, read

__all__ = ["DynamicThreshold", "StaticThreshold", "Thresholded"]

Array = Any


@dataclass(frozen=True)
class StaticThreshold:
    """``D`` clipped to ``[-bound, bound]`` (Saharia et al. 2022, section 2.3).

    Raises:
        ValueError: a bound that is not positive.
    """

    bound: float = 1.0

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise ValueError(f"bound = {self.bound!r} leaves no data: give the largest absolute value of the data")

    def __call__(self, D: Array) -> Array:
        """Data ``(n, ...)``, clipped."""
        return D.clip(-self.bound, self.bound)


@dataclass(frozen=True)
class DynamicThreshold:
    """``D`` clipped to ``[-s, s]`` and divided by ``s``, the quantile of ``|D|`` in each sample, kept within
    ``[1, ceiling]`` (Saharia et al. 2022, section 2.3; the data lie in [-1, 1]). With a ceiling of one it is
    :class:`StaticThreshold`, and that is what diffusers does unless it is told a larger ``sample_max_value``.

    Raises:
        ValueError: a quantile outside (0, 1], a ceiling below one.
    """

    quantile: float = 0.995
    ceiling: float = math.inf

    def __post_init__(self) -> None:
        if not 0 < self.quantile <= 1:
            raise ValueError(f"quantile = {self.quantile!r} is no share of the numbers: give one in (0, 1]")
        if not self.ceiling >= 1:
            raise ValueError(f"ceiling = {self.ceiling!r} is below the data's own bound: give a number >= 1")

    def __call__(self, D: Array) -> Array:
        """Data ``(n, ...)``, thresholded."""
        s = self._quantiles(abs(D.reshape(len(D), -1))).clip(1.0, self.ceiling)
        s = s.reshape(-1, *[1] * (len(D.shape) - 1))
        return D.clip(-s, s) / s

    def _quantiles(self, sizes: Array) -> Array:
        if not is_torch(sizes):
            return np.quantile(sizes, self.quantile, axis=1)
        # torch has quantiles of single and double precision only
        wide = sizes if sizes.dtype.itemsize >= 4 else sizes.float()
        return wide.quantile(self.quantile, dim=1).to(sizes.dtype)


@dataclass(frozen=True)
class Thresholded:
    """A model whose denoised data go through a threshold; not linear, so a property of the model and not of a plan.

    Args:
        model: a model, guided or not, or a target.
        threshold: from data ``(n, ...)`` to data, such as :class:`DynamicThreshold`.
        prediction: what the model returns.

    Raises:
        ValueError: as :class:`~diffnum.models.guidance.Pair`; later, a level at which data do not follow.
    """

    model: Any
    threshold: Callable[[Any], Any]
    prediction: str = "data"

    def __post_init__(self) -> None:
        check_prediction(self.model, self.prediction)

    def calls(self, level: Level) -> int:
        """Network evaluations per sample, the model's."""
        return calls_of(self.model, level)

    def __call__(self, x: Array, level: Level) -> Array:
        """The prediction of the thresholded data, of the shape of ``x``."""
        value = adapted_model(self.model, self.prediction)(x, level)
        D = self.threshold(read(x, value, level, self.prediction, "data"))
        return read(x, D, level, "data", self.prediction)
