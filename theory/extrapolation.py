"""Extrapolated predictions (Sun et al. 2025, UCGM-S): how far to extrapolate for order two.

With data and noise each replaced by ``q + kappa (q - q_)`` the step ``alpha_t D + sigma_t eps`` is, in
``y = x / alpha`` and ``rho = sigma / alpha``, the linear multistep method

    y_t = (1 + kappa) y - kappa y_ + (1 + kappa) (rho_t - rho) eps - kappa (rho_t - rho_) eps_

with spurious root ``kappa``. On the unit step, the last point at ``c_1 < 0``, it is exact for ``y = rho^2 / 2`` where

    kappa = 1 / (c_1^2 - 2 c_1) = r^2 / (1 + 2 r),    r = -1 / c_1 the ratio of the steps:

one third on equal steps, not the half of a single extrapolated slope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import sympy

from .adams import random_nodes
from .generator import Piece, formula
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "PIECES", "share"]

C1, KAPPA, R = sympy.symbols("c1 kappa r")
SOURCE = "Sun et al. 2025; reference code, uni_sample"


def residual(kappa: Any, c1: Any, power: int) -> Any:
    """What the step makes of ``y = rho^power`` on the unit step from 0, less what it should."""
    now, before = (1, 1) if power == 1 else (0, power * c1 ** (power - 1))
    return -kappa * c1**power + (1 + kappa) * now - kappa * (1 - c1) * before - 1


def share() -> Any:
    """``kappa`` from the condition of order two, linear in it."""
    (found,) = sympy.solve(residual(KAPPA, C1, 2), KAPPA)
    return sympy.factor(found)


def piece() -> Piece:
    """The generated function."""

    def check(module: Any) -> Iterator[Any]:
        random = Random(2)
        for _ in range(3):
            (c1,) = random_nodes(random, 1)
            (kappa,) = module.extrapolation_2(c1)
            yield from (residual(kappa, c1, power) for power in (1, 2))

    says = (
        "Share by which data and noise, extrapolated over (0, c1), give order two: exact for ``y = rho`` and "
        "``y = rho^2``."
    )
    return formula("extrapolation_2", (C1,), (share(),), says, "theory.extrapolation.share", check)


PIECES: tuple[Callable[[], Piece], ...] = (piece,)


def order_two() -> Statement:
    """The share in terms of the ratio of steps; of order one for any, of order two for this one only."""
    return prove(
        "Extrapolated data and noise have order two for one share",
        r"\kappa = \frac{r^2}{1 + 2 r}, \qquad \kappa(1) = \tfrac13",
        (
            residual(KAPPA, C1, 1),
            share().subs(C1, -1 / R) - R**2 / (1 + 2 * R),
            share().subs(C1, -1) - sympy.Rational(1, 3),
        ),
        f"diffnum.solvers.generated: extrapolation_2; {SOURCE}",
    )


def the_step() -> Statement:
    """The published step is that multistep method, with ``x`` as it is where data and noise belong to it."""
    alpha, sigma = sympy.symbols("alpha0:3", positive=True), sympy.symbols("sigma0:3", positive=True)
    D, e = sympy.symbols("D0:2"), sympy.symbols("e0:2")
    x = [alpha[i] * D[i] + sigma[i] * e[i] for i in (0, 1)]
    published = alpha[2] * (D[1] + KAPPA * (D[1] - D[0])) + sigma[2] * (e[1] + KAPPA * (e[1] - e[0]))
    rho: Sequence[Any] = [s / a for s, a in zip(sigma, alpha, strict=True)]
    y = [x[i] / alpha[i] for i in (0, 1)]
    multistep = (1 + KAPPA) * y[1] - KAPPA * y[0] + (1 + KAPPA) * (rho[2] - rho[1]) * e[1]
    multistep -= KAPPA * (rho[2] - rho[0]) * e[0]
    return prove(
        "Extrapolating data and noise is a linear multistep method with spurious root kappa",
        r"\alpha_t \tilde D + \sigma_t \tilde\varepsilon = \alpha_t \bigl( (1 + \kappa) y - \kappa y_- "
        r"+ (1 + \kappa)(\rho_t - \rho)\varepsilon - \kappa (\rho_t - \rho_-)\varepsilon_- \bigr)",
        published - alpha[2] * multistep,
        f"diffnum.solvers.extrapolated: ucgm, ucgm_2; {SOURCE}",
    )


CHAPTER: Chapter = (order_two, the_step)
