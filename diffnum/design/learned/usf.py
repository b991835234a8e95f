"""USF: a sampler as one decision per step, and the search for the best list of decisions (Liu et al. 2024, S^3).

A step to level ``t`` starts from a state ``s`` so many levels back and takes the Taylor polynomial of the data or of
the noise there, with the linear part exact,

    x_t = ratio(s, t) x_s + gain(t) h (sum_{k<p} phi_{k+1}(z) R_k h^k N^(k)(s)),     z = -h (data) or h (noise),

its derivatives estimated from any evaluations so far: the combination of the differences ``N_j - N_s`` of as many of
them that is exact for that many powers, times a factor ``R_k`` of relaxation. A corrector does so once more with the
evaluation at ``x_t`` among them; that evaluation serves the next step (pseudo), or is made anew at the corrected state
(implicit, one call more). The first evaluation may be spared by ``eps = x / sigma`` (analytic first step).

The presets write samplers as decisions, to rounding. Of DPM-Solver++(3M) it is the corrected form that has plain
estimates; the published one is ``R_2 = 1/2``, which the reference code, relaxing first derivatives alone, cannot say.
In that code the implicit corrector never calls again, since a dictionary is compared with its name, so it is the
pseudo one; and its analytic first step gives the data of ``eps = x`` beside the noise of ``eps = x / sigma``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction as F
from typing import Any

from ...grid import Grid
from ...num import extended, phi, scaled
from ...plan import Level
from ...solvers.coords import DATA, NOISE, Coords, transfer
from ...solvers.rules import named
from ...trace import Form, Trace, compile
from .steps import advance, one_per_step

__all__ = [
    "NONE",
    "Corrector",
    "Step",
    "corrected_steps",
    "dpm_solver_2_steps",
    "dpm_solver_3_steps",
    "evaluations",
    "multistep_steps",
    "strategy",
]


def one(z: Any) -> Any:
    """No relaxation."""
    return 1


def half(z: Any) -> Any:
    """``1/2``: the second derivative of DPM-Solver++(3M) as published."""
    return F(1, 2)


def bh1(z: Any) -> Any:
    """UniPC's ``B_1`` with ``a = 1/2``: ``1 / (2 phi_2)``."""
    return 1 / (2 * phi(2, z))


def bh2(z: Any) -> Any:
    """UniPC's ``B_2`` with ``a = 1/2``, DPM-Solver-2's and 2M's: ``phi_1 / (2 phi_2)``."""
    return phi(1, z) / (2 * phi(2, z))


def up(z: Any) -> Any:
    """``1 + (e^z - 1) / 2``, ``0.5exp`` of the reference code, whose ``h`` is our ``z``."""
    return (1 + phi(0, z)) / 2


def down(z: Any) -> Any:
    """``1 - (e^z - 1) / 2``, ``-0.5exp`` of the reference code."""
    return (3 - phi(0, z)) / 2


Relaxation = Callable[[Any], Any]
RELAXATIONS: tuple[Relaxation, ...] = (one, bh1, bh2, up, down)


@dataclass(frozen=True)
class Taylor:
    """A Taylor polynomial with estimated derivatives.

    Attributes:
        points: for each derivative the evaluations that it is estimated from, counted back from the newest, 0; at least
            as many as its order. Those that there are not are left out, and with too few the order falls.
        relaxations: ``R_1, ...`` as functions of ``z``; those not given are one.

    Raises:
        ValueError: too few evaluations for a derivative, or one twice.
    """

    points: tuple[tuple[int, ...], ...] = ()
    relaxations: tuple[Relaxation, ...] = ()

    def __post_init__(self) -> None:
        for k, points in enumerate(self.points, 1):
            if len(points) < k or len(set(points)) != len(points) or min(points) < 0:
                raise ValueError(f"derivative {k} from evaluations {points}: give {k} or more different ones, >= 0")

    @property
    def order(self) -> int:
        """Terms, the value included."""
        return len(self.points) + 1

    def weights(self, z: Any, *nodes: Any) -> tuple[Any, ...]:
        """Over the evaluation at the start, then those at ``nodes``, in units of the step; ``points`` count these."""
        inner: list[Any] = [0] * len(nodes)
        for k, points in enumerate(self.points, 1):
            relaxed = self.relaxations[k - 1](z) if k <= len(self.relaxations) else 1
            for j, a in zip(points, derivative(k, [nodes[j] for j in points]), strict=True):
                inner[j] = inner[j] + scaled(relaxed, phi(k + 1, z) * a)
        return (phi(1, z) - sum(inner), *inner)

    def among(self, known: Sequence[int]) -> tuple[Taylor, tuple[int, ...]]:
        """The polynomial that is left with these evaluations, its points counting the ones returned."""
        kept = []
        for k, points in enumerate(self.points, 1):
            found = tuple(j for j in points if j in known)
            if len(found) < k:
                break
            kept.append(found)
        used = tuple(sorted({j for points in kept for j in points}))
        return Taylor(tuple(tuple(used.index(j) for j in points) for points in kept), self.relaxations), used


