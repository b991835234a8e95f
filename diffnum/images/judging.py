"""How good a denoiser is, level by level, beside denoisers in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models import Network
from ..plan import Level
from ..process import Cosine
from ..targets import Empirical, Gaussian
from .data import Dataset
from .networks import device_of

__all__ = ["Denoising", "denoising"]

# sigma / alpha
RATIOS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Denoising:
    """Mean square error of denoisers per pixel, ``E |D(alpha x0 + sigma eps) - x0|^2 / d``, by ``sigma / alpha``.

    All are told the classes, or none is: with classes the closed forms are of each class its own.

    Attributes:
        ratios: ``sigma / alpha``.
        network: of the network on held-out images.
        gaussian: of the best denoiser that is linear in the image, that of ``dn.Gaussian.fit`` of the training images.
        by_heart: of the ideal denoiser of the training images, ``dn.Empirical``, on held-out images: what perfect
            memory is worth on new images.
        network_seen: of the network on training images.
        bound: of the ideal denoiser on training images. On them no denoiser does better on average, as it is their
            conditional mean; one that comes near it at little noise has learned them by heart.
    """

    ratios: tuple[float, ...]
    network: tuple[float, ...]
    gaussian: tuple[float, ...]
    by_heart: tuple[float, ...]
    network_seen: tuple[float, ...]
    bound: tuple[float, ...]

    def markdown(self) -> str:
        """The table of a model card."""
        head = "| sigma / alpha | network, held out | best Gaussian, held out | by heart, held out "
        lines = [head + "| network, training | bound, training |", "|---|---|---|---|---|---|"]
        columns = (self.network, self.gaussian, self.by_heart, self.network_seen, self.bound)
        for ratio, *errors in zip(self.ratios, *columns, strict=True):
            lines.append(f"| {ratio:g} | " + " | ".join(f"{e:.4f}" for e in errors) + " |")
        return "\n".join(lines)


def denoising(
    network: Network, training: Dataset, held_out: Dataset, ratios: Sequence[float] = RATIOS, seed: int = 0
) -> Denoising:
    """The table of :class:`Denoising`, with as many training images as there are held-out ones, the same noise for all
    denoisers.

    Args:
        network: compiled for ``"data"`` on ``Cosine(0)``.

    Raises:
        ValueError: a network of another prediction or process; sets of different shapes; a class held out entirely.
    """
    levels = checked_levels(network, training, held_out, ratios)
    told = "class_labels" in network.conditions and training.labels is not None and held_out.labels is not None
    chosen = np.random.default_rng(seed).choice(len(training), min(len(training), len(held_out)), replace=False)
    new, old = (held_out.data, held_out.labels), (training.data[chosen], training.labels)
    old = (old[0], None if old[1] is None else old[1][chosen])
    gaussian, by_heart = _closed(Gaussian.fit, training, told), _closed(Empirical, training, told)

    def own(x: np.ndarray, level: Level, labels: np.ndarray | None) -> np.ndarray:
        return asked(network, x, level, labels if told else None, training.shape)

    columns = [(own, new), (gaussian, new), (by_heart, new), (own, old), (by_heart, old)]
    errors = [tuple(_error(ask, x0, labels, at, seed) for at in levels) for ask, (x0, labels) in columns]
    return Denoising(tuple(float(r) for r in ratios), *errors)


def checked_levels(network: Network, training: Dataset, held_out: Dataset, ratios: Sequence[float]) -> list[Level]:
    """The levels of these ``sigma / alpha``, for a network that can be compared there with laws of the images."""
    if network.prediction != "data" or network.process != Cosine(0.0):
        raise ValueError(
            f"the network predicts {network.prediction} on {network.process}: load it for 'data' on Cosine(0)"
        )
    if training.shape != held_out.shape:
        raise ValueError(f"training images are {training.shape} and held-out ones {held_out.shape}: give one shape")
    return [network.process.at(-float(np.log(ratio))) for ratio in ratios]


Denoise = Callable[[np.ndarray, Level, np.ndarray | None], np.ndarray]


def _closed(make: Callable[[np.ndarray], Any], training: Dataset, told: bool) -> Denoise:
    """The denoiser of a law made from the training images: of each class its own if classes are told."""
    if not told:
        law = make(training.data)
        return lambda x, level, labels: law.denoise(x, level)
    seen: Any = training.labels
    laws = {int(k): make(training.data[seen == k]) for k in np.unique(seen)}

    def denoise(x: np.ndarray, level: Level, labels: Any) -> np.ndarray:
        found = np.empty_like(x)
        for k in np.unique(labels):
            if int(k) not in laws:
                raise ValueError(f"class {k} is held out entirely: divide the images so that training has all classes")
            found[labels == k] = laws[int(k)].denoise(x[labels == k], level)
        return found

    return denoise


def _error(denoise: Denoise, x0: np.ndarray, labels: np.ndarray | None, level: Level, seed: int) -> float:
    return float(np.mean((denoise(noised(x0, level, seed), level, labels) - x0) ** 2))


def noised(x0: np.ndarray, level: Level, seed: int) -> np.ndarray:
    """Images at a level, with the same noise at all of them."""
    eps = np.random.default_rng([seed, 1]).standard_normal(x0.shape)
    return float(level.alpha) * x0 + float(level.sigma) * eps


def asked(
    network: Network, x: np.ndarray, level: Level, labels: np.ndarray | None, shape: tuple[int, int, int]
) -> np.ndarray:
    """The network on rows."""
    import torch

    device = device_of(network.module)
    if labels is not None:
        network = network.given(class_labels=torch.as_tensor(labels.astype(np.int64), device=device))
    images = torch.from_numpy(np.ascontiguousarray(x.reshape(-1, *shape).transpose(0, 3, 1, 2))).to(device)
    with torch.no_grad():
        return network(images, level).cpu().numpy().transpose(0, 2, 3, 1).reshape(x.shape)
