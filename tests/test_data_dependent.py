"""EVODiff and time shifts against their formulas by hand, proofs for frozen weights, and the plans that they froze."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction as F
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum.adaptive import (
    TimeShift,
    evodiff,
    frozen_evodiff,
    sample_shifted,
)
from diffnum.grid import custom, uniform
from diffnum.order import prove
from diffnum.plan import Plan
from diffnum.process import EDM, VP, Flow
from diffnum.read.sample import sample
from diffnum.read.tableau import distance
from diffnum.solvers import ALL
from diffnum.targets.gaussian import Gaussian
from diffnum.trace import compile
from diffnum.witness import Run, alternating, nonlinear
from diffnum.witness import uniform as even

LOW, HIGH = -3.0, 3.0


@lru_cache
def run_on(process, target=None):
    return Run.of(target or nonlinear(), process.at(LOW))


# --- EVODiff ---


def test_neutral_weights_are_dpm_solver_2m():
    levels = alternating(EDM(), 6)
    assert distance(compile(frozen_evodiff(), levels), compile(ALL["dpmpp_2m"], levels)) < 1e-14
    assert prove(frozen_evodiff(), seeds=(1,)).order == frozen_evodiff().order == 2


@pytest.mark.parametrize("weights", [(F(1, 3), F(9, 16)), (0, F(9, 16)), (F(1, 3), F(9, 16), F(2, 7), F(3, 5))])
def test_other_weights_are_of_order_one(weights):
    proof = prove(frozen_evodiff(*weights), seeds=(1,))
    assert (proof.order, proof.cold, proof.stable) == (1, 1, True)


def by_hand(levels, x):
    """Three steps of EVODiff on EDM in plain arithmetic, written from the authors' code."""
    s0, s1, s2, s3 = (level.sigma for level in levels)

    def D(x, level):
        return nonlinear().denoise(x, level)

    def proj(a, b):
        return np.clip((a * b).sum(1) / (b * b).sum(1), -2, 2)[:, None]

    def sig(a):
        return 1 / (1 + np.exp(-a))

    m1 = D(x, levels[0])
    x = s1 / s0 * x + s1 * (1 / s1 - 1 / s0) * m1
    m0 = D(x, levels[1])
    h, r = 1 / s2 - 1 / s1, math.log(s0 / s1) / math.log(s1 / s2)
    euler = s2 / s1 * x + s2 * h * m0
    w = 0.5 * (1 - ((s2 + s3) / (s0 + s3)) ** 2)
    base = math.sqrt(s2 / s1 / (s1 / s0))
    rho = (1 - w) * base + w * proj(m0, m1)
    D1 = m0 - rho * m1
    ri = np.clip(sig(0.25 * abs(rho)) * r, 0.25 * r, 1.5 * r)
    x = euler + 0.5 * s2 * h / ri * D1
    mt = D(x, levels[2])
    D2 = mt - ((1 - w) * base + w * proj(mt, m0)) * m0
    back, ahead = D1 / r / h, r / h * D2
    eta = 0.5 * sig(abs(0.5 * proj(ahead + back, ahead - back)))
    B = -eta / r * D1 + r * (1 - eta) * D2
    P = x - euler - 0.5 * s2 * h / ri * B
    x = euler + 0.5 * s2 * h / sig(abs(proj(P, D1) / (h * s2)) - 0.5) * B
    q, h = s3 / s2, 1 / s3 - 1 / s2
    end = mt - (1 - 0.5 * math.sqrt(q if q < 0.5 else q - 0.5)) * m0
    return (1 - math.sqrt(s3 * s2)) * (q * x + s3 * h * mt) + 0.5 * s3 * h * end


@pytest.mark.parametrize("lams", [[-3.0, -1.0, 0.0, 2.0], [-1.0, -0.5, -0.2, 0.1]])
def test_evodiff_is_its_formulas_by_hand(lams):
    levels = custom(EDM(), lams=lams)
    ours = evodiff(nonlinear(), levels, run_on(EDM()).x)
    assert np.allclose(ours.x, by_hand(levels.levels, run_on(EDM()).x), atol=1e-13)


@pytest.mark.parametrize("steps", [2, 3, 8, 25])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_the_frozen_plan_of_evodiff_gives_the_same_bits(steps, prediction):
    def model(x, level):
        return nonlinear().predict(x, level, prediction)

    result = evodiff(model, even(VP(), steps), run_on(VP()).x, prediction)
    assert np.array_equal(sample(result.plan, model, run_on(VP()).x), result.x)
    assert result.nfe == result.plan.nfe == steps


def test_channels_have_weights_of_their_own():
    process, x = EDM(), run_on(EDM()).x

    def images(x, level):
        return nonlinear().denoise(x.reshape(-1, 3), level).reshape(x.shape)

    one = evodiff(images, even(process, 8), x.reshape(16, 1, 1, 3)).x.reshape(16, 3)
    three = evodiff(images, even(process, 8), x.reshape(16, 3, 1, 1)).x.reshape(16, 3)
    vectors = evodiff(nonlinear(), even(process, 8), x).x
    assert np.allclose(one, vectors, atol=1e-13)
    assert abs(three - vectors).max() > 1e-3


def test_evodiff_on_torch_is_evodiff_on_numpy():
    ours = evodiff(nonlinear(), even(VP(), 8), torch.tensor(run_on(VP()).x))
    assert np.allclose(ours.x.numpy(), evodiff(nonlinear(), even(VP(), 8), run_on(VP()).x).x, atol=1e-12)


