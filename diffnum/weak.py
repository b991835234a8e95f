"""Weak order of stochastic samplers, from both sides, on a generic process.

All samplers with the right marginals share, per unit of the clock going down in noise, the
probability-flow drift, ``nu^2 / 2`` times the score and noise of variance ``nu^2``; ``nu`` is free. A
step ``x_t = A x + B D + sum N_i z_i`` is of weak order one for *every* denoiser when, for some ``nu``,

    A = 1 + |dc| (-a - nu^2 / (2 sigma^2)),  B = |dc| (-b + nu^2 alpha / (2 sigma^2)),  sum N_i^2 = nu^2 |dc|

to ``O(|dc|^2)``, with ``a = sigma'/sigma``, ``b = alpha' - alpha sigma'/sigma``, when ``D`` is evaluated near
``(x, s)`` and the ``z_i`` are fresh. That it is not of order two
is shown on a Gaussian, where the variance after a step from the exact law misses at ``|dc|^2``.
Steps carry square roots, so series run in ``k = sqrt(h)`` with 50-digit coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from .order import GenericGrid, GenericProcess, Proof, root_condition
from .plan import Eval, Level, Noise, Plan, interpret
from .prediction import to_native
from .series import Series, h_series
from .trace import Solver, compile

__all__ = ["generic_weak_plan", "prove_weak", "weak_order"]

ORDER = 12
DIGITS = 50
Row = Mapping[Any, Series]


def prove_weak(solver: Solver | Callable[..., None], seeds: Sequence[int] = (1, 2)) -> Proof:
    """Weak order, 0 or 1 proved for every denoiser; higher claims need conditions this proof does not hold.

    It is the order on variance-preserving processes and, unless the sampler refuses them, on others too.

    Raises:
        ArithmeticError: seeds disagree.
    """
    found = [_prove_once(solver, seed, True) for seed in seeds]
    if len({p.order for p in found}) > 1:
        raise ArithmeticError(f"{getattr(solver, 'name', solver)}: seeds disagree, {found}")
    try:
        other = _prove_once(solver, seeds[0], False)
    except ValueError:
        return found[0]
    if other.order >= found[0].order:
        return found[0]
    where = tuple(f"{v}, where variance is not preserved" for v in other.violated)
    return replace(other, violated=where)


def _prove_once(solver: Solver | Callable[..., None], seed: int, preserving: bool) -> Proof:
    process, plan = generic_weak_plan(solver, seed, preserving)
    order, violated = weak_order(plan, process, seed)
    return Proof(order, order, violated, root_condition(plan), "weak order")


def generic_weak_plan(
    solver: Solver | Callable[..., None], seed: int, preserving: bool = True
) -> tuple[GenericProcess, Plan]:
    """Two steps of ``k^2`` on a random process, which preserves variance or does not."""
    import mpmath

    # twelve powers of a square root need far more than double precision
    with mpmath.workdps(DIGITS):
        process = _random_process(seed, preserving)
        square = h_series(ORDER) * h_series(ORDER)
        levels = tuple(process.level(square * (1 - i)) for i in range(3))
        grid = GenericGrid(process, levels, tuple(t.lam - s.lam for s, t in pairwise(levels)))
        return process, compile(solver, grid)


def weak_order(plan: Plan, process: GenericProcess, seed: int) -> tuple[int, tuple[str, ...]]:
    """Weak order of the last step, 0 or 1, and what fails one order up."""
    import mpmath

    with mpmath.workdps(DIGITS):
        missing = _conditions(plan, process)
        if missing:
            return 0, missing
        power = _gaussian_error(plan, Fraction(seed + 2, 7))
    if power < 4:
        return 0, (f"Gaussian variance misses at h^{power / 2:g}",)
    if power > 4:
        return 1, (f"beyond weak order one nothing is proved, though the Gaussian misses only at h^{power / 2:g}",)
    return 1, (f"Gaussian variance misses at h^{power / 2:g}",)


def _random_process(seed: int, preserving: bool) -> GenericProcess:
    import mpmath

    rough = GenericProcess.random(seed, ORDER)
    alphas, sigmas = (tuple(mpmath.mpf(a.numerator) / a.denominator for a in c) for c in (rough.alphas, rough.sigmas))
    if not preserving:
        return GenericProcess(alphas, sigmas)
    alphas = (mpmath.mpf(3) / (4 + seed), *alphas[1:])
    one_less = (1 - Series(0, alphas) * Series(0, alphas)).sqrt()
    return GenericProcess(alphas, tuple(one_less[i] for i in range(len(alphas))), preserves_variance=True)


def _combine(terms: Sequence[tuple[Any, Row]]) -> dict[Any, Series]:
    out: dict[Any, Series] = {}
    for c, value in terms:
        for key, s in value.items():
            out[key] = out[key] + s * c if key in out else s * c
    return out


def _conditions(plan: Plan, process: GenericProcess) -> tuple[str, ...]:
    """Names of the weak first-order conditions that the last step violates."""
    s, t = plan.levels[-2:]
    zero = s.sigma * 0
    key = plan.states[-2]
    astray: set[int] = set()

    def visit(r: int, line: Any, value: Row) -> Row:
        if isinstance(line, Eval) and not _near(value, line.level):
            astray.add(r)
        return {"x": zero + 1} if r == key else {("D", r): zero + 1} if isinstance(line, Eval) else value

    def _near(value: Row, level: Level) -> bool:
        # D(x + k z) with a fresh z differs from D(x) by a mean of h; x and the level may move by h themselves
        moved = {**value, "x": value.get("x", zero) - 1}
        same = all(c.valuation >= (1 if isinstance(q, Noise) else 2) for q, c in moved.items())
        return same and (level.t - s.t).valuation >= 2

    out = interpret(
        plan, {"x": zero + 1}, _combine, lambda x, level, quantity: x, lambda line: {line: zero + 1}, visit
    )[0]
    da, ds = process.rates(s)
    step = s.t - t.t
    weights = {q[1]: c for q, c in out.items() if isinstance(q, tuple)}
    draws = {q: c for q, c in out.items() if isinstance(q, Noise)}
    spread: Any = sum((c * c for c in draws.values()), zero)
    got = {"x": out.get("x", zero), "D": sum(weights.values(), zero)}
    wanted = {
        "x": 1 - step * ds / s.sigma - spread / (2 * s.sigma * s.sigma),
        "D": -step * (da - s.alpha * ds / s.sigma) + spread * s.alpha / (2 * s.sigma * s.sigma),
    }
    checks = {
        "drift in x at h^1": (got["x"] - wanted["x"]).valuation >= 4,
        "drift in D at h^1": (got["D"] - wanted["D"]).valuation >= 4,
        "noise does not vanish with h": spread.valuation >= 2,
        "an evaluation away from (x_s, s)": not astray & set(weights),
        "the weight of an evaluation does not vanish with h": all(c.valuation >= 2 for c in weights.values()),
        "a draw of an earlier step is used again": all(z.step == plan.steps - 1 for z in draws),
    }
    return tuple(name for name, good in checks.items() if not good)


def _gaussian_error(plan: Plan, c: Fraction) -> int:
    """Lowest power of ``k`` in the variance error of the last step from the exact law of ``N(0, c)``."""
    s, t = plan.levels[-2:]
    zero = s.sigma * 0

    def visit(r: int, line: Any, value: Row) -> Row:
        return {"x": zero + 1} if r == plan.states[-2] else value

    def evaluate(value: Row, level: Level, quantity: str) -> Row:
        gain = level.alpha * c / (level.alpha * level.alpha * c + level.sigma * level.sigma)
        a, b = to_native(level, quantity)
        return {key: v * (gain * b + a) for key, v in value.items()}

    out = interpret(plan, {"x": zero + 1}, _combine, evaluate, lambda line: {id(line): zero + 1}, visit)[0]
    before = s.alpha * s.alpha * c + s.sigma * s.sigma
    after = t.alpha * t.alpha * c + t.sigma * t.sigma
    variance = sum((v * v for key, v in out.items() if key != "x"), out["x"] * out["x"] * before)
    return (variance - after).valuation
