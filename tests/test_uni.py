"""UniPC and multistep DPM-Solver as quadrature, against the arithmetic of the reference code."""

import math
from functools import partial
from random import Random

import mpmath
import numpy as np
import pytest
import sympy

from diffnum import num
from theory import adams, uni
from theory.generator import load, mutants, source, verify
from theory.statement import check

PIECES = {piece.name: piece for piece in (make() for make in uni.PIECES)}
GENERATED = load(source([*PIECES.values(), *(make() for make in adams.PIECES)]))


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_is_its_published_scheme_and_no_number_of_it_may_change(name):
    piece = PIECES[name]
    assert verify(piece, GENERATED)
    changed = list(mutants(piece))
    assert changed
    for place, text in changed:
        assert not verify(piece, load(source([piece]).replace(piece.text, text))), place


def reference(z, past, variant, corrector, real=float):
    """Weights by the steps of ``multistep_uni_pc_bh_update``: ``phi`` by recurrence, a linear system for ``rho``."""
    order = len(past) + 1
    exp, solve = (math.exp, np.linalg.solve) if real is float else (mpmath.exp, mpmath.lu_solve)
    r = [*past, real(1)]
    first = exp(z) - 1 if real is not float else math.expm1(z)
    B = z if variant == "bh1" else first
    R, b, h_phi, factorial = [], [], first / z - 1, 1
    for i in range(1, order + 1):
        R.append([x ** (i - 1) for x in r])
        b.append(h_phi * factorial / B)
        factorial *= i + 1
        h_phi = h_phi / z - real(1) / factorial
    if not corrector:
        rho = [real(1) / 2] if order == 2 else solved(solve, [row[:-1] for row in R[:-1]], b[:-1])
        r = r[:-1]
    else:
        rho = [real(1) / 2] if order == 1 else solved(solve, R, b)
    differences = [B * a / (x * z) for a, x in zip(rho, r, strict=True)]
    now = first / z - sum(differences)
    return [differences[-1], now, *differences[:-1]] if corrector else [now, *differences]


def solved(solve, R, b):
    return list(solve(R, b)) if R else []


def predictor(order, variant):
    if order == 2:
        return GENERATED.unip_2_bh1 if variant == "bh1" else GENERATED.dpm_2m
    return getattr(GENERATED, f"exponential_adams_{order}")


def corrector(order, variant):
    return getattr(GENERATED, f"unic_1_{variant}" if order == 1 else f"exponential_adams_moulton_{order + 1}")


CASES = [(corrects, order) for corrects in (False, True) for order in range(1, 7)]


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("corrects, order", CASES)
def test_the_reference_code_in_sixty_digits_gives_the_generated_weights(corrects, order, variant):
    random = Random(order)
    with mpmath.workdps(60):
        for z in (-1.5, -0.0625, 1e-3, 0.75):
            past = adams.random_nodes(random, order - 1)
            exact = [mpmath.mpf(c.numerator) / c.denominator for c in past]
            expected = reference(mpmath.mpf(z), exact, variant, corrects, mpmath.mpf)
            found = num.extended((corrector if corrects else predictor)(order, variant), z, *past)
            for a, b in zip(found, expected, strict=True):
                assert abs(float(a) / b - 1) < 2e-16


@pytest.mark.parametrize("corrects, order", [(False, 3), (False, 4), (True, 2), (True, 3)])
def test_the_reference_code_in_float64_loses_its_digits_at_small_steps(corrects, order):
    past = [-1.0, -2.0, -3.0][: order - 1]
    weights = (corrector if corrects else predictor)(order, "bh1")
    lost = []
    for z in (-0.5, -1e-6):
        exact = num.extended(weights, z, *past)
        found = reference(z, past, "bh1", corrects)
        lost.append(max(abs(a - b) for a, b in zip(found, exact, strict=True)))
        plain = weights(z, *past)
        assert max(abs(a - b) for a, b in zip(plain, exact, strict=True)) < 1e-15 * sum(map(abs, exact))
    assert lost[0] < 1e-13 < 1e-6 < lost[1]


