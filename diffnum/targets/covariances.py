"""Covariances of the components of a mixture, in forms that stay safe at every noise level; a third one is
:mod:`.factored`.

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
from typing import Any

import numpy as np

from .common import Array, elementwise, is_torch
from .online import quiet
from .working import has_objects, number

__all__ = ["Diagonal", "Solved", "Spectral", "averaging", "identity", "log_sum", "transposed"]


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
# a share that no sum shows, even where its component has 1e10 times the score of the others
_UNSEEN = 1e-30
# rows are picked out at the price of a product with so many columns
_APART = 16
_EPS = float(np.finfo(float).eps)


def transposed(a: Array) -> Array:
    """Of matrices, along the last two axes."""
    return a.swapaxes(-1, -2)


def _rounding(here: Array, there: Array) -> float:
    """What a share may be wrong by where a difference is formed of such parts: measured is half of it, from 4 to 12000
    coordinates."""
    return _EPS * (number(quiet(here.max())) + number(quiet(there.max())))


def log_sum(v: Array) -> Array:
    """Logarithms summed along the last axis."""
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
        here, there = (y**2) @ transposed(inverse), (at**2 * inverse).sum(-1)
        # not a number is no bound
        if not _rounding(here, there) <= _EXACT:
            return None
        quad = transposed(here - 2 * (y @ transposed(at * inverse)) + there)

        def each(a: Any, b: Any) -> Array:
            return self.solve(x, means, alpha, sigma).each(a, b)

        def average(share: Array, a: Any, b: Any) -> Array:
            gain = (self.variances * (a * alpha) + b) / v
            return share.T @ (means * a - gain * at) + y * (share.T @ gain)

        return Solved(quad + log_sum(v)[:, None], each, average)

    def solve(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved:
        """At ``x`` of shape ``(rows, d)``; see the head of this file."""
        v = self.variances * alpha**2 + sigma**2
        r = x[None] - (means * alpha)[:, None]

        def each(a: Any, b: Any) -> Array:
            return (means * a)[:, None] + ((self.variances * (a * alpha) + b) / v)[:, None] * r

        return Solved((r**2 / v[:, None]).sum(-1) + log_sum(v)[:, None], each, averaging(each))

    def posterior(self, alpha: Any, sigma: Any) -> Array:
        """``Cov[x0 | x, k]``, shape ``(K, d, d)``."""
        left = self.variances * sigma**2 / (self.variances * alpha**2 + sigma**2)
        return left[..., None] * identity(left, left.shape[-1])

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
        skew = np.abs(covariances - transposed(covariances)).max(axis=(1, 2))
        top = np.abs(covariances).max(axis=(1, 2))
        if np.any(skew > 1e-10 * top):
            i = int((skew - 1e-10 * top).argmax())
            raise ValueError(f"covariance {i} is {skew[i]:.1e} away from symmetric: give (C + C^T) / 2")
        spectrum, basis = np.linalg.eigh((covariances + transposed(covariances)) / 2)
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
    def whole(self) -> bool:
        """Whether every direction has an eigenvector."""
        return self.basis.shape[-1] == self.basis.shape[-2]

    @property
    def singular(self) -> bool:
        """Whether some component has a direction of variance zero."""
        inside = self.spectrum.shape[1] > 0 and self.spectrum.min() == 0
        return bool(inside or (not self.whole and self.rest.min() == 0))

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
        back = transposed(self.basis)
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
        already, and this is the same one component after the other, averaged where that has a share: none for tensors.
        """
        if has_objects(x) or (self.whole and is_torch(x)):
            return None
        if self.whole:
            return self._one_after_another(x, means, alpha, sigma)
        v, v0, at = self.spectrum * alpha**2 + sigma**2, self.rest * alpha**2 + sigma**2, means * alpha
        centre = at.mean(0)
        y, at = x - centre, at - centre
        here, there = (y**2).sum(-1), (at**2).sum(-1)
        if not _rounding(here, there) <= _EXACT * number(quiet(v0.min())):
            return None
        z = y @ self.basis - at[:, None] @ self.basis
        squares = z * z
        outside = here - 2 * (at @ transposed(y)) + there[:, None] - squares.sum(-1)
        missing = self.basis.shape[1] - self.basis.shape[2]
        logs = (log_sum(v) + missing * elementwise("log", v0))[:, None]
        quad = (squares @ (1 / v)[..., None])[..., 0] + outside / v0[:, None] + logs

        def average(share: Array, a: Any, b: Any) -> Array:
            gain, gain0 = (self.spectrum * (a * alpha) + b) / v, (self.rest * (a * alpha) + b) / v0
            moved = (share[..., None] * z * (gain - gain0[:, None])[:, None]).swapaxes(0, 1).reshape(y.shape[0], -1)
            inside = moved @ self._back.reshape(-1, y.shape[1])
            return inside + share.T @ (means * a - gain0[:, None] * at) + y * (share.T @ gain0)[:, None]

        def each(a: Any, b: Any) -> Array:
            return self.solve(x, means, alpha, sigma).each(a, b)

        return Solved(quad, each, average)

    def _one_after_another(self, x: np.ndarray, means: np.ndarray, alpha: Any, sigma: Any) -> Solved:
        v = self.spectrum * alpha**2 + sigma**2
        z, quad = np.empty((len(v), *x.shape)), np.empty((len(v), len(x)))
        for k, (mean, basis, inverse) in enumerate(zip(means * alpha, self.basis, 1 / v, strict=True)):
            np.matmul(x - mean, basis, out=z[k])
            np.matmul(z[k] * z[k], inverse, out=quad[k])

        def average(share: np.ndarray, a: Any, b: Any) -> np.ndarray:
            y = share.T @ (means * a)
            for k, gain in enumerate((self.spectrum * (a * alpha) + b) / v):
                rows = np.flatnonzero(share[k] > _UNSEEN)
                if not len(rows):
                    continue
                some = rows if len(rows) * (x.shape[1] + _APART) < x.size else slice(None)
                moved = z[k, some] * gain
                moved *= share[k, some, None]
                y[some] += moved @ self._back[k]
            return y

        def each(a: Any, b: Any) -> Array:
            return self.solve(x, means, alpha, sigma).each(a, b)

        return Solved(quad + log_sum(v)[:, None], each, average)

    def solve(self, x: Array, means: Array, alpha: Any, sigma: Any) -> Solved:
        """At ``x`` of shape ``(rows, d)``; see the head of this file."""
        r = x[None] - (means * alpha)[:, None]
        z = r @ self.basis
        v = self.spectrum * alpha**2 + sigma**2
        v0 = self.rest * alpha**2 + sigma**2
        quad = ((z * z) @ (1 / v)[..., None])[..., 0] + log_sum(v)[:, None]
        outside = None
        if not self.whole:
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
        if self.whole:
            return (self.basis * left[:, None]) @ transposed(self.basis)
        left0 = self.rest * sigma**2 / (self.rest * alpha**2 + sigma**2)
        inside = (self.basis * (left - left0[:, None])[:, None]) @ transposed(self.basis)
        return inside + left0[:, None, None] * identity(left, self.basis.shape[1])

    def draw(self, k: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` draws of ``N(0, C_k)``: of whole matrices by the symmetric root, since which basis a degenerate
        spectrum has is up to the processor."""
        basis = self.basis[k]
        if self.whole:
            return ((rng.standard_normal((n, len(basis))) @ basis) * np.sqrt(self.spectrum[k])) @ basis.T
        x = (np.sqrt(self.spectrum[k]) * rng.standard_normal((n, basis.shape[1]))) @ basis.T
        other = rng.standard_normal((n, basis.shape[0]))
        return x + np.sqrt(self.rest[k]) * (other - (other @ basis) @ basis.T)


def averaging(each: Callable[[Any, Any], Array]) -> Callable[[Array, Any, Any], Array]:
    """``average`` of :class:`Solved` by its ``each``."""
    return lambda share, a, b: (share[..., None] * each(a, b)).sum(0)


def identity(like: Array, size: int) -> Array:
    """The unit matrix where ``like`` lives."""
    if is_torch(like):
        return sys.modules["torch"].eye(size, dtype=like.dtype, device=like.device)
    return np.eye(size)
