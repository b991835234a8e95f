"""The reference flow against quantile maps, another integrator, round trips, and where it must refuse."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from diffnum.plan import Level
from diffnum.targets.mixture import Mixture

RNG = np.random.default_rng(7)
WEIGHTS, MEANS = np.array([0.5, 0.2, 0.3]), 2 * RNG.standard_normal((3, 4))
FACTORS, DIAGONALS = RNG.standard_normal((3, 4, 2)), RNG.uniform(0.1, 1.0, (3, 4))
CONSTANT = np.array([0.0, 1.0, 1.0, 1.0])
SQUARES = FACTORS @ FACTORS.swapaxes(1, 2)
FORMS = {
    "full": Mixture(WEIGHTS, MEANS, SQUARES + 0.3 * np.eye(4)),
    "diagonal": Mixture(WEIGHTS, MEANS, DIAGONALS),
    "low rank": Mixture.low_rank(WEIGHTS, MEANS, FACTORS, np.array([0.2, 0.5, 1.0])),
    "low rank, varying": Mixture.low_rank(WEIGHTS, MEANS, FACTORS, DIAGONALS),
}
SINGULAR = {
    "full": Mixture(WEIGHTS, MEANS, SQUARES),
    "diagonal": Mixture(WEIGHTS, MEANS, DIAGONALS * CONSTANT),
    "low rank": Mixture.low_rank(WEIGHTS, MEANS, FACTORS, np.zeros(3)),
    "low rank, varying": Mixture.low_rank(WEIGHTS, MEANS, FACTORS * CONSTANT[:, None], DIAGONALS * CONSTANT),
}


def level(alpha, sigma):
    return Level(0.5, float(alpha), float(sigma))


def near(a, b, tol):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * (1e-30 + np.abs(b).max()))


def transported(weights, means, variances, x, s, t):
    """The one-dimensional flow: equal quantiles."""

    def tail(y, at, side):
        spread = np.sqrt(at.alpha**2 * variances + at.sigma**2)
        return float(weights @ (stats.norm.cdf if side else stats.norm.sf)(y, at.alpha * means, spread))

    side = tail(x, s, True) < 0.5
    level_ = math.log(tail(x, s, side))
    reach = 12 * (t.alpha * (1 + np.abs(means).max() + np.sqrt(variances.max())) + t.sigma)
    return optimize.brentq(
        lambda y: math.log(tail(y, t, side) + 1e-300) - level_, -reach, reach, xtol=1e-15, rtol=1e-14
    )


ENDS = [level(0.0, 1.0), level(1.0, 80.0), level(0.5, 0.6), level(1.0, 1e-4), level(1.0, 0.0)]


@pytest.mark.parametrize("s", ENDS, ids=str)
@pytest.mark.parametrize("t", ENDS, ids=str)
def test_flow_in_one_dimension_is_the_quantile_map(s, t):
    weights, means, variances = np.array([0.4, 0.6]), np.array([-0.7, 0.6]), np.array([0.04, 0.25])
    law = Mixture(weights, means[:, None], variances[:, None])
    x = law.sample(6, 3, s)
    expected = [transported(weights, means, variances, float(y), s, t) for y in x[:, 0]]
    scale = math.hypot(t.alpha * law.rms, t.sigma)
    np.testing.assert_allclose(law.flow(x, s, t)[:, 0], expected, rtol=0, atol=2e-10 * scale)


@pytest.mark.parametrize("form", FORMS)
def test_flow_round_trip_and_composition(form):
    law = FORMS[form]
    s, m, t = level(0.1, 1.0), level(0.8, 0.6), level(1.0, 0.05)
    x = law.sample(4, 3, s)
    y = law.flow(x, s, t)
    near(law.flow(law.flow(x, s, m), m, t), y, 1e-9)
    near(law.flow(y, t, s), x, 1e-8)
    near(law.flow(torch.tensor(x), s, t), y, 1e-15)
    assert law.flow(torch.tensor(x).float(), s, t).dtype == torch.float32


def test_flow_in_two_dimensions_against_an_implicit_method_in_another_clock():
    law = Mixture([0.5, 0.5], [[-0.6, 0.3], [0.7, -0.2]], [[[0.4, 0.1], [0.1, 0.2]], [[0.3, -0.2], [-0.2, 0.6]]])
    s, t = level(0.2, 1.0), level(1.0, 0.1)
    x = law.sample(1, 4, s)[0]

    def slope(log_noise, y):  # d(x/alpha)/d log(sigma/alpha) = (sigma/alpha) E[eps | x]
        at = level(1.0, math.exp(log_noise))
        return at.sigma * law.noise_prediction(y, at)

    span = (math.log(s.sigma / s.alpha), math.log(t.sigma / t.alpha))
    other = integrate.solve_ivp(slope, span, x / s.alpha, method="Radau", rtol=1e-10, atol=1e-12)
    near(law.flow(x, s, t), t.alpha * other.y[:, -1], 1e-8)


@pytest.mark.parametrize("form", SINGULAR)
def test_flow_of_a_singular_law_ends_on_its_support_and_does_not_leave_it(form):
    law = SINGULAR[form]
    s = level(0.1, 1.0)
    x = law.sample(3, 3, s)
    end = law.flow(x, s, level(1.0, 0.0))
    near(law.flow(x, s, level(1.0, 1e-9)), end, 1e-8)
    near(law.denoise(end, level(1.0, 0.0)), end, 1e-9)
    with pytest.raises(ValueError, match="cannot leave"):
        law.flow(end, level(1.0, 0.0), s)


@pytest.mark.parametrize("tol", [1e-11, 1e-10, 1e-8, 1e-4])
def test_flow_beside_a_watershed_is_right_or_refused(tol):
    spread = 1e-3
    law = Mixture([0.5, 0.5], [[-1.0], [1.0]], [[spread**2], [spread**2]])
    refused = []
    for x in (1e-3, 1e-6, 1e-9, 1e-12, 1e-15):
        with mpmath.workdps(40):  # the quantile 1 - q spread, in the lower tail of the mode at 1
            tail = mpmath.erf(x / mpmath.sqrt(2))
            log_tail = mpmath.log(tail)
            guess = mpmath.sqrt(-2 * log_tail) - 1
            q = mpmath.findroot(lambda q, goal=log_tail: mpmath.log(mpmath.erfc(q / mpmath.sqrt(2)) / 2) - goal, guess)
            expected = float(1 - q * spread)
        try:
            y = law.flow(np.array([x]), level(0.0, 1.0), level(1.0, 0.0), tol=tol)[0]
        except ValueError as error:
            assert "verified error" in str(error) or "watershed" in str(error)
            refused.append(x)
        else:
            assert abs(y - expected) <= tol * (law.rms + abs(y))
    assert 1e-15 in refused
    assert tol > 1e-6 or 1e-3 not in refused


def test_flow_refuses_tolerances_and_shapes():
    far_apart = Mixture([0.5, 0.5], [[-1.0], [1.0]], [[1e-6], [1e-6]])
    between = np.array([[1e-9]])
    for tol in (0.0, 1e-14, float("nan")):
        with pytest.raises(ValueError, match="tol"):
            far_apart.flow(between, level(0.0, 1.0), level(1.0, 1.0), tol=tol)
    with pytest.raises(ValueError, match="dimension 1"):
        far_apart.flow(np.zeros((2, 3)), level(0.0, 1.0), level(1.0, 1.0))
