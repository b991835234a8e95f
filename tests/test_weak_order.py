"""Weak order two: trees against derivatives, expectations against Gaussian moments, orders against the literature."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.extended_numbers import digits, number
from diffnum.generic import GenericProcess
from diffnum.num import exp, expm1, log, phi, sqrt
from diffnum.order import prove
from diffnum.series import Series, h_series
from diffnum.solvers import ALL
from diffnum.weak_order import Rows, gaussian_errors, generic_weak_plan, prove_weak, weak_errors
from diffnum.weak_trees import (
    DRAW,
    PAIR,
    ROOT,
    STATE,
    F,
    Generator,
    Y,
    derived,
    expectation,
    laplacian,
    show,
)

DETERMINISTIC = ("heun", "ddim", "dpmpp_2m")
STOCHASTIC = ("ddpm_ancestral", "langevin_corrector")

# --- samplers of the literature, in the form of the papers ---


def first(T: Any, s: Any, t: Any, D: Any, rate: Any) -> Any:
    """SDE-DPM-Solver++-1 without its noise (Lu et al. 2022)."""
    h = T.h(s, t)
    return (t.sigma / s.sigma * exp(-rate * h)) * T.x - (t.alpha * expm1(-(1 + rate) * h)) * D


def multistep(T: Any, grid: Any, rate: Any = 1, exact: bool = False) -> None:
    """SDE-DPM-Solver++(2M): "midpoint" and, ``exact``, "heun" in k-diffusion's names."""
    past = None
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        x, z = first(T, s, t, D, rate), (1 + rate) * h
        if past is not None:
            D_, h_ = past
            x = x + (t.alpha * (z * phi(2, -z) if exact else -expm1(-z) / 2) * h / h_) * (D - D_)
        T.x = x + (t.sigma * sqrt(-expm1(-2 * rate * h))) * T.noise(s, t)
        past = D, h


def two_stage(T: Any, grid: Any, r: Any = Fraction(1, 2), rate: Any = 1, coupling: str = "exact") -> None:
    """DPM++ SDE and SEEDS-2: noise at the stage and at the end of one path, or coupled as codes do."""
    for s, t in T.steps(grid):
        h, D, m = T.h(s, t), T.denoise(T.x, s), T.between(s, t, r)
        z1, z2 = T.noise(s, t), T.noise(s, t)
        stage, whole = -expm1(-2 * rate * r * h), -expm1(-2 * rate * h)
        x = (m.sigma / s.sigma * exp(-rate * r * h)) * T.x - (m.alpha * expm1(-(1 + rate) * r * h)) * D
        Dm = T.denoise(x + (m.sigma * sqrt(stage)) * z1, m)
        shared, own = {
            "exact": (exp(-rate * (1 - r) * h) * sqrt(stage), sqrt(-expm1(-2 * rate * (1 - r) * h))),
            "independent": (0, sqrt(whole)),
            "Brownian in sigma": tuple(
                sqrt(whole * p) for p in (expm1(-r * h) / expm1(-h), 1 - expm1(-r * h) / expm1(-h))
            ),
            "halves": (sqrt(whole - stage), sqrt(stage)),
        }[coupling]
        T.x = first(T, s, t, D + (Dm - D) / (2 * r), rate) + t.sigma * (shared * z1 + own * z2)


def three_stage(T: Any, grid: Any) -> None:
    """SEEDS-3 on equal thirds (Gonzalez et al. 2023)."""
    third = Fraction(1, 3)
    for s, t in T.steps(grid):
        h, D, z = T.h(s, t), T.denoise(T.x, s), [T.noise(s, t) for _ in range(3)]
        grown = [sqrt(exp(-2 * k * third * h) - exp(-2 * (k + 1) * third * h)) for k in range(3)]
        mixed = [sum((grown[k - j] * z[j] for j in range(k + 1)), 0) for k in range(3)]
        m1, m2 = T.between(s, t, third), T.between(s, t, 2 * third)

        def moved_to(u: Any, H: Any, s: Any = s, D: Any = D) -> Any:
            return (u.sigma / s.sigma * exp(-H / 2)) * T.x - (u.alpha * expm1(-H)) * D

        D1 = T.denoise(moved_to(m1, 2 * third * h) + m1.sigma * mixed[0], m1)
        x = moved_to(m2, 4 * third * h) + (m2.alpha * 2 * (4 * third * h) * phi(2, -4 * third * h)) * (D1 - D)
        D2 = T.denoise(x + m2.sigma * mixed[1], m2)
        T.x = moved_to(t, 2 * h) + (t.alpha * 3 * h * phi(2, -2 * h)) * (D2 - D) + t.sigma * mixed[2]


