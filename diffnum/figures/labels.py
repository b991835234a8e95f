"""Names at the ends of curves, and ticks that read as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .sheet import Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["End", "dodge", "end", "name_ends", "plain_ticks", "positive", "rank_ticks", "whole_ticks"]

End = tuple[str, float, float, Ink]
"""A curve's name, its last point, and its ink."""

# dotted, so that no leader is taken for a curve
_LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "lw": 0.9,
    "ls": (0, (1, 2)),
    "shrinkA": 1,
    "shrinkB": 3,
    "relpos": (0, 0.5),
}


def positive(values: Any) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def end(name: str, x: np.ndarray, y: np.ndarray, ink: Ink) -> list[End]:
    """The last finite point of a curve, as something to be named; nothing if there is none."""
    there = np.flatnonzero(np.isfinite(y))
    return [(name, float(x[there[-1]]), float(y[there[-1]]), ink)] if len(there) else []


def name_ends(ax: Axes, ends: Sequence[End]) -> None:
    """Write each name right of the axes, as near its curve's end as the others allow, tied to it by a dotted line."""
    if not ends:
        return
    size = 10.0 if len(ends) <= 16 else 8.5
    ends = sorted(ends, key=lambda one: one[2])
    notes = [
        ax.annotate(
            name,
            (x, y),
            (1.035, 0.5),
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            linespacing=1.05,
            color=ink.dark,
            annotation_clip=False,
            arrowprops=_LEADER | {"color": ink.colour},
        )
        for name, x, y, ink in ends
    ]
    fig = ax.get_figure(root=True)
    assert fig is not None
    fig.draw_without_rendering()
    box = ax.get_window_extent()
    wanted = [(ax.transData.transform((x, y))[1] - box.y0) / box.height for _, x, y, _ in ends]
    heights = [note.get_text().count("\n") * 1.25 * size + 1.3 * size for note in notes]
    unit = fig.dpi / 72 / box.height
    for note, at in zip(notes, dodge(wanted, [unit * height for height in heights]), strict=True):
        note.set_position((1.035, at))


def dodge(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Positions nearest to the sorted ``wanted`` (least squares) that keep labels of these heights apart.

    With the stacking offsets taken off this is isotonic regression, solved by pooling neighbours; within 0 and 1
    where there is room.
    """
    middle = np.cumsum(heights) - np.asarray(heights) / 2
    pools: list[tuple[float, int]] = []
    for target in np.asarray(wanted) - middle:
        pools.append((target, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((m * a + n * b) / (m + n), m + n)]
    room = max(0.0, 1.0 - float(np.sum(heights)))
    free = np.clip([at for at, count in pools for _ in range(count)], 0.0, room)
    return list(free + middle + min(0.0, (1.0 - float(np.sum(heights))) / 2))


def whole_ticks(ax: Axes, values: np.ndarray) -> None:
    """Ticks at the numbers that occur, thinned to those that can be read."""
    shown: list[float] = []
    span = max(math.log(values.max() / values.min()), 1e-9)
    for value in np.unique(values):
        if not shown or math.log(value / shown[-1]) >= 0.055 * span:
            shown.append(float(value))
    ax.set_xticks(shown, [f"{value:g}" for value in shown])
    ax.set_xticks([], minor=True)


def rank_ticks(ax: Axes, last: float) -> None:
    """Ranks from 1 to ``last`` on a logarithmic axis: plain numbers, with 2 and 5 between the tens where they fit."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if last <= 200 else (1.0,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


# steps of ticks within a power of ten, from coarse to fine
_STEPS = (
    (1.0,),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    tuple(k / 2 for k in range(2, 20)),
    tuple(k / 10 for k in range(10, 100)),
)


def plain_ticks(axis: Any) -> None:
    """Plain numbers on a logarithmic axis that has its limits: three at least, by the coarsest steps that have them.

    Fewer than two decades often hold one power of ten, and from one number no other can be read.
    """
    from matplotlib.ticker import NullFormatter

    low, high = sorted(axis.get_view_interval())
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    for steps in _STEPS:
        shown = [v for v in (float(f"{step}e{power}") for power in powers for step in steps) if low <= v <= high]
        if len(shown) >= 3:
            shown = shown[:: 1 + len(shown) // 10]
            axis.set_ticks(shown, [f"{value:.3g}" for value in shown])
            axis.set_minor_formatter(NullFormatter())
            return
