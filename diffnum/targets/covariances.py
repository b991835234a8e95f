"""Covariances of the components of a mixture, in the three forms that stay safe at every noise level.

Each form answers :meth:`solve` for ``K`` components at once. With ``C`` the covariance of one,
``m`` its mean and ``S = alpha^2 C + sigma^2 I`` the covariance of ``x = alpha x0 + sigma eps``,

    quad = (x - alpha m)^T S^-1 (x - alpha m) + log det S,
    each(a, b) = a E[x0 | x] + b S^-1 (x - alpha m),   E[x0 | x] = m + alpha C S^-1 (x - alpha m),

so that data, noise, velocity and score are one pair ``(a, b)`` each and nothing is divided by ``alpha``.
Averages over components take shares into the products, before the axis of components is summed away.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .common import Array, elementwise, is_torch
from .online import quiet
from .working import has_objects, number

__all__ = ["Diagonal", "Factored", "Solved", "Spectral"]


@dataclass(frozen=True)
class Solved:
    """Of ``K`` components at ``rows`` points.

    Attributes:
        quad: ``(K, rows)``.
        each: ``each(a, b)``, ``(K, rows, d)``.
        average: ``average(share, a, b)``, the sum of ``share[k] each(a, b)[k]`` over ``k``, ``(rows, d)``, for shares
            ``(K, rows)``.
    """

    quad: Array
    each: Callable[[Any, Any], Array]
    average: Callable[[Array, Any, Any], Array]


# entries of a basis that is kept transposed as well
_COPIED = 2**22
# by how much the logarithm of a share may be wrong by them
_EXACT = 4e-12
_EPS = float(np.finfo(float).eps)


def _transposed(a: Array) -> Array:
    return a.swapaxes(-1, -2)


def _rounding(here: Array, there: Array) -> float:
    """What a share may be wrong by where a difference is formed of such parts: measured is half of it, from 4 to 12000
    coordinates."""
    return _EPS * (number(quiet(here.max())) + number(quiet(there.max())))


def _log_sum(v: Array) -> Array:
    return elementwise("log", v).sum(-1)


@dataclass(frozen=True, eq=False)
class Diagonal:
    """``C_k = diag(variances_k)``; ``variances`` has shape ``(K, d)`` and may hold zeros."""

    variances: np.ndarray

    @property
    def singular(self) -> bool:
        """Whether some component has a direction of variance zero."""
        return bool(self.variances.min() == 0)

    @property
    def power(self) -> np.ndarray:
        """Traces ``(K,)``."""
        return self.variances.sum(-1)

    @property
    def width(self) -> int:
        """Entries of temporary memory for one point."""
        return math.prod(self.variances.shape)

    @property
    def slim(self) -> int:
        """Entries of temporary memory for one point in :meth:`products`."""
        return sum(self.variances.shape)

    def products(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved | None:
        """As :meth:`solve`, by matrix products: ``quad = |y|^2 / v - 2 y . n / v + |n|^2 / v`` for ``y = x - c`` and
        ``n = alpha m - c``, ``c`` the centre of the ``alpha m``. None where the parts are so large, beside what is left
        of them, that rounding would show in the shares."""
        if has_objects(x):
            return None
        v, at = self.variances * alpha**2 + sigma**2, means * alpha
        centre, inverse = at.mean(0), 1 / v
        y, at = x - centre, at - centre
        here, there = (y**2) @ _transposed(inverse), (at**2 * inverse).sum(-1)
        # not a number is no bound
        if not _rounding(here, there) <= _EXACT:
            return None
        quad = _transposed(here - 2 * (y @ _transposed(at * inverse)) + there)

        def each(a: Any, b: Any) -> Array:
            return self.solve(x, means, alpha, sigma).each(a, b)

        def average(share: Array, a: Any, b: Any) -> Array:
            gain = (self.variances * (a * alpha) + b) / v
            return share.T @ (means * a - gain * at) + y * (share.T @ gain)

        return Solved(quad + _log_sum(v)[:, None], each, average)

    def solve(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved:
        """At ``x`` of shape ``(rows, d)``; see the head of this file."""
        v = self.variances * alpha**2 + sigma**2
        r = x[None] - (means * alpha)[:, None]

        def each(a: Any, b: Any) -> Array:
            return (means * a)[:, None] + ((self.variances * (a * alpha) + b) / v)[:, None] * r

        return Solved((r**2 / v[:, None]).sum(-1) + _log_sum(v)[:, None], each, _averaging(each))

    def posterior(self, alpha: Any, sigma: Any) -> Array:
        """``Cov[x0 | x, k]``, shape ``(K, d, d)``."""
        left = self.variances * sigma**2 / (self.variances * alpha**2 + sigma**2)
        return left[..., None] * _identity(left, left.shape[-1])

    def draw(self, k: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` draws of ``N(0, C_k)``."""
        return np.sqrt(self.variances[k]) * rng.standard_normal((n, self.variances.shape[1]))