def platen(T: Any, grid: Any, rate: Any = 1) -> None:
    """The weak second-order Runge-Kutta method for additive noise (Kloeden & Platen 1992, 15.1), exponential."""
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        noise = (t.sigma * sqrt(-expm1(-2 * rate * h))) * T.noise(s, t)
        D_ = T.denoise(first(T, s, t, D, rate) + noise, t)
        T.x = first(T, s, t, (D + D_) / 2, rate) + noise


def ancestral(T: Any, grid: Any, eta: Any = 1, second: bool = True) -> None:
    """DPM++ 2S ancestral: a probability-flow step beyond the level, then noise up to it (k-diffusion)."""
    for s, t in T.steps(grid):
        up2 = -(eta**2) * expm1(-2 * T.h(s, t))
        beyond, down = T.h(s, t) - log(1 - up2) / 2, t.sigma * sqrt(1 - up2)
        D, m = T.denoise(T.x, s), T.process.at(s.lam + beyond / 2)
        if second:
            D = T.denoise((m.sigma / s.sigma) * T.x - (m.alpha * expm1(-beyond / 2)) * D, m)
        T.x = (down / s.sigma) * T.x - (t.alpha * expm1(-beyond)) * D + (t.sigma * sqrt(up2)) * T.noise(s, t)


def churn(T: Any, grid: Any, gamma: Any = Fraction(1, 2)) -> None:
    """Noise up by a share of the step, then an exponential Heun step down (Karras et al. 2022, Algorithm 2)."""
    for s, t in T.steps(grid):
        h = T.h(s, t)
        up = T.process.at(s.lam - gamma * h)
        q, H = up.alpha / s.alpha, (1 + gamma) * h
        x = q * T.x + sqrt(up.sigma * up.sigma - q * q * s.sigma * s.sigma) * T.noise(s, t)
        D = T.denoise(x, up)
        y = (t.sigma / up.sigma) * x - (t.alpha * expm1(-H)) * D
        T.x = y + (t.alpha * H * phi(2, -H)) * (T.denoise(y, t) - D)


CLAIMS: dict[str, tuple[Callable[..., None], int, int]] = {
    "SDE-DPM-Solver++(2M), midpoint": (multistep, 2, 2),
    "SDE-DPM-Solver++(2M), heun, rate 1/3": (partial(multistep, rate=Fraction(1, 3), exact=True), 2, 2),
    "DPM++ SDE, one path": (two_stage, 2, 2),
    "DPM++ SDE, node 1/3, rate 1/2": (partial(two_stage, r=Fraction(1, 3), rate=Fraction(1, 2)), 2, 2),
    "DPM++ SDE, Brownian in sigma": (partial(two_stage, coupling="Brownian in sigma"), 2, 2),
    "DPM++ SDE, independent noise": (partial(two_stage, coupling="independent"), 1, 1),
    "SEEDS-2, the formula of node 1/2": (partial(two_stage, coupling="halves"), 2, 2),
    "SEEDS-2, that formula at node 1/3": (partial(two_stage, r=Fraction(1, 3), coupling="halves"), 1, 1),
    "SEEDS-3": (three_stage, 2, 2),
    "Platen, additive noise": (platen, 2, 2),
    "ancestral, second order": (partial(ancestral, eta=Fraction(1, 2)), 2, 2),
    "ancestral, first order": (partial(ancestral, second=False), 1, 1),
    "churn and Heun": (churn, 2, 2),
}


