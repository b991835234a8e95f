"""Stability. Stability functions, characteristic polynomials and real intervals of the plans that run, in closed form.

Two test equations of :mod:`diffnum.read.stability`, read with symbols. On equal steps of ``rho = sigma / alpha`` the
model is ``eps = mu y`` and ``z = mu drho``; on equal steps ``h`` in log-SNR it is ``D = J w``. A step multiplies what
it carries by a matrix whose characteristic polynomial is ``chi(x)``; it is stable where all roots lie in the closed
unit disc, and simple on the circle.

An interval ``[-L, 0]`` is proved in two halves. Inside: with ``x = (1 + s) / (1 - s)`` the disc is the left half plane,
and where ``z = -L / (1 + u)``, ``b = 1 / (1 + w)``, ``e^-h = 1 / (1 + w)`` all Hurwitz determinants are polynomials in
``u > 0``, ``w >= 0`` without a negative coefficient (Hairer, Norsett & Wanner 1993, I.13). At its end: ``chi(-1) = 0``,
and beyond it ``chi(-1)`` has the other sign, so that a real root has left the disc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from sympy.polys.matrices import DomainMatrix

from diffnum.num import phi
from diffnum.plan import Lin, Plan
from diffnum.process import EDM
from diffnum.read.stability import guided_jacobian, step_map
from diffnum.solvers import ab2, ddim, dpm_solver_2, dpmpp_2m, dpmpp_2s, dpmpp_3m_corrected, euler, heun, midpoint, rk4
from diffnum.solvers.momentum import ghvb, hb, hb_2m, nesterov
from diffnum.trace import Solver, compile

from .momentum import B, published
from .statement import Chapter, Statement, prove
from .symbols import grid

__all__ = ["ADAMS", "CHAPTER", "characteristic", "data_step", "interval", "ratio_step"]

# enough for a step after the start-up of methods that look back up to four steps
STEPS = 12
Z, J, X = sympy.symbols("z J x")
H = sympy.Symbol("h", positive=True)
U, W, S, X0 = sympy.symbols("u w s q")
ADAMS = {1: sympy.Integer(2), 2: sympy.Integer(1), 3: sympy.Rational(6, 11), 4: sympy.Rational(3, 10)}


def ratio_step(sampler: Solver) -> Any:
    """The amplification matrix in ``z`` on equal steps of ``sigma / alpha``."""
    levels = [EDM().at_clock(sympy.Integer(STEPS - i + 1)) for i in range(STEPS + 1)]
    plan = _with_fractions(compile(sampler, grid(EDM(), levels), "noise"))
    return sympy.Matrix(step_map(plan, plan.depth + 1, lambda x, level, quantity: -Z * x))


def data_step(sampler: Solver) -> Any:
    """The amplification matrix in ``J`` on equal steps ``h`` in log-SNR."""
    levels = [EDM().at(H * (i - STEPS)) for i in range(STEPS + 1)]
    plan = _with_fractions(compile(sampler, grid(EDM(), levels), "data"))
    return sympy.Matrix(step_map(plan, plan.depth + 1, lambda x, level, quantity: J * x))


def _with_fractions(plan: Plan) -> Plan:
    """The plan with the fractions that its floats mean, as in proofs of order: 1 / 3 is a third."""

    def meant(c: Any) -> Any:
        c = sympy.sympify(c)
        return c.xreplace({f: _fraction(float(f)) for f in c.atoms(sympy.Float)})

    lines = [
        replace(line, terms=tuple((r, meant(c)) for r, c in line.terms)) if isinstance(line, Lin) else line
        for line in plan.lines
    ]
    return replace(plan, lines=tuple(lines))


def _fraction(number: float) -> Any:
    near = Fraction(number).limit_denominator(2000)
    if abs(near - Fraction(number)) > abs(near) * Fraction(1, 2**50):
        raise ValueError(f"{number!r} is no fraction with a small denominator: pass parameters as sympy numbers")
    return sympy.Rational(near.numerator, near.denominator)


def characteristic(matrix: Any) -> Any:
    """The characteristic polynomial in ``x``, leading coefficient one, without its roots at zero."""
    entries = DomainMatrix.from_Matrix(matrix).to_field()
    coefficients = [entries.domain.to_sympy(c) for c in entries.charpoly()]
    return _trimmed(sum(c * X**k for k, c in enumerate(reversed(coefficients))))


def _trimmed(polynomial: Any) -> Any:
    found = sympy.Poly(polynomial, X)
    while sympy.expand(found.coeff_monomial(1)) == 0:
        found = sympy.Poly(found.all_coeffs()[:-1], X)
    return found.as_expr()


@lru_cache
def on_ratio(sampler: Solver) -> Any:
    """:func:`characteristic` of :func:`ratio_step`."""
    return characteristic(ratio_step(sampler))


@lru_cache
def on_data(sampler: Solver) -> Any:
    """:func:`characteristic` of :func:`data_step`."""
    return characteristic(data_step(sampler))


# --- stability functions and characteristic polynomials ---


def runge_kutta() -> Statement:
    """One step of a method with as many stages as its order is the exponential's series."""
    residual = [
        ratio_step(sampler)[0, 0] - sum(Z**k / sympy.factorial(k) for k in range(order + 1))
        for sampler, order in ((euler, 1), (ddim, 1), (heun, 2), (midpoint, 2), (rk4, 4))
    ]
    return prove(
        "Stability functions of one-step methods in sigma / alpha",
        r"R(z) = \sum_{k=0}^{p} \frac{z^k}{k!}, \qquad p = 1,\ 2,\ 2,\ 4",
        residual,
        "diffnum.solvers: euler and ddim, heun, midpoint, rk4 on EDM",
    )


