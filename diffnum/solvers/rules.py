"""How it is interpolated: Runge-Kutta, Adams and predictor-corrector rules in any coordinates of :mod:`.coords`.

A rule makes the function that a :class:`~diffnum.trace.Solver` builds with; a published sampler is then one line. Where
the coordinates are infinite (log-SNR at ``sigma = 0``) the step is of first order, and points there are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..num import extended
from ..plan import Level
from ..trace import Form, Solver, Trace
from . import generated
from .coords import Coords, total, transfer
from .tables import Table, scaled

__all__ = [
    "Point",
    "adams",
    "formulas",
    "implicit_weights",
    "named",
    "nodes",
    "predictor_corrector",
    "runge_kutta",
    "tableau",
    "weights",
    "whole",
]

Build = Callable[..., None]
Tableau = Callable[[Any], Table]
Formula = Callable[..., Any]
Weights = Callable[..., Sequence[Any]]


def named(name: str, build: Build, says: str, **claim: Any) -> Solver:
    """A published sampler: its name, its rule in its coordinates, its claim.

    Args:
        says: what it is, for listings.
        claim: fields of :class:`~diffnum.trace.Solver`: order, cold, cite, eq, family, note.
    """
    made = Solver(build, name=name, **claim)
    object.__setattr__(made, "__doc__", says)
    return made


# --- one step ---


def runge_kutta(coords: Coords, table: Table | Formula, end: Table | None = None, **defaults: Any) -> Build:
    """One step per interval of an explicit Runge-Kutta method, classical or exponential.

    Args:
        table: exact numbers, or a generated formula ``f(z, *parameters)`` for ``(nodes, matrix, weights)``.
        end: table of a step to ``sigma = 0`` where ``table`` has a node at the end of the step, at which nothing but
            the data has a prediction; default Euler's.
        defaults: parameters of the formula in its order; they are the sampler's options.
    """

    def build(T: Trace, grid: Any, **options: Any) -> None:
        of = tableau(table, *(options.get(name, value) for name, value in _known(options, defaults)))
        last = tableau(end or generated.EULER)
        for s, t in T.steps(grid):
            at_end = t.clean and any(c == 1 for c in of(0).nodes)
            T.x = _stages(T, s, t, coords, last if at_end else of)[0]

    return build


def tableau(table: Table | Formula, *parameters: Any) -> Tableau:
    """``z -> table``, evaluated in extended precision where ``z`` and the parameters are ordinary numbers."""
    if isinstance(table, Table):
        return lambda z: table
    return lambda z: Table(*extended(table, z, *parameters))


def _known(options: dict[str, Any], defaults: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in options.items():
        if name not in defaults:
            listed = ", ".join(defaults) or "none"
            raise TypeError(f"{name} = {value!r} is not an option of this sampler; its options: {listed}")
    return defaults.items()


def _stages(T: Trace, s: Level, t: Level, coords: Coords, of: Tableau) -> tuple[Form, Point | None]:
    """The state after the step, and what the step saw at its start; nothing where it was not regular."""
    e = T.evaluate(T.x, s)
    if not coords.regular(s, t):
        return transfer(T.x, s, t, e.data), None
    step = coords.step(T, s, t)
    table = of(coords.stiffness * step)
    slopes = [coords.quantity(e)]
    for c, row in zip(table.nodes[1:], table.matrix[1:], strict=True):
        u = t if c == 1 else s if c == 0 else coords.between(T, s, t, c)
        slopes.append(coords.quantity(T.evaluate(_increment(T.x, s, u, coords, step, row, slopes), u)))
    return _increment(T.x, s, t, coords, step, table.weights, slopes), Point(slopes[0], step)


def _increment(
    x: Form, s: Level, u: Level, coords: Coords, step: Any, weights: Sequence[Any], slopes: Sequence[Form]
) -> Form:
    h = coords.gain(u) * step
    used = [(scaled(w, h), N) for w, N in zip(weights, slopes, strict=True) if not (isinstance(w, int) and w == 0)]
    return total([(coords.ratio(s, u), x), *used])


# --- many steps ---


@dataclass(frozen=True)
class Point:
    """A remembered ``N`` and the step that was taken from it."""

    N: Form
    step: Any


def nodes(step: Any, past: Sequence[Point]) -> list[Any]:
    """Positions of the past points in units of ``step``, the current point at 0: ``-s1/s, -(s1 + s2)/s, ...``."""
    found, total = [], 0
    for point in past:
        total = total + point.step
        found.append(-total / step)
    return found


EXPONENTIAL_ADAMS: tuple[Weights, ...] = (
    generated.exponential_adams_1,
    generated.exponential_adams_2,
    generated.exponential_adams_3,
    generated.exponential_adams_4,
    generated.exponential_adams_5,
    generated.exponential_adams_6,
)
EXPONENTIAL_ADAMS_MOULTON: tuple[Weights, ...] = (
    generated.exponential_adams_moulton_2,
    generated.exponential_adams_moulton_3,
    generated.exponential_adams_moulton_4,
    generated.exponential_adams_moulton_5,
    generated.exponential_adams_moulton_6,
)
ADAMS_BASHFORTH: tuple[Weights, ...] = (
    generated.adams_bashforth_1,
    generated.adams_bashforth_2,
    generated.adams_bashforth_3,
    generated.adams_bashforth_4,
    generated.adams_bashforth_5,
    generated.adams_bashforth_6,
)
ADAMS_MOULTON: tuple[Weights, ...] = (
    generated.adams_moulton_2,
    generated.adams_moulton_3,
    generated.adams_moulton_4,
    generated.adams_moulton_5,
    generated.adams_moulton_6,
)


def weights(coords: Coords, step: Any, past: Sequence[Point]) -> Sequence[Any]:
    """Weights over the current point and the past ones that integrate their polynomial exactly."""
    count = len(past)
    if coords.stiffness:
        return extended(EXPONENTIAL_ADAMS[count], coords.stiffness * step, *nodes(step, past))
    return extended(ADAMS_BASHFORTH[count], *nodes(step, past))


Rule = Callable[[Coords, Any, Sequence[Point]], Sequence[Any]]


def formulas(*by_count: Formula) -> Rule:
    """A rule that takes its generated formula by the number of past points: first without any, then with one, ..."""

    def rule(coords: Coords, step: Any, past: Sequence[Point]) -> Sequence[Any]:
        return extended(by_count[len(past)], coords.stiffness * step, *nodes(step, past))

    return rule


def adams(coords: Coords, order: int, rule: Rule = weights, start: Table | Formula | None = None) -> Build:
    """Adams-Bashforth, classical or exponential, of ``order`` points on variable steps.

    Args:
        rule: weights from ``(coords, step, past)``; the default is exact for polynomials.
        start: table of the steps that have too short a past; default the same rule on the points there are.
    """
    early = None if start is None else tableau(start)

    def build(T: Trace, grid: Any) -> None:
        past: tuple[Point, ...] = ()
        for s, t in T.steps(grid):
            if early is not None and len(past) < order - 1 and coords.regular(s, t) and not t.clean:
                T.x, point = _stages(T, s, t, coords, early)
            else:
                T.x, point = _extrapolated(T, s, t, coords, past, rule)
            past = (point, *past)[: order - 1] if point else ()

    return build


def _extrapolated(
    T: Trace, s: Level, t: Level, coords: Coords, past: Sequence[Point], rule: Rule
) -> tuple[Form, Point | None]:
    e = T.evaluate(T.x, s)
    if not coords.regular(s, t):
        return transfer(T.x, s, t, e.data), None
    point = Point(coords.quantity(e), coords.step(T, s, t))
    return _multistep(T.x, s, t, coords, point, past, rule), point


def _multistep(
    x: Form,
    s: Level,
    t: Level,
    coords: Coords,
    now: Point,
    past: Sequence[Point],
    rule: Rule,
    ahead: Sequence[Form] = (),
) -> Form:
    slopes = (*ahead, now.N, *(p.N for p in past))
    return _increment(x, s, t, coords, now.step, rule(coords, now.step, past), slopes)


def whole(sweeps: Any) -> int:
    """A number of sweeps.

    Raises:
        ValueError: none at all, or a fraction of one.
    """
    if sweeps != int(sweeps) or sweeps < 1:
        raise ValueError(f"sweeps = {sweeps} is no number of sweeps: use 1, 2, ...")
    return int(sweeps)


def implicit_weights(coords: Coords, step: Any, past: Sequence[Point]) -> Sequence[Any]:
    """Weights over the new point, the current one and the past ones that integrate their polynomial exactly."""
    count = len(past)
    if coords.stiffness:
        return extended(EXPONENTIAL_ADAMS_MOULTON[count], coords.stiffness * step, *nodes(step, past))
    return extended(ADAMS_MOULTON[count], *nodes(step, past))


def predictor_corrector(
    coords: Coords,
    points: int,
    predict: Rule = weights,
    correct: Rule = implicit_weights,
    corrector_points: int | None = None,
    again: bool = False,
) -> Build:
    """Predict, evaluate, correct; the evaluation at the prediction is the next step's (PEC) unless ``again`` (PECE).

    The last step is not corrected: ``n`` steps cost ``n`` evaluations (PEC) or ``2 n - 1`` (PECE). The sampler's option
    ``sweeps`` iterates the corrector, P(EC)^m, towards the implicit method that it is; each more costs ``n - 1``.

    Args:
        points: of the predictor, the current one included; its order.
        predict, correct: weights over ``(N_s, past...)`` and over ``(N_t, N_s, past...)``.
        corrector_points: of the corrector, the new one not included; default ``points``.
    """
    behind = points if corrector_points is None else corrector_points

    def build(T: Trace, grid: Any, sweeps: int = 1) -> None:
        past: tuple[Point, ...] = ()
        final, e = len(grid.levels) - 2, None
        for i, (s, t) in enumerate(T.steps(grid)):
            e = T.evaluate(T.x, s) if e is None or again else e
            if not coords.regular(s, t):
                T.x, past, e = transfer(T.x, s, t, e.data), (), None
                continue
            now = Point(coords.quantity(e), coords.step(T, s, t))
            x = _multistep(T.x, s, t, coords, now, past[: points - 1], predict)
            e = None
            for _ in range(whole(sweeps) if i < final and not t.clean else 0):
                e = T.evaluate(x, t)
                x = _multistep(T.x, s, t, coords, now, past[: behind - 1], correct, (coords.quantity(e),))
            T.x = x
            past = (now, *past)[: max(points, behind) - 1]

    return build
