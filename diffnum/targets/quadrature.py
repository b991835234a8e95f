"""Integrals of positive tilted normal weights by Gauss-Legendre, relative accuracy near rounding.

Closed forms of truncated normals cancel when the noise is much wider or much narrower than the
interval; a quadrature of positive terms never does.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["log_mean_ndtr", "tilted"]

_NODES = 64
_DROP = 45.0  # weights below e^-45 of the largest do not reach float64


@cache
def _rule() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(_NODES)


def _reach(slope: Any, curvature: Any) -> Any:
    """``r > 0`` with ``slope r + curvature r^2 / 2 = 45``."""
    with np.errstate(divide="ignore"):
        return 2 * _DROP / (slope + np.sqrt(slope**2 + 2 * _DROP * curvature))


def tilted(c: Any, w: Any, lo: Any, hi: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-integral, mean and variance of the weight ``exp(-(c u + w^2 u^2 / 2))`` on ``[lo, hi]``.

    The weight must be largest at ``u = 0``, which the interval holds: ``c >= 0`` with ``lo = 0``,
    ``c <= 0`` with ``hi = 0``, or ``c = 0``. An end may be infinite where the weight decays.
    """
    reach = _reach(np.abs(c), np.square(w))
    lo, hi = np.maximum(lo, -reach), np.minimum(hi, reach)
    nodes, weights = _rule()
    half = 0.5 * (hi - lo)
    u = lo[..., None] + half[..., None] * (nodes + 1)
    p = weights * np.exp(-(np.asarray(c)[..., None] * u + 0.5 * (np.asarray(w)[..., None] * u) ** 2))
    total = p.sum(-1)
    mean = (p * u).sum(-1) / total
    return np.log(half * total), mean, (p * (u - mean[..., None]) ** 2).sum(-1) / total


def log_mean_ndtr(top: np.ndarray, w: float) -> np.ndarray:
    """``log`` of the mean of ``Phi(top - w u)`` over ``u`` in [0, 1], for ``w >= 0``."""
    from scipy.special import log_ndtr

    # up to `one` Phi is 1 to rounding, from `end` on it is negligible
    one, end = np.zeros_like(top), np.ones_like(top)
    if w > 0:
        one = np.clip((top - 9) / w, 0, 1)
        end = np.clip((np.maximum(top, 0) + _reach(np.maximum(-top, 0), 1.0)) / w, 0, 1)
    nodes, weights = _rule()
    half = 0.5 * (end - one)
    z = log_ndtr(top[..., None] - w * (one[..., None] + half[..., None] * (nodes + 1)))
    peak = z.max(-1)
    with np.errstate(divide="ignore"):
        rest = peak + np.log(half * (weights * np.exp(z - peak[..., None])).sum(-1))
        return np.logaddexp(rest, np.log(one))
