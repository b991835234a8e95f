"""Stochastic samplers. One family in log-SNR, its members in the literature, the conditions of weak order two.

The family and the Gaussians that it draws are those of :mod:`theory.ito`: noise of ``rate`` per log-SNR, written
``kappa`` in the statements. In data, the step keeps ``e^{-kappa h}`` of ``x / sigma`` and integrates the denoiser
against ``(1 + kappa) e^{-(1 + kappa)(h - r)}``, so every weight of exponential quadrature serves again, at
``z = -(1 + kappa) h``. A sampler with the right coefficients of ``x`` and ``D`` and the right variance is of weak order
one; for order two the draws that its evaluations see must have the right covariance with those of the step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import sympy

from diffnum.num import phi
from diffnum.series import Series
from diffnum.solvers.stochastic import ddim_eta
from diffnum.trace import compile
from diffnum.weak_trees import DRAW, ROOT, F, Tree, Y, derived, displacement, expectation, laplacian, show, taylor

from . import er_sde, ito
from .adams import closed, exponential_moments, rule
from .generator import Piece
from .ito import RATE, H, covariance, data_factor, data_step, noise_factor, noise_step
from .statement import Chapter, Statement, differ, prove
from .symbols import grid, log_snr_levels, normal_form

__all__ = ["CHAPTER", "PIECES", "minus", "solution"]

PIECES: tuple[Callable[[], Piece], ...] = (*ito.PIECES, *er_sde.PIECES)
LAM, S = sympy.symbols("lambda s", real=True)


# --- the family ---


def family() -> Statement:
    """From the reverse SDE in any time, with noise ``eta^2 g^2`` and ``kappa = eta^2``, to three coordinates."""
    t = sympy.Symbol("t", real=True)
    alpha, sigma = (sympy.Function(n, positive=True)(t) for n in ("alpha", "sigma"))
    x, data = sympy.symbols("x D", real=True)
    f = alpha.diff(t) / alpha
    g2 = (sigma**2).diff(t) - 2 * f * sigma**2
    speed = sympy.log(alpha / sigma).diff(t)
    drift = f * x - (1 + RATE) / 2 * g2 * (alpha * data - x) / sigma**2
    eps = (x - alpha * data) / sigma

    def moves(scale: Any, pull: Any) -> Any:
        return drift * scale + x * scale.diff(t) - speed * pull

    lift = (alpha / sigma) ** RATE / sigma
    return prove(
        "Every SDE with the right marginals in log-SNR",
        r"d\frac{x}{\sigma} = \Bigl(-\kappa \frac{x}{\sigma} + (1 + \kappa) e^{\lambda} D\Bigr) d\lambda + "
        r"\sqrt{2\kappa}\, dW, \quad d\frac{x}{\alpha} = -(1 + \kappa) e^{-\lambda} \epsilon\, d\lambda + "
        r"\sqrt{2\kappa}\, e^{-\lambda} dW, \quad d\Bigl(e^{\kappa\lambda} \frac{x}{\sigma}\Bigr) = D\, "
        r"d e^{(1 + \kappa)\lambda} + dW_\rho, \ \rho = e^{2\kappa\lambda}",
        (
            moves(1 / sigma, -RATE * x / sigma + (1 + RATE) * alpha / sigma * data),
            moves(1 / alpha, -(1 + RATE) * sigma / alpha * eps),
            moves(lift, (1 + RATE) * (alpha / sigma) ** (1 + RATE) * data),
            # variances per unit of time, which runs against log-SNR
            -RATE * g2 / sigma**2 - 2 * RATE * speed,
            -RATE * g2 / alpha**2 - 2 * RATE * (sigma / alpha) ** 2 * speed,
            -RATE * g2 * lift**2 - ((alpha / sigma) ** (2 * RATE)).diff(t),
        ),
        "Song et al. 2021, eq. 6; at kappa = 1 and rho = (alpha/sigma)^2 the coordinates of reversible SDE solvers",
    )


def weights(form: str) -> Statement:
    """The integrals of SA-Solver are exponential Adams weights at another ``z``."""
    h, z = H, sympy.Symbol("z", nonzero=True)
    if form == "data":
        # sigma_t e^{-kappa (1 - s) h} (1 + kappa) e^{lam_s + s h} h  against  alpha_t (1 + kappa) h e^{(1 - s) z}
        kernel = sympy.exp(-RATE * (1 - S) * h) * (1 + RATE) * sympy.exp(LAM + S * h) * h
        factor, at = sympy.exp(LAM + h) * (1 + RATE) * h, -(1 + RATE) * h
    else:
        kernel = (1 + RATE) * sympy.exp(-LAM - S * h) * h
        factor, at = sympy.exp(-LAM - h) * (1 + RATE) * h, h
    residual = [sympy.simplify(kernel / factor - sympy.exp((1 - S) * at))]
    for count in (1, 2, 3):
        nodes = sympy.symbols(f"c1:{count + 1}")
        for j, w in enumerate(rule(nodes, exponential_moments(count, z, phi))):
            others = [c for c in nodes if c != nodes[j]]
            lagrange = sympy.prod([S - c for c in others])
            found = sympy.integrate(sympy.expand(sympy.exp((1 - S) * z) * lagrange), (S, 0, 1))
            residual.append(sympy.cancel(w * sympy.prod([nodes[j] - c for c in others])) - found)
    claim = {
        "data": r"b_j = \sigma_t \int_{\lambda_s}^{\lambda_t} e^{-\kappa (\lambda_t - \lambda)} (1 + \kappa) e^\lambda "
        r"\ell_j\, d\lambda = \alpha_t (1 + \kappa) h\, w_j\bigl(-(1 + \kappa) h; c\bigr)",
        "noise": r"b_j = \alpha_t \int_{\lambda_s}^{\lambda_t} (1 + \kappa) e^{-\lambda} \ell_j\, d\lambda = "
        r"\sigma_t (1 + \kappa) h\, w_j(h; c)",
    }
    return prove(
        f"Weights of stochastic Adams methods are those of exponential Adams methods, {form} form",
        claim[form],
        residual,
        "SA-Solver's predictor and, with the new point among the nodes, its corrector: Xue et al. 2023",
    )


def first_order_members() -> Statement:
    """DDIM with ``eta`` is the first-order step of a rate that depends on the step; ancestral sampling has rate one."""
    process, levels, (h,) = log_snr_levels(2)
    s, t = levels
    residual = []
    for eta in (sympy.Rational(1, 3), sympy.Rational(3, 4), sympy.Integer(1)):
        row = normal_form(compile(ddim_eta.with_options(eta=eta), grid(process, levels))).rows[-1]
        rate = -sympy.log(1 - eta**2 * (1 - sympy.exp(-2 * h))) / (2 * h)
        keep, gain, variance = (closed(e).subs({H: h, RATE: rate}) for e in data_step())
        residual += [
            row["x"] - t.sigma / s.sigma * keep,
            row["D1"] - t.alpha * gain,
            row["z1"] ** 2 - t.sigma**2 * variance,
        ]
    eta = sympy.Symbol("eta", positive=True)
    rate = -sympy.log(1 - eta**2 * (1 - sympy.exp(-2 * h))) / (2 * h)
    bars = sympy.symbols("a_s a_t", positive=True)  # alpha^2 where variance is preserved
    snr = sympy.log(bars[1] * (1 - bars[0]) / bars[0] / (1 - bars[1])) / 2
    ddpm = (1 - bars[1]) / (1 - bars[0]) * (1 - bars[0] / bars[1])
    return prove(
        "DDIM with eta and DDPM are first-order steps of the family",
        r"e^{-2 \kappa h} = 1 - \eta^2 (1 - e^{-2h}): \quad x_t = \frac{\sigma_t}{\sigma_s} e^{-\kappa h} x_s + "
        r"\alpha_t "
        r"(1 - e^{-(1 + \kappa) h}) D + \sigma_t \sqrt{1 - e^{-2 \kappa h}}\, z; \qquad \eta = 1 \iff \kappa = 1; "
        r"\qquad "
        r"\frac{1 - \bar\alpha_t}{1 - \bar\alpha_s} \Bigl(1 - \frac{\bar\alpha_s}{\bar\alpha_t}\Bigr) = \sigma_t^2 "
        r"(1 - e^{-2h})",
        (
            *residual,
            sympy.expand_log(rate.subs(eta, 1) - 1, force=True),
            ddpm - (1 - bars[1]) * sympy.simplify(1 - sympy.exp(-2 * snr)),
        ),
        "diffnum.solvers.ddim_eta; Song et al. 2021 (DDIM), eq. 16; Ho et al. 2020, eq. 7",
    )


def noise_member() -> Statement:
    """SDE-DPM-Solver in noise, and that it is not its namesake in data."""
    gain, variance = (closed(e).subs(RATE, 1) for e in noise_step())
    other = closed(data_step()[2]).subs(RATE, 1)
    return differ(
        "SDE-DPM-Solver in noise draws more than SDE-DPM-Solver++ in data",
        r"2 (e^h - 1)\, \epsilon, \ \sigma_t^2 (e^{2h} - 1) \quad\text{and}\quad (1 - e^{-2h}) D, \ \sigma_t^2 (1 - "
        r"e^{-2h}): "
        r"\qquad (e^{2h} - 1) - (1 - e^{-2h}) = 4 \sinh^2 h",
        [gain - 2 * (sympy.exp(H) - 1), sympy.expand(variance - other)],
        [0, sympy.expand((4 * sympy.sinh(H) ** 2).rewrite(sympy.exp))],
        {H: sympy.log(2)},
        "Lu et al. 2022 (++); both exact for a prediction that is constant",
    )


def multistep_member() -> Statement:
    """k-diffusion's two kinds of SDE-DPM-Solver++(2M): "heun" is stochastic Adams, "midpoint" halves a weight."""
    z, r = sympy.symbols("z r", positive=True)  # z = (1 + kappa) h, r = h_last / h
    adams = [sympy.expand(z * w) for w in rule((0, -r), exponential_moments(2, -z, phi))]
    total = 1 - sympy.exp(-z)
    heun = (total / -z + 1) / r
    midpoint = total / (2 * r)
    gap = midpoint - heun
    return differ(
        "SDE-DPM-Solver++(2M): the kind called heun is stochastic Adams, the kind called midpoint is not",
        r"z = (1 + \kappa) h, \ \text{weight of } D_s - D_-: \quad \frac{1}{r} \Bigl(1 - \frac{1 - e^{-z}}{z}\Bigr) \ "
        r"\text{(heun)}, \quad \frac{1 - e^{-z}}{2 r} \ \text{(midpoint)}, \quad \text{midpoint} - \text{heun} = "
        r"-\frac{z^2}{12 r} + O(z^3)",
        [adams[1] + heun, adams[0] - total - heun, gap, sympy.series(gap * r, z, 0, 3).removeO() + z**2 / 12],
        [0, 0, gap, 0],
        {z: sympy.log(2), r: 1},
        "k-diffusion: sample_dpmpp_2m_sde; Lu et al. 2022 (++)",
    )


