"""Contraction of fixed points whose steps evaluate several times, against runs."""

from __future__ import annotations

import numpy as np
import pytest

import diffnum as dn
from diffnum.inversion import contraction, fixed_point

PROCESS = dn.VP()
MIXTURE = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
GAUSSIAN = dn.Gaussian([0.5, -1.0, 0.2], [0.1, 1.0, 2.5])


def one_step(name, prediction="noise", low=-0.5, high=0.3):
    return dn.compile(name, dn.grid.custom(PROCESS, lams=[low, high]), prediction)


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2s", "rk4", "kdpm2_ancestral"])
@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_the_factor_is_one_less_the_derivative_of_the_step(name, prediction):
    plan = one_step(name, prediction)

    def draw(s, t, j, x):
        # the same for every row
        return 0 * x + np.array([0.4, -1.1])

    x = MIXTURE.sample(1, 0, plan.start)
    near = [dn.sample(plan, MIXTURE, x + sign * 1e-5 * np.eye(2), draw) for sign in (1, -1)]
    keep = dn.sample(plan, lambda x, level: 0 * x, np.ones((1, 1)), lambda s, t, j, x: 0 * x)[0, 0]
    expected = np.linalg.eigvals(np.eye(2) - (near[0] - near[1]) / 2e-5 / keep)
    (found,) = contraction(plan, MIXTURE, [x], draw)
    assert np.abs(np.sort(expected) - np.sort(found[0])).max() < 1e-8


@pytest.mark.parametrize("name", ["heun", "dpmpp_2s", "rk4"])
def test_errors_shrink_by_it_with_every_iteration(name):
    plan = one_step(name)
    x = GAUSSIAN.sample(4, 0, plan.start)
    end = dn.sample(plan, GAUSSIAN, x)
    (rho,) = contraction(plan, GAUSSIAN, [x])
    first, second = (fixed_point(plan, GAUSSIAN, end, k).x - x for k in (1, 2))
    # factors are sorted, coordinates are not
    assert np.abs(np.sort(second / first, axis=1) - rho).max() < 1e-8


def test_a_mixtures_factor_is_that_of_its_posterior_variance_at_every_step():
    levels = dn.grid.log_snr(PROCESS, 6, PROCESS.at(-3), PROCESS.at(2))
    plan = dn.compile("ddim", levels, "noise")
    states = dn.sample(plan, MIXTURE, MIXTURE.sample(5, 0, levels[0]), keep="states")
    for rho, x, s, h in zip(contraction(plan, MIXTURE, states), states, levels, levels.h, strict=False):
        v = np.linalg.eigvalsh(MIXTURE.posterior_cov(x, s))
        assert np.abs(rho + np.expm1(-h) * (1 - v * (s.alpha / s.sigma) ** 2)).max() < 1e-11


def test_the_mean_of_two_iterates_helps_where_the_factor_is_below_minus_a_third_and_diverges_below_minus_one():
    """Half way between two narrow modes a state stays where it is, and the step's length sets the factor."""
    two = dn.Mixture([0.5, 0.5], [[-2.0], [2.0]], [[[0.05]], [[0.05]]])
    helped, grown = [], []
    for low in np.linspace(-2.0, 0.5, 11):
        plan = one_step("ddim", low=low, high=low + 0.5)
        rho = contraction(plan, two, [np.zeros((1, 1))])[0].item()
        x = np.full((1, 1), 1e-7)
        end = dn.sample(plan, two, x)
        last, mean = (abs(fixed_point(plan, two, end, 5, average=w).x - x).max() for w in ((1,), (1, 1)))
        before = abs(fixed_point(plan, two, end, 4).x - x).max()
        assert (last > before) == (rho < -1)
        assert (mean < last) == (rho < -1 / 3)
        helped.append(mean < last)
        grown.append(last > before)
    assert any(helped) and not all(helped) and any(grown) and not all(grown)


def test_a_step_that_forgets_its_state_has_no_factor():
    plan = dn.compile("ddim", dn.grid.log_snr(PROCESS, 2, end="zero"))
    x = MIXTURE.sample(2, 0, plan.start)
    with pytest.raises(ValueError, match="step 1 of ddim forgets its state"):
        contraction(plan, MIXTURE, [x, x])
