"""Exact laws: shared noise against all and none, causes of error against the whole, densities against moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection import samplers

import diffnum as dn
from diffnum.noise import Counter
from diffnum.read.density import densities, expectation, marginal
from diffnum.read.law import joint, law, split
from diffnum.witness import near, nonlinear, uniform

VP = dn.VP()
STOCHASTIC = samplers(lambda s: s.stochastic)


def target(dim=4, k=None):
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(dim, k or dim)))[0]
    return dn.Gaussian(rng.normal(size=dim), rng.uniform(0.1, 2, k or dim), basis)


def small(sampler, n=6):
    return dn.compile(sampler, uniform(VP, n))


# --- laws on a Gaussian ---


@pytest.mark.parametrize("k", [4, 2])
def test_the_covariance_has_the_variances_in_the_directions_of_the_basis(k):
    gaussian = target(4, k)
    plan = small("ddpm_ancestral")
    found = law(plan, gaussian)
    eigenvalues = np.linalg.eigvalsh(found.covariance())
    assert sorted(found.variance) == pytest.approx(eigenvalues.tolist(), rel=1e-12)
    inside = gaussian.basis.T @ found.covariance() @ gaussian.basis
    assert inside == pytest.approx(np.diag(found.variance[:k]), abs=1e-14)
    assert found.w2 == pytest.approx(dn.w2(plan, gaussian), rel=1e-12)


def test_the_covariance_is_that_of_samples():
    gaussian, plan = target(3), small("ddpm_ancestral", 4)
    n = 40_000
    x = dn.sample(plan, gaussian, gaussian.sample(n, 1, plan.start), noise=Counter(2))
    found = law(plan, gaussian)
    scale = np.sqrt(np.diag(found.covariance()))
    gap = (np.cov(x.T) - found.covariance()) / np.outer(scale, scale)
    assert np.abs(gap).max() < 4.5 * np.sqrt(2 / n)


def test_the_spectrum_is_relative_and_refuses_singular_directions():
    found = law(small("ddpm_ancestral"), target(4, 2))
    assert found.spectrum == pytest.approx(found.variance / found.wanted[1] - 1)
    at_data = law(small("ddpm_ancestral"), target(4, 2), at="data")
    assert np.isnan(at_data.spectrum[2:]).all() and np.isfinite(at_data.spectrum[:2]).all()


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_sharing_everything_is_the_variance_and_nothing_is_zero(sampler):
    gaussian, plan = target(), small(sampler)
    assert joint(plan, gaussian, start=True) == pytest.approx(dn.moments(plan, gaussian)[1], rel=1e-12)
    assert joint(plan, gaussian, start=False, draws=False) == pytest.approx(np.zeros(4))
    half = plan.levels[plan.steps // 2]
    early, late = (
        joint(plan, gaussian, draws=keep)
        for keep in (lambda line: line.s.lam < half.lam, lambda line: line.s.lam >= half.lam)
    )
    assert early + late == pytest.approx(joint(plan, gaussian), rel=1e-12)


def test_samples_that_share_noise_have_the_joint_covariance():
    gaussian, plan = dn.Gaussian(np.array([0.3]), np.array([0.7])), small("ddpm_ancestral", 4)
    n = 40_000
    ends = [dn.sample(plan, gaussian, gaussian.sample(n, seed, plan.start), noise=Counter(9))[:, 0] for seed in (1, 2)]
    found = np.mean((ends[0] - ends[0].mean()) * (ends[1] - ends[1].mean()))
    variance = dn.moments(plan, gaussian)[1][0]
    assert found == pytest.approx(joint(plan, gaussian)[0], abs=4.5 * variance / np.sqrt(n))


# --- causes of error ---


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_dependence_and_noise_make_up_the_variance(sampler):
    """With both switched on the variances add up to the plan's; each alone vanishes with the step.

    In the middle of the interval, where the leading power is seen early: from high noise the error of the noise changes
    its sign for some samplers, between 64 and 512 steps.
    """
    gaussian = dn.Gaussian(np.zeros(1), np.array([0.6]))
    errors = []
    for n in (16, 32):
        found = split(dn.compile(sampler, near(VP, n)), gaussian)
        errors.append((found.discretisation, found.noise))
        assert found.total > 0 and found.truncation > 0 and found.initialisation >= 0
    if sampler.order:
        assert (np.array(errors[1]) < 0.6 * np.array(errors[0]) + 1e-12).all()


def test_a_plan_without_draws_has_no_error_of_noise_and_truncates_as_published():
    gaussian = dn.Gaussian(np.zeros(3), np.array([0.1, 1.0, 3.0]))
    levels = dn.grid.uniform(VP, 30)
    found = split(dn.compile("dpmpp_2m", levels), gaussian)
    published = dn.study.gaussian_errors(gaussian.variances, "euler", eps=VP.t_stop)
    assert found.noise < 1e-14
    assert found.truncation == pytest.approx(published.truncation, rel=1e-9)
    assert found.discretisation == pytest.approx(dn.w2(dn.compile("dpmpp_2m", levels), gaussian), rel=1e-9)


def test_initialisation_is_that_of_the_exact_solution_in_the_limit():
    gaussian = dn.Gaussian(np.zeros(2), np.array([0.2, 2.0]))
    published = dn.study.gaussian_errors(gaussian.variances, "euler", eps=VP.t_stop)
    levels = dn.grid.log_snr(VP, 400, stop=VP.at(9.0))
    assert split(dn.compile("dpmpp_2m", levels), gaussian).initialisation == pytest.approx(
        published.initialisation, rel=1e-2
    )


# --- densities on a line ---


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_densities_have_the_moments_of_the_exact_law_on_a_gaussian(sampler):
    gaussian = dn.Gaussian(np.array([0.3]), np.array([0.4]))
    plan = small(sampler, 8)
    mean, variance = dn.moments(plan, gaussian)
    try:
        first, second = expectation(plan, gaussian, lambda x: np.stack([x, x * x]))
    except ValueError as error:
        # refused by one sentence, with the remedy
        assert "dn.moments on a Gaussian" in str(error)
        assert plan.depth or plan.partners or "draws" in str(error) or "no noise" in str(error)
        return
    assert not plan.depth
    assert first == pytest.approx(mean[0], abs=1e-12)
    assert second - first**2 == pytest.approx(variance[0], abs=1e-11)


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 12), st.sampled_from(["ddpm_ancestral", "euler_maruyama"]))
def test_densities_stay_densities(n, name):
    law_ = dn.Product1D((nonlinear().laws[0],))
    for density in densities(small(name, n), law_):
        assert density.expect(np.ones_like) == pytest.approx(1, abs=1e-12)
        assert density.p.min() > -1e-15


def test_the_density_of_an_exact_start_is_that_of_the_target():
    law_ = dn.Product1D((nonlinear().laws[1],))
    level = VP.at(0.4)
    exact = marginal(law_, level)
    again = marginal(law_, level, exact.spacing / 3)
    for f in (np.cos, np.square, lambda x: x):
        assert exact.expect(f) == pytest.approx(again.expect(f), abs=1e-13)


def test_densities_agree_with_samples():
    law_ = dn.Product1D((nonlinear().laws[2],))
    plan, n = small("ddpm_ancestral", 3), 40_000
    x = dn.sample(plan, law_, law_.sample(n, 0, plan.start), noise=Counter(1))[:, 0]
    for f in (np.cos, np.sin, np.tanh):
        assert f(x).mean() == pytest.approx(expectation(plan, law_, f), abs=4.5 * f(x).std() / np.sqrt(n))


def test_a_last_step_to_clean_data_needs_no_density():
    law_ = dn.Product1D((nonlinear().laws[0],))
    plan = dn.compile("ddpm_ancestral", dn.grid.log_snr(VP, 4, start=VP.at(-2.0), stop=VP.at(2.0), end="zero"))
    x = dn.sample(plan, law_, law_.sample(40_000, 0, plan.start), noise=Counter(1))[:, 0]
    assert np.cos(x).mean() == pytest.approx(expectation(plan, law_, np.cos), abs=4.5 * np.cos(x).std() / 200)


def test_bad_questions_are_refused():
    law_ = dn.Product1D((nonlinear().laws[0],))
    with pytest.raises(ValueError, match="3 dimensions"):
        list(densities(small("ddpm_ancestral"), nonlinear()))
    with pytest.raises(ValueError, match="init = 'zero'"):
        list(densities(small("ddpm_ancestral"), law_, init="zero"))
    with pytest.raises(ValueError, match="Gaussian"):
        law(small("ddpm_ancestral"), nonlinear())
