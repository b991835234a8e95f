"""Deterministic samplers under the names by which they are known, for pictures of which are one method.

Names are those of papers and libraries; what stands behind each is the formula of its source, from
:mod:`theory.published` or, where diffnum writes the paper's formula down, from :mod:`diffnum.solvers`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from diffnum import solvers

from . import published as one
from . import published_multistep as many
from . import published_noise as noisy

__all__ = ["ONE_EVALUATION", "TWO_EVALUATIONS"]

ONE_EVALUATION: dict[str, Any] = {
    "Euler": solvers.euler,
    "DDIM": solvers.ddim,
    "DPM-Solver-1": solvers.dpm_solver_1,
    "DPM-Solver++-1": solvers.dpmpp_1,
    "DEIS-0": partial(many.rho_ab, order=1),
    "MiniMax": one.minimax,
    "NeuralSolver, first order": one.data_in_snr,
    "UCGM, κ = 0": partial(many.ucgm, kappa=many.nothing),
    "BDIA, γ = 0": partial(many.bdia, gamma=0),
    "ER-SDE-1, φ = x": partial(noisy.er_sde_1, scale=noisy.identity),
    "AB2": solvers.ab2,
    "LMS-2": many.lms,
    "iPNDM-v-2": partial(many.ipndm_v, order=2),
    "Euler, v extrapolated by r/2": partial(many.d_ode, read="slope"),
    "rhoAB-DEIS-1": many.rho_ab,
    "D-ODE, ε extrapolated by r/2": many.d_ode,
    "iPNDM-2": partial(many.ipndm, order=2),
    "gradient estimation, γ = 3/2": partial(many.gradient_estimation, gamma=1.5),
    "S-PNDM": partial(many.pndm, order=2),
    "GHVB-2, β = 1": many.ghvb,
    "DPM-Solver 2M": one.dpm_solver_2m,
    "gradient estimation, γ = 2": many.gradient_estimation,
    "UCGM, κ = r/2": many.ucgm,
    "BDIA, γ = 1": many.bdia,
    "leapfrog": many.leapfrog,
    "LMS-3": partial(many.lms, order=3),
    "rhoAB-DEIS-2": partial(many.rho_ab, order=3),
    "iPNDM-v-3": many.ipndm_v,
    "iPNDM-3": partial(many.ipndm, order=3),
    "DPM-Solver++(2M)": solvers.dpmpp_2m,
    "UniP-2, B₂": one.unip,
    "D-ODE, D extrapolated by r/2": partial(many.d_ode, read="data"),
    "2M of k-diffusion": one.k_dpmpp_2m,
    "UniP-2, B₁": partial(one.unip, B=one.b_1),
    "RES 2M": one.res_2m,
    "DPM-Solver++(2M), heun": one.dpmpp_heun,
    "UniP-2, solved": partial(one.unip, two=one.solved),
    "ETD2": one.etd_2,
    "DPM-Solver 2M, heun": one.dpm_solver_heun,
    "DEIS-1 in log σ/α": one.deis_log_rho,
    "DPM-Solver++(3M)": solvers.dpmpp_3m,
    "DPM-Solver++(3M), corrected": solvers.dpmpp_3m_corrected,
    "UniP-3": partial(one.unip, order=3),
}
"""Of one model evaluation a step, on every process and grid with ``0 < sigma`` and ``0 < alpha``."""

TWO_EVALUATIONS: dict[str, Any] = {
    "Heun": solvers.heun,
    "rhoRK-Heun": one.ratio_heun,
    "UCGM, second order": one.ucgm_heun,
    "midpoint": solvers.midpoint,
    "RF-Solver": one.rf_solver,
    "DPM2 of k-diffusion": one.dpm_2,
    "DPM-Solver-2": solvers.dpm_solver_2,
    "DPM-Solver++(2S)": solvers.dpmpp_2s,
    "exponential midpoint": partial(one.exponential_data, c=0.5, b=one.weak(0.5)),
    "RES 2S": partial(one.exponential_data, c=0.5, b=one.stiff(0.5)),
    "SEEDS-2, phi_2": one.seeds_2,
    "DPM-Solver++(2S), taylor": one.taylor_2s,
}
"""Of two evaluations a step."""
