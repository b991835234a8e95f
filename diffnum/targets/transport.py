"""The monotone map between two noise levels of a one-dimensional law: its probability flow.

On the line the flow keeps order, so it carries quantiles to quantiles: ``y_t = F_t^-1(F_s(y_s))``.
The nearer tail is used on both sides, in logarithms, so that no digit is lost far out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plan import Level
from .laws import Law
from .mixture1d import numbers

__all__ = ["quantile", "transport"]

_TOLERANCE = 1e-10
_LOST = 8.0  # rounding units that a log-tail may be off by, relative to 1 + |log-tail|
_STEPS = 200


def transport(law: Law, y: np.ndarray, s: Level, t: Level) -> np.ndarray:
    """``F_t^-1(F_s(y))`` elementwise, with the error it can have checked.

    With ``T`` the nearer tail and ``p`` the density, rounding moves the result by at most about

        eps ((1 + |log T|) T / p_t + |y_s| p_s / p_t + |y_t|) + the residual of the inversion.

    Args:
        y: float64 array, or an object array of mpmath numbers (mixtures only).

    Raises:
        ValueError: this exceeds 1e-10 of ``max(|y_t|, standard deviation at t)``, as where the density
            at ``t`` almost vanishes between modes; a clean level of a law with point masses; ``y``
            outside the support.
    """
    if law.atoms and (s.clean or t.clean):
        raise ValueError("the flow of point masses has no inverse at sigma = 0: use levels with sigma > 0")
    lower, upper = law.log_tail(y, -1.0, s), law.log_tail(y, 1.0, s)
    sign = np.where(lower <= upper, -1.0, 1.0)
    log_p = np.where(lower <= upper, lower, upper)
    if np.any(log_p == -np.inf):
        outside = _first(y, log_p == -np.inf)
        raise ValueError(f"y = {outside} lies outside the support at sigma = {s.sigma}: move it inside")
    found = quantile(law, log_p, sign, t)
    error = _error(law, y, found, log_p, sign, s, t)
    scale = np.maximum(abs(found), _std(law, t))
    bad = ~(error <= _TOLERANCE * scale)
    if np.any(bad):
        raise ValueError(
            f"the flow of y = {_first(y, bad)} to sigma = {t.sigma} could be off by {_first(error / scale, bad):.0e} "
            "relative, as the density there almost vanishes: choose other points, or a level with more noise"
        )
    return found


def quantile(law: Law, log_p: np.ndarray, sign: np.ndarray, level: Level) -> np.ndarray:
    """The ``y`` with ``log P(sign (Y - y) >= 0) = log_p <= log 1/2``: Newton on the log-tail, kept in a bracket.

    A step that leaves the bracket, or does not halve the one before, is replaced by bisection.
    """
    xp = numbers(log_p)
    noise = _LOST * xp.eps * (1 + abs(log_p))
    lo, hi = law.bracket(log_p, sign, level)
    y = lo + (hi - lo) / 2
    step, done = hi - lo, np.zeros(np.shape(y), dtype=bool)
    for _ in range(_STEPS):
        log_t = law.log_tail(y, sign, level)
        gap = sign * (log_t - log_p)
        lo, hi = np.where(gap >= 0, y, lo), np.where(gap <= 0, y, hi)
        with np.errstate(all="ignore"):
            move = gap / xp.exp(law.log_pdf(y, level) - log_t)
            newton = (abs(move) <= abs(step) / 2) & (lo <= y + move) & (y + move <= hi)
        step = np.where(done, 0.0, np.where(newton, move, lo + (hi - lo) / 2 - y))
        # within rounding of the tail a last Newton step is as good as any
        done = done | (abs(gap) <= noise)
        step = np.where(done & ~newton, 0.0, step)
        y = y + step
        if np.all(done):
            break
    return y


def _error(law: Law, y: Any, found: Any, log_p: Any, sign: Any, s: Level, t: Level) -> Any:
    """The bound of :func:`transport`."""
    xp = numbers(found)
    log_t, log_f = law.log_tail(found, sign, t), law.log_pdf(found, t)
    with np.errstate(all="ignore"):
        per_log = xp.exp(log_t - log_f)
        stretch = xp.exp(law.log_pdf(y, s) - log_f)
        rounding = _LOST * (1 + abs(log_p)) * per_log + abs(y) * stretch + abs(found)
        return xp.eps * rounding + abs(log_t - log_p) * per_log


def _std(law: Law, level: Level) -> Any:
    return ((level.alpha * law.std) ** 2 + level.sigma**2) ** 0.5


def _first(values: Any, where: Any) -> float:
    return float(np.broadcast_to(values, np.shape(where))[where][0])
