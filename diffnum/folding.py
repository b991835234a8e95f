"""Conversions between predictions, folded into the lines that use them.

What a network returns may be read as another prediction: a combination of it and its input, which a plan either stores
once in a register of its own or has in every line that uses it, whichever moves fewer registers.
"""

from __future__ import annotations

from typing import Any

from .plan import Eval, Lin, Line

__all__ = ["fold", "product"]


def product(c: Any, a: Any) -> Any:
    """``c * a``; 1.0 is the identity for every kind of number, so that exact kinds stay exact."""
    return c if isinstance(a, float) and a == 1.0 else c * a


def fold(
    lines: list[Line], conversions: set[int], states: list[int], outputs: list[int]
) -> tuple[list[Line], list[int], list[int], list[tuple[int, str, int, int]]]:
    """Fold a conversion into its users where that moves fewer registers than storing it, and renumber.

    A stored conversion costs two reads, one write and one read per use; a folded one costs a read
    of the prediction per use, and a read of its input where the user does not read that already.
    """
    if not conversions:
        return lines, states, outputs, []
    keep = {*states, *outputs, *(line.x for line in lines if isinstance(line, Eval))}
    report: list[tuple[int, str, int, int]] = []
    readers, forms = _readers(lines, conversions)
    folded: set[int] = set()
    for r in sorted(conversions):
        line = lines[r - 1]
        assert isinstance(line, Lin)
        users = readers[r]
        inlined = sum([q not in forms[i] for i in users for q, _ in line.terms])
        stored = 3 + len(users)
        report.append((line.step, line.name, stored + 1 if r in keep else inlined, stored))
        if r not in keep and inlined <= stored:
            folded.add(r)
            for i in users:
                _substitute(forms[i], r, line.terms)
    kept, number = _renumbered(lines, forms, folded)
    return kept, [number[r] for r in states], [number[r] for r in outputs], report


def _readers(lines: list[Line], conversions: set[int]) -> tuple[dict[int, list[int]], dict[int, dict[int, Any]]]:
    """The lines that read each conversion, in order, and the terms of these lines."""
    readers: dict[int, list[int]] = {r: [] for r in conversions}
    forms: dict[int, dict[int, Any]] = {}
    for i, line in enumerate(lines):
        if isinstance(line, Lin):
            for q, _ in line.terms:
                if q in readers:
                    readers[q].append(i)
                    forms[i] = forms.get(i) or dict(line.terms)
    return readers, forms


def _substitute(form: dict[int, Any], r: int, terms: tuple[tuple[int, Any], ...]) -> None:
    """Put a combination in the place of register ``r``."""
    factor = form.pop(r)
    for q, c in terms:
        c = product(factor, c)
        form[q] = form[q] + c if q in form else c


def _renumbered(
    lines: list[Line], forms: dict[int, dict[int, Any]], folded: set[int]
) -> tuple[list[Line], dict[int, int]]:
    """The lines without ``folded`` ones, with the terms of ``forms`` where it has any; the registers' new numbers."""
    number = {0: 0}
    kept: list[Line] = []
    for r, line in enumerate(lines, 1):
        if r in folded:
            continue
        if isinstance(line, Lin):
            terms = forms[r - 1].items() if r - 1 in forms else line.terms
            line = Lin(tuple([(number[q], c) for q, c in terms]), line.name, line.step)
        elif isinstance(line, Eval):
            line = Eval(number[line.x], line.level, line.quantity, line.name, line.step)
        kept.append(line)
        number[r] = len(kept)
    return kept, number
