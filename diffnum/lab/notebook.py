"""What every notebook does in the same way: it shows a figure in the project's style, and it ends with a footer."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..figures import image_grid, inks, panels, save, style
from ..figures.sheet import SOFT, made_with
from ..images import to_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["doublings", "figure", "footer", "strips", "theory_and_dots"]

DPI = 120


@contextmanager
def figure(
    columns: int = 1,
    rows: int = 1,
    size: tuple[float, float] | None = None,
    colours: int | None = None,
    to: str | os.PathLike[str] = "",
    numbers: Mapping[str, Any] | None = None,
    rerun: str = "",
) -> Iterator[Any]:
    """Axes to draw on; the figure appears below the cell when the ``with`` block ends.

    It is a PNG whatever matplotlib's backend, shown at the size at which its letters are those of the text around
    it; the titles of its panels are its text for those who cannot see it.

    Args:
        columns, rows: of panels.
        size: of the whole in inches, as in :func:`diffnum.figures.panels`.
        colours: a palette of so many, at most 256, for the picture below the cell: many fine lines make a large file.
        to: a file to write it to as well, as PNG and SVG with ``numbers`` and ``rerun`` as in
            :func:`diffnum.figures.save`; none if empty.

    Yields:
        The axes of a single panel, or an array of them (flat where there is one row).
    """
    from IPython.display import Image, display

    buffer = BytesIO()
    with style():
        fig, axes = panels(rows, columns, size)
        yield axes[0, 0] if axes.size == 1 else axes[0] if rows == 1 else axes
        fig.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    png = buffer.getvalue() if colours is None else _reduced(buffer, colours)
    width = int.from_bytes(png[16:20], "big")  # the header's, since the margins were cut
    titles = "; ".join(filter(None, (ax.get_title(loc="left") for ax in axes.flat)))
    display(Image(png, width=round(width * 96 / DPI), alt=titles or None))
    if to:
        save(fig, to, numbers or {}, rerun, svg=True)


def _reduced(png: BytesIO, colours: int) -> bytes:
    from PIL import Image

    small = BytesIO()
    with Image.open(png) as image:
        # the method that keeps rare colours, such as those of names
        image.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE).save(small, "png", optimize=True)
    return small.getvalue()


def theory_and_dots(ax: Axes, x: Any, theory: Mapping[str, Any], at: Any, dots: Mapping[str, Any]) -> None:
    """Curves of a formula with what was measured as dots of the same colour, and a legend of the names.

    Args:
        x, theory: abscissae ``(n,)`` and name to ordinates ``(n,)``.
        at, dots: the same for the dots, ``(k,)``, with the names of ``theory``.
    """
    for name, ink in inks(theory).items():
        ax.plot(x, theory[name], color=ink.colour, label=name)
        ax.plot(at, dots[name], "o", color=ink.colour, ms=3.8)
    ax.legend()


def strips(ax: Axes, rows: Any, shape: Sequence[int], labels: Sequence[str]) -> None:
    """Rows of images with a label above each column.

    Args:
        rows: ``(rows, columns, d)``, values in ``[-1, 1]``.
        shape: ``(h, w, c)`` of one image.
        labels: one per column.
    """
    images = to_images(rows, shape)
    image_grid(ax, images, len(labels))
    wide = images.shape[2]
    whole = ax.get_images()[0].get_array().shape[1]  # pyright: ignore[reportOptionalMemberAccess]
    pitch = (whole - wide) / max(1, len(labels) - 1)
    for k, label in enumerate(labels):
        ax.text(pitch * k + (wide - 1) / 2, -0.5 - 0.1 * wide, label, ha="center", fontsize=9, color=SOFT)


def doublings(errors: Any) -> str:
    """Slopes between neighbours of errors at doubling numbers of steps, to one decimal, for printing."""
    return " ".join(f"{math.log2(a / b):.1f}" for a, b in pairwise(errors))


def footer(command: str) -> None:
    """Print versions, machine and the ``command`` that runs the notebook again."""
    made = made_with()
    print("versions ", ", ".join(f"{name} {made[name]}" for name in made if name != "machine"))
    print(f"machine   {made['machine']}\nrerun     {command}")
