"""Exponential methods against print, against Taylor series of systems with a matrix, and against sums written out."""

import random
from fractions import Fraction as F

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum.exponential_numbers import ExpSum, point
from diffnum.exponential_trees import (
    bicoloured_trees,
    classical_order,
    classical_residuals,
    fewest_conditions,
    first_argument,
    psi,
    row_defects,
    show_bicoloured,
    stiff_latex,
    stiff_order,
    stiff_residual,
)
from diffnum.num import extended, phi
from diffnum.rooted_trees import rooted_trees
from diffnum.series import Series, h_series
from theory import exponential_rk
from theory.exponential_pieces import PIECES, generated, method, scheme
from theory.exponential_schemes import SCHEMES, Coefficients
from theory.generator import load, mutants, source, verify

H, T = F(1, 2), F(1, 3)
rationals = st.fractions(min_value=-3, max_value=3, max_denominator=40)


@pytest.fixture(scope="module")
def made():
    return generated()


def run(made, name, *values):
    s = scheme(name)
    return method(made, s, values or s.points[0])


# --- sums of exponentials ---

sums = st.lists(st.tuples(rationals, rationals), max_size=3).map(lambda terms: ExpSum.of(dict(terms)))


@given(sums, sums, sums)
def test_sums_of_exponentials_are_a_ring(a, b, c):
    assert a + b == b + a and a * b == b * a
    assert (a + b) * c == a * c + b * c
    assert a - a == 0 and a * 1 == a and a**2 == a * a and 1 - a == -(a - 1)


@given(rationals, st.integers(0, 5))
def test_phi_of_a_rational_has_the_recurrence(z, k):
    factorial = phi(k, point(0))
    assert point(z) * phi(k + 1, point(z)) == phi(k, point(z)) - factorial


@given(rationals.filter(lambda z: abs(z) > F(1, 50)), st.integers(0, 5))
def test_phi_of_a_rational_is_phi_of_a_float(z, k):
    with mpmath.workdps(60):
        value = sum(mpmath.mpf(c.numerator) / c.denominator * mpmath.exp(mpmath.mpf(q.numerator) / q.denominator)
                    for q, c in phi(k, point(z)).terms)  # fmt: skip
    assert float(value) == pytest.approx(phi(k, float(z)), rel=1e-13)


def test_an_exponential_is_no_rational():
    with pytest.raises(ValueError, match="no rational"):
        1 / phi(0, point(1))
    with pytest.raises(ValueError, match="no rational"):
        phi(1, phi(0, point(1)))
    assert 1 / point(2) == H and hash(point(2)) == hash(point(2)) and point(1) != phi(0, point(1))


# --- conditions ---


def test_as_many_conditions_as_were_published():
    assert [len(bicoloured_trees(n)) for n in range(1, 6)] == [2, 4, 11, 34, 117]
    assert [fewest_conditions(n) for n in range(1, 6)] == [1, 2, 5, 13, 37]
    # 16 up to order five (Luan & Ostermann 2014), 36 up to order six (Luan & Alhsmy 2023), without psi_1
    assert [sum(len(rooted_trees(n)) for n in range(2, p + 1)) for p in (5, 6)] == [16, 36]


def test_names_of_the_nine_conditions():
    named = [stiff_latex(tree) for n in range(2, 5) for tree in rooted_trees(n)]
    assert named == [
        r"\psi_{2}(z) = 0",
        r"\psi_{3}(z) = 0",
        r"\sum b_i(z) J \psi_{2,i} = 0",
        r"\psi_{4}(z) = 0",
        r"\sum b_i(z) c_i J \psi_{2,i} = 0",
        r"\sum b_i(z) J \psi_{3,i} = 0",
        r"\sum b_i(z) J a_{ij} J \psi_{2,j} = 0",
    ]
    assert stiff_latex(((), ((), ())), weak=True) == r"\sum b_i(0) c_i J \psi_{3,i} = 0"
    assert show_bicoloured((0, (1, (1,)), (0,))) == "N''(L Lu, N)"


