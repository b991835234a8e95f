"""Single-step DPM-Solvers of mixed orders: lists of orders, schedulers of diffusers on their own levels, budgets."""

import numpy as np
import pytest
from peers_diffusers import run

import diffnum as dn
from diffnum.order import prove
from diffnum.plan import PREDICTIONS
from diffnum.read.tableau import distance
from diffnum.solvers.singlestep import (
    dpm_solver_fast,
    dpmpp_singlestep_2,
    dpmpp_singlestep_3,
    dpmpp_singlestep_3_corrected,
    dpmpp_singlestep_3_taylor,
    grouped,
    orders,
)
from diffnum.witness import Run, alternating, nonlinear, norm, path_errors

THREE = (dpm_solver_fast, dpmpp_singlestep_3, dpmpp_singlestep_3_taylor, dpmpp_singlestep_3_corrected)
ALL = (*THREE, dpmpp_singlestep_2)
HIGHEST = {s.name: s.order for s in ALL}
names = {"ids": lambda s: s.name}


# --- the list of orders ---


def reference(steps, order):
    """``get_orders_and_timesteps_for_singlestep_solver`` of the reference code, its orders."""
    if order == 3:
        k = steps // 3 + 1
        if steps % 3 == 0:
            return [3] * (k - 2) + [2, 1]
        return [3] * (k - 1) + ([1] if steps % 3 == 1 else [2])
    if order == 2:
        return [2] * (steps // 2) + [1] * (steps % 2)
    return [1] * steps


@pytest.mark.parametrize("highest", [1, 2, 3])
def test_orders_are_those_of_the_reference_code_and_spend_the_budget(highest):
    for nfe in range(1, 61):
        found = orders(nfe, highest)
        assert list(found) == reference(nfe, highest)
        assert sum(found) == nfe


@pytest.mark.parametrize("nfe, highest, message", [(0, 3, "nfe = 0"), (2.5, 3, "nfe = 2.5"), (4, 4, "highest = 4")])
def test_no_budget_and_no_order_are_refused_in_one_sentence(nfe, highest, message):
    with pytest.raises(ValueError, match=rf"^{message} is no .*: use 1, 2"):
        orders(nfe, highest)


@pytest.mark.parametrize("sampler", ALL, **names)
def test_budgets(sampler):
    for nfe in range(1, 13):
        steps = len(orders(nfe, HIGHEST[sampler.name]))
        plan = dn.compile(sampler, dn.grid.log_snr(dn.VP(), steps), nfe=nfe)
        assert plan.nfe == nfe and plan.steps == steps
    for steps in range(1, 13):
        # without a budget, the largest that takes so many steps
        largest = max(n for n in range(1, 60) if len(orders(n, HIGHEST[sampler.name])) == steps)
        assert dn.compile(sampler, dn.grid.log_snr(dn.VP(), steps)).nfe == largest
        # the step to the clean level is DDIM's
        last = orders(largest, HIGHEST[sampler.name])[-1]
        assert dn.compile(sampler, dn.grid.log_snr(dn.VP(), steps, end="zero")).nfe == largest - last + 1


def test_a_budget_that_does_not_fit_the_grid_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"^nfe = 10 takes 4 steps of orders \(3, 3, 3, 1\): use a grid .*, not 5$"):
        dn.compile(dpm_solver_fast, dn.grid.log_snr(dn.VP(), 5), nfe=10)
    with pytest.raises(ValueError, match=r"^groups of \(3, 3\) do not make 5 steps: use orders\(5\)$"):
        grouped(dn.grid.log_snr(dn.VP(), 5), (3, 3))
    levels = grouped(dn.grid.log_snr(dn.VP(), 5), (3, 2))
    with pytest.raises(ValueError, match=r"^a grid in groups of \(3, 2\) takes 5 evaluations"):
        dn.compile(dpmpp_singlestep_2, levels)
    with pytest.raises(ValueError, match=r"^a grid in groups of \(3, 2\) takes 5 evaluations"):
        dn.compile(dpm_solver_fast, levels, nfe=6)


# --- identities ---


PLAIN = [
    (dpm_solver_fast, "dpm_solver_3", "dpm_solver_2", "dpm_solver_1"),
    (dpmpp_singlestep_3, "dpmpp_3s", "dpmpp_2s", "dpmpp_1"),
    (dpmpp_singlestep_3_taylor, "dpmpp_3s_taylor", "res_2s", "dpmpp_1"),
    (dpmpp_singlestep_3_corrected, "res_3s", "res_2s", "dpmpp_1"),
]


@pytest.mark.parametrize("fast, three, two, one", PLAIN, ids=lambda v: getattr(v, "name", v))
@pytest.mark.parametrize("nfe", [1, 2, 3, 4, 5, 6, 8, 9])
def test_each_step_is_the_published_one_of_its_order(fast, three, two, one, nfe):
    """The plan is the chain of one-step plans: states agree on a model that is not linear."""
    pattern = orders(nfe)
    levels = alternating(dn.VP(), 4).levels[: len(pattern) + 1]
    grid = dn.grid.custom(dn.VP(), lams=[level.lam for level in levels])
    run_ = Run.of(nonlinear(), grid[0])
    states = dn.sample(dn.compile(fast, grid, nfe=nfe), run_.target, run_.x, keep="states")
    for i, order in enumerate(pattern):
        step = dn.grid.custom(dn.VP(), lams=[grid[i].lam, grid[i + 1].lam])
        single = dn.compile({1: one, 2: two, 3: three}[order], step)
        assert norm(dn.sample(single, run_.target, states[i]) - states[i + 1]) < 1e-13


