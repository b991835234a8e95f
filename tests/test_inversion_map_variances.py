"""Noise maps of samplers with several draws, and the variance of every step's map, against runs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import diffnum as dn
from diffnum.inversion import independent_path, map_variances, noise_maps, variance

PROCESS = dn.VP()
MIXTURE = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
C = np.array([0.2, 1.0, 3.0])


def few(n: int = 4) -> Any:
    return dn.grid.uniform(PROCESS, n, start=0.8, stop=1e-3)


def test_draws_before_the_last_are_kept_and_the_image_comes_back():
    plan = dn.compile("langevin_corrector_refined", few(5))
    assert len(plan.draws) == 2 * plan.steps
    x, noise = MIXTURE.sample(5, 0), dn.noise.Counter(7)
    maps = noise_maps(plan, MIXTURE, independent_path(plan, x, dn.noise.Counter(1)), noise)
    assert len(maps.draws) == len(maps.names) == len(plan.draws)
    assert np.abs(dn.sample(plan, MIXTURE, maps.x, noise=maps) - x).max() < 1e-12
    first, last = (plan.lines[r - 1] for r in plan.draws[:2])
    assert np.array_equal(maps(first.s, first.t, first.j, x), noise(first, x))
    assert not np.array_equal(maps(last.s, last.t, last.j, x), noise(last, x))


def test_several_draws_without_a_source_are_refused():
    plan, x = dn.compile("langevin_corrector_refined", few(5)), MIXTURE.sample(5, 0)
    with pytest.raises(ValueError, match="was given no source"):
        noise_maps(plan, MIXTURE, independent_path(plan, x, dn.noise.Counter(1)))


def test_maps_along_a_run_are_its_own_draws():
    plan, noise = dn.compile("langevin_corrector_refined", few(6)), dn.noise.Counter(5)
    x = MIXTURE.sample(5, 0, plan.start)
    states = dn.sample(plan, MIXTURE, x, noise=noise, keep="states")
    maps = noise_maps(plan, MIXTURE, states, noise)
    for line, draw in zip(maps.names, maps.draws, strict=True):
        assert np.abs(draw - noise(line, x)).max() < 1e-10


def made_of(plan: Any, step: int) -> np.ndarray:
    """Variance of a map by what it is made of, from runs on unit vectors: image, noise of both copies, other draws."""
    stop, target = plan.stop, dn.Gaussian(0 * C, C)
    spread = stop.alpha**2 * C + stop.sigma**2
    names = [line for line in plan.lines if type(line).__name__ == "Noise" and line.step == step]
    rows = 3 + len(names) - 1
    states = []
    for i, level in enumerate(plan.levels):
        keep = level.alpha / stop.alpha
        unit = np.zeros((rows, len(C)))
        unit[0] = keep * np.sqrt(spread)
        if i in (step, step + 1):
            unit[1 + i - step] = np.sqrt(level.sigma**2 - (keep * stop.sigma) ** 2)
        states.append(unit)

    def others(s: Any, t: Any, j: int, x: Any) -> Any:
        draw = 0 * x
        if (s, t) == (names[0].s, names[0].t):
            draw[3 + j] = 1
        return draw

    maps = noise_maps(plan, target, states, others)
    line = names[-1]
    return (maps(line.s, line.t, line.j, states[0]) ** 2).sum(axis=0)


@pytest.mark.parametrize(
    "name", ["ddpm_ancestral", "ddim_eta", "dpmpp_2s_ancestral", "euler_maruyama", "langevin_corrector_refined"]
)
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_the_variance_of_every_map_is_that_of_what_it_is_made_of(name, prediction):
    plan = dn.compile(name, few(), prediction)
    found = map_variances(plan, dn.Gaussian([0.3, -0.2, 1.0], C))
    for i in range(plan.steps):
        assert np.abs(found[i] / made_of(plan, i) - 1).max() < 1e-10


def test_for_ddpm_it_is_the_closed_form_but_for_the_noise_of_the_image_and_the_last_step():
    inner = dn.grid.uniform(PROCESS, 4, start=0.8, stop=0.2).levels
    off, ratios = [], []
    for stop in (1e-3, 1e-5):
        plan = dn.compile("ddpm_ancestral", dn.grid.through(PROCESS, [*inner, PROCESS.level(stop)]))
        found = map_variances(plan, dn.Gaussian(0 * C, C))
        closed = np.array([[variance(s, t, c) for c in C] for s, t in pairwise(plan.levels)])
        assert (found[-1] < closed[-1]).all()
        off.append(found[:-1] / closed[:-1] - 1)
        ratios.append(plan.stop.sigma / plan.stop.alpha)
    # copies share the noise that the image still has
    assert np.abs(off[0] / off[1] / (ratios[0] / ratios[1]) ** 2 - 1).max() < 0.02
    assert np.abs(off[1]).max() < 1e-5


def test_sampled_maps_have_these_variances():
    target, plan = dn.Gaussian([0.3, -0.2], [0.3, 0.6]), dn.compile("ddim_eta", few(4))
    x = target.sample(20000, 0, plan.stop)
    maps = noise_maps(plan, target, independent_path(plan, x, dn.noise.Counter(0)))
    assert np.abs(np.stack(maps.draws).var(axis=1) / map_variances(plan, target) - 1).max() < 0.05