def named(build: Callable[..., None], name: str = "sampler") -> Callable[..., None]:
    def sampler(T: Any, grid: Any) -> None:
        build(T, grid)

    sampler.__name__ = name
    return sampler


SLOW = (
    "SDE-DPM-Solver++(2M), heun, rate 1/3",
    "DPM++ SDE, node 1/3, rate 1/2",
    "DPM++ SDE, independent noise",
    "SEEDS-2, the formula of node 1/2",
    "SEEDS-3",
    "ancestral, first order",
    "DPM++ SDE, Brownian in sigma",
    "churn and Heun",
)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.full) if n in SLOW else n for n in CLAIMS])
def test_weak_orders_of_the_literature(name):
    build, order, cold = CLAIMS[name]
    proof = prove_weak(named(build), seeds=(1,))
    assert (proof.order, proof.cold) == (order, cold) and proof.stable
    assert proof.violated[0] == f"Gaussian mean or variance misses at h^{order + 1}"
    assert len(proof.violated) > 1


def test_independent_noise_misses_the_pair_that_stage_and_step_share():
    proof = prove_weak(named(partial(two_stage, coupling="independent")), seeds=(1,))
    assert proof.violated[1:] == ("f_yy(z, D_y(z)) at h^2",)


def test_three_stages_miss_only_the_square_of_the_bridge():
    """Order three would take the part of the path that its end points do not know."""
    proof = prove_weak(named(three_stage), seeds=(1,))
    assert proof.violated[1:] == ("f_yy(D_y(z), D_y(z)) at h^3",)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_weak_order_of_a_stochastic_sampler_is_its_claim(name):
    proof = prove_weak(ALL[name], seeds=(1,))
    assert (proof.order, proof.cold) == (ALL[name].order, ALL[name].cold)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_without_noise_weak_order_is_order(name):
    proof, known = prove_weak(ALL[name], seeds=(1,)), prove(ALL[name])
    assert (proof.order, proof.cold) == (min(known.order, 2), min(known.cold, 2))


@pytest.mark.full
@pytest.mark.parametrize("name", ["dpmpp_3m_corrected", "rk4", "ab2"])
def test_without_noise_weak_order_is_order_up_to_three(name):
    proof = prove_weak(ALL[name], highest=3)
    assert (proof.order, proof.cold) == (min(ALL[name].order, 3), min(ALL[name].cold, 3))


# --- what is wrong is seen ---


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (lambda D, h: (D, Fraction(51, 50), h), "f_yy(z, z) at h^1"),
        (lambda D, h: ((1 + h * h / 50) * D, 1, h), "f_y(D) at h^3"),
        (lambda D, h: (D, 1 + h / 50, h), "f_yy(z, z) at h^2"),
    ],
)
def test_a_coefficient_that_is_off_by_a_little_is_named(wrong, seen):
    def off(T, grid):
        for s, t in T.steps(grid):
            D, spread, h = wrong(T.denoise(T.x, s), T.h(s, t))
            noise = (t.sigma * sqrt(-spread * expm1(-2 * h))) * T.noise(s, t)
            D_ = T.denoise(first(T, s, t, D, 1) + noise, t)
            T.x = first(T, s, t, D / 2 + D_ / 2, 1) + noise

    proof = prove_weak(off, seeds=(1,))
    assert seen in proof.violated
    assert proof.order == int(seen[-1]) - 1


def test_a_draw_used_in_two_steps_is_no_noise():
    def again(T, grid):
        z = None
        for i, (s, t) in enumerate(T.steps(grid)):
            z = T.noise(s, t) if i % 2 == 0 else z
            T.x = first(T, s, t, T.denoise(T.x, s), 1) + (t.sigma * sqrt(-expm1(-2 * T.h(s, t)))) * z

    assert prove_weak(again, seeds=(1,)).order == 0


def test_an_evaluation_behind_fresh_noise_is_inconsistent():
    def noisy(T, grid):
        for s, t in T.steps(grid):
            D = T.denoise(T.x + s.sigma * T.noise(s, t), s)
            T.x = first(T, s, t, D, 1) + (t.sigma * sqrt(-expm1(-2 * T.h(s, t)))) * T.noise(s, t)

    proof = prove_weak(noisy, seeds=(1,))
    assert proof.order == 0 and "does not tend to x_s" in proof.violated[0]