# --- noise at stages ---


def seeds() -> Statement:
    """The published noise of SEEDS-2 and SEEDS-3 is the factor at equal nodes."""
    residual = []
    for count in (2, 3):
        nodes = [sympy.Rational(i, count) for i in range(1, count)]
        pivots, rows = noise_factor(nodes)
        ends = [*nodes, sympy.Integer(1)]
        last = [*rows[-1], sympy.Integer(1)]
        for j in range(count):
            published = sympy.exp(2 * (1 - (ends[j - 1] if j else 0)) * H) - sympy.exp(2 * (1 - ends[j]) * H)
            residual.append(closed(last[j] ** 2 * pivots[j]).subs(RATE, 1) - published)
    return prove(
        "The noise of SEEDS-2 and SEEDS-3 is that of one path",
        r"\sqrt{e^{2h} - e^{h}}\, z_1 + \sqrt{e^{h} - 1}\, z_2; \qquad \sqrt{e^{2h} - e^{4h/3}}\, z_1 + "
        r"\sqrt{e^{4h/3} - e^{2h/3}}\, z_2 + \sqrt{e^{2h/3} - 1}\, z_3",
        residual,
        "diffnum.solvers.generated: sde_noise_noise_2, sde_noise_noise_3; Gonzalez et al. 2023",
    )


