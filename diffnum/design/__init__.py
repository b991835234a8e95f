"""Grids and coefficients optimised on a surrogate of the data, whose denoiser is exact: no network is called."""

from __future__ import annotations

from . import grids, learned
from .around import Around
from .contest import Verdict, verdicts
from .designing import Design, design
from .followed import Followed
from .free import Free, free_multistep
from .handmade import Candidate, best_on, candidates
from .interval import Interval
from .judging import judge
from .refining import Refined, refine
from .surrogates import chosen_by, designed_on, judged_on, of_spectrum, split
from .training import Fit, fit
from .trajectories import Trajectories
from .trial import Part, Trial, gaussian_trial

__all__ = [
    "Around",
    "Candidate",
    "Design",
    "Fit",
    "Followed",
    "Free",
    "Interval",
    "Part",
    "Refined",
    "Trajectories",
    "Trial",
    "Verdict",
    "best_on",
    "candidates",
    "chosen_by",
    "design",
    "designed_on",
    "fit",
    "free_multistep",
    "gaussian_trial",
    "grids",
    "judge",
    "judged_on",
    "learned",
    "of_spectrum",
    "refine",
    "split",
    "verdicts",
]
