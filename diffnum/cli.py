"""The ``diffnum`` command. What is wrong with the input is one sentence on stderr, and exit code 2."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from .certificate import Certificate
    from .lab import Surrogate
    from .plan import Plan
    from .trace import Solver

__all__ = ["app", "main", "run"]

PROCESSES = {"vp": "VP", "cosine": "Cosine", "subvp": "SubVP", "ve": "VE", "edm": "EDM", "flow": "Flow", "ddpm": "DDPM"}

app = typer.Typer(
    name="diffnum",
    help="An oracle for diffusion samplers: what they claim, what they keep, and which one your images want.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]
Size = Annotated[str | None, typer.Option(help="Crop and resample images to 32, say, or 32x48 for height x width.")]
Limit = Annotated[int | None, typer.Option(help="Take at most so many images, evenly spaced over all.")]
Components = Annotated[int, typer.Option(help="Gaussians in the mixture fitted to the images.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]


def main() -> None:
    """Run the command line and exit. A polite end from outside tidies up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for a claim that fails, 2 for bad input, 130 if interrupted.

    Args:
        arguments: words after ``diffnum``; those of this process if None.
    """
    usage_error: Any = typer.BadParameter.__bases__[0]  # click's, wherever this typer keeps its click
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False, prog_name="diffnum")
        sys.stdout.flush()
        # some versions of typer turn Ctrl-C into this code
        return _interrupted() if code == 130 else code if isinstance(code, int) else 0
    except usage_error as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "diffnum"
        return _complain(f"{error.format_message().rstrip('.')}: see {where} --help")
    except BrokenPipeError:
        # the reader had enough, as in `diffnum solvers | head`; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ValueError as error:
        return _complain(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}: choose another place or mend this one")
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()


def _complain(message: str) -> int:
    print("diffnum: " + " ".join(message.split()), file=sys.stderr)
    return 2


def _interrupted() -> int:
    print("diffnum: interrupted, nothing was written", file=sys.stderr)
    return 130


@app.callback(invoke_without_command=True)
def _front(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from . import __version__

        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


# --- solvers and their claims -----------------------------------------------------------------------------------


@app.command("solvers")
def solvers_(as_json: AsJson = False, as_markdown: AsMarkdown = False) -> None:
    """List every sampler with its claim: the order with exact starting values, and with its own start-up."""
    from .solvers import ALIASES, ALL

    if as_json:
        return _print_json([_claim(solver) for solver in ALL.values()])
    head = ("sampler", "family", "order", "cold", "source")
    if as_markdown:
        rows = [_solver_row(s, ", ".join(filter(None, (s.cite, s.eq)))) for s in ALL.values()]
        return print(_markdown(head, rows, numbers={"cold"}))
    _show(head, [_solver_row(s, s.cite) for s in ALL.values()], numbers={"cold"})
    _notes((solver.name, solver.note) for solver in ALL.values())
    _notes((name, f"another name of {solver.name}") for name, solver in ALIASES.items())


def _claim(solver: Solver) -> dict[str, Any]:
    names = ("name", "family", "order", "cold", "stochastic", "cite", "eq", "note")
    return {name: getattr(solver, name) for name in names}


def _solver_row(solver: Solver, source: str) -> tuple[str, ...]:
    order = f"{solver.order} weak" if solver.stochastic else str(solver.order)
    return solver.name, solver.family, order, str(solver.cold), source


@app.command()
def certify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="As `diffnum solvers` has them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Certify every sampler.")] = False,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    out: Annotated[Path | None, typer.Option(help="JSON file; of --all by default certificates.json.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Samplers at a time, one process each.")] = 1,
) -> int:
    """Prove and measure the order of samplers. Exit code 1 if a claim fails."""
    from .certificate import certify_all

    solvers = _named(names or [], every)
    if every and not (as_json or as_markdown):
        out = out or Path("certificates.json")
    if out is not None:
        _check_file(out, (".json",))
    with _counting(len(solvers), "certifying", quiet=as_json) as step:
        certificates = certify_all(solvers, on_done=lambda certificate: step(), jobs=jobs)
    content = [_plain(certificate.to_json()) for certificate in certificates]
    if out is not None:
        from .lab.folder import write_text

        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps(content, indent=1, allow_nan=False) + "\n")
    if as_json:
        _print_json(content)
    else:
        _print_certificates(certificates, as_markdown)
        if out is not None and not as_markdown:
            print(f"\ncertificates  {out}")
    return int(any(certificate.verdict != "holds" for certificate in certificates))


def _named(names: Sequence[str], every: bool) -> list[Solver]:
    from .solvers import ALIASES, ALL

    known = ALL | ALIASES
    if every == bool(names):
        wanted = "the samplers to certify, or give --all" if not every else "samplers or give --all, not both"
        raise ValueError(f"name {wanted}")
    for name in names:
        if name not in known:
            raise ValueError(f"sampler {name!r} is unknown: use one of {', '.join(known)}")
    return list(ALL.values()) if every else list({known[name].name: known[name] for name in names}.values())


def _print_certificates(certificates: Iterable[Certificate], as_markdown: bool) -> None:
    head = ("sampler", "claim", "proved", "slope", "cold", "float32", "mutants", "verdict")
    numbers = head[1:-1]
    rows = [_certificate_row(certificate) for certificate in certificates]
    if as_markdown:
        from .lab.readme import certificate_table

        return print(certificate_table(list(certificates)))
    # the verdict needs no heading, and 80 columns have no room for one
    _show((*head[:-1], ""), rows, numbers)
    _notes((c.name, "; ".join(c.reasons)) for c in certificates)
    _notes((c.name, c.note) for c in certificates)


def _certificate_row(c: Certificate) -> tuple[str, ...]:
    return (
        c.name,
        str(c.claimed),
        str(c.proved),
        f"{c.measured:.2f}",
        str(c.proof.cold),
        f"{max(c.float32, 0.0):.1f}",
        f"{c.killed}/{c.mutants - len(c.free)}",
        c.verdict,
    )


# --- studies ----------------------------------------------------------------------------------------------------


@app.command()
def study(
    data: Annotated[str, typer.Argument(metavar="DATA", help="digits, a folder of images, or a .npy or .npz file.")],
    nfe: Annotated[str, typer.Option(help="Budgets of model evaluations, separated by commas.")] = "5,8,10,20",
    out: Annotated[Path, typer.Option(help="Folder of results; an earlier study is replaced.")] = Path("study"),
    process: Annotated[str, typer.Option(help=f"Noise process: {', '.join(PROCESSES)}.")] = "vp",
    components: Components = 10,
    by: Annotated[str, typer.Option(help="What decides: w2 on the Gaussian, or path on the mixture.")] = "w2",
    seed: Seed = 0,
    size: Size = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Rank every sampler for your images at your budgets, and write a report."""
    budgets = _budgets(nfe)
    chosen = _process(process)
    image_size = _size(size)
    from .lab import run_study
    from .lab.result import record

    console = None if as_json else _console()
    done = run_study(data, budgets, out, chosen, components, by, seed, image_size, limit, console)
    if as_json:
        _print_json({"out": str(out), **record(done)})


