"""Reversible samplers, continued. Coupled pairs of states, and inversion of samplers that do not run backwards.

EDICT, McCallum and Foster's coupling and reversible Heun carry two states and are solved for the old pair by hand.
What is not reversible is inverted by a fixed point (ReNoise), by running the step backwards (DDIM inversion,
RF-Solver), or by storing the noise that explains it (edit-friendly inversion).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy

from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER"]

H = sympy.Symbol("h", positive=True)


# --- coupled pairs ---


def _edict_matrix(w: Any, p: Any) -> Any:
    """EDICT on ``x' = w x`` in ``x / alpha``: coupled Euler steps, then mixing."""
    coupled = sympy.Matrix([[1, w], [w, 1 + w**2]])
    mixed = sympy.Matrix([[p, 1 - p], [p * (1 - p), p + (1 - p) ** 2]])
    return mixed * coupled


def edict() -> Statement:
    """EDICT: its inverse undoes it for any network, its roots, and the error of its principal one."""
    x, y, a, b, p, w, k = sympy.symbols("x y a b p w k", positive=True)
    e = sympy.Function("epsilon")
    x_in = a * x + b * e(y)
    y_in = a * y + b * e(x_in)
    x_new = p * x_in + (1 - p) * y_in
    y_new = p * y_in + (1 - p) * x_new
    y_back = (y_new - (1 - p) * x_new) / p
    x_back = (x_new - (1 - p) * sympy.expand(y_back)) / p
    m = _edict_matrix(w, p)
    principal = 1 + w + k * w**2
    polynomial = principal**2 - m.trace() * principal + m.det()
    second = sympy.expand(polynomial).coeff(w, 2)
    value = sympy.solve(second, k)[0]
    return prove(
        "EDICT is reversible, of order one, and its second root is the square of its mixing weight",
        r"y_i = \frac{y - (1 - p) x}{p}, \ x_i = \frac{x - (1 - p) y_i}{p}, \ y_s = \frac{y_i - b\, "
        r"\epsilon(x_i)}{a}, \ x_s "
        r"= \frac{x_i - b\, \epsilon(y_s)}{a}; \quad \det M = p^2; \quad \zeta = 1 + w + \frac{w^2}{1 + p} + O(w^3) = "
        r"e^w + "
        r"\frac{1 - p}{2 (1 + p)} w^2 + \ldots",
        (
            sympy.expand(y_back - y_in),
            sympy.expand(x_back - x_in),
            sympy.expand((y_in - b * e(x_in)) / a - y),
            sympy.expand((x_in - b * e(y)) / a - x),
            sympy.expand(m.det() - p**2),
            sympy.expand((m.subs(w, 0) - k * sympy.eye(2)).det() - (k - 1) * (k - p**2)),
            sympy.simplify(value - 1 / (1 + p)),
            sympy.simplify(value - sympy.Rational(1, 2) - (1 - p) / (2 * (1 + p))),
            sympy.expand(polynomial).coeff(w, 1),
        ),
        "Wallace et al. 2023 and its code; where the field depends on time alone both halves are Euler's",
    )


def edict_interval() -> Statement:
    """The real stability interval of EDICT: a root reaches one, and none minus one."""
    w, p = sympy.symbols("w p", positive=True)
    m = _edict_matrix(w, p)
    width = 1 - p + p**2
    square = width * (w + (1 - p**2) / (2 * width)) ** 2 + 2 * (1 + p**2) - (1 - p**2) ** 2 / (4 * width)
    return prove(
        "The real stability interval of EDICT",
        r"y' = \mu y, \ w = h \mu: \quad \det(1 - M) = -w \bigl((1 - p + p^2) w + 1 - p^2\bigr), \quad w = -\frac{1 - "
        r"p^2}"
        r"{1 - p + p^2}; \qquad \det(1 + M) = (1 - p + p^2) \Bigl(w + \frac{1 - p^2}{2 (1 - p + p^2)}\Bigr)^2 + 2 (1 + "
        r"p^2) - \frac{(1 - p^2)^2}{4 (1 - p + p^2)} > 0",
        (
            sympy.expand(1 - m.trace() + m.det() + w * (width * w + 1 - p**2)),
            sympy.simplify(1 + m.trace() + m.det() - square),
        ),
        "0.1445 at p = 0.93; Wallace et al. 2023",
    )


