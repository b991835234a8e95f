"""Explicit Runge-Kutta methods. Order conditions on rooted trees; every table and family, two-sided.

A table has order ``p``: all conditions up to ``p`` hold, and of those of order ``p + 1`` at least one fails, which is
named with its residual. Families are proved with symbols for their parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from sympy.polys.fields import field

from .generator import Piece, load, source
from .runge_kutta_families import FAMILIES, exact_table, family, member
from .runge_kutta_families import pieces as family_pieces
from .runge_kutta_tables import EMBEDDED, TABLES, stage_order_three
from .runge_kutta_tables import pieces as table_pieces
from .statement import Chapter, Statement, prove
from .trees import Tree, density, elementary_weight, latex, order_of, residuals, rooted_trees, row_sums, symmetry

__all__ = ["CHAPTER", "PIECES", "generated", "tall"]

PIECES: tuple[Callable[[], Piece], ...] = (*family_pieces(), *table_pieces())


@lru_cache
def generated() -> Any:
    """The module that the pieces of this chapter make."""
    return load(source([piece() for piece in PIECES]))


def rows_in_latex(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""An array; a name in code is set with ``\texttt``."""
    lines = [" & ".join(map(str, row)) for row in (head, *rows)]
    body = r" \\ ".join([lines[0] + r" \\ \hline " + lines[1], *lines[2:]])
    return rf"\begin{{array}}{{{'l' * len(head)}}} {body} \end{{array}}"


def code(name: str) -> str:
    """A name in LaTeX."""
    escaped = name.replace("_", r"\_")
    return rf"\texttt{{{escaped}}}"


def tall(vertices: int) -> Tree:
    """The tree without branching."""
    return (tall(vertices - 1),) if vertices > 1 else ()


