"""The ideal denoiser of a data set: what a network would learn if it could learn everything by heart."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
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
from .online import LEAST, exp, log, quiet, softmax_mean
from .reference import reference_flow
from .working import above_clean, by_rows, has_objects, number, open_question

__all__ = ["Empirical"]

PRECISIONS = ("double", "single")
# by how much the logarithm of a weight may be wrong when its product was formed in a precision
_TOLERANCE = {"double": 4e-12, "single": 1e-4}
_NEAREST = 8
# entries of the largest temporary array on a CPU, where points are few coordinates, and else: products want large ones
_FEW, _MANY = 2**16, 2**20
_OTHER = 2**24


@dataclass(frozen=True, eq=False)
class _Points:
    """The data about their centre on one device, as they are and as products see them; the largest norm."""

    exact: Array
    rough: Array
    halves: Array
    rough_halves: Array
    centre: Array
    reach: float


@dataclass(frozen=True, eq=False)
class Empirical:
    """``(1/n) sum_i delta(x0 - y_i)``, equal point masses at the ``n`` rows of ``data``.

    Under ``x = alpha x0 + sigma eps`` (Karras et al. 2022, eq. 57),

        E[x0 | x] = sum_i softmax_i(-|x - alpha y_i|^2 / (2 sigma^2)) y_i,

    computed ``chunk`` points at a time with a running maximum, as two matrix products for each, so
    memory does not grow with ``n`` (but where a gradient is asked for) and no noise is too small: there
    it is the nearest point, which is also what a clean level answers. A law of points has a density only under noise.

    Weights need ``|x - alpha y|^2 / 2 sigma^2``, and the product ``x . y`` by which it is formed loses digits at small
    noise: after centring the exponent errs by up to ``b = 2 eps alpha |x| max|y| / sigma^2``. Where ``b`` exceeds 4e-12
    (1e-4 in single precision) the distances of the 8 nearest points are formed once more, in float64 by differences;
    if the share of all others times ``b`` still does, single precision gives way to double and double
    to differences for every point.

    Args:
        data: ``(n, ...)``, numpy or torch; trailing axes are flattened. Repeated points weigh more.
        chunk: points handled at once; temporary arrays have at most ``max(chunk, 2^20)`` entries on a CPU and
            ``max(chunk, 2^24)`` elsewhere.
        precision: of the products, ``"double"`` or ``"single"``, whose answers are right to about 1e-6 of the data.

    Asked with torch tensors it computes on their device, with one copy of the data per device and precision.

    Raises:
        ValueError: data that are empty or not finite, a chunk that is not a positive whole number, an unknown
            precision; later, the density, the score or an outward flow at ``sigma = 0``.
    """

    data: np.ndarray
    chunk: int = 4096
    precision: str = "double"
    centre: np.ndarray = field(init=False, repr=False)
    _kept: dict[Any, _Points] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        data = np.array(self.data.detach().cpu() if is_torch(self.data) else self.data, dtype=np.float64)
        if data.ndim < 2 or data.size == 0:
            raise ValueError(f"data has shape {data.shape}: give at least one sample along the first axis")
        if not np.all(np.isfinite(data)):
            raise ValueError(f"data holds {np.sum(~np.isfinite(data))} numbers that are not finite: remove them first")
        if not (isinstance(self.chunk, int) and self.chunk >= 1):
            raise ValueError(f"chunk = {self.chunk!r} is no number of points: give a whole number >= 1")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision = {self.precision!r} is unknown: use 'double' or 'single'")
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

    @cached_property
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
        D = by_rows(lambda part: self._average(part, near)[1], rows, self._width, self._budget(rows))
        return leave(convert(quantity, rows, D, level).reshape(x.shape), x)

    def log_prob(self, x: Array, level: Level | None = None) -> Array:
        """Log-density at ``level``, shape ``(...)``.

        Raises:
            ValueError: no level or a clean one.
        """
        if level is None or level.clean:
            raise ValueError("a law of points has no density at sigma = 0: ask at a level of noise")
        rows, level = _floats(x, level, self.dim)
        total = by_rows(lambda part: self._average(part, level)[0], rows, self._width, self._budget(rows))
        spread = self.dim / 2 * log(2 * math.pi * level.sigma**2)
        return leave((total - math.log(len(self.data)) - spread).reshape(x.shape[:-1]), x)

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``Cov[x0 | x]``, shape ``(..., d, d)``."""
        rows, level = _floats(x, level, self.dim)
        near = above_clean(level, self.rms)

        def ask(part: Array) -> Array:
            total, D = self._average(part, near)
            points = self._points(part)
            moved = part - near.alpha * points.centre
            cov: Any = 0
            for i in self._chunks():
                offsets = points.exact[i]
                share = exp(_by_differences(moved, offsets, near) - total[:, None])
                apart = offsets[None] - (D - points.centre)[:, None]
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

    def _budget(self, x: Array) -> int | None:
        here = not is_torch(x) or x.device.type == "cpu"
        return (_FEW if self.dim < 64 else _MANY) if here else _OTHER

    def _chunks(self) -> list[slice]:
        return [slice(i, i + self.chunk) for i in range(0, len(self.data), self.chunk)]

    def _points(self, x: Array) -> _Points:
        key = (x.device, x.dtype) if is_torch(x) else None
        if key not in self._kept:
            exact = self.data - self.centre
            rough = exact.astype(np.float32) if self.precision == "single" else exact
            # of what the products see
            halves = [np.square(y, dtype=np.float64).sum(1) / 2 for y in (exact, rough)]
            arrays: list[Any] = [exact, rough, *halves, np.array(self.centre)]
            if is_torch(x):
                torch = sys.modules["torch"]
                # an inference tensor kept here would break the next caller's backward pass
                with torch.inference_mode(False):
                    arrays = [
                        torch.as_tensor(y, dtype=torch.float32 if y.dtype == np.float32 else x.dtype, device=x.device)
                        for y in arrays
                    ]
            if arrays[1].dtype == arrays[0].dtype:
                arrays[1], arrays[3] = arrays[0], arrays[2]
            self._kept[key] = _Points(*arrays, reach=float((2 * halves[0].max()) ** 0.5))
        return self._kept[key]

    def _average(self, x: Array, level: Level) -> tuple[Array, Array]:
        """Log of the summed exponentials ``(rows,)`` and the posterior mean ``(rows, d)``."""
        points = self._points(x)
        moved = x - level.alpha * points.centre
        found = None
        # where products are cheap differences are too
        small = len(self.data) <= 2 * _NEAREST or moved.shape[0] * self.data.size <= _FEW
        for offsets in dict.fromkeys(["rough", "exact"] if points.rough is not points.exact else ["exact"]):
            found = self._by_products(moved, level, points, getattr(points, offsets), small)
            if found is not None:
                break
        if found is None:
            parts = (points.exact[i] for i in self._chunks())
            top, total, mean = softmax_mean((_by_differences(moved, y, level), _summing(y)) for y in parts)
            found = top + log(total), mean
        return found[0], points.centre + found[1]

    def _by_products(
        self, moved: Array, level: Level, points: _Points, offsets: Array, small: bool
    ) -> tuple[Array, Array] | None:
        """Log-sum and mean from ``x . y - alpha |y|^2 / 2``; None where that loses too many digits."""
        precision = "single" if offsets.dtype != points.exact.dtype else "double"
        halves = points.rough_halves if offsets is points.rough else points.halves
        furthest = number(quiet((moved**2).sum(1).max())) ** 0.5
        alpha, sigma = number(level.alpha), number(level.sigma)
        error = 2 * _eps(offsets) * alpha * furthest * points.reach / sigma**2
        safe = error <= _TOLERANCE[precision]
        if small and not safe:
            return None
        scale, lower, best = level.alpha / level.sigma**2, _cast(moved, offsets), _Nearest()

        def pieces() -> Iterator[tuple[Array, Callable[[Array], Array]]]:
            for i in self._chunks():
                # in units of the data squared: exponents may overflow single precision
                near = _cast(lower @ offsets[i].T, moved) - level.alpha * halves[i]
                if not safe:
                    best.see(near, i.start)
                yield near * scale, _summing(offsets[i])

        top, total, mean = softmax_mean(pieces(), LEAST[offsets.dtype.itemsize])
        if safe:
            return top + log(total) - (moved**2).sum(1) / (2 * level.sigma**2), mean
        return best.corrected(moved, level, points.exact, (total, mean), error, _TOLERANCE[precision])


