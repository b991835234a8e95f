"""Weak order of stochastic samplers, from both sides, on a generic process.

All samplers with the right marginals share, per unit of the clock going down in noise, the
probability-flow drift, ``nu^2 / 2`` times the score and noise of variance ``nu^2``; ``nu`` is free. A
step ``x_t = A x + B D + sum N_i z_i`` is of weak order one for *every* denoiser when, for some ``nu``,

    A = 1 + |dc| (-a - nu^2 / (2 sigma^2)),  B = |dc| (-b + nu^2 alpha / (2 sigma^2)),  sum N_i^2 = nu^2 |dc|

to ``O(|dc|^2)``, with ``a = sigma'/sigma``, ``b = alpha' - alpha sigma'/sigma``. That it is not of order two
is shown on a Gaussian, where the variance after a step from the exact law misses at ``|dc|^2``.
Steps carry square roots, so series run in ``k = sqrt(h)`` with 50-digit coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from .order import GenericGrid, GenericProcess, Proof, root_condition
from .plan import Level, Noise, Plan, interpret
from .prediction import to_native
from .series import Series, h_series
from .trace import Solver, compile

__all__ = ["generic_weak_plan", "prove_weak", "weak_order"]

ORDER = 12
DIGITS = 50
Row = Mapping[Any, Series]


def prove_weak(solver: Solver | Callable[..., None], seeds: Sequence[int] = (1, 2)) -> Proof:
    """Weak order, 0 or 1 proved for every denoiser; higher claims need conditions this proof does not hold.

    Raises:
        ArithmeticError: the Gaussian shows order two or more, or seeds disagree.
    """
    found: list[Proof] = []
    for seed in seeds:
        process, plan = generic_weak_plan(solver, seed)
        order, violated = weak_order(plan, process, seed)
        found.append(Proof(order, order, violated, root_condition(plan), "weak order"))
    if len({p.order for p in found}) > 1:
        raise ArithmeticError(f"{getattr(solver, 'name', solver)}: seeds disagree, {found}")
    return found[0]


def generic_weak_plan(solver: Solver | Callable[..., None], seed: int) -> tuple[GenericProcess, Plan]:
    """Two steps of ``k^2`` on a random variance-preserving process."""
    import mpmath

    # twelve powers of a square root need far more than double precision
    with mpmath.workdps(DIGITS):
        process = _variance_preserving(seed)
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
    if power > 4:
        raise ArithmeticError(f"{plan.solver}: variance error h^{power / 2:g} after a step, beyond weak order one")
    return 1, (f"Gaussian variance misses at h^{power / 2:g}",)


def _variance_preserving(seed: int) -> GenericProcess:
    import mpmath

    rough = GenericProcess.random(seed, ORDER)
    alphas = tuple(mpmath.mpf(a.numerator) / a.denominator for a in rough.alphas)
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

    def visit(r: int, line: Any, value: Row) -> Row:
        return {"x": zero + 1} if r == key else value

    def evaluate(value: Row, level: Level, quantity: str) -> Row:
        return {"D": zero + 1}

    def noise(line: Noise) -> Row:
        return {id(line): zero + 1}

    out = interpret(plan, {"x": zero + 1}, _combine, evaluate, noise, visit)[0]
    da, ds = process.rates(s)
    step = s.t - t.t
    spread = sum((c * c for k, c in out.items() if k not in ("x", "D")), zero)
    wanted = {
        "x": 1 - step * ds / s.sigma - spread / (2 * s.sigma * s.sigma),
        "D": -step * (da - s.alpha * ds / s.sigma) + spread * s.alpha / (2 * s.sigma * s.sigma),
    }
    names = {"x": "drift in x at h^1", "D": "drift in D at h^1"}
    bad = [names[k] for k, w in wanted.items() if (out.get(k, zero) - w).valuation < 4]
    return (*bad, *(["noise does not vanish with h"] if spread.valuation < 2 else []))


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
