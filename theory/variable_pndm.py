"""iPNDM on variable steps (diff-sampler, copied into many interfaces): what its weights do, with their slips.

The code follows the recurrence of Hairer, Norsett & Wanner (1993, III.5.8) for Adams methods on variable steps,
``f_n + g_1 beta_1 nabla + g_2 beta_2 nabla^2 + g_3 beta_3 nabla^3``. With ``h = 1`` and points at ``0, c_1, c_2, c_3``

    g_2 = (1 - 1 / (3 (1 - c_1))) / 2,    g_3 = g_2 - (1 - 1 / (2 (1 - c_1))) / (6 (1 - c_2)),

and the differences times ``beta`` are divided differences times ``(1 - c_1)``, ``(1 - c_1)(1 - c_2)``, ... The code has

- ``(1 - beta_2 / (3 (1 - c_1))) / 2`` for ``beta_2 g_2``, a parenthesis;
- ``g_2 + ...`` for ``g_2 - ...`` in ``g_3``, a sign;
- ``h_1 / h_2`` for ``h_2 / h_3`` in the last weight of ``nabla^3``, an index: the weights do not sum to one.

So three points have order two, three where steps are equal; four points are not consistent where the ratio of steps
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import sympy

from .adams import PAST, moment, random_nodes, rule
from .generator import Piece, formula
from .statement import Chapter, Statement, differ, prove

__all__ = ["CHAPTER", "PIECES", "as_coded", "excess", "moments"]

Q = sympy.Rational
SOURCE = "diff-sampler: ipndm_v_sampler"


def moments(past: Sequence[Any]) -> list[Any]:
    """``sum_j w_j c_j^m`` of the weights before the last slip, ``m = 0, 1, 2`` and, with three past points, 3."""
    one = past[0] ** 0
    found = [one, one / 2]
    if len(past) > 1:
        curve = past[0] * past[1] / 2 - one / 6
        found.append(past[0] / 2 + curve)
    if len(past) > 2:
        third = (one - 1 / (3 * (1 - past[0]))) / 2 + (one - 1 / (2 * (1 - past[0]))) / (6 * (1 - past[1]))
        cubes = past[0] ** 2 / 2 + curve * (past[0] + past[1])
        found.append(cubes + third * (1 - past[0]) * (1 - past[1]))
    return found


def excess(past: Sequence[Any]) -> Any:
    """What the last weight of four is too large by."""
    c1, c2, c3 = past
    third = (1 - 1 / (3 * (1 - c1))) / 2 + (1 - 1 / (2 * (1 - c1))) / (6 * (1 - c2))
    scaled = -third * (1 - c1) * (1 - c2) / (c1 * c2 * c3)
    share = c1 * c2 / ((c1 - c2) * (c1 - c3))
    return scaled * share * ((c1 - c2) / (c2 - c3) + c1 / (c1 - c2))


def derived(past: Sequence[Any]) -> tuple[Any, ...]:
    """The weights from :func:`moments` and :func:`excess`."""
    *weights, last = rule((past[0] * 0, *past), moments(past))
    return (*weights, last + excess(past) if len(past) == 3 else last)


def as_coded(past: Sequence[Any]) -> list[Any]:
    """The weights letter by letter, ``h_n = 1``."""
    h0, edges = past[0] ** 0, (past[0] * 0, *past)
    h1, *more = [a - b for a, b in pairwise(edges)]
    one, two = (2 + h0 / h1) / 2, -(h0 / h1) / 2
    if not more:
        return [one, two]
    h2 = more[0]
    temp1 = (1 - h0 / (3 * (h0 + h1)) * (h0 * (h0 + h1)) / (h1 * (h1 + h2))) / 2
    found = [one + temp1, two - (1 + h1 / h2) * temp1, temp1 * h1 / h2]
    if len(more) == 1:
        return found
    h3 = more[1]
    temp2 = ((1 - h0 / (3 * (h0 + h1))) / 2 + (1 - h0 / (2 * (h0 + h1))) * h0 / (6 * (h0 + h1 + h2))) * (
        h0 * (h0 + h1) * (h0 + h1 + h2)
    )
    temp2 = temp2 / (h1 * (h1 + h2) * (h1 + h2 + h3))
    share = h1 * (h1 + h2) / (h2 * (h2 + h3))
    found[0] += temp2
    found[1] -= (1 + h1 / h2 + share) * temp2
    found[2] += (h1 / h2 + share * (1 + h2 / h3)) * temp2
    return [*found, -temp2 * share * h1 / h2]


def piece(points: int) -> Piece:
    """The generated function."""
    past = PAST[: points - 1]

    def check(module: Any) -> Iterator[Any]:
        random = Random(points)
        for _ in range(2):
            at = random_nodes(random, points - 1)
            weights = getattr(module, f"ipndm_v_{points}")(*at)
            spoilt = excess(at) if points == 4 else Fraction(0)
            for m, value in enumerate(moments(at)):
                yield moment(weights, (0, *at), m) - spoilt * (at[-1] ** m) - value

    says = (
        f"Weights of iPNDM-v over {points} points, as in the reference code: ``sum_j w_j c_j^m`` are 1, 1/2 and not "
        "the moments of a polynomial beyond."
    )
    return formula(f"ipndm_v_{points}", past, derived(past), says, "theory.variable_pndm.moments", check)


PIECES: tuple[Callable[[], Piece], ...] = (partial(piece, 3), partial(piece, 4))


# --- statements ---


def the_code() -> Statement:
    """The moments describe the code, letter by letter."""
    residual = []
    for count in (1, 2, 3):
        past = PAST[:count]
        residual += [sympy.cancel(a - b) for a, b in zip(derived(past), as_coded(past), strict=True)]
    return prove(
        "The weights of iPNDM-v by their moments",
        r"\sum_j w_j = 1, \ \sum_j w_j c_j = \tfrac12, \ \sum_j w_j c_j^2 = \tfrac12 (c_1 + c_1 c_2) - \tfrac16 "
        r"\quad \text{instead of } \tfrac13 \quad \text{(three points)}",
        residual,
        f"diffnum.solvers.generated: ipndm_v_3, ipndm_v_4; {SOURCE}",
    )


def equal_steps() -> Statement:
    """Three points are Adams-Bashforth, four have 11/24 where Adams-Bashforth has 9/24."""
    equal = [sympy.Integer(-j) for j in (1, 2, 3)]
    three, four = derived(equal[:2]), derived(equal)
    residual = [a - b for a, b in zip(three, (Q(23, 12), -Q(16, 12), Q(5, 12)), strict=True)]
    differences = (Q(1), Q(1, 2), Q(5, 12), Q(11, 24))
    binomials = ((1, 0, 0, 0), (1, -1, 0, 0), (1, -2, 1, 0), (1, -3, 3, -1))
    sums = [sum(d * row[j] for d, row in zip(differences, binomials, strict=True)) for j in range(4)]
    residual += [a - b for a, b in zip(four, sums, strict=True)]
    return prove(
        "iPNDM-v on equal steps",
        r"w = \tfrac1{12}(23, -16, 5); \qquad f_n + \tfrac12 \nabla + \tfrac5{12} \nabla^2 + \tfrac{11}{24} \nabla^3 "
        r"\ \text{ where Adams-Bashforth has } \tfrac38 \nabla^3",
        residual,
        f"diffnum.solvers.generated: ipndm_v_3, ipndm_v_4; {SOURCE}",
    )


def not_consistent() -> Statement:
    """The sum of the four weights, and where it is not one."""
    total = sympy.factor(sum(as_coded(PAST[:3])) - 1)
    return differ(
        "The four weights of iPNDM-v do not sum to one",
        r"\sum_j w_j - 1 \propto \frac{h_2}{h_3} - \frac{h_1}{h_2}",
        [total],
        [sympy.factor(excess(PAST[:3]))],
        {PAST[0]: Q(-1, 2), PAST[1]: Q(-3, 2), PAST[2]: Q(-2)},
        f"diffnum.solvers.generated: ipndm_v_4; {SOURCE}",
    )


CHAPTER: Chapter = (the_code, equal_steps, not_consistent)
