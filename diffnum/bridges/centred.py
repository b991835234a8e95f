"""The change of variable ``u = x - mu`` that makes mean-reverting diffusion centred."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import PREDICTIONS, Level, Plan
from ..read.sample import adapted_model, as_like, sample

__all__ = ["Centred"]

Model = Callable[[Any, Level], Any]


@dataclass(frozen=True, eq=False)
class Centred:
    """Diffusion that reverts to ``mu`` is centred diffusion of ``x0 - mu``:

        x = alpha x0 + (1 - alpha) mu + sigma eps   <=>   u = x - mu = alpha (x0 - mu) + sigma eps.

    A plan compiled on ``alpha`` and ``sigma``, such as those of :class:`~diffnum.process.MeanReverting`, runs on ``u``;
    in ``x`` it is the mean-reverting sampler (Li et al. 2025), whatever the plan. Predictions of noise, score and
    velocity ``v0 (x0 - mu) + v1 eps`` are the same in both, data predictions move with the state.

    .. code-block:: python

        process = dn.MeanReverting(sigma_max=50 / 255)
        plan = dn.compile("mrs_2", dn.grid.log_snr(process, 10), prediction="noise")
        around = dn.Centred(degraded)
        x_T = around.uncentre(plan.prior * torch.randn_like(degraded))
        restored = around.sample(plan, lambda x, level: network(x, degraded, 100 * level.t), x_T)

    Args:
        mu: what ``x`` reverts to, such as the degraded images: a number, or an array of the kind of ``x``, of its shape
            or broadcast to it, so one for each sample or one for all. It takes the dtype of ``x``.

    Raises:
        ValueError: ``mu`` is not finite, or of another kind or shape than a state.
    """

    mu: Any

    def __post_init__(self) -> None:
        mu = self.mu
        if hasattr(mu, "detach"):
            finite = mu.isfinite().all()
        elif isinstance(mu, (int, float, np.ndarray, np.generic)):
            finite = np.isfinite(mu).all()
        else:
            raise ValueError(f"mu is a {type(mu).__name__}: give a number, a numpy array or a torch tensor")
        if not finite:
            raise ValueError("mu has entries that are not finite: give finite numbers")

    def centre(self, x: Any) -> Any:
        """``u = x - mu``, of the kind, dtype and shape of ``x``."""
        return x - self._like(x)

    def uncentre(self, u: Any) -> Any:
        """``x = u + mu``, of the kind, dtype and shape of ``u``."""
        return u + self._like(u)

    def model(self, model: Model, prediction: str = "data") -> Model:
        """A mean-reverting ``model(x, level)`` as one of ``u``."""
        shifts = self._shifts(prediction)

        def centred(u: Any, level: Level) -> Any:
            x = self.uncentre(u)
            value = as_like(model(x, level), x)
            return self.centre(value) if shifts else value

        return centred

    def reverting(self, model: Model | Any, prediction: str = "data") -> Model:
        """A centred ``model(u, level)``, or a target that is the law of ``x0 - mu``, as one of ``x``: the inverse of
        :meth:`model`."""
        shifts, call = self._shifts(prediction), adapted_model(model, prediction)

        def of_x(x: Any, level: Level) -> Any:
            u = self.centre(x)
            value = as_like(call(u, level), u)
            return self.uncentre(value) if shifts else value

        return of_x

    def from_plain(self, model: Model | Any, prediction: str = "data") -> Model:
        """A model of plain diffusion ``y = alpha x0 + sigma eps``, or a target that is the law of ``x0``, as the
        mean-reverting ``model(x, level)``: ``y = x - (1 - alpha) mu``. Of a target it is the truth for any ``mu``."""
        self._shifts(prediction)
        call = adapted_model(model, prediction)

        def of_x(x: Any, level: Level) -> Any:
            mu = self._like(x)
            value = as_like(call(x - (1 - level.alpha) * mu, level), x)
            return value - level.v[0] * mu if prediction == "velocity" else value

        return of_x

    def sample(self, plan: Plan, model: Model, x: Any, noise: Any = None) -> Any:
        """:func:`diffnum.sample` of the mean-reverting ``model(x, level)`` from ``x`` at ``plan.start``.

        For states, callbacks and pinned values run ``dn.sample(plan, around.model(model, plan.prediction),
        around.centre(x), ...)``, whose states are ``u``.
        """
        return self.uncentre(sample(plan, self.model(model, plan.prediction), self.centre(x), noise))

    def _like(self, x: Any) -> Any:
        """``mu`` in the dtype of ``x``."""
        mu = self.mu
        if not hasattr(mu, "shape"):
            return float(mu)
        if hasattr(mu, "detach") != hasattr(x, "detach"):
            raise ValueError(f"mu is a {type(mu).__name__} and x a {type(x).__name__}: give both in one kind")
        shape, wide = tuple(mu.shape), tuple(x.shape)
        if len(shape) > len(wide) or any(a not in (1, b) for a, b in zip(shape[::-1], wide[::-1], strict=False)):
            raise ValueError(f"mu of shape {shape} is no mean of x of shape {wide}: give one that broadcasts to it")
        return mu.to(x.dtype) if hasattr(mu, "detach") else mu.astype(x.dtype)

    @staticmethod
    def _shifts(prediction: str) -> bool:
        if prediction not in PREDICTIONS:
            raise ValueError(f"prediction {prediction!r} is unknown: use one of {', '.join(PREDICTIONS)}")
        return prediction == "data"
