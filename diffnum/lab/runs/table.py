"""The runs of a folder as a table: what varied, what came out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import store
from .sweeping import SWEEP

__all__ = ["Row", "Table", "shown", "tables", "to_csv"]


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        key: of the run.
        status: ``finished``, ``failed``, or ``not run`` for one that a sweep lists and that did not end yet.
        parameters, numbers: by name.
        reason: why it failed.
        record: of ``run.json``; empty if not run.
        folder: where it lies, or None.
    """

    key: str
    status: str
    parameters: dict[str, Any]
    numbers: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class Table:
    """Runs of one notebook as it then was.

    Attributes:
        notebook: its file name.
        rows: runs of the folder's sweep in its order, then others by their parameters.
        varied: parameters that are not the same in all rows.
        same: the others, with their value.
        numbers: names of all numbers of the results.
    """

    notebook: str
    rows: tuple[Row, ...]
    varied: tuple[str, ...]
    same: dict[str, Any]
    numbers: tuple[str, ...]

    def count(self, status: str) -> int:
        """How many rows have a status."""
        return sum(row.status == status for row in self.rows)


def tables(out: Path) -> tuple[Table, ...]:
    """Every run of a folder, by notebook; the notebook of the folder's sweep first.

    Raises:
        ValueError: no runs lie there, or one was changed by hand.
    """
    if not out.is_dir():
        raise ValueError(f"{out} is no folder: name one that `diffnum run` or `diffnum sweep` wrote")
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for run in listed(out).get("runs", []):
        group = groups.setdefault((run["notebook"], run["source"]), {})
        group[run["key"]] = Row(run["key"], "not run", run["parameters"])
    rest = []
    for folder in store.folders(out):
        key = folder.name[:16]
        record = store.read(out, key) or {}
        row = Row(key, record["status"], record["parameters"], record["numbers"], record["reason"], record, folder)
        group = (record["notebook"], record["source"])
        if key in groups.get(group, {}):
            groups[group][key] = row
        else:
            rest.append((group, row))
    for group, row in sorted(rest, key=lambda found: (found[0], _order(found[1].parameters), found[1].key)):
        groups.setdefault(group, {})[row.key] = row
    if not groups:
        raise ValueError(f"{out} holds no runs: name a folder that `diffnum run` or `diffnum sweep` wrote")
    return tuple(_table(name, tuple(rows.values())) for (name, _), rows in groups.items())


def listed(out: Path) -> dict[str, Any]:
    """What the folder's last sweep set out to do; empty if there was none."""
    file = out / SWEEP
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _order(parameters: dict[str, Any]) -> list[Any]:
    """Numbers by size, before words."""
    return [
        (name, isinstance(v, str), v if isinstance(v, int | float | str) else str(v))
        if not isinstance(v, list | dict) and v is not None
        else (name, True, json.dumps(v, sort_keys=True))
        for name, v in sorted(parameters.items())
    ]


def _table(notebook: str, rows: tuple[Row, ...]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row.parameters))
    told = {name: [json.dumps(row.parameters.get(name), sort_keys=True) for row in rows] for name in names}
    varied = tuple(name for name in names if len(set(told[name])) > 1)
    same = {name: rows[0].parameters[name] for name in names if name not in varied}
    numbers = tuple(dict.fromkeys(name for row in rows for name in row.numbers))
    return Table(notebook, rows, varied, same, numbers)


def shown(value: Any) -> str:
    """A parameter as people write it: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def to_csv(found: Sequence[Table]) -> str:
    """All tables as one CSV: notebook, key, status, ``parameter.*``, ``number.*``, reason; nothing that differs from
    one computation to the next."""
    parameters = list(dict.fromkeys(name for table in found for name in (*table.same, *table.varied)))
    numbers = list(dict.fromkeys(name for table in found for name in table.numbers))
    text = io.StringIO()
    head = [
        "notebook",
        "key",
        "status",
        *(f"parameter.{n}" for n in parameters),
        *(f"number.{n}" for n in numbers),
        "reason",
    ]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for table in found:
        for row in table.rows:
            told = [shown(row.parameters[n]) if n in row.parameters else "" for n in parameters]
            writer.writerow(
                [table.notebook, row.key, row.status, *told, *(row.numbers.get(n, "") for n in numbers), row.reason]
            )
    return text.getvalue()
