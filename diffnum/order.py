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

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from .plan import Eval, Level, Plan, interpret, sources
from .series import Series, compose, h_series, rational, revert
from .trace import Solver, compile

__all__ = ["GenericGrid", "GenericProcess", "Proof", "local_errors", "prove", "root_condition", "show_tree"]

# powers of h that a formula may lose, such as phi_3 written with divisions by h
GUARD = 4
STATE: tuple[Any, ...] = ("u",)
Tree = tuple[Any, ...]
Expansion = Mapping[Tree, Series]


@dataclass(frozen=True)
class GenericProcess:
    """A process with power series ``alpha(theta)``, ``sigma(theta)`` in the clock displacement ``theta``.

    Attributes:
        alphas, sigmas: coefficients, exact or extended numbers; ``sigmas[0] != 0``.
    """

    alphas: tuple[Any, ...]
    sigmas: tuple[Any, ...]
    preserves_variance: bool = False
    name: str = "generic"

    @staticmethod
    def random(seed: int, order: int) -> GenericProcess:
        """Random small rationals; ``alpha`` falls and ``sigma`` rises with the clock."""
        rng = random.Random(seed)
        alphas = (_rational(rng), -_rational(rng), *(_signed(rng) for _ in range(order)))
        sigmas = (_rational(rng), _rational(rng), *(_signed(rng) for _ in range(order)))
        return GenericProcess(alphas, sigmas)

    @property
    def _lams(self) -> tuple[Any, ...]:
        n = len(self.alphas)
        lam = Series(0, self.alphas).log() - Series(0, self.sigmas).log()
        return tuple(lam[i] for i in range(n))

    def level(self, theta: Series) -> Level:
        """The level at clock displacement ``theta``; ``lam`` is relative to ``theta = 0``."""
        return self._level(theta, compose(self._lams, theta))

    def _level(self, theta: Series, lam: Series) -> Level:
        alpha, sigma = compose(self.alphas, theta), compose(self.sigmas, theta)
        return Level(theta, alpha, sigma, lam, pure_noise=False, clean=False)

    def at(self, lam: Series) -> Level:
        """The level at relative log-SNR ``lam``."""
        return self._level(revert(self._lams, lam), lam)

    def clock(self, level: Level) -> Series:
        """``theta``."""
        return level.t

    def at_clock(self, c: Series) -> Level:
        """As :meth:`level`."""
        return self.level(c)

    def rates(self, level: Level) -> tuple[Series, Series]:
        """``(alpha', sigma')``."""
        return compose(_derivative(self.alphas), level.t), compose(_derivative(self.sigmas), level.t)

    def prior(self, level: Level) -> float:
        """No meaning here."""
        return 1.0

    def to_json(self) -> dict[str, Any]:
        """A name for printing."""
        return {"name": self.name}


def _rational(rng: random.Random) -> Any:
    return rational(rng.randint(3, 9), rng.randint(3, 9))


def _signed(rng: random.Random) -> Any:
    return rng.choice((-1, 1)) * _rational(rng) / 4


