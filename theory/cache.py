"""Derivations kept on disk, one by one, so that a run that was stopped goes on and one after no change is quick.

A derivation is known by the text of every source that it may depend on: when a file of ``theory`` or ``diffnum``
changes, everything is derived again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from joblib import Memory, Parallel, delayed

from . import book
from .statement import Statement, check

__all__ = ["FOLDER", "derive", "digest"]

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".cache" / "theory"


@lru_cache(maxsize=1)
def digest() -> str:
    """Of every Python file of ``theory`` and ``diffnum`` with its name."""
    found = hashlib.sha256()
    for folder in ("theory", "diffnum"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def derive(jobs: int = -1, folder: Path = FOLDER) -> Iterator[tuple[str, Statement | book.Row]]:
    """What :func:`theory.book.derive` gives, in its order, ``jobs`` at a time, each piece from the disk if it is there.

    Args:
        jobs: processes; -1 for one per core.
        folder: where pieces are kept; those of other sources are deleted.

    Raises:
        ArithmeticError: a residual that is not zero, or a claimed order that is not the proved one.
    """
    here = folder / digest()
    for old in folder.glob("*"):
        if old != here:
            shutil.rmtree(old, ignore_errors=True)
    piece = Memory(here, verbose=0).cache(_piece)
    titles = [title for title, _, _ in book.work()]
    found = Parallel(n_jobs=jobs, return_as="generator")(delayed(piece)(i) for i in range(len(titles)))
    for title, made in zip(titles, found, strict=True):
        assert isinstance(made, (Statement, book.Row))
        if isinstance(made, Statement):
            check([made])
        yield title, made


def _piece(index: int) -> Statement | book.Row:
    return book.work()[index][2]()
