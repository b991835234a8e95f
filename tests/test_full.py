"""Slower checks: every deterministic sampler on every process, long float32 runs, the corrector's limit."""

import numpy as np
import pytest

import diffnum as dn
from diffnum.solvers import ALL
from diffnum.witness import LOW, Run, alternating, gaussian, law_errors, nonlinear, norm, path_errors, uniform

pytestmark = pytest.mark.full

PROCESSES = [dn.VP(), dn.Cosine(), dn.VE(), dn.EDM(), dn.SubVP(), dn.Flow(), dn.Flow(shift=3.0), dn.DDPM(smooth=True)]
DETERMINISTIC = [s for s in ALL.values() if not s.stochastic]


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=lambda s: s.name)
def test_warm_slope_on_every_process(sampler, process):
    counts = (64, 128, 256) if sampler.order < 4 else (32, 64, 128)
    run = Run.of(nonlinear(), process.at(LOW))
    for grid in (uniform, alternating):
        errors = [norm(path_errors(dn.compile(sampler, grid(process, n)), run, True)) for n in counts]
        slope = -np.polyfit(np.log2(counts), np.log2(errors), 1)[0]
        assert slope == pytest.approx(sampler.order, abs=0.15)


@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=lambda s: s.name)
def test_float32_error_grows_no_faster_than_the_square_root_of_the_steps(sampler):
    run = Run.of(nonlinear(), dn.VP().at(LOW))
    for n in (256, 1024, 4096):
        plan = dn.compile(sampler, uniform(dn.VP(), n))
        fine, coarse = (norm(path_errors(plan, run, False, kind)) for kind in (np.float64, np.float32))
        assert coarse <= fine + 16 * 2.0**-24 * np.sqrt(n) * np.abs(run.x).max()


def test_the_langevin_corrector_of_fixed_snr_tends_to_its_closed_bias():
    """At the last level the chain ``x <- x - (e/v) x + sqrt(2 e) z`` is stationary at ``v / (1 - e / 2v)``."""
    snr, process = 0.8, dn.VP()
    plan = dn.compile("langevin_corrector", uniform(process, 8192), snr=snr)
    _, var = gaussian().marginal(plan.stop)
    e = 2 * (snr * plan.stop.sigma) ** 2
    bias, closed = law_errors(plan, gaussian())[1], var / (1 - e / (2 * var)) - var
    # the narrow mode has forgotten the levels above; the wider ones still remember their larger bias
    assert bias[0] == pytest.approx(closed[0], rel=0.03)
    assert (bias > closed).all()
