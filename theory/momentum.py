"""Momentum. What a running mean of slopes does to the order of a multistep method, and the weights that keep it.

In ``y = x / alpha``, ``rho = sigma / alpha`` the ODE is ``dy/drho = eps`` and every momentum sampler is a linear
multistep method. With ``u_n = (y_{n+1} - y_n) / d_n`` the last displacement, ``e_n`` the slopes and damping ``b``,

    u_n = (1 - b) u_{n-1} + sum_j w_j e_{n-j},    sum_j w_j e_{n-j} = mean ahead - (1 - b) mean behind

has order ``r`` where the second equation holds for slopes that are polynomials of degree below ``r``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import sympy
from sympy.polys.fields import field

from diffnum.plan import Level, Plan, interpret
from diffnum.process import EDM
from diffnum.read.rational import Rational
from diffnum.solvers.momentum import ghvb, ghvb2, ghvb3, ghvb4, hb, nesterov, weights
from diffnum.trace import Form, Solver, Trace, compile

from .statement import Chapter, Statement, differ, prove
from .symbols import grid

__all__ = ["CHAPTER", "B", "error_constant", "published", "quadrature_error"]

B = sympy.Symbol("b", positive=True)
VARIABLE = {2: ghvb2, 3: ghvb3, 4: ghvb4}


def published(r: int) -> list[Any]:
    """The weights of GHVB of order ``r`` on equal steps, by the paper's derivation (eq. 15 to 17): the series of
    Adams-Bashforth in backward differences, times ``b + (1 - b) nabla``, cut after ``r`` terms."""
    nabla, tau, e = sympy.symbols("nabla tau E")
    adams = [sympy.integrate(sympy.expand(sympy.rf(tau, k) / sympy.factorial(k)), (tau, 0, 1)) for k in range(r)]
    product = sympy.expand((B + (1 - B) * nabla) * sum(c * nabla**k for k, c in enumerate(adams)))
    kept = sum(product.coeff(nabla, k) * (1 - e) ** k for k in range(r))
    return [sympy.factor(sympy.expand(kept).coeff(e, j)) for j in range(r)]


def weights_two_ways() -> Statement:
    """The code's means of an interpolating polynomial, on equal steps, against the paper's series."""
    one = sympy.Integer(1)
    shown = {2: r"\frac{(2+b),\ -(2-b)}{2}", 3: r"\frac{(18+5b),\ -(24-8b),\ (6-b)}{12}"}
    shown[4] = r"\frac{(46+9b),\ -(78-19b),\ (42-5b),\ -(10-b)}{24}"
    return prove(
        "GHVB weights on equal steps, from means and from backward differences",
        r"\bigl(b + (1-b)\nabla\bigr) \bigl(1 + \tfrac12\nabla + \tfrac5{12}\nabla^2 + \tfrac38\nabla^3 + \dots\bigr) "
        r"\ \Rightarrow\ w = " + ",\\quad ".join(shown[r] for r in (2, 3, 4)),
        [a - c for r in range(1, 5) for a, c in zip(weights(B, [one] * r), published(r), strict=True)],
        "diffnum.solvers.momentum.weights; Wizadwongsa et al. 2024, eq. 16 and Algorithm 2",
    )


def _with_velocity(T: Trace, levels: Any, update: Callable[[int, Form, list[Form]], Form], b: Any) -> None:
    """An algorithm of the paper as it is printed: a velocity is kept from step to step."""
    slopes: list[Form] = []
    for s, t in T.steps(levels):
        slopes.insert(0, T.evaluate(T.x, s).noise)
        step = t.sigma / t.alpha - s.sigma / s.alpha
        T.x = (t.alpha / s.alpha) * T.x + (t.alpha * step) * update(len(slopes), slopes[0], slopes)


def _sum(coefficients: Sequence[Any], forms: Sequence[Form]) -> Form:
    return sum((c * form for c, form in zip(coefficients, forms, strict=False)), Form())


def _adams(slopes: Sequence[Form], r: int) -> Form:
    used = slopes[:r]
    return _sum([c.subs(B, 1) for c in published(len(used))], used)


def heavy_ball_as_printed(T: Trace, levels: Any, r: int, b: Any) -> None:
    """Algorithm 1: ``v <- (1 - b) v + b AB_c(e)``, ``y += d v``."""
    v: list[Form] = []

    def update(n: int, e: Form, slopes: list[Form]) -> Form:
        v.insert(0, (1 - b) * (v[0] if v else e) + b * _adams(slopes, r))
        return v[0]

    _with_velocity(T, levels, update, b)


def nesterov_as_printed(T: Trace, levels: Any, r: int, b: Any) -> None:
    """Equation 50 on Adams-Bashforth: ``v <- (1 - b) v + b p``, ``y += d ((1 - b) v + b p)``."""
    v: list[Form] = []

    def update(n: int, e: Form, slopes: list[Form]) -> Form:
        p = _adams(slopes, r)
        v.insert(0, (1 - b) * (v[0] if v else e) + b * p)
        return (1 - b) * v[0] + b * p

    _with_velocity(T, levels, update, b)


def ghvb_as_printed(T: Trace, levels: Any, r: int, b: Any) -> None:
    """Algorithm 2: ``v <- (1 - b) v + b e``, ``y += d sum_j w_j v_j / b`` with the order ramping up."""
    v: list[Form] = []

    def update(n: int, e: Form, slopes: list[Form]) -> Form:
        v.insert(0, (1 - b) * (v[0] if v else e) + b * e)
        c = min(n, r)
        return _sum([w.subs(B, b) / b for w in published(c)], v[:c])

    _with_velocity(T, levels, update, b)


def _any_levels(count: int) -> tuple[list[Level], Any]:
    """Levels ``alpha_i``, ``rho_i`` of any process and the damping ``b``, elements of ``Q(alpha, rho, b)``."""
    names = [f"{kind}{i}" for i in range(count) for kind in ("a", "r")]
    values = [Rational(v) for v in field(" ".join([*names, "b"]), sympy.QQ)[1:]]
    pairs = zip(values[:-1:2], values[1::2], strict=True)
    levels = [Level(0, a, a * rho, 0, (0, 1), pure_noise=False, clean=False) for a, rho in pairs]
    return levels, values[-1]


def _rows(plan: Plan) -> list[dict[str, Any]]:
    """What every evaluation sees, and the output, over ``x`` and the evaluations."""
    rows: list[dict[str, Any]] = []

    def lin(terms: Sequence[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for c, value in terms:
            for key, a in value.items():
                out[key] = out.get(key, 0) + c * a
        return out

    def evaluate(value: dict[str, Any], level: Level, quantity: str) -> dict[str, Any]:
        rows.append(value)
        return {f"e{len(rows)}": 1}

    out = interpret(plan, {"x": 1}, lin, evaluate, _no_draws)[0]
    return [*rows, out]


def velocity_eliminated(name: str, sampler: Solver, printed: Callable[..., None], claim: str) -> Statement:
    """The plan that runs, which reads displacements of the states, is the algorithm with a velocity."""
    residual: list[Any] = []
    for r in (1, 2, 3):
        levels, b = _any_levels(r + 3)
        one = _rows(compile(sampler.with_options(r=r, b=b), grid(EDM(), levels), "noise"))
        two = _rows(compile(printed, grid(EDM(), levels), "noise", r=r, b=b))
        residual += [p.get(key, 0) - q.get(key, 0) for p, q in zip(one, two, strict=True) for key in {*p, *q}]
    return prove(
        f"{name} without a velocity",
        claim,
        [sympy.sympify(r) for r in residual],
        f"diffnum.solvers.{sampler.name} of orders 1, 2 and 3 on levels of any process",
    )


def quadrature_error(sampler: Solver, steps: Sequence[Any], power: int) -> Any:
    """Exact minus computed state after the last of ``steps``, from exact states, for ``eps = rho^power / power!``.

    ``rho`` rises and is zero where the last step begins.
    """
    rhos = [sum(steps[:i], steps[0] * 0) - sum(steps[:-1]) for i in range(len(steps) + 1)]
    one = sympy.Integer(1)
    levels = [Level(rho, one, rho, 0, (0, one), pure_noise=False, clean=False) for rho in rhos]
    plan = compile(sampler, grid(EDM(), levels), "noise")

    def monomial(rho: Any, m: int) -> Any:
        return math.prod([rho] * m, start=Fraction(1, math.factorial(m)))

    exact = {r: monomial(rho, power + 1) for r, rho in zip(plan.states[:-1], rhos, strict=False)}
    found = interpret(
        plan,
        exact[0],
        lambda terms: sum(c * value for c, value in terms),
        lambda value, level, quantity: monomial(level.sigma, power),
        _no_draws,
        lambda r, line, value: exact.get(r, value),
    )
    return monomial(rhos[-1], power + 1) - found[0]


def _no_draws(line: Any) -> Any:
    raise ValueError("a deterministic plan draws nothing: use a sampler without noise")


def error_constant(sampler: Solver, r: int, power: int) -> Any:
    """``C`` of the global error ``C d^p int y^(p+1)`` on equal steps (Hairer, Norsett & Wanner 1993, III.2.14): the
    local one over ``b``, the share of a disturbance of ``u`` that does not die out."""
    return sympy.factor(quadrature_error(sampler, [sympy.Integer(1)] * (r + 2), power) / B)


def heavy_ball_is_of_order_one() -> Statement:
    """Theorem 1 of the paper, with the constant: a delay of ``(1 - b) / b`` steps, whatever the method inside."""
    constants = [error_constant(hb.with_options(r=r, b=B), r, 1) for r in range(1, 5)]
    consistent = [error_constant(hb.with_options(r=r, b=B), r, 0) for r in range(1, 5)]
    return prove(
        "Heavy ball is of order one on equal steps, with its error constant",
        r"C_2 = \frac{2 - b}{2b} \ (r = 1), \qquad C_2 = \frac{1 - b}{b} \ (r = 2, 3, 4), \qquad "
        r"C_2 = \tfrac12 \text{ for Euler}",
        [*consistent, constants[0] - (2 - B) / (2 * B), *(c - (1 - B) / B for c in constants[1:])],
        "diffnum.solvers.hb; Wizadwongsa et al. 2024, Theorem 1",
    )


def nesterov_is_of_order_one() -> Statement:
    """Its constant is ``1 - b`` times heavy ball's; with Euler inside no ``b`` makes it vanish."""
    constants = [error_constant(nesterov.with_options(r=r, b=B), r, 1) for r in range(1, 5)]
    consistent = [error_constant(nesterov.with_options(r=r, b=B), r, 0) for r in range(1, 5)]
    real = sympy.Poly(2 - 3 * B + 2 * B**2, B).count_roots()
    return prove(
        "Nesterov's momentum is of order one on equal steps, with its error constant",
        r"C_2 = \frac{2 - 3b + 2b^2}{2b} > 0 \ (r = 1), \qquad C_2 = \frac{(1 - b)^2}{b} \ (r = 2, 3, 4)",
        [
            *consistent,
            sympy.Integer(real),
            constants[0] - (2 - 3 * B + 2 * B**2) / (2 * B),
            *(c - (1 - B) ** 2 / B for c in constants[1:]),
        ],
        "diffnum.solvers.nesterov; Wizadwongsa et al. 2024, eq. 50",
    )


