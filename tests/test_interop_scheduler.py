"""PlanScheduler in pipelines: the library's own images on its own levels, whole and from the middle."""

import copy
import json
import math
import pickle

import pytest
import torch

import diffnum as dn

pytest.importorskip("diffusers")
from pipelines import IMAGE, SHAPE, V, apart, in_single, label, network, noise, ours, scheduler, walked

from diffnum.interop.diffusers import PlanScheduler, scheduler_to_plan

# between diffusers, numpy and torch
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
# of images between 0 and 1, for ten steps in single precision
ROUNDING = 3e-6

# scheduler, its settings, our sampler
SAME = [
    ("DPMSolverMultistepScheduler", V, "dpmpp_2m"),
    ("DPMSolverMultistepScheduler", {**V, "use_karras_sigmas": True}, "DPM++ 2M"),
    ("DPMSolverMultistepScheduler", {"prediction_type": "sample", "use_exponential_sigmas": True}, "dpmpp_2m"),
    ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min", "lower_order_final": False}, "dpmpp_2m"),
    ("DPMSolverMultistepScheduler", {**V, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, "dpmpp_2m"),
    ("DPMSolverMultistepScheduler", {**V, "algorithm_type": "sde-dpmsolver++"}, "sde_dpmpp_2m"),
    ("UniPCMultistepScheduler", V, "unipc_2"),
    (
        "UniPCMultistepScheduler",
        {"solver_type": "bh1", "final_sigmas_type": "sigma_min", "lower_order_final": False},
        "unipc_2_bh1",
    ),
    ("DEISMultistepScheduler", {**V, "lower_order_final": False}, "exp_ab2_noise"),
    ("DDIMScheduler", {**V, "clip_sample": False}, "ddim"),
    ("DDPMScheduler", {**V, "clip_sample": False}, "ddpm_ancestral"),
    ("DDPMScheduler", V, "ddpm_ancestral"),
    ("DDPMScheduler", {"clip_sample": False, "beta_schedule": "squaredcos_cap_v2"}, "ddpm_ancestral"),
    ("EulerDiscreteScheduler", V, "Euler"),
    ("EulerDiscreteScheduler", {"timestep_spacing": "leading", "steps_offset": 1}, "ddim"),
    ("EulerAncestralDiscreteScheduler", V, "Euler a"),
    ("HeunDiscreteScheduler", V, "Heun"),
    ("LMSDiscreteScheduler", V, "LMS"),
    ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}, "PLMS"),
    ("EDMEulerScheduler", {}, "Euler"),
    ("EDMDPMSolverMultistepScheduler", V, "dpmpp_2m"),
    ("FlowMatchEulerDiscreteScheduler", {}, "euler"),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, "euler"),
    ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}, "Heun"),
    (
        "UniPCMultistepScheduler",
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0},
        "unipc_2",
    ),
]


@pytest.mark.parametrize("name, config, sampler", SAME, ids=label)
def test_the_images_are_those_of_the_librarys_own_scheduler(name, config, sampler):
    theirs = scheduler(name, **config)
    plan = ours(theirs, sampler)
    assert apart(walked(theirs), walked(plan)) < in_single(theirs)
    # what the network is told, each time it is asked
    assert torch.allclose(plan.timesteps.double(), theirs.timesteps.double(), rtol=1e-6)


# theirs reads four weights for one slope when it begins inside
MIDDLE = [case for case in SAME if case[0] not in ("LMSDiscreteScheduler", "PNDMScheduler")]


@pytest.mark.parametrize("name, config, sampler", MIDDLE, ids=label)
def test_from_an_image_they_agree_too(name, config, sampler):
    theirs = scheduler(name, **config)
    a, b = (walked(s, start=3, image=IMAGE) for s in (theirs, ours(theirs, sampler)))
    assert apart(a, b) < in_single(theirs, start=3, image=IMAGE)


@pytest.mark.parametrize(
    "sampler, name", [("kdpm2", "KDPM2DiscreteScheduler"), ("kdpm2_ancestral", "KDPM2AncestralDiscreteScheduler")]
)
def test_a_level_inside_a_step_differs_by_what_it_is_called(sampler, name):
    """Theirs interpolates log(sigma / alpha) between table entries, ours log(alpha)."""
    theirs = scheduler(name, **V)
    plan = ours(theirs, sampler)
    assert apart(walked(theirs), walked(plan)) < 2e-5
    assert torch.allclose(plan.timesteps.double(), theirs.timesteps.double(), atol=0.02)
    assert (plan.order, theirs.order) == (2, 2)


# a plan is linear
LINEAR = [(name, config) for name, config, _ in SAME[:12] if (name, config) != ("DDPMScheduler", V)]


