"""Solver search, D-ODE and DC-Solver: what they contain, what they reach, what one number can do."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learned_cases import PROCESS, START, STOP, gaussian_trajectories, grid, mixture_trajectories, readable
from scipy.optimize import brentq

import diffnum as dn
from diffnum.design import Trajectories
from diffnum.design import learned as L
from diffnum.design.learned.fitting import projection, state_after
from diffnum.measure import measured, path_errors
from diffnum.solvers import ALL
from diffnum.trace import Solver
from diffnum.witness import COUNTS, LOW, Run, nonlinear, norm, uniform

# --- solver search ---


@pytest.mark.parametrize(("solver", "stem"), [(L.searched_flow, "ab"), (L.searched_vp, "snr_ab")], ids=str)
@pytest.mark.parametrize("points", [2, 3])
def test_adams_rows_make_the_searched_sampler_adams_bashforth(solver, stem, points):
    levels = dn.grid.uniform(PROCESS, 7)
    plan = dn.compile(solver.with_options(rows=L.adams_rows(solver, levels, points)), levels)
    assert dn.distance(plan, dn.compile(f"{stem}{points}", levels)) < 1e-14


def test_rows_of_four_points_are_ab4():
    levels = dn.grid.uniform(PROCESS, 7)
    plan = dn.compile(L.searched_flow.with_options(rows=L.adams_rows(L.searched_flow, levels, 4)), levels)
    assert dn.distance(plan, dn.compile("ab4", levels)) < 1e-14


def test_on_equal_steps_it_is_ab2_bit_by_bit():
    levels = dn.grid.custom(dn.Flow(), times=[1 - i / 8 for i in range(8)])
    plan = dn.compile(L.searched_flow.with_options(rows=L.adams_rows(L.searched_flow, levels, 2)), levels)
    assert plan.hash == dn.compile("ab2", levels).hash


@settings(max_examples=20)
@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.floats(-2, 2))
def test_constant_data_are_integrated_exactly_whatever_is_learned(weights, data):
    rows = ((), weights[:1], weights[1:3], weights[3:])
    plan = dn.compile(L.searched_vp.with_options(rows=rows), grid(4))
    x = np.array([[0.3], [-1.7]])
    exact = dn.Gaussian([data], [0.0]).flow(x, START, STOP)
    np.testing.assert_allclose(dn.sample(plan, lambda x, level: 0 * x + data, x), exact, atol=1e-11)


def test_rows_of_another_number_of_steps_are_refused():
    with pytest.raises(ValueError, match="do not fit 4 steps"):
        dn.compile(L.searched_vp.with_options(rows=((), (1.0,))), grid(4))
    with pytest.raises(ValueError, match="has no rows to learn"):
        L.adams_rows(ALL["ab2"], grid(4), 2)


@pytest.mark.parametrize("solver", [pytest.param(L.searched_flow, marks=pytest.mark.full), L.searched_vp], ids=str)
def test_two_variances_are_reached_exactly(solver):
    trajectories = gaussian_trajectories([2.0, 0.1], n=6, stop=STOP)
    found = L.search_solver(solver, trajectories, grid(3), iterations=40)
    assert found.loss[-1] < 1e-10
    assert readable(found.plan())
    unseen = gaussian_trajectories([2.0, 0.1], seed=1, stop=STOP)
    assert unseen.error(found.plan()) < 1e-10


def test_searched_weights_beat_hand_made_ones_on_unseen_points():
    levels = grid(5)
    train, test = mixture_trajectories(48, 0), mixture_trajectories(48, 1)
    found = L.search_solver(L.searched_vp, train, levels, iterations=15)
    hand_made = ("euler", "ab2", "snr_ab2", "ddim", "dpmpp_2m", "dpmpp_3m")
    assert test.error(found.plan()) < min(test.error(dn.compile(name, levels)) for name in hand_made)
    assert np.isclose(found.loss[-1], train.error(found.plan()))


def test_times_start_where_the_grid_is_and_gain_on_the_weights_alone():
    train, levels = mixture_trajectories(48, 0), grid(3)
    weights = L.search_solver(L.searched_vp, train, levels, iterations=8)
    both = L.search_times(L.searched_vp, train, levels, iterations=8)
    assert both.loss[-1] < weights.loss[-1]
    assert (both.grid[0], both.grid[-1]) == (levels[0], levels[-1])
    assert readable(both.plan("noise"))


@pytest.mark.parametrize("end", ["stop", "zero", "denoise"])
def test_times_are_a_softmax(end):
    levels = dn.grid.uniform(PROCESS, 5, START, STOP, end)
    noisy = [level.t for level in levels if not level.clean]
    spans = np.log(-np.diff(noisy))
    for r in (spans, spans + 3.0):
        again = L.searched_times(levels, r.tolist())
        np.testing.assert_allclose([a.t for a in again], [a.t for a in levels], rtol=1e-13, atol=1e-15)
        assert again.end == levels.end


# --- D-ODE ---

BASES = {"d_ddim": "ddim", "d_ddim_data": "ddim", "d_ipndm_4": "ipndm_4", "d_deis_rhoab_3": "deis_rhoab_3",
         "d_dpmpp_2m": "dpmpp_2m"}  # fmt: skip


@pytest.mark.parametrize(("name", "base"), BASES.items())
@pytest.mark.parametrize("levels", [grid(5), dn.grid.uniform(PROCESS, 5, end="zero"), dn.grid.uniform(dn.Flow(), 5)])
def test_without_shares_it_is_its_base(name, base, levels):
    assert dn.distance(dn.compile(getattr(L, name), levels), dn.compile(base, levels)) < 1e-13


def test_half_the_ratio_of_the_steps_is_adams_bashforth():
    levels = dn.grid.uniform(PROCESS, 6)
    ratios = [level.sigma / level.alpha for level in levels]
    steps = np.diff(ratios)
    shares = (0.0, *(float(b / a) / 2 for a, b in pairwise(steps)))
    assert dn.distance(
        dn.compile(L.d_ddim.with_options(shares=shares), levels), dn.compile("deis_rhoab_2", levels)
    ) < 1e-13  # fmt: skip


@pytest.mark.parametrize("solver", [L.d_ddim, L.d_ipndm_4, L.d_deis_rhoab_3], ids=str)
def test_an_isotropic_gaussian_is_exact_with_one_number_per_step(solver):
    found = L.distill(solver, gaussian_trajectories([0.3] * 3, n=4), grid(5))
    assert max(found.loss) < 1e-12
    unseen = gaussian_trajectories([0.3] * 3, seed=1)
    exact = unseen.target.flow(unseen.x, START, STOP)
    np.testing.assert_allclose(unseen.outputs(found.plan()), exact, atol=1e-12)
    assert readable(found.plan())


def test_with_two_variances_the_residual_is_that_of_least_squares():
    trajectories, levels = gaussian_trajectories([2.0, 0.1]), grid(3)
    found = L.distill(L.d_ddim, trajectories, levels)
    s, t = levels[:2]
    q = t.alpha / s.alpha
    gain = t.sigma - q * s.sigma
    noise = trajectories.target.noise_prediction(trajectories.x, s)
    direction = gain * (noise - trajectories.x)
    miss = trajectories.at(t) - q * trajectories.x - gain * noise
    share = (direction * miss).sum() / (direction**2).sum()
    residual = (miss**2).sum() - (direction * miss).sum() ** 2 / (direction**2).sum()
    assert np.isclose(dict(found.solver.options)["shares"][0], share, rtol=1e-10)
    assert np.isclose(found.loss[0] ** 2, residual / len(trajectories), rtol=1e-8)
    assert found.loss[0] > 1e-3


@pytest.mark.parametrize("name", ["d_ddim", "d_ddim_data"])
def test_distilled_shares_beat_their_base_on_unseen_points(name):
    levels, test = grid(5), mixture_trajectories(48, 1)
    found = L.distill(getattr(L, name), mixture_trajectories(48, 0), levels)
    assert test.error(found.plan()) < test.error(dn.compile(BASES[name], levels))


@pytest.mark.parametrize("levels", [grid(4), dn.grid.karras(dn.EDM(), 4, end="zero")], ids=["stop", "zero"])
def test_heun_with_shares_is_exact_for_an_isotropic_gaussian_until_it_has_nothing_to_move_along(levels):
    assert dn.distance(dn.compile(L.d_edm, levels), dn.compile("rho_heun", levels)) < 1e-13
    trajectories = gaussian_trajectories([0.3] * 3, n=4, start=levels[0])
    found = L.distill_edm(trajectories, levels)
    # the first stage has no past; the fifth differs from the exact one before it by nothing
    assert max(found.loss[1:4]) < 1e-12 * levels[0].sigma
    shares = dict(found.solver.options)["shares"]
    assert shares[0] == shares[4] == 0
    assert all(shares[1:4])
    assert readable(found.plan())


def test_heun_with_shares_beats_heun_on_unseen_points():
    levels, test = grid(3), mixture_trajectories(48, 1)
    found = L.distill_edm(mixture_trajectories(48, 0), levels)
    assert test.error(found.plan()) < test.error(dn.compile(L.d_edm, levels))


def test_the_teacher_of_the_reference_code_is_at_noisier_levels():
    n, scale = 5, 10
    student = dn.grid.karras(dn.EDM(), n - 1)
    teacher = dn.grid.karras(dn.EDM(), scale * n - 1)
    compared = [(teacher[scale * i].sigma, student[i].sigma) for i in range(1, n)]
    assert all(a > b for a, b in compared)


def test_a_projection_of_nothing_is_nothing():
    x = np.ones((2, 2))
    assert projection(x, x, 3 * x) == 0
    with pytest.raises(ValueError, match="2 shares for 4 steps"):
        dn.compile(L.d_ddim.with_options(shares=(0.1, 0.2)), grid(4))


# --- DC-Solver ---


@pytest.mark.parametrize(("solver", "base"), [(L.dc_solver_2, "unipc_2"), (L.dc_solver_3, "unipc_3")], ids=str)
@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("levels", [grid(6), dn.grid.uniform(PROCESS, 6, end="zero"), dn.grid.karras(dn.EDM(), 6)])
def test_ratios_of_one_are_unipc_bit_by_bit(solver, base, prediction, levels):
    assert dn.compile(solver, levels, prediction).hash == dn.compile(base, levels, prediction).hash


def test_no_step_is_further_than_with_a_ratio_of_one():
    trajectories, levels = mixture_trajectories(48, 0), grid(5)
    found = L.compensate(L.dc_solver_2, trajectories, levels)
    ratios = dict(found.solver.options)["ratios"]
    for i in range(2, 5):
        plain = dn.compile(L.dc_solver_2, levels, ratios=[*ratios[:i], 1.0, *ratios[i + 1 :]])
        state = state_after(plain, trajectories.target, trajectories.x, i + 1)
        miss = np.sqrt(((state - trajectories.at(levels[i + 1])) ** 2).sum(-1).mean())
        assert found.loss[i] <= miss
    assert readable(found.plan())


def test_an_isotropic_gaussian_gives_the_root_of_a_scalar_equation():
    trajectories, levels = gaussian_trajectories([0.3] * 3, n=4), grid(6)
    ratios = dict(L.compensate(L.dc_solver_2, trajectories, levels).solver.options)["ratios"]
    line, one = dn.Gaussian([0.0], [0.3]), np.ones((1, 1))
    step = 2

    def miss(ratio):
        plan = dn.compile(L.dc_solver_2, levels, ratios=[1.0, 1.0, ratio, 1.0, 1.0, 1.0])
        return float((state_after(plan, line, one, step + 1) - line.flow(one, START, levels[step + 1]))[0, 0])

    assert np.isclose(ratios[step], brentq(miss, 0.5, 1.5, xtol=1e-13), atol=1e-7)


@pytest.mark.parametrize(("power", "order"), [(2, 3), (None, 1)], ids=["1 + h^2", "1.1"])
def test_ratios_that_tend_to_one_keep_the_order_and_fixed_ones_do_not(power, order):
    run = Run.of(nonlinear(), PROCESS.at(LOW))

    def plan(n):
        ratio = 1.1 if power is None else 1 + (4 / n) ** power
        return dn.compile(L.dc_solver_2, uniform(PROCESS, n), ratios=[ratio] * n)

    errors = [norm(path_errors(plan(n), run, True)) for n in COUNTS]
    assert measured(errors, COUNTS, "non-linear", "uniform", PROCESS.name, "warm", "equal").holds(order)


def test_a_ratio_above_four_thirds_kept_for_all_steps_is_unstable():
    def largest(ratio, n):
        levels = dn.grid.uniform(PROCESS, n, START, STOP)
        return np.abs(dn.tableau(dn.compile(L.dc_solver_2, levels, ratios=[ratio] * n))).max()

    assert largest(1.30, 60) < 10 * largest(1.30, 30)
    assert largest(1.37, 60) > 10 * largest(1.37, 30)


def test_a_cascade_predicts_steps_and_scales_that_were_not_searched():
    truth = L.Cascade(np.random.default_rng(0).normal(size=(3, 3, 3)))
    searched = {(s, n): truth.predict(s, n) for s in (1.0, 5.0, 9.0) for n in (5, 10, 20, 40)}
    found = L.Cascade.fit(searched, degree=2)
    for scale, n in ((3.0, 7), (7.5, 10)):
        np.testing.assert_allclose(found.predict(scale, n), truth.predict(scale, n), rtol=1e-6)
    assert truth.predict(1.0, 5)[:2] == (1.0, 1.0)
    with pytest.raises(ValueError, match="give one per step"):
        L.Cascade.fit({(1.0, 5): (1.0, 1.0)})


def test_a_cascade_of_one_scale_predicts_it():
    ratios = {(1.0, n): (1.0, 1.0, *(1 + 0.1 * i / n for i in range(3, n + 1))) for n in (5, 8, 12)}
    np.testing.assert_allclose(
        L.Cascade.fit(ratios).predict(1.0, 10)[2:], [1 + 0.01 * i for i in range(3, 11)], rtol=1e-6
    )


@pytest.mark.full
def test_a_cascade_serves_a_guidance_scale_and_a_number_of_steps_that_were_not_searched():
    family = dn.Conditional(tuple(dn.Gaussian(m, [0.08, 0.05]) for m in ([1.0, 0.0], [-1.0, 0.5], [0.0, -1.2])))

    def guided(scale, seed):
        return Trajectories.draw(L.Guided(family, 0, scale), START, 16, seed=seed, tol=1e-5)

    searched = {}
    for scale in (1.0, 3.0, 6.0):
        trajectories = guided(scale, 0)
        for n in (5, 6, 8, 10):
            found = L.compensate(L.dc_solver_2, trajectories, grid(n))
            searched[scale, n] = dict(found.solver.options)["ratios"]
    predicted = L.Cascade.fit(searched).predict(4.5, 7)
    test = guided(4.5, 1)
    compensated = dn.compile(L.dc_solver_2, grid(7), ratios=predicted)
    assert test.error(compensated) < test.error(dn.compile("unipc_2", grid(7)))


def test_a_guided_law_of_scale_one_is_its_class():
    family = dn.Conditional((dn.Gaussian([1.0], [0.1]), dn.Gaussian([-1.0], [0.3])))
    law, x = L.Guided(family, 1, 1.0), np.array([[0.3], [-2.0]])
    np.testing.assert_allclose(law.denoise(x, START), family.given(1).denoise(x, START), atol=1e-14)
    np.testing.assert_allclose(law.flow(x, START, STOP, 1e-8), family.given(1).flow(x, START, STOP), atol=1e-7)


def test_learned_samplers_are_solvers():
    assert all(isinstance(member, Solver) for member in (L.searched_vp, L.d_ddim, L.dc_solver_2, L.strategy, L.s4s))