def number_of_conditions() -> Statement:
    """The trees that the recursion finds, against Cayley's recurrence and against the labellings that grow."""
    counted = [1]
    for n in range(1, 6):
        terms = (
            sum(d * counted[d - 1] for d in range(1, k + 1) if k % d == 0) * counted[n - k] for k in range(1, n + 1)
        )
        counted.append(sum(terms) // n)
    labelled = [
        sum(Fraction(math.factorial(n), density(t) * symmetry(t)) for t in rooted_trees(n)) - math.factorial(n - 1)
        for n in range(1, 7)
    ]
    return prove(
        "As many order conditions as rooted trees",
        rf"{', '.join(map(str, counted))} \text{{ of orders }} 1, \dots, 6, \ {sum(counted)} \text{{ in all}}; \qquad "
        r"a_{n+1} = \frac{1}{n} \sum_{k=1}^n \Bigl(\sum_{d \mid k} d\, a_d\Bigr) a_{n-k+1}, \qquad "
        r"\sum_{|t| = n} \frac{n!}{\gamma(t)\, \sigma(t)} = (n - 1)!",
        [len(rooted_trees(n)) - a for n, a in enumerate(counted, 1)] + labelled,
        "theory.trees; Hairer, Norsett & Wanner 1993, II.2; Cayley 1857",
    )


def orders_of_tables() -> Statement:
    """Every named table: row sums, all conditions up to its order, and the first one that fails."""
    rows, found = [], []
    for named in (*TABLES, *EMBEDDED):
        table = getattr(generated(), named.name)
        order, failed = order_of(table, named.order + 1)
        tree, residual = next(iter(failed.items()))
        held = residuals(table, order)
        found += [order - named.order, *row_sums(table), *held.values()]
        left = rf"{latex(tree)}:\ {sympy.latex(sympy.sympify(residual))}"
        rows.append(
            (code(named.name), table.stages, order, len(held), left, sympy.latex(sympy.sympify(max(table.nodes))))
        )
    head = [rf"\text{{{t}}}" for t in ("table", "stages", "order", "conditions", "first that fails", "largest node")]
    return prove("Orders of the Runge-Kutta tables", rows_in_latex(head, rows), found, "diffnum.solvers.generated")


def _in_parameters(name: str) -> Any:
    """The table of a family in the field of rational functions of its parameters."""
    _, *parameters = field(family(name).arguments, sympy.QQ)
    return exact_table(getattr(generated(), name)(*parameters))


def _expressions(values: Iterable[Any]) -> list[Any]:
    return [value.as_expr() if hasattr(value, "as_expr") else value for value in values]


def orders_of_families() -> Statement:
    """Every family with symbols for its parameters, and the condition that fails for all of them."""
    rows, found = [], []
    for f in (f for f in FAMILIES if len(f.nodes) == f.order):
        table = _in_parameters(f.name)
        over = tall(f.order + 1)
        left = residuals(table, f.order + 1)[over]
        found += [*row_sums(table), *residuals(table, f.order).values(), left + Fraction(1, density(over))]
        nodes = ", ".join(sympy.latex(sympy.sympify(c)) for c in _expressions(table.nodes))
        free = ", ".join(f"{str(a)[0]}_{str(a)[1]}" for a in f.arguments)
        rows.append((code(f.name), nodes, free, f.order, rf"{latex(over)}:\ -\tfrac{{1}}{{{density(over)}}}"))
    head = [rf"\text{{{t}}}" for t in ("family", "nodes", "free", "order", "fails for all")]
    return prove(
        "Families of explicit methods with as many stages as their order",
        rows_in_latex(head, rows),
        _expressions(found),
        "diffnum.solvers.generated; Kutta 1901; Butcher 2016, 320-322",
    )


def order_is_at_most_stages() -> Statement:
    """The matrix of an explicit method is nilpotent."""
    weights = []
    for stages in range(1, 7):
        matrix = tuple(sympy.symbols(f"a{i}_1:{i}") for i in range(1, stages + 1))
        weights.append(elementary_weight(tall(stages + 1), matrix, sympy.symbols(f"b1:{stages + 1}")))
    return prove(
        "An explicit method has no more orders than stages",
        r"\Phi([\dots[[\tau]]\dots]) = b^T A^s \mathbb{1} = 0 \ne \frac{1}{(s+1)!} \qquad (s \le 6)",
        weights,
        "any explicit table; Hairer, Norsett & Wanner 1993, II.5",
    )


def better_members() -> Statement:
    """Where further conditions hold: the nodes of Ralston's and Kuntzmann's methods are zeros of residuals."""
    c2, c3 = sympy.symbols("c2 c3")
    second, third, fourth = (_in_parameters(name) for name in ("explicit_2", "explicit_3", "explicit_4"))
    t: Tree = ()
    claims = [
        (second, (t, t), (3 * c2 - 2) / 6),
        (third, (t, (t,)), (4 * c3 - 3) / 24),
        (third, ((t, t),), (2 * c2 - 1) / 12),
        (fourth, (t, t, (t,)), (3 - 5 * c3) / 120),
        (fourth, (t, (t, t)), (2 - 5 * c2) / 120),
        (fourth, ((t, (t,)),), (5 * c3 - 3) / 120),
        (fourth, (((t, t),),), (5 * c2 - 2) / 120),
    ]
    found = [_expressions([_residual(table, tree)])[0] - closed for table, tree, closed in claims]
    named = generated()
    vanish = [
        *(_residual(named.RALSTON2, tree) for tree in [(t, t)]),
        *(_residual(named.RALSTON3, tree) for tree in [(t, (t,)), ((t, t),)]),
        *(_residual(named.KUNTZMANN4, tree) for _, tree, _ in claims[3:]),
    ]
    return prove(
        "Ralston's and Kuntzmann's nodes are where further conditions hold",
        r"c_2 = \tfrac23: [\tau^2]; \qquad c_2 = \tfrac12: [[\tau^2]], \ c_3 = \tfrac34: [\tau, [\tau]]; \qquad "
        r"c_2 = \tfrac25: [\tau, [\tau^2]],\, [[[\tau^2]]], \ c_3 = \tfrac35: [\tau^2, [\tau]],\, [[\tau, [\tau]]]",
        [*found, *vanish],
        "diffnum.solvers.generated: explicit_2, explicit_3, explicit_4; RALSTON2, RALSTON3, KUNTZMANN4",
    )


def _residual(table: Any, tree: Tree) -> Any:
    return residuals(table, 5)[tree]


def _one_order_up(c3: Any, c4: Any, c5: Any) -> tuple[Any, Any, Any, Any]:
    """The four polynomials in the conditions of order six of ``explicit_5``."""
    two, three = c3 * c4 + c3 * c5 + c4 * c5, c3 * c4 * c5
    return (
        10 * three - 5 * two + 3 * (c3 + c4 + c5) - 2,
        5 * c3 * c4 - 2 * (c3 + c4) + 1,
        15 * c3 * c4 - 6 * c4 + 1,
        30 * three - 15 * c4 * (c3 + c5) + 9 * c4 + 3 * c5 - 2,
    )


def order_five() -> Statement:
    """Six stages with symbols for three nodes: all conditions of order five, and those of order six in closed form."""
    table = _in_parameters("explicit_5")
    c3, c4, c5 = table.nodes[2:5]
    p, q, r, s = _one_order_up(c3, c4, c5)
    left = [-p / 60, -p / 120, -p / 180, -s / 360, -p / 240, q / 120, q / 240, q / 360, r / 720, -p / 360,
            -s / 720, p / 60, p / 120, p / 180, s / 360, p / 240, -q / 120, -q / 240, -q / 360, -r / 720]  # fmt: skip
    found = residuals(table, 6)
    return prove(
        "A family of order five with six stages, of which none has order six",
        r"c = (0, \tfrac23 c_3, c_3, c_4, c_5, 1), \ b_2 = 0: \qquad [\tau^5]: -\tfrac{p}{60}, \ "
        r"[[[\tau^3]]]: -\tfrac{q}{120}, \ [[[[[\tau]]]]]: -\tfrac{r}{720}, \ "
        r"[\tau^2, [[\tau]]]: -\tfrac{s}{360}, \text{ and 16 multiples of these}, \quad "
        r"p = 10 c_3 c_4 c_5 - 5 (c_3 c_4 + c_3 c_5 + c_4 c_5) + 3 (c_3 + c_4 + c_5) - 2, \ "
        r"q = 5 c_3 c_4 - 2 (c_3 + c_4) + 1, \ r = 15 c_3 c_4 - 6 c_4 + 1, \ "
        r"s = 30 c_3 c_4 c_5 - 15 c_4 (c_3 + c_5) + 9 c_4 + 3 c_5 - 2; \qquad "
        r"p - q = (c_5 - 1) \bigl(10 c_3 c_4 - 5 (c_3 + c_4) + 3\bigr) \ne 0: \ p = q = 0 \text{ for none}",
        _expressions(
            [
                *row_sums(table),
                *residuals(table, 5).values(),
                *(found[tree] - value for tree, value in zip(rooted_trees(6), left, strict=True)),
                p - q - (c5 - 1) * (10 * c3 * c4 - 5 * (c3 + c4) + 3),
            ]
        ),
        "diffnum.solvers.generated.explicit_5; Hairer, Norsett & Wanner 1993, II.5",
    )


def members_of_order_five() -> Statement:
    """Boole's and Dormand and Prince's are members, at zeros of the polynomials."""
    m, q = generated(), sympy.Rational
    members = [(m.BOOLE5, (q(1, 4), q(1, 2), q(3, 4)), (0,)), (m.DORMAND_PRINCE5, (q(3, 10), q(4, 5), q(8, 9)), (1, 3))]
    found = []
    for table, nodes, zeros in members:
        entries = exact_table(m.explicit_5(*nodes))
        ours, theirs = ((t.nodes, t.weights, *t.matrix) for t in (entries, table))
        found += [a - b for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)]
        found += [_one_order_up(*nodes)[i] for i in zeros]
        found.append(sympy.Integer(sum(value == 0 for value in residuals(table, 6).values()) - 17 - 9))
    return prove(
        "Boole's and Dormand and Prince's methods of order five are members",
        r"\texttt{BOOLE5}: (c_3, c_4, c_5) = (\tfrac14, \tfrac12, \tfrac34), \ p = 0; \qquad "
        r"\texttt{DORMAND\_PRINCE5}: (\tfrac{3}{10}, \tfrac45, \tfrac89), \ q = s = 0; \qquad "
        r"\text{of the twenty conditions of order six nine hold for either}",
        found,
        "diffnum.solvers.generated: explicit_5, BOOLE5, DORMAND_PRINCE5; FEHLBERG5, whose last node is 1/2, is none",
    )


