"""``diffnum table``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import AsJson, console, plain, print_json

if TYPE_CHECKING:
    from ..tables import Audit

__all__ = ["table"]


def table(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="JSON, rows with a bar, file.py, file.py:NAME, module:NAME, or - to paste."
        ),
    ],
    claim: Annotated[
        int | None, typer.Option(min=1, help="The order it should have, if the file does not say.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check a Runge-Kutta, exponential or multistep table: sums, order, stability, slips. Exit code 1 if one fails."""
    from ..tables import audit, read

    audits = [audit(one, claim) for one in read(source)]
    if as_json:
        print_json(plain([one.to_json() for one in audits]))
    else:
        _print(audits)
    return int(any(one.verdict != "holds" for one in audits))


def _print(audits: Sequence[Audit]) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    styles = {"holds": "green", "fails": "bold red", "note": "dim"}
    for i, one in enumerate(audits):
        claim = "" if one.claim is None else f", claims {one.claim}"
        screen.print(Text.assemble(*["\n"] * (i > 0), (one.name, "bold"), f"  {one.kind}, order {one.order}{claim}"))
        lines = Table.grid(padding=(0, 2, 0, 0))
        for finding in one.findings:
            lines.add_row(finding.check, Text(finding.verdict, style=styles[finding.verdict]), Text(finding.said))
        for slip in one.slips:
            lines.add_row("slip", Text("likely" if len(one.slips) == 1 else "maybe", style="yellow"), Text(str(slip)))
        for known in one.known:
            lines.add_row("known", Text("note", style="dim"), Text(f"it {known}"))
        screen.print(lines)
