"""Where a deterministic scheduler of diffusers is not the sampler of its name: known defects, by number, and more.

Numbers are those of the table of known defects in published samplers; a measured order is the slope of the exact error
on a Gaussian.
"""

import math

import numpy as np
import pytest
from peers import TOLERANCE, difference, distance, grid_of, orders_of, ours, rounding
from peers_rules import adams, corrected, inner_levels, lowered, plms, prk, remaining

from diffnum.plan import Eval, Lin
from diffnum.read.tableau import canonical
from diffnum.solvers import ALL
from diffnum.solvers.coords import DATA
from diffnum.solvers.corrected import UNIC_BH2
from diffnum.solvers.multistep import DPM_3M

pytest.importorskip("diffusers")

from peers_diffusers import made, run
from test_same_diffusers import (
    DDIM,
    DEIS,
    EDM_DPM,
    EULER,
    FIRST,
    FLOW_EULER,
    FLOW_HEUN,
    IPNDM,
    MULTISTEP,
    PLAIN,
    PNDM,
    SA,
    SA_CORRECT,
    SA_PREDICT,
    SINGLESTEP,
    UNIPC,
    geometric,
)


def still(tau=0):
    return lambda t: tau


# --- coefficients ---

THIRD = [
    (MULTISTEP, PLAIN, "dpmpp_3m"),
    (MULTISTEP, FIRST, "dpm_3m"),
    (EDM_DPM, {"lower_order_final": False}, "dpmpp_3m"),
]


@pytest.mark.parametrize("scheduler, settings, name", THIRD)
def test_b01_multistep_dpm_of_order_three_is_of_order_two(scheduler, settings, name):
    r = run(scheduler, 8, solver_order=3, **settings)
    assert distance(r.plan, ours(name, r.grid)) < TOLERANCE
    # the first step that has two points behind it is the first that is wrong
    apart = difference(r.plan, ours(f"{name}_corrected", r.grid))
    assert (apart.row, apart.column) == (3, 1)
    assert (ALL[name].order, ALL[f"{name}_corrected"].order) == (2, 3)


def test_b01_the_missing_factor_in_one_step():
    r = run(MULTISTEP, 3, solver_order=3, **PLAIN)
    s0, s1, s2, t = r.grid.levels
    rows = [canonical(plan).matrix[-1] for plan in (r.plan, ours("dpmpp_3m_corrected", r.grid))]
    h, h0, h1 = t.lam - s2.lam, s2.lam - s1.lam, s1.lam - s0.lam
    phi3 = (1 - h + h * h / 2 - math.exp(-h)) / h**3
    # the divided difference of second order over D_0, D_1, D_2; twice it is the second derivative
    second = np.array([1 / (h1 * (h0 + h1)), -1 / (h0 * h1), 1 / (h0 * (h0 + h1))])
    assert np.allclose(rows[1] - rows[0], [0, *(h**3 * phi3 * second)], rtol=1e-8, atol=1e-12)


def test_b28_ddim_on_linspace_steps_to_another_level_than_it_evaluates_at():
    r = run(DDIM, 8, clip_sample=False, timestep_spacing="linspace")
    apart = difference(r.plan, ours("ddim", r.grid))
    assert (apart.row, apart.column) == (1, 0)
    assert distance(r.plan, ours("ddim", r.grid)) > 0.1
    # it walks back by 1000 // n whatever the spacing: trailing has the same trouble where n does not divide 1000
    r = run(DDIM, 7, clip_sample=False, timestep_spacing="trailing")
    assert distance(r.plan, ours("ddim", r.grid)) > 0.01


@pytest.mark.parametrize("settings", [{"timestep_spacing": "linspace"}, {"timestep_spacing": "trailing"}])
def test_b28_pndm_too(settings):
    r = run(PNDM, 7, skip_prk_steps=True, set_alpha_to_one=True, **settings)
    apart = difference(r.plan, ours(plms, r.grid))
    assert (apart.row, apart.column) == (1, 0)


