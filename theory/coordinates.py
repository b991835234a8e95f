"""Processes known in one coordinate, log-SNR or a clock, and grids of symbolic levels of theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy
from sympy.polys.fields import FracElement, field

from diffnum.order import GenericGrid
from diffnum.plan import Level

from .symbols import grid

__all__ = [
    "ANY",
    "CONSTANT",
    "SIGMA",
    "STRAIGHT",
    "InClock",
    "InLogSNR",
    "Log",
    "expression",
    "in_clock",
    "in_log_snr",
    "in_ratio",
]


def _constant(at: Any) -> Any:
    return sympy.Integer(1)


def _any(at: Any) -> Any:
    return sympy.Function("alpha", positive=True)(at)


@dataclass(frozen=True)
class InLogSNR:
    """A process with signal scale ``alpha(lam)`` and noise scale ``alpha(lam) e^-lam / scale``."""

    alpha: Callable[[Any], Any] = _any
    scale: Any = 1
    preserves_variance: bool = False
    name: str = "any"

    def at(self, lam: Any) -> Level:
        """The level at log-SNR ``lam + log(scale)``; ``lam`` itself is kept, increments are the same."""
        alpha = self.alpha(lam)
        return Level(lam, alpha, alpha * sympy.exp(-lam) / self.scale, lam, pure_noise=False, clean=False)

    def node(self, lam: Any) -> Level:
        """:meth:`at`: no level is too clean."""
        return self.at(lam)

    def clock(self, level: Level) -> Any:
        """``sigma``, which is the clock where ``alpha`` is constant."""
        return level.sigma

    def rates(self, level: Level) -> tuple[Any, Any]:
        """``(alpha', sigma')`` in ``sigma``, where ``alpha`` is constant."""
        return 0, 1

    def prior(self, level: Level) -> float:
        """No meaning here."""
        return 1.0

    def to_json(self) -> dict[str, Any]:
        """A name for printing."""
        return {"name": self.name}


@dataclass(frozen=True)
class Log:
    """``log(of)`` of a rational function: a log-SNR, or a difference of two, known by its exponential alone.

    Formulas that are rational in ``e^h`` run on it; one that multiplies it has no rational value and raises.
    """

    of: Any

    def __add__(self, other: Log) -> Log:
        return Log(self.of * other.of)

    def __sub__(self, other: Log) -> Log:
        return Log(self.of / other.of)

    def __neg__(self) -> Log:
        return Log(1 / self.of)

    def __mul__(self, other: Any) -> Any:
        return self.phi(0)

    __rmul__ = __truediv__ = __rtruediv__ = __mul__

    def phi(self, k: int) -> Any:
        """Refused: not rational."""
        raise TypeError(f"the logarithm of {self.of} is no rational function: prove this formula in log-SNR")

    def exp(self) -> Any:
        """``of``."""
        return self.of

    def expm1(self) -> Any:
        """``of - 1``."""
        return self.of - 1


@dataclass(frozen=True)
class InClock:
    """A process with ``alpha(c)`` and ``sigma(c)``, and their derivatives, in its own clock ``c``.

    The log-SNR of its levels is no rational function of ``c``; its exponential is (:class:`Log`).
    """

    alpha: Callable[[Any], Any]
    sigma: Callable[[Any], Any]
    slopes: tuple[Any, Any] = (sympy.nan, sympy.nan)
    preserves_variance: bool = False
    name: str = "any"

    def at_clock(self, c: Any) -> Level:
        """The level at clock value ``c``."""
        alpha, sigma = self.alpha(c), self.sigma(c)
        return Level(c, alpha, sigma, Log(alpha / sigma), pure_noise=False, clean=False)

    def clock(self, level: Level) -> Any:
        """``c``."""
        return level.t

    def rates(self, level: Level) -> tuple[Any, Any]:
        """``(alpha', sigma')``."""
        return self.slopes

    def prior(self, level: Level) -> float:
        """No meaning here."""
        return 1.0

    def to_json(self) -> dict[str, Any]:
        """A name for printing."""
        return {"name": self.name}


ANY = InLogSNR()
"""Any process, in log-SNR."""
CONSTANT = InLogSNR(_constant)
"""``alpha = 1``: VE and EDM, whose log-SNR is ``-log sigma``."""
SIGMA = InClock(_constant, lambda c: c, (0, 1))
"""The same in ``sigma``."""
STRAIGHT = InClock(lambda c: 1 - c, lambda c: c, (-1, 1))
"""Flow matching: ``alpha = 1 - sigma``, in ``sigma``."""

_FIELD = field([*(f"c_{i}" for i in range(6)), "d", *(f"a_{i}" for i in range(12))], sympy.QQ)[1:]
_CLOCKS, _STEP, _ALPHAS = _FIELD[:6], _FIELD[6], _FIELD[7:]


def in_ratio() -> InClock:
    """Any process in ``c = sigma / alpha``: at every level ``alpha`` is a variable of its own."""
    known: dict[Any, Any] = {}

    def alpha(c: Any) -> Any:
        return known.setdefault(c, _ALPHAS[len(known)])

    return InClock(alpha, lambda c: c * alpha(c))


def in_log_snr(process: InLogSNR, steps: int, equal: bool = False) -> tuple[GenericGrid, tuple[Any, ...]]:
    """A grid at ``lam_0``, ``lam_0 + h_1``, ... and its steps, which are one symbol if ``equal``."""
    at = sympy.Symbol("lambda_0", real=True)
    sizes = sympy.symbols(f"h_1:{steps + 1}", positive=True)
    if equal:
        sizes = (sympy.Symbol("h", positive=True),) * steps
    return grid(process, [process.at(at + sum(sizes[:i])) for i in range(steps + 1)]), sizes


def in_clock(process: InClock, steps: int, equal: bool = False) -> GenericGrid:
    """A grid at clock values ``c_0, c_1, ...``, or ``c_0, c_0 - d, c_0 - 2d, ...`` if ``equal``.

    They are elements of a field of rational functions, whose arithmetic is exact and needs no simplification.
    """
    at = [_CLOCKS[0] - i * _STEP for i in range(steps + 1)] if equal else _CLOCKS[: steps + 1]
    return grid(process, [process.at_clock(c) for c in at])


def expression(entry: Any) -> Any:
    """A field element as a sympy expression; anything else as it is."""
    return entry.as_expr() if isinstance(entry, FracElement) else entry
