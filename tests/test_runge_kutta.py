"""Runge-Kutta tables against trees, trees against Taylor series that know no trees, tables against another library."""

import math
import random
from fractions import Fraction as F

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum.series import Series, h_series
from theory import runge_kutta
from theory.generator import load, mutants, source, verify
from theory.runge_kutta_families import FAMILIES, exact_table, member, quadrature, solve
from theory.runge_kutta_fifth import fifth
from theory.runge_kutta_tables import EMBEDDED, TABLES
from theory.trees import (
    condition,
    density,
    elementary_weight,
    latex,
    order,
    order_of,
    residuals,
    rooted_trees,
    row_sums,
    symmetry,
)

NAMED = (*TABLES, *EMBEDDED)
rationals = st.fractions(min_value=-3, max_value=3, max_denominator=40)


@pytest.fixture(scope="module")
def tables():
    return runge_kutta.generated()


# --- trees ---


def test_as_many_trees_as_cayley_counted():
    assert [len(rooted_trees(n)) for n in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]
    assert sum(len(rooted_trees(n)) for n in range(1, 7)) == 37
    for n in range(1, 8):
        trees = rooted_trees(n)
        assert len(set(trees)) == len(trees) and all(order(t) == n for t in trees)


def test_growing_labellings_add_up_to_permutations():
    for n in range(1, 8):
        assert sum(F(math.factorial(n), density(t) * symmetry(t)) for t in rooted_trees(n)) == math.factorial(n - 1)


def test_names_and_conditions_of_the_trees_of_order_four():
    assert [latex(t) for t in rooted_trees(4)] == [
        r"[\tau^3]", r"[\tau, [\tau]]", r"[[\tau^2]]", r"[[[\tau]]]",
    ]  # fmt: skip
    assert condition(()) == r"\sum b_i = 1"
    assert [condition(t) for t in rooted_trees(4)] == [
        r"\sum b_i c_i^3 = \tfrac{1}{4}",
        r"\sum b_i c_i a_{ij} c_j = \tfrac{1}{8}",
        r"\sum b_i a_{ij} c_j^2 = \tfrac{1}{12}",
        r"\sum b_i a_{ij} a_{jk} c_k = \tfrac{1}{24}",
    ]


@given(st.lists(rationals, min_size=10, max_size=10))
def test_weights_are_the_sums_that_their_names_say(numbers):
    a = ((), (numbers[0],), tuple(numbers[1:3]), tuple(numbers[3:6]))
    b, c = numbers[6:], [sum(row) for row in a]
    moved = [sum(x * y for x, y in zip(row, c, strict=False)) for row in a]
    twice = [sum(x * y for x, y in zip(row, moved, strict=False)) for row in a]
    explicit = [[y**3 for y in c], [x * y for x, y in zip(c, moved, strict=True)],
                [sum(x * y**2 for x, y in zip(row, c, strict=False)) for row in a], twice]  # fmt: skip
    for tree, values in zip(rooted_trees(4), explicit, strict=True):
        assert elementary_weight(tree, a, b) == sum(x * y for x, y in zip(b, values, strict=True))


# --- against Taylor's theorem ---


def field_of(seed):
    """A random vector field of three quadratic polynomials."""
    rng = random.Random(seed)

    def number():
        return F(rng.randint(-5, 5), rng.randint(1, 4))

    quadratic = [[[number() for _ in range(3)] for _ in range(3)] for _ in range(3)]
    linear = [[number() for _ in range(3)] for _ in range(3)]

    def f(u):
        return [
            sum(q[j][k] * (u[j] * u[k]) for j in range(3) for k in range(3)) + sum(row[j] * u[j] for j in range(3))
            for q, row in zip(quadratic, linear, strict=True)
        ]

    return f, [number() for _ in range(3)]


def constant(value, terms):
    return Series(0, (value,) + (F(0),) * (terms - 1))


def flow(f, start, terms):
    """The solution by Picard's iteration."""
    u = [constant(x, terms) for x in start]
    for _ in range(terms):
        slope = f(u)
        u = [Series(0, (x, *(s[i] / (i + 1) for i in range(terms - 1)))) for x, s in zip(start, slope, strict=True)]
    return u


def step(f, start, table, terms):
    h, u, slopes = h_series(terms), [constant(x, terms) for x in start], []

    def moved(row):
        return [x + sum((h * s[i] * F(a) for a, s in zip(row, slopes, strict=False)), constant(F(0), terms))
                for i, x in enumerate(u)]  # fmt: skip

    for row in table.matrix:
        slopes.append(f(moved(row)))
    return moved(table.weights)


@pytest.mark.parametrize("named", NAMED, ids=lambda n: n.name)
def test_the_order_on_trees_is_the_order_on_a_system(tables, named):
    table = getattr(tables, named.name)
    f, start = field_of(7)
    terms = named.order + 2
    error = [a - b for a, b in zip(step(f, start, table, terms), flow(f, start, terms), strict=True)]
    assert min(e.valuation for e in error) == named.order + 1 == order_of(table)[0] + 1


# --- tables ---


