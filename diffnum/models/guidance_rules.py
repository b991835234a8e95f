"""Rules of guidance: what of a strong and a weak prediction is made, and in which prediction that is stated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..plan import PREDICTIONS, Level

__all__ = ["Banded", "Linear", "Optimised", "Projected", "Rescaled", "Scale", "at", "finite"]

Array = Any
Scale = float | Callable[[Level], float]


@dataclass(frozen=True)
class Linear:
    """``weak + scale (strong - weak)``, in every prediction the same (Ho & Salimans 2022, eq. 6, ``scale = 1 + w``).

    Args:
        scale: a number, or a function of the level.
    """

    scale: Scale
    quantity = ""

    def __post_init__(self) -> None:
        finite(self.scale)

    def __call__(self, strong: Array, weak: Array, level: Level) -> Array:
        """The guided prediction."""
        return weak + at(self.scale, level) * (strong - weak)


@dataclass(frozen=True)
class Rescaled:
    """Guidance whose spread is drawn back to the strong prediction's (Lin et al. 2023, section 3.4):

        phi g std(strong) / std(g) + (1 - phi) g,    g = weak + scale (strong - weak)

    with standard deviations over all numbers of a sample. They differ between predictions: ``quantity`` says of which,
    the model's own if empty.

    Args:
        scale: a number, or a function of the level.
        phi: in [0, 1]; 0 is plain guidance.

    Raises:
        ValueError: ``phi`` outside [0, 1], an unknown quantity.
    """

    scale: Scale
    phi: float = 0.7
    quantity: str = ""

    def __post_init__(self) -> None:
        finite(self.scale)
        if not 0 <= self.phi <= 1:
            raise ValueError(f"phi = {self.phi!r} is no share: give a number in [0, 1]")
        if self.quantity not in ("", *PREDICTIONS):
            raise ValueError(f"quantity {self.quantity!r} is unknown: use one of {', '.join(PREDICTIONS)}, or none")

    def __call__(self, strong: Array, weak: Array, level: Level) -> Array:
        """The guided prediction."""
        guided = weak + at(self.scale, level) * (strong - weak)
        return self.phi * (guided * (_spread(strong) / _spread(guided))) + (1 - self.phi) * guided


@dataclass(frozen=True)
class Projected:
    """Adaptive projected guidance (Sadat et al. 2024) of the denoised data, without its momentum:

        D_c + (scale - 1) (o + eta p),    o + p = min(1, radius / |D_c - D_u|) (D_c - D_u),   p along D_c

    sample by sample. Their momentum remembers earlier calls, which a model of ``x`` and the level does not:
    :func:`~diffnum.models.sample_with_momentum` is a run with it.

    Args:
        scale: a number, or a function of the level.
        eta: share of the part along ``D_c``, which saturates; 1 with an infinite radius is plain guidance.
        radius: longest difference.

    Raises:
        ValueError: a radius that is not positive.
    """

    scale: Scale
    eta: float = 0.0
    radius: float = math.inf
    quantity = "data"

    def __post_init__(self) -> None:
        finite(self.scale)
        if not self.radius > 0:
            raise ValueError(f"radius = {self.radius!r} leaves no guidance: give a positive length, or none")

    def __call__(self, strong: Array, weak: Array, level: Level) -> Array:
        """The guided data."""
        apart = strong - weak
        if self.radius < math.inf:
            length = _dot(apart, apart) ** 0.5
            apart = apart * (self.radius / (length + (self.radius - length) * (length < self.radius)))
        size = _dot(strong, strong)
        along = (_dot(apart, strong) / (size + (size == 0))) * strong
        return strong + (at(self.scale, level) - 1) * (apart + (self.eta - 1) * along)


@dataclass(frozen=True)
class Optimised:
    """CFG-Zero* (Fan et al. 2025): guidance of the velocity away from the multiple of the weak one that is nearest,

        s v_u + scale (v_c - s v_u),    s = <v_c, v_u> / |v_u|^2

    sample by sample. Its zero start is :class:`ZeroStart`.

    Args:
        scale: a number, or a function of the level.
    """

    scale: Scale
    quantity = "velocity"

    def __post_init__(self) -> None:
        finite(self.scale)

    def __call__(self, strong: Array, weak: Array, level: Level) -> Array:
        """The guided velocity."""
        size = _dot(weak, weak)
        nearest = (_dot(strong, weak) / (size + (size == 0))) * weak
        return nearest + at(self.scale, level) * (strong - nearest)


@dataclass(frozen=True)
class Banded:
    """Guidance of two scales, for the part of the difference that passes a filter and for the rest:

        strong + (low - 1) F d + (high - 1) (d - F d),    d = strong - weak

    frequency-decoupled guidance (Sadat et al. 2025) where ``F`` is a low pass. Equal scales are plain guidance.

    Args:
        low, high: numbers, or functions of the level.
        blur: a linear map ``F`` of predictions, sample by sample.
    """

    low: Scale
    high: Scale
    blur: Callable[[Any], Any]
    quantity = ""

    def __post_init__(self) -> None:
        finite(self.low)
        finite(self.high)

    def __call__(self, strong: Array, weak: Array, level: Level) -> Array:
        """The guided prediction."""
        apart = strong - weak
        coarse = self.blur(apart)
        low, high = at(self.low, level), at(self.high, level)
        return strong + (low - 1) * coarse + (high - 1) * (apart - coarse)


def at(scale: Scale, level: Level) -> float:
    """The scale at ``level``."""
    return scale(level) if callable(scale) else scale


def finite(scale: Scale) -> None:
    """Refuse a number that is not finite."""
    if not callable(scale) and not math.isfinite(scale):
        raise ValueError(f"scale = {scale!r} is no guidance scale: give a finite number or a function of the level")


def _dot(a: Array, b: Array) -> Array:
    """Inner product sample by sample, with the axes kept."""
    return (a * b).sum(tuple(range(1, len(a.shape))), keepdims=True)


def _spread(a: Array) -> Array:
    """Standard deviation over a sample's numbers, up to a factor of their count."""
    axes = tuple(range(1, len(a.shape)))
    centred = a - a.mean(axes, keepdims=True)
    return _dot(centred, centred) ** 0.5
