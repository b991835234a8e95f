"""The engine that papermill runs a notebook with. Imported where a notebook is run: papermill takes a second."""

from __future__ import annotations

from typing import Any

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.log import logger

from .session import Session, answer, environment, question

__all__ = ["ENGINE"]

ENGINE = "diffnum"


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the Python that asks, which another that the user installed under the same name cannot hide."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


class _Client(PapermillNotebookClient):
    """Starts the kernel in the session's folder and lets the session watch it."""

    def __init__(self, nb_man: Any, session: Session, kernel_log: Any, **options: Any) -> None:
        super().__init__(nb_man, **options)
        self.session, self.kernel_log = session, kernel_log

    def create_kernel_manager(self) -> Any:
        # sockets in a folder of short name, readable by nobody else: no ports to race for, nothing to eavesdrop on
        options = {"transport": "ipc", "connection_file": str(self.session.sockets / "kernel.json")}
        self.km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=_ThisPython(), **options)
        return self.km

    def start_new_kernel(self, **options: Any) -> None:
        place = {
            "cwd": str(self.session.folder),
            "env": environment(),
            "stdout": self.kernel_log,
            "stderr": self.kernel_log,
        }
        super().start_new_kernel(**options, **place)
        kernel: Any = self.km
        self.session.watch(kernel.provisioner.pid)

    def start_new_kernel_client(self, **options: Any) -> Any:
        client = super().start_new_kernel_client(**options)
        self.session.started = True
        return client

    def papermill_execute_cells(self) -> None:
        super().papermill_execute_cells()
        asked = {"facts": question(self.session.packages)}
        client: Any = self.kc
        self.session.facts = answer(self.wait_for_reply(client.execute("", silent=True, user_expressions=asked)))
        self.session.measure()


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, session: Session, kernel_log: Any, **options: Any
    ) -> Any:
        kept = ("log_output", "stdout_file", "stderr_file")
        chosen = {name: options[name] for name in kept if name in options}
        return _Client(
            nb_man,
            session,
            kernel_log,
            timeout=None,
            startup_timeout=options["start_timeout"],
            kernel_name=kernel_name,
            log=logger,
            **chosen,
        ).execute()


papermill_engines.register(ENGINE, _Engine)
logger.setLevel("ERROR")  # it warns of parameters that it cannot read; the schema has read them
