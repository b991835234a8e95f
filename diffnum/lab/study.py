"""The study: from a folder of images to the sampler to use, with everything behind the answer on disk."""

from __future__ import annotations

import io
import json
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images import load
from ..process import VP
from ..study import MEASURES, rank
from .folder import RECORD, check_out, fresh_folder, write_text
from .network import Trajectories, check_ranking, network_for
from .pictures import draw_all
from .report import error_of, number, render, spearman_of, with_error
from .result import Study, many, network_csv, record, rerun_command, results_csv
from .surrogate import Surrogate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


__all__ = ["network_table", "run_study", "winners_table"]

# each costs more than a second of one core
NETWORK_POINTS = 16
TITLES = {"w2": "Closest law on the Gaussian", "path": "Closest path on the mixture"}


def run_study(
    source: str | os.PathLike[str],
    budgets: Sequence[int],
    out: str | os.PathLike[str],
    process: Any = None,
    components: int = 10,
    by: str = "path",
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    console: Console | None = None,
) -> Study:
    """Rank samplers, one of each kind, for a set of images, and write report, numbers and plans.

    A Gaussian and a mixture are fitted to the images. On the Gaussian the law of every sampler's output is exact,
    and so is its 2-Wasserstein distance to the data's; on the mixture the end of every path is compared with that
    of the exact probability flow. Where the package has a network that was trained on these images, the plans run on
    that too, and their errors are held against the predicted ones. ``out`` is written whole or not at all:

    .. code-block:: text

        report.html      everything to be seen, in one file
        results.csv      every candidate
        network.csv      each sampler's best on the trained network, where there is one
        plans/           the best plan of each sampler at each budget; `diffnum sample` runs them
        surrogate.npz    both laws
        figures/         pictures, with their numbers beside them
        study.json       parameters, versions and winners

    Args:
        source: see :func:`diffnum.images.load`.
        budgets: numbers of model evaluations, each >= 1.
        out: a folder that is new, empty or an earlier study, which is replaced at the end.
        process: a noise process; VP if None.
        components: of the mixture.
        by: ``"w2"`` or ``"path"``, the measure that decides. On the trained network of digits the path foretells which
            plans do well, and W2 on a Gaussian, whose denoiser does not bend, hardly does. Samplers that draw noise
            follow no path: W2 alone judges them.
        seed: of the mixture's fit and of all noise.
        size, limit: resample the images; take at most so many.
        console: a rich console for progress bars and the table of winners; quiet if None.

    Raises:
        ValueError: bad input, before anything is computed where possible; nothing is written.
    """
    budgets = _check_budgets(budgets)
    if by not in MEASURES:
        raise ValueError(f"by = {by!r} is unknown: use one of {', '.join(MEASURES)}")
    if not (isinstance(seed, int) and 0 <= seed < 2**32):
        raise ValueError(f"seed = {seed!r} starts no generator: use a whole number from 0 to {2**32 - 1}")
    out = check_out(out)
    process = VP() if process is None else process
    command = rerun_command(source, budgets, out, process, components, by, seed, size, limit)
    began = time.perf_counter()
    with _bars(console) as stage:
        with stage("reading images", 1):
            dataset = load(source, size=size, limit=limit)
        with stage(f"fitting {len(dataset)} images", 1):
            surrogate = Surrogate.fit(dataset, components, seed)
        with stage("ranking samplers", None) as advance:
            pair = surrogate.gaussian, surrogate.mixture
            ranking = rank(process, *pair, budgets, paths=_points(surrogate.dim), seed=seed, on_progress=advance)
        if not any(ranking.best(budget, by) for budget in budgets):
            raise ValueError(f"no sampler has a plan with {max(budgets)} evaluations or fewer: raise --nfe")
        network: Any = network_for(source, dataset, process)
        if not isinstance(network, str):
            with stage("asking the network", None) as advance:
                followed = Trajectories.draw(network, NETWORK_POINTS, seed)
                network = check_ranking(ranking, followed, str(source), on_progress=advance)
        seconds = time.perf_counter() - began
        study = Study(dataset, surrogate, process, ranking, by, components, seed, command, seconds, network)
        with stage("drawing and writing", None) as advance:
            _write(study, out, advance)
    if console is not None:
        _say(study, out, console)
    return study


