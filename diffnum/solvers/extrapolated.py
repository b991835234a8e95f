"""Samplers that reuse, move or extrapolate a prediction: UCGM-S, FlowTurbo, DC-Solver, AMED-Solver, RF-Solver.

    UCGM-S      data and noise each replaced by ``q + kappa (q - q_)``, then DDIM's step
    FlowTurbo   Heun's step, its second slope, taken at the predicted state, kept for the next step
    DC-Solver   UniPC whose newest prediction is interpolated in time at ``ratio t + (1 - ratio) t_``
    AMED        one step through a node at a fraction ``r`` of log-SNR, with scales of direction and of time
    RF-Solver   the explicit midpoint rule in the clock; with the exact derivative, adaptive.taylor in CLOCK

Numbers that their authors learn are options here; the claims are those of the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ..num import extended, log
from ..trace import Form, Solver, Trace
from . import generated as g
from .coords import CLOCK, DATA, RATIO, Coords, transfer
from .corrected import UNIC_BH2, UNIP_BH2
from .quadrature import lagrange
from .rules import Build, Point, Rule, named, runge_kutta
from .tables import scaled

__all__ = ["amed", "dc_solver", "flowturbo", "rf_solver", "ucgm", "ucgm_2"]


# --- UCGM-S ---


def ucgm_as_published(T: Trace, grid: Any, kappa: Any = 0.5) -> None:
    """``alpha_t D~ + sigma_t eps~`` with one ``kappa`` for all steps, from the third on as in the reference code."""
    past: tuple[Form, Form] | None = None
    for i, (s, t) in enumerate(T.steps(grid)):
        e = T.evaluate(T.x, s)
        now = e.data, e.noise
        T.x = t.alpha * now[0] + t.sigma * now[1]
        if past is not None and i > 1:
            T.x = T.x + (kappa * t.alpha) * (now[0] - past[0]) + (kappa * t.sigma) * (now[1] - past[1])
        past = now


def ucgm_of_order_two(T: Trace, grid: Any) -> None:
    """The same with the ``kappa`` of order two on any steps of ``sigma / alpha``, from the second step on."""
    past: tuple[Form, Form, Any] | None = None
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s)
        if not RATIO.regular(s, t):
            T.x = transfer(T.x, s, t, e.data)
            continue
        now = e.data, e.noise
        step = RATIO.step(T, s, t)
        T.x = t.alpha * now[0] + t.sigma * now[1]
        if past is not None:
            (kappa,) = extended(g.extrapolation_2, -past[2] / step)
            T.x = T.x + (kappa * t.alpha) * (now[0] - past[0]) + (kappa * t.sigma) * (now[1] - past[1])
        past = (*now, step)


# --- FlowTurbo ---


def pseudo_corrector(T: Trace, grid: Any, heun: int = 1) -> None:
    """``heun`` steps of Heun, then pseudo-corrector steps, in the clock; Euler's step to the clean level.

    A pseudo-corrector step is Heun's whose first slope is the last step's second: one evaluation a step, and the last
    step is corrected too. Their refined steps need a second network.
    """
    if heun != int(heun) or heun < 0:
        raise ValueError(f"heun = {heun!r} is no number of steps: use 0, 1, ...")
    e = None
    for i, (s, t) in enumerate(T.steps(grid)):
        first = T.evaluate(T.x, s).slope if e is None else e
        step = T.dt(s, t)
        if t.clean:
            T.x, e = T.x + step * first, None
            continue
        second = T.evaluate(T.x + step * first, t).slope
        b1, b2 = g.HEUN2.weights
        T.x = T.x + scaled(b1, step) * first + scaled(b2, step) * second
        e = None if i < heun else second


# --- DC-Solver ---


def compensated(points: int, coords: Coords = DATA, predict: Rule = UNIP_BH2, correct: Rule = UNIC_BH2) -> Build:
    """UniPC of ``points`` points in which the newest prediction is replaced before each step by

        N(t') = sum_j l_j(t') N_j,    t' = ratio t_s + (1 - ratio) t_{-1},

    the interpolation in the clock of the last three, once there are three.

    The option ``ratio`` is one number, or one per step as DC-Solver learns them; 1 is UniPC. Replaced predictions stay
    replaced, as in the reference code.
    """

    def build(T: Trace, grid: Any, ratio: Any = Fraction(9, 10)) -> None:
        final = len(grid.levels) - 2
        ratios = _per_step(ratio, final + 1)
        past: tuple[tuple[Point, Any], ...] = ()
        e = None
        for i, (s, t) in enumerate(T.steps(grid)):
            e = T.evaluate(T.x, s) if e is None else e
            if not coords.regular(s, t):
                T.x, past, e = transfer(T.x, s, t, e.data), (), None
                continue
            N, clock, step = coords.quantity(e), T.process.clock(s), coords.step(T, s, t)
            if len(past) > 1:
                N = _moved(ratios[i], [(N, clock), *((point.N, c) for point, c in past[:2])])
                # later steps read it: in a register it does not grow
                N = Form(((T.pin(N, "N"), 1.0),))
            now, before = Point(N, step), [point for point, _ in past[: points - 1]]
            x, T.x, e = T.x, _step(coords, T.x, s, t, now, before, predict), None
            if i < final and not t.clean:
                e = T.evaluate(T.x, t)
                T.x = _step(coords, x, s, t, now, before, correct, (coords.quantity(e),))
            past = ((now, clock), *past)[: max(points - 1, 2)]

    return build


def _per_step(ratio: Any, steps: int) -> Sequence[Any]:
    if not isinstance(ratio, (tuple, list)):
        return [ratio] * steps
    if len(ratio) != steps:
        raise ValueError(f"{len(ratio)} ratios do not fit {steps} steps: give one number, or one per step")
    return ratio


def _moved(ratio: Any, known: Sequence[tuple[Form, Any]]) -> Form:
    clocks = [c for _, c in known]
    # a ratio of one is at the newest point whatever its digits
    at = clocks[0] + scaled(1 - ratio, clocks[1] - clocks[0])
    found = Form()
    for share, (N, _) in zip(lagrange(clocks, at), known, strict=True):
        found = found + share * N
    return found


def _step(
    coords: Coords,
    x: Form,
    s: Any,
    t: Any,
    now: Point,
    past: Sequence[Point],
    rule: Rule,
    ahead: Sequence[Form] = (),
) -> Form:
    h = coords.gain(t) * now.step
    moved = coords.ratio(s, t) * x
    for w, N in zip(rule(coords, now.step, past), (*ahead, now.N, *(p.N for p in past)), strict=True):
        moved = moved + scaled(w, h) * N
    return moved


# --- AMED-Solver ---


def through_a_node(T: Trace, grid: Any, r: Any = Fraction(1, 2), scale_dir: Any = 1, scale_time: Any = 1) -> None:
    """Euler's step in ``sigma / alpha`` to ``lam_s + r h``, and from ``s`` to ``t`` with the slope found there.

    ``scale_time`` multiplies the ``sigma / alpha`` that the network is told, ``scale_dir`` the step. To a clean level
    and from pure noise the step is DDIM's.
    """
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s)
        if t.clean or not RATIO.regular(s, t):
            T.x = transfer(T.x, s, t, e.data)
            continue
        far = scaled(r, T.h(s, t))
        u = T.below(s, far)
        told = T.below(s, far - log(scale_time))
        inner = RATIO.ratio(s, u) * T.x + (RATIO.gain(u) * RATIO.step(T, s, u)) * e.noise
        D = T.evaluate((told.alpha / u.alpha) * inner, told).data
        slope = (1 / u.sigma) * inner - (u.alpha / u.sigma) * D
        T.x = RATIO.ratio(s, t) * T.x + scaled(scale_dir, RATIO.gain(t) * RATIO.step(T, s, t)) * slope


def _named(name: str, build: Build, order: int, cite: str, eq: str, says: str, note: str = "") -> Solver:
    claim: dict[str, Any] = {"order": order, "cold": order, "cite": cite, "eq": eq, "note": note}
    return named(name, build, says, family="extrapolated", **claim)


ucgm = _named(
    "ucgm",
    ucgm_as_published,
    1,
    "sun2025ucgm",
    "reference code, uni_sample",
    "UCGM-S: DDIM with data and noise extrapolated by one ``kappa``, between 0.2 and 0.6 in the paper.",
    "of order two where kappa is r^2 / (1 + 2 r) for steps of ratio r in sigma / alpha, 1/3 for equal ones; else one",
)
ucgm_2 = _named(
    "ucgm_2",
    ucgm_of_order_two,
    2,
    "sun2025ucgm",
    "order two",
    "UCGM-S with the ``kappa`` of order two on any steps.",
)
flowturbo = _named(
    "flowturbo",
    pseudo_corrector,
    2,
    "zhao2024flowturbo",
    "pseudo corrector",
    "FlowTurbo without its refiner: Heun's steps, then pseudo-corrector steps at one evaluation each.",
)
dc_solver = _named(
    "dc_solver",
    compensated(3),
    1,
    "zhao2024dcsolver",
    "dynamic compensation",
    "DC-Solver: UniPC-3 with ``B_2`` on the data, its newest prediction moved in time by a compensation ratio.",
    "ratio = 1 is UniPC-3, of order four; any other ratio that does not tend to one leaves order one",
)
amed = _named(
    "amed",
    through_a_node,
    2,
    "zhou2024amed",
    "reference code, amed_sampler",
    "AMED-Solver's step with node, direction and time scales as options; the default is DPM-Solver-2.",
    "of order two for r = 1/2 and scales of one, of order one for other r, not consistent for other scales",
)
rf_solver = _named(
    "rf_solver",
    runge_kutta(CLOCK, g.MIDPOINT),
    2,
    "wang2025rfsolver",
    "second-order Taylor expansion, its derivative a difference over half a step",
    "RF-Solver, which is the explicit midpoint rule in the clock.",
)
