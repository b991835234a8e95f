"""Guided models against their definitions, the exact families they are made of, and the codes of diffusers."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum import models
from diffnum.models.guidance import noise_to_signal
from diffnum.models.thresholding import DynamicThreshold, StaticThreshold, Thresholded
from diffnum.plan import PREDICTIONS, Level
from diffnum.prediction import convert

RNG = np.random.default_rng(5)
FAMILY = dn.Conditional(
    [
        dn.Mixture([0.4, 0.6], RNG.standard_normal((2, 3)), RNG.uniform(0.1, 1, (2, 3))),
        dn.Gaussian(RNG.standard_normal(3), RNG.uniform(0.1, 1, 3)),
    ],
    [0.3, 0.7],
    ("cat", "dog"),
)
CAT = FAMILY.given("cat")
AT = Level(0.5, 0.8, 0.6)
X = FAMILY.sample(7, 1, AT)
scales = st.floats(-3, 12)
quantities = pytest.mark.parametrize("quantity", PREDICTIONS)
RULES = (
    models.Linear(3.0),
    models.Rescaled(3.0, 0.7),
    models.Rescaled(3.0, 0.7, "data"),
    models.Projected(3.0, 0.2, 0.5),
    models.Optimised(3.0),
    models.Banded(2.0, 4.0, lambda d: 0.5 * (d + d[:, ::-1] if isinstance(d, np.ndarray) else d + d.flip(1))),
)
rules = pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{type(r).__name__}-{r.quantity}")


def guided(rule, quantity="data", low=0.0, high=math.inf):
    return models.Guidance(models.Pair(CAT, FAMILY, quantity), rule, low, high)


def near(a, b, tol=1e-12):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * (1e-30 + np.abs(b).max()))


class Counting:
    """A model that counts what it is asked, sample by sample."""

    def __init__(self, target, prediction="data"):
        self.target, self.prediction, self.asked = target, prediction, 0

    def __call__(self, x, level):
        self.asked += 1
        return self.target.predict(x, level, self.prediction)


# --- rules against each other ---


@quantities
@given(scale=scales)
@settings(max_examples=20, deadline=None)
def test_classifier_free_guidance_is_the_familys_own(quantity, scale):
    ours = models.classifier_free(CAT, FAMILY, scale, quantity)
    near(ours(X, AT), FAMILY.guided(X, AT, "cat", scale, quantity))


@quantities
def test_scale_one_is_the_conditional_and_scale_zero_the_unconditional(quantity):
    near(models.classifier_free(CAT, FAMILY, 1.0, quantity)(X, AT), CAT.predict(X, AT, quantity), 1e-14)
    near(models.classifier_free(CAT, FAMILY, 0.0, quantity)(X, AT), FAMILY.predict(X, AT, quantity), 1e-14)


@quantities
@given(scale=scales)
@settings(max_examples=10, deadline=None)
def test_rules_without_their_correction_are_plain_guidance(quantity, scale):
    plain = guided(models.Linear(scale), quantity)(X, AT)
    near(guided(models.Rescaled(scale, 0.0), quantity)(X, AT), plain)
    near(guided(models.Projected(scale, 1.0), quantity)(X, AT), plain, 1e-11)
    near(guided(models.Projected(scale, 1.0, 1e9), quantity)(X, AT), plain, 1e-11)
    near(guided(models.Banded(scale, scale, lambda d: d * 0.3), quantity)(X, AT), plain, 1e-11)
    near(guided(models.Linear(lambda level: scale), quantity)(X, AT), plain)


@quantities
def test_rules_of_scale_one_are_the_conditional(quantity):
    own = CAT.predict(X, AT, quantity)
    for rule in (models.Projected(1.0), models.Optimised(1.0), models.Rescaled(1.0), models.Banded(1.0, 1.0, abs)):
        near(guided(rule, quantity)(X, AT), own)


def test_autoguidance_by_the_unconditional_is_classifier_free_guidance():
    near(models.autoguidance(CAT, FAMILY, 2.5)(X, AT), models.classifier_free(CAT, FAMILY, 2.5)(X, AT), 1e-15)


def test_autoguidance_by_a_worse_copy_extrapolates_its_error_away():
    """Two copies with the same error, doubled in the worse one: scale two takes it away."""
    offset = np.array([0.3, -0.2, 0.1])
    gaussian = FAMILY.given("dog")
    copies = [dn.Mistaken(gaussian, lambda level, k=k: k * offset) for k in (1.0, 2.0)]
    near(models.autoguidance(*copies, 2.0)(X, AT), gaussian.denoise(X, AT))


def test_rescaled_guidance_has_the_spread_of_the_conditional():
    strong = CAT.predict(X, AT, "noise")
    near(guided(models.Rescaled(6.0, 1.0), "noise")(X, AT).std(axis=1), strong.std(axis=1))


def test_projected_guidance_is_orthogonal_to_the_conditional_and_no_longer_than_its_radius():
    D = CAT.denoise(X, AT)
    for radius in (0.01, math.inf):
        push = guided(models.Projected(2.0, 0.0, radius))(X, AT) - D
        assert np.abs((push * D).sum(axis=1)).max() < 1e-14
        assert np.all(np.linalg.norm(push, axis=1) <= radius * (1 + 1e-12))


def test_the_optimised_scale_is_least_squares():
    strong, weak = (law.predict(X, AT, "velocity") for law in (CAT, FAMILY))
    fits = np.array([np.linalg.lstsq(u[:, None], c, rcond=None)[0][0] for c, u in zip(strong, weak, strict=True)])
    near(guided(models.Optimised(0.0), "velocity")(X, AT), fits[:, None] * weak)


@pytest.mark.parametrize("rule", [RULES[0], *(r for r in RULES if r.quantity)], ids=lambda r: type(r).__name__)
def test_a_rule_stated_in_one_prediction_guides_models_of_every_other(rule):
    data = guided(rule, "data")(X, AT)
    for quantity in PREDICTIONS:
        a, b = convert(AT, quantity, "data")
        near(a * X + b * guided(rule, quantity)(X, AT), data, 1e-11)


@rules
@quantities
def test_torch_is_numpy_and_samples_do_not_mix(rule, quantity):
    ours = guided(rule, quantity)
    whole = ours(X, AT)
    near(ours(torch.tensor(X), AT), whole, 1e-12)
    near(np.concatenate([ours(X[i : i + 1], AT) for i in range(len(X))]), whole, 1e-12)
    assert ours(torch.tensor(X).float(), AT).dtype == torch.float32


def test_one_call_on_a_doubled_batch_is_two_calls():
    def doubled(x, level):
        half = len(x) // 2
        return (torch.cat if isinstance(x, torch.Tensor) else np.concatenate)(
            [CAT.denoise(x[:half], level), FAMILY.denoise(x[half:], level)]
        )

    source = models.Batched(doubled, CAT.denoise)
    ours = models.Guidance(source, models.Linear(3.0), high=2.0)
    for x in (X, torch.tensor(X)):
        near(ours(x, AT), FAMILY.guided(X, AT, "cat", 3.0), 1e-13)
    noisy = Level(0.9, 0.1, 1.0)
    near(ours(X, noisy), CAT.denoise(X, noisy), 1e-15)
    assert (ours.calls(AT), ours.calls(noisy)) == (2, 1)


# --- intervals and the ledger ---


@given(st.floats(-4, 4), st.floats(-4, 4))
@settings(max_examples=20, deadline=None)
def test_outside_of_the_interval_is_the_conditional_and_inside_is_guidance(lam, edge):
    level, noise = dn.VP().at(lam), math.exp(-edge)
    for ours in (guided(models.Linear(3.0), low=noise), guided(models.Linear(3.0), high=noise)):
        inside = ours.active(level)
        near(ours(X, level), FAMILY.guided(X, level, "cat", 3.0) if inside else CAT.denoise(X, level), 1e-13)
        assert ours.calls(level) == (2 if inside else 1)
    assert guided(models.Linear(3.0), low=noise).active(level) == (noise_to_signal(level) > noise)


def test_the_interval_that_holds_every_level_is_guidance():
    levels = dn.grid.log_snr(dn.VP(), 6)
    plan = dn.compile("dpmpp_2m", levels)
    x = FAMILY.sample(4, 2, plan.start)
    whole = dn.sample(plan, guided(models.Linear(3.0)), x)
    near(dn.sample(plan, guided(models.Linear(3.0), low=1e-9, high=1e9), x), whole, 1e-15)
    assert guided(models.Linear(2.0)).active(Level(0.0, 1.0, 0.0)) and guided(models.Linear(2.0)).active(Level(1, 0, 1))


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp_2m", "unipc_3"])
@pytest.mark.parametrize("end", ["stop", "denoise"])
def test_the_ledger_of_a_plan_is_what_a_run_asks(sampler, end):
    grid = dn.grid.karras(dn.EDM(), 9, end=end)
    plan = dn.compile(sampler, grid)
    strong, weak = Counting(CAT), Counting(FAMILY)
    ours = models.Guidance(models.Pair(strong, weak), models.Linear(2.0), low=0.2, high=5.0)
    dn.sample(plan, ours, X * plan.start.sigma)
    assert strong.asked == plan.nfe == dn.cost(plan).calls
    inside = sum(0.2 < plan.lines[r - 1].level.sigma <= 5.0 for r in plan.evaluations)
    assert 0 < weak.asked == inside < plan.nfe
    assert strong.asked + weak.asked == dn.cost(plan, ours.calls).calls
    assert dn.cost(plan, guided(models.Linear(2.0)).calls).calls == dn.cost(plan, 2).calls == 2 * plan.nfe


def test_calls_add_up_through_wrappers():
    inner = models.classifier_free(CAT, FAMILY, 2.0, high=1.0)
    outer = models.autoguidance(Thresholded(inner, StaticThreshold()), FAMILY, 2.0)
    assert outer.calls(AT) == 3
    assert outer.calls(Level(0.9, 0.1, 1.0)) == 2
    assert models.ZeroStart(inner, 0.5, "data").calls(AT) == 0


def test_a_zero_start_leaves_the_state_of_an_euler_step_and_asks_nothing():
    grid = dn.grid.uniform(dn.Flow(), 8, start=dn.Flow().level(0.95))
    plan = dn.compile("euler", grid, "velocity")
    strong = Counting(CAT, "velocity")
    start = grid.levels[2]
    ours = models.ZeroStart(strong, noise_to_signal(start), "velocity")
    states = dn.sample(plan, ours, X, keep="states")
    near(states[2], X, 1e-15)
    rest = dn.compile("euler", dn.grid.custom(dn.Flow(), times=[level.t for level in grid.levels[2:]]), "velocity")
    near(states[-1], dn.sample(rest, CAT, X), 1e-13)
    assert strong.asked == plan.nfe - 2 == dn.cost(plan, ours.calls).calls


# --- CFG++ ---


def published_cfgpp(levels, strength, x):
    """Chung et al. (2024), algorithm 2: denoise with the guided noise, add noise with the unconditional one."""
    for s, t in pairwise(levels):
        free, bound = (law.predict(x, s, "noise") for law in (FAMILY, CAT))
        e = free + strength * (bound - free)
        x = t.alpha * (x - s.sigma * e) / s.alpha + t.sigma * free
    return x


@pytest.mark.parametrize("process", [dn.VP(), dn.EDM(), dn.Flow()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("end", ["stop", "zero"])
@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
def test_cfgpp_is_ddim_under_guidance_that_grows_as_steps_shrink(process, end, strength):
    grid = dn.grid.log_snr(process, 7, start=process.at(-3.0), stop=process.at(3.0), end=end)
    plan = dn.compile("ddim", grid)
    x = FAMILY.sample(5, 4, plan.start)
    ours = dn.sample(plan, models.cfgpp(CAT, FAMILY, strength, grid), x)
    near(ours, published_cfgpp(plan.levels, strength, x), 1e-12)


def test_cfgpp_in_the_karras_variable_denoises_guided_and_steps_back_unguided():
    """The form of k-diffusion's hosts: ``x = D_guided + sigma_next (x - D_free) / sigma``."""
    grid = dn.grid.karras(dn.EDM(), 6, end="zero")
    x = y = FAMILY.sample(5, 4, grid.levels[0])
    levels = dn.compile("ddim", grid).levels
    for s, t in pairwise(levels):
        free, bound = FAMILY.denoise(y, s), CAT.denoise(y, s)
        y = free + 0.8 * (bound - free) + t.sigma * (y - free) / s.sigma
    near(dn.sample(dn.compile("ddim", grid), models.cfgpp(CAT, FAMILY, 0.8, grid), x), y, 1e-12)