@dataclass(frozen=True)
class Corrector:
    """A corrector; :data:`NONE` does nothing.

    Attributes:
        taylor: its polynomial, for which the evaluation at the prediction is the newest.
        again: evaluate at the corrected state (implicit).
    """

    taylor: Taylor | None = None
    again: bool = False


NONE = Corrector()


@dataclass(frozen=True)
class Step:
    """One step's decisions.

    Attributes:
        coords: :data:`~diffnum.solvers.coords.DATA` or :data:`~diffnum.solvers.coords.NOISE`.
        taylor: the predictor.
        back: levels between the state it starts from and the present one; 0 for multistep methods.
        corrector: its corrector, not used in the last step nor one to the clean level.
    """

    coords: Coords = DATA
    taylor: Taylor = field(default_factory=Taylor)
    back: int = 0
    corrector: Corrector = NONE


@dataclass(frozen=True)
class Seen:
    """A level, the state there and what the model said of it."""

    level: Level
    x: Form
    data: Form
    noise: Form

    def quantity(self, coords: Coords) -> Form:
        return self.data if coords is DATA else self.noise


def _strategy(T: Trace, grid: Any, steps: Sequence[Step] | None = None, analytic: bool = False) -> None:
    steps = one_per_step("decisions", steps, len(grid.h), Step())
    seen: list[Seen] = []
    final, known = len(grid.h) - 1, None
    for i, (step, (s, t)) in enumerate(zip(steps, T.steps(grid), strict=True)):
        seen.append(replace(known, x=T.x) if known else _first(T, s, analytic and i == 0))
        known = None
        start = len(seen) - 1 - step.back
        if start < 0:
            raise ValueError(f"step {i} starts {step.back} levels back: there are {len(seen) - 1}")
        if t.clean or seen[start].level.pure_noise:
            T.x = transfer(seen[start].x, seen[start].level, t, seen[start].data)
            continue
        T.x = _moved(grid, seen, start, t, i + 1, step.coords, step.taylor)
        if step.corrector.taylor is None or i == final:
            continue
        e = T.evaluate(T.x, t)
        predicted = Seen(t, T.x, e.data, e.noise)
        T.x = _moved(grid, [*seen, predicted], start, t, i + 1, step.coords, step.corrector.taylor)
        # the level is remembered with its corrected state, and with its old answer unless it is asked again
        known = None if step.corrector.again else predicted


def _first(T: Trace, s: Level, analytic: bool) -> Seen:
    if analytic:
        return Seen(s, T.x, Form(), (1 / s.sigma) * T.x)
    e = T.evaluate(T.x, s)
    return Seen(s, T.x, e.data, Form() if s.pure_noise and T.prediction != "noise" else e.noise)


def _moved(grid: Any, seen: Sequence[Seen], start: int, t: Level, place: int, coords: Coords, taylor: Taylor) -> Form:
    newest = len(seen) - 1
    # log-SNR is infinite at pure noise
    known = [newest - j for j in range(len(seen)) if j != start and not seen[j].level.pure_noise]
    left, used = taylor.among(known)
    h = _between(grid, start, place)
    nodes = [_between(grid, start, newest - j) / h for j in used]
    w = extended(left.weights, coords.stiffness * h, *nodes)
    quantities = [seen[j].quantity(coords) for j in (start, *(newest - j for j in used))]
    return advance(seen[start].x, seen[start].level, t, coords, h, w, quantities)


def _between(grid: Any, i: int, j: int) -> Any:
    """``lam_j - lam_i`` from the grid's own increments."""
    total: Any = 0
    for h in grid.h[i:j] if i <= j else grid.h[j:i]:
        total = total + h
    return total if i <= j else -total


