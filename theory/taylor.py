"""Chapter 7, continued. Taylor steps: what two stages tend to as their node goes to the start of the step.

With ``N`` along the flow a function of the fraction of the step, the two-stage method of order two reads ``N_r`` at the
node ``r`` and takes ``(N_r - N) / r`` for ``N'``. A Taylor step takes ``N'`` itself. The errors of one step are

    two stages:  -((1/6 - r/4) P + (r/4) Q),    Taylor:  -P / 6,
    P = gain step N'',    Q = gain step dN/dx (gain step N'),

with ``P`` what any method makes that is exact for linear ``N``, and ``Q`` what the state of a second stage adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import sympy

from diffnum.adaptive.taylor import expansion, two_stage
from diffnum.bseries import combine, exact_state, field
from diffnum.num import phi
from diffnum.order import GenericGrid, GenericProcess, generic_plan, local_errors
from diffnum.plan import Eval, Level, Plan, interpret
from diffnum.solvers.coords import ANGLE, CLOCK, DATA, LOG_SNR, NOISE, RATIO, SNR, Coords
from diffnum.trace import Trace, compile

from .coordinates import ANY, InClock, in_log_snr
from .errors import gaussian_error
from .statement import Chapter, Statement, prove
from .symbols import grid

__all__ = ["CHAPTER"]

EVERY = (DATA, NOISE, RATIO, SNR, ANGLE, CLOCK, LOG_SNR)
NATIVE = ((DATA, "data"), (SNR, "data"), (NOISE, "noise"), (RATIO, "noise"))
NODES = (Fraction(1, 3), Fraction(1, 2), Fraction(1))
ORDER = 5
R = sympy.Symbol("r", positive=True)
C = sympy.Symbol("c", positive=True)
CODE = "diffnum.adaptive.taylor: expansion, two_stage"


def limit() -> Statement:
    """Coefficients of the plans that run: those of the differences, at every node, are those of the derivatives."""
    levels, _ = in_log_snr(ANY, 1)
    residual: list[Any] = []
    for coords, prediction in NATIVE:
        two = compile(two_stage(coords, R), levels, prediction)
        taylor = compile(expansion(coords, 2), levels, prediction)
        (x, first, second), (y, N, slope) = _coefficients(two), _coefficients(taylor)
        residual += [x - y, first + second - N, R * second - slope]
    return prove(
        "The Taylor step of order two is the limit of the two-stage methods",
        r"b_1 N + b_2 N_r = (b_1 + b_2) N + r b_2 \frac{N_r - N}{r}, \quad b_1 + b_2 = \varphi_1(z), \quad "
        r"r b_2 = \varphi_2(z): \qquad x_t \to \texttt{ratio}\, x_s + \texttt{gain step} "
        r"\bigl( \varphi_1 N + \varphi_2 N' \bigr) \quad (r \to 0)",
        residual,
        CODE,
    )


def _coefficients(plan: Plan) -> tuple[Any, ...]:
    """Of the state and of both evaluations in the last line."""
    terms = dict(plan.lines[plan.states[-1] - 1].terms)  # type: ignore[union-attr]
    return tuple(terms[r] for r in (0, *plan.evaluations))


def path() -> Statement:
    """The second stage leaves the start of the step as the flow does, so that its derivative is the total one."""
    D, noise = sympy.symbols("D epsilon")
    residual = []
    for coords, levels in _anywhere():
        T = Trace(levels.process)
        for s, t in T.steps(levels):
            u, step, x = coords.between(T, s, t, R), coords.step(T, s, t), s.alpha * D + s.sigma * noise
            N = _at(T, coords.quantity(T.evaluate(T.x, s)), x, D)
            y = coords.ratio(s, u) * x + coords.gain(u) * R * step * N
            moved = sympy.diff(y - u.alpha * D - u.sigma * noise, R)
            residual.append(moved.doit().subs(R, 0).doit())
    return prove(
        "At its start the second stage's state moves as the flow: the limit's derivative is the total one",
        r"\frac{d}{dr} \bigl( \texttt{ratio}(s, r)\, x_s + \texttt{gain}(r)\, r\, \texttt{step}\, N \bigr) = "
        r"\frac{d\alpha}{dr} D + \frac{d\sigma}{dr} \epsilon \quad (r = 0): \qquad "
        r"\frac{N_r - N}{r} \to \frac{\partial N}{\partial x} \frac{dx}{dr} + \frac{\partial N}{\partial r} = N'",
        residual,
        "diffnum.solvers.coords: DATA, NOISE, RATIO, SNR, ANGLE, CLOCK",
    )


def _anywhere() -> Iterator[tuple[Coords, GenericGrid]]:
    """Coordinates with a step of any process."""
    for coords in (DATA, NOISE, RATIO, SNR, ANGLE):
        yield coords, in_log_snr(ANY, 1)[0]
    c = sympy.symbols("c_0 c_1", real=True)
    alpha, sigma = (sympy.Function(name, positive=True) for name in ("alpha", "sigma"))
    process = InClock(alpha, sigma, (alpha(c[0]).diff(c[0]), sigma(c[0]).diff(c[0])))
    yield CLOCK, grid(process, [process.at_clock(at) for at in c])


def _at(T: Trace, form: Any, x: Any, D: Any) -> Any:
    """A quantity of one evaluation as an expression, on the state ``x`` with the data prediction ``D``."""
    values = {0: x}
    for r, line in enumerate(T.lines, 1):
        values[r] = D if isinstance(line, Eval) else sum(c * values[q] for q, c in line.terms)  # type: ignore[union-attr]
    return sum(c * values[q] for q, c in form.terms)


def moments() -> Statement:
    """Two-sided, for any system and in any coordinates: along the flow ``N`` is a function of the fraction alone."""
    z, tau = sympy.Symbol("z", nonzero=True), sympy.Symbol("tau")
    residual: list[Any] = []
    for m in range(4):
        whole = sympy.integrate(sympy.exp((1 - tau) * z) * tau**m, (tau, 0, 1))
        residual.append(whole - math.factorial(m) * phi(m + 1, z))
        # what is left where the polynomial ends, and never zero
        residual.append(sympy.limit(phi(m + 1, z), z, 0) - sympy.Rational(1, math.factorial(m + 1)))
    return prove(
        "A Taylor step of p terms has order p",
        r"\int_0^1 e^{(1 - \tau) z} \tau^m d\tau = m!\, \varphi_{m+1}(z): \quad x_t - x(t) = -\texttt{gain step}\, "
        r"\varphi_{p+1}(z) N^{(p)} + O(h^{p+2}), \quad \varphi_{p+1}(0) = \frac{1}{(p+1)!}",
        residual,
        CODE,
    )


def against_two_stages() -> Statement:
    """By rooted trees of the plans that run, on a generic process and for every denoiser."""
    residual: list[Any] = []
    for coords in EVERY:
        process, _ = generic_plan(two_stage(coords), 1, ORDER, 1)
        P, Q = _parts(coords, process)
        # there are no conditions that hold by themselves
        residual.append(sympy.Integer(not P or not Q or P == Q))
        for r in NODES:
            plan = generic_plan(two_stage(coords, r), 1, ORDER, 1)[1]
            (error,) = local_errors(plan, process, ORDER)
            found = {tree: series[3] for tree, series in error.items() if series.valuation <= 3 < series.end}
            residual += [series[2] for series in error.values() if series.valuation <= 2]
            for tree in {*found, *P, *Q}:
                p, q = P.get(tree, 0), Q.get(tree, 0)
                residual.append(_rational(found.get(tree, 0) + (Fraction(1, 6) - r / 4) * p + r / 4 * q))
    return prove(
        "The leading error of the Taylor step is that of the two-stage methods at r = 0",
        r"P = \texttt{gain step}\, N'', \quad Q = \texttt{gain step}\, \frac{\partial N}{\partial x} "
        r"(\texttt{gain step}\, N'): \qquad x_t - x(t) = -\Bigl( \bigl( \tfrac16 - \tfrac r4 \bigr) P + \tfrac r4 Q "
        r"\Bigr) + O(h^4), \quad \text{Taylor: } -\tfrac16 P + O(h^4)",
        residual,
        "diffnum.adaptive.taylor.two_stage in every coordinates of diffnum.solvers.coords, r = 1/3, 1/2, 1; "
        "RF-Solver is r = 1/2 in the clock",
    )


def _rational(value: Any) -> sympy.Expr:
    value = Fraction(int(value.numerator), int(value.denominator))
    return sympy.Rational(value.numerator, value.denominator)


def _parts(coords: Coords, process: GenericProcess) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """``P`` and ``Q`` at ``h^3`` over rooted trees, by differences of ``N`` along the exact flow."""
    s, t = generic_plan(two_stage(coords), 1, ORDER, 1)[1].levels
    T = Trace(process)
    step = coords.step(T, s, t)
    middle = coords.between(T, s, t, Fraction(1, 2))
    N = [_quantity(coords, process, level, exact_state(process, level, ORDER)) for level in (s, middle, t)]
    bend = combine([(4, N[0]), (-8, N[1]), (4, N[2])], ORDER)
    slope = combine([(1, N[2]), (-1, N[0])], ORDER)
    size = coords.gain(t) * step
    beside = combine([(1, exact_state(process, s, ORDER)), (size, slope)], ORDER)
    lean = combine([(1, _quantity(coords, process, s, beside)), (-1, N[0])], ORDER)
    return _third(combine([(size, bend)], ORDER)), _third(combine([(size, lean)], ORDER))


def _quantity(coords: Coords, process: GenericProcess, level: Level, x: Any) -> Any:
    """``N`` of any state at ``level``."""

    def build(T: Trace, grid: Any) -> None:
        for _ in T.steps(grid):
            T.x = coords.quantity(T.evaluate(T.x, level))

    def evaluate(value: Any, level: Level, quantity: str) -> Any:
        return field(combine([(1 / level.sigma, value)], ORDER), level.t, ORDER)

    plan = compile(build, GenericGrid(process, (level, level), (0,)))
    return interpret(plan, x, lambda terms: combine(terms, ORDER), evaluate, lambda line: None)[0]


def _third(error: Mapping[Any, Any]) -> dict[Any, Any]:
    return {tree: series[3] for tree, series in error.items() if series.valuation <= 3 and series[3]}


def on_a_gaussian() -> Statement:
    """In closed form where the state is one standard deviation, ``N`` a function of the level alone."""
    lam, sigma = sympy.Symbol("lambda", real=True), sympy.Symbol("sigma", positive=True)
    D, noise = (C / sympy.sqrt(C + sympy.exp(-2 * lam)), sigma / sympy.sqrt(C + sigma**2))
    bends = {
        DATA: -D.diff(lam, 2).subs(lam, 0) / 6,
        NOISE: noise.subs(sigma, sympy.exp(-lam)).diff(lam, 2).subs(lam, 0) / 6,
        RATIO: noise.diff(sigma, 2).subs(sigma, 1) / 6,
    }
    closed = {DATA: C * (2 * C - 1), NOISE: C * (C - 2), RATIO: -3 * C}
    residual: list[Any] = []
    for coords, value in bends.items():
        residual.append(value - closed[coords] / (6 * (1 + C) ** sympy.Rational(5, 2)))
        # affine in r: two give the limit, and a third one lies on their line
        found = [gaussian_error(two_stage(coords, Fraction(r, 5))) for r in (1, 2, 3)]
        one, two, three = (error.coefficient for error in found)
        residual += [2 * one - two - value, (3 * one - three) / 2 - value]
        residual += [sympy.Integer(error.power - 3) for error in found]
    return prove(
        "Leading errors of the Taylor step on a Gaussian, the limit of those of two stages",
        r"\alpha = \sigma = 1,\ x = \sqrt{1 + c}: \quad \text{data } \frac{c (2c - 1)}{6 (1 + c)^{5/2}} h^3, \quad "
        r"\text{noise } \frac{c (c - 2)}{6 (1 + c)^{5/2}} h^3, \quad "
        r"\text{noise in } \sigma / \alpha\ \ \frac{-3c}{6 (1 + c)^{5/2}} h^3",
        residual,
        CODE,
    )


CHAPTER: Chapter = (limit, path, moments, against_two_stages, on_a_gaussian)
