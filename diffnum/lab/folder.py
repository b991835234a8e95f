"""Folders of results: written whole or not at all, and never over somebody else's files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["RECORD", "check_out", "check_parent", "check_writable", "fresh_folder", "previous", "write_text"]

RECORD = "study.json"
"""The file that marks a folder as a study and lists what the study wrote."""


def previous(folder: Path) -> dict[str, Any] | None:
    """The record of the study that ``folder`` holds, or None."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("files"), list) else None


def check_out(out: str | os.PathLike[str]) -> Path:
    """``out`` as a folder that a study may create or replace.

    It may be absent, empty, or hold an earlier study and nothing else.

    Raises:
        ValueError: it is a file, or holds files that no study wrote; nothing can be written there.
    """
    out = Path(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ValueError(f"{out} is not a folder: name another one for the results")
    check_writable(out)
    if not out.exists():
        return out
    ours = set((previous(out) or {"files": []})["files"])
    strangers = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() or p.is_symlink())
    strangers = [name for name in strangers if name not in ours]
    if strangers:
        more = f" and {len(strangers) - 1} more" * (len(strangers) > 1)
        raise ValueError(f"{out} holds {strangers[0]}{more}, not written by a study: move it, or name another folder")
    return out


def check_parent(path: Path) -> None:
    """Refuse a path that lies below a file."""
    above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir():
        raise ValueError(f"{path} cannot be made because {above} is a file: name another place")


def check_writable(path: Path, name: str | os.PathLike[str] | None = None) -> None:
    """Refuse a path that nothing can be written to: a folder is made beside it, and removed.

    Args:
        path: of a file or folder; folders above it may be absent.
        name: what to call it in the message; ``path`` if None.

    Raises:
        ValueError: it lies below a file, or in a place that lets nothing be made.
    """
    check_parent(path)
    place = path.absolute()
    while not place.parent.exists():
        place = place.parent
    trial = place.with_name(f"{place.name}.part.{os.getpid()}")
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        said = f"{name or path} cannot be written ({error.strerror}): name another place"
        raise ValueError(said) from error


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A new folder beside ``out`` to write into, which takes its place when the block ends well.

    Whatever interrupts the block, ``out`` is left as it was and nothing else stays behind.
    """
    made = [p for p in (out.absolute().parent, *out.absolute().parent.parents) if not p.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part.{os.getpid()}")
    old = out.with_name(f"{out.name}.part.{os.getpid()}.old")
    try:
        part.mkdir()
        yield part
        if out.exists():
            out.rename(old)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        if old.exists() and not out.exists():
            old.rename(out)
        for folder in made:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
