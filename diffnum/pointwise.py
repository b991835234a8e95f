"""Denoisers of mixtures at a few points in extended precision.

Arrays of extended numbers cost a call of Python per entry and operation, and the laws, which serve a million points in
float64 alike, take logarithms and maxima against overflow. Extended numbers overflow nowhere near: for a few points the
formula as it stands, written out number by number, is several times quicker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .extended_numbers import number
from .plan import Level
from .targets.common import extended
from .targets.gaussian import Gaussian
from .targets.mixture import Mixture
from .targets.product import Product1D

__all__ = ["Pointwise", "arrays"]

# weight, means and variances of a component
Component = tuple[Any, tuple[Any, ...], tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A law that answers arrays of extended numbers under the digits of its first answer.

    With ``v = alpha^2 c + sigma^2`` and ``r = x - alpha m`` in every coordinate of a component of weight ``w``,

        E[x0 | x] = sum_k g_k (m_k + alpha c_k / v_k r_k) / sum_k g_k,
        g_k = w_k prod(v_k)^-1/2 exp(-sum(r_k^2 / v_k) / 2).

    Args:
        law: a :class:`Gaussian` or :class:`Product1D` of mixtures along the axes, or a :class:`Mixture` with
            variances of the coordinates.
    """

    law: Any

    @cached_property
    def blocks(self) -> tuple[tuple[tuple[int, ...], tuple[Component, ...]], ...]:
        """Independent groups of coordinates, each with its components."""
        law = self.law
        if isinstance(law, Gaussian):
            return tuple(
                ((i,), (_component(1.0, [m], [v]),)) for i, (m, v) in enumerate(zip(*law.eigen(), strict=True))
            )
        if isinstance(law, Mixture):
            rows = zip(law.weights, law.means, law.covariances.variances, strict=True)
            return ((tuple(range(law.dim)), tuple(_component(*row) for row in rows)),)
        assert isinstance(law, Product1D)
        laws: Sequence[Any] = law.laws
        parts = (zip(one.weights, one.means, one.variances, strict=True) for one in laws)
        return tuple(((i,), tuple(_component(w, [m], [v]) for w, m, v in part)) for i, part in enumerate(parts))

    def predict(self, x: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        """As the law's own; another quantity than data is asked of the law."""
        if quantity != "data" or level.clean:
            return self.law.predict(x, arrays(level), quantity)
        # the functions themselves: to ask num what kind a number is takes longer than they do
        functions, _, bits = extended(x)
        ask = _denoisers(self, level.alpha, level.sigma, functions, bits)
        answers = []
        for point in x.reshape(-1, x.shape[-1]).tolist():
            answer = list(point)
            for places, denoise in ask:
                for i, value in zip(places, denoise([point[i] for i in places]), strict=True):
                    answer[i] = value
            answers.append(answer)
        return np.array(answers, dtype=object).reshape(x.shape)


def _component(weight: float, means: Any, variances: Any) -> Component:
    return number(float(weight)), tuple(number(float(m)) for m in means), tuple(number(float(v)) for v in variances)


# samplers end their steps at the same levels, and begin the next ones there
@lru_cache(maxsize=2048)
def _denoisers(
    law: Pointwise, alpha: Any, sigma: Any, functions: Any, bits: int
) -> list[tuple[tuple[int, ...], Callable[[list[Any]], list[Any]]]]:
    """Of every block at one level, in numbers of so many ``bits``."""
    return [(at, _denoiser(components, alpha, sigma, functions)) for at, components in law.blocks]


def _denoiser(
    components: tuple[Component, ...], alpha: Any, sigma: Any, functions: Any
) -> Callable[[list[Any]], list[Any]]:
    """The denoiser of one block at one level, from coordinates to coordinates."""
    noise, square = sigma * sigma, alpha * alpha
    if len(components) == 1:
        ((_, means, variances),) = components
        lines = [(alpha * m, alpha * c / (square * c + noise), m) for m, c in zip(means, variances, strict=True)]
        return lambda point: [m + gain * (y - shift) for y, (shift, gain, m) in zip(point, lines, strict=True)]
    heads = []
    for weight, means, variances in components:
        v = [square * c + noise for c in variances]
        axes = [(alpha * m, -1 / (2 * a), alpha * c / a, m) for m, c, a in zip(means, variances, v, strict=True)]
        heads.append((weight / functions.sqrt(math.prod(v[1:], start=v[0])), axes))
    exp = functions.exp

    def denoise(point: list[Any]) -> list[Any]:
        total, first, sums = 0, None, [0] * len(point)
        for head, axes in heads:
            power, centres = 0, []
            for y, (shift, narrow, gain, m) in zip(point, axes, strict=True):
                r = y - shift
                power += r * r * narrow
                centres.append(m + gain * r)
            # all relative to the first one: an exponential takes longer than the rest
            g = head if first is None else head * exp(power - first)
            first = power if first is None else first
            total += g
            sums = [a + g * centre for a, centre in zip(sums, centres, strict=True)]
        return [a / total for a in sums]

    return denoise


def arrays(level: Level) -> Level:
    """A level of arrays: an extended number writes out every array to the right of it."""
    a, b = level.v
    numbers = (np.array([c]) for c in (level.alpha, level.sigma, a, b))
    alpha, sigma, *v = numbers
    return replace(level, alpha=alpha, sigma=sigma, v=tuple(v))
