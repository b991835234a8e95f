"""Reversible samplers: the steps can be solved for their past, so that a run is undone exactly, for any model.

Two-step methods give ``x_-`` back from ``x_+`` and ``x``, the pair of the last two states. All of them with one call of
the model are of the form

    x_+ - DDIM_+(x) = g (x_- - DDIM_-(x))

where ``DDIM_+`` and ``DDIM_-`` are first-order steps from the present level, ahead and back, and the gain ``g`` is
BDIA's ``gamma``, or one that leaves ``x`` out (leapfrog), or the one of order two (BELM). See :mod:`.reversible_pairs`
for methods that carry two states of one level.

``dn.invert(plan)`` is the exact inverse. What it costs: a difference of the two states is multiplied by ``-g`` in
sampling (seen in the variable that stands still without a model) and by ``-1 / g`` on the way back, where rounding is
such a difference. So what damps in sampling destroys the digits of the inversion, ``gamma^-N`` in ``N`` steps of BDIA;
and what damps nothing, leapfrog and BDIA at ``gamma = 1``, is stable on no interval of the real axis (weak instability:
on long runs the two states drift apart). ``dn.growth(plan, target)`` says how much for a plan.

The second state is an input and an output of its own: ``dn.sample(plan, model, x, outputs="all")`` gives the sample and
the state before it, and a run may be started from the first two states. Started from ``x`` alone the first step is
DDIM's. Runs from pure noise and to ``sigma = 0`` are undone like others, where the network predicts what it can there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..num import expm1, extended
from ..plan import Level
from ..trace import Evaluation, Form, Trace, solver
from . import generated
from .coords import DATA, RATIO, SNR, Coords

__all__ = ["bdia", "bdia_dpmpp", "bdia_edm", "bdia_half", "belm", "belm_data", "leapfrog"]

FAMILY = "reversible"
BDIA = "zhang2024bdia"
ON_SMOOTH = (
    "of order two where steps of sigma / alpha change smoothly, like every leapfrog; of order one on other grids"
)

Increment = Callable[[Trace, Form, Evaluation, Level, Level], Form]
"""From ``(T, x, e, s, u)`` to the state at ``u``, ahead of ``s`` or behind it, with ``e`` the evaluation of ``x``."""


# --- BDIA ---


def by_bdia(T: Trace, grid: Any, gamma: Any, increment: Increment) -> None:
    """``x_+ = step_+(x) + gamma (x_- - step_-(x))``; the first step is ``step_+``.

    Raises:
        ValueError: ``gamma`` outside [0, 1].
    """
    if isinstance(gamma, (int, float)) and not 0 <= gamma <= 1:
        raise ValueError(f"gamma = {gamma!r} is outside [0, 1]: the second root is -gamma, and 0 is the method without")
    past, behind = T.x, None
    for s, t in T.steps(grid):
        x, e = T.x, T.evaluate(T.x, s)
        ahead = increment(T, x, e, s, t)
        T.x = T.given("next", ahead) if behind is None else ahead + gamma * (past - increment(T, x, e, s, behind))
        past, behind = x, s
    T.returns("previous", past)


def ddim_to(T: Trace, x: Form, e: Evaluation, s: Level, u: Level) -> Form:
    """DDIM."""
    return u.alpha * e.data + u.sigma * e.noise


def heun_to(T: Trace, x: Form, e: Evaluation, s: Level, u: Level) -> Form:
    """Heun's step in ``sigma / alpha``, which is EDM's; DDIM where that is infinite, and to ``sigma = 0``."""
    if s.pure_noise or u.pure_noise or u.clean:
        return ddim_to(T, x, e, s, u)
    q = u.alpha / s.alpha
    step = u.sigma - q * s.sigma
    there = T.evaluate(q * x + step * e.noise, u)
    return q * x + (step / 2) * (e.noise + there.noise)


def dpmpp_2s_to(T: Trace, x: Form, e: Evaluation, s: Level, u: Level) -> Form:
    """DPM-Solver++(2S) with its node in the middle; DDIM where log-SNR is infinite."""
    if s.pure_noise or u.pure_noise or u.clean:
        return ddim_to(T, x, e, s, u)
    h = T.h(s, u)
    half = T.below(s, h / 2)
    D = T.denoise((half.sigma / s.sigma) * x - (half.alpha * expm1(-h / 2)) * e.data, half)
    return (u.sigma / s.sigma) * x - (u.alpha * expm1(-h)) * D


@solver(order=1, cold=2, smooth=2, cite=BDIA, eq="update of BDIA-DDIM", family=FAMILY, note=ON_SMOOTH)
def bdia(T: Trace, grid: Any, gamma: Any = 1.0) -> None:
    """BDIA-DDIM: ``x_+ = DDIM_+(x) + gamma (x_- - DDIM_-(x))``, one call a step.

    At ``gamma = 1``, as here, of order two on smooth grids; undone to rounding after any number of steps; stable on no
    real interval. At ``gamma < 1`` of order one, with ``(1 - gamma) / (1 + gamma)`` times DDIM's error, stable to
    ``2 (1 - gamma) / (1 + gamma)``, and its inverse multiplies rounding by ``gamma^-N``: :data:`bdia_half`. At 0 it is
    DDIM, which cannot be undone.
    """
    by_bdia(T, grid, gamma, ddim_to)


@solver(
    order=1,
    cold=1,
    cite=BDIA,
    eq="update of BDIA-DDIM, gamma = 0.5",
    family=FAMILY,
    note="recommended by its authors for ten steps; the inverse multiplies rounding by 2^N",
)
def bdia_half(T: Trace, grid: Any, gamma: Any = 0.5) -> None:
    """:data:`bdia` at ``gamma = 1/2``, which its authors recommend for ten steps: a third of DDIM's error."""
    by_bdia(T, grid, gamma, ddim_to)


