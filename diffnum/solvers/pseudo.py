"""Pseudo-numerical methods: classical rules whose "Euler step" is DDIM (Liu et al. 2022).

PNDM replaces ``x + h f`` of a classical method by the transfer

    phi(x, e, s, t) = (alpha_t / alpha_s) x + (sigma_t - (alpha_t / alpha_s) sigma_s) e

(their eq. 9), which is Euler's step in ``rho = sigma / alpha``, and keeps the weights of equal steps:

    F-PNDM   three pseudo Runge-Kutta steps with a node half-way in the clock, then (55, -59, 37, -9) / 24
    S-PNDM   an improved Euler step, then (3, -1) / 2
    PLMS     an improved Euler step, then (3, -1) / 2, (23, -16, 5) / 12, (55, -59, 37, -9) / 24 (Stable Diffusion)
    FON      the classical method on ``dx / dc`` itself: Runge-Kutta, then Adams-Bashforth of order four

The transfer changes the variable and nothing else. Weights of equal steps need equal steps of ``rho`` (of the clock,
for FON): there the order is that of the weights, on smooth grids it is two and on others one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from ..num import extended
from ..plan import Level
from ..trace import Evaluation, Form, Solver, Trace
from . import generated as g
from .coords import CLOCK, RATIO, Coords, total, transfer
from .rules import Build, Point, adams, named, nodes
from .tables import Table, scaled

__all__ = ["f_pndm", "fon", "fon_coded", "ipndm_v_3", "ipndm_v_4", "plms", "s_pndm"]

# what a stage counts as, from its evaluation and that at the start of the step
Read = Callable[[Evaluation, Evaluation], Form]


def pseudo(coords: Coords, points: int, table: Table, starts: int, read: Read | None = None) -> Build:
    """Adams-Bashforth with weights of equal steps in ``coords``, after Runge-Kutta steps whose nodes lie in the clock.

    Args:
        points: of the multistep method.
        table: of the first ``starts`` steps; none of them goes to a clean level.
        read: what stages count as; default the quantity of ``coords``.
    """

    def build(T: Trace, grid: Any) -> None:
        past: tuple[Form, ...] = ()
        for s, t in T.steps(grid):
            e = T.evaluate(T.x, s)
            if not coords.regular(s, t):
                T.x = transfer(T.x, s, t, e.data)
                continue
            past = (coords.quantity(e), *past)[:points]
            if len(past) <= starts and not t.clean:
                T.x = _runge_kutta(T, s, t, coords, table, e, read or (lambda stage, start: coords.quantity(stage)))
            else:
                T.x = _moved(T, s, t, coords, g.ADAMS_BASHFORTH[len(past) - 1], past)

    return build


def _runge_kutta(T: Trace, s: Level, t: Level, coords: Coords, table: Table, e: Evaluation, read: Read) -> Form:
    slopes = [coords.quantity(e)]
    for c, row in zip(table.nodes[1:], table.matrix[1:], strict=True):
        u = t if c == 1 else T.process.at_clock(T.process.clock(s) + scaled(c, T.dt(s, t)))
        # the step to the node is a whole step of the transfer: its weights sum to one
        stage = T.evaluate(_moved(T, s, u, coords, [Fraction(a) / c for a in row], slopes), u)
        slopes.append(read(stage, e))
    return _moved(T, s, t, coords, table.weights, slopes)


def _moved(T: Trace, s: Level, t: Level, coords: Coords, weights: Sequence[Any], slopes: Sequence[Form]) -> Form:
    h = coords.gain(t) * coords.step(T, s, t)
    used = [(scaled(w, h), N) for w, N in zip(weights, slopes, strict=True) if w]
    return total([(coords.ratio(s, t), T.x), *used])


def _frozen(stage: Evaluation, start: Evaluation) -> Form:
    """``(alpha' / alpha) x + (sigma' - alpha' sigma / alpha) eps``, all of the start but the noise of the stage."""
    if start.level.pure_noise:
        return stage.slope
    da, ds = start.trace.process.rates(start.level)
    fall = da / start.level.alpha
    return fall * Form(((start.x, 1.0),)) + (ds - fall * start.level.sigma) * stage.noise


def _as_coded(coords: Coords, step: Any, past: Sequence[Point]) -> Sequence[Any]:
    rules = (g.adams_bashforth_1, g.adams_bashforth_2, g.ipndm_v_3, g.ipndm_v_4)
    return extended(rules[len(past)], *nodes(step, past))


def _named(name: str, build: Build, says: str, eq: str, note: str, cite: str = "liu2022pndm", **claim: int) -> Solver:
    orders: dict[str, Any] = {"order": 1, "cold": 2, "smooth": 2, **claim}
    return named(name, build, says, cite=cite, eq=eq, family="pseudo-numerical", note=note, **orders)


RATIO_NOTE = "of order {} as published where sigma / alpha is equally spaced; two on smooth grids, one on others"
CLOCK_NOTE = "of order 4 where the clock is equally spaced; two on smooth grids, one on others"

f_pndm = _named(
    "f_pndm",
    pseudo(RATIO, 4, g.RK4, 3),
    "F-PNDM: pseudo Runge-Kutta in the first three steps, then Adams-Bashforth of order four through DDIM's step.",
    "12, 13",
    RATIO_NOTE.format(4),
)
s_pndm = _named(
    "s_pndm",
    pseudo(RATIO, 2, g.HEUN2, 1),
    "S-PNDM: an improved Euler step, then Adams-Bashforth of order two through DDIM's step.",
    "appendix",
    RATIO_NOTE.format(2),
)
plms = _named(
    "plms",
    pseudo(RATIO, 4, g.HEUN2, 1),
    "PLMS: an improved Euler step, then Adams-Bashforth of orders two, three and four through DDIM's step.",
    "latent diffusion; diffusers, skip_prk_steps",
    RATIO_NOTE.format(4),
)
fon = _named(
    "fon",
    pseudo(CLOCK, 4, g.RK4, 3),
    "FON: classical Runge-Kutta in the first three steps, then Adams-Bashforth of order four in the clock.",
    "section 3",
    CLOCK_NOTE,
)
fon_coded = _named(
    "fon_coded",
    pseudo(CLOCK, 4, g.RK4, 3, _frozen),
    "FON as coded: the Runge-Kutta stages take noise from their own state, the rest of the slope from the start.",
    "reference code, gen_fon",
    CLOCK_NOTE + "; its first three steps are of first order",
)
ipndm_v_3 = _named(
    "ipndm_v_3",
    adams(RATIO, 3, _as_coded),
    "iPNDM-v of 3 points: Adams-Bashforth on variable steps, meant to be; :data:`deis_rhoab_3` is.",
    "reference code, ipndm_v_sampler",
    "published as order three on variable steps; a misplaced parenthesis leaves two, three on smooth grids",
    "zhou2024amed",
    order=2,
    smooth=3,
)
ipndm_v_4 = _named(
    "ipndm_v_4",
    adams(RATIO, 4, _as_coded),
    "iPNDM-v of 4 points: Adams-Bashforth on variable steps, meant to be; :data:`deis_rhoab_4` is.",
    "reference code, ipndm_v_sampler",
    "published as order four on variable steps; its weights sum to one only where the ratio of steps does not change: "
    "not consistent on other grids, two on smooth ones",
    "zhou2024amed",
    order=0,
)
