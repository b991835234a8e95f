"""RF-Inversion: Euler's method without control, the straight line with full control, and what is left in between."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.inversion import backwards, rf_edit, rf_invert
from diffnum.solvers import euler

FLOW = dn.Flow()
LAW = dn.Gaussian([0.5, -1.0], [0.3, 2.0])
IMAGE, NOISE = np.array([[1.0, 2.0], [0.3, -0.7]]), np.array([[-1.0, 0.5], [1.1, 0.2]])


def uniform(n, start=1.0, stop=0.0):
    return dn.grid.uniform(FLOW, n, start, stop)


def network(x, level):
    return torch.tanh(3 * x) + float(level.sigma)


@pytest.mark.parametrize("prediction", ["velocity", "noise", "data"])
def test_without_control_it_is_eulers_method(prediction):
    grid = uniform(6, 0.9, 0.1)
    there = dn.sample(rf_invert(grid, 0.0, prediction), LAW, (IMAGE, NOISE))
    assert np.allclose(there, dn.sample(backwards(euler, grid, prediction), LAW, IMAGE), rtol=1e-12)
    back = dn.sample(rf_edit(grid, 0.0, prediction), LAW, (NOISE, IMAGE))
    assert np.allclose(back, dn.sample(dn.compile(euler, grid, prediction), LAW, NOISE), rtol=1e-12)


def test_with_full_control_the_path_is_the_straight_line_for_any_model():
    image, noise = (torch.as_tensor(value) for value in (IMAGE, NOISE))
    plan = rf_invert(uniform(5), 1.0)
    states = dn.sample(plan, network, (image, noise), keep="states")
    for level, state in zip(plan.levels, states, strict=True):
        assert torch.allclose(state, level.alpha * image + level.sigma * noise, rtol=1e-12)
    assert torch.allclose(dn.sample(rf_edit(uniform(5), 1.0), network, (noise, image)), image, rtol=1e-12, atol=1e-14)


def test_where_no_noise_is_given_it_is_drawn_for_every_sample():
    plan = rf_invert(uniform(5), 1.0)
    found = dn.sample(plan, LAW, IMAGE, noise=dn.noise.Counter(3))
    assert np.allclose(found, dn.sample(plan, LAW, IMAGE + 1, noise=dn.noise.Counter(3)))
    assert not np.allclose(found[0], found[1])


def controlled_flow(x, y, gamma, start, stop):
    """The controlled ODE on a Gaussian from ``start`` up to ``stop``, by adaptive integration."""
    from scipy.integrate import solve_ivp

    def rate(sigma, x):
        v = LAW.predict(x[None], FLOW.level(sigma), "velocity")[0]
        return (1 - gamma) * v + gamma * (y - x) / (1 - sigma)

    return solve_ivp(rate, (start, stop), x, rtol=1e-10, atol=1e-12).y[:, -1]


def test_on_a_gaussian_it_tends_to_the_controlled_flow_with_order_one():
    exact = controlled_flow(IMAGE[0], NOISE[0], 0.5, 0.1, 0.9)
    errors = [
        np.abs(dn.sample(rf_invert(uniform(n, 0.9, 0.1), 0.5), LAW, (IMAGE[:1], NOISE[:1]))[0] - exact).max()
        for n in (100, 200, 400)
    ]
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.02)
    assert errors[2] / errors[1] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [7, 28])
def test_a_model_that_says_nothing_leaves_a_product_over_the_steps_of_the_distance(strength, n):
    left = math.prod(1 - strength / k for k in range(1, n + 1))
    assert left == pytest.approx(n**-strength / math.gamma(1 - strength), rel=0.06)

    def nothing(x, level):
        return 0 * x

    there = dn.sample(rf_invert(uniform(n), strength), nothing, (IMAGE, NOISE))
    assert np.allclose(there - NOISE, left * (IMAGE - NOISE), rtol=1e-11)
    back = dn.sample(rf_edit(uniform(n), strength), nothing, (NOISE, IMAGE))
    assert np.allclose(back - IMAGE, left * (NOISE - IMAGE), rtol=1e-11)


def test_on_a_gaussian_the_noise_found_forgets_the_image_as_steps_shrink():
    """Linear in both ends: what is left of the image falls like the root of the number of steps at ``gamma = 1/2``."""
    left = []
    for n in (50, 200, 800):
        plan = rf_invert(uniform(n), 0.5)
        zero = dn.sample(plan, LAW, (0 * IMAGE, NOISE))
        left.append(np.abs(dn.sample(plan, LAW, (IMAGE, NOISE)) - zero) / np.abs(IMAGE))
    assert np.allclose(left[1] / left[0], 0.5, atol=0.02)
    assert np.allclose(left[2] / left[1], 0.5, atol=0.01)


def test_control_of_the_early_steps_alone_is_a_straight_line_and_then_eulers_method():
    grid = uniform(6)
    found = dn.sample(rf_edit(grid, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), LAW, (NOISE, IMAGE))
    u = grid.levels[2]
    middle = u.alpha * IMAGE + u.sigma * NOISE
    rest = dn.compile(euler, dn.grid.through(FLOW, grid.levels[2:]), "velocity")
    assert np.allclose(found, dn.sample(rest, LAW, middle), rtol=1e-11)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: rf_invert(dn.grid.log_snr(dn.VP(), 3)), "is no rectified flow"),
        (lambda: rf_invert(uniform(3), 1.5), "gamma = 1.5 is no strength"),
        (lambda: rf_edit(uniform(3), [0.5, 0.5]), "2 values of eta were given for 3 steps"),
        (lambda: rf_edit(uniform(3), math.nan), "eta = nan"),
        (lambda: rf_invert(uniform(3), 0.5, "data"), "rf_inversion with data prediction is not defined at sigma = 0"),
        (lambda: rf_edit(uniform(3), 0.5, "noise"), "with noise prediction is not defined at alpha = 0"),
    ],
)
def test_what_has_no_controlled_flow_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