@solver(order=2, cold=2, cite=BDIA, eq="the update with the increments of EDM", family=FAMILY)
def bdia_edm(T: Trace, grid: Any, gamma: Any = 1.0) -> None:
    """BDIA on Heun's steps in ``sigma / alpha``, ahead and back from the present state: three calls a step.

    Of order two on any grid and for any ``gamma``, with Heun's own error constant: the errors of the two increments add
    where those of DDIM cancel, so nothing is gained but the inverse. Its authors publish no code for it; an increment
    that used the prediction at ``x_-`` again would save a call, and could not be undone.
    """
    by_bdia(T, grid, gamma, heun_to)


@solver(order=2, cold=2, cite=BDIA, eq="the update with the increments of DPM-Solver++", family=FAMILY)
def bdia_dpmpp(T: Trace, grid: Any, gamma: Any = 1.0) -> None:
    """BDIA on the steps of DPM-Solver++(2S), ahead and back from the present state: three calls a step.

    As :data:`bdia_edm`. The steps of DPM-Solver++(2M) hold the prediction at ``x_-`` and cannot be undone exactly;
    those of order one are DDIM's, :data:`bdia`.
    """
    by_bdia(T, grid, gamma, dpmpp_2s_to)


# --- other gains ---

Rule = Callable[[Any, Any], Sequence[Any]]
"""From ``(z, c)`` to the weights ``(A, B, W)`` of ``y_1 = A y_0 + B y_c + W N_0``."""


def two_step(T: Trace, grid: Any, coords: Coords, rule: Rule) -> None:
    """A reversible two-step method in ``coords``, started with DDIM. Where they are infinite, at a start from pure
    noise or on the step to ``sigma = 0``, the method is the other end's: on the data, or on the noise."""
    past: tuple[Form, Level] | None = None
    for s, t in T.steps(grid):
        x, e = T.x, T.evaluate(T.x, s)
        if past is None:
            T.x = T.given("next", ddim_to(T, x, e, s, t))
        else:
            here = (c for c in (coords, SNR, RATIO) if c.regular(past[1], s) and c.regular(s, t))
            T.x = _second(T, x, e, s, t, past, next(here, None), rule)
        past = x, s
    T.returns("previous", past[0] if past else T.x)


def _second(
    T: Trace, x: Form, e: Evaluation, s: Level, t: Level, past: tuple[Form, Level], coords: Coords | None, rule: Rule
) -> Form:
    """One step; DDIM's, which cannot be undone, from pure noise to the data in two."""
    if coords is None:
        return ddim_to(T, x, e, s, t)
    x_, r = past
    h, h_ = coords.step(T, s, t), coords.step(T, r, s)
    a, b, w = rule(coords.stiffness * h, -h_ / h)
    gain = coords.gain(t)
    new = (gain / coords.gain(r) * b) * x_ + (gain * h * w) * coords.quantity(e)
    return new if isinstance(a, int) else (gain / coords.gain(s) * a) * x + new


def _belm(z: Any, c: Any) -> Sequence[Any]:
    return extended(generated.belm_2, z, c)


def _leapfrog(z: Any, c: Any) -> Sequence[Any]:
    return (0, *extended(generated.leapfrog, z, c))


@solver(order=1, cold=2, smooth=2, cite="hairer1993", eq="III.1, midpoint rule", family=FAMILY, note=ON_SMOOTH)
def leapfrog(T: Trace, grid: Any, coords: Coords = DATA) -> None:
    """Leapfrog: the step of DPM-Solver++(1) over two intervals at once, with the prediction between them,

    ``x_+ = (sigma_+ / sigma_-) x_- - alpha_+ (e^-(h + h_) - 1) D``. Its second root is ``-1`` on any steps: undone to
    rounding after any number of them, stable on no real interval. ``coords=RATIO`` is the one on the noise, the
    explicit midpoint rule ``y_+ = y_- + (tau_+ - tau_-) eps`` in ``x / alpha`` against ``sigma / alpha``, which is
    :data:`bdia` where ``alpha`` is constant; there rounding drifts apart in sampling, by as much as ``x / alpha``
    shrinks.
    """
    two_step(T, grid, coords, _leapfrog)


BELM_NOTE = (
    "not zero-stable where steps alternate: a rounding error there grows with the number of steps; its inverse "
    "multiplies rounding by the square of the first step over the last"
)


@solver(order=2, cold=2, smooth_only=True, cite="wang2024belm", eq="optimal BELM", family=FAMILY, note=BELM_NOTE)
def belm(T: Trace, grid: Any) -> None:
    """The optimal BELM, of order two on any steps, in ``y = x / alpha`` against ``tau = sigma / alpha``: with the last
    two increments ``h`` and ``h_`` of ``tau``,

    ``y_+ = (1 - h^2 / h_^2) y + (h^2 / h_^2) y_- + h (h + h_) / h_ eps``.

    Second root ``-h^2 / h_^2``: the product over a run telescopes to ``(h_N / h_0)^2``, by which the two states draw
    together in sampling and rounding grows in the inverse. Stable on no real interval.
    """
    two_step(T, grid, RATIO, _belm)


@solver(
    order=2,
    cold=2,
    smooth_only=True,
    cite="wang2024belm",
    eq="order two for the data in log-SNR",
    family=FAMILY,
    note=BELM_NOTE.partition(";")[0],
)
def belm_data(T: Trace, grid: Any) -> None:
    """BELM of order two for the data in log-SNR, where :data:`belm` interpolates the noise in ``sigma / alpha``:
    another method (theory.reversible).
    """
    two_step(T, grid, DATA, _belm)
