"""Stochastic samplers, continued. ER-SDE solvers: noise by a free function of the noise ratio (Cui et al. 2023).

In ``l = sigma / alpha`` and ``X = x / alpha`` the sampler keeps ``r = phi(l_t) / phi(l_s)`` of ``X``; its noise per
log-SNR is ``kappa = d log phi / d log l - 1``, so ``phi = l`` is the flow and ``phi = l^2`` the reverse SDE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import sympy
from sympy.integrals.risch import NonElementaryIntegral, risch_integrate

from diffnum.num import exp
from diffnum.series import h_series

from .adams import closed
from .generator import PHI, Piece, formula
from .ito import CASES, RATE, H
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "PIECES", "power_weights"]

L, POWER = sympy.symbols("l p", positive=True)
SOURCE = "Cui et al. 2023 and its code"


def power_weights() -> tuple[Any, ...]:
    """Weights of ``D``, ``l_t D'``, ``l_t^2 D''`` for ``phi = l^(1 + rate)``, derivatives in ``l`` at ``l_s``."""
    whole = (1 + RATE) * H
    first = H * PHI(1, -RATE * H) - H * PHI(1, H)
    second = (H * PHI(1, H)) ** 2 / 2 + H * PHI(1, (1 - RATE) * H) - PHI(0, H) * H * PHI(1, -RATE * H)
    return whole * PHI(1, -whole), first, second


def weights_piece() -> Piece:
    """The weights against moments of the kernel, integrated term by term."""

    def check(module: Any) -> Iterator[Any]:
        h = h_series(9)
        for rate in CASES:
            for k, found in enumerate(module.er_sde_power(h, rate)):
                # (1 + rate) int_0^h e^{-(1 + rate)(h - q)} (u - e^h)^k / k! dq with u = e^{h - q}
                terms = ((-1) ** (k - j) * _choose(k, j) * exp((k - j) * h) * _kernel(h, rate, j) for j in range(k + 1))
                yield found - sum(terms, 0 * h) / (1, 1, 2)[k]

    says = (
        "``w`` of ``x_t = (alpha_t/alpha_s) (1 - w_0) x + alpha_t (w_0 D + w_1 l_t D' + w_2 l_t^2 D'') + noise``:\n\n"
        "    ``phi(l_t) int_{l_t}^{l_s} phi'/phi^2 (u - l_s)^k / k! du / l_t^k`` for ``phi = l^(1 + rate)``."
    )
    return formula("er_sde_power", (H, RATE), power_weights(), says, "theory.er_sde.power_weights", check)


def _choose(n: int, k: int) -> int:
    return int(sympy.binomial(n, k))


def _kernel(h: Any, rate: Fraction, j: int) -> Any:
    """``(1 + rate) int_0^h e^{-(1 + rate) r} e^{j r} dr`` by its power series in ``h``."""
    a = j - 1 - rate
    total, term = 0 * h, h * 1
    for n in range(1, h.end):
        total = total + term
        term = term * h * a / (n + 1)
    return total * (1 + rate)


PIECES: tuple[Callable[[], Piece], ...] = (weights_piece,)


def noise() -> Statement:
    """The sampler as a member of the family: what it keeps, and its variance."""
    function = sympy.Function("phi", positive=True)
    s, t = sympy.symbols("l_s l_t", positive=True)
    rate = L * function(L).diff(L) / function(L) - 1
    kept = function(t) * s / (function(s) * t)  # e^{-int kappa dlam}
    return prove(
        "ER-SDE is the family with kappa = d log phi / d log l - 1",
        r"\frac{d}{dl} \log\frac{\phi}{l} = \frac{\kappa}{l}, \quad e^{-\int \kappa\, d\lambda} = \frac{\phi(l_t)\, "
        r"l_s}"
        r"{\phi(l_s)\, l_t}: \qquad l_t^2 \bigl(1 - e^{-2 \int \kappa\, d\lambda}\bigr) = l_t^2 - l_s^2 "
        r"\frac{\phi(l_t)^2}{\phi(l_s)^2}",
        (
            sympy.log(function(L) / L).diff(L) - rate / L,
            t**2 * (1 - kept**2) - (t**2 - s**2 * function(t) ** 2 / function(s) ** 2),
            *(
                rate.subs(function(L), L**p).doit() - (p - 1)
                for p in (1, 2, sympy.Rational(3, 2), sympy.Rational(5, 2))
            ),
        ),
        SOURCE,
    )


def weights_of_derivatives() -> Statement:
    """Integration by parts: both sides vanish at ``l_t = l_s`` and have one derivative in ``l_t``."""
    function = sympy.Function("phi", positive=True)
    s, v = sympy.symbols("l_s v", positive=True)
    residual: list[Any] = []
    for k in (1, 2, 3):
        power = (v - s) ** k / sympy.factorial(k)
        exact = -function(v).diff(v) / function(v) ** 2 * power
        boundary = power / function(v)
        integral = -((v - s) ** (k - 1)) / sympy.factorial(k - 1) / function(v)
        residual += [boundary.diff(v) + integral - exact, boundary.subs(v, s)]
    return prove(
        "Weights of derivatives of D in ER-SDE",
        r"\phi(l_t) \int_{l_t}^{l_s} \frac{\phi'}{\phi^2} \frac{(u - l_s)^k}{k!} du = \frac{(l_t - l_s)^k}{k!} + "
        r"\phi(l_t) "
        r"\int_{l_t}^{l_s} \frac{(u - l_s)^{k - 1}}{(k - 1)!\, \phi} du",
        residual,
        SOURCE,
    )


