"""Conversions between predictions, folded into the lines that use them.

What a network returns may be read as another prediction: a combination of it and its input, which a plan either stores
once in a register of its own or has in every line that uses it, whichever takes fewer terms. A term is what runs are
made of: line by line each is a pass that reads the sum so far and a register and writes the sum; where all lines
between two evaluations are one pass, each is a register that is read, and a register stored is one that is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .nodes import made
from .plan import Eval, Lin, Line

__all__ = ["fold", "product"]


def product(c: Any, a: Any) -> Any:
    """``c * a``; 1.0 is the identity for every kind of number, so that exact kinds stay exact."""
    return c if isinstance(a, float) and a == 1.0 else c * a


def fold(
    lines: list[Line], conversions: Mapping[int, str], states: list[int], outputs: list[int]
) -> tuple[list[Line], list[int], list[int], list[tuple[int, str, int, int]]]:
    """Fold a conversion into its users where that takes no more terms than storing it, and renumber.

    A stored conversion costs one pass, ``x + c F`` but for a factor that its users take over, and a term per use; a
    folded one a term per use for the prediction, and another for its input where the user does not read that already.
    Noise that is stored, ``(x - alpha D) / sigma``, is rounded at the size of ``x / sigma``, and Adams weights that
    cancel multiply that; so it counts two more where all of a plan is folded then.

    Args:
        conversions: registers of readings, and what each reads.
    """
    if not conversions:
        return lines, states, outputs, []
    keep = {*states, *outputs, *(line.x for line in lines if isinstance(line, Eval))}
    noise = {r for r, quantity in conversions.items() if quantity == "noise"}
    forms, folded, counted = _chosen(lines, sorted(conversions), keep, {r: 3 if r in noise else 1 for r in conversions})
    if not noise - keep <= folded:
        forms, folded, counted = _chosen(lines, sorted(conversions), keep, dict.fromkeys(conversions, 1))
    report = [(lines[r - 1].step, lines[r - 1].name, *counted[r]) for r in sorted(conversions)]
    kept, number = _renumbered(lines, forms, folded)
    return kept, [number[r] for r in states], [number[r] for r in outputs], report


def _chosen(
    lines: list[Line], conversions: Sequence[int], keep: set[int], passes: Mapping[int, int]
) -> tuple[dict[int, dict[int, Any]], set[int], dict[int, tuple[int, int]]]:
    """The users' terms, what is folded into them, and what each reading takes folded and stored, which is so many
    passes besides its uses."""
    readers, forms = _readers(lines, conversions)
    counted: dict[int, tuple[int, int]] = {}
    folded: set[int] = set()

    def consider(some: list[int]) -> bool:
        """Fold some readings of one prediction if that pays."""
        users = {i for r in some for i in readers[r]} if len(some) > 1 else readers[some[0]]
        # two readings of one prediction have the same terms
        of = [q for q, _ in _terms(lines[some[0] - 1])]
        inlined = stored = 0
        for i in users:
            form = forms[i]
            for q in of:
                if q not in form:
                    inlined += 1
        for r in some:
            stored += passes[r] + len(readers[r])
        for r in some:
            counted[r] = inlined, stored
        if inlined > stored:
            return False
        folded.update(some)
        for r in some:
            for i in readers[r]:
                _substitute(forms[i], r, _terms(lines[r - 1]))
        return True

    for readings in _by_prediction(lines, conversions):
        free = [r for r in readings if r not in keep]
        # a line of two readings needs their terms once
        if len(free) < 2 or not consider(free):
            for r in free:
                consider([r])
        counted.update(
            {r: (passes[r] + 1 + len(readers[r]), passes[r] + len(readers[r])) for r in readings if r in keep}
        )
    return forms, folded, counted


def _terms(line: Line) -> tuple[tuple[int, Any], ...]:
    assert isinstance(line, Lin)
    return line.terms


def _by_prediction(lines: list[Line], conversions: Iterable[int]) -> list[list[int]]:
    """Conversions of one prediction together, in order."""
    found: dict[int, list[int]] = {}
    for r in sorted(conversions):
        found.setdefault(_terms(lines[r - 1])[-1][0], []).append(r)
    return list(found.values())


def _readers(lines: list[Line], conversions: Iterable[int]) -> tuple[dict[int, list[int]], dict[int, dict[int, Any]]]:
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
        c = factor if isinstance(c, float) and c == 1.0 else factor * c
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
            read = tuple([(number[q], c) for q, c in terms])
            line = made(Lin, {"terms": read, "name": line.name, "step": line.step})
        elif isinstance(line, Eval):
            line = made(Eval, {**line.__dict__, "x": number[line.x]})
        kept.append(line)
        number[r] = len(kept)
    return kept, number


class Infinite(Exception):
    """A coefficient is not finite; the argument is the step."""


def finite(lines: list[Line]) -> list[Line]:
    """The lines, if their coefficients are numbers.

    Raises:
        Infinite: one is not.
    """
    linear = [line for line in lines if isinstance(line, Lin)]
    numbers = [c for line in linear for _, c in line.terms]
    if {*map(type, numbers)} != {float}:
        numbers = [c for c in numbers if isinstance(c, float)]
    # infinite, or no number
    if not all(map(math.isfinite, numbers)):
        bad = (a for a in linear for _, c in a.terms if isinstance(c, float) and not math.isfinite(c))
        raise Infinite(next(bad).step)
    return lines
