"""Iterations in parallel: what still changes, round by round, and how the error falls against what theory says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import End, end, name_ends, positive
from .sheet import SOFT, TEXT, Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["errors_by_round", "residual_map"]

_FINAL = "#eef3f6"
_PAPER = {"fc": "white", "ec": "none", "pad": 1.5}


def residual_map(
    ax: Axes,
    history: Any,
    windows: Sequence[tuple[int, int]] | None = None,
    floor: float = 1e-6,
    label: str = "change in the round",
) -> None:
    """How much every input of the model changed in every round: time steps across, rounds down, dark for large.

    Steps that are final are tinted, those that the window has not reached are left white, and a line runs along the
    left edge of the window.

    Args:
        history: ``(rounds, steps)`` such as :attr:`diffnum.parallel.Iterated.history`; nan outside the window.
        windows: first step of each round and the one after its last; None reads them from ``history``.
        floor: changes below it have the lightest colour.
        label: what the colour is.

    Raises:
        ValueError: a history that is not a table, or holds no change.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.ticker import MaxNLocator

    table = np.asarray(history, dtype=float)
    if table.ndim != 2 or not np.any(table > 0):
        raise ValueError(
            f"a history of shape {table.shape} shows no change: give rounds by steps, with changes above 0"
        )
    rounds, steps = table.shape
    spans = windows if windows is not None else [_span(row) for row in table]
    shades = LinearSegmentedColormap.from_list("change", ["#fff1d6", "#f6c27a", "#e07b39", "#a63a50", "#4b1d52"])
    first = np.array([b for b, _ in spans], dtype=float)
    final = np.arange(steps)[None] <= first[:, None]
    ax.pcolormesh(*_edges(table), np.where(final, 1.0, np.nan), cmap=_flat(_FINAL), rasterized=True)
    top = float(np.nanmax(table))
    norm = LogNorm(min(floor, top / 10), top)
    shown = np.where(final | ~np.isfinite(table), np.nan, np.maximum(table, norm.vmin or floor))
    mesh = ax.pcolormesh(*_edges(table), shown, cmap=shades, norm=norm, rasterized=True)
    edge = np.repeat(first + 1, 2)
    ax.plot(edge, np.repeat(np.arange(rounds + 1), 2)[1:-1] + 0.5, color=TEXT, lw=1.1, solid_joinstyle="miter")
    _told(ax, final, "final")
    ahead = np.array([e for _, e in spans])[:, None] <= np.arange(steps)[None]
    _told(ax, ahead, "not begun")
    ax.set(xlim=(0, steps), ylim=(rounds + 0.5, 0.5), xlabel="evaluation, from noise to data", ylabel="round")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(mesh, ax=ax, aspect=28, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, which="both")
    bar.set_label(label)


def errors_by_round(
    ax: Axes,
    measured: Mapping[str, Any],
    predicted: Mapping[str, Any] | None = None,
    bounds: Mapping[str, Any] | None = None,
    tol: float | None = None,
    inks: Mapping[str, Ink] | None = None,
    label: str = "error of the last input",
) -> None:
    """Measured errors as marks over the lines that theory predicts, one colour each; bounds as dots far above.

    Args:
        measured: name to errors after ``0, 1, 2, ...`` rounds, such as the last column of
            :func:`diffnum.parallel.measured_errors`; marked, and joined where there is no prediction.
        predicted: name to the same of :func:`diffnum.parallel.predicted_errors`.
        bounds: name to the same of a bound.
        tol: a level to draw across.
        inks: as in :func:`diffnum.figures.error_vs_nfe`.
        label: what the error is.

    Raises:
        ValueError: no measured error above zero.
    """
    from matplotlib.ticker import MaxNLocator

    ink = inks or sheet.inks(measured)
    lines, ceilings = predicted or {}, bounds or {}
    ends: list[End] = []
    lowest, highest = np.inf, 0.0
    for name, values in measured.items():
        one, shown = ink[name], positive(values)
        rounds = np.arange(len(shown))
        line = positive(lines[name]) if name in lines else shown
        ax.plot(np.arange(len(line)), line, color=one.colour, ls=one.dash, lw=1.5, zorder=2)
        ax.plot(rounds, shown, color=one.colour, ls="none", marker=one.marker, ms=4.6, mfc="white", mew=1.3, zorder=3)
        if name in ceilings:
            above = positive(ceilings[name])
            ax.plot(np.arange(len(above)), above, color=one.colour, ls=(0, (1, 1.6)), lw=1.1, zorder=1)
        ends += end(name, rounds, shown, one)
        if np.any(np.isfinite(shown)):
            lowest, highest = min(lowest, float(np.nanmin(shown))), max(highest, float(np.nanmax(shown)))
    if not ends:
        raise ValueError(f"none of [{', '.join(measured)}] has an error above zero: there is no curve to draw")
    if tol is not None:
        ax.axhline(tol, color=SOFT, lw=0.9, zorder=0)
        ax.annotate("tolerance", (0, tol), (3, 2), textcoords="offset points", fontsize=8.5, color=SOFT)
    said = ["marks: measured"] + ["line: predicted"] * bool(lines) + ["dots: bound"] * bool(ceilings)
    if len(said) > 1:
        ax.text(0.02, 0.03, " · ".join(said), transform=ax.transAxes, fontsize=8.5, color=SOFT, bbox=_PAPER)
    ax.set(yscale="log", xlabel="rounds", ylabel=label, ylim=(lowest / 3, highest * 8))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_ends(ax, ends)


def _told(ax: Axes, there: np.ndarray, text: str) -> None:
    """``text`` in the middle of the entries that it is about, where they are many."""
    if there.mean() > 0.12:
        rows, columns = np.nonzero(there)
        ax.text(columns.mean() + 0.5, rows.mean() + 1, text, color=SOFT, fontsize=9, ha="center", va="center")


def _span(row: np.ndarray) -> tuple[int, int]:
    inside = np.flatnonzero(np.isfinite(row))
    return int(inside[0]), int(inside[-1]) + 1


def _edges(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rounds, steps = table.shape
    return np.arange(steps + 1), np.arange(rounds + 1) + 0.5


def _flat(colour: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])
