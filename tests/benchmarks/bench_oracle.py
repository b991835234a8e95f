"""What the oracle does most: plans, moments, distances, denoisers. See :mod:`diffnum.lab.bench.oracle`."""

import numpy as np
import pytest

import diffnum as dn

PLAN = dn.compile("dpmpp_2m", dn.grid.log_snr(dn.VP(), 20))
LEVEL = dn.VP().at(0.0)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_3m", "unipc_3"])
def test_compiling_a_thousand_steps(benchmark, name):
    benchmark.group = "compile"
    grid = dn.grid.log_snr(dn.VP(), 1000)
    assert benchmark(lambda: dn.compile(name, grid)).steps == 1000


@pytest.mark.parametrize("modes", [64, 3072])
@pytest.mark.parametrize("reading", [dn.moments, dn.w2])
def test_reading_exactly(benchmark, reading, modes):
    benchmark.group = reading.__name__
    law = dn.Gaussian.power_law(modes)
    assert np.isfinite(benchmark(lambda: reading(PLAN, law))).all()


@pytest.mark.parametrize("kind", ["empirical", "mixture"])
def test_denoising(benchmark, kind):
    benchmark.group = "denoisers"
    rng = np.random.default_rng(0)
    data = rng.standard_normal((64, 64))
    law = dn.Empirical(data) if kind == "empirical" else dn.Mixture(np.ones(64), data, np.ones((64, 64)))
    x = rng.standard_normal((64, 64))
    assert benchmark(lambda: law.denoise(x, LEVEL)).shape == x.shape
