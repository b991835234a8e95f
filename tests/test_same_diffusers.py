"""Every deterministic scheduler of diffusers is a sampler of ours, coefficient by coefficient, on its own levels.

Both in double precision, to 1e-10 of a row's maximum; as shipped, in single precision, to its rounding. Where they
differ is in test_same_diffusers_defects.
"""

import math

import pytest
import torch
from peers import EDM, TOLERANCE, distance, grid_of, ours, rounding
from peers_rules import PAIRS, adams, corrected, inner_levels, lowered, plms, prk, remaining, singlestep

from diffnum.solvers import generated as g
from diffnum.solvers.coords import DATA, NOISE
from diffnum.solvers.corrected import UNIC_BH2
from diffnum.solvers.multistep import DPM_3M
from diffnum.solvers.rules import formulas

pytest.importorskip("diffusers")
from peers_diffusers import in_single, made, run

EULER, HEUN, KDPM2, LMS = (f"{name}DiscreteScheduler" for name in ("Euler", "Heun", "KDPM2", "LMS"))
MULTISTEP, SINGLESTEP = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
UNIPC, DEIS, SA = "UniPCMultistepScheduler", "DEISMultistepScheduler", "SASolverScheduler"
DDIM, PNDM, IPNDM = "DDIMScheduler", "PNDMScheduler", "IPNDMScheduler"
EDM_EULER, EDM_DPM = "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"
FLOW_EULER, FLOW_HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"

PLAIN = {"lower_order_final": False, "final_sigmas_type": "sigma_min"}
NO_CORRECTOR = {**PLAIN, "disable_corrector": list(range(20))}
NOISY = {**PLAIN, "predict_x0": False}
FIRST = {**PLAIN, "algorithm_type": "dpmsolver"}
LEVELS_OF_OUR_CHOICE = [math.sin(math.pi / 2 * (0.98 - 0.12 * i)) for i in range(8)] + [0.0]

# scheduler, settings, the names of ours that it is; "@edm" where ours steps in sigma
NAMED = [
    (EULER, {}, "ddim dpm_solver_1 dpmpp_1 euler@edm"),
    (EULER, {"final_sigmas_type": "sigma_min"}, "euler@edm"),
    (EULER, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, "euler@edm"),
    (HEUN, {}, "heun@edm rho_heun"),
    (KDPM2, {}, "kdpm2 dpm_solver_2"),
    (LMS, {}, "lms_4 deis_rhoab_4 ab4@edm"),
    (LMS, {"step": {"order": 2}}, "deis_rhoab_2 ab2@edm"),
    (LMS, {"step": {"order": 3}}, "deis_rhoab_3 ab3@edm"),
    (LMS, {"step": {"order": 5}}, "ab5@edm"),
    (DDIM, {"clip_sample": False}, "ddim"),
    (DDIM, {"clip_sample": False, "timestep_spacing": "trailing"}, "ddim"),
    (DDIM, {"clip_sample": False, "beta_schedule": "scaled_linear", "steps_offset": 1}, "ddim"),
    ("DDIMParallelScheduler", {"clip_sample": False}, "ddim"),
    ("CogVideoXDDIMScheduler", {"clip_sample": False}, "ddim"),
    (MULTISTEP, {**PLAIN, "solver_order": 1}, "dpmpp_1"),
    (MULTISTEP, {**PLAIN, "solver_order": 2}, "dpmpp_2m"),
    (MULTISTEP, {"lower_order_final": False, "solver_order": 2}, "dpmpp_2m"),
    (MULTISTEP, {**PLAIN, "solver_order": 2, "solver_type": "heun"}, "exp_ab2"),
    (MULTISTEP, {**PLAIN, "solver_order": 3}, "dpmpp_3m"),
    (MULTISTEP, {**FIRST, "solver_order": 1}, "dpm_solver_1"),
    (MULTISTEP, {**FIRST, "solver_order": 2}, "dpm_2m"),
    (MULTISTEP, {**FIRST, "solver_order": 2, "solver_type": "heun"}, "exp_ab2_noise"),
    (MULTISTEP, {**FIRST, "solver_order": 3}, "dpm_3m"),
    (SINGLESTEP, {"solver_order": 1}, "dpmpp_1"),
    (DEIS, {"lower_order_final": False, "solver_order": 1}, "dpm_solver_1"),
    (DEIS, {"lower_order_final": False, "solver_order": 2}, "exp_ab2_noise"),
    (DEIS, {"lower_order_final": False, "solver_order": 3}, "exp_ab3_noise"),
    *((UNIPC, {**PLAIN, "solver_order": p}, f"unipc_{p}") for p in range(1, 7)),
    *((UNIPC, {**PLAIN, "solver_order": p, "solver_type": "bh1"}, f"unipc_{p}_bh1") for p in (1, 2, 3)),
    *((UNIPC, {**NOISY, "solver_order": p}, f"unipc_{p}_noise") for p in (1, 2, 3)),
    (UNIPC, {**NO_CORRECTOR, "solver_order": 2}, "unip_2 dpmpp_2m"),
    (UNIPC, {**NO_CORRECTOR, "solver_order": 3}, "unip_3 dpmpp_3m_corrected"),
    (EDM_EULER, {}, "euler ddim"),
    (EDM_EULER, {"sigma_schedule": "exponential"}, "euler"),
    (EDM_DPM, {"lower_order_final": False}, "dpmpp_2m"),
    (EDM_DPM, {"lower_order_final": False, "solver_type": "heun"}, "exp_ab2"),
    (EDM_DPM, {"lower_order_final": False, "solver_order": 3}, "dpmpp_3m"),
    (FLOW_EULER, {}, "euler ddim"),
    (FLOW_EULER, {"shift": 3.0}, "euler ddim"),
    ("FlowMapEulerDiscreteScheduler", {}, "euler ddim"),
    (FLOW_HEUN, {}, "heun"),
    (FLOW_HEUN, {"shift": 3.0}, "heun"),
    (IPNDM, {"trained_betas": LEVELS_OF_OUR_CHOICE}, "ipndm_4"),
]


