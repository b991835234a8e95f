"""Designed plans: where their levels lie, and what their steps take from which evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .sheet import SOFT, TEXT, Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["gains", "ladders", "weight_matrix"]


def ladders(ax: Axes, grids: Mapping[str, Any], inks: Mapping[str, Ink] | None = None) -> None:
    """Grids side by side, log-SNR upwards from noise to data, one rung per evaluation.

    Args:
        grids: log-SNRs of the evaluations by name, increasing; that of pure noise is a dashed rung below all others.
        inks: of the grids; a colour for each if None.
    """
    every = np.concatenate([np.asarray(lams, dtype=np.float64) for lams in grids.values()])
    low, high = (float(f(every[np.isfinite(every)])) for f in (np.min, np.max))
    bottom = low - 0.12 * max(high - low, 1.0)
    ink = inks or sheet.inks(grids)
    for k, name in enumerate(grids):
        colour = ink[name].colour
        lams = np.asarray(grids[name], dtype=np.float64)
        finite = lams[np.isfinite(lams)]
        ax.vlines(k, finite.min(), finite.max(), color=colour, linewidth=0.8, alpha=0.5)
        ax.hlines(finite, k - 0.28, k + 0.28, color=colour, linewidth=2.2)
        if np.isneginf(lams).any():
            ax.vlines(k, bottom, finite.min(), color=colour, linewidth=0.8, alpha=0.5, linestyle=":")
            ax.hlines(bottom, k - 0.28, k + 0.28, color=colour, linewidth=2.2, linestyle=(0, (2, 1)))
            ax.annotate(
                "pure noise", (k, bottom), (0, -5), textcoords="offset points", ha="center", va="top", fontsize=8
            )
    ax.set_xticks(range(len(grids)), list(grids))
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(grids) - 0.4)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("log-SNR (noise below, data above)")


def weight_matrix(ax: Axes, weights: Any) -> None:
    """Weights of a multistep plan, a row per step and a column per evaluation, with their values.

    Colour is the value: orange for negative, blue for positive, white for none.
    """
    from matplotlib.colors import TwoSlopeNorm

    w = np.asarray(weights, dtype=np.float64)
    reach = max(1.0, float(np.abs(w).max()))
    shown = np.ma.masked_where(np.triu(np.ones_like(w), 1) > 0, w)
    ax.imshow(shown, cmap=_diverging(), norm=TwoSlopeNorm(0.0, -reach, reach), aspect="equal")
    small = 9 if len(w) <= 8 else 7
    for i, j in ((k, m) for k in range(len(w)) for m in range(k + 1)):
        colour = "white" if abs(w[i, j]) > 0.62 * reach else TEXT
        said = f"{w[i, j]:.2f}".replace("-0.00", "0.00")
        ax.text(j, i, said, ha="center", va="center", fontsize=small, color=colour)
    ax.set_xticks(range(w.shape[1]), [str(j + 1) for j in range(w.shape[1])])
    ax.set_yticks(range(w.shape[0]), [str(i + 1) for i in range(w.shape[0])])
    ax.set_xlabel("evaluation")
    ax.set_ylabel("step")
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("orange to blue", ["#D55E00", "#ffffff", "#0072B2"])


def gains(ax: Axes, rows: Sequence[tuple[str, float, float, float]]) -> None:
    """Gains with their 95 % intervals, one row each, and a line at zero.

    Args:
        rows: ``(name, value, low, high)``, as fractions.
    """
    for k, (_, value, low, high) in enumerate(rows):
        colour = "#0072B2" if low > 0 else "#D55E00"
        ax.hlines(k, 100 * low, 100 * high, color=colour, linewidth=2.2)
        ax.plot(100 * value, k, "o", color=colour)
        ax.annotate(
            f"{100 * value:.0f} %", (100 * value, k), (0, 7), textcoords="offset points", ha="center", fontsize=9
        )
    ax.axvline(0, color=SOFT, linewidth=0.9)
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.7)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("error less than the best hand-made plan's (%)")
