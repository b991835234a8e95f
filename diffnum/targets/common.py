"""What all targets share: the kind of array that came in goes out, and one prediction becomes another.

A target is asked with numpy arrays (float64 inside, object arrays of mpmath's or gmpy2's numbers for extended
precision) or torch tensors (float32 at least inside), of shape ``(..., dim)``. Numbers of a level
may be floats, 0-d torch tensors that carry a gradient, or mpmath's or gmpy2's numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeGuard

import numpy as np

from .. import num
from ..plan import PREDICTIONS, Level
from ..prediction import to_native

__all__ = [
    "Array",
    "axes",
    "convert",
    "elementwise",
    "enter",
    "extended",
    "generator",
    "is_torch",
    "leave",
    "like",
    "orthonormal",
    "suit",
    "vector",
]

Array = Any  # numpy.ndarray or torch.Tensor


def is_torch(x: Any) -> TypeGuard[Any]:
    """Whether ``x`` is a torch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def enter(x: Array, dim: int) -> Array:
    """``x`` in working precision: float64 (numpy), at least float32 (torch), objects as they are.

    Raises:
        ValueError: the last axis is not ``dim`` long.
    """
    if is_torch(x):
        torch = sys.modules["torch"]
        work = x.to(torch.promote_types(x.dtype, torch.float32))
    else:
        work = np.asarray(x)
        if work.dtype != np.float64 and work.dtype != object:
            work = work.astype(np.result_type(work.dtype, np.float64))
    if work.ndim == 0 or work.shape[-1] != dim:
        raise ValueError(f"x has shape {tuple(work.shape)}: give points of dimension {dim} along the last axis")
    return work


def leave(y: Array, x: Array) -> Array:
    """``y`` in the dtype of the caller's ``x``, where that is a floating one."""
    if is_torch(x):
        return y.to(x.dtype) if x.is_floating_point() else y
    dtype = getattr(x, "dtype", None)
    return y.astype(dtype, copy=False) if dtype is not None and dtype.kind == "f" else y


def like(x: Array, value: Any) -> Array:
    """``value`` (numpy array, torch tensor or scalar) as something that multiplies ``x``."""
    if is_torch(x):
        value = value if is_torch(value) else sys.modules["torch"].tensor(value)
        return value.to(device=x.device, dtype=x.dtype)
    return value.detach().cpu().numpy() if is_torch(value) else value


def suit(x: Array, level: Level) -> Level:
    """``level`` with numbers that ``x`` can be multiplied by without loss.

    Tensors become floats for numpy, and floats (exactly) extended numbers for object arrays: a gain
    formed in float64 would silently cap extended precision.
    """
    objects = not is_torch(x) and x.dtype == np.dtype(object)
    if not objects and not is_torch(level.alpha) and not is_torch(level.sigma):
        return level

    number = extended(x)[1] if objects else None

    def cast(c: Any) -> Any:
        if is_torch(c):
            c = c.to(x.device) if is_torch(x) else c.item()
        return number(c) if number and isinstance(c, (int, float)) else c

    t, alpha, sigma, lam = (cast(c) for c in (level.t, level.alpha, level.sigma, level.lam))
    v = (cast(level.v[0]), cast(level.v[1]))
    return Level(t, alpha, sigma, lam=lam, v=v, pure_noise=level.pure_noise, clean=level.clean)


def convert(quantity: str, x: Array, D: Array, level: Level, score: Array | None = None) -> Array:
    """The prediction ``quantity`` at ``x`` from the denoiser's value ``D = E[x0 | x]``.

    At a clean level the noise is unknown and ``E[eps | x] = 0``; elsewhere the combination of
    :func:`diffnum.plan.to_native`. A target that has its score directly passes it, and noise
    ``-sigma * score`` and velocity ``v0 D - v1 sigma score`` are then free of the cancellation in
    ``x - alpha D`` at small noise.

    Args:
        quantity: one of ``diffnum.plan.PREDICTIONS``.
        x, D, score: one kind of array, shape ``(..., dim)``.
        level: numbers that suit ``x``, see :func:`suit`.

    Raises:
        ValueError: unknown quantity; the score of a clean level without ``score``.
    """
    if quantity not in PREDICTIONS:
        raise ValueError(f"prediction {quantity!r} is unknown: use one of {', '.join(PREDICTIONS)}")
    if quantity == "data":
        return D
    if quantity == "score" and score is not None:
        return score
    if level.clean:
        if quantity == "score":
            raise ValueError("the score at a clean level (sigma = 0) does not follow from D: ask at a level of noise")
        return level.v[0] * D if quantity == "velocity" else 0 * D
    if score is not None:
        noise = -level.sigma * score
        return noise if quantity == "noise" else level.v[0] * D + level.v[1] * noise
    a, b = to_native(level, quantity)
    return a * x + b * D


