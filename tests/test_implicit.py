"""Implicit methods by sweeps: tables against explicit ones and rational stability functions, exact surds, orders."""

import math
import re
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.order import prove
from diffnum.plan import PREDICTIONS
from diffnum.read.tableau import distance
from diffnum.series import h_series
from diffnum.solvers import generated as g
from diffnum.solvers import implicit
from diffnum.solvers.implicit import bdf2, log_snr_bdf2, rho_bdf2, swept, trapezoid
from diffnum.solvers.surd import Surd, root
from diffnum.witness import Run, alternating, nonlinear, norm, uniform

ALL = [getattr(implicit, name) for name in implicit.__all__]
RUNGE_KUTTA = [s for s in ALL if "bdf" not in s.name]
names = {"ids": lambda s: s.name}
METHODS = {
    "midpoint": (g.IMPLICIT_MIDPOINT, 2),
    "trapezoid": (g.TRAPEZOID, 2),
    "radau": (g.RADAU_IIA2, 3),
    "lobatto": (g.LOBATTO_IIIA3, 4),
    "gauss": (g.gauss_2(root(3)), 4),
}
# stability functions of the implicit methods (Hairer & Wanner 1996, IV.3)
PADE = {
    "midpoint": lambda z: (1 + z / 2) / (1 - z / 2),
    "trapezoid": lambda z: (1 + z / 2) / (1 - z / 2),
    "radau": lambda z: (1 + z / 3) / (1 - 2 * z / 3 + z**2 / 6),
    "lobatto": lambda z: (1 + z / 2 + z**2 / 12) / (1 - z / 2 + z**2 / 12),
    "gauss": lambda z: (1 + z / 2 + z**2 / 12) / (1 - z / 2 + z**2 / 12),
}


# --- tables ---


def amplified(table, z):
    """What an explicit table makes of ``y' = z y`` in one unit step."""
    slopes = []
    for row in table.matrix:
        slopes.append(z * (1 + sum(float(a) * k for a, k in zip(row, slopes, strict=True))))
    return 1 + sum(float(b) * k for b, k in zip(table.weights, slopes, strict=True))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("z", [0.3, -0.7, 0.9j])
def test_sweeps_converge_to_the_stability_function_of_the_implicit_method(name, z):
    method, order = METHODS[name]
    errors = [abs(amplified(swept(method, k), z) - PADE[name](z)) for k in (1, 2, 4, 60)]
    assert errors[-1] < 1e-14
    assert all(a > b for a, b in pairwise(errors))
    assert abs(PADE[name](0.01) - math.exp(0.01)) < 0.01 ** (order + 1)


def test_one_sweep_of_the_rules_of_order_two_is_a_method_of_the_books():
    assert swept(g.IMPLICIT_MIDPOINT, 1) == g.MIDPOINT
    assert swept(g.TRAPEZOID, 1) == g.HEUN2


@pytest.mark.parametrize("name", METHODS)
def test_rows_of_a_swept_table_sum_to_its_nodes(name):
    for sweeps in (1, 2, 3):
        table = swept(METHODS[name][0], sweeps)
        assert all(sum(row) == c for row, c in zip(table.matrix, table.nodes, strict=True))
        assert sum(table.weights) == 1
        moving = sum(c != 0 for c in METHODS[name][0][0])
        assert table.stages == 1 + sweeps * moving


@pytest.mark.parametrize("sweeps", [0, -1, 1.5])
@pytest.mark.parametrize("sampler", [trapezoid, bdf2], **names)
def test_a_number_of_sweeps_that_is_none_is_refused_in_one_sentence(sampler, sweeps):
    with pytest.raises(ValueError, match=rf"^sweeps = {sweeps} is no number of sweeps: use 1, 2, \.\.\.$"):
        dn.compile(sampler, uniform(dn.VP(), 2), sweeps=sweeps)


def test_an_option_that_is_none_is_refused():
    with pytest.raises(TypeError, match="its options: sweeps"):
        dn.compile(trapezoid, uniform(dn.VP(), 2), sweep=3)


# --- what they solve ---


@pytest.mark.parametrize("sampler", [s for s in ALL if not s.name.startswith(("rho_", "log_snr_"))], **names)
def test_where_the_clock_is_sigma_both_variables_give_one_method(sampler):
    levels = alternating(dn.EDM(), 6)
    other = next(s for s in ALL if s.name == f"rho_{sampler.name}")
    assert distance(dn.compile(sampler, levels), dn.compile(other, levels)) < 1e-12


def test_many_sweeps_of_backward_differentiation_solve_its_equation():
    levels = dn.grid.custom(dn.EDM(), sigmas=[2.0, 1.5, 1.2, 0.8])
    run = Run.of(nonlinear(), levels[0])
    states = dn.sample(dn.compile(rho_bdf2, levels, sweeps=80), run.target, run.x, keep="states")
    sigmas = [level.sigma for level in levels]
    for i in (1, 2):
        h, h_ = sigmas[i + 1] - sigmas[i], sigmas[i] - sigmas[i - 1]
        beta, (b0, b1) = g.bdf_2(-h_ / h)
        slope = (states[i + 1] - run.target.denoise(states[i + 1], levels[i + 1])) / sigmas[i + 1]
        assert norm(b0 * states[i] + b1 * states[i - 1] + beta * h * slope - states[i + 1]) < 1e-13
    slopes = [(states[i] - run.target.denoise(states[i], levels[i])) / sigmas[i] for i in (0, 1)]
    assert norm(states[0] + (sigmas[1] - sigmas[0]) / 2 * (slopes[0] + slopes[1]) - states[1]) < 1e-13


