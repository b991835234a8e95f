"""What a study found, and its plain forms: a command line, a record, a table."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..figures.sheet import made_with
from ..images import Dataset
from ..study import MEASURES, Entry, Ranking
from .network import NetworkStudy
from .surrogate import Surrogate

__all__ = ["Study", "many", "network_csv", "record", "rerun_command", "results_csv"]


@dataclass(frozen=True, eq=False)
class Study:
    """What a study found, before it is written.

    Attributes:
        dataset, surrogate, process, ranking: the data, their stand-ins, the noise process and the result.
        by: the measure that decides, ``"w2"`` or ``"path"``.
        components, seed: of the mixture; of everything random.
        command: what runs the study again.
        seconds: wall-clock time of fitting, ranking and asking the network.
        network: how the ranking fares on the network trained on these images, or a line why there is none.
    """

    dataset: Dataset
    surrogate: Surrogate
    process: Any
    ranking: Ranking
    by: str
    components: int
    seed: int
    command: str
    seconds: float
    network: NetworkStudy | str

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets at which at least one sampler has a plan."""
        return tuple(budget for budget in self.ranking.budgets if self.ranking.best(budget, self.by))

    @property
    def absent(self) -> dict[tuple[str, ...], list[int]]:
        """Samplers without a plan, and the budgets at which these are missing."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for budget, names in self.ranking.absent.items():
            if names:
                groups.setdefault(names, []).append(budget)
        return groups

    def winners(self, by: str | None = None) -> tuple[Entry, ...]:
        """The best candidate per budget by ``by``, the study's own measure if None."""
        by = by or self.by
        return tuple(self.ranking.winner(b, by) for b in self.ranking.budgets if self.ranking.best(b, by))

    def percent(self, entry: Entry, by: str) -> float:
        """An entry's error in percent of the data's spread; both measures in the unit of a whole image."""
        scale = 1.0 if by == "w2" else self.surrogate.dim**0.5
        return 100 * getattr(entry, by) * scale / self.surrogate.spread

    def runner_up(self, entry: Entry, by: str) -> tuple[str, ...]:
        """The next sampler at the entry's budget that is not just as good, and how many times its error is larger;
        samplers that are one method under two names tie."""
        value = getattr(entry, by)
        for other in self.ranking.best(entry.budget, by):
            if value > 0 and getattr(other, by) > value * (1 + 1e-6):
                return other.sampler, f"{getattr(other, by) / value:.2f}"
        return ()

    def plan_files(self) -> dict[str, Entry]:
        """File names below the study's folder to the plans that stand there: the best of every sampler at every
        budget by the study's measure, or by the other where that has no number for it, and the winners by the other
        measure where these are other plans."""
        files: dict[str, Entry] = {}
        for budget in self.ranking.budgets:
            for by in sorted(MEASURES, key=lambda by: by != self.by):
                for e in self.ranking.best(budget, by):
                    files.setdefault(f"plans/{e.budget}-{e.sampler}.json", e)
        for by in MEASURES:
            for e in self.winners(by):
                if not any(e is known for known in files.values()):
                    files[f"plans/{e.budget}-{e.sampler}-{by}.json"] = e
        return files

    def file_of(self, entry: Entry) -> str:
        """Where :meth:`plan_files` puts an entry, or an empty string."""
        return next((name for name, known in self.plan_files().items() if known is entry), "")


def rerun_command(
    source: Any,
    budgets: Sequence[int],
    out: Any,
    process: Any,
    components: int,
    by: str,
    seed: int,
    size: int | tuple[int, int] | None,
    limit: int | None,
) -> str:
    """The command line that repeats a study; options at their defaults are left out."""
    words = ["diffnum", "study", str(source), "--nfe", ",".join(map(str, budgets)), "--out", str(out)]
    pixels = size if size is None or isinstance(size, int) else "x".join(map(str, size))
    options = (
        ("--process", type(process).__name__.lower(), "vp"),
        ("--components", components, 10),
        ("--by", by, "path"),
        ("--seed", seed, 0),
        ("--size", pixels, None),
        ("--limit", limit, None),
    )
    words += [str(word) for name, value, default in options if value != default for word in (name, value)]
    return shlex.join(words)


def record(study: Study) -> dict[str, Any]:
    """What a study was and found, as plain JSON data."""
    files = {id(e): name for name, e in study.plan_files().items()}
    names = ("budget", "sampler", "grid", "end", "steps", "nfe", "w2", "path", "path_se")

    def plain(entry: Entry) -> dict[str, Any]:
        row = {name: getattr(entry, name) for name in names}
        # JSON has no NaN: a sampler that draws noise has no path
        row["path"] = None if entry.path != entry.path else entry.path
        return row | {"plan": files.get(id(entry), "")}

    h, w, c = study.dataset.shape
    return {
        "schema": 1,
        "command": study.command,
        "data": {"name": study.dataset.name, "images": len(study.dataset), "height": h, "width": w, "channels": c},
        "process": study.process.to_json(),
        "budgets": list(study.ranking.budgets),
        "by": study.by,
        "components": study.components,
        "seed": study.seed,
        "spread": study.surrogate.spread,
        "winners": {by: [plain(e) for e in study.winners(by)] for by in MEASURES},
        "absent": {str(budget): list(names) for budget, names in study.ranking.absent.items()},
        "network": {"said": study.network} if isinstance(study.network, str) else study.network.record(),
        "seconds": round(study.seconds, 1),
        "made_with": made_with(),
    }


def results_csv(study: Study) -> str:
    """Every candidate as CSV, with the file of its plan where there is one."""
    files = {id(e): name for name, e in study.plan_files().items()}
    pairs = zip(study.ranking.rows(), study.ranking.all, strict=True)
    rows = [row | {"plan": files.get(id(entry), "")} for row, entry in pairs]
    return _csv(rows)


def network_csv(network: NetworkStudy) -> str:
    """Every plan that was run on the network, with its predicted and its measured error, as CSV."""
    return _csv(network.rows())


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def many(values: Sequence[Any]) -> str:
    """``5, 8 and 10``."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""
