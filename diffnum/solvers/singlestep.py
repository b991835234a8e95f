"""Single-step DPM-Solvers of mixed orders: a budget of evaluations spent on steps of order three, two and one.

``orders(nfe)`` is the list of the reference code: as many steps of the highest order as fit, one or two lower ones for
the rest of the budget (DPM-Solver-fast; Lu et al. 2022a, appendix). A grid level is where a step of the list ends;
the nodes of the stages lie at equal fractions of its log-SNR, as in the paper and k-diffusion.

Schedulers take a list of levels, one evaluation each, and let every two or three of them form a step. That is
:func:`grouped`: the levels between are the nodes. DPM-Solver-3 is of order three with its last node at two thirds of a
step and else of order two; the three-stage method of Hochbruck & Ostermann is of order three wherever its nodes lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction as F
from itertools import pairwise
from typing import Any

from ..grid import Grid
from ..num import extended
from ..plan import Level
from ..trace import Form, Solver, Trace
from . import generated as g
from .coords import DATA, NOISE, Coords, total, transfer
from .rules import Build, Formula, named
from .tables import Table, scaled

__all__ = [
    "dpm_solver_fast",
    "dpmpp_singlestep_2",
    "dpmpp_singlestep_3",
    "dpmpp_singlestep_3_corrected",
    "dpmpp_singlestep_3_taylor",
]

# formulas of orders one, two and three
MIDPOINT: tuple[Formula, ...] = (g.exponential_euler, g.dpm_2s, g.dpm_3s)
TAYLOR: tuple[Formula, ...] = (g.exponential_euler, g.etd2, g.dpm_3s_taylor)
ANY_NODES: tuple[Formula, ...] = (g.exponential_euler, g.etd2, g.hochbruck_ostermann_3)


def orders(nfe: int, highest: int = 3) -> tuple[int, ...]:
    """The orders of the steps that spend ``nfe`` evaluations, as the reference code lists them.

    Raises:
        ValueError: no evaluation, or an order other than one, two and three.
    """
    if highest not in (1, 2, 3):
        raise ValueError(f"highest = {highest!r} is no order of a single-step DPM-Solver: use 1, 2 or 3")
    if nfe != int(nfe) or nfe < 1:
        raise ValueError(f"nfe = {nfe!r} is no budget of evaluations: use 1, 2, ...")
    whole, rest = divmod(int(nfe), highest)
    if highest == 3 and rest == 0:
        # a last step of first order in any case
        return (3,) * (whole - 1) + (2, 1)
    return (highest,) * whole + ((rest,) if rest else ())


@dataclass(frozen=True)
class Grouped:
    """The levels at which steps end, and those within each step, with their log-SNR increments from its start."""

    levels: tuple[Level, ...]
    h: tuple[Any, ...]
    process: Any
    end: str
    inner: tuple[tuple[tuple[Level, Any], ...], ...]


def grouped(grid: Grid, sizes: Sequence[int]) -> Grouped:
    """Consecutive levels of a grid as the nodes of one step each, a grid for the samplers of this module.

    Args:
        sizes: how many intervals of ``grid`` make each step, such as :func:`orders` of its number of intervals.

    Raises:
        ValueError: sizes other than 1, 2 and 3 or of another sum.
    """
    steps = len(grid.h)
    if sum(sizes) != steps or any(size not in (1, 2, 3) for size in sizes):
        raise ValueError(f"groups of {tuple(sizes)} do not make {steps} steps: use orders({steps})")
    ends = [0]
    inner: list[tuple[tuple[Level, Any], ...]] = []
    for size in sizes:
        first = ends[-1]
        inner.append(tuple((grid.levels[first + k], sum(grid.h[first : first + k])) for k in range(1, size)))
        ends.append(first + size)
    h = tuple(sum(grid.h[a:b]) for a, b in pairwise(ends))
    return Grouped(tuple(grid.levels[i] for i in ends), h, grid.process, grid.end, tuple(inner))


def singlestep(
    coords: Coords, formulas: Sequence[Formula], highest: int, thirds: tuple[Any, Any] = (F(1, 3), F(2, 3))
) -> Build:
    """Steps of the orders of :func:`orders` in log-SNR; to the clean level and from pure noise the step is DDIM's.

    The option ``nfe`` is the budget, which the number of steps has to fit; by default the largest that does.

    Args:
        thirds: nodes of a step of order three, as fractions, on a grid that has no levels within its steps.
    """
    nodes = ((), (F(1, 2),), thirds)

    def build(T: Trace, grid: Any, nfe: int | None = None) -> None:
        pattern = _pattern(grid, highest, nfe)
        for order, inner, (s, t) in zip(pattern, _inner(grid), T.steps(grid), strict=True):
            if not coords.regular(s, t):
                T.x = transfer(T.x, s, t, T.evaluate(T.x, s).data)
            else:
                T.x = _step(T, s, t, coords, formulas[order - 1], inner or _between(T, s, t, nodes[order - 1]))

    return build


def _pattern(grid: Any, highest: int, nfe: int | None) -> tuple[int, ...]:
    steps = len(grid.levels) - 1
    if isinstance(grid, Grouped):
        found = tuple(len(inner) + 1 for inner in grid.inner)
        nfe = sum(found) if nfe is None else nfe
        if nfe == sum(found) and max(found) <= highest:
            return found
        raise ValueError(f"a grid in groups of {found} takes {sum(found)} evaluations: use that nfe and higher orders")
    found = orders(nfe or highest * steps - (highest == 3), highest)
    if len(found) != steps:
        raise ValueError(f"nfe = {nfe} takes {len(found)} steps of orders {found}: use a grid of as many, not {steps}")
    return found


def _inner(grid: Any) -> Sequence[Sequence[tuple[Level, Any]]]:
    return grid.inner if isinstance(grid, Grouped) else [()] * (len(grid.levels) - 1)


def _between(T: Trace, s: Level, t: Level, nodes: Sequence[Any]) -> Sequence[tuple[Level, Any]]:
    parts = [scaled(c, T.h(s, t)) for c in nodes]
    return [(t if c == 1 else T.below(s, part), part) for c, part in zip(nodes, parts, strict=True)]


def _step(T: Trace, s: Level, t: Level, coords: Coords, formula: Formula, inner: Sequence[tuple[Level, Any]]) -> Form:
    h = T.h(s, t)
    table = Table(*extended(formula, coords.stiffness * h, *(at / h for _, at in inner)))
    slopes = [coords.quantity(T.evaluate(T.x, s))]
    for (u, _), row in zip(inner, table.matrix[1:], strict=True):
        slopes.append(coords.quantity(T.evaluate(_moved(T, s, u, coords, row, slopes, h), u)))
    return _moved(T, s, t, coords, table.weights, slopes, h)


def _moved(
    T: Trace, s: Level, t: Level, coords: Coords, weights: Sequence[Any], slopes: Sequence[Form], h: Any
) -> Form:
    size = coords.gain(t) * h
    used = [(scaled(w, size), N) for w, N in zip(weights, slopes, strict=True) if not (isinstance(w, int) and w == 0)]
    return total([(coords.ratio(s, t), T.x), *used])


def _named(name: str, build: Build, highest: int, says: str, cite: str, eq: str, note: str) -> Solver:
    claim: dict[str, Any] = {"order": highest, "cold": highest, "cite": cite, "eq": eq, "note": note}
    return named(
        name, build, says, family="exponential one-step", steps_for=lambda nfe: len(orders(nfe, highest)), **claim
    )


THIRD = "with nfe = 3 k - 1; for other budgets the last step is of first order and the whole of order two"
NODES = "; on a grid in groups of order three only with its last nodes at two thirds of log-SNR"

dpm_solver_fast = _named(
    "dpm_solver_fast",
    singlestep(NOISE, MIDPOINT, 3),
    3,
    "DPM-Solver-fast: steps of orders 3, ..., 3 and what the budget leaves, on the noise.",
    "lu2022dpm",
    "DPM-Solver-fast",
    THIRD + NODES,
)
dpmpp_singlestep_2 = _named(
    "dpmpp_singlestep_2",
    singlestep(DATA, MIDPOINT, 2),
    2,
    "DPM-Solver++ of order two by single steps, the last of order one where the budget is odd, on the data.",
    "lu2022dpmpp",
    "reference code, method singlestep",
    "",
)
dpmpp_singlestep_3 = _named(
    "dpmpp_singlestep_3",
    singlestep(DATA, MIDPOINT, 3),
    3,
    "DPM-Solver++ of orders 3, ..., 3 and what the budget leaves, on the data.",
    "lu2022dpmpp",
    "reference code, method singlestep",
    THIRD + NODES,
)
dpmpp_singlestep_3_taylor = _named(
    "dpmpp_singlestep_3_taylor",
    singlestep(DATA, TAYLOR, 3),
    3,
    "As :data:`dpmpp_singlestep_3`, of type taylor.",
    "lu2022dpmpp",
    "reference code, solver type taylor",
    THIRD + NODES,
)
dpmpp_singlestep_3_corrected = _named(
    "dpmpp_singlestep_3_corrected",
    singlestep(DATA, ANY_NODES, 3, (F(1, 2), 1)),
    3,
    "As :data:`dpmpp_singlestep_3`, its steps of order three whatever levels lie within them; RES-3S where none do.",
    "hochbruck2005",
    "5.8",
    THIRD,
)
