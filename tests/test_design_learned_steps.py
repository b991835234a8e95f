"""Alignment, USF and its search, bespoke solvers: what they contain, what one number per step makes exact."""

from itertools import pairwise, product

import numpy as np
import pytest
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
from diffnum.design import learned as L
from diffnum.design.learned import bespoke, usf
from diffnum.design.learned.evolution import _shifted
from diffnum.design.learned.taylor import RELAXATIONS, Taylor, ahead, bh1, bh2, half, one, plain
from diffnum.design.learned.usf import Corrector, Step
from diffnum.measure import warm_slope
from diffnum.num import phi
from diffnum.order import prove
from diffnum.plan import Eval
from diffnum.solvers.coords import ANGLE, DATA, LOG_SNR, NOISE, RATIO
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
    for relax in RELAXATIONS:
        assert np.isclose(float(relax(1e-9)), 1.0, atol=1e-6)
    assert np.isclose(bh1(0.3) * 2 * phi(2, 0.3), 1.0)


def decided(order, choose):
    """A sampler of ``choose(levels)``, whose claim is ``order``."""

    def build(T, levels):
        L.strategy.build(T, levels, steps=choose(levels))

    return named("decided", build, "", order=order, cold=min(order, 2), cite="")


@pytest.mark.parametrize("coords", [DATA, pytest.param(NOISE, marks=pytest.mark.full), RATIO], ids=lambda c: c.name)
@pytest.mark.parametrize("order", [2, pytest.param(3, marks=pytest.mark.full), pytest.param(4, marks=pytest.mark.full)])
def test_decisions_of_an_order_with_as_many_evaluations_have_it(order, coords):
    solver = decided(order, lambda levels: usf.multistep_steps(levels, coords, order))

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


@pytest.mark.parametrize("levels", LEVELS, ids=["log-SNR", "to the clean level", "from pure noise"])
def test_presets_are_the_samplers_of_their_names(levels):
    for name, steps in L.presets(levels).items():
        assert dn.distance(L.Decisions(levels, steps).plan(), dn.compile(name, levels)) < 1e-13, name


