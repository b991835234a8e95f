"""Laws by class under classifier-free guidance: what a design for a guided network is made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..plan import Level, Plan
from ..targets.conditional import Conditional
from ..targets.mixture import Mixture, grouped, variance_floor
from .learned.guided import Guided
from .perturbed import reweighted
from .trajectories import Follow, Trajectories, verified

__all__ = ["Classes", "Joined", "shares"]

# of one class: more of them are followed slowly and say little more
_MOST = 6


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of samples, and how strongly a network is guided towards one of them.

    Attributes:
        labels: ``(n,)``, one class per sample.
        scale: of guidance, ``unconditional + scale (conditional - unconditional)``; 1 is the class itself.
    """

    labels: np.ndarray
    scale: float

    def rows(self, chosen: Any) -> Classes:
        """Those of some samples, by index or slice."""
        return replace(self, labels=self.labels[chosen])

    def laws(
        self, y: np.ndarray, components: int, fewest: int, seed: int, floor: float | None = None, spread: float = 0.0
    ) -> list[Guided]:
        """The guided law of each class: a mixture of Gaussians for each, ``components`` in all, each component of
        ``fewest`` samples or more on average, one at least; ``spread`` is that of weights, see
        :func:`.perturbed.reweighted`."""
        groups = grouped(y, self.labels)
        each = [max(1, min(components // len(groups), len(group) // fewest, _MOST)) for group in groups.values()]
        floor = variance_floor(y, floor)
        fitted = [
            reweighted(Mixture.fit(g, k, seed, floor=floor), seed + i, spread)
            for i, (g, k) in enumerate(zip(groups.values(), each, strict=True))
        ]
        family = Conditional(tuple(fitted), [len(group) for group in groups.values()], tuple(groups))
        return [Guided(family, label, self.scale) for label in groups]


def shares(n: int, count: int) -> list[int]:
    """``n`` trajectories, as many of each of ``count`` laws.

    Raises:
        ValueError: fewer trajectories than laws.
    """
    if n < count:
        raise ValueError(f"{n} trajectories do not reach {count} classes: draw one for each or more")
    return [n // count + (k < n % count) for k in range(count)]


@dataclass(frozen=True, eq=False)
class Joined:
    """Trajectories towards several classes, read like :class:`Trajectories` of one law."""

    parts: tuple[Trajectories, ...]

    @classmethod
    def draw(
        cls, laws: Sequence[Any], start: Level, n: int, seed: int = 0, tol: float = 1e-6, follow: Follow = verified
    ) -> Joined:
        """``n`` trajectories in all, as many of each law.

        Raises:
            ValueError: fewer trajectories than laws; otherwise as :meth:`Trajectories.draw`.
        """
        return cls(
            tuple(
                Trajectories.draw(law, start, share, seed + 101 * k, tol, follow)
                for k, (law, share) in enumerate(zip(laws, shares(n, len(laws)), strict=True))
            )
        )

    @property
    def x(self) -> np.ndarray:
        """``(n, d)``, at the level where they start."""
        return np.concatenate([part.x for part in self.parts])

    @property
    def end(self) -> np.ndarray:
        """``(n, d)``, at the clean level."""
        return np.concatenate([part.end for part in self.parts])

    @property
    def tol(self) -> float:
        """Of the flow."""
        return max(part.tol for part in self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def first(self, n: int) -> Joined:
        """About ``n`` of them, as many of each class and at least one."""
        each = max(1, n // len(self.parts))
        return Joined(tuple(part.first(each) for part in self.parts))

    def take(self, rows: np.ndarray) -> Joined:
        """Those of some rows, class by class."""
        first = np.cumsum([0, *map(len, self.parts)])
        inside = [rows[(a <= rows) & (rows < a + len(part))] - a for a, part in zip(first, self.parts, strict=False)]
        return Joined(tuple(part.take(mine) for part, mine in zip(self.parts, inside, strict=True) if len(mine)))

    def outputs(self, plan: Plan) -> np.ndarray:
        """What the plan makes of the points at its first level."""
        return np.concatenate([part.outputs(plan) for part in self.parts])

    def slopes(self, made: Any, start: Level, dtype: Any = np.float64) -> np.ndarray:
        """Derivatives of the outputs, see :meth:`Trajectories.slopes`."""
        return np.concatenate([part.slopes(made, start, dtype) for part in self.parts])

    def squares(self, plan: Plan) -> np.ndarray:
        """Squared distance to the end, per trajectory."""
        return np.concatenate([part.squares(plan) for part in self.parts])

    def error(self, plan: Plan) -> float:
        """Root mean square distance to the ends."""
        return float(np.sqrt(self.squares(plan).mean()))
