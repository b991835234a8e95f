"""Samplers of score SDEs that look at what they compute: error-controlled steps, and Langevin steps set by norms.

Both draw noise, and what they choose depends on the draws, so neither has an exact law. Each leaves the affine sampler
that it froze, whose law is exact (:data:`~diffnum.solvers.stochastic_improved_euler` is certified); what choosing does
to the law is judged by samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..grid import Grid
from ..noise import Brownian, Counter, as_source
from ..plan import Level, Noise, Plan, interpret
from ..prediction import convert
from ..read.sample import adapted_model, as_like, linear, sample
from ..solvers.stochastic import ancestral, corrector, ddpm_ancestral
from ..solvers.stochastic_rk import stochastic_improved_euler
from ..trace import Trace, compile
from .loop import check_control, largest, scale_of
from .record import Span
from .walk import increment

__all__ = ["Corrected", "Gone", "gotta_go_fast", "gotta_go_fast_each", "langevin_by_norms", "langevin_of_sizes"]

# a step below this fraction of what is left cannot be told from rounding
SMALLEST = 1e-12


@dataclass(frozen=True)
class Gone:
    """What :func:`gotta_go_fast` returns.

    Attributes:
        x: the sample.
        plan: the frozen plan of the steps that were kept; run from the same ``x_T`` with the same noise it gives ``x``.
        errors: ``E`` of every kept step.
        nfe: model evaluations made, those of attempts that were not kept included.
        rejected: attempts not kept.
    """

    x: Any
    plan: Plan
    errors: tuple[float, ...]
    nfe: int
    rejected: int


def gotta_go_fast(
    model: Any,
    process: Any,
    x_T: Any,
    noise: Any,
    rtol: float = 0.02,
    atol: float = 0.0078,
    first: float = 0.01,
    safety: float = 0.9,
    power: float = 0.9,
    start: Any = None,
    stop: Any = None,
    prediction: str = "data",
    end: str = "stop",
) -> Gone:
    """The reverse SDE with steps chosen by their error (Jolicoeur-Martineau et al. 2021, Algorithm 1).

    A step is kept when ``E = max over samples of ||(x_t - x') / max(atol, rtol max(|x'|, |x'_prev|))||_2 / sqrt(d)`` is
    at most one; then the improved ``x_t`` is taken (extrapolation) and the next step is ``safety h E^-power``. The
    whole batch takes the steps that its worst sample needs; :func:`gotta_go_fast_each` has steps for each sample.

    The published algorithm draws anew after a rejection, which prefers draws that are easy. With
    ``noise=dn.noise.Brownian(seed)`` a shorter step sees the same path and nothing is preferred; with a ``Counter`` the
    draws are fresh, as published.

    Args:
        noise: a source of draws, as for :func:`diffnum.sample`.
        rtol, atol: the tolerance of one step.
        first: the first step tried, as a fraction of the whole in the process's clock.
        start, stop: levels or times; default the process's ends.
        end: "stop", or "denoise" for the data prediction at ``stop``, as published.

    Raises:
        ValueError: tolerances, fractions or an interval that cannot be used; a step that falls below rounding.
    """
    check_control(rtol, atol, end)
    _check(first, safety, power)
    s, goal = (
        at if isinstance(at, Level) else process.level(default if at is None else at)
        for at, default in ((start, process.t_start), (stop, process.t_stop))
    )
    if s.pure_noise or goal.clean:
        raise ValueError(
            "the reverse SDE in the process's clock is infinite at alpha = 0 and at sigma = 0: start and stop inside, "
            "with end='denoise'"
        )
    draw, call = as_source(noise), adapted_model(model, prediction)
    clock, c_end = process.clock(s), process.clock(goal)
    h, levels, errors, rejected, nfe = first, [s], [], 0, 0
    x = before = x_T
    while levels[-1] is not goal:
        here = process.clock(levels[-1])
        part = h * (c_end - clock) / (c_end - here)
        if h < SMALLEST or not math.isfinite(h):
            raise ValueError(
                f"the step fell to {h:.3g} of the interval at t = {levels[-1].t:.6g}: the tolerance is below rounding, "
                "or the model's values are not finite there; raise atol or check the model"
            )
        t = goal if part >= 1 - 1e-9 else process.at_clock(here + part * (c_end - here))
        low, high = _attempt(
            compile(stochastic_improved_euler, _span(process, levels[-1], t), prediction), call, draw, x
        )
        nfe += 2
        size = largest((high - low) / scale_of(low, before, rtol, atol))
        if size <= 1:
            x, before = high, low
            levels.append(t)
            errors.append(size)
        else:
            rejected += 1
        h = h * min(safety * max(size, 1e-8) ** -power, 10.0)
    grid = Grid(tuple(levels), tuple(increment(a, b) for a, b in pairwise(levels)), process, end)
    plan = compile(stochastic_improved_euler, grid, prediction)
    if end == "denoise":
        a, b = convert(goal, prediction, "data")
        x = a * x + b * as_like(call(x, goal), x)
        nfe += 1
    return Gone(x, plan, tuple(errors), nfe, rejected)


def gotta_go_fast_each(
    model: Any, process: Any, x_T: Any, noise: Counter | Brownian, **options: Any
) -> tuple[Gone, ...]:
    """:func:`gotta_go_fast` of every sample alone, with steps of its own as published: a sample's result depends on no
    other, at the price of a model call per sample. The arguments are those of :func:`gotta_go_fast`.

    Raises:
        ValueError: ``noise`` is not keyed by sample.
    """
    if not isinstance(noise, Counter | Brownian):
        raise ValueError(f"noise = {noise!r} is not keyed by sample: use dn.noise.Brownian(seed) or Counter(seed)")
    sources = (replace(noise, first=noise.first + i) for i in range(len(x_T)))
    runs = (gotta_go_fast(model, process, x_T[i : i + 1], source, **options) for i, source in enumerate(sources))
    return tuple(runs)


def _span(process: Any, s: Level, t: Level) -> Span:
    return Span(process, (s, t), (increment(s, t),))


def _attempt(piece: Plan, call: Any, draw: Any, x: Any) -> tuple[Any, Any]:
    """Euler's and the improved state."""
    seen: dict[str, Any] = {}

    def visit(r: int, line: Any, value: Any) -> Any:
        if line is not None and line.name == "low":
            seen["low"] = value
        return value

    out = interpret(
        piece, x, linear(x), lambda u, level, quantity: as_like(call(u, level), u), lambda line: draw(line, x), visit
    )
    return seen["low"], out[0]


def _check(first: float, safety: float, power: float) -> None:
    for name, value in (("first", first), ("safety", safety), ("power", power)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} = {value!r} is out of range: use a number in (0, 1]")


# --- Langevin steps set by norms ---


@dataclass(frozen=True)
class Corrected:
    """What :func:`langevin_by_norms` returns.

    Attributes:
        x: the sample.
        sizes: ``e / sigma_t^2`` of every corrector step; ``2 snr^2`` for whitened data.
        plan: the frozen plan, :func:`langevin_of_sizes`; run from the same ``x_T`` with the same noise it gives ``x``.
        nfe: model evaluations.
    """

    x: Any
    sizes: tuple[float, ...]
    plan: Plan
    nfe: int


def langevin_of_sizes(T: Trace, grid: Any, sizes: Sequence[Any] = ()) -> None:
    """Ancestral predictor, then one Langevin step ``x + e score + sqrt(2 e) z`` with ``e = sizes[i] sigma_t^2``."""
    for i, (s, t) in enumerate(T.steps(grid)):
        ancestral(T, s, t, 1.0)
        corrector(T, s, t, sizes[i])


def langevin_by_norms(
    model: Any, grid: Grid, x_T: Any, noise: Any, snr: float = 0.16, prediction: str = "data"
) -> Corrected:
    """The predictor-corrector of score SDEs with the published step size (Song et al. 2021, Algorithms 4 and 5),

        e = 2 (snr |z| / |score|)^2,    norms over a sample, their means over the batch,

    which makes the sampler non-linear: it is judged by samples. ``langevin_corrector`` has the ratio of norms that
    whitened data have, and an exact law.

    Args:
        noise: a source of draws: the predictor's is ``j = 0`` of an interval, the corrector's ``j = 1``.
        snr: the paper's ``r``.

    Raises:
        ValueError: an ``snr`` that is not positive; a plan that the ancestral predictor refuses.
    """
    if not 0 < snr < math.inf:
        raise ValueError(f"snr = {snr!r} is no signal-to-noise ratio: use a positive number, such as 0.16")
    draw, call = as_source(noise), adapted_model(model, prediction)
    x, sizes, nfe = x_T, [], 0
    for (s, t), h in zip(pairwise(grid.levels), grid.h, strict=True):
        x = sample(compile(ddpm_ancestral, Span(grid.process, (s, t), (h,)), prediction), model, x, noise)
        nfe += 1
        if t.clean:
            sizes.append(0.0)
            continue
        a, b = convert(t, prediction, "noise")
        e = a * x + b * as_like(call(x, t), x)
        z = draw(Noise(s, t, 1), x)
        nfe += 1
        # score = -e / sigma
        size = 2 * (snr * _norm(z) / _norm(e)) ** 2
        sizes.append(size)
        x = x - (size * t.sigma) * e + (t.sigma * math.sqrt(2 * size)) * z
    plan = compile(langevin_of_sizes, grid, prediction, sizes=tuple(sizes))
    return Corrected(x, tuple(sizes), plan, nfe)


def _norm(x: Any) -> float:
    wide = x.double() if hasattr(x, "double") else x.astype(np.float64)
    return float(((wide.reshape(len(wide), -1) ** 2).sum(-1) ** 0.5).mean())
