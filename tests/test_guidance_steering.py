"""Gradients that steer against exact ones, and FlowChef against closed forms on Gaussians."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum import models
from diffnum.plan import PREDICTIONS, Level

RNG = np.random.default_rng(8)
FAMILY = dn.Conditional(
    [
        dn.Mixture([0.4, 0.6], RNG.standard_normal((2, 3)), RNG.uniform(0.1, 1, (2, 3))),
        dn.Gaussian(np.ones(3), [1, 2, 3]),
    ],
    [0.3, 0.7],
)
AT = Level(0.5, 0.8, 0.6)
X = FAMILY.sample(5, 1, AT)
T = torch.tensor(X)
PRIOR = dn.Gaussian([0.5, -1.0, 0.3, 0.0], [0.1, 0.4, 1.0, 2.5])
FLOW = dn.Flow()
GRID = dn.grid.custom(FLOW, times=[0.9, 0.7, 0.5, 0.3, 0.1, 0.0])
quantities = pytest.mark.parametrize("quantity", PREDICTIONS)


def near(a, b, tol=1e-12):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * (1e-30 + np.abs(b).max()))


# --- classifiers and rewards ---


def test_the_exact_gradient_is_autograds_of_the_posterior():
    by_torch = models.by_autograd(lambda x, level: FAMILY.posterior(x, level)[:, 0].log())
    near(models.exact_gradient(FAMILY, 0)(X, AT), by_torch(T, AT), 1e-11)


@quantities
@given(st.floats(-2, 10))
@settings(max_examples=8, deadline=None)
def test_classifier_guidance_by_the_posterior_is_classifier_free_guidance(quantity, scale):
    gradient = models.exact_gradient(FAMILY, 0)
    ours = models.ClassifierGuided(FAMILY, gradient, scale, quantity)
    near(ours(X, AT), FAMILY.guided(X, AT, 0, scale, quantity), 1e-11)
    on_top = models.ClassifierGuided(FAMILY.given(0), gradient, scale, quantity)
    near(on_top(X, AT), FAMILY.guided(X, AT, 0, 1 + scale, quantity), 1e-11)


def test_a_run_by_a_classifiers_gradient_is_the_run_by_guidance():
    plan = dn.compile("dpmpp_2m", dn.grid.log_snr(dn.VP(), 8), "noise")
    network = models.by_autograd(lambda x, level: FAMILY.posterior(x, level)[:, 0].log())
    x = torch.tensor(FAMILY.sample(3, 2, plan.start))
    ours = dn.sample(plan, models.ClassifierGuided(FAMILY, network, 2.0, "noise"), x)
    near(ours, dn.sample(plan, models.classifier_free(FAMILY.given(0), FAMILY, 2.0, "noise"), x), 1e-9)


@quantities
def test_the_likelihood_of_a_measurement_steers_a_gaussian_to_its_posterior(quantity):
    """``log p(y | x)`` is the exact reward of an observation ``y = x0 + noise``, and its guidance the posterior."""
    noise, y = 0.3, np.array([0.2, -0.4, 0.1, 1.0])
    mean, c = PRIOR.mean, PRIOR.variances
    posterior = dn.Gaussian((c * y + noise * mean) / (c + noise), c * noise / (c + noise))

    def log_likelihood(x, level):
        left = torch.tensor(c * level.sigma**2 / (level.alpha**2 * c + level.sigma**2) + noise)
        return -((torch.tensor(y) - PRIOR.denoise(x, level)) ** 2 / left).sum(-1) / 2

    ours = models.ClassifierGuided(PRIOR, models.by_autograd(log_likelihood), 1.0, quantity)
    x = torch.tensor(PRIOR.sample(4, 0, AT))
    near(ours(x, AT), posterior.predict(x, AT, quantity), 1e-12)


@quantities
def test_the_gradient_of_a_linear_reward_is_exact_through_the_jacobian(quantity):
    """``E[exp(a . x0) | x]`` of a Gaussian has the gradient ``J^T a`` of ``a . D`` itself: the law moved by ``C a``."""
    a = np.array([1.0, -0.5, 0.2, 0.7])
    ours = models.RewardGuided(PRIOR, lambda D: D @ torch.tensor(a), 1.5, quantity)
    moved = dn.Gaussian(PRIOR.mean + 1.5 * PRIOR.variances * a, PRIOR.variances)
    x = torch.tensor(PRIOR.sample(4, 0, AT))
    near(ours(x, AT), moved.predict(x, AT, quantity), 1e-12)


def test_the_gradient_of_a_reward_is_the_covariance_times_its_slope():
    ours = models.RewardGuided(FAMILY, lambda D: (D**3).sum(-1), 0.7)
    D, cov = FAMILY.denoise(X, AT), FAMILY.posterior_cov(X, AT)
    pushed = (cov * (3 * D**2)[:, None]).sum(-1) * AT.alpha / AT.sigma**2
    near(ours(T, AT), D + 0.7 * AT.sigma**2 / AT.alpha * pushed, 1e-11)


def test_calls_of_steered_models_are_those_of_what_they_steer():
    inner = models.classifier_free(FAMILY.given(0), FAMILY, 2.0)
    assert models.ClassifierGuided(inner, models.exact_gradient(FAMILY, 0), 1.0).calls(AT) == 2
    assert models.RewardGuided(inner, lambda D: D.sum(-1), 1.0).calls(AT) == 2


# --- FlowChef ---


def affine(level, prior=PRIOR):
    """``(J, b)`` of the denoiser ``J x + b``."""
    J = level.alpha * prior.variances / (level.alpha**2 * prior.variances + level.sigma**2)
    return J, prior.mean * (1 - level.alpha * J)


@quantities
@pytest.mark.parametrize("process", [FLOW, dn.VP(), dn.EDM()], ids=lambda p: type(p).__name__)
def test_no_step_is_plain_euler(process, quantity):
    grid = dn.grid.log_snr(process, 6, start=process.at(-2.0), stop=process.at(2.0))
    x = PRIOR.sample(3, 1, grid.levels[0])
    plain = dn.sample(dn.compile("euler", grid, quantity), PRIOR, x)
    near(models.flowchef(PRIOR, grid, np.sin, 0.0, x, prediction=quantity), plain, 1e-12)
    near(models.flowchef(PRIOR, grid, lambda D: 0 * D, 5.0, x, 3, quantity), plain, 1e-12)


def test_each_iteration_multiplies_the_residual_by_the_stated_matrix():
    """``A D - y`` becomes ``(1 - s A J A^T)`` of itself, for any ``A`` and any correlated Gaussian."""
    basis = np.linalg.qr(RNG.standard_normal((4, 4)))[0]
    prior, level = dn.Gaussian(PRIOR.mean, PRIOR.variances, basis), GRID.levels[1]
    A, y, s = RNG.standard_normal((2, 4)), RNG.standard_normal(2), 0.11
    J = level.alpha / level.sigma**2 * prior.posterior_cov(np.zeros(4), level)
    residuals = []

    def watch(D):
        if len(residuals) < 4:
            residuals.append(D @ A.T - y)
        return models.misfit(A, y)(D)

    models.flowchef(prior, dn.grid.custom(FLOW, times=[level.t, 0.1]), watch, s, prior.sample(3, 0, level), inner=4)
    step = np.eye(2) - s * A @ J @ A.T
    for before, after in pairwise(residuals):
        near(after, before @ step.T, 1e-12)


def test_one_iteration_is_one_evaluation_and_its_slope_is_from_before_the_move():
    asked = []

    def model(x, level):
        asked.append((x, level))
        return PRIOR.velocity(x, level)

    x = PRIOR.sample(2, 0, GRID.levels[0])
    gradient = models.misfit(np.eye(4)[:2], np.array([0.3, -0.2]))
    out = models.flowchef(model, GRID, gradient, 0.2, x)
    assert len(asked) == 5
    for s, t in pairwise(GRID.levels):
        v = PRIOR.velocity(x, s)
        x = x - 0.2 * gradient(x - s.sigma * v) + (t.t - s.t) * v
    near(out, x, 1e-13)


@given(st.floats(-9, 4), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_cosine_on_a_gaussian_is_closed(lam, seed):
    level, g = FLOW.at(lam), np.random.default_rng(seed).standard_normal((3, 4))
    J = affine(level)[0]
    closed = (g**2 @ J) / np.sqrt((g**2).sum(1) * (g**2 @ J**2))
    near(models.gradient_cosine(PRIOR, np.zeros((3, 4)), level, g), closed, 1e-12)
    # the true gradient is that of the loss in the state
    x = torch.tensor(PRIOR.sample(3, 0, level), requires_grad=True)
    (true,) = torch.autograd.grad((PRIOR.denoise(x, level) * torch.tensor(g)).sum(), x)
    near((true.numpy() * g).sum(1) / np.sqrt((g**2).sum(1) * (true.numpy() ** 2).sum(1)), closed, 1e-12)


@pytest.mark.parametrize("law", [PRIOR, FAMILY], ids=["Gaussian", "mixture"])
def test_the_skipped_gradient_becomes_the_true_one_as_the_noise_vanishes(law):
    """``J`` tends to the identity by the square of the noise, so the cosine to one by its fourth power."""
    g = np.random.default_rng(0).standard_normal((1, law.dim))
    x = np.full((1, law.dim), 0.3)
    gaps = [1 - float(models.gradient_cosine(law, x, FLOW.level(t), g)[0]) for t in (0.04, 0.02, 0.01)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert np.log2(gaps[1] / gaps[2]) == pytest.approx(4, abs=0.2)


def test_pure_noise_turns_the_gradient_by_the_covariance():
    noise, g = Level(1.0, 0.0, 1.0), np.array([[1.0, 2.0, -1.0, 0.5]])
    limit = Level(1.0, 1e-9, 1.0)
    c = PRIOR.variances
    closed = (g**2 @ c) / np.sqrt((g**2).sum(1) * (g**2 @ c**2))
    for level in (noise, limit):
        near(models.gradient_cosine(PRIOR, 0 * g, level, g), closed, 1e-7)


# --- where FlowChef ends: an observation of the first two coordinates by factors a, with noise ---

A = np.array([0.8, 1.5])
Y = np.array([0.6, -1.0])
NOISE = 0.2


def mask(y=Y):
    return models.misfit(np.diag([*A, 0, 0])[:2], y)


def exact_posterior():
    c, m = PRIOR.variances[:2], PRIOR.mean[:2]
    return (c * A * Y + NOISE * m) / (A**2 * c + NOISE), c * NOISE / (A**2 * c + NOISE)


def recursion(step, inner):
    """Mean and spread of FlowChef's end per observed coordinate, from the affine denoiser level by level."""
    gain, offset = np.ones(2), np.zeros(2)
    for s, t in pairwise(GRID.levels):
        J, b = (v[:2] for v in affine(s))
        for _ in range(inner):
            D = J * offset + b
            last_gain, last_offset = gain, offset
            gain, offset = gain * (1 - step * A**2 * J), offset - step * A * (A * D - Y)
        # v = (x - D) / t, before the last move
        dt, slope = (t.t - s.t) / s.t, (1 - J)
        gain, offset = gain + dt * slope * last_gain, offset + dt * (slope * last_offset - b)
    start = GRID.levels[0]
    c, m = PRIOR.variances[:2], PRIOR.mean[:2]
    return gain * start.alpha * m + offset, np.abs(gain) * np.sqrt(start.alpha**2 * c + start.sigma**2)


