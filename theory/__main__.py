"""``python -m theory [--check]``: derive every statement, prove every sampler, write or compare PROOFS.md."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

from .book import derive, page, rows, work

PAGE = Path(__file__).with_name("PROOFS.md")


def main(arguments: list[str] | None = None) -> int:
    """0 when everything is proved, and the page written or found up to date; 1 with the difference otherwise."""
    parser = argparse.ArgumentParser(prog="python -m theory", description="Derive, prove, and write theory/PROOFS.md.")
    parser.add_argument("--check", action="store_true", help="compare the page instead of writing it")
    check = parser.parse_args(arguments).check
    console = Console(stderr=True)
    try:
        found = list(track(derive(), "Deriving and proving", total=len(work()), console=console))
    except ArithmeticError as error:
        print(f"not proved: {error}", file=sys.stderr)
        return 1
    text, samplers = page(found), len(rows(found))
    if check:
        old = PAGE.read_text().splitlines() if PAGE.exists() else []
        difference = list(difflib.unified_diff(old, text.splitlines(), "PROOFS.md", "derived now", lineterm="", n=0))
        print("\n".join(difference) if difference else f"{PAGE.name} is up to date")
        return 1 if difference else 0
    PAGE.write_text(text)
    print(f"{len(found) - samplers} statements and {samplers} samplers proved; wrote {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
