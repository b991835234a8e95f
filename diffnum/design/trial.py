"""A trial: what a plan is asked to do on one surrogate, as a sum of independent parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..plan import Level, Plan
from ..targets.gaussian import Gaussian
from .classes import Joined
from .interval import Interval
from .trajectories import DATA, Trajectories

__all__ = ["Part", "Trial", "gaussian_part", "gaussian_trial"]

_CLASSES = 64


@dataclass(frozen=True)
class Part:
    """Trajectories in some of the coordinates, counted ``weight`` times: all of them, or each as often as it says."""

    trajectories: Trajectories | Joined
    weight: Any = 1.0

    def take(self, rows: np.ndarray, share: float = 1.0) -> Part:
        """Those of some rows, in their order, counted ``share`` times as often."""
        rows = np.sort(rows)
        return Part(self.trajectories.take(rows), share * (self.weight[rows] if np.ndim(self.weight) else self.weight))


@dataclass(frozen=True, eq=False)
class Trial:
    """A surrogate as the sum of parts whose coordinates are independent,

        error^2 = sum over parts of weight * mean_k |plan(x_k) - end_k|^2.

    A law of many dimensions is a mixture in the leading principal coordinates and a Gaussian in the others; of a
    Gaussian part one point is enough, with one standard deviation in every direction: its square is the expectation.

    Attributes:
        name: for tables.
        parts: of which those with more than one trajectory have equally many.
    """

    name: str
    parts: tuple[Part, ...]
    _known: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return max(len(part.trajectories) for part in self.parts)

    def first(self, n: int) -> Trial:
        """The same with at most ``n`` trajectories, evenly among all of them."""
        return self.take(np.unique(np.linspace(0, len(self) - 1, min(n, len(self))).astype(int)))

    def take(self, rows: np.ndarray) -> Trial:
        """The same with some of the trajectories, in their order; of a Gaussian part with the one that it has."""
        return Trial(self.name, tuple(p if len(p.trajectories) < len(self) else p.take(rows) for p in self.parts))

    def strata(self, plans: Sequence[Plan], each: int, seed: int = 0) -> Trial:
        """The trajectories that are hardest for some plans, and as many others at random that stand for all others.

        Of few evaluations one trajectory in a hundred ends in another mode, and these few are most of the error: in a
        random tenth of the trajectories there are hardly any. The mean of squares is that of all trajectories in
        expectation, because each stratum counts for as many as it stands for.

        Args:
            plans: hardness is the sum over them of a trajectory's square in units of the mean.
            each: trajectories of either kind.
            seed: of the others.
        """
        if len(self) <= 2 * each:
            return self
        means = [squares / max(squares.mean(), 1e-300) for squares in map(self.squares, plans)]
        order = np.argsort(-np.sum(means, axis=0), kind="stable")
        others = np.random.default_rng(seed).choice(order[each:], each, replace=False)
        strata = ((order[:each], each / len(self)), (others, 1 - each / len(self)))
        parts = []
        for part in self.parts:
            if len(part.trajectories) < len(self):
                parts.append(part)
            else:
                parts += [part.take(rows, share) for rows, share in strata]
        return Trial(self.name, tuple(parts))

    def squares(self, plan: Plan) -> np.ndarray:
        """Squared distance to the end, per trajectory, as often as it counts."""
        if plan.hash not in self._known:
            parts = (part.weight * part.trajectories.squares(plan) for part in self.parts)
            self._known[plan.hash] = sum(parts, np.zeros(len(self)))
        return self._known[plan.hash]

    def error(self, plan: Plan) -> float:
        """Root mean square distance to the ends."""
        return float(np.sqrt(self.squares(plan).mean()))

    def gain(self, plan: Plan, other: Plan, seed: int = 0) -> Interval:
        """By how much the error of ``plan`` is smaller than that of ``other``, relative to the latter,

            gain = 1 - error(plan) / error(other),

        with a 95 % interval over trajectories, which are the same for both plans. On a Gaussian both errors are exact
        and the interval has no width. Errors below those of the ends themselves count as these: a plan that ends with
        a full denoise arrives at a point of the data exactly, or at another one.
        """
        ends = sum(
            float((p.weight * ((t.tol * t.end) ** 2).sum(-1)).mean()) for p in self.parts for t in (p.trajectories,)
        )
        return Interval.bootstrap((self.squares(plan), self.squares(other)), partial(_gain, ends), seed)


def _gain(least: float, a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    return 1 - np.sqrt(np.maximum(a.mean(axis), least) / np.maximum(b.mean(axis), least))


def gaussian_part(variances: Any, start: Level) -> Part:
    """A centred Gaussian with these variances: one point, whose squared error is the expectation.

    Many variances are summed up in at most 64 of equal ratios, each standing for the mean of those in its class.
    """
    spectrum, counts = _classes(np.asarray(variances, dtype=np.float64).ravel())
    law = Gaussian(np.zeros(len(spectrum)), spectrum)
    # the denoiser is linear, so that a coordinate of sqrt(k) deviations stands for k coordinates
    x = np.sqrt(counts * (start.alpha**2 * spectrum + start.sigma**2))[None]
    return Part(Trajectories(law, start, x, law.flow(x, start, DATA)))


def _classes(variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(variances) <= _CLASSES:
        return variances, np.ones(len(variances))
    logs = np.log(np.maximum(variances, 1e-12 * variances.max()))
    edges = np.linspace(logs.min(), logs.max(), _CLASSES + 1)
    place = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, _CLASSES - 1)
    counts = np.bincount(place, minlength=_CLASSES)
    sums = np.bincount(place, variances, minlength=_CLASSES)
    return sums[counts > 0] / counts[counts > 0], counts[counts > 0].astype(float)


def gaussian_trial(name: str, variances: Any, start: Level) -> Trial:
    """A centred Gaussian alone; its error is that of the coupling that follows each trajectory, at least the W2."""
    return Trial(name, (gaussian_part(variances, start),))
