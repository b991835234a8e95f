"""Stochastic Runge-Kutta tables for additive noise: against proofs on plans, against the exact mean square, and from
their equations."""

from __future__ import annotations

from fractions import Fraction as F
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from diffnum.solvers import ALL, generated
from diffnum.solvers.stochastic_rk import in_data
from diffnum.solvers.tables import Additive
from diffnum.weak_order import prove_weak
from theory import additive
from theory.generator import load, mutants, source, verify
from theory.statement import check

PIECES = [piece() for piece in additive.PIECES]
NAMES = [named.name for named in additive.TABLES]
rationals = st.fractions(min_value=-3, max_value=3, max_denominator=40)
# the trees of theory.additive.one_order_up, in its order
TREES = ("f_y(D_cc)", "f_y(D_y(D_y(D)))", "f_yy(D_y(z), D_y(z))", "f_y(D_yy(z, D_y(z)))")


def entries(table):
    return table.nodes, table.matrix, table.weights, table.path, table.area


def sampler(table):
    build = partial(in_data, table)

    def run(T, grid):
        build(T, grid)

    return run


@pytest.mark.full  # by default test_theory derives them, with the page that holds them
@pytest.mark.parametrize("derive", additive.CHAPTER, ids=lambda d: d.__name__)
def test_every_statement_holds(derive):
    check([derive()])


@pytest.mark.parametrize("piece", PIECES, ids=lambda p: p.name)
def test_a_number_raised_by_one_is_noticed(piece):
    text = source([piece])
    assert verify(piece, load(text))
    for where, mutant in mutants(piece):
        try:
            alive = verify(piece, load(text.replace(piece.text, mutant)))
        except (ArithmeticError, ValueError, TypeError, IndexError):
            continue
        assert not alive, where


@pytest.mark.parametrize("named", additive.TABLES, ids=lambda n: n.name)
def test_what_a_table_misses_is_what_the_proof_of_its_plan_names(named):
    table = getattr(generated, named.name)
    proof = prove_weak(ALL[named.name.lower()], seeds=(1,))
    seen = {tree for tree in TREES if f"{tree} at h^3" in proof.violated}
    assert proof.order == 2
    assert seen == {t for t, left in zip(TREES, additive.one_order_up(entries(table)), strict=True) if left != 0}


@pytest.mark.parametrize("share", [F(5, 3), pytest.param(F(-2, 7), marks=pytest.mark.full)])
def test_every_member_of_the_family_has_weak_order_two(share):
    proof = prove_weak(sampler(Additive(*generated.additive_2(share))), seeds=(1,))
    assert (proof.order, proof.cold) == (2, 2)


@settings(max_examples=40, deadline=None)
@given(rationals)
def test_members_solve_the_conditions_exactly(share):
    assert not any(additive.conditions(generated.additive_2(share)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.data(), rationals.filter(bool))
def test_no_number_may_move(name, data, move):
    table = getattr(generated, name)
    rows = [list(row) for row in (*table.matrix, table.weights, table.path)]
    i = data.draw(st.sampled_from([i for i, row in enumerate(rows) if row]))
    j = data.draw(st.integers(0, len(rows[i]) - 1))
    rows[i][j] += move
    *matrix, weights, path = map(tuple, rows)
    moved = (table.nodes, tuple(matrix), weights, path, table.area)
    named = next(n for n in additive.TABLES if n.name == name)
    assert any(additive.conditions(moved, named.strong)) or any(named.pinned(moved))


# --- strong order, on a linear equation whose solution is jointly normal with the draws ---


def mean_square(table, length, decay=2):
    """``E (Y_1 - Y(L))^2`` of one step on ``dY = -decay Y drho + dB``, ``Y(0) = 0``."""
    path, area = mpf(1), mpf(0)  # of W and H in the step
    seen = []
    for row, p, q in zip(table.matrix, table.path, table.area, strict=True):
        own = [number(p), number(q)]
        for a, (w, h) in zip(row, seen, strict=True):
            own = [own[0] - decay * length * number(a) * w, own[1] - decay * length * number(a) * h]
        seen.append(own)
    for b, (w, h) in zip(table.weights, seen, strict=True):
        path, area = path - decay * length * number(b) * w, area - decay * length * number(b) * h
    shrunk = decay * length
    first = -mp.expm1(-shrunk) / decay  # of the solution with W
    # and with H = (1/L) int B - W / 2
    ramp = (1 - (1 + shrunk) * mp.exp(-shrunk)) / (decay * shrunk)
    second = ramp - first / 2
    solution = -mp.expm1(-2 * shrunk) / (2 * decay)
    return solution - 2 * (path * first + area * second) + path**2 * length + area**2 * length / 12


def number(x):
    return mpf(x.numerator) / x.denominator


@pytest.mark.parametrize(("name", "power"), [("PLATEN", 3), ("SRA1", 5), ("SHARK", 5), ("SRA3", 5)])
def test_the_mean_square_of_a_step_falls_as_strong_order_says(name, power):
    """Of order 1.5 it is ``O(L^5)``, mean errors aside; without the area ``O(L^3)``."""
    with mp.workdps(60):
        steps = [mpf(2) ** -k for k in (8, 9, 10)]
        errors = [mean_square(getattr(generated, name), length) for length in steps]
        slopes = [mp.log(a / b, 2) for a, b in pairwise(errors)]
    assert all(abs(slope - power) < 0.02 for slope in slopes)
    assert abs(slopes[1] - power) < abs(slopes[0] - power)


def test_of_all_shifts_shark_has_the_largest_first_weight():
    first = [generated.additive_2(F(k, 20))[2][0] for k in range(-40, 81)]
    assert max(first) == generated.SHARK.weights[0] and first.count(max(first)) == 1


def test_a_table_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="got 1 and 2"):
        Additive((0, 1), ((), (1,)), (F(1, 2), F(1, 2)), (0,), (0, 0))
    with pytest.raises(ValueError, match="2 weights"):
        Additive((0, 1), ((), ()), (F(1, 2), F(1, 2)), (0, 1), (0, 0))
