"""Weak order of stochastic samplers to order two, one-step and multistep, for every denoiser, from both sides.

With the history that the sampler itself has made, let ``X`` solve a reverse SDE from the sampler's own state ``x_n``:

    e_n(f) = E[f(x_{n+1}) - f(X(t_{n+1}))] = O(h^{p+1})   for every smooth f

is weak order ``p`` (Talay & Tubaro 1990: take ``f`` the solution of Kolmogorov's equation and sum over the steps; a
multistep method makes up in one step for what it missed in another, and the expectation over the draws that they share
sees it). A method that combines several states, as momentum does, has not forgotten its start after a few steps, and
what is found is a lower bound. Both sides are expanded in the trees of :mod:`diffnum.weak_trees`, on a random process
with random steps, for an arbitrary smooth denoiser of a *system*: one by running the plan, the other by the generator.

Which SDE? All that have the right marginals will do, and they differ in the noise ``kappa`` per log-SNR, a function
that may depend on the step: noise that acts earlier or later in a step, or before it, or is taken back, leaves the
same law. To order two ``kappa`` enters through its integral over the step, which is read off the coefficient of the
state, and through its first moment, read off the tree ``f_y(D_c)``; every other condition is then one on the sampler.
A step that differs from one SDE in such a way changes ``E f`` from a given state by ``O(h^2)``, over the exact law by
nothing, and so over the sampler's law, which is right to ``O(h)``, by ``O(h^3)``.

That the order is not higher is shown on a Gaussian, whose mean or variance misses at ``h^{p+1}``. The trees alone do
not show it: a denoiser is a gradient, and its derivative in the clock follows from those in the state. Beyond order two
``kappa`` is taken linear in log-SNR over a step, and a condition that fails may be one that another ``kappa`` meets.
Steps carry square roots, so series run in ``k = sqrt(h)`` with 50-digit coefficients.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

from .extended_numbers import digits, number
from .generic import GenericGrid, GenericProcess
from .grid import log_snr
from .order import Inconsistent, Proof, long_run, odd_steps, start_up_in
from .plan import Level, Noise, Plan, interpret, sources
from .process import VP
from .roots import reads_last_state, root_condition
from .series import Series
from .trace import Solver, compile
from .weak_trees import DRAW, ROOT, Expansion, Generator, Tree, Y, add, displacement, expectation, moved, show, taylor

__all__ = ["Rows", "gaussian_errors", "generic_weak_plan", "prove_weak", "weak_errors", "weak_order"]

DIGITS = 50
HIGHEST = 2
# powers of k that a formula may lose, such as phi_3 written with divisions by h
GUARD = 8
CLOCK: Tree = (ROOT, (1,))
EXACT = "the Gaussian is exact up to"
Row = dict[Any, Series]


def prove_weak(solver: Solver | Callable[..., None], highest: int = HIGHEST, seeds: Sequence[int] = (1, 2)) -> Proof:
    """Weak order up to ``highest``, two-sided, with the sampler's own history (warm) and start-up included (cold).

    It is the order on variance-preserving processes and, unless the sampler refuses them, on others too.

    Raises:
        ArithmeticError: seeds disagree.
    """
    # weights that do not vanish with the step make high orders slow to expand, and order zero is seen without
    low = _prove_once(solver, 0, seeds[0], True)
    if not all(v.startswith(EXACT) for v in low.violated):
        return _with_stability(low, solver, seeds[0], True)
    found = [_prove_once(solver, highest, seed, True) for seed in seeds]
    if len({(p.order, p.cold) for p in found}) > 1:
        raise ArithmeticError(f"{getattr(solver, 'name', solver)}: seeds disagree, {found}")
    try:
        other = _prove_once(solver, highest, seeds[0], False)
        if (other.order, other.cold) < (found[0].order, found[0].cold):
            violated = tuple(f"{v}, where variance is not preserved" for v in other.violated)
            return _with_stability(replace(other, violated=violated), solver, seeds[0], False)
    except ValueError:
        pass
    return _with_stability(found[0], solver, seeds[0], True)


def _prove_once(solver: Solver | Callable[..., None], highest: int, seed: int, preserving: bool) -> Proof:
    """All but stability."""
    process, plan = generic_weak_plan(solver, seed, preserving, highest)
    order, cold, violated = _orders(plan, process, highest, seed)
    return Proof(order, cold, violated, True, "weak order")


def _with_stability(proof: Proof, solver: Solver | Callable[..., None], seed: int, preserving: bool) -> Proof:
    """With the root condition along random steps past the start-up, and whether it holds along all."""
    with digits(DIGITS):
        plan = _compiled(solver, seed, preserving, long_run(_depth(solver)), 3)[1]
    stable = root_condition(plan, start_up_in(plan))
    return replace(proof, stable=stable, every_ratio=stable and reads_last_state(plan), on_equal=stable)


def generic_weak_plan(
    solver: Solver | Callable[..., None], seed: int, preserving: bool = True, highest: int = HIGHEST
) -> tuple[GenericProcess, Plan]:
    """On a random process, which preserves variance or does not, random steps, so many that two have their history and
    are not the last; one where there is no history, since it starts from any state."""
    # powers of a square root need far more than double precision
    with digits(DIGITS):
        steps = _settled(solver) + 2 + (_depth(solver) > 0)
        return _compiled(solver, seed, preserving, steps, 2 * highest + 3)


@lru_cache(maxsize=64)
def _depth(solver: Solver | Callable[..., None]) -> int:
    return _remembers(_on_vp(solver, 8))


def _remembers(plan: Plan) -> int:
    """How many steps back a step looks; a partner state has all the past in it, as a two-step method's last one."""
    return plan.depth or len(plan.partners)


