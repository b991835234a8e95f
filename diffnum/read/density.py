"""The law of a stochastic sampler on a non-linear one-dimensional target, with no sampling noise.

A step of a one-step method maps the state and the draws that its evaluations see by ``F``, and adds a normal that they
do not see, of variance ``v``. So the density moves by the transition kernel

    p_t(y) = int int p_s(x) N(y; F(x, z), v) N(z; 0, 1) dz dx,

whose integrals are a trapezoidal rule on equally spaced points, exponentially accurate for what is analytic and
vanishes at both ends, and Gauss-Hermite quadrature in ``z`` (Trefethen & Weideman 2014). A last step that adds nothing
needs no density: expectations go through it as ``E f(F(x, z))``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..plan import Eval, Level, Lin, Noise, Plan, sources

__all__ = ["Density", "densities", "expectation", "marginal"]

# points per standard deviation of the narrowest normal, standard deviations on each side, Hermite points
FINE, FAR = 3, 8.5
# Hermite points by the number of draws that evaluations see; the rule of more would cost too much
HERMITE = {0: 1, 1: 24}
MOST, AT_ONCE, IN_ALL = 1 << 18, 1 << 19, 1 << 22


@dataclass(frozen=True, eq=False)
class Density:
    """A density on the line.

    Attributes:
        level: where on the process it belongs.
        x: ``(m,)`` equally spaced points; the density is below rounding outside them.
        p: ``(m,)`` its values.
    """

    level: Level
    x: np.ndarray
    p: np.ndarray

    @property
    def spacing(self) -> float:
        """Distance of neighbouring points, the weight of each in a sum."""
        return float(self.x[1] - self.x[0])

    def expect(self, f: Callable[[np.ndarray], np.ndarray]) -> Any:
        """``E f`` for ``f`` of points to values, ``(m,) -> (..., m)``."""
        return (f(self.x) * self.p).sum(-1) * self.spacing

    @property
    def mean(self) -> float:
        """``E x``."""
        return float(self.expect(lambda x: x))

    @property
    def variance(self) -> float:
        """``E (x - E x)^2``."""
        m = self.mean
        return float(self.expect(lambda x: (x - m) ** 2))


@dataclass(frozen=True)
class _Step:
    """Lines of one step, which reads its state and nothing older.

    Attributes:
        first, last: registers of the state before and after.
        inner: draws that an evaluation sees, with their place.
        variance: of the normal that none sees.
    """

    plan: Plan
    first: int
    last: int
    inner: dict[int, int]
    variance: float

    def map(self, target: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``F`` at points ``(m,)`` and Hermite points, ``(m, g)``, and the weights ``(g,)`` of the latter.

        Raises:
            ValueError: so many points that a step would take minutes.
        """
        if len(x) * HERMITE[len(self.inner)] > IN_ALL:
            raise ValueError(
                f"a step of {self.plan.solver} needs {len(x)} points for each value of the draws that its evaluations "
                "see: its own noise is too small beside them; use dn.moments on a Gaussian"
            )
        z, w = np.polynomial.hermite_e.hermegauss(HERMITE[len(self.inner)])
        grid = np.meshgrid(*[z] * len(self.inner), indexing="ij")
        weights = np.ones(1)
        for _ in self.inner:
            weights = np.multiply.outer(weights, w / w.sum()).ravel()
        known = {self.first: np.repeat(x[:, None], len(weights), axis=1)}
        for r in range(self.first + 1, self.last + 1):
            line = self.plan.lines[r - 1]
            if isinstance(line, Noise):
                known[r] = grid[self.inner[r]].ravel()[None] if r in self.inner else np.zeros((1, 1))
            elif isinstance(line, Lin):
                known[r] = sum(c * known[q] for q, c in line.terms)  # type: ignore[assignment]
            else:
                known[r] = _predicted(target, known[line.x], line)
        return np.broadcast_to(known[self.last], (len(x), len(weights))), weights


