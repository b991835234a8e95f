"""One method, many names: equalities of the plans that run, on symbolic levels, and equalities that are not.

A plan is traced on levels of *any* process, ``alpha(lam)`` an undetermined function and ``sigma = alpha e^-lam``, and
read as its normal form: the levels and inputs of every evaluation and the output, as rows over ``x``, the data
predictions and the draws (:func:`theory.symbols.normal_form`). Two plans are one method iff their normal forms agree.
"""

from __future__ import annotations

from typing import Any

import sympy

from diffnum.num import phi
from diffnum.plan import PREDICTIONS, Level
from diffnum.process import EDM, Flow
from diffnum.solvers import ddim, dpm_solver_1, dpm_solver_2, dpmpp_1, dpmpp_2s, dpmpp_3m, dpmpp_3m_corrected, euler
from diffnum.solvers.stochastic import ddim_eta, ddpm_ancestral
from diffnum.trace import Trace, compile

from .statement import Chapter, Statement, differ, prove
from .symbols import LogSNR, Native, difference, grid, log_snr_levels, normal_form

__all__ = ["CHAPTER"]


def euler_in_ratio(T: Trace, levels: Any) -> None:
    """Euler's method for ``d(x / alpha) = eps d(sigma / alpha)``, as one would write it from the ODE."""
    for s, t in T.steps(levels):
        step = t.sigma / t.alpha - s.sigma / s.alpha
        T.x = (t.alpha / s.alpha) * T.x + (t.alpha * step) * T.evaluate(T.x, s).noise


def first_order_methods() -> Statement:
    """Four published names of one method, on two steps of any process."""
    process, levels, _ = log_snr_levels(3)
    plans = [compile(one, grid(process, levels)) for one in (ddim, dpm_solver_1, dpmpp_1, euler_in_ratio)]
    return prove(
        r"DDIM = DPM-Solver-1 = DPM-Solver++-1 = Euler in sigma/alpha",
        r"\alpha_t D + \sigma_t \epsilon = \frac{\alpha_t}{\alpha_s} x - \sigma_t (e^h - 1) \epsilon = "
        r"\frac{\sigma_t}{\sigma_s} x - \alpha_t (e^{-h} - 1) D = \alpha_t \Bigl[\frac{x}{\alpha_s} + "
        r"\Bigl(\frac{\sigma_t}{\alpha_t} - \frac{\sigma_s}{\alpha_s}\Bigr) \epsilon\Bigr]",
        [entry for other in plans[1:] for entry in difference(plans[0], other)],
        "diffnum.solvers: ddim, dpm_solver_1, dpmpp_1; Song et al. 2021, eq. 12 and 14; Lu et al. 2022",
    )


def prediction_does_not_matter() -> Statement:
    """The same method, whatever the network predicts."""
    process, levels, _ = log_snr_levels(3)
    plans = [compile(ddim, grid(process, levels), prediction) for prediction in PREDICTIONS]
    return prove(
        "DDIM is one method for data, noise, velocity and score prediction",
        r"\text{normal form}(\text{data}) = \text{normal form}(\text{noise}) = \text{normal form}(\text{velocity}) = "
        r"\text{normal form}(\text{score})",
        [entry for other in plans[1:] for entry in difference(plans[0], other)],
        "diffnum.trace.compile",
    )


def euler_where_sigma_is_the_clock() -> Statement:
    """Euler in the clock is DDIM on EDM and on flow matching, where the clock is ``sigma`` and paths are straight."""
    sigmas = sympy.symbols("sigma_0:3", positive=True)
    residual: list[Any] = []
    for process in (EDM(), Flow()):
        levels = [_symbolic_level(process, s) for s in sigmas]
        residual += difference(*(compile(one, grid(process, levels)) for one in (euler, ddim)))
    return prove(
        "Euler in sigma is DDIM on EDM and on flow matching",
        r"x_s + (\sigma_t - \sigma_s)(\alpha' D + \epsilon) = \alpha_t D + \sigma_t \epsilon, \qquad "
        r"\alpha = 1 \ \text{ or }\ \alpha = 1 - \sigma",
        residual,
        "diffnum.solvers.euler on EDM and Flow; Karras et al. 2022; Lipman et al. 2023",
    )


