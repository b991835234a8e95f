"""phi against its definition at 60 digits, and one function across kinds of number."""

import math
from decimal import Context, Decimal, localcontext

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from diffnum import num
from diffnum.extended_numbers import digits, number


def exact_phi(k: int, z: float) -> mpmath.mpf:
    with mpmath.workdps(60):
        return mpmath.hyp1f1(1, k + 1, mpmath.mpf(z)) / mpmath.factorial(k)


@given(st.integers(1, 7), st.floats(-1e3, 300.0))
def test_phi_matches_the_confluent_hypergeometric_function(k, z):
    assert abs(mpmath.mpf(num.phi(k, z)) / exact_phi(k, z) - 1) < 1e-14


@given(st.integers(0, 6), st.floats(-30.0, 30.0).filter(lambda z: abs(z) > 1e-3))
def test_phi_satisfies_its_recurrence(k, z):
    left = num.phi(k + 1, z) * z + 1 / math.factorial(k)
    assert left == pytest.approx(num.phi(k, z), rel=1e-12)


@given(st.integers(0, 8), st.floats(-1e3, 300.0))
def test_phi_of_decimals_has_a_hundred_digits(k, z):
    with localcontext(Context(prec=110)), mpmath.workdps(140):
        exact = mpmath.hyp1f1(1, k + 1, mpmath.mpf(z)) / mpmath.factorial(k)
        assert abs(mpmath.mpf(str(num.phi(k, Decimal(z)))) / exact - 1) < mpmath.mpf("1e-100")


@given(st.integers(0, 8), st.floats(-1e3, 300.0))
def test_phi_of_quick_numbers_has_the_digits_of_the_context(k, z):
    with digits(60), mpmath.workdps(90):
        exact = mpmath.hyp1f1(1, k + 1, mpmath.mpf(z)) / mpmath.factorial(k)
        assert abs(mpmath.mpf(num.phi(k, number(z))) / exact - 1) < mpmath.mpf("1e-54")


@pytest.mark.parametrize("k", range(7))
def test_phi_at_zero_and_at_minus_infinity(k):
    assert num.phi(k, 0.0) == pytest.approx(1 / math.factorial(k), rel=1e-15)
    assert num.phi(k, -math.inf) == 0.0


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "expm1", "log1p", "sin", "cos"])
def test_every_kind_of_number_gives_the_same_value(name):
    import torch

    f, x = getattr(num, name), 0.375
    expected = getattr(math, name)(x)
    assert f(x) == expected
    arrays = np.float64(x), np.array([x]), torch.tensor(x, dtype=torch.float64)
    kinds = *arrays, mpmath.mpf(x), number(x), sympy.Rational(3, 8)
    for value in kinds:
        assert float(f(value).item() if hasattr(f(value), "item") else f(value)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("z", [-40.0, -3.0, -1e-9, 0.0, 1e-6, 2.0, 30.0])
def test_phi_of_arrays_matches_phi_of_floats(z):
    import torch

    for k in range(1, 5):
        assert float(num.phi(k, np.array([z]))[0]) == num.phi(k, z)
        assert float(num.phi(k, torch.tensor(z, dtype=torch.float64))) == pytest.approx(num.phi(k, z), rel=1e-13)
        assert float(num.phi(k, mpmath.mpf(z))) == pytest.approx(num.phi(k, z), rel=1e-13)


def exact_derivative(k: int, z: float, q: int) -> mpmath.mpf:
    """``phi_k' = phi_k - k phi_{k+1}``, ``q`` times."""
    with mpmath.workdps(60):
        return exact_derivative(k, z, q - 1) - k * exact_derivative(k + 1, z, q - 1) if q else exact_phi(k, z)


@pytest.mark.parametrize("k", range(1, 8))
def test_phi_of_tensors_and_its_derivatives_have_the_digits_of_floats(k):
    import torch

    z = torch.tensor([-40.0, -24.0, -7.0, -1.0, -1e-9, 0.0, 0.01, 3.0, 24.0, 30.0], dtype=torch.float64)

    def value(x):
        return num.phi(k, x)

    slope = torch.func.vmap(torch.func.grad(value))
    curvature = torch.func.vmap(torch.func.grad(torch.func.grad(value)))
    for q, found in enumerate([value(z), slope(z), curvature(z)]):
        exact = [exact_derivative(k, x, q) for x in z.tolist()]
        assert max(abs(mpmath.mpf(a) / b - 1) for a, b in zip(found.tolist(), exact, strict=True)) < 1e-14
    forward = torch.func.jvp(value, (z,), (torch.ones_like(z),))[1]
    assert torch.allclose(forward, slope(z), rtol=1e-14, atol=0)


def test_phi_of_a_symbol_is_its_closed_form():
    z = sympy.Symbol("z")
    assert sympy.simplify(num.phi(2, z) - (sympy.exp(z) - 1 - z) / z**2) == 0
    assert num.phi(3, sympy.Integer(0)) == sympy.Rational(1, 6)


def test_unknown_kinds_and_indices_are_refused():
    with pytest.raises(TypeError, match="str"):
        num.exp("1")
    with pytest.raises(ValueError, match="phi_-1"):
        num.phi(-1, 0.5)
