"""Mutants: a certificate that cannot fail proves nothing, so every coefficient is broken on purpose.

Two kinds. In exact arithmetic each coefficient of a step is perturbed by 1/7 of itself: the proof
must name a condition that breaks, or the coefficient is listed as free. In float64 a sign is
flipped, a factor 2 applied, two neighbours swapped or a level exchanged for the next one, at every
step: the measured slope must leave its tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from .order import Inconsistent, generic_plan, local_errors, traced_depth
from .plan import Eval, Lin, Line, Plan
from .trace import Solver
from .weak import DIGITS, generic_weak_plan, weak_order

__all__ = ["Mutant", "exact_survivors", "measured_mutants", "same_order", "same_weak_order", "start_up_mutants"]


@dataclass(frozen=True)
class Mutant:
    """A broken plan and what was broken."""

    name: str
    plan: Plan


def _edit(plan: Plan, r: int, line: Line) -> Plan:
    lines = list(plan.lines)
    lines[r - 1] = line
    return replace(plan, lines=tuple(lines))


def _scaled(line: Lin, k: int, factor: Any) -> Lin:
    terms = tuple((r, c * factor if i == k else c) for i, (r, c) in enumerate(line.terms))
    return replace(line, terms=terms)


def exact_survivors(solver: Solver | Callable[..., None], order: int, seed: int = 1) -> tuple[int, tuple[str, ...]]:
    """Perturb each coefficient of the last step by 1/7; return the number of coefficients and the free ones.

    A coefficient is free when the step still has local error ``O(h^(order + 1))``.
    """
    process, plan = generic_plan(solver, traced_depth(solver) + 1, order + 2, seed)
    last = plan.steps - 1
    free: list[str] = []
    count = 0
    for r, line in enumerate(plan.lines, 1):
        if line.step != last or not isinstance(line, Lin):
            continue
        for k, (q, _) in enumerate(line.terms):
            count += 1
            broken = _edit(plan, r, _scaled(line, k, Fraction(8, 7)))
            # most break a condition of low order, which is found in a fraction of the time
            if not any(_violates(broken, process, low) for low in range(2, order + 2)):
                free.append(f"{line.name or 'u'} line, coefficient of register {q}")
    return count, tuple(free)


def _violates(plan: Plan, process: Any, order: int) -> bool:
    """Whether the last step has an error below ``h^order``."""
    try:
        error = local_errors(plan, process, order)[-1]
    except Inconsistent:
        return True
    return any(s.valuation < min(order, s.end) for s in error.values())


def same_order(solver: Solver | Callable[..., None], index: int, order: int, seed: int = 1) -> bool:
    """Whether the ``index``-th of :func:`measured_mutants` is, by proof, another method of ``order``.

    Evaluating DDIM at the end of its step instead of its start is first order too: no order test can
    notice, so such a mutant is reported as free and not as a survivor.
    """
    process, plan = generic_plan(solver, traced_depth(solver) + 2, order + 2, seed)
    _, broken = list(measured_mutants(lambda n: plan, 0))[index]
    try:
        error = local_errors(broken(0), process, order + 1)[-1]
    except Inconsistent:
        return False
    return min((s.valuation for s in error.values()), default=order + 1) > order


def same_weak_order(solver: Solver | Callable[..., None], index: int, order: int, seed: int = 1) -> bool:
    """As :func:`same_order` for weak order: a flipped sign of a symmetric draw has the same law."""
    import mpmath

    process, plan = generic_weak_plan(solver, seed)
    with mpmath.workdps(DIGITS):
        _, broken = list(measured_mutants(lambda n: plan, 0))[index]
        return weak_order(broken(0), process, seed)[0] >= order


def _positions(plan: Plan) -> dict[int, list[int]]:
    """Registers defined in each step."""
    home: dict[int, list[int]] = {}
    for r, line in enumerate(plan.lines, 1):
        home.setdefault(line.step, []).append(r)
    return home


def measured_mutants(build: Callable[[int], Plan], n: int) -> Iterator[tuple[str, Callable[[int], Plan]]]:
    """Pairs ``(name, build)`` of plans broken in the same way at every step after the start-up.

    Args:
        build: the sound plan of ``n`` steps.
        n: a step count at which the structure is read.
    """
    plan = build(n)
    template = _positions(plan)[plan.steps - 1]
    for j, r in enumerate(template):
        line = plan.lines[r - 1]
        if isinstance(line, Lin):
            for k in range(len(line.terms)):
                for label, factor in (("sign", -1.0), ("factor 2", 2.0)):
                    name = f"{label} of term {k} in line {j}"
                    yield _everywhere(build, name, j, lambda a, p, k=k, f=factor: _scaled(a, k, f))
            for k in range(len(line.terms) - 1):
                if line.terms[k][1] != line.terms[k + 1][1]:
                    name = f"terms {k} and {k + 1} swapped in line {j}"
                    yield _everywhere(build, name, j, lambda a, p, k=k: _swapped(a, k))
        elif isinstance(line, Eval):
            yield _everywhere(build, f"level of evaluation in line {j}", j, _next_level)


def _shape(line: Line) -> tuple[type, int]:
    return type(line), len(line.terms) if isinstance(line, Lin) else 0


def _swapped(line: Lin, k: int) -> Lin:
    terms = list(line.terms)
    (a, ca), (b, cb) = terms[k], terms[k + 1]
    terms[k], terms[k + 1] = (a, cb), (b, ca)
    return replace(line, terms=tuple(terms))


def _next_level(line: Eval, plan: Plan) -> Eval:
    # the other end of the step: where the method evaluates at its end, its start
    step = min(line.step, plan.steps - 1)
    s, t = plan.levels[step], plan.levels[step + 1]
    return replace(line, level=s if line.level == t else t)


def _everywhere(
    build: Callable[[int], Plan], name: str, j: int, change: Callable[[Any, Plan], Line]
) -> tuple[str, Callable[[int], Plan]]:
    def broken(n: int) -> Plan:
        plan = build(n)
        shape = _shape(plan.lines[_positions(plan)[plan.steps - 1][j] - 1])
        lines = list(plan.lines)
        for step, registers in _positions(plan).items():
            if plan.depth <= step < plan.steps and j < len(registers):
                r = registers[j]
                # a method may end with a simpler step: what has another shape is left alone
                if _shape(plan.lines[r - 1]) == shape:
                    lines[r - 1] = change(plan.lines[r - 1], plan)
        return replace(plan, lines=tuple(lines))

    return name, broken


def start_up_mutants(plan: Plan) -> Iterator[Mutant]:
    """Plans with one coefficient of a start-up step perturbed by 1e-6 of itself."""
    for r, line in enumerate(plan.lines, 1):
        if isinstance(line, Lin) and line.step < plan.depth:
            for k in range(len(line.terms)):
                yield Mutant(f"start-up term {k} of register {r}", _edit(plan, r, _scaled(line, k, 1 + 1e-6)))
