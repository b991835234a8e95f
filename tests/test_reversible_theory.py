"""Reversible samplers: generated weights in plans, measured constants and roots, round trips at rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.num import extended
from diffnum.order import generic_plan, prove, root_condition
from diffnum.trace import solver
from theory import reversible
from theory.generator import load, mutants, source, verify
from theory.statement import check

PIECES = [piece() for piece in reversible.PIECES]
GENERATED = load(source(PIECES))
rates = st.floats(-3.0, 3.0)
ratios = st.floats(0.2, 5.0)


@pytest.mark.full  # by default test_theory derives them, with the page that holds them
@pytest.mark.parametrize("derivation", reversible.CHAPTER, ids=lambda d: getattr(d, "__name__", "again"))
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


# --- in plans ---


def steps_in(T: Any, s: Any, t: Any, form: str) -> Any:
    """Step length and scale of the coordinates: data and noise in log-SNR, or classical in ``sigma / alpha``."""
    return t.sigma / t.alpha - s.sigma / s.alpha if form == "classical" else T.h(s, t)


def two_step(rule: Callable[..., Any], form: str) -> Callable[..., None]:
    """A two-step method with the weights ``rule(z, c, scales)``, started with DDIM."""

    def sampler(T: Any, grid: Any) -> None:
        past = None
        for s, t in T.steps(grid):
            e, h = T.evaluate(T.x, s), steps_in(T, s, t, form)
            N = e.data if form == "data" else e.noise
            sign = -1 if form == "noise" else 1
            z = {"data": -h, "noise": h, "classical": 0 * h}[form]
            now, then = (level.sigma if form == "noise" else level.alpha for level in (s, t))
            if past is None:
                T.x, past = t.alpha * e.data + t.sigma * e.noise, (T.x, s, h)
                continue
            x, r, h_ = past
            old = r.sigma if form == "noise" else r.alpha
            a, b, w = rule(z, -h_ / h, old / then)
            past = T.x, s, h
            T.x = (then / now * a) * T.x + (then / old * b) * x + (then * sign * h * w) * N

    return sampler


def belm(z: Any, c: Any, scale: Any) -> Any:
    return extended(GENERATED.belm_2, z, c)


def leapfrog(z: Any, c: Any, scale: Any) -> Any:
    return (0 * z, *extended(GENERATED.leapfrog, z, c))


def bdia(gamma: Any) -> Callable[..., Any]:
    return lambda z, c, scale: extended(GENERATED.bdia, z, c, gamma * scale)


@pytest.mark.parametrize("form", ["data", "noise", "classical"])
def test_belm_is_of_order_two_on_any_steps_in_every_coordinate(form):
    proof = prove(two_step(belm, form))
    assert (proof.order, proof.cold) == (2, 2)


def test_belm_is_zero_stable_on_equal_steps_and_not_on_alternating_ones():
    """On alternating steps a perturbation of one state moves the next pair by a constant, step after step."""
    equal, alternating = (
        root_condition(generic_plan(two_step(belm, "classical"), 4, 3, 0, sizes)[1]) for sizes in ((1, 1), (1, 2))
    )
    assert equal and not alternating
    y_, y = 0.0, 1.0
    drift = []
    for n in range(40):
        a, b, _ = extended(GENERATED.belm_2, 0.0, -0.5 if n % 2 else -2.0)
        y_, y = y, a * y + b * y_
        drift.append(y)
    np.testing.assert_allclose(np.diff(drift[1::2]), drift[3] - drift[1], rtol=1e-9)
    assert abs(drift[3] - drift[1]) == pytest.approx(0.75)


@pytest.mark.parametrize("form", ["data", "noise", "classical"])
@pytest.mark.parametrize("rule", [leapfrog, bdia(1)], ids=["leapfrog", "bdia"])
def test_leapfrog_and_bdia_are_of_order_two_on_smooth_grids_only(rule, form):
    build = two_step(rule, form)
    proof = prove(build)
    assert proof.order == 1 and proof.stable
    assert prove(solver(order=1, cold=1, cite="none", smooth=2)(build)).smooth == 2


def test_bdia_below_one_is_of_order_one():
    build = two_step(bdia(Fraction(1, 2)), "data")
    assert prove(build).order == 1
    assert prove(solver(order=1, cold=1, cite="none", smooth=1)(build)).smooth == 1


def test_bdia_is_one_plan_in_three_coordinates():
    grid = dn.grid.log_snr(dn.VP(), 5, dn.VP().t(-2.0), dn.VP().t(2.0))
    law = dn.Gaussian(np.array([0.4]), np.array([0.3]))
    found = [dn.moments(dn.compile(two_step(bdia(0.8), form), grid), law) for form in ("data", "noise", "classical")]
    for mean, variance in found[1:]:
        np.testing.assert_allclose(mean, found[0][0], rtol=1e-11)
        np.testing.assert_allclose(variance, found[0][1], rtol=1e-11)


@settings(max_examples=30, deadline=None)
@given(rates, ratios, st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))
def test_the_step_back_is_the_same_formula(z, ratio, now, past, prediction):
    c = -ratio
    a, b, w = extended(GENERATED.belm_2, z, c)
    new = a * now + b * past + w * prediction
    back = extended(GENERATED.belm_2, c * z, 1 / c)
    again = back[0] * now + back[1] * new + c * back[2] * prediction
    size = abs(back[0] * now) + abs(back[1] * a * now) + abs(past) + abs(back[1] * w * prediction)
    assert abs(again - past) <= 1e-14 * size + 1e-300


@settings(max_examples=30, deadline=None)
@given(rates, ratios, st.sampled_from([0, 1]))
def test_belm_integrates_polynomials_of_degree_one(z, ratio, degree):
    """Against the solution of ``y' = z y + s^degree`` from ``y(0) = 1`` by its power series."""

    def exact(s: float) -> Any:
        n = mpmath.factorial(degree) * mpmath.mpf(s) ** (degree + 1)
        return mpmath.exp(s * z) + n * mpmath.hyp1f1(1, degree + 2, s * z) / mpmath.factorial(degree + 1)

    a, b, w = extended(GENERATED.belm_2, z, -ratio)
    known = a + b * exact(-ratio) + w * (1 if degree == 0 else 0)
    assert abs(known - exact(1)) <= 1e-12 * (abs(a) + abs(b * exact(-ratio)) + abs(w))


