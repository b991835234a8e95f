"""What runs show of a sampler: slopes, its start-up, the clean end, float32 and what its method depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import count
from typing import Any

import numpy as np

from .noise import Counter
from .plan import PREDICTIONS, Eval, Level, Noise, Plan, interpret
from .precise import precise_slope, precise_slopes
from .process import EDM, Flow
from .read.execute import linear
from .read.tableau import canonical, distance
from .slopes import TOLERANCE, Cold, Slope, fit, measured, rounding, settled, start_up
from .targets.mixture1d import Mixture1D
from .together import Together
from .trace import Solver, compile
from .witness import (
    COUNTS,
    END_RATIOS,
    GRIDS,
    LOW,
    NEAR_COUNTS,
    NEAR_GRIDS,
    STEP_SIZES,
    Run,
    gaussian,
    law_errors,
    line_errors,
    near,
    nonlinear,
    norm,
    one_step,
    path_errors,
    to_clean,
    uniform,
)

__all__ = [
    "Plans",
    "clean_end",
    "demanded",
    "float32_constant",
    "grids_of",
    "invariance",
    "lawwise",
    "linewise",
    "on_flow",
    "pathwise",
    "started",
    "together",
    "warm_slope",
]

# slopes may settle here, or later, at a whole number: no other is an order
ENOUGH = 128
USUAL = tuple(n for n in COUNTS if n <= ENOUGH)
# and here at last: more steps in float64 cost more than extended precision does
LAST = 1024
# the law on a line costs a quadrature per step
LINE_COUNTS = (4, 8, 16, 32, 64, 128)
# claims from here on leave float64 no clean doublings
PRECISE = 5
FLOAT32_COUNTS = (16, 64, 128)
# what every claim is measured on; one on smooth grids on such a grid too
ROUGH = ("uniform", "alternating")
MIDDLE = "uniform in the middle"
ON_FLOW = "uniform on another process"
_GRIDS = {**GRIDS, MIDDLE: near}
Plans = Callable[[Any, Callable[[Any, int], Any], int], Plan]


def pathwise(solver: Solver, plans: Plans, process: Any, paths: Together) -> list[Slope]:
    """Warm slopes on every witness and grid, and the raw cold one; a Gaussian may super-converge, and so may a method
    with a claim on smooth grids where all steps are equal."""
    grids = grids_of(solver)
    if solver.order >= PRECISE:
        slopes = precise_slopes(solver, process, grids)
    else:
        slopes = [
            warm_slope(solver, plans, process, witness, grid, demanded(solver, witness, grid), paths)
            for witness in ("Gaussian", "non-linear")
            for grid in grids
        ]
    if plans(process, uniform, COUNTS[0]).depth:
        errors = [norm(paths.error("non-linear", "uniform", n, False)) for n in USUAL]
        slopes.append(measured(errors, USUAL, "non-linear", "uniform", process.name, "cold", "print"))
    return slopes


def together(solver: Solver, plans: Plans, process: Any, flow: bool = False) -> Together:
    """The runs in float64 of a sampler on all grids; a claim that float64 has no digits for needs cold ones alone.

    Args:
        flow: with those of :func:`on_flow`.
    """

    def plan(grid: str, n: int) -> Plan:
        return plans(Flow(), uniform, n) if grid == ON_FLOW else plans(process, _GRIDS[grid], n)

    def usual(n: int) -> list[tuple[str, bool]]:
        rows = [("uniform", False), (MIDDLE, False)] if plans(process, uniform, COUNTS[0]).depth else []
        if solver.order < PRECISE:
            rows += [(grid, True) for grid in (*grids_of(solver), *([ON_FLOW] if flow else []))]
        return rows if n <= ENOUGH else []

    return Together(plan, usual, USUAL)


def _apart(plans: Plans, process: Any, grid: str = "", counts: Sequence[int] = ()) -> Together:
    """The runs of one slope alone, warm ones on a grid for all of ``counts`` at once."""
    usual = [(grid, True)]
    return Together(lambda grid, n: plans(process, _GRIDS[grid], n), lambda n: usual if n in counts else [], counts)


def grids_of(solver: Solver) -> tuple[str, ...]:
    """Names of the grids that a claim is measured on."""
    return ROUGH if solver.smooth is None else tuple(GRIDS)


def demanded(solver: Solver, witness: str, grid: str) -> str:
    """Whether a slope must "equal" the claim there or may exceed it, "reach"."""
    special = solver.smooth is not None and grid == "uniform"
    return "reach" if special or witness == "Gaussian" else "equal"


def warm_slope(
    solver: Solver,
    plans: Plans,
    process: Any,
    witness: str,
    grid: str,
    must: str,
    paths: Together | None = None,
    row: str = "",
) -> Slope:
    """A warm slope in float64; in extended precision where the doublings do not agree before rounding comes.

    Args:
        paths: runs shared with other slopes.
        row: what this grid on this process is called there; default the grid's name.
    """
    if solver.order >= PRECISE:
        return precise_slope(solver, process, witness, grid, must)
    paths = paths or _apart(plans, process, grid, USUAL)
    counts: list[int] = []
    errors: list[float] = []
    for n in (*COUNTS, LAST):
        if n > ENOUGH and (_at_an_order(errors, counts) or errors[-1] <= rounding(counts[-1])):
            break
        counts.append(n)
        errors.append(norm(paths.error(witness, row or grid, n, True)))
    if not settled(errors, counts):
        return precise_slope(solver, process, witness, grid, must)
    return measured(errors, counts, witness, grid, process.name, "warm", must)


def _at_an_order(errors: Sequence[float], counts: Sequence[int]) -> bool:
    """Whether slopes have settled, and near a whole number: few steps may pretend to."""
    used, value = fit(errors, counts)
    return settled(errors, counts) and (used < 3 or np.isinf(value) or abs(value - round(value)) < TOLERANCE / 2)


def started(solver: Solver, plans: Plans, process: Any, paths: Together | None = None) -> Cold | None:
    """The start-up as published, in the middle of the interval, where its errors are seen early."""
    if not plans(process, near, NEAR_COUNTS[0]).depth:
        return None
    paths = paths or _apart(plans, process)
    errors = [paths.error("non-linear", MIDDLE, n, False) for n in USUAL]
    return start_up(errors, USUAL, solver.cold, max(solver.smooth or solver.order, solver.cold + 1))


def on_flow(solver: Solver, plans: Plans, paths: Together | None = None) -> Slope:
    """The warm slope on a process with another clock, for methods that step in it."""
    row = ON_FLOW if paths else ""
    return warm_slope(solver, plans, Flow(), "non-linear", "uniform", "equal", paths, row)


def lawwise(solver: Solver, plans: Plans, process: Any) -> list[Slope]:
    """Slopes of mean and variance on the Gaussian, exactly, in the middle of the interval: from high noise an error
    whose leading power is small hides for long. A method of order zero shows its bias over the whole of it."""
    slopes: list[Slope] = []
    grids, most = (NEAR_GRIDS, (*NEAR_COUNTS, 2 * ENOUGH, LAST)) if solver.order else (GRIDS, COUNTS)
    for name in ROUGH:
        counts, errors = _laws(plans, process, grids[name], most)
        for i, what in enumerate(("mean", "variance")):
            sizes = [norm(e[i]) for e in errors]
            # the mean may be exact, and a method of order zero is judged by its bias
            exact = what == "variance" and not solver.transient
            must = "print" if not solver.order else "equal" if exact else "reach"
            slopes.append(measured(sizes, counts, f"Gaussian {what}", name, process.name, "cold", must))
    if not plans(process, uniform, COUNTS[0]).depth:
        # a multistep method's first step is its start-up
        sizes = [norm(law_errors(plans(process, one_step, n), gaussian())[1]) for n in STEP_SIZES]
        slopes.append(measured(sizes, STEP_SIZES, "Gaussian variance", "one step", process.name, "warm", "local"))
    return [
        *linewise(solver, plans, process),
        *sorted(slopes, key=lambda s: s.witness == "Gaussian mean"),
    ]


def linewise(solver: Solver, plans: Plans, process: Any) -> list[Slope]:
    """The slope of expectations on a non-linear law, for a one-step sampler: its law is known without sampling. In the
    middle of the interval, where the leading power is seen early."""
    if not solver.order or plans(process, uniform, COUNTS[0]).depth:
        return []
    counts: list[int] = []
    errors: list[float] = []
    for n in LINE_COUNTS:
        try:
            error = norm(line_errors(plans(process, near, n)))
        except ValueError:
            # no density on a line: several draws are seen by evaluations, or the kernel is too narrow
            return []
        counts.append(n)
        errors.append(error)
        if settled(errors, counts):
            break
    return [measured(errors, counts, "non-linear", MIDDLE, process.name, "cold", "equal")]


def _laws(
    plans: Plans, process: Any, grid: Callable[[Any, int], Any], most: Sequence[int]
) -> tuple[list[int], list[np.ndarray]]:
    """Errors of the law for as many numbers of steps of ``most`` as it takes until the variance's slopes settle."""
    counts: list[int] = []
    errors: list[np.ndarray] = []
    for n in most:
        if n > ENOUGH and _at_an_order([norm(e[1]) for e in errors], counts):
            break
        counts.append(n)
        errors.append(law_errors(plans(process, grid, n), gaussian()))
    return counts, errors


