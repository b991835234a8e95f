"""Plots of what single precision costs: the error that it adds, beside the error that the method has anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import End, end, name_ends, positive, whole_ticks
from .sheet import Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["overtaken", "rounding_floor"]


def overtaken(ns: Any, own: Any, added: Any) -> float | None:
    """The first of ``ns`` at which ``added`` is larger than ``own``; None where it never is.

    Args:
        ns: ``(n,)``, numbers of steps.
        own, added: ``(n,)``, errors; what is not positive and finite counts as unknown.
    """
    more = np.flatnonzero(positive(added) > positive(own))
    return float(np.asarray(ns, dtype=float)[more[0]]) if len(more) else None


def rounding_floor(
    ax: Axes,
    ns: Any,
    own: Mapping[str, Any],
    added: Mapping[str, Any],
    inks: Mapping[str, Ink] | None = None,
    label: str = "error",
) -> None:
    """Errors over the number of steps, both logarithmic: thin and dotted the method's, thick what rounding adds to it.

    A ring marks the first number of steps at which rounding is the larger part, see :func:`overtaken`; names stand at
    the ends of the thick curves.

    Args:
        ns: ``(n,)``, numbers of steps, increasing.
        own: name to errors ``(n,)`` in exact arithmetic.
        added: name to what rounding adds, ``(n,)``, with the names of ``own``.
        inks: to keep colours across figures.
        label: what the error is, for the axis.

    Raises:
        ValueError: a name is in one mapping only.
    """
    if set(own) != set(added):
        odd = ", ".join(sorted(set(own) ^ set(added)))
        raise ValueError(f"own and added must hold the same names, and [{odd}] are in one only: give both errors")
    ns = np.asarray(ns, dtype=float)
    ink = inks or sheet.inks(added)
    ends: list[End] = []
    for name in added:
        y, one = positive(added[name]), ink[name]
        ax.plot(ns, positive(own[name]), color=one.colour, ls=":", lw=1.3)
        ax.plot(ns, y, color=one.colour, marker=one.marker, lw=1.8)
        at = overtaken(ns, own[name], added[name])
        if at is not None:
            there = float(y[list(ns).index(at)])
            ax.plot(at, there, "o", ms=11, mfc="none", mec=one.colour, mew=1.4, zorder=4)
        ends += end(name, ns, y, one)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=label)
    whole_ticks(ax, ns)
    name_ends(ax, ends)
