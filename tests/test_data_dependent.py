"""Samplers that look at their model: statistics and closed forms, frozen weights against proofs, plans, runs."""

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
from scipy.integrate import quad

from diffnum.adaptive import (
    Offset,
    Statistics,
    TimeShift,
    dpm_solver_v3,
    estimate,
    evodiff,
    frozen_evodiff,
    sample_shifted,
    sample_v3,
)
from diffnum.adaptive.generic_statistics import GenericStatistics
from diffnum.grid import custom, log_snr, uniform
from diffnum.order import prove
from diffnum.plan import Lin, Plan
from diffnum.process import EDM, VP, Flow
from diffnum.read.moments import moments
from diffnum.read.sample import sample
from diffnum.read.tableau import distance
from diffnum.solvers import ALL
from diffnum.targets.gaussian import Gaussian
from diffnum.trace import compile
from diffnum.witness import Run, alternating, gaussian, nonlinear, path_errors
from diffnum.witness import uniform as even

LOW, HIGH = -3.0, 3.0
SHAPES = [(1, 0, False), (2, 0, False), (3, 0, False), (3, 0, True), (1, 2, False)]
SLOW_SHAPES = [(4, 0, False), (2, 2, False), (2, 3, False), (3, 3, False), (3, 4, False), (3, 4, True)]


@lru_cache
def run_on(process, target=None):
    return Run.of(target or nonlinear(), process.at(LOW))


@lru_cache
def estimated(process, per="coordinate", nodes=61):
    return estimate(nonlinear(), process, nonlinear().sample(2048, 3), np.linspace(LOW, HIGH, nodes), per=per)


def constant(l, s, b=0.0, nodes=9):  # noqa: E741
    return Statistics(np.linspace(-3.5, 3.5, nodes), *(np.full(nodes, float(c)) for c in (l, s, b)))


# --- DPM-Solver-v3: the frozen method ---


@pytest.mark.parametrize(
    "points, corrector, pseudo",
    [*SHAPES, *(pytest.param(*shape, marks=pytest.mark.full) for shape in SLOW_SHAPES)],
)
def test_the_order_for_any_smooth_statistics_is_proved(points, corrector, pseudo):
    solver = dpm_solver_v3(GenericStatistics.random(5), points, corrector, pseudo)
    proof = prove(solver, seeds=(1,))
    assert (proof.order, proof.cold, proof.stable) == (solver.order, solver.cold, True)


@pytest.mark.parametrize("process", [VP(), EDM(), Flow()], ids=lambda p: p.name)
@pytest.mark.parametrize(
    "l, s, names",
    [
        (1, 0, ("dpmpp_1", "exp_ab2", "exp_ab3", "exp_ab4")),
        (0, -1, ("dpm_solver_1", "exp_ab2_noise", "exp_ab3_noise", "exp_ab4_noise")),
    ],
)
def test_constant_statistics_are_the_data_and_the_noise_prediction(l, s, names, process):  # noqa: E741
    levels = alternating(process, 6)
    for points, name in enumerate(names, 1):
        ours = compile(dpm_solver_v3(constant(l, s), points), levels)
        assert distance(ours, compile(ALL[name], levels)) < 1e-13


@settings(max_examples=25)
@given(*(st.floats(-1.5, 1.5) for _ in range(3)))
def test_the_offset_is_the_published_term_in_b(l, s, b):  # noqa: E741
    """One first-order step against ``-alpha_t e^{-L_t} [C_t - C_s - B_s (I_t - I_s)]`` by quadrature."""
    process, x = EDM(), run_on(EDM()).x
    start, stop = process.at(-0.7), process.at(0.4)
    stats = constant(l, s, b)
    ours = sample_v3(nonlinear(), custom(process, lams=[-0.7, 0.4]), x, stats, points=1)
    origin = stats.lams[0]
    L, S = (lambda u: l * (u - origin)), (lambda u: s * (u - origin))

    def B(u):
        return quad(lambda r: math.exp(-S(r)) * b, origin, u)[0]

    grown = quad(lambda u: math.exp(L(u) + S(u)), -0.7, 0.4)[0]
    driven = quad(lambda u: math.exp(L(u) + S(u)) * B(u), -0.7, 0.4)[0]
    f = (1 - l) * x / start.alpha - nonlinear().denoise(x, start)
    wanted = stop.alpha / start.alpha * math.exp(L(-0.7) - L(0.4)) * x
    wanted = wanted - stop.alpha * math.exp(-L(0.4) - S(-0.7)) * grown * f
    wanted = wanted - stop.alpha * math.exp(-L(0.4)) * (driven - B(-0.7) * grown)
    assert np.allclose(ours, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prediction", ["noise", "velocity", "score"])
def test_the_offset_is_the_same_for_every_prediction(prediction):
    process, stats = VP(), estimated(VP())
    x, levels = run_on(process).x, even(process, 5)

    def model(x, level):
        return nonlinear().predict(x, level, prediction)

    ours = sample_v3(model, levels, x, stats, prediction, points=2)
    assert np.allclose(ours, sample_v3(nonlinear(), levels, x, stats, points=2), atol=1e-10)


@pytest.mark.parametrize("points, corrector, order", [(1, 0, 1), (2, 0, 2), (3, 0, 3), (2, 2, 2), (2, 3, 3), (3, 4, 4)])
def test_measured_orders_with_estimated_statistics_are_the_proved_ones(points, corrector, order):
    stats = estimated(VP(), "state")
    solver = dpm_solver_v3(replace(stats, b=0 * stats.b), points, corrector)
    errors = [abs(path_errors(compile(solver, even(VP(), n)), run_on(VP()), True)).max() for n in (64, 128, 256)]
    slopes = -np.diff(np.log2(errors))
    assert solver.order == order
    assert abs(slopes[-1] - order) < 0.15


@pytest.mark.parametrize("points, corrector", [(1, 0), (3, 0), (2, 3), (3, 4)])
def test_steps_look_no_further_back_than_their_points(points, corrector):
    plan = compile(dpm_solver_v3(estimated(VP(), "state"), points, corrector), even(VP(), 20))
    assert plan.depth == (corrector or points) - 1
    assert max(len(line.terms) for line in plan.lines if isinstance(line, Lin)) <= 2 * (points + 2)
    assert plan.nfe == 20


def test_with_statistics_few_evaluations_go_further():
    process = VP()
    for n in (5, 8, 10):
        levels = even(process, n)
        exact = run_on(process).exact(levels[-1])
        ours = sample_v3(nonlinear(), levels, run_on(process).x, estimated(process), points=2, corrector=3)
        plain = sample(compile(ALL["dpmpp_2m"], levels), nonlinear(), run_on(process).x)
        assert abs(ours - exact).max() < abs(plain - exact).max() / 2


# --- DPM-Solver-v3: the statistics ---


def test_on_a_gaussian_one_step_is_exact_up_to_the_table():
    process, target = VP(), gaussian()
    run = run_on(process, target)
    errors = []
    for nodes in (10, 20, 40):
        stats = estimate(target, process, target.sample(32, 3), np.linspace(LOW, HIGH, nodes), step=1e-4)
        ours = sample_v3(target, even(process, 1), run.x, stats, points=1)
        errors.append(abs(ours - run.exact(process.at(HIGH))).max())
    # cubic splines: at least the fourth power
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] / 10
    assert errors[2] < 1e-4