def table(n, low=-2.5, high=2.5):
    """Betas whose levels are equally spaced in log-SNR."""
    products = 1 / (1 + np.exp(-2 * np.linspace(high, low, n)))
    return (1 - products / np.array([1.0, *products[:-1]])).tolist()


@pytest.mark.parametrize("skip", [True, False])
def test_pndm_on_velocities_is_of_order_one(skip):
    """It combines velocities of several levels and converts the sum at one (huggingface/diffusers#14816)."""

    def plan(prediction):
        def make(n):
            betas = {"trained_betas": table(800), "num_train_timesteps": 800, "steps_offset": 800 // n - 1}
            return run(PNDM, n, skip_prk_steps=skip, prediction_type=prediction, **betas).plan

        return make

    steps = (20, 40, 80)
    assert np.allclose(orders_of(plan("epsilon"), steps), 2, atol=0.15)
    assert np.allclose(orders_of(plan("v_prediction"), steps), 1, atol=0.05)


def test_pndm_on_velocities_differs_from_its_first_combination_on():
    def made_of(prediction):
        return run(PNDM, 10, prediction_type=prediction, skip_prk_steps=True, set_alpha_to_one=True)

    noise, velocity = made_of("epsilon"), made_of("v_prediction")
    assert distance(noise.plan, ours(plms, noise.grid)) < TOLERANCE
    apart = difference(velocity.plan, noise.plan)
    # row 0 is the start, row 1 the first prediction, row 2 the state corrected with the mean of two outputs
    assert (apart.row, apart.column) == (2, 0)


def test_ipndm_from_pure_noise_forgets_the_first_data_prediction():
    r = run(IPNDM, 8)
    assert r.grid[0].pure_noise
    apart = difference(r.plan, ours("ipndm_4", r.grid))
    assert (apart.row, apart.column, apart.one) == (1, 1, 0.0)
    # x_1 = alpha_1 D + sigma_1 x_T: the coefficient of D in x_1 / alpha_1 is one
    assert apart.two == pytest.approx(1.0)


def test_ipndm_from_pure_noise_is_of_order_one():
    steps = (40, 80, 160)
    assert np.allclose(orders_of(lambda n: run(IPNDM, n).plan, steps), 1, atol=0.05)
    assert min(orders_of(lambda n: ours("ipndm_4", run(IPNDM, n).grid), steps)) > 1.9


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_predictor_of_another_scheduler_reads_old_noise_at_the_corrected_state(order):
    """``solver_p`` converts the noise that was predicted before the correction; data predictions need no conversion."""
    settings = {"solver_order": order, **PLAIN}
    with made(MULTISTEP, 8, **settings) as predictor:
        r = run(UNIPC, 8, solver_p=predictor, **settings)
    apart = difference(r.plan, ours(corrected(DATA, remaining(8, order, False), DPM_3M, UNIC_BH2), r.grid))
    assert (apart.row, apart.column) == (2, 1)


def test_a_singlestep_of_order_three_and_type_midpoint_is_not_the_published_one():
    """Its last stage is a step of order two and type midpoint, that of Lu et al. the one of type taylor. Both are of
    order three where log-SNR is equally spaced."""
    r = run(SINGLESTEP, 6, then=geometric, solver_order=3, **PLAIN)
    coarse = grid_of([level.sigma / level.alpha for level in r.grid][::3])
    apart = difference(r.plan, ours("dpmpp_3s", coarse))
    assert (apart.row, apart.column) == (2, 1)
    assert abs(apart.one) < 1e-12 < abs(apart.two)

    def make(n):
        return run(SINGLESTEP, n, then=geometric, solver_order=3, **PLAIN).plan

    assert np.allclose(orders_of(make, (48, 96, 192)), 3, atol=0.1)


# --- the ends of the grid ---


@pytest.mark.parametrize("settings", [{"use_karras_sigmas": True}, {"use_exponential_sigmas": True}])
def test_b31_deis_spends_its_last_evaluation_on_a_step_of_nothing(settings):
    r = run(DEIS, 10, solver_order=3, **settings)
    assert (r.idle, len(r.times), r.plan.nfe) == (0.0, 10, 9)


@pytest.mark.parametrize("settings", [{"skip_prk_steps": True}, {}])
def test_pndm_spends_its_last_evaluation_on_a_step_of_nothing(settings):
    r = run(PNDM, 10, **settings)
    assert r.idle == 0.0


@pytest.mark.parametrize("scheduler, more", [(DEIS, {}), (SA, {"tau_func": still()})])
@pytest.mark.parametrize("n", [4, 10])
def test_b30_flow_levels_end_at_one_nth(scheduler, more, n):
    r = run(scheduler, n, use_flow_sigmas=True, prediction_type="flow_prediction", **more)
    assert r.grid[-1].sigma == pytest.approx(0.999 / n, rel=1e-9)


@pytest.mark.parametrize(
    "settings", [{"use_karras_sigmas": True}, {"use_lu_lambdas": True}, {"use_exponential_sigmas": True}]
)
def test_b32_order_three_is_nan_where_the_last_level_is_repeated(settings):
    few, many = (
        run(MULTISTEP, n, "single", solver_order=3, final_sigmas_type="sigma_min", **settings) for n in (14, 15)
    )
    assert math.isnan(many.idle)
    # below fifteen steps its last step is of order one
    assert few.idle < 1e-6


def test_unipc_is_nan_where_the_last_level_is_repeated_and_the_order_kept():
    settings = {"solver_order": 3, "final_sigmas_type": "sigma_min", "lower_order_final": False}
    assert math.isnan(run(UNIPC, 8, "single", use_exponential_sigmas=True, **settings).idle)


TO_DATA = [
    {"solver_type": "bh1", "solver_order": 1},
    {"solver_type": "bh1", "solver_order": 2},
    {"solver_type": "bh1", "solver_order": 3},
    {"predict_x0": False, "solver_order": 2},
    {"lower_order_final": False, "solver_order": 2},
]


@pytest.mark.parametrize("settings", TO_DATA)
@pytest.mark.parametrize("precision", ["single", "double"])
def test_unipc_to_the_data_is_nan_but_for_its_default_type(precision, settings):
    """``final_sigmas_type="zero"``, the default: ``h`` is infinite, and so are ``B(h) = h``, ``e^h``, ``1 / r_k``."""
    r = run(UNIPC, 8, precision, **settings)
    *before, output = ([c for _, c in line.terms] for line in r.plan.lines if isinstance(line, Lin))
    assert not any(math.isfinite(c) for c in output)
    # the steps before are right
    assert all(math.isfinite(c) for row in before for c in row)


# --- the levels that the model is told ---


def told(r):
    """Log-SNR of the times that the model was told, and of the levels at which it was read."""
    products = r.scheduler.alphas_cumprod.double().numpy()
    lams = np.log(products / (1 - products)) / 2
    read = [line.level.lam for line in r.plan.lines if isinstance(line, Eval)]
    return np.interp(r.times[: len(read)], np.arange(len(lams)), lams), np.array(read)


@pytest.mark.parametrize("scheduler", [EULER, MULTISTEP, UNIPC, DEIS])
def test_on_its_own_table_the_model_is_told_the_level_at_which_it_is_read(scheduler):
    a, b = told(run(scheduler, 10))
    assert np.abs(a - b).max() < 1e-12


@pytest.mark.parametrize("scheduler", [MULTISTEP, UNIPC, DEIS])
def test_exponential_levels_are_told_with_their_times_cut_off(scheduler):
    """Times are rounded on Karras grids and cut to integers on exponential and beta ones."""
    a, b = told(run(scheduler, 10, use_exponential_sigmas=True))
    assert (a >= b - 1e-9).all()
    assert np.abs(a - b).max() > 0.05


def test_euler_on_log_linear_levels_is_told_the_times_of_another_grid_and_stops_short():
    r = run(EULER, 10, interpolation_type="log_linear")
    assert len(r.scheduler.sigmas) == 12
    assert r.grid[-1].sigma / r.grid[-1].alpha == pytest.approx(0.01, rel=1e-3)
    a, b = told(r)
    assert np.abs(a - b).max() > 1.5
    # the coefficients are Euler's all the same
    assert distance(r.plan, ours("ddim", r.grid)) < TOLERANCE


def test_pndm_evaluates_its_inner_stages_one_time_below_their_state_where_the_step_is_odd():
    even, odd = (run(PNDM, n, set_alpha_to_one=True) for n in (10, 8))
    assert distance(even.plan, ours(prk(inner_levels(even.plan)), even.grid)) < TOLERANCE
    apart = difference(odd.plan, ours(prk(inner_levels(odd.plan)), odd.grid))
    assert (apart.row, apart.column) == (1, 0)
    # 999 - 124 is evaluated at 875 - 62, its state is at 875 - 62 + 1
    assert odd.times[1] == odd.times[0] - 63


def test_b46_pndm_evaluates_nineteen_times_for_ten_steps():
    assert len(run(PNDM, 10, set_alpha_to_one=True).times) == 19


@pytest.mark.parametrize("scheduler", [EULER, DDIM, MULTISTEP, UNIPC, DEIS])
@pytest.mark.parametrize("n", [61, 121])
def test_b27_trailing_spacing_makes_one_step_too_many(scheduler, n):
    with made(scheduler, n, timestep_spacing="trailing") as trailing:
        assert len(trailing.timesteps) == n + 1
        assert int(trailing.timesteps[-1]) == -1


@pytest.mark.parametrize("scheduler", [FLOW_EULER, FLOW_HEUN])
def test_b29_flow_matching_shifts_its_last_level_twice(scheduler):
    def shifted(s):
        return 3 * s / (1 + 2 * s)

    assert run(scheduler, 10, shift=3.0).grid[-2].sigma == pytest.approx(shifted(shifted(0.001)), rel=1e-6)
    assert run(scheduler, 10, shift=1.0).grid[-2].sigma == pytest.approx(0.001, rel=1e-6)


def test_multistep_dpm_changes_its_end_between_fourteen_steps_and_fifteen():
    for n, low in ((14, True), (15, False)):
        r = run(MULTISTEP, n, solver_order=2, final_sigmas_type="sigma_min")
        assert distance(r.plan, ours(adams(DATA, lowered(n, 2, low=low), DPM_3M), r.grid)) < TOLERANCE
        assert (distance(r.plan, ours("dpmpp_2m", r.grid)) < TOLERANCE) is not low


# --- single precision ---


def test_b21_deis_of_order_three_loses_its_digits_as_steps_get_smaller():
    def lost(scheduler, n, name, **settings):
        r = run(scheduler, n, "single", solver_order=3, lower_order_final=False, **settings)
        return rounding(r.plan, ours(name, r.grid))

    deis = [lost(DEIS, n, "exp_ab3_noise") for n in (10, 80)]
    assert deis[0] < 100
    assert deis[1] > 100 * deis[0]
    # the same polynomials from differences lose less
    assert deis[1] > 5 * lost(MULTISTEP, 80, "dpmpp_3m", final_sigmas_type="sigma_min")


def test_b22_sa_solver_loses_all_its_digits_as_steps_get_smaller():
    def lost(n):
        r = run(SA, n, "single", predictor_order=3, corrector_order=4, tau_func=still())
        behind = [order - 1 for order in remaining(n, 4, more=1)]
        return rounding(r.plan, ours(corrected(DATA, remaining(n, 3), SA_PREDICT, SA_CORRECT, behind), r.grid))

    few, many = lost(10), lost(160)
    assert few < 200
    assert many * 2**-24 > 0.1
