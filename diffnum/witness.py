"""Witnesses: targets, grids and errors on which every sampler's order is measured, the same for all.

The interval is log-SNR in [-3, 3], where the flow is curved; grids are uniform in log-SNR or alternate steps of ratio
two, so that a method with constant-step weights cannot pass. A claim on smooth grids is measured on steps that shrink
threefold from end to end, since equal ones are smooth grids with one ratio of steps. A warm run puts the exact flow in
the place of what the start-up steps leave: their states, and the states at which their evaluations were made.

In the middle, log-SNR in [-1/4, 1/4], few steps are short ones: errors show their leading power early, where digits
allow it (:mod:`.precise`), and what a start-up leaves can be seen beside the rest. From high noise it hides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from .grid import Grid, custom, log_snr
from .plan import Eval, Level, Line, Plan, interpret
from .read.density import expectation, marginal
from .read.moments import moments
from .targets.gaussian import Gaussian
from .targets.laws import Mixture1D
from .targets.mixture import Mixture
from .targets.product import Product1D

__all__ = [
    "COUNTS",
    "END_RATIOS",
    "GRIDS",
    "NEAR",
    "NEAR_COUNTS",
    "NEAR_GRIDS",
    "PATTERNS",
    "STEP_SIZES",
    "Run",
    "alternating",
    "combination",
    "coupled",
    "end_point",
    "gaussian",
    "history",
    "law_errors",
    "line_errors",
    "near",
    "near_alternating",
    "near_smooth",
    "nonlinear",
    "norm",
    "one_step",
    "path_errors",
    "smooth",
    "to_clean",
    "uniform",
]

LOW, HIGH = -3.0, 3.0
COUNTS = (16, 32, 64, 128, 256, 512)
# steps of 1/n of the interval on which the error of a single step is measured
STEP_SIZES = tuple(64 * n for n in COUNTS)
# alpha / sigma from which a run to the clean level starts: a part that stays may be small
END_RATIOS = (2**8, 2**12, 2**16, 2**20)
NEAR = 0.25
NEAR_COUNTS = (16, 32, 64, 128, 256)
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


@lru_cache(maxsize=1)
def coupled() -> Mixture:
    """Three components in the plane that no rotation makes a product: its flow is a system, and has no closed form."""
    return Mixture(
        np.array([0.3, 0.4, 0.3]),
        np.array([[-1.0, 0.4], [0.7, 0.9], [0.2, -1.1]]),
        np.array([[0.3, 0.5], [0.4, 0.2], [0.25, 0.6]]),
    )


@lru_cache(maxsize=32)
def uniform(process: Any, n: int) -> Grid:
    """``n`` equal log-SNR steps over the interval."""
    return log_snr(process, n, start=process.at(LOW), stop=process.at(HIGH))


# sizes of n (even) steps, up to a factor
PATTERNS: dict[str, Callable[[int], list[int]]] = {
    "uniform": lambda n: [1] * n,
    "alternating": lambda n: [1, 2] * (n // 2),
    "smooth": lambda n: [3 * n - 1 - 2 * i for i in range(n)],
}


@lru_cache(maxsize=32)
def alternating(process: Any, n: int) -> Grid:
    """``n`` steps (even) whose sizes alternate 1 : 2 : 1 : 2 in log-SNR."""
    return _patterned(process, "alternating", n, LOW, HIGH)


@lru_cache(maxsize=32)
def smooth(process: Any, n: int) -> Grid:
    """``n`` steps in log-SNR whose sizes fall linearly to a third."""
    return _patterned(process, "smooth", n, LOW, HIGH)


def _patterned(process: Any, pattern: str, n: int, low: float, high: float) -> Grid:
    sizes = np.array(PATTERNS[pattern](n), dtype=float)
    lams = low + (high - low) * np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])
    return custom(process, lams=[low, *lams[1:-1].tolist(), high])


@lru_cache(maxsize=32)
def near(process: Any, n: int) -> Grid:
    """``n`` equal log-SNR steps in the middle."""
    return log_snr(process, n, start=process.at(-NEAR), stop=process.at(NEAR))


@lru_cache(maxsize=32)
def near_alternating(process: Any, n: int) -> Grid:
    """:func:`alternating` in the middle."""
    return _patterned(process, "alternating", n, -NEAR, NEAR)


@lru_cache(maxsize=32)
def near_smooth(process: Any, n: int) -> Grid:
    """:func:`smooth` in the middle."""
    return _patterned(process, "smooth", n, -NEAR, NEAR)


@lru_cache(maxsize=32)
def one_step(process: Any, n: int) -> Grid:
    """One step of size ``(high - low) / n`` from the middle of the interval."""
    return custom(process, lams=[(LOW + HIGH) / 2, (LOW + HIGH) / 2 + (HIGH - LOW) / n])


def to_clean(process: Any, ratio: float) -> Grid:
    """Two steps of 1/2 in log-SNR from ``alpha / sigma = ratio`` and a third one to ``sigma = 0``."""
    lam = math.log(ratio)
    return custom(process, lams=[lam, lam + 0.5, lam + 1.0, math.inf])


GRIDS: dict[str, Callable[[Any, int], Grid]] = {"uniform": uniform, "alternating": alternating, "smooth": smooth}
NEAR_GRIDS: dict[str, Callable[[Any, int], Grid]] = {"uniform": near, "alternating": near_alternating}


@dataclass(frozen=True, eq=False)
class Run:
    """Starting points with their exact flow along any levels, each computed once.

    Attributes:
        target: a target.
        start: a level.
        x: ``(points, dim)`` at ``start``.
        flow: from a level to the points' exact flow there.
    """

    target: Any
    start: Level
    x: np.ndarray
    flow: Callable[[Level], np.ndarray]
    _known: dict[Level, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @staticmethod
    def of(target: Any, start: Level) -> Run:
        """Points drawn from the target's law at ``start`` with a fixed seed; the target has an exact ``flow``."""
        return _run(target, start)

    def exact(self, level: Level) -> np.ndarray:
        """The exact flow of the points at ``level``."""
        if level not in self._known:
            self._known[level] = self.flow(level)
        return self._known[level]

    def batched(self) -> Run:
        """The same with a last axis, along which coefficients and levels of a plan may vary; of a product of mixtures,
        asked for data at levels of noise."""
        ((_, law),) = self.target._groups
        return Run(_Across(law), self.start, self.x[..., None], lambda level: self.exact(level)[..., None])


