"""The ideal denoiser of a data set against the mixture of its points, dense sums and its own derivatives."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from diffnum.plan import PREDICTIONS, Level
from diffnum.targets import empirical, working
from diffnum.targets.empirical import Empirical
from diffnum.targets.mixture import Mixture

RNG = np.random.default_rng(5)
DATA = RNG.standard_normal((23, 3)) + 4
LAW = Empirical(DATA, chunk=7)
POINTS = Mixture(np.ones(len(DATA)), DATA, np.zeros_like(DATA))
LEVELS = [(1.0, 1e-8), (0.9, 0.02), (0.9, 0.3), (0.6, 0.8), (1.0, 3.0), (0.01, 1.0), (1.0, 1e4), (0.0, 1.0)]


def level(alpha, sigma):
    return Level(0.5, float(alpha), float(sigma))


def near(a, b, tol):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * (1e-30 + np.abs(b).max()))


@given(st.floats(-8, 4).map(lambda e: 10.0**e), st.sampled_from([1.0, 0.3, 1e-6, 0.0]))
def test_points_are_a_mixture_without_variance(sigma, alpha):
    at = level(alpha, sigma)
    x = POINTS.sample(6, 2, at)
    for quantity in PREDICTIONS:
        value = LAW.predict(x, at, quantity)
        assert np.all(np.isfinite(value))
        # rounding x moves the noise it holds by |x| eps / sigma
        noise = {"data": 0.0, "noise": 1.0, "velocity": 1.0, "score": 1 / sigma}[quantity] * 1e-14 * 10 / sigma
        expected = POINTS.predict(x, at, quantity)
        np.testing.assert_allclose(value, expected, rtol=0, atol=noise + 1e-11 * np.abs(expected).max())
    expected = POINTS.log_prob(x, at)
    np.testing.assert_allclose(
        LAW.log_prob(x, at), expected, rtol=0, atol=1e-13 / sigma + 1e-11 * np.abs(expected).max()
    )
    near(LAW.posterior_cov(x, at), POINTS.posterior_cov(x, at), 1e-9)


@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_denoiser_is_the_softmax_at_fifty_digits(alpha, sigma):
    x = LAW.sample(4, 9, level(alpha, sigma))
    with mpmath.workdps(50):
        for row, value in zip(x, LAW.denoise(x, level(alpha, sigma)), strict=True):
            gaps = [
                sum((mpmath.mpf(a) - mpmath.mpf(alpha) * b) ** 2 for a, b in zip(row, y, strict=True)) for y in DATA
            ]
            shares = [mpmath.exp(-(g - min(gaps)) / (2 * mpmath.mpf(sigma) ** 2)) for g in gaps]
            mean = [sum(s * y[i] for s, y in zip(shares, DATA, strict=True)) / sum(shares) for i in range(3)]
            near(value, np.array(mean, dtype=float), 1e-12)


@pytest.mark.parametrize("chunk", [1, 5, 22, 23, 1000])
@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_chunks_do_not_show(chunk, alpha, sigma, monkeypatch):
    at, whole = level(alpha, sigma), Empirical(DATA)
    x = LAW.sample(9, 4, at).reshape(3, 3, 3)
    expected = [ask(x, at) for ask in (whole.denoise, whole.log_prob, whole.posterior_cov)]
    monkeypatch.setitem(working._BUDGET, "cpu", 60)
    monkeypatch.setattr(empirical, "_FEW", 60)
    law = Empirical(DATA, chunk=chunk)
    for value, other in zip((law.denoise, law.log_prob, law.posterior_cov), expected, strict=True):
        near(value(x, at), other, 1e-12)


@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_torch_is_numpy_and_float32_is_float64_rounded(alpha, sigma):
    at = level(alpha, sigma)
    x = LAW.sample(5, 5, at).astype(np.float32)
    for ask in (LAW.denoise, LAW.noise_prediction, LAW.log_prob, LAW.posterior_cov):
        wide = ask(x.astype(np.float64), at)
        near(ask(torch.tensor(x).double(), at), wide, 1e-11)
        for narrow in (ask(x, at), ask(torch.tensor(x), at).numpy()):
            assert narrow.dtype == np.float32
            near(narrow, wide, 2e-7)


@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.3), (0.3, 1.0), (1.0, 50.0), (1.0, 0.01)])
def test_score_is_the_gradient_of_log_prob_and_posterior_cov_the_jacobian_of_the_denoiser(alpha, sigma):
    at = level(alpha, sigma)
    x = torch.tensor(LAW.sample(3, 5, at), requires_grad=True)
    (gradient,) = torch.autograd.grad(LAW.log_prob(x, at).sum(), x)
    near(LAW.score(x, at).detach(), gradient, 1e-11)
    jacobian = torch.autograd.functional.jacobian(lambda y: LAW.denoise(y, at).sum(0), x).movedim(1, 0)
    near(LAW.posterior_cov(x, at).detach(), sigma**2 / alpha * jacobian, 1e-9)


def test_gradients_reach_the_level():
    x = torch.tensor(LAW.sample(3, 5, level(0.8, 0.6)))
    sigma = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: LAW.denoise(x, Level(0.5, 0.8, s, lam=-torch.log(s))).sum(), sigma)


def test_ends():
    x = RNG.standard_normal((40, 3)) + 4
    near(LAW.denoise(x, level(0.0, 1.0)), np.tile(DATA.mean(0), (40, 1)), 1e-14)
    nearest = DATA[((x[:, None] - DATA) ** 2).sum(-1).argmin(1)]
    for sigma in (1e-8, 0.0):
        near(LAW.denoise(x, level(1.0, sigma)), nearest, 1e-14)
    assert not np.any(LAW.posterior_cov(x, level(1.0, 0.0)))
    assert not np.any(LAW.noise_prediction(x, level(1.0, 0.0)))


def test_repeated_points_weigh_more():
    twice = Empirical(np.concatenate([DATA, DATA[:3]]))
    weights = np.r_[2 * np.ones(3), np.ones(len(DATA) - 3)]
    x, at = LAW.sample(5, 1, level(0.6, 0.8)), level(0.6, 0.8)
    near(twice.denoise(x, at), Mixture(weights, DATA, np.zeros_like(DATA)).denoise(x, at), 1e-13)


@pytest.mark.parametrize("at", [None, level(0.6, 0.8)])
def test_samples_have_the_moments_of_the_law(at):
    n = 40_000
    x = LAW.sample(n, 11, at)
    alpha, sigma = (1.0, 0.0) if at is None else (at.alpha, at.sigma)
    apart = x - alpha * DATA.mean(0)
    products = apart[:, :, None] * apart[:, None]
    cov = alpha**2 * np.cov(DATA.T, bias=True) + sigma**2 * np.eye(3)
    assert np.all(np.abs(apart.mean(0)) <= 4.5 * apart.std(0) / math.sqrt(n))
    assert np.all(np.abs(products.mean(0) - cov) <= 4.5 * products.std(0) / math.sqrt(n))


@pytest.mark.parametrize(("s", "t"), [((0.1, 1.0), (1.0, 0.2)), ((0.0, 1.0), (0.7, 0.3)), ((1.0, 0.2), (1.0, 40.0))])
def test_flow_in_one_dimension_is_the_quantile_map(s, t):
    data = np.array([-1.0, 0.2, 0.5, 2.0])
    law, s, t = Empirical(data[:, None]), level(*s), level(*t)
    x = law.sample(5, 3, s)

    def below(y, at):
        return stats.norm.cdf(y, at.alpha * data, at.sigma).mean()

    reach = 3 * t.alpha + 10 * t.sigma
    goals = [below(y, s) for (y,) in x]
    expected = [optimize.brentq(lambda z, goal=goal: below(z, t) - goal, -reach, reach, xtol=1e-15) for goal in goals]
    near(law.flow(x, s, t)[:, 0], expected, 1e-9)


def test_flow_ends_on_the_data_and_comes_back_from_just_above():
    s, above, clean = level(0.1, 1.0), level(1.0, 0.05), level(1.0, 0.0)
    x = LAW.sample(3, 3, s)
    end, halfway = LAW.flow(x, s, clean, tol=1e-7), LAW.flow(x, s, above, tol=1e-7)
    assert np.abs(end[:, None] - DATA).max(-1).min(1).max() < 1e-12
    near(LAW.flow(halfway, above, clean, tol=1e-7), end, 1e-12)
    near(LAW.flow(halfway, above, s, tol=1e-7), x, 1e-5)
    near(LAW.flow(torch.tensor(x), s, clean, tol=1e-7), end, 1e-15)
    with pytest.raises(ValueError, match="cannot leave"):
        LAW.flow(end, clean, s)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Empirical(np.ones(4)), "first axis"),
        (lambda: Empirical(np.ones((0, 4))), "at least one sample"),
        (lambda: Empirical(np.array([[1.0, np.nan]])), "1 numbers that are not finite"),
        (lambda: Empirical(DATA, chunk=0), "chunk = 0"),
        (lambda: LAW.log_prob(DATA), "no density"),
        (lambda: LAW.log_prob(DATA, level(1.0, 0.0)), "no density"),
        (lambda: LAW.score(DATA, level(1.0, 0.0)), "clean level"),
        (lambda: LAW.predict(DATA, level(1.0, 1.0), "x0"), "'x0' is unknown"),
        (lambda: LAW.denoise(np.ones((2, 4)), level(1.0, 1.0)), "dimension 3"),
        (lambda: LAW.denoise(np.full((1, 3), mpmath.mpf(1)), level(1.0, 1.0)), "float arrays"),
    ],
)
def test_bad_input_is_refused_by_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)