class _Nearest:
    """The points that products find nearest, to be weighed once more by differences."""

    def __init__(self) -> None:
        self.values: Any = None
        self.places: Any = None

    def see(self, near: Array, start: int) -> None:
        """A chunk of ``x . y - alpha |y|^2 / 2``, the first of whose points has number ``start``."""
        values, places = _largest(near)
        places = places + start
        if self.values is not None:
            values, chosen = _largest(_beside(self.values, values))
            places = _picked(_beside(self.places, places), chosen)
        self.values, self.places = values, places

    def corrected(
        self, moved: Array, level: Level, y: Array, found: tuple[Array, Array], error: float, tolerance: float
    ) -> tuple[Array, Array] | None:
        """Log-sum and mean with the nearest points' own weights; None where the others' weights matter too much.

        ``found`` is what products gave: the sum of all weights over that of the nearest point, and the mean. The
        exponents of the others err by up to ``error``. Either all of them together are nothing, whatever that
        does to them, or their share of the sum times it is.
        """
        # multiplied as in the sum, to which rounding must be the same
        logits = self.values * (level.alpha / level.sigma**2)
        anchor, count = logits[:, 0], logits.shape[1]
        rest, around = found[0], found[1] * found[0][:, None]
        logs, near = [], [y[self.places[:, k]] for k in range(count)]
        for k, point in enumerate(near):
            power = exp(logits[:, k] - anchor)
            rest, around = rest - power, around - power[:, None] * point
            logs.append(-((moved - level.alpha * point) ** 2).sum(1) / (2 * level.sigma**2))
        peak = quiet(_maximum(logs))
        first = exp(logs[0] - peak)
        # what is left after the subtraction may be rounding
        real = rest > 1e-15 + 4 * _eps(moved)
        rest, around = rest * first * real, around * (first * real)[:, None]
        powers = [exp(log_power - peak) for log_power in logs]
        total: Any = sum(powers, rest)
        mean: Any = sum((power[:, None] * point for power, point in zip(powers, near, strict=True)), around)
        gap = quiet(logits[:, -1] - anchor)
        known = gap + 2 * error + math.log(len(y) * error) <= math.log(tolerance)
        if error <= 0.1:
            known = known | (quiet(rest / total) * error <= tolerance)
        if not bool(known.all()):
            return None
        return peak + log(total), mean / total[:, None]


