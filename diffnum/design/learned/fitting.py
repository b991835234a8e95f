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
from ..sensitivity import numbers, sensitivities
from ..trajectories import Trajectories

__all__ = ["Build", "Learned", "bounded_minimum", "least_squares", "projection", "state_after"]

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
    build: Build,
    trajectories: Trajectories,
    start: Sequence[float],
    iterations: int = 60,
    judge: Trajectories | None = None,
    x: np.ndarray | None = None,
) -> np.ndarray:
    """Minimise the square error of ``build(p)`` on trajectories by Gauss-Newton steps in a trust region whose scales
    are the Jacobian's (Moré 1978), by scipy, on exact linearisations (:mod:`diffnum.design.sensitivity`).

    Args:
        build: from ``p`` to a plan of data predictions whose first level does not depend on ``p``.
        trajectories: whose ends the plan shall reach.
        start: the first ``p``.
        iterations: at most so many steps tried.
        judge: other trajectories; of the points on the way the one where their error is least is returned, which stops
            a fit before it suits its own trajectories alone.
        x: where the plan starts, in place of the trajectories' own points.

    Returns:
        ``p``, ``(len(start),)``.

    Raises:
        ValueError: the output at ``start`` is not finite.
    """
    from scipy.optimize import least_squares as minimise

    first = np.asarray(start, dtype=np.float64)
    x = trajectories.at(build(first.tolist()).start) if x is None else x
    scale = len(x) ** -0.5
    judged: list[tuple[float, np.ndarray]] = []

    def values(p: np.ndarray) -> np.ndarray:
        return scale * (sample(build(p.tolist()), trajectories.target, x) - trajectories.end).ravel()

    def note(p: np.ndarray) -> None:
        if judge is not None:
            error = judge.error(build(p.tolist()))
            judged.append((error if np.isfinite(error) else np.inf, p.copy()))

    def linearised(p: np.ndarray) -> np.ndarray:
        note(p)
        return scale * sensitivities(numbers(build, p), trajectories.target, x)[1].reshape(-1, len(p))

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
    jacobian: Any = linearised
    found = minimise(tried, first, jacobian, x_scale="jac", xtol=tiny, ftol=tiny, gtol=tiny, max_nfev=iterations).x
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
