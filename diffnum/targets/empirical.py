"""The ideal denoiser of a data set: what a network would learn if it could learn everything by heart."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..plan import Level
from .common import (
    Array,
    convert,
    denoise_by_predict,
    generator,
    is_torch,
    leave,
    noise_prediction_by_predict,
    score_by_predict,
    velocity_by_predict,
)
from .reference import reference_flow
from .working import above_clean, by_rows, has_objects, number, open_question, resident

__all__ = ["Empirical"]

# noise, in units of the data's radius, below which the expanded square |x|^2 - 2xy + |y|^2 loses digits
_NEAR = 1 / 64


@dataclass(frozen=True, eq=False)
class Empirical:
    """``(1/n) sum_i delta(x0 - y_i)``, equal point masses at the ``n`` rows of ``data``.

    Under ``x = alpha x0 + sigma eps`` (Karras et al. 2022, eq. 57),

        E[x0 | x] = sum_i softmax_i(-|x - alpha y_i|^2 / (2 sigma^2)) y_i,

    computed ``chunk`` points at a time with a running maximum, so memory does not grow with ``n``
    and no noise is too small: there it is the nearest point, which is also what a clean level
    answers. A law of points has a density only under noise.

    Args:
        data: ``(n, ...)``, numpy or torch; trailing axes are flattened. Repeated points weigh more.
        chunk: points handled at once.

    Asked with torch tensors it computes on their device, with one copy of the data per device.

    Raises:
        ValueError: data that are empty or not finite, a chunk that is not a positive whole number;
            later, the density, the score or an outward flow at ``sigma = 0``.
    """

    data: np.ndarray
    chunk: int = 4096
    centre: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        data = np.array(self.data.detach().cpu() if is_torch(self.data) else self.data, dtype=np.float64)
        if data.ndim < 2 or data.size == 0:
            raise ValueError(f"data has shape {data.shape}: give at least one sample along the first axis")
        if not np.all(np.isfinite(data)):
            raise ValueError(f"data holds {np.sum(~np.isfinite(data))} numbers that are not finite: remove them first")
        if not (isinstance(self.chunk, int) and self.chunk >= 1):
            raise ValueError(f"chunk = {self.chunk!r} is no number of points: give a whole number >= 1")
        data = data.reshape(len(data), -1)
        for name, array in (("data", data), ("centre", data.mean(axis=0))):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def dim(self) -> int:
        """Dimension ``d`` of the points."""
        return self.data.shape[1]

    @property
    def singular(self) -> bool:
        """True: a law of points has no density."""
        return True

    @property
    def rms(self) -> float:
        """Root mean square of the data's coordinates."""
        return math.sqrt(float(np.mean(self.data**2)))

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The exact prediction of ``quantity``, one of ``diffnum.plan.PREDICTIONS``.

        Raises:
            ValueError: unknown quantity; the score at a clean level.
        """
        rows, level = _floats(x, level, self.dim)
        near = above_clean(level, self.rms)
        law = resident(self, rows)
        D = by_rows(lambda part: law._average(part, near)[1], rows, self._width)
        return leave(convert(quantity, rows, D, level).reshape(x.shape), x)

    def log_prob(self, x: Array, level: Level | None = None) -> Array:
        """Log-density at ``level``, shape ``(...)``.

        Raises:
            ValueError: no level or a clean one.
        """
        if level is None or level.clean:
            raise ValueError("a law of points has no density at sigma = 0: ask at a level of noise")
        rows, level = _floats(x, level, self.dim)
        law = resident(self, rows)
        total = by_rows(lambda part: law._average(part, level)[0], rows, self._width)
        spread = self.dim / 2 * _log(2 * math.pi * level.sigma**2)
        return leave((total - math.log(len(self.data)) - spread).reshape(x.shape[:-1]), x)

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``Cov[x0 | x]``, shape ``(..., d, d)``."""
        rows, level = _floats(x, level, self.dim)
        near = above_clean(level, self.rms)
        law = resident(self, rows)

        def ask(part: Array) -> Array:
            total, D = law._average(part, near)
            cov: Any = 0
            for offsets, logits in law._chunks(part, near):
                share = _exp(logits - total[:, None])
                apart = offsets[None] - (D - law.centre)[:, None]
                cov = cov + apart.swapaxes(1, 2) @ (share[..., None] * apart)
            return cov

        width = self._width * self.dim + self.dim**2
        return leave(by_rows(ask, rows, width).reshape(*x.shape, self.dim), x)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the law at ``level`` (None: data points, with replacement), float64 ``(n, d)``."""
        rng = generator(rng)
        x = self.data[rng.integers(len(self.data), size=n)]
        if level is None:
            return x
        return number(level.alpha) * x + number(level.sigma) * rng.standard_normal(x.shape)

    def flow(self, x: Array, s: Level, t: Level, tol: float = 1e-10) -> Array:
        """The probability-flow map from level ``s`` to level ``t``, in either direction, to ``tol``.

        A verified reference integration: :func:`diffnum.targets.reference.reference_flow`. No gradient passes.

        Raises:
            ValueError: the error is not verified below ``tol``; ``s`` is clean.
        """
        return reference_flow(self, x, s, t, tol)

    @property
    def _width(self) -> int:
        return max(min(self.chunk, len(self.data)), self.dim)

    def _chunks(self, x: Array, level: Level) -> Iterator[tuple[Array, Array]]:
        """Offsets ``(c, d)`` of some points from the centre, and their exponents ``(rows, c)``."""
        moved = x - level.alpha * self.centre
        for i in range(0, len(self.data), self.chunk):
            offsets = self.data[i : i + self.chunk] - self.centre
            yield offsets, -_squares(moved, level.alpha * offsets, number(level.sigma)) / (2 * level.sigma**2)

    def _average(self, x: Array, level: Level) -> tuple[Array, Array]:
        """Log of the summed exponentials ``(rows,)`` and the posterior mean ``(rows, d)``."""
        top: Any = None
        for offsets, logits in self._chunks(x, level):
            peak = logits.amax(1) if is_torch(logits) else logits.max(1)
            if top is None:
                top, total, mean = peak, 0 * peak, 0 * x
            before, top = top, _larger(top, peak)
            powers, fade = _exp(logits - top[:, None]), _exp(before - top)
            total = total * fade + powers.sum(1)
            mean = mean * fade[:, None] + powers @ offsets
        return top + _log(total), self.centre + mean / total[:, None]


def _floats(x: Array, level: Level, dim: int) -> tuple[Array, Level]:
    rows, level = open_question(x, level, dim)
    if has_objects(rows):
        raise ValueError("a law of points is computed in float64: give float arrays")
    return rows, level


def _squares(x: Array, y: Array, sigma: float) -> Array:
    """``|x_i - y_j|^2``: expanded where the noise hides its cancellation, else summed term by term."""
    far = sigma >= _NEAR * number((y**2).sum(1).max()) ** 0.5
    if far:
        return (x**2).sum(1)[:, None] - 2 * (x @ y.T) + (y**2).sum(1)
    if is_torch(x):
        exact = "donot_use_mm_for_euclid_dist"
        return sys.modules["torch"].cdist(x[None], y[None], compute_mode=exact)[0] ** 2
    from scipy.spatial.distance import cdist

    return cdist(x, y, "sqeuclidean")


def _larger(a: Array, b: Array) -> Array:
    return a.maximum(b) if is_torch(a) else np.maximum(a, b)


def _exp(x: Array) -> Array:
    return x.exp() if is_torch(x) else np.exp(x)


def _log(x: Any) -> Any:
    return x.log() if is_torch(x) else np.log(x)
