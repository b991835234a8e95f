"""The report of a folder of runs: one page that needs nothing else, the same whatever happened on the way."""

from __future__ import annotations

import base64
import statistics
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from ... import figures
from ..folder import write_text
from ..report import many, number, packaged
from .table import Row, Table, listed, shown, tables, to_csv

__all__ = ["PAGE", "write_page"]

PAGE, ROWS = "report.html", "runs.csv"
PANELS = 6  # numbers that are plotted
CURVES = 10  # of one plot; more are drawn in grey
COLUMNS = 10  # numbers in the table
IMAGES = 48  # on the page


@dataclass(frozen=True)
class Image:
    """A PNG of the page, with its words."""

    png: bytes
    title: str
    caption: str = ""


def write_page(out: Path) -> tuple[Path, tuple[Table, ...]]:
    """Write ``report.html`` and ``runs.csv`` into a folder of runs.

    The page holds no times and no places: a sweep that was killed and went on has the page of one that was not.

    Raises:
        ValueError: no runs lie there.
    """
    found = tables(out)
    write_text(out / ROWS, to_csv(found))
    write_text(out / PAGE, render(out, found))
    return out / PAGE, found


def render(out: Path, found: tuple[Table, ...]) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"told": _told, "shown": shown, "embed": _embed, "many": many}
    rows = [row for table in found for row in table.rows]
    sections = [
        {
            "table": table,
            "numbers": table.numbers[:COLUMNS],
            "more": table.numbers[COLUMNS:],
            "plot": _plot(table),
            "images": _images(table),
        }
        for table in found
    ]
    return environment.from_string(packaged("runs/page.html.j2")).render(
        css=packaged("page.css"),
        sections=sections,
        total=len(rows),
        counts={status: sum(row.status == status for row in rows) for status in ("finished", "failed", "not run")},
        command=listed(out).get("command") or (rows[0].record.get("command", "") if len(rows) == 1 else ""),
        made=_made(rows),
        limit=IMAGES,
    )


def _made(rows: list[Row]) -> list[str]:
    """Versions, devices and commits behind the runs, each once."""
    said: dict[str, None] = {}
    for row in rows:
        for name, version in row.record.get("versions", {}).items():
            said[f"{name} {version}"] = None
        if row.record:
            said[row.record["device"]] = None
        commit = row.record.get("commit")
        if commit:
            said[f"commit {commit['id'][:12]}{' with changes' * commit['dirty']}"] = None
    return list(said)


def _told(value: float) -> str:
    """Counts as they are, measurements to three digits."""
    return str(value) if isinstance(value, int) else number(value)


def _embed(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


# --- pictures --------------------------------------------------------------------------------------------------------


def _images(table: Table) -> list[Image]:
    """PNGs that the runs promised, with what varied below."""
    found = []
    for row in table.rows:
        caption = ", ".join(f"{name} {shown(row.parameters[name])}" for name in table.varied if name in row.parameters)
        for file in row.record.get("artefacts", {}):
            if file.lower().endswith(".png") and row.folder is not None and row.status == "finished":
                found.append((row.folder / file, Path(file).stem, caption))
    return [Image(path.read_bytes(), title, caption) for path, title, caption in found[:IMAGES]]


def _plot(table: Table) -> Image | None:
    """Each number against the numeric parameter with the most values; a curve for each combination of the others.
    Seeds are dots, their mean the curve. None if no parameter has three values."""
    rows = [row for row in table.rows if row.status == "finished"]
    axis = _axis(table, rows)
    drawn = [n for n in table.numbers if len({row.numbers.get(n) for row in rows}) > 1][:PANELS]
    if axis is None or not drawn:
        return None
    curves: dict[str, list[Row]] = {}
    for row in rows:
        others = {n: row.parameters.get(n) for n in table.varied if n not in (axis, "seed")}
        curves.setdefault(
            ", ".join(shown(v) if isinstance(v, str) else f"{n} {shown(v)}" for n, v in others.items()), []
        ).append(row)
    columns = 1 if len(drawn) == 1 else 2
    height = -(-len(drawn) // columns)
    with figures.style():
        fig, axes = figures.panels(height, columns, (7.2, 4.2) if columns == 1 else (9.6, 3.6 * height))
        for ax, name in zip(axes.flat, drawn, strict=False):
            _panel(ax, name, axis, curves)
        for ax in list(axes.flat)[len(drawn) :]:
            ax.axis("off")
        if 1 < len(curves) <= CURVES:
            axes[0, 0].legend()
        png = BytesIO()
        fig.savefig(png, format="png", dpi=160, bbox_inches="tight", pad_inches=0.12)
    dots = "; dots are seeds, the curve is their mean" if "seed" in table.varied else ""
    return Image(png.getvalue(), f"{many(drawn)} against {axis}", f"{many(drawn)} against {axis}{dots}.")


def _axis(table: Table, rows: list[Row]) -> str | None:
    values = {
        name: {row.parameters.get(name) for row in rows}
        for name in table.varied
        if name != "seed" and all(_is_number(row.parameters.get(name)) for row in rows)
    }
    best = max(values, key=lambda name: len(values[name]), default=None)
    return best if best is not None and len(values[best]) >= 3 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _panel(ax: Any, name: str, axis: str, curves: dict[str, list[Row]]) -> None:
    few = len(curves) <= CURVES
    inks = figures.inks(list(curves)) if few else {}
    seen: list[float] = []
    places: set[float] = set()
    for label, rows in curves.items():
        points: dict[float, list[float]] = {}
        for row in rows:
            if name in row.numbers:
                points.setdefault(row.parameters[axis], []).append(row.numbers[name])
        x = sorted(points)
        colour = inks[label].colour if few else "#8a8a8a"
        ax.plot(x, [statistics.fmean(points[v]) for v in x], color=colour, label=label)
        ax.plot([v for v in x for _ in points[v]], [y for v in x for y in points[v]], "o", color=colour, ms=3.6)
        seen += [y for ys in points.values() for y in ys]
        places |= set(x)
    ax.set_title(name)
    ax.set_xlabel(axis)
    if min(seen) > 0 and max(seen) > 20 * min(seen):
        ax.set_yscale("log")
    if min(places) > 0 and max(places) >= 8 * min(places):
        ax.set_xscale("log")
        if len(places) <= 8:
            ax.set_xticks(sorted(places), [f"{v:g}" for v in sorted(places)])
            ax.minorticks_off()
