"""Likelihoods of the flow: against exact densities at the order of the plan, probes without bias, encodings unique."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from gradient_cases import BOTTOM, PROCESSES, TOP, VP, convolutional, dense, grid, slope

import diffnum as dn
from diffnum import gradients, likelihood, witness
from diffnum.likelihood.divergence import Rademacher, jacobian, vector

GAUSSIAN, NONLINEAR, COUPLED = witness.gaussian(), witness.nonlinear(), witness.coupled()
FULL = pytest.mark.full
METHODS = {"ddim": 1, "heun": 2, "dpmpp_2m": 2, "dpm_solver_2": 2, "rk4": 4}
QUICK = {("ddim", "velocity"), ("heun", "velocity"), ("dpm_solver_2", "noise")}
CASES = [
    pytest.param(name, variables, marks=() if (name, variables) in QUICK else FULL)
    for name in METHODS
    for variables in ("noise", "data", "velocity")
]


def back(sampler, n, prediction="noise", process=VP):
    return dn.compile(sampler, gradients.backwards(grid(n, process)), prediction)


def at_top(target):
    return lambda x: target.log_prob(x, TOP)


def error(target, sampler, n, **options):
    x = target.sample(8, 1, BOTTOM)
    found = likelihood.log_prob(back(sampler, n), target, x, at_top(target), **options)
    return float(np.abs(found.value - target.log_prob(x, BOTTOM)).max())


@pytest.mark.parametrize(("sampler", "variables"), CASES)
@pytest.mark.parametrize("target", [GAUSSIAN, NONLINEAR, COUPLED], ids=lambda t: type(t).__name__)
def test_the_likelihood_converges_to_the_density_at_the_order_of_the_sampler(target, sampler, variables):
    found = slope(lambda n: error(target, sampler, n, variables=variables), "reach" if target is GAUSSIAN else "equal")
    assert found.holds(METHODS[sampler]), found


@pytest.mark.parametrize("process", PROCESSES)
def test_what_the_model_predicts_does_not_change_the_likelihood(process):
    x = NONLINEAR.sample(4, 0, process.at(3.0))
    top = process.at(-3.0)
    for variables in ("velocity", "noise", "data"):
        found = [
            likelihood.log_prob(
                back("rk4", 12, q, process), NONLINEAR, x, lambda y: NONLINEAR.log_prob(y, top), variables=variables
            ).value
            for q in ("data", "noise", "velocity", "score")
        ]
        assert np.abs(np.array(found) - found[0]).max() < 1e-11
        assert np.abs(found[0] - NONLINEAR.log_prob(x, process.at(3.0))).max() < 0.05


@pytest.mark.parametrize("process", PROCESSES)
def test_the_published_integration_reaches_the_density_to_its_tolerance(process):
    start, stop = process.at(3.0), process.at(-3.0)
    for target in (GAUSSIAN, COUPLED):
        x = target.sample(5, 2, start)
        exact = target.log_prob(x, start)
        for tol, most in ((1e-5, 2e-3), (1e-9, 1e-7)):
            found = likelihood.by_adaptive_steps(
                target, process, x, start, stop, prior=lambda y, t=target: t.log_prob(y, stop), rtol=tol, atol=tol
            )
            assert np.abs(found.value - exact).max() < most
    assert found.evaluations > 50


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
@pytest.mark.parametrize("target", [GAUSSIAN, NONLINEAR, COUPLED], ids=lambda t: type(t).__name__)
def test_divergence_and_jacobian_by_covariance_are_those_of_torch(target, prediction):
    level = VP.at(0.5)
    x = target.sample(4, 0, level)
    value, trace = likelihood.exact(target, prediction)(x, level)
    _, matrix = likelihood.jacobian(target, x, level, prediction)
    # a plain function is differentiated by torch
    plain = lambda y, at: target.predict(y, at, prediction)  # noqa: E731
    there, other = likelihood.exact(plain, prediction)(torch.tensor(x), level)
    _, torchs = jacobian(plain, torch.tensor(x), level, prediction)
    assert np.abs(value - there.numpy()).max() < 1e-13
    assert np.abs(trace - other.numpy()).max() < 1e-12
    assert np.abs(np.broadcast_to(matrix, torchs.shape) - torchs.numpy()).max() < 1e-12
    assert np.abs(np.trace(torchs.numpy(), axis1=1, axis2=2) - trace[:, 0]).max() < 1e-12


@pytest.mark.parametrize("network", [dense, convolutional])
def test_the_divergence_of_a_network_is_the_trace_of_torchs_jacobian(network):
    model, _ = network()
    x = torch.randn(3, *((2, 3, 3) if network is convolutional else (4,)), dtype=torch.float64)
    level, size = VP.at(0.3), math.prod(x.shape[1:])
    found = likelihood.exact(model, "noise")(x, level)[1][:, 0]
    for i in range(3):
        own = torch.autograd.functional.jacobian(lambda v: model(v, level), x[i : i + 1]).reshape(size, size)
        assert abs(float(found[i] - own.trace())) < 1e-12


def test_signs_give_the_trace_exactly_in_the_mean_over_all_of_them():
    """Not a statistical statement: every sign vector once."""
    level, x = VP.at(0.2), COUPLED.sample(3, 0, VP.at(0.2))
    _, product = vector(COUPLED, lambda y, at: COUPLED.predict(y, at, "noise"), x, level, "noise")
    every = [np.broadcast_to(np.array(v), x.shape) for v in itertools.product([-1.0, 1.0], repeat=2)]
    estimates = np.array([(product(v) * v).sum(-1) for v in every])
    exact = likelihood.exact(COUPLED, "noise")(x, level)[1][:, 0]
    assert np.abs(estimates.mean(0) - exact).max() < 1e-14
    J = likelihood.jacobian(COUPLED, x, level, "noise")[1]
    off = J * (1 - np.eye(2))
    variance = (off * (off + off.swapaxes(1, 2))).sum((1, 2))
    assert np.abs(estimates.var(0) - variance).max() < 1e-14


@pytest.mark.parametrize("law", [likelihood.Rademacher, likelihood.Gaussian])
def test_probes_are_unbiased_with_the_stated_variance(law):
    """The mean of N independent probes lies within five known standard deviations, which a normal one leaves with
    chance 6e-7; their sample variance within five of its own, of which the fourth moment is the sample's."""
    count, level = 16000, VP.at(0.2)
    x = np.repeat(COUPLED.sample(1, 3, level), count, axis=0)
    exact = float(likelihood.exact(COUPLED, "noise")(x[:1], level)[1][0, 0])
    seen = law(11)(COUPLED, "noise")(x, level)[1][:, 0]
    J = likelihood.jacobian(COUPLED, x[:1], level, "noise")[1][0]
    off = J - np.diag(np.diag(J))
    variance = (off * (off + off.T)).sum() if law is likelihood.Rademacher else (J * (J + J.T)).sum()
    assert abs(seen.mean() - exact) < 5 * math.sqrt(variance / count)
    spread = ((seen - seen.mean()) ** 2).var()
    assert abs(seen.var() - variance) < 5 * math.sqrt(spread / count) + 1e-12
    # and it is not a wrong trace that such a bound lets through
    assert 5 * math.sqrt(variance / count) < 0.05 * abs(exact)


