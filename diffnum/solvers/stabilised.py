"""Stabilised methods: Runge-Kutta-Gegenbauer, and STORK, which feeds it extrapolated predictions.

A Runge-Kutta-Gegenbauer method of ``s`` stages has stability polynomials

    P_j(z) = 1 - b_j C_j(1) + b_j C_j(1 + w z),

``C_j`` Gegenbauer's of parameter 3/2, whose real interval grows like ``s^2``. Two derivatives at ``z = 0`` give

    w = C_s'(1) / C_s''(1),    b_j = C_j''(1) / C_j'(1)^2,    c_j = P_j'(0) = (j - 1)(j + 4) / ((s - 1)(s + 4))

(Skaras et al. 2021), and the three-term recurrence of ``C_j`` the stages.

STORK takes one evaluation a step and shows the stages the polynomial in the clock through the last predictions instead:
through noises, with the linear part of the probability-flow ODE at the stage's own state, or through slopes. The first
is DEIS tAB with its exact linear part replaced by ``P_s``; in the second no stage is seen at all and what is left is a
linear multistep method, without the stability that the recurrence was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction as F
from functools import cached_property, lru_cache
from typing import Any

from ..plan import Level
from ..series import Series
from ..trace import Form, Solver, Trace
from .coords import CLOCK, transfer
from .quadrature import lagrange
from .rules import Build, named, runge_kutta
from .tables import scaled

__all__ = ["rkg2", "stork_2", "stork_2_flow", "stork_2_flow_coded"]


@dataclass(frozen=True)
class Stage:
    """``Y_j = mu Y_{j-1} + nu Y_{j-2} + (1 - mu - nu) y + h (rise f(Y_{j-1}) + first f(y))``."""

    mu: F
    nu: F
    rise: F
    first: F

    @cached_property
    def rest(self) -> F:
        """``1 - mu - nu``."""
        return 1 - self.mu - self.nu


@lru_cache(maxsize=16)
def gegenbauer(stages: int) -> tuple[Stage, ...]:
    """Stages 1 to ``s`` of the method of order two.

    Raises:
        ValueError: fewer than two stages.
    """
    if stages != int(stages) or stages < 2:
        raise ValueError(f"stages = {stages} are too few for order two: use 2, 3, ...")
    s = int(stages)
    w = _slope(s) / _curvature(s)
    b = [F(1), F(1, 3), *(_curvature(j) / _slope(j) ** 2 for j in range(2, s + 1))]
    found = [Stage(F(1), F(0), w, F(0))]
    for j in range(2, s + 1):
        mu, nu = (2 * j + 1) * b[j] / (j * b[j - 1]), -(j + 1) * b[j] / (j * b[j - 2])
        found.append(Stage(mu, nu, mu * w, -mu * w * (1 - b[j - 1] * _value(j - 1))))
    return tuple(found)


def _value(j: int) -> F:
    """``C_j(1) = (j + 1)(j + 2) / 2``."""
    return F((j + 1) * (j + 2), 2)


def _slope(j: int) -> F:
    """``C_j'(1)``, from Gegenbauer's equation ``(1 - x^2) C'' - 4 x C' + j (j + 3) C = 0`` at 1."""
    return j * (j + 3) * _value(j) / 4


def _curvature(j: int) -> F:
    """``C_j''(1)``, from the derivative of that equation: ``-6 x C'' + (j (j + 3) - 4) C' = 0`` at 1."""
    return (j * (j + 3) - 4) * _slope(j) / 6


@lru_cache(maxsize=16)
def times(stages: int) -> Sequence[F]:
    """``c_0, ..., c_{s-1}``: where the stages lie in the step."""
    found = [F(0)]
    for j, stage in enumerate(gegenbauer(stages), 1):
        before = found[j - 2] if j > 1 else F(0)
        found.append(stage.mu * found[j - 1] + stage.nu * before + stage.rise + stage.first)
    return tuple(found[:-1])


def times_of_legendre(stages: int) -> Sequence[F]:
    """``(j - 1)(j + 2) / ((s - 1)(s + 2))``, the times of Legendre's method, that STORK's code gives Gegenbauer's."""
    below = (stages - 1) * (stages + 2)
    return [F(0), F(4, 3 * below), *(F((j - 1) * (j + 2), below) for j in range(2, stages))]