# --- exact surds ---

rationals = st.fractions(-20, 20, max_denominator=30)


def number(a, b):
    return a + b * root(3)


def value(x):
    return sympy.sympify(x) if not isinstance(x, Surd) else sympy.sympify(x.a) + sympy.sympify(x.b) * sympy.sqrt(3)


@given(a=rationals, b=rationals, c=rationals, d=rationals)
@settings(max_examples=60, deadline=None)
def test_surds_are_a_field(a, b, c, d):
    x, y = number(a, b), number(c, d)
    for found, expected in ((x + y, value(x) + value(y)), (x - y, value(x) - value(y)), (x * y, value(x) * value(y))):
        assert sympy.expand(value(found) - expected) == 0
    if y != 0:
        assert x / y * y == x
        assert (1 / y) * y == 1
    assert x - x == 0 and -x + x == 0


@given(a=rationals, b=rationals)
@settings(max_examples=60, deadline=None)
def test_a_surd_becomes_the_nearest_number_of_the_other_kind(a, b):
    x = Surd(a, b, 3)
    with mpmath.workdps(40):
        exact = mpmath.mpf(a.numerator) / a.denominator + mpmath.sqrt(3) * b.numerator / b.denominator
        assert float(x) == float(exact)
        assert abs(x * mpmath.mpf(1) - exact) < mpmath.mpf(10) ** -37
    assert 2.0 * x == 2.0 * float(x) and x + 1.0 == float(x) + 1.0
    assert torch.equal(x * torch.tensor(2.0, dtype=torch.float64), torch.tensor(2 * float(x), dtype=torch.float64))
    np.testing.assert_array_equal(np.array([1.0, 2.0]) * x, np.array([1.0, 2.0]) * float(x))
    assert sympy.expand(x * sympy.Symbol("z") - value(x) * sympy.Symbol("z")) == 0


def test_surds_are_coefficients_of_series():
    h = h_series(4)
    assert (root(3) * h * root(3) - 3 * h).valuation == 4
    assert ((1 + root(3) * h).inverse() * (1 + root(3) * h) - 1).valuation == 4


# --- orders, cost and ends ---


@pytest.mark.parametrize("sampler", ALL, **names)
def test_claimed_orders_are_proved(sampler):
    if sampler.name == "rho_gauss4":
        pytest.skip("nine seconds: with the certificates")
    proof = prove(sampler)
    assert (proof.order, proof.cold, proof.stable) == (sampler.order, sampler.cold, True)


@pytest.mark.parametrize("sweeps", [1, 2, 3])
@pytest.mark.parametrize("name", ["implicit_midpoint", "trapezoid", "radau_iia3", "lobatto_iiia4"])
def test_each_sweep_adds_an_order_up_to_that_of_the_method(name, sweeps):
    sampler = getattr(implicit, f"rho_{name}")
    full = METHODS[name.replace("implicit_", "").partition("_")[0]][1]
    assert prove(sampler.with_options(sweeps=sweeps)).order == min(full, sweeps + 1)


@pytest.mark.parametrize("sampler", [bdf2, rho_bdf2, log_snr_bdf2], **names)
def test_one_sweep_of_backward_differentiation_has_its_order_and_more_change_nothing(sampler):
    for sweeps in (1, 2):
        proof = prove(sampler.with_options(sweeps=sweeps))
        assert (proof.order, proof.cold, proof.stable) == (2, 2, True)


@pytest.mark.parametrize("sampler", [trapezoid, *(pytest.param(s, marks=pytest.mark.full) for s in ALL)], **names)
def test_certificates_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons


def test_evaluations_per_step():
    per_step = {"midpoint": 1, "trapezoid": 1, "radau": 2, "lobatto": 2, "gauss": 2}
    at_end = {"trapezoid": 1, "radau": 3, "lobatto": 3}
    for sampler in RUNGE_KUTTA:
        kind = re.sub("^(rho_|log_snr_)?(implicit_)?", "", sampler.name).partition("_")[0].rstrip("4")
        for sweeps in (1, 2, 3):
            cost = 1 + per_step[kind] * sweeps
            for n in range(1, 13):
                plan = dn.compile(sampler, dn.grid.uniform(dn.VP(), n), sweeps=sweeps)
                assert plan.nfe == n * cost
                clean = dn.compile(sampler, dn.grid.uniform(dn.VP(), n, end="zero"), sweeps=sweeps)
                # in log-SNR the last step is DDIM's
                last = 1 if sampler.name.startswith("log_snr_") else at_end.get(kind, cost)
                assert clean.nfe == (n - 1) * cost + last
    for sampler in (bdf2, rho_bdf2, log_snr_bdf2):
        for n in range(1, 13):
            assert dn.compile(sampler, dn.grid.uniform(dn.VP(), n), sweeps=2).nfe == 2 * n + 1
            # the step to the clean level takes one, and there may be no other
            clean = dn.compile(sampler, dn.grid.uniform(dn.VP(), n, end="zero"), sweeps=2)
            assert clean.nfe == 2 * (n - 1) + 1 + (n > 1)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", ALL, **names)
def test_pure_noise_and_clean_ends_are_finite_or_refused_in_one_sentence(sampler, prediction):
    levels = dn.grid.uniform(dn.Flow(), 4, end="zero")
    if prediction in ("noise", "score"):
        with pytest.raises(ValueError, match=r"is not defined at alpha = 0 .* another prediction or sampler$"):
            dn.compile(sampler, levels, prediction)
        return
    assert np.isfinite(dn.tableau(dn.compile(sampler, levels, prediction))).all()
