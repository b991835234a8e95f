"""Conversions between predictions, folded into the lines that use them.

What a network returns may be read as another prediction: a combination of it and its input, which a plan either stores
once in a register of its own or has in every line that uses it, whichever takes fewer terms. A term is what runs are
made of: line by line each is a pass that reads the sum so far and a register and writes the sum; where all lines
between two evaluations are one pass, each is a register that is read, and a register stored is one that is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from .nodes import evaluated, linear
from .plan import Eval, Lin, Line

__all__ = ["fold", "product"]

_coefficient = itemgetter(1)


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
    keep = frozenset({*states, *outputs, *(line.x for line in lines if isinstance(line, Eval))})
    noise = frozenset(r for r, quantity in conversions.items() if quantity == "noise")
    form = _folded(tuple([_read(line) for line in lines]), tuple(sorted(conversions)), noise, keep)
    report = [(lines[r - 1].step, lines[r - 1].name, *both) for r, both in form.counted]
    number = form.number
    return form.of(lines), [number[r] for r in states], [number[r] for r in outputs], report


def _read(line: Line) -> tuple[int, ...] | int | None:
    """What a combination reads, what an evaluation does."""
    if isinstance(line, Lin):
        return tuple([q for q, _ in line.terms])
    return line.x if isinstance(line, Eval) else None


@dataclass(frozen=True)
class _Form:
    """Which conversions are folded, whatever the numbers.

    Attributes:
        kept: the lines that stay: their place, what they read then, and the conversions that are put into them.
        number: new registers by old ones.
        counted: of every conversion what it takes folded and stored.
    """

    kept: tuple[tuple[int, Any, tuple[int, ...]], ...]
    number: Mapping[int, int]
    counted: tuple[tuple[int, tuple[int, int]], ...]

    def of(self, lines: Sequence[Line]) -> list[Line]:
        """The lines that stay, of lines of this form.

        Raises:
            Infinite: a product of finite coefficients is not finite.
        """
        found: list[Line] = []
        joined: list[Line] = []
        for i, read, put in self.kept:
            line = lines[i]
            if isinstance(line, Lin):
                line = linear(_joined(line, read, put, lines), line.name, line.step)
                # products of finite coefficients may overflow
                joined += [line] if put else []
            elif isinstance(line, Eval):
                line = evaluated(read, line.level, line.quantity, line.name, line.step)
            found.append(line)
        finite(joined)
        return found


def _joined(line: Lin, read: Sequence[int], put: Sequence[int], lines: Sequence[Line]) -> tuple[tuple[int, Any], ...]:
    """The terms of a line with other registers, conversions in the place of some."""
    if not put:
        return tuple(zip(read, map(_coefficient, line.terms), strict=True))
    form = dict(line.terms)
    for r in put:
        _substitute(form, r, _terms(lines[r - 1]))
    return tuple(zip(read, form.values(), strict=True))


# plans of one sampler on grids of as many steps have one form
@lru_cache(maxsize=16)
def _folded(reads: tuple[Any, ...], conversions: tuple[int, ...], noise: frozenset[int], keep: frozenset[int]) -> _Form:
    folded, counted = _chosen(reads, conversions, keep, {r: 3 if r in noise else 1 for r in conversions})
    if not noise - keep <= folded.keys():
        folded, counted = _chosen(reads, conversions, keep, dict.fromkeys(conversions, 1))
    kept, number = _renumbered(reads, folded)
    return _Form(kept, number, tuple((r, counted[r]) for r in conversions))


def _chosen(
    reads: Sequence[Any], conversions: Sequence[int], keep: frozenset[int], passes: Mapping[int, int]
) -> tuple[dict[int, list[int]], dict[int, tuple[int, int]]]:
    """What is folded, in order, into which lines; and what each reading takes folded and stored, which is so many
    passes besides its uses."""
    readers, forms = _readers(reads, conversions)
    counted: dict[int, tuple[int, int]] = {}
    folded: dict[int, list[int]] = {}

    def consider(some: list[int]) -> bool:
        """Fold some readings of one prediction if that pays."""
        users = {i for r in some for i in readers[r]} if len(some) > 1 else readers[some[0]]
        # two readings of one prediction have the same terms
        of = reads[some[0] - 1]
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
        for r in some:
            folded[r] = readers[r]
            for i in readers[r]:
                forms[i].remove(r)
                forms[i].update(reads[r - 1])
        return True

    for readings in _by_prediction(reads, conversions):
        free = [r for r in readings if r not in keep]
        # a line of two readings needs their terms once
        if len(free) < 2 or not consider(free):
            for r in free:
                consider([r])
        counted.update(
            {r: (passes[r] + 1 + len(readers[r]), passes[r] + len(readers[r])) for r in readings if r in keep}
        )
    return folded, counted


def _terms(line: Line) -> tuple[tuple[int, Any], ...]:
    assert isinstance(line, Lin)
    return line.terms


def _by_prediction(reads: Sequence[Any], conversions: Iterable[int]) -> list[list[int]]:
    """Conversions of one prediction together, in order."""
    found: dict[int, list[int]] = {}
    for r in conversions:
        found.setdefault(reads[r - 1][-1], []).append(r)
    return list(found.values())


def _readers(reads: Sequence[Any], conversions: Iterable[int]) -> tuple[dict[int, list[int]], dict[int, set[int]]]:
    """The lines that read each conversion, in order, and what these lines read."""
    readers: dict[int, list[int]] = {r: [] for r in conversions}
    forms: dict[int, set[int]] = {}
    for i, read in enumerate(reads):
        if type(read) is tuple:
            for q in read:
                if q in readers:
                    readers[q].append(i)
                    forms[i] = forms.get(i) or set(read)
    return readers, forms


def _substitute(form: dict[int, Any], r: int, terms: tuple[tuple[int, Any], ...]) -> None:
    """Put a combination in the place of register ``r``."""
    factor = form.pop(r)
    for q, c in terms:
        c = factor if isinstance(c, float) and c == 1.0 else factor * c
        form[q] = form[q] + c if q in form else c


def _renumbered(
    reads: Sequence[Any], folded: Mapping[int, Sequence[int]]
) -> tuple[tuple[tuple[int, Any, tuple[int, ...]], ...], dict[int, int]]:
    """Of the lines without ``folded`` ones their place, what they read and what is put into them; the registers' new
    numbers."""
    put: dict[int, list[int]] = {}
    for r, users in folded.items():
        for i in users:
            put.setdefault(i, []).append(r)
    number = {0: 0}
    kept: list[tuple[int, Any, tuple[int, ...]]] = []
    for i, read in enumerate(reads):
        if i + 1 in folded:
            continue
        if type(read) is tuple:
            form = dict.fromkeys(read)
            for r in put.get(i, ()):
                del form[r]
                form.update(dict.fromkeys(reads[r - 1]))
            now: Any = tuple([number[q] for q in form])
        else:
            now = None if read is None else number[read]
        kept.append((i, now, tuple(put.get(i, ()))))
        number[i + 1] = len(kept)
    return tuple(kept), number


class Infinite(Exception):
    """A coefficient is not finite; the argument is the step."""


def finite(lines: list[Line]) -> list[Line]:
    """The lines, if their coefficients are numbers.

    Raises:
        Infinite: one is not.
    """
    numbers = [c for line in lines if isinstance(line, Lin) for _, c in line.terms]
    if {*map(type, numbers)} != {float}:
        numbers = [c for c in numbers if isinstance(c, float)]
    # a sum of what is infinite, or no number, is that too; large ones are looked at one by one
    if not math.isfinite(sum(numbers)) and not all(map(math.isfinite, numbers)):
        linear = (line for line in lines if isinstance(line, Lin))
        bad = (a for a in linear for _, c in a.terms if isinstance(c, float) and not math.isfinite(c))
        raise Infinite(next(bad).step)
    return lines
