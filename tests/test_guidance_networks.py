"""Guided networks of diffusers: one doubled call against two, and a run against the loop of a pipeline."""

import pytest
import torch

import diffnum as dn
from diffnum import models

pytest.importorskip("diffusers")
from pipelines import network, scheduler

from diffnum.interop.diffusers import scheduler_to_plan

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning", "ignore:The `local_dir_use:UserWarning")

SCHEDULER = scheduler("DPMSolverMultistepScheduler", use_karras_sigmas=True)
TEXT, NONE = (torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
START = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
NET = models.from_diffusers(network("conditional"), SCHEDULER)
STRONG, WEAK = (NET.given(encoder_hidden_states=text) for text in (TEXT, NONE))
BOTH = models.Batched(NET.given(encoder_hidden_states=torch.cat([TEXT, NONE])), STRONG, NET.prediction)
SCALE = 5.0


def near(a, b, tol):
    assert float((a - b).abs().max()) <= tol * float(b.abs().max())


def test_a_doubled_call_is_two_calls():
    level = NET.process.at(0.3)
    pair = models.classifier_free(STRONG, WEAK, SCALE, NET.prediction)
    near(models.Guidance(BOTH, models.Linear(SCALE))(START, level), pair(START, level), 1e-5)
    assert pair.calls(level) == models.Guidance(BOTH, models.Linear(SCALE)).calls(level) == 2


def test_a_guided_run_is_that_of_a_pipelines_loop():
    theirs = scheduler("DPMSolverMultistepScheduler", use_karras_sigmas=True)
    theirs.set_timesteps(6)
    x = START
    for t in theirs.timesteps:
        seen = theirs.scale_model_input(torch.cat([x, x]), t)
        c, u = NET.module(seen, t, encoder_hidden_states=torch.cat([TEXT, NONE])).sample.chunk(2)
        x = theirs.step(u + SCALE * (c - u), t, x).prev_sample
    whole = models.from_diffusers(network("conditional"), SCHEDULER, whole_times=True)
    doubled = whole.given(encoder_hidden_states=torch.cat([TEXT, NONE]))
    source = models.Batched(doubled, whole.given(encoder_hidden_states=TEXT), whole.prediction)
    plan = scheduler_to_plan(SCHEDULER, 6)
    near(dn.sample(plan, models.Guidance(source, models.Linear(SCALE)), START), x, 1e-4)


def test_a_reward_is_differentiated_through_the_network():
    level = NET.process.at(0.3)
    ours = models.RewardGuided(STRONG, lambda D: -(D**2).flatten(1).sum(-1), 0.1, NET.prediction)
    leaf = START.double().requires_grad_()
    a, b = dn.prediction.to_data(level, NET.prediction)
    eps = STRONG(leaf, level)
    (gradient,) = torch.autograd.grad(-((a * leaf + b * eps) ** 2).sum(), leaf)
    near(ours(START.double(), level), eps.detach() - 0.1 * level.sigma * gradient, 1e-6)
