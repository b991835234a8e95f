"""Taylor samplers: the prediction and its exact derivatives along the flow, by forward-mode differentiation.

In the coordinates of :mod:`diffnum.solvers.coords`, with ``N^(k)`` the k-th derivative of their quantity along the flow
in the fraction of the step, and ``z = stiffness step``, the integral of Taylor's polynomial is a step of order ``p``,

    x_t = ratio x_s + gain step (phi_1(z) N + phi_2(z) N' + ... + phi_p(z) N^(p-1)).

    ``DATA``    (sigma_t / sigma_s) x - alpha_t (e^-h - 1) D + alpha_t h^2 phi_2(-h) dD/dlam
    ``RATIO``   GENIE's step without its distilled network (Dockhorn et al. 2022, section 3)
    ``CLOCK``   x + dc x' + dc^2 x'' / 2, the expansion whose derivative RF-Solver takes by a difference

``N'`` is the derivative, at ``r = 0``, of the prediction at the state that the step reaches at its fraction ``r``: the
model's Jacobian applied to ``(dx/dr, dlevel/dr)`` (a JVP). With a difference over ``[0, r]`` in its place the same
formula is the two-stage method :func:`two_stage`, a plan like any other; the Taylor step is its limit ``r -> 0``. Its
error is that of a method exact for linear ``N``, without the part that a second stage's state adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from importlib import import_module
from typing import Any

from ..grid import Grid
from ..num import phi
from ..plan import Level, Line, interpret
from ..read.sample import adapted_model, as_like
from ..solvers import generated as g
from ..solvers.coords import CLOCK, DATA, Coords, transfer
from ..solvers.rules import named, runge_kutta
from ..trace import Form, Solver, Trace, compile
from .record import Span

__all__ = ["Taylored", "derivatives", "expansion", "taylor", "two_stage"]

# the first derivative is once compared with a difference over this fraction of the step and twice that
NODE = 2.0**-8
Build = Callable[[Trace, Any], None]


@dataclass(frozen=True)
class Taylored:
    """What :func:`taylor` returns.

    Attributes:
        x: the sample.
        calls: model passes by the number of derivatives taken in them: plain evaluations, JVPs, JVPs of JVPs.
    """

    x: Any
    calls: tuple[int, ...]

    @property
    def evaluations(self) -> int:
        """Plain evaluations: one a step, two that check the first derivative, one for an end that denoises."""
        return self.calls[0]

    @property
    def jvps(self) -> int:
        """Jacobian-vector products, one a step; each also computes the model's value, so it costs about two calls."""
        return self.calls[1]


def taylor(
    model: Any, grid: Grid, x_T: Any, coords: Coords = DATA, order: int = 2, prediction: str = "data"
) -> Taylored:
    """Sample by Taylor steps with exact derivatives: order 2 for one evaluation and one JVP a step.

    Steps where the coordinates, or a derivative there, are infinite (to ``sigma = 0`` in log-SNR; from ``alpha = 0``
    but in the clock) are of first order.

    Args:
        model: ``model(x, level) -> prediction`` in torch, or a target. In a JVP the numbers of the level are 0-d
            float64 tensors, which the model must use as such: ``torch.as_tensor(level.t, dtype=x.dtype).expand(n)``,
            not ``float(level.t)``. Under ``torch.no_grad()`` no graph is kept.
        x_T: torch tensor at the grid's first level; its dtype is kept.
        coords: which quantity is expanded in which variable, one of :mod:`diffnum.solvers.coords`.
        order: 2, or 3 with one JVP of a JVP a step.
        prediction: what the model returns.

    Raises:
        ValueError: arrays other than torch's; a model that torch cannot differentiate forward, or whose derivative,
            compared once with a difference, misses a part (numbers taken out of the level or the state).
    """
    run = _Run(model, grid.process, coords, _checked(order, x_T), prediction)
    x = x_T
    for s, t, h in zip(grid.levels[:-1], grid.levels[1:], grid.h, strict=True):
        x = run.step(Span(grid.process, (s, t), (h,)), x)
    x = run.walk(_stay, Span(grid.process, grid.levels[-1:], (), grid.end), x)
    run.calls[0] += grid.end in ("denoise", "half")
    return Taylored(x, tuple(run.calls))


