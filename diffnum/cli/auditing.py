"""``diffnum audit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .printing import AsJson, console, counting, print_json

__all__ = ["audit"]


def audit(
    target: Annotated[str, typer.Argument(metavar="LIBRARY", help="diffusers, k-diffusion, ... or path.to:callable.")],
    only: Annotated[str | None, typer.Option(help="Only names with settings that match this pattern.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Print samplers without defects too.")] = False,
    as_json: AsJson = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the report, and of what to resume.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Samplers at a time, one process each.")] = 2,
) -> int:
    """Examine every sampler of a library, with every setting. Exit code 1 if a defect is found."""
    from ..audit import audit as run
    from ..audit import cases, chosen, library_of, version_of
    from ..audit.report import table, write

    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out {str(out)!r} is a file: name a folder for the report")
    if out is not None:
        from ..lab.folder import check_writable

        check_writable(out / "records.jsonl", out)
    wanted = chosen(cases(target), only)
    kept = None if out is None else out / "records.jsonl"
    with counting(len(wanted), "auditing", quiet=as_json) as step:
        records = run(wanted, kept, jobs, on_done=lambda record: step())
    library = library_of(target)
    content = {
        "library": library,
        "version": version_of(library),
        "diffnum": version_of("diffnum"),
        "records": [record.to_json() for record in records],
    }
    versions = f"{library} {content['version']}".strip() + f" and diffnum {content['diffnum']}"
    if out is not None:
        write(records, out, target, versions, json.dumps(content, indent=1, allow_nan=False))
    if as_json:
        print_json(content)
    else:
        table(records, console(), every)
        if out is not None:
            print(f"\nreport  {out / 'index.html'}")
    return int(any(record.faults for record in records))
