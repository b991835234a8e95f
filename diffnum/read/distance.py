"""Distances between a plan's exact output law and the law it should have, on a Gaussian."""

from __future__ import annotations

from typing import Any

from ..num import log, sqrt
from ..plan import Plan
from .moments import as_arrays, moments

__all__ = ["frechet", "gaussian_kl", "gaussian_w2", "kl", "reference", "w2"]


def gaussian_w2(mean_a: Any, var_a: Any, mean_b: Any, var_b: Any) -> Any:
    """2-Wasserstein distance of Gaussians with common eigen-directions:
    ``sqrt(sum (m_a - m_b)^2 + (s_a - s_b)^2)``."""
    return sqrt(((mean_a - mean_b) ** 2 + (_deviation(var_a) - _deviation(var_b)) ** 2).sum())


def _deviation(variance: Any) -> Any:
    # where the variance vanishes the root's slope is infinite, and a gradient through it would be nan
    positive = variance > 0
    return sqrt(variance + 1 * (variance <= 0)) * positive


def gaussian_kl(mean_a: Any, var_a: Any, mean_b: Any, var_b: Any) -> Any:
    """``KL(a || b) = sum [ v_a/v_b - 1 - log(v_a/v_b) + (m_a - m_b)^2 / v_b ] / 2``.

    Raises:
        ValueError: a direction of zero variance on either side, where the divergence is infinite.
    """
    if bool((var_b <= 0).any()) or bool((var_a <= 0).any()):
        raise ValueError("KL is infinite where a law has directions of zero variance: use w2, or stop at sigma > 0")
    ratio = var_a / var_b
    return (ratio - 1 - log(ratio) + (mean_a - mean_b) ** 2 / var_b).sum() / 2


def reference(plan: Plan, target: Any, at: Any = None) -> tuple[Any, Any]:
    """Mean and variance of the wanted law: the marginal at ``plan.stop`` (``at=None``; the data law where an
    end policy denoises), the data law (``at="data"``) or the marginal at a Level."""
    mean, variances = as_arrays(plan, *target.eigen())
    if at is None:
        at = "data" if plan.end in ("denoise", "half") else plan.stop
    if isinstance(at, str):
        if at != "data":
            raise ValueError(f"at = {at!r} is unknown: use None, 'data' or a Level")
        return mean, variances
    return at.alpha * mean, at.alpha**2 * variances + at.sigma**2


def w2(plan: Plan, target: Any, at: Any = None, init: str = "marginal") -> Any:
    """2-Wasserstein distance between the plan's output law and :func:`reference`, exactly.

    A float; a torch scalar with gradient where the plan's levels are torch leaves.
    """
    _check_plan(plan)
    value = gaussian_w2(*moments(plan, target, init), *reference(plan, target, at))
    return value if type(value).__module__.startswith("torch") else _plain(value)


def frechet(plan: Plan, target: Any, at: Any = None, init: str = "marginal") -> Any:
    """Frechet distance, the square of :func:`w2`."""
    return w2(plan, target, at, init) ** 2


def kl(plan: Plan, target: Any, at: Any = None, init: str = "marginal") -> Any:
    """``KL(output law || reference law)``, exactly."""
    _check_plan(plan)
    value = gaussian_kl(*moments(plan, target, init), *reference(plan, target, at))
    return value if type(value).__module__.startswith("torch") else _plain(value)


def _check_plan(plan: Any) -> None:
    if not isinstance(plan, Plan):
        raise ValueError(f"{type(plan).__name__} is no plan: the plan comes first, from dn.compile(sampler, levels)")


def _plain(value: Any) -> Any:
    return float(value) if type(value).__module__ == "numpy" or isinstance(value, float) else value
