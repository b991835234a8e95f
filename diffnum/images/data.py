"""Images as vectors: the handwritten digits, a folder of pictures, an array file, or a set of the hub.

Whatever the source, one image is one row of float64 in ``[-1, 1]``: bytes by ``x / 127.5 - 1``, 16-bit greys by
``x / 32767.5 - 1``. Nothing is guessed: pictures of several sizes, a mixture of grey and colour or transparent
ones are refused by a sentence that says what to do.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from .dataset import Dataset, Size, check_labels, check_size, check_values, fit_array, spread
from .hub import from_hub

__all__ = ["Dataset", "load", "to_images"]

_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
_ARRAYS = {".npy", ".npz"}


def load(source: str | os.PathLike[str], size: Size | None = None, limit: int | None = None) -> Dataset:
    """Images from ``source``.

    Args:
        source: ``"digits"``, scikit-learn's 1797 handwritten digits of 8x8 in 17 greys, with labels; or a folder,
            searched in depth for PNG, JPEG, BMP, GIF, WebP, TIFF and PNM files (of several frames the first, hidden
            files skipped, sorted by path); or a ``.npy`` or ``.npz`` file of shape ``(n, h, w)`` or ``(n, h, w, c)``:
            uint8, uint16, or floats that already lie in ``[-1, 1]``. In an ``.npz`` the only array, or the one called
            ``images``, with ``labels`` beside it if there are any; or ``"hub:ylecun/mnist"``, a set of the Hugging Face
            hub by its id (:func:`diffnum.images.from_hub`), and ``"hub:ylecun/mnist:test"`` another split than
            ``train``.
        size: ``h = w`` or ``(h, w)`` to which every image is cropped at its centre and resampled (Lanczos).
        limit: take this many images, evenly spaced over all.

    Raises:
        ValueError: nothing there, no images, an unreadable file, mixed sizes or colours, transparency, fewer
            than two images, NaN; one sentence with the path and the remedy.
    """
    size = check_size(size)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 2):
        raise ValueError(f"limit = {limit!r} leaves no data set: use an integer of at least 2, or None for all")
    if source == "digits":
        return _digits(size, limit)
    if isinstance(source, str) and source.startswith("hub:"):
        name, _, split = source.removeprefix("hub:").partition(":")
        return from_hub(name, split or "train", size, limit)
    path = Path(source)
    if path.is_dir():
        return _folder(path, size, limit)
    if not path.exists():
        raise ValueError(
            f"{path} does not exist: give a folder of images, a .npy or .npz file, 'hub:' and the id of a "
            "set, or 'digits' for the built-in ones"
        )
    if path.suffix.lower() in _ARRAYS:
        arrays = _arrays(path)
        labels = arrays.pop("labels", None)
        images = _unit(path, _images(path, arrays))
        check_labels(str(path), labels, len(images))
        return _dataset(images, labels, size, limit, path.name)
    raise ValueError(f"{path} is one file: give the folder that holds the images, or a .npy or .npz file")


def to_images(x: Any, shape: Sequence[int]) -> np.ndarray:
    """Rows back to pictures: uint8 of shape ``(n, h, w, c)``, values beyond ``[-1, 1]`` shown as black or white.

    Args:
        x: array or tensor of shape ``(n, h * w * c)``, or any that reshapes to it.
        shape: ``(h, w, c)``.

    Raises:
        ValueError: NaN in ``x``, which has no colour.
    """
    if hasattr(x, "detach"):
        x = x.detach().double().cpu().numpy()
    x = np.asarray(x, dtype=np.float64)
    if np.isnan(x).any():
        raise ValueError(f"{int(np.isnan(x).sum())} of {x.size} values are NaN and have no colour: mend the run first")
    return np.rint((np.clip(x, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8).reshape(-1, *shape)


def _digits(size: tuple[int, int] | None, limit: int | None) -> Dataset:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return _dataset(digits.images[..., None] / 8.0 - 1.0, digits.target, size, limit, "digits")


def _dataset(
    images: np.ndarray, labels: np.ndarray | None, size: tuple[int, int] | None, limit: int | None, name: str
) -> Dataset:
    keep = spread(len(images), limit)
    images = images[keep]
    if size is not None and len(images):
        images = np.stack([fit_array(image, size) for image in images])
    h, w, c = images.shape[1:]
    return Dataset(images.reshape(len(images), h * w * c), (h, w, c), name, None if labels is None else labels[keep])


def _folder(path: Path, size: tuple[int, int] | None, limit: int | None) -> Dataset:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _PICTURES and not p.name.startswith("."))
    if not files:
        kinds = " ".join(sorted(_PICTURES))
        raise ValueError(f"{path} holds no images: put at least 2 files of {kinds} there, or name another folder")
    files = [files[i] for i in spread(len(files), limit)]
    first = _picture(files[0], size)
    images = np.empty((len(files), *first.shape))
    for i, file in enumerate(files):
        image = first if i == 0 else _picture(file, size)
        if image.shape[2] != first.shape[2]:
            kinds = {1: "grey", 3: "in colour"}
            raise ValueError(
                f"{file} is {kinds[image.shape[2]]} and {files[0]} is {kinds[first.shape[2]]}: convert them to one kind"
            )
        if image.shape != first.shape:
            raise ValueError(
                f"{file} is {_by(image)} and {files[0]} is {_by(first)}: give size= to crop and resample them to one"
            )
        images[i] = image
    return Dataset(images.reshape(len(files), -1), first.shape, path.resolve().name or str(path))


def _by(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _picture(file: Path, size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is not a readable image ({error}): repair or remove it") from error
    if image.mode.startswith("I"):
        return _deep_grey(file, image, size)
    image = _opaque(file, image)
    if size is not None:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.float64)
    return pixels.reshape(*pixels.shape[:2], -1) / 127.5 - 1.0


def _opaque(file: Path, image: Any) -> Any:
    """``image`` in mode L or RGB."""
    if image.has_transparency_data:
        if image.convert("RGBA").getextrema()[3][0] < 255:
            raise ValueError(f"{file} is transparent: flatten it onto a background first")
        return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode in ("P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"):
        return image.convert("RGB")
    raise ValueError(f"{file} has pixels of mode {image.mode!r}: save it as 8-bit grey or colour")


def _deep_grey(file: Path, image: Any, size: tuple[int, int] | None) -> np.ndarray:
    pixels = np.asarray(image, dtype=np.float64)[..., None]
    if not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError(f"{file} has greys from {pixels.min():g} to {pixels.max():g}: save it with 8 or 16 bits")
    image = pixels / 32767.5 - 1.0
    return image if size is None else fit_array(image, size)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"images": loaded}
        with loaded:
            return dict(loaded)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a readable array file ({error}): save it again with numpy.save") from error


def _images(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if "images" not in arrays and len(arrays) != 1:
        raise ValueError(f"{path} holds the arrays {', '.join(arrays) or 'none'}: call the one to use 'images'")
    return arrays["images"] if "images" in arrays else next(iter(arrays.values()))


def _unit(path: Path, images: np.ndarray) -> np.ndarray:
    """To float64 ``(n, h, w, c)`` in ``[-1, 1]``."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"{path} has shape {images.shape}: give images as (n, h, w) or (n, h, w, c)")
    if images.shape[3] not in (1, 3):
        hint = "move the channels last" if images.shape[1] in (1, 3) else "use 1 for grey or 3 for colour"
        raise ValueError(f"{path} has shape {images.shape}, that is {images.shape[3]} channels: {hint}")
    if images.dtype in (np.uint8, np.uint16):
        return images / (np.iinfo(images.dtype).max / 2) - 1.0
    if np.issubdtype(images.dtype, np.floating):
        # before any resampling, whose overshoot is cut back
        check_values(str(path), images)
        return images.astype(np.float64)
    raise ValueError(f"{path} holds {images.dtype}: save it as uint8, uint16, or floats in [-1, 1]")