# --- measured on a Gaussian, without sampling noise ---


def gaussian_slopes(build: Callable[..., None]) -> list[float]:
    """Of the error of three variances after equal steps in log-SNR from the exact law."""
    variances = np.array([0.05, 0.3, 2.0])
    law = dn.Gaussian(np.array([0.8, -0.1, 0.0]), variances)
    process, errors = dn.VP(), []
    for n in (32, 64, 128):
        plan = dn.compile(named(build), dn.grid.log_snr(process, n, process.t(-1.5), process.t(1.5)))
        error = dn.moments(plan, law)[1] - (plan.stop.alpha**2 * variances + plan.stop.sigma**2)
        errors.append(float(np.abs(error).max()))
    return [math.log2(a / b) for a, b in pairwise(errors)]


@pytest.mark.parametrize("name", CLAIMS)
def test_measured_slopes_of_the_variance_are_the_proved_orders(name):
    build, order, _ = CLAIMS[name]
    coarse, fine = gaussian_slopes(build)
    assert abs(fine - order) < 0.15 and abs(fine - order) <= abs(coarse - order) + 0.02


# --- trees are derivatives ---

POINT, CLOCK = sympy.symbols("y c", real=True)
FIELD = sympy.Function("G")(POINT, CLOCK)
TEST = sympy.Function("f")(POINT)


def value(tree: Any, field: Any = FIELD, test: Any = TEST) -> Any:
    """A tree in one dimension, where contracted pairs are ones."""
    if tree[0] == STATE:
        return POINT
    if tree[0] in (PAIR, DRAW):
        return sympy.Integer(1)
    head = test if tree[0] == ROOT else field.diff(CLOCK, tree[0]) if tree[0] else field
    head = head.diff(POINT, len(tree) - 1) if len(tree) > 1 else head
    return head * sympy.prod([value(t, field, test) for t in tree[1:]])


TREES = st.recursive(
    st.sampled_from([Y, (0,), (1,)]),
    lambda inner: st.builds(lambda k, c: (k, *sorted(c)), st.integers(0, 1), st.lists(inner, max_size=2)),
    max_leaves=4,
)


@settings(max_examples=25, deadline=None)
@given(TREES, TREES)
def test_growing_a_leaf_on_every_node_is_a_derivative(tree, leaf):
    tree = (ROOT, tree)
    grown = sum(m * value(t) for t, m in derived(tree, leaf))
    assert sympy.expand(grown - value(tree).diff(POINT) * value(leaf)) == 0


@settings(max_examples=15, deadline=None)
@given(TREES)
def test_growing_a_pair_of_leaves_is_the_laplacian(tree):
    tree = (ROOT, tree)
    assert sympy.expand(sum(m * value(t) for t, m in laplacian(tree)) - value(tree).diff(POINT, 2)) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_pairings_number_as_gaussian_moments(powers):
    leaves = [(DRAW, i) for i, n in enumerate(powers) for _ in range(n)]
    paired = expectation({(ROOT, *sorted(leaves)): h_series(3) + 1})
    moments = math.prod(math.prod(range(1, n, 2)) if n % 2 == 0 else 0 for n in powers)
    assert sum(s[0] for s in paired.values()) == moments


def test_pairs_have_no_names_and_trees_are_printed():
    one = expectation({(ROOT, (DRAW, 1), (DRAW, 2), (0, (DRAW, 1), (DRAW, 2))): h_series(3) + 1})
    other = expectation({(ROOT, (DRAW, 7), (DRAW, 3), (0, (DRAW, 3), (DRAW, 7))): h_series(3) + 1})
    assert one.keys() == other.keys()
    assert [show(t) for t in one] == ["f_yy(z, w, D_yy(z, w))".replace("f_yy", "f_yyy")]
    assert show((ROOT, (1, Y, (0,)))) == "f_y(D_cyy(y, D))"


