"""Momentum on any multistep rule, in any coordinates of :mod:`.coords`.

A rule steps with a mean ``p = sum_j w_j N_j / w`` of what is interpolated, ``w = sum_j w_j``:

    x_t = ratio(s, t) x_s + gain(t) step w p.

With damping ``b`` in (0, 1] and ``q`` what the last step used in the place of ``p`` (Wizadwongsa et al. 2024, eq. 14
and 50, there on Adams-Bashforth in ``sigma / alpha`` and on DPM-Solver++(2M)),

    heavy ball    (1 - b) q + b p
    Nesterov      (1 - b) q + b (2 - b) p - b (1 - b) p'        p' that of the step before

takes its place; the first step has ``p``. ``q`` is not stored: it is the last displacement,
``(x_s - ratio x_s') / (gain step w)'``. At ``b = 1`` both are the rule itself; below, they are of order one whatever
it is. Where the coordinates are not regular the step is of first order and momentum begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..plan import Level
from ..trace import Form, Trace
from . import generated as g
from .coords import DATA, NOISE, Coords, transfer
from .momentum import FAMILY, PAPER, check_damping
from .rules import Build, Point, Rule, formulas, named, weights

__all__ = ["hb_exp_ab3", "hb_exp_ab3_noise", "heavy_ball_on", "nesterov_2m", "nesterov_on"]

NOTE = "momentum lowers {} to order one"
Mixed = Callable[[Any, Form, Form, Form], Form]


@dataclass(frozen=True)
class _Before:
    """The last step: where it began, what it would have used, and the factor of what it used."""

    x: Form
    s: Level
    mean: Form
    factor: Any


def heavy_ball_on(coords: Coords, points: int, rule: Rule = weights) -> Build:
    """Heavy ball on an Adams rule of ``points`` points; the damping ``b`` is the option."""
    return _with_momentum(coords, points, rule, lambda b, q, p, before: (1 - b) * q + b * p)


def nesterov_on(coords: Coords, points: int, rule: Rule = weights) -> Build:
    """Nesterov's momentum on an Adams rule of ``points`` points; the damping ``b`` is the option."""

    def mixed(b: Any, q: Form, p: Form, before: Form) -> Form:
        return (1 - b) * q + (b * (2 - b)) * p - (b * (1 - b)) * before

    return _with_momentum(coords, points, rule, mixed)


def _with_momentum(coords: Coords, points: int, rule: Rule, mixed: Mixed) -> Build:
    def build(T: Trace, grid: Any, b: Any = 0.8) -> None:
        check_damping(b)
        past: tuple[Point, ...] = ()
        last: _Before | None = None
        for s, t in T.steps(grid):
            x, e = T.x, T.evaluate(T.x, s)
            if not coords.regular(s, t):
                T.x, past, last = transfer(x, s, t, e.data), (), None
                continue
            now = Point(coords.quantity(e), coords.step(T, s, t))
            w = rule(coords, now.step, past)
            total = sum(w[1:], w[0])
            p = _mean(w, total, (now, *past))
            used = p if last is None else mixed(b, _displaced(coords, x, s, last), p, last.mean)
            factor = coords.gain(t) * now.step * total
            T.x = coords.ratio(s, t) * x + factor * used
            past, last = (now, *past)[: points - 1], _Before(x, s, p, factor)

    return build


def _mean(w: Sequence[Any], total: Any, points: Sequence[Point]) -> Form:
    mean = (w[0] / total) * points[0].N
    for c, point in zip(w[1:], points[1:], strict=True):
        mean = mean + (c / total) * point.N
    return mean


def _displaced(coords: Coords, x: Form, s: Level, last: _Before) -> Form:
    return (1 / last.factor) * x - (coords.ratio(last.s, s) / last.factor) * last.x


def _named(name: str, build: Build, says: str, eq: str, what: str) -> Any:
    return named(name, build, says, order=1, cold=1, cite=PAPER, eq=eq, family=FAMILY, note=NOTE.format(what))


hb_exp_ab3 = _named(
    "hb_exp_ab3",
    heavy_ball_on(DATA, 3),
    "Heavy ball on exponential Adams-Bashforth of three points, on the data.",
    "14",
    "the third-order method",
)
hb_exp_ab3_noise = _named(
    "hb_exp_ab3_noise",
    heavy_ball_on(NOISE, 3),
    "Heavy ball on exponential Adams-Bashforth of three points, on the noise.",
    "14",
    "the third-order method",
)
nesterov_2m = _named(
    "nesterov_2m",
    nesterov_on(DATA, 2, formulas(g.exponential_adams_1, g.dpm_2m)),
    "Nesterov's momentum on DPM-Solver++(2M).",
    "50",
    "DPM-Solver++(2M)",
)
