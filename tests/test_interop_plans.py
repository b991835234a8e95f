"""Schedulers of diffusers, by their configs, as our plans: the tableau of what they run; and the table of names."""

import math

import pytest
from peers import TOLERANCE, distance, rounding
from peers_noise import stepped
from test_same_ancestral import noise, on_circle

import diffnum as dn
from diffnum.interop import names
from diffnum.solvers import ALL

pytest.importorskip("diffusers")
from peers_diffusers import in_single, made, run
from pipelines import scheduler
from test_same_diffusers import NAMED, label

from diffnum.interop.diffusers import scheduler_to_plan

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning", "ignore::FutureWarning")
DPM, SINGLE, UNIPC, DEIS = (
    f"{name}Scheduler" for name in ("DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep")
)
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
V = {"prediction_type": "v_prediction"}

# settings that repeat a level or that a table of names cannot know
REFUSED = [
    ("EulerDiscreteScheduler", {"final_sigmas_type": "sigma_min"}, "repeats"),
    (DPM, {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}, "repeats"),
    ("DDIMScheduler", {}, "clip_sample = True"),
    (DPM, {"thresholding": True}, "thresholding = True"),
    ("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "linspace"}, "evaluates at"),
    ("PNDMScheduler", {}, "repeats"),
    ("PNDMScheduler", {"steps_offset": 1, "prediction_type": "sample"}, "knows no prediction_type"),
    ("PNDMScheduler", {"set_alpha_to_one": True, "timestep_spacing": "linspace"}, "evaluates at"),
    ("DDPMScheduler", {"clip_sample": False, "variance_type": "learned_range"}, "second output of the network"),
    ("SASolverScheduler", {"use_karras_sigmas": True}, "repeats"),
    ("LCMScheduler", {}, "boundary condition"),
    (UNIPC, {"solver_type": "bh1"}, "bh1"),
    (SINGLE, {"solver_order": 3}, "no equal"),
    (DPM, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, "no equal"),
    ("VQDiffusionScheduler", {"num_vec_classes": 4}, "table of names"),
]

MORE = [
    *((DPM, {"solver_order": p, "solver_type": kind}) for p in (2, 3) for kind in ("midpoint", "heun")),
    (DPM, {"solver_order": 3, "euler_at_final": True, **V}),
    *(
        (DPM, {"solver_order": 3, key: True})
        for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
    ),
    (DPM, {"use_lu_lambdas": True}),
    *((name, {**FLOW, "flow_shift": 3.0, "solver_order": 3}) for name in (DPM, UNIPC)),
    (UNIPC, {"solver_order": 3, "disable_corrector": [0, 1]}),
    (UNIPC, {"predict_x0": False, "final_sigmas_type": "sigma_min", "solver_order": 3}),
    (DEIS, {"solver_order": 3}),
    (SINGLE, {}),
    (SINGLE, {"use_karras_sigmas": True, **V}),
    (SINGLE, {"solver_order": 3, "solver_type": "heun"}),
    ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}),
]
KNOWN = [(name, {k: v for k, v in config.items() if k != "step"}) for name, config, _ in NAMED if "IPNDM" not in name]
CASES = [case for case in [*KNOWN, *MORE] if case not in [refused[:2] for refused in REFUSED]]


@pytest.mark.parametrize("name, config", CASES, ids=label)
def test_the_plan_is_what_the_scheduler_runs(name, config):
    theirs = run(name, 8, **config)
    with made(name, 8, **config) as in_double:
        plan = scheduler_to_plan(in_double)
    assert distance(theirs.plan, plan) < TOLERANCE
    assert plan.nfe == len(theirs.times)
    # and by its config alone, on the levels that single precision leaves
    alone = scheduler_to_plan({**scheduler(name, **config).config, "_class_name": name}, 8)
    single = run(name, 8, "single", **config)
    assert rounding(single.plan, alone) < in_single(single)


@pytest.mark.parametrize("name, config, sentence", REFUSED, ids=label)
def test_what_has_no_equal_is_refused(name, config, sentence):
    with pytest.raises(ValueError, match=sentence):
        scheduler_to_plan(scheduler(name, **config), 9)


