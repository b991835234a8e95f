"""Measure everything and write the tables: ``python -m diffnum.lab.bench``, or ``make bench``."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from .cases import named
from .clock import one_thread
from .forms import compare
from .networks import NETWORKS, check_networks, end_to_end
from .oracle import answers, denoisers
from .results import footer, write
from .steps import DTYPES, SHAPES, check, measure
from .tables import draw, form_table, network_table, oracle_table, step_table

PARTS = ("steps", "forms", "networks", "oracle")


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0, or 2 where what was asked for cannot be measured."""
    given = sys.argv[1:] if words is None else list(words)
    asked = _parser().parse_args(given)
    command = shlex.join(["python", "-m", "diffnum.lab.bench", *given])
    try:
        with one_thread():
            _measure(asked, command)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m diffnum.lab.bench", description=__doc__)
    parser.add_argument("--out", default="tests/benchmarks/cpu", help="folder for the tables")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--cases", help="names of samplers with commas; all by default")
    parser.add_argument("--shapes", help="such as 16x4x64x64,64x3x256x256, which is the default")
    parser.add_argument("--dtypes", default=",".join(DTYPES), help="some of float32,bfloat16")
    parser.add_argument("--turns", type=int, help="how often each is run; by default as the size allows")
    parser.add_argument("--small", action="store_true", help="the quick questions alone, one network, few turns")
    return parser


def _measure(asked: argparse.Namespace, command: str) -> None:
    parts = asked.parts.split(",")
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"part {part!r} is unknown: use some of {', '.join(PARTS)}")
    if "networks" in parts:
        check_networks()
    dtypes: list[str] = asked.dtypes.split(",")
    for dtype in dtypes:
        check(dtype, asked.device, asked.turns)
    cases, shapes = named(asked.cases), _shapes(asked.shapes)
    out, began = Path(asked.out), time.process_time()
    lines = footer(command, asked.device)
    print(*lines, sep="\n")
    # every table is written as it grows: what is stopped keeps what it has
    rows: list[Any]
    if "steps" in parts:
        rows = []
        for shape, dtype, case in product(shapes, dtypes, cases):
            rows += map(_said, measure(case, shape, dtype, asked.device, asked.turns))
            write(out / "steps.csv", rows, lines)
        draw(out, command)
    if "forms" in parts:
        rows = []
        for shape, dtype in product(shapes, dtypes):
            rows += map(_said, compare(shape, dtype, asked.device, asked.turns))
            write(out / "forms.csv", rows, lines)
    if "networks" in parts:
        rows = []
        for some in _networks(asked):
            rows += map(_said, some)
            write(out / "networks.csv", rows, lines)
    if "oracle" in parts:
        found = [*denoisers(asked.device, asked.small), *(answers(asked.small) if asked.device == "cpu" else ())]
        write(out / "oracle.csv", map(_said, found), lines)
    _show(out, parts)
    print(f"{time.process_time() - began:.0f} s of processor time; written to {out}")


def _networks(asked: argparse.Namespace) -> Iterator[list[Any]]:
    for name, (_, batches) in list(NETWORKS.items())[: 1 if asked.small else None]:
        for batch in batches:
            yield end_to_end(name, batch, asked.device, asked.turns or (2 if asked.small else 7))


def _shapes(text: str | None) -> tuple[tuple[int, ...], ...]:
    if text is None:
        return SHAPES
    try:
        shapes = tuple(tuple(int(n) for n in shape.split("x")) for shape in text.split(","))
    except ValueError:
        shapes = ((0,),)
    if any(min(shape) < 1 for shape in shapes):
        raise ValueError(f"shapes = {text!r} are none: write them as 16x4x64x64, with commas between")
    return shapes


def _said(row: Any) -> Any:
    values = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in vars(row).values())
    print(" ".join(value for value in values if value), flush=True)
    return row


def _show(out: Path, parts: Iterable[str]) -> None:
    from .results import read

    tables = {"steps": step_table, "forms": form_table, "networks": network_table, "oracle": oracle_table}
    for part in parts:
        rows, _ = read(out / f"{part}.csv")
        kinds = dict.fromkeys((r.get("shape", ""), r.get("dtype", "")) for r in rows)
        for kind in kinds:
            print(
                "",
                *kind,
                "",
                tables[part]([r for r in rows if (r.get("shape", ""), r.get("dtype", "")) == kind]),
                sep="\n",
            )


if __name__ == "__main__":
    sys.exit(main())
