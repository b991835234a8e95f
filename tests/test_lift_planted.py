"""Ten planted errors: each is found, in its step and its coefficient; without one nothing is."""

import pytest
from planted import FAULTS, STEP, FlowEuler, Multistep, Noisy

import diffnum as dn

STEPS = 8
CLEAN = [(Multistep(), "dpmpp_2m"), (Noisy(), "ddpm_ancestral"), (FlowEuler(), "euler")]


def examined(scheduler):
    return dn.examine(scheduler, STEPS, precision="double")


def fault(lifted, kind):
    """The only fault of a kind; no other stands before it."""
    (found,) = [f for f in lifted.findings if f.kind == kind]
    assert all(f.step is None or f.step >= found.step for f in lifted.faults)
    return found


def first_difference(lifted, name):
    """Nearest known sampler, and where one row alone differs from it."""
    near = dn.nearest(lifted.assumed)[0]
    assert (near.name, near.rows) == (name, 1)
    return near.difference


@pytest.mark.parametrize("scheduler, name", CLEAN, ids=lambda value: value if isinstance(value, str) else "")
def test_without_an_error_there_is_no_finding_and_the_sampler_is_known(scheduler, name):
    lifted = examined(scheduler)
    # it raises where it is run again unprepared, which is worth a note
    assert {f.kind for f in lifted.findings} == {"reuse"}
    assert name in [near.name for near in dn.nearest(lifted.assumed) if near.rows == 0]


def test_every_error_is_planted_below():
    here = {name.removeprefix("test_planted_").split("_")[0] for name in globals() if name.startswith("test_planted_")}
    assert here == set(FAULTS)


def test_planted_sign():
    lifted = examined(Multistep("sign"))
    found = fault(lifted, "scale")
    assert (found.step, found.call) == (STEP, STEP + 1)
    apart = first_difference(lifted, "dpmpp_2m")
    assert (apart.step, apart.row, apart.column) == (STEP, STEP + 1, f"D{STEP - 1}")
    assert apart.theirs == pytest.approx(-apart.ours, rel=1e-9)


def test_planted_factor_keeps_every_level_and_differs_by_it_in_one_coefficient():
    lifted = examined(Multistep("factor"))
    assert lifted.faults == ()
    apart = first_difference(lifted, "dpmpp_2m")
    assert (apart.step, apart.row, apart.column) == (STEP, STEP + 1, f"D{STEP - 1}")
    assert apart.theirs == pytest.approx(apart.ours / 2, rel=1e-9)


def test_planted_swapped_level():
    lifted = examined(Multistep("swapped"))
    found = fault(lifted, "scale")
    assert (found.step, found.call) == (STEP, STEP + 1)
    apart = first_difference(lifted, "dpmpp_2m")
    s, t = lifted.plan.levels[STEP : STEP + 2]
    assert (apart.step, apart.column) == (STEP, f"D{STEP - 1}")
    # alpha of the level before for that of the level after
    assert apart.theirs / apart.ours == pytest.approx(s.alpha / t.alpha, rel=1e-9)


def test_planted_history_of_the_step_before():
    lifted = examined(Multistep("history"))
    assert lifted.faults == ()
    apart = first_difference(lifted, "dpmpp_2m")
    assert (apart.step, apart.column) == (STEP, f"D{STEP - 2}")
    assert abs(apart.ours) < 1e-12 < abs(apart.theirs)


def test_planted_noise_scale():
    lifted = examined(Noisy("noise"))
    found = fault(lifted, "scale")
    assert (found.step, found.call) == (STEP, STEP + 1)
    apart = first_difference(lifted, "ddpm_ancestral")
    assert (apart.step, apart.row, apart.column) == (STEP, STEP + 1, f"z{STEP}")
    assert apart.theirs == pytest.approx(1.1 * apart.ours, rel=1e-9)


def test_planted_reused_noise():
    found = fault(examined(Noisy("reused")), "noise")
    assert (found.step, found.column) == (STEP, f"z{STEP - 1}")


def test_planted_stale_history():
    found = fault(examined(Multistep("stale")), "stale")
    # the first step already looks at the last prediction of the run before
    assert found.step == 0


def test_planted_rounded_time():
    lifted = examined(Multistep("rounded"))
    (found,) = [f for f in lifted.findings if f.kind == "rounded"]
    assert (found.step, found.call, found.count, lifted.faults) == (STEP, STEP, 1, ())
    clean = examined(Multistep()).times
    assert lifted.times[STEP] == round(clean[STEP]) != clean[STEP]
    told, true = lifted.plan.lines[2 * STEP].level, lifted.plan.levels[STEP]
    assert found.size == pytest.approx(abs(told.lam - true.lam), rel=1e-6)


def test_planted_dropped_last_step():
    lifted = examined(Multistep("dropped"))
    found = fault(lifted, "missing")
    assert (found.step, found.count) == (STEPS - 1, 1)
    assert lifted.plan.stop.sigma > 0 == examined(Multistep()).plan.stop.sigma


def test_planted_doubled_shift():
    lifted = examined(FlowEuler("doubled"))
    found = fault(lifted, "shift")
    once = examined(FlowEuler()).plan.levels
    assert (found.step, found.call) == (1, 1)
    assert found.size == pytest.approx(lifted.plan.levels[1].sigma - once[1].sigma, rel=1e-9)
