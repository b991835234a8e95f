"""Studies as numbers: rankings of samplers on surrogates of data. No files, no printing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .plan import Plan

__all__ = ["Entry", "Ranking"]

MEASURES = ("w2", "path")


@dataclass(frozen=True)
class Entry:
    """One sampler on one grid at one budget.

    Attributes:
        budget: the number of model evaluations allowed.
        sampler, grid, end: what was run; ``end`` is the grid's end policy.
        steps: number of grid steps, the most for which ``nfe <= budget``.
        nfe: model evaluations spent.
        w2: exact 2-Wasserstein distance to the data law on the Gaussian, started from the prior.
        path: root mean square, over points and coordinates, of the distance between the output and the end of
            the exact flow on the mixture; nan for samplers that draw noise.
        plan: the plan itself.
    """

    budget: int
    sampler: str
    grid: str
    end: str
    steps: int
    nfe: int
    w2: float
    path: float
    plan: Plan


@dataclass(frozen=True)
class Ranking:
    """What :func:`rank` found.

    Attributes:
        all: every candidate: budgets as given, in each the samplers, grids and ends in their order.
        absent: for each budget the names of the samplers that have no plan there.
    """

    all: tuple[Entry, ...]
    absent: Mapping[int, tuple[str, ...]]

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets, in the order given."""
        return tuple(self.absent)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """For each budget and sampler the candidate of least ``w2``, the best first within a budget."""
        return tuple(entry for budget in self.budgets for entry in self.best(budget))

    def best(self, budget: int, by: str = "w2") -> tuple[Entry, ...]:
        """For each sampler its best candidate at ``budget``, the best first.

        Args:
            by: ``"w2"`` or ``"path"``; samplers without a number for it are left out.

        Raises:
            ValueError: a budget that was not ranked; an unknown ``by``.
        """
        if budget not in self.absent:
            raise ValueError(f"budget {budget!r} was not ranked: use one of {', '.join(map(str, self.budgets))}")
        if by not in MEASURES:
            raise ValueError(f"by = {by!r} is unknown: use one of {', '.join(MEASURES)}")
        least: dict[str, Entry] = {}
        for entry in self._at(budget):
            if not math.isnan(getattr(entry, by)):
                least[entry.sampler] = min(least.get(entry.sampler, entry), entry, key=lambda e: getattr(e, by))
        return tuple(sorted(least.values(), key=lambda e: getattr(e, by)))

    def winner(self, budget: int, by: str = "w2") -> Entry:
        """The best candidate of all at ``budget``.

        Raises:
            ValueError: as :meth:`best`; no candidate has a number for ``by``.
        """
        best = self.best(budget, by)
        if not best:
            raise ValueError(f"no sampler has a {by} error at budget {budget}: raise the budget or add samplers")
        return best[0]

    def rows(self) -> list[dict[str, Any]]:
        """Every candidate as a flat row for a table; ``best`` marks each sampler's least ``w2`` at its budget."""
        chosen = {id(entry) for entry in self.entries}
        names = ("budget", "sampler", "grid", "end", "steps", "nfe", "w2", "path")
        return [{name: getattr(e, name) for name in names} | {"best": id(e) in chosen} for e in self.all]

    def _at(self, budget: int) -> Iterator[Entry]:
        return (entry for entry in self.all if entry.budget == budget)
