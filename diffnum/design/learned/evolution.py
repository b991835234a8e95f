"""S^3: the decisions of a sampler searched by evolution, at a given cost (Liu et al. 2024).

A population of grids with a list of decisions (:mod:`.usf`) each is bred: parents by tournament, children by crossing
over step by step and key by key and by mutation. The paper trains a predictor of its score, since a score costs
thousands of calls; on a surrogate the error itself is cheap and exact, and is the fitness.

Searched are the variable and the quantity of every step, its order, estimates, relaxations, start and corrector, the
levels, and whether the first step is analytic. Two things differ from the paper's: there the variable is always
log-SNR, and here steps are neither added nor taken away, so that their number is that of one of the grids to begin
with. Of its decisions the basis of DPM-Solver-v3 and the network's skip coefficients are left out, which have no
meaning without a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...grid import Grid, through
from ...plan import Plan
from ...solvers.coords import ANGLE, CLOCK, DATA, NOISE, RATIO, SNR, Coords
from ...trace import Solver, compile
from ..trajectories import Trajectories
from .fitting import Learned
from .taylor import RELAXATIONS, Taylor, ahead, bh2, plain
from .usf import NONE, VARIABLES, Corrector, Step, corrected_steps, multistep_steps, strategy

__all__ = ["Decisions", "Space", "evolve", "presets"]

HIGHEST = 4
DEEPEST = 2


@dataclass(frozen=True)
class Decisions:
    """All that is decided of a sampler.

    Attributes:
        grid: its levels.
        steps: one decision for each of its steps.
        analytic: spare the first evaluation.
    """

    grid: Grid
    steps: tuple[Step, ...]
    analytic: bool = False

    @property
    def solver(self) -> Solver:
        """The sampler, for :attr:`grid`."""
        return strategy.with_options(steps=self.steps, analytic=self.analytic)

    def plan(self, prediction: str = "data") -> Plan:
        """The plan for a model of ``prediction``."""
        return compile(self.solver, self.grid, prediction)


@dataclass(frozen=True)
class Space:
    """What may be decided beside orders, estimates, relaxations, starts and correctors.

    Attributes:
        variables: of a step; the published ones are the first two.
        shift: how far a level inside the grid moves at once, at most, as a share of the way in log-SNR to its nearer
            neighbour; 0 leaves the grids as they are. (The paper multiplies a time by a random number around one.)

    Raises:
        ValueError: no variable, or a shift with which levels may meet.
    """

    variables: tuple[Coords, ...] = VARIABLES
    shift: float = 0.3

    def __post_init__(self) -> None:
        if not self.variables:
            raise ValueError("variables = () leaves nothing to take a step in: give one or more")
        if not 0 <= self.shift < 1:
            raise ValueError(f"shift = {self.shift!r} is no share of the way to another level: use 0 to below 1")

    def holds(self, steps: Sequence[Step]) -> bool:
        """Whether all steps are taken in variables that are allowed."""
        return all(step.coords in self.variables for step in steps)


def presets(grid: Grid) -> dict[str, tuple[Step, ...]]:
    """Known samplers of one call per step as decisions, by their names."""
    bashforth = (("deis_rhoab_{}", RATIO), ("snr_ab{}", SNR), ("trig_ab{}", ANGLE), ("ab{}", CLOCK))
    found = {"ddim": (Step(),) * len(grid.h), "euler": (Step(CLOCK),) * len(grid.h)}
    for name, coords in (("", DATA), ("_noise", NOISE)):
        found |= {f"exp_ab{k}{name}": multistep_steps(grid, coords, k) for k in (2, 3, 4)}
        found |= {f"unipc_{k}{name}": corrected_steps(grid, coords, k) for k in (1, 2, 3)}
    for name, coords in bashforth:
        found |= {name.format(k): multistep_steps(grid, coords, k) for k in (2, 3)}
    return found | {
        "dpmpp_2m": multistep_steps(grid, DATA, 2, (plain(1), plain(2, (bh2,)))),
        "dpmpp_3m_corrected": multistep_steps(grid, DATA, 3, (plain(1), plain(2, (bh2,)))),
    }


@dataclass(frozen=True)
class _Pool:
    """The population with its errors, and how to ask for more."""

    lists: dict[Decisions, float]
    error: Callable[[Decisions], float]

    def add(self, made: Decisions) -> None:
        if made not in self.lists:
            self.lists[made] = self.error(made)

    def best(self, count: int) -> _Pool:
        kept = sorted(self.lists, key=self.lists.__getitem__)[:count]
        return replace(self, lists={made: self.lists[made] for made in kept})


def evolve(
    trajectories: Trajectories,
    grids: Grid | Sequence[Grid],
    nfe: int | None = None,
    space: Space | None = None,
    population: int = 24,
    generations: int = 20,
    seed: int = 0,
    judge: Trajectories | None = None,
    known: Sequence[Decisions] = (),
) -> Learned:
    """The best decisions found, bred from :func:`presets` on every grid; never worse than they, nor than those known,
    on the trajectories that it is chosen by.

    Args:
        trajectories: whose error is the fitness.
        grids: one or more to begin with, of any numbers of steps.
        nfe: calls allowed; default one per step of the first grid. With more calls than steps implicit correctors come
            into play, on a grid of one step more the analytic first step.
        space: what may be decided; default everything.
        population: lists that survive a generation.
        generations: how often as many children are bred.
        seed: of all choices.
        judge: other trajectories, by which the winner is chosen among the last population, the presets and those known,
            which guards against decisions that suit the first ones alone.
        known: further decisions to begin with, such as what a search of a smaller space has found.

    Returns:
        the sampler and its grid; its ``loss`` is the least error after every generation, that of the beginning first.

    Raises:
        ValueError: no population; no grid; nothing to begin with that costs so few calls.
    """
    if population < 2:
        raise ValueError(f"population = {population} breeds nothing: use at least 2")
    begun = [grids] if isinstance(grids, Grid) else list(grids)
    if not begun:
        raise ValueError("grids = () leaves no levels to begin with: give one grid or more")
    allowed, space = len(begun[0].h) if nfe is None else nfe, space or Space()
    first = [made for made in (*_beginnings(begun, space), *known) if made.plan().nfe <= allowed]
    if not first:
        raise ValueError(f"nfe = {allowed} pays for no known sampler on these grids: allow more calls, or fewer steps")

    def error(made: Decisions) -> float:
        plan = made.plan()
        return _error(plan, trajectories) if plan.nfe <= allowed else math.inf

    pool, loss = _bred(_Pool({made: error(made) for made in first}, error), space, population, generations, seed)
    winner = next(iter(pool.lists))
    if judge is not None:
        winner = min([*pool.lists, *first], key=lambda made: _error(made.plan(), judge))
    return Learned(winner.solver, winner.grid, loss)


def _beginnings(grids: Sequence[Grid], space: Space) -> Iterator[Decisions]:
    for grid in grids:
        lists = [steps for steps in presets(grid).values() if space.holds(steps)]
        # without a preset in these variables the method of first order in the first of them
        for steps in lists or [(Step(space.variables[0]),) * len(grid.h)]:
            yield Decisions(grid, steps)
            if len(grid.h) > 1:
                yield Decisions(grid, steps, analytic=True)


def _bred(pool: _Pool, space: Space, population: int, generations: int, seed: int) -> tuple[_Pool, tuple[float, ...]]:
    rng = np.random.default_rng(seed)
    loss = [min(pool.lists.values())]
    for _ in range(generations):
        parents = list(pool.lists)
        for _ in range(population):
            a, b = (_tournament(pool, parents, rng) for _ in range(2))
            pool.add(_mutated(_crossed(a, b, rng), space, rng))
        pool = pool.best(population)
        loss.append(min(pool.lists.values()))
    return pool.best(population), tuple(loss)


def _error(plan: Plan, trajectories: Trajectories) -> float:
    # unstable decisions may overflow, which makes them no candidates
    with np.errstate(all="ignore"):
        error = trajectories.error(plan)
    return error if np.isfinite(error) else math.inf


def _tournament(pool: _Pool, parents: Sequence[Decisions], rng: np.random.Generator) -> Decisions:
    drawn = rng.integers(len(parents), size=3)
    return min((parents[i] for i in drawn), key=pool.lists.__getitem__)


def _crossed(a: Decisions, b: Decisions, rng: np.random.Generator) -> Decisions:
    """The grid of either parent, and step by step a whole step of either, or one's predictor with the other's
    corrector; the first parent alone where the other has more or fewer steps."""
    if len(a.steps) != len(b.steps):
        return a
    child = []
    for p, q in zip(a.steps, b.steps, strict=True):
        kind = rng.integers(4)
        child.append(p if kind < 2 else q if kind == 2 else replace(p, corrector=q.corrector))
    return replace(a, grid=b.grid if rng.integers(4) == 0 else a.grid, steps=tuple(child))


def _mutated(made: Decisions, space: Space, rng: np.random.Generator) -> Decisions:
    changed = list(made.steps)
    for _ in range(int(rng.integers(1, 3))):
        i = int(rng.integers(len(changed)))
        changed[i] = _changed(changed[i], i, space, rng)
    grid = _shifted(made.grid, space.shift, rng) if space.shift and rng.integers(2) else made.grid
    analytic = made.analytic ^ bool(len(changed) > 1 and rng.integers(16) == 0)
    return Decisions(grid, tuple(changed), analytic)


def _shifted(grid: Grid, shift: float, rng: np.random.Generator) -> Grid:
    """One level inside the grid moved towards a neighbour."""
    if len(grid.h) < 2:
        return grid
    i = int(rng.integers(1, len(grid.h)))
    # infinite from pure noise and to the clean level, where any way is as good
    way = min((h for h in grid.h[i - 1 : i + 1] if math.isfinite(h)), default=1.0)
    level = grid.process.at(grid.levels[i].lam + way * shift * float(rng.uniform(-1, 1)))
    return through(grid.process, [*grid.levels[:i], level, *grid.levels[i + 1 :]], grid.end)


def _changed(step: Step, i: int, space: Space, rng: np.random.Generator) -> Step:
    key = int(rng.integers(5))
    if key == 0:
        return replace(step, coords=space.variables[int(rng.integers(len(space.variables)))])
    if key == 1:
        back = int(rng.integers(min(i, DEEPEST) + 1))
        return replace(step, back=back, taylor=_polynomial(i, back, rng))
    if key == 2:
        return replace(step, taylor=_polynomial(i, step.back, rng))
    if key == 3:
        return replace(step, taylor=_relaxed(step.taylor, rng))
    if step.corrector.taylor is not None and rng.integers(2):
        return replace(step, corrector=NONE)
    correct = _relaxed(ahead(int(rng.integers(2, min(i + 2, HIGHEST) + 1))), rng)
    return replace(step, back=0, taylor=plain(min(step.taylor.order, i + 1)), corrector=Corrector(correct, _coin(rng)))


def _polynomial(i: int, back: int, rng: np.random.Generator) -> Taylor:
    """Any order that the evaluations so far allow, each derivative from any number of the newest of them."""
    others = [j for j in range(i + 1) if j != back][: HIGHEST - 1]
    order = int(rng.integers(1, len(others) + 2))
    sets = [tuple(others[: int(rng.integers(k, len(others) + 1))]) for k in range(1, order)]
    return _relaxed(Taylor(tuple(sets)), rng)


def _relaxed(taylor: Taylor, rng: np.random.Generator) -> Taylor:
    return replace(taylor, relaxations=(RELAXATIONS[int(rng.integers(len(RELAXATIONS)))],))


def _coin(rng: np.random.Generator) -> Any:
    return bool(rng.integers(4) == 0)
