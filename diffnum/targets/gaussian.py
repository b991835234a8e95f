"""The Gaussian target: every quantity in closed form, mode by mode, in any number of dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..plan import PREDICTIONS, Level
from ..process_shared import pi
from .common import (
    Array,
    axes,
    denoise_by_predict,
    elementwise,
    enter,
    generator,
    is_torch,
    leave,
    like,
    noise_prediction_by_predict,
    orthonormal,
    score_by_predict,
    suit,
    vector,
    velocity_by_predict,
)

__all__ = ["Gaussian"]


@dataclass(frozen=True, eq=False)
class Gaussian:
    """``N(m, C)`` with ``C = B diag(c) B^T``.

    Under ``x = alpha x0 + sigma eps`` every eigen-direction is its own scalar problem: with
    ``v = alpha^2 c + sigma^2`` and ``r`` the component of ``x - alpha m``,

        E[x0 | x]  = m + alpha c / v * r,        score = -r / v,
        E[eps | x] = sigma / v * r,              Cov[x0 | x] = c sigma^2 / v,
        flow s -> t:  alpha_t m + sqrt(v_t / v_s) * r

    (Karras et al. 2022, appendix B.6, per mode). Directions outside the columns of ``B``, and those
    with ``c = 0``, are singular: a point mass, whose flow is ``sigma_t / sigma_s * r``. No matrix of
    ``dim x dim`` is formed: the cost is O(d) without a basis and O(d k) with one.

    Args:
        mean: ``(d,)``.
        variances: ``(k,)``, non-negative, one per eigen-direction.
        basis: ``(d, k)`` with orthonormal columns, or None for the coordinate axes (then ``k = d``).

    Points are numpy arrays, torch tensors or object arrays of mpmath numbers, of shape ``(..., d)``.

    Raises:
        ValueError: shapes that do not agree, negative or non-finite numbers, a basis that is not
            orthonormal to 1e-10; later, where a singular law has no density, score or outward flow.
    """

    mean: np.ndarray
    variances: np.ndarray
    basis: np.ndarray | None = None
    _cast: dict[Any, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", vector("mean", self.mean))
        object.__setattr__(self, "variances", vector("variances", self.variances))
        if self.variances.min() < 0:
            i = int(self.variances.argmin())
            raise ValueError(f"variances[{i}] = {self.variances[i]} is negative: give variances >= 0")
        shape = (self.dim, len(self.variances))
        if self.basis is None:
            if shape[0] != shape[1]:
                raise ValueError(f"{shape[1]} variances for a mean of {shape[0]} entries: give one each, or a basis")
            return
        if shape[1] > shape[0]:
            raise ValueError(f"{shape[1]} variances in dimension {shape[0]}: give at most one per dimension")
        object.__setattr__(self, "basis", vector("basis", self.basis, shape))
        orthonormal("basis", self.basis)

    @classmethod
    def fit(cls, data: Array, shrinkage: float | None = None) -> Gaussian:
        """The Gaussian of a data set, its spectrum shrunk towards its average.

        With ``S = V diag(s) V^T`` the sample covariance (divided by n) on the ``k`` directions in
        which the data vary at all, the variances are ``(1 - a) s + a mean(s)``: the estimator of
        Ledoit & Wolf (2004) inside the span of the data. Directions without variation (constant
        pixels, and all beyond ``n - 1`` when ``n <= d``) stay singular. Variances fall.

        Args:
            data: ``(n, ...)``, numpy or torch; trailing axes are flattened.
            shrinkage: ``a`` in [0, 1]; None takes Ledoit and Wolf's optimal one, computed in the span.

        Raises:
            ValueError: fewer than two samples, numbers that are not finite, data that do not vary,
                a shrinkage outside [0, 1].
        """
        data = np.asarray(data.detach().cpu() if is_torch(data) else data, dtype=np.float64)
        if data.ndim < 2 or len(data) < 2:
            raise ValueError(f"data has shape {data.shape}: give at least two samples along the first axis")
        data = data.reshape(len(data), -1)
        if not np.all(np.isfinite(data)):
            raise ValueError(f"data holds {np.sum(~np.isfinite(data))} numbers that are not finite: remove them first")
        if shrinkage is not None and not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage = {shrinkage!r} is outside [0, 1]: give a weight, or None for Ledoit-Wolf")
        mean = data.mean(axis=0)
        spread, basis = _principal(data - mean)
        if len(spread) == 0:
            raise ValueError(f"the {len(data)} samples are all equal: give data that vary")
        if shrinkage is None:
            shrinkage = _ledoit_wolf((data - mean) @ basis, spread)
        return cls(mean, (1 - shrinkage) * spread + shrinkage * spread.mean(), basis)

    @classmethod
    def power_law(cls, dim: int, exponent: float = 2.0, scale: float = 0.5) -> Gaussian:
        """Zero mean and variances ``c_k`` proportional to ``k^-exponent``, ``k = 1..dim``.

        Natural images have spectra near exponent 2 (Ruderman 1994). The spectrum is normalised so
        that the average variance is ``scale^2``: a pixel standard deviation of 0.5 is that of images in [-1, 1].
        """
        if not (isinstance(dim, int) and dim >= 1):
            raise ValueError(f"dim = {dim!r} is no dimension: give a whole number >= 1")
        if not (math.isfinite(exponent) and 0 < scale < math.inf):
            raise ValueError(f"exponent = {exponent!r}, scale = {scale!r}: give a finite exponent and a scale > 0")
        spectrum = np.arange(1.0, dim + 1) ** -exponent
        return cls(np.zeros(dim), scale**2 * spectrum / spectrum.mean())

    @property
    def dim(self) -> int:
        """Dimension ``d`` of the points."""
        return len(self.mean)

    @property
    def singular(self) -> bool:
        """Whether some direction has variance zero."""
        return len(self.variances) < self.dim or bool(self.variances.min() == 0)

    @cached_property
    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        if self.basis is None:
            return self.mean, self.variances
        inside = self.mean @ self.basis
        rest = np.zeros(self.dim - len(inside))
        if len(rest):
            rest[0] = np.linalg.norm(self.mean - self.basis @ inside)
        return np.concatenate([inside, rest]), np.concatenate([self.variances, 0 * rest])

    def eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variances ``(d,), (d,)`` in an eigen-basis of the whole space.

        First the ``k`` columns of the basis, then ``d - k`` singular directions, the first of which
        points along what the basis leaves of the mean (so the further mean entries are zero).
        """
        return self._eigen

    def marginal(self, level: Level) -> tuple[Array, Array]:
        """Mean and variance of ``x`` at ``level`` per direction of :meth:`eigen`; torch where the level is."""
        mean, c = (_beside(level, a) for a in self._eigen)
        return level.alpha * mean, level.alpha**2 * c + level.sigma**2

    def modes(self, x: Array) -> Array:
        """Coordinates ``B^T x`` along the first ``k`` directions of :meth:`eigen`, shape ``(..., k)``."""
        work = enter(x, self.dim)
        return leave(work if self.basis is None else work @ self._basis(work), x)

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The exact prediction of ``quantity``, one of ``diffnum.plan.PREDICTIONS``.

        At a clean level the noise is independent of ``x``, so its prediction is 0.

        Raises:
            ValueError: unknown quantity; the score of a singular law at a clean level.
        """
        work = enter(x, self.dim)
        level = suit(work, level)
        centre, gains, rest = self._response(level, quantity)
        mean = like(work, self.mean)
        return leave(centre * mean + self._scale(work - level.alpha * mean, gains, rest), x)

    def _response(self, level: Level, quantity: str) -> tuple[Any, Any, Any]:
        """``(a, g, g0)`` of ``prediction = a m + B g B^T r + g0 (1 - B B^T) r``."""
        alpha, sigma = level.alpha, level.sigma
        c = _beside(level, self.variances)
        v = alpha**2 * c + sigma**2
        v = v + (v == 0)  # point masses at a clean level: every numerator below is 0 there, but the score's
        if quantity == "data":
            return 1.0, alpha * c / v, 0.0
        if quantity == "noise":
            return 0.0, sigma / v, 0.0 if level.clean else 1 / sigma
        if quantity == "velocity":
            a, b = level.v
            return a, (a * alpha * c + b * sigma) / v, 0.0 if level.clean else b / sigma
        if quantity == "score":
            if level.clean and self.singular:
                raise ValueError("a law with singular directions has no score at sigma = 0: ask at a level of noise")
            return 0.0, -1 / v, 0.0 if level.clean else -1 / sigma**2
        raise ValueError(f"prediction {quantity!r} is unknown: use one of {', '.join(PREDICTIONS)}")

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    def flow(self, x: Array, s: Level, t: Level) -> Array:
        """The exact probability-flow map from level ``s`` to level ``t``, in either direction.

        Raises:
            ValueError: ``s`` is clean and the law singular, since the flow leaves a point mass in every direction.
        """
        work = enter(x, self.dim)
        s, t = suit(work, s), suit(work, t)
        if s.clean and self.singular:
            raise ValueError("the flow cannot leave a point mass: start at a level with sigma > 0")
        c = _beside(s if is_torch(s.alpha) or is_torch(s.sigma) else t, self.variances)
        gains = elementwise("sqrt", (t.alpha**2 * c + t.sigma**2) / (s.alpha**2 * c + s.sigma**2))
        mean = like(work, self.mean)
        moved = self._scale(work - s.alpha * mean, gains, 0.0 if s.clean else t.sigma / s.sigma)
        return leave(t.alpha * mean + moved, x)

    def log_prob(self, x: Array, level: Level | None = None) -> Array:
        """Log-density at ``level``, shape ``(...)``; of the data law where level is None or clean.

        Raises:
            ValueError: the data law of a singular Gaussian, which has no density.
        """
        work = enter(x, self.dim)
        level = suit(work, level or Level(0.0, 1.0, 0.0))
        if level.clean and self.singular:
            raise ValueError("a law with singular directions has no density at sigma = 0: ask at a level of noise")
        inside, outside = self._split(work - level.alpha * like(work, self.mean))
        v = level.alpha**2 * _beside(level, self.variances) + level.sigma**2
        log_v = elementwise("log", v).sum()
        value = (inside**2 / like(work, v)).sum(-1)
        if outside is not None:
            log_v = log_v + (self.dim - len(self.variances)) * 2 * elementwise("log", level.sigma)
            value = value + (outside**2).sum(-1) / level.sigma**2
        if not is_torch(work) and work.dtype == object:
            return -(value + log_v + self.dim * elementwise("log", 2 * pi(work.flat[0]))) / 2
        return leave(-(value + log_v + self.dim * math.log(2 * math.pi)) / 2, x)

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``Cov[x0 | x]``, shape ``(..., d, d)``: here the same for every ``x``, so a broadcast view."""
        work = enter(x, self.dim)
        level = suit(work, level)
        c = _beside(level, self.variances)
        v = level.alpha**2 * c + level.sigma**2
        left = c * level.sigma**2 / (v + (v == 0))
        if self.basis is None:
            cov = np.diag(left) if not is_torch(left) else left.diag()
        else:
            basis = _beside(level, self.basis)
            cov = (basis * left) @ basis.T
        cov, shape = like(work, cov), (*work.shape, self.dim)
        return leave(cov.expand(shape) if is_torch(cov) else np.broadcast_to(cov, shape), x)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the law at ``level`` (None: the data law), float64 ``(n, d)``."""
        rng = generator(rng)
        x = rng.standard_normal((n, len(self.variances))) * np.sqrt(self.variances)
        x = self.mean + (x if self.basis is None else x @ self.basis.T)
        if level is None:
            return x
        return float(level.alpha) * x + float(level.sigma) * rng.standard_normal(x.shape)

    def _basis(self, x: Array) -> Array:
        return axes(x, self.basis, self._cast)

    def _split(self, r: Array) -> tuple[Array, Array | None]:
        """Coordinates of ``r`` in the basis, and what lies outside it (None where nothing can)."""
        if self.basis is None:
            return r, None
        basis = self._basis(r)
        inside = r @ basis
        if len(self.variances) == self.dim:
            return inside, None
        outside = r - inside @ basis.T
        # once more: rounding left in the span would be amplified by 1/sigma
        return inside, outside - (outside @ basis) @ basis.T

    def _scale(self, r: Array, gains: Any, rest: Any) -> Array:
        """``B (gains B^T r) + rest (1 - B B^T) r``; an absent ``rest`` is the plain float 0."""
        if self.basis is None:
            return like(r, gains) * r
        if isinstance(rest, float) and rest == 0:
            basis = self._basis(r)
            return (like(r, gains) * (r @ basis)) @ basis.T
        inside, outside = self._split(r)
        moved = (like(r, gains) * inside) @ self._basis(r).T
        return moved if outside is None else moved + rest * outside


def _beside(level: Level, array: np.ndarray) -> Array:
    """``array`` in float64 as the kind of the level's numbers, so that gradients pass."""
    scalar = level.alpha if is_torch(level.alpha) else level.sigma
    return like(scalar.double(), array) if is_torch(scalar) else array


def _principal(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Falling variances and directions ``(d, k)`` in which centred data ``(n, d)`` vary."""
    n, d = centred.shape
    if n > d:
        spread, basis = np.linalg.eigh(centred.T @ centred / n)
        spread, basis = spread[::-1], basis[:, ::-1]
    else:  # a Gram matrix would cost half the digits of the small directions
        _, values, rows = np.linalg.svd(centred, full_matrices=False)
        spread, basis = values**2 / n, rows.T
    keep = spread > spread[0] * max(n, d) * np.finfo(float).eps
    return spread[keep], np.ascontiguousarray(basis[:, keep])


def _ledoit_wolf(scores: np.ndarray, spread: np.ndarray) -> float:
    """Optimal weight on ``mean(s) I`` (Ledoit & Wolf 2004, section 3.2) from principal scores ``(n, k)``."""
    n = len(scores)
    distance = float(np.sum((spread - spread.mean()) ** 2))
    noise = (float(np.sum(np.sum(scores**2, axis=1) ** 2)) / n - float(np.sum(spread**2))) / n
    return 0.0 if noise <= 0 else min(1.0, noise / distance) if distance > 0 else 1.0
