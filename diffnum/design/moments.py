"""What a least-squares fit asks of a law at a point, at once: the denoiser, its covariance and its slope in the angle.

A denoiser depends on ``u = x / rho`` and on the angle ``phi`` of its level alone, ``alpha = rho cos phi``,
``sigma = rho sin phi``. Of one Gaussian component, with ``z = B^T (u - c m)`` in its eigenvectors, ``c = cos phi``,
``s = sin phi``, ``v = c^2 lam + s^2`` and ``n = B^T m``,

    mu = m + B (c lam / v) z,    d mu/dphi = B [ (c lam s / v) n - (s lam / v + c lam v' / v^2) z ],
    v' = 2 c s (1 - lam),
    -2 log p = sum z^2 / v + log v,    d(-2 log p)/dphi = sum 2 s n z / v - z^2 v' / v^2 + v' / v,

and a law of many components or points with shares ``w_k`` and centres ``mu_k`` has

    D = sum w_k mu_k,    dD/dphi = sum w_k ( d mu_k/dphi + (l_k - sum w l) mu_k ),    l_k = d log p_k / dphi.

Asked one after the other these are four times as many products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..plan import Level
from ..targets.conditional import Conditional
from ..targets.covariances import Spectral
from ..targets.empirical import Empirical
from ..targets.mixture import Mixture
from ..targets.online import LEAST, weights_of
from .differences import Products, turn
from .followed import Followed

__all__ = ["Posterior", "posterior"]

_DIFFERENCE = 1e-5
# how many times as many points there are as have a share, where a product over all of them is the slower one
_DENSE = 4
# asked for again at every evaluation of a fit
_PRODUCTS: WeakKeyDictionary[Empirical, dict[Any, tuple[np.ndarray, np.ndarray]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Posterior:
    """A law's answer at ``(n, d)`` points.

    Attributes:
        mean: ``E[x0 | x]``, ``(n, d)``, float64.
        cov: ``Cov[x0 | x]``, ``(n, d, d)``, in the precision asked for; what a guided denoiser has in its place; or
            the products of a function's.
        turn: the derivative of the mean by the angle of the level at constant ``x / rho``, ``(n, d)``.
    """

    mean: np.ndarray
    cov: Any
    turn: np.ndarray

    def along(self, moves: np.ndarray) -> np.ndarray:
        """Products of the covariance, which is symmetric, with moves of every point, ``(n, p, d)``."""
        return self.cov.along(moves) if isinstance(self.cov, Products) else moves @ self.cov

    def towards(self, other: Posterior, scale: float) -> Posterior:
        """``self + scale (other - self)``, of all three."""
        pairs = ((self.mean, other.mean), (self.cov, other.cov), (self.turn, other.turn))
        return Posterior(*(a + scale * (b - a) for a, b in pairs))


def posterior(target: Any, x: np.ndarray, level: Level, dtype: Any = np.float64) -> Posterior:
    """Mean, covariance and the mean's slope in the angle of a level that is neither clean nor pure noise.

    Args:
        target: a law with ``denoise`` and ``posterior_cov``. Mixtures with full covariances and points, and families
            of mixtures under guidance, are asked once; of others the slope in the angle is a central difference. Of
            a model that is followed the other slope is a forward one.
        x: ``(n, d)``.
        level: ``alpha, sigma > 0``.
        dtype: of the covariances; float32 is twice as quick and good enough for the steps of a least-squares solver.
    """
    from .learned.guided import Guided  # whose room draws trajectories, which ask this file

    if isinstance(target, Followed):
        mean = target.denoise(x, level)
        return Posterior(mean, Products(target, x, level, mean), turn(target, x, level, known=target.angles))
    if isinstance(target, Guided):
        whole = posterior(target.family, x, level, dtype)
        return whole.towards(posterior(target.family.given(target.label), x, level, dtype), target.scale)
    law = target.joined if isinstance(target, Conditional) and target.joined is not None else target
    if isinstance(law, Empirical):
        return _of_points(law, x, level, dtype)
    if isinstance(law, Mixture) and _full(law):
        return _of_components(law, x, level, dtype)
    return Posterior(law.denoise(x, level), law.posterior_cov(x, level).astype(dtype), turn(law, x, level, _DIFFERENCE))


def _full(law: Mixture) -> bool:
    form = law.covariances
    return isinstance(form, Spectral) and form.whole and not form.singular


@dataclass(frozen=True)
class _Few:
    """Pairs of a point and a component with a share of it: at little noise one of thirty has all of a point. (The
    components of a law of points are these.)

    Attributes:
        component, row: of each pair, component after component.
        first: where the pairs of each component begin, and their number.
        place: of each pair among ``points * most``.
        points, most: how many, and how many components one of them has at most.
    """

    component: np.ndarray
    row: np.ndarray
    first: np.ndarray
    place: np.ndarray
    points: int
    most: int

    @classmethod
    def of(cls, share: np.ndarray, dtype: Any) -> _Few:
        """Of shares ``(n, K)``, without those that cannot be seen in covariances of some precision."""
        chosen = _seen(share, dtype) > 0
        slot = chosen.cumsum(axis=1) - 1
        component, row = np.nonzero(chosen.T)
        first = np.concatenate([[0], chosen.sum(axis=0).cumsum()])
        most = int(slot[:, -1].max()) + 1
        return cls(component, row, first, row * most + slot[row, component], len(share), most)

    def products(self, z: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        """``(pairs, r)``, each component's pairs by its matrix, for ``(pairs, d)`` and ``(K, d, r)``."""
        out = np.empty((len(z), matrices.shape[-1]), z.dtype)
        for matrix, i, j in zip(matrices, self.first, self.first[1:], strict=False):
            np.matmul(z[i:j], matrix, out=out[i:j])
        return out

    def spread(self, values: np.ndarray) -> np.ndarray:
        """``(n, most, ...)`` from ``(pairs, ...)``; zeros where a point has fewer components."""
        out = np.zeros((self.points * self.most, *values.shape[1:]), values.dtype)
        out[self.place] = values
        return out.reshape(self.points, self.most, *values.shape[1:])


