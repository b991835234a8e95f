"""Runge-Kutta tables of others against theory's, planted slips against their cure, stability against the samplers."""

from __future__ import annotations

import math
from fractions import Fraction as F
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import DOP853

from diffnum import rooted_trees
from diffnum.exponential_trees import fewest_conditions
from diffnum.read.stability import Ratio, real_interval
from diffnum.solvers import ALL, generated
from diffnum.tables import RungeKutta, audit
from diffnum.tables.conditions import autonomous, clocked, plain, weights
from diffnum.tables.runge_kutta import order
from diffnum.tables.stability import stability
from theory.runge_kutta_tables import EMBEDDED, TABLES

NAMED = {t.name: t.order for t in (*TABLES, *EMBEDDED)}
nodes = st.fractions(min_value=-2, max_value=2, max_denominator=12)


def record(table, **more):
    return RungeKutta(table.matrix, table.weights, table.nodes, **more)


def pair(**more):
    """Dormand and Prince's seven stages with both weights."""
    table, other = generated.DORMAND_PRINCE5, generated.DORMAND_PRINCE5_EMBEDDED
    return RungeKutta(other.matrix, (*table.weights, 0), other.nodes, other.weights, order=5, embedded_order=4, **more)


def floats(table):
    """As a programmer has it."""
    sides = [[[float(x) for x in row] for row in table.A], *([float(x) for x in v] for v in (table.b, table.c))]
    extra = None if table.embedded is None else [float(x) for x in table.embedded]
    return RungeKutta(*sides, extra, order=table.order, embedded_order=table.embedded_order)


def entries(table):
    """Names of all entries, with what there is and a table with another number in its place."""

    def changed(side, i, j=None):
        def put(x):
            parts = {s: getattr(table, s) for s in ("A", "b", "c", "embedded", "order", "embedded_order")}
            if side == "A":
                row = (*table.A[i][:j], x, *table.A[i][j + 1 :])
                parts["A"] = (*table.A[:i], row, *table.A[i + 1 :])
            else:
                values = parts[side]
                parts[side] = (*values[:i], x, *values[i + 1 :])
            return RungeKutta(**parts)

        return put

    for i in range(table.stages):
        yield f"c_{i + 1}", table.c[i], changed("c", i)
        yield f"b_{i + 1}", table.b[i], changed("b", i)
        for j in range(i):
            yield f"a_{i + 1}{j + 1}", table.A[i][j], changed("A", i, j)
        if table.embedded is not None:
            yield f"embedded b_{i + 1}", table.embedded[i], changed("embedded", i)


# --- order ---


@pytest.mark.parametrize("name", NAMED)
def test_a_table_of_theory_has_its_order_and_its_name(name):
    said = audit(record(getattr(generated, name)), NAMED[name])
    assert (said.verdict, said.order, said.slips) == ("holds", NAMED[name], ())
    assert name in {known.name for known in said.known if known.distance == 0}


@pytest.mark.parametrize("name", ["RK4", "DORMAND_PRINCE5", "RADAU_IIA2"])
def test_trees_with_leaves_of_one_kind_give_the_residuals_of_rooted_trees(name):
    table = getattr(generated, name)
    table = RungeKutta(table[1], table[2], table[0]) if isinstance(table, tuple) else record(table)
    expected = sorted(
        rooted_trees.elementary_weight(t, table.A, table.b) for n in range(1, 6) for t in rooted_trees.rooted_trees(n)
    )
    weight = weights(table.A, table.b, table.c)
    for trees in (plain, autonomous):
        assert sorted(weight(t) for n in range(1, 6) for t in trees(n)) == expected


def test_there_are_as_many_trees_with_clocks_as_trees_whose_leaves_have_a_kind():
    counts = [len(clocked(n)) for n in range(1, 7)]
    assert counts == [fewest_conditions(n) for n in range(1, 7)]
    assert [len(plain(n)) for n in range(1, 7)] == [len(rooted_trees.rooted_trees(n)) for n in range(1, 7)]


