"""Independent one-dimensional laws under a rotation: a non-linear target with an exact flow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..plan import PREDICTIONS, Level
from .common import (
    Array,
    axes,
    convert,
    denoise_by_predict,
    enter,
    generator,
    is_torch,
    leave,
    like,
    noise_prediction_by_predict,
    orthonormal,
    score_by_predict,
    suit,
    vector,
    velocity_by_predict,
)
from .laws import Law
from .mixture1d import Mixture1D
from .transport import transport

__all__ = ["Product1D"]


@dataclass(frozen=True, eq=False)
class Product1D:
    """``x0 = R u0`` with independent coordinates ``u0_i ~ laws[i]`` and an orthogonal ``R``.

    Noise is isotropic, so under ``x = alpha x0 + sigma eps`` the coordinates ``u = R^T x`` stay
    independent: ``E[x0 | x] = R E[u0 | u]``, ``Cov[x0 | x] = R diag(Var[u0_i | u_i]) R^T``, and the
    probability flow is in each coordinate the monotone map ``F_t^-1(F_s(u_i))``.

    Args:
        laws: :class:`Mixture1D`, ``Atoms1D``, :class:`Uniform1D` or :class:`Laplace1D`, one per dimension.
        rotation: ``(d, d)`` orthogonal, columns the axes of the laws; None for the coordinate axes.

    Points have shape ``(..., d)``: numpy arrays; torch tensors, computed in float64 and, where all
    laws are mixtures, differentiable; object arrays of mpmath numbers where all laws are mixtures.

    Raises:
        ValueError: no laws, a rotation that is not orthogonal to 1e-10; later, a question that the
            laws cannot answer (see them and :func:`~diffnum.targets.transport.transport`).
    """

    laws: Sequence[Law]
    rotation: np.ndarray | None = None
    _cast: dict[Any, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "laws", tuple(self.laws))
        if not self.laws:
            raise ValueError("a product of no laws has no dimension: give at least one law")
        if self.rotation is not None:
            rotation = vector("rotation", self.rotation, (self.dim, self.dim))
            orthonormal("rotation", rotation)
            object.__setattr__(self, "rotation", rotation)

    @property
    def dim(self) -> int:
        """Dimension ``d``: the number of laws."""
        return len(self.laws)

    @cached_property
    def _groups(self) -> tuple[tuple[Any, Law], ...]:
        """Coordinates and their law; all mixtures as one bundle, which costs one call."""
        mixed = [(i, law) for i, law in enumerate(self.laws) if isinstance(law, Mixture1D)]
        rest = tuple(([i], law) for i, law in enumerate(self.laws) if not isinstance(law, Mixture1D))
        if not mixed:
            return rest
        return ([i for i, _ in mixed], _bundle([law for _, law in mixed])), *rest

    def _each(self, ask: Callable[..., Array], u: Array, *levels: Level) -> Array:
        """``ask(law, coordinates, *levels)`` of every group, put together along the last axis."""
        if len(self._groups) == 1 and isinstance(self._groups[0][1], Mixture1D):
            return ask(self._groups[0][1], u, *levels)
        columns: list[Any] = [None] * self.dim
        for places, law in self._groups:
            answer = _ask(ask, law, u[..., places], *levels)
            for j, i in enumerate(places):
                columns[i] = answer[..., j]
        return sys.modules["torch"].stack(columns, -1) if is_torch(u) else np.stack(columns, -1)

    def _enter(self, x: Array) -> Array:
        """``R^T x`` in working precision."""
        work = enter(x, self.dim)
        if is_torch(work) and work.device.type != "mps":  # a device without float64
            work = work.double()
        return work if self.rotation is None else work @ axes(work, self.rotation, self._cast)

    def _leave(self, u: Array, x: Array) -> Array:
        """``R u`` as the caller's kind of array."""
        return leave(u if self.rotation is None else u @ axes(u, self.rotation, self._cast).T, x)

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The exact prediction of ``quantity``, one of ``diffnum.plan.PREDICTIONS``.

        Raises:
            ValueError: unknown quantity; the score at a clean level of a law that has none.
        """
        if quantity not in PREDICTIONS:
            raise ValueError(f"prediction {quantity!r} is unknown: use one of {', '.join(PREDICTIONS)}")
        u = self._enter(x)
        level = suit(u, level)
        D = score = None
        if quantity in ("data", "velocity"):
            D = self._each(lambda law, y, at: law.denoise(y, at), u, level)
        if quantity == "score" or (quantity != "data" and not level.clean):
            score = self._each(lambda law, y, at: law.score(y, at), u, level)
        return self._leave(convert(quantity, u, u if D is None else D, level, score), x)

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    def log_prob(self, x: Array, level: Level | None = None) -> Array:
        """Log-density at ``level``, shape ``(...)``; of the data law where level is None or clean.

        Raises:
            ValueError: the data law where there are point masses.
        """
        u = self._enter(x)
        level = suit(u, level or Level(0.0, 1.0, 0.0))
        return leave(self._each(lambda law, y, at: law.log_pdf(y, at), u, level).sum(-1), x)

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``Cov[x0 | x]``, shape ``(..., d, d)``."""
        u = self._enter(x)
        variance = self._each(lambda law, y, at: law.variance(y, at), u, suit(u, level))
        rotation = np.eye(self.dim) if self.rotation is None else self.rotation
        rotation = axes(u, rotation, self._cast)
        return leave((rotation * variance[..., None, :]) @ rotation.T, x)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the law at ``level`` (None: the data law), float64 ``(n, d)``."""
        rng = generator(rng)
        u = np.empty((n, self.dim))
        for places, law in self._groups:
            u[:, places] = law.sample(n, rng).reshape(n, -1)
        x = u if self.rotation is None else u @ self.rotation.T
        if level is None:
            return x
        return float(level.alpha) * x + float(level.sigma) * rng.standard_normal(x.shape)

    def flow(self, x: Array, s: Level, t: Level) -> Array:
        """The exact probability-flow map from level ``s`` to level ``t``, in either direction.

        Computed in float64 (or extended precision); torch tensors are not differentiated.

        Raises:
            ValueError: the result could be off by more than 1e-10 relative, see
                :func:`~diffnum.targets.transport.transport`.
        """
        u = self._enter(x)
        y = _numpy(u, "the quantile flow") if is_torch(u) else u
        return self._leave(like(u, self._each(transport, y, suit(y, s), suit(y, t))), x)


def _ask(ask: Callable[..., Array], law: Law, y: Array, *levels: Level) -> Array:
    """``ask`` in numpy where the law knows nothing else."""
    if isinstance(law, Mixture1D):
        return ask(law, y, *levels)
    if is_torch(y):
        points = _numpy(y, str(law))
        return like(y, ask(law, points, *(suit(points, level) for level in levels)))
    if y.dtype == np.dtype(object):
        raise ValueError(f"{law} is computed in float64: use mixtures for extended precision")
    return ask(law, y, *levels)


def _numpy(y: Array, what: str) -> np.ndarray:
    if y.requires_grad:
        raise ValueError(f"{what} is computed in numpy and has no gradient: detach x")
    return y.cpu().double().numpy()


def _bundle(laws: Sequence[Mixture1D]) -> Mixture1D:
    """Mixtures padded with components of weight 0 to one ``(d, K)`` bundle."""
    size = max(len(law.weights) for law in laws)

    def pad(rows: Sequence[np.ndarray], fill: float) -> np.ndarray:
        return np.stack([np.pad(row, (0, size - len(row)), constant_values=fill) for row in rows])

    weights = pad([law.weights for law in laws], 0.0)
    return Mixture1D(weights, pad([law.means for law in laws], 0.0), pad([law.stds for law in laws], 1.0))
