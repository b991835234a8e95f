"""Iterations in parallel. What a round adds: one more term of the product of the steps, and no more than one.

A sampler that multiplies by ``1 + c_j`` in step ``j`` has ``x_j = (1 + c_0) ... (1 + c_{j-1}) x_0``. Expanded, that
is the sum of the elementary symmetric polynomials ``e_i(c_0, ..., c_{j-1})``, and Picard iteration on sums of
increments, from copies of ``x_0``, has them up to ``i = k`` after ``k`` rounds: the discrete form of the exponential
series. Parareal has the terms of ``(gamma_0 + d_0) ... (gamma_{j-1} + d_{j-1})`` with at most ``k`` factors ``d``,
what the coarse step misses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import sympy

from diffnum.grid import custom
from diffnum.parallel.triangular import Sweep, Triangle, by_increments, by_substitution
from diffnum.process import EDM
from diffnum.solvers import ALL
from diffnum.trace import compile

from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "symmetric"]

# ratios and coefficients of these levels are exact in floats
SIGMAS = (32.0, 16.0, 4.0, 2.0, 0.25)


def symmetric(i: int, values: Sequence[Any]) -> Any:
    """The elementary symmetric polynomial ``e_i``."""
    return sum((sympy.prod(chosen) for chosen in combinations(values, i)), sympy.Integer(0))


def rounds(sweep: Sweep, gains: Sequence[Any], x: Any) -> list[list[Any]]:
    """Inputs of the model after ``0, 1, ...`` rounds of the code on DDIM, with ``gains[j] u`` for evaluation ``j``."""
    plan = compile(ALL["ddim"], custom(EDM(), sigmas=SIGMAS))

    def lin(terms: Sequence[tuple[Any, Any]]) -> Any:
        return sympy.expand(sum(sympy.Rational(c) * value for c, value in terms))

    triangle = Triangle(plan, lin, lambda line: None)
    inputs = [[x] * plan.nfe]
    for _ in range(plan.nfe):
        predictions = [g * u for g, u in zip(gains, inputs[-1], strict=True)]
        inputs.append([x, *sweep(triangle, triangle.start(x), 0, predictions, inputs[-1]).inputs])
    return inputs


def increments() -> Statement:
    """ParaDiGMS on a linear model."""
    n = len(SIGMAS) - 1
    gains, x = sympy.symbols(f"g0:{n}"), sympy.Symbol("x")
    factors = [
        (1 - sympy.Rational(t) / sympy.Rational(s)) * (g - 1) for g, (s, t) in zip(gains, pairwise(SIGMAS), strict=True)
    ]
    residual = [
        u - x * sum(symmetric(i, factors[:j]) for i in range(k + 1))
        for k, inputs in enumerate(rounds(by_increments, gains, x))
        for j, u in enumerate(inputs)
    ]
    return prove(
        "Picard iteration on increments has the product of the steps up to terms of degree k",
        r"x_j^{(k)} = \sum_{i \le k} e_i(c_0, \dots, c_{j-1})\, x_0, \qquad x_{j+1} = (1 + c_j)\, x_j",
        residual,
        "diffnum.parallel.triangular.by_increments; Shih et al. 2023, algorithm 1",
    )


def substitution() -> Statement:
    """Picard iteration of the plan's lines: its guess is not in the expansion, so the error is."""
    n = len(SIGMAS) - 1
    gains, x = sympy.symbols(f"g0:{n}"), sympy.Symbol("x")
    ratio = [sympy.Rational(t) / sympy.Rational(s) for s, t in pairwise(SIGMAS)]

    def entry(j: int, i: int) -> Any:
        return sympy.prod(ratio[i + 1 : j]) * (1 - ratio[i]) * gains[i] if 0 < i < j else 0

    matrix = sympy.Matrix(n, n, entry)
    found = rounds(by_substitution, gains, x)
    truth = sympy.Matrix(found[-1])
    error = sympy.Matrix(found[0]) - truth
    residual: list[Any] = []
    for inputs in found:
        residual += list(sympy.Matrix(inputs) - truth - error)
        error = matrix * error
    power = matrix ** (n - 1)
    return prove(
        "Picard iteration of a plan multiplies the error by a nilpotent matrix",
        r"e^{(k)} = L^k e^{(0)}, \qquad L_{ji} = \frac{\sigma_j}{\sigma_{i+1}}"
        r" \left(1 - \frac{\sigma_{i+1}}{\sigma_i}\right) g_i, \quad 0 < i < j, \qquad L^{n-1} = 0",
        [*residual, *power],
        "diffnum.parallel.triangular.by_substitution; DDIM at alpha = 1",
    )


