"""phi functions and the first exponential step.

    phi_0(z) = e^z,    phi_{k+1}(z) = (phi_k(z) - 1/k!) / z,    phi_k(0) = 1/k!

(Hochbruck & Ostermann 2010, eq. 2.10). In ``u = x / sigma`` the probability-flow ODE is ``du/dlam = e^lam D``, in
``w = x / alpha`` it is ``dw/dlam = -e^-lam eps``: everything that follows is an integral of one of the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy

from diffnum.num import phi
from diffnum.plan import Level, interpret
from diffnum.prediction import to_native
from diffnum.series import h_series
from diffnum.solvers import ddim, dpm_solver_1, dpmpp_1
from diffnum.trace import compile

from .statement import Chapter, Statement, prove
from .symbols import grid, log_snr_levels

__all__ = ["CHAPTER"]

HIGHEST = 6
Z, TAU, H = sympy.Symbol("z", nonzero=True), sympy.Symbol("tau", positive=True), sympy.Symbol("h", positive=True)


def recurrence() -> Statement:
    """The code's closed form against the definition."""
    return prove(
        "phi functions by recurrence",
        rf"z\,\varphi_{{k+1}}(z) = \varphi_k(z) - \frac{{1}}{{k!}}, \quad \varphi_k(0) = \frac{{1}}{{k!}}, "
        rf"\qquad k < {HIGHEST}",
        [Z * phi(k + 1, Z) - phi(k, Z) + 1 / sympy.factorial(k) for k in range(HIGHEST)]
        + [phi(k, sympy.Integer(0)) - 1 / sympy.factorial(k) for k in range(1, HIGHEST + 1)],
        "diffnum.num.phi on sympy; Hochbruck & Ostermann 2010, eq. 2.10",
    )


def as_series() -> Statement:
    """The truncated series of proofs against the recurrence, in exact arithmetic."""
    order = 9
    h = h_series(order)
    terms = [(h * phi(k + 1, h) - phi(k, h) + Fraction(1, math.factorial(k))).trim().c for k in range(HIGHEST)]
    known = [phi(k, h)[j] - Fraction(1, math.factorial(j + k)) for k in range(1, HIGHEST + 1) for j in range(order)]
    return prove(
        "phi functions as power series",
        r"\varphi_k(z) = \sum_{j < 9} \frac{z^j}{(j + k)!} + O(z^9)",
        [sympy.Integer(len(c)) for c in terms] + known,
        "diffnum.series.Series.phi, which order proofs run on",
    )


def as_integrals() -> Statement:
    """``phi_k`` is what an exponential integrator must integrate."""
    integrals = [
        sympy.integrate(sympy.exp((1 - TAU) * Z) * TAU ** (k - 1) / sympy.factorial(k - 1), (TAU, 0, 1))
        for k in range(1, HIGHEST + 1)
    ]
    return prove(
        "phi functions as integrals",
        r"\varphi_k(z) = \int_0^1 e^{(1 - \tau) z}\, \frac{\tau^{k-1}}{(k-1)!}\, d\tau",
        [phi(k, Z) - found for k, found in enumerate(integrals, 1)],
        "diffnum.num.phi; Hochbruck & Ostermann 2010, eq. 2.9",
    )


def kummer() -> Statement:
    """For negative arguments: expand ``e^{-tau z}`` instead of ``e^{(1 - tau) z}``; every term is positive."""
    k, j = sympy.symbols("k j", integer=True, positive=True)
    term = sympy.integrate(TAU ** (k - 1 + j), (TAU, 0, 1), conds="none") / sympy.gamma(k)
    first = sympy.integrate(TAU ** (k - 1), (TAU, 0, 1), conds="none") / sympy.gamma(k)
    return prove(
        "The series of positive terms for negative arguments",
        r"\varphi_k(-w) = \frac{e^{-w}}{k!} \sum_{j \ge 0} \frac{k}{k + j} \frac{w^j}{j!}",
        [sympy.gammasimp(term - k / (k + j) / sympy.gamma(k + 1)), sympy.gammasimp(first - 1 / sympy.gamma(k + 1))],
        "diffnum.num.phi, |z| <= 24",
    )


