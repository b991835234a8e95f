"""Implicit methods by a stated number of fixed-point sweeps, in the clock, ``rho = sigma / alpha`` and log-SNR.

A network allows no Newton iteration, so the stages ``Y_i = y + h sum_j a_ij N(Y_j)`` of an implicit Runge-Kutta method
are iterated. From the slope at the start of the step, ``sweeps`` times,

    N_i^(0) = N(y),    N_i^(k) = N(y + h sum_j a_ij N_j^(k-1)),    y_t = y + h sum_i b_i N_i^(sweeps)

is an explicit Runge-Kutta method of ``1 + sweeps`` times the stages, of order ``min(p, sweeps + 1)`` (van der Houwen &
Sommeijer 1990). Its stages are those of the implicit method where the iteration has converged; stability
on stiff problems it does not have. The backward differentiation formula of two steps starts each step from the line
through the last two states, so that one sweep, and one evaluation, leave it its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

from ..num import extended
from ..plan import Level
from ..trace import Form, Solver, Trace
from . import generated as g
from .coords import CLOCK, LOG_SNR, RATIO, Coords, transfer
from .rules import Build, named, runge_kutta, whole
from .surd import root
from .tables import Table

__all__ = [
    "bdf2",
    "gauss4",
    "implicit_midpoint",
    "lobatto_iiia4",
    "log_snr_bdf2",
    "log_snr_trapezoid",
    "radau_iia3",
    "rho_bdf2",
    "rho_gauss4",
    "rho_implicit_midpoint",
    "rho_lobatto_iiia4",
    "rho_radau_iia3",
    "rho_trapezoid",
    "trapezoid",
]

# nodes, matrix and weights
Implicit = tuple[tuple[Any, ...], tuple[tuple[Any, ...], ...], tuple[Any, ...]]


@lru_cache
def swept(method: Implicit, sweeps: Any) -> Table:
    """The explicit table of ``sweeps`` fixed-point sweeps of an implicit method; a stage at the start costs nothing.

    Raises:
        ValueError: no sweep.
    """
    nodes, matrix, weights = method
    moving = [i for i, row in enumerate(matrix) if any(a != 0 for a in row)]
    table: list[tuple[Any, tuple[Any, ...]]] = [(0, ())]
    place = [0] * len(nodes)
    for _ in range(whole(sweeps)):
        rows = [(nodes[i], _spread(matrix[i], place, len(table) + k)) for k, i in enumerate(moving)]
        place = [len(table) + moving.index(i) if i in moving else 0 for i in range(len(nodes))]
        table += rows
    return Table(tuple(c for c, _ in table), tuple(row for _, row in table), _spread(weights, place, len(table)))


def _spread(row: Sequence[Any], place: Sequence[int], length: int) -> tuple[Any, ...]:
    found: list[Any] = [0] * length
    for a, at in zip(row, place, strict=True):
        found[at] = found[at] + a
    return tuple(0 if a == 0 else a for a in found)


def iterated(coords: Coords, method: Implicit, sweeps: int, end: Table | None = None) -> Build:
    """:func:`~diffnum.solvers.rules.runge_kutta` with the table of :func:`swept`; ``sweeps`` is the option."""

    def formula(z: Any, count: Any) -> Any:
        table = swept(method, count)
        return table.nodes, table.matrix, table.weights

    return runge_kutta(coords, formula, end, sweeps=sweeps)


def backward_differentiation(coords: Coords) -> Build:
    """BDF of two steps, ``y_t = b_0 y + b_1 y_ + beta h N(y_t)``; the first step is the trapezoidal rule, from Euler's.

    A step to a clean level, where ``N`` is not defined, is DDIM's.
    """

    def build(T: Trace, grid: Any, sweeps: int = 1) -> None:
        count = whole(sweeps)
        past: tuple[Level, Form, Any] | None = None
        for s, t in T.steps(grid):
            x = T.x
            if t.clean or not coords.regular(s, t):
                T.x, past = transfer(x, s, t, T.evaluate(x, s).data), None
                continue
            step = coords.step(T, s, t)
            h = coords.gain(t) * step
            if past is None:
                half = (0.5 * h) * coords.quantity(T.evaluate(x, s))
                base, beta = coords.ratio(s, t) * x + half, 0.5
                T.x = base + half
            else:
                base, T.x, beta = _base(T, coords, s, t, x, step, past)
            for _ in range(count):
                T.x = base + (beta * h) * coords.quantity(T.evaluate(T.x, t))
            past = s, x, step

    return build


def _base(
    T: Trace, coords: Coords, s: Level, t: Level, x: Form, step: Any, past: tuple[Level, Form, Any]
) -> tuple[Form, Form, Any]:
    """``b_0 y + b_1 y_``, the line through both at the end of the step, and ``beta``.

    By what the last step added, ``d = y - y_``: ``y - b_1 d`` and ``y - d / c``, the same since ``b_0 + b_1 = 1``. In
    float32 4/3 and -1/3 do not add up to one, which thousands of equal steps would show.
    """
    before, x_, step_ = past
    c = -step_ / step
    beta, (_, b1) = extended(g.bdf_2, c)
    own = coords.ratio(s, t) * x
    added = Form(((T.pin(own - coords.ratio(before, t) * x_, "d"), 1.0),))
    return own - b1 * added, own - (1 / c) * added, beta


def _named(name: str, build: Build, order: int, says: str, eq: str, cold: int, sweeps: int) -> Solver:
    note = f"with {sweeps} sweeps" if sweeps > 1 else "with one sweep"
    claim: dict[str, Any] = {"order": order, "cold": cold, "cite": "vanderhouwen1990", "eq": eq, "note": note}
    return named(name, build, says, family="implicit", **claim)


VARIABLES = (("", CLOCK, "in the clock"), ("rho_", RATIO, "in ``sigma / alpha``"), ("log_snr_", LOG_SNR, "in log-SNR"))


def _in_each(
    name: str, says: str, order: int, sweeps: int, make: Callable[[Coords], Build], eq: str, variables: int = 2
) -> list[Solver]:
    """In the first of :data:`VARIABLES`."""
    kinds = VARIABLES[:variables]
    return [_named(at + name, make(c), order, f"{says}, {where}.", eq, order, sweeps) for at, c, where in kinds]


def _swept(
    name: str, says: str, order: int, sweeps: int, method: Implicit, end: Table | None = None, variables: int = 2
) -> list[Solver]:
    make = partial(iterated, method=method, sweeps=sweeps, end=end)
    return _in_each(name, says, order, sweeps, make, "iterated Runge-Kutta methods", variables)


implicit_midpoint, rho_implicit_midpoint = _swept(
    "implicit_midpoint", "The implicit midpoint rule", 2, 2, g.IMPLICIT_MIDPOINT
)
trapezoid, rho_trapezoid, log_snr_trapezoid = _swept(
    "trapezoid", "The trapezoidal rule, Adams-Moulton of two points", 2, 2, g.TRAPEZOID, variables=3
)
radau_iia3, rho_radau_iia3 = _swept(
    "radau_iia3", "Radau IIA with two stages, of order three", 3, 2, g.RADAU_IIA2, g.HEUN3
)
lobatto_iiia4, rho_lobatto_iiia4 = _swept(
    "lobatto_iiia4", "Lobatto IIIA with three stages, of order four", 4, 3, g.LOBATTO_IIIA3, g.HEUN3
)
gauss4, rho_gauss4 = _swept("gauss4", "Gauss's method with two stages, of order four", 4, 3, g.gauss_2(root(3)))
bdf2, rho_bdf2, log_snr_bdf2 = _in_each(
    "bdf2", "Backward differentiation over two steps", 2, 1, backward_differentiation, "variable steps, PE(CE)", 3
)
