"""Plans at or under a number of model evaluations: the longest of one sampler, the best of many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from . import grid as grids_
from . import solvers as library
from .grid import Grid
from .plan import Plan
from .read.distance import w2
from .trace import Solver, compile

__all__ = ["ENDS", "GRIDS", "RANKED", "best_within", "within"]

MakeGrid = Callable[..., Grid]
""":data:`GRIDS`' kind: ``make(process, n, end=end)``."""

GRIDS: dict[str, MakeGrid] = {
    make.__name__: make
    for make in (grids_.uniform, grids_.log_snr, grids_.karras, grids_.exponential, grids_.edm, grids_.quadratic)
}
ENDS = ("stop", "zero", "denoise")

# one of each kind that is in use at few evaluations; relatives of theirs differ in what four digits show
RANKED = (
    library.ddim, library.euler, library.heun, library.midpoint, library.ralston3, library.rk4, library.ab2,
    library.kdpm2, library.dpmpp_2s, library.dpmpp_3s, library.res_2s, library.dpm_2m, library.dpmpp_2m,
    library.dpmpp_3m, library.dpmpp_3m_corrected, library.exp_ab2, library.exp_ab3, library.deis_rhoab_2,
    library.deis_rhoab_3, library.ipndm_3, library.trig_ab2, library.trig_heun, library.unipc_1, library.unipc_2,
    library.unipc_3, library.ghvb2, library.ddpm_ancestral, library.ddim_eta, library.euler_maruyama,
    library.exponential_integrator, library.langevin_corrector, library.langevin_corrector_refined,
)  # fmt: skip

# steps of plans that tell what a step costs and what the ends save
SHORT = (4, 8)
# a sampler that stops asking its model would have no longest plan
SPARSEST = 64


def within(
    sampler: Solver | Callable[..., None],
    process: Any,
    nfe: int,
    grid: MakeGrid = grids_.uniform,
    end: str = "stop",
    prediction: str = "data",
    **options: Any,
) -> Plan:
    """The plan with the most steps that spends at most ``nfe`` model evaluations.

    Everything that calls the model counts: stages, correctors, start-up, the final denoising step. A sampler that
    spends its budget on steps of several orders (``dpm_solver_fast``, ``dpmpp_singlestep_3``) is told the largest
    number, its option ``nfe``, whose plan fits.

    Args:
        sampler: a :class:`~diffnum.trace.Solver` or any function ``f(T, grid, **options)``.
        process: the noise process.
        nfe: the budget, >= 1; the plan's own count is ``plan.nfe``.
        grid: ``make(process, n, end=end)``, such as a function of :mod:`diffnum.grid` or
            ``functools.partial(dn.grid.karras, start=..., stop=...)``.
        end: the end policy.
        prediction, options: as for :func:`diffnum.trace.compile`.

    Raises:
        ValueError: a budget that is no whole number >= 1, or less than the sampler's shortest plan spends; whatever the
            grid or the sampler refuse.
    """
    budget = _checked(nfe)
    steps_for = sampler.steps_for if isinstance(sampler, Solver) else None

    def plan(m: int) -> Plan:
        steps, told = (m, options) if steps_for is None else (steps_for(m), {**options, "nfe": m})
        return compile(sampler, grid(process, steps, end=end), prediction, **told)

    m = budget if steps_for is not None else _guess(plan, budget)
    found = plan(m)
    while found.nfe > budget:
        if m == 1:
            raise ValueError(
                f"{found.solver} spends {found.nfe} evaluations on its shortest plan, {budget} are too few: "
                f"use nfe >= {found.nfe} or another sampler"
            )
        # from above or not far below: steps cost the same but for the first and the last ones
        m = min(m - 1, m * budget // found.nfe + 1)
        found = plan(m)
    while m < SPARSEST * budget and (longer := plan(m + 1)).nfe <= budget:
        m, found = m + 1, longer
    return found


def _guess(plan: Callable[[int], Plan], budget: int) -> int:
    """How many steps are about ``budget``, from what two short plans spend: a long one is dear to compile."""
    try:
        few, more = (plan(n).nfe for n in SHORT)
    except ValueError:
        # such as a table of fewer steps than that
        return budget
    each = max(1, (more - few) // (SHORT[1] - SHORT[0]))
    return max(1, SHORT[0] + (budget - few) // each)


def best_within(
    process: Any,
    target: Any,
    nfe: int,
    samplers: Sequence[Solver] | None = None,
    grids: Mapping[str, MakeGrid] | None = None,
    ends: Sequence[str] = ENDS,
    prediction: str = "data",
) -> Plan:
    """The plan of least error at or under ``nfe`` model evaluations, over samplers, grids and ends.

    The error is ``dn.w2(plan, target, at="data", init="prior")``, exact. Every number of steps up to the most that fit
    competes, so the error never rises with the budget; of equal plans the one of fewest evaluations is returned.

    Args:
        process: the noise process.
        target: a law with exact moments (:class:`~diffnum.targets.Gaussian`).
        nfe: the budget, >= 1.
        samplers: None for :data:`RANKED`.
        grids: by name, ``make(process, n, end=end)``; None for :data:`GRIDS`.
        ends: end policies of the grids.
        prediction: what the model will return.

    Raises:
        ValueError: a budget that is no whole number >= 1, or one at which no sampler has a plan.
    """
    budget = _checked(nfe)
    courses = product(RANKED if samplers is None else samplers, (GRIDS if grids is None else grids).values(), ends)
    plans = (plan for course in courses for plan in _up_to(budget, process, prediction, *course))
    # a plan whose error is not a number is no plan
    judged = [(error, plan) for plan in plans if not math.isnan(error := w2(plan, target, at="data", init="prior"))]
    if not judged:
        raise ValueError(f"no sampler has a plan of at most {budget} evaluations on {process.name}: raise the budget")
    return min(judged, key=lambda pair: (pair[0], pair[1].nfe))[1]


def _up_to(budget: int, process: Any, prediction: str, sampler: Solver, make: MakeGrid, end: str) -> Iterator[Plan]:
    """The longest plan of every budget up to this one, each once; none where the sampler or the grid refuse."""
    spent = 0
    for smaller in range(1, budget + 1):
        try:
            plan = within(sampler, process, smaller, make, end, prediction)
        except ValueError:
            continue
        if plan.nfe > spent:
            spent = plan.nfe
            yield plan


def _checked(nfe: Any) -> int:
    if not (isinstance(nfe, int) and nfe >= 1) or isinstance(nfe, bool):
        raise ValueError(f"nfe = {nfe!r} is no number of model evaluations: use a whole number >= 1")
    return nfe
