"""Exact laws on a Gaussian beyond mean and variance: covariances of samples that share noise, errors by their cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..plan import Level, Noise, Plan, interpret
from ..prediction import to_native
from .distance import gaussian_w2, reference
from .moments import affine, denoiser_gain, moments, start_law

__all__ = ["Law", "Split", "joint", "law", "split"]


@dataclass(frozen=True, eq=False)
class Law:
    """``N(mean, variance)`` in the eigen-directions of a Gaussian target.

    Attributes:
        mean, variance: ``(d,)``, float64.
        wanted: mean and variance of the law it should have.
        basis: ``(d, k)`` orthonormal columns of the target's eigen-directions, None for the coordinate axes; what they
            leave out has the variance of the remaining entries, which is one number.
    """

    mean: np.ndarray
    variance: np.ndarray
    wanted: tuple[np.ndarray, np.ndarray]
    basis: np.ndarray | None = None

    @property
    def spectrum(self) -> np.ndarray:
        """Relative error of the variance in every direction, ``(d,)``; nan where the wanted one is zero."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.wanted[1] > 0, self.variance / self.wanted[1] - 1, np.nan)

    @property
    def w2(self) -> float:
        """2-Wasserstein distance to the wanted law; the Frechet distance is its square."""
        return float(gaussian_w2(self.mean, self.variance, *self.wanted))

    def covariance(self) -> np.ndarray:
        """The full covariance in data coordinates, ``(d, d)``."""
        if self.basis is None:
            return np.diag(self.variance)
        k = self.basis.shape[1]
        inside = (self.basis * self.variance[:k]) @ self.basis.T
        if k == len(self.variance):
            return inside
        return inside + self.variance[k] * (np.eye(len(self.basis)) - self.basis @ self.basis.T)


def law(plan: Plan, target: Any, at: Any = None, init: str = "marginal") -> Law:
    """The law of a plan's output on a Gaussian; arguments as :func:`~diffnum.read.distance.w2`.

    Raises:
        ValueError: a target that is not Gaussian; an unknown ``init`` or ``at``.
    """
    mean, variance = (np.asarray(a, dtype=np.float64) for a in moments(plan, target, init))
    wanted = tuple(np.asarray(a, dtype=np.float64) for a in reference(plan, target, at))
    return Law(mean, variance, wanted, getattr(target, "basis", None))  # type: ignore[arg-type]


def joint(
    plan: Plan, target: Any, start: bool = False, draws: Callable[[Noise], bool] | bool = True, init: str = "marginal"
) -> np.ndarray:
    """Covariance of two outputs that share some of their randomness, per eigen-direction, ``(d,)``.

    With ``x = m + a x_T + sum_k b_k z_k`` it is ``[start] a^2 Var(x_T) + sum over shared k of b_k^2``. The covariance
    of ``n`` samples is that of each on the diagonal and this one beside it.

    Args:
        start: whether both begin at one ``x_T``.
        draws: which draws both see: all, none, or those for which a function of the line is true.

    Raises:
        ValueError: as :func:`~diffnum.read.moments.moments`.
    """
    if not hasattr(target, "eigen"):
        raise ValueError(f"exact moments need a Gaussian, got {type(target).__name__}: use dn.Gaussian.fit(data)")
    mean, variances = target.eigen()
    rows = affine(plan, mean, variances, getattr(target, "response", None)).rows
    lines = [line for line in plan.lines if isinstance(line, Noise)]
    shared = [bool(draws(line)) if callable(draws) else bool(draws) for line in lines]
    chosen = (rows[1:] ** 2)[np.array(shared[: len(rows) - 1], dtype=bool)].sum(0)
    return chosen + start * rows[0] ** 2 * start_law(plan, mean, variances, init)[1]


