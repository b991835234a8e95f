"""Calibration, boundary conditions and time shift: what a known error, posterior and spread must give."""

import numpy as np
import pytest
from learned_cases import PROCESS, START, Tolerant, gaussian_trajectories, grid
from scipy.stats import chi2

import diffnum as dn
from diffnum.adaptive import TimeShift, sample_shifted
from diffnum.design import Trajectories
from diffnum.design import learned as L
from diffnum.plan import PREDICTIONS
from diffnum.prediction import convert

LAW = dn.Gaussian([0.5, -1.0], [0.8, 0.1])


def symmetric(level):
    """Noised data in pairs about the mean, whose average has no error."""
    x = LAW.sample(64, 3, level)
    return np.concatenate([x, 2 * level.alpha * LAW.mean - x])


def biased(level):
    return np.array([0.3 + level.sigma, -0.2 * level.alpha])


def mistaken(prediction):
    """The exact prediction of a score that is off by :func:`biased`, which does not depend on the state."""

    def model(x, level):
        D = LAW.denoise(x, level) + level.sigma**2 / level.alpha * biased(level)
        a, b = convert(level, "data", prediction)
        return a * x + b * D

    return model


# --- calibration ---


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc_2"])
def test_a_calibrated_sampler_of_a_biased_score_is_that_of_the_true_one(name, prediction):
    plan = dn.compile(name, grid(6), prediction)
    levels = [plan.lines[r - 1].level for r in plan.evaluations]
    calibrated = L.calibrate(mistaken(prediction), symmetric, levels, prediction, LAW.mean)
    x = LAW.sample(8, 0, START)
    np.testing.assert_allclose(dn.sample(plan, calibrated, x), dn.sample(plan, LAW, x), atol=1e-12)
    assert abs(dn.sample(plan, mistaken(prediction), x) - dn.sample(plan, LAW, x)).max() > 0.1


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_an_exact_model_has_nothing_to_take_off(prediction):
    levels = grid(3).levels
    offsets = L.calibrate(LAW, symmetric, levels, prediction, LAW.mean).offsets
    assert max(abs(offset).max() for offset in offsets.values()) < 1e-13


def test_the_loss_falls_by_the_square_of_the_mean():
    level = PROCESS.at(0.3)
    x = symmetric(level)
    calibrated = L.calibrate(mistaken("score"), lambda level: x, [level], "score")
    true = LAW.score(x, level)
    before, after = (((model(x, level) - true) ** 2).sum(-1).mean() for model in (mistaken("score"), calibrated))
    assert np.isclose(before - after, (mistaken("score")(x, level).mean(0) ** 2).sum(), rtol=1e-12)


def test_the_score_is_a_martingale():
    s, t = PROCESS.at(0.5), PROCESS.at(-0.5)
    x = LAW.sample(5, 1, t)
    # what is known of x_s from x_t: noise is added from s to t
    q = t.alpha / s.alpha
    within = s.alpha**2 * LAW.variances + s.sigma**2
    expected = s.alpha * LAW.mean + q * within / (t.alpha**2 * LAW.variances + t.sigma**2) * (x - t.alpha * LAW.mean)
    np.testing.assert_allclose(t.alpha * LAW.score(x, t), s.alpha * LAW.score(expected, s), rtol=1e-12)


def test_torch_models_are_calibrated_and_unknown_levels_refused():
    import torch

    level = PROCESS.at(0.0)
    model = L.calibrate(
        lambda x, level: x + 1.0, lambda level: torch.tensor(symmetric(level)), [level], "noise", LAW.mean
    )
    x = torch.zeros(3, 2)
    assert model(x, level).dtype == x.dtype
    with pytest.raises(ValueError, match="no mean is known"):
        model(x, PROCESS.at(1.0))


# --- the optimal boundary condition ---

SPREAD, NOISE = 0.7, 0.3


def posterior(y):
    """``p(x0 | y)`` for ``x0 ~ N(0, SPREAD)`` in every coordinate and ``y = x0 + N(0, NOISE)``."""
    gain = SPREAD / (SPREAD + NOISE)
    return dn.Gaussian(gain * y, np.full(len(y), gain * NOISE))


def references(count, dim, seed):
    rng = np.random.default_rng(seed)
    x0 = rng.normal(size=(count, dim)) * SPREAD**0.5
    y = x0 + rng.normal(size=(count, dim)) * NOISE**0.5
    return [(posterior(one), truth) for one, truth in zip(y, x0, strict=True)]


def test_from_pure_noise_zero_is_best_for_all_and_gives_the_posterior_mean():
    plan = dn.compile("ddim", dn.grid.uniform(dn.Flow(), 10, end="zero"))
    pairs = [(model, model.mean) for model, _ in references(6, 3, 0)]
    candidates = np.concatenate([np.random.default_rng(1).normal(size=(50, 3)), np.zeros((1, 3))])
    for pair in pairs:
        assert not L.best_boundary(plan, [pair], candidates).x.any()
    found = L.best_boundary(plan, pairs, candidates)
    assert not found.x.any()
    for model, _ in pairs:
        np.testing.assert_allclose(dn.sample(plan, model, found.start(2)), [model.mean] * 2, atol=1e-12)


