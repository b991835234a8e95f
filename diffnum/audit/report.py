"""An audit on the screen, as JSON, and as one HTML page that needs nothing else."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from .findings import Defect, Record
from .reproduction import RUNS, filename, page, script

__all__ = ["grouped", "html", "rows", "summary", "table", "write"]

HEAD = ("sampler and settings", "claim", "order", "calls", "float32", "nearest", "found")


def rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Cells of the table, one row per record that was audited."""
    return [_row(r) for r in records if r.status == "audited"]


def _row(record: Record) -> tuple[str, ...]:
    calls = f"{record.calls}/{record.steps}" if record.calls else ""
    near = record.near and (record.near if not record.difference else f"~ {record.near}")
    return (
        record.key,
        "" if record.claim is None else str(record.claim),
        _order(record),
        calls,
        _loss(record),
        near,
        ", ".join(dict.fromkeys(d.kind for d in record.faults)),
    )


def _order(record: Record) -> str:
    order = record.order
    if order is None or math.isnan(order.value):
        return ""
    weak = "weak " if record.stochastic else ""
    return f"{weak}{order.value:.1f}" if order.settled else f"{weak}{order.value:.1f}?"


def _loss(record: Record) -> str:
    worst = [v for v in record.loss.values() if v is not None and math.isfinite(v)]
    return f"{max(worst):.0e}" if worst else ""


def table(records: Sequence[Record], console: Any, every: bool = False) -> None:
    """Print it: samplers with defects, or all of them."""
    from rich.table import Table
    from rich.text import Text

    shown = [r for r in records if r.status == "audited" and (every or r.faults)]
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in HEAD:
        made.add_column(name, justify="right" if name in ("claim", "order", "calls", "float32") else "left")
    for record in shown:
        *cells, found = _row(record)
        made.add_row(*(Text(c) for c in cells), Text(found, style="bold red" if found else ""))
    if shown:
        console.print(made)
    console.print(summary(records), highlight=False)


def summary(records: Sequence[Record]) -> str:
    """In a sentence or two."""
    states = Counter(r.status for r in records)
    faulty = [r for r in records if r.faults]
    kinds = Counter(d.kind for r in faulty for d in {d.kind: d for d in r.faults}.values())
    found = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    clipped = sorted({r.name for r in records if r.remark})
    lines = [
        f"{states['audited']} settings of {len({r.name for r in records if r.status == 'audited'})} samplers audited, "
        f"{states['refused']} refused, {states['skipped']} skipped; {len(faulty)} with defects"
        + (f", {len(grouped(records))} of them distinct" if faulty else "")
        + (f": {found}." if found else ".")
    ]
    if clipped:
        lines.append(f"Audited with clipping off, which is on by default: {', '.join(clipped)}.")
    return "\n".join(lines)


def html(records: Sequence[Record], library: str, versions: str) -> str:
    """The page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("diffnum.audit").joinpath("report.html.j2").read_text(encoding="utf-8")
    shown = grouped(records)
    return environment.from_string(source).render(
        library=library,
        versions=versions,
        head=HEAD,
        summary=summary(records).split("\n"),
        names=sorted({found[0][0].name for found in shown}),
        groups=shown,
        rows=rows(records),
        rest=_counted([r for r in records if r.status != "audited"]),
        script=script,
        filename=filename,
    )


def grouped(records: Sequence[Record]) -> list[list[tuple[Record, Defect]]]:
    """Defects of one class that say the same but for their numbers, the one with fewest settings first; what many
    numbers of steps were tried for must fail with the same ones."""
    found: dict[tuple[str, ...], list[tuple[Record, Defect]]] = {}
    for record in records:
        for defect in record.faults:
            said = re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?", "#", defect.sentence)
            counts = defect.where.split(", step")[0] if defect.kind in RUNS else ""
            found.setdefault((record.name, defect.kind, said, counts), []).append((record, defect))
    return [sorted(group, key=lambda pair: len(pair[0].settings) + len(pair[0].options)) for group in found.values()]


def _counted(records: Sequence[Record]) -> list[tuple[str, str, str, int]]:
    """Name, status, reason and how many settings, each once."""
    found = Counter((r.name, r.status, r.reason) for r in records)
    return [(*what, count) for what, count in found.items()]


def write(records: Sequence[Record], folder: Path, library: str, versions: str, content: str) -> list[Path]:
    """``audit.json``, ``index.html`` and a page per defect under ``defects/``; returns the files."""
    pages = folder / "defects"
    pages.mkdir(parents=True, exist_ok=True)
    if (folder / "audit.json").exists():
        # those of the audit before
        for old in pages.glob("*.txt"):
            old.unlink()
    made = [folder / "audit.json", folder / "index.html"]
    made[0].write_text(content + "\n", encoding="utf-8")
    made[1].write_text(html(records, library, versions), encoding="utf-8")
    for record in records:
        for defect in record.faults:
            made.append(pages / filename(record, defect))
            made[-1].write_text(page(record, defect, versions), encoding="utf-8")
    return made
