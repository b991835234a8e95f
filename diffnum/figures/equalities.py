"""Which names are one method: a matrix of distances, and curves that lie on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .labels import End, end, name_ends, positive, whole_ticks
from .sheet import SOFT, TEXT, inks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["closed_forms", "coincident", "distance_matrix", "methods"]

# from a pale blue, which no eye takes for white, to the first ink and beyond
_BLUES = ("#c9e2f2", "#5aa9d6", "#0072B2", "#00314d")
_NEVER = "#e4e4e4"


def methods(distances: Any, tolerance: float = 1e-12) -> list[list[int]]:
    """Indices grouped so that within a group everything is as near as ``tolerance`` to the group's first member.

    Args:
        distances: square, symmetric, zeros on the diagonal; ``inf`` where two cannot be compared.

    Raises:
        ArithmeticError: being near is not transitive here, so that the groups would depend on the order.
    """
    distances = np.asarray(distances, dtype=float)
    near = distances <= tolerance
    groups: list[list[int]] = []
    for i in range(len(near)):
        if any(i in group for group in groups):
            continue
        group = [int(j) for j in np.flatnonzero(near[i])]
        if not near[np.ix_(group, group)].all() or any(set(group) & set(other) for other in groups):
            raise ArithmeticError(f"entry {i} is near some that are not near each other: choose another tolerance")
        groups.append(group)
    return groups


def distance_matrix(
    ax: Axes, names: Sequence[str], distances: Any, tolerance: float = 1e-12, floor: float = 1e-2
) -> AxesImage:
    """Distances of samplers as shades on a logarithmic scale, white where they agree, grey where none is defined.

    Neighbours that agree are framed together, so names of one method should stand together.

    Args:
        names: of rows and columns; written left of the rows only, and nowhere if all are empty.
        distances: as in :func:`methods`.
        tolerance: up to which two are equal.
        floor: the distance of the palest shade.

    Returns:
        The image, for a colour bar.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.patches import Rectangle

    distances = np.asarray(distances, dtype=float)
    shades = LinearSegmentedColormap.from_list("distance", _BLUES).with_extremes(bad=_NEVER, over=_BLUES[-1])
    shown = np.where(distances <= tolerance, floor, distances)
    image = ax.imshow(np.ma.masked_invalid(shown), cmap=shades, norm=LogNorm(floor, 1.0))
    white = np.ma.masked_where(distances > tolerance, np.zeros_like(distances))
    ax.imshow(white, cmap=LinearSegmentedColormap.from_list("equal", ["white", "white"]))
    for first, last in _runs(distances <= tolerance):
        size = last - first + 1
        ax.add_patch(Rectangle((first - 0.5, first - 0.5), size, size, fill=False, ec=TEXT, lw=0.8, clip_on=False))
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    if any(names):
        ax.set_yticks(range(len(names)), names, fontsize=7.5)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set(visible=True, color=SOFT, lw=0.7)
    return image


def _runs(near: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of stretches of neighbours that all agree."""
    runs = [(0, 0)]
    for i in range(1, len(near)):
        first = runs[-1][0]
        if near[i, first : i + 1].all():
            runs[-1] = (first, i)
        else:
            runs.append((i, i))
    return runs


def coincident(
    ax: Axes, ns: Any, errors: Mapping[str, Any], groups: Sequence[Sequence[str]], label: str = "error"
) -> None:
    """Error curves of many names: one colour a group, every name a ring of its own size, so that curves that coincide
    show as rings around each other.

    Args:
        ns: numbers of steps, increasing.
        errors: name to errors of shape ``(len(ns),)``.
        groups: of names that shall coincide, drawn in one colour and named together.
        label: what the error is, for the axis.
    """
    ns = np.asarray(ns, dtype=float)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=label)
    ends: list[End] = []
    for group, ink in zip(groups, inks(["\n".join(group) for group in groups]).values(), strict=True):
        for k, name in enumerate(group):
            size = 4.0 + 3.4 * k
            ax.plot(ns, positive(errors[name]), color=ink.colour, lw=1.0, marker="o", ms=size, mfc="none", mew=1.0)
        ends += end(" =\n".join(group), ns, positive(errors[group[0]]), ink)
    whole_ticks(ax, ns)
    name_ends(ax, ends)


def closed_forms(ax: Axes, x: Any, closed: Mapping[str, Any], at: Any, measured: Mapping[str, Any]) -> None:
    """What closed forms predict, as lines, and what was measured, as dots, both axes logarithmic; lines are named at
    their right ends.

    Args:
        x, closed: abscissae ``(n,)``, increasing, and name to positive ordinates ``(n,)``.
        at, measured: the same for the dots, ``(k,)``, with the names of ``closed``.
    """
    x, at = np.asarray(x, dtype=float), np.asarray(at, dtype=float)
    ax.set(xscale="log", yscale="log")
    ends: list[End] = []
    for name, ink in inks(closed).items():
        ax.plot(x, positive(closed[name]), color=ink.colour, ls=ink.dash, lw=1.2)
        ax.plot(at, positive(measured[name]), color=ink.colour, ls="", marker=ink.marker, ms=4.5)
        ends += end(name, x, positive(closed[name]), ink)
    whole_ticks(ax, at)
    name_ends(ax, ends)
