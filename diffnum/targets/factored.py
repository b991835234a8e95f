"""Covariances of low rank plus a diagonal that varies, for components of a mixture (:mod:`.covariances`)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .common import Array, is_torch
from .covariances import Solved, averaging, identity, log_sum, transposed
from .working import has_objects

__all__ = ["Factored"]


@dataclass(frozen=True, eq=False)
class Factored:
    """``C_k = F_k F_k^T + diag(diagonal_k)`` with a diagonal that is not a multiple of the identity.

    No decomposition serves all levels, so each level orthogonalises ``r`` columns, ``O(K d r^2)``,
    and each point costs ``O(K d r)``. With ``E = alpha^2 diagonal + sigma^2`` and
    ``G = alpha E^-1/2 F``, the mean of the ``r`` latent factors given ``x`` solves

        min_y |E^-1/2 (x - alpha m) - G y|^2 + |y|^2,

    whose minimum is the Mahalanobis distance, ``E[x0|x] = m + F y + alpha diagonal / E (x - alpha m - alpha F y)``,
    and ``Cov = H H^T + diagonal sigma^2 / E`` with ``H = sigma^2 / E F R^-1`` for the QR factors of ``[G; 1]``.

    Args:
        factors: ``(K, d, r)``.
        diagonal: ``(K, d)``, at least :attr:`LEAST` times the sum of squares of its row of factors.
            Below, ``x - alpha F y`` cancels at small noise: :class:`.covariances.Spectral` is the form to use.
    """

    LEAST: ClassVar[float] = 1e-6

    factors: np.ndarray
    diagonal: np.ndarray

    @property
    def singular(self) -> bool:
        """Whether some coordinate of some component has variance zero."""
        return bool(self.diagonal.min() == 0)

    @property
    def power(self) -> np.ndarray:
        """Traces ``(K,)``."""
        return self.diagonal.sum(-1) + (self.factors**2).sum((-1, -2))

    @property
    def width(self) -> int:
        """Entries of temporary memory for one point."""
        return self.diagonal.size

    def _scaled(self, alpha: Any, sigma: Any) -> tuple[Array, Array, Array, Array]:
        e = self.diagonal * alpha**2 + sigma**2
        q = 1 / e**0.5
        g = (q * alpha)[..., None] * self.factors
        unit = identity(g, g.shape[-1])
        if is_torch(g):
            torch = sys.modules["torch"]
            tall = torch.cat([g, unit.expand(g.shape[0], -1, -1)], dim=1)
            orthogonal, upper = torch.linalg.qr(tall)
            return e, g, orthogonal, upper
        tall = np.concatenate([g, np.broadcast_to(unit, (g.shape[0], *unit.shape))], axis=1)
        orthogonal, upper = np.linalg.qr(tall)
        return e, g, orthogonal, upper

    def solve(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved:
        """At ``x`` of shape ``(rows, d)``; see the head of :mod:`.covariances`.

        Raises:
            ValueError: object arrays; the factorisation is not available in extended precision.
        """
        if has_objects(x):
            raise ValueError("low rank plus a varying diagonal has no extended precision: give full covariances")
        d = self.diagonal.shape[1]
        e, g, orthogonal, upper = self._scaled(alpha, sigma)
        w = (x[None] - (means * alpha)[:, None]) / (e**0.5)[:, None]
        y = _solve(upper, w @ orthogonal[:, :d])
        left = w - y @ transposed(g)
        diagonal = upper.diagonal(0, -2, -1) if is_torch(upper) else np.diagonal(upper, 0, -2, -1)
        log_det = log_sum(e) + 2 * log_sum(abs(diagonal))

        def each(a: Any, b: Any) -> Array:
            gain = (self.diagonal * (a * alpha) + b) / e**0.5
            return (means * a)[:, None] + (y * a) @ transposed(self.factors) + gain[:, None] * left

        return Solved((left**2).sum(-1) + (y**2).sum(-1) + log_det[:, None], each, averaging(each))

    def posterior(self, alpha: Any, sigma: Any) -> Array:
        """``Cov[x0 | x, k]``, shape ``(K, d, d)``."""
        e, _, _, upper = self._scaled(alpha, sigma)
        half = _solve(transposed(upper), self.factors * (sigma**2 / e)[..., None], upper=False)
        left = self.diagonal * sigma**2 / e
        return half @ transposed(half) + left[..., None] * identity(left, left.shape[-1])

    def draw(self, k: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` draws of ``N(0, C_k)``."""
        x = rng.standard_normal((n, self.factors.shape[2])) @ self.factors[k].T
        return x + np.sqrt(self.diagonal[k]) * rng.standard_normal((n, self.diagonal.shape[1]))


def _solve(triangle: Array, rows: Array, upper: bool = True) -> Array:
    """``triangle^-1 row`` for each row, by substitution: backward stable, unlike a product with the inverse."""
    columns = transposed(rows)
    if is_torch(columns):
        return transposed(sys.modules["torch"].linalg.solve_triangular(triangle, columns, upper=upper))
    return transposed(np.linalg.solve(triangle, columns))
