"""A denoiser with a known error: its exact law against samples, and against a Gaussian that it happens to be."""

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.noise import Counter
from diffnum.witness import uniform

VP = dn.VP()


def gaussian(rotated=True):
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0] if rotated else None
    return dn.Gaussian(np.array([0.4, -0.2, 1.0]), np.array([0.2, 0.8, 1.5]), basis)


def narrower(target, by):
    """The slope error of a network that believes variances ``by`` times too large."""

    def slope(level):
        c = target.eigen()[1]
        wrong = level.alpha * by * c / (level.alpha**2 * by * c + level.sigma**2)
        return wrong - level.alpha * c / (level.alpha**2 * c + level.sigma**2)

    return dn.Mistaken(target, slope=slope)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "ddpm_ancestral", "euler_maruyama"])
def test_without_an_error_it_is_the_gaussian(name):
    plan, target = dn.compile(name, uniform(VP, 6)), gaussian()
    for a, b in zip(dn.moments(plan, dn.Mistaken(target)), dn.moments(plan, target), strict=True):
        assert a == pytest.approx(b, rel=1e-12)


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_gaussian_of_other_variances_is_an_error_of_slope(prediction, kind):
    target = gaussian()
    believed = dn.Gaussian(target.mean, 1.7 * target.variances, target.basis)
    x = kind(target.sample(5, 0, VP.at(0.3)))
    level = VP.at(0.3)
    mistaken = narrower(target, 1.7).predict(x, level, prediction)
    np.testing.assert_allclose(np.asarray(mistaken), np.asarray(believed.predict(x, level, prediction)), rtol=1e-11)


@pytest.mark.parametrize("name", ["dpmpp_2m", "ddpm_ancestral"])
def test_the_exact_law_is_that_of_samples(name):
    target = gaussian()
    model = dn.Mistaken(target, offset=lambda level: 0.3 * level.sigma, slope=lambda level: 0.1 * level.alpha)
    plan, n = dn.compile(name, uniform(VP, 6)), 40_000
    x = dn.sample(plan, model, target.sample(n, 1, plan.start), noise=Counter(3))
    u = x @ target.basis
    mean, variance = dn.moments(plan, model)
    assert u.mean(0) == pytest.approx(mean, abs=4.5 * np.sqrt(variance.max() / n))
    assert u.var(0) == pytest.approx(variance, rel=4.5 * np.sqrt(2 / n))


def test_an_offset_at_high_noise_is_forgotten_with_noise_and_kept_without():
    """The reverse SDE contracts deviations of the mean by ``F^2`` where the flow has ``F``."""
    target = dn.Gaussian(np.zeros(1), np.ones(1))
    model = dn.Mistaken(target, offset=lambda level: 0.5 if level.lam < -1 else 0.0)
    flow, noisy = (abs(dn.moments(dn.compile(n, uniform(VP, 64)), model)[0][0]) for n in ("ddim", "ddpm_ancestral"))
    assert 0 < 2 * noisy < flow


def test_a_basis_with_directions_left_out_is_refused():
    with pytest.raises(ValueError, match="2 directions in 3 dimensions"):
        dn.Mistaken(dn.Gaussian(np.zeros(3), np.ones(2), np.eye(3)[:, :2]))
