"""The processes, schedules and ends that the tests of grids share."""

from __future__ import annotations

import pytest

from diffnum.grid import edm, exponential, karras, log_snr, quadratic, uniform
from diffnum.process import DDPM, EDM, VE, VP, Cosine, CosineRate, Flow, MeanReverting, SubVP

PROCESSES = {
    "VP": VP(),
    "Cosine": Cosine(),
    "VE": VE(),
    "EDM": EDM(),
    "SubVP": SubVP(),
    "Flow": Flow(),
    "Flow shift 3": Flow(3.0),
    "DDPM": DDPM(),
    "DDPM smooth": DDPM(smooth=True),
    "DDPM alpha=0": DDPM([0.1, 0.3, 0.02, 0.9, 1.0]),
    "CosineRate": CosineRate(),
    "MeanReverting": MeanReverting(sigma_max=0.5),
}
SCHEDULES = {
    "uniform": uniform,
    "log_snr": log_snr,
    "karras": karras,
    "exponential": exponential,
    "exponential rho=2": lambda *a, **k: exponential(*a, **k, rho=2.0),
    "edm": edm,
    "quadratic": quadratic,
}
LAM_ENDS = (-1.5, 2.2)

every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def ends(process):
    """A start and a stop that every process here has."""
    low = max(LAM_ENDS[0], process.lam(process.t_start))
    high = min(LAM_ENDS[1], process.lam(process.t_clean))
    return process.at(low), process.at(high)
