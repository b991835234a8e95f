"""Stabilised samplers: Gegenbauer's method and its stability, STORK against its code, moments, orders, ends."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import diffnum as dn
from diffnum.order import prove
from diffnum.plan import PREDICTIONS
from diffnum.read.tableau import distance
from diffnum.solvers import ab3
from diffnum.solvers.coords import CLOCK
from diffnum.solvers.rules import runge_kutta
from diffnum.solvers.stabilised import (
    gegenbauer,
    on_noises,
    rkg2,
    stork_2,
    stork_2_flow,
    stork_2_flow_coded,
    table_of,
    times,
    times_of_legendre,
)
from diffnum.solvers.tables import Table
from diffnum.witness import Run, alternating, nonlinear, norm, path_errors, uniform

ALL = (rkg2, stork_2, stork_2_flow, stork_2_flow_coded)
names = {"ids": lambda s: s.name}


def in_clock(process, n):
    return dn.grid.uniform(process, n, start=process.at(-1.0), stop=process.at(0.5))


def start(plan):
    return Run.of(nonlinear(), plan.start)


@pytest.mark.parametrize("stages", [2, 3, 5, 8, 20])
def test_gegenbauer_tables_are_of_order_two_with_the_published_coefficients(stages):
    nodes, matrix, weights = table_of(0, stages)
    table = Table(nodes, matrix, weights)
    assert sum(table.weights) == 1
    assert sum(b * c for b, c in zip(table.weights, table.nodes, strict=True)) == Fraction(1, 2)
    assert list(table.nodes) == list(times(stages))
    below = (stages - 1) * (stages + 4)
    assert all(times(stages)[j] == Fraction((j - 1) * (j + 4), below) for j in range(2, stages))
    b = [
        1,
        Fraction(1, 3),
        *(Fraction(4 * (j - 1) * (j + 4), 3 * j * (j + 1) * (j + 2) * (j + 3)) for j in range(2, 60)),
    ]
    for j, stage in enumerate(gegenbauer(stages)[1:], 2):
        assert stage.mu == (2 * j + 1) * b[j] / (j * b[j - 1])
        assert stage.nu == -(j + 1) * b[j] / (j * b[j - 2])
        assert stage.rise == stage.mu * Fraction(6, below)


@pytest.mark.parametrize("stages", [2, 4, 8, 16])
def test_the_real_stability_interval_grows_like_the_square_of_the_stages(stages):
    def polynomial(z):
        _, matrix, weights = table_of(0, stages)
        slopes = []
        for row in matrix:
            slopes.append(z * (1 + sum(float(a) * k for a, k in zip(row, slopes, strict=True))))
        return 1 + sum(float(b) * k for b, k in zip(weights, slopes, strict=True))

    # 1 + w z runs over [-1, 1] with w = 6 / ((s - 1)(s + 4))
    end = (stages - 1) * (stages + 4) / 3
    inside = np.linspace(-end, 0, 400)
    assert max(abs(polynomial(z)) for z in inside) <= 1 + 1e-9
    assert abs(polynomial(-1.2 * end - 1)) > 1


def test_too_few_stages_are_refused_in_one_sentence():
    for sampler in (rkg2, stork_2, stork_2_flow):
        with pytest.raises(ValueError, match=r"^stages = 1 are too few for order two: use 2, 3, \.\.\.$"):
            dn.compile(sampler, uniform(dn.VP(), 2), stages=1)


def scheduler(run, levels, stages, at):
    """``step_flow_matching_2`` on equal steps: Taylor's polynomial of three velocities, fed to the recurrence."""

    def velocity(x, level):
        D = run.target.denoise(x, level)
        return (x - level.alpha * D) / level.sigma - D

    b = [1, 1 / 3, *(4 * (j - 1) * (j + 4) / (3 * j * (j + 1) * (j + 2) * (j + 3)) for j in range(2, stages + 1))]
    h = levels[0].sigma - levels[1].sigma
    exact = [run.exact(level) for level in levels]
    v2, v1 = (velocity(exact[i], levels[i]) for i in (0, 1))
    x = exact[2]
    for s in levels[2:-1]:
        v = velocity(x, s)
        first, second = (-v2 + 4 * v1 - 3 * v) / (2 * h), (v2 - 2 * v1 + v) / h**2
        older = newer = y = x
        for j in range(1, stages + 1):
            if j == 1:
                y = x - h * 6 / ((stages + 4) * (stages - 1)) * v
            else:
                mu, nu = (2 * j + 1) * b[j] / (j * b[j - 1]), -(j + 1) * b[j] / (j * b[j - 2])
                rise = mu * 6 / ((stages + 4) * (stages - 1))
                back = -rise * (1 - j * (j + 1) * b[j - 1] / 2)
                away = -float(at(stages)[j - 1]) * h
                seen = v + away * first + away**2 / 2 * second
                y = mu * newer + nu * older + (1 - mu - nu) * x - h * rise * seen - h * back * v
            older, newer = newer, y
        x, v2, v1 = y, v1, v
    return x


