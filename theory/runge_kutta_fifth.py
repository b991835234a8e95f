"""Explicit Runge-Kutta methods of order five with six stages, from their nodes, by elimination in any field.

The simplifying assumptions C(2) and C(3) of the stages ``i >= 3`` (:mod:`theory.runge_kutta_tables`) and ``b_2 = 0``
leave, of the seventeen conditions, quadrature and

    sum_i b_i a_i2 = sum_i b_i c_i a_i2 = 0,    sum_ij b_i a_ij c_j^3 = 1/20,    sum_ij b_i a_ij a_j2 = 0,

linear in what is still unknown, stage by stage, but for the last, which the nodes have to satisfy; with ``c_6 = 1``
they do, and ``c_3, c_4, c_5`` are free. With symbols for them the numbers are rational functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from sympy.polys.fields import FracField

__all__ = ["eliminate", "family_of_order_five", "fifth", "stage"]

Entries = tuple[Sequence[Any], Sequence[Sequence[Any]], Sequence[Any]]


def eliminate(rows: Sequence[Sequence[Any]], right: Sequence[Any]) -> list[Any]:
    """The solution of as many linear equations as unknowns, in the field of their numbers.

    Raises:
        ArithmeticError: the equations do not have one solution.
    """
    system = [[*row, b] for row, b in zip(rows, right, strict=True)]
    for i in range(len(system)):
        pivot = next((k for k in range(i, len(system)) if system[k][i] != 0), None)
        if pivot is None:
            raise ArithmeticError("0 solutions or many: nodes that have to differ coincide")
        system[i], system[pivot] = system[pivot], system[i]
        system[i] = [x / system[i][i] for x in system[i]]
        for k, row in enumerate(system):
            if k != i and row[i] != 0:
                system[k] = [x - row[i] * y for x, y in zip(row, system[i], strict=True)]
    return [row[-1] for row in system]


def fifth(c3: Any, c4: Any, c5: Any, c6: Any) -> Entries:
    """Nodes, matrix and weights from four nodes, in the arithmetic of these.

    Raises:
        ArithmeticError: nodes that coincide.
    """
    one = c6 / c6
    zero, c2 = one - one, 2 * c3 / 3
    nodes = (zero, c2, c3, c4, c5, c6)
    powers = [[one] * 5, *([zero, *(c**k for c in (c3, c4, c5, c6))] for k in range(1, 5))]
    b1, b3, b4, b5, b6 = eliminate(powers, [one / (k + 1) for k in range(5)])
    a32 = c3**2 / (2 * c2)
    a42, a43 = stage(c4, [c2, c3])
    sums = [-(b3 * a32 + b4 * a42), -(b3 * c3 * a32 + b4 * c4 * a42)]
    a52, a62 = eliminate([[b5, b6], [b5 * c5, b6 * c6]], sums)
    a53, a54 = stage(c5, [c3, c4], a52, c2)
    cubes = (b3 * a32 + b4 * a42 + b5 * a52 + b6 * a62) * c2**3
    cubes = cubes + (b4 * a43 + b5 * a53) * c3**3 + b5 * a54 * c4**3
    square, cube = c6**2 / 2 - a62 * c2, c6**3 / 3 - a62 * c2**2
    rows = [[c3, c4, c5], [c3**2, c4**2, c5**2], [b6 * c3**3, b6 * c4**3, b6 * c5**3]]
    last = eliminate(rows, [square, cube, one / 20 - cubes])
    columns = ((), (a32,), (a42, a43), (a52, a53, a54), (a62, *last))
    matrix = ((), *((c - sum(row, zero), *row) for c, row in zip(nodes[1:], columns, strict=True)))
    return nodes, matrix, (b1, zero, b3, b4, b5, b6)


def stage(c: Any, nodes: Sequence[Any], second: Any = 0, c2: Any = 0) -> tuple[Any, ...]:
    """The two entries, at ``nodes``, of a stage at ``c`` that C(2) and C(3) leave open beside the entry ``second``."""
    right = [c**2 / 2 - second * c2, c**3 / 3 - second * c2**2]
    return tuple(eliminate([nodes, [x**2 for x in nodes]], right))


def family_of_order_five(nodes: Sequence[Any], given: dict[int, Any]) -> Entries:
    """The entries in the symbols of ``nodes``, ``0, 2 c3 / 3, c3, c4, c5, 1``, as factored rational functions."""
    numbers = FracField(sorted({s for c in nodes for s in c.free_symbols}, key=str), sympy.QQ)
    c, rows, weights = fifth(*map(numbers.from_expr, nodes[2:]))

    def shown(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(sympy.factor(numbers(v).as_expr()) for v in values)

    return shown(c), tuple(map(shown, rows)), shown(weights)
