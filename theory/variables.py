"""What is interpolated, and against what: one rule in every variable.

With ``rho = sigma / alpha`` and ``kappa = 1 / rho`` the exact step is ``x_t / alpha_t = x_s / alpha_s + int eps drho``
and ``x_t / sigma_t = x_s / sigma_s + int D dkappa`` (chapter 2). A multistep method is a choice of the variable in
which ``eps`` or ``D`` is a polynomial. Where that variable is the integral's own, weights are Adams's; where it is the
log-SNR, exponential Adams's; elsewhere other functions appear, and sometimes none that has a name.
"""

from __future__ import annotations

import math
from typing import Any

import sympy

from diffnum.num import phi

from .adams import classical_moments, exponential_moments, rule
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER"]

H = sympy.Symbol("h", positive=True)
V = sympy.Symbol("v", positive=True)  # the variable under an integral
DEIS = "Zhang & Chen 2023, eq. 14-15 and section 3"


def _zero(expression: Any) -> sympy.Expr:
    return sympy.cancel(sympy.together(sympy.expand(expression, power_exp=True)))


def log_snr() -> Statement:
    """Polynomials in log-SNR, for data and for noise."""
    lam = sympy.Symbol("lambda_s", real=True)
    residual = []
    for count in (1, 2, 3):
        places = (sympy.Integer(0), *sympy.symbols("c1:3"))[:count]
        data, noise = (rule(places, exponential_moments(count, z, phi)) for z in (-H, H))
        for j, place in enumerate(places):
            others = [c for i, c in enumerate(places) if i != j]
            below = math.prod(place - c for c in others)
            numerator = math.prod(V / H - c for c in others)
            kappa = sympy.integrate(sympy.expand(numerator * sympy.exp(V)), (V, 0, H))
            rho = sympy.integrate(sympy.expand(-numerator * sympy.exp(-V)), (V, 0, H))
            residual.append(_zero(sympy.exp(lam) * kappa - sympy.exp(lam + H) * H * data[j] * below))
            residual.append(_zero(sympy.exp(-lam) * rho + sympy.exp(-lam - H) * H * noise[j] * below))
    return prove(
        "Polynomials in log-SNR: exponential Adams for data and for noise",
        r"\int_s^t \ell_j\, d\kappa = \kappa_t h\, w_j(-h), \quad \int_s^t \ell_j\, d\rho = -\rho_t h\, w_j(h): \qquad "
        r"x_t = \frac{\sigma_t}{\sigma_s} x_s + \alpha_t h \sum_j w_j(-h) D_j, \qquad x_t = \frac{\alpha_t}{\alpha_s} "
        r"x_s - \sigma_t h \sum_j w_j(h)\, \epsilon_j",
        residual,
        "diffnum.solvers.generated: exponential_adams; theory.adams.rule on up to three points",
    )


def own_variable() -> Statement:
    """Polynomials in the variable of the integral itself: an affine change of variable makes the step a unit step."""
    start, end, *rest = sympy.symbols("tau_s tau_t tau_1 tau_2 tau_3")
    residual = []
    for count in (1, 2, 3, 4):
        nodes = (start, *rest)[:count]
        places = [(node - start) / (end - start) for node in nodes]
        w = rule(places, classical_moments(count))
        for j in range(count):
            others = [c for i, c in enumerate(nodes) if i != j]
            below = math.prod((nodes[j] - c for c in others), start=sympy.Integer(1))
            whole = sympy.integrate(sympy.expand(math.prod((V - c for c in others), start=sympy.Integer(1))), V)
            residual.append(sympy.cancel(whole.subs(V, end) - whole.subs(V, start) - (end - start) * w[j] * below))
    return prove(
        "Polynomials in the integral's own variable: Adams-Bashforth, also as LMS, rhoAB-DEIS and tAB-DEIS where "
        "sigma is the time",
        r"\int_{\tau_s}^{\tau_t} \ell_j\, d\tau = (\tau_t - \tau_s)\, w_j(0; c), \quad c_j = \frac{\tau_j - \tau_s}"
        r"{\tau_t - \tau_s}, \qquad \tau = \frac{\sigma}{\alpha} \text{ for } \epsilon, \quad \tau = "
        r"\frac{\alpha}{\sigma} \text{ for } D, \quad \tau = \sigma = t \text{ where } \alpha = 1",
        residual,
        f"diffnum.solvers.generated: adams_bashforth; {DEIS}; k-diffusion, sample_lms",
    )


