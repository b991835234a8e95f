"""Sets of images of the Hugging Face hub, by id."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dataset import Dataset, Size, check_size, spread

__all__ = ["from_hub", "of_columns"]


def from_hub(
    name: str, split: str = "train", size: Size | None = None, limit: int | None = None, **options: Any
) -> Dataset:
    """Images of a set of the Hugging Face hub by its id, such as ``"ylecun/mnist"``, through the package ``datasets``;
    ``load("hub:ylecun/mnist")`` is the same.

    The first column that holds images is taken, and the first that holds classes as labels.

    Args:
        size: side, or ``(h, w)``, to which every image is cropped at its centre and resampled (Lanczos).
        limit: take this many images, evenly spaced over all.
        options: of ``datasets.load_dataset``, such as ``revision`` or ``data_dir``.

    Raises:
        ValueError: ``datasets`` is not installed; no such set or no way to it; no column of images; images of several
            sizes without ``size``.
    """
    try:
        import datasets  # type: ignore[import-not-found]
    except ImportError as error:
        raise ValueError(f"{name} is read by the package datasets, which is absent: pip install datasets") from error
    try:
        table = datasets.load_dataset(name, split=split, **options)
    except OSError as error:
        # among them what datasets raises for an unknown id and without a network
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"{name} was not loaded from the hub ({reason}): check its id and the network") from error
    return of_columns(table, name, size, limit)


def of_columns(table: Any, name: str, size: Size | None = None, limit: int | None = None) -> Dataset:
    """A table of ``datasets`` (``table.features``, rows as dictionaries) as a :class:`Dataset`."""
    from PIL import Image, ImageOps

    kinds = {column: type(kind).__name__ for column, kind in table.features.items()}
    pictured = next((c for c, kind in kinds.items() if kind == "Image"), None)
    if pictured is None:
        raise ValueError(f"{name} has the columns {', '.join(kinds)}, none of images: choose another set")
    labelled = next((c for c, kind in kinds.items() if kind == "ClassLabel"), None)
    pair, chosen = check_size(size), spread(len(table), limit)
    count = len(chosen)
    if count < 2:
        raise ValueError(f"{name} gives {count} image{'s' * (count != 1)}: a distribution needs at least 2")
    images, labels = [], []
    for i in chosen.tolist():
        row = table[i]
        image = row[pictured].convert("L" if row[pictured].mode in ("1", "L", "LA") else "RGB")
        image = image if pair is None else ImageOps.fit(image, (pair[1], pair[0]), Image.Resampling.LANCZOS)
        pixels = np.asarray(image, dtype=np.float64)
        images.append(pixels.reshape(*pixels.shape[:2], -1) / 127.5 - 1.0)
        labels.append(-1 if labelled is None else row[labelled])
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"image {i} of {name} is {images[-1].shape} and the first {images[0].shape}: give size=, and one kind "
                "of colour"
            )
    stacked = np.stack(images)
    return Dataset(stacked.reshape(count, -1), stacked.shape[1:], name, None if labelled is None else np.array(labels))
