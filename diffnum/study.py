"""Studies as numbers: published errors on Gaussians, and rankings of samplers on surrogates of data.

No files, no printing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any

import numpy as np

from . import grid as grids_
from .budget import ENDS, GRIDS, RANKED, MakeGrid, within
from .plan import Level, Plan
from .process import VP
from .read.distance import gaussian_w2, w2
from .read.moments import moments
from .read.sample import sample
from .solvers import ALL
from .targets.gaussian import Gaussian
from .trace import Solver, compile

__all__ = ["ENDS", "GRIDS", "RANKED", "Entry", "GaussianErrors", "Ranking", "gaussian_errors", "rank"]

SCHEMES = ("euler_maruyama", "exponential_integrator", "euler", "heun", "rk4")
INITS = {"p_T": "marginal", "normal": "prior"}
MEASURES = ("w2", "path")
# a time below any rounding stands for t = 0, where the drift has a limit but sigma' has none
ZERO = 1e-40
DATA = Level(0.0, 1.0, 0.0)


@dataclass(frozen=True)
class GaussianErrors:
    """Errors of a scheme on a centred Gaussian: 2-Wasserstein distances to the data law.

    Attributes:
        total: of the scheme's output.
        initialisation: of the exact solution down to ``t = 0`` from ``N(0, I)``.
        truncation: of the marginal at ``eps``.
        discretisation: of the scheme from the exact law at ``t = 1`` on ``points`` levels down to ``t = 0``; nan where
            it has no value: :func:`gaussian_errors`.
        scheme, points, eps, init: the question.
    """

    total: float
    initialisation: float
    truncation: float
    discretisation: float
    scheme: str
    points: int
    eps: float
    init: str


def gaussian_errors(
    spectrum: Any, scheme: str, points: int = 50, eps: float = 1e-3, init: str = "p_T"
) -> GaussianErrors:
    """Exact errors of a classical scheme on ``N(0, diag(spectrum))`` under linear VP (0.1, 20), as published by
    Pierret & Galerne (2025, "Diffusion models for Gaussian distributions: exact solutions and Wasserstein errors").

    The grid is uniform in ``t`` from 1 to ``eps``. ``initialisation``, ``truncation`` and ``discretisation`` have only
    that error switched on and need not add up. With ``a``, ``s`` the scales at ``t = 1`` and ``v = a^2 c + s^2``, the
    exact variances at ``t = 0`` from ``N(0, 1)`` are ``c / v`` along the probability-flow ODE (Euler, Heun, RK4) and
    ``c + c^2 a^4 (1 - c) / v^2`` along the reverse SDE (Euler-Maruyama, exponential integrator).

    At ``t = 0`` the drift of the ODE is ``-beta/2 (1 - 1/c) x``: Heun and RK4, which ask for it there, are run as they
    stand, with no lower-order last step, to a level below rounding. In a direction of variance zero it is infinite, and
    ``discretisation`` is nan, and so is ``total`` with ``eps = 0``. The other schemes do not ask.

    Args:
        spectrum: variances, any shape, zeros allowed.
        scheme: one of ``euler_maruyama, exponential_integrator, euler, heun, rk4``.
        points: number of levels, one more than steps.
        eps: where the grid ends, ``0 <= eps < 1``.
        init: ``"p_T"`` starts from the marginal at ``t = 1``, ``"normal"`` from ``N(0, I)``.

    Raises:
        ValueError: variances that are negative or not finite; another scheme or init; fewer than two
            points; ``eps`` outside [0, 1).
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme {scheme!r} is unknown: use one of {', '.join(SCHEMES)}")
    if init not in INITS:
        raise ValueError(f"init = {init!r} is unknown: use 'p_T' or 'normal'")
    if not (isinstance(points, int) and points >= 2):
        raise ValueError(f"points = {points!r} is no number of levels: use a whole number >= 2")
    if not 0 <= eps < 1:
        raise ValueError(f"eps = {eps!r} is no end of a grid that starts at t = 1: use 0 <= eps < 1")
    c = np.asarray(spectrum, dtype=np.float64).ravel()
    target, solver = Gaussian(np.zeros(len(c)), c), ALL[scheme]
    return GaussianErrors(
        total=_scheme_error(solver, target, points, eps, init),
        initialisation=_initialisation(c, solver.stochastic),
        truncation=_truncation(c, eps),
        discretisation=_scheme_error(solver, target, points, 0.0, "p_T"),
        scheme=scheme,
        points=points,
        eps=eps,
        init=init,
    )