def test_tables_are_those_of_scipy(tables):
    from scipy.integrate._ivp.rk import RK23, RK45

    pairs = [(RK23, tables.RALSTON3, tables.BOGACKI_SHAMPINE3_EMBEDDED),
             (RK45, tables.DORMAND_PRINCE5, tables.DORMAND_PRINCE5_EMBEDDED)]  # fmt: skip
    for theirs, ours, embedded in pairs:
        assert [float(c) for c in ours.nodes] == pytest.approx(list(theirs.C), rel=1e-15)
        assert [float(b) for b in ours.weights] == pytest.approx(list(theirs.B), rel=1e-15)
        for row, other in zip(ours.matrix, theirs.A, strict=True):
            assert [float(a) for a in row] == pytest.approx(list(other[: len(row)]), rel=1e-15)
        errors = [float(b - a) for a, b in zip((*ours.weights, 0), embedded.weights, strict=True)]
        assert errors == pytest.approx(list(theirs.E), rel=1e-12)


def test_fehlberg_as_printed(tables):
    t = tables.FEHLBERG5
    assert t.matrix[4] == (F(439, 216), -8, F(3680, 513), F(-845, 4104))
    assert t.matrix[5] == (F(-8, 27), 2, F(-3544, 2565), F(1859, 4104), F(-11, 40))
    assert t.weights == (F(16, 135), 0, F(6656, 12825), F(28561, 56430), F(-9, 50), F(2, 55))
    assert tables.FEHLBERG5_EMBEDDED.weights == (F(25, 216), 0, F(1408, 2565), F(2197, 4104), F(-1, 5), 0)


def test_steps_that_may_not_end_on_their_end_have_tables_of_orders_one_to_four(tables):
    inside = {n.order for n in TABLES if max(getattr(tables, n.name).nodes) < 1}
    assert inside == {1, 2, 3, 4}


@pytest.mark.parametrize("f", FAMILIES, ids=lambda f: f.name)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_member_of_a_family_has_its_order(tables, f, data):
    values = [data.draw(rationals) for _ in f.arguments]
    try:
        table = exact_table(getattr(tables, f.name)(*values))
    except ZeroDivisionError:
        return
    assert not any(row_sums(table)) and not any(residuals(table, f.order).values())
    assert order_of(table)[0] == f.order


@settings(max_examples=25, deadline=None)
@given(st.tuples(rationals, rationals, rationals))
def test_the_family_of_order_five_is_elimination_at_its_nodes(tables, nodes):
    try:
        printed = tables.explicit_5(*nodes)
    except ZeroDivisionError:
        return
    c3, c4, c5 = nodes
    assert printed == fifth(c3, c4, c5, F(1))


def test_a_member_of_order_five_has_that_order_on_a_system(tables):
    table = exact_table(tables.explicit_5(F(2, 7), F(3, 5), F(5, 6)))
    f, start = field_of(11)
    error = [a - b for a, b in zip(step(f, start, table, 7), flow(f, start, 7), strict=True)]
    assert min(e.valuation for e in error) == 6


@pytest.mark.parametrize("nodes", [(1, 2, 2, 5), (2, 3, 5, 5), (2, 3, 4, 2)])
def test_nodes_that_coincide_have_no_method_of_order_five(nodes):
    with pytest.raises(ArithmeticError, match="coincide"):
        fifth(*(F(n, 5) for n in nodes))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMED), st.data(), rationals.filter(bool))
def test_no_number_may_move(tables, named, data, move):
    table = getattr(tables, named.name)
    rows = [list(row) for row in (*table.matrix, table.weights)]
    i = data.draw(st.sampled_from([i for i, row in enumerate(rows) if row]))
    j = data.draw(st.integers(0, len(rows[i]) - 1))
    rows[i][j] += move
    moved = exact_table((table.nodes, tuple(map(tuple, rows[:-1])), tuple(rows[-1])))
    assert any(row_sums(moved)) or any(residuals(moved, named.order).values())


def test_a_table_whose_rows_are_not_its_nodes_has_no_order(tables):
    wrong = exact_table(((0, F(1, 3)), tables.MIDPOINT.matrix, tables.MIDPOINT.weights))
    with pytest.raises(ArithmeticError, match="row sums"):
        order_of(wrong)
    with pytest.raises(ArithmeticError, match="ask for more"):
        order_of(tables.RK4, highest=4)


def test_nodes_without_a_method_are_refused():
    with pytest.raises(ArithmeticError, match="solutions"):
        quadrature((sympy.Integer(0), sympy.Integer(0)), 2, {})
    x = sympy.Symbol("x")
    with pytest.raises(ArithmeticError, match="0 solutions"):
        solve([x - 1, x - 2], [x])
    assert not member("explicit_4", sympy.Rational(1, 2), sympy.Rational(1, 3))[1][2][1].is_finite


# --- pieces ---


@pytest.mark.parametrize("make", runge_kutta.PIECES, ids=lambda make: make().name)
def test_the_generated_text_satisfies_its_equations(tables, make):
    assert verify(make(), tables)


@pytest.mark.full
def test_a_number_raised_by_one_is_noticed():
    pieces = [make() for make in runge_kutta.PIECES]
    text = source(pieces)
    for piece in pieces:
        for place, changed in mutants(piece):
            try:
                noticed = not verify(piece, load(text.replace(piece.text, changed)))
            except (ValueError, ZeroDivisionError):
                noticed = True
            assert noticed, place


@pytest.mark.full
@pytest.mark.parametrize("derive", runge_kutta.CHAPTER, ids=lambda d: d.__name__)
def test_the_chapter_holds(derive):
    assert derive().holds
