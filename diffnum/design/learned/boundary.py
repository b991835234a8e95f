"""The optimal boundary condition: one starting noise for all conditions, chosen on a reference set (Ma et al. 2024).

A deterministic sampler ``x0 = h(x_T, y)`` of a conditional model is started from the same noise whatever ``y``,

    x_T* = argmin over candidates of sum over references (x0, y) of L(h(x_T, y), x0),

searched once for ``K`` candidates at the cost of ``K`` runs per reference; every later run costs what it always did.

Where the posteriors are Gaussians ``N(m_y, C)`` of one covariance (linear observations with Gaussian noise) the sampler
is affine in every eigen-direction, ``h = alpha_0 m_y + A (x_T - alpha_T m_y)``, and with ``L`` the square the loss of
a candidate is the posterior's variance plus

    |A (x_T - alpha_T m_y)|^2,

least for ``x_T = alpha_T m_y``: the same noise for all ``y`` only where ``alpha_T = 0``, and there zero, for which
``h`` is the posterior mean. Of ``K`` random candidates the best is a minimum of ``K`` weighted chi-squares, whose
expected value in ``d`` equal directions is :func:`expected_best`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...plan import Plan
from ...read.sample import sample

__all__ = ["Boundary", "best_boundary", "expected_best"]


@dataclass(frozen=True)
class Boundary:
    """The chosen noise.

    Attributes:
        x: ``(1, ...)``, the best candidate.
        losses: ``(K,)``, the mean loss of every candidate.
    """

    x: Any
    losses: np.ndarray

    def start(self, n: int) -> Any:
        """``n`` times the same noise, to start a batch of conditions from."""
        repeats = [n] + [1] * (len(self.x.shape) - 1)
        return self.x.repeat(*repeats) if hasattr(self.x, "detach") else np.tile(self.x, repeats)


def best_boundary(plan: Plan, references: Sequence[tuple[Any, Any]], candidates: Any, loss: Any = None) -> Boundary:
    """The best of some noises on a reference set.

    Args:
        plan: without noise of its own.
        references: pairs ``(model, x0)``: the model conditioned on ``y``, as for :func:`diffnum.sample`, and the data
            of shape ``(...)`` that belong to it.
        candidates: ``(K, ...)``, numpy or torch.
        loss: ``loss(outputs, x0) -> (K,)``; default the squared distance.

    Raises:
        ValueError: no references; a plan that draws noise.
    """
    if not references:
        raise ValueError("no references to choose a noise by: give at least one pair of a model and its data")
    if plan.draws:
        raise ValueError(f"{plan.solver} draws noise, so no start decides its end: use a deterministic sampler")
    compare: Callable[[Any, Any], Any] = _squares if loss is None else loss
    total = np.zeros(len(candidates))
    for model, x0 in references:
        total = total + np.asarray(compare(sample(plan, model, candidates), x0))
    losses = total / len(references)
    best = int(losses.argmin())
    return Boundary(candidates[best : best + 1], losses)


def _squares(outputs: Any, x0: Any) -> Any:
    return ((outputs - x0) ** 2).reshape(len(outputs), -1).sum(1)


def expected_best(gain: float, dim: int, count: int) -> float:
    """``E min of K`` of ``gain^2 chi^2_d``: the expected excess loss of the best of ``count`` standard normal starts
    where ``A`` is ``gain`` in all ``dim`` directions and ``alpha_T = 0``.

        gain^2 int_0^inf (1 - F_d(x))^K dx = gain^2 int_0^1 F_d^-1(1 - u^(1/K)) du
    """
    from scipy.integrate import quad
    from scipy.stats import chi2

    found: Any = quad(lambda u: chi2.isf(u ** (1 / count), dim), 0, 1, epsabs=0, epsrel=1e-9, limit=200)
    return gain**2 * found[0]
