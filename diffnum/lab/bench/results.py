"""Tables of the benchmark as CSV: one line per measurement, and a footer that says where, with what and how."""

from __future__ import annotations

import csv
import io
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ...figures.sheet import made_with
from .clock import seconds
from .libraries import available
from .oracle import rate

__all__ = ["commit", "footer", "read", "write"]


def footer(command: str, device: str = "cpu") -> list[str]:
    """Lines under a table: versions, machine and what it reaches, libraries, commit, command, and what a time is."""
    made = made_with()
    machine = made["machine"] if device == "cpu" else f"{torch.cuda.get_device_name(device)}; host {made['machine']}"
    one = "one thread; " if device == "cpu" else ""
    small, large = (_pass_rate(shape, device) for shape in ((16, 4, 64, 64), (64, 3, 256, 256)))
    return [
        f"made with: diffnum {made['diffnum']}, torch {made['torch']}, numpy {made['numpy']}, Python {made['python']}",
        f"machine: {machine}; {one}torch.add moves {small:.1f} GB/s on states of 1 MB and {large:.1f} GB/s of 50 MB; "
        f"float32 products of 512 x 512 matrices {rate((512, 512, 512), 'float32', device) / 1e9:.0f} GFLOP/s",
        f"libraries: {', '.join(_versions()) or 'none'}",
        f"commit: {commit()}",
        f"command: {command}",
        "times: "
        + (
            "processor time of the process, which other work on the machine disturbs through caches and memory alone"
            if device == "cpu"
            else "events of the device"
        )
        + "; everything that is compared takes turns in one process",
    ]


def write(path: Path, rows: Iterable[Any], lines: Sequence[str]) -> None:
    """``rows``, records of one kind, to ``path``, with ``lines`` as its footer; whole or not at all.

    Raises:
        ValueError: no rows.
    """
    records = [{name: _short(value) for name, value in asdict(row).items()} for row in rows]
    if not records:
        raise ValueError(f"{path} would have no rows: measure something first")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text.getvalue() + "".join(f"# {line}\n" for line in lines))
    part.replace(path)


def read(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a table as they are written, and its footer.

    Raises:
        ValueError: a file without a footer, which says nothing about where its numbers come from.
    """
    lines = Path(path).read_text().splitlines()
    body = [line for line in lines if not line.startswith("#")]
    foot = [line[2:] for line in lines if line.startswith("# ")]
    if not foot:
        raise ValueError(f"{path} has no footer: it is no table of the benchmark, run make bench")
    return list(csv.DictReader(body)), foot


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _pass_rate(shape: tuple[int, ...], device: str) -> float:
    x, y = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
    z = torch.empty_like(x)
    lap = seconds(lambda: torch.add(x, y, out=z), 5, 0.02, device)
    return 3 * x.nbytes / (lap.cpu if device == "cpu" else lap.wall) / 1e9


def _versions() -> list[str]:
    return [f"{name} {_version(name)}".strip() for name in available()]


def _version(name: str) -> str:
    root = Path(os.environ.get("DIFFNUM_PEERS", ""))
    if name == "k-diffusion":
        return _git(root / "k-diffusion", "rev-parse", "--short", "HEAD")
    if name == "azula":
        found = next((root / "site").glob("azula-*.dist-info"), None)
        return found.name.removeprefix("azula-").removesuffix(".dist-info") if found else ""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """The commit of this code, and whether it was changed since; ``none`` outside a repository."""
    here = Path(__file__).parent
    changed = " with changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else ""
    return (_git(here, "rev-parse", "--short", "HEAD") or "none") + changed


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()
