"""The exact inverse of a plan: the same lines, solved for what they were made of.

Read with numbers that are only known or unknown, every ``Lin`` line is an equation between registers that gives any one
of them from the others, an ``Eval`` line gives the prediction where its input is known, and draws are known by their
names. From the named outputs this reaches the inputs, or it does not: then the sampler cannot be undone exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ..plan import Eval, Level, Lin, Line, Noise, Plan, sources
from ..prediction import convert

__all__ = ["from_inputs", "invert", "undone"]


def invert(plan: Plan) -> Plan:
    """The plan that gives the inputs of ``plan`` back from its outputs, exactly, for any model.

    A reversible sampler has partner states beside ``x``: its outputs are all needed,

        ends = dn.sample(plan, model, x_T, outputs="all")
        starts = dn.sample(dn.invert(plan), model, ends, outputs="all")

    and what comes back is ``x_T`` with the partners it started from, to rounding times the growth of the inverse. From
    ``x`` alone, as for an image that no run has made, a partner at the same level starts as a copy and one at another
    level by a step of DDIM; the run back to the image is then ``dn.invert`` of the inverse, from all of *its* outputs.
    Draws of noise keep their intervals, so a stochastic plan is undone with the source of noise that it was run with.

    Raises:
        ValueError: the outputs do not determine the inputs; the sentence says which register is missing. Fixed-point
            inversion solves for it approximately and is another function.
    """
    if not plan.steps or plan.outputs[0][1] != plan.states[-1]:
        raise ValueError(
            f"{plan.solver} ends with {plan.end!r}, so its output is not its last state and cannot be undone: use a "
            "grid that ends with 'stop' or 'zero'"
        )
    search = _placed(plan)
    search.run()
    sought = dict.fromkeys([*plan.states, *(r for rows in plan.partners for r in rows), *(r for _, r in plan.inputs)])
    missing = [r for r in sought if r not in search.number]
    if missing:
        raise ValueError(_refusal(plan, search, missing))
    lines, number = _live(search, plan)
    return Plan(
        lines=tuple(lines),
        levels=plan.levels[::-1],
        states=tuple(number[search.number[r]] for r in plan.states[::-1]),
        outputs=tuple((name, number[search.number[r]]) for name, r in plan.inputs),
        prediction=plan.prediction,
        solver=f"{plan.solver}, inverted" if not plan.solver.endswith(", inverted") else plan.solver[:-10],
        process=plan.process,
        inputs=tuple((name, number[search.number[r]]) for name, r in plan.outputs),
        partners=tuple(tuple(number[search.number[r]] for r in rows[::-1]) for rows in plan.partners),
    )


def undone(plan: Plan, kept: Iterable[int]) -> tuple[list[Line], dict[int, int]]:
    """The lines of :func:`invert` with further registers of ``plan`` that they shall compute, such as the inputs of its
    evaluations; and for each register of ``plan`` that they compute, its register in them.

    Raises:
        ValueError: as :func:`invert`; or one of ``kept`` does not follow from the outputs.
    """
    invert(plan)
    search = _placed(plan)
    search.run()
    roots = dict.fromkeys((0, *kept, *(r for _, r in plan.outputs)))
    missing = [r for r in roots if r not in search.number]
    if missing:
        raise ValueError(_refusal(plan, search, missing))
    lines, number = pruned(search.lines, [search.number[r] for r in roots])
    return lines, {r: number[q] for r, q in search.number.items() if q in number}


def _placed(plan: Plan) -> _Search:
    """The search, begun from the outputs."""
    search = _Search(plan)
    for k, (name, register) in enumerate(plan.outputs):
        if register in search.number:
            continue
        search.place(register, _partner(plan, register, name, search) if k else None)
    return search


@dataclass
class _Search:
    """What is known so far.

    Attributes:
        number: for each known register of the plan its register in the inverse.
        lines: of the inverse.
    """

    plan: Plan
    number: dict[int, int] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    news: deque[int] = field(default_factory=deque)
    readers: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {r for _, r in self.plan.inputs}
        for r, line in enumerate(self.plan.lines, 1):
            # an input's line is only what it holds by default
            for q in () if r in given else {r, *sources(line)}:
                self.readers.setdefault(q, []).append(r)

    def place(self, register: int, line: Line | None) -> None:
        """``register`` is now known, by ``line`` or, without one, as the inverse's first register."""
        if line is not None:
            self.lines.append(line)
        self.number[register] = len(self.lines)
        self.news.append(register)

    def run(self) -> None:
        """Solve every equation that has one unknown, until none has."""
        while self.news:
            # lines read last come first: from the end of the run to its start
            for r in sorted(self.readers.get(self.news.popleft(), ()), reverse=True):
                found = self._solved(r, self.plan.lines[r - 1])
                if found:
                    self.place(*found)

    def unknown(self, r: int, line: Line) -> list[int]:
        """Registers of a line that are not known yet; a draw is known."""
        involved = sorted({*sources(line), r})
        return [q for q in involved if q not in self.number and not self._is_draw(q)]

    def _is_draw(self, q: int) -> bool:
        return q > 0 and isinstance(self.plan.lines[q - 1], Noise)

    def _solved(self, r: int, line: Line) -> tuple[int, Line] | None:
        unknown = self.unknown(r, line)
        step = self.plan.steps - 1 - line.step
        if isinstance(line, Eval):
            if unknown != [r] or line.x not in self.number:
                return None
            return r, replace(line, x=self.number[line.x], step=step)
        if len(unknown) != 1 or not isinstance(line, Lin):
            return None
        terms = {r: -1.0, **dict(line.terms)}
        pivot = terms.pop(unknown[0])
        if isinstance(pivot, (int, float)) and pivot == 0:
            return None
        solved = tuple((self._numbered(q), _ratio(c, pivot)) for q, c in terms.items())
        return unknown[0], Lin(solved, self._name(unknown[0], line), step)

    def _numbered(self, q: int) -> int:
        if q not in self.number:
            draw = self.plan.lines[q - 1]
            self.lines.append(replace(draw, step=self.plan.steps - 1 - draw.step))
            self.number[q] = len(self.lines)
        return self.number[q]

    def _name(self, q: int, line: Lin) -> str:
        return self.plan.lines[q - 1].name if q else line.name


