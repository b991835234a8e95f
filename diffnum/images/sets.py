"""Sets of images made from others: dequantised, divided, or cut into patches."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .dataset import Dataset, Size, check_size, fit_array

__all__ = ["PHOTOGRAPHS", "dequantised", "divided", "patches", "resized"]

SKIMAGE = ("astronaut", "cat", "coffee", "rocket", "immunohistochemistry", "hubble_deep_field", "retina")
SKLEARN = ("china", "flower")
#: photographs in colour that come with scikit-image and scikit-learn, nothing to download
PHOTOGRAPHS = SKIMAGE + SKLEARN


def dequantised(data: Dataset, greys: int = 256, seed: int = 0) -> Dataset:
    """Grey ``k`` of ``greys`` as a uniform number in its cell: ``2 (k + u) / greys - 1``, ``u`` in ``[0, 1)``.

    Values that take a few numbers only have no density; this is the usual cure (Theis et al. 2016), and
    rounding down gives the original back. The digits of scikit-learn have 17 greys, bytes 256.

    Raises:
        ValueError: fewer than 2 greys; values that are not multiples of ``2 / (greys - 1)`` from ``-1``.
    """
    if greys < 2:
        raise ValueError(f"greys = {greys} are too few: use 17 for the digits, 256 for bytes")
    k = (data.data + 1) * (greys - 1) / 2
    whole = np.rint(k)
    if not np.allclose(k, whole, rtol=0, atol=1e-6):
        raise ValueError(f"{data.name} is not made of {greys} greys: dequantise before resizing, with the right greys")
    u = np.random.default_rng(seed).random(k.shape)
    return replace(data, data=2 * (whole + u) / greys - 1)


def resized(data: Dataset, size: Size) -> Dataset:
    """Every image cropped at its centre and resampled (Lanczos) to ``h = w`` or ``(h, w)``, as :func:`load` does with
    ``size``, but after dequantisation; overshoot is cut back to ``[-1, 1]``.

    Raises:
        ValueError: a size that is not positive.
    """
    pair = check_size(size)
    if pair is None:
        raise ValueError("size = None is no image size: use a positive integer or a pair (height, width)")
    images = np.stack([fit_array(image, pair) for image in data.data.reshape(-1, *data.shape)])
    return replace(data, data=images.reshape(len(images), -1), shape=(*pair, data.shape[2]))


def divided(data: Dataset, held_out: int | float = 0.1, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Training and held-out images, drawn without replacement by ``seed``; of each class the same share, to one image.

    Args:
        held_out: how many, or a share below 1.

    Raises:
        ValueError: fewer than 2 images left on either side.
    """
    n = len(data)
    count = round(held_out * n) if held_out < 1 else int(held_out)
    if not 2 <= count <= n - 2:
        raise ValueError(f"held_out = {held_out} of {n} images leaves fewer than 2 on one side: hold out 2 to {n - 2}")
    order = np.random.default_rng(seed).permutation(n)
    if data.labels is not None:
        # every count-th of n / count of the images sorted by class
        order = order[np.argsort(data.labels[order], kind="stable")]
        chosen = np.zeros(n, dtype=bool)
        chosen[order[(np.arange(count) * n + n // 2) // count]] = True
    else:
        chosen = np.isin(np.arange(n), order[:count])
    return _rows(data, ~chosen, "training"), _rows(data, chosen, "held out")


def patches(
    size: int = 32, n: int = 4000, held_out: tuple[str, ...] = ("coffee", "flower"), scale: int = 2, seed: int = 0
) -> tuple[Dataset, Dataset]:
    """Square patches in colour of :data:`PHOTOGRAPHS`, divided by photograph: no held-out patch shares a pixel with a
    training one.

    Args:
        size: side of a patch in pixels.
        n: training patches; the held-out set has ``n // 4``. Photographs contribute in proportion to their area.
        held_out: photographs of the held-out set.
        scale: photographs are reduced by this factor first (the mean of ``scale`` by ``scale`` pixels), so that a patch
            shows more.
        seed: of places and mirrorings; half of the patches are mirrored.

    Returns:
        Training and held-out patches, byte values not dequantised unless ``scale`` averaged them.

    Raises:
        ValueError: an unknown photograph, none or all held out, a patch larger than a reduced photograph.
    """
    unknown = set(held_out) - set(PHOTOGRAPHS)
    if unknown or not 0 < len(set(held_out)) < len(PHOTOGRAPHS):
        raise ValueError(
            f"held_out = {held_out} is no proper part of the photographs: choose of {', '.join(PHOTOGRAPHS)}"
        )
    rest = tuple(name for name in PHOTOGRAPHS if name not in held_out)
    first = _patches(rest, size, n, scale, seed)
    return (
        Dataset(first, (size, size, 3), f"patches of {', '.join(rest)}"),
        Dataset(
            _patches(held_out, size, max(n // 4, 2), scale, seed + 1),
            (size, size, 3),
            f"patches of {', '.join(held_out)}",
        ),
    )


def _rows(data: Dataset, chosen: np.ndarray, part: str) -> Dataset:
    labels = None if data.labels is None else data.labels[chosen]
    return Dataset(data.data[chosen], data.shape, f"{data.name}, {part}", labels)


def _photograph(name: str) -> np.ndarray:
    if name in SKLEARN:
        from sklearn.datasets import load_sample_image

        return np.asarray(load_sample_image(f"{name}.jpg"))
    try:
        import skimage.data
    except ImportError as error:
        raise ValueError(f"{name} comes with scikit-image, which is absent: pip install diffnum[images]") from error
    return np.asarray(getattr(skimage.data, name)())


def _patches(names: tuple[str, ...], size: int, n: int, scale: int, seed: int) -> np.ndarray:
    reduced = [_reduced(_photograph(name), scale) for name in names]
    for name, photograph in zip(names, reduced, strict=True):
        if min(photograph.shape[:2]) < size:
            raise ValueError(
                f"{name} is {photograph.shape[:2]} after scale = {scale}, below {size}: use a smaller scale"
            )
    rng = np.random.default_rng([seed, size, scale])
    areas = np.array([math.prod(photograph.shape[:2]) for photograph in reduced], dtype=float)
    found = np.empty((n, size, size, 3))
    for i, which in enumerate(rng.choice(len(names), n, p=areas / areas.sum())):
        h, w, _ = reduced[which].shape
        top, left = rng.integers(h - size + 1), rng.integers(w - size + 1)
        patch = reduced[which][top : top + size, left : left + size]
        found[i] = patch[:, ::-1] if rng.random() < 0.5 else patch
    return found.reshape(n, -1) / 127.5 - 1.0


def _reduced(photograph: np.ndarray, scale: int) -> np.ndarray:
    if scale < 1:
        raise ValueError(f"scale = {scale} is no reduction: use an integer of at least 1")
    h, w = photograph.shape[0] // scale, photograph.shape[1] // scale
    return photograph[: h * scale, : w * scale].reshape(h, scale, w, scale, 3).mean(axis=(1, 3))
