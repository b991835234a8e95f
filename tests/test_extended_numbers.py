"""Extended numbers: both kinds hold the same value, prove the same and measure the same."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffnum as dn
from diffnum import extended_numbers, pointwise, precise
from diffnum.extended_numbers import digits, number, quick
from diffnum.plan import PREDICTIONS
from diffnum.series import compose, h_series, revert
from diffnum.solvers import ALL
from diffnum.targets import Gaussian, Mixture1D, Product1D
from diffnum.weak_order import prove_weak

gmpy2 = pytest.importorskip("gmpy2")


@given(st.floats(-1e30, 1e30), st.integers(1, 1000))
def test_a_quick_number_is_the_same_number(x, n):
    with digits(50):
        slow = mpmath.mpf(x) / n
        exact = quick(slow).as_integer_ratio()
        assert mpmath.mpf(int(exact[0])) / int(exact[1]) == slow


def test_tuples_are_made_quick_entry_by_entry():
    with digits(50):
        third = mpmath.mpf(1) / 3
        ((first,), half) = quick(((third,), 0.5))
        assert isinstance(first, gmpy2.mpfr) and abs(3 * first - 1) < 1e-49
        assert half == 0.5 and isinstance(half, float)


@pytest.mark.parametrize("name", ["ddim_eta", pytest.param("er_sde_2", marks=pytest.mark.full)])
def test_proofs_do_not_depend_on_the_kind_of_number(name, monkeypatch):
    found = prove_weak(ALL[name])
    monkeypatch.setattr(extended_numbers, "gmpy2", None)
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


ROTATION = np.linalg.qr(np.array([[1.0, 2.0], [3.0, 1.0]]))[0]
TARGETS = [
    Gaussian(np.array([0.5, -1.0]), np.array([0.1, 2.5]), ROTATION),
    Product1D([Mixture1D([0.3, 0.7], [-0.8, 0.6], [0.6, 0.8]), Mixture1D([1.0], [0.2], [0.5])], ROTATION),
    dn.Mixture([0.4, 0.6], [[-1.0, 0.4], [0.7, 0.9]], [[0.3, 0.5], [0.4, 0.2]]),
]


def asked(target, make):
    """Every question that the witnesses ask, at levels and points of one kind of number."""
    process, x = dn.VP(), np.frompyfunc(make, 1, 1)(np.array([[0.3, -0.7], [1.1, 0.2]]).astype(object))
    s, t = process.at(-make(0.25)), process.at(make(0.25))
    answers = [target.predict(x, s, quantity) for quantity in PREDICTIONS]
    answers.append(target.log_prob(x, s))
    if hasattr(target, "eigen") or hasattr(target, "laws"):
        answers.append(target.flow(x, s, t))
    return [np.frompyfunc(mpmath.mpf, 1, 1)(answer) for answer in answers]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: type(t).__name__)
def test_targets_answer_both_kinds_alike(target):
    with digits(50):
        for slow, fast in zip(asked(target, mpmath.mpf), asked(target, number), strict=True):
            assert abs(slow - fast).max() < 1e-47


PROCESSES = [dn.VP(), dn.Cosine(), dn.VE(), dn.EDM(), dn.SubVP(), dn.Flow(shift=3.0), dn.DDPM(smooth=True)]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_processes_have_levels_of_both_kinds(process):
    with digits(50):
        for lam in (-0.25, 0.125):
            slow, fast = process.at(mpmath.mpf(lam)), process.at(number(lam))
            for name in ("t", "alpha", "sigma", "lam"):
                assert abs(mpmath.mpf(getattr(fast, name)) - getattr(slow, name)) < 1e-47


@pytest.mark.parametrize("name", ["exp_ab5", "deis_tab_3", "gauss4", "luan_ostermann5"])
def test_slopes_do_not_depend_on_the_kind_of_number(name, monkeypatch):
    """Surds, quadrature and phi among the coefficients."""
    caches = (precise.compiled, precise.precise_run, precise.known_near)

    def errors():
        for cache in caches:
            cache.cache_clear()
        with digits(50):
            return precise.precise_errors(ALL[name], dn.VP(), "alternating", (16, 32), lambda plan: plan)

    found = errors()
    monkeypatch.setattr(extended_numbers, "gmpy2", None)
    assert found == pytest.approx(errors(), rel=1e-12)
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("witness", precise.WITNESSES)
def test_laws_number_by_number_and_as_arrays(witness):
    process = dn.VP()
    with digits(precise.DIGITS):
        law = pointwise.Pointwise(precise.WITNESSES[witness]())
        level = process.at(extended_numbers.number(0.3))
        x = np.frompyfunc(extended_numbers.number, 1, 1)(law.law.sample(3, 1, process.at(0.3)).astype(object))
        arrays = pointwise.arrays(level)
        off = abs(law.predict(x, level, "data") - law.law.predict(x, arrays, "data")).max()
        assert off < 1e-45
        assert (law.predict(x, level, "noise") == law.law.predict(x, arrays, "noise")).all()