def test_order_two_throughout_is_the_published_one():
    levels = alternating(dn.VP(), 6)
    assert distance(dn.compile(dpmpp_singlestep_2, levels), dn.compile("dpmpp_2s", levels)) < 1e-13


@pytest.mark.parametrize("sampler", [s for s in ALL if s is not dpmpp_singlestep_3_corrected], **names)
def test_groups_whose_levels_lie_at_equal_fractions_change_nothing(sampler):
    highest = HIGHEST[sampler.name]
    for nfe in (2 * highest, 2 * highest + 1, 3 * highest - 1):
        pattern = orders(nfe, highest)
        lams = [-3.0]
        for size in pattern:
            lams += [lams[-1] + 1.2 * k / size for k in range(1, size + 1)]
        fine = dn.grid.custom(dn.VP(), lams=lams)
        coarse = dn.grid.custom(dn.VP(), lams=[-3.0 + 1.2 * i for i in range(len(pattern) + 1)])
        plans = (dn.compile(sampler, grouped(fine, pattern)), dn.compile(sampler, coarse, nfe=nfe))
        assert distance(*plans) < 1e-11


def sizes(order_list):
    """Groups in diffusers' list: the order within each step counts 1, 2, 3, and starts again."""
    found = []
    for order in order_list:
        if order == 1:
            found.append(0)
        found[-1] += 1
    return found


SCHEDULERS = [
    (dpmpp_singlestep_2, {"solver_order": 2, "solver_type": "midpoint"}),
    (dpmpp_singlestep_3_taylor, {"solver_order": 3, "solver_type": "heun"}),
]
ENDS = {"sigma_min": {"final_sigmas_type": "sigma_min"}, "karras": {"use_karras_sigmas": True}}


@pytest.mark.parametrize("sampler, settings", SCHEDULERS, ids=lambda v: getattr(v, "name", ""))
@pytest.mark.parametrize("n", [5, 7, 9])
@pytest.mark.parametrize("end", ENDS)
def test_the_scheduler_of_diffusers_is_a_grid_in_groups(sampler, settings, n, end):
    r = run("DPMSolverSinglestepScheduler", n, lower_order_final=True, **settings, **ENDS[end])
    levels = grouped(r.grid, sizes(r.scheduler.order_list))
    assert distance(r.plan, dn.compile(sampler, levels)) < 1e-10


# --- orders ---


@pytest.mark.parametrize("sampler", ALL, **names)
def test_claimed_orders_are_proved(sampler):
    proof = prove(sampler)
    assert (proof.order, proof.cold, proof.stable) == (sampler.order, sampler.cold, True)


@pytest.mark.parametrize("rest, order", [(3, 2), (2, 2), (1, 3)], ids=["3k", "3k-2", "3k-1"])
def test_a_last_step_of_first_order_caps_the_whole_at_two(rest, order):
    def build(T, grid):
        steps = len(grid.levels) - 1
        dpmpp_singlestep_3.build(T, grid, nfe=3 * steps - rest)

    assert prove(build).order == order


def test_levels_within_a_step_that_do_not_lie_at_thirds_cost_an_order_of_dpm_solver_3_only():
    process = dn.VP()
    run_ = Run.of(nonlinear(), process.at(-3.0))
    slopes = {}
    for sampler in THREE:
        errors = []
        for n in (95, 191, 383):
            sizes_ = np.resize([3.0, 2.0, 1.0], n)
            lams = np.concatenate([[0], np.cumsum(sizes_)]) / sizes_.sum() * 6 - 3
            fine = dn.grid.custom(process, lams=[-3.0, *lams[1:-1].tolist(), 3.0])
            plan = dn.compile(sampler, grouped(fine, orders(n)))
            errors.append(norm(path_errors(plan, run_, False)))
        slopes[sampler.name] = -np.polyfit(np.log2([96, 192, 384]), np.log2(errors), 1)[0]
    assert slopes.pop("dpmpp_singlestep_3_corrected") == pytest.approx(3, abs=0.15)
    assert all(value == pytest.approx(2, abs=0.15) for value in slopes.values()), slopes


@pytest.mark.parametrize(
    "sampler", [dpmpp_singlestep_2, *(pytest.param(s, marks=pytest.mark.full) for s in THREE)], **names
)
def test_certificates_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", ALL, **names)
def test_pure_noise_and_clean_ends_are_finite_or_refused_in_one_sentence(sampler, prediction):
    levels = dn.grid.uniform(dn.Flow(), 4, end="zero")
    if prediction in ("noise", "score"):
        with pytest.raises(ValueError, match=r"is not defined at alpha = 0 .* another prediction or sampler$"):
            dn.compile(sampler, levels, prediction)
        return
    assert np.isfinite(dn.tableau(dn.compile(sampler, levels, prediction))).all()
