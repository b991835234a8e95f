"""``diffnum study``, and the words that other commands share with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from .printing import AsJson, console, print_json

__all__ = ["PROCESSES", "image_size", "named_process", "study"]

PROCESSES = {"vp": "VP", "cosine": "Cosine", "subvp": "SubVP", "ve": "VE", "edm": "EDM", "flow": "Flow", "ddpm": "DDPM"}
MOST = 256
"""Evaluations of a budget: a study compiles hundreds of plans at each, whose steps are so many lines of Python."""

Size = Annotated[str | None, typer.Option(help="Crop and resample images to 32, say, or 32x48 for height x width.")]
Limit = Annotated[int | None, typer.Option(help="Take at most so many images, evenly spaced over all.")]
Components = Annotated[int, typer.Option(help="Gaussians in the mixture fitted to the images.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]


def study(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="digits, a folder of images, a .npy or .npz file, or hub: and an id.")
    ],
    nfe: Annotated[str, typer.Option(help="Budgets of model evaluations, up to 256, by commas.")] = "5,8,10,20",
    out: Annotated[Path, typer.Option(help="Folder of results; an earlier study is replaced.")] = Path("study"),
    process: Annotated[str, typer.Option(help=f"Noise process: {', '.join(PROCESSES)}.")] = "vp",
    components: Components = 10,
    by: Annotated[str, typer.Option(help="What decides: path on the mixture, or w2 on the Gaussian.")] = "path",
    seed: Seed = 0,
    size: Size = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Rank samplers, one of each kind, for your images at your budgets, and write a report."""
    budgets = _budgets(nfe)
    chosen = named_process(process)
    picked = image_size(size)
    from ..lab import run_study
    from ..lab.result import record

    screen = None if as_json else console()
    done = run_study(data, budgets, out, chosen, components, by, seed, picked, limit, screen)
    if as_json:
        print_json({"out": str(out), **record(done)})


# --- words to values -------------------------------------------------------------------------------------------------


def _budgets(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"[1-9][0-9]{0,8}", word):
            raise ValueError(f"--nfe {text!r} has the budget {word!r}: use whole numbers from 1, such as 5,8,10,20")
        if int(word) > MOST:
            raise ValueError(f"--nfe {text!r} has the budget {word}, which would take hours: use at most {MOST}")
    return tuple(int(word) for word in words)


def named_process(name: str) -> Any:
    """The process that a word names.

    Raises:
        ValueError: an unknown word.
    """
    from .. import process

    if name.lower() not in PROCESSES:
        raise ValueError(f"--process {name!r} is unknown: use one of {', '.join(PROCESSES)}")
    return getattr(process, PROCESSES[name.lower()])()


def image_size(text: str | None) -> int | tuple[int, int] | None:
    """``32`` or ``32x48`` as a size.

    Raises:
        ValueError: neither.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text)
    if not found:
        raise ValueError(f"--size {text!r} is no image size: use a number such as 32, or height x width such as 32x48")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))