def ralston_of_order_four() -> Statement:
    """An irrational member, with its published entries."""
    root = sympy.sqrt(5)
    table = exact_table(generated().explicit_4(sympy.Rational(2, 5), sympy.Rational(7, 8) - 3 * root / 16))
    published = [
        (table.matrix[2][1], (3785 - 1620 * root) / 1024),
        (table.weights[0], (263 + 24 * root) / 1812),
        (table.weights[1], (125 - 1000 * root) / 3828),
        (table.weights[3], (30 - 4 * root) / 123),
    ]
    return prove(
        "Ralston's method of order four is an irrational member",
        r"c_2 = \tfrac25, \quad c_3 = \tfrac78 - \tfrac{3}{16}\sqrt5, "
        r"\quad a_{32} = \frac{3785 - 1620\sqrt5}{1024}, \quad b_1 = \frac{263 + 24\sqrt5}{1812}, \quad "
        r"b_2 = \frac{125 - 1000\sqrt5}{3828}, \quad b_4 = \frac{30 - 4\sqrt5}{123}",
        [*(sympy.radsimp(a - b) for a, b in published), *map(sympy.radsimp, residuals(table, 4).values())],
        "diffnum.solvers.generated.explicit_4; Ralston 1962",
    )


def column_assumption() -> Statement:
    """Of all families of orders four and five, and of the tables of order five whose last node is 1."""
    tables = [_in_parameters(f.name) for f in FAMILIES if f.order >= 4]
    tables += [getattr(generated(), name) for name in ("BOOLE5", "DORMAND_PRINCE5")]
    found = []
    for table in tables:
        for j, c in enumerate(table.nodes):
            column = sum(b * row[j] for b, row in zip(table.weights, table.matrix, strict=True) if j < len(row))
            found.append(column - table.weights[j] * (1 - c))
    return prove(
        "The column assumption of methods that end on their last node",
        r"D(1): \quad \sum_i b_i a_{ij} = b_j (1 - c_j)",
        _expressions(found),
        "diffnum.solvers.generated: explicit_4 and its relatives, explicit_5, BOOLE5, DORMAND_PRINCE5; "
        "Hairer, Norsett & Wanner 1993, II.1",
    )