def label(value):
    return "-".join(f"{k}={v}" for k, v in value.items() if k != "trained_betas") if isinstance(value, dict) else value


def same(r, names):
    for name in names.split():
        bare, _, edm = name.partition("@")
        grid = grid_of([level.sigma / level.alpha for level in r.grid], EDM) if edm else r.grid
        yield bare, grid


@pytest.mark.parametrize("scheduler, settings, names", NAMED, ids=label)
def test_a_scheduler_is_the_sampler_of_that_name(scheduler, settings, names):
    r = run(scheduler, 8, **settings)
    for name, grid in same(r, names):
        assert distance(r.plan, ours(name, grid)) < TOLERANCE, name


# the others know one prediction, or two that differ by a sign
SEVERAL = [case for case in NAMED if not case[0].startswith(("EDM", "FlowM", "IPNDM"))]
PREDICTED = [
    (*case, kind) for case in SEVERAL for kind in ("sample", "v_prediction") if (case[0], kind) != (KDPM2, "sample")
]


@pytest.mark.parametrize("scheduler, settings, names, prediction", PREDICTED, ids=label)
def test_the_prediction_changes_nothing(scheduler, settings, names, prediction):
    r = run(scheduler, 8, prediction_type=prediction, **settings)
    for name, grid in same(r, names):
        assert distance(r.plan, ours(name, grid)) < TOLERANCE, name


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler, settings", [(EDM_EULER, {}), (EDM_DPM, {"lower_order_final": False})], ids=label)
def test_both_preconditionings_are_one_sampler(scheduler, settings, prediction):
    r = run(scheduler, 8, prediction_type=prediction, **settings)
    assert distance(r.plan, ours("euler" if scheduler == EDM_EULER else "dpmpp_2m", r.grid)) < TOLERANCE


@pytest.mark.parametrize("scheduler, settings, names", NAMED, ids=label)
def test_as_shipped_it_differs_by_the_rounding_of_single_precision(scheduler, settings, names):
    r = run(scheduler, 8, "single", **settings)
    for name, grid in same(r, names):
        assert rounding(r.plan, ours(name, grid)) < in_single(r), name


# --- orders that rise and fall ---

GRIDS = {
    "linspace": {},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "lu": {"use_lu_lambdas": True},
    "beta": {"use_beta_sigmas": True},
    "flow": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    "leading": {"timestep_spacing": "leading"},
    "trailing": {"timestep_spacing": "trailing"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "zero_snr": {"rescale_betas_zero_snr": True},
}
HEUN_3M = formulas(g.exponential_adams_1, g.exponential_adams_2, g.dpm_3m)
TYPES = {"midpoint": DPM_3M, "heun": HEUN_3M}
DEFAULT = [("linspace", 8), ("karras", 16), ("flow", 9)]


def cases(default, grids):
    every = [(grid, n) for grid in grids for n in (1, 2, 3, 8, 14, 15, 20)]
    return [*default, *(pytest.param(*case, marks=pytest.mark.full) for case in every if case not in default)]


@pytest.mark.parametrize("grid, n", cases(DEFAULT, GRIDS))
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("low, euler", [(True, False), (False, False), (False, True)])
def test_multistep_dpm_lowers_its_order_at_the_ends(kind, order, grid, n, low, euler):
    settings = {"solver_order": order, "solver_type": kind, "lower_order_final": low, "euler_at_final": euler}
    r = run(MULTISTEP, n, **settings, **GRIDS[grid])
    orders = lowered(n, order, True, low, euler)
    assert distance(r.plan, ours(adams(DATA, orders, TYPES[kind]), r.grid)) < TOLERANCE


@pytest.mark.parametrize("n", [8, 16])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("algorithm, coords", [("dpmsolver++", DATA), ("dpmsolver", NOISE)])
def test_multistep_dpm_that_stops_at_the_last_table_entry(algorithm, coords, kind, order, n):
    settings = {"algorithm_type": algorithm, "solver_order": order, "solver_type": kind}
    r = run(MULTISTEP, n, final_sigmas_type="sigma_min", **settings)
    assert distance(r.plan, ours(adams(coords, lowered(n, order), TYPES[kind]), r.grid)) < TOLERANCE


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["karras", "exponential"])
def test_edm_multistep_dpm_is_the_same_method_on_its_own_levels(schedule, order, kind):
    r = run(EDM_DPM, 10, solver_order=order, solver_type=kind, sigma_schedule=schedule)
    assert distance(r.plan, ours(adams(DATA, lowered(10, order, True), TYPES[kind]), r.grid)) < TOLERANCE


