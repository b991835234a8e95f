"""Samplers with free numbers: every multistep method of a given order on every grid, as one smooth family.

A step of the family spends one evaluation and may use all that were made before it,

    x_{i+1} = A_p(x_i; D_i, ..., D_{i-p+1}) + (alpha_{i+1} - alpha_i sigma_{i+1} / sigma_i) sum_j z_ij delta_p[D_{i-j}],

where ``A_p`` is the exponential Adams-Bashforth step of order ``p`` in log-SNR (:mod:`diffnum.solvers.multistep`) and

    delta_p[D_k] = D_k - (the polynomial of degree p - 1 in log-SNR through D_{k-1}, ..., D_{k-p}, at lam_k)

is the surprise of an evaluation: zero for polynomials of degree below ``p``, so that every choice of ``z`` satisfies
the order conditions of ``A_p``, and the surprises span all weights that do. The conditions hold for all numbers, in
exact arithmetic, and nothing has to be projected. With ``p = 1`` the family is that of differentiable solver search
(Wang et al. 2025), ``z_i0`` alone is D-ODE (Kim et al. 2024).

Of order one it holds every explicit plan of one evaluation per step that is exact for a constant ``D`` and whose states
keep the noise of their level, no more and no less: what a network was trained on. Plans that keep other noise are
:func:`~diffnum.design.learned.non_stationary`'s: exact denoisers make use of such noise, and a network may lose by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import grid as grids
from ..grid import Grid
from ..num import exp, log
from ..plan import Level, Plan, interpret
from ..prediction import to_native
from ..solvers.coords import DATA, transfer
from ..solvers.quadrature import lagrange
from ..solvers.rules import Point, weights
from ..trace import Form, Trace, compile, solver

__all__ = ["Free", "free_multistep"]


_Input = tuple[Level, np.ndarray]
"""Level and coefficients of ``x_0, D_0, D_1, ...``."""


@solver(order=1, cite="wang2025dss", family="designed", note="of the order of its option ``order`` for any ``z``")
def free_multistep(T: Trace, grid: Any, order: int = 1, z: Sequence[Sequence[Any]] = ()) -> None:
    """The family of this module. ``z[i]`` are the numbers of step ``i``, for the newest evaluation first; rows that are
    absent or short stand for zeros."""
    past: list[tuple[Form, Level]] = []
    steps: list[Any] = []
    for i, (s, t) in enumerate(T.steps(grid)):
        now = T.denoise(T.x, s)
        past.insert(0, (now, s))
        r = t.sigma / s.sigma
        surprises = _surprises(past, order)
        known = [] if s.pure_noise else _finite(past)[:order]
        if t.clean or len(known) < 2 or order == 1:
            x = transfer(T.x, s, t, now)
        else:
            step = T.h(s, t)
            points = [Point(D, h) for (D, _), h in zip(known[1:], steps, strict=False)]
            w = weights(DATA, step, points)
            x = r * T.x + (t.alpha * step) * sum((c * D for c, (D, _) in zip(w, known, strict=True)), 0)
        for c, surprise in zip(z[i] if i < len(z) else (), surprises, strict=False):
            x = x + ((t.alpha - r * s.alpha) * c) * surprise
        T.x = x
        if not t.clean and not s.pure_noise:
            steps.insert(0, T.h(s, t))


def _finite(past: Sequence[tuple[Form, Level]]) -> list[tuple[Form, Level]]:
    return [(D, level) for D, level in past if not level.pure_noise]


def _surprises(past: Sequence[tuple[Form, Level]], order: int) -> list[Form]:
    if order == 1:
        return [a - b for (a, _), (b, _) in pairwise(past)]
    known = _finite(past)
    found = []
    for k in range(len(known) - order):
        (D, level), before = known[k], known[k + 1 : k + 1 + order]
        terms = zip(_extrapolation(level, before), before, strict=True)
        found.append(sum(((-c) * E for c, (E, _) in terms), D))
    return found


def _extrapolation(at: Level, before: Sequence[tuple[Form, Level]]) -> list[Any]:
    return lagrange([level.lam for _, level in before], at.lam)


@dataclass(frozen=True)
class Free:
    """A plan with free numbers: ``nfe`` levels and the ``z`` of every step, as one vector.

    The grid starts at ``start`` and ends at the clean level; in between, with the gaps ``g_i = limit - lam_i``,

        g_{i+1} = g_i / (1 + e^-theta_i),     (g_1 = e^theta_0 from pure noise)

    so that every vector is a grid, no level beyond ``limit``. The last step, to the clean level, is of first order in
    ``D`` and has its ``z`` as the others. Nothing depends on the scale of ``x``: one vector makes the plan of any
    process that has these log-SNRs.

    Attributes:
        process: the noise process.
        start: the first level.
        limit: log-SNR that no level passes.
        nfe: evaluations, >= 1.
        order: ``p`` of the module, 1, 2 or 3.
    """

    process: Any
    start: Level
    limit: float
    nfe: int
    order: int = 1

    def __post_init__(self) -> None:
        if not (isinstance(self.nfe, int) and self.nfe >= 1):
            raise ValueError(f"nfe = {self.nfe!r} is no number of model evaluations: use a whole number >= 1")
        if self.order not in (1, 2, 3):
            raise ValueError(f"order = {self.order!r} is no order of the family: use 1, 2 or 3")
        if not self.start.lam < self.limit:
            raise ValueError(f"limit = {self.limit!r} does not lie above the start at log-SNR {self.start.lam!r}")

    @property
    def levels(self) -> int:
        """How many of the numbers place levels."""
        return self.nfe - 1

    @property
    def counts(self) -> tuple[int, ...]:
        """How many numbers ``z`` each step has."""
        first = int(self.order > 1 and self.start.pure_noise)
        return tuple(max(0, i + 1 - self.order - first) if self.order > 1 else i for i in range(self.nfe))

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.levels + sum(self.counts)

    def grid(self, theta: Any) -> Grid:
        """The grid of a vector, whose entries may be torch leaves."""
        lams, gap = [], None if self.start.pure_noise else self.limit - self.start.lam
        for i in range(self.levels):
            gap = exp(theta[i]) if gap is None else gap / (1 + exp(-theta[i]))
            lams.append(self.limit - gap)
        inside = [self.process.at(lam) for lam in lams]
        return grids.through(self.process, [self.start, *inside, self.process.at(math.inf)], end="zero")

    def plan(self, theta: Any, prediction: str = "data") -> Plan:
        """The plan of a vector."""
        z, at = [], self.levels
        for count in self.counts:
            z.append(tuple(theta[at + j] for j in range(count)))
            at += count
        return compile(free_multistep, self.grid(theta), prediction, order=self.order, z=tuple(z))

    def vector(self, lams: Sequence[float]) -> np.ndarray:
        """The vector with these log-SNRs inside the grid, increasing and below ``limit``, and ``z = 0``.

        Raises:
            ValueError: another number of them than ``nfe - 1``; an order that no grid has.
        """
        inside = [float(lam) for lam in lams]
        if len(inside) != self.levels:
            raise ValueError(f"{len(inside)} levels lie inside a grid of {self.nfe} evaluations: give {self.levels}")
        all_lams = [self.start.lam, *inside, self.limit]
        if any(not a < b for a, b in pairwise(all_lams)):
            raise ValueError(f"log-SNRs {inside} do not rise from {self.start.lam} to below {self.limit}: sort them")
        gaps = [self.limit - lam for lam in inside]
        theta = []
        for i, gap in enumerate(gaps):
            before = gaps[i - 1] if i else self.limit - self.start.lam
            theta.append(float(log(gap)) if math.isinf(before) else math.log(gap / (before - gap)))
        return np.array(theta + [0.0] * (self.size - self.levels))

    def near(self, plan: Plan) -> np.ndarray | None:
        """The vector whose plan is ``plan``, or the nearest to it; None if the family has none like it.

        Every method of one evaluation a step that is exact for a constant ``D`` and keeps each level's noise is a
        member with ``order = 1``: its inputs are ``x_i = sigma_i / sigma_0 x_0 + sum_j b_ij D_j``, and with ``r =
        sigma_{i+1} / sigma_i`` the weights of a step are ``w_j = (b_{i+1, j} - r b_ij) / (alpha_{i+1} - r alpha_i)``,
        whose sum is one. Of one that is not, as methods in the angle are not, the newest evaluation takes what is
        missing, if that is less than half of all. Members end at the clean level and start at ``start``: the last step
        of a plan that stops before it, and the first of one that starts elsewhere, are taken with the same weights.
        """
        inputs = _inputs(plan)
        lams = [level.lam for level, _ in inputs[: self.nfe]]
        if self.order != 1 or plan.nfe != self.nfe or plan.draws:
            return None
        if any(not a < b for a, b in pairwise([self.start.lam, *lams[1:]])) or lams[-1] > self.limit + 1e-9:
            return None
        steps = [_step(*pair, i) for i, pair in enumerate(pairwise(inputs))]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps):
            return None
        # no level lies on the limit itself
        inside = np.minimum(lams[1:], self.limit - 1e-3 * (self.limit - lams[-2] if self.nfe > 1 else 1.0))
        theta = self.vector(inside.tolist())
        theta[self.levels :] = [c for z in known for c in z]
        return theta


def _step(before: tuple[Level, np.ndarray], after: tuple[Level, np.ndarray], i: int) -> list[float] | None:
    """Numbers of the step between two inputs; None where the family has none like it."""
    (s, now), (t, then) = before, after
    r, kept = t.sigma / s.sigma, then[0] / now[0] if now[0] else math.inf
    if not abs(kept * s.alpha) < t.alpha:
        return None
    w = then - kept * now
    if abs(w[1:].sum() / (t.alpha - kept * s.alpha) - 1) > 0.5 or abs(w[i + 2 :]).max(initial=0.0) > 1e-9:
        return None
    w[i + 1] += (kept - r) * s.alpha
    w /= t.alpha - r * s.alpha
    w[i + 1] += 1 - w[1:].sum()
    return (np.cumsum(w[1 : i + 2][::-1])[:-1] - 1).tolist()


def _inputs(plan: Plan) -> list[_Input]:
    """Level and coefficients ``(x_0, D_0, D_1, ...)`` of every input of the model, and of the output."""
    found: list[_Input] = []
    unit = np.eye(1 + plan.nfe)

    def evaluate(value: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        found.append((level, value))
        a, b = to_native(level, quantity)
        return a * value + b * unit[len(found)]

    (out, *_) = interpret(plan, unit[0], lambda terms: sum(c * v for c, v in terms), evaluate, lambda line: unit[0])
    stop = plan.stop if plan.end == "stop" else Level(0.0, 1.0, 0.0)
    return [*found, (stop, out)]