@pytest.mark.parametrize("step, inner", [(0.1, 1), (0.4, 1), (0.2, 3)])
def test_the_end_is_the_affine_recursion_and_not_the_posterior(step, inner):
    start = GRID.levels[0]
    out = models.flowchef(PRIOR, GRID, mask(), step, np.stack([0 * PRIOR.mean, start.alpha * PRIOR.mean]), inner)
    ones = models.flowchef(PRIOR, GRID, mask(), step, np.ones((1, 4)), inner)[0] - out[0]
    spread = np.sqrt(start.alpha**2 * PRIOR.variances + start.sigma**2)
    mean, deviation = recursion(step, inner)
    near(out[1, :2], mean, 1e-12)
    near(np.abs(ones * spread)[:2], deviation, 1e-12)
    exact, variance = exact_posterior()
    assert np.abs(mean - exact).max() > 0.01 and np.abs(deviation - np.sqrt(variance)).max() > 0.01


def test_many_iterations_end_on_the_measurement_itself():
    """Descent to the bottom forgets the prior and the noise: the bias is ``v (y/a - m) / (a^2 c + v)``."""
    x = PRIOR.sample(6, 3, GRID.levels[0])
    plain = models.flowchef(PRIOR, GRID, mask(), 0.0, x)
    out = models.flowchef(PRIOR, GRID, mask(), lambda level: 0.4 if level.t else 0.0, x, inner=600)
    assert np.abs(out[:, :2] - Y / A).max() < 1e-9
    near(out[:, 2:], plain[:, 2:], 1e-12)
    mean, _ = exact_posterior()
    c, m = PRIOR.variances[:2], PRIOR.mean[:2]
    near(Y / A - mean, NOISE * (Y / A - m) / (A**2 * c + NOISE), 1e-13)