@pytest.mark.parametrize(
    "grid, n", cases([("linspace", 8), ("leading", 16)], ["linspace", "leading", "trailing", "cosine"])
)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis_is_exponential_adams_on_the_noise(order, grid, n):
    r = run(DEIS, n, solver_order=order, **GRIDS[grid])
    assert distance(r.plan, ours(adams(NOISE, lowered(n, order)), r.grid)) < TOLERANCE


@pytest.mark.parametrize("grid, n", cases(DEFAULT, [grid for grid in GRIDS if grid != "lu"]))
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_unipc_lowers_its_order_at_the_end(order, grid, n):
    r = run(UNIPC, n, solver_order=order, **GRIDS[grid])
    assert distance(r.plan, ours(corrected(DATA, remaining(n, order), *PAIRS["bh2"]), r.grid)) < TOLERANCE


@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("kind", PAIRS)
def test_unipc_that_stops_at_the_last_table_entry(kind, data, order, low):
    settings = {"solver_type": kind, "predict_x0": data, "solver_order": order, "lower_order_final": low}
    r = run(UNIPC, 9, final_sigmas_type="sigma_min", **settings)
    built = corrected(DATA if data else NOISE, remaining(9, order, low), *PAIRS[kind])
    assert distance(r.plan, ours(built, r.grid)) < TOLERANCE


@pytest.mark.parametrize("skip", [(0,), (0, 1, 2), (3, 5)])
def test_unipc_without_its_corrector_at_some_steps(skip):
    r = run(UNIPC, 8, solver_order=3, disable_corrector=list(skip))
    assert distance(r.plan, ours(corrected(DATA, remaining(8, 3), *PAIRS["bh2"], skip=skip), r.grid)) < TOLERANCE


@pytest.mark.parametrize("order", [4, 5, 6])
@pytest.mark.parametrize("data", [True, False])
def test_unip_of_high_order_is_exponential_adams_but_for_its_second_step(order, data):
    # of two points the weight is one half, not the exact phi_2 / phi_1
    r = run(UNIPC, 10, solver_order=order, predict_x0=data, **NO_CORRECTOR)
    start = formulas(g.exponential_adams_1, g.dpm_2m, *(getattr(g, f"exponential_adams_{p}") for p in (3, 4, 5, 6)))
    coords = DATA if data else NOISE
    assert distance(r.plan, ours(adams(coords, remaining(10, order, False), start), r.grid)) < TOLERANCE
    exact = ours(f"exp_ab{order}{'' if data else '_noise'}", r.grid)
    assert distance(r.plan, exact) > 1e-3


@pytest.mark.parametrize("solver_order", [1, 2, 3])
def test_unipc_with_a_predictor_of_another_scheduler_on_data_predictions(solver_order):
    settings = {"prediction_type": "sample", "solver_order": solver_order, **PLAIN}
    with made(MULTISTEP, 8, **settings) as predictor:
        r = run(UNIPC, 8, solver_p=predictor, **settings)
    built = corrected(DATA, remaining(8, solver_order, False), DPM_3M, UNIC_BH2)
    assert distance(r.plan, ours(built, r.grid)) < TOLERANCE


SA_PREDICT = formulas(g.exponential_adams_1, g.unip_2_bh1, g.exponential_adams_3, g.exponential_adams_4)
SA_CORRECT = formulas(g.unic_1_bh1, g.exponential_adams_moulton_3, g.exponential_adams_moulton_4)


