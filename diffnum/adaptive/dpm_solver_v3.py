"""DPM-Solver-v3: an exponential multistep method whose linear part is estimated (Zheng et al. 2023).

In the notation of :mod:`.statistics`, ``v' = -l v - f`` and ``g = exp(-int s) f`` varies little, so

    x_t = (alpha_t / alpha_s) e^{-int_s^t l} (x_s - alpha_s int_s^t e^{int_s^u (l + s)} g(u) du),

where ``g`` is the polynomial through the points behind (section 3.2 of the paper); ``b`` enters by the change of
variable :class:`~.statistics.Offset`. With ``l = 1``, ``s = 0`` this is exponential Adams on the data, with ``l = 0``,
``s = -1`` on the noise. For statistics that are given functions of log-SNR its order is proved like any other method's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..plan import Level, Lin, Plan
from ..read.sample import sample
from ..solvers.coords import DATA, transfer
from ..trace import Evaluation, Form, Solver, Trace, compile
from .statistics import Offset, Statistics, like

__all__ = ["dpm_solver_v3", "sample_v3"]


@dataclass(frozen=True)
class _Seen:
    """``f`` at a level, and the log-SNR from the current level to it."""

    level: Level
    f: Form
    at: Any


def dpm_solver_v3(statistics: Any, points: int = 3, corrector: int = 0, pseudo: bool = False) -> Solver:
    """DPM-Solver-v3 with frozen statistics.

    Args:
        statistics: a :class:`~.statistics.Statistics`, or anything with its ``linear``, ``decay``, ``growth`` and
            ``moments``.
        points: of the predictor, its order.
        corrector: points of the corrector, the new one included: ``points`` or ``points + 1`` in the published code, 0
            for none. It uses the evaluation at the predicted state, which is the next step's, and does not correct the
            last step.
        pseudo: divided differences in place of derivatives, as the reference code does for few evaluations. Of order
            two at most: the second divided difference is taken at the wrong point of the step.
    """
    _check(points, corrector)

    def build(T: Trace, grid: Any) -> None:
        past: tuple[_Seen, ...] = ()
        final, ahead = len(grid.levels) - 2, None
        for i, (s, t) in enumerate(T.steps(grid)):
            if not DATA.regular(s, t):
                # the evaluation at a predicted state does not serve a first-order step
                T.x, past, ahead = transfer(T.x, s, t, T.evaluate(T.x, s).data), (), None
                continue
            h = T.h(s, t)
            f = ahead or _f(T.x, s, T.evaluate(T.x, s), statistics)
            behind, ahead = (_Seen(s, f, 0), *past), None
            used = behind[:points]
            x = _step(T.x, s, t, used, statistics, pseudo)
            if corrector and i < final and not t.clean and not grid.levels[i + 2].clean:
                # in a register of its own, or every later step would spell it out
                x = Form(((T.pin(x), 1.0),))
                ahead = _f(x, t, T.evaluate(x, t), statistics)
                seen = (behind[0], _Seen(t, ahead, h), *behind[1:])[: len(used) + corrector - points]
                x = _step(T.x, s, t, seen, statistics, pseudo) if len(seen) > 1 else x
            T.x = x
            past = tuple(_Seen(p.level, p.f, p.at - h) for p in behind)[: points - 1]

    order, cold = _claims(points, corrector, pseudo)
    note = "divided differences stand for derivatives: of order two at most" if pseudo and order < points else ""
    name = f"dpm_solver_v3_{points}{f'_c{corrector}' if corrector else ''}{'_pseudo' if pseudo else ''}"
    made = Solver(build, order, cold, "zheng2023dpmv3", "section 3.2", "data-dependent", note, name=name)
    object.__setattr__(made, "__doc__", "DPM-Solver-v3 with frozen statistics.")
    return made


def _check(points: int, corrector: int) -> None:
    if not (isinstance(points, int) and 1 <= points <= 6):
        raise ValueError(f"points = {points!r} is no number of points: use 1 to 6")
    if corrector not in (0, points, points + 1) or corrector == 1:
        raise ValueError(
            f"corrector = {corrector!r} does not go with {points} points: use {max(points, 2)} or {points + 1}, "
            "or 0 for none"
        )


def _claims(points: int, corrector: int, pseudo: bool) -> tuple[int, int]:
    """The order, and that with the start-up: every step but the last is the corrector's, whose evaluation at the
    predicted state costs no more than one order over the predictor's; the first one has one point less."""
    most = 2 if pseudo else max(points, corrector)
    return min(max(points, corrector), most), min(max(points, corrector), most, 3 if corrector > points else 2)


def _f(x: Form, level: Level, e: Evaluation, statistics: Any) -> Form:
    """``f = (1 - l) x / alpha - D``."""
    return ((1 - statistics.linear(level)) / level.alpha) * x - e.data


def _step(x: Form, s: Level, t: Level, seen: Sequence[_Seen], statistics: Any, pseudo: bool) -> Form:
    moments = statistics.moments(s, t, len(seen))
    # Newton's form: the k-th divided difference times (u - u_0) ... (u - u_{k-1})
    table = [p.f if p.level is s else statistics.growth(p.level, s) * p.f for p in seen]
    basis: list[Any] = [1]
    moved = Form()
    for k in range(len(seen)):
        kernel = moments[k] if pseudo else sum(c * moments[j] for j, c in enumerate(basis))
        moved = moved + kernel * table[0]
        gaps = [seen[i + k + 1].at - seen[i].at for i in range(len(table) - 1)]
        table = [(b - a) / gap for (a, b), gap in zip(pairwise(table), gaps, strict=True)]
        basis = _times(basis, seen[k].at)
    decay = statistics.decay(s, t)
    return (t.alpha / s.alpha * decay) * x - (t.alpha * decay) * moved


def _times(basis: Sequence[Any], root: Any) -> list[Any]:
    """Coefficients of ``p(u) (u - root)``."""
    low = [-1 * root * c for c in basis]
    return [low[0], *(a + b for a, b in zip(basis, [*low[1:], 0], strict=True))]


def sample_v3(model: Any, grid: Any, x_T: Any, statistics: Statistics, prediction: str = "data", **options: Any) -> Any:
    """Run DPM-Solver-v3 with its statistics, ``b`` included; ``options`` are those of :func:`dpm_solver_v3`."""
    shifted = Offset(model, statistics, prediction)
    plan = _cast(compile(dpm_solver_v3(statistics, **options), grid, prediction), x_T)
    return shifted.leave(sample(plan, shifted, shifted.enter(x_T, plan.start)), plan.stop)


def _cast(plan: Plan, x: Any) -> Plan:
    """The plan with its array coefficients, computed in float64, as the kind and dtype of ``x``."""
    lines = [
        replace(a, terms=tuple((r, like(c, x) if np.ndim(c) else c) for r, c in a.terms)) if isinstance(a, Lin) else a
        for a in plan.lines
    ]
    return replace(plan, lines=tuple(lines))
