"""Features in which sets of images are compared: of a small classifier, of colours and textures, or of your network.

Distances between sets of images are distances between features, and features decide what is seen. Nothing is
downloaded here:

- with classes, :func:`features` trains a convolutional network of a few thousand parameters to name them and returns
  the layer before the last, as Heusel et al. 2017 do with Inception;
- without, it takes the principal components of small windows (as Chan et al. 2015 do, PCANet) and how much of each an
  image holds: mean colours and the logarithms of mean squares, from the coarsest to the finest. It sees palette,
  contrast, blur, grain; of what is shown it knows nothing. (A network of random weights saw neither blur nor grain, one
  trained to tell turned patches upright learned nothing from a few photographs: both were tried.)
- :func:`extractor` takes any network whose weights you have, such as Inception, and refuses to run code from files.

Features are standardised on the images they were made from, so that no unit dominates a distance.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoints import refuse_pickle, restore
from .data import Dataset

__all__ = ["Features", "extractor", "features"]

WIDTHS = (12, 24, 24)
KEPT = 16
WINDOW = 4
# of a byte: texture below it is not there
GREY = 2 / 255


@dataclass(frozen=True, eq=False)
class Features:
    """``features(x)``: images as rows ``(n, h * w * c)`` in ``[-1, 1]``, or ``(n, c, h, w)`` torch tensors, to float64
    ``(n, k)``.

    Attributes:
        module: images ``(n, c, h, w)`` to ``(n, k)``.
        shape: ``(h, w, c)`` of an image.
        name: what was seen, for titles.
        accuracy: share of unseen images whose class the classifier names, or None without one.
        classify: images to scores of classes, or None.
        centre, scale: of the standardisation, ``(k,)``.
        batch: images at a time.
    """

    module: Any
    shape: tuple[int, int, int]
    name: str
    accuracy: float | None = None
    classify: Any = None
    centre: Any = 0.0
    scale: Any = 1.0
    batch: int = 256

    def __call__(self, x: Any) -> np.ndarray:
        return (self._run(self.module, x) - self.centre) / self.scale

    def classes(self, x: Any) -> np.ndarray:
        """The class that the classifier names for each image, ``(n,)``.

        Raises:
            ValueError: features without a classifier.
        """
        if self.classify is None:
            raise ValueError(f"the features of {self.name} name no classes: make them from images with labels")
        return self._run(self.classify, x).argmax(axis=1)

    def _run(self, module: Any, x: Any) -> np.ndarray:
        import torch

        images = as_images(x, self.shape)
        like = next(iter(module.parameters()), images) if hasattr(module, "parameters") else images
        with torch.no_grad():
            parts = [module(part.to(like.device, like.dtype)) for part in images.split(self.batch)]
        found = torch.cat([part.reshape(len(part), -1).double().cpu() for part in parts]).numpy()
        if not np.isfinite(found).all():
            raise ValueError(f"the features of {self.name} are not finite for some images: check the images first")
        return found


def features(data: Dataset, seed: int = 0, steps: int = 200) -> Features:
    """Features for images like ``data``, ``k = 16``: of a classifier if it has labels, of local colours and textures if
    not.

    The classifier is trained in float64, so that rounding differs between machines in digits that nobody reads, on nine
    tenths of ``data``; :attr:`Features.accuracy` is of the last tenth. Digits of 8x8 take about a second.

    Args:
        seed: of weights, batches and division.
        steps: batches of 64 images.

    Raises:
        ValueError: labels of one class only.
    """
    import torch

    _check_classes(data)
    chosen = np.random.default_rng(seed).permutation(len(data))[:2000]
    if data.labels is None:
        module = _texture(as_images(data.data[chosen], data.shape), seed)
        return _standardised(Features(module, data.shape, f"{data.name}, textures"), data.data[chosen])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body, head = _body(data.shape), torch.nn.Linear(KEPT, int(data.labels.max()) + 1, dtype=torch.float64)
        whole = torch.nn.Sequential(body, head)
        accuracy = _trained(whole, data, seed, steps)
    whole.eval().requires_grad_(False)
    return _standardised(Features(body, data.shape, data.name, accuracy, whole), data.data[chosen])


def extractor(
    module: Callable[[Any], Any],
    shape: tuple[int, int, int],
    weights: str | os.PathLike[str] | None = None,
    size: int | None = None,
    name: str = "",
    batch: int = 64,
) -> Features:
    """Features of a network of your own, such as the Inception network of the published FID.

    The packages that bring Inception's weights (clean-fid, torch-fidelity, pytorch-fid, timm) need torchvision, which
    this package does without: build the module with the package of your choice, or bring any other. The numbers of
    papers need exactly their network and their resampling; a distance in other features is another distance.

    Args:
        module: ``(n, c, h, w)`` float32 in ``[-1, 1]`` to ``(n, k)``, or any shape that flattens to it; a torch module
            or a function, which can also repeat grey images in three channels.
        shape: ``(h, w, c)`` of the images to be judged.
        weights: a safetensors file with exactly the module's tensors; default the module as it is.
        size: side to which images are resampled first (bilinear, antialiased), 299 for Inception.

    Raises:
        ValueError: no such file; a pickle or TorchScript archive, which run code when read; tensors that do not fit; a
            module of which weights are wanted but that has none.
    """
    import torch

    if weights is not None:
        if not isinstance(module, torch.nn.Module):
            raise ValueError(f"{type(module).__name__} is no torch module and takes no weights: pass weights=None")
        restore(weights, module, _tensors(weights))
    if isinstance(module, torch.nn.Module):
        module.eval().requires_grad_(False)

    said = name or type(module).__name__
    return Features(_Prepared(module, size), shape, said, batch=batch)


class _Prepared:
    """Resampling before a module."""

    def __init__(self, module: Any, size: int | None) -> None:
        self.module, self.size = module, size

    def parameters(self) -> Any:
        return self.module.parameters() if hasattr(self.module, "parameters") else iter(())

    def __call__(self, x: Any) -> Any:
        import torch

        if self.size is not None:
            side = (self.size, self.size)
            x = torch.nn.functional.interpolate(x, side, mode="bilinear", antialias=True)
        found = self.module(x if isinstance(self.module, torch.nn.Module) else x.float())
        if not isinstance(found, torch.Tensor) or len(found) != len(x):
            raise ValueError(f"the module returned {type(found).__name__} for {len(x)} images: return a tensor of rows")
        return found


def as_images(x: Any, shape: tuple[int, int, int]) -> Any:
    """Rows ``(n, h * w * c)`` or tensors ``(n, c, h, w)`` as a tensor ``(n, c, h, w)``."""
    import torch

    h, w, c = shape
    if isinstance(x, torch.Tensor) and x.ndim == 4:
        if tuple(x.shape[1:]) != (c, h, w):
            raise ValueError(f"images are {tuple(x.shape[1:])}, features want {(c, h, w)}: give images of that shape")
        return x.detach().cpu()
    rows = np.asarray(x.detach().cpu() if isinstance(x, torch.Tensor) else x, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != h * w * c:
        raise ValueError(f"images have shape {rows.shape}, features want (n, {h * w * c}): give rows of that length")
    return torch.from_numpy(np.ascontiguousarray(rows.reshape(-1, h, w, c).transpose(0, 3, 1, 2)))


def as_rows(x: Any) -> np.ndarray:
    """Tensors ``(n, c, h, w)``, or rows, as float64 rows ``(n, h * w * c)``."""
    if not hasattr(x, "detach"):
        return np.asarray(x, dtype=np.float64)
    x = x.detach().double().cpu()
    x = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
    return x.reshape(len(x), -1).numpy()


def _standardised(plain: Features, x: np.ndarray) -> Features:
    found = plain(x)
    return replace(plain, centre=found.mean(axis=0), scale=found.std(axis=0) + 1e-12)


def _texture(images: Any, seed: int) -> Any:
    """Colours and energies of the principal components of windows of 4x4, reduced to :data:`KEPT` principal ones."""
    import torch
    from torch.nn.functional import unfold

    side = min(WINDOW, *images.shape[2:])
    windows = unfold(images, side).transpose(1, 2).reshape(-1, images.shape[1] * side**2)
    rows = np.random.default_rng([seed, 2]).permutation(len(windows))[:20_000]
    filters = _components(windows[rows], windows.shape[1])[1]

    def energies(x: Any) -> Any:
        seen = torch.nn.functional.conv2d(x.double(), filters.T.reshape(-1, x.shape[1], side, side))
        away = seen - seen.mean(dim=(2, 3), keepdim=True)
        return torch.cat([x.double().mean(dim=(2, 3)), (away.square().mean(dim=(2, 3)) + GREY**2).log()], dim=1)

    found = torch.cat([energies(part) for part in images.split(256)])
    centre, scale = found.mean(0), found.std(0) + 1e-12
    kept = _components((found - centre) / scale, KEPT)[1]
    return lambda x: (energies(x) - centre) / scale @ kept


def _components(x: Any, count: int) -> tuple[Any, Any]:
    """Variances and directions of the ``count`` largest principal components of rows."""
    import torch

    values, directions = torch.linalg.eigh(torch.cov(x.T))
    return values.flip(0)[:count], directions.flip(1)[:, :count]


def _body(shape: tuple[int, int, int]) -> Any:
    """Three convolutions, the image halved by the last two, and by the first if it has more than 16 pixels a side."""
    from torch import float64, nn

    h, w, channels = shape
    layers: list[Any] = []
    for width, stride in zip(WIDTHS, (2 if min(h, w) > 16 else 1, 2, 2), strict=True):
        layers += [nn.Conv2d(channels, width, 3, stride, 1, dtype=float64), nn.SiLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, KEPT, dtype=float64))


def _trained(whole: Any, data: Dataset, seed: int, steps: int) -> float:
    """Train by cross-entropy; the accuracy on what was not trained on."""
    import torch

    order = np.random.default_rng(seed).permutation(len(data))
    x = as_images(data.data, data.shape)
    labels = torch.from_numpy(np.asarray(data.labels, dtype=np.int64))
    unseen, seen = np.array_split(order, [max(1, len(data) // 10)])
    optimiser = torch.optim.AdamW(whole.parameters(), 1e-2, weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draw = np.random.default_rng([seed, 1])
    for _ in range(steps):
        chosen = draw.choice(seen, min(64, len(seen)), replace=False)
        loss = torch.nn.functional.cross_entropy(whole(x[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
    with torch.no_grad():
        return float((whole(x[unseen]).argmax(1) == labels[unseen]).double().mean())


def _check_classes(data: Dataset) -> None:
    if data.labels is not None and (data.labels.min() < 0 or len(np.unique(data.labels)) < 2):
        raise ValueError(
            f"{data.name} has the labels {np.unique(data.labels)}: give at least two, from 0 on, or none at all"
        )


def _tensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file: these features need their weights, as safetensors, and fetch nothing")
    try:
        return load_file(path)
    except SafetensorError as error:
        refuse_pickle(path, error)
        raise ValueError(f"{path} is truncated or no safetensors file ({error}): copy it again") from error
