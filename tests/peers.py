"""Samplers of other libraries on unit vectors: what they compute as a plan, to compare by tableau with ours.

A deterministic sampler is linear in its start and in what the model returns. It is run with ``x_T = e_0`` and a model
whose ``k``-th data prediction is ``D_k = e_k``: the inputs of the model and the output are then the rows of its
tableau. Inputs are in the scale ``x = alpha x0 + sigma eps`` of the levels given.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import torch

from diffnum import process as processes
from diffnum.grid import Grid, custom
from diffnum.plan import Eval, Level, Lin, Line, Plan
from diffnum.prediction import to_native
from diffnum.read.distance import w2
from diffnum.read.tableau import canonical, distance
from diffnum.solvers import ALL
from diffnum.targets.gaussian import Gaussian
from diffnum.trace import compile as compiled

__all__ = [
    "CIRCLE",
    "EDM",
    "FLOW",
    "TOLERANCE",
    "Difference",
    "Recorder",
    "condition",
    "difference",
    "distance",
    "double",
    "grid_of",
    "orders_of",
    "ours",
    "rounding",
]

# variance preserved, any ratio sigma / alpha; tableaus are the same on every process
CIRCLE = processes.Cosine()
EDM = processes.EDM(sigma_max=1e4)
FLOW = processes.Flow()
# of a row's maximum, for two codes in double precision
TOLERANCE = 1e-10


# --- theirs ---


@dataclass
class Recorder:
    """A model on unit vectors: remembers every input, its level and what the sampler called its time."""

    width: int
    rows: list[np.ndarray] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def start(self, scale: float = 1.0) -> torch.Tensor:
        """``x_T`` with an axis for the batch."""
        return self._unit(0) * scale

    def __call__(self, x: torch.Tensor, level: Level, quantity: str = "data", time: Any = 0.0) -> torch.Tensor:
        """The next prediction of ``quantity`` at ``x = alpha x0 + sigma eps``."""
        self.rows.append(_row(x))
        self.levels.append(level)
        self.times.append(float(time))
        a, b = to_native(level, quantity)
        return float(a) * x + float(b) * self._unit(len(self.rows)).reshape(x.shape).to(x.dtype)

    def _unit(self, i: int) -> torch.Tensor:
        if i >= self.width:
            raise ValueError(f"more than {self.width - 1} model calls: give the recorder a larger width")
        return torch.eye(1, self.width, dtype=torch.float64).roll(i, 1)

    def plan(self, output: torch.Tensor, start: Level, stop: Level) -> Plan:
        """What the sampler computed, from its output in the scale of ``stop``."""
        lines: list[Line] = []
        for row, level in zip(self.rows, self.levels, strict=True):
            lines += [Lin(_terms(row)), Eval(len(lines) + 1, level)]
        lines.append(Lin(_terms(_row(output))))
        return Plan(tuple(lines), (start, stop), (0, len(lines)), (("x", len(lines)),))


def _row(x: torch.Tensor) -> np.ndarray:
    return x.detach().double().reshape(-1).numpy().copy()


def _terms(row: np.ndarray) -> tuple[tuple[int, float], ...]:
    # column k is the k-th evaluation, which stands in register 2 k
    return tuple((2 * i, float(row[i])) for i in range(len(row)) if row[i] != 0)


@contextmanager
def double(*modules: Any) -> Iterator[None]:
    """The code of ``modules`` in double precision: wherever they say float32 they get float64.

    So that coefficients are compared, and not the rounding of tables and casts in single precision.
    """
    default = torch.get_default_dtype()
    with ExitStack() as stack:
        for module in modules:
            named = importlib.import_module(module) if isinstance(module, str) else module
            for name, proxy in (("torch", _TORCH), ("th", _TORCH), ("np", _NUMPY)):
                if hasattr(named, name):
                    stack.enter_context(mock.patch.object(named, name, proxy))
        torch.set_default_dtype(torch.float64)
        stack.callback(torch.set_default_dtype, default)
        yield


class _Wide:
    def __init__(self, module: Any, **instead: Any) -> None:
        self.__dict__.update(instead, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


_TORCH = _Wide(torch, float32=torch.float64, float=torch.float64)
_NUMPY = _Wide(np, float32=np.float64)


# --- ours ---


def grid_of(sigmas: Sequence[Any], process: Any = CIRCLE) -> Grid:
    """Our grid on their levels: ``sigma / alpha``, or ``sigma`` for Flow; ``inf`` is pure noise."""
    values = [float(s) for s in sigmas]
    if values[0] == math.inf:
        return custom(process, lams=[-math.log(s) if s > 0 else math.inf for s in values])
    return custom(process, sigmas=values)


def ours(sampler: Any, grid: Grid, **options: Any) -> Plan:
    """The plan of a sampler of ours, by its name or a function."""
    return compiled(ALL[sampler] if isinstance(sampler, str) else sampler, grid, **options)


# --- where they differ ---


def rounding(one: Plan, two: Plan) -> float:
    """:func:`distance` in units of ``2^-24``, for levels that agree only to single precision."""
    a, b = canonical(one), canonical(two)
    if a.matrix.shape != b.matrix.shape or not np.allclose(a.lams, b.lams, rtol=1e-6, atol=1e-6):
        return math.inf
    scale = np.maximum(np.abs(a.matrix).max(axis=1), np.abs(b.matrix).max(axis=1))
    return float((np.abs(a.matrix - b.matrix).max(axis=1) / scale).max() * 2**24)


def condition(lams: Sequence[float], order: int) -> float:
    """The largest condition number of the systems for the weights of a multistep method.

    Polynomials of degree ``order - 1`` through the last log-SNRs and the next one, in units of the step. By so much a
    solution in single precision may lose, in units of ``2^-24`` (Higham 2002, Accuracy and Stability of Numerical
    Algorithms, theorem 7.2); how much it does differs from one processor to the next.
    """
    largest = 1.0
    for i, (now, then) in enumerate(pairwise(lams)):
        before = [(lams[i - k] - now) / (then - now) for k in range(1, min(order, i + 1))]
        largest = max(largest, float(np.linalg.cond(np.vander([*before, 1.0]))))
    return largest


@dataclass(frozen=True)
class Difference:
    """The first coefficient in which two tableaus differ: its row (a model input, or the output), its column, both."""

    row: int
    column: int
    one: float
    two: float


def difference(one: Plan, two: Plan, tol: float = TOLERANCE) -> Difference:
    """The first coefficient that differs by more than ``tol`` of its row's maximum.

    Raises:
        ValueError: there is none, or the shapes differ.
    """
    a, b = canonical(one).matrix, canonical(two).matrix
    if a.shape != b.shape:
        raise ValueError(f"tableaus of shapes {a.shape} and {b.shape} have no coefficients in common")
    scale = np.maximum(np.abs(a).max(axis=1), np.abs(b).max(axis=1))
    apart = np.argwhere(~(np.abs(a - b) <= tol * scale[:, None]))
    if not len(apart):
        raise ValueError(f"no coefficient differs by more than {tol:g}: they are one method")
    row, column = (int(i) for i in apart[0])
    return Difference(row, column, float(a[row, column]), float(b[row, column]))


# independent modes, with means, so that nothing hides behind a symmetry
MODES = Gaussian(np.array([0.3, -1.0, 2.0, 0.5]), np.array([0.01, 0.1, 0.5, 4.0]))


def orders_of(make: Callable[[int], Plan], steps: Sequence[int]) -> list[float]:
    """Slopes of the exact error of ``make(n)`` on a Gaussian between consecutive ``n``."""
    errors = [math.log(w2(make(n), MODES)) for n in steps]
    return [(a - b) / math.log(n / m) for (a, b), (m, n) in zip(pairwise(errors), pairwise(steps), strict=True)]
