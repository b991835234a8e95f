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
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from .generic import GenericGrid, GenericProcess
from .plan import Eval, Level, Plan, interpret, sources
from .roots import root_condition
from .series import Series, compose, convolved, h_series, rational
from .trace import Solver, compile

__all__ = [
    "GenericGrid",
    "GenericProcess",
    "History",
    "Proof",
    "history",
    "local_errors",
    "prove",
    "root_condition",
    "show_tree",
]

# powers of h that a formula may lose, such as phi_3 written with divisions by h
GUARD = 4
STATE: tuple[Any, ...] = ("u",)
Tree = tuple[Any, ...]
Expansion = Mapping[Tree, Series]


Raw = tuple[int, list[Any]]


def _raw(s: Series, order: int) -> Raw:
    """``(valuation, coefficients)`` of a series up to ``O(h^order)``."""
    v = min(s.valuation, order)
    return v, list(s.c[v - s.v : order - s.v])


def _times(a: Raw, b: Raw, order: int) -> Raw:
    """Product, known as far as its factors are and at most up to ``O(h^order)``."""
    v = a[0] + b[0]
    x, y = a[1], b[1]
    n = min(len(x), len(y), max(order - v, 0))
    return v, [convolved(x, y, k) for k in range(n)]


def _field(u: Expansion, theta: Series, order: int) -> dict[Tree, Series]:
    """``G(u, c0 + theta)`` by Taylor's theorem, up to ``O(h^order)``."""
    delta = {t: s for t, s in u.items() if s.valuation < min(order, s.end)}
    if STATE in u:
        bump = u[STATE] - 1
        delta = {t: s for t, s in delta.items() if t != STATE}
        if bump.valuation < min(order, bump.end):
            delta[STATE] = bump
    if any(s.valuation < 1 for s in delta.values()):
        raise Inconsistent("an evaluation sees a state that does not tend to x_s as h tends to 0")
    keys = sorted(delta, key=repr)
    moved = [_raw(delta[t], order) for t in keys]
    clock = _powers(theta, order)
    out: dict[Tree, Series] = {}

    def visit(first: int, children: tuple[Tree, ...], repeated: int, weight: Raw) -> None:
        # one tree per multiset of children and number of clock leaves
        for k, power in enumerate(clock):
            if weight[0] + power[0] >= order:
                break
            v, c = _times(weight, power, order)
            out[(k, *children)] = Series(v, tuple(c))
        for i in range(first, len(keys)):
            if weight[0] + moved[i][0] < order:
                times = repeated + 1 if i == first and children and children[-1] == keys[i] else 1
                v, c = _times(weight, moved[i], order)
                visit(i, (*children, keys[i]), times, (v, [a / times for a in c]))

    visit(0, (), 0, (0, [rational(1)] + [rational(0)] * (order - 1)))
    return out


def _powers(theta: Series, order: int) -> list[Raw]:
    """``theta^k / k!`` while they are not beyond the order."""
    found: list[Raw] = [(0, [rational(1)] + [rational(0)] * (order - 1))]
    step = _raw(theta, order)
    while step[1] and found[-1][0] + step[0] < order:
        k = len(found)
        v, c = _times(found[-1], step, order)
        found.append((v, [a / k for a in c]))
    return found


class Inconsistent(ValueError):
    """The plan is not a consistent discretisation: its order is zero."""


@lru_cache(maxsize=64)
def _exact_flow(process: GenericProcess, order: int) -> tuple[dict[Tree, tuple[Any, ...]], dict[Tree, tuple[Any, ...]]]:
    """Coefficients in ``theta`` of the exact solution ``u(theta)`` and of ``G`` along it, by Picard iteration."""
    theta = h_series(order)
    a, s = compose(process.alphas, theta), compose(process.sigmas, theta)
    da, ds = process.rates(Level(theta, a, s, theta, v=(a, s), pure_noise=False, clean=False))
    w = (da - a * ds / s) / s
    u: dict[Tree, Series] = {STATE: theta._lift(1)}
    for n in range(1, order):
        field = _field(u, theta, n)
        u = {STATE: theta._lift(1)} | {t: _integral(w * g, order) for t, g in field.items()}
    along = _field(u, theta, order)
    return _coefficients(u, order), _coefficients(along, order)


def _coefficients(expansion: Expansion, order: int) -> dict[Tree, tuple[Any, ...]]:
    return {t: tuple(s[i] if i < s.end else rational(0) for i in range(order)) for t, s in expansion.items()}


def _integral(g: Series, order: int) -> Series:
    # Picard needs the known part only; what lies beyond is filled by later sweeps
    known = [rational(0)] * order
    for i in range(max(g.v, 0), min(g.end, order - 1)):
        known[i + 1] = g[i] / (i + 1)
    return Series(0, tuple(known))