@pytest.mark.parametrize("levels", LEVELS, ids=["log-SNR", "to the clean level", "from pure noise"])
def test_a_first_step_without_a_call_is_the_guess_of_its_quantity_in_every_variable(levels):
    """Of data that are all zero the state is nothing but noise, and the guess is the truth."""
    law = dn.Gaussian([0.0, 0.0], [1e-12, 1e-12])
    x = law.sample(4, 0, levels[0])
    for coords in usf.VARIABLES:
        plan, asked = (dn.compile(L.strategy, levels, steps=(Step(coords),) * 6, analytic=a) for a in (True, False))
        assert (plan.nfe, asked.nfe) == (5, 6)
        np.testing.assert_allclose(dn.sample(plan, law, x), dn.sample(asked, law, x), atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("coords", usf.VARIABLES, ids=lambda c: c.name)
def test_the_order_is_proved_in_every_variable_and_a_corrector_adds_one(coords, order):
    assert prove(decided(order, lambda levels: usf.multistep_steps(levels, coords, order))).order == order
    assert prove(decided(order + 1, lambda levels: usf.corrected_steps(levels, coords, order))).order == order + 1


@pytest.mark.parametrize("order", [2, 3])
def test_the_order_is_kept_where_variables_take_turns(order):
    def choose(levels):
        lists = [usf.multistep_steps(levels, coords, order) for coords in usf.VARIABLES]
        return tuple(lists[i % len(lists)][i] for i in range(len(levels.h)))

    assert prove(decided(order, choose), highest=order + 1).order == order


def test_relaxations_are_one_without_a_linear_part():
    assert [relax(0.0) for relax in RELAXATIONS] == [1.0] * len(RELAXATIONS)


SMALL = (DATA, RATIO, ANGLE)


def enumerated(trajectories, grids, variables):
    """The least error of all lists of steps of orders one and two in some variables."""
    found = []
    for levels in grids:
        each = [
            [Step(coords, plain(k)) for coords in variables for k in range(1, min(i + 1, 2) + 1)]
            for i in range(len(levels.h))
        ]
        found += [trajectories.error(L.Decisions(levels, steps).plan()) for steps in product(*each)]
    return min(found)


def test_the_search_finds_what_enumeration_of_a_small_space_finds():
    train = mixture_trajectories(24, 0)
    grids = [dn.grid.karras(PROCESS, 3, START, STOP), grid(3)]
    least = enumerated(train, grids, SMALL)
    assert L.evolve(train, grids, space=L.Space(SMALL, shift=0.0), population=16, generations=12).loss[-1] <= least
    # what is enumerated has a use for the other variables and for the other grid
    assert least < min(enumerated(train, grids, [DATA]), enumerated(train, grids[:1], SMALL))


def test_a_search_that_begins_where_that_of_a_smaller_space_ended_is_never_worse():
    train, levels = mixture_trajectories(24, 0), grid(4)
    sizes = {"population": 8, "generations": 4}
    small = L.evolve(train, levels, space=L.Space((DATA, NOISE), shift=0.0), **sizes)
    known = L.Decisions(small.grid, **dict(small.solver.options))
    assert small.grid == levels
    assert {step.coords for step in known.steps} <= {DATA, NOISE}
    large = L.evolve(train, levels, known=[known], population=8, generations=12)
    assert large.loss[0] <= small.loss[-1]
    assert large.loss[-1] < small.loss[-1]
    assert (large.grid[0], large.grid[-1], large.grid.steps) == (levels[0], levels[-1], 4)


def test_in_a_variable_without_presets_the_search_begins_at_its_first_order():
    found = L.evolve(mixture_trajectories(24, 0), grid(4), space=L.Space((LOG_SNR,), 0.0), population=4, generations=4)
    assert {step.coords for step in dict(found.solver.options)["steps"]} == {LOG_SNR}
    assert found.loss[-1] < found.loss[0]


@pytest.mark.parametrize("end", ["stop", "zero", "denoise"])
@pytest.mark.parametrize("process", [dn.VP(), dn.Flow(), dn.EDM()], ids=lambda p: p.name)
def test_moved_levels_make_a_grid_with_the_same_ends(process, end):
    levels, rng = dn.grid.uniform(process, 4, end=end), np.random.default_rng(0)
    moved = levels
    for _ in range(50):
        moved = _shifted(moved, 0.9, rng)
    assert (moved[0], moved[-1], moved.end) == (levels[0], levels[-1], end)
    assert all(a != b for a, b in zip(moved[1:-1], levels[1:-1], strict=True))
    assert all(h > 0 for h in moved.h)


@pytest.mark.parametrize(("more", "said"), [
    ({"population": 1}, "breeds nothing"), ({"grids": []}, "no levels"), ({"nfe": 2}, "pays for no known"),
])  # fmt: skip
def test_searches_that_cannot_begin_are_refused(more, said):
    with pytest.raises(ValueError, match=said):
        L.evolve(mixture_trajectories(24, 0), **{"grids": grid(4), **more})


def test_spaces_that_are_none_are_refused():
    with pytest.raises(ValueError, match="nothing to take a step in"):
        L.Space(())
    with pytest.raises(ValueError, match="no share of the way"):
        L.Space(shift=1.0)


@pytest.mark.parametrize("grids", [1, 3])
def test_evolved_decisions_are_no_worse_than_presets_and_cost_as_much(grids):
    begun = [grid(6), dn.grid.karras(PROCESS, 6, START, STOP), grid(7)][:grids]
    train, judge, test = (mixture_trajectories(48, seed) for seed in (0, 1, 2))
    found = L.evolve(train, begun, population=12, generations=5, judge=judge)
    known = [L.Decisions(levels, s, levels.steps > 6).plan() for levels in begun for s in L.presets(levels).values()]
    assert {plan.nfe for plan in known} == {6}
    assert found.plan().nfe <= 6
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
def test_learned_numbers_beat_the_method_they_start_from_on_points_and_a_law_that_no_fit_saw(fit):
    levels, train = grid(5), mixture_trajectories(48, 0)
    found = fit(train, levels, iterations=8)
    start = dn.compile(found.solver.with_options(**dict.fromkeys(dict(found.solver.options))), levels)
    assert found.loss[-1] == pytest.approx(train.error(found.plan()))
    assert found.loss[-1] < train.error(start) / 2
    for unseen in (mixture_trajectories(48, 1), other_trajectories(48, 3)):
        assert unseen.error(found.plan()) < 0.8 * unseen.error(start)
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
