"""RF-Inversion: a rectified flow that is pulled towards a given end by a linear-quadratic regulator (Rout et al. 2025).

The straight line from ``x`` to an end ``y`` is what a regulator of minimal energy follows. RF-Inversion mixes its
velocity with that of the model, in both directions: with ``x = (1 - sigma) x0 + sigma eps``, ``v`` the model's velocity
``E[eps - x0 | x]``, an image ``y0`` and a noise ``y1``,

    dx/dsigma = v + gamma ((y1 - x) / (1 - sigma) - v),    from the image, sigma rising     (eq. 8, algorithm 1)
    dx/dsigma = v + eta ((x - y0) / sigma - v),            towards the image, sigma falling (algorithm 2)

each by Euler's method. Without control it is Euler's method there and back; with full control it is the straight line,
whatever the model. In between, the exact flow ends in the given end too, for every ``gamma > 0``: the distance to it
shrinks like ``(1 - sigma)^gamma``, and nothing is left of the image. What the noise found remembers is owed to the
steps: Euler's method in ``n`` uniform ones keeps the part

    prod_{k=1}^n (1 - gamma / k) ~ n^-gamma / Gamma(1 - gamma)

of the distance where the model says nothing, a ninth for 28 steps of ``gamma = 1/2``, and less with more of them. So it
is with a constant ``eta`` down to ``sigma = 0``; the authors stop the control early.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..gradients.adjoint import backwards as reversed_grid
from ..grid import Grid
from ..plan import Plan
from ..process import Flow
from ..trace import Trace, compile

__all__ = ["rf_edit", "rf_invert"]

Control = float | Sequence[float]
"""Strength of the pull: one number, or one for every step in the order of the run."""


def rf_invert(grid: Grid, gamma: Control = 0.5, prediction: str = "velocity") -> Plan:
    """The controlled flow from data to noise; run it as ``dn.sample(plan, model, (x, y1))``, or with a source of noise.

    Args:
        grid: from noise to data, of a :class:`~diffnum.process.Flow`.
        gamma: strengths in [0, 1].
        prediction: what the model returns; ``"velocity"`` or ``"noise"`` where the grid ends with ``sigma = 0``.

    Returns:
        A plan of two inputs, the image and the noise ``y1`` to which it is pulled. Where the second is not given it is
        drawn, as in the paper.

    Raises:
        ValueError: another process; strengths outside [0, 1] or another number of them than steps; a prediction
            without a velocity at an end of the grid.
    """
    strengths = _strengths(grid, gamma, "gamma")

    def rf_inversion(T: Trace, grid: Any) -> None:
        first, last = grid.levels[0], grid.levels[-1]
        y = T.given("y1", T.noise(first, last))
        for strength, (s, t) in zip(strengths, T.steps(grid), strict=True):
            v = T.evaluate(T.x, s, "v").read(_VELOCITY)
            T.x = T.x + (t.sigma - s.sigma) * ((1 - strength) * v + (strength / s.alpha) * (y - T.x))

    return compile(rf_inversion, reversed_grid(grid), prediction)


def rf_edit(grid: Grid, eta: Control, prediction: str = "velocity") -> Plan:
    """The controlled flow from noise to data; run it as ``dn.sample(plan, model, (x, y0))`` with the image ``y0``.

    The paper controls the early steps only: ``eta = [0.9] * 6 + [0.0] * 18``.

    Args:
        grid, prediction: as for :func:`rf_invert`.
        eta: strengths in [0, 1].

    Returns:
        A plan of two inputs, the state at ``grid``'s first level and the image. The second is to be given: without it
        the state itself is taken for the image.

    Raises:
        ValueError: as :func:`rf_invert`.
    """
    strengths = _strengths(grid, eta, "eta")

    def rf_inversion_edit(T: Trace, grid: Any) -> None:
        y = T.given("y0", T.x)
        for strength, (s, t) in zip(strengths, T.steps(grid), strict=True):
            v = T.evaluate(T.x, s, "v").read(_VELOCITY)
            T.x = T.x + (t.sigma - s.sigma) * ((1 - strength) * v + (strength / s.sigma) * (T.x - y))

    return compile(rf_inversion_edit, grid, prediction)


_VELOCITY = (-1.0, 1.0)


def _strengths(grid: Grid, given: Control, name: str) -> list[float]:
    if not isinstance(grid.process, Flow):
        raise ValueError(f"{grid.process.name} is no rectified flow, on which alone RF-Inversion is defined: use Flow")
    several = [given] * grid.steps if isinstance(given, (int, float)) else list(given)
    if len(several) != grid.steps:
        raise ValueError(f"{len(several)} values of {name} were given for {grid.steps} steps: give one, or one a step")
    wrong = [value for value in several if not (math.isfinite(value) and 0 <= value <= 1)]
    if wrong:
        raise ValueError(f"{name} = {wrong[0]!r} is no strength of control: use numbers from 0 to 1")
    return [float(value) for value in several]
