"""Adaptive runs against calls counted, the plans they froze, published loops in plain arithmetic, and exact flows."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from diffnum.adaptive import (
    DPM,
    H211PI,
    K_DIFFUSION,
    PAIRS,
    PI42,
    PID,
    I,
    adapt,
    adapt_each,
    doubling,
    mean,
)
from diffnum.plan import Plan
from diffnum.process import EDM, VE, VP, Cosine, Flow
from diffnum.read.sample import sample
from diffnum.read.tableau import distance
from diffnum.solvers import ALL
from diffnum.trace import compile
from diffnum.witness import Run, gaussian, nonlinear

LOW, HIGH = -3.0, 3.0
CONTROLLERS = (DPM, I, PI42, H211PI, PID, K_DIFFUSION)
DOUBLED = {name: doubling(ALL[name]) for name in ("ddim", "heun", "dpmpp_2s", "rk4")}
EVERY = {**PAIRS, **{f"{name} doubled": pair for name, pair in DOUBLED.items()}}
every_pair = pytest.mark.parametrize("name", EVERY)


class Counted:
    """A model of the non-linear witness that counts its calls."""

    def __init__(self, target=None, prediction="data"):
        self.target, self.prediction, self.calls = target or nonlinear(), prediction, 0

    def __call__(self, x, level):
        self.calls += 1
        return self.target.predict(x, level, self.prediction)


@lru_cache
def run_on(process, target=None):
    return Run.of(target or nonlinear(), process.at(LOW))


def adapted(process, pair, tol=1e-3, target=None, **options):
    run = run_on(process, target)
    ends = {"start": process.at(LOW), "stop": process.at(HIGH)}
    return adapt(run.target, process, run.x, pair, rtol=0.0, atol=tol, **{**ends, **options})


def error(result, process, target=None):
    return abs(result.x - run_on(process, target).exact(result.plan.stop)).max()


# --- the frozen plan and the ledger ---


@every_pair
@pytest.mark.parametrize("process", [VP(), EDM(), Flow()], ids=lambda p: p.name)
def test_the_frozen_plan_gives_the_same_bits(name, process):
    result = adapted(process, EVERY[name])
    assert np.array_equal(sample(result.plan, nonlinear(), run_on(process).x), result.x)
    assert result.accepted == result.plan.steps == len(result.grid.h)
    assert result.plan.depth == 0


@every_pair
def test_the_frozen_plan_is_its_solver_on_the_levels_that_were_kept(name):
    result = adapted(VP(), EVERY[name], 1e-2)
    assert distance(result.plan, compile(result.solver, result.grid)) < 1e-12


@every_pair
def test_every_attempt_costs_its_own_stages_and_no_shared_ones(name):
    model, pair = Counted(), EVERY[name]
    result = adapt(model, VP(), run_on(VP()).x, pair, 0.0, 1e-4, VP().at(LOW), VP().at(HIGH), I)
    attempts = result.accepted + result.rejected
    stages = pair.calls if pair.ahead else pair.calls - 1
    # a pair that evaluates ahead pays its first evaluation once, another one at every state it leaves
    first = 1 if pair.ahead else result.accepted
    assert result.nfe == model.calls == first + stages * attempts
    assert result.plan.nfe == result.nfe - stages * result.rejected - (1 if pair.ahead else 0)


def test_rejected_steps_happen_and_are_paid_for():
    result = adapted(VP(), PAIRS["dormand_prince54"], 1e-6, first=2.0)
    assert result.rejected > 0
    assert result.nfe > result.plan.nfe


def test_a_frozen_plan_survives_its_file(tmp_path):
    result = adapted(VP(), PAIRS["bogacki_shampine32"], 1e-2)
    result.plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert np.array_equal(sample(again, nonlinear(), run_on(VP()).x), result.x)


# --- published loops in plain arithmetic, on sigma ---


def published(order, tol, step):
    """The adaptive DPM-Solver on EDM's states, written out; ``step(h, E, left)`` is the controller."""
    edm, x = EDM(), run_on(EDM()).x
    lam, h, before, lams = LOW, 0.05, x, [LOW]

    def noise(x, lam):
        return (x - nonlinear().denoise(x, edm.at(lam))) * math.exp(lam)

    while lam < HIGH - 1e-9:
        end = min(lam + h, HIGH)
        h_, sigma = end - lam, math.exp(-end)
        e = noise(x, lam)
        r1 = 1 / 2 if order == 2 else 1 / 3
        u = x - math.exp(-lam - r1 * h_) * math.expm1(r1 * h_) * e
        e1 = noise(u, lam + r1 * h_)
        second = x - sigma * math.expm1(h_) * (e + (e1 - e) / (2 * r1))
        low, high = x - sigma * math.expm1(h_) * e, second
        if order == 3:
            r2, h2 = 2 / 3, 2 / 3 * h_
            bend = math.expm1(h2) / h2 - 1
            u2 = x - math.exp(-lam - h2) * (math.expm1(h2) * e + (r2 / r1) * bend * (e1 - e))
            e2 = noise(u2, lam + h2)
            low, high = second, x - sigma * (math.expm1(h_) * e + (math.expm1(h_) / h_ - 1) / r2 * (e2 - e))
        scaled = (low - high) / np.maximum(tol, tol * np.maximum(abs(low), abs(before)))
        kept, h = step(h_, scaled)
        if kept:
            x, lam, before = high, end, low
            lams.append(end)
    return x, np.array(lams)