def exponential_one_step() -> Statement:
    """On a Gaussian and under guidance: data enter as they are, noise as ``1 - J``."""
    q, a = sympy.exp(-H), sympy.exp(-H / 2)
    expected = {
        ddim: q + (1 - q) * J,
        dpmpp_2s.with_options(r=sympy.Rational(1, 2)): q + (1 - q) * J * (a + (1 - a) * J),
        dpm_solver_2.with_options(r=sympy.Rational(1, 2)): 1 - (1 - q) / a * (1 - J) * (a + (1 - a) * J),
    }
    return prove(
        "Stability functions of exponential one-step methods in log-SNR",
        r"R = e^{-h} + (1 - e^{-h}) J; \quad e^{-h} + (1 - e^{-h}) J (a + (1 - a) J); \quad "
        r"1 - \frac{1 - e^{-h}}{a} (1 - J)(a + (1 - a) J), \qquad a = e^{-h/2}",
        [data_step(sampler)[0, 0] - form for sampler, form in expected.items()],
        "diffnum.solvers: ddim, dpmpp_2s, dpm_solver_2",
    )


def same_step_in_two_forms() -> Statement:
    """DDIM in log-SNR is Euler in ``rho``: ``eps = (1 - J) x / sigma`` has ``mu = (1 - J) / rho``."""
    return prove(
        "The first-order step in both test equations",
        r"1 + z = e^{-h} + (1 - e^{-h}) J \quad\text{for}\quad z = (e^{-h} - 1)(1 - J)",
        ratio_step(ddim)[0, 0].subs(Z, (sympy.exp(-H) - 1) * (1 - J)) - data_step(ddim)[0, 0],
        "diffnum.solvers.ddim, read in sigma / alpha and in log-SNR",
    )


def _weighted(r: int, b: Any = B) -> Any:
    """``sum_j w_j x^(r-1-j)`` of GHVB, and of Adams-Bashforth at ``b = 1``."""
    return sum(w.subs(B, b) * X ** (r - 1 - j) for j, w in enumerate(published(r)))


