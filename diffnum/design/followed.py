"""A model of which only its predictions are known, such as a network, as a law with a flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import grid
from ..plan import PREDICTIONS, Level
from ..prediction import convert
from ..read.sample import sample
from ..solvers import exp_ab4
from ..trace import compile

__all__ = ["Followed"]

_FEWEST, _MOST = 25, 1600
_NOISIEST = 4.0
"""From pure noise steps are equal in ``log(1 + e^(lam + 4))``, in ``alpha / sigma`` where log-SNR is far below -4."""


@dataclass(frozen=True, eq=False)
class Followed:
    """A model as a law: predictions of any kind, and its probability flow by many small steps.

    The flow is followed by exponential Adams-Bashforth of order four, as many steps as it takes: with twice the steps
    the root mean square change, of which ``1 / (2^q - 1)`` estimates the error, is below ``tol`` of the result;
    ``q = 2`` is the order of a cold start, which caps it in the end. Steps are equal in log-SNR ``lam``. From pure
    noise, where ``lam = -inf``, they are equal in

        w = log(1 + e^(lam + 4)),

    which starts at 0, linear in ``alpha / sigma``, of which everything is a smooth function there, and becomes log-SNR
    in the end; the error of the first step, ``(alpha / sigma)^2 / 2`` times the slope of ``D``, is of order two in it.
    At the clean level it ends with the denoised prediction at ``stop``, below which a network knows nothing.

    Attributes:
        model: ``model(x, level)`` on arrays like ``like``.
        prediction: what it returns.
        process: its noise process.
        stop: the last level that it knows.
        like: an example of its input, whose kind, dtype, device and trailing shape are kept.
        batch: samples at a time.
    """

    model: Callable[[Any, Level], Any]
    prediction: str
    process: Any
    stop: Level
    like: Any
    batch: int = 64
    _shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"prediction {self.prediction!r} is unknown: use one of {', '.join(PREDICTIONS)}")
        object.__setattr__(self, "_shape", tuple(self.like.shape[1:]))

    @property
    def dim(self) -> int:
        """Numbers in one sample."""
        return math.prod(self._shape)

    @property
    def angles(self) -> tuple[float, float]:
        """``atan2(sigma, alpha)`` of the last level that it knows and of the first one of its process."""
        first = self.process.level(self.process.t_start)
        return math.atan2(self.stop.sigma, self.stop.alpha), math.atan2(first.sigma, first.alpha)

    def predict(self, x: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        """The prediction as ``quantity``, rows of float64."""
        native = np.concatenate([self._called(x[i : i + self.batch], level) for i in range(0, len(x), self.batch)])
        a, b = convert(level, self.prediction, quantity)
        return a * x + b * native

    def denoise(self, x: np.ndarray, level: Level) -> np.ndarray:
        """``E[x0 | x]``, as far as the model knows it. A level without a time, ``t = nan``, stands for the one of the
        process with its log-SNR, or for the first or last one if that lies beyond them."""
        if math.isnan(level.t):
            first = self.process.level(self.process.t_start)
            own = self.process.at(min(max(level.lam, first.lam), self.stop.lam))
            x, level = x * (math.hypot(own.alpha, own.sigma) / math.hypot(level.alpha, level.sigma)), own
        return self.predict(x, level, "data")

    def flow(self, x: np.ndarray, s: Level, t: Level, tol: float = 1e-3) -> np.ndarray:
        """The flow from ``s`` to a later level or to the clean one.

        Raises:
            ValueError: ``t`` lies at more noise; a prediction of noise or score from pure noise; the error stays above
            ``tol``.
        """
        return self.verified(x, s, t, tol)[0]

    def verified(self, x: np.ndarray, s: Level, t: Level, tol: float = 1e-3) -> tuple[np.ndarray, float]:
        """:meth:`flow`, and the estimate of its root mean square error per number."""
        if s.pure_noise and self.prediction in ("noise", "score"):
            raise ValueError(
                f"at alpha = 0 a prediction of {self.prediction} says nothing of the data: "
                "start at alpha > 0, or use a model of data or velocity"
            )
        if not s.lam < t.lam:
            raise ValueError(f"a network is followed towards the data: level {t!r} is not beyond {s!r}")
        steps, coarse = _FEWEST, self._steps(x, s, t, _FEWEST)
        while steps < _MOST:
            steps *= 2
            fine = self._steps(x, s, t, steps)
            error = np.sqrt(((fine - coarse) ** 2).mean() / (fine**2).mean()) / (2**exp_ab4.cold - 1)
            if error <= tol:
                return fine, float(error * np.sqrt((fine**2).mean()))
            coarse = fine
        raise ValueError(
            f"with {_MOST} steps the trajectories of this network still change by {error:.1g} of their size: raise tol"
        )

    def _steps(self, x: np.ndarray, s: Level, t: Level, n: int) -> np.ndarray:
        last = self.stop if t.clean else t
        levels = [s, *(self.process.at(lam) for lam in _between(s, last, n)), last]
        end = "denoise" if t.clean else "stop"
        return sample(compile(exp_ab4, grid.through(self.process, levels, end=end), "data"), self, x)

    def _called(self, x: np.ndarray, level: Level) -> np.ndarray:
        rows = x.reshape(len(x), *self._shape)
        if isinstance(self.like, np.ndarray):
            return np.asarray(self.model(rows.astype(self.like.dtype), level), dtype=np.float64).reshape(x.shape)
        import torch

        with torch.no_grad():
            given = torch.as_tensor(rows).to(dtype=self.like.dtype, device=self.like.device)
            return self.model(given, level).to(device="cpu", dtype=torch.float64).numpy().reshape(x.shape)


def _between(s: Level, t: Level, n: int) -> np.ndarray:
    """Log-SNRs of the levels inside ``n`` steps."""
    if not s.pure_noise:
        return np.linspace(s.lam, t.lam, n + 1)[1:-1]
    w = np.linspace(0.0, np.logaddexp(0.0, t.lam + _NOISIEST), n + 1)[1:-1]
    return np.log(np.expm1(w)) - _NOISIEST