def test_the_scale_of_cfgpp_is_its_strength_at_the_ends_and_has_no_limit_between():
    grid = dn.grid.custom(dn.Flow(), times=[1.0, 0.7, 0.2, 0.0])
    assert grid.levels[0].pure_noise and grid.levels[-1].clean
    rule = models.cfgpp(CAT, FAMILY, 0.7, grid).rule
    assert rule.scale(grid.levels[0]) == rule.scale(grid.levels[-2]) == 0.7
    process, means = dn.VP(), []
    for n in (20, 40, 80):
        fine = dn.grid.log_snr(process, n, start=process.at(-3.0), stop=process.at(3.0))
        means.append(np.mean([models.cfgpp(CAT, FAMILY, 0.7, fine).rule.scale(s) for s in fine.levels[:-1]]) / n)
        h = 6 / n
        assert means[-1] * n == pytest.approx(0.7 / (1 - math.exp(-h)), rel=1e-12)
    assert means == pytest.approx([0.7 / 6] * 3, rel=0.2)


def test_cfgpp_bears_any_step_where_guidance_of_its_scale_is_a_single_factor():
    """On Gaussians a step multiplies by ``exp(-h) + (1 - exp(-h)) J_u - strength (J_u - J_c)``, in [-1, 1]."""
    h, J = np.geomspace(1e-3, 20, 40)[:, None, None], np.linspace(0, 1, 41)
    for strength in (0.3, 1.0):
        factor = np.exp(-h) - np.expm1(-h) * J[:, None] - strength * (J[:, None] - J)
        assert np.abs(factor[:, J[:, None] >= J]).max() <= 1


