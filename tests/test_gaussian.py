"""The Gaussian target against quadrature, dense linear algebra, automatic differentiation and its own ODE."""

from __future__ import annotations

import tracemalloc

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.covariance import ledoit_wolf

from diffnum.plan import PREDICTIONS, Level
from diffnum.targets import Gaussian

RNG = np.random.default_rng(5)
BASIS = np.linalg.qr(RNG.standard_normal((5, 5)))[0]
MEAN = RNG.standard_normal(5)
AXES = Gaussian(MEAN, [2.0, 0.7, 0.3, 0.05, 1e-4])
FULL = Gaussian(MEAN, [2.0, 0.7, 0.3, 0.05, 1e-4], BASIS)
THIN = Gaussian(MEAN, [2.0, 0.7, 0.0], BASIS[:, :3])
TARGETS = {"axes": AXES, "basis": FULL, "singular": THIN}
S, T = Level(0.5, 0.6, 0.8), Level(0.1, np.cos(0.2), np.sin(0.2))
CLEAN, PURE = Level(0.0, 1.0, 0.0), Level(1.0, 0.0, 1.0)

each = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
noises = st.floats(-9, 6).map(lambda e: 10.0**e)
alphas = st.sampled_from([1.0, 0.6, 1e-3, 1e-12])


def dense(target):
    """Mean and covariance as plain matrices."""
    basis = np.eye(target.dim) if target.basis is None else target.basis
    return target.mean, basis @ np.diag(target.variances) @ basis.T


def at(level, kind):
    """``level`` in another kind of number."""
    alpha, sigma = kind(level.alpha), kind(level.sigma)
    return Level(level.t, alpha, sigma, lam=level.lam, v=tuple(kind(c) for c in level.v))


def on_circle(angle):
    """Extended precision: ``alpha = cos``, ``sigma = sin``, so that ``dx/dangle`` is the velocity prediction."""
    return Level(angle, mp.cos(angle), mp.sin(angle), lam=mp.log(mp.cot(angle)))


@pytest.mark.parametrize(
    ("c", "alpha", "sigma", "y"), [(0.7, 0.6, 0.8, 2.0), (1e-3, 1.0, 0.2, -0.4), (3.0, 0.01, 5.0, 9.0)]
)
def test_denoiser_and_posterior_variance_against_quadrature(c, alpha, sigma, y):
    target, m = Gaussian([0.3], [c]), 0.3
    level, x = Level(0.5, alpha, sigma), np.array([y])

    def weight(u):
        return mp.exp(-((u - m) ** 2) / (2 * c) - (y - alpha * u) ** 2 / (2 * sigma**2))

    points = [m + float(np.sqrt(c)) * k for k in (-14, -7, -3, 0, 3, 7, 14)]
    total = mp.quad(weight, points)
    mean = mp.quad(lambda u: u * weight(u), points) / total
    variance = mp.quad(lambda u: (u - mean) ** 2 * weight(u), points) / total
    assert target.denoise(x, level)[0] == pytest.approx(float(mean), rel=1e-12)
    assert target.posterior_cov(x, level)[0, 0] == pytest.approx(float(variance), rel=1e-12)


@each
def test_predictions_against_dense_linear_algebra(target):
    m, cov = dense(target)
    x = target.sample(7, 1, S)
    noisy = S.alpha**2 * cov + S.sigma**2 * np.eye(5)
    pull = np.linalg.solve(noisy, (x - S.alpha * m).T).T
    D, eps = m + S.alpha * pull @ cov, S.sigma * pull
    np.testing.assert_allclose(target.denoise(x, S), D, atol=1e-13)
    np.testing.assert_allclose(target.score(x, S), -pull, atol=1e-13)
    np.testing.assert_allclose(target.noise_prediction(x, S), eps, atol=1e-13)
    np.testing.assert_allclose(target.velocity(x, S), S.v[0] * D + S.v[1] * eps, atol=1e-13)
    law = stats.multivariate_normal(S.alpha * m, noisy)
    np.testing.assert_allclose(target.log_prob(x, S), law.logpdf(x), rtol=1e-12)
    left = cov - S.alpha**2 * cov @ np.linalg.solve(noisy, cov)
    np.testing.assert_allclose(target.posterior_cov(x, S), np.broadcast_to(left, (7, 5, 5)), atol=1e-13)


