"""Two Gaussians guided apart: the field is affine, so its flow, and what it has instead of a law, are closed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..plan import Level
from .common import (
    Array,
    denoise_by_predict,
    enter,
    leave,
    like,
    noise_prediction_by_predict,
    score_by_predict,
    suit,
    velocity_by_predict,
)
from .gaussian import Gaussian

__all__ = ["GuidedGaussian"]

_NODES = 160


@dataclass(frozen=True, eq=False)
class GuidedGaussian:
    """``D = D_u + g (D_c - D_u)`` for a class ``N(m_c, c)`` in a whole ``N(m_u, u)`` with common eigen-directions.

    Per direction, with ``v_k = alpha^2 k + sigma^2`` and ``d = m_c - m_u``, the probability flow of the guided field is

        x_t - alpha_t m(t) = (v_u,t / v_u,s)^((1 - g)/2) (v_c,t / v_c,s)^(g/2) (x_s - alpha_s m(s)),
        m = m_u + g d G(z),    z = alpha^2 (u - c) / v_u,
        G(z) = 2F1(1, (1 - g)/2; 3/2; z) = int_0^1 (1 - z + z w^2)^((g - 1)/2) dw.

    From pure noise it ends in a Gaussian of variance ``c^g u^(1 - g)``, a geometric mean, about
    ``m_u + g d G(1 - c/u)``. The reverse diffusion of the same field ends elsewhere, and neither is the tilted law
    ``p_c^g p_u^(1 - g)``, whose precision is an arithmetic mean: Bradley & Nakkiran (2024) for zero means; see
    :meth:`end`, :meth:`end_of_diffusion` and :meth:`tilted`. Scale 1 is the class, scale 0 the whole.

    As a model it has the predictions of a target, and ``dn.moments(plan, guided)`` is the exact law of a plan's output
    under guidance from the class's marginal. ``dn.w2`` then measures how far that is from the class.

    Args:
        conditional, unconditional: Gaussians of one basis (or none), with positive variances.
        scale: ``g``, finite.

    Raises:
        ValueError: other bases or dimensions, a variance of zero, a scale that is not finite.
    """

    conditional: Gaussian
    unconditional: Gaussian
    scale: float

    def __post_init__(self) -> None:
        inner, outer = self.conditional, self.unconditional
        if inner.dim != outer.dim or not _same(inner.basis, outer.basis):
            raise ValueError(
                f"Gaussians in {inner.dim} and {outer.dim} dimensions without a common basis have no common "
                "eigen-directions: give both the same basis, or use Guided for a family"
            )
        if inner.singular or outer.singular:
            raise ValueError("a direction has variance zero, where guidance has no closed flow: give a small variance")
        if not math.isfinite(self.scale):
            raise ValueError(f"scale = {self.scale!r} is no guidance scale: give a finite number")

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.conditional.dim

    @property
    def basis(self) -> np.ndarray | None:
        """The common eigen-directions as columns; None for the axes."""
        return self.conditional.basis

    @property
    def singular(self) -> bool:
        """False: both have densities."""
        return False

    @property
    def rms(self) -> float:
        """A scale of the points, the whole's."""
        mean, variances = self.unconditional.eigen()
        return math.sqrt(float(np.mean(mean**2 + variances)))

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The guided prediction of ``quantity`` at points ``(..., d)``."""
        whole = self.unconditional.predict(x, level, quantity)
        return whole + self.scale * (self.conditional.predict(x, level, quantity) - whole)

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``sigma^2 / alpha`` times the Jacobian of the guided denoiser; a covariance for scales 0 and 1 only."""
        whole = self.unconditional.posterior_cov(x, level)
        return whole + self.scale * (self.conditional.posterior_cov(x, level) - whole)

    def eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variances of the class, from whose marginals guided runs start."""
        return self.conditional.eigen()

    def response(self, level: Level) -> tuple[Any, Any]:
        """``(gain, offset)`` of ``D = gain u + offset`` in the eigen-directions, ``(d,)`` each."""
        parts = []
        for law in (self.unconditional, self.conditional):
            mean, c = law.eigen()
            gain = level.alpha * c / (level.alpha**2 * c + level.sigma**2)
            parts.append((gain, mean * (1 - level.alpha * gain)))
        (gain, offset), (own, apart) = parts
        return gain + self.scale * (own - gain), offset + self.scale * (apart - offset)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the class at ``level``, where guided runs start."""
        return self.conditional.sample(n, rng, level)

    def centre(self, level: Level) -> np.ndarray:
        """``m`` at ``level`` in the eigen-directions, ``(d,)``: a path that starts at ``alpha m`` stays there."""
        (inner, c), (outer, u) = self.conditional.eigen(), self.unconditional.eigen()
        return outer + self.scale * (inner - outer) * _particular(_variance(c, level) / _variance(u, level), self.scale)

    def gain(self, s: Level, t: Level) -> np.ndarray:
        """What the flow from ``s`` to ``t`` multiplies a distance from the centre by, per eigen-direction, ``(d,)``."""
        (_, c), (_, u) = self.conditional.eigen(), self.unconditional.eigen()
        whole, own = (_variance(v, t) / _variance(v, s) for v in (u, c))
        return whole ** ((1 - self.scale) / 2) * own ** (self.scale / 2)

    def flow(self, x: Array, s: Level, t: Level) -> Array:
        """The exact probability-flow map of the guided field from ``s`` to ``t``, in either direction."""
        work = enter(x, self.dim)
        s, t = suit(np.zeros(1), s), suit(np.zeros(1), t)
        basis = None if self.basis is None else like(work, self.basis)
        u = work if basis is None else work @ basis
        before, after = s.alpha * self.centre(s), t.alpha * self.centre(t)
        u = like(work, after) + like(work, self.gain(s, t)) * (u - like(work, before))
        return leave(u if basis is None else u @ basis.T, x)

    def law(self, s: Level, t: Level) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variances at ``t``, per eigen-direction, of the class's marginal at ``s`` moved by the flow."""
        mean, c = self.conditional.eigen()
        gain = self.gain(s, t)
        centre = t.alpha * self.centre(t) + gain * s.alpha * (mean - self.centre(s))
        return centre, gain**2 * _variance(c, s)

    def end(self) -> Gaussian:
        """Where the flow from pure noise ends."""
        (inner, c), (outer, u) = self.conditional.eigen(), self.unconditional.eigen()
        mean = outer + self.scale * (inner - outer) * _particular(c / u, self.scale)
        return self._gaussian(mean, c**self.scale * u ** (1 - self.scale))

    def end_of_diffusion(self) -> Gaussian:
        """Where the reverse diffusion of the same field, with all of its noise, ends: with ``q = c / u``,

            variance  u (q - q^2g) / ((1 - q) (2 g - 1)),    mean  m_u + d (1 - q^g) / (1 - q).

        For zero means it is the limit of ancestral sampling of Bradley & Nakkiran (2024).
        """
        (inner, c), (outer, u) = self.conditional.eigen(), self.unconditional.eigen()
        g, q = self.scale, c / u
        shift = g * _mean_power(q, g)
        variance = c * _mean_power(q, 2 * g - 1)
        return self._gaussian(outer + (inner - outer) * shift, variance)

    def tilted(self) -> Gaussian:
        """The law proportional to ``p_c^g p_u^(1 - g)``, which guidance is often said to sample.

        Raises:
            ValueError: it cannot be normalised.
        """
        (inner, c), (outer, u) = self.conditional.eigen(), self.unconditional.eigen()
        own, whole = self.scale / c, (1 - self.scale) / u
        if (own + whole).min() <= 0:
            raise ValueError(f"at scale {self.scale!r} the tilted density cannot be normalised: a class is wider")
        return self._gaussian((own * inner + whole * outer) / (own + whole), 1 / (own + whole))

    def _gaussian(self, mean: np.ndarray, variances: np.ndarray) -> Gaussian:
        return Gaussian(mean if self.basis is None else self.basis @ mean, variances, self.basis)


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(np.array_equal(one, other))


