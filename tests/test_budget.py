"""Plans at or under a budget, against all the plans there are: none longer fits, none better is left out."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from selection import DIFFUSING, samplers

import diffnum as dn
from diffnum import grid as grids
from diffnum.budget import best_within, within
from diffnum.solvers import ALL
from diffnum.solvers.singlestep import orders

COURSES = {
    "VP": (dn.VP(), grids.log_snr, "stop"),
    "VP, denoised": (dn.VP(), grids.karras, "denoise"),
    "cosine, both ends": (dn.Cosine(), grids.uniform, "zero"),
}
LISTS = [name for name, sampler in ALL.items() if sampler.steps_for is not None]
TARGET = dn.Gaussian(np.array([0.3, -0.2, 0.0]), np.array([0.8, 0.2, 0.05]))


def every_plan(sampler, process, grid, end, most):
    """Plans of 1, 2, ... ``most`` steps, or told to spend as many evaluations."""
    if sampler.steps_for is None:
        return [dn.compile(sampler, grid(process, n, end=end)) for n in range(1, most + 1)]
    return [
        dn.compile(sampler, grid(process, len(orders(m, sampler.order)), end=end), nfe=m) for m in range(1, most + 1)
    ]


def is_longest_at_every_budget(sampler, course):
    process, grid, end = COURSES[course]
    if course == "cosine, both ends" and sampler.name in DIFFUSING:
        pytest.skip("refused at pure noise")
    # a list of orders may be told four more than it spends where both ends save evaluations
    plans = every_plan(sampler, process, grid, end, 30)
    for budget in range(1, 26):
        fitting = [plan for plan in plans if plan.nfe <= budget]
        if not fitting:
            told = rf"^{sampler.name} spends {plans[0].nfe} evaluations .*, {budget} are too few: use nfe"
            with pytest.raises(ValueError, match=told):
                within(sampler, process, budget, grid, end)
            continue
        plan = within(sampler, process, budget, grid, end)
        assert plan.nfe <= budget and plan == fitting[-1]
        assert len(fitting) < len(plans) and plans[len(fitting)].nfe > budget


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize(
    "sampler", [ALL[name] for name in ("ddim", "luan_ostermann5", "exp_ab4_rk", "rho_abm2_pece")], ids=str
)
def test_no_longer_plan_fits(sampler, course):
    is_longest_at_every_budget(sampler, course)


@pytest.mark.full
@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("sampler", ALL.values(), ids=str)
def test_no_longer_plan_fits_for_any_sampler(sampler, course):
    is_longest_at_every_budget(sampler, course)


@pytest.mark.parametrize("sampler", samplers())
def test_one_step_more_would_exceed_the_budget(sampler):
    for budget in (1, 2, 5, 12, 25):
        try:
            plan = within(sampler, dn.VP(), budget)
        except ValueError as error:
            assert f"{budget} are too few: use nfe >= " in str(error)
            continue
        assert plan.nfe <= budget
        if sampler.steps_for is None:
            assert dn.compile(sampler, grids.uniform(dn.VP(), plan.steps + 1)).nfe > budget


def test_a_table_of_few_steps_has_plans_of_few_steps():
    table = dn.DDPM([0.1, 0.2, 0.3, 0.4])
    assert within(ALL["ddim"], table, 3).nfe == 3
    assert within(ALL["heun"], table, 3).nfe <= 3


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_orders_spend_the_whole_budget(name):
    for budget in range(1, 26):
        plan = within(ALL[name], dn.VP(), budget, grids.log_snr)
        assert plan.nfe == budget and plan.steps == len(orders(budget, ALL[name].order))
        denoised = within(ALL[name], dn.VP(), budget + 1, grids.log_snr, "denoise")
        assert denoised.nfe == budget + 1 and denoised.steps == plan.steps


def test_the_remedy_of_too_small_a_budget_is_one():
    with pytest.raises(
        ValueError, match=r"rk4 spends 4 evaluations .*, 3 are too few: use nfe >= 4 or another"
    ) as told:
        dn.within("rk4", dn.VP(), 3)
    assert dn.within("rk4", dn.VP(), int(str(told.value).split(">= ")[1].split()[0])).nfe == 4


@pytest.mark.parametrize("budget", [0, -1, 2.0, 2.5, "4", None, True])
def test_a_budget_that_is_none_is_refused(budget):
    for ask in (lambda: dn.within("ddim", dn.VP(), budget), lambda: dn.best_within(dn.VP(), TARGET, budget)):
        with pytest.raises(ValueError, match=r"is no number of model evaluations: use a whole number >= 1$"):
            ask()


def test_names_ranges_predictions_and_options_reach_the_plan():
    part = partial(grids.karras, start=0.9, stop=0.1, rho=5.0)
    plan = dn.within("ddim_eta", dn.VP(), 6, grid=part, end="denoise", prediction="noise", eta=0.25)
    same = dn.compile("ddim_eta", part(dn.VP(), 5, end="denoise"), "noise", eta=0.25)
    assert plan == same and plan.nfe == 6
    with pytest.raises(ValueError, match="not defined at alpha = 0"):
        dn.within("ddim", dn.Cosine(), 6, prediction="noise")


def test_a_sampler_that_stops_asking_has_a_plan():
    def once(T, grid):
        D = None
        for s, t in T.steps(grid):
            D = T.denoise(T.x, s) if D is None else D
            T.x = (t.sigma / s.sigma) * T.x + (t.alpha - t.sigma / s.sigma * s.alpha) * D

    assert within(once, dn.VP(), 2).nfe == 1


# the best of many

FEW = [ALL[name] for name in ("ddim", "heun", "dpmpp_2m", "ddpm_ancestral", "dpm_solver_fast")]
TWO = {"uniform": grids.uniform, "log_snr": grids.log_snr}


def error(plan):
    return dn.w2(plan, TARGET, at="data", init="prior")


@pytest.fixture(scope="module")
def best():
    return {b: best_within(dn.VP(), TARGET, b, FEW, TWO) for b in range(1, 11)}


def test_the_error_never_rises_with_the_budget(best):
    assert all(plan.nfe <= budget for budget, plan in best.items())
    errors = [error(best[b]) for b in range(1, 11)]
    assert all(after <= before for before, after in pairwise(errors)) and errors[-1] < 0.2 * errors[0]


def test_no_plan_of_the_same_samplers_and_grids_is_better(best):
    for end in ("stop", "zero", "denoise"):
        for grid in TWO.values():
            for sampler in FEW:
                for plan in every_plan(sampler, dn.VP(), grid, end, 10):
                    assert plan.nfe > 10 or error(best[10]) <= error(plan)


def test_a_ranking_of_the_same_samplers_has_no_better_winner(best):
    mixture = dn.Mixture(np.ones(1), TARGET.mean[None], TARGET.variances[None])
    found = dn.study.rank(dn.VP(), TARGET, mixture, (4, 10), samplers=FEW, grids=TWO, paths=1)
    for budget in found.budgets:
        assert error(best[budget]) <= found.winner(budget).w2


def test_all_samplers_compete_unless_some_are_named():
    plan = dn.best_within(dn.EDM(), TARGET, 3)
    assert error(plan) <= min(error(dn.within(s, dn.EDM(), 3, grids.karras)) for s in ("ddim", "dpmpp_2m", "euler"))
    with pytest.raises(ValueError, match=r"no sampler has a plan of at most 3 evaluations on EDM: raise the budget"):
        best_within(dn.EDM(), TARGET, 3, [ALL["rk4"]], TWO, ("stop",))
