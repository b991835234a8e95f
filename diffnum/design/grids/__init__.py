"""Grids: in closed form, by gradient, by dynamic programming, by search, and as published.

All return a :class:`diffnum.grid.Grid`, so that ``dn.compile(sampler, grid)`` runs on it.

- For DDIM and a Gaussian: :func:`tangent` (one variance, exact), :func:`tangent_w2` and :func:`tangent_kl` (a spectrum,
  exact for many steps and near the optimum with few, in no time), :func:`lower_bound_w2` and :func:`lower_bound_kl`
  (what no grid beats).
- For one-step samplers: :func:`certified_w2` and :func:`certified_kl` (the best of given levels on a Gaussian, proved).
- For any sampler: :func:`spectral_w2` and :func:`spectral_kl` (a Gaussian), :func:`gradient_grid` (trajectories of any
  law), :func:`by_gradient` (any differentiable error), :func:`evolve` (any error).
- As published: :func:`boss`, :func:`gits`, :func:`oss`, :func:`ays`, :func:`beta`, :func:`hyper`, and :data:`TABLES`.
- Their numbers for one's own law: :func:`fit_beta`, :func:`fit_hyper`.
- With a first step that costs no call: :func:`analytic_first` (of a plan), :func:`gits_analytic` (the grid for it).
- For another number of steps: :func:`interpolate`, :func:`interpolate_monotone`.
"""

from __future__ import annotations

from .analytic import analytic_first, gits_analytic
from .angles import tangent, tangent_kl, tangent_w2
from .bands import band_changes, beta, commit_lams, peak_lams
from .certified import Certified, certified_kl, certified_w2, lower_bound_kl, lower_bound_w2, step_factors
from .descent import by_gradient, gradient_grid, spectral_kl, spectral_w2
from .evolution import Evolution, evolve
from .fitted import fit_beta, fit_hyper
from .interpolation import interpolate, interpolate_monotone
from .klub import ays, ays_bound, mmse
from .paths import Path, shortest
from .published import (
    AYS_SD15,
    AYS_SDXL,
    AYS_SVD,
    GITS_CIFAR10,
    GITS_SD15,
    OSS_FLUX,
    OSS_WAN,
    TABLES,
    Table,
    at_sigmas,
    at_times,
)
from .ramps import RAMPS, Ramp, hyper
from .stepwise import boss, boss_costs, deviation_costs, gits, l1_costs, l2_costs, oss, oss_corrected, oss_published
from .teacher import Teacher

__all__ = [
    "AYS_SD15", "AYS_SDXL", "AYS_SVD", "GITS_CIFAR10", "GITS_SD15", "OSS_FLUX", "OSS_WAN", "RAMPS", "TABLES",
    "Certified", "Evolution", "Path", "Ramp", "Table", "Teacher", "analytic_first", "at_sigmas", "at_times", "ays",
    "ays_bound", "band_changes", "beta", "boss", "boss_costs", "by_gradient", "certified_kl", "certified_w2",
    "commit_lams", "deviation_costs", "evolve", "fit_beta", "fit_hyper", "gits", "gits_analytic", "gradient_grid",
    "hyper", "interpolate", "interpolate_monotone", "l1_costs", "l2_costs", "lower_bound_kl", "lower_bound_w2", "mmse",
    "oss", "oss_corrected", "oss_published", "peak_lams", "shortest", "spectral_kl", "spectral_w2", "step_factors",
    "tangent", "tangent_kl", "tangent_w2",
]  # fmt: skip
