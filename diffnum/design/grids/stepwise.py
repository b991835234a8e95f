"""Step sizes by dynamic programming along a fine run: BOSS, GITS and OSS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...grid import Grid
from .paths import shortest
from .teacher import Teacher

__all__ = [
    "boss",
    "boss_costs",
    "deviation_costs",
    "gits",
    "l1_costs",
    "l2_costs",
    "oss",
    "oss_corrected",
    "oss_published",
]

Costs = Callable[[Teacher], np.ndarray]


def boss_costs(teacher: Teacher) -> np.ndarray:
    """``c_ij = E |x_i + (t_j - t_i) v_i - x_j|^2``, ``(N + 1, N + 1)`` (Nguyen, Nguyen & Nguyen 2024; sampling.py of
    the authors).

    Of every run whose predictions do not change, straight ones in ``x / alpha``, all are zero; so is each ``c_i,i+1``.
    """
    return _table(teacher, lambda i: ((teacher.leaps(i) - teacher.states[i + 1 :]) ** 2).sum(-1).mean(-1))


def boss(teacher: Teacher, n: int) -> Grid:
    """Bellman optimal step sizes: the ``n`` steps whose :func:`boss_costs` have the least sum.

    The sum is a proxy: what one step errs is neither carried along nor cancelled by the others.
    :func:`diffnum.design.grids.certified_w2` minimises the error itself where it can be had. The paper goes on to
    train the network for straight runs between these levels, which is left out.

    Raises:
        ValueError: more steps than the teacher has.
    """
    return teacher.through(shortest(boss_costs(teacher), n).nodes)


def l1_costs(teacher: Teacher) -> np.ndarray:
    """``E |y_{i->j} - y_j|_1``, ``y = x / alpha`` (Chen et al. 2024, metric L1)."""
    return _table(teacher, lambda i: np.abs(_leaps(teacher, i) - _states(teacher)[i + 1 :]).sum(-1).mean(-1))


def l2_costs(teacher: Teacher) -> np.ndarray:
    """``E |y_{i->j} - y_j|_2``, ``y = x / alpha`` (Chen et al. 2024, metric L2)."""
    return _table(teacher, lambda i: np.linalg.norm(_leaps(teacher, i) - _states(teacher)[i + 1 :], axis=-1).mean(-1))


def deviation_costs(teacher: Teacher) -> np.ndarray:
    """``E [dev(y_{i->j}) - dev(y_j)]``, the published metric: how much farther than the run's own state a step ends
    from the straight line between the run's ends (Chen et al. 2024; gits_utils.py of the authors). Entries may be
    negative."""
    first, last = _states(teacher)[[0, -1]]
    own = _from_line(_states(teacher), first, last)
    return _table(teacher, lambda i: (_from_line(_leaps(teacher, i), first, last) - own[i + 1 :]).mean(-1))


def gits(teacher: Teacher, n: int, coefficient: float = 1.15, costs: Costs = deviation_costs) -> Grid:
    """Geometry-inspired time scheduling (Chen et al. 2024): dynamic programming in which what follows a
    step counts ``coefficient`` times, so that errors made late, of which the run cannot recover, weigh more.

    Args:
        teacher: published with 60 steps of ``rho = 7``.
        n: number of steps.
        coefficient: published as 1.15, found by search.
        costs: :func:`deviation_costs`, :func:`l1_costs` or :func:`l2_costs`.
    """
    return teacher.through(shortest(costs(teacher), n, coefficient).nodes)


def oss_published(teacher: Teacher, n: int) -> np.ndarray:
    """Optimal stepsizes as the authors' code finds them (Pei, Hu & Gu 2025), one list of levels per trajectory.

    After ``k`` steps one state is kept per level ``j``, the one nearest to the run's own ``x_j``:

        z_k[j] = argmin_i |z_{k-1}[i] + step(i -> j) - x_j|^2,

    where a level that no ``k`` steps reach better keeps what fewer did. Four things follow. It is greedy in the state:
    what is nearest to ``x_j`` need not lead nearest to the end. The first step may begin below the first level, which
    reads ``x_T`` as if it were less noisy. A list may repeat its first level, which wastes a call. And where a state
    was kept from fewer steps the list is traced through later ones, so that it leads elsewhere than to the state whose
    cost was recorded: more steps can end farther off. :func:`oss_corrected` traces what was kept.

    Returns:
        ``(m, n)`` indices of the levels where the model is called, the first call first.
    """
    calls = [np.full(teacher.states.shape[1], len(teacher.grid) - 1)]
    for came, _ in reversed(_greedy(teacher, n)):
        calls.append(came[calls[-1], np.arange(len(calls[0]))])
    return np.stack(calls[:0:-1], axis=1)


def oss_corrected(teacher: Teacher, n: int) -> list[tuple[int, ...]]:
    """:func:`oss_published` with lists that lead to the states that were kept: of at most ``n`` levels each, and never
    farther from the run's end than with fewer."""
    searched = _greedy(teacher, n)
    lists = []
    for sample in range(teacher.states.shape[1]):
        level, k, calls = len(teacher.grid) - 1, n - 1, []
        while k >= 0 and searched[k][1][level, sample] >= 0:
            came, when = searched[k]
            # the step that made the state read what the round before had kept
            level, k = int(came[level, sample]), int(when[level, sample]) - 1
            calls.append(level)
        lists.append(tuple(calls[::-1]))
    return lists


