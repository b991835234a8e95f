"""A plan that stops at every evaluation: whoever holds the network calls it, and hands the prediction in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..plan import Eval, Level, Lin, Noise, Plan, sources
from ..read.sample import linear

__all__ = ["Walk", "starts"]

Draw = Callable[[Noise, Any], Any]


class Walk:
    """The lines of a plan between one evaluation and the next, with its registers.

    The caller shows the state at which the model was asked, and what it answered; what comes back is the state at which
    to ask next, and after the last evaluation the output. Coefficients are Python floats, indices are Python integers:
    nothing on a device is read.

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
        self._values: dict[int, Any] = {}
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
        plan, values = self.plan, self._values
        here = plan.evaluations[self.next]
        if self.next == 0:
            values[0] = x
            self._run(1, here - 1, x, draw)
        values[_asked(plan, here).x] = x
        values[here] = prediction
        self._forget(here)
        self.next += 1
        end = len(plan.lines) if self.done else plan.evaluations[self.next] - 1
        self._run(here + 1, end, x, draw)
        return values[plan.outputs[0][1] if self.done else _asked(plan, plan.evaluations[self.next]).x]

    def _run(self, first: int, last: int, x: Any, draw: Draw) -> None:
        lin = linear(x)
        for r in range(first, last + 1):
            line = self.plan.lines[r - 1]
            if isinstance(line, Lin):
                self._values[r] = lin([(c, self._values[source]) for source, c in line.terms])
            elif isinstance(line, Noise):
                self._values[r] = draw(line, x)
            self._forget(r)

    def _forget(self, r: int) -> None:
        last = self.plan.last_use
        for source in {*sources(self.plan.lines[r - 1]), r}:
            if last[source] <= r:
                self._values.pop(source, None)


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
