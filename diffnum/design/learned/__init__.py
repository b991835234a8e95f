"""Published methods that learn a sampler's numbers, on exact trajectories of a surrogate instead of a network's.

| method | learns | how | result |
|---|---|---|---|
| solver search | all past weights, times | least squares at the end | :data:`searched_vp`, :data:`searched_flow` |
| D-ODE | a share of the last change per step | closed form, step after step | :data:`d_ddim`, ... |
| DC-Solver | where outputs are moved to, per step | step after step | :data:`dc_solver_2`, :data:`dc_solver_3` |
| timestep aligner | the time told, per step | step after step | a plan, by :func:`aligned` |
| USF, S^3 | decisions per step, levels | evolution | :data:`strategy` |
| bespoke | scale and time, or everything | least squares at the end | :data:`bespoke_euler`, :data:`non_stationary` |
| S4S | weights, from relaxed starts | least squares at the end | :data:`s4s` |
| calibration | the mean of the score | noised data | a model, :class:`Calibrated` |
| time shift | window and cut-off | choice | :class:`diffnum.adaptive.TimeShift` |
| optimal boundary | the start | choice among candidates | :class:`Boundary` |
| OSS, renormalised | amplitudes of states | means over a fine run | a run, :func:`sample_renormalised` |
"""

from .aligned import align, align_coded, aligned, isotropic_level
from .bespoke import bespoke_euler, fit_bespoke, fit_non_stationary, fit_s4s, non_stationary, s4s
from .boundary import Boundary, best_boundary, expected_best
from .calibrated import Calibrated, calibrate
from .compensated import Cascade, compensate, dc_solver_2, dc_solver_3
from .distilled import d_ddim, d_ddim_data, d_deis_rhoab_3, d_dpmpp_2m, d_edm, d_ipndm_4, distill, distill_edm
from .evolution import Decisions, Space, evolve, presets
from .fitting import Learned
from .guided import Guided
from .renormalised import amplitudes, sample_renormalised
from .search import adams_rows, search_solver, search_times, searched_flow, searched_times, searched_vp
from .shifted import fit_time_shift
from .taylor import Taylor
from .usf import Corrector, Step, strategy

__all__ = [
    "Boundary",
    "Calibrated",
    "Cascade",
    "Corrector",
    "Decisions",
    "Guided",
    "Learned",
    "Space",
    "Step",
    "Taylor",
    "adams_rows",
    "align",
    "align_coded",
    "aligned",
    "amplitudes",
    "bespoke_euler",
    "best_boundary",
    "calibrate",
    "compensate",
    "d_ddim",
    "d_ddim_data",
    "d_deis_rhoab_3",
    "d_dpmpp_2m",
    "d_edm",
    "d_ipndm_4",
    "dc_solver_2",
    "dc_solver_3",
    "distill",
    "distill_edm",
    "evolve",
    "expected_best",
    "fit_bespoke",
    "fit_non_stationary",
    "fit_s4s",
    "fit_time_shift",
    "isotropic_level",
    "non_stationary",
    "presets",
    "s4s",
    "sample_renormalised",
    "search_solver",
    "search_times",
    "searched_flow",
    "searched_times",
    "searched_vp",
    "strategy",
]
