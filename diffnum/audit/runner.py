"""Many cases, several at a time; those that were audited before are read from a file."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from .checking import audited
from .comparing import compared
from .findings import Record
from .subjects import Case, library_of

__all__ = ["audit", "chosen", "version_of"]

# files on which a record depends
MEASURING = (
    "audit/subjects.py",
    "audit/running.py",
    "audit/orders.py",
    "audit/checking.py",
    "audit/edges.py",
    "lifting/*.py",
)


def audit(
    cases: Sequence[Case],
    kept: Path | None = None,
    jobs: int = 1,
    on_done: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Records of ``cases``, in their order, with what comparing them shows.

    Args:
        kept: a file of JSON lines: what is in it for these versions is not audited again, what is new is added.
        jobs: processes.
        on_done: sees each record as it is made.
    """
    known = dict(_cached(kept)) if kept is not None else {}
    keys = {case.key: _key(case) for case in cases}
    found = {case.key: known[keys[case.key]] for case in cases if keys[case.key] in known}
    for record in found.values():
        if on_done:
            on_done(record)
    missing = [case for case in cases if case.key not in found]
    for record in _records(missing, jobs):
        found[record.key] = record
        if kept is not None:
            _append(kept, keys[record.key], record)
        if on_done:
            on_done(record)
    return compared([found[case.key] for case in cases])


def _records(cases: Sequence[Case], jobs: int) -> Iterator[Record]:
    if jobs == 1 or len(cases) < 2:
        yield from map(audited, cases)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(_alone)(case) for case in cases)  # type: ignore[misc]


def _alone(case: Case) -> Record:
    import torch

    # several processes share the cores
    torch.set_num_threads(1)
    return audited(case)


def chosen(cases: Sequence[Case], pattern: str | None) -> tuple[Case, ...]:
    """Those whose name or settings hold ``pattern``, a regular expression.

    Raises:
        ValueError: a pattern that is none, or that nothing matches.
    """
    if pattern is None:
        return tuple(cases)
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--only {pattern!r} is no pattern ({error}): write a part of a name") from error
    kept = tuple(case for case in cases if wanted.search(case.key))
    if not kept:
        raise ValueError(f"--only {pattern!r} matches none of {len(cases)} samplers and settings: write part of a name")
    return kept


def version_of(library: str) -> str:
    """Of an installed package; empty where it has none."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return str(getattr(importlib.import_module(library), "__version__", ""))


# --- the file ---


def _key(case: Case) -> str:
    """By the library, its version, our code and the case."""
    library = library_of(case.sampler.path)
    said = (case.sampler.path, case.key, repr(case.off), repr(case.preparation), version_of(library), _ours())
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]


@cache
def _ours() -> str:
    """A digest of the code that audits."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for name in MEASURING:
        for path in sorted(package.glob(name)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _cached(path: Path) -> Iterator[tuple[str, Record]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            content = json.loads(line)
            yield content["id"], Record.from_json(content["record"])
        except (ValueError, KeyError, TypeError):
            # a line that was cut off, or of another version
            continue


def _append(path: Path, key: str, record: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": key, "record": record.to_json()}, allow_nan=False) + "\n")
