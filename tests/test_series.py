"""Truncated series against sympy's, and the precision that they claim."""

from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from diffnum.num import exp, expm1, log, phi, sqrt
from diffnum.series import Series, compose, h_series, revert

fractions = st.fractions(-3, 3, max_denominator=5)
N = 6


def series(coefficients) -> Series:
    return Series(0, tuple(Fraction(c) for c in coefficients))


def small(coefficients) -> Series:
    return Series(0, (Fraction(0), *coefficients))


triple = st.lists(fractions, min_size=N, max_size=N).map(series)
regular = st.lists(fractions, min_size=N - 1, max_size=N - 1).map(small)


def close(a: Series, b: Series) -> bool:
    return (a - b).valuation >= min(a.end, b.end)


@given(triple, triple, triple)
def test_ring_laws(a, b, c):
    assert close(a * (b + c), a * b + a * c)
    assert close(a * b, b * a)
    assert close(a - a, series([0] * N))


@given(triple.filter(lambda s: s.valuation < 3), triple)
def test_division_undoes_multiplication_and_costs_its_valuation(a, b):
    quotient = (a * b) / a
    assert quotient.end <= N
    assert close(quotient, b)


@given(regular)
def test_exp_and_log_are_inverse(a):
    assert close(log(exp(a)), a)
    assert close(expm1(a) + 1, exp(a))


@given(triple.filter(lambda s: s[0] != 0))
def test_square_root_of_a_square(a):
    root = sqrt(a * a)
    assert close(root * root, a * a)


@given(regular)
def test_phi_recurrence(z):
    assert close(phi(2, z) * z + 1, phi(1, z))
    assert close(phi(1, z) * z + 1, exp(z))


@given(st.lists(fractions, min_size=N - 2, max_size=N - 2), regular)
def test_reversion_inverts_composition(tail, x):
    outer = (Fraction(0), Fraction(3, 2), *tail)
    assert close(revert(outer, compose(outer, x)), x)


def test_exponential_matches_sympy():
    h = sympy.Symbol("h")
    ours = exp(h_series(N) * 2 + h_series(N) * h_series(N))
    theirs = sympy.series(sympy.exp(2 * h + h**2), h, 0, N).removeO()
    ours = [sympy.Rational(ours[i].numerator, ours[i].denominator) for i in range(N)]
    assert ours == [theirs.coeff(h, i) for i in range(N)]


def test_what_is_not_known_is_not_given():
    with pytest.raises(IndexError, match=r"O\(h\^6\)"):
        h_series(N)[N]
    with pytest.raises(ValueError, match="zero constant term"):
        exp(series([1, 1, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="no rational root"):
        sqrt(series([2, 0, 0, 0, 0, 0]))
    with pytest.raises(ZeroDivisionError):
        series([0] * N).inverse()
