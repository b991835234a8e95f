"""The two laws that stand for a data set: a Gaussian, whose errors are exact, and a mixture, whose flow is curved."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..images import Dataset
from ..noise import Counter
from ..plan import Plan
from ..read.sample import sample
from ..targets.covariances import Diagonal, Spectral
from ..targets.factored import Factored
from ..targets.gaussian import Gaussian
from ..targets.mixture import Mixture
from ..targets.subspace import Subspace

__all__ = ["Surrogate", "draw"]

_SCHEMA = 1
# up to here covariances are full; above, the mixture lives in the leading principal coordinates
_FULL = 256
_RANK = 64
_LARGEST = 64 * 64 * 3


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A data set replaced by laws whose denoiser is known.

    Attributes:
        name: of the data set.
        shape: ``(h, w, c)`` of one image; points have ``d = h w c`` entries in ``[-1, 1]``.
        gaussian: mean and covariance of the data, shrunk (see :meth:`diffnum.Gaussian.fit`).
        mixture: several Gaussians; samples of it look like the data. A :class:`Subspace` for large images.
    """

    name: str
    shape: tuple[int, int, int]
    gaussian: Gaussian
    mixture: Mixture | Subspace

    @classmethod
    def fit(cls, dataset: Dataset, components: int = 10, seed: int = 0) -> Surrogate:
        """Both laws by maximum likelihood.

        Up to 256 dimensions the mixture has full covariances. Beyond, it is fitted to the ``r = 64`` leading
        principal coordinates ``y = B^T (x - m)``, and the others get what they hold on average,

            C_k = B cov_k(y) B^T + s (1 - B B^T),    s = (sum of the variances left out) / (d - r).

        Args:
            components: number of Gaussians in the mixture.
            seed: of the start by k-means.

        Raises:
            ValueError: images too large to hold covariances of, fewer images than components, data that do not vary.
        """
        if dataset.dim > _LARGEST:
            h, w, c = dataset.shape
            raise ValueError(
                f"{dataset.name} has images of {h}x{w}x{c}, {dataset.dim} numbers each: "
                f"resample them to at most 64x64 with size (--size 32)"
            )
        if not 1 <= components <= len(dataset):
            raise ValueError(f"components = {components} for {len(dataset)} images: use 1 to {len(dataset)}")
        gaussian = Gaussian.fit(dataset.data)
        return cls(dataset.name, dataset.shape, gaussian, _mixture(dataset.data, gaussian, components, seed))

    @property
    def dim(self) -> int:
        """Numbers in one image, ``d``."""
        return self.gaussian.dim

    @property
    def spread(self) -> float:
        """Root mean square distance of an image from the mean image, over all its numbers: the unit of percentages."""
        return float(np.sqrt(self.gaussian.variances.sum()))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all arrays to one ``.npz``, without pickle."""
        inner = self.mixture.inner if isinstance(self.mixture, Subspace) else self.mixture
        arrays: dict[str, Any] = {
            "schema": _SCHEMA,
            "name": self.name,
            "shape": np.array(self.shape),
            "gaussian_mean": self.gaussian.mean,
            "gaussian_variances": self.gaussian.variances,
            "mixture_weights": inner.weights,
            "mixture_means": inner.means,
            "covariances": type(inner.covariances).__name__,
        }
        if self.gaussian.basis is not None:
            arrays["gaussian_basis"] = self.gaussian.basis
        if isinstance(self.mixture, Subspace):
            arrays["rest"] = self.mixture.rest
        form = inner.covariances
        arrays |= {f"covariances_{field.name}": getattr(form, field.name) for field in fields(form)}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Surrogate:
        """Inverse of :meth:`save`.

        Raises:
            ValueError: a file that cannot be read or is not a surrogate; names the file.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
            if int(arrays["schema"]) != _SCHEMA:
                raise ValueError(f"schema {arrays['schema']} is unknown, this diffnum reads {_SCHEMA}")
            forms = {form.__name__: form for form in (Diagonal, Factored, Spectral)}
            form = forms[str(arrays["covariances"])]
            covariances = form(**{field.name: arrays[f"covariances_{field.name}"] for field in fields(form)})
            h, w, c = (int(n) for n in arrays["shape"])
            gaussian = Gaussian(arrays["gaussian_mean"], arrays["gaussian_variances"], arrays.get("gaussian_basis"))
            mixture = Mixture(arrays["mixture_weights"], arrays["mixture_means"], covariances)
            if "rest" in arrays:
                mixture = _subspace(gaussian, mixture, float(arrays["rest"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(f"{Path(path)} is not the surrogate of a study ({error}): run the study again") from error
        return cls(str(arrays["name"]), (h, w, c), gaussian, mixture)


def draw(plan: Plan, surrogate: Surrogate, n: int, seed: int = 0) -> np.ndarray:
    """``n`` images by ``plan`` from its prior, with the mixture's exact prediction as the network; ``(n, d)``.

    The noise of image ``k`` depends on ``seed`` and ``k`` alone, so plans can be compared picture by picture.
    """
    noise = Counter(seed)
    return sample(plan, surrogate.mixture, noise.initial(n, surrogate.dim, std=plan.prior), noise=noise)


def _mixture(data: np.ndarray, gaussian: Gaussian, components: int, seed: int) -> Mixture | Subspace:
    d, k = data.shape[1], len(gaussian.variances)
    if d <= _FULL:
        return Mixture.fit(data, components, seed=seed)
    rank = min(_RANK, k)
    # a floor below the images' average variance, as for full covariances: that of the leading coordinates is far larger
    floor = 0.01 * float(gaussian.variances.sum()) / d
    inner = Mixture.fit(gaussian.modes(data - gaussian.mean)[:, :rank], components, seed=seed, floor=floor)
    left = float(gaussian.variances[rank:].sum()) / (d - rank)
    # a flat rest would be a point mass, which images with less than 64 directions do not deserve
    return _subspace(gaussian, inner, max(left, floor / 100))


def _subspace(gaussian: Gaussian, inner: Mixture, rest: float) -> Subspace:
    """The mixture of leading principal coordinates as a law of images."""
    basis = np.eye(gaussian.dim) if gaussian.basis is None else gaussian.basis
    return Subspace(gaussian.mean, basis[:, : inner.dim], inner, rest)
