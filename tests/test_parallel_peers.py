"""ParaDiGMS with the parallel schedulers of diffusers, window by window, against ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import diffnum as dn
from diffnum import models
from diffnum.parallel import ancestral, by_increments, paradigms
from diffnum.parallel.triangular import Triangle

pytest.importorskip("diffusers")
from pipelines import network, noise, scheduler

from diffnum.interop.diffusers import scheduler_to_plan

NETWORK = network()
STEPS = 20


def published(theirs: Any, x: torch.Tensor, draws: list[torch.Tensor], window: int, tol: float) -> Any:
    """Algorithm 1 of Shih et al. 2023 with the schedulers' own steps and variances: the sample, and each window."""
    times = theirs.timesteps
    n, p, b = len(times), min(window, len(times)), 0
    variances = [float(theirs._get_variance(t)) for t in times]
    states, windows = [x] * (n + 1), []
    while b < n:
        e = min(b + p, n)
        windows.append((b, e))
        xs = torch.stack(states[b:e])
        told = times[b:e].repeat_interleave(len(x))
        output = NETWORK(xs.flatten(0, 1), told).sample
        moved = theirs.batch_step_no_noise(output, told, xs.flatten(0, 1)).reshape(xs.shape)
        kicks = torch.stack(draws[b:e]) if draws else torch.zeros_like(xs)
        new = states[b] + torch.cumsum(moved - xs, 0) + torch.cumsum(kicks, 0)
        change = ((new - torch.stack(states[b + 1 : e + 1])) ** 2).flatten(2).mean(-1).amax(-1)
        over = [j for j in range(1, e - b) if float(change[j - 1]) > tol**2 * variances[b + j]]
        states[b + 1 : e + 1] = list(new)
        states[e + 1 :] = [new[-1]] * (n - e)
        b += over[0] if over else e - b
    return states[-1], tuple(windows)


@pytest.mark.parametrize("window", [20, 6])
@pytest.mark.parametrize("tol", [0.1, 0.02])
@pytest.mark.parametrize("kind", ["DDIM", "DDPM"])
def test_windows_rounds_and_samples_are_those_of_diffusers(kind, tol, window):
    config = {"clip_sample": False}
    theirs = scheduler(f"{kind}ParallelScheduler", **config)
    theirs.set_timesteps(STEPS)
    plan = scheduler_to_plan(scheduler(f"{kind}Scheduler", **config), STEPS)
    x = noise()
    normals = [noise(10 + i) for i in range(STEPS)] if plan.draws else []
    draws = [float(theirs._get_variance(t)) ** 0.5 * z for t, z in zip(theirs.timesteps, normals, strict=False)]
    sample, windows = published(theirs, x, draws, window, tol)
    net = models.from_diffusers(NETWORK, scheduler("DDPMScheduler", **config))
    order = {round(level.t, 6): i for i, level in enumerate(plan.levels)}

    def source(s: Any, t: Any, j: int, like: Any) -> Any:
        return normals[order[round(s.t, 6)]]

    found = paradigms(plan, net, x, tol, window, source if plan.draws else None)
    assert found.windows == windows
    assert float((found.sample - sample).abs().max()) < 2e-5 * float(sample.abs().max())


@pytest.mark.parametrize("kind", ["DDIM", "DDPM"])
def test_the_variances_are_those_of_diffusers(kind):
    theirs = scheduler(f"{kind}ParallelScheduler", clip_sample=False)
    theirs.set_timesteps(STEPS)
    plan = scheduler_to_plan(scheduler(f"{kind}Scheduler", clip_sample=False), STEPS)
    expected = [float(theirs._get_variance(t)) for t in theirs.timesteps]
    # theirs are differences of products in single precision
    assert ancestral(plan) == pytest.approx(expected, rel=2e-3, abs=1e-6)


def test_one_window_of_increments_is_one_batch_of_their_steps():
    theirs = scheduler("DDIMParallelScheduler", clip_sample=False)
    theirs.set_timesteps(STEPS)
    plan = scheduler_to_plan(scheduler("DDIMScheduler", clip_sample=False), STEPS)
    inputs = [noise(i) for i in range(STEPS)]
    outputs = [noise(50 + i) for i in range(STEPS)]
    steps = [theirs.step(o, t, u).prev_sample for o, t, u in zip(outputs, theirs.timesteps, inputs, strict=True)]
    sums = inputs[0] + torch.cumsum(torch.stack(steps) - torch.stack(inputs), 0)
    triangle = Triangle(plan, dn.read.sample.linear(inputs[0]), lambda line: None)
    swept = by_increments(triangle, triangle.start(inputs[0]), 0, outputs, inputs)
    for ours, expected in zip(swept.inputs, sums, strict=False):
        assert float((ours - expected).abs().max()) < 1e-4
