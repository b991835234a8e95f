"""Plans around a given one: they hold it, keep its order conditions whatever is trained, and gain by training."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learned_cases import (
    PROCESS,
    START,
    STOP,
    gaussian_trajectories,
    grid,
    mixture_trajectories,
    other_trajectories,
    readable,
)

import diffnum as dn
from diffnum.design import Around, Part, Trial, fit
from diffnum.plan import Eval, Lin
from diffnum.solvers import ALL

GRIDS = {
    "stop": grid(5),
    "zero": dn.grid.uniform(PROCESS, 5, end="zero"),
    "denoise": dn.grid.uniform(PROCESS, 5, end="denoise"),
    "pure noise": dn.grid.uniform(dn.Flow(), 5, stop=dn.Flow().at(3.0)),
}
# predictors alone, one that remembers noises, correctors, stages, other variables
NAMES = ["dpmpp_2m", "exp_ab3", "exp_ab3_noise", "unipc_2", "unipc_3", "unipc_3_noise", "deis_rhoab_3", "ab3", "heun"]
TRAINED = [("unipc_2", 1), ("unipc_2", 2), ("unipc_3", 2), ("unipc_3", 3), ("ipndm_3", 1), ("ipndm_3", 2), ("rk4", 2)]


def around(name, levels, order=1):
    return Around(dn.compile(name, levels), levels.process, order)


def follows(sampler):
    """Whether it has plans of one state and no draws on every grid here."""
    try:
        plans = [dn.compile(sampler, levels) for levels in GRIDS.values()]
    except ValueError:
        return False
    return not any(plan.draws or plan.partners or len(plan.inputs) > 1 for plan in plans)


@pytest.mark.parametrize("where", GRIDS)
def test_every_plan_is_in_the_family_around_it(where):
    chosen = [sampler for sampler in ALL.values() if not sampler.stochastic and follows(sampler)]
    assert len(chosen) > 100
    for sampler in chosen:
        family = around(sampler, GRIDS[where])
        again = family.plan(np.zeros(family.size))
        assert again.nfe == family.base.nfe, sampler.name
        # the stages of some methods have weights in the thousands
        size = np.abs(dn.tableau(family.base)).max()
        assert dn.distance(again, family.base) < 1e-13 * max(1.0, size), sampler.name


@pytest.mark.parametrize("prediction", ["data", "velocity"])
@pytest.mark.parametrize("where", GRIDS)
def test_its_members_are_plans_for_every_prediction(where, prediction):
    family, law = around("unipc_2", GRIDS[where]), dn.Gaussian([0.3, -0.5], [0.8, 0.1])
    theta = np.random.default_rng(0).uniform(-0.3, 0.3, family.size)
    x = law.sample(4, 0, family.start)
    ends = dn.sample(family.plan(theta), law, x), dn.sample(family.base, law, x)
    assert np.abs(ends[0] - ends[1]).max() > 1e-3
    plan = family.plan(theta, prediction)
    np.testing.assert_allclose(dn.sample(plan, law, x), ends[0], rtol=1e-9, atol=1e-9)
    assert readable(plan)


def structure(plan):
    """What each line reads."""
    return [tuple(q for q, _ in line.terms) if isinstance(line, Lin) else line.x for line in plan.lines]


@pytest.mark.parametrize("name", NAMES)
def test_no_line_reads_more_than_it_did(name):
    family = around(name, grid(6))
    moved = family.plan(np.full(family.size, 0.1))
    for mine, known in zip(structure(moved), structure(family.flat), strict=True):
        assert mine == known


# --- order conditions ---


def polynomial(power):
    """A model whose data are a power of the log-SNR, whatever the state."""
    return lambda x, level: 0 * x + (level.lam / 3.0) ** power


def defects(plan, order):
    """What a plan makes of polynomials, from a state that has some noise."""
    x = np.array([[0.7], [-1.1]])
    return np.array([dn.sample(plan, polynomial(m), x) for m in range(order)])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=5)
def test_whatever_the_numbers_polynomials_come_out_as_they_did(name, order, data):
    family = around(name, grid(6), order)
    theta = data.draw(st.lists(st.floats(-1, 1), min_size=family.size, max_size=family.size))
    np.testing.assert_allclose(defects(family.plan(theta), order), defects(family.base, order), atol=1e-12)


@pytest.mark.parametrize("name", ["unipc_2", "exp_ab3", "ab3"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_next_power_comes_out_otherwise(name, order):
    family = around(name, grid(6), order)
    plan = family.plan(np.full(family.size, 0.5))
    assert np.abs(defects(plan, order + 1) - defects(family.base, order + 1))[-1].max() > 1e-4


@pytest.mark.parametrize(
    ("name", "order"),
    [("exp_ab3", 1), ("exp_ab3", 2), ("ab3", 1), ("ab3", 2), ("unipc_2", 1), ("unipc_2", 2), ("unipc_3", 3)],
)
def test_with_numbers_of_a_fixed_size_the_error_falls_with_the_order_that_is_kept(name, order):
    law = dn.Gaussian([0.2], [0.3])
    x = np.array([[0.4], [1.3]])

    def error(n):
        levels = dn.grid.log_snr(PROCESS, n, PROCESS.at(-1.5), PROCESS.at(1.5))
        family = around(name, levels, order)
        exact = law.flow(x, levels[0], levels[-1])
        # of one direction for all lines, whatever basis its null space has
        moves = family.directions.values()
        theta = [
            0.3 * float(z)
            for move in moves
            for z in np.cos(1.0 + np.arange(len(move)) ** 2) @ move / np.linalg.norm(move[:, 0])
        ]
        return np.abs(dn.sample(family.plan(theta), law, x) - exact).max()

    assert np.log2(error(128) / error(256)) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("name", "sizes"), [("ddim", (0, 0, 0)), ("exp_ab3", (9, 4, 0)), ("dpmpp_2m", (5, 0, 0))])
def test_a_line_of_k_evaluations_has_k_less_the_order_numbers(name, sizes):
    assert tuple(around(name, grid(6), order).size for order in (1, 2, 3)) == sizes


# --- training ---


def trial(trajectories):
    return Trial("drawn", (Part(trajectories),))


@cache
def trained(name, order):
    family = around(name, grid(6), order)
    return fit(family, np.zeros(family.size), [trial(mixture_trajectories(48, 0))])


@pytest.mark.parametrize(("name", "order"), TRAINED)
def test_training_gains_where_it_looks_and_loses_nowhere_else(name, order):
    found = trained(name, order)
    base, plan = found.free.base, found.plan()
    assert mixture_trajectories(48, 0).error(plan) == pytest.approx(found.error, rel=1e-6)
    assert found.error < 0.7 * found.before
    for unseen in (mixture_trajectories(48, 1), other_trajectories(48, 3)):
        assert unseen.error(plan) < unseen.error(base)


@pytest.mark.parametrize(("name", "order"), TRAINED)
def test_trained_numbers_keep_the_conditions_line_by_line(name, order):
    found = trained(name, order)
    flat, plan = found.free.flat, found.plan()
    moved = 0
    for old, new in zip(flat.lines, plan.lines, strict=True):
        if isinstance(old, Lin) and isinstance(new, Lin):
            change = [(q, b - a) for (q, a), (_, b) in zip(old.terms, new.terms, strict=True)]
            asked = [(flat.lines[q - 1].level.lam, c) for q, c in change if q and isinstance(flat.lines[q - 1], Eval)]
            assert all(c == 0 for q, c in change if not q or isinstance(flat.lines[q - 1], Lin))
            for m in range(order):
                assert abs(sum(c * (lam / 3) ** m for lam, c in asked)) < 1e-12
            moved += sum(abs(c) > 1e-3 for _, c in asked)
    assert moved >= 4


def test_a_gaussian_of_three_variances_is_met_by_three_numbers_or_more():
    family = around("exp_ab3", grid(6), 2)
    trajectories = gaussian_trajectories([2.0, 0.5, 0.05], n=8, start=START, stop=STOP)
    found = fit(family, np.zeros(family.size), [trial(trajectories)], rounds=200, ridge=1e-14)
    assert found.error < 1e-4 * found.before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: around("ddim", grid(3), 0), "order = 0"),
        (lambda: Around(dn.compile("ddim", grid(3), "noise"), PROCESS), "compile it for data"),
        (lambda: around("ddpm_ancestral", grid(3)), "draws noise"),
    ],
)
def test_plans_that_have_no_family_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
