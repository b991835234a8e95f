"""A grid for another number of steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...grid import Grid, through

__all__ = ["interpolate", "interpolate_monotone"]


def interpolate(grid: Grid, n: int) -> Grid:
    """The grid with ``n`` steps, its log-SNR piecewise linear in the index, as published for AYS (Sabour, Fidler &
    Kreis 2024, quickstart guide) and done with others' tables since.

    An end at pure noise or at the clean level is kept, and the levels between are interpolated. With ``n`` unchanged it
    is the same grid.

    Raises:
        ValueError: fewer steps than ends ask for; fewer than two levels between to interpolate.
    """
    return _refined(grid, n, lambda x, lams, at: np.interp(at, x, lams))


def interpolate_monotone(grid: Grid, n: int) -> Grid:
    """The same by a monotone cubic (PCHIP, Fritsch & Carlson 1980), which has no kinks: steps change smoothly, which
    multistep methods like."""
    from scipy.interpolate import PchipInterpolator

    return _refined(grid, n, lambda x, lams, at: PchipInterpolator(x, lams)(at))


def _refined(grid: Grid, n: int, curve: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Grid:
    levels = list(grid.levels)
    head = [levels.pop(0)] if levels[0].pure_noise else []
    tail = [levels.pop()] if levels[-1].clean else []
    count = n + 1 - len(head) - len(tail)
    if not isinstance(n, int) or count < 2 or len(levels) < 2:
        least = 1 + len(head) + len(tail)
        raise ValueError(
            f"{grid!r} cannot be interpolated to n = {n!r} steps: give a grid with two levels between pure noise and "
            f"data, and n >= {least}"
        )
    lams = np.array([level.lam for level in levels])
    at = np.arange(1, count - 1) * (len(levels) - 1) / (count - 1)
    inner = curve(np.arange(len(levels), dtype=float), lams, at)
    middle = levels[1:-1] if count == len(levels) else [grid.process.at(float(lam)) for lam in inner]
    return through(grid.process, [*head, levels[0], *middle, levels[-1], *tail], grid.end)
