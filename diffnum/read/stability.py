"""Stability: what one step does to a linear model, and where it does not grow.

On ``alpha = 1`` a model that is linear with a frozen Jacobian turns the probability-flow ODE into one of

    Ratio       dy/drho = mu y                  y = x / alpha, eps = mu y       uniform in rho = sigma / alpha
    DataForm    dw/dlam = -w + D = (J - 1) w    w = x / alpha, D = J w          uniform in log-SNR, step h
    NoiseForm   dv/dlam = v - eps = (1 - J) v   v = x / sigma, eps = J v        uniform in log-SNR, step h

and samplers that step in another variable repeat themselves on theirs,

    SignalRatio dv/dkappa = mu v                v = x / sigma, D = mu v         uniform in kappa = alpha / sigma
    Angle       du/dtheta = mu u                tan theta = sigma / alpha       uniform in theta

with ``u = x / sqrt(alpha^2 + sigma^2)`` and the velocity ``alpha eps - sigma D = mu x``.
A Gaussian of variance ``c`` has ``J = c / (c + rho^2)`` in ``DataForm`` and ``1 - J`` in ``NoiseForm``, in [0, 1];
guidance ``D_u + g (D_c - D_u)`` multiplies the difference of two Jacobians and leaves [0, 1]: there the equation is
stiff. Real parts pull: ``z = mu drho < 0``, ``J < 1`` in ``DataForm``, ``J > 1`` in ``NoiseForm``.

A sampler is traced on such levels, and the step in the middle is read as a linear map ``a -> A a`` of everything that
is live across a step boundary: states, remembered evaluations, velocities. ``A`` is a companion matrix for a
multistep method and the stability function ``R(z)`` for a one-step method; the method is stable where its spectral
radius is at most one (Hairer & Wanner 1996, IV.2 and V.1). Where a register grows with ``sigma`` by a power, such as a
remembered noise on log-SNR levels, it is measured in that power.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ..order import GenericGrid
from ..plan import Level, Plan, interpret, sources
from ..prediction import convert
from ..process import EDM
from ..trace import Solver, compile

__all__ = [
    "Angle",
    "DataForm",
    "Irregular",
    "NoiseForm",
    "Ratio",
    "SignalRatio",
    "amplification",
    "guided_jacobian",
    "largest_guidance",
    "live",
    "matrix",
    "real_interval",
    "region",
    "step_map",
]

# levels far beyond those of images, for long steps
_EDM = EDM(1e-300, 1e300)
_PROBE = -0.3 + 0.2j
Row = dict[int, Any]


class Irregular(ValueError):
    """No step is like the next on these levels: the sampler has no amplification matrix there."""


class Equation(Protocol):
    """A test equation: its levels, its model, and on which side of its fixed point it pulls."""

    @property
    def prediction(self) -> str: ...
    @property
    def neutral(self) -> float: ...
    @property
    def inward(self) -> float: ...
    @property
    def scale(self) -> float: ...
    def level(self, i: float) -> Level: ...
    def evaluate(self, x: Any, level: Level, z: Any) -> Any: ...


@dataclass(frozen=True)
class Ratio:
    """``dy/drho = mu y``, steps of one in ``rho``; the number is ``z = mu drho``."""

    prediction = "noise"
    neutral, inward, scale = 0.0, -1.0, 1.0

    def level(self, i: float) -> Level:
        """Level ``i`` steps before ``rho = 1``."""
        return _EDM.at_clock(1.0 + i)

    def evaluate(self, x: Any, level: Level, z: Any) -> Any:
        """``eps = mu y`` for ``drho = -1``."""
        return -z * x


@dataclass(frozen=True)
class DataForm:
    """``dw/dlam = (J - 1) w``, steps ``h``; the number is ``J``."""

    h: Any
    prediction = "data"
    neutral, inward, scale = 1.0, -1.0, 1.0

    def level(self, i: float) -> Level:
        """Level ``i`` steps before ``lam = 0``."""
        return _EDM.at(-i * self.h)

    def evaluate(self, x: Any, level: Level, z: Any) -> Any:
        """``D = J w``."""
        return z * x


@dataclass(frozen=True)
class NoiseForm:
    """``dv/dlam = (1 - J) v``, steps ``h``; the number is ``J``."""

    h: Any
    prediction = "noise"
    neutral, inward = 1.0, 1.0

    @property
    def scale(self) -> float:
        """From ``x`` to ``v = x / sigma`` over one step."""
        return math.exp(self.h)

    def level(self, i: float) -> Level:
        """Level ``i`` steps before ``lam = 0``."""
        return _EDM.at(-i * self.h)

    def evaluate(self, x: Any, level: Level, z: Any) -> Any:
        """``eps = J x / sigma``."""
        return (z / level.sigma) * x


@dataclass(frozen=True)
class SignalRatio:
    """``dv/dkappa = mu v``, steps of one in ``kappa = alpha / sigma``; the number is ``z = mu dkappa``."""

    prediction = "data"
    neutral, inward = 0.0, -1.0
    # from x to v = x / sigma over one step; sigma shrinks, so that a sampler of the clock does not stand still
    scale = 1.25

    def level(self, i: float) -> Level:
        """Level ``i < 27`` steps before ``kappa = 27.5``, where ``sigma = 1``."""
        kappa, sigma = 27.5 - i, self.scale**i
        return Level(sigma, kappa * sigma, sigma)

    def evaluate(self, x: Any, level: Level, z: Any) -> Any:
        """``D = mu x / sigma`` for ``dkappa = 1``."""
        return (z / level.sigma) * x


@dataclass(frozen=True)
class Angle:
    """``du/dtheta = mu u``, steps of 1/20 in ``theta``; the number is ``z = mu dtheta``."""

    prediction = "velocity"
    neutral, inward, scale = 0.0, -1.0, 1.0

    def level(self, i: float) -> Level:
        """Level ``i < 27`` steps before ``theta = 1/10``, on the unit circle."""
        theta = 0.1 + i / 20
        return Level(theta, math.cos(theta), math.sin(theta))

    def evaluate(self, x: Any, level: Level, z: Any) -> Any:
        """The level's ``a D + b eps`` where ``alpha eps - sigma D = mu x``, ``dtheta = -1/20``."""
        (a, b), alpha, sigma, mu = level.v, level.alpha, level.sigma, -20 * z
        return ((a * (alpha - mu * sigma) + b * (sigma + mu * alpha)) / (alpha**2 + sigma**2)) * x


