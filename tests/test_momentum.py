"""Momentum samplers: against the published algorithms with a stored velocity, orders, error constants, ends."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.order import prove
from diffnum.read.tableau import distance
from diffnum.solvers import ALL, ab2, ddim, dpmpp_2m, ghvb, ghvb2, ghvb3, ghvb4, hb, hb_2m, nesterov
from diffnum.solvers.coords import CLOCK, DATA, NOISE, RATIO
from diffnum.solvers.momentum import momentum_number, weights
from diffnum.solvers.momentum_rules import heavy_ball_on, nesterov_on
from diffnum.solvers.multistep import CONSTANT, DPM_2M
from diffnum.trace import solver
from diffnum.witness import Run, alternating, nonlinear, norm, uniform
from theory import momentum as theory

MOMENTUM = (hb, hb_2m, nesterov, ghvb, ghvb2, ghvb3, ghvb4)
VARIABLE = {2: ghvb2, 3: ghvb3, 4: ghvb4}
names = {"ids": lambda s: s.name}
damping = st.floats(0.05, 1)
PRINTED = {
    "hb": (hb, theory.heavy_ball_as_printed),
    "nesterov": (nesterov, theory.nesterov_as_printed),
    "ghvb": (ghvb, theory.ghvb_as_printed),
}


def in_sigma(n, start=3.0, stop=0.2):
    """Equal steps of ``sigma / alpha`` from 3 to 0.2."""
    return dn.grid.custom(dn.EDM(), sigmas=np.linspace(start, stop, n + 1).tolist())


# --- against the published algorithms ---


@pytest.mark.parametrize("grid", [uniform, alternating])
@pytest.mark.parametrize("r", [1, 2, 3, 4])
@pytest.mark.parametrize("name", PRINTED)
def test_displacements_instead_of_a_velocity_change_nothing(name, r, grid):
    ours, printed = PRINTED[name]
    plans = [dn.compile(f, grid(dn.VP(), 8), r=r, b=0.7) for f in (ours, printed)]
    assert distance(*plans) < 1e-11


@pytest.mark.parametrize("r", [2, 3, 4])
def test_variable_weights_are_the_published_ones_on_equal_steps(r):
    # the starts differ from order three on; they are forgotten at the rate 1 - b
    first, second = (dn.compile(f, in_sigma(60), b=0.9) for f in (ghvb.with_options(r=r), VARIABLE[r]))
    run = Run.of(nonlinear(), first.start)
    pinned = {i: run.exact(first.levels[i]) for i in range(1, r + 1)}
    x, y = (dn.sample(plan, run.target, run.x, pinned=pinned) for plan in (first, second))
    assert norm(x - y) < 1e-13


def test_one_step_of_heavy_ball_on_2m_is_the_published_code():
    b = 0.6

    @solver(order=1)
    def published(T, grid):
        """As in the paper's code: no momentum in the first step, ``vel = diff`` in the second."""
        past = velocity = None
        for s, t in T.steps(grid):
            h, D, r = T.h(s, t), T.denoise(T.x, s), t.sigma / s.sigma
            if past is None:
                T.x = r * T.x + (t.alpha - r * s.alpha) * D
            else:
                difference = D + 0.5 * h / past[1] * (D - past[0])
                velocity = difference if velocity is None else (1 - b) * velocity + b * difference
                T.x = r * T.x - t.alpha * math.expm1(-h) * velocity
            past = D, h

    levels = alternating(dn.VP(), 8)
    assert distance(dn.compile(hb_2m, levels, b=b), dn.compile(published, levels)) < 1e-12


@pytest.mark.parametrize("r", [1, 2, 3, 4])
@pytest.mark.parametrize("sampler, on", [(hb, heavy_ball_on), (nesterov, nesterov_on)], ids=["hb", "nesterov"])
def test_momentum_on_adams_in_sigma_over_alpha_is_the_published_one(sampler, on, r):
    levels = alternating(dn.VP(), 8)
    ours, published = dn.compile(on(RATIO, r, CONSTANT), levels, b=0.7), dn.compile(sampler, levels, r=r, b=0.7)
    assert distance(ours, published) < 1e-11


