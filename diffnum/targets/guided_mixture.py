"""A mixture guided towards one of its classes, at the price of the mixture itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..plan import Level
from .common import (
    Array,
    denoise_by_predict,
    leave,
    noise_prediction_by_predict,
    score_by_predict,
    velocity_by_predict,
)
from .mixture import Mixture
from .reference import reference_flow
from .working import by_rows, open_question, pair, softmax

__all__ = ["GuidedMixture"]


@dataclass(frozen=True, eq=False)
class GuidedMixture:
    """``D = D_all + g (D_c - D_all)`` where a class ``c`` owns some components of a mixture (Ho & Salimans 2022).

    With responsibilities ``r_k`` among all components, ``r_k^c`` among the class's own (zero elsewhere), and the
    predictions ``m_k`` of the components,

        D = sum_k (r_k + g (r_k^c - r_k)) m_k,

    one pass over the components where the class and the whole as two laws take two. Like
    :class:`diffnum.targets.Conditional`'s ``guided``, which it equals.

    Args:
        mixture: of all classes.
        kinds: ``(K,)``, the class that owns each component.
        label: the class guided towards.
        scale: ``g``: 0 all classes, 1 the class itself.

    Raises:
        ValueError: kinds of another number than components; a label that owns none.
    """

    mixture: Mixture
    kinds: Any
    label: Any
    scale: float

    def __post_init__(self) -> None:
        kinds = np.asarray(self.kinds)
        if kinds.shape != self.mixture.weights.shape:
            raise ValueError(f"kinds of shape {kinds.shape} for {len(self.mixture.weights)} components: give one each")
        if self.label not in kinds:
            raise ValueError(f"label {self.label!r} owns no component: use one of {', '.join(map(str, set(kinds)))}")
        object.__setattr__(self, "kinds", kinds)

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.mixture.dim

    @property
    def rms(self) -> float:
        """A scale of the data, the mixture's."""
        return self.mixture.rms

    @property
    def singular(self) -> bool:
        """Whether some component has no density."""
        return self.mixture.singular

    @cached_property
    def own(self) -> Mixture:
        """The law of the class."""
        mine = np.flatnonzero(self.kinds == self.label)
        form: Any = self.mixture.covariances
        kept = {name: getattr(form, name)[mine] for name in form.__dataclass_fields__}
        return Mixture(self.mixture.weights[mine], self.mixture.means[mine], type(form)(**kept))

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The guided prediction of ``quantity``, as :meth:`Mixture.predict`."""
        rows, level = open_question(x, level, self.dim)
        a, b = pair(quantity, level)
        law, near = self.mixture._at(rows, level)
        mine = np.flatnonzero(self.kinds == self.label)

        def ask(part: Array) -> Array:
            quad, each = law.covariances.solve(part, law.means, near.alpha, near.sigma)
            logits = law._log_weights(part)[:, None] - quad / 2
            share = (1 - self.scale) * softmax(logits)[0]
            share[mine] = share[mine] + self.scale * softmax(logits[mine])[0]
            return (share[..., None] * each(a, b)).sum(0)

        return leave(by_rows(ask, rows, self.mixture.covariances.width).reshape(x.shape), x)

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``sigma^2 / alpha`` times the Jacobian of the guided denoiser: the same combination of the covariances of
        ``x0`` given ``x``. For scales other than 0 and 1 it is the covariance of nothing."""
        whole = self.mixture.posterior_cov(x, level)
        return whole + self.scale * (self.own.posterior_cov(x, level) - whole)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the class at ``level``, where guided runs start."""
        return self.own.sample(n, rng, level)

    def flow(self, x: Array, s: Level, t: Level, tol: float = 1e-10) -> Array:
        """Where the guided velocity takes points, to ``tol``: :func:`diffnum.targets.reference.reference_flow`."""
        return reference_flow(self, x, s, t, tol)
