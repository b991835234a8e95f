"""Checks of Runge-Kutta tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..series import rational
from .conditions import autonomous, bracket, clocked, formula, order_of, plain, stage_order, weights
from .entries import shown
from .numbers import vanishes
from .records import RungeKutta
from .report import FAILS, HOLDS, NOTE, Finding, residual_text, sentence
from .stability import stability

__all__ = ["check", "kind", "order", "row_sums"]

# 719 trees; beyond, an order is said to be at least so much
HIGHEST = 10
# conditions of a table whose nodes are not its row sums: there are more of them
HIGHEST_CLOCKED = 7


def kind(table: RungeKutta) -> str:
    """Explicit, diagonally implicit or implicit."""
    lower = all(vanishes(a) for i, row in enumerate(table.A) for a in row[i + 1 :])
    word = "explicit" if table.explicit else "diagonally implicit" if lower else "implicit"
    return f"{word} Runge-Kutta of {table.stages} stage{'s' * (table.stages > 1)}"


def row_sums(table: RungeKutta) -> list[Any]:
    """``sum_j a_ij - c_i`` of every stage; zeros where the nodes are the row sums by definition."""
    if table.c is None:
        return [rational(0)] * table.stages
    return [sum(row, rational(0)) - c for row, c in zip(table.A, table.c, strict=True)]


def order(table: RungeKutta, highest: int = HIGHEST, of: str = "any") -> tuple[int, dict[Any, Any]]:
    """The order, two-sided, and the conditions of the next order that fail; none where ``highest`` is reached.

    Args:
        of: ``any``: for ``y' = f(t, y)`` with the nodes as they are given; ``autonomous``: for ``y' = f(y)``.
    """
    weight = weights(table.A, table.b, table.nodes)
    if of == "autonomous":
        return order_of(weight, autonomous, highest)
    if all(map(vanishes, row_sums(table))):
        return order_of(weight, plain, highest)
    return order_of(weight, clocked, min(highest, HIGHEST_CLOCKED))


def check(table: RungeKutta, claim: int | None) -> tuple[int, list[Finding]]:
    """The order, and every check in turn."""
    found, failed = order(table)
    findings = [_shape(table), _rows(table), _weights(table), _order(table, claim, found, failed)]
    highest = min(2 * table.stages, HIGHEST)
    q = stage_order(table.A, table.b, table.nodes, highest)
    findings.append(Finding("stage order", NOTE, f"stage order {q}"))
    if table.embedded is not None:
        findings.append(_embedded(table, found))
    findings.append(_stability(table))
    return found, findings


def _shape(table: RungeKutta) -> Finding:
    if table.misfits:
        return Finding("shape", FAILS, f"{sentence(table.misfits)}; what is missing is taken to be zero", table.misfits)
    return Finding("shape", HOLDS, kind(table))


def _rows(table: RungeKutta) -> Finding:
    wrong = {i: r for i, r in enumerate(row_sums(table), 1) if not vanishes(r)}
    if table.c is None:
        return Finding("row sums", NOTE, "no nodes are given: they are the row sums")
    if not wrong:
        return Finding("row sums", HOLDS, "c_i = sum_j a_ij in every row")
    said = sentence(f"sum_j a_{i}j - c_{i} = {residual_text(r)}" for i, r in wrong.items())
    return Finding("row sums", FAILS, said, tuple(f"row {i}" for i in wrong), tuple(_float(r) for r in wrong.values()))


def _float(x: Any) -> float:
    return float(getattr(x, "mid", x))


def _weights(table: RungeKutta) -> Finding:
    excess = sum(table.b, rational(0)) - 1
    if vanishes(excess):
        return Finding("weights", HOLDS, "sum_i b_i = 1")
    return Finding("weights", FAILS, f"sum_i b_i - 1 = {residual_text(excess)}", ("b",), (_float(excess),))


def _order(table: RungeKutta, claim: int | None, found: int, failed: dict[Any, Any]) -> Finding:
    consistent = all(map(vanishes, row_sums(table)))
    simple = found if consistent else order(table, of="autonomous")[0]
    clock = "τ" if consistent else "t"
    said = [_reached(found, failed, claim)]
    if simple != found and failed:
        said.append(f"order {simple} for y' = f(y), where the nodes are not seen")
    first = list(failed.items())[:3]
    said += [f"{bracket(t, clock)}: {formula(t)} is missed by {residual_text(r)}" for t, r in first]
    if len(failed) > 3:
        said.append(f"and {len(failed) - 3} more of order {found + 1}")
    short = claim is not None and found < claim and bool(failed)
    unseen = claim is not None and found < claim and not failed
    where, residuals = tuple(bracket(t, clock) for t in failed), tuple(_float(r) for r in failed.values())
    verdict = FAILS if short or not found else NOTE if claim is None or unseen else HOLDS
    return Finding("order", verdict, sentence(said), where, residuals)


def _reached(found: int, failed: dict[Any, Any], claim: int | None) -> str:
    if not failed:
        said = f"order {found} or more: every condition up to it holds"
        return said + (f", and no more are looked at for {claim}" if claim is not None and claim > found else "")
    said = f"order {found}"
    if claim is None or claim == found:
        return said
    return f"{said}, not {claim}" if found < claim else f"{said}, more than the claimed {claim}"


def _embedded(table: RungeKutta, found: int) -> Finding:
    """The order of the embedded weights, and whether an error estimate sees anything."""
    other = table.with_weights(table.embedded)
    p, failed = order(other)
    clock = "τ" if all(map(vanishes, row_sums(table))) else "t"
    said = [f"order {p}"]
    if failed:
        tree, residual = next(iter(failed.items()))
        said.append(f"{bracket(tree, clock)}: {formula(tree)} is missed by {residual_text(residual)}")
    claim = table.embedded_order
    bad = claim is not None and p < claim
    if bad:
        said[0] += f", not {claim}"
    difference = [x - y for x, y in zip(table.b, table.embedded, strict=True)]
    if all(map(vanishes, difference)):
        said.append("degenerate: the weights are those of the method, and the estimate is zero")
        bad = True
    elif _blind_to_quadrature(difference, table.nodes):
        said.append("degenerate: on y' = f(t) the estimate is zero, whatever the error")
    elif p == found:
        said.append("both have one order, so that the estimate is of the size of the error")
    return Finding("embedded", FAILS if bad or not p else HOLDS if claim is not None else NOTE, sentence(said),
                   tuple(bracket(t, clock) for t in failed), tuple(_float(r) for r in failed.values()))  # fmt: skip


def _blind_to_quadrature(difference: Sequence[Any], nodes: Sequence[Any]) -> bool:
    """Whether weights cancel at every node."""
    pairs = sorted(zip((shown(c) for c in nodes), difference, strict=True), key=lambda pair: pair[0])
    return all(vanishes(sum((d for _, d in same), rational(0))) for _, same in groupby(pairs, key=lambda pair: pair[0]))


def _stability(table: RungeKutta) -> Finding:
    s = stability(table)
    said = [f"R(z) = {s}"] if table.stages <= 8 else []
    said.append(f"real interval {_length(s.real)}, imaginary {_length(s.imaginary)}")
    if not table.explicit:
        said.append("L-stable" if s.l_stable else "A-stable" if s.a_stable else "not A-stable")
    return Finding("stability", NOTE, sentence(said))


def _length(x: float) -> str:
    return "all" if math.isinf(x) else f"{x:.6g}"