def live(plan: Plan, k: int) -> tuple[int, ...]:
    """Registers made before step ``k`` that a line of step ``k`` or later reads, in order."""
    home = _homes(plan)
    read = {q for r, line in enumerate(plan.lines, 1) if home[r] >= k for q in sources(line)}
    return tuple(sorted(q for q in read if home[q] < k))


def _homes(plan: Plan) -> list[int]:
    """The step of every register, no later than that of any line that reads it: a prediction read by a corrector and
    by the step after is a line of the latter."""
    home = [-1, *(line.step for line in plan.lines)]
    for r in range(len(plan.lines), 0, -1):
        for q in sources(plan.lines[r - 1]):
            home[q] = min(home[q], home[r])
    return home


def step_map(plan: Plan, k: int, evaluate: Callable[[Any, Level, str], Any]) -> list[list[Any]]:
    """Step ``k`` as a matrix: rows :func:`live` after it, columns :func:`live` before it, any kind of number.

    Args:
        evaluate: a linear model, ``(input, level, quantity) -> factor * input``; it is called with the input 1.
    """
    before, after = live(plan, k), live(plan, k + 1)
    inside = {r for r, step in enumerate(_homes(plan)) if r and step == k}
    found: dict[int, Row] = {q: {q: 1} for q in before if q in after}

    def lin(terms: Sequence[tuple[Any, Row]]) -> Row:
        out: Row = {}
        for c, value in terms:
            for q, a in value.items():
                out[q] = out[q] + c * a if q in out else c * a
        return out

    def model(value: Row, level: Level, quantity: str) -> Row:
        factor = evaluate(1, level, quantity) if value else 0
        return {q: factor * a for q, a in value.items()}

    def refuse(line: Any) -> Row:
        raise ValueError(f"{plan.solver} draws noise: its stability is one of moments, not of paths")

    def visit(r: int, line: Any, value: Row) -> Row:
        if r in before:
            return {r: 1}
        if r in after and r in inside:
            found[r] = value
        # other steps carry empty rows, which cost nothing
        return value if r in inside else {}

    interpret(plan, {}, lin, model, refuse, visit)
    return [[found[r].get(q, 0) for q in before] for r in after]