def as_published(order):
    def step(h, scaled):
        E = np.sqrt((scaled**2).mean(1)).max()
        return E <= 1, 0.9 * h * E ** (-1 / order)

    return step


def as_k_diffusion(order):
    def step(h, scaled):
        E = np.sqrt((scaled**2).mean())
        factor = 1 + math.atan((1 / (E + 1e-8)) ** (1 / order) - 1)
        return factor >= 0.81, factor * h

    return step


@pytest.mark.parametrize("order, name", [(2, "dpm_solver_12"), (3, "dpm_solver_23")])
@pytest.mark.parametrize("tol", [1e-2, 1e-3])
def test_dpm_solver_takes_the_steps_of_the_published_loop(order, name, tol):
    x, lams = published(order, tol, as_published(order))
    result = _relative(name, tol)
    assert np.allclose([level.lam for level in result.plan.levels], lams, atol=1e-9)
    assert np.allclose(result.x, x, atol=1e-9)


@pytest.mark.parametrize("order, name", [(2, "dpm_solver_12"), (3, "dpm_solver_23")])
def test_the_arctan_controller_takes_the_steps_of_k_diffusion(order, name):
    x, lams = published(order, 1e-3, as_k_diffusion(order))
    result = _relative(name, 1e-3, controller=K_DIFFUSION, norm=mean)
    assert np.allclose([level.lam for level in result.plan.levels], lams, atol=1e-9)
    assert np.allclose(result.x, x, atol=1e-9)


def _relative(name, tol, **options):
    edm = EDM()
    return adapt(nonlinear(), edm, run_on(edm).x, PAIRS[name], tol, tol, edm.at(LOW), edm.at(HIGH), **options)


# --- the tolerance ---


def ratios(pair, process, target, tols):
    return [error(adapted(process, pair, tol, target), process, target) / tol for tol in tols]


@pytest.mark.parametrize("target", [gaussian(), nonlinear()], ids=["Gaussian", "non-linear"])
@pytest.mark.parametrize("name", ["dpm_solver_23", "bogacki_shampine32", "trig_dormand_prince54", "fehlberg54"])
def test_the_error_is_the_tolerance_within_a_factor_of_thirty_over_five_decades(name, target):
    found = ratios(PAIRS[name], VP(), target, np.logspace(-2, -6, 5))
    assert max(found) < 30
    assert min(found) > 1 / 30