def _derivative(c: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(k * x for k, x in enumerate(c))[1:]


@dataclass(frozen=True)
class GenericGrid:
    """Levels at ``theta_i = -(r_1 + ... + r_i) h`` relative to level ``origin``; a grid for :func:`compile`."""

    process: Any
    levels: tuple[Level, ...]
    h: tuple[Any, ...]
    end: str = "stop"

    @staticmethod
    def build(process: Any, ratios: Sequence[Any], order: int) -> GenericGrid:
        """``len(ratios)`` steps of sizes ``ratios * h``; the last one starts at ``theta = 0``."""
        at = [-sum(ratios[: i + 1]) + sum(ratios[:-1]) for i in range(-1, len(ratios))]
        return GenericGrid.through(process, [h_series(order, a) for a in at])

    @staticmethod
    def smooth(process: Any, steps: int, order: int, seed: int) -> GenericGrid:
        """Levels at ``theta(i h)`` of a random analytic ``theta``: step ratios tend to one as ``h`` does to zero."""
        rng = random.Random(2000 + seed)
        curve = (rational(0), -_rational(rng), *(_signed(rng) for _ in range(order - 2)))
        return GenericGrid.through(process, [compose(curve, h_series(order, i - steps + 1)) for i in range(steps + 1)])

    @staticmethod
    def through(process: Any, thetas: Sequence[Series]) -> GenericGrid:
        """The grid of given displacements."""
        levels = tuple(process.level(theta) for theta in thetas)
        return GenericGrid(process, levels, tuple(t.lam - s.lam for s, t in pairwise(levels)))


def _node(arguments: Sequence[tuple[Tree, int]], k: int) -> Tree:
    return (k, *(t for t, m in arguments for _ in range(m)))


def _multisets(keys: Sequence[Tree], room: int, cost: Callable[[Tree], int]) -> list[list[tuple[Tree, int]]]:
    """All multisets of ``keys`` with total cost at most ``room``."""
    if not keys:
        return [[]]
    head, rest = keys[0], keys[1:]
    found = []
    for m in range(room // cost(head) + 1):
        tail = _multisets(rest, room - m * cost(head), cost)
        found += [([(head, m)] if m else []) + more for more in tail]
    return found


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
    out: dict[Tree, Series] = {}
    moves = theta.valuation < theta.end
    for chosen in _multisets(keys, order - 1, lambda t: delta[t].valuation):
        weight = theta._lift(1)
        for t, m in chosen:
            weight = weight * delta[t] ** m * rational(1, math.factorial(m))
        for k in range(order if moves else 1):
            if weight.valuation + k * (theta.valuation if moves else 0) >= order:
                break
            term = weight * theta**k * rational(1, math.factorial(k))
            node = _node(chosen, k)
            out[node] = out[node] + term if node in out else term
    return out


class Inconsistent(ValueError):
    """The plan is not a consistent discretisation: its order is zero."""


@lru_cache(maxsize=32)
def _exact_flow(process: GenericProcess, order: int) -> dict[Tree, tuple[Any, ...]]:
    """Coefficients in ``theta`` of the exact solution ``u(theta)`` by Picard iteration."""
    theta = h_series(order)
    a, s = compose(process.alphas, theta), compose(process.sigmas, theta)
    da, ds = process.rates(Level(theta, a, s, theta, v=(a, s), pure_noise=False, clean=False))
    w = (da - a * ds / s) / s
    u: dict[Tree, Series] = {STATE: theta._lift(1)}
    for n in range(1, order):
        field = _field(u, theta, n)
        u = {STATE: theta._lift(1)} | {t: _integral(w * g, order) for t, g in field.items()}
    return {t: tuple(series[i] if i < series.end else rational(0) for i in range(order)) for t, series in u.items()}


def _integral(g: Series, order: int) -> Series:
    # Picard needs the known part only; what lies beyond is filled by later sweeps
    known = [rational(0)] * order
    for i in range(max(g.v, 0), min(g.end, order - 1)):
        known[i + 1] = g[i] / (i + 1)
    return Series(0, tuple(known))


def _exact_state(process: GenericProcess, level: Level, order: int) -> dict[Tree, Series]:
    theta, sigma = level.t.cut(order), level.sigma.cut(order)
    return {t: sigma * compose(c, theta) for t, c in _exact_flow(process, order).items()}


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
    where = {r: level for r, level in zip(plan.states, plan.levels, strict=True)}
    errors: list[dict[Tree, Series]] = []

    def visit(r: int, line: Any, value: Expansion) -> Expansion:
        if r not in where or line is None:
            return value
        exact = _exact_state(process, where[r], order)
        errors.append(combine([(rational(1), value), (rational(-1), exact)]))
        return exact

    def combine(terms: Sequence[tuple[Any, Expansion]]) -> dict[Tree, Series]:
        return _combine(terms, order)

    def evaluate(value: Expansion, level: Level, quantity: str) -> Expansion:
        return _field(combine([(1 / level.sigma, value)]), level.t.cut(order), order)

    def refuse(line: Any) -> Any:
        raise ValueError(f"{plan.solver} draws noise: its order is weak, use prove_weak")

    start = _exact_state(process, plan.start, order)
    interpret(plan, start, combine, evaluate, refuse, visit)
    return errors


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
    grid. A sampler that claims an order on smooth grids is proved on both; its cold order is that on smooth grids. The last step may be a simpler one, since it is taken once: with
    local order ``q`` it caps the order at ``q + 1``. So do the start-up steps, for the cold order.
    """
    if getattr(solver, "stochastic", False):
        raise ValueError(f"{solver.name} draws noise: its order is weak, use diffnum.weak.prove_weak")  # type: ignore[union-attr]
    smooth = getattr(solver, "smooth", None)
    if smooth is not None:
        rough, fine = (prove(replace(solver, smooth=None), highest, seeds, at) for at in (None, smooth))  # type: ignore[type-var]
        return replace(rough, cold=fine.cold, smooth=fine.order)
    first = max(4, (getattr(solver, "order", 0) if on_smooth is None else on_smooth) + 2)
    proofs = [_prove_once(solver, first, max(highest, first), seed, on_smooth is not None) for seed in seeds]
    if len({(p.order, p.cold) for p in proofs}) > 1:
        raise ArithmeticError(f"{getattr(solver, 'name', solver)}: seeds disagree, {proofs}")
    return proofs[0]


def _prove_once(solver: Solver | Callable[..., None], first: int, highest: int, seed: int, smooth: bool) -> Proof:
    stable = zero_stable(solver)
    for order in range(first, highest + 3):
        settled = _start_up(solver, order)
        process, plan = generic_plan(solver, settled + 3, order, seed, smooth=smooth)
        try:
            found = [_leading(error, order) for error in local_errors(plan, process, order)]
        except Inconsistent as error:
            return Proof(0, 0, (str(error),), stable)
        # local errors as global powers: a step that is taken n times costs one, the last step is taken once
        low = min([*(low - 1 for low, _ in found[settled:-1]), found[-1][0]])
        if low < order - 1:
            break
    p = max(low, 0)
    cold = min([p, *(low for low, _ in found[:settled])])
    worst = next(trees for at, trees in [*((a - 1, b) for a, b in found[settled:-1]), found[-1]] if at == low)
    violated = tuple(f"{show_tree(t)}: {c}" for t, c in sorted(worst.items(), key=repr))
    return Proof(p, cold, violated, stable)


def _start_up(solver: Solver | Callable[..., None], order: int) -> int:
    """Steps after which a step has forgotten how the method began.

    Errors are measured from exact states, so evaluations at states remember nothing. An evaluation elsewhere that a
    later step reads, such as one at a predicted state that was corrected, passes errors on, times ``h``.
    """
    plan = generic_plan(solver, 8, 3, 0)[1]
    own = {r: line for r, line in enumerate(plan.lines, 1) if r not in plan.states}
    carried = {q for line in plan.lines for q in sources(line) if q in own and own[q].step < line.step}
    lines = [own[q] for q in carried]
    exact = all(isinstance(line, Eval) and line.x in plan.states for line in lines)
    return plan.depth if exact else plan.depth * order


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


def root_condition(plan: Plan, bound: float = 1e4) -> bool:
    """Zero-stability: with ``D = 0`` a state is a bounded combination of earlier ones.

    Every state is replaced by its own unit; if state ``i + 1`` reads only state ``i`` (in ``u = x / sigma``,
    with coefficient 1) the method is zero-stable for every step ratio. Otherwise the powers of the product of
    companion matrices along the plan's own step ratios, up to the millionth, are bounded by ``bound``: a spurious
    root beyond the unit circle and a double root on it are not.
    """
    import numpy as np

    unit = {r: {r: 1.0} for r in plan.states}
    scale = {r: _head(level.sigma) for r, level in zip(plan.states, plan.levels, strict=True)}
    rows: list[dict[int, float]] = []

    def combine(terms: Sequence[tuple[Any, dict[int, float]]]) -> dict[int, float]:
        out: dict[int, float] = {}
        for c, value in terms:
            for r, a in value.items():
                out[r] = out.get(r, 0.0) + _head(c) * a
        return out

    def visit(r: int, line: Any, value: dict[int, float]) -> dict[int, float]:
        if r in unit and line is not None:
            rows.append({q: a * scale[q] / scale[r] for q, a in value.items() if a})
        return unit.get(r, value)

    interpret(plan, unit[0], combine, lambda x, level, quantity: {}, lambda line: {}, visit)
    width = max(plan.depth + 1, 1)
    if all(set(row) <= {plan.states[i]} for i, row in enumerate(rows)):
        return all(abs(sum(row.values()) - 1) < 1e-9 for row in rows)
    product = np.eye(width)
    for i, row in list(enumerate(rows))[width - 1 :]:
        companion = np.eye(width, k=-1)
        companion[0] = [row.get(plan.states[i - j], 0.0) for j in range(width)]
        product = companion @ product
    for _ in range(20):
        if not np.abs(product).max() < bound:
            return False
        product = product @ product
    return bool(np.abs(product).max() < bound)


def _head(c: Any) -> float:
    return float(c[0]) if isinstance(c, Series) else float(c)