def _predicted(target: Any, x: np.ndarray, line: Eval) -> np.ndarray:
    return target.predict(x.reshape(-1, 1), line.level, line.quantity).reshape(x.shape)


def _steps(plan: Plan) -> list[_Step]:
    """Every step, and as a last one what an end policy does.

    Raises:
        ValueError: a step that reads more than its own state.
    """
    ends = [*plan.states, plan.outputs[0][1]]
    found = []
    for first, last in pairwise(ends):
        if last == first:
            continue
        reads = {q for r in range(first + 1, last + 1) for q in sources(plan.lines[r - 1])}
        if min(reads, default=first) < first:
            raise ValueError(
                f"{plan.solver} remembers more than its state from step to step, so its law is no chain of "
                "transition kernels: use a one-step sampler, or dn.moments on a Gaussian"
            )
        found.append(_step(plan, first, last))
    return found


def _step(plan: Plan, first: int, last: int) -> _Step:
    sees: dict[int, dict[int, float]] = {first: {}}
    seen: set[int] = set()
    for r in range(first + 1, last + 1):
        line = plan.lines[r - 1]
        if isinstance(line, Noise):
            sees[r] = {r: 1.0}
        elif isinstance(line, Lin):
            sees[r] = {}
            for q, c in line.terms:
                for draw, a in sees[q].items():
                    sees[r][draw] = sees[r].get(draw, 0.0) + c * a
        else:
            seen |= set(sees[line.x])
            sees[r] = {}
    if len(seen) not in HERMITE:
        raise ValueError(
            f"the evaluations of a step of {plan.solver} see {len(seen)} draws, too many for a product rule: use "
            "dn.moments on a Gaussian"
        )
    outer = sum(c * c for draw, c in sees[last].items() if draw not in seen)
    return _Step(plan, first, last, {draw: i for i, draw in enumerate(sorted(seen))}, float(outer))


def marginal(target: Any, level: Level, step: float | None = None) -> Density:
    """The exact density of a one-dimensional target at a level with ``sigma > 0``."""
    _check_target(target)
    if level.clean:
        raise ValueError("the clean level may have no density: use one with sigma > 0")
    # the law is the data's, scaled and widened: its tails are those of the widest normal in it
    reach = FAR * 1.5 * np.sqrt(_widest(target, level))
    centre = float(level.alpha) * _mean(target)
    x = _line(centre - reach, centre + reach, step or _resolution(level, 0.0))
    return Density(level, x, np.exp(target.log_prob(x[:, None], level)))


def densities(plan: Plan, target: Any, init: str = "marginal") -> Iterator[Density]:
    """The law at every level of a one-step plan, as far as steps add noise.

    Args:
        plan: a plan whose steps read their own state only.
        target: one-dimensional, such as ``Product1D`` of one law.
        init: ``"marginal"``, or ``"prior"`` for ``N(0, plan.prior^2)``.

    Raises:
        ValueError: a target of more dimensions; a plan that looks back; a step that adds no noise before the last.
    """
    steps = _steps(plan)
    levels = [*plan.levels, plan.stop]
    now = _first(plan, target, init, _resolution(plan.start, steps[0].variance))
    yield now
    for i, step in enumerate(steps):
        if not step.variance:
            if i < len(steps) - 1 and any(later.variance for later in steps[i + 1 :]):
                raise ValueError(
                    f"step {i} of {plan.solver} adds no noise that its evaluations do not see, so it has no kernel: "
                    "use dn.moments on a Gaussian"
                )
            return
        after = steps[i + 1].variance if i + 1 < len(steps) else 0.0
        now = _moved(now, step, target, levels[i + 1], _resolution(levels[i + 1], after))
        yield now


def expectation(plan: Plan, target: Any, f: Callable[[np.ndarray], np.ndarray], init: str = "marginal") -> Any:
    """``E f`` of the plan's output, for ``f`` of points to values, ``(...) -> (k, ...)``.

    Raises:
        ValueError: as :func:`densities`.
    """
    laws = list(densities(plan, target, init))
    steps = _steps(plan)[len(laws) - 1 :]
    now = laws[-1]
    x, weights = now.x, now.p * now.spacing
    for step in steps:
        y, w = step.map(target, x)
        x, weights = y.ravel(), np.multiply.outer(weights, w).ravel()
    return (f(x) * weights).sum(-1)


