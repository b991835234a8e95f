"""Where an adaptive run stands: its level and state, what it kept, what that cost, and what a budget still allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..grid import log_snr, uniform
from ..num import log1p
from ..plan import Eval, Level, Lin, Plan
from ..prediction import convert
from ..solvers.multistep import dpmpp_2m
from ..trace import Trace, compile
from .controllers import Controller
from .pairs import Pair, error_register
from .record import Record

__all__ = ["Walk", "increment"]

# the first step tried, as a fraction of all, where log-SNR is infinite
FIRST_FRACTION = 0.01
# the steps that a budget allows are not below this fraction of those that would spend it evenly
EVEN = 0.85
# longer steps than these, in log-SNR, are better taken by a multistep plan, one call each
COARSE = 2.0


def increment(s: Level, t: Level) -> float:
    """``lam_t - lam_s`` to the rounding of the scales themselves."""
    if s.pure_noise:
        return math.inf
    return log1p((s.sigma * t.alpha - t.sigma * s.alpha) / (t.sigma * s.alpha))


@dataclass
class Walk:
    """Where the loop stands: the level and register of the state, what was kept and what it cost."""

    record: Record
    pair: Pair
    process: Any
    s: Level
    goal: Level
    scale: Callable[[Any, Any], Any]
    norm: Callable[[Any], float]
    budget: int | None
    tail: bool
    low: Any
    at: int = 0
    states: list[int] = field(default_factory=lambda: [0])
    levels: list[Level] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    rejected: int = 0
    forced: int = 0
    rest: int = 0

    def __post_init__(self) -> None:
        self.levels.append(self.s)

    def left(self) -> float:
        """The increment of the pair's variable that is left."""
        return self.size(self.s, self.goal)

    def size(self, s: Level, t: Level) -> float:
        return abs(self.pair.coords.step(Trace(self.process), s, t))

    def first(self, h: float) -> float:
        """The first step to try: ``h`` in log-SNR, in the pair's variable."""
        if self.s.pure_noise:
            return FIRST_FRACTION * self.left()
        lam = self.s.lam + h
        return self.size(self.s, self.process.at(lam)) if lam < self.goal.lam else self.left()

    def level(self, h: float) -> Level:
        """The level a step of ``h`` further, the goal itself where it is reached up to rounding."""
        part = h / self.left()
        if part >= 1 - 1e-9:
            return self.goal
        return self.pair.coords.between(Trace(self.process), self.s, self.goal, part)

    @property
    def here(self) -> bool:
        """Whether the model's value at the present state is known."""
        return (self.at, self.s) in self.record.known

    def calls_left(self) -> int:
        """Calls of the budget that are left for steps."""
        assert self.budget is not None
        return self.budget - self.tail - self.record.calls

    def steps_left(self) -> float:
        """Steps of the pair that the budget allows."""
        if self.budget is None:
            return math.inf
        return (self.calls_left() + self.here - self.pair.ahead) // self.pair.calls

    def starved(self, h: float) -> bool:
        """Whether the calls left are better spent on a multistep plan than on steps of the pair, ``h`` being wanted:
        where such steps do not reach the end and those that do are coarse, or of no higher order than that plan's."""
        steps = self.steps_left()
        coarse = not self.s.pure_noise and self.goal.lam - self.s.lam > COARSE * steps
        if not self.errors and not self.rejected:
            return steps < 1 or (steps == 1 and coarse)
        return steps < 1 or (steps * h < self.left() and (coarse or self.pair.solver.order <= dpmpp_2m.order))

    def least(self) -> float:
        """The smallest step that the budget allows."""
        steps = self.steps_left()
        return self.left() * (1.0 if steps == 1 else EVEN / steps)

    def affords(self, piece: Plan, t: Level) -> bool:
        """Whether an attempt leaves the calls to get to the end."""
        after = 0 if t is self.goal or self.pair.ahead else 1
        return self.budget is None or self.record.fresh(piece, self.at) + after <= self.calls_left()

    def attempt(self, piece: Plan, t: Level, controller: Controller, force: bool) -> float:
        """Try one step and keep it where the controller does, or by ``force``; the factor for the next."""
        where = self.record.run(piece, self.at, len(self.errors))
        x, error = self.record.values[where[piece.states[-1]]], self.record.values[where[error_register(piece)]]
        low = x - error
        size = self.norm(error / self.scale(low, self.low))
        kept, factor = controller.judge(size, self.errors[::-1], self.pair.power)
        forced = force and not kept and math.isfinite(size)
        if kept or forced:
            self.low = low
            self.forced += forced
            self.move(where[piece.states[-1]], t, size)
        else:
            self.rejected += 1
            self.record.settle([self.at])
        return factor

    def move(self, at: int, t: Level, error: float) -> None:
        """Go on from register ``at`` at ``t``."""
        self.at, self.s = at, t
        self.states.append(at)
        self.levels.append(t)
        self.errors.append(error)
        self.record.settle([at])

    def finish(self) -> None:
        """Spend the calls that are left on a fixed plan, where the goal is not reached."""
        if self.s is self.goal:
            return
        spaced = uniform if self.s.pure_noise else log_snr
        grid = spaced(self.process, self.calls_left() + self.here, self.s, self.goal)
        piece = compile(dpmpp_2m, grid, self.record.prediction)
        step = len(self.errors)
        where = self.record.run(piece, self.at, step)
        self.rest = grid.steps
        self.states += [where[r] for r in piece.states[1:]]
        self.levels += grid.levels[1:]
        self.errors += [math.nan] * grid.steps
        self.at, self.s = self.states[-1], self.goal

    def result(self, end: str) -> tuple[Any, Plan]:
        """The sample, and everything that was kept as a plan."""
        record = self.record
        out = self._denoised() if end == "denoise" else self.at
        about = {"solver": self.pair.solver.name, "process": self.process.to_json(), "end": end}
        prior = self.process.prior(self.levels[0])
        return record.values[out], record.frozen(self.states, self.levels, out, **about, prior=prior)

    def _denoised(self) -> int:
        record, step = self.record, len(self.errors)
        seen = record.add(Eval(self.at, self.goal, record.prediction, "D"), step)
        if record.prediction == "data":
            return seen
        a, b = convert(self.goal, record.prediction, "data")
        return record.add(Lin(((self.at, a), (seen, b)), "out"), step)