def multistep_in_ratio() -> Statement:
    """Momentum adds a root ``1 - b`` to the root 1 at ``z = 0``."""
    residual: list[Any] = [on_ratio(ab2) - (X * (X - 1) - Z * _weighted(2, 1))]
    for r in range(1, 5):
        rho = (X - 1) * (X - 1 + B) * X ** (r - 1)
        beta = _weighted(r, 1)
        expected = {
            hb: _trimmed(rho - Z * B * X * beta),
            ghvb: _trimmed(rho - Z * X * _weighted(r)),
            nesterov: rho - Z * B * ((2 - B) * X - (1 - B)) * beta,
        }
        residual += [on_ratio(sampler.with_options(r=r, b=B)) - chi for sampler, chi in expected.items()]
    return prove(
        "Characteristic polynomials of Adams-Bashforth with momentum",
        r"\chi_{HB} = (x-1)(x-1+b)\,x^{r-2} - z\, b\, \beta_r(x), \quad "
        r"\chi_{NT} = (x-1)(x-1+b)\,x^{r-1} - z\, b\,\bigl((2-b) x - (1-b)\bigr) \beta_r(x), \quad "
        r"\chi_{GHVB} = (x-1)(x-1+b)\,x^{r-2} - z\, w_r(x)",
        residual,
        "diffnum.solvers: ab2, hb, nesterov, ghvb; r = 1, 2, 3, 4; Wizadwongsa et al. 2024, eq. 40 to 47",
    )


def multistep_in_log_snr() -> Statement:
    """Exponential multistep methods of data prediction."""
    q = sympy.exp(-H)
    line, bend = (3 * X**2 - 4 * X + 1) / 2, (X - 1) ** 2
    expected = {
        dpmpp_2m: X * (X - q) - (1 - q) * J * (3 * X - 1) / 2,
        hb_2m.with_options(b=B): (X - q) * (X - 1 + B) - (1 - q) * B * J * (3 * X - 1) / 2,
        dpmpp_3m_corrected: X**2 * (X - q) - J * H * (phi(1, -H) * X**2 + phi(2, -H) * line + phi(3, -H) * bend),
    }
    return prove(
        "Characteristic polynomials of DPM-Solver++ multistep",
        r"\chi_{2M} = x (x - q) - (1 - q) J \tfrac{3x - 1}{2}, \quad "
        r"\chi_{HB} = (x - q)(x - 1 + b) - (1 - q)\, b J \tfrac{3x - 1}{2}, \quad "
        r"\chi_{3M} = x^2 (x - q) - h J \bigl(\varphi_1 x^2 + \varphi_2 \tfrac{3 x^2 - 4 x + 1}{2} + "
        r"\varphi_3 (x - 1)^2\bigr), \qquad q = e^{-h},\ \varphi_k = \varphi_k(-h)",
        [on_data(sampler) - chi for sampler, chi in expected.items()],
        "diffnum.solvers: dpmpp_2m, hb_2m, dpmpp_3m_corrected",
    )


# --- real intervals ---


def interval(
    polynomial: Any, number: Any, neutral: int, end: Any, parameters: dict[Any, Any], may_vanish: Sequence[Any]
) -> list[Any]:
    """Residuals of the claim that the stable interval of ``number`` is that between ``neutral`` and ``end``.

    Args:
        parameters: as functions of positive variables.
        may_vanish: those of the variables that may be zero as well.
    """
    at_minus_one = sympy.expand(polynomial.subs(X, -1))
    # between the two: the end at u = 0
    inside = polynomial.subs(number, neutral + (end - neutral) / (1 + U)).subs(parameters)
    whole, below = sympy.fraction(sympy.together(inside))
    variables = sorted(whole.free_symbols - {X}, key=str)
    base = sympy.ZZ[tuple(variables)]
    in_x = [base.from_sympy(sympy.expand(c)) for c in sympy.Poly(whole, X).all_coeffs()]
    m = len(in_x) - 1
    maps = [sympy.Poly((1 + S) ** (m - j) * (1 - S) ** j, S) for j in range(m + 1)]
    in_s = [
        sum((c * int(p.coeff_monomial(S ** (m - k))) for c, p in zip(in_x, maps, strict=True)), base.zero)
        for k in range(m + 1)
    ]
    positive = [*_hurwitz(in_s, base), *_signed([base.from_sympy(sympy.expand(below))], base)]
    return [
        sympy.cancel(at_minus_one.subs(number, end)),
        at_minus_one.diff(number, 2),
        *(_negative(base.to_sympy(c), variables, may_vanish) for c in positive),
    ]


