"""azula's samplers are ours, coefficient by coefficient, but for REAB; skipped where it is not, see peers_authors."""

import math

import numpy as np
import pytest
import torch
from peers import CIRCLE, EDM, FLOW, TOLERANCE, Recorder, difference, distance, grid_of, orders_of, ours
from peers_authors import azula, needed, quiet

from diffnum.read.tableau import canonical

needed()


class Schedule:
    """Time ``i`` is level ``i``."""

    def __init__(self, grid):
        self.alphas, self.sigmas = (torch.tensor([getattr(level, k) for level in grid]) for k in ("alpha", "sigma"))

    def __call__(self, t):
        i = torch.as_tensor(t).round().long()
        return self.alphas[i], self.sigmas[i]


class Denoiser:
    """On unit vectors."""

    def __init__(self, grid):
        self.grid, self.schedule, self.model = grid, Schedule(grid), Recorder(len(grid) * 2)

    def __call__(self, x, t):
        self.mean = self.model(x, self.grid[int(t.round())], "data", t)
        return self


def plan_of(name, grid, **options):
    n = len(grid) - 1
    with quiet():
        denoiser = Denoiser(grid)
        made = getattr(azula(), name)(denoiser, start=0, stop=n, steps=n, silent=True, dtype=torch.float64, **options)
        return denoiser.model.plan(made(denoiser.model.start()), grid[0], grid[-1])


def levels(process, n=7, bend=1.3):
    """From log-SNR -2.5 to 2.5, not equally spaced."""
    lams = -2.5 + 5 * np.linspace(0, 1, n + 1) ** bend
    return grid_of(list(1 / (1 + np.exp(lams)) if process is FLOW else np.exp(-lams)), process)


SAME = [
    ("DDIMSampler", {"eta": 0.0}, "ddim"),
    ("EulerSampler", {}, "ddim"),
    ("ItoSampler", {"eta": 0.0}, "ddim"),
    ("HeunSampler", {}, "rho_heun"),
    *((name, {"order": 1}, "ddim") for name in ("zABSampler", "zEABSampler", "xEABSampler")),
    *(("zABSampler", {"order": p}, f"deis_rhoab_{p}") for p in (2, 3, 4)),
    *(("zEABSampler", {"order": p}, f"exp_ab{p}_noise") for p in (2, 3, 4, 5, 6)),
    *(("xEABSampler", {"order": p}, f"exp_ab{p}") for p in (2, 3, 4, 5, 6)),
]


@pytest.mark.parametrize("process", [CIRCLE, EDM, FLOW], ids=lambda process: process.name)
@pytest.mark.parametrize("name, options, ours_", SAME)
def test_a_sampler_is_ours_of_that_name_on_any_process(name, options, ours_, process):
    grid = levels(process)
    assert distance(plan_of(name, grid, **options), ours(ours_, grid)) < TOLERANCE


@pytest.mark.parametrize("process", [CIRCLE, EDM, FLOW], ids=lambda process: process.name)
@pytest.mark.parametrize("order, name", [(1, "euler"), *((p, f"ab{p}") for p in (2, 3, 4, 5))])
def test_vab_is_adams_bashforth_in_the_clock_of_flow_matching_on_any_process(order, name, process):
    assert distance(plan_of("vABSampler", levels(process), order=order), ours(name, levels(FLOW))) < TOLERANCE


@pytest.mark.parametrize("order", [1, 2, 3])
def test_b07_reab_scales_its_integral_with_the_noise_of_the_wrong_level(order):
    """``alpha_s^2 + sigma_t^2`` for ``alpha_s^2 + sigma_s^2``; of order one Rosenbrock is Euler in the angle."""
    grid = levels(CIRCLE)
    theirs, right = plan_of("REABSampler", grid, order=order), ours("trig_euler", grid)
    apart = difference(theirs, right)
    assert (apart.row, apart.column) == (1, 0)
    s, t = grid[1], grid[0]
    factor = math.hypot(s.alpha, t.sigma) / math.hypot(s.alpha, s.sigma)
    assert canonical(theirs).matrix[1, 1] / canonical(right).matrix[1, 1] == pytest.approx(factor, rel=1e-5)


@pytest.mark.parametrize("order", [2, 3])
def test_b07_reab_is_of_order_one_whatever_order_it_is_given(order):
    def slopes(name):
        return orders_of(lambda n: plan_of(name, levels(CIRCLE, n), order=order), (20, 40, 80))

    assert np.allclose(slopes("REABSampler"), 1, atol=0.1)
    # the others keep theirs, as far as their start allows
    assert min(slopes("xEABSampler")) > 1.8
