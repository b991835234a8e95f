"""Picard iteration of a sampler: all evaluations of a window at once, again and again until they stop changing.

The unknowns are the inputs ``u_j`` of the model. From a guess of all of them, one round is

    E_j = model(u_j, level_j) for all j of the window, in one batched call,
    u_j = what the plan's lines make of the new E_i, i < j,

and since ``u_j`` depends on ``E_i`` with ``i < j`` only, each round makes at least one more evaluation final: a run
ends after at most as many rounds as a sequential run has evaluations, with the same result. It is worth while because
it usually ends after far fewer (Shih, Belkhale, Ermon, Sadigh & Anari 2023, ParaDiGMS).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..noise import as_source
from ..plan import Level, Plan
from ..read.sample import linear, started
from .anderson import Memory
from .batching import Ask, together
from .scales import Scale, ancestral
from .triangular import Sweep, Triangle, by_increments, by_substitution, one_evaluation_each_step

__all__ = ["Iterated", "Rule", "check_rule", "gauss_seidel", "iterate", "paradigms", "picard", "worst"]


@dataclass(frozen=True)
class Iterated:
    """What an iteration in parallel gives.

    Attributes:
        outputs: the plan's outputs; :attr:`sample` is the first.
        sequential: evaluations of a sequential run, one after another.
        windows: for each round the first evaluation in it and the one after its last.
        residuals: for each round the mean square change of the inputs after the first, ``window - 1`` of them, the
            largest of the batch.
        met: whether every input was final, to the tolerance, when it was left.
    """

    outputs: tuple[Any, ...]
    sequential: int
    windows: tuple[tuple[int, int], ...]
    residuals: tuple[np.ndarray, ...]
    met: bool = True

    @property
    def sample(self) -> Any:
        """The sample."""
        return self.outputs[0]

    @property
    def iterations(self) -> int:
        """Rounds: batched calls made one after another, the depth of the run."""
        return len(self.windows)

    @property
    def nfe(self) -> int:
        """Model evaluations in all rounds together."""
        return sum(e - b for b, e in self.windows)

    @property
    def largest(self) -> int:
        """The most evaluations in one round."""
        return max((e - b for b, e in self.windows), default=0)

    @cached_property
    def history(self) -> np.ndarray:
        """Root mean square change by round and evaluation, ``(iterations, sequential)``: nan outside the window, zero
        for its first, which is final."""
        table = np.full((self.iterations, self.sequential), np.nan)
        for row, (b, e), changes in zip(table, self.windows, self.residuals, strict=True):
            row[b] = 0.0
            row[b + 1 : e] = np.sqrt(changes[: e - b - 1])
        return table

    def __str__(self) -> str:
        work = f"{self.nfe} evaluations in all, {self.nfe / max(1, self.sequential):.1f} times as many"
        said = (
            f"{self.iterations} rounds instead of {self.sequential} evaluations one after another; {work}, up to "
            f"{self.largest} in a round"
        )
        return said if self.met else f"{said}; cut short before the tolerance was met"


@dataclass(frozen=True)
class Rule:
    """When an evaluation is final, and how far the window reaches.

    Attributes:
        tol: an input that changed by a mean square of at most ``tol^2`` times its variance is final.
        window: most evaluations in a round; None for all that there are.
        ends: evaluations at which segments end; a window does not reach beyond its segment.
        most: rounds spent on a segment before it is taken as it is; None for as many as it needs.
    """

    tol: float
    window: int | None = None
    ends: tuple[int, ...] = ()
    most: int | None = None


def check_rule(rule: Rule) -> Rule:
    """``rule``, or a refusal.

    Raises:
        ValueError: a negative tolerance, or one that is not a number; a window or a number of rounds below one.
    """
    if not rule.tol >= 0:
        raise ValueError(f"tol = {rule.tol!r} is no tolerance: give 0 for the sequential result, or a number above it")
    if rule.window is not None and not (isinstance(rule.window, int) and rule.window >= 1):
        raise ValueError(f"window = {rule.window!r} holds no evaluation: give a whole number >= 1, or None for all")
    if rule.most is not None and not (isinstance(rule.most, int) and rule.most >= 1):
        raise ValueError(f"iterations = {rule.most!r} is no number of rounds: give a whole number >= 1, or None")
    return rule


def picard(
    plan: Plan,
    model: Any,
    x: Any,
    tol: float = 0.1,
    window: int | None = None,
    noise: Any = None,
    memory: int = 0,
    scale: Scale = ancestral,
) -> Iterated:
    """Run a plan by Picard iteration on its evaluations, over a sliding window.

    Only the model is taken at the last iterate; the linear part of every step is exact. A round leaves behind the
    evaluations whose input changed by ``||u^{k+1} - u^k||^2 <= tol^2 sigma_j^2 d`` in every sample, up to the first
    that did not, and moves the window there; new inputs start as copies of the last one. With ``tol = 0`` the result
    is that of :func:`diffnum.sample`, to the last bit if the model's answers do not depend on what they are batched
    with, and after ``k`` rounds at least the first ``k`` evaluations are final. Noise is drawn once and kept, the
    same draws that a sequential run has.

    Args:
        plan: any plan, multistep and stochastic ones included.
        model: ``model(x, level)``, a target, or a model with ``at(xs, levels)``, which is then asked once a round
            (:func:`~diffnum.parallel.together`, :func:`~diffnum.parallel.sharded`).
        x: ``x_T``, as for :func:`diffnum.sample`.
        tol: relative to the variances of ``scale``; 0.1 is the authors' choice.
        window: most evaluations in a round, what the machine does at once; None for all.
        noise: as for :func:`diffnum.sample`.
        memory: number of past rounds that triangular Anderson acceleration combines (Tang et al. 2024); 0 for none.
        scale: from the plan to ``sigma_j^2``; see :mod:`diffnum.parallel.scales`.

    Raises:
        ValueError: a window below one, a negative tolerance or memory; as :func:`diffnum.sample`.
    """
    return _run(plan, model, x, check_rule(Rule(tol, window)), noise, scale, by_substitution, memory)


def paradigms(
    plan: Plan,
    model: Any,
    x: Any,
    tol: float = 0.1,
    window: int | None = None,
    noise: Any = None,
    scale: Scale = ancestral,
) -> Iterated:
    """ParaDiGMS as published: Picard iteration on the states, summing increments of whole steps.

        x_{j+1}^{k+1} = x_b^{k+1} + sum over i = b..j of (step_i(x_i^k) - x_i^k)      (Shih et al. 2023, algorithm 1)

    The whole step is taken at the last iterate, where :func:`picard` has its linear part exact. Which needs fewer
    rounds depends on the prediction: what is iterated is the part of the drift along ``D``, or along ``eps``, or, here,
    all of it, whose Jacobian is the smallest on the variance-preserving process; the velocity is nearly the same.
    :func:`~diffnum.parallel.predicted` says it beforehand. Sums of differences agree with the sequential run to
    rounding, not bit by bit. For multistep samplers the history is kept; the authors' code restarts it at the left
    edge of every window and so converges to something else than the sequential sampler.

    Args and result as for :func:`picard`.

    Raises:
        ValueError: a plan that does not evaluate once at every state.
    """
    if not one_evaluation_each_step(plan):
        raise ValueError(
            f"{plan.solver} does not evaluate once at the state of every step, so it has no sum of increments: use "
            "picard"
        )
    return _run(plan, model, x, check_rule(Rule(tol, window)), noise, scale, by_increments, 0)


def gauss_seidel(
    plan: Plan,
    model: Any,
    x: Any,
    segments: int,
    tol: float = 0.0,
    iterations: int | None = None,
    noise: Any = None,
    scale: Scale = ancestral,
) -> Iterated:
    """Run a plan segment by segment, each by :func:`picard` inside: Gauss-Seidel outside, Jacobi inside.

    One segment is Picard iteration without a sliding window, as many segments as evaluations is the sequential run.

    Args:
        segments: into how many pieces, as even as possible, the evaluations are cut.
        iterations: rounds after which a segment is taken as it is, K of Liu & Qin 2025; None until the
            tolerance is met.

    Further args and result as for :func:`picard`.

    Raises:
        ValueError: fewer than one segment, or more than evaluations.
    """
    if not (isinstance(segments, int) and 1 <= segments <= max(1, plan.nfe)):
        raise ValueError(
            f"segments = {segments!r} do not cut {plan.nfe} evaluations: give a whole number from 1 to {plan.nfe}"
        )
    ends = tuple(plan.nfe * (i + 1) // segments for i in range(segments))
    return _run(plan, model, x, check_rule(Rule(tol, None, ends, iterations)), noise, scale, by_substitution, 0)


def _run(plan: Plan, model: Any, x: Any, rule: Rule, noise: Any, scale: Scale, sweep: Sweep, memory: int) -> Iterated:
    if not isinstance(plan, Plan):
        raise ValueError(
            f"{type(plan).__name__} is no plan: an adaptive sampler chooses its steps one after another, so run it "
            "first and pass the plan that it froze"
        )
    source = as_source(noise, plan)
    ask = together(model, plan.prediction)
    plan, x, partners = started(plan, x)
    triangle = Triangle(plan, linear(x), lambda line: source(line, x), partners)
    return iterate(triangle, x, ask, rule, scale(plan), worst, sweep, Memory(memory))


def worst(new: Any, old: Any) -> float:
    """The mean square of ``new - old`` of the sample in which it is largest; nan counts as infinite."""
    change = new - old
    wide = change.double() if hasattr(change, "double") else change.astype(np.float64)
    squares = (wide.reshape(len(wide), -1) ** 2).mean(-1)
    value = float(squares.max())
    return value if value == value else float("inf")


def iterate(
    triangle: Triangle,
    x: Any,
    ask: Ask,
    rule: Rule,
    variances: Sequence[float],
    gap: Callable[[Any, Any], float],
    sweep: Sweep = by_substitution,
    memory: Memory | None = None,
) -> Iterated:
    """The iteration itself, on any kind of number; see :func:`picard`.

    Args:
        gap: mean square difference of two inputs.
        variances: by which it is divided, one per evaluation.
    """
    size = triangle.size
    memory = memory or Memory(0)
    known = triangle.start(x)
    ends = iter(rule.ends or (size,))
    windows: list[tuple[int, int]] = []
    residuals: list[np.ndarray] = []
    first, end, spent, met = 0, 0, 0, True
    inputs: list[Any] = [known[triangle.evaluation(0).x]] if size else []
    while first < size:
        if first == end:
            end, spent = next(ends), 0
        last = min(first + (rule.window or size), end)
        # entries that are new to the window start where its last one is
        inputs += [inputs[-1]] * (last - first - len(inputs))
        inputs = inputs[: last - first]
        levels: list[Level] = [triangle.level(j) for j in range(first, last)]
        predictions = ask(inputs, levels)
        swept = sweep(triangle, known, first, predictions, inputs)
        changes = [gap(new, old) for new, old in zip(swept.inputs, inputs[1:], strict=False)]
        windows.append((first, last))
        residuals.append(np.array(changes))
        spent += 1
        limits = [rule.tol**2 * variances[j] for j in range(first + 1, last)]
        stride = next((j for j, (c, m) in enumerate(zip(changes, limits, strict=True), 1) if c > m), last - first)
        if spent == rule.most and stride < last - first:
            stride, met = last - first, False
        moved = memory.combined(first, inputs, swept.inputs, stride)
        first += stride
        known, inputs = swept.before[stride - 1], moved[stride - 1 :]
        triangle.forget_draws(first)
    outputs = tuple(known[r] for _, r in triangle.plan.outputs)
    return Iterated(outputs, triangle.plan.nfe, tuple(windows), tuple(residuals), met)