def derivatives(
    model: Any,
    process: Any,
    x: Any,
    s: Level,
    t: Level,
    coords: Coords = DATA,
    order: int = 2,
    prediction: str = "data",
) -> tuple[Any, ...]:
    """``(N, N', ...)`` at the state ``x`` of level ``s``, total derivatives along the flow in the fraction of the step
    to ``t``; by ``coords.step ** k`` divided they are those in the variable. Arguments and errors as :func:`taylor`."""
    run = _Run(model, process, coords, _checked(order, x), prediction)
    if not _differentiable(coords, s, t):
        raise ValueError(
            f"{coords.name} has no derivative from t = {s.t:g} to {t.t:g}: use levels with alpha > 0 and sigma > 0"
        )
    return tuple(run.expand(Span(process, (s, t), (t.lam - s.lam,)), x))


def two_stage(coords: Coords = DATA, r: Any = Fraction(1, 2)) -> Solver:
    """The step of order two with the difference ``(N_r - N) / r`` for ``N'``: what a Taylor run tends to be for small
    ``r``, as a sampler whose plan can be printed, proved, saved and propagated.

    DPM-Solver-2 of type taylor in ``NOISE``; the explicit midpoint rule, RF-Solver, in ``CLOCK`` with ``r = 1/2``;
    ETD2RK in ``DATA`` with ``r = 1``.

    Args:
        r: the node, a fraction of the step in the variable of ``coords``; any kind of number but 0.
    """
    says = "The Taylor step of order two, its derivative a difference over the fraction ``r`` of the step."
    claim: dict[str, Any] = {"order": 2, "cite": "hochbruck2005", "eq": "section 5", "family": "exponential one-step"}
    return named("taylor_two_stage", runge_kutta(coords, g.etd2, c2=r), says, cold=2, **claim)


def expansion(coords: Coords = DATA, order: int = 2) -> Build:
    """Builds the Taylor step as a plan whose evaluations stand for ``N, N', ...`` at the start of the step: what the
    loop runs, and the limit of :func:`two_stage`. Its evaluations are no calls of a model, so it is not for
    :func:`~diffnum.read.sample.sample`."""

    def build(T: Trace, grid: Any) -> None:
        for s, t in T.steps(grid):
            z = coords.stiffness * coords.step(T, s, t)
            T.x = _expanded(coords, T, s, t, t, [phi(k + 1, z) for k in range(order)])

    return build


def _checked(order: int, x: Any) -> int:
    if order not in (2, 3):
        raise ValueError(f"order = {order!r} is no Taylor step here: use 2 or 3")
    if not type(x).__module__.startswith("torch"):
        raise ValueError(
            f"the state is a {type(x).__name__}, and a model is differentiated forward in torch only: give a tensor, "
            "or compile taylor.two_stage, whose derivative is a difference"
        )
    return order


def _differentiable(coords: Coords, s: Level, t: Level) -> bool:
    # other variables reach their levels by log-SNR, which is infinite there
    return coords.regular(s, t) and (coords is CLOCK or not s.pure_noise)


