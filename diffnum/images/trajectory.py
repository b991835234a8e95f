"""How far a plan ends from where a network's own probability flow would have ended, from the same noise.

Distances between sets of images need thousands of them and see the network's errors as well as the sampler's. From the
same noise the sampler's error is seen alone, image by image, as

    RMSE = sqrt(mean (x - x*)^2) over all pixels,    PSNR = 20 log10(2 / RMSE of one image) in dB, as pixels span 2,

where ``x*`` is the end of the converged trajectory: many steps of a method of high order, as many as it takes that
twice as many change nothing (:class:`diffnum.design.Followed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design import Followed
from ..design.trajectories import DATA
from ..models import Network
from ..plan import Level, Plan
from ..read.sample import sample
from .features import Features, as_rows

__all__ = ["Apart", "Converged", "apart", "converged"]

# of an error to be measured, the most that its reference may be uncertain by
SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Converged:
    """Ends of trajectories of a network.

    Attributes:
        network: the network, under its conditions.
        x: where they start, ``(n, c, h, w)`` at ``start``.
        start: the level of the noise.
        stop: the last level at which the network was asked; there its denoised prediction is taken.
        end: float64 ``(n, c, h, w)``, on the device of ``x``.
        error: estimated root mean square error of ``end`` per pixel.
    """

    network: Network
    x: Any
    start: Level
    stop: Level
    end: Any
    error: float


@dataclass(frozen=True)
class Apart:
    """How far outputs are from converged trajectories.

    Attributes:
        rmse: root mean square error per pixel, over all images.
        psnr: mean over images of their peak signal-to-noise ratio, dB.
        feature: root mean square distance of features per standard deviation of one, or None.
        worst: the largest root mean square error of one image.
    """

    rmse: float
    psnr: float
    feature: float | None
    worst: float


def converged(network: Network, x: Any, start: Level, stop: Level, tol: float = 1e-4) -> Converged:
    """Where the probability flow of ``network`` takes ``x``, to ``tol`` of its size, in float64 but for the network.

    Args:
        network: under its conditions; compiled for any prediction, on any process.
        x: ``(n, c, h, w)`` at ``start``; noise is standard normals times ``start.sigma``.
        stop: the last level that the network knows; its plans end there too.

    Raises:
        ValueError: a prediction of noise from ``alpha = 0``; trajectories that do not converge.
    """
    import torch

    law = Followed(network, network.prediction, network.process, stop, x, batch=len(x))
    rows = x.detach().to("cpu", torch.float64).reshape(len(x), -1).numpy()
    end, error = law.verified(rows, start, DATA, tol)
    return Converged(network, x, start, stop, torch.from_numpy(end).reshape(x.shape).to(x.device), error)


def apart(reference: Converged, plan: Plan, features: Features | None = None, x: Any = None) -> Apart:
    """``plan`` from the noise of ``reference``, beside its ends.

    Args:
        plan: compiled for the network's prediction, from ``reference.start``.
        features: to measure the distance in them too.
        x: other states at ``plan.start`` that belong to the same trajectories, such as those of
            :func:`diffnum.images.jump`.

    Raises:
        ValueError: a plan that draws noise, or starts elsewhere without ``x``; an error so small that the reference
            is not far more exact.
    """
    import torch

    if plan.draws:
        raise ValueError(f"{plan.solver} draws noise and follows no trajectory: compare sets by frechet_distance")
    if x is None and plan.start != reference.start:
        raise ValueError(f"the plan starts at {plan.start!r} and the noise lies at {reference.start!r}: give x= there")
    with torch.no_grad():
        found = sample(plan, reference.network, reference.x if x is None else x)
    return between(reference, found, features)


def between(reference: Converged, found: Any, features: Features | None = None) -> Apart:
    """Images ``found`` beside the ends of ``reference``; see :func:`apart`."""
    each = (found.double() - reference.end).square().flatten(1).mean(dim=1).cpu().numpy()
    rmse = float(np.sqrt(each.mean()))
    if not reference.error < SHARE * rmse:
        raise ValueError(
            f"the error {rmse:.2g} is not {1 / SHARE:.0f} times that of the reference, {reference.error:.2g}: "
            "make the reference with a smaller tol"
        )
    feature = None
    if features is not None:
        gap = features(as_rows(found)) - features(as_rows(reference.end))
        feature = float(np.sqrt((gap**2).mean()))
    psnr = float(np.mean(20 * np.log10(2 / np.sqrt(each))))
    return Apart(rmse, psnr, feature, float(np.sqrt(each.max())))
