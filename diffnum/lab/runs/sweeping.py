"""A notebook over many parameters, on Dask: killed at any moment, it goes on where it was."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..folder import write_text
from . import store
from .cluster import connect, replace_lost
from .kernel import StartFailed
from .request import Request
from .single import Outcome, compute

__all__ = ["ATTEMPTS", "SWEEP", "Interrupted", "drive", "list_runs", "sweep"]

SWEEP = "sweep.json"
"""The file that lists the runs of a sweep in its folder."""

ATTEMPTS = 3
GONE = "the scheduler is gone: the same command goes on with what is not finished"


class Interrupted(RuntimeError):
    """The sweep could not go on; what is finished is kept."""


@dataclass(frozen=True)
class _Quiet:
    """Hears what happens, and says nothing."""

    def dashboard(self, link: str) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...

    def retried(self, key: str, reason: str) -> None: ...


def sweep(
    requests: Sequence[Request],
    out: Path,
    workers: int = 2,
    scheduler: str | None = None,
    slurm: dict[str, Any] | None = None,
    gpu: bool = False,
    again: bool = False,
    hearer: Any = None,
) -> list[Outcome]:
    """Compute what is not there yet, and return how every run ended, in the order of ``requests``.

    A run whose kernel does not start, or whose worker dies, is tried again, three times; a notebook that fails is
    not. Nothing that is finished is computed again, and nothing that is half written is read: see
    :mod:`diffnum.lab.runs.store`.

    Args:
        requests: of :func:`diffnum.lab.runs.grid.requests`.
        out: of :func:`diffnum.lab.runs.store.check_store`; workers must see it under the same path.
        workers, scheduler, slurm, gpu: of :func:`diffnum.lab.runs.cluster.connect`.
        again: compute runs that failed before once more.
        hearer: its methods ``dashboard(link)``, ``ended(outcome)`` and ``retried(key, reason)`` are called.

    Raises:
        ValueError: workers with other versions, no scheduler, a result changed by hand.
        Interrupted: the scheduler is gone.
    """
    hearer = hearer or _Quiet()
    list_runs(requests, out)
    ended: dict[str, Outcome] = {}
    for request in requests:
        known = store.read(out, request.key)
        if known is not None and (known["status"] == "finished" or not again):
            folder = out / (request.key + ".failed" * (known["status"] != "finished"))
            ended[request.key] = Outcome(request.key, known["status"], known["reason"], False, str(folder))
            hearer.ended(ended[request.key])
    todo = [request for request in requests if request.key not in ended]
    if todo:
        with connect(min(workers, len(todo)), scheduler, slurm, gpu) as client:
            try:
                hearer.dashboard(client.dashboard_link)
                drive(client, todo, out, {"GPU": 1} if gpu else None, again, ended, hearer)
            except OSError as error:
                if client.status == "running":
                    raise
                raise Interrupted(GONE) from error
    return [ended[request.key] for request in requests]


def list_runs(requests: Sequence[Request], out: Path) -> None:
    """Write down what the sweep sets out to do."""
    runs = [
        {"key": r.key, "notebook": r.notebook.path.name, "source": r.notebook.digest, "parameters": r.parameters}
        for r in requests
    ]
    content = {"schema": 1, "command": requests[0].command, "commit": requests[0].commit, "runs": runs}
    write_text(out / SWEEP, json.dumps(content, indent=1, allow_nan=False))


def drive(
    client: Any,
    todo: Sequence[Request],
    out: Path,
    resources: dict[str, int] | None,
    again: bool,
    ended: dict[str, Outcome],
    hearer: Any,
) -> None:
    """Submit runs to a client and note how each ends; a start that fails is tried again, a notebook that fails not.

    A callback puts each end into a queue, so that meanwhile a scheduler that is gone is noticed, and workers that are
    gone are replaced.
    """
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    running: dict[str, tuple[Any, Request, int]] = {}

    def submit(request: Request, attempt: int) -> None:
        future = client.submit(
            compute, request, out, again, key=f"run-{request.key}-{id(done)}-{attempt}", pure=False, resources=resources
        )
        running[future.key] = (future, request, attempt)
        future.add_done_callback(lambda future: done.put(future.key))

    for request in todo:
        submit(request, 1)
    while running:
        key = _next(done, client, lambda: f"{len(ended)} of {len(ended) + len(running)} runs have ended")
        future, request, attempt = running.pop(key)
        outcome = _outcome(future, request)
        if outcome.status == "lost" and attempt < ATTEMPTS:
            hearer.retried(request.key, outcome.reason)
            submit(request, attempt + 1)
            continue
        ended[request.key] = outcome
        hearer.ended(outcome)


def _next(done: queue.SimpleQueue[Any], client: Any, how_far: Callable[[], str]) -> str:
    while True:
        try:
            return done.get(timeout=1)
        except queue.Empty:
            replace_lost(client)
            if client.status != "running":
                raise Interrupted(f"the scheduler is gone and {how_far()}: the same command goes on") from None


def _outcome(future: Any, request: Request) -> Outcome:
    try:
        return future.result(timeout=60)
    except StartFailed as error:
        return Outcome(request.key, "lost", str(error))
    except CancelledError as error:
        raise Interrupted(GONE) from error
    except Exception as error:
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            return Outcome(request.key, "lost", "its workers died, one after the other")
        raise
