"""Samplers that are taken for one another and differ: by how much, in closed form.

In claims ``r, s, t`` are the last three levels, ``h, h_-`` the last two steps in log-SNR and ``delta, delta_-`` in
``kappa = sigma / alpha`` or, where ``alpha`` is known, in ``sigma``; further back they are numbered. ``D`` is the data
prediction at ``s``, ``D_-`` the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import sympy

from diffnum.order import GenericGrid
from diffnum.process import EDM, VP, Flow
from diffnum.solvers import ab2, ddim, dpmpp_2m, dpmpp_2s, heun
from diffnum.solvers.stochastic import ddim_eta, ddpm_ancestral

from . import gaps
from . import published as one
from . import published_multistep as adams
from . import published_noise as noisy
from .coordinates import ANY, CONSTANT, SIGMA, STRAIGHT, InLogSNR, in_clock, in_log_snr, in_ratio
from .gaps import Gap
from .statement import Chapter

__all__ = ["CHAPTER", "GAPS"]


def _steps(grid: GenericGrid, *steps: Any, alphas: Sequence[Any] = ()) -> dict[Any, Any]:
    """Signal scales of all levels (1 unless given), the first log-SNR (0), then the steps."""
    scales = [*alphas, *[1] * (len(grid.levels) - len(alphas))]
    known = {level.alpha: a for level, a in zip(grid.levels, scales, strict=True) if level.alpha.is_Function}
    return known | {grid.levels[0].lam: 0} | dict(zip(grid.h, steps, strict=True))


def _clocks(*at: Any, alphas: Sequence[Any] = ()) -> dict[Any, Any]:
    """Clock values, and signal scales where they are variables."""
    symbols = {sympy.Symbol(f"c_{i}"): value for i, value in enumerate(at)}
    return symbols | {sympy.Symbol(f"a_{i}"): value for i, value in enumerate(alphas)}


_ONE, _TWO, _THREE = (in_log_snr(ANY, steps)[0] for steps in (1, 2, 3))
_FLOW = in_log_snr(InLogSNR(lambda lam: 1 / (1 + sympy.exp(-lam))), 2)[0]
_SIGMA_IN_LAMBDA = in_log_snr(CONSTANT, 2)[0]

_ONE_STEP = (
    Gap(
        "The MiniMax step is not DDIM where alpha is neither 1 nor 1 - sigma",
        r"\text{MiniMax} - \text{DDIM} = \Bigl[(1 - \alpha_t) - \frac{\sigma_t}{\sigma_s} (1 - \alpha_s)\Bigr] D",
        "MiniMax; diffnum.solvers: ddim",
        one.minimax,
        ddim,
        gaps.minimax,
        _ONE,
        _steps(_ONE, sympy.log(2), alphas=(sympy.Rational(1, 2), sympy.Rational(3, 4))),
        VP,
    ),
    Gap(
        "Heun on flow matching is not the trapezoid in sigma/alpha, though Euler is DDIM",
        r"\text{Heun} - \text{rhoRK-Heun} = -\frac{(\sigma_t - \sigma_s)^2}{2\, \sigma_t (1 - \sigma_s)}\, (D_t - D_s)",
        "diffnum.solvers: heun; Zhang & Chen 2023; Sun et al. 2025",
        heun,
        one.ratio_heun,
        gaps.heun,
        in_clock(STRAIGHT, 1),
        _clocks(sympy.Rational(3, 4), sympy.Rational(1, 4)),
        Flow,
    ),
    Gap(
        "DPM-Solver++(2S) is not RES 2S: the exponential midpoint rule is not the method with phi_2",
        r"\text{2S} - \text{RES 2S} = 2 \alpha_t h \Bigl[\frac{\varphi_1(-h)}{2} - \varphi_2(-h)\Bigr] (D_m - D_s) = "
        r"-\frac{\alpha_t h^2}{6} (D_m - D_s) + O(h^4), \qquad r = \tfrac12",
        "diffnum.solvers: dpmpp_2s; Zhang et al. 2023",
        dpmpp_2s,
        one.seeds_2,
        gaps.two_stages,
        _ONE,
        _steps(_ONE, 1),
        VP,
    ),
    Gap(
        "The eta of DPM-Solver++ SDE is not the eta of DDIM between 0 and 1",
        r"\text{SDE} - \text{DDIM} = \Bigl[\sqrt{\sigma_t^2 - \nu_S^2} - \sqrt{\sigma_t^2 - \nu_D^2}\Bigr]\, \epsilon "
        r"+ (\nu_S - \nu_D)\, z, \qquad \nu_S = \sigma_t \sqrt{1 - e^{-2 \eta h}},\ \nu_D = \eta\, \sigma_t \sqrt{1 - "
        r"e^{-2h}},\ \eta = \tfrac12",
        "k-diffusion: sample_dpmpp_2m_sde; diffnum.solvers: ddim_eta",
        partial(noisy.k_dpmpp_2m_sde, eta=sympy.Rational(1, 2)),
        ddim_eta.with_options(eta=sympy.Rational(1, 2)),
        gaps.eta,
        _ONE,
        _steps(_ONE, sympy.log(2)),
        VP,
    ),
    Gap(
        "SDE-DPM-Solver-1 is not SDE-DPM-Solver++-1, though without noise both are DDIM",
        r"\text{noise} - \text{data} = -\alpha_t \frac{\sigma_s}{\alpha_s} (1 - e^{-h})^2\, \epsilon + \sigma_t "
        r"\sqrt{1 - e^{-2h}}\, (e^h - 1)\, z",
        "Lu et al. 2022; diffnum.solvers: ddpm_ancestral",
        noisy.sde_dpm_solver,
        ddpm_ancestral,
        gaps.sde,
        _ONE,
        _steps(_ONE, sympy.log(2)),
        VP,
    ),
)

_TWO_STEPS = (
    Gap(
        'DPM-Solver++(2M) is not RES 2M, which is its type "heun"',
        r"\text{2M} - \text{RES 2M} = \alpha_t h\, \frac{h}{h_-} \Bigl[\frac{\varphi_1(-h)}{2} - \varphi_2(-h)\Bigr] "
        r"(D - D_-) = -\frac{\alpha_t h^3}{12\, h_-} (D - D_-) + O(h^4)",
        "diffnum.solvers: dpmpp_2m; Zhang et al. 2023",
        dpmpp_2m,
        one.res_2m,
        gaps.midpoint_or_heun,
        _TWO,
        _steps(_TWO, 1, 1),
        VP,
    ),
    Gap(
        'DPM-Solver++(2M) SDE of type "midpoint" is not that of type "heun"',
        r"\text{midpoint} - \text{heun} = 2 \alpha_t h\, \frac{h}{h_-} \Bigl[\frac{\varphi_1(-2h)}{2} - "
        r"\varphi_2(-2h)\Bigr] (D - D_-)",
        "k-diffusion: sample_dpmpp_2m_sde",
        noisy.k_dpmpp_2m_sde,
        partial(noisy.k_dpmpp_2m_sde, weight=noisy.sde_heun),
        gaps.sde_midpoint_or_heun,
        _TWO,
        _steps(_TWO, 1, 1),
        VP,
    ),
    Gap(
        "UniP-2 with B_1 is not DPM-Solver++(2M), though with B_2 it is",
        r"\text{UniP-2}(B_1) - \text{2M} = \frac{\alpha_t h^3}{2 h_-}\, \varphi_2(-h)\, (D - D_-), \qquad B_1(z) = z",
        "Zhao et al. 2023; diffnum.solvers: dpmpp_2m",
        partial(one.unip, B=one.b_1),
        dpmpp_2m,
        gaps.b_1,
        _TWO,
        _steps(_TWO, 1, 1),
        VP,
    ),
    Gap(
        "ETD2 with weights of equal steps, as ABNorsett 2M in RES4LYF, is not RES 2M on others",
        r"\text{ETD2} - \text{RES 2M} = \alpha_t h\, \varphi_2(-h) \Bigl(1 - \frac{h}{h_-}\Bigr) (D - D_-)",
        "Cox & Matthews 2002; Zhang et al. 2023",
        one.etd_2,
        one.res_2m,
        gaps.constant_etd,
        _TWO,
        _steps(_TWO, 2, 1),
        VP,
    ),
    Gap(
        "k-diffusion's 2M run on flow matching is not DPM-Solver++(2M): it extrapolates in log sigma, not in log-SNR",
        r"\text{k-diffusion 2M} - \text{2M} = \Bigl(1 - \frac{\sigma_t}{\sigma_s}\Bigr) \frac12 "
        r"\Bigl[\frac{\log(\sigma_s / \sigma_t)}{\log(\sigma_r / \sigma_s)} - \frac{h}{h_-}\Bigr] (D - D_-), \qquad "
        r"\alpha = 1 - \sigma",
        "k-diffusion: sample_dpmpp_2m; diffnum.solvers: dpmpp_2m",
        one.k_dpmpp_2m,
        dpmpp_2m,
        gaps.k_on_flow,
        _FLOW,
        _steps(_FLOW, sympy.log(3), sympy.log(5)),
        Flow,
    ),
    Gap(
        "A two-step Adams-Bashforth method in sigma is not DPM-Solver++(2M), whatever its name",
        r"\text{2M} - \text{AB2} = -\frac{\delta}{2 \sigma_s} \Bigl[\frac{h}{h_-} - \frac{\delta}{\delta_-}\Bigr] (D "
        r"- D_-), \qquad \alpha = 1",
        "diffnum.solvers: dpmpp_2m, ab2",
        dpmpp_2m,
        ab2,
        gaps.adams_for_2m,
        _SIGMA_IN_LAMBDA,
        _steps(_SIGMA_IN_LAMBDA, sympy.log(2), sympy.log(4)),
        EDM,
    ),
    Gap(
        "AB2 on flow matching is not rhoAB-DEIS-1, though Euler is DDIM",
        r"\text{AB2} - \text{rhoAB} = -\frac{\delta^2}{2\, \delta_-\, \sigma_s}\, \frac{\alpha_t - "
        r"\alpha_r}{\alpha_t}\, (D - D_-), \qquad \alpha = 1 - \sigma",
        "diffnum.solvers: ab2; Zhang & Chen 2023",
        ab2,
        adams.rho_ab,
        gaps.adams_on_flow,
        in_clock(STRAIGHT, 2),
        _clocks(*(sympy.Rational(n, 8) for n in (6, 4, 1))),
        Flow,
    ),
    Gap(
        "S-PNDM's and iPNDM-2's weights are not Adams-Bashforth's on steps that are not equal in sigma/alpha",
        r"\text{S-PNDM} - \text{rhoAB} = \frac{\alpha_t \delta}{2} \Bigl(1 - \frac{\delta}{\delta_-}\Bigr) (\epsilon "
        r"- \epsilon_-) = -\frac{\alpha_t \delta}{2 \kappa_s} \Bigl(1 - \frac{\delta}{\delta_-}\Bigr) (D - D_-)",
        "Liu et al. 2022; Zhang & Chen 2023",
        partial(adams.pndm, order=2),
        adams.rho_ab,
        gaps.constant_weights,
        in_clock(in_ratio(), 2),
        _clocks(4, 2, 1, alphas=(1, 1, 1)),
        VP,
    ),
    Gap(
        "Gradient estimation with its default gamma = 2 is not Adams-Bashforth",
        r"\text{GE}(\gamma) - \text{iPNDM-2} = \bigl(\gamma - \tfrac32\bigr)\, \delta\, (d - d_-) = -\frac{\delta}{2 "
        r"\sigma_s} (D - D_-), \qquad \gamma = 2",
        "Permenter & Yuan 2024; Zhang & Chen 2023",
        adams.gradient_estimation,
        partial(adams.ipndm, order=2),
        gaps.gamma,
        in_clock(SIGMA, 2),
        _clocks(4, 2, 1),
        EDM,
    ),
    Gap(
        "BDIA at gamma = 1 is not leapfrog in sigma/alpha where alpha varies",
        r"\text{BDIA} - \text{leapfrog} = (\alpha_t - \alpha_r)(\kappa_s - \kappa_r)(\epsilon_- - \epsilon) = "
        r"(\alpha_t - \alpha_r)\, \frac{\kappa_s - \kappa_r}{\kappa_s}\, (D - D_-)",
        "Zhang et al. 2024",
        adams.bdia,
        adams.leapfrog,
        gaps.bdia,
        in_clock(in_ratio(), 2),
        _clocks(4, 2, 1, alphas=(1, 2, 3)),
        VP,
    ),
)

_LONGER = (
    Gap(
        "DPM-Solver 2M on the noise is not DPM-Solver++(2M): they agree for two steps and part at the third",
        r"\text{2M noise} - \text{2M data} = -\alpha_t (1 - e^{-h})(1 - e^{-h_-})\, \frac{h}{4 h_{--}}\, (D_- - "
        r"D_{--})",
        "Lu et al. 2022; diffnum.solvers: dpmpp_2m",
        one.dpm_solver_2m,
        dpmpp_2m,
        gaps.noise_or_data,
        _THREE,
        _steps(_THREE, 1, 1, 1),
        VP,
    ),
    Gap(
        "UCGM with kappa = half the step ratio is not AB2: they agree for two steps and part at the third",
        r"\text{UCGM} - \text{AB2} = \kappa \bigl[x - x_- - \delta_- v_-\bigr] = -\frac{\delta\, \delta_-}{4\, "
        r"\delta_{--}\, \sigma_r}\, (D_- - D_{--}), \qquad \kappa = \frac{\delta}{2 \delta_-},\ \alpha = 1 - \sigma",
        "Sun et al. 2025; diffnum.solvers: ab2",
        adams.ucgm,
        ab2,
        gaps.ucgm,
        in_clock(STRAIGHT, 3),
        _clocks(*(sympy.Rational(n, 8) for n in (7, 6, 4, 1))),
        Flow,
    ),
    Gap(
        "iPNDM-v of order three is not Adams-Bashforth 3: a factor stands inside a parenthesis instead of outside",
        r"\text{iPNDM-v-3} - \text{AB3} = \frac{\delta}{2} \bigl[\delta_1 (\delta_1 + \delta_2) - \delta (\delta + "
        r"\delta_1)\bigr]\, d[\sigma_s, \sigma_1, \sigma_2]",
        "diff-sampler; ComfyUI: sample_ipndm_v",
        adams.ipndm_v,
        partial(adams.lms, order=3),
        gaps.ipndm_v,
        in_clock(SIGMA, 3),
        _clocks(8, 4, 2, 1),
        EDM,
    ),
    Gap(
        "F-PNDM's step is not Adams-Bashforth 4 on steps that are not equal in sigma/alpha",
        r"\text{F-PNDM} - \text{AB4} = \alpha_t \delta \Bigl[\tfrac{31}{24} \delta_1 \epsilon_{01} - \tfrac{7}{6} "
        r"\delta_2 \epsilon_{12} + \tfrac{3}{8} \delta_3 \epsilon_{23} - \tfrac{\delta}{2} \epsilon_{01} - "
        r"\tfrac{\delta (2 \delta + 3 \delta_1)}{6} \epsilon_{012} - \tfrac{\delta [3 \delta^2 + 4 \delta (2 \delta_1 "
        r"+ \delta_2) + 6 \delta_1 (\delta_1 + \delta_2)]}{12} \epsilon_{0123}\Bigr]",
        "Liu et al. 2022; divided differences of the noise over the last four levels in kappa, from DDIM's history",
        partial(gaps.after_ddim, weights=gaps.constant_4),
        partial(gaps.after_ddim, weights=gaps.variable_4),
        gaps.fourth_order,
        in_clock(in_ratio(), 4),
        _clocks(16, 8, 4, 2, 1, alphas=(1, 1, 1, 1, 1)),
        VP,
    ),
)

GAPS: tuple[Gap, ...] = (*_ONE_STEP, *_TWO_STEPS, *_LONGER)
CHAPTER: Chapter = tuple(gap.statement for gap in GAPS)
