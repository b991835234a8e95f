"""Time grids: a process and a number of steps to levels, from noise to data.

``n`` steps are ``n + 1`` levels; the first is ``start`` and the last is ``stop``, untouched. The end policy says what
happens after the last level of the schedule:

    "stop"      nothing: the result still has noise ``sigma(stop)``
    "zero"      the last of the ``n`` steps goes to the clean level
    "denoise"   the compiled plan returns the denoiser's output at ``stop``
    "half"      it returns the mean of that and of ``x / alpha``

Ratios are ``sigma / alpha``, which is ``sigma`` for VE and EDM.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from .lint import Finding, lint
from .num import log, log1p, sqrt
from .plan import Level
from .process import EDM, VE, Flow, Process, as_float

__all__ = [
    "ENDS",
    "Finding",
    "Grid",
    "custom",
    "edm",
    "exponential",
    "karras",
    "lint",
    "log_snr",
    "quadratic",
    "through",
    "uniform",
]

ENDS = ("stop", "zero", "denoise", "half")


@dataclass(frozen=True, repr=False)
class Grid(Sequence[Level]):
    """Levels from noise to data, a sequence of length ``n + 1``.

    Attributes:
        levels: strictly increasing in log-SNR.
        h: log-SNR increment of each step; ``inf`` from ``alpha = 0`` and to ``sigma = 0``. Not the difference of the
            levels' ``lam``, which loses digits.
        process: where the levels lie.
        end: one of :data:`ENDS`.

    Raises:
        ValueError: fewer than two levels, NaN, a level outside the process, levels that repeat or run backwards,
            an unknown end policy or one that does not fit the last level.
    """

    levels: tuple[Level, ...]
    h: tuple[Any, ...]
    process: Any
    end: str = "stop"

    def __post_init__(self) -> None:
        _check_end(self.end)
        if len(self.levels) < 2 or len(self.h) != len(self.levels) - 1:
            raise ValueError(f"{len(self.levels)} levels with {len(self.h)} increments make no grid: give n + 1 and n")
        for i, level in enumerate(self.levels):
            _check_inside(self.process, level, f"level {i}")
        for i, (s, t) in enumerate(pairwise(self.levels)):
            _check_step(i, s, t)
        last = self.levels[-1]
        if last.clean and self.end in ("denoise", "half"):
            raise ValueError(f"end = {self.end!r} has nothing to denoise at the clean level: use end='stop'")
        if self.end == "zero" and not last.clean:
            raise ValueError(f"end = 'zero' but the last level has sigma = {last.sigma!r}: append the clean level")

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: Any) -> Any:
        return self.levels[index]

    @property
    def steps(self) -> int:
        """Number of steps ``n``."""
        return len(self.h)

    def __repr__(self) -> str:
        lams = " to ".join(f"{value:.4g}" if value is not None else "?" for value in map(as_float, self._ends()))
        return f"Grid({self.process.name}, {self.steps} steps, log-SNR {lams}, end={self.end!r})"

    def _ends(self) -> tuple[Any, Any]:
        return self.levels[0].lam, self.levels[-1].lam


def uniform(process: Process, n: int, start: Any = None, stop: Any = None, end: str = "stop") -> Grid:
    """Levels equally spaced in ``t``.

    Args:
        process: a noise process.
        n: number of steps, >= 1.
        start, stop: a :class:`~diffnum.plan.Level` of the process or a time; default the process's own ends.
        end: the end policy. With ``"zero"`` the schedule has ``n - 1`` steps and one more goes to the clean level;
            for ``n = 1`` that is the only one. A schedule whose ``stop`` is the clean level has ``n`` steps of its own,
            the last of which goes there.

    Raises:
        ValueError: ``n`` is no positive integer; an end outside the process; ``start`` not noisier than ``stop``;
            an unknown end policy. One sentence with the value and the remedy.
    """
    return _schedule(process, n, start, stop, end, _uniform_times)


def quadratic(process: Process, n: int, start: Any = None, stop: Any = None, end: str = "stop") -> Grid:
    """Levels equally spaced in ``sqrt(t - t_clean)`` (Song, Meng & Ermon 2021, section D.2); see :func:`uniform`."""
    return _schedule(process, n, start, stop, end, _quadratic_times)


def log_snr(process: Process, n: int, start: Any = None, stop: Any = None, end: str = "stop") -> Grid:
    """Levels equally spaced in log-SNR (Lu et al. 2022, section 3.4); ``h`` is exactly ``(lam_stop - lam_start) / n``.

    See :func:`uniform`; refused where ``start`` has ``alpha = 0`` or ``stop`` has ``sigma = 0``.
    """
    return _schedule(process, n, start, stop, end, _equal_lams)


def exponential(
    process: Process, n: int, start: Any = None, stop: Any = None, end: str = "stop", rho: float = 1.0
) -> Grid:
    """Polynomial of degree ``rho`` in ``log(sigma / alpha)``: ``lam_i = lam_n - (1 - i/n)^rho (lam_n - lam_0)``.

    ``rho = 1`` is :func:`log_snr`; larger values put more levels near the data. Refused where that is.
    """
    _check_positive("rho", rho)
    return _schedule(process, n, start, stop, end, partial(_power_lams, rho=rho))


def karras(process: Process, n: int, start: Any = None, stop: Any = None, end: str = "stop", rho: float = 7.0) -> Grid:
    """Equally spaced in ``(sigma / alpha)^(1/rho)`` (Karras et al. 2022, eq. 5); refused where ``start`` has
    ``alpha = 0``. See :func:`uniform`."""
    _check_positive("rho", rho)
    return _schedule(process, n, start, stop, end, partial(_karras_ratios, rho=rho))


def edm(process: Process, n: int, start: Any = None, stop: Any = None, end: str = "zero") -> Grid:
    """:func:`karras` with ``rho = 7`` from ``sigma / alpha = 80`` to 0.002 and then to zero (Karras et al. 2022,
    Table 1)."""
    first = _at_ratio(process, 80.0) if start is None else start
    last = _at_ratio(process, 0.002) if stop is None else stop
    return karras(process, n, first, last, end)


def custom(
    process: Process,
    sigmas: Iterable[Any] | None = None,
    times: Iterable[Any] | None = None,
    lams: Iterable[Any] | None = None,
    end: str = "stop",
) -> Grid:
    """A grid from one list, noise first.

    Args:
        process: a noise process.
        sigmas: ``sigma / alpha``, as in k-diffusion, for every process but :class:`~diffnum.process.Flow`, where it is
            ``sigma``; VE, EDM and Flow keep the given values exactly. A last 0 is the clean level.
        times: ``t``.
        lams: log-SNR, kept exactly. A last ``inf`` is the clean level, a first ``-inf`` pure noise.
        end: the end policy; ``"zero"`` appends the clean level where the list does not end there.

    Entries may be Python numbers, numpy, mpmath, sympy, or torch tensors; through those that require a gradient, or
    carry a forward-mode tangent, it flows into the levels and ``h`` (in float64), others become floats.

    Raises:
        ValueError: not exactly one list; NaN; an entry outside the process; a list that is not strictly
            monotone. The sentence names the entry.
    """
    given = [(k, v) for k, v in (("sigmas", sigmas), ("times", times), ("lams", lams)) if v is not None]
    if len(given) != 1:
        raise ValueError(f"custom was given {len(given)} lists: give one of sigmas, times or lams")
    name, values = given[0][0], [_number(v) for v in given[0][1]]
    _check_end(end)
    _check_list(name, values, falling=name != "lams")
    make = {"sigmas": _at_sigma, "times": _at_time, "lams": _at_lam}[name]
    levels = [make(process, v) for v in values]
    h = _lam_steps(levels) if name == "lams" else _ratio_steps(levels)
    if end == "zero" and not levels[-1].clean:
        levels, h = [*levels, process.at(math.inf)], [*h, math.inf]
    return _grid(process, levels, h, end)


def through(process: Process, levels: Iterable[Level], end: str = "stop") -> Grid:
    """A grid through given levels of ``process``, noise first; see :class:`Grid` for what is refused."""
    listed = list(levels)
    return _grid(process, listed, _ratio_steps(listed), end)


Schedule = Callable[[Process, int, Level, Level], tuple[list[Level], list[Any]]]


def _schedule(process: Process, n: int, start: Any, stop: Any, end: str, between: Schedule) -> Grid:
    n = _count(n)
    _check_end(end)
    first = _end_level(process, process.t_start if start is None else start, "start")
    last = _end_level(process, process.t_stop if stop is None else stop, "stop")
    _check_ends(first, last)
    if end != "zero" or last.clean:
        return _grid(process, *between(process, n, first, last), end)
    levels, h = between(process, n - 1, first, last) if n > 1 else ([first], [])
    return _grid(process, [*levels, process.at(math.inf)], [*h, math.inf], end)


def _grid(process: Process, levels: list[Level], h: list[Any], end: str) -> Grid:
    # a schedule that ends at the clean level has that end, whatever brought it there
    return Grid(tuple(levels), tuple(h), process, "zero" if end == "stop" and levels[-1].clean else end)


def _uniform_times(process: Process, n: int, start: Level, stop: Level) -> tuple[list[Level], list[Any]]:
    inner = [process.level(((n - i) * start.t + i * stop.t) / n) for i in range(1, n)]
    levels = [start, *inner, stop]
    return levels, _ratio_steps(levels)


def _quadratic_times(process: Process, n: int, start: Level, stop: Level) -> tuple[list[Level], list[Any]]:
    zero = process.t_clean
    a, b = sqrt(start.t - zero), sqrt(stop.t - zero)
    inner = [process.level(zero + (((n - i) * a + i * b) / n) ** 2) for i in range(1, n)]
    levels = [start, *inner, stop]
    return levels, _ratio_steps(levels)


def _equal_lams(process: Process, n: int, start: Level, stop: Level) -> tuple[list[Level], list[Any]]:
    _check_finite(start, stop, "a grid in log-SNR")
    inner = [process.at(((n - i) * start.lam + i * stop.lam) / n) for i in range(1, n)]
    return [start, *inner, stop], [(stop.lam - start.lam) / n] * n


def _power_lams(process: Process, n: int, start: Level, stop: Level, rho: float) -> tuple[list[Level], list[Any]]:
    _check_finite(start, stop, "an exponential grid")
    total = stop.lam - start.lam
    parts = [(1 - i / n) ** rho for i in range(n + 1)]
    inner = [process.at(stop.lam - part * total) for part in parts[1:-1]]
    return [start, *inner, stop], [(a - b) * total for a, b in pairwise(parts)]


def _karras_ratios(process: Process, n: int, start: Level, stop: Level, rho: float) -> tuple[list[Level], list[Any]]:
    _check_finite(start, None, "a Karras grid")
    a, b = ((level.sigma / level.alpha) ** (1 / rho) for level in (start, stop))
    inner = [_at_ratio(process, (((n - i) * a + i * b) / n) ** rho) for i in range(1, n)]
    levels = [start, *inner, stop]
    return levels, _ratio_steps(levels)


def _at_ratio(process: Process, ratio: Any) -> Level:
    # VE and EDM hold the very number they are given
    return process.at_clock(ratio) if isinstance(process, (VE, EDM)) else process.at(-log(ratio))


def _at_sigma(process: Process, sigma: Any) -> Level:
    if as_float(sigma) == 0:
        return process.at(math.inf)
    return process.at_clock(sigma) if isinstance(process, Flow) else _at_ratio(process, sigma)


def _at_time(process: Process, t: Any) -> Level:
    return process.level(t)


def _at_lam(process: Process, lam: Any) -> Level:
    return process.at(lam)


def _ratio_steps(levels: list[Level]) -> list[Any]:
    return [_increment(s, t) for s, t in pairwise(levels)]


def _increment(s: Level, t: Level) -> Any:
    """``log(ratio_s / ratio_t)`` to the rounding of the scales themselves."""
    if s.pure_noise or t.clean:
        return math.inf
    if as_float(s.lam) is None or as_float(t.lam) is None:
        return t.lam - s.lam
    a, b = s.sigma / s.alpha, t.sigma / t.alpha
    return log1p((a - b) / b)


def _lam_steps(levels: list[Level]) -> list[Any]:
    return [t.lam - s.lam for s, t in pairwise(levels)]


def _number(x: Any) -> Any:
    if isinstance(x, (int, float, np.generic, np.ndarray)):
        return float(x)
    if hasattr(x, "requires_grad"):
        return x.double() if x.requires_grad or _moves(x) else float(x)
    return x


def _moves(x: Any) -> bool:
    """Does a tensor carry a forward-mode tangent, such as that of ``torch.func.jvp``?"""
    from torch.autograd.forward_ad import unpack_dual

    return unpack_dual(x).tangent is not None


def _count(n: Any) -> int:
    try:
        count = operator.index(n)
    except TypeError:
        count = 0
    if count < 1 or isinstance(n, bool):
        raise ValueError(f"n = {n!r} is no number of steps: use an integer >= 1")
    return count


def _check_end(end: str) -> None:
    if end not in ENDS:
        raise ValueError(f"end = {end!r} is no end policy: use one of {', '.join(ENDS)}")


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} = {value!r} is no exponent: use a positive number")


def _end_level(process: Process, at: Any, name: str) -> Level:
    if not isinstance(at, Level):
        return process.level(_number(at))
    _check_inside(process, at, name)
    lam, alpha = as_float(at.lam), as_float(at.alpha)
    if lam is not None and alpha is not None and abs(process.at(lam).alpha - alpha) > 1e-9:
        raise ValueError(
            f"{name} with alpha = {alpha!r}, sigma = {as_float(at.sigma)!r} is no level of {process.name}: "
            "make it with process.level(t) or process.at(lam)"
        )
    return at


def _check_inside(process: Any, level: Level, name: str) -> None:
    t = as_float(level.t)
    if t is not None and not process.t_clean <= t <= process.t_start:
        raise ValueError(
            f"{name} with t = {t!r}, sigma = {as_float(level.sigma)!r} is outside {process.name}, which runs from "
            f"t = {process.t_clean:g} (data) to {process.t_start:g} (noise): use a level inside"
        )


def _check_ends(start: Level, stop: Level) -> None:
    a, b = as_float(start.lam), as_float(stop.lam)
    if a is not None and b is not None and not a < b:
        raise ValueError(
            f"start (t = {as_float(start.t)!r}, log-SNR {a:.6g}) is not noisier than stop "
            f"(t = {as_float(stop.t)!r}, log-SNR {b:.6g}): grids run from noise to data"
        )


def _check_finite(start: Level, stop: Level | None, what: str) -> None:
    if start.pure_noise:
        raise ValueError(f"{what} cannot start at alpha = 0 (t = {start.t:g}): start at alpha > 0")
    if stop is not None and stop.clean:
        raise ValueError(f"{what} cannot stop at sigma = 0 (t = {stop.t:g}): stop at sigma > 0 and use end='zero'")


def _check_step(i: int, s: Level, t: Level) -> None:
    a, b = as_float(s.lam), as_float(t.lam)
    if a is None or b is None or a < b:
        return
    remedy = "remove one" if a == b else "list the levels from noise to data"
    verb = "repeats" if a == b else "does not rise above"
    raise ValueError(f"log-SNR {b!r} of level {i + 1} {verb} {a!r} of level {i}: {remedy}")


def _check_list(name: str, values: list[Any], falling: bool) -> None:
    if len(values) < 2:
        raise ValueError(f"{name} has {len(values)} entries: a grid needs at least two")
    numbers = [as_float(v) for v in values]
    for i, x in enumerate(numbers):
        if x is not None and (math.isnan(x) or (math.isinf(x) and name != "lams")):
            raise ValueError(f"{name}[{i}] = {x!r} is no noise level: use finite numbers")
        if x is not None and name == "sigmas" and (x < 0 or (x == 0 and i < len(numbers) - 1)):
            raise ValueError(f"sigmas[{i}] = {x!r} is no noise level here: use positive numbers, 0 only as the last")
    for i, (a, b) in enumerate(pairwise(numbers)):
        if a is not None and b is not None and not (a > b if falling else a < b):
            remedy = "remove one" if a == b else "list them from noise to data"
            move = "fall below" if falling else "rise above"
            raise ValueError(f"{name}[{i + 1}] = {b!r} does not {move} {name}[{i}] = {a!r}: {remedy}")
