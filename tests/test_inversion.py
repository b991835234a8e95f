"""Inversion without reversibility: backwards, by fixed points, by noise maps; against closed forms and round trips."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.inversion import (
    backwards,
    contraction,
    fixed_point,
    renoise,
    round_trip,
)
from diffnum.solvers import ALL, ddim, ddpm_ancestral, dpmpp_2m, euler, heun, midpoint, rk4
from diffnum.trace import solver

PROCESS = dn.VP()
GAUSSIAN = dn.Gaussian([0.5, -1.0, 0.2], [0.1, 1.0, 3.0])
MIXTURE = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])


def levels(n, low=-3.0, high=2.0, process=PROCESS):
    return dn.grid.log_snr(process, n, process.at(low), process.at(high))


def network(x, level):
    """A small smooth network in the dtype of its input."""
    generator = torch.Generator().manual_seed(0)
    A, B = (torch.randn(2, 2, generator=generator).to(x.dtype) / 2 for _ in range(2))
    return torch.tanh(x @ A + float(level.sigma)) @ B


# --- backwards ---


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_ddim_backwards_keeps_the_prediction_of_the_level_that_it_leaves(prediction):
    grid = levels(3)
    plan = backwards(ddim, grid, prediction)
    x = MIXTURE.sample(4, 0, plan.start)
    expected = x
    for s, t in pairwise(reversed(grid.levels)):
        D, eps = MIXTURE.denoise(expected, s), MIXTURE.noise_prediction(expected, s)
        expected = t.alpha * D + t.sigma * eps
    assert np.allclose(dn.sample(plan, MIXTURE, x), expected, rtol=1e-12, atol=1e-12)
    assert plan.levels == grid.levels[::-1]


@solver(order=2, cite="wang2025rfsolver", eq="Taylor expansion")
def rf_solver(T: Any, grid: Any) -> None:
    """RF-Solver as published: velocity and its difference quotient over half a step."""
    for s, t in T.steps(grid):
        h = T.dt(s, t)
        middle = T.clock_between(s, t, 0.5)
        v = T.slope(T.x, s)
        there = T.slope(T.x + (h / 2) * v, middle)
        T.x = T.x + h * v + (h**2 / 2) * ((there - v) / (h / 2))


@pytest.mark.parametrize("back", [False, True])
def test_rf_solver_is_the_explicit_midpoint_rule(back):
    flow = dn.Flow()
    grid = dn.grid.uniform(flow, 8, 0.95, 0.05)
    one, two = (
        backwards(sampler, grid, "velocity") if back else dn.compile(sampler, grid, "velocity")
        for sampler in (rf_solver, midpoint)
    )
    assert dn.distance(one, two) < 1e-14


def test_on_a_linear_velocity_the_factors_of_rf_solver_are_those_of_the_taylor_series():
    flow, rates = dn.Flow(), np.array([-2.0, -0.5, 0.3, 1.0])
    grid = dn.grid.uniform(flow, 5, 0.9, 0.1)
    plan = dn.compile(rf_solver, grid, "velocity")
    x = np.ones((1, 4))
    z = rates * (0.1 - 0.9) / 5
    assert np.allclose(dn.sample(plan, lambda x, level: rates * x, x), (1 + z + z**2 / 2) ** 5, rtol=1e-12)


@pytest.mark.parametrize(
    ("sampler", "process"),
    [
        (ddim, PROCESS),
        (euler, dn.Flow()),
        pytest.param(midpoint, dn.Flow(), id="RF-Solver"),
        pytest.param(heun, PROCESS, marks=pytest.mark.full),
        pytest.param(rk4, PROCESS, marks=pytest.mark.full),
        pytest.param(ALL["dpm_solver_2"], PROCESS, marks=pytest.mark.full),
        pytest.param(ALL["rho_heun3"], PROCESS, marks=pytest.mark.full),
        pytest.param(ALL["dpmpp_2s"], dn.Flow(), marks=pytest.mark.full),
    ],
)
def test_round_trips_close_at_the_next_odd_order(sampler, process):
    found = round_trip(sampler, process)
    assert found.predicted == 2 * (sampler.order // 2) + 1
    assert found.holds, str(found)


def test_a_round_trip_on_equal_plans_prints_its_orders():
    text = str(round_trip(ddim, PROCESS, counts=(16, 32, 64)))
    assert text.startswith("ddim, inverted by ddim: round trip of order 0.9")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: backwards(ddim, dn.grid.log_snr(PROCESS, 4, end="zero")), "cannot leave sigma = 0"),
        (lambda: backwards(ddpm_ancestral, levels(4)), "draws noise"),
        (lambda: fixed_point(dn.compile(dpmpp_2m, levels(4)), GAUSSIAN, np.zeros((1, 3))), "remembers more than"),
        (lambda: fixed_point(dn.compile(ddim, levels(4)), GAUSSIAN, np.zeros((1, 3)), 1, average=(1, 1)), "are fewer"),
        (lambda: fixed_point(dn.compile(ddim, levels(4)), GAUSSIAN, np.zeros((1, 3)), average=(1, -1)), "is no mean"),
        (lambda: renoise(dn.compile(ddim, levels(4)), GAUSSIAN, np.zeros((1, 3)), -1), "is no number of iterations"),
        (lambda: renoise(dn.compile(ddim, levels(4)), GAUSSIAN, np.zeros((1, 3)), 1, 3), "of 2 iterates"),
        (lambda: fixed_point(dn.compile(ddim, levels(4)), GAUSSIAN, np.zeros((1, 3)), tol=-1.0), "is no tolerance"),
        (lambda: fixed_point(dn.compile(ddim, levels(4)), GAUSSIAN, np.zeros((1, 3)), memory=-1), "memory = -1"),
        (lambda: contraction(dn.compile(ddim, levels(4)), GAUSSIAN, [np.zeros((1, 3))]), "1 states were given"),
    ],
)
def test_what_cannot_be_inverted_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# --- fixed points ---


def test_the_first_iteration_is_ddim_inversion_with_the_model_asked_at_the_noisier_level():
    plan = dn.compile(ddim, levels(6), "noise")
    x = MIXTURE.sample(5, 1, plan.stop)
    found = renoise(plan, MIXTURE, x, 0)
    state = x
    for s, t in reversed(list(pairwise(plan.levels))):
        phi = t.alpha / s.alpha
        state = (state - (t.sigma - phi * s.sigma) * MIXTURE.noise_prediction(state, s)) / phi
    assert np.allclose(found.x, state, rtol=1e-13)
    assert found.nfe == plan.nfe


@pytest.mark.parametrize("prediction", ["noise", "velocity", "data"])
def test_iterated_to_the_end_a_fixed_point_is_the_inverse(prediction):
    plan = dn.compile(ddim, levels(40), prediction)
    x = MIXTURE.sample(8, 1, plan.start)
    end = dn.sample(plan, MIXTURE, x)
    assert np.abs(fixed_point(plan, MIXTURE, end, 200, 1e-16).x - x).max() < 1e-11


def test_data_of_unit_variance_are_inverted_at_once_by_a_velocity():
    plan = dn.compile(ddim, levels(4), "velocity")
    target = dn.Gaussian([0.5, -1.0], [1.0, 1.0])
    x = target.sample(8, 1, plan.start)
    found = fixed_point(plan, target, dn.sample(plan, target, x), 1)
    assert np.abs(found.x - x).max() < 1e-13


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
def test_the_contraction_factor_is_that_of_the_iteration_with_the_same_prediction(prediction):
    plan = dn.compile(ddim, levels(1, -0.5, 0.5), prediction)
    x = GAUSSIAN.sample(4, 2, plan.start)
    end = dn.sample(plan, GAUSSIAN, x)
    (rho,) = contraction(plan, GAUSSIAN, [x, end])
    first, second = (fixed_point(plan, GAUSSIAN, end, k).x - x for k in (1, 2))
    # the covariance's eigenvalues rise in the order of the coordinates
    assert np.allclose(second, rho * first, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("renoising", [0, 3])
@pytest.mark.parametrize("name", ["euler", "ddpm_ancestral"])
def test_renoising_calls_the_model_once_more_than_it_renoises_in_every_step(name, renoising):
    """Euler's method on a rectified flow, and an ancestral sampler with its noise held."""
    grid = dn.grid.uniform(dn.Flow(), 12, 0.9, 0.1) if name == "euler" else levels(12, -1.0, 1.0)
    plan, noise = dn.compile(name, grid, "noise"), dn.noise.Counter(1)
    x = MIXTURE.sample(4, 1, plan.start)
    end = dn.sample(plan, MIXTURE, x, noise)
    found = renoise(plan, MIXTURE, end, renoising, noise=noise)
    assert found.nfe == (renoising + 1) * plan.nfe
    assert found.iterations == (renoising + 1,) * 12
    assert np.abs(renoise(plan, MIXTURE, end, 60, noise=noise).x - x).max() < 1e-11


