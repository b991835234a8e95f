"""Averages under a softmax over more entries than memory holds: log-sum-exp with a running maximum.

Of logits ``l_j`` that come in pieces, with ``M`` the largest so far, ``Z = sum exp(l_j - M)`` and
``Y = sum exp(l_j - M) y_j`` are kept; a piece with a larger maximum ``M'`` fades both by ``exp(M - M')`` (Milakov &
Gimelshein 2018; Dao et al. 2022, algorithm 1). The result is that of one piece, to rounding, for any pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .common import Array, is_torch

__all__ = ["LEAST", "exp", "log", "quiet", "softmax_mean", "weights_of"]

LEAST = {8: -600.0, 4: -80.0}
"""The least exponent of a weight, by the bytes of the numbers that it is multiplied in. Smaller ones are as good as
none beside a largest of one; products with subnormal numbers take twenty times as long."""


def softmax_mean(
    pieces: Iterable[tuple[Array, Callable[[Array], Array]]], least: float = LEAST[8]
) -> tuple[Array, Array, Array]:
    """``(M, Z, Y / Z)``, shapes ``(rows,)``, ``(rows,)`` and ``(rows, d)``; the log-sum-exp is ``M + log Z``.

    Args:
        pieces: logits ``(rows, c)`` and a function from powers ``(rows, c)`` to ``sum_j powers_j y_j``. Sums over
            pieces are as wide as the products that it returns.
        least: of :data:`LEAST`, for the products.
    """
    top: Any = None
    total: Any = 0.0
    mean: Any = 0.0
    for logits, summed in pieces:
        # the result does not depend on the maximum, and neither does its gradient
        peak = quiet(logits.amax(1) if is_torch(logits) else logits.max(1))
        before, top = top, peak if top is None else peak.maximum(top) if is_torch(peak) else np.maximum(peak, top)
        weights = weights_of(logits - top[:, None], least)
        if before is not None:
            fade = exp(before - top)
            total, mean = total * fade, mean * fade[:, None]
        total, mean = total + weights.sum(1), mean + summed(weights)
    return top, total, mean / total[:, None]


def weights_of(logits: Array, least: float = LEAST[8]) -> Array:
    """Exponentials of logits at most zero, which may be written over, none of them subnormal."""
    if is_torch(logits):
        return logits.clamp_(min=least).exp()
    np.maximum(logits, least, out=logits)
    return np.exp(logits, out=logits)


def quiet(x: Array) -> Array:
    """``x`` cut off from gradients."""
    return x.detach() if is_torch(x) else x


def exp(x: Array) -> Array:
    """Exponential of a numpy array or torch tensor."""
    return x.exp() if is_torch(x) else np.exp(x)


def log(x: Any) -> Any:
    """Logarithm of a number, numpy array or torch tensor."""
    return x.log() if is_torch(x) else np.log(x)
