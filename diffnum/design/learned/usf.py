"""USF: a sampler as one decision per step, and the search for the best list of decisions (Liu et al. 2024, S^3).

A step to level ``t`` starts from a state ``s`` so many levels back and takes the Taylor polynomial of a quantity ``N``
in a variable whose increment is ``h`` (:mod:`diffnum.solvers.coords`), with the linear part exact,

    x_t = ratio(s, t) x_s + gain(t) h (sum_{k<p} phi_{k+1}(z) R_k h^k N^(k)(s)),     z = stiffness h,

its derivatives estimated from any evaluations so far: the combination of the differences ``N_j - N_s`` of as many of
them that is exact for that many powers, times a factor ``R_k`` of relaxation, which is one where ``z = 0``. A corrector
does so once more with the evaluation at ``x_t`` among them; that evaluation serves the next step (pseudo), or is made
anew at the corrected state (implicit, one call more). The first evaluation may be spared by ``eps = x / sigma``
(analytic first step).

Published are the data and the noise in log-SNR, and the basis of DPM-Solver-v3, which takes statistics of a network and
is not here; the other variables are: ``sigma / alpha`` (EDM's and DEIS's), ``alpha / sigma``, the angle and the
process's clock, in which a step of order ``p`` with plain estimates is Adams-Bashforth's.

The presets write samplers as decisions, to rounding. Of DPM-Solver++(3M) it is the corrected form that has plain
estimates; the published one is ``R_2 = 1/2``, which the reference code, relaxing first derivatives alone, cannot say.
In that code the implicit corrector never calls again, since a dictionary is compared with its name, so it is the
pseudo one; and its analytic first step gives the data of ``eps = x`` beside the noise of ``eps = x / sigma``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ...grid import Grid
from ...num import extended
from ...plan import Level
from ...solvers.coords import ANGLE, CLOCK, DATA, NOISE, RATIO, SNR, Coords, transfer
from ...solvers.rules import named
from ...trace import Form, Trace
from .steps import advance, one_per_step
from .taylor import Taylor, ahead, bh2, plain

__all__ = [
    "NONE",
    "VARIABLES",
    "Corrector",
    "Step",
    "corrected_steps",
    "dpm_solver_2_steps",
    "dpm_solver_3_steps",
    "multistep_steps",
    "strategy",
]

VARIABLES = (DATA, NOISE, RATIO, SNR, ANGLE, CLOCK)
"""What a step may be taken in; the first two are the published ones."""


@dataclass(frozen=True)
class Corrector:
    """A corrector; :data:`NONE` does nothing.

    Attributes:
        taylor: its polynomial, for which the evaluation at the prediction is the newest.
        again: evaluate at the corrected state (implicit).
    """

    taylor: Taylor | None = None
    again: bool = False


NONE = Corrector()


@dataclass(frozen=True)
class Step:
    """One step's decisions.

    Attributes:
        coords: the variable and the quantity, one of :mod:`diffnum.solvers.coords`. Where they are infinite the step is
            of first order, and evaluations there are not known to it.
        taylor: the predictor.
        back: levels between the state it starts from and the present one; 0 for multistep methods.
        corrector: its corrector, not used in the last step nor one to the clean level.
    """

    coords: Coords = DATA
    taylor: Taylor = field(default_factory=Taylor)
    back: int = 0
    corrector: Corrector = NONE


@dataclass(frozen=True)
class Spared:
    """The answer of a model that was not asked, ``eps = x / sigma`` and no data, read as any quantity."""

    trace: Trace
    level: Level
    x: Form

    @property
    def data(self) -> Form:
        return Form()

    @property
    def noise(self) -> Form:
        return (1 / self.level.sigma) * self.x

    @property
    def slope(self) -> Form:
        return self.read(self.trace.process.rates(self.level))

    def read(self, target: tuple[Any, Any], name: str = "") -> Form:
        return target[1] * self.noise


@dataclass(frozen=True)
class Seen:
    """A level, the state there and the model's answer."""

    level: Level
    x: Form
    answer: Any


def _strategy(T: Trace, grid: Any, steps: Sequence[Step] | None = None, analytic: bool = False) -> None:
    steps = one_per_step("decisions", steps, len(grid.h), Step())
    seen: list[Seen] = []
    final, known = len(grid.h) - 1, None
    for i, (step, (s, t)) in enumerate(zip(steps, T.steps(grid), strict=True)):
        answer = Spared(T, s, T.x) if analytic and i == 0 else known or T.evaluate(T.x, s)
        seen.append(Seen(s, T.x, answer))
        known = None
        start = len(seen) - 1 - step.back
        if start < 0:
            raise ValueError(f"step {i} starts {step.back} levels back: there are {len(seen) - 1}")
        if not step.coords.regular(seen[start].level, t):
            T.x = transfer(seen[start].x, seen[start].level, t, seen[start].answer.data)
            continue
        T.x = _moved(T, seen, start, t, step.coords, step.taylor)
        if step.corrector.taylor is None or i == final:
            continue
        e = T.evaluate(T.x, t)
        T.x = _moved(T, [*seen, Seen(t, T.x, e)], start, t, step.coords, step.corrector.taylor)
        # the level is remembered with its corrected state, and with its old answer unless it is asked again
        known = None if step.corrector.again else e


