"""Runs of several grids at once are the runs of each."""

from functools import cache

import numpy as np
import pytest

import diffnum as dn
from diffnum import measure
from diffnum.solvers import ALL
from diffnum.together import Together, end_points, witnesses
from diffnum.witness import GRIDS, Run, alternating, gaussian, near, nonlinear, path_errors, uniform

VP = dn.VP()
ROWS = ((uniform, True), (uniform, False), (alternating, True), (near, False))


@pytest.mark.parametrize("name", ["heun", "dpmpp_3m_corrected", "unipc_2_noise", "bdia_dpmpp"])
def test_one_run_of_many_plans_equals_a_run_of_each(name):
    plans = [(dn.compile(ALL[name], grid(VP, 16)), warm) for grid, warm in ROWS]
    for (plan, warm), end in zip(plans, end_points(plans), strict=True):
        for law, part in ((nonlinear(), end[:, :3]), (gaussian(), end[:, 3:])):
            run = Run.of(law, plan.start)
            np.testing.assert_allclose(part - run.exact(plan.stop), path_errors(plan, run, warm), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["heun", "unipc_3", "abm4_pece"])
def test_plans_of_fewer_steps_run_along_with_longer_ones(name):
    plans = [(dn.compile(ALL[name], uniform(VP, n)), warm) for n in (16, 64, 32) for warm in (True, False)]
    for (plan, warm), end in zip(plans, end_points(plans), strict=True):
        for law, part in ((nonlinear(), end[:, :3]), (gaussian(), end[:, 3:])):
            run = Run.of(law, plan.start)
            np.testing.assert_allclose(part - run.exact(plan.stop), path_errors(plan, run, warm), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["ipndm_2", "rk4", "stork_2_flow"])
def test_a_slope_on_another_process_is_the_same_beside_the_runs_on_the_first(name):
    sampler = ALL[name].with_options(stages=4) if name == "stork_2_flow" else ALL[name]

    @cache
    def plans(process, grid, n):
        return dn.compile(sampler, grid(process, n))

    beside = measure.together(sampler, plans, VP, flow=True)
    beside.error("non-linear", "uniform", 16, True)
    assert measure.on_flow(sampler, plans, beside) == measure.on_flow(sampler, plans)


def test_plans_of_other_forms_run_one_after_the_other():
    plans = [(dn.compile(ALL[name], uniform(VP, 8)), True) for name in ("heun", "rk4")]
    ends = end_points(plans)
    for (plan, _), end in zip(plans, ends, strict=True):
        run = Run.of(nonlinear(), plan.start)
        np.testing.assert_allclose(end[:, :3] - run.exact(plan.stop), path_errors(plan, run, True), rtol=0, atol=1e-13)


def test_runs_that_were_not_announced_are_made_when_asked_for():
    def plan(grid, n):
        return dn.compile(ALL["dpmpp_2m"], GRIDS[grid](VP, n))

    announced = Together(plan, lambda n: [("uniform", True), ("alternating", True)], (16, 32))
    apart = Together(plan, lambda n: [])
    for witness in ("Gaussian", "non-linear"):
        for grid in ("alternating", "smooth"):
            a, b = (paths.error(witness, grid, 16, True) for paths in (announced, apart))
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


def test_denoisers_with_constants_made_once_are_the_denoiser():
    ((_, law),) = witnesses()._groups
    levels = [[VP.at(lam + j) for j in (0.0, 0.3)] for lam in (-5.0, 0.0, 5.0)]
    scales = np.array([[(u.alpha, u.sigma) for u in row] for row in levels])
    denoise = law.denoisers(scales[..., 0], scales[..., 1])
    y = np.random.default_rng(0).normal(size=(5, 2, witnesses().dim))
    for i, row in enumerate(levels):
        for j, level in enumerate(row):
            np.testing.assert_allclose(denoise(i, y)[:, j], law.denoise(y[:, j], level), rtol=1e-12, atol=1e-14)


def test_denoisers_of_many_levels_are_the_denoiser_to_the_last_bit():
    ((_, law),) = nonlinear()._groups
    levels = [VP.at(lam) for lam in (-5.0, -0.3, 0.0, 2.0)]
    alpha, sigma = np.array([(u.alpha, u.sigma) for u in levels]).T
    repeated, y = law.repeated(alpha, sigma), np.random.default_rng(0).normal(size=(5, nonlinear().dim))
    across = law.across(y[..., None], alpha, sigma)
    for i, level in enumerate(levels):
        assert np.array_equal(repeated(i, y), law.denoise(y, level))
        np.testing.assert_allclose(across[..., i], law.denoise(y, level), rtol=1e-13)