@pytest.mark.parametrize("name, order", [("unic_2_coded", 2), ("unic_3_coded", 3)])
def test_the_coded_corrector_is_that_of_the_paper_on_constants_only(name, order):
    past = [-1.0, -2.0][: order - 1]
    found = num.extended(getattr(GENERATED, name), -1e-9, *past)
    assert sum(found) == pytest.approx(1, rel=1e-8)
    first = sum(w * c for w, c in zip(found, (1, 0, *past), strict=True))
    assert abs(first - 0.5) > 0.1


def test_three_step_methods_differ_by_half_a_second_difference():
    z, past = -0.25, (-0.75, -2.0)
    published, whole = (num.extended(f, z, *past) for f in (GENERATED.dpm_3m, GENERATED.exponential_adams_3))
    bend = np.linalg.inv(np.vander([0, *past], increasing=True))[2]
    expected = -num.phi(3, z) * bend
    assert np.array(published) - np.array(whole) == pytest.approx(expected, rel=1e-12)


def order_of_step(weights):
    """Power of ``h`` in the error of one step of ``w' = -w + D`` with ``D = cos(3 s)`` known everywhere."""
    error = []
    for h in (mpmath.mpf(2) ** -14, mpmath.mpf(2) ** -15):
        w, nodes = weights(h)
        exact = mpmath.quad(lambda s, h=h: mpmath.exp(-(1 - s) * h) * mpmath.cos(3 * s * h + 1), [0, 1])
        error.append(abs(h * (exact - sum(a * mpmath.cos(3 * c * h + 1) for a, c in zip(w, nodes, strict=True)))))
    return float(mpmath.log(error[0] / error[1], 2))


LOCAL = [
    ("dpm_2m", (0, -1.25), 3),
    ("unip_2_bh1", (0, -1.25), 3),
    ("unic_1_bh1", (1, 0), 3),
    ("unic_1_bh2", (1, 0), 3),
    ("dpm_3m", (0, -1.25, -2), 3),
    ("unic_2_coded", (1, 0, -1.25), 2),
    ("unic_3_coded", (1, 0, -1.25, -2), 2),
    *((f"exponential_adams_{k}", (0, -1.25, -2, -3.5, -4, -5.5)[:k], k + 1) for k in range(1, 7)),
    *((f"exponential_adams_moulton_{k}", (1, 0, -1.25, -2, -3.5, -4, -5.5)[:k], k + 1) for k in range(2, 8)),
]


@pytest.mark.parametrize("name, nodes, power", LOCAL)
def test_local_errors_have_the_power_that_the_moments_say(name, nodes, power):
    with mpmath.workdps(80):
        past = [mpmath.mpf(c) for c in nodes if c < 0]
        found = order_of_step(lambda h: (getattr(GENERATED, name)(-h, *past), nodes))
    assert found == pytest.approx(power, abs=0.01)


def test_a_wrong_claim_on_b_is_not_proved(monkeypatch):
    wrong = partial(uni.unip_2, variant=1)
    monkeypatch.setattr(uni, "dpm_2m", wrong)
    with pytest.raises(ArithmeticError, match="DPM-Solver"):
        check([uni.one_method()])


@pytest.mark.full
def test_a_solver_with_other_weights_is_noticed(monkeypatch):
    monkeypatch.setattr(uni, "dpm_2m", uni.dpm_2m_taylor)
    with pytest.raises(ArithmeticError, match="of this chapter"):
        check([uni.samplers_that_run()])


def test_symbols_give_closed_forms():
    z = sympy.Symbol("z", nonzero=True)
    ahead, now = GENERATED.unic_1_bh2(z)
    assert sympy.simplify(ahead - now) == 0 and sympy.simplify(ahead - (sympy.exp(z) - 1) / (2 * z)) == 0