def test_stiff_conditions_are_the_sums_that_their_names_say(made):
    f, z = run(made, "etd4rk"), first_argument()
    c, a, b = f(z)
    two = [psi(2, row, x, c, phi(2, x * z)) for row, x in zip(a, c, strict=True)]
    three = [psi(3, row, x, c, phi(3, x * z)) for row, x in zip(a, c, strict=True)]
    inner = [sum((p * q for p, q in zip(row, two, strict=False)), point(0)) for row in a]
    squares = [x * x for x in two]
    explicit = {
        ((), ((),)): sum(w * (x * y) for w, x, y in zip(b, c, two, strict=True)),
        (((), ()),): sum(w * y for w, y in zip(b, three, strict=True)),
        ((((),),),): sum(w * y for w, y in zip(b, inner, strict=True)),
        (((),), ((),)): sum(w * y for w, y in zip(b, squares, strict=True)),
    }
    for tree, value in explicit.items():
        assert stiff_residual(tree, f, scalar=True) == value != 0
        assert stiff_residual(tree, f) != value


def test_a_method_that_cancels_for_numbers_only_is_of_higher_order_for_numbers():
    # b_2 and b_3 in a ratio of functions, so that b_2(z) psi_{2,2}(w) + b_3(z) psi_{2,3}(w) vanishes for z = w
    def f(z):
        p, q = phi(2, z * H) / 4, phi(2, z) - phi(1, z * H) * H
        rest = 2 * H * p
        return (0, H, 1), ((), (phi(1, z * H) / 2,), (phi(1, z) - phi(1, z * H), phi(1, z * H))), (1 + rest, q, -p)

    tree = (((),),)
    assert stiff_residual(tree, f, scalar=True) == 0 != stiff_residual(tree, f)


# --- orders against systems ---


def matrix_power(matrix, power, vector):
    for _ in range(power):
        vector = [sum((row[j] * vector[j] for j in range(len(vector))), 0 * vector[0]) for row in matrix]
    return vector


def exact_and_computed(f, order, seed):
    """Both solutions of ``u' = L u + N(u)`` with a random matrix and random quadratic polynomials, as series in h."""
    rng = random.Random(seed)
    size, terms = 2, order + 2

    def number():
        return F(rng.randint(-5, 5), rng.randint(1, 4))

    matrix = [[number() for _ in range(size)] for _ in range(size)]
    quadratic = [[[number() for _ in range(size)] for _ in range(size)] for _ in range(size)]
    offset = [number() for _ in range(size)]
    start = [Series(0, (number(), *[F(0)] * (terms - 1))) for _ in range(size)]
    h, places = h_series(terms), range(size)

    def N(u):
        return [sum(q[j][k] * (u[j] * u[k]) for j in places for k in places) + o
                for q, o in zip(quadratic, offset, strict=True)]  # fmt: skip

    exact = start
    for _ in range(terms):
        slope = [a + b for a, b in zip(matrix_power(matrix, 1, exact), N(exact), strict=True)]
        exact = [
            Series(0, (x[0], *(s[i] / (i + 1) for i in range(terms - 1)))) for x, s in zip(start, slope, strict=True)
        ]

    def of_operator(coefficient, vector):
        series = coefficient if isinstance(coefficient, Series) else Series(0, (F(coefficient), *[F(0)] * (terms - 1)))
        total = [0 * x for x in vector]
        for k in range(min(terms, series.end)):
            moved = matrix_power(matrix, k, vector)
            total = [t + (series[k] * h**k if k else series[0]) * m for t, m in zip(total, moved, strict=True)]
        return total

    z = h_series(terms + 1)
    nodes, rows, weights = f(z)
    seen = []
    for c, row in zip((*nodes, 1), (*rows, weights), strict=True):
        u = of_operator((z * c).exp(), start)
        for a, value in zip(row, seen, strict=False):
            u = [x + h * y for x, y in zip(u, of_operator(a, value), strict=True)]
        seen.append(N(u))
    return exact, u


@pytest.mark.parametrize("s", SCHEMES, ids=lambda s: s.name)
def test_the_classical_order_is_the_order_on_a_system(made, s):
    exact, computed = exact_and_computed(method(made, s, s.points[0]), s.order, seed=3)
    error = [a - b for a, b in zip(exact, computed, strict=True)]
    assert min(e.valuation for e in error) == s.order + 1


