"""Free plans keep their order whatever their numbers, fits find what is known to be there, and gains are weighed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from design_cases import MIXTURE, PROCESSES, begun, free

import diffnum as dn
from diffnum.design import (
    Free,
    Interval,
    Part,
    Trajectories,
    Trial,
    best_on,
    candidates,
    design,
    fit,
    gaussian_trial,
    split,
)
from diffnum.design.learned import Guided
from diffnum.design.rest import others
from diffnum.design.sensitivity import _scaled, numbers, sensitivities
from diffnum.design.surrogates import chosen_by, designed_on, judged_on, of_spectrum
from diffnum.design.trial import gaussian_part
from diffnum.solvers import ALL, ddim, dpmpp_2m

CLASSES = dn.Conditional(
    (dn.Gaussian([1.0, 0.0, 0.2], [0.3, 0.1, 0.2]), dn.Gaussian([-1.0, 0.5, 0.0], [0.1, 0.4, 0.3]))
)
GUIDED = Guided(CLASSES, 0, 3.0)


# --- sensitivities and fits ---


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "law", [MIXTURE, dn.Empirical(MIXTURE.sample(20, 3)), GUIDED], ids=["mixture", "points", "guided"]
)
def test_sensitivities_are_what_differences_say(name, order, law):
    family = free(PROCESSES[name], 4, order)
    theta = begun(family)
    x = law.sample(5, 0, family.start)
    y, slopes = sensitivities(numbers(family.plan, theta), law, x)
    assert np.allclose(y, dn.sample(family.plan(theta.tolist()), law, x), rtol=1e-12, atol=1e-12)
    for k, e in enumerate(1e-5 * np.eye(family.size)):
        up, down = (dn.sample(family.plan((theta + sign * e).tolist()), law, x) for sign in (1, -1))
        assert np.allclose(slopes[..., k], (up - down) / 2e-5, atol=1e-6 * (1 + np.abs(slopes).max()))


def test_sums_of_derivatives_do_not_depend_on_how_arrays_lie():
    rng = np.random.default_rng(2)
    more, total = rng.standard_normal((2, 3, 4, 5))
    for order, kind, p, q in product("CF", (np.float32, np.float64), (2, 4), (2, 4)):
        first, second = np.array(total, kind, order=order)[:, :p], np.array(more, np.float32, order=order)[:, :q]
        whole = np.zeros((3, max(p, q), 5))
        whole[:, :p] += total[:, :p]
        whole[:, :q] += 0.3 * more[:, :q]
        assert np.allclose(_scaled(first, second, 0.3), whole, atol=1e-6)


def test_sensitivities_agree_with_automatic_differentiation():
    family = free(dn.VP(), 4)
    theta = begun(family)
    x = MIXTURE.sample(6, 1, family.start)
    leaf = torch.tensor(theta, requires_grad=True)
    value = dn.sample(family.plan(leaf), MIXTURE, torch.tensor(x)).square().sum()
    (slope,) = torch.autograd.grad(value, leaf)
    y, slopes = sensitivities(numbers(family.plan, theta), MIXTURE, x)
    assert np.allclose(2 * np.einsum("nd,ndp->p", y, slopes), slope.numpy(), rtol=1e-7, atol=1e-8)


def test_a_gaussian_of_three_variances_is_met_exactly_by_four_evaluations():
    family = free(dn.VP(), 4)
    trial = gaussian_trial("three", [2.0, 0.5, 0.05], family.start)
    made = fit(family, begun(family, size=0.0), [trial], rounds=200, ridge=1e-14)
    assert made.before > 0.1
    assert made.error < 1e-5 * made.before
    assert trial.error(made.plan()) == pytest.approx(made.error, rel=1e-6)


def test_under_guidance_a_fit_serves_other_trajectories_better_than_its_start():
    family = free(dn.VP(), 5)
    train, other = (
        Trial("guided", (Part(Trajectories.draw(GUIDED, family.start, n, seed, 1e-6)),))
        for n, seed in ((24, 0), (48, 1))
    )
    theta = begun(family, size=0.0)
    made = fit(family, theta, [train])
    assert made.error < 0.5 * made.before
    assert other.error(made.plan()) < 0.7 * other.error(family.plan(theta.tolist()))


def test_units_decide_between_trials_that_cannot_both_be_met():
    family = free(dn.VP(), 2)
    trials = [gaussian_trial("wide", [4.0], family.start), gaussian_trial("narrow", [0.01, 0.3, 1.0], family.start)]
    wide, narrow = (fit(family, begun(family, size=0.0), trials, units).plan() for units in ([0.01, 1], [1, 0.01]))
    assert trials[0].error(wide) < trials[0].error(narrow)
    assert trials[1].error(narrow) < trials[1].error(wide)


@dataclass(frozen=True)
class Fenced(Free):
    """A family of which some vectors make no plan."""

    fence: float = -math.inf

    def plan(self, theta, prediction="data"):
        if (theta[0].item() if hasattr(theta[0], "item") else theta[0]) < self.fence:
            raise ValueError("levels came together")
        return super().plan(theta, prediction)


def test_a_step_that_makes_no_plan_is_taken_back_and_the_fit_goes_on():
    trial = gaussian_trial("three", [2.0, 0.5, 0.05], free(dn.VP(), 3).start)
    open_, start = free(dn.VP(), 3), begun(free(dn.VP(), 3), size=0.0)
    freely = fit(open_, start, [trial], ridge=1e-8)
    moved = freely.theta[0] - start[0]
    assert moved < -0.1
    fenced = Fenced(open_.process, open_.start, open_.limit, 3, 1, start[0] + moved / 4)
    kept = fit(fenced, start, [trial], ridge=1e-8)
    assert fenced.fence <= kept.theta[0] < start[0]
    assert freely.error < kept.error < 0.9 * kept.before


def test_a_fit_without_trials_is_refused():
    with pytest.raises(ValueError, match="no trials"):
        fit(free(dn.VP()), np.zeros(14), [])


# --- trials ---


def test_on_a_gaussian_the_error_of_trajectories_is_the_wasserstein_distance():
    process = dn.VP()
    variances = [1.5, 0.4, 0.02]
    trial = gaussian_trial("g", variances, process.level(1.0))
    for sampler in ("ddim", "dpmpp_2m"):
        plan = dn.compile(sampler, dn.grid.log_snr(process, 8, end="zero"))
        assert trial.error(plan) == pytest.approx(dn.w2(plan, dn.Gaussian(np.zeros(3), variances), at="data"), rel=1e-9)


def test_many_variances_are_summed_up_without_a_trace():
    process = dn.VP()
    variances = 1.0 / np.arange(1, 3001) ** 1.2
    plan = dn.compile("dpmpp_2m", dn.grid.log_snr(process, 6, end="zero"))
    exact = dn.w2(plan, dn.Gaussian(np.zeros(3000), variances), at="data")
    part = gaussian_part(variances, process.level(1.0))
    assert len(part.trajectories.target.variances) <= 64
    assert Trial("g", (part,)).error(plan) == pytest.approx(exact, rel=2e-3)


def test_plans_that_begin_elsewhere_are_judged_on_the_same_trajectories():
    process = dn.VP()
    trajectories = Trajectories.draw(MIXTURE, process.level(1.0), 12, seed=1)
    late = dn.compile("dpmpp_2m", dn.grid.log_snr(process, 64, start=process.at(-2.0), end="zero"))
    early = dn.compile("dpmpp_2m", dn.grid.log_snr(process, 64, end="zero"))
    assert trajectories.error(late) < 0.02
    assert trajectories.error(early) < 0.02
    assert np.allclose(trajectories.end, MIXTURE.flow(trajectories.x, process.level(1.0), dn.Level(0.0, 1.0, 0.0)))


def test_plans_that_draw_noise_follow_no_trajectory():
    process = dn.VP()
    trajectories = Trajectories.draw(MIXTURE, process.level(1.0), 2)
    with pytest.raises(ValueError, match="draws noise"):
        trajectories.error(dn.compile("ddpm_ancestral", dn.grid.log_snr(process, 4)))


def test_gains_of_a_plan_over_itself_are_nothing_and_intervals_hold_the_value():
    process = dn.VP()
    trial = Trial("t", (Part(Trajectories.draw(MIXTURE, process.level(1.0), 24, seed=2)),))
    a, b = (dn.compile(name, dn.grid.log_snr(process, 8, end="zero")) for name in ("dpmpp_2m", "ddim"))
    same, gain, loss = trial.gain(a, a), trial.gain(a, b), trial.gain(b, a)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert 0 < gain.low <= gain.value <= gain.high < 1
    assert loss.low <= loss.value <= loss.high < 0


def test_intervals_of_a_mean_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for k in range(200):
        found = Interval.bootstrap((rng.standard_normal(40),), lambda a, axis: a.mean(axis), seed=k)
        held += found.low < 0 < found.high
    # binomial (200, 0.95): 3.5 deviations
    assert 0.895 < held / 200 <= 0.995


def test_the_three_parts_share_no_sample_and_leave_none_out():
    data = np.arange(120.0).reshape(40, 3)
    parts = split(data, seed=4)
    rows = np.concatenate([parts.design, parts.choose, parts.judge])
    assert sorted(rows[:, 0]) == sorted(data[:, 0])
    assert [len(p) for p in (parts.design, parts.choose, parts.judge)] == [20, 10, 10]
    assert np.array_equal(parts.judge, split(data, seed=4).judge)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((8, 3)), "at least 32 samples"),
        (np.zeros((40, 3)), "all samples are the same"),
        (np.full((40, 3), np.nan), "not finite"),
    ],
)
def test_data_that_nothing_can_be_held_back_from_are_refused(data, said):
    with pytest.raises(ValueError, match=said):
        split(data)


@pytest.mark.parametrize("form", ["one number", "diagonal", "per frequency"])
def test_the_form_that_made_the_data_is_the_likeliest(form):
    rng = np.random.default_rng(5)
    shape, n = (1, 12, 12), 400
    z = rng.standard_normal((n, 144))
    if form == "per frequency":
        waves = np.fft.fftfreq(12)[:, None] ** 2 + np.fft.fftfreq(12)[None] ** 2
        data = np.fft.ifft2(np.fft.fft2(z.reshape(n, 12, 12)) / (0.003 + waves)).real.reshape(n, -1)
    else:
        directions = rng.standard_normal((3, 144))
        small = np.full(144, 0.3) if form == "one number" else np.geomspace(0.02, 3.0, 144)
        data = 2 * rng.standard_normal((n, 3)) @ directions + small * z
    found = others(data[:200], data[200:], shape)
    assert found.form == form
    assert found.variances.shape == (80,)
    assert found.variances.min() > 0
    assert found.log_likelihoods[form] == max(found.log_likelihoods.values())


def test_spectra_to_judge_by_are_not_those_that_were_designed_on():
    design_on, choose, judge = of_spectrum([1.0, 0.3, 0.01], dn.VP().level(1.0))
    seen = [trial.parts[0].trajectories.target.variances.tolist() for trial in [*design_on, *choose]]
    assert all(trial.parts[0].trajectories.target.variances.tolist() not in seen for trial in judge)
    with pytest.raises(ValueError, match="spectrum holds"):
        of_spectrum([1.0, -1.0], dn.VP().level(1.0))


def test_in_many_dimensions_the_leading_coordinates_and_a_gaussian_hold_all_the_variance():
    rng = np.random.default_rng(6)
    data = rng.standard_normal((160, 100)) * np.geomspace(1.0, 0.05, 100)
    trials = designed_on(data, dn.VP().level(1.0), paths=4, components=2)
    y = trials[-1].parts[0].trajectories.target.data
    (rest,) = (trials[-1].parts[1].trajectories,)
    assert y.shape[1] == 64
    left = (data**2).mean(axis=0).sum() - np.sort(np.linalg.svd(data)[1] ** 2)[::-1][:64].sum() / 160
    assert float((rest.end**2).sum()) == pytest.approx(left, rel=1e-9)
    judged = judged_on(data, dn.VP().level(1.0), paths=4, components=2)
    assert [len(trial.parts) for trial in judged] == [1, 2, 2]


def test_laws_have_the_mean_of_the_data_and_a_tilted_spectrum_keeps_it_and_its_total():
    rng = np.random.default_rng(7)
    data = 5.0 + rng.standard_normal((160, 6)) * np.geomspace(1.0, 0.1, 6)
    points, *_, mixture = (trial.parts[0].trajectories.target for trial in chosen_by(data, dn.VP().level(1.0), 4, 1))
    assert np.array_equal(points.data, data)
    assert np.allclose(mixture.means[0], data.mean(axis=0))
    _, _, steeper = (trial.parts[0].trajectories.target for trial in judged_on(data, dn.VP().level(1.0), 4, 1))
    assert np.allclose(steeper.means[0], data.mean(axis=0))
    variances, powers = np.diag(steeper.posterior_cov(np.zeros((1, 6)), dn.Level(1.0, 0.0, 1.0))[0]), data.var(axis=0)
    assert variances.sum() == pytest.approx(powers.sum(), rel=0.1)
    assert variances[0] / variances[-1] > powers[0] / powers[-1]


# --- the design ---


@pytest.fixture(scope="module")
def made():
    return design(nfe=3, spectrum=1.0 / np.arange(1, 20) ** 2, samplers=[ddim, dpmpp_2m], prediction="velocity")


def test_a_design_for_a_spectrum_beats_what_is_made_by_hand_on_spectra_it_never_saw(made):
    assert made.better
    for verdict in made.verdicts:
        assert verdict.error < verdict.hand_made_error
        assert verdict.gain.value == pytest.approx(1 - verdict.error / verdict.hand_made_error)
    assert min(score for _, _, score in made.tried) < 0


def test_a_designed_plan_runs_through_every_reading(made, tmp_path):
    plan = made.plan
    assert (plan.nfe, plan.prediction) == (3, "velocity")
    plan.save(tmp_path / "plan.json")
    again = dn.Plan.load(tmp_path / "plan.json")
    assert again.hash == plan.hash
    target = dn.Gaussian(np.zeros(19), 1.0 / np.arange(1, 20) ** 2)
    x = target.sample(4, 0, plan.start)
    data = made.fit.plan()
    assert np.allclose(dn.sample(again, target, x), dn.sample(data, target, x))
    assert np.allclose(dn.moments(plan, target)[1], dn.moments(data, target)[1])
    assert dn.distance(plan, data) < 1e-12
    assert dn.cost(plan).nfe == 3


def test_a_designed_plan_runs_in_a_pipelines_loop(made):
    diffusers = pytest.importorskip("diffusers")
    from diffnum.interop.diffusers import PlanScheduler

    base = diffusers.DDPMScheduler(prediction_type="v_prediction", beta_end=0.02)
    process = dn.DDPM(base.betas.tolist())
    family = Free(process, process.level(process.t_start), 2.0, 3)
    plan = family.plan(made.fit.theta.tolist(), "velocity")
    scheduler = PlanScheduler.from_config(base.config, plan=plan)
    scheduler.set_timesteps(3)
    target = dn.Gaussian(np.zeros(19), 1.0 / np.arange(1, 20) ** 2)
    x = torch.tensor(target.sample(4, 0, plan.start))
    state = x.clone()
    asked = iter(plan.lines[r - 1].level for r in plan.evaluations)
    for t in scheduler.timesteps:
        state = scheduler.step(target.velocity(state, next(asked)), t, state).prev_sample
    assert torch.allclose(state, dn.sample(plan, target, x), atol=1e-10)


@pytest.mark.full
def test_a_design_does_not_depend_on_the_number_of_processes():
    spectrum, samplers = [1.0, 0.2, 0.01], [ddim]
    alone, beside = (design(nfe=2, spectrum=spectrum, samplers=samplers, jobs=jobs) for jobs in (1, 2))
    assert alone.plan.hash == beside.plan.hash


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "either data or a spectrum"),
        ({"data": np.zeros((40, 2)), "spectrum": [1.0]}, "either data or a spectrum"),
        ({"spectrum": [1.0], "nfe": 1}, "nfe = 1"),
        ({"data": np.zeros((4, 2))}, "at least 32"),
        ({"data": 1e4 * np.eye(64)}, "vary by .* the units that the network sees"),
    ],
)
def test_designs_for_nothing_are_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        design(**asked)


@cache
def held_out(paths):
    return judged_on(split(dn.images.load("digits").data).judge, dn.VP().level(1.0), paths)


@pytest.mark.full
@pytest.mark.timeout(3600)
# the more evaluations, the fewer trajectories make up the error: 768 are too few to tell eight or ten apart
@pytest.mark.parametrize(("nfe", "paths"), [(5, 768), (6, 768), (8, 3072), (10, 3072)])
def test_on_digits_the_design_beats_every_hand_made_plan_on_laws_it_never_saw(nfe, paths):
    """Designed as by the command; judged against every sampler of the library on every grid with every end."""
    plan = design(dn.images.load("digits").data, nfe).plan
    by_hand = candidates(dn.VP(), nfe, [sampler for sampler in ALL.values() if not sampler.stochastic])
    assert len(by_hand) > 1000
    gains = [trial.gain(plan, best_on(trial, by_hand)[0].plan) for trial in held_out(paths)]
    assert all(gain.low > 0 for gain in gains), [str(gain) for gain in gains]