def slope(table, f, exact, n=20):
    """Of the error at 1 of ``y' = f(t, y)`` from 0."""
    A, b, c = np.array(table.A, float), np.array(table.b, float), np.array(table.c, float)
    errors = []
    for steps in (n, 2 * n):
        h, y = 1 / steps, exact(0.0)
        for k in range(steps):
            slopes = np.zeros(len(b))
            for i in range(len(b)):
                slopes[i] = f((k + c[i]) * h, y + h * A[i] @ slopes)
            y = y + h * b @ slopes
        errors.append(abs(y - exact(1.0)))
    return math.log2(errors[0] / errors[1])


def test_a_wrong_node_is_seen_by_an_equation_with_a_clock_alone():
    fehlberg = generated.FEHLBERG5
    wrong = RungeKutta(fehlberg.matrix, fehlberg.weights, (*fehlberg.nodes[:5], F(3, 5)), order=5)
    found = order(wrong)[0], order(wrong, of="autonomous")[0]
    assert found == (1, 5)
    said = audit(wrong)
    assert "order 5 for y' = f(y)" in said.finding("order").said and said.finding("row sums").where == ("row 6",)
    assert [(s.where, s.proposed, s.order) for s in said.slips] == [("c_6", "1/2", 5)]
    # a clock of its own, and the same solution without one
    assert slope(wrong, lambda t, y: y * math.cos(t), lambda t: math.exp(math.sin(t)), 40) == pytest.approx(1, abs=0.1)
    assert slope(wrong, lambda t, y: y * (1 - y), lambda t: 1 / (1 + math.exp(-t)), 8) == pytest.approx(5, abs=0.2)


def test_order_of_a_table_without_nodes_is_that_with_its_row_sums():
    table = generated.KUNTZMANN4
    said = audit(RungeKutta(table.matrix, table.weights), 4)
    assert said.verdict == "holds" and said.finding("row sums").verdict == "note"
    wrong = [list(row) for row in table.matrix]
    wrong[2][0] += F(1, 9)
    (slip,) = audit(RungeKutta(wrong, table.weights), 4).slips
    assert (slip.where, slip.proposed) == ("a_31", str(table.matrix[2][0]))


@settings(max_examples=40)
@given(nodes, nodes)
def test_members_of_families_have_their_order_and_are_known_by_their_parameters(c2, c3):
    for name, values, p in (("explicit_2", (c2,), 2), ("explicit_3", (c2, c3), 3), ("explicit_4", (c2, c3), 4)):
        try:
            c, A, b = getattr(generated, name)(*values)
        except ZeroDivisionError:
            continue
        if 0 in (*b, c2, c3) or len(set(c)) < len(c):
            continue
        said = audit(RungeKutta(A, b, c), p)
        assert said.order == p and said.verdict == "holds"
        assert any(known.name.startswith(f"{name}(") for known in said.known)


# --- slips ---

# a sign, a digit, a decimal point, a fraction upside down
WRONG = (lambda x: -x, lambda x: x + F(1, 7), lambda x: 10 * x, lambda x: 1 / x if x else F(1))


def test_every_slip_of_every_kind_in_the_classical_method_is_found_with_its_cure():
    for name, there, put in entries(record(generated.RK4, order=4)):
        for wrong in WRONG:
            bad = wrong(F(str(there)))
            if bad != there:
                said = audit(put(bad))
                assert said.verdict == "fails", name
                assert [(slip.where, slip.proposed) for slip in said.slips] == [(name, str(there))], name


@pytest.mark.parametrize(
    "kind", [pytest.param(lambda table: table, marks=pytest.mark.full), floats], ids=["fractions", "floats"]
)
def test_a_slip_of_every_entry_of_dormand_and_prince_is_found_with_its_cure(kind):
    right = pair()
    for k, ((name, there, _), (_, _, put)) in enumerate(zip(entries(right), entries(kind(right)), strict=True)):
        tried = (wrong(F(str(there))) for wrong in (WRONG[k % 4], WRONG[1]))
        bad = next(x for x in tried if x != there)
        said = audit(put(bad if kind is not floats else float(bad)))
        assert said.verdict == "fails", name
        assert [(slip.where, slip.proposed) for slip in said.slips] == [(name, str(there))], name


