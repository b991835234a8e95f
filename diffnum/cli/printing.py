"""What commands print, and where they write: tables, notes, JSON, a progress bar."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "AsJson",
    "AsMarkdown",
    "check_file",
    "console",
    "counting",
    "notes",
    "one_form",
    "plain",
    "print_json",
    "show",
    "write",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]


def one_form(as_json: bool, as_markdown: bool) -> None:
    """Refuse two forms for one output.

    Raises:
        ValueError: both are asked for.
    """
    if as_json and as_markdown:
        raise ValueError("--json and --markdown are two forms of one output: leave one out")


def console() -> Console:
    """The terminal, as wide as it is."""
    from rich.console import Console

    return Console()


def print_json(content: Any) -> None:
    """Print JSON without NaN and infinities."""
    print(json.dumps(content, indent=1, allow_nan=False))


def plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: None takes their place."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not (abs(value) < float("inf")) else value


def show(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str]) -> None:
    """Print a table; the columns ``numbers`` are set to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=name == head[0])
    for row in rows:
        marks = {"holds": "[green]holds[/green]", "fails": "[bold red]fails[/bold red]"}
        table.add_row(*(marks.get(cell, cell) for cell in row))
    console().print(table)


def notes(said: Iterable[tuple[str, str]]) -> None:
    """Print names with what is to be said about them, those of which nothing is left out."""
    from rich.padding import Padding

    screen = console()
    for name, note in said:
        if note:
            screen.print()
            screen.print(f"[bold]{name}[/bold]")
            screen.print(Padding(note, (0, 0, 0, 2)), highlight=False, markup=False)


def counting(total: int, title: str, quiet: bool) -> Any:
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


def check_file(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse a path that cannot become a file of that kind.

    Raises:
        ValueError: another ending, a folder, a place below a file or one that cannot be written.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"--out {str(path)!r} ends in none of {', '.join(suffixes)}: name a file of that kind")
    if path.is_dir():
        raise ValueError(f"--out {str(path)!r} is a folder: name a file")
    from ..lab.folder import check_writable

    check_writable(path)


def write(path: Path, text: str) -> None:
    """Write a file that :func:`check_file` let pass, and the folders above it."""
    from ..lab.folder import write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
