"""Stochastic schedulers of diffusers are samplers of ours, draws included; and where they are not.

Numbers are those of the table of known defects in published samplers.
"""

import importlib
import sys
from contextlib import contextmanager
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
import torch
from peers import TOLERANCE, difference, distance, double, grid_of, ours
from peers_authors import quiet

from diffnum.read.tableau import canonical
from diffnum.solvers import ALL
from diffnum.solvers.sde_multistep import implicit
from diffnum.solvers.sde_rules import ADAMS, ADAMS_MOULTON, NOISE_SDE, stochastic_predictor_corrector

pytest.importorskip("diffusers")
from peers_stochastic import Drawing, by_sigma, run
from test_same_diffusers import EDM_DPM, MULTISTEP, PLAIN, SA, SINGLESTEP, geometric

DATA = {**PLAIN, "algorithm_type": "sde-dpmsolver++"}
NOISE = {**PLAIN, "algorithm_type": "sde-dpmsolver"}
NAMED = [
    (MULTISTEP, {**DATA, "solver_order": 1}, "sde_dpmpp_1 ddpm_ancestral"),
    (MULTISTEP, {**DATA, "solver_order": 2}, "sde_dpmpp_2m"),
    (MULTISTEP, {**DATA, "solver_order": 2, "solver_type": "heun"}, "sde_dpmpp_2m_heun sa_p2_exact"),
    (MULTISTEP, {**NOISE, "solver_order": 1}, "sde_dpm_1 seeds_1"),
    (MULTISTEP, {**NOISE, "solver_order": 2}, "sde_dpm_2m"),
    (MULTISTEP, {**NOISE, "solver_order": 2, "solver_type": "heun"}, "sde_dpm_2m_heun sa_p2_noise"),
    (SINGLESTEP, {**DATA, "solver_order": 1}, "sde_dpmpp_1"),
    (
        EDM_DPM,
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "final_sigmas_type": "sigma_min"},
        "sde_dpmpp_2m",
    ),
]


@pytest.mark.parametrize("scheduler, settings, names", NAMED)
def test_a_scheduler_is_the_sampler_of_that_name(scheduler, settings, names):
    r = run(scheduler, 8, **{"lower_order_final": False, **settings})
    assert len(r.plan.draws) == len(r.grid) - 1
    for name in names.split():
        assert distance(r.plan, ours(name, r.grid)) < TOLERANCE, name


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.4])
@pytest.mark.parametrize("kind", ["data", "noise"])
@pytest.mark.parametrize(
    "predictor, corrector, name",
    [(1, 1, "p1c1"), (1, 2, "p1c2"), (2, 2, "p2c2"), (2, 3, "p2c3"), (3, 3, "p3c3"), (3, 4, "p3c4"), (4, 4, "p4c4")],
)
def test_sa_solver(predictor, corrector, name, kind, tau):
    if kind == "data":
        settings, sampler = {}, f"sa_{name}"
    else:
        settings = {"algorithm_type": "noise_prediction"}
        sampler = ALL.get(f"sa_{name}_noise") or on_the_noise(predictor, corrector)
    orders = {"predictor_order": predictor, "corrector_order": corrector}
    r = run(SA, 9, tau_func=lambda t: tau, lower_order_final=False, **orders, **settings)
    found = ours(sampler, r.grid, rate=tau**2)
    assert same(r.plan, found) < TOLERANCE


def on_the_noise(predictor, corrector):
    return stochastic_predictor_corrector(NOISE_SDE, ADAMS[:predictor], ADAMS_MOULTON[: corrector - 1] or (implicit,))


def same(theirs, found):
    """:func:`distance`, without columns of draws that nothing uses: theirs draws where there is no noise."""
    a, b = (used(canonical(plan)) for plan in (theirs, found))
    scale = np.maximum(np.abs(a).max(axis=1), np.abs(b).max(axis=1))
    return float((np.abs(a - b).max(axis=1) / scale).max())


def used(table):
    first = 1 + table.evaluations
    kept = np.abs(table.matrix).max(axis=0) > 0
    kept[:first] = True
    return table.matrix[:, kept]


def test_sa_solver_with_a_rate_that_varies():
    """Its ``tau`` is that of the start of a step, 1 in the middle and 0 at both ends as in the paper."""

    def tau(t):
        return 1.0 if 200 <= t <= 800 else 0.2

    r = run(SA, 9, tau_func=tau, lower_order_final=False, predictor_order=3, corrector_order=4)
    seen = {level.lam: tau(t) for level, t in zip(r.grid, r.scheduler.timesteps, strict=False)}
    assert set(seen.values()) == {1.0, 0.2}
    found = ours("sa_p3c4", r.grid, rate=lambda s, t: seen[s.lam] ** 2)
    assert distance(r.plan, found) < TOLERANCE


# --- schedulers in sigma, with noise of a Brownian motion in it ---


@contextmanager
def kept(module, name, n, **settings):
    """A scheduler that needs torchsde for its noise, which it is given."""
    with mock.patch.dict(sys.modules, {"torchsde": mock.MagicMock()}):
        module = importlib.import_module(f"diffusers.schedulers.{module}")
    with double(module), quiet():
        scheduler = getattr(module, name)(**settings)
        scheduler.set_timesteps(n)
        yield scheduler