def _floats(x: Array, level: Level, dim: int) -> tuple[Array, Level]:
    rows, level = open_question(x, level, dim)
    if has_objects(rows):
        raise ValueError("a law of points is computed in float64: give float arrays")
    return rows, level


def _by_differences(x: Array, y: Array, level: Level) -> Array:
    """``-|x_i - alpha y_j|^2 / (2 sigma^2)``, summed term by term."""
    y = level.alpha * y
    if is_torch(x):
        exact = "donot_use_mm_for_euclid_dist"
        squares = sys.modules["torch"].cdist(x[None], y[None], compute_mode=exact)[0] ** 2
    else:
        from scipy.spatial.distance import cdist

        squares = cdist(x, y, "sqeuclidean")
    return -squares / (2 * level.sigma**2)


def _summing(y: Array) -> Callable[[Array], Array]:
    """From powers to their sum over points; in the precision of the points, passed on in that of the powers."""
    return lambda powers: _cast(_cast(powers, y) @ y, powers)


def _cast(x: Array, like: Array) -> Array:
    if x.dtype == like.dtype:
        return x
    return x.to(like.dtype) if is_torch(x) else x.astype(like.dtype)


def _eps(x: Array) -> float:
    return float((sys.modules["torch"] if is_torch(x) else np).finfo(x.dtype).eps)


def _largest(values: Array) -> tuple[Array, Array]:
    """The largest of every row, falling, and their places."""
    count = min(_NEAREST, values.shape[1])
    if is_torch(values):
        return values.topk(count)
    places = np.argpartition(values, -count, axis=1)[:, -count:]
    values = np.take_along_axis(values, places, 1)
    order = np.argsort(-values, axis=1)
    return np.take_along_axis(values, order, 1), np.take_along_axis(places, order, 1)


def _picked(values: Array, places: Array) -> Array:
    return values.gather(1, places) if is_torch(values) else np.take_along_axis(values, places, 1)


def _beside(a: Array, b: Array) -> Array:
    return sys.modules["torch"].cat([a, b], 1) if is_torch(a) else np.concatenate([a, b], 1)


def _maximum(parts: list[Array]) -> Array:
    if is_torch(parts[0]):
        return sys.modules["torch"].stack(parts).amax(0)
    return np.max(parts, axis=0)
