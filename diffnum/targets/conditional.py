"""Class-conditional laws: guidance with every ingredient exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..plan import Level
from .common import (
    Array,
    denoise_by_predict,
    generator,
    is_torch,
    leave,
    noise_prediction_by_predict,
    score_by_predict,
    velocity_by_predict,
)
from .factored import Factored
from .mixture import Mixture, grouped, variance_floor
from .reference import reference_flow
from .working import above_clean, normalise, open_question, softmax, stack

__all__ = ["Conditional"]


@dataclass(frozen=True, eq=False)
class Conditional:
    """A family of laws ``p(x0 | c)``, one target per class, and their mixture ``sum_c w_c p(x0 | c)``.

    The family itself is the unconditional target: with the posterior ``p(c | x)`` proportional to
    ``w_c p_c(x)`` at the level's noise, every prediction is ``sum_c p(c | x) prediction_c``. Its
    classes may be any targets. Classifier-free guidance (Ho & Salimans 2022, eq. 6, with
    ``scale = 1 + w`` there) is then exact:

        guided(x) = unconditional(x) + scale (conditional(x) - unconditional(x)).

    Args:
        classes: targets of one dimension.
        weights: ``(C,)``, positive, stored as probabilities; None: equal.
        labels: names of the classes; None: ``0 .. C - 1``.

    Raises:
        ValueError: no classes, classes of different dimensions, weights or labels that do not match.
    """

    classes: tuple[Any, ...]
    weights: Any = None
    labels: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        dims = sorted({target.dim for target in self.classes})
        if len(dims) != 1:
            raise ValueError(
                f"{len(self.classes)} classes of dimensions {dims}: give one or more, all of one dimension"
            )
        count = len(self.classes)
        weights = np.ones(count) if self.weights is None else self.weights
        object.__setattr__(self, "weights", normalise("weights", weights, count))
        labels = tuple(self.labels) or tuple(range(count))
        if len(set(labels)) != count or len(labels) != count:
            raise ValueError(f"labels = {labels!r} for {count} classes: give one name each, all different")
        object.__setattr__(self, "labels", labels)

    @classmethod
    def fit(
        cls,
        data: Array,
        labels: Any,
        components: int = 1,
        seed: int = 0,
        covariance: str = "full",
        floor: float | None = None,
    ) -> Conditional:
        """One :meth:`diffnum.targets.mixture.Mixture.fit` per class, weighted by the class's share.

        Args:
            data: ``(n, ...)``, numpy or torch; trailing axes are flattened.
            labels: ``(n,)``; classes come in their sorted order.
            components, seed, covariance, floor: as for the mixture of each class; the default floor
                is measured on all the data.

        Raises:
            ValueError: labels that do not match the data; otherwise as the mixture's fit.
        """
        floor = variance_floor(data, floor)
        groups = grouped(data, labels)
        fitted = [Mixture.fit(group, components, seed, covariance, floor) for group in groups.values()]
        return cls(tuple(fitted), [len(group) for group in groups.values()], tuple(groups))

    @property
    def dim(self) -> int:
        """Dimension ``d`` of the points."""
        return self.classes[0].dim

    @property
    def singular(self) -> bool:
        """Whether some class has no density."""
        return any(getattr(target, "singular", False) for target in self.classes)

    @cached_property
    def joined(self) -> Mixture | None:
        """The whole family where its classes are mixtures of one form: asked once instead of class by class."""
        forms = {_form(target) for target in self.classes}
        return None if len(forms) > 1 or None in forms else Mixture.join(self.weights, list(self.classes))

    @cached_property
    def rms(self) -> float:
        """Root mean square of the data's coordinates, estimated from 256 draws of each class: a scale, not a result."""
        powers = [float(np.mean(target.sample(256, 0) ** 2)) for target in self.classes]
        return math.sqrt(float(self.weights @ powers))

    def given(self, label: Any) -> Any:
        """The target of one class.

        Raises:
            ValueError: an unknown label.
        """
        return self.classes[self._index(label)]

    def _index(self, label: Any) -> int:
        if label not in self.labels:
            raise ValueError(f"label {label!r} is unknown: use one of {', '.join(map(str, self.labels))}")
        return self.labels.index(label)

    def posterior(self, x: Array, level: Level) -> Array:
        """Probability of each class given ``x``, shape ``(..., C)``: the exact noise-aware classifier."""
        rows, level = open_question(x, level, self.dim)
        return leave(self._shares(rows, level).T.reshape(*x.shape[:-1], len(self.classes)), x)

    def _shares(self, rows: Array, level: Level) -> Array:
        return softmax(self._joint(rows, above_clean(level, self.rms) if self.singular else level))[0]

    def _joint(self, rows: Array, level: Level | None) -> Array:
        """``log w_c p_c(x)``, shape ``(C, rows)``."""
        terms = [math.log(w) + c.log_prob(rows, level) for w, c in zip(self.weights, self.classes, strict=True)]
        return _pile(terms)

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The unconditional prediction of ``quantity``, one of ``diffnum.plan.PREDICTIONS``.

        Raises:
            ValueError: as the classes'.
        """
        if self.joined is not None:
            return self.joined.predict(x, level, quantity)
        rows, level = open_question(x, level, self.dim)
        each = _pile([target.predict(rows, level, quantity) for target in self.classes])
        if len(self.classes) > 1:
            each = self._shares(rows, level)[..., None] * each
        return leave(each.sum(0).reshape(x.shape), x)

    def guided(self, x: Array, level: Level, label: Any, scale: float, quantity: str = "data") -> Array:
        """``unconditional + scale (conditional - unconditional)``, in any prediction.

        Args:
            label: one label for all points, or a sequence of labels, one for each point of ``x``
                (of shape ``(n, d)``).
            scale: 0 unconditional, 1 conditional, above 1 guided.

        Raises:
            ValueError: an unknown label, or another number of labels than points.
        """
        free = self.predict(x, level, quantity)
        bound = self._labelled(x, level, label, quantity)
        return free + scale * (bound - free)

    def _labelled(self, x: Array, level: Level, label: Any, quantity: str) -> Array:
        if isinstance(label, (str, bytes)) or np.ndim(label) == 0:
            return self.given(_plain(label)).predict(x, level, quantity)
        index = np.array([self._index(_plain(one)) for one in label])
        if x.ndim != 2 or len(index) != len(x):
            raise ValueError(
                f"{len(index)} labels for x of shape {tuple(x.shape)}: give one label per row, or one for all"
            )
        mine = [(k, np.flatnonzero(index == k)) for k in np.unique(index)]
        parts = [self.classes[k].predict(x[rows], level, quantity) for k, rows in mine]
        return stack(parts)[np.argsort(np.concatenate([rows for _, rows in mine]))]

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    def log_prob(self, x: Array, level: Level | None = None) -> Array:
        """Log-density at ``level``, shape ``(...)``; of the data law where level is None or clean.

        Raises:
            ValueError: the data law where a class has no density.
        """
        rows, level = open_question(x, level or Level(0.0, 1.0, 0.0), self.dim)
        return leave(softmax(self._joint(rows, level))[1].reshape(x.shape[:-1]), x)

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``Cov[x0 | x]``, shape ``(..., d, d)``."""
        if self.joined is not None:
            return self.joined.posterior_cov(x, level)
        rows, level = open_question(x, level, self.dim)
        shares = self._shares(rows, level)
        each = _pile([target.denoise(rows, level) for target in self.classes])
        apart = each - (shares[..., None] * each).sum(0)
        cov: Any = 0
        for share, gap, target in zip(shares, apart, self.classes, strict=True):
            within = target.posterior_cov(rows, level) + gap[:, :, None] * gap[:, None]
            cov = cov + share[:, None, None] * within
        return leave(cov.reshape(*x.shape, self.dim), x)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the mixture at ``level`` (None: the data law), float64 ``(n, d)``."""
        rng = generator(rng)
        label = rng.choice(len(self.classes), size=n, p=self.weights)
        x = np.empty((n, self.dim))
        for k, target in enumerate(self.classes):
            mine = np.flatnonzero(label == k)
            x[mine] = target.sample(len(mine), rng, level)
        return x

    def flow(self, x: Array, s: Level, t: Level, tol: float = 1e-10) -> Array:
        """The unconditional probability-flow map from ``s`` to ``t``, in either direction, to ``tol``.

        A verified reference integration: :func:`diffnum.targets.reference.reference_flow`. No gradient passes.

        Raises:
            ValueError: the error is not verified below ``tol``; ``s`` is clean and a class has no density.
        """
        return reference_flow(self, x, s, t, tol)


def _form(target: Any) -> Any:
    """Mixtures of equal ones are one mixture; None of a target that joins with no other."""
    if not isinstance(target, Mixture) or isinstance(target.covariances, Factored):
        return None
    form: Any = target.covariances
    return type(form), *(np.shape(getattr(form, name))[1:] for name in form.__dataclass_fields__)


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _pile(arrays: Sequence[Array]) -> Array:
    if is_torch(arrays[0]):
        import torch

        return torch.stack(list(arrays))
    return np.stack(arrays)