@pytest.mark.parametrize("n", [5, 8])
def test_dpmsolver_sde_is_dpmpp_sde(n):
    with kept("scheduling_dpmsolver_sde", "DPMSolverSDEScheduler", n) as scheduler:
        sigmas = scheduler.sigmas.double()
        walk = [float(sigmas[0]), *(float(s) for s in sigmas[1:-1:2]), 0.0]
        levels = [s for pair in pairwise(walk[:-1]) for s in (pair[0], (pair[0] * pair[1]) ** 0.5)] + [walk[-2]]
        assert len(levels) == len(scheduler.timesteps)

        def sample(denoiser, x, noise):
            scheduler.noise_sampler = noise
            for t, sigma in zip(scheduler.timesteps, levels, strict=True):
                x = scheduler.step((x - denoiser(x, sigma)) / sigma, t, x, return_dict=False)[0]
            return x

        theirs, grid = by_sigma(sample, walk)
    assert distance(theirs, ours("dpmpp_sde", grid)) < TOLERANCE
    assert difference(theirs, ours("dpmpp_sde_independent", grid)).row == 2


@pytest.mark.parametrize("kind, name", [("midpoint", "sde_dpmpp_2m"), ("heun", "sde_dpmpp_2m_heun")])
def test_cosine_dpm_solver_is_two_points_in_sigma(kind, name):
    settings = {"solver_type": kind, "lower_order_final": False, "prediction_type": "epsilon"}
    with kept("scheduling_cosine_dpmsolver_multistep", "CosineDPMSolverMultistepScheduler", 7, **settings) as scheduler:
        walk = [float(s) for s in scheduler.sigmas]

        def sample(denoiser, x, noise):
            scheduler.noise_sampler = noise
            for t, sigma in zip(scheduler.timesteps, walk[:-1], strict=True):
                skip, out = (float(c) for c in scheduling(scheduler, sigma))
                x = scheduler.step((denoiser(x, sigma) - skip * x) / out, t, x, return_dict=False)[0]
            return x

        theirs, grid = by_sigma(sample, walk)
    # its last step is to zero and draws with a weight of zero
    assert same(theirs, ours(name, grid)) < TOLERANCE


def scheduling(scheduler, sigma):
    """``c_skip`` and ``c_out``, from what it makes of unit vectors."""
    s = torch.tensor(sigma, dtype=torch.float64)
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    return scheduler.precondition_outputs(one, zero, s), scheduler.precondition_outputs(zero, one, s)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_cogvideox_dpm_is_two_points_of_type_midpoint(prediction):
    module = importlib.import_module("diffusers.schedulers.scheduling_dpm_cogvideox")
    model = Drawing(64)
    with double(module), quiet(), mock.patch.object(module, "randn_tensor", lambda shape, **k: model.draw()):
        scheduler = module.CogVideoXDPMScheduler(
            prediction_type=prediction, timestep_spacing="trailing", snr_shift_scale=1.0, rescale_betas_zero_snr=False
        )
        scheduler.set_timesteps(8)
        products = scheduler.alphas_cumprod.double()
        ratio = [float(((1 - products[t]) / products[t]).sqrt()) for t in scheduler.timesteps]
        last = float(((1 - scheduler.final_alpha_cumprod) / scheduler.final_alpha_cumprod).sqrt())
        grid = grid_of([*ratio, last])
        x, old, back = model.start(), None, None
        for t, level in zip(scheduler.timesteps, grid, strict=False):
            out = model(x, level, {"epsilon": "noise", "v_prediction": "velocity"}[prediction], t)
            x, old = scheduler.step(out, old, t, back, x, return_dict=False)
            back = t
        theirs = model.plan(x, grid[0], grid[-1])
    assert same(theirs, ours("sde_dpmpp_2m", grid)) < TOLERANCE


# --- known defects ---


def test_b03_the_sign_of_one_half_in_the_third_order():
    r = run(MULTISTEP, 8, solver_order=3, **DATA)
    assert distance(r.plan, ours("sde_dpmpp_3m_coded", r.grid)) < TOLERANCE
    apart = difference(r.plan, ours("sde_dpmpp_3m_corrected", r.grid))
    # the start-up differs in kind already: two points of type midpoint
    assert (apart.row, apart.column) == (2, 1)
    assert ALL["sde_dpmpp_3m_coded"].order == 0


def test_b04_the_third_order_on_the_noise_is_an_error():
    with pytest.raises(UnboundLocalError):
        run(MULTISTEP, 8, solver_order=3, **NOISE)


CODED = [("midpoint", 2, "sde_dpmpp_2s"), ("heun", 3, "sde_dpmpp_3s")]


@pytest.mark.parametrize("kind, order, name", CODED)
def test_b05_b06_singlestep_draws_the_noise_of_node_and_end_apart(kind, order, name):
    settings = {**DATA, "solver_type": kind, "solver_order": order}
    r = run(SINGLESTEP, 6, then=geometric, **settings)
    coarse = grid_of([level.sigma / level.alpha for level in r.grid][::order])
    assert distance(r.plan, ours(f"{name}_coded", coarse)) < TOLERANCE
    apart = difference(r.plan, ours(name if order == 2 else f"{name}_taylor", coarse))
    # row 0 is the start, row 1 the node; the second node of three, or the end, forgets what the first has drawn
    assert apart.row == 2
    assert (ALL[f"{name}_coded"].order, ALL[name].order) == (3 - order, 2)
