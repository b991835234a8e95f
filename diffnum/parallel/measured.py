"""What iterations in parallel cost and how far they are from the sequential run, round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..noise import as_source
from ..plan import Level, Plan
from ..read.sample import linear, sample, started
from .batching import together
from .picard import Iterated, Rule, iterate, picard, worst
from .triangular import Sweep, Triangle, by_substitution

__all__ = ["Cost", "cost_table", "costs", "measured_errors"]


def measured_errors(
    plan: Plan, model: Any, x: Any, rounds: int, noise: Any = None, sweep: Sweep = by_substitution
) -> np.ndarray:
    """Root mean square difference of every input from the sequential run's, ``(1 + rounds, n)``: row ``k`` after
    ``k`` rounds of an iteration of the whole plan, row 0 the first guess.

    Args:
        sweep: :func:`~diffnum.parallel.by_substitution` (:func:`~diffnum.parallel.picard`) or
            :func:`~diffnum.parallel.by_increments` (:func:`~diffnum.parallel.paradigms`).
    """
    plan, x, partners = started(plan, x)
    source, ask = as_source(noise, plan), together(model, plan.prediction)
    truth: list[Any] = []

    def remembered(u: Any, level: Level) -> Any:
        truth.append(u)
        return ask([u], [level])[0]

    sample(plan, remembered, (x, *partners.values()) if partners else x, noise)
    errors: list[list[float]] = []

    def compared(inputs: Sequence[Any], levels: Sequence[Level]) -> list[Any]:
        before = plan.nfe - len(inputs)
        errors.append([0.0] * before + [_distance(u, v) for u, v in zip(inputs, truth[before:], strict=True)])
        return ask(inputs, levels)

    triangle = Triangle(plan, linear(x), lambda line: source(line, x), partners)
    iterate(triangle, x, compared, Rule(0.0), [0.0] * plan.nfe, _never, sweep)
    table = np.zeros((1 + rounds, plan.nfe))
    for row, found in zip(table, errors, strict=False):
        row[:] = found
    return table


def _never(new: Any, old: Any) -> float:
    # one evaluation is left behind a round, however little the others change
    return float("inf")


def _distance(u: Any, v: Any) -> float:
    change = u - v
    wide = change.double() if hasattr(change, "double") else change.astype(np.float64)
    return float((wide**2).mean()) ** 0.5


@dataclass(frozen=True)
class Cost:
    """One run in parallel beside the sequential one.

    Attributes:
        sequential: evaluations of the sequential run.
        tol: tolerance.
        rounds: batched calls, one after another.
        nfe: evaluations in all.
        largest: evaluations in the largest round.
        error: root mean square difference of the samples, over the sequential sample's root mean square; of the sample
            in which it is largest.
    """

    sequential: int
    tol: float
    rounds: int
    nfe: int
    largest: int
    error: float

    @property
    def shorter(self) -> float:
        """Sequential calls for one round: an upper bound of the speed gained."""
        return self.sequential / self.rounds

    @property
    def dearer(self) -> float:
        """Evaluations for one of the sequential run."""
        return self.nfe / self.sequential


def costs(
    plans: Iterable[Plan],
    model: Any,
    x: Any,
    tols: Sequence[float] = (0.1, 0.01, 0.001),
    noise: Any = None,
    run: Callable[..., Iterated] = picard,
    **options: Any,
) -> list[Cost]:
    """Depth, work and error of ``run`` for every plan and tolerance.

    Args:
        x: ``x_T`` of all plans.
        run: :func:`~diffnum.parallel.picard`, :func:`~diffnum.parallel.paradigms` or a function like them.
        options: of ``run``, such as ``window``.
    """
    found = []
    for plan in plans:
        truth = sample(plan, model, x, noise)
        size = _distance(truth, 0 * truth)
        for tol in tols:
            r = run(plan, model, x, tol=tol, noise=noise, **options)
            error = worst(r.sample, truth) ** 0.5 / size
            found.append(Cost(plan.nfe, tol, r.iterations, r.nfe, r.largest, error))
    return found


def cost_table(found: Iterable[Cost]) -> str:
    """A Markdown table of :func:`costs`."""
    rows = ["| sequential | tol | rounds | shorter | evaluations | dearer | error |", "|---|---|---|---|---|---|---|"]
    rows += [
        f"| {c.sequential} | {c.tol:g} | {c.rounds} | {c.shorter:.1f}× | {c.nfe} | {c.dearer:.1f}× | {c.error:.1e} |"
        for c in found
    ]
    return "\n".join(rows)