@each
def test_score_is_the_gradient_of_log_prob_and_posterior_cov_that_of_the_denoiser(target):
    x = torch.tensor(target.sample(3, 2, S), requires_grad=True)
    (gradient,) = torch.autograd.grad(target.log_prob(x, S).sum(), x)
    np.testing.assert_allclose(target.score(x, S).detach(), gradient, atol=1e-12)
    jacobian = torch.autograd.functional.jacobian(lambda one: target.denoise(one, S), x[0].detach())
    np.testing.assert_allclose(target.posterior_cov(x[0].detach(), S), S.sigma**2 / S.alpha * jacobian, atol=1e-13)


@each
@settings(deadline=None, max_examples=60)
@given(alpha=alphas, sigma=noises, seed=st.integers(0, 99))
def test_data_and_noise_predictions_add_up_to_x_at_every_level(target, alpha, sigma, seed):
    level = Level(0.5, alpha, sigma)
    x = target.sample(2, seed, level)
    D, eps = target.denoise(x, level), target.noise_prediction(x, level)
    np.testing.assert_allclose(alpha * D + sigma * eps, x, atol=1e-13 * (1 + np.abs(x).max()))
    np.testing.assert_allclose(-sigma * target.score(x, level), eps, rtol=1e-12, atol=1e-300)
    assert np.abs(eps).max() < 30  # the part of x that is not data is noise of unit size


@each
@settings(deadline=None, max_examples=60)
@given(sigmas=st.tuples(noises, noises, noises), a=st.tuples(alphas, alphas, alphas))
def test_flow_by_way_of_a_third_level_is_the_flow(target, sigmas, a):
    s, t, u = (Level(0.5, alpha, sigma) for alpha, sigma in zip(a, sigmas, strict=True))
    x = target.sample(3, 0, s)
    deviation = target.flow(target.flow(x, s, t), t, u) - target.flow(x, s, u)
    # rounding in x is stretched by the singular directions, sigma_u / sigma_s, at most
    stretch = max(1, u.sigma / s.sigma, u.alpha / s.alpha, u.sigma / t.sigma, u.alpha / t.alpha)
    assert np.abs(deviation).max() < 1e-13 * stretch * (5 + s.sigma + t.sigma + u.sigma)


@each
def test_flow_solves_its_own_ode_at_fifty_digits(target):
    with mp.workdps(50):
        x = target.sample(1, 3, S)[0].astype(object) * mp.mpf(1)
        start, end = on_circle(mp.mpf("0.9")), mp.mpf("0.3")
        for i in range(target.dim):
            slope = mp.diff(lambda angle, i=i: target.flow(x, start, on_circle(angle))[i], end)
            assert abs(slope - target.velocity(target.flow(x, start, on_circle(end)), on_circle(end))[i]) < 1e-40


@each
def test_flow_carries_the_marginal_to_the_marginal(target):
    _, variances = target.marginal(S)
    mean, wanted = target.marginal(T)
    basis = np.linalg.qr(np.column_stack([BASIS[:, :3], RNG.standard_normal((5, 2))]))[0] if target is THIN else BASIS
    steps = S.alpha * target.mean + (np.sqrt(variances) * (np.eye(5) if target is AXES else basis)).T
    moved = target.flow(steps, S, T) - T.alpha * target.mean
    np.testing.assert_allclose((moved**2).sum(-1), wanted, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(mean), T.alpha * np.linalg.norm(target.mean), rtol=1e-14)


@each
def test_eigen_is_the_dense_spectrum_singular_directions_included(target):
    m, cov = dense(target)
    mean, variances = target.eigen()
    np.testing.assert_allclose(np.sort(variances), np.linalg.eigvalsh(cov), atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(mean), np.linalg.norm(m), rtol=1e-14)
    k = len(target.variances)
    np.testing.assert_allclose(target.modes(m), mean[:k], atol=1e-14)
    assert not mean[k + 1 :].any()


