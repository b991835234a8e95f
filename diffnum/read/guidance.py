"""How far every sampler bears guidance: the largest stable scale over steps and noise, and what runs do there.

The scale comes from :func:`diffnum.read.stability.largest_guidance`, a property of one step's matrix. :func:`growth`
is the check: plans that run, on a pair of Gaussians, with the Jacobian of every level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..grid import custom
from ..process import EDM
from ..trace import Solver, compile
from .sample import sample
from .stability import Irregular, guided_jacobian, largest_guidance

__all__ = ["GuidanceMap", "growth", "guidance_map", "threshold"]

_POINT, _FLAT = 1e-80, 1e80
_STEPS = 120


@dataclass(frozen=True)
class GuidanceMap:
    """Largest stable guidance scales, sampler by step.

    Attributes:
        names, families: of the samplers, by family and within it from the tamest, at the longest step, downwards.
        steps: log-SNR steps ``(k,)``.
        scales: ``(samplers, k)``; 0 where a sampler grows without guidance, infinite where no scale is too large, nan
            where its steps do not repeat themselves and nothing can be said.
    """

    names: tuple[str, ...]
    families: tuple[str, ...]
    steps: tuple[float, ...]
    scales: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """The scales of one sampler, ``(k,)``.

        Raises:
            ValueError: it is not in the map.
        """
        if name not in self.names:
            raise ValueError(f"{name!r} is not in this map of {len(self.names)} samplers")
        return self.scales[self.names.index(name)]


def guidance_map(
    samplers: Iterable[Solver],
    steps: Sequence[float],
    conditional: float = 0.0,
    unconditional: float = 1.0,
    sigma: float | None = None,
) -> GuidanceMap:
    """:func:`~diffnum.read.stability.largest_guidance` of every deterministic one of ``samplers`` at every step.

    Args:
        samplers: such as ``dn.solvers.ALL.values()``; those that draw noise are left out.
        steps: lengths in log-SNR.
        conditional, unconditional: variances of the pair; a class that is a point is the stiffest.
        sigma: the noise (``alpha = 1``) at which it is asked; None: at every noise.

    Raises:
        ValueError: as ``largest_guidance`` for the variances; no steps.
    """
    if not len(steps) or min(steps) <= 0:
        raise ValueError(f"steps = {list(steps)!r}: give lengths in log-SNR, all positive")
    chosen = [s for s in samplers if not s.stochastic]
    found = np.array([[_scale(s, float(h), conditional, unconditional, sigma) for h in steps] for s in chosen])
    longest = int(np.argmax(steps))
    families = list(dict.fromkeys(s.family for s in chosen))

    def place(i: int) -> tuple[int, float]:
        return families.index(chosen[i].family), -float(np.nan_to_num(found[i, longest], nan=-1.0))

    order = sorted(range(len(chosen)), key=place)
    return GuidanceMap(
        tuple(chosen[i].name for i in order),
        tuple(chosen[i].family for i in order),
        tuple(float(h) for h in steps),
        found[order].reshape(len(order), len(steps)),
    )


def _scale(solver: Solver, h: float, conditional: float, unconditional: float, sigma: float | None) -> float:
    # a refusal of the variances must not pass for a sampler that grows
    if not 0 <= conditional < unconditional:
        return largest_guidance(solver, h, conditional, unconditional, sigma)
    try:
        return max(0.0, largest_guidance(solver, h, conditional, unconditional, sigma))
    except Irregular:
        return float("nan")
    except ValueError:
        return 0.0


def growth(solver: Solver, h: float, scales: Any, conditional: float = _POINT, unconditional: float = _FLAT) -> Any:
    """Factor per step by which perturbations of a guided run grow between its quarters, one for each of ``scales``.

    The run has 120 steps ``h`` around ``sigma = 1`` on ``alpha = 1``, and at each level the Jacobian of the guided pair
    there. By default the class is a point and the whole is flat as far as the run can tell, so that the Jacobian is
    ``1 - scale`` at all levels: such a run grows just beyond the largest guidance and not before. With finite variances
    the stiff part passes, and a run may forgive what lies just beyond.

    Args:
        scales: ``(k,)``.
    """
    lams = [h * (i - _STEPS / 2) for i in range(_STEPS + 1)]
    plan = compile(solver, custom(EDM(1e-300, 1e300), lams=lams), "data")
    g = np.asarray(scales, dtype=float)

    def model(x: Any, level: Any) -> Any:
        return guided_jacobian(g, conditional, unconditional, level.sigma) * x

    sizes = np.abs(np.concatenate(sample(plan, model, np.ones((1, len(g))), keep="states")))
    # twelve states at a time: pairs of eigenvalues turn as they grow, and steps of several orders take turns; the last
    # steps of a predictor-corrector are other ones
    middle, end = (sizes[k : k + 12].max(axis=0) for k in (_STEPS // 4, 3 * _STEPS // 4))
    # what has died out altogether does not grow
    return (end / np.where(middle > 0, middle, 1.0)) ** (2 / _STEPS)


def threshold(solver: Solver, h: float, near: float, within: float = 0.25, points: int = 64, rounds: int = 3) -> float:
    """The scale beyond which runs :func:`growth` grows, looked for around ``near`` and refined.

    Args:
        near: where to look, such as :func:`~diffnum.read.stability.largest_guidance`.
        within: how far to either side, as a share of ``near``.

    Raises:
        ValueError: runs grow everywhere there, or nowhere.
    """
    low, high = near * (1 - within), near * (1 + within)
    for _ in range(rounds):
        scales = np.linspace(low, high, points)
        growing = np.flatnonzero(growth(solver, h, scales) > 1)
        if not len(growing) or growing[0] == 0:
            raise ValueError(
                f"runs of {solver.name} {'all' if len(growing) else 'never'} grow at scales from {low:.3g} to "
                f"{high:.3g}: look elsewhere"
            )
        low, high = scales[growing[0] - 1], scales[growing[0]]
    return float((low + high) / 2)
