"""A plan against the best by hand, on laws that nothing was made for: what they start from, and the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..plan import Plan
from ..process import VP
from . import surrogates
from .classes import Classes
from .handmade import Candidate, best_among, candidates, finite
from .interval import Interval
from .jobs import together
from .surrogates import Law
from .trial import Trial

__all__ = ["MOST", "Contest", "Known", "Verdict", "decided", "opened", "verdicts"]

_SMALL, _RACE, MOST = 32, 1536, 24
"""Trajectories that show likely rivals; those that all hand-made plans run on at most; and how many of the best run on
all of them, where there are more."""


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

    def __str__(self) -> str:
        less = self.gain.value >= 0
        low, high = (self.gain.low, self.gain.high) if less else (-self.gain.high, -self.gain.low)
        value, low, high = (f"{round(100 * x, 0) + 0.0:.0f} %" for x in (abs(self.gain.value), low, high))
        gain = f"{value} {'less' if less else 'more'} [{low}, {high}]"
        return f"on {self.trial}: {self.error:.3g} against {self.hand_made_error:.3g} by {self.hand_made}: {gain}"


@dataclass(frozen=True, eq=False)
class Known:
    """A law whose only trial is known, as of a Gaussian, where one point is the expectation."""

    only: Trial

    def trial(self, paths: int, plans: Sequence[Plan] = ()) -> Trial:
        """It, whatever is asked."""
        return self.only


@dataclass(frozen=True, eq=False)
class Contest:
    """A law to judge on, and the hand-made plans in the order of their errors on few of its trajectories."""

    law: Law | Known
    ranked: Sequence[Candidate]

    @property
    def likely(self) -> list[Plan]:
        """The best of them, and the best of another sampler."""
        first = self.ranked[0]
        return [first.plan, next((c for c in self.ranked if c.sampler != first.sampler), first).plan]

    def verdict(self, plan: Plan, paths: int, seed: int) -> Verdict:
        """On so many trajectories, drawn for the plan and its likely rivals, against the best by hand on all of them.

        Args:
            plan: to be judged.
            paths: how many.
            seed: of the interval.
        """
        trial = self.law.trial(paths, [plan, *self.likely])
        raced = best_among(trial.first(_RACE), self.ranked)[:MOST]
        rival = best_among(trial, raced)[0]
        error, gain = trial.error(plan), trial.gain(plan, rival.plan, seed)
        return Verdict(trial.name, rival, trial.error(rival.plan), error, gain)


def opened(law: Law | Known, by_hand: Sequence[Candidate]) -> Contest:
    """The contest of some hand-made plans on a law, which no designed plan has entered yet."""
    few = law.trial(_SMALL)
    return Contest(law, sorted(by_hand, key=lambda c: finite(few.error(c.plan))))


def decided(
    contests: Sequence[Contest], plan: Plan, paths: int, seed: int, jobs: int, done: Callable[[int], None]
) -> tuple[Verdict, ...]:
    """The verdict of each contest."""
    return tuple(together([partial(contest.verdict, plan, paths, seed) for contest in contests], jobs, done))


def verdicts(
    plan: Plan,
    data: Any,
    process: Any = None,
    samplers: Sequence[Any] | None = None,
    seed: int = 0,
    jobs: int = 1,
    labels: Any = None,
    guidance: float | None = None,
    paths: int | None = None,
) -> tuple[Verdict, ...]:
    """What :func:`~diffnum.design.design` says of its plan in the end, of any plan: against more samplers, on more
    trajectories.

    Args:
        plan: it follows trajectories from the first level of ``process``, and draws no noise.
        data, process, samplers, seed, jobs, labels, guidance: as of :func:`~diffnum.design.design`; with the same data
            and seed the laws are made from the quarter that the design has not seen.
        paths: trajectories of each law; :data:`.surrogates.PATHS` if None, which are those that a design takes.

    Raises:
        ValueError: a plan that draws noise or starts elsewhere; data as of :func:`~diffnum.design.design`.
    """
    process = VP() if process is None else process
    start = process.level(process.t_start)
    if plan.draws or plan.start != start:
        what = "draws noise" if plan.draws else f"starts at log-SNR {plan.start.lam:.6g}"
        raise ValueError(f"{plan.solver} {what}: only a plan that follows trajectories from {start!r} can be judged")
    by_hand = candidates(process, plan.nfe, samplers)
    classes = None if guidance is None else Classes(np.asarray(labels), float(guidance))
    surrogates.check_units(np.asarray(data, dtype=np.float64), process)
    parts = surrogates.split(data, seed, classes)
    laws = surrogates.laws_to_judge(parts.judge, start, seed=seed, classes=parts.classes[2])
    contests = together([partial(opened, law, by_hand) for law in laws], jobs, lambda done: None)
    return decided(contests, plan, paths or surrogates.paths_of(classes), seed, jobs, lambda done: None)
