"""Named Runge-Kutta tables: members of the families of :mod:`theory.runge_kutta_families`, and methods of more stages.

More stages than the order needs leave choices. They are made by the simplifying assumptions of Hairer, Norsett & Wanner
(1993, II.5), for the stages ``i >= 3`` and with ``b_2 = 0``:

    C(2): sum_j a_ij c_j = c_i^2 / 2,    C(3): sum_j a_ij c_j^2 = c_i^3 / 3,

which force ``c_2 = 2 c_3 / 3``. What the nodes leave open is then linear, stage by stage; for order five see
:mod:`theory.runge_kutta_fifth`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy

from .generator import Piece, constant
from .runge_kutta_families import Entries, exact_table, family, member, quadrature, solve, table
from .runge_kutta_fifth import fifth, stage
from .trees import residuals, row_sums

__all__ = ["EMBEDDED", "TABLES", "Named", "entries", "pieces"]

Q = sympy.Rational


def _moments(row: Sequence[Any], nodes: Sequence[Any], c: Any) -> list[Any]:
    """Residuals of C(2) and C(3)."""
    return [sum(a * x**k for a, x in zip(row, nodes, strict=False)) - c ** (k + 1) / (k + 1) for k in (1, 2)]


@lru_cache
def fourth_with_five_stages(c3: Any, c4: Any, c5: Any) -> Entries:
    """Order four from C(3), ``b_2 = 0`` and ``sum_i b_i a_i2 = 0``: no node need be at 1."""
    c2, zero = 2 * c3 / 3, sympy.Integer(0)
    nodes = (zero, c2, c3, c4, c5)
    weights = quadrature(nodes, 4, {1: zero})
    columns = [(), (c3**2 / (2 * c2),), stage(c4, [c2, c3])]
    second = -sum(weights[i] * columns[i - 1][0] for i in (2, 3)) / weights[4]
    columns.append((second, *stage(c5, [c3, c4], second, c2)))
    return table(nodes, columns, weights)


def strong_stability(theta: Any) -> Entries:
    """Four stages, each a half step ``w + h/2 f(w)`` or a mean: ``u_2 = u + h/2 f, u_3 = u_2 + h/2 f``, then ``theta``
    times ``u_3 + h/2 f`` and ``1 - theta`` times ``u``, then a half step."""
    half = Q(1, 2)
    return (
        (sympy.Integer(0), half, sympy.Integer(1), 3 * theta / 2),
        ((), (half,), (half, half), (theta / 2,) * 3),
        (theta / 2, theta / 2, theta / 2, half),
    )


def _strong_stability_of_order_three() -> Entries:
    theta = sympy.Symbol("theta")
    found = solve([sum(strong_stability(theta)[2]) - 1], [theta])
    return strong_stability(found[0])


def _with_step_as_stage(entries: Entries, weights: Sequence[Any]) -> Entries:
    """First same as last: the end of the step is one more stage."""
    nodes, matrix, step = entries
    return (*nodes, sympy.Integer(1)), (*matrix, tuple(step)), tuple(weights)


def _embedded_bogacki_shampine() -> Entries:
    """Order two beside order three: nodes 0, 1/2, 3/4, 1; the last weight 1/8 and the third 1/3 are its authors'."""
    base = member("explicit_3", Q(1, 2), Q(3, 4))
    return _with_step_as_stage(base, quadrature((*base[0], 1), 2, {2: Q(1, 3), 3: Q(1, 8)}))


def _embedded_dormand_prince() -> Entries:
    """Order four beside order five: ``b_2 = 0``, the last weight 1/40 is the authors', ``sum_i b_i a_i2 = 0``."""
    base = entries("DORMAND_PRINCE5")
    nodes, matrix = (*base[0], sympy.Integer(1)), (*base[1], base[2])
    unknown = sympy.symbols("b1 b3:7")
    weights = [unknown[0], 0, *unknown[1:], Q(1, 40)]
    equations: list[Any] = [sum(w * c**k for w, c in zip(weights, nodes, strict=True)) - Q(1, k + 1) for k in range(4)]
    equations.append(sum(w * row[1] for w, row in zip(weights[2:], matrix[2:], strict=True)))
    found = solve(equations, unknown)
    return _with_step_as_stage(base, (found[0], sympy.Integer(0), *found[1:], Q(1, 40)))