def gain_of(plan, dim):
    model = posterior(np.zeros(dim))
    return float(dn.sample(plan, model, np.eye(dim)[:1])[0, 0])


def test_losses_of_candidates_are_their_squared_lengths_and_the_variance_left():
    plan = dn.compile("ddim", dn.grid.uniform(dn.Flow(), 10, end="zero"))
    pairs = references(5, 3, 0)
    candidates = np.random.default_rng(1).normal(size=(4, 3))
    means = [(model, model.mean) for model, _ in pairs]
    lengths = gain_of(plan, 3) ** 2 * (candidates**2).sum(1)
    np.testing.assert_allclose(L.best_boundary(plan, means, candidates).losses, lengths, rtol=1e-12)


@pytest.mark.parametrize("count", [1, 10, 100])
def test_the_best_of_many_follows_the_law_of_a_least_chi_square(count):
    plan, dim, trials = dn.compile("ddim", dn.grid.uniform(dn.Flow(), 5, end="zero")), 3, 400
    model = posterior(np.zeros(dim))
    candidates = np.random.default_rng(2).normal(size=(trials, count, dim))
    losses = L.best_boundary(plan, [(model, model.mean)], candidates.reshape(-1, dim)).losses.reshape(trials, count)
    best, gain = losses.min(1), gain_of(plan, dim)
    expected = L.expected_best(gain, dim, count)
    assert abs(best.mean() - expected) < 4 * best.std() / trials**0.5
    # the distribution, not its mean alone
    shares = 1 - chi2.sf(best / gain**2, dim) ** count
    assert abs(np.sort(shares) - (np.arange(trials) + 0.5) / trials).max() < 1.95 / trials**0.5


def test_the_expected_best_of_one_is_the_dimension_and_tends_to_nothing():
    assert np.isclose(L.expected_best(1.0, 5, 1), 5.0)
    assert np.isclose(L.expected_best(2.0, 5, 7), 4 * L.expected_best(1.0, 5, 7))
    # in one dimension the least of K halves of normals falls like their density's inverse
    assert L.expected_best(1.0, 1, 1000) < 1e-5


def test_another_loss_chooses_and_noise_is_refused():
    plan = dn.compile("ddim", grid(3))
    pairs = [(LAW, LAW.mean)]
    candidates = np.array([[3.0, 0.0], [0.0, 3.0]])

    def first_coordinate(outputs, x0):
        return (outputs - x0)[:, 0] ** 2

    assert L.best_boundary(plan, pairs, candidates, first_coordinate).x[0, 0] == 0
    with pytest.raises(ValueError, match="draws noise"):
        L.best_boundary(dn.compile("ddpm_ancestral", grid(3)), pairs, candidates)
    with pytest.raises(ValueError, match="no references"):
        L.best_boundary(plan, [], candidates)


# --- time shift ---


def test_no_window_is_the_sampler_itself():
    plan = dn.compile("ddim", grid(5), "noise")
    x = LAW.sample(6, 0, START)
    shifted = sample_shifted(plan, LAW, x, TimeShift(PROCESS, 0.0)).x
    assert np.array_equal(shifted, dn.sample(plan, LAW, x))


def test_the_published_criterion_is_off_by_the_variance_of_the_data():
    # of one point there is no variance and no shift; else the level chosen is noisier than the true one
    level, window = PROCESS.at(0.0), 0.4
    for variance, shift in ((0.0, 0.0), (0.5, window / 2)):
        law = dn.Gaussian(np.zeros(4000), np.full(4000, variance))
        (told,) = TimeShift(PROCESS, window, candidates=3).choose(law.sample(1, 0, level), level)
        assert np.isclose(told.t - level.t, shift)
        (told,) = TimeShift(PROCESS, window, candidates=3, data_variance=variance).choose(
            law.sample(1, 0, level), level
        )
        assert told.t == level.t


def test_a_shift_is_chosen_where_it_brings_the_ends_nearer():
    exact = gaussian_trajectories([0.5] * 400, n=4)
    # an exposure bias: the states have more noise than their level says
    off = Trajectories(Tolerant(exact.target.law), exact.start, 1.05 * exact.x, exact.end)
    plan = dn.compile("ddim", grid(12), "noise")
    shift, error = L.fit_time_shift(plan, off, (0.02, 0.05, 0.1), (0.0, 0.2), PROCESS, data_variance=0.5)
    assert shift.window > 0
    assert error < off.error(plan)
    kept, same = L.fit_time_shift(plan, off, (), (), PROCESS)
    assert kept.window == 0
    assert np.isclose(same, off.error(plan))
