"""Proofs of order: B-series over rooted trees of one step of the traced plan, in exact arithmetic.

In ``u = x / sigma`` and the process's clock ``c`` the probability-flow ODE of any process is

    u' = w(c) G(u, c),   w = (alpha' - alpha sigma'/sigma) / sigma,   G(u, c) = D(sigma u, c),

with ``G`` an arbitrary smooth vector field of a *system*: nothing commutes and nothing is scalar.
A value is expanded in ``u0`` and the elementary differentials

    (k; t1, ..., tm)  =  d^k/dc^k d^m/du^m G (F(t1), ..., F(tm))    at (u0, c0),

a rooted tree with ``k`` clock leaves (Hairer, Norsett & Wanner 1993, II.2 and II.12, for
non-autonomous systems), with coefficients that are truncated series in ``h``. The process is
generic: ``alpha`` and ``sigma`` are power series with random rational coefficients, steps have
random rational ratios. What is proved is the plan that runs, on every process at once: a
polynomial identity that holds at random rationals fails to be one with probability zero.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

from .bseries import GUARD, STATE, Expansion, Inconsistent, Tree, combine, exact_field, exact_state, field
from .generic import GenericGrid, GenericProcess
from .grid import custom
from .plan import Eval, Level, Lin, Plan, interpret, sources
from .process import VP
from .roots import principal, reads_last_state, root_condition
from .series import Series, rational
from .trace import Solver, compile

__all__ = [
    "GenericGrid",
    "GenericProcess",
    "History",
    "Inconsistent",
    "Proof",
    "history",
    "leading_condition",
    "local_errors",
    "prove",
    "root_condition",
    "show_tree",
    "start_up",
]


# powers of h beyond the order that are tried before GUARD: most formulas lose none
SPARES = (0, 1)


def local_errors(
    plan: Plan, process: GenericProcess, order: int, replaced: Mapping[int, Level] | None = None, first: int = 0
) -> list[dict[Tree, Series]]:
    """For each step the expansion of (computed - exact) state when every earlier state is exact.

    Args:
        plan: compiled on a :class:`GenericGrid` of ``process`` with data prediction.
        order: expansions are known up to ``O(h^order)``.
        replaced: further registers that hold the exact state, and its level.
        first: the step to begin with.
    """
    return _errors(plan, process, order, replaced or {}, {}, first)[0]


def _errors(
    plan: Plan,
    process: GenericProcess,
    order: int,
    replaced: Mapping[int, Level],
    watched: Mapping[int, Level],
    first: int = 0,
) -> tuple[list[dict[Tree, Series]], list[int]]:
    """:func:`local_errors` from step ``first`` on, where besides the states the registers ``replaced`` hold the exact
    state of their level; and the powers of ``h`` at which the registers ``watched`` miss that of theirs.

    Of a pair both states are exact, and the error of a step is what later ones carry on of both errors; that of the
    last step is the state's, which is the sample."""
    where = dict(zip(plan.states, plan.levels, strict=True))
    beside = {r: level for rows in plan.partners for r, level in zip(rows, plan.levels, strict=True)}
    errors: list[dict[Tree, Series]] = []
    others: dict[int, dict[Tree, Series]] = {}
    misses: list[int] = []
    # the state is kept with its level, so that its id stays its own
    seen: dict[int, tuple[Expansion, Level]] = {}
    known: dict[int, Expansion] = {}

    def exact(level: Level) -> Expansion:
        if id(level) not in known:
            known[id(level)] = exact_state(process, level, order)
            seen[id(known[id(level)])] = known[id(level)], level
        return known[id(level)]

    def visit(r: int, line: Any, value: Expansion) -> Expansion:
        if r in watched:
            misses.append(leading_condition(mixed([(rational(1), value), (rational(-1), exact(watched[r]))]), order)[0])
        level = where.get(r) or beside.get(r) or replaced.get(r)
        if level is None or line is None:
            return value
        if r in where and line.step >= first:
            errors.append(mixed([(rational(1), value), (rational(-1), exact(level))]))
        elif r in beside and level is not plan.start and first <= line.step < plan.steps - 1:
            others[line.step] = mixed([(rational(1), value), (rational(-1), exact(level))])
        return exact(level)

    def mixed(terms: Sequence[tuple[Any, Expansion]]) -> dict[Tree, Series]:
        return combine(terms, order)

    def evaluate(value: Expansion, level: Level, quantity: str) -> Expansion:
        if id(value) in seen and seen[id(value)][1] is level:
            return exact_field(process, level, order)
        return field(mixed([(1 / level.sigma, value)]), level.t.cut(order), order)

    def refuse(line: Any) -> Any:
        raise ValueError(f"{plan.solver} draws noise: its order is weak, use prove_weak")

    # what is replaced unseen need not be computed
    unseen = {*(r for r in replaced if r not in where), *plan.states[1 : first + 1]}
    unseen |= {r for rows in plan.partners for r in rows[: first + 1]}
    lines = (replace(a, terms=()) if r in unseen and isinstance(a, Lin) else a for r, a in enumerate(plan.lines, 1))
    interpret(replace(plan, lines=tuple(lines)), exact(plan.start), mixed, evaluate, refuse, visit)
    weights = principal(plan) if others else None
    for step, other in others.items():
        errors[step - first] = _of_pair(errors[step - first], other, weights, order)
    return errors, misses


