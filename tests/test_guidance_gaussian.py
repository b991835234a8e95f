"""The closed flow of two guided Gaussians against integration, against plans, and against the laws it is not."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum import slopes, witness
from diffnum.read.stability import guided_jacobian
from diffnum.targets import Gaussian, GuidedGaussian
from diffnum.targets.reference import reference_flow

BASIS = np.linalg.qr(np.random.default_rng(4).standard_normal((3, 3)))[0]
INNER = Gaussian([1.0, -0.5, 0.3], [0.1, 0.9, 0.4], BASIS)
OUTER = Gaussian([0.0, 0.2, 0.1], [1.0, 0.6, 0.4], BASIS)
VP, EDM = dn.VP(), dn.EDM(1e-4, 1e4)
scales = st.floats(-2, 15)
variances = st.floats(-3, 3).map(lambda e: 10.0**e)


def pair(c, u, scale, mean=1.0):
    return GuidedGaussian(Gaussian([mean], [c]), Gaussian([0.0], [u]), scale)


# --- the flow ---


@given(scales, st.floats(-5, 5), st.floats(-5, 5))
@settings(max_examples=6, deadline=None)
def test_the_flow_is_the_integral_of_the_guided_velocity(scale, a, b):
    law, s, t = GuidedGaussian(INNER, OUTER, scale), VP.at(a), VP.at(b)
    x = law.sample(4, 0, s)
    exact = law.flow(x, s, t)
    # a guided flow may multiply errors by its gain
    factor = max(1.0, float(law.gain(s, t).max()))
    assert np.abs(exact - reference_flow(law, x, s, t, 1e-9)).max() <= 2e-8 * factor * (1 + np.abs(exact).max())


@given(scales, variances, variances, st.floats(-4, 4), st.floats(-4, 4), st.floats(-4, 4))
@settings(max_examples=15, deadline=None)
def test_the_flow_goes_there_and_back_and_through(scale, c, u, a, b, m):
    law, s, t, w = pair(c, u, scale), EDM.at(a), EDM.at(b), EDM.at(m)
    x = np.array([[-1.0], [0.5], [2.0]])
    direct = law.flow(x, s, t)
    size = np.abs(direct).max() + float(law.gain(w, t).max()) * np.abs(law.flow(x, s, w)).max() + 1
    assert np.abs(law.flow(law.flow(x, s, w), w, t) - direct).max() <= 1e-9 * size


@pytest.mark.parametrize("scale, alone", [(1.0, INNER), (0.0, OUTER)])
def test_scale_one_and_zero_are_the_class_and_the_whole(scale, alone):
    law, s, t = GuidedGaussian(INNER, OUTER, scale), VP.at(-3.0), VP.at(2.0)
    x = law.sample(4, 0, s)
    np.testing.assert_allclose(law.flow(x, s, t), alone.flow(x, s, t), rtol=1e-12, atol=1e-13)
    for end in (law.end(), law.end_of_diffusion(), law.tilted()):
        np.testing.assert_allclose(end.mean, alone.mean, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(end.variances, alone.variances, rtol=1e-12)


def test_equal_variances_are_one_gaussian_about_the_extrapolated_mean():
    law = GuidedGaussian(Gaussian([1.0, 2.0], [0.3, 0.7]), Gaussian([0.5, -1.0], [0.3, 0.7]), 4.0)
    moved = Gaussian([0.5 + 4 * 0.5, -1.0 + 4 * 3.0], [0.3, 0.7])
    s, t = VP.at(-3.0), VP.at(2.0)
    x = law.sample(4, 0, s)
    np.testing.assert_allclose(law.flow(x, s, t), moved.flow(x, s, t), rtol=1e-12)
    for end in (law.end(), law.end_of_diffusion(), law.tilted()):
        np.testing.assert_allclose([end.mean, end.variances], [moved.mean, moved.variances], rtol=1e-12)


@given(scales, variances, variances, st.floats(-6, 6))
@settings(max_examples=20, deadline=None)
def test_the_centre_is_the_hypergeometric_function(scale, c, u, lam):
    import mpmath

    level, law = EDM.at(lam), pair(c, u, scale)
    z = (mpmath.mpf(u) - c) / (u + mpmath.mpf(level.sigma) ** 2)
    exact = scale * float(mpmath.hyp2f1(1, (1 - mpmath.mpf(scale)) / 2, mpmath.mpf(3) / 2, z))
    assert law.centre(level)[0] == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_for_odd_scales_the_centre_is_a_polynomial():
    law = pair(0.2, 1.0, 5.0)
    z = 0.8 / (1.0 + 0.25)
    assert law.centre(dn.Level(0.5, 1.0, 0.5))[0] == pytest.approx(5 * (1 - 4 * z / 3 + 8 * z**2 / 15), rel=1e-13)


def test_the_flow_starts_at_pure_noise_and_ends_clean():
    law = GuidedGaussian(INNER, OUTER, 2.5)
    noise, clean = dn.Level(1.0, 0.0, 1.0), dn.Level(0.0, 1.0, 0.0)
    mean, variance = law.law(noise, clean)
    expected = law.end()
    np.testing.assert_allclose(BASIS @ mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(variance, expected.variances, rtol=1e-12)
    inner, outer = INNER.variances, OUTER.variances
    np.testing.assert_allclose(variance, inner**2.5 * outer**-1.5, rtol=1e-12)


def test_the_jacobian_of_the_denoiser_is_the_guided_one():
    law, level = GuidedGaussian(INNER, OUTER, 3.0), dn.Level(0.5, 1.0, 0.7)
    x = torch.tensor(law.sample(1, 0, level))[0]
    jacobian = torch.autograd.functional.jacobian(lambda v: law.denoise(v[None], level)[0], x)
    np.testing.assert_allclose(law.posterior_cov(x[None], level)[0] / 0.7**2, jacobian, atol=1e-12)
    closed = guided_jacobian(3.0, INNER.variances, OUTER.variances, 0.7)
    np.testing.assert_allclose(BASIS.T @ jacobian.numpy() @ BASIS, np.diag(closed), atol=1e-12)
    np.testing.assert_allclose(law.response(level)[0], closed, rtol=1e-12)


def test_it_is_the_guidance_of_its_two_laws():
    law, level = GuidedGaussian(INNER, OUTER, 3.0), dn.Level(0.5, 0.8, 0.6)
    x = law.sample(4, 0, level)
    for quantity in dn.plan.PREDICTIONS:
        model = dn.models.classifier_free(INNER, OUTER, 3.0, quantity)
        np.testing.assert_allclose(law.predict(x, level, quantity), model(x, level), rtol=1e-13, atol=1e-14)


# --- plans ---


def test_exact_moments_of_a_long_plan_are_the_law_of_the_flow():
    law = GuidedGaussian(INNER, OUTER, 2.0)
    s, t = VP.at(-3.0), VP.at(3.0)
    mean, variance = dn.moments(dn.compile("rk4", dn.grid.log_snr(VP, 400, start=s, stop=t)), law)
    expected = law.law(s, t)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-7)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-7)


ORDERS = {"ddim": 1, "heun": 2, "dpmpp_2m": 2, "dpmpp_2s": 2, "dpmpp_3m_corrected": 3, "rk4": 4}


QUICK = ("ddim", "dpmpp_3m_corrected")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.full) for name in ORDERS if name not in QUICK)]
)
def test_orders_hold_under_guidance_against_the_closed_flow(name):
    """On a Gaussian a method may do better than its order, never worse; the second witness is two-sided."""
    law = GuidedGaussian(witness.gaussian(), Gaussian([0.0, -0.4, 0.2, 0.5], [0.9, 1.2, 1.5, 3.0]), 3.0)
    counts = (64, 128, 256, 512)
    run = witness.Run.of(law, VP.at(witness.LOW))
    errors = [
        witness.norm(witness.path_errors(dn.compile(name, witness.alternating(VP, n)), run, warm=True)) for n in counts
    ]
    slope = slopes.measured(errors, counts, "guided Gaussian", "alternating", "VP", "warm", "reach")
    assert slope.used >= 3 and slope.holds(ORDERS[name]), (slope.value, errors)


@pytest.mark.full
@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m_corrected"])
def test_orders_hold_under_guidance_of_a_curved_family(name):
    from diffnum.design.learned.guided import Guided

    family = dn.Conditional([witness.coupled(), Gaussian([0.3, -0.2], [1.0, 0.8])])
    counts = (32, 64, 128, 256, 512)
    run = witness.Run.of(Guided(family, 0, 2.0), VP.at(-2.0))
    grids = [dn.grid.log_snr(VP, n, start=VP.at(-2.0), stop=VP.at(2.0)) for n in counts]
    errors = [witness.norm(witness.path_errors(dn.compile(name, grid), run, warm=True)) for grid in grids]
    # the reference is good to 1e-10
    slope = slopes.measured(errors, counts, "guided mixture", "uniform", "VP", "warm", "equal", floor=lambda n: 1e-8)
    assert slope.used >= 3 and slope.holds(ORDERS[name]), (slope.value, errors)


# --- what it is not ---


@pytest.mark.parametrize("scale", [1.5, 3.0])
def test_without_means_the_three_laws_are_those_of_the_literature(scale):
    """``N(0, 1)`` in ``N(0, 2)``: Bradley & Nakkiran (2024)."""
    law = pair(1.0, 2.0, scale, mean=0.0)
    assert law.end().variances[0] == pytest.approx(2 ** (1 - scale), rel=1e-13)
    closed = (2 - 2 ** (2 - 2 * scale)) / (2 * scale - 1)
    assert law.end_of_diffusion().variances[0] == pytest.approx(closed, rel=1e-13)
    assert law.tilted().variances[0] == pytest.approx(2 / (scale + 1), rel=1e-13)
    assert law.end().variances[0] < closed < law.tilted().variances[0]


def test_short_reverse_diffusion_steps_end_in_the_closed_law():
    """Ancestral sampling is of weak order one: what is left halves with its steps, and the limit is the closed law."""
    law = pair(0.3, 1.0, 3.0)
    found = []
    for n in (400, 800, 1600):
        found.append(np.array(dn.moments(dn.compile("ddpm_ancestral", dn.grid.log_snr(EDM, n)), law)))
    limit = 8 / 3 * found[2] - 2 * found[1] + found[0] / 3
    exact = law.end_of_diffusion()
    np.testing.assert_allclose(limit[:, 0], [exact.mean[0], exact.variances[0]], rtol=2e-5)


@given(st.floats(1.05, 12), variances, st.floats(1.1, 100))
@settings(max_examples=20, deadline=None)
def test_flow_and_diffusion_end_narrower_and_further_out_than_the_tilted_law(scale, c, ratio):
    law = pair(c, ratio * c, scale)
    ends = [law.end(), law.end_of_diffusion(), law.tilted()]
    assert np.all(np.diff([end.variances[0] for end in ends]) > 0)
    assert np.all(np.diff([end.mean[0] for end in ends]) < 0)
    # never beyond the extrapolated mean
    assert ends[0].mean[0] < scale


# --- refusals ---


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: GuidedGaussian(INNER, Gaussian([0.0, 0.2, 0.1], [1.0, 0.6, 0.4]), 2.0), "common"),
        (lambda: GuidedGaussian(Gaussian([0.0], [1.0]), Gaussian([0.0, 1.0], [1.0, 1.0]), 2.0), "1 and 2 dimensions"),
        (lambda: pair(0.0, 1.0, 2.0), "variance zero"),
        (lambda: pair(0.5, 1.0, math.inf), "scale = inf"),
        (lambda: pair(2.0, 1.0, 3.0).tilted(), "cannot be normalised"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
