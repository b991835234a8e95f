"""Measured orders: lines fitted to errors, the only place where that is done.

Tolerances and the floor are set here, once for all samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["TOLERANCE", "Cold", "Slope", "fit", "measured", "rounding", "settled", "start_up"]

TOLERANCE = 0.15
Floor = Callable[[int], float]


def rounding(n: int) -> float:
    """Errors of ``n`` steps in float64 that may be rounding: ten times what the float32 line allows there to states of
    size five, ``16 2^-53 sqrt(n) max|x|``."""
    return 10 * 16 * 2.0**-53 * 5 * float(np.sqrt(n))


@dataclass(frozen=True)
class Slope:
    """A measured order: least squares of ``log error`` on ``log n`` over the last doublings above the floor.

    Attributes:
        witness, grid, process, start: what was run; ``start`` is "warm" or "cold".
        counts, errors: every run. ``used`` of them, ending at the last above the floor, are fitted.
        value: the slope; nan where fewer than three runs lie above the floor.
        must: "equal" (two-sided), "reach" (a Gaussian may super-converge), "local" (the error of one step:
            order + 1; for a method of order zero 1, or 0 where its steps do not shrink with the grid), "end" (the
            error of three steps to the clean level vanishes at least like the noise at which they start), "stays"
            (that error does not vanish) or "print".
        digits: decimal digits of the arithmetic: 16 is float64.
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
    digits: int = 16

    def holds(self, order: int, smooth: int | None = None) -> bool:
        """Whether the slope is what a method of ``order``, ``smooth`` on uniform and smooth grids, must show."""
        order = smooth if smooth is not None and self.grid in ("uniform", "smooth") else order
        if self.must == "print":
            return True
        if self.must == "stays":
            return self.value < 0.5
        if self.must == "local" and not order:
            return min(abs(self.value), abs(self.value - 1)) <= TOLERANCE
        if self.must == "local":
            order = order + 1
        if self.must == "end":
            if self.errors[-1] <= rounding(3):
                return True
            order = 1
        above = self.value >= order - TOLERANCE
        return above and (self.must in ("reach", "end") or self.value <= order + TOLERANCE)


@dataclass(frozen=True)
class Cold:
    """Start-up behaviour: signed errors fitted by ``C_q h^q + C_(q+1) h^(q+1) + C_(q+2) h^(q+2)``.

    The start-up steps leave errors in all powers from ``h^q`` on, the others from ``h^p`` on.

    Attributes:
        q, p: exponents, fixed by the proof; ``p = q + 1`` when they coincide.
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


def start_up(errors: Sequence[np.ndarray], counts: Sequence[int], q: int, p: int) -> Cold:
    """:class:`Cold` of signed errors; those near rounding say nothing of single entries and are left out."""
    kept = [(n, e) for n, e in zip(counts, errors, strict=True) if np.abs(e).max() > 100 * rounding(n)]
    h = np.array([1 / n for n, _ in kept])
    columns = np.stack([h ** (q + i) for i in range(3)], axis=1)
    data = np.stack([e.ravel() for _, e in kept])
    weight = 1 / np.abs(data).max(axis=1, keepdims=True)
    solution = np.linalg.lstsq(columns * weight, data * weight, rcond=None)[0]
    misfit = np.abs(columns @ solution - data).max(axis=1) * weight[:, 0]
    share = np.abs(columns[-1, 0] * solution[0]).max() * weight[-1, 0]
    return Cold(q, p, float(share), float(misfit.max()))


def fit(errors: Sequence[float], counts: Sequence[int], floor: Floor = rounding) -> tuple[int, float]:
    """Number of runs used and the slope; an infinite slope where every error is rounding (the method is exact)."""
    if all(e <= floor(n) for e, n in zip(errors, counts, strict=True)):
        return len(errors), float("inf")
    above = [i for i, e in enumerate(errors) if np.isfinite(e) and e > floor(counts[i])]
    last = above[-1] + 1 if above else 0
    chosen = [i for i in above if i >= last - 3]
    if len(chosen) < 3:
        return len(chosen), float("nan")
    slope = np.polyfit(np.log2([counts[i] for i in chosen]), np.log2([errors[i] for i in chosen]), 1)[0]
    return len(chosen), -float(slope)


def settled(errors: Sequence[float], counts: Sequence[int], floor: Floor = rounding) -> bool:
    """Whether the last three doublings above the floor show one slope, or creep up to one.

    Of an error ``C h^p (1 + a h + ...)`` slopes approach ``p`` twice as closely at every doubling. Either all three
    lie within half the tolerance, or the last change is less than a third of it and about half of the one before;
    then the mean of the last two is within half of the tolerance too.
    """
    above = [e for e, n in zip(errors, counts, strict=True) if e > floor(n)]
    if not above:
        return True
    if len(above) < 4:
        return False
    before, last = -np.diff(np.log2(above[-4:]), 2)
    near = max(abs(before), abs(last), abs(before + last)) < TOLERANCE / 2
    return bool(near or (abs(last) < TOLERANCE / 3 and 0.3 < last / before < 0.7))


def measured(
    errors: Sequence[float],
    counts: Sequence[int],
    witness: str,
    grid: str,
    process: str,
    start: str,
    must: str,
    floor: Floor = rounding,
    digits: int = 16,
) -> Slope:
    """The :class:`Slope` of a row of runs."""
    used, value = fit(errors, counts, floor)
    return Slope(witness, grid, process, start, tuple(counts), tuple(errors), used, value, must, digits)