def test_with_a_memory_an_affine_step_is_inverted_after_one_iteration_more_than_it_has_factors():
    plan = dn.compile(ddim, levels(1, -0.5, 0.5), "noise")
    x = GAUSSIAN.sample(4, 2, plan.start)
    end = dn.sample(plan, GAUSSIAN, x)
    plain, short, done = (
        np.abs(fixed_point(plan, GAUSSIAN, end, k, memory=m).x - x).max() for k, m in ((4, 0), (3, 3), (4, 3))
    )
    assert done < 1e-7 < 1e-3 < short < plain


def test_a_memory_saves_evaluations_and_ends_in_the_same_inverse():
    plan = dn.compile(ddpm_ancestral, levels(10, -1.0, 1.0), "noise")
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise = dn.noise.Counter(3)
    end = dn.sample(plan, network, x, noise)
    plain, quick = (fixed_point(plan, network, end, 200, 1e-13, noise=noise, memory=m) for m in (0, 2))
    assert (quick.x - x).abs().max() < 1e-10
    assert quick.nfe < 0.6 * plain.nfe


def test_a_network_and_stochastic_steps_are_inverted_too():
    plan = dn.compile(ddpm_ancestral, levels(60, -1.0, 1.0), "noise")
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise = dn.noise.Counter(3)
    end = dn.sample(plan, network, x, noise)
    assert (fixed_point(plan, network, end, 100, 1e-16, noise=noise).x - x).abs().max() < 1e-10


