"""How the numbers of a plan are learned: least squares on trajectories, with derivatives through the whole sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...grid import Grid
from ...plan import Plan
from ...read.sample import sample
from ...trace import Solver, compile
from ..trajectories import Trajectories

__all__ = ["Build", "Learned", "bounded_minimum", "ends", "judging", "least_squares", "projection", "state_after"]

Build = Callable[[Any], Plan]
"""From the numbers to learn, a sequence of floats or of torch scalars, to a plan."""


# what a residual that is not finite counts, relative to the first one
_TOO_FAR = 1e3
# points of a first look at a function of one number
_SCAN = 17
# a direction as short as that, relative to the state, is rounding
_NOTHING = 1e-11


@dataclass(frozen=True)
class Learned:
    """A sampler with its learned numbers bound as options, and the grid that they belong to.

    Attributes:
        solver: compile it for any prediction.
        grid: of the training, or itself learned.
        loss: root mean square distance to the trajectories it was fitted to, after the fit: for sequential methods
            after every step, else at the end alone.
    """

    solver: Solver
    grid: Grid
    loss: tuple[float, ...]

    def plan(self, prediction: str = "data") -> Plan:
        """The plan for a model of ``prediction``."""
        return compile(self.solver, self.grid, prediction)


def least_squares(
    residual: Callable[[Any], Any],
    start: Sequence[float],
    looped: int = 0,
    iterations: int = 60,
    judge: Callable[[Any], Any] | None = None,
) -> np.ndarray:
    """Minimise ``|residual(p)|^2`` by Gauss-Newton steps in a trust region whose scales are the Jacobian's (Moré 1978),
    by scipy.

    Args:
        residual: from a float64 torch vector to a torch array of any shape.
        start: the first ``p``.
        looped: how many of the last numbers enter levels: their columns of the Jacobian are computed one by one,
            since levels are compared as floats. The others are pushed through together.
        iterations: at most so many steps tried.
        judge: another residual; of the points on the way the one where it is least is returned, which stops a fit
            before it suits its own trajectories alone.

    Returns:
        ``p``, ``(len(start),)``.

    Raises:
        ValueError: the residual at ``start`` is not finite.
    """
    import torch
    from scipy.optimize import least_squares as minimise

    batched = len(start) - looped

    def values(p: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return residual(torch.tensor(p)).reshape(-1).numpy()

    judged: list[tuple[float, np.ndarray]] = []

    def note(p: np.ndarray) -> None:
        if judge is not None:
            with torch.no_grad():
                square = float((judge(torch.tensor(p)) ** 2).sum())
            judged.append((square if np.isfinite(square) else np.inf, p.copy()))

    def jacobian(p: np.ndarray) -> np.ndarray:
        note(p)
        at = torch.tensor(p)
        columns = []
        if batched:
            rest = at[batched:]
            columns.append(torch.func.jacfwd(lambda head: residual(torch.cat([head, rest])).reshape(-1))(at[:batched]))
        for i in range(batched, len(at)):
            unit = torch.zeros_like(at)
            unit[i] = 1.0
            slope = torch.func.jvp(lambda p: residual(p).reshape(-1), (at,), (unit,))[1]
            columns.append(slope[:, None])
        return torch.cat(columns, dim=1).numpy()

    first = np.asarray(start, dtype=np.float64)
    entries = values(first)
    if not np.all(np.isfinite(entries)):
        raise ValueError("the plan to start from has an output that is not finite: start from a stable sampler")

    def tried(p: np.ndarray) -> np.ndarray:
        # a step may bring levels together or overflow: it is taken back like any that gains nothing
        try:
            found = values(p)
        except ValueError:
            found = np.full_like(entries, np.inf)
        return np.where(np.isfinite(found), found, _TOO_FAR * (1 + np.abs(entries)))

    tiny = np.finfo(float).eps
    jac: Any = jacobian
    found = minimise(tried, first, jac, x_scale="jac", xtol=tiny, ftol=tiny, gtol=tiny, max_nfev=iterations).x
    note(found)
    return min(judged, key=lambda pair: pair[0])[1] if judged else found


def bounded_minimum(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one number is least between two bounds: the best of some points, and from its neighbours on
    by Brent's method."""
    from scipy.optimize import minimize_scalar

    points = np.linspace(low, high, _SCAN)
    best = int(np.argmin([f(float(x)) for x in points]))
    bounds = (points[max(best - 1, 0)], points[min(best + 1, _SCAN - 1)])
    found: Any = minimize_scalar(f, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(found.x)


def ends(build: Build, trajectories: Trajectories) -> Callable[[Any], Any]:
    """``p -> (plan(p)'s outputs - ends) / sqrt(trajectories)``, whose squares sum to the error's square.

    Levels that depend on ``p`` may move the inner levels of the grid, not its first.
    """
    import torch

    end = torch.tensor(trajectories.end)
    start: dict[Any, Any] = {}

    def residual(p: Any) -> Any:
        plan = build(p)
        if not start:
            start["x"] = torch.tensor(trajectories.at(plan.start))
        return (sample(plan, trajectories.target, start["x"]) - end) / len(end) ** 0.5

    return residual


def judging(build: Build, judge: Trajectories | None) -> Callable[[Any], Any] | None:
    """:func:`ends` on other trajectories, if there are some."""
    return None if judge is None else ends(build, judge)


def state_after(plan: Plan, model: Any, x: Any, step: int) -> Any:
    """The state after ``step`` steps (its first is ``x``), as the whole plan has it there, without running on."""
    if step == 0:
        return x
    last = step >= plan.steps
    states = sample(plan, model, x, keep="states", callback=None if last else lambda i, *_: i == step)
    return states[step]


def projection(base: np.ndarray, moved: np.ndarray, goal: np.ndarray) -> float:
    """The ``a`` that minimises ``|base + a (moved - base) - goal|``; 0 where nothing moves, up to rounding.

    For a number that a state depends on affinely this is its least-squares value from two runs.
    """
    direction = (moved - base).ravel()
    length = float(direction @ direction)
    if length <= _NOTHING**2 * float((base**2).sum()):
        return 0.0
    return float(direction @ (goal - base).ravel()) / length