@pytest.mark.parametrize("s", SCHEMES, ids=lambda s: s.name)
def test_orders_are_those_claimed_and_no_more(made, s):
    for values in s.points:
        f = method(made, s, values)
        assert classical_order(f, s.order + 1)[0] == s.order
        assert stiff_order(f, s.stiff + 1).order == s.stiff


def test_orders_that_are_not_reached_are_not_proved(made):
    with pytest.raises(ArithmeticError, match="ask for more"):
        classical_order(run(made, "etd4rk"), highest=4)
    with pytest.raises(ArithmeticError, match="ask for more"):
        stiff_order(run(made, "krogstad_4"), highest=2)
    assert any(d != 0 for d in row_defects(run(made, "lawson_4")))
    assert any(r != 0 for r in classical_residuals(run(made, "dpm_3s", H, F(1)), 3).values())


# --- as printed ---


def simpson(z):
    p1, p2, p3 = (phi(k, z) for k in (1, 2, 3))
    return p1 - 3 * p2 + 4 * p3, 4 * p2 - 8 * p3, -p2 + 4 * p3


def four(z, *rows):
    """Nodes and rows, the first column by row sums; the second half step is exponential Euler."""
    nodes = (0, H, H, 1, *((H,) if len(rows) == 3 else ()))
    full = [()] + [
        (phi(1, z * c) * c - sum(row, point(0)), *row) for c, row in zip(nodes[1:], ((), *rows), strict=True)
    ]
    return nodes, tuple(full)


def printed(z):
    """The methods as the package EXPINT (Berland, Skaflestad & Wright 2007) has them."""
    q1, q2, q3 = (phi(k, z * H) for k in (1, 2, 3))
    p1, p2, p3 = (phi(k, z) for k in (1, 2, 3))
    first, middle, last = simpson(z)
    a52 = q2 / 2 - p3 + p2 / 4 - q3 / 2
    return {
        "etd4rk": (*four(z, (q1 / 2,), (0, q1)), (first, middle / 2, middle / 2, last)),
        "krogstad_4": (*four(z, (q2,), (0, 2 * p2)), (first, middle / 2, middle / 2, last)),
        "strehmel_weiner_4": (*four(z, (q2 / 2,), (-2 * p2, 4 * p2)), (first, 0, middle, last)),
        "friedli_4": (
            *four(z, (q2 / 2,), (p1 * F(-26, 25) + p2 * F(2, 25), p1 * F(26, 25) + p2 * F(48, 25))),
            (first, 0, middle, last),
        ),
        "cfree_4": (*four(z, (q1 / 2,), (0, q1)), (p1 / 2 - q1 / 3, p1 / 3, p1 / 3, q1 / 3 - p1 / 6)),
        "hochbruck_ostermann_5": (*four(z, (q2,), (p2, p2), (a52, a52, q2 / 4 - a52)), (first, 0, 0, last, middle)),
        "etd3rk": ((0, H, 1), ((), (q1 / 2,), (-p1, 2 * p1)), (first, middle, last)),
        "lawson_4": (
            (0, H, H, 1),
            ((), (phi(0, z * H) / 2,), (0, H), (0, 0, phi(0, z * H))),
            (phi(0, z) / 6, phi(0, z * H) / 3, phi(0, z * H) / 3, F(1, 6)),
        ),
    }


def test_methods_are_those_printed(made):
    z = first_argument()
    for name, table in printed(z).items():
        assert getattr(made, name)(z) == table, name


