"""A design for guidance from end to end, on a small labelled data set, and what all readings make of its plan."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.design import design, surrogates
from diffnum.design.classes import Classes, Joined

CENTRES = {"ant": [1.0, 0.0, 0.0], "bee": [-0.6, 0.8, 0.0], "cow": [-0.4, -0.9, 0.3]}
LABELS = np.repeat(list(CENTRES), 60)
SCALE = 2.0
PROCESS = dn.DDPM(np.linspace(1e-4, 0.02, 1000).tolist())
BY_HAND = [dn.grid.log_snr, dn.grid.uniform, dn.grid.karras, dn.grid.quadratic]


def drawn(seed):
    rng = np.random.default_rng(seed)
    return np.array([CENTRES[name] for name in LABELS]) + rng.standard_normal((len(LABELS), 3)) * [0.4, 0.3, 0.1]


@pytest.fixture(scope="module")
def made():
    with pytest.MonkeyPatch.context() as patch:
        # all that a design does, on a few trajectories of each law
        patch.setattr(surrogates, "PATHS", 48)
        samplers = ["ddim", "dpmpp_2m"]
        return design(drawn(0), 3, PROCESS, None, "velocity", samplers, labels=LABELS, guidance=SCALE)


@pytest.fixture(scope="module")
def guided():
    """A guided law that is made of other data, and its trajectories."""
    laws = Classes(LABELS, SCALE).laws(drawn(1), 3, 4, 0)
    return laws, Joined.draw(laws, PROCESS.level(PROCESS.t_start), 48, seed=5, tol=1e-4)


def test_the_design_is_judged_and_better_on_every_law(made):
    assert made.nfe == made.plan.nfe == 3
    assert made.better
    for verdict in made.verdicts:
        assert verdict.error < verdict.hand_made_error
        assert verdict.gain.low <= verdict.gain.value == pytest.approx(1 - verdict.error / verdict.hand_made_error)


def test_other_data_of_the_same_classes_are_served_better_too(made, guided):
    _, trajectories = guided
    by_hand = [dn.compile(name, make(PROCESS, 3, end="zero")) for name in ("ddim", "dpmpp_2m") for make in BY_HAND]
    assert trajectories.error(made.fit.plan()) < min(map(trajectories.error, by_hand))


def test_the_tableau_is_what_the_plan_makes_of_its_evaluations(made, guided):
    law, plan = guided[0][0], made.plan
    x = law.family.sample(5, 2, plan.start)
    asked = []

    def model(state, level):
        # what a tableau counts are predictions of the data, whatever the model predicts
        asked.append(law.denoise(state, level))
        return law.velocity(state, level)

    end = dn.sample(plan, model, x)
    matrix = dn.tableau(plan)
    assert matrix.shape == (4, 4)
    np.testing.assert_allclose(np.tensordot(matrix[-1], [x, *asked], 1), end, atol=1e-12)
    # no input reads what is not yet known
    assert not np.triu(matrix[:, 1:]).any()


def test_moments_are_those_of_runs_on_a_gaussian(made):
    target = dn.Gaussian([0.3, -0.2], [0.8, 0.05])
    mean, variance = dn.moments(made.plan, target)
    start = made.plan.start
    middle, spread = start.alpha * target.mean, np.sqrt(start.alpha**2 * target.variances + start.sigma**2)
    ends = dn.sample(made.plan, target, np.stack([middle, middle + spread]))
    np.testing.assert_allclose(ends[0], mean, atol=1e-12)
    np.testing.assert_allclose((ends[1] - ends[0]) ** 2, variance, rtol=1e-10)


def test_it_costs_as_many_calls_as_were_asked_for_and_twice_as_many_under_guidance(made):
    assert dn.cost(made.plan).nfe == 3
    assert dn.cost(made.plan, 2).calls == 6


def test_saved_and_loaded_it_is_the_same(made, guided, tmp_path):
    plan, law = made.plan, guided[0][1]
    made.plan.save(tmp_path / "plan.json")
    x = law.family.sample(3, 0, plan.start)
    for again in (dn.Plan.load(tmp_path / "plan.json"), dn.Plan.from_json(json.loads(json.dumps(plan.to_json())))):
        assert again.hash == plan.hash
        assert np.array_equal(dn.sample(again, law, x), dn.sample(plan, law, x))


def test_a_pipelines_loop_runs_it_under_guidance(made, guided):
    diffusers = pytest.importorskip("diffusers")
    from diffnum.interop.diffusers import PlanScheduler

    plan = made.plan
    law = guided[0][2]
    base = diffusers.DDPMScheduler(prediction_type="v_prediction", clip_sample=False)
    scheduler = PlanScheduler.from_config(base.config, plan=plan)
    scheduler.set_timesteps(3)
    x = torch.tensor(law.family.sample(4, 0, plan.start))
    state, asked = x.clone(), iter(plan.lines[r - 1].level for r in plan.evaluations)
    for t in scheduler.timesteps:
        level = next(asked)
        every, one = (law.family.guided(state, level, law.label, scale, "velocity") for scale in (0.0, 1.0))
        state = scheduler.step(every + SCALE * (one - every), t, state).prev_sample
    assert torch.allclose(state, dn.sample(plan, law, x), atol=1e-10)
