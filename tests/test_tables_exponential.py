"""Exponential and multistep tables: orders against theory's, planted slips against their cure."""

from __future__ import annotations

import math
from fractions import Fraction as F
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum.read.stability import Ratio, real_interval
from diffnum.solvers import ALL, generated
from diffnum.tables import Exponential, Multistep, audit
from diffnum.tables.conditions import multistep_residuals
from diffnum.tables.entries import ARGUMENT, Combination, combination
from diffnum.tables.multistep import error_constant
from diffnum.tables.numbers import vanishes
from theory.exponential_schemes import SCHEMES

nodes = st.fractions(min_value=F(1, 8), max_value=2, max_denominator=9)


def record(name, *values, **more):
    c, A, b = getattr(generated, name)(ARGUMENT, *values)
    return Exponential(A, b, c, name=name, **more)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_an_exponential_table_of_theory_has_its_orders_and_its_name(scheme):
    if not hasattr(generated, scheme.name):
        pytest.skip(f"{scheme.name} is not generated")
    said = audit(record(scheme.name, *scheme.points[0], order=scheme.order, stiff_order=scheme.stiff))
    assert (said.verdict, said.order, said.slips) == ("holds", scheme.order, ())
    assert said.finding("stiff order").said.startswith(f"stiff order {scheme.stiff}")
    assert any(known.name.partition("(")[0] == scheme.name for known in said.known)


@pytest.mark.parametrize("name", ["etd4rk", "krogstad_4"])
def test_a_wrong_coefficient_anywhere_in_an_exponential_table_is_found_with_its_cure(name):
    right = record(name, order=4)
    places = [("A", i, j) for i in range(4) for j in range(i)] + [("b", 4, j) for j in range(4)]
    wrong = 0
    for side, i, j in places:
        entry = right.A[i][j] if side == "A" else right.b[j]
        for key, q in entry.terms.items():
            bad = Combination({**entry.terms, key: -F(3, 2) * q})
            A = [list(row) for row in right.A]
            b = list(right.b)
            if side == "A":
                A[i][j] = bad
            else:
                b[j] = bad
            said = audit(Exponential(A, b, right.c, order=4))
            (slip,) = said.slips
            where = f"a_{i + 1}{j + 1}" if side == "A" else f"b_{j + 1}"
            assert said.verdict == "fails" and slip.where.endswith(f"in {where}")
            assert F(slip.proposed) == q and slip.order == 4
            wrong += 1
    assert wrong >= 14


def test_a_wrong_argument_index_or_node_of_an_exponential_table_is_found():
    texts = [[], ["phi_1(z/2)/2"], [0, "phi_1(z/2)/2"], ["phi_1(z) - phi_1(z/2)", 0, "phi_1(z/2)"]]
    b = ["phi_1(z) - 3*phi_2(z) + 4*phi_3(z)", *["2*phi_2(z) - 4*phi_3(z)"] * 2, "4*phi_3(z) - phi_2(z)"]
    c = [0, "1/2", "1/2", 1]
    assert audit(Exponential(texts, b, c, order=4)).known[0].name == "etd4rk"
    argument = [*texts[:3], ["phi_1(z) - phi_1(z/2)", 0, "phi_1(z)"]]
    (slip,) = audit(Exponential(argument, b, c, order=4)).slips
    assert (slip.where, slip.proposed) == ("a_43", str(combination("phi_1(z/2)")))
    index = [*b[:3], "4*phi_3(z) - phi_1(z)"]
    (slip,) = audit(Exponential(texts, index, c, order=4)).slips
    assert slip.where == "b_4" and str(slip.proposed) == str(combination(b[3]))
    (slip,) = audit(Exponential(texts, b, [0, "1/2", "1/3", 1], order=4)).slips
    assert (slip.where, slip.proposed) == ("c_3", "1/2")
    missing = ["phi_1(z) - 3*phi_2(z)", *b[1:]]
    (slip,) = audit(Exponential(texts, missing, c, order=4)).slips
    assert slip.where == "the coefficient of phi_3(z) in b_1" and slip.proposed == "4"


def test_exponential_tables_in_floats_are_judged_as_fractions_are():
    third = [[], [{"phi": 1, "at": 1 / 3, "coefficient": 1 / 3}], [0, {"phi": 1, "at": 2 / 3, "coefficient": 2 / 3}]]
    said = audit(Exponential(third, ["phi_1(z)/4", 0, "phi_1(z)*0.75"], [0, 1 / 3, 2 / 3]))
    exact = audit(Exponential([[], ["phi_1(z/3)/3"], [0, "phi_1(2*z/3)*2/3"]], ["phi_1(z)/4", 0, "phi_1(z)*3/4"]))
    assert said.order == exact.order
    for name in ("row sums", "stiff order"):
        assert said.finding(name) == exact.finding(name)