def _of_components(law: Mixture, x: np.ndarray, level: Level, dtype: Any) -> Posterior:
    """Shares of all components, in float64; what is diagonal is folded into the products of those that have some."""
    form: Any = law.covariances
    u, c, s = _turned(x, level)
    basis, lam = form.basis, form.spectrum
    back, d = basis.swapaxes(1, 2), law.dim
    m = (law.means[:, None] @ basis)[:, 0]
    v, dv = lam * c**2 + s**2, 2 * c * s * (1 - lam)
    z = u @ basis
    z -= (c * m)[:, None]
    squares = (z * z) @ np.stack([1 / v, dv / v**2], axis=-1)
    crossed = (z @ (m / v)[..., None])[..., 0]
    share, bend = _weighed(
        (np.log(law.weights) - np.log(v).sum(-1) / 2) - squares[..., 0].T / 2,
        (squares[..., 1].T - (dv / v).sum(-1)) / 2 - s * crossed.T,
        dtype,
    )
    gain = c * lam / v
    turn = share @ ((gain * s * m)[:, None] @ back)[:, 0]
    few, rows = _Few.of(share, dtype), np.ascontiguousarray(back, dtype)
    gains = [each.astype(dtype)[..., None] * rows for each in (gain, s * lam / v + gain * dv / v)]
    moved = few.products(z[few.component, few.row].astype(dtype), np.concatenate(gains, axis=-1))
    moved[:, :d] += law.means.astype(dtype)[few.component]
    mu, turned = np.split(few.spread(moved), 2, axis=-1)
    weight, bends = (few.spread(each[few.row, few.component].astype(dtype))[:, None] for each in (share, bend))
    mean = weight @ mu
    mu -= mean
    # shares change by nothing in all, so that the centre of the means is free
    turn += (weight * bends @ mu - weight @ turned)[:, 0]
    inner = (rows.swapaxes(1, 2) * (lam * s**2 / v).astype(dtype)[:, None]) @ rows
    cov = (_seen(share, dtype) @ inner.reshape(len(inner), -1)).reshape(-1, d, d)
    apart = np.sqrt(weight).swapaxes(1, 2) * mu
    cov += apart.swapaxes(1, 2) @ apart
    return Posterior(mean[:, 0].astype(np.float64), cov, turn)


def _of_points(law: Empirical, x: np.ndarray, level: Level, dtype: Any) -> Posterior:
    """By one product of the points' squares, good to rounding of the data's scale, or of the few that have a share."""
    y = law.data
    u, c, s = _turned(x, level)
    inside, squares = u @ y.T, (y**2).sum(-1)
    # derivatives of c / s^2 and of c^2 / 2 s^2
    share, bend = _weighed(
        (c / s**2) * inside - (c**2 / (2 * s**2)) * squares,
        (c / s**3) * squares - ((1 + c**2) / s**3) * inside,
        dtype,
    )
    mean, few = share @ y, _Few.of(share, dtype)
    if few.most * _DENSE <= len(y):
        weight = few.spread(share[few.row, few.component])[..., None]
        apart = (np.sqrt(weight) * (few.spread(y[few.component]) - mean[:, None])).astype(dtype)
        cov = apart.swapaxes(1, 2) @ apart
    else:
        products, place = _products(law, np.dtype(dtype))
        near = mean.astype(dtype)
        # an index in brackets would lay the points last
        cov = (_seen(share, dtype) @ products).take(place, axis=1)
        cov -= near[:, :, None] * near[:, None]
    return Posterior(mean, cov, (share * bend) @ y)


def _products(law: Empirical, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Of every point the products of two coordinates, ``(N, d (d + 1) / 2)``, and where each pair stands."""
    kept = _PRODUCTS.setdefault(law, {})
    if dtype not in kept:
        rows, columns = np.triu_indices(law.dim)
        place = np.empty((law.dim, law.dim), dtype=np.intp)
        place[rows, columns] = place[columns, rows] = np.arange(len(rows))
        few = law.data.astype(dtype)
        kept[dtype] = few[:, rows] * few[:, columns], place
    return kept[dtype]


def _seen(share: np.ndarray, dtype: Any) -> np.ndarray:
    """Shares without those that cannot be seen in averages of some precision: products with them are subnormal, and
    take ten times as long."""
    return np.where(share > np.finfo(dtype).eps ** 1.5, share, 0.0).astype(dtype)


def _turned(x: np.ndarray, level: Level) -> tuple[np.ndarray, float, float]:
    rho = math.hypot(level.alpha, level.sigma)
    return x / rho, level.alpha / rho, level.sigma / rho


def _weighed(logits: np.ndarray, slopes: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Shares ``(n, K)``, none of them subnormal in the precision of covariances, and the slopes of their logarithms."""
    share = weights_of(logits - logits.max(axis=1, keepdims=True), LEAST[np.dtype(dtype).itemsize])
    share /= share.sum(axis=1, keepdims=True)
    return share, slopes - (share * slopes).sum(axis=1, keepdims=True)