def _symbolic_level(process: Any, sigma: Any) -> Level:
    alpha = process.alpha(0.5) if isinstance(process, EDM) else 1 - sigma
    return Level(sigma, alpha, sigma, sympy.log(alpha / sigma), pure_noise=False, clean=False)


def euler_in_another_time() -> Statement:
    """In a time that is not ``sigma / alpha`` Euler's method is not DDIM: the remainders of Taylor's theorem stay."""
    process = Native()
    s, t = sympy.symbols("s t", positive=True)
    plans = [compile(one, grid(process, [process.level(s), process.level(t)])) for one in (euler, ddim)]
    alpha, sigma = (sympy.Function(n, positive=True) for n in ("alpha", "sigma"))
    in_data = alpha(s) + (t - s) * alpha(s).diff(s) - alpha(t)
    in_noise = sigma(s) + (t - s) * sigma(s).diff(s) - sigma(t)
    closed = [0, 0, 0, in_data - alpha(s) / sigma(s) * in_noise, in_noise / sigma(s)]
    point = {alpha(s).diff(s): -1, sigma(s).diff(s): 0, alpha(s): 1, alpha(t): 3, sigma(s): 1, sigma(t): 1, s: 2, t: 1}
    return differ(
        "Euler in time is not DDIM",
        r"\text{Euler} - \text{DDIM} = (\alpha_s + \alpha_s'\,dt - \alpha_t) D + (\sigma_s + \sigma_s'\,dt - "
        r"\sigma_t)\, \epsilon",
        [sympy.simplify(d) for d in difference(*plans)],
        closed,
        point,
        "diffnum.solvers.euler on VP, SubVP, Cosine, DDPM",
    )


def second_order_with_data_and_noise() -> Statement:
    """DPM-Solver-2 and DPM-Solver++(2S) share their nodes and differ in what they interpolate."""
    process, at = LogSNR(), sympy.Symbol("lambda_0", real=True)
    h, r = sympy.symbols("h r", positive=True)
    levels = [process.at(at), process.at(at + h)]
    plans = [compile(one.with_options(r=r), grid(process, levels)) for one in (dpm_solver_2, dpmpp_2s)]
    gap = levels[1].alpha * (1 - sympy.exp(-h)) * (sympy.exp(r * h) - 1) / (2 * r)
    # two levels (alpha, sigma), input of D1 (x), input of D2 (D1, x), output (D1, D2, x)
    closed = [0] * 7 + [-gap, gap, 0]
    point = {levels[1].alpha: 1, h: sympy.log(4), r: sympy.Rational(1, 2)}
    return differ(
        "DPM-Solver-2 is not DPM-Solver++(2S)",
        r"x_t^{(2)} - x_t^{(2S)} = \alpha_t (1 - e^{-h}) \frac{e^{r h} - 1}{2 r} \, (D_m - D_s)",
        [sympy.simplify(d) for d in difference(*plans)],
        closed,
        point,
        "diffnum.solvers: dpm_solver_2 (noise), dpmpp_2s (data)",
    )


def ancestral_is_ddim() -> Statement:
    """DDIM at ``eta = 1`` is DDPM's ancestral step, draws included."""
    process, levels, _ = log_snr_levels(3)
    plans = [compile(one, grid(process, levels)) for one in (ddim_eta.with_options(eta=1), ddpm_ancestral)]
    return prove(
        "DDIM with eta = 1 is DDPM ancestral sampling",
        r"\alpha_t D + \sqrt{\sigma_t^2 - \nu^2}\, \epsilon + \nu z, \quad \nu = \sigma_t \sqrt{1 - e^{-2h}} "
        r"\quad\text{is the ancestral step}",
        difference(*plans),
        "diffnum.solvers: ddim_eta, ddpm_ancestral; Song et al. 2021, eq. 16",
    )


