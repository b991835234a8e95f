"""Runs of one sampler on several grids at once.

A witness has few points, so a run costs as many calls of numpy as its plan has lines, whatever they compute. Plans of
one sampler with as many steps differ in their numbers alone: coefficients and levels are stacked along an axis of
their own, the coordinates of both witnesses lie beside each other, and one run measures them all. A plan of fewer steps
begins as one of more does, so it runs along as far as their forms agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np

from .plan import Eval, Level, Lin, Plan, sources
from .targets.laws import Mixture1D
from .targets.product import Product1D
from .witness import Run, combination, end_point, gaussian, history, nonlinear

__all__ = ["Together", "end_points", "witnesses"]


@dataclass(frozen=True, eq=False)
class Together:
    """End-point errors of one sampler's plans on both witnesses in float64, every number of steps in one run.

    Attributes:
        plan: from a grid's name and a number of steps to the plan.
        usual: from a number of steps to the runs that will be asked for: grids' names, and whether each starts warm.
        counts: numbers of steps that will be asked for.
    """

    plan: Callable[[str, int], Plan]
    usual: Callable[[int], Sequence[tuple[str, bool]]]
    counts: Sequence[int] = ()
    _known: dict[tuple[str, int, bool], np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def error(self, witness: str, grid: str, n: int, warm: bool) -> np.ndarray:
        """Signed errors ``(points, dim)`` of a witness, "non-linear" or "Gaussian"."""
        plan = self.plan(grid, n)
        # a method without a start-up has one kind of run
        warm = warm or not plan.depth
        if (grid, n, warm) not in self._known:
            more = [(name, m, at) for m in (n, *self.counts) for name, at in self.usual(m)]
            rows = [row for row in dict.fromkeys([(grid, n, warm), *more]) if row not in self._known]
            found = end_points([(self.plan(name, m), at) for name, m, at in rows])
            self._known.update(zip(rows, found, strict=True))
        error = self._known[grid, n, warm] - _run(plan.start).exact(plan.stop)
        first = nonlinear().dim
        return error[:, first:] if witness == "Gaussian" else error[:, :first]


def end_points(rows: Sequence[tuple[Plan, bool]]) -> list[np.ndarray]:
    """Where plans take the points of :func:`witnesses`, warm where so marked: ``(points, dim)`` for each.

    Those of one form for every process and number of steps run together, the others one after the other.
    """
    ends: dict[int, np.ndarray] = {}
    ways: list[_Way] = []
    forms = {id(plan): _form(plan) for plan in {id(plan): plan for plan, _ in rows}.values()}
    kinds = [(plan.steps, plan.process.get("name")) for plan, _ in rows]
    for kind in dict.fromkeys(kinds):
        mine = [(i, *row) for i, row in enumerate(rows) if kinds[i] == kind]
        first = mine[0][1]
        if _usual(first) and all(forms[id(plan)] == forms[id(first)] for _, plan, _ in mine[1:]):
            ways += [_Way.of(i, plan, warm, forms[id(plan)][0]) for i, plan, warm in mine]
        else:
            ends.update((i, end_point(plan, _run(plan.start), warm)) for i, plan, warm in mine)
    if ways:
        start = np.stack([_run(way.plan.start).x for way in ways], axis=1)
        ends.update(_walked(ways, {0: start}, 0))
    return [ends[i] for i in range(len(rows))]


@dataclass(frozen=True, eq=False)
class _Way:
    """The run of one plan.

    Attributes:
        place: among all runs.
        form: of every line, in order.
        exact: states that take a register's place.
        last: the register in whose line each is read last.
    """

    place: int
    plan: Plan
    form: Sequence[Any]
    exact: Mapping[int, np.ndarray]
    last: Sequence[int]

    @staticmethod
    def of(place: int, plan: Plan, warm: bool, form: Sequence[Any]) -> _Way:
        known = history(plan) if warm else {}
        exact = {r: _run(plan.start).exact(level) for r, level in known.items()}
        return _Way(place, plan, form, exact, list(plan.last_use.values()))


def _walked(ways: Sequence[_Way], values: dict[int, np.ndarray], first: int) -> Iterator[tuple[int, np.ndarray]]:
    """The end points of runs that agree in all before line ``first``, by their places."""
    end = _fork([way.form for way in ways], first)
    _run_on(ways, values, first, end)
    groups: dict[Any, list[int]] = {}
    for i, way in enumerate(ways):
        groups.setdefault(way.form[end] if end < len(way.form) else None, []).append(i)
    for form, mine in groups.items():
        own = {r: np.take(value, mine, axis=1) for r, value in values.items()} if len(groups) > 1 else values
        if form is None:
            yield from ((ways[i].place, own[ways[i].plan.outputs[0][1]][:, j]) for j, i in enumerate(mine))
        else:
            yield from _walked([ways[i] for i in mine], own, end)


def _fork(forms: Sequence[Sequence[Any]], first: int) -> int:
    """The first line from ``first`` on in which not all agree, or that one has not."""
    end = min(map(len, forms))
    one, *others = (form[first:end] for form in forms)
    if all(other == one for other in others):
        return end
    return next(
        first + i for i, lines in enumerate(zip(one, *others, strict=True)) if any(a != lines[0] for a in lines)
    )


def _run_on(ways: Sequence[_Way], values: dict[int, np.ndarray], first: int, end: int) -> None:
    """Lines ``first`` to ``end`` of all runs at once; registers are dropped where no run reads them any more."""
    parts = [way.plan.lines[first:end] for way in ways]
    numbers = _columns([[c for line in part if isinstance(line, Lin) for _, c in line.terms] for part in parts])
    seen = [[(e.level.alpha, e.level.sigma) for e in part if isinstance(e, Eval)] for part in parts]
    alpha, sigma = np.array(seen, dtype=float).reshape(len(ways), -1, 2).transpose(2, 1, 0)
    denoise, number = _law().denoisers(alpha, sigma), count()
    last = [max(of) for of in zip(*[way.last[: end + 1] for way in ways], strict=True)]
    for r, line in enumerate(parts[0], first + 1):
        if isinstance(line, Lin):
            value = combination([(next(numbers), values[q]) for q, _ in line.terms])
        else:
            assert isinstance(line, Eval)
            value = denoise(next(number), values[line.x])
        for i, way in enumerate(ways):
            if r in way.exact:
                value[:, i] = way.exact[r]
        values[r] = value
        for q in (*sources(line), r):
            if last[q] <= r:
                values.pop(q, None)


@lru_cache(maxsize=1)
def _law() -> Mixture1D:
    """The coordinates of :func:`witnesses` as one bundle."""
    ((_, law),) = witnesses()._groups
    assert isinstance(law, Mixture1D)
    return law


@lru_cache(maxsize=1)
def witnesses() -> Product1D:
    """The coordinates of the non-linear witness, then those of the Gaussian as mixtures of one component."""
    law, one = gaussian(), np.ones(1)
    modes = [Mixture1D(one, one * m, one * v**0.5) for m, v in zip(law.mean, law.variances, strict=True)]
    return Product1D((*nonlinear().laws, *modes))


@lru_cache(maxsize=16)
def _run(start: Level) -> Run:
    runs = [Run.of(witness(), start) for witness in (nonlinear, gaussian)]

    def flow(level: Level) -> np.ndarray:
        return np.concatenate([run.exact(level) for run in runs], axis=1)

    return Run(witnesses(), start, np.concatenate([run.x for run in runs], axis=1), flow)


def _usual(plan: Plan) -> bool:
    """Whether a plan draws no noise and asks the model for nothing but data at levels of noise."""
    asked = [line for line in plan.lines if isinstance(line, Eval)]
    return not plan.draws and all(line.quantity == "data" and not line.level.clean for line in asked)


def _form(plan: Plan) -> Any:
    return [
        read
        if isinstance(line, Lin)
        else (line.x, line.quantity, line.level.clean, line.level.pure_noise)
        if isinstance(line, Eval)
        else line
        for line, read in zip(plan.lines, plan.reads, strict=True)
    ], plan.outputs


def _columns(rows: Sequence[Sequence[float]]) -> Iterator[Any]:
    """The numbers of every place as ``(rows, dim)``, so that numpy runs over both at once; a float where all agree."""
    table = np.array(rows, dtype=float).T
    alike = (table == table[:, :1]).all(axis=1).tolist()
    wide = np.repeat(table[:, :, None], witnesses().dim, axis=2)
    return (float(row[0, 0]) if one else row for one, row in zip(alike, wide, strict=True))
