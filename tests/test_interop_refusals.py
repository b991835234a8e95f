"""PlanScheduler: noise added and velocities, and what it refuses, in one sentence each."""

import pytest
import torch

import diffnum as dn

pytest.importorskip("diffusers")
from pipelines import IMAGE, V, apart, in_single, label, noise, ours, scheduler, walked

from diffnum.interop.diffusers import PlanScheduler, scheduler_to_plan

# between diffusers, numpy and torch
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
ROUNDING = 3e-6


# --- noise and velocities ---


@pytest.mark.parametrize(
    "name, config",
    [
        ("DDPMScheduler", {}),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    ],
    ids=label,
)
def test_noise_is_added_as_theirs_adds_it(name, config):
    theirs = scheduler(name, **config)
    plan = ours(theirs, "dpmpp_2m")
    for s in (theirs, plan):
        s.set_timesteps(10)
    times = torch.stack([plan.timesteps[3], plan.timesteps[7]])
    assert apart(theirs.add_noise(IMAGE, noise(), times), plan.add_noise(IMAGE, noise(), times)) < ROUNDING


def test_training_may_ask_for_any_time_of_the_table():
    theirs = scheduler("DDPMScheduler")
    plan = ours(theirs, "ddim")
    times = torch.tensor([17, 901])
    assert apart(theirs.add_noise(IMAGE, noise(), times), plan.add_noise(IMAGE, noise(), times)) < 2e-5
    assert apart(theirs.get_velocity(IMAGE, noise(), times), plan.get_velocity(IMAGE, noise(), times)) < 2e-5


# --- refusals ---


def refuse(sentence, s, n=8, begin=None):
    with pytest.raises(ValueError, match=sentence):
        s.set_timesteps(n)
        if begin is not None:
            s.set_begin_index(begin)


def test_what_cannot_run_is_refused_in_one_sentence():
    ddpm = scheduler("DDPMScheduler", **V)
    refuse("before the first evaluation", ours(ddpm, "shark", grid="karras"))
    refuse("falls inside a step of rho_heun", ours(ddpm, "rho_heun"), begin=3)
    refuse("a start of its own", ours(ddpm, "exp_ab3_rk", grid="log_snr"), begin=6)
    refuse("none of the 8 timesteps", ours(ddpm, "ddim"), begin=9)
    refuse(
        "alpha = 0", ours(scheduler("DDIMScheduler", rescale_betas_zero_snr=True, timestep_spacing="trailing"), "ddim")
    )
    refuse("repeats|does not rise", ours(scheduler("DDIMScheduler", set_alpha_to_one=False), "ddim"))
    refuse("grid 'cosine' is unknown", ours(ddpm, "ddim", grid="cosine"))
    refuse("thresholding", ours(scheduler("DPMSolverMultistepScheduler", thresholding=True), "ddim"))
    with pytest.raises(ValueError, match="sampler 'best' is unknown"):
        ours(ddpm, "best")
    with pytest.raises(ValueError, match="no equal here"):
        ours(ddpm, "DPM adaptive")
    with pytest.raises(ValueError, match="no scheduler known"):
        PlanScheduler.from_config({"steps": 3})
    with pytest.raises(ValueError, match="has neither a table of betas"):
        PlanScheduler.from_config(scheduler("VQDiffusionScheduler", num_vec_classes=4)).set_timesteps(8)


def test_a_plan_that_does_not_fit_is_refused():
    theirs = scheduler("DDIMScheduler", clip_sample=False, **V)
    plan = scheduler_to_plan(theirs, 8)
    refuse("num_inference_steps = 9 but the plan has 8", PlanScheduler.from_config(theirs.config, plan=plan), 9)
    refuse("predicts noise", PlanScheduler.from_config(theirs.config, plan=plan, prediction_type="epsilon"))
    elsewhere = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 8), "velocity")
    refuse("lies on VP", PlanScheduler.from_config(theirs.config, plan=elsewhere))
    with_memory = dn.compile("dpmpp_2m", dn.grid.uniform(dn.DDPM(), 8, end="zero", stop=0), "velocity")
    refuse("cannot begin at its evaluation 3", PlanScheduler.from_config(theirs.config, plan=with_memory), begin=3)
    # without memory it can
    kept = PlanScheduler.from_config(theirs.config, plan=plan)
    call = {"start": 3, "image": IMAGE}
    assert apart(walked(ours(theirs, "ddim"), **call), walked(kept, **call)) < in_single(theirs, **call)


def test_another_run_needs_its_timesteps_set():
    s = ours(scheduler("DDPMScheduler", **V), "ddim")
    with pytest.raises(ValueError, match="no timesteps yet"):
        s.step(IMAGE, 3, IMAGE)
    s.set_timesteps(2)
    x = noise()
    for t in s.timesteps:
        x = s.step(x, t, x).prev_sample
    with pytest.raises(ValueError, match="call set_timesteps before another run"):
        s.step(x, s.timesteps[0], x)
    s.set_timesteps(2)
    with pytest.raises(ValueError, match="none of scheduler"):
        s.step(x, 123.4, x)


# --- what theirs does there ---


def test_lms_begun_inside_takes_the_weights_of_four_slopes_and_has_one():
    theirs = scheduler("LMSDiscreteScheduler", **V)
    whole, middle = ([walked(s, start=i, image=IMAGE) for s in (theirs, ours(theirs, "LMS"))] for i in (0, 3))
    assert apart(*whole) < in_single(theirs, image=IMAGE)
    assert apart(*middle) > 0.01


def test_unipc_of_type_bh1_is_not_a_number_at_the_data():
    theirs = scheduler("UniPCMultistepScheduler", solver_type="bh1", **V)
    assert walked(theirs).isnan().all()
    assert walked(ours(theirs, "unipc_2_bh1")).isfinite().all()
