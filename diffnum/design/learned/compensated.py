"""DC-Solver: UniPC on outputs that are moved along the past, a learned ratio per step (Zhao et al. 2024b).

UniPC evaluates at the predicted state and steps on from the corrected one. Dynamic compensation puts, before each
step, in the place of the newest output the polynomial through it and the ``K`` before it at

    t' = rho_i t_i + (1 - rho_i) t_{i-1},      N_i <- sum_k l_k(t') N_{i-k},

``l_k`` Lagrange's, and keeps it there for the steps that follow. ``rho = 1`` is UniPC. The first ``K``
steps have no past to interpolate and keep their output, as in the reference code. Ratios are searched step after step:
``rho_i`` brings the next corrected state nearest to the true trajectory (by AdamW there, a bounded
minimisation here).

The kept outputs are built on one another. For one ratio and equal steps in ``t`` with ``K = 2`` they obey
``z^2 + x (x + 2) z - x (x + 1) / 2 = 0`` with ``x = rho - 1``, whose roots are inside the unit circle for
``0 < rho < 4/3`` only: beyond, what is fitted at few steps grows without bound at many.

Ratios for a guidance scale and a number of steps that were never searched come from :class:`Cascade`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...grid import Grid
from ...solvers.coords import DATA, Coords, transfer
from ...solvers.corrected import UNIC_BH2, UNIP_BH2
from ...solvers.rules import Build, Point, Rule, named
from ...trace import Form, Solver, Trace, compile
from ..trajectories import Trajectories
from .fitting import Learned, bounded_minimum, state_after
from .steps import advance, one_per_step

__all__ = ["Cascade", "compensate", "dc_solver_2", "dc_solver_3"]

# ratios are searched this far from one
REACH = 1.0


def compensated(coords: Coords, points: int, predict: Rule, correct: Rule, degree: int = 2) -> Build:
    """UniPC with dynamic compensation; its option ``ratios`` holds one ``rho`` per step, default one.

    Args:
        points: of predictor and corrector.
        predict, correct: as in :func:`diffnum.solvers.rules.predictor_corrector`.
        degree: ``K``, of the polynomial in ``t``.
    """

    def build(T: Trace, grid: Any, ratios: Sequence[Any] | None = None) -> None:
        ratios = one_per_step("ratios", ratios, len(grid.h), 1.0)
        past: tuple[Point, ...] = ()
        times: tuple[Any, ...] = ()
        final, e = len(grid.levels) - 2, None
        for i, (s, t) in enumerate(T.steps(grid)):
            e = T.evaluate(T.x, s) if e is None else e
            if not coords.regular(s, t):
                T.x, past, times, e = transfer(T.x, s, t, e.data), (), (), None
                continue
            times = (s.t, *times)[: degree + 1]
            N = coords.quantity(e)
            if len(past) >= degree:
                moved = _moved(ratios[i], times, [N, *(point.N for point in past[:degree])])
                # a register of its own: outputs are built on one another without end
                N = Form(((T.pin(moved, "N"), 1.0),))
            now = Point(N, coords.step(T, s, t))
            behind = past[: points - 1]
            x = advance(T.x, s, t, coords, now.step, predict(coords, now.step, behind), _slopes(now, behind))
            e = None
            if i < final and not t.clean:
                e = T.evaluate(x, t)
                slopes = (coords.quantity(e), *_slopes(now, behind))
                x = advance(T.x, s, t, coords, now.step, correct(coords, now.step, behind), slopes)
            T.x = x
            past = (now, *past)[: max(points - 1, degree)]

    return build


def _slopes(now: Point, past: Sequence[Point]) -> tuple[Form, ...]:
    return (now.N, *(point.N for point in past))


def _moved(ratio: Any, times: Sequence[Any], outputs: Sequence[Form]) -> Form:
    """The polynomial through the outputs at ``ratio t_0 + (1 - ratio) t_1``."""
    at = ratio * times[0] + (1 - ratio) * times[1]
    moved = Form()
    for k, N in enumerate(outputs):
        share: Any = 1.0
        for j, time in enumerate(times):
            if j != k:
                share = share * ((at - time) / (times[k] - time))
        moved = moved + share * N
    return moved


def _compensated(points: int) -> Solver:
    says = f"DC-Solver on UniPC-{points} with ``B_2``, on the data: outputs moved along the past by learned ratios."
    return named(
        f"dc_solver_{points}",
        compensated(DATA, points, UNIP_BH2, UNIC_BH2),
        says,
        order=points + 1,
        cold=min(points + 1, 3),
        cite="zhao2024dcsolver",
        eq="reference code",
        family="learned predictor-corrector",
        note="of that order with ratios of one; of order one with others that do not tend to it",
    )


dc_solver_2 = _compensated(2)
dc_solver_3 = _compensated(3)


def compensate(solver: Solver, trajectories: Trajectories, grid: Grid, degree: int = 2) -> Learned:
    """The ratios of DC-Solver, searched step after step against the exact trajectories.

    Args:
        solver: :data:`dc_solver_2` or :data:`dc_solver_3`.
        degree: ``K``: the first ``K`` ratios are one.

    Returns:
        the sampler with its ratios; its ``loss`` is the root mean square distance of the corrected state after every
        step, which no step makes larger than a ratio of one does. That is greedy: the end may still be further from its
        trajectory than UniPC's.
    """
    x = trajectories.at(grid.levels[0])
    ratios = [1.0] * len(grid.h)
    loss = []

    def distance(step: int, ratio: float, goal: np.ndarray) -> float:
        tried = [*ratios[:step], ratio, *ratios[step + 1 :]]
        state = state_after(compile(solver, grid, ratios=tried), trajectories.target, x, step + 1)
        return float(np.sqrt(((state - goal) ** 2).sum(-1).mean()))

    for i, level in enumerate(grid.levels[1:]):
        goal = trajectories.at(level)
        found = 1.0
        if i >= degree and not level.clean:

            def of(ratio: float, i: int = i, goal: np.ndarray = goal) -> float:
                return distance(i, ratio, goal)

            found = min((bounded_minimum(of, 1 - REACH, 1 + REACH), 1.0), key=of)
        ratios[i] = found
        loss.append(distance(i, found, goal))
    return Learned(solver.with_options(ratios=tuple(ratios)), grid, tuple(loss))


@dataclass(frozen=True)
class Cascade:
    """Ratios as a function of the guidance scale, the number of steps and the step.

    A polynomial in ``i / n`` whose coefficients are quadratic in ``scale / 12``, with coefficients that are quadratic
    in ``n / 50``; steps count from one, and the first two ratios are one, as in the reference code. It is linear in its
    numbers, so it is fitted by least squares (theirs by a general minimiser); of those that fit equally well the
    smallest are taken, so that a single scale may be fitted too.

    Attributes:
        numbers: ``(degree + 1, 3, 3)``: powers of the step, then of the scale, then of the number of steps, falling for
            the latter two.
    """

    numbers: np.ndarray

    @classmethod
    def fit(cls, searched: Mapping[tuple[float, int], Sequence[float]], degree: int = 4) -> Cascade:
        """From ``(scale, n)`` to the searched ratios of its ``n`` steps.

        Raises:
            ValueError: nothing searched, or another number of ratios than steps.
        """
        if not searched:
            raise ValueError("no searched ratios to fit: give at least one {(scale, n): ratios}")
        rows, values = [], []
        for (scale, n), ratios in searched.items():
            if len(ratios) != n:
                raise ValueError(f"{len(ratios)} ratios for scale {scale}, n = {n}: give one per step")
            for i in range(_FREE, n + 1):
                rows.append(_monomials(scale, n, i, degree).ravel())
                values.append(ratios[i - 1] - 1)
        found = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0].reshape(degree + 1, 3, 3)
        found[0, 2, 2] += 1
        return cls(found)

    def predict(self, scale: float, n: int) -> tuple[float, ...]:
        """The ratios of ``n`` steps at a guidance scale."""
        degree = len(self.numbers) - 1
        late = [float((self.numbers * _monomials(scale, n, i, degree)).sum()) for i in range(_FREE, n + 1)]
        return (*(1.0,) * min(_FREE - 1, n), *late)


# the first step that is compensated, counted from one
_FREE = 3


def _monomials(scale: float, n: int, i: int, degree: int) -> np.ndarray:
    powers = (i / n) ** np.arange(degree + 1)
    scales, counts = (value ** np.array([2, 1, 0]) for value in (scale / 12, n / 50))
    return powers[:, None, None] * scales[None, :, None] * counts[None, None, :]
