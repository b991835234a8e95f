"""The same method under more names, proved on the plans of :mod:`theory.published`.

Every statement compares normal forms on symbolic levels; on which processes and grids an equality holds is part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import sympy

from diffnum import solvers
from diffnum.num import expm1, sqrt
from diffnum.order import GenericGrid
from diffnum.solvers import ab2, ddim, dpm_solver_2, dpmpp_2m, dpmpp_2s, dpmpp_3m_corrected, euler, heun, midpoint
from diffnum.solvers.stochastic import ddpm_ancestral
from diffnum.trace import Trace, compile

from . import published as one
from . import published_multistep as adams
from . import published_noise as noisy
from .coordinates import ANY, CONSTANT, SIGMA, STRAIGHT, InClock, expression, in_clock, in_log_snr, in_ratio
from .statement import Chapter, Statement, prove
from .symbols import difference

__all__ = ["CHAPTER"]

R = sympy.Symbol("r", positive=True)


def equal(name: str, claim: str, where: str, *cases: tuple[GenericGrid, Sequence[Any]]) -> Statement:
    """That on each grid all samplers have one normal form."""
    residual: list[Any] = []
    for levels, samplers in cases:
        first, *others = (compile(sampler, levels) for sampler in samplers)
        residual += [expression(entry) for other in others for entry in difference(first, other)]
    return prove(name, claim, residual, where)


# --- one evaluation a step


def more_names_of_ddim() -> Statement:
    """Six more first-order samplers, on any process."""
    levels = in_log_snr(ANY, 2)[0]
    samplers = [
        ddim,
        partial(adams.rho_ab, order=1),
        one.data_in_snr,
        partial(adams.ucgm, kappa=adams.nothing),
        partial(adams.bdia, gamma=0),
        partial(noisy.er_sde_1, scale=noisy.identity),
    ]
    return equal(
        r"DEIS-0, NeuralSolver's first order, UCGM without extrapolation, BDIA at gamma = 0 and ER-SDE-1 at phi = x "
        r"are DDIM",
        r"\alpha_t \Bigl[\frac{x}{\alpha_s} + \epsilon \int_{\kappa_s}^{\kappa_t} d\kappa\Bigr] = \sigma_t "
        r"\Bigl[\frac{x}{\sigma_s} + \Bigl(\frac{\alpha_t}{\sigma_t} - \frac{\alpha_s}{\sigma_s}\Bigr) D\Bigr] = "
        r"\alpha_t D + \sigma_t\, \epsilon = \frac{\alpha_t}{\alpha_s} \frac{\kappa_t}{\kappa_s}\, x + \alpha_t "
        r"\Bigl(1 - \frac{\kappa_t}{\kappa_s}\Bigr) D, \qquad \kappa = \frac{\sigma}{\alpha}",
        "Zhang & Chen 2023; Wang et al. 2025; Sun et al. 2025; Zhang et al. 2024; Cui et al. 2023",
        (levels, samplers),
    )


def transfer_of_pndm() -> Statement:
    """On a circle ``alpha^2 + sigma^2 = 1``, in rational coordinates."""
    levels = in_clock(InClock(lambda u: (1 - u**2) / (1 + u**2), lambda u: 2 * u / (1 + u**2)), 1)
    return equal(
        "PNDM's transfer is DDIM where variance is preserved",
        r"x + (\alpha_t^2 - \alpha_s^2) \Bigl[\frac{x}{\alpha_s (\alpha_s + \alpha_t)} - \frac{\epsilon}{\alpha_s "
        r"(\sigma_t \alpha_s + \sigma_s \alpha_t)}\Bigr] = \alpha_t D + \sigma_t\, \epsilon, \qquad \alpha^2 + "
        r"\sigma^2 = 1",
        "Liu et al. 2022",
        (levels, [ddim, one.pndm_transfer]),
    )


def convex_combination() -> Statement:
    """The MiniMax step on EDM and on flow matching."""
    return equal(
        "The MiniMax step is Euler, and DDIM, on EDM and on flow matching",
        r"\frac{\sigma_t}{\sigma_s} x + \Bigl(1 - \frac{\sigma_t}{\sigma_s}\Bigr) D = x + (\sigma_t - "
        r"\sigma_s)(\alpha' D + \epsilon), \qquad \alpha = 1 \ \text{ or }\ \alpha = 1 - \sigma",
        "MiniMax; diffnum.solvers: euler, ddim",
        *((in_clock(process, 2), [one.minimax, euler, ddim]) for process in (SIGMA, STRAIGHT)),
    )


# --- two evaluations a step


def rf_solver() -> Statement:
    """A Taylor step whose derivative is a difference over half a step, on flow matching and on EDM."""
    return equal(
        "RF-Solver is the explicit midpoint rule",
        r"x + \delta v + \frac{\delta^2}{2}\, \frac{v_m - v}{\delta / 2} = x + \delta\, v_m, \qquad v_m = v\bigl(x + "
        r"\tfrac{\delta}{2} v,\ s + \tfrac{\delta}{2}\bigr)",
        "Wang et al. 2024; diffnum.solvers: rf_solver, midpoint",
        *((in_clock(process, 2), [one.rf_solver, solvers.rf_solver, midpoint]) for process in (STRAIGHT, SIGMA)),
    )


def dpm_2() -> Statement:
    """k-diffusion's sampler is not only inspired by DPM-Solver-2."""
    return equal(
        "k-diffusion's DPM2 is DPM-Solver-2 at r = 1/2 where alpha = 1",
        r"x + (\sigma_t - \sigma_s)\, \epsilon_m = x - \sigma_t (e^h - 1) \Bigl[\epsilon_s + \frac{\epsilon_m - "
        r"\epsilon_s}{2 \cdot \frac12}\Bigr], \qquad \sigma_m = \sqrt{\sigma_s \sigma_t}",
        "k-diffusion: sample_dpm_2; diffnum.solvers: dpm_solver_2",
        (in_log_snr(CONSTANT, 2)[0], [one.dpm_2, dpm_solver_2]),
    )


