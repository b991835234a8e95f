"""Reversible samplers that carry two states of one level: EDICT, reversible Heun, any one-step method coupled.

McCallum & Foster (2024) couple a one-step method ``y + Psi_h(y)`` with itself,

    y_1 = zeta y + (1 - zeta) z + Psi_h(z),    z_1 = z - Psi_{-h}(y_1),

which is undone by hand, ``z = z_1 + Psi_{-h}(y_1)`` and then ``y``, for any model: :func:`couple`. Blasingame & Liu
(2025, "Rex") apply it in the variables in which the linear part of the reverse process is gone,

    x / sigma against alpha / sigma      (data)         dY = D dkappa
    x / alpha against sigma / alpha      (noise)        dY = eps dtau
    alpha x / sigma^2 against rho = (alpha / sigma)^2   dY = D drho + dW_rho

the last for the reverse SDE, where the way back takes the increment of the path with the opposite sign and its
space-time area with the same. A plan names its draws by their intervals, so that ``dn.invert`` of it, run with the same
source of noise, gives the start back and not another sample.

The two states keep the order of ``Psi``. Their difference is multiplied by ``zeta`` in sampling and by ``1 / zeta`` on
the way back: rounding grows like ``zeta^-N`` (a factor 2.7 in a thousand steps at 0.999, and 10^97 at 0.8), and in turn
the real interval of stability is ``1 - zeta`` where ``Psi`` is Euler's. With ``Psi`` of odd order the errors of ``y``
and ``z`` are opposite at first; ``z``'s remains after some ``1 / (1 - zeta)`` steps.

What the linear part does comes on top, and one can choose where: on the noise the two states drift apart in sampling,
by as much as ``x / alpha`` shrinks, and nothing more is lost on the way back; on the data they draw together, and
rounding grows by as much in the inverse. The reverse SDE forgets its start, and its inverse pays for all of it: a
factor ``10^7`` from log-SNR -3 to 3. ``dn.growth(plan, target)`` says how much for a plan.

From pure noise, and to ``sigma = 0``, a coordinate is infinite. Such a step is Euler's in the other one; the last one
moves ``x`` alone, and the partner that a run returns is then the one of the level before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..num import expm1, log1p, sqrt
from ..plan import Level
from ..trace import Form, Trace, solver
from . import generated as g
from .coords import RATIO, SNR, Coords, noise_transfer, transfer
from .tables import Additive, Table, scaled

__all__ = [
    "edict",
    "edict_plain",
    "reversible_euler",
    "reversible_euler_maruyama",
    "reversible_heun",
    "reversible_midpoint",
    "reversible_rk4",
    "reversible_shark",
]

FAMILY = "reversible"
EULER_MARUYAMA = Additive((0,), ((),), (1,), (0,), (0,))


def share(p: Any, level: Level) -> tuple[Any, Any]:
    """``p`` and ``1 - p`` in the numbers of the level, so that the second is exact where they are."""
    return p, 1 - (p + 0 * level.alpha)


# --- EDICT ---


@solver(
    order=1,
    cold=1,
    cite="wallace2023edict",
    eq="coupled steps and mixing, reference code",
    family=FAMILY,
    note="the states are stepped in turns, as in the authors' code; the inverse multiplies rounding by p^-2N",
)
def edict(T: Trace, grid: Any, p: Any = 0.93) -> None:
    """EDICT as its code runs it: :data:`edict_plain` with the state that is stepped first changing at every step.

    Rounding grows like ``p^-2N`` in the inverse, 1.4e3 in 50 steps and 10^63 in a thousand: of use for some hundred
    steps in double precision.
    """
    _edict(T, grid, p, lambda i: i % 2)


@solver(
    order=1,
    cold=1,
    cite="wallace2023edict",
    eq="coupled steps and mixing",
    family=FAMILY,
    note="the inverse multiplies rounding by p^-2N",
)
def edict_plain(T: Trace, grid: Any, p: Any = 0.93) -> None:
    """EDICT: each state takes DDIM's step with the noise predicted at the other, then both are mixed. Two calls a step.

    ``x' = a x + b eps(y)``, ``y' = a y + b eps(x')``, both predicted at ``s``, then ``x = p x' + (1 - p) y'`` and
    ``y = p y' + (1 - p) x``. Of order one, its error constant ``(1 - p) / (1 + p)`` of DDIM's; stable to
    ``(1 - p^2) / (1 - p + p^2)`` on the real axis, 0.1445; the inverse multiplies rounding by ``p^-2`` a step.
    """
    _edict(T, grid, p, lambda i: 0)


def _edict(T: Trace, grid: Any, p: Any, first: Callable[[int], int]) -> None:
    if isinstance(p, (int, float)) and not 0 < p <= 1:
        raise ValueError(f"p = {p!r} is outside (0, 1]: it is the share of its own that a state keeps in the mixing")
    pair = [T.x, T.given("y", T.x)]
    for i, (s, t) in enumerate(T.steps(grid)):
        for k in (first(i), 1 - first(i)):
            e = T.evaluate(pair[1 - k], s)
            step = transfer(pair[k], s, t, e.data) if s.pure_noise else noise_transfer(pair[k], s, t, e.noise)
            pair[k] = T.held(step, "xy"[k])
        keep, take = share(p, t)
        T.x = T.held(keep * pair[0] + take * pair[1], "x")
        pair = [T.x, T.partner("y", keep * pair[1] + take * T.x)]
    T.returns("y", pair[1])


# --- reversible Heun ---


@solver(
    order=2,
    cold=2,
    cite="kidger2021",
    eq="Algorithm 1, without noise",
    family=FAMILY,
    note="stable on no real interval",
)
def reversible_heun(T: Trace, grid: Any) -> None:
    """Reversible Heun in ``y = x / alpha`` against ``tau = sigma / alpha``, one call a step and one more:

    ``m = y + h/2 eps(^y)``, ``^y_1 = 2 m - ^y``, ``y_1 = m + h/2 eps(^y_1)``. It is its own inverse with ``h`` turned
    round. Rounding does not grow on the way back; but the roots ``w +- sqrt(1 + w^2)`` leave the circle for every real
    ``w = h mu``, so that the two states drift apart where the flow contracts.
    """
    hat, e = T.given("hat", T.x), None
    for s, t in T.steps(grid):
        coords = RATIO if RATIO.regular(s, t) else SNR
        e = e or T.evaluate(hat, s)
        if s.pure_noise and t.clean:
            T.x, hat = transfer(T.x, s, t, e.data), T.partner("hat", hat)
            continue
        ratio, half = coords.ratio(s, t), coords.gain(t) * coords.step(T, s, t) / 2
        m = T.held(ratio * T.x + half * coords.quantity(e), "m")
        if t.clean:
            T.x, hat = m + half * coords.quantity(e), T.partner("hat", hat)
            continue
        hat = T.partner("hat", 2.0 * m - ratio * hat)
        e = T.evaluate(hat, t)
        T.x = m + half * coords.quantity(e)
    T.returns("hat", hat)


# --- the coupling ---


@dataclass(frozen=True)
class Psi:
    """One step of a one-step method from ``s`` to ``t``, there and back, in the variable ``Y = x / unit``.

    Attributes:
        ratio: factor of ``x`` where ``Y`` stands still.
        unit: at ``t``.
        there: from ``x`` at ``s`` to the increment of ``Y``.
        back: from ``x`` at ``t`` to that of the step back; None where it has none, and the partner stays at ``s``.
    """

    ratio: Any
    unit: Any
    there: Callable[[Form], Form]
    back: Callable[[Form], Form] | None


Method = Callable[[Trace, Level, Level], Psi]


def couple(T: Trace, grid: Any, method: Method, zeta: Any = 0.999) -> None:
    """McCallum and Foster's coupling of any one-step method with itself.

    Raises:
        ValueError: ``zeta`` outside (0, 1].
    """
    if isinstance(zeta, (int, float)) and not 0 < zeta <= 1:
        raise ValueError(f"zeta = {zeta!r} is outside (0, 1]: differences of the two states shrink by it at a step")
    z = T.given("z", T.x)
    for s, t in T.steps(grid):
        psi = method(T, s, t)
        keep, take = share(zeta, t)
        mixed = (psi.ratio * keep) * T.x + (psi.ratio * take) * z
        T.x = T.held(mixed + psi.unit * psi.there(z), "x")
        z = T.partner("z", z if psi.back is None else psi.ratio * z - psi.unit * psi.back(T.x))
    T.returns("z", z)


def explicit(coords: Coords, table: Table) -> Method:
    """An explicit classical Runge-Kutta method in ``coords``, such as those of the data or of the noise.

    Raises:
        ValueError: coordinates with an exponential kernel, which have other tables.
    """
    if coords.stiffness:
        raise ValueError(f"the coupling of {coords.name} needs an exponential table: use SNR or RATIO as coords")

    def method(T: Trace, s: Level, t: Level) -> Psi:
        if s.pure_noise and t.clean:
            return Psi(t.sigma / s.sigma, t.alpha, lambda x: T.denoise(x, s), None)
        regular = coords.regular(s, t) and not t.clean
        here, of = (coords, table) if regular else (RATIO if t.clean else SNR, g.EULER)
        step = here.step(T, s, t)

        def ahead(c: Any) -> Level:
            return t if c == 1 else s if c == 0 else here.between(T, s, t, c)

        return Psi(
            here.ratio(s, t),
            here.gain(t),
            lambda x: increment(T, here, of, x, s, step, ahead),
            None if t.clean else lambda x: increment(T, here, of, x, t, -step, lambda c: ahead(1 - c)),
        )

    return method


def increment(T: Trace, coords: Coords, table: Table, x: Form, s: Level, step: Any, at: Callable[[Any], Level]) -> Form:
    """``step sum_i b_i N_i`` of a Runge-Kutta step from ``x`` at ``s``, its nodes ``c`` at the levels ``at(c)``."""
    slopes = [coords.quantity(T.evaluate(x, s))]
    for c, row in zip(table.nodes[1:], table.matrix[1:], strict=True):
        u = at(c)
        moved = coords.ratio(s, u) * x + coords.gain(u) * _weighted(row, step, slopes)
        slopes.append(coords.quantity(T.evaluate(moved, u)))
    return _weighted(table.weights, step, slopes)


def _weighted(weights: Sequence[Any], step: Any, slopes: Sequence[Form]) -> Form:
    used = (scaled(w, step) * N for w, N in zip(weights, slopes, strict=True) if not (isinstance(w, int) and w == 0))
    return sum(used, Form())


def additive(table: Additive) -> Method:
    """A stochastic Runge-Kutta method for additive noise on ``alpha x / sigma^2`` against ``rho``, on one path.

    From pure noise the first state is forgotten but for its prediction, and cannot be given back.
    """

    def method(T: Trace, s: Level, t: Level) -> Psi:
        if t.clean:
            return explicit(RATIO, g.EULER)(T, s, t)
        of = EULER_MARUYAMA if s.pure_noise else table
        h = T.h(s, t)
        length = -((t.alpha / t.sigma) ** 2) * expm1(-2 * h)
        path = sqrt(length), T.noise(s, t)
        area = (sqrt(length / 12), T.noise(s, t)) if any(of.area) else (0, Form())

        def ahead(c: Any) -> Level:
            return s if c == 0 else t if c == 1 else T.below(s, log1p(scaled(c, expm1(2 * h))) / 2)

        unit = _unit(t)
        return Psi(
            unit * s.alpha / (s.sigma * s.sigma),
            unit,
            lambda x: stochastic_increment(T, of, x, s, length, (path, area), ahead),
            lambda x: stochastic_increment(T, of, x, t, -length, ((-path[0], path[1]), area), lambda c: ahead(1 - c)),
        )

    return method


def _unit(level: Level) -> Any:
    """``x / Y``."""
    return level.sigma * level.sigma / level.alpha


Drawn = tuple[Any, Form]
"""A standard deviation and a draw."""


def stochastic_increment(
    T: Trace,
    table: Additive,
    x: Form,
    s: Level,
    length: Any,
    draws: tuple[Drawn, Drawn],
    at: Callable[[Any], Level],
) -> Form:
    """``L sum_i b_i D_i + W`` of a step from ``x`` at ``s``, its nodes at the levels ``at(c)``; on the way back ``L``
    is negative and ``W`` has the other sign, while the area is the same."""
    slopes: list[Form] = []
    for c, row, *shares in zip(table.nodes, table.matrix, table.path, table.area, strict=True):
        u = at(c)
        still = not (row or any(shares))
        slopes.append(T.denoise(x if still else _stage(x, s, u, _weighted(row, length, slopes), shares, draws), u))
    size, z = draws[0]
    return _weighted(table.weights, length, slopes) + size * z


def _stage(x: Form, s: Level, u: Level, moved: Form, shares: Sequence[Any], draws: Sequence[Drawn]) -> Form:
    for p, (size, z) in zip(shares, draws, strict=True):
        moved = moved + scaled(p, size) * z if p else moved
    unit = _unit(u)
    return (unit * s.alpha / (s.sigma * s.sigma)) * x + unit * moved


# --- samplers ---

GROWTH = "the inverse multiplies rounding by zeta^-N"
REX, EQ = "blasingame2025rex", "Rex, the coupling of McCallum and Foster 2024"


@solver(order=1, cold=1, cite=REX, eq=EQ, family=FAMILY, note=GROWTH)
def reversible_euler(T: Trace, grid: Any, zeta: Any = 0.999, coords: Coords = SNR) -> None:
    """The coupling of Euler's method, that is of DDIM, on the data in ``alpha / sigma``: two calls a step.

    ``coords=RATIO`` couples it on the noise in ``sigma / alpha``; there the two states drift apart in sampling, by as
    much as ``x / alpha`` shrinks.
    """
    couple(T, grid, explicit(coords, g.EULER), zeta)


@solver(order=2, cold=2, cite=REX, eq=EQ, family=FAMILY, note=GROWTH)
def reversible_midpoint(T: Trace, grid: Any, zeta: Any = 0.999, coords: Coords = SNR) -> None:
    """The coupling of the midpoint rule: four calls a step, otherwise as :data:`reversible_euler`."""
    couple(T, grid, explicit(coords, g.MIDPOINT), zeta)


@solver(order=4, cold=4, cite=REX, eq=EQ, family=FAMILY, note=GROWTH)
def reversible_rk4(T: Trace, grid: Any, zeta: Any = 0.999, coords: Coords = SNR) -> None:
    """The coupling of the classical method of order four: eight calls a step, as :data:`reversible_euler`."""
    couple(T, grid, explicit(coords, g.RK4), zeta)


@solver(
    order=1,
    cold=1,
    cite=REX,
    eq=EQ,
    family=FAMILY,
    stochastic=True,
    transient=True,
    note=f"{GROWTH}; errors fall faster than their order for the first 1 / (1 - zeta) steps or so",
)
def reversible_euler_maruyama(T: Trace, grid: Any, zeta: Any = 0.999) -> None:
    """The coupling of Euler-Maruyama in ``(alpha / sigma)^2``: strong order one, undone with the same source of noise.

    The biases of the two states are opposite and change places after some ``1 / (1 - zeta)`` steps: before that the
    error falls faster than its order.
    """
    couple(T, grid, additive(EULER_MARUYAMA), zeta)


@solver(order=2, cold=2, cite=REX, eq=EQ, family=FAMILY, stochastic=True, note=GROWTH)
def reversible_shark(T: Trace, grid: Any, zeta: Any = 0.999) -> None:
    """The coupling of ShARK in ``(alpha / sigma)^2``: strong order 1.5, undone with the same source of noise."""
    couple(T, grid, additive(g.SHARK), zeta)
