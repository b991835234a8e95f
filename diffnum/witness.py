"""Witnesses: targets, grids and errors on which every sampler's order is measured, the same for all.

The interval is log-SNR in [-3, 3], where the flow is curved; grids are uniform in log-SNR or
alternate steps of ratio two, so that a method with constant-step weights cannot pass. A warm run
replaces the states of the start-up steps by the exact flow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .grid import Grid, custom, log_snr
from .plan import Plan
from .read.moments import moments
from .read.sample import sample
from .targets.gaussian import Gaussian
from .targets.laws import Mixture1D
from .targets.product import Product1D

__all__ = [
    "COUNTS",
    "END_RATIOS",
    "GRIDS",
    "STEP_SIZES",
    "Run",
    "alternating",
    "gaussian",
    "law_errors",
    "nonlinear",
    "norm",
    "one_step",
    "path_errors",
    "to_clean",
    "uniform",
]

LOW, HIGH = -3.0, 3.0
COUNTS = (16, 32, 64, 128, 256, 512)
# steps of 1/n of the interval on which the error of a single step is measured
STEP_SIZES = tuple(64 * n for n in COUNTS)
# alpha / sigma from which a run to the clean level starts
END_RATIOS = (4, 8, 16, 32)
POINTS = 16
SEED = 20_251_101


@lru_cache(maxsize=1)
def gaussian() -> Gaussian:
    """Four modes, of variances on both sides of one and means that are not zero."""
    return Gaussian(np.array([0.5, -1.0, 0.3, 0.8]), np.array([0.1, 0.4, 1.0, 2.5]))


@lru_cache(maxsize=1)
def nonlinear() -> Product1D:
    """Three smooth mixtures of two and three components with exact flow, one per coordinate."""
    return Product1D(
        (
            Mixture1D(np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([0.5, 0.4])),
            Mixture1D(np.array([0.3, 0.7]), np.array([-0.8, 0.6]), np.array([0.6, 0.8])),
            Mixture1D(np.array([0.2, 0.5, 0.3]), np.array([-1.5, 0.2, 1.4]), np.array([0.5, 0.7, 0.6])),
        )
    )


def uniform(process: Any, n: int) -> Grid:
    """``n`` equal log-SNR steps over the interval."""
    return log_snr(process, n, start=process.at(LOW), stop=process.at(HIGH))


def alternating(process: Any, n: int) -> Grid:
    """``n`` steps (even) whose sizes alternate 1 : 2 : 1 : 2 in log-SNR."""
    sizes = np.tile([1.0, 2.0], n // 2)
    lams = LOW + (HIGH - LOW) * np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])
    return custom(process, lams=[LOW, *lams[1:-1].tolist(), HIGH])


def one_step(process: Any, n: int) -> Grid:
    """One step of size ``(high - low) / n`` from the middle of the interval."""
    return custom(process, lams=[(LOW + HIGH) / 2, (LOW + HIGH) / 2 + (HIGH - LOW) / n])


def to_clean(process: Any, ratio: float) -> Grid:
    """Two steps of 1/2 in log-SNR from ``alpha / sigma = ratio`` and a third one to ``sigma = 0``."""
    lam = math.log(ratio)
    return custom(process, lams=[lam, lam + 0.5, lam + 1.0, math.inf])


GRIDS: dict[str, Callable[[Any, int], Grid]] = {"uniform": uniform, "alternating": alternating}


@dataclass(frozen=True)
class Run:
    """Starting points with their exact flow along any levels, computed once per process.

    Attributes:
        target: a target with exact ``flow``.
        x: ``(points, dim)`` at ``start``.
    """

    target: Any
    start: Any
    x: np.ndarray

    @staticmethod
    def of(target: Any, start: Any) -> Run:
        """Points drawn from the target's law at ``start`` with a fixed seed."""
        return Run(target, start, target.sample(POINTS, SEED, start))

    def exact(self, level: Any) -> np.ndarray:
        """The exact flow of the points at ``level``."""
        return self.target.flow(self.x, self.start, level)


def path_errors(plan: Plan, run: Run, warm: bool, dtype: Any = np.float64) -> np.ndarray:
    """Signed end-point error of ``plan`` from ``run``'s points, ``(points, dim)`` float64."""
    pinned = {i: run.exact(plan.levels[i]).astype(dtype) for i in range(1, plan.depth + 1)} if warm else {}
    x = sample(plan, run.target, run.x.astype(dtype), pinned=pinned)
    return np.asarray(x, dtype=float) - run.exact(plan.stop)


def law_errors(plan: Plan, target: Gaussian) -> np.ndarray:
    """Errors of mean and variance at ``plan.stop``, started from the exact marginal; ``(2, dim)``."""
    mean, var = moments(plan, target)
    m, v = target.eigen()
    stop = plan.stop
    return np.stack([mean - stop.alpha * m, var - (stop.alpha**2 * v + stop.sigma**2)])


def norm(error: np.ndarray) -> float:
    """Largest absolute entry."""
    return float(np.abs(error).max())
