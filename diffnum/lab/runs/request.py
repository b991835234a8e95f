"""What is to be computed: a notebook, its parameters and what they run on, and the address of the result."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .schema import Parameter, parameters_in, resolve

__all__ = ["PACKAGES", "Notebook", "Request", "versions"]

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
"""Packages whose version decides what a notebook computes; a notebook adds its own by ``diffnum.packages``."""

_FIELDS = {"parameters", "artefacts", "results", "memory_mb", "needs", "packages"}


@dataclass(frozen=True)
class Notebook:
    """A notebook as it is run: its code, its schema and what its metadata promise under ``diffnum``.

    Attributes:
        path: the file.
        source: the notebook as JSON, without outputs.
        digest: SHA-256 of its code cells, their tags and its promises; prose and outputs do not enter.
        schema: its parameters.
        artefacts: by file name, relative to the folder of the run, what the file must be
            (:func:`diffnum.lab.runs.artefacts.check`).
        results: the JSON artefact whose numbers a report lists; the only JSON one if not said, else none.
        memory_mb: megabytes that the kernel and its children may hold, or None.
        needs: files and folders beside the notebook that it reads; they are at hand under the same names.
        packages: of which the version decides the result, besides :data:`PACKAGES`.
    """

    path: Path
    source: str
    digest: str
    schema: Mapping[str, Parameter]
    artefacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    results: str | None = None
    memory_mb: float | None = None
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.stem

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Notebook:
        """Read a notebook.

        Raises:
            ValueError: no notebook, not of Python, metadata that cannot be meant.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path} is no file: name a notebook (.ipynb)")
        content = _read(path)
        language = content["metadata"].get("kernelspec", {}).get("language", "python")
        if language != "python":
            raise ValueError(f"{path} is written in {language}: only notebooks in Python are run")
        said = content["metadata"].get("diffnum", {})
        promised = _promises(path.name, said)
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        for cell in cells:
            cell["outputs"], cell["execution_count"] = [], None
        code = [["".join(cell["source"]), sorted(cell["metadata"].get("tags", []))] for cell in cells]
        schema = parameters_in(path.name, cells, said.get("parameters", {}))
        return cls(path.resolve(), json.dumps(content), _digest([code, said]), schema, **promised)

    def request(self, given: Mapping[str, Any], command: str = "", base: Path | None = None) -> Request:
        """A run of this notebook.

        Args:
            given: parameters by name; the others keep their defaults.
            command: what was typed, for the record.
            base: what relative paths among the parameters are relative to; the current folder if None.

        Raises:
            ValueError: parameters that the schema refuses, a needed file that is missing.
        """
        values = resolve(self.path.name, self.schema, given, base or Path.cwd())
        content = {}
        for name, parameter in self.schema.items():
            if parameter.type == "path" and isinstance(values.get(name), str) and values[name] not in parameter.choices:
                values[name] = str(self.path.parent / values[name])  # a default; what is given is absolute already
                content[name] = tree_hash(Path(values[name]))
        needs = {}
        for name in self.needs:
            found = self.path.parent / name
            if not found.exists():
                raise ValueError(f"{self.path.name} needs {name}, which does not lie beside it: put it there")
            needs[name] = (str(found), tree_hash(found))
        injected = {k: v for k, v in values.items() if _digest(v) != _digest(self.schema[k].default)}
        return Request(
            self, values, injected, content, needs, versions(self.packages), commit(self.path.parent), command
        )


@dataclass(frozen=True)
class Request:
    """One run of a notebook.

    Attributes:
        notebook: the notebook.
        parameters: all values that are known before the run.
        injected: those that differ from the notebook's defaults.
        content: by parameter that is a path, the hash of what lies there.
        needs: by name, the absolute path and the hash of a file that the notebook reads.
        versions: of :func:`versions`, part of the address.
        commit: of the repository that holds the notebook, and whether files in it were changed; empty outside one.
        command: what was typed.
    """

    notebook: Notebook
    parameters: dict[str, Any]
    injected: dict[str, Any]
    content: dict[str, str]
    needs: dict[str, tuple[str, str]]
    versions: dict[str, str]
    commit: dict[str, Any]
    command: str

    @property
    def address(self) -> str:
        """SHA-256 of all that decides the result: code and promises, parameters, the content of files, versions."""
        needs = {name: found[1] for name, found in self.needs.items()}
        return _digest([1, self.notebook.digest, self.parameters | self.content, needs, self.versions])

    @property
    def key(self) -> str:
        """The first 16 digits of the address: the name of the folder of the result."""
        return self.address[:16]


