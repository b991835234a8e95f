"""Momentum samplers (Wizadwongsa et al. 2024): a running mean of slopes steps instead of the slope, for stability.

In ``y = x / alpha`` and ``rho = sigma / alpha`` the probability-flow ODE is ``dy/drho = eps``. With the damping
coefficient ``b`` in (0, 1], ``d = rho_t - rho_s`` and ``e`` the noise predicted at ``s``,

    v <- (1 - b) v + b AB_r(e),    y <- y + d v                       (heavy ball)
    v <- (1 - b) v + b e,          y <- y + d sum_j c_j(b) v_j / b    (generalised heavy ball, GHVB)

started with ``v = e``; at ``b = 1`` both are the Adams-Bashforth method ``AB_r``. The velocity is not stored: heavy
ball's is the last displacement ``u = (y_s - y_s') / d'``, and GHVB is, eliminating ``v``,

    y <- y + d ((1 - b) u + sum_j w_j e_j),    sum_j w_j e_j = mean of p ahead - (1 - b) mean of p behind

with ``p`` the polynomial through the last ``r`` slopes, *ahead* the step and *behind* the one before. On equal steps
the ``w_j`` are the published constants; taken as they stand they are the corrected weights of any grid.

Nothing is remembered of a pure-noise level, where ``rho`` is infinite. A step to ``sigma = 0`` is as any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ..num import expm1
from ..plan import Level
from ..trace import Form, Trace, solver
from .coords import data_transfer, total, transfer

__all__ = ["ghvb", "ghvb2", "ghvb3", "ghvb4", "hb", "hb_2m", "momentum_number", "nesterov", "weights"]

FAMILY = "momentum"
PAPER = "wizadwongsa2024momentum"


def momentum_number(number: float) -> dict[str, Any]:
    """Options of "GHVB ``number``": order ``r``, its ceiling, and damping ``b``, its fractional part (1 if none)."""
    if not 0 < number <= 4:
        raise ValueError(f"GHVB {number!r} is unknown: use a momentum number in (0, 4], such as 1.8 for r = 2, b = 0.8")
    r = math.ceil(number)
    return {"r": r, "b": 1.0 if number == r else round(number - r + 1, 12)}


def weights(b: Any, steps: Sequence[Any]) -> list[Any]:
    """``w_0, ..., w_{r-1}`` of the module's head for ``steps = (d, d_1, ..., d_{r-1})``, the newest first.

    Means of the Lagrange polynomials over the step ahead, less ``1 - b`` times those over the step behind: the
    Adams-Bashforth weights less ``1 - b`` times the Adams-Moulton weights on the same nodes.
    """
    return [b] if len(steps) == 1 else [ahead - (1 - b) * behind for ahead, behind in _means_of(steps)]


def _means_of(steps: Sequence[Any]) -> tuple[tuple[Any, Any], ...]:
    ratios = [past / steps[0] for past in steps[1:]]
    nodes = [0, *(-sum(ratios[1:j], ratios[0]) for j in range(1, len(steps)))]
    basis = [_lagrange(nodes, j) for j in range(len(nodes))]
    return tuple([(_mean(c, 1), _mean(c, nodes[1])) for c in basis])


def _mean(c: Sequence[Any], end: Any) -> Any:
    """Mean of the polynomial ``c`` between 0 and ``end``."""
    mean = c[-1] / len(c)
    for k in range(len(c) - 1, 0, -1):
        mean = c[k - 1] / k + end * mean
    return mean


def _lagrange(nodes: Sequence[Any], j: int) -> list[Any]:
    """Coefficients, constant term first, of the polynomial that is 1 at node ``j`` and 0 at the others."""
    c: list[Any] = [1]
    for i, node in enumerate(nodes):
        if i != j:
            gap = nodes[j] - node
            c = [(up - node * own) / gap for up, own in zip([0, *c], [*c, 0], strict=True)]
    return c


@dataclass(frozen=True)
class _Past:
    """What a step remembers: where the last one began, and the slopes and increments of ``rho``, newest first."""

    x: Form
    s: Level
    slopes: tuple[Form, ...]
    steps: tuple[Any, ...]

    def velocity(self, x: Form, t: Level) -> Form:
        """``u``, the last displacement in ``y`` over its increment of ``rho``."""
        d = self.steps[0]
        return (1 / (t.alpha * d)) * x - (1 / (self.s.alpha * d)) * self.x


Rule = Callable[[int, Form | None, tuple[Form, ...], tuple[Any, ...]], Form]


def _walk(T: Trace, grid: Any, length: int, rule: Rule) -> None:
    """``y <- y + d rule(n, u, slopes, steps)``, with ``n`` steps since the start and up to ``length`` slopes."""
    past: _Past | None = None
    n = 0
    for s, t in T.steps(grid):
        x, e = T.x, T.evaluate(T.x, s, "e")
        if s.pure_noise:
            T.x = transfer(x, s, t, e.data)
            continue
        d = t.sigma / t.alpha - s.sigma / s.alpha
        slopes = (e.noise, *(past.slopes if past else ()))[:length]
        steps = (d, *(past.steps if past else ()))[:length]
        v = rule(n, past and past.velocity(x, s), slopes, steps)
        T.x = (t.alpha / s.alpha) * x + (t.alpha * d) * v
        past, n = _Past(x, s, slopes, steps), n + 1


def _check(r: int, b: Any) -> None:
    if r not in (1, 2, 3, 4):
        raise ValueError(f"order r = {r!r} is unknown: use 1, 2, 3 or 4")
    check_damping(b)


def check_damping(b: Any) -> None:
    """Refuse a damping coefficient outside (0, 1]."""
    if isinstance(b, (int, float)) and not 0 < b <= 1:
        raise ValueError(f"damping b = {b!r} is outside (0, 1]: 1 is the method without momentum")


@solver(
    order=1,
    cold=1,
    cite=PAPER,
    eq="14, Algorithm 1",
    family=FAMILY,
    note="momentum lowers Adams-Bashforth of any order to order one, on every grid",
)
def hb(T: Trace, grid: Any, r: int = 4, b: Any = 0.8) -> None:
    """Heavy ball, "PLMS4 with HB 0.8": ``y <- y + d ((1 - b) u + b AB_r(e))``, orders ramping up to ``r``."""
    _check(r, b)

    def rule(n: int, u: Form | None, slopes: tuple[Form, ...], steps: tuple[Any, ...]) -> Form:
        return slopes[0] if u is None else (1 - b) * u + _adams(b, slopes)

    _walk(T, grid, r, rule)


@solver(
    order=1,
    cold=1,
    cite=PAPER,
    eq="50",
    family=FAMILY,
    note="momentum lowers Adams-Bashforth of any order to order one, on every grid",
)
def nesterov(T: Trace, grid: Any, r: int = 4, b: Any = 0.8) -> None:
    """Nesterov's momentum on ``p = AB_r(e)``: ``v <- (1 - b) v + b p``, ``y <- y + d ((1 - b) v + b p)``, that is

    ``y <- y + d ((1 - b) u + b (2 - b) p - b (1 - b) p')`` with ``p'`` of the step before.
    """
    _check(r, b)

    def rule(n: int, u: Form | None, slopes: tuple[Form, ...], steps: tuple[Any, ...]) -> Form:
        if u is None:
            return slopes[0]
        before = slopes[1 : min(n, r) + 1]
        return (1 - b) * u + _adams(b * (2 - b), slopes[:r]) + _adams(-b * (1 - b), before)

    _walk(T, grid, r + 1, rule)


@solver(
    order=1,
    cold=2,
    smooth=2,
    cite=PAPER,
    eq="17, Algorithm 2",
    family=FAMILY,
    note="published as order r, which holds on equal steps in sigma / alpha; its constant weights are of order one on "
    "other grids, of order two if they refine smoothly",
)
def ghvb(T: Trace, grid: Any, r: int = 2, b: Any = 0.8) -> None:
    """GHVB as published ("GHVB 1.8" is ``r = 2, b = 0.8``, see :func:`momentum_number`): weights of equal steps.

    Orders ramp up on velocities, ``y <- y + d sum_j w_j v_j / b``; from order ``r`` on that is the recurrence in ``u``.
    """
    _check(r, b)

    def rule(n: int, u: Form | None, slopes: tuple[Form, ...], steps: tuple[Any, ...]) -> Form:
        w = _constant(b, len(slopes))
        if u is not None and (n == 1 or n >= r):
            # at n = 1 the velocity, one slope, is the displacement
            return (1 - b) * u + _sum(w, slopes)
        return _sum([c / b for c in w], _velocities(b, slopes))

    _walk(T, grid, r, rule)


@solver(order=2, cold=2, cite=PAPER, eq="17, on variable steps", family=FAMILY)
def ghvb2(T: Trace, grid: Any, b: Any = 0.8) -> None:
    """GHVB of order two with the weights of the grid's own steps."""
    _variable(T, grid, 2, b)


@solver(order=3, cold=2, cite=PAPER, eq="16, on variable steps", family=FAMILY)
def ghvb3(T: Trace, grid: Any, b: Any = 0.8) -> None:
    """GHVB of order three with the weights of the grid's own steps."""
    _variable(T, grid, 3, b)


@solver(order=4, cold=2, cite=PAPER, eq="16, on variable steps", family=FAMILY)
def ghvb4(T: Trace, grid: Any, b: Any = 0.8) -> None:
    """GHVB of order four with the weights of the grid's own steps."""
    _variable(T, grid, 4, b)


def _variable(T: Trace, grid: Any, r: int, b: Any) -> None:
    _check(r, b)

    def rule(n: int, u: Form | None, slopes: tuple[Form, ...], steps: tuple[Any, ...]) -> Form:
        return slopes[0] if u is None else (1 - b) * u + _sum(weights(b, steps), slopes)

    _walk(T, grid, r, rule)


def _constant(b: Any, r: int) -> list[Any]:
    """Weights of equal steps, those of theory.momentum.published."""
    return [b] if r == 1 else [ahead - (1 - b) * behind for ahead, behind in _means(r)]


@lru_cache(maxsize=8)
def _means(r: int) -> tuple[tuple[Any, Any], ...]:
    """Of ``r`` equal steps, over the step ahead and the step behind, see :func:`weights`."""
    return _means_of([Fraction(1)] * r)


def _velocities(b: Any, slopes: Sequence[Form]) -> list[Form]:
    """Running means of all slopes since the start, newest first."""
    found = [slopes[-1]]
    for e in reversed(slopes[:-1]):
        found.insert(0, (1 - b) * found[0] + b * e)
    return found


def _adams(factor: Any, slopes: Sequence[Form]) -> Form:
    return _sum([factor * c for c in _constant(1, len(slopes))], slopes)


def _sum(coefficients: Sequence[Any], forms: Sequence[Form]) -> Form:
    return total(zip(coefficients, forms, strict=True))


@solver(
    order=1,
    cold=1,
    cite=PAPER,
    eq="14, on DPM-Solver++(2M); reference code",
    family=FAMILY,
    note="momentum lowers DPM-Solver++(2M) to order one",
)
def hb_2m(T: Trace, grid: Any, b: Any = 0.8) -> None:
    """Heavy ball on DPM-Solver++(2M): ``x_t = (sigma_t/sigma_s) x - alpha_t (e^-h - 1) v`` with

    ``v <- (1 - b) v + b (D + h / (2 h_) (D - D_))``, which begins with the first step that extrapolates.
    """
    _check(2, b)
    past: tuple[Form, Level, Form, Any, bool] | None = None
    for s, t in T.steps(grid):
        x, h, D = T.x, T.h(s, t), T.denoise(T.x, s)
        if past is None or t.clean:
            T.x = transfer(x, s, t, D)
            past = None if s.pure_noise else (x, s, D, h, False)
            continue
        x_, s_, D_, h_, moving = past
        v = D + h / (2 * h_) * (D - D_)
        if moving:
            gain = -s.alpha * expm1(-h_)
            v = b * v + ((1 - b) / gain) * x - ((1 - b) * s.sigma / (s_.sigma * gain)) * x_
        T.x = data_transfer(T, x, s, t, v)
        past = x, s, D, h, True
