"""How much guidance a sampler bears: the map against its parts, and runs on guided Gaussians against the map."""

import math

import numpy as np
import pytest

import diffnum as dn
from diffnum.figures import panels, style
from diffnum.figures.guidance import densities, guidance_heat
from diffnum.read.guidance import GuidanceMap, growth, guidance_map, threshold
from diffnum.read.stability import DataForm, guided_jacobian, largest_guidance, real_interval
from diffnum.solvers import ALL
from diffnum.targets import Gaussian, GuidedGaussian

SOME = ("ddim", "heun", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m_corrected", "unipc_2", "rk4", "ghvb2")
ODD = ("trig_ab2", "ddpm_ancestral", "exp_ab6")
STEPS = (0.5, 0.25)
MAP = guidance_map([ALL[name] for name in (*SOME, *ODD)], STEPS)
DETERMINISTIC = [sampler for sampler in ALL.values() if not sampler.stochastic]


def test_the_map_is_the_largest_guidance_of_each_sampler_and_step():
    assert set(MAP.names) == {*SOME, *ODD} - {"ddpm_ancestral"}
    for name in SOME:
        assert list(MAP.of(name)) == [largest_guidance(ALL[name], h, 0.0, 1.0) for h in STEPS]
    assert np.isnan(MAP.of("trig_ab2")).all()
    assert (MAP.of("exp_ab6") == 0).sum() == sum(real_interval(ALL["exp_ab6"], DataForm(h)) <= 1 for h in STEPS)


def test_the_map_has_families_together_and_the_tamest_first():
    assert list(MAP.families) == [f for f in dict.fromkeys(MAP.families) for _ in range(MAP.families.count(f))]
    for family in set(MAP.families):
        scales = [row[0] for f, row in zip(MAP.families, MAP.scales, strict=True) if f == family]
        known = [s for s in scales if not math.isnan(s)]
        assert known == sorted(known, reverse=True) and all(math.isnan(s) for s in scales[len(known) :])


def test_a_point_class_in_a_flat_law_is_the_stiffest():
    """At every noise and for every pair a sampler bears at least the guidance it bears for a point."""
    for sampler in (ALL["ddim"], ALL["dpmpp_2m"]):
        worst = guidance_map([sampler], STEPS).scales
        assert np.all(guidance_map([sampler], STEPS, 0.1, 1.0).scales >= worst)
        for sigma in (0.1, 1.0, 10.0):
            assert np.all(guidance_map([sampler], STEPS, 0.1, 1.0, sigma).scales >= worst)
        # one step of DDIM multiplies by 1 - (1 - exp(-h)) g
    np.testing.assert_allclose(MAP.of("ddim"), [2 / (1 - math.exp(-h)) for h in STEPS], rtol=1e-9)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("h", STEPS)
def test_runs_grow_just_beyond_the_predicted_scale_and_not_before(name, h):
    predicted = largest_guidance(ALL[name], h, 0.0, 1.0)
    below, above = growth(ALL[name], h, predicted * np.array([0.995, 1.005]))
    assert below < 1 < above
    assert threshold(ALL[name], h, predicted) == pytest.approx(predicted, rel=1e-3)


# a pair of eigenvalues that turns ever more slowly towards the boundary; a start that decays for longer than a run; a
# partner that the coupling draws near for longer than a run
TRANSIENT = {"log_snr_abm2_pece", "exp_ab5_noise", "reversible_rk4"}


@pytest.mark.full
@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=lambda s: s.name)
def test_runs_of_every_sampler_grow_where_the_map_says(sampler):
    predicted = guidance_map([sampler], [0.25]).scales[0, 0]
    if not predicted > 0:
        return
    off = abs(threshold(sampler, 0.25, predicted) / predicted - 1)
    assert off < (0.02 if sampler.name in TRANSIENT else 1e-3)


def test_the_run_of_the_check_is_that_of_a_guided_gaussian():
    """The same Jacobian, and the same end, as a plan on the target whose flow is closed."""
    law = GuidedGaussian(Gaussian([0.0], [1e-3]), Gaussian([0.0], [1.0]), 4.0)
    grid = dn.grid.log_snr(dn.EDM(), 12)
    plan = dn.compile("dpmpp_2m", grid)
    ours = dn.sample(plan, lambda x, level: guided_jacobian(4.0, 1e-3, 1.0, level.sigma) * x, np.ones((1, 1)))
    np.testing.assert_allclose(dn.sample(plan, law, np.ones((1, 1))), ours, rtol=1e-11)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m"])
def test_a_run_on_a_finite_pair_explodes_beyond_the_scale_and_follows_the_flow_below(name):
    """Steps of 1/2 between log-SNR -8 and 8: below the scale the end is the flow's, far beyond it is not."""
    sampler, c, u = ALL[name], 1e-4, 1.0
    limit = largest_guidance(sampler, 0.5, c, u)
    edm = dn.EDM(1e-4, 1e4)
    grid = dn.grid.log_snr(edm, 32, start=edm.at(-8.0), stop=edm.at(8.0))
    found = {}
    for factor in (0.95, 1.0, 1.6):
        law = GuidedGaussian(Gaussian([0.0], [c]), Gaussian([0.0], [u]), factor * limit)
        x = np.array([[grid.levels[0].sigma]])
        path = dn.sample(dn.compile(name, grid), law, x, keep="states")
        sizes = np.array([abs(v[0, 0]) / level.sigma for v, level in zip(path, grid.levels, strict=True)])
        found[factor] = sizes.max()
    assert found[0.95] <= found[1.0] < 2 < 30 < found[1.6]


def test_growth_far_below_and_far_beyond():
    values = growth(ALL["ddim"], 0.5, [0.0, 1.0, 2.0, 12.0])
    # DDIM multiplies by 1 - (1 - exp(-h)) g
    np.testing.assert_allclose(values, np.abs(1 + math.expm1(-0.5) * np.array([0.0, 1.0, 2.0, 12.0])), rtol=1e-9)


def test_figures_draw_the_map_and_refuse_nothing_they_are_given():
    with style():
        fig, axes = panels(1, 2)
        guidance_heat(axes[0, 0], MAP)
        densities(axes[0, 1], np.arange(3.0), {"one": [0, 1, 0], "other": [1, 0, 1]}, "one")
        fig.draw_without_rendering()
    (image,) = axes[0, 0].get_images()
    np.testing.assert_array_equal(image.get_array().filled(np.nan), MAP.scales.T)
    assert {text.get_text().split(" (")[0] for text in axes[0, 0].texts} == set(MAP.families)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: guidance_map([ALL["ddim"]], []), "steps = "),
        (lambda: guidance_map([ALL["ddim"]], [0.5, -1.0]), "all positive"),
        (lambda: guidance_map([ALL["ddim"]], [0.5], 2.0, 1.0), "conditional variance 2.0"),
        (lambda: MAP.of("nothing"), "'nothing' is not in this map"),
        (lambda: threshold(ALL["ddim"], 0.5, 1.0), "never grow"),
        (lambda: threshold(ALL["ddim"], 0.5, 20.0), "all grow"),
        (lambda: growth(ALL["ddpm_ancestral"], 0.5, [1.0]), "draws noise"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_map_is_its_parts():
    assert isinstance(MAP, GuidanceMap) and MAP.scales.shape == (len(MAP.names), len(MAP.steps))
