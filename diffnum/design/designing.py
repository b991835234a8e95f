"""The sampler for your data at your budget: designed on surrogates, chosen by others, judged on others again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..plan import Plan
from ..process import VP
from . import rest, surrogates
from .classes import Classes
from .free import Free
from .handmade import Candidate, best_on, candidates
from .interval import Interval
from .training import Fit, fit
from .trial import Trial

__all__ = ["Design", "Verdict", "design"]

ROUNDS = 20
RIDGE = 1e-4
HARD = 96
"""Trajectories of a law that a fit sees because they are hard, and as many others."""
MANY = 6
"""Evaluations above which the family of order two is tried as well."""
_MOST = 24
BOTH, SHARP = ("soft_l1", "linear"), ("linear",)


@dataclass(frozen=True)
class Verdict:
    """One surrogate that the design never saw.

    Attributes:
        trial: its name.
        hand_made: the best hand-made plan *on this surrogate*, chosen with all its trajectories in view.
        hand_made_error, error: root mean square distance to the trajectories' ends, of that plan and of the design.
        gain: ``1 - error / hand_made_error`` with its 95 % interval.
    """

    trial: str
    hand_made: Candidate
    hand_made_error: float
    error: float
    gain: Interval

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above zero: otherwise no gain is claimed."""
        return self.gain.low > 0


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
class _Chain:
    """Fits one after the other, each from where the last arrived: what is smooth first.

    Attributes:
        free, theta: the family, and where to start.
        stages: names, surrogates, units of their errors, losses.
        rivals: hand-made plans, for which trajectories are hard or easy.
    """

    free: Free
    theta: np.ndarray
    stages: list[tuple[str, list[Trial], list[float], tuple[str, ...]]]
    rivals: list[Plan]

    def run(self) -> list[tuple[str, Fit]]:
        found: list[tuple[str, Fit]] = []
        theta = self.theta
        for name, trials, units, losses in self.stages:
            plans = [self.free.plan(theta.tolist()), *self.rivals]
            strata = [trial.strata(plans, HARD) for trial in trials]
            made = fit(self.free, theta, strata, units, ROUNDS, RIDGE, losses)
            found.append((name, made))
            theta = made.theta
        return found


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
        samplers: hand-made ones to compare with; :data:`diffnum.budget.RANKED` if None.
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
    start = process.level(process.t_start)
    say("surrogates", 0, 2)
    (training, choosing), draw = _trials(
        data, spectrum, start, seed, jobs, classes, lambda done: say("surrogates", done, 2)
    )
    by_hand = candidates(process, nfe, samplers)
    say("hand-made", 0, len(choosing))
    ranked = _together(
        [partial(_best, trial, by_hand) for trial in choosing], jobs, lambda done: say("hand-made", done, len(choosing))
    )
    field = _Field(process, start, nfe, choosing, ranked)
    smooth, rough = field.first(training)
    # the surrogates to judge on are drawn beside the fits: nothing before needs them
    many = len(smooth) + 4
    say("fits", 0, many)
    begun = _together([chain.run for chain in smooth], jobs, lambda done: say("fits", done, many))
    chains = [rough, *field.second(begun, training)]
    *ended, judging = _together(
        [*(chain.run for chain in chains), draw], jobs, lambda done: say("fits", len(smooth) + done, many)
    )
    named = [pair for pairs in [*begun, *ended] for pair in pairs]
    fits = [found for _, found in named]
    scores = [field.score(found.plan()) for found in fits]
    best = int(np.argmin(scores))
    plan = fits[best].plan()
    say("judging", 0, len(judging))
    works = [partial(_judged, trial, by_hand, plan, seed) for trial in judging]
    verdicts = _together(works, jobs, lambda done: say("judging", done, len(judging)))
    tried = tuple((name, found.free.order, score) for (name, found), score in zip(named, scores, strict=True))
    return Design(nfe, fits[best], fits[best].plan(prediction), tuple(verdicts), named[best][0], tried)


def _trials(
    data: Any,
    spectrum: Any,
    start: Any,
    seed: int,
    jobs: int,
    classes: Classes | None,
    done: Callable[[int], None],
) -> tuple[list[list[Trial]], Callable[[], list[Trial]]]:
    """Trials to design on and to choose by, and how to draw those to judge on."""
    if data is None:
        *made, judging = surrogates.of_spectrum(spectrum, start)
        return made, partial(list, judging)
    parts = surrogates.split(data, seed, classes)
    others = rest.others(parts.design, parts.choose, parts.shape) if parts.design.shape[1] > rest.LARGE else None
    variances = None if others is None else others.variances
    known = {"start": start, "seed": seed}
    mine = partial(surrogates.designed_on, parts.design, **known, classes=parts.classes[0], others=variances)
    chosen = partial(surrogates.chosen_by, parts.choose, **known, classes=parts.classes[1])
    judged = partial(surrogates.judged_on, parts.judge, **known, classes=parts.classes[2])
    return _together([mine, chosen], jobs, done), judged


