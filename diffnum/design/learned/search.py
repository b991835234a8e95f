"""Differentiable solver search: times and all past weights learned through the whole sampler (Wang et al. 2025).

A step combines every evaluation so far: on the velocity of flow matching, and on the data in ``kappa = alpha / sigma``,
where the linear part of any process is exact,

    x_{i+1} = x_i + dt_i sum_{j<=i} c_ij v_j
    x_{i+1} = (sigma_{i+1} / sigma_i) x_i + sigma_{i+1} (kappa_{i+1} - kappa_i) sum_{j<=i} c_ij D_j

    c_ii = 1 - sum_{j<i} c_ij,     dt = softmax(r),

so that constant directions are integrated exactly whatever is learned, and there are ``n (n - 1) / 2 + n`` numbers.

The reference code departs from the paper in three ways, none of which is here: its variance-preserving sampler takes a
second step of first order after every step and remembers every ``D`` twice; it uses ``r`` as the times, without the
softmax; and with six steps or fewer the last two rows keep their last weight alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ...grid import Grid, through
from ...plan import Plan
from ...solvers.coords import CLOCK, SNR, Coords, transfer
from ...solvers.rules import Build, Point, named, weights
from ...trace import Form, Solver, Trace, compile
from ..trajectories import Trajectories
from .fitting import Learned, least_squares

__all__ = [
    "adams_rows",
    "search_solver",
    "search_times",
    "searched_flow",
    "searched_times",
    "searched_vp",
]

Rows = Sequence[Sequence[Any]]


def combined(coords: Coords) -> Build:
    """A step from all evaluations so far, in any coordinates of :mod:`diffnum.solvers.coords` without a kernel.

    The sampler's option ``rows`` holds ``c_i0, ..., c_{i,i-1}`` for every step ``i``; by default zeros, which are
    Euler's method. Where the coordinates are infinite a step is of first order and its weights are not used.
    """

    def build(T: Trace, grid: Any, rows: Rows | None = None) -> None:
        rows = zeros(len(grid.h)) if rows is None else checked(rows, len(grid.h))
        past: list[Form] = []
        for row, (s, t) in zip(rows, T.steps(grid), strict=True):
            e = T.evaluate(T.x, s)
            if not coords.regular(s, t):
                T.x = transfer(T.x, s, t, e.data)
                past.append(Form())
                continue
            past.append(coords.quantity(e))
            moved, gain = coords.ratio(s, t) * T.x, coords.gain(t) * coords.step(T, s, t)
            # the sum first: rows of zeros leave the weight at one exactly
            for c, N in zip([*row, 1 - sum(row)], past, strict=True):
                moved = moved + (c * gain) * N
            T.x = moved

    return build


def zeros(n: int) -> tuple[tuple[float, ...], ...]:
    return tuple((0.0,) * i for i in range(n))


def checked(rows: Rows, n: int) -> Rows:
    if [len(row) for row in rows] != list(range(n)):
        raise ValueError(
            f"rows of {[len(row) for row in rows]} weights do not fit {n} steps: give 0, 1, ..., {n - 1} of them"
        )
    return rows


def _searched(name: str, coords: Coords, eq: str, says: str) -> Solver:
    # whatever is learned, only the sum of the weights is kept
    return named(
        name, combined(coords), says, order=1, cold=1, cite="wang2025search", eq=eq, family="learned multistep"
    )


searched_flow = _searched(
    "searched_flow", CLOCK, "section 5", "Differentiable solver search on the velocity: all past weights are learned."
)
searched_vp = _searched(
    "searched_vp", SNR, "section 6", "Differentiable solver search on the data in ``alpha / sigma``."
)
_COORDS = {searched_flow.name: CLOCK, searched_vp.name: SNR}


def adams_rows(solver: Solver, grid: Grid, points: int) -> tuple[tuple[float, ...], ...]:
    """The rows with which ``solver`` is Adams-Bashforth of ``points`` points on a grid, started with fewer points.

    Args:
        solver: :data:`searched_flow` or :data:`searched_vp`.
        points: 1 for Euler's method.
    """
    coords = _coords(solver)
    trace = Trace(grid.process)
    past: tuple[Point, ...] = ()
    rows = []
    for i, (s, t) in enumerate(trace.steps(grid)):
        if not coords.regular(s, t):
            rows.append((0.0,) * i)
            past = ()
            continue
        step = coords.step(trace, s, t)
        found = [float(w) for w in weights(coords, step, past)][1:]
        rows.append((*(0.0,) * (i - len(found)), *reversed(found)))
        past = (Point(Form(), step), *past)[: points - 1]
    return tuple(rows)


def search_solver(
    solver: Solver,
    trajectories: Trajectories,
    grid: Grid,
    start: Rows | None = None,
    iterations: int = 60,
    judge: Trajectories | None = None,
) -> Learned:
    """Learn the weights on a fixed grid.

    Args:
        solver: :data:`searched_flow` or :data:`searched_vp`.
        trajectories: whose ends the sampler shall reach.
        start: the first rows; default Adams-Bashforth of one to three points, whichever errs least on ``trajectories``.
        iterations: at most so many steps tried.
        judge: other trajectories, on which the best point on the way is chosen: with many weights and few trajectories
            the last point suits these alone.
    """
    n = len(grid.h)
    rows = _best_adams(solver, trajectories, grid) if start is None else checked(start, n)

    def build(p: Any) -> Plan:
        return compile(solver, grid, rows=_rows(p, n))

    found = least_squares(build, trajectories, _flat(rows), iterations, judge)
    return _learned(solver, grid, found, trajectories)


def search_times(
    solver: Solver,
    trajectories: Trajectories,
    grid: Grid,
    start: Rows | None = None,
    iterations: int = 60,
    judge: Trajectories | None = None,
) -> Learned:
    """Learn the weights and the times, ``dt = softmax(r)``, from those of a grid on; ends and end policy stay.

    See :func:`search_solver`, whose weights after half of the ``iterations`` are the first ones where ``start`` is
    None: from hand-made ones a fit of both is often caught early. Gains far more than the weights alone.
    """
    n = len(grid.h)
    if start is None:
        start = _rows_of(search_solver(solver, trajectories, grid, None, iterations // 2, judge))
    rows, spans = checked(start, n), _spans(grid)

    def build(p: Any) -> Plan:
        return compile(solver, searched_times(grid, p[n * (n - 1) // 2 :]), rows=_rows(p, n))

    first = [*_flat(rows), *spans]
    found = least_squares(build, trajectories, first, iterations, judge)
    moved = searched_times(grid, found[n * (n - 1) // 2 :].tolist())
    return _learned(solver, moved, found, trajectories)


def _best_adams(solver: Solver, trajectories: Trajectories, grid: Grid) -> Rows:
    tried = [adams_rows(solver, grid, points) for points in (1, 2, 3)]
    return min(tried, key=lambda rows: trajectories.error(compile(solver, grid, rows=rows)))


def _rows_of(learned: Learned) -> Rows:
    return dict(learned.solver.options)["rows"]


def searched_times(grid: Grid, r: Any) -> Grid:
    """The grid whose time steps are ``softmax(r)`` of the whole time between the first level and the last noisy one.

    Args:
        grid: gives the ends, the process and the end policy.
        r: a number per step, but for a last step to the clean level; floats or torch scalars.
    """
    last = len(r)
    first, stop = grid.levels[0], grid.levels[last]
    total, levels = 0, [first]
    for part in _softmax(r)[:-1]:
        total = total + part
        levels.append(grid.process.level(first.t + (stop.t - first.t) * total))
    levels += [stop, *grid.levels[last + 1 :]]
    return through(grid.process, levels, grid.end)


def _spans(grid: Grid) -> list[float]:
    noisy = [level.t for level in grid.levels if not level.clean]
    total = noisy[-1] - noisy[0]
    return [math.log((b - a) / total) for a, b in pairwise(noisy)]


def _softmax(r: Any) -> list[Any]:
    if hasattr(r, "softmax"):
        return list(r.softmax(0))
    top = max(r)
    powers = [math.exp(value - top) for value in r]
    return [power / sum(powers) for power in powers]


def _coords(solver: Solver) -> Coords:
    if solver.name not in _COORDS:
        raise ValueError(f"{solver.name} has no rows to learn: use one of {', '.join(_COORDS)}")
    return _COORDS[solver.name]


def _flat(rows: Rows) -> list[float]:
    return [float(c) for row in rows for c in row]


def _rows(p: Any, n: int) -> list[list[Any]]:
    return [[p[i * (i - 1) // 2 + j] for j in range(i)] for i in range(n)]


def _learned(solver: Solver, grid: Grid, found: Any, trajectories: Trajectories) -> Learned:
    rows = tuple(tuple(float(c) for c in row) for row in _rows(found, len(grid.h)))
    bound = solver.with_options(rows=rows)
    return Learned(bound, grid, (trajectories.error(compile(bound, grid)),))
