"""Parareal with a coarse and a fine plan: exact states, exact errors on Gaussians, bounds, batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import diffnum as dn
from diffnum.parallel import parareal, parareal_bound, parareal_errors
from diffnum.parallel.parareal import cut

TARGET = dn.Gaussian.power_law(5)
MIXTURE = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
PROCESS = dn.EDM()
NOISE = dn.noise.Counter(2)


def pair(fine: str = "heun", coarse: str = "ddim", intervals: int = 6, m: int = 4, **options: Any) -> tuple[Any, Any]:
    levels = dn.grid.karras(PROCESS, intervals * m)
    few = dn.grid.custom(PROCESS, sigmas=[level.sigma for level in levels.levels[::m]])
    return dn.compile(fine, levels, **options), dn.compile(coarse, few, **options)


@pytest.mark.parametrize("fine", ["heun", "ddim", "dpmpp_2s", "ddpm_ancestral"])
def test_after_k_corrections_the_first_k_states_are_the_fine_ones_to_the_last_bit(fine):
    plan, coarse = pair(fine)
    x = MIXTURE.sample(3, 0, plan.start)
    truth = dn.sample(plan, MIXTURE, x, NOISE, keep="states")[::4]
    for k in range(7):
        found = parareal(plan, coarse, MIXTURE, x, iterations=k, noise=NOISE)
        assert found.iterations == k
        for j, (ours, theirs) in enumerate(zip(found.states, truth, strict=True)):
            assert np.array_equal(ours, theirs) == (j <= k)


def test_it_ends_by_itself_with_the_fine_sample():
    plan, coarse = pair()
    x = MIXTURE.sample(3, 0, plan.start)
    found = parareal(plan, coarse, MIXTURE, x)
    assert found.iterations <= 6 and found.sequential == plan.nfe
    assert np.array_equal(found.sample, dn.sample(plan, MIXTURE, x))


def test_with_a_tolerance_it_is_shorter_than_the_fine_run():
    plan, coarse = pair(m=24)
    x = MIXTURE.sample(3, 0, plan.start)
    found = parareal(plan, coarse, MIXTURE, x, tol=0.05)
    assert found.depth < plan.nfe < found.nfe
    assert np.abs(found.sample - dn.sample(plan, MIXTURE, x)).max() < 0.05


@pytest.mark.parametrize("fine, coarse", [("heun", "ddim"), ("ddim", "ddim"), ("rk4", "heun")])
def test_the_errors_on_a_gaussian_are_those_of_the_recurrence(fine, coarse):
    plan, few = pair(fine, coarse)
    x = TARGET.sample(4, 0, plan.start)
    truth = dn.sample(plan, TARGET, x, keep="states")[::4]
    expected = parareal_errors(plan, few, TARGET, 6)
    for k in range(7):
        found = parareal(plan, few, TARGET, x, iterations=k)
        for j, (ours, theirs) in enumerate(zip(found.states, truth, strict=True)):
            assert np.abs(ours - theirs - expected[k, j] * x).max() < 1e-13 * np.abs(x).max()
    assert np.all(expected[6] == 0)


@pytest.mark.parametrize("coarse", ["ddim", "heun"])
def test_errors_are_below_the_superlinear_bound(coarse):
    plan, few = pair("rk4", coarse, intervals=8)
    errors, bounds = parareal_errors(plan, few, TARGET, 8), parareal_bound(plan, few, TARGET, 8)
    largest = np.abs(errors).max(axis=(1, 2)) / np.abs(errors[0]).max()
    assert np.all(largest <= bounds * (1 + 1e-12))
    assert bounds[8] == 0 and np.all(largest[:5] > 0)


def test_equal_steps_of_one_factor_reach_the_bound():
    """Where all phi are one number and all gamma zero, D^k is the error itself; the bound adds the number of chains."""
    phi, gamma, n = 0.8, 0.0, 6
    error = np.array([(phi**j - gamma**j) if j else 0.0 for j in range(n + 1)])
    for k in range(1, 4):
        error = np.array([0.0, *[(phi - gamma) * error[j] for j in range(n)]])
        # with nothing carried over by the coarse run, the errors move one state a correction and shrink by D
        assert error[k + 1] == pytest.approx(-((phi - gamma) ** k) * -(phi), rel=1e-12)
        assert np.all(error[: k + 1] == 0)


def test_fine_runs_go_hand_in_hand():
    plan, coarse = pair(m=5)
    x = MIXTURE.sample(2, 0, plan.start)
    sizes: list[int] = []

    class Counting:
        def __call__(self, u: Any, level: Any) -> Any:
            return MIXTURE.denoise(u, level)

        def at(self, us: Any, levels: Any) -> Any:
            sizes.append(len(levels))
            return np.stack([MIXTURE.denoise(u, level) for u, level in zip(us, levels, strict=True)])

    found = parareal(plan, coarse, Counting(), x, iterations=2)
    assert len(sizes) == found.depth and sum(sizes) == found.nfe
    # six coarse steps; ten calls for six intervals, five coarse steps again; ten for five, four again
    assert sizes == [1] * 6 + [6] * 10 + [1] * 5 + [5] * 10 + [1] * 4


def test_pieces_run_one_after_another_are_the_plan():
    plan, coarse = pair("ddpm_ancestral")
    x = MIXTURE.sample(2, 0, plan.start)
    y = x
    for piece in cut(plan, coarse.levels):
        y = dn.sample(piece, MIXTURE, y, NOISE)
    assert np.array_equal(y, dn.sample(plan, MIXTURE, x, NOISE))


def test_what_cannot_be_cut_is_refused():
    plan, coarse = pair()
    x = TARGET.sample(2, 0, plan.start)
    with pytest.raises(
        ValueError, match="dpmpp_2m remembers D3 across the level of x4: parareal needs a one-step method"
    ):
        parareal(pair("dpmpp_2m")[0], coarse, TARGET, x)
    with pytest.raises(ValueError, match="heun has no level with alpha = 1, sigma = "):
        parareal(plan, pair(intervals=5)[1], TARGET, x)
    with pytest.raises(ValueError, match="ddpm_ancestral draws noise, so it predicts nothing"):
        parareal(plan, pair(coarse="ddpm_ancestral")[1], TARGET, x)
    with pytest.raises(ValueError, match="the fine plan is for noise prediction and the coarse one for data"):
        parareal(pair(prediction="noise")[0], coarse, TARGET, x)
    with pytest.raises(ValueError, match="the levels do not lead from the start of heun to its end"):
        cut(plan, coarse.levels[:-1])
    with pytest.raises(ValueError, match="tol = -1 is no tolerance"):
        parareal(plan, coarse, TARGET, x, tol=-1)
    wide = dn.Gaussian(np.zeros(1), np.array([50.0]))
    levels = dn.grid.uniform(dn.VP(), 8)
    grown = dn.compile("ddim", levels)
    with pytest.raises(ValueError, match=r"a coarse step multiplies by .* and the bound is for at most 1"):
        parareal_bound(grown, grown, wide, 3)
    with pytest.raises(ValueError, match="its output is not its last state"):
        cut(dn.compile("ddim", dn.grid.karras(PROCESS, 4, end="denoise")), coarse.levels)
    with pytest.raises(ValueError, match="the theory needs a Gaussian, got Mixture"):
        parareal_errors(plan, coarse, MIXTURE, 2)
