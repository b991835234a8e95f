"""Mixtures of Gaussians: the denoiser in closed form, several modes, any covariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from ..plan import Level
from .common import (
    Array,
    denoise_by_predict,
    elementwise,
    extended,
    generator,
    is_torch,
    leave,
    noise_prediction_by_predict,
    score_by_predict,
    velocity_by_predict,
)
from .covariances import Diagonal, Solved, Spectral
from .factored import Factored
from .online import log, softmax_mean
from .reference import reference_flow
from .working import above_clean, by_rows, has_objects, normalise, number, open_question, pair, resident, softmax

__all__ = ["ENTRIES", "Mixture", "grouped", "variance_floor"]

ENTRIES = {"cpu": 2**20, "other": 2**24}
"""Entries of the largest temporary array: beyond them components are taken a few at a time."""
_LARGE = 2**16
# entries that are kept from the first product to the second, of components one after the other
_KEPT = 2**19


@dataclass(frozen=True, eq=False)
class Mixture:
    """``sum_k w_k N(m_k, C_k)``.

    Under ``x = alpha x0 + sigma eps``, with ``S_k = alpha^2 C_k + sigma^2 I`` and the responsibilities
    ``rho_k(x)`` proportional to ``w_k N(x; alpha m_k, S_k)``, formed by log-sum-exp,

        E[x0 | x] = sum_k rho_k mu_k(x),     mu_k = m_k + alpha C_k S_k^-1 (x - alpha m_k),
        score     = -sum_k rho_k S_k^-1 (x - alpha m_k),
        Cov[x0|x] = sum_k rho_k (Cov_k + (mu_k - D)(mu_k - D)^T)

    (Bishop 2006, section 2.3.9 and eq. 2.117). Noise and velocity are combined per eigen-direction
    before anything is summed, so they keep their digits from ``sigma = 1e-8`` to ``1e4`` and at ``alpha = 0``.
    The clean level is the limit from noise: a component without variance pulls ``x`` to itself.

    Args:
        weights: ``(K,)``, positive; stored as probabilities.
        means: ``(K, d)``.
        covariances: full ``(K, d, d)``, or variances of the coordinates ``(K, d)``; zeros and singular
            matrices are allowed. Low rank plus diagonal: :meth:`low_rank`.

    Temporary arrays have at most ``max(d, ENTRIES)`` entries, whatever ``K`` and the number of points:
    components come a few at a time, their log-sum-exp with a running maximum. Low rank costs ``O(d r)``
    for each component and point.

    Points are numpy arrays, torch tensors (float64 inside) or, but for low rank with a varying
    diagonal, object arrays of mpmath numbers with levels of the same; shape ``(..., d)``.

    Raises:
        ValueError: shapes that do not agree, weights that are not positive, numbers that are not
            finite, covariances that are not symmetric and non-negative; later, where a singular
            law has no density or score (``sigma = 0``).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: Any

    def __post_init__(self) -> None:
        means = _finite("means", self.means, 2)
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "weights", normalise("weights", self.weights, len(means)))
        if not isinstance(self.covariances, (Diagonal, Factored, Spectral)):
            object.__setattr__(self, "covariances", _covariances(self.covariances, means.shape))

    @classmethod
    def low_rank(cls, weights: Any, means: Any, factors: Any, diagonal: Any) -> Mixture:
        """Covariances ``F_k F_k^T + diag(diagonal_k)``, without ``d x d`` matrices.

        Only where a diagonal entry is below 1e-6 of what the factors give its coordinate (but that
        is not nothing) are full covariances formed: there the low-rank algebra would cancel.

        Args:
            factors: ``(K, d, r)``.
            diagonal: ``(K, d)``, or ``(K,)`` for multiples of the identity (cheaper: decomposed once).
        """
        means = _finite("means", means, 2)
        factors = _finite("factors", factors, 3)
        if factors.shape[:2] != means.shape or factors.shape[2] == 0:
            raise ValueError(f"factors has shape {factors.shape}: give ({means.shape[0]}, {means.shape[1]}, r), r >= 1")
        diagonal = _finite("diagonal", diagonal, np.ndim(diagonal))
        if diagonal.shape not in (means.shape, means.shape[:1]) or diagonal.min() < 0:
            raise ValueError(
                f"diagonal has shape {diagonal.shape} and minimum {diagonal.min()}: "
                f"give non-negative numbers of shape {means.shape} or {means.shape[:1]}"
            )
        if diagonal.ndim == 1:
            return cls(weights, means, Spectral.low_rank(factors, diagonal))
        if np.any(diagonal < Factored.LEAST * (factors**2).sum(-1)):
            full = factors @ factors.swapaxes(1, 2) + diagonal[..., None] * np.eye(means.shape[1])
            return cls(weights, means, Spectral.of(full))
        return cls(weights, means, Factored(factors, diagonal))

    @classmethod
    def fit(
        cls, data: Array, components: int = 10, seed: int = 0, covariance: str = "full", floor: float | None = None
    ) -> Mixture:
        """Maximum likelihood by scikit-learn's expectation maximisation, started from k-means.

        Args:
            data: ``(n, ...)``, numpy or torch; trailing axes are flattened.
            components: number of Gaussians, at most n.
            covariance: ``"full"`` or ``"diag"``.
            floor: added to every variance; it decides the directions that a component with fewer
                points than dimensions knows nothing about. None: 0.01 of the data's average variance.

        Raises:
            ValueError: too few samples, data that do not vary, a floor that is not positive.
        """
        from sklearn.mixture import GaussianMixture

        data = _samples(data)
        if covariance not in ("full", "diag"):
            raise ValueError(f"covariance = {covariance!r} is unknown: use 'full' or 'diag'")
        if not (isinstance(components, int) and 1 <= components <= len(data)):
            raise ValueError(f"components = {components!r} for {len(data)} samples: give 1 to {len(data)}")
        model = GaussianMixture(
            components,
            covariance_type=covariance,  # type: ignore[arg-type]
            reg_covar=variance_floor(data, floor),
            max_iter=500,
            random_state=seed,
        ).fit(data)
        return cls(np.asarray(model.weights_), np.asarray(model.means_), model.covariances_)

    @classmethod
    def fit_labelled(cls, data: Array, labels: Any, covariance: str = "full", floor: float | None = None) -> Mixture:
        """One Gaussian per class, in the order of the sorted labels, weighted by the class's share.

        Args:
            data: ``(n, ...)``, numpy or torch; trailing axes are flattened.
            labels: ``(n,)``.
            covariance, floor: as in :meth:`fit`.

        Raises:
            ValueError: labels that do not match the data; otherwise as :meth:`fit`.
        """
        floor = variance_floor(data, floor)
        groups = grouped(data, labels).values()
        parts = [cls.fit(group, 1, covariance=covariance, floor=floor) for group in groups]
        return cls.join([len(group) for group in groups], parts)

    @classmethod
    def join(cls, weights: Any, parts: list[Mixture]) -> Mixture:
        """The mixture of mixtures with one form of covariance, as one.

        Raises:
            ValueError: no parts, or parts of different forms or dimensions.
        """
        forms = {(type(p.covariances).__name__, p.dim) for p in parts}
        if len(forms) != 1 or forms == {("Factored", parts[0].dim)}:
            raise ValueError(f"parts of forms {sorted(forms)} do not join: give full or diagonal ones of one dimension")
        outer = normalise("weights", weights, len(parts))
        form = type(parts[0].covariances)
        names = form.__dataclass_fields__
        joined = form(**{name: np.concatenate([getattr(p.covariances, name) for p in parts]) for name in names})
        inner = np.concatenate([w * p.weights for w, p in zip(outer, parts, strict=True)])
        return cls(inner, np.concatenate([p.means for p in parts]), joined)

    @property
    def dim(self) -> int:
        """Dimension ``d`` of the points."""
        return self.means.shape[1]

    @property
    def singular(self) -> bool:
        """Whether some component has directions of variance zero, so that the data law has no density."""
        return self.covariances.singular

    @cached_property
    def rms(self) -> float:
        """Root mean square of the data's coordinates."""
        power = (self.means**2).sum(-1) + self.covariances.power
        return math.sqrt(float(self.weights @ power) / self.dim)

    def predict(self, x: Array, level: Level, quantity: str) -> Array:
        """The exact prediction of ``quantity``, one of ``diffnum.plan.PREDICTIONS``.

        At a clean level the noise is independent of ``x``, so its prediction is 0.

        Raises:
            ValueError: unknown quantity; the score of a singular law at a clean level.
        """
        rows, level = open_question(x, level, self.dim)
        a, b = pair(quantity, level)
        if level.clean and self.singular and quantity == "score":
            raise ValueError("a mixture with singular covariances has no score at sigma = 0: ask at a level of noise")
        law, near = self._at(rows, level)
        if (cut := self._cut(rows)) is not None:
            found = by_rows(lambda part: _averaged(law, part, near, cut[1], (a, b))[1], rows, 1, cut[0])
            return leave(found.reshape(x.shape), x)

        def averaged(part: Array, solved: Solved) -> Array:
            return solved.average(softmax(law._log_weights(part)[:, None] - solved.quad / 2)[0], a, b)

        def one_by_one(part: Array) -> Array:
            return averaged(part, law.covariances.solve(part, law.means, near.alpha, near.sigma))

        def ask(part: Array) -> Array:
            solved = _by_products(law.covariances, part, law.means, near)
            return averaged(part, solved) if solved else by_rows(one_by_one, part, self.covariances.width)

        return leave(by_rows(ask, rows, *_pieces(self.covariances, rows)).reshape(x.shape), x)

    denoise = denoise_by_predict
    score = score_by_predict
    noise_prediction = noise_prediction_by_predict
    velocity = velocity_by_predict

    def responsibilities(self, x: Array, level: Level) -> Array:
        """Probability of each component given ``x``, shape ``(..., K)``."""
        rows, level = open_question(x, level, self.dim)
        law, near = self._at(rows, level)

        def ask(part: Array) -> Array:
            quad = law.covariances.solve(part, law.means, near.alpha, near.sigma).quad
            return softmax(law._log_weights(part)[:, None] - quad / 2)[0].T

        return leave(by_rows(ask, rows, self.covariances.width).reshape(*x.shape[:-1], len(self.weights)), x)

    def log_prob(self, x: Array, level: Level | None = None) -> Array:
        """Log-density at ``level``, shape ``(...)``; of the data law where level is None or clean.

        Raises:
            ValueError: the data law of a mixture with singular covariances.
        """
        rows, level = open_question(x, level or Level(0.0, 1.0, 0.0), self.dim)
        if level.clean and self.singular:
            raise ValueError("a mixture with singular covariances has no density at sigma = 0: ask at a level of noise")
        law = resident(self, rows)
        constant = self.dim * math.log(2 * math.pi) / 2
        if (cut := self._cut(rows)) is not None:
            found = by_rows(lambda part: _averaged(law, part, level, cut[1], None)[0], rows, 1, cut[0])
            return leave((found - constant).reshape(x.shape[:-1]), x)

        def ask(part: Array) -> Array:
            quad = law.covariances.solve(part, law.means, level.alpha, level.sigma).quad
            return softmax(law._log_weights(part)[:, None] - quad / 2)[1] - constant

        return leave(by_rows(ask, rows, self.covariances.width).reshape(x.shape[:-1]), x)

    def posterior_cov(self, x: Array, level: Level) -> Array:
        """``Cov[x0 | x]``, shape ``(..., d, d)``."""
        rows, level = open_question(x, level, self.dim)
        law, near = self._at(rows, level)
        inner = law.covariances.posterior(near.alpha, near.sigma)

        def ask(part: Array) -> Array:
            solved = law.covariances.solve(part, law.means, near.alpha, near.sigma)
            share, _ = softmax(law._log_weights(part)[:, None] - solved.quad / 2)
            centres = solved.each(1.0, 0.0)
            apart = (centres - (share[..., None] * centres).sum(0)).swapaxes(0, 1)
            within = (share.T @ inner.reshape(len(inner), -1)).reshape(-1, self.dim, self.dim)
            return within + apart.swapaxes(1, 2) @ (share.T[..., None] * apart)

        width = self.covariances.width + self.dim**2
        return leave(by_rows(ask, rows, width).reshape(*x.shape, self.dim), x)

    def sample(self, n: int, rng: np.random.Generator | int, level: Level | None = None) -> np.ndarray:
        """``n`` draws of the law at ``level`` (None: the data law), float64 ``(n, d)``."""
        rng = generator(rng)
        label = rng.choice(len(self.weights), size=n, p=self.weights)
        x = self.means[label]
        for k in range(len(self.weights)):
            mine = np.flatnonzero(label == k)
            x[mine] += self.covariances.draw(k, len(mine), rng)
        if level is None:
            return x
        return number(level.alpha) * x + number(level.sigma) * rng.standard_normal(x.shape)

    def flow(self, x: Array, s: Level, t: Level, tol: float = 1e-10) -> Array:
        """The probability-flow map from level ``s`` to level ``t``, in either direction, to ``tol``.

        There is no closed form: a reference integration whose error is verified, see
        :func:`diffnum.targets.reference.reference_flow`, for the meaning of ``tol`` too. No gradient passes.

        Raises:
            ValueError: the error is not verified below ``tol``; ``s`` is clean and the law singular.
        """
        return reference_flow(self, x, s, t, tol)

    def _at(self, rows: Array, level: Level) -> tuple[Mixture, Level]:
        return resident(self, rows), above_clean(level, self.rms) if self.singular else level

    def _cut(self, rows: Array) -> tuple[int, int] | None:
        """Points and components at a time where one point with all components is more than :data:`ENTRIES`."""
        device = rows.device.type if is_torch(rows) else "cpu"
        most = ENTRIES.get(device, ENTRIES["other"])
        if has_objects(rows) or self.covariances.width <= most:
            return None
        # few enough components beside enough points for products
        points = max(1, min(rows.shape[0], 64, most // self.dim))
        return points, max(1, most // (points * self.dim))

    def _log_weights(self, rows: Array) -> Array:
        if is_torch(rows):
            return self.weights.log()  # type: ignore[attr-defined]
        if rows.dtype != object:
            return np.log(self.weights)
        # logarithms of float64 would cap the digits
        return elementwise("log", np.asarray(np.frompyfunc(extended(rows)[1], 1, 1)(self.weights.astype(object))))


def _pieces(form: Any, rows: Array) -> tuple[int, int | None]:
    """Entries of temporary memory for one point, and how many there may be."""
    if isinstance(form, Spectral) and form.whole and not is_torch(rows):
        return form.width, _KEPT
    return (form.width if isinstance(form, Factored) else form.slim), None


def _by_products(form: Any, x: Array, means: Array, level: Level) -> Solved | None:
    """Where they are quicker than what they are made of, and exact."""
    if isinstance(form, Factored) or x.shape[0] * form.width < _LARGE:
        return None
    return form.products(x, means, level.alpha, level.sigma)


def _averaged(
    law: Mixture, x: Array, level: Level, components: int, pair_: tuple[Any, Any] | None
) -> tuple[Array, Array]:
    """Log-sum-exp of the components' log-densities and the average of their predictions, few components at a time."""
    log_weights, form = law._log_weights(x), type(law.covariances)

    def pieces() -> Iterator[tuple[Array, Callable[[Array], Array]]]:
        for i in range(0, len(law.means), components):
            part = slice(i, i + components)
            some = form(**{f.name: getattr(law.covariances, f.name)[part] for f in fields(form)})
            solved = _by_products(some, x, law.means[part], level)
            solved = solved or some.solve(x, law.means[part], level.alpha, level.sigma)
            yield (
                (log_weights[part][:, None] - solved.quad / 2).T,
                lambda powers, it=solved: 0 * x if pair_ is None else it.average(powers.T, *pair_),
            )

    top, total, mean = softmax_mean(pieces())
    return top + log(total), mean


def _finite(name: str, values: Any, ndim: int) -> np.ndarray:
    array = np.array(values.detach().cpu() if is_torch(values) else values, dtype=np.float64)
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: give an array with {ndim} axes and at least one entry")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} holds {np.sum(~np.isfinite(array))} numbers that are not finite: remove them first")
    array.flags.writeable = False
    return array


def _covariances(values: Any, shape: tuple[int, ...]) -> Diagonal | Spectral:
    array = _finite("covariances", values, np.ndim(values))
    if array.shape == shape:
        if array.min() < 0:
            raise ValueError(f"covariances hold a variance {array.min()}: give variances >= 0")
        return Diagonal(array)
    if array.shape == (*shape, shape[1]):
        return Spectral.of(array)
    raise ValueError(f"covariances has shape {array.shape}: give {shape} variances or {(*shape, shape[1])} matrices")


def _samples(data: Array) -> np.ndarray:
    data = np.asarray(data.detach().cpu() if is_torch(data) else data, dtype=np.float64)
    if data.ndim < 2 or len(data) < 2:
        raise ValueError(f"data has shape {data.shape}: give at least two samples along the first axis")
    return _finite("data", data.reshape(len(data), -1), 2)


def grouped(data: Array, labels: Any) -> dict[Any, np.ndarray]:
    """Samples ``(n_c, d)`` of each class, in the order of the sorted labels.

    Raises:
        ValueError: labels that do not match the data.
    """
    data = _samples(data)
    labels = np.asarray(labels.detach().cpu() if is_torch(labels) else labels)
    if labels.shape != (len(data),):
        raise ValueError(f"labels has shape {labels.shape}: give one for each of the {len(data)} samples")
    return {label.item(): data[labels == label] for label in np.unique(labels)}


def variance_floor(data: Array, floor: float | None = None) -> float:
    """``floor``, or 0.01 of the data's average variance where it is None.

    Raises:
        ValueError: a floor that is not positive; data that do not vary.
    """
    if floor is None:
        data = _samples(data)
        floor = 0.01 * float(data.var(axis=0).mean())
        if floor == 0:
            raise ValueError(f"the {len(data)} samples are all equal: give data that vary, or a floor > 0")
    if not 0 < floor < math.inf:
        raise ValueError(f"floor = {floor!r} is no variance: give a number > 0")
    return floor
