"""Regenerate what the README shows, and the pages of samplers and certificates. ``python -m diffnum.lab.readme``.

With the argument ``samplers`` only their page and its sums, which takes seconds, with ``certificates`` only theirs,
with ``bench`` and ``gains`` the results that stand in ``tests/benchmarks``; with the closing line of a full test run it
records that instead.
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
from ..facts import measure
from ..figures import order_fan, save, style
from ..process import VP
from ..solvers import ALL
from ..trace import compile
from ..witness import COUNTS, LOW, Run, nonlinear, norm, path_errors, uniform
from .listings import (
    CERTIFICATES,
    SAMPLERS,
    certificate_page,
    certificate_summary,
    sampler_page,
    sampler_summary,
)

__all__ = [
    "record_full_run",
    "update",
    "update_bench",
    "update_certificates",
    "update_gains",
    "update_samplers",
    "write_certificates",
]

FIGURE = "notebooks/figures/published-and-corrected.png"
RERUN = "python -m diffnum.lab.readme"
BENCH = "tests/benchmarks/cpu"
GAINS = "tests/benchmarks/gains.csv"


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
    """Rewrite the generated sections of ``root/README.md``, its figure and the two pages."""
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
    """Certify every sampler, and rewrite the page of certificates and their sums in ``root/README.md``."""
    write_certificates(root, certify_all(ALL.values(), jobs=os.cpu_count() or 1))


def write_certificates(root: Path, certificates: Sequence[Certificate]) -> None:
    """Rewrite the page of certificates and their sums in ``root/README.md``."""
    readme = root / "README.md"
    (root / CERTIFICATES).write_text(certificate_page(certificates))
    readme.write_text(_section(readme.read_text(), "certificates", certificate_summary(certificates)))


def update_samplers(root: Path) -> None:
    """Rewrite the page of samplers and their sums in ``root/README.md``."""
    readme = root / "README.md"
    facts = [measure(sampler) for sampler in ALL.values()]
    (root / SAMPLERS).write_text(sampler_page(facts))
    readme.write_text(_section(readme.read_text(), "samplers", sampler_summary(facts)))


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
