"""The oracle's ranking held against a trained network: do samplers come in the order that was predicted?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..design import Followed, Interval
from ..design.trajectories import DATA
from ..images import Dataset, pretrained
from ..models import Network
from ..plan import Level, Plan
from ..read.sample import sample
from ..study import MEASURES, Entry, Ranking

__all__ = ["Check", "NetworkStudy", "Trajectories", "check_ranking", "network_for", "spearman"]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """A network's own trajectories from given normals, and how far from their ends plans arrive.

    From a first level of ``alpha`` and ``sigma`` the trajectory of normals ``z`` starts at ``sigma z``, as users start;
    it is followed to convergence (:class:`diffnum.design.Followed`). Plans with other first levels have trajectories
    of their own, from the same normals.

    Attributes:
        network: any model of images with ``process``, ``prediction`` and ``shape``.
        z: ``(n, c, h, w)`` normals, torch; their dtype and device are the network's.
        tol: relative error of the ends.
    """

    network: Network
    z: Any
    tol: float = 1e-3
    _ends: dict[Level, np.ndarray] = field(default_factory=dict, repr=False)
    _squares: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def draw(cls, network: Network, n: int, seed: int = 0, tol: float = 1e-3) -> Trajectories:
        """``n`` trajectories of a network on its device."""
        import torch

        from ..images.networks import device_of

        z = torch.randn((n, *network.shape), generator=torch.Generator().manual_seed(seed))
        return cls(network, z.to(device_of(network.module)), tol)

    @cached_property
    def law(self) -> Followed:
        """The network as a law on rows of float64."""
        process = self.network.process
        stop = process.level(process.t_stop)
        return Followed(self.network, self.network.prediction, process, stop, self.z, batch=256)

    @cached_property
    def rows(self) -> np.ndarray:
        """The normals as rows."""
        return self.z.detach().cpu().double().numpy().reshape(len(self.z), -1)

    def ends(self, start: Level) -> np.ndarray:
        """Where the trajectories from ``start`` end, ``(n, d)``.

        Raises:
            ValueError: they do not converge to ``tol``.
        """
        if start not in self._ends:
            self._ends[start] = self.law.flow(self.rows * float(start.sigma), start, DATA, self.tol)
        return self._ends[start]

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Rows as rows of pictures, channels last, as :class:`diffnum.images.Dataset` has them."""
        return rows.reshape(-1, *self.network.shape).transpose(0, 2, 3, 1).reshape(len(rows), -1)

    def outputs(self, plan: Plan) -> np.ndarray:
        """What a plan makes of the normals, ``(n, d)``."""
        return sample(plan, self.law, self.rows * float(plan.start.sigma))

    def squares(self, plan: Plan) -> np.ndarray:
        """Mean square over the numbers of an image of its distance to the trajectory's end, ``(n,)``.

        Raises:
            ValueError: a plan that draws noise, which follows no trajectory.
        """
        if plan.draws:
            raise ValueError(f"{plan.solver} draws noise and follows no trajectory: compare plans without noise")
        if plan.hash not in self._squares:
            with np.errstate(all="ignore"):
                squares = ((self.outputs(plan) - self.ends(plan.start)) ** 2).mean(axis=-1)
            self._squares[plan.hash] = np.where(np.isfinite(squares), squares, np.inf)
        return self._squares[plan.hash]

    def error(self, plan: Plan) -> float:
        """Root mean square distance to the ends, per number of an image."""
        return float(np.sqrt(self.squares(plan).mean()))


@dataclass(frozen=True)
class Check:
    """A candidate of a ranking on the network.

    Attributes:
        entry: the candidate, with its predicted errors.
        error: measured, root mean square per number of an image.
        error_se: its standard error over the trajectories, by the delta method.
    """

    entry: Entry
    error: float
    error_se: float


