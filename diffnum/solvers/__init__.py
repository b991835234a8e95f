"""Every sampler: a few lines of formula with a claim. ``ALL`` maps names to :class:`~diffnum.trace.Solver`."""

from __future__ import annotations

from ..trace import Solver
from .multistep import ab2, dpmpp_2m, dpmpp_3m, dpmpp_3m_corrected
from .onestep import ddim, dpm_solver_1, dpm_solver_2, dpmpp_1, dpmpp_2s, euler, heun, midpoint, rk4
from .stochastic import (
    ddim_eta,
    ddpm_ancestral,
    euler_maruyama,
    exponential_integrator,
    langevin_corrector,
    langevin_corrector_refined,
)

ALL: dict[str, Solver] = {
    member.name: member
    for member in (
        euler,
        heun,
        midpoint,
        rk4,
        ab2,
        ddim,
        dpm_solver_1,
        dpm_solver_2,
        dpmpp_1,
        dpmpp_2s,
        dpmpp_2m,
        dpmpp_3m,
        dpmpp_3m_corrected,
        ddpm_ancestral,
        ddim_eta,
        euler_maruyama,
        exponential_integrator,
        langevin_corrector,
        langevin_corrector_refined,
    )
}

__all__ = ["ALL", *ALL]  # pyright: ignore[reportUnsupportedDunderAll]