@pytest.mark.parametrize("name, config", LINEAR, ids=label)
def test_a_scheduler_as_a_plan_runs_in_its_place(name, config):
    theirs = scheduler(name, **config)
    plan = scheduler_to_plan(theirs, 8)
    fixed = PlanScheduler.from_config(theirs.config, plan=plan)
    assert apart(walked(theirs), walked(fixed)) < in_single(theirs)


# --- saved and loaded ---


def test_a_pipeline_comes_back_from_its_folder_with_its_plan(tmp_path):
    theirs = scheduler("DPMSolverMultistepScheduler", use_karras_sigmas=True, **V)
    from diffusers import DDPMPipeline, DiffusionPipeline

    pipe = DDPMPipeline(network(), theirs)
    pipe.set_progress_bar_config(disable=True)

    def images(pipe):
        run = pipe(batch_size=2, generator=torch.manual_seed(0), num_inference_steps=10, output_type="np")
        return torch.tensor(run.images)

    expected = images(pipe)
    pipe.scheduler = ours(theirs, "dpmpp_2m")
    pipe.save_pretrained(tmp_path)
    again = DiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    again.set_progress_bar_config(disable=True)
    assert type(again.scheduler) is PlanScheduler
    assert (expected > 0).any() and (expected < 1).float().mean() > 0.1
    assert torch.allclose(images(again), expected, rtol=0, atol=ROUNDING)
    assert torch.equal(images(again), images(pipe))


def test_a_config_keeps_what_it_came_from_and_what_it_is(tmp_path):
    theirs = scheduler("DPMSolverMultistepScheduler", beta_end=0.015, solver_order=3, use_karras_sigmas=True)
    plan = ours(theirs, "dpmpp_3m_corrected", grid="log_snr", grid_options={"stop": 10.0})
    plan.save_pretrained(tmp_path)
    again = PlanScheduler.from_pretrained(tmp_path)
    assert {k: v for k, v in again.config.items() if k[0] != "_"} == {
        k: v for k, v in plan.config.items() if k[0] != "_"
    }
    back = type(theirs).from_config(again.config)
    assert {k: back.config[k] for k in theirs.config if k[0] != "_"} == {
        k: v for k, v in theirs.config.items() if k[0] != "_"
    }
    json.loads((tmp_path / "scheduler_config.json").read_text())


def test_a_plan_is_kept_in_the_config(tmp_path):
    theirs = scheduler("DDIMScheduler", clip_sample=False, **V)
    plan = scheduler_to_plan(theirs, 8)
    kept = PlanScheduler.from_config(theirs.config, plan=plan)
    kept.save_pretrained(tmp_path)
    again = PlanScheduler.from_pretrained(tmp_path)
    again.set_timesteps(8)
    assert again.plan == plan
    assert torch.equal(walked(again), walked(kept))


def test_settings_are_replaced_with_keywords():
    theirs = scheduler("DDIMScheduler")
    plan = PlanScheduler.from_config(
        theirs.config, prediction_type="v_prediction", sampler=dn.solvers.ddim_eta.with_options(eta=0.5)
    )
    assert plan.convention.prediction == "velocity"
    assert (plan.config.sampler, plan.config.options) == ("ddim_eta", {"eta": 0.5})


# --- grids and custom levels ---


@pytest.mark.parametrize("grid", ["karras", "log_snr", "uniform", "quadratic"])
def test_a_named_grid_is_that_of_the_process(grid):
    plan = ours(scheduler("DDPMScheduler", **V), "dpmpp_2m", grid=grid)
    plan.set_timesteps(6)
    expected = getattr(dn.grid, grid)(plan.convention.process, 6, stop=0, end="zero")
    assert plan.plan == dn.compile("dpmpp_2m", expected, "velocity")
    assert plan.timesteps.double().tolist() == pytest.approx([level.t for level in expected[:-1]], rel=1e-6)


def test_karras_levels_are_theirs():
    theirs = scheduler("DPMSolverMultistepScheduler", use_karras_sigmas=True, **V)
    theirs.set_timesteps(8)
    plan = ours(theirs, "dpmpp_2m", grid="karras")
    plan.set_timesteps(8)
    assert torch.allclose(plan.sigmas, theirs.sigmas, rtol=2e-4)
    # they round, ours does not unless asked to
    assert torch.equal(plan.timesteps.round(), theirs.timesteps.double().float())
    whole = ours(theirs, "dpmpp_2m", grid="karras", whole_times=True)
    whole.set_timesteps(8)
    assert torch.equal(whole.timesteps, theirs.timesteps)
    assert 0.1 < whole.rounding.time <= 0.5 and plan.rounding.time < 1e-9
    theirs_as_they_are = ours(theirs, "dpmpp_2m")
    theirs_as_they_are.set_timesteps(8)
    assert 0.1 < theirs_as_they_are.rounding.time <= 0.5 + 1e-3


