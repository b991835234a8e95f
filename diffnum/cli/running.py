"""``diffnum run``, ``diffnum sweep`` and ``diffnum report``."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .printing import AsJson, print_json

if TYPE_CHECKING:
    from ..lab.runs import Notebook, Outcome

__all__ = ["report", "run_notebook", "sweep"]

NotebookFile = Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="A notebook with a cell tagged 'parameters'.")]
Out = Annotated[Path, typer.Option(help="Folder of results, one folder below it per run.")]


def run_notebook(
    notebook: NotebookFile,
    given: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="As often as needed.")
    ] = None,
    out: Out = Path("runs"),
    as_json: AsJson = False,
) -> int:
    """Run a notebook with parameters, once: a result that is there is not computed again. Exit code 1 if it fails."""
    _require()
    from ..lab.runs import Notebook, Session, StartFailed, check_store, compute

    loaded = Notebook.load(notebook)
    words = ["diffnum", "run", str(notebook), *(w for text in given or [] for w in ("-p", text)), "--out", str(out)]
    request = loaded.request(_values(loaded, given or []), shlex.join(words))
    store = check_store(out)
    session = Session(store)
    # a thread of its own: Ctrl-C ends the kernel instead of being taken for the notebook's failure
    with ThreadPoolExecutor(1) as pool:
        try:
            outcome = pool.submit(compute, request, store, True, session).result()
        except StartFailed as error:
            print(f"diffnum: {loaded.path.name}: {error}: the same command tries again", file=sys.stderr)
            return 1
        except BaseException:
            session.stop()
            raise
    if as_json:
        print_json(dataclasses.asdict(outcome) | {"parameters": request.parameters})
    elif outcome.status == "finished":
        print(f"{'finished' if outcome.fresh else 'was finished before'}: {_place(outcome)}")
    if outcome.status != "finished":
        print(f"diffnum: {outcome.reason}; see {_place(outcome)}", file=sys.stderr)
    return int(outcome.status != "finished")


def sweep(
    notebook: NotebookFile,
    grid: Annotated[Path, typer.Argument(metavar="GRID", help="YAML: cross (lists), runs (one by one), fixed.")],
    workers: Annotated[int, typer.Option(min=1, help="Notebooks at a time, one process each.")] = 2,
    out: Out = Path("runs"),
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler to use, such as tcp://host:8786.")
    ] = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Ask a SLURM queue for the workers, as dask-jobqueue is configured.")
    ] = False,
    directive: Annotated[list[str] | None, typer.Option(help="A line behind #SBATCH, such as --partition=gpu.")] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="A GPU for each worker.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Compute runs that failed once more.")] = False,
    as_json: AsJson = False,
) -> int:
    """Run a notebook over a grid of parameters; stopped or killed, it goes on. Exit code 1 if a run fails."""
    if scheduler is not None and slurm:
        raise ValueError(f"--slurm starts a scheduler and --scheduler {scheduler} names one: leave one of them out")
    if directive and not slurm:
        raise ValueError(f"--directive {directive[0]!r} is for a queue: add --slurm or leave it out")
    _require()
    from ..lab import runs

    loaded = runs.Notebook.load(notebook)
    words = ["diffnum", "sweep", str(notebook), str(grid), "--out", str(out), *["--gpu"] * gpu]
    requests = runs.requests(loaded, runs.read_grid(grid), shlex.join(words))
    store = runs.check_store(out)
    queue = {"directives": directive or [], "memory_mb": 1024 + (loaded.memory_mb or 4096)} if slurm else None
    try:
        with _hearer(len(requests), {r.key: r.parameters for r in requests}, as_json) as hearer:
            outcomes = runs.sweep(requests, store, workers, scheduler, queue, gpu, again, hearer)
    except runs.Interrupted as error:
        print(f"diffnum: {error}", file=sys.stderr)
        return 1
    counts = {status: sum(o.status == status for o in outcomes) for status in ("finished", "failed", "lost")}
    if as_json:
        print_json({"out": str(out), **counts, "runs": [dataclasses.asdict(o) for o in outcomes]})
    else:
        fresh = sum(o.fresh for o in outcomes if o.status == "finished")
        said = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        print(f"{len(outcomes)} runs: {said} ({fresh} now)\nreport  diffnum report {shlex.quote(str(out))}")
    return int(counts["finished"] < len(outcomes))


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that run or sweep wrote.")],
    as_json: AsJson = False,
) -> None:
    """Write one page with all runs of a folder, their numbers and their figures."""
    _require()
    from ..lab.runs import page

    path, tables = page.write_page(folder.absolute())
    if as_json:
        rows = [(t.notebook, row) for t in tables for row in t.rows]
        runs = [
            {"notebook": n, "key": r.key, "status": r.status, "parameters": r.parameters, "numbers": r.numbers}
            for n, r in rows
        ]
        return print_json({"report": str(path), "runs": runs})
    print(f"{sum(len(t.rows) for t in tables)} runs\nreport  {path}\nnumbers {path.with_name(page.ROWS)}")


def _require() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("papermill", "distributed", "yaml", "psutil") if find_spec(name) is None]
    if missing:
        raise ValueError(f"{missing[0]} is not installed: pip install 'diffnum[lab]'")


def _place(outcome: Outcome) -> str:
    try:
        return str(Path(outcome.folder or "").relative_to(Path.cwd()))
    except ValueError:
        return outcome.folder or ""


def _values(notebook: Notebook, words: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"-p {name!r} is no NAME=VALUE: write -p steps=10")
        if name in values:
            raise ValueError(f"-p {name} is given twice: keep one")
        values[name] = notebook.schema[name].parse(text) if name in notebook.schema else text
    return values


def _hearer(total: int, parameters: dict[str, dict[str, Any]], quiet: bool) -> Any:
    """A context whose value shows on stderr how a sweep goes: a bar, the dashboard, a line for each run that fails."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())

    class Hearer:
        def __init__(self, progress: Progress) -> None:
            self.progress, self.failed = progress, 0
            self.task = progress.add_task("runs", total=total)

        def dashboard(self, link: str) -> None:
            screen.print(f"dashboard  {link}", highlight=False, markup=False, soft_wrap=True)

        def ended(self, outcome: Outcome) -> None:
            self.failed += outcome.status != "finished"
            self.progress.update(
                self.task, advance=1, description=f"runs, {self.failed} failed" if self.failed else "runs"
            )
            if outcome.status != "finished":
                self._say(outcome.key, f"{outcome.status}: {outcome.reason}")

        def retried(self, key: str, reason: str) -> None:
            self._say(key, f"tried again: {reason}")

        def _say(self, key: str, text: str) -> None:
            told = " ".join(f"{name}={value}" for name, value in parameters[key].items())
            screen.print(f"{key[:8]}  {told}\n          {text}", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def shown() -> Any:
        with Progress(*columns, console=screen, disable=quiet) as progress:
            yield Hearer(progress)

    return shown()
