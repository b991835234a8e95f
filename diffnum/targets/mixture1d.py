"""Mixtures of normals and point masses on the line, for float64, torch and extended precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..plan import Level
from ..process_shared import pi
from .common import Array, extended, is_torch, like, vector

__all__ = ["Atoms1D", "Mixture1D", "Numbers", "numbers"]


class Numbers(NamedTuple):
    """The functions that mixtures need of one kind of number, and its rounding unit."""

    exp: Callable[[Any], Any]
    log: Callable[[Any], Any]
    log_ndtr: Callable[[Any], Any]
    amax: Callable[[Any, int], Any]
    total: Callable[[Any, int], Any]
    eps: Any
    half_log_2pi: Any


def _log_ndtr(z: Any) -> Any:
    from scipy.special import log_ndtr

    return log_ndtr(z)


_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
# the ufuncs themselves: on small arrays their wrappers cost as much as they do
_FLOAT = Numbers(np.exp, np.log, _log_ndtr, np.maximum.reduce, np.add.reduce, 2.0**-52, _HALF_LOG_2PI)


def numbers(y: Array) -> Numbers:
    """The :class:`Numbers` of ``y``."""
    if is_torch(y):
        import torch

        eps = torch.finfo(y.dtype).eps
        return Numbers(torch.exp, torch.log, torch.special.log_ndtr, torch.amax, torch.sum, eps, _HALF_LOG_2PI)
    return _FLOAT if y.dtype != object else _extended(*extended(y))


@lru_cache(maxsize=8)
def _extended(module: Any, number: Any, bits: int) -> Numbers:
    def each(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda a: np.asarray(np.frompyfunc(f, 1, 1)(a))

    log, root = module.log, module.sqrt(number(2))
    tail = each(lambda z: log(module.erfc(-z / root) / 2))
    half = log(2 * pi(root)) / 2
    return Numbers(each(module.exp), each(log), tail, np.maximum.reduce, np.add.reduce, number(2) ** (1 - bits), half)


def _objects(values: np.ndarray, number: Any) -> np.ndarray:
    """The same numbers in extended precision, converted once."""
    return np.asarray(np.frompyfunc(number, 1, 1)(values.astype(object)))


def _log_sum_exp(xp: Numbers, e: Any) -> Any:
    top = xp.amax(e, 0)
    if xp is _FLOAT:
        top = np.maximum(top, -1e300)  # a sum of zeros is zero, not NaN
    with np.errstate(divide="ignore"):
        return top + xp.log(xp.exp(e - top).sum(0))


@dataclass(frozen=True, eq=False)
class Mixture1D:
    """``sum_k w_k N(m_k, s_k^2)``; ``s_k = 0`` is a point mass.

    With ``v_k = alpha^2 s_k^2 + sigma^2``, ``r_k = y - alpha m_k`` and responsibilities
    ``g_k ~ w_k v_k^-1/2 exp(-r_k^2 / 2 v_k)`` taken relative to the largest,

        E[x0 | y] = sum_k g_k (m_k + alpha s_k^2 / v_k r_k),    d/dy log p = -sum_k g_k r_k / v_k.

    Args:
        weights: ``(K,)``, non-negative; normalised to sum 1.
        means: ``(K,)``.
        stds: ``(K,)``, non-negative.

    All three may be ``(d, K)``: a bundle of ``d`` laws along the last axis of ``y``.

    Raises:
        ValueError: shapes that differ, negative or non-finite numbers, weights that sum to 0;
            later, the density or score of point masses without noise.
    """

    weights: np.ndarray
    means: np.ndarray
    stds: np.ndarray
    variances: np.ndarray = field(init=False, repr=False)
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        shape = np.shape(self.means)
        for name in ("weights", "means", "stds"):
            array = vector(name, getattr(self, name), shape if len(shape) == 2 else None)
            if array.shape != shape:
                raise ValueError(f"{name} has {len(array)} entries for {shape[0]} means: give one per component")
            if name != "means" and array.min() < 0:
                raise ValueError(f"{name} holds {array.min()}: give numbers >= 0")
            object.__setattr__(self, name, array)
        total = self.weights.sum(-1, keepdims=True)
        if total.min() == 0:
            raise ValueError("the weights sum to 0: give a component of positive weight")
        object.__setattr__(self, "weights", self.weights / total)
        object.__setattr__(self, "variances", self.stds**2)
        with np.errstate(divide="ignore"):
            parts = np.log(self.weights), self.means, self.variances
        # in memory too: numpy lays a result out as its inputs, and reduces a short last axis slowly
        self._kept[np.float64] = tuple(np.ascontiguousarray(part.T) for part in parts)

    @property
    def atoms(self) -> bool:
        """Whether point masses are among the components."""
        return bool(np.any((self.variances == 0) & (self.weights > 0)))

    @cached_property
    def mean(self) -> Any:
        """``E[x0]``."""
        return (self.weights * self.means).sum(-1)

    @cached_property
    def std(self) -> Any:
        """Standard deviation of ``x0``."""
        return np.sqrt((self.weights * (self.variances + (self.means - self.mean[..., None]) ** 2)).sum(-1))

    def _parts(self, y: Array, xp: Numbers) -> tuple[Any, Any, Any]:
        """Log-weights, means and variances as the kind of ``y``, components along a new first axis."""
        key = (y.device, y.dtype) if is_torch(y) else np.float64 if y.dtype != object else extended(y)[1:]
        if key not in self._kept:
            log_w, means, c = self._kept[np.float64]
            if is_torch(y):
                self._kept[key] = like(y, log_w), like(y, means), like(y, c)
            else:
                number = extended(y)[1]
                log_w = xp.log(_objects(np.ascontiguousarray(self.weights.T), number))
                self._kept[key] = log_w, _objects(means, number), _objects(c, number)
        parts = self._kept[key]
        own = parts[0].shape
        shape = (own[0], *(1,) * (y.ndim + 1 - len(own)), *own[1:])
        return parts[0].reshape(shape), parts[1].reshape(shape), parts[2].reshape(shape)

    def _joint(self, y: Array, level: Level) -> tuple[Numbers, Any, Any, Any, Any]:
        """``(numbers, log w_k N(y; ...) without log sqrt(2 pi), r, v, (means, variances))``."""
        xp = numbers(y)
        log_w, means, c = self._parts(y, xp)
        v = level.alpha**2 * c + level.sigma**2
        r = y - level.alpha * means
        return xp, log_w - (xp.log(v) + r * r / v) / 2, r, v, (means, c)

    def denoise(self, y: Array, level: Level) -> Array:
        """``E[x0 | y]``."""
        if level.clean:
            return y / level.alpha
        xp, e, r, v, (means, c) = self._joint(y, level)
        g = xp.exp(e - xp.amax(e, 0))
        return xp.total(g * (means + level.alpha * c / v * r), 0) / xp.total(g, 0)

    def denoisers(self, alpha: np.ndarray, sigma: np.ndarray) -> Callable[[int, np.ndarray], np.ndarray]:
        """:meth:`denoise` of a bundle at many noisy levels in float64, its constants made once.

        Args:
            alpha, sigma: ``(levels, rows)``.

        Returns:
            A function of the number of a level and of ``y``, shape ``(points, rows, d)``: row ``j`` has the scales
            ``alpha[i, j]`` and ``sigma[i, j]``.
        """
        log_w, means, c = (part[None, :, None, None] for part in self._kept[np.float64])
        alpha, sigma = alpha[:, None, None, :, None], sigma[:, None, None, :, None]
        v = alpha**2 * c + sigma**2
        # components without weight: infinity is slow, and this is nothing
        absent = np.isneginf(log_w)
        heads = np.where(absent, -700.0, log_w - np.log(v) / 2)
        # as they look in memory too: numpy lays a result out as its inputs
        shifts, heads, halves, gains, means = (
            np.ascontiguousarray(np.broadcast_to(part, v.shape))
            for part in (alpha * means, heads, np.where(absent, 0.0, 0.5 / v), alpha * c / v, means)
        )

        def over(join: np.ufunc, parts: np.ndarray) -> np.ndarray:
            total = parts[0]
            for part in parts[1:]:
                total = join(total, part)
            return total

        def denoise(i: int, y: np.ndarray) -> np.ndarray:
            r = y - shifts[i]
            g = r * r
            g *= halves[i]
            np.subtract(heads[i], g, out=g)
            g -= over(np.maximum, g)
            np.exp(g, out=g)
            r *= gains[i]
            r += means[i]
            r *= g
            return over(np.add, r) / over(np.add, g)

        return denoise

    def across(self, y: np.ndarray, alpha: Any, sigma: Any) -> np.ndarray:
        """:meth:`denoise` of a bundle in float64 at a noisy level, coordinates along the last axis but one of ``y``;
        along the last one, which is long, ``alpha`` and ``sigma`` may vary."""
        log_w, means, c = (part[:, None, :, None] for part in self._kept[np.float64])
        v = alpha**2 * c + sigma**2
        r = y - alpha * means
        e = log_w - (np.log(v) + r * r / v) / 2
        g = np.exp(e - np.maximum.reduce(e, 0))
        return np.add.reduce(g * (means + alpha * c / v * r), 0) / np.add.reduce(g, 0)

    def repeated(self, alpha: np.ndarray, sigma: np.ndarray) -> Callable[[int, np.ndarray], np.ndarray]:
        """:meth:`denoise` at many noisy levels in float64, to the last bit, its constants made once.

        Args:
            alpha, sigma: ``(levels,)``.

        Returns:
            A function of the number of a level and of ``y``, shape ``(points, d)``.
        """
        log_w, means, c = (part[None, :, None] for part in self._kept[np.float64])
        alpha, sigma = alpha[:, None, None, None], sigma[:, None, None, None]
        v = alpha**2 * c + sigma**2
        heights, shifts, gains = np.log(v), alpha * means, alpha * c / v
        log_w, means = log_w[0], means[0]

        def denoise(i: int, y: np.ndarray) -> np.ndarray:
            r = y - shifts[i]
            e = log_w - (heights[i] + r * r / v[i]) / 2
            g = np.exp(e - np.maximum.reduce(e, 0))
            return np.add.reduce(g * (means + gains[i] * r), 0) / np.add.reduce(g, 0)

        return denoise

    def score(self, y: Array, level: Level) -> Array:
        """``d/dy log p(y)``."""
        self._need_density(level, "score")
        xp, e, r, v, _ = self._joint(y, level)
        g = xp.exp(e - xp.amax(e, 0))
        return -xp.total(g * (r / v), 0) / xp.total(g, 0)

    def variance(self, y: Array, level: Level) -> Array:
        """``Var[x0 | y]``."""
        if level.clean:
            return 0 * y
        xp, e, r, v, (means, c) = self._joint(y, level)
        g = xp.exp(e - xp.amax(e, 0))
        g = g / g.sum(0)
        centres = means + level.alpha * c / v * r
        middle = (g * centres).sum(0)
        return (g * (c * level.sigma**2 / v + (centres - middle) ** 2)).sum(0)

    def log_pdf(self, y: Array, level: Level) -> Array:
        """``log p(y)``."""
        self._need_density(level, "density")
        xp, e, *_ = self._joint(y, level)
        return _log_sum_exp(xp, e) - xp.half_log_2pi

    def log_tail(self, y: Array, sign: Any, level: Level) -> Array:
        """``log P(sign (Y - y) >= 0)``; numpy arrays."""
        xp = numbers(y)
        log_w, means, c = self._parts(y, xp)
        r = sign * (level.alpha * means - y)
        s = (level.alpha**2 * c + level.sigma**2) ** 0.5
        if level.clean and self.atoms:
            z = np.where(s > 0, r / (s + (s == 0)), np.where(r >= 0, np.inf, -np.inf))
        else:
            z = r / s
        return _log_sum_exp(xp, log_w + xp.log_ndtr(z))

    def bracket(self, log_p: np.ndarray, sign: np.ndarray, level: Level) -> tuple[Array, Array]:
        """Between the smallest and the largest quantile of the components at the same tail."""
        from scipy.special import ndtri_exp

        z = -sign * ndtri_exp(log_p.astype(float))
        log_w, means, c = self._parts(z, _FLOAT)
        width = abs(z) * (level.alpha**2 * c + level.sigma**2) ** 0.5
        ends = level.alpha * means + np.sign(z) * width
        # ndtri_exp is rounded, so the root may lie a little outside
        slack = 1e-13 * (width + abs(level.alpha * means)).max(0)
        here = log_w > -np.inf
        return np.where(here, ends, np.inf).min(0) - slack, np.where(here, ends, -np.inf).max(0) + slack

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``(n,)`` draws of ``x0``, or ``(n, d)`` of a bundle."""
        edges = np.cumsum(self.weights, axis=-1)[..., :-1]
        k = (rng.random((n, *self.means.shape[:-1]))[..., None] >= edges).sum(-1)
        means, stds = (
            np.take_along_axis(np.broadcast_to(a, (n, *a.shape)), k[..., None], -1)[..., 0]
            for a in (self.means, self.stds)
        )
        return means + stds * rng.standard_normal(k.shape)

    def _need_density(self, level: Level, what: str) -> None:
        if level.clean and self.atoms:
            raise ValueError(f"point masses have no {what} at sigma = 0: ask at a level of noise")


def Atoms1D(points: Sequence[float] | Array, weights: Sequence[float] | Array | None = None) -> Mixture1D:
    """Point masses at ``points`` (``(K,)``) with ``weights`` (equal if None): a :class:`Mixture1D` without width."""
    means = np.asarray(points, dtype=float)
    return Mixture1D(np.ones(means.shape) if weights is None else weights, means, np.zeros(means.shape))  # type: ignore[arg-type]
