"""The tables of the benchmark as Markdown, and its figure, both from the CSV files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...figures.sheet import SOFT, inks, panels, save
from .results import read

__all__ = ["draw", "markdown", "network_table", "oracle_table", "step_table"]

Row = Mapping[str, str]
# the library that a table names first is ours, run plainly
PLAIN = "diffnum"


def markdown(folder: Path) -> str:
    """What the README shows of a folder of results.

    Raises:
        ValueError: no table of steps there.
    """
    tables = {name: folder / f"{name}.csv" for name in ("steps", "networks", "oracle")}
    if not tables["steps"].exists():
        raise ValueError(f"{folder} holds no steps.csv: run make bench")
    rows, foot = read(tables["steps"])
    parts: list[str] = []
    for kind in dict.fromkeys((r["shape"], r["dtype"]) for r in rows):
        chosen = [r for r in rows if (r["shape"], r["dtype"]) == kind]
        opened = "" if parts else " open"
        parts += [f"<details{opened}><summary>({kind[0].replace('x', ', ')}), {kind[1]}</summary>", ""]
        parts += [step_table(chosen), "", "</details>"]
    if tables["networks"].exists():
        parts += ["<details><summary>Share of a run outside the network</summary>", ""]
        parts += [network_table(read(tables["networks"])[0]), "", "</details>"]
    if tables["oracle"].exists():
        parts += ["<details><summary>The oracle's answers, on one thread</summary>", ""]
        parts += [oracle_table(read(tables["oracle"])[0]), "", "</details>"]
    return "\n".join([*parts, "", *(f"- {line}" for line in foot)])


def step_table(rows: Sequence[Row]) -> str:
    """Steps of one shape and dtype: for every case ours, then each library in a column of its own.

    A cell of ours has kernels, traffic relative to the ideal and time relative to the ideal's; one of another library
    has its time relative to ours first.
    """
    others = [name for name in dict.fromkeys(r["library"] for r in rows) if name != PLAIN]
    head = ["case", f"{PLAIN}, noise", f"{PLAIN}, data", *others]
    lines = [_line(head), _line(["---"] * len(head))]
    for case in dict.fromkeys(r["case"] for r in rows):
        here = [r for r in rows if r["case"] == case]
        cells = [_ours(here, "noise"), _ours(here, "data")]
        for library in others:
            cells.append(next((_theirs(r) for r in here if r["library"] == library), ""))
        lines.append(_line([case, *cells]))
    return "\n".join(lines)


def network_table(rows: Sequence[Row]) -> str:
    """The share of the time outside the network in percent: a line for each network and batch."""
    libraries = [f"{library}, {p}" for library, p in dict.fromkeys((r["library"], r["prediction"]) for r in rows)]
    lines = [_line(["network", "batch", *libraries]), _line(["---"] * (len(libraries) + 2))]
    for network, batch in dict.fromkeys((r["network"], r["batch"]) for r in rows):
        here = {f"{r['library']}, {r['prediction']}": r for r in rows if (r["network"], r["batch"]) == (network, batch)}
        cells = [f"{100 * float(here[name]['outside']):.2g} %" if name in here else "" for name in libraries]
        lines.append(_line([network, batch, *cells]))
    return "\n".join(lines)


def oracle_table(rows: Sequence[Row]) -> str:
    """Questions, times, and what share of the matrix-product rate a denoiser reaches."""
    lines = [_line(["question", "size", "time", "matrix products", "of their rate"]), _line(["---"] * 5)]
    for r in rows:
        share = f"{100 * float(r['share']):.2g} %" if r["share"] else ""
        lines.append(_line([r["question"], r["size"], _time(float(r["seconds"])), _two(r["products"]), share]))
    return "\n".join(lines)


def _ours(rows: Sequence[Row], prediction: str) -> str:
    for r in rows:
        if r["library"] == PLAIN and r["prediction"] == prediction:
            return f"{float(r['kernels']):.3g} k, {_to_ideal(r)} traffic, {_two(r['to_ideal'])} time"
    return ""


def _theirs(r: Row) -> str:
    return f"**{_two(r['time'])}**, {float(r['kernels']):.3g} k, {_to_ideal(r)} traffic"


def _to_ideal(r: Row) -> str:
    return _two(float(r["moved"]) / float(r["ideal"]))


def _two(value: Any) -> str:
    number = float(value)
    return f"{number:.0f}" if number >= 99.5 else f"{number:.3g}" if number >= 9.95 else f"{number:.2g}"


def _time(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def draw(folder: Path, rerun: str) -> tuple[Path, ...]:
    """``steps.png`` in ``folder``: time and traffic of a step relative to the ideal, by case and library.

    Two panels for the first shape and dtype of the table, logarithmic; where a library takes the network to predict
    two things, noise.
    """
    rows, _ = read(folder / "steps.csv")
    first = rows[0]["shape"], rows[0]["dtype"]
    here = [r for r in rows if (r["shape"], r["dtype"]) == first]
    here = [r for r in here if not (r["library"].startswith(PLAIN) and r["prediction"] != "noise")]
    cases = list(dict.fromkeys(r["case"] for r in here))
    libraries = list(dict.fromkeys(r["library"] for r in here))
    measures = {
        "time of a step / that of the ideal traffic": lambda r: float(r["to_ideal"]),
        "bytes moved in a step / ideal": lambda r: float(r["moved"]) / float(r["ideal"]),
    }
    fig, axes = panels(1, 2, (10.8, 4.6))
    ink, width, numbers = inks(libraries), 0.8 / len(libraries), dict[str, Any]()
    for ax, (label, value) in zip(axes[0], measures.items(), strict=True):
        for k, library in enumerate(libraries):
            values = [
                next((value(r) for r in here if (r["case"], r["library"]) == (c, library)), np.nan) for c in cases
            ]
            at = np.arange(len(cases)) + (k - (len(libraries) - 1) / 2) * width
            ax.barh(at, values, width * 0.92, color=ink[library].colour, label=library)
            numbers[f"{label}: {library}"] = values
        ax.axvline(1.0, color=SOFT, lw=1.0)
        ax.set(xscale="log", xlabel=label, yticks=range(len(cases)), yticklabels=cases)
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
    axes[0][1].set_yticklabels([])
    axes[0][0].set_title(f"One step on ({first[0].replace('x', ', ')}), {first[1]}")
    axes[0][1].legend(loc="lower right")
    return save(fig, folder / "steps.png", {"cases": cases, **numbers}, rerun)
