"""Distances between two sets of images in features, each with an interval.

With rows of features ``a`` of means and covariances ``m_a, C_a``, and ``b`` likewise,

    Fréchet   |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)

(Dowson & Landau 1982; Heusel et al. 2017, equation 6), the squared 2-Wasserstein distance of two Gaussians; and with
``k(x, y) = (x.y / dim + 1)^3`` the unbiased estimate of the squared maximum mean discrepancy (Bińkowski et al. 2018,
section 3; Gretton et al. 2012, equation 3),

    kernel    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{ij} k(a_i, b_j).

The Fréchet distance of finite sets is too large by a term in ``1/n`` (Chong & Forsyth 2020), which ranks samplers
wrongly if their sets differ in size. They fit a line in ``1/n`` and follow it to zero; here a jackknife does, which
needs no choice of sizes, and is applied to both distances: with ``g`` equal groups and ``F_i`` the distance without the
``i``-th group of both sets,

    value = g F - (g - 1) mean_i F_i        (Quenouille 1956; what is left falls as 1/n^2).

The standard error is the jackknife's too, of both sets in turn (Efron & Stein 1981); as the distance is quadratic near
zero, intervals of sets that are alike are too wide rather than too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..targets import Gaussian

__all__ = ["Distance", "frechet_distance", "gaussian_distance", "kernel_distance"]

GROUPS = 20

Estimate = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]
Classes = tuple[Any, Any]
"""Of the rows of both sets, or None; see :func:`frechet_distance`."""


@dataclass(frozen=True)
class Distance:
    """An estimate, its 95 % interval, and the plain formula's value.

    Attributes:
        value: with the first-order bias removed; may be slightly negative where two sets are alike.
        low, high: ``value -+ 1.96`` standard errors.
        plain: the formula on the sets as they are, comparable between sets of equal sizes only.
    """

    value: float
    low: float
    high: float
    plain: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def frechet_distance(a: Any, b: Any, classes: Classes = (None, None), seed: int = 0) -> Distance:
    """Fréchet distance between Gaussians fitted to the rows ``a`` ``(n, k)`` and ``b`` ``(m, k)``.

    Args:
        classes: of the rows of ``a`` and of ``b``, integers, for a set that holds every class in its fixed share, as
            :func:`diffnum.images.divided` makes them: the jackknife leaves these shares alone. Without them such a
            set, which varies less than independent draws, would be corrected for more than its bias.
        seed: of the groups.

    Raises:
        ValueError: fewer than four times as many rows as columns in either set; other columns.
    """
    a, b = _rows(a, b)
    least = min(len(a), len(b))
    if least < 4 * a.shape[1]:
        raise ValueError(
            f"{least} images are too few for a Fréchet distance in {a.shape[1]} features: give {4 * a.shape[1]} or more"
        )
    return _jackknife(lambda rows, w, others, v: _frechet(a[rows], w, b[others], v), (len(a), len(b)), classes, seed)


def kernel_distance(a: Any, b: Any, classes: Classes = (None, None), seed: int = 0) -> Distance:
    """Kernel distance between the rows ``a`` ``(n, k)`` and ``b`` ``(m, k)``; papers print a thousand times it.

    Memory and time grow with the product of the numbers of rows.

    Args:
        classes, seed: as for :func:`frechet_distance`.

    Raises:
        ValueError: fewer than 22 rows; other columns.
    """
    a, b = _rows(a, b)
    aa, bb, ab = ((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    np.fill_diagonal(aa, 0.0)
    np.fill_diagonal(bb, 0.0)

    def estimate(rows: np.ndarray, w: np.ndarray, others: np.ndarray, v: np.ndarray) -> float:
        within = w @ aa[np.ix_(rows, rows)] @ w / (1 - w @ w) + v @ bb[np.ix_(others, others)] @ v / (1 - v @ v)
        return float(within - 2 * w @ ab[np.ix_(rows, others)] @ v)

    return _jackknife(estimate, (len(a), len(b)), classes, seed)


def gaussian_distance(one: Gaussian, other: Gaussian) -> float:
    """The Fréchet distance of two Gaussians, exactly; the square of their 2-Wasserstein distance.

    Of Gaussians with common eigen-directions it is ``diffnum.read.distance.gaussian_w2`` squared.
    """
    roots = [g.variances**0.5 if g.basis is None else g.basis * g.variances**0.5 for g in (one, other)]
    square = [np.diag(r) if r.ndim == 1 else r for r in roots]
    return _squared_w2(one.mean - other.mean, square[0].T, square[1].T)


def _frechet(a: np.ndarray, w: np.ndarray, b: np.ndarray, v: np.ndarray) -> float:
    means, factors = [], []
    for x, weights in ((a, w), (b, v)):
        means.append(weights @ x)
        rows = (x - means[-1]) * np.sqrt(weights * len(x) / (len(x) - 1))[:, None]
        factors.append(np.linalg.qr(rows, mode="r"))
    return _squared_w2(means[0] - means[1], *factors)


def _squared_w2(between: np.ndarray, r: np.ndarray, s: np.ndarray) -> float:
    """Of covariances ``r^T r`` and ``s^T s``: the trace of the root is the sum of singular values of ``r s^T``, in
    which no square root of a nearly singular matrix is taken."""
    cross = np.linalg.svd(r @ s.T, compute_uv=False).sum()
    return float(between @ between + (r**2).sum() + (s**2).sum() - 2 * cross)


def _jackknife(f: Estimate, sizes: tuple[int, int], classes: Classes, seed: int) -> Distance:
    """``f(rows, weights, others, weights)`` of two independent sets of these sizes; see the top of this file."""
    rng, sides = np.random.default_rng(seed), []
    for n, given in zip(sizes, classes, strict=True):
        known = np.zeros(n, dtype=int) if given is None else np.asarray(given)
        if known.shape != (n,):
            raise ValueError(f"classes have shape {known.shape} for {n} images: give one for each")
        kept = [np.arange(n), *(np.delete(np.arange(n), group) for group in _groups(known, rng))]
        sides.append([(rows, _weights(rows, known)) for rows in kept])
    (whole, *fewer), (other_whole, *fewer_others) = sides
    plain = f(*whole, *other_whole)
    both = np.mean([f(*left, *right) for left, right in zip(fewer, fewer_others, strict=True)])
    first, second = [f(*left, *other_whole) for left in fewer], [f(*whole, *right) for right in fewer_others]
    value = GROUPS * plain - (GROUPS - 1) * float(both)
    half = 1.96 * ((GROUPS - 1) * float(np.var(first) + np.var(second))) ** 0.5
    return Distance(value, value - half, value + half, plain)


def _groups(classes: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows dealt in turn, class after class."""
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    return [order[k::GROUPS] for k in range(GROUPS)]


def _weights(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Weights of ``rows`` under which every class keeps the share that it has in the whole set."""
    _, which, left = np.unique(classes[rows], return_inverse=True, return_counts=True)
    _, whole = np.unique(classes[np.isin(classes, classes[rows])], return_counts=True)
    weights = (whole / left)[which]
    return weights / weights.sum()


def _rows(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features have shapes {a.shape} and {b.shape}: give rows of equally many columns")
    if min(len(a), len(b)) < GROUPS + 2:
        raise ValueError(f"{min(len(a), len(b))} images give no interval: give at least {GROUPS + 2} on either side")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features hold NaN or infinite numbers: mend the run that drew the images first")
    return a, b
