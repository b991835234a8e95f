"""Plots of what noise does: an error against the strength of the noise, its least value marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import End, end, name_ends, positive
from .sheet import Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["against_noise"]


def against_noise(
    ax: Axes, rates: Any, errors: Mapping[str, Any], inks: Mapping[str, Ink] | None = None, label: str = "error"
) -> None:
    """Errors over the strength of the noise, logarithmic upwards; a ring where each curve is lowest, names at the ends.

    Args:
        rates: ``(n,)``, increasing.
        errors: name to ``(n,)``; what is not positive and finite leaves a gap.
        inks: to keep colours across figures.
        label: what the error is, for the axis.
    """
    rates = np.asarray(rates, dtype=float)
    ink = inks or sheet.inks(errors)
    ends: list[End] = []
    for name, error in errors.items():
        y = positive(error)
        ax.plot(rates, y, color=ink[name].colour, ls=ink[name].dash, lw=1.6)
        if np.isfinite(y).any():
            least = int(np.nanargmin(y))
            ax.plot(
                rates[least], y[least], "o", ms=7, mfc="white", mec=ink[name].colour, mew=1.6, clip_on=False, zorder=4
            )
        ends += end(name, rates, y, ink[name])
    ax.set(yscale="log", xlabel="noise per log-SNR (churn, $\\eta^2$)", ylabel=label, xlim=(rates[0], rates[-1]))
    name_ends(ax, ends)
