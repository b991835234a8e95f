"""Alignment, USF and its search, bespoke solvers: what they contain, what one number per step makes exact."""

from itertools import pairwise

import numpy as np
import pytest
from learned_cases import PROCESS, START, STOP, gaussian_trajectories, grid, mixture_trajectories, readable

import diffnum as dn
from diffnum.design import learned as L
from diffnum.design.learned import bespoke, usf
from diffnum.design.learned.usf import Corrector, Step, Taylor, ahead, bh1, bh2, half, one, plain
from diffnum.measure import warm_slope
from diffnum.num import phi
from diffnum.plan import Eval
from diffnum.solvers.coords import DATA, NOISE
from diffnum.solvers.rules import named, predictor_corrector
from diffnum.solvers.singlestep import grouped


def times_told(plan):
    return [line.level.t for line in plan.lines if isinstance(line, Eval)]


# --- alignment ---


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc_3"])
def test_ratios_of_one_leave_a_plan_as_it_is(name):
    plan = dn.compile(name, grid(5), "noise")
    assert L.aligned(plan, [1.0] * 5).hash == plan.hash


def test_ratios_are_of_the_times_that_the_network_is_told():
    plan = dn.compile("ddim", grid(3), "noise")
    told = times_told(L.aligned(plan, [1.0, 0.9, 10.0]))
    np.testing.assert_allclose(told, [plan.levels[0].t, 0.9 * plan.levels[1].t, PROCESS.t_start])


@pytest.mark.parametrize("variance", [0.05, 0.4, 1.0, 3.0])
def test_one_time_makes_a_step_of_ddim_exact_for_an_isotropic_gaussian(variance):
    law, levels = dn.Gaussian(np.zeros(3), np.full(3, variance)), grid(12)
    x = law.sample(5, 0, START)
    plan = dn.compile("ddim", levels, "noise")
    ratios = [L.isotropic_level(PROCESS, s, t, variance).t / s.t for s, t in pairwise(levels)]
    exact = law.flow(x, START, STOP)
    np.testing.assert_allclose(dn.sample(L.aligned(plan, ratios), law, x), exact, atol=1e-12)
    assert abs(dn.sample(plan, law, x) - exact).max() > 1e-3 or variance == 1.0


def test_the_search_finds_the_closed_form():
    levels = grid(12)
    plan = L.align(dn.compile("ddim", levels, "noise"), gaussian_trajectories([3.0] * 3, n=4))
    closed = [L.isotropic_level(PROCESS, s, t, 3.0).t for s, t in pairwise(levels)]
    np.testing.assert_allclose(times_told(plan), closed, rtol=1e-6)


def test_alignment_brings_unseen_points_nearer():
    plan, test = dn.compile("ddim", grid(4), "noise"), mixture_trajectories(48, 1)
    found = L.align(plan, mixture_trajectories(48, 0))
    assert test.error(found) < test.error(plan)
    assert readable(found)


def test_the_loss_of_the_reference_code_is_lowered_step_by_step():
    trajectories = mixture_trajectories(48, 0)
    plan = dn.compile("ddim", grid(4), "noise")
    found = L.align_coded(plan, trajectories)

    def loss(plan):
        states = dn.sample(plan, trajectories.target, trajectories.x, keep="states")
        noises = [trajectories.target.noise_prediction(x, level) for x, level in zip(states, plan.levels, strict=True)]
        return ((noises[1] - noises[0]) ** 2).sum()

    assert loss(found) < loss(plan)
    assert times_told(found)[-1] == plan.levels[-2].t


def test_alignment_refuses_what_it_would_change():
    with pytest.raises(ValueError, match="for noise networks"):
        L.aligned(dn.compile("ddim", grid(3)), [1.0] * 3)
    with pytest.raises(ValueError, match="one per evaluation"):
        L.aligned(dn.compile("ddim", grid(3), "noise"), [1.0])
    with pytest.raises(ValueError, match="needs one in each step"):
        L.align(dn.compile("heun", grid(3), "noise"), mixture_trajectories(48, 0))
    with pytest.raises(ValueError, match="does not preserve variance"):
        L.isotropic_level(dn.EDM(), dn.EDM().level(1.0), dn.EDM().level(0.5), 1.0)


# --- USF ---