def stage_assumptions() -> Statement:
    """Tables with more stages than the family of their order."""
    names = ("OPEN4", "BOOLE5", "FEHLBERG5", "FEHLBERG5_EMBEDDED", "DORMAND_PRINCE5", "DORMAND_PRINCE5_EMBEDDED")
    tables = [getattr(generated(), name) for name in names]
    second = [sum(b * row[1] for b, row in zip(t.weights[2:], t.matrix[2:], strict=True)) for t in tables]
    return prove(
        "The stage assumptions of methods with more stages",
        r"\sum_j a_{ij} c_j = \tfrac12 c_i^2, \quad \sum_j a_{ij} c_j^2 = \tfrac13 c_i^3 \quad (i \ge 3), \qquad "
        r"b_2 = 0, \quad \sum_i b_i a_{i2} = 0",
        [*(r for table in tables for r in stage_order_three(table)), *second],
        f"diffnum.solvers.generated: {', '.join(names)}; Hairer, Norsett & Wanner 1993, II.5",
    )


def embedded_pairs() -> Statement:
    """The same stages with two sets of weights."""
    m = generated()
    pairs = [(m.RALSTON3, m.BOGACKI_SHAMPINE3_EMBEDDED), (m.FEHLBERG5, m.FEHLBERG5_EMBEDDED),
             (m.DORMAND_PRINCE5, m.DORMAND_PRINCE5_EMBEDDED)]  # fmt: skip
    found = []
    for table, embedded in pairs:
        rows = (*table.matrix, table.weights)
        found += [
            a - b for one, other in zip(rows, embedded.matrix, strict=False) for a, b in zip(one, other, strict=True)
        ]
        found += [a - b for a, b in zip(table.nodes, embedded.nodes, strict=False)]
    return prove(
        "Embedded weights share the stages, or add the first of the next step",
        r"a_{s+1, j} = b_j, \quad c_{s+1} = 1",
        found,
        "diffnum.solvers.generated: RALSTON3 with BOGACKI_SHAMPINE3_EMBEDDED, FEHLBERG5, DORMAND_PRINCE5",
    )