def test_on_a_gaussian_the_error_shrinks_by_the_contraction_factor_with_every_iteration():
    plan = dn.compile(ddim, levels(1, -0.5, 0.5), "noise")
    x = GAUSSIAN.sample(4, 2, plan.start)
    end = dn.sample(plan, GAUSSIAN, x)
    (rho,) = contraction(plan, GAUSSIAN, [x, end])
    h, ratio = 1.0, math.exp(0.5)
    # eigenvalues of covariances rise, and so do the variances
    assert np.allclose(rho, (1 - math.exp(-h)) * ratio**2 / (np.array([0.1, 1.0, 3.0]) + ratio**2))
    errors = [fixed_point(plan, GAUSSIAN, end, k).x - x for k in (1, 2, 5)]
    assert np.allclose(errors[1], rho * errors[0], rtol=1e-9)
    assert np.allclose(errors[2], rho**4 * errors[0], rtol=1e-7, atol=1e-13)


def test_the_mean_of_two_iterates_multiplies_the_error_by_half_of_one_and_the_factor():
    plan = dn.compile(ddim, levels(1, -0.5, 0.5), "noise")
    x = GAUSSIAN.sample(4, 2, plan.start)
    end = dn.sample(plan, GAUSSIAN, x)
    rho = contraction(plan, GAUSSIAN, [x, end])[0]
    before = renoise(plan, GAUSSIAN, end, 2).x - x
    mean = renoise(plan, GAUSSIAN, end, 3, 2).x - x
    assert np.allclose(mean, (1 + rho) / 2 * before, rtol=1e-8)
    # on a Gaussian the factor is positive, and averaging does harm
    assert np.all(np.abs(mean) > np.abs(renoise(plan, GAUSSIAN, end, 3).x - x))


TWO = dn.Mixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.01]], [[0.01]]])


@pytest.mark.parametrize("h", [0.2, 3.0])
def test_it_diverges_exactly_where_the_factor_is_beyond_one(h):
    """Between two modes the posterior variance is that of the modes; a long step is beyond the edge there."""
    plan = dn.compile(ddim, levels(1, 0.5, 0.5 + h), "noise")
    x = np.array([[1e-9]])
    end = dn.sample(plan, TWO, x)
    (rho,) = contraction(plan, TWO, [x, end])
    s = plan.start
    v = TWO.posterior_cov(x, s)[0, 0, 0]
    tau = s.sigma / s.alpha
    assert (rho[0, 0] < -1) == (v > tau**2 * (1 + 1 / -math.expm1(-h)))
    errors = [abs(float(fixed_point(plan, TWO, end, k).x[0, 0]) - 1e-9) for k in (2, 3, 4)]
    assert errors[1] / errors[0] == pytest.approx(abs(rho[0, 0]), rel=1e-3)
    assert (errors[2] > errors[1]) == (rho[0, 0] < -1)


def test_the_secant_method_inverts_where_the_plain_iteration_diverges():
    plan = dn.compile(ddim, levels(1, 0.5, 3.5), "noise")
    x = np.array([[1e-3], [0.01]])
    end = dn.sample(plan, TWO, x)
    assert np.all(np.abs(fixed_point(plan, TWO, end, 10).x - x) > 0.1)
    assert np.abs(fixed_point(plan, TWO, end, 10, memory=1).x - x).max() < 1e-14


def test_the_round_trip_of_ddim_inversion_is_of_order_one_and_that_of_the_fixed_point_is_closed():
    gaps = []
    for n in (32, 64):
        plan = dn.compile(ddim, levels(n), "noise")
        x = GAUSSIAN.sample(4, 2, plan.stop)
        gaps.append(np.abs(dn.sample(plan, GAUSSIAN, renoise(plan, GAUSSIAN, x, 0).x) - x).max())
        closed = dn.sample(plan, GAUSSIAN, renoise(plan, GAUSSIAN, x, 60).x) - x
        assert np.abs(closed).max() < 1e-12
    assert 0.4 < gaps[1] / gaps[0] < 0.6