@dataclass(frozen=True)
class NetworkStudy:
    """What :func:`check_ranking` found.

    Attributes:
        network: its name.
        trajectories: on which plans were compared.
        checks: for each measure and budget the candidates that are each sampler's best by that measure, the best first.
    """

    network: str
    trajectories: Trajectories
    checks: Mapping[tuple[str, int], tuple[Check, ...]]

    @property
    def points(self) -> int:
        """How many trajectories were followed."""
        return len(self.trajectories.z)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets that have anything to compare."""
        return tuple(dict.fromkeys(budget for _, budget in self.checks))

    def recommended(self, by: str, budget: int) -> Check:
        """The plan that the oracle recommends by a measure, as the network bears it out."""
        return self.checks[by, budget][0]

    def best(self, budget: int) -> Check:
        """The plan of least error on the network among all that were checked at a budget."""
        found = (check for (_, b), checks in self.checks.items() if b == budget for check in checks)
        return min(found, key=lambda check: check.error)

    def place(self, by: str, budget: int) -> tuple[int, int]:
        """The recommended plan's place on the network, from 1, and among how many."""
        errors = [check.error for check in self.checks[by, budget]]
        return 1 + sum(error < errors[0] for error in errors), len(errors)

    def spearman(self, by: str, budget: int) -> Interval | None:
        """Rank correlation of predicted and measured errors over samplers; None for fewer than four."""
        checks = self.checks[by, budget]
        if len(checks) < 4:
            return None
        return spearman([getattr(check.entry, by) for check in checks], [check.error for check in checks])

    def record(self) -> dict[str, Any]:
        """What was found, as plain JSON data."""
        plans = []
        for by, budget in self.checks:
            found, best, rho = self.recommended(by, budget), self.best(budget), self.spearman(by, budget)
            place, among = self.place(by, budget)
            names = {"sampler": found.entry.sampler, "grid": found.entry.grid, "end": found.entry.end}
            plans.append(
                {"budget": budget, "by": by, **names, "error": _plain(found.error), "error_se": found.error_se}
                | {"place": place, "among": among, "best": best.entry.sampler, "best_error": _plain(best.error)}
                | {"spearman": None if rho is None else [rho.value, rho.low, rho.high]}
            )
        return {"name": self.network, "points": self.points, "plans": plans}

    def rows(self) -> list[dict[str, Any]]:
        """Every check as a flat row; None for an error that is not finite."""
        names = ("sampler", "grid", "end", "steps", "nfe")
        return [
            {"by": by, "budget": budget}
            | {name: getattr(check.entry, name) for name in names}
            | {name: _plain(getattr(check.entry, name)) for name in MEASURES}
            | {"network": _plain(check.error), "network_se": check.error_se}
            for (by, budget), checks in self.checks.items()
            for check in checks
        ]


def check_ranking(
    ranking: Ranking,
    trajectories: Trajectories,
    name: str = "network",
    measures: Sequence[str] = MEASURES,
    on_progress: Callable[[int, int], None] | None = None,
) -> NetworkStudy:
    """Each sampler's best candidate at each budget, run on a network from the same noise and held against the end of
    the network's own trajectory. Samplers that draw noise are left out: they follow none.

    Args:
        ranking: of :func:`diffnum.study.rank`, of plans for the network's process.
        name: of the network.
        measures: predictions to check.
        on_progress: called with ``(done, total)`` after each plan.

    Raises:
        ValueError: trajectories that do not converge.
    """
    chosen = dict(_chosen(ranking, measures))
    total, done = sum(map(len, chosen.values())), 0
    checks: dict[tuple[str, int], tuple[Check, ...]] = {}
    for key, entries in chosen.items():
        found = []
        for entry in entries:
            found.append(_check(entry, trajectories))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        checks[key] = tuple(found)
    return NetworkStudy(name, trajectories, checks)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _chosen(ranking: Ranking, measures: Sequence[str]) -> Iterator[tuple[tuple[str, int], list[Entry]]]:
    for budget in ranking.budgets:
        for by in measures:
            entries = [entry for entry in ranking.best(budget, by) if not entry.plan.draws]
            if entries:
                yield (by, budget), entries


def _check(entry: Entry, trajectories: Trajectories) -> Check:
    squares = trajectories.squares(entry.plan)
    rms = float(np.sqrt(squares.mean()))
    spread = float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * rms)) if 0 < rms < np.inf else 0.0
    return Check(entry, rms, spread)


def spearman(predicted: Any, measured: Any) -> Interval:
    """Spearman's rank correlation with a 95 % interval over pairs, by Fisher's transformation with the variance
    ``1.06 / (n - 3)`` of Fieller, Hartley & Pearson (1957).

    Raises:
        ValueError: fewer than four pairs.
    """
    from scipy.stats import spearmanr

    predicted, measured = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    if len(predicted) < 4:
        raise ValueError(f"{len(predicted)} pairs give no interval of a rank correlation: compare at least 4")
    found: Any = spearmanr(predicted, measured)
    r = float(found.statistic)
    z, half = math.atanh(min(max(r, -1.0 + 1e-12), 1.0 - 1e-12)), 1.96 * math.sqrt(1.06 / (len(predicted) - 3))
    return Interval(r, min(r, math.tanh(z - half)), max(r, math.tanh(z + half)))


def network_for(source: Any, dataset: Dataset, process: Any) -> Network | str:
    """The trained network of the package for these images, or a line that says why there is none."""
    missing = [name for name in ("diffusers", "safetensors") if find_spec(name) is None]
    if missing:
        return f"networks need {missing[0]}, which is absent: pip install 'diffnum[images]'"
    # by what load() calls them: a folder of one's own may have the name of another network
    if source != "digits":
        return f"no network here was trained on {dataset.name}, only on digits"
    network = pretrained("digits", process, "data")
    c, h, w = network.shape
    if dataset.shape != (h, w, c):
        return f"the network of {source} was trained on images of {h}x{w}, not of {dataset.shape[0]}x{dataset.shape[1]}"
    return network
