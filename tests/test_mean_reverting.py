"""Mean-reverting samplers as their paper writes them, with ``mu``, against plans run about ``mu``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.cli.certificates import _named
from diffnum.measure import started
from diffnum.read.tableau import distance
from diffnum.slopes import measured, settled
from diffnum.solvers import ALIASES, ALL, reverting
from diffnum.trace import compile
from diffnum.witness import COUNTS, GRIDS, LOW, Run, gaussian, nonlinear, norm, path_errors
from tests.reverting_cases import DIM, GAUSSIAN, MU, PROCESSES, RECENTRED, every, random_grid, random_model
from theory import published_noise

# --- the published steps, in x ---


def differences(m, h, past):
    """First and second difference as published: the second one lacks a factor 2."""
    if not past:
        return 0.0, 0.0
    m1, h1 = past[0]
    first = (m - m1) / (h1 / h)
    if len(past) == 1:
        return first, 0.0
    m2, h2 = past[1]
    second = (m1 - m2) / (h2 / h)
    whole = (h1 + h2) / h
    return first + (h1 / h) / whole * (first - second), (first - second) / whole


def mrs(levels, model, x, mu, order, on_noise, factor=1.0):
    """MRS-n for the ODE (Li et al. 2025), lower orders first; ``factor`` of the second difference is 2 when whole."""
    past = []
    for s, t in pairwise(levels):
        h = t.lam - s.lam
        m = model(x, s)
        D1, D2 = differences(m, h, past)
        D2 = factor * D2
        if on_noise:
            p1 = math.expm1(h)
            p2 = p1 / h - 1
            p3 = p2 / h - 0.5
            ratio = t.alpha / s.alpha
            x = ratio * x + (1 - ratio) * mu - t.sigma * (p1 * m + p2 * D1 + p3 * D2)
        else:
            p1 = math.expm1(-h)
            p2 = p1 / h + 1
            p3 = p2 / h - 0.5
            ratio = t.sigma / s.sigma
            shift = 1 - ratio + ratio * s.alpha - t.alpha
            x = ratio * x + shift * mu - t.alpha * (p1 * m - p2 * D1 + p3 * D2)
        past = [(m, h), *past][: order - 1]
    return x


PUBLISHED = [
    ("mrs_1", 1, False, 1),
    ("mrs_2", 2, False, 1),
    ("mrs_3", 3, False, 1),
    ("mrs_3_corrected", 3, False, 2),
    ("mrs_1_noise", 1, True, 1),
    ("mrs_2_noise", 2, True, 1),
    ("mrs_3_noise", 3, True, 1),
    ("mrs_3_corrected_noise", 3, True, 2),
]
every_published = pytest.mark.parametrize("name, order, on_noise, factor", PUBLISHED, ids=[row[0] for row in PUBLISHED])


@every
@every_published
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), linear=st.booleans(), steps=st.integers(1, 9))
def test_published_steps_with_mu_are_a_plan_about_mu(process, name, order, on_noise, factor, seed, linear, steps):
    rng = np.random.default_rng(seed)
    mu, x = rng.normal(size=(2, 3, DIM))
    model, levels = random_model(seed, linear), random_grid(process, steps, seed)
    expected = mrs(levels.levels, model, x, mu, order, on_noise, factor)
    plan = dn.compile(name, levels, prediction="noise" if on_noise else "data")
    found = dn.Centred(mu).sample(plan, model, x)
    assert np.abs(found - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max(), np.abs(x).max())


@pytest.mark.parametrize("name, order, on_noise", [row[:3] for row in PUBLISHED if row[3] == 1])
def test_plans_are_those_of_the_steps_that_theory_writes_with_mu(name, order, on_noise):
    """There ``mu`` is a draw and the model returns data."""
    mu, grid, model = 0.7, random_grid(PROCESSES["linear"], 7, 3), random_model(3, False)
    x = np.random.default_rng(3).normal(size=(2, DIM))
    written = compile(published_noise.mrs_noise if on_noise else published_noise.mrs_data, grid, order=order)
    drawn = dn.sample(written, model, x, noise=lambda s, t, j, x: mu + 0 * x)
    about = dn.Centred(mu).sample(dn.compile(name, grid), model, x)
    np.testing.assert_allclose(drawn, about, rtol=0, atol=1e-12 * np.abs(about).max())


def test_dropping_mu_is_noticed():
    process = PROCESSES["cosine"]
    levels, model = random_grid(process, 6, 0), random_model(0, False)
    mu, x = np.random.default_rng(0).normal(size=(2, 3, DIM))
    plan = dn.compile("mrs_2", levels)
    assert np.abs(dn.sample(plan, model, x) - mrs(levels.levels, model, x, mu, 2, False)).max() > 0.1


# --- names ---

SAME = {
    "mrs_1": "dpmpp_1",
    "mrs_1_noise": "dpm_solver_1",
    "mrs_2": "exp_ab2",
    "mrs_2_noise": "exp_ab2_noise",
    "mrs_3_corrected": "exp_ab3",
    "mrs_3_corrected_noise": "exp_ab3_noise",
}


def test_aliases_are_the_names_of_samplers_that_have_one_already():
    assert {name: solver.name for name, solver in ALIASES.items() if name.startswith("mrs")} == SAME
    assert not set(ALIASES) & set(ALL)
    assert {*reverting.__all__} == {*SAME, "mrs_3", "mrs_3_noise"}


@pytest.mark.parametrize("alias", SAME)
def test_an_alias_compiles_to_the_plan_of_its_sampler(alias):
    grid = random_grid(PROCESSES["constant"], 6, 1)
    assert dn.compile(alias, grid).hash == dn.compile(SAME[alias], grid).hash


def test_a_sampler_and_its_alias_are_certified_once():
    assert _named(["mrs_2", "exp_ab2", "mrs_1"], every=False) == [ALL["exp_ab2"], ALL["dpmpp_1"]]
    with pytest.raises(ValueError, match=r"'mrs_4' is unknown: did you mean mrs_"):
        dn.compile("mrs_4", random_grid(PROCESSES["linear"], 2, 0))


def test_the_third_order_differs_from_its_relatives_by_its_start_up_or_its_factor():
    grid = random_grid(PROCESSES["linear"], 6, 1)
    for kind, relative in (("mrs_3", "dpmpp_3m"), ("mrs_3_noise", "dpm_3m")):
        published = dn.compile(kind, grid)
        assert distance(published, dn.compile(relative, grid)) > 1e-3
        assert distance(published, dn.compile("exp_ab3" if kind == "mrs_3" else "exp_ab3_noise", grid)) > 1e-3
    two = random_grid(PROCESSES["linear"], 2, 1)
    assert distance(dn.compile("mrs_3", two), dn.compile("exp_ab2", two)) < 1e-13


# --- orders, on laws of x0 about any mu ---


@pytest.mark.parametrize("name", ["mrs_1", "mrs_2_noise", "mrs_3", "mrs_3_noise", "mrs_3_corrected"])
def test_an_end_point_in_x_is_that_of_the_centred_law(name):
    process = PROCESSES["linear"]
    plan = dn.compile(name, dn.grid.log_snr(process, 8, start=process.at(-2.0), stop=process.at(3.0)))
    around, law = dn.Centred(MU), RECENTRED["Gaussian"][1]
    u = law.sample(6, 1, plan.start)
    x = around.sample(plan, around.from_plain(GAUSSIAN), around.uncentre(u))
    np.testing.assert_allclose(around.centre(x), dn.sample(plan, law, u), rtol=0, atol=1e-12)


@dataclass(frozen=True, eq=False)
class AboutMean:
    """A law of ``x0`` seen about ``mu``, through the states ``x`` and ``y = x - (1 - alpha) mu``."""

    law: Any
    around: dn.Centred

    def predict(self, u, level, quantity):
        return self.around.model(self.around.from_plain(self.law, quantity), quantity)(u, level)

    def sample(self, n, rng, level):
        return self.law.sample(n, rng, level) - level.alpha * self.around.mu

    def flow(self, u, s, t):
        mu = self.around.mu
        return self.law.flow(u + s.alpha * mu, s, t) - t.alpha * mu


def at_mean(law, seed):
    return AboutMean(law, dn.Centred(np.random.default_rng(seed).normal(size=law.dim)))


LAWS = {"Gaussian": at_mean(gaussian(), 1), "mixture": at_mean(nonlinear(), 2)}
MEASURED = [dn.MeanReverting(sigma_max=0.5), PROCESSES["linear"]]


@pytest.mark.parametrize(
    "process", [pytest.param(MEASURED[0], marks=pytest.mark.full), MEASURED[1]], ids=["cosine", "linear"]
)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name, order", [(row[0], min(row[1], 2) if row[3] == 1 else 3) for row in PUBLISHED])
def test_measured_order_about_a_mean_that_is_not_zero(name, order, law, process):
    """Warm, two-sided on mixtures; a Gaussian may super-converge. Errors in ``u`` are those in ``x``."""
    assert (ALL | ALIASES)[name].order == order
    run = Run.of(LAWS[law], process.at(LOW))
    must = "equal" if law == "mixture" else "reach"
    for grid, build in GRIDS.items():
        counts, errors = [], []
        for n in (*COUNTS, 1024, 2048, 4096):
            if n > COUNTS[-1] and settled(errors, counts):
                break
            counts.append(n)
            errors.append(norm(path_errors(dn.compile(name, build(process, n)), run, True)))
        assert settled(errors, counts)
        slope = measured(errors, counts, law, grid, process.name, "warm", must)
        assert slope.holds(order), (grid, slope.value)


@pytest.mark.parametrize("name", ["mrs_3", "mrs_3_corrected"])
def test_the_published_start_up_caps_the_order_at_two(name):
    cold = started((ALL | ALIASES)[name], lambda p, g, n: dn.compile(name, g(p, n)), PROCESSES["linear"])
    assert cold is not None and cold.q == 2 and cold.holds


# --- exactness ---


@every
@pytest.mark.parametrize("name", ["mrs_1", "mrs_2", "mrs_3", "mrs_3_corrected"])
def test_data_steps_are_exact_for_a_constant_prediction(process, name):
    x0, mu, x = np.random.default_rng(7).normal(size=(3, 2, DIM))
    for steps in (1, 5):
        plan = dn.compile(name, random_grid(process, steps, steps))
        s, t = plan.start, plan.stop
        eps = (x - s.alpha * x0 - (1 - s.alpha) * mu) / s.sigma
        exact = t.alpha * x0 + (1 - t.alpha) * mu + t.sigma * eps
        found = dn.Centred(mu).sample(plan, lambda x, level: x0, x)
        assert np.abs(found - exact).max() <= 1e-13 * max(1.0, np.abs(x).max(), np.abs(eps).max())


@every
def test_a_step_to_the_clean_level_returns_the_prediction(process):
    x0, mu, x = np.random.default_rng(8).normal(size=(3, 2, DIM))
    plan = dn.compile("mrs_3", dn.grid.log_snr(process, 5, end="zero"))
    np.testing.assert_allclose(dn.Centred(mu).sample(plan, lambda x, level: x0, x), x0, rtol=0, atol=1e-12)