@each
@pytest.mark.parametrize("quantity", PREDICTIONS)
def test_numpy_torch_and_extended_precision_agree(target, quantity):
    x = target.sample(4, 4, S)
    want = target.predict(x, S, quantity)
    np.testing.assert_allclose(target.predict(torch.tensor(x), S, quantity), want, atol=1e-13)
    torch_level = at(S, lambda c: torch.tensor(c, dtype=torch.float64))
    np.testing.assert_allclose(target.predict(torch.tensor(x), torch_level, quantity), want, atol=1e-13)
    np.testing.assert_allclose(target.predict(x, torch_level, quantity), want, atol=1e-13)
    with mp.workdps(40):
        long = target.predict(x * mp.mpf(1), at(S, mp.mpf), quantity)
        np.testing.assert_allclose(long.astype(float), want, atol=1e-13)
        again = target.predict(target.flow(target.flow(x * mp.mpf(1), S, T), T, S), at(S, mp.mpf), quantity)
        assert abs(again - long).max() < 1e-35
    for dtype in (np.float32, np.float64):
        assert target.predict(x.astype(dtype), S, quantity).dtype == dtype
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert target.predict(torch.tensor(x).to(dtype), S, quantity).dtype == dtype
    low = target.predict(torch.tensor(x, dtype=torch.float32), S, quantity)
    np.testing.assert_allclose(low, want, atol=3e-6 * np.abs(want).max())


@each
def test_gradients_pass_through_the_level(target):
    sigma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(target.sample(1, 6, S))

    def value(noise):
        return (target.denoise(x, Level(0.5, 0.6, noise, lam=0.0)) ** 2).sum()

    assert torch.autograd.gradcheck(value, sigma)
    assert torch.autograd.gradcheck(lambda noise: target.marginal(Level(0.5, 0.6, noise, lam=0.0))[1], sigma)
    end = Level(0.2, 0.9, sigma, lam=0.0)
    assert torch.autograd.gradcheck(lambda noise: target.flow(x, S, Level(0.2, 0.9, noise, lam=0.0)), end.sigma)


@each
def test_ends_data_is_itself_and_pure_noise_says_nothing(target):
    x0, z = target.sample(5, 8), RNG.standard_normal((5, 5))
    np.testing.assert_allclose(target.denoise(x0, CLEAN), x0, atol=1e-14)
    np.testing.assert_array_equal(target.noise_prediction(x0, CLEAN), 0)
    np.testing.assert_allclose(target.velocity(x0, CLEAN), 0 * x0, atol=1e-14)  # v = (-sigma, alpha) = (0, 1)
    np.testing.assert_array_equal(target.posterior_cov(x0, CLEAN), 0)
    np.testing.assert_allclose(target.denoise(z, PURE), np.broadcast_to(target.mean, z.shape), atol=1e-15)
    np.testing.assert_allclose(target.noise_prediction(z, PURE), z, atol=1e-14)
    np.testing.assert_allclose(target.score(z, PURE), -z, atol=1e-14)
    np.testing.assert_allclose(target.flow(target.flow(x0, T, PURE), PURE, T), x0, atol=1e-13)


def test_a_regular_law_has_score_density_and_flow_at_the_clean_level():
    x = FULL.sample(5, 9)
    m, cov = dense(FULL)
    np.testing.assert_allclose(FULL.score(x, CLEAN), -np.linalg.solve(cov, (x - m).T).T, rtol=1e-9)
    np.testing.assert_allclose(FULL.log_prob(x), stats.multivariate_normal(m, cov).logpdf(x), rtol=1e-9)
    np.testing.assert_allclose(FULL.flow(FULL.flow(x, CLEAN, S), S, CLEAN), x, atol=1e-13)


def test_flow_ends_on_the_support_of_a_singular_law():
    x0 = THIN.flow(RNG.standard_normal((6, 5)), PURE, CLEAN)
    np.testing.assert_allclose((x0 - MEAN) @ BASIS[:, 2:], 0, atol=1e-14)


@each
@pytest.mark.parametrize("level", [None, S], ids=["data", "noisy"])
def test_samples_against_the_normal_cdf(target, level):
    x = target.sample(4000, 10, level)
    mean, variances = target.marginal(level or CLEAN)
    k = len(target.variances)
    modes = target.modes(x)
    for i in range(k):
        if variances[i] == 0:
            np.testing.assert_allclose(modes[:, i], mean[i], atol=1e-13)
        else:
            assert stats.kstest(modes[:, i], stats.norm(mean[i], np.sqrt(variances[i])).cdf).pvalue > 1e-3