def means_of_euler_steps() -> Statement:
    """The forms of Shu and Osher, run on unit vectors."""
    m = generated()

    def euler(state: list[Any], stage: int, step: Any) -> list[Any]:
        return [x + (step if i == stage else 0) for i, x in enumerate(state)]

    def mean(one: list[Any], other: list[Any], weight: Any) -> list[Any]:
        return [(1 - weight) * a + weight * b for a, b in zip(one, other, strict=True)]

    q, zero = sympy.Rational, [sympy.Integer(0)] * 4
    first = euler(zero, 0, 1)
    second = mean(zero, euler(first, 1, 1), q(1, 4))
    three = [first, second, mean(zero, euler(second, 2, 1), q(2, 3))]
    half = [euler(zero, 0, q(1, 2))]
    half.append(euler(half[0], 1, q(1, 2)))
    half.append(mean(zero, euler(half[1], 2, q(1, 2)), q(1, 3)))
    half.append(euler(half[2], 3, q(1, 2)))
    found = []
    for table, states in ((m.SSP33, three), (m.SSP43, half)):
        rows = (*table.matrix[1:], table.weights)
        found += [
            x - (row[i] if i < len(row) else 0) for row, u in zip(rows, states, strict=True) for i, x in enumerate(u)
        ]
    return prove(
        "Strong stability preserving methods are means of Euler steps",
        r"u^{(1)} = E_h u, \ u^{(2)} = \tfrac34 u + \tfrac14 E_h u^{(1)}, \ "
        r"u_t = \tfrac13 u + \tfrac23 E_h u^{(2)}; \qquad "
        r"u^{(3)} = \tfrac23 u + \tfrac13 E_{h/2}^3 u, \ u_t = E_{h/2} u^{(3)}",
        found,
        "diffnum.solvers.generated: SSP33, SSP43; Shu & Osher 1988",
    )


def exceptional_members() -> Statement:
    """The classical method lies where nodes coincide, where the two-parameter formulas divide by zero."""
    m = generated()
    members = [(m.RK4, "explicit_4_equal", (sympy.Rational(1, 3),)),
               (m.THREE_EIGHTHS, "explicit_4", (sympy.Rational(1, 3), sympy.Rational(2, 3)))]  # fmt: skip
    found = []
    for table, name, parameters in members:
        nodes, matrix, weights = member(name, *parameters)
        found += [a - b for a, b in zip(table.nodes, nodes, strict=True)]
        found += [
            a - b for one, other in zip(table.matrix, matrix, strict=True) for a, b in zip(one, other, strict=True)
        ]
        found += [a - b for a, b in zip(table.weights, weights, strict=True)]
    return prove(
        "The classical method has equal nodes, the 3/8 rule has not",
        r"\texttt{RK4}: c_2 = c_3 = \tfrac12, \ b_3 = \tfrac13; \qquad "
        r"\texttt{THREE\_EIGHTHS}: c_2 = \tfrac13, \ c_3 = \tfrac23",
        found,
        "diffnum.solvers.generated: RK4, THREE_EIGHTHS; Kutta 1901",
    )


CHAPTER: Chapter = (
    number_of_conditions,
    orders_of_tables,
    orders_of_families,
    order_is_at_most_stages,
    better_members,
    order_five,
    members_of_order_five,
    ralston_of_order_four,
    column_assumption,
    stage_assumptions,
    embedded_pairs,
    means_of_euler_steps,
    exceptional_members,
)