def test_evodiff_is_of_order_one_and_its_published_last_step_of_none():
    errors = {}
    for last in ("published", "first_order"):
        ends = [evodiff(nonlinear(), even(EDM(), n), run_on(EDM()).x, last=last).x for n in (80, 160, 320)]
        errors[last] = [abs(x - run_on(EDM()).exact(EDM().at(HIGH))).max() for x in ends]
    slope = -np.diff(np.log2(errors["first_order"]))[-1]
    assert abs(slope - 1) < 0.15
    # the state is scaled by 1 - sqrt(sigma_t sigma_s), here about 0.95
    assert min(errors["published"]) > 0.9 * max(errors["published"])
    assert min(errors["published"]) > 0.05


# --- time shifts ---


@lru_cache
def wide(variance, dim=1024):
    return Gaussian(np.zeros(dim), np.full(dim, variance))


def shifted_errors(window, data_variance, factor=1.0, steps=100, variance=0.25):
    process, target = VP(), wide(variance)
    start, stop = process.level(0.9), process.level(1e-2)
    plan = compile(ALL["ddim"], uniform(process, steps, start, stop), "noise")
    x = target.sample(4, 1, start)
    shift = TimeShift(process, window, candidates=41, data_variance=data_variance)
    run = sample_shifted(plan, target, factor * x, shift)
    return run, float(np.sqrt(((run.x - target.flow(x, start, stop)) ** 2).mean()))


def test_no_window_is_the_sampler_itself():
    run, _ = shifted_errors(0.0, 0.0, steps=10)
    x = wide(0.25).sample(4, 1, run.plan.start)
    assert np.array_equal(run.x, sample(run.plan, wide(0.25), x))


@settings(max_examples=30)
@given(st.floats(0.1, 0.8), st.sampled_from([0.0, 0.09, 0.5]))
def test_the_criterion_is_off_by_the_variance_of_the_data(t, S):
    """The time found for true states is one whose variance ``sigma^2`` is ``alpha^2 S`` larger."""
    process = VP()
    level = process.level(t)
    shift = TimeShift(process, 2.0, candidates=801)
    x = np.array([[1.0, -1.0]]) / math.sqrt(2) * math.sqrt(level.alpha**2 * S + level.sigma**2)
    found = shift.choose(x, level)[0]
    assert abs(found.sigma**2 - level.alpha**2 * S - level.sigma**2) < 1e-2
    assert replace(shift, data_variance=S).choose(x, level)[0] == level


def test_below_the_cutoff_nothing_is_shifted():
    level = VP().level(0.3)
    assert TimeShift(VP(), 0.2, cutoff=0.3).levels(level) == (level,)
    assert len(TimeShift(VP(), 0.2, cutoff=0.29).levels(level)) == 21


def test_a_frozen_shift_is_a_plan_of_one_sample(tmp_path):
    run, _ = shifted_errors(0.2, 0.0, steps=10)
    x = wide(0.25).sample(4, 1, run.plan.start)
    for i in range(4):
        plan = run.frozen(i)
        plan.save(tmp_path / "plan.json")
        assert np.allclose(
            sample(Plan.load(tmp_path / "plan.json"), wide(0.25), x[i : i + 1]), run.x[i : i + 1], atol=1e-12
        )


def test_each_sample_is_evaluated_once_for_each_evaluation():
    seen = []

    def model(x, level):
        seen.append(len(x))
        return wide(0.25).predict(x, level, "noise")

    process = VP()
    plan = compile(ALL["ddim"], uniform(process, 10, process.level(0.9), process.level(0.01)), "noise")
    x = wide(0.25).sample(6, 1, plan.start) * np.linspace(0.8, 1.2, 6)[:, None]
    run = sample_shifted(plan, model, x, TimeShift(process, 0.4))
    assert sum(seen) == 6 * plan.nfe
    assert len(seen) == sum(len(set(levels)) for levels in run.levels)


def test_shifts_do_not_vanish_with_the_step():
    """With an exact model the plain sampler converges; with the published shift it does not."""
    plain = [shifted_errors(0.0, 0.0, steps=n)[1] for n in (50, 400)]
    moved = [shifted_errors(0.2, 0.0, steps=n)[1] for n in (50, 400)]
    assert plain[1] < plain[0] / 6
    assert moved[1] > moved[0] / 2


def test_a_shift_that_knows_the_variance_of_the_data_repairs_a_shrunken_state():
    plain, known = (shifted_errors(window, 0.25, factor=0.9)[1] for window in (0.0, 0.2))
    assert known < plain / 3


# --- refusals ---


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: evodiff(nonlinear(), even(VP(), 1), run_on(VP()).x), "at least 2"),
        (lambda: evodiff(nonlinear(), uniform(Flow(), 4), run_on(VP()).x), "finite log-SNRs"),
        (lambda: evodiff(nonlinear(), even(VP(), 4), run_on(VP()).x, last="none"), "last = 'none'"),
        (lambda: TimeShift(VP(), -1.0), "window = -1.0"),
        (lambda: TimeShift(VP(), 0.1, candidates=4), "candidates = 4"),
        (lambda: TimeShift(VP(), 0.1, data_variance=-1.0), "data_variance"),
        (lambda: sample_shifted(compile(ALL["ddim"], even(VP(), 4)), nonlinear(), 0, TimeShift(VP(), 0.1)), "'noise'"),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as refusal:
        make()
    assert "\n" not in str(refusal.value)
