"""One notebook in one kernel, through papermill: in a folder of its own, with this Python, watched for memory."""

from __future__ import annotations

import ast
import json
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import psutil

from .request import PACKAGES

__all__ = ["NotebookFailed", "Session", "StartFailed", "execute"]


class StartFailed(RuntimeError):
    """The kernel did not start: nothing of the notebook ran, and it may be tried again."""


class NotebookFailed(RuntimeError):
    """The notebook itself failed; it would fail again."""


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


def execute(source: str, parameters: dict[str, Any], session: Session, log: TextIO) -> None:
    """Run a notebook and keep it, with its outputs, as ``notebook.ipynb`` in the session's folder.

    The kernel is this Python with this diffnum, whatever kernels the user has installed; one thread for array
    libraries unless the environment says otherwise; it works in the session's folder.

    Args:
        source: the notebook as JSON.
        parameters: what is put behind its parameters cell.
        log: where its streams go.

    Raises:
        StartFailed: the kernel did not start.
        NotebookFailed: a cell raised, the kernel died, or it held more memory than it may.
    """
    from papermill.exceptions import PapermillExecutionError

    session.sockets = Path(tempfile.mkdtemp(prefix="diffnum-"))
    try:
        Context().run(_papermill, source, parameters, session, log)
    except PapermillExecutionError as error:
        cell = _cell(source, error.cell_index, bool(parameters))
        raise NotebookFailed(_over(session) or f"cell {cell}: {error.ename}: {error.evalue}") from error
    except Exception as error:
        if session.stopped:
            raise StartFailed("it was stopped") from error
        if not session.started:
            raise StartFailed(f"the kernel did not start: {error!r}") from error
        raise NotebookFailed(_over(session) or f"the kernel died: {error}") from error
    finally:
        session.end()
        shutil.rmtree(session.sockets, ignore_errors=True)
    if session.over:
        raise NotebookFailed(_over(session))


def _papermill(source: str, parameters: dict[str, Any], session: Session, log: TextIO) -> None:
    """Papermill with an event loop of its own, closed at the end; in a fresh context, where the loop is looked up."""
    import asyncio

    import nbformat
    import papermill
    from jupyter_core.utils import ensure_event_loop

    from ._papermill import ENGINE  # registers itself

    loop = ensure_event_loop()
    try:
        papermill.execute_notebook(
            nbformat.reads(source, as_version=4),
            str(session.folder / "notebook.ipynb"),
            parameters=parameters,
            engine_name=ENGINE,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=120,
            stdout_file=log,
            stderr_file=log,
            session=session,
        )
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def _cell(source: str, index: int, injected: bool) -> int:
    """The number of a cell, from one, in the notebook as it was before parameters were put into it."""
    cells = json.loads(source)["cells"]
    tagged = [k for k, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    return index + 1 - (injected and bool(tagged) and index > tagged[0])


def _over(session: Session) -> str:
    if not session.over:
        return ""
    return (
        f"it held {session.peak_mb:.0f} MB, more than the {session.memory_mb:g} MB that it declares (diffnum.memory_mb)"
    )


def environment() -> dict[str, str]:
    """Of the kernel: ours, with the folder of this diffnum first on the path, since the kernel works elsewhere."""
    import diffnum

    root = str(Path(diffnum.__file__ or "").resolve().parents[1])
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