def test_thin_basis_needs_no_square_matrix():
    dim, rng = 20000, np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((dim, 2)))[0]
    target = Gaussian(rng.standard_normal(dim), [1.0, 0.1], basis)
    x = rng.standard_normal((3, dim))
    tracemalloc.start()
    for quantity in PREDICTIONS:
        target.predict(x, S, quantity)
    target.flow(x, S, T)
    target.log_prob(x, S)
    target.eigen()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * dim * 8  # a square matrix would be 400 times this


def test_fit_is_ledoit_and_wolf_where_the_data_fill_the_space():
    data = RNG.standard_normal((300, 8)) * np.arange(1, 9) @ np.linalg.qr(RNG.standard_normal((8, 8)))[0]
    covariance, _ = ledoit_wolf(data)
    m, cov = dense(Gaussian.fit(data))
    np.testing.assert_allclose(cov, covariance, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(m, data.mean(axis=0))
    _, plain = dense(Gaussian.fit(torch.tensor(data).reshape(300, 2, 4), shrinkage=0.0))
    np.testing.assert_allclose(plain, np.cov(data.T, bias=True), atol=1e-10)
    assert np.all(np.diff(Gaussian.fit(data).variances) <= 0)


def test_fit_with_fewer_samples_than_dimensions_keeps_their_span():
    data = RNG.standard_normal((6, 40))
    target = Gaussian.fit(data, shrinkage=0.1)
    assert target.basis.shape == (40, 5)
    assert target.variances.sum() == pytest.approx(data.var(axis=0).sum())
    np.testing.assert_allclose(target.denoise(data, CLEAN), data, atol=1e-13)


def test_fit_leaves_constant_pixels_singular():
    data = RNG.standard_normal((50, 6))
    data[:, 2] = 0.25
    target = Gaussian.fit(data)
    assert len(target.variances) == 5
    assert target.sample(10, 0)[:, 2] == pytest.approx(0.25, abs=1e-14)


def test_power_law_ratios_and_average():
    c = Gaussian.power_law(50, exponent=1.5, scale=0.3).variances
    np.testing.assert_allclose(c[1:] / c[0], np.arange(2.0, 51) ** -1.5)
    assert c.mean() == pytest.approx(0.09)


REFUSED = {
    "variances": lambda: Gaussian([0.0, 1.0], [1.0]),
    "negative": lambda: Gaussian([0.0, 1.0], [1.0, -0.5]),
    "nan": lambda: Gaussian([0.0, float("nan")], [1.0, 1.0]),
    "empty": lambda: Gaussian([], []),
    "orthonormal": lambda: Gaussian([0.0, 1.0], [1.0], [[1.0], [0.1]]),
    "at most one per dimension": lambda: Gaussian([0.0], [1.0, 1.0], [[1.0, 0.0]]),
    "last axis": lambda: FULL.denoise(np.zeros(4), S),
    "unknown": lambda: FULL.predict(np.zeros(5), S, "drift"),
    "no score": lambda: THIN.score(np.zeros(5), CLEAN),
    "no density": lambda: THIN.log_prob(np.zeros(5)),
    "point mass": lambda: THIN.flow(np.zeros(5), CLEAN, S),
    "two samples": lambda: Gaussian.fit(np.zeros((1, 3))),
    "all equal": lambda: Gaussian.fit(np.ones((4, 3))),
    "not finite": lambda: Gaussian.fit(np.array([[1.0, np.inf], [0.0, 1.0]])),
    "outside": lambda: Gaussian.fit(RNG.standard_normal((4, 3)), shrinkage=1.5),
    "whole number": lambda: Gaussian.power_law(0),
    "scale > 0": lambda: Gaussian.power_law(3, scale=-1.0),
}


@pytest.mark.parametrize(("words", "build"), REFUSED.items(), ids=REFUSED.keys())
def test_bad_input_is_refused_in_one_sentence(words, build):
    with pytest.raises(ValueError, match=words) as refusal:
        build()
    assert "\n" not in str(refusal.value)
