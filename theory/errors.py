"""What every deterministic sampler gets wrong on a Gaussian, in closed form; the last denoising step.

The leading error is that of one step from exact history on ``alpha = 1`` at ``sigma = 1``, the state one standard
deviation, steps ``h`` in log-SNR, data of variance ``c``. Everything about it is rational in ``s = 1 / (1 + c)`` but
a factor ``sqrt(1 + c)``, so the plan is read in Q(s).

A method that replaces what it remembers, as DC-Solver does, forgets its start by a constant factor a step and not by
one of ``h``: its error tends to a limit as the history grows, along solutions of a linear recurrence, and the limit is
taken exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import sympy

from diffnum.order import GenericGrid, history, traced_depth
from diffnum.plan import Level, Plan, interpret
from diffnum.prediction import to_native
from diffnum.process import EDM
from diffnum.read.moments import denoiser_gain
from diffnum.read.symbolic import LeadingError, leading_error
from diffnum.solvers import ALL, ddim
from diffnum.trace import Solver, compile

from .statement import Chapter, Statement, exact, prove
from .symbols import LogSNR, grid

__all__ = ["CHAPTER", "deterministic", "gaussian_error", "limit", "one_step_error"]

C, A, SIGMA = sympy.symbols("c alpha sigma", positive=True)
X = sympy.Symbol("x")
# a variance for second derivations, and steps of history that must change nothing
AT, MORE = Fraction(13, 17), 3


def deterministic() -> tuple[Solver, ...]:
    """Every sampler without noise."""
    return tuple(sampler for sampler in ALL.values() if not sampler.stochastic)


@lru_cache
def gaussian_error(sampler: Solver) -> LeadingError:
    """:func:`diffnum.read.symbolic.leading_error` as a factored formula in ``c``, from a history of any length or,
    where its length matters, in the limit of a long one."""
    return _after_long_history(sampler, None, _highest(sampler))


def _highest(sampler: Solver) -> int:
    return (sampler.smooth or sampler.order) + 2


def _after_long_history(sampler: Solver, variance: Any, highest: int) -> LeadingError:
    short, long = (leading_error(sampler, AT, highest, more) for more in (0, MORE if traced_depth(sampler) else 0))
    if short == long:
        return leading_error(sampler, variance, highest)
    found = [leading_error(sampler, variance, highest, more) for more in range(7)]
    if len({f.power for f in found}) > 1:
        raise ArithmeticError(f"{sampler.name}: the power of its error depends on how long its history is")
    unit = found[0].coefficient
    ratios = [sympy.cancel(sympy.simplify(exact(f.coefficient) / unit)) for f in found]
    return replace(found[0], coefficient=sympy.factor(limit(ratios)) * unit)


def limit(values: Sequence[Any]) -> Any:
    """The limit of a sequence that approaches it along a linear recurrence of order one or two, from six values or
    more, exactly (Shanks 1955).

    Raises:
        ArithmeticError: no such recurrence holds, or it does not fade.
    """
    steps = [b - a for a, b in pairwise(values)]
    for k in (1, 2):
        rows = sympy.Matrix(k, k, lambda i, j: steps[i + j])
        if rows.det() == 0:
            continue
        past = list(rows.LUsolve(sympy.Matrix(steps[k : 2 * k])))
        holds = [
            sum(c * d for c, d in zip(past, steps[i:], strict=False)) - steps[i + k] for i in range(len(steps) - k)
        ]
        roots = sympy.Poly(X**k - sum(c * X**i for i, c in enumerate(past)), X).nroots()
        if all(sympy.simplify(r) == 0 for r in holds) and all(abs(root) < 1 for root in roots):
            return (values[k] - sum(c * v for c, v in zip(past, values, strict=False))) / (1 - sum(past))
    raise ArithmeticError("the values follow no linear recurrence of order one or two that fades")


def one_step_error(
    sampler: Solver, variance: Any, h: Any, levels_at: Callable[[Any], Level] | None = None, more: int = 0
) -> Any:
    """The same error, measured: one step of size ``h`` of the compiled plan with every earlier state exact.

    Args:
        variance, h: numbers of one kind; extended precision (mpmath) where ``h`` is small.
        levels_at: from a log-SNR to a level, default those of EDM.
        more: steps of history beyond those of :func:`diffnum.order.history`.
    """
    at = levels_at or EDM().at
    past = history(sampler, (sampler.smooth or sampler.order) + 3)
    levels = tuple(at(h * i) for i in range(-past.steps - more, 3))
    plan = compile(sampler, GenericGrid(EDM(), levels, tuple(t.lam - s.lam for s, t in pairwise(levels))))
    measured = plan.states[-2]
    known = dict(zip(plan.states, plan.levels, strict=True)) | past.predictions(plan)
    truth = {r: (level.alpha**2 * variance + level.sigma**2) ** 0.5 for r, level in known.items()}
    seen: dict[int, Any] = {}
    _factors(plan, variance, truth, seen)
    return seen[measured] - truth[measured]


def _factors(plan: Plan, variance: Any, pinned: dict[int, Any], seen: dict[int, Any] | None = None) -> tuple[Any, ...]:
    """The plan's output on a Gaussian with given values for some of its registers; ``seen`` gets what is computed."""

    def visit(r: int, line: Any, value: Any) -> Any:
        if seen is not None:
            seen[r] = value
        return pinned.get(r, value)

    def lin(terms: Sequence[tuple[Any, Any]]) -> Any:
        return sum(c * value for c, value in terms)

    def evaluate(value: Any, level: Level, quantity: str) -> Any:
        a, b = to_native(level, quantity)
        return (a + b * denoiser_gain(variance, level)) * value

    def refuse(line: Any) -> Any:
        raise ValueError(f"{plan.solver} draws noise: its error has a law and no leading term")

    return interpret(plan, pinned[0], lin, evaluate, refuse, visit)