@lru_cache(maxsize=64)
def _compiled(solver: Solver, equation: Equation) -> tuple[Plan, int]:
    """The plan and a step after its start-up, whose successor is like it."""
    plan = _traced(solver, equation, 8)
    depth = plan.depth
    n = 3 * depth + 8
    return plan if n == 8 else _traced(solver, equation, n), n - depth - 3


def _traced(solver: Solver, equation: Equation, n: int) -> Plan:
    levels = tuple(equation.level(float(n - i)) for i in range(n + 1))
    grid = GenericGrid(_EDM, levels, tuple(t.lam - s.lam for s, t in pairwise(levels)))
    return compile(solver, grid, equation.prediction)


def matrix(solver: Solver, z: Any, equation: Equation) -> np.ndarray:
    """The amplification matrix at every ``z``, ``(*z.shape, m, m)`` complex, for ``m`` live registers.

    Args:
        solver: a deterministic sampler.
        z: the equation's number or an array of them, complex.
        equation: :class:`Ratio`, :class:`DataForm` or :class:`NoiseForm`.

    Raises:
        Irregular: its steps on these levels are not alike: its nodes or weights depend on more than the step, and it
            has no stability region there. A ``ValueError``.
        ValueError: a sampler that draws noise.
    """
    plan, k = _compiled(solver, equation)
    factors = _growth(solver, equation)
    return equation.scale * _numbers(plan, k, np.asarray(z, dtype=complex), equation) / factors[:, None]


@lru_cache(maxsize=64)
def _growth(solver: Solver, equation: Equation) -> np.ndarray:
    plan, k = _compiled(solver, equation)
    first, second = (_numbers(plan, at, np.asarray(_PROBE), equation) for at in (k, k + 1))
    return _powers(plan, first, second, live(plan, k).index(plan.states[k]))


def _numbers(plan: Plan, k: int, z: np.ndarray, equation: Equation) -> np.ndarray:
    def evaluate(x: Any, level: Level, quantity: str) -> Any:
        a, b = convert(level, equation.prediction, quantity)
        return a * x + b * equation.evaluate(x, level, z)

    rows = step_map(plan, k, evaluate)
    return np.stack([np.stack([np.broadcast_to(a, z.shape) for a in row], -1) for row in rows], -2).astype(complex)


def _powers(plan: Plan, first: np.ndarray, second: np.ndarray, state: int) -> np.ndarray:
    """Growth ``s`` per step of every register against the state, from ``second[i, j] = first[i, j] s_i / s_j``."""
    size = len(first)
    refusal = f"{plan.solver} does not repeat itself on these levels: use another test equation, such as DataForm(h)"
    if first.shape != second.shape or first.shape != (size, size):
        raise Irregular(refusal)
    s, known = np.ones(size), [state]
    linked = np.abs(first) > 1e-12 * np.abs(first).max()
    for i in known:
        for j in range(size):
            if j not in known and (linked[i, j] or linked[j, i]):
                ratio = first[i, j] / second[i, j] if linked[i, j] else second[j, i] / first[j, i]
                s[j] = s[i] * ratio.real
                known.append(j)
    if not np.allclose(second, first * s[:, None] / s[None, :], rtol=1e-11, atol=1e-12 * np.abs(first).max()):
        raise Irregular(refusal)
    return s


def amplification(solver: Solver, z: Any, equation: Equation) -> np.ndarray:
    """Spectral radius of :func:`matrix` at every ``z``, the shape of ``z``."""
    return np.abs(np.linalg.eigvals(matrix(solver, z, equation))).max(axis=-1)


