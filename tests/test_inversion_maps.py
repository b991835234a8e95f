"""Noise maps: replays for any model, variances in closed form, and what the maps of a forward path are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.inversion import forward_path, forward_variance, independent_path, noise_maps, shift, variance
from diffnum.solvers import ddim, ddpm_ancestral

PROCESS = dn.VP()
MIXTURE = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])


def levels(n, low=-3.0, high=2.0):
    return dn.grid.log_snr(PROCESS, n, PROCESS.at(low), PROCESS.at(high))


def network(x, level):
    """A small smooth network in the dtype of its input."""
    generator = torch.Generator().manual_seed(0)
    A, B = (torch.randn(2, 2, generator=generator).to(x.dtype) / 2 for _ in range(2))
    return torch.tanh(x @ A + float(level.sigma)) @ B


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("path", [independent_path, forward_path])
def test_replaying_noise_maps_gives_the_image_back_for_any_model_and_number_of_steps(path, n):
    plan = dn.compile(ddpm_ancestral, levels(n), "noise")
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    maps = noise_maps(plan, network, path(plan, x, dn.noise.Counter(5)))
    assert (dn.sample(plan, network, maps.x, noise=maps) - x).abs().max() < 1e-12
    assert maps.nfe == n


def test_maps_of_other_stochastic_samplers_are_replayed_too_and_of_another_plan_refused():
    grid = levels(7)
    image = MIXTURE.sample(3, 0, grid.levels[-1])
    for name in ("ddim_eta", "euler_maruyama", "sde_dpmpp_1"):
        plan = dn.compile(name, grid, "data")
        maps = noise_maps(plan, MIXTURE, independent_path(plan, image, dn.noise.Counter(5)))
        assert np.abs(dn.sample(plan, MIXTURE, maps.x, noise=maps) - image).max() < 1e-12
    with pytest.raises(ValueError, match="know no draw"):
        dn.sample(dn.compile("ddim_eta", levels(6)), MIXTURE, maps.x, noise=maps)


def exact_variance(plan, states_of, c):
    """Variance of the first map on ``N(0, c)``, by its coefficients of the normals that the states are made of."""
    target = dn.Gaussian([0.0], [c])
    states = [np.asarray(row, dtype=float).reshape(-1, 1) for row in states_of]
    return float((noise_maps(plan, target, states).draws[0] ** 2).sum())


@pytest.mark.parametrize("c", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("h", [0.1, 1.0, 2.5])
def test_the_variance_of_edit_friendly_maps_on_a_gaussian_is_the_closed_form_and_beyond_one(c, h):
    plan = dn.compile(ddpm_ancestral, levels(1, -0.5, -0.5 + h))
    s, t = plan.levels
    root = math.sqrt(c)
    found = exact_variance(plan, [[s.alpha * root, s.sigma, 0.0], [t.alpha * root, 0.0, t.sigma]], c)
    assert found == pytest.approx(variance(s, t, c), rel=1e-12)
    assert found > 1


def test_fewer_steps_of_a_run_have_maps_closer_to_normals_and_all_are_larger():
    sizes = [
        variance(*dn.grid.log_snr(PROCESS, n, PROCESS.at(-3), PROCESS.at(2)).levels[:2], 1.0) for n in (4, 50, 400)
    ]
    assert 1 < sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("c", [0.25, 1.0])
def test_the_shift_that_gives_unit_variance_is_the_root_of_its_equation(c):
    s, t = PROCESS.level(0.5), PROCESS.level(0.25)
    delta = shift(PROCESS, s, t, c)
    assert delta > 0
    shifted = dn.grid.custom(PROCESS, times=[s.t + delta, t.t + delta])
    plan = dn.compile(ddpm_ancestral, shifted)
    root = math.sqrt(c)
    states = [[s.alpha * root, s.sigma, 0.0], [t.alpha * root, 0.0, t.sigma]]
    assert exact_variance(plan, states, c) == pytest.approx(1.0, rel=1e-10)
    with pytest.raises(ValueError, match="no shift up to"):
        shift(PROCESS, PROCESS.level(1.0), PROCESS.level(0.9), c)


def test_on_a_shifted_schedule_the_image_comes_back_as_well():
    states = independent_path(dn.compile(ddpm_ancestral, levels(4)), MIXTURE.sample(3, 0), dn.noise.Counter(1))
    shifted = dn.compile(ddpm_ancestral, levels(4, -3.5, 1.5))
    maps = noise_maps(shifted, MIXTURE, states)
    assert np.abs(dn.sample(shifted, MIXTURE, maps.x, noise=maps) - states[-1]).max() < 1e-12


@pytest.mark.parametrize("path", [independent_path, forward_path])
def test_a_long_replay_in_single_precision_ends_within_one_rounding_of_the_image(path):
    plan = dn.compile(ddpm_ancestral, levels(120, -4.0, 4.0), "noise")
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(1))
    maps = noise_maps(plan, network, path(plan, x, dn.noise.Counter(1)))
    assert maps.draws[0].dtype == torch.float32
    assert (dn.sample(plan, network, maps.x, noise=maps) - x).abs().max() < 2 * 2**-24 * x.abs().max()


def forward_size(s, t, c):
    """As :func:`exact_variance`, of a map of a forward path."""
    plan = dn.compile(ddpm_ancestral, dn.grid.through(PROCESS, [s, t]))
    keep, root = s.alpha / t.alpha, math.sqrt(c)
    added = math.sqrt(s.sigma**2 - (keep * t.sigma) ** 2)
    return exact_variance(plan, [[s.alpha * root, keep * t.sigma, added], [t.alpha * root, t.sigma, 0.0]], c)


@pytest.mark.parametrize("c", [0.05, 1.0, 4.0])
def test_the_variance_of_forward_maps_on_a_gaussian_is_the_closed_form_and_tends_to_one(c):
    sizes = []
    for h in (1.0, 0.1, 1e-3):
        s, t = PROCESS.at(-0.5), PROCESS.at(-0.5 + h)
        sizes.append(forward_variance(s, t, c))
        assert forward_size(s, t, c) == pytest.approx(sizes[-1], rel=1e-10)
        assert variance(s, t, c) == pytest.approx(sizes[-1] / math.tanh(h), rel=1e-12)
    assert sizes[0] - 1 > 9 * (sizes[1] - 1) > 500 * (sizes[2] - 1) > 0
    assert sizes[2] == pytest.approx(1, abs=5e-3)


def test_from_pure_noise_the_variance_is_the_limit_of_that_from_almost_pure_noise():
    flow = dn.Flow()
    t = flow.level(0.5)
    assert variance(flow.level(1.0), t, 0.7) == pytest.approx(1 + 0.7, rel=1e-15)
    assert variance(flow.level(1 - 1e-7), t, 0.7) == pytest.approx(1 + 0.7, rel=1e-6)


def test_on_any_law_a_forward_map_is_a_normal_draw_and_what_the_denoiser_does_not_know():
    """With ``zeta`` made of the same normals as the path, exactly; and maps of one path are uncorrelated."""
    plan = dn.compile(ddpm_ancestral, levels(2, -1.0, 1.5))
    start, middle, stop = plan.levels
    rng = np.random.default_rng(0)
    clean = MIXTURE.sample(20_000, 0)
    e = rng.standard_normal((3, *clean.shape))
    states = [stop.alpha * clean + stop.sigma * e[0]]
    for s, t, draw in ((middle, stop, e[1]), (start, middle, e[2])):
        keep = s.alpha / t.alpha
        states.insert(0, keep * states[0] + math.sqrt(s.sigma**2 - (keep * t.sigma) ** 2) * draw)
    maps = noise_maps(plan, MIXTURE, states)
    for s, t, x, after, z in zip(plan.levels, plan.levels[1:], states, states[1:], maps.draws, strict=False):
        h, tau = t.lam - s.lam, s.sigma / s.alpha
        grown = -math.expm1(-2 * h)
        # the draw of DDPM's posterior of x_t, were x0 known
        zeta = (after - t.sigma / s.sigma * math.exp(-h) * x - t.alpha * grown * clean) / (t.sigma * math.sqrt(grown))
        unknown = math.sqrt(math.expm1(2 * h)) / tau * (clean - MIXTURE.denoise(x, s))
        assert np.allclose(z, zeta + unknown, rtol=1e-9, atol=1e-9)
        assert np.abs(np.cov(zeta.T) - np.eye(2)).max() < 5 * math.sqrt(2 / 20_000)
        assert np.abs(np.mean(zeta[:, 0] * unknown[:, 0])) < 5 * unknown.std() / math.sqrt(20_000)
    one, two = (z[:, 0] - z[:, 0].mean() for z in maps.draws)
    assert abs(np.mean(one * two)) < 5 * one.std() * two.std() / math.sqrt(20_000)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: noise_maps(dn.compile(ddim, levels(1)), MIXTURE, [np.zeros((1, 2))] * 2), "does not add a draw"),
        (lambda: noise_maps(dn.compile(ddpm_ancestral, levels(4)), MIXTURE, [np.zeros((1, 2))]), "1 states were given"),
        (
            lambda: noise_maps(dn.compile(ddpm_ancestral, levels(1)), MIXTURE, [np.zeros((1, 2)), np.zeros((2, 2))]),
            "the states have shapes",
        ),
        (lambda: variance(PROCESS.level(0.5), PROCESS.level(0.25), -1.0), "is no variance"),
        (lambda: variance(PROCESS.level(0.25), PROCESS.level(0.5), 1.0), "is no step of a sampler"),
        (lambda: forward_variance(PROCESS.level(0.5), PROCESS.level(0.0), 1.0), "draws no noise"),
        (lambda: shift(PROCESS, PROCESS.level(0.5), PROCESS.level(0.0), 1.0), "draws no noise"),
        (lambda: shift(PROCESS, PROCESS.level(0.25), PROCESS.level(0.5), 1.0), "is no step of a sampler"),
    ],
)
def test_paths_and_steps_without_maps_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
