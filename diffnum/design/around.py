"""The plans around a given one that read what it reads and keep its order conditions, as one linear family.

A line of a plan of data predictions takes weights of earlier states and of evaluations,

    x = sum_k a_k x_k + sum_j w_j D_j,

and its linear order conditions are what it makes of data that are polynomials in log-SNR. With the ``a_k`` as they are,

    sum_j w_j lam_j^m    for m < p

decides these. Here the weights move in the null space of that matrix, ``w = w_0 + N theta`` with ``sum_j N_j lam_j^m``
zero: every condition below ``p`` that the plan satisfies holds for all ``theta``, in exact arithmetic, and what is
missing in one that holds up to higher powers of the step alone stays what it was. The noise of every state and the root
condition are those of the plan, as the ``a_k`` are. A multistep plan, with correctors or without, has order ``p`` for
all ``theta`` if it had; of Runge-Kutta's conditions the linear ones are all there are up to order two.

What is free depends on the structure: a line of ``k`` evaluations has ``k - p`` numbers. :class:`.free.Free` with all
evaluations in every line, and the levels, is the larger family; this one stays with a method that is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from .. import grid as grids
from ..grid import Grid
from ..plan import Eval, Level, Lin, Plan
from ..solvers.coords import total
from ..trace import Form, Solver, Trace, compile

__all__ = ["Around"]


@dataclass(frozen=True)
class Around:
    """The family around a plan; for :func:`diffnum.design.fit`, which begins at ``np.zeros(family.size)``.

    Attributes:
        base: of data predictions, without draws, such as ``dn.compile("dpmpp_2m", grid)``.
        process: the noise process that its levels lie on.
        order: ``p`` of the module; with more than one, evaluations at pure noise, where log-SNR is infinite, keep their
            weights.

    Raises:
        ValueError: no order; a plan of other predictions, with draws or with several states.
    """

    base: Plan
    process: Any
    order: int = 1

    def __post_init__(self) -> None:
        if not (isinstance(self.order, int) and self.order >= 1):
            raise ValueError(f"order = {self.order!r} is no order of a method: use a whole number >= 1")
        if self.base.prediction != "data":
            raise ValueError(
                f"{self.base.solver} is of {self.base.prediction} predictions: compile it for data, and the plans that "
                "are found for others by plan(theta, prediction)"
            )
        if self.base.draws or len(self.base.inputs) > 1 or self.base.partners:
            raise ValueError(f"{self.base.solver} draws noise or carries several states: use a plan with neither")

    @property
    def start(self) -> Level:
        """The level of ``x_T``."""
        return self.base.start

    @cached_property
    def grid(self) -> Grid:
        """The levels of the plan, which stay."""
        return grids.through(self.process, self.base.levels, self.base.end)

    @cached_property
    def flat(self) -> Plan:
        """The plan with readings of other quantities folded into their users: lines are states or are evaluated."""
        return compile(self._solver(self.base, {}), self.grid)

    @cached_property
    def directions(self) -> dict[int, np.ndarray]:
        """For each line of :attr:`flat` that is free, by its register, ``(terms, numbers)``: how its coefficients move.
        In units of the line's weights."""
        found = {}
        # what comes after the last state is the end policy's
        for r, line in enumerate(self.flat.lines[: self.flat.states[-1]], 1):
            if isinstance(line, Lin):
                moves = _null_space(self.flat, line.terms, self.order)
                if moves.shape[1]:
                    found[r] = moves
        return found

    @property
    def size(self) -> int:
        """How many numbers are free."""
        return sum(moves.shape[1] for moves in self.directions.values())

    def plan(self, theta: Any, prediction: str = "data") -> Plan:
        """The plan of a vector, whose entries may be torch leaves."""
        moved, at = {}, 0
        for r, moves in self.directions.items():
            mine = [theta[at + k] for k in range(moves.shape[1])]
            moved[r] = [sum((float(m) * z for m, z in zip(row, mine, strict=True) if m), 0.0) for row in moves]
            at += moves.shape[1]
        return compile(self._solver(self.flat, moved), self.grid, prediction)

    def _solver(self, plan: Plan, moved: dict[int, Sequence[Any]]) -> Solver:
        def build(T: Trace, grid: Grid) -> None:
            _replay(T, grid, plan, moved)

        return Solver(build, self.order, 1, "", family="designed", name=f"{self.base.solver} with free weights")


def _replay(T: Trace, grid: Grid, plan: Plan, moved: dict[int, Sequence[Any]]) -> None:
    """The lines of a plan as a sampler's formula, some coefficients moved."""
    forms: dict[int, Form] = {}
    for _, (first, last) in zip(T.steps(grid), pairwise(plan.states), strict=True):
        forms[first] = T.x
        for r, line in enumerate(plan.lines[first:last], first + 1):
            if isinstance(line, Eval):
                e = T.evaluate(forms[line.x], line.level)
                forms[r], forms[line.x] = e.data, Form(((e.x, 1.0),))
            elif isinstance(line, Lin):
                by = moved.get(r, [0.0] * len(line.terms))
                forms[r] = total((c + d, forms[q]) for (q, c), d in zip(line.terms, by, strict=True))
        T.x = forms[last]


def _null_space(plan: Plan, terms: Sequence[tuple[int, Any]], order: int) -> np.ndarray:
    """``(terms, free)``: orthonormal moves of the weights of evaluations that keep their first ``order`` moments."""
    asked = [(k, plan.lines[q - 1]) for k, (q, _) in enumerate(terms) if q]
    mine = [(k, line.level) for k, line in asked if isinstance(line, Eval)]
    mine = [(k, level) for k, level in mine if order == 1 or math.isfinite(level.lam)]
    free = len(mine) - order
    moves = np.zeros((len(terms), max(free, 0)))
    if free < 1:
        return moves
    lams = np.array([level.lam if order > 1 else 0.0 for _, level in mine])
    middle, reach = (lams.max() + lams.min()) / 2, max(float(np.ptp(lams)) / 2, 1e-300)
    moments = np.vander((lams - middle) / reach, order, increasing=True)
    full = np.linalg.qr(moments, mode="complete")[0]
    size = sum(abs(terms[k][1]) for k, _ in mine)
    moves[[k for k, _ in mine]] = size * full[:, order:]
    return moves
