"""Notebooks as runs: parameters by a schema, results by their address, sweeps that survive, one report."""

from .grid import read_grid, requests
from .kernel import NotebookFailed, StartFailed
from .request import Notebook, Request
from .session import Session
from .single import Outcome, compute
from .store import check_store
from .sweeping import Interrupted, sweep

__all__ = [
    "Interrupted",
    "Notebook",
    "NotebookFailed",
    "Outcome",
    "Request",
    "Session",
    "StartFailed",
    "check_store",
    "compute",
    "read_grid",
    "requests",
    "sweep",
]