def halves_elsewhere() -> Statement:
    """A formula that holds at the node one half only, and the covariance that it gives elsewhere."""
    c = sympy.Symbol("c", positive=True)
    pivots, ((share,),) = data_factor([c])
    exact = closed(share**2 * pivots[0]).subs(RATE, 1)
    used = sympy.exp(-2 * c * H) - sympy.exp(-2 * H)
    gap = sympy.exp(-2 * c * H) - sympy.exp(-2 * (1 - c) * H)
    half = sympy.Rational(1, 2)
    return differ(
        "The stage noise of SEEDS-2 with the weights of the node one half, at another node",
        r"e^{-2 c h} - e^{-2h} \ \text{ for }\ e^{-2 (1 - c) h} (1 - e^{-2 c h}): \qquad \text{right iff } c = "
        r"\tfrac12",
        [sympy.expand(used - exact), sympy.simplify(gap.subs(c, half))],
        [gap, 0],
        {c: sympy.Rational(1, 4), H: sympy.log(2)},
        "an implementation of SEEDS-2 with a node r; its weak order falls to one (tests/test_weak_order.py)",
    )


def brownian_in_sigma() -> Statement:
    """k-diffusion takes the two draws of DPM++ SDE from a Brownian motion in ``sigma``: their correlation is right for
    small steps only, which is enough for order two."""
    c = sympy.Symbol("c", positive=True)
    exact = covariance("data", c, 1) ** 2 / covariance("data", c, c) / covariance("data", 1, 1)
    exact = exact.subs(RATE, 1)
    used = (1 - sympy.exp(-c * H)) / (1 - sympy.exp(-H))
    point = {c: sympy.Rational(1, 2), H: sympy.log(4)}
    return differ(
        "The draws of DPM++ SDE from a Brownian motion in sigma",
        r"\rho^2 = \frac{1 - e^{-c h}}{1 - e^{-h}} \ \text{ for }\ \frac{e^{2 c h} - 1}{e^{2 h} - 1}, \qquad "
        r"\text{both } c + O(h)",
        [sympy.simplify(exact) - (sympy.exp(2 * c * H) - 1) / (sympy.exp(2 * H) - 1), used - exact]
        + [sympy.limit(e, H, 0) - c for e in (used, (sympy.exp(2 * c * H) - 1) / (sympy.exp(2 * H) - 1))],
        [0, used - exact, 0, 0],
        point,
        "k-diffusion: sample_dpmpp_sde",
    )


