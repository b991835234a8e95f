"""Where a network is a Gaussian's denoiser and where it is not: its score beside closed ones, level by level.

At a level the scores of a denoiser ``D`` and of a law with denoiser ``D*`` are ``(alpha D - x) / sigma^2`` and the same
with ``D*``. Reported is the share of the network's score that the law leaves unexplained,

    unexplained = E |s - s*|^2 / E |s|^2 = E |alpha (D - D*)|^2 / E |alpha D - x|^2,

over held-out images with noise (Wang & Vastola 2024, "The unreasonable effectiveness of Gaussian score approximation").
Of a Gaussian ``s*`` is linear in ``x``: where little is left unexplained the network is nearly linear there, and a
plan's error on it is that on the Gaussian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..models import Network
from ..targets import Empirical, Gaussian, Mixture
from .data import Dataset
from .judging import RATIOS, asked, checked_levels, noised

__all__ = ["ScoreError", "score_error"]


@dataclass(frozen=True)
class ScoreError:
    """Shares of a network's score that closed scores leave unexplained, by ``sigma / alpha``.

    Attributes:
        ratios: ``sigma / alpha``.
        gaussian: of ``dn.Gaussian.fit`` of the training images.
        mixture: of ``dn.Mixture.fit_labelled`` of them, or of ten components found by ``dn.Mixture.fit``.
        by_heart: of the ideal score of the training images, ``dn.Empirical``.
        denoiser: of the Gaussian, but of the denoiser about its mean: ``E |D - D*|^2 / E |D - E D|^2``; the score at
            little noise is mostly the noise itself, which every law explains, the denoiser is what is left.
    """

    ratios: tuple[float, ...]
    gaussian: tuple[float, ...]
    mixture: tuple[float, ...]
    by_heart: tuple[float, ...]
    denoiser: tuple[float, ...]

    def linear_above(self, share: float = 0.01) -> float:
        """The least ``sigma / alpha`` from which on the Gaussian leaves no more than ``share`` of the score; ``inf`` if
        it leaves more at the last."""
        order = np.argsort(self.ratios)
        fits = np.asarray(self.gaussian)[order] <= share
        count = int(np.argmin(fits[::-1])) if not fits.all() else len(fits)
        return float(np.asarray(self.ratios)[order][len(fits) - count]) if count else float("inf")


def score_error(
    network: Network, training: Dataset, held_out: Dataset, ratios: Sequence[float] = RATIOS, seed: int = 0
) -> ScoreError:
    """The table of :class:`ScoreError`, for a network that is told no class.

    Args:
        network: compiled for ``"data"`` on ``Cosine(0)``.

    Raises:
        ValueError: a network of another prediction or process; sets of different shapes.
    """
    levels = checked_levels(network, training, held_out, ratios)
    x = training.data
    if training.labels is not None:
        mixture = Mixture.fit_labelled(x, training.labels)
    else:
        mixture = Mixture.fit(x, 10, seed, "diag")
    laws = (Gaussian.fit(x), mixture, Empirical(x))
    rows = []
    for level in levels:
        noisy = noised(held_out.data, level, seed)
        own = asked(network, noisy, level, None, training.shape)
        alpha = float(level.alpha)
        gaps = [float(np.mean((own - law.denoise(noisy, level)) ** 2)) for law in laws]
        size = float(np.mean((alpha * own - noisy) ** 2))
        spread = float(np.mean((own - own.mean(axis=0)) ** 2))
        rows.append([*(alpha**2 * gap / size for gap in gaps), gaps[0] / spread])
    return ScoreError(tuple(float(r) for r in ratios), *(tuple(column) for column in zip(*rows, strict=True)))
