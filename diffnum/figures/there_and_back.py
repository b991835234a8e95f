"""Plots of exact inverses: what a run there and back misses its start by, beside what was predicted of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import End, end, name_ends, positive, whole_ticks
from .sheet import SOFT, Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["lost_at", "there_and_back"]


def lost_at(ns: Any, missed: Any, size: float = 1.0) -> float | None:
    """The first of ``ns`` at which nothing is left of the start, ``missed >= size``; None where it never is.

    Args:
        ns: ``(n,)``, numbers of steps.
        missed: ``(n,)``, errors; what is not a number counts as lost.
        size: of what the run started from.
    """
    gone = np.flatnonzero(~(np.asarray(missed, dtype=float) < size))
    return float(np.asarray(ns, dtype=float)[gone[0]]) if len(gone) else None


def there_and_back(
    ax: Axes,
    ns: Any,
    missed: Mapping[str, Any],
    predicted: Mapping[str, tuple[Any, Any]],
    inks: Mapping[str, Ink] | None = None,
    unit: float = 2.0**-53,
    size: float = 1.0,
) -> None:
    """Errors of a run there and back over the number of steps, both logarithmic: marks measured, lines predicted.

    Above the grey edge the error is larger than what the run started from: nothing of it comes back. Curves that go on
    beyond are cut off there, and names stand at the ends of the lines.

    Args:
        ns: ``(n,)``, numbers of steps that were run, increasing.
        missed: name to errors ``(n,)``; what is not finite or beyond the picture is left out.
        predicted: name to ``(steps, errors)``, two sequences of one length, of the same names.
        inks: to keep colours across figures.
        unit: of rounding, drawn as a dotted line: ``2^-53``, or ``2^-24`` in single precision.
        size: of what the run started from.

    Raises:
        ValueError: a name is in one mapping only.
    """
    if set(missed) != set(predicted):
        odd = ", ".join(sorted(set(missed) ^ set(predicted)))
        raise ValueError(f"missed and predicted must hold the same names, and [{odd}] are in one only: give both")
    ns = np.asarray(ns, dtype=float)
    ink = inks or sheet.inks(missed)
    top = 300 * size
    ends: list[End] = []
    for name in missed:
        one = ink[name]
        steps, line = _until(top, np.asarray(predicted[name][0], dtype=float), positive(predicted[name][1]))
        ax.plot(steps, line, color=one.colour, lw=1.3, zorder=2)
        y = positive(missed[name])
        ax.plot(ns, np.where(y < top, y, np.nan), color=one.colour, ls="", marker=one.marker or "o", ms=5.5, zorder=3)
        ends += end(name, steps, line, one)
    ax.axhspan(size, top, color="#efefef", lw=0, zorder=0)
    ax.axhline(unit, color=SOFT, ls=":", lw=1.0, zorder=1)
    ax.set(
        xscale="log", yscale="log", xlabel="steps, there and as many back", ylabel="what comes back misses the start by"
    )
    ax.set_ylim(unit / 3, top)
    left, right = ns.min(), max(ns.max(), *(float(np.max(steps)) for steps, _ in predicted.values()))
    ax.set_xlim(left / 1.15, right * 1.1)
    style = {"color": SOFT, "fontsize": 9.0, "ha": "left"}
    ax.text(left, size * 2, "nothing comes back", va="bottom", **style)
    ax.text(left, unit / 1.15, "one rounding", va="top", **style)
    whole_ticks(ax, ns)
    name_ends(ax, ends)


def _until(top: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve up to where it, straight on logarithmic axes, first passes ``top``."""
    above = np.flatnonzero(~(y < top))
    if not len(above) or not above[0]:
        return x, y
    i = above[0]
    if not np.isfinite(y[i]):
        return x[:i], y[:i]
    share = np.log(top / y[i - 1]) / np.log(y[i] / y[i - 1])
    edge = x[i - 1] * (x[i] / x[i - 1]) ** share
    return np.append(x[:i], edge), np.append(y[:i], top)