def powers() -> Statement:
    """Where ``phi`` is a power the integrals are elementary; in log-SNR they are phi functions of ``h``."""
    t, u = sympy.symbols("l_t u", positive=True)
    s = t * sympy.exp(H)
    residual = []
    for rate in (sympy.Rational(1, 2), sympy.Rational(3, 2), sympy.Integer(1), sympy.Integer(0)):
        scale = (t / u) ** (1 + rate)
        first = (t - s) + sympy.integrate(scale, (u, t, s))
        second = (t - s) ** 2 / 2 + sympy.integrate(sympy.expand(scale * (u - s)), (u, t, s))
        for found, w, k in zip((first, second), power_weights()[1:], (1, 2), strict=True):
            by_limit = closed(w.subs(RATE, rate).replace(PHI, lambda n, z: sympy.Integer(1) if z == 0 else PHI(n, z)))
            residual.append(sympy.simplify(sympy.expand_log(found / t**k - by_limit, force=True)))
    return prove(
        "ER-SDE with powers: all weights in phi functions",
        r"\phi = l^{1 + \kappa}: \quad w_1 = h \varphi_1(-\kappa h) - h \varphi_1(h), \quad w_2 = \tfrac12 \bigl(h "
        r"\varphi_1(h)\bigr)^2 + h \varphi_1((1 - \kappa) h) - e^h h \varphi_1(-\kappa h)",
        residual,
        "diffnum.solvers.generated.er_sde_power, kappa = 0, 1/2, 1, 3/2: phi_1, phi_4, phi_2, phi_5 of the paper",
    )


def published_functions() -> Statement:
    """The rates of the published functions that are no powers, and where one of them is negative."""
    ten = sympy.Integer(10)
    grown = sympy.exp(L**POWER / POWER)
    three = (sympy.Rational(3, 10), sympy.exp(L ** sympy.Rational(3, 10)))
    inside = 1 + 100 * L ** sympy.Rational(3, 2)
    functions = (
        (L * (grown + ten), L**POWER * grown / (grown + ten)),
        (L * (three[1] + ten), three[0] * L ** three[0] * three[1] / (three[1] + ten)),
        (
            L ** sympy.Rational(9, 10) * sympy.log(inside) / sympy.log(10),
            150 * L ** sympy.Rational(3, 2) / inside / sympy.log(inside) - sympy.Rational(1, 10),
        ),
    )
    residual = [sympy.simplify(L * f.diff(L) / f - 1 - rate) for f, rate in functions]
    far = (sympy.exp(16) - 1) / 100  # l^(3/2) where log(1 + 100 l^(3/2)) = 16
    value = functions[2][1].subs(L, far ** sympy.Rational(2, 3))
    residual.append(sympy.simplify(value + sympy.Rational(1, 160) + sympy.Rational(3, 32) * sympy.exp(-16)))
    return prove(
        "Rates of the published noise scale functions, one of which is negative far out",
        r"l (e^{l^p / p} + 10): \ \kappa = \frac{l^p e^{l^p/p}}{e^{l^p/p} + 10}; \quad l (e^{l^{0.3}} + 10): \ \kappa "
        r"= "
        r"\frac{0.3\, l^{0.3} e^{l^{0.3}}}{e^{l^{0.3}} + 10}; \quad l^{0.9} \log_{10}(1 + 100 l^{1.5}): \ \kappa = "
        r"\frac{150\, l^{1.5}}{(1 + 100 l^{1.5}) \log(1 + 100 l^{1.5})} - \frac{1}{10}, \ -\tfrac{1}{160} - "
        r"\tfrac{3}{32} e^{-16} < 0 \text{ at } 100\, l^{1.5} = e^{16} - 1",
        residual,
        SOURCE + "; there the variance of the last is negative, beyond l of about a thousand",
    )


def not_elementary() -> Statement:
    """The integral of the default: with ``y = u^0.3`` Risch's algorithm finds that it has no elementary form."""
    u, y = sympy.symbols("u y", positive=True)
    function = u * (sympy.exp(u ** sympy.Rational(3, 10)) + 10)
    third = sympy.Rational(10, 3)
    substituted = (1 / function).subs(u, y**third) * sympy.diff(y**third, y)
    integrand = 1 / (y * (sympy.exp(y) + 10))
    found = risch_integrate(integrand, y)
    return prove(
        "The integrals of ER-SDE's default are not elementary",
        r"\int \frac{du}{u (e^{u^{0.3}} + 10)} = \frac{10}{3} \int \frac{dy}{y (e^y + 10)}, \qquad y = u^{0.3}",
        (
            sympy.expand(sympy.powdenest(substituted / integrand, force=True)) - third,
            sympy.Integer(0 if isinstance(found, NonElementaryIntegral) else 1),
        ),
        SOURCE + "; the code takes a Riemann sum of 100 points",
    )


CHAPTER: Chapter = (noise, weights_of_derivatives, powers, published_functions, not_elementary)
