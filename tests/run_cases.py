"""Small notebooks to run, and processes to watch."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil

CELL = "steps: int = 4\nseed = 0\nrate: float = 0.5  # of change"
RESULT = (
    "import json\nwith open('result.json', 'w') as file:\n    json.dump({'error': rate / steps, 'count': steps}, file)"
)
PROMISES = {"artefacts": {"result.json": {"schema": {"required": ["error", "count"]}}}}

COUNTED = """
import json, os, time
with open(os.environ["RUN_COUNTS"], "a") as counts:
    counts.write(f"{steps} {seed}\\n")
text = json.dumps({"error": rate / steps, "count": steps + seed})
with open("result.json", "w") as file:
    for part in (text[:9], text[9:]):
        file.write(part)
        file.flush()
        time.sleep(0.3)
"""
"""A notebook's cell that notes that it runs, and whose result stands half-written for a while."""


def write_notebook(path, *codes, parameters=CELL, promises=PROMISES):
    """A notebook with these code cells behind its parameters."""

    def cell(name, kind, source, **metadata):
        more = {"execution_count": None, "outputs": []} if kind == "code" else {}
        return {"id": name, "cell_type": kind, "metadata": metadata, "source": source, **more}

    cells = [cell("prose", "markdown", "# Prose"), cell("parameters", "code", parameters, tags=["parameters"])]
    cells += [cell(f"cell-{k}", "code", text) for k, text in enumerate(codes or [RESULT])]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    if promises is not None:
        metadata["diffnum"] = promises
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def gone(processes: list[psutil.Process], seconds: float = 60) -> bool:
    """All of these end by themselves."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Finished runs as anybody may find them at any moment, each checked to be whole: by key, what tells two
    computations apart."""
    found = {}
    for folder in out.glob("*"):
        if folder.is_dir() and len(folder.name) == 16:
            record = json.loads((folder / "run.json").read_text())
            assert json.loads((folder / "result.json").read_text()) == record["numbers"]
            assert json.loads((folder / "notebook.ipynb").read_text())["cells"]
            facts = (folder / "run.json").stat()
            found[folder.name] = (facts.st_ino, facts.st_mtime_ns)
    return found


def counts(path: Path) -> dict[str, int]:
    """How often each run began."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {line: lines.count(line) for line in lines}


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)


def one_thread() -> dict[str, str]:
    """The environment of a command under test."""
    root = str(Path(__file__).parents[1])
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "COLUMNS": "120"}
