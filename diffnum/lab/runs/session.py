"""A kernel under way: what it may hold, what it held, where it works and what it is asked at the end."""

from __future__ import annotations

import ast
import json
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from .request import PACKAGES

__all__ = ["Session", "answer", "environment", "question"]


@dataclass
class Session:
    """A kernel under way, and what is known of it.

    Attributes:
        folder: where it runs.
        sockets: where its sockets lie.
        memory_mb: what it may hold, with its children; None for any.
        packages: whose versions are asked for at the end, where the notebook imported them.
        started: the kernel answered.
        peak_mb: the most that it held at one time.
        facts: versions of what the notebook imported, and the device it computed on.
        over: it held more than it may, and was ended.
        stopped: somebody ended it from outside.
    """

    folder: Path
    sockets: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    memory_mb: float | None = None
    packages: tuple[str, ...] = ()
    started: bool = False
    peak_mb: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    over: bool = False
    stopped: bool = False
    _pid: int | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Give the run up: what it wrote is discarded, and it counts as not run."""
        self.stopped = True
        self.end()

    def end(self) -> None:
        """End the kernel and its children at once."""
        self._ended.set()
        for process in _family(self._pid):
            with suppress(psutil.Error):
                process.kill()

    def measure(self) -> None:
        """Note what the kernel and its children hold now, and end them if that is too much."""
        held = 0.0
        for process in _family(self._pid):
            with suppress(psutil.Error):
                held += process.memory_info().rss / 2**20
        self._note(held)

    def _note(self, held: float) -> None:
        self.peak_mb = max(self.peak_mb, held, _most_mb(self._pid))
        if self.memory_mb is not None and self.peak_mb > self.memory_mb:
            self.over = True
            self.end()

    def watch(self, pid: int) -> None:
        """Measure until the kernel is gone: itself ten times a second, with its children, whom it takes long to find,
        once a second."""
        self._pid = pid

        def watching() -> None:
            for tick in count(1):
                if self._ended.wait(0.1):
                    return
                self._note(0.0) if tick % 10 else self.measure()

        threading.Thread(target=watching, daemon=True).start()


def _family(pid: int | None) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        return [] if pid is None else [(process := psutil.Process(pid)), *process.children(recursive=True)]
    except psutil.Error:
        return []


def _most_mb(pid: int | None) -> float:
    """The most megabytes that a process held so far, where the system tells it; else 0."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def environment() -> dict[str, str]:
    """Of the kernel: ours, with the folder of this diffnum first on the path, since the kernel works elsewhere."""
    root = str(Path(__file__).resolve().parents[3])
    path = [root, *(os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
    threads = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    return threads | dict(os.environ) | {"PYTHONPATH": os.pathsep.join(path)}


def question(packages: tuple[str, ...]) -> str:
    """An expression that tells, as JSON, versions and device, and imports nothing that the notebook did not."""
    names = tuple(name.replace("scikit-learn", "sklearn").replace("-", "_") for name in (*PACKAGES, *packages))
    loaded = f"{{n: str(getattr(m[n], '__version__', '')) for n in {names!r} if n in m}}"
    device = "(t.cuda.get_device_name() if t and t.cuda.is_initialized() else 'cpu')"
    told = f"{{'versions': {loaded}, 'device': (lambda t: {device})(m.get('torch'))}}"
    return f"(lambda m: __import__('json').dumps({told}))(__import__('sys').modules)"


def answer(reply: Any) -> dict[str, Any]:
    """What a kernel's reply to :func:`question` says; nothing where the notebook made it impossible to ask."""
    try:
        return json.loads(ast.literal_eval(reply["content"]["user_expressions"]["facts"]["data"]["text/plain"]))
    except (KeyError, TypeError, ValueError, SyntaxError):
        return {}
