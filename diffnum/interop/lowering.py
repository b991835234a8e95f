"""Multistep samplers as libraries run them: with an order for each step, lowered where the walk starts and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..plan import Level
from ..solvers.coords import Coords, transfer
from ..solvers.corrected import UNIC_BH1, UNIC_BH2, UNIP_BH1, UNIP_BH2
from ..solvers.rules import Point, implicit_weights, weights

__all__ = ["PAIRS", "adams", "corrected", "lowered", "remaining"]

Rule = Callable[[Coords, Any, Sequence[Point]], Sequence[Any]]
Build = Callable[..., None]

PAIRS = {"bh1": (UNIP_BH1, UNIC_BH1), "bh2": (UNIP_BH2, UNIC_BH2)}


def lowered(n: int, order: int, zero: bool = False, low: bool = True, euler: bool = False) -> list[int]:
    """Orders of DPMSolverMultistep and DEIS in diffusers: rising at the start, lowered at the end of less than 15.

    Args:
        zero: the last step goes to the clean level.
        low, euler: the settings ``lower_order_final`` and ``euler_at_final``.
    """
    orders = [min(i + 1, order) for i in range(n)]
    if n > 1 and low and n < 15:
        orders[-2] = min(orders[-2], 2)
    if euler or (low and n < 15) or zero:
        orders[-1] = 1
    return orders


def remaining(n: int, order: int, low: bool = True, more: int = 0) -> list[int]:
    """Orders of UniPC in diffusers: rising at the start, and no more than the steps that remain."""
    return [min(order, i + 1 + more, n - i + more if low else order) for i in range(n)]


def adams(coords: Coords, orders: Sequence[int], rule: Rule = weights) -> Build:
    """A multistep method of ``orders[i]`` points in step ``i``."""

    def build(T: Any, grid: Any) -> None:
        past: tuple[Point, ...] = ()
        for (s, t), order in zip(T.steps(grid), orders, strict=True):
            e = T.evaluate(T.x, s)
            if not coords.regular(s, t):
                T.x = transfer(T.x, s, t, e.data)
                continue
            now = Point(coords.quantity(e), coords.step(T, s, t))
            T.x = _moved(coords, T.x, s, t, now, past[: order - 1], rule)
            past = (now, *past)

    return build


def corrected(
    coords: Coords,
    orders: Sequence[int],
    predict: Rule = weights,
    correct: Rule = implicit_weights,
    behind: Sequence[int] | None = None,
    skip: Sequence[int] = (),
) -> Build:
    """Predict, evaluate, correct, with orders for each step; neither the last step nor those in ``skip`` is corrected.

    Args:
        orders: points of the predictor, the current one included.
        behind: points of the corrector, the new one not included; default ``orders``.
    """
    known = orders if behind is None else behind

    def build(T: Any, grid: Any) -> None:
        past: tuple[Point, ...] = ()
        e = None
        for i, (s, t) in enumerate(T.steps(grid)):
            e = T.evaluate(T.x, s) if e is None else e
            if not coords.regular(s, t):
                T.x, e = transfer(T.x, s, t, e.data), None
                continue
            now = Point(coords.quantity(e), coords.step(T, s, t))
            x, e = _moved(coords, T.x, s, t, now, past[: orders[i] - 1], predict), None
            if i < len(orders) - 1:
                e = T.evaluate(x, t)
                if i not in skip:
                    x = _moved(coords, T.x, s, t, now, past[: known[i] - 1], correct, (coords.quantity(e),))
            T.x, past = x, (now, *past)

    return build


def _moved(
    coords: Coords, x: Any, s: Level, t: Level, now: Point, past: Sequence[Point], rule: Rule, ahead: Any = ()
) -> Any:
    moved, gain = coords.ratio(s, t) * x, coords.gain(t) * now.step
    for w, N in zip(rule(coords, now.step, past), (*ahead, now.N, *(p.N for p in past)), strict=True):
        moved = moved + (gain * float(w)) * N
    return moved