def _on_vp(solver: Solver | Callable[..., None], steps: int) -> Plan:
    return compile(solver, log_snr(VP(), steps, VP().t(-2.0), VP().t(2.0)))


@lru_cache(maxsize=64)
def _settled(solver: Solver | Callable[..., None]) -> int:
    """Steps after which own history is as good as exact history.

    A start-up that misses by ``k^3`` from state to state is multiplied by what a step of order two makes of a random
    history, ``k^3``: that is beyond order two, and so is what a step more leaves beyond order three. Early steps that
    are unlike the later ones are start-up too.
    """
    depth = _depth(solver)
    return max(depth + 1 if depth else 0, odd_steps(_on_vp(solver, long_run(depth))))


def _compiled(
    solver: Solver | Callable[..., None], seed: int, preserving: bool, steps: int, order: int
) -> tuple[GenericProcess, Plan]:
    grid = _generic_grid(seed, preserving, steps, order, type(number(0)))
    return grid.process, compile(solver, grid)


@lru_cache(maxsize=64)
def _generic_grid(seed: int, preserving: bool, steps: int, order: int, kind: type) -> GenericGrid:
    """Of :func:`_compiled`, the same for all samplers, in :data:`DIGITS` digits of one kind of number."""
    rng = random.Random(1000 + seed)
    process = _random_process(seed, preserving, order + GUARD)
    # zeros of one kind with the rest: a sum over mixed kinds converts every term
    square = Series(0, tuple(number(int(i == 2)) for i in range(order + GUARD)))
    ratios = [Fraction(rng.randint(4, 8), rng.randint(4, 8)) for _ in range(steps)]
    thetas = [square * sum(ratios[i:], Fraction(0)) for i in range(steps + 1)]
    return GenericGrid.through(process, thetas)


def _random_process(seed: int, preserving: bool, order: int) -> GenericProcess:
    rough = GenericProcess.random(seed, order)
    alphas, sigmas = (
        tuple(number(int(a.numerator)) / int(a.denominator) for a in c) for c in (rough.alphas, rough.sigmas)
    )
    if not preserving:
        return GenericProcess(alphas, sigmas)
    alphas = (number(3) / (4 + seed), *alphas[1:])
    one_less = (1 - Series(0, alphas) * Series(0, alphas)).sqrt()
    return GenericProcess(alphas, tuple(one_less[i] for i in range(len(alphas))), preserves_variance=True)


def weak_order(plan: Plan, process: GenericProcess, seed: int, highest: int = HIGHEST) -> tuple[int, tuple[str, ...]]:
    """Weak order with the sampler's own history, and what fails one order up.

    Args:
        plan: of :func:`generic_weak_plan`.
    """
    order, _, violated = _orders(plan, process, highest, seed, cold=False)
    return order, violated


def _orders(
    plan: Plan, process: GenericProcess, highest: int, seed: int, cold: bool = True
) -> tuple[int, int, tuple[str, ...]]:
    """The order, that with the start-up included where ``cold``, and what fails one order up."""
    if _reuses_a_draw(plan):
        return 0, 0, ("a draw of an earlier step is used again, so that its steps are not independent",)
    with digits(DIGITS):
        rows = Rows.of(plan)
        usual = plan.steps - 2 - (_remembers(plan) > 0)
        first = 0 if cold else usual
        try:
            found = [_leading(e, 2 * highest + 3) for e in weak_errors(rows, process, 2 * highest + 3, first)]
        except Inconsistent as error:
            return 0, 0, (str(error),)
        # local errors as global powers: a step that is taken n times costs one, the last step is taken once
        powers = [*((power - 1, trees) for power, trees in found[usual - first : -1]), found[-1]]
        low, failed = min(powers, key=lambda p: p[0])
        order = max(min(low, highest), 0)
        with_start = min([order, *(power for power, _ in found[: usual - first])])
        gaussian = min(e.valuation for e in gaussian_errors(rows, Fraction(seed + 2, 7), Fraction(5, 7))) // 2
    trees = tuple(f"{show(t)} at h^{order + 1}" for t in failed if low <= highest)
    return order, with_start, (*_on_gaussian(order, gaussian), *trees)