def test_statistics_of_a_gaussian_are_closed_forms():
    """``l = sigma^2 / (alpha^2 v + sigma^2)``; ``s = 0`` where the regression is 0/0, and so ``b = f' = -l' m``."""
    target = gaussian()
    mean, variances = target.eigen()
    stats = estimate(target, VP(), target.sample(32, 3), np.linspace(LOW, HIGH, 161))
    linear = 1 / (1 + variances * np.exp(2 * stats.lams)[:, None])
    slope = -2 * linear * (1 - linear)
    assert np.allclose(stats.l, linear, atol=1e-9)
    assert abs(stats.s).max() < 1e-3
    assert np.allclose(stats.b, -slope * mean, atol=1e-3)


def test_statistics_do_not_depend_on_the_process_or_the_prediction():
    lams = np.linspace(LOW, HIGH, 13)
    data = nonlinear().sample(64, 1)
    base = estimate(nonlinear(), EDM(), data, lams)
    for process in (VP(), Flow()):
        other = estimate(lambda x, u: nonlinear().predict(x, u, "noise"), process, data, lams, "noise")
        assert np.allclose(other.l, base.l, atol=1e-7)
        assert np.allclose(other.s, base.s, atol=1e-4)


def test_statistics_of_the_state_make_plans_of_numbers(tmp_path):
    stats = estimated(VP(), "state")
    plan = compile(dpm_solver_v3(stats, 3), even(VP(), 6))
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").hash == plan.hash
    mine, var = moments(plan, gaussian())
    assert np.isfinite(mine).all()
    assert (var > 0).all()
    many = compile(dpm_solver_v3(estimated(VP()), 3), even(VP(), 6))
    with pytest.raises(ValueError, match="only numeric plans"):
        many.save(tmp_path / "many.json")


def test_torch_takes_the_steps_of_numpy():
    x, levels = run_on(VP()).x, even(VP(), 6)
    single, options = torch.tensor(x, dtype=torch.float32), {"points": 3, "corrector": 4}
    ours = sample_v3(nonlinear(), levels, single, estimated(VP()), **options)
    assert ours.dtype == torch.float32
    assert np.allclose(
        ours.numpy(), sample_v3(nonlinear(), levels, x, estimated(VP()), points=3, corrector=4), atol=1e-4
    )


def test_entering_and_leaving_the_offset_is_the_identity():
    offset, x = Offset(nonlinear(), estimated(VP())), run_on(VP()).x
    for lam in (-2.9, 0.1, 2.0):
        level = VP().at(lam)
        assert np.allclose(offset.leave(offset.enter(x, level), level), x, atol=1e-12)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: dpm_solver_v3(constant(1, 0), 0), "points = 0"),
        (lambda: dpm_solver_v3(constant(1, 0), 3, 2), "corrector = 2"),
        (lambda: dpm_solver_v3(constant(1, 0), 1, 1), "corrector = 1"),
        (lambda: compile(dpm_solver_v3(constant(1, 0)), log_snr(EDM(), 4)), "outside the statistics"),
        (lambda: constant(1, 0, nodes=3), "at least 4"),
        (lambda: constant(math.nan, 0), "not finite"),
        (lambda: Statistics(np.zeros(4), np.ones(4), np.ones(4), np.ones(4)), "do not increase"),
        (lambda: estimate(nonlinear(), VP(), np.zeros((2, 3)), [0, 1, 2, 3], per="pixel"), "per = 'pixel'"),
        (lambda: estimate(nonlinear(), VP(), np.zeros((2, 3)), [0, 1, 2, 3], step=0), "step = 0"),
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