def _of_pair(
    error: dict[Tree, Series], other: dict[Tree, Series], weights: tuple[Any, Any] | None, order: int
) -> dict[Tree, Series]:
    """What the errors of a state and its partner amount to: their combination that later steps carry on, or one of
    them, times ``h``, where it misses by two powers more."""
    if weights is None:
        return min(error, other, key=lambda e: leading_condition(e, order)[0])
    carried = combine([(rational(w), e) for w, e in zip(weights, (error, other), strict=True)], order)
    passing = ({t: s.shift(1).cut(order) for t, s in e.items()} for e in (error, other))
    return min(carried, *passing, key=lambda e: leading_condition(e, order)[0])


def leading_condition(error: Expansion, order: int) -> tuple[int, dict[Tree, Any]]:
    """Lowest power in the expansion, and the trees that carry it.

    Raises:
        ArithmeticError: a series ends before that power: its coefficients are not known.
    """
    low = min((s.valuation for s in error.values() if s.valuation < s.end), default=order)
    end = min((s.end for s in error.values()), default=order)
    if end < low:
        raise ArithmeticError(f"divisions by h left nothing known from h^{end} on: write the formula with num.phi")
    return low, {t: s[low] for t, s in error.items() if s.valuation == low < s.end}


@dataclass(frozen=True)
class Proof:
    """What algebra says of a sampler.

    Attributes:
        order: with exact history. ``cold``: with the start-up as published.
        violated: conditions that fail at ``order + 1``, as elementary differentials with residuals.
        stable: zero-stable (root condition on equal and on alternating steps, past the start-up).
        on_equal: zero-stable on equal steps.
        kind: "order" for deterministic, "weak order" for stochastic samplers.
        smooth: warm order on grids whose step ratios tend to one, asked for where the sampler claims one.
        every_ratio: zero-stable for every sequence of steps, since no state is read but the last.
    """

    order: int
    cold: int
    violated: tuple[str, ...]
    stable: bool
    kind: str = "order"
    smooth: int | None = None
    every_ratio: bool = False
    on_equal: bool = True


def prove(
    solver: Solver | Callable[..., None],
    highest: int = 6,
    seeds: Sequence[int] = (1, 2),
    on_smooth: int | None = None,
) -> Proof:
    """Order of a deterministic sampler, two-sided: residual zero up to ``p``, non-zero at ``p + 1``.

    Step ratios are random rationals in [1/2, 2], or, with ``on_smooth`` the order expected there, those of a smooth
    grid. A sampler that claims an order on smooth grids is proved on both; its cold order is that on smooth grids.
    The last step may be a simpler one, since it is taken once: with local order ``q`` it caps the order at ``q + 1``.
    So do the start-up steps, for the cold order.
    """
    if getattr(solver, "stochastic", False):
        raise ValueError(f"{solver.name} draws noise: its order is weak, use diffnum.weak_order.prove_weak")  # type: ignore[union-attr]
    smooth = getattr(solver, "smooth", None)
    if smooth is not None:
        rough, fine = (prove(replace(solver, smooth=None), highest, seeds, at) for at in (None, smooth))  # type: ignore[type-var]
        return replace(rough, cold=fine.cold, smooth=fine.order)
    first = max(4, (getattr(solver, "order", 0) if on_smooth is None else on_smooth) + 2)
    # high orders take their time, and chance does not make an identity of a polynomial that is none
    seeds = seeds if first <= 7 else seeds[:1]
    proofs = [_prove_once(solver, first, max(highest, first), seed, on_smooth is not None) for seed in seeds]
    if len({(p.order, p.cold) for p in proofs}) > 1:
        raise ArithmeticError(f"{getattr(solver, 'name', solver)}: seeds disagree, {proofs}")
    return proofs[0]