# --- thresholding ---


def test_thresholds_by_hand():
    D = np.array([[0.5, -2.0, 4.0, -1.0, 0.0], [0.1, 0.2, -0.3, 0.4, 0.5]])
    near(StaticThreshold(1.0)(D), np.clip(D, -1, 1), 1e-16)
    near(DynamicThreshold(1.0)(D), np.array([D[0] / 4, D[1]]), 1e-15)
    near(DynamicThreshold(0.5)(D), [np.clip(D[0], -1, 1), D[1]], 1e-15)
    near(DynamicThreshold(0.75)(D), [np.clip(D[0], -2, 2) / 2, D[1]], 1e-15)


@given(st.floats(0.01, 1.0), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_dynamic_threshold_with_ceiling_one_is_the_static_one(quantile, seed):
    D = 2 * np.random.default_rng(seed).standard_normal((3, 2, 4))
    near(DynamicThreshold(quantile, 1.0)(D), StaticThreshold()(D), 1e-15)
    assert np.abs(DynamicThreshold(quantile)(D)).max() <= 1


@quantities
@pytest.mark.parametrize("threshold", [StaticThreshold(0.4), DynamicThreshold(0.8)], ids=lambda t: type(t).__name__)
def test_a_thresholded_model_denoises_to_thresholded_data_in_every_prediction(quantity, threshold):
    ours = Thresholded(guided(models.Linear(4.0), quantity), threshold, quantity)
    a, b = convert(AT, quantity, "data")
    for x in (X, torch.tensor(X)):
        near(a * x + b * ours(x, AT), threshold(FAMILY.guided(X, AT, "cat", 4.0)), 1e-12)


def test_data_within_bounds_pass_thresholds_unchanged():
    near(Thresholded(CAT, StaticThreshold(1e3))(X, AT), CAT.denoise(X, AT), 1e-14)


# --- diffusers' own formulas ---

IMAGES = torch.tensor(RNG.standard_normal((3, 2, 4, 5)))
OTHERS = torch.tensor(RNG.standard_normal((3, 2, 4, 5)))


@pytest.mark.full
def test_rescaled_guidance_is_diffusers():
    theirs = pytest.importorskip("diffusers.guiders.guider_utils").rescale_noise_cfg
    for phi in (0.0, 0.3, 1.0):
        plain = models.Linear(7.5)(IMAGES, OTHERS, AT)
        near(models.Rescaled(7.5, phi)(IMAGES, OTHERS, AT), theirs(plain, IMAGES, phi), 1e-13)


@pytest.mark.full
def test_projected_guidance_is_diffusers_original_formulation_and_its_default_is_another():
    theirs = pytest.importorskip("diffusers.guiders.adaptive_projected_guidance").normalized_guidance
    for eta, radius in ((0.0, math.inf), (0.3, 2.0), (1.0, 100.0)):
        bound = 0.0 if radius == math.inf else radius
        ours = models.Projected(4.0, eta, radius)(IMAGES, OTHERS, AT)
        near(ours, theirs(IMAGES, OTHERS, 3.0, None, eta, bound, True), 1e-13)
        from_weak = theirs(IMAGES, OTHERS, 4.0, None, eta, bound, False)
        assert (float((from_weak - ours).abs().max()) < 1e-12) == (eta == 1.0 and radius > 50)


@pytest.mark.full
def test_the_optimised_scale_is_diffusers():
    theirs = pytest.importorskip("diffusers.guiders.classifier_free_zero_star_guidance").cfg_zero_star_scale
    s = theirs(IMAGES.flatten(1).float(), OTHERS.flatten(1).float()).double().reshape(3, 1, 1, 1)
    near(models.Optimised(3.0)(IMAGES, OTHERS, AT), s * OTHERS + 3.0 * (IMAGES - s * OTHERS), 1e-6)


@pytest.mark.parametrize("quantile, ceiling", [(0.995, 1.0), (0.9, 2.0), (0.5, 100.0)])
def test_dynamic_thresholding_is_diffusers(quantile, ceiling):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DPMSolverMultistepScheduler(
        thresholding=True, dynamic_thresholding_ratio=quantile, sample_max_value=ceiling
    )
    near(DynamicThreshold(quantile, ceiling)(3 * IMAGES), theirs._threshold_sample(3 * IMAGES), 1e-15)
    assert DynamicThreshold(quantile, ceiling)(IMAGES.half()).dtype == torch.float16


# --- refusals ---


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: models.Linear(math.nan), "finite"),
        (lambda: models.Projected(math.inf), "finite"),
        (lambda: models.Optimised(math.inf), "finite"),
        (lambda: models.Banded(1.0, math.nan, abs), "finite"),
        (lambda: models.cfgpp(CAT, FAMILY, math.inf, dn.grid.log_snr(dn.VP(), 3)), "finite"),
        (lambda: models.Rescaled(2.0, 1.5), r"phi = 1.5 .* \[0, 1\]"),
        (lambda: models.Rescaled(2.0, 0.5, "colour"), "quantity 'colour' is unknown"),
        (lambda: models.Projected(2.0, 0.0, 0.0), "radius = 0.0"),
        (lambda: guided(models.Linear(2.0), low=3.0, high=2.0), "interval from 3.0 to 2.0 is empty"),
        (lambda: models.Pair(CAT, FAMILY, "colour"), "prediction 'colour' is unknown"),
        (lambda: models.Pair(Counting(CAT, "noise"), FAMILY), "predicts noise and data was asked"),
        (lambda: models.Batched(lambda x, level: x, CAT.denoise, "x0"), "prediction 'x0'"),
        (lambda: models.ZeroStart(CAT, 0.0), "above = 0.0"),
        (lambda: StaticThreshold(0.0), "bound = 0.0"),
        (lambda: DynamicThreshold(0.0), "quantile = 0.0"),
        (lambda: DynamicThreshold(0.9, 0.5), "ceiling = 0.5"),
        (lambda: models.Guidance(models.Batched(lambda x, level: x[:3], CAT.denoise), models.Linear(2.0))(X, AT), "14"),
        (lambda: models.Pair(3, FAMILY).both(X, AT), "int is no model"),
        (lambda: guided(models.Projected(2.0), "noise")(X, Level(1.0, 0.0, 1.0)), "does not follow from noise"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_cfgpp_refuses_levels_that_are_no_steps_of_its_grid():
    grid = dn.grid.log_snr(dn.VP(), 5)
    with pytest.raises(ValueError, match="for DDIM on its own grid"):
        dn.sample(dn.compile("dpmpp_2s", grid), models.cfgpp(CAT, FAMILY, 0.5, grid), X)