@pytest.mark.full
@pytest.mark.parametrize("target", [gaussian(), nonlinear()], ids=["Gaussian", "non-linear"])
@pytest.mark.parametrize("process", [VP(), EDM(), Flow()], ids=lambda p: p.name)
@every_pair
def test_the_error_is_the_tolerance_within_a_factor_of_thirty_for_every_pair(name, process, target):
    # a Gaussian may super-converge, as extrapolated DDIM does there: only the non-linear law is two-sided
    found = ratios(EVERY[name], process, target, np.logspace(-2, -5 if EVERY[name].power == 2 else -7, 4))
    assert max(found) < 30
    assert target is gaussian() or min(found) > 1 / 30


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda c: c.name)
def test_every_controller_keeps_the_tolerance(controller):
    tol = 1e-4
    result = adapted(VP(), PAIRS["bogacki_shampine32"], tol, controller=controller)
    assert error(result, VP()) < 10 * tol
    assert max(result.errors) <= (1.0 if controller.least is None else 2.0)


@given(st.sampled_from(CONTROLLERS), st.floats(-6, 6), st.integers(2, 5))
def test_controllers_settle_where_the_factor_is_one(controller, log_size, k):
    """On ``E = C h^k`` the fixed point is ``E = safety^(k / sum(betas))``."""
    h, past = 1.0, []
    for _ in range(200):
        E = math.exp(log_size) * h**k
        kept, factor = controller.judge(E, past, k)
        past = [E, *past] if kept else past
        h *= factor
    assert math.isclose(E, controller.safety ** (k / sum(controller.betas)), rel_tol=1e-2)


# --- the budget ---


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(EVERY)),
    st.sampled_from(CONTROLLERS),
    st.sampled_from([VP(), EDM(), Flow()]),
    st.integers(1, 60),
    st.floats(-5, -1),
    st.sampled_from(["stop", "denoise"]),
)
def test_a_budget_is_never_exceeded(name, controller, process, budget, log_tol, end):
    assume(budget > 1 or end == "stop")
    model = Counted()
    result = adapt(
        model,
        process,
        run_on(process).x,
        EVERY[name],
        rtol=0.0,
        atol=10**log_tol,
        start=process.at(LOW),
        stop=process.at(HIGH),
        controller=controller,
        budget=budget,
        end=end,
    )
    assert model.calls == result.nfe <= budget
    assert result.plan.nfe <= result.nfe
    assert result.plan.stop == process.at(HIGH)
    assert np.isfinite(result.x).all()
    assert np.array_equal(sample(result.plan, nonlinear(), run_on(process).x), result.x)
    assert result.met == (result.forced == result.rest == 0)
    assert result.met or "did not suffice" in str(result)


@pytest.mark.parametrize("name", ["dpm_solver_23", "bogacki_shampine32", "trig_dormand_prince54", "dpmpp_12"])
def test_a_budget_of_twice_the_need_changes_nothing(name):
    free = adapted(VP(), PAIRS[name])
    bound = adapted(VP(), PAIRS[name], budget=2 * free.nfe + 40)
    assert bound.met
    assert error(bound, VP()) < 3 * error(free, VP())


@pytest.mark.parametrize("name", ["dpm_solver_23", "bogacki_shampine32", "dpmpp_12"])
def test_more_calls_give_smaller_errors(name):
    errors = [error(adapted(VP(), PAIRS[name], 1e-7, budget=n), VP()) for n in (6, 24, 96, 384)]
    assert all(t < s / 4 for s, t in pairwise(errors))


def test_one_call_is_one_first_order_step():
    result = adapted(VP(), PAIRS["dormand_prince54"], budget=1)
    alone = compile(ALL["ddim"], result.grid)
    assert distance(result.plan, alone) < 1e-14


# --- batches ---


def test_samples_alone_do_not_depend_on_their_company():
    process, x = VP(), run_on(VP()).x
    options = {"pair": PAIRS["dpm_solver_23"], "start": process.at(LOW), "stop": process.at(HIGH)}
    whole = adapt_each(nonlinear(), process, x, **options)
    parts = (*adapt_each(nonlinear(), process, x[:5], **options), *adapt_each(nonlinear(), process, x[5:], **options))
    assert all(np.array_equal(a.x, b.x) and a.plan.hash == b.plan.hash for a, b in zip(whole, parts, strict=True))


def test_a_batch_takes_more_steps_than_its_samples_alone():
    process, x = VP(), run_on(VP()).x
    options = {
        "pair": PAIRS["dpm_solver_23"],
        "rtol": 0.0,
        "atol": 1e-4,
        "start": process.at(LOW),
        "stop": process.at(HIGH),
    }
    together = adapt(nonlinear(), process, x, **options)
    alone = [r.accepted for r in adapt_each(nonlinear(), process, x, **options)]
    assert together.accepted >= max(alone)
    assert len(set(alone)) > 1


