"""D-ODE: a share of the last change per step, fitted in closed form to a teacher's states (Kim et al. 2024).

A step of any Adams method sees one combined quantity, ``N_i = sum_j w_ij N(x_j) / sum_j w_ij``, and takes

    x_{i+1} = ratio x_i + G_i (N_i + lam_i (N_i - N_{i-1})),     G_i = gain step sum_j w_ij,

which is the method itself for ``lam = 0``, and with ``lam_i`` half the ratio of the steps turns the first-order method
into Adams-Bashforth of two points. On the noise the first difference is ``N_0 - x_0``, as in the reference code; on the
data there is none. A state depends on its own ``lam`` affinely: against the teacher's state ``y`` it is a projection,

    lam_i = <c_i, y_{i+1} - x_{i+1}|_{lam_i = 0}> / <c_i, c_i>,     c_i = G_i (N_i - N_{i-1}),

over all coordinates of a batch, step after step on the student's own states. The teacher here is
the exact flow, to which theirs tends as its steps multiply.

Their code keeps ``G_i lam_i`` as the number, which is the same sampler. In their EDM code the teacher has ``C n``
levels of a Karras grid whose level ``C i`` is noisier than the student's level ``i``: the student is brought near to
states of other levels than its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...grid import Grid
from ...num import scaled
from ...plan import Level
from ...solvers.coords import DATA, NOISE, RATIO, Coords, transfer
from ...solvers.multistep import CONSTANT, DPM_2M
from ...solvers.rules import Build, Point, Rule, named, weights
from ...trace import Form, Solver, Trace, compile
from ..trajectories import Trajectories
from .fitting import Learned, projection, state_after
from .steps import one_per_step

__all__ = ["d_ddim", "d_ddim_data", "d_deis_rhoab_3", "d_dpmpp_2m", "d_edm", "d_ipndm_4", "distill", "distill_edm"]


def distilled(coords: Coords, points: int, rule: Rule = weights) -> Build:
    """An Adams method with a share of the last change of its combined quantity, the option ``shares``.

    Args:
        coords: quantity and variable; on the noise the first step has a share too.
        points: of the Adams method.
        rule: its weights.
    """
    noisy = coords in (RATIO, NOISE)

    def build(T: Trace, grid: Any, shares: Sequence[Any] | None = None) -> None:
        shares = one_per_step("shares", shares, len(grid.h), 0.0)
        past: tuple[Point, ...] = ()
        before = T.x if noisy else None
        for share, (s, t) in zip(shares, T.steps(grid), strict=True):
            e = T.evaluate(T.x, s)
            if not coords.regular(s, t):
                T.x = transfer(T.x, s, t, e.data)
                past, before = (), None
                continue
            now = Point(coords.quantity(e), coords.step(T, s, t))
            w = rule(coords, now.step, past)
            total = sum(w)
            mean = Form()
            for weight, point in zip(w, (now, *past), strict=True):
                mean = mean + scaled(weight, 1 / total) * point.N
            changed = mean if before is None else mean + share * (mean - before)
            T.x = coords.ratio(s, t) * T.x + scaled(total, coords.gain(t) * now.step) * changed
            past, before = (now, *past)[: points - 1], mean

    return build


def _distilled(name: str, build: Build, eq: str, says: str) -> Solver:
    return named(name, build, says, order=1, cold=1, cite="kim2024dode", eq=eq, family="learned multistep")


d_ddim = _distilled(
    "d_ddim", distilled(RATIO, 1), "noise prediction", "D-DDIM on the noise: a learned share of the last change."
)
d_ddim_data = _distilled("d_ddim_data", distilled(DATA, 1), "data prediction", "D-DDIM on the data.")
d_ipndm_4 = _distilled(
    "d_ipndm_4",
    distilled(RATIO, 4, CONSTANT),
    "reference code",
    "D-iPNDM of four points: a share of the combined noise.",
)
d_deis_rhoab_3 = _distilled(
    "d_deis_rhoab_3",
    distilled(RATIO, 3),
    "reference code",
    "D-DEIS of three points, rhoAB: a share of the combined noise.",
)
d_dpmpp_2m = _distilled(
    "d_dpmpp_2m",
    distilled(DATA, 2, DPM_2M),
    "data prediction, on another base",
    "The same adjustment of DPM-Solver++(2M).",
)


def _edm(T: Trace, grid: Any, shares: Sequence[Any] | None = None) -> None:
    shares = one_per_step("shares", shares, 2 * len(grid.h), 0.0)
    before: Form | None = None
    for i, (s, t) in enumerate(T.steps(grid)):
        e = T.evaluate(T.x, s)
        if not RATIO.regular(s, t):
            T.x = transfer(T.x, s, t, e.data)
            continue
        ratio, step = RATIO.ratio(s, t), RATIO.gain(t) * RATIO.step(T, s, t)
        x = ratio * T.x + step * e.noise
        x = x if before is None else x + (t.alpha * shares[2 * i]) * (e.data - before)
        before = e.data
        if not t.clean:
            again = T.evaluate(x, t)
            x = ratio * T.x + (0.5 * step) * e.noise + (0.5 * step) * again.noise
            x = x + (t.alpha * shares[2 * i + 1]) * (again.data - before)
            before = again.data
        T.x = x


d_edm = named(
    "d_edm",
    _edm,
    "D-EDM: Heun's method in ``sigma / alpha``, after both of its stages a share of the last change of the data.",
    order=1,
    cold=1,
    cite="kim2024dode",
    eq="reference code",
    family="learned one-step",
    note="of order two without shares",
)


def distill(solver: Solver, trajectories: Trajectories, grid: Grid) -> Learned:
    """The shares of a sampler of this module, in closed form, against the exact trajectories.

    Args:
        solver: with an option ``shares`` on which the state after a step depends affinely.
        trajectories: their states at the grid's levels are the teacher's.

    Returns:
        the sampler with its shares; its ``loss`` is the root mean square distance after every step.
    """
    x = trajectories.at(grid.levels[0])
    shares = [0.0] * len(grid.h)
    loss = []

    def after(step: int, share: float) -> np.ndarray:
        tried = [*shares[:step], share, *shares[step + 1 :]]
        return state_after(compile(solver, grid, shares=tried), trajectories.target, x, step + 1)

    for i, level in enumerate(grid.levels[1:]):
        goal = trajectories.at(level)
        base, moved = after(i, 0.0), after(i, 1.0)
        shares[i] = projection(base, moved, goal)
        loss.append(float(np.sqrt(((after(i, shares[i]) - goal) ** 2).sum(-1).mean())))
    return Learned(solver.with_options(shares=tuple(shares)), grid, tuple(loss))


def distill_edm(trajectories: Trajectories, grid: Grid) -> Learned:
    """The shares of :data:`d_edm` in closed form, stage after stage: both are brought near to the trajectory at the end
    of their step.

    A share moves along the difference of two data predictions, which are of one level where a step begins: the better
    the stage before it the less there is to move along, and nothing once that stage was exact.

    Their teacher has ``C`` steps per stage, and for the first stage of a step the target is its state in the middle of
    the step, another level than the stage's own; here it is the state at that level.

    Returns:
        the sampler with its shares; its ``loss`` is the root mean square distance after every stage.
    """
    x = trajectories.at(grid.levels[0])
    shares = [0.0] * (2 * len(grid.h))
    loss = []

    def after(place: int, share: float) -> np.ndarray:
        tried = [*shares[:place], share, *shares[place + 1 :]]
        plan = compile(d_edm, grid, shares=tried)
        asked: list[np.ndarray] = []

        def model(x: np.ndarray, level: Level) -> np.ndarray:
            asked.append(x)
            return trajectories.target.predict(x, level, "data")

        end = state_after(plan, model, x, place // 2 + 1)
        # the second evaluation of a step is made at what its first stage gives
        return asked[-1] if place % 2 == 0 and not plan.levels[place // 2 + 1].clean else end

    for place in range(len(shares)):
        level = grid.levels[place // 2 + 1]
        if level.clean and place % 2:
            continue
        goal = trajectories.at(level)
        base, moved = after(place, 0.0), after(place, 1.0)
        shares[place] = projection(base, moved, goal)
        loss.append(float(np.sqrt(((after(place, shares[place]) - goal) ** 2).sum(-1).mean())))
    return Learned(d_edm.with_options(shares=tuple(shares)), grid, tuple(loss))
