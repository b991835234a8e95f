"""Single wrong entries of Runge-Kutta tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from ..series import rational
from .conditions import density, plain, weights
from .entries import shown
from .numbers import vanishes
from .records import RungeKutta
from .report import sentence
from .runge_kutta import HIGHEST, order, row_sums
from .slips import Slip, Unknown, proposal, solve

__all__ = ["slips"]

# up to it a table that claims nothing may owe its order to a slip
_LOW = 4
# rows that may hold a slip each
_ROWS = 3


def slips(table: RungeKutta, claim: int | None, found: int) -> list[Slip]:
    """Single entries whose change restores the claim; the best that one entry can do where none does."""
    made = _ranked(table, _search(table, claim)) if claim is not None and found < claim <= HIGHEST else []
    wrong = sum(not vanishes(r) for r in row_sums(table))
    broken = wrong or not vanishes(sum(table.b, rational(0)) - 1)
    if not made and (broken or (found <= _LOW and (claim is None or claim > found))):
        made = _ranked(table, _search(table, found + 1))
        # any method may gain an order by a change of one entry: a mended one gains more, or is the only one of its kind
        one_sum = wrong == 1 or (broken and not wrong)
        made = [slip for slip in made if slip.order >= found + 2 or (one_sum and len(made) == 1)]
    if not made and wrong == 1:
        made = _ranked(table, _search(table, found))
        made = made if len(made) == 1 or (claim is not None and claim <= found) else []
    if not made and 1 < wrong <= _ROWS:
        made = _one_in_each_row(table, found + 2)
    return made + _embedded_slips(table, found)


def _one_in_each_row(table: RungeKutta, target: int) -> list[Slip]:
    """One entry in every row whose sum is no node: each is told by its row, and all of them by the order."""
    tried = []
    for i, defect in enumerate(row_sums(table)):
        if not vanishes(defect):
            tried.append(
                [(i, j, table.A[i][j] - defect) for j in _columns(table, i)] + [(i, None, table.nodes[i] + defect)]
            )
    for parts in product(*tried):
        A, c = table.A, table.nodes
        for i, j, x in parts:
            if j is None:
                c = _with(c, i, x)
            else:
                A = _with(A, i, _with(A[i], j, x))
        mended = replace(table, A=A, c=c)
        if order(mended, target)[0] >= target:
            reached = order(mended)[0]
            names = [f"c_{i + 1}" if j is None else _name(table, i, j) for i, j, _ in parts]
            given = [table.nodes[i] if j is None else table.A[i][j] for i, j, _ in parts]
            said = [f"together with {', '.join(n for n in names if n != name)}" for name in names]
            written = [proposal(x) for _, _, x in parts]
            return [
                Slip(n, shown(g), w, reached, r, v) for n, g, (v, w), r in zip(names, given, written, said, strict=True)
            ]
    return []


def _columns(table: RungeKutta, i: int) -> range:
    """Where a row may have entries."""
    lower = all(vanishes(a) for k, row in enumerate(table.A) for a in row[k + 1 :])
    return range(i if table.explicit else i + 1 if lower else table.stages)


def _name(table: RungeKutta, i: int, j: int) -> str:
    return f"a_{i + 1}{j + 1}" if table.stages < 10 else f"a_{i + 1},{j + 1}"


def _embedded_slips(table: RungeKutta, found: int) -> list[Slip]:
    if table.embedded is None:
        return []
    other = table.with_weights(table.embedded)
    p, wanted = order(other)[0], table.embedded_order or max(found - 1, 1)
    if p >= wanted:
        return []
    best = _ranked(other, (pair for pair in _search(other, wanted) if pair[0].where.startswith("b_")))
    return [replace(slip, where=f"embedded {slip.where}") for slip in best]


Mended = tuple[Slip, RungeKutta]


def _ranked(table: RungeKutta, found: Iterator[Mended]) -> list[Slip]:
    """Those of highest order, and of these the ones for which most speaks."""
    scored = []
    for slip, mended in found:
        second = order(mended.with_weights(mended.embedded))[0] if mended.embedded is not None else 0
        last = _first_same_as_last(mended) and not _first_same_as_last(table)
        remark = sentence([slip.remark, "its last row is then the weights" if last else ""])
        scored.append(((slip.order, second, last), replace(slip, remark=remark)))
    best = max((score for score, _ in scored), default=None)
    return [slip for score, slip in scored if score == best]


def _first_same_as_last(table: RungeKutta) -> bool:
    return all(vanishes(a - b) for a, b in zip(table.A[-1], table.b, strict=True))


def _search(table: RungeKutta, target: int) -> Iterator[Mended]:
    """Every single entry that gives the table an order of ``target``, with the mended table."""
    wrong = [i for i, r in enumerate(row_sums(table)) if not vanishes(r)]
    found = False
    if len(wrong) <= 1:
        for unknown, place in _unknowns(table, target, wrong):
            for mended in _mended(table, unknown, place, target):
                found = True
                yield mended
    if wrong and not found:
        simple = replace(table, c=None)
        for unknown, place in _unknowns(simple, target, []):
            for slip, mended in _mended(simple, unknown, place, target):
                said = "for y' = f(y), since more is wrong with the nodes"
                yield replace(slip, remark=said), mended


def _mended(table: RungeKutta, unknown: Unknown, place: Callable[[Any], RungeKutta], target: int) -> Iterator[Mended]:
    for root in solve(unknown):
        value, written = proposal(root)
        if vanishes(value - unknown.given):
            continue
        mended = place(value)
        reached, _ = order(mended)
        if reached >= min(target, HIGHEST):
            yield Slip(unknown.where, shown(unknown.given), written, reached, unknown.follows, value), mended


def _unknowns(
    table: RungeKutta, target: int, wrong: Sequence[int]
) -> Iterator[tuple[Unknown, Callable[[Any], RungeKutta]]]:
    """Entries that may be the slip: of the one row whose sum is no node, or else all, with nodes that follow."""
    first = _violated(table, target, wrong)

    def row_entries(i: int, follows: bool) -> Iterator[tuple[Unknown, Callable[[Any], RungeKutta]]]:
        for j in _columns(table, i):
            rest = sum((a for k, a in enumerate(table.A[i]) if k != j), rational(0))

            def put(x: Any, j: int = j, rest: Any = rest) -> tuple[Any, Any, Any]:
                c = _with(table.nodes, i, rest + x) if follows else table.nodes
                return _with(table.A, i, _with(table.A[i], j, x)), table.b, c

            said = f"c_{i + 1} follows" if follows and table.c is not None else ""
            yield _unknown(table, _name(table, i, j), table.A[i][j], put, first, target, said)

    if wrong:
        i = wrong[0]
        yield from row_entries(i, follows=False)
        yield _unknown(
            table, f"c_{i + 1}", table.nodes[i], lambda x: (table.A, table.b, _with(table.nodes, i, x)), first, target
        )
        return
    for j, b in enumerate(table.b):
        yield _unknown(
            table, f"b_{j + 1}", b, lambda x, j=j: (table.A, _with(table.b, j, x), table.nodes), first, target
        )
    for i in range(table.stages):
        yield from row_entries(i, follows=True)


def _violated(table: RungeKutta, target: int, wrong: Sequence[int]) -> list[Any]:
    """Conditions that fail now, which tell most, before those that hold."""
    weight = weights(table.A, table.b, table.nodes)
    trees = [t for n in range(1, target + 1) for t in plain(n)]
    return sorted(trees, key=lambda t: vanishes(weight(t) - rational(1, density(t))))


def _unknown(
    table: RungeKutta,
    where: str,
    given: Any,
    put: Callable[[Any], tuple[Any, Any, Any]],
    trees: Sequence[Any],
    target: int,
    follows: str = "",
) -> tuple[Unknown, Callable[[Any], RungeKutta]]:
    def conditions(x: Any) -> Iterator[Any]:
        A, b, c = put(x)
        for row, node in zip(A, c, strict=True):
            yield sum(row, rational(0)) - node
        weight = weights(A, b, c)
        for tree in trees:
            yield weight(tree) - rational(1, density(tree))

    def place(x: Any) -> RungeKutta:
        A, b, c = put(x)
        return replace(table, A=A, b=b, c=None if table.c is None else c)

    return Unknown(where, given, conditions, follows), place


def _with(values: Sequence[Any], i: int, x: Any) -> tuple[Any, ...]:
    return (*values[:i], x, *values[i + 1 :])