def trapezoids() -> Statement:
    """Three trapezoidal rules, and EDM's."""
    three = [one.ratio_heun, one.ucgm_heun]
    return equal(
        "UCGM of order two is DEIS with Heun (rhoRK-2), and EDM's Heun where alpha = 1",
        r"\frac{\alpha_t}{\alpha_s} x + \Bigl(\sigma_t - \frac{\alpha_t}{\alpha_s} \sigma_s\Bigr) \frac{\epsilon_s + "
        r"\epsilon_t}{2} = \alpha_t \Bigl[\frac{x}{\alpha_s} + (\kappa_t - \kappa_s) \frac{\epsilon_s + "
        r"\epsilon_t}{2}\Bigr]",
        "Sun et al. 2025; Zhang & Chen 2023; Karras et al. 2022, Algorithm 1",
        (in_clock(in_ratio(), 2), three),
        (in_clock(SIGMA, 2), [*three, heun]),
    )


def exponential_midpoint() -> Statement:
    """Which exponential Runge-Kutta methods the two-stage solvers are."""
    levels, half = in_log_snr(ANY, 1)[0], sympy.Rational(1, 2)
    cases = [
        (levels, [solver.with_options(r=c), partial(method, c=c, b=one.weak(c))])
        for solver, method in ((dpmpp_2s, one.exponential_data), (dpm_solver_2, one.exponential_noise))
        for c in (R, half)
    ]
    return equal(
        "DPM-Solver++(2S) and DPM-Solver-2 are the exponential Runge-Kutta methods with phi_1 alone, at r = 1/2 the "
        "exponential midpoint rule",
        r"u' = -u + D,\ u = \tfrac{x}{\alpha}: \ u_t = e^{-h} u + h \Bigl[\bigl(1 - \tfrac{1}{2r}\bigr) \varphi_1(-h) "
        r"D_s + \tfrac{1}{2r} \varphi_1(-h) D_m\Bigr]; \qquad w' = w - \epsilon,\ w = \tfrac{x}{\sigma}: \ "
        r"\varphi_1(h)",
        "diffnum.solvers: dpmpp_2s, dpm_solver_2; Hochbruck & Ostermann 2005, section 5.1",
        *cases,
    )