def log_ratio() -> Statement:
    """logrho-DEIS: the antiderivatives of its reference code, at both ends, are exponential Adams weights."""
    lam, c1, c2 = sympy.Symbol("lambda_s", real=True), *sympy.symbols("c1 c2", real=True)
    logs = [-lam - c * H for c in (0, c1, c2)]  # log rho at the points

    def two(at: Any, b: Any, c: Any) -> Any:
        return sympy.exp(at) * (-c + at - 1) / (b - c)

    def three(at: Any, b: Any, c: Any, d: Any) -> Any:
        return sympy.exp(at) * (c * (d - at + 1) - d * at + d + at**2 - 2 * at + 2) / ((b - c) * (b - d))

    residual = []
    for count, antiderivative in ((2, two), (3, three)):
        w = rule([sympy.Integer(0), c1, c2][:count], exponential_moments(count, H, phi))
        for j in range(count):
            others = [logs[i] for i in range(count) if i != j]
            found = antiderivative(-lam - H, logs[j], *others) - antiderivative(-lam, logs[j], *others)
            residual.append(_zero((found + sympy.exp(-lam - H) * H * w[j]) * sympy.exp(lam + H)))
    return prove(
        "logrho-DEIS is exponential Adams on noise",
        r"\frac{\log\rho_j - \log\rho_s}{\log\rho_t - \log\rho_s} = c_j, \qquad \int_{\rho_s}^{\rho_t} "
        r"\ell_j(\log\rho)\, d\rho = -\rho_t h\, w_j(h; c), \quad k = 2, 3",
        residual,
        f"diffnum.solvers.generated: exponential_adams; {DEIS}; diffusers, DEISMultistepScheduler",
    )


def data_in_noise_ratio() -> Statement:
    """Polynomials of ``D`` in ``rho`` against ``dkappa``: logarithms. With one difference, the second-order ODE limit
    of ER-SDE. They cancel for small steps as all moments in closed form do, and no sampler here needs them."""
    q = sympy.Symbol("q", positive=True)  # the step shortens rho by q: rho_t = (1 - q) rho_s
    start, end = sympy.symbols("rho_s rho_t", positive=True)
    kernel = (1 - q) / (1 - q * V) ** 2
    log = sympy.log(1 - q)
    moments = [1, ((1 - q) * log + q) / q**2, ((1 - q) * 2 * log + q * (2 - q)) / q**3]
    antiderivatives = [
        (1 - q) / q / (1 - q * V),
        (1 - q) / q**2 * (sympy.log(1 - q * V) + 1 / (1 - q * V)),
        (1 - q) / q**3 * (q * V - 1 + 2 * sympy.log(1 - q * V) + 1 / (1 - q * V)),
    ]
    residual = []
    for m, (whole, known) in enumerate(zip(antiderivatives, moments, strict=True)):
        residual.append(sympy.cancel(sympy.together(whole.diff(V) - V**m * kernel)))
        residual.append(sympy.simplify(whole.subs(V, 1) - whole.subs(V, 0) - known))
    slope = end * (1 / end - 1 / start) * (end - start) * moments[1].subs(q, 1 - end / start)  # type: ignore[union-attr]
    residual.append(sympy.simplify(slope - (end - start + end * sympy.log(start / end))))
    return prove(
        "Polynomials of the data in sigma/alpha: logarithms",
        r"\frac{1}{\kappa_t - \kappa_s} \int \Bigl(\frac{\rho - \rho_s}{\rho_t - \rho_s}\Bigr)^m d\kappa = 1, \ "
        r"\frac{(1 - q) \log(1 - q) + q}{q^2}, \ \frac{2 (1 - q) \log(1 - q) + q (2 - q)}{q^3}, \quad q = 1 - "
        r"\frac{\rho_t}{\rho_s}; \qquad \rho_t \int (\rho - \rho_s)\, d\kappa = \rho_t - \rho_s + \rho_t "
        r"\log\frac{\rho_s}{\rho_t}",
        residual,
        "Cui et al. 2023, ER-SDE-Solver of order two with phi(x) = x",
    )


