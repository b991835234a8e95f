"""Whole runs of eight steps, one group for each sampler. For a single step see :mod:`diffnum.lab.bench.steps`."""

import pytest
import torch

from diffnum.lab.bench.cases import CASES
from diffnum.lab.bench.libraries import Draws, available, subjects
from diffnum.lab.bench.network import Stored, outputs_like
from diffnum.lab.bench.steps import STEPS

X = torch.randn(16, 4, 64, 64, generator=torch.Generator().manual_seed(0))
OUTPUTS = outputs_like(X)
ASKED = [(case, subject) for case in CASES for subject in subjects(case, STEPS, Draws(X), libraries=available())]


@pytest.mark.parametrize(
    "case, subject", [pytest.param(c, s, id=f"{c.name}-{s.library}-{s.prediction}") for c, s in ASKED]
)
def test_a_run(benchmark, case, subject):
    benchmark.group = case.name
    with torch.no_grad():
        x = benchmark(lambda: subject.run(Stored(X, outputs=OUTPUTS), X))
    assert x.shape == X.shape
