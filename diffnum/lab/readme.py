"""Regenerate what the README shows: the picture, the samplers and the certificates. ``python -m diffnum.lab.readme``.

With the argument ``samplers`` only their table, which takes seconds, with ``certificates`` only theirs, with ``bench``
and ``gains`` the results that stand in ``tests/benchmarks``; with the closing line of a full test run it records that
instead.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..certificate import Certificate, certify_all
from ..facts import folded, measure
from ..figures import order_fan, save, style
from ..process import VP
from ..solvers import ALL
from ..trace import compile
from ..witness import COUNTS, LOW, Run, nonlinear, norm, path_errors, uniform

__all__ = ["certificate_table", "record_full_run", "update", "update_bench", "update_gains", "update_samplers"]

FIGURE = "notebooks/figures/published-and-corrected.png"
RERUN = "python -m diffnum.lab.readme"
BENCH = "tests/benchmarks/cpu"
GAINS = "tests/benchmarks/gains.csv"


def certificate_table(certificates: Sequence[Certificate]) -> str:
    """The certificates as a Markdown table."""
    head = "| sampler | claimed | proved | measured | Gaussian | float32 | mutants | verdict |"
    rows = [head, "|---|---|---|---|---|---|---|---|"]
    for c in certificates:
        kind = "weak " if c.proof.kind == "weak order" else ""
        gaussian = (s.value for s in c.slopes if s.witness.startswith("Gaussian") and s.must != "print")
        gauss = min(gaussian, default=float("nan"))
        mutants = f"{c.killed} noticed" + (f", {len(c.free)} free" if c.free else "") if c.mutants else "none"
        claimed = _orders(c.claimed, c.claimed_cold, c.claimed_smooth)
        proved = _orders(c.proof.order, c.proof.cold, c.proof.smooth)
        rows.append(
            f"| `{c.name}` | {kind}{claimed} | {kind}{proved} "
            f"| {_two(c.measured)} | {_two(gauss)} | {c.float32:.1f} | {mutants} | {c.verdict} |"
        )
    notes = [f"- `{c.name}`: {c.note}" for c in certificates if c.note]
    return "\n".join([*rows, "", *notes] if notes else rows)


def by_family(certificates: Sequence[Certificate]) -> str:
    """:func:`certificate_table` for each family, folded, with how many hold; the first one open."""
    parts: list[str] = []
    for family in dict.fromkeys(c.family for c in certificates):
        members = [c for c in certificates if c.family == family]
        holding = sum(c.verdict == "holds" for c in members)
        say = f"all {holding} hold" if holding == len(members) else f"{holding} of {len(members)} hold"
        opened = "" if parts else " open"
        summary = f"<summary>{family.capitalize()}: {say}</summary>"
        parts.append(f"<details{opened}>{summary}\n\n{certificate_table(members)}\n\n</details>")
    return "\n".join(parts)


def _orders(order: int, cold: int, smooth: int | None) -> str:
    return f"{order}, cold {cold}" + ("" if smooth is None else f", smooth grids {smooth}")


def _two(value: float) -> str:
    return "none" if value != value else f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def _section(text: str, name: str, content: str) -> str:
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{content}\n{m[2]}", text, flags=re.DOTALL
    )


def _picture(root: Path) -> None:
    import matplotlib.pyplot as plt

    process = VP()
    run = Run.of(nonlinear(), process.at(LOW))
    names = ("ddim", "dpmpp_2m", "dpmpp_3m", "dpmpp_3m_corrected")
    errors = {
        name: np.array([norm(path_errors(compile(ALL[name], uniform(process, n)), run, True)) for n in COUNTS])
        for name in names
    }
    with style():
        fig, ax = plt.subplots(figsize=(7.2, 4.6))
        claimed = {name: ALL[name].order for name in names}
        order_fan(ax, np.array(COUNTS), errors, claimed, label="largest error at the end, exact starting values")
        ax.set_title("Published as order three, of order two: one factor 2")
        save(fig, root / FIGURE, {"steps": np.array(COUNTS), **errors}, RERUN)
        plt.close(fig)


def update(root: Path) -> None:
    """Rewrite the generated sections of ``root/README.md`` and its figure."""
    readme = root / "README.md"
    text = readme.read_text()
    _picture(root)
    text = _section(text, "figure", f"![Error against steps with exact starting values]({FIGURE})")
    readme.write_text(text)
    update_certificates(root)
    update_samplers(root)
    update_bench(root)
    update_gains(root)


def update_certificates(root: Path) -> None:
    """Rewrite the table of certificates in ``root/README.md``."""
    readme = root / "README.md"
    table = by_family(certify_all(ALL.values(), jobs=os.cpu_count() or 1))
    readme.write_text(_section(readme.read_text(), "certificates", table))


def update_samplers(root: Path) -> None:
    """Rewrite the table of samplers in ``root/README.md``."""
    readme = root / "README.md"
    table = folded([measure(sampler) for sampler in ALL.values()])
    readme.write_text(_section(readme.read_text(), "samplers", table))


def update_bench(root: Path) -> None:
    """Rewrite the results of the benchmark in ``root/README.md`` from the tables of ``make bench``."""
    from .bench.tables import markdown

    readme = root / "README.md"
    readme.write_text(_section(readme.read_text(), "bench", markdown(root / BENCH)))


def update_gains(root: Path) -> None:
    """Rewrite what designs gain in ``root/README.md`` from the table of ``make gains``."""
    from .gains import markdown

    readme = root / "README.md"
    readme.write_text(_section(readme.read_text(), "gains", markdown(root / GAINS)))


PARTS = {
    "samplers": update_samplers,
    "certificates": update_certificates,
    "bench": update_bench,
    "gains": update_gains,
}


def record_full_run(root: Path, summary: str) -> None:
    """Write pytest's closing line and the commit into the README's section on the full run.

    Raises:
        ValueError: what is no closing line.
    """
    if " passed" not in summary:
        raise ValueError(f"{summary!r} is no closing line of pytest: give one, or {', '.join(PARTS)}")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True).stdout
    counts = summary.partition(" in ")[0].strip("= ")
    readme = root / "README.md"
    line = f"Last full run (`make test-full`): {counts}, at commit `{commit.strip()}`."
    readme.write_text(_section(readme.read_text(), "full", line))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        update(Path.cwd())
    elif sys.argv[1] in PARTS:
        PARTS[sys.argv[1]](Path.cwd())
    else:
        record_full_run(Path.cwd(), sys.argv[1])
