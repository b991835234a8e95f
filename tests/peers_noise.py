"""Samplers that draw, theirs and ours, on unit vectors: inputs of the model and the output over start, calls and draws.

``x_T`` is the first unit vector, the ``k``-th data prediction has its own, and so has every draw. Draws are named by
their order among those that are used, so that a code may draw what it multiplies by zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch

import diffnum as dn
from diffnum.grid import Grid
from diffnum.plan import Plan
from diffnum.prediction import to_native

__all__ = ["Units", "apart", "drawing", "rows_of", "stepped"]

CALLS = 64
WIDTH = 2 * CALLS


@dataclass
class Units:
    """Hands out unit vectors and remembers the inputs of the model, in the scale of the grid's levels.

    Attributes:
        rows: what the model was called with, and at last the output.
        draws: normals handed out.
    """

    rows: list[np.ndarray] = field(default_factory=list)
    draws: int = 0

    def start(self) -> torch.Tensor:
        return self._unit(0)

    def data(self, x: torch.Tensor) -> torch.Tensor:
        """The next data prediction, at ``x``."""
        self.end(x)
        return self._unit(len(self.rows)).reshape(x.shape)

    def end(self, x: torch.Tensor) -> None:
        self.rows.append(x.detach().double().reshape(-1).numpy().copy())

    def normal(self, like: Any, *unused: Any, **options: Any) -> torch.Tensor:
        """The next draw."""
        self.draws += 1
        return self._unit(CALLS + self.draws - 1).reshape(getattr(like, "shape", like))

    def _unit(self, i: int) -> torch.Tensor:
        return torch.eye(1, WIDTH, dtype=torch.float64).roll(i, 1)

    def table(self) -> np.ndarray:
        """Rows over the start, the calls, and those draws that appear anywhere."""
        rows = np.stack(self.rows)
        used = np.abs(rows[:, CALLS:]).max(axis=0) > 0
        return np.concatenate([rows[:, : len(rows)], rows[:, CALLS:][:, used]], axis=1)


@contextmanager
def drawing(units: Units, *modules: str) -> Iterator[None]:
    """``randn_tensor`` of these modules of diffusers, and torch's ``randn_like``, are unit vectors."""
    with mock.patch("torch.randn_like", units.normal):
        patches = [mock.patch(f"{module}.randn_tensor", units.normal) for module in modules]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def rows_of(plan: Plan) -> np.ndarray:
    """The table of one of our plans."""
    units = Units()

    def model(x: torch.Tensor, level: Any) -> torch.Tensor:
        a, b = to_native(level, plan.prediction)
        return a * x + b * units.data(x)

    units.end(dn.sample(plan, model, units.start(), lambda s, t, j, x: units.normal(x)))
    return units.table()


def apart(theirs: np.ndarray, sampler: Any, grid: Grid, **options: Any) -> float:
    """The largest difference of two entries over their row's maximum; infinite where the shapes differ."""
    own = rows_of(dn.compile(dn.solvers.ALL[sampler] if isinstance(sampler, str) else sampler, grid, **options))
    if own.shape != theirs.shape:
        return float("inf")
    scale = np.maximum(np.abs(own).max(axis=1), np.abs(theirs).max(axis=1))
    return float((np.abs(own - theirs).max(axis=1) / scale).max())


def stepped(
    scheduler: Any,
    predict: Callable[[Units, torch.Tensor, int], torch.Tensor],
    shape: tuple[int, ...] = (1, WIDTH),
    **options: Any,
) -> np.ndarray:
    """A scheduler of diffusers walked to its end; ``predict(units, x, i)`` answers at its ``i``-th step."""
    units = Units()
    x = units.start().reshape(shape)
    with drawing(units, type(scheduler).__module__):
        for i, t in enumerate(scheduler.timesteps):
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(x, t)
            x = scheduler.step(predict(units, x, i), t, x, return_dict=False, **options)[0]
    units.end(x)
    return units.table()
