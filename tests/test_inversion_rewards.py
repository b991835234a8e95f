"""Edits towards a reward: tilted laws as steps shrink, what loops add up to, and where a pull back holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import diffnum as dn
from diffnum import slopes, witness
from diffnum.inversion import edit
from diffnum.models import ClassifierGuided

SOURCE = dn.Gaussian([0.5, -1.0], [0.3, 1.5])
NARROW = dn.Gaussian([1.5, 0.2], [0.1, 0.4])
PRECISION = np.array([2.0, 0.5])
AIM = np.array([1.2, 0.3])


def of_reward(x: Any, level: Any) -> Any:
    """``grad log E[exp(-k (x_0 - y)^2 / 2) | x]`` on the source."""
    v = SOURCE.variances * level.sigma**2 / (level.alpha**2 * SOURCE.variances + level.sigma**2)
    off = SOURCE.denoise(x, level) - AIM
    return -PRECISION * off / (1 + PRECISION * v) * level.alpha * v / level.sigma**2


def tilted(power: float = 1.0) -> Any:
    precision = 1 / SOURCE.variances + power * PRECISION
    return dn.Gaussian((SOURCE.mean / SOURCE.variances + power * PRECISION * AIM) / precision, 1 / precision)


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
def test_a_reward_is_what_the_tilted_law_adds_to_a_prediction(prediction):
    level = dn.VP().at(0.3)
    x = SOURCE.sample(4, 0, level)
    found = ClassifierGuided(SOURCE, of_reward, 1.0, prediction)(x, level)
    assert np.abs(found - tilted().predict(x, level, prediction)).max() < 1e-12


def law_error(sampler: str, loops: int, n: int, weight: float = 1.0, power: float = 1.0) -> np.ndarray:
    """Error of mean and variance from the tilted law, exactly: an edit is affine in its start and its draws, which are
    set to unit vectors."""
    plan, law = dn.compile(sampler, witness.uniform(dn.VP(), n), "noise"), tilted(power)
    mean, variance = law.marginal(plan.start)
    x = np.zeros((2 + len(plan.draws), 2)) + mean
    x[1] += np.sqrt(variance)
    row = {plan.lines[r - 1].s: 2 + i for i, r in enumerate(plan.draws)}

    def unit(s: Any, t: Any, j: int, x: Any) -> Any:
        draw = 0 * x
        draw[row[s]] = 1
        return draw

    target = ClassifierGuided(SOURCE, of_reward, weight, "noise")
    ends = edit(plan, SOURCE, target, x, unit if row else None, loops).x
    mean, variance = law.marginal(plan.stop)
    return np.stack([ends[0] - mean, ((ends[1:] - ends[0]) ** 2).sum(axis=0) - variance])


COUNTS = (16, 32, 64, 128, 256)


def slope(errors: list[float]) -> slopes.Slope:
    return slopes.measured(errors, COUNTS, "Gaussian", "uniform", "vp", "cold", "equal")


@pytest.mark.parametrize("sampler", ["ddpm_ancestral", "ddim"])
@pytest.mark.parametrize("loops", [0, 1])
def test_a_quadratic_reward_gives_the_tilted_gaussian_with_order_one(sampler, loops):
    errors = [witness.norm(law_error(sampler, loops, n)) for n in COUNTS]
    assert slope(errors).holds(1), slope(errors)
    assert errors[-1] < errors[0] / 10


def test_loops_tend_to_a_weight_of_their_number_and_not_to_the_law_tilted_by_a_power():
    errors = [witness.norm(law_error("ddim", 3, n) - law_error("ddim", 0, n, 3.0)) for n in COUNTS]
    assert slope(errors).holds(1), slope(errors)
    coarse, fine = (witness.norm(law_error("ddpm_ancestral", 0, n, 3.0, 3.0)) for n in (64, 128))
    assert fine > 0.02 and abs(coarse / fine - 1) < 0.2


def test_a_pull_back_makes_the_limit_of_loops_a_linear_equation():
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 1, start=0.6, stop=0.3), "noise")
    start = SOURCE.sample(4, 0, plan.start)
    base = dn.sample(plan, SOURCE, start)
    found = edit(plan, SOURCE, NARROW, start, loops=500, reconstruction=0.4).x
    # c (A x + b) = r (x - base), with eps = sigma (x - alpha m) / v
    s, t = plan.start, plan.stop
    c = t.sigma - s.sigma * t.alpha / s.alpha
    of = [t.sigma / (t.alpha**2 * law.variances + t.sigma**2) for law in (NARROW, SOURCE)]
    A, b = of[0] - of[1], -t.alpha * (of[0] * NARROW.mean - of[1] * SOURCE.mean)
    assert np.abs(found - (-c * b - 0.4 * base) / (c * A - 0.4)).max() < 1e-11


def test_with_equal_models_a_pull_back_changes_nothing():
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 5, start=0.6, stop=0.3), "noise")
    start = SOURCE.sample(4, 0, plan.start)
    found = edit(plan, SOURCE, SOURCE, start, loops=3, reconstruction=0.4).x
    assert np.abs(found - dn.sample(plan, SOURCE, start)).max() < 1e-13


@pytest.mark.parametrize("given", [{"reconstruction": 0.1}, {"loops": 1, "reconstruction": -0.1}])
def test_a_pull_without_loops_or_outwards_is_refused(given):
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 2, start=0.6, stop=0.3), "noise")
    with pytest.raises(ValueError, match=r"reconstruction = -?0\.1 with loops = [01]: give a weight >= 0"):
        edit(plan, SOURCE, NARROW, SOURCE.sample(2, 0, plan.start), **given)