@pytest.mark.parametrize("sampler, at", [(stork_2_flow, times), (stork_2_flow_coded, times_of_legendre)], ids=lambda v: getattr(v, "__name__", None) or str(v))
@pytest.mark.parametrize("stages", [4, 50])
def test_stork_on_equal_steps_is_the_recurrence_of_the_reference_code(sampler, at, stages):
    plan = dn.compile(sampler, in_clock(dn.Flow(), 8), stages=stages)
    run = start(plan)
    pinned = {i: run.exact(plan.levels[i]) for i in (1, 2)}
    x = dn.sample(plan, run.target, run.x, pinned=pinned)
    assert norm(x - scheduler(run, plan.levels, stages, at)) < 1e-12


def test_the_code_misses_the_first_moment():
    for stages, moment in ((4, 0.41742252), (50, 0.48962047)):
        *_, weights = table_of(0, stages)
        found = sum(b * c for b, c in zip(weights, times_of_legendre(stages), strict=True))
        assert float(found) == pytest.approx(moment, abs=1e-8)


def test_stork_for_velocities_is_adams_bashforth_but_for_a_moment():
    levels = in_clock(dn.Flow(), 128)
    run = start(dn.compile(ab3, levels))
    three, two, coded = (
        norm(path_errors(dn.compile(s, levels), run, True)) for s in (ab3, stork_2_flow, stork_2_flow_coded)
    )
    assert 3 * three < two < coded / 3


def test_stork_of_one_point_and_stages_of_its_own_is_the_runge_kutta_method_on_frozen_noise():
    levels = uniform(dn.VP(), 3)
    plan = dn.compile(on_noises(1), levels, stages=4)
    run = start(plan)
    x = run.x
    for s, t in pairwise(levels):
        noise = (x - s.alpha * run.target.denoise(x, s)) / s.sigma
        nodes, matrix, weights = table_of(0, 4)
        slopes = []
        for c, row in zip(nodes, matrix, strict=True):
            at = dn.VP().level(s.t + float(c) * (t.t - s.t))
            y = x + (t.t - s.t) * sum((float(a) * k for a, k in zip(row, slopes, strict=True)), np.zeros(1))
            da, ds = dn.VP().rates(at)
            slopes.append(da / at.alpha * y + (ds - da * at.sigma / at.alpha) * noise)
        x = x + (t.t - s.t) * sum(float(b) * k for b, k in zip(weights, slopes, strict=True))
    assert norm(dn.sample(plan, run.target, run.x) - x) < 1e-12


def test_the_stabilised_method_is_its_table():
    levels = alternating(dn.VP(), 4)
    built = runge_kutta(CLOCK, Table(*table_of(0, 3)))
    assert distance(dn.compile(rkg2, levels, stages=3), dn.compile(built, levels)) < 1e-13


# --- orders, cost and ends ---


@pytest.mark.parametrize(
    "sampler", [pytest.param(s, marks=pytest.mark.full) if s is stork_2 else s for s in ALL], **names
)
def test_claimed_orders_are_proved(sampler):
    proof = prove(sampler)
    assert (proof.order, proof.cold, proof.stable) == (sampler.order, sampler.cold, True)


def test_stork_for_noises_is_of_order_two_with_fewer_stages():
    proof = prove(stork_2.with_options(stages=5))
    assert (proof.order, proof.cold) == (2, 2)


@pytest.mark.parametrize("sampler", [rkg2, *(pytest.param(s, marks=pytest.mark.full) for s in ALL[1:])], **names)
def test_certificates_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons


@pytest.mark.parametrize("sampler", ALL, **names)
def test_evaluations(sampler):
    per_step = 4 if sampler is rkg2 else 1
    for n in range(1, 13):
        for end in ("stop", "zero"):
            assert dn.compile(sampler, dn.grid.uniform(dn.VP(), n, end=end)).nfe == n * per_step


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", ALL, **names)
def test_pure_noise_and_clean_ends_are_finite_or_refused_in_one_sentence(sampler, prediction):
    levels = dn.grid.uniform(dn.Flow(), 5, end="zero")
    if prediction in ("noise", "score"):
        with pytest.raises(ValueError, match=r"is not defined at alpha = 0 .* another prediction or sampler$"):
            dn.compile(sampler, levels, prediction)
        return
    assert np.isfinite(dn.tableau(dn.compile(sampler, levels, prediction))).all()