def _scheme_error(solver: Solver, target: Gaussian, points: int, eps: float, init: str) -> float:
    process, last = VP(), max(eps, ZERO)
    times = [*np.linspace(1.0, eps, points)[:-1].tolist(), last]
    # the score is the prediction whose coefficients stay finite at t = 0
    plan = compile(solver, grids_.custom(process, times=times), "score")
    asks_at_zero = eps == 0 and any(plan.lines[r - 1].level == plan.stop for r in plan.evaluations)  # type: ignore[union-attr]
    if asks_at_zero and target.singular:
        return math.nan
    return float(gaussian_w2(0.0, _output_variance(plan, target, INITS[init]), 0.0, target.variances))


def _output_variance(plan: Plan, target: Gaussian, init: str) -> np.ndarray:
    if plan.draws:
        return moments(plan, target, init)[1]
    # a plan without draws is one factor per mode: the target's own score has no cancellation near t = 0
    start = np.full(target.dim, plan.prior**2) if init == "prior" else target.marginal(plan.start)[1]
    return sample(plan, target, np.sqrt(start)) ** 2


def _initialisation(c: np.ndarray, stochastic: bool) -> float:
    start = VP().level(1.0)
    v = start.alpha**2 * c + start.sigma**2
    excess = start.alpha**2 * (1 - c) / v
    if stochastic:
        excess = excess * start.alpha**2 * c / v
    # sqrt(c (1 + excess)) - sqrt(c), without the cancellation
    return float(np.linalg.norm(np.sqrt(c) * excess / (1 + np.sqrt(1 + excess))))


def _truncation(c: np.ndarray, eps: float) -> float:
    if eps == 0:
        return 0.0
    stop = VP().level(eps)
    v = stop.alpha**2 * c + stop.sigma**2
    return float(np.linalg.norm(stop.sigma**2 * (1 - c) / (np.sqrt(v) + np.sqrt(c))))


@dataclass(frozen=True)
class Entry:
    """One sampler on one grid at one budget.

    Attributes:
        budget: the number of model evaluations allowed.
        sampler, grid, end: what was run; ``end`` is the grid's end policy.
        steps: number of grid steps, the most for which ``nfe <= budget`` unless fewer do better.
        nfe: model evaluations spent.
        w2: exact 2-Wasserstein distance to the data law on the Gaussian, started from the prior.
        path: root mean square, over points and coordinates, of the distance between the output and the end of
            the exact flow on the mixture; nan for samplers that draw noise.
        path_se: standard error of ``path`` over the points, by the delta method. Few points near a watershed carry
            much of it, so two paths that differ by less are not told apart.
        plan: the plan itself.
    """

    budget: int
    sampler: str
    grid: str
    end: str
    steps: int
    nfe: int
    w2: float
    path: float
    path_se: float
    plan: Plan


