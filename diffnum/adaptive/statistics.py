"""Empirical model statistics: which part of the model along the probability flow is linear (Zheng et al. 2023).

With ``v = x / alpha`` and ``q = v - D = sigma eps / alpha`` the flow in log-SNR is ``v' = -q``. DPM-Solver-v3 splits
``q = l v + f`` and models ``f' = s f + b`` along it, per coordinate. Here are the tables of ``l``, ``s``, ``b`` and
their integrals; :mod:`.estimate` measures them on a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..plan import Level
from ..prediction import convert
from ..read.sample import adapted_model

__all__ = ["Offset", "Statistics", "like"]

# Gauss-Legendre points on each interval of the table: the table, not they, limits the accuracy
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(8)


@dataclass(frozen=True)
class Statistics:
    """Tables of ``l``, ``s`` and ``b`` over log-SNR, joined by cubic splines.

    Attributes:
        lams: increasing, ``(K,)`` with ``K >= 4``.
        l, s, b: ``(K,)`` for one number for all coordinates, or ``(K, *shape)`` of a sample.

    Raises:
        ValueError: tables that do not fit, are not finite or not increasing.
    """

    lams: np.ndarray
    l: np.ndarray  # noqa: E741
    s: np.ndarray
    b: np.ndarray

    def __post_init__(self) -> None:
        lengths = [len(table) for table in (self.lams, self.l, self.s, self.b)]
        if len(set(lengths)) > 1 or lengths[0] < 4:
            raise ValueError(f"tables of {lengths} entries make no statistics: give lams, l, s and b, at least 4 each")
        if not all(np.isfinite(table).all() for table in (self.lams, self.l, self.s, self.b)):
            raise ValueError("the statistics are not finite: estimate them between finite log-SNRs")
        if not (np.diff(self.lams) > 0).all():
            raise ValueError(f"log-SNRs {self.lams!r} do not increase: sort them")

    @cached_property
    def _splines(self) -> tuple[Any, Any, Any, Any, Any]:
        from scipy.interpolate import CubicSpline

        l, s, b = (CubicSpline(self.lams, table) for table in (self.l, self.s, self.b))  # noqa: E741
        return l, s, b, l.antiderivative(), s.antiderivative()

    def _inside(self, *levels: Level) -> list[float]:
        lams = [float(level.lam) for level in levels]
        low, high, slack = self.lams[0], self.lams[-1], 1e-9 * (self.lams[-1] - self.lams[0])
        for lam in lams:
            if not low - slack <= lam <= high + slack:
                raise ValueError(
                    f"log-SNR {lam:.6g} is outside the statistics, {low:.6g} to {high:.6g}: estimate them over the grid"
                )
        return lams

    def linear(self, level: Level) -> Any:
        """``l`` at the level."""
        return _coefficient(self._splines[0](self._inside(level)[0]))

    def decay(self, s: Level, t: Level) -> Any:
        """``exp(-int_s^t l)``."""
        a, b = self._inside(s, t)
        return _coefficient(np.exp(self._splines[3](a) - self._splines[3](b)))

    def growth(self, s: Level, t: Level) -> Any:
        """``exp(int_s^t s)``."""
        a, b = self._inside(s, t)
        return _coefficient(np.exp(self._splines[4](b) - self._splines[4](a)))

    def moments(self, s: Level, t: Level, count: int) -> list[Any]:
        """``int_s^t exp(int_s^u (l + s)) (u - lam_s)^k du`` for ``k < count``."""
        a, b = self._inside(s, t)
        u, w = _quadrature(self.lams, a, b)
        L, S = self._splines[3:]
        kernel = np.exp(L(u) + S(u) - L(a) - S(a))
        powers = [w * (u - a) ** k for k in range(count)]
        return [_coefficient(np.tensordot(p, kernel, axes=1)) for p in powers]

    @cached_property
    def _offsets(self) -> tuple[np.ndarray, np.ndarray]:
        """The offsets at the nodes, see :meth:`offset`."""
        f, v = [np.zeros_like(self.b[0], dtype=float)], [np.zeros_like(self.b[0], dtype=float)]
        for a, b in zip(self.lams[:-1], self.lams[1:], strict=True):
            at_f, at_v = self._carried(f[-1], v[-1], a, b)
            f.append(at_f)
            v.append(at_v)
        return np.stack(f), np.stack(v)

    def offset(self, lam: float) -> tuple[np.ndarray, np.ndarray]:
        """The solution ``(f, v)`` of ``f' = s f + b``, ``v' = -l v - f`` that vanishes at the first node."""
        i = int(np.clip(np.searchsorted(self.lams, lam, side="right") - 1, 0, len(self.lams) - 2))
        f, v = self._offsets
        return self._carried(f[i], v[i], self.lams[i], lam)

    def _carried(self, f: np.ndarray, v: np.ndarray, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
        L, S = self._splines[3:]

        def f_at(end: float) -> np.ndarray:
            u = a + (end - a) * (1 + POINTS) / 2
            forced = _against(WEIGHTS * (end - a) / 2, np.exp(S(end) - S(u)), self._splines[2](u))
            return np.exp(S(end) - S(a)) * f + forced

        u = a + (b - a) * (1 + POINTS) / 2
        along = np.stack([f_at(end) for end in u])
        drained = _against(WEIGHTS * (b - a) / 2, np.exp(L(u) - L(b)), along)
        return f_at(b), np.exp(L(a) - L(b)) * v - drained


def _coefficient(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def like(value: Any, x: Any) -> Any:
    """An array as the kind, dtype and device of ``x``."""
    return x.new_tensor(value) if hasattr(x, "new_tensor") else np.asarray(value, dtype=x.dtype)


def _against(weights: np.ndarray, kernel: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``sum_i w_i k_i y_i``, one kernel for all coordinates or one for each."""
    wide = kernel.reshape(kernel.shape + (1,) * (values.ndim - kernel.ndim))
    return np.tensordot(weights, wide * values, axes=1)


