"""Guidance with momentum against what it sums up to, and against diffusers' own buffer."""

import math

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum import models

PROCESS = dn.VP()
GRID = dn.grid.log_snr(PROCESS, 6, PROCESS.at(-3.0), PROCESS.at(3.0))
RNG = np.random.default_rng(3)
OWN = dn.Gaussian(RNG.standard_normal(4), RNG.uniform(0.1, 1, 4))
FREE = dn.Mixture([0.4, 0.6], RNG.standard_normal((2, 4)), RNG.uniform(0.1, 1, (2, 4)))
START = FREE.sample(5, 0, GRID[0])
RULES = [models.Linear(3.0), models.Projected(3.0, 0.2, 0.7), models.Rescaled(3.0)]


def guided(rule, prediction="data", low=0.0):
    return models.Guidance(models.Pair(OWN, FREE, prediction), rule, low)


def near(a, b, tol=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=tol * np.abs(np.asarray(b)).max())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("prediction", ["data", "velocity"])
def test_without_momentum_it_is_the_run_of_the_guided_model(rule, prediction):
    plan = dn.compile("dpmpp_2s", GRID, prediction)
    model = guided(rule, prediction)
    near(models.sample_with_momentum(plan, model, 0.0, START), dn.sample(plan, model, START))
    # nothing is remembered from one run to the next, and kinds of array do not matter
    moved = [models.sample_with_momentum(plan, model, -0.5, x) for x in (START, START, torch.tensor(START))]
    assert np.array_equal(moved[0], moved[1])
    near(moved[2], moved[0])


@pytest.mark.parametrize("momentum", [-0.75, -0.5, 0.4])
def test_of_a_constant_difference_it_is_a_scale_that_sets_in_with_the_calls(momentum):
    apart = np.array([0.3, -0.2, 0.5, 0.1])
    model = models.classifier_free(lambda x, level: FREE.denoise(x, level) + apart, FREE.denoise, 4.0)
    share = {level.lam: (1 - momentum ** (k + 1)) / (1 - momentum) for k, level in enumerate(GRID)}
    scaled = models.Linear(lambda level: 1 + 3 * share[level.lam])
    expected = models.Guidance(models.Pair(model.source.strong, model.source.weak), scaled)
    for sampler in ("ddim", "dpmpp_2m"):
        plan = dn.compile(sampler, GRID)
        near(models.sample_with_momentum(plan, model, momentum, START), dn.sample(plan, expected, START))


def test_calls_outside_the_interval_of_guidance_are_not_remembered():
    plan = dn.compile("ddim", GRID)
    low = float(GRID[1].sigma / GRID[1].alpha)
    # only the first call is guided: there is nothing to remember
    model = guided(models.Linear(3.0), low=low)
    near(models.sample_with_momentum(plan, model, -0.5, START), dn.sample(plan, model, START))


@pytest.mark.full
@pytest.mark.parametrize("eta, radius", [(0.0, math.inf), (0.3, 0.6), (1.0, 100.0)])
def test_projected_guidance_with_momentum_is_diffusers_original_formulation(eta, radius):
    theirs = pytest.importorskip("diffusers.guiders.adaptive_projected_guidance")
    buffer, bound = theirs.MomentumBuffer(-0.75), 0.0 if radius == math.inf else radius

    def model(x, level):
        pair = (torch.tensor(law.denoise(x, level)) for law in (OWN, FREE))
        return theirs.normalized_guidance(*pair, 3.0, buffer, eta, bound, True).numpy()

    plan = dn.compile("dpmpp_2m", GRID)
    ours = models.sample_with_momentum(plan, guided(models.Projected(4.0, eta, radius)), -0.75, START)
    near(ours, dn.sample(plan, model, START))


def test_what_has_no_such_run_is_refused():
    plan, model = dn.compile("ddim", GRID), guided(models.Linear(2.0))
    for momentum in (1.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="never forgets"):
            models.sample_with_momentum(plan, model, momentum, START)
    with pytest.raises(ValueError, match="the model predicts data and noise was asked of it"):
        models.sample_with_momentum(dn.compile("ddim", GRID, "noise"), model, 0.5, START)
