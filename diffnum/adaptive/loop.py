"""Adaptive sampling: a Python loop that compiles one-step plans, keeps those whose error is small, and freezes them.

A step of a :class:`~.pairs.Pair` from ``s`` to ``t`` is kept when the norm of its error estimate,

    E = max over samples of || (x_high - x_low) / max(atol, rtol max(|x_low|, |x_prev|)) ||_2 / sqrt(d),

is at most one (Lu et al. 2022, appendix C; ``x_prev`` is the ``x_low`` of the step before), and a
:class:`~.controllers.Controller` chooses the next. The whole batch takes the steps that its worst sample needs, so a
sample's result depends on its company; :func:`adapt_each` gives every sample steps of its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..grid import Grid
from ..plan import Level, Plan
from ..trace import Solver, compile
from .controllers import DPM, Controller
from .pairs import PAIRS, Pair
from .record import Record, Span
from .walk import Walk, increment

__all__ = ["Adapted", "adapt", "adapt_each", "check_control", "largest", "mean", "scale_of"]

# a step below this fraction of what is left cannot be told from rounding
SMALLEST = 1e-13
ENDS = ("stop", "denoise")


@dataclass(frozen=True)
class Adapted:
    """What :func:`adapt` returns.

    Attributes:
        x: the sample.
        plan: the *frozen* plan, the steps that were kept: ``dn.sample(plan, model, x_T)`` gives ``x`` bit by bit, and
            it can be saved, compared, propagated and printed like any other.
        grid: its levels, on which ``dn.compile(solver, grid)`` is the same method.
        solver: what the steps were taken with; the order that is proved for it is proved for frozen controls.
        errors: ``E`` of every kept step, nan for those of the last plan.
        nfe: model evaluations made; ``plan.nfe`` of them are in ``x``.
        accepted, rejected: attempts kept and not kept.
        forced: steps kept with ``E`` too large because the budget allowed no smaller ones.
        rest: steps of the fixed plan, ``dpmpp_2m``, that spent what the budget left.
        budget: the largest ``nfe`` allowed.
    """

    x: Any
    plan: Plan
    grid: Grid
    solver: Solver
    errors: tuple[float, ...]
    nfe: int
    rejected: int
    forced: int
    rest: int
    budget: int | None

    @property
    def accepted(self) -> int:
        """Attempts that were kept."""
        return len(self.errors) - self.rest

    @property
    def met(self) -> bool:
        """Whether every step was within the tolerance."""
        return not (self.forced or self.rest)

    def __str__(self) -> str:
        said = f"{self.accepted} steps of {self.solver.name} kept, {self.rejected} tried again, NFE {self.nfe}"
        if self.met:
            return f"{said}; every step within the tolerance"
        parts = [f"{self.forced} steps outside the tolerance"] * bool(self.forced)
        parts += [f"the last {self.rest} by dpmpp_2m without error control"] * bool(self.rest)
        return f"{said}; the budget of {self.budget} calls did not suffice: {', '.join(parts)}"


Norm = Callable[[Any], float]


def largest(scaled: Any) -> float:
    """The largest root mean square of a sample (Lu et al. 2022)."""
    return float(_mean_squares(scaled).max()) ** 0.5


def mean(scaled: Any) -> float:
    """The root mean square of the whole batch, as k-diffusion has it."""
    return float(_mean_squares(scaled).mean()) ** 0.5


def _mean_squares(scaled: Any) -> Any:
    wide = scaled.double() if hasattr(scaled, "double") else scaled.astype(np.float64)
    return (wide.reshape(len(wide), -1) ** 2).mean(-1)


def adapt(
    model: Any,
    process: Any,
    x_T: Any,
    pair: Pair = PAIRS["dpm_solver_23"],
    rtol: float = 0.05,
    atol: float = 0.0078,
    start: Any = None,
    stop: Any = None,
    controller: Controller = DPM,
    budget: int | None = None,
    prediction: str = "data",
    first: float = 0.05,
    end: str = "stop",
    norm: Norm = largest,
) -> Adapted:
    """Sample with steps chosen by their error.

    Args:
        model: ``model(x, level) -> prediction``, or a target.
        x_T: the state at ``start``; its first axis is the batch, which shares its steps. For results that do not
            depend on how a batch is cut use :func:`adapt_each`.
        pair: one of :data:`~.pairs.PAIRS`, or :func:`~.doubling.doubling` of any one-step sampler.
        rtol, atol: the tolerance of one step, in units of ``x``; the defaults are those of DPM-Solver for images.
        start, stop: a :class:`~diffnum.plan.Level` of the process or a time; default the process's own ends.
        controller: one of :mod:`.controllers`.
        budget: model calls that are never exceeded. Where they do not suffice for the tolerance, steps stay above most
            of the size that would spend what is left evenly, and steps too coarse for the pair give way to as many of
            ``dpmpp_2m``; the result says so. A budget far below the need is better spent on a fixed plan from the
            start, since rejected steps cost calls too.
        prediction: what the model returns.
        first: the first step tried, in log-SNR.
        end: "stop", or "denoise" for the model's data prediction at ``stop``.
        norm: :func:`largest` or :func:`mean`.

    Raises:
        ValueError: a tolerance, budget, pair or interval that cannot be used; a model whose values are not finite.
    """
    _check(pair, rtol, atol, budget, first, end)
    s, goal = _interval(process, start, stop, end, pair)
    scale = partial(scale_of, rtol=rtol, atol=atol)
    walk = Walk(Record(model, prediction, x_T), pair, process, s, goal, scale, norm, budget, end == "denoise", x_T)
    h = walk.first(first)
    while walk.s is not goal and not walk.starved(h):
        least = walk.least()
        h = min(max(h, least), walk.left())
        _check_step(h, walk)
        t = walk.level(h)
        piece = compile(pair.trial, Span(process, (walk.s, t), (increment(walk.s, t),)), prediction)
        if not walk.affords(piece, t):
            break
        h *= walk.attempt(piece, t, controller, h <= least)
    walk.finish()
    x, plan = walk.result(end)
    h = tuple(increment(s, t) for s, t in pairwise(plan.levels))
    grid = Grid(plan.levels, h, process, end)
    return Adapted(
        x, plan, grid, pair.solver, tuple(walk.errors), walk.record.calls, walk.rejected, walk.forced, walk.rest, budget
    )


def adapt_each(model: Any, process: Any, x_T: Any, **options: Any) -> tuple[Adapted, ...]:
    """:func:`adapt` of every sample alone, with its own steps and budget: a sample's result depends on no other, at the
    price of a model call per sample. The arguments are those of :func:`adapt`."""
    return tuple(adapt(model, process, x_T[i : i + 1], **options) for i in range(len(x_T)))


def scale_of(low: Any, before: Any, rtol: float, atol: float) -> Any:
    """``max(atol, rtol max(|x_low|, |x_prev|))``, the unit of an error estimate."""
    if hasattr(low, "clamp"):
        return (rtol * low.abs().maximum(before.abs())).clamp(min=atol)
    return np.maximum(rtol * np.maximum(abs(low), abs(before)), atol)


def _check(pair: Any, rtol: float, atol: float, budget: int | None, first: float, end: str) -> None:
    if not isinstance(pair, Pair):
        raise ValueError(f"pair = {pair!r} is no pair: use one of PAIRS ({', '.join(PAIRS)}) or doubling(sampler)")
    check_control(rtol, atol, end)
    if not 0 < first < math.inf:
        raise ValueError(f"first = {first!r} is no step in log-SNR: use a positive number, such as 0.05")
    needed = 2 if end == "denoise" else 1
    if budget is not None and operator.index(budget) < needed:
        raise ValueError(f"budget = {budget!r} cannot reach the end: allow at least {needed} model calls")


def check_control(rtol: float, atol: float, end: str) -> None:
    """Refuse tolerances and ends that no error-controlled run can use."""
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} = {value!r} is no tolerance: use a finite number >= 0")
    if rtol == atol == 0:
        raise ValueError("rtol = atol = 0 asks for no error at all: make one of them positive")
    if end not in ENDS:
        raise ValueError(f"end = {end!r} is no end of an adaptive run: use one of {', '.join(ENDS)}")


def _interval(process: Any, start: Any, stop: Any, end: str, pair: Pair) -> tuple[Level, Level]:
    s, t = (
        at if isinstance(at, Level) else process.level(default if at is None else at)
        for at, default in ((start, process.t_start), (stop, process.t_stop))
    )
    if t.clean:
        raise ValueError(
            f"stop (t = {t.t!r}) is the clean level, where no error can be told: stop before it, with end='denoise'"
        )
    # the checks of a grid
    Grid((s, t), (increment(s, t),), process, end)
    if not pair.coords.regular(s, t):
        raise ValueError(
            f"{pair.name} steps in {pair.coords.name}, which is infinite at alpha = 0 (t = {s.t:g}): "
            "start at alpha > 0, or use a pair in the clock or the angle"
        )
    return s, t


def _check_step(h: float, walk: Walk) -> None:
    if h < SMALLEST * walk.left():
        raise ValueError(
            f"the step fell to {h:.3g} at t = {walk.s.t:.6g}: the tolerance is below rounding, or the model's values "
            "are not finite there; raise atol or check the model"
        )