def ghvb_on_equal_steps() -> Statement:
    """Theorem 2 of the paper, where it holds: order ``r`` on equal steps of ``rho``, once the start is forgotten."""
    wanted = {1: (2 - B) / (2 * B), 2: (6 - B) / (12 * B), 3: (10 - B) / (24 * B), 4: (270 - 19 * B) / (720 * B)}
    lower = [error_constant(ghvb.with_options(r=r, b=B), r, m) for r in wanted for m in range(r)]
    return prove(
        "GHVB is of order r on equal steps of sigma / alpha, with its error constant",
        r"C_{r+1} = \frac{2-b}{2b},\ \frac{6-b}{12b},\ \frac{10-b}{24b},\ \frac{270-19b}{720b} \qquad (r = 1, 2, 3, 4)",
        [*lower, *(error_constant(ghvb.with_options(r=r, b=B), r, r) - c for r, c in wanted.items())],
        "diffnum.solvers.ghvb; Wizadwongsa et al. 2024, Theorem 2",
    )


def ghvb_on_other_steps() -> Statement:
    """Constant weights see the change of the step, whatever ``b`` and ``r``: order one, or two where the change is of
    second order as on a smooth grid."""
    d, behind = sympy.symbols("d d_1", positive=True)
    return differ(
        "GHVB as published is of order one where steps change",
        r"y(\rho + d) - y_{n+1} = \tfrac12 d\,(d - d_1)\, y'' + O(d^3)",
        [quadrature_error(ghvb.with_options(r=2, b=B), [behind, behind, d], 1)],
        [d * (d - behind) / 2],
        {d: 1, behind: 2},
        "diffnum.solvers.ghvb on levels that are not equally spaced in sigma / alpha",
    )


