"""The family of free plans: what holds for every vector of numbers, and which plans are members."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from design_cases import MIXTURE, PROCESSES, begun, free, random_numbers
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum import within
from diffnum.design import Free, Part, Trajectories, Trial, fit, free_multistep
from diffnum.design.weights import step_weights
from diffnum.order import prove


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("order", "member"), [(1, "ddim"), (2, "exp_ab2"), (3, "exp_ab3")])
def test_without_surprises_it_is_exponential_adams_bashforth(name, order, member):
    family = free(PROCESSES[name], 6, order)
    theta = begun(family, size=0.0)
    plan, known = family.plan(theta.tolist()), dn.compile(member, family.grid(theta.tolist()))
    assert dn.distance(plan, known) < 1e-13


@given(data=st.data(), order=st.sampled_from([1, 2, 3]))
@settings(max_examples=20)
def test_whatever_the_numbers_polynomials_below_the_order_move_as_without_them(data, order):
    family = free(PROCESSES["VP"], 6, order)
    theta = np.array(data.draw(random_numbers(family)))
    sizes = 1 + np.abs(theta).max() * 20**order
    assert by_the_numbers(family, theta) < 1e-12 * sizes


@pytest.mark.parametrize("order", [1, 2, 3])
def test_after_training_the_conditions_of_the_order_hold_to_1e_12(order):
    family = free(PROCESSES["VP"], 6, order)
    trial = Trial("mixture", (Part(Trajectories.draw(MIXTURE, family.start, 64)),))
    made = fit(family, begun(family), [trial], rounds=8)
    assert made.error < 0.9 * made.before
    assert by_the_numbers(family, made.theta) < 1e-12


def by_the_numbers(family, theta):
    """By how much a polynomial prediction below the order moves states otherwise than without the numbers, relative."""
    plain = np.where(np.arange(family.size) < family.levels, theta, 0.0)
    slopes = np.array([1.0, 0.7, -0.3])[: family.order]

    def model(x, level):
        return x * 0 + float(slopes @ level.lam ** np.arange(family.order))

    x = np.array([[0.4, -1.1]])
    states = [dn.sample(family.plan(v.tolist()), model, x, keep="states") for v in (theta, plain)]
    scale = max(np.abs(state).max() for state in states[1]) + float(np.abs(slopes) @ 5.0 ** np.arange(family.order))
    return max(np.abs(a - b).max() for a, b in zip(*states, strict=True)) / scale


@given(data=st.data(), name=st.sampled_from(["VP", "VE"]), order=st.sampled_from([1, 2]))
@settings(max_examples=20)
def test_every_state_holds_the_noise_of_its_level_whatever_the_numbers(data, name, order):
    family = free(PROCESSES[name], 6, order)
    plan, x = family.plan(data.draw(random_numbers(family))), np.array([[0.4, -1.1]])
    states = dn.sample(plan, lambda x, level: 0 * x, x, keep="states")
    for state, level in zip(states, plan.levels, strict=True):
        assert np.allclose(state, level.sigma / plan.start.sigma * x, rtol=1e-12, atol=0)


@given(data=st.data(), name=st.sampled_from(sorted(PROCESSES)))
@settings(max_examples=20)
def test_every_vector_is_a_grid_and_rows_of_weights_sum_to_one(data, name):
    family = free(PROCESSES[name])
    theta = data.draw(random_numbers(family))
    plan = family.plan(theta)
    lams = [level.lam for level in plan.levels]
    assert lams[0] == family.start.lam
    assert lams[-1] == math.inf
    assert all(a < b <= family.limit for a, b in pairwise(lams[:-1]))
    assert plan.nfe == family.nfe
    assert np.abs(step_weights(plan).sum(axis=1) - 1).max() < 1e-12 * (1 + max(map(abs, theta)) * 8)


@given(st.lists(st.floats(-4, 2.9), min_size=4, max_size=4, unique=True).map(sorted))
def test_levels_are_those_that_the_vector_was_made_of(lams):
    if min(np.diff([-5.0, *lams, 3.0])) < 1e-6:
        return
    family = free(PROCESSES["VP"])
    assert np.allclose([level.lam for level in family.plan(family.vector(lams).tolist()).levels[1:-1]], lams, atol=1e-9)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"nfe": 0}, "nfe = 0"),
        ({"order": 4}, "order = 4"),
        ({"limit": -9.0}, "limit = -9.0"),
    ],
)
def test_families_that_are_none_are_refused(bad, said):
    process = dn.VP()
    with pytest.raises(ValueError, match=said):
        Free(**{"process": process, "start": process.level(1.0), "limit": 3.0, "nfe": 5, **bad})


@pytest.mark.parametrize("lams", [[0.0], [0.0, -1.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.5]])
def test_levels_that_make_no_grid_are_refused(lams):
    with pytest.raises(ValueError, match=r"log-SNRs|levels lie inside"):
        free(dn.VP()).vector(lams)


@pytest.mark.parametrize(
    "name", ["ddim", "dpmpp_2m", "dpmpp_3m", "ipndm_3", "deis_rhoab_2", "unipc_2", "dpmpp_2s", "dpm_2m"]
)
def test_hand_made_plans_are_members(name):
    process = PROCESSES["VP"]
    plan = within(name, process, 6, dn.grid.quadratic, "denoise")
    family = Free(process, plan.start, plan.stop.lam + 1.0, plan.nfe)
    x = MIXTURE.sample(20, 0, plan.start)
    again = family.plan(family.near(plan).tolist())
    assert np.abs(dn.sample(again, MIXTURE, x) - dn.sample(plan, MIXTURE, x)).max() < 1e-10


def test_the_member_nearest_to_a_plan_that_stops_early_ends_where_the_plan_would():
    process = PROCESSES["VP"]
    plan = within("dpmpp_2m", process, 6, dn.grid.log_snr, "stop")
    family = Free(process, plan.start, plan.stop.lam, 6)
    x = MIXTURE.sample(20, 0, plan.start)
    ends = (dn.sample(one, MIXTURE, x) for one in (family.plan(family.near(plan).tolist()), plan))
    assert np.abs(np.subtract(*ends)).max() < 2 * plan.stop.sigma


@pytest.mark.parametrize(
    ("name", "nfe", "order"), [("heun", 6, 1), ("dpmpp_2m", 5, 1), ("dpmpp_2m", 6, 2), ("ddpm_ancestral", 6, 1)]
)
def test_other_plans_have_no_member_near_them(name, nfe, order):
    process = PROCESSES["VP"]
    family = free(process, 6, order, limit=12.0)
    assert family.near(within(name, process, nfe, dn.grid.log_snr, "stop")) is None


# --- order one ---


@given(data=st.data(), name=st.sampled_from(["VP", "VE"]))
@settings(max_examples=20)
def test_a_member_is_nearest_to_itself(data, name):
    """Of steps that are not tiny: a member's numbers are differences of its weights over powers of the step."""
    family = free(PROCESSES[name])
    numbers = data.draw(st.lists(st.floats(-1, 1), min_size=family.size, max_size=family.size))
    theta = np.array(numbers)
    theta[: family.levels] = family.vector(np.linspace(family.start.lam, family.limit, family.nfe + 1)[1:-1])[
        : family.levels
    ]
    plan = family.plan(theta.tolist())
    assert np.allclose(family.near(plan), theta, atol=1e-7)