def switch_below() -> Statement:
    """Where ``phi`` changes to the recurrence, ``z = -w <= -24``, a step of it damps the error of the step before.

    One step makes ``phi_{k+1} = (1/k! - phi_k) / w``; a relative error of ``phi_k`` is multiplied by
    ``phi_k / (w phi_{k+1})``. Since ``phi_k <= 1 / ((k-1)! w)``, which is the second equation with
    ``phi_{k-1} >= 0``, that factor is at most ``k / (w - k)``: at ``w = 24`` no more than 5/19 for ``phi_6``.
    """
    w = sympy.Symbol("w", positive=True)
    damping = [
        phi(k, -w) / (w * phi(k + 1, -w)) - phi(k, -w) / (1 / sympy.factorial(k) - phi(k, -w))
        for k in range(1, HIGHEST)
    ]
    bounds = [1 / (sympy.factorial(k - 1) * w) - phi(k, -w) - phi(k - 1, -w) / w for k in range(1, HIGHEST + 1)]
    k = sympy.Symbol("k", positive=True)
    largest = 1 / (sympy.gamma(k) * w)  # of phi_k
    ratio = largest / (1 / sympy.gamma(k + 1) - largest)
    return prove(
        "The recurrence is free of cancellation far below zero",
        r"\kappa_k = \frac{\varphi_k}{w \varphi_{k+1}} = \frac{\varphi_k}{1/k! - \varphi_k}, \quad "
        r"\frac{1}{(k-1)!\,w} - \varphi_k(-w) = \frac{\varphi_{k-1}(-w)}{w} \ge 0 \ \Rightarrow\ "
        r"\kappa_k \le \frac{k}{w - k} \le \frac{5}{19} \quad (w \ge 24,\ k \le 5)",
        [*damping, *bounds, sympy.gammasimp(ratio - k / (w - k))],
        "diffnum.num.phi, the switch at |z| = 24",
    )


def switch_above() -> Statement:
    """Where ``z >= 24`` the factors multiply to one over the chance that a Poisson variable of mean ``z`` is at least
    ``k``: at ``z = 24`` and ``k = 6`` that is ``1 + 4e-6``, and nearer to one beyond."""
    factors = [phi(k, Z) / (phi(k, Z) - 1 / sympy.factorial(k)) for k in range(HIGHEST)]
    below = sum(Z**j * sympy.exp(-Z) / sympy.factorial(j) for j in range(HIGHEST))
    steps = [factors[k] * Z * phi(k + 1, Z) - phi(k, Z) for k in range(HIGHEST)]
    whole = sympy.exp(Z) * (1 - below) - Z**HIGHEST * phi(HIGHEST, Z)
    return prove(
        "The recurrence is free of cancellation far above zero",
        r"\prod_{j<k} \frac{\varphi_j}{z\,\varphi_{j+1}} = \frac{e^z}{z^k \varphi_k} = "
        r"\frac{1}{1 - e^{-z}\sum_{j<k} z^j/j!} \le 1 + 4\cdot 10^{-6} \quad (z \ge 24,\ k \le 6)",
        [*steps, whole],
        "diffnum.num.phi, the switch at |z| = 24",
    )


def weights() -> Statement:
    """The integral of one power of the log-SNR: all multistep and multistage weights are sums of these."""
    s = sympy.Symbol("s", positive=True)
    data = [
        sympy.integrate(sympy.exp(s - H) * s ** (k - 1) / sympy.factorial(k - 1), (s, 0, H)) - H**k * phi(k, -H)
        for k in range(1, HIGHEST + 1)
    ]
    noise = [
        sympy.integrate(sympy.exp(H - s) * s ** (k - 1) / sympy.factorial(k - 1), (s, 0, H)) - H**k * phi(k, H)
        for k in range(1, HIGHEST + 1)
    ]
    return prove(
        "Weights of exponential quadrature",
        r"\sigma_t \int_{\lambda_s}^{\lambda_t} e^{\lambda} \frac{(\lambda - \lambda_s)^{k-1}}{(k-1)!}\, d\lambda = "
        r"\alpha_t h^k \varphi_k(-h), \qquad \alpha_t \int_{\lambda_s}^{\lambda_t} e^{-\lambda} "
        r"\frac{(\lambda - \lambda_s)^{k-1}}{(k-1)!}\, d\lambda = \sigma_t h^k \varphi_k(h)",
        [*data, *noise],
        "diffnum.solvers: data and noise prediction",
    )


