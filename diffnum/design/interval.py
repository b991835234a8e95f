"""An estimate with its 95 % interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval"]

_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A number and the 95 % interval around it.

    Attributes:
        value: the estimate.
        low, high: the 2.5 and 97.5 percentiles.
    """

    value: float
    low: float
    high: float

    @classmethod
    def bootstrap(
        cls, samples: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], seed: int = 0
    ) -> Interval:
        """The percentile bootstrap over paired samples (Efron & Tibshirani 1993, section 13.3), by scipy, with 2000
        resamples.

        Args:
            samples: arrays of one length ``n``, resampled together.
            statistic: ``statistic(*samples, axis=-1)``, vectorised.
            seed: of the resampling.
        """
        from scipy.stats import bootstrap

        value = float(statistic(*samples, axis=-1))
        if len(samples[0]) < 2 or all(np.ptp(sample) == 0 for sample in samples):
            return cls(value, value, value)
        drawn = bootstrap(
            samples, statistic, paired=True, vectorized=True, method="percentile", n_resamples=_RESAMPLES, rng=seed
        )
        found = drawn.confidence_interval
        return cls(value, float(found.low), float(found.high))

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"
