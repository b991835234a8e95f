"""Coefficients of stochastic samplers: against quadrature, against themselves over two steps, and in samplers."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum.num import exp, extended, phi, sqrt
from diffnum.order import prove
from diffnum.weak_order import prove_weak
from theory import stochastic
from theory.generator import load, mutants, source, verify
from theory.statement import check

PIECES = [piece() for piece in stochastic.PIECES]
GENERATED = load(source(PIECES))
positive = st.floats(1e-3, 4.0)
inner = st.floats(0.05, 0.95)


@pytest.mark.full  # by default test_theory derives them, with the page that holds them
@pytest.mark.parametrize("derivation", stochastic.CHAPTER, ids=lambda d: getattr(d, "__name__", "again"))
def test_every_statement_holds(derivation):
    check([derivation()])


@pytest.mark.parametrize("piece", PIECES, ids=lambda p: p.name)
def test_every_number_of_a_piece_is_pinned(piece):
    text = source([piece])
    assert verify(piece, load(text))
    for where, mutant in mutants(piece):
        try:
            alive = verify(piece, load(text.replace(piece.text, mutant)))
        except (ZeroDivisionError, ValueError, IndexError, TypeError):
            continue
        assert not alive, where


# --- against quadrature ---


def quad(integrand: Any, ends: Any) -> float:
    value: Any = mpmath.quad(integrand, ends)
    return float(value)


def product(factor: Any) -> np.ndarray:
    pivots, below = factor
    n = len(pivots)
    lower = np.eye(n)
    for i, row in enumerate(below, 1):
        lower[i, :i] = row
    return lower @ np.diag(pivots) @ lower.T


@settings(max_examples=20, deadline=None)
@given(positive, inner, inner, positive, st.sampled_from(["data", "noise"]))
def test_factors_multiply_to_integrals_of_kernels(h, a, b, rate, form):
    c1, c2 = sorted((a, b))
    if c2 - c1 < 0.01:
        c2 = c1 + 0.02
    ends = [c1, c2, 1.0]
    found = product(extended(getattr(GENERATED, f"sde_noise_{form}_3"), h, c1, c2, rate))
    sign = -rate if form == "data" else 1.0
    for i, p in enumerate(ends):
        for j, q in enumerate(ends[i:], i):
            kernel = lambda r, p=p, q=q: 2 * rate * mpmath.exp(sign * (p * h - r)) * mpmath.exp(sign * (q * h - r))  # noqa: E731
            assert math.isclose(found[i, j], quad(kernel, [0, p * h]), rel_tol=1e-11)


@settings(max_examples=20, deadline=None)
@given(st.floats(-6.0, 6.0))
def test_pair_of_noise_and_its_integral_against_quadrature(z):
    found = product(extended(GENERATED.ito_pair, z))
    for i in range(2):
        for j in range(2):
            known = quad(lambda s, k=i + j: s**k * mpmath.exp(2 * s * z), [0, 1])
            assert math.isclose(found[i, j], known, rel_tol=1e-11)


@pytest.mark.parametrize("z", [-40.0, -1e-9, 1e-300, 1e-7, 30.0])
def test_pivots_keep_their_digits_where_they_cancel(z):
    with mpmath.workdps(60):
        m: list[Any] = [mpmath.quad(lambda s, k=k: s**k * mpmath.exp(2 * s * z), [0, 0.5, 1]) for k in range(3)]
        known = m[2] - m[1] ** 2 / m[0]
        assert abs(extended(GENERATED.ito_pair, z)[0][1] / known - 1) < 1e-15


@pytest.mark.parametrize("gap", [1.0, 1e-3, 1e-8])
def test_pivot_of_two_kernels_that_almost_agree(gap):
    with mpmath.workdps(60):
        y, z = mpmath.mpf(-0.75), mpmath.mpf(-0.75 + gap)
        cov = [mpmath.expm1(s) / s for s in (2 * y, y + z, 2 * z)]
        known = cov[2] - cov[1] ** 2 / cov[0]
        assert abs(extended(GENERATED.ito_kernels, -0.75, -0.75 + gap)[0][1] / known - 1) < 1e-14


@settings(max_examples=30, deadline=None)
@given(positive, positive, positive)
def test_two_steps_are_one_step(first, second, rate):
    keep, gain, variance = zip(
        *(extended(GENERATED.sde_step_data, h, rate) for h in (first, second, first + second)), strict=True
    )
    assert math.isclose(keep[0] * keep[1], keep[2], rel_tol=1e-13)
    assert math.isclose(keep[1] ** 2 * variance[0] + variance[1], variance[2], rel_tol=1e-13)
    # alpha_t gain over both steps, with sigma falling and alpha e^lam: e^{-h} is the ratio of sigma / alpha
    assert math.isclose(math.exp(-second) * keep[1] * gain[0] + gain[1], gain[2], rel_tol=1e-13)
    lost, noise = zip(
        *(extended(GENERATED.sde_step_noise, h, rate) for h in (first, second, first + second)), strict=True
    )
    assert math.isclose(math.exp(second) * lost[0] + lost[1], lost[2], rel_tol=1e-13)
    assert math.isclose(math.exp(2 * second) * noise[0] + noise[1], noise[2], rel_tol=1e-13)


@settings(max_examples=20, deadline=None)
@given(positive, st.floats(0.0, 3.0))
def test_er_sde_with_powers_against_quadrature(h, rate):
    s = mpmath.exp(h)  # l_t = 1
    for k, found in enumerate(extended(GENERATED.er_sde_power, h, rate)):
        weight = lambda u, k=k: (1 + rate) * u ** (-2 - rate) * (u - s) ** k / math.factorial(k)  # noqa: E731
        assert math.isclose(found, quad(weight, [1, s]), rel_tol=1e-9)


def test_er_sde_of_order_one_is_the_family():
    for rate in (0.0, 0.5, 1.0):
        assert math.isclose(
            extended(GENERATED.er_sde_power, 0.7, rate)[0], extended(GENERATED.sde_step_data, 0.7, rate)[1]
        )


# --- in samplers ---


def er_sde(T: Any, grid: Any, order: int = 2, rate: Any = 1, whole: bool = False) -> None:
    """ER-SDE with ``phi = l^(1 + rate)``; with ``whole`` the slope at the left node is corrected for the curvature."""
    past: list[tuple[Any, Any]] = []
    for s, t in T.steps(grid):
        h, D, ratio = T.h(s, t), T.denoise(T.x, s), s.sigma / s.alpha
        w = extended(GENERATED.er_sde_power, h, rate)
        x = (t.alpha / s.alpha * (1 - w[0])) * T.x + (t.alpha * w[0]) * D
        past = [(D, ratio), *past][:order]
        if len(past) > 1:
            slope = (D - past[1][0]) / (ratio - past[1][1])
            if len(past) > 2:
                before = (past[1][0] - past[2][0]) / (past[1][1] - past[2][1])
                bend = 2 * (slope - before) / (ratio - past[2][1])
                x = x + (t.sigma * t.sigma / t.alpha * w[2]) * bend
                slope = slope + ((ratio - past[1][1]) / 2) * bend if whole else slope
            x = x + (t.sigma * w[1]) * slope
        noise = extended(GENERATED.sde_step_data, h, rate)[2]
        T.x = x + (t.sigma * sqrt(noise)) * T.noise(s, t) if rate else x


@pytest.mark.parametrize(("order", "whole", "proved"), [(1, False, 1), (2, False, 2), (3, False, 2), (3, True, 3)])
def test_the_third_order_er_sde_needs_the_curvature_in_its_slope(order, whole, proved):
    def sampler(T, grid):
        er_sde(T, grid, order, Fraction(0), whole)

    assert prove(sampler).order == proved


@pytest.mark.parametrize(("order", "proved"), [(1, 1), pytest.param(2, 2, marks=pytest.mark.full)])
def test_weak_orders_of_er_sde(order, proved):
    def sampler(T, grid):
        er_sde(T, grid, order, Fraction(1, 2))

    proof = prove_weak(sampler, seeds=(1,))
    assert proof.order == proved and f"h^{proved + 1}" in proof.violated[0]


def two_stage(T: Any, grid: Any, c: Any, rate: Any, form: str) -> None:
    """SEEDS-2 at any node with the generated factor, in data or in noise."""
    for s, t in T.steps(grid):
        h, m = T.h(s, t), T.between(s, t, c)
        (e1, e2), ((share,),) = extended(getattr(GENERATED, f"sde_noise_{form}_2"), h, c, rate)
        stage = sqrt(e1) * T.noise(s, t)
        step = share * stage + sqrt(e2) * T.noise(s, t)

        def first(u: Any, h: Any, N: Any, s: Any = s) -> Any:
            if form == "data":
                keep, gain, _ = extended(GENERATED.sde_step_data, h, rate)
                return (u.sigma / s.sigma * keep) * T.x + (u.alpha * gain) * N
            return (u.alpha / s.alpha) * T.x - (u.sigma * extended(GENERATED.sde_step_noise, h, rate)[0]) * N

        def read(x: Any, level: Any) -> Any:
            return getattr(T.evaluate(x, level), form)

        N = read(T.x, s)
        Nm = read(first(m, c * h, N) + m.sigma * stage, m)
        T.x = first(t, h, N + (Nm - N) / (2 * c)) + t.sigma * step


@pytest.mark.parametrize("form", ["data", "noise"])
def test_generated_noise_at_any_node_gives_weak_order_two(form):
    proof = prove_weak(partial(two_stage, c=Fraction(1, 3), rate=Fraction(3, 4), form=form), seeds=(1,))
    assert (proof.order, proof.cold) == (2, 2)
    assert proof.violated[0] == "Gaussian mean or variance misses at h^3"


def test_the_data_step_is_the_ito_integral_of_phi_functions():
    h, rate = 0.37, 0.8
    keep, gain, variance = extended(GENERATED.sde_step_data, h, rate)
    assert (keep, gain) == (pytest.approx(exp(-rate * h)), pytest.approx((1 + rate) * h * phi(1, -(1 + rate) * h)))
    assert variance == pytest.approx(-math.expm1(-2 * rate * h), rel=1e-15)
