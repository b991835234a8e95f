"""Weights of linear multistep quadrature against integrals in fifty digits, differences, and other kinds of number."""

import math
from fractions import Fraction
from itertools import pairwise
from random import Random

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum import num
from diffnum.series import h_series
from theory import adams
from theory.generator import load, mutants, source, verify
from theory.statement import check

PIECES = {piece.name: piece for piece in (make() for make in adams.PIECES)}
GENERATED = load(source(list(PIECES.values())))
EXPONENTIAL = [("exponential_adams", k) for k in range(1, 7)] + [("exponential_adams_moulton", k) for k in range(2, 8)]
CLASSICAL = [("adams_bashforth", k) for k in range(1, 7)] + [("adams_moulton", k) for k in range(2, 7)]


def weights_of(family, order):
    return getattr(GENERATED, f"{family}_{order}")


def points(family, order, past):
    ends = (1, 0) if "moulton" in family else (0,)
    return (*ends, *past)[:order]


def history(ratios):
    """Points of the past for steps each of which is so many times the one that came after it."""
    found, step, total = [], 1.0, 0.0
    for ratio in ratios:
        step *= ratio
        total += step
        found.append(-total)
    return found


# --- the equations, on the text of the generated file


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_satisfies_its_equations_and_no_number_of_it_may_change(name):
    piece = PIECES[name]
    assert verify(piece, GENERATED)
    changed = list(mutants(piece))
    assert changed
    for place, text in changed:
        assert not verify(piece, load(source([piece]).replace(piece.text, text))), place


def test_a_wrong_table_is_not_proved(monkeypatch):
    monkeypatch.setattr(adams, "BASHFORTH_TABLE", ("1", "3 -1 / 2", "23 -16 6 / 12"))
    with pytest.raises(ArithmeticError, match="equal steps"):
        check([adams.equal_steps()])


# --- accuracy


def gauss_legendre(count):
    """Nodes and weights on [0, 1] in the working precision."""
    found = []
    for i in range(count):
        x = mpmath.cos(mpmath.pi * (i + mpmath.mpf(3) / 4) / (count + mpmath.mpf(1) / 2))
        for _ in range(8):
            before, p = mpmath.mpf(1), x
            for n in range(2, count + 1):
                before, p = p, ((2 * n - 1) * x * p - (n - 1) * before) / n
            slope = count * (x * p - before) / (x * x - 1)
            x -= p / slope
        found.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
    return found


def by_quadrature(z, nodes, rule):
    """``int_0^1 e^{(1-s) z} l_j(s) ds``; no term cancels, for l_j keeps its sign within a step."""
    nodes = [mpmath.mpf(c) for c in nodes]
    kernel = [(s, w * mpmath.exp((1 - s) * z)) for s, w in rule]
    found = []
    for j, node in enumerate(nodes):
        others = [c for i, c in enumerate(nodes) if i != j]
        below = mpmath.fprod(node - c for c in others)
        found.append(mpmath.fsum(w * mpmath.fprod(s - c for c in others) for s, w in kernel) / below)
    return found


def errors(found, exact):
    """Largest relative error of a weight, and largest error over the sum of the weights' magnitudes."""
    differences = [abs(mpmath.mpf(a) - b) for a, b in zip(found, exact, strict=True)]
    total = mpmath.fsum(abs(b) for b in exact)
    return float(max(d / abs(b) for d, b in zip(differences, exact, strict=True))), float(max(differences) / total)


def sweep(count, random):
    """Steps from 1e-8 to 10 of either sign, ratios of neighbouring steps from 1/20 to 20."""
    for i in range(count):
        extreme = i % 4 == 0
        ratios = [random.choice((0.05, 20.0)) if extreme else 20 ** random.uniform(-1, 1) for _ in range(5)]
        yield random.choice((-1, 1)) * 10 ** random.uniform(-8, 1), history(ratios)


@pytest.mark.parametrize("count", [12, pytest.param(1500, marks=pytest.mark.full)])
def test_weights_in_extended_precision_are_the_rounded_integrals(count):
    with mpmath.workdps(50):
        rule = gauss_legendre(48)
        for z, past in sweep(count, Random(count)):
            for family, order in EXPONENTIAL:
                p = past[: order - 1 - ("moulton" in family)]
                exact = by_quadrature(z, points(family, order, p), rule)
                single, whole = errors(num.extended(weights_of(family, order), z, *p), exact)
                assert single < 2**-53 * 1.0001 and whole < 1e-14, (family, z, p)


@pytest.mark.parametrize("count", [12, pytest.param(1500, marks=pytest.mark.full)])
def test_in_float64_explicit_weights_lose_two_digits_at_most_and_implicit_ones_three(count):
    with mpmath.workdps(50):
        rule = gauss_legendre(48)
        for z, past in sweep(count, Random(count + 1)):
            for family, order in EXPONENTIAL:
                p = past[: order - 1 - ("moulton" in family)]
                exact = by_quadrature(z, points(family, order, p), rule)
                single, whole = errors(weights_of(family, order)(z, *p), exact)
                assert single < (2e-14 if "moulton" in family else 2e-15) and whole < 5e-15, (family, z, p)


@pytest.mark.parametrize("family, order", CLASSICAL)
def test_classical_weights_are_the_rounded_integrals(family, order):
    with mpmath.workdps(50):
        rule = gauss_legendre(12)
        for _, past in sweep(8, Random(order)):
            p = past[: order - 1 - ("moulton" in family)]
            exact = by_quadrature(0, points(family, order, p), rule)
            found = num.extended(weights_of(family, order), *p)
            assert errors([float(w) for w in found], exact)[0] < 2**-53 * 1.0001


