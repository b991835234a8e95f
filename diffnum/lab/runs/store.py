"""Where results lie: one folder per address, which appears whole, by a rename, or not at all.

.. code-block:: text

    OUT/<key>/          a finished run: run.json, notebook.ipynb, log.txt and what the notebook wrote
    OUT/<key>.failed/   the same of a run that failed
    OUT/<key>.part/     a run under way, or what a killed one left; never read, wiped when the run begins again
    OUT/.locks/<key>    held while a run is under way, by the kernel of the operating system: it dies with its holder
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..folder import check_parent

__all__ = ["RECORD", "check_store", "commit", "folders", "fresh_part", "held", "read", "wipe"]

RECORD = "run.json"
_DIGITS = set("0123456789abcdef")


def check_store(out: str | os.PathLike[str]) -> Path:
    """``out`` as an absolute path to a folder of results, made if absent.

    Raises:
        ValueError: it is a file, or lies below one.
    """
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {str(out)!r} is a file: name a folder for the results")
    check_parent(out)
    (out / ".locks").mkdir(parents=True, exist_ok=True)
    return out


def read(out: Path, key: str) -> dict[str, Any] | None:
    """The record of the run ``key``, finished or else failed, or None.

    Raises:
        ValueError: its folder was changed since it was written.
    """
    for folder in (out / key, out / f"{key}.failed"):
        if folder.is_dir():
            return _record(folder)
    return None


def _record(folder: Path) -> dict[str, Any]:
    remedy = "it was changed by hand: delete the folder to have it computed again"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} has no {RECORD} that can be read, so {remedy}") from error
    for name, facts in record["artefacts"].items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != facts["bytes"]:
            raise ValueError(f"{folder / name} is not what the run wrote, so {remedy}")
    return record


def folders(out: Path) -> list[Path]:
    """Folders of runs that ended, well or not; of a run that failed and then finished, the second."""
    names = {p.name for p in out.iterdir() if p.is_dir() and _is_key(p.name.removesuffix(".failed"))}
    return [out / name for name in sorted(names) if name.removesuffix(".failed") == name or name[:16] not in names]


def _is_key(name: str) -> bool:
    return len(name) == 16 and set(name) <= _DIGITS


@contextmanager
def held(out: Path, key: str, waiting: Callable[[], bool] = lambda: True) -> Iterator[bool]:
    """Hold the run ``key``: whoever else wants to compute it, in whatever process, waits until this block ends.

    Args:
        waiting: asked twice a second; the wait ends when it says no.

    Yields:
        whether it is held.
    """
    try:
        import fcntl
    except ImportError:  # Windows: without locks, who is second replaces what the first wrote by the same
        yield True
        return
    with (out / ".locks" / key).open("w") as lock:
        while waiting():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.5)
            else:
                yield True
                return
        yield False


def fresh_part(out: Path, key: str) -> Path:
    """An empty folder to write into; what an earlier run left is moved away first, so that no kernel that outlived
    its worker by a second writes into the new one."""
    part = out / f"{key}.part"
    wipe(part)
    part.mkdir()
    return part


def wipe(folder: Path) -> None:
    """Remove a folder at once by a rename, then for good."""
    gone = folder.with_name(f"{folder.name[:16]}.part.{uuid.uuid4().hex[:8]}")
    with suppress(FileNotFoundError):
        folder.rename(gone)
    for left in folder.parent.glob(f"{folder.name[:16]}.part.*"):
        shutil.rmtree(left, ignore_errors=True)


def commit(part: Path, record: dict[str, Any]) -> Path:
    """Write the record and let the folder appear under its name. Returns the new path."""
    name = part.name.removesuffix(".part")
    target = part.with_name(name if record["status"] == "finished" else f"{name}.failed")
    with (part / RECORD).open("w", encoding="utf-8") as stream:
        json.dump(record, stream, indent=1, allow_nan=False)
        stream.flush()
        os.fsync(stream.fileno())
    if target.exists():
        wipe(target)
    part.rename(target)
    if record["status"] == "finished":
        wipe(target.with_name(f"{name}.failed"))
    return target
