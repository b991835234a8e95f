"""The exact law of a sampler's output on a Gaussian: no samples, no sampling noise.

On a Gaussian the denoiser is affine and every eigen-direction moves alone, so each register of an
affine plan is ``constant + a x_T + sum_k b_k z_k`` per direction; :func:`affine` carries these
forms through the plan, draws included, and :func:`moments` reads mean and variance off the output.
Where a state is the only live register its rows are gathered into one, so that the cost of a
one-step stochastic plan grows with its steps and not with their square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..num import sqrt
from ..plan import Level, Noise, Plan, interpret
from ..prediction import to_native

__all__ = ["Affine", "Response", "affine", "as_arrays", "moments"]


@dataclass(frozen=True)
class Affine:
    """``constant + rows[0] x_T + rows[1:] z`` per eigen-direction; shapes ``(d,)`` and ``(1 + draws, d)``."""

    constant: Any
    rows: Any


Response = Callable[[Level], tuple[Any, Any]]
"""From a level to ``(gain, offset)`` of an affine denoiser ``D = gain x + offset`` per eigen-direction."""


def affine(plan: Plan, mean: Any, variances: Any, response: Response | None = None) -> Affine:
    """The output register as an affine form on ``N(mean, diag(variances))``, in ``x_T`` and every draw.

    Args:
        mean, variances: ``(d,)`` in eigen-coordinates; numpy (float64 or objects such as mpmath
            numbers) or torch, which keeps the gradient.
        response: another affine denoiser than this Gaussian's own.
    """
    mean, variances = as_arrays(plan, mean, variances)
    one = variances * 0 + 1
    return _carry(plan, mean, variances, Affine(mean * 0, one[None]), lambda r, line, value, draw: value, response)


def as_arrays(plan: Plan, mean: Any, variances: Any) -> tuple[Any, Any]:
    """Both as torch where either, or a level of the plan, is a tensor."""
    tensors = (mean, variances, *(level.sigma for level in plan.levels))
    if not any(type(c).__module__.startswith("torch") for c in tensors):
        return mean, variances
    import torch

    # targets keep their arrays read-only, which torch does not support
    return tuple(torch.as_tensor(np.array(c) if isinstance(c, np.ndarray) else c) for c in (mean, variances))  # type: ignore[return-value]


def _carry(
    plan: Plan, mean: Any, variances: Any, start: Affine, visit: Any, response: Response | None = None
) -> Affine:
    zero, one = mean * 0, variances * 0 + 1

    def lin(terms: Sequence[tuple[Any, Affine]]) -> Affine:
        constant = sum((c * value.constant for c, value in terms[1:]), terms[0][0] * terms[0][1].constant)
        rows = max((value.rows for _, value in terms), key=len) * 0
        for c, value in terms:
            rows[: len(value.rows)] += c * value.rows
        return Affine(constant, rows)

    def evaluate(value: Affine, level: Level, quantity: str) -> Affine:
        a, b = to_native(level, quantity)
        if response is not None:
            gain, offset = response(level)
            return Affine(a * value.constant + b * (gain * value.constant + offset), (a + b * gain) * value.rows)
        gain = denoiser_gain(variances, level)
        constant = a * value.constant + b * (mean + gain * (value.constant - level.alpha * mean))
        return Affine(constant, (a + b * gain) * value.rows)

    def noise(line: Noise) -> Affine:
        rows = [zero] * draw.row + [one]
        draw.row += 1
        return Affine(zero, _stack(rows))

    draw = _Rows(1)
    return interpret(plan, start, lin, evaluate, noise, lambda r, line, value: visit(r, line, value, draw))[0]


@dataclass
class _Rows:
    """The row that the next draw takes."""

    row: int


def _stack(rows: list[Any]) -> Any:
    if type(rows[0]).__module__.startswith("torch"):
        import torch

        return torch.stack(rows)
    return np.stack(rows)


def _bottlenecks(plan: Plan) -> set[int]:
    """States that are the only register alive when they are made: all that follows depends on them alone."""
    alone: set[int] = set()
    states = set(plan.states)
    furthest = 0
    for r in range(len(plan.lines) + 1):
        if r in states and furthest <= r:
            alone.add(r)
        furthest = max(furthest, plan.last_use[r])
    return alone


def denoiser_gain(variances: Any, level: Level) -> Any:
    """``alpha c / (alpha^2 c + sigma^2)``, the slope of ``E[x0 | x]`` on ``N(mean, c)``."""
    return level.alpha * variances / (level.alpha**2 * variances + level.sigma**2)


def moments(plan: Plan, target: Any, init: str = "marginal") -> tuple[Any, Any]:
    """Exact mean and variance of the plan's output on a Gaussian, per eigen-direction.

    Args:
        plan: any plan with scalar coefficients.
        target: a Gaussian (``eigen()`` gives mean and variances in its eigen-basis), or a denoiser that errs around one
            by a known affine amount (``response``), such as :class:`~diffnum.targets.Mistaken`.
        init: ``"marginal"`` starts from the target's law at ``plan.start``, ``"prior"`` from
            ``N(0, plan.prior^2)``, what users draw.

    Returns:
        ``(mean, variance)``, each ``(d,)``.

    Raises:
        ValueError: a target that is not Gaussian; an unknown ``init``.
    """
    if not hasattr(target, "eigen"):
        raise ValueError(f"exact moments need a Gaussian, got {type(target).__name__}: use dn.Gaussian.fit(data)")
    mean, variances = as_arrays(plan, *target.eigen())
    start_mean, start_var = start_law(plan, mean, variances, init)
    alone = _bottlenecks(plan)

    def gather(r: int, line: Any, value: Affine, draw: _Rows) -> Affine:
        # one direction of the right size stands for x_T and all draws so far: the law is the same
        if r not in alone or len(value.rows) == 1:
            return value
        draw.row = 1
        return Affine(value.constant, sqrt((value.rows**2).sum(0))[None])

    response = getattr(target, "response", None)
    form = _carry(plan, mean, variances, Affine(start_mean, sqrt(start_var)[None]), gather, response)
    return form.constant, (form.rows**2).sum(0)


def start_law(plan: Plan, mean: Any, variances: Any, init: str) -> tuple[Any, Any]:
    """Mean and variance of ``x_T`` for an ``init`` of :func:`moments`."""
    if init == "marginal":
        return plan.start.alpha * mean, plan.start.alpha**2 * variances + plan.start.sigma**2
    if init == "prior":
        return mean * 0, variances * 0 + plan.prior**2
    raise ValueError(f"init = {init!r} is unknown: use 'marginal' or 'prior'")