def clean_end(solver: Solver, process: Any) -> list[Slope]:
    """The steps to ``sigma = 0``: proofs see no clean level, so a builder's branch on it is run here only."""
    must = "end" if solver.vanishing else "stays"
    errors: list[float] = []
    for n in END_RATIOS:
        grid = to_clean(process, n)
        try:
            plan = compile(solver, grid)
        except ValueError:
            return []
        if solver.stochastic:
            errors.append(norm(law_errors(plan, gaussian())))
        else:
            errors.append(norm(path_errors(plan, Run.of(nonlinear(), plan.start), False)))
    return [measured(errors, END_RATIOS, "clean end", "three-step", process.name, "cold", must)]


def float32_constant(
    solver: Solver,
    plans: Plans,
    process: Any,
    counts: Sequence[int] = FLOAT32_COUNTS,
    paths: Together | None = None,
) -> float:
    """Smallest ``K`` with ``err32(n) <= err64(n) + K 2^-24 sqrt(n) max|x|``; between the runs where noise is drawn."""
    run, paths = Run.of(nonlinear(), process.at(LOW)), paths or _apart(plans, process)
    worst = 0.0
    for n in counts:
        plan = plans(process, uniform, n)
        run_in = partial(_run_in, plan, run.x)
        if solver.stochastic:
            excess = norm(run_in(np.float32) - run_in(np.float64))
        else:
            excess = norm(run_in(np.float32) - run.exact(plan.stop))
            excess -= norm(paths.error("non-linear", "uniform", n, False))
        worst = max(worst, excess / (2.0**-24 * np.sqrt(n) * np.abs(run.x).max()))
    return float(worst)