@pytest.mark.parametrize("name", PROCESSES)
def test_data_that_are_moved_move_all_samples_with_them(name):
    family = free(PROCESSES[name], 6)
    plan, move = family.plan(begun(family).tolist()), np.array([3.0, -2.0, 0.5])
    moved = dn.Mixture(MIXTURE.weights, MIXTURE.means + move, MIXTURE.covariances)
    x = MIXTURE.sample(20, 0, family.start)
    ends = dn.sample(plan, MIXTURE, x), dn.sample(plan, moved, x + family.start.alpha * move)
    assert np.allclose(ends[0] + move, ends[1], atol=1e-10)


@pytest.mark.parametrize("name", ["trig_ab2", "trig_ab4"])
def test_methods_in_the_angle_are_started_from_though_a_constant_is_not_exact_for_them(name):
    process = PROCESSES["VP"]
    plan = within(name, process, 6, dn.grid.quadratic, "stop")
    family = Free(process, plan.start, plan.stop.lam, 6)
    theta = family.near(plan)
    drawn = Trajectories.draw(MIXTURE, plan.start, 200, 1, 1e-4)
    near, own = drawn.error(family.plan(theta.tolist())), drawn.error(plan)
    assert near < 1.5 * own < drawn.error(family.plan(family.vector([s.lam for s in plan.levels[1:-1]]).tolist()))


@given(data=st.data(), order=st.sampled_from([1, 2]))
@settings(max_examples=6)
def test_the_order_is_proved_whatever_the_numbers(data, order):
    tenths = st.integers(-10, 10).map(lambda n: Fraction(n, 10))
    z = tuple(tuple(data.draw(tenths) for _ in range(max(0, i - order + 1))) for i in range(3))
    assert prove(free_multistep.with_options(order=order, z=z)).order == order