def _variance(c: np.ndarray, level: Level) -> np.ndarray:
    return level.alpha**2 * c + level.sigma**2


@lru_cache(maxsize=1)
def _rule() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def _particular(q: np.ndarray, scale: float) -> np.ndarray:
    """``G(1 - q)`` by Gauss's rule after a substitution that is flat at both ends, where the integrand is steep for
    ``q`` far from 1. All terms are positive; the hypergeometric series of large scales alternates."""
    r, weights = _rule()
    w, dw = r**3 * (10 - 15 * r + 6 * r**2), 30 * r**2 * (1 - r) ** 2
    # 1 - w^2 without cancellation at w = 1
    rest = (1 - r) ** 3 * (1 + 3 * r + 6 * r**2) * (1 + w)
    q = np.asarray(q, dtype=float)[..., None]
    return ((q * rest + w**2) ** ((scale - 1) / 2) * (dw * weights)).sum(-1)


def _mean_power(q: np.ndarray, k: float) -> np.ndarray:
    """``(1 - q^k) / (k (1 - q))``, also where ``k`` or ``1 - q`` is zero."""
    log = np.log(q)
    top = -log if k == 0 else -np.expm1(k * log) / k
    near = np.abs(log) < 1e-12
    return np.where(near, 1.0, top / np.where(near, 1.0, -np.expm1(log)))
