"""One step in the coordinates of :mod:`diffnum.solvers.coords`, with weights that were not derived but learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...num import scaled
from ...plan import Level
from ...solvers.coords import Coords
from ...trace import Form

__all__ = ["advance", "one_per_step"]


def advance(
    x: Form, s: Level, t: Level, coords: Coords, step: Any, weights: Sequence[Any], quantities: Sequence[Form]
) -> Form:
    """``ratio(s, t) x + gain(t) step sum_j w_j N_j``."""
    h = coords.gain(t) * step
    moved = coords.ratio(s, t) * x
    for w, N in zip(weights, quantities, strict=True):
        if not (isinstance(w, int) and w == 0):
            moved = moved + scaled(w, h) * N
    return moved


def one_per_step(name: str, numbers: Sequence[Any] | None, steps: int, default: Any) -> Sequence[Any]:
    """``numbers``, or the default for every step.

    Raises:
        ValueError: another number of them than steps.
    """
    if numbers is None:
        return (default,) * steps
    if len(numbers) != steps:
        raise ValueError(f"{len(numbers)} {name} for {steps} steps: give one per step")
    return numbers
