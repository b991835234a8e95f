"""The known sampler that is nearest to a plan, and the first coefficient in which they differ."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..grid import Grid, custom
from ..plan import Level, Plan, interpret
from ..prediction import convert
from ..process import EDM, Cosine, Flow
from ..solvers import ALL
from ..trace import compile as compiled

__all__ = ["Difference", "Near", "nearest"]

# other quantities in which a difference may be simpler
_OTHER = {"data": ("noise",), "noise": ("data",), "velocity": ("data", "noise"), "score": ("data", "noise")}
PROCESSES = (Cosine(), EDM(sigma_max=1e6), Flow())
# log-SNR beyond which a level is an end
END = 8.0


@dataclass(frozen=True)
class Difference:
    """The first coefficient in which two samplers differ.

    Attributes:
        row: index of the model's input that differs; the number of calls for the output.
        column: ``"x"``, the input before this one; ``"D2"``, the prediction of call 2; ``"z1"``,
            draw 1 of those that are used; ``"level"``, where coefficients agree and the level evaluated at does not.
        reading: the quantity as which predictions are read, where that makes the difference simplest.
        theirs, ours: the coefficients, inputs over ``alpha``; of a level ``sigma / alpha``.
        step: of the plan, that computes the row.
    """

    row: int
    column: str
    reading: str
    theirs: float
    ours: float
    step: int


@dataclass(frozen=True)
class Near:
    """A known sampler, compared with a plan on the plan's levels.

    Attributes:
        name: in :data:`diffnum.solvers.ALL`.
        process: whose clock it steps in, where that matters.
        distance: largest difference of a coefficient over its row's maximum.
        rows, entries: how many rows and coefficients differ, levels counted among them.
        difference: the first one, None where they are one method.
    """

    name: str
    process: str
    distance: float
    rows: int
    entries: int
    difference: Difference | None


def nearest(plan: Plan, tol: float = 1e-9, most: int = 5, among: Collection[str] | None = None) -> tuple[Near, ...]:
    """Known samplers with as many calls and draws as ``plan``, nearest first.

    A row is a model's input, or the output, as what is added to a multiple of the row before: an error in one step then
    shows in one row. Samplers are ordered by the number of rows that differ, then by distance.

    Args:
        plan: a lifted plan (with evaluations where their inputs are: ``examine(...).assumed``), or any other.
        tol: of a row's maximum, above which it differs; 1e-9 for double precision, 1e-5 for single. Levels may differ
            by its root, in log-SNR.
        most: how many to return.
        among: names to choose from; default all of :data:`diffnum.solvers.ALL`.

    Returns:
        At most ``most`` samplers; none where no sampler has as many calls and draws on these levels.
    """
    theirs = _rows(plan, plan.prediction, tol)
    found: dict[str, tuple[Near, Plan]] = {}
    # velocities and scores differ between processes
    same = plan.prediction in ("data", "noise")
    for grids in _grids(plan):
        for name in ALL if among is None else among:
            for grid in grids[:1] if same and not _clocked(name) else grids:
                made = _candidate(name, grid, plan.prediction, theirs.counts)
                if made is None:
                    continue
                near = _compare(theirs, _rows(made, plan.prediction), name, grid.process.name, plan.prediction, tol)
                if name not in found or _key(near) < _key(found[name][0]):
                    found[name] = near, made
    best = sorted(found.values(), key=lambda pair: _key(pair[0]))[:most]
    return tuple(_sparser(near, plan, made, tol) for near, made in best)


def _sparser(near: Near, plan: Plan, made: Plan, tol: float) -> Near:
    """The same comparison where fewest coefficients differ: in the coordinate in which the methods are written."""
    best = near
    for reading in _OTHER[plan.prediction] if near.rows else ():
        try:
            other = _compare(_rows(plan, reading, tol), _rows(made, reading), near.name, near.process, reading, tol)
        except ZeroDivisionError:
            # an end at which this quantity is not determined
            continue
        if 0 < other.entries < best.entries and other.rows <= best.rows:
            best = other
    return best


def _key(near: Near) -> tuple[float, ...]:
    # a sampler whose distance is rounding is not nearer than another of that kind
    return (near.rows, near.distance if near.rows else 0.0, list(ALL).index(near.name))


# --- rows ---


@dataclass(frozen=True)
class _Rows:
    matrix: np.ndarray
    counts: tuple[int, int]
    steps: tuple[int, ...]
    lams: np.ndarray


def _rows(plan: Plan, reading: str, tol: float = 1e-9) -> _Rows:
    """Local rows over the input before, the predictions as ``reading``, the draws; evaluations in the plan's
    order."""
    width = 1 + plan.nfe + len(plan.draws)
    rows: list[np.ndarray] = []
    draws = iter(range(1 + plan.nfe, width))

    def unit(i: int) -> np.ndarray:
        return np.eye(1, width, i)[0]

    def evaluate(value: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        rows.append(value / _scale(level))
        a, b = convert(level, reading, quantity)
        return float(a) * value + float(b) * unit(len(rows))

    def lin(terms: Any) -> np.ndarray:
        return sum((float(c) * value for c, value in terms), np.zeros(width))

    start = unit(0) * _scale(plan.start)
    out = interpret(plan, start, lin, evaluate, lambda line: unit(next(draws)))[0]
    rows.append(out / _scale(plan.stop))
    local, before = [], unit(0)
    for row in rows:
        r = row[0] / before[0] if before[0] else 0.0
        local.append(np.array([r, *(row - r * before)[1:]]) if before[0] else row)
        before = row
    matrix = np.array(local)
    # a draw that is multiplied by nothing is none
    size = np.abs(matrix) / np.abs(matrix).max(axis=1, keepdims=True)
    used = [i for i in range(width) if i <= plan.nfe or size[:, i].max() > tol]
    asked = (plan.lines[r - 1].level.lam for r in plan.evaluations)  # type: ignore[union-attr]
    lams = np.array([min(max(float(lam), -END), END) for lam in asked])
    return _Rows(matrix[:, used], (plan.nfe, len(used) - 1 - plan.nfe), _makers(plan), lams)


def _makers(plan: Plan) -> tuple[int, ...]:
    """The step that computes each row: a call at a step's beginning is made of the step before."""
    steps = [plan.lines[r - 1].step for r in plan.evaluations]
    first = [i == 0 or s > steps[i - 1] for i, s in enumerate(steps)]
    return (*(max(s - 1, 0) if new else s for s, new in zip(steps, first, strict=True)), plan.steps - 1)


