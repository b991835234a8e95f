"""A set of images: rows of float64 with a shape, a name and perhaps classes; and how they are cropped and resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Dataset", "Size", "check_labels", "check_size", "check_values", "fit_array", "spread"]

Size = int | tuple[int, int]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of one shape as rows.

    Attributes:
        data: float64 of shape ``(n, d)`` in ``[-1, 1]``, ``d = h * w * c``, row-major, channels last.
        shape: ``(h, w, c)`` with ``c`` 1 (grey) or 3 (colour).
        name: where it comes from, for titles.
        labels: integer classes of shape ``(n,)``, or None.

    Raises:
        ValueError: fewer than two images, NaN or infinite values, values outside ``[-1, 1]``, or shapes that
            do not fit together.
    """

    data: np.ndarray
    shape: tuple[int, int, int]
    name: str
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, d = self.data.shape
        if n < 2:
            raise ValueError(f"{self.name} holds {n} image{'s' * (n != 1)}: a distribution needs at least 2")
        if d != int(np.prod(self.shape)):
            raise ValueError(f"{self.name} has {d} values per image, which is not the shape {self.shape}: reshape it")
        check_values(self.name, self.data)
        check_labels(self.name, self.labels, n)

    @property
    def dim(self) -> int:
        """Values per image, ``d``."""
        return self.data.shape[1]

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        h, w, c = self.shape
        return f"Dataset({self.name!r}: {len(self)} images of {h}x{w}x{c}{', labelled' * (self.labels is not None)})"


def fit_array(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Centre crop and Lanczos of a float image ``(h, w, c)``; overshoot is cut back to ``[-1, 1]`` as for bytes."""
    from PIL import Image, ImageOps

    channels = [Image.fromarray(np.ascontiguousarray(image[..., k], dtype=np.float32)) for k in range(image.shape[2])]
    wide = (size[1], size[0])
    fitted = [np.asarray(ImageOps.fit(c, wide, Image.Resampling.LANCZOS), dtype=np.float64) for c in channels]
    return np.clip(np.stack(fitted, axis=-1), -1.0, 1.0)


def check_values(name: str, images: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(images).all(axis=tuple(range(1, images.ndim))))
    if len(bad):
        raise ValueError(f"image {bad[0]} of {name} holds NaN or infinite values: repair or remove it")
    low, high = images.min(initial=0.0), images.max(initial=0.0)
    if low < -1 or high > 1:
        raise ValueError(f"values of {name} run from {low:.4g} to {high:.4g}: scale floats to [-1, 1], or give bytes")


def check_labels(name: str, labels: np.ndarray | None, n: int) -> None:
    if labels is not None and not (labels.shape == (n,) and np.issubdtype(labels.dtype, np.integer)):
        raise ValueError(
            f"labels of {name} are {labels.dtype} of shape {labels.shape} for {n} images: give an integer for each"
        )


def check_size(size: Size | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in pair):
        raise ValueError(f"size = {size!r} is no image size: use a positive integer or a pair (height, width)")
    return pair[0], pair[1]


def spread(n: int, limit: int | None) -> np.ndarray:
    count = n if limit is None else min(n, limit)
    return np.arange(count) * n // max(count, 1)
