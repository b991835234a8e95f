"""The processes that the tests of processes share."""

from __future__ import annotations

import math

import pytest

from diffnum.process import DDPM, EDM, VE, VP, Cosine, CosineRate, Flow, MeanReverting, SubVP, rate_table

ZERO_TERMINAL = (0.1, 0.3, 0.02, 0.9, 1.0)
PROCESSES = {
    "VP": VP(),
    "VP steep": VP(0.01, 100.0),
    "VP falling rate": VP(12.0, 0.5),
    "Cosine": Cosine(),
    "Cosine s=0": Cosine(0.0),
    "VE": VE(),
    "VE wide": VE(1e-3, 3e4),
    "EDM": EDM(),
    "SubVP": SubVP(),
    "Flow": Flow(),
    "Flow shift 3": Flow(3.0),
    "Flow shift 0.3": Flow(0.3),
    "DDPM": DDPM(),
    "DDPM few": DDPM([0.5, 0.2, 0.9]),
    "DDPM alpha=0": DDPM(ZERO_TERMINAL),
    "DDPM only alpha=0": DDPM([1.0]),
    "DDPM smooth": DDPM(smooth=True),
    "CosineRate": CosineRate(),
    "CosineRate s=0": CosineRate(1e-3, 0.0),
    "CosineRate s=0.5": CosineRate(0.05, 0.5),
    "MeanReverting": MeanReverting(),
    "MeanReverting constant": MeanReverting(VP(10.6, 10.6), 50 / 255),
    "MeanReverting linear": MeanReverting(VP(), 3.0),
    "MeanReverting table": MeanReverting(rate_table([0.01, 0.3, 0.7, 1.0], 0.01), 1.0),
}
PURE = {name for name, p in PROCESSES.items() if p.lam(p.t_start) == -math.inf}

every = pytest.mark.parametrize("name", PROCESSES)
