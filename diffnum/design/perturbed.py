"""Laws near a law: its spectrum tilted, its components' weights changed. A design that is fitted to one of them alone
shows it on the others."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..targets.mixture import Mixture

__all__ = ["SPREAD", "reweighted", "tilted"]

SPREAD = math.log(2.0)
"""Of the logarithms of weights' factors: two thirds of all weights change by at most a factor of two."""


def tilted(y: np.ndarray, power: float) -> np.ndarray:
    """The data with their spectrum raised to a power, of the same total and about the same mean.

    Args:
        y: ``(n, d)``, in coordinates that have no covariance with each other.
        power: above one a steeper spectrum, below one a flatter one.
    """
    mean, variances = y.mean(axis=0), y.var(axis=0)
    raised = (variances / variances.max()) ** power
    factors = np.sqrt(raised / np.maximum(variances, 1e-300) * variances.sum() / raised.sum())
    return mean + (y - mean) * factors


def reweighted(law: Mixture, seed: int, spread: float = SPREAD) -> Mixture:
    """The same components with weights ``w_k exp(spread g_k)``, normalised, ``g_k`` standard normal.

    Args:
        law: a mixture.
        seed: of ``g``.
        spread: 0 changes nothing, to the last bit.
    """
    if not spread:
        return law
    factors = np.exp(spread * np.random.default_rng(seed).standard_normal(len(law.weights)))
    return replace(law, weights=law.weights * factors)
