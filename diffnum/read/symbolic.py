"""What a sampler gets wrong, as a formula: the plan read with sympy numbers on a Gaussian of variance ``c``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from ..order import GenericGrid, GenericProcess, history
from ..plan import Level, Noise, Plan, interpret
from ..prediction import to_native
from ..series import Series, h_series
from ..trace import Solver, compile
from .moments import denoiser_gain
from .rational import variable

__all__ = ["LeadingError", "leading_error", "symbolic"]


@dataclass(frozen=True)
class LeadingError:
    """``error of one step = coefficient * h^power + ...`` from exact history.

    Attributes:
        power: one more than the order.
        coefficient: sympy expression in the data variance ``c``.
    """

    power: int
    coefficient: Any


def symbolic(plan: Plan, variance: Any) -> Any:
    """The factor by which ``plan`` multiplies ``x_T`` on ``N(0, variance)``, in the arithmetic of its coefficients.

    Args:
        plan: a deterministic plan, of floats, sympy expressions or series.
        variance: any scalar: a sympy symbol gives a formula.
    """
    return _run(plan, variance, 1, {})


def _run(plan: Plan, variance: Any, x: Any, exact: dict[int, Any], errors: dict[int, Any] | None = None) -> Any:
    def lin(terms: Sequence[tuple[Any, Any]]) -> Any:
        return sum((c * value for c, value in terms[1:]), terms[0][0] * terms[0][1])

    def evaluate(value: Any, level: Level, quantity: str) -> Any:
        a, b = to_native(level, quantity)
        return (a + b * denoiser_gain(variance, level)) * value

    def refuse(line: Noise) -> Any:
        raise ValueError(f"{plan.solver} draws noise: its output has a law, not a factor; use moments")

    def visit(r: int, line: Any, value: Any) -> Any:
        if r in exact and line is not None and errors is not None:
            errors[r] = value - exact[r]
        return exact.get(r, value)

    return interpret(plan, x, lin, evaluate, refuse, visit)[0]


def leading_error(
    solver: Solver | Callable[..., None], variance: Any = None, highest: int = 5, more: int = 0
) -> LeadingError:
    """Leading error of one step at ``sigma = 1`` on ``alpha = 1``, from exact history, steps ``h`` in log-SNR.

    The state is one standard deviation, ``sqrt(1 + c)``; for DDIM the result is
    ``-c / (2 (1 + c)^(3/2)) h^2``. It is a rational function of ``s = 1 / (1 + c)`` but for a factor ``sqrt(1 + c)``,
    so the plan is read in the field Q(s); with any other ``variance`` it is read in that.

    Args:
        solver: a deterministic sampler.
        variance: of the data; default the symbol ``c``.
        highest: the power of ``h`` up to which an error is looked for.
        more: steps of history beyond those of :func:`diffnum.order.history`. A method that remembers what does not
            fade with ``h``, as DC-Solver does, has an error that depends on them and tends to a limit.

    Raises:
        ValueError: a sampler that draws noise; no error found up to ``h^highest``.
    """
    import sympy

    c = 1 / variable("s") - 1 if variance is None else variance
    order = highest + 1
    past = history(solver, order)
    plain = tuple(Fraction(int(i == 0)) for i in range(order))
    linear = tuple(Fraction(int(i <= 1)) for i in range(order))
    process = GenericProcess(plain, linear)
    # one step beyond the measured one, since a method may end with a simpler step
    at = [process.at(h_series(order, i)) for i in range(-past.steps - more, 3)]
    plan = compile(solver, GenericGrid(process, tuple(at), tuple(t.lam - s.lam for s, t in pairwise(at))))
    known = dict(zip(plan.states, plan.levels, strict=True)) | past.predictions(plan)
    exact = {r: _exact(level, c) for r, level in known.items()}
    errors: dict[int, Series] = {}
    _run(plan, c, exact[0], exact, errors)
    error = errors[plan.states[-2]].map(sympy.simplify)
    power = error.valuation
    if power >= error.end:
        raise ValueError(f"no error up to h^{error.end - 1}: raise highest")
    if variance is not None:
        return LeadingError(power, sympy.simplify(error[power] * sympy.sqrt(1 + c)))
    symbol = sympy.Symbol("c", positive=True)
    found = sympy.factor(sympy.sympify(error[power]).subs(sympy.Symbol("s"), 1 / (1 + symbol)))
    return LeadingError(power, found * sympy.sqrt(1 + symbol))


def _exact(level: Level, c: Any) -> Series:
    return ((level.sigma * level.sigma + c) / (1 + c)).sqrt()