def stiff_two_stage() -> Statement:
    """The family with ``phi_2``: other names."""
    levels = in_log_snr(ANY, 1)[0]
    samplers = [
        partial(one.exponential_data, c=R, b=one.stiff(R)),
        *(partial(f, r=R) for f in (one.taylor_2s, one.seeds_2)),
    ]
    return equal(
        'RES 2S, SEEDS-2 of type "phi_2" and DPM-Solver++(2S) of type "taylor" are one method, at r = 1 ETD2RK',
        r"u_t = e^{-h} u + h \Bigl[\bigl(\varphi_1(-h) - \tfrac1r \varphi_2(-h)\bigr) D_s + \tfrac1r \varphi_2(-h) "
        r"D_m\Bigr], \qquad \frac{e^{-h} - 1}{h} + 1 = h\, \varphi_2(-h)",
        "Hochbruck & Ostermann 2005; Zhang et al. 2023; Gonzalez et al. 2023; Cox & Matthews 2002; dpm-solver",
        (levels, samplers),
    )


# --- exponential multistep


def names_of_2m() -> Statement:
    """DPM-Solver++(2M) elsewhere."""
    return equal(
        "UniP-2 with B_2 and a D-ODE solver that extrapolates data by half the step ratio are DPM-Solver++(2M); so is "
        "k-diffusion's where alpha = 1",
        r"\frac{\sigma_t}{\sigma_s} x - \alpha_t (e^{-h} - 1) D - \alpha_t \frac{B(-h)}{2}\, \frac{D_- - D}{-h_- / h} "
        r"= \frac{\sigma_t}{\sigma_s} x - \alpha_t (e^{-h} - 1) \Bigl[D + \frac{h}{2 h_-} (D - D_-)\Bigr], \qquad "
        r"B(z) = e^z - 1",
        "Zhao et al. 2023; Kim et al. 2024; k-diffusion: sample_dpmpp_2m; diffnum.solvers: dpmpp_2m",
        (in_log_snr(ANY, 3)[0], [dpmpp_2m, one.unip, partial(adams.d_ode, read="data")]),
        (in_log_snr(CONSTANT, 3)[0], [dpmpp_2m, one.k_dpmpp_2m]),
    )


def names_of_res_2m() -> Statement:
    """The exponential Adams-Bashforth method of order two."""
    free = sympy.Function("B")
    samplers = [one.res_2m, one.dpmpp_heun, *(partial(one.unip, B=B, two=one.solved) for B in (one.b_1, free))]
    return equal(
        'RES 2M, DPM-Solver++(2M) of type "heun" and UniP-2 with its equation solved, whatever B, are one method; on '
        "equal steps Cox and Matthews' ETD2",
        r"\frac{\sigma_t}{\sigma_s} x + \alpha_t h \Bigl[\varphi_1(-h) D + \varphi_2(-h)\, \frac{h}{h_-} (D - "
        r"D_-)\Bigr]",
        "Zhang et al. 2023; Lu et al. 2022; Zhao et al. 2023; Cox & Matthews 2002",
        (in_log_snr(ANY, 3)[0], samplers),
        (in_log_snr(ANY, 3, equal=True)[0], [one.res_2m, one.etd_2]),
    )


def unip_3() -> Statement:
    """UniP-3 has the factor 2 that DPM-Solver++(3M) lacks; its second step is DPM-Solver++(2M), as that of 3M is."""
    return equal(
        "UniP-3 with B_2 is the corrected DPM-Solver++(3M), start-up included",
        r"\frac{\sigma_t}{\sigma_s} x + \alpha_t h \bigl[\varphi_1(-h) D + \varphi_2(-h)\, h D' + \varphi_3(-h)\, h^2 "
        r"D''\bigr], \qquad D'' = 2\, D[\lambda_s, \lambda_1, \lambda_2]",
        "Zhao et al. 2023; diffnum.solvers: dpmpp_3m_corrected",
        (in_log_snr(ANY, 3)[0], [dpmpp_3m_corrected, partial(one.unip, order=3)]),
    )


