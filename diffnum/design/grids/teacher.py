"""A fine run of a first-order sampler on a surrogate, and what longer steps from its states cost.

A step from ``s`` to ``t`` with the prediction ``D`` frozen is DDIM's,

    x_t = r x_s + (alpha_t - r alpha_s) D,    r = sigma_t / sigma_s,

which is Euler's in ``sigma`` for flow matching and variance-exploding processes. On a Gaussian a run is linear, and
two points, the mean and one standard deviation to either side in every direction at once, have its exact second
moments: sums of squares over their coordinates are expectations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...grid import Grid, through
from ...plan import Level
from ...read.sample import sample
from ...solvers import ddim
from ...targets import Gaussian
from ...trace import compile
from .window import as_spectrum

__all__ = ["Teacher"]


@dataclass(frozen=True, eq=False)
class Teacher:
    """States of a fine run and the predictions made there.

    Attributes:
        target: a law with ``predict``, or a model ``model(x, level)`` of the data.
        grid: the ``N + 1`` levels, the candidates of a search.
        states: ``(N + 1, m, d)``, of ``m`` trajectories.
        denoised: ``(N, m, d)``, predictions of the data at all levels but the last.
    """

    target: Any
    grid: Grid
    states: np.ndarray
    denoised: np.ndarray

    @classmethod
    def run(cls, target: Any, grid: Grid, x: np.ndarray) -> Teacher:
        """By DDIM on ``grid`` from ``x`` at its first level, ``(m, d)``.

        Raises:
            ValueError: a grid whose end policy denoises after the last level, which is then no state of the run.
        """
        if grid.end not in ("stop", "zero"):
            raise ValueError(f"end = {grid.end!r} leaves the grid after its last level: use 'stop' or 'zero'")
        plan = compile(ddim, grid)
        states = np.stack(sample(plan, target, np.asarray(x, dtype=np.float64), keep="states"))
        denoised = np.stack(
            [_denoise(target, x, level) for x, level in zip(states[:-1], grid.levels[:-1], strict=True)]
        )
        return cls(target, grid, states, denoised)

    @classmethod
    def gaussian(cls, spectrum: ArrayLike, grid: Grid) -> Teacher:
        """Two points whose squares are the expectations on a centred Gaussian of these variances."""
        c = as_spectrum(spectrum)
        deviation = np.sqrt(grid[0].alpha ** 2 * c + grid[0].sigma ** 2)
        return cls.run(Gaussian(np.zeros_like(c), c), grid, np.stack([deviation, -deviation]))

    def denoise(self, x: np.ndarray, i: int) -> np.ndarray:
        """The prediction of the data for ``(m, d)`` points at level ``i``."""
        return _denoise(self.target, x, self.grid[i])

    def steps_from(self, i: int, x: np.ndarray, denoised: np.ndarray) -> np.ndarray:
        """Steps from level ``i`` to each later one; ``(N - i, m, d)``."""
        s = self.grid[i]
        ratios = np.array([t.sigma / s.sigma for t in self.grid.levels[i + 1 :]])[:, None, None]
        alphas = np.array([t.alpha for t in self.grid.levels[i + 1 :]])[:, None, None]
        return ratios * x + (alphas - ratios * s.alpha) * denoised

    def leaps(self, i: int) -> np.ndarray:
        """:meth:`steps_from` the run's own state."""
        return self.steps_from(i, self.states[i], self.denoised[i])

    def through(self, nodes: Sequence[int]) -> Grid:
        """The grid of these levels."""
        return through(self.grid.process, [self.grid[i] for i in nodes], self.grid.end)


def _denoise(target: Any, x: np.ndarray, level: Level) -> np.ndarray:
    return target.denoise(x, level) if hasattr(target, "denoise") else target(x, level)