@dataclass(frozen=True)
class Split:
    """2-Wasserstein distances to the data law, with one cause of error switched on in each; they need not add up.

    Attributes:
        total: from the prior, of what the plan returns.
        initialisation: between outputs started from the prior and from the marginal.
        truncation: of the marginal at ``plan.stop`` from the data law.
        discretisation: of the plan's dependence on ``x_T`` with the exact noise, from the law at ``plan.stop``.
        noise: of the plan's noise with the exact dependence on ``x_T``.
    """

    total: float
    initialisation: float
    truncation: float
    discretisation: float
    noise: float


def split(plan: Plan, target: Any) -> Split:
    """What a plan's error on a Gaussian comes from.

    The exact law that the plan is compared with is that of the reverse SDE whose noise ``kappa`` per log-SNR is, over
    each step, what the plan itself keeps of the state where the denoiser is constant, ``e^(-kappa h) sigma_t /
    sigma_s``; 0 for a plan without draws. With ``v`` the variance of the marginal, a deviation is multiplied over a
    step by

        F = (v_t / v_s)^((1 + kappa) / 2) (alpha_s / alpha_t)^kappa,

    and the noise added is ``v_t - F^2 v_s`` (Gaussian reverse SDE, theory chapter 1).

    Raises:
        ValueError: a target that is not Gaussian.
    """
    exact = reference(plan, target)
    data = reference(plan, target, "data")
    mean, variance = moments(plan, target)
    own = target.eigen()
    form = affine(plan, own[0], own[1], getattr(target, "response", None))
    start = start_law(plan, own[0], own[1], "marginal")[1]
    kept, added = form.rows[0] ** 2 * start, (form.rows[1:] ** 2).sum(0)
    before = moments(plan, target, "prior")
    true = _factor(plan, target) ** 2 * start
    return Split(
        total=float(gaussian_w2(*before, *data)),
        initialisation=float(gaussian_w2(*before, mean, variance)),
        truncation=float(gaussian_w2(*exact, *data)),
        discretisation=float(gaussian_w2(mean, kept + (exact[1] - true), *exact)),
        noise=float(gaussian_w2(exact[0], true + added, *exact)),
    )


def _factor(plan: Plan, target: Any) -> np.ndarray:
    """By what the exact reverse SDE multiplies a deviation, from ``plan.start`` to the end, per direction."""
    variances = target.eigen()[1]
    rates = _rates(plan) if plan.draws else [0.0] * plan.steps
    total = np.ones_like(variances)
    for (s, t), kappa in zip(pairwise(plan.levels), rates, strict=True):
        before, after = (u.alpha**2 * variances + u.sigma**2 for u in (s, t))
        if not np.isfinite(kappa) or (kappa and s.pure_noise):
            return total * 0
        total = total * np.sqrt(after / before) ** (1 + kappa)
        if kappa:
            total = total * (s.alpha / t.alpha) ** kappa
    if plan.end in ("denoise", "half"):
        stop = plan.stop
        total = total * np.sqrt(variances / (stop.alpha**2 * variances + stop.sigma**2))
    return total


def _rates(plan: Plan) -> list[float]:
    """Noise per log-SNR of every step, from the states of a run on a point mass at zero; inf where none is kept."""
    states: list[float] = []
    where = set(plan.states)
    beside = {r for rows in plan.partners for r in rows}

    def evaluate(value: float, level: Level, quantity: str) -> float:
        a, b = to_native(level, quantity)
        return (a + b * denoiser_gain(0.0, level)) * value

    def visit(r: int, line: Any, value: float) -> float:
        if r in where:
            states.append(value)
        # from one at every state, so that what a step keeps is read off
        return 1.0 if r in where or r in beside else value

    interpret(plan, 1.0, lambda terms: sum(c * v for c, v in terms), evaluate, lambda line: 0.0, visit)
    found = []
    for (s, t), kept in zip(pairwise(plan.levels), states[1:], strict=True):
        ratio = kept * s.sigma / t.sigma if t.sigma else 0.0
        h = t.lam - s.lam
        found.append(float("inf") if ratio <= 0 or not np.isfinite(h) else max(0.0, -float(np.log(ratio)) / h))
    return found
