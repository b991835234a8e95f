"""Steering: gradients of a classifier, of a reward on the denoised data, and FlowChef's, which skips the Jacobian.

With ``r(x)`` the log of a probability or a reward, guidance adds ``scale grad r`` to the score: in the other
predictions ``D + scale (sigma^2 / alpha) grad r`` and ``eps - scale sigma grad r`` (Dhariwal & Nichol 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..plan import Level
from ..prediction import convert
from ..read.sample import adapted_model, as_like
from ..targets.common import is_torch
from .guidance import calls_of, check_prediction, read
from .guidance_rules import Scale, at, finite

__all__ = ["ClassifierGuided", "RewardGuided", "by_autograd", "exact_gradient", "flowchef", "gradient_cosine", "misfit"]

Array = Any


@dataclass(frozen=True)
class ClassifierGuided:
    """Classifier guidance: the score of a model plus ``scale`` times the gradient of ``log p(c | x)``.

    With the exact gradient and the unconditional model it is classifier-free guidance of the same scale; with the
    conditional model, of scale ``1 + scale``.

    Args:
        model: a model or a target.
        gradient: ``gradient(x, level)``, of the shape of ``x``: :func:`by_autograd` of a network's log-probability,
            :func:`exact_gradient` of a family.
        scale: a number, or a function of the level.
        prediction: what the model returns.

    Raises:
        ValueError: as :class:`~diffnum.models.guidance.Pair`; later, a clean level, at which noise has no gradient.
    """

    model: Any
    gradient: Callable[[Any, Level], Any]
    scale: Scale
    prediction: str = "data"

    def __post_init__(self) -> None:
        check_prediction(self.model, self.prediction)
        finite(self.scale)

    def calls(self, level: Level) -> int:
        """Evaluations of the model per sample; the classifier's are not among them."""
        return calls_of(self.model, level)

    def __call__(self, x: Array, level: Level) -> Array:
        """The guided prediction, of the shape of ``x``."""
        value = adapted_model(self.model, self.prediction)(x, level)
        return value + at(self.scale, level) * score_weight(level, self.prediction) * self.gradient(x, level)


def score_weight(level: Level, prediction: str) -> float:
    """What the prediction gains per unit of score."""
    try:
        return convert(level, "score", prediction)[1]
    except ZeroDivisionError as error:
        raise ValueError(
            f"{prediction} does not follow from the score at alpha = {level.alpha!r}, sigma = {level.sigma!r}: start "
            "or stop inside, or use a model of another prediction"
        ) from error


def by_autograd(log_prob: Callable[[Any, Level], Any]) -> Callable[[Any, Level], Any]:
    """The gradient in ``x`` of ``log_prob(x, level)``, of shape ``(n,)``, by torch.

    Raises:
        ValueError: ``x`` is no tensor.
    """

    def gradient(x: Array, level: Level) -> Array:
        return _gradient(lambda leaf: log_prob(leaf, level), x)[1]

    return gradient


def exact_gradient(family: Any, label: Any) -> Callable[[Any, Level], Any]:
    """``grad log p(c | x) = score_c - score`` of a :class:`~diffnum.targets.Conditional`.

    Raises:
        ValueError: an unknown label.
    """
    own = family.given(label)
    return lambda x, level: own.score(x, level) - family.score(x, level)


@dataclass(frozen=True)
class RewardGuided:
    """The score of a model plus ``scale grad_x r(D(x))``, through the model (Bansal et al. 2023, forward guidance).

    ``r(D(x))`` stands for ``log E[exp(scale r(x0)) | x]``, which would be exact; they agree to first order in the
    spread of ``x0`` given ``x``.

    Args:
        model: a torch model or a target; its gradient is taken.
        reward: from data ``(n, ...)`` to ``(n,)``.
        scale: a number, or a function of the level.
        prediction: what the model returns.

    Raises:
        ValueError: as :class:`ClassifierGuided`; later, ``x`` that is no tensor.
    """

    model: Any
    reward: Callable[[Any], Any]
    scale: Scale
    prediction: str = "data"

    def __post_init__(self) -> None:
        check_prediction(self.model, self.prediction)
        finite(self.scale)

    def calls(self, level: Level) -> int:
        """Evaluations of the model per sample; each is also differentiated once."""
        return calls_of(self.model, level)

    def __call__(self, x: Array, level: Level) -> Array:
        """The guided prediction, of the shape of ``x``."""
        kept: list[Array] = []

        def reward(leaf: Array) -> Array:
            kept.append(adapted_model(self.model, self.prediction)(leaf, level))
            return self.reward(read(leaf, kept[0], level, self.prediction, "data"))

        gradient = _gradient(reward, x)[1]
        return kept[0].detach() + at(self.scale, level) * score_weight(level, self.prediction) * gradient