def _prove_once(solver: Solver | Callable[..., None], first: int, highest: int, seed: int, smooth: bool) -> Proof:
    stable, every, equal = _stability(solver)
    for order in range(first, highest + 3):
        start = history(solver, order, seed, smooth)
        process, plan = generic_plan(solver, start.steps + 3, order, seed, smooth=smooth)
        try:
            errors = _errors(plan, process, order, start.predictions(plan), {}, start.steps)[0]
        except Inconsistent as error:
            return Proof(0, 0, (str(error),), stable, every_ratio=every, on_equal=equal)
        found = [leading_condition(error, order) for error in errors]
        # local errors as global powers: a step that is taken n times costs one, the last step is taken once
        low = min([*(low - 1 for low, _ in found[:-1]), found[-1][0]])
        if low < order - 1:
            break
    p = max(low, 0)
    worst = next(trees for at, trees in [*((a - 1, b) for a, b in found[:-1]), found[-1]] if at == low)
    violated = tuple(f"{show_tree(t)}: {c}" for t, c in sorted(worst.items(), key=repr))
    return Proof(p, _cold(solver, p, seed, smooth), violated, stable, every_ratio=every, on_equal=equal)


def _cold(solver: Solver | Callable[..., None], p: int, seed: int, smooth: bool) -> int:
    """The lowest power in the errors of the steps that feel the start-up, which are taken once; at most ``p``."""
    depth = traced_depth(solver)
    # lower orders than claimed need not be looked at one by one: the lowest power shows at any
    first = max(2, min(getattr(solver, "cold", 1), p) + 1)
    for order in range(first, p + 2) if depth else ():
        carries = bool(_remembered(outline(solver, 2 * depth + 3)))
        steps = max(depth * order if carries else 0, start_up(solver))
        process, plan = generic_plan(solver, steps + 1, order, seed, smooth=smooth)
        low = min(leading_condition(error, order)[0] for error in local_errors(plan, process, order)[:steps])
        if low < order:
            return min(p, low)
    return p


@dataclass(frozen=True)
class History:
    """How many steps it takes to forget the start of a method, and over how many of them predictions are exact."""

    steps: int
    exact: int

    def predictions(self, plan: Plan, first: int = 0, last: int | None = None) -> dict[int, Level]:
        """Registers that hold a prediction of the state at the end of their step, for steps in a range."""
        last = self.exact if last is None else last
        inputs = {line.x: line.level for line in plan.lines if isinstance(line, Eval) and line.x not in plan.states}
        steps = {r: plan.lines[r - 1].step for r in inputs}
        return {r: inputs[r] for r, i in steps.items() if first <= i < last and inputs[r] is plan.levels[i + 1]}


@lru_cache(maxsize=64)
def history(solver: Solver | Callable[..., None], order: int, seed: int = 1, smooth: bool = False) -> History:
    """What the error of a step "from exact history" needs, up to ``O(h^order)``.

    Evaluations at states remember nothing, since errors are measured from exact states; what is left to wait for is
    the :func:`start_up`. One at a predicted state that was corrected and that later steps read passes its error on,
    times ``h``. So predictions are taken to be exact over the start-up; where the first computed ones miss at ``h^v``,
    ``order - v - 1`` depths later what is left of that start is beyond ``h^order``.
    """
    depth, first = traced_depth(solver), start_up(solver)
    if not _remembered(outline(solver, 2 * depth + 3)):
        return History(first, 0)
    start = History(first, first)
    for known in range(3, order + 1):
        process, plan = generic_plan(solver, first + 2, known, seed, smooth=smooth)
        watched = start.predictions(plan, first, first + 1)
        try:
            misses = _errors(plan, process, known, start.predictions(plan), watched, plan.steps)[1]
        except Inconsistent:
            misses = []
        if not misses:
            return History(max(depth * order, first), 0)
        if min(misses) < known:
            break
    return History(first + depth * max(1, order - min(misses) - 1), first)


def _remembered(plan: Plan) -> list[int]:
    """Registers that hold neither a state nor an evaluation at one and that a later step reads."""
    states = {*plan.states, *(r for rows in plan.partners for r in rows)}
    own = {r: line for r, line in enumerate(plan.lines, 1) if r not in states}
    read = {q for line in plan.lines for q in sources(line) if q in own and own[q].step < line.step}
    return [q for q in read if not (isinstance(own[q], Eval) and own[q].x in states)]  # type: ignore[union-attr]


@lru_cache(maxsize=64)
def outline(solver: Solver | Callable[..., None], steps: int) -> Plan:
    """A plan of which lines alone are read, not their numbers: a builder branches on none. So floats do, on steps of
    random sizes, between which no weight vanishes by chance; series where a sampler refuses these."""
    rng = random.Random(steps)
    lams = list(accumulate([rng.uniform(0.5, 2.0) / steps for _ in range(steps)], initial=-0.6))
    try:
        return compile(solver, custom(VP(), lams=lams))
    except (ValueError, TypeError, AttributeError):
        # statistics that are series
        return generic_plan(solver, steps, 3, 0)[1]


@lru_cache(maxsize=256)
def traced_depth(solver: Solver | Callable[..., None]) -> int:
    """How many earlier steps a step of ``solver`` reads."""
    return outline(solver, 8).depth


