"""A small picture of every notebook beside its line in ``notebooks/README.md``: ``python -m diffnum.lab.gallery``.

The picture is the one of the notebook's figures, as committed, whose cell is tagged ``picture``, or else its first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from io import BytesIO
from pathlib import Path

__all__ = ["figure_of", "made_from", "update"]

WIDTH = 340
_FOLDER = "figures/small"


def figure_of(notebook: Path) -> bytes:
    """The PNG that stands for a notebook.

    Raises:
        ValueError: it has no figure.
    """
    found: list[tuple[bool, str]] = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        tagged = "picture" in cell["metadata"].get("tags", [])
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                found.append((tagged, "".join(png)))
    if not found:
        raise ValueError(f"{notebook.name} has no figure among its outputs: run it, or give it one")
    return base64.b64decode(next((png for tagged, png in found if tagged), found[0][1]))


def made_from(small: Path) -> str:
    """SHA-256 of the figure that a small picture was made from."""
    from PIL import Image

    with Image.open(small) as image:
        return str(image.info.get("made from", ""))


def update(folder: Path) -> list[Path]:
    """Make the small pictures of all notebooks in ``folder``, and put each before its line of the table in README.md.

    Returns:
        The pictures that were made anew; the others are of the same figures still.

    Raises:
        ValueError: a notebook without a figure, or without a line in the table.
    """
    readme = folder / "README.md"
    text, made = readme.read_text(encoding="utf-8"), []
    for notebook in sorted(folder.glob("*.ipynb")):
        png, small = figure_of(notebook), folder / _FOLDER / f"{notebook.stem}.png"
        if not small.is_file() or made_from(small) != hashlib.sha256(png).hexdigest():
            small.parent.mkdir(parents=True, exist_ok=True)
            small.write_bytes(_small(png))
            made.append(small)
        text = _with_picture(text, notebook.stem)
    readme.write_text(text, encoding="utf-8")
    return made


def _small(png: bytes) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told, out = PngInfo(), BytesIO()
    told.add_text("made from", hashlib.sha256(png).hexdigest())
    with Image.open(BytesIO(png)) as image:
        flat = image.convert("RGB")
        flat.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
        flat.quantize(64, Image.Quantize.MAXCOVERAGE).save(out, "png", optimize=True, pnginfo=told)
    return out.getvalue()


def _with_picture(text: str, name: str) -> str:
    link = rf"\[{re.escape(name)}\]\({re.escape(name)}\.ipynb\)"
    picture = f"[![{name}]({_FOLDER}/{name}.png)]({name}.ipynb)"
    # an old picture goes with its cell
    text, count = re.subn(rf"^\|(?: *\[!\[[^|]*\|)? ({link}) \|", lambda m: f"| {picture} | {m[1]} |", text, flags=re.M)
    if count != 1:
        raise ValueError(f"README.md has {count} lines that begin with '| [{name}]({name}.ipynb) |': it needs one")
    return text


if __name__ == "__main__":
    for path in update(Path.cwd() / "notebooks"):
        print(path)