def test_the_quadrature_of_these_tests_agrees_with_that_of_mpmath():
    with mpmath.workdps(50):
        rule = gauss_legendre(48)
        for z, past in sweep(3, Random(7)):
            nodes = [mpmath.mpf(c) for c in (1, 0, *past[:2])]
            for j, found in enumerate(by_quadrature(z, nodes, rule)):

                def integrand(s, z=z, j=j, nodes=nodes):
                    others = [c for i, c in enumerate(nodes) if i != j]
                    return mpmath.exp((1 - s) * z) * mpmath.fprod((s - c) / (nodes[j] - c) for c in others)

                assert abs(mpmath.quad(integrand, [0, 1]) / found - 1) < mpmath.mpf("1e-45")


# --- other ways to the same numbers


def test_constant_tables_are_made_of_backward_differences():
    # gamma_j = int_0^1 binomial(s + j - 1, j) ds, and the same from -1 to 0 for implicit methods
    s = sympy.Symbol("s")
    for table, shift in ((GENERATED.ADAMS_BASHFORTH, 0), (GENERATED.ADAMS_MOULTON, 1)):
        for order, weights in enumerate(table, 1):
            expected = [Fraction(0)] * order
            for j in range(order):
                binomial = math.prod((s - shift + i for i in range(j)), start=sympy.Integer(1)) / sympy.factorial(j)
                gamma = sympy.integrate(sympy.expand(binomial), (s, 0, 1))
                for i in range(j + 1):
                    expected[i] += (-1) ** i * math.comb(j, i) * Fraction(int(gamma.p), int(gamma.q))
            assert list(weights) == expected


@pytest.mark.parametrize("family, order", [case for case in CLASSICAL if case[1] > 1])
def test_variable_step_weights_on_equal_steps_are_the_tables(family, order):
    past = [Fraction(-j) for j in range(1, order - ("moulton" in family))]
    table = GENERATED.ADAMS_MOULTON if "moulton" in family else GENERATED.ADAMS_BASHFORTH
    assert weights_of(family, order)(*past) == table[order - 1]


@given(st.permutations(range(3)), st.lists(st.fractions(1, 9), min_size=3, max_size=3), st.fractions(-2, 2))
@settings(max_examples=20)
def test_the_order_in_which_points_are_named_does_not_matter(order, steps, scale):
    past = [-sum(steps[: i + 1], Fraction(0)) for i in range(3)]
    z = h_series(6, scale)
    first = GENERATED.exponential_adams_4(z, *past)
    other = GENERATED.exponential_adams_4(z, *(past[i] for i in order))
    for a, b in zip(other, (first[0], *(first[1 + i] for i in order)), strict=True):
        assert (a - b).valuation == (a - b).end


@given(st.floats(-20, 20))
def test_the_trapezium_of_data_is_that_of_noise_reversed(z):
    ahead, now = num.extended(GENERATED.exponential_adams_moulton_2, z)
    back_ahead, back_now = num.extended(GENERATED.exponential_adams_moulton_2, -z)
    assert back_ahead == pytest.approx(math.exp(-z) * now, rel=1e-13)
    assert back_now == pytest.approx(math.exp(-z) * ahead, rel=1e-13)


@pytest.mark.parametrize("order", [2, 3])
def test_backward_differentiation_solves_the_stiff_test_equation(order):
    # y' = -y: halved steps of a variable grid divide the error by 2^order
    found = []
    for n in (64, 128, 256):
        times = [3 * (i / n + 0.1 * math.sin(2 * math.pi * i / n) / math.pi) for i in range(n + 1)]
        values = [math.exp(-t) for t in times[:order]]
        for i in range(order, n + 1):
            h, now = times[i] - times[i - 1], times[i - 1]
            past = [(times[i - 1 - j] - now) / h for j in range(1, order)]
            beta, b = num.extended(getattr(GENERATED, f"bdf_{order}"), *past)
            values.append(sum(w * values[-1 - j] for j, w in enumerate(b)) / (1 + beta * h))
        found.append(abs(values[-1] - math.exp(-times[-1])))
    assert [math.log2(a / b) for a, b in pairwise(found)] == pytest.approx([order] * 2, abs=0.15)


# --- other kinds of number


@pytest.mark.parametrize(
    "family, order", [case if case[1] < 4 else pytest.param(*case, marks=pytest.mark.full) for case in EXPONENTIAL]
)
def test_weights_of_tensors_have_the_values_of_floats_and_derivatives(family, order):
    import torch

    past = [-0.75, -2.0, -2.5, -4.25, -5.0][: order - 1 - ("moulton" in family)]
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (-0.625, *past)]
    found = num.extended(weights_of(family, order), *leaves)
    expected = num.extended(weights_of(family, order), -0.625, *past)
    assert [w.item() for w in found] == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(lambda *a: tuple(weights_of(family, order)(*a)), leaves)


@pytest.mark.parametrize("family, order", [("exponential_adams", 4), ("exponential_adams_moulton", 4)])
def test_weights_of_symbols_and_of_many_digits_agree(family, order):
    past = [Fraction(-3, 4), Fraction(-2), Fraction(-5, 2)][: order - 1 - ("moulton" in family)]
    z = sympy.Rational(-5, 8)
    symbolic = weights_of(family, order)(z, *(sympy.Rational(c.numerator, c.denominator) for c in past))
    expected = num.extended(weights_of(family, order), Fraction(-5, 8), *past)
    with mpmath.workdps(40):
        many = weights_of(family, order)(mpmath.mpf(-5) / 8, *(mpmath.mpf(float(c)) for c in past))
    for a, b, c in zip(symbolic, many, expected, strict=True):
        assert abs(sympy.N(a, 40) - sympy.Float(b, 40)) < 1e-35
        assert float(b) == c