def _first(plan: Plan, target: Any, init: str, spacing: float) -> Density:
    _check_target(target)
    if init == "marginal":
        return marginal(target, plan.start, spacing)
    if init != "prior":
        raise ValueError(f"init = {init!r} is unknown: use 'marginal' or 'prior'")
    x = _line(-FAR * plan.prior, FAR * plan.prior, min(spacing, plan.prior / FINE))
    return Density(plan.start, x, np.exp(-((x / plan.prior) ** 2) / 2) / (plan.prior * np.sqrt(2 * np.pi)))


def _moved(now: Density, step: _Step, target: Any, level: Level, spacing: float) -> Density:
    heavy = now.p > 1e-22 * now.p.max()
    start, mass = now.x[heavy], now.p[heavy] * now.spacing
    width = float(np.sqrt(step.variance))
    rows = max(1, AT_ONCE // HERMITE[len(step.inner)])
    parts = [slice(i, i + rows) for i in range(0, len(start), rows)]
    ends = [step.map(target, start[part]) for part in parts]
    low, high = min(y.min() for y, _ in ends), max(y.max() for y, _ in ends)
    x = _line(low - FAR * width, high + FAR * width, spacing)
    p = np.zeros(len(x))
    for part, (y, w) in zip(parts, ends, strict=True):
        _spread_out(p, x, y.ravel(), np.multiply.outer(mass[part], w).ravel(), width)
    return Density(level, x, p)


def _spread_out(p: np.ndarray, x: np.ndarray, y: np.ndarray, mass: np.ndarray, width: float) -> None:
    """Add to ``p`` at ``x`` a normal of standard deviation ``width`` around every ``y``."""
    d = float(x[1] - x[0])
    place = np.rint((y - x[0]) / d).astype(int)
    off, height = y - x[place], mass / (width * np.sqrt(2 * np.pi))
    reach = int(FAR * width / d)
    # exp(-(k d - off)^2 / 2 width^2) is a product of three, of which one is a power
    off, d = off / width, d / width
    rise, kernel = np.exp(d * off), height * np.exp(-off * off / 2 - reach * d * off)
    for k in range(-reach, reach + 1):
        spread = np.bincount(place, kernel, minlength=len(x)) * np.exp(-((k * d) ** 2) / 2)
        p[max(k, 0) : len(x) + min(k, 0)] += spread[max(-k, 0) : len(x) - max(k, 0)]
        kernel *= rise


def _resolution(level: Level, variance: float) -> float:
    """Spacing that resolves the law at a level and the kernel of the step from it."""
    width = float(level.sigma) if not variance else min(float(level.sigma), float(np.sqrt(variance)))
    return width / FINE


def _line(low: float, high: float, spacing: float) -> np.ndarray:
    count = int(np.ceil((high - low) / spacing)) + 2
    if count > MOST:
        raise ValueError(
            f"the law needs {count} points at a spacing of {spacing:.1e}: take longer steps or stop earlier"
        )
    return low + spacing * np.arange(count)


def _check_target(target: Any) -> None:
    if getattr(target, "dim", None) != 1:
        raise ValueError(
            f"a target of {getattr(target, 'dim', 'no')} dimensions has no density on a line: use one of a single law, "
            "such as dn.Product1D((law,))"
        )


def _mean(target: Any) -> float:
    law = getattr(target, "laws", (target,))[0]
    return float(np.asarray(law.mean).ravel()[0])


def _widest(target: Any, level: Level) -> float:
    """A variance that covers the widest part of the law at ``level`` from its mean."""
    law = getattr(target, "laws", (target,))[0]
    data = law.std**2 if hasattr(law, "std") else target.variances[0]
    return float(level.alpha**2 * np.asarray(data).ravel()[0] + level.sigma**2)
