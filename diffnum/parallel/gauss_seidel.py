"""Gauss-Seidel-Jacobi iteration for autoregressive flows: ``x_t = z_t exp(s(x_<t)) + u(x_<t)``.

The inverse of an autoregressive flow such as TarFlow is a triangular system over its tokens. Jacobi iteration
``x^{k+1} = F(z, x^k)`` does all tokens at once and is exact after as many rounds as tokens; Gauss-Seidel over segments
with Jacobi inside keeps what is not yet known away from it (Liu & Qin 2025). Where ``s`` is linear and the first guess
is far off, Jacobi is a tower of exponentials that overflows on the way; short segments never see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .picard import worst

__all__ = ["AffineFlow", "Solved", "convergence_ranking", "gs_jacobi", "initial_guessing", "jacobian_ranking", "zeros"]


@dataclass(frozen=True)
class AffineFlow:
    """``F(z, x) = z exp(s(x)) + u(x)`` with ``s`` and ``u`` that look back only.

    Attributes:
        s, u: from tokens ``(n, T, ...)`` to arrays of that shape, whose entry ``t`` depends on tokens before ``t``
        only.
    """

    s: Callable[[Any], Any]
    u: Callable[[Any], Any]

    def __call__(self, z: Any, x: Any) -> Any:
        """One Jacobi round; the fixed point is the sample of ``z``."""
        return z * _exp(self.s(x)) + self.u(x)

    def encode(self, x: Any) -> Any:
        """``z = (x - u(x)) exp(-s(x))``, all tokens at once."""
        return (x - self.u(x)) * _exp(-self.s(x))


@dataclass(frozen=True)
class Solved:
    """What :func:`gs_jacobi` gives.

    Attributes:
        x: the sample.
        rounds: spent on each segment.
        residuals: for each segment, the mean square change of its tokens in every round, the largest of the batch.
        met: whether every segment stopped by the tolerance or by being exact, not by ``iterations``.
    """

    x: Any
    rounds: tuple[int, ...]
    residuals: tuple[tuple[float, ...], ...]
    met: bool

    @property
    def iterations(self) -> int:
        """Calls of ``F`` made one after another; ``T`` for the sequential inverse."""
        return sum(self.rounds)


def gs_jacobi(
    F: Callable[[Any, Any], Any],
    z: Any,
    segments: int = 1,
    tol: float = 0.0,
    iterations: int | None = None,
    start: Any = None,
) -> Solved:
    """Solve ``x = F(z, x)`` for a map whose token ``t`` depends on tokens before ``t`` only.

    Args:
        F: of tokens ``(n, T, ...)``; it is called with the first ``b`` tokens for the segment that ends there, so
            that an implementation may cache what is final.
        z: ``(n, T, ...)``, numpy or torch.
        segments: cut as evenly as possible; 1 is Jacobi iteration, ``T`` is the sequential inverse.
        tol: a segment is done when its tokens changed by a mean square of at most ``tol^2`` in every sample. With 0
            it is done when nothing changes, at the latest after as many rounds as it has tokens, when it is exact.
        iterations: most rounds in a segment, after which it is taken as it is.
        start: first guess, ``z`` if None; :func:`zeros` is the other of the paper's two.

    Raises:
        ValueError: fewer than one segment or more than tokens; a negative tolerance; fewer than one round; a first
            guess or a value of ``F`` of another shape.
    """
    T = z.shape[1]
    if not (isinstance(segments, int) and 1 <= segments <= T):
        raise ValueError(f"segments = {segments!r} do not cut {T} tokens: give a whole number from 1 to {T}")
    if not tol >= 0:
        raise ValueError(f"tol = {tol!r} is no tolerance: give 0 for the sequential result, or a number above it")
    if iterations is not None and not (isinstance(iterations, int) and iterations >= 1):
        raise ValueError(f"iterations = {iterations!r} is no number of rounds: give a whole number >= 1, or None")
    x = z if start is None else start
    if x.shape != z.shape:
        raise ValueError(f"the first guess has shape {tuple(x.shape)} and z {tuple(z.shape)}: give one like z")
    done, tail, rounds, residuals, met = x[:, :0], x, [], [], True
    ends = [T * (i + 1) // segments for i in range(segments)]
    for a, b in zip([0, *ends], ends, strict=False):
        part, changes = tail[:, : b - a], []
        most = b - a if iterations is None else min(iterations, b - a)
        while len(changes) < most:
            new = F(z[:, :b], _joined(done, part))
            if new.shape != z[:, :b].shape:
                raise ValueError(f"F returned shape {tuple(new.shape)} for {b} tokens: give one like its arguments")
            new = new[:, a:]
            changes.append(worst(new, part))
            part = new
            if changes[-1] <= tol**2:
                break
        met &= len(changes) == b - a or changes[-1] <= tol**2
        done, tail = _joined(done, part), tail[:, b - a :]
        rounds.append(len(changes))
        residuals.append(tuple(changes))
    return Solved(done, tuple(rounds), tuple(residuals), met)


def zeros(z: Any) -> Any:
    """The first guess that is zero after the first token."""
    guess = 0 * z
    guess[:, :1] = z[:, :1]
    return guess


def initial_guessing(flow: AffineFlow, x: Any, start: Callable[[Any], Any] | None = None) -> float:
    """How far one round from a first guess is from data, the Initial Guessing Metric:

        || mean over the batch of (F(z, x^0) - x) ||_2,        z = flow.encode(x)

    the norm being that of a matrix of tokens by channels (Liu & Qin 2025, and their code). Guess with ``z`` where it is
    small, and with :func:`zeros` where that is smaller.

    Args:
        x: data ``(n, T, c)``.
        start: from ``z`` to ``x^0``; None for ``z`` itself.
    """
    z = flow.encode(x)
    return _norm((flow(z, z if start is None else start(z)) - x).mean(0))


def convergence_ranking(flow: AffineFlow, x: Any, W_s: Any, W_u: Any) -> float:
    """How hard a block is for Jacobi iteration, the Convergence Ranking Metric as the authors' code has it:

        || mean (x exp(-s(x))) ||_2 || W_s ||_2 + || W_u ||_2

    with the weights of the last layers of ``s`` and ``u``. Blocks are compared by it, and the largest are cut into
    segments. See :func:`jacobian_ranking` for the factor that belongs there.
    """
    return _norm((x * _exp(-flow.s(x))).mean(0)) * _norm(W_s) + _norm(W_u)


def jacobian_ranking(flow: AffineFlow, x: Any, W_s: Any, W_u: Any) -> float:
    """The same with the factor of the derivative, ``dF/dx = z exp(s) ds/dx + du/dx``, where ``z exp(s) = x - u(x)``."""
    return _norm((x - flow.u(x)).mean(0)) * _norm(W_s) + _norm(W_u)


def _norm(matrix: Any) -> float:
    array = matrix if isinstance(matrix, np.ndarray) else matrix.detach().cpu().double().numpy()
    # singular values of what overflowed do not exist
    return float(np.linalg.norm(array, 2)) if np.isfinite(array).all() else float("inf")


def _exp(x: Any) -> Any:
    return np.exp(x) if isinstance(x, np.ndarray) else x.exp()


def _joined(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray):
        return np.concatenate([a, b], axis=1)
    import torch

    return torch.cat([a, b], 1)
