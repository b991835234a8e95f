"""Certificates: what a sampler claims, what algebra proves, what runs measure. The only place where a line is fitted.

Tolerances, intervals and step counts are set here and in :mod:`diffnum.witness`, once for all samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np

from .mutants import exact_survivors, measured_mutants, same_order, same_weak_order, start_up_mutants
from .order import Proof, prove
from .plan import PREDICTIONS, Plan
from .process import EDM, VP, Flow
from .read.tableau import distance
from .slopes import FLOOR, TOLERANCE, Cold, Slope, fit, measured, settled
from .trace import Solver, compile
from .weak import prove_weak
from .witness import (
    COUNTS,
    END_RATIOS,
    GRIDS,
    LOW,
    STEP_SIZES,
    Run,
    alternating,
    gaussian,
    law_errors,
    nonlinear,
    norm,
    one_step,
    path_errors,
    to_clean,
    uniform,
)

__all__ = ["Certificate", "Slope", "certify", "certify_all"]

FLOAT32_CONSTANT = 16.0
FLOAT32_COUNTS = (16, 64, 256, 1024)
# where the last doublings do not agree yet
MORE_COUNTS = (1024, 2048, 4096)
MUTANT_COUNTS = (32, 64, 128)


@dataclass(frozen=True)
class Certificate:
    """Everything known of one sampler.

    Attributes:
        name, family, cite, note: from the sampler.
        claimed, claimed_cold, claimed_smooth: the claim on its decorator.
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

    @property
    def proved(self) -> int:
        """Proved order, with exact starting values."""
        return self.proof.order

    @property
    def measured(self) -> float:
        """The two-sided slope on the non-linear witness (the variance's on a Gaussian for weak order); for a method
        of order zero that of one step, which does not become consistent."""
        order = "alternating" if self.claimed_smooth is not None else "uniform"
        shown = [s for s in self.slopes if s.must != "equal" or s.grid == order]
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
        if not self.proof.stable and self.claimed > 0:
            found.append("the root condition fails")
        if self.cold is not None and not self.cold.holds:
            found.append(f"cold errors are not C h^{self.cold.q} + C' h^{self.cold.p} (misfit {self.cold.misfit:.1e})")
        if not self.float32 <= FLOAT32_CONSTANT:
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


def _pathwise(solver: Solver, process: Any) -> tuple[list[Slope], Cold | None]:
    runs = {"Gaussian": Run.of(gaussian(), process.at(LOW)), "non-linear": Run.of(nonlinear(), process.at(LOW))}
    slopes: list[Slope] = []
    cold = None
    for witness, run in runs.items():
        must = "equal" if witness == "non-linear" else "reach"
        for name, grid in GRIDS.items():
            plans = [compile(solver, grid(process, n)) for n in COUNTS]
            warm = [norm(path_errors(p, run, True)) for p in plans]
            for n in MORE_COUNTS:
                if settled(warm):
                    break
                warm.append(norm(path_errors(compile(solver, grid(process, n)), run, True)))
            counts = (*COUNTS, *MORE_COUNTS)[: len(warm)]
            slopes.append(measured(warm, counts, witness, name, process.name, "warm", must))
            if plans[0].depth == 0:
                continue
            errors = [path_errors(p, run, False) for p in plans]
            slopes.append(measured([norm(e) for e in errors], COUNTS, witness, name, process.name, "cold", "print"))
            if witness == "non-linear" and name == "uniform":
                cold = _cold(solver, errors)
    return slopes, cold


def _cold(solver: Solver, errors: list[np.ndarray]) -> Cold:
    q, p = solver.cold, max(solver.smooth or solver.order, solver.cold + 1)
    # coarse grids are not asymptotic; a third exponent absorbs what the next term still shows
    kept = [(n, e) for n, e in zip(COUNTS, errors, strict=True) if n >= 32 and norm(e) > 100 * FLOOR]
    h = np.array([1 / n for n, _ in kept])
    columns = np.stack([h**q, h**p, h ** (p + 1)], axis=1)
    data = np.stack([e.ravel() for _, e in kept])
    weight = 1 / np.abs(data).max(axis=1, keepdims=True)
    solution = np.linalg.lstsq(columns * weight, data * weight, rcond=None)[0]
    misfit = np.abs(columns @ solution - data).max(axis=1) * weight[:, 0]
    share = np.abs(columns[-1, 0] * solution[0]).max() * weight[-1, 0]
    return Cold(q, p, float(share), float(misfit.max()))


def _lawwise(solver: Solver, process: Any) -> list[Slope]:
    slopes: list[Slope] = []
    for name, grid in GRIDS.items():
        errors = [law_errors(compile(solver, grid(process, n)), gaussian()) for n in COUNTS]
        for i, what in enumerate(("mean", "variance")):
            sizes = [norm(e[i]) for e in errors]
            # the mean may be exact, and a method of order zero is judged by its bias
            must = "print" if not solver.order else "equal" if what == "variance" else "reach"
            slopes.append(measured(sizes, COUNTS, f"Gaussian {what}", name, process.name, "cold", must))
    sizes = [norm(law_errors(compile(solver, one_step(process, n)), gaussian())[1]) for n in STEP_SIZES]
    slopes.append(measured(sizes, STEP_SIZES, "Gaussian variance", "one step", process.name, "warm", "local"))
    return sorted(slopes, key=lambda s: s.witness == "Gaussian mean")


