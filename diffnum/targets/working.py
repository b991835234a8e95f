"""Working copies: a target's parameters where its question lives, and the arithmetic that keeps them safe.

A target owns read-only float64 numpy arrays. Asked with a torch tensor it computes with copies on
that tensor's device, made once per device. Everything is computed in float64 whatever came in
(float32 on devices that have nothing wider): responsibilities are differences of large exponents.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from ..plan import PREDICTIONS, Level
from .common import Array, elementwise, enter, is_torch, suit
from .online import LEAST, quiet, weights_of

__all__ = [
    "above_clean",
    "by_rows",
    "has_objects",
    "normalise",
    "number",
    "open_question",
    "pair",
    "resident",
    "softmax",
    "stack",
]

T = TypeVar("T")
_COPIES: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()
# entries of the largest temporary array: what a processor's cache holds is several times faster
_BUDGET = {"cpu": 2**16, "other": 2**24}


def open_question(x: Array, level: Level, dim: int) -> tuple[Array, Level]:
    """``x`` as ``(rows, dim)`` in working precision, and the level in numbers that multiply it.

    Raises:
        ValueError: the last axis of ``x`` is not ``dim`` long.
    """
    work = enter(x, dim)
    if is_torch(work) and work.device.type != "mps":
        work = work.double()
    return work.reshape(-1, dim), suit(work, level)


def resident(owner: T, x: Array) -> T:
    """``owner``, a frozen dataclass of numpy arrays, with its arrays on the device of ``x``.

    The copies are kept per device for as long as the owner lives, beside it and not in it.
    """
    if not is_torch(x):
        return owner
    kept = _COPIES.setdefault(owner, {})
    key = (x.device, x.dtype)
    if key not in kept:
        kept[key] = _moved(owner, x)
    return kept[key]


def _moved(owner: Any, x: Any) -> Any:
    torch = sys.modules["torch"]
    moved = copy.copy(owner)
    for name in vars(owner).keys() - {field.name for field in fields(owner)}:
        # what was computed from the arrays and kept, in their form
        if isinstance(vars(owner)[name], np.ndarray):
            del vars(moved)[name]
    for field in fields(owner):
        value = getattr(owner, field.name)
        if isinstance(value, np.ndarray):
            # an inference tensor kept here would break the next caller's backward pass
            with torch.inference_mode(False):
                value = torch.tensor(value, dtype=x.dtype, device=x.device)
        elif is_dataclass(value) and not isinstance(value, type):
            value = _moved(value, x)
        object.__setattr__(moved, field.name, value)
    return moved


def number(c: Any) -> float:
    """A level's number as a float, where no gradient is meant to pass."""
    return float(c.detach() if is_torch(c) else c)


def has_objects(x: Array) -> bool:
    """Whether ``x`` is a numpy array of Python numbers, as of mpmath."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "O"


def by_rows(ask: Callable[[Array], Array], x: Array, width: int, budget: int | None = None) -> Array:
    """``ask(x)`` for ``x`` of shape ``(rows, dim)``, in pieces where rows of ``width`` entries each fill memory.

    Args:
        budget: entries of the largest temporary array; None: what suits arithmetic on entries.
    """
    device = x.device.type if is_torch(x) else "cpu"
    size = max(1, (budget or _BUDGET.get(device, _BUDGET["other"])) // max(1, width))
    if x.shape[0] <= size:
        return ask(x)
    return stack([ask(x[i : i + size]) for i in range(0, x.shape[0], size)])


def stack(parts: list[Array]) -> Array:
    """Arrays joined along their first axis."""
    return sys.modules["torch"].cat(parts) if is_torch(parts[0]) else np.concatenate(parts)


def softmax(logits: Array) -> tuple[Array, Array]:
    """``(softmax, log-sum-exp)`` over the first axis; finite for finite logits of any size, and no share subnormal."""
    if is_torch(logits):
        torch = sys.modules["torch"]
        apart = logits - quiet(logits.amax(0))
        return torch.softmax(apart.clamp_(min=LEAST[apart.dtype.itemsize]), 0), torch.logsumexp(logits, 0)
    top = logits.max(axis=0)
    powers = elementwise("exp", logits - top) if has_objects(logits) else weights_of(logits - top)
    total = powers.sum(axis=0)
    return powers / total, top + elementwise("log", total)


def pair(quantity: str, level: Level) -> tuple[Any, Any]:
    """``(a, b)`` of ``prediction = a E[x0 | x] - b * score``; no division, so no cancellation at any noise.

    At a clean level the noise prediction is zero, the limit from noise.

    Raises:
        ValueError: a quantity that is not one of ``diffnum.plan.PREDICTIONS``.
    """
    if quantity == "data":
        return 1.0, 0.0
    if quantity == "noise":
        return 0.0, level.sigma
    if quantity == "velocity":
        return level.v[0], level.v[1] * level.sigma
    if quantity == "score":
        return 0.0, -1.0
    raise ValueError(f"prediction {quantity!r} is unknown: use one of {', '.join(PREDICTIONS)}")


def above_clean(level: Level, rms: float) -> Level:
    """A clean level as the limit from noise, just above rounding: ``sigma = 1e-10 alpha rms``; others as they are.

    What a law without a density (point masses, singular covariances) answers at ``sigma = 0``: the
    component or point that holds ``x``, or is nearest to it.

    Args:
        rms: root mean square of the data's coordinates.
    """
    if not level.clean:
        return level
    return Level(level.t, level.alpha, 1e-10 * (rms or 1.0) * level.alpha, lam=math.log(1e10), v=level.v)


def normalise(name: str, weights: Any, count: int) -> np.ndarray:
    """Relative weights as read-only probabilities.

    Raises:
        ValueError: another number of weights than ``count``; weights that are not positive and finite.
    """
    array = np.array(weights, dtype=np.float64)
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {array.shape}: give one weight for each of the {count}")
    if not (np.all(np.isfinite(array)) and np.all(array > 0)):
        raise ValueError(f"{name} = {array.tolist()} must be positive and finite: leave out what has no weight")
    array = array / array.sum()
    array.flags.writeable = False
    return array
