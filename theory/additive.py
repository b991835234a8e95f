r"""Stochastic Runge-Kutta methods for additive noise: conditions of weak order two and strong order 1.5, and tables.

For ``dY = f(Y, rho) drho + dB`` a step of length ``L`` draws ``W = B(L)``, of variance ``L``, and independent of it the
space-time area ``H`` of variance ``L / 12``, ``int_0^L B = L (W / 2 + H)``:

    Y_i = Y + L sum_j a_ij f(Y_j, c_j) + p_i W + q_i H,    Y(L) = Y + L sum_i b_i f(Y_i, c_i) + W.

The first stage sees the state, or with a share ``q_1`` of the area a shifted one, at ``c_1 = 0``; with two stages the
conditions leave ``q_1`` free and nothing else. What is chosen by the authors of a table is pinned in its derivation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

import sympy

from diffnum.series import Series
from diffnum.weak_trees import DRAW, ROOT, Tree, Y, displacement, expectation, show, taylor

from .generator import Piece, additive, formula, load, source
from .runge_kutta_families import solve
from .statement import Chapter, Statement, prove
from .stochastic import minus, solution

__all__ = ["CHAPTER", "PIECES", "conditions", "one_order_up", "tables", "two_stages"]

ZERO, ONE, HALF, TWELFTH = sympy.Integer(0), sympy.Integer(1), sympy.Rational(1, 2), sympy.Rational(1, 12)
SHARE = sympy.Symbol("q")
Entries = tuple[Any, Any, Any, Any, Any]  # nodes, matrix, weights, path, area


# --- conditions ---


def conditions(entries: Entries, strong: bool = True) -> list[Any]:
    """Residuals of weak order two and, last, of what strong order 1.5 asks for beyond."""
    c, a, b, p, q = entries
    found = [
        *(sum(row, 0) - node for row, node in zip(a, c, strict=True)),
        sum(b) - 1,
        _dot(b, c) - Fraction(1, 2),
        _dot(b, p) - Fraction(1, 2),
        _dot(b, [x * x + y * y / Fraction(12) for x, y in zip(p, q, strict=True)]) - Fraction(1, 2),
    ]
    return [*found, _dot(b, q) - 1] if strong else found


def one_order_up(entries: Entries) -> tuple[Any, Any, Any, Any]:
    """Residuals of four conditions of weak order three: ``f'(G_cc)``, ``f'(G'(G'(G)))``, ``f''(G'(z), G'(z))`` and
    ``f'(G''(z, G'(z)))``."""
    c, a, b, p, q = entries
    seen = [_dot(row, c) for row in a]
    shared = [p[i] * _dot(row, p) + q[i] * _dot(row, q) / Fraction(12) for i, row in enumerate(a)]
    return (
        _dot(b, [x * x for x in c]) - Fraction(1, 3),
        _dot(b, seen) - Fraction(1, 6),
        _dot(b, p) ** 2 + _dot(b, q) ** 2 / Fraction(12) - Fraction(1, 3),
        _dot(b, shared) - Fraction(1, 6),
    )


def _dot(row: Sequence[Any], values: Sequence[Any]) -> Any:
    return sum((x * y for x, y in zip(row, values, strict=False)), Fraction(0))


# --- tables ---


def two_stages(share: Any, strong: bool = True) -> Entries:
    """All tables of two stages with ``c_1 = p_1 = 0`` and ``q_1 = share``; not ``strong``: without the area."""
    b1, b2, c2, p2, q2 = sympy.symbols("b1 b2 c2 p2 q2")
    entries = ((ZERO, c2), ((), (c2,)), (b1, b2), (ZERO, p2), (share, q2 if strong else ZERO))
    unknown = [b1, b2, c2, p2, q2][: 5 if strong else 4]
    return _solved(entries, conditions(entries, strong), unknown)


def three_stages() -> Entries:
    """Noise in the last stage only, the second at the end of the step, order three without noise."""
    b1, b2, b3, c3, p3, q3, a31, a32 = unknown = sympy.symbols("b1 b2 b3 c3 p3 q3 a31 a32")
    entries = ((ZERO, ONE, c3), ((), (ONE,), (a31, a32)), (b1, b2, b3), (ZERO, ZERO, p3), (ZERO, ZERO, q3))
    return _solved(entries, [*conditions(entries), *one_order_up(entries)[:2]], unknown)


def _solved(entries: Entries, equations: Sequence[Any], unknown: Sequence[Any]) -> Entries:
    equations = [e for e in equations if e != 0]
    found = dict(zip(unknown, solve(map(sympy.nsimplify, equations), unknown), strict=True))

    def numbers(value: Any) -> Any:
        return tuple(map(numbers, value)) if isinstance(value, tuple) else value.subs(found)

    return numbers(entries)


@dataclass(frozen=True)
class Named:
    """One table.

    Attributes:
        derive: its entries.
        pinned: what its authors chose, as residuals.
        strong: of order 1.5, not only of weak order two.
        says: the docstring.
    """

    name: str
    derive: Callable[[], Entries]
    pinned: Callable[[Entries], Sequence[Any]]
    strong: bool
    says: str


TABLES = (
    Named("PLATEN", partial(two_stages, ZERO, False), lambda e: (*e[4], e[3][0]), False,
          "Platen's explicit method of weak order two where noise is additive: the only one of two stages that draws "
          "no area (Kloeden & Platen 1992, 15.1)."),
    Named("SRA1", partial(two_stages, ZERO), lambda e: (e[3][0], e[4][0]), True,
          "Roessler's SRA1, strong order 1.5: the only one of two stages whose first stage is at the state."),
    Named("SHARK", partial(two_stages, ONE), lambda e: (e[3][0], e[4][0] - 1, e[4][1] - 1), True,
          "ShARK, strong order 1.5: the only one of two stages that are shifted by the same area, their authors' "
          "choice."),
    Named("SRA3", three_stages,
          lambda e: (*e[3][:2], *e[4][:2], e[0][1] - 1, *one_order_up(e)[:2]), True,
          "Roessler's SRA3, strong order 1.5, order three without noise: the only one of three stages with noise in "
          "the last and the second at the end of the step, its author's choice."),
)  # fmt: skip


@lru_cache
def _piece(name: str) -> Piece:
    named = next(n for n in TABLES if n.name == name)

    def check(module: Any) -> Iterator[Any]:
        entries = _entries(getattr(module, name))
        yield from conditions(entries, named.strong)
        yield from named.pinned(entries)

    return additive(name, named.derive(), named.says, "theory.additive.two_stages" if name != "SRA3" else
                    "theory.additive.three_stages", check)  # fmt: skip


def _entries(table: Any) -> Entries:
    return table.nodes, table.matrix, table.weights, table.path, table.area


@lru_cache
def _family() -> Piece:
    def check(module: Any) -> Iterator[Any]:
        for share in (Fraction(3, 7), Fraction(-5, 2)):
            entries = module.additive_2(share)
            yield from conditions(entries)
            yield from (entries[0][0], entries[3][0], entries[4][0] - share)

    says = (
        "``(c, a, b, p, q)`` of every stochastic Runge-Kutta method of strong order 1.5 for additive noise with two "
        "stages\n\n    and ``c1 = p1 = 0``, by the share ``q`` of the area in the first stage: "
        "``b1 = 2 / (q^2 - 2 q + 6)``."
    )
    return formula("additive_2", (SHARE,), two_stages(SHARE), says, "theory.additive.two_stages", check)


PIECES: tuple[Callable[[], Piece], ...] = (*(partial(_piece, n.name) for n in TABLES), _family)


@lru_cache
def tables() -> Any:
    """The module that the pieces of this chapter make."""
    return load(source([piece() for piece in PIECES]))


# --- statements ---


def _three_general_stages() -> tuple[dict[Tree, Series], Entries, Any]:
    """A step of any explicit method of three stages, over trees with draws 1 for ``W`` and 2 for ``H``, to ``k^4``."""
    b, c = sympy.symbols("b_1:4"), sympy.symbols("c_1:4")
    p, q, rho = sympy.symbols("p_1:4"), sympy.symbols("q_1:4"), sympy.Symbol("rho")
    a = ((), (sympy.Symbol("a_21"),), sympy.symbols("a_31 a_32"))

    def at(power: int, value: Any) -> Series:
        return Series(0, tuple(sympy.sympify(value) if i == power else ZERO for i in range(5)))

    def moved(weights: Sequence[Any], path: Any, area: Any, seen: Sequence[dict[Tree, Series]]) -> dict[Tree, Series]:
        out = {Y: at(0, 1), (DRAW, 1): at(1, rho * path), (DRAW, 2): at(1, rho * area * sympy.sqrt(TWELFTH))}
        for weight, value in zip(weights, seen, strict=True):
            for tree, s in value.items():
                term = (s * at(2, weight)).cut(5)
                out[tree] = out[tree] + term if tree in out else term
        return out

    seen: list[dict[Tree, Series]] = []
    for row, node, path, area in zip(a, c, p, q, strict=True):
        stage = {t: s.cut(3) for t, s in moved(row, path, area, seen).items()}
        seen.append(taylor(0, displacement(stage, 3), at(2, node).cut(3), 3))
    return moved(b, 1, 0, seen), (c, a, b, p, q), rho


def conditions_of_any_stages() -> Statement:
    """Weak order two tree by tree, and of strong order 1.5 the one condition more, along the path."""
    step, (c, a, b, p, q), rho = _three_general_stages()
    weak = minus(expectation(taylor(ROOT, displacement(step, 5), None, 5, even=True)), solution(rho))
    named = {show(t): s for t, s in weak.items()}
    whole, rho2 = sum(b), rho**2
    spread = sum(x * (y**2 + z**2 / 12) for x, y, z in zip(b, p, q, strict=True))
    known = {
        "f": (0, 0),
        "f_y(D)": (whole - 1, 0),
        "f_yy(z, z)": (0, 0),
        "f_y(D_c)": (0, _dot(b, c) - HALF),
        "f_y(D_y(D))": (0, sum(x * sum(row) for x, row in zip(b, a, strict=True)) - HALF),
        "f_yy(D, D)": (0, HALF * (whole**2 - 1)),
        "f_yy(z, D_y(z))": (0, rho2 * (_dot(b, p) - HALF)),
        "f_y(D_yy(z, z))": (0, HALF * rho2 * (spread - HALF)),
        "f_yyy(z, z, D)": (0, HALF * rho2 * (whole - 1)),
        "f_yyyy(z, z, w, w)": (0, 0),
    }
    residual = [sympy.Integer(len(set(named) ^ set(known)))]
    for name, (first, second) in known.items():
        residual += [named[name][2] - first, named[name][4] - second, *(named[name][i] for i in (0, 1, 3))]
    # rho G' int B = rho G' L (W / 2 + H), of size k^3, in the step itself
    along = {1: HALF, 2: sympy.sqrt(TWELFTH)}
    drawn = {1: _dot(b, p) - HALF, 2: sympy.sqrt(TWELFTH) * (_dot(b, q) - 1)}
    residual += [step[(0, (DRAW, i))][3] - rho * (along[i] + drawn[i]) for i in (1, 2)]
    residual.append(sympy.Integer(len({t for t, s in step.items() if s.valuation == 3}) - 2))
    return prove(
        "Conditions of stochastic Runge-Kutta methods for additive noise, any stages",
        r"Y_i = Y + L \textstyle\sum_j a_{ij} G_j + p_i W + q_i H, \ \operatorname{Var} H = \tfrac{L}{12}: \quad "
        r"\text{weak order two: } \sum b_i = 1, \ \sum b_i c_i = \sum b_i a_{ij} = \tfrac12, \ \sum b_i p_i = "
        r"\tfrac12, \ \sum b_i (p_i^2 + \tfrac{1}{12} q_i^2) = \tfrac12; \qquad \text{strong order } \tfrac32: "
        r"\text{ these and } \sum b_i q_i = 1",
        residual,
        "diffnum.weak_trees on any three stages; Roessler 2010, section 6; Foster, dos Reis & Strange 2024",
    )


def all_of_two_stages() -> Statement:
    """One parameter: the area that the first stage sees."""
    m, q = tables(), SHARE
    entries = m.additive_2(q)
    b1 = 2 / (q**2 - 2 * q + 6)
    form = (
        (ZERO, 1 / (2 * (1 - b1))), ((), (1 / (2 * (1 - b1)),)), (b1, 1 - b1), (ZERO, 1 / (2 * (1 - b1))),
        (q, (1 - b1 * q) / (1 - b1)),
    )  # fmt: skip
    found = [sympy.sympify(x) - y for x, y in zip(_flat(entries), _flat(form), strict=True)]
    for share, table in ((0, m.SRA1), (1, m.SHARK)):
        found += [x - y for x, y in zip(_flat(m.additive_2(sympy.Integer(share))), _flat(_entries(table)), strict=True)]
    return prove(
        "Stochastic Runge-Kutta methods of strong order 1.5 with two stages",
        r"b_1 = \frac{2}{q_1^2 - 2 q_1 + 6}, \ b_2 = 1 - b_1, \quad c_2 = a_{21} = p_2 = \frac{1}{2 b_2}, \quad q_2 = "
        r"\frac{1 - b_1 q_1}{b_2}; \qquad \texttt{SRA1}: q_1 = 0, \quad \texttt{SHARK}: q_1 = q_2 = 1",
        found,
        "diffnum.solvers.generated: additive_2, SRA1, SHARK",
    )


def what_fails() -> Statement:
    """Of the tables, and of all with two stages: four conditions of weak order three."""
    q, part = SHARE, sympy.Rational
    base = q**2 - 2 * q + 4
    known = {
        "PLATEN": (part(1, 6), part(-1, 6), part(-1, 12), part(-1, 6)),
        "SRA1": (part(1, 24), part(-1, 6), ZERO, part(-1, 6)),
        "SHARK": (part(1, 12), part(-1, 6), ZERO, part(-1, 8)),
        "SRA3": (ZERO, ZERO, ZERO, part(-1, 6)),
        "additive_2": ((2 + 2 * q - q**2) / (12 * base), part(-1, 6), ZERO,
                       (q**3 - 8 * q**2 + 14 * q - 16) / (24 * base)),
    }  # fmt: skip
    m = tables()
    found = {n.name: one_order_up(_entries(getattr(m, n.name))) for n in TABLES}
    found["additive_2"] = one_order_up(m.additive_2(q))
    residual = [sympy.sympify(x) - y for name in known for x, y in zip(found[name], known[name], strict=True)]
    residual.append(_dot(m.PLATEN.weights, m.PLATEN.area))
    head = ("", "f'(G_{cc})", "f'(G'(G'(G)))", "f''(G'(z), G'(z))", "f'(G''(z, G'(z)))")
    rows = [(rf"\texttt{{{name.replace('_', chr(92) + '_')}}}", *map(sympy.latex, row)) for name, row in known.items()]
    body = r" \\ ".join(" & ".join(row) for row in rows)
    return prove(
        "What stochastic Runge-Kutta methods for additive noise miss one order up",
        rf"\begin{{array}}{{lllll}} {' & '.join(head)} \\ \hline {body} \end{{array}}; \qquad "
        r"\texttt{PLATEN}: \textstyle\sum b_i q_i = 0, \text{ so that its strong order is not } \tfrac32",
        residual,
        "diffnum.solvers.generated: PLATEN, SRA1, SHARK, SRA3, additive_2",
    )


def _flat(value: Any) -> list[Any]:
    return [x for v in value for x in _flat(v)] if isinstance(value, tuple) else [value]


CHAPTER: Chapter = (conditions_of_any_stages, all_of_two_stages, what_fails)