LEVELS = [grid(6), dn.grid.uniform(PROCESS, 6, end="zero"), dn.grid.uniform(dn.Flow(), 6)]
PUBLISHED = {
    "ddim": lambda g: (Step(),) * 6,
    "dpmpp_2m": lambda g: usf.multistep_steps(g, DATA, 2, (plain(1), plain(2, (bh2,)))),
    "dpm_2m": lambda g: usf.multistep_steps(g, NOISE, 2, (plain(1), plain(2, (bh2,)))),
    "dpmpp_3m": lambda g: usf.multistep_steps(
        g, DATA, 3, (plain(1), plain(2, (bh2,)), plain(3, (one, half)))
    ),
    "dpmpp_3m_corrected": lambda g: usf.multistep_steps(g, DATA, 3, (plain(1), plain(2, (bh2,)))),
    "exp_ab2_noise": lambda g: usf.multistep_steps(g, NOISE, 2),
    "exp_ab4_noise": lambda g: usf.multistep_steps(g, NOISE, 4),
    "unipc_1": lambda g: usf.corrected_steps(g, DATA, 1),
    "unipc_2": lambda g: usf.corrected_steps(g, DATA, 2),
    "unipc_3": lambda g: usf.corrected_steps(g, DATA, 3),
    "unipc_3_noise": lambda g: usf.corrected_steps(g, NOISE, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("levels", LEVELS, ids=["log-SNR", "to the clean level", "from pure noise"])
def test_decisions_write_published_samplers(name, levels):
    plan = dn.compile(L.strategy, levels, steps=PUBLISHED[name](levels))
    assert dn.distance(plan, dn.compile(name, levels)) < 1e-13
    assert plan.nfe == 6


@pytest.mark.parametrize(("name", "steps"), [
    ("dpmpp_singlestep_2", usf.dpm_solver_2_steps), ("dpmpp_singlestep_3", usf.dpm_solver_3_steps),
])  # fmt: skip
def test_decisions_write_single_steps_on_levels_within(name, steps):
    levels = dn.grid.uniform(PROCESS, 6)
    size = int(name[-1])
    plan = dn.compile(L.strategy, levels, steps=steps(levels, DATA))
    assert dn.distance(plan, dn.compile(name, grouped(levels, [size] * (6 // size)), nfe=6)) < 1e-13


def test_an_implicit_corrector_calls_again_and_an_analytic_first_step_does_not():
    levels = grid(5)
    steps = tuple(Step(DATA, plain(k), 0, Corrector(ahead(k + 1), again=True)) for k in (1, 2, 2, 2, 2))
    pece = named("pece", predictor_corrector(DATA, 2, again=True), "", order=3, cold=3, cite="")
    plan = dn.compile(L.strategy, levels, steps=steps)
    assert dn.distance(plan, dn.compile(pece, levels)) < 1e-13
    assert plan.nfe == 9
    analytic = dn.compile(L.strategy, levels, steps=steps, analytic=True)
    assert analytic.nfe == 8
    x = np.ones((1, 1))
    found, expected = (
        dn.sample(p, lambda x, level: 0 * x, x, keep="states")[1]
        for p in (dn.compile(L.strategy, levels, analytic=True), dn.compile("ddim", levels))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_relaxations_tend_to_one():
    for relax in usf.RELAXATIONS:
        assert np.isclose(float(relax(1e-9)), 1.0, atol=1e-6)
    assert np.isclose(bh1(0.3) * 2 * phi(2, 0.3), 1.0)


@pytest.mark.parametrize("coords", [DATA, NOISE], ids=["data", "noise"])
@pytest.mark.parametrize("order", [2, pytest.param(3, marks=pytest.mark.full), pytest.param(4, marks=pytest.mark.full)])
def test_decisions_of_an_order_with_as_many_evaluations_have_it(order, coords):
    def decided(T, levels):
        L.strategy.build(T, levels, steps=usf.multistep_steps(levels, coords, order))

    solver = named("decided", decided, "", order=order, cold=2, cite="")

    def plans(process, levels_of, n):
        return dn.compile(solver, levels_of(process, n))

    assert warm_slope(solver, plans, PROCESS, "non-linear", "alternating", "equal").holds(order)


def test_decisions_that_cannot_be_taken_are_refused():
    with pytest.raises(ValueError, match="starts 2 levels back"):
        dn.compile(L.strategy, grid(3), steps=(Step(back=2),) * 3)
    with pytest.raises(ValueError, match="derivative 2 from"):
        Taylor(((0,), (0,)))
    with pytest.raises(ValueError, match="2 decisions for 3 steps"):
        dn.compile(L.strategy, grid(3), steps=(Step(),) * 2)
    with pytest.raises(ValueError, match="no groups of 2"):
        usf.dpm_solver_2_steps(grid(3))


def test_evolved_decisions_are_no_worse_than_presets_and_cost_as_much():
    levels = grid(6)
    train, judge, test = (mixture_trajectories(48, seed) for seed in (0, 1, 2))
    found = L.evolve(train, levels, population=12, generations=5, judge=judge)
    known = [dn.compile(L.strategy, levels, steps=steps) for steps in L.presets(levels).values()]
    assert found.plan().nfe == 6
    assert found.loss[-1] <= min(map(train.error, known))
    assert judge.error(found.plan()) <= min(map(judge.error, known))
    assert test.error(found.plan()) <= min(map(test.error, known))
    assert readable(found.plan())
    assert all(b <= a for a, b in pairwise(found.loss))


# --- bespoke solvers ---


def test_defaults_are_euler_and_adams_bashforth():
    levels = grid(5)
    for solver, base in ((L.bespoke_euler, "euler"), (L.non_stationary, "euler"), (L.s4s, "exp_ab2")):
        assert dn.distance(dn.compile(solver, levels), dn.compile(base, levels)) < 1e-14


def test_ddim_is_a_bespoke_euler_method():
    levels = grid(5)
    scales, scale_rates, time_rates = [], [], []
    for s, t in pairwise(levels):
        da, ds = PROCESS.rates(s)
        a = da / s.alpha
        b = ds - a * s.sigma
        scale = levels[0].alpha / s.alpha
        moved = (t.sigma / t.alpha - s.sigma / s.alpha) * s.alpha / b
        dt = PROCESS.clock(t) - PROCESS.clock(s)
        scales.append(levels[0].alpha / t.alpha)
        scale_rates.append(-moved * a * scale)
        time_rates.append(moved / dt)
    plan = dn.compile(L.bespoke_euler, levels, scales=scales, scale_rates=scale_rates, time_rates=time_rates)
    assert dn.distance(plan, dn.compile("ddim", levels)) < 1e-13


@pytest.mark.parametrize("fit", [L.fit_bespoke, L.fit_non_stationary, L.fit_s4s], ids=lambda f: f.__name__)
def test_learned_numbers_beat_the_method_they_start_from(fit):
    levels, train = grid(3), mixture_trajectories(48, 0)
    found = fit(train, levels, iterations=8)
    start = dn.compile(found.solver.with_options(**dict.fromkeys(dict(found.solver.options))), levels)
    assert found.loss[-1] < train.error(start)
    assert readable(found.plan())


def test_relaxed_starts_stay_within_their_radius():
    import torch

    end = torch.tensor([[3.0, 4.0], [0.1, 0.0]], dtype=torch.float64)
    found = bespoke._nearest_starts(lambda o: 1.0 * o, end, torch.zeros_like(end), 1.0)
    np.testing.assert_allclose(found.numpy(), [[0.6, 0.8], [0.1, 0.0]], atol=1e-6)


@pytest.mark.full
def test_a_relaxed_goal_is_met_at_least_as_well():
    import torch

    levels, train = grid(3), mixture_trajectories(48, 0)
    plain, relaxed = (L.fit_s4s(train, levels, radius=r, rounds=2, iterations=8) for r in (0.0, 0.05))
    x, end = torch.tensor(train.at(levels.levels[0])), torch.tensor(train.end)

    def missed(found, reach):
        def output(moved):
            return dn.sample(found.plan(), train.target, x + moved)

        moved = bespoke._nearest_starts(output, end, torch.zeros_like(x), reach)
        return float(((output(moved) - end) ** 2).sum(-1).mean().sqrt())

    reach = 0.05 * levels.levels[0].sigma * x.shape[1] ** 0.5
    assert missed(plain, 0.0) == pytest.approx(plain.loss[-1], rel=1e-6)
    assert missed(relaxed, reach) < plain.loss[-1]


NUMBERS = np.random.default_rng(0).uniform(0.9, 1.1, size=(6, 6))
LEARNED = {
    "searched_vp": L.searched_vp.with_options(rows=[row[:i] for i, row in enumerate(NUMBERS)]),
    "searched_flow": L.searched_flow.with_options(rows=[row[:i] - 1 for i, row in enumerate(NUMBERS)]),
    "d_ddim": L.d_ddim.with_options(shares=NUMBERS[0]),
    "d_dpmpp_2m": L.d_dpmpp_2m.with_options(shares=NUMBERS[1]),
    "dc_solver_2": L.dc_solver_2.with_options(ratios=NUMBERS[2]),
    "strategy": L.strategy.with_options(
        steps=[Step(NOISE if i % 2 else DATA, plain(min(i + 1, 3), (bh1,)), i // 4) for i in range(6)]
    ),
    "bespoke_euler": L.bespoke_euler.with_options(scales=NUMBERS[3], time_rates=NUMBERS[4]),
    "s4s": L.s4s.with_options(rows=[[0.6, 0.2][: i + 1] for i in range(6)]),
}


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("levels", LEVELS, ids=["log-SNR", "to the clean level", "from pure noise"])
def test_learned_numbers_mean_the_same_for_every_prediction(name, levels):
    law = dn.Gaussian([0.3, -0.5], [0.8, 0.1])
    x = law.sample(3, 0, levels[0])
    predictions = ("data", "velocity") if levels[0].pure_noise else ("data", "velocity", "noise")
    found = [dn.sample(dn.compile(LEARNED[name], levels, p), law, x) for p in predictions]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-9, atol=1e-9)