@pytest.mark.parametrize("predictor, corrector", [(1, 2), (2, 2), (2, 3), (3, 3), (3, 4), (4, 4)])
def test_sa_solver_without_noise_is_unipc_bh1(predictor, corrector):
    r = run(SA, 8, predictor_order=predictor, corrector_order=corrector, tau_func=lambda t: 0)
    behind = [order - 1 for order in remaining(8, corrector, more=1)]
    built = corrected(DATA, remaining(8, predictor), SA_PREDICT, SA_CORRECT, behind)
    assert distance(r.plan, ours(built, r.grid)) < TOLERANCE


@pytest.mark.parametrize("predictor, corrector", [(1, 2), (2, 2), (2, 3), (3, 4)])
def test_sa_solver_without_noise_on_the_noise_is_exponential_adams(predictor, corrector):
    settings = {"algorithm_type": "noise_prediction", "tau_func": lambda t: 0}
    r = run(SA, 8, predictor_order=predictor, corrector_order=corrector, **settings)
    behind = [order - 1 for order in remaining(8, corrector, more=1)]
    assert distance(r.plan, ours(corrected(NOISE, remaining(8, predictor), behind=behind), r.grid)) < TOLERANCE


# --- one step made of several of the grid's ---


SINGLE = {"midpoint": (g.dpm_2s, g.dpm_3s), "heun": (g.etd2, g.dpm_3s_taylor)}
LENGTHS = [(2, 6, False), (3, 6, False), (2, 7, True), (3, 7, True), (3, 8, True), (3, 9, True)]


@pytest.mark.parametrize("order, n, low", LENGTHS)
@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("algorithm, coords", [("dpmsolver++", DATA), ("dpmsolver", NOISE)])
def test_singlestep_dpm_takes_the_levels_of_the_grid_for_its_nodes(algorithm, coords, kind, order, n, low):
    settings = {"algorithm_type": algorithm, "solver_order": order, "solver_type": kind, "lower_order_final": low}
    r = run(SINGLESTEP, n, final_sigmas_type="sigma_min", **settings)
    assert distance(r.plan, ours(singlestep(coords, r.scheduler.order_list, *SINGLE[kind]), r.grid)) < TOLERANCE


@pytest.mark.parametrize("grid", ["karras", "exponential", "beta", "flow"])
@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("order, n", [(2, 7), (3, 9)])
def test_singlestep_dpm_to_the_data(order, n, kind, grid):
    r = run(SINGLESTEP, n, solver_order=order, solver_type=kind, lower_order_final=True, **GRIDS[grid])
    assert distance(r.plan, ours(singlestep(DATA, r.scheduler.order_list, *SINGLE[kind]), r.grid)) < TOLERANCE


def geometric(scheduler):
    """Levels equally spaced in log-SNR from 2.5 down to -2.5."""
    n = len(scheduler.timesteps)
    scheduler.sigmas = torch.exp(torch.linspace(2.5, -2.5, n + 1, dtype=scheduler.sigmas.dtype))


ONE_STEP = [
    ("dpmsolver++", "midpoint", 2, "dpmpp_2s"),
    ("dpmsolver++", "heun", 2, "res_2s"),
    ("dpmsolver++", "heun", 3, "dpmpp_3s_taylor"),
    ("dpmsolver", "midpoint", 2, "dpm_solver_2"),
    ("dpmsolver", "heun", 2, "dpm_solver_2_taylor"),
    ("dpmsolver", "heun", 2, "res_2s_noise"),
    ("dpmsolver", "heun", 3, "dpm_solver_3_taylor"),
]


@pytest.mark.parametrize("algorithm, kind, order, name", ONE_STEP)
def test_on_levels_equally_spaced_in_log_snr_singlestep_is_the_published_one(algorithm, kind, order, name):
    settings = {"algorithm_type": algorithm, "solver_order": order, "solver_type": kind, **PLAIN}
    r = run(SINGLESTEP, 6, then=geometric, **settings)
    coarse = grid_of([level.sigma / level.alpha for level in r.grid][::order])
    assert distance(r.plan, ours(name, coarse)) < TOLERANCE


# --- pseudo-linear multistep ---


PNDM_SETTINGS = [{}, {"timestep_spacing": "trailing"}, {"steps_offset": 1, "beta_schedule": "scaled_linear"}]


@pytest.mark.parametrize("settings", PNDM_SETTINGS, ids=label)
@pytest.mark.parametrize("skip", [True, False])
def test_pndm_is_adams_bashforth_with_constant_weights_in_the_ratio(skip, settings):
    r = run(PNDM, 10, skip_prk_steps=skip, set_alpha_to_one=True, **settings)
    built = plms if skip else prk(inner_levels(r.plan))
    assert distance(r.plan, ours(built, r.grid)) < TOLERANCE
    assert len(r.times) == 10 + (1 if skip else 9)
