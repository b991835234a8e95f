"""The change of variable about ``mu``, there and back, and mean-reverting processes against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.plan import PREDICTIONS
from diffnum.prediction import convert
from diffnum.process import rate_table
from tests.reverting_cases import DIM, MIXTURE, MU, PROCESSES, RECENTRED, every, every_prediction, random_model

# --- there and back ---


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


# --- processes ---


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


def irsde_table(T, kind, eps, first=False):
    """``thetas_cumsum * dt`` and ``sigma_bars / max_sigma`` of IR-SDE's code in float64, ``t = 0 ... T``; MR Sampler's
    leaves the ``first`` rate in the sums."""
    if kind == "cosine":
        u = np.arange(T + 3) / (T + 2)
        squared = np.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        thetas = 1 - squared[1:-1] / squared[0]
    elif kind == "linear":
        thetas = np.linspace(0.1 / (T + 1), 20 / (T + 1), T + 1)
    else:
        thetas = np.ones(T + 1)
    total = np.cumsum(thetas) - (0 if first else thetas[0])
    dt = -math.log(eps) / total[-1]
    return thetas, total * dt, np.sqrt(-np.expm1(-2 * total * dt))


@pytest.mark.parametrize("first", [False, True], ids=["IR-SDE", "MR Sampler"])
@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("T", [10, 100])
def test_a_rate_table_is_the_table_of_the_code(kind, T, first):
    thetas, fall, bars = irsde_table(T, kind, 0.005, first)
    process = dn.MeanReverting(rate_table(thetas if first else thetas[1:], 0.005), 0.2)
    t = np.arange(T + 1.0) if first else np.arange(-1.0, T)
    np.testing.assert_allclose(process.alpha(t), np.exp(-fall), rtol=1e-13)
    np.testing.assert_allclose(process.sigma(t), 0.2 * bars, rtol=1e-12, atol=1e-15)
    assert process.t_start == t[-1]


@pytest.mark.parametrize("kind, signal", [("cosine", dn.process.CosineRate()), ("linear", dn.VP(0.1, 20.0))])
def test_the_continuous_rates_are_limits_of_the_tables(kind, signal):
    def gap(T):
        _, fall, _ = irsde_table(T, kind, signal.alpha(1.0))
        t = np.arange(1, T + 1) / T
        return np.abs(-np.log(signal.alpha(t)) - fall[1:]).max()

    assert gap(200) < 0.1
    assert gap(400) / gap(200) == pytest.approx(0.5, rel=0.05)


def test_a_plan_on_a_mean_reverting_process_survives_json():
    plan = dn.compile("mrs_2", dn.grid.log_snr(PROCESSES["table"], 4))
    back = dn.Plan.from_json(plan.to_json())
    assert back.hash == plan.hash and dn.process.from_json(back.process) == PROCESSES["table"]