def leading(family: str) -> Statement:
    """The formulas of a family, found in Q(s), against a second derivation with a rational number for ``c``."""
    members = [sampler for sampler in deterministic() if sampler.family == family]
    residual: list[Any] = []
    for sampler in members:
        found = gaussian_error(sampler)
        again = _after_long_history(sampler, AT, found.power + 1)
        value = found.coefficient.subs(C, sympy.Rational(AT.numerator, AT.denominator))
        residual += [exact(again.coefficient) - value, sympy.Integer(again.power - found.power)]
    return prove(
        f"{family.capitalize()}, leading errors on a Gaussian ({', '.join(s.name for s in members)})",
        r"x_t - x(t) = (\text{the last column of the table})\, h^{p+1} + O(h^{p+2})",
        residual,
        "the plans of diffnum.solvers",
    )


def _last_factor(end: str) -> Any:
    """By what an end policy multiplies the state at the last level, read off the compiled plan."""
    process = LogSNR()
    last = Level(0, A, SIGMA, sympy.log(A / SIGMA), pure_noise=False, clean=False)
    plan = compile(ddim, grid(process, [process.at(sympy.Symbol("lambda_0")), last], end))
    return _factors(plan, C, {0: 1, plan.states[-1]: 1})[0]


def ends() -> Statement:
    """Half a denoising step cancels the leading error of both none and a full one."""
    share = A**2 * C / (A**2 * C + SIGMA**2)
    root = sympy.Symbol("g", positive=True)  # sqrt(f)
    errors = {"stop": 1 - root, "denoise": root**2 - root, "half": (1 + root**2) / 2 - root}
    # sqrt(f) = sqrt(1 - u) with u = sigma^2 / (alpha^2 c + sigma^2)
    u = sympy.Symbol("u", positive=True)
    expanded = {end: sympy.series(e.subs(root, sympy.sqrt(1 - u)), u, 0, 3).removeO() for end, e in errors.items()}
    return prove(
        "None, half and full denoising at the last level",
        r"f = \frac{\alpha^2 c}{\alpha^2 c + \sigma^2}, \ u = 1 - f: \quad \alpha\,\frac{\hat x_0}{x} = 1, \ "
        r"\frac{1 + f}{2}, \ f \ \text{ instead of }\ \sqrt{f}, \ \text{ errors }\ \frac{u}{2},\ \frac{u^2}{8},\ "
        r"-\frac{u}{2} \ \text{ to leading order}",
        (
            _last_factor("denoise") - share / A,
            _last_factor("half") - (1 + share) / 2 / A,
            expanded["stop"].coeff(u, 1) - sympy.Rational(1, 2),
            expanded["denoise"].coeff(u, 1) + sympy.Rational(1, 2),
            expanded["half"].coeff(u, 1),
            expanded["half"].coeff(u, 2) - sympy.Rational(1, 8),
        ),
        "diffnum.grid end policies, on the compiled plans",
    )


def crossover() -> Statement:
    """Half and full denoising are equally wrong at one variance; the sign of ``(1 - g)(1 - 3 g)``,
    ``g = sqrt(f)``, says that the full step wins below it."""
    g = sympy.Symbol("g", positive=True)  # sqrt(f)
    half, full = (1 + g**2) / 2 - g, g - g**2
    (where,) = (root for root in sympy.solve(half - full, g) if root != 1)
    balance = A**2 * C / (A**2 * C + SIGMA**2) - where**2
    (variance,) = sympy.solve(balance, C)
    return prove(
        "Half and full denoising cross where the variance is an eighth of the noise",
        r"\Bigl(\frac{1 + f}{2} - \sqrt{f}\Bigr) - (\sqrt{f} - f) = \frac{(1 - \sqrt f)(1 - 3 \sqrt f)}{2} = 0 "
        r"\iff f = \frac{1}{9} \iff c = \frac{\sigma^2}{8 \alpha^2}",
        (
            variance - SIGMA**2 / (8 * A**2),
            half - full - (1 - g) * (1 - 3 * g) / 2,
        ),
        "diffnum.grid: end = 'half', end = 'denoise'",
    )


FAMILIES = tuple(dict.fromkeys(sampler.family for sampler in deterministic()))
CHAPTER: Chapter = (*(partial(leading, family) for family in FAMILIES), ends, crossover)
