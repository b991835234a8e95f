"""The plots of the study and the notebooks; each draws on axes it is given."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import End, end, name_ends, positive, rank_ticks, whole_ticks
from .sheet import FAINT, SOFT, TEXT, Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["error_per_mode", "error_vs_nfe", "image_grid", "order_fan", "spectrum", "trajectories"]

LEAST = 1e-5
"""What :func:`error_per_mode` shows of lengths, as a share of the largest."""


def error_vs_nfe(
    ax: Axes,
    series: Mapping[str, tuple[Any, Any]],
    highlight: Collection[str] | None = None,
    inks: Mapping[str, Ink] | None = None,
    label: str = "error",
    named: Collection[str] | None = None,
) -> None:
    """Error against the number of model evaluations, both logarithmic, curves named at their right ends.

    Args:
        series: name to ``(nfe, error)``, two sequences of one length; errors that are not positive and finite
            leave a gap.
        highlight: names drawn in colour when the others shall recede into grey; all if None.
        inks: from :func:`inks`, to keep colours across figures.
        label: what the error is, for the axis.
        named: curves that are named, where names of all could not be told apart; all if None.

    Raises:
        ValueError: no curve has a value to show.
    """
    ink = inks or sheet.inks(series)
    ends: list[End] = []
    for name, (nfe, error) in series.items():
        seen, told = highlight is None or name in highlight, named is None or name in named
        one = ink[name] if seen else Ink("#b5b5b5" if told else FAINT, marker="")
        nfe, error = np.asarray(nfe, dtype=float), positive(error)
        width, over = 1.7 if seen else 1.0, 1 + told + seen
        ax.plot(nfe, error, color=one.colour, ls=one.dash, marker=one.marker, lw=width, zorder=over)
        ends += end(name, nfe, error, one)
    _refuse_nothing(ends, series)
    ax.set(xscale="log", yscale="log", xlabel="model evaluations (NFE)", ylabel=label)
    whole_ticks(ax, np.concatenate([np.asarray(nfe, dtype=float) for nfe, _ in series.values()]))
    name_ends(ax, [one for one in ends if named is None or one[0] in named])


def spectrum(ax: Axes, variances: Any) -> None:
    """Variances by rank, both axes logarithmic, largest first.

    Args:
        variances: an array, or a mapping from names to arrays for several spectra. Variances of zero, the
            directions in which the data do not vary, are counted in the label.

    Raises:
        ValueError: a spectrum without a positive variance.
    """
    several = variances if isinstance(variances, Mapping) else {"": variances}
    ends: list[End] = []
    for name, ink in sheet.inks(several).items():
        values = np.sort(np.asarray(several[name], dtype=float))[::-1]
        shown = values[values > 0]
        if not len(shown):
            raise ValueError(f"{name or 'the spectrum'} has no positive variance among {len(values)}: nothing varies")
        flat = len(values) - len(shown)
        rank = np.arange(1, len(shown) + 1)
        ax.plot(rank, shown, color=ink.colour, marker="o" if len(shown) <= 100 else "", ms=2.8, lw=1.2)
        text = "\n".join(part for part in (name, f"{flat} of {len(values)} are zero" if flat else "") if part)
        ends += end(text, rank, shown, ink) if text else []
    ax.set(yscale="log", xlabel="mode, by variance", ylabel="variance")
    rank_ticks(ax, max(len(values) for values in several.values()))
    name_ends(ax, ends)


def error_per_mode(
    ax: Axes,
    variances: Any,
    errors: Mapping[str, Any],
    inks: Mapping[str, Ink] | None = None,
    label: str = "error of the standard deviation",
) -> None:
    """Absolute error in each eigen-direction, above the data's own standard deviation as a grey ground.

    Both are lengths in data space, so where a curve enters the ground the error is smaller than the data's spread.
    The axis ends at :data:`LEAST` of the largest of them: in directions without variance an error may be mere rounding,
    and all decades down to that would leave the others no room.

    Args:
        variances: the data's variances, shape ``(d,)``; sets the order of the modes, largest first.
        errors: name to errors of shape ``(d,)`` in the order of ``variances``, signs ignored.
        inks: as in :func:`error_vs_nfe`.
        label: what the error is, for the axis.
    """
    variances = np.asarray(variances, dtype=float)
    order = np.argsort(-variances, kind="stable")
    rank = np.arange(1, len(order) + 1)
    spread = np.sqrt(variances[order])
    ink = inks or sheet.inks(errors)
    curves = {name: positive(np.abs(np.asarray(error, dtype=float)))[order] for name, error in errors.items()}
    shown = np.concatenate([spread, *curves.values()])
    floor = max(0.5 * np.min(shown[shown > 0]), LEAST * np.nanmax(shown))
    ax.fill_between(rank, np.maximum(spread, floor), floor, color="#efefef", zorder=0, lw=0)
    ends = end("standard deviation\nof the data", rank, np.maximum(positive(spread), floor), Ink(SOFT))
    for name, curve in curves.items():
        ax.plot(rank, curve, color=ink[name].colour, ls=ink[name].dash)
        ends += end(name, rank, np.maximum(curve, floor), ink[name])
    ax.set(yscale="log", xlabel="mode, by variance", ylabel=label)
    rank_ticks(ax, len(rank))
    ax.set_ylim(floor, 2 * np.nanmax(shown))
    ax.margins(x=0.02)
    name_ends(ax, ends)


def trajectories(
    ax: Axes,
    paths: Mapping[str, Any],
    exact: Any = None,
    cloud: Any = None,
    inks: Mapping[str, Ink] | None = None,
    labels: tuple[str, str] = ("first principal direction", "second principal direction"),
) -> None:
    """Paths of samples in a plane: dots where the solver stopped, thin black lines for the exact flow.

    For equal scales of both axes without empty margins, ``ax.set_aspect("equal", adjustable="datalim")``.

    Args:
        paths: name to points of shape ``(steps + 1, samples, 2)``. For a path over log-SNR, stack log-SNR and value.
        exact: the exact flow of the same samples, shape ``(points, samples, 2)``.
        cloud: data, shape ``(n, 2)``, as a background.
        inks: as in :func:`error_vs_nfe`.
        labels: of the two axes.
    """
    ink = inks or sheet.inks(paths)
    if cloud is not None:
        cloud = np.asarray(cloud, dtype=float)
        ax.scatter(*cloud.T, s=7, color=FAINT, lw=0, zorder=0, label="data")
    if exact is not None:
        exact = np.asarray(exact, dtype=float)
        for k in range(exact.shape[1]):
            ax.plot(*exact[:, k].T, color=TEXT, lw=0.8, zorder=3, label="exact flow" if k == 0 else None)
    for name, points in paths.items():
        points, one = np.asarray(points, dtype=float), ink[name]
        for k in range(points.shape[1]):
            first = name if k == 0 else None
            ax.plot(*points[:, k].T, color=one.colour, ls=one.dash, lw=1.3, marker=one.marker, ms=3.5, label=first)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    # no curve has an end of its own here: a column of names outside the axes hides no point
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, labelcolor=TEXT)


def image_grid(ax: Axes, images: Any, columns: int | None = None) -> None:
    """Pictures side by side with a thin gap, in reading order.

    Args:
        images: uint8 of shape ``(n, h, w)`` or ``(n, h, w, c)`` with ``c`` 1 or 3, as
            :func:`diffnum.images.to_images` makes them.
        columns: in one row; by default about as many as make the whole half again as wide as high.

    Raises:
        ValueError: no images, or no images.
    """
    images = np.asarray(images)
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or len(images) == 0 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(
            f"{images.dtype} of shape {images.shape} is no stack of images: use images.to_images(x, shape)"
        )
    n, h, w, c = images.shape
    wide = columns or min(n, max(1, round(math.sqrt(1.5 * n * h / w))))
    rows = -(-n // wide)
    gap = max(1, round(0.06 * max(h, w)))
    canvas = np.full((rows * (h + gap) - gap, wide * (w + gap) - gap, c), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // wide * (h + gap), k % wide * (w + gap)
        canvas[top : top + h, left : left + w] = image
    ax.imshow(canvas.repeat(3, axis=2) if c == 1 else canvas)
    ax.set_axis_off()
    # pictures of neighbouring axes start on one line with their titles
    ax.set_anchor("NW")


def order_fan(
    ax: Axes,
    ns: Any,
    errors: Mapping[str, Any],
    claimed: Mapping[str, float],
    inks: Mapping[str, Ink] | None = None,
    label: str = "error",
) -> None:
    """Errors against the number of steps, with the claimed slope of each through its last point.

    A curve that keeps its claim lies on its thin line; one triangle per order shows the slope, one doubling wide.
    Nothing is fitted here.

    Args:
        ns: numbers of steps, increasing.
        errors: name to errors of shape ``(len(ns),)``.
        claimed: name to order.
        inks: as in :func:`error_vs_nfe`.
        label: what the error is, for the axis.

    Raises:
        ValueError: no curve has a value to show.
    """
    ns = np.asarray(ns, dtype=float)
    ink = inks or sheet.inks(errors)
    ends: list[End] = []
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=label)
    for name, values in errors.items():
        ax.plot(ns, positive(values), color=ink[name].colour, ls=ink[name].dash, marker=ink[name].marker)
        ends += end(name, ns, positive(values), ink[name])
    _refuse_nothing(ends, errors)
    # of several curves of one order the lowest carries the triangle, where there is room below it
    lowest = {claimed[name]: (n, error) for name, n, error, _ in sorted(ends, key=lambda one: -one[2])}
    curves = [(ns, positive(values)) for values in errors.values()]
    for p, (n, error) in lowest.items():
        _triangle(ax, n, error, p, curves)
    ax.set_ylim(ax.get_ylim())
    for name, n, error, one in ends:
        ax.plot(ns, error * (n / ns) ** claimed[name], color=one.colour, lw=0.8, alpha=0.7, zorder=1)
    whole_ticks(ax, ns)
    name_ends(ax, [(f"{name}, order {claimed[name]:g}", n, error, one) for name, n, error, one in ends])


def _refuse_nothing(ends: Collection[End], names: Collection[str]) -> None:
    if not ends:
        raise ValueError(f"none of [{', '.join(names)}] has a positive finite error: there is no curve to draw")


def _triangle(ax: Axes, n: float, error: float, p: float, curves: list[tuple[Any, Any]]) -> None:
    """A slope of ``-p`` over one doubling that ends under ``(n, error)``, or over it where that alone is free."""
    left, right, top = n / 2.6, n / 1.3, error * 1.3**p * 0.42
    high, above = top * 2.0**p, 0.42**-2
    at = np.geomspace(left, right, 33)
    slope = top * (right / at) ** p
    x, y = [left, left, right], [high, top, top]
    over = _met(curves, at, top, slope) and not _met(curves, at, above * slope, above * high)
    if over:
        # as far above the curve, its right angle there
        x, y = [left, right, right], [above * high, above * high, above * top]
    ax.fill(x, y, color=FAINT, alpha=0.55, lw=0, zorder=1)
    ax.plot([*x, x[0]], [*y, y[0]], color=SOFT, lw=0.7, zorder=1)
    side: dict[str, Any] = {"xytext": (4, 0), "ha": "left"} if over else {"xytext": (-4, 0), "ha": "right"}
    corner = x[1], math.sqrt(high * top) * (above if over else 1.0)
    ax.annotate(f"{p:g}", corner, textcoords="offset points", va="center", fontsize=9, **side)


def _met(curves: list[tuple[Any, Any]], at: Any, low: Any, high: Any) -> bool:
    """Whether a curve passes between ``low`` and ``high``."""
    for x, y in curves:
        known = np.isfinite(y)
        if not known.any():
            continue
        there = np.exp(np.interp(np.log(at), np.log(x[known]), np.log(y[known]), left=np.nan, right=np.nan))
        if ((there > low) & (there < high)).any():
            return True
    return False
