"""Do samples lie where images lie, and do they reach all of them: balls around points, in features.

With ``r_k(x)`` the distance of a point to its ``k``-th nearest neighbour in its own set, real rows ``X`` and generated
rows ``Y``,

    precision = share of y with |y - x| <= r_k(x) for some x
    recall    = share of x with |x - y| <= r_k(y) for some y              (Kynkäänniemi et al. 2019, equations 1-3)
    density   = mean over y of #{x : |y - x| <= r_k(x)} / k
    coverage  = share of x with |x - y| <= r_k(x) for some y              (Naeem et al. 2020, equations 3 and 4)

Precision and recall are not 1 for two sets of one law, and one outlier with a large ball spoils them; density has the
expectation 1 and coverage the one of :func:`expected_coverage` whatever the law (Naeem et al. 2020, lemma 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Coverage", "coverage", "expected_coverage"]


@dataclass(frozen=True)
class Coverage:
    """The four numbers.

    Attributes:
        precision, recall, density, coverage: see :mod:`diffnum.images.coverage`; shares, but density may exceed 1.
        expected: coverage of two sets of these sizes and one law.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    expected: float


def coverage(real: Any, generated: Any, k: int = 5) -> Coverage:
    """The numbers of :class:`Coverage` of feature rows ``real`` ``(n, d)`` and ``generated`` ``(m, d)``.

    Raises:
        ValueError: rows of other lengths; no more than ``k`` of them.
    """
    from sklearn.metrics import pairwise_distances

    real, generated = (np.asarray(x, dtype=np.float64) for x in (real, generated))
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"features have shapes {real.shape} and {generated.shape}: give rows of equal length")
    if not (1 <= k < min(len(real), len(generated))):
        raise ValueError(f"k = {k} of {min(len(real), len(generated))} images: use a k from 1 to below their number")
    radius, own = _radii(real, k), _radii(generated, k)
    apart = pairwise_distances(real, generated)
    inside = apart <= radius[:, None]
    return Coverage(
        precision=float(inside.any(axis=0).mean()),
        recall=float((apart <= own[None, :]).any(axis=1).mean()),
        density=float(inside.sum(axis=0).mean() / k),
        coverage=float(inside.any(axis=1).mean()),
        expected=expected_coverage(len(real), len(generated), k),
    )


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Mean coverage of ``n`` images by ``m`` others of the same law: one minus the chance that, of the ``n - 1 + m``
    points around an image in random order, the nearest ``k`` are all its own set's."""
    j = np.arange(1, k + 1)
    return float(1 - np.prod((n - j) / (n + m - j)))


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    # asked without points the set is told its own neighbours, each without itself
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors()[0][:, -1]
