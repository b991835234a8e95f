"""Schedulers of diffusers, lifted: their plans give their own samples, and sensible settings raise no alarm."""

import warnings
from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import pytest
import torch
from peers import double

import diffnum as dn

diffusers = pytest.importorskip("diffusers")

STEPS = 9
EULER, HEUN, KDPM2, LMS = (f"{name}DiscreteScheduler" for name in ("Euler", "Heun", "KDPM2", "LMS"))
MULTISTEP, SINGLESTEP = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
UNIPC, DEIS, SA, PNDM = "UniPCMultistepScheduler", "DEISMultistepScheduler", "SASolverScheduler", "PNDMScheduler"
FLOW_EULER, FLOW_HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
EDM_EULER, EDM_DPM = "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"
UNCLIPPED = {"clip_sample": False}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

# every linear sampler there, with several settings of those that have them
LINEAR = [
    (EULER, {}),
    (EULER, {"use_karras_sigmas": True, "prediction_type": "v_prediction"}),
    (EULER, {"final_sigmas_type": "sigma_min"}),
    (EULER, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}),
    ("EulerAncestralDiscreteScheduler", {}),
    (HEUN, {}),
    (HEUN, {"use_exponential_sigmas": True, "prediction_type": "sample"}),
    (KDPM2, {}),
    ("KDPM2AncestralDiscreteScheduler", {}),
    (LMS, {}),
    ("DDIMScheduler", UNCLIPPED),
    ("DDIMScheduler", {**UNCLIPPED, "timestep_spacing": "linspace", "prediction_type": "v_prediction"}),
    ("DDIMParallelScheduler", UNCLIPPED),
    ("CogVideoXDDIMScheduler", UNCLIPPED),
    ("DDPMScheduler", UNCLIPPED),
    ("DDPMScheduler", {**UNCLIPPED, "variance_type": "fixed_large"}),
    ("DDPMParallelScheduler", UNCLIPPED),
    (PNDM, {}),
    (PNDM, {"skip_prk_steps": True, "prediction_type": "v_prediction"}),
    (MULTISTEP, {}),
    (MULTISTEP, {"use_karras_sigmas": True, "prediction_type": "sample", "solver_order": 3}),
    (MULTISTEP, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"}),
    (MULTISTEP, {"algorithm_type": "sde-dpmsolver++"}),
    (MULTISTEP, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    (MULTISTEP, {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}),
    (MULTISTEP, FLOW),
    (SINGLESTEP, {}),
    (SINGLESTEP, {"solver_order": 3, "use_karras_sigmas": True}),
    (UNIPC, {}),
    (UNIPC, {"solver_order": 3, "use_karras_sigmas": True, "prediction_type": "v_prediction"}),
    (UNIPC, FLOW),
    (DEIS, {}),
    (DEIS, {"solver_order": 3}),
    (SA, {}),
    (SA, {"algorithm_type": "noise_prediction", "predictor_order": 3, "corrector_order": 3}),
    ("LCMScheduler", {}),
    ("TCDScheduler", {}),
    ("IPNDMScheduler", {}),
    (EDM_EULER, {}),
    (EDM_DPM, {}),
    (EDM_DPM, {"sigma_schedule": "exponential", "prediction_type": "v_prediction"}),
    (FLOW_EULER, {}),
    (FLOW_EULER, {"shift": 3.0}),
    (FLOW_HEUN, {}),
    ("FlowMatchLCMScheduler", {}),
    ("FlowMapEulerDiscreteScheduler", {}),
    ("LTXEulerAncestralRFScheduler", {}),
]


def label(value):
    return "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def made(name, config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(diffusers, name)(**config)


def network(dtype):
    """Something that is not linear, and looks at its time."""
    mix = torch.tensor(np.random.default_rng(1).standard_normal((6, 6)) / 3, dtype=dtype)

    def f(x, t):
        return (torch.tanh(x @ mix + 0.3 * torch.sin(torch.as_tensor(float(t) / 100))) + 0.1 * x).to(x.dtype)

    return f


def theirs(scheduler, f, x):
    """The library's own loop: its output, and what it drew in each step."""
    drawn, randn = {}, torch.randn
    for i, t in enumerate(scheduler.timesteps):
        view = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        prediction = f(view, t)

        def draw(*size, step=i, **options):
            return drawn.setdefault(step, randn(*size, **options))

        with mock.patch("torch.randn", draw):
            x = scheduler.step(prediction, t, x, return_dict=False)[0]
    return x, drawn


def ours(plan, scheduler, f, x, drawn):
    """The plan with the same network, whose input and output may be preconditioned, and the same draws."""

    def model(x, level):
        if not hasattr(scheduler, "precondition_outputs"):
            return f(x, level.t)
        sigma = torch.tensor([level.sigma], dtype=x.dtype)
        return scheduler.precondition_outputs(x, f(scheduler.precondition_inputs(x, sigma), level.t), sigma)

    def noise(s, t, j, x):
        assert j == 0
        return next(drawn[i] for i, level in enumerate(plan.levels) if level is s)

    return dn.sample(plan, model, x, noise)


@contextmanager
def computed(kind, precision):
    """The library's code as it is shipped, or in double precision, without its deprecations."""
    modules = [k.__module__ for k in kind.__mro__ if k.__module__.startswith("diffusers.schedulers")]
    with warnings.catch_warnings(), double(*modules) if precision == "double" else nullcontext():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name, config", LINEAR, ids=label)
@pytest.mark.parametrize("precision, dtype", [("shipped", torch.float32), ("double", torch.float64)], ids=label)
def test_a_lifted_plan_gives_the_librarys_own_output_to_the_rounding_of_its_dtype(name, config, precision, dtype):
    f, kind = network(dtype), getattr(diffusers, name)
    plan = dn.lift(made(name, config), STEPS, precision=precision)
    x = torch.linspace(-1.5, 2, 18, dtype=torch.float64).reshape(3, 6).to(dtype) * plan.prior
    with computed(kind, precision):
        scheduler = kind(**config)
        scheduler.set_timesteps(STEPS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            expected, drawn = theirs(scheduler, f, x.clone())
        got = ours(plan, scheduler, f, x, drawn)
    # values along the run are of the size of the start
    size = max(float(x.abs().max()), float(expected.abs().max()))
    assert float((got - expected).abs().max()) <= 64 * torch.finfo(dtype).eps * size


# --- what they are ---

KNOWN = [
    (EULER, {}, "ddim"),
    ("EulerAncestralDiscreteScheduler", {}, "ddpm_ancestral"),
    (HEUN, {}, "heun"),
    (KDPM2, {}, "kdpm2"),
    ("KDPM2AncestralDiscreteScheduler", {}, "kdpm2_ancestral"),
    ("DDIMScheduler", UNCLIPPED, "ddim"),
    ("DDPMScheduler", UNCLIPPED, "ddpm_ancestral"),
    (MULTISTEP, {}, "dpmpp_2m"),
    (MULTISTEP, {"solver_order": 3, "final_sigmas_type": "sigma_min", "lower_order_final": False}, "dpmpp_3m"),
    (MULTISTEP, {"algorithm_type": "sde-dpmsolver++"}, "sde_dpmpp_2m"),
    (EDM_DPM, {}, "dpmpp_2m"),
    (FLOW_EULER, {"shift": 3.0}, "euler"),
    (FLOW_HEUN, {}, "heun"),
]


@pytest.mark.parametrize("precision, tol", [pytest.param("shipped", 1e-3, marks=pytest.mark.full), ("double", 1e-9)])
@pytest.mark.parametrize("name, config, known", KNOWN, ids=label)
def test_the_nearest_known_sampler_is_the_one_of_its_name(name, config, known, precision, tol):
    lifted = dn.examine(made(name, config), STEPS, precision=precision)
    assert known in [near.name for near in dn.nearest(lifted.assumed, tol) if near.rows == 0]


def test_where_the_published_third_order_differs_from_the_corrected_one():
    config = {"solver_order": 3, "final_sigmas_type": "sigma_min", "lower_order_final": False}
    near = {n.name: n for n in dn.nearest(dn.lift(made(MULTISTEP, config), STEPS, precision="double"))}
    assert near["dpmpp_3m"].rows == 0
    # from the first step that has two points behind it
    apart = near["dpmpp_3m_corrected"].difference
    assert (apart.step, apart.row, apart.column, apart.reading) == (2, 3, "D0", "data")


# --- false alarms ---

SENSIBLE = [
    *((name, {}) for name in (EULER, HEUN, KDPM2, LMS, MULTISTEP, SINGLESTEP, UNIPC, DEIS, SA, EDM_EULER, EDM_DPM)),
    *((name, {"use_karras_sigmas": True}) for name in (EULER, HEUN, MULTISTEP, SINGLESTEP, UNIPC)),
    *((name, {"timestep_spacing": "trailing"}) for name in (EULER, MULTISTEP, UNIPC)),
    *((name, UNCLIPPED) for name in ("DDIMScheduler", "DDPMScheduler", "CogVideoXDDIMScheduler")),
    (EULER, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}),
    (MULTISTEP, {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}),
    (MULTISTEP, FLOW),
    ("EulerAncestralDiscreteScheduler", {}),
    ("KDPM2AncestralDiscreteScheduler", {}),
    ("LCMScheduler", {}),
    ("TCDScheduler", {}),
    (FLOW_EULER, {}),
    (FLOW_HEUN, {}),
    ("LTXEulerAncestralRFScheduler", {}),
]


@pytest.mark.parametrize("n", [10, pytest.param(25, marks=pytest.mark.full), pytest.param(50, marks=pytest.mark.full)])
@pytest.mark.parametrize("name, config", SENSIBLE, ids=label)
def test_sensible_settings_raise_no_alarm(name, config, n):
    lifted = dn.examine(made(name, config), n)
    assert lifted.faults == ()
    # steps of two evaluations, times cut to the table, and objects that do not run twice unprepared
    assert {f.kind for f in lifted.findings} <= {"calls", "rounded", "reuse"}
    assert lifted.loss < 1e-5


# --- known defects, by what they do ---

FAULTY = [
    ("trailing spacing", MULTISTEP, {"timestep_spacing": "trailing"}, 61, "outside", 61),
    ("linspace of DDIM", "DDIMScheduler", {**UNCLIPPED, "timestep_spacing": "linspace"}, 8, "level", 1),
    ("double shift", FLOW_EULER, {"shift": 3.0}, 10, "shift", 9),
    ("double shift", FLOW_HEUN, {"shift": 3.0}, 10, "shift", 18),
    ("flow levels end early", DEIS, FLOW, 10, "end", 9),
    ("flow levels end early", SA, FLOW, 10, "end", 9),
    ("last step of nothing", DEIS, {"use_karras_sigmas": True}, 10, "idle", 9),
    ("last step of nothing", PNDM, {"skip_prk_steps": True}, 10, "idle", 10),
    (
        "repeated last level",
        MULTISTEP,
        {"solver_order": 3, "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
        15,
        "infinite",
        14,
    ),
    ("infinite step", UNIPC, {"solver_type": "bh1"}, 8, "infinite", 7),
    ("repeated times", MULTISTEP, {}, 1000, "infinite", 500),
    ("logarithm", "DDPMScheduler", {**UNCLIPPED, "variance_type": "fixed_large_log"}, 8, "infinite", 0),
    (
        "third order SDE",
        MULTISTEP,
        {"algorithm_type": "sde-dpmsolver", "solver_order": 3, "final_sigmas_type": "sigma_min"},
        8,
        "stopped",
        2,
    ),
    ("one step of a shift to a terminal level", FLOW_EULER, {"shift_terminal": 0.02}, 1, "stopped", 0),
    ("single precision", DEIS, {"solver_order": 3}, 80, "precision", None),
    ("single precision", SA, {"predictor_order": 3, "corrector_order": 4}, 80, "precision", None),
    ("pure noise", "IPNDMScheduler", {}, 10, "scale", 0),
    ("times of another grid", EULER, {"interpolation_type": "log_linear"}, 8, "level", 1),
]


@pytest.mark.parametrize("what, name, config, n, kind, step", FAULTY, ids=label)
def test_known_defects_are_found_in_their_step(what, name, config, n, kind, step):
    first = next(f for f in dn.examine(made(name, config), n).findings if f.kind == kind)
    assert first.step == step
    assert not first.note


def test_clipping_is_named_and_nothing_else_is_found_without_it():
    with pytest.raises(ValueError, match=r"step 0 does not scale .* set clip_sample=False"):
        dn.lift(made("DDIMScheduler", {}), STEPS)
    assert dn.examine(made("DDIMScheduler", UNCLIPPED), STEPS).faults == ()


def test_thresholding_is_named():
    config = {"thresholding": True, "sample_max_value": 1.5}
    with pytest.raises(ValueError, match="set thresholding=False"):
        dn.lift(made(MULTISTEP, config), STEPS)
