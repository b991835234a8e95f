"""Pictures of guidance: how far every sampler bears it, and where a guided law goes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from .sheet import SOFT, TEXT, inks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..read.guidance import GuidanceMap

__all__ = ["densities", "guidance_heat"]

# scales between shades: below 1 a sampler grows without any guidance
_BOUNDS = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 48.0)
_GROWS, _SILENT = "#b2410c", "#d9d9d9"


def guidance_heat(ax: Axes, found: GuidanceMap) -> None:
    """A stripe per sampler, families side by side and named above, a row per step: the largest stable guidance scale.

    Orange grows without any guidance, grey repeats no step. Samplers stand in the order of the map.

    Args:
        found: from :func:`diffnum.read.guidance.guidance_map`.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    shades = [_GROWS, *_blues(len(_BOUNDS) - 2), "#08263f"]
    colours = ListedColormap(shades).with_extremes(bad=_SILENT)
    norm = BoundaryNorm([*_BOUNDS, 1e9], len(shades))
    scales = np.ma.masked_invalid(found.scales.T)
    count = len(found.names)
    shown = ax.imshow(scales, cmap=colours, norm=norm, aspect="auto", extent=(0, count, len(found.steps), 0))
    edges = [0]
    for family, members in groupby(found.families):
        width = len(list(members))
        edges.append(edges[-1] + width)
        name = f"{family} ({width})"
        ax.text(edges[-1] - width / 2, -0.12, name, rotation=32, ha="left", va="bottom", fontsize=9, color=TEXT)
    ax.vlines(edges[1:-1], 0, len(found.steps), color="white", linewidth=2.2)
    ax.hlines(range(1, len(found.steps)), 0, count, color="white", linewidth=0.8)
    ax.set_yticks(np.arange(len(found.steps)) + 0.5, [_fraction(h) for h in found.steps])
    ax.set_xticks([])
    ax.set(ylabel="step in log-SNR", xlabel=f"{count} deterministic samplers, the tamest of each family first")
    ax.grid(False)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(shown, ax=ax, ticks=_BOUNDS, format="%g", aspect=22, pad=0.015)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0)
    bar.set_label("largest guidance scale")


def _blues(count: int) -> list[str]:
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("pale to deep", ["#f3ead2", "#a9cfe0", "#2f86b9", "#0b4a7a"])
    return [to_hex(ramp(k / (count - 1))) for k in range(count)]


def _fraction(h: float) -> str:
    return f"1/{round(1 / h)}" if h < 1 and abs(1 / h - round(1 / h)) < 1e-9 else f"{h:g}"


def densities(ax: Axes, x: Any, curves: Mapping[str, Any], filled: str = "") -> None:
    """Densities over a line, named in a legend; one of them filled.

    Args:
        x: abscissae ``(m,)``, or a mapping of names to their own.
        curves: name to ordinates.
        filled: the name of the curve whose area is tinted.
    """
    for name, ink in inks(curves).items():
        at = x[name] if isinstance(x, Mapping) else x
        ax.plot(at, curves[name], color=ink.colour, ls=ink.dash, label=name)
        if name == filled:
            ax.fill_between(at, curves[name], color=ink.colour, alpha=0.13, linewidth=0)
    ax.set(ylim=(0, None), yticks=[])
    ax.axhline(0, color=SOFT, lw=0.7)
    ax.legend()
