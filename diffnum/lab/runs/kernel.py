"""One notebook in one kernel, through papermill: in a folder of its own, with this Python, watched for memory."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextvars import Context
from pathlib import Path
from typing import Any, TextIO

from .session import Session

__all__ = ["NotebookFailed", "StartFailed", "execute"]


class StartFailed(RuntimeError):
    """The kernel did not start: nothing of the notebook ran, and it may be tried again."""


class NotebookFailed(RuntimeError):
    """The notebook itself failed; it would fail again."""


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
        raise NotebookFailed(_over(session) or f"cell {cell}: {error.ename}: {_short(error.evalue)}") from error
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


def _short(text: str, most: int = 300) -> str:
    """One line; the whole stands in the notebook."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 2]} …"


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
            kernel_log=log,
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