# --- weak order two ---


def _two_stages() -> tuple[dict[Tree, Series], dict[str, Any]]:
    """Expectation of ``f`` after a stage and a step of any explicit two-stage method with additive noise, minus that of
    the solution of ``dy = G(y, c) dt + rho dW``, up to ``O(h^3)``, over trees."""
    a, b1, b2, c, rho, *m = sympy.symbols("a b_1 b_2 c rho m_1 m_2 n_1 n_2")
    zero = sympy.Integer(0)

    def at(power: int, value: Any) -> Series:
        return Series(0, tuple(value if i == power else zero for i in range(5)))

    def noise(first: Any, second: Any) -> dict[Tree, Series]:
        return {(DRAW, 1): at(1, rho * first), (DRAW, 2): at(1, rho * second)}

    field = taylor(0, (), None, 3)
    stage = {Y: at(0, 1), **noise(m[0], m[1]), (0,): at(2, a)}
    inside = taylor(0, displacement(stage, 3), at(2, c).cut(3), 3)
    step = {Y: at(0, 1), **noise(m[2], m[3])}
    for weight, value in ((b1, field), (b2, inside)):
        for tree, s in value.items():
            term = (s * at(2, weight)).cut(5)
            step[tree] = step[tree] + term if tree in step else term
    computed = expectation(taylor(ROOT, displacement(step, 5), None, 5, even=True))
    known = {"a": a, "b1": b1, "b2": b2, "c": c, "rho": rho, "m1": m[0], "m2": m[1], "n1": m[2], "n2": m[3]}
    return minus(computed, solution(rho)), known