def _run_in(plan: Plan, x: np.ndarray, kind: Any) -> np.ndarray:
    """As :func:`diffnum.sample` on the non-linear witness, with what its denoiser needs of levels made once, to the
    last bit: states and coefficients have the precision ``kind``, the denoiser has float64."""
    seen = [line.level for line in plan.lines if isinstance(line, Eval)]
    ((_, law),) = nonlinear()._groups
    assert isinstance(law, Mixture1D)
    denoise, number = law.repeated(*np.array([(u.alpha, u.sigma) for u in seen]).T), count()

    def evaluate(value: np.ndarray, level: Level, quantity: str) -> np.ndarray:
        return denoise(next(number), value.astype(np.float64)).astype(kind)

    def draw(line: Noise) -> np.ndarray:
        return _draw(Noise(line.s, line.t, line.j), x.shape).astype(kind)

    start = x.astype(kind)
    return interpret(plan, start, linear(start), evaluate, draw)[0]


@lru_cache(maxsize=2048)
def _draw(line: Noise, shape: tuple[int, ...]) -> np.ndarray:
    """The draws of samplers on one grid are the same, in every precision."""
    return Counter(0)(line, np.empty(shape))


def invariance(solver: Solver, process: Any) -> tuple[float, bool]:
    """Largest tableau distance over prediction types; whether EDM gives the same method."""
    levels = uniform(process, 6)
    base = canonical(compile(solver, levels))
    predictions = max(distance(base, compile(solver, levels, kind)) for kind in PREDICTIONS)
    try:
        other = distance(base, compile(solver, uniform(EDM(), 6)))
    except ValueError:
        other = float("inf")
    return predictions, other < 1e-10
