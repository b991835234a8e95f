"""What is known in closed form: Gaussian flows, reverse SDEs, monotone flows, Tweedie, predictions.

Throughout ``x = alpha x0 + sigma eps``. The forward SDE ``dx = f x dt + g dw`` has these marginals when
``f = (log alpha)'`` and ``g^2 = (sigma^2)' - 2 f sigma^2``, and the probability-flow ODE is
``x' = f x - g^2 / 2 grad log p`` (Song et al. 2021, eq. 13).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import sympy

from diffnum.num import log
from diffnum.plan import PREDICTIONS, Level
from diffnum.prediction import convert
from diffnum.process import VP

from .statement import Chapter, Statement, prove
from .symbols import NodeTime, processes, table_pieces, with_symbols

__all__ = ["CHAPTER"]

MEAN, VARIANCE = sympy.Symbol("m", real=True), sympy.Symbol("c", positive=True)
ALL = processes() | table_pieces()


def _time(name: str) -> sympy.Symbol:
    return NodeTime("t", positive=True) if name.startswith("DDPM") else sympy.Symbol("t", positive=True)


def drift_and_diffusion(name: str) -> Statement:
    """The code's ``drift`` and ``diffusion`` against its ``alpha`` and ``sigma``."""
    process, t = ALL[name], _time(name)
    f, g, alpha, sigma = process.drift(t), process.diffusion(t), process.alpha(t), process.sigma(t)
    return prove(
        f"{name}: drift and diffusion belong to alpha and sigma",
        r"f = \frac{d}{dt}\log\alpha, \qquad g^2 = \frac{d\sigma^2}{dt} - 2 f \sigma^2",
        (sympy.diff(alpha, t) - f * alpha, sympy.diff(sigma**2, t) - 2 * f * sigma**2 - g**2),
        "diffnum.process; Lu et al. 2022, section 2.1",
    )


def rates_of_the_clock(name: str) -> Statement:
    """``rates`` are the derivatives of ``alpha`` and ``sigma`` in the clock."""
    process, t = ALL[name], _time(name)
    level = process.level(t)
    per_t = sympy.diff(process.clock(level), t)
    da, ds = process.rates(level)
    return prove(
        f"{name}: the rates are derivatives in the process's clock",
        r"\frac{d\alpha}{dt} = \alpha'(c)\,\frac{dc}{dt}, \qquad \frac{d\sigma}{dt} = \sigma'(c)\,\frac{dc}{dt}",
        (sympy.diff(level.alpha, t) - da * per_t, sympy.diff(level.sigma, t) - ds * per_t),
        "diffnum.process: rates",
    )


def level_from_log_snr(name: str) -> Statement:
    """``at(lam)`` has the log-SNR it was asked for and lies on the curve of the process, on which ``t`` runs too."""
    process, t = ALL[name], _time(name)
    snr = sympy.Symbol("q", positive=True)
    level = process.at(log(snr))
    curve = CURVES.get(name, _circle)
    return prove(
        f"{name}: a level made from its log-SNR",
        r"\alpha(\lambda) = e^{\lambda} \sigma(\lambda), \qquad (\alpha(\lambda), \sigma(\lambda)) \ \text{ and }\ "
        r"(\alpha(t), \sigma(t)) \ \text{ on one curve}",
        (
            level.alpha - snr * level.sigma,
            curve(level.alpha, level.sigma),
            curve(process.alpha(t), process.sigma(t)),
        ),
        "diffnum.process: at",
    )


def _circle(a: Any, s: Any) -> Any:
    return a**2 + s**2 - 1


CURVES: dict[str, Callable[[Any, Any], Any]] = {
    "SubVP": lambda a, s: s - (1 - a**2),
    "Flow": lambda a, s: a + s - 1,
    "VE": lambda a, s: a - 1,
    "EDM": lambda a, s: a - 1,
}


def time_of_a_log_snr() -> Statement:
    """``t(lam)`` inverts ``lam(t)`` on VP, VE, EDM and Flow. On VP every ``-2 log alpha`` is
    ``2 (S^2 - beta_min^2/4) / (beta_max - beta_min)`` for some ``S``, which makes the root of the code rational."""
    t, low, gap, root = sympy.symbols("t b d S", positive=True)
    vp = with_symbols(VP, beta_min=low, beta_max=low + gap)
    fall = 2 * (root**2 - low**2 / 4) / gap
    at = vp.t(-sympy.log(sympy.exp(fall) - 1) / 2)
    lines = [ALL[name].t(ALL[name].lam(t)) - t for name in ("VE", "EDM", "Flow")]
    return prove(
        "The time of a log-SNR",
        r"t(\lambda(t)) = t \quad \text{(VE, EDM, Flow)}, \qquad -2 \log \alpha(t(\lambda)) = \log(1 + e^{-2\lambda}) "
        r"\quad \text{(VP)}",
        [
            *(sympy.simplify(sympy.expand_log(line, force=True)) for line in lines),
            -2 * sympy.log(vp.alpha(at)).expand(force=True) - fall,
        ],
        "diffnum.process.VP.t, VE.t, EDM.t, Flow.t",
    )