@app.command()
def sample(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan as JSON, such as a study writes.")],
    data: Annotated[str | None, typer.Option(help="Images to fit; else the plan's study has them.")] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="How many images.")] = 64,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="A .png of all images, or .npy of (n, h, w, c).")] = Path("samples.png"),
    components: Components = 10,
    size: Size = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Run a plan, with the exact prediction of the mixture fitted to the images as the network."""
    if n < 1:
        raise ValueError(f"--n {n} draws nothing: use a whole number >= 1")
    _check_file(out, (".png", ".npy"))
    loaded = _load(plan)
    surrogate = _surrogate(plan, data, components, seed, _size(size), limit)
    from .lab import draw
    from .lab.pictures import write_images

    x = draw(loaded, surrogate, n, seed)
    write_images(out, x, surrogate.shape)
    if as_json:
        facts = {"plan": str(plan), "sampler": loaded.solver, "nfe": loaded.nfe, "n": n, "seed": seed}
        return _print_json(facts | {"data": surrogate.name, "shape": list(surrogate.shape), "out": str(out)})
    print(f"{n} image{'s' * (n > 1)} of {surrogate.name} by {loaded.solver}, {loaded.nfe} evaluations each: {out}")


def _load(path: Path) -> Plan:
    from .plan import Plan

    try:
        return Plan.load(path)
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _surrogate(plan: Path, data: str | None, components: int, seed: int, size: Any, limit: int | None) -> Surrogate:
    from .images import load
    from .lab import Surrogate

    if data is not None:
        return Surrogate.fit(load(data, size=size, limit=limit), components, seed)
    for folder in (plan.absolute().parent, plan.absolute().parent.parent):
        if (folder / "surrogate.npz").exists():
            return Surrogate.load(folder / "surrogate.npz")
    raise ValueError(f"{plan} does not lie in the folder of a study: name the images to sample with --data")


# --- words to values --------------------------------------------------------------------------------------------


def _budgets(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"[1-9][0-9]{0,5}", word):
            raise ValueError(f"--nfe {text!r} has the budget {word!r}: use whole numbers from 1, such as 5,8,10,20")
    return tuple(int(word) for word in words)


def _process(name: str) -> Any:
    from . import process

    if name.lower() not in PROCESSES:
        raise ValueError(f"--process {name!r} is unknown: use one of {', '.join(PROCESSES)}")
    return getattr(process, PROCESSES[name.lower()])()


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text)
    if not found:
        raise ValueError(f"--size {text!r} is no image size: use a number such as 32, or height x width such as 32x48")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def _check_file(path: Path, suffixes: tuple[str, ...]) -> None:
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"--out {str(path)!r} ends in none of {', '.join(suffixes)}: name a file of that kind")
    if path.is_dir():
        raise ValueError(f"--out {str(path)!r} is a folder: name a file")
    from .lab.folder import check_parent

    check_parent(path)


# --- printing ---------------------------------------------------------------------------------------------------


def _console() -> Console:
    from rich.console import Console

    return Console()


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: None takes their place."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not (abs(value) < float("inf")) else value


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str]) -> str:
    rule = ["--:" if name in numbers else ":--" for name in head]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    marked = [[f"`{row[0]}`", *row[1:]] for row in cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(head), rule, *marked])


def _show(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=name in (head[0], "family"))
    for row in rows:
        marks = {"holds": "[green]holds[/green]", "fails": "[bold red]fails[/bold red]"}
        table.add_row(*(marks.get(cell, cell) for cell in row))
    _console().print(table)


def _notes(notes: Iterable[tuple[str, str]]) -> None:
    from rich.padding import Padding

    said = [(name, note) for name, note in notes if note]
    console = _console()
    for name, note in said:
        console.print()
        console.print(f"[bold]{name}[/bold]")
        console.print(Padding(note, (0, 0, 0, 2)), highlight=False, markup=False)


def _counting(total: int, title: str, quiet: bool) -> Any:
    """A context whose value advances a progress bar on stderr by one."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    @contextmanager
    def bar() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)

    return bar()
