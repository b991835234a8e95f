"""Samplers with the signature of k-diffusion: the run of dn.sample, sigmas in and out."""

import copy
import inspect
import pickle
from itertools import pairwise

import pytest
import torch

import diffnum as dn
from diffnum.interop import k_diffusion

SIGMAS = torch.tensor([14.0, 5.0, 2.0, 0.7, 0.2, 0.0], dtype=torch.float64)
X = 14.0 * torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def model(x, sigma, factor=1.0):
    assert sigma.shape == (len(x),)
    return factor * torch.tanh(x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2))


def denoise(x, level):
    return model(x, x.new_full((len(x),), level.sigma))


def direct(name, grid, **options):
    return dn.sample(dn.compile(name, grid, **options), denoise, X)


@pytest.mark.parametrize("name", ["dpmpp_2m", "heun", "unipc_2", "dpm_solver_3", "lms_4"])
def test_it_is_the_run_of_dn_sample(name):
    assert torch.equal(k_diffusion.sampler(name)(model, X, SIGMAS), direct(name, k_diffusion.grid(SIGMAS)))
    # and of a plan
    plan = dn.compile(name, k_diffusion.grid(SIGMAS))
    assert torch.equal(
        k_diffusion.sampler(plan)(model, X, k_diffusion.sigmas(plan, SIGMAS)), direct(name, k_diffusion.grid(SIGMAS))
    )


def test_their_euler_in_six_lines():
    x = X
    for s, t in pairwise(SIGMAS):
        d = (x - model(x, s.expand(len(x)))) / s
        x = x + (t - s) * d
    assert torch.allclose(k_diffusion.sampler("sample_euler")(model, X, SIGMAS), x, rtol=1e-12)


def test_the_signature_is_theirs():
    listed = list(inspect.signature(k_diffusion.sampler("ddim")).parameters)
    assert listed[:6] == ["model", "x", "sigmas", "extra_args", "callback", "disable"]
    with_factor = k_diffusion.sampler("ddim")(model, X, SIGMAS, extra_args={"factor": 0.5}, disable=True)
    assert not torch.equal(with_factor, k_diffusion.sampler("ddim")(model, X, SIGMAS))


@pytest.mark.parametrize("name", ["dpmpp_2m", "rho_heun", "unipc_2"])
def test_the_callback_sees_the_start_of_every_step(name):
    seen = []
    k_diffusion.sampler(name)(model, X, SIGMAS, callback=seen.append)
    assert [s["i"] for s in seen] == [0, 1, 2, 3, 4]
    assert [float(s["sigma"]) for s in seen] == SIGMAS[:-1].tolist()
    assert torch.equal(seen[0]["x"], X) and all(
        s["denoised"].shape == X.shape and s["sigma_hat"] == s["sigma"] for s in seen
    )


def test_options_reach_the_sampler_and_draws_the_noise_sampler():
    asked = []

    def noise_sampler(sigma, sigma_next):
        asked.append((float(sigma), float(sigma_next)))
        return torch.ones_like(X)

    still = k_diffusion.sampler("euler_ancestral", eta=0.0)(model, X, SIGMAS, noise_sampler=noise_sampler)
    assert torch.allclose(still, k_diffusion.sampler("euler")(model, X, SIGMAS), rtol=1e-12)
    asked.clear()
    drawn = k_diffusion.sampler("euler_ancestral")(model, X, SIGMAS, noise_sampler=noise_sampler, eta=1.0)
    x = X
    for s, t in pairwise(SIGMAS):
        up = torch.minimum(t, (t**2 * (s**2 - t**2) / s**2) ** 0.5)
        down = (t**2 - up**2) ** 0.5
        x = x + (x - model(x, s.expand(len(x)))) / s * (down - s) + up * (t > 0)
    assert torch.allclose(drawn, x, rtol=1e-10)
    assert set(asked) <= set(zip(SIGMAS[:-1].tolist(), SIGMAS[1:].tolist(), strict=True)) and len(asked) >= 4
    torch.manual_seed(0)
    one = k_diffusion.sampler("euler_ancestral")(model, X, SIGMAS)
    torch.manual_seed(0)
    assert torch.equal(one, k_diffusion.sampler("euler_ancestral")(model, X, SIGMAS))


def test_flow_matching_steps_between_data_and_noise():
    sigmas = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0], dtype=torch.float64)
    x = X / 14
    made = k_diffusion.sampler("Euler", process=dn.Flow())(model, x, sigmas)
    for s, t in pairwise(sigmas):
        D = model(x, s.expand(len(x)))
        x = D + t / s * (x - D)
    assert torch.allclose(made, x, rtol=1e-12)
    assert k_diffusion.sigmas(k_diffusion.grid(sigmas, dn.Flow()), sigmas).tolist() == sigmas.tolist()


def test_on_flow_matching_their_heun_steps_in_sigma():
    sigmas = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0], dtype=torch.float64)
    x = X / 14
    made = k_diffusion.sampler("Heun", process=dn.Flow())(model, x, sigmas)
    for s, t in pairwise(sigmas):
        d = (x - model(x, s.expand(len(x)))) / s
        ahead = x + (t - s) * d
        x = ahead if t == 0 else x + (t - s) * (d + (ahead - model(ahead, t.expand(len(x)))) / t) / 2
    assert torch.allclose(made, x, rtol=1e-12)


def test_sigmas_go_out_as_they_came_in():
    assert torch.equal(k_diffusion.sigmas(k_diffusion.grid(SIGMAS), SIGMAS), SIGMAS)
    karras = dn.grid.karras(dn.VP(), 5)
    out = k_diffusion.sigmas(karras)
    assert out.dtype == torch.float32 and torch.allclose(
        out.double(), torch.tensor([level.sigma / level.alpha for level in karras]).double()
    )
    with pytest.raises(ValueError, match="infinite at alpha = 0"):
        k_diffusion.sigmas(dn.grid.uniform(dn.Cosine(), 3))


def test_a_sampler_can_be_copied_and_pickled():
    made = k_diffusion.sampler(dn.compile("dpmpp_2m", k_diffusion.grid(SIGMAS)))
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(other(model, X, SIGMAS), made(model, X, SIGMAS))


def test_what_does_not_fit_is_refused():
    grid = k_diffusion.grid(SIGMAS)
    with pytest.raises(ValueError, match="noise prediction"):
        k_diffusion.sampler(dn.compile("ddim", grid, "noise"))
    with pytest.raises(ValueError, match="lies on VP"):
        k_diffusion.sampler(dn.compile("ddim", dn.grid.log_snr(dn.VP(), 4)))
    fixed = k_diffusion.sampler(dn.compile("ddim", grid))
    with pytest.raises(ValueError, match=r"sigmas\[1\] = 4.9"):
        fixed(model, X, torch.tensor([14.0, 4.9, 2.0, 0.7, 0.2, 0.0]))
    with pytest.raises(ValueError, match="4 sigmas for a plan"):
        fixed(model, X, SIGMAS[:4])
    with pytest.raises(ValueError, match="a plan has its options already"):
        fixed(model, X, SIGMAS, eta=1.0)
    with pytest.raises(ValueError, match="no equal here"):
        k_diffusion.sampler("sample_dpm_adaptive")
