"""Samplers of k-diffusion and azula, lifted as their users call them; skipped where they are not, see peers_authors."""

import numpy as np
import pytest
import torch
from peers_authors import author, azula, needed, quiet

import diffnum as dn

needed()

SIGMAS = [float(s) for s in (0.05 ** (1 / 7) + np.linspace(1, 0, 8) * (20 ** (1 / 7) - 0.05 ** (1 / 7))) ** 7] + [0.0]


def sampling():
    absent = ("torchdiffeq", "torchsde", "k_diffusion")
    code = author("k-diffusion", "k_diffusion", "sampling.py", absent=absent, name="k_diffusion.sampling")
    code.utils.append_dims = lambda v, dims: v[(...,) + (None,) * (dims - v.ndim)]
    return code


def examined(*args, **options):
    with quiet():
        return dn.examine(*args, **options)


def model(x, time):
    sigma = torch.as_tensor(time.sigma if isinstance(time, dn.Level) else time, dtype=torch.float64).reshape(-1)[0]
    return torch.tanh(x) / (1 + sigma**2) + 0.2 * torch.sin(2 * x)


# --- k-diffusion ---

CROWSON = [
    ("sample_euler", "euler"),
    ("sample_euler_ancestral", "euler_ancestral"),
    ("sample_heun", "heun"),
    ("sample_dpm_2", "kdpm2"),
    ("sample_dpm_2_ancestral", "kdpm2_ancestral"),
    ("sample_lms", "ab4"),
    ("sample_dpmpp_2m", "dpmpp_2m"),
    ("sample_dpmpp_2s_ancestral", "dpmpp_2s_ancestral"),
    ("sample_dpmpp_sde", "dpmpp_sde"),
    ("sample_dpmpp_2m_sde", "sde_dpmpp_2m_heun"),
    ("sample_dpmpp_3m_sde", "sde_dpmpp_3m"),
]


@pytest.mark.parametrize("name, known", CROWSON)
def test_a_sampler_of_k_diffusion_is_known_and_has_no_fault(name, known):
    options = {"solver_type": "heun"} if known.endswith("heun") and "2m" in known else {}
    lifted = examined(getattr(sampling(), name), SIGMAS, options=options)
    assert lifted.faults == ()
    assert known in [near.name for near in dn.nearest(lifted.assumed) if near.rows == 0]


@pytest.mark.parametrize("name", ["sample_euler", "sample_heun", "sample_dpm_2", "sample_lms", "sample_dpmpp_2m"])
def test_a_lifted_plan_gives_k_diffusions_own_output(name):
    sample = getattr(sampling(), name)
    plan = examined(sample, SIGMAS).plan
    x = torch.linspace(-30, 30, 12, dtype=torch.float64).reshape(3, 4)
    with quiet():
        theirs = sample(model, x, torch.tensor(SIGMAS), disable=True)
    assert torch.allclose(dn.sample(plan, model, x), theirs, rtol=1e-12, atol=1e-12)


def test_b02_three_points_lack_a_factor_two_from_their_first_step_on():
    lifted = examined(sampling().sample_dpmpp_3m_sde, SIGMAS)
    near = {n.name: n for n in dn.nearest(lifted.assumed)}
    assert near["sde_dpmpp_3m"].rows == 0
    apart = near["sde_dpmpp_3m_corrected"].difference
    assert (apart.step, apart.row, apart.column) == (2, 3, "D0")


def test_churn_is_a_draw_at_a_raised_level():
    lifted = examined(sampling().sample_euler, SIGMAS, options={"s_churn": 2.0})
    assert lifted.faults == ()
    assert lifted.times[1] > SIGMAS[1]
    assert len(lifted.plan.draws) > 0


def test_adaptive_steps_are_refused():
    code = sampling()
    with quiet(), pytest.raises(ValueError, match=r"cannot be lifted: .*step control"):
        dn.lift(lambda model, x: code.sample_dpm_adaptive(model, x, 0.05, 20.0, disable=True))


# --- azula ---


class Schedule:
    """Equally spaced log-SNR in time, on the circle."""

    def __call__(self, t):
        lam = 2.5 - 5 * torch.as_tensor(t, dtype=torch.float64)
        return torch.sigmoid(2 * lam).sqrt(), torch.sigmoid(-2 * lam).sqrt()


class Denoiser:
    schedule = Schedule()

    def __call__(self, x, t):
        alpha, sigma = self.schedule(t)
        self.mean = model(x / alpha, sigma / alpha)
        return self


AZULA = [
    ("DDPMSampler", {}, "ddpm_ancestral"),
    ("DDIMSampler", {}, "ddim"),
    ("EulerSampler", {}, "ddim"),
    ("HeunSampler", {}, "rho_heun"),
    ("zABSampler", {"order": 3}, "deis_rhoab_3"),
    ("vABSampler", {"order": 2}, "ab2"),
    ("zEABSampler", {"order": 3}, "exp_ab3_noise"),
    ("xEABSampler", {"order": 4}, "exp_ab4"),
]


def sampler(name, **options):
    return getattr(azula(), name)(Denoiser(), steps=7, silent=True, dtype=torch.float64, **options)


@pytest.mark.parametrize("name, options, known", AZULA)
def test_a_sampler_of_azula_is_known_and_has_no_fault(name, options, known):
    lifted = examined(sampler(name, **options))
    assert lifted.faults == ()
    assert known in [near.name for near in dn.nearest(lifted.assumed, most=20) if near.rows == 0]


@pytest.mark.parametrize("name, options, known", AZULA[1:])
def test_a_lifted_plan_gives_azulas_own_output(name, options, known):
    made = sampler(name, **options)
    plan = examined(made).plan
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)
    with quiet():
        theirs = made(x)
    ours = dn.sample(plan, lambda x, level: Denoiser()(x, torch.tensor(level.t, dtype=torch.float64)).mean, x)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_b07_the_wrong_level_of_reab_shows_on_one_point_from_its_first_step_on(order):
    first = examined(sampler("REABSampler", order=order)).findings[0]
    assert (first.kind, first.step, first.call) == ("scale", 0, 1)