@pytest.mark.parametrize(
    "name, config, answer",
    [
        ("DDPMScheduler", {"clip_sample": False}, on_circle),
        ("DDPMScheduler", {"clip_sample": False, "variance_type": "fixed_large"}, on_circle),
        ("EulerAncestralDiscreteScheduler", {}, lambda s: noise([float(x) for x in s.sigmas])),
        (
            "EulerAncestralDiscreteScheduler",
            {"timestep_spacing": "trailing"},
            lambda s: noise([float(x) for x in s.sigmas]),
        ),
    ],
    ids=label,
)
def test_draws_are_theirs(name, config, answer):
    from peers_noise import apart

    with made(name, 8, **config) as theirs:
        matrix, plan = stepped(theirs, answer(theirs)), scheduler_to_plan(theirs)
        sampler = ALL[plan.solver]
        process = dn.EDM(sigma_max=1e4) if "Euler" in name else dn.Cosine()
        ratios = [level.sigma / level.alpha for level in plan.levels]
        assert apart(matrix, sampler, dn.grid.custom(process, sigmas=ratios)) < TOLERANCE


def test_a_plan_needs_steps():
    with pytest.raises(ValueError, match="pass n"):
        scheduler_to_plan(scheduler(DPM))
    ready = scheduler(DPM)
    ready.set_timesteps(7)
    assert scheduler_to_plan(ready) == scheduler_to_plan({**ready.config, "_class_name": DPM}, 7)
    with pytest.raises(ValueError, match="several schedulers"):
        scheduler_to_plan(ready.config, 7)
    assert scheduler_to_plan(scheduler("DDIMScheduler", clip_sample=False), 5, eta=0.5).draws


def test_another_grid_of_flow_matching_is_read_off_too():
    flow = scheduler("FlowMatchEulerDiscreteScheduler", use_dynamic_shifting=True)
    plan = scheduler_to_plan(flow, sigmas=[1.0, 0.6, 0.3], mu=math.log(3.0))
    assert [level.sigma for level in plan.levels] == pytest.approx([1.0, 1.8 / 2.2, 0.9 / 1.6, 0.0], rel=1e-6)


# --- names ---


def test_every_name_of_ours_in_the_table_is_a_sampler():
    for row in names.TABLE:
        for ours in (row.ours, row.flow):
            assert not ours or ours in ALL, row
        assert row.ours or row.note, row
        assert row.library in names.LIBRARIES


SETTINGS_OF_STEP = ("eta",)
# compared in test_same_ancestral and test_same_stochastic: one needs torchsde, one has no levels of its own
ELSEWHERE = ("DPMSolverSDEScheduler", "LTXEulerAncestralRFScheduler")
ROWS = [row for row in names.TABLE if row.library == "diffusers" and row.ours and row.name not in ELSEWHERE]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.ours}")
def test_a_row_of_diffusers_is_the_plan_of_these_settings(row):
    config = {k: v for k, v in row.settings.items() if k not in SETTINGS_OF_STEP}
    if row.name == "PNDMScheduler":
        config["steps_offset"] = 1
    if "bh1" in config.values():
        config |= {"final_sigmas_type": "sigma_min", "lower_order_final": False}
    plan = scheduler_to_plan(scheduler(row.name, **config), 8, eta=row.settings.get("eta", 0.0))
    if row.name == "DPMSolverSinglestepScheduler":
        assert plan.solver == row.ours
        return
    grid = dn.grid.through(dn.process.from_json(plan.process), plan.levels)
    ours = dn.compile(row.ours, grid, plan.prediction, **row.options)
    assert distance(plan, ours) < TOLERANCE


def test_names_are_found_from_both_sides():
    assert names.named("DPM++ 2M") is ALL["dpmpp_2m"]
    assert names.named("dpmpp_2m_sde") is not ALL["dpmpp_2m"]
    assert [row.name for row in names.called("dpmpp_2m", "A1111")] == ["DPM++ 2M"]
    assert {row.name for row in names.called("sde_dpmpp_2m_heun", "ComfyUI")} == {"dpmpp_2m_sde_heun"}
    assert names.named("Heun") is ALL["rho_heun"] and names.named("Heun", flow=True) is ALL["heun"]
    assert names.named("heun") is ALL["heun"]
    assert not names.find("no such sampler")
    with pytest.raises(ValueError, match="no equal here on flow matching"):
        names.named("DPM++ 2M SDE", flow=True)
    with pytest.raises(ValueError, match="library 'sdnext' is unknown"):
        names.called("ddim", "sdnext")


def test_grids_have_the_names_that_ours_have():
    assert all(hasattr(dn.grid, name) for name in names.GRIDS)
