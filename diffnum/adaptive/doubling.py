"""Step doubling: the error of any one-step sampler from one step against two half steps (Richardson extrapolation).

With ``X_1`` after one step of an order ``p`` method and ``X_2`` after two steps of half the log-SNR increment,

    error = (X_2 - X_1) / (2^p - 1),    x_t = X_2 + error,

and ``x_t`` has order ``p + 1`` (Hairer, Norsett & Wanner 1993, theorem II.4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..plan import Level
from ..process import VP
from ..solvers.coords import LOG_SNR
from ..trace import Evaluation, Form, Solver, Trace, compile
from .pairs import ERROR, Pair
from .record import Span

__all__ = ["doubling", "extrapolated"]


def doubling(solver: Solver) -> Pair:
    """A pair of :func:`extrapolated` and its error estimate, for :func:`~.loop.adapt`.

    Raises:
        ValueError: a sampler that draws noise, remembers earlier steps, or has no order to extrapolate from.
    """
    better = extrapolated(solver)
    calls = 3 * _calls(solver) - 1
    return Pair(f"{solver.name}_doubled", better, _build(solver), solver.order + 1, LOG_SNR, calls, False, better.cite)


def extrapolated(solver: Solver) -> Solver:
    """The sampler ``x_t`` above: order ``p + 1`` from any one-step sampler of order ``p``."""
    if not isinstance(solver, Solver):
        raise ValueError(f"{solver!r} makes no claim of an order: put @dn.solver(order=, cite=) above it")
    if solver.stochastic:
        raise ValueError(f"{solver.name} draws noise: step doubling is for deterministic samplers")
    if solver.order < 1:
        raise ValueError(f"{solver.name} has order {solver.order}: there is no power of the step to extrapolate")
    _calls(solver)
    order = solver.order + 1
    return Solver(
        _build(solver), order, order, "hairer1993", "II.4.4", solver.family, name=f"{solver.name}_extrapolated"
    )


def _calls(solver: Solver) -> int:
    """Evaluations of one step."""
    process = VP()
    levels = tuple(process.at(lam) for lam in (-1.0, -0.5, 0.0, 0.5))
    plan = compile(solver, Span(process, levels, (0.5, 0.5, 0.5)))
    if plan.depth or plan.nfe % 3:
        raise ValueError(f"{solver.name} remembers earlier steps: step doubling is for one-step samplers")
    return plan.nfe // 3


def _build(solver: Solver) -> Callable[..., None]:
    def build(T: Trace, grid: Any) -> None:
        for s, t in T.steps(grid):
            middle, h = T.between(s, t, 0.5), T.h(s, t)
            walk = _Shared(T)
            once = walk(solver, (s, t), (h,))
            twice = walk(solver, (s, middle, t), (0.5 * h, 0.5 * h))
            error = T.pin((twice - once) / (2**solver.order - 1), ERROR)
            T.x = twice + Form(((error, 1.0),))

    return build


class _Shared:
    """Runs a sampler inside a step of another trace; evaluations of one register at one level are made once."""

    def __init__(self, T: Trace) -> None:
        self.T, self.start = T, T.pin(T.x)
        self.seen: dict[tuple[int, int], Evaluation] = {}

    def __call__(self, solver: Solver, levels: tuple[Level, ...], h: tuple[Any, ...]) -> Form:
        T, first = self.T, len(self.T.lines)
        inner = Trace(T.process, T.prediction, Form(((self.start, 1.0),)), T.lines, [self.start], T.conversions)
        inner.evaluate = self._remembering(inner)  # type: ignore[method-assign]
        solver.build(inner, Span(T.process, levels, h), **dict(solver.options))
        T.lines[first:] = [replace(line, step=T.step) for line in T.lines[first:]]
        return inner.x

    def _remembering(self, inner: Trace) -> Callable[..., Evaluation]:
        fresh = inner.evaluate

        def evaluate(x: Form, level: Level, name: str = "D") -> Evaluation:
            key = (inner.pin(x, "u"), id(level))
            if key not in self.seen:
                self.seen[key] = fresh(Form(((key[0], 1.0),)), level, name)
            return self.seen[key]

        return evaluate