def test_a_slip_is_found_though_nobody_says_what_order_there_should_be():
    right = record(generated.THREE_EIGHTHS)
    for name, value, put in entries(right):
        (slip,) = audit(put(value + F(1, 5))).slips
        assert (slip.where, slip.order) == (name, 4) and slip.value == value


def test_a_fraction_cut_to_four_digits_is_named():
    (slip,) = audit(RungeKutta([[], ["0.5"], [0, "0.5"], [0, 0, 1]], ["1/6", "0.3333", "1/3", "1/6"], order=4)).slips
    assert (slip.where, slip.given, slip.proposed) == ("b_2", "3333/10000", "1/3")


def test_the_last_node_of_dop853():
    A, b, c = DOP853.A[:12, :12], DOP853.B, list(DOP853.C)
    assert c[11] == 1.0
    said = audit(RungeKutta(A, b, c, order=8))
    assert (said.order, said.verdict) == (8, "holds")
    c[11] = 0.1
    said = audit(RungeKutta(A, b, c, order=8))
    assert [(s.where, s.proposed, s.order) for s in said.slips] == [("c_12", "1", 8)]


def test_two_slips_in_two_rows_are_found_together():
    table = pair()
    A = [list(row) for row in table.A]
    A[4][3], A[5][0] = -A[4][3], -A[5][0]
    slips = audit(RungeKutta(A, table.b, table.c, order=5)).slips
    assert {(s.where, s.value, s.order) for s in slips} == {("a_54", F(-212, 729), 5), ("a_61", F(9017, 3168), 5)}


def test_a_claim_beyond_the_trees_that_are_looked_at_is_not_said_to_fail():
    gauss = np.polynomial.legendre.leggauss(6)[0] / 2 + 0.5
    powers = np.arange(1, 7)
    # collocation: sum_j a_ij c_j^(k-1) = c_i^k / k
    below = gauss[:, None] ** (powers - 1)
    A = np.linalg.solve(below.T, (gauss[:, None] ** powers / powers).T).T
    b = np.linalg.solve(below.T, 1 / powers)
    said = audit(RungeKutta(A, b, gauss, order=12))
    assert said.order == 10 and said.finding("order").verdict == "note"


def test_a_method_of_its_order_is_not_made_better():
    for table in (generated.SSP43, generated.HEUN2, generated.OPEN4, generated.BOOLE5):
        assert audit(record(table)).slips == ()


# --- embedded ---


def test_a_pair_has_both_orders_and_an_estimate():
    said = audit(pair())
    assert said.verdict == "holds" and said.finding("embedded").said.startswith("order 4")
    assert "degenerate" not in said.finding("embedded").said


def test_degenerate_pairs_are_named():
    table = record(generated.RK4, embedded=generated.RK4.weights)
    assert audit(table).finding("embedded").verdict == "fails"
    # the two stages at 1/2 are one for y' = f(t)
    blind = audit(record(generated.RK4, embedded=(F(1, 6), F(2, 3), 0, F(1, 6)))).finding("embedded")
    assert "on y' = f(t) the estimate is zero" in blind.said


# --- stability ---


@pytest.mark.parametrize(
    "name, sampler",
    [("EULER", "euler"), ("HEUN2", "heun"), ("MIDPOINT", "midpoint"), ("RK4", "rk4"), ("SSP43", "ssp43")],
)
def test_the_real_interval_is_that_of_the_sampler(name, sampler):
    mine = stability(record(getattr(generated, name))).real
    assert mine == pytest.approx(real_interval(ALL[sampler], Ratio()), rel=1e-9)


