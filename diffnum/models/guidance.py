"""Guidance: a model made of two, a strong one and a weak one, and a rule that says what of the two predictions.

.. code-block:: python

    guided = dn.models.classifier_free(family.given("cat"), family, scale=4.0)      # model(x, level), here exact
    guided = dn.models.classifier_free(network.given(labels=y), network.given(labels=none), 4.0, network.prediction)
    x = dn.sample(dn.compile("dpmpp_2m", levels, guided.prediction), guided, x_T)
    dn.cost(plan, guided.calls).calls                                               # two calls where guidance acts

The strong model is the conditional, the weak one the unconditional (Ho & Salimans 2022) or a worse copy of the strong
one (autoguidance, Karras et al. 2024). A rule may be stated in another prediction than the model's, such as APG in the
data; predictions are then converted there and back. Rules other than :class:`Linear` are not linear in the
predictions, so that readings of plans speak of the sampler and not of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from ..plan import PREDICTIONS, Level
from ..prediction import convert
from ..read.sample import adapted_model
from ..targets.common import is_torch
from .guidance_rules import Linear, Scale, finite

__all__ = [
    "Batched",
    "Guidance",
    "Pair",
    "ZeroStart",
    "autoguidance",
    "calls_of",
    "cfgpp",
    "classifier_free",
    "noise_to_signal",
]

Array = Any
Model = Callable[[Any, Level], Any]


def noise_to_signal(level: Level) -> float:
    """``sigma / alpha``, the noise level of Karras et al. (2022) whatever the process; infinite for pure noise."""
    return math.inf if level.pure_noise else float(level.sigma / level.alpha)


def calls_of(model: Any, level: Level) -> int:
    """Network evaluations per sample that ``model`` takes at ``level``: its own ``calls`` where it has one, else 1."""
    return model.calls(level) if hasattr(model, "calls") else 1


class Source(Protocol):
    """Where two predictions come from."""

    @property
    def prediction(self) -> str: ...
    def both(self, x: Array, level: Level) -> tuple[Array, Array]: ...
    def alone(self, x: Array, level: Level) -> Array: ...
    def calls(self, level: Level, active: bool) -> int: ...


@dataclass(frozen=True)
class Pair:
    """Two models, asked one after the other.

    Args:
        strong, weak: models ``model(x, level)`` or targets, whose exact predictions are used.
        prediction: what both return.

    Raises:
        ValueError: an unknown prediction, or one that is not what a model says of itself.
    """

    strong: Any
    weak: Any
    prediction: str = "data"

    def __post_init__(self) -> None:
        for model in (self.strong, self.weak):
            check_prediction(model, self.prediction)

    def both(self, x: Array, level: Level) -> tuple[Array, Array]:
        """Strong and weak prediction at ``x``."""
        return self.alone(x, level), adapted_model(self.weak, self.prediction)(x, level)

    def alone(self, x: Array, level: Level) -> Array:
        """The strong prediction."""
        return adapted_model(self.strong, self.prediction)(x, level)

    def calls(self, level: Level, active: bool) -> int:
        """Network evaluations per sample, of both where guidance is ``active``."""
        return calls_of(self.strong, level) + (calls_of(self.weak, level) if active else 0)


@dataclass(frozen=True)
class Batched:
    """Two predictions from one call on a doubled batch, ``[x, x]`` along the first axis.

    It is one launch and still two evaluations per sample, which is what :meth:`calls` counts.

    Args:
        doubled: a model under the conditions of ``2 n`` samples, the strong ones first.
        strong: the same model under the strong conditions, for levels without guidance.
        prediction: what both return.

    Raises:
        ValueError: as :class:`Pair`.
    """

    doubled: Model
    strong: Model
    prediction: str = "data"

    def __post_init__(self) -> None:
        for model in (self.doubled, self.strong):
            check_prediction(model, self.prediction)

    def both(self, x: Array, level: Level) -> tuple[Array, Array]:
        """Strong and weak prediction at ``x``, by one call."""
        out = self.doubled(_doubled(x), level)
        if len(out) != 2 * len(x):
            raise ValueError(f"a doubled batch of {2 * len(x)} came back as {len(out)}: return one prediction for each")
        return out[: len(x)], out[len(x) :]

    def alone(self, x: Array, level: Level) -> Array:
        """The strong prediction."""
        return self.strong(x, level)

    def calls(self, level: Level, active: bool) -> int:
        """Network evaluations per sample."""
        return (2 if active else 1) * calls_of(self.strong, level)


@dataclass(frozen=True)
class Guidance:
    """A model: ``rule`` applied to the predictions of ``source`` where the noise lies in an interval.

    Outside of ``low < sigma / alpha <= high`` it is the strong model alone, at one call instead of two
    (Kynkäänniemi et al. 2024).

    Args:
        source: :class:`Pair` or :class:`Batched`.
        rule: ``rule(strong, weak, level)`` with ``rule.quantity``, the prediction in which it is stated, or empty for
            the model's own: those of :mod:`diffnum.models.guidance_rules`.
        low, high: the interval in units of ``sigma / alpha``.

    Raises:
        ValueError: an empty interval; later, a level at which one prediction does not follow from the other.
    """

    source: Source
    rule: Any
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ValueError(f"the interval from {self.low!r} to {self.high!r} is empty: give 0 <= low < high")

    @property
    def prediction(self) -> str:
        """What plans for this model must be compiled for."""
        return self.source.prediction

    def active(self, level: Level) -> bool:
        """Whether guidance acts at ``level``; where all levels count, clean ones do too."""
        noise = noise_to_signal(level)
        return (self.low < noise or self.low == 0) and noise <= self.high

    def calls(self, level: Level) -> int:
        """Network evaluations per sample at ``level``: ``dn.cost(plan, guided.calls)`` is the ledger of a run."""
        return self.source.calls(level, self.active(level))

    def __call__(self, x: Array, level: Level) -> Array:
        """The guided prediction, of the shape of ``x``."""
        if not self.active(level):
            return self.source.alone(x, level)
        strong, weak = self.source.both(x, level)
        quantity = self.rule.quantity or self.prediction
        if quantity == self.prediction:
            return self.rule(strong, weak, level)
        strong, weak = (read(x, value, level, self.prediction, quantity) for value in (strong, weak))
        return read(x, self.rule(strong, weak, level), level, quantity, self.prediction)


@dataclass(frozen=True)
class ZeroStart:
    """Zero velocity, without a call, where ``sigma / alpha`` is above ``above`` (the zero-init of Fan et al. 2025).

    The velocity is the level's, so that on flow matching an Euler step there leaves the state as it is.

    Args:
        model: asked at all other levels.
        above: where the model takes over.
        prediction: what it returns.

    Raises:
        ValueError: ``above`` that is not positive; as :class:`Pair`.
    """

    model: Any
    above: float
    prediction: str = "velocity"

    def __post_init__(self) -> None:
        check_prediction(self.model, self.prediction)
        if not self.above > 0:
            raise ValueError(f"above = {self.above!r} leaves the model out: give a noise-to-signal ratio > 0")

    def calls(self, level: Level) -> int:
        """Network evaluations per sample."""
        return 0 if noise_to_signal(level) > self.above else calls_of(self.model, level)

    def __call__(self, x: Array, level: Level) -> Array:
        """The prediction, of the shape of ``x``."""
        if noise_to_signal(level) > self.above:
            return read(x, 0 * x, level, "velocity", self.prediction)
        return adapted_model(self.model, self.prediction)(x, level)


def classifier_free(
    conditional: Any,
    unconditional: Any,
    scale: Scale,
    prediction: str = "data",
    low: float = 0.0,
    high: float = math.inf,
) -> Guidance:
    """Classifier-free guidance, in an interval of noise: :class:`Guidance` of a :class:`Pair` by :class:`Linear`."""
    return Guidance(Pair(conditional, unconditional, prediction), Linear(scale), low, high)


def autoguidance(strong: Any, weak: Any, scale: Scale, prediction: str = "data") -> Guidance:
    """Guidance by a worse version of the same model (Karras et al. 2024); both know the condition, or neither."""
    return classifier_free(strong, weak, scale, prediction)


def cfgpp(conditional: Any, unconditional: Any, strength: float, grid: Any, prediction: str = "data") -> Guidance:
    """CFG++ (Chung et al. 2024, algorithm 2) as guidance of DDIM on ``grid``.

    CFG++ denoises with the guided noise and noises again with the unconditional one,

        x_t = alpha_t (x_s - sigma_s e) / alpha_s + sigma_t e_u,    e = e_u + strength (e_c - e_u),

    which is DDIM under guidance of the scale ``strength / (1 - exp(-h))``, ``h`` the step in log-SNR. So ``ddim`` (or
    Euler in ``sigma / alpha``, another name of it) on the same grid runs it, at the cost of guidance, and the scale is
    ``strength`` in the last step to the clean level and in a first one from pure noise. The scale grows with the number
    of steps like ``strength / h``: it has no limit as an ODE. Of a sampler that uses an evaluation twice it is no
    scale.

    Args:
        strength: ``lambda`` of the paper, in [0, 1] there.
        grid: of the plan, a ``dn.grid``.

    Raises:
        ValueError: a strength that is not finite; later, a level at which no step of ``grid`` starts.
    """
    finite(strength)
    return classifier_free(conditional, unconditional, _Renoised.on(strength, grid), prediction)


@dataclass(frozen=True)
class _Renoised:
    """The scale of CFG++ by the level at which a step starts."""

    starts: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def on(cls, strength: float, grid: Any) -> _Renoised:
        steps: Sequence[tuple[Level, Level]] = list(pairwise(grid.levels))
        left = [float(t.sigma * s.alpha / (t.alpha * s.sigma)) for s, t in steps]
        return cls(tuple(float(s.lam) for s, _ in steps), tuple(strength / (1 - r) for r in left))

    def __call__(self, level: Level) -> float:
        try:
            return self.scales[self.starts.index(float(level.lam))]
        except ValueError as error:
            raise ValueError(
                f"no step of the grid starts at log-SNR {float(level.lam):.4g}: CFG++ is for DDIM on its own grid"
            ) from error


def check_prediction(model: Any, prediction: str) -> None:
    """Refuse an unknown prediction, and one that is not what ``model`` says of itself."""
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction {prediction!r} is unknown: use one of {', '.join(PREDICTIONS)}")
    own = getattr(model, "prediction", prediction)
    if own != prediction:
        raise ValueError(f"the model predicts {own} and {prediction} was asked of it: pass prediction={own!r}")


def read(x: Array, value: Array, level: Level, source: str, target: str) -> Array:
    """The prediction ``target`` at ``x`` from that of ``source``.

    Raises:
        ValueError: one does not follow from the other at this level.
    """
    try:
        a, b = convert(level, source, target)
    except ZeroDivisionError as error:
        raise ValueError(
            f"{target} does not follow from {source} at alpha = {level.alpha!r}, sigma = {level.sigma!r}: use a model "
            "of another prediction, or levels inside"
        ) from error
    return a * x + b * value


def _doubled(x: Array) -> Array:
    if is_torch(x):
        import torch

        return torch.cat([x, x])
    import numpy as np

    return np.concatenate([x, x])