def chains() -> Statement:
    """The bound of Picard and Lindelöf, discrete."""
    values = sympy.symbols("l1:6", positive=True)
    residual = []
    for k in range(1, 6):
        whole = sympy.Poly(sum(values) ** k, *values)
        distinct = sum(c * sympy.prod(v**p for v, p in zip(values, powers, strict=True))
                       for powers, c in whole.terms() if max(powers) == 1)  # fmt: skip
        residual.append(distinct - math.factorial(k) * symmetric(k, values))
        # all that is left has positive coefficients
        residual += [sympy.Integer(0) if c > 0 else sympy.Integer(1) for c in whole.coeffs()]
    return prove(
        "Chains of k columns are at most the k-th term of the exponential series",
        r"e_k(\ell_1, \dots, \ell_n) \le \frac{(\ell_1 + \dots + \ell_n)^k}{k!}",
        residual,
        "diffnum.parallel.theory.chain_bounds; terms with distinct factors of the power, all others being positive",
    )


def parareal() -> Statement:
    """Parareal on a linear model."""
    n, t = 4, sympy.Symbol("t")
    gamma, missed = sympy.symbols(f"gamma0:{n}"), sympy.symbols(f"d0:{n}")
    coarse = [sympy.prod(gamma[:j]) for j in range(n + 1)]
    residual, states = [], coarse
    for k in range(n + 1):
        for j, state in enumerate(states):
            whole = sympy.Poly(sympy.prod(g + t * d for g, d in zip(gamma[:j], missed[:j], strict=True)), t)
            residual.append(state - sum(whole.coeff_monomial(t**i) for i in range(k + 1)))
        new: list[Any] = [sympy.Integer(1)]
        for j in range(n):
            # F - G of the old state, G of the new
            new.append(sympy.expand((gamma[j] + missed[j]) * states[j] + gamma[j] * (new[-1] - states[j])))
        states = new
    return prove(
        "Parareal has the product of the fine steps up to k factors that the coarse ones miss",
        r"U_j^{(k)} = \sum_{i \le k} [t^i] \prod_{m < j} (\gamma_m + t\, d_m), \qquad d_m = \varphi_m - \gamma_m",
        residual,
        "diffnum.parallel.parareal; for equal steps the binomial sum behind Gander & Vandewalle 2007, theorem 4.9",
    )


def autoregressive() -> Statement:
    """Jacobi iteration of ``x_t = z_t exp(s(x_<t)) + u(x_<t)``, for any ``s`` and ``u``."""
    n = 4
    z, start = sympy.symbols(f"z0:{n}"), sympy.symbols(f"y0:{n}")
    s, u = ([sympy.Function(f"{name}{t}") for t in range(n)] for name in "su")

    def token(t: int, before: Sequence[Any]) -> Any:
        # the first token has nothing before it, and is its latent
        return z[t] * sympy.exp(s[t](*before[:t])) + u[t](*before[:t]) if t else z[0]

    truth: list[Any] = []
    for t in range(n):
        truth.append(token(t, truth))
    residual, x = [], list(start)
    for k in range(1, n + 1):
        x = [token(t, x) for t in range(n)]
        residual += [one - other for one, other in zip(x[:k], truth, strict=False)]
    scale, latent, shift = sympy.symbols("s z u")
    value = latent * sympy.exp(scale) + shift
    residual.append(sympy.diff(value, scale) - (value - shift))
    return prove(
        "Jacobi iteration of an affine autoregressive flow has k tokens exact after k rounds",
        r"x_t^{(k)} = x_t \ (t < k), \qquad \frac{\partial}{\partial s} (z\, e^{s} + u) = x - u",
        residual,
        "diffnum.parallel.gs_jacobi, jacobian_ranking; the authors' code has x e^{-s} in its place, Liu & Qin 2025",
    )


CHAPTER: Chapter = (increments, substitution, chains, parareal, autoregressive)
