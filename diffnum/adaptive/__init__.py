"""Samplers that look at what they compute: loops over compiled one-step plans, each with the plan that it froze."""

from .controllers import DPM, H211PI, K_DIFFUSION, PI42, PID, Controller, I
from .doubling import doubling, extrapolated
from .dpm_solver_v3 import dpm_solver_v3, sample_v3
from .estimate import estimate
from .evodiff import Evolved, evodiff, frozen_evodiff
from .ito_taylor import Expanded, ito_taylor
from .loop import Adapted, adapt, adapt_each, largest, mean
from .pairs import PAIRS, Pair
from .score_sde import Corrected, Gone, gotta_go_fast, gotta_go_fast_each, langevin_by_norms, langevin_of_sizes
from .statistics import Offset, Statistics
from .taylor import Taylored, derivatives, expansion, taylor, two_stage
from .time_shift import Shifted, TimeShift, sample_shifted

__all__ = [
    "DPM",
    "H211PI",
    "K_DIFFUSION",
    "PAIRS",
    "PI42",
    "PID",
    "Adapted",
    "Controller",
    "Corrected",
    "Evolved",
    "Expanded",
    "Gone",
    "I",
    "Offset",
    "Pair",
    "Shifted",
    "Statistics",
    "Taylored",
    "TimeShift",
    "adapt",
    "adapt_each",
    "derivatives",
    "doubling",
    "dpm_solver_v3",
    "estimate",
    "evodiff",
    "expansion",
    "extrapolated",
    "frozen_evodiff",
    "gotta_go_fast",
    "gotta_go_fast_each",
    "ito_taylor",
    "langevin_by_norms",
    "langevin_of_sizes",
    "largest",
    "mean",
    "sample_shifted",
    "sample_v3",
    "taylor",
    "two_stage",
]
