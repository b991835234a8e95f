"""A first step without the model: noise so strong that everybody knows what it hides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...grid import Grid
from ...num import sqrt
from ...plan import Lin, Plan
from ...prediction import to_native
from ...read.sample import sample
from ...solvers import ddim
from ...trace import compile
from .paths import shortest
from .stepwise import Costs, deviation_costs
from .teacher import Teacher

__all__ = ["analytic_first", "gits_analytic"]


def analytic_first(plan: Plan) -> Plan:
    """``plan`` with a guess in the place of its first evaluation, one call less: the analytical first step.

    At strong noise the prediction of the noise is nearly the state itself, at unit variance (Dockhorn et al. 2022;
    Chen et al. 2024, where ``alpha = 1`` and it reads ``x / sqrt(1 + sigma^2)``):

        eps = x / r,    D = (x - sigma eps) / alpha = alpha x / (r (r + sigma)),    r = sqrt(alpha^2 + sigma^2).

    The last form does not cancel and gives ``D = 0`` at ``alpha = 0``. On a centred law of variance ``c`` the exact
    ``eps`` is ``sigma x / (alpha^2 c + sigma^2)``, so that the guess is wrong by ``(c - 1/2) (alpha / sigma)^2`` of
    itself, where ``alpha`` is small.

    The guess counts as an evaluation in all that a multistep method remembers, as in the authors' code. The plan is for
    ``dn.sample``: pipelines of diffusers ask their network before a scheduler is heard.

    Raises:
        ValueError: a plan whose first evaluation is not that of its first state, or is its only one.
    """
    first = plan.evaluations[0] if plan.evaluations else 0
    line: Any = plan.lines[first - 1]
    if plan.nfe < 2 or line.x != 0 or line.level != plan.start:
        raise ValueError(
            f"{plan.solver} with {plan.nfe} evaluations has none to spare at its first state: give a plan that "
            "asks the model there and once more"
        )
    alpha, sigma = plan.start.alpha, plan.start.sigma
    a, b = to_native(plan.start, line.quantity)
    r = sqrt(alpha * alpha + sigma * sigma)
    guess = Lin(((0, a + b * alpha / (r * (r + sigma))),), line.name, line.step)
    return replace(plan, lines=(*plan.lines[: first - 1], guess, *plan.lines[first:]))


def gits_analytic(
    teacher: Teacher, n: int, sampler: Any = ddim, coefficient: float = 1.15, costs: Costs = deviation_costs
) -> Grid:
    """:func:`~diffnum.design.grids.gits` with the analytical first step (Chen et al. 2024; gits_utils.py of the
    authors): one more level between the first two, to which :func:`analytic_first` steps without a call.

    Of all levels of the teacher between them it is the one from which ``sampler`` ends nearest to the run's own end,

        argmin over k of   mean |plan_k(x_0) - x_N|_2.

    Where there is none between, the grid stays as it is, and its first step becomes the analytical one.

    Args:
        teacher, coefficient, costs: as for ``gits``.
        n: steps found by dynamic programming, which are as many calls of a first-order sampler.
        sampler: which the grid is for.

    Returns:
        a grid of ``n + 1`` steps for ``analytic_first(dn.compile(sampler, grid))``.
    """
    nodes = shortest(costs(teacher), n, coefficient).nodes
    grids = [teacher.through([nodes[0], k, *nodes[1:]]) for k in range(1, nodes[1])]
    if not grids:
        return teacher.through(nodes)
    ends = [sample(analytic_first(compile(sampler, grid)), teacher.target, teacher.states[0]) for grid in grids]
    apart = [np.linalg.norm(end - teacher.states[-1], axis=-1).mean() for end in ends]
    return grids[int(np.argmin(apart))]