def _signed(a: Sequence[Any], base: Any) -> list[Any]:
    """All times the sign of the first where every variable is one."""
    sign = 1 if base.to_sympy(a[0]).subs({v: 1 for v in base.symbols}) > 0 else -1
    return [c * sign for c in a]


def _hurwitz(a: Sequence[Any], base: Any) -> list[Any]:
    """Coefficients and inner Hurwitz determinants of ``a_0 s^m + ... + a_m``, with ``a_0`` made positive."""
    a, m = _signed(a, base), len(a) - 1
    rows = [[a[2 * j - i + 1] if 0 <= 2 * j - i + 1 <= m else base.zero for j in range(m)] for i in range(m)]
    minors = [DomainMatrix([row[:k] for row in rows[:k]], (k, k), base).det() for k in range(2, m)]
    return [*a, *minors]


def _negative(polynomial: Any, variables: Sequence[Any], may_vanish: Sequence[Any]) -> Any:
    """Sum of the negative coefficients, less one if the polynomial vanishes with variables that may: zero if it is
    positive."""
    negative = sum(c for c in sympy.Poly(polynomial, *variables).coeffs() if c < 0)
    return negative - (polynomial.subs({v: 0 for v in may_vanish}) == 0)


def _momentum(sampler: Solver, lengths: dict[int, Any]) -> list[Any]:
    residual: list[Any] = []
    for r, length in lengths.items():
        residual += interval(on_ratio(sampler.with_options(r=r, b=B)), Z, 0, -length, {B: 1 / (1 + W)}, (W,))
    return residual


def heavy_ball_interval() -> Statement:
    """Heavy ball stretches the interval of the method inside it by ``(2 - b) / b``; ``b = 1`` is Adams-Bashforth."""
    return prove(
        "Real stability intervals of heavy ball and of Adams-Bashforth",
        r"L_{HB} = \frac{2 - b}{b}\, L_{AB}, \qquad L_{AB} = 2,\ 1,\ \tfrac{6}{11},\ \tfrac{3}{10} \quad "
        r"(r = 1, 2, 3, 4), \qquad 0 < b \le 1",
        _momentum(hb, {r: length * (2 - B) / B for r, length in ADAMS.items()}),
        "the plans of diffnum.solvers.hb",
    )


def nesterov_interval() -> Statement:
    """Nesterov's momentum stretches it less."""
    return prove(
        "Real stability intervals of Nesterov's momentum",
        r"L_{NT} = \frac{2 - b}{b\,(3 - 2b)}\, L_{AB}, \qquad 0 < b \le 1",
        _momentum(nesterov, {r: length * (2 - B) / (B * (3 - 2 * B)) for r, length in ADAMS.items()}),
        "the plans of diffnum.solvers.nesterov",
    )


def ghvb_interval() -> Statement:
    """GHVB of order ``r`` lies between ``AB_r`` at ``b = 1`` and, at ``b = 0``, ``AB_(r-1)``."""
    lengths = {2: 2 - B, 3: 6 * (2 - B) / (12 - B), 4: 3 * (2 - B) / (11 - B)}
    between = [lengths[r].subs(B, b) - ADAMS[r - 1 + b] for r in lengths for b in (0, 1)]
    return prove(
        "Real stability intervals of GHVB",
        r"L = 2 - b, \quad \frac{6 (2 - b)}{12 - b}, \quad \frac{3 (2 - b)}{11 - b} \quad (r = 2, 3, 4), "
        r"\qquad L(b = 1) = L_{AB_r},\ L(b \to 0) = L_{AB_{r-1}}",
        [*_momentum(ghvb, lengths), *between],
        "the plans of diffnum.solvers.ghvb",
    )