def versions(packages: Sequence[str] = ()) -> dict[str, str]:
    """Versions on which a result depends: Python's, those of :data:`PACKAGES` and ``packages`` that are installed,
    and for diffnum itself a hash of its source, which changes between releases too."""
    found = {"python": platform.python_version(), "diffnum": _own_source()}
    for name in (*PACKAGES, *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


@lru_cache(maxsize=1)
def _own_source() -> str:
    root = Path(__file__).parents[2]
    return f"source {_hash_files(root, sorted(root.rglob('*.py')))[:12]}"


def tree_hash(path: Path) -> str:
    """SHA-256 of a file, or of all files below a folder with their names.

    Raises:
        ValueError: nothing lies there.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist: name a file or folder that does")
    if path.is_file():
        facts = path.stat()
        return _file_hash(path, facts.st_size, facts.st_mtime_ns)
    return _hash_files(path, sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts))


@lru_cache(maxsize=100_000)
def _file_hash(path: Path, size: int, changed: int) -> str:
    """Once for all runs of a sweep, while size and time of change stay."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hash_files(root: Path, files: Sequence[Path]) -> str:
    return _digest([[str(p.relative_to(root)), tree_hash(p)] for p in files])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()


@lru_cache(maxsize=8)
def commit(folder: Path) -> dict[str, Any]:
    """The commit of the repository around ``folder`` and whether tracked files differ from it; empty if none."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    try:
        return {"id": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _read(path: Path) -> dict[str, Any]:
    """A notebook of format 4. Not by nbformat, whose import takes seconds; papermill reads it again before it runs."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        well = content["nbformat"] == 4 and all(
            isinstance(cell["metadata"], dict) and isinstance(cell["source"], str | list) and cell["cell_type"]
            for cell in content["cells"]
        )
        well = well and isinstance(content["metadata"], dict)
    except (ValueError, KeyError, TypeError):
        well, content = False, {}
    if not well:
        raise ValueError(f"{path} is no notebook of format 4: save it with Jupyter")
    return content


# --- what the metadata promise ---------------------------------------------------------------------------------------


def _promises(name: str, said: Any) -> dict[str, Any]:
    where = f"{name}: its metadata 'diffnum'"
    if not isinstance(said, Mapping) or set(said) - _FIELDS:
        extra = ", ".join(sorted(set(said) - _FIELDS)) if isinstance(said, Mapping) else repr(said)
        raise ValueError(f"{where} have {extra}: use {', '.join(sorted(_FIELDS))}")
    artefacts = said.get("artefacts", {})
    if not isinstance(artefacts, Mapping) or not all(isinstance(v, Mapping) for v in artefacts.values()):
        raise ValueError(f"{where} list artefacts as {artefacts!r}: use a mapping such as {{'result.json': {{}}}}")
    for file in (*artefacts, *said.get("needs", [])):
        inside = not Path(file).is_absolute() and ".." not in Path(file).parts
        if not inside or file in ("run.json", "log.txt", "notebook.ipynb"):
            raise ValueError(f"{where} name the file {file!r}: use a name of its own inside the folder of the run")
    memory = said.get("memory_mb")
    if memory is not None and not (isinstance(memory, int | float) and memory > 0):
        raise ValueError(f"{where} have memory_mb = {memory!r}: use a number of megabytes > 0")
    tables = [file for file in artefacts if file.endswith(".json") and not artefacts[file].get("plan")]
    results = said.get("results", tables[0] if len(tables) == 1 else None)
    if results is not None and results not in tables:
        raise ValueError(f"{where} have results = {results!r}: name one of the JSON artefacts ({', '.join(tables)})")
    return {
        "artefacts": dict(artefacts),
        "results": results,
        "memory_mb": memory,
        "needs": tuple(said.get("needs", ())),
        "packages": tuple(said.get("packages", ())),
    }
