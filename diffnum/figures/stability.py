"""Pictures of stability: where a step does not grow, and how much it grows elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .sheet import SOFT, TEXT, Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["amplification_map", "stability_regions"]

# factors per step: two shades of damping, then growth by ever more
_LEVELS = (0.0, 0.5, 1.0, 1.1, 1.5, 2.5, 5.0, 10.0)
_SHADES = ("#cfe3ee", "#e9f2f7", "#fbe6d6", "#f6c6a2", "#ee9b62", "#d55e00", "#9c4400", "#6b2f00")


def stability_regions(
    ax: Axes,
    regions: Mapping[str, tuple[Any, Any, Any]],
    inks: Mapping[str, Ink] | None = None,
    labels: tuple[str, str] = (r"Re $z$", r"Im $z$"),
    beside: bool = True,
) -> None:
    """The boundaries ``radius = 1`` in the complex plane over a tint of their inside, equal scales on both axes.

    Args:
        regions: name to abscissae ``(m,)``, ordinates ``(n,)`` and spectral radii ``(n, m)``, such as from
            :func:`diffnum.read.stability.region`.
        inks: as in :func:`diffnum.figures.error_vs_nfe`.
        labels: of the two axes.
        beside: names to the right of the axes, else inside where there is room.

    Raises:
        ValueError: a region whose boundary does not cross its box.
    """
    ink = inks or sheet.inks(regions)
    for name, (x, y, radius) in regions.items():
        radius = np.asarray(radius, dtype=float)
        if not radius.min() < 1 < radius.max():
            raise ValueError(f"{name} is stable everywhere or nowhere in its box: choose another box")
        # rounding beside a fixed point on the boundary would draw specks
        sharp = np.where(np.abs(radius - 1) < 1e-9, 1.0, radius)
        ax.contourf(x, y, sharp, levels=[-1.0, 1.0], colors=[ink[name].colour], alpha=0.10, zorder=1)
        ax.contour(x, y, sharp, levels=[1.0], colors=[ink[name].colour], linestyles=[ink[name].dash], linewidths=1.6)
        ax.plot([], [], color=ink[name].colour, ls=ink[name].dash, label=name)
    ax.axhline(0, color=SOFT, lw=0.7, zorder=0)
    ax.axvline(0, color=SOFT, lw=0.7, zorder=0)
    ax.set(xlabel=labels[0], ylabel=labels[1], aspect="equal")
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if beside else {"loc": "best"}
    ax.legend(**place, borderaxespad=0.3, labelcolor=TEXT, handlelength=1.6)


def amplification_map(
    ax: Axes,
    x: Any,
    y: Any,
    radius: Any,
    boundary: tuple[Any, Any] | None = None,
    labels: tuple[str, str] = ("guidance scale", "step in log-SNR"),
) -> None:
    """Growth per step over two parameters: blue where a step damps, warm where it grows, one shade per factor.

    Args:
        x, y, radius: abscissae ``(m,)``, ordinates ``(n,)`` and spectral radii ``(n, m)``.
        boundary: abscissae and ordinates of a formula for where the radius is one, drawn dashed on top.
        labels: of the two axes.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    norm = BoundaryNorm([*_LEVELS, 100.0], len(_SHADES))
    filled = ax.contourf(
        x, y, np.clip(radius, 0, 99.0), levels=[*_LEVELS, 100.0], cmap=ListedColormap(_SHADES), norm=norm
    )
    ax.contour(x, y, radius, levels=[1.0], colors=[TEXT], linewidths=1.2)
    if boundary is not None:
        ax.plot(*boundary, color=TEXT, ls=(0, (1.2, 2.2)), lw=3.0)
    ax.set(xlabel=labels[0], ylabel=labels[1], xlim=(np.min(x), np.max(x)), ylim=(np.min(y), np.max(y)))
    ax.grid(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(filled, ax=ax, ticks=_LEVELS, format="%g", aspect=28, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0)
    bar.set_label("factor per step")