def mccallum_foster() -> Statement:
    """The coupling of any one-step method with itself, there and back; its roots; the errors of its two states."""
    y, z, zeta, w, k = sympy.symbols("y z zeta w k", positive=True)
    there, back = sympy.Function("Psi_h"), sympy.Function("Psi_-h")
    y_new = zeta * y + (1 - zeta) * z + there(z)
    z_new = z - back(y_new)
    z_old = z_new + back(y_new)
    y_old = (y_new - (1 - zeta) * z_old - there(z_old)) / zeta
    m: Any = sympy.Matrix([[zeta, 1 - zeta + w], [zeta * w, 1 + w * (1 - zeta + w)]])
    edge = m.subs(w, -(1 - zeta))
    trace = m.trace()
    return prove(
        "The coupling of McCallum and Foster",
        r"y_1 = \zeta y + (1 - \zeta) z + \Psi_h(z), \ z_1 = z - \Psi_{-h}(y_1): \quad z = z_1 + \Psi_{-h}(y_1), \ y = "
        r"\frac{y_1 - (1 - \zeta) z - \Psi_h(z)}{\zeta}; \quad \text{roots } 1, \zeta; \quad \Psi_h(z) = w z: \ "
        r"\det M = \zeta, \ \text{real interval } -(1 - \zeta) < w < 0",
        (
            sympy.expand(z_old - z),
            sympy.expand(y_old - y),
            sympy.expand((m.subs(w, 0) - k * sympy.eye(2)).det() - (k - 1) * (k - zeta)),
            sympy.expand(m.det() - zeta),
            sympy.expand(1 - edge.trace() + edge.det()),
            sympy.expand((1 + trace + m.det()) - ((w + (1 - zeta) / 2) ** 2 + 2 * (1 + zeta) - (1 - zeta) ** 2 / 4)),
        ),
        "reversible solvers for SDEs and ODEs; rounding grows backwards by 1 / zeta a step; McCallum & Foster 2024",
    )


def _taylor(power: int) -> tuple[Any, Callable[[Any], Any], Callable[[int], Any]]:
    """``h``, a field ``f(y_0 + d)`` up to ``d^power`` with free derivatives, and the exact solution."""
    h = sympy.Symbol("h")
    f = sympy.symbols(f"f_0:{power + 1}")

    def field(d: Any) -> Any:
        return sum(f[k] * d**k / sympy.factorial(k) for k in range(power + 1))

    def flow(order: int) -> Any:
        solution: Any = sympy.Integer(0)
        for _ in range(order):
            grown = _cut(field(solution), h, order)
            solution = sympy.integrate(grown, h)
        return _cut(solution, h, order + 1)

    return h, field, flow


def _cut(expression: Any, h: Any, order: int) -> Any:
    expanded = sympy.Poly(sympy.expand(expression), h)
    return sum(c * h**m for (m,), c in expanded.terms() if m < order)


