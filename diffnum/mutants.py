"""Mutants: a certificate that cannot fail proves nothing, so every coefficient is broken on purpose.

Two kinds. In exact arithmetic each coefficient is perturbed by 1/7 of itself: the proof must name a condition that
breaks, or the coefficient is listed as free. In float64 a sign is flipped, a factor 2 applied, two neighbours swapped
or a level exchanged for the other end of the step: the measured slope must leave its tolerance, unless the mutant is,
by proof, another method of the same order. Either way the method is broken alike in every step after the start-up
that is built in the same way: a predictor-corrector ends with a step of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from .extended_numbers import digits
from .order import Inconsistent, generic_plan, history, local_errors, outline, traced_depth
from .plan import Eval, Level, Lin, Line, Plan
from .series import Series
from .trace import Solver
from .weak_order import DIGITS, Rows, gaussian_errors, generic_weak_plan, weak_order

__all__ = [
    "Mutant",
    "Mutation",
    "bundle",
    "exact_survivors",
    "hidden_weak_order",
    "measured_mutants",
    "mutations",
    "same_order",
    "same_weak_order",
    "start_up_mutants",
]

Kind = tuple[type, ...]


@dataclass(frozen=True)
class Mutant:
    """A broken plan and what was broken."""

    name: str
    plan: Plan


@dataclass(frozen=True)
class Mutation:
    """One slip, made in every step of one kind.

    Attributes:
        name: for people.
        kind: the types of the lines of the steps that are broken.
        j: the line of the step that is.
        what: "scale", "swap" or "level".
        back: the terms meant, as how many registers they lie back; the same in all steps of a kind.
        factor: what "scale" applies.
        read: the types of the lines that neighbours read: at the start other registers may lie as far back.
    """

    name: str
    kind: Kind
    j: int
    what: str
    back: tuple[int, ...] = ()
    factor: Any = 1
    read: tuple[type | None, ...] = ()

    def of(self, r: int, line: Line, plan: Plan) -> Line:
        """The broken line; the line itself where it has no such term."""
        if isinstance(line, Eval):
            return replace(line, level=_other_end(line, plan))
        assert isinstance(line, Lin)
        new = self.numbers(r, line, plan)
        return replace(line, terms=tuple((q, new.get(k, c)) for k, (q, c) in enumerate(line.terms))) if new else line

    def numbers(self, r: int, line: Lin, plan: Plan) -> dict[int, Any]:
        """The coefficients that change, by the places of their terms; none where the line has no such term."""
        return self.numbers_at({r - q: k for k, (q, _) in enumerate(line.terms)}, r, line, plan)

    def numbers_at(self, places: Mapping[int, int], r: int, line: Lin, plan: Plan) -> dict[int, Any]:
        """:meth:`numbers` of a line whose terms' places are known by how far back they lie."""
        one, other = places.get(self.back[0]), places.get(self.back[-1])
        if one is None or other is None or (self.read and self.read != _read(plan, r, self.back)):
            return {}
        first, last = line.terms[one][1], line.terms[other][1]
        return {one: last * self.factor, other: first * self.factor}


def _other_end(line: Eval, plan: Plan) -> Level:
    # where the method evaluates at the end of its step, the start
    step = min(line.step, plan.steps - 1)
    s, t = plan.levels[step], plan.levels[step + 1]
    return s if line.level == t else t


def _kinds(plan: Plan) -> dict[Kind, list[list[int]]]:
    """Steps after the start-up, each as its registers, by the types of their lines."""
    home: dict[int, list[int]] = {}
    for r, line in enumerate(plan.lines, 1):
        home.setdefault(line.step, []).append(r)
    found: dict[Kind, list[list[int]]] = {}
    for step, registers in sorted(home.items()):
        if plan.depth <= step < plan.steps:
            found.setdefault(tuple(type(plan.lines[r - 1]) for r in registers), []).append(registers)
    return found


def _recurring(plan: Plan) -> dict[Kind, list[list[int]]]:
    """The kinds of which a long run is made: what is built otherwise at its end is taken once or twice."""
    return {kind: steps for kind, steps in _kinds(plan).items() if 4 * len(steps) > plan.steps}


def mutations(plan: Plan) -> list[Mutation]:
    """Every slip of the second sort that a plan of many steps offers."""
    found: list[Mutation] = []
    for i, (kind, steps) in enumerate(_recurring(plan).items()):
        where = f" of the steps of kind {i + 1}" if i else ""
        for j, r in enumerate(steps[-1]):
            line = plan.lines[r - 1]
            if isinstance(line, Eval):
                found.append(Mutation(f"level of evaluation in line {j}{where}", kind, j, "level"))
            elif isinstance(line, Lin):
                found += _slips(line, r, f"line {j}{where}", kind, j, plan)
    return found