def winners_table(study: Study, by: str) -> Table:
    """The winner per budget by one measure, as a rich table."""
    from rich.table import Table

    title = f"{TITLES[by]} (% of the images' spread)"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("budget", justify="right")
    table.add_column("winner", style="bold green" if by == study.by else "bold", no_wrap=True)
    table.add_column("grid", no_wrap=True)
    table.add_column("end", no_wrap=True)
    table.add_column("W₂" if by == "w2" else "path", justify="right", no_wrap=True)
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("runner-up", style="dim")
    for entry in study.winners(by):
        after = " ×".join(study.runner_up(entry, by))
        row = (error_of(entry, by), number(study.percent(entry, by), 2), after)
        table.add_row(str(entry.budget), entry.sampler, entry.grid, entry.end, *row)
    return table


def network_table(study: Study) -> Table:
    """How the plans that the study recommends fare on the trained network, as a rich table.

    Raises:
        ValueError: a study without a network.
    """
    from rich.table import Table

    network = study.network
    if isinstance(network, str):
        raise ValueError(f"the study asked no network ({network}): study the images of one")
    title = f"On the trained network of {network.network} (error: distance to its own trajectories)"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("budget", justify="right", no_wrap=True)
    table.add_column("by", no_wrap=True)
    # its grid stands among the winners: with it a row would not fit into a terminal
    table.add_column("recommended", no_wrap=True)
    for name in ("error", "place", "Spearman, 95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for by, budget in sorted(network.checks, key=lambda key: (key[1], key[0] != study.by)):
        found, (place, among) = network.recommended(by, budget), network.place(by, budget)
        words = (str(budget), "W₂" if by == "w2" else by, found.entry.sampler)
        error = with_error(found.error, found.error_se)
        style = "bold" if by == study.by else None
        table.add_row(*words, error, f"{place} of {among}", spearman_of(network, by, budget), style=style)
    return table


def _check_budgets(budgets: Sequence[int]) -> tuple[int, ...]:
    if not budgets:
        raise ValueError("no budget was given: name numbers of model evaluations, such as 5,8,10,20")
    for n in budgets:
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"budget {n!r} is no number of evaluations: use whole numbers >= 1, such as 5,8,10,20")
    return tuple(dict.fromkeys(budgets))


def _points(dim: int) -> int:
    """Points on the mixture: fewer in many dimensions, whose points cost more and vary less."""
    return max(16, min(64, 64 * 3072 // dim), min(256, 256 * 64 // dim))


def _write(study: Study, out: Path, advance: Any) -> None:
    with fresh_folder(out) as folder:
        (folder / "plans").mkdir()
        for name, entry in study.plan_files().items():
            entry.plan.save(folder / name)
        study.surrogate.save(folder / "surrogate.npz")
        write_text(folder / "results.csv", results_csv(study))
        if not isinstance(study.network, str):
            write_text(folder / "network.csv", network_csv(study.network))
        pictures = draw_all(study, folder / "figures", advance)
        write_text(folder / "report.html", render(study, pictures))
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        content = record(study) | {"files": [*files, RECORD]}
        write_text(folder / RECORD, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _say(study: Study, out: Path, console: Console) -> None:
    for by in sorted(MEASURES, key=lambda by: by != study.by):
        console.print()
        console.print(winners_table(study, by))
    console.print()
    if isinstance(study.network, str):
        console.print(f"[dim]{study.network}[/dim]", highlight=False)
    else:
        console.print(network_table(study))
    console.print()
    for names, budgets in study.absent.items():
        console.print(f"[dim]without a plan at a budget of {many(budgets)}: {', '.join(names)}[/dim]", highlight=False)
    example = study.file_of(study.winners()[-1])
    for line in (f"report   {out / 'report.html'}", f"samples  diffnum sample {shlex.quote(str(out / example))}"):
        # paths are not rich's markup, and are copied: no breaks
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _bars(console: Console | None) -> Iterator[Any]:
    """A function ``stage(title, total)`` whose block is one progress bar; its value is ``advance(done, total)``."""
    from rich.console import Console as Quiet
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = console or Quiet(file=io.StringIO())
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=shown, disable=console is None) as progress:

        @contextmanager
        def stage(title: str, total: int | None) -> Iterator[Any]:
            task = progress.add_task(title, total=total)

            def advance(done: int, of: int) -> None:
                progress.update(task, completed=done, total=of)

            yield advance
            whole = progress.tasks[task].total or 1
            progress.update(task, completed=whole, total=whole)

        try:
            yield stage
        except BaseException:
            for task in progress.task_ids:
                progress.update(task, visible=False)
            raise
