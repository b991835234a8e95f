"""What a run draws from, out of what its caller gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..plan import Noise, Plan
from .brownian import Brownian
from .counter import Counter

__all__ = ["Source", "as_source"]

Source = Callable[[Noise, Any], Any]
"""From a plan's :class:`~diffnum.plan.Noise` line and the array it acts on to the draw."""


def as_source(noise: Any, plan: Plan | None = None) -> Source:
    """What a run draws from, out of what its caller gave.

    Args:
        noise: a :class:`Counter` or :class:`Brownian`; or None, for plans without draws; or any callable
            ``f(s, t, j, x)`` of two levels, an index and the array whose shape and dtype its result must have.
        plan: if given, None is refused here when the plan draws, rather than at the first draw.

    Returns:
        A function of a noise line and an array.

    Raises:
        ValueError: the plan draws and there is nothing to draw from; later, a draw of another shape or dtype.
        TypeError: ``noise`` is none of these.
    """
    if isinstance(noise, Counter | Brownian):
        return noise
    if noise is None:
        if plan is not None and plan.draws:
            raise ValueError(_nothing(plan.solver or "this plan", len(plan.draws)))
        return _refuse
    if callable(noise):
        return lambda line, x: _checked(noise(line.s, line.t, line.j, x), x)
    raise TypeError(
        f"noise = {noise!r} is no source of draws: pass a Counter(seed), a function f(s, t, j, x) or None, or "
        "Brownian(seed) for one path on every grid"
    )


def _refuse(line: Noise, x: Any) -> Any:
    raise ValueError(_nothing("this plan", 1))


def _nothing(name: str, draws: int) -> str:
    return f"{name} draws noise {draws} time{'s' * (draws > 1)} and was given no source: pass noise=Counter(seed)"


def _checked(draw: Any, x: Any) -> Any:
    shape, dtype = getattr(draw, "shape", None), getattr(draw, "dtype", None)
    if shape != x.shape or dtype != x.dtype:
        raise ValueError(
            f"the noise function returned shape {shape} of {dtype} for a state of shape {x.shape} of {x.dtype}: "
            "return an array like x"
        )
    return draw
