"""How good a denoiser is, level by level, beside denoisers in closed form."""

from __future__ import annotations

from collections.abc import Sequence
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

    Attributes:
        ratios: ``sigma / alpha``.
        network: of the network on held-out images, told their classes if it knows classes.
        gaussian: of the best denoiser that is linear, that of ``dn.Gaussian.fit`` of the training images.
        by_heart: of the ideal denoiser of the training images, ``dn.Empirical``, on held-out images: what perfect
            memory is worth on new images.
        network_seen: of the network on training images.
        bound: of the ideal denoiser on training images. On them no denoiser without classes does better on average
            (it is their conditional mean), and one that comes near it has learned them by heart.
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
        ValueError: a network of another prediction or process; sets of different shapes.
    """
    if network.prediction != "data" or network.process != Cosine(0.0):
        raise ValueError(
            f"the network predicts {network.prediction} on {network.process}: load it for 'data' on Cosine(0)"
        )
    if training.shape != held_out.shape:
        raise ValueError(f"training images are {training.shape} and held-out ones {held_out.shape}: give one shape")
    levels = [network.process.at(-float(np.log(ratio))) for ratio in ratios]
    gaussian, empirical = Gaussian.fit(training.data), Empirical(training.data)
    seen = np.random.default_rng(seed).choice(len(training), min(len(training), len(held_out)), replace=False)
    new, old = (held_out.data, held_out.labels), (training.data[seen], training.labels)
    old = (old[0], None if old[1] is None else old[1][seen])
    shape = training.shape
    errors = [
        (
            _error(lambda x, at: _asked(network, x, at, new[1], shape), new[0], level, seed),
            _error(gaussian.denoise, new[0], level, seed),
            _error(empirical.denoise, new[0], level, seed),
            _error(lambda x, at: _asked(network, x, at, old[1], shape), old[0], level, seed),
            _error(empirical.denoise, old[0], level, seed),
        )
        for level in levels
    ]
    return Denoising(tuple(float(r) for r in ratios), *(tuple(column) for column in zip(*errors, strict=True)))


def _error(denoise: Any, x0: np.ndarray, level: Level, seed: int) -> float:
    eps = np.random.default_rng([seed, 1]).standard_normal(x0.shape)
    x = float(level.alpha) * x0 + float(level.sigma) * eps
    return float(np.mean((denoise(x, level) - x0) ** 2))


def _asked(
    network: Network, x: np.ndarray, level: Level, labels: np.ndarray | None, shape: tuple[int, int, int]
) -> np.ndarray:
    """The network on rows, told the classes if it knows classes."""
    import torch

    device = device_of(network.module)
    if labels is not None and "class_labels" in network.conditions:
        network = network.given(class_labels=torch.as_tensor(labels.astype(np.int64), device=device))
    images = torch.from_numpy(np.ascontiguousarray(x.reshape(-1, *shape).transpose(0, 3, 1, 2))).to(device)
    with torch.no_grad():
        return network(images, level).cpu().numpy().transpose(0, 2, 3, 1).reshape(x.shape)
