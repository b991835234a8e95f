"""Regenerate what the README shows: the certificate table and the picture. ``python -m diffnum.lab.readme``.

With an argument, the closing line of a full test run, it records that instead.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..certificate import Certificate, certify_all
from ..figures import order_fan, save, style
from ..process import VP
from ..solvers import ALL
from ..trace import compile
from ..witness import COUNTS, LOW, Run, nonlinear, norm, path_errors, uniform

__all__ = ["certificate_table", "record_full_run", "update"]

FIGURE = "notebooks/figures/published-and-corrected.png"
RERUN = "python -m diffnum.lab.readme"


def certificate_table(certificates: Sequence[Certificate]) -> str:
    """The certificates as a Markdown table."""
    head = "| sampler | claimed | proved | measured | Gaussian | float32 | mutants | verdict |"
    rows = [head, "|---|---|---|---|---|---|---|---|"]
    for c in certificates:
        kind = "weak " if c.proof.kind == "weak order" else ""
        gauss = min(s.value for s in c.slopes if s.witness.startswith("Gaussian") and s.must != "print")
        mutants = f"{c.killed} noticed" + (f", {len(c.free)} free" if c.free else "") if c.mutants else "none"
        rows.append(
            f"| `{c.name}` | {kind}{c.claimed}, cold {c.claimed_cold} | {kind}{c.proof.order}, cold {c.proof.cold} "
            f"| {_two(c.measured)} | {_two(gauss)} | {c.float32:.1f} | {mutants} | {c.verdict} |"
        )
    notes = [f"- `{c.name}`: {c.note}" for c in certificates if c.note]
    return "\n".join([*rows, "", *notes])


def _two(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # never -0.00


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
    text = _section(text, "certificates", certificate_table(certify_all(ALL.values())))
    readme.write_text(text)


def record_full_run(root: Path, summary: str) -> None:
    """Write pytest's closing line and the commit into the README's section on the full run."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True).stdout
    counts = summary.partition(" in ")[0].strip("= ")
    readme = root / "README.md"
    line = f"Last full run (`make test-full`): {counts}, at commit `{commit.strip()}`."
    readme.write_text(_section(readme.read_text(), "full", line))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        record_full_run(Path.cwd(), sys.argv[1])
    else:
        update(Path.cwd())
