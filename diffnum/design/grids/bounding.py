"""The path of least error, where that is a convex function of sums over steps: bounds by tangents, and branching."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .paths import Path, shortest

__all__ = ["Measure", "Optimum", "Search", "kl_measure", "w2_measure"]

_ROUNDS = 60
_HALVINGS = 50
_CONCAVE = -math.log(2)

Lengths = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Measure:
    """An error per direction as a function of ``L``.

    Attributes:
        error: ``f(L)``, not negative, zero at ``L = 0``.
        minorant: from the least ``L`` per direction to ``(g, g')``, a convex function below ``f`` from there on.
        least: from ``f`` to the negative ``L`` that has it; ``-inf`` where none has.
    """

    error: Lengths
    minorant: Callable[[np.ndarray], tuple[Lengths, Lengths]]
    least: Lengths


def w2_measure() -> Measure:
    """``f = (exp(L) - 1)^2``, concave below ``-log 2``: there the chord to the least ``L`` takes its place."""

    def error(total: np.ndarray) -> np.ndarray:
        return np.expm1(total) ** 2

    def minorant(least: np.ndarray) -> tuple[Lengths, Lengths]:
        touch, steep = _chord(least)
        height = np.expm1(np.maximum(touch, -700.0)) ** 2

        def value(total: np.ndarray) -> np.ndarray:
            return np.where(total < touch, height + steep * (total - np.maximum(touch, -700.0)), error(total))

        def slope(total: np.ndarray) -> np.ndarray:
            return np.where(total < touch, steep, 2 * np.expm1(total) * np.exp(total))

        return value, slope

    def least(value: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log1p(-np.sqrt(np.minimum(value, 1.0)))

    return Measure(error, minorant, least)


def kl_measure() -> Measure:
    """``f = (exp(2 L) - 1 - 2 L) / 2``, convex."""

    def error(total: np.ndarray) -> np.ndarray:
        return (np.expm1(2 * total) - 2 * total) / 2

    return Measure(error, lambda least: (error, lambda total: np.expm1(2 * total)), lambda value: -0.5 - value)


def _chord(least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the chord from ``least`` touches ``(exp(L) - 1)^2``, and its slope; ``-inf`` where none is needed."""
    concave = least < _CONCAVE
    low = np.maximum(least, -700.0)
    height = np.expm1(low) ** 2
    a, b = np.full_like(low, _CONCAVE), np.zeros_like(low)
    for _ in range(_HALVINGS):
        z = (a + b) / 2
        early = 2 * np.expm1(z) * np.exp(z) * (low - z) + np.expm1(z) ** 2 > height
        a, b = np.where(early, z, a), np.where(early, b, z)
    steep = (np.expm1(b) ** 2 - height) / (b - low)
    return np.where(concave, b, -np.inf), np.where(concave, steep, 0.0)


@dataclass(frozen=True)
class Relaxed:
    """A lower bound of a subproblem, the best path met on the way, and how much each level is used at the optimum."""

    bound: float
    value: float
    nodes: tuple[int, ...]
    used: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Optimum:
    """The best path found, its error, a lower bound of all errors, and the number of subproblems bounded."""

    nodes: tuple[int, ...]
    value: float
    bound: float
    searched: int


Nodes = frozenset[int]
_NONE: Nodes = frozenset()


@dataclass(frozen=True, eq=False)
class Search:
    """Paths of ``n`` steps whose error is ``sum_k weights_k f(L_k)``, ``L = sum logs`` over the steps.

    Attributes:
        logs: ``(N + 1, N + 1, d)``; ``-inf`` for no step; below the diagonal not read.
        weights: ``(d,)``, positive.
    """

    logs: np.ndarray
    weights: np.ndarray
    measure: Measure
    n: int

    @cached_property
    def _allowed(self) -> np.ndarray:
        return np.where(np.isfinite(self.logs).all(-1), 0.0, np.inf)

    @cached_property
    def _shortest(self) -> np.ndarray:
        """The least ``L`` that any path has, per direction."""
        return self._extreme(1.0)

    @cached_property
    def _singly(self) -> np.ndarray:
        """The least error that each direction has on a path of its own."""
        nearest = np.clip(0.0, self._shortest, -self._extreme(-1.0))
        return self.weights * self.measure.error(nearest)

    def _extreme(self, sign: float) -> np.ndarray:
        steps = np.where(self._allowed[..., None] == 0, sign * self.logs, np.inf)
        return np.array([shortest(steps[..., k], self.n).cost for k in range(len(self.weights))])

    def lengths(self, nodes: Sequence[int]) -> np.ndarray:
        """``L`` of a path, per direction."""
        return self.logs[list(nodes[:-1]), list(nodes[1:])].sum(0)

    def error(self, nodes: Sequence[int]) -> float:
        """Of a path."""
        return float(self.weights @ self.measure.error(self.lengths(nodes)))

    def _path(self, slopes: np.ndarray, inside: Nodes, outside: Nodes) -> Path:
        costs = self._allowed.copy()
        for j in outside:
            costs[j], costs[:, j] = np.inf, np.inf
        for j in inside:
            costs[:j, j + 1 :] = np.inf
        known = np.isfinite(costs)
        costs[known] = self.logs[known] @ slopes
        return shortest(costs, self.n)

    def relax(self, inside: Nodes = _NONE, outside: Nodes = _NONE, ceiling: float = math.inf) -> Relaxed:
        """A bound for paths that visit all levels ``inside`` and none ``outside``.

        No path whose error is below ``ceiling`` is below ``bound``: an ``L`` which, with what the other directions cost
        at least, exceeds the ceiling is out of the question. Given up early where the bound exceeds the ceiling.

        Raises:
            ValueError: no path obeys.
        """
        spare = np.maximum(ceiling - (self._singly.sum() - self._singly), 0.0)
        least = np.maximum(self._shortest, self.measure.least(spare / self.weights))
        value, slope = self.measure.minorant(least)
        path = self._path(-self.weights, inside, outside)
        point, used = self.lengths(path.nodes), self._visits(path.nodes)
        best, bound = path.nodes, -math.inf
        for _ in range(_ROUNDS):
            slopes, height = self.weights * slope(point), float(self.weights @ value(point))
            path = self._path(slopes, inside, outside)
            aim = self.lengths(path.nodes) - point
            bound = max(bound, height + float(slopes @ aim))
            best = min(best, path.nodes, key=self.error)
            if bound > ceiling or height - bound <= 1e-10 * abs(height):
                break
            share = self._along(slope, point, aim)
            point, used = point + share * aim, used + share * (self._visits(path.nodes) - used)
        return Relaxed(bound, self.error(best), best, used)

    def _along(self, slope: Lengths, point: np.ndarray, aim: np.ndarray) -> float:
        """The share of the way at which the minorant is least."""
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            falls = (self.weights * slope(point + middle * aim)) @ aim < 0
            low, high = (middle, high) if falls else (low, middle)
        return (low + high) / 2

    def _visits(self, nodes: Sequence[int]) -> np.ndarray:
        used = np.zeros(len(self.logs))
        used[list(nodes)] = 1
        return used

    def improve(self, nodes: tuple[int, ...]) -> tuple[int, ...]:
        """Levels moved one at a time for as long as that helps."""
        while True:
            moved = nodes
            for k in range(1, len(nodes) - 1):
                options = [(*moved[:k], j, *moved[k + 1 :]) for j in range(moved[k - 1] + 1, moved[k + 1])]
                moved = min((moved, *[o for o in options if self._exists(o)]), key=self.error)
            if moved == nodes:
                return nodes
            nodes = moved

    def _exists(self, nodes: Sequence[int]) -> bool:
        return bool(np.isfinite(self._allowed[list(nodes[:-1]), list(nodes[1:])]).all())

    def run(self, enough: Callable[[float, float], bool], subproblems: int) -> Optimum:
        """Branch and bound, the least bound first, until ``enough(bound, value)`` or ``subproblems`` are bounded."""
        nodes = self.improve(self.relax().nodes)
        value = self.error(nodes)
        root = self.relax(ceiling=value)
        count = itertools.count()
        queue = [(root.bound, next(count), _NONE, _NONE, root)]
        searched = 1
        while queue and searched < subproblems and not enough(queue[0][0], value):
            bound, _, inside, outside, node = heapq.heappop(queue)
            if bound >= value:
                continue
            for within, without in self._halves(inside, outside, node):
                try:
                    child = self.relax(within, without, value)
                except ValueError:
                    continue
                searched += 1
                if child.value < value:
                    nodes = self.improve(child.nodes)
                    value = self.error(nodes)
                if max(child.bound, bound) < value:
                    heapq.heappush(queue, (max(child.bound, bound), next(count), within, without, child))
        return Optimum(nodes, value, min([value, *(entry[0] for entry in queue)]), searched)

    def _halves(self, inside: Nodes, outside: Nodes, node: Relaxed) -> list[tuple[Nodes, Nodes]]:
        """With and without the level that the relaxation is least decided about."""
        doubt = np.abs(node.used - 0.5)
        doubt[[0, -1, *inside, *outside]] = np.inf
        j = int(doubt.argmin())
        return [(inside | {j}, outside), (inside, outside | {j})] if np.isfinite(doubt[j]) else []