def gaussian_flow(name: str) -> Statement:
    """The flow of ``N(m, c)`` keeps the distance from the mean in units of the standard deviation."""
    process, t = ALL[name], _time(name)
    alpha, sigma = process.alpha(t), process.sigma(t)
    units = sympy.Symbol("K", real=True)
    spread = alpha**2 * VARIANCE + sigma**2
    x = alpha * MEAN + units * sympy.sqrt(spread)
    score = -(x - alpha * MEAN) / spread
    rest = sympy.diff(x, t) - process.drift(t) * x + process.diffusion(t) ** 2 / 2 * score
    return prove(
        f"{name}: the probability flow of a Gaussian",
        r"x(t) = \alpha_t m + K\sqrt{\alpha_t^2 c + \sigma_t^2} \ \text{ solves }\ "
        r"x' = f x + \frac{g^2}{2}\,\frac{x - \alpha_t m}{\alpha_t^2 c + \sigma_t^2}",
        sympy.expand(rest * sympy.sqrt(spread)),
        "diffnum.process; diffnum.Gaussian.flow",
    )


def reverse_sde() -> Statement:
    """Mean and variance of the reverse SDE with any amount ``eta`` of noise, from any Gaussian start.

    ``eta = 0`` is the probability flow, ``eta = 1`` the reverse SDE. A wrong start is forgotten by the factor
    ``(alpha_T^2 / alpha^2)^(eta^2) (v / v_T)^(1 + eta^2)`` in the variance.
    """
    t, eta, k, j = sympy.symbols("t eta K J", positive=True)
    alpha, sigma = (sympy.Function(n, positive=True)(t) for n in ("alpha", "sigma"))
    f = sympy.diff(alpha, t) / alpha
    g2 = sympy.diff(sigma**2, t) - 2 * f * sigma**2
    v = alpha**2 * VARIANCE + sigma**2
    pull = f + (1 + eta**2) / 2 * g2 / v
    mean = alpha * MEAN + j * alpha ** (-(eta**2)) * v ** ((1 + eta**2) / 2)
    variance = v + k * alpha ** (-2 * eta**2) * v ** (1 + eta**2)
    off = mean - alpha * MEAN
    slope = f * alpha * MEAN + pull * off
    return prove(
        "Mean and variance of the reverse SDE on a Gaussian",
        r"dx = \Bigl[f x - \tfrac{1 + \eta^2}{2} g^2 \nabla\log p\Bigr] dt + \eta g\, d\bar w, \quad v = \alpha^2 c + "
        r"\sigma^2: \qquad \mathbb{E}x = \alpha m + J \alpha^{-\eta^2} v^{(1 + \eta^2)/2}, \quad "
        r"\operatorname{Var} x = v + K \alpha^{-2\eta^2} v^{1 + \eta^2}",
        (
            sympy.expand((sympy.diff(mean, t) - slope) / off),
            sympy.expand((sympy.diff(variance, t) - 2 * pull * variance + eta**2 * g2) / (variance - v)),
        ),
        "Anderson 1982; Song et al. 2021, eq. 6; any alpha(t), sigma(t)",
    )


def kernel_moves_by_fokker_planck() -> Statement:
    """The cdf of ``x`` given ``x0`` satisfies the integrated Fokker-Planck equation; so does any mixture of them."""
    t, x, y = sympy.symbols("t x y", real=True)
    alpha, sigma = (sympy.Function(n, positive=True)(t) for n in ("alpha", "sigma"))
    f = sympy.diff(alpha, t) / alpha
    g2 = sympy.diff(sigma**2, t) - 2 * f * sigma**2
    cdf = (1 + sympy.erf((x - alpha * y) / (sympy.sqrt(2) * sigma))) / 2
    rest = cdf.diff(t) + f * x * cdf.diff(x) - g2 / 2 * cdf.diff(x, 2)
    return prove(
        "The cdf of a noised law moves by the integrated Fokker-Planck equation",
        r"F(x, t) = \int \Phi\Bigl(\frac{x - \alpha y}{\sigma}\Bigr) d\mu(y): \qquad "
        r"\partial_t F = - f x\, \partial_x F + \frac{g^2}{2} \partial_x^2 F",
        sympy.expand(rest / cdf.diff(x)),
        "any law mu, any alpha(t), sigma(t)",
    )


