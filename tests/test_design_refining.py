"""Plans fitted to a model's own trajectories: the fit is that on exact slopes, and it is seen on other trajectories."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from design_cases import MIXTURE, PROCESSES

import diffnum as dn
from diffnum.design import Followed, Free, Part, Trajectories, Trial, fit, refine

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
    drawn = Trajectories(MIXTURE, START, x, law.flow(x, START, dn.Level(0.0, 1.0, 0.0)))
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


def test_calls_are_those_of_the_model_without_those_for_the_ends():
    asked = []

    def model(x, level):
        asked.append(len(x))
        return MIXTURE.denoise(x, level)

    x = points(6)
    Followed(model, "data", VP, STOP, x).flow(x, START, dn.Level(0.0, 1.0, 0.0))
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