def coupled_orders() -> Statement:
    """Both states keep the order of the method; with Euler's method their leading errors are opposite."""
    h, field, flow = _taylor(3)
    exact = flow(4)

    def heun(d: Any, step: Any) -> Any:
        slope = field(d)
        return step / 2 * (slope + field(d + step * slope))

    y_new = h * field(0)
    z_new = _cut(h * field(y_new), h, 4)  # minus Psi of -h
    first = [_cut(e - exact, h, 3).coeff(h, 2) for e in (sympy.expand(y_new), z_new)]
    y_two = _cut(heun(0, h), h, 4)
    z_two = _cut(-heun(y_two, -h), h, 4)
    second = [sympy.expand(e - exact).coeff(h, k) for e in (y_two, z_two) for k in (1, 2)]
    hat = 2 * 0 - 0 + h * field(0)  # reversible Heun from y = yhat
    rev = _cut(h / 2 * (field(0) + field(hat)), h, 4)
    f0, f1 = field(0), sympy.Symbol("f_1")
    return prove(
        "Coupled pairs keep the order of what they couple",
        r"\Psi \text{ Euler}: \ y_1 - y(h) = -\tfrac12 h^2 f' f + \ldots, \ z_1 - y(h) = +\tfrac12 h^2 f' f + \ldots; "
        r"\quad \Psi \text{ Heun}: \ O(h^3) \text{ in both}; \quad \text{reversible Heun}: \ O(h^3)",
        (
            sympy.expand(first[0] + f1 * f0 / 2),
            sympy.expand(first[1] - f1 * f0 / 2),
            *second,
            *(sympy.expand(rev - exact).coeff(h, k) for k in (1, 2)),
        ),
        "from y = z on the exact solution, any smooth f",
    )


def reversible_heun() -> Statement:
    """Reversible Heun: its inverse is itself, and it is stable on no real interval."""
    y, hat, w, k = sympy.symbols("y yhat w k", positive=True)
    now, then = sympy.Function("f_0"), sympy.Function("f_1")
    h = H
    hat_new = 2 * y - hat + h * now(hat)
    y_new = y + h / 2 * (now(hat) + then(hat_new))
    hat_old = 2 * y_new - hat_new - h * then(hat_new)
    y_old = y_new - h / 2 * (then(hat_new) + now(hat))
    m: Any = sympy.Matrix([[1 + w, w**2 / 2], [2, w - 1]])
    return prove(
        "Reversible Heun is its own inverse and has no real stability interval",
        r"\hat y_1 = 2 y - \hat y + h f_0(\hat y), \ y_1 = y + \tfrac h2 (f_0(\hat y) + f_1(\hat y_1)): \quad \hat y "
        r"= 2 "
        r"y_1 - \hat y_1 - h f_1(\hat y_1); \quad \zeta^2 - 2 w \zeta - 1 = 0, \ \zeta = w \pm \sqrt{1 + w^2}",
        (
            sympy.expand(hat_old - hat),
            sympy.expand(y_old - y),
            sympy.expand((m - k * sympy.eye(2)).det() - (k**2 - 2 * w * k - 1)),
        ),
        "Kidger et al. 2021; the product of the roots is -1, so one is beyond the circle for every real w",
    )


# --- inversion of what is not reversible ---


def renoise() -> Statement:
    """Fixed-point inversion of DDIM: its contraction in closed form, for any denoiser and on a Gaussian."""
    alphas, lam = sympy.symbols("alpha_s alpha_t", positive=True), sympy.Symbol("lambda", real=True)
    cov, c, rho, error = sympy.symbols("v c rho e", positive=True)
    sigmas = alphas[0] * sympy.exp(-lam), alphas[1] * sympy.exp(-lam - H)
    keep = alphas[1] / alphas[0]
    weight = sigmas[1] - keep * sigmas[0]
    # D' = alpha Cov[x_0 | x] / sigma^2 (Tweedie), eps = (x - alpha D) / sigma
    slope = (1 - alphas[0] ** 2 * cov / sigmas[0] ** 2) / sigmas[0]
    ratio = sympy.exp(-lam)  # tau = sigma / alpha at s
    contraction = -weight / keep * slope
    gaussian = c * ratio**2 / (c + ratio**2)
    on = (1 - sympy.exp(-H)) * ratio**2 / (c + ratio**2)
    edge = ratio**2 * (1 + 1 / (1 - sympy.exp(-H)))
    return prove(
        "ReNoise contracts by the posterior variance",
        r"x^{(k+1)} = \frac{x_t - \psi\, \epsilon(x^{(k)})}{\phi}: \quad \rho = (1 - e^{-h}) \Bigl(1 - \frac{v}{\tau^2}"
        r"\Bigr), \ v = \operatorname{Var}[x_0 \mid x_s], \ \tau = \frac{\sigma_s}{\alpha_s}; \quad N(0, c): \ \rho = "
        r"\frac{(1 - e^{-h}) \tau^2}{c + \tau^2} \in (0, 1); \quad \rho = -1 \iff v = \tau^2 \Bigl(1 + "
        r"\frac{1}{1 - e^{-h}}\Bigr); \quad \tfrac12 (e_k + e_{k+1}) = \tfrac{1 + \rho}{2} e_k",
        (
            sympy.simplify(contraction - (1 - sympy.exp(-H)) * (1 - cov / ratio**2)),
            sympy.simplify(contraction.subs(cov, gaussian) - on),
            sympy.simplify(contraction.subs(cov, edge) + 1),
            sympy.expand((error + rho * error) / 2 - (1 + rho) / 2 * error),
            ((1 + rho) / 2 + rho).subs(rho, -sympy.Rational(1, 3)),
        ),
        "Garibi et al. 2024; averaging beats the last iterate only where (1 + rho) / 2 < |rho|, that is rho < -1/3",
    )


