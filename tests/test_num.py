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


def test_phi_of_torch_has_the_derivative_of_phi():
    import torch

    z = torch.tensor([-30.0, -2.0, -0.02, -0.005, 0.0, 0.005, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    for k in (1, 2):
        assert torch.autograd.gradcheck(lambda x, k=k: num.phi(k, x), (z,))
        # phi_k' = phi_k - k phi_{k+1}, which subtracts what z divides
        (slopes,) = torch.autograd.grad(num.phi(k, z).sum(), z)
        exact = [float(exact_phi(k, x) - k * exact_phi(k + 1, x)) for x in z.tolist()]
        assert slopes.tolist() == pytest.approx(exact, rel=1e-12)


def test_phi_of_a_symbol_is_its_closed_form():
    z = sympy.Symbol("z")
    assert sympy.simplify(num.phi(2, z) - (sympy.exp(z) - 1 - z) / z**2) == 0
    assert num.phi(3, sympy.Integer(0)) == sympy.Rational(1, 6)


def test_unknown_kinds_and_indices_are_refused():
    with pytest.raises(TypeError, match="str"):
        num.exp("1")
    with pytest.raises(ValueError, match="phi_-1"):
        num.phi(-1, 0.5)