# --- constants, roots and intervals, measured ---


def curved(y: float) -> float:
    return math.cos(y) - 0.3 * y


def march(gamma: float, n: int) -> float:
    """BDIA on ``y' = f(y)`` over [0, 1] with equal steps."""
    h, y_, y = 1 / n, 0.2, 0.2 + curved(0.2) / n
    for _ in range(n - 1):
        y_, y = y, (1 - gamma) * y + gamma * y_ + (1 + gamma) * h * curved(y)
    return y


def test_error_constant_of_bdia_is_that_of_its_polynomial():
    with mpmath.workdps(20):
        true = float(mpmath.odefun(lambda t, y: mpmath.cos(y) - mpmath.mpf("0.3") * y, 0, 0.2)(1))
    euler = march(0.0, 4000) - true
    for gamma in (0.3, 0.7, 0.9):
        assert abs((march(gamma, 4000) - true) / euler / ((1 - gamma) / (1 + gamma)) - 1) < 2e-2
    errors = [abs(march(1.0, n) - true) for n in (200, 400)]
    assert abs(math.log2(errors[0] / errors[1]) - 2) < 0.1


@pytest.mark.parametrize("gamma", [0.3, 0.8])
def test_real_stability_interval_of_bdia(gamma):
    edge = -2 * (1 - gamma) / (1 + gamma)
    for w, stable in ((0.99 * edge, True), (1.01 * edge, False)):
        roots = np.roots([1, -(1 - gamma + (1 + gamma) * w), -gamma])
        assert (np.abs(roots).max() <= 1) == stable


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_rounding_of_the_way_back_grows_as_the_inverse_root(gamma):
    n, h = 100, 1e-3
    y_, y = 0.2, 0.2 + curved(0.2) * h
    start = y_, y
    for _ in range(n):
        y_, y = y, (1 - gamma) * y + gamma * y_ + (1 + gamma) * h * curved(y)
    for _ in range(n):
        y_, y = (y - (1 - gamma) * y_ - (1 + gamma) * h * curved(y_)) / gamma, y_
    missed = abs(y_ - start[0])
    assert missed < 30 * 2**-53 * gamma**-n
    assert gamma == 1 or missed > 2**-53 * gamma**-n / 1000


