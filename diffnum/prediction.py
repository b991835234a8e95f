"""Predictions and their conversions: data, noise, velocity and score are one quantity in four coordinates."""

from __future__ import annotations

from typing import Any

from .plan import PREDICTIONS, Level

__all__ = ["convert", "to_data", "to_native"]


def convert(level: Level, source: str, target: str | tuple[Any, Any]) -> tuple[Any, Any]:
    """Coefficients ``(a, b)`` of ``target = a * x + b * source``, both predictions at ``level``.

    Every prediction is a fixed combination ``q = q0 x0 + q1 eps``: data ``(1, 0)``, noise
    ``(0, 1)``, velocity ``level.v``, score ``(0, -1/sigma)``; with ``x = alpha x0 + sigma eps``,

        b = (alpha target1 - sigma target0) / det,   a = (target0 source1 - target1 source0) / det,
        det = alpha source1 - sigma source0.

    Args:
        target: a prediction's name or its pair ``(target0, target1)``.

    Raises:
        ZeroDivisionError: ``source`` does not determine ``target`` at this level (a noise
            prediction at ``alpha = 0``, a data prediction at ``sigma = 0``).
        ValueError: a name that is not one of :data:`diffnum.plan.PREDICTIONS`.
    """
    if source == target:
        return 0.0, 1.0
    if isinstance(target, str) and {source, target} == {"noise", "score"}:
        # proportional at every level, alpha = 0 included
        return 0.0, (-1 / level.sigma if target == "score" else -level.sigma)
    s0, s1 = _pair(level, source)
    t0, t1 = _pair(level, target) if isinstance(target, str) else target
    det = level.alpha * s1 - level.sigma * s0
    return (t0 * s1 - t1 * s0) / det, (level.alpha * t1 - level.sigma * t0) / det


def _pair(level: Level, quantity: str) -> tuple[Any, Any]:
    if quantity == "data":
        return 1.0, 0.0
    if quantity == "noise":
        return 0.0, 1.0
    if quantity == "score":
        return 0.0, -1 / level.sigma
    if quantity == "velocity":
        return level.v
    raise ValueError(f"prediction {quantity!r} is unknown: use one of {', '.join(PREDICTIONS)}")


def to_native(level: Level, quantity: str) -> tuple[Any, Any]:
    """``(a, b)`` of ``native = a * x + b * D`` with ``D = E[x0 | x]``; see :func:`convert`."""
    return convert(level, "data", quantity)


def to_data(level: Level, quantity: str) -> tuple[Any, Any]:
    """``(a, b)`` of ``D = a * x + b * native``; see :func:`convert`."""
    return convert(level, quantity, "data")
