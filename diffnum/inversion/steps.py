"""One-step plans as maps from level to level, for inversions that take steps back one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..noise import as_source
from ..plan import Eval, Level, Lin, Line, Noise, Plan, sources
from ..read.sample import adapted_model, as_like, linear

__all__ = ["Step", "steps_of"]


@dataclass(frozen=True)
class Step:
    """The lines of one step, which reads its state and nothing older.

    Attributes:
        plan: the whole plan; ``first`` and ``last`` are the registers of the state before and after.
        s, t: the levels before and after.
    """

    plan: Plan
    first: int
    last: int
    s: Level
    t: Level

    @property
    def lines(self) -> list[tuple[int, Line]]:
        """Registers and their lines, in order."""
        return [(r, self.plan.lines[r - 1]) for r in range(self.first + 1, self.last + 1)]

    @property
    def nfe(self) -> int:
        """Evaluations of the model."""
        return sum(isinstance(line, Eval) for _, line in self.lines)

    @property
    def draws(self) -> list[tuple[int, Noise]]:
        """Draws of noise."""
        return [(r, line) for r, line in self.lines if isinstance(line, Noise)]

    def __call__(self, x: Any, evaluate: Callable[[Any, Level], Any], noise: Callable[[Noise], Any]) -> Any:
        """The state after the step."""
        combine = linear(x)
        known = {self.first: x}
        for r, line in self.lines:
            if isinstance(line, Lin):
                known[r] = combine([(c, known[q]) for q, c in line.terms])
            elif isinstance(line, Eval):
                known[r] = evaluate(known[line.x], line.level)
            else:
                known[r] = noise(line)
        return known[self.last]

    def coefficient(self, register: int) -> float:
        """By how much the state after the step moves with ``register`` while every prediction stands still."""
        moves: dict[int, float] = {register: 1.0}
        for r, line in self.lines:
            if r != register and isinstance(line, Lin):
                moves[r] = sum(float(c) * moves.get(q, 0.0) for q, c in line.terms)
        return moves.get(self.last, 0.0)

    def sees(self, register: int) -> bool:
        """Whether an evaluation of the step depends on ``register``."""
        touched = {register}
        for r, line in self.lines:
            if touched & set(sources(line)):
                if isinstance(line, Eval):
                    return True
                touched.add(r)
        return False


def steps_of(plan: Plan) -> list[Step]:
    """Every step of a plan whose steps read their own state only.

    Raises:
        ValueError: a multistep plan, one with partner states, or one that ends with an evaluation.
    """
    if plan.outputs[0][1] != plan.states[-1]:
        raise ValueError(f"{plan.solver} ends with {plan.end!r}: use a grid that ends with 'stop' or 'zero'")
    found = []
    for i, (first, last) in enumerate(pairwise(plan.states)):
        reads = {q for r in range(first + 1, last + 1) for q in sources(plan.lines[r - 1])}
        if min(reads, default=first) < first or len(plan.inputs) > 1:
            raise ValueError(
                f"{plan.solver} remembers more than its state from step to step, so its steps cannot be taken back one "
                "by one: use a one-step sampler, or a reversible one with dn.invert"
            )
        found.append(Step(plan, first, last, plan.levels[i], plan.levels[i + 1]))
    return found


def evaluator(plan: Plan, model: Any) -> Callable[[Any, Level], Any]:
    """The model's predictions, like its inputs."""
    call = adapted_model(model, plan.prediction)
    return lambda x, level: as_like(call(x, level), x)


def drawer(plan: Plan, noise: Any, x: Any) -> Callable[[Noise], Any]:
    """The plan's draws for states like ``x``."""
    draw = as_source(noise, plan)
    return lambda line: draw(line, x)
