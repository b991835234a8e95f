"""The style, and what is written: the picture, its numbers and its footer."""

from __future__ import annotations

import json
import math
import os
import platform
import textwrap
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FAINT", "SOFT", "TEXT", "Ink", "footer", "inks", "made_with", "panels", "read_numbers", "save", "style"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.4)), (0, (1.2, 1.2)), (0, (6, 1.4, 1.2, 1.4)))
_MARKERS = ("o", "s", "^", "D")
TEXT, SOFT, FAINT = "#222222", "#8a8a8a", "#d9d9d9"
_DPI = 160


@dataclass(frozen=True)
class Ink:
    """How one curve is drawn: ``colour``, matplotlib line style ``dash`` and ``marker``."""

    colour: str
    dash: Any = "-"
    marker: str = "o"

    @property
    def dark(self) -> str:
        """The colour as text, a third darker: pale hues are legible as lines but not as letters."""
        parts = (int(self.colour[k : k + 2], 16) for k in (1, 3, 5))
        return "#" + "".join(f"{round(0.72 * part):02x}" for part in parts)


def inks(names: Collection[str]) -> dict[str, Ink]:
    """An ink for each name, distinct up to 28 of them.

    Ask once for all names of a report and hand the result to every figure, so that a sampler keeps its colour.
    """
    cycle = len(_COLOURS)
    return {
        name: Ink(_COLOURS[k % cycle], _DASHES[k // cycle % 4], _MARKERS[k // cycle % 4])
        for k, name in enumerate(names)
    }


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults with this project's style on top, for the length of a ``with`` block."""
    from cycler import cycler
    from matplotlib import style as styles

    ours: dict[str, Any] = {
        "axes.axisbelow": True,
        "axes.edgecolor": SOFT,
        "axes.grid": True,
        "axes.labelcolor": TEXT,
        "axes.labelsize": 11,
        "axes.linewidth": 0.7,
        "axes.prop_cycle": cycler(color=_COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlepad": 9,
        "axes.titlesize": 12,
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "figure.figsize": (7.2, 4.4),
        "figure.titlesize": 13,
        "font.size": 11,
        "grid.color": "#ececec",
        "grid.linewidth": 0.7,
        "image.interpolation": "nearest",
        "legend.fontsize": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.7,
        "lines.markersize": 5,
        "savefig.dpi": _DPI,
        "savefig.facecolor": "white",
        "svg.fonttype": "none",
        "svg.hashsalt": "diffnum",
        "text.color": TEXT,
        "xtick.color": SOFT,
        "xtick.labelcolor": TEXT,
        "xtick.labelsize": 10,
        "xtick.major.width": 0.7,
        "xtick.minor.width": 0.5,
        "ytick.color": SOFT,
        "ytick.labelcolor": TEXT,
        "ytick.labelsize": 10,
        "ytick.major.width": 0.7,
        "ytick.minor.width": 0.5,
    }
    with styles.context(ours, after_reset=True):
        yield


def panels(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, an array of shape ``(rows, columns)``, without pyplot, windows or global state.

    Args:
        size: width and height in inches of the whole; by default 7.2 x 4.4 for one panel, narrower ones beside
            each other.
    """
    from matplotlib.figure import Figure

    with style():
        fig = Figure(figsize=size or (7.2 if columns == 1 else 5.4 * columns, 4.4 * rows), layout="compressed")
        return fig, fig.subplots(rows, columns, squeeze=False)


def save(
    fig: Figure, path: str | os.PathLike[str], numbers: Mapping[str, Any], rerun: str, svg: bool = False
) -> tuple[Path, ...]:
    """Write ``fig`` with its footer as PNG, its numbers beside it as JSON, and on request an SVG; whole or not at all.

    Args:
        path: ends in ``.png``; the others take its stem. Missing folders are made.
        numbers: what the figure shows: names to arrays, tensors, numbers, strings, or such mappings again. NaN and
            infinities are written as strings, which ``float`` reads.
        rerun: the command that makes the figure again.

    Returns:
        The files written, the PNG first.

    Raises:
        ValueError: another suffix, no numbers, or numbers that are not real.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"{path} does not end in .png: a figure is saved as PNG, with svg=True also as SVG")
    if not numbers:
        raise ValueError(f"the figure {path.name} has no numbers: pass what it shows as numbers={{name: array}}")
    text = json.dumps({"rerun": rerun, "made_with": made_with(), "numbers": _plain(numbers)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = {path.with_suffix(suffix): path.with_suffix(suffix + ".part") for suffix in (".png", ".json")}
    if svg:
        parts[path.with_suffix(".svg")] = path.with_suffix(".svg.part")
    footer(fig, rerun)
    try:
        for final, part in parts.items():
            if final.suffix == ".json":
                part.write_text(text + "\n")
            else:
                _draw(fig, part, final.suffix[1:])
        for final, part in parts.items():
            part.replace(final)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return tuple(parts)


def _draw(fig: Figure, path: Path, kind: str) -> None:
    # without a date the same figure gives the same bytes
    dated = {"Date": None} if kind == "svg" else None
    with style():
        fig.savefig(path, format=kind, bbox_inches="tight", pad_inches=0.12, metadata=dated)


def read_numbers(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The numbers that :func:`save` put beside a figure, lists as arrays; ``path`` is that of any of its files."""
    return _arrays(json.loads(Path(path).with_suffix(".json").read_text())["numbers"])


def footer(fig: Figure, rerun: str) -> None:
    """Put versions, machine and the command ``rerun`` in small grey letters under all that ``fig`` shows, once."""
    for old in [text for text in fig.texts if text.get_gid() == "footer"]:
        old.remove()
    made = made_with()
    width = int(fig.get_figwidth() * 72 / 4.1)
    first = " · ".join([*(f"{name} {made[name]}" for name in ("diffnum", "torch", "numpy")), made["machine"]])
    text = "\n".join([first, *textwrap.wrap(f"rerun: {rerun}", width, subsequent_indent="    ")])
    fig.draw_without_rendering()
    box = fig.get_tightbbox()
    # in fractions of the figure: positions in inches are lost when a picture is saved with its margins cut
    x, y = (box.x0 + 0.04) / fig.get_figwidth(), (box.y0 - 0.1) / fig.get_figheight()
    fig.text(x, y, text, va="top", fontsize=7, color=SOFT, linespacing=1.4, gid="footer")


def made_with() -> dict[str, str]:
    """Versions of what made a result, and the machine, for footers and records."""
    found = {}
    for name in ("diffnum", "torch", "numpy", "matplotlib"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "0+unknown"
    cores = os.cpu_count() or 1
    return found | {"python": platform.python_version(), "machine": f"{platform.machine()}, {cores} cores"}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "biufU":
        raise ValueError(f"{value!r} is no number that JSON can hold: pass real arrays, numbers or strings")
    return _plain(array.tolist())


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _arrays(entry) for name, entry in value.items()}
    if not isinstance(value, list):
        return value
    try:
        return np.array(value, dtype=np.float64)
    except ValueError:
        return np.array(value, dtype=object)