def table_of(z: Any, stages: Any) -> tuple[Any, Any, Any]:
    """Nodes, matrix and weights of the explicit method."""
    s = int(stages)
    rows: list[list[F]] = [[F(0)] * s]
    for j, stage in enumerate(gegenbauer(stages), 1):
        before = rows[j - 2] if j > 1 else rows[0]
        row = [stage.mu * a + stage.nu * b for a, b in zip(rows[j - 1], before, strict=True)]
        row[j - 1] += stage.rise
        row[0] += stage.first
        rows.append(row)
    matrix = tuple(tuple(row[:j]) for j, row in enumerate(rows[:-1]))
    return (0, *(sum(row) for row in matrix[1:])), matrix, tuple(rows[-1])


# --- STORK ---

Vector = list[Any]  # coefficients of x and of the predictions, the newest first


def on_noises(points: int) -> Build:
    """``stages`` stages of :func:`gegenbauer` on ``x' = (alpha' / alpha) x + (sigma' - alpha' sigma / alpha) eps``, the
    noise a polynomial in the clock through the last ``points`` predictions, the state that of the stage."""

    def build(T: Trace, grid: Any, stages: int = 50) -> None:
        past: tuple[tuple[Form, Any], ...] = ()
        for s, t in T.steps(grid):
            e = T.evaluate(T.x, s)
            if s.pure_noise:
                T.x = transfer(T.x, s, t, e.data)
                continue
            past = ((e.noise, T.process.clock(s)), *past)[:points]
            step, clocks = T.dt(s, t), [clock for _, clock in past]
            fields = [_field(T, s, step, c, clocks) for c in times(stages)]
            own, *shares = _recurrence(step, gegenbauer(stages), fields)
            T.x = _added(own * T.x, shares, past)

    return build


def on_slopes(points: int, at: Callable[[int], Sequence[F]] = times) -> Build:
    """The same on ``x' = v``, the slope a polynomial: no stage's state is seen, and the recurrence adds up to

        x_t = x + dc sum_j w_j v_j,    sum_j w_j tau_j^m = M_m,    M_m = sum_i b_i c_i^m,

    with weights ``b_i`` of :func:`table_of`, past points at ``tau_j`` in units of the step, stages told to be ``at``.
    """

    def build(T: Trace, grid: Any, stages: int = 50) -> None:
        moments = _moments(stages, at, points)
        past: tuple[tuple[Form, Any], ...] = ()
        for s, t in T.steps(grid):
            clock, step = T.process.clock(s), T.dt(s, t)
            past = ((T.evaluate(T.x, s).slope, clock), *past)[:points]
            shares = _with_moments([(c - clock) / step for _, c in past], moments)
            T.x = _added(T.x, [step * w for w in shares], past)

    return build


@lru_cache(maxsize=16)
def _moments(stages: Any, at: Callable[[int], Sequence[F]], points: int) -> tuple[F, ...]:
    *_, weights = table_of(0, stages)
    pairs = list(zip(weights, at(stages), strict=True))
    return tuple(sum((b * c**m for b, c in pairs), F(0)) for m in range(points))


def _added(x: Form, shares: Sequence[Any], past: Sequence[tuple[Form, Any]]) -> Form:
    for share, (N, _) in zip(shares, past, strict=True):
        x = x + share * N
    return x


def _with_moments(nodes: Sequence[Any], moments: Sequence[F]) -> Vector:
    """``sum_m M_m [tau^m] l_j(tau)`` over the Lagrange polynomials of the nodes."""
    one = nodes[0] * 0 + 1
    found: Vector = []
    for j, node in enumerate(nodes):
        polynomial: Vector = [one]
        for other in (*nodes[:j], *nodes[j + 1 :]):
            rise, fall = [one * 0, *polynomial], [*(-other * a for a in polynomial), one * 0]
            polynomial = [(p + q) / (node - other) for p, q in zip(rise, fall, strict=True)]
        found.append(sum((_times(m, a) for m, a in zip(moments, polynomial, strict=False)), one * 0))
    return found


