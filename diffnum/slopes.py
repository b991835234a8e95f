"""Measured orders: lines fitted to errors, the only place where that is done.

Tolerances and the floor are set here, once for all samplers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["FLOOR", "TOLERANCE", "Cold", "Slope", "fit", "measured", "settled"]

TOLERANCE = 0.15
FLOOR = 2e-12


@dataclass(frozen=True)
class Slope:
    """A measured order: least squares of ``log error`` on ``log n`` over the last doublings above the floor.

    Attributes:
        witness, grid, process, start: what was run; ``start`` is "warm" or "cold".
        counts, errors: every run. ``used`` of them, ending at the last above the floor, are fitted.
        value: the slope; nan where fewer than three runs lie above the floor.
        must: "equal" (two-sided), "reach" (a Gaussian may super-converge), "local" (the error of one step:
            order + 1, and 0 for a method of order zero, whose steps are not consistent), "end" (the error of three
            steps to the clean level vanishes at least like the noise at which they start), "stays" (that error does
            not vanish) or "print".
    """

    witness: str
    grid: str
    process: str
    start: str
    counts: tuple[int, ...]
    errors: tuple[float, ...]
    used: int
    value: float
    must: str

    def holds(self, order: int, smooth: int | None = None) -> bool:
        """Whether the slope is what a method of ``order``, ``smooth`` on uniform grids, must show."""
        order = smooth if smooth is not None and self.grid == "uniform" else order
        if self.must == "print":
            return True
        if self.must == "stays":
            return self.value < 0.5
        if self.must == "local":
            order = order + 1 if order else 0
        if self.must == "end":
            if self.errors[-1] <= FLOOR:
                return True
            order = 1
        above = self.value >= order - TOLERANCE
        return above and (self.must in ("reach", "end") or self.value <= order + TOLERANCE)


@dataclass(frozen=True)
class Cold:
    """Start-up behaviour: signed errors fitted by ``C_q h^q + C_p h^p`` (``p = q + 1`` when they coincide).
    Attributes:
        q, p: exponents, fixed by the proof.
        share: size of ``C_q h^q`` in the error at the finest grid.
        misfit: relative residual of the fit.
    """

    q: int
    p: int
    share: float
    misfit: float

    @property
    def holds(self) -> bool:
        """The fit explains the errors, and its first term is there."""
        return self.misfit < 0.05 and self.share > 5 * self.misfit


def fit(errors: Sequence[float], counts: Sequence[int]) -> tuple[int, float]:
    """Number of runs used and the slope; an infinite slope where every error is rounding (the method is exact)."""
    if max(errors) <= FLOOR:
        return len(errors), float("inf")
    above = [i for i, e in enumerate(errors) if np.isfinite(e) and e > FLOOR]
    last = above[-1] + 1 if above else 0
    chosen = [i for i in above if i >= last - 3]
    if len(chosen) < 3:
        return len(chosen), float("nan")
    slope = np.polyfit(np.log2([counts[i] for i in chosen]), np.log2([errors[i] for i in chosen]), 1)[0]
    return len(chosen), -float(slope)


def settled(errors: Sequence[float]) -> bool:
    """Whether the last three doublings show one slope, or rounding."""
    if min(errors) <= FLOOR:
        return True
    slopes = -np.diff(np.log2(errors))[-3:]
    return bool(np.ptp(slopes) < TOLERANCE / 2)


def measured(
    errors: Sequence[float], counts: Sequence[int], witness: str, grid: str, process: str, start: str, must: str
) -> Slope:
    used, value = fit(errors, counts)
    return Slope(witness, grid, process, start, tuple(counts), tuple(errors), used, value, must)