def test_roots_of_belm_telescope_on_any_steps():
    rng = np.random.default_rng(5)
    steps = rng.uniform(0.2, 2.0, 12)
    y_, y = 0.0, 1.0
    for h_, h in pairwise(steps):
        a, b, _ = extended(GENERATED.belm_2, 0.0, -h_ / h)
        y_, y = y, a * y + b * y_
    assert abs(y - y_) == pytest.approx((steps[-1] / steps[0]) ** 2, rel=1e-12)


def edict(x: float, y: float, a: float, b: float, p: float, e: Callable[[float], float]) -> tuple[float, float]:
    x = a * x + b * e(y)
    y = a * y + b * e(x)
    x = p * x + (1 - p) * y
    return x, p * y + (1 - p) * x


def edict_back(x: float, y: float, a: float, b: float, p: float, e: Callable[[float], float]) -> tuple[float, float]:
    y = (y - (1 - p) * x) / p
    x = (x - (1 - p) * y) / p
    y = (y - b * e(x)) / a
    return (x - b * e(y)) / a, y


def test_edict_comes_back_and_its_rounding_grows_as_the_inverse_square_of_p():
    p, n = 0.93, 100
    x = y = 0.7
    for _ in range(n):
        x, y = edict(x, y, 1.0, 1e-3, p, curved)
    for _ in range(n):
        x, y = edict_back(x, y, 1.0, 1e-3, p, curved)
    missed = max(abs(x - 0.7), abs(y - 0.7))
    assert 2**-53 * p ** (-2 * n) / 1000 < missed < 30 * 2**-53 * p ** (-2 * n)


def test_edict_is_of_order_one_and_stable_on_its_interval():
    def run(n: int, p: float) -> float:
        x = y = 1.0
        for _ in range(n):
            x, y = edict(x, y, 1.0, 1 / n, p, lambda v: -v)
        return x - math.exp(-1)

    for p in (0.5, 0.93):
        ratio = run(40000, p) / run(80000, p)
        assert abs(math.log2(ratio) - 1) < 0.01
        edge = -(1 - p**2) / (1 - p + p**2)
        for w, stable in ((0.99 * edge, True), (1.01 * edge, False)):
            m = np.array([edict(1, 0, 1, w, p, lambda v: v), edict(0, 1, 1, w, p, lambda v: v)])
            assert (np.abs(np.linalg.eigvals(m)).max() <= 1) == stable


def coupled(psi: Callable[[float, float], float], zeta: float, n: int, h: float) -> tuple[float, float, float]:
    """McCallum and Foster's pair there, and how far it misses its start when it has come back."""
    y = z = 0.2
    for _ in range(n):
        y = zeta * y + (1 - zeta) * z + psi(h, z)
        z = z - psi(-h, y)
    end = y
    for _ in range(n):
        z = z + psi(-h, y)
        y = (y - (1 - zeta) * z - psi(h, z)) / zeta
    return end, abs(y - 0.2), abs(z - 0.2)


