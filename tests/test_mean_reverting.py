"""Mean-reverting samplers as their paper writes them, with ``mu``, against plans run about ``mu``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.measure import started
from diffnum.plan import PREDICTIONS
from diffnum.prediction import convert
from diffnum.process import rate_table
from diffnum.read.tableau import distance
from diffnum.slopes import measured, settled
from diffnum.solvers import ALIASES, ALL, reverting
from diffnum.trace import compile
from diffnum.witness import COUNTS, GRIDS, LOW, Run, gaussian, nonlinear, norm, path_errors
from theory import published_noise

DIM = 5
PROCESSES = {
    "cosine": dn.MeanReverting(),
    "constant": dn.MeanReverting(dn.VP(10.6, 10.6), 50 / 255),
    "linear": dn.MeanReverting(dn.VP(), 1.7),
    "table": dn.MeanReverting(rate_table(np.linspace(0.01, 1.0, 100)), 0.3),
}
every = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
every_prediction = pytest.mark.parametrize("prediction", PREDICTIONS)


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


def random_grid(process, steps, seed):
    """Steps between a third of and three times one another."""
    h = np.exp(np.random.default_rng(seed).uniform(-0.55, 0.55, steps))
    low, high = process.lam(process.t_start), process.lam(process.t_start) + 6.0
    return dn.grid.custom(process, lams=(low + (high - low) * np.concatenate([[0.0], np.cumsum(h) / h.sum()])).tolist())


def random_model(seed, linear):
    rng = np.random.default_rng(seed)
    A, B, c = rng.normal(size=(DIM, DIM)) / DIM, rng.normal(size=(DIM, DIM)) / DIM, rng.normal(size=DIM)

    def model(x, level):
        z = x @ A.T + level.t * c
        return z if linear else np.tanh(z) + 0.3 * np.sin(x @ B.T)

    return model


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


def test_the_third_order_differs_from_its_relatives_by_its_start_up_or_its_factor():
    grid = random_grid(PROCESSES["linear"], 6, 1)
    for kind, relative in (("mrs_3", "dpmpp_3m"), ("mrs_3_noise", "dpm_3m")):
        published = dn.compile(kind, grid)
        assert distance(published, dn.compile(relative, grid)) > 1e-3
        assert distance(published, dn.compile("exp_ab3" if kind == "mrs_3" else "exp_ab3_noise", grid)) > 1e-3
    two = random_grid(PROCESSES["linear"], 2, 1)
    assert distance(dn.compile("mrs_3", two), dn.compile("exp_ab2", two)) < 1e-13


# --- orders, on laws of x0 about any mu ---

MU = np.array([0.7, -1.3, 2.0])


MEAN, VARIANCES = np.array([0.5, -1.0, 0.3]), np.array([0.1, 0.6, 2.5])
MEANS, SPREADS = np.array([[-1.0, 0.4, 0.0], [0.7, -0.9, 0.5]]), np.array([[0.3, 0.5, 0.4], [0.4, 0.2, 0.6]])
WEIGHTS = np.array([0.3, 0.7])
GAUSSIAN, MIXTURE = dn.Gaussian(MEAN, VARIANCES), dn.Mixture(WEIGHTS, MEANS, SPREADS)
# the laws of x0 - mu
RECENTRED = {
    "Gaussian": (GAUSSIAN, dn.Gaussian(MEAN - MU, VARIANCES)),
    "mixture": (MIXTURE, dn.Mixture(WEIGHTS, MEANS - MU, SPREADS)),
}


@every
@every_prediction
@pytest.mark.parametrize("law", RECENTRED)
def test_a_law_about_mu_is_the_law_of_its_difference(process, prediction, law):
    around, (target, difference) = dn.Centred(MU), RECENTRED[law]
    x = np.random.default_rng(5).normal(size=(4, 3))
    for share in (0.1, 0.5, 1.0):
        level = process.level(process.t_clean + share * (process.t_start - process.t_clean))
        truth = around.from_plain(target, prediction)(x, level)
        moved = around.reverting(difference, prediction)(x, level)
        np.testing.assert_allclose(moved, truth, rtol=1e-10, atol=1e-10 * np.abs(truth).max())


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


@pytest.mark.parametrize("process", MEASURED, ids=["cosine", "linear"])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name, order", [(row[0], min(row[1], 2) if row[3] == 1 else 3) for row in PUBLISHED])
def test_measured_order_about_a_mean_that_is_not_zero(name, order, law, process):
    """Warm, two-sided on mixtures; a Gaussian may super-converge. Errors in ``u`` are those in ``x``."""
    assert (ALL | ALIASES)[name].order == order
    run = Run.of(LAWS[law], process.at(LOW))
    must = "equal" if law == "mixture" else "reach"
    for grid, build in GRIDS.items():
        counts, errors = [], []
        for n in (*COUNTS, 1024, 2048):
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


# --- exactness, and the change of variable itself ---


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


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), shared=st.booleans(), kind=st.sampled_from(["numpy", "torch", "float32"]))
def test_centring_round_trips(seed, shared, kind):
    rng = np.random.default_rng(seed)
    x, mu = rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 3) if shared else (4, 1, 3))
    dtype = np.float32 if kind == "float32" else np.float64
    x = torch.from_numpy(x) if kind == "torch" else x.astype(dtype)
    mu = torch.from_numpy(mu) if kind == "torch" else mu
    around = dn.Centred(mu)
    for there, back in ((around.centre, around.uncentre), (around.uncentre, around.centre)):
        moved = there(x)
        assert moved.dtype == x.dtype and moved.shape == x.shape
        # one rounding there and one back
        assert float(abs(back(moved) - x).max()) <= np.finfo(dtype).eps * float(abs(x).max() + 2 * abs(mu).max())


@every
@every_prediction
def test_adapters_are_inverse(process, prediction):
    rng = np.random.default_rng(2)
    around, model, x = dn.Centred(rng.normal(size=DIM)), random_model(2, False), rng.normal(size=(3, DIM))
    level = process.level(0.4 * process.t_start)
    there_and_back = around.reverting(around.model(model, prediction), prediction)
    np.testing.assert_allclose(there_and_back(x, level), model(x, level), rtol=0, atol=1e-14)


@every
@pytest.mark.parametrize("source", PREDICTIONS)
@every_prediction
def test_predictions_of_x_convert_as_those_of_u(process, source, prediction):
    around, x = dn.Centred(MU), np.random.default_rng(4).normal(size=(4, 3))
    level = process.level(0.6 * process.t_start)
    u = around.centre(x)
    a, b = convert(level, source, prediction)
    given_ = around.model(around.from_plain(MIXTURE, source), source)(u, level)
    wanted = around.model(around.from_plain(MIXTURE, prediction), prediction)(u, level)
    np.testing.assert_allclose(a * u + b * given_, wanted, rtol=0, atol=1e-11 * max(1.0, np.abs(wanted).max()))


@every
def test_the_velocity_is_that_of_the_paper(process):
    """Li et al. 2025: ``x0 = alpha x - (sigma / sigma_max) v + (1 - alpha) mu``."""
    x0, mu, eps = np.random.default_rng(9).normal(size=(3, DIM))
    level = process.level(0.3 * process.t_start)
    x = level.alpha * x0 + (1 - level.alpha) * mu + level.sigma * eps
    v = level.v[0] * (x0 - mu) + level.v[1] * eps
    back = level.alpha * x - level.sigma / process.sigma_max * v + (1 - level.alpha) * mu
    np.testing.assert_allclose(back, x0, rtol=0, atol=1e-14)


@every
def test_the_forward_equation_moves_the_mean_and_the_variance(process):
    """``x' = theta (mu - x)`` for the mean and ``V' = -2 theta V + 2 theta sigma_max^2``, by central differences."""
    t, d = 0.37 * process.t_start, 1e-5 * process.t_start
    x0, mu, theta = 1.3, -0.4, -process.drift(t)

    def mean(u):
        return process.alpha(u) * x0 + (1 - process.alpha(u)) * mu

    slope = (mean(t + d) - mean(t - d)) / (2 * d)
    assert slope == pytest.approx(theta * (mu - mean(t)), rel=1e-6)
    grown = (process.sigma(t + d) ** 2 - process.sigma(t - d) ** 2) / (2 * d)
    assert grown == pytest.approx(2 * theta * (process.sigma_max**2 - process.sigma(t) ** 2), rel=1e-6)
    assert process.diffusion(t) ** 2 == pytest.approx(2 * theta * process.sigma_max**2, rel=1e-13)


@every
def test_the_end_is_near_the_stationary_law(process):
    end = process.level(process.t_start)
    assert end.sigma == pytest.approx(process.sigma_max, rel=end.alpha**2) and end.alpha < 0.01
    plan = dn.compile("mrs_1", dn.grid.log_snr(process, 2))
    assert plan.prior == process.sigma_max


def irsde_table(T, kind, eps):
    """``thetas_cumsum * dt`` and ``sigma_bars / max_sigma`` of IR-SDE's code in float64, ``t = 0 ... T``."""
    if kind == "cosine":
        u = np.arange(T + 3) / (T + 2)
        squared = np.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        thetas = 1 - squared[1:-1] / squared[0]
    elif kind == "linear":
        thetas = np.linspace(0.1 / (T + 1), 20 / (T + 1), T + 1)
    else:
        thetas = np.ones(T + 1)
    total = np.cumsum(thetas) - thetas[0]
    dt = -math.log(eps) / total[-1]
    return thetas, total * dt, np.sqrt(-np.expm1(-2 * total * dt))


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("T", [10, 100])
def test_a_rate_table_is_the_table_of_irsde(kind, T):
    thetas, fall, bars = irsde_table(T, kind, 0.005)
    process = dn.MeanReverting(rate_table(thetas[1:], 0.005), 0.2)
    t = np.arange(-1.0, T)
    np.testing.assert_allclose(process.alpha(t), np.exp(-fall), rtol=1e-13)
    np.testing.assert_allclose(process.sigma(t), 0.2 * bars, rtol=1e-12, atol=1e-15)
    assert process.t_start == T - 1


