"""A plan as it is run: without registers that nobody needs, and with scales that save a pass over memory."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace
from itertools import chain
from typing import Any

from ..plan import Eval, Lin, Line, Plan, sources
from .pieces import handed, held, once

__all__ = ["lean", "unit"]

# beyond these ratios a scale could cost a float32 its range
_RANGE = 2.0**20
# of a line that is solved for one of its terms, others take it once: more would magnify what it was rounded by
_CLOSE = 1e-9
# how many times the coefficients of a step, and with them the rounding of its sums, may grow
_GROWTH = 8.0

Terms = dict[int, Any]


def lean(plan: Plan) -> Plan:
    """The plan without registers that nobody sees and nobody needs.

    A predictor-corrector method makes two states of each step, the corrected ``x`` and the predicted ``u`` at which the
    model is asked:

        x_i = r x_{i-1} + sum b D,    u_i = r' x_i + sum c D,    x_{i+1} = r' x_i + b_0 D_i + sum b D.

    The second line gives ``x_i`` in terms of ``u_i``, so that ``x_{i+1} = u_i + b_0 D_i + sum (b - c) D``, and the next
    ``u`` is a combination of this one and the predictions: nobody needs ``x``. So a register that is not handed out is
    replaced in the first line that reads it, of the same step, by its terms, and in later lines by that line solved
    for it. This is done where fewer registers are moved, no more are held, later lines read nothing else than before
    and have the register in the same proportion, and where the sizes of coefficients, and with them the rounding of the
    sums of a step, grow at most eight-fold. Linear lines that nothing needs are left out.

    The result has registers of its own numbers; ``states`` and ``partners`` are those that are left.
    """
    return once(plan, "lean", lambda: _lean(plan)) or plan


def unit(plan: Plan, watched: Set[int] = frozenset()) -> Plan:
    """The plan with stored predictions divided by their larger coefficient, so that this becomes one.

    ``D = a x + b F`` takes two passes over memory, a product and a sum; ``D / a = x + (b / a) F`` takes one. Whoever
    reads it multiplies a coefficient by ``a``: the sample is the same but for rounding, which is that of a term as
    before, a relative ``2^-24`` in float32. Registers that others see, or that are ``watched``, stay as they are.
    """
    return once(plan, ("unit", frozenset(watched)), lambda: _unit(plan, watched)) or plan


def _lean(plan: Plan) -> Plan | None:
    seen = handed(plan) | {r for _, r in plan.inputs}
    forms: dict[int, Terms] = {}
    readers: dict[int, list[int]] = {}
    asked = [0]
    for r, line in enumerate(plan.lines, 1):
        asked.append(asked[-1] + (not isinstance(line, Lin)))
        # a register that stands twice in a line is rare, and left alone
        if isinstance(line, Lin) and _plain(c for _, c in line.terms) and len(dict(line.terms)) == len(line.terms):
            forms[r] = dict(line.terms)
        for q in {q for q, _ in line.terms} if isinstance(line, Lin) else ():
            readers.setdefault(q, []).append(r)
    gone, ordered = set[int](), dict(forms)
    for r in [r for r in forms if r not in seen and r in readers]:
        first, *later = readers[r]
        if asked[first] != asked[r] or not all(q in forms for q in readers[r]):
            continue
        changed = _without(r, first, later, forms)
        if changed is not None:
            gone.add(r)
            for q in chain(forms[r], forms[first]):
                readers[q] = [p for p in readers[q] if p not in (r, first, *later)]
            forms |= changed
            for p, terms in changed.items():
                for q in terms:
                    readers[q] = sorted({*readers.get(q, ()), p})
    used = seen | {q for r, line in enumerate(plan.lines, 1) if r not in forms for q in sources(line)}
    for r in sorted(forms, reverse=True):
        if r in used and r not in gone:
            used.update(forms[r])
        else:
            gone.add(r)
    if not gone:
        return None
    # the state first, then from the newest prediction to the oldest, which is added up first
    for p in (p for p in forms if forms[p] is not ordered[p]):
        state, *rest = forms[p].items()
        forms[p] = dict([state, *sorted(rest, reverse=True)])
    leaner = _renumbered(plan, forms, gone)
    return leaner if held(leaner) <= held(plan) else None


def _without(r: int, first: int, later: list[int], forms: dict[int, Terms]) -> dict[int, Terms] | None:
    """The lines that read ``r`` without it, or None where that does not pay."""
    own, user = forms[r], forms[first]
    factor = user[r]
    changed = {first: _put(user, r, {q: factor * c for q, c in own.items()})}
    for w in later:
        old, share = forms[w], forms[w][r] / factor if factor else float("inf")
        new = _put(old, r, {first: share} | {q: -share * c for q, c in user.items() if q != r})
        size = _size(new) + _size(changed[first])
        if not (set(new) <= {*old, first} and abs(share - 1.0) <= _CLOSE and size <= _GROWTH * _size(old)):
            return None
        changed[w] = new
    before = len(own) + 1 + sum(len(forms[p]) for p in changed)
    return changed if sum(map(len, changed.values())) < before else None


def _put(form: Terms, r: int, terms: Terms) -> Terms:
    """``form`` with ``terms`` in the place of ``r``; what vanishes is left out."""
    found: Terms = {}
    for q, c in form.items():
        for p, b in terms.items() if q == r else ((q, c),):
            found[p] = found[p] + b if p in found else b
    return {q: c for q, c in found.items() if c != 0} or found


def _size(terms: Terms) -> float:
    return sum(map(abs, terms.values()))


def _plain(coefficients: Iterable[Any]) -> bool:
    return all(isinstance(c, (int, float)) for c in coefficients)


def _renumbered(plan: Plan, forms: dict[int, Terms], gone: set[int]) -> Plan:
    number = {0: 0}
    lines: list[Line] = []
    for r, line in enumerate(plan.lines, 1):
        if r in gone:
            continue
        if isinstance(line, Lin):
            terms = forms[r].items() if r in forms else line.terms
            line = replace(line, terms=tuple([(number[q], c) for q, c in terms]))
        elif isinstance(line, Eval):
            line = replace(line, x=number[line.x])
        lines.append(line)
        number[r] = len(lines)

    def left(registers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number[r] for r in registers if r in number)

    return replace(
        plan,
        lines=tuple(lines),
        states=left(plan.states),
        outputs=tuple((name, number[r]) for name, r in plan.outputs),
        inputs=tuple((name, number[r]) for name, r in plan.inputs),
        partners=tuple(map(left, plan.partners)),
    )


def _unit(plan: Plan, watched: Set[int]) -> Plan | None:
    seen = handed(plan) | watched | {r for _, r in plan.inputs}
    predictions = set(plan.evaluations)
    scales: dict[int, float] = {}
    lines: list[Line] = []
    for r, line in enumerate(plan.lines, 1):
        if isinstance(line, Lin):
            terms = [(q, c * scales[q] if q in scales else c) for q, c in line.terms]
            if r not in seen and _is_reading(terms, predictions):
                # what is added first has the coefficient one; the other is at most one, where a float32 is finest
                other, most = sorted(terms, key=lambda term: abs(term[1]))
                scales[r] = most[1]
                terms = [(other[0], other[1] / most[1]), (most[0], 1.0)]
            line = replace(line, terms=tuple(terms))
        lines.append(line)
    return replace(plan, lines=tuple(lines)) if scales else None


def _is_reading(terms: list[tuple[int, Any]], predictions: set[int]) -> bool:
    """Whether a line reads a prediction as another one, with coefficients that may be scaled."""
    if len(terms) != 2 or terms[0][0] == terms[1][0] or not {q for q, _ in terms} & predictions:
        return False
    return _plain(c for _, c in terms) and 1 / _RANGE <= max(abs(c) for _, c in terms) <= _RANGE