def _moved(T: Trace, seen: Sequence[Seen], start: int, t: Level, coords: Coords, taylor: Taylor) -> Form:
    newest = len(seen) - 1
    # a variable may be infinite at pure noise
    known = [newest - j for j in range(len(seen)) if j != start and (coords.at_noise or not seen[j].level.pure_noise)]
    left, used = taylor.among(known)
    places = _places(T, [*(one.level for one in seen), *([] if seen[-1].level is t else [t])], start, coords)
    h = places[-1]
    w = extended(left.weights, coords.stiffness * h, *(places[newest - j] / h for j in used))
    quantities = [coords.quantity(seen[j].answer) for j in (start, *(newest - j for j in used))]
    return advance(seen[start].x, seen[start].level, t, coords, h, w, quantities)


def _places(T: Trace, levels: Sequence[Level], start: int, coords: Coords) -> list[Any]:
    """The variable at all levels, less that at ``levels[start]``, from the steps between; None where it is infinite."""
    steps = [coords.step(T, s, t) if coords.regular(s, t) else None for s, t in pairwise(levels)]
    found: list[Any] = [0] * len(levels)
    for j in range(start, len(steps)):
        found[j + 1] = found[j] + steps[j]
    for j in reversed(range(start)):
        found[j] = None if steps[j] is None or found[j + 1] is None else found[j + 1] - steps[j]
    return found


strategy = named(
    "strategy",
    _strategy,
    "USF: one decision per step over variable, quantity, order, estimates, relaxation, start and corrector.",
    order=1,
    cold=1,
    cite="liu2024usf",
    eq="USF",
    family="learned multistep",
    note="of the order that its decisions have; of one with the default, which is DDIM",
)


# --- presets ---


def multistep_steps(grid: Grid, coords: Coords, order: int, tables: Sequence[Taylor] = ()) -> tuple[Step, ...]:
    """Adams-Bashforth in any variable, in log-SNR the exponential one: orders 1, 2, ..., ``order``.

    Args:
        tables: polynomials in the place of the first plain ones: ``plain(1), plain(2, (bh2,))`` with ``order = 2`` is
            DPM-Solver++(2M).
    """
    chosen = [plain(k) for k in range(1, order + 1)]
    chosen[: len(tables)] = tables
    return tuple(Step(coords, chosen[k - 1]) for k in _orders(grid, coords, order))


def corrected_steps(grid: Grid, coords: Coords, order: int) -> tuple[Step, ...]:
    """UniPC of ``order`` with ``B_2``."""
    return tuple(
        Step(coords, plain(k, (bh2,) if k == 2 else ()), 0, Corrector(ahead(k + 1, (bh2,) if k == 1 else ())))
        for k in _orders(grid, coords, order)
    )


def _orders(grid: Grid, coords: Coords, order: int) -> list[int]:
    """Of every step: where the variable is infinite at pure noise, what is known of that level does not count."""
    late = grid.levels[0].pure_noise and not coords.at_noise
    return [max(1, min(i + 1 - late, order)) for i in range(len(grid.h))]


def dpm_solver_2_steps(grid: Grid, coords: Coords = NOISE) -> tuple[Step, ...]:
    """DPM-Solver-2, every two intervals one of its steps.

    Raises:
        ValueError: an odd number of intervals.
    """
    return _singles(grid, (Step(coords), Step(coords, plain(2, (bh2,), 0), 1)))


def dpm_solver_3_steps(grid: Grid, coords: Coords = NOISE) -> tuple[Step, ...]:
    """DPM-Solver-3, every three intervals one of its steps, which is of order three where the second node lies
    at two thirds.

    Raises:
        ValueError: a number of intervals that is no multiple of three.
    """
    second = Taylor(((0,),))
    return _singles(grid, (Step(coords), Step(coords, second, 1), Step(coords, second, 2)))


def _singles(grid: Grid, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    n = len(grid.h)
    if n % len(steps):
        raise ValueError(f"{n} intervals are no groups of {len(steps)}: use a multiple")
    return steps * (n // len(steps))