def test_the_eight_stages_are_those_printed(made):
    """Luan & Ostermann 2014 with ``psi_k = c^k phi_k(c z)``, as the package Chebfun has them."""
    z = first_argument()
    c = (0, H, H, H / 2, H, F(1, 5), 2 * T, 1)
    nodes, a, b = made.luan_ostermann_8(z)

    def at(k, i):
        return phi(k, z * c[i - 1]) * c[i - 1] ** k

    p2, p3, p4 = (phi(k, z) for k in (2, 3, 4))
    a64 = 8 * at(2, 6) - 32 * at(3, 6)
    big = (a64 * F(5, 32) - at(2, 6) * F(25, 28) + at(2, 7) * F(81, 175) - at(3, 7) * F(162, 25)
           + at(4, 6) * F(150, 7) + at(4, 7) * F(972, 35) + 6 * p4)  # fmt: skip
    expected = {
        (3, 2): 2 * at(2, 2), (4, 3): 2 * at(2, 4), (5, 3): -2 * at(2, 2) + 16 * at(3, 2),
        (5, 4): 8 * at(2, 2) - 32 * at(3, 2), (6, 4): a64, (6, 5): -2 * at(2, 6) + 16 * at(3, 6),
        (7, 4): a64 * F(-125, 162), (7, 5): a64 * F(125, 1944) - at(2, 7) * F(4, 3) + at(3, 7) * F(40, 3),
        (7, 6): a64 * F(3125, 3888) + at(2, 7) * F(25, 3) - at(3, 7) * F(100, 3),
        (8, 5): p2 * F(-16, 3) + p3 * F(208, 3) - 40 * big,
        (8, 6): p2 * F(250, 21) - p3 * F(250, 3) + big * F(250, 7),
        (8, 7): p2 * F(27, 14) - 27 * p3 + big * F(135, 7),
    }  # fmt: skip
    assert nodes == c
    for i in range(3, 9):
        for j in range(2, i):
            assert a[i - 1][j - 1] == expected.get((i, j), 0), (i, j)
    assert b[5] == p2 * F(125, 14) - p3 * F(625, 14) + p4 * F(1125, 14)
    assert b[6] == p2 * F(-27, 14) + p3 * F(162, 7) - p4 * F(405, 7)
    assert b[7] == p2 / 2 - p3 * F(13, 2) + p4 * F(45, 2)
    assert b[1:5] == (0, 0, 0, 0)


@given(rationals.filter(bool), rationals.filter(bool))
def test_dpm_solver_3_is_the_arithmetic_of_its_authors(made, r1, r2):
    z = first_argument()  # noise prediction: z = h
    phi_22 = (phi(0, z * r2) - 1) / (z * r2) - 1
    _, a, b = made.dpm_3s(z, r1, r2)
    inner = (phi(0, z * r2) - 1) * (1 / z.rational), phi_22 * (r2 / r1 / z.rational)
    assert (a[2][0], a[2][1]) == (inner[0] - inner[1], inner[1])
    last = ((phi(0, z) - 1) / z - 1) * (1 / (r2 * z.rational))
    assert b == ((phi(0, z) - 1) / z - last, 0, last)


# --- pieces ---


@pytest.mark.parametrize("make", PIECES, ids=lambda make: make().name)
def test_the_generated_text_satisfies_its_equations(made, make):
    assert verify(make(), made)


@pytest.mark.parametrize("s", SCHEMES, ids=lambda s: s.name)
def test_as_many_equations_as_coefficients(made, s):
    z = first_argument()
    table = method(made, s, s.points[0])(z)
    stages = len(s.nodes)
    found = Coefficients(*table, phi=lambda k, c: phi(k, z * F(c)))
    assert len(s.equations(found)) == stages * (stages + 1) // 2


@pytest.mark.parametrize("s", SCHEMES, ids=lambda s: s.name)
@settings(max_examples=10, deadline=None)
@given(z=st.floats(-4, 4))
def test_floats_and_tensors_agree_with_sixty_digits(made, s, z):
    f = getattr(made, s.name)
    values = [float(v) for v in s.points[0]]
    with mpmath.workdps(60):
        exact = f(mpmath.mpf(z), *(mpmath.mpf(v) for v in values))
    leaf = torch.tensor(z, dtype=torch.float64)
    for found, tolerance in ((extended(f, z, *values), 1e-15), (f(leaf, *values), 1e-11)):
        for row, other in zip((*found[1], found[2]), (*exact[1], exact[2]), strict=True):
            for a, b in zip(row, other, strict=True):
                assert abs(float(a) - float(b)) <= tolerance * (1 + abs(float(b)))


@pytest.mark.full
def test_a_number_raised_by_one_is_noticed(made):
    pieces = [make() for make in PIECES]
    text = source(pieces)
    for piece in pieces:
        for place, changed in mutants(piece):
            try:
                noticed = not verify(piece, load(text.replace(piece.text, changed)))
            except (ValueError, ZeroDivisionError):
                noticed = True
            assert noticed, place


@pytest.mark.full
@pytest.mark.parametrize("derive", exponential_rk.CHAPTER, ids=lambda d: d.__name__)
def test_the_chapter_holds(derive):
    assert derive().holds
