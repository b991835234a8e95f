"""``diffnum solvers``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import AsJson, AsMarkdown, check_file, console, one_form, print_json, write

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..facts import Facts

__all__ = ["listing"]

_LEGEND = {
    "order": "with exact starting values / with its own start-up / on grids whose steps change smoothly",
    "NFE": "model evaluations in n steps",
    "stages": "evaluations of one step; in brackets those that wait for one another, where the others need not",
    "live": "samples held at once, with the prediction (data or noise) that needs fewer",
    "interval": "L: stable on dy/dc = m y for -L <= m dc <= 0, c = sigma/alpha or as said (SNR: alpha/sigma)",
    "guidance": "largest guidance scale stable for every class at steps of 1/2 in log-SNR; below 1 they grow unguided",
}
# less room than this for the sources, and they stand below the table
_SOURCE = 30


def listing(
    family: Annotated[str | None, typer.Option(help="Only this family, such as implicit.")] = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    out: Annotated[Path | None, typer.Option(help="Write it as well: .json as JSON, .md as Markdown.")] = None,
) -> None:
    """List samplers by family: what each claims and costs, how far it is stable, where it is published."""
    one_form(as_json, as_markdown)
    if out is not None:
        check_file(out, (".json", ".md"))
    facts = _measured(family)
    from ..facts import markdown

    content = [one.to_json() for one in facts]
    if out is not None:
        write(out, (markdown(facts) if out.suffix.lower() == ".md" else json.dumps(content, indent=1)) + "\n")
    if as_json:
        print_json(content)
    elif as_markdown:
        print(markdown(facts))
    else:
        _print(facts)


def _measured(family: str | None) -> list[Facts]:
    from ..facts import families, measure
    from ..solvers import ALL

    known = families(ALL.values())
    chosen = [name for name in known if family is None or name.lower() == family.lower()]
    if not chosen:
        raise ValueError(f"--family {family!r} is unknown: use one of {', '.join(known)}")
    return [measure(sampler) for name in chosen for sampler in ALL.values() if sampler.family == name]


def _print(facts: Sequence[Facts]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..facts import cells, titled

    screen = console()
    for family in dict.fromkeys(one.family for one in facts):
        members = [one for one in facts if one.family == family]
        screen.print(Text(f"{titled(family)}, {len(members)}", style="bold"))
        table = _table(members, screen, sources=False)
        wide = screen.width - screen.measure(table).maximum >= _SOURCE
        screen.print(_table(members, screen, sources=True) if wide else table)
        if not wide:
            for source, names in _together((cells(m)["source"], m) for m in members):
                _below(screen, source, names, "dim")
        for note, names in _together((m.note, m) for m in members):
            if note:
                _below(screen, names, note)
        for names in _aliases(family):
            _below(screen, "other names", names)
        screen.print()
    legend = Table.grid(padding=(0, 2, 0, 0))
    for name, meaning in _LEGEND.items():
        legend.add_row(Text(name, style="bold"), meaning)
    screen.print(legend)


def _aliases(family: str) -> list[str]:
    from ..solvers import ALIASES

    said = [f"{name} is {solver.name}" for name, solver in ALIASES.items() if solver.family == family]
    return [", ".join(said)] if said else []


def _table(facts: Sequence[Facts], screen: Console, sources: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    from ..facts import cells

    table = Table(box=None, pad_edge=False, padding=(0, 2 if screen.width >= 100 else 1, 0, 0), header_style="italic")
    table.add_column("sampler", no_wrap=True, min_width=21)
    for name in _LEGEND:
        table.add_column(name, justify="right", no_wrap=True)
    if sources:
        table.add_column("source")
    for one in facts:
        shown = cells(one)
        names = ("NFE", "stages", "live", "interval", "guidance", *["source"] * sources)
        # a word in the place of a number steps back
        words = [Text(shown[name], style="dim" if shown[name] in ("noise", "varies") else "") for name in names]
        table.add_row(one.name, _order(one), *words)
    return table


def _order(one: Facts) -> str:
    if one.smooth is not None:
        return f"{one.order}/{one.cold}/{one.smooth}"
    order = str(one.order) if one.cold == one.order else f"{one.order}/{one.cold}"
    return f"weak {order}" if one.stochastic else order


def _together(pairs: Iterable[tuple[str, Facts]]) -> list[tuple[str, str]]:
    """Texts, each once, with the names of those to whom they belong."""
    found: dict[str, list[str]] = {}
    for text, one in pairs:
        found.setdefault(text, []).append(one.name)
    return [(text, ", ".join(names)) for text, names in found.items()]


def _below(screen: Console, head: str, text: str, style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    screen.print(Padding(Text(f"{head}: {text}", style=style), (0, 0, 0, 2)))