@dataclass(frozen=True)
class Ranking:
    """What :func:`rank` found.

    Attributes:
        all: every candidate: budgets as given, in each the samplers, grids and ends in their order.
        absent: for each budget the names of the samplers that have no plan there.
    """

    all: tuple[Entry, ...]
    absent: Mapping[int, tuple[str, ...]]

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets, in the order given."""
        return tuple(self.absent)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """For each budget and sampler the candidate of least ``w2``, the best first within a budget."""
        return tuple(entry for budget in self.budgets for entry in self.best(budget))

    def best(self, budget: int, by: str = "w2") -> tuple[Entry, ...]:
        """For each sampler its best candidate at ``budget``, the best first.

        Args:
            by: ``"w2"`` or ``"path"``; samplers without a number for it are left out.

        Raises:
            ValueError: a budget that was not ranked; an unknown ``by``.
        """
        if budget not in self.absent:
            raise ValueError(f"budget {budget!r} was not ranked: use one of {', '.join(map(str, self.budgets))}")
        if by not in MEASURES:
            raise ValueError(f"by = {by!r} is unknown: use one of {', '.join(MEASURES)}")
        least: dict[str, Entry] = {}
        for entry in self._at(budget):
            if not math.isnan(getattr(entry, by)):
                least[entry.sampler] = min(least.get(entry.sampler, entry), entry, key=lambda e: getattr(e, by))
        return tuple(sorted(least.values(), key=lambda e: getattr(e, by)))

    def winner(self, budget: int, by: str = "w2") -> Entry:
        """The best candidate of all at ``budget``.

        Raises:
            ValueError: as :meth:`best`; no candidate has a number for ``by``.
        """
        best = self.best(budget, by)
        if not best:
            raise ValueError(f"no sampler has a {by} error at budget {budget}: raise the budget or add samplers")
        return best[0]

    def rows(self) -> list[dict[str, Any]]:
        """Every candidate as a flat row for a table; ``best`` marks each sampler's least ``w2`` at its budget."""
        chosen = {id(entry) for entry in self.entries}
        names = ("budget", "sampler", "grid", "end", "steps", "nfe", "w2", "path", "path_se")
        return [{name: getattr(e, name) for name in names} | {"best": id(e) in chosen} for e in self.all]

    def _at(self, budget: int) -> Iterator[Entry]:
        return (entry for entry in self.all if entry.budget == budget)


