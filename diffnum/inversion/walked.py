"""Inversion by running a sampler from data to noise: what DDIM inversion, RF-Solver and their relatives do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..gradients.adjoint import backwards as reversed_grid
from ..grid import Grid
from ..plan import Plan
from ..read.sample import sample
from ..slopes import TOLERANCE, Cold, Slope, measured, start_up
from ..trace import Solver, compile
from ..witness import COUNTS, GRIDS, LOW, NEAR, NEAR_COUNTS, Run, gaussian, near, nonlinear, norm, uniform

__all__ = ["RoundTrip", "backwards", "round_trip", "round_trip_error"]


def backwards(sampler: Solver, grid: Grid, prediction: str = "data", **options: Any) -> Plan:
    """``sampler`` on the levels of ``grid`` from the last to the first: an approximate inverse of its own plan there.

    The probability flow runs both ways, so a plan from data to noise solves it as well as one from noise to data. It is
    an ordinary plan, whose ``start`` is the data's level. DDIM backwards is DDIM inversion (Song, Meng & Ermon 2021,
    section 4.3), which asks the model at the level that it leaves; the explicit midpoint rule on a rectified flow is
    RF-Solver's inversion (Wang et al. 2025). Draws of noise are none of the flow's: see :mod:`.maps`.

    Args:
        sampler: deterministic.
        grid: from noise to data, as for sampling.
        prediction: what the model returns.
        options: of the sampler.

    Raises:
        ValueError: a sampler that draws noise; an end at which its coefficients are not finite: most cannot leave
            ``sigma = 0``, where the direction of the noise is unknown.
    """
    if sampler.stochastic:
        raise ValueError(f"{sampler.name} draws noise, which running it backwards does not undo: use noise maps")
    turned = reversed_grid(grid)
    try:
        plan = compile(sampler, turned, prediction, **options)
    except ValueError as error:
        first = turned.levels[0]
        if not first.clean and not turned.levels[-1].pure_noise:
            raise
        where = "leave sigma = 0: stop the grid" if first.clean else "arrive at alpha = 0: start the grid"
        raise ValueError(
            f"{sampler.name} with {prediction} prediction cannot {where} where both alpha and sigma are positive"
        ) from error
    return replace(plan, solver=f"{plan.solver}, backwards")


def round_trip_error(there: Plan, back: Plan, model: Any, x: Any) -> Any:
    """``back(there(x)) - x`` for plans that meet: sampling and inversion, or the other way round."""
    if there.stop != back.start:
        raise ValueError(f"{there.solver} ends where {back.solver} does not start: compile both on one grid")
    return sample(back, model, sample(there, model, x)) - x


@dataclass(frozen=True)
class RoundTrip:
    """How a round trip closes as steps shrink.

    A one-step method of order ``p`` misses by ``h^{p+1} e + O(h^{p+2})``, and run backwards by ``(-h)^{p+1} e``: where
    ``p`` is odd the two add up, and the round trip is of order ``p``; where it is even they cancel, and it is of order
    ``p + 1``, on any grid, since a step and its own step back have the same length. The start-up of a multistep method
    misses on both ways and nothing cancels: the trip is at most of its cold order ``q``. Its slopes come down to that
    late and are not judged; the share of ``h^q`` in the errors is, where steps are short from the first.

    Attributes:
        name: of the sampler; ``back`` of what inverts it.
        predicted: the order that follows from the sampler's own, for methods that are inverted by themselves; for
            another ``back`` None.
        slopes: from noise and back, and from data and back, on a Gaussian and on a non-linear law; for a one-step
            method also from noise and back where steps alternate.
        cold: for a multistep method that is inverted by itself, its start-up's power in the signed errors of both laws.
    """

    name: str
    back: str
    predicted: int | None
    slopes: tuple[Slope, ...]
    cold: tuple[Cold, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every slope on the non-linear law is the predicted one, and none on the Gaussian is below it; for a
        multistep method, whether the start-up explains the errors of both laws."""
        if self.predicted is None:
            return False
        if self.cold:
            return all(found.holds for found in self.cold)
        low, high = self.predicted - TOLERANCE, self.predicted + TOLERANCE
        return all(low <= s.value and (s.witness == "Gaussian" or s.value <= high) for s in self.slopes)

    @property
    def order(self) -> float:
        """The smallest slope on the non-linear law; the start-up's power where that is judged."""
        if self.cold:
            return float(self.cold[0].q)
        return min(slope.value for slope in self.slopes if slope.witness == "non-linear")

    def __str__(self) -> str:
        rows = [f"{self.name}, inverted by {self.back}: round trip of order {self.order:.2f}"]
        for s in self.slopes:
            where = f"{s.witness:10s} {s.grid:11s} {s.start:20s}"
            rows.append(f"  {where} {s.value:5.2f}  error {s.errors[-1]:.1e} at n = {s.counts[-1]}")
        rows += [f"  start-up   h^{c.q} is {c.share:.0%} of the error, misfit {c.misfit:.1%}" for c in self.cold]
        return "\n".join(rows)


def round_trip(sampler: Solver, process: Any, back: Solver | None = None, counts: Sequence[int] = COUNTS) -> RoundTrip:
    """The order of there-and-back, measured where all orders are: log-SNR in [-3, 3] on both witnesses, uniform steps
    and, for one-step methods, alternating ones; the start-up of multistep methods in the middle of the interval.

    Args:
        sampler: deterministic.
        process: on whose flow.
        back: inverts it; itself if None.
        counts: numbers of steps.
    """
    own = back is None or back is sampler
    back = back or sampler
    depth = compile(sampler, uniform(process, 8)).depth
    slopes, cold, order = [], [], sampler.smooth or sampler.order
    predicted = order + (order % 2 == 0)
    if depth:
        predicted = min(predicted, sampler.cold)
    for witness, target in (("Gaussian", gaussian()), ("non-linear", nonlinear())):
        run = Run.of(target, process.at(LOW))
        for name in ("uniform",) if depth or not own else ("uniform", "alternating"):
            there: list[float] = []
            again: list[float] = []
            # slopes on alternating steps are the same, and settle as early
            ns = counts if name == "uniform" else counts[: max(3, len(counts) - 2)]
            for n in ns:
                grid = GRIDS[name](process, n)
                down, up = compile(sampler, grid), backwards(back, grid)
                there.append(norm(round_trip_error(down, up, target, run.x)))
                if name == "uniform":
                    again.append(norm(round_trip_error(up, down, target, run.exact(grid.levels[-1]))))
            for errors, way in ((there, "from noise and back"), (again, "from data and back")):
                if errors:
                    slopes.append(measured(errors, ns, witness, name, process.name, way, "print"))
        if depth and own:
            cold.append(_start_up(sampler, process, target, predicted))
    return RoundTrip(sampler.name, back.name, predicted if own else None, tuple(slopes), tuple(cold))


def _start_up(sampler: Solver, process: Any, target: Any, q: int) -> Cold:
    """The power ``h^q`` in the signed errors from noise and back, in the middle of the interval."""
    run, errors = Run.of(target, process.at(-NEAR)), []
    for n in NEAR_COUNTS:
        grid = near(process, n)
        errors.append(round_trip_error(compile(sampler, grid), backwards(sampler, grid), target, run.x))
    return start_up(errors, NEAR_COUNTS, q, q + 1)
