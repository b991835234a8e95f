"""Embedded pairs: one step, and an estimate of its error from the same evaluations.

The step is taken with the higher order (local extrapolation), the estimate is its difference from the lower order,

    error = gain(t) step sum_i (b_i - bhat_i) N_i,

formed from the differences of the weights, so that nothing cancels. Where the lower order needs one evaluation more, at
the new state, that is the next step's first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction as F
from typing import Any

from ..plan import Plan
from ..solvers import generated as g
from ..solvers.classical import dormand_prince5, fehlberg5, ralston3
from ..solvers.coords import ANGLE, CLOCK, DATA, NOISE, RATIO, Coords
from ..solvers.exponential import dpm_solver_2, dpm_solver_3, dpmpp_2s, dpmpp_3s
from ..solvers.rules import named, runge_kutta, tableau
from ..solvers.tables import Table, scaled
from ..trace import Form, Solver, Trace

__all__ = ["PAIRS", "Pair", "embedded", "error_register"]

ERROR = "error"
Tables = Callable[[Any], Table]
THIRD = F(1, 3)


@dataclass(frozen=True)
class Pair:
    """A one-step method with an error estimate.

    Attributes:
        solver: the method that the steps are taken with; its claim is that of frozen plans.
        trial: builds the same step, with a line named "error" that holds the estimate.
        power: the estimate falls like this power of the step, the lower order plus one.
        coords: the step size is an increment of their variable.
        calls: evaluations of an accepted step after the first.
        ahead: whether a step evaluates its new state, which is the next step's first evaluation.
    """

    name: str
    solver: Solver
    trial: Callable[..., None]
    power: int
    coords: Coords
    calls: int
    ahead: bool
    cite: str


def error_register(plan: Plan) -> int:
    """The register of the line named "error" in a trial's plan."""
    return next(r for r, line in enumerate(plan.lines, 1) if line.name == ERROR)


def embedded(coords: Coords, high: Tables, low: Tables) -> Callable[..., None]:
    """A step of ``high`` with its difference from ``low``.

    Args:
        high, low: ``z -> table``, see :func:`~diffnum.solvers.rules.tableau`; the stages they share agree, and ``low``
            may have one more, at the new state.
    """

    def build(T: Trace, grid: Any) -> None:
        for s, t in T.steps(grid):
            step = coords.step(T, s, t)
            a, b = high(coords.stiffness * step), low(coords.stiffness * step)
            longer = b if b.stages > a.stages else a
            x, slopes, last = T.x, [coords.quantity(T.evaluate(T.x, s))], None
            for c, row in zip(longer.nodes[1:], longer.matrix[1:], strict=True):
                u = t if c == 1 else coords.between(T, s, t, c)
                y = coords.ratio(s, u) * x + _sum(coords.gain(u) * step, row, slopes)
                if len(slopes) == a.stages:
                    # the extra stage is the new state, in a register of its own, where the next step looks
                    y = last = Form(((T.pin(y, "x"), 1.0),))
                slopes.append(coords.quantity(T.evaluate(y, u)))
            size = coords.gain(t) * step
            T.x = coords.ratio(s, t) * x + _sum(size, a.weights, slopes) if last is None else last
            T.pin(_sum(size, _difference(a.weights, b.weights), slopes), ERROR)

    return build


def _sum(size: Any, weights: Sequence[Any], slopes: Sequence[Form]) -> Form:
    moved = Form()
    for w, N in zip(weights, slopes, strict=True):
        moved = moved if isinstance(w, int) and w == 0 else moved + scaled(w, size) * N
    return moved


def _difference(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    n = max(len(a), len(b))
    wide = [(*w, *[0] * (n - len(w))) for w in (a, b)]
    return [p - q for p, q in zip(*wide, strict=True)]


def _classical(prefix: str, coords: Coords) -> tuple[Pair, ...]:
    """The embedded Runge-Kutta pairs of :mod:`diffnum.solvers.generated` in one variable."""
    rows: tuple[tuple[str, Solver, Table, Table, str], ...] = (
        ("bogacki_shampine32", ralston3, g.RALSTON3, g.BOGACKI_SHAMPINE3_EMBEDDED, "bogacki1989"),
        ("fehlberg54", fehlberg5, g.FEHLBERG5, g.FEHLBERG5_EMBEDDED, "fehlberg1969"),
        ("dormand_prince54", dormand_prince5, g.DORMAND_PRINCE5, g.DORMAND_PRINCE5_EMBEDDED, "dormand1980"),
    )
    made = []
    for name, like, high, low, cite in rows:
        claim = {"order": like.order, "cold": like.cold, "cite": like.cite, "eq": like.eq, "family": like.family}
        solver = (
            like if not prefix else named(prefix + like.name, runge_kutta(coords, high), like.__doc__ or "", **claim)
        )
        trial = embedded(coords, tableau(high), tableau(low))
        made.append(Pair(prefix + name, solver, trial, like.order, coords, high.stages, low.stages > high.stages, cite))
    return tuple(made)


def _exponential(name: str, coords: Coords, solver: Solver, high: Tables, low: Tables, cite: str) -> Pair:
    power = solver.order
    return Pair(name, solver, embedded(coords, high, low), power, coords, power, False, cite)


_DPM_1, _DPM_2 = tableau(g.exponential_euler), tableau(g.dpm_2s, F(1, 2))
_DPM_2_THIRD, _DPM_3 = tableau(g.dpm_2s, THIRD), tableau(g.dpm_3s, THIRD, 2 * THIRD)

PAIRS: dict[str, Pair] = {
    pair.name: pair
    for pair in (
        _exponential("dpm_solver_12", NOISE, dpm_solver_2, _DPM_2, _DPM_1, "lu2022dpm"),
        _exponential("dpm_solver_23", NOISE, dpm_solver_3, _DPM_3, _DPM_2_THIRD, "lu2022dpm"),
        _exponential("dpmpp_12", DATA, dpmpp_2s, _DPM_2, _DPM_1, "lu2022dpmpp"),
        _exponential("dpmpp_23", DATA, dpmpp_3s, _DPM_3, _DPM_2_THIRD, "lu2022dpmpp"),
        *_classical("", CLOCK),
        *_classical("rho_", RATIO),
        *_classical("trig_", ANGLE),
    )
}
"""DPM-Solver-12 and -23 (Lu et al. 2022, appendix C) on the noise and on the data, and the embedded Runge-Kutta pairs
of Bogacki & Shampine, Fehlberg, and Dormand & Prince in the process's clock, in ``sigma / alpha`` and in the angle."""