# --- kinds of input ---


@pytest.mark.parametrize("prediction", ["noise", "velocity", "score"])
def test_predictions_agree(prediction):
    model, pair = Counted(prediction=prediction), PAIRS["trig_dormand_prince54"]
    ends = (VP().at(LOW), VP().at(HIGH), I)
    result = adapt(model, VP(), run_on(VP()).x, pair, 0.0, 1e-4, *ends, prediction=prediction)
    assert np.allclose(result.x, adapted(VP(), pair, 1e-4, controller=I).x, atol=1e-9)
    assert result.plan.prediction == prediction


def test_torch_in_single_precision_takes_the_steps_of_double():
    x = torch.tensor(run_on(VP()).x, dtype=torch.float32)
    result = adapt(nonlinear(), VP(), x, PAIRS["dpm_solver_23"], 0.0, 1e-3, VP().at(LOW), VP().at(HIGH))
    double = adapted(VP(), PAIRS["dpm_solver_23"])
    assert result.x.dtype == torch.float32
    assert result.accepted == double.accepted
    assert np.allclose(result.x.numpy(), double.x, atol=1e-4)
    # the same lines but for the order of products
    torch.testing.assert_close(sample(result.plan, nonlinear(), x), result.x)


@pytest.mark.parametrize("name", ["dormand_prince54", "trig_bogacki_shampine32"])
@pytest.mark.parametrize("process", [Flow(), Cosine()], ids=lambda p: p.name)
def test_a_run_may_start_at_pure_noise(name, process):
    start = process.level(process.t_start)
    x = np.random.default_rng(0).standard_normal((8, 3))
    result = adapt(nonlinear(), process, x, PAIRS[name], 0.0, 1e-5, stop=process.at(HIGH))
    assert start.pure_noise
    assert abs(result.x - nonlinear().flow(x, start, process.at(HIGH))).max() < 3e-4


def test_denoising_at_the_end_is_the_denoiser_of_the_stop():
    model = Counted(prediction="noise")
    options = {"prediction": "noise", "start": VP().at(LOW), "stop": VP().at(HIGH)}
    plain = adapt(model, VP(), run_on(VP()).x, PAIRS["dpm_solver_23"], **options)
    clean = adapt(model, VP(), run_on(VP()).x, PAIRS["dpm_solver_23"], end="denoise", **options)
    assert np.allclose(clean.x, nonlinear().denoise(plain.x, VP().at(HIGH)), atol=1e-12)
    assert clean.nfe == plain.nfe + 1
    assert clean.plan.end == clean.grid.end == "denoise"


# --- refusals ---


@pytest.mark.parametrize(
    "options, words",
    [
        ({"pair": "dpm_solver_23"}, "no pair"),
        ({"rtol": -0.1}, "rtol = -0.1"),
        ({"atol": math.nan}, "atol = nan"),
        ({"rtol": 0.0, "atol": 0.0}, "no error at all"),
        ({"budget": 0}, "budget = 0"),
        ({"budget": 1, "end": "denoise"}, "at least 2"),
        ({"first": 0.0}, "first = 0.0"),
        ({"end": "zero"}, "end = 'zero'"),
        ({"stop": 0.0}, "clean level"),
        ({"start": 0.1, "stop": 0.2}, "does not rise above"),
        ({"prediction": "flow"}, "prediction 'flow'"),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence(options, words):
    with pytest.raises(ValueError, match=words) as refusal:
        adapt(nonlinear(), VP(), run_on(VP()).x, **options)
    assert "\n" not in str(refusal.value)


def test_pairs_in_log_snr_refuse_pure_noise():
    with pytest.raises(ValueError, match="infinite at alpha = 0"):
        adapt(nonlinear(), Flow(), run_on(Flow()).x, PAIRS["dpm_solver_23"])


def test_a_model_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        adapt(lambda x, level: x * math.nan, VE(), run_on(VP()).x)