def derivative(k: int, nodes: Sequence[Any]) -> list[Any]:
    """Weights ``a_j`` of differences at ``nodes`` with ``sum_j a_j c_j^m = k! [m = k]`` for ``m = 1 .. len(nodes)``,
    by elimination in whatever numbers the nodes are."""
    n = len(nodes)
    rows = [[c**m for c in nodes] for m in range(1, n + 1)]
    right: list[Any] = [0] * n
    right[k - 1] = 1
    for j in range(2, k + 1):
        right[k - 1] = right[k - 1] * j
    for i in range(n):
        for m in range(i + 1, n):
            factor = rows[m][i] / rows[i][i]
            rows[m] = [a - factor * b for a, b in zip(rows[m], rows[i], strict=True)]
            right[m] = right[m] - factor * right[i]
    found: list[Any] = [0] * n
    for i in reversed(range(n)):
        rest = sum((rows[i][j] * found[j] for j in range(i + 1, n)), 0 * nodes[0])
        found[i] = (right[i] - rest) / rows[i][i]
    return found


strategy = named(
    "strategy",
    _strategy,
    "USF: one decision per step over quantity, order, estimates, relaxation, start and corrector.",
    order=1,
    cold=1,
    cite="liu2024usf",
    eq="USF",
    family="learned multistep",
    note="of the order that its decisions have; of one with the default, which is DDIM",
)


def evaluations(steps: Sequence[Step], grid: Grid, analytic: bool = False) -> int:
    """Calls of the model that a list of decisions costs on a grid."""
    return compile(strategy, grid, steps=steps, analytic=analytic).nfe


# --- presets ---


def plain(order: int, relaxations: tuple[Relaxation, ...] = (), newest: int = 1) -> Taylor:
    """All derivatives from as many evaluations as the order takes, the newest of them ``newest`` back."""
    return Taylor((tuple(range(newest, newest + order - 1)),) * (order - 1), relaxations)


def ahead(order: int, relaxations: tuple[Relaxation, ...] = ()) -> Taylor:
    """For correctors: from the evaluation at the prediction and ``order - 2`` before the start, which is 1."""
    return Taylor(((0, *range(2, order)),) * (order - 1), relaxations)


def multistep_steps(grid: Grid, coords: Coords, order: int, tables: Sequence[Taylor] = ()) -> tuple[Step, ...]:
    """Exponential Adams-Bashforth, which on the noise is DEIS in log-SNR: orders 1, 2, ..., ``order``.

    Args:
        tables: polynomials in the place of the first plain ones: ``plain(1), plain(2, (bh2,))`` with ``order = 2`` is
            DPM-Solver++(2M).
    """
    chosen = [plain(k) for k in range(1, order + 1)]
    chosen[: len(tables)] = tables
    return tuple(Step(coords, chosen[k - 1]) for k in _orders(grid, order))


def corrected_steps(grid: Grid, coords: Coords, order: int) -> tuple[Step, ...]:
    """UniPC of ``order`` with ``B_2``."""
    return tuple(
        Step(coords, plain(k, (bh2,) if k == 2 else ()), 0, Corrector(ahead(k + 1, (bh2,) if k == 1 else ())))
        for k in _orders(grid, order)
    )


def _orders(grid: Grid, order: int) -> list[int]:
    """Of every step: what is known of the level of pure noise does not count."""
    late = grid.levels[0].pure_noise
    return [max(1, min(i + 1 - late, order)) for i in range(len(grid.h))]


def dpm_solver_2_steps(grid: Grid, coords: Coords = NOISE) -> tuple[Step, ...]:
    """DPM-Solver-2, every two intervals one of its steps.

    Raises:
        ValueError: an odd number of intervals.
    """
    return _singles(grid, (Step(coords), Step(coords, plain(2, (bh2,), 0), 1)))


def dpm_solver_3_steps(grid: Grid, coords: Coords = NOISE) -> tuple[Step, ...]:
    """DPM-Solver-3, every three intervals one of its steps, which is of order three where the second node lies
    at two thirds.

    Raises:
        ValueError: a number of intervals that is no multiple of three.
    """
    second = Taylor(((0,),))
    return _singles(grid, (Step(coords), Step(coords, second, 1), Step(coords, second, 2)))


def _singles(grid: Grid, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    n = len(grid.h)
    if n % len(steps):
        raise ValueError(f"{n} intervals are no groups of {len(steps)}: use a multiple")
    return steps * (n // len(steps))