@pytest.mark.parametrize(
    "name, config, custom",
    [
        ("DDPMScheduler", {"clip_sample": False, **V}, {"timesteps": [900, 700, 400, 100, 3]}),
        ("DPMSolverMultistepScheduler", V, {"timesteps": [900, 700, 400, 100, 3]}),
        ("EulerDiscreteScheduler", V, {"sigmas": [20.0, 7.0, 1.5, 0.3, 0.0]}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, {"sigmas": [1.0, 0.7, 0.4, 0.2]}),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, {"sigmas": [1.0, 0.7, 0.4], "mu": 0.8}),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, {"n": 5, "mu": 0.8}),
    ],
    ids=label,
)
def test_custom_levels_mean_what_they_mean_to_the_scheduler(name, config, custom):
    theirs = scheduler(name, **config)
    sampler = {"DDPMScheduler": "ddpm_ancestral", "DPMSolverMultistepScheduler": "dpmpp_2m"}.get(name, "ddim")
    call = {"n": None, **custom}
    assert apart(walked(theirs, **call), walked(ours(theirs, sampler), **call)) < in_single(theirs, **call)


@pytest.mark.parametrize("shift", [{"shift": 3.0}, {"use_dynamic_shifting": True}], ids=label)
def test_a_named_grid_of_flow_matching_runs_between_the_ends_that_a_pipeline_gives(shift):
    theirs, mu, given = scheduler("FlowMatchEulerDiscreteScheduler", **shift), math.log(3.0), [1.0, 0.75, 0.5, 0.25]
    plan = ours(theirs, "ddim", grid="uniform")
    plan.set_timesteps(sigmas=given, mu=mu)
    expected = [level.sigma for level in dn.grid.uniform(dn.Flow(3.0), 3, 1.0, 0.25)]
    assert [level.sigma for level in plan.plan.levels[:-1]] == pytest.approx(expected, rel=1e-12)
    theirs.set_timesteps(sigmas=given, mu=mu)
    assert torch.allclose(plan.timesteps, theirs.timesteps, rtol=1e-5)
    with pytest.raises(ValueError, match="4 sigmas"):
        plan.set_timesteps(7, sigmas=given, mu=mu)


def test_custom_sigmas_where_the_scheduler_takes_none():
    plan = ours(scheduler("DDIMScheduler", **V), "ddim")
    plan.set_timesteps(sigmas=[20.0, 3.0, 0.5])
    assert plan.sigmas.tolist() == pytest.approx([20.0, 3.0, 0.5, 0.0])
    plan.set_timesteps(timesteps=[900, 500.5, 10])
    assert plan.timesteps.tolist() == [900, 500.5, 10]
    assert plan.plan.levels[1] == plan.convention.process.level(500.5)


# --- the loop ---


def test_guidance_and_callbacks_see_what_they_see_with_the_librarys_scheduler():
    theirs = scheduler("UniPCMultistepScheduler", **V)
    seen = {}

    def callback(name):
        def call(i, t, x):
            seen.setdefault(name, []).append((i, float(t), x))
            # a pipeline may change the state between steps, as inpainting does
            return torch.where(IMAGE > 0.5, IMAGE, x) if i == 4 else x

        return call

    conditions = noise(7, (2, 4, 8))
    for name, s in (("theirs", theirs), ("ours", ours(theirs, "unipc_2"))):
        walked(s, "conditional", guidance=5.0, conditions=conditions, callback=callback(name))
    most = in_single(theirs, "conditional", guidance=5.0, conditions=conditions)
    for (i, t, x), (j, u, y) in zip(seen["theirs"][:5], seen["ours"][:5], strict=True):
        assert (i, t) == (j, u) and apart(x, y) < most


def test_a_state_that_the_pipeline_changes_is_the_state_that_moves_on():
    theirs = scheduler("DPMSolverMultistepScheduler", **V)

    def callback(i, t, x):
        return torch.where(IMAGE > 0.5, IMAGE, x)

    a, b = (walked(s, callback=callback) for s in (theirs, ours(theirs, "dpmpp_2m")))
    assert apart(a, b) < in_single(theirs, callback=callback)