# --- the solution ---


def a_process() -> GenericProcess:
    return GenericProcess.random(3, 9)


def square(order: int, at: Any) -> Series:
    return h_series(order) * h_series(order) * at


def test_two_half_steps_of_the_solution_are_one():
    """The law of Chapman and Kolmogorov, with trees grown at the middle moved to the start."""
    order, process, rate = 7, a_process(), Fraction(2, 3)
    s, m, t = (process.level(square(order + 4, Fraction(at))) for at in ("5/3", "1", "0"))
    kappa = (Fraction(3, 4) + 0 * s.t, 0)
    whole, early, late = (Generator.of(process, rate, a, b, kappa, order) for a, b in ((s, t), (s, m), (m, t)))
    twice = early.solve(order, late.solve(order))
    once = whole.solve(order)
    assert twice.keys() == once.keys() and len(once) > 20
    assert all((twice[tree] - once[tree]).valuation >= order for tree in once)


def test_the_solution_of_a_linear_equation_is_known():
    """With ``G = 0`` the variance is that of an Ornstein-Uhlenbeck process, ``1 - e^{-2 kappa h}`` in ``x / sigma``."""
    order, process, kappa = 9, a_process(), Fraction(3, 4)
    s, t = (process.level(square(order + 4, at)) for at in (1, 0))
    h = t.lam - s.lam
    solved = Generator.of(process, Fraction(0), s, t, (kappa + 0 * h, 0), order).solve(order)
    without = {tree: c for tree, c in solved.items() if "(0" not in repr(tree) and "(1" not in repr(tree)}
    second = {F: POINT**2, (ROOT, Y): 2 * POINT**2, (ROOT, Y, Y): 2 * POINT**2, (ROOT, (PAIR, 0), (PAIR, 0)): 2}
    for power, known in ((0, 1 - exp(-2 * kappa * h)), (2, exp(-2 * kappa * h))):
        found = sum(
            (
                c * sympy.Poly(e, POINT).coeff_monomial(POINT**power)
                for tree, e in second.items()
                if (c := without.get(tree))
            ),
            0 * h,
        )
        assert (found - known).valuation >= order


def symbolic(c: Any) -> Any:
    """An extended number for sympy, with all its digits."""
    # mpmath does not normalise what it makes of gmpy2's zero
    return sympy.sympify(mpmath.mpf(c) if c else mpmath.mpf(0))


@pytest.mark.parametrize("name", ["SDE-DPM-Solver++(2M), midpoint", "DPM++ SDE, independent noise", "churn and Heun"])
def test_trees_on_a_gaussian_are_the_error_on_a_gaussian(name):
    """``f = y^2`` and ``G`` linear: all trees with a node of two branches vanish, the others are products of gains."""
    build, order, _ = CLAIMS[name]
    process, plan = generic_weak_plan(named(build), 1)
    with digits(50):
        rows = Rows.of(plan)
        missed = weak_errors(rows, process, 7)[-2]
        assert all(s.valuation >= 2 * order + 2 for s in missed.values())
        variance = number(3) / 7
        level = process.level(h_series(4))
        gain = level.alpha * variance / (level.alpha**2 * variance + level.sigma**2)
        rate = rows.rate(len(rows.states) - 2)[0]
        scaled = gain * level.sigma * (level.lam * -rate).exp()
        field = sum(symbolic(scaled[k]) * CLOCK**k * POINT for k in range(3))
        spread = (level.alpha**2 * variance + level.sigma**2)[0] / level.sigma[0] ** 2
        total = 0
        for tree, s in missed.items():
            worth = value(tree, field, POINT**2).subs(CLOCK, 0)
            worth = sympy.Poly(worth, POINT)
            factor = worth.coeff_monomial(1) + worth.coeff_monomial(POINT**2) * symbolic(spread)
            total += symbolic(s[2 * order + 2]) * factor
        error = symbolic(gaussian_errors(rows, variance, 0)[0][2 * order + 2] / level.sigma[0] ** 2)
        assert abs(error) > 0.1 and abs(total / error - 1) < mpmath.mpf(10) ** -30
