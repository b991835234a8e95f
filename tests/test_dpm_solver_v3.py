"""DPM-Solver-v3: its order for any statistics proved, its special cases by name, its statistics in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
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
    dpm_solver_v3,
    estimate,
    sample_v3,
)
from diffnum.adaptive.generic_statistics import GenericStatistics
from diffnum.grid import custom, log_snr
from diffnum.order import prove
from diffnum.plan import Lin, Plan
from diffnum.process import EDM, VP, Flow
from diffnum.read.moments import moments
from diffnum.read.sample import sample
from diffnum.read.tableau import distance
from diffnum.solvers import ALL
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
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as refusal:
        make()
    assert "\n" not in str(refusal.value)
