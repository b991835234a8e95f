"""``diffnum design``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .printing import AsJson, check_file, console, plain, print_json
from .studies import PROCESSES, Limit, Size, image_size, named_process

if TYPE_CHECKING:
    from ..design import Design

__all__ = ["design"]


def design(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="digits, a folder of images, an array file of samples or latents, or of a spectrum."
        ),
    ],
    nfe: Annotated[int, typer.Option(min=2, max=64, help="Model evaluations to spend.")] = 8,
    out: Annotated[Path, typer.Option(help="The plan; its figure goes beside it.")] = Path("plan.json"),
    process: Annotated[
        str | None, typer.Option(help=f"Noise process: {', '.join(PROCESSES)}; vp if neither this nor --for is given.")
    ] = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(
            "--for", metavar="PIPELINE", help="A saved diffusers pipeline, whose process and prediction to take."
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            min=0, help="Scale of classifier-free guidance to design for, 1 the class itself; DATA must have labels."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    size: Size = None,
    limit: Limit = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; as many as cores, up to four, if not given.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Design the sampler of a budget for your data, on laws with exact denoisers. Exit code 1 if nothing is gained."""
    check_file(out, (".json",))
    picked = image_size(size)
    if pipeline is not None and process is not None:
        raise ValueError(f"--for {str(pipeline)!r} says what the process is: leave --process {process} out")
    named = "vp" if process is None else process
    from ..design import design as designed
    from ..lab.design import draw_design, record
    from ..lab.samples import classes_of, convention_of, samples

    convention = None if pipeline is None else convention_of(pipeline)
    chosen: Any = named_process(named) if convention is None else convention.process
    prediction = "data" if convention is None else convention.prediction
    rows, spectrum = samples(data, picked, limit)
    labels = None if guidance is None else classes_of(data, limit)
    workers = jobs or min(4, os.cpu_count() or 1)
    with _progress(as_json) as stage:
        made = designed(rows, nfe, chosen, spectrum, prediction, None, seed, workers, labels, guidance, on_stage=stage)
    out.parent.mkdir(parents=True, exist_ok=True)
    made.plan.save(out)
    words = ["diffnum", "design", data, "--nfe", str(nfe), "--out", str(out), "--seed", str(seed)]
    words += [] if guidance is None else ["--guidance", f"{guidance:g}"]
    words += ["--for", str(pipeline)] if pipeline else ["--process", named]
    picture = draw_design(made, out.with_name(f"{out.stem}.figure.png"), shlex.join(words))[0]
    cautions = _cautions(0 if rows is None else rows[0].size)
    if as_json:
        print_json(plain({"out": str(out), "picture": str(picture), "cautions": cautions, **record(made)}))
    else:
        _print(made, out, picture, cautions)
    return int(not made.better)


def _progress(quiet: bool) -> Any:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    @contextmanager
    def bars() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
        screen = Console(stderr=True)
        # where there is no terminal an empty bar would still end its line
        with Progress(*columns, console=screen, disable=quiet or not screen.is_terminal, transient=True) as progress:
            tasks: dict[str, Any] = {}

            def stage(what: str, done: int, of: int) -> None:
                task = tasks.setdefault(what, progress.add_task(what, total=of) if what not in tasks else None)
                progress.update(task, completed=done, total=of)

            yield stage

    return bars()


def _print(made: Design, out: Path, picture: Path, cautions: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    title = f"{made.nfe} evaluations: distance to the exact trajectory's end, on laws the design never saw"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("law", no_wrap=True)
    for name in ("by hand", "designed", "less by", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for v in made.verdicts:
        span = f"{100 * v.gain.low:.0f} to {100 * v.gain.high:.0f} %"
        lost = "worse" if v.gain.high < 0 else "inside the noise"
        said = Text("better", "green") if v.better else Text(lost, "bold red")
        numbers = f"{v.hand_made_error:.3g}", f"{v.error:.3g}", f"{100 * v.gain.value:.0f} %"
        table.add_row(v.trial, *numbers, span, said)
    screen.print(table)
    screen.print()
    for v in made.verdicts:
        screen.print(f"by hand  {v.trial}: {v.hand_made}", markup=False, highlight=False, soft_wrap=True)
    screen.print()
    verdict = "better on all of them" if made.better else "not better on all of them: use the hand-made sampler"
    screen.print(f"verdict  {verdict}", highlight=False)
    for line in (*(f"network  {said}" for said in cautions), f"plan     {out}", f"picture  {picture}"):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


def _cautions(dimensions: int) -> list[str]:
    """What gains on laws do not say where a mixture describes few of all dimensions."""
    from ..design.surrogates import RANK

    if dimensions <= RANK:
        return []
    return [
        f"laws describe {RANK} of {dimensions} dimensions closely, and a network may gain less or lose: hold the "
        "plan against yours by dn.design.judge, refine it on some of its trajectories by dn.design.refine"
    ]