@dataclass(frozen=True, eq=False)
class _Field:
    """What fits start from and are compared with; ``ranked``, the best hand-made plans on each surrogate to choose by,
    the best first."""

    process: Any
    start: Any
    nfe: int
    choosing: list[Trial]
    ranked: list[list[Candidate]]

    @property
    def rivals(self) -> list[Plan]:
        """The best on the first surrogate to choose by and on the last."""
        return [ranked[0].plan for ranked in (self.ranked[0], self.ranked[-1])]

    def score(self, plan: Plan) -> float:
        """Logarithm of the error in units of the best hand-made plan's, on the worst surrogate."""
        pairs = zip(self.choosing, self.ranked, strict=True)
        worst = max(trial.error(plan) / trial.error(ranked[0].plan) for trial, ranked in pairs)
        return math.log(worst) if math.isfinite(worst) else math.inf

    def first(self, training: list[Trial]) -> tuple[list[_Chain], _Chain]:
        """Fits to the smoothest surrogate, of order two as well where steps are many, and to the rougher ones, each
        from the hand-made plan that is best there."""
        limit = float(self.process.level(self.process.t_stop).lam)
        units = self._units(training)
        smooth = [(training[0].name, training[:1], units[:1], BOTH)]
        plain, second = (Free(self.process, self.start, limit, self.nfe, order) for order in (1, 2))
        of_points, of_mixture = self.ranked[0], self.ranked[-1]
        families = (plain, second) if self.nfe > MANY else (plain,)
        return (
            [_Chain(free, self._near(free, of_mixture), smooth, self.rivals) for free in families],
            _Chain(plain, self._near(plain, of_points), self._rougher(training, units), self.rivals),
        )

    def second(self, begun: list[list[tuple[str, Fit]]], training: list[Trial]) -> list[_Chain]:
        """From the best fit to the smoothest surrogate to all, and by way of the rougher ones to all; then once more to
        what is hard for the plan that this made."""
        ends = [fit for pairs in begun for name, fit in pairs if name == training[0].name]
        made = min(ends, key=lambda fit: fit.error)
        units = self._units(training)
        rougher = [*self._rougher(training, units), ("all", training, units, SHARP)]
        return [_Chain(made.free, made.theta, stages, self.rivals) for stages in (rougher, rougher[-2:])]

    def _rougher(self, training: list[Trial], units: list[float]) -> list[tuple[str, list[Trial], list[float], Any]]:
        """One rougher surrogate after the other, then all of them."""
        between = [(t.name, [t], [u], SHARP) for t, u in zip(training[1:-1], units[1:-1], strict=True)]
        return [*between, ("all", training, units, BOTH)]

    def _units(self, training: list[Trial]) -> list[float]:
        return [trial.error(self.ranked[0][0].plan) for trial in training]

    def _near(self, free: Free, ranked: list[Candidate]) -> np.ndarray:
        """The best hand-made plan that the family holds."""
        found = (free.near(candidate.plan) for candidate in ranked)
        return next((theta for theta in found if theta is not None), self._levels(free, ranked))

    def _levels(self, free: Free, ranked: list[Candidate]) -> np.ndarray:
        """The levels of the best hand-made plan with as many; or equal steps in log-SNR."""
        for candidate in ranked:
            inside = [level.lam for level in candidate.plan.levels if free.start.lam < level.lam < free.limit]
            if len(inside) >= free.levels and candidate.plan.levels[0].lam == free.start.lam:
                return free.vector(inside[: free.levels])
        first = free.start.lam if math.isfinite(free.start.lam) else min(-6.0, free.limit - 6.0)
        return free.vector(np.linspace(first, free.limit, free.nfe + 1)[1:-1].tolist()[: free.levels])


def _best(trial: Trial, by_hand: Sequence[Candidate]) -> list[Candidate]:
    return best_on(trial, by_hand)[:_MOST]


def _judged(trial: Trial, by_hand: Sequence[Candidate], plan: Plan, seed: int) -> Verdict:
    rival = best_on(trial, by_hand)[0]
    return Verdict(trial.name, rival, trial.error(rival.plan), trial.error(plan), trial.gain(plan, rival.plan, seed))


def _together(works: Sequence[Callable[[], Any]], jobs: int, done: Callable[[int], None]) -> list[Any]:
    from joblib import Parallel, delayed

    found = []
    for made in Parallel(n_jobs=jobs, return_as="generator")(delayed(_alone)(work) for work in works):
        found.append(made)
        done(len(found))
    return found


def _alone(work: Callable[[], Any]) -> Any:
    import torch
    from threadpoolctl import threadpool_limits

    # several processes share the cores, and small matrices gain nothing from threads
    torch.set_num_threads(1)
    with threadpool_limits(1):
        return work()
