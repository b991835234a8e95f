"""Ours as other libraries run them: orders that rise and fall, nodes on the grid, other starts. See :mod:`peers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffnum.num import extended
from diffnum.plan import Eval, Level, Plan
from diffnum.solvers import generated as g
from diffnum.solvers.coords import RATIO, Coords, transfer
from diffnum.solvers.corrected import UNIC_BH1, UNIC_BH2, UNIP_BH1, UNIP_BH2
from diffnum.solvers.rules import Point, implicit_weights, weights
from diffnum.trace import Form

__all__ = [
    "PAIRS",
    "adams",
    "corrected",
    "inner_levels",
    "lowered",
    "one_step",
    "plms",
    "prk",
    "remaining",
    "singlestep",
]

Rule = Callable[[Coords, Any, Sequence[Point]], Sequence[Any]]
Build = Callable[..., None]


def adams(coords: Coords, orders: Sequence[int], rule: Rule = weights) -> Build:
    """A multistep method with an order for each step, as libraries lower it at the start and at the end."""

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
                T.x = transfer(T.x, s, t, e.data)
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


PAIRS = {"bh1": (UNIP_BH1, UNIC_BH1), "bh2": (UNIP_BH2, UNIC_BH2)}


# --- the orders of the steps ---


def lowered(n: int, order: int, zero: bool = False, low: bool = True, euler: bool = False) -> list[int]:
    """Orders of DPMSolverMultistep and DEIS: rising at the start, lowered at the end of fewer than 15 steps."""
    orders = [min(i + 1, order) for i in range(n)]
    if n > 1 and low and n < 15:
        orders[-2] = min(orders[-2], 2)
    if euler or (low and n < 15) or zero:
        orders[-1] = 1
    return orders


def remaining(n: int, order: int, low: bool = True, more: int = 0) -> list[int]:
    """Orders of UniPC: rising at the start, and no more than the steps that remain."""
    return [min(order, i + 1 + more, n - i + more if low else order) for i in range(n)]


# --- one step made of several of the grid's ---


def singlestep(coords: Coords, orders: Sequence[int], second: Any, third: Any) -> Build:
    """Blocks of orders 1, 2, ... from one start, whose nodes are the grid's own levels.

    Args:
        second, third: generated formulas of two and three stages in ``z`` and the nodes.
    """
    of = {1: g.exponential_euler, 2: second, 3: third}

    def build(T: Any, grid: Any) -> None:
        start, x, seen, at = grid[0], T.x, [], []
        for (s, t), order in zip(T.steps(grid), orders, strict=True):
            e = T.evaluate(T.x, s)
            if order == 1:
                start, x, seen, at = s, T.x, [], []
            seen, at = [*seen, coords.quantity(e)], [*at, s.lam]
            if t.clean:
                T.x = transfer(T.x, s, t, e.data)
                continue
            h = t.lam - start.lam
            nodes = [(lam - start.lam) / h for lam in at[1:]]
            T.x = coords.ratio(start, t) * x
            for w, N in zip(extended(of[order], coords.stiffness * h, *nodes)[2], seen, strict=True):
                T.x = T.x + (coords.gain(t) * h * w) * N

    return build


def one_step(coords: Coords, *tables: tuple[Any, ...]) -> Build:
    """One exponential Runge-Kutta step per interval, of a table for each: a generated formula and its nodes."""

    def build(T: Any, grid: Any) -> None:
        for (s, t), (formula, *nodes) in zip(T.steps(grid), tables, strict=True):
            h = coords.step(T, s, t)
            at, rows, final = extended(formula, coords.stiffness * h, *nodes)
            x, seen = T.x, [coords.quantity(T.evaluate(T.x, s))]
            for c, row in zip(at[1:], rows[1:], strict=True):
                u = coords.between(T, s, t, c)
                seen.append(coords.quantity(T.evaluate(_combined(coords, x, s, u, h, row, seen), u)))
            T.x = _combined(coords, x, s, t, h, final, seen)

    return build


def _combined(
    coords: Coords, x: Form, s: Level, u: Level, h: Any, weights: Sequence[Any], seen: Sequence[Form]
) -> Form:
    moved = coords.ratio(s, u) * x
    for w, N in zip(weights, seen, strict=True):
        moved = moved + (coords.gain(u) * h * float(w)) * N
    return moved


# --- pseudo-linear multistep ---


def _step(T: Any, x: Form, s: Level, t: Level, slope: Form) -> Form:
    return RATIO.ratio(s, t) * x + (RATIO.gain(t) * RATIO.step(T, s, t)) * slope


def _bashforth(past: Sequence[Form]) -> Form:
    return sum((float(c) * e for c, e in zip(g.ADAMS_BASHFORTH[len(past) - 1], past, strict=True)), Form())


def plms(T: Any, grid: Any, points: int = 4) -> None:
    """Adams-Bashforth with constant weights in ``sigma / alpha``, started with Heun."""
    past: list[Form] = []
    for i, (s, t) in enumerate(T.steps(grid)):
        e = T.evaluate(T.x, s).noise
        past = [e, *past][:points]
        if i == 0:
            ahead = T.evaluate(_step(T, T.x, s, t, e), t).noise
            T.x = _step(T, T.x, s, t, 0.5 * (e + ahead))
        else:
            T.x = _step(T, T.x, s, t, _bashforth(past))


def prk(middle: Callable[[int], Level]) -> Build:
    """Four points after three steps of the classical four stages, whose inner level is ``middle(i)``."""

    def build(T: Any, grid: Any) -> None:
        past: list[Form] = []
        for i, (s, t) in enumerate(T.steps(grid)):
            e = T.evaluate(T.x, s).noise
            past = [e, *past][:4]
            if i >= 3:
                T.x = _step(T, T.x, s, t, _bashforth(past))
                continue
            u = middle(i)
            two = T.evaluate(_step(T, T.x, s, u, e), u).noise
            three = T.evaluate(_step(T, T.x, s, u, two), u).noise
            four = T.evaluate(_step(T, T.x, s, t, three), t).noise
            T.x = _step(T, T.x, s, t, (e + 2.0 * two + 2.0 * three + four) / 6.0)

    return build


def inner_levels(plan: Plan) -> Callable[[int], Level]:
    """The level of the second of every four evaluations of ``plan``."""
    calls = [line.level for line in plan.lines if isinstance(line, Eval)]
    return lambda i: calls[4 * i + 1]
