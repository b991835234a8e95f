"""What a plan makes of trajectories, and how that changes with every free number: forward sensitivities.

One more kind of number for a plan: a register holds ``x`` for a batch of points and ``dx/dtheta``. A line
``sum c x`` has ``sum c dx + dc x``; an evaluation has

    dD = (alpha / sigma^2) Cov[x0 | x] (dx - x drho / rho) + dD/dphi dphi,
    rho = |(alpha, sigma)|,   phi = atan2(sigma, alpha),

by the second-order Tweedie formula (the Jacobian of a denoiser is its posterior covariance, Meng et al. 2021, eq. 9)
and because only the angle of a level matters to a denoiser once ``x`` is divided by its radius (:mod:`.moments`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Eval, Level, Lin, Plan, interpret
from .moments import posterior

__all__ = ["Numbers", "numbers", "sensitivities"]


@dataclass(frozen=True)
class Numbers:
    """A plan in floats, and the derivatives of its coefficients and levels.

    Attributes:
        plan: of torch leaves, whose structure is used and whose numbers are not.
        value: all coefficients of its lines, then ``(alpha, sigma)`` of its evaluations, in the order of its lines.
        slope: their derivatives, ``(numbers, parameters)``.
    """

    plan: Plan
    value: np.ndarray
    slope: np.ndarray


def numbers(build: Callable[[Any], Plan], theta: np.ndarray) -> Numbers:
    """The numbers of ``build(theta)`` and their derivatives, by torch's automatic differentiation."""
    import torch

    leaf = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    plan = build(leaf)
    entries = [c for line in plan.lines for c in _entries(line)]
    tensors = [c if hasattr(c, "requires_grad") else torch.tensor(float(c), dtype=torch.float64) for c in entries]
    value = torch.stack([c.to(torch.float64).reshape(()) for c in tensors])
    if not value.requires_grad:
        return Numbers(plan, value.numpy(), np.zeros((len(entries), len(theta))))
    (slope,) = torch.autograd.grad(
        value, leaf, torch.eye(len(entries), dtype=torch.float64), is_grads_batched=True, allow_unused=True
    )
    return Numbers(plan, value.detach().numpy(), slope.numpy())


def _entries(line: Any) -> Sequence[Any]:
    if isinstance(line, Lin):
        return [c for _, c in line.terms]
    return [line.level.alpha, line.level.sigma] if isinstance(line, Eval) else []


def sensitivities(made: Numbers, target: Any, x: np.ndarray, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """The plan's output on ``x``, ``(n, d)``, and its derivatives, ``(n, d, parameters)``.

    Args:
        made: see :func:`numbers`; a plan of ``"data"`` predictions without draws.
        target: a law with ``denoise`` and ``posterior_cov``.
        x: at the plan's first level.
        dtype: of the derivatives; float32 is twice as quick and good enough for the steps of a least-squares solver.
    """
    count = made.slope.shape[1]
    at = iter(zip(made.value.tolist(), made.slope.astype(dtype), strict=True))

    def lin(terms: Sequence[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray | None]:
        value, slope = 0, None
        for _, (point, moves) in terms:
            c, dc = next(at)
            value = value + c * point
            slope = _plus(slope, moves, c)
            if dc.any():
                slope = _plus(slope, point[..., None].astype(dtype) * dc, 1.0)
        return value, slope  # type: ignore[return-value]

    def evaluate(state: Any, level: Level, quantity: str) -> tuple[np.ndarray, np.ndarray | None]:
        (point, moves), (alpha, dalpha), (sigma, dsigma) = state, next(at), next(at)
        return _denoised(target, point, moves, alpha, sigma, dalpha, dsigma)

    def noise(line: Any) -> Any:
        raise ValueError("a plan that draws noise follows no trajectory: free its numbers on a Gaussian by dn.w2")

    value, slope = interpret(made.plan, (x, None), lin, evaluate, noise)[0]
    return value, np.zeros((*x.shape, count), dtype) if slope is None else slope


def _plus(total: np.ndarray | None, more: np.ndarray | None, c: float) -> np.ndarray | None:
    if more is None:
        return total
    return c * more if total is None else total + c * more


def _denoised(
    target: Any, x: np.ndarray, moves: np.ndarray | None, alpha: float, sigma: float, dalpha: Any, dsigma: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    level = Level(math.nan, alpha, sigma)
    square = alpha**2 + sigma**2
    dlog_radius, dangle = (alpha * dalpha + sigma * dsigma) / square, (alpha * dsigma - sigma * dalpha) / square
    if dlog_radius.any():
        moves = _plus(moves, x[..., None].astype(dlog_radius.dtype) * dlog_radius, -1.0)
    if moves is None and not dangle.any():
        return target.denoise(x, level), None
    at = posterior(target, x, level, dangle.dtype)
    slope = None
    if moves is not None and alpha > 0:
        slope = (alpha / sigma**2) * at.cov @ moves
    if dangle.any():
        slope = _plus(slope, at.turn[..., None].astype(dangle.dtype) * dangle, 1.0)
    return at.mean, slope