def round_trips() -> Statement:
    """There with the step ``h``, back with ``-h``: Euler's method misses by ``h^2``, the midpoint rule by ``h^4``."""
    h, field, _ = _taylor(3)
    z = sympy.Symbol("z")

    def euler(d: Any, step: Any) -> Any:
        return d + step * field(d)

    def midpoint(d: Any, step: Any) -> Any:
        return d + step * field(d + step / 2 * field(d))

    once = [_cut(euler(euler(0, h), -h), h, 4), _cut(midpoint(_cut(midpoint(0, h), h, 4), -h), h, 4)]
    factor = 1 + z + z**2 / 2
    return prove(
        "Round trips of DDIM and of the midpoint rule",
        r"\Phi_{-h} \Phi_h = 1 - h^2 f' f + \ldots \text{ (Euler)}, \quad 1 + O(h^4) \text{ (midpoint: the error of "
        r"order "
        r"} h^3 \text{ is odd)}; \qquad y' = \mu y: \ 1 - z^2, \quad 1 + \tfrac14 z^4",
        (
            once[0].coeff(h, 1),
            sympy.expand(once[0].coeff(h, 2) + field(0) * sympy.Symbol("f_1")),
            *(sympy.expand(once[1]).coeff(h, m) for m in range(4)),
            sympy.expand((1 + z) * (1 - z) - (1 - z**2)),
            sympy.expand(factor * factor.subs(z, -z) - (1 + z**4 / 4)),
        ),
        "DDIM inversion in sigma / alpha; RF-Solver, which is the explicit midpoint rule (Wang et al. 2024)",
    )


def edit_friendly() -> Statement:
    """Noise maps of edit-friendly inversion on a Gaussian: their variance, from the joint law of two noised copies."""
    alphas, c, lam = (
        sympy.symbols("alpha_s alpha_t", positive=True),
        sympy.Symbol("c", positive=True),
        sympy.Symbol("l"),
    )
    tau = sympy.exp(-lam), sympy.exp(-lam - H)
    sigmas = alphas[0] * tau[0], alphas[1] * tau[1]
    grown = 1 - sympy.exp(-2 * H)
    gain = c / (alphas[0] * (c + tau[0] ** 2))
    of_noisy = sigmas[1] / sigmas[0] * sympy.exp(-H) + alphas[1] * grown * gain
    both = (alphas[1] - of_noisy * alphas[0]) ** 2 * c + sigmas[1] ** 2 + of_noisy**2 * sigmas[0] ** 2
    coth = (1 + sympy.exp(-2 * H)) / grown
    known = coth * (1 + (sympy.exp(2 * H) - 1) * c / (c + tau[0] ** 2))
    found = both / (sigmas[1] ** 2 * grown)
    return prove(
        "Variance of the noise maps of edit-friendly inversion on a Gaussian",
        r"x_s, x_t \text{ noised independently}, \ z = \frac{x_t - \mu(x_s)}{\sigma_t \sqrt{1 - e^{-2h}}}: \qquad "
        r"\operatorname{Var} z = \coth h\, \Bigl(1 + (e^{2h} - 1) \frac{c}{c + \tau_s^2}\Bigr) > 1",
        (sympy.simplify(found - known),),
        "Huberman-Spiegelglas et al. 2024; Deutch et al. 2024",
    )


