"""What a design is made for: samples in the units that the network sees, or a spectrum."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..images import load
from ..images.data import Size

__all__ = ["classes_of", "convention_of", "samples"]


def samples(
    source: str | os.PathLike[str], size: Size | None = None, limit: int | None = None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """``(data, spectrum)``, one of them None.

    Args:
        source: whatever :func:`diffnum.images.load` takes; or an array file with floats of any size and shape
            ``(n, ...)``, such as latents, taken as they are; or one of one axis, a spectrum: variances.
        size, limit: of images; ``limit`` of any samples.

    Raises:
        ValueError: nothing there, or not readable; numbers that are not finite; a size for what is no image.
    """
    path = Path(source)
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        array = _array(path)
        if array is not None:
            if size is not None:
                raise ValueError(f"{path} holds numbers and not images, which have no size to change: leave --size out")
            if array.ndim == 1:
                return None, array
            step = 1 if limit is None else max(1, -(-len(array) // limit))
            return array[::step], None
    found = load(source, size=size, limit=limit)
    return found.data.reshape(len(found), *found.shape), None


def classes_of(source: str | os.PathLike[str], limit: int | None = None) -> np.ndarray:
    """The labels of what :func:`samples` takes from ``source``.

    Raises:
        ValueError: data without labels.
    """
    try:
        labels = load(source, limit=limit).labels
    except ValueError as error:
        raise ValueError(f"guidance needs classes, and {source} gives none ({error})") from error
    if labels is None:
        raise ValueError(f"guidance needs classes, and {source} has none: give an .npz of images with 'labels'")
    return labels


def _array(path: Path) -> np.ndarray | None:
    """Floats that are no images in ``[-1, 1]``; None for what :func:`diffnum.images.load` reads."""
    try:
        with open(path, "rb") as file:
            stored: Any = np.load(file, allow_pickle=False)
            arrays = [stored] if isinstance(stored, np.ndarray) else [stored[name] for name in stored.files]
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an array ({error}): save it with numpy.save") from error
    if len(arrays) != 1 or arrays[0].dtype.kind != "f":
        return None
    array = arrays[0].astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{path} holds {np.sum(~np.isfinite(array))} numbers that are not finite: remove them first")
    images = array.ndim in (3, 4) and array.shape[-1] in (1, 3) and np.abs(array).max() <= 1
    return None if images else array


def convention_of(pipeline: str | os.PathLike[str]) -> Any:
    """Process and prediction of a saved diffusers pipeline, from the config of its scheduler; nothing is loaded.

    Args:
        pipeline: its folder, that of its scheduler, or the config itself.

    Raises:
        ValueError: no config there, or one that is unknown.
    """
    from ..models.convention import completed, convention

    path = Path(pipeline)
    places = [path / "scheduler" / "scheduler_config.json", path / "scheduler_config.json", path]
    for place in places:
        if place.is_file():
            try:
                config = json.loads(place.read_text())
            except ValueError as error:
                raise ValueError(f"{place} is no JSON ({error}): give the folder of a saved pipeline") from error
            return convention(completed(config))
    raise ValueError(f"{path} holds no scheduler/scheduler_config.json: give the folder of a saved diffusers pipeline")
