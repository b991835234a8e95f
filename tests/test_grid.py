"""Grids: exact ends, strict order, increments that add up, end policies, and what is refused or reported."""

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

from diffnum import grid as grids
from diffnum.grid import ENDS, Grid, custom, edm, exponential, karras, lint, log_snr, quadratic, uniform
from diffnum.plan import Level
from diffnum.process import DDPM, EDM, VE, VP, Cosine, Flow, SubVP

PROCESSES = {
    "VP": VP(),
    "Cosine": Cosine(),
    "VE": VE(),
    "EDM": EDM(),
    "SubVP": SubVP(),
    "Flow": Flow(),
    "Flow shift 3": Flow(3.0),
    "DDPM": DDPM(),
    "DDPM smooth": DDPM(smooth=True),
    "DDPM alpha=0": DDPM([0.1, 0.3, 0.02, 0.9, 1.0]),
}
SCHEDULES = {
    "uniform": uniform,
    "log_snr": log_snr,
    "karras": karras,
    "exponential": exponential,
    "exponential rho=2": lambda *a, **k: exponential(*a, **k, rho=2.0),
    "edm": edm,
    "quadratic": quadratic,
}
IN_TIME = ("uniform", "quadratic")
LAM_ENDS = (-1.5, 2.2)

every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def ends(process):
    """A start and a stop that every process here has."""
    low = max(LAM_ENDS[0], process.lam(process.t_start))
    high = min(LAM_ENDS[1], process.lam(process.t_clean))
    return process.at(low), process.at(high)


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


# what is refused


def refused(told, build):
    with pytest.raises(ValueError, match=told) as caught:
        build()
    sentence = str(caught.value)
    assert "\n" not in sentence and ": " in sentence and not sentence.endswith(".")


@every_schedule
@pytest.mark.parametrize("n", [0, -3, 2.0, 2.5, math.nan, True, "4", None])
def test_a_number_of_steps_that_is_none_is_refused(schedule, n):
    refused(rf"n = {n!r} is no number of steps: use an integer >= 1", lambda: schedule(EDM(), n))


@every_schedule
def test_numpy_integers_are_numbers_of_steps(schedule):
    assert schedule(EDM(), np.int64(3)).steps == 3


@every_schedule
def test_unknown_ends_are_refused(schedule):
    told = "end = 'none' is no end policy: use one of stop, zero, denoise, half"
    refused(told, lambda: schedule(EDM(), 3, end="none"))


@every_process
@every_schedule
def test_an_end_outside_the_process_is_refused(process, schedule):
    refused(
        rf"t = {process.t_start + 1!r} is outside {process.name}",
        lambda: schedule(process, 3, process.t_start + 1, process.t_stop),
    )
    refused(
        rf"t = {process.t_clean - 0.5!r} is outside {process.name}",
        lambda: schedule(process, 3, ends(process)[0], process.t_clean - 0.5),
    )
    refused("t = nan", lambda: schedule(process, 3, math.nan))


@every_schedule
def test_a_level_of_another_process_is_refused(schedule):
    refused("start with alpha = 0.*is no level of VP: make it with", lambda: schedule(VP(), 3, SubVP().level(0.5)))
    refused("stop with t = -0.0.*sigma = 0.01 is outside VE", lambda: schedule(VE(), 3, 1.0, VE().at_clock(0.01)))


@every_process
@every_schedule
def test_a_start_not_noisier_than_the_stop_is_refused(process, schedule):
    start, stop = ends(process)
    for a, b in ((stop, start), (start, start)):
        refused("is not noisier than stop .*: grids run from noise", lambda a=a, b=b: schedule(process, 3, a, b))


@pytest.mark.parametrize("process", [Cosine(), Flow(), DDPM([0.1, 1.0])])
@pytest.mark.parametrize("schedule", [log_snr, exponential, karras])
def test_ratios_cannot_start_at_pure_noise(process, schedule):
    refused("cannot start at alpha = 0 .*: start at alpha > 0", lambda: schedule(process, 3, stop=process.at(0.2)))


@pytest.mark.parametrize("schedule", [log_snr, exponential])
def test_log_snr_cannot_stop_at_the_clean_level(schedule):
    refused("cannot stop at sigma = 0 .*end='zero'", lambda: schedule(VP(), 3, stop=0.0))