def deis_in_log_rho() -> Statement:
    """DEIS in diffusers, whose polynomials are in ``log kappa = -lam``."""
    return equal(
        'DEIS of order two in log kappa (diffusers) is DPM-Solver 2M of type "heun"',
        r"\alpha_t \Bigl[\frac{x}{\alpha_s} + \int_{\kappa_s}^{\kappa_t} \Bigl(\epsilon + \frac{\log \kappa - \log "
        r"\kappa_s}{\log \kappa_s - \log \kappa_r} (\epsilon - \epsilon_-)\Bigr) d\kappa\Bigr] = "
        r"\frac{\alpha_t}{\alpha_s} x - \sigma_t h \Bigl[\varphi_1(h)\, \epsilon + \varphi_2(h)\, \frac{h}{h_-} "
        r"(\epsilon - \epsilon_-)\Bigr]",
        "Zhang & Chen 2023; Lu et al. 2022; diffusers: DEISMultistepScheduler, DPMSolverMultistepScheduler",
        (in_log_snr(ANY, 3)[0], [one.deis_log_rho, one.dpm_solver_heun]),
    )


# --- Adams methods


def variable_adams() -> Statement:
    """Adams-Bashforth of order two on any steps: in the noise ratio, and in ``sigma`` on ``(x - D) / sigma``."""
    ratio = [adams.rho_ab, partial(adams.d_ode, read="noise")]
    sigma = [ab2, adams.lms, partial(adams.ipndm_v, order=2), partial(adams.d_ode, read="slope")]
    return equal(
        "rhoAB-DEIS-1 is DDIM with the noise extrapolated by half the step ratio; where alpha = 1 both are LMS-2, "
        "iPNDM-v-2 and AB2 in sigma, which are one method on flow matching too",
        r"\frac{x_t}{\alpha_t} = \frac{x}{\alpha_s} + \delta \Bigl[\epsilon + \frac{\delta}{2 \delta_-} (\epsilon - "
        r"\epsilon_-)\Bigr], \quad \delta = \kappa_t - \kappa_s; \qquad x_t = x + \delta \Bigl[d + \frac{\delta}{2 "
        r"\delta_-} (d - d_-)\Bigr], \quad d = \frac{x - D}{\sigma},\ \delta = \sigma_t - \sigma_s",
        "Zhang & Chen 2023; Kim et al. 2024; k-diffusion: sample_lms; diff-sampler; diffnum.solvers: ab2",
        (in_clock(in_ratio(), 3), ratio),
        (in_clock(SIGMA, 3), [*ratio, *sigma]),
        (in_clock(STRAIGHT, 3), sigma),
    )


def constant_adams() -> Statement:
    """Weights of equal steps, on any steps, under four names; they are Adams-Bashforth's on equal ones."""
    two = [partial(adams.ipndm, order=2), partial(adams.gradient_estimation, gamma=1.5)]
    heavy = [partial(adams.pndm, order=3), partial(adams.ghvb, order=3, beta=1)]
    return equal(
        "Gradient estimation at gamma = 3/2 is iPNDM-2; GHVB at beta = 1 is PNDM's multistep, which on equal steps of "
        "sigma/alpha is Adams-Bashforth in it and on equal steps of log-SNR is DPM-Solver 2M",
        r"\gamma d + (1 - \gamma) d_- = \tfrac32 d - \tfrac12 d_-, \qquad \tfrac{(18 + 5) v - (24 - 8) v_1 + (6 - 1) "
        r"v_2}{12} = \tfrac{23 \epsilon - 16 \epsilon_1 + 5 \epsilon_2}{12}",
        "Permenter & Yuan 2024; Wizadwongsa et al. 2023; Zhang & Chen 2023; Liu et al. 2022",
        (in_clock(SIGMA, 3), two),
        (in_clock(STRAIGHT, 3), two),
        (in_clock(in_ratio(), 4), heavy),
        (in_clock(in_ratio(), 4, equal=True), [*heavy, partial(adams.rho_ab, order=3)]),
        (in_log_snr(ANY, 3, equal=True)[0], [partial(adams.pndm, order=2), one.dpm_solver_2m]),
    )


def pndm_is_adams() -> Statement:
    """F-PNDM whole, its pseudo Runge-Kutta start included, where equal times are equal steps of ``sigma / alpha``."""
    return equal(
        "F-PNDM is Adams-Bashforth 4 in sigma/alpha, started with Runge-Kutta 4, on steps equal in sigma/alpha with "
        "nodes half-way in it",
        r"\text{transfer}(x, e) = \alpha_t \Bigl[\frac{x}{\alpha_s} + \delta e\Bigr]: \qquad \frac{x_t}{\alpha_t} = "
        r"\frac{x}{\alpha_s} + \frac{\delta}{24} (55 \epsilon - 59 \epsilon_1 + 37 \epsilon_2 - 9 \epsilon_3)",
        "Liu et al. 2022; diffnum.solvers: f_pndm",
        (in_clock(in_ratio(), 4, equal=True), [adams.f_pndm, solvers.f_pndm, adams.ab_4]),
    )


