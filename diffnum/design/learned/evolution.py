"""S^3: the decisions of a sampler searched by evolution, at a given cost (Liu et al. 2024).

A population of lists of decisions (:mod:`.usf`) is bred: parents by tournament, children by crossing over step by
step and key by key and by mutation. The paper trains a predictor of its score, since a score costs thousands of
calls; on a surrogate the error itself is cheap and exact, and is the fitness. Of the paper's decisions the levels, the
variable (always log-SNR) and the analytic first step are not searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...grid import Grid
from ...plan import Plan
from ...solvers.coords import DATA, NOISE
from ...trace import compile
from ..trajectories import Trajectories
from .fitting import Learned
from .usf import (
    NONE,
    RELAXATIONS,
    Corrector,
    Step,
    Taylor,
    ahead,
    bh2,
    corrected_steps,
    evaluations,
    multistep_steps,
    plain,
    strategy,
)

__all__ = ["evolve", "presets"]

HIGHEST = 4
DEEPEST = 2


def presets(grid: Grid) -> dict[str, tuple[Step, ...]]:
    """Known samplers of one call per step as decisions, by their names."""
    found = {"ddim": (Step(),) * len(grid.h)}
    for name, coords in (("", DATA), ("_noise", NOISE)):
        found |= {f"exp_ab{k}{name}": multistep_steps(grid, coords, k) for k in (2, 3, 4)}
        found |= {f"unipc_{k}{name}": corrected_steps(grid, coords, k) for k in (1, 2, 3)}
    return found | {
        "dpmpp_2m": multistep_steps(grid, DATA, 2, (plain(1), plain(2, (bh2,)))),
        "dpmpp_3m_corrected": multistep_steps(grid, DATA, 3, (plain(1), plain(2, (bh2,)))),
    }


@dataclass(frozen=True)
class _Pool:
    """The population with its errors, and how to ask for more."""

    lists: dict[tuple[Step, ...], float]
    error: Callable[[tuple[Step, ...]], float]

    def add(self, steps: tuple[Step, ...]) -> None:
        if steps not in self.lists:
            self.lists[steps] = self.error(steps)


def evolve(
    trajectories: Trajectories,
    grid: Grid,
    nfe: int | None = None,
    population: int = 24,
    generations: int = 20,
    seed: int = 0,
    judge: Trajectories | None = None,
) -> Learned:
    """The best decisions found, bred from :func:`presets`; never worse than they on the trajectories it is chosen by.

    Args:
        trajectories: whose error is the fitness.
        grid: the levels, which are not searched.
        nfe: calls allowed; default one per step. With more, implicit correctors come into play.
        population: lists that survive a generation.
        generations: how often as many children are bred.
        seed: of all choices.
        judge: other trajectories, by which the winner is chosen among the last population and the presets, which
            guards against decisions that suit the first ones alone.

    Returns:
        the sampler; its ``loss`` is the least error after every generation, the presets' first.

    Raises:
        ValueError: no population.
    """
    if population < 2:
        raise ValueError(f"population = {population} breeds nothing: use at least 2")
    rng = np.random.default_rng(seed)
    allowed = len(grid.h) if nfe is None else nfe

    def error(steps: tuple[Step, ...]) -> float:
        plan = compile(strategy, grid, steps=steps)
        return _error(plan, trajectories) if plan.nfe <= allowed else float("inf")

    pool = _Pool({}, error)
    for steps in presets(grid).values():
        pool.add(steps)
    loss = [min(pool.lists.values())]
    for _ in range(generations):
        parents = list(pool.lists)
        for _ in range(population):
            a, b = (_tournament(pool, parents, rng) for _ in range(2))
            pool.add(_mutated(_crossed(a, b, rng), rng))
        best = sorted(pool.lists, key=pool.lists.__getitem__)[:population]
        pool = replace(pool, lists={steps: pool.lists[steps] for steps in best})
        loss.append(pool.lists[best[0]])
    winner = min(pool.lists, key=pool.lists.__getitem__)
    if judge is not None:
        known = [steps for steps in presets(grid).values() if evaluations(steps, grid) <= allowed]
        winner = min([*pool.lists, *known], key=lambda steps: _error(compile(strategy, grid, steps=steps), judge))
    return Learned(strategy.with_options(steps=winner), grid, tuple(loss))


def _error(plan: Plan, trajectories: Trajectories) -> float:
    # unstable decisions may overflow, which makes them no candidates
    with np.errstate(all="ignore"):
        error = trajectories.error(plan)
    return error if np.isfinite(error) else float("inf")


def _tournament(pool: _Pool, parents: Sequence[tuple[Step, ...]], rng: np.random.Generator) -> tuple[Step, ...]:
    drawn = rng.integers(len(parents), size=3)
    return min((parents[i] for i in drawn), key=pool.lists.__getitem__)


def _crossed(a: tuple[Step, ...], b: tuple[Step, ...], rng: np.random.Generator) -> tuple[Step, ...]:
    """Step by step a whole step of either parent, or one parent's predictor with the other's corrector."""
    child = []
    for p, q in zip(a, b, strict=True):
        kind = rng.integers(4)
        child.append(p if kind < 2 else q if kind == 2 else replace(p, corrector=q.corrector))
    return tuple(child)


def _mutated(steps: tuple[Step, ...], rng: np.random.Generator) -> tuple[Step, ...]:
    changed = list(steps)
    for _ in range(int(rng.integers(1, 3))):
        i = int(rng.integers(len(steps)))
        changed[i] = _changed(changed[i], i, rng)
    return tuple(changed)


def _changed(step: Step, i: int, rng: np.random.Generator) -> Step:
    key = int(rng.integers(5))
    if key == 0:
        return replace(step, coords=NOISE if step.coords is DATA else DATA)
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
