"""Bespoke solvers: a scale-time transformation, or all coefficients, learned for one model (Shaul et al. 2024a, b).

In ``xbar(r) = s_r x(t_r)`` the ODE ``dx/dt = u`` has another right-hand side, and a method for it is another one for
``x``. Euler's with steps of ``r`` of ``1/n`` becomes (2024a, RK1-Bespoke; primes are derivatives in ``r``)

    x_{i+1} = [(s_i + s'_i / n) x_i + t'_i s_i u(t_i, x_i) / n] / s_{i+1}

which is of order one where the numbers come from smooth ``s`` and ``t``. Non-stationary solvers (2024b) drop that
origin, ``x_{i+1} = a_i x_0 + sum_{j<=i} b_ij u_j``, and contain every other sampler of one call per step.

S4S (Frankel et al. 2025) learns the weights of the exponential multistep form on the data, without any condition on
them, and against a relaxed goal: the sampler may hit the end from any start within ``radius`` of the given one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...grid import Grid
from ...plan import Plan
from ...read.sample import sample
from ...solvers.coords import DATA, transfer
from ...solvers.rules import Point, named, weights
from ...trace import Form, Solver, Trace, compile
from ..trajectories import Trajectories
from .fitting import Learned, least_squares
from .steps import advance, one_per_step

__all__ = ["bespoke_euler", "fit_bespoke", "fit_non_stationary", "fit_s4s", "non_stationary", "s4s"]

FAMILY = "learned multistep"


def _bespoke(
    T: Trace,
    grid: Any,
    scales: Sequence[Any] | None = None,
    scale_rates: Sequence[Any] | None = None,
    time_rates: Sequence[Any] | None = None,
) -> None:
    n = len(grid.h)
    ends = [1.0] * (n + 1) if scales is None else [1.0, *one_per_step("scales", scales, n, 1.0)]
    rates = one_per_step("scale rates", scale_rates, n, 0.0)
    for i, (s, t) in enumerate(T.steps(grid)):
        dt = T.dt(s, t) if time_rates is None else time_rates[i] * T.dt(s, t)
        moved = (ends[i] + rates[i]) * T.x + (dt * ends[i]) * T.slope(T.x, s)
        T.x = moved / ends[i + 1]


bespoke_euler = named(
    "bespoke_euler",
    _bespoke,
    "Bespoke RK1: Euler's method under a learned transformation of scale and time.",
    order=1,
    cold=1,
    cite="shaul2024bespoke",
    eq="RK1-Bespoke",
    family=FAMILY,
    note="of that order where the numbers interpolate a smooth transformation",
)


def _non_stationary(
    T: Trace, grid: Any, starts: Sequence[Any] | None = None, rows: Sequence[Sequence[Any]] | None = None
) -> None:
    n = len(grid.h)
    starts = one_per_step("factors of the start", starts, n, 1.0)
    start, slopes = T.x, []
    for i, (s, _) in enumerate(T.steps(grid)):
        slopes.append(T.slope(T.x, s))
        # Euler's method by default: every slope with its own step
        row = [T.dt(a, b) for a, b in zip(grid.levels[: i + 1], grid.levels[1 : i + 2], strict=True)]
        row = row if rows is None else one_per_step(f"weights of step {i}", rows[i], i + 1, 0.0)
        moved = starts[i] * start
        for b, slope in zip(row, slopes, strict=True):
            moved = moved + b * slope
        T.x = moved


non_stationary = named(
    "non_stationary",
    _non_stationary,
    "Bespoke non-stationary solver: every state a learned combination of the start and all slopes.",
    order=1,
    cold=1,
    cite="shaul2024bns",
    eq="NS solvers",
    family=FAMILY,
    note="of no order but that of its numbers; of one with the default, which is Euler's method",
)


def _s4s(T: Trace, grid: Any, rows: Sequence[Sequence[Any]] | None = None) -> None:
    found = s4s_rows(grid, 2) if rows is None else one_per_step("rows", rows, len(grid.h), ())
    past: list[Form] = []
    for row, (s, t) in zip(found, T.steps(grid), strict=True):
        e = T.evaluate(T.x, s)
        past = [e.data, *past]
        if not DATA.regular(s, t):
            T.x = transfer(T.x, s, t, e.data)
            continue
        T.x = advance(T.x, s, t, DATA, T.h(s, t), row, past[: len(row)])


s4s = named(
    "s4s",
    _s4s,
    "S4S: exponential multistep on the data with learned weights, under no condition.",
    order=1,
    cold=1,
    cite="frankel2025s4s",
    eq="linear multistep",
    family=FAMILY,
    note="of no order but that of its numbers; with the default it is exponential Adams-Bashforth of two points",
)


def s4s_rows(grid: Grid, points: int) -> tuple[tuple[Any, ...], ...]:
    """The rows of exponential Adams-Bashforth, over the newest evaluation first."""
    past: tuple[Point, ...] = ()
    rows = []
    for s, t, h in zip(grid.levels[:-1], grid.levels[1:], grid.h, strict=True):
        if not DATA.regular(s, t):
            rows.append(())
            past = ()
            continue
        rows.append(tuple(weights(DATA, h, past)))
        past = (Point(Form(), h), *past)[: points - 1]
    return tuple(rows)


def fit_bespoke(
    trajectories: Trajectories, grid: Grid, iterations: int = 40, judge: Trajectories | None = None
) -> Learned:
    """Learn scales, their rates and the rates of time on a grid, whose levels stay; from Euler's method on.

    ``judge`` as in :func:`diffnum.design.learned.search_solver`.
    """
    n = len(grid.h)

    def options(p: Any) -> dict[str, Any]:
        return {"scales": p[:n], "scale_rates": p[n : 2 * n], "time_rates": p[2 * n :]}

    start = [1.0] * n + [0.0] * n + [1.0] * n
    return _fitted(bespoke_euler, options, start, trajectories, grid, iterations, judge)


def fit_non_stationary(
    trajectories: Trajectories, grid: Grid, iterations: int = 40, judge: Trajectories | None = None
) -> Learned:
    """Learn all coefficients of a non-stationary solver on a grid, from Euler's method on.

    ``judge`` as in :func:`diffnum.design.learned.search_solver`.
    """
    n = len(grid.h)
    trace = Trace(grid.process)
    dts = [float(trace.dt(s, t)) for s, t in zip(grid.levels[:-1], grid.levels[1:], strict=True)]

    def options(p: Any) -> dict[str, Any]:
        at = [n + i * (i + 1) // 2 for i in range(n + 1)]
        return {"starts": p[:n], "rows": [p[at[i] : at[i + 1]] for i in range(n)]}

    start = [1.0] * n + [dts[j] for i in range(n) for j in range(i + 1)]
    return _fitted(non_stationary, options, start, trajectories, grid, iterations, judge)


def fit_s4s(
    trajectories: Trajectories, grid: Grid, points: int = 3, radius: float = 0.0, rounds: int = 3, iterations: int = 30
) -> Learned:
    """Learn the weights of S4S, and with a radius the starts beside them, in turns.

    Args:
        points: of a step, at most.
        radius: how far, in root mean square per coordinate and in units of the first level's noise, a start may move;
            0 is the plain objective. The starts are forgotten: they make the goal reachable, no more.
        rounds: how often weights and starts are learned in turns, if they move.
        iterations: of the weights in a round.
    """
    import torch

    rows = s4s_rows(grid, points)
    sizes = [len(row) for row in rows]
    at = np.cumsum([0, *sizes])
    p = [float(w) for row in rows for w in row]
    x = torch.tensor(trajectories.at(grid.levels[0]))
    end = torch.tensor(trajectories.end)
    offset = torch.zeros_like(x)

    def options(p: Any) -> dict[str, Any]:
        return {"rows": [p[a:b] for a, b in pairwise(at)]}

    def build(p: Any) -> Plan:
        return compile(s4s, grid, **options(p))

    reach = radius * float(grid.levels[0].sigma) * x.shape[1] ** 0.5
    for _ in range(rounds if radius else 1):
        p = least_squares(build, trajectories, p, iterations, x=(x + offset).numpy()).tolist()
        if radius:
            plan = build(p)
            offset = _nearest_starts(lambda o, q=plan: sample(q, trajectories.target, x + o), end, offset, reach)
    return _bound(s4s, options(p), trajectories, grid)


def _nearest_starts(output: Any, end: Any, offset: Any, reach: float, steps: int = 30) -> Any:
    """Projected gradient descent with step lengths by Barzilai and Borwein, every sample for itself."""
    import torch

    def slope(at: Any) -> Any:
        leaf = at.detach().requires_grad_(True)
        (found,) = torch.autograd.grad(((output(leaf) - end) ** 2).sum() / 2, leaf)
        return found

    def inside(at: Any) -> Any:
        length = at.norm(dim=1, keepdim=True)
        return at * (reach / length.clamp(min=reach))

    best, least = offset, ((output(offset) - end) ** 2).sum(1)
    before, g = offset, slope(offset)
    at = inside(offset - 1e-2 * g)
    for _ in range(steps):
        now = slope(at)
        dx, dg = at - before, now - g
        length = (dx * dx).sum(1, keepdim=True) / (dx * dg).sum(1, keepdim=True).clamp(min=1e-12)
        loss = ((output(at) - end) ** 2).sum(1)
        better = loss < least
        best, least = torch.where(better[:, None], at, best), torch.where(better, loss, least)
        before, g = at, now
        at = inside(at - length.clamp(max=1e3) * now)
    return best.detach()


def _fitted(
    solver: Solver,
    options: Any,
    start: Sequence[float],
    trajectories: Trajectories,
    grid: Grid,
    iterations: int,
    judge: Trajectories | None,
) -> Learned:
    def build(p: Any) -> Plan:
        return compile(solver, grid, **options(p))

    found = least_squares(build, trajectories, start, iterations, judge)
    return _bound(solver, options(found.tolist()), trajectories, grid)


def _bound(solver: Solver, options: dict[str, Any], trajectories: Trajectories, grid: Grid) -> Learned:
    plain = {name: _tuples(value) for name, value in options.items()}
    bound = solver.with_options(**plain)
    return Learned(bound, grid, (trajectories.error(compile(bound, grid)),))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else float(value)
