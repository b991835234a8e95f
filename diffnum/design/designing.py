"""The sampler for your data at your budget: designed on surrogates, chosen by others, judged on others again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ..plan import Plan
from ..process import VP
from . import rest, surrogates
from .classes import Classes
from .contest import MOST, Known, Verdict, decided, opened
from .free import Free
from .handmade import Candidate, best_on, candidates
from .jobs import together
from .training import Fit, fit
from .trial import Trial

__all__ = ["Design", "design"]

ROUNDS = 20
RIDGE = 1e-4, 1e-3
"""Of the first fits, and of those to all laws, where a tighter leash holds on to what the first have found."""
HARD, EACH = 96, 4
"""Trajectories of a law that a first fit sees because they are hard, and as many others; a fit to all laws sees four
for every free number, at least a third more."""
STARTS, KEPT = 3, 2
"""Hand-made plans that fits start from, and how many of the first fits are fitted further."""
ROUGH = (3.0, 9.0)
"""How often the roughest law counts in a fit to all: it gains least by being counted once, and which share serves laws
that no fit saw best is for those to choose by to say."""
BOTH, SHARP = ("soft_l1", "linear"), ("linear",)


@dataclass(frozen=True)
class Design:
    """A designed plan and what is known of it.

    Attributes:
        nfe: model evaluations.
        fit: the trained numbers.
        plan: the plan, for ``prediction``.
        verdicts: on surrogates used for nothing else.
        trained_on: names of the surrogates of the chosen fit.
        tried: for each fit that was made, the surrogates, the order, and the score it was chosen by: the logarithm of
            its error in units of the best hand-made plan's, on the surrogate to choose by where that is worst.
    """

    nfe: int
    fit: Fit
    plan: Plan
    verdicts: tuple[Verdict, ...]
    trained_on: str
    tried: tuple[tuple[str, int, float], ...]

    @property
    def better(self) -> bool:
        """Whether the design beats the best hand-made plan on every surrogate, with 95 % confidence on each."""
        return all(verdict.better for verdict in self.verdicts)


@dataclass(frozen=True, eq=False)
class _Work:
    """A fit that is still to be made.

    Attributes:
        name: of its surrogates.
        free, theta: the family, and where to start.
        trials, units: surrogates, and units of their errors.
        hard: trajectories of each that are seen because they are hard.
        losses, ridge: see :func:`.training.fit`.
        rivals: hand-made plans, for which trajectories are hard or easy.
    """

    name: str
    free: Free
    theta: np.ndarray
    trials: list[Trial]
    units: list[float]
    hard: int
    losses: tuple[str, ...]
    ridge: float
    rivals: list[Plan]

    def run(self) -> Fit:
        plans = [self.free.plan(self.theta.tolist()), *self.rivals]
        strata = [trial.strata(plans, self.hard) for trial in self.trials]
        return fit(self.free, self.theta, strata, self.units, ROUNDS, self.ridge, self.losses)


def design(
    data: Any = None,
    nfe: int = 8,
    process: Any = None,
    spectrum: Any = None,
    prediction: str = "data",
    samplers: Sequence[Any] | None = None,
    seed: int = 0,
    jobs: int = 1,
    labels: Any = None,
    guidance: float | None = None,
    on_stage: Callable[[str, int, int], None] | None = None,
) -> Design:
    """The plan of ``nfe`` evaluations that follows the exact trajectories of surrogates of the data best.

    No network is called: every denoiser is in closed form. Levels and coefficients of a free plan
    (:class:`~diffnum.design.free.Free`) are fitted to trajectories of laws made from one half of the data, from several
    starts; among the fits one is chosen on laws made from a quarter; it is judged on laws made from the last quarter,
    against the hand-made plan that is the best there.

    Args:
        data: ``(n, ...)``, at least 32 samples, in the units that the network sees; None where ``spectrum`` is given.
        nfe: the budget.
        process: the noise process; VP if None. A network's own, such as ``dn.models.from_diffusers(...).process``.
        spectrum: variances of a Gaussian, in place of data.
        prediction: what the model of the returned plan predicts.
        samplers: hand-made ones to compare with, or their names; :data:`.handmade.RIVALS` if None.
        seed: of the split, the mixtures, the trajectories and the intervals.
        jobs: processes for the fits; the result does not depend on it.
        labels: ``(n,)``, classes of the data, with ``guidance``.
        guidance: scale of classifier-free guidance that the plan is for, ``unconditional + guidance (conditional -
            unconditional)``: trajectories are then those of the guided denoiser, towards every class. None for a
            sampler without guidance, of all the data.
        on_stage: called with ``(what, done, of)``.

    Raises:
        ValueError: neither data nor a spectrum, or both; too few samples; a budget that is no whole number >= 2;
            guidance without labels or for a spectrum; data in other units than the process's.
    """
    if (data is None) == (spectrum is None):
        raise ValueError("give either data or a spectrum to design for")
    if not (isinstance(nfe, int) and not isinstance(nfe, bool) and nfe >= 2):
        raise ValueError(f"nfe = {nfe!r} leaves nothing to design: use a whole number >= 2")
    if guidance is not None and (labels is None or data is None):
        raise ValueError(f"guidance = {guidance} needs data with classes: pass labels, or leave guidance out")
    classes = None if guidance is None else Classes(np.asarray(labels), float(guidance))
    process = VP() if process is None else process
    say = on_stage or (lambda what, done, of: None)
    if data is not None:
        surrogates.check_units(np.asarray(data, dtype=np.float64), process)
    by_hand = candidates(process, nfe, samplers)
    start = process.level(process.t_start)
    say("surrogates", 0, 2)
    (training, choosing), draw = _trials(
        data, spectrum, start, seed, jobs, classes, lambda done: say("surrogates", done, 2)
    )
    say("hand-made", 0, len(choosing))
    ranked = _ranked(choosing, by_hand, jobs, lambda done: say("hand-made", done, len(choosing)))
    field = _Field(process, start, nfe, choosing, ranked, (1.0,) if data is None else ROUGH)
    smooth = field.first(training)
    # the laws to judge on are made beside, and who the rivals are: nothing before needs them
    many = len(smooth) + min(KEPT, len(smooth)) * len(field.shares)
    say("fits", 0, many)
    *begun, laws = together(
        [*(work.run for work in smooth), draw], jobs, lambda done: say("fits", min(done, len(smooth)), many)
    )
    to_all = field.second(begun, training)
    made = together(
        [*(work.run for work in to_all), *(partial(opened, law, by_hand) for law in laws)],
        jobs,
        lambda done: say("fits", min(len(smooth) + done, many), many),
    )
    ended, contests = made[: len(to_all)], made[len(to_all) :]
    named = [(work.name, made) for work, made in zip([*smooth, *to_all], [*begun, *ended], strict=True)]
    fits = [made for _, made in named]
    scores = [field.score(found.plan()) for found in fits]
    best = int(np.argmin(scores))
    plan = fits[best].plan()
    say("judging", 0, len(contests))
    paths = surrogates.paths_of(classes)
    found = decided(contests, plan, paths, seed, jobs, lambda done: say("judging", done, len(contests)))
    tried = tuple((name, made.free.order, score) for (name, made), score in zip(named, scores, strict=True))
    return Design(nfe, fits[best], fits[best].plan(prediction), found, named[best][0], tried)


def _trials(
    data: Any,
    spectrum: Any,
    start: Any,
    seed: int,
    jobs: int,
    classes: Classes | None,
    done: Callable[[int], None],
) -> tuple[list[list[Trial]], Callable[[], list[Any]]]:
    """Trials to design on and to choose by, and how to make the laws to judge on."""
    if data is None:
        *made, judging = surrogates.of_spectrum(spectrum, start)
        return made, partial(list, map(Known, judging))
    parts = surrogates.split(data, seed, classes)
    others = rest.others(parts.design, parts.choose, parts.shape) if parts.design.shape[1] > rest.LARGE else None
    variances = None if others is None else others.variances
    known = {"start": start, "seed": seed}
    mine = partial(surrogates.designed_on, parts.design, **known, classes=parts.classes[0], others=variances)
    chosen = partial(surrogates.chosen_by, parts.choose, **known, classes=parts.classes[1])
    judged = partial(surrogates.laws_to_judge, parts.judge, **known, classes=parts.classes[2])
    return together([mine, chosen], jobs, done), judged


@dataclass(frozen=True, eq=False)
class _Field:
    """What fits start from and are compared with.

    Attributes:
        process, start, nfe: of the plan.
        choosing: surrogates to choose by.
        ranked: the best hand-made plans on each of them, the best first.
        shares: how often the roughest law may count in a fit to all.
    """

    process: Any
    start: Any
    nfe: int
    choosing: list[Trial]
    ranked: list[list[Candidate]]
    shares: tuple[float, ...]

    @property
    def rivals(self) -> list[Plan]:
        """The best on the first surrogate to choose by and on the last."""
        return [ranked[0].plan for ranked in (self.ranked[0], self.ranked[-1])]

    def score(self, plan: Plan) -> float:
        """Logarithm of the error in units of the best hand-made plan's, on the worst surrogate."""
        pairs = zip(self.choosing, self.ranked, strict=True)
        worst = max(trial.error(plan) / trial.error(ranked[0].plan) for trial, ranked in pairs)
        return math.log(worst) if math.isfinite(worst) else math.inf

    def first(self, training: list[Trial]) -> list[_Work]:
        """Fits to the smoothest surrogate from the hand-made plans of several samplers that are the best there; of
        order two as well where the family holds too few of them."""
        limit = float(self.process.level(self.process.t_stop).lam)
        plain, second = (Free(self.process, self.start, limit, self.nfe, order) for order in (1, 2))
        starts = [(plain, theta) for theta in self._near(plain)]
        if len(starts) < STARTS:
            starts.append((second, self._levels(second, self.ranked[-1])))
        law, units = training[0], [self._unit(training[0])]
        return [_Work(law.name, free, theta, [law], units, HARD, BOTH, RIDGE[0], self.rivals) for free, theta in starts]

    def second(self, begun: list[Fit], training: list[Trial]) -> list[_Work]:
        """From the best of them to all surrogates, the roughest counted as often as each share says."""
        units = [self._unit(trial) for trial in training]
        best = sorted(begun, key=lambda made: self.score(made.plan()))[:KEPT]
        return [self._to_all(made, share, training, units) for made, share in product(best, self.shares)]

    def _to_all(self, made: Fit, share: float, training: list[Trial], units: list[float]) -> _Work:
        name = "all" if share == 1 else f"all, {training[-1].name} {share:g} times"
        counted = [*units[:-1], units[-1] / math.sqrt(share)]
        hard = max(HARD + HARD // 3, EACH * made.free.size)
        return _Work(name, made.free, made.theta, training, counted, hard, SHARP, RIDGE[1], self.rivals)

    def _unit(self, trial: Trial) -> float:
        """The least error of a plan that is the best by hand on some surrogate: what is best on one may be ten times
        as bad as another elsewhere."""
        return min(trial.error(ranked[0].plan) for ranked in self.ranked)

    def _near(self, free: Free) -> list[np.ndarray]:
        """The best hand-made plans that the family holds, each of another sampler; if none, the best levels."""
        found: dict[str, np.ndarray] = {}
        for candidate in self.ranked[-1]:
            theta = None if candidate.sampler in found else free.near(candidate.plan)
            if theta is not None and not any(np.allclose(theta, other) for other in found.values()):
                found[candidate.sampler] = theta
            if len(found) == STARTS:
                break
        return list(found.values()) or [self._levels(free, self.ranked[-1])]

    def _levels(self, free: Free, ranked: list[Candidate]) -> np.ndarray:
        """The levels of the best hand-made plan with as many; or equal steps in log-SNR."""
        for candidate in ranked:
            inside = [level.lam for level in candidate.plan.levels if free.start.lam < level.lam < free.limit]
            if len(inside) >= free.levels and candidate.plan.levels[0].lam == free.start.lam:
                return free.vector(inside[: free.levels])
        first = free.start.lam if math.isfinite(free.start.lam) else min(-6.0, free.limit - 6.0)
        return free.vector(np.linspace(first, free.limit, free.nfe + 1)[1:-1].tolist()[: free.levels])


def _ranked(
    choosing: list[Trial], by_hand: list[Candidate], jobs: int, done: Callable[[int], None]
) -> list[list[Candidate]]:
    """The best hand-made plans on each surrogate: of all on the roughest and the smoothest, of those of both on what
    lies between."""
    first, *between, last = choosing
    ends = together([partial(_best, trial, by_hand) for trial in (first, last)], jobs, done)
    few = list({c.plan.hash: c for ranked in ends for c in ranked}.values())
    inner = together([partial(_best, trial, few) for trial in between], jobs, lambda n: done(2 + n))
    return [ends[0], *inner, ends[1]]


def _best(trial: Trial, by_hand: Sequence[Candidate]) -> list[Candidate]:
    return best_on(trial, by_hand)[:MOST]
