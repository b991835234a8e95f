"""Networks that come with the package; their cards stand beside them in ``diffnum/images/checkpoints``."""

from __future__ import annotations

from pathlib import Path

from ..models import Network
from ..process import Process
from .data import Dataset, load
from .sets import dequantised, divided, patches
from .training import load_network

__all__ = ["available", "card", "digits", "photographs", "pretrained"]

FOLDER = Path(__file__).parent / "checkpoints"


def available() -> tuple[str, ...]:
    """Names for :func:`pretrained`."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def pretrained(name: str, process: Process | None = None, prediction: str = "data", device: str = "cpu") -> Network:
    """A trained network, for plans on any process compiled for any prediction::

        network = dn.images.pretrained("digits")
        x = dn.images.draw(network, 16, labels=3)

    Args:
        name: of :func:`available`; ``"digits"`` draws handwritten digits, ``(n, 1, 8, 8)``, by class, ``"patches"``
            patches of photographs in colour, ``(n, 3, 32, 32)``.
        process: default ``Cosine(0)``.
        prediction: default ``"data"``.

    Raises:
        ValueError: an unknown name, or what is no process.
    """
    _check(name)
    return load_network(FOLDER / f"{name}.safetensors", process, prediction, device)


def card(name: str) -> str:
    """The model card of a network, as Markdown: data, training, errors, and what it cannot do."""
    _check(name)
    return (FOLDER / f"{name}.md").read_text()


def digits() -> tuple[Dataset, Dataset, Dataset]:
    """What ``pretrained("digits")`` was trained on, chosen by, and never saw: scikit-learn's digits, dequantised,
    1397, 200 and 200 images."""
    rest, test = divided(dequantised(load("digits"), greys=17, seed=0), 200, seed=0)
    training, validation = divided(rest, 200, seed=1)
    return training, validation, test


def photographs() -> tuple[Dataset, Dataset, Dataset]:
    """What ``pretrained("patches")`` was trained on, watched by, and never saw: patches of 32x32, 20000 of seven
    photographs, 512 and 4488 of two others."""
    training, held_out = patches(32, 20_000)
    test, validation = divided(held_out, 512, seed=0)
    return training, validation, test


def _check(name: str) -> None:
    if name not in available():
        raise ValueError(f"{name!r} is no network of the package: use one of {', '.join(available()) or 'none'}")