@pytest.mark.parametrize("kind, signal", [("cosine", dn.process.CosineRate()), ("linear", dn.VP(0.1, 20.0))])
def test_the_continuous_rates_are_limits_of_the_tables(kind, signal):
    def gap(T):
        _, fall, _ = irsde_table(T, kind, signal.alpha(1.0))
        t = np.arange(1, T + 1) / T
        return np.abs(-np.log(signal.alpha(t)) - fall[1:]).max()

    assert gap(200) < 0.1
    assert gap(400) / gap(200) == pytest.approx(0.5, rel=0.05)


def test_torch_batches_with_a_mean_for_each_sample_run_as_numpy():
    process = PROCESSES["cosine"]
    rng = np.random.default_rng(6)
    mu, x = rng.normal(size=(2, 4, 3, 2, 2))
    plan = dn.compile("mrs_3_corrected", dn.grid.log_snr(process, 6), prediction="noise")

    def model(x, level):
        return (x.tanh() if hasattr(x, "tanh") else np.tanh(x)) * (0.3 + level.t)

    expected = dn.Centred(mu).sample(plan, model, x)
    found = dn.Centred(torch.from_numpy(mu)).sample(plan, model, torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    single = dn.Centred(torch.from_numpy(mu)).sample(plan, model, torch.from_numpy(x).float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_plan_on_a_mean_reverting_process_survives_json():
    plan = dn.compile("mrs_2", dn.grid.log_snr(PROCESSES["table"], 4))
    back = dn.Plan.from_json(plan.to_json())
    assert back.hash == plan.hash and dn.process.from_json(back.process) == PROCESSES["table"]


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: dn.Centred(math.nan), "not finite"),
        (lambda: dn.Centred(np.array([0.0, math.inf])), "not finite"),
        (lambda: dn.Centred(torch.tensor([math.nan])), "not finite"),
        (lambda: dn.Centred([0.0, 1.0]), "mu is a list"),
        (
            lambda: dn.Centred(np.zeros(3)).centre(np.zeros((2, 4))),
            r"mu of shape \(3,\) is no mean of x of shape \(2, 4\)",
        ),
        (lambda: dn.Centred(np.zeros((5, 3))).centre(np.zeros((1, 3))), r"mu of shape \(5, 3\)"),
        (lambda: dn.Centred(np.zeros((1, 2, 3))).uncentre(np.zeros((2, 3))), r"mu of shape \(1, 2, 3\)"),
        (lambda: dn.Centred(np.zeros(3)).centre(torch.zeros(2, 3)), "mu is a ndarray and x a Tensor"),
        (lambda: dn.Centred(0.0).model(lambda x, level: x, "epsilon"), "prediction 'epsilon' is unknown"),
        (lambda: dn.Centred(0.0).from_plain(lambda x, level: x, "epsilon"), "prediction 'epsilon' is unknown"),
        (lambda: dn.Centred(0.0).reverting(3.0), "float is no model"),
    ],
)
def test_what_is_no_mean_is_refused_by_one_sentence(build, told):
    with pytest.raises(ValueError, match=told) as caught:
        build()
    assert "\n" not in str(caught.value) and ":" in str(caught.value)