def _gradient(f: Callable[[Any], Any], x: Array) -> tuple[Array, Array]:
    if not is_torch(x):
        raise ValueError(f"a gradient by torch was asked of a {type(x).__name__}: give a torch tensor as x_T")
    import torch

    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        value = f(leaf)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def misfit(A: Array, y: Array) -> Callable[[Any], Any]:
    """The gradient ``A^T (A D - y)`` of ``|A D - y|^2 / 2`` in ``D``.

    Args:
        A: ``(m, d)``.
        y: ``(m,)`` or ``(n, m)``.

    Raises:
        ValueError: shapes that do not agree.
    """
    if len(A.shape) != 2 or y.shape[-1] != A.shape[0]:
        raise ValueError(f"A of shape {tuple(A.shape)} and y of shape {tuple(y.shape)}: give (m, d) and (..., m)")
    return lambda D: (D @ A.T - y) @ A


def flowchef(
    model: Any,
    grid: Any,
    gradient: Callable[[Any], Any],
    step: Scale,
    x: Array,
    inner: int = 1,
    prediction: str = "velocity",
) -> Array:
    """FlowChef (Patel et al. 2024, algorithm 1): descent of a loss on the denoised data, moved onto the state as it is.

    At each level ``s``, ``inner`` times: denoise, ``x <- x - step gradient(D(x))``; then an Euler step in the process's
    clock with the slope of the last evaluation, which was made before the last move, as in the authors' code. The
    Jacobian ``J = dD/dx`` of the true gradient ``J^T gradient(D)`` is skipped: no backward pass, ``inner`` evaluations
    a step. For a linear model and the loss ``|A D - y|^2 / 2`` each iteration multiplies the residual ``A D - y`` by
    ``1 - step A J A^T``, exactly. A step of zero is plain Euler (``euler``).

    Args:
        model: a model or a target.
        grid: from noise to data; the clock's slope must be finite at all but the last level.
        gradient: of the loss in ``D``, from ``(n, ...)`` to the same shape: :func:`misfit`.
        step: a number, or a function of the level; the authors leave the last step out.
        x: ``x_T``, numpy or torch.
        inner: iterations at each level.
        prediction: what the model returns.

    Returns:
        The state at the last level.

    Raises:
        ValueError: no iterations, an unknown prediction, a step that is not finite.
    """
    if not (isinstance(inner, int) and inner >= 1):
        raise ValueError(f"inner = {inner!r} leaves the model out: give a whole number >= 1")
    check_prediction(model, prediction)
    finite(step)
    call = adapted_model(model, prediction)
    process = grid.process
    slope: Array = 0.0
    for s, t in pairwise(grid.levels):
        for _ in range(inner):
            value = as_like(call(x, s), x)
            slope = _slope(x, value, s, prediction, process.rates(s))
            x = x - at(step, s) * gradient(read(x, value, s, prediction, "data"))
        x = x + (process.clock(t) - process.clock(s)) * slope
    return x


def _slope(x: Array, value: Array, level: Level, prediction: str, rates: tuple[Any, Any]) -> Array:
    a, b = convert(level, prediction, rates)
    return a * x + b * value


def gradient_cosine(target: Any, x: Array, level: Level, gradient: Array) -> Array:
    """Cosine between FlowChef's direction and the true gradient, ``<g, J g> / (|g| |J g|)``, shape ``(...)``.

    The Jacobian of an exact denoiser is ``J = (alpha / sigma^2) Cov[x0 | x]``, symmetric. It is ``1 / alpha`` times the
    identity as the noise vanishes (for a law with a density): there the cosine is one. Under pure noise ``J`` is the
    covariance of the data, and the cosine that of ``g`` and ``C g``.

    Args:
        target: with ``posterior_cov``.
        x, gradient: ``(..., d)``.
    """
    moved = (target.posterior_cov(x, level) * gradient[..., None, :]).sum(-1)
    return (gradient * moved).sum(-1) / ((gradient**2).sum(-1) * (moved**2).sum(-1)) ** 0.5
