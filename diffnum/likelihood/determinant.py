"""The density of what a sampler returns, by the determinant of its map: exact for the sampler, as it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level, Plan, interpret
from ..read.invert import invert
from ..read.sample import linear, sample
from .divergence import jacobian
from .flow import normal

__all__ = ["Pushed", "of_outputs", "pushed"]


@dataclass(frozen=True, eq=False)
class Pushed:
    """The law of a plan's output at what it made of some starts.

    Attributes:
        x: the outputs ``x_0``, of the shape of ``x_T``.
        log_prob: log-density of the law of ``x_0`` there, ``(n,)``.
        log_det: ``log |det dx_0/dx_T|``, ``(n,)``.
        jacobian: ``dx_0/dx_T``, ``(n, d, d)``.
        start: ``x_T``.
    """

    x: Any
    log_prob: Any
    log_det: Any
    jacobian: Any
    start: Any


def pushed(plan: Plan, model: Any, x: Any, prior: Callable[[Any], Any] | None = None) -> Pushed:
    """The exact density of the sampler's own output law, from starts ``x_T``:

        log p(x_0) = log prior(x_T) - log |det dx_0/dx_T| .

    The Jacobian is carried forward through the lines: ``sum c J`` for a combination, and the model's own Jacobian times
    ``J`` for an evaluation, that of a target by its posterior covariance, that of a network by ``d`` vector-Jacobian
    products. Cost ``O(d^3)`` per line and point, for small ``d``. A partner state that was not given follows ``x_T``.
    Where several starts have one output, the density is the sum over them and this is one term; maps of small steps
    have no such points.

    Args:
        plan: without draws.
        model: a target, or a network on torch tensors.
        x: ``x_T``, ``(n, ...)``.
        prior: its log-density; None is N(0, plan.prior^2).

    Raises:
        ValueError: a plan that draws noise; models whose derivatives are not known.
    """
    if plan.draws:
        raise ValueError(
            f"{plan.solver} draws noise, so its output is no function of x_T and its law has no determinant: use a "
            "sampler without draws, or dn.moments on a Gaussian"
        )
    combine = linear(x)
    size = int(np.prod(x.shape[1:]))

    def lin(terms: Sequence[tuple[Any, tuple[Any, Any]]]) -> tuple[Any, Any]:
        return combine([(c, at[0]) for c, at in terms]), combine([(c, at[1]) for c, at in terms])

    def evaluate(at: tuple[Any, Any], level: Level, quantity: str) -> tuple[Any, Any]:
        found, gain = jacobian(model, at[0], level, quantity)
        return found, gain @ at[1]

    eye = 0 * x.reshape(len(x), -1, 1) + _identity(x, size)
    output, matrix = interpret(plan, (x, eye), lin, evaluate, _no_draw)[0]
    log_det = _log_det(matrix)
    known = (prior or normal(float(plan.prior)))(x)
    return Pushed(output, known - log_det, log_det, matrix, x)


def of_outputs(
    plan: Plan, model: Any, outputs: Any, prior: Callable[[Any], Any] | None = None, tol: float = 1e-6
) -> Pushed:
    """:func:`pushed` at given outputs of a reversible sampler, whose start is found by its exact inverse.

    Args:
        outputs: all of them, ``dn.sample(plan, model, x_T, outputs="all")``, at which the density is wanted.
        tol: how far a partner state found again may be, relative to the largest entry, from what a run gives it.

    Raises:
        ValueError: a plan that cannot be undone; outputs that no run from a single ``x_T`` has, since their law has a
            density on those only; as :func:`pushed`.
    """
    starts = sample(invert(plan), model, outputs, outputs="all")
    again = sample(plan, model, starts[0], outputs="all")
    given = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    apart = max(float(abs(a - b).max()) / max(float(abs(b).max()), 1.0) for a, b in zip(again, given, strict=True))
    if not apart <= tol:
        raise ValueError(
            f"a run from the x_T that {plan.solver} gives back ends {apart:.1e} from these outputs: they are those of "
            "no run from x_T alone, and the law of its outputs has no density there"
        )
    return pushed(plan, model, starts[0], prior)


def _identity(x: Any, size: int) -> Any:
    if not hasattr(x, "requires_grad"):
        return np.eye(size)
    import torch

    return torch.eye(size, dtype=x.dtype, device=x.device)


def _log_det(matrix: Any) -> Any:
    if not hasattr(matrix, "requires_grad"):
        return np.linalg.slogdet(matrix)[1]
    import torch

    return torch.linalg.slogdet(matrix)[1]


def _no_draw(line: Any) -> Any:
    raise AssertionError("refused before")
