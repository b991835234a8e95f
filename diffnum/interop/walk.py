"""A plan that stops at every evaluation: whoever holds the network calls it, and hands the prediction in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..plan import Eval, Level, Lin, Noise, Plan, sources
from ..read.buffers import narrow, plain
from ..read.execute import Registers, registers
from ..read.lean import unit
from ..read.pieces import Other, Piece, pieces

__all__ = ["Walk", "starts"]

Draw = Callable[[Noise, Any], Any]


class Walk:
    """The lines of a plan between one evaluation and the next, with its registers.

    The caller shows the state at which the model was asked, and what it answered; what comes back is the state at which
    to ask next, and after the last evaluation the output. Coefficients are Python floats, indices are Python integers:
    nothing on a device is read. Lines are computed as by :func:`~diffnum.read.execute.eager`, in memory that is written
    again when nobody holds it any more: what was returned stays as it is as long as it is kept.

    Args:
        plan: what to run; its first evaluation must be at ``x_T``.
        first: the evaluation with which the walk begins.

    Raises:
        ValueError: a plan without evaluations, one that moves before the first evaluation, or one that cannot begin
            at ``first`` because later lines read what came before it.
    """

    def __init__(self, plan: Plan, first: int = 0) -> None:
        if not plan.evaluations:
            raise ValueError(f"{plan.solver or 'this plan'} evaluates no model: it has nothing to do in a pipeline")
        if not _is_start(plan, _asked(plan, plan.evaluations[0]).x):
            raise ValueError(
                f"{plan.solver or 'this plan'} moves its state before the first evaluation, where a pipeline has "
                "asked its network already: use a sampler that evaluates first"
            )
        self.plan, self.next = plan, first
        self._registers: Registers | None = None
        self._parts: list[list[Piece | Other]] = []
        if first:
            _check_start(plan, first)

    @property
    def done(self) -> bool:
        """Whether the output has been given."""
        return self.next >= self.plan.nfe

    def give(self, x: Any, prediction: Any, draw: Draw) -> Any:
        """The next state to ask at, or the output.

        Args:
            x: the state at which the model was asked; it takes the register's place, so a caller may have changed it.
            prediction: the model's answer, of ``plan.prediction`` and in the dtype of ``x``.
            draw: ``draw(line, x)``, a standard normal for a :class:`~diffnum.plan.Noise` line.
        """
        plan = self.plan
        run = self._registers or self._begin(x)
        if self.next == 0:
            run.values[0] = x
            _go(run, self._parts[0], x, draw)
        here, *parts = self._parts[self.next + 1]
        asked = _asked(plan, here.register).x  # type: ignore[union-attr]
        if run.values.get(asked) is not x:
            run.forget([asked])
            run.values[asked] = x
        run.values[here.register] = prediction  # type: ignore[union-attr]
        del prediction
        run.forget(here.after)
        self.next += 1
        _go(run, parts, x, draw)
        result = run.values[plan.outputs[0][1] if self.done else _asked(plan, plan.evaluations[self.next]).x]
        if self.done:
            self._registers = None
        return result

    def _begin(self, x: Any) -> Registers:
        plan = unit(self.plan) if plain(x) and not narrow(x.dtype) else self.plan
        self._parts = [[]]
        for part in pieces(plan):
            if isinstance(part, Other) and isinstance(part.line, Eval):
                self._parts.append([])
            self._parts[-1].append(part)
        self._registers = registers(plan, x)
        return self._registers


def _go(run: Registers, parts: Iterable[Piece | Other], x: Any, draw: Draw) -> None:
    """Lines and draws up to the next evaluation."""
    for part in parts:
        if isinstance(part, Piece):
            run.run(part)
        else:
            assert isinstance(part.line, Noise)
            run.values[part.register] = draw(part.line, x)
        run.forget(part.after)


def starts(plan: Plan) -> list[int | None]:
    """For each step the evaluation, counted from zero, at the state with which the step begins; None if there is none.

    A predictor-corrector method asks at the prediction, once, at the end of the step before: that one counts.
    """
    at_state: dict[tuple[int, Level], int] = {}
    at_level: dict[Level, int] = {}
    for k, r in enumerate(plan.evaluations):
        line = _asked(plan, r)
        at_state.setdefault((line.x, line.level), k)
        at_level[line.level] = k
    pairs = zip(plan.states[:-1], plan.levels[:-1], strict=True)
    return [at_state.get((state, level), at_level.get(level)) for state, level in pairs]


def _asked(plan: Plan, register: int) -> Eval:
    line = plan.lines[register - 1]
    assert isinstance(line, Eval)
    return line


def _is_start(plan: Plan, register: int) -> bool:
    """Whether it holds ``x_T``, as a partner does that starts as a copy."""
    line = plan.lines[register - 1] if register else None
    return line is None or (isinstance(line, Lin) and line.terms == ((0, 1.0),))


def _check_start(plan: Plan, first: int) -> None:
    here = plan.evaluations[first]
    known = {_asked(plan, here).x, *range(here, len(plan.lines) + 1)}
    for line in plan.lines[here:]:
        for source in sources(line):
            if source not in known:
                raise ValueError(
                    f"{plan.solver or 'this plan'} cannot begin at its evaluation {first}: step {line.step} reads what "
                    "came before; give a sampler's name instead of a plan, so that it is compiled from there"
                )