def _times(m: F, a: Any) -> Any:
    try:
        return scaled(m, a)
    except OverflowError:
        # a sum of fractions may have a numerator that is no float
        return float(m) * a


def _field(T: Trace, s: Level, step: Any, c: F, clocks: Sequence[Any]) -> tuple[Any, Vector]:
    """Factor of a stage's state in its slope, and those of the predictions; the first clock is that of ``s``."""
    here = T.process.at_clock(clocks[0] + scaled(c, step)) if c else s
    shares = lagrange(clocks, T.process.clock(here)) if c else [1, *[0] * (len(clocks) - 1)]
    da, ds = T.process.rates(here)
    fall = da / here.alpha
    return fall, [(ds - fall * here.sigma) * v for v in shares]


def _recurrence(h: Any, stages: Sequence[Stage], fields: Sequence[tuple[Any, Vector]]) -> Vector:
    # ones and zeros of the kind of the step
    start: Vector = [h * 0 + 1, *[h * 0] * len(fields[0][1])]
    first = _slopes(start, *fields[0])
    values, slopes = [start], first
    for j, (mu, nu, rest, rise, once) in enumerate(_weights(h, stages), 1):
        before = values[j - 2] if j > 1 else start
        row = [
            y * mu + y_ * nu + y0 * rest + (f * rise + f0 * once) * h
            for y, y_, y0, f, f0 in zip(values[-1], before, start, slopes, first, strict=True)
        ]
        values.append(row)
        if j < len(stages):
            slopes = _slopes(row, *fields[j])
    return values[-1]


def _weights(h: Any, stages: Sequence[Stage]) -> Sequence[Vector]:
    """The fractions of every stage as numbers that the kind of the step is multiplied by, converted once."""
    one = h * 0 + 1
    one = one[0] if isinstance(one, Series) else one
    return _as_floats(len(stages)) if type(one) is float else [_numbers(stage, one) for stage in stages]


@lru_cache(maxsize=16)
def _as_floats(stages: int) -> Sequence[Vector]:
    return [_numbers(stage, 1.0) for stage in gegenbauer(stages)]


def _numbers(stage: Stage, one: Any) -> Vector:
    return [scaled(m, one) for m in (stage.mu, stage.nu, stage.rest, stage.rise, stage.first)]


def _slopes(state: Vector, fall: Any, shares: Vector) -> Vector:
    return [fall * state[0], *(fall * y + v for y, v in zip(state[1:], shares, strict=True))]


def _named(name: str, build: Build, order: int, cold: int, cite: str, eq: str, says: str, note: str = "") -> Solver:
    claim: dict[str, Any] = {"order": order, "cold": cold, "cite": cite, "eq": eq, "note": note}
    return named(name, build, says, family="stabilised", **claim)


rkg2 = _named(
    "rkg2",
    runge_kutta(CLOCK, table_of, stages=4),
    2,
    2,
    "skaras2021",
    "RKG2",
    "Runge-Kutta-Gegenbauer of order two in the clock: ``stages`` evaluations, real stability of about their square.",
)
stork_2 = _named(
    "stork_2",
    on_noises(4),
    2,
    2,
    "tan2025stork",
    "STORK-2, stage times restored",
    "STORK-2 for noise predictions: extrapolated in the clock, the linear part by Runge-Kutta-Gegenbauer.",
    "one evaluation a step; DEIS tAB-4, which solves the linear part exactly, is of order four",
)
stork_2_flow = _named(
    "stork_2_flow",
    on_slopes(3),
    2,
    2,
    "tan2025stork",
    "STORK-2, stage times restored",
    "STORK-2 for velocities: extrapolated in the clock and added up by Runge-Kutta-Gegenbauer's weights.",
    "no stage is evaluated, so it is a linear multistep method of three points; Adams-Bashforth's are of order three",
)
stork_2_flow_coded = _named(
    "stork_2_flow_coded",
    on_slopes(3, times_of_legendre),
    1,
    1,
    "tan2025stork",
    "reference code, step_flow_matching_2",
    "STORK-2 for velocities as coded: stages of Gegenbauer's method at the times of Legendre's.",
    "published as order two; the weights' first moment is 0.4896 for 50 stages instead of 1/2, so it is of order one",
)