def test_a_run_is_that_of_dn_sample():
    s = ours(scheduler("DDPMScheduler", **V), "heun", grid="log_snr")
    net = dn.models.from_diffusers(network(), s.convention and scheduler("DDPMScheduler", **V))
    made = walked(s)
    direct = dn.sample(s.plan, net, noise() * s.init_noise_sigma)
    assert apart(direct, made) < in_single(s)
    assert len(s.timesteps) == s.plan.nfe == 15


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "unipc_3", "rho_heun", "dpm_solver_3", "dpmpp_3m_corrected"])
@pytest.mark.parametrize("say", [True, False])
def test_a_partial_start_is_the_plan_compiled_from_there(sampler, say):
    s = ours(scheduler("DDPMScheduler", **V), sampler)
    made = walked(s, start=3, image=IMAGE, say=say)
    level = s.plan.levels[3]
    grid = dn.grid.through(s.convention.process, s.plan.levels[3:])
    plan = dn.compile(sampler, grid, "velocity")
    net = dn.models.from_diffusers(network(), scheduler("DDPMScheduler", **V))
    # every state is wanted, by a pipeline as here, so that lines are the plan's own
    direct = dn.sample(plan, net, level.alpha * IMAGE + level.sigma * noise(), keep="states")[-1]
    assert apart(direct, made) < in_single(s, start=3, image=IMAGE, say=say)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_state_keeps_its_dtype(dtype):
    s = ours(scheduler("DDPMScheduler", **V), "dpmpp_2m")
    s.set_timesteps(4)
    x = noise().to(dtype)
    for t in s.timesteps:
        x = s.step(0.1 * x, t, x).prev_sample
        assert x.dtype == dtype
    exact = ours(scheduler("DDPMScheduler", **V), "dpmpp_2m")
    exact.set_timesteps(4)
    y = noise().to(dtype).double()
    for t in exact.timesteps:
        y = exact.step(0.1 * y, t, y).prev_sample
    unit = torch.finfo(dtype).eps
    assert apart(y, x.double()) < 4 * 4 * unit


def test_a_scheduler_can_be_copied_and_pickled():
    s = ours(scheduler("DDPMScheduler", **V), "dpmpp_2m")
    expected = walked(s)
    for other in (copy.deepcopy(s), pickle.loads(pickle.dumps(s))):
        assert torch.equal(walked(other), expected)


def test_the_generator_of_the_pipeline_is_drawn_from():
    s = ours(scheduler("DDPMScheduler", **V), "ddpm_ancestral")
    assert torch.equal(walked(s, seed=3), walked(s, seed=3))
    assert apart(walked(s, seed=3), walked(s, seed=4)) > 0.1


class Blind(torch.Tensor):
    """A tensor that cannot be looked at, as one on a device cannot without waiting for it."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        looks = (
            "item",
            "__bool__",
            "__int__",
            "__float__",
            "__index__",
            "tolist",
            "nonzero",
            "numpy",
            "cpu",
            "__len__",
        )
        if name in (*looks, "equal", "allclose", "is_nonzero", "_local_scalar_dense"):
            raise AssertionError(f"{name} waits for the device")
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "unipc_2", "rho_heun", "ddpm_ancestral"])
@pytest.mark.parametrize("source", ["DDPMScheduler", "EDMEulerScheduler"])
@pytest.mark.parametrize("say", [True, False])
def test_the_loop_waits_for_no_device(sampler, source, say):
    s = ours(scheduler(source), sampler)
    s.set_timesteps(6)
    s.timesteps = s.timesteps.as_subclass(Blind)
    if say:
        s.set_begin_index(0)
    x = noise().as_subclass(Blind)
    for t in s.timesteps:
        assert type(t) is Blind
        seen = s.scale_model_input(x, t)
        x = s.step(0.1 * seen, t, x, generator=torch.Generator().manual_seed(0), return_dict=False)[0]
    assert type(x) is Blind
    with pytest.raises(AssertionError, match="waits"):
        bool(x.sum() > 0)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "unipc_2", "rho_heun"])
def test_it_runs_where_there_is_nothing_to_look_at(sampler):
    """Tensors of the device meta have no values."""
    s = ours(scheduler("DPMSolverMultistepScheduler"), sampler)
    s.set_timesteps(6, device="meta")
    s.set_begin_index(0)
    x = torch.empty(SHAPE, device="meta")
    for t in s.timesteps:
        x = s.step(0.1 * s.scale_model_input(x, t), t, x).prev_sample
    assert x.device.type == "meta" and x.shape == SHAPE


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_pipeline_of_dit_decodes_the_same_images(guidance):
    import diffusers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = diffusers.AutoencoderKL(latent_channels=3, block_out_channels=(8,), norm_num_groups=4).eval()
    theirs = scheduler("DPMSolverMultistepScheduler", **V)
    images = []
    for s in (theirs, ours(theirs, "dpmpp_2m")):
        pipe = diffusers.DiTPipeline(network("dit"), vae, s)
        pipe.set_progress_bar_config(disable=True)
        images.append(pipe([1, 7], guidance, torch.manual_seed(0), 6, output_type="pt").images)
    a, b = (torch.as_tensor(image) for image in images)
    assert torch.allclose(a, b, rtol=0, atol=1e-5) and a.std() > 0.01