def _quadrature(nodes: np.ndarray, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights on ``[a, b]`` (or from ``b`` back to ``a``), each interval of the table for itself."""
    low, high = min(a, b), max(a, b)
    ends = np.concatenate([[low], nodes[(nodes > low) & (nodes < high)], [high]])
    half = np.diff(ends)[:, None] / 2
    u = ends[:-1, None] + half * (1 + POINTS)
    return u.ravel(), math.copysign(1, b - a) * (half * WEIGHTS).ravel()


@dataclass(frozen=True)
class Offset:
    """The change of variable that takes ``b`` out: with ``y = x - alpha v_b`` the model is ``D - v_b + q_b``.

    ``(f_b, v_b)`` is :meth:`Statistics.offset` and ``q_b = l v_b + f_b``; a plan without ``b`` that runs on this model
    from ``enter(x_T)`` and ends with ``leave`` is DPM-Solver-v3 with ``b``, to rounding.

    Attributes:
        model: of ``prediction``, or a target.
        statistics: whose ``b`` is meant.
    """

    model: Any
    statistics: Statistics
    prediction: str = "data"

    def __call__(self, y: Any, level: Level) -> Any:
        """The shifted model's prediction."""
        f, v = self.statistics.offset(float(level.lam))
        shift = f + (self.statistics.linear(level) - 1) * v
        a, b = convert(level, self.prediction, "data")
        # D = a x + b native holds for both, D_y = D + shift
        seen = adapted_model(self.model, self.prediction)(y + like(level.alpha * v, y), level)
        return seen + like((shift + a * level.alpha * v) / b, y)

    def enter(self, x: Any, level: Level) -> Any:
        """``y`` from ``x``."""
        return x - like(level.alpha * self.statistics.offset(float(level.lam))[1], x)

    def leave(self, y: Any, level: Level) -> Any:
        """``x`` from ``y``."""
        return y + like(level.alpha * self.statistics.offset(float(level.lam))[1], y)
