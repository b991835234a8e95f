"""Witnesses in extended precision, for orders that float64 has no digits for.

A method of order five is at rounding before its error shows one slope. Here levels, coefficients and states are
numbers of 50 digits, a few points run over few steps in the middle of the interval (:data:`~diffnum.witness.NEAR`), and
a coupled law in the plane joins the others: a rotated product is a bundle of scalar problems, on which some conditions
from order five on cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np

from .extended_numbers import digits, number
from .grid import Grid
from .num import cos
from .plan import Level, Plan
from .pointwise import Pointwise
from .process_shared import pi
from .slopes import Slope, measured, settled
from .trace import Solver, compile
from .witness import NEAR, PATTERNS, SEED, Run, coupled, end_point, gaussian, nonlinear

__all__ = ["FLOOR", "WITNESSES", "near", "precise_errors", "precise_run", "precise_slope", "precise_slopes"]

DIGITS = 50
COUNTS = (8, 16, 32, 64, 128, 256, 512)
POINTS = 2
# coefficients of order six lose half the digits at the shortest steps
FLOOR = 1e-22
WITNESSES: dict[str, Callable[[], Any]] = {"non-linear": nonlinear, "Gaussian": gaussian, "coupled": coupled}


def near(process: Any, pattern: str, n: int) -> Grid:
    """``n`` (even) log-SNR steps in the middle, their sizes those of a pattern."""
    parts = [number(size) for size in PATTERNS[pattern](n)]
    unit = 2 * number(NEAR) / sum(parts)
    lams = [unit * at - NEAR for at in accumulate(parts, initial=number(0))]
    return Grid(tuple(process.at(lam) for lam in lams), tuple(unit * part for part in parts), process)


@lru_cache(maxsize=64)
def precise_run(witness: str, process: Any) -> Run:
    """A few points of a witness with their flow to :data:`DIGITS` digits, closed or integrated."""
    target, start = Pointwise(WITNESSES[witness]()), process.at(-number(NEAR))
    drawn = target.law.sample(POINTS, SEED, process.at(-NEAR))
    x = np.asarray(np.frompyfunc(number, 1, 1)(drawn.astype(object)))
    if witness == "coupled":
        return Run(target, start, x, verified_flow(target, process, x))
    return Run(target, start, x, lambda level: target.law.flow(x, start, level))


def precise_slopes(solver: Solver, process: Any, patterns: Sequence[str]) -> list[Slope]:
    """Warm slopes on all witnesses and the grids named; the Gaussian may super-converge."""
    return [
        precise_slope(solver, process, witness, pattern, "reach" if witness == "Gaussian" else "equal")
        for witness in WITNESSES
        for pattern in patterns
    ]


def precise_slope(solver: Solver, process: Any, witness: str, pattern: str, must: str) -> Slope:
    """One warm slope, of as many doublings as it takes to settle, from two steps for each step looked back."""
    counts: list[int] = []
    errors: list[float] = []
    with digits(DIGITS):
        run = precise_run(witness, process)
        for n in COUNTS:
            plan = compiled(solver, process, pattern, n)
            if n < 2 * plan.depth:
                continue
            counts.append(n)
            errors.append(_error(plan, run))
            if settled(errors, counts, _floor):
                break
    return measured(errors, counts, witness, pattern, process.name, "warm", must, _floor, DIGITS)


def precise_errors(
    solver: Solver, process: Any, pattern: str, counts: Sequence[int], change: Callable[[Plan], Plan]
) -> tuple[float, ...]:
    """Warm errors of changed plans on the non-linear witness."""
    with digits(DIGITS):
        run = precise_run("non-linear", process)
        return tuple(_error(change(compiled(solver, process, pattern, n)), run) for n in counts)


def _error(plan: Plan, run: Run) -> float:
    with np.errstate(all="ignore"):
        return float(abs(end_point(plan, run, True, object) - run.exact(plan.stop)).max())


def _floor(n: int) -> float:
    return FLOOR


@lru_cache(maxsize=32)
def compiled(solver: Solver, process: Any, pattern: str, n: int) -> Plan:
    """A plan of extended numbers, shared by the witnesses."""
    return compile(solver, known_near(process, pattern, n))


# of the same digits as what is compiled on it
known_near = lru_cache(maxsize=64)(near)


def verified_flow(target: Any, process: Any, x: np.ndarray) -> Callable[[Level], np.ndarray]:
    """The flow of points ``x`` from the noisier end over the middle of the interval, integrated and verified.

    In ``u = x / sigma`` the probability flow is ``du/dlam = e^lam E[x0 | sigma u]``. Its right-hand side is
    interpolated at Chebyshev points of the interval and the integral of the interpolant fed back until nothing moves
    (Picard's iteration; Trefethen 2013, chapter 19, for the integral). Two numbers of points must agree.

    Raises:
        ValueError: they do not, to :data:`FLOOR`.
    """
    coarse, fine = (_collocated(target, process, x, m) for m in (24, 32))
    lams = [number(NEAR) * k / 4 for k in range(-3, 5)]
    error = max(abs(coarse(level) - fine(level)).max() for level in map(process.at, lams))
    if not error < FLOOR:
        raise ValueError(f"the flow of the coupled witness is verified to {float(error):.1e} only, not to {FLOOR:g}")
    return fine


def _collocated(target: Any, process: Any, x: np.ndarray, m: int) -> Callable[[Level], np.ndarray]:
    nodes = _nodes(m)
    levels = [process.at(NEAR * c) for c in nodes]
    to_nodes = np.array([_integral(c, nodes) for c in nodes])
    first = x / process.at(-number(NEAR)).sigma
    states = np.array([first] * m)
    for _ in range(200):
        slopes = np.array([_slope(target, u, level) for u, level in zip(states, levels, strict=True)])
        moved = first + np.tensordot(to_nodes, slopes, axes=1)
        change, states = abs(moved - states).max(), moved
        if change < number(10) ** (8 - DIGITS):
            break
    return lambda level: (first + np.tensordot(_integral(level.lam / NEAR, nodes), slopes, axes=1)) * level.sigma


def _slope(target: Any, u: np.ndarray, level: Level) -> np.ndarray:
    return target.predict(u * level.sigma, level, "data") * (level.alpha / level.sigma)


def _integral(c: Any, nodes: Sequence[Any]) -> np.ndarray:
    """Weights over values at Chebyshev ``nodes`` of the integral of their interpolant, ``NEAR`` times that from -1 to
    ``c``: ``int T_k = T_(k+1) / 2(k+1) - T_(k-1) / 2(k-1)``."""
    m = len(nodes)
    at = _chebyshev(c, m + 1)
    below = [(-1) ** k for k in range(m + 1)]
    grown = [a - b for a, b in zip(at, below, strict=True)]
    parts = [grown[1], grown[2] / 4, *(grown[k + 1] / (2 * k + 2) - grown[k - 1] / (2 * k - 2) for k in range(2, m))]
    parts[0] = parts[0] / 2
    table = _table(m)
    return NEAR * 2 * np.array([sum(a * t for a, t in zip(parts, row, strict=True)) for row in table]) / m


@lru_cache(maxsize=4)
def _table(m: int) -> list[list[Any]]:
    """``T_k`` at the nodes, ``cos(k (2 j + 1) pi / 2 m)``."""
    return [_chebyshev(c, m) for c in _nodes(m)]


def _nodes(m: int) -> list[Any]:
    return [cos(pi(number(1)) * (2 * j + 1) / (2 * m)) for j in range(m)]


def _chebyshev(c: Any, count: int) -> list[Any]:
    found = [number(1), c]
    while len(found) < count:
        found.append(2 * c * found[-1] - found[-2])
    return found[:count]