@dataclass(frozen=True, eq=False)
class Spectral:
    """``C_k = U_k diag(spectrum_k) U_k^T + rest_k (1 - U_k U_k^T)``, decomposed once.

    Every level then costs ``O(K d r)`` per point.

    Args:
        basis: ``(K, d, r)``, orthonormal columns.
        spectrum: ``(K, r)``, non-negative.
        rest: ``(K,)``, non-negative; without effect where ``r = d``.
    """

    basis: np.ndarray
    spectrum: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, covariances: np.ndarray) -> Spectral:
        """From full symmetric covariances ``(K, d, d)``.

        Eigenvalues within rounding of zero, ``d eps`` times the largest, are zero: at small noise
        their accidental values would compete with ``sigma^2``.

        Raises:
            ValueError: a covariance that is not symmetric, or has a negative eigenvalue.
        """
        k, d, _ = covariances.shape
        skew = np.abs(covariances - _transposed(covariances)).max(axis=(1, 2))
        top = np.abs(covariances).max(axis=(1, 2))
        if np.any(skew > 1e-10 * top):
            i = int((skew - 1e-10 * top).argmax())
            raise ValueError(f"covariance {i} is {skew[i]:.1e} away from symmetric: give (C + C^T) / 2")
        spectrum, basis = np.linalg.eigh((covariances + _transposed(covariances)) / 2)
        floor = d * np.finfo(float).eps * np.abs(spectrum).max(axis=1, keepdims=True)
        if np.any(spectrum < -10 * floor):
            i = int((spectrum + 10 * floor).min(axis=1).argmin())
            raise ValueError(f"covariance {i} has eigenvalue {spectrum[i].min():.3e}: give a non-negative matrix")
        return cls(basis, np.where(spectrum <= floor, 0.0, spectrum), np.zeros(k))

    @classmethod
    def low_rank(cls, factors: np.ndarray, floor: np.ndarray) -> Spectral:
        """From ``F_k F_k^T + floor_k I`` with ``F_k`` of shape ``(d, r)``; small directions keep their digits."""
        basis, values, _ = np.linalg.svd(factors, full_matrices=False)
        return cls(basis, values**2 + floor[:, None], floor)

    @property
    def _whole(self) -> bool:
        return self.basis.shape[-1] == self.basis.shape[-2]

    @property
    def singular(self) -> bool:
        """Whether some component has a direction of variance zero."""
        inside = self.spectrum.shape[1] > 0 and self.spectrum.min() == 0
        return bool(inside or (not self._whole and self.rest.min() == 0))

    @property
    def power(self) -> np.ndarray:
        """Traces ``(K,)``."""
        return self.spectrum.sum(-1) + (self.basis.shape[1] - self.basis.shape[2]) * self.rest

    @property
    def width(self) -> int:
        """Entries of temporary memory for one point."""
        return self.basis.shape[0] * self.basis.shape[1]

    @cached_property
    def _back(self) -> Array:
        """The basis transposed; as a copy where that is quicker and small."""
        back = _transposed(self.basis)
        return np.ascontiguousarray(back) if isinstance(back, np.ndarray) and back.size <= _COPIED else back

    @property
    def slim(self) -> int:
        """Entries of temporary memory for one point in :meth:`products`."""
        k, d, r = self.basis.shape
        return k * (r + 1) + d

    def products(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved | None:
        """As :meth:`solve`, by matrix products: with ``y`` and ``n`` of :meth:`Diagonal.products` and
        ``z = U^T (y - n)``, ``quad = |z|^2 / v + (|y|^2 - 2 y . n + |n|^2 - |z|^2) / v0``, and nothing of ``K d``
        numbers for a point. None where rounding would show in the shares; for whole matrices :meth:`solve` is products
        already.
        """
        if has_objects(x) or self._whole:
            return None
        v, v0, at = self.spectrum * alpha**2 + sigma**2, self.rest * alpha**2 + sigma**2, means * alpha
        centre = at.mean(0)
        y, at = x - centre, at - centre
        here, there = (y**2).sum(-1), (at**2).sum(-1)
        if not _rounding(here, there) <= _EXACT * number(quiet(v0.min())):
            return None
        z = y @ self.basis - at[:, None] @ self.basis
        squares = z * z
        outside = here - 2 * (at @ _transposed(y)) + there[:, None] - squares.sum(-1)
        missing = self.basis.shape[1] - self.basis.shape[2]
        logs = (_log_sum(v) + missing * elementwise("log", v0))[:, None]
        quad = (squares @ (1 / v)[..., None])[..., 0] + outside / v0[:, None] + logs

        def average(share: Array, a: Any, b: Any) -> Array:
            gain, gain0 = (self.spectrum * (a * alpha) + b) / v, (self.rest * (a * alpha) + b) / v0
            moved = (share[..., None] * z * (gain - gain0[:, None])[:, None]).swapaxes(0, 1).reshape(y.shape[0], -1)
            inside = moved @ self._back.reshape(-1, y.shape[1])
            return inside + share.T @ (means * a - gain0[:, None] * at) + y * (share.T @ gain0)[:, None]

        def each(a: Any, b: Any) -> Array:
            return self.solve(x, means, alpha, sigma).each(a, b)

        return Solved(quad, each, average)

    def solve(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved:
        """At ``x`` of shape ``(rows, d)``; see the head of this file."""
        r = x[None] - (means * alpha)[:, None]
        z = r @ self.basis
        v = self.spectrum * alpha**2 + sigma**2
        v0 = self.rest * alpha**2 + sigma**2
        quad = ((z * z) @ (1 / v)[..., None])[..., 0] + _log_sum(v)[:, None]
        outside = None
        if not self._whole:
            outside = r - z @ self._back
            # once more: what rounding left inside would be amplified by 1 / v0
            outside = outside - (outside @ self.basis) @ self._back
            missing = self.basis.shape[1] - self.basis.shape[2]
            quad = quad + (outside**2).sum(-1) / v0[:, None] + missing * elementwise("log", v0)[:, None]

        def each(a: Any, b: Any) -> Array:
            gain = (self.spectrum * (a * alpha) + b) / v
            y = (means * a)[:, None] + (gain[:, None] * z) @ self._back
            return y if outside is None else y + ((self.rest * (a * alpha) + b) / v0)[:, None, None] * outside

        def average(share: Array, a: Any, b: Any) -> Array:
            gain = (self.spectrum * (a * alpha) + b) / v
            y = share.T @ (means * a) + ((share[..., None] * z * gain[:, None]) @ self._back).sum(0)
            if outside is None:
                return y
            return y + ((share * ((self.rest * (a * alpha) + b) / v0)[:, None])[..., None] * outside).sum(0)

        return Solved(quad, each, average)

    def posterior(self, alpha: Any, sigma: Any) -> Array:
        """``Cov[x0 | x, k]``, shape ``(K, d, d)``."""
        left = self.spectrum * sigma**2 / (self.spectrum * alpha**2 + sigma**2)
        if self._whole:
            return (self.basis * left[:, None]) @ _transposed(self.basis)
        left0 = self.rest * sigma**2 / (self.rest * alpha**2 + sigma**2)
        inside = (self.basis * (left - left0[:, None])[:, None]) @ _transposed(self.basis)
        return inside + left0[:, None, None] * _identity(left, self.basis.shape[1])

    def draw(self, k: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` draws of ``N(0, C_k)``: of whole matrices by the symmetric root, since which basis a degenerate
        spectrum has is up to the processor."""
        basis = self.basis[k]
        if self._whole:
            return ((rng.standard_normal((n, len(basis))) @ basis) * np.sqrt(self.spectrum[k])) @ basis.T
        x = (np.sqrt(self.spectrum[k]) * rng.standard_normal((n, basis.shape[1]))) @ basis.T
        other = rng.standard_normal((n, basis.shape[0]))
        return x + np.sqrt(self.rest[k]) * (other - (other @ basis) @ basis.T)


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
            Below, ``x - alpha F y`` cancels at small noise: :class:`Spectral` is the form to use.
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
        unit = _identity(g, g.shape[-1])
        if is_torch(g):
            torch = sys.modules["torch"]
            tall = torch.cat([g, unit.expand(g.shape[0], -1, -1)], dim=1)
            orthogonal, upper = torch.linalg.qr(tall)
            return e, g, orthogonal, upper
        tall = np.concatenate([g, np.broadcast_to(unit, (g.shape[0], *unit.shape))], axis=1)
        orthogonal, upper = np.linalg.qr(tall)
        return e, g, orthogonal, upper

    def solve(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved:
        """At ``x`` of shape ``(rows, d)``; see the head of this file.

        Raises:
            ValueError: object arrays; the factorisation is not available in extended precision.
        """
        if has_objects(x):
            raise ValueError("low rank plus a varying diagonal has no extended precision: give full covariances")
        d = self.diagonal.shape[1]
        e, g, orthogonal, upper = self._scaled(alpha, sigma)
        w = (x[None] - (means * alpha)[:, None]) / (e**0.5)[:, None]
        y = _solve(upper, w @ orthogonal[:, :d])
        left = w - y @ _transposed(g)
        diagonal = upper.diagonal(0, -2, -1) if is_torch(upper) else np.diagonal(upper, 0, -2, -1)
        log_det = _log_sum(e) + 2 * _log_sum(abs(diagonal))

        def each(a: Any, b: Any) -> Array:
            gain = (self.diagonal * (a * alpha) + b) / e**0.5
            return (means * a)[:, None] + (y * a) @ _transposed(self.factors) + gain[:, None] * left

        return Solved((left**2).sum(-1) + (y**2).sum(-1) + log_det[:, None], each, _averaging(each))

    def posterior(self, alpha: Any, sigma: Any) -> Array:
        """``Cov[x0 | x, k]``, shape ``(K, d, d)``."""
        e, _, _, upper = self._scaled(alpha, sigma)
        half = _solve(_transposed(upper), self.factors * (sigma**2 / e)[..., None], upper=False)
        left = self.diagonal * sigma**2 / e
        return half @ _transposed(half) + left[..., None] * _identity(left, left.shape[-1])

    def draw(self, k: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` draws of ``N(0, C_k)``."""
        x = rng.standard_normal((n, self.factors.shape[2])) @ self.factors[k].T
        return x + np.sqrt(self.diagonal[k]) * rng.standard_normal((n, self.diagonal.shape[1]))


def _averaging(each: Callable[[Any, Any], Array]) -> Callable[[Array, Any, Any], Array]:
    return lambda share, a, b: (share[..., None] * each(a, b)).sum(0)


def _identity(like: Array, size: int) -> Array:
    if is_torch(like):
        return sys.modules["torch"].eye(size, dtype=like.dtype, device=like.device)
    return np.eye(size)


def _solve(triangle: Array, rows: Array, upper: bool = True) -> Array:
    """``triangle^-1 row`` for each row, by substitution: backward stable, unlike a product with the inverse."""
    columns = _transposed(rows)
    if is_torch(columns):
        return _transposed(sys.modules["torch"].linalg.solve_triangular(triangle, columns, upper=upper))
    return _transposed(np.linalg.solve(triangle, columns))