def monotone_flow() -> Statement:
    """In one dimension the map that keeps quantiles, ``F(x(t), t)`` constant, is the probability flow."""
    t, f, g2 = sympy.symbols("t f g2")
    x = sympy.Symbol("x", real=True)
    F = sympy.Function("F")(x, t)
    density = F.diff(x)
    moved = -f * x * density + g2 / 2 * density.diff(x)
    velocity = -moved / density
    score = sympy.log(density).diff(x)
    return prove(
        "The monotone map is the probability flow of a one-dimensional law",
        r"F(x(t), t) = \text{const} \ \Rightarrow\ x' = -\frac{\partial_t F}{\partial_x F} = f x - \frac{g^2}{2} "
        r"\partial_x \log p, \qquad p = \partial_x F",
        velocity - (f * x - g2 / 2 * score),
        "diffnum.Product1D.flow; any cdf F with density p",
    )


def tweedie(order: int) -> Statement:
    """Tweedie's formulas: pointwise identities of the kernel, integrated against any law of ``x0``."""
    x, y = sympy.symbols("x y", real=True)
    alpha, sigma = sympy.symbols("alpha sigma", positive=True)
    kernel = sympy.exp(-((x - alpha * y) ** 2) / (2 * sigma**2))
    p = sympy.Function("p")(x)

    def moment(q: Any, power: int) -> Any:
        if power == 1:
            return (x * q + sigma**2 * q.diff(x)) / alpha
        return (x**2 * q + 2 * x * sigma**2 * q.diff(x) + sigma**4 * q.diff(x, 2) + sigma**2 * q) / alpha**2

    pointwise = sympy.expand((y**order * kernel - moment(kernel, order)) / kernel)
    mean = moment(p, 1) / p
    if order == 1:
        formula = mean - (x + sigma**2 * sympy.log(p).diff(x)) / alpha
        claim = r"\mathbb{E}[x_0 \mid x] = \frac{x + \sigma^2 \partial_x \log p(x)}{\alpha}"
        return prove("Tweedie's formula", claim, (pointwise, formula), "Robbins 1956; Efron 2011")
    spread = moment(p, 2) / p - mean**2
    closed = sigma**2 / alpha**2 * (1 + sigma**2 * sympy.log(p).diff(x, 2))
    return prove(
        "Tweedie's formula of second order",
        r"\operatorname{Var}[x_0 \mid x] = \frac{\sigma^2}{\alpha^2} \bigl(1 + \sigma^2 \partial_x^2 \log p(x)\bigr) "
        r"= \frac{\sigma^2}{\alpha}\, \partial_x \mathbb{E}[x_0 \mid x]",
        (pointwise, spread - closed, spread - sigma**2 / alpha * mean.diff(x)),
        "Efron 2011; along any line in more dimensions",
    )


def predictions() -> Statement:
    """Data, noise, velocity and score: each conversion is right, and there and back is the identity."""
    alpha, sigma = sympy.symbols("alpha sigma", positive=True)
    v = sympy.symbols("v_0 v_1", real=True)
    data, eps = sympy.symbols("D epsilon", real=True)
    level = Level(0, alpha, sigma, sympy.log(alpha / sigma), v=v, pure_noise=False, clean=False)
    value = {"data": data, "noise": eps, "velocity": v[0] * data + v[1] * eps, "score": -eps / sigma}
    x = alpha * data + sigma * eps
    residual: list[Any] = []
    for p in PREDICTIONS:
        for q in PREDICTIONS:
            (a, b), (back, undo) = convert(level, p, q), convert(level, q, p)
            residual += [a * x + b * value[p] - value[q], back + undo * a, undo * b - 1]
    return prove(
        "Conversions between data, noise, velocity and score are right and mutually inverse",
        r"q = a x + b p \ \text{ and }\ p = \bar a x + \bar b q: \qquad \bar b b = 1, \quad \bar a + \bar b a = 0 "
        r"\qquad \text{for all 16 pairs}",
        residual,
        "diffnum.prediction.convert, with any velocity (v0, v1)",
    )


def _each(derivation: Callable[[str], Statement], names: Any) -> list[Callable[[], Statement]]:
    return [partial(derivation, name) for name in names]


CHAPTER: Chapter = (
    *_each(drift_and_diffusion, ALL),
    *_each(rates_of_the_clock, ALL),
    *_each(level_from_log_snr, processes()),
    time_of_a_log_snr,
    *_each(gaussian_flow, ALL),
    reverse_sde,
    kernel_moves_by_fokker_planck,
    monotone_flow,
    partial(tweedie, 1),
    partial(tweedie, 2),
    predictions,
)