def _scale(level: Level) -> float:
    return float(level.sigma if level.pure_noise else level.alpha)


def _compare(theirs: _Rows, ours: _Rows, name: str, process: str, reading: str, tol: float) -> Near:
    a, b = theirs.matrix, ours.matrix
    scale = np.maximum(np.abs(a).max(axis=1), np.abs(b).max(axis=1))
    apart = np.abs(a - b) / scale[:, None]
    differ = np.argwhere(~(apart <= tol))
    moved = np.flatnonzero(np.abs(theirs.lams - ours.lams) > math.sqrt(tol))
    if not len(differ) and not len(moved):
        return Near(name, process, float(apart.max()), 0, 0, None)
    rows, entries = len({*(int(i) for i, _ in differ), *(int(i) for i in moved)}), len(differ) + len(moved)
    if not len(differ) or (len(moved) and moved[0] < differ[0][0]):
        k = int(moved[0])
        first = Difference(k, "level", reading, math.exp(-theirs.lams[k]), math.exp(-ours.lams[k]), theirs.steps[k])
        return Near(name, process, float(apart.max()), rows, entries, first)
    row, column = (int(i) for i in differ[0])
    label, step = _label(column, theirs.counts[0]), theirs.steps[row]
    first = Difference(row, label, reading, float(a[row, column]), float(b[row, column]), step)
    return Near(name, process, float(apart.max()), rows, entries, first)


def _label(column: int, calls: int) -> str:
    if column == 0:
        return "x"
    return f"D{column - 1}" if column <= calls else f"z{column - 1 - calls}"


# --- candidates ---


def _candidate(name: str, grid: Grid, prediction: str, counts: tuple[int, int]) -> Plan | None:
    if _counts(name, grid.steps, grid[-1].clean) not in (counts, None):
        return None
    try:
        made = compiled(ALL[name], grid, prediction)
    except ValueError:
        return None
    return made if made.nfe == counts[0] and _rows(made, prediction).counts == counts else None


@cache
def _counts(name: str, steps: int, clean: bool) -> tuple[int, int] | None:
    """Calls and draws of so many steps, the last one to the data or not; None where it is not defined there."""
    lams = [-2.5 + 5.0 * i / steps for i in range(steps + 1)]
    try:
        return _rows(
            compiled(ALL[name], custom(Cosine(), lams=[*lams[:-1], math.inf] if clean else lams)), "data"
        ).counts
    except ValueError:
        return None


@cache
def _clocked(name: str) -> bool:
    """Whether it is another method in another clock."""
    lams = [-2.0, -1.1, -0.5, 0.2, 1.0, 1.5, 2.2]
    try:
        rows = [_rows(compiled(ALL[name], custom(process, lams=lams)), "data") for process in PROCESSES]
    except ValueError:
        return True
    first = rows[0].matrix
    return not all(r.matrix.shape == first.shape and np.allclose(r.matrix, first, rtol=1e-9, atol=1e-9) for r in rows)


def _grids(plan: Plan) -> Iterator[list[Grid]]:
    """The plan's levels, or those of its calls, every first, second or third of them, each in three clocks."""
    ratios = [_ratios(list(plan.levels))]
    told = [plan.lines[r - 1].level for r in plan.evaluations]  # type: ignore[union-attr]
    ratios.append(_ratios([*told, plan.stop]))
    if plan.stop.sigma > 0:
        ratios.append([*_ratios(told), math.inf])
    seen: list[list[float]] = []
    for whole in ratios:
        for stride in (1, 2, 3):
            lams = [*whole[:-1:stride], whole[-1]]
            if len(lams) < 2 or any(len(lams) == len(s) and np.allclose(lams, s, rtol=1e-12) for s in seen):
                continue
            seen.append(lams)
            yield [made for process in PROCESSES if (made := _grid(process, lams)) is not None]


def _grid(process: Any, lams: list[float]) -> Grid | None:
    try:
        return custom(process, lams=lams)
    except ValueError:
        return None


def _ratios(levels: list[Level]) -> list[float]:
    """Log-SNRs that rise by more than rounding in single precision."""
    lams: list[float] = []
    for level in levels:
        lam = float(level.lam)
        if not lams or (lam > lams[-1] and not math.isclose(lam, lams[-1], rel_tol=2e-5, abs_tol=2e-5)):
            lams.append(lam)
    return lams
