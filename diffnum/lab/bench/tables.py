"""The tables of the benchmark as Markdown, and its figure, both from the CSV files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...figures.sheet import SOFT, inks, panels, save, style
from .results import read

__all__ = ["draw", "form_table", "markdown", "network_table", "oracle_table", "step_table"]

Row = Mapping[str, str]
# the library that a table names first is ours, run plainly
PLAIN = "diffnum"
FORMS = "One line of k terms: time relative to the ideal / to the executor's own form / largest error"


def markdown(folder: Path) -> str:
    """What the README shows of a folder of results.

    Raises:
        ValueError: no table of steps there.
    """
    tables = {name: folder / f"{name}.csv" for name in ("steps", "forms", "networks", "oracle")}
    if not tables["steps"].exists():
        raise ValueError(f"{folder} holds no steps.csv: run make bench")
    rows, foot = read(tables["steps"])
    picture = folder / "steps.png"
    parts = [f"![A step, relative to the ideal]({_below(picture)})", ""] if picture.exists() else []
    parts += ["Each cell: time of a step relative to diffnum's / kernels / bytes relative to the ideal.", ""]
    for kind in dict.fromkeys((r["shape"], r["dtype"]) for r in rows):
        chosen = [r for r in rows if (r["shape"], r["dtype"]) == kind]
        opened = "" if any("<details" in part for part in parts) else " open"
        parts += [f"<details{opened}><summary>({kind[0].replace('x', ', ')}), {kind[1]}</summary>", ""]
        parts += [step_table(chosen), "", "</details>"]
    others = (
        ("forms", FORMS, form_table),
        ("networks", "Share of a run outside the network", network_table),
        ("oracle", "The oracle's answers, on one thread", oracle_table),
    )
    for name, title, table in others:
        if tables[name].exists():
            rows, own = read(tables[name])
            # of a run of its own
            apart = [f"- {line}" for line in own if line not in foot]
            parts += [f"<details><summary>{title}</summary>", "", table(rows), "", *apart, "", "</details>"]
    return "\n".join([*parts, "", *(f"- {line}" for line in foot)])


def _below(path: Path) -> str:
    """``tests/benchmarks/cpu/steps.png``, wherever that is."""
    return "/".join(path.parts[-4:])


def step_table(rows: Sequence[Row]) -> str:
    """Steps of one shape and dtype, a line for each case and a column for each library.

    A cell has the time of a step relative to ours on the same prediction, its kernels, and its bytes relative to the
    ideal; two more columns have our own time relative to that of the ideal traffic.
    """
    columns = dict.fromkeys((r["library"], r["prediction"]) for r in rows)
    columns = sorted(columns, key=lambda column: not column[0].startswith(PLAIN))
    own = [column for column in columns if column[0] == PLAIN]
    head = ["case", *(f"{library}, {prediction}" for library, prediction in columns)]
    head += [f"{prediction}: time / ideal" for _, prediction in own]
    lines = [_line(head), _line(["---"] * len(head))]
    for case in dict.fromkeys(r["case"] for r in rows):
        here = {(r["library"], r["prediction"]): r for r in rows if r["case"] == case}
        cells = [_cell(here[column]) if column in here else "" for column in columns]
        lines.append(_line([case, *cells, *(_two(here[column]["to_ideal"]) for column in own)]))
    return "\n".join(lines)


def form_table(rows: Sequence[Row]) -> str:
    """Lines of plans: a line for each shape, dtype and number of terms, a column for each form.

    A cell has the time relative to that of the ideal traffic, relative to that of the executor's own form, and the
    largest error.
    """
    names = list(dict.fromkeys(r["form"] for r in rows))
    lines = [_line(["shape", "dtype", "k", *names]), _line(["---"] * (len(names) + 3))]
    for kind in dict.fromkeys((r["shape"], r["dtype"], r["terms"]) for r in rows):
        here = {r["form"]: r for r in rows if (r["shape"], r["dtype"], r["terms"]) == kind}
        cells = [_form_cell(here[name]) if name in here else "" for name in names]
        lines.append(_line([f"({kind[0].replace('x', ', ')})", *kind[1:], *cells]))
    return "\n".join(lines)


def _form_cell(r: Row) -> str:
    return f"{_two(r['to_ideal'])} / {_two(r['to_in_place'])} / {float(r['error']):.0e}"


def network_table(rows: Sequence[Row]) -> str:
    """The share of the time outside the network in percent: a line for each network and batch.

    On a GPU a cell also has the time of the run relative to ours on the same prediction.
    """
    libraries = [f"{library}, {p}" for library, p in dict.fromkeys((r["library"], r["prediction"]) for r in rows)]
    lines = [_line(["network", "batch", *libraries]), _line(["---"] * (len(libraries) + 2))]
    for network, batch in dict.fromkeys((r["network"], r["batch"]) for r in rows):
        here = {f"{r['library']}, {r['prediction']}": r for r in rows if (r["network"], r["batch"]) == (network, batch)}
        cells = [_share_cell(here[name]) if name in here else "" for name in libraries]
        lines.append(_line([network, batch, *cells]))
    return "\n".join(lines)


def _share_cell(r: Row) -> str:
    share = f"{100 * float(r['outside']):.2g} %"
    return share if r["device"] == "cpu" else f"{share} / {_two(r['run'])}"


def oracle_table(rows: Sequence[Row]) -> str:
    """Questions, times, and what share of the matrix-product rate a denoiser reaches."""
    lines = [_line(["question", "size", "time", "matrix products", "of their rate"]), _line(["---"] * 5)]
    for r in rows:
        share = f"{_two(100 * float(r['share']))} %" if r["share"] else ""
        lines.append(_line([r["question"], r["size"], _time(float(r["seconds"])), _two(r["products"]), share]))
    return "\n".join(lines)


def _cell(r: Row) -> str:
    traffic = float(r["moved"]) / float(r["ideal"])
    return f"{_two(r['time'])} / {float(r['kernels']):.3g} / {_two(traffic)}"


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

    For the first shape and dtype of the table, on noise where ours is run on both predictions. Bars grow from the
    ideal, on logarithmic axes.
    """
    rows, _ = read(folder / "steps.csv")
    first = rows[0]["shape"], rows[0]["dtype"]
    here = [r for r in rows if (r["shape"], r["dtype"]) == first]
    here = [r for r in here if not (r["library"].startswith(PLAIN) and r["prediction"] != "noise")]
    cases = list(dict.fromkeys(r["case"] for r in here))
    libraries = sorted(dict.fromkeys(r["library"] for r in here), key=lambda name: not name.startswith(PLAIN))
    labels = {
        "time": "time of a step, relative to that of the ideal traffic",
        "bytes": "bytes moved in a step, relative to the ideal",
    }
    numbers: dict[str, Any] = {"cases": cases}
    with style():
        fig, axes = panels(1, 2, (10.8, 5.2))
        for ax, (what, label) in zip(axes[0], labels.items(), strict=True):
            ax.axvline(1.0, color=SOFT, lw=1.4)
            for k, library in enumerate(libraries):
                mine = {r["case"]: r for r in here if r["library"] == library}
                values = [_relative(mine[c], what) if c in mine else np.nan for c in cases]
                _bars(ax, values, k, len(libraries), inks(libraries)[library].colour)
                numbers[f"{what}, {library}"] = values
            ax.set(xscale="log", xlabel=label, yticks=range(len(cases)), yticklabels=cases if what == "time" else [])
            _ticks(ax)
        axes[0][0].set_title(f"A step on ({first[0].replace('x', ', ')}), {first[1]}")
        fig.legend(axes[0][0].containers, libraries, loc="outside upper right", ncols=len(libraries), columnspacing=1.2)
    return save(fig, folder / "steps.png", numbers, rerun)


def _relative(r: Row, what: str) -> float:
    return float(r["to_ideal"]) if what == "time" else float(r["moved"]) / float(r["ideal"])


def _bars(ax: Any, values: Sequence[float], k: int, count: int, colour: str) -> None:
    width = 0.8 / count
    at = np.arange(len(values)) + (k - (count - 1) / 2) * width
    # what is below the ideal, as a time may be where a state stays in the cache, grows to the left
    ax.barh(at, np.asarray(values) - 1.0, width * 0.9, left=1.0, color=colour)
    ax.plot(values, at, "o", ms=3, color=colour, zorder=3)


def _ticks(ax: Any) -> None:
    low, high = ax.get_xlim()
    ticks = [m * 10.0**e for e in range(-2, 4) for m in (1, 2, 5)]
    ticks = [t for t in ticks if min(low, 0.9) <= t <= high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xticks([], minor=True)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