def _reuses_a_draw(plan: Plan) -> bool:
    draws = {r: line.step for r, line in enumerate(plan.lines, 1) if isinstance(line, Noise)}
    return any(q in draws and draws[q] < line.step for line in plan.lines for q in sources(line))


def _leading(error: Expansion, order: int) -> tuple[int, tuple[Tree, ...]]:
    """Half the lowest power of ``k``, rounded down, and the trees that carry it."""
    low = min((s.valuation for s in error.values() if s.valuation < s.end), default=order)
    if min((s.end for s in error.values()), default=order) < min(low, order):
        raise ArithmeticError("divisions by h left too little known: write the formula with num.phi")
    return low // 2, tuple(sorted(t for t, s in error.items() if s.valuation == low < s.end))


def _on_gaussian(order: int, power: int) -> tuple[str, ...]:
    if power <= order:
        raise ArithmeticError(f"proved is weak order {order}, but a Gaussian misses at h^{power}")
    if power == order + 1:
        return (f"Gaussian mean or variance misses at h^{power}",)
    return (f"{EXACT} h^{power - 1}, so that the order may be higher",)


# --- the plan ---


@dataclass(frozen=True)
class Rows:
    """The plan as linear combinations of its first state ``"x"``, evaluations ``("D", i)`` and draws ``("z", i)``.

    Attributes:
        inputs: of every evaluation, with its level.
        states: at every level.
    """

    inputs: tuple[tuple[Row, Level], ...]
    states: tuple[tuple[Row, Level], ...]

    @staticmethod
    def of(plan: Plan) -> Rows:
        """Every draw is its own, even where two lines look alike."""
        where = {r: level for r, level in zip(plan.states, plan.levels, strict=True)}
        one = plan.levels[0].sigma * 0 + 1
        inputs: list[tuple[Row, Level]] = []
        states: list[tuple[Row, Level]] = []
        drawn: list[Any] = []

        def evaluate(value: Row, level: Level, quantity: str) -> Row:
            inputs.append((value, level))
            return {("D", len(inputs) - 1): one}

        def noise(line: Any) -> Row:
            drawn.append(line)
            return {("z", len(drawn)): one}

        def visit(r: int, line: Any, value: Row) -> Row:
            if r in where:
                states.append((value, where[r]))
            return value

        interpret(plan, {"x": one}, _combine, evaluate, noise, visit)
        return Rows(tuple(inputs), tuple(states))

    def rate(self, n: int) -> Series:
        """Noise per log-SNR on a step, from what it keeps of the state where there is no denoiser.

        Raises:
            Inconsistent: it does not tend to all of it.
        """
        (x, s), (x_next, t) = self.states[n : n + 2]
        # all that is kept of the state may be in what the denoiser says of it
        kept = x_next["x"] * s.sigma / (x["x"] * t.sigma) if "x" in x and "x" in x_next else s.sigma * 0
        if (kept - 1).valuation < 2:
            raise Inconsistent("without a denoiser a step does not tend to the identity as h does to 0")
        return kept.log() / (s.lam - t.lam)


def _combine(terms: Sequence[tuple[Any, Mapping[Any, Series]]]) -> Row:
    out: Row = {}
    for c, value in terms:
        for key, s in value.items():
            out[key] = out[key] + s * c if key in out else s * c
    return out


@dataclass(frozen=True)
class _Frame:
    """Where ``y`` is measured: on the process, with the sampler's own noise per log-SNR taken out."""

    process: GenericProcess
    rate: Any

    @staticmethod
    def of(process: GenericProcess, rows: Rows) -> _Frame:
        """The rate to leading order, on the last step.

        Raises:
            Inconsistent: without ``D`` a step does not tend to the identity.
        """
        rate = rows.rate(len(rows.states) - 2)
        return _Frame(process, rate[0])

    def scale(self, level: Level) -> Series:
        """``x = scale y``."""
        return level.sigma * (level.lam * -self.rate).exp()

    def value(self, row: Row, level: Level, first: Level, fields: Sequence[Expansion], order: int) -> Expansion:
        """``y`` of a linear combination of registers."""
        found: dict[Tree, Series] = {}
        unit = 1 / self.scale(level)
        for key, c in row.items():
            c = c * unit
            if key == "x":
                add(found, Y, (c * self.scale(first)).cut(order))
            elif key[0] == "z":
                add(found, (DRAW, key[1]), c.cut(order))
            else:
                for tree, s in fields[key[1]].items():
                    add(found, tree, (c * s).cut(order))
        return found