def ghvb_on_variable_steps() -> Statement:
    """The corrected weights are of order ``r`` on any steps."""
    *steps, b = (Rational(v) for v in field("d4 d3 d2 d1 d b", sympy.QQ)[1:])
    errors = [
        quadrature_error(sampler.with_options(b=b), steps[-r - 1 :], m)
        for r, sampler in VARIABLE.items()
        for m in range(r)
    ]
    return prove(
        "GHVB on variable steps is of order r on every grid",
        r"\sum_j w_j \rho_{n-j}^m = \frac1{d}\int_{\rho_n}^{\rho_{n+1}} \rho^m d\rho - "
        r"\frac{1 - b}{d_1} \int_{\rho_{n-1}}^{\rho_n} \rho^m d\rho, \qquad m < r",
        [sympy.sympify(error) for error in errors],
        "diffnum.solvers: ghvb2, ghvb3, ghvb4",
    )


def corrected_is_published_on_equal_steps() -> Statement:
    """On equal steps, past the start, the two are one recurrence."""
    one = sympy.Integer(1)
    pairs = [(ghvb.with_options(r=r, b=B), sampler.with_options(b=B), r) for r, sampler in VARIABLE.items()]
    return prove(
        "GHVB on variable steps is the published method on equal steps",
        r"d = d_1 = d_2 = \dots: \qquad w_j(d, d_1, \dots) = w_j(b)",
        [
            quadrature_error(first, [one] * (r + 2), m) - quadrature_error(second, [one] * (r + 2), m)
            for first, second, r in pairs
            for m in range(r + 2)
        ],
        "diffnum.solvers: ghvb; ghvb2, ghvb3, ghvb4",
    )


