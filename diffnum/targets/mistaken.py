"""A denoiser that errs by a known amount, so that what a sampler makes of a network's errors is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level
from ..prediction import to_native
from .common import Array, denoise_by_predict, enter, leave, like
from .gaussian import Gaussian

__all__ = ["Mistaken"]

Error = Callable[[Level], Any]


def _none(level: Level) -> float:
    return 0.0


@dataclass(frozen=True, eq=False)
class Mistaken:
    """A Gaussian's denoiser with an affine error in its eigen-directions:

        D~ = D + offset(level) + slope(level) (u - alpha m),    u = B^T x

    It is a model, whose law is still that of ``target``: ``dn.moments``, ``dn.w2`` and the rest start from the target's
    marginals, propagate ``D~`` and compare with the target, exactly and stochastic samplers included.

    Args:
        target: a Gaussian without singular directions.
        offset, slope: from a level to a number or ``(d,)``, in units of the data and of data per state.

    Raises:
        ValueError: a Gaussian whose basis leaves directions out.
    """

    target: Gaussian
    offset: Error = _none
    slope: Error = _none

    def __post_init__(self) -> None:
        basis = self.target.basis
        if basis is not None and basis.shape[0] != basis.shape[1]:
            raise ValueError(
                f"a basis of {basis.shape[1]} directions in {basis.shape[0]} dimensions leaves some without an error: "
                "use a Gaussian with all of them"
            )

    @property
    def dim(self) -> int:
        """The target's."""
        return self.target.dim

    @property
    def basis(self) -> np.ndarray | None:
        """The target's."""
        return self.target.basis

    def eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variances of the target, which the samples should have."""
        return self.target.eigen()

    def response(self, level: Level) -> tuple[Any, Any]:
        """``(gain, offset)`` of ``D~ = gain u + offset`` in the eigen-directions, ``(d,)`` each."""
        mean, variances = self.eigen()
        gain = level.alpha * variances / (level.alpha**2 * variances + level.sigma**2) + self.slope(level)
        return gain, mean * (1 - level.alpha * gain) + self.offset(level)

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The mistaken prediction of ``quantity`` at points ``(..., d)``."""
        work = enter(x, self.dim)
        gain, offset = self.response(level)
        basis = None if self.basis is None else like(work, self.basis)
        u = work if basis is None else work @ basis
        D = like(work, np.asarray(gain)) * u + like(work, np.asarray(offset))
        a, b = to_native(level, quantity)
        return leave(a * work + b * (D if basis is None else D @ basis.T), x)

    denoise = denoise_by_predict
