"""Samplers as diffusers codes them where none of ours is equal: what a step does depends on settings of the walk.

``phi(x, e, s, t) = (alpha_t / alpha_s) x + (sigma_t - (alpha_t / alpha_s) sigma_s) e`` is DDIM's step with the noise
``e``, written so in :mod:`diffnum.solvers.pseudo`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..num import extended
from ..plan import Level
from ..solvers import generated as g
from ..solvers.rules import Formula, Point, nodes
from ..solvers.sde_multistep import CORRECT, PREDICT, implicit
from ..solvers.sde_rules import ADAMS, ADAMS_MOULTON, DATA_SDE, NOISE_SDE, Reverse
from ..trace import Form

__all__ = ["angular", "pseudo_numerical", "stochastic"]

Build = Callable[..., None]
# the level stepped to and the level evaluated at
Half = tuple[Level, Level]


def _ddim(x: Form, e: Form, s: Level, t: Level) -> Form:
    r = t.alpha / s.alpha
    return r * x + (t.sigma - r * s.sigma) * e


def _combined(weights: Sequence[Any], past: Sequence[Form]) -> Form:
    return sum((float(w) * e for w, e in zip(weights, past, strict=True)), Form())


# --- IPNDM ---


def angular(T: Any, grid: Any) -> None:
    """IPNDM of diffusers: Adams-Bashforth of four points on the noise, through DDIM's step.

    At pure noise the noise is the state itself and the data prediction counts as zero, whatever the network says: the
    first step is ``x = sigma_t x``.
    """
    past: tuple[Form, ...] = ()
    for s, t in T.steps(grid):
        past = (T.evaluate(T.x, s).noise, *past)[:4]
        e = _combined(g.ADAMS_BASHFORTH[len(past) - 1], past)
        T.x = t.sigma * e if s.pure_noise else _ddim(T.x, e, s, t)


# --- PNDM ---


def pseudo_numerical(halves: Sequence[Half], quantity: str) -> Build:
    """PNDM of diffusers: Runge-Kutta steps, or one improved Euler step, then Adams-Bashforth of four points.

    Args:
        halves: of each Runge-Kutta step the level that its first stage steps to, and the one at which its inner stages
            evaluate, which are two where the number of training steps between levels is odd.
        quantity: what is combined, ``"noise"`` or ``"velocity"``; a combination ``V`` of velocities of different levels
            is turned into noise with the start of the step, ``e = alpha_s V + sigma_s x``.
    """

    def moved(x: Form, combined: Form, s: Level, t: Level) -> Form:
        return _ddim(x, combined if quantity == "noise" else s.alpha * combined + s.sigma * x, s, t)

    def build(T: Any, grid: Any) -> None:
        def asked(x: Form, level: Level) -> Form:
            return T.evaluate(x, level).read("noise" if quantity == "noise" else level.v)

        past: tuple[Form, ...] = ()
        for i, (s, t) in enumerate(T.steps(grid)):
            now = asked(T.x, s)
            past = (now, *past)[:4]
            if i < len(halves):
                to, at = halves[i]
                second = asked(moved(T.x, now, s, to), at)
                third = asked(moved(T.x, second, s, at), at)
                fourth = asked(moved(T.x, third, s, t), t)
                e = _combined(g.RK4.weights, (now, second, third, fourth))
            elif i == 0:
                e = _combined(g.HEUN2.weights, (now, asked(moved(T.x, now, s, t), t)))
            else:
                e = _combined(g.ADAMS_BASHFORTH[len(past) - 1], past)
            T.x = moved(T.x, e, s, t)

    return build


# --- SA-Solver ---


def stochastic(data: bool, points: Sequence[int], corrector: Sequence[int], rates: Sequence[float]) -> Build:
    """SA-Solver of diffusers: predict, evaluate, correct with the same draw; the last step is not corrected.

    Args:
        data: on the data prediction rather than the noise.
        points: of the predictor of each step, the current one included.
        corrector: of the corrector of each step, the new one included.
        rates: noise per log-SNR of each step, ``tau^2``.
    """
    form = DATA_SDE if data else NOISE_SDE
    predict, correct = (PREDICT, CORRECT) if data else (ADAMS, ADAMS_MOULTON)

    def build(T: Any, grid: Any) -> None:
        past: tuple[Point, ...] = ()
        e, last = None, len(points) - 1
        for i, (s, t) in enumerate(T.steps(grid)):
            e = T.evaluate(T.x, s) if e is None else e
            now, rate = Point(form.quantity(e), T.h(s, t)), float(rates[i])
            noise = form.drawn(T, s, t, now.step, rate)
            x, e = _moved(form, T.x, s, t, rate, predict[points[i] - 1], (now, *past)[: points[i]]) + noise, None
            if i < last:
                e = T.evaluate(x, t)
                count = corrector[i]
                rule = implicit if count == 1 else correct[count - 2]
                # the implicit rule has a weight for the current point, which is zero
                used = (now, *past)[: max(count - 1, 1)]
                x = _moved(form, T.x, s, t, rate, rule, used, form.quantity(e)) + noise
            T.x, past = x, (now, *past)

    return build


def _moved(
    form: Reverse, x: Form, s: Level, t: Level, rate: float, rule: Formula, used: Sequence[Point], *ahead: Form
) -> Form:
    h = used[0].step
    weights = extended(rule, form.z(h, rate), *nodes(h, used[1:]))
    return form.moved(x, s, t, h, h, rate, weights, (*ahead, *(p.N for p in used)))