def test_torch_is_numpy():
    x = PRIOR.sample(3, 1, GRID.levels[0])
    ours = models.flowchef(PRIOR, GRID, mask(), 0.2, x, 2)
    rows = torch.tensor(np.diag([*A, 0, 0])[:2])
    near(models.flowchef(PRIOR, GRID, models.misfit(rows, torch.tensor(Y)), 0.2, torch.tensor(x), 2), ours, 1e-13)


# --- refusals ---


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: models.by_autograd(lambda x, level: x.sum(-1))(X, AT), "ndarray: give a torch tensor"),
        (lambda: models.RewardGuided(FAMILY, lambda D: D.sum(-1), 1.0)(X, AT), "give a torch tensor"),
        (lambda: models.exact_gradient(FAMILY, 7), "label 7 is unknown"),
        (lambda: models.ClassifierGuided(FAMILY, abs, float("nan")), "scale = nan"),
        (lambda: models.ClassifierGuided(FAMILY, abs, 1.0, "colour"), "'colour' is unknown"),
        (lambda: models.ClassifierGuided(FAMILY, lambda x, level: x, 1.0)(X, Level(1.0, 0.0, 1.0)), "from the score"),
        (lambda: models.RewardGuided(FAMILY, abs, float("inf")), "scale = inf"),
        (lambda: models.misfit(np.eye(3), np.ones(2)), r"\(3, 3\) and y of shape \(2,\)"),
        (lambda: models.flowchef(PRIOR, GRID, mask(), 0.1, X, 0), "inner = 0"),
        (lambda: models.flowchef(PRIOR, GRID, mask(), float("nan"), X), "scale = nan"),
        (lambda: models.flowchef(PRIOR, GRID, mask(), 0.1, X, prediction="colour"), "'colour' is unknown"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