@settings(max_examples=25)
@given(nodes, nodes)
def test_members_of_exponential_families_have_their_orders(c2, c3):
    for name, values, p in (("etd2", (c2,), 2), ("dpm_2s", (c2,), 2), ("hochbruck_ostermann_3", (c2, c3), 3)):
        if name.endswith("3") and (c2 == c3 or c2 == F(2, 3)):
            continue
        said = audit(record(name, *values, order=p, stiff_order=p))
        assert said.verdict == "holds" and said.order >= p


def test_without_its_linear_part_a_table_is_a_classical_one():
    assert "RK4" in {known.name for known in audit(record("etd4rk").without_linear_part()).known}


# --- multistep ---


def adams(weights):
    k = len(weights)
    return [*[0] * (k - 1), -1, 1], [*reversed(weights), 0]


def bdf(k):
    """``sum_{j=1}^k (1/j) nabla^j y = h f``."""
    alpha = [F(0)] * (k + 1)
    for j in range(1, k + 1):
        for i in range(j + 1):
            alpha[k - i] += F((-1) ** i * math.comb(j, i), j)
    return Multistep(alpha, [*[0] * k, 1], order=k)


@pytest.mark.parametrize("k", range(1, 7))
def test_adams_methods_have_their_order_their_constant_and_the_interval_of_the_sampler(k):
    table = Multistep(*adams(generated.ADAMS_BASHFORTH[k - 1]), order=k)
    said = audit(table)
    assert (said.verdict, said.order, said.slips) == ("holds", k, ())
    assert said.known[0].name == f"ADAMS_BASHFORTH of order {k}"
    # gamma_k + gamma_{k-1} / 2 + ... + gamma_0 / (k + 1) = 1 (Hairer, Norsett & Wanner 1993, III.1)
    gammas = []
    for m in range(k + 1):
        gammas.append(1 - sum((g / (m + 1 - i) for i, g in enumerate(gammas)), F(0)))
    assert error_constant(table) == gammas[k]
    if f"ab{k}" in ALL:
        mine = float(said.finding("stability").said.split()[2].rstrip(","))
        assert mine == pytest.approx(real_interval(ALL[f"ab{k}"], Ratio()), rel=1e-5)


def test_backward_differences_are_stable_up_to_order_six():
    for k in range(1, 8):
        said = audit(bdf(k))
        assert said.order == k and (said.finding("zero-stability").verdict == "holds") == (k < 7)
        assert ("not A-stable" in said.finding("stability").said) == (k > 2)
    assert audit(bdf(2)).known[0].name == "bdf_2 on equal steps"


def test_the_best_order_with_two_steps_explicit_is_not_stable():
    said = audit(Multistep([-5, 4, 1], [2, 4], order=3))
    assert said.order == 3 and said.verdict == "fails"
    assert said.finding("zero-stability").where == ("-5",)


def test_a_method_whose_sigma_vanishes_on_the_circle_is_audited():
    said = audit(Multistep([-1, 0, 1], [1, 0, 1], order=2))
    assert said.order == 2 and said.verdict == "holds"


@pytest.mark.parametrize("entry", range(8))
def test_every_slip_in_adams_bashforth_is_found_with_its_cure(entry):
    for kind in (F, float):
        alpha, beta = adams(generated.ADAMS_BASHFORTH[2])
        sides = {"alpha": [kind(x) for x in alpha], "beta": [kind(x) for x in beta]}
        name, j = ("alpha", entry) if entry < 4 else ("beta", entry - 4)
        if (name, j) == ("beta", 3):
            continue
        right = F([*alpha, *beta][entry])
        sides[name][j] = kind(right + F(1, 7))
        said = audit(Multistep(**sides, order=3))
        assert [(s.where, s.proposed, s.order) for s in said.slips] == [(f"{name}_{j}", str(right), 3)]


@settings(max_examples=30)
@given(st.lists(st.fractions(-2, 2, max_denominator=5), min_size=2, max_size=4), st.integers(1, 3))
def test_residuals_of_multistep_methods_are_those_of_powers(beta, p):
    """A method is exact for ``t^q`` iff its residual vanishes, by running it on that power."""
    alpha = [F(0)] * (len(beta) - 2) + [F(-1), F(1)]
    for q, residual in enumerate(islice(multistep_residuals(alpha, beta), p + 1)):
        left = sum(a * F(j) ** q for j, a in enumerate(alpha))
        right = sum(b * q * F(j) ** (q - 1) for j, b in enumerate(beta)) if q else 0
        assert vanishes(residual * math.factorial(q) - (left - right))
