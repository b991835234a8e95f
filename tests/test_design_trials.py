"""Trajectories followed quickly against the reference, what a fit asks at once against one by one, races."""

from __future__ import annotations

import math

import numpy as np
import pytest
from design_cases import MIXTURE, PROCESSES

import diffnum as dn
from diffnum.design import Part, Trajectories, Trial, best_on, candidates
from diffnum.design.classes import Joined
from diffnum.design.designing import _Field, _ranked
from diffnum.design.following import follow
from diffnum.design.learned import Guided
from diffnum.design.moments import posterior
from diffnum.design.sampling import stratified
from diffnum.design.trajectories import verified
from diffnum.design.trial import gaussian_part, gaussian_trial
from diffnum.plan import Level
from diffnum.solvers import ddim, dpmpp_2m, ipndm_3

POINTS = dn.Empirical(MIXTURE.sample(20, 3))
FAMILY = dn.Conditional((MIXTURE, dn.Mixture([1.0], [[0.5, 0.0, -1.0]], [[0.2, 0.2, 0.1]])))
FULL = dn.Mixture([0.4, 0.6], MIXTURE.means, [np.diag(v) + 0.01 for v in ([0.1, 0.02, 0.3], [0.05, 0.2, 0.03])])
LAWS = {
    "full": FULL,
    "diagonal": MIXTURE,
    "points": POINTS,
    "family": dn.Conditional((FULL, dn.Mixture([1.0], [[0.5, 0.0, -1.0]], [0.2 * np.eye(3)]))),
    "guided": Guided(FAMILY, 0, 3.0),
}
_MANY = np.random.default_rng(5).standard_normal((12, 3))
LAWS |= {
    "many": dn.Mixture(np.arange(1, 13), _MANY, [np.diag(0.01 + m**2 / 50) + 0.004 for m in _MANY]),
    "many points": dn.Empirical(np.random.default_rng(6).standard_normal((60, 3))),
}
START = dn.VP().level(1.0)


# --- following ---


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "VP" else pytest.mark.full) for n in PROCESSES])
@pytest.mark.parametrize("law", [FULL, POINTS, LAWS["guided"]], ids=["mixture", "points", "guided"])
def test_equal_steps_end_where_the_reference_does(name, law):
    start = PROCESSES[name].level(PROCESSES[name].t_start)
    x = law.sample(24, 0, start)
    ends = follow(law, x, start, 3e-4)
    exact = verified(law, x, start, 1e-6)
    known = np.isfinite(ends).all(axis=1) & np.isfinite(exact).all(axis=1)
    assert known.sum() >= 22
    size = np.sqrt((exact[known] ** 2).mean(axis=1)) + law.rms
    assert (np.abs(ends - exact)[known].max(axis=1) <= 1e-3 * size).all()


def test_a_larger_law_is_followed_as_its_smaller_image():
    large = dn.Empirical(50 * POINTS.data)
    start, moved = (dn.Cosine().at(lam) for lam in (-4.0, -4.0 - math.log(50)))
    x = POINTS.sample(8, 0, start)
    y = x / start.alpha * 50 * moved.alpha
    assert np.allclose(follow(large, y, moved, 3e-4), 50 * follow(POINTS, x, start, 3e-4), rtol=1e-3, atol=1e-6)


def test_a_start_that_equal_steps_do_not_leave_is_refused():
    with pytest.raises(ValueError, match="is not followed by equal steps"):
        follow(FULL, np.zeros((1, 3)), dn.VP().at(6.0), 1e-3)


# --- moments ---


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(
    "level",
    [dn.VP().level(0.5), dn.VP().level(0.02), dn.VE(0.02, 80.0).level(0.4)],
    ids=["VP", "VP at less noise", "VE"],
)
def test_what_is_asked_at_once_is_what_is_asked_one_by_one(name, level):
    law = LAWS[name]
    x = law.sample(40, 1, level)
    found, single = posterior(law, x, level), posterior(law, x, level, np.float32)
    angle, radius, e = math.atan2(level.sigma, level.alpha), math.hypot(level.alpha, level.sigma), 1e-6
    above, below = (law.denoise(x / radius, Level(math.nan, math.cos(a), math.sin(a))) for a in (angle + e, angle - e))
    assert np.allclose(found.mean, law.denoise(x, level), rtol=1e-12, atol=1e-12)
    assert np.allclose(found.cov, law.posterior_cov(x, level), rtol=1e-9, atol=1e-12)
    assert np.allclose(found.turn, (above - below) / (2 * e), atol=1e-7 * (1 + np.abs(found.turn).max()))
    assert single.cov.dtype == np.float32
    for a, b in ((single.cov, found.cov), (single.mean, found.mean), (single.turn, found.turn)):
        assert np.allclose(a, b, atol=1e-5 * (1 + np.abs(b).max()))


@pytest.mark.parametrize("name", ["full", "points"])
def test_at_pure_noise_the_mean_is_that_of_the_data(name):
    law = LAWS[name]
    level = dn.Flow().level(1.0)
    found = posterior(law, law.sample(3, 0, level), level)
    assert np.allclose(found.mean, law.denoise(np.zeros((3, 3)), level), atol=1e-12)


# --- trials ---


