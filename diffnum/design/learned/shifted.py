"""The window and the cut-off of time-shift sampling, chosen on trajectories (Li et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...adaptive import TimeShift, sample_shifted
from ...plan import Plan
from ..trajectories import Trajectories

__all__ = ["fit_time_shift"]


def fit_time_shift(
    plan: Plan,
    trajectories: Trajectories,
    windows: Sequence[float],
    cutoffs: Sequence[float],
    process: Any,
    data_variance: float = 0.0,
) -> tuple[TimeShift, float]:
    """The best shift among some windows and cut-offs, no shift included, and its error.

    The papers choose both by sample quality on each data set; here it is the distance to the exact trajectories' ends.

    Args:
        plan: of noise prediction.
        windows, cutoffs: in units of ``t``; see :class:`diffnum.adaptive.TimeShift`.
        process: of the plan.
        data_variance: as there: 0 is the published criterion.
    """
    x = trajectories.at(plan.start)
    found = []
    for shift in (
        TimeShift(process, 0.0),
        *(TimeShift(process, w, c, data_variance=data_variance) for w in windows for c in cutoffs),
    ):
        ends = sample_shifted(plan, trajectories.target, x, shift).x
        found.append((float(np.sqrt(((ends - trajectories.end) ** 2).sum(-1).mean())), shift))
    error, best = min(found, key=lambda pair: pair[0])
    return best, error