def solution(rho: Any) -> dict[Tree, tuple[Any, int]]:
    """``f + h L f + h^2 / 2 (L^2 + L_c) f`` with ``L = G . grad + rho^2 / 2 Laplacian``."""

    def act(value: dict[Tree, Any]) -> dict[Tree, Any]:
        out: dict[Tree, Any] = {}
        for tree, c in value.items():
            for t, n in derived(tree, (0,)):
                out[t] = out.get(t, 0) + n * c
            for t, n in laplacian(tree):
                out[t] = out.get(t, 0) + n * c * rho**2 / 2
        return out

    once = act({F: sympy.Integer(1)})
    twice = act(once)
    for t, n in derived(F, (1,)):
        twice[t] = twice.get(t, 0) + n
    return {F: (1, 0), **{t: (c, 2) for t, c in once.items()}, **{t: (c / 2, 4) for t, c in twice.items()}}


def minus(computed: dict[Tree, Series], solution: dict[Tree, tuple[Any, int]]) -> dict[Tree, Series]:
    zero = sympy.Integer(0)
    out = dict(computed)
    for tree, (value, power) in solution.items():
        s = Series(0, tuple(sympy.sympify(-value) if i == power else zero for i in range(5)))
        out[tree] = out[tree] + s if tree in out else s
    return out


def weak_order_two() -> Statement:
    """The conditions of weak order two for additive noise, one for each tree; there are no others."""
    found, k = _two_stages()
    whole, shared = k["n1"] ** 2 + k["n2"] ** 2, k["m1"] * k["n1"] + k["m2"] * k["n2"]
    inside = k["m1"] ** 2 + k["m2"] ** 2
    b, c, rho2, half = k["b1"] + k["b2"], k["c"], k["rho"] ** 2, sympy.Rational(1, 2)
    conditions = {
        "f": (0, 0),
        "f_y(D)": (b - 1, 0),
        "f_yy(z, z)": (half * rho2 * (whole - 1), 0),
        "f_y(D_c)": (0, k["b2"] * c - half),
        "f_y(D_y(D))": (0, k["b2"] * k["a"] - half),
        "f_yy(D, D)": (0, half * (b**2 - 1)),
        "f_yy(z, D_y(z))": (0, rho2 * (k["b2"] * shared - half)),
        "f_y(D_yy(z, z))": (0, half * rho2 * (k["b2"] * inside - half)),
        "f_yyy(z, z, D)": (0, half * rho2 * (whole * b - 1)),
        "f_yyyy(z, z, w, w)": (0, rho2**2 / 8 * (whole**2 - 1)),
    }
    named = {show(t): s for t, s in found.items()}
    residual = [sympy.Integer(len(set(named) ^ set(conditions)))]
    for name, (first, second) in conditions.items():
        residual += [named[name][2] - first, named[name][4] - second, named[name][0], named[name][1], named[name][3]]
    return prove(
        "Conditions of weak order two for additive noise, tree by tree",
        r"Y_i = y + h \textstyle\sum_j a_{ij} G_j + N_i, \ y_1 = y + h \sum_i b_i G_i + N: \quad f'(G): \sum b_i = 1; "
        r"\ "
        r"f''(z, z): \mathbb{E} N^2 = \rho^2 h; \ f'(G_c): \sum b_i c_i = \tfrac12; \ f'(G'(G)): \sum b_i a_{ij} = "
        r"\tfrac12; \ f''(z, G'(z)): \sum b_i\, \mathbb{E} N_i N = \tfrac12 \rho^2 h; \ f'(G''(z, z)): \sum b_i\, "
        r"\mathbb{E} N_i^2 = \tfrac12 \rho^2 h",
        residual,
        "diffnum.weak_trees on any two stages; Kloeden & Platen 1992, 15.1; Talay & Tubaro 1990",
    )


CHAPTER: Chapter = (
    *ito.CHAPTER,
    family,
    *(partial(weights, form) for form in ("data", "noise")),
    first_order_members,
    noise_member,
    multistep_member,
    seeds,
    halves_elsewhere,
    brownian_in_sigma,
    *er_sde.CHAPTER,
    weak_order_two,
)
