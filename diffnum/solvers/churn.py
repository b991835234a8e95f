"""Churn and restart: noise is added upwards, against the reverse SDE, then a step of the probability flow goes down.

Karras et al. 2022, Algorithm 2: with ``gamma`` and ``sigma`` for ``sigma / alpha``,

    sigma^ = (1 + gamma) sigma,   x^ = x + sqrt(sigma^^2 - sigma^2) S_noise z,   x_t = step(x^, sigma^ -> sigma_t)

The draw belongs to the interval from ``s`` up to the level of ``sigma^``. The published ``gamma`` is
``min(S_churn / N, sqrt 2 - 1)`` on ``N`` steps, which refining the grid need not make small; on a grid uniform in
log-SNR over ``L``, ``S_churn / N`` is ``churn h`` with ``churn = S_churn / L``, and that is what the refined forms take
on every grid. A bias is that of the last levels: on a run that ends at little noise it is small and comes late, since
with ``sigma`` far below the data's scale churn changes little. Restart
(Xu et al. 2023) is churn over whole intervals of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ..num import log1p, sqrt
from ..plan import Level
from ..trace import Form, Solver, Trace, solver
from .coords import noise_transfer
from .rules import named

__all__ = [
    "edm_churn",
    "edm_churn_refined",
    "euler_churn",
    "euler_churn_coded",
    "euler_churn_refined",
    "kdpm2_churn",
    "kdpm2_churn_refined",
    "restart",
]

FAMILY = "churn and restart"
LARGEST = math.sqrt(2) - 1
Step = Callable[[Trace, Form, Level, Level], Form]


# --- down: one step of the probability flow from any state ---


def _euler(T: Trace, x: Form, s: Level, t: Level) -> Form:
    e = T.evaluate(x, s)
    return t.alpha * e.data + t.sigma * e.noise


def _heun(T: Trace, x: Form, s: Level, t: Level) -> Form:
    if s.pure_noise or t.clean:
        return _euler(T, x, s, t)
    q, e = t.alpha / s.alpha, T.evaluate(x, s).noise
    again = T.evaluate(noise_transfer(x, s, t, e), t).noise
    return q * x + ((t.sigma - q * s.sigma) / 2) * (e + again)


def _dpm_2(T: Trace, x: Form, s: Level, t: Level) -> Form:
    if s.pure_noise or t.clean:
        return _euler(T, x, s, t)
    m = T.below(s, T.h(s, t) / 2)
    return noise_transfer(x, s, t, T.evaluate(noise_transfer(x, s, m, T.evaluate(x, s).noise), m).noise)


# --- up ---


def _up(T: Trace, x: Form, s: Level, u: Level, noise: float = 1.0) -> Form:
    """The forward process from ``s`` to the noisier level ``u``, its normal times ``noise``."""
    q = u.alpha / s.alpha
    return q * x + (noise * _spread(s, u)) * T.noise(s, u)


def _spread(s: Level, u: Level) -> Any:
    # sigma_u^2 - (q sigma_s)^2 as a product, so that nothing cancels twice
    q = u.alpha / s.alpha
    return sqrt((u.sigma - q * s.sigma) * (u.sigma + q * s.sigma))


def _published(
    step: Step, T: Trace, grid: Any, churn: float = 40.0, tmin: float = 0.0, tmax: float = math.inf, noise: float = 1.0
) -> None:
    n = len(grid.levels) - 1
    _check(churn=churn, tmin=tmin, noise=noise)
    gamma = min(churn / n, LARGEST)
    for s, t in T.steps(grid):
        # every level is churned unless bounds were given, so that a generic level is never compared
        inside = (tmin <= 0 and tmax == math.inf) or tmin <= float(s.sigma / s.alpha) <= tmax
        T.x = _churned(step, T, s, t, gamma if inside else 0.0, noise)


def _refined(step: Step, T: Trace, grid: Any, churn: float = 0.5) -> None:
    _check(churn=churn)
    for s, t in T.steps(grid):
        T.x = step(T, T.x, s, t) if t.clean else _churned(step, T, s, t, churn * T.h(s, t), 1.0)


def _churned(step: Step, T: Trace, s: Level, t: Level, gamma: Any, noise: float) -> Form:
    u = None if isinstance(gamma, float) and gamma == 0 else _above(T, s, gamma)
    return step(T, T.x, s, t) if u is None else step(T, _up(T, T.x, s, u, noise), u, t)


def _above(T: Trace, s: Level, gamma: Any) -> Level | None:
    """The level of ``(1 + gamma) sigma / alpha``; nothing where the process has no such noise."""
    if s.pure_noise:
        return None
    try:
        return T.below(s, -log1p(gamma))
    except ValueError:
        return None


def _check(**options: float) -> None:
    for name, value in options.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} = {value!r} adds no noise: use a finite number, 0 or more")


FIXED = (
    "at a fixed gamma, which is that of fewer than churn / (sqrt 2 - 1) steps, a bias of order {bias} stays, however "
    "many; with more steps gamma falls like one over their number, and the error like its power {order}"
)
FIRST, SECOND = FIXED.format(bias="gamma", order=1), FIXED.format(bias="gamma^2", order=2)


def _named(name: str, build: Callable[..., None], order: int, cite: str, eq: str, says: str, note: str = "") -> Solver:
    claim = {"order": order, "cold": order, "cite": cite, "eq": eq, "note": note, "family": FAMILY, "stochastic": True}
    return named(name, build, says, **claim)


euler_churn = _named(
    "euler_churn",
    partial(_published, _euler),
    0,
    "crowson2022kdiffusion",
    "sample_euler",
    """Algorithm 2 of Karras et al. with Euler's step down.

    Options: ``churn`` (S_churn), ``tmin`` and ``tmax`` (the ``sigma / alpha`` that are churned), ``noise`` (S_noise:
    unless it is one the law is missed, on every grid).
    A level is left as it is where ``sigma^`` is more noise than the process has, as at the start of most runs.

    Raises:
        ValueError: an option that is negative or not finite.
    """,
    FIRST,
)
edm_churn = _named(
    "edm_churn",
    partial(_published, _heun),
    0,
    "karras2022edm",
    "Algorithm 2",
    "The stochastic sampler of EDM: churn, then Heun in ``sigma / alpha``. Options as those of ``euler_churn``.",
    SECOND,
)
kdpm2_churn = _named(
    "kdpm2_churn",
    partial(_published, _dpm_2),
    0,
    "crowson2022kdiffusion",
    "sample_dpm_2",
    "Churn, then DPM-Solver-2. Options as those of ``euler_churn``.",
    SECOND,
)
euler_churn_refined = _named(
    "euler_churn_refined",
    partial(_refined, _euler),
    1,
    "karras2022edm",
    "Algorithm 2 with gamma = churn h",
    "Churn that shrinks with the step, then Euler.",
)
edm_churn_refined = _named(
    "edm_churn_refined",
    partial(_refined, _heun),
    2,
    "karras2022edm",
    "Algorithm 2 with gamma = churn h",
    "Churn that shrinks with the step, then Heun: ``edm_churn`` where log-SNR is equally spaced and gamma small.",
)
kdpm2_churn_refined = _named(
    "kdpm2_churn_refined",
    partial(_refined, _dpm_2),
    2,
    "crowson2022kdiffusion",
    "sample_dpm_2 with gamma = churn h",
    "Churn that shrinks with the step, then DPM-Solver-2.",
)


@solver(
    order=0,
    cold=0,
    cite="platen2022diffusers",
    eq="EulerDiscreteScheduler.step",
    family=FAMILY,
    stochastic=True,
    note="the model is called before the noise is added; " + FIRST,
)
def euler_churn_coded(T: Trace, grid: Any, churn: float = 40.0) -> None:
    """Churn as schedulers code it for noise predictions: ``x^ + (sigma_t - sigma^) eps``, ``eps`` predicted at ``s``.

    With data predictions the same code takes ``(sigma_t / sigma^) x^ + (1 - sigma_t / sigma^) D`` instead, which is
    another method.
    """
    _check(churn=churn)
    gamma = min(churn / (len(grid.levels) - 1), LARGEST)
    for s, t in T.steps(grid):
        e, q = T.evaluate(T.x, s).noise, t.alpha / s.alpha
        u = _above(T, s, gamma) if gamma else None
        T.x = q * T.x + (t.sigma - q * s.sigma * (1 + gamma if u else 1)) * e
        if u:
            T.x = T.x + (t.alpha / u.alpha * _spread(s, u)) * T.noise(s, u)


@solver(order=2, cold=2, cite="xu2023restart", eq="Algorithm 1", family=FAMILY, stochastic=True)
def restart(T: Trace, grid: Any, back: int = 1, times: int = 1, at: tuple[int, ...] | None = None) -> None:
    """Heun in ``sigma / alpha``; from a level reached, noise up to ``back`` levels before and down, ``times`` times.

    ``at`` are the numbers of these levels in the grid; by default all but the clean one. The paper gives an interval
    ``[t_min, t_max]`` in sigma: ``at`` is then the level at ``t_min``, and ``back`` reaches ``t_max``. On the way down
    again the levels are the grid's own, which shrink with it; the paper has a number of steps for each interval, and
    with that fixed a bias stays.

    Raises:
        ValueError: ``back`` is less than one, or ``times`` negative.
    """
    if back < 1 or times < 0:
        raise ValueError(f"back = {back!r}, times = {times!r} is no restart: use back >= 1 and times >= 0")
    levels = grid.levels
    for i, (s, t) in enumerate(T.steps(grid), 1):
        x = _heun(T, T.x, s, t)
        first = max(i - back, 0)
        for _ in range(times if not t.clean and (at is None or i in at) else 0):
            x = _up(T, x, t, levels[first])
            for k in range(first, i):
                x = _heun(T, x, levels[k], levels[k + 1])
        T.x = x
