"""Measured orders of lifted samplers, on the grids that they make themselves.

A sampler is lifted for more and more steps in double precision, with its evaluations where their inputs are. Its
states up to log-SNR -2 are replaced by the exact flow, and so are the inputs of the evaluations made until then: a
multistep method starts with exact values. Where later states are made of the start itself, since a corrector carries a
state of its own, the start is chosen so that the state at log-SNR -2 is exact. The error is that of its last state
below log-SNR 2, against the exact flow at that state's own level, over the number of steps between. Orders are hence
those of the formula, not of a start-up at pure noise nor of the last steps to the data, and of whatever steps the grid
takes there.

A sampler that draws is measured by its law on a Gaussian: mean and variance of that state are known without sampling,
from the exact marginal at the start on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..plan import Eval, Plan, interpret
from ..witness import Run, gaussian, law_errors, nonlinear
from .findings import Order

__all__ = ["COUNTS", "HIGH", "LOW", "WEAK", "cut", "end_error", "end_state", "least", "measured", "short", "window"]

LOW, HIGH = -2.0, 2.0
COUNTS = (10, 20, 40, 80, 160, 320, 640)
# where it ends for those that show the order that they name
LONG = 320
# half an order less than it says
SHORT = 0.5
# runs that must agree before the end
LAST = 4
# fewer steps than this in the window show no order
LEAST = 4
# slopes that differ by less have settled, where grids are rounded to the entries of a table
SETTLED = 0.3
# the law of a sampler that looks back costs the square of its draws
DRAWS = 800
FLOOR = 1e-10
# of log-SNR: stages of one level
NEAR = 1e-6
# states inside a step are less accurate than those between steps: one of so many that is by a factor better counts
STAGES = 3
BETTER = 3.0
# no more can be had of one normal per step and direction
WEAK = 2


def window(plan: Plan) -> tuple[int, int] | None:
    """First and last state in the window; None where the states do not walk through it from noise to data."""
    lams = [_lam(level) for level in plan.levels]
    inside = [i for i, lam in enumerate(lams) if LOW <= lam <= HIGH]
    if len(inside) < 2 or any(b < a - NEAR for a, b in pairwise(lams)):
        return None
    return inside[0], inside[-1]


def _lam(level: Any) -> float:
    if level.alpha <= 0:
        return -math.inf
    return math.inf if level.sigma <= 0 else float(level.lam)


def end_error(plan: Plan, target: Any, first: int, last: int) -> float:
    """Largest error of state ``last``, with everything up to state ``first`` on the exact flow; where ``last`` is a
    stage inside a step, of the state before it."""
    run = Run.of(target, plan.levels[first])
    made = _states(plan, target, first)
    ends = range(max(first + 1, last + 1 - STAGES), last + 1)
    return _between([float(np.abs(made[plan.states[i]] - run.exact(plan.levels[i])).max()) for i in ends])


def end_state(plan: Plan, target: Any, first: int, last: int) -> np.ndarray:
    """State ``last`` of points that follow the exact flow up to state ``first``; ``(points, dim)``."""
    return _states(plan, target, first)[plan.states[last]]


def _states(plan: Plan, target: Any, first: int) -> dict[int, np.ndarray]:
    run = Run.of(target, plan.levels[first])
    start, register = run.exact(plan.levels[0]), plan.states[first]
    shares = dict(plan.lines[register - 1].terms) if first else {}  # type: ignore[union-attr]
    if not shares.get(0):
        return _walked(plan, target, run, first, start)
    # a corrector may carry a state of its own from the start on: what lets this state be exact lets that one be
    reached = _walked(plan, target, run, first, start, free=True)[register]
    return _walked(plan, target, run, first, start + (run.exact(plan.levels[first]) - reached) / shares[0])


def _walked(
    plan: Plan, target: Any, run: Run, first: int, start: np.ndarray, free: bool = False
) -> dict[int, np.ndarray]:
    """States, those up to ``first`` exact, with the inputs of evaluations; ``free`` leaves that one to the plan."""
    exact = {r: level for r, level in zip(plan.states[1 : first + (not free)], plan.levels[1:], strict=False)}
    evaluations = [line for line in plan.lines if isinstance(line, Eval)]
    for line in evaluations:
        if line.step < first and line.x:
            exact.setdefault(line.x, line.level)
    asked = iter(evaluations)
    kept: dict[int, np.ndarray] = {}
    states = set(plan.states)

    def visit(r: int, line: Any, value: Any) -> Any:
        value = run.exact(exact[r]) if r in exact else value
        if r in states:
            kept[r] = value
        return value

    def combine(terms: Sequence[tuple[Any, Any]]) -> Any:
        return sum((value * c for c, value in terms[1:]), terms[0][1] * terms[0][0])

    def evaluate(value: Any, level: Any, quantity: str) -> Any:
        # whatever the start was made to be, its prediction is that of the exact one
        return target.predict(value if next(asked).x else run.exact(plan.levels[0]), level, quantity)

    interpret(plan, start, combine, evaluate, lambda line: run.x * 0, visit)
    return kept


def cut(plan: Plan, last: int) -> Plan:
    """The plan up to state ``last``."""
    return replace(
        plan,
        lines=plan.lines[: plan.states[last]],
        levels=plan.levels[: last + 1],
        states=plan.states[: last + 1],
        outputs=(("x", plan.states[last]),),
    )


def _variance_error(plan: Plan, last: int) -> float:
    # between steps one call and one draw belong to each
    ends = range(last + 1 - STAGES, last + 1) if len(plan.draws) < plan.nfe else (last,)
    with np.errstate(all="ignore"):
        return _between([float(np.abs(np.concatenate(law_errors(cut(plan, i), gaussian()))).max()) for i in ends])


def _between(errors: Sequence[float]) -> float:
    """The last one, unless one before is much smaller."""
    return min(errors) if min(errors) * BETTER < errors[-1] else errors[-1]


def measured(plans: Callable[[int], Plan | None], claim: int | None = None) -> tuple[Order, ...]:
    """Orders on the witnesses: of a sampler that draws on the Gaussian's variance, of another on the non-linear law
    and on the Gaussian; empty where its states do not walk through the window.

    Steps are doubled until the slopes have settled; where that is below the claim they are doubled to the end.

    Args:
        plans: from a number of steps to the plan in double precision, or None where there is none.
        claim: the order that it names.
    """
    found: dict[str, list[tuple[int, int, float]]] = {}
    for n, plan in _refined(plans):
        span = window(plan)
        if span is None:
            return ()
        if span[1] - span[0] < LEAST:
            continue
        for witness, error in _errors(plan, *span):
            found.setdefault(witness, []).append((n, span[1] - span[0], error))
        if all(_settled(runs, LAST) or n >= LONG for runs in found.values()):
            decides = next(iter(found.values()))
            if claim is None or not _below(_slopes(decides), least(claim, bool(plan.draws))):
                break
    return tuple(_order(witness, runs) for witness, runs in found.items() if len(runs) > 2)


def least(claim: int, draws: bool) -> int:
    """What a sampler that names this order has to show."""
    return min(claim, WEAK) if draws else claim


def short(order: Order, claim: int, draws: bool) -> bool:
    """Whether the order is less than the one named: the last two slopes are below it by more than a half, and so is
    the line through the last four errors, by more than one where slopes have not settled."""
    wanted = least(claim, draws)
    if not _below(order.slopes, wanted):
        return False
    return (order.settled and not order.trend >= wanted - SHORT) or order.trend < wanted - 2 * SHORT


def _below(slopes: Sequence[float], wanted: float) -> bool:
    return len(slopes) > 1 and max(slopes[-2:]) < wanted - SHORT


def _refined(plans: Callable[[int], Plan | None]) -> Iterator[tuple[int, Plan]]:
    for n in COUNTS:
        plan = plans(n)
        if plan is None:
            return
        if len(plan.draws) > DRAWS:
            return
        yield n, plan


def _errors(plan: Plan, first: int, last: int) -> Iterator[tuple[str, float]]:
    if plan.draws:
        yield "Gaussian variance", _variance_error(plan, last)
        return
    with np.errstate(all="ignore"):
        yield "non-linear", end_error(plan, nonlinear(), first, last)
        yield "Gaussian", end_error(plan, gaussian(), first, last)


def _slopes(runs: Sequence[tuple[int, int, float]]) -> list[float]:
    out = []
    for (_, a, before), (_, b, after) in pairwise(runs):
        if not (before > FLOOR and after > FLOOR and b > a):
            break
        out.append(math.log(before / after) / math.log(b / a))
    return out


def _settled(runs: Sequence[tuple[int, int, float]], count: int = 3) -> bool:
    slopes = _slopes(runs)
    limit = SETTLED / 3 if count > 3 else SETTLED
    return len(slopes) >= count - 1 and abs(slopes[-1] - slopes[-2]) <= limit


def _order(witness: str, runs: Sequence[tuple[int, int, float]]) -> Order:
    counts, widths, errors = zip(*runs, strict=True)
    return Order(witness, counts, widths, errors, tuple(_slopes(runs)), _settled(runs))