def _slips(line: Lin, r: int, where: str, kind: Kind, j: int, plan: Plan) -> Iterator[Mutation]:
    back = [r - q for q, _ in line.terms]
    for k, b in enumerate(back):
        for label, factor in (("sign", -1), ("factor 2", 2)):
            yield Mutation(f"{label} of term {k} in {where}", kind, j, "scale", (b,), factor)
    for k in range(len(back) - 1):
        # what is equal but for rounding, as the weights of the trapezoidal rule, is no other method when swapped
        if abs(line.terms[k][1] - line.terms[k + 1][1]) > 1e-12 * abs(line.terms[k][1]):
            pair = (back[k], back[k + 1])
            read = _read(plan, r, pair)
            yield Mutation(f"terms {k} and {k + 1} swapped in {where}", kind, j, "swap", pair, read=read)


def _read(plan: Plan, r: int, back: tuple[int, ...]) -> tuple[type | None, ...]:
    """The types of the lines so far back; None for the first state."""
    return tuple(type(plan.lines[r - b - 1]) if r > b else None for b in back)


def applied(mutation: Mutation, plan: Plan) -> Plan:
    """The plan with one slip in all its steps of that kind."""
    lines = list(plan.lines)
    for registers in _kinds(plan).get(mutation.kind, []):
        r = registers[mutation.j]
        lines[r - 1] = mutation.of(r, lines[r - 1], plan)
    return replace(plan, lines=tuple(lines))


def measured_mutants(build: Callable[[int], Plan], n: int) -> Iterator[tuple[str, Callable[[int], Plan]]]:
    """Pairs ``(name, build)`` of plans broken in the same way at every step after the start-up.

    Args:
        build: the sound plan of ``n`` steps.
        n: a step count at which the structure is read.
    """
    for mutation in mutations(build(n)):
        yield mutation.name, lambda m, broken=mutation: applied(broken, build(m))


def bundle(plan: Plan, broken: Sequence[Mutation], directions: int = 0) -> Plan:
    """All mutants as one plan, so that one run measures them all: coefficients and levels are ``(mutants,)``, or,
    where a number of directions is given, ``(mutants * directions,)``."""
    lines = list(plan.lines)
    for kind, steps in _kinds(plan).items():
        for j in range(len(kind)):
            mine = [(m, slip) for m, slip in enumerate(broken) if (slip.kind, slip.j) == (kind, j)]
            for registers in steps if mine else []:
                lines[registers[j] - 1] = _stacked(registers[j], plan, mine, len(broken), directions)
    return replace(plan, lines=tuple(lines))


def _stacked(r: int, plan: Plan, slips: Sequence[tuple[int, Mutation]], count: int, directions: int) -> Line:
    line = plan.lines[r - 1]

    def column(sound: Any, broken: Iterable[tuple[int, Any]]) -> np.ndarray:
        values = np.full(count, float(sound))
        for m, number in broken:
            values[m] = number
        return np.repeat(values, directions) if directions else values

    if isinstance(line, Eval):
        sound, end = line.level, _other_end(line, plan)
        alpha = column(sound.alpha, [(m, end.alpha) for m, _ in slips])
        sigma = column(sound.sigma, [(m, end.sigma) for m, _ in slips])
        return replace(line, level=replace(sound, alpha=alpha, sigma=sigma))
    assert isinstance(line, Lin)
    changed: dict[int, list[tuple[int, Any]]] = {}
    places = {r - q: k for k, (q, _) in enumerate(line.terms)}
    for m, slip in slips:
        for k, number in slip.numbers_at(places, r, line, plan).items():
            changed.setdefault(k, []).append((m, number))
    # what no slip touches stays one number for all
    terms = ((q, column(c, changed[k]) if k in changed else c) for k, (q, c) in enumerate(line.terms))
    return replace(line, terms=tuple(terms))


def exact_survivors(
    solver: Solver | Callable[..., None], order: int, seed: int = 1, smooth: bool = False
) -> tuple[int, tuple[str, ...]]:
    """Perturb each coefficient by 1/7; return the number of coefficients and the free ones.

    A coefficient is free when the method keeps its order, on smooth grids where ``smooth``, without its exact value.
    """
    process, plan = _proof_plan(solver, order, seed, smooth)
    free: list[str] = []
    count = 0
    for i, (kind, steps) in enumerate(_kinds(plan).items()):
        for j, r in enumerate(steps[-1]):
            line = plan.lines[r - 1]
            for q, _ in line.terms if isinstance(line, Lin) else ():
                count += 1
                slip = Mutation("", kind, j, "scale", (r - q,), Fraction(8, 7))
                # most break a condition of low order, which is found in a fraction of the time
                if all(_keeps(applied(slip, plan), process, order, low) for low in range(2, order + 2)):
                    where = f" of the steps of kind {i + 1}" if i else ""
                    free.append(f"{line.name or 'u'} line {j}{where}, coefficient {r - q} registers back")
    return count, tuple(free)


