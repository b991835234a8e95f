"""Work against precision: the error of every sampler for the evaluations it spends, on laws with exact flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..budget import within
from ..grid import Grid
from ..images import load
from ..plan import Level, Plan
from ..read.sample import sample
from ..targets.gaussian import Gaussian
from ..targets.mixture import Mixture
from ..targets.mixture1d import Mixture1D
from ..targets.product import Product1D
from ..trace import Solver

__all__ = ["Course", "Sweep", "longest", "spectra", "sweep", "three_laws", "two_modes"]


MakeGrid = Callable[[int], Grid]
""":func:`sweep`'s kind: from a number of steps to a grid."""


@dataclass(frozen=True, eq=False)
class Course:
    """Points of a law at one noise level, and where its exact flow takes them.

    Attributes:
        law: a target with ``predict`` and ``flow``.
        x, end: ``(points, dim)`` at the first and at the last level.
        unit: what errors are measured in, a length in data space.
    """

    law: Any
    x: np.ndarray
    end: np.ndarray
    unit: float = 1.0

    @staticmethod
    def of(law: Any, start: Level, stop: Level, points: int = 16, seed: int = 0, unit: float = 1.0) -> Course:
        """Points drawn from the law at ``start`` with a seed. A centred Gaussian needs one point, a standard deviation
        out in every mode: a deterministic sampler multiplies each mode by a factor, so the distance of the two ends
        is the 2-Wasserstein distance of the two laws wherever that factor is positive.

        Raises:
            ValueError: fewer than one point; as the law's ``flow`` does.
        """
        if not (isinstance(points, int) and points >= 1):
            raise ValueError(f"points = {points!r} is no number of points: use a whole number >= 1")
        centred = isinstance(law, Gaussian) and not np.any(law.mean)
        x = np.sqrt(law.marginal(start)[1])[None] if centred else law.sample(points, seed, start)
        return Course(law, x, law.flow(x, start, stop), unit)

    def error(self, plan: Plan) -> np.ndarray:
        """Root mean square over the points of the distance between the plan's end and the exact one, in units,
        ``(dim,)``; inf where a plan blew up."""
        with np.errstate(over="ignore", invalid="ignore"):
            apart = (sample(plan, self.law, self.x) - self.end) / self.unit
            squares = (apart**2).mean(axis=0)
        return np.sqrt(np.where(np.isfinite(squares), squares, np.inf))