def _clean_end(solver: Solver, process: Any) -> list[Slope]:
    # proofs see no clean level: a builder's branch on it is run here only
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


def _float32(solver: Solver, process: Any) -> float:
    from .noise import Counter

    if solver.stochastic:
        return _float32_stochastic(solver, process, Counter(0))
    run = Run.of(nonlinear(), process.at(LOW))
    worst = 0.0
    for n in FLOAT32_COUNTS:
        plan = compile(solver, uniform(process, n))
        fine, coarse = norm(path_errors(plan, run, False)), norm(path_errors(plan, run, False, np.float32))
        worst = max(worst, (coarse - fine) / (2.0**-24 * np.sqrt(n) * np.abs(run.x).max()))
    return float(worst)


def _float32_stochastic(solver: Solver, process: Any, noise: Any) -> float:
    from .read.sample import sample

    run = Run.of(nonlinear(), process.at(LOW))
    worst = 0.0
    for n in FLOAT32_COUNTS[:-1]:
        plan = compile(solver, uniform(process, n))
        fine = sample(plan, run.target, run.x, noise=noise)
        coarse = sample(plan, run.target, run.x.astype(np.float32), noise=noise)
        worst = max(worst, norm(coarse - fine) / (2.0**-24 * np.sqrt(n) * np.abs(run.x).max()))
    return float(worst)


def _invariance(solver: Solver, process: Any) -> tuple[float, bool]:
    levels = uniform(process, 6)
    base = compile(solver, levels)
    predictions = max(distance(base, compile(solver, levels, kind)) for kind in PREDICTIONS)
    try:
        other = distance(base, compile(solver, uniform(EDM(), 6)))
    except ValueError:
        other = float("inf")
    return predictions, other < 1e-10


def _mutants(solver: Solver, process: Any) -> tuple[int, list[str], tuple[str, ...]]:
    @cache
    def build(n: int) -> Plan:
        return compile(solver, alternating(process, n))

    if not solver.order:
        return 0, [], ()
    run = Run.of(nonlinear(), process.at(LOW))
    survivors: list[str] = []
    free: list[str] = []
    tried = 0
    for index, (name, broken) in enumerate(measured_mutants(build, MUTANT_COUNTS[0])):
        tried += 1
        with np.errstate(all="ignore"):
            plans = [broken(n) for n in MUTANT_COUNTS]
            if solver.stochastic:
                errors = [norm(np.concatenate(law_errors(p, gaussian()))) for p in plans]
            else:
                errors = [norm(path_errors(p, run, True)) for p in plans]
        used, value = fit(errors, MUTANT_COUNTS)
        if used == 3 and abs(value - solver.order) <= TOLERANCE:
            same = same_weak_order if solver.stochastic else same_order
            (free if same(solver, index, solver.order) else survivors).append(name)
    base = build(MUTANT_COUNTS[0])
    for mutant in start_up_mutants(base):
        tried += 1
        if distance(base, mutant.plan) < 1e-12:
            survivors.append(mutant.name)
    if solver.stochastic:
        return tried, survivors, tuple(free)
    exact, unpinned = exact_survivors(solver, solver.order)
    return tried + exact, survivors, (*free, *unpinned)


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
    process = VP()
    proof = prove_weak(solver) if solver.stochastic else prove(solver, highest=max(4, solver.order + 1))
    slopes, cold = (_lawwise(solver, process), None) if solver.stochastic else _pathwise(solver, process)
    slopes += _clean_end(solver, process)
    invariance, process_invariant = _invariance(solver, process)
    if not process_invariant and not solver.stochastic:
        slopes.append(_on_flow(solver))
    tried, survivors, free = _mutants(solver, process)
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
        cold=cold,
        float32=_float32(solver, process),
        invariance=invariance,
        process_invariant=process_invariant,
        mutants=tried,
        killed=tried - len(survivors) - len(free),
        survivors=tuple(survivors),
        free=free,
    )


def _on_flow(solver: Solver) -> Slope:
    process = Flow()
    run = Run.of(nonlinear(), process.at(LOW))
    errors = [norm(path_errors(compile(solver, uniform(process, n)), run, True)) for n in COUNTS]
    return measured(errors, COUNTS, "non-linear", "uniform", process.name, "warm", "equal")


def certify_all(
    solvers: Iterable[Solver], on_done: Callable[[Certificate], None] | None = None, jobs: int = 1
) -> list[Certificate]:
    """Certificates of many samplers, ``jobs`` at a time; ``on_done`` sees each as it is made, in order."""
    from joblib import Parallel, delayed

    out: list[Certificate] = []
    for made in Parallel(n_jobs=jobs, return_as="generator")(delayed(certify)(solver) for solver in solvers):
        assert isinstance(made, Certificate)
        out.append(made)
        if on_done:
            on_done(made)
    return out
