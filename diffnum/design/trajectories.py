"""Exact trajectories of the probability flow on a surrogate, and how far from their ends a plan arrives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..plan import Level, Plan
from ..read.sample import sample
from ..targets.gaussian import Gaussian
from ..targets.product import Product1D
from .sensitivity import Numbers, sensitivities

__all__ = ["DATA", "Trajectories"]

DATA = Level(0.0, 1.0, 0.0)
"""The clean level, where trajectories end."""

Follow = Callable[[Any, np.ndarray, Level, float], np.ndarray]
"""``follow(law, x, start, tol)``: ends at the clean level, nan where they are not verified."""

# the reference is verified for a batch at once: one point near a watershed costs few others their place
_BATCH = 32
_TANGENTS = 128


def verified(law: Any, x: np.ndarray, start: Level, tol: float) -> np.ndarray:
    """Ends by the law's own flow; nan for points whose reference is not verified."""
    try:
        return _flow(law, x, start, DATA, tol)
    except ValueError:
        if len(x) == 1:
            return np.full_like(x, np.nan)
        half = len(x) // 2
        return np.concatenate([verified(law, part, start, tol) for part in (x[:half], x[half:])])


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Points of a law at a level of noise, and where the exact probability flow takes them.

    A plan is judged by the root mean square, over trajectories, of the Euclidean distance between its output and the
    trajectory's end at the clean level,

        error^2 = mean_k |plan(x_k(plan.start)) - x_k(0)|^2,

    where ``x_k`` at the plan's first level is followed exactly from ``start`` too: plans that begin elsewhere are
    judged on the same trajectories.

    Attributes:
        target: a law with ``predict`` and ``flow`` (:class:`diffnum.Mixture`, :class:`diffnum.Empirical`, ...).
        start: the level where the points are known.
        x: ``(n, d)``, float64.
        end: ``(n, d)``, at the clean level.
        tol: of the flow, see :func:`diffnum.targets.reference.reference_flow`.
    """

    target: Any
    start: Level
    x: np.ndarray
    end: np.ndarray
    tol: float = 1e-6
    _at: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def draw(
        cls, target: Any, start: Level, n: int, seed: int = 0, tol: float = 1e-6, follow: Follow = verified
    ) -> Trajectories:
        """``n`` trajectories from the law's marginal at ``start``.

        Points near a watershed, whose end is not verified to ``tol``, are left out and others drawn.

        Args:
            target, start, seed, tol: as above.
            n: how many.
            follow: the law's own flow, or :func:`diffnum.design.following.follow`, which is several times quicker.

        Raises:
            ValueError: ``n`` is no number of points; more than half of the points are near watersheds.
        """
        if not (isinstance(n, int) and n >= 1):
            raise ValueError(f"n = {n!r} is no number of trajectories: use a whole number >= 1")
        x = target.sample(2 * n, seed, start)
        kept, ends = [], []
        for i in range(0, len(x), _BATCH):
            end = follow(target, x[i : i + _BATCH], start, tol)
            known = np.isfinite(end).all(axis=-1)
            kept.append(x[i : i + _BATCH][known])
            ends.append(end[known])
            if sum(map(len, kept)) >= n:
                return cls(target, start, np.concatenate(kept)[:n], np.concatenate(ends)[:n], tol)
        raise ValueError(
            f"the flow of this {type(target).__name__} is verified to {tol:g} for {sum(map(len, kept))} of {2 * n} "
            "points: loosen tol, or fit fewer and wider components"
        )

    def __len__(self) -> int:
        return len(self.x)

    def first(self, n: int) -> Trajectories:
        """The first ``n`` of them."""
        return self.take(np.arange(min(n, len(self))))

    def take(self, rows: np.ndarray) -> Trajectories:
        """Those of some rows."""
        known = {key: x[rows] for key, x in self._at.items()}
        return replace(self, x=self.x[rows], end=self.end[rows], _at=known)

    def at(self, level: Level) -> np.ndarray:
        """The trajectories at another level, exactly; ``(n, d)``."""
        if level == self.start:
            return self.x
        key = (level.alpha, level.sigma)
        if key not in self._at:
            batches = range(0, len(self.x), _BATCH)
            self._at[key] = np.concatenate(
                [_flow(self.target, self.x[i : i + _BATCH], self.start, level, self.tol) for i in batches]
            )
        return self._at[key]

    def outputs(self, plan: Plan) -> np.ndarray:
        """What the plan makes of the trajectories' points at its first level; ``(n, d)``."""
        return sample(plan, self.target, self.at(plan.start))

    def slopes(self, made: Numbers, start: Level, dtype: Any = np.float64) -> np.ndarray:
        """Derivatives of the outputs of a plan from ``start`` by its free numbers, ``(n, d, parameters)``; see
        :func:`diffnum.design.sensitivity.sensitivities`."""
        x = self.at(start)
        parts = [x[i : i + _TANGENTS] for i in range(0, len(x), _TANGENTS)]
        return np.concatenate([sensitivities(made, self.target, part, dtype)[1] for part in parts])

    def squares(self, plan: Plan) -> np.ndarray:
        """Squared distance to the end, per trajectory; ``(n,)``.

        Raises:
            ValueError: a plan that draws noise, which follows no trajectory.
        """
        if plan.draws:
            raise ValueError(f"{plan.solver} draws noise and follows no trajectory: judge it by dn.w2 on a Gaussian")
        return ((self.outputs(plan) - self.end) ** 2).sum(axis=-1)

    def error(self, plan: Plan) -> float:
        """Root mean square distance to the ends."""
        return float(np.sqrt(self.squares(plan).mean()))


def _flow(target: Any, x: np.ndarray, s: Level, t: Level, tol: float) -> np.ndarray:
    """The law's own flow, which has a tolerance unless it is closed."""
    if isinstance(target, (Gaussian, Product1D)):
        return target.flow(x, s, t)
    return target.flow(x, s, t, tol)
