"""The best that the library has without design: every sampler on every grid with every end, judged on a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np

from .. import grid as grids
from .. import solvers as library
from ..budget import ENDS, GRIDS, RANKED, MakeGrid, within
from ..plan import Plan
from ..trace import Solver
from .trial import Trial

__all__ = ["RIVALS", "Candidate", "best_among", "best_on", "candidates", "finite"]

RIVALS = (*RANKED, library.trig_ab4, library.trig_midpoint)
"""What is ranked, and two methods in the angle: the best by hand on many laws, whose denoisers are exact, and far from
it on networks, which is why studies do not recommend them."""
_FIRST = 16
_PILOTS = 8
_STAGES = (0, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Candidate:
    """A sampler on a grid at a budget.

    Attributes:
        sampler, grid, end: what it is; ``grid`` is a name of :data:`diffnum.budget.GRIDS`.
        plan: the longest within the budget.
    """

    sampler: str
    grid: str
    end: str
    plan: Plan = field(repr=False)

    def __str__(self) -> str:
        return f"{self.sampler} on {self.grid}, end {self.end}"


def candidates(process: Any, nfe: int, samplers: Sequence[Solver | str] | None = None) -> list[Candidate]:
    """The longest plan within ``nfe`` evaluations of each sampler, grid and end, without those that draw noise.

    From pure noise, where they cannot start, grids in log-SNR and Karras's start at ``sigma / alpha = 80``, as the
    EDM's does.

    Args:
        samplers: or their names; None for :data:`RIVALS`.

    Raises:
        ValueError: an unknown name.
    """
    return list(_candidates(process, nfe, RIVALS if samplers is None else [library.named(one) for one in samplers]))


def _candidates(process: Any, nfe: int, samplers: Sequence[Solver]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for sampler, (name, make), end in product(samplers, _grids(process).items(), ENDS):
        if sampler.stochastic:
            continue
        try:
            plan = within(sampler, process, nfe, make, end)
        except ValueError:
            # this sampler has no plan of so few evaluations, or none on this grid or with this end
            continue
        if not plan.draws and plan.hash not in seen:
            seen.add(plan.hash)
            yield Candidate(sampler.name, name, end, plan)


def _grids(process: Any) -> Mapping[str, MakeGrid]:
    if not process.level(process.t_start).pure_noise:
        return GRIDS
    first = grids.edm(process, 1)[0]
    late = (grids.log_snr, grids.karras, grids.exponential)
    return {name: partial(make, start=first) if make in late else make for name, make in GRIDS.items()}


def best_on(trial: Trial, those: Sequence[Candidate]) -> list[Candidate]:
    """The candidates of least error on a trial, the best first; the first is the best of all of them.

    Raises:
        ValueError: no candidates.
    """
    few = trial.first(_FIRST)
    return best_among(trial, sorted(those, key=lambda c: finite(few.error(c.plan))))


def best_among(trial: Trial, likely: Sequence[Candidate]) -> list[Candidate]:
    """:func:`best_on`, for candidates that are known in some order of likelihood.

    The squares over some trajectories, divided by the number of all, are at most the mean over all: a candidate whose
    partial sum exceeds the least mean yet seen cannot be the best and is left out. The trajectories that are hardest
    for plans that are good come first, and hold most of the sum.

    Raises:
        ValueError: no candidates.
    """
    if not likely:
        raise ValueError("no sampler has a plan at this budget: raise the number of evaluations")
    known, rest = likely[:_PILOTS], [(c, 0.0) for c in likely[_PILOTS:]]
    most = len(trial) * min(finite(trial.error(c.plan)) for c in known) ** 2
    hardest = np.argsort(-np.mean([trial.squares(c.plan) for c in known], axis=0), kind="stable")
    for begun, ended in pairwise(size for size in _STAGES if size < len(trial)):
        part = trial.take(hardest[begun:ended])
        sums = [(c, so_far + float(part.squares(c.plan).sum())) for c, so_far in rest]
        # not a number is no bound: such a candidate is out as well
        rest = [(c, so_far) for c, so_far in sums if so_far <= most]
    return sorted([*known, *(c for c, _ in rest)], key=lambda c: finite(trial.error(c.plan)))


def finite(error: float) -> float:
    """An error to sort by: what is not a number is the worst."""
    return error if np.isfinite(error) else np.inf
