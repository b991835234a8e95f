"""Gradients and likelihoods of the flow. Why an adjoint, scaled, is one more state of a diffusion sampler.

The probability-flow ODE in any clock is ``x' = f x + g eps`` with ``f = alpha' / alpha`` and ``g = sigma' - f sigma``,
and with another prediction ``n`` it is ``x' = (f + a g) x + b g n`` where ``eps = a x + b n``. A quantity is integrated
by a sampler as ``x`` is, if it solves that equation with ``n`` replaced by what stands for its prediction. The adjoint
``dL/dx``, the gradient of a parameter and the log-density do, each times a power of one scale ``w``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy

from diffnum.gradients.adjoint import reading, scale
from diffnum.plan import PREDICTIONS, Level

from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER"]

C = sympy.Symbol("c")
ALPHA, SIGMA = (sympy.Function(name, positive=True)(C) for name in ("alpha", "sigma"))
F = sympy.diff(ALPHA, C) / ALPHA
G = sympy.diff(SIGMA, C) - F * SIGMA
LEVEL = Level(C, ALPHA, SIGMA, lam=sympy.log(ALPHA / SIGMA))


def _cases() -> Iterator[tuple[Any, Any, Any]]:
    """``w`` of the code, and ``a g`` and ``b g``, for the variables of every prediction."""
    for variables in PREDICTIONS:
        p, q = reading(LEVEL, "noise", variables)
        yield scale(LEVEL, variables), -p / q * G, G / q


def scale_of_the_adjoint() -> Statement:
    """The scale of the code solves the equation that the next statements need, on any process."""
    residuals = [sympy.simplify(sympy.diff(w, C) / w - 2 * (F + own)) for w, own, _ in _cases()]
    return prove(
        "The scale of an adjoint, for every prediction",
        r"\frac{w'}{w} = 2 (f + a g), \quad \epsilon = a x + b n: \qquad w = \alpha^2 \text{ (noise, score)}, \ "
        r"\sigma^2 \text{ (data)}, \ \alpha^2 + \sigma^2 \ (v = \alpha \epsilon - \sigma x_0)",
        residuals,
        "diffnum.gradients.scale; noise: Pan et al. 2024",
    )


def adjoint_is_a_state() -> Statement:
    """``w dL/dx``, ``sqrt(w)`` times a parameter's gradient and ``sqrt(w)`` times the log-density in scaled ``x``."""
    adjoint, gathered, density = (sympy.Function(name)(C) for name in ("lambda", "gamma", "ell"))
    slope, turn = sympy.Function("k")(C), sympy.Function("q")(C)
    residuals: list[Any] = []
    for w, own, gain in _cases():
        rate = F + own + gain * slope
        known: dict[Any, Any] = {
            sympy.diff(adjoint, C): -rate * adjoint,
            sympy.diff(gathered, C): -gain * turn * adjoint,
            # of the density of x, one-dimensional
            sympy.diff(density, C): -rate,
        }
        root = sympy.sqrt(w)
        scaled = density + sympy.log(w) / 2
        states = (
            (w * adjoint, -slope * w * adjoint),
            (root * gathered, -turn * root * adjoint),
            (root * scaled, -root * slope),
        )
        for state, prediction in states:
            moved = sympy.diff(state, C).subs(known) - (F + own) * state - gain * prediction
            residuals.append(sympy.simplify(sympy.expand(moved)))
    return prove(
        "An adjoint, a parameter's gradient and a log-density are states of the flow",
        r"z' = (f + a g) z + b g\, n_z: \qquad (z, n_z) = (x, n), \ \bigl(w \lambda, -n_x^T w \lambda\bigr), \ "
        r"\Bigl(\sqrt w\, \gamma, -n_\theta^T \sqrt w\, \lambda\Bigr), \ "
        r"\Bigl(\sqrt w\, \bigl(\log p + \tfrac d2 \log w\bigr), -\sqrt w \operatorname{tr} n_x\Bigr), \quad "
        r"\lambda = \frac{\partial L}{\partial x}",
        residuals,
        "diffnum.gradients.adjoint, diffnum.likelihood.log_prob; Chen et al. 2018, eq. 4, 5 and 8",
    )


def drift_of_a_round_trip() -> Statement:
    """A step there and one back of a one-step method: of even order the leading errors cancel."""
    z, first, second = sympy.symbols("z C D")
    residuals: list[Any] = []
    for p in (1, 2, 3, 4):
        step = sympy.series(sympy.exp(z), z, 0, p + 3).removeO() - first * z ** (p + 1) - second * z ** (p + 2)
        trip = sympy.expand(step * step.subs(z, -z) - 1)
        residuals += [trip.coeff(z, k) for k in range(p + 1)]
        even = p % 2 == 0
        residuals.append(trip.coeff(z, p + 1) - (0 if even else -2 * first))
        residuals.append(trip.coeff(z, p + 2) - (2 * (first - second) if even else 0))
    return prove(
        "The start found again drifts with one order more where the order is even",
        r"R(z) = e^z - C z^{p+1} - D z^{p+2}: \qquad R(z) R(-z) - 1 = -2 C z^{p+1} + O(z^{p+3}) \ "
        r"(p \text{ odd}), \quad 2 (C - D) z^{p+2} + O(z^{p+3}) \ (p \text{ even})",
        residuals,
        "diffnum.gradients.adjoint: returned",
    )


CHAPTER: Chapter = (scale_of_the_adjoint, adjoint_is_a_state, drift_of_a_round_trip)
