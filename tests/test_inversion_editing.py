"""Editing by inversion: the image comes back where nothing is asked, and Gaussians move as algebra says."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.inversion import edit, independent_path, noise_maps

PROCESS = dn.VP()
SOURCE = dn.Gaussian([0.5], [0.3])


def levels(n, low=-3.0, high=2.0):
    return dn.grid.log_snr(PROCESS, n, PROCESS.at(low), PROCESS.at(high))


def network(x, level):
    return torch.tanh(x * 1.5 + float(level.sigma)) - x / 3


def other(x, level):
    return torch.sin(x) / 2


@pytest.mark.parametrize("loops", [0, 1, 3])
@pytest.mark.parametrize("name", ["ddpm_ancestral", "ddim", "ddim_eta"])
def test_with_one_model_for_both_the_image_comes_back(name, loops):
    plan = dn.compile(name, levels(6), "noise")
    image = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if plan.draws:
        maps = noise_maps(plan, network, independent_path(plan, image, dn.noise.Counter(1)))
        found = edit(plan, network, network, maps.x, maps, loops)
    else:
        start = dn.inversion.fixed_point(plan, network, image, 100, 1e-16).x
        found = edit(plan, network, network, start, None, loops)
    assert (found.x - image).abs().max() < 1e-11
    assert found.nfe == plan.nfe * (2 if not loops else 1 + 2 * loops)


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_the_explicit_form_is_the_run_with_the_target_model(prediction):
    plan = dn.compile("ddpm_ancestral", levels(5), prediction)
    law, aim = dn.Gaussian([0.5, -1.0], [0.3, 1.0]), dn.Gaussian([-0.5, 0.0], [0.2, 2.0])
    x, noise = law.sample(4, 0, plan.start), dn.noise.Counter(2)
    assert np.allclose(edit(plan, law, aim, x, noise).x, dn.sample(plan, aim, x, noise), rtol=1e-12)


@pytest.mark.parametrize("w", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_pseudo_guidance_scales_the_prompt_term_and_leaves_the_trajectory_term(prediction, w):
    """TurboEdit's step by the source path, the edited path and the means, and the replay with an extrapolated model."""
    plan = dn.compile("ddpm_ancestral", levels(4), prediction)
    law, aim = dn.Gaussian([0.5, -1.0], [0.3, 1.0]), dn.Gaussian([-0.5, 0.0], [0.2, 2.0])
    path = independent_path(plan, law.sample(4, 0, plan.stop), dn.noise.Counter(2))
    maps = noise_maps(plan, law, path)
    found = edit(plan, law, aim, maps.x, maps, guidance=w)
    assert found.nfe == 2 * plan.nfe

    def mean(target, x, s, t):
        D, h = target.denoise(x, s), t.lam - s.lam
        return t.sigma / s.sigma * math.exp(-h) * x - t.alpha * math.expm1(-2 * h) * D

    y = path[0]
    for s, t, x, after in zip(plan.levels, plan.levels[1:], path, path[1:], strict=False):
        prompt = mean(aim, y, s, t) - mean(law, y, s, t)
        y = after + (mean(law, y, s, t) - mean(law, x, s, t)) + w * prompt
    assert np.allclose(found.x, y, rtol=1e-11, atol=1e-12)

    def extrapolated(x, level):
        return (1 - w) * law.predict(x, level, prediction) + w * aim.predict(x, level, prediction)

    assert np.allclose(found.x, dn.sample(plan, extrapolated, maps.x, noise=maps), rtol=1e-11, atol=1e-12)


def affine_step(s, t, c):
    """Factors of the state, and of the law's mean, in a step of DDPM on ``N(mean, c)``."""
    h = t.lam - s.lam
    gain = s.alpha * c / (s.alpha**2 * c + s.sigma**2)
    keep = t.sigma / s.sigma * math.exp(-h) - t.alpha * math.expm1(-2 * h) * gain
    return keep, t.alpha - s.alpha * keep


@pytest.mark.parametrize("loops", [0, 1])
def test_a_target_of_another_mean_moves_the_image_by_the_affine_shift(loops):
    plan = dn.compile("ddpm_ancestral", levels(5), "noise")
    aim = dn.Gaussian([1.7], [0.3])
    image = SOURCE.sample(3, 0, plan.stop)
    maps = noise_maps(plan, SOURCE, independent_path(plan, image, dn.noise.Counter(1)))
    found = edit(plan, SOURCE, aim, maps.x, maps, loops).x - image
    moved = 0.0
    for s, t in pairwise(plan.levels):
        keep, with_mean = affine_step(s, t, 0.3)
        if loops:
            # the difference of the noise predictions at the level that is arrived at, with this step's weight
            c = t.sigma * math.exp(-(t.lam - s.lam)) - s.sigma * t.alpha / s.alpha
            with_mean = -c * t.alpha * t.sigma / (t.alpha**2 * 0.3 + t.sigma**2)
        moved = keep * moved + with_mean * (1.7 - 0.5)
    assert np.allclose(found, moved, rtol=1e-11)


