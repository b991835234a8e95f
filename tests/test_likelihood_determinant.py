"""The density of a sampler's own output: the determinant of its map, against the exact output law on a Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradient_cases import BOTTOM, TOP, convolutional, coupled, dense, grid, name, slope, two_step

import diffnum as dn
from diffnum import likelihood, witness

GAUSSIAN, COUPLED = witness.gaussian(), witness.coupled()
SAMPLERS = ["ddim", "dpmpp_2m", "dpmpp_3m_corrected", "unipc_3", "rk4", coupled, two_step]


@pytest.mark.parametrize("prediction", ["data", "noise", pytest.param("velocity", marks=pytest.mark.full)])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
@pytest.mark.parametrize("init", ["prior", "marginal"])
def test_on_a_gaussian_it_is_the_density_of_the_exact_output_law(sampler, prediction, init):
    plan = dn.compile(sampler, grid(6), prediction)
    mean, variance = dn.moments(plan, GAUSSIAN, init)
    start = None if init == "prior" else lambda x: GAUSSIAN.log_prob(x, TOP)
    x = GAUSSIAN.sample(5, 3, TOP)
    found = likelihood.pushed(plan, GAUSSIAN, x, start)
    exact = dn.Gaussian(mean, variance).log_prob(found.x)
    assert np.abs(found.log_prob - exact).max() < 1e-10
    assert np.abs(found.x - dn.sample(plan, GAUSSIAN, x)).max() < 1e-13


@pytest.mark.parametrize("sampler", [coupled, two_step])
def test_at_outputs_of_a_reversible_sampler_the_inverse_finds_the_start(sampler):
    plan = dn.compile(sampler, grid(8), "data")
    x = COUPLED.sample(5, 0, TOP)
    ends = dn.sample(plan, COUPLED, x, outputs="all")
    found = likelihood.of_outputs(plan, COUPLED, ends)
    assert np.abs(found.start - x).max() < 1e-10
    assert np.abs(found.log_prob - likelihood.pushed(plan, COUPLED, x).log_prob).max() < 1e-9
    with pytest.raises(ValueError, match="they are those of no run from x_T alone"):
        likelihood.of_outputs(plan, COUPLED, (ends[0], ends[1] + 0.1))


@pytest.mark.parametrize("network", [dense, convolutional])
@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", coupled], ids=name)
def test_the_jacobian_of_a_run_is_that_of_torch(network, sampler):
    model, _ = network()
    x = torch.randn(2, *((2, 3, 3) if network is convolutional else (4,)), dtype=torch.float64)
    plan = dn.compile(sampler, grid(3), "velocity")
    found = likelihood.pushed(plan, model, x)
    size = found.jacobian.shape[-1]
    for i in range(2):
        exact = torch.autograd.functional.jacobian(lambda v: dn.sample(plan, model, v)[0], x[i : i + 1])
        assert float((found.jacobian[i] - exact.reshape(size, size)).abs().max()) < 1e-12
        assert abs(float(found.log_det[i]) - float(torch.linalg.slogdet(exact.reshape(size, size))[1])) < 1e-10


def test_in_one_dimension_the_density_of_the_output_has_mass_one():
    """By the trapezoidal rule on the images of a grid of starts, whose error falls fourfold where that is halved."""
    target = dn.Mixture([0.3, 0.7], [[-1.0], [0.8]], [[0.1], [0.3]])
    plan = dn.compile("dpmpp_2m", grid(10), "data")
    missing = []
    for n in (2000, 4000):
        found = likelihood.pushed(plan, target, np.linspace(-9.0, 9.0, n + 1)[:, None])
        y, p = found.x[:, 0], np.exp(found.log_prob)
        assert np.all(np.diff(y) > 0)
        missing.append(abs(np.trapezoid(p, y) - 1))
    assert 3.8 < missing[0] / missing[1] < 4.2
    assert missing[1] < 2e-5


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver_2"])
def test_it_tends_to_the_density_of_the_data_at_the_order_of_the_sampler(sampler):
    x = COUPLED.sample(6, 1, TOP)

    def error(n):
        found = likelihood.pushed(dn.compile(sampler, grid(n)), COUPLED, x, lambda y: COUPLED.log_prob(y, TOP))
        return float(np.abs(found.log_prob - COUPLED.log_prob(found.x, BOTTOM)).max())

    found = slope(error)
    assert found.holds(dn.solvers.ALL[sampler].order), found


def test_a_plan_that_draws_and_one_that_cannot_be_undone_are_refused():
    x = GAUSSIAN.sample(2, 0, TOP)
    with pytest.raises(ValueError, match="its output is no function of x_T"):
        likelihood.pushed(dn.compile("ddpm_ancestral", grid(3)), GAUSSIAN, x)
    with pytest.raises(ValueError, match="ddim cannot be undone exactly"):
        likelihood.of_outputs(dn.compile("ddim", grid(3)), GAUSSIAN, x)
    with pytest.raises(ValueError, match="derivatives of a function on ndarray are not known"):
        likelihood.pushed(dn.compile("ddim", grid(3)), lambda y, _: y, x)
