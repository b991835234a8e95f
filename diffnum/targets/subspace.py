"""A law for large images: a mixture in the leading principal coordinates, noise of one size in all others."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..plan import Level
from .gaussian import Gaussian
from .mixture import Mixture

__all__ = ["Subspace"]


@dataclass(frozen=True, eq=False)
class Subspace:
    """``x0 = m + B y + sqrt(s) (1 - B B^T) z`` with ``y`` from a mixture in few dimensions and ``z`` standard normal.

    The two parts are independent at every level, so each has its own denoiser and its own flow: with
    ``r = x - alpha m`` the coordinates ``B^T r`` are the mixture's business, and what is left of ``r`` is that of one
    scalar Gaussian of variance ``s``. It equals the mixture of ``C_k = B cov_k(y) B^T + s (1 - B B^T)`` at the cost of
    two products with ``B``.

    Args:
        mean: ``m``, shape ``(d,)``.
        basis: ``B``, shape ``(d, r)``, orthonormal columns.
        inner: law of ``y``, in ``r`` dimensions.
        rest: ``s > 0``.

    Points are numpy arrays of shape ``(n, d)``.
    """

    mean: np.ndarray
    basis: np.ndarray
    inner: Mixture
    rest: float
    _scalar: Gaussian = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.basis.shape != (len(self.mean), self.inner.dim):
            raise ValueError(f"basis has shape {self.basis.shape}: give {(len(self.mean), self.inner.dim)}")
        if not self.rest > 0:
            raise ValueError(f"rest = {self.rest!r} is no variance: give a number > 0")
        object.__setattr__(self, "_scalar", Gaussian(np.zeros(1), np.array([self.rest])))

    @cached_property
    def dim(self) -> int:
        """Dimension ``d`` of the points."""
        return len(self.mean)

    def predict(self, x: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        """The exact prediction of ``quantity``, one of ``diffnum.plan.PREDICTIONS``."""
        inside, outside = self._split(x - level.alpha * self.mean)
        gain = self._scalar.predict(np.ones((1, 1)), level, quantity)
        of_mean = {"data": 1.0, "velocity": level.v[0]}.get(quantity, 0.0)
        return of_mean * self.mean + self.inner.predict(inside, level, quantity) @ self.basis.T + gain * outside

    def denoise(self, x: np.ndarray, level: Level) -> np.ndarray:
        """``E[x0 | x]``."""
        return self.predict(x, level, "data")

    def flow(self, x: np.ndarray, s: Level, t: Level, tol: float = 1e-10) -> np.ndarray:
        """The probability-flow map from ``s`` to ``t``; see :meth:`diffnum.Mixture.flow` for ``tol`` and refusals."""
        inside, outside = self._split(x - s.alpha * self.mean)
        moved = self.inner.flow(inside, s, t, tol)
        return t.alpha * self.mean + moved @ self.basis.T + self._scalar.flow(np.ones((1, 1)), s, t) * outside

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the law at ``level`` (None: the data law), float64 ``(n, d)``."""
        rng = np.random.default_rng(rng)
        inside = self.inner.sample(n, rng)
        _, outside = self._split(rng.standard_normal((n, self.dim)))
        x = self.mean + inside @ self.basis.T + self.rest**0.5 * outside
        return x if level is None else level.alpha * x + level.sigma * rng.standard_normal(x.shape)

    def _split(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = r @ self.basis
        return inside, r - inside @ self.basis.T