@pytest.fixture(scope="module")
def trial():
    parts = (Part(Trajectories.draw(FULL, START, 200, 1, 3e-4, follow)), gaussian_part([0.2, 0.01], START))
    return Trial("t", parts)


def test_of_all_candidates_the_best_wins_the_race(trial):
    those = candidates(dn.VP(), 5, [ddim, dpmpp_2m, ipndm_3])
    raced = best_on(trial, those)
    fresh = Trial("fresh", trial.parts)
    errors = sorted(fresh.error(c.plan) for c in those)
    assert trial.error(raced[0].plan) == errors[0]
    ranked = [fresh.error(c.plan) for c in raced]
    assert ranked == sorted(ranked)


def test_some_trajectories_of_a_trial_have_their_squares(trial):
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 4, end="zero"))
    rows = np.array([5, 0, 190])
    assert np.allclose(trial.take(rows).squares(plan), trial.squares(plan)[np.sort(rows)], rtol=1e-12)
    joined = Joined.draw([Guided(FAMILY, label, 2.0) for label in (0, 1)], START, 9, tol=1e-3, follow=follow)
    assert sorted(joined.take(np.array([8, 1, 6])).squares(plan)) == pytest.approx(
        sorted(joined.squares(plan)[[1, 6, 8]])
    )


def test_strata_hold_the_hardest_and_stand_for_all(trial):
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 4, end="zero"))
    squares = trial.parts[0].trajectories.squares(plan)
    hard, others, rest = trial.strata([plan], 40).parts
    assert hard.trajectories.squares(plan).min() >= np.sort(squares)[-40]
    assert hard.weight + others.weight == pytest.approx(1)
    assert rest is trial.parts[1]
    means = []
    for seed in range(60):
        parts = trial.strata([plan], 40, seed).parts[:2]
        means.append(sum(part.weight * part.trajectories.squares(plan).mean() for part in parts))
    # 4 standard errors of the mean over seeds
    assert abs(np.mean(means) - squares.mean()) < 4 * np.std(means) / math.sqrt(60)
    assert trial.strata([plan], 100) is trial


@pytest.mark.parametrize("known", [False, True], ids=["for any plan", "for this one"])
@pytest.mark.parametrize("law", [FULL, [Guided(FAMILY, label, 2.0) for label in (0, 1)]], ids=["mixture", "guided"])
def test_strata_of_a_law_have_its_mean_and_more_of_what_is_hard(law, known):
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 4, end="zero"))
    laws = law if isinstance(law, list) else [law]
    drawn = Trial("strata", (stratified(law, START, 160, 3, plans=[plan] if known else ()),))
    plain = [Trajectories.draw(one, START, 256, 7, 1e-3, follow).squares(plan) for one in laws]
    parts = [(part.mean(), part.var() / len(part) / len(laws) ** 2) for part in plain]
    squares, weight = drawn.squares(plan), drawn.parts[0].weight
    error = math.sqrt(sum(var for _, var in parts) + squares.var() / len(squares))
    assert abs(squares.mean() - np.mean([mean for mean, _ in parts])) < 4 * error
    assert weight.mean() == pytest.approx(1)
    alone = squares / weight
    assert alone[weight < 1].mean() > 2 * alone[weight > 1].mean()
    if known:
        # what it is drawn for is all but sorted by it
        assert np.median(alone[weight < 1]) > np.quantile(alone[weight > 1], 0.9)


# --- what fits start from ---


@pytest.fixture(scope="module", params=["VP", "Flow"])
def field(request):
    process = PROCESSES[request.param]
    start = process.level(process.t_start)
    spectra = [[30.0, 5.0, 1.0, 0.1], [1.0, 0.3, 0.1], [2.0, 0.5]]
    choosing = [gaussian_trial(f"of {len(c)}", c, start) for c in spectra]
    ranked = _ranked(choosing, candidates(process, 4, [ddim, dpmpp_2m, ipndm_3]), 1, lambda done: None)
    return _Field(process, start, 4, choosing, ranked, (3.0, 9.0))


def test_a_law_is_measured_by_the_plan_that_is_the_best_on_some_law_and_suits_it_most(field):
    best = [ranked[0].plan for ranked in field.ranked]
    assert len({plan.hash for plan in best}) > 1
    for trial in field.choosing:
        assert field._unit(trial) == min(trial.error(plan) for plan in best)
    assert field.score(best[0]) >= 0


def test_fits_start_from_several_plans_and_count_the_roughest_law_as_often_as_said(field):
    first = field.first(field.choosing)
    assert len(first) > 1
    pairs = [(work.free.order, work.theta) for work in first]
    assert all(p != q or not np.allclose(a, b) for i, (p, a) in enumerate(pairs) for q, b in pairs[:i])
    begun = [work.run() for work in first]
    assert all(made.error <= made.before for made in begun)
    best = sorted(begun, key=lambda made: field.score(made.plan()))[:2]
    both = field.second(begun, field.choosing)
    assert {work.theta.tobytes() for work in both} == {made.theta.tobytes() for made in best}
    for work, share in zip(both, [3.0, 9.0, 3.0, 9.0], strict=True):
        units = [field._unit(trial) for trial in field.choosing]
        assert work.units[:-1] == units[:-1]
        assert work.units[-1] == pytest.approx(units[-1] / math.sqrt(share))