@dataclass(frozen=True, eq=False)
class _Across:
    law: Mixture1D

    def predict(self, x: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        assert quantity == "data"
        return self.law.across(x, level.alpha, level.sigma)


@lru_cache(maxsize=64)
def _run(target: Any, start: Level) -> Run:
    x = target.sample(POINTS, SEED, start)
    return Run(target, start, x, lambda level: target.flow(x, start, level))


def path_errors(plan: Plan, run: Run, warm: bool, dtype: Any = np.float64) -> np.ndarray:
    """Signed end-point error of ``plan`` from ``run``'s points, ``(points, dim)`` float64."""
    return np.asarray(end_point(plan, run, warm, dtype), dtype=float) - run.exact(plan.stop)


def end_point(plan: Plan, run: Run, warm: bool, dtype: Any = np.float64) -> np.ndarray:
    """Where ``plan`` takes ``run``'s points; coefficients and levels may be arrays that broadcast against them."""
    exact = history(plan) if warm else {}

    def visit(r: int, line: Line | None, value: Any) -> Any:
        return run.exact(exact[r]).astype(dtype) if r in exact else value

    def evaluate(x: Any, level: Level, quantity: str) -> Any:
        return run.target.predict(x, level, quantity)

    def refuse(line: Line) -> Any:
        raise ValueError(f"{plan.solver} draws noise: it has no path to measure")

    return interpret(plan, run.x.astype(dtype), combination, evaluate, refuse, visit)[0]


def history(plan: Plan) -> dict[int, Level]:
    """Registers of the start-up steps that exact starting values replace, and their levels: states, and the inputs of
    evaluations, which a predictor-corrector makes elsewhere and remembers."""
    inputs = {line.x: line.level for line in plan.lines if isinstance(line, Eval) and line.step < plan.depth}
    states = {
        r: level
        for rows in (plan.states, *plan.partners)
        for r, level in zip(rows[1 : plan.depth + 1], plan.levels[1:], strict=False)
    }
    return {r: level for r, level in {**inputs, **states}.items() if r}


def combination(terms: Sequence[tuple[Any, Any]]) -> Any:
    """``sum(c * value)``, the first term first."""
    # the array first: an mpmath number on its left would write it out before it gave way
    (c, value), *rest = terms
    total = value * c
    for c, value in rest:
        total = total + value * c
    return total


def law_errors(plan: Plan, target: Gaussian) -> np.ndarray:
    """Errors of mean and variance at ``plan.stop``, started from the exact marginal; ``(2, dim)``."""
    mean, var = moments(plan, target)
    m, v = target.eigen()
    stop = plan.stop
    return np.stack([mean - stop.alpha * m, var - (stop.alpha**2 * v + stop.sigma**2)])


def line_errors(plan: Plan) -> np.ndarray:
    """Errors of expectations on one of the non-linear laws, ``(4,)``, by quadrature of the transition kernels.

    Raises:
        ValueError: a plan whose steps look back, or add no noise.
    """
    target = Product1D((nonlinear().laws[2],))
    return expectation(plan, target, _probes) - marginal(target, plan.stop).expect(_probes)


def _probes(x: np.ndarray) -> np.ndarray:
    return np.stack([x, x * x, np.cos(x), np.sin(2 * x)])


def norm(error: np.ndarray) -> float:
    """Largest absolute entry."""
    return float(np.abs(error).max())
