r"""What every stochastic sampler gets wrong on a Gaussian: the leading error of its variance, in closed form.

On ``N(m, c)`` a step of an affine plan moves the variance of a direction by ``v_t = a(h)^2 v_s + b(h)^2``, and the
marginal has ``v = alpha^2 c + sigma^2``. One step of size ``h`` in log-SNR, from the law that the sampler's own history
has made, misses it by

    v_t - v(t) = K v h^(p+1) + O(h^(p+2)),    K a polynomial in s = sigma^2 / (alpha^2 c + sigma^2),

the share of the noise in the variance; where it is the same on every process it depends on ``alpha, sigma, c`` through
``s`` alone. It is read off the plan in Q(s, tau), with ``tau^2`` the noise per log-SNR where the sampler has it for an
option, in a field that knows the square roots of whole numbers (:mod:`.radicals`); once more on a random process in
rational numbers and, of a method that looks back, with a longer history.

A relative error of the variance is multiplied by ``((1 - s) / (1 - s'))^kappa`` from ``s`` to ``s'`` by the SDE with
noise ``kappa`` per log-SNR, and ``ds = -2 s (1 - s) d lambda``. So a run of equal steps from noise to data ends at

    v(t) (1 + G h^p + O(h^(p+1))),    G = int_0^1 K(s) (1 - s)^(kappa - 1) / (2 s) ds,

one number for all directions and all data.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import sympy
from sympy.polys.fields import field

from diffnum.generic import GenericGrid, GenericProcess
from diffnum.grid import log_snr
from diffnum.order import long_run, odd_steps
from diffnum.plan import Plan
from diffnum.process import VP
from diffnum.series import Series
from diffnum.solvers import ALL
from diffnum.solvers.er_sde import Power
from diffnum.trace import Solver, compile
from diffnum.weak_order import Rows, gaussian_errors

from .radicals import number
from .statement import Chapter, Statement, prove

__all__ = [
    "ALPHA_ONE",
    "CHAPTER",
    "LEFT_OUT",
    "RHO",
    "S",
    "VarianceError",
    "covered",
    "global_error",
    "variance_error",
]

FIELD, SHARE, TAU = field("s,tau", sympy.QQ)
S, RHO = sympy.symbols("s rho", positive=True)
ONE, ZERO = number(1), number(0)
# numbers for second derivations, and steps of history that must change nothing
AT, TAU_AT, MORE = Fraction(5, 7), Fraction(3, 4), 2

ALPHA_ONE = (
    "euler_maruyama",
    "stochastic_improved_euler",
    "reverse_diffusion",
    "reverse_diffusion_pc_refined",
    "ddpm_ancestral_large",
    "ddpm_ancestral_range",
    "ucgm_auto",
)
"""Samplers that read rates, times or variances of the process: they are measured on ``alpha = 1``, clock sigma."""

_BIAS = "steps do not tend to the identity as h does to zero, so that no power of h leads"
_STAYS = "what a step misses does not shrink faster than the step"
_PAIR = "the error of a run is made of the errors of two states"
_FLOW = "steps in sigma / (alpha + sigma), or a noise per log-SNR that changes with sigma: K depends on sigma beside s"
LEFT_OUT: Mapping[str, str] = {
    "langevin_corrector": _BIAS,
    "reverse_diffusion_pc": _BIAS,
    "underdamped_corrector": _BIAS,
    "renoise": _BIAS,
    "ucgm_renoise": _BIAS,
    "edm_churn": _BIAS,
    "euler_churn": _BIAS,
    "euler_churn_coded": _BIAS,
    "kdpm2_churn": _BIAS,
    "sde_dpmpp_3m_coded": _STAYS,
    "sde_dpmpp_3s_coded": _STAYS,
    "reversible_euler_maruyama": _PAIR,
    "reversible_shark": _PAIR,
    "flow_sde": _FLOW,
    "flow_sde_heun": _FLOW,
    "kdpm2_ancestral_rf": _FLOW,
    "ucgm_auto_coded": "the noise of a step is set by the first step of the run",
    "exponential_integrator": "it needs alpha^2 + sigma^2 = 1, and K depends on alpha beside s",
}
"""Stochastic samplers without a row, and why."""


@dataclass(frozen=True)
class VarianceError:
    """``v_t - v(t) = coefficient v h^power + ...`` for one step.

    Attributes:
        power: one more than the weak order on Gaussians.
        coefficient: sympy expression in :data:`S` and, where noise is an option, :data:`RHO`.
        rate: noise per log-SNR, a number or :data:`RHO`.
    """

    power: int
    coefficient: Any
    rate: Any


def covered() -> tuple[Solver, ...]:
    """Every sampler with noise that has a row."""
    return tuple(s for s in ALL.values() if s.stochastic and s.name not in LEFT_OUT)


@lru_cache
def variance_error(sampler: Solver) -> VarianceError:
    """The leading error of the variance, from ``alpha = 1`` and ``sigma = 1``; options at their defaults, but for the
    noise per log-SNR where it is one: that is the symbol."""
    rate = number(TAU * TAU)
    error, _, kappa = _measured(sampler, _alpha_one(1, _end(sampler)), 1 / number(SHARE) - 1, rate)
    power = error.valuation
    if power >= error.end or power % 2:
        raise ArithmeticError(f"{sampler.name}: no error of the variance up to k^{error.end - 1}, k^2 = h")
    back = {sympy.Symbol("s"): S, sympy.Symbol("tau"): sympy.sqrt(RHO)}
    # over the variance 1 / s
    relative = sympy.sympify(error[power] * number(SHARE)).subs(back)
    return VarianceError(power // 2, sympy.factor(relative), sympy.sympify(kappa).subs(back))


def global_error(found: VarianceError, start: Any = 1, end: Any = 0) -> Any:
    """``G`` of a run of equal steps, from share ``start`` of the noise in the variance to share ``end``."""
    u = sympy.Symbol("u", positive=True)  # 1 - s
    terms = sympy.Poly(sympy.cancel(found.coefficient / (2 * S)).subs(S, 1 - u), u).terms()
    over = sum(c * _moment(k + found.rate, 1 - start, 1 - end) for (k,), c in terms)
    return sympy.factor(over / (1 - sympy.sympify(end)) ** found.rate)


def _moment(power: Any, low: Any, high: Any) -> Any:
    """``int u^(power - 1) du``."""
    return (sympy.sympify(high) ** power - sympy.sympify(low) ** power) / power


# --- from plans ---


def _end(sampler: Solver) -> int:
    """Powers of ``k = sqrt(h)`` that are known."""
    return 2 * sampler.order + 5


@lru_cache(maxsize=8)
def _alpha_one(sigma: Any, end: int) -> GenericProcess:
    """``alpha = 1`` in the clock of sigma."""
    return GenericProcess((ONE, *(ZERO,) * (end - 1)), (ONE * sigma, ONE, *(ZERO,) * (end - 2)))


@lru_cache(maxsize=8)
def _random(seed: int, end: int) -> GenericProcess:
    rough = GenericProcess.random(seed, end)
    return GenericProcess(tuple(map(number, rough.alphas)), tuple(map(number, rough.sigmas)))


def _measured(
    sampler: Solver, process: GenericProcess, variance: Any, rate: Any, more: int = 0
) -> tuple[Series, Series, Any]:
    """Errors of variance and mean of one step, and noise per log-SNR; the step ends a step before the last."""
    end = _end(sampler)
    steps = _history(sampler) + 2 + more
    at = [process.at(_log_snr(i - steps + 1, end)) for i in range(steps + 1)]
    grid = GenericGrid(process, tuple(at), tuple(t.lam - s.lam for s, t in pairwise(at)))
    rows = Rows.of(compile(sampler, grid, **_options(sampler, rate)))
    return *gaussian_errors(rows, variance, ONE), rows.rate(len(rows.states) - 3)[0]


def _log_snr(step: int, end: int) -> Series:
    """``step h``."""
    return Series(0, tuple(ONE * step if power == 2 else ZERO for power in range(end)))


@lru_cache
def _depth(sampler: Solver) -> int:
    return _on_vp(sampler, 8).depth


@lru_cache
def _history(sampler: Solver) -> int:
    """Steps after which own history is as good as any, as :mod:`diffnum.weak_order` counts them."""
    depth = _depth(sampler)
    return max(depth + 2 if depth else 0, odd_steps(_on_vp(sampler, long_run(depth))))


def _on_vp(sampler: Solver, steps: int) -> Plan:
    return compile(sampler, log_snr(VP(), steps, VP().t(-2.0), VP().t(2.0)))


def _options(sampler: Solver, rate: Any) -> dict[str, Any]:
    named = inspect.signature(sampler.build).parameters
    if "rate" in named:
        return {"rate": rate}
    return {"phi": Power(rate)} if "phi" in named else {}


# --- statements ---


def _again(sampler: Solver) -> list[Any]:
    """Residuals of a second derivation in rational numbers, a longer history where there is one: on a random process,
    or on ``alpha = 1`` at another sigma; and of the mean, which is right as far as it is known."""
    found, end = variance_error(sampler), _end(sampler)
    process = _alpha_one(Fraction(3, 2), end) if sampler.name in ALPHA_ONE else _random(3, end)
    alpha, sigma = process.alphas[0], process.sigmas[0]
    more = MORE if _depth(sampler) else 0
    error, mean, kappa = _measured(sampler, process, number(AT), number(TAU_AT**2), more)
    spread = alpha * alpha * AT + sigma * sigma
    at = {S: sympy.sympify(sigma * sigma / spread), RHO: sympy.sympify(number(TAU_AT**2))}
    return [
        sympy.Integer(error.valuation - 2 * found.power),
        sympy.sympify(error[2 * found.power] / spread) - found.coefficient.subs(at),
        sympy.sympify(kappa) - found.rate.subs(at),
        sympy.Integer(mean.valuation - mean.end),
    ]


def leading(family: str) -> Statement:
    """The formulas of a family, against second derivations."""
    members = [sampler for sampler in covered() if sampler.family == family]
    rows = r" \\ ".join(_row(sampler) for sampler in members)
    return prove(
        f"{family[0].upper()}{family[1:]}, leading errors of the variance on a Gaussian",
        rf"\begin{{array}}{{llll}} & \kappa & K h^{{p+1}} & G h^p \\ \hline {rows} \end{{array}}",
        [residual for sampler in members for residual in _again(sampler)],
        _where(family),
    )


def _where(family: str) -> str:
    """What the rows are about, which of them are on ``alpha = 1``, and what has no row."""
    special = [name for name in ALPHA_ONE if ALL[name].family == family]
    parts = [
        "the plans of diffnum.solvers",
        *([f"{', '.join(special)}: on alpha = 1 in the clock sigma"] * bool(special)),
    ]
    # a family of which no sampler has a row is told of with the first
    told = {family} if family != FAMILIES[0] else {ALL[name].family for name in LEFT_OUT} - {*FAMILIES[1:]}
    for reason in dict.fromkeys(LEFT_OUT.values()):
        if names := [name for name, why in LEFT_OUT.items() if why == reason and ALL[name].family in told]:
            parts.append(f"no row for {', '.join(names)}: {reason}")
    return "; ".join(parts)


def _row(sampler: Solver) -> str:
    found = variance_error(sampler)
    name = sampler.name.replace("_", r"\_")
    step, run = _term(found.coefficient, found.power), _term(global_error(found), found.power - 1)
    return rf"\texttt{{{name}}} & {sympy.latex(found.rate)} & {step} & {run}"


def _term(coefficient: Any, power: int) -> str:
    """A multiple of a power of ``h``."""
    if coefficient == 0:
        return "0"
    h = "h" if power == 1 else f"h^{{{power}}}"
    return f"{sympy.latex(coefficient)}\\, {h}" if abs(coefficient) != 1 else f"{'-' if coefficient < 0 else ''}{h}"


def whole_run() -> Statement:
    """How the error of a step becomes that of a run of equal steps, which is the same for all data."""
    lam, u, kappa, c = sympy.symbols("lambda u kappa c", positive=True)
    K = sympy.Function("K")
    # on alpha = 1, where sigma = e^-lambda and dx = -(1 + kappa) sigma^2 / v x dlambda + sqrt(2 kappa) sigma dw
    sigma2 = sympy.exp(-2 * lam)
    v = c + sigma2
    share = sigma2 / v
    error = sympy.Function("e")(lam)
    slope = -2 * (1 + kappa) * share * (v * (1 + error)) + 2 * kappa * sigma2
    inside = sympy.Integral(K(1 - u) * u ** (kappa - 1) / (2 * (1 - u)), (u, 0, 1 - S))
    grown = inside / (1 - S) ** kappa
    along = -2 * S * (1 - S) * sympy.diff(grown, S)
    return prove(
        "The error of the variance at the end of a run",
        r"s = \frac{\sigma^2}{\alpha^2 c + \sigma^2}, \ \frac{ds}{d\lambda} = -2 s (1 - s): \quad v_t - v(t) = "
        r"K(s)\, v\, h^{p+1} + \dots \ \Rightarrow \ \frac{de}{d\lambda} = -2 \kappa s e + K(s) h^p, \ e = "
        r"\frac{h^p}{(1 - s)^\kappa} \int_s^1 \frac{K(u) (1 - u)^{\kappa - 1}}{2 u}\, du = G h^p \text{ at } s = 0, "
        r"\text{ for all } c",
        (
            sympy.diff(share, lam) + 2 * share * (1 - share),
            (slope - sympy.diff(v, lam) * (1 + error)) / v + 2 * kappa * share * error,
            (along + 2 * kappa * S * grown - K(S)).doit(integrals=False).simplify(),
        ),
        "the reverse SDE of chapter 1 with noise kappa per log-SNR; relative errors e of the variance",
    )


FAMILIES = tuple(dict.fromkeys(sampler.family for sampler in covered()))
CHAPTER: Chapter = (whole_run, *(partial(leading, family) for family in FAMILIES))
