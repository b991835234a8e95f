"""What many dimensions hold beyond the leading ones: three forms of a covariance without its matrix.

    low rank plus one number      B diag(c - s) B^T + s I                        (Tipping & Bishop 1999)
    low rank plus diagonal        B diag(c) B^T + diag(psi), psi what is left of each coordinate
    per frequency                 one variance for each channel and frequency of a stationary field

Each is fitted to one part of the data, and the one of largest likelihood on another part is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["LARGE", "Others", "others"]

LARGE = 4096
"""Dimensions above which the form is chosen; below, the directions left out share what they hold."""

_RANK = 64


@dataclass(frozen=True, eq=False)
class Others:
    """The directions beyond the leading ones.

    Attributes:
        form: ``"one number"``, ``"diagonal"`` or ``"per frequency"``.
        variances: ``(d - r,)``.
        log_likelihoods: of every form, nats per dimension, on the data that were held out.
    """

    form: str
    variances: np.ndarray
    log_likelihoods: dict[str, float]


def others(data: np.ndarray, held_out: np.ndarray, shape: tuple[int, ...]) -> Others:
    """The form of largest held-out likelihood, and its variances beyond the ``r`` leading ones.

    Args:
        data, held_out: ``(n, d)``.
        shape: of a sample, ``(h, w)``, ``(c, h, w)`` or ``(h, w, c)``; with another one there are no frequencies.
    """
    mean = data.mean(axis=0)
    x, y = data - mean, held_out - mean
    n, d = x.shape
    _, s, basis = np.linalg.svd(x, full_matrices=False)
    r = min(_RANK, n - 1, int((s > 1e-10 * s[0]).sum()))
    leading, basis = s[:r] ** 2 / n, basis[:r].T
    total = float((x**2).mean(axis=0).sum())
    left = max(total - float(leading.sum()), 1e-9 * total) / (d - r)
    psi = np.maximum((x**2).mean(axis=0) - (basis**2) @ leading, 1e-3 * left)
    found = {
        "one number": (np.full(d - r, left), _low_rank(y, basis, leading - left, np.full(d, left))),
        "diagonal": (np.sort(psi)[::-1][: d - r], _low_rank(y, basis, leading, psi)),
    }
    if (where := _plane(shape)) is not None:
        power = _power(x, shape, where).mean(axis=0)
        power = np.maximum(power, 1e-9 * power.max())
        fit = -(np.log(2 * math.pi * power) + _power(y, shape, where).mean(axis=0) / power).sum() / (2 * d)
        found["per frequency"] = np.sort(power.ravel())[::-1][r:], float(fit)
    form = max(found, key=lambda name: found[name][1])
    return Others(form, found[form][0], {name: fit for name, (_, fit) in found.items()})


def _low_rank(y: np.ndarray, basis: np.ndarray, extra: np.ndarray, diagonal: np.ndarray) -> float:
    """Log-likelihood per dimension of ``B diag(extra) B^T + diag(diagonal)``, by Woodbury's identity."""
    d = y.shape[1]
    factors = basis * np.sqrt(np.maximum(extra, 0.0))
    scaled = factors / diagonal[:, None]
    inner = np.eye(factors.shape[1]) + factors.T @ scaled
    inside = y @ scaled
    square = (y**2 / diagonal).sum(axis=1) - (inside * np.linalg.solve(inner, inside.T).T).sum(axis=1)
    log_det = float(np.log(diagonal).sum() + np.linalg.slogdet(inner)[1])
    return -(d * math.log(2 * math.pi) + log_det + float(square.mean())) / (2 * d)


def _plane(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The two axes of a sample that are space: the channels are the shortest of three."""
    if len(shape) == 2:
        return 0, 1
    if len(shape) == 3:
        return (1, 2) if shape[0] <= shape[2] else (0, 1)
    return None


def _power(x: np.ndarray, shape: tuple[int, ...], where: tuple[int, int]) -> np.ndarray:
    """Squares of the coefficients of an orthonormal real Fourier basis (Hartley's), shape ``(n, *shape)``."""
    axes = (where[0] + 1, where[1] + 1)
    waves = np.fft.fft2(x.reshape(len(x), *shape), axes=axes, norm="ortho")
    return (waves.real - waves.imag) ** 2