@dataclass
class _Run:
    """A model with its ledger."""

    model: Any
    process: Any
    coords: Coords
    order: int
    prediction: str
    calls: list[int] = field(init=False)
    compared: bool = False

    def __post_init__(self) -> None:
        self.calls = [0] * self.order
        self._call = adapted_model(self.model, self.prediction)

    def walk(self, build: Build, span: Span, x: Any, known: Sequence[Any] = ()) -> Any:
        """A compiled one-step plan from ``x``; its first evaluations are known already, the others are the model's."""
        given = iter(known)

        def evaluate(y: Any, level: Level, quantity: str) -> Any:
            for value in given:
                return value
            return as_like(self._call(y, level), y)

        return interpret(compile(build, span, self.prediction), x, _combination, evaluate, _no_noise)[0]

    def step(self, span: Span, x: Any) -> Any:
        if _differentiable(self.coords, *span.levels):
            return self.walk(expansion(self.coords, self.order), span, x, self.expand(span, x))
        self.calls[0] += 1
        return self.walk(_first_order, span, x)

    def expand(self, span: Span, x: Any) -> list[Any]:
        """``[N, N', ...]``; each is the derivative along the path that those before it predict."""
        known = [self.walk(_seen(self.coords, 0, 0.0), span, x)]
        self.calls[0] += 1
        for k in range(1, self.order):
            ahead = partial(self.ahead, span, x, tuple(known))
            known.append(_derivative(ahead, k, x))
            self.calls[k] += 1
            if not self.compared:
                difference = (4 * ahead(NODE) - ahead(2 * NODE) - 3 * known[0]) / (2 * NODE)
                self.compare(difference, known[0], known[1], span, x)
        return known

    def ahead(self, span: Span, x: Any, known: tuple[Any, ...], r: Any) -> Any:
        """``N`` at the fraction ``r`` of the step, at the state that the expansion predicts there."""
        return self.walk(_seen(self.coords, len(known), r), span, x, known)

    def compare(self, difference: Any, N: Any, slope: Any, span: Span, x: Any) -> None:
        """Refuse a derivative that is not what the model's values show: of what a model takes out of torch, forward
        mode says that it is constant, and the step would silently be of first order."""
        self.compared = True
        self.calls[0] += 2
        # of single precision at least, which a network may compute in whatever the state is
        rounding = 64 * max(import_module("torch").finfo(x.dtype).eps, 2.0**-23) / NODE
        allowed = 0.02 * max(_size(slope), _size(difference))
        allowed += rounding * (_size(N) + _size(x) / float(span.levels[0].sigma))
        gap = _size(difference - slope)
        if not gap <= allowed:
            raise ValueError(
                f"the model's forward derivative along the flow, {_size(slope):.3g}, is off that of its values by "
                f"{gap:.3g}: let level.t and the like stay tensors in the model, or compile taylor.two_stage"
            )


# --- one-step plans ---


def _first_order(T: Trace, grid: Any) -> None:
    for s, t in T.steps(grid):
        T.x = transfer(T.x, s, t, T.denoise(T.x, s))


def _stay(T: Trace, grid: Any) -> None:
    for _ in T.steps(grid):
        pass


def _seen(coords: Coords, terms: int, r: Any) -> Build:
    """``N`` at the fraction ``r`` of the step, after evaluations that stand for ``N, N', ...`` at its start."""

    def build(T: Trace, grid: Any) -> None:
        for s, t in T.steps(grid):
            u = coords.between(T, s, t, r) if terms else s
            weights = _weights(coords.stiffness * coords.step(T, s, t), terms, r)
            T.x = coords.quantity(T.evaluate(_expanded(coords, T, s, t, u, weights), u))

    return build


def _expanded(coords: Coords, T: Trace, s: Level, t: Level, u: Level, weights: Sequence[Any]) -> Form:
    h = coords.gain(u) * coords.step(T, s, t)
    x = coords.ratio(s, u) * T.x
    for w in weights:
        x = x + (h * w) * Form(((T.evaluate(T.x, s).register, 1.0),))
    return x


def _weights(z: Any, terms: int, r: Any) -> list[Any]:
    """``r^(k+1) phi_(k+1)(r z)`` up to ``r^terms``, of which no further power is seen at ``r = 0``."""
    return [sum(z**i * r ** (i + k + 1) / math.factorial(i + k + 1) for i in range(terms - k)) for k in range(terms)]


# --- numbers ---


def _derivative(f: Callable[[Any], Any], times: int, x: Any) -> Any:
    """The ``times``-th derivative of ``f`` at 0 by nested forward mode."""
    torch = import_module("torch")
    at = torch.zeros((), dtype=torch.float64, device=x.device)

    def once(f: Callable[[Any], Any], r: Any) -> Any:
        return torch.func.jvp(f, (r,), (torch.ones_like(r),))[1]

    for _ in range(times):
        f = partial(once, f)
    try:
        return f(at)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"the model cannot be differentiated forward in torch ({str(error).splitlines()[0]}): write it in "
            "operations that have a forward derivative, or compile taylor.two_stage, whose derivative is a difference"
        ) from error


def _combination(terms: Sequence[tuple[Any, Any]]) -> Any:
    # not in place: a sum may begin with a term that has no derivative
    (c, value), *rest = terms
    total = value * c
    for c, value in rest:
        total = total + value * c
    return total


def _size(value: Any) -> float:
    return float(value.detach().abs().max())


def _no_noise(line: Line) -> Any:
    raise AssertionError(f"a Taylor step draws no noise: {line}")
