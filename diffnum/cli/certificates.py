"""``diffnum certify``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import AsJson, AsMarkdown, check_file, counting, notes, one_form, plain, print_json, show, write

if TYPE_CHECKING:
    from ..certificate import Certificate
    from ..trace import Solver

__all__ = ["certify"]

MANY = 8


def certify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="As `diffnum solvers` has them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Certify every sampler.")] = False,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    out: Annotated[Path | None, typer.Option(help="JSON file; of --all by default certificates.json.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Samplers at a time, one process each; for many as many as cores.")
    ] = None,
) -> int:
    """Prove and measure the order of samplers. Exit code 1 if a claim fails."""
    from ..certificate import certify_all

    one_form(as_json, as_markdown)
    solvers = _named(names or [], every)
    if every and not (as_json or as_markdown):
        out = out or Path("certificates.json")
    if out is not None:
        check_file(out, (".json",))
    # processes take seconds to start
    jobs = jobs or (os.cpu_count() or 1 if len(solvers) >= MANY else 1)
    with counting(len(solvers), "certifying", quiet=as_json) as step:
        certificates = certify_all(solvers, on_done=lambda certificate: step(), jobs=jobs)
    content = [plain(certificate.to_json()) for certificate in certificates]
    if out is not None:
        write(out, json.dumps(content, indent=1, allow_nan=False) + "\n")
    if as_json:
        print_json(content)
    else:
        _print_certificates(certificates, as_markdown)
        if out is not None and not as_markdown:
            print(f"\ncertificates  {out}")
    return int(any(certificate.verdict != "holds" for certificate in certificates))


def _named(names: Sequence[str], every: bool) -> list[Solver]:
    from ..solvers import ALL, named

    if every == bool(names):
        wanted = "the samplers to certify, or give --all" if not every else "samplers or give --all, not both"
        raise ValueError(f"name {wanted}")
    return list(ALL.values()) if every else list({(one := named(name)).name: one for name in names}.values())


def _print_certificates(certificates: Iterable[Certificate], as_markdown: bool) -> None:
    head = ("sampler", "claim", "proved", "slope", "cold", "float32", "mutants", "verdict")
    numbers = head[1:-1]
    rows = [_certificate_row(certificate) for certificate in certificates]
    if as_markdown:
        from ..lab.listings import certificate_table

        return print(certificate_table(list(certificates)))
    # the verdict needs no heading, and 80 columns have no room for one
    show((*head[:-1], ""), rows, numbers)
    notes((c.name, "; ".join(c.reasons)) for c in certificates)
    notes((c.name, c.note) for c in certificates)


def _certificate_row(c: Certificate) -> tuple[str, ...]:
    return (
        c.name,
        str(c.claimed),
        str(c.proved),
        f"{c.measured:.2f}",
        str(c.proof.cold),
        f"{max(c.float32, 0.0):.1f}",
        f"{c.killed}/{c.mutants - len(c.free)}",
        c.verdict,
    )