def region(
    solver: Solver, equation: Equation, box: tuple[float, float, float, float], points: int = 200
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:func:`amplification` on a grid in the complex plane: abscissae, ordinates, radii ``(ordinates, abscissae)``.

    Args:
        box: least and greatest real part, least and greatest imaginary part.
        points: along the longer side.
    """
    left, right, low, high = box
    unit = max(right - left, high - low) / (points - 1)
    x = np.linspace(left, right, round((right - left) / unit) + 1)
    y = np.linspace(low, high, round((high - low) / unit) + 1)
    # coefficients are real, so the lower half mirrors the upper one
    upper = y[len(y) // 2 :] if low == -high else y
    radius = amplification(solver, x[None, :] + 1j * upper[:, None], equation)
    return x, y, np.concatenate([radius[::-1][: len(y) - len(upper)], radius])


def _stable(roots: np.ndarray) -> np.ndarray:
    """The root condition as far as it can be told: rounding moves a cluster of ``m`` roots by the ``m``-th root of an
    ulp."""
    size = np.abs(roots)
    radius = size.max(axis=-1)
    largest = np.take_along_axis(roots, size.argmax(axis=-1)[..., None], axis=-1)
    cluster = (np.abs(roots - largest) < 1e-4).sum(axis=-1)
    return radius <= 1 + np.float_power(64 * np.finfo(float).eps, 1 / cluster)


def real_interval(solver: Solver, equation: Equation, furthest: float = 1e4) -> float:
    """Length of the interval of stability from the fixed point (``z = 0`` or ``J = 1``) along the pulling side of the
    real axis, to 1e-10 of itself; ``inf`` where it goes on beyond ``furthest``."""

    def stable(lengths: Any) -> np.ndarray:
        z = equation.neutral + equation.inward * np.asarray(lengths)
        return _stable(np.linalg.eigvals(matrix(solver, z, equation)))

    near, far = np.geomspace(1e-6, 0.02, 60), np.geomspace(4, furthest, 1500)
    lengths = np.concatenate([near, np.arange(0.025, 4, 0.005), far])
    bracket = _first_failure(stable, lengths)
    if bracket is None:
        return math.inf
    low, high = bracket
    while high - low > 1e-13 * high > 0:
        # a call costs the same for sixteen numbers as for one
        low, high = _first_failure(stable, np.linspace(low, high, 18)[1:], low) or (high, high)
    return float((low + high) / 2)


def _first_failure(
    stable: Callable[[Any], np.ndarray], lengths: np.ndarray, low: float | None = None
) -> tuple[float, float] | None:
    """The first of ``lengths`` that is not stable and the one before it, ``low`` before the first; (0, 0) where there
    is none before it, and None where all are stable."""
    for part in np.array_split(lengths, max(1, len(lengths) // 250)):
        failing = np.flatnonzero(~stable(part))
        if len(failing):
            before = part[failing[0] - 1] if failing[0] else low
            return (0.0, 0.0) if before is None else (float(before), float(part[failing[0]]))
        low = part[-1]
    return None


def guided_jacobian(scale: Any, conditional: Any, unconditional: Any, sigma: Any) -> Any:
    """``J_u + g (J_c - J_u)``, the Jacobian of guided denoising on Gaussians of these two variances, ``alpha = 1``."""
    inner, outer = conditional / (conditional + sigma**2), unconditional / (unconditional + sigma**2)
    return outer + scale * (inner - outer)


def largest_guidance(
    solver: Solver, h: float, conditional: float, unconditional: float, sigma: float | None = None
) -> float:
    """The guidance scale up to which steps ``h`` in log-SNR are stable, at the noise ``sigma`` or at every noise.

    With ``L`` the :func:`real_interval` of :class:`DataForm`, the guided Jacobian must not fall below ``1 - L``:

        g(sigma) = (J_u - 1 + L) / (J_u - J_c),   min over sigma = (sqrt(L c_u) + sqrt((L - 1) c_c))^2 / (c_u - c_c).

    Raises:
        ValueError: variances that are not ``0 <= conditional < unconditional``: guidance does not push ``J`` down, and
            if anything grows it is the solution; a sampler that grows without guidance already.
    """
    if not 0 <= conditional < unconditional:
        raise ValueError(
            f"conditional variance {conditional!r} and unconditional {unconditional!r}: use 0 <= conditional < "
            "unconditional, where guidance makes the equation stiff"
        )
    length = real_interval(solver, DataForm(h))
    if sigma is not None:
        outer = guided_jacobian(0.0, conditional, unconditional, sigma)
        return (outer - 1 + length) / (outer - guided_jacobian(1.0, conditional, unconditional, sigma))
    if length <= 1:
        raise ValueError(f"{solver.name} grows without guidance at steps h = {h!r}: take shorter ones")
    return (math.sqrt(length * unconditional) + math.sqrt((length - 1) * conditional)) ** 2 / (
        unconditional - conditional
    )
