"""Runs of one sampler on several grids at once.

A witness has few points, so a run costs as many calls of numpy as its plan has lines, whatever they compute. Plans of
one sampler with as many steps differ in their numbers alone: coefficients and levels are stacked along an axis of
their own, the coordinates of both witnesses lie beside each other, and one run measures them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np

from .plan import Eval, Level, Lin, Line, Noise, Plan, interpret
from .targets.laws import Mixture1D
from .targets.product import Product1D
from .witness import Run, combination, end_point, gaussian, history, nonlinear

__all__ = ["Together", "end_points", "stacked", "witnesses"]


@dataclass(frozen=True, eq=False)
class Together:
    """End-point errors of one sampler's plans on both witnesses in float64, every number of steps in one run.

    Attributes:
        plan: from a grid's name and a number of steps to the plan.
        usual: from a number of steps to the runs that will be asked for: grids' names, and whether each starts warm.
    """

    plan: Callable[[str, int], Plan]
    usual: Callable[[int], Sequence[tuple[str, bool]]]
    _known: dict[tuple[str, int, bool], np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def error(self, witness: str, grid: str, n: int, warm: bool) -> np.ndarray:
        """Signed errors ``(points, dim)`` of a witness, "non-linear" or "Gaussian"."""
        plan = self.plan(grid, n)
        # a method without a start-up has one kind of run
        warm = warm or not plan.depth
        if (grid, n, warm) not in self._known:
            rows = list(dict.fromkeys([(grid, warm), *self.usual(n)]))
            found = end_points([(self.plan(name, n), at) for name, at in rows])
            self._known.update({(name, n, at): end for (name, at), end in zip(rows, found, strict=True)})
        error = self._known[grid, n, warm] - _run(plan.start).exact(plan.stop)
        first = nonlinear().dim
        return error[:, first:] if witness == "Gaussian" else error[:, :first]


def end_points(rows: Sequence[tuple[Plan, bool]]) -> list[np.ndarray]:
    """Where plans take the points of :func:`witnesses`, warm where so marked: ``(points, dim)`` for each.

    They run together where all have one form, else one after the other.
    """
    plan = stacked([plan for plan, _ in rows])
    if plan is None:
        return [end_point(plan, _run(plan.start), warm) for plan, warm in rows]
    runs = [_run(plan.start) for plan, _ in rows]
    known = [history(plan) if warm else {} for plan, warm in rows]
    exact: dict[int, list[tuple[int, np.ndarray]]] = {}
    for i, (levels, run) in enumerate(zip(known, runs, strict=True)):
        for r, level in levels.items():
            exact.setdefault(r, []).append((i, run.exact(level)))
    scales = np.array([[(e.alpha, e.sigma) for e in _seen(plan)] for plan, _ in rows])
    alpha, sigma = scales.transpose(2, 1, 0)
    denoise, number = _law().denoisers(alpha, sigma), count()

    def visit(r: int, line: Line | None, value: Any) -> Any:
        for i, state in exact.get(r, ()):
            value[:, i] = state
        return value

    def evaluate(x: Any, level: Level, quantity: str) -> Any:
        return denoise(next(number), x)

    def refuse(line: Noise) -> Any:
        raise ValueError(f"{plan.solver} draws noise: it has no path to measure")

    start = np.stack([run.x for run in runs], axis=1)
    ends = interpret(plan, start, combination, evaluate, refuse, visit)[0]
    return [ends[:, i] for i in range(len(rows))]


def _seen(plan: Plan) -> list[Level]:
    """Levels of the evaluations, in order."""
    return [line.level for line in plan.lines if isinstance(line, Eval)]


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


def stacked(plans: Sequence[Plan]) -> Plan | None:
    """Plans of one form as one plan, with coefficients of shape ``(plans, dim)`` where they differ and the levels of
    the first; None where forms differ, noise is drawn, or the model is asked for anything but data or at no noise."""
    first = _form(plans[0])
    asked = [line for line in plans[0].lines if isinstance(line, Eval)]
    usual = all(line.quantity == "data" and not line.level.clean for line in asked)
    if plans[0].draws or not usual or any(_form(plan) != first for plan in plans[1:]):
        return None
    numbers = _columns([[c for line in plan.lines if isinstance(line, Lin) for _, c in line.terms] for plan in plans])
    lines = [
        Lin(tuple([(q, next(numbers)) for q, _ in line.terms]), line.name, line.step) if isinstance(line, Lin) else line
        for line in plans[0].lines
    ]
    return replace(plans[0], lines=tuple(lines))


def _form(plan: Plan) -> Any:
    return [
        tuple([q for q, _ in line.terms])
        if isinstance(line, Lin)
        else (line.x, line.quantity, line.level.clean, line.level.pure_noise)
        if isinstance(line, Eval)
        else line
        for line in plan.lines
    ], plan.outputs


def _columns(rows: Sequence[Sequence[float]]) -> Iterator[Any]:
    """The numbers of every place as ``(rows, dim)``, so that numpy runs over both at once; a float where all agree."""
    table = np.array(rows, dtype=float).T
    alike = (table == table[:, :1]).all(axis=1).tolist()
    wide = np.repeat(table[:, :, None], witnesses().dim, axis=2)
    return (float(row[0, 0]) if one else row for one, row in zip(alike, wide, strict=True))
