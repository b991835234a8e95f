"""One run from its request to its folder: never twice, never half."""

from __future__ import annotations

import platform
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import artefacts, store
from .kernel import NotebookFailed, StartFailed, execute
from .request import Request, tree_hash, versions
from .session import Session

__all__ = ["Outcome", "compute"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        key: of the run.
        status: ``finished``, ``failed``, or ``lost`` if it could not even start.
        reason: why not finished.
        fresh: it was computed now, not found.
        folder: of the result, or None.
    """

    key: str
    status: str
    reason: str = ""
    fresh: bool = True
    folder: str | None = None


def compute(request: Request, out: Path, again: bool = False, session: Session | None = None) -> Outcome:
    """The result of ``request`` in ``out``: the one that is there, or a new one.

    A notebook that fails is a result too, kept as ``<key>.failed`` and not tried again unless asked to.

    Args:
        out: of :func:`diffnum.lab.runs.store.check_store`.
        again: compute what failed before once more.
        session: to end the kernel from another thread; one is made if None.

    Raises:
        StartFailed: the kernel did not start; nothing is left behind.
        ValueError: this machine has other versions than the request names, or the result was changed by hand.
    """
    notebook = request.notebook
    here = versions(notebook.packages)
    if here != request.versions:
        name = next(n for n in request.versions if here.get(n) != request.versions[n])
        raise ValueError(
            f"{platform.node()} has {name} {here[name]}, but the run asks for {request.versions[name]}: "
            "give all workers the environment of the command"
        )
    session = session or Session(out)
    with store.held(out, request.key, lambda: not session.stopped) as mine:
        if not mine:
            raise StartFailed("it was stopped before it began")
        known = store.read(out, request.key)
        if known is not None and (known["status"] == "finished" or not again):
            return _outcome(request, known, out, fresh=False)
        part = store.fresh_part(out, request.key)
        session.folder, session.memory_mb, session.packages = part, notebook.memory_mb, notebook.packages
        try:
            return _outcome(request, _run(request, session), out, fresh=True)
        except BaseException:
            store.wipe(part)
            raise


def _outcome(request: Request, record: dict[str, Any], out: Path, fresh: bool) -> Outcome:
    folder = out / (request.key + ".failed" * (record["status"] != "finished"))
    return Outcome(request.key, record["status"], record["reason"], fresh, str(folder))


def _run(request: Request, session: Session) -> dict[str, Any]:
    notebook, part = request.notebook, session.folder
    links = _link(request, part)
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    reason = ""
    with (part / "log.txt").open("w", encoding="utf-8", buffering=1) as log:
        print(f"{started} {platform.node()} {notebook.name} {request.injected}", file=log)
        try:
            execute(notebook.source, request.injected, session, log)
        except NotebookFailed as error:
            reason = f"{notebook.path.name}: {error}"
        seconds = time.perf_counter() - began
        _unlink(links, part)
        reason = reason or _faults(request, part)
        print(f"{reason or 'finished'} after {seconds:.1f} s", file=log)
    record = {
        "schema": 1,
        "status": "failed" if reason else "finished",
        "reason": reason,
        "notebook": notebook.path.name,
        "source": notebook.digest,
        "address": request.address,
        "parameters": request.parameters,
        "content": request.content | {name: found[1] for name, found in request.needs.items()},
        "seed": request.parameters.get("seed"),
        "versions": request.versions,
        "imported": session.facts.get("versions", {}),
        "device": session.facts.get("device", "unknown"),
        "commit": request.commit,
        "command": request.command,
        "host": platform.node(),
        "started": started,
        "seconds": round(seconds, 3),
        "peak_mb": round(session.peak_mb),
        **_written(request, part, bool(reason)),
    }
    store.commit(part, record)
    return record


def _faults(request: Request, part: Path) -> str:
    notebook = request.notebook
    for file, promised in notebook.artefacts.items():
        fault = artefacts.check(part, file, promised)
        if fault:
            return f"{notebook.path.name}: the artefact {fault}"
    return ""


def _written(request: Request, part: Path, failed: bool) -> dict[str, Any]:
    """Artefacts that are there, hashes of plans among them and the numbers of the results."""
    notebook = request.notebook
    files = [file for file in notebook.artefacts if (part / file).is_file()]
    plans = [file for file in files if notebook.artefacts[file].get("plan")]
    return {
        "artefacts": {f: {"bytes": (part / f).stat().st_size, "sha256": tree_hash(part / f)} for f in files},
        "plans": {} if failed else {f: artefacts.plan_hash(part / f) for f in plans},
        "numbers": {} if failed or not notebook.results else artefacts.numbers_in(part / notebook.results),
    }


def _link(request: Request, part: Path) -> list[Path]:
    links = []
    for name, (source, _) in request.needs.items():
        link = part / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)
        links.append(link)
    return links


def _unlink(links: list[Path], part: Path) -> None:
    for link in links:
        if link.is_symlink():
            link.unlink()
    for cache in (part / "__pycache__", part / ".ipynb_checkpoints"):
        shutil.rmtree(cache, ignore_errors=True)
