"""Triangular Anderson acceleration: each input combines past rounds by weights that look only at inputs before it.

For a fixed-point map ``u = g(u)`` with residual ``R = g(u) - u``, Anderson (1965) subtracts from ``g(u)`` that
combination of past differences of ``g`` whose residuals best explain the present one. On a triangular system one set of
weights for all rows would let late rows, far from converged, disturb early ones. Tang et al. (2024, ParaTAA) give every
row weights of its own,

    gamma_j = argmin over gamma of sum over i <= j of || R_i - sum_m gamma_m dR_i^m ||^2,
    u_j <- g_j - sum_m gamma_{j, m} dG_j^m,

here per sample of the batch, with the normal equations made regular by a small multiple of their trace. The first row
that is not final is left as it is, so that no round is lost: the iteration still ends after as many rounds as rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Memory"]

RIDGE = 1e-10


@dataclass
class Memory:
    """Differences of past rounds.

    Attributes:
        size: how many are combined; 0 for none, and the iteration is plain.

    Raises:
        ValueError: a negative size.
    """

    size: int
    _last: dict[int, tuple[Any, Any]] = field(default_factory=dict, init=False, repr=False)
    _past: dict[int, list[tuple[Any, Any]]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (isinstance(self.size, int) and self.size >= 0):
            raise ValueError(f"memory = {self.size!r} is no number of rounds: give a whole number >= 0")

    def combined(self, first: int, inputs: Sequence[Any], mapped: Sequence[Any], stride: int) -> list[Any]:
        """The inputs after the ``first`` for the next round.

        Args:
            inputs: ``u`` of evaluations ``first, first + 1, ...``.
            mapped: ``g(u)`` of evaluations ``first + 1, first + 2, ...``; may be one more than there are inputs for.
            stride: evaluations that this round made final.
        """
        if not self.size:
            return list(mapped)
        found = list(mapped)
        rows = range(first + 1, first + len(inputs))
        for j, u, g in zip(rows, inputs[1:], mapped, strict=False):
            residual = g - u
            if j in self._last:
                g_old, r_old = self._last[j]
                self._past[j] = [*self._past.get(j, []), (g - g_old, residual - r_old)][-self.size :]
            self._last[j] = (g, residual)
        for j in [j for j in self._last if j <= first + stride]:
            self._last.pop(j)
            self._past.pop(j, None)
        gram, right = None, None
        for j in rows[stride:]:
            past = self._past.get(j, [])
            if not past:
                break
            # later rows have been in the window for fewer rounds
            differences, residual = [r for _, r in past], self._last[j][1]
            more = _products(differences, differences), _products(differences, [residual])[..., 0]
            m = len(past)
            gram = more[0] if gram is None else gram[:, -m:, -m:] + more[0]
            right = more[1] if right is None else right[:, -m:] + more[1]
            weights = _solved(gram, right)
            for k, (g, _) in enumerate(past):
                found[j - first - 1] = found[j - first - 1] - _times(weights[:, k], g)
        return found


def _products(a: Sequence[Any], b: Sequence[Any]) -> np.ndarray:
    """Inner products per sample, ``(n, len(a), len(b))`` in float64 on the host."""
    return np.stack([np.stack([_inner(p, q) for q in b], -1) for p in a], -2)


def _inner(p: Any, q: Any) -> np.ndarray:
    if isinstance(p, np.ndarray):
        return (p.astype(np.float64) * q).reshape(len(p), -1).sum(-1)
    return (p.double() * q).flatten(1).sum(-1).cpu().numpy()


def _solved(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    m = gram.shape[-1]
    trace = np.trace(gram, axis1=-2, axis2=-1)
    # a sample that no longer changes has no equations, and takes no part
    shift = np.where(trace > 0, RIDGE * trace / m, 1.0)
    return np.linalg.solve(gram + shift[:, None, None] * np.eye(m), right[..., None])[..., 0]


def _times(weights: np.ndarray, g: Any) -> Any:
    shape = (len(weights), *(1,) * (len(g.shape) - 1))
    if isinstance(g, np.ndarray):
        return weights.reshape(shape).astype(g.dtype) * g
    import torch

    return torch.as_tensor(weights, dtype=g.dtype, device=g.device).reshape(shape) * g
