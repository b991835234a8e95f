"""Two ramps: the first part of a Karras grid, spread anew in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...grid import Grid, karras, through
from ...process import Process
from .window import Window

__all__ = ["RAMPS", "Ramp", "hyper"]


@dataclass(frozen=True)
class Ramp:
    """The numbers of :func:`hyper`.

    Attributes:
        points: of the Karras ramp, both ends counted.
        rho: its exponent.
        kept: the index of its point where the grid ends.
        rho_time: exponent of the second ramp.
    """

    points: int
    rho: float
    kept: int
    rho_time: float = 1.2


RAMPS = {5: Ramp(8, 5.0, 5), 6: Ramp(8, 5.0, 6), 7: Ramp(8, 5.0, 6), 9: Ramp(12, 7.0, 8)}
"""The ramps of the authors' code by the number of levels with noise."""


def hyper(process: Process, n: int, ramp: Ramp, start: Any = None, stop: Any = None, end: str = "zero") -> Grid:
    """The grid of "Hyperparameters are all you need" (2025), for five to eight steps of DPM-Solver++(2M).

    A Karras ramp of ``ramp.points`` levels from ``start`` to ``stop``,

        (sigma_i / alpha_i)^(1/rho) equally spaced,

    is cut at its level ``ramp.kept``, and between the times of its first level and of that one the grid's own are
    equally spaced in ``(t - t_clean)^(1 / rho_time)``. The low noise that was cut off is left to the end policy: one
    step to the clean level by default. The authors' code stops at the cut level, which is ``end="stop"``.
    :func:`diffnum.design.grids.fit_hyper` finds the numbers for a law.

    Args:
        process, n, start, stop, end: see :func:`diffnum.grid.uniform`; ``stop`` is the Karras ramp's end, not the
            grid's.
        ramp: :data:`RAMPS` has the authors', by ``n`` for ``end="zero"`` and ``n + 1`` else.

    Raises:
        ValueError: ends that make no grid, or the first at ``alpha = 0``; a ramp whose cut is not inside it.
    """
    if not 1 <= ramp.kept < ramp.points:
        raise ValueError(f"kept = {ramp.kept} is no inner point of a ramp of {ramp.points}: use 1 to {ramp.points - 1}")
    window = Window.of(process, n, start, stop, end)
    first = window.first
    if first.pure_noise:
        raise ValueError("a Karras ramp cannot start at alpha = 0: start at alpha > 0")
    last = process.at(window.high)
    cut = karras(process, ramp.points - 1, first, last, rho=ramp.rho)[ramp.kept]
    m = n - 1 if end == "zero" else n
    zero, power = process.t_clean, 1 / ramp.rho_time
    a, b = (first.t - zero) ** power, (cut.t - zero) ** power
    inner = [process.level(zero + (((m - i) * a + i * b) / m) ** ramp.rho_time) for i in range(1, m)]
    tail = [cut, window.last] if end == "zero" else [cut]
    return through(process, [first, *inner, *(tail if n > 1 or end != "zero" else tail[1:])], end)