def _at(coefficients: Mapping[Tree, tuple[Any, ...]], theta: Series, order: int) -> dict[Tree, Series]:
    """Power series in the displacement, at ``theta``."""
    step = _raw(theta.cut(order), order)
    powers: list[Raw] = [(0, [rational(1)] + [rational(0)] * (order - 1))]
    while step[1] and powers[-1][0] + step[0] < order:
        powers.append(_times(powers[-1], step, order))
    rows = [[rational(0)] * v + c for v, c in powers]
    end = min(len(row) for row in rows)
    return {
        t: Series(0, tuple(sum(c[k] * row[i] for k, row in enumerate(rows) if k <= i) for i in range(end)))
        for t, c in coefficients.items()
    }


def _exact_state(process: GenericProcess, level: Level, order: int) -> dict[Tree, Series]:
    sigma = level.sigma.cut(order)
    return {t: sigma * u for t, u in _at(_exact_flow(process, order)[0], level.t, order).items()}


def _exact_field(process: GenericProcess, level: Level, order: int) -> dict[Tree, Series]:
    return _at(_exact_flow(process, order)[1], level.t, order)


def _combine(terms: Sequence[tuple[Any, Expansion]], order: int) -> dict[Tree, Series]:
    out: dict[Tree, Series] = {}
    for c, value in terms:
        c = c.cut(order) if isinstance(c, Series) else c
        for t, s in value.items():
            out[t] = out[t] + s * c if t in out else s * c
    return {t: s.cut(order) for t, s in out.items()}


def local_errors(plan: Plan, process: GenericProcess, order: int) -> list[dict[Tree, Series]]:
    """For each step the expansion of (computed - exact) state when every earlier state is exact.

    Args:
        plan: compiled on a :class:`GenericGrid` of ``process`` with data prediction.
        order: expansions are known up to ``O(h^order)``.
    """
    return _errors(plan, process, order, {}, {})[0]


def _errors(
    plan: Plan, process: GenericProcess, order: int, replaced: Mapping[int, Level], watched: Mapping[int, Level]
) -> tuple[list[dict[Tree, Series]], list[int]]:
    """:func:`local_errors`, where besides the states the registers ``replaced`` hold the exact state of their level;
    and the powers of ``h`` at which the registers ``watched`` miss that of theirs."""
    where = dict(zip(plan.states, plan.levels, strict=True))
    errors: list[dict[Tree, Series]] = []
    misses: list[int] = []
    # the state is kept with its level, so that its id stays its own
    seen: dict[int, tuple[Expansion, Level]] = {}

    def visit(r: int, line: Any, value: Expansion) -> Expansion:
        if r in watched:
            miss = combine([(rational(1), value), (rational(-1), _exact_state(process, watched[r], order))])
            misses.append(_leading(miss, order)[0])
        level = where.get(r) or replaced.get(r)
        if level is None or line is None:
            return value
        exact = _exact_state(process, level, order)
        seen[id(exact)] = exact, level
        if r in where:
            errors.append(combine([(rational(1), value), (rational(-1), exact)]))
        return exact

    def combine(terms: Sequence[tuple[Any, Expansion]]) -> dict[Tree, Series]:
        return _combine(terms, order)

    def evaluate(value: Expansion, level: Level, quantity: str) -> Expansion:
        if id(value) in seen and seen[id(value)][1] is level:
            return _exact_field(process, level, order)
        return _field(combine([(1 / level.sigma, value)]), level.t.cut(order), order)

    def refuse(line: Any) -> Any:
        raise ValueError(f"{plan.solver} draws noise: its order is weak, use prove_weak")

    start = _exact_state(process, plan.start, order)
    seen[id(start)] = start, plan.start
    interpret(plan, start, combine, evaluate, refuse, visit)
    return errors, misses


