"""Networks of diffusers as models: what they are asked and answer, and what whole times cost."""

import math

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum import models
from diffnum.models.convention import KINDS
from diffnum.prediction import to_data

pytest.importorskip("diffusers")
from pipelines import SHAPE, Denoising, network, noise, scheduler

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning", "ignore:The `local_dir_use:UserWarning")


# --- configs ---

TABLES = [
    {},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"beta_schedule": "sigmoid"},
    {"rescale_betas_zero_snr": True, "beta_schedule": "scaled_linear"},
    {"trained_betas": [0.001, 0.01, 0.1]},
]


@pytest.mark.parametrize("config", TABLES, ids=str)
def test_a_table_of_betas_is_theirs(config):
    name = "DDPMScheduler" if "sigmoid" in config.values() else "DDIMScheduler"
    theirs = scheduler(name, **config)
    process = models.convention(models.completed(theirs)).process
    products = theirs.alphas_cumprod.double().numpy()
    ours = np.array([process.level(float(t)).alpha for t in range(len(products))]) ** 2
    # theirs is a product in single precision
    assert np.allclose(ours, products, rtol=2e-4, atol=1e-7)
    assert process.level(process.t_start).pure_noise == bool(config.get("rescale_betas_zero_snr"))


def test_cogvideox_moves_its_table():
    theirs = scheduler("CogVideoXDDIMScheduler", snr_shift_scale=3.0, rescale_betas_zero_snr=True)
    process = models.convention(models.completed(theirs)).process
    products = theirs.alphas_cumprod.double().numpy()
    ours = np.array([process.level(float(t)).alpha for t in range(len(products))]) ** 2
    assert np.allclose(ours, products, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_a_scheduler_is_recognised_by_its_settings(name):
    made = scheduler(name)
    found = models.completed(made.config)["_class_name"]
    assert found == name or set(scheduler(found).config) == set(made.config)


@pytest.mark.parametrize(
    "name, config",
    [
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
        ("EDMEulerScheduler", {}),
        ("DDPMScheduler", {}),
        ("EulerDiscreteScheduler", {"timestep_type": "continuous", "prediction_type": "v_prediction"}),
    ],
)
def test_what_the_network_is_told_names_the_level(name, config):
    conv = models.convention(models.completed(scheduler(name, **config)))
    for t in (0.15, 0.5, 0.9):
        level = conv.process.level(t * conv.process.t_start)
        assert conv.at(conv.told(level)).lam == pytest.approx(level.lam, rel=1e-12)


@pytest.mark.parametrize(
    "name, config",
    [
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
        ("EDMEulerScheduler", {}),
        ("DPMSolverMultistepScheduler", {"prediction_type": "v_prediction"}),
        (
            "EulerDiscreteScheduler",
            {"timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": True},
        ),
    ],
    ids=str,
)
def test_told_times_are_theirs(name, config):
    theirs = scheduler(name, **config)
    theirs.set_timesteps(7)
    conv = models.convention(models.completed(theirs))
    sigmas = [float(s) for s in theirs.sigmas[:-1]]
    levels = [
        conv.process.at_clock(s) if name[0:4] in ("Flow", "EDME") else conv.process.at(-math.log(s)) for s in sigmas[1:]
    ]
    assert [conv.told(level) for level in levels] == pytest.approx(theirs.timesteps[1:].tolist(), rel=1e-5, abs=1e-3)


def test_edm_preconditioning_is_theirs():
    for kind in ("epsilon", "v_prediction"):
        theirs = scheduler("EDMEulerScheduler", prediction_type=kind)
        conv = models.convention(models.completed(theirs))
        level = conv.process.at_clock(1.7)
        x, output = noise(), noise(2)
        a, b = conv.read(level)
        expected = theirs.precondition_outputs(x, output, torch.tensor(1.7))
        assert torch.allclose(a * x + b * output, expected, rtol=1e-5, atol=1e-6)
        assert torch.allclose(conv.scale(level) * x, theirs.precondition_inputs(x, torch.tensor(1.7)))


# --- networks ---

# the data is not cut
FREE = {"clip_sample": False}


def test_a_network_is_asked_as_a_pipeline_asks_it():
    net = models.from_diffusers(network(), scheduler("DDPMScheduler", **FREE))
    assert (net.prediction, net.shape) == ("noise", SHAPE[1:])
    level = net.process.level(400.5)
    assert torch.equal(net(noise(), level), network()(noise(), torch.tensor(400.5)).sample)
    whole = models.from_diffusers(network(), scheduler("DDPMScheduler", **FREE), whole_times=True)
    assert torch.equal(whole(noise(), level), network()(noise(), 400).sample)
    assert net(noise().double(), level).dtype == torch.float64


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_a_config_that_clips_cuts_the_data_prediction(kind):
    settings = {"prediction_type": kind, "clip_sample_range": 0.7}
    free = models.from_diffusers(network(), scheduler("DDPMScheduler", clip_sample=False, **settings))
    cut = models.from_diffusers(network(), scheduler("DDPMScheduler", **settings))
    level = free.process.level(500.0)

    def data(net):
        a, b = to_data(level, net.prediction)
        return a * noise() + b * net(noise(), level)

    assert data(free).abs().max() > 0.8
    assert torch.allclose(data(cut), data(free).clamp(-0.7, 0.7), atol=1e-6)


def test_networks_with_conditions():
    conditions, labels = noise(3, (2, 4, 8)), torch.tensor([1, 2])
    net = models.from_diffusers(
        network("conditional"),
        scheduler("DDIMScheduler", **FREE),
        conditions={"encoder_hidden_states": conditions},
    )
    level = net.process.level(300.0)
    assert torch.equal(net(noise(), level), network("conditional")(noise(), 300.0, conditions).sample)
    assert torch.equal(
        net.given(encoder_hidden_states=0 * conditions)(noise(), level),
        network("conditional")(noise(), 300.0, 0 * conditions).sample,
    )
    dit = models.from_diffusers(network("dit"), scheduler("DDIMScheduler", **FREE), conditions={"class_labels": labels})
    t = torch.full((2,), 300.0)
    # it predicts a variance beside the noise
    both = network("dit")(noise(), timestep=t, class_labels=labels).sample
    assert both.shape[1] == 6 and torch.equal(dit(noise(), level), both[:, :3])
    assert dit(noise(), level).abs().max() > 0
    texts = {"encoder_hidden_states": noise(4, (2, 5, 16)), "pooled_projections": noise(6, (2, 8))}
    sd3 = models.from_diffusers(
        network("sd3"), scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0), conditions=texts
    )
    half = sd3.process.at_clock(0.5)
    assert sd3.prediction == "velocity"
    assert torch.equal(sd3(noise(), half), network("sd3")(noise(), timestep=torch.full((2,), 500.0), **texts).sample)


@pytest.mark.parametrize("by", [str, lambda path: path])
def test_a_folder_is_a_network_and_its_process(tmp_path, by):
    theirs = scheduler("DPMSolverMultistepScheduler", prediction_type="v_prediction", beta_end=0.015)
    pipe = Denoising(network(), theirs)
    pipe.save_pretrained(tmp_path)
    net = models.from_diffusers(by(tmp_path), local_files_only=True)
    assert (net.prediction, net.process.betas[-1]) == ("velocity", pytest.approx(0.015))
    level = net.process.level(123.0)
    assert torch.equal(net(noise(), level), network()(noise(), 123).sample)
    assert not any(p.requires_grad for p in net.module.parameters())
    of_pipe = models.from_diffusers(pipe)
    assert torch.equal(of_pipe(noise(), level), net(noise(), level))
    plan = dn.compile("dpmpp_2m", dn.grid.karras(net.process, 4, stop=0, end="zero"), net.prediction)
    assert torch.isfinite(dn.sample(plan, net, noise())).all()


def test_the_network_of_a_pipeline_with_a_plan_has_the_process_of_its_config(tmp_path):
    from diffnum.interop.diffusers import PlanScheduler

    theirs = scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0)
    Denoising(network(), PlanScheduler.from_config(theirs, sampler="heun")).save_pretrained(tmp_path)
    net = models.from_diffusers(tmp_path, local_files_only=True)
    assert (net.process, net.prediction) == (dn.Flow(3.0), "velocity")


def test_weights_that_are_not_safetensors_are_refused(tmp_path):
    Denoising(network(), scheduler("DDPMScheduler", **FREE)).save_pretrained(tmp_path, safe_serialization=False)
    assert not list(tmp_path.rglob("*.safetensors"))
    with pytest.raises(ValueError, match="safetensors"):
        models.from_diffusers(tmp_path, local_files_only=True)


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no pipeline"):
        models.from_diffusers(tmp_path / "nothing", local_files_only=True)
    with pytest.raises(ValueError, match="no pipeline"):
        models.from_diffusers("nobody/has-this-model", local_files_only=True)
    with pytest.raises(ValueError, match="pass scheduler"):
        models.from_diffusers(network())
    with pytest.raises(ValueError, match="the pipeline has no prior2"):
        models.from_diffusers(Denoising(network(), scheduler("DDPMScheduler", **FREE)), part="prior2")
    net = models.from_diffusers(network(), scheduler("DDPMScheduler", **FREE))
    with pytest.raises(ValueError, match="torch tensor"):
        net(np.zeros(SHAPE), net.process.level(3.0))
    with pytest.raises(ValueError, match="beta_schedule = 'square'"):
        models.betas({"num_train_timesteps": 10, "beta_schedule": "square"})
    with pytest.raises(ValueError, match="invert_sigmas"):
        models.convention(models.completed(scheduler("FlowMatchEulerDiscreteScheduler", invert_sigmas=True)))
    with pytest.raises(ValueError, match="prediction_type = 'colour'"):
        models.convention(
            {
                "_class_name": "DDIMScheduler",
                "num_train_timesteps": 9,
                "beta_schedule": "linear",
                "prediction_type": "colour",
            }
        )


# --- whole times ---


def test_whole_times_are_off_by_at_most_a_half():
    process = dn.DDPM()
    levels = dn.grid.log_snr(process, 20, stop=0.0)
    size = models.rounding(process, levels)
    assert 0.25 < size.time <= 0.5
    assert size.log_snr == max(abs(process.lam(float(round(level.t))) - level.lam) for level in levels)
    exact = dn.grid.custom(process, times=[900, 500, 20, 3])
    assert models.rounding(process, exact) == models.Rounding(0.0, 0.0)
    plan = dn.compile("rho_heun", levels)
    assert models.rounding(process, plan) == size


def test_whole_times_leave_a_floor_that_no_number_of_steps_lowers():
    """On a Gaussian: the error of a method of order three falls with the steps, that of the rounded one stops."""
    process, target = dn.DDPM(), dn.Gaussian(np.array([0.3, -1.0]), np.array([0.04, 2.0]))

    def errors(n):
        levels = dn.grid.log_snr(process, n, start=800.0, stop=10.0)
        return models.rounding_error(dn.compile("dpmpp_3m_corrected", levels), process, target)

    few, many, most = errors(10), errors(80), errors(320)
    assert many[0] < few[0] / 100 and most[0] < many[0]
    assert most[1] > 30 * most[0] and most[1] > many[1] / 10
    # on levels that are whole times there is none
    whole = dn.compile("dpmpp_3m_corrected", dn.grid.custom(process, times=range(800, 9, -10)))
    a, b = models.rounding_error(whole, process, target)
    assert a == b and models.rounded(whole, process).lines == whole.lines


def test_the_rounded_plan_is_the_network_with_whole_times():
    conv = scheduler("DDPMScheduler", **FREE)
    net, whole = (models.from_diffusers(network(), conv, whole_times=w) for w in (False, True))
    plan = dn.compile("dpmpp_2m", dn.grid.log_snr(net.process, 5, stop=3.0), net.prediction)
    a = dn.sample(plan, whole, noise())
    b = dn.sample(models.rounded(plan, net.process), net, noise())
    assert torch.equal(a, b)
    assert not torch.equal(a, dn.sample(plan, net, noise()))
