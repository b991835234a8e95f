"""MR Sampler (Li et al. 2025): multistep steps for mean-reverting diffusion, which are those of centred diffusion.

In ``u = x - mu`` (:class:`diffnum.bridges.Centred`) MRS-n for the ODE is exponential Adams-Bashforth of ``n`` points in
log-SNR, on the data or on the noise; :mod:`theory.mean_reverting` proves it. Its first steps are MRS-1, then MRS-2.
Orders one and two, and order three with its factor restored, have other names already and keep them here as aliases:

    mrs_1 = dpmpp_1             mrs_1_noise = dpm_solver_1
    mrs_2 = exp_ab2             mrs_2_noise = exp_ab2_noise
    mrs_3_corrected = exp_ab3   mrs_3_corrected_noise = exp_ab3_noise

The third order as published lacks the factor 2 that DPM-Solver's lacks, but is started with MRS-2, the type "heun",
where :data:`~diffnum.solvers.dpmpp_3m` is started with the type "midpoint". The authors' code lowers the order near the
end of runs of fewer than ten steps, except in the last step; that is left to the caller.
"""

from __future__ import annotations

from ..trace import Solver
from . import generated as g
from .coords import DATA, NOISE, Coords
from .multistep import exp_ab2, exp_ab2_noise, exp_ab3, exp_ab3_noise
from .onestep import dpm_solver_1, dpmpp_1
from .rules import adams, formulas, named

__all__ = [
    "mrs_1",
    "mrs_1_noise",
    "mrs_2",
    "mrs_2_noise",
    "mrs_3",
    "mrs_3_corrected",
    "mrs_3_corrected_noise",
    "mrs_3_noise",
]

MRS_3 = formulas(g.exponential_adams_1, g.exponential_adams_2, g.dpm_3m)


def _third(name: str, coords: Coords, says: str) -> Solver:
    return named(
        name,
        adams(coords, 3, MRS_3),
        says,
        order=2,
        cold=2,
        cite="li2025mrs",
        eq="MRS-3 for the ODE; reference code",
        family="exponential multistep",
        note="published as order three; the second difference lacks a factor 2, so it is of order two",
    )


mrs_1, mrs_1_noise = dpmpp_1, dpm_solver_1
mrs_2, mrs_2_noise = exp_ab2, exp_ab2_noise
mrs_3_corrected, mrs_3_corrected_noise = exp_ab3, exp_ab3_noise

mrs_3 = _third("mrs_3", DATA, "MRS-3 for the ODE as published, on the data; run it with :class:`diffnum.Centred`.")
mrs_3_noise = _third("mrs_3_noise", NOISE, "MRS-3 for the ODE as published, on the noise; as :data:`mrs_3`.")
