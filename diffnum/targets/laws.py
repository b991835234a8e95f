"""One-dimensional laws under noise, ``y = alpha x0 + sigma eps``, accurate in the tails.

A law answers, elementwise in ``y`` and at a :class:`~diffnum.plan.Level`,

    denoise   E[x0 | y]                     score     d/dy log p(y)
    variance  Var[x0 | y]                   log_pdf   log p(y)
    log_tail(y, sign)  log P(sign (Y - y) >= 0): sign -1 is the log-cdf, +1 the log-sf
    bracket(log_p, sign)  an interval that holds the y whose tail is log_p <= log 1/2

and has ``mean``, ``std`` (of ``x0``) and ``sample``. Mixtures take float64 arrays, torch tensors
and object arrays of mpmath numbers, the other laws float64 arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level
from .mixture1d import Atoms1D, Mixture1D
from .quadrature import log_mean_ndtr, tilted

__all__ = ["Atoms1D", "Laplace1D", "Law", "Mixture1D", "Uniform1D", "cdf"]

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Uniform1D:
    """The uniform law on ``[a, b]``.

    Given ``y``, ``x0`` is a normal truncated to ``[a, b]``. In ``u = (x0 - x_m) / (b - a)``, counted
    from its mode ``x_m``, its weight is ``exp(-(m w u + w^2 u^2 / 2))`` with ``w = alpha (b - a) /
    sigma`` and ``m = (alpha x_m - y) / sigma``: moments by :func:`~diffnum.targets.quadrature.tilted`.

    Raises:
        ValueError: not ``a < b``; later, the score without noise.
    """

    a: float
    b: float
    atoms = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.a) and math.isfinite(self.b) and self.a < self.b):
            raise ValueError(f"Uniform1D({self.a!r}, {self.b!r}) is no interval: give finite a < b")

    @property
    def mean(self) -> float:
        """``E[x0]``."""
        return 0.5 * (self.a + self.b)

    @property
    def std(self) -> float:
        """Standard deviation of ``x0``."""
        return (self.b - self.a) / math.sqrt(12)

    def _posterior(self, y: np.ndarray, level: Level) -> tuple[Any, ...]:
        """Mode ``x_m``, ``m``, ``w``, and log-integral, mean and variance in ``u``."""
        alpha, sigma, width = level.alpha, level.sigma, self.b - self.a
        if level.pure_noise:
            u, m = np.full_like(y, 0.5), -y / sigma
        else:
            u = np.clip((y / alpha - self.a) / width, 0, 1)
            m = np.where(u > 0, np.where(u < 1, 0.0, (alpha * self.b - y) / sigma), (alpha * self.a - y) / sigma)
        w = alpha * width / sigma
        mode = self.mean if level.pure_noise else np.clip(y / alpha, self.a, self.b)
        return mode, m, w, *tilted(m * w, w, -u, 1 - u)

    def denoise(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``E[x0 | y]``."""
        if level.clean:
            return y / level.alpha
        mode, _, _, _, mean, _ = self._posterior(y, level)
        return mode + (self.b - self.a) * mean

    def score(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``d/dy log p(y)``."""
        if level.clean:
            raise ValueError("a uniform law has no score at sigma = 0: ask at a level of noise")
        _, m, w, _, mean, _ = self._posterior(y, level)
        return (m + w * mean) / level.sigma

    def variance(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``Var[x0 | y]``."""
        return 0 * y if level.clean else (self.b - self.a) ** 2 * self._posterior(y, level)[-1]

    def log_pdf(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``log p(y)``."""
        if level.clean:
            inside = (level.alpha * self.a <= y) & (y <= level.alpha * self.b)
            return np.where(inside, -math.log(level.alpha * (self.b - self.a)), -np.inf)
        _, m, _, log_integral, _, _ = self._posterior(y, level)
        return log_integral - 0.5 * m**2 - math.log(level.sigma) - _HALF_LOG_2PI

    def log_tail(self, y: np.ndarray, sign: Any, level: Level) -> np.ndarray:
        """``log P(sign (Y - y) >= 0)``."""
        top = np.where(np.asarray(sign) < 0, y - level.alpha * self.a, level.alpha * self.b - y)
        length = level.alpha * (self.b - self.a)
        if level.clean:
            with np.errstate(divide="ignore"):
                return np.log(np.clip(top / length, 0, 1))
        return log_mean_ndtr(top / level.sigma, length / level.sigma)

    def bracket(self, log_p: np.ndarray, sign: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray]:
        """Between the quantiles of the noise about either end."""
        from scipy.special import ndtri_exp

        shift = -sign * level.sigma * ndtri_exp(log_p)
        return level.alpha * self.a + shift - 1e-13 * abs(shift), level.alpha * self.b + shift + 1e-13 * abs(shift)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``(n,)`` draws of ``x0``."""
        return rng.uniform(self.a, self.b, n)


@dataclass(frozen=True)
class Laplace1D:
    """The law with density ``exp(-|x0 - loc| / scale) / (2 scale)``.

    Given ``y``, ``x0`` is on either side of ``loc`` a truncated normal. With ``tau = (y - alpha loc) /
    sigma``, ``w = alpha scale / sigma`` and ``u = s (x0 - loc) / scale >= 0`` on side ``s``, its
    weight is ``exp(-u - (tau - s w u)^2 / 2)``, taken about its mode by
    :func:`~diffnum.targets.quadrature.tilted`. Tails in Mills ratios, see :meth:`log_tail`.

    Raises:
        ValueError: ``loc`` not finite or not ``scale > 0``.
    """

    loc: float
    scale: float
    atoms = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.loc) and 0 < self.scale < math.inf):
            raise ValueError(f"Laplace1D({self.loc!r}, {self.scale!r}): give a finite loc and a finite scale > 0")

    @property
    def mean(self) -> float:
        """``E[x0]``."""
        return self.loc

    @property
    def std(self) -> float:
        """Standard deviation of ``x0``."""
        return math.sqrt(2) * self.scale

    def _posterior(self, y: np.ndarray, level: Level) -> tuple[np.ndarray, ...]:
        """``log p(y)``; on a last axis of two sides the share and the means of ``s u``, variance, ``tau - s w u``."""
        s = np.array([1.0, -1.0])
        tau = ((y - level.alpha * self.loc) / level.sigma)[..., None]
        w = level.alpha * self.scale / level.sigma
        slope = 1 - s * tau * w
        inside = slope < 0  # the mode lies inside this side, else at loc
        k = 1 / w if w > 0 else 1.0
        mode = np.where(inside, (s * tau - k) * k, 0.0)
        log_i, mean, variance = tilted(np.where(inside, 0.0, slope), np.full_like(slope, w), -mode, np.inf)
        log_i = log_i - np.where(inside, k * (s * tau - 0.5 * k), 0.5 * tau**2)
        top = log_i.max(-1, keepdims=True)
        share = np.exp(log_i - top)
        total = share.sum(-1, keepdims=True)
        log_p = (top + np.log(total))[..., 0] - math.log(2 * level.sigma) - _HALF_LOG_2PI
        return log_p, share / total, s * (mode + mean), variance, np.where(inside, s * k, tau) - s * w * mean

    def denoise(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``E[x0 | y]``."""
        if level.clean:
            return y / level.alpha
        _, share, mean, _, _ = self._posterior(y, level)
        return self.loc + self.scale * (share * mean).sum(-1)

    def score(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``d/dy log p(y)``; 0 at the cusp."""
        if level.clean:
            return -np.sign(y - level.alpha * self.loc) / (level.alpha * self.scale)
        _, share, _, _, noise = self._posterior(y, level)
        return -(share * noise).sum(-1) / level.sigma

    def variance(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``Var[x0 | y]``."""
        if level.clean:
            return 0 * y
        _, share, mean, variance, _ = self._posterior(y, level)
        middle = (share * mean).sum(-1, keepdims=True)
        return self.scale**2 * (share * (variance + (mean - middle) ** 2)).sum(-1)

    def log_pdf(self, y: np.ndarray, level: Level) -> np.ndarray:
        """``log p(y)``."""
        if level.clean:
            beta = level.alpha * self.scale
            return -abs(y - level.alpha * self.loc) / beta - math.log(2 * beta)
        return self._posterior(y, level)[0]

    def log_tail(self, y: np.ndarray, sign: Any, level: Level) -> np.ndarray:
        """``log P(sign (Y - y) >= 0)``.

        With ``a = |tau|``, ``k = sigma / (alpha scale)`` and the Mills ratio ``M``, the nearer tail is

            phi(a) (M(a) - M(k + a) / 2) + exp(k^2 / 2 - k a) Phi(a - k) / 2,

        all terms positive since ``M`` falls; the last is ``phi(a) M(k - a) / 2`` where ``a < k``.
        """
        shift = -np.asarray(sign) * (y - level.alpha * self.loc)
        near = self._near_tail(np.abs(shift), level)
        return np.where(shift <= 0, near, np.log1p(-np.exp(near)))

    def _near_tail(self, distance: np.ndarray, level: Level) -> np.ndarray:
        from scipy.special import log_ndtr

        if level.clean:
            return -distance / (level.alpha * self.scale) - math.log(2)
        a = distance / level.sigma
        log_phi = -0.5 * a**2 - _HALF_LOG_2PI
        if level.pure_noise:
            return log_phi + np.log(_mills(a))
        k = level.sigma / (level.alpha * self.scale)
        own = log_phi + np.log(_mills(a) - 0.5 * _mills(k + a))
        tilt = np.where(a < k, log_phi + np.log(_mills(np.maximum(k - a, 0))), k * (0.5 * k - a) + log_ndtr(a - k))
        return np.logaddexp(own, tilt - math.log(2))

    def bracket(self, log_p: np.ndarray, sign: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray]:
        """Between the centre and the sum of the two laws' quantiles at half the tail (union bound)."""
        from scipy.special import ndtri_exp

        centre = level.alpha * self.loc
        out = level.alpha * self.scale * log_p + level.sigma * ndtri_exp(log_p - math.log(2))
        ends = centre - sign * out * (1 + 1e-13), np.full_like(out, centre)
        return np.minimum(*ends), np.maximum(*ends)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``(n,)`` draws of ``x0``."""
        return rng.laplace(self.loc, self.scale, n)


Law = Mixture1D | Uniform1D | Laplace1D


def cdf(law: Law, y: np.ndarray, level: Level) -> np.ndarray:
    """``P(Y <= y)`` of ``law`` at ``level``."""
    return np.exp(law.log_tail(y, -1.0, level))


def _mills(h: np.ndarray) -> np.ndarray:
    from scipy.special import erfcx

    return math.sqrt(0.5 * math.pi) * erfcx(h / math.sqrt(2))
