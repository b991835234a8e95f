"""The error at the end as a function of the grid: its gradient against central differences, for every sampler."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from selection import deterministic

import diffnum as dn
from diffnum.num import scaled
from diffnum.series import h_series
from diffnum.witness import nonlinear

PROCESS = dn.VP()
LAMS = (-1.1, -0.6, 0.1, 0.5, 1.2, 1.5)
STEP = 2e-3


def end_error(sampler, inner):
    """The mean error at the end of a run between fixed levels, with its sign."""
    plan = dn.compile(sampler, dn.grid.custom(PROCESS, lams=[LAMS[0], *inner, LAMS[-1]]))
    x = nonlinear().sample(3, 2, plan.start)
    exact = nonlinear().flow(x, plan.start, plan.stop)
    return (dn.sample(plan, nonlinear(), torch.tensor(x)) - torch.tensor(exact)).mean()


def difference(f, at, i, step):
    """Central, with its error in the square of the step removed."""
    coarse, fine = (
        (float(f([*at[:i], at[i] + h, *at[i + 1 :]])) - float(f([*at[:i], at[i] - h, *at[i + 1 :]]))) / (2 * h)
        for h in (step, step / 2)
    )
    return (4 * fine - coarse) / 3


@pytest.mark.parametrize("sampler", deterministic())
def test_the_gradient_of_the_end_error_is_that_of_finite_differences(sampler):
    at = LAMS[1:-1]
    leaf = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(end_error(sampler, leaf), leaf)
    differences = [difference(lambda inner: end_error(sampler, inner), at, i, STEP) for i in range(len(at))]
    assert found.abs().min() > 0
    # rounding of the run over the step, and the fourth power of the step
    np.testing.assert_allclose(found.numpy(), differences, rtol=1e-8, atol=2e-11)


@pytest.mark.parametrize("number", [Fraction(2, 7), 0.25, 3])
def test_exact_numbers_scale_floats_leaves_and_series(number):
    assert scaled(number, 0.7) == pytest.approx(float(number) * 0.7, rel=1e-15)
    leaf = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(scaled(number, leaf), leaf)
    assert float(slope) == pytest.approx(float(number), rel=1e-15)
    assert (scaled(number, h_series(4)) - h_series(4, number)).valuation == 4