def _greedy(teacher: Teacher, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """After each of ``n`` rounds from which level each state came, and in which round; -1 for ``x_T`` itself."""
    if not (isinstance(n, int) and n >= 1):
        raise ValueError(f"n = {n!r} is no number of steps: use an integer >= 1")
    size, (m, d) = len(teacher.grid), teacher.states.shape[1:]
    best = np.full((size, m), np.inf)
    came, when = np.zeros((size, m), dtype=int), np.full((size, m), -1)
    before = np.broadcast_to(teacher.states[0], (size, m, d)).copy()
    after, rounds = before.copy(), []
    for k in range(n):
        for i in range(size - 1):
            reached = teacher.steps_from(i, before[i], teacher.denoise(before[i], i))
            cost = ((reached - teacher.states[i + 1 :]) ** 2).mean(-1)
            better = cost < best[i + 1 :]
            for kept, new in ((best, cost), (after, reached)):
                kept[i + 1 :][better] = new[better]
            came[i + 1 :][better], when[i + 1 :][better] = i, k
        rounds.append((came.copy(), when.copy()))
        before = after.copy()
    return rounds


def oss(teacher: Teacher, n: int) -> Grid:
    """Optimal stepsizes for a batch: greedy in the state as published, from the first level on and with exactly ``n``
    steps; over the trajectories the median of each level is taken, as the authors do.

    Raises:
        ValueError: more steps than the teacher has.
    """
    size = len(teacher.grid)
    if not (isinstance(n, int) and 1 <= n < size):
        raise ValueError(f"n = {n!r} steps along a run of {size - 1}: use 1 to {size - 1}")
    m, d = teacher.states.shape[1:]
    rows = np.arange(m)
    before = np.broadcast_to(teacher.states[0], (size, m, d))
    traces = []
    for k in range(n):
        best = np.full((size, m), np.inf)
        came = np.zeros((size, m), dtype=int)
        after = np.zeros((size, m, d))
        # k steps have reached level k at the least
        for i in range(k, size - 1 if k else 1):
            reached = teacher.steps_from(i, before[i], teacher.denoise(before[i], i))
            cost = ((reached - teacher.states[i + 1 :]) ** 2).mean(-1)
            better = cost < best[i + 1 :]
            best[i + 1 :][better] = cost[better]
            came[i + 1 :][better] = i
            after[i + 1 :][better] = reached[better]
        traces.append(came)
        before = after
    nodes = [np.full(m, size - 1)]
    for trace in reversed(traces):
        nodes.append(trace[nodes[-1], rows])
    # integers that rise by one at least have medians that do
    ordered = np.sort(np.stack(nodes[::-1]), axis=1)
    return teacher.through(((ordered[:, m // 2] + ordered[:, (m - 1) // 2]) // 2).tolist())


def _table(teacher: Teacher, row: Callable[[int], np.ndarray]) -> np.ndarray:
    size = len(teacher.grid)
    costs = np.full((size, size), np.inf)
    for i in range(size - 1):
        costs[i, i + 1 :] = row(i)
    return costs


def _alphas(teacher: Teacher) -> np.ndarray:
    return np.array([level.alpha for level in teacher.grid.levels])[:, None, None]


def _states(teacher: Teacher) -> np.ndarray:
    if teacher.grid[0].pure_noise:
        raise ValueError("GITS measures x / alpha, which is infinite at alpha = 0: start the teacher at alpha > 0")
    return teacher.states / _alphas(teacher)


def _leaps(teacher: Teacher, i: int) -> np.ndarray:
    return teacher.leaps(i) / _alphas(teacher)[i + 1 :]


def _from_line(y: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Distance ``(k, m)`` of points ``(k, m, d)`` from the lines through ``first`` and ``last``, ``(m, d)``."""
    along = (last - first) / np.linalg.norm(last - first, axis=-1, keepdims=True)
    apart = y - last
    return np.linalg.norm(apart - (apart * along).sum(-1, keepdims=True) * along, axis=-1)
