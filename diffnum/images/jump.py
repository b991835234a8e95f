"""The analytic jump: the first steps of a network by the exact flow of a Gaussian, without asking the network.

At much noise the score of any law is nearly that of the Gaussian of the same mean and covariance, and a trained
network's too, as Wang & Vastola 2023 ("Diffusion models generate images like painters") found; they call the use of it
teleportation. The flow of ``N(m, C)`` from level ``s`` to ``t`` is closed, in each eigen-direction of ``C``

    x_t = alpha_t m + sqrt((alpha_t^2 c + sigma_t^2) / (alpha_s^2 c + sigma_s^2)) (x_s - alpha_s m),

so that noise is taken to ``t`` for nothing and a plan spends its calls where the network is no Gaussian. What the jump
gets wrong no later step repairs: the further it goes, the more calls it saves and the larger the error that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level, Plan
from ..targets import Gaussian
from .data import Dataset
from .features import as_rows
from .trajectory import Converged, apart

__all__ = ["Jumped", "class_gaussians", "jump", "jumped", "saved"]

Laws = Gaussian | Mapping[int, Gaussian]


def class_gaussians(data: Dataset) -> dict[int, Gaussian]:
    """``dn.Gaussian.fit`` of each class of ``data``.

    Raises:
        ValueError: images without labels.
    """
    if data.labels is None:
        raise ValueError(f"{data.name} has no labels: use dn.Gaussian.fit of all images")
    return {int(k): Gaussian.fit(data.data[data.labels == k]) for k in np.unique(data.labels)}


def jump(law: Laws, x: Any, start: Level, plan: Plan, labels: Any = None) -> Any:
    """``x`` at ``start`` taken to ``plan.start`` by the flow of a Gaussian; then ``dn.sample(plan, network, ...)``.

    Args:
        law: of the data as rows, channels last; or one for each class.
        x: ``(n, c, h, w)`` torch, whose dtype and device are kept.
        plan: starts at less noise than ``start``, or there.
        labels: ``(n,)``, where there is a law for each class.

    Raises:
        ValueError: a plan that starts at more noise; laws by class without labels, or labels without a law.
    """
    import torch

    if plan.start.lam < start.lam:
        raise ValueError(f"the plan starts at {plan.start!r}, before {start!r}: jump towards the data")
    if isinstance(law, Gaussian):
        law, labels = {0: law}, np.zeros(len(x), dtype=int)
    if labels is None or len(labels) != len(x):
        raise ValueError(f"{len(law)} laws by class need the class of each of {len(x)} images: give labels=")
    labels = np.asarray(labels)
    missing = sorted(set(labels.tolist()) - set(law))
    if missing:
        raise ValueError(f"class {missing[0]} has no law: give one of {', '.join(map(str, law))}")
    rows, moved = as_rows(x), np.empty((len(x), x[0].numel()))
    for k in np.unique(labels):
        moved[labels == k] = law[int(k)].flow(rows[labels == k], start, plan.start)
    c, h, w = x.shape[1:]
    return torch.from_numpy(moved).reshape(len(x), h, w, c).permute(0, 3, 1, 2).contiguous().to(x.device, x.dtype)


@dataclass(frozen=True)
class Jumped:
    """Errors of plans after jumps to several levels.

    Attributes:
        levels: where plans start; the first is the start of the noise, with no jump.
        nfe: network calls of the plans.
        rmse: ``(levels, nfe)``, per pixel, to the converged trajectories from the same noise.
    """

    levels: tuple[Level, ...]
    nfe: tuple[int, ...]
    rmse: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """For each budget the row of the level with the least error."""
        return self.rmse.argmin(axis=0)


def jumped(
    law: Laws,
    reference: Converged,
    make: Callable[[Level, int], Plan],
    levels: Sequence[Level],
    nfe: Sequence[int],
    labels: Any = None,
) -> Jumped:
    """Errors of ``make(level, n)``, a plan of ``n`` calls from ``level``, after a jump there, for all pairs; the first
    row without a jump.

    Args:
        law, labels: as for :func:`jump`.
        reference: where the network itself goes, all the way from the noise.
    """
    starts = (reference.start, *levels)
    errors = []
    for level in starts:
        plans = [make(level, n) for n in nfe]
        errors.append([apart(reference, p, x=jump(law, reference.x, reference.start, p, labels)).rmse for p in plans])
    return Jumped(starts, tuple(int(n) for n in nfe), np.array(errors))


def saved(found: Jumped) -> tuple[float, ...]:
    """For each budget the calls that the best jump saves: as many more would the plan without a jump need for the same
    error, by interpolation of ``log`` error over ``log`` calls.

    It is ``inf`` where no budget of the table is enough without a jump, and 0 where no jump helps.
    """
    calls, plain = np.log(found.nfe), np.minimum.accumulate(np.log(found.rmse[0]))
    saved = []
    for n, error in zip(found.nfe, np.log(found.rmse.min(axis=0)), strict=True):
        needed = np.exp(np.interp(-error, -plain, calls)) if error >= plain[-1] else np.inf
        saved.append(float(max(0.0, needed - n)))
    return tuple(saved)
