"""A discrete table of betas as a noise process: ``log alpha`` through its nodes, and back.

Node ``i`` of a table of ``N`` betas stands at ``t = i`` and has ``alpha_i^2 = prod_{j <= i} (1 - beta_j)``
(Ho, Jain & Abbeel 2020, eq. 4); ``t = -1`` is the data, ``alpha = 1``. Piece ``j`` is ``t`` in
``[j - 1, j]``; at a node the piece below it counts, since that is the one of ``beta_j``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from .num import exp, expm1, log, sqrt
from .plan import Level
from .process_shared import (
    as_float,
    circle,
    diffusion_on_circle,
    level_at,
    level_on_circle,
    like,
    node_inside,
    of_lam,
    of_time,
    require,
    softplus,
    time_of,
    unit_prior,
)

__all__ = ["DDPM", "Table"]

Cubic = tuple[float, float, float, float]


@dataclass(frozen=True)
class Table:
    """A piecewise ``log alpha``; build it with :meth:`through`.

    Attributes:
        alphas, sigmas, logs, lams: values at the nodes ``t = -1, 0, ..., N - 1``, rounded once from
            a product of 50 digits; ``lams`` holds ``log(alpha / sigma)``.
        cubics: ``(a, b, c, d)`` per piece, ``log alpha = a + b w + c w^2 + d w^3`` with ``w = t - (j - 1)``.
            A last piece that ends at ``alpha = 0`` has none: there ``alpha`` is linear in ``t``.
    """

    alphas: tuple[float, ...]
    sigmas: tuple[float, ...]
    logs: tuple[float, ...]
    lams: tuple[float, ...]
    cubics: tuple[Cubic, ...]

    @classmethod
    def through(cls, betas: Sequence[float], smooth: bool) -> Table:
        """The table of ``betas``: piecewise linear, or one C2 cubic spline (not-a-knot ends).

        Raises:
            ValueError: a spline through these nodes that is not decreasing.
        """
        alphas, sigmas, logs = _nodes(betas)
        lams = (math.inf, *(a - log(s) for a, s in zip(logs[1:], sigmas[1:], strict=True)))
        finite = logs[:-1] if alphas[-1] == 0 else logs
        return cls(alphas, sigmas, logs, lams, _spline(finite) if smooth else _polygon(finite))

    def alpha(self, t: Any) -> Any:
        """``alpha``; a node's own value at a float node."""
        if isinstance(t, float) and t == int(t):
            return self.alphas[int(t) + 1]
        j, w, rest = self._piece(t)
        return exp(_value(self.cubics[j], w)) if j < len(self.cubics) else self.alphas[j] * rest

    def sigma(self, t: Any) -> Any:
        """``sqrt(1 - alpha^2)`` without cancellation; a node's own value at a float node."""
        if isinstance(t, float) and t == int(t):
            return self.sigmas[int(t) + 1]
        j, w, _ = self._piece(t)
        if j < len(self.cubics):
            return sqrt(-expm1(2 * _value(self.cubics[j], w)))
        a = self.alphas[j]
        return sqrt((self._missing(j, t) + a * w) * (1 + self.alpha(t)))

    def lam(self, t: Any) -> Any:
        """``log(alpha / sigma)``."""
        if isinstance(t, float) and t == int(t):
            return self.lams[int(t) + 1]
        j, w, _ = self._piece(t)
        above = _value(self.cubics[j], w) if j < len(self.cubics) else log(self.alpha(t))
        return above - log(self.sigma(t))

    def slope(self, t: Any) -> Any:
        """``dlog alpha / dt``; ``ZeroDivisionError`` where ``alpha = 0``."""
        j, w, rest = self._piece(t)
        return _slope(self.cubics[j], w) if j < len(self.cubics) else -1 / rest

    def alpha_rate(self, t: Any, alpha: Any) -> Any:
        """``dalpha / dt``, finite where ``alpha = 0``."""
        j, w, _ = self._piece(t)
        return alpha * _slope(self.cubics[j], w) if j < len(self.cubics) else -self.alphas[j]

    def find(self, lam: float, log_alpha: Any, alpha: Any, sigma: Any) -> Any:
        """``t`` from the log-SNR: its float ``lam`` chooses the piece, the others the place in it."""
        j = bisect_left(self.lams, -lam, key=lambda entry: -entry) - 1
        if isinstance(alpha, float) and self.lams[j + 1] == lam:
            return float(j)
        if j < len(self.cubics):
            return (j - 1) + _root(self.cubics[j], log_alpha)
        a = self.alphas[j]
        if alpha < a / 2:
            return j - alpha / a
        return (j - 1) + (sigma * sigma / (1 + alpha) - self._missing(j, alpha)) / a

    def _missing(self, j: int, x: Any) -> Any:
        """``1 - alpha`` at the node below piece ``j``, in the kind of ``x``."""
        a, s = self.alphas[j], self.sigmas[j]
        return s * s / (1 + a) if isinstance(x, float) else like(1.0, x) - a

    def _piece(self, t: Any) -> tuple[int, Any, Any]:
        at = t.detach() if hasattr(t, "detach") else t
        j = max(math.ceil(float(at)), 0)
        return j, t - (j - 1), j - t


