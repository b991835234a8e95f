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
from scipy.linalg import get_blas_funcs

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

    Registers carry the derivatives by those parameters alone that a line before has used: on average half of them.

    Args:
        made: see :func:`numbers`; a plan of ``"data"`` predictions without draws.
        target: a law with ``denoise`` and ``posterior_cov``.
        x: at the plan's first level.
        dtype: of the derivatives; float32 is twice as quick and good enough for the steps of a least-squares solver.
    """
    order = np.argsort((made.slope != 0).argmax(axis=0), kind="stable")
    at = iter(zip(made.value.tolist(), made.slope[:, order].astype(dtype), strict=True))

    def lin(terms: Sequence[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray | None]:
        value, slope = 0, None
        for _, (point, moves) in terms:
            c, dc = next(at)
            value = value + c * point
            slope = _moved(_scaled(slope, moves, c), point, dc)
        return value, slope  # type: ignore[return-value]

    def evaluate(state: Any, level: Level, quantity: str) -> tuple[np.ndarray, np.ndarray | None]:
        (point, moves), (alpha, dalpha), (sigma, dsigma) = state, next(at), next(at)
        return _denoised(target, point, moves, alpha, sigma, dalpha, dsigma)

    def noise(line: Any) -> Any:
        raise ValueError("a plan that draws noise follows no trajectory: free its numbers on a Gaussian by dn.w2")

    value, slope = interpret(made.plan, (x, None), lin, evaluate, noise)[0]
    out = np.zeros((*x.shape, len(order)), dtype)
    if slope is not None:
        out[..., order[: slope.shape[1]]] = slope.swapaxes(1, 2)
    return value, out


def _scaled(total: np.ndarray | None, more: np.ndarray | None, c: float) -> np.ndarray | None:
    """``total + c more`` of shapes ``(n, p, d)``, each with its own ``p``, written over ``total`` if it is longer."""
    if more is None:
        return total
    if total is None:
        return c * more
    if total.shape == more.shape:
        (axpy,) = get_blas_funcs(("axpy",), (more, total))
        return axpy(more.reshape(-1), total.reshape(-1), a=c).reshape(total.shape)
    if total.shape[1] < more.shape[1]:
        total, more, c = c * more, total, 1.0
    total[:, : more.shape[1]] += c * more
    return total


def _moved(total: np.ndarray | None, x: np.ndarray, by: np.ndarray) -> np.ndarray | None:
    """``total + by x`` for ``x`` of shape ``(n, d)`` and ``by`` of one entry a parameter, most of them zero, written
    over ``total`` where that is long enough."""
    (some,) = np.nonzero(by)
    if not len(some):
        return total
    n, d = x.shape
    known, count = 0 if total is None else total.shape[1], some[-1] + 1
    if total is None or known < count:
        longer = np.zeros((n, count, d), by.dtype)
        longer[:, :known] = 0 if total is None else total
        total = longer
    x = x.astype(by.dtype)
    for p in some:
        total[:, p] += by[p] * x
    return total


def _denoised(
    target: Any, x: np.ndarray, moves: np.ndarray | None, alpha: float, sigma: float, dalpha: Any, dsigma: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    level = Level(math.nan, alpha, sigma)
    square = alpha**2 + sigma**2
    dlog_radius, dangle = (alpha * dalpha + sigma * dsigma) / square, (alpha * dsigma - sigma * dalpha) / square
    if dlog_radius.any():
        moves = _moved(None if moves is None else moves.copy(), x, -dlog_radius)
    if moves is None and not dangle.any():
        return target.denoise(x, level), None
    at = posterior(target, x, level, dangle.dtype)
    slope = None
    if moves is not None and alpha > 0:
        slope = at.along(moves)
        slope *= alpha / sigma**2
    return at.mean, _moved(slope, at.turn, dangle)