def _ratio(c: Any, pivot: Any) -> Any:
    # a minus one is exact in every kind of number, a quotient of ones is not
    return c if isinstance(pivot, float) and pivot == -1.0 else -(c / pivot)


def _partner(plan: Plan, register: int, name: str, search: _Search) -> Lin:
    """What a further output holds where it is not given: a copy of ``x``, or a step of DDIM to its level."""
    rows = next((rows for rows in (plan.states, *plan.partners) if register in rows), None)
    if rows is None or rows.index(register) == plan.steps:
        return Lin(((0, 1.0),), name)
    s, t = plan.stop, plan.levels[rows.index(register)]
    try:
        a, b = _ddim(plan, s, t)
    except ZeroDivisionError as error:
        raise ValueError(
            f"{plan.solver} with {plan.prediction} prediction cannot be undone from sigma = 0: its second state lies "
            f"at sigma = {float(t.sigma):g}; stop at sigma > 0, or use noise or velocity prediction"
        ) from error
    search.lines.append(Eval(0, s, plan.prediction, "D"))
    return Lin(((0, a), (len(search.lines), b)), name)


def _ddim(plan: Plan, s: Level, t: Level) -> tuple[Any, Any]:
    """``x_t = alpha_t D + sigma_t eps`` as a combination of ``x_s`` and the prediction there."""
    return convert(s, plan.prediction, (t.alpha, t.sigma))


def _live(search: _Search, plan: Plan) -> tuple[list[Line], dict[int, int]]:
    roots = [*plan.states, *(r for rows in plan.partners for r in rows), *(r for _, r in plan.inputs)]
    return pruned(search.lines, [search.number[r] for r in (*roots, *(r for _, r in plan.outputs))])


def pruned(lines: Iterable[Line], roots: Iterable[int]) -> tuple[list[Line], dict[int, int]]:
    """The lines that ``roots`` need, in order, and the new numbers of registers."""
    lines = list(lines)
    needed = set(roots)
    for r in range(len(lines), 0, -1):
        if r in needed:
            needed.update(sources(lines[r - 1]))
    kept: list[Line] = []
    number = {0: 0}
    for r, line in enumerate(lines, 1):
        if r not in needed:
            continue
        if isinstance(line, Lin):
            line = replace(line, terms=tuple((number[q], c) for q, c in line.terms))
        elif isinstance(line, Eval):
            line = replace(line, x=number[line.x])
        kept.append(line)
        number[r] = len(kept)
    return kept, number


def from_inputs(plan: Plan) -> Plan:
    """``plan`` as it runs where every input is given: what only an input's default needed is left out."""
    given = {r for _, r in plan.inputs[1:]}
    if not given:
        return plan
    lines = [Lin(((0, 1.0),), line.name, line.step) if r in given else line for r, line in enumerate(plan.lines, 1)]
    pairs = [r for rows in plan.partners for r in rows]
    lines, number = pruned(lines, [*plan.states, *pairs, *(r for _, r in (*plan.inputs, *plan.outputs))])
    return replace(
        plan,
        lines=tuple(lines),
        states=tuple(number[r] for r in plan.states),
        outputs=tuple((name, number[r]) for name, r in plan.outputs),
        inputs=tuple((name, number[r]) for name, r in plan.inputs),
        partners=tuple(tuple(number[r] for r in rows) for rows in plan.partners),
    )


def _refusal(plan: Plan, search: _Search, missing: list[int]) -> str:
    given = {r for _, r in plan.inputs}
    asked = ((r, line) for r, line in reversed(list(enumerate(plan.lines, 1))) if r not in given)
    open_ = next(((line, found) for r, line in asked if len(found := search.unknown(r, line)) > 1), None)
    # a step that drops what it began with leaves it open without an equation
    where, unknown = (f"in step {open_[0].step} ", open_[1]) if open_ else ("", missing)
    names = plan.names
    outputs = ", ".join(names[q] for _, q in plan.outputs)
    return (
        f"{plan.solver or 'the plan'} cannot be undone exactly: {where}its outputs ({outputs}) leave "
        f"{' and '.join(names[q] for q in unknown)} open; use a reversible sampler, or fixed-point inversion"
    )
