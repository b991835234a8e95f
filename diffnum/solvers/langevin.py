"""Predictors and correctors of score SDEs: reverse diffusion, Langevin steps with and without inertia.

A corrector runs at one level and leaves its law as it is, but for its own step size: with the step fixed a bias of its
order stays, and with a step that shrinks like the grid's the sampler converges. Correctors that need norms of the
score have the ratio of norms at its value for whitened data, so that they are affine and their law is exact (see
:func:`~diffnum.solvers.stochastic.langevin_corrector`).
"""

from __future__ import annotations

from typing import Any

from ..num import exp, expm1, phi, sqrt
from ..plan import Level
from ..trace import Form, Trace, solver
from .stochastic import corrector

__all__ = [
    "reverse_diffusion",
    "reverse_diffusion_pc",
    "reverse_diffusion_pc_refined",
    "underdamped_corrector",
]

FAMILY = "predictor and Langevin corrector"
BIAS = "its step does not shrink with the grid: a bias of {size} stays in the variance, however many levels"


@solver(order=1, cold=1, cite="song2021score", eq="46", family=FAMILY, stochastic=True)
def reverse_diffusion(T: Trace, grid: Any) -> None:
    """The forward step from ``t`` to ``s``, reversed as a difference equation:

    ``x_t = (2 - alpha_s / alpha_t) x_s + G^2 score + G z``, ``G^2 = sigma_s^2 (1 - e^-2h)``; no noise at ``sigma = 0``,
    where their code returns the mean.
    """
    for s, t in T.steps(grid):
        _reversed(T, s, t)


@solver(
    order=0,
    cold=0,
    cite="song2021score",
    eq="Algorithms 2 and 3, with E|z| / E|score| = sigma",
    family=FAMILY,
    stochastic=True,
    note=BIAS.format(size="(snr sigma)^2"),
)
def reverse_diffusion_pc(T: Trace, grid: Any, snr: float = 0.16, times: int = 1) -> None:
    """Reverse diffusion, then ``times`` Langevin steps of fixed ``snr``: the PC sampler of Song et al. by default."""
    for s, t in T.steps(grid):
        _reversed(T, s, t)
        for _ in range(times):
            corrector(T, s, t, 2 * snr**2)


@solver(
    order=1,
    cold=1,
    cite="song2021score",
    eq="Algorithms 2 and 3 with e proportional to the step",
    family=FAMILY,
    stochastic=True,
)
def reverse_diffusion_pc_refined(T: Trace, grid: Any, strength: float = 0.5, times: int = 1) -> None:
    """As :func:`reverse_diffusion_pc` with ``e = strength sigma_t^2 (1 - e^-2h)``."""
    for s, t in T.steps(grid):
        _reversed(T, s, t)
        for _ in range(times):
            corrector(T, s, t, -strength * expm1(-2 * T.h(s, t)))


def _reversed(T: Trace, s: Level, t: Level) -> None:
    grown = -expm1(-2 * T.h(s, t))
    T.x = (2 - s.alpha / t.alpha) * T.x - (s.sigma * grown) * T.evaluate(T.x, s).noise
    if not t.clean:
        T.x = T.x + (s.sigma * sqrt(grown)) * T.noise(s, t)


# --- Langevin with inertia ---


@solver(
    order=0,
    cold=0,
    cite="chen2023dpum",
    eq="Algorithm 2, DPUM",
    family=FAMILY,
    stochastic=True,
    note=BIAS.format(size="time^2"),
)
def underdamped_corrector(T: Trace, grid: Any, time: float = 0.3, damping: float = 1.0, times: int = 2) -> None:
    """DDIM, then ``times`` steps of underdamped Langevin dynamics of length ``time`` at every level.

    In units of ``sigma``, from a fresh velocity ``v ~ N(0, 1)``, with friction ``g = damping / time``,

        dx = v dr,   dv = (sigma score - g v) dr + sqrt(2 g) dW,

    each step with the score frozen and the rest exact. One step from a fresh velocity is a step of the overdamped
    corrector with ``e = sigma^2 time^2 phi_2(-damping)``.

    Raises:
        ValueError: a length or damping that is not positive, fewer than one step.
    """
    _check(time, damping, times)
    for s, t in T.steps(grid):
        _moved(T, s, t)
        _underdamped(T, s, t, time, damping, times)


def _check(length: float, damping: float, times: int) -> None:
    if length <= 0 or damping <= 0 or times < 1:
        raise ValueError(f"length {length!r}, damping {damping!r}, {times!r} times: use numbers greater than zero")


def _moved(T: Trace, s: Level, t: Level) -> None:
    e = T.evaluate(T.x, s)
    T.x = t.alpha * e.data + t.sigma * e.noise


def _underdamped(T: Trace, s: Level, t: Level, time: Any, damping: float, times: int) -> None:
    if t.clean:
        return
    g = damping
    once, twice = phi(1, -g), phi(2, -g)
    # exact noise: variance of the velocity, covariance with the position, and what the velocity leaves of the latter
    fast, joint = -expm1(-2 * g), g * once**2
    rest = 4 * g * (2 * phi(3, -2 * g) - phi(3, -g)) - joint**2 / fast
    v: Form = T.noise(s, t, "v")
    for _ in range(times):
        score, z, w = -T.evaluate(T.x, t, "c").noise, T.noise(s, t), T.noise(s, t)
        moved = once * v + (twice * time) * score + (joint / sqrt(fast)) * z + sqrt(rest) * w
        T.x, v = T.x + (t.sigma * time) * moved, exp(-g) * v + (once * time) * score + sqrt(fast) * z
