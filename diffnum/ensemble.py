"""How wide an ensemble n steps make: the variance of DDIM's and DDPM's output in closed form, and the n for a spread.

A conditional sampler that is run many times makes an ensemble, and the number of its steps sets the ensemble's spread:
few steps make too little. On a mode of conditional variance ``c``, from ``x_T ~ N(0, prior^2)``,

    v <- A^2 v + nu^2,    A = alpha_t g + sqrt(sigma_t^2 - nu^2) (1 - alpha_s g) / sigma_s,
    g = alpha_s c / (alpha_s^2 c + sigma_s^2),    nu = eta sigma_t sqrt(1 - e^-2h),

so that DDIM's is a product of squares. "Controlling Ensemble Variance in Diffusion Models: An Application for
Reanalyses Downscaling" observes that it grows with n for ``eta = 0``; here it is a formula for any ``eta``, grid and
spectrum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from . import grid as grids
from .grid import Grid
from .num import expm1

__all__ = ["Calibration", "calibrate", "spread"]

MakeGrid = Callable[[Any, int], Grid]


def spread(levels: Grid, variances: Any, eta: float = 0.0) -> np.ndarray:
    """Variance of the output of ``ddim_eta`` on modes of conditional variance ``variances``, ``(d,)`` float64.

    Args:
        levels: a grid that ends at its last level, ``end="stop"`` or ``"zero"``.
        variances: ``c >= 0`` of every mode.
        eta: 0 is DDIM, 1 DDPM ancestral sampling.

    Raises:
        ValueError: variances that are negative or not finite, ``eta`` outside [0, 1], a grid that denoises at its end.
    """
    c = _variances("variances", variances)
    if not 0 <= eta <= 1:
        raise ValueError(f"eta = {eta!r} leaves no variance for the predicted noise: use 0 <= eta <= 1")
    if levels.end not in ("stop", "zero"):
        raise ValueError(f"a grid with end = {levels.end!r} denoises once more: use end='stop' or 'zero'")
    v = np.full_like(c, float(levels.process.prior(levels.levels[0])) ** 2)
    for (s, t), h in zip(pairwise(levels.levels), levels.h, strict=True):
        gain = s.alpha * c / (s.alpha**2 * c + s.sigma**2)
        nu2 = -(eta**2) * t.sigma**2 * expm1(-2 * h)
        kept = t.alpha * gain + np.sqrt(t.sigma**2 - nu2) * (1 - s.alpha * gain) / s.sigma
        v = kept**2 * v + nu2
    return v


@dataclass(frozen=True)
class Calibration:
    """The number of steps whose ensembles are as wide as wanted.

    Attributes:
        n: steps, which are evaluations too.
        spread: variance of every mode at ``n`` steps, ``(d,)``.
        wanted: variance asked for, ``(d,)``.
        ratio: total of ``spread`` over total of ``wanted``.
    """

    n: int
    spread: np.ndarray
    wanted: np.ndarray

    @property
    def ratio(self) -> float:
        """How wide the ensembles are in all, one if as wanted."""
        return float(self.spread.sum() / self.wanted.sum())


def calibrate(
    process: Any,
    variances: Any,
    wanted: Any,
    eta: float = 0.0,
    grid: MakeGrid = grids.uniform,
    most: int = 1000,
) -> Calibration:
    """The number of steps, up to ``most``, whose total variance is nearest to the total of ``wanted``.

    The total may fall here and there as steps are added, so every number of steps is looked at.

    Args:
        process: a noise process.
        variances: of the modes of the model's conditional law, ``(d,)``.
        wanted: variances of the ensemble, such as those of a reference ensemble in the same modes.
        grid: ``make(process, n)``.

    Raises:
        ValueError: as :func:`spread`; shapes that differ; a wanted total that no number of steps up to ``most`` comes
            within two percent of.
    """
    c, target = _variances("variances", variances), _variances("wanted", wanted)
    if c.shape != target.shape:
        raise ValueError(f"{len(target)} wanted variances for {len(c)} modes: give one for each")
    if not target.sum() > 0:
        raise ValueError("wanted variances are all zero: an ensemble without spread needs no calibration")
    if not (isinstance(most, int) and most >= 1):
        raise ValueError(f"most = {most!r} is no number of steps: use a whole number >= 1")
    found = [spread(grid(process, n), c, eta) for n in range(1, most + 1)]
    gaps = [abs(v.sum() - target.sum()) for v in found]
    best = int(np.argmin(gaps))
    if gaps[best] > 0.02 * target.sum():
        reached = [v.sum() for v in found]
        raise ValueError(
            f"a total variance of {target.sum():.4g} is out of reach: up to {most} steps make {min(reached):.4g} to "
            f"{max(reached):.4g}; ask for one between, change eta, or check the model's own variances"
        )
    return Calibration(best + 1, found[best], target)


def _variances(name: str, value: Any) -> np.ndarray:
    found = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(f"{name} must be one finite number >= 0 for each mode, got {value!r}")
    return found
