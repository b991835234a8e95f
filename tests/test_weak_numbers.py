"""Numbers of weak proofs: both kinds hold the same value, and prove the same."""

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffnum import weak_numbers
from diffnum.plan import Level
from diffnum.series import Series, compose, h_series, revert
from diffnum.solvers import ALL
from diffnum.weak_numbers import digits, quick
from diffnum.weak_order import prove_weak

gmpy2 = pytest.importorskip("gmpy2")


@given(st.floats(-1e30, 1e30), st.integers(1, 1000))
def test_a_quick_number_is_the_same_number(x, n):
    with digits(50):
        slow = mpmath.mpf(x) / n
        exact = quick(slow).as_integer_ratio()
        assert mpmath.mpf(int(exact[0])) / int(exact[1]) == slow


def test_series_and_levels_are_made_quick_entry_by_entry():
    with digits(50):
        third = mpmath.mpf(1) / 3
        series = Series(1, (third, 2 * third))
        level = quick(Level(series, series, series, lam=series))
        assert isinstance(level.lam.c[0], gmpy2.mpfr) and level.lam.v == 1
        assert quick({"x": (series,)})["x"][0] == quick(series)
        assert abs(3 * level.sigma[2] - 2) < 1e-49


@pytest.mark.parametrize("name", ["ddim_eta", "er_sde_2"])
def test_proofs_do_not_depend_on_the_kind_of_number(name, monkeypatch):
    found = prove_weak(ALL[name])
    monkeypatch.setattr(weak_numbers, "gmpy2", None)
    assert prove_weak(ALL[name]) == found


def test_one_step_samplers_of_order_one_are_not_proved_to_be_of_order_two():
    proof = prove_weak(ALL["euler_maruyama"], highest=2)
    assert (proof.order, proof.cold) == (1, 1)
    assert any("at h^2" in condition for condition in proof.violated)


def test_series_with_a_constant_term_are_composed_in_full():
    """Levels at a fixed distance in log-SNR, as those that churn goes up to."""
    one = h_series(6) + 1
    assert compose((0, 0, 0, 0, 0, 0, 0, 1), one) == one**7
    theta = revert((0, 2), one)
    assert compose((0, 2), theta) == one
