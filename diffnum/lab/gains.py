"""What designs gain on whole sets of data, processes and budgets: ``python -m diffnum.lab.gains``, or ``make gains``.

Every case is designed as ``diffnum design`` does it, and its plan judged against *all* samplers of the library that
draw no noise, on all grids of a study with all ends, on more trajectories than the command takes, of laws made from the
quarter that was held back. Where the package has a network that was trained on such data, it is judged on the network's
own trajectories too, against the best there of what is ranked and whatever was the best on one of the laws, and against
the best plan by hand *of the laws*, which is all that is known by hand where the network is not asked; and so is the
plan that is refined on some others of these trajectories. The table is written after every case; what it holds already
is kept unless ``--again``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .. import images, process
from ..budget import GRIDS
from ..design import design, refine, verdicts
from ..design.handmade import RIVALS, candidates
from ..design.judging import against, trial_of
from ..figures.sheet import made_with
from ..plan import Plan
from ..solvers import ALL
from .bench.results import commit, read, write

__all__ = ["CASES", "Case", "Designed", "Gain", "designed", "main", "markdown", "on_laws", "on_network", "read_table"]

PATHS = 1536
_NETWORKS = {"digits": ("digits", 96, 32), "patches32": ("patches", 48, 48)}
"""Those that were trained on such data, how many of their trajectories judge, and how many others refine."""
_NETWORK, _TOLD, _REFINED = "network", "network, by laws", "network, refined"
_ON_NETWORK = (_NETWORK, _TOLD, _REFINED)
_TOLERANCE = 1e-3
_PROCESSES = {"VP": process.VP, "VE": process.VE, "Flow": process.Flow, "EDM": process.EDM}


@dataclass(frozen=True)
class Case:
    """Data, noise process and budget to design for.

    Attributes:
        data: ``digits``, or ``patches8`` and ``patches32``: colour patches of photographs of so many pixels a side.
        process: a name of a process.
        nfe: model evaluations.
        guidance: scale of classifier-free guidance towards the digits' classes, or none.
    """

    data: str
    process: str
    nfe: int
    guidance: float | None = None

    def __str__(self) -> str:
        scale = "" if self.guidance is None else f":{self.guidance:g}"
        return f"{self.data}:{self.process}:{self.nfe}{scale}"


CASES = (
    *(Case("digits", "VP", nfe) for nfe in (5, 6, 8, 10)),
    *(Case("patches8", "VP", nfe) for nfe in (5, 6, 8, 10)),
    *(Case("digits", name, nfe) for name, nfe in product(("VE", "Flow", "EDM"), (5, 10))),
    *(Case("patches32", "VP", nfe) for nfe in (5, 8)),
    *(Case("digits", "VP", nfe, 3.0) for nfe in (5, 8)),
)


@dataclass(frozen=True)
class Gain:
    """One line of the table: a verdict, what it is of, and what it took.

    Attributes:
        data, process, guidance, nfe: the case; guidance is empty where there is none.
        law: that the design never saw; or the network.
        by_hand: sampler, grid and end of the best hand-made plan on it.
        by_hand_error, error: root mean square distances to the trajectories' ends.
        gain, low, high: ``1 - error / by_hand_error`` with its 95 % interval.
        trajectories: of each law.
        seconds: that the design took, of processor time in one process.
        commit: of the code that measured it.
    """

    data: str
    process: str
    guidance: str
    nfe: int
    law: str
    by_hand: str
    by_hand_error: float
    error: float
    gain: float
    low: float
    high: float
    trajectories: int
    seconds: float
    commit: str


@dataclass(frozen=True, eq=False)
class Designed:
    """The plan of a case, and what it was made from.

    Attributes:
        case: what was asked for.
        data, labels, process: what the design was given.
        plan: what it made.
        seconds, commit: see :class:`Gain`.
    """

    case: Case
    data: np.ndarray
    labels: np.ndarray | None
    process: Any
    plan: Plan
    seconds: float
    commit: str

    def gain(self, verdict: Any, trajectories: int, law: str) -> Gain:
        """A line of the table."""
        case, v = self.case, verdict
        scale = "" if case.guidance is None else f"{case.guidance:g}"
        what = (case.data, case.process, scale, case.nfe, law, str(v.hand_made), v.hand_made_error, v.error)
        return Gain(*what, *_numbers(v.gain), trajectories, self.seconds, self.commit)


def designed(case: Case, samplers: Sequence[Any] | None = None) -> Designed:
    """As the command designs it.

    Raises:
        ValueError: data or a process of another name.
    """
    data, labels = _data(case)
    if case.process not in _PROCESSES:
        raise ValueError(f"process {case.process!r} is unknown: use one of {', '.join(_PROCESSES)}")
    chosen: Any = _PROCESSES[case.process]()
    code, began = commit(), time.process_time()
    plan = design(data, case.nfe, chosen, samplers=samplers, labels=labels, guidance=case.guidance).plan
    return Designed(case, data, labels, chosen, plan, time.process_time() - began, code)


def on_laws(made: Designed, jobs: int = 1, paths: int = PATHS, samplers: Sequence[Any] | None = None) -> list[Gain]:
    """The plan on laws that it has not seen, against all samplers if not against ``samplers``."""
    rivals = list(ALL.values()) if samplers is None else samplers
    known = {"labels": made.labels, "guidance": made.case.guidance}
    found = verdicts(made.plan, made.data, made.process, rivals, jobs=jobs, paths=paths, **known)
    return [made.gain(v, paths, v.trial) for v in found]


def on_network(
    made: Designed, best: Iterable[str], samplers: Sequence[Any] = RIVALS, noises: int | None = None
) -> list[Gain]:
    """The plan on a network of such data, which it has not seen: against the best by hand *there*, and against what the
    laws tell whoever does not ask the network; and the plan refined on others of the network's trajectories, against
    the best by hand there again.

    Args:
        made: a case that has a network, without guidance.
        best: the hand-made plans that are the best on the laws, as :class:`~diffnum.design.handmade.Candidate` writes
            itself; the second line is against the one of them that is the best on the network.
        samplers: rivals of the other lines, beside those of ``best``.
        noises: trajectories that judge, from as many images of noise, and that refine; the network's own numbers if
            None.
    """
    name, many, others = _NETWORKS[made.case.data]
    network, many, others = images.pretrained(name, made.process), noises or many, noises or others
    trial = trial_of(made.plan, network, _noise(made, network, many, 1), made.process, "data", _TOLERANCE)
    told = set(best)
    named = [solver for solver in ALL.values() if solver.name in {one.split(" on ")[0] for one in told}]
    every = candidates(made.process, made.case.nfe, list({s.name: s for s in (*samplers, *named)}.values()))
    few = [c for c in candidates(made.process, made.case.nfe, named) if str(c) in told]
    own = refine(made.plan, network, _noise(made, network, others, 2), made.process)
    pairs = zip(_ON_NETWORK, (made.plan, made.plan, own.plan), (every, few, every), strict=True)
    return [made.gain(against(plan, trial, rivals), many, law) for law, plan, rivals in pairs]


def _noise(made: Designed, network: Any, many: int, seed: int) -> Any:
    import torch

    z = torch.randn((many, *network.shape), generator=torch.Generator().manual_seed(seed))
    return float(made.plan.start.sigma) * z


def _numbers(gain: Any) -> tuple[float, float, float]:
    return gain.value, gain.low, gain.high


def _data(case: Case) -> tuple[np.ndarray, np.ndarray | None]:
    if case.data == "digits":
        found = images.load("digits")
        return np.asarray(found.data, dtype=np.float64), None if case.guidance is None else found.labels
    sizes = {"patches8": (8, 4000), "patches32": (32, 2000)}
    if case.data not in sizes or case.guidance is not None:
        raise ValueError(f"case {case} is none: use digits, or without guidance {', '.join(sizes)}")
    return np.asarray(images.patches(*sizes[case.data])[0].data, dtype=np.float64), None


def read_table(path: Path) -> list[Gain]:
    """The lines that a table holds; none if there is no table."""
    if not path.exists():
        return []
    kinds: Mapping[str, Any] = {"str": str, "int": int, "float": float}
    return [Gain(**{f.name: kinds[str(f.type)](row[f.name]) for f in fields(Gain)}) for row in read(path)[0]]


def markdown(path: Path) -> str:
    """The table for the README: a line for each case, a column for each law, with the interval.

    Raises:
        ValueError: no table, or one without lines.
    """
    rows = read_table(path)
    if not rows:
        raise ValueError(f"{path} holds no gains: run make gains")
    laws = {"points": "points", "mixture": "mixture", "steeper spectrum": "steeper spectrum"}
    laws |= {_NETWORK: "network, its best", _TOLD: "network, the laws' best", _REFINED: "network, refined"}
    lines = [f"| data | process | guidance | evaluations | {' | '.join(laws.values())} |", "|" + 10 * "---|"]
    for kind in dict.fromkeys((r.data, r.process, r.guidance, r.nfe) for r in rows):
        here = [r for r in rows if (r.data, r.process, r.guidance, r.nfe) == kind]
        cells = [_cell([r for r in here if r.law.endswith(law)]) for law in laws]
        lines.append("| " + " | ".join([*map(str, kind), *cells]) + " |")
    commits = f"commits: {', '.join(dict.fromkeys(r.commit for r in rows))}"
    return "\n".join([*lines, "", *(f"- {line}" for line in [*read(path)[1], commits])])


def _cell(rows: Sequence[Gain]) -> str:
    if not rows:
        return ""
    (row,) = rows
    said = f"{100 * row.gain:.0f} % ({100 * row.low:.0f} to {100 * row.high:.0f})"
    return f"**{said}**" if row.low > 0 else said


def main(words: Sequence[str] | None = None) -> int:
    """Measure cases and write the table; returns 0, or 2 where what was asked for cannot be measured."""
    given = sys.argv[1:] if words is None else list(words)
    asked = _parser().parse_args(given)
    try:
        _measure(asked, shlex.join(["python", "-m", "diffnum.lab.gains", *given]))
    except ValueError as error:
        print(f"gains: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m diffnum.lab.gains", description=__doc__)
    parser.add_argument("--out", default="tests/benchmarks/gains.csv", help="the table")
    parser.add_argument("--cases", help="such as digits:VP:5,digits:VP:8:3 (guidance last); all of them by default")
    parser.add_argument("--paths", type=int, default=PATHS, help="trajectories of each law")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes to judge with")
    parser.add_argument("--again", action="store_true", help="measure what the table holds already, too")
    return parser


def _measure(asked: argparse.Namespace, command: str) -> None:
    out, cases = Path(asked.out), CASES if asked.cases is None else _cases(asked.cases)
    if asked.paths < 2:
        raise ValueError(f"--paths {asked.paths} give no interval: use at least 2")
    rows = read_table(out)
    for case in cases:
        kept = [] if asked.again else [row for row in rows if _case(row) == case]
        made = _missing(case, kept, asked.jobs, asked.paths)
        for row in made:
            print(" ".join(str(value) for value in asdict(row).values()), flush=True)
        anew = {row.law for row in made}
        rows = _ordered([*(r for r in rows if _case(r) != case), *(r for r in kept if r.law not in anew), *made])
        # what is stopped keeps what it has
        write(out, rows, _footer(command))


def _missing(case: Case, kept: Sequence[Gain], jobs: int, paths: int) -> list[Gain]:
    """The lines of a case that the table lacks."""
    networks = case.data in _NETWORKS and case.guidance is None
    laws, asked = ([row for row in kept if (row.law in _ON_NETWORK) == which] for which in (False, True))
    complete = not networks or {row.law for row in asked} == set(_ON_NETWORK)
    if laws and complete:
        return []
    made = designed(case)
    new = [] if laws else on_laws(made, jobs, paths)
    if not complete:
        new += on_network(made, [row.by_hand for row in laws or new])
    return new


def _ordered(rows: Iterable[Gain]) -> list[Gain]:
    places = {case: place for place, case in enumerate(CASES)}
    return sorted(rows, key=lambda row: places.get(_case(row), len(places)))


def _case(row: Gain) -> Case:
    return Case(row.data, row.process, row.nfe, float(row.guidance) if row.guidance else None)


def _cases(text: str) -> tuple[Case, ...]:
    found = []
    for word in text.split(","):
        parts = word.split(":")
        try:
            found.append(Case(parts[0], parts[1], int(parts[2]), *map(float, parts[3:])))
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(f"case {word!r} is none: write it as digits:VP:5, with guidance digits:VP:5:3") from error
    return tuple(found)


def _footer(command: str) -> list[str]:
    made, quiet = made_with(), sum(not solver.stochastic for solver in ALL.values())
    return [
        f"made with: diffnum {made['diffnum']}, torch {made['torch']}, numpy {made['numpy']}, Python {made['python']}",
        f"machine: {made['machine']}",
        f"command: {command}",
        f"rivals: the best of all {quiet} samplers that draw no noise on all {len(GRIDS)} grids of a study with all "
        "ends, chosen on each law by the very trajectories that judge; a network's best: of the samplers that are "
        "ranked, two methods in the angle, and whatever was the best on one of the laws, by the trajectories that "
        "judge; the laws' best: of the three plans that are the best on one of the laws, the best on the network; "
        "refined: the plan after dn.design.refine on others of the network's trajectories, against the network's best",
    ]


if __name__ == "__main__":
    sys.exit(main())
