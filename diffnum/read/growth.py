"""How far an exact inverse carries an error: rounding, or an edit of the image, on the way back through a plan.

On a Gaussian the denoiser is linear and every eigen-direction moves alone, so an error in any register of the inverse
reaches what the run started from multiplied by a number (a vector where partners start too), which is found by reading
the lines from the last to the first: the adjoint. The spectral norm of the whole map is the growth of an error in the
outputs; with a rounding error of every line, of the size of what the line adds up, the same numbers predict what a run
there and back misses its start by (Higham 2002, chapter 3: running error analysis, here in the mean square).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Eval, Level, Lin, Noise, Plan
from ..prediction import to_native
from .invert import from_inputs, invert
from .moments import denoiser_gain

__all__ = ["Growth", "growth"]

_UNIFORM = 3**-0.5


@dataclass(frozen=True)
class Growth:
    """What :func:`growth` finds, per eigen-direction.

    Attributes:
        factor: ``(d,)``, the most by which the inverse multiplies an error in the outputs of the plan.
        from_level: ``(steps + 1, d)``, the same for an error in the state, and its partners, at each level; the last
            row is that of the outputs, but for partners that lie elsewhere.
        rounding: ``(d,)``, root mean square by which the first of what comes back misses ``x_T``, for a run there and
            back whose every line is rounded to one part in two. Times ``2^-53`` for float64, ``2^-24`` for float32.
    """

    factor: np.ndarray
    from_level: np.ndarray
    rounding: np.ndarray


def growth(plan: Plan, target: Any) -> Growth:
    """How the exact inverse of a reversible ``plan`` carries errors on a Gaussian ``target``.

    Args:
        plan: one that :func:`~diffnum.read.invert.invert` can undo; draws of noise are known, as they are to a run with
            the same source.
        target: a Gaussian (``eigen()``).

    Raises:
        ValueError: a plan that cannot be undone; a target that is not Gaussian.
    """
    if not hasattr(target, "eigen"):
        raise ValueError(f"the growth of errors is read on a Gaussian, got {type(target).__name__}: use dn.Gaussian")
    # a growth beyond the largest number is infinite
    with np.errstate(over="ignore", invalid="ignore"):
        return _growth(plan, target)


def _growth(plan: Plan, target: Any) -> Growth:
    mean, variances = (np.asarray(v, dtype=float) for v in target.eigen())
    inverse = from_inputs(invert(plan))
    law = _Linear(mean, variances)
    starts = [r for _, r in inverse.inputs]
    back = law.adjoint(inverse, _seeds([r for _, r in inverse.outputs], mean.size), starts)
    whole = np.stack([back[r] for r in starts], axis=1)
    # the run there ends in what the run back starts from
    seeds: dict[int, np.ndarray] = {}
    for (_, r), q in zip(plan.outputs, starts, strict=True):
        seeds[r] = seeds.get(r, 0) + back[q]
    there = law.adjoint(plan, seeds)
    values = law.values(plan, {0: law.start(plan)})
    returned = law.values(inverse, {q: values[r] for (_, r), q in zip(plan.outputs, starts, strict=True)})
    spread = law.rounded(plan, there, values) + law.rounded(inverse, back, returned)
    pairs = zip(*(rows[::-1] for rows in (inverse.states, *inverse.partners)), strict=True)
    levels = [np.stack([back[r] for r in dict.fromkeys(pair)], axis=1) for pair in pairs]
    return Growth(
        _norm(whole), np.stack([_norm(level) for level in levels]), np.sqrt(np.where(np.isnan(spread), np.inf, spread))
    )


def _seeds(outputs: Sequence[int], d: int) -> dict[int, np.ndarray]:
    """Of what comes back, each by itself: ``(outputs, d)`` by register."""
    found: dict[int, np.ndarray] = {}
    for k, r in enumerate(outputs):
        row = np.zeros((len(outputs), d))
        row[k] = 1.0
        found[r] = found.get(r, 0) + row
    return found


def _norm(matrices: np.ndarray) -> np.ndarray:
    """Spectral norms of ``(m, n, d)`` over the first two axes; infinite where an entry is not finite."""
    found = np.full(matrices.shape[-1], np.inf)
    known = np.isfinite(matrices).all(axis=(0, 1))
    found[known] = np.linalg.norm(np.moveaxis(matrices[..., known], -1, 0), 2, axis=(1, 2))
    return found


@dataclass(frozen=True)
class _Linear:
    """The denoiser of ``N(mean, variances)`` in its eigen-directions."""

    mean: np.ndarray
    variances: np.ndarray

    def slope(self, level: Level, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """``(slope, offset)`` of the prediction."""
        a, b = to_native(level, quantity)
        gain = denoiser_gain(self.variances, level)
        return a + b * gain, b * (1 - gain * level.alpha) * self.mean

    def adjoint(self, plan: Plan, seeds: Mapping[int, np.ndarray], given: Sequence[int] = (0,)) -> list[np.ndarray]:
        """For each register the derivative of the seeded quantities by it, ``(k, d)``; ``given`` ones are free."""
        shape = next(iter(seeds.values()))
        found = [np.zeros_like(shape) for _ in range(len(plan.lines) + 1)]
        for r, seed in seeds.items():
            found[r] = found[r] + seed
        for r in range(len(plan.lines), 0, -1):
            line = plan.lines[r - 1]
            if isinstance(line, Lin) and r not in given:
                for q, c in line.terms:
                    found[q] += float(c) * found[r]
            elif isinstance(line, Eval):
                found[line.x] += self.slope(line.level, line.quantity)[0] * found[r]
        return found

    def start(self, plan: Plan) -> np.ndarray:
        """``x_T`` as ``(mean, standard deviation)`` of its one random direction."""
        s = plan.start
        return np.stack([s.alpha * self.mean, np.sqrt(s.alpha**2 * self.variances + s.sigma**2)])

    def values(self, plan: Plan, given: Mapping[int, np.ndarray]) -> list[np.ndarray]:
        """For each register its mean and its coefficients of ``x_T`` and of every draw, ``(2 + draws, d)``."""
        known: list[Any] = [given.get(0)]
        drawn: dict[Any, int] = {}
        for r, line in enumerate(plan.lines, 1):
            if r in given:
                known.append(given[r])
            elif isinstance(line, Lin):
                known.append(_sum([float(c) * known[q] for q, c in line.terms], self.mean.size))
            elif isinstance(line, Noise):
                row = 2 + drawn.setdefault((line.s.lam, line.t.lam, line.j), len(drawn))
                value = np.zeros((row + 1, self.mean.size))
                value[row] = 1.0
                known.append(value)
            else:
                slope, offset = self.slope(line.level, line.quantity)
                value = slope * known[line.x]
                value[0] += offset
                known.append(value)
        return known

    def rounded(self, plan: Plan, carried: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> np.ndarray:
        """Variance of the first seeded quantity where every line is rounded to one part in two."""
        total = np.zeros(self.mean.size)
        inputs = {r for _, r in plan.inputs}
        for r, line in enumerate(plan.lines, 1):
            if isinstance(line, Noise) or r in inputs or not carried[r].any():
                continue
            made = (values[r] ** 2).sum(0)
            if isinstance(line, Lin):
                for q, c in line.terms:
                    # a product with one is exact
                    made = made + (0 if float(c) in (1.0, -1.0) else float(c) ** 2 * (values[q] ** 2).sum(0))
            total += (carried[r][0] * _UNIFORM) ** 2 * made
        return total


def _sum(terms: Sequence[np.ndarray], d: int) -> np.ndarray:
    out = np.zeros((max([len(t) for t in terms], default=2), d))
    for term in terms:
        out[: len(term)] += term
    return out
