"""Evolutionary search over subsets of levels (AutoDiffusion's, without its search over network layers, and with the
whole score for every subset: there is no early stop after a first, rough one)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...grid import Grid, through

__all__ = ["Evolution", "evolve"]

Nodes = tuple[int, ...]


@dataclass(frozen=True)
class Evolution:
    """How a search breeds (Li et al. 2023).

    Attributes:
        population: subsets alive at a time.
        parents: the best of all seen that breed.
        generations: how often.
        crossing: share of children by crossing; others are mutants.
        mutation: probability that a mutant's level is replaced.
    """

    population: int = 50
    parents: int = 10
    generations: int = 30
    crossing: float = 0.5
    mutation: float = 0.25


def evolve(
    candidates: Grid,
    n: int,
    judge: Callable[[Grid], float],
    seed: int = 0,
    settings: Evolution | None = None,
    history: list[float] | None = None,
) -> Grid:
    """The ``n`` steps through levels of ``candidates`` that ``judge`` likes best.

    A child by crossing is ``n - 1`` levels drawn from its parents' union, one by mutation has each level replaced with
    a fixed probability. The best seen is never lost, so the error of generations does not rise.

    Args:
        candidates: the levels to choose from; both ends and the end policy are kept.
        judge: from a grid to its error, any callable; asked once per subset. One who says infinity or NaN is not liked.
        seed: of all draws.
        history: a list to which the least error after each generation is appended.

    Raises:
        ValueError: more steps than candidates have.
    """
    size = len(candidates)
    if not (isinstance(n, int) and 1 <= n < size):
        raise ValueError(f"n = {n!r} steps through {size} levels: use 1 to {size - 1}")
    settings = settings or Evolution()
    rng = np.random.default_rng(seed)
    known: dict[Nodes, float] = {}

    def grid(nodes: Nodes) -> Grid:
        return through(candidates.process, [candidates[i] for i in (0, *nodes, size - 1)], candidates.end)

    alive = [_draw(rng, np.arange(1, size - 1), n - 1) for _ in range(settings.population)]
    for generation in range(settings.generations):
        for nodes in alive:
            if nodes not in known:
                value = float(judge(grid(nodes)))
                known[nodes] = value if np.isfinite(value) else np.inf
        best = sorted(known, key=lambda nodes: (known[nodes], nodes))[: settings.parents]
        if history is not None:
            history.append(known[best[0]])
        if generation < settings.generations - 1:
            alive = [_child(rng, best, size, n - 1, settings) for _ in range(settings.population)]
    return grid(min(known, key=lambda nodes: (known[nodes], nodes)))


def _draw(rng: np.random.Generator, levels: np.ndarray, count: int) -> Nodes:
    return tuple(sorted(rng.choice(levels, size=count, replace=False).tolist()))


def _child(rng: np.random.Generator, parents: list[Nodes], size: int, count: int, settings: Evolution) -> Nodes:
    if rng.random() < settings.crossing:
        a, b = (parents[i] for i in rng.integers(len(parents), size=2))
        return _draw(rng, np.array(sorted({*a, *b}), dtype=int), count)
    parent = parents[rng.integers(len(parents))]
    kept = [i for i in parent if rng.random() >= settings.mutation]
    others = np.setdiff1d(np.arange(1, size - 1), kept)
    return tuple(sorted([*kept, *_draw(rng, others, count - len(kept))]))
