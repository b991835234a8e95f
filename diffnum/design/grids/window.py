"""Where the levels of a grid may lie, and coordinates in which any numbers make a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...grid import Grid, through, uniform
from ...plan import Level
from ...process import Process

__all__ = ["Window", "as_spectrum"]

# no step is shorter than this share of the window, so that levels stay apart
_LEAST = 1e-5
# what stands for alpha = 0: sigma / alpha = 1.6e5
_NOISIEST = -12.0


def as_spectrum(spectrum: ArrayLike) -> np.ndarray:
    """Variances as a float64 array.

    Raises:
        ValueError: not a list of positive finite numbers.
    """
    c = np.asarray(spectrum, dtype=np.float64)
    if c.ndim != 1 or len(c) == 0 or not np.all(np.isfinite(c)) or c.min() <= 0:
        worst = c.min() if c.size and np.all(np.isfinite(c)) else c
        raise ValueError(f"a spectrum is a list of variances > 0, got {worst!r}: leave out directions without variance")
    return c


@dataclass(frozen=True)
class Window:
    """Grids of ``n`` steps with given ends.

    Attributes:
        process: a noise process.
        n: number of steps.
        first, last: the ends of every grid; ``last`` is the clean level where ``end`` is ``"zero"``.
        low, high: log-SNR between which the ``n - 1`` inner levels lie; those of the ends where they are finite.
        end: the end policy.
    """

    process: Process
    n: int
    first: Level
    last: Level
    low: float
    high: float
    end: str

    @classmethod
    def of(cls, process: Process, n: int, start: Any = None, stop: Any = None, end: str = "stop") -> Window:
        """The window of :func:`diffnum.grid.uniform`'s arguments; with ``end="zero"`` the inner levels end at ``stop``.

        Raises:
            ValueError: what that refuses.
        """
        grid = uniform(process, n, start, stop, end)
        first, last = grid[0], grid[-1]
        # one step to the clean level has no level between
        high = uniform(process, 2, start, stop, end)[1].lam if end == "zero" else last.lam
        low = max(_NOISIEST, first.lam) if first.pure_noise else first.lam
        return cls(process, n, first, last, low, min(high, -_NOISIEST) if math.isinf(high) else high, grid.end)

    def grid(self, lams: Sequence[Any]) -> Grid:
        """Through inner levels of these log-SNR, ``n - 1`` numbers or torch scalars."""
        return through(self.process, [self.first, *map(self.process.at, lams), self.last], self.end)

    def from_shares(self, logits: Any) -> list[Any]:
        """Inner log-SNR whose increments are the softmax of ``n`` torch numbers, of which only differences matter:

        ``lam_i = low + (high - low) sum_{j <= i} p_j``, no ``p_j`` below 1e-5.
        """
        shares = _LEAST + (1 - self.n * _LEAST) * logits.softmax(0)
        lams = self.low + (self.high - self.low) * shares.cumsum(0)
        return list(lams[:-1])

    def to_shares(self, grid: Grid) -> np.ndarray:
        """Inverse of :meth:`from_shares`, for a grid of ``n`` steps; levels outside are moved to the nearest inside.

        Raises:
            ValueError: a grid with another number of steps.
        """
        if grid.steps != self.n:
            raise ValueError(f"a start with {grid.steps} steps for a grid of {self.n}: give one with {self.n}")
        inner = np.clip([float(level.lam) for level in grid.levels[1:-1]], self.low, self.high)
        parts = np.diff(np.concatenate([[self.low], inner, [self.high]])) / (self.high - self.low)
        shares = np.maximum((parts - _LEAST) / (1 - self.n * _LEAST), _LEAST)
        return np.log(shares / shares.sum())