def test_the_log_likelihood_of_each_probe_is_unbiased_and_its_error_known():
    """The result is linear in the traces, so its mean over all probes is the exact one."""
    plan, count = back("rk4", 8), 2000
    x = np.repeat(COUPLED.sample(1, 5, BOTTOM), count, axis=0)
    exact = likelihood.log_prob(plan, COUPLED, x[:1], at_top(COUPLED)).value[0]
    found = likelihood.log_prob(plan, COUPLED, x, at_top(COUPLED), likelihood.Rademacher(1, probes=4))
    assert found.estimates.shape == (count, 4)
    assert abs((found.value - exact).mean()) < 5 * found.value.std() / math.sqrt(count)
    assert 0.9 < np.sqrt((found.error**2).mean()) / found.value.std() < 1.1
    assert np.isnan(likelihood.log_prob(plan, COUPLED, x[:3], at_top(COUPLED)).error).all()


def test_probes_belong_to_a_sample_and_a_seed():
    x = torch.tensor(COUPLED.sample(6, 0, BOTTOM))
    plan = back("heun", 4)
    whole = likelihood.log_prob(plan, COUPLED, x, at_top(COUPLED), likelihood.Gaussian(2, 3)).estimates
    few = likelihood.log_prob(plan, COUPLED, x[:2], at_top(COUPLED), likelihood.Gaussian(2, 3)).estimates
    numpys = likelihood.log_prob(plan, COUPLED, x.numpy(), at_top(COUPLED), likelihood.Gaussian(2, 3)).estimates
    other = likelihood.log_prob(plan, COUPLED, x, at_top(COUPLED), likelihood.Gaussian(3, 3)).estimates
    assert float((whole[:2] - few).abs().max()) < 1e-12
    assert np.abs(whole.numpy() - numpys).max() < 1e-11
    assert float((whole - other).abs().min()) > 1e-6