@pytest.mark.parametrize("process", [p for p in PROCESSES.values() if not isinstance(p, VE)])
@pytest.mark.parametrize("schedule", [uniform, karras, quadratic])
def test_other_schedules_can_stop_at_the_clean_level(process, schedule):
    grid = schedule(process, 4, ends(process)[0], process.at(math.inf))
    assert grid[-1].clean and grid.end == "zero" and grid.h[-1] == math.inf
    refused("stop is the clean level already", lambda: schedule(process, 4, 0.5, process.at(math.inf), end="zero"))
    for end in ("denoise", "half"):
        refused("nothing to denoise", lambda e=end: schedule(process, 4, ends(process)[0], process.t_clean, end=e))


@pytest.mark.parametrize("rho", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("schedule", [karras, exponential])
def test_exponents_that_are_none_are_refused(schedule, rho):
    refused(rf"rho = {rho!r} is no exponent", lambda: schedule(VP(), 3, rho=rho))


def test_levels_closer_than_rounding_are_refused():
    start, stop = EDM().at(1.0), EDM().at(math.nextafter(math.nextafter(1.0, 2), 2))
    refused("does not rise above|repeats", lambda: log_snr(EDM(), 8, start, stop))


@pytest.mark.parametrize(
    ("told", "lists"),
    [
        (r"sigmas\[1\] = 5.0 does not fall below sigmas\[0\] = 1.0: list them from noise", {"sigmas": [1, 5, 0]}),
        (r"sigmas\[2\] = 1.0 does not fall below sigmas\[1\] = 1.0: remove one", {"sigmas": [5, 1, 1, 0.5]}),
        (r"sigmas\[1\] = nan is no noise level", {"sigmas": [5, math.nan, 1]}),
        (r"sigmas\[0\] = inf is no noise level", {"sigmas": [math.inf, 1]}),
        (r"sigmas\[1\] = -1.0 is no noise level here", {"sigmas": [5, -1]}),
        (r"sigmas\[1\] = 0.0 is no noise level here", {"sigmas": [5, 0, 0]}),
        (r"sigmas has 1 entries: a grid needs at least two", {"sigmas": [5]}),
        (r"lams has 0 entries", {"lams": []}),
        (r"lams\[1\] = -1.0 does not rise above lams\[0\] = 0.0", {"lams": [0, -1]}),
        (r"lams\[1\] = nan is no noise level", {"lams": [0, math.nan]}),
        (r"times\[2\] = 0.6 does not fall below times\[1\] = 0.5", {"times": [1, 0.5, 0.6]}),
        (r"t = 90.0 is outside EDM", {"times": [90, 1]}),
        (r"sigma = 81.0 is outside EDM", {"sigmas": [81, 1]}),
        (r"log-SNR -9.0 is outside EDM", {"lams": [-9, 1]}),
        ("custom was given 2 lists", {"lams": [0, 1], "times": [2, 1]}),
        ("custom was given 0 lists", {}),
        ("end = 'nowhere' is no end policy", {"sigmas": [2, 1], "end": "nowhere"}),
        ("nothing to denoise at the clean level", {"sigmas": [2, 0], "end": "half"}),
    ],
)
def test_bad_lists_are_refused_by_one_sentence(told, lists):
    refused(told, lambda: custom(EDM(), **lists))


def test_lists_of_leaves_are_checked_by_value():
    sigmas = torch.tensor([1.0, 2.0], requires_grad=True)
    refused(r"sigmas\[1\] = 2.0 does not fall below sigmas\[0\] = 1.0", lambda: custom(EDM(), sigmas=sigmas))


def test_sigmas_below_the_process_are_refused():
    refused("sigma = 0.01 is outside VE", lambda: custom(VE(), sigmas=[1.0, 0.01]))
    refused("sigma = 3.0 is outside Flow", lambda: custom(Flow(), sigmas=[3.0, 0.01]))


def test_a_grid_built_by_hand_is_checked_too():
    process = EDM()
    a, b = process.at_clock(2.0), process.at_clock(1.0)
    refused("1 levels with 0 increments make no grid", lambda: Grid((a,), (), process))
    refused("2 levels with 2 increments make no grid", lambda: Grid((a, b), (1.0, 1.0), process))
    refused("log-SNR .* of level 1 does not rise above .* of level 0", lambda: Grid((b, a), (1.0,), process))
    refused("log-SNR .* of level 1 repeats .*: remove one", lambda: Grid((a, a), (1.0,), process))
    refused("end = 'zero' but the last level has sigma = 1.0", lambda: Grid((a, b), (1.0,), process, "zero"))
    refused("level 0 with t = 90.0", lambda: Grid((Level(90.0, 1.0, 90.0), b), (1.0,), process))


# the linter


def codes(sigmas, process=None):
    return [finding.code for finding in lint(sigmas, process)]


@pytest.mark.parametrize("n", [1, 2, 5, 18, 200])
def test_lists_of_good_grids_are_clean(n):
    for process in (VP(), VE(), EDM(), DDPM()):
        for schedule in (log_snr, karras, exponential):
            ratios = [level.sigma / level.alpha for level in schedule(process, n, end="zero")]
            assert lint(ratios, process) == []
    assert lint([level.sigma for level in uniform(Flow(), n, stop=0.02, end="zero")], Flow()) == []
    assert lint([level.sigma for level in uniform(Flow(3.0), n, stop=0.0)], Flow(3.0)) == []


@pytest.mark.parametrize(
    ("sigmas", "code", "index"),
    [
        ([], "empty", 0),
        ([3.0], "single", 0),
        ([5.0, math.nan, 1.0, 0.0], "nan", 1),
        ([5.0, None, 1.0, 0.0], "nan", 1),
        ([math.inf, 5.0, 1.0, 0.0], "inf", 0),
        ([5.0, 1.0, -0.1, 0.0], "negative", 2),
        ([0.0, 1.0, 5.0], "ascending", 0),
        ([5.0, 1.0, 2.0, 0.0], "increasing", 2),
        ([5.0, 1.0, 1.0, 0.5, 0.0], "duplicate", 2),
        ([5.0, 1.0 + 1e-9, 1.0, 0.4, 0.0], "float32-duplicate", 2),
        ([5.0, 1.0, 0.0, 0.0], "early-zero", 2),
        ([5.0, 1.0, 0.5], "no-zero", 2),
        ([5.0, 1.0, 1e-6, 0.0], "last-step", 2),
        ([5.0, 1.0, 0.99, 0.0], "last-step", 2),
    ],
)
def test_each_fault_is_found_where_it_is(sigmas, code, index):
    found = [finding for finding in lint(sigmas) if finding.code == code]
    assert [finding.index for finding in found] == [index]
    value = found[0].value
    assert not sigmas or value == sigmas[index] or math.isnan(value)
    assert "\n" not in found[0].message and ":" in found[0].message


@pytest.mark.parametrize(
    ("sigmas", "expected"),
    [
        ([5.0, 1.0, 1.0, 0.5, 0.0], ["duplicate"]),
        ([5.0, 1.0 + 1e-9, 1.0, 0.4, 0.0], ["float32-duplicate"]),
        ([5.0, 1.0, 1.0, 0.0], ["duplicate"]),
        ([5.0, math.nan, 1.0, 0.0], ["nan"]),
        ([0.0, 1.0, 5.0], ["ascending"]),
        ([5.0, 1.0, 0.5], ["no-zero"]),
        ([5.0, 1.0, 0.0, 0.0], ["early-zero", "duplicate"]),
    ],
)
def test_a_single_fault_gives_a_single_finding(sigmas, expected):
    assert codes(sigmas) == expected


@pytest.mark.parametrize(
    ("sigmas", "process", "indices"),
    [
        ([200.0, 90.0, 10.0, 0.0], EDM(), [0, 1]),
        ([14.6, 1.0, 0.01, 0.0], VE(), [2]),
        ([160.0, 1.0, 0.0], VP(), [0]),
        ([14.6, 0.9, 0.1, 0.0], Flow(), [0]),
        ([1.0, 0.9, 0.1, 0.0], Flow(), []),
        ([80.0, 1.0, 1e-3, 1e-5, 0.0], EDM(), []),
        ([157.0, 1.0, 0.0], DDPM(), []),
    ],
)
def test_values_outside_a_process_are_found(sigmas, process, indices):
    assert [finding.index for finding in lint(sigmas, process) if finding.code == "outside"] == indices


def test_flow_is_told_that_ratios_are_not_sigmas():
    (finding,) = lint([14.6, 0.9, 0.1, 0.0], Flow())
    assert "sigma / alpha" in finding.message and finding.value == 14.6


def test_the_linter_reads_tensors_and_arrays():
    sigmas = [5.0, 1.0, 2.0, 0.0]
    assert codes(torch.tensor(sigmas, requires_grad=True)) == codes(np.array(sigmas)) == codes(sigmas) == ["increasing"]


@settings(max_examples=60)
@given(st.lists(st.floats(0.05, 70.0), min_size=2, max_size=12))
def test_custom_accepts_exactly_the_lists_that_are_clean(sigmas):
    """But for notes and float32: what the linter passes is a grid, what it faults is refused."""
    sigmas = [*sigmas, 0.0]
    faults = [code for code in codes(sigmas) if code not in ("float32-duplicate", "last-step")]
    try:
        custom(EDM(), sigmas=sigmas)
    except ValueError:
        assert faults
    else:
        assert not faults


def test_the_linter_is_found_where_grids_are():
    assert grids.lint is lint