def linear_parts() -> Statement:
    """The change of variable that removes the stiff linear part, from the ODE in any time."""
    t = sympy.Symbol("t", real=True)
    alpha, sigma = (sympy.Function(n, positive=True)(t) for n in ("alpha", "sigma"))
    x, data = (sympy.Function(n)(t) for n in ("x", "D"))
    eps = (x - alpha * data) / sigma
    slope = alpha.diff(t) * data + sigma.diff(t) * eps
    in_data = (x / sigma).diff(t).subs(x.diff(t), slope) - (alpha / sigma).diff(t) * data
    in_noise = (x / alpha).diff(t).subs(x.diff(t), slope) - (sigma / alpha).diff(t) * eps
    return prove(
        "The probability-flow ODE without its linear part",
        r"x' = \alpha' D + \sigma' \epsilon \ \Rightarrow\ d\frac{x}{\sigma} = D\, d\frac{\alpha}{\sigma} = "
        r"e^{\lambda} D\, d\lambda, \qquad d\frac{x}{\alpha} = \epsilon\, d\frac{\sigma}{\alpha} = "
        r"-e^{-\lambda} \epsilon\, d\lambda",
        (in_data, in_noise),
        "any alpha(t), sigma(t)",
    )


def first_step_in_three_coordinates() -> Statement:
    """Data form, noise form and level coordinates are one step."""
    lam = sympy.Symbol("lambda", real=True)
    a, b, x, data = sympy.symbols("alpha_s alpha_t x D", positive=True)
    sigma_s, sigma_t = a * sympy.exp(-lam), b * sympy.exp(-lam - H)
    eps = (x - a * data) / sigma_s
    r = sigma_t / sigma_s
    level = r * x + (b - r * a) * data
    in_data = sigma_t / sigma_s * x + b * H * phi(1, -H) * data
    in_noise = b / a * x - sigma_t * H * phi(1, H) * eps
    return prove(
        "The first-order exponential step in data form, noise form and level coordinates",
        r"\frac{\sigma_t}{\sigma_s} x + \alpha_t h \varphi_1(-h) D = \frac{\alpha_t}{\alpha_s} x - \sigma_t h "
        r"\varphi_1(h)\, \epsilon = r x + (\alpha_t - r \alpha_s) D = \alpha_t D + \sigma_t \epsilon, "
        r"\qquad r = \frac{\sigma_t}{\sigma_s}",
        (in_data - level, in_noise - level, b * data + sigma_t * eps - level),
        "diffnum.solvers.onestep: transfer, noise_transfer, data_transfer",
    )


def exact_on_constant_data() -> Statement:
    """First-order plans, run on a model that always answers ``D``: three steps end on the flow of a point mass."""
    process, levels, _ = log_snr_levels(4)
    x, data = sympy.symbols("x D", real=True)
    first, last = levels[0], levels[-1]
    flow = last.alpha * data + last.sigma / first.sigma * (x - first.alpha * data)
    plans = [compile(sampler, grid(process, levels)) for sampler in (ddim, dpm_solver_1, dpmpp_1)]
    return prove(
        "The first-order exponential step is exact for constant data",
        r"D \equiv \text{const}: \qquad x_n = \alpha_n D + \frac{\sigma_n}{\sigma_0} (x_0 - \alpha_0 D)",
        [_run(plan, x, data) - flow for plan in plans],
        "the plans of ddim, dpm_solver_1 and dpmpp_1 on three symbolic steps",
    )


def _run(plan: Any, x: Any, data: Any) -> Any:
    def lin(terms: Sequence[tuple[Any, Any]]) -> Any:
        return sympy.expand(sum(c * value for c, value in terms))

    def evaluate(value: Any, level: Level, quantity: str) -> Any:
        a, b = to_native(level, quantity)
        return a * value + b * data

    return interpret(plan, x, lin, evaluate, _no_draws)[0]


def _no_draws(line: Any) -> Any:
    raise ValueError("a deterministic plan draws nothing: use a sampler without noise")


CHAPTER: Chapter = (
    recurrence,
    as_series,
    as_integrals,
    kummer,
    switch_below,
    switch_above,
    linear_parts,
    weights,
    first_step_in_three_coordinates,
    exact_on_constant_data,
)
