"""The traffic that a step needs, from its plan.

Between two calls of the network a sampler has tensors given, and some that it must keep. The *ideal* of such a piece is

    tensors read = those given that some line of the piece needs: states, predictions, draws, each once
    tensors written = those made in the piece and needed after it: by the network, by later steps, as output, each once

whatever the number of lines in between; in bytes, times the size of a state. Each prediction has its own: DPM-Solver++
2M on data reads ``x, D, D'`` and writes ``x``, 4 tensors; on noise it reads ``x, eps, D'`` and writes ``D, x``, or it
folds ``D`` and reads ``x, eps, x', eps'``, 5 tensors both. Where these differ, :func:`least` is the smaller. The
*passes* of a piece are what its lines move one by one, every term read and every result written (its own part of
``moved`` of :func:`diffnum.cost`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...plan import Eval, Lin, Plan, sources
from ...read.lean import lean
from ...trace import compile

__all__ = ["Ideal", "ideals", "least", "of_step", "stages"]


@dataclass(frozen=True)
class Ideal:
    """Traffic of a piece of a plan in tensors of the size of the state.

    Attributes:
        read, written: each needed tensor once, each kept result once.
        lines: linear lines, the kernels of a run line by line.
        passes: tensors that they move one by one.
    """

    read: int
    written: int
    lines: int
    passes: int

    @property
    def moved(self) -> int:
        """Tensors read and written."""
        return self.read + self.written

    def __add__(self, other: Ideal) -> Ideal:
        return Ideal(
            self.read + other.read,
            self.written + other.written,
            self.lines + other.lines,
            self.passes + other.passes,
        )


def ideals(plan: Plan) -> list[Ideal]:
    """The ideal of every piece of ``plan``, without the registers that nobody needs
    (:func:`~diffnum.read.lean.lean`): before the first evaluation, after each of them, the last to the end."""
    plan = lean(plan)
    cuts = [0, *plan.evaluations, len(plan.lines)]
    return [_piece(plan, range(a + 1, b + 1)) for a, b in pairwise(cuts)]


def of_step(plan: Plan, step: int) -> Ideal:
    """The ideal of step ``step``, counted from the first call of the network to that of the next step.

    Raises:
        ValueError: a step that the plan does not have, or a plan whose steps do not all call the network as often.
    """
    return sum(ideals(plan)[pieces_of(plan, step)], Ideal(0, 0, 0, 0))


def least(sampler: Any, levels: Any, prediction: str, step: int) -> Ideal:
    """The smaller of two ideals of a step: of the plan as it is compiled for ``prediction``, and of the plan for data
    whose every data prediction is made from the state and the prediction and kept as long as it is used."""
    own = of_step(compile(sampler, levels, prediction), step)
    if prediction == "data":
        return own
    plan = lean(compile(sampler, levels, "data"))
    pieces = ideals(plan)[pieces_of(plan, step)]
    first = step * stages(plan)
    made = [_made(plan, r, piece) for r, piece in zip(plan.evaluations[first:], pieces, strict=False)]
    stored = sum(made, Ideal(0, 0, 0, 0))
    return min(own, stored, key=lambda ideal: ideal.moved)


def _made(plan: Plan, evaluation: int, piece: Ideal) -> Ideal:
    # D is the combination of the state that was asked for, which the piece may read anyway, and the prediction
    cuts = [*plan.evaluations, len(plan.lines) + 1]
    end = cuts[cuts.index(evaluation) + 1]
    asked = plan.lines[evaluation - 1].x  # type: ignore[union-attr]
    used = {q for r in range(evaluation + 1, min(end, len(plan.lines)) + 1) for q in sources(plan.lines[r - 1])}
    kept = plan.last_use[evaluation] > end
    extra = (asked not in used) and (evaluation in used or kept)
    return Ideal(piece.read + extra, piece.written + kept, piece.lines + kept, piece.passes + 3 * kept)


def pieces_of(plan: Plan, step: int) -> slice:
    """Which pieces, counted as in :func:`ideals`, make up a step; :func:`of_step` says what is refused."""
    if not 0 <= step < plan.steps:
        raise ValueError(f"step = {step!r} is none of the {plan.steps} steps of {plan.solver}: count from 0")
    return slice(1 + step * stages(plan), 1 + (step + 1) * stages(plan))


def stages(plan: Plan) -> int:
    """Calls of the network in each step.

    Raises:
        ValueError: the steps differ by more than the last.
    """
    most = -(-plan.nfe // plan.steps)
    if plan.nfe < most * (plan.steps - 1):
        raise ValueError(f"{plan.solver} calls the network {plan.nfe} times in {plan.steps} steps: they are not alike")
    return most


def _piece(plan: Plan, registers: Sequence[int]) -> Ideal:
    lines = {r: line for r in registers if isinstance(line := plan.lines[r - 1], Lin)}
    later = {r for r in lines if plan.last_use[r] > max(lines) or _asked(plan, registers, r)}
    needed = {q for line in lines.values() for q in sources(line)} - set(lines)
    return Ideal(len(needed), len(later), len(lines), sum(len(line.terms) + 1 for line in lines.values()))


def _asked(plan: Plan, registers: Sequence[int], r: int) -> bool:
    return any(isinstance(line := plan.lines[q - 1], Eval) and line.x == r for q in registers)
