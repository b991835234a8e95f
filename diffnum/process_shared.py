"""What the noise processes have in common: the members they offer, their checks and the methods that agree.

Processes share no base class; a method that several have is one function here and one line in their class bodies.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from .num import exp, log1p, sqrt
from .plan import Level

__all__ = ["Process", "as_float"]

# a log-SNR beyond an end by this much, relative to max(1, |lam|), is a sum's rounding and not an error
ROUNDING = 2e-15
# beyond this |log-SNR| the smaller of alpha and sigma is not a normal float
DEEPEST = 700.0

Method = Callable[[Any, Any], Any]


class Process(Protocol):
    """What every noise process ``x_t = alpha(t) x0 + sigma(t) eps`` offers.

    Times run from ``t_clean`` (data) to ``t_start`` (noise); ``t_start`` and ``t_stop`` are the default ends of
    grids. ``preserves_variance`` says ``alpha^2 + sigma^2 = 1``. Scalars may be of any kind that
    :mod:`diffnum.num` knows; ``alpha sigma lam t drift diffusion`` take arrays elementwise too.

    Raises:
        ValueError: a time or a log-SNR outside the process, or an infinite drift: one sentence with the value and
            the interval.
    """

    @property
    def name(self) -> str: ...
    @property
    def preserves_variance(self) -> bool: ...
    @property
    def t_start(self) -> float: ...
    @property
    def t_stop(self) -> float: ...
    @property
    def t_clean(self) -> float: ...

    def alpha(self, t: Any, /) -> Any:
        """Signal scale."""
        ...

    def sigma(self, t: Any, /) -> Any:
        """Noise scale."""
        ...

    def lam(self, t: Any, /) -> Any:
        """Log-SNR ``log(alpha / sigma)``, falling in ``t``; infinite where ``sigma = 0`` or ``alpha = 0``."""
        ...

    def t(self, lam: Any, /) -> Any:
        """Inverse of :meth:`lam`: ``|lam(t(lam)) - lam| <= 1e-12 max(1, |lam|)``, or the change of ``lam``
        over half an ulp of ``t`` where that is more."""
        ...

    def level(self, t: Any, /) -> Level:
        """The level at time ``t``."""
        ...

    def at(self, lam: Any, /) -> Level:
        """The level at a log-SNR, its scales computed from ``lam`` and not through ``t``; ``inf`` is the clean
        level, ``-inf`` pure noise where the process has it."""
        ...

    def node(self, lam: Any, /) -> Level:
        """:meth:`at`, for a level that a method visits inside a step: a step of VE to the clean level passes levels
        below ``sigma_min``."""
        ...

    def clock(self, level: Level, /) -> Any:
        """The variable ``c`` in which classical methods step: ``t``, or ``sigma`` for VE, EDM and Flow."""
        ...

    def at_clock(self, c: Any, /) -> Level:
        """The level with this clock value."""
        ...

    def rates(self, level: Level, /) -> tuple[Any, Any]:
        """``(dalpha/dc, dsigma/dc)``; ``ZeroDivisionError`` where ``dsigma/dc`` is infinite."""
        ...

    def drift(self, t: Any, /) -> Any:
        """``f = dlog alpha / dt`` of the forward SDE ``dx = f x dt + g dw`` (Lu et al. 2022, section 2.1)."""
        ...

    def diffusion(self, t: Any, /) -> Any:
        """``g = sqrt(dsigma^2/dt - 2 f sigma^2)``."""
        ...

    def prior(self, level: Level, /) -> Any:
        """Standard deviation from which users draw ``x_T`` at this level."""
        ...

    def to_json(self) -> dict[str, Any]:
        """``{"name": ..., parameters}``, read back by :func:`diffnum.process.from_json`."""
        ...


def as_float(x: Any) -> float | None:
    """The value of a number, cut off from any gradient; None for a symbol or a series."""
    if type(x) is float:
        return x
    try:
        return float(x.detach() if hasattr(x, "detach") else x)
    except TypeError:
        return None


def scalar(x: Any) -> Any:
    """Python and numpy numbers as a float, others as they are."""
    return float(x) if isinstance(x, (int, float, np.generic, np.ndarray)) else x


def _each(f: Method) -> Method:
    @functools.wraps(f)
    def each(self: Any, x: Any) -> Any:
        if type(x) is float:
            return f(self, x)
        if isinstance(x, np.ndarray) and x.ndim:
            return np.array([f(self, float(v)) for v in x.flat]).reshape(x.shape)
        if not isinstance(x, np.ndarray) and getattr(x, "ndim", 0):
            torch = import_module("torch")
            values = [torch.as_tensor(f(self, v), dtype=x.dtype, device=x.device) for v in x.reshape(-1)]
            return torch.stack(values).reshape(x.shape)
        return f(self, scalar(x))

    return each


def of_time(f: Method) -> Method:
    """A method of ``t``: elementwise, refusing times outside the process and infinite values."""

    def checked(self: Any, t: Any) -> Any:
        at = as_float(t)
        if not (at is None or self.t_clean <= at <= self.t_start):
            raise ValueError(
                f"t = {at!r} is outside {self.name}, which runs from t = {self.t_clean:g} (data) "
                f"to {self.t_start:g} (noise): use a time in this interval"
            )
        try:
            return f(self, t)
        except ZeroDivisionError:
            raise ValueError(f"the {f.__name__} of {self.name} is infinite at t = {at!r}: use a time inside") from None

    return _each(functools.wraps(f)(checked))


def of_lam(f: Method) -> Method:
    """A method from the log-SNR to ``t``: elementwise, the ends handled, rounding beyond an end taken back."""

    def checked(self: Any, lam: Any) -> Any:
        at = as_float(lam)
        if at is None:
            return f(self, lam)
        noisiest, cleanest = _ends(self)
        _check_lam(self, at, noisiest, cleanest)
        if not noisiest < at < cleanest:
            return self.t_start if at <= noisiest else self.t_clean
        t = f(self, lam)
        value = as_float(t)
        assert value is not None
        return t if self.t_clean <= value <= self.t_start else min(max(value, self.t_clean), self.t_start)

    return _each(functools.wraps(f)(checked))


def _ends(process: Any) -> tuple[float, float]:
    """The log-SNR of the noisiest and of the cleanest level."""
    # a tensor among the parameters may change in place
    if all([type(value) is float for value in vars(process).values()]):
        return _known_ends(process)
    return process.lam(process.t_start), process.lam(process.t_clean)


@functools.lru_cache(maxsize=256)
def _known_ends(process: Any) -> tuple[float, float]:
    return process.lam(process.t_start), process.lam(process.t_clean)


def _check_lam(process: Any, lam: float, noisiest: float, cleanest: float) -> None:
    low, high = max(noisiest, -DEEPEST), min(cleanest, DEEPEST)
    slack = ROUNDING * max(1.0, abs(lam))
    inside = low - slack <= lam <= high + slack if math.isfinite(lam) else lam in (math.inf, noisiest)
    if not inside:
        pure = "-inf, " if noisiest == -math.inf else ""
        raise ValueError(
            f"log-SNR {lam!r} is outside {process.name}, which has {pure}{low:.6g} (noise) to {high:.6g}, and inf "
            "(data): use a value in this range"
        )


def require(ok: bool, sentence: str) -> None:
    """``ValueError(sentence)`` unless ``ok``."""
    if not ok:
        raise ValueError(sentence)


def like(c: float, x: Any) -> Any:
    """A constant in the kind of ``x``, so that mpmath rounds what is made of it in its own precision."""
    return c + 0 * x


def pi(x: Any) -> Any:
    """Pi in the kind of ``x``."""
    kind = type(x).__module__.partition(".")[0]
    if kind == "gmpy2":
        return import_module(kind).const_pi()
    return +import_module(kind).pi if kind in ("mpmath", "sympy") else math.pi


def asin(x: Any) -> Any:
    """Arc sine of a scalar."""
    return math.asin(x) if isinstance(x, float) else import_module(type(x).__module__.partition(".")[0]).asin(x)


def noisy(lam: Any) -> bool:
    """Is the log-SNR a negative number? Only chooses between equal formulas."""
    if type(lam) is float:
        return lam < 0
    at = as_float(lam)
    return at is not None and at < 0


def softplus(x: Any) -> Any:
    """``log(1 + e^x)``."""
    if type(x) is float:
        return log1p(exp(x)) if x < 0 else x + log1p(exp(-x))
    return log1p(exp(x)) if noisy(x) or as_float(x) is None else x + log1p(exp(-x))


def circle(lam: Any) -> tuple[Any, Any]:
    """``(alpha, sigma)`` with ``alpha^2 + sigma^2 = 1`` and ``log(alpha / sigma) = lam``."""
    r = exp(lam) if noisy(lam) else exp(-lam)
    large = 1 / sqrt(1 + r * r)
    return (r * large, large) if noisy(lam) else (large, r * large)


def level_at(process: Any, t: Any, v: Any = None) -> Level:
    """The level at time ``t``, flags from the scales."""
    t = scalar(t)
    alpha, sigma = process.alpha(t), process.sigma(t)
    return Level(t, alpha, sigma, process.lam(t), v, pure_noise=bool(alpha == 0), clean=bool(sigma == 0))


def level_of(process: Any, lam: Any, scales: Callable[[Any], tuple[Any, Any]], v: Any = None) -> Level:
    """The level with a log-SNR, flags from that."""
    lam = scalar(lam)
    t, at = process.t(lam), as_float(lam)
    if at in (math.inf, -math.inf):
        clean = at == math.inf
        return Level(t, float(clean), float(not clean), at, v, pure_noise=not clean, clean=clean)
    alpha, sigma = scales(lam)
    return Level(t, alpha, sigma, lam, v, pure_noise=False, clean=False)


def level_on_circle(process: Any, lam: Any) -> Level:
    """:func:`level_of` where variance is preserved."""
    return level_of(process, lam, circle)


def node_inside(process: Any, lam: Any) -> Level:
    """The node of processes whose levels reach down to the data."""
    return process.at(lam)


def time_of(process: Any, level: Level) -> Any:
    """The clock that is ``t``."""
    return level.t


def noise_of(process: Any, level: Level) -> Any:
    """The clock that is ``sigma``, and the prior of processes without a unit one."""
    return level.sigma


def unit_prior(process: Any, level: Level) -> float:
    """The prior of processes that end near a standard normal."""
    return 1.0


@of_time
def diffusion_on_circle(process: Any, t: Any) -> Any:
    """``g = sqrt(-2 f)`` where variance is preserved."""
    return sqrt(-2 * process.drift(t))


def parameters(process: Any) -> dict[str, Any]:
    """Name and fields of a process as JSON data."""
    return {"name": process.name, **asdict(process)}
