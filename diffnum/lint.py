"""What is wrong with a list of sigmas that came from somewhere else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .num import exp
from .process import Flow, Process, as_float

__all__ = ["Finding", "lint"]

# a last step that divides sigma by this, and is so much longer than the one before, stops just short of zero
_CLIFF, _LEAP = 1000.0, 4.0
# a last step this much smaller than the one before is an evaluation spent on nothing
_STUB = 20.0


@dataclass(frozen=True)
class Finding:
    """One finding of :func:`lint`.

    Attributes:
        code: ``empty single nan inf negative ascending increasing duplicate float32-duplicate early-zero no-zero
            last-step outside``; ``no-zero`` is a note, the others are faults.
        index: the entry; the second one where two disagree.
        value: its value.
        message: one sentence with the remedy.
    """

    code: str
    index: int
    value: float
    message: str


def lint(sigmas: Iterable[Any], process: Process | None = None) -> list[Finding]:
    """Findings about a foreign list of sigmas, from noise to data; an empty list where it is clean.

    Args:
        sigmas: numbers, an array or a tensor: ``sigma / alpha``, or ``sigma`` for :class:`~diffnum.process.Flow`.
        process: also checks that the values lie in it.

    Returns:
        Findings in the order of the list. Values that are no noise levels (NaN, infinite, negative) are reported
        and then left out of the comparisons.
    """
    values = [_plain(s) for s in sigmas]
    if not values:
        return [Finding("empty", 0, math.nan, "the list is empty: give at least two sigmas")]
    found = list(_not_levels(values))
    good = [(i, s) for i, s in enumerate(values) if math.isfinite(s) and s >= 0]
    if len(good) == 1:
        found.append(Finding("single", good[0][0], good[0][1], "one level makes no step: give at least two sigmas"))
    elif len(good) > 1 and all(s < t for (_, s), (_, t) in pairwise(good)):
        found.append(Finding("ascending", *good[0], "the list runs from data to noise: reverse it"))
    elif len(good) > 1:
        found += [*_order(good), *_end(good)]
    if process is not None:
        found += _outside(good, process)
    return sorted(found, key=lambda finding: finding.index)


def _plain(sigma: Any) -> float:
    value = as_float(sigma)
    return math.nan if value is None else value


def _not_levels(values: list[float]) -> Iterator[Finding]:
    for i, s in enumerate(values):
        if math.isnan(s):
            yield Finding("nan", i, s, f"sigmas[{i}] is not a number: recompute the list")
        elif math.isinf(s):
            yield Finding("inf", i, s, f"sigmas[{i}] = {s!r} is not finite: start at a finite sigma")
        elif s < 0:
            yield Finding("negative", i, s, f"sigmas[{i}] = {s!r} is negative: a noise level is >= 0")


def _order(good: list[tuple[int, float]]) -> Iterator[Finding]:
    for (i, s), (j, t) in pairwise(good):
        if t > s:
            yield Finding("increasing", j, t, f"sigmas[{j}] = {t!r} is above sigmas[{i}] = {s!r}: sigmas must fall")
        elif t == s:
            yield Finding("duplicate", j, t, f"sigmas[{j}] = {t!r} repeats sigmas[{i}]: remove one")
        elif np.float32(s) == np.float32(t):
            yield Finding(
                "float32-duplicate", j, t, f"sigmas[{j}] = {t!r} equals sigmas[{i}] in float32: keep it in float64"
            )
    for i, s in good[:-1]:
        if s == 0:
            yield Finding("early-zero", i, s, f"sigmas[{i}] = 0 stands before the end: zero can only be the last")


def _end(good: list[tuple[int, float]]) -> Iterator[Finding]:
    i, last = good[-1]
    if last > 0:
        yield Finding(
            "no-zero", i, last, f"the list ends at sigma = {last!r}, not at zero: that much noise stays in the result"
        )
    positive = [(j, s) for j, s in good if s > 0]
    steps = [math.log(s / t) for (_, s), (_, t) in pairwise(positive)]
    if len(steps) < 2 or min(steps[-2:]) <= 0:
        return
    i, last = positive[-1]
    if steps[-1] > math.log(_CLIFF) and steps[-1] > _LEAP * steps[-2]:
        yield Finding(
            "last-step", i, last, f"the last step divides sigma by {math.exp(steps[-1]):.3g}: end at zero or higher up"
        )
    elif steps[-1] * _STUB < steps[-2]:
        yield Finding(
            "last-step",
            i,
            last,
            f"the last step is {steps[-2] / steps[-1]:.3g} times smaller in log sigma than the one before: drop it",
        )


def _outside(good: list[tuple[int, float]], process: Process) -> Iterator[Finding]:
    start, clean = process.level(process.t_start), process.level(process.t_clean)
    flow = isinstance(process, Flow)
    high = start.sigma if flow else exp(-start.lam)
    low = clean.sigma if flow else exp(-clean.lam)
    for i, s in good:
        if s > high * (1 + 1e-12) or 0 < s < low * (1 - 1e-12):
            hint = "flow matching has sigma <= 1, these look like sigma / alpha" if flow else "choose another process"
            yield Finding(
                "outside", i, s, f"sigmas[{i}] = {s!r} is outside {process.name} ({low:.6g} to {high:.6g}): {hint}"
            )
