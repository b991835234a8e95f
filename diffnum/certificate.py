"""Certificates: what a sampler claims, what algebra proves, what runs measure. The only place where a line is fitted.

Tolerances, intervals and step counts are set here and in :mod:`diffnum.witness`, once for all samplers.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from .measure import Plans, clean_end, float32_constant, invariance, lawwise, on_flow, pathwise, started, together
from .mutants import (
    Mutation,
    applied,
    bundle,
    exact_survivors,
    hidden_weak_order,
    mutations,
    same_order,
    same_weak_order,
    start_up_mutants,
)
from .order import Proof, prove
from .plan import Plan
from .precise import FLOOR, precise_errors
from .process import VP
from .read.tableau import canonical, distance
from .slopes import TOLERANCE, Cold, Slope, fit, rounding
from .targets.gaussian import Gaussian
from .trace import Solver, compile
from .weak_order import prove_weak
from .witness import Run, gaussian, law_errors, near_alternating, near_smooth, nonlinear, path_errors

__all__ = ["Certificate", "Slope", "certify", "certify_all"]

FLOAT32_CONSTANT = 16.0
MUTANT_COUNTS = (16, 32, 64)
# a proof makes millions of numbers and hardly a cycle: Python would look for cycles a fifth of the time
ALLOCATIONS = 200_000
# mutants whose laws are measured together: moments take no more directions in one piece
AT_ONCE = 256


@dataclass(frozen=True)
class Certificate:
    """Everything known of one sampler.

    Attributes:
        name, family, cite, note: from the sampler.
        claimed, claimed_cold, claimed_smooth, smooth_only: the claim on its decorator.
        proof: the proved pair, with the conditions that fail one order up.
        slopes, cold: what was measured.
        float32: smallest ``K`` with ``err32(n) <= err64(n) + K 2^-24 sqrt(n) max|x|`` over all ``n`` tried.
        invariance: largest tableau distance over prediction types; ``process_invariant``: one method on every process.
        mutants: tried; ``killed`` of them noticed; ``survivors`` by name.
        free: coefficients that no condition pins, with the exact perturbation.
    """

    name: str
    family: str
    cite: str
    note: str
    claimed: int
    claimed_cold: int
    claimed_smooth: int | None
    proof: Proof
    slopes: tuple[Slope, ...]
    cold: Cold | None
    float32: float
    invariance: float
    process_invariant: bool
    mutants: int
    killed: int
    survivors: tuple[str, ...]
    free: tuple[str, ...]
    smooth_only: bool = False

    @property
    def proved(self) -> int:
        """Proved order, with exact starting values."""
        return self.proof.order

    @property
    def measured(self) -> float:
        """The two-sided slope on the non-linear witness; the variance's on a Gaussian for a stochastic method that
        remembers more than its state; that of one step for a method of order zero, which does not become consistent."""
        order = "alternating" if self.claimed_smooth is not None else "uniform"
        shown = [s for s in self.slopes if s.must != "equal" or s.grid.startswith(order)]
        first = {s.must: s.value for s in reversed(shown or self.slopes)}
        return first.get("equal", first.get("local", float("nan")))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the claim does not hold; empty when it does."""
        found: list[str] = []
        proof, claimed = self.proof, (self.claimed, self.claimed_cold, self.claimed_smooth)
        if (proof.order, proof.cold, proof.smooth) != claimed:
            found.append(
                f"claims {_orders(*claimed)}, proved {_orders(proof.order, proof.cold, proof.smooth)}: "
                f"{'; '.join(proof.violated[:1])}"
            )
        found += [
            f"slope {s.value:.2f} on {s.witness}, {s.grid} grid, {s.process}, {s.start}"
            for s in self.slopes
            if not s.holds(self.claimed, self.claimed_smooth)
        ]
        if not (self.proof.on_equal if self.smooth_only else self.proof.stable) and self.claimed > 0:
            found.append("the root condition fails")
        if self.smooth_only and self.proof.stable:
            found.append("claims zero-stability on equal steps alone, and has it on alternating ones")
        if self.cold is not None and not self.cold.holds:
            found.append(
                f"cold errors are not a series from h^{self.cold.q} on (share {self.cold.share:.2f}, misfit "
                f"{self.cold.misfit:.1e})"
            )
        # a method of order zero may diverge, and its rounding with it
        if self.claimed > 0 and not self.float32 <= FLOAT32_CONSTANT:
            found.append(f"float32 constant {self.float32:.1f} exceeds {FLOAT32_CONSTANT:g}")
        if self.invariance > 1e-10:
            found.append(f"prediction types differ by {self.invariance:.1e} in the tableau")
        found += [f"mutant survives: {name}" for name in self.survivors]
        return tuple(found)

    def __str__(self) -> str:
        kind = "weak order" if self.proof.kind == "weak order" else "order"
        lines = [
            f"{self.name}: claims {kind[:-5]}{_orders(self.claimed, self.claimed_cold, self.claimed_smooth)}, proved "
            f"{_orders(self.proof.order, self.proof.cold, self.proof.smooth)}, measured {self.measured:.2f}; "
            f"the claim {self.verdict}",
            *(f"  {reason}" for reason in self.reasons),
            *(f"  one order up: {condition}" for condition in self.proof.violated[:1]),
            f"  {self.killed} of {self.mutants} mutants noticed, {len(self.free)} free",
            f"  float32 constant {self.float32:.1f}",
            *([f"  {self.note}"] if self.note else []),
        ]
        return "\n".join(lines)

    @property
    def verdict(self) -> str:
        """ "holds" or "fails"."""
        return "fails" if self.reasons else "holds"

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, verdict and reasons included."""
        return {**asdict(self), "measured": self.measured, "verdict": self.verdict, "reasons": list(self.reasons)}


def _orders(order: int, cold: int, smooth: int | None) -> str:
    return f"order {order} (cold {cold}{'' if smooth is None else f', smooth grids {smooth}'})"


def _mutants(solver: Solver, plans: Plans, process: Any) -> tuple[int, list[str], tuple[str, ...]]:
    # what is not consistent on any grid can lose an order on smooth ones only
    order, fine = solver.order or solver.smooth or 0, not solver.order
    if not order:
        return 0, [], ()
    pattern, grid = ("smooth", near_smooth) if fine else ("alternating", near_alternating)
    base = plans(process, grid, MUTANT_COUNTS[0])
    slips = mutations(base)
    errors = np.stack([_mutant_errors(solver, plans(process, grid, n), slips) for n in MUTANT_COUNTS])
    survivors: list[str] = []
    free: list[str] = []
    same = same_weak_order if solver.stochastic else partial(same_order, smooth=fine)
    for slip, row in zip(slips, errors.T, strict=True):
        if _noticed(row, order, rounding):
            continue
        if same(solver, slip, order):
            free.append(slip.name)
        elif solver.stochastic and hidden_weak_order(solver, slip, order):
            continue
        elif solver.stochastic or not _noticed_at_last(solver, process, pattern, order, slip):
            survivors.append(slip.name)
    tried = len(slips)
    right = canonical(base)
    for mutant in start_up_mutants(base):
        tried += 1
        if distance(right, mutant.plan) < 1e-12:
            survivors.append(mutant.name)
    if solver.stochastic:
        return tried, survivors, tuple(free)
    exact, unpinned = exact_survivors(solver, order, smooth=fine)
    return tried + exact, survivors, (*free, *unpinned)


def _mutant_errors(solver: Solver, plan: Plan, slips: list[Mutation]) -> np.ndarray:
    with np.errstate(all="ignore"):
        if solver.stochastic:
            parts = [slips[i : i + AT_ONCE] for i in range(0, len(slips), AT_ONCE)]
            return np.concatenate([_law_mutant_errors(plan, part) for part in parts] or [np.empty(0)])
        run = Run.of(nonlinear(), plan.start).batched()
        errors = path_errors(bundle(plan, slips), run, True)
        return np.broadcast_to(np.abs(errors), (*errors.shape[:-1], len(slips))).max(axis=(0, 1))


def _law_mutant_errors(plan: Plan, slips: list[Mutation]) -> np.ndarray:
    # a direction of a Gaussian knows nothing of the others: those of all mutants lie beside each other
    law, count = gaussian(), len(slips)
    wide = Gaussian(np.tile(law.mean, count), np.tile(law.variances, count))
    errors = law_errors(bundle(plan, slips, law.dim), wide)
    return np.abs(errors.reshape(2, count, law.dim)).max(axis=(0, 2))


def _noticed_at_last(solver: Solver, process: Any, pattern: str, order: int, slip: Mutation) -> bool:
    # float64 had no digits for it
    errors = precise_errors(solver, process, pattern, MUTANT_COUNTS, partial(applied, slip))
    return _noticed(np.array(errors), order, lambda n: FLOOR)


def _noticed(errors: np.ndarray, order: int, floor: Callable[[int], float]) -> bool:
    """Whether a slope, above rounding, shows another order."""
    if not np.all(np.isfinite(errors)):
        return True
    used, value = fit(errors.tolist(), MUTANT_COUNTS, floor)
    return used == 3 and errors[-1] > floor(MUTANT_COUNTS[-1]) and abs(value - order) > TOLERANCE


@contextmanager
def _cycles_sought_rarely() -> Iterator[None]:
    known = gc.get_threshold()
    # nothing at all where the caller switched it off
    gc.set_threshold(max(ALLOCATIONS, known[0]) if known[0] else 0, *known[1:])
    try:
        yield
    finally:
        gc.set_threshold(*known)


@_cycles_sought_rarely()
def certify(solver: Solver | Callable[..., None]) -> Certificate:
    """Prove and measure one sampler.

    Args:
        solver: a :class:`diffnum.trace.Solver`, such as any function under ``@solver(...)``.

    Raises:
        ValueError: a plain function without a claim.
    """
    if not isinstance(solver, Solver):
        name = getattr(solver, "__name__", solver)
        raise ValueError(f"{name!r} makes no claim: put @dn.solver(order=, cold=, cite=) above it")

    @cache
    def plans(process: Any, grid: Callable[[Any, int], Any], n: int) -> Plan:
        return compile(solver, grid(process, n))

    process = VP()
    # one power above the claim is settled on the Gaussian
    proof = (
        prove_weak(solver, max(solver.order, 1))
        if solver.stochastic
        else prove(solver, highest=max(4, solver.order + 1))
    )
    types, process_invariant = invariance(solver, process)
    paths = together(solver, plans, process, flow=not process_invariant)
    slopes = lawwise(solver, plans, process) if solver.stochastic else pathwise(solver, plans, process, paths)
    slopes += clean_end(solver, process)
    if not process_invariant and not solver.stochastic:
        slopes.append(on_flow(solver, plans, paths))
    tried, survivors, free = _mutants(solver, plans, process)
    return Certificate(
        name=solver.name,
        family=solver.family,
        cite=solver.cite,
        note=solver.note,
        claimed=solver.order,
        claimed_cold=solver.cold,
        claimed_smooth=solver.smooth,
        proof=proof,
        slopes=tuple(slopes),
        cold=None if solver.stochastic else started(solver, plans, process, paths),
        float32=float32_constant(solver, plans, process, paths=paths),
        invariance=types,
        process_invariant=process_invariant,
        mutants=tried,
        killed=tried - len(survivors) - len(free),
        survivors=tuple(survivors),
        free=free,
        smooth_only=solver.smooth_only,
    )


# what one certificate leaves in caches is looked through once, and not at the end of each
@_cycles_sought_rarely()
def certify_all(
    solvers: Iterable[Solver], on_done: Callable[[Certificate], None] | None = None, jobs: int = 1
) -> list[Certificate]:
    """Certificates of many samplers, ``jobs`` at a time; ``on_done`` sees each as it is made, high orders first."""
    from joblib import Parallel, delayed

    every = list(solvers)
    # they take longest, and samplers of one order share grids
    places = sorted(range(len(every)), key=lambda i: -every[i].order)
    out: dict[int, Certificate] = {}
    found = Parallel(n_jobs=jobs, return_as="generator")(delayed(certify)(every[i]) for i in places)
    for i, made in zip(places, found, strict=True):
        assert isinstance(made, Certificate)
        out[i] = made
        if on_done:
            on_done(made)
    return [out[i] for i in range(len(every))]
