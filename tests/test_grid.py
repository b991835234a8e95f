"""Grids: exact ends, strict order, increments that add up, end policies, and the kinds of number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from diffnum.grid import ENDS, custom, edm, exponential, karras, log_snr, quadratic, uniform
from diffnum.process import DDPM, EDM, VE, VP, Cosine, Flow, SubVP
from tests.grid_cases import SCHEDULES, ends, every_process, every_schedule

IN_TIME = ("uniform", "quadratic")


def exact_lam(level):
    return mpmath.log(mpf(level.alpha) / mpf(level.sigma))


# what every grid keeps


@every_process
@every_schedule
@settings(max_examples=8)
@given(n=st.integers(1, 300), end=st.sampled_from(ENDS), share=st.floats(0.0, 0.4))
def test_ends_are_exact_levels_fall_and_increments_add_up(process, schedule, n, end, share):
    start, stop = ends(process)
    start, stop = process.at(start.lam + share), process.at(stop.lam - share)
    grid = schedule(process, n, start, stop, end=end)
    assert len(grid) == n + 1 and grid.steps == n == len(grid.h)
    assert grid[0] is start
    finite = grid.levels[:-1] if end == "zero" else grid.levels
    assert (grid[-1] == process.at(math.inf)) if end == "zero" else (grid[-1] is stop)
    assert end != "zero" or n == 1 or grid[-2] is stop
    assert all(s.lam < t.lam and h > 0 for (s, t), h in zip(pairwise(grid), grid.h, strict=True))
    total = finite[-1].lam - start.lam
    assert math.fsum(grid.h[: len(finite) - 1]) == pytest.approx(total, rel=1e-13, abs=1e-15)
    assert (grid.h[-1] == math.inf) == (end == "zero")


@every_process
@every_schedule
def test_increments_are_those_of_the_levels_at_50_digits(process, schedule):
    start, stop = ends(process)
    grid = schedule(process, 200, start, stop, end="stop")
    with mpmath.workdps(50):
        for (s, t), h in zip(pairwise(grid), grid.h, strict=True):
            # the scales are rounded floats: a few ulp of 1 each
            assert abs(exact_lam(t) - exact_lam(s) - h) <= 1.5e-15


@every_process
@pytest.mark.parametrize("name", IN_TIME)
def test_default_ends_are_those_of_the_process(process, name):
    grid = SCHEDULES[name](process, 4)
    assert grid[0] == process.level(process.t_start) and grid[-1] == process.level(process.t_stop)
    assert (grid.h[0] == math.inf) == grid[0].pure_noise


@every_process
@every_schedule
def test_times_as_ends_are_their_levels(process, schedule):
    start, stop = (level.t for level in ends(process))
    grid = schedule(process, 3, start, stop, end="stop")
    assert grid[0] == process.level(start) and grid[-1] == process.level(stop)


@every_process
def test_a_grid_is_a_sequence_of_levels(process):
    grid = uniform(process, 4)
    assert isinstance(grid, Sequence) and list(grid) == list(grid.levels)
    assert grid[1] in grid and grid.index(grid[2]) == 2 and grid[1:3] == grid.levels[1:3]
    assert hash(grid) == hash(uniform(process, 4)) and grid == uniform(process, 4)
    assert len(repr(grid)) < 120 and process.name in repr(grid)


# what each schedule is


@every_process
def test_uniform_is_equally_spaced_in_time(process):
    start, stop = ends(process)
    t = np.array([level.t for level in uniform(process, 7, start, stop)])
    np.testing.assert_allclose(t, np.linspace(start.t, stop.t, 8), rtol=1e-14, atol=1e-14)


@every_process
def test_quadratic_is_equally_spaced_in_the_root_of_time(process):
    start, stop = ends(process)
    t = np.array([level.t for level in quadratic(process, 7, start, stop)]) - process.t_clean
    np.testing.assert_allclose(np.sqrt(t), np.linspace(t[0] ** 0.5, t[-1] ** 0.5, 8), rtol=1e-13)


@every_process
def test_log_snr_increments_are_one_number(process):
    start, stop = ends(process)
    grid = log_snr(process, 7, start, stop)
    assert set(grid.h) == {(stop.lam - start.lam) / 7}
    np.testing.assert_allclose([level.lam for level in grid], np.linspace(start.lam, stop.lam, 8), rtol=1e-14)


@every_process
@pytest.mark.parametrize("rho", [0.7, 1.0, 3.0])
def test_exponential_is_a_power_in_the_log_of_the_ratio(process, rho):
    start, stop = ends(process)
    lams = [level.lam for level in exponential(process, 7, start, stop, rho=rho)]
    ramp = np.linspace(1, 0, 8) ** rho
    np.testing.assert_allclose(lams, stop.lam - ramp * (stop.lam - start.lam), rtol=1e-13)


@every_process
def test_exponential_of_power_one_is_log_snr(process):
    start, stop = ends(process)
    for s, t in zip(exponential(process, 9, start, stop), log_snr(process, 9, start, stop), strict=True):
        assert s.lam == pytest.approx(t.lam, abs=1e-15)


@every_process
@pytest.mark.parametrize("rho", [1.0, 7.0])
def test_karras_is_equally_spaced_in_the_root_of_the_ratio(process, rho):
    start, stop = ends(process)
    roots = [(level.sigma / level.alpha) ** (1 / rho) for level in karras(process, 7, start, stop, rho=rho)]
    np.testing.assert_allclose(roots, np.linspace(roots[0], roots[-1], 8), rtol=1e-14)


def test_edm_is_the_table_of_its_paper():
    grid = edm(EDM(), 18)
    i, n, rho = np.arange(18), 18, 7
    table = (80 ** (1 / rho) + i / (n - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho
    assert len(edm(EDM(), 18)) == 19 and grid[-1].clean and grid.end == "zero"
    np.testing.assert_allclose([level.sigma for level in grid[:-1]], table, rtol=1e-13)
    assert (grid[0].sigma, grid[-2].sigma) == (80.0, 0.002)


@pytest.mark.parametrize("process", [VP(), Cosine(), Flow(), DDPM(), SubVP(), EDM()])
def test_edm_spans_the_same_ratios_everywhere(process):
    grid = edm(process, 6)
    assert grid[0].sigma / grid[0].alpha == pytest.approx(80, rel=1e-14)
    assert grid[-2].sigma / grid[-2].alpha == pytest.approx(0.002, rel=1e-14)


# lists


@pytest.mark.parametrize("process", [VE(), EDM()])
@settings(max_examples=30)
@given(st.lists(st.floats(0.021, 79.0), min_size=2, max_size=20, unique_by=lambda s: round(math.log(s), 9)))
def test_custom_keeps_sigmas_to_the_bit(process, sigmas):
    sigmas = sorted(sigmas, reverse=True)
    grid = custom(process, sigmas=sigmas)
    assert [level.sigma for level in grid] == sigmas
    with mpmath.workdps(50):
        for (s, t), h in zip(pairwise(sigmas), grid.h, strict=True):
            exact = mpmath.log(mpf(s) / mpf(t))
            assert abs(h - exact) <= 4e-16 * exact


def test_custom_sigmas_are_ratios_except_for_flow():
    ratios = [3.0, 1.0, 0.2]
    for process in (VP(), Cosine(), SubVP(), DDPM(), VE(), EDM()):
        levels = custom(process, sigmas=ratios)
        np.testing.assert_allclose([level.sigma / level.alpha for level in levels], ratios, rtol=1e-15)
    sigmas = [1.0, 0.7, 0.2]
    for process in (Flow(), Flow(3.0)):
        grid = custom(process, sigmas=sigmas)
        assert [level.sigma for level in grid] == sigmas and grid[0].pure_noise


@every_process
def test_custom_times_are_the_levels_of_the_process(process):
    times = [level.t for level in uniform(process, 5)]
    assert list(custom(process, times=times)) == [process.level(t) for t in times]


@every_process
def test_custom_lams_and_their_differences_are_kept(process):
    lams = [-1.0, -0.3, 0.4, 1.9]
    lams = lams if process.lam(process.t_clean) > 1.9 else lams[:2]
    grid = custom(process, lams=lams)
    assert [level.lam for level in grid] == lams
    assert grid.h == tuple(b - a for a, b in pairwise(lams))


@every_process
def test_custom_accepts_arrays_tensors_and_iterators_alike(process):
    lams = [-1.0, -0.25, 0.5]
    grids_ = [custom(process, lams=kind(lams)) for kind in (tuple, iter, np.array, torch.tensor)]
    assert all(grid == grids_[0] for grid in grids_)


@pytest.mark.parametrize("process", [VP(), VE(), EDM(), Flow(), DDPM()])
def test_a_last_sigma_of_zero_is_the_clean_level(process):
    listed = custom(process, sigmas=[0.9, 0.1, 0])
    asked = custom(process, sigmas=[0.9, 0.1], end="zero")
    assert listed == asked == custom(process, sigmas=[0.9, 0.1, 0], end="zero")
    assert listed[-1] == process.at(math.inf) and listed.end == "zero" and listed.h[-1] == math.inf


def test_custom_lams_may_be_infinite_at_the_ends():
    grid = custom(Cosine(), lams=[-math.inf, 0.0, math.inf])
    assert grid[0].pure_noise and grid[-1].clean and grid.h == (math.inf, math.inf) and grid.end == "zero"


# kinds of number


@pytest.mark.parametrize("process", [VE(), EDM(), VP(), Flow(), Cosine(), SubVP(), DDPM()])
def test_gradients_flow_through_custom_sigmas(process):
    start = [0.9, 0.5, 0.2]

    def spread(*sigmas):
        grid = custom(process, sigmas=torch.stack(sigmas))
        return sum((1 + i) * h * h for i, h in enumerate(grid.h)) + grid[1].sigma * grid[2].lam

    leaves = [torch.tensor(s, dtype=torch.float64, requires_grad=True) for s in start]
    assert torch.autograd.gradcheck(spread, leaves)


@pytest.mark.parametrize("process", [VE(), EDM(), VP(), Flow(), DDPM()])
def test_gradients_flow_through_custom_lams(process):
    lams = torch.tensor([-2.0, 0.0, 1.5], dtype=torch.float64, requires_grad=True)

    def read(x):
        grid = custom(process, lams=x)
        return grid.h[0] ** 2 + grid[1].sigma * grid.h[1]

    assert torch.autograd.gradcheck(read, lams)


@pytest.mark.parametrize("process", [VE(), EDM(), VP(), Flow(), DDPM()])
@pytest.mark.parametrize("name", ["sigmas", "lams", "times"])
def test_forward_derivatives_of_custom_grids_are_the_backward_ones(process, name):
    listed = [0.7, 0.5, 0.2] if name == "sigmas" else [-0.5, 0.2, 1.5]
    values = [process.at(lam).t for lam in listed] if name == "times" else listed
    x = torch.tensor(values, dtype=torch.float64)

    def read(x):
        grid = custom(process, **{name: x})
        return torch.stack([grid.h[0] ** 2, grid.h[1] * grid[2].sigma, grid[1].lam * grid[1].alpha])

    backward = torch.autograd.functional.jacobian(read, x)
    assert torch.allclose(torch.func.jacfwd(read)(x), backward, rtol=1e-12)
    direction = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    assert torch.allclose(torch.func.jvp(read, (x,), (direction,))[1], backward @ direction, rtol=1e-12)


def test_gradients_flow_through_the_ends_of_a_schedule():
    process = EDM()

    def read(a, b):
        grid = karras(process, 3, process.at_clock(a), process.at_clock(b))
        return grid[1].sigma * grid.h[2]

    ends_ = [torch.tensor(s, dtype=torch.float64, requires_grad=True) for s in (40.0, 0.1)]
    assert torch.autograd.gradcheck(read, ends_)


def test_float32_leaves_make_float64_levels():
    sigmas = torch.tensor([3.0, 1.0, 0.5], requires_grad=True)
    grid = custom(EDM(), sigmas=sigmas)
    assert all(level.sigma.dtype == torch.float64 for level in grid)
    sum(grid.h).backward()
    assert sigmas.grad is not None and float(sigmas.grad[0]) == pytest.approx(1 / 3)


def test_mpmath_grids_keep_50_digits():
    with mpmath.workdps(50):
        grid = custom(VP(), lams=[mpf(-1), mpf("0.1"), mpf("1.3")])
        for (s, t), h in zip(pairwise(grid), grid.h, strict=True):
            assert abs(exact_lam(t) - exact_lam(s) - h) < mpf("1e-47")
        equal = log_snr(VP(), 3, grid[0], grid[2])
        assert abs(equal.h[0] - mpf("2.3") / 3) < mpf("1e-48")


def test_sympy_grids_are_exact():
    a, b = sympy.symbols("a b", positive=True)
    grid = custom(EDM(), sigmas=[a, b, sympy.Rational(1, 3)])
    assert sympy.simplify(grid.h[0] - sympy.log(a / b)) == 0
    assert grid[1].sigma == b and grid[2].sigma == sympy.Rational(1, 3)
