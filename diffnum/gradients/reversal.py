"""The discrete gradient with nothing stored: a reversible sampler gives its states back on the way."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..plan import Eval, Lin, Line, Plan, sources
from ..read.invert import undone
from ..read.sample import as_like
from .problem import Gradient, Loss, Problem, pull

__all__ = ["reversal"]


def reversal(plan: Plan, model: Any, x: Any, loss: Loss, parameters: Iterable[Any] = (), noise: Any = None) -> Gradient:
    """The gradient of :func:`~diffnum.gradients.backprop` by a sampler that can be undone, in memory that does not grow
    with the number of steps.

    Only the outputs of the run are kept. The lines of ``dn.invert(plan)`` give the states back one after the other, and
    the lines of the plan are differentiated in the same order, from the last to the first: where the inverse evaluates
    the model at an input that the plan had, that one evaluation, with its graph, serves both. The gradient is that of
    the run itself, to rounding times the growth of the inverse; no error of discretisation enters. Calls of the model
    are ``NFE`` forward, and back as many again, each with a vector-Jacobian product.

    Args:
        plan: one that :func:`diffnum.invert` undoes, such as a reversible pair.
        model, x, loss, parameters, noise: as for :func:`~diffnum.gradients.checkpointed`.

    Raises:
        ValueError: a plan that cannot be undone; otherwise as :func:`~diffnum.gradients.checkpointed`.
    """
    import torch

    problem = Problem.of(plan, model, x, parameters, noise, replayed=True)
    plan = problem.plan
    inverse, number = undone(plan, [line.x for line in plan.lines if isinstance(line, Eval)])
    made = [number[r] for _, r in plan.outputs]
    with torch.no_grad():
        ends = problem.run(problem.given, problem.value)
        value, cotangent = problem.judged(loss, ends[0])
        back = _Back(problem, inverse, number, dict(zip(made, ends, strict=True)))
        totals = problem.zeros()

        def product(r: int, line: Eval, own: Any) -> Any:
            graph = back.graph(r, line)
            if own is None:
                return None
            found, parts = problem.product(*graph, own)
            for total, part in zip(totals, parts, strict=True):
                total += part
            return found

        cotangents = {plan.outputs[0][1]: cotangent}
        lines = [(r, plan.lines[r - 1]) for r in range(len(plan.lines), 0, -1)]
        pull(lines, cotangents, problem.given, product)
        returned = back.value(number[0])
    return problem.result(value, ends[0], cotangents, totals, returned)


@dataclass
class _Back:
    """The inverse, run as far as it has been asked.

    Attributes:
        lines: of the inverse.
        ends: values of the plan's outputs, by their registers in the inverse.
        number: register of the inverse for each of the plan's.
        values: of registers still needed, by the inverse or by the plan's evaluations.
        graphs: evaluations of the inverse that were also the plan's, until they are differentiated.
    """

    problem: Problem
    lines: list[Line]
    number: dict[int, int]
    ends: dict[int, Any]
    values: dict[int, Any] = field(default_factory=dict)
    graphs: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    uses: Tally[int] = field(default_factory=Tally)
    shared: dict[int, int] = field(default_factory=dict)
    done: int = 0

    def __post_init__(self) -> None:
        evaluations = [(r, line) for r, line in enumerate(self.problem.plan.lines, 1) if isinstance(line, Eval)]
        # given outputs need no line: what only an output's default needed is left out
        needed = {self.number[0], *(self.number[line.x] for _, line in evaluations)}
        for r in range(len(self.lines), 0, -1):
            if r in needed and r not in self.ends:
                needed.update(sources(self.lines[r - 1]))
        self.needed = needed
        self.uses[self.number[0]] += 1
        for r, line in evaluations:
            self.uses[self.number[line.x]] += 1
            q = self.number.get(r, 0)
            own = self.lines[q - 1] if q and q in needed else None
            if isinstance(own, Eval) and own.x == self.number[line.x]:
                self.shared[q] = r
        for r, line in enumerate(self.lines, 1):
            if r in needed and r not in self.ends:
                self.uses.update(sources(line))
        self._keep(0, self.ends[0])

    def value(self, q: int) -> Any:
        """The value of a register of the inverse, for one of its uses."""
        while self.done < q:
            self._step()
        found = self.values[q]
        self._used(q)
        return found

    def graph(self, r: int, line: Eval) -> tuple[Any, Any]:
        """The plan's evaluation ``r`` with its graph: the inverse's own where it has made one."""
        x = self.value(self.number[line.x])
        q = self.number.get(r, 0)
        if self.shared.get(q) != r:
            return self.problem.graph(x, line.level)
        while self.done < q:
            self._step()
        return self.graphs.pop(q)

    def _step(self) -> None:
        self.done += 1
        r = self.done
        if r not in self.needed:
            return
        line = self.lines[r - 1]
        if r in self.ends:
            self._keep(r, self.ends[r])
        elif isinstance(line, Lin):
            self._keep(r, self.problem.lin([(c, self.values[q]) for q, c in line.terms]))
            self._free(line)
        elif isinstance(line, Eval):
            x = self.values[line.x]
            if r in self.shared:
                self.graphs[r] = self.problem.graph(x, line.level)
                self._keep(r, as_like(self.graphs[r][1].detach(), x))
            else:
                self._keep(r, self.problem.value(x, line.level))
            self._free(line)
        else:
            self._keep(r, self.problem.noise(line))

    def _keep(self, q: int, value: Any) -> None:
        if self.uses[q]:
            self.values[q] = value

    def _free(self, line: Any) -> None:
        for q in sources(line):
            self._used(q)

    def _used(self, q: int) -> None:
        self.uses[q] -= 1
        if not self.uses[q]:
            del self.values[q]
