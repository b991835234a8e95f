"""Beta sampling, and the spectral analysis that it is argued from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...grid import Grid, through
from ...process import Process
from .window import Window, as_spectrum

__all__ = ["band_changes", "beta", "commit_lams", "peak_lams"]


def beta(
    process: Process, n: int, a: float = 0.6, b: float = 0.6, start: Any = None, stop: Any = None, end: str = "stop"
) -> Grid:
    """Times at equal steps of a Beta distribution's quantile (Lee et al. 2024),

        t_i = t_stop + (t_start - t_stop) F^-1(1 - i / n),    F the distribution function of Beta(a, b).

    ``a = b < 1`` makes both ends dense and is symmetric in ``t``; ``a = b = 1`` is :func:`diffnum.grid.uniform`. The
    default 0.6 is ComfyUI's; :func:`diffnum.design.grids.fit_beta` finds the numbers for a law.

    Args:
        process, n, start, stop, end: see :func:`diffnum.grid.uniform`.
        a, b: > 0.

    Raises:
        ValueError: ends that make no grid; parameters that are not positive; quantiles so near an end that levels
            repeat.
    """
    from scipy.special import betaincinv

    if not (0 < a < np.inf and 0 < b < np.inf):
        raise ValueError(f"a = {a!r}, b = {b!r} make no Beta distribution: use positive numbers")
    window = Window.of(process, n, start, stop, end)
    m = n - 1 if end == "zero" else n
    last = process.at(window.high) if end == "zero" else window.last
    parts = [float(betaincinv(a, b, (m - i) / m)) for i in range(1, m)]
    inner = [process.level(last.t + (window.first.t - last.t) * part) for part in parts]
    kept = (
        [window.first, *inner, window.last] if end != "zero" else [window.first, *inner, *[last] * (n > 1), window.last]
    )
    return through(process, kept, end)


def band_changes(grid: Grid, spectrum: ArrayLike) -> np.ndarray:
    """Change of the prediction over each step of a grid, per direction: ``E (D_{i+1} - D_i)^2`` along the exact flow of
    a centred Gaussian; the squared differences of ``c / sqrt(c + s^2)``, ``s = sigma / alpha``. ``(n, d)``.

    Beta sampling is argued from the same statistic of images, per frequency of their Fourier transform.
    """
    c = as_spectrum(spectrum)
    known = np.array([level.alpha * c / np.sqrt(level.alpha**2 * c + level.sigma**2) for level in grid])
    return np.diff(known, axis=0) ** 2


def commit_lams(spectrum: ArrayLike) -> np.ndarray:
    """Log-SNR where signal and noise of a direction are equal, ``alpha^2 c = sigma^2``: ``-log(c) / 2``."""
    return -np.log(as_spectrum(spectrum)) / 2


def peak_lams(spectrum: ArrayLike) -> np.ndarray:
    """Log-SNR where :func:`band_changes` of small equal steps in log-SNR is largest: ``sigma^2 = 2 alpha^2 c``.

    That is ``log(2) / 2`` noisier than :func:`commit_lams`, in every direction: ``c s^2 / (c + s^2)^(3/2)`` is largest
    at ``s^2 = 2 c``.
    """
    return commit_lams(spectrum) - np.log(2) / 2