def test_loops_without_end_arrive_where_both_models_agree():
    plan = dn.compile("ddim", levels(3, -1.0, 0.5), "noise")
    aim = dn.Gaussian([1.7], [0.1])
    x = SOURCE.sample(3, 0, plan.start)
    found = edit(plan, SOURCE, aim, x, loops=4000)
    t = plan.stop
    a, b = (t.alpha**2 * v + t.sigma**2 for v in (0.3, 0.1))
    # (x - alpha 0.5) / a = (x - alpha 1.7) / b
    agreed = t.alpha * (0.5 / a - 1.7 / b) / (1 / a - 1 / b)
    assert np.allclose(found.x, agreed, rtol=1e-8)


def law_of(plan, source, target, loops):
    """Mean and variance of the edit's output, which is affine in ``x_T`` and the draws, by its coefficients."""
    count = plan.steps
    names = {
        (line.s, line.t): i for i, line in enumerate(line for line in plan.lines if type(line).__name__ == "Noise")
    }

    def unit(s, t, j, x):
        return np.eye(count + 2, 1, -2 - names[s, t])

    x = np.eye(count + 2, 1, -1)
    out = edit(plan, source, target, x, unit, loops).x[:, 0]
    mean, coefficients = out[0], out[1:] - out[0]
    start, (m,), (v,) = plan.start, source.mean, source.variances
    spread = start.alpha**2 * v + start.sigma**2
    return mean + coefficients[0] * start.alpha * m, coefficients[0] ** 2 * spread + (coefficients[1:] ** 2).sum()


@pytest.mark.parametrize("loops", [0, 1])
def test_with_a_quadratic_log_h_the_law_tends_to_the_tilted_gaussian(loops):
    """``exp(-(x - 2)^2 / (2 * 0.5))`` times ``N(0.5, 0.3)``; models of both are all that h-Edit asks for."""
    v = 1 / (1 / 0.3 + 1 / 0.5)
    tilted = dn.Gaussian([v * (0.5 / 0.3 + 2.0 / 0.5)], [v])
    errors = []
    for n in (100, 200):
        plan = dn.compile("ddpm_ancestral", levels(n, -4.0, 4.0))
        mean, variance = law_of(plan, SOURCE, tilted, loops)
        t = plan.stop
        errors.append(np.abs([mean - t.alpha * tilted.mean[0], variance - (t.alpha**2 * v + t.sigma**2)]))
    assert errors[1].max() < 0.6 * errors[0].max()
    assert errors[1].max() < 0.02


@pytest.mark.parametrize("loops", [0, 2])
def test_a_reward_adds_its_direction_scaled_to_the_edit(loops):
    plan = dn.compile("ddim", levels(1), "noise")
    law, aim = dn.Gaussian([0.5, -1.0], [0.3, 1.0]), dn.Gaussian([-0.5, 0.0], [0.2, 2.0])
    x = law.sample(3, 0, plan.start)
    plain = edit(plan, law, aim, x, loops=min(loops, 1))
    found = edit(plan, law, aim, x, loops=min(loops, 1), reward=lambda x, level: np.full_like(x, 7.0), strength=0.25)
    base = dn.sample(plan, law, x)
    added = found.x - plain.x
    assert np.allclose(np.linalg.norm(added, axis=1), 0.25 * np.linalg.norm(plain.x - base, axis=1))
    assert np.allclose(added[:, 0], added[:, 1])


def test_a_reward_is_scaled_for_every_sample_on_its_own():
    """One sample without an edit, one without a gradient, one with both; in single precision too."""
    plan = dn.compile("ddim", levels(1), "noise")
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, -1.0]])

    def reward(x, level):
        return torch.tensor([[3.0, 4.0], [0.0, 0.0], [3.0, 4.0]])

    def aim(x, level):
        return 2 * x

    plain = edit(plan, lambda x, level: x, aim, x).x
    added = edit(plan, lambda x, level: x, aim, x, reward=reward, strength=0.5).x - plain
    change = plain - dn.sample(plan, lambda x, level: x, x)
    assert torch.equal(added[:2], torch.tensor([[1.5, 2.0], [0.0, 0.0]]))
    assert torch.allclose(added[2], 0.5 * change[2].norm() * torch.tensor([0.6, 0.8]), rtol=1e-5)


def test_loops_at_the_clean_level_need_a_prediction_that_tells_the_noise():
    grid = dn.grid.log_snr(PROCESS, 3, end="zero")
    found = [
        edit(dn.compile("ddim", grid, p), SOURCE, SOURCE, np.ones((1, 1)), loops=1).x for p in ("noise", "velocity")
    ]
    assert np.allclose(*found, rtol=1e-12)
    with pytest.raises(ValueError, match="does not tell"):
        edit(dn.compile("ddim", grid), SOURCE, SOURCE, np.ones((1, 1)), loops=1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"loops": -1}, "loops = -1"),
        ({"strength": 0.5}, "give both or none"),
        ({"reward": lambda x, level: x, "strength": math.inf}, "give finite numbers"),
        ({"guidance": math.nan}, "give finite numbers"),
        ({"name": "heun"}, "does more in a step than ask once"),
        ({"name": "dpmpp_2m"}, "remembers more than its state"),
    ],
)
def test_edits_that_cannot_be_made_are_refused(asked, said):
    given = dict(asked)
    plan = dn.compile(given.pop("name", "ddim"), levels(4))
    with pytest.raises(ValueError, match=said):
        edit(plan, SOURCE, SOURCE, np.zeros((1, 1)), **given)