def _embedded_fehlberg() -> Entries:
    """Order four beside order five: quadrature on the stages 1, 3, 4, 5."""
    nodes, matrix, _ = entries("FEHLBERG5")
    return nodes, matrix, tuple(quadrature(nodes, 4, {1: sympy.Integer(0), 5: sympy.Integer(0)}))


@dataclass(frozen=True)
class Named:
    """One table.

    Attributes:
        name, order: of the constant.
        derive: its entries.
        pinned: numbers that its derivation starts from, by place: ``c3`` a node, ``b3`` a weight, counted from one.
        says: the docstring.
        assumptions: what else is zero, such as the simplifying assumptions at the head of this file.
    """

    name: str
    order: int
    derive: Callable[[], Entries]
    pinned: tuple[tuple[str, Any], ...]
    says: str
    assumptions: Callable[[Any], Iterable[Any]] = lambda found: ()


def _of(name: str, *parameters: Any) -> tuple[Callable[[], Entries], tuple[tuple[str, Any], ...]]:
    return lambda: member(name, *parameters), tuple(zip(map(str, family(name).arguments), parameters, strict=True))


def _of_nodes(derive: Callable[..., Entries], *nodes: Any) -> tuple[Callable[[], Entries], tuple[tuple[str, Any], ...]]:
    return lambda: derive(*nodes), tuple((f"c{i}", c) for i, c in enumerate(nodes, 3))


def _pins(**numbers: str) -> tuple[tuple[str, Any], ...]:
    return tuple((place, Q(number)) for place, number in numbers.items())


def stage_order_three(found: Any) -> Iterable[Any]:
    """C(2) and C(3) from the third stage on, and ``b_2 = 0``."""
    for row, c in list(zip(found.matrix, found.nodes, strict=True))[2:]:
        yield from _moments([sympy.sympify(a) for a in row], found.nodes, sympy.sympify(c))
    yield found.weights[1]


def half_steps(found: Any) -> Iterable[Any]:
    """Every entry is a half step or the weight of the mean."""
    yield from (a - Q(1, 2) for row in found.matrix[1:3] for a in row)
    yield found.weights[3] - Q(1, 2)
    yield from (a - w for a, w in zip(found.matrix[3], found.weights[:3], strict=True))
    yield from (a - found.matrix[3][0] for a in found.matrix[3])