@settings(max_examples=30)
@given(st.integers(1, 4), st.data())
def test_the_stability_function_is_a_step_of_the_linear_equation(stages, data):
    numbers = st.fractions(min_value=-1, max_value=1, max_denominator=6)
    draw = lambda n: data.draw(st.lists(numbers, min_size=n, max_size=n))  # noqa: E731
    A, b = [draw(stages) for _ in range(stages)], draw(stages)
    found = stability(RungeKutta(A, b))
    z = 0.3 + 0.4j
    matrix, weight = np.array(A, float), np.array(b, float)
    if abs(np.linalg.det(np.eye(stages) - z * matrix)) < 1e-6:
        return
    step = 1 + z * weight @ np.linalg.solve(np.eye(stages) - z * matrix, np.ones(stages))
    top, below = (sum(float(x) * z**k for k, x in enumerate(side)) for side in (found.numerator, found.denominator))
    assert top / below == pytest.approx(step, rel=1e-9)


@pytest.mark.parametrize("name, a, l", [("IMPLICIT_MIDPOINT", True, False), ("TRAPEZOID", True, False),
                                        ("RADAU_IIA2", True, True), ("LOBATTO_IIIA3", True, False)])  # fmt: skip
def test_collocation_is_a_stable_and_radau_l_stable(name, a, l):  # noqa: E741
    c, A, b = getattr(generated, name)
    found = stability(RungeKutta(A, b, c))
    assert (found.a_stable, found.l_stable, found.real) == (a, l, math.inf)
    assert audit(RungeKutta(A, b, c)).verdict == "holds"


def test_gauss_is_of_order_four_with_roots_and_with_floats():
    root = [["1/4", "1/4 - sqrt(3)/6"], ["1/4 + sqrt(3)/6", "1/4"]], ["1/2", "1/2"], ["1/2-sqrt(3)/6", "1/2+sqrt(3)/6"]
    r = 3**0.5 / 6
    plain_ = [[0.25, 0.25 - r], [0.25 + r, 0.25]], [0.5, 0.5], [0.5 - r, 0.5 + r]
    for parts in (root, plain_):
        said = audit(RungeKutta(*parts), 4)
        assert (said.order, said.verdict) == (4, "holds") and "A-stable" in said.finding("stability").said
        assert "gauss_2" in {known.name for known in said.known}
    wrong = [[0.25, 0.25 - r], [0.25 + 2 * r, 0.25]], *plain_[1:]
    (slip,) = audit(RungeKutta(*wrong), 4).slips
    assert slip.where == "a_21" and float(slip.proposed) == pytest.approx(0.25 + r, abs=1e-15)


# --- known tables ---


@settings(max_examples=25)
@given(st.sampled_from(["KUTTA3", "RK4", "RALSTON3"]), st.randoms(use_true_random=False))
def test_a_table_is_known_in_any_order_and_with_stages_that_nothing_reads(name, rng):
    table = record(getattr(generated, name))
    s = table.stages
    order_ = rng.choice(list(permutations(range(s))))
    A = [[table.A[i][j] for j in order_] + [0] for i in order_]
    A.append([F(rng.randint(1, 9), 7) for _ in range(s)] + [0])
    c = [table.c[i] for i in order_] + [sum(A[-1])]
    moved = RungeKutta(A, [table.b[i] for i in order_] + [0], c)
    found = {known.name: known for known in audit(moved).known}
    assert found[name].distance == 0 and not found[name].differs
    assert "without 1 unused stage" in found[name].how


def test_the_nearest_table_says_which_entry_differs():
    table = pair()
    b = (*table.b[:2], F(5, 11), *table.b[3:])
    (near,) = audit(RungeKutta(table.A, b, table.c)).known
    assert near.name == "DORMAND_PRINCE5" and near.differs == ("b_3 = 5/11 here, 500/1113 there",)
    assert near.distance == pytest.approx(5 / 11 - 500 / 1113)