def leapfrog() -> Statement:
    """BDIA with ``gamma = 1``."""
    return equal(
        "BDIA at gamma = 1 is leapfrog in sigma where alpha = 1",
        r"x_t = x_r - \bigl(x + (\sigma_r - \sigma_s) \epsilon\bigr) + \bigl(x + (\sigma_t - \sigma_s) \epsilon\bigr) "
        r"= x_r + (\sigma_t - \sigma_r)\, \epsilon",
        "Zhang et al. 2024",
        (in_clock(SIGMA, 3), [adams.bdia, adams.leapfrog]),
    )


# --- the code that runs


def what_runs_in_ratio() -> Statement:
    """Samplers of diffnum on ``sigma / alpha``, whose weights are rational there, on any process and any four steps."""
    levels = in_clock(in_ratio(), 4)
    return equal(
        "deis_rhoab_3 = ghvb3 at b = 1, deis_rhoab_4 = lms_4 = ghvb4 at b = 1, ipndm_3 = ghvb of three points at b = 1 "
        "and ipndm_4 of diffnum are the published samplers; on equal steps ipndm_4 is rhoAB-DEIS of four points",
        r"\frac{x_t}{\alpha_t} = \frac{x}{\alpha_s} + \sum_j \epsilon_j \int_{\kappa_s}^{\kappa_t} \ell_j\, d\kappa, "
        r"\qquad \kappa = \frac{\sigma}{\alpha}",
        "Zhang & Chen 2023; Wizadwongsa et al. 2024; diffnum.solvers",
        (levels, [partial(adams.rho_ab, order=3), solvers.deis_rhoab_3, solvers.ghvb3.with_options(b=1)]),
        (
            levels,
            [partial(adams.rho_ab, order=4), solvers.deis_rhoab_4, solvers.lms_4, solvers.ghvb4.with_options(b=1)],
        ),
        (levels, [partial(adams.pndm, order=3), solvers.ipndm_3, solvers.ghvb.with_options(r=3, b=1)]),
        (levels, [partial(adams.pndm, order=4), solvers.ipndm_4]),
        (in_clock(in_ratio(), 4, equal=True), [partial(adams.rho_ab, order=4), solvers.ipndm_4]),
    )


def what_runs() -> Statement:
    """Samplers of diffnum, made of rules, quantities and variables, against the formulas of the sources."""
    half = sympy.Rational(1, 2)
    one_step, two_steps, three_steps = (in_log_snr(ANY, steps)[0] for steps in (1, 2, 3))
    return equal(
        "kdpm2, res_2s, etd2rk, dpm_solver_2_taylor, rho_heun, dpm_2m, exp_ab2, exp_ab2_noise, deis_rhoab_2, ipndm_2, "
        "unip_2 and unip_3 of diffnum are the published samplers",
        r"\text{normal form}(\text{diffnum}) = \text{normal form}(\text{published})",
        "diffnum.solvers; theory.published, theory.published_multistep",
        (in_log_snr(CONSTANT, 2)[0], [solvers.kdpm2, one.dpm_2]),
        (one_step, [solvers.res_2s, partial(one.seeds_2, r=half)]),
        (one_step, [solvers.etd2rk, partial(one.seeds_2, r=1)]),
        (one_step, [solvers.dpm_solver_2_taylor, partial(one.exponential_noise, c=half, b=one.stiff(half))]),
        (two_steps, [solvers.rho_heun, one.ratio_heun]),
        (three_steps, [solvers.dpm_2m, one.dpm_solver_2m]),
        (three_steps, [solvers.exp_ab2, one.res_2m]),
        (three_steps, [solvers.exp_ab2_noise, one.deis_log_rho]),
        (two_steps, [solvers.deis_rhoab_2, adams.rho_ab]),
        (two_steps, [solvers.ipndm_2, partial(adams.pndm, order=2)]),
        (three_steps, [solvers.unip_2, one.unip]),
        (three_steps, [solvers.unip_3, partial(one.unip, order=3)]),
    )


# --- with noise


