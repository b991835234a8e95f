"""Checks of exponential Runge-Kutta tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..exponential_trees import StiffOrder, classical_residuals, show_bicoloured, stiff_order
from ..num import phi
from ..series import Series, rational
from .entries import ARGUMENT, Combination, shown
from .numbers import Ball, middle, ratio, vanishes
from .records import Exponential
from .report import FAILS, HOLDS, NOTE, Finding, residual_text, sentence
from .slips import Slip, Unknown, proposal, solve

__all__ = ["HIGHEST", "check", "kind", "order", "row_defects", "slips", "stiff"]

# 34 conditions of order four, 117 of order five; beyond, an order is said to be at least so much
HIGHEST = 5
_LONGEST = 10**9
# up to it a table that claims nothing may owe its order to a slip
_LOW = 2
_Rows = tuple[Sequence[Sequence[Any]], Sequence[Any], Sequence[Any]]


def kind(table: Exponential) -> str:
    """How many stages."""
    return f"exponential Runge-Kutta of {table.stages} stage{'s' * (table.stages > 1)}"


def order(table: Exponential, highest: int = HIGHEST) -> tuple[int, dict[Any, Any]]:
    """The classical order for any operator, two-sided, and the conditions of the next order that fail."""
    for n in range(1, highest + 1):
        failed = {t: r for t, r in _residuals((table.A, table.b, table.nodes), n).items() if not vanishes(r)}
        if failed:
            return n - 1, failed
    return highest, {}


def _residuals(rows: _Rows, order: int) -> dict[Any, Any]:
    A, b, c = rows

    def series(entry: Combination) -> Series:
        return Series(0, tuple(entry.taylor(m) for m in range(order + 1)))

    def method(z: Any) -> Any:
        return c, [[series(a) for a in row] for row in A], [series(a) for a in b]

    return classical_residuals(method, order)


def row_defects(table: Exponential) -> list[Combination]:
    """``sum_j a_ij(z) - c_i phi_1(c_i z)`` of every stage, and the same of the step: whether constants are exact."""
    ends = [*table.nodes, rational(1)]
    return [_defect(row, c) for row, c in zip([*table.A, table.b], ends, strict=True)]


def _defect(row: Sequence[Combination], c: Any) -> Combination:
    total = sum(row, Combination({})) - (ARGUMENT * c).phi(1) * c
    return Combination({key: q for key, q in total.terms.items() if not vanishes(q)})


def stiff(table: Exponential) -> StiffOrder | None:
    """The order for unbounded operators up to 5; None where entries are irrational, for which it is not decided.

    Raises:
        ArithmeticError: an order of at least 5.
    """
    numbers = [*table.nodes, *(q for row in [*table.A, table.b] for a in row for q in a.terms.values())]
    if any(isinstance(x, Ball) and ratio(x).denominator > _LONGEST for x in numbers):
        return None
    nodes = [ratio(c) for c in table.nodes]

    def value(entry: Combination, z: Any) -> Any:
        parts = [
            phi(k, z * Fraction(int(c.numerator), int(c.denominator))) * ratio(q) for (k, c), q in entry.terms.items()
        ]
        return sum(parts, z * 0)

    def method(z: Any) -> Any:
        return nodes, [[value(a, z) for a in row[:i]] for i, row in enumerate(table.A)], [value(a, z) for a in table.b]

    return stiff_order(method, 5)


def check(table: Exponential, claim: int | None) -> tuple[int, list[Finding]]:
    """The classical order, and every check in turn."""
    found, failed = order(table)
    shape = Finding("shape", HOLDS, kind(table))
    if table.misfits:
        shape = Finding(
            "shape", FAILS, f"{sentence(table.misfits)}; what is missing is taken to be zero", table.misfits
        )
    return found, [shape, _rows(table), _order(found, failed, claim), _stiff(table)]


def _rows(table: Exponential) -> Finding:
    names = [*(f"row {i + 1}" for i in range(table.stages)), "the weights"]
    wrong = {name: d for name, d in zip(names, row_defects(table), strict=True) if d.terms}
    if not wrong:
        return Finding("row sums", HOLDS, "sum_j a_ij(z) = c_i phi_1(c_i z) in every row, and of the weights")
    at_zero = {name: d.taylor(0) for name, d in wrong.items()}
    said = sentence(f"{name} miss{'es' * (name != 'the weights')} c phi_1(c z) by {d}" for name, d in wrong.items())
    bad = any(not vanishes(x) for x in at_zero.values())
    if not bad:
        said += "; zero at z = 0, so constants are not exact, as in a Lawson method"
    residuals = tuple(float(middle(x)) for x in at_zero.values())
    return Finding("row sums", FAILS if bad else NOTE, said, tuple(wrong), residuals)


def _order(found: int, failed: Mapping[Any, Any], claim: int | None) -> Finding:
    said = [f"classical order {found}" + ("" if failed else " or more: every condition up to it holds")]
    short = claim is not None and found < claim and bool(failed)
    if short:
        said[0] += f", not {claim}"
    elif claim is not None and found > claim:
        said[0] += f", more than the claimed {claim}"
    said += [f"{show_bicoloured(t)} is missed by {residual_text(r)}" for t, r in list(failed.items())[:3]]
    if len(failed) > 3:
        said.append(f"and {len(failed) - 3} more of order {found + 1}")
    unseen = claim is not None and found < claim and not failed
    verdict = FAILS if short or not found else NOTE if claim is None or unseen else HOLDS
    where, residuals = tuple(show_bicoloured(t) for t in failed), tuple(float(middle(r)) for r in failed.values())
    return Finding("order", verdict, sentence(said), where, residuals)


def _stiff(table: Exponential) -> Finding:
    claim = table.stiff_order
    try:
        found = stiff(table)
    except ArithmeticError:
        return Finding("stiff order", HOLDS if claim is not None else NOTE, "stiff order 5 or more")
    if found is None:
        return Finding("stiff order", NOTE, "not decided for irrational entries")
    short = claim is not None and found.order < claim
    said = f"stiff order {found.order}" + (f", not {claim}" if short else "") + f"; {_readable(found.violated)} fails"
    return Finding(
        "stiff order", FAILS if short else HOLDS if claim is not None else NOTE, said, (_readable(found.violated),)
    )


def _readable(latex: str) -> str:
    return latex.replace("\\", "").replace("{", "").replace("}", "")


# --- slips ---


def slips(table: Exponential, claim: int | None, found: int) -> list[Slip]:
    """Single coefficients, arguments, indices or nodes whose change restores the claim, or the best that one can do."""
    made = _best(_search(table, claim)) if claim is not None and claim > found else []
    broken = any(not vanishes(d.taylor(0)) for d in row_defects(table))
    if not made and (broken or (found <= _LOW and (claim is None or claim > found))):
        made = [s for s in _best(_search(table, found + 1)) if broken or s.order >= found + 2]
    if not made and broken:
        made = _best(_search(table, found))
    return made


def _best(found: Iterator[Slip]) -> list[Slip]:
    every = list(found)
    top = max((slip.order for slip in every), default=0)
    return [slip for slip in every if slip.order == top]


def _search(table: Exponential, target: int) -> Iterator[Slip]:
    # with constants exact everywhere where there is such an entry, as in every method but those of Lawson
    exact = any(not d.terms for d in row_defects(table)[1:])
    for whole in (True, False) if exact else (False,):
        made = [*_coefficients(table, target, whole, new=False), *_replaced(table, target, whole)]
        made = made or [*_coefficients(table, target, whole, new=True)]
        yield from made
        if made:
            return


def _conditions(rows: _Rows, target: int, whole: bool) -> Iterator[Any]:
    A, b, c = rows
    if whole:
        for row, end in zip([*A, b], [*c, rational(1)], strict=True):
            yield from (sum(row, Combination({})) - (ARGUMENT * end).phi(1) * end).terms.values()
    for n in range(1, target + 1):
        yield from _residuals(rows, n).values()


def _places(table: Exponential) -> Iterator[tuple[str, int, int, Combination]]:
    for i, row in enumerate(table.A):
        yield from ((f"a_{i + 1}{j + 1}", i, j, a) for j, a in enumerate(row[:i]))
    yield from ((f"b_{j + 1}", table.stages, j, a) for j, a in enumerate(table.b))


def _put(table: Exponential, i: int, j: int, entry: Combination) -> _Rows:
    rows = [list(row) for row in [*table.A, table.b]]
    rows[i][j] = entry
    return tuple(map(tuple, rows[:-1])), tuple(rows[-1]), table.nodes


def _coefficients(table: Exponential, target: int, whole: bool, new: bool) -> Iterator[Slip]:
    """Coefficients of the terms of an entry, or of those that other entries have and it has not."""
    used = {key for _, _, _, entry in _places(table) for key in entry.terms}
    for where, i, j, entry in _places(table):
        for k, at in sorted(used - set(entry.terms)) if new else list(entry.terms):
            given = entry.terms.get((k, at), rational(0))
            rest = Combination({key: q for key, q in entry.terms.items() if key != (k, at)})

            def residuals(
                x: Any, i: int = i, j: int = j, k: int = k, at: Any = at, rest: Combination = rest
            ) -> Iterator[Any]:
                return _conditions(_put(table, i, j, Combination({**rest.terms, (k, at): x})), target, whole)

            what = f"the coefficient of {Combination({(k, at): rational(1)})} in {where}".replace(" 1 phi", " phi")
            for root in solve(Unknown(what, given, residuals)):
                value, written = proposal(root)
                if not vanishes(value - given):
                    mended = rest + Combination({(k, at): value})
                    yield _slip(table, i, j, mended, what, shown(given), written)


def _replaced(table: Exponential, target: int, whole: bool) -> Iterator[Slip]:
    """Another index or another argument of a phi function, or a node that is its row's."""
    arguments = {rational(ratio(c)) for c in table.nodes} | {rational(1)}
    for where, i, j, entry in _places(table):
        for (k, at), q in entry.terms.items():
            rest = Combination({key: p for key, p in entry.terms.items() if key != (k, at)})
            others = [(m, at) for m in range(5) if m != k] + [(k, c) for c in arguments if c != at and c]
            for m, c in others:
                mended = rest + Combination({(m, c): q})
                if all(map(vanishes, _conditions(_put(table, i, j, mended), target, whole))):
                    yield _slip(table, i, j, mended, where, str(entry), str(mended))
    for i, (row, c) in enumerate(zip(table.A, table.nodes, strict=True)):
        node = sum((a.taylor(0) for a in row), rational(0))
        moved = (*table.nodes[:i], node, *table.nodes[i + 1 :])
        if not vanishes(node - c) and all(map(vanishes, _conditions((table.A, table.b, moved), target, whole))):
            mended = replace(table, c=moved)
            yield Slip(f"c_{i + 1}", shown(c), shown(node), order(mended)[0], value=node)


def _slip(table: Exponential, i: int, j: int, entry: Combination, where: str, given: str, written: str) -> Slip:
    A, b, c = _put(table, i, j, entry)
    return Slip(where, given, written, order(replace(table, A=A, b=b, c=c))[0], value=entry)
