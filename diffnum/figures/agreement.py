"""Predicted against measured: one dot for each sampler, the best of both named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import name_ends, plain_ticks, positive
from .sheet import Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["agreement", "leaders"]

_OTHERS = "#b4b4b4"


def leaders(names: Sequence[str], predicted: Any, measured: Any, count: int = 3) -> tuple[str, ...]:
    """The ``count`` names of least predicted error, and the one of least measured error."""
    order = np.argsort(np.asarray(predicted, dtype=float), kind="stable")[:count]
    chosen = [*order, np.argmin(np.asarray(measured, dtype=float))]
    return tuple(dict.fromkeys(names[int(k)] for k in chosen))


def agreement(
    ax: Axes,
    names: Sequence[str],
    predicted: Any,
    measured: Any,
    named: Sequence[str] | None = None,
    inks: Mapping[str, Ink] | None = None,
    label: str = "predicted",
) -> None:
    """Errors of samplers, predicted across and measured upwards, both logarithmic; what is not finite is left out.

    Args:
        names, predicted, measured: one each for every sampler.
        named: those to name at the right; :func:`leaders` if None.
        inks: of the names, to keep colours across figures.
        label: of the predicted error.
    """
    x, y = positive(predicted), positive(measured)
    named = leaders(names, predicted, measured) if named is None else named
    ink = inks or sheet.inks(named)
    ax.scatter(x, y, s=16, color=_OTHERS, lw=0, zorder=2)
    ends = []
    for name in named:
        k = names.index(name)
        if np.isfinite(x[k]) and np.isfinite(y[k]):
            ax.scatter(x[k], y[k], s=34, color=ink[name].colour, marker=ink[name].marker, zorder=3)
            ends.append((name, float(x[k]), float(y[k]), ink[name]))
    ax.set(xscale="log", yscale="log", xlabel=label, ylabel="measured on the network")
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    name_ends(ax, ends)