def same_order(
    solver: Solver | Callable[..., None], slip: Mutation, order: int, seed: int = 1, smooth: bool = False
) -> bool:
    """Whether a mutant is, by proof, another method of ``order``, on smooth grids where ``smooth``.

    Evaluating DDIM at the end of its step instead of its start is first order too: no order test can
    notice, so such a mutant is reported as free and not as a survivor.
    """
    process, plan = _proof_plan(solver, order, seed, smooth)
    broken = applied(slip, plan)
    return broken != plan and all(_keeps(broken, process, order, low) for low in (2, order + 1))


@lru_cache(maxsize=4)
def _proof_plan(solver: Solver | Callable[..., None], order: int, seed: int, smooth: bool) -> tuple[Any, Plan]:
    """Generic steps, without the terms that vanish for good: up to one that looks back on none of the start-up where
    all are alike and forget their predictions, else enough for every kind and for what is remembered."""
    depth = traced_depth(solver)
    plan = outline(solver, 2 * depth + 3)
    alike = len(_kinds(plan)) == 1 and not history(solver, 3, seed).exact
    process, plan = generic_plan(solver, 2 * depth + 1 if alike else plan.steps, order + 2, seed, smooth=smooth)
    lines = (replace(line, terms=_present(line)) if isinstance(line, Lin) else line for line in plan.lines)
    return process, replace(plan, lines=tuple(lines))


def _present(line: Lin) -> tuple[tuple[int, Any], ...]:
    return tuple((q, c) for q, c in line.terms if not (isinstance(c, Series) and c.valuation == c.end))


def _keeps(plan: Plan, process: Any, order: int, known: int) -> bool:
    """Whether no step after an exact past shows an error below ``order``, as far as ``O(h^known)`` tells.

    Local errors count one power less when a step is taken ``n`` times; a last step of its own kind is taken once.
    """
    early = [line for line in plan.lines if isinstance(line, Eval) and line.step < plan.depth]
    try:
        errors = local_errors(plan, process, known, {line.x: line.level for line in early}, plan.depth)
    except Inconsistent:
        return False
    lows = [min((s.valuation for s in error.values()), default=known) for error in errors]
    last = next(steps for steps in _kinds(plan).values() if plan.states[-1] in steps[-1])
    needed = [order + 1] * (len(lows) - 1) + [order + (len(last) > 1 or len(lows) == 1)]
    return all(low >= min(known, need) for low, need in zip(lows, needed, strict=True))


def same_weak_order(solver: Solver | Callable[..., None], slip: Mutation, order: int, seed: int = 1) -> bool:
    """As :func:`same_order` for weak order: a flipped sign of a symmetric draw has the same law."""
    process, plan = _weak_plan(solver, order, seed)
    with digits(DIGITS):
        broken = applied(slip, plan)
        try:
            return broken != plan and weak_order(broken, process, seed, order)[0] >= order
        except ArithmeticError:
            return False


def hidden_weak_order(solver: Solver | Callable[..., None], slip: Mutation, order: int, seed: int = 1) -> bool:
    """Whether the trees show a lower weak order where a Gaussian, on which slopes are measured, has none to show.

    Noise inside the argument of the model, such as a space-time area, enters through the model's curvature first.
    """
    process, plan = _weak_plan(solver, order, seed)
    with digits(DIGITS):
        broken = applied(slip, plan)
        errors = gaussian_errors(Rows.of(broken), Fraction(seed + 2, 7), Fraction(5, 7))
        blind = min(e.valuation for e in errors) // 2 > order
        return blind and weak_order(broken, process, seed, order)[0] < order


@lru_cache(maxsize=4)
def _weak_plan(solver: Solver | Callable[..., None], order: int, seed: int) -> tuple[Any, Plan]:
    return generic_weak_plan(solver, seed, highest=order)


def start_up_mutants(plan: Plan) -> Iterator[Mutant]:
    """Plans of many steps with one coefficient of a step at the start, or at the end where it is of its own kind,
    perturbed by 1e-6 of itself."""
    usual = {r for steps in _recurring(plan).values() for registers in steps for r in registers}
    for r, line in enumerate(plan.lines, 1):
        if isinstance(line, Lin) and r not in usual:
            for k in range(len(line.terms)):
                terms = tuple((q, c * (1 + 1e-6) if i == k else c) for i, (q, c) in enumerate(line.terms))
                lines = (*plan.lines[: r - 1], replace(line, terms=terms), *plan.lines[r:])
                yield Mutant(f"term {k} of register {r}, step {line.step + 1}", replace(plan, lines=lines))