def elementwise(name: str, x: Any) -> Any:
    """``diffnum.num``'s function ``name``, on object arrays of extended numbers too."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return np.asarray(np.frompyfunc(getattr(extended(x)[0], name), 1, 1)(x))
    return getattr(num, name)(x)


def extended(x: np.ndarray) -> tuple[Any, Any, int]:
    """The module of the numbers in an object array, mpmath or gmpy2, its number and the bits it computes with."""
    if x.size and type(x.flat[0]).__module__ == "gmpy2":
        gmpy2 = import_module("gmpy2")
        return gmpy2, gmpy2.mpfr, gmpy2.get_context().precision
    mpmath = import_module("mpmath")
    return mpmath, mpmath.mpf, mpmath.mp.prec


def vector(name: str, values: Sequence[float] | Array, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """``values`` as a read-only float64 array: one-dimensional, or of ``shape`` where given.

    Raises:
        ValueError: another shape, no entries, or entries that are not finite.
    """
    array = np.array(values.detach().cpu() if is_torch(values) else values, dtype=np.float64)
    if array.ndim != 1 if shape is None else array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: give an array of shape {shape or '(n,)'}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: give at least one number")
    if not np.all(np.isfinite(array)):
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} holds {array[place]} at index {place}: give finite numbers")
    array.flags.writeable = False
    return array


def orthonormal(name: str, basis: np.ndarray) -> None:
    """Refuse columns that are further than 1e-10 from orthonormal by a ``ValueError``."""
    error = float(np.abs(basis.T @ basis - np.eye(basis.shape[1])).max())
    if error > 1e-10:
        raise ValueError(f"{name} has columns {error:.1e} away from orthonormal: pass it through numpy.linalg.qr")


def axes(x: Array, basis: Array, kept: dict[Any, Array]) -> Array:
    """Orthonormal columns as the kind of ``x``, kept in ``kept``.

    In extended precision they are made orthonormal to that precision by Newton's iteration ``B (3 -
    B^T B) / 2``: float64 columns would cap every error there at 1e-16.
    """
    if not is_torch(x) and x.dtype != np.dtype(object):
        return basis
    key = (x.device, x.dtype) if is_torch(x) else extended(x)[1:]
    if key not in kept:
        kept[key] = like(x, basis) if is_torch(x) else _polish(basis, *key)
    return kept[key]


def _polish(basis: np.ndarray, number: Any, bits: int) -> np.ndarray:
    exact = basis.astype(object) * number(1)
    for _ in range(2 + bits.bit_length()):
        error = exact.T @ exact - np.eye(basis.shape[1], dtype=int)
        exact = exact - exact @ error / 2
        if abs(error).max() < number(2) ** (1 - bits):
            break
    return exact


def generator(rng: np.random.Generator | int) -> np.random.Generator:
    """``rng`` itself, or a generator seeded with it."""
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)


def denoise_by_predict(self: Any, x: Array, level: Level) -> Array:
    """``E[x0 | x]``."""
    return self.predict(x, level, "data")


def score_by_predict(self: Any, x: Array, level: Level) -> Array:
    """``grad log p(x)`` of the law at ``level``."""
    return self.predict(x, level, "score")


def noise_prediction_by_predict(self: Any, x: Array, level: Level) -> Array:
    """``E[eps | x]``; 0 at a clean level."""
    return self.predict(x, level, "noise")


def velocity_by_predict(self: Any, x: Array, level: Level) -> Array:
    """``v[0] E[x0 | x] + v[1] E[eps | x]`` with the level's pair ``v``."""
    return self.predict(x, level, "velocity")
