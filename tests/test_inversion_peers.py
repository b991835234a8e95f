"""Inversions against the inverse schedulers of diffusers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.inversion import backwards, fixed_point

diffusers = pytest.importorskip("diffusers")
TARGET = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])


def grid(shares: Any) -> Any:
    """Levels from noise to data with the given ``alpha^2``, on a process that has levels as noisy as a table's."""
    shares = np.asarray(shares, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return dn.grid.custom(dn.Cosine(), lams=(np.log(shares) - np.log1p(-shares)) / 2)


@pytest.mark.parametrize("to_one", [True, False])
def test_the_ddim_inverse_of_diffusers_asks_at_the_noisier_level_as_a_fixed_points_first_iteration_does(to_one):
    theirs = diffusers.DDIMInverseScheduler(clip_sample=False, steps_offset=1, set_alpha_to_one=to_one)
    theirs.alphas_cumprod = torch.cumprod(1 - theirs.betas.double(), 0)
    theirs.initial_alpha_cumprod = theirs.alphas_cumprod[0] ** (not to_one)
    theirs.set_timesteps(10)
    shares = [*theirs.alphas_cumprod[theirs.timesteps].tolist()[::-1], float(theirs.initial_alpha_cumprod)]
    levels = grid(shares)
    image = torch.from_numpy(TARGET.sample(4, 0, levels[-1]))
    x = image
    for t, level in zip(theirs.timesteps, levels[::-1][1:], strict=True):
        x = theirs.step(TARGET.noise_prediction(x, level), t, x).prev_sample
    plan = dn.compile("ddim", levels, "noise")
    assert (x - fixed_point(plan, TARGET, image, 1).x).abs().max() < 1e-11
    # which is not the sampler on the reversed grid
    other = dn.sample(backwards(dn.solvers.ddim, levels, "noise"), TARGET, image)
    assert (x - other).abs().max() > 0.1


@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
def test_the_multistep_inverse_of_diffusers_is_the_sampler_on_the_reversed_grid():
    theirs = diffusers.DPMSolverMultistepInverseScheduler(lower_order_final=False)
    theirs.set_timesteps(12)
    shares = 1 / (1 + theirs.sigmas.double().numpy() ** 2)
    levels = grid(shares[::-1])
    image = torch.from_numpy(TARGET.sample(4, 0, levels[-1]))
    x = image
    for t, level in zip(theirs.timesteps, levels[::-1], strict=False):
        x = theirs.step(TARGET.noise_prediction(x, level), t, x).prev_sample
    found = dn.sample(backwards(dn.solvers.dpmpp_2m, levels, "noise"), TARGET, image)
    assert (x - found).abs().max() < 1e-4
