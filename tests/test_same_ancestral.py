"""Ancestral, churned and re-noising schedulers of diffusers, coefficient by coefficient, draws included."""

from typing import Any

import numpy as np
import pytest
import torch
from peers import CIRCLE, EDM, FLOW, TOLERANCE, distance, grid_of
from peers_noise import WIDTH, apart, stepped

import diffnum as dn
from diffnum.num import log1p
from diffnum.solvers.churn import LARGEST
from diffnum.solvers.stochastic import ddim_eta

pytest.importorskip("diffusers")
from peers_diffusers import made

N = 8
SMALL: dict[str, Any] = {"clip_sample": False}


def noise(levels):
    """A noise prediction in the scale ``x0 + sigma eps``, at the sigma of each call."""
    return lambda units, x, i: (x - units.data(x)) / levels[i]


# --- DDPM: what is drawn has one of three variances ---


def products(scheduler):
    return [float(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps]


def ratios(scheduler):
    return [*(((1 - a) / a) ** 0.5 for a in products(scheduler)), 0.0]


def on_circle(scheduler, extra=None):
    def predict(units, x, i):
        a = products(scheduler)[i]
        eps = (x - a**0.5 * units.data(x)) / (1 - a) ** 0.5
        return eps if extra is None else torch.cat([eps, torch.full_like(eps, extra)], dim=1)

    return predict


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("kind, name", [("fixed_small", "ddpm_ancestral"), ("fixed_large", "ddpm_ancestral_large")])
def test_ddpm_with_a_fixed_variance(kind, name, spacing):
    with made("DDPMScheduler", N, variance_type=kind, timestep_spacing=spacing, **SMALL) as scheduler:
        if scheduler.timesteps[-1] > 0:
            pytest.skip("this spacing stops before its table does")
        theirs = stepped(scheduler, on_circle(scheduler))
    assert apart(theirs, name, grid_of(ratios(scheduler), CIRCLE)) < TOLERANCE


@pytest.mark.parametrize("v", [0.0, 0.3, 0.5, 1.0])
def test_ddpm_with_a_learned_range(v):
    with made("DDPMScheduler", N, variance_type="learned_range", **SMALL) as scheduler:
        # what the network returns is 2 v - 1
        theirs = stepped(scheduler, on_circle(scheduler, 2 * v - 1), (1, 1, WIDTH))
    assert apart(theirs, "ddpm_ancestral_range", grid_of(ratios(scheduler), CIRCLE), v=v) < TOLERANCE


# --- ancestral in sigma ---


@pytest.mark.parametrize("settings", [{}, {"timestep_spacing": "trailing"}])
def test_euler_ancestral(settings):
    with made("EulerAncestralDiscreteScheduler", N, **settings) as scheduler:
        sigmas = [float(s) for s in scheduler.sigmas]
        theirs = stepped(scheduler, noise(sigmas))
    for name in ("euler_ancestral", "ddpm_ancestral"):
        assert apart(theirs, name, grid_of(sigmas, EDM)) < TOLERANCE, name


@pytest.mark.parametrize("settings", [{}, {"use_karras_sigmas": True}])
def test_kdpm2_ancestral(settings):
    with made("KDPM2AncestralDiscreteScheduler", N, **settings) as scheduler:
        sigmas, inner = ([float(s) for s in row] for row in (scheduler.sigmas, scheduler.sigmas_interpol))
        calls = [inner[i - 1] if i % 2 else sigmas[i] for i in range(len(scheduler.timesteps))]
        theirs = stepped(scheduler, noise(calls))
    assert apart(theirs, "kdpm2_ancestral", grid_of([sigmas[0], *sigmas[1:-1:2]], EDM)) < TOLERANCE


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_euler_ancestral_on_flows(eta):
    sigmas = torch.tensor([0.97, 0.8, 0.61, 0.4, 0.15, 0.0], dtype=torch.float64)
    with made("LTXEulerAncestralRFScheduler", 5, eta=eta) as scheduler:
        scheduler.set_timesteps(sigmas=sigmas)
        scheduler.timesteps = scheduler.timesteps[:-1]
        theirs = stepped(scheduler, noise(sigmas.tolist()))
    grid = grid_of(sigmas.tolist(), FLOW)
    # they keep denominators from zero by adding 1e-12 to them
    assert apart(theirs, "euler_ancestral_rf", grid, eta=eta) < 10 * TOLERANCE


def test_stochastic_sampling_of_flows_renoises_everything():
    with made("FlowMatchEulerDiscreteScheduler", N, stochastic_sampling=True) as scheduler:
        sigmas = [float(s) for s in scheduler.sigmas]

        def velocity(units, x, i):
            D = units.data(x)
            return (x - D) / sigmas[i]

        theirs = stepped(scheduler, velocity)
    grid = grid_of(sigmas, FLOW)
    assert apart(theirs, "renoise", grid) < TOLERANCE
    assert apart(theirs, "ucgm_renoise", grid, rho=1.0) < TOLERANCE


# --- churn after the model ---


def late(T, grid, churn, data):
    """Their step with a data prediction, which the noise does not reach, and with a noise prediction, as it should."""
    gamma = min(churn / (len(grid.levels) - 1), LARGEST)
    for s, t in T.steps(grid):
        e, up = T.evaluate(T.x, s), T.below(s, -log1p(gamma))
        x = T.x + s.sigma * ((1 + gamma) ** 2 - 1) ** 0.5 * T.noise(s, up)
        r = t.sigma / up.sigma
        T.x = r * x + (1 - r) * e.data if data else x + (t.sigma - up.sigma) * e.noise


@pytest.mark.parametrize("churn", [1.0, 40.0])
def test_euler_calls_the_model_before_it_churns(churn):
    with made("EulerDiscreteScheduler", N) as scheduler:
        sigmas = [float(s) for s in scheduler.sigmas]
        theirs = stepped(scheduler, noise(sigmas), s_churn=churn)
    grid = grid_of(sigmas, EDM)
    assert apart(theirs, "euler_churn_coded", grid, churn=churn) < TOLERANCE
    assert apart(theirs, lambda T, g: late(T, g, churn, False), grid) < TOLERANCE
    assert apart(theirs, "euler_churn", grid, churn=churn) > 1e-3


def test_with_a_data_prediction_that_code_is_another_method():
    with made("EulerDiscreteScheduler", N, prediction_type="sample") as scheduler:
        sigmas = [float(s) for s in scheduler.sigmas]
        theirs = stepped(scheduler, lambda units, x, i: units.data(x), s_churn=1.0)
    grid = grid_of(sigmas, EDM)
    assert apart(theirs, lambda T, g: late(T, g, 1.0, True), grid) < TOLERANCE
    assert apart(theirs, "euler_churn_coded", grid, churn=1.0) > 1e-3


# --- score SDEs ---


def test_the_predictor_of_score_sdes_that_explode():
    from diffusers import ScoreSdeVeScheduler

    scheduler: Any = ScoreSdeVeScheduler(num_train_timesteps=N, sigma_min=0.02, sigma_max=20.0)
    scheduler.set_timesteps(N, sampling_eps=0.0)
    sigmas = [float(s) for s in scheduler.discrete_sigmas.flip(0)]
    # they cut an index off, which single precision may have put just below a whole number
    scheduler.timesteps = torch.linspace(1, 0, N, dtype=torch.float64) + 1e-9
    scheduler.discrete_sigmas = torch.tensor(sigmas[::-1], dtype=torch.float64)
    scheduler.step = lambda out, t, x, **rest: scheduler.step_pred(out, t, x, return_dict=False)

    def score(units, x, i):
        return (units.data(x) - x) / sigmas[i] ** 2

    theirs = stepped(scheduler, score)
    # their last step draws; ours, as in the paper's code, returns the mean
    own = np.delete(theirs, -1, axis=1)
    assert apart(own, "reverse_diffusion", grid_of([*sigmas, 0.0], EDM)) < 1e-6


# --- identities that hold for any number ---


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_euler_ancestral_is_ddim_of_that_eta(eta):
    levels = dn.grid.log_snr(dn.VP(), 7)
    assert distance(dn.compile("euler_ancestral", levels, eta=eta), dn.compile(ddim_eta, levels, eta=eta)) < 1e-12