def ancestral_is_the_posterior() -> Statement:
    """The ancestral step samples Bayes' rule: mean and variance of ``x_t`` given ``x_s`` and ``x0 = D``."""
    process, levels, _ = log_snr_levels(2)
    s, t = levels
    row = normal_form(compile(ddpm_ancestral, grid(process, levels))).rows[-1]
    q = s.alpha / t.alpha
    added = s.sigma**2 - q**2 * t.sigma**2
    precision = 1 / t.sigma**2 + q**2 / added
    return prove(
        "The ancestral step is the posterior of the forward process",
        r"x_t \mid x_s, x_0 = D \sim N\Bigl(\frac{q \sigma_t^2}{\sigma_s^2} x_s + \frac{\alpha_t \sigma_{s|t}^2}"
        r"{\sigma_s^2} D,\ \frac{\sigma_t^2 \sigma_{s|t}^2}{\sigma_s^2}\Bigr), \quad q = \frac{\alpha_s}{\alpha_t}, "
        r"\ \sigma_{s|t}^2 = \sigma_s^2 - q^2 \sigma_t^2",
        (
            row["x"] - q * t.sigma**2 / s.sigma**2,
            row["D1"] - t.alpha * added / s.sigma**2,
            row["z1"] ** 2 - t.sigma**2 * added / s.sigma**2,
            # that these are Bayes' rule: precisions add, and the mean weighs the two sources by them
            1 / precision - t.sigma**2 * added / s.sigma**2,
            q / added / precision - q * t.sigma**2 / s.sigma**2,
            t.alpha / t.sigma**2 / precision - t.alpha * added / s.sigma**2,
        ),
        "diffnum.solvers.ddpm_ancestral; Ho et al. 2020, eq. 6-7",
    )


def eta_zero() -> Statement:
    """DDIM at ``eta = 0`` is deterministic DDIM."""
    process, levels, _ = log_snr_levels(3)
    plans = [compile(one, grid(process, levels)) for one in (ddim_eta.with_options(eta=0), ddim)]
    return prove(
        "DDIM with eta = 0 is deterministic DDIM",
        r"\nu = 0: \qquad x_t = \alpha_t D + \sigma_t \epsilon",
        difference(*plans),
        "diffnum.solvers: ddim_eta, ddim",
    )


def published_three_step_method() -> Statement:
    """What the dropped factor 2 does: half of the second difference is missing, so the order is two."""
    process, levels, (h2, h1, h) = log_snr_levels(4)
    plans = [compile(one, grid(process, levels)) for one in (dpmpp_3m, dpmpp_3m_corrected)]
    entries = difference(*plans)
    weight = -levels[-1].alpha * h**3 * phi(3, -h)
    # the second divided difference of D over the nodes of steps 1, 2, 3
    bend = {"D1": 1 / (h2 * (h1 + h2)), "D2": -1 / (h1 * h2), "D3": 1 / (h1 * (h1 + h2))}
    closed = [0] * (len(entries) - 4) + [weight * bend[key] for key in ("D1", "D2", "D3")] + [0]
    point = {levels[-1].alpha: 1, h: 1, h1: 1, h2: 1}
    return differ(
        "The published DPM-Solver++(3M) is not the third-order method",
        r"x_t^{\text{published}} - x_t^{\text{corrected}} = -\alpha_t h^3 \varphi_3(-h)\, D[\lambda_s, \lambda_1, "
        r"\lambda_2] = -\tfrac{1}{12} \alpha_t h^3 D'' + O(h^4)",
        entries,
        closed,
        point,
        "diffnum.solvers: dpmpp_3m, dpmpp_3m_corrected",
    )


CHAPTER: Chapter = (
    first_order_methods,
    prediction_does_not_matter,
    euler_where_sigma_is_the_clock,
    euler_in_another_time,
    second_order_with_data_and_noise,
    ancestral_is_ddim,
    ancestral_is_the_posterior,
    eta_zero,
    published_three_step_method,
)
