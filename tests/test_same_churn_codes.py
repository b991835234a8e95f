"""Codes that draw, coefficient by coefficient and draw by draw: k-diffusion, EDM, Restart and UCGM."""

import json

import pytest
import torch
from peers import EDM, FLOW, TOLERANCE, grid_of
from peers_authors import author, needed, quiet, sampler_of_edm, sampler_of_restart, sampler_of_ucgm
from peers_noise import Units, apart, drawing

from diffnum import grid as grids

needed()

# not equally spaced in anything
SIGMAS = [20.0, 11.3, 6.8, 3.1, 1.9, 0.7, 0.31, 0.08, 0.0]


def crowson(name, **options):
    code = author(
        "k-diffusion", "k_diffusion", "sampling.py", absent=("torchdiffeq", "torchsde", "k_diffusion"),
        name="k_diffusion.sampling",
    )  # fmt: skip
    code.utils.append_dims = lambda v, dims: v[(...,) + (None,) * (dims - v.ndim)]
    units = Units()
    if "ancestral" in name:
        options["noise_sampler"] = lambda *interval: units.normal((1, 128))
    with quiet(), drawing(units):
        walk = torch.tensor(SIGMAS, dtype=torch.float64)
        units.end(getattr(code, name)(lambda x, sigma: units.data(x), units.start(), walk, disable=True, **options))
    return units.table()


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    "theirs, name",
    [
        ("sample_euler_ancestral", "euler_ancestral"),
        ("sample_dpm_2_ancestral", "kdpm2_ancestral"),
        ("sample_dpmpp_2s_ancestral", "dpmpp_2s_ancestral"),
    ],
)
def test_ancestral_samplers_of_k_diffusion(theirs, name, eta):
    assert apart(crowson(theirs, eta=eta), name, grid_of(SIGMAS, EDM), eta=eta) < TOLERANCE


CHURNED = [{"s_churn": 2.0}, {"s_churn": 40.0}, {"s_churn": 40.0, "s_tmin": 0.2, "s_tmax": 8.0, "s_noise": 1.003}]


@pytest.mark.parametrize("options", CHURNED)
@pytest.mark.parametrize(
    "theirs, name", [("sample_euler", "euler_churn"), ("sample_heun", "edm_churn"), ("sample_dpm_2", "kdpm2_churn")]
)
def test_churned_samplers_of_k_diffusion(theirs, name, options):
    own = {key.removeprefix("s_"): value for key, value in options.items()}
    assert apart(crowson(theirs, **options), name, grid_of(SIGMAS, EDM), **own) < TOLERANCE


@pytest.mark.parametrize("churn, low, high, more", [(5.0, 0.0, float("inf"), 1.0), (40.0, 0.05, 50.0, 1.003)])
def test_the_stochastic_sampler_of_edm(churn, low, high, more):
    options = {"S_churn": churn, "S_min": low, "S_max": high, "S_noise": more}
    own = {"churn": churn, "tmin": low, "tmax": high, "noise": more}
    assert apart(of_edm(sampler_of_edm(), 9, **options), "edm_churn", grids.edm(EDM, 9), **own) < TOLERANCE


@pytest.mark.parametrize("at, back, times", [((6,), 3, 2), ((4, 7), 2, 1), ((8,), 1, 4)])
def test_the_sampler_of_restart(at, back, times):
    """Their own levels of a restart are ours where ``t_max`` is one of the grid's and the steps are as many."""
    levels = grids.edm(EDM, 10)
    info = {str(i): [back + 1, times, levels[i].sigma, levels[i - back].sigma] for i in at}
    theirs = of_edm(sampler_of_restart(), 10, S_noise=1.0, restart_info=json.dumps(info))
    assert apart(theirs, "restart", levels, at=at, back=back, times=times) < TOLERANCE


def of_edm(sample, n, **options):
    """The table of a sampler that is written as ``edm_sampler`` is."""
    units = Units()

    class Net:
        sigma_min, sigma_max = 0.0, float("inf")
        img_channels = img_resolution = 1
        round_sigma = staticmethod(torch.as_tensor)

        def __call__(self, x, sigma, labels):
            return units.data(x)

    with quiet():
        units.end(sample(Net(), units.start() / 80, randn_like=units.normal, num_steps=n, **options))
    return units.table()


@pytest.mark.parametrize("n", [3, 12, 40])
@pytest.mark.parametrize("share, name, options", [(0.3, "ucgm_renoise", {"rho": 0.3}), ("Auto", "ucgm_auto_coded", {})])
def test_the_sampler_of_ucgm(share, name, options, n):
    units = Units()

    class Linear:
        integ_st = 1
        alpha_in, gamma_in = staticmethod(lambda t: t), staticmethod(lambda t: 1 - t)
        kumaraswamy_transform = staticmethod(lambda t, *powers: t)

        def forward(self, model, x, t):
            D = units.data(x)
            return D, (x - (1 - t) * D) / t, None, None

    with quiet():
        sample = sampler_of_ucgm(lambda shape: units.normal(torch.empty(shape)))
        units.end(sample(Linear(), units.start(), None, n, stochast_ratio=share)[-1])
    grid = grid_of([*torch.linspace(0.999, 0.001, n, dtype=torch.float64).tolist(), 0.0], FLOW)
    assert apart(units.table(), name, grid, **options) < TOLERANCE
