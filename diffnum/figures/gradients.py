"""Plots of gradients and likelihoods: how far each method is from the truth over steps, and what it holds in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sheet
from .labels import End, end, name_ends, positive, whole_ticks
from .sheet import SOFT, Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["gradient_error", "likelihood_error", "memory_over_steps"]

# relative errors that may be rounding, and no method's
ROUNDING = 1e-12


def gradient_error(
    ax: Axes,
    ns: Any,
    errors: Mapping[str, Any],
    claimed: Mapping[str, float] | None = None,
    inks: Mapping[str, Ink] | None = None,
    label: str = r"relative error of $dL/dx_T$",
) -> None:
    """Errors of gradients over the number of steps, both logarithmic, above a grey ground of rounding.

    Methods that differentiate the run itself lie in the ground; one that integrates the adjoint falls with its order,
    whose slope is the thin line through its last point. Nothing is fitted.

    Args:
        ns: numbers of steps, increasing.
        errors: name to errors ``(len(ns),)``; zeros are drawn at the foot of the axes.
        claimed: name to order, for those that have one.
        inks: to keep colours across figures.
        label: what the error is, for the axis.

    Raises:
        ValueError: a claim without errors.
    """
    claimed = claimed or {}
    _refuse_strangers(claimed, errors)
    ns = np.asarray(ns, dtype=float)
    ink = inks or sheet.inks(errors)
    foot = 1e-17
    ends: list[End] = []
    for name, values in errors.items():
        y = np.maximum(np.asarray(values, dtype=float), foot)
        ax.plot(ns, y, color=ink[name].colour, ls=ink[name].dash, marker=ink[name].marker)
        order = f", order {claimed[name]:g}" if name in claimed else ""
        ends += end(f"{name}{order}", ns, y, ink[name])
        if name in claimed:
            ax.plot(ns, y[-1] * (ns[-1] / ns) ** claimed[name], color=ink[name].colour, lw=0.8, alpha=0.7, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=label, ylim=(foot / 2, None))
    ax.axhspan(foot / 2, ROUNDING, color="#efefef", zorder=0, lw=0)
    ax.annotate("rounding", (0.02, ROUNDING), xycoords=("axes fraction", "data"), va="top", fontsize=8.5, color=SOFT)
    whole_ticks(ax, ns)
    name_ends(ax, ends)


def memory_over_steps(
    ax: Axes, ns: Any, held: Mapping[str, Any], inks: Mapping[str, Ink] | None = None, unit: float = 2.0**20
) -> None:
    """Bytes held at the peak over the number of steps, both logarithmic; each name says how much more the last number
    of steps holds than the first.

    Args:
        ns: numbers of steps, increasing.
        held: name to bytes ``(len(ns),)``, of :func:`diffnum.gradients.peak_bytes`.
        inks: to keep colours across figures.
        unit: of the axis in bytes, by default a mebibyte.
    """
    ns = np.asarray(ns, dtype=float)
    ink = inks or sheet.inks(held)
    ends: list[End] = []
    for name, values in held.items():
        y = positive(values) / unit
        ax.plot(ns, y, color=ink[name].colour, ls=ink[name].dash, marker=ink[name].marker)
        ends += end(f"{name}, × {y[-1] / y[0]:.2g}", ns, y, ink[name])
    size = "MiB" if unit == 2.0**20 else f"{unit:g} bytes"
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=f"memory at the peak, {size}")
    _plain_numbers(ax)
    whole_ticks(ax, ns)
    name_ends(ax, ends)


def likelihood_error(
    ax: Axes,
    ns: Any,
    errors: Mapping[str, Any],
    claimed: Mapping[str, float] | None = None,
    probes: Mapping[str, float] | None = None,
    inks: Mapping[str, Ink] | None = None,
    label: str = "error of the log-likelihood, nats",
) -> None:
    """Errors of log-likelihoods over the number of steps, and what random probes add to any of them.

    Args:
        ns: numbers of steps, increasing.
        errors: name to errors ``(len(ns),)`` with the exact divergence.
        claimed: name to order: its slope is the thin line through the last point.
        probes: name to a standard error that no number of steps makes smaller: a dotted level across the axes.
        inks: to keep colours across figures, of ``errors``.
        label: what the error is, for the axis.

    Raises:
        ValueError: a claim without errors.
    """
    claimed = claimed or {}
    _refuse_strangers(claimed, errors)
    ns = np.asarray(ns, dtype=float)
    ink = inks or sheet.inks(errors)
    ends: list[End] = []
    for name, values in errors.items():
        y = positive(values)
        ax.plot(ns, y, color=ink[name].colour, ls=ink[name].dash, marker=ink[name].marker)
        order = f", order {claimed[name]:g}" if name in claimed else ""
        found = end(f"{name}{order}", ns, y, ink[name])
        ends += found
        if name in claimed and found:
            _, n, last, one = found[0]
            ax.plot(ns, last * (n / ns) ** claimed[name], color=one.colour, lw=0.8, alpha=0.7, zorder=1)
    for name, level in (probes or {}).items():
        ax.axhline(level, color=SOFT, ls=(0, (1, 2)), lw=1.4, zorder=1)
        ends.append((name, float(ns[-1]), float(level), Ink(SOFT)))
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=label)
    whole_ticks(ax, ns)
    name_ends(ax, ends)


def _plain_numbers(ax: Axes) -> None:
    """Numbers 1, 2 and 5 of every decade upwards, and no powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _refuse_strangers(claimed: Mapping[str, float], errors: Mapping[str, Any]) -> None:
    odd = sorted(set(claimed) - set(errors))
    if odd:
        raise ValueError(f"claimed holds [{', '.join(odd)}], of which there are no errors: give both")