def runge_kutta_intervals() -> Statement:
    """A polynomial leaves [-1, 1] where ``R = 1``, since ``R + 1`` has no real root."""
    two, four = (ratio_step(sampler)[0, 0] for sampler in (heun, rk4))
    cubic = Z**3 + 4 * Z**2 + 12 * Z + 24
    return prove(
        "Real stability intervals of one-step methods in sigma / alpha",
        r"L = 2 \ (p = 1, 2), \qquad L = 2.7853 \ (p = 4): \quad L^3 - 4 L^2 + 12 L - 24 = 0",
        [
            *interval(on_ratio(euler), Z, 0, sympy.Integer(-2), {}, ()),
            sympy.expand(two - 1 - Z * (Z + 2) / 2),
            sympy.expand(four - 1 - Z * cubic / 24),
            sympy.Integer(sympy.Poly(cubic, Z).count_roots() - 1),
            *(sympy.Integer(sympy.Poly(form + 1, Z).count_roots()) for form in (two, four)),
        ],
        "the plans of diffnum.solvers: euler, heun, midpoint, rk4",
    )


def data_intervals() -> Statement:
    """Down to which Jacobian a step ``h`` in log-SNR is stable; without guidance ``J`` is in [0, 1]."""
    damping = sympy.Symbol("v")
    q, c = 1 / (1 + W), (2 + W) / W  # e^-h and coth(h / 2)
    below = {ddim: c, dpmpp_2m: c / 2, hb_2m.with_options(b=B): (2 - B) / (2 * B) * c}
    residual: list[Any] = [sympy.simplify(c.subs(W, sympy.exp(H) - 1) - sympy.coth(H / 2).rewrite(sympy.exp))]
    for sampler, least in below.items():
        chi = sympy.expand(on_data(sampler)).subs(H, -sympy.log(q)).subs(W, 1 / X0 - 1)
        chi = sympy.expand(chi).subs(X0, q)
        residual += interval(chi, J, 1, -least, {B: 1 / (1 + damping)}, (damping,))
    return prove(
        "Real stability intervals in log-SNR",
        r"J \ge -\coth\tfrac h2 \ (\text{first order}), \qquad J \ge -\tfrac12 \coth\tfrac h2 \ (2M), \qquad "
        r"J \ge -\frac{2 - b}{2b} \coth\tfrac h2 \ (\text{heavy ball on 2M})",
        residual,
        "the plans of diffnum.solvers: ddim, dpmpp_2m, hb_2m",
    )


def guidance() -> Statement:
    """The largest stable guidance scale at one noise level and at the worst, for Gaussians of two variances."""
    inner, outer, noise, more = sympy.symbols("c_c c_u rho m", positive=True)
    gap, length = outer - inner, 1 + more
    at_worst = (sympy.sqrt(length * outer) + sympy.sqrt(more * inner)) ** 2 / gap
    one, none = (guided_jacobian(g, inner, outer, noise) for g in (1, 0))
    scale = (none - 1 + length) / (none - one)
    excess = (sympy.sqrt(more) * noise - sympy.sqrt(length * outer * inner) / noise) ** 2 / gap
    return prove(
        "The largest stable guidance scale",
        r"J_u + g (J_c - J_u) = 1 - L \ \text{ at }\ g(\rho) = \frac{(\sqrt{L c_u} + \sqrt{(L-1) c_c})^2 + "
        r"(\sqrt{L-1}\,\rho - \sqrt{L c_u c_c}/\rho)^2}{c_u - c_c}, \qquad J = \frac{c}{c + \rho^2}",
        [
            sympy.simplify(guided_jacobian(scale, inner, outer, noise) - (1 - length)),
            sympy.simplify(sympy.expand(scale - at_worst - excess)),
        ],
        "diffnum.read.stability.largest_guidance",
    )


CHAPTER: Chapter = (
    runge_kutta,
    exponential_one_step,
    same_step_in_two_forms,
    multistep_in_ratio,
    multistep_in_log_snr,
    runge_kutta_intervals,
    heavy_ball_interval,
    nesterov_interval,
    ghvb_interval,
    data_intervals,
    guidance,
)