@pytest.mark.parametrize("target", [GAUSSIAN, NONLINEAR, COUPLED], ids=lambda t: type(t).__name__)
def test_encodings_are_unique(target):
    """Whatever predicts, integrates and steps, a point has one encoding: that of the exact flow (Song et al. 2021)."""
    x = target.sample(4, 7, BOTTOM)
    truth = target.flow(x, BOTTOM, TOP)
    found = [
        likelihood.log_prob(back("rk4", 64, "noise"), target, x).encoding,
        likelihood.log_prob(back("etd4rk", 64, "data"), target, x).encoding,
        likelihood.by_adaptive_steps(target, VP, x, BOTTOM, TOP, "velocity", rtol=1e-8, atol=1e-8).encoding,
    ]
    for one in found:
        assert np.abs(one - truth).max() < 1e-5


def test_bits_per_dimension_of_whole_values():
    """The constant is the scaling's log-determinant, and uniform noise bounds the cost of whole values from above."""
    spread, bins = 40.0, np.arange(256)
    edges = np.array([math.erf((b - 128) / spread / math.sqrt(2)) for b in np.arange(257)])
    mass = np.diff(edges) / 2
    cost = float(-(mass * np.log2(mass)).sum())
    u = (np.arange(64) + 0.5) / 64
    fine = (bins[:, None] + u - 128) / 128
    density = likelihood.normal(spread / 128)(fine.reshape(-1, 1)).reshape(fine.shape)
    bits = likelihood.bits_per_dim(density, 1)
    assert 0 <= float((mass * bits.mean(1)).sum()) - cost < 1e-3
    assert likelihood.bits_per_dim(0.0, 5) == 7.0
    assert likelihood.bits_per_dim(0.0, 5, width=1.0) == 8.0


def test_the_prior_is_the_processs_own_unless_given():
    x = GAUSSIAN.sample(3, 0, dn.VE().at(3.0))
    plan = back("heun", 6, process=dn.VE())
    std = dn.VE().at(-3.0).sigma
    given = likelihood.log_prob(plan, GAUSSIAN, x, likelihood.normal(std)).value
    assert np.abs(likelihood.log_prob(plan, GAUSSIAN, x).value - given).max() < 1e-12
    points = np.array([[0.3, -1.0], [2.0, 0.5]])
    exact = dn.Gaussian([0.0, 0.0], [1.7**2, 1.7**2]).log_prob(points)
    assert np.abs(likelihood.normal(1.7)(points) - exact).max() < 1e-13


def test_from_the_clean_level_a_noise_prediction_serves():
    plan = dn.compile("heun", gradients.backwards(dn.grid.uniform(dn.Flow(), 200, start=0.98, stop=0.0)), "noise")
    x = GAUSSIAN.sample(3, 0)
    found = likelihood.log_prob(plan, GAUSSIAN, x, lambda y: GAUSSIAN.log_prob(y, plan.stop))
    assert np.abs(found.value - GAUSSIAN.log_prob(x)).max() < 1e-2


def test_bad_input_is_refused():
    x, plan = GAUSSIAN.sample(2, 0, BOTTOM), back("ddim", 3)

    def refused(match, *args, **options):
        with pytest.raises(ValueError, match=match):
            likelihood.log_prob(*args, **options)

    stochastic = dn.compile("ddpm_ancestral", grid(3), "noise")
    refused("draws noise and so follows no ODE", stochastic, GAUSSIAN, x)
    refused("runs towards data", dn.compile("ddim", grid(3), "noise"), GAUSSIAN, x)
    refused("variables = 'x' are unknown", plan, GAUSSIAN, x, variables="x")
    refused("derivatives of a function on ndarray are not known", plan, lambda y, _: y, x)
    refused("does not depend on x", plan, lambda y, _: torch.zeros_like(y), torch.tensor(x))
    with pytest.raises(ValueError, match="probes = 0"):
        Rademacher(0, 0)
    clean = dn.compile("ddim", gradients.backwards(dn.grid.uniform(dn.Flow(), 3, start=0.9, stop=0.0)), "noise")
    refused("variables of data prediction.* not defined at alpha = 1, sigma = 0", clean, GAUSSIAN, x, variables="data")
    with pytest.raises(ValueError, match="a score prediction at sigma = 0 is not known"):
        likelihood.exact(GAUSSIAN, "score")(x, clean.start)
