"""Fixed-point inversion: a step solved for where it came from, by iteration (ReNoise, Garibi et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..parallel.anderson import Memory
from ..plan import Eval, Plan
from ..prediction import to_native
from .jacobians import jacobian
from .steps import drawer, evaluator, steps_of

__all__ = ["Solved", "contraction", "fixed_point", "renoise"]


@dataclass(frozen=True)
class Solved:
    """What a fixed-point inversion found.

    Attributes:
        states: at the levels of the plan, from noise to data; the last is the given one.
        changes: for each step from noise to data, the root mean square of what the last plain iteration changed, over
            that of the state.
        iterations: for each step, how many were made.
        nfe: model evaluations in all.
    """

    states: tuple[Any, ...]
    changes: tuple[float, ...]
    iterations: tuple[int, ...]
    nfe: int

    @property
    def x(self) -> Any:
        """The state at ``plan.start``."""
        return self.states[0]


def fixed_point(
    plan: Plan,
    model: Any,
    x: Any,
    iterations: int = 50,
    tol: float = 0.0,
    average: Sequence[float] = (1.0,),
    noise: Any = None,
    memory: int = 0,
) -> Solved:
    """Where ``plan`` comes from if it ends in ``x``: each step ``x_t = a x_s + f(x_s)`` solved by iterating

        x^{k+1} = (x_t - f(x^k)) / a = x^k + (x_t - step(x^k)) / a,        x^0 = x_t,

    from the last step to the first. ``a`` is what multiplies ``x_s`` while the model's prediction stands still, so it
    depends on the plan's prediction: with ``"noise"`` and DDIM this is ReNoise, and with one iteration DDIM inversion
    with the model asked at the noisier level; with ``"velocity"`` on a process that preserves variance, data of unit
    variance have factor zero and are done at once. It converges where ``1 - step'(x) / a``, see :func:`contraction`,
    lies inside the unit circle, to the exact inverse; else it is no inverse, and ``changes`` do not vanish.

    With a memory the iteration is Anderson's (Pan et al. 2023, AIDI): the last ``memory`` changes of the residual say
    how much of each to undo, by least squares for every sample on its own. Where the step is affine with ``m`` factors
    it is done after ``m + 1`` iterations, up to a regularisation that the next one mends, and factors beyond one do not
    matter; with one number a sample and a memory
    of one it is the secant method. Their other variant, the mean of two, is ``average=(1, 1)``, taken at the end.

    Args:
        plan: one-step; a stochastic one needs the ``noise`` that it is run with.
        model: as for :func:`diffnum.sample`.
        x: the state at ``plan.stop``.
        iterations: most of them per step, each one pass of the step's evaluations.
        tol: a step is done when its iterate changed by less than this, relative, root mean square.
        average: weights of the last iterates, the newest last; their mean is taken for the step's result.
        noise: source of the draws.
        memory: how many past iterations are combined; 0 for the plain one. ``x`` needs a batch axis.

    Raises:
        ValueError: a plan whose steps remember; weights that do not sum to something; fewer iterations than weights;
            a tolerance or a memory below zero; an iteration that ran away.
    """
    if not tol >= 0:
        raise ValueError(f"tol = {tol!r} is no tolerance: use a number >= 0, 0 for all iterations")
    weights = np.asarray(average, dtype=np.float64)
    if not (weights.ndim == 1 and len(weights) and abs(weights.sum()) > 1e-12):
        raise ValueError(f"average = {average!r} is no mean of iterates: give weights that do not sum to zero")
    if not (isinstance(iterations, int) and iterations >= len(weights)):
        raise ValueError(f"iterations = {iterations!r} are fewer than the {len(weights)} that are averaged: raise them")
    weights = weights / weights.sum()
    evaluate, draw = evaluator(plan, model), drawer(plan, noise, x)
    states, changes, counts, nfe = [x], [], [], 0
    for step in reversed(steps_of(plan)):
        a = step.coefficient(step.first)
        if a == 0:
            raise ValueError(f"step {plan.levels.index(step.s)} of {plan.solver} forgets its state: it has no inverse")
        after, now, change = states[0], states[0], float("inf")
        found: list[Any] = []
        count, past = 0, Memory(memory)
        while count < iterations and change > tol:
            move = (after - step(now, evaluate, draw)) * (1 / a)
            (now,) = past.combined(0, [now, now], [now + move], 0)
            found = [*found, now][-len(weights) :]
            count, nfe = count + 1, nfe + step.nfe
            change = _rms(move) / max(_rms(after), 1e-300)
            if not np.isfinite(change):
                raise ValueError(
                    f"the iteration ran away in step {plan.levels.index(step.s)} of {plan.solver}: its contraction "
                    "factor is beyond one there; use shorter steps, or a reversible sampler"
                )
        states.insert(0, _mean(found, weights[-len(found) :]))
        changes.insert(0, change)
        counts.insert(0, count)
    return Solved(tuple(states), tuple(changes), tuple(counts), nfe)


def renoise(plan: Plan, model: Any, x: Any, renoising: int = 4, average: int = 1, noise: Any = None) -> Solved:
    """ReNoise with ``renoising`` iterations after DDIM inversion's own, the mean of the last ``average`` taken.

    ``renoising + 1`` calls a step. The mean of two multiplies the error by ``(1 + rho) / 2`` instead of ``rho``, for a
    contraction factor ``rho``: it helps where ``rho < -1/3``, and on laws whose factor is positive it does harm.

    Args:
        plan: of a noise prediction for the published iteration.
        renoising: ``K >= 0`` of the paper; with 0 this is DDIM inversion.
        average: how many of the last iterates are averaged, at most ``renoising + 1``.

    Raises:
        ValueError: as :func:`fixed_point`.
    """
    if not (isinstance(renoising, int) and renoising >= 0):
        raise ValueError(f"renoising = {renoising!r} is no number of iterations: use a whole number >= 0")
    if not (isinstance(average, int) and 1 <= average <= renoising + 1):
        raise ValueError(f"average = {average!r} of {renoising + 1} iterates: use a whole number from 1 to that")
    return fixed_point(plan, model, x, renoising + 1, 0.0, (1.0,) * average, noise)


def contraction(plan: Plan, target: Any, states: Sequence[Any], noise: Any = None) -> list[np.ndarray]:
    """Factors by which errors shrink in the iteration for each step, on a law whose posterior covariance is known.

    For a step ``a x + b q(x)`` with one prediction ``q = A x + B D`` the factor is the matrix ``-(b / a) (A + B alpha /
    sigma^2 Cov[x0 | x])`` (``theory``: "ReNoise contracts by the posterior variance"); its eigenvalues are real. For a
    step of several evaluations it is ``1 - J / a`` with the step's own derivative ``J``, by the chain rule.

    Args:
        plan: one-step.
        target: a law with ``posterior_cov``.
        states: at the plan's levels, such as those of :class:`Solved`; ``(n, d)`` each.
        noise: source of the draws, where an evaluation sees them.

    Returns:
        For each step the eigenvalues at its states, ``(n, d)``; rising, and complex where several evaluations make them
        so.

    Raises:
        ValueError: a plan whose steps remember; fewer states than steps; a step that forgets its state; draws without a
            source.
    """
    found, steps = [], steps_of(plan)
    if len(states) not in (len(steps), len(steps) + 1):
        raise ValueError(f"{len(states)} states were given for {len(steps)} steps: give one per level, noise first")
    for step, x in zip(steps, states, strict=False):
        a = step.coefficient(step.first)
        if a == 0:
            raise ValueError(f"step {plan.levels.index(step.s)} of {plan.solver} forgets its state: it has no inverse")
        calls = [(r, line) for r, line in step.lines if isinstance(line, Eval)]
        if len(calls) == 1 and calls[0][1].x == step.first:
            (register, line) = calls[0]
            A, B = to_native(line.level, line.quantity)
            slope = line.level.alpha / line.level.sigma**2 * np.linalg.eigvalsh(target.posterior_cov(x, line.level))
            found.append(-step.coefficient(register) / a * (A + B * slope))
            continue
        at = np.asarray(x, dtype=np.float64)
        factor = np.eye(at.shape[-1]) - jacobian(step, target, at, drawer(plan, noise, at)) / a
        found.append(np.sort(np.linalg.eigvals(factor), axis=-1))
    return found


def _mean(found: Sequence[Any], weights: np.ndarray) -> Any:
    # one iterate is itself, to the last digit
    if len(found) == 1:
        return found[0]
    return sum(float(w / weights.sum()) * y for w, y in zip(weights, found, strict=True))


def _rms(x: Any) -> float:
    return float((x**2).mean()) ** 0.5