def rank(
    process: Any,
    gaussian: Any,
    mixture: Any,
    budgets: Sequence[int],
    samplers: Sequence[Solver] | None = None,
    grids: Mapping[str, MakeGrid] | None = None,
    ends: Sequence[str] = ENDS,
    paths: int = 64,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Every sampler on every grid with every end, at every budget, judged on two surrogates of the data.

    A candidate is the plan with the most steps that stays within the budget, and the plan of a smaller budget where
    that has the smaller error, so that a larger budget never ranks worse; a sampler that a grid or an end refuses has
    none there. On the Gaussian the error is exact and includes the start from the prior, the
    discretisation and the end. On the mixture the points start from its marginal at the plan's first level, and are
    compared with the exact flow down to the data. Where two modes part, the flow of a point may be too sensitive to be
    known to the reference's tolerance; such points (it takes a batch of many to meet one) are left out for every plan.

    Args:
        process: the noise process.
        gaussian: a target with exact moments (:class:`~diffnum.targets.Gaussian`).
        mixture: a target with ``sample`` and ``flow`` of the same dimension.
        budgets: numbers of model evaluations, each once.
        samplers: None for :data:`RANKED`.
        grids: by name, ``make(process, n, end=end)``; None for :data:`GRIDS`.
        ends: end policies of the grids.
        paths: number of points on the mixture.
        seed: of these points.
        on_progress: called with ``(done, total)`` after each candidate.

    Raises:
        ValueError: no budgets, budgets that are not whole numbers >= 1 or come twice, no paths, surrogates of
            different dimensions; a mixture whose flow is unknown for more than half of the points.
    """
    budgets = _checked(budgets)
    if not (isinstance(paths, int) and paths >= 1):
        raise ValueError(f"paths = {paths!r} is no number of points: use a whole number >= 1")
    if gaussian.dim != mixture.dim:
        raise ValueError(
            f"dimensions {gaussian.dim} (Gaussian) and {mixture.dim} (mixture) differ: fit both to the same data"
        )
    members = RANKED if samplers is None else tuple(samplers)
    courses = product((GRIDS if grids is None else grids).items(), ends)
    candidates = list(product(members, courses, budgets))
    judge = _Judge(gaussian, mixture, paths, seed)
    found: dict[int, list[Entry]] = {budget: [] for budget in budgets}
    for done, (solver, ((name, make), end), budget) in enumerate(candidates, 1):
        plan = _longest(solver, process, budget, make, end)
        if plan is not None:
            errors = judge.w2(plan), *judge.path(plan)
            found[budget].append(Entry(budget, solver.name, name, end, plan.steps, plan.nfe, *errors, plan))
        if on_progress is not None:
            on_progress(done, len(candidates))
    _carry_over(found)
    absent = {
        budget: tuple(solver.name for solver in members if solver.name not in {e.sampler for e in entries})
        for budget, entries in found.items()
    }
    return Ranking(tuple(entry for entries in found.values() for entry in entries), absent)


def _carry_over(found: dict[int, list[Entry]]) -> None:
    """Let a plan compete at every larger budget at which it beats the longer plan of its sampler, grid and end."""
    ascending = sorted(found)
    for smaller, larger in pairwise(ascending):
        at = {(e.sampler, e.grid, e.end): e for e in reversed(found[larger])}
        for entry in list(found[smaller]):
            rival = at.get((entry.sampler, entry.grid, entry.end))
            if rival is None or entry.w2 < rival.w2 or entry.path < rival.path:
                found[larger].append(replace(entry, budget=larger))


def _checked(budgets: Sequence[int]) -> tuple[int, ...]:
    for budget in budgets:
        if not (isinstance(budget, int) and budget >= 1):
            raise ValueError(f"budget {budget!r} is no number of model evaluations: use whole numbers >= 1")
        if list(budgets).count(budget) > 1:
            raise ValueError(f"budget {budget} comes {list(budgets).count(budget)} times: name each once")
    if not budgets:
        raise ValueError("no budget was given: name at least one number of model evaluations")
    return tuple(budgets)


def _longest(solver: Solver, process: Any, budget: int, make: MakeGrid, end: str) -> Plan | None:
    try:
        return within(solver, process, budget, make, end)
    except ValueError:
        return None


@dataclass(frozen=True)
class _Judge:
    """The errors of plans; exact ends of the flow are computed once per starting level."""

    gaussian: Any
    mixture: Any
    paths: int
    seed: int
    _ends: dict[Level, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def w2(self, plan: Plan) -> float:
        return w2(plan, self.gaussian, at="data", init="prior")

    def path(self, plan: Plan) -> tuple[float, float]:
        if plan.draws:
            return math.nan, math.nan
        x, end = self._flow(plan.start)
        squares = ((sample(plan, self.mixture, x) - end) ** 2).mean(axis=-1)
        rms = float(np.sqrt(squares.mean()))
        return rms, float(squares.std() / np.sqrt(len(squares)) / (2 * rms)) if rms else 0.0

    def _flow(self, start: Level) -> tuple[np.ndarray, np.ndarray]:
        if start not in self._ends:
            x = self.mixture.sample(self.paths, self.seed, start)
            end = self._followed(x, start)
            known = np.isfinite(end).all(axis=-1)
            if 2 * known.sum() < self.paths:
                end = self.mixture.flow(x, start, DATA)  # raises with the reason
            self._ends[start] = x[known], end[known]
        return self._ends[start]

    def _followed(self, x: np.ndarray, start: Level) -> np.ndarray:
        """The exact flow down to the data; nan for points whose reference is not verified."""
        try:
            return self.mixture.flow(x, start, DATA)
        except ValueError:
            if len(x) == 1:
                return np.full_like(x, np.nan)
            half = len(x) // 2
            return np.concatenate([self._followed(x[:half], start), self._followed(x[half:], start)])
