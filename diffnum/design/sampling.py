"""Trajectories of which the hard ones are drawn more often, and count for less.

Of few evaluations one trajectory in a hundred or in a thousand ends in another mode; these few are most of the error,
and a thousand trajectories hold one or ten of them. Of a pool of starting points, many times as many as are followed,
the half of those followed are the points that look hardest (:func:`.following.doubts`), and half are drawn from the
others: two strata, each counted for as many points as it stands for, so that means are those of the law whatever the
guess is worth (Cochran 1977, section 5.3). Where plans are known that will be held against each other, those look
hardest on which these end far from a finer run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..plan import Level, Plan
from .classes import Joined, shares
from .following import doubts, follow
from .trajectories import Trajectories
from .trial import Part

__all__ = ["stratified"]

_POOL = 4


def stratified(target: Any, start: Level, n: int, seed: int = 0, tol: float = 3e-4, plans: Sequence[Plan] = ()) -> Part:
    """``n`` trajectories of a law, or of several laws as many of each, and how often each counts; fewer where some are
    not verified.

    Args:
        target: a law; or a list of laws, such as one for each class under guidance.
        start: where they start, from the marginal there.
        n: how many.
        seed: of the pool and of the choice among the others.
        tol: of the ends, relative.
        plans: for which trajectories are hard, those of them that start at ``start``; without, for any.

    Raises:
        ValueError: more laws than trajectories.
    """
    if not isinstance(target, list):
        return Part(*_one(target, start, n, seed, tol, plans))
    parts = [
        _one(law, start, share, seed + 101 * k, tol, plans)
        for k, (law, share) in enumerate(zip(target, shares(n, len(target)), strict=True))
    ]
    return Part(Joined(tuple(drawn for drawn, _ in parts)), np.concatenate([weight for _, weight in parts]))


def _one(
    law: Any, start: Level, n: int, seed: int, tol: float, plans: Sequence[Plan]
) -> tuple[Trajectories, np.ndarray]:
    x = law.sample(_POOL * n, seed, start)
    order = np.argsort(-doubts(law, x, start, plans), kind="stable")
    hard, others = order[: n // 2], order[n // 2 :]
    others = np.random.default_rng(seed).choice(others, n - len(hard), replace=False)
    rows = np.concatenate([hard, others])
    each = (len(x) - len(hard)) / len(others)
    weight = np.where(np.arange(n) < len(hard), 1.0, each)
    mixed = np.random.default_rng(seed + 1).permutation(n)
    rows, weight = rows[mixed], weight[mixed]
    ends = follow(law, x[rows], start, tol)
    known = np.isfinite(ends).all(axis=-1)
    weight = weight[known] / weight[known].mean()
    return Trajectories(law, start, x[rows][known], ends[known], tol), weight