@lru_cache(maxsize=256)
def start_up(solver: Solver | Callable[..., None]) -> int:
    """:func:`start_up_in` of a long plan."""
    return start_up_in(outline(solver, long_run(traced_depth(solver))))


def start_up_in(plan: Plan) -> int:
    """After how many steps every step is one of a long run and looks back on such alone.

    The depth is not enough: a method may begin to look back late, or ramp up on what it remembers of what it
    remembers. So it is twice the depth and one step more, or longer where early steps are odd (:func:`odd_steps`).
    """
    return max(2 * plan.depth + 1 if plan.depth else 0, odd_steps(plan))


def odd_steps(plan: Plan) -> int:
    """After how many steps none has lines of other types than those in the second half of a :func:`long_run`."""
    kinds: list[list[type]] = [[] for _ in range(plan.steps)]
    for line in plan.lines:
        kinds[line.step].append(type(line))
    half = plan.steps // 2
    return max((i + 1 for i, kind in enumerate(kinds[:half]) if kind not in kinds[half:-1]), default=0)


def long_run(depth: int) -> int:
    """Steps enough for two start-ups of a method of this depth."""
    return 4 * depth + 10


def zero_stable(solver: Solver | Callable[..., None]) -> bool:
    """:func:`root_condition` on equal steps and on steps of 1 : 2 in turn, from the start-up to the last step but one;
    where no state is read but the last, on random steps, which is for every ratio."""
    return _stability(solver)[0]


@lru_cache(maxsize=256)
def _stability(solver: Solver | Callable[..., None]) -> tuple[bool, bool, bool]:
    """Whether a method is zero-stable, whether it is that for every step ratio, and whether on equal steps."""
    steps = long_run(traced_depth(solver))

    def rows_of(ask: Callable[[Plan], bool], *sizes: int) -> bool:
        # what is left as h tends to 0 needs one power, and those that a formula loses
        try:
            return ask(generic_plan(solver, steps, 1, 0, sizes)[1])
        except (ArithmeticError, IndexError):
            return ask(generic_plan(solver, steps, 3, 0, sizes)[1])

    if rows_of(reads_last_state):
        stable = rows_of(root_condition)
        return stable, stable, stable
    first = start_up(solver)
    equal, alternating = (rows_of(lambda plan: root_condition(plan, first, 2), 1, j) for j in (1, 2))
    return equal and alternating, False, equal


@lru_cache(maxsize=16)
def generic_plan(
    solver: Solver | Callable[..., None],
    steps: int,
    order: int,
    seed: int,
    sizes: Sequence[int] = (),
    smooth: bool = False,
) -> tuple[GenericProcess, Plan]:
    """The solver traced on a random generic process, known up to ``O(h^order)`` at least; steps have random rational
    ratios, repeat ``sizes``, or follow a smooth grid."""
    for spare in SPARES:
        grid = _generic_grid(steps, order, spare, seed, sizes, smooth)
        with suppress(ArithmeticError, IndexError, ValueError):
            if _is_known(plan := compile(solver, grid), order):
                return grid.process, plan
    grid = _generic_grid(steps, order, GUARD, seed, sizes, smooth)
    return grid.process, compile(solver, grid)


def _is_known(plan: Plan, order: int) -> bool:
    """Whether every series of a plan reaches to ``O(h^order)``."""
    numbers = (c for line in plan.lines if isinstance(line, Lin) for _, c in line.terms)
    return all(c.end >= order for c in numbers if isinstance(c, Series))


@lru_cache(maxsize=64)
def _generic_grid(steps: int, order: int, spare: int, seed: int, sizes: Sequence[int], smooth: bool) -> GenericGrid:
    """Of :func:`generic_plan`, the same for all samplers; the process is the same for every ``spare``."""
    rng = random.Random(1000 + seed)
    process = _generic_process(seed, order + GUARD)
    if smooth:
        return GenericGrid.smooth(process, steps, order + spare, seed)
    ratios = [rational(rng.randint(4, 8), rng.randint(4, 8)) for _ in range(steps)]
    if sizes:
        ratios = [rational(sizes[i % len(sizes)]) for i in range(steps)]
    return GenericGrid.build(process, ratios, order + spare)


@lru_cache(maxsize=32)
def _generic_process(seed: int, order: int) -> GenericProcess:
    return GenericProcess.random(seed, order)


def show_tree(tree: Tree) -> str:
    """A tree as an elementary differential of the denoiser: ``D_cu(D, D_c)``."""
    if tree == STATE:
        return "x"
    k, *children = tree
    head = "D" + ("_" + "c" * k + "u" * len(children) if k or children else "")
    return head + (f"({', '.join(show_tree(t) for t in children)})" if children else "")