def _nodes(betas: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    # a float product of a thousand factors is wrong in the last two digits, 1 - alpha^2 in more
    digits = Context(prec=50)
    product, one = Decimal(1), Decimal(1)
    alphas, sigmas, logs = [1.0], [0.0], [0.0]
    for beta in betas:
        product = digits.multiply(product, digits.subtract(one, Decimal(beta)))
        rest = digits.subtract(one, product)
        alphas.append(float(digits.sqrt(product)))
        sigmas.append(float(digits.sqrt(rest)))
        logs.append(0.5 * (math.log1p(-float(rest)) if rest < Decimal("0.5") else log(float(product))))
    return tuple(alphas), tuple(sigmas), tuple(logs)


def _polygon(logs: Sequence[float]) -> tuple[Cubic, ...]:
    return tuple((a, b - a, 0.0, 0.0) for a, b in pairwise(logs))


def _spline(logs: Sequence[float]) -> tuple[Cubic, ...]:
    from scipy.interpolate import CubicSpline

    rows = CubicSpline(range(-1, len(logs) - 1), logs).c
    cubics = [tuple(float(c) for c in rows[::-1, j]) for j in range(len(logs) - 1)]
    for j, cubic in enumerate(cubics):
        if _steepest(cubic) >= 0:  # type: ignore[arg-type]
            raise ValueError(
                f"the smooth log alpha is not decreasing between t = {j - 1} and {j}: "
                "these betas jump too much, use smooth=False"
            )
    return tuple(cubics)  # type: ignore[return-value]


def _steepest(cubic: Cubic) -> float:
    _, _, c, d = cubic
    inner = [-c / (3 * d)] if d and 0 < -c / (3 * d) < 1 else []
    return max(_slope(cubic, w) for w in (0.0, 1.0, *inner))


def _value(cubic: Cubic, w: Any) -> Any:
    a, b, c, d = cubic
    return a + w * (b + w * (c + w * d))


def _slope(cubic: Cubic, w: Any) -> Any:
    _, b, c, d = cubic
    return b + w * (2 * c + 3 * d * w)


def _root(cubic: Cubic, log_alpha: Any) -> Any:
    a, b, c, d = cubic
    fall = log_alpha - a
    if c == 0 and d == 0:
        return fall / b
    plain = fall.detach() if hasattr(fall, "detach") else fall
    w = _newton(cubic, float(plain))
    if not isinstance(fall, float):
        # the same step in the number's own kind: derivatives for torch, digits for mpmath
        for _ in range(3):
            w = w - (w * (b + w * (c + w * d)) - fall) / _slope(cubic, w)
    return w


def _newton(cubic: Cubic, fall: float) -> float:
    _, b, c, d = cubic
    low, high, w = 0.0, 1.0, min(max(fall / (b + c + d), 0.0), 1.0)
    for _ in range(60):
        excess = w * (b + w * (c + w * d)) - fall
        low, high = (w, high) if excess > 0 else (low, w)
        step = excess / _slope(cubic, w)
        if abs(step) <= 2e-16 * w:
            break
        w = w - step if low <= w - step <= high else (low + high) / 2
    return w


@dataclass(frozen=True, repr=False)
class DDPM:
    """A discrete table as a process (Ho, Jain & Abbeel 2020, eq. 4): ``alpha(i)^2 = prod_{j <= i} (1 - beta_j)``.

    ``t`` in [-1, N - 1]: an integer is the table's entry, -1 the data. Between nodes ``log alpha`` is linear in
    ``t``, or with ``smooth`` one C2 cubic spline; in a last interval that ends at ``alpha = 0`` (a last beta of 1),
    ``alpha`` itself is linear. At a kink the derivatives are those of the interval below.

    Args:
        betas: any sequence of numbers; default 1000 from 1e-4 to 0.02, linear. A tuple once built.
        smooth: no kinks.

    Raises:
        ValueError: a beta outside (0, 1), except a last one of 1 without ``smooth``; a spline that is not monotone.
    """

    betas: Sequence[float] | None = None
    smooth: bool = False
    name = "DDPM"
    preserves_variance = True
    t_stop = 0.0
    t_clean = -1.0

    def __post_init__(self) -> None:
        betas = tuple(float(beta) for beta in (np.linspace(1e-4, 0.02, 1000) if self.betas is None else self.betas))
        require(len(betas) > 0, "DDPM(betas=()) has no noise: give at least one beta")
        for i, beta in enumerate(betas):
            last = i == len(betas) - 1 and not self.smooth
            require(
                0 < beta < 1 or (last and beta == 1),
                f"betas[{i}] = {beta!r} is outside (0, 1): only the last beta may be 1, and only without smooth",
            )
        object.__setattr__(self, "betas", betas)
        _ = self._table  # built now, so that a spline that is not monotone is refused now

    @cached_property
    def _table(self) -> Table:
        return Table.through(tuple(self.betas or ()), self.smooth)

    def __repr__(self) -> str:
        betas = tuple(self.betas or ())
        return f"DDPM({len(betas)} betas from {betas[0]:g} to {betas[-1]:g}, smooth={self.smooth})"

    @property
    def t_start(self) -> float:
        return len(self._table.alphas) - 2.0

    @of_time
    def alpha(self, t: Any) -> Any:
        return self._table.alpha(t)

    @of_time
    def sigma(self, t: Any) -> Any:
        return self._table.sigma(t)

    @of_time
    def lam(self, t: Any) -> Any:
        return self._table.lam(t)

    @of_lam
    def t(self, lam: Any) -> Any:
        at = as_float(lam)
        if at is None:
            raise TypeError("a table of betas has no symbolic inverse: give a number")
        return self._table.find(at, -softplus(-2 * lam) / 2, *circle(lam))

    @of_time
    def drift(self, t: Any) -> Any:
        return self._table.slope(t)

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = self._table.alpha_rate(level.t, level.alpha)
        return slope, -level.alpha * slope / level.sigma

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "betas": list(self.betas or ()), "smooth": self.smooth}

    level = level_at
    at = level_on_circle
    node = node_inside
    clock = time_of
    at_clock = level_at
    diffusion = diffusion_on_circle
    prior = unit_prior
