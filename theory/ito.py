"""Stochastic samplers, the Gaussians that they draw: variances, covariances and their factors.

With noise of ``rate`` per log-SNR (``tau^2`` of SA-Solver, ``eta`` of k-diffusion's multistep samplers; 0 is the
probability flow, 1 the reverse SDE) the SDEs with the right marginals are, in ``u = x / sigma`` and ``v = x / alpha``,

    du = (-rate u + (1 + rate) e^lam D) dlam + sqrt(2 rate) dW          (data)
    dv = -(1 + rate) e^-lam eps dlam + sqrt(2 rate) e^-lam dW           (noise)

so over one step the noise is a Gaussian that is known before the model is called. At several nodes of a step the
Gaussians are jointly normal; a sampler that draws them independently has another law. ``C = L E L^T`` with unit lower
triangular ``L``: draws ``z_i`` of unit variance make ``N_i = sum_j L_ij sqrt(E_j) z_j``. Square roots are left to the
sampler, and so is the arithmetic: with floats these functions run through :func:`diffnum.num.extended`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import sympy

from diffnum.num import exp, phi
from diffnum.series import Series, h_series

from .adams import closed
from .generator import PHI, Piece, formula
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "PIECES", "covariance", "data_factor", "noise_factor"]

H, RATE, S, Z, Y = sympy.symbols("h rate s z y", positive=True)
NODES = sympy.symbols("c1 c2", positive=True)
CASES = tuple(Fraction(*f) for f in ((1, 1), (3, 5), (5, 2)))
Factor = tuple[tuple[Any, ...], tuple[tuple[Any, ...], ...]]


def _grown(rate: Any) -> Any:
    """``1 - e^-rate`` by a phi function."""
    return rate * PHI(1, -rate)


def data_step() -> tuple[Any, ...]:
    """What one first-order step in data keeps, gains and adds."""
    both = (1 + RATE) * H
    return PHI(0, -RATE * H), both * PHI(1, -both), _grown(2 * RATE * H)


def noise_step() -> tuple[Any, ...]:
    """What one first-order step in noise loses and adds."""
    return (1 + RATE) * H * PHI(1, H), 2 * RATE * H * PHI(1, 2 * H)


def data_factor(nodes: Sequence[Any]) -> Factor:
    """In data the noise between two nodes decays by ``e^{-rate (c' - c) h}``: a Markov chain, whose factor is plain."""
    ends = [*nodes, sympy.Integer(1)]
    pivots = [_grown(2 * RATE * (c - b) * H) for b, c in zip([0, *nodes], ends, strict=True)]
    rows = [[PHI(0, -RATE * (c - b) * H) for b in ends[:i]] for i, c in enumerate(ends)]
    return tuple(pivots), tuple(tuple(row) for row in rows[1:])


def noise_factor(nodes: Sequence[Any]) -> Factor:
    """In noise, in units of ``sigma`` at each node: increments are independent, units fall by ``e^{-(c' - c) h}``."""
    ends = [*nodes, sympy.Integer(1)]
    pivots = [2 * RATE * (c - b) * H * PHI(1, 2 * (c - b) * H) for b, c in zip([0, *nodes], ends, strict=True)]
    rows = [[PHI(0, (c - b) * H) for b in ends[:i]] for i, c in enumerate(ends)]
    return tuple(pivots), tuple(tuple(row) for row in rows[1:])


def covariance(form: str, a: Any, b: Any) -> Any:
    """Of the noise at nodes ``a <= b`` in units of ``sigma`` there, from Ito's isometry, integrated by hand."""
    if form == "data":
        return sympy.exp(-RATE * (b - a) * H) - sympy.exp(-RATE * (a + b) * H)
    return RATE * (sympy.exp((a + b) * H) - sympy.exp((b - a) * H))


def pair() -> tuple[Any, ...]:
    """``J_0 = int_0^1 e^{(1-s) z} dW_s`` and ``J_1 = int_0^1 (1-s) e^{(1-s) z} dW_s``, the latter the noise in
    ``int_0^1 e^{(1-s) z} N_s ds`` with ``N_s = int_0^s e^{(s-r) z} dW_r``."""
    first, second, third = (sympy.factorial(k) * PHI(0, 2 * Z) * PHI(k + 1, -2 * Z) for k in range(3))
    return _factor_of_two(first, second, third)


def two_kernels() -> tuple[Any, ...]:
    """``int_0^1 e^{(1-s) y} dW_s`` and ``int_0^1 e^{(1-s) z} dW_s``, from the same path."""
    return _factor_of_two(PHI(1, 2 * Y), PHI(1, Y + Z), PHI(1, 2 * Z))


def _factor_of_two(first: Any, both: Any, second: Any) -> Factor:
    return (first, (first * second - both**2) / first), ((both / first,),)


# --- pieces ---


def _product(factor: Factor) -> Iterator[tuple[int, int, Any]]:
    """Entries ``(i, j, C_ij)``, ``i <= j``, of ``L E L^T``."""
    pivots, below = factor
    rows = [(*row, 1) for row in ((), *below)]
    for i, a in enumerate(rows):
        for j in range(i, len(rows)):
            yield i, j, sum(a[k] * rows[j][k] * pivots[k] for k in range(i + 1))


def _known(form: str, rate: Any, a: Any, b: Any, h: Series) -> Any:
    if form == "data":
        return exp(-rate * (b - a) * h) - exp(-rate * (a + b) * h)
    return rate * (exp((a + b) * h) - exp((b - a) * h))


def step(form: str) -> Piece:
    """One first-order step."""
    name = f"sde_step_{form}"

    def check(module: Any) -> Iterator[Any]:
        h = h_series(9)
        for rate in CASES:
            found = getattr(module, name)(h, rate)
            if form == "data":
                yield found[0] - exp(-rate * h)
                yield found[1] - 1 + exp(-(1 + rate) * h)
            else:
                yield found[0] - (1 + rate) * (exp(h) - 1)
            yield found[-1] - _known(form, rate, 1, 1, h)

    if form == "data":
        says = (
            "``(keep, gain, variance)`` of ``x_t = (sigma_t/sigma_s) keep x + alpha_t gain D + sigma_t sqrt(variance) "
            "z``:\n\n    ``e^{-rate h}``, ``1 - e^{-(1 + rate) h}``, ``1 - e^{-2 rate h}``."
        )
        return formula(name, (H, RATE), data_step(), says, "theory.ito.data_step", check)
    says = (
        "``(gain, variance)`` of ``x_t = (alpha_t/alpha_s) x - sigma_t gain eps + sigma_t sqrt(variance) z``:\n\n"
        "    ``(1 + rate) (e^h - 1)``, ``rate (e^{2h} - 1)``."
    )
    return formula(name, (H, RATE), noise_step(), says, "theory.ito.noise_step", check)


def joint(form: str, count: int) -> Piece:
    """The factor of the noise at ``count`` nodes, the last of them the end of the step."""
    name, inner = f"sde_noise_{form}_{count}", NODES[: count - 1]
    factor = data_factor(inner) if form == "data" else noise_factor(inner)

    def check(module: Any) -> Iterator[Any]:
        h = h_series(9)
        for rate, node in zip(CASES, (Fraction(1, 2), Fraction(1, 3), Fraction(3, 4)), strict=True):
            ends = [node, Fraction(7, 8)][: count - 1]
            for i, j, found in _product(getattr(module, name)(h, *ends, rate)):
                yield found - _known(form, rate, [*ends, 1][i], [*ends, 1][j], h)

    over = ", ".join([*(str(c) for c in inner), "1"])
    says = (
        f"``(E, rows of L)``: noise at the fractions {over} of the step, in units of ``sigma`` there, is ``L sqrt(E) "
        f"z``"
        f"\n\n    with fresh ``z``; ``{'c1 < c2' if count == 3 else 'c1'} < 1``, the {form} form of the sampler."
    )
    return formula(name, (H, *inner, RATE), factor, says, f"theory.ito.{form}_factor", check)


def moments_pair() -> Piece:
    """The noise of a step and its integral over the step."""

    def check(module: Any) -> Iterator[Any]:
        for rate in CASES:
            z = h_series(9, rate)
            known = {(0, 0): 0, (0, 1): 1, (1, 1): 2}
            for i, j, found in _product(module.ito_pair(z)):
                yield found - _moment(known[i, j], 2 * z)

    says = (
        "``(E, rows of L)`` of ``J_k = int_0^1 (1-s)^k e^{(1-s) z} dW_s``, ``k = 0, 1``:\n\n"
        "    ``E[J_j J_k] = int_0^1 s^{j+k} e^{2 s z} ds``; at ``z = 0`` the space-time integral of a Wiener process."
    )
    return formula("ito_pair", (Z,), pair(), says, "theory.ito.pair", check)


def _moment(power: int, y: Series) -> Series:
    """``int_0^1 s^power e^{s y} ds`` term by term."""
    total, term = y * 0 + Fraction(1, power + 1), y * 0 + 1
    for n in range(1, y.end):
        term = term * y / n
        total = total + term / (power + 1 + n)
    return total


def kernels_pair() -> Piece:
    """Two exponential kernels over one path."""

    def check(module: Any) -> Iterator[Any]:
        for a, b in ((1, 3), (Fraction(-2, 3), 1), (2, Fraction(-1, 5))):
            y, z = h_series(9, a), h_series(9, b)
            known = {(0, 0): y + y, (0, 1): y + z, (1, 1): z + z}
            for i, j, found in _product(module.ito_kernels(y, z)):
                yield found - _moment(0, known[i, j])

    says = (
        "``(E, rows of L)`` of ``int_0^1 e^{(1-s) y} dW_s`` and ``int_0^1 e^{(1-s) z} dW_s`` over one path:\n\n"
        "    covariances ``phi_1(2y)``, ``phi_1(y + z)``, ``phi_1(2z)``; singular at ``y = z``."
    )
    return formula("ito_kernels", (Y, Z), two_kernels(), says, "theory.ito.two_kernels", check)


PIECES: tuple[Callable[[], Piece], ...] = (
    *(partial(step, form) for form in ("data", "noise")),
    *(partial(joint, form, count) for form in ("data", "noise") for count in (2, 3)),
    moments_pair,
    kernels_pair,
)


# --- statements ---


def _isometry(form: str, a: Any, b: Any) -> Any:
    """``Cov`` in units of ``sigma`` at ``a`` and ``b``: kernels times ``2 rate`` integrated up to the earlier node."""
    r = sympy.Symbol("r", positive=True)
    if form == "data":
        kernel = sympy.exp(-RATE * (a * H - r)) * sympy.exp(-RATE * (b * H - r))
    else:
        kernel = sympy.exp(a * H - r) * sympy.exp(b * H - r)
    return sympy.integrate(sympy.expand(2 * RATE * kernel), (r, 0, a * H))


def covariances(form: str) -> Statement:
    """Noise at two nodes of one step."""
    a, b = NODES
    claim = {
        "data": r"\operatorname{Cov}(N_a, N_b) = \int_0^{a h} 2\kappa\, e^{-\kappa (a h - r)} e^{-\kappa (b h - r)} "
        r"dr = "
        r"e^{-\kappa (b - a) h} - e^{-\kappa (a + b) h}; \qquad \operatorname{Var} = 1 - e^{-2 \kappa h}",
        "noise": r"\operatorname{Cov}(N_a, N_b) = \int_0^{a h} 2\kappa\, e^{a h - r} e^{b h - r} dr = "
        r"\kappa \bigl(e^{(a + b) h} - e^{(b - a) h}\bigr); \qquad \operatorname{Var} = \kappa (e^{2 h} - 1)",
    }
    return prove(
        f"Noise at two nodes of a step, in units of sigma there, {form} form",
        claim[form],
        [_isometry(form, a, b) - covariance(form, a, b), _isometry(form, 1, 1) - covariance(form, 1, 1)],
        "Ito's isometry; Lu et al. 2022 (++); Gonzalez et al. 2023; Xue et al. 2023",
    )


def factors(form: str) -> Statement:
    """``L E L^T`` is the covariance, at three nodes."""
    ends = [*NODES, sympy.Integer(1)]
    factor = data_factor(NODES) if form == "data" else noise_factor(NODES)
    residual = [
        sympy.expand(closed(c)) - sympy.expand(covariance(form, ends[i], ends[j])) for i, j, c in _product(factor)
    ]
    chain = {
        "data": r"N_b = e^{-\kappa (b - a) h} N_a + \sqrt{1 - e^{-2\kappa (b - a) h}}\, z",
        "noise": r"N_b = e^{(b - a) h} N_a + \sqrt{\kappa (e^{2 (b - a) h} - 1)}\, z",
    }
    return prove(
        f"Noise at several nodes of a step is a Markov chain, {form} form",
        chain[form] + r", \qquad z \text{ fresh}",
        residual,
        f"diffnum.solvers.generated: sde_noise_{form}_2, sde_noise_{form}_3",
    )


def integrated_noise() -> Statement:
    """Interchange of ``ds`` and ``dW``, the moments, and the plain space-time integral."""
    r, q = sympy.symbols("r q", real=True)
    z = sympy.Symbol("z", nonzero=True)
    inner = sympy.integrate(sympy.expand(sympy.exp((1 - q) * z) * sympy.exp((q - r) * z)), (q, r, 1))
    moments = [sympy.integrate(S**k * sympy.exp(2 * S * z), (S, 0, 1)) for k in range(3)]
    phis = [sympy.factorial(k) * sympy.exp(2 * z) * phi(k + 1, -2 * z) for k in range(3)]
    pivots, ((ratio,),) = pair()
    plain = [sympy.sympify(e).replace(PHI, lambda k, _: 1 / sympy.factorial(k)) for e in (*pivots, ratio)]
    return prove(
        "The noise of a step and its integral over the step",
        r"\int_0^1 e^{(1-s) z} \int_0^s e^{(s-r) z} dW_r\, ds = \int_0^1 (1-r) e^{(1-r) z} dW_r, \qquad "
        r"\mathbb{E} J_j J_k = \int_0^1 s^{j+k} e^{2 s z} ds = (j+k)!\, e^{2z} \varphi_{j+k+1}(-2z); \qquad "
        r"z = 0: \ \tfrac12 J_0 + \sqrt{\tfrac1{12}}\, z'",
        [
            sympy.expand(inner - (1 - r) * sympy.exp((1 - r) * z)),
            *(m - p for m, p in zip(moments, phis, strict=True)),
            *(e - c for e, c in zip(plain, (1, sympy.Rational(1, 12), sympy.Rational(1, 2)), strict=True)),
        ],
        "diffnum.solvers.generated.ito_pair; Kloeden & Platen 1992, 10.4",
    )


CHAPTER: Chapter = (
    *(partial(covariances, form) for form in ("data", "noise")),
    *(partial(factors, form) for form in ("data", "noise")),
    integrated_noise,
)