TABLES = (
    Named("EULER", 1, lambda: ((sympy.Integer(0),), ((),), (sympy.Integer(1),)), (), "Euler's method."),
    Named("MIDPOINT", 2, *_of("explicit_2", Q(1, 2)), "The midpoint method, order two."),
    Named("HEUN2", 2, *_of("explicit_2", Q(1)), "Heun's method of order two, the trapezoidal rule."),
    Named("RALSTON2", 2, *_of("explicit_2", Q(2, 3)),
          "Ralston's method of order two, on a quadrature of order three."),
    Named("HEUN3", 3, *_of("explicit_3", Q(1, 3), Q(2, 3)), "Heun's method of order three; no node at 1."),
    Named("KUTTA3", 3, *_of("explicit_3", Q(1, 2), Q(1)), "Kutta's method of order three on Simpson's rule."),
    Named("RALSTON3", 3, *_of("explicit_3", Q(1, 2), Q(3, 4)),
          "Ralston's method of order three, which Bogacki and Shampine embed; no node at 1."),
    Named("SSP33", 3, *_of("explicit_3", Q(1), Q(1, 2)), "Shu and Osher's, order three, strong stability preserving."),
    Named("VAN_DER_HOUWEN3", 3, *_of("explicit_3", Q(8, 15), Q(2, 3)),
          "Van der Houwen's (Wray's) low-storage method of order three; no node at 1."),
    Named("SSP43", 3, _strong_stability_of_order_three, (),
          "Strong stability preserving method of order three with four stages of half steps.", half_steps),
    Named("RK4", 4, *_of("explicit_4_equal", Q(1, 3)), "The classical method of order four."),
    Named("THREE_EIGHTHS", 4, *_of("explicit_4", Q(1, 3), Q(2, 3)), "Kutta's method of order four on the 3/8 rule."),
    Named("KUNTZMANN4", 4, *_of("explicit_4", Q(2, 5), Q(3, 5)),
          "Kuntzmann's method of order four, at whose nodes four conditions of order five hold."),
    Named("OPEN4", 4, *_of_nodes(fourth_with_five_stages, Q(1, 3), Q(2, 3), Q(5, 6)),
          "Order four with five stages, no node at 1, for steps that cannot evaluate at their end.",
          stage_order_three),
    Named("BOOLE5", 5, *_of_nodes(fifth, Q(1, 4), Q(1, 2), Q(3, 4), Q(1)),
          "Order five with six stages on Boole's quadrature.", stage_order_three),
    Named("FEHLBERG5", 5, *_of_nodes(fifth, Q(3, 8), Q(12, 13), Q(1), Q(1, 2)),
          "Fehlberg's method of order five.", stage_order_three),
    Named("DORMAND_PRINCE5", 5, *_of_nodes(fifth, Q(3, 10), Q(4, 5), Q(8, 9), Q(1)),
          "Dormand and Prince's method of order five; its seventh stage is the next step's first.", stage_order_three),
)  # fmt: skip
EMBEDDED = (
    Named("BOGACKI_SHAMPINE3_EMBEDDED", 2, _embedded_bogacki_shampine,
          _pins(c2="1/2", c3="3/4", c4="1", b3="1/3", b4="1/8"),
          "Bogacki and Shampine's weights of order two beside RALSTON3, for an error estimate.",
          lambda found: residuals(exact_table((found.nodes[:3], found.matrix[:3], found.matrix[3])), 3).values()),
    Named("FEHLBERG5_EMBEDDED", 4, _embedded_fehlberg, _pins(c3="3/8", c4="12/13", c5="1", c6="1/2", b6="0"),
          "Weights of order four beside FEHLBERG5, for an error estimate.", stage_order_three),
    Named("DORMAND_PRINCE5_EMBEDDED", 4, _embedded_dormand_prince,
          _pins(c3="3/10", c4="4/5", c5="8/9", c6="1", c7="1", b7="1/40"),
          "Weights of order four beside DORMAND_PRINCE5, for an error estimate.", stage_order_three),
)  # fmt: skip


@lru_cache
def entries(name: str) -> Entries:
    """Of a named table, in sympy's rationals."""
    return next(named.derive() for named in (*TABLES, *EMBEDDED) if named.name == name)


def _checked(named: Named) -> Callable[[Any], Iterable[Any]]:
    """Rows, order conditions, what the derivation starts from, and its assumptions."""

    def check(module: Any) -> Iterable[Any]:
        found = getattr(module, named.name)
        yield from row_sums(found)
        for place, value in named.pinned:
            yield (found.nodes if place[0] == "c" else found.weights)[int(place[1:]) - 1] - value
        yield from residuals(found, named.order).values()
        yield from named.assumptions(found)

    return check


@lru_cache
def _piece(name: str) -> Piece:
    named = next(n for n in (*TABLES, *EMBEDDED) if n.name == name)
    return constant(name, *entries(name), named.says, "theory.runge_kutta_tables.entries", _checked(named))


def _named(name: str) -> Callable[[], Piece]:
    return lambda: _piece(name)


def pieces() -> tuple[Callable[[], Piece], ...]:
    """Of all tables."""
    return tuple(_named(named.name) for named in (*TABLES, *EMBEDDED))