@dataclass(frozen=True, eq=False)
class Sweep:
    """What :func:`sweep` found.

    Attributes:
        samplers: those that have a plan at one budget at least.
        budgets: numbers of evaluations allowed.
        nfe: ``(samplers, budgets)``, evaluations spent; nan where no plan fits.
        errors: for each course ``(samplers, budgets, dim)``, see :meth:`Course.error`; inf where no plan fits.
    """

    samplers: tuple[Solver, ...]
    budgets: tuple[int, ...]
    nfe: np.ndarray
    errors: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the samplers."""
        return tuple(solver.name for solver in self.samplers)

    @property
    def families(self) -> dict[str, tuple[int, ...]]:
        """Each family's rows, in the order of the samplers."""
        shelves = dict.fromkeys(solver.family for solver in self.samplers)
        return {f: tuple(i for i, s in enumerate(self.samplers) if s.family == f) for f in shelves}

    def rms(self, course: str, columns: slice | Sequence[int] = slice(None)) -> np.ndarray:
        """Root mean square of the errors over some columns of a course, ``(samplers, budgets)``."""
        return np.sqrt((self.errors[course][:, :, columns] ** 2).mean(axis=-1))

    def of(self, name: str, errors: np.ndarray) -> np.ndarray:
        """One sampler's row of ``errors``.

        Raises:
            ValueError: a sampler that was not run.
        """
        return errors[self._row(name)]

    def table(self, errors: np.ndarray, names: Iterable[str], budgets: Iterable[int]) -> str:
        """Some rows and columns of ``errors``, two digits each, a line per sampler."""
        columns = [self.budgets.index(budget) for budget in budgets]
        return "\n".join(
            f"  {name:20s}" + "".join(f"{value:9.1e}" for value in self.of(name, errors)[columns]) for name in names
        )

    def only(self, names: Iterable[str]) -> Sweep:
        """The same with some samplers only, in the order of ``names``.

        Raises:
            ValueError: a sampler that was not run.
        """
        rows = [self._row(name) for name in names]
        errors = {course: found[rows] for course, found in self.errors.items()}
        return Sweep(tuple(self.samplers[i] for i in rows), self.budgets, self.nfe[rows], errors)

    def _row(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(f"{name!r} was not run: add it to the samplers, or give it a budget that it fits")
        return self.names.index(name)

    def by_family(self, errors: np.ndarray) -> dict[str, np.ndarray]:
        """Each family's part of ``errors`` along the first axis."""
        return {family: errors[list(rows)] for family, rows in self.families.items()}

    def regions(self, course: str, rows: Sequence[slice]) -> tuple[np.ndarray, np.ndarray]:
        """Who wins where: for each block of columns and each budget the sampler of least error.

        Args:
            course: by name.
            rows: blocks of its columns.

        Returns:
            Names ``(rows, budgets)``, of equals (to 1e-9, so to rounding) the first; and the lead ``(rows, budgets)``,
            the least error of all other families over the winner's, at least one.
        """
        names, lead = [], []
        for block in rows:
            errors = self.rms(course, block)
            least = errors.min(axis=0)
            names.append([self.names[i] for i in np.argmax(errors <= least * (1 + 1e-9), axis=0)])
            families = np.sort([part.min(axis=0) for part in self.by_family(errors).values()], axis=0)
            lead.append(families[1] / families[0] if len(families) > 1 else np.full(len(least), np.inf))
        return np.array(names, dtype=object), np.array(lead)


def three_laws(
    start: Level, stop: Level, exponents: Sequence[float], widths: Sequence[float], points: int = 8, seed: int = 0
) -> dict[str, Course]:
    """The courses of a work-precision set, in units of the data's standard deviation.

    ``"Gaussian"`` is :func:`spectra`, ``"two modes"`` is :func:`two_modes`, and ``"digits"`` ten normal laws fitted to
    the handwritten digits that ship with scikit-learn, in 64 dimensions.

    Args:
        start, stop: levels of one process, noisy first.
        exponents, widths: of the first and of the second law.
        points, seed: of the last two, see :meth:`Course.of`; the seed is that of the fit too.
    """
    images = load("digits").data
    laws = {
        "Gaussian": (spectra(exponents), 0.5),
        "two modes": (two_modes(widths), 0.5),
        "digits": (Mixture.fit(images, 10, seed=seed), float(np.sqrt(images.var(axis=0).mean()))),
    }
    return {name: Course.of(law, start, stop, points, seed, unit) for name, (law, unit) in laws.items()}


def sweep(samplers: Iterable[Solver], grid: MakeGrid, budgets: Sequence[int], courses: Mapping[str, Course]) -> Sweep:
    """Every deterministic sampler at every budget on every course.

    Each plan has the most steps that ``plan.nfe <= budget`` allows, and runs on all courses, which share the
    grid's ends. Samplers that draw noise have no path, and are left out.

    Args:
        samplers: such as ``dn.solvers.ALL.values()``.
        grid: from a number of steps to a grid.
        budgets: numbers of evaluations, increasing.
        courses: by name, from the grid's first to its last level.

    Raises:
        ValueError: budgets that do not increase from one or more; no sampler with a plan.
    """
    budgets = tuple(budgets)
    if not budgets or budgets[0] < 1 or any(a >= b for a, b in pairwise(budgets)):
        raise ValueError(f"budgets = {list(budgets)} do not increase: give whole numbers >= 1 in rising order")
    kept, nfe, found = [], [], {name: [] for name in courses}
    for solver in (one for one in samplers if not one.stochastic):
        plans = longest(solver, grid, budgets)
        if any(plans):
            kept.append(solver)
            nfe.append([plan.nfe if plan else np.nan for plan in plans])
            for name, course in courses.items():
                blank = np.full(course.end.shape[1], np.inf)
                found[name].append([course.error(plan) if plan else blank for plan in plans])
    if not kept:
        raise ValueError(f"no sampler has a plan of {budgets[-1]} evaluations or fewer: raise the budgets")
    return Sweep(tuple(kept), budgets, np.array(nfe), {name: np.array(rows) for name, rows in found.items()})


def longest(solver: Solver, grid: MakeGrid, budgets: Sequence[int]) -> list[Plan | None]:
    """For each budget the plan of :func:`diffnum.within`; None where the sampler has none."""
    return [_within(solver, grid, budget) for budget in budgets]


def _within(solver: Solver, grid: MakeGrid, budget: int) -> Plan | None:
    try:
        return within(solver, None, budget, lambda process, n, end: grid(n))
    except ValueError:
        return None


def spectra(exponents: Sequence[float], dim: int = 64) -> Gaussian:
    """Gaussians of power-law spectra side by side, ``dim`` modes each: one run serves them all, since modes do not
    meet. See :meth:`diffnum.Gaussian.power_law`."""
    variances = np.concatenate([Gaussian.power_law(dim, exponent).variances for exponent in exponents])
    return Gaussian(np.zeros(len(variances)), variances)


def two_modes(widths: Sequence[float], share: float = 0.4, std: float = 0.5) -> Product1D:
    """One coordinate per width: two normal modes at a distance of two, of weights ``share`` and ``1 - share``, whose
    standard deviation is ``width``; scaled so that every coordinate has standard deviation ``std``.

    Raises:
        ValueError: as :class:`~diffnum.targets.mixture1d.Mixture1D`.
    """
    weights = np.array([share, 1 - share])
    means = np.array([-1.0, 1.0]) - (1 - 2 * share)
    laws = []
    for width in widths:
        scale = std / np.sqrt(4 * share * (1 - share) + width**2)
        laws.append(Mixture1D(weights, scale * means, np.full(2, scale * width)))
    return Product1D(laws)