@pytest.mark.parametrize(
    ("psi", "order"),
    [
        (lambda h, y: h * curved(y), 1),
        (lambda h, y: h * curved(y + h / 2 * curved(y)), 2),
    ],
)
def test_the_coupling_keeps_the_order_and_comes_back(psi, order):
    with mpmath.workdps(20):
        true = float(mpmath.odefun(lambda t, y: mpmath.cos(y) - mpmath.mpf("0.3") * y, 0, 0.2)(1))
    errors = [abs(coupled(psi, 0.9, n, 1 / n)[0] - true) for n in (200, 400)]
    assert abs(math.log2(errors[0] / errors[1]) - order) < 0.1
    assert max(coupled(psi, 0.999, 200, 1 / 200)[1:]) < 1e-13


def test_the_way_back_of_the_coupling_grows_as_the_inverse_of_zeta():
    zeta, n = 0.8, 100
    missed = coupled(lambda h, y: h * curved(y), zeta, n, 1e-3)[1]
    assert 2**-53 * zeta**-n / 1000 < missed < 30 * 2**-53 * zeta**-n


# --- inversion ---


def renoise_ratio(D: Callable[[float], float], tau: float, h: float, around: float) -> float:
    """Contraction of ReNoise's iteration at ``alpha = 1``, by a central difference."""
    s, t = tau, tau * math.exp(-h)

    def iterate(x: float) -> float:
        return -(t - s) * (x - D(x)) / s

    return (iterate(around + 1e-5) - iterate(around - 1e-5)) / 2e-5


def test_contraction_of_renoise_is_that_of_the_posterior_variance():
    c, tau, h = 0.6, 0.9, 0.4
    known = (1 - math.exp(-h)) * tau**2 / (c + tau**2)
    assert renoise_ratio(lambda x: c / (c + tau**2) * x, tau, h, 0.3) == pytest.approx(known, rel=1e-8)

    def atoms(x: float) -> float:  # data at 1 and -1
        return math.tanh(x / tau**2)

    for tau, h in ((0.9, 0.4), (0.4, 1.5)):
        variance = 1 - atoms(0.1) ** 2
        known = (1 - math.exp(-h)) * (1 - variance / tau**2)
        assert renoise_ratio(atoms, tau, h, 0.1) == pytest.approx(known, rel=1e-7)
        diverges = variance > tau**2 * (1 + 1 / (1 - math.exp(-h)))
        assert (abs(known) > 1) == diverges


def test_round_trip_of_the_midpoint_rule_is_of_order_three():
    def there_and_back(n: int, midpoint: bool) -> float:
        y, h = 0.2, 1 / n
        for step in [h] * n + [-h] * n:
            y = y + step * curved(y + (step / 2 * curved(y) if midpoint else 0))
        return abs(y - 0.2)

    for midpoint, order in ((False, 1), (True, 3)):
        errors = [there_and_back(n, midpoint) for n in (64, 128)]
        assert abs(math.log2(errors[0] / errors[1]) - order) < 0.1


@pytest.mark.parametrize(("h", "c"), [(0.1, 0.5), (1.3, 0.05), (2.5, 3.0)])
def test_variance_of_noise_maps_on_a_gaussian(h, c):
    """By simulation of independent copies, within four standard errors."""
    rng, n = np.random.default_rng(11), 400_000
    tau, alphas = 1.2, (0.7, 0.9)
    sigmas = alphas[0] * tau, alphas[1] * tau * math.exp(-h)
    data = math.sqrt(c) * rng.standard_normal(n)
    x_s, x_t = (a * data + sigma * rng.standard_normal(n) for a, sigma in zip(alphas, sigmas, strict=True))
    D = c / (alphas[0] * (c + tau**2)) * x_s
    mean = sigmas[1] / sigmas[0] * math.exp(-h) * x_s + alphas[1] * -math.expm1(-2 * h) * D
    z = (x_t - mean) / (sigmas[1] * math.sqrt(-math.expm1(-2 * h)))
    known = (1 + math.expm1(2 * h) * c / (c + tau**2)) / math.tanh(h)
    assert known > 1 and abs(z.var() / known - 1) < 4 * math.sqrt(2 / n)
