"""Work against precision: what every family of samplers reaches, and which one wins where."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import End, end, name_ends, positive, whole_ticks
from .sheet import TEXT, Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["areas", "ratios", "winner_map", "work_precision"]

_MEMBER = "#c8c8c8"
# how much of a family's colour its cells have
_TINT = 0.55
# size of small type, and the width of its letters, in points
_SMALL, _LETTER = 7.5, 4.8


def work_precision(
    ax: Axes,
    budgets: Any,
    families: Mapping[str, Any],
    inks: Mapping[str, Ink] | None = None,
    label: str = "error",
    top: float = 1.0,
) -> None:
    """Every sampler as a faint line, the least error of each family as a line of its own, named at its right end.

    Args:
        budgets: numbers of evaluations allowed, increasing.
        families: name to errors ``(samplers, budgets)``; inf where there is no plan or it blew up.
        inks: of the families, from :func:`diffnum.figures.inks`, to keep colours across figures.
        label: what the error is, for the axis.
        top: of the axis; what is worse has failed.

    Raises:
        ValueError: no family has a value to show.
    """
    budgets = np.asarray(budgets, dtype=float)
    ink = inks or sheet.inks(families)
    ends: list[End] = []
    for family, errors in families.items():
        for error in np.asarray(errors, dtype=float):
            ax.plot(budgets, positive(error), color=_MEMBER, lw=0.5, zorder=1)
        one = ink[family]
        least = positive(np.min(errors, axis=0))
        ax.plot(budgets, least, color=one.colour, ls=one.dash, marker=one.marker, ms=3.4, lw=1.6, zorder=3)
        ends += end(family, budgets, least, one)
    if not ends:
        raise ValueError(f"none of [{', '.join(families)}] has a positive finite error: there is no curve to draw")
    lowest = min(float(np.nanmin(positive(errors))) for errors in families.values())
    ax.set(xscale="log", yscale="log", xlabel="model evaluations (NFE)", ylabel=label)
    ax.set_ylim(lowest / 2, top)
    whole_ticks(ax, budgets)
    name_ends(ax, ends)


def ratios(
    ax: Axes, budgets: Any, pairs: Mapping[str, tuple[Any, Any]], label: str, inks: Mapping[str, Ink] | None = None
) -> None:
    """Quotients of two errors at equal evaluations, on a logarithmic axis about one; named at their right ends.

    Args:
        budgets: numbers of evaluations, increasing.
        pairs: name to numerator and denominator, each ``(budgets,)``.
        label: what the quotient says, for the axis.
        inks: as in :func:`work_precision`.
    """
    budgets = np.asarray(budgets, dtype=float)
    ink = inks or sheet.inks(pairs)
    ends: list[End] = []
    for name, (above, below) in pairs.items():
        quotient, one = positive(above) / positive(below), ink[name]
        ax.plot(budgets, quotient, color=one.colour, ls=one.dash, marker=one.marker, ms=4)
        ends += end(name, budgets, quotient, one)
    ax.axhline(1, color=TEXT, lw=0.9, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="model evaluations (NFE)", ylabel=label)
    whole_ticks(ax, budgets)
    name_ends(ax, ends)


def winner_map(
    ax: Axes,
    columns: Sequence[Any],
    rows: Sequence[Any],
    winners: Any,
    families: Mapping[str, str],
    inks: Mapping[str, Ink],
    close: Any = None,
    labels: tuple[str, str] = ("model evaluations (NFE)", ""),
) -> None:
    """Which sampler wins at each place of a table: cells in the colour of its family, hatched where its line is dashed,
    with the families' names on the right; its own name once in every patch that has room for it.

    Args:
        columns, rows: what is written at the cells, from left to right and from below.
        winners: ``(rows, columns)`` names of samplers.
        families: name of a sampler to name of its family.
        inks: of the families.
        close: ``(rows, columns)`` booleans: cells drawn pale, where the lead is none to speak of.
        labels: of the two axes.

    Raises:
        ValueError: winners that do not fit the columns and rows.
    """
    winners = np.asarray(winners, dtype=object)
    if winners.shape != (len(rows), len(columns)):
        raise ValueError(f"winners has shape {winners.shape}: give one name for each of {len(rows)} x {len(columns)}")
    pale = np.zeros(winners.shape, dtype=bool) if close is None else np.asarray(close)
    colours = np.array([[_tint(inks[families[name]].colour, _TINT) for name in line] for line in winners])
    colours = np.where(pale[..., None], _fade(colours), colours)
    ax.imshow(colours, origin="lower", aspect="auto", extent=(0, len(columns), 0, len(rows)))
    _hatch(ax, winners, {name for name, family in families.items() if inks[family].dash != "-"})
    _borders(ax, winners)
    _key(ax, {family: ink for family, ink in inks.items() if family in {families[name] for name in winners.flat}})
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.set_xticks(np.arange(len(columns)) + 0.5, [f"{value}" for value in columns])
    ax.set_yticks(np.arange(len(rows)) + 0.5, [f"{value}" for value in rows])
    ax.tick_params(length=0)
    ax.grid(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    box = ax.get_window_extent()
    scale = 72 / figure.dpi
    cell = box.width * scale / len(columns), box.height * scale / len(rows)
    for name, cells in areas(winners):
        _write(ax, name, cells, cell)


def areas(winners: Any) -> list[tuple[str, list[tuple[int, int]]]]:
    """Connected patches of equal entries of a table: entry and its cells ``(row, column)``, edges touching."""
    winners = np.asarray(winners, dtype=object)
    free = {(i, j) for i in range(winners.shape[0]) for j in range(winners.shape[1])}
    found: list[tuple[str, list[tuple[int, int]]]] = []
    while free:
        border = [min(free)]
        free.discard(border[0])
        patch: list[tuple[int, int]] = []
        while border:
            i, j = border.pop()
            patch.append((i, j))
            near = [n for n in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)) if n in free]
            near = [n for n in near if winners[n] == winners[i, j]]
            free.difference_update(near)
            border += near
        found.append((winners[patch[0]], sorted(patch)))
    return found


def _write(ax: Axes, name: str, cells: list[tuple[int, int]], cell: tuple[float, float]) -> None:
    """The name across the widest row of a patch, or along its highest column, or in two lines; else nowhere."""
    across, along = _longest_run(cells), _longest_run([(j, i) for i, j in cells])
    text, turn, place = name, 0, across
    if _LETTER * len(name) > across[2] * cell[0]:
        if _LETTER * len(name) <= along[2] * cell[1]:
            turn, place = 90, (along[1], along[0], along[2])
        else:
            text = _halves(name)
            if _LETTER * max(map(len, text.split("\n"))) > across[2] * cell[0] or 2.2 * _SMALL > cell[1]:
                return
    row, column, length = place
    x, y = (column + 0.5, row + length / 2) if turn else (column + length / 2, row + 0.5)
    ax.text(x, y, text, rotation=turn, ha="center", va="center", fontsize=_SMALL, linespacing=0.95)


def _halves(name: str) -> str:
    """In two lines, broken after the underscore that leaves the shorter ones; as it is without one."""
    breaks = [k + 1 for k, letter in enumerate(name) if letter == "_"]
    if not breaks:
        return name
    at = min(breaks, key=lambda k: max(k, len(name) - k))
    return f"{name[:at]}\n{name[at:]}"


def _longest_run(cells: list[tuple[int, int]]) -> tuple[int, int, int]:
    """Row, first column and length of the longest stretch of neighbours in one row; of several the middle one."""
    have = set(cells)
    runs: list[tuple[int, int, int]] = []
    for i, j in sorted(cells):
        if (i, j - 1) not in have:
            length = 1
            while (i, j + length) in have:
                length += 1
            runs.append((i, j, length))
    longest = [run for run in runs if run[2] == max(length for _, _, length in runs)]
    return longest[(len(longest) - 1) // 2]


def _borders(ax: Axes, winners: np.ndarray) -> None:
    for i in range(winners.shape[0]):
        for j in range(winners.shape[1]):
            if i and winners[i, j] != winners[i - 1, j]:
                ax.plot([j, j + 1], [i, i], color="white", lw=1.2, solid_capstyle="butt")
            if j and winners[i, j] != winners[i, j - 1]:
                ax.plot([j, j], [i, i + 1], color="white", lw=1.2, solid_capstyle="butt")


def _hatch(ax: Axes, winners: np.ndarray, dashed: Collection[str]) -> None:
    from matplotlib.patches import Rectangle

    for (i, j), name in np.ndenumerate(winners):
        if name in dashed:
            ax.add_patch(Rectangle((j, i), 1, 1, fill=False, hatch="////", ec="white", lw=0))


def _key(ax: Axes, inks: Mapping[str, Ink]) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=_tint(ink.colour, _TINT), hatch="" if ink.dash == "-" else "////", ec="white", lw=0, label=name)
        for name, ink in inks.items()
    ]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
    ax.legend(handles=patches, **place, labelcolor=TEXT, handlelength=1.1, handleheight=1.1)


def _tint(colour: str, share: float) -> tuple[float, float, float]:
    red, green, blue = (1 - share * (1 - int(colour[k : k + 2], 16) / 255) for k in (1, 3, 5))
    return red, green, blue


def _fade(colours: np.ndarray) -> np.ndarray:
    return 1 - 0.4 * (1 - colours)
