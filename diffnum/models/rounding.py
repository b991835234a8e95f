"""What whole-numbered times cost a plan: the level at which a network is asked is not the one its answer is used at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..plan import Eval, Level, Plan
from ..process import Process
from ..read.distance import w2

__all__ = ["Rounding", "nearest", "rounded", "rounding", "rounding_error"]


@dataclass(frozen=True)
class Rounding:
    """The largest error of whole times over some levels, in units of ``t`` (at most 1/2) and of log-SNR."""

    time: float
    log_snr: float


def nearest(process: Process, t: float) -> float:
    """The whole time nearest to ``t`` that the table has; ties to even."""
    return float(min(max(round(t), math.ceil(max(process.t_clean, 0.0))), math.floor(process.t_start)))


def rounding(process: Process, levels: Iterable[Level] | Plan) -> Rounding:
    """How far the levels at whole times are from ``levels``, or from those at which a plan asks its model.

    The clean level, at which no model is asked, is left out, and of log-SNR ``alpha = 0``, where it is infinite.
    """
    asked = _asked(levels) if isinstance(levels, Plan) else [level for level in levels if not level.clean]
    pairs = [(level, nearest(process, level.t)) for level in asked]
    return Rounding(
        max((abs(t - level.t) for level, t in pairs), default=0.0),
        max((abs(process.lam(t) - level.lam) for level, t in pairs if not level.pure_noise), default=0.0),
    )


def rounded(plan: Plan, process: Process) -> Plan:
    """``plan`` as a network with whole times answers it: every evaluation at the level of the nearest whole time, its
    answer used with the coefficients of the level it was meant for.

    Such a plan can be read like any other: :func:`diffnum.w2` of it is the floor that rounding leaves.
    """
    lines = tuple(
        replace(line, level=process.level(nearest(process, line.level.t))) if isinstance(line, Eval) else line
        for line in plan.lines
    )
    return replace(plan, lines=lines, solver=f"{plan.solver}, whole times")


def rounding_error(plan: Plan, process: Process, target: Any) -> tuple[float, float]:
    """Exact W2 errors on a Gaussian ``target`` of ``plan`` and of :func:`rounded`; their difference is the price.

    ``W2`` is against the target's marginal at ``plan.stop``, see :func:`diffnum.w2`.
    """
    return w2(plan, target), w2(rounded(plan, process), target)


def _asked(plan: Plan) -> list[Level]:
    return [line.level for line in plan.lines if isinstance(line, Eval)]