def misprint() -> Statement:
    """With the sign printed before ``v_n`` the weights of equation 19 do not add up to one."""
    plus, minus = (2 + B) / (2 * B), (2 - B) / (2 * B)
    return differ(
        "Equation 19 as printed is not consistent",
        r"\frac{2+b}{2b} + \frac{2-b}{2b} - 1 = \frac{2 - b}{b}, \qquad \frac{2+b}{2b} - \frac{2-b}{2b} = 1",
        [plus + minus - 1, plus - minus - 1],
        [(2 - B) / B, 0],
        {B: sympy.Rational(4, 5)},
        "Wizadwongsa et al. 2024, eq. 19 against eq. 17 and Algorithm 2, which diffnum.solvers.ghvb follows",
    )


CHAPTER: Chapter = (
    weights_two_ways,
    partial(velocity_eliminated, "Heavy ball", hb, heavy_ball_as_printed, r"v_{n+1} = \frac{y_{n+1} - y_n}{d_n} = u_n"),
    partial(
        velocity_eliminated,
        "Nesterov's momentum",
        nesterov,
        nesterov_as_printed,
        r"u_n = (1-b)\, v_{n+1} + b\, p_n = (1-b)\, u_{n-1} + b(2-b)\, p_n - b(1-b)\, p_{n-1}",
    ),
    partial(
        velocity_eliminated,
        "GHVB",
        ghvb,
        ghvb_as_printed,
        r"u_n = \frac1b \sum_j w_j v_{n+1-j} = (1-b)\, u_{n-1} + \sum_j w_j \epsilon_{n-j} \qquad (n \ge r)",
    ),
    heavy_ball_is_of_order_one,
    nesterov_is_of_order_one,
    ghvb_on_equal_steps,
    ghvb_on_other_steps,
    ghvb_on_variable_steps,
    corrected_is_published_on_equal_steps,
    misprint,
)
