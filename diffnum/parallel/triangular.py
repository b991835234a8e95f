"""A plan as a triangular system of equations between its evaluations.

Given the predictions ``E_i`` of all evaluations, every input ``u_j`` of one is a linear combination of ``x_T``, draws
and earlier predictions, and so is the output:

    u_j = a_j x_T + sum over i < j of A_ji E_i + draws,        E_j = model(u_j, level_j),

with ``A`` strictly lower triangular: the rows of the tableau. Running a plan solves this by substitution, one
evaluation after another. Solving it by fixed-point iteration, all evaluations of a round are independent of each
other and one batched call of the model does them. A *sweep* goes through the plan's own lines with predictions
already at hand, in the order in which :func:`diffnum.sample` does, so that what it computes from the same predictions
is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..plan import Eval, Level, Lin, Line, Noise, Plan, sources

__all__ = ["Sweep", "Swept", "Triangle", "by_increments", "by_substitution", "one_evaluation_each_step"]

Values = dict[int, Any]


@dataclass(frozen=True)
class Triangle:
    """The system of one run.

    Attributes:
        plan: the sampler.
        lin: from ``[(coefficient, value), ...]`` to their combination.
        draw: from a noise line to its draw; asked once per line, and the answer kept until it is no longer read.
        partners: values of further inputs by register.
    """

    plan: Plan
    lin: Callable[[Sequence[tuple[Any, Any]]], Any]
    draw: Callable[[Noise], Any]
    partners: Mapping[int, Any] = field(default_factory=dict)
    _drawn: Values = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> int:
        """Number of evaluations."""
        return self.plan.nfe

    def evaluation(self, j: int) -> Eval:
        """The line of evaluation ``j``."""
        line = self.plan.lines[self.plan.evaluations[j] - 1]
        assert isinstance(line, Eval)
        return line

    def level(self, j: int) -> Level:
        """The level of evaluation ``j``."""
        return self.evaluation(j).level

    def register(self, j: int) -> int:
        """Where the prediction ``j`` is put; past the last line for ``j = size``."""
        return self.plan.evaluations[j] if j < self.size else len(self.plan.lines) + 1

    def start(self, x: Any) -> Values:
        """What is known before evaluation 0."""
        return self.filled({0: x}, 1, self.register(0))

    def filled(self, values: Values, first: int, last: int) -> Values:
        """``values`` and the registers from ``first`` to ``last - 1``, none of which is an evaluation."""
        for r in range(first, last):
            values[r] = self.value(r, values)
            self._forget(values, r)
        return values

    def value(self, r: int, values: Mapping[int, Any]) -> Any:
        """The value of the line of register ``r``, a combination or a draw."""
        line = self.plan.lines[r - 1]
        if isinstance(line, Lin):
            value = self.lin([(c, values[source]) for source, c in line.terms])
        else:
            assert isinstance(line, Noise)
            if r not in self._drawn:
                self._drawn[r] = self.draw(line)
            value = self._drawn[r]
        return self.partners.get(r, value)

    def put(self, values: Values, j: int, prediction: Any) -> None:
        """Evaluation ``j`` is known."""
        values[self.register(j)] = prediction
        self._forget(values, self.register(j))

    def forget_draws(self, j: int) -> None:
        """Everything before evaluation ``j`` is final."""
        for r in [r for r in self._drawn if r < self.register(j)]:
            del self._drawn[r]

    def _forget(self, values: Values, r: int) -> None:
        line: Line = self.plan.lines[r - 1]
        for source in {*sources(line), r}:
            if self.plan.last_use[source] <= r:
                values.pop(source, None)


@dataclass(frozen=True)
class Swept:
    """What a sweep from evaluation ``first`` gives.

    Attributes:
        inputs: the input of evaluation ``first + 1``, of the next, and so on; one after the last prediction, if the
            plan has it.
        before: what is known before each of these, final if the predictions before it are.
    """

    inputs: list[Any]
    before: list[Values]


Sweep = Callable[[Triangle, Values, int, Sequence[Any], Sequence[Any]], Swept]
"""``sweep(triangle, known, first, predictions, inputs)``: what was known before evaluation ``first``, the predictions
of it and the following, and the inputs at which they were made."""


def by_substitution(
    triangle: Triangle, known: Values, first: int, predictions: Sequence[Any], inputs: Sequence[Any]
) -> Swept:
    """The plan's lines as they stand: only the model is taken at the last iterate."""
    values, found, before = dict(known), [], []
    for j, prediction in enumerate(predictions, first):
        triangle.put(values, j, prediction)
        triangle.filled(values, triangle.register(j) + 1, triangle.register(j + 1))
        before.append(dict(values))
        if j + 1 < triangle.size:
            found.append(values[triangle.evaluation(j + 1).x])
    return Swept(found, before)


def by_increments(
    triangle: Triangle, known: Values, first: int, predictions: Sequence[Any], inputs: Sequence[Any]
) -> Swept:
    """Sums of increments, each of a whole step at the last iterate (Shih et al. 2023, algorithm 1):

        x_{j+1} = x_first + sum over i = first..j of (step_i(x_i^old) - x_i^old).

    The linear part of a step is taken at the last iterate too. Equal to the plan's lines at the fixed point, in exact
    arithmetic.
    """
    plan = triangle.plan
    values, found, before = dict(known), [], []
    current = inputs[0]
    for k, (prediction, old) in enumerate(zip(predictions, inputs, strict=True)):
        j = first + k
        state = plan.states[j + 1] if j + 1 < len(plan.states) else None
        if k:
            values[plan.states[j]] = old
        triangle.put(values, j, prediction)
        for r in range(triangle.register(j) + 1, triangle.register(j + 1)):
            value = triangle.value(r, values)
            if r == state:
                current = value = triangle.lin([(1.0, current), (1.0, value), (-1.0, old)])
            values[r] = value
            triangle._forget(values, r)
        before.append(dict(values))
        if j + 1 < triangle.size:
            found.append(current)
    return Swept(found, before)


def one_evaluation_each_step(plan: Plan) -> bool:
    """Whether evaluation ``j`` is made at the state of level ``j``, once, for every level that has one."""
    lines = [plan.lines[r - 1] for r in plan.evaluations]
    return all(
        isinstance(line, Eval) and j < len(plan.states) and line.x == plan.states[j] for j, line in enumerate(lines)
    )