@pytest.mark.parametrize("on", [heavy_ball_on, nesterov_on])
@pytest.mark.parametrize("name, coords, points", [("exp_ab3", DATA, 3), ("exp_ab2_noise", NOISE, 2), ("ab4", CLOCK, 4)])
def test_momentum_without_damping_is_the_rule_itself(on, name, coords, points):
    levels = alternating(dn.VP(), 8)
    assert distance(dn.compile(on(coords, points), levels, b=1.0), dn.compile(ALL[name], levels)) < 1e-12


def test_heavy_ball_on_2m_forgets_how_it_began():
    """The published start has no momentum in its first step; states after it obey one recurrence."""
    n = 40
    levels = uniform(dn.VP(), n)
    ours, published = dn.compile(heavy_ball_on(DATA, 2, DPM_2M), levels), dn.compile(hb_2m, levels)
    run = Run.of(nonlinear(), levels.levels[0])
    pinned = {i: run.exact(levels.levels[i]) for i in (1, 2, 3)}
    x, y = (dn.sample(plan, run.target, run.x, pinned=pinned) for plan in (ours, published))
    assert norm(x - y) < 1e-12


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_without_damping_all_are_adams_bashforth(r):
    levels = uniform(dn.VP(), 8)
    plain = dn.compile(hb, levels, r=r, b=1.0)
    assert distance(plain, dn.compile(nesterov, levels, r=r, b=1.0)) < 1e-13
    assert distance(plain, dn.compile(ghvb, levels, r=r, b=1.0)) < 1e-13


def test_without_damping_low_orders_are_known_methods():
    levels = alternating(dn.VP(), 8)
    assert distance(dn.compile(hb, levels, r=1, b=1.0), dn.compile(ddim, levels)) < 1e-13
    assert distance(dn.compile(hb_2m, levels, b=1.0), dn.compile(dpmpp_2m, levels)) < 1e-13
    in_ratio = alternating(dn.EDM(), 8)
    assert distance(dn.compile(ghvb2, in_ratio, b=1.0), dn.compile(ab2, in_ratio)) < 1e-13


@pytest.mark.parametrize("number, r, b", [(1.8, 2, 0.8), (0.5, 1, 0.5), (3.0, 3, 1.0), (3.9, 4, 0.9), (4, 4, 1.0)])
def test_momentum_numbers_are_read_as_in_the_paper(number, r, b):
    assert momentum_number(number) == {"r": r, "b": b}
    levels = uniform(dn.VP(), 6)
    assert distance(dn.compile(ghvb, levels, **momentum_number(number)), dn.compile(ghvb, levels, r=r, b=b)) == 0


# --- weights ---


@given(b=damping, steps=st.lists(st.floats(0.05, 20), min_size=2, max_size=4))
@settings(max_examples=60, deadline=None)
def test_weights_integrate_polynomials_ahead_less_behind(b, steps):
    ahead, behind, *_ = steps
    nodes = [-sum(steps[1 : j + 1]) for j in range(len(steps))]
    w = weights(b, steps)
    for m in range(len(steps)):
        mean = ahead**m / (m + 1) - (1 - b) * (-behind) ** m / (m + 1)
        terms = [x * c**m for x, c in zip(w, nodes, strict=True)]
        assert sum(terms) == pytest.approx(mean, abs=1e-12 * (sum(map(abs, terms)) + ahead**m + behind**m))


# --- orders ---


@pytest.mark.parametrize("sampler", MOMENTUM, **names)
def test_claimed_orders_are_proved(sampler):
    proof = prove(sampler, highest=max(4, sampler.order + 1))
    assert (proof.order, proof.cold, proof.smooth) == (sampler.order, sampler.cold, sampler.smooth)
    assert proof.stable


