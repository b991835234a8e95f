"""Time-shift sampling: the network is told the time whose noise its input seems to have (Li et al. 2024).

Near the nominal time ``t`` of a state ``x``, and above a cut-off, the noise network gets

    t_s = argmin over [t - w/2, t + w/2] of |var(x) - c(t')^2|,    c(t')^2 = sigma(t')^2,

with ``var`` over the coordinates of a sample; the sampler's coefficients keep ``t``. Any sampler can do so, since only
its model changes. For data of variance ``S`` the variance of ``x`` is ``alpha^2 S + sigma^2``, so the published
criterion is off by ``alpha^2 S``; ``data_variance`` puts it in. Even so the shift does not vanish with the step: with
an exact model the result does not tend to the flow's. Once chosen the times are part of a plan, the frozen one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..plan import Eval, Level, Plan
from ..read.sample import adapted_model, sample

__all__ = ["Shifted", "TimeShift", "sample_shifted"]


@dataclass(frozen=True)
class TimeShift:
    """Which time to tell the network.

    Attributes:
        process: of the plan.
        window: ``w``, in units of ``t``; 0 leaves every time as it is.
        cutoff: no shift at times ``t <= cutoff``.
        candidates: odd number of times tried, the nominal one in the middle.
        data_variance: ``S``; 0 as published.

    Raises:
        ValueError: a negative window or variance, an even number of candidates.
    """

    process: Any
    window: float
    cutoff: float = 0.0
    candidates: int = 21
    data_variance: float = 0.0

    def __post_init__(self) -> None:
        if not self.window >= 0:
            raise ValueError(f"window = {self.window!r} is no width: use a number >= 0")
        if self.candidates < 1 or self.candidates % 2 == 0:
            raise ValueError(f"candidates = {self.candidates!r} has no middle: use an odd number")
        if not self.data_variance >= 0:
            raise ValueError(f"data_variance = {self.data_variance!r} is no variance: use a number >= 0")

    def levels(self, level: Level) -> tuple[Level, ...]:
        """The levels to choose from; the nominal one alone below the cut-off."""
        if not self.window or level.t <= self.cutoff:
            return (level,)
        half = self.candidates // 2
        times = [level.t + self.window * k / (2 * half) for k in range(-half, half + 1) if k] if half else []
        inside = [t for t in times if self.process.t_clean < t <= self.process.t_start]
        return (level, *(self.process.level(t) for t in inside))

    def choose(self, x: Any, level: Level) -> list[Level]:
        """The level for each sample of ``x``; of two equally good ones the nominal one, then the cleaner."""
        levels = self.levels(level)
        rows = x.reshape(len(x), -1)
        # of the samples: unbiased, in both libraries
        spread = rows.var(1) if hasattr(rows, "new_tensor") else rows.var(1, ddof=1)
        wanted = [level.alpha**2 * self.data_variance + level.sigma**2 for level in levels]
        gaps = np.abs(np.asarray(spread.tolist())[:, None] - np.asarray(wanted)[None])
        return [levels[i] for i in gaps.argmin(1)]


@dataclass(frozen=True)
class Shifted:
    """What :func:`sample_shifted` returns.

    Attributes:
        x: the samples.
        levels: for each evaluation the level told for each sample.
        plan: the plan that was run.
    """

    x: Any
    levels: tuple[tuple[Level, ...], ...]
    plan: Plan

    def frozen(self, sample: int) -> Plan:
        """The plan of one sample with its times: run on that sample alone it gives the same to rounding."""
        chosen = iter(self.levels)
        lines = [replace(a, level=next(chosen)[sample]) if isinstance(a, Eval) else a for a in self.plan.lines]
        return replace(self.plan, lines=tuple(lines), solver=f"{self.plan.solver} with shifted times")


def sample_shifted(plan: Plan, model: Any, x: Any, shift: TimeShift) -> Shifted:
    """Run a plan of noise prediction with the network at shifted times.

    Every sample is evaluated once for each evaluation of the plan; those with one level go to the model together.

    Raises:
        ValueError: a plan of another prediction, whose meaning would change with the time.
    """
    if plan.prediction != "noise":
        raise ValueError(
            f"time shifting is for noise networks, the plan predicts {plan.prediction}: compile it for 'noise'"
        )
    call = adapted_model(model, plan.prediction)
    told: list[tuple[Level, ...]] = []

    def shifted(x: Any, level: Level) -> Any:
        levels = shift.choose(x, level)
        told.append(tuple(levels))
        return _grouped(call, x, levels)

    return Shifted(sample(plan, shifted, x), tuple(told), plan)


def _grouped(call: Any, x: Any, levels: Sequence[Level]) -> Any:
    groups = {level: [i for i, other in enumerate(levels) if other == level] for level in levels}
    if len(groups) == 1:
        return call(x, levels[0])
    out = x * 0
    for level, rows in groups.items():
        out[rows] = call(x[rows], level)
    return out
