"""Ours as other libraries run them: orders that rise and fall, nodes on the grid, other starts. See :mod:`peers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffnum.interop.lowering import PAIRS, adams, corrected, lowered, remaining
from diffnum.num import extended
from diffnum.plan import Eval, Level, Plan
from diffnum.solvers import generated as g
from diffnum.solvers.coords import RATIO, Coords, transfer
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

Build = Callable[..., None]


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