def straight_paths() -> Statement:
    """Polynomials in the time of flow matching, ``alpha = 1 - t``, ``sigma = t``: logarithms for noise and for data."""
    t = sympy.Symbol("t", positive=True)
    rho = t / (1 - t)
    noise = [rho, rho + sympy.log(1 - t), rho + 2 * sympy.log(1 - t) + t]
    data = [1 / rho, -sympy.log(t), -t]
    residual = [sympy.cancel(sympy.together(f.diff(t) - t**m * rho.diff(t))) for m, f in enumerate(noise)]
    residual += [sympy.cancel(sympy.together(f.diff(t) - t**m * (1 / rho).diff(t))) for m, f in enumerate(data)]
    return prove(
        "tAB-DEIS on straight paths: logarithms",
        r"\rho = \frac{t}{1 - t}: \quad \int d\rho = \rho, \ \int t\, d\rho = \rho + \log(1 - t), \ \int t^2 d\rho = "
        r"\rho + 2 \log(1 - t) + t; \qquad \int d\kappa = \kappa, \ \int t\, d\kappa = -\log t, \ "
        r"\int t^2 d\kappa = -t",
        residual,
        f"diffnum.process.Flow; {DEIS}",
    )


def time_of_vp() -> Statement:
    """Polynomials in the time of the variance-preserving process, ``1 + rho^2 = e^{B(t)}``: by parts the first moment
    is an integral of ``rho``, an arc tangent where ``beta`` is constant. Where ``beta`` is linear in time it is the
    integral of an algebraic function over the root of a logarithm, for which no elementary form is known to this book:
    tAB-DEIS has quadrature there, and is not generated."""
    t, b, low, rate = sympy.symbols("t b beta_0 beta_1", positive=True)
    r = sympy.Function("rho", positive=True)(t)
    by_parts = (t * r).diff(t) - r - t * r.diff(t)
    constant = sympy.sqrt(sympy.exp(b * t) - 1)
    integral = 2 / b * (constant - sympy.atan(constant))
    beta = low + rate * t
    linear = sympy.sqrt(sympy.exp(low * t + rate * t**2 / 2) - 1)
    # dt = 2 rho drho / (beta (1 + rho^2)), and beta is a root of a logarithm
    return prove(
        "tAB-DEIS on the variance-preserving process: the first moment",
        r"\int t\, d\rho = t \rho - \int \rho\, dt; \quad \beta \text{ constant}: \ \int \rho\, dt = \frac2\beta "
        r"(\rho - \arctan\rho); \quad \beta = \beta_0 + \beta_1 t: \ \int \rho\, dt = \int \frac{2 \rho^2\, d\rho}"
        r"{(1 + \rho^2) \sqrt{\beta_0^2 + 2 \beta_1 \log(1 + \rho^2)}}",
        [
            by_parts,
            sympy.simplify(integral.diff(t) - constant),
            sympy.simplify(2 * linear * linear.diff(t) / (1 + linear**2) - beta),
            sympy.simplify(beta**2 - low**2 - 2 * rate * sympy.expand_log(sympy.log(1 + linear**2))),
        ],
        f"diffnum.process.VP; {DEIS}",
    )


CHAPTER: Chapter = (log_snr, own_variable, log_ratio, data_in_noise_ratio, straight_paths, time_of_vp)
