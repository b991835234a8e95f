"""``python -m theory [--check] [--jobs N]``: derive everything, prove every sampler, write or compare the outcome.

The coefficients come first: where ``diffnum/solvers/generated.py`` changes, the proofs run again in a fresh process, so
that what they prove is what the file holds now. Derivations run on all cores and are kept in ``.cache/theory`` until a
source changes.
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from .book import page, rows, work
from .cache import derive
from .pieces import GENERATED, derive_pieces, generated_text, unsound

PAGE = Path(__file__).with_name("PROOFS.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything is proved, and the files written or found up to date; 1 with the difference otherwise."""
    parser = argparse.ArgumentParser(prog="python -m theory", description="Derive, prove, and write what is generated.")
    parser.add_argument("--check", action="store_true", help="compare the files instead of writing them")
    parser.add_argument("--jobs", type=int, default=-1, help="pieces at a time, one process each; -1: one per core")
    given = parser.parse_args(arguments)
    check, jobs = given.check, given.jobs
    pieces = derive_pieces()
    if wrong := unsound(pieces):
        return _stop(f"these coefficients do not solve their equations: {', '.join(wrong)}")
    coefficients = generated_text(pieces)
    if check and _difference(GENERATED, coefficients):
        return 1
    if not check and _read(GENERATED) != coefficients:
        GENERATED.write_text(coefficients)
        print(f"wrote {GENERATED.name}: {len(pieces)} coefficients; proving with them")
        return subprocess.run([sys.executable, "-m", "theory", "--jobs", str(jobs)], check=False).returncode
    try:
        found = list(track(derive(jobs), "Deriving and proving", total=len(work()), console=Console(stderr=True)))
    except ArithmeticError as error:
        return _stop(f"not proved: {error}")
    text, samplers = page(found), len(rows(found))
    if check:
        return int(_difference(PAGE, text))
    PAGE.write_text(text)
    print(f"{len(pieces)} coefficients, {len(found) - samplers} statements, {samplers} samplers; wrote {PAGE.name}")
    return 0


def _stop(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _difference(path: Path, text: str) -> bool:
    """Whether the file differs from what is derived; prints the difference."""
    lines = _read(path).splitlines()
    found = list(difflib.unified_diff(lines, text.splitlines(), path.name, "derived now", lineterm="", n=0))
    print("\n".join(found) if found else f"{path.name} is up to date")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