def _leading(error: Expansion, order: int) -> tuple[int, dict[Tree, Any]]:
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
        stable: zero-stable (root condition on equal and on alternating steps).
        kind: "order" for deterministic, "weak order" for stochastic samplers.
        smooth: warm order on grids whose step ratios tend to one, asked for where the sampler claims one.
    """

    order: int
    cold: int
    violated: tuple[str, ...]
    stable: bool
    kind: str = "order"
    smooth: int | None = None


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
    stable = zero_stable(solver)
    for order in range(first, highest + 3):
        start = history(solver, order, seed, smooth)
        process, plan = generic_plan(solver, start.steps + 3, order, seed, smooth=smooth)
        try:
            errors = _errors(plan, process, order, start.predictions(plan), {})[0]
        except Inconsistent as error:
            return Proof(0, 0, (str(error),), stable)
        found = [_leading(error, order) for error in errors[start.steps :]]
        # local errors as global powers: a step that is taken n times costs one, the last step is taken once
        low = min([*(low - 1 for low, _ in found[:-1]), found[-1][0]])
        if low < order - 1:
            break
    p = max(low, 0)
    worst = next(trees for at, trees in [*((a - 1, b) for a, b in found[:-1]), found[-1]] if at == low)
    violated = tuple(f"{show_tree(t)}: {c}" for t, c in sorted(worst.items(), key=repr))
    return Proof(p, _cold(solver, p, seed, smooth), violated, stable)


def _cold(solver: Solver | Callable[..., None], p: int, seed: int, smooth: bool) -> int:
    """The lowest power in the errors of the steps that feel the start-up, which are taken once; at most ``p``."""
    depth = traced_depth(solver)
    for order in range(2, p + 2) if depth else ():
        carries = bool(_remembered(generic_plan(solver, 2 * depth + 3, 3, seed, smooth=smooth)[1]))
        steps = depth * order if carries else depth
        process, plan = generic_plan(solver, steps + 1, order, seed, smooth=smooth)
        low = min(_leading(error, order)[0] for error in local_errors(plan, process, order)[:steps])
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

    Evaluations at states remember nothing, since errors are measured from exact states. One at a predicted state that
    was corrected and that later steps read passes its error on, times ``h``. So predictions are taken to be exact over
    the depth of the method; where the first computed ones miss at ``h^v``, ``order - v - 1`` depths later what is left
    of that start is beyond ``h^order``.
    """
    depth = traced_depth(solver)
    if not _remembered(generic_plan(solver, 2 * depth + 3, 3, seed, smooth=smooth)[1]):
        return History(depth, 0)
    start = History(depth, depth)
    for known in range(3, order + 1):
        process, plan = generic_plan(solver, 2 * depth + 3, known, seed, smooth=smooth)
        watched = start.predictions(plan, depth, depth + 1)
        try:
            misses = _errors(plan, process, known, start.predictions(plan), watched)[1]
        except Inconsistent:
            misses = []
        if not misses:
            return History(depth * order, 0)
        if min(misses) < known:
            break
    return History(depth * (1 + max(1, order - min(misses) - 1)), depth)


def _remembered(plan: Plan) -> list[int]:
    """Registers that hold neither a state nor an evaluation at one and that a later step reads."""
    own = {r: line for r, line in enumerate(plan.lines, 1) if r not in plan.states}
    read = {q for line in plan.lines for q in sources(line) if q in own and own[q].step < line.step}
    return [q for q in read if not (isinstance(own[q], Eval) and own[q].x in plan.states)]  # type: ignore[union-attr]


def traced_depth(solver: Solver | Callable[..., None]) -> int:
    """How many earlier steps a step of ``solver`` reads."""
    return generic_plan(solver, 8, 3, 0)[1].depth


def zero_stable(solver: Solver | Callable[..., None]) -> bool:
    """:func:`root_condition` on equal steps and on steps that alternate 1 : 2."""
    depth = traced_depth(solver)
    plans = (generic_plan(solver, depth + 2, 3, 0, sizes)[1] for sizes in ((1, 1), (1, 2)))
    return all(root_condition(plan) for plan in plans)


def generic_plan(
    solver: Solver | Callable[..., None],
    steps: int,
    order: int,
    seed: int,
    sizes: Sequence[int] = (),
    smooth: bool = False,
) -> tuple[GenericProcess, Plan]:
    """The solver traced on a random generic process, known beyond ``O(h^order)``; steps have random rational ratios,
    repeat ``sizes``, or follow a smooth grid."""
    rng = random.Random(1000 + seed)
    process = GenericProcess.random(seed, order + GUARD)
    if smooth:
        return process, compile(solver, GenericGrid.smooth(process, steps, order + GUARD, seed))
    ratios = [rational(rng.randint(4, 8), rng.randint(4, 8)) for _ in range(steps)]
    if sizes:
        ratios = [rational(sizes[i % len(sizes)]) for i in range(steps)]
    return process, compile(solver, GenericGrid.build(process, ratios, order + GUARD))


def show_tree(tree: Tree) -> str:
    """A tree as an elementary differential of the denoiser: ``D_cu(D, D_c)``."""
    if tree == STATE:
        return "x"
    k, *children = tree
    head = "D" + ("_" + "c" * k + "u" * len(children) if k or children else "")
    return head + (f"({', '.join(show_tree(t) for t in children)})" if children else "")
