"""Does a network return its training images: distances of samples to the training set, beside those of new images.

Three sets, as Meehan et al. 2020 propose: training images ``T``, held-out images ``P``, samples ``Q``; ``d(x)`` is the
distance to the nearest training image. If samples are as new as held-out images, the two kinds of distances cannot be
told apart; a copier's are smaller.

- **All of them shifted**: Mann and Whitney's ``U``, the number of pairs with ``d(q) > d(p)``, as a z-score
  (``C_T`` of Meehan et al. 2020, section 3, with one cell). Far below zero: copying. Far above: samples
  lie farther off than new images, as blurred or noisy ones do.
- **Some of them copies**: how many samples are nearer than the nearest 5 % of held-out images, with its exact
  probability by chance. A tenth of copies moves no mean, but it fills this corner.

Both hold whatever the distances are; they assume that held-out images are drawn as the training images were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .features import as_rows

__all__ = ["Copying", "copying"]


@dataclass(frozen=True, eq=False)
class Copying:
    """What :func:`copying` found.

    Attributes:
        z: of the shift; below zero where samples are nearer to training images than held-out images are.
        shifted: probability of such a ``z`` or a smaller one without copying.
        share: of samples nearer to a training image than the nearest 5 % of held-out ones; 0.05 is expected.
        filled: probability of such a share or a larger one without copying.
        ratio: median distance of samples over median distance of held-out images.
        distances: of each sample, ``(m,)``.
        nearest: the row of its nearest training image, ``(m,)``.
    """

    z: float
    shifted: float
    share: float
    filled: float
    ratio: float
    distances: np.ndarray
    nearest: np.ndarray

    @property
    def found(self) -> bool:
        """Whether chance explains either finding with less than 1 in 1000."""
        return min(self.shifted, self.filled) < 5e-4

    def __str__(self) -> str:
        verdict = "copies of training images found" if self.found else "no copying found"
        return (
            f"{verdict}: samples are {self.ratio:.2f} times as far from training images as new images are, "
            f"z = {self.z:+.1f}; {self.share:.1%} nearer than the nearest 5 % of new images (p = {self.filled:.2g})"
        )


def copying(samples: Any, training: Any, held_out: Any, quantile: float = 0.05) -> Copying:
    """Samples ``(m, d)`` beside training ``(l, d)`` and held-out rows ``(n, d)``: pixels, or features of them; or
    tensors of images, ``(m, c, h, w)``.

    Args:
        quantile: of the held-out distances that makes the corner.

    Raises:
        ValueError: rows of other lengths; too few held-out images to have such a quantile.
    """
    from scipy.stats import hypergeom, mannwhitneyu
    from sklearn.neighbors import NearestNeighbors

    q, t, p = (as_rows(x) for x in (samples, training, held_out))
    if not q.ndim == t.ndim == p.ndim == 2 or not q.shape[1] == t.shape[1] == p.shape[1]:
        raise ValueError(f"rows have shapes {q.shape}, {t.shape} and {p.shape}: give rows of equal length")
    if not 0 < quantile < 1 or quantile * len(p) < 1 or len(q) < 2:
        raise ValueError(
            f"{len(q)} samples and {len(p)} held-out images for the quantile {quantile}: give at least 2 and "
            f"1 / {quantile} of them"
        )
    near = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(t)
    (d_q, which), (d_p, _) = near.kneighbors(q), near.kneighbors(p)
    d_q, d_p = d_q[:, 0], d_p[:, 0]
    m, n = len(d_q), len(d_p)
    test = mannwhitneyu(d_q, d_p, alternative="less", method="asymptotic")
    z = (test.statistic - m * n / 2) / (m * n * (m + n + 1) / 12) ** 0.5
    rank = int(np.floor(quantile * n))
    count = int((d_q < np.sort(d_p)[rank - 1]).sum())
    # count samples lie below the rank-th held-out image just if that many are among the lowest count + rank - 1
    filled = 1.0 if count == 0 else float(hypergeom.cdf(rank - 1, m + n, n, count + rank - 1))
    return Copying(
        z=float(z),
        shifted=float(test.pvalue),
        share=count / m,
        filled=filled,
        ratio=float(np.median(d_q) / np.median(d_p)),
        distances=d_q,
        nearest=which[:, 0],
    )
