"""Plans fitted to a model's own trajectories: the fit is that on exact slopes, and it is seen on other trajectories."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from design_cases import MIXTURE, PROCESSES, begun

import diffnum as dn
from diffnum import Level
from diffnum.design import Followed, Free, Part, Trajectories, Trial, fit, refine
from diffnum.design.moments import posterior
from diffnum.design.sensitivity import numbers, sensitivities

VP = PROCESSES["VP"]
START, STOP = VP.level(VP.t_start), VP.level(VP.t_stop)
PLAN = dn.compile("dpmpp_2m", dn.grid.log_snr(VP, 5), "data")


def points(n, seed=0, start=START):
    return MIXTURE.sample(n, seed, start)


def others(n=200):
    return Trajectories.draw(MIXTURE, START, n, 5, 1e-4)


def test_it_serves_trajectories_that_it_was_not_fitted_to():
    found = refine(PLAN, MIXTURE.denoise, points(24), VP)
    assert found.plan.nfe == PLAN.nfe
    assert found.plan.start == PLAN.start
    assert found.error < 0.5 * found.before
    assert others().error(found.plan) < 0.6 * others().error(PLAN)


def test_on_a_law_it_is_the_fit_with_exact_slopes():
    x = points(24)
    law = Followed(MIXTURE.denoise, "data", VP, STOP, x)
    drawn = Trajectories(MIXTURE, START, x, law.flow(x, START, Level(0.0, 1.0, 0.0)))
    family = Free(VP, START, STOP.lam, 5)
    exact = fit(family, family.near(PLAN), [Trial("law", (Part(drawn),))], rounds=30, losses=("linear",))
    found = refine(PLAN, MIXTURE.denoise, x, VP, rounds=30)
    assert drawn.error(exact.plan()) == pytest.approx(found.error, rel=1e-3)
    assert np.abs(drawn.outputs(exact.plan()) - drawn.outputs(found.plan)).max() < 0.5 * found.error


@pytest.mark.parametrize("prediction", ["velocity", "noise"])
def test_a_torch_model_of_any_prediction_is_the_same_law(prediction):
    def network(x, level):
        return torch.from_numpy(MIXTURE.predict(x.numpy(), level, prediction))

    given = torch.from_numpy(points(8))
    found = refine(PLAN, network, given, VP, prediction, rounds=2)
    plain = refine(PLAN, MIXTURE.denoise, points(8), VP, rounds=2)
    assert found.plan.prediction == prediction
    assert found.error == pytest.approx(plain.error, rel=1e-4)


def test_from_pure_noise_too():
    flow = PROCESSES["Flow"]
    plan = dn.compile("dpmpp_2m", dn.grid.uniform(flow, 5, end="zero"), "data")
    found = refine(plan, MIXTURE.denoise, points(24, 1, plan.start), flow)
    assert plan.start.pure_noise
    assert found.error < 0.7 * found.before


@pytest.mark.parametrize("name", ["VP", "VE"])
def test_slopes_of_a_function_are_those_of_the_law_behind_it(name):
    process = PROCESSES[name]
    level = process.at(0.4)
    x, moves = points(5, 2, level), np.random.default_rng(3).standard_normal((5, 4, 3))
    moves[:, 2] = 0.0
    law = Followed(MIXTURE.denoise, "data", process, process.level(process.t_stop), x)
    found, exact = (posterior(one, x, Level(math.nan, level.alpha, level.sigma)) for one in (law, MIXTURE))
    assert np.allclose(found.mean, exact.mean, atol=1e-12)
    assert np.allclose(found.turn, exact.turn, rtol=1e-4, atol=1e-4)
    whole = np.einsum("nij,npj->npi", exact.cov, moves)
    assert np.allclose(exact.along(moves), whole, rtol=1e-12, atol=1e-14)
    assert np.allclose(found.along(moves), whole, atol=5e-3 * np.abs(whole).max())


@pytest.mark.parametrize("apart", [1e-5, 3e-4, 1e-2])
def test_slopes_near_the_last_level_that_a_model_knows_are_to_one_side(apart):
    level = VP.at(STOP.lam - apart)
    x = points(5, 2, level)
    law = Followed(MIXTURE.denoise, "data", VP, STOP, x)
    found, exact = (posterior(one, x, Level(math.nan, level.alpha, level.sigma)) for one in (law, MIXTURE))
    assert np.allclose(found.turn, exact.turn, rtol=5e-3, atol=5e-3 * np.abs(exact.turn).max())


def test_slopes_take_the_calls_that_are_said():
    count = []

    def model(x, level):
        count.append(len(x))
        return MIXTURE.denoise(x, level)

    for n in (4, 6):
        family, x = Free(VP, START, STOP.lam, n), points(3)
        law = Followed(model, "data", VP, STOP, x)
        count.clear()
        sensitivities(numbers(family.plan, begun(family)), law, x)
        assert sum(count) == len(x) * ((n**3 - n) // 6 + 3 * n - 2)


def test_a_plan_of_one_evaluation_has_nothing_to_fit():
    plan = dn.compile("ddim", dn.grid.log_snr(VP, 1))
    with pytest.raises(ValueError, match="ddim in 1 evaluation has no number to fit: use a plan of at least 2"):
        refine(plan, MIXTURE.denoise, points(3), VP)


def test_calls_are_those_of_the_model_without_those_for_the_ends():
    asked = []

    def model(x, level):
        asked.append(len(x))
        return MIXTURE.denoise(x, level)

    x = points(6)
    Followed(model, "data", VP, STOP, x).flow(x, START, Level(0.0, 1.0, 0.0))
    ends, found = sum(asked), refine(PLAN, model, x, VP, rounds=2)
    assert found.calls == sum(asked) - 2 * ends > 0


@pytest.mark.parametrize(
    ("plan", "many", "rounds", "said"),
    [
        (PLAN, 0, 4, "0 starting points"),
        (PLAN, 4, 0, "0 rounds"),
        (dn.compile("heun", dn.grid.log_snr(VP, 3), "data"), 4, 4, "heun in 6 evaluations has no neighbour"),
        (dn.compile("ddpm_ancestral", dn.grid.log_snr(VP, 5), "data"), 4, 4, "ddpm_ancestral"),
    ],
)
def test_what_cannot_be_fitted_is_refused(plan, many, rounds, said):
    with pytest.raises(ValueError, match=said):
        refine(plan, MIXTURE.denoise, np.zeros((many, 3)), VP, rounds=rounds)


@pytest.mark.full
def test_refined_on_a_network_of_patches_the_best_by_hand_ends_closer_on_trajectories_not_asked_for():
    network = dn.images.pretrained("patches", VP, "data")
    plan = dn.compile("ipndm_3", dn.grid.karras(VP, 5), "data")

    def noise(n, seed):
        shape = (n, *network.shape)
        return float(plan.start.sigma) * torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    found = refine(plan, network, noise(32, 7), VP)
    judged = dn.design.judge(
        found.plan, network, noise(32, 1), VP, samplers=[dn.solvers.ipndm_3, dn.solvers.dpm_2m, dn.solvers.dpmpp_2m]
    )
    assert judged.gain.low > 0.1