@pytest.mark.parametrize(
    "sampler", [hb.with_options(b=0.3), nesterov.with_options(b=0.5), hb_2m.with_options(b=0.4)], **names
)
@pytest.mark.parametrize("r", [1, 2, 3])
def test_momentum_leaves_order_one_of_any_method(sampler, r):
    proof = prove(sampler if sampler.name == "hb_2m" else sampler.with_options(r=r))
    assert (proof.order, proof.cold, proof.stable) == (1, 1, True)


@pytest.mark.parametrize(
    "sampler", [s if s.name == "ghvb2" else pytest.param(s, marks=pytest.mark.full) for s in MOMENTUM], **names
)
def test_certificates_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_published_weights_have_order_r_on_equal_steps_from_exact_displacements_and_two_from_the_published_start(r):
    slopes = {}
    for start, interval in (("warm", (3.0, 0.2)), ("cold", (0.7, 0.1))):
        errors = []
        for n in (128, 256):
            plan = dn.compile(ghvb, in_sigma(n, *interval), r=r, b=0.8)
            run = Run.of(nonlinear(), plan.start)
            pinned = {i: run.exact(plan.levels[i]) for i in range(1, r + 1)} if start == "warm" else {}
            errors.append(norm(dn.sample(plan, run.target, run.x, pinned=pinned) - run.exact(plan.stop)))
        slopes[start] = math.log2(errors[0] / errors[1])
    assert slopes["warm"] == pytest.approx(r, abs=0.2)
    assert slopes["cold"] == pytest.approx(min(r, 2), abs=0.1)


@pytest.mark.parametrize("sampler, r", [(hb, 1), (hb, 2), (hb, 4), (nesterov, 2), (nesterov, 4)])
@pytest.mark.parametrize("b", [0.8, 0.4])
def test_errors_are_the_proved_constants_times_that_of_euler(sampler, r, b):
    ratio = float(theory.error_constant(sampler.with_options(r=r, b=theory.B), r, 1).subs(theory.B, b)) / 0.5
    measured = []
    for n in (512, 1024):
        plans = [dn.compile(f, in_sigma(n)) for f in (sampler.with_options(r=r, b=b), ddim)]
        run = Run.of(nonlinear(), plans[0].start)
        x, y = (dn.sample(plan, run.target, run.x) - run.exact(plan.stop) for plan in plans)
        measured.append(float((x * y).sum() / (y * y).sum()))
    # Richardson: the next term is of first order
    assert 2 * measured[1] - measured[0] == pytest.approx(ratio, rel=0.01)


# --- ends, refusals, the book ---


@pytest.mark.parametrize("sampler", MOMENTUM, **names)
def test_from_pure_noise_to_clean_data_errors_vanish(sampler):
    law = dn.Gaussian(np.array([0.3, -0.5]), np.array([0.4, 1.5]))
    errors = [dn.w2(dn.compile(sampler, dn.grid.uniform(dn.Flow(), n, 1.0, 0.0)), law) for n in (40, 80, 160)]
    assert errors[0] > 1.6 * errors[1] > 2.56 * errors[2] > 0


@pytest.mark.parametrize("options", [{"r": 0}, {"r": 5}, {"b": 0.0}, {"b": 1.2}])
@pytest.mark.parametrize("sampler", [hb, nesterov, ghvb], **names)
def test_unknown_orders_and_dampings_are_refused(sampler, options):
    with pytest.raises(ValueError, match=r"use 1, 2, 3 or 4|outside"):
        dn.compile(sampler, uniform(dn.VP(), 4), **options)


@pytest.mark.parametrize("number", [0, -1.5, 4.2, math.nan])
def test_unknown_momentum_numbers_are_refused(number):
    with pytest.raises(ValueError, match="use a momentum number"):
        momentum_number(number)


@pytest.mark.full  # by default test_theory derives them, with the page that holds them
@pytest.mark.parametrize("derivation", theory.CHAPTER, ids=lambda f: getattr(f, "__name__", None) or f.args[0])
def test_every_statement_holds(derivation):
    statement = derivation()
    assert statement.holds, statement.residual
