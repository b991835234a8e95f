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
            ``(n, ...)``, such as latents, taken as they are; or one of one axis, a spectrum: variances. An ``.npz`` has
            one array, and ``labels`` beside it if there are any.
        size, limit: of images; ``limit`` of any samples.

    Raises:
        ValueError: nothing there, or not readable; numbers that are not finite or no floats; a size for what is no
            image.
    """
    _check_limit(limit)
    path = Path(source)
    if (array := _array(path)) is not None:
        if size is not None:
            raise ValueError(f"{path} holds numbers and not images, which have no size to change: leave --size out")
        return (None, array) if array.ndim == 1 else (_spread(array, limit), None)
    found = load(source, size=size, limit=limit)
    return found.data.reshape(len(found), *found.shape), None


def classes_of(source: str | os.PathLike[str], limit: int | None = None) -> np.ndarray:
    """The labels of what :func:`samples` takes from ``source``.

    Raises:
        ValueError: data without labels, or with another number of them.
    """
    path = Path(source)
    remedy = "give an .npz with 'labels' beside its array"
    if (array := _array(path)) is not None:
        labels = _stored(path).get("labels")
        if labels is None:
            raise ValueError(f"guidance needs classes, and {source} has none: {remedy}")
        if labels.shape != (len(array),):
            raise ValueError(f"{path} holds labels of shape {labels.shape} for {len(array)} samples: give one for each")
        return _spread(labels, limit)
    labels = load(source, limit=limit).labels
    if labels is None:
        raise ValueError(f"guidance needs classes, and {source} has none: {remedy}")
    return labels


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 2:
        raise ValueError(f"--limit {limit} leaves no data set: use a whole number of at least 2")


def _spread(array: np.ndarray, limit: int | None) -> np.ndarray:
    return array if limit is None else array[:: max(1, -(-len(array) // limit))]


def _array(path: Path) -> np.ndarray | None:
    """Floats that are no images in ``[-1, 1]``; None for what :func:`diffnum.images.load` reads."""
    if path.suffix.lower() not in (".npy", ".npz") or not path.is_file():
        return None
    arrays = {name: array for name, array in _stored(path).items() if name != "labels"}
    if len(arrays) != 1:
        if "images" in arrays:
            return None
        raise ValueError(
            f"{path} holds the arrays {', '.join(arrays) or 'none'}: save one, and 'labels' if there are any"
        )
    (array,) = arrays.values()
    if array.ndim == 0 or array.dtype.kind != "f":
        if array.ndim in (3, 4) and array.dtype.kind in "iu":
            return None
        raise ValueError(
            f"{path} holds {array.dtype} of shape {array.shape}: save samples as floats of shape (n, ...), variances "
            "as floats of shape (d,), images as uint8"
        )
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{path} holds {np.sum(~np.isfinite(array))} numbers that are not finite: remove them first")
    images = array.ndim in (3, 4) and array.shape[-1] in (1, 3) and np.abs(array).max(initial=0) <= 1
    return None if images else array


def _stored(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            stored: Any = np.load(file, allow_pickle=False)
            return {"": stored} if isinstance(stored, np.ndarray) else {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an array ({error}): save it with numpy.save") from error


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
            if not isinstance(config, dict):
                raise ValueError(f"{place} holds a JSON {type(config).__name__}: give the folder of a saved pipeline")
            return convention(completed(config))
    raise ValueError(f"{path} holds no scheduler/scheduler_config.json: give the folder of a saved diffusers pipeline")
