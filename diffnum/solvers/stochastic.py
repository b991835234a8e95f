"""Stochastic samplers: ancestral steps, Euler-Maruyama and predictor with Langevin corrector.

All share the marginals of the reverse SDE family: the probability-flow drift, plus ``nu^2 / 2`` times the
score, plus noise of variance ``nu^2`` per unit of the clock. With ``h`` the log-SNR increment of a step, the
variance of ``x_s`` given ``x_t`` along the forward process is ``sigma_s^2 (1 - e^-2h)``, without cancellation.
"""

from __future__ import annotations

from typing import Any

from ..num import expm1, sqrt
from ..plan import Level
from ..trace import Trace, solver

__all__ = [
    "ddim_eta",
    "ddpm_ancestral",
    "euler_maruyama",
    "exponential_integrator",
    "langevin_corrector",
    "langevin_corrector_refined",
]

FAMILY = "stochastic"


@solver(order=1, cold=1, cite="ho2020ddpm", eq="7", family=FAMILY, stochastic=True)
def ddpm_ancestral(T: Trace, grid: Any) -> None:
    """The posterior ``q(x_t | x_s, x0 = D)`` with its own variance ``sigma_t^2 (1 - e^-2h)``, none at ``sigma = 0``."""
    for s, t in T.steps(grid):
        ancestral(T, s, t, 1.0)


@solver(order=1, cold=1, cite="song2021ddim", eq="16", family=FAMILY, stochastic=True)
def ddim_eta(T: Trace, grid: Any, eta: float = 0.5) -> None:
    """DDIM with ``eta`` in [0, 1]: 0 is deterministic DDIM, 1 is DDPM ancestral:

    ``x_t = alpha_t D + sqrt(sigma_t^2 - nu^2) eps + nu z``, ``nu = eta sigma_t sqrt(1 - e^-2h)``.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta = {eta!r} leaves no variance for the predicted noise: use 0 <= eta <= 1")
    for s, t in T.steps(grid):
        ancestral(T, s, t, eta)


def ancestral(T: Trace, s: Level, t: Level, eta: float) -> None:
    """One step of :func:`ddim_eta`."""
    e = T.evaluate(T.x, s)
    if t.clean:
        T.x = t.alpha * e.data
        return
    forward = -expm1(-2 * T.h(s, t))
    T.x = t.alpha * e.data + (t.sigma * sqrt(1 - eta**2 * forward)) * e.noise
    if eta:
        T.x = T.x + (eta * t.sigma * sqrt(forward)) * T.noise(s, t)


@solver(order=1, cold=1, cite="song2021score", eq="6", family=FAMILY, stochastic=True)
def euler_maruyama(T: Trace, grid: Any) -> None:
    """Euler-Maruyama on the reverse SDE ``dx = (f x - g^2 score) dc + g dw`` in the process's clock."""
    for s, t in T.steps(grid):
        dc, e = T.dt(s, t), T.evaluate(T.x, s)
        da, ds = T.process.rates(s)
        g2 = 2 * s.sigma * (ds - s.sigma * da / s.alpha)
        # f x - g^2 score = v - g^2 / 2 score, and score = -eps / sigma; g^2 dc < 0 going down in noise
        T.x = T.x + dc * e.slope + (dc * g2 / (2 * s.sigma)) * e.noise + sqrt(-g2 * dc) * T.noise(s, t)


@solver(
    order=1,
    cold=1,
    cite="pierret2025gaussian",
    eq="exponential integrator of the reverse SDE",
    family=FAMILY,
    stochastic=True,
)
def exponential_integrator(T: Trace, grid: Any) -> None:
    """Reverse SDE of a variance-preserving process with the score frozen over the step, with ``q = alpha_t / alpha_s``:

    ``x_t = q x + 2 (q - 1) score + sqrt(q^2 - 1) z``, ``q^2 - 1 = (sigma_s / alpha_s)^2 alpha_t^2 (1 - e^-2h)``.
    """
    if not T.process.preserves_variance:
        raise ValueError(
            f"exponential_integrator is for variance-preserving processes, not for {T.process.name}: use VP or Cosine"
        )
    for s, t in T.steps(grid):
        q = t.alpha / s.alpha
        # both without the cancellation of q near one
        nu = t.alpha * s.sigma / s.alpha * sqrt(-expm1(-2 * T.h(s, t)))
        T.x = q * T.x + (2 * nu**2 / (q + 1)) * T.evaluate(T.x, s).score + nu * T.noise(s, t)


@solver(
    order=0,
    cold=0,
    cite="song2021score",
    eq="Algorithms 2 and 3, with E|z| / E|score| = sigma",
    family=FAMILY,
    stochastic=True,
    note="its step does not shrink with the grid: a bias of (snr sigma)^2 stays in the variance, however many levels",
)
def langevin_corrector(T: Trace, grid: Any, snr: float = 0.16) -> None:
    """Ancestral predictor, then one Langevin step of fixed ``snr`` at every level:

    ``x <- x + e score + sqrt(2 e) z``, ``e = 2 (snr sigma)^2``. Song et al. set ``e = 2 (snr |z| / |score|)^2``
    from norms, times ``alpha_t^2 / alpha_s^2`` where variance is preserved; here, as in the annealed Langevin dynamics
    of their code, the norms' ratio is ``sigma``, its value for whitened data, so that the law is exact; the extra
    factor is left out, and the corrector follows the predictor as in the paper (their code runs it first).
    """
    for s, t in T.steps(grid):
        ancestral(T, s, t, 1.0)
        corrector(T, s, t, 2 * snr**2)


@solver(
    order=1,
    cold=1,
    cite="song2021score",
    eq="Algorithm 3 with e proportional to the step",
    family=FAMILY,
    stochastic=True,
)
def langevin_corrector_refined(T: Trace, grid: Any, strength: float = 0.5) -> None:
    """As :func:`langevin_corrector` with ``e = strength sigma_t^2 (1 - e^-2h)``, which vanishes with the step."""
    for s, t in T.steps(grid):
        ancestral(T, s, t, 1.0)
        corrector(T, s, t, -strength * expm1(-2 * T.h(s, t)))


def corrector(T: Trace, s: Level, t: Level, size: Any) -> None:
    """One Langevin step at ``t`` with ``e = size sigma_t^2``; a clean level has nothing to correct."""
    if t.clean:
        return
    e = T.evaluate(T.x, t, "c").noise
    T.x = T.x - (size * t.sigma) * e + (t.sigma * sqrt(2 * size)) * T.noise(s, t)
