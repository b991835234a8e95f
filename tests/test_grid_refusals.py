"""What grids refuse, in one sentence each, and what the linter reports of a list."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum import grid as grids
from diffnum.grid import Grid, custom, exponential, karras, lint, log_snr, quadratic, uniform
from diffnum.plan import Level
from diffnum.process import DDPM, EDM, VE, VP, Cosine, Flow, SubVP
from tests.grid_cases import PROCESSES, ends, every_process, every_schedule

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
    assert schedule(process, 4, ends(process)[0], process.at(math.inf), end="zero") == grid
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
