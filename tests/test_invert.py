"""The inverse of a plan: what it gives back, and what cannot be undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import diffnum as dn
from diffnum.read.invert import from_inputs

TARGET = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])


def coupled(T: Any, grid: Any, p: Any = 0.93) -> None:
    """EDICT's pair in ``x / alpha``: each state steps by the other, then both are mixed."""
    y = T.given("y", T.x)
    for s, t in T.steps(grid):
        r = t.sigma / s.sigma
        c = t.alpha - r * s.alpha
        x = T.held(r * T.x + c * T.denoise(y, s), "x")
        y = T.held(r * y + c * T.denoise(x, s), "y")
        T.x = T.held(p * x + (1 - p) * y, "x")
        y = T.held(p * y + (1 - p) * T.x, "y")
    T.returns("y", y)


def two_step(T: Any, grid: Any, g: Any = 0.9) -> None:
    """BDIA: the last state, corrected by this step's increment and the last one's undone."""
    past = behind = None
    for s, t in T.steps(grid):
        E = T.evaluate(T.x, s)
        ahead = t.alpha * E.data + t.sigma * E.noise
        if past is None:
            past, behind, T.x = T.x, s, T.given("next", ahead)
            continue
        back = behind.alpha * E.data + behind.sigma * E.noise
        past, behind, T.x = T.x, s, ahead + g * (past - back)
    T.returns("previous", past)


@pytest.fixture
def levels():
    return dn.grid.log_snr(dn.VP(), 8, stop=0.05)


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
@pytest.mark.parametrize("sampler", [coupled, two_step])
def test_an_inverse_gives_back_what_the_run_started_from(sampler, prediction, levels):
    plan = dn.compile(sampler, levels, prediction)
    x = TARGET.sample(5, 0, plan.start)
    ends = dn.sample(plan, TARGET, x, outputs="all")
    starts = dn.sample(dn.invert(plan), TARGET, ends, outputs="all")
    assert np.abs(starts[0] - x).max() < 1e-11
    assert np.abs(dn.sample(plan, TARGET, starts) - ends[0]).max() < 1e-11


@pytest.mark.parametrize("sampler", [coupled, two_step])
def test_an_inverse_from_the_sample_alone_is_undone_by_its_own_inverse(sampler, levels):
    plan = dn.compile(sampler, levels, "noise")
    image = TARGET.sample(5, 0, plan.stop)
    there = dn.invert(plan)
    starts = dn.sample(there, TARGET, image, outputs="all")
    back = dn.sample(dn.invert(there), TARGET, starts)
    assert np.abs(back - image).max() < 1e-11
    assert there.start == plan.stop and there.stop == plan.start


@pytest.mark.parametrize("sampler", [coupled, two_step])
def test_the_inverse_of_an_inverse_is_the_plan(sampler, levels):
    plan = dn.compile(sampler, levels, "noise")
    again = dn.invert(dn.invert(plan))
    x = TARGET.sample(3, 0, plan.start)
    pair = dn.sample(plan, TARGET, x, keep="states")[1] if plan.inputs[1][0] == "next" else x
    assert from_inputs(again).nfe == from_inputs(plan).nfe
    for one, two in zip(
        dn.sample(again, TARGET, (x, pair), outputs="all"),
        dn.sample(plan, TARGET, (x, pair), outputs="all"),
        strict=True,
    ):
        assert np.abs(one - two).max() < 1e-12


def test_one_call_a_step_both_ways(levels):
    plan = dn.compile(two_step, levels, "noise")
    assert plan.nfe == plan.steps
    assert from_inputs(plan).nfe == from_inputs(dn.invert(plan)).nfe == plan.steps - 1


def test_a_plan_with_partners_survives_its_file(tmp_path, levels):
    plan = dn.invert(dn.compile(coupled, levels))
    plan.save(tmp_path / "plan.json")
    assert dn.Plan.load(tmp_path / "plan.json").inputs == plan.inputs
    assert dn.Plan.load(tmp_path / "plan.json").hash == plan.hash


def test_partners_are_part_of_what_a_plan_means(levels):
    plan = dn.compile(coupled, levels)
    alone = dn.Plan(plan.lines, plan.levels, plan.states, plan.outputs, plan.prediction)
    assert alone.hash != plan.hash


def test_what_cannot_be_undone_is_refused_with_the_register(levels):
    with pytest.raises(ValueError, match=r"ddim cannot be undone exactly: in step 7 .* leave x7 and D7 open"):
        dn.invert(dn.compile("ddim", levels))
    with pytest.raises(ValueError, match="its output is not its last state"):
        dn.invert(dn.compile(coupled, dn.grid.log_snr(dn.VP(), 4, end="denoise")))
    with pytest.raises(ValueError, match="cannot be undone from sigma = 0"):
        dn.invert(dn.compile(two_step, dn.grid.uniform(dn.Flow(), 4, start=0.9, stop=0.0), "data"))


def test_another_number_of_states_is_refused(levels):
    plan = dn.compile(coupled, levels)
    x = TARGET.sample(2, 0, plan.start)
    with pytest.raises(ValueError, match="3 states were given and coupled starts from 2: give x, y"):
        dn.sample(plan, TARGET, (x, x, x))