def _values(rows: Rows, frame: _Frame, order: int, since: int) -> list[Expansion]:
    """``y`` at every state from one on."""
    first = rows.states[0][1]
    uses = [row for row, _ in (*rows.inputs, *rows.states)]
    fields: list[Expansion] = []
    for i, (row, level) in enumerate(rows.inputs):
        # an evaluation is used with weights that vanish with the step, and needed to so much lower order
        weights = [use["D", i].valuation for use in uses if ("D", i) in use]
        need = order - min(weights, default=order - 1)
        y = frame.value(row, level, first, fields, need)
        fields.append(taylor(0, displacement(y, need), level.t.cut(need), need))
    return [frame.value(row, level, first, fields, order) for row, level in rows.states[since:]]


def weak_errors(rows: Rows, process: GenericProcess, order: int, first: int = 0) -> list[dict[Tree, Series]]:
    """``e_n(f)`` of all steps from ``first`` on as expansions over trees with paired leaves, up to ``O(k^order)``.

    Raises:
        Inconsistent: a state or evaluation that does not tend to the current state.
    """
    frame = _Frame.of(process, rows)
    values = _values(rows, frame, order, first)
    return [
        _weak_error(frame, s, t, before, after, order)
        for ((_, s), before), ((_, t), after) in pairwise(zip(rows.states[first:], values, strict=True))
    ]


def _weak_error(
    frame: _Frame, s: Level, t: Level, before: Expansion, after: Expansion, order: int
) -> dict[Tree, Series]:
    mean = (after[Y] / before[Y]).log() / (s.lam - t.lam) + frame.rate

    def error(slope: Any, order: int, clock: bool = False) -> dict[Tree, Series]:
        end, start = displacement(after, order), displacement(before, order)
        moves = Generator.of(frame.process, frame.rate, s, t, (mean, slope), order).solve(order)
        if clock:
            # all that CLOCK is made of
            end, start = ([part for part in delta if part[0] == CLOCK[1]] for delta in (end, start))
            moves = {tree: moves[tree] for tree in ((ROOT,), (ROOT, Y), CLOCK) if tree in moves}
        out = expectation(taylor(ROOT, end, None, order, even=True))
        for tree, c in moves.items():
            for paired, m in expectation(moved(tree, start, order - c.valuation, even=True)).items():
                add(out, paired, (m * -c).cut(order))
        return out

    if mean.valuation != 0 or order < 5:
        return error(0, order)
    # the first moment of kappa that f_y(D_c) asks for: it moves that tree by slope (alpha/sigma) lam' dc^2 / 12
    asked = error(0, 5, clock=True).get(CLOCK)
    effect = (t.alpha / t.sigma)[0] * (t.lam - s.lam)[2] * (t.t - s.t)[2] / 12
    return error(0 if asked is None else asked[4] / effect, order)


# --- a Gaussian ---


def gaussian_errors(rows: Rows, variance: Any, mean: Any) -> tuple[Series, Series]:
    """By how much variance and mean of ``N(mean, variance)`` miss by the fault of the last step but one.

    The law is exact at the first state; what earlier steps missed is moved on as the reverse SDE with the step's own
    noise would move it (chapter 1 of the theory).
    """
    zero = rows.states[0][1].sigma * 0

    def spread(level: Level) -> Series:
        return level.alpha * level.alpha * variance + level.sigma * level.sigma

    start = rows.states[0][1]
    known: dict[Any, Row] = {"x": {"x": zero + 1, "mean": start.alpha * mean}}

    def value(row: Row) -> Row:
        return _combine([(c, known.get(key, {key: zero + 1})) for key, c in row.items()])

    for i, (row, level) in enumerate(rows.inputs):
        gain = level.alpha * variance / spread(level)
        known["D", i] = _combine([(gain, value(row)), (1 - gain * level.alpha, {"mean": zero + mean})])

    def missed(row: Row, level: Level) -> tuple[Series, Series]:
        form = value(row)
        square = form["x"] * form["x"] * spread(start)
        square = sum((c * c for key, c in form.items() if key not in ("x", "mean")), square)
        return square - spread(level), form["mean"] - level.alpha * mean

    n = len(rows.states) - 3
    (_, s), (_, t) = rows.states[n : n + 2]
    rate = rows.rate(n)
    grown = (spread(t) / spread(s)).log() * (rate + 1) - (t.alpha / s.alpha).log() * rate * 2
    before, after = missed(*rows.states[n]), missed(*rows.states[n + 1])
    return after[0] - before[0] * grown.exp(), after[1] - before[1] * (grown / 2).exp()