def names_of_ancestral() -> Statement:
    """First-order steps of the reverse SDE, draws included."""
    sde = [ddpm_ancestral, noisy.er_sde_1, partial(noisy.k_dpmpp_2m_sde, weight=noisy.sde_first)]
    return equal(
        "DDPM ancestral sampling is SDE-DPM-Solver++-1 and ER-SDE-1 at phi = x^2, and Euler ancestral where alpha = 1",
        r"\frac{\sigma_t}{\sigma_s} e^{-h} x + \alpha_t (1 - e^{-2h}) D + \sigma_t \sqrt{1 - e^{-2h}}\, z, \qquad "
        r"\sigma_\downarrow = \frac{\sigma_t^2}{\sigma_s}, \quad \sigma_\uparrow^2 = \sigma_t^2 - \sigma_\downarrow^2",
        "Ho et al. 2020; Lu et al. 2022; Cui et al. 2023; k-diffusion: sample_euler_ancestral",
        (in_log_snr(ANY, 2)[0], sde),
        (in_log_snr(CONSTANT, 2)[0], [*sde, noisy.euler_ancestral]),
    )


def eta_of_euler_ancestral() -> Statement:
    """One ``eta`` under two names."""
    eta = sympy.Symbol("eta", positive=True)
    return equal(
        "Euler ancestral is DDIM with the same eta where alpha = 1",
        r"x + (\sigma_\downarrow - \sigma_s)\, \epsilon + \sigma_\uparrow z = D + \sqrt{\sigma_t^2 - \nu^2}\, "
        r"\epsilon + \nu z, \qquad \nu = \sigma_\uparrow = \eta\, \sigma_t \sqrt{1 - \sigma_t^2 / \sigma_s^2}",
        "k-diffusion: sample_euler_ancestral; diffnum.solvers: ddim_eta",
        (in_log_snr(CONSTANT, 2)[0], [partial(noisy.euler_ancestral, eta=eta), partial(_ddim_eta, eta=eta)]),
    )


def _ddim_eta(T: Trace, levels: Any, eta: Any) -> None:
    """Song et al. 2021, eq. 16, for a symbolic ``eta``."""
    for s, t in T.steps(levels):
        nu = eta * t.sigma * sqrt(-expm1(-2 * T.h(s, t)))
        e = T.evaluate(T.x, s)
        T.x = t.alpha * e.data + sqrt(t.sigma**2 - nu**2) * e.noise + nu * T.noise(s, t)


def two_step_sde() -> Statement:
    """The multistep method for the reverse SDE of two families, draws included, and without noise."""
    return equal(
        'DPM-Solver++(2M) SDE of type "heun" is RES 2M with ancestral noise where alpha = 1; without noise the types '
        "are RES 2M and DPM-Solver++(2M)",
        r"\frac{\sigma_t}{\sigma_s} e^{-h} x + \alpha_t\, 2h \Bigl[\varphi_1(-2h) D + \varphi_2(-2h)\, \frac{h}{h_-} "
        r"(D - D_-)\Bigr] + \sigma_t \sqrt{1 - e^{-2h}}\, z",
        "k-diffusion: sample_dpmpp_2m_sde; ComfyUI: res_multistep_ancestral; Lu et al. 2022; Zhang et al. 2023",
        (in_log_snr(CONSTANT, 3)[0], [partial(noisy.k_dpmpp_2m_sde, weight=noisy.sde_heun), noisy.res_ancestral]),
        (in_log_snr(ANY, 3)[0], [partial(noisy.k_dpmpp_2m_sde, eta=0, weight=noisy.sde_heun), one.res_2m]),
        (in_log_snr(ANY, 3)[0], [partial(noisy.k_dpmpp_2m_sde, eta=0), dpmpp_2m]),
    )


CHAPTER: Chapter = (
    more_names_of_ddim,
    transfer_of_pndm,
    convex_combination,
    rf_solver,
    dpm_2,
    trapezoids,
    exponential_midpoint,
    stiff_two_stage,
    names_of_2m,
    names_of_res_2m,
    unip_3,
    deis_in_log_rho,
    variable_adams,
    constant_adams,
    pndm_is_adams,
    leapfrog,
    what_runs,
    what_runs_in_ratio,
    names_of_ancestral,
    eta_of_euler_ancestral,
    two_step_sde,
)