def forward_maps() -> Statement:
    """Noise maps of a path of the forward process: a standard normal, and what the denoiser does not know."""
    alphas, c, lam = (
        sympy.symbols("alpha_s alpha_t", positive=True),
        sympy.Symbol("c", positive=True),
        sympy.Symbol("l", real=True),
    )
    tau = sympy.exp(-lam), sympy.exp(-lam - H)
    sigmas = alphas[0] * tau[0], alphas[1] * tau[1]
    grown = 1 - sympy.exp(-2 * H)
    nu = sigmas[1] * sympy.sqrt(grown)
    of_noisy, of_data = sigmas[1] / sigmas[0] * sympy.exp(-H), alphas[1] * grown
    # x_t = alpha_t x0 + sigma_t e1 and x_s = (alpha_s / alpha_t) x_t + b e2, as coefficients of (x0, e1, e2)
    b = sympy.sqrt(sigmas[0] ** 2 - (alphas[0] * sigmas[1] / alphas[1]) ** 2)
    clean = (alphas[1], sigmas[1], 0)
    noisy = (alphas[0], alphas[0] * sigmas[1] / alphas[1], b)
    zeta: list[Any] = [(x - of_noisy * y - d) / nu for x, y, d in zip(clean, noisy, (of_data, 0, 0), strict=True)]
    square = (sympy.exp(2 * H) - 1) / tau[0] ** 2
    forward = 1 + square * c * tau[0] ** 2 / (c + tau[0] ** 2)
    coth = (1 + sympy.exp(-2 * H)) / grown
    independent = coth * (1 + (sympy.exp(2 * H) - 1) * c / (c + tau[0] ** 2))
    return prove(
        "Noise maps of a forward path",
        r"z = \frac{x_t - \mu(x_s)}{\sigma_t \sqrt{1 - e^{-2h}}} = \zeta + \kappa\, (x_0 - D(x_s)), \ \kappa = "
        r"\frac{\sqrt{e^{2h} - 1}}{\tau_s}, \ \zeta \sim N(0, 1) \text{ independent of } (x_0, x_s): \qquad "
        r"\operatorname{E}[z \mid x_s] = 0, \ \operatorname{Cov}[z \mid x_s] = 1 + \kappa^2 \operatorname{Cov}[x_0 "
        r"\mid x_s] \to 1; \quad N(0, c): \ \operatorname{Var} z = 1 + (e^{2h} - 1) \frac{c}{c + \tau_s^2}, \text{ "
        r"and } \coth h \text{ times that for states noised independently}",
        (
            sympy.simplify(zeta[0]),
            sympy.simplify(sympy.Add(*(w**2 for w in zeta)) - 1),
            sympy.simplify(sympy.Add(*(w * v for w, v in zip(zeta[1:], noisy[1:], strict=True)))),
            sympy.simplify((of_data / nu) ** 2 - square),
            sympy.simplify(independent - coth * forward),
            sympy.limit(square, H, 0),
        ),
        "any law; noisier states tell no more of (x_t, x_0) than x_s does, so maps of one path are uncorrelated; Wu & "
        "De la Torre 2023, Huberman-Spiegelglas et al. 2024",
    )


CHAPTER: Chapter = (
    edict,
    edict_interval,
    mccallum_foster,
    coupled_orders,
    reversible_heun,
    renoise,
    round_trips,
    edit_friendly,
    forward_maps,
)
