"""How the reverse SDEs are interpolated: exponential Adams and Runge-Kutta rules with noise, in data or in noise.

With noise of ``rate`` per log-SNR (0 the probability flow, 1 the reverse SDE; ``tau^2`` of SA-Solver, ``eta`` of
k-diffusion's multistep samplers) and ``N`` the data or the noise that the network predicts, a step is

    x_t = (sigma_t/sigma_s) e^{-rate h} x + alpha_t (1 + rate) h sum_j w_j(-(1 + rate) h) D_j
          + sigma_t sqrt(1 - e^{-2 rate h}) z                                                     (:data:`DATA_SDE`)
    x_t = (alpha_t/alpha_s) x - sigma_t (1 + rate) h sum_j w_j(h) eps_j
          + sigma_t sqrt(rate (e^{2h} - 1)) z                                                     (:data:`NOISE_SDE`)

with the weights ``w_j(z)`` of deterministic exponential methods (theory.stochastic). ``rate`` is an option of every
sampler here: a number, or a function of the two levels of a step, ``rate(s, t)``, such as ``tau(t)^2``. Where it is the
number 0 nothing is drawn. Noise at several nodes of a step is that of one path: draws of neighbouring parts of the
step through the factors of theory.ito.

A step from pure noise or to ``sigma = 0``, where log-SNR is infinite, is of first order, on the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..num import exp, extended, sqrt
from ..plan import Level
from ..trace import Evaluation, Form, Trace
from . import generated
from .coords import total, transfer
from .rules import EXPONENTIAL_ADAMS, EXPONENTIAL_ADAMS_MOULTON, Build, Formula, Point, nodes
from .tables import scaled

__all__ = [
    "ADAMS",
    "ADAMS_MOULTON",
    "DATA_SDE",
    "NOISE_SDE",
    "Reverse",
    "first_order",
    "rate_of",
    "stochastic_adams",
    "stochastic_predictor_corrector",
    "stochastic_runge_kutta",
]

ADAMS, ADAMS_MOULTON = EXPONENTIAL_ADAMS, EXPONENTIAL_ADAMS_MOULTON


@dataclass(frozen=True)
class Reverse:
    """One of the two forms of the reverse SDEs above.

    Attributes:
        quantity: ``N`` from an evaluation.
        keep: factor of the state over ``(s, t, h, rate)``.
        gain: factor of ``(1 + rate) h sum_j w_j N_j``.
        z: argument of the weights, from ``(h, rate)``.
        variance: of the noise of a step, in units of ``sigma_t^2``, from ``(h, rate)``.
        factors: of the noise at 1, 2 and 3 nodes of a step (theory.ito), by their number; none for one node.
    """

    quantity: Callable[[Evaluation], Form]
    keep: Callable[[Level, Level, Any, Any], Any]
    gain: Callable[[Level], Any]
    z: Callable[[Any, Any], Any]
    variance: Callable[[Any, Any], Any]
    factors: tuple[Formula, Formula]

    def moved(
        self, x: Form, s: Level, u: Level, part: Any, size: Any, rate: Any, weights: Sequence[Any], N: Sequence[Form]
    ) -> Form:
        """The state at ``u``, at ``part`` of log-SNR below ``s``, without noise; ``weights`` in units of ``size``."""
        factor = self.gain(u) * ((1 + rate) * size)
        used = [(scaled(w, factor), n) for w, n in zip(weights, N, strict=True) if not (isinstance(w, int) and w == 0)]
        return total([(self.keep(s, u, part, rate), x), *used])

    def drawn(self, T: Trace, s: Level, t: Level, h: Any, rate: Any) -> Form:
        """The noise of a step."""
        return Form() if still(rate) else (t.sigma * sqrt(self.variance(h, rate))) * T.noise(s, t)


DATA_SDE = Reverse(
    lambda e: e.data,
    lambda s, t, h, rate: t.sigma / s.sigma * exp(-(rate * h)),
    lambda t: t.alpha,
    lambda h, rate: -((1 + rate) * h),
    lambda h, rate: extended(generated.sde_step_data, h, rate)[2],
    (generated.sde_noise_data_2, generated.sde_noise_data_3),
)
NOISE_SDE = Reverse(
    lambda e: e.noise,
    lambda s, t, h, rate: t.alpha / s.alpha,
    lambda t: -t.sigma,
    lambda h, rate: h,
    lambda h, rate: extended(generated.sde_step_noise, h, rate)[1],
    (generated.sde_noise_noise_2, generated.sde_noise_noise_3),
)


def rate_of(rate: Any, s: Level, t: Level) -> Any:
    """Noise per log-SNR on a step.

    Raises:
        ValueError: it is negative.
    """
    value = rate(s, t) if callable(rate) else rate
    if isinstance(value, (int, float)) and not value >= 0:
        raise ValueError(f"rate = {value!r} is no variance: noise per log-SNR is at least 0, and 1 is the reverse SDE")
    return value


def still(rate: Any) -> bool:
    """Whether there is no noise at all."""
    return isinstance(rate, (int, float)) and rate == 0


def first_order(T: Trace, s: Level, t: Level, D: Form, rate: Any) -> Form:
    """A step between levels of which one has infinite log-SNR: to the data, or with new noise from pure noise."""
    if t.clean or still(rate):
        return transfer(T.x, s, t, D)
    return t.alpha * D + t.sigma * T.noise(s, t)


def stochastic_adams(form: Reverse, *by_count: Formula) -> Build:
    """Stochastic Adams-Bashforth: one evaluation and one draw a step; started with fewer points.

    Args:
        by_count: weights over the current point alone, with one past point, ...: generated formulas of ``z`` and nodes.
    """

    def build(T: Trace, grid: Any, rate: Any = 1) -> None:
        past: tuple[Point, ...] = ()
        for s, t in T.steps(grid):
            e, k = T.evaluate(T.x, s), rate_of(rate, s, t)
            if s.pure_noise or t.clean:
                T.x, past = first_order(T, s, t, e.data, k), ()
                continue
            now = Point(form.quantity(e), T.h(s, t))
            T.x = _adams(form, T.x, s, t, k, now, past, by_count) + form.drawn(T, s, t, now.step, k)
            past = (now, *past)[: len(by_count) - 1]

    return build


def _adams(
    form: Reverse,
    x: Form,
    s: Level,
    t: Level,
    rate: Any,
    now: Point,
    past: Sequence[Point],
    by_count: Sequence[Formula],
    ahead: Sequence[Form] = (),
) -> Form:
    h = now.step
    weights = extended(by_count[len(past)], form.z(h, rate), *nodes(h, past))
    return form.moved(x, s, t, h, h, rate, weights, (*ahead, now.N, *(p.N for p in past)))


def stochastic_predictor_corrector(form: Reverse, predict: Sequence[Formula], correct: Sequence[Formula]) -> Build:
    """Stochastic Adams: predict, evaluate, correct with the same draw; that evaluation is the next step's.

    ``n`` steps cost ``n`` evaluations, and the last step is not corrected.

    Args:
        predict: weights over ``N_s`` alone, with one past point, ...
        correct: weights over ``N_t, N_s`` alone, with one past point, ...; one over ``N_t`` only where it is alone.
    """
    kept = max(len(predict), len(correct)) - 1

    def build(T: Trace, grid: Any, rate: Any = 1) -> None:
        past: tuple[Point, ...] = ()
        final, e = len(grid.levels) - 2, None
        for i, (s, t) in enumerate(T.steps(grid)):
            e, k = T.evaluate(T.x, s) if e is None else e, rate_of(rate, s, t)
            if s.pure_noise or t.clean:
                T.x, past, e = first_order(T, s, t, e.data, k), (), None
                continue
            now = Point(form.quantity(e), T.h(s, t))
            noise = form.drawn(T, s, t, now.step, k)
            x = _adams(form, T.x, s, t, k, now, past[: len(predict) - 1], predict) + noise
            e = None
            if i < final:
                e = T.evaluate(x, t)
                behind, ahead = past[: len(correct) - 1], (form.quantity(e),)
                x = _adams(form, T.x, s, t, k, now, behind, correct, ahead) + noise
            T.x, past = x, (now, *past)[:kept]

    return build


def stochastic_runge_kutta(form: Reverse, table: Formula, independent: bool = False, **defaults: Any) -> Build:
    """Exponential Runge-Kutta with noise at its nodes, which rise strictly from 0 to at most 1.

    Args:
        table: a generated formula ``f(z, *parameters)`` for ``(nodes, matrix, weights)``.
        independent: draw the noise of every node on its own, which is the mistake of several codes.
        defaults: parameters of the formula in its order; they are options of the sampler beside ``rate``.
    """

    def build(T: Trace, grid: Any, rate: Any = 1, **options: Any) -> None:
        for name, value in options.items():
            if name not in defaults:
                known = ", ".join(("rate", *defaults))
                raise TypeError(f"{name} = {value!r} is not an option of this sampler; its options: {known}")
        parameters = [options.get(name, value) for name, value in defaults.items()]
        for s, t in T.steps(grid):
            e, k = T.evaluate(T.x, s), rate_of(rate, s, t)
            if s.pure_noise or t.clean:
                T.x = first_order(T, s, t, e.data, k)
                continue
            h = T.h(s, t)
            at, matrix, final = extended(table, form.z(h, k), *parameters)
            levels = [t if c == 1 else T.between(s, t, c) for c in at[1:]]
            noise = _independent if independent else _along_a_path
            draws = noise(form, T, s, t, h, k, at[1:], levels)
            slopes = [form.quantity(e)]
            for c, u, row, drawn in zip(at[1:], levels, matrix[1:], draws[:-1], strict=True):
                x = form.moved(T.x, s, u, c * h, h, k, row, slopes) + drawn
                slopes.append(form.quantity(T.evaluate(x, u)))
            T.x = form.moved(T.x, s, t, h, h, k, final, slopes) + draws[-1]

    return build


def _along_a_path(
    form: Reverse, T: Trace, s: Level, t: Level, h: Any, rate: Any, at: Sequence[Any], levels: Sequence[Level]
) -> list[Form]:
    """Noise at the nodes and at the end, of one path: a draw for each part of the step."""
    inner = [(c, u) for c, u in zip(at, levels, strict=True) if u is not t]
    if still(rate):
        return [Form() for _ in (*at, 1)]
    if not inner:
        return [form.drawn(T, s, t, h, rate)] * (len(at) + 1)
    pivots, below = extended(form.factors[len(inner) - 1], h, *(c for c, _ in inner), rate)
    ends = [*(u for _, u in inner), t]
    fresh = [T.noise(a, b) for a, b in zip([s, *ends[:-1]], ends, strict=True)]
    found = []
    for i, u in enumerate(ends):
        row = (*(below[i - 1] if i else ()), 1)
        found.append(
            sum(((u.sigma * share * sqrt(e)) * z for share, e, z in zip(row, pivots, fresh, strict=False)), Form())
        )
    return [*found, found[-1]] if len(inner) < len(at) else found


def _independent(
    form: Reverse, T: Trace, s: Level, t: Level, h: Any, rate: Any, at: Sequence[Any], levels: Sequence[Level]
) -> list[Form]:
    return [form.drawn(T, s, u, c * h, rate) for c, u in zip((*at, 1), (*levels, t), strict=True)]
