"""Noise processes ``x_t = alpha(t) x0 + sigma(t) eps``: how much signal and noise there is at each time.

Every process is a frozen dataclass that has the members of :class:`Process`; they share no base class.
Formulas take any kind of number that :mod:`diffnum.num` knows, arrays elementwise, and are arranged so that
neither end cancels: ``1 - alpha^2`` is never formed by subtraction, nor ``alpha`` near ``alpha = 0``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np

from .num import cos, exp, expm1, log, log1p, sin, sqrt
from .plan import Level
from .process_table import Table

__all__ = ["DDPM", "EDM", "VE", "VP", "Cosine", "Flow", "Process", "SubVP", "as_float", "from_json"]

# rounding that a log-SNR at the noisy end may have picked up, in units of max(1, |lam|)
_ROUNDING = 2e-15


class Process(Protocol):
    """What every noise process offers.

    Times run from ``t_clean`` (data) to ``t_start`` (noise); ``t_start`` and ``t_stop`` are the default ends of
    grids. A time or log-SNR outside raises a ``ValueError`` with the interval. ``preserves_variance`` says
    ``alpha^2 + sigma^2 = 1``.
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

    def alpha(self, t: Any) -> Any:
        """Signal scale."""

    def sigma(self, t: Any) -> Any:
        """Noise scale."""

    def lam(self, t: Any) -> Any:
        """Log-SNR ``log(alpha / sigma)``, decreasing in ``t``; infinite at the ends that have ``sigma`` or ``alpha = 0``."""

    def t(self, lam: Any) -> Any:
        """Inverse of :meth:`lam`: ``|lam(t(lam)) - lam| <= 1e-12 max(1, |lam|)``, or the change of ``lam``
        over half an ulp of ``t`` where that is more."""

    def level(self, t: Any) -> Level:
        """The level at time ``t``."""

    def at(self, lam: Any) -> Level:
        """The level at a log-SNR, its scales computed from ``lam`` and not through ``t``; ``inf`` is the clean
        level, ``-inf`` pure noise where the process has it."""

    def clock(self, level: Level) -> Any:
        """The variable ``c`` in which classical methods step: ``t``, or ``sigma`` for VE, EDM and Flow."""

    def at_clock(self, c: Any) -> Level:
        """The level with this clock value."""

    def rates(self, level: Level) -> tuple[Any, Any]:
        """``(dalpha/dc, dsigma/dc)``; ``ZeroDivisionError`` where ``dsigma/dc`` is infinite."""

    def drift(self, t: Any) -> Any:
        """``f = dlog alpha / dt`` of the forward SDE ``dx = f x dt + g dw`` (Kingma et al. 2021, eq. 1)."""

    def diffusion(self, t: Any) -> Any:
        """``g = sqrt(dsigma^2/dt - 2 f sigma^2)``."""

    def prior(self, level: Level) -> Any:
        """Standard deviation from which users draw ``x_T`` at this level."""

    def to_json(self) -> dict[str, Any]:
        """``{"name": ..., parameters}``, read back by :func:`from_json`."""


def as_float(x: Any) -> float | None:
    """The value of a number, cut off from any gradient; None for a symbol or a series."""
    try:
        return float(x.detach() if hasattr(x, "detach") else x)
    except TypeError:
        return None


def _each(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Scalar method to one that also takes arrays; Python numbers arrive as floats."""

    @functools.wraps(f)
    def each(self: Any, x: Any) -> Any:
        if isinstance(x, (int, float)):
            return f(self, float(x))
        if isinstance(x, (np.ndarray, np.generic)):
            values = np.array([f(self, float(v)) for v in np.ravel(x)]).reshape(np.shape(x))
            return values if values.ndim else float(values)
        if getattr(x, "ndim", 0):
            torch = import_module("torch")
            values = [torch.as_tensor(f(self, v), dtype=x.dtype, device=x.device) for v in x.reshape(-1)]
            return torch.stack(values).reshape(x.shape)
        return f(self, x)

    return each


def _of_time(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A method of ``t``: elementwise, refusing times outside the process and infinite values."""

    def checked(self: Any, t: Any) -> Any:
        at = as_float(t)
        if at is not None and not self.t_clean <= at <= self.t_start:
            raise ValueError(
                f"t = {at!r} is outside {self.name}, which runs from t = {self.t_clean:g} (data) "
                f"to {self.t_start:g} (noise): use a time in this interval"
            )
        try:
            return f(self, t)
        except ZeroDivisionError:
            raise ValueError(f"the {f.__name__} of {self.name} is infinite at t = {at!r}: use a time inside") from None

    return _each(functools.wraps(f)(checked))


def _of_lam(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A method from the log-SNR to ``t``: elementwise, the ends handled, rounding beyond an end taken back."""

    def checked(self: Any, lam: Any) -> Any:
        at = as_float(lam)
        if at is None:
            return f(self, lam)
        _check_lam(self, at)
        low = self.lam(self.t_start)
        if at == math.inf or at <= low:
            return self.t_clean if at > low else self.t_start
        t = f(self, lam)
        value = as_float(t)
        assert value is not None
        return min(max(value, self.t_clean), self.t_start) if not self.t_clean <= value <= self.t_start else t

    return _each(functools.wraps(f)(checked))


def _check_lam(process: Any, lam: float) -> None:
    low, high = process.lam(process.t_start), _largest_lam(process)
    slack = _ROUNDING * max(1.0, abs(lam)) if math.isfinite(lam) else 0.0
    if lam == math.inf or low - slack <= lam <= high + slack:
        return
    raise ValueError(
        f"log-SNR {lam!r} is outside {process.name}, which reaches from {low:.6g} (noise) to {high:.6g} and inf (data): "
        "use a value in this range"
    )


def _largest_lam(process: Any) -> float:
    # beyond 700 the smaller of alpha and sigma is not a normal float
    return min(process.lam(process.t_clean), 700.0)


def _require(ok: bool, sentence: str) -> None:
    if not ok:
        raise ValueError(sentence)


def _like(c: float, x: Any) -> Any:
    return c + 0 * x


def _pi(x: Any) -> Any:
    kind = type(x).__module__.partition(".")[0]
    return +import_module(kind).pi if kind in ("mpmath", "sympy") else math.pi


def _asin(x: Any) -> Any:
    kind = type(x).__module__.partition(".")[0]
    return math.asin(x) if isinstance(x, float) else import_module(kind).asin(x)


def _noisy(lam: Any) -> bool:
    at = as_float(lam)
    return at is not None and at < 0


def _softplus(x: Any) -> Any:
    """``log(1 + e^x)``."""
    at = as_float(x)
    return x + log1p(exp(-x)) if at is not None and at > 0 else log1p(exp(x))


def _circle(lam: Any) -> tuple[Any, Any]:
    """``(alpha, sigma)`` with ``alpha^2 + sigma^2 = 1`` and ``log(alpha / sigma) = lam``."""
    r = exp(lam) if _noisy(lam) else exp(-lam)
    large = 1 / sqrt(1 + r * r)
    return (r * large, large) if _noisy(lam) else (large, r * large)


def _level(process: Any, t: Any) -> Level:
    t = float(t) if isinstance(t, (int, float)) else t
    alpha, sigma = process.alpha(t), process.sigma(t)
    return Level(t, alpha, sigma, process.lam(t), pure_noise=bool(alpha == 0), clean=bool(sigma == 0))


def _at(process: Any, lam: Any, scales: Callable[[Any], tuple[Any, Any]], v: Any = None) -> Level:
    lam = float(lam) if isinstance(lam, (int, float)) else lam
    t = process.t(lam)
    if as_float(lam) in (math.inf, -math.inf):
        clean = as_float(lam) == math.inf
        return Level(t, float(clean), float(not clean), as_float(lam), v, not clean, clean)
    alpha, sigma = scales(lam)
    return Level(t, alpha, sigma, lam, v, pure_noise=False, clean=False)


def _json(process: Any) -> dict[str, Any]:
    return {"name": process.name, **asdict(process)}


def _linear_beta(process: Any, t: Any) -> Any:
    """``log alpha = -(beta_max - beta_min) t^2 / 4 - beta_min t / 2``."""
    return -t * ((process.beta_max - process.beta_min) / 4 * t + process.beta_min / 2)


def _linear_beta_time(process: Any, fall: Any) -> Any:
    """``t`` from ``fall = -2 log alpha``, the root of the quadratic that does not cancel."""
    half = process.beta_min / 2
    return fall / (half + sqrt(half * half + (process.beta_max - process.beta_min) / 2 * fall))


def _check_betas(process: Any) -> None:
    for key in ("beta_min", "beta_max"):
        beta = getattr(process, key)
        _require(0 < beta < math.inf, f"{process.name}({key}={beta!r}) is no noise rate: use a positive number")
    top = process.beta_min + process.beta_max
    _require(top < 2000, f"{process.name} with beta_min + beta_max = {top!r} leaves no signal in float64: use less than 2000")


@dataclass(frozen=True)
class VP:
    """Variance-preserving process with a rate linear in time (Song et al. 2021, eq. 32-33), ``t`` in [0, 1]:

    ``log alpha = -(beta_max - beta_min) t^2 / 4 - beta_min t / 2``, ``sigma^2 = 1 - alpha^2``.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    name: ClassVar[str] = "VP"
    preserves_variance: ClassVar[bool] = True
    t_start: ClassVar[float] = 1.0
    t_stop: ClassVar[float] = 1e-3
    t_clean: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _check_betas(self)

    @_of_time
    def alpha(self, t: Any) -> Any:
        return exp(_linear_beta(self, t))

    @_of_time
    def sigma(self, t: Any) -> Any:
        return sqrt(-expm1(2 * _linear_beta(self, t)))

    @_of_time
    def lam(self, t: Any) -> Any:
        return _linear_beta(self, t) - log(self.sigma(t))

    @_of_lam
    def t(self, lam: Any) -> Any:
        return _linear_beta_time(self, _softplus(-2 * lam))

    def level(self, t: Any) -> Level:
        return _level(self, t)

    def at(self, lam: Any) -> Level:
        return _at(self, lam, _circle)

    def clock(self, level: Level) -> Any:
        return level.t

    def at_clock(self, c: Any) -> Level:
        return self.level(c)

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = level.alpha * self.drift(level.t)
        return slope, -level.alpha * slope / level.sigma

    @_of_time
    def drift(self, t: Any) -> Any:
        return -(self.beta_min + (self.beta_max - self.beta_min) * t) / 2

    @_of_time
    def diffusion(self, t: Any) -> Any:
        return sqrt(-2 * self.drift(t))

    def prior(self, level: Level) -> float:
        return 1.0

    def to_json(self) -> dict[str, Any]:
        return _json(self)


@dataclass(frozen=True)
class SubVP:
    """Sub-variance-preserving process (Song et al. 2021, eq. 29): ``alpha`` of :class:`VP`, ``sigma = 1 - alpha^2``."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    name: ClassVar[str] = "SubVP"
    preserves_variance: ClassVar[bool] = False
    t_start: ClassVar[float] = 1.0
    t_stop: ClassVar[float] = 1e-3
    t_clean: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _check_betas(self)

    @_of_time
    def alpha(self, t: Any) -> Any:
        return exp(_linear_beta(self, t))

    @_of_time
    def sigma(self, t: Any) -> Any:
        return -expm1(2 * _linear_beta(self, t))

    @_of_time
    def lam(self, t: Any) -> Any:
        return _linear_beta(self, t) - log(self.sigma(t))

    @_of_lam
    def t(self, lam: Any) -> Any:
        q = exp(-lam) / 2
        return _linear_beta_time(self, 2 * log1p(q + q * q / (1 + sqrt(1 + q * q))))

    def level(self, t: Any) -> Level:
        return _level(self, t)

    def at(self, lam: Any) -> Level:
        return _at(self, lam, self._scales)

    @staticmethod
    def _scales(lam: Any) -> tuple[Any, Any]:
        # alpha^2 + 2 q alpha - 1 = 0 with q = sigma / (2 alpha)
        q = exp(-lam) / 2
        alpha = 1 / (q + sqrt(1 + q * q))
        return alpha, 2 * q * alpha

    def clock(self, level: Level) -> Any:
        return level.t

    def at_clock(self, c: Any) -> Level:
        return self.level(c)

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = level.alpha * self.drift(level.t)
        return slope, -2 * level.alpha * slope

    @_of_time
    def drift(self, t: Any) -> Any:
        return -(self.beta_min + (self.beta_max - self.beta_min) * t) / 2

    @_of_time
    def diffusion(self, t: Any) -> Any:
        return sqrt(2 * self.drift(t) * expm1(4 * _linear_beta(self, t)))

    def prior(self, level: Level) -> float:
        return 1.0

    def to_json(self) -> dict[str, Any]:
        return _json(self)


@dataclass(frozen=True)
class Cosine:
    """Cosine process (Nichol & Dhariwal 2021, eq. 17) without its clipping, ``t`` in [0, 1]:

    ``alpha = cos(theta(t)) / cos(theta(0))``, ``theta(t) = pi/2 (t + s) / (1 + s)``, ``sigma^2 = 1 - alpha^2``;
    ``alpha = 0`` exactly at ``t = 1`` and ``sigma = 0`` exactly at ``t = 0``. With ``k = pi/2 / (1 + s)``,
    ``alpha = sin(k (1 - t)) / sin k`` and ``sigma^2 = sin(k t) sin(k (t + 2 s)) / sin^2 k``.
    """

    s: float = 0.008
    name: ClassVar[str] = "Cosine"
    preserves_variance: ClassVar[bool] = True
    t_start: ClassVar[float] = 1.0
    t_stop: ClassVar[float] = 1e-3
    t_clean: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _require(0 <= self.s < math.inf, f"Cosine(s={self.s!r}) is no offset: use s >= 0, such as 0.008")

    def _k(self, x: Any) -> Any:
        return _pi(x) / (2 * (1 + _like(self.s, x)))

    @_of_time
    def alpha(self, t: Any) -> Any:
        k = self._k(t)
        return sin(k * (1 - t)) / sin(k)

    @_of_time
    def sigma(self, t: Any) -> Any:
        alpha, at = self.alpha(t), as_float(t)
        if at is not None and at > 0.75:
            return sqrt((1 - alpha) * (1 + alpha))
        k = self._k(t)
        return sqrt(sin(k * t) * sin(k * (t + 2 * _like(self.s, t)))) / sin(k)

    @_of_time
    def lam(self, t: Any) -> Any:
        return log(self.alpha(t)) - log(self.sigma(t))

    @_of_lam
    def t(self, lam: Any) -> Any:
        k, (alpha, sigma) = self._k(lam), _circle(lam)
        if _noisy(lam):
            return 1 - _asin(alpha * sin(k)) / k
        # sin(theta - theta_0) = sigma^2 cos(theta_0) / (sin(theta) + alpha sin(theta_0)), all terms positive
        near = sin(k * _like(self.s, lam))
        far = sqrt(near * near + (sigma * sin(k)) * (sigma * sin(k)))
        return _asin(sigma * sigma * sin(k) / (far + alpha * near)) / k

    def level(self, t: Any) -> Level:
        return _level(self, t)

    def at(self, lam: Any) -> Level:
        return _at(self, lam, _circle)

    def clock(self, level: Level) -> Any:
        return level.t

    def at_clock(self, c: Any) -> Level:
        return self.level(c)

    def rates(self, level: Level) -> tuple[Any, Any]:
        k = self._k(level.t)
        slope = -k * cos(k * (1 - level.t)) / sin(k)
        return slope, -level.alpha * slope / level.sigma

    @_of_time
    def drift(self, t: Any) -> Any:
        k = self._k(t)
        return -k * cos(k * (1 - t)) / sin(k * (1 - t))

    @_of_time
    def diffusion(self, t: Any) -> Any:
        return sqrt(-2 * self.drift(t))

    def prior(self, level: Level) -> float:
        return 1.0

    def to_json(self) -> dict[str, Any]:
        return _json(self)


def _check_sigmas(process: Any) -> None:
    low, high = process.sigma_min, process.sigma_max
    _require(
        0 < low < high < math.inf,
        f"{process.name}(sigma_min={low!r}, sigma_max={high!r}) is no range: use 0 < sigma_min < sigma_max",
    )


def _exploded(lam: Any) -> tuple[Any, Any]:
    return 1.0, exp(-lam)


@dataclass(frozen=True)
class VE:
    """Variance-exploding process (Song et al. 2021, eq. 30), ``alpha = 1``, ``t`` in [0, 1]:

    ``sigma = sigma_min (sigma_max / sigma_min)^t``. The clean level ``sigma = 0`` lies at ``t = -inf``; it carries the
    label ``t = 0``, what a network trained on [0, 1] can be told. Nodes that a method places inside a last step to
    it (:meth:`at_clock` below ``sigma_min``) keep their true, negative ``t``.
    """

    sigma_min: float = 0.02
    sigma_max: float = 80.0
    name: ClassVar[str] = "VE"
    preserves_variance: ClassVar[bool] = False
    t_start: ClassVar[float] = 1.0
    t_stop: ClassVar[float] = 0.0
    t_clean: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _check_sigmas(self)

    def _log_ratio(self, x: Any) -> Any:
        return log(_like(self.sigma_max, x) / self.sigma_min)

    @_of_time
    def alpha(self, t: Any) -> Any:
        return 1.0

    @_of_time
    def sigma(self, t: Any) -> Any:
        if isinstance(t, float) and t > 0.5:  # both ends exact
            return self.sigma_max * (self.sigma_min / self.sigma_max) ** (1 - t)
        return self.sigma_min * (_like(self.sigma_max, t) / self.sigma_min) ** t

    @_of_time
    def lam(self, t: Any) -> Any:
        return -log(self.sigma(t))

    @_of_lam
    def t(self, lam: Any) -> Any:
        return self._label(exp(-lam))

    def _label(self, sigma: Any) -> Any:
        return log(sigma / self.sigma_min) / self._log_ratio(sigma)

    def level(self, t: Any) -> Level:
        t = float(t) if isinstance(t, (int, float)) else t
        return Level(t, 1.0, self.sigma(t), self.lam(t), (0.0, 1.0), pure_noise=False, clean=False)

    def at(self, lam: Any) -> Level:
        return _at(self, lam, _exploded, (0.0, 1.0))

    def clock(self, level: Level) -> Any:
        return level.sigma

    def at_clock(self, c: Any) -> Level:
        return _at_sigma(self, c, self._label)

    def rates(self, level: Level) -> tuple[float, float]:
        return 0.0, 1.0

    @_of_time
    def drift(self, t: Any) -> Any:
        return 0.0

    @_of_time
    def diffusion(self, t: Any) -> Any:
        return self.sigma(t) * sqrt(2 * self._log_ratio(t))

    def prior(self, level: Level) -> Any:
        return level.sigma

    def to_json(self) -> dict[str, Any]:
        return _json(self)


def _at_sigma(process: Any, sigma: Any, label: Callable[[Any], Any]) -> Level:
    value = as_float(sigma)
    _require(
        value is None or 0 <= value <= process.sigma_max * (1 + _ROUNDING),
        f"sigma = {value!r} is outside {process.name}: use 0 <= sigma <= {process.sigma_max:g}",
    )
    if value == 0:
        return Level(process.t_clean, 1.0, sigma, math.inf, (0.0, 1.0), pure_noise=False, clean=True)
    return Level(label(sigma), 1.0, sigma, -log(sigma), (0.0, 1.0), pure_noise=False, clean=False)


@dataclass(frozen=True)
class EDM:
    """Variance-exploding process labelled by its noise (Karras et al. 2022, Table 1): ``alpha = 1``, ``sigma = t``.

    ``t`` in [0, sigma_max]; ``sigma_min`` is only the default end of grids.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    name: ClassVar[str] = "EDM"
    preserves_variance: ClassVar[bool] = False
    t_clean: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _check_sigmas(self)

    @property
    def t_start(self) -> float:
        return self.sigma_max

    @property
    def t_stop(self) -> float:
        return self.sigma_min

    @_of_time
    def alpha(self, t: Any) -> Any:
        return 1.0

    @_of_time
    def sigma(self, t: Any) -> Any:
        return t

    @_of_time
    def lam(self, t: Any) -> Any:
        return -log(t)

    @_of_lam
    def t(self, lam: Any) -> Any:
        return exp(-lam)

    def level(self, t: Any) -> Level:
        self.sigma(t)
        return self.at_clock(t)

    def at(self, lam: Any) -> Level:
        return _at(self, lam, _exploded, (0.0, 1.0))

    def clock(self, level: Level) -> Any:
        return level.sigma

    def at_clock(self, c: Any) -> Level:
        return _at_sigma(self, float(c) if isinstance(c, int) else c, lambda sigma: sigma)

    def rates(self, level: Level) -> tuple[float, float]:
        return 0.0, 1.0

    @_of_time
    def drift(self, t: Any) -> Any:
        return 0.0

    @_of_time
    def diffusion(self, t: Any) -> Any:
        return sqrt(2 * t)

    def prior(self, level: Level) -> Any:
        return level.sigma

    def to_json(self) -> dict[str, Any]:
        return _json(self)


@dataclass(frozen=True)
class Flow:
    """Linear interpolation of flow matching (Lipman et al. 2023, eq. 20) with a shifted time (Esser et al. 2024, eq. 23):

    ``sigma = shift t / (1 + (shift - 1) t)``, ``alpha = 1 - sigma``, ``t`` in [0, 1]. The clock is ``sigma``, in which
    the velocity is ``eps - x0``; the shift only moves the labels.
    """

    shift: float = 1.0
    name: ClassVar[str] = "Flow"
    preserves_variance: ClassVar[bool] = False
    t_start: ClassVar[float] = 1.0
    t_stop: ClassVar[float] = 1e-3
    t_clean: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        _require(0 < self.shift < math.inf, f"Flow(shift={self.shift!r}) is no shift: use a positive number")

    def _stretch(self, t: Any) -> Any:
        return 1 + (_like(self.shift, t) - 1) * t

    @_of_time
    def alpha(self, t: Any) -> Any:
        return (1 - t) / self._stretch(t)

    @_of_time
    def sigma(self, t: Any) -> Any:
        return self.shift * t / self._stretch(t)

    @_of_time
    def lam(self, t: Any) -> Any:
        return log(1 - t) - log(self.shift * t) if _past_half(t) else log1p(-t) - log(self.shift * t)

    @_of_lam
    def t(self, lam: Any) -> Any:
        if _noisy(lam):
            odds = self.shift * exp(lam)
            return 1 - odds / (1 + odds)
        odds = exp(-lam) / self.shift
        return odds / (1 + odds)

    def level(self, t: Any) -> Level:
        t = float(t) if isinstance(t, (int, float)) else t
        alpha, sigma, lam = self.alpha(t), self.sigma(t), self.lam(t)
        return Level(t, alpha, sigma, lam, (-1.0, 1.0), pure_noise=bool(alpha == 0), clean=bool(sigma == 0))

    def at(self, lam: Any) -> Level:
        return _at(self, lam, self._scales, (-1.0, 1.0))

    @staticmethod
    def _scales(lam: Any) -> tuple[Any, Any]:
        r = exp(lam) if _noisy(lam) else exp(-lam)
        return (r / (1 + r), 1 / (1 + r)) if _noisy(lam) else (1 / (1 + r), r / (1 + r))

    def clock(self, level: Level) -> Any:
        return level.sigma

    def at_clock(self, c: Any) -> Level:
        value = as_float(c)
        _require(value is None or 0 <= value <= 1, f"sigma = {value!r} is outside Flow: use 0 <= sigma <= 1")
        t = c / (c + self.shift * (1 - c))
        lam = log1p(-c) - log(c) if value != 1 else -math.inf
        return Level(t, 1 - c, c, lam, (-1.0, 1.0), pure_noise=value == 1, clean=value == 0)

    def rates(self, level: Level) -> tuple[float, float]:
        return -1.0, 1.0

    @_of_time
    def drift(self, t: Any) -> Any:
        return -self.shift / ((1 - t) * self._stretch(t))

    @_of_time
    def diffusion(self, t: Any) -> Any:
        # g^2 = 2 sigma sigma' / alpha
        return sqrt(2 * self.sigma(t) * self.shift / ((1 - t) * self._stretch(t)))

    def prior(self, level: Level) -> Any:
        return level.sigma

    def to_json(self) -> dict[str, Any]:
        return _json(self)


def _past_half(t: Any) -> bool:
    at = as_float(t)
    return at is not None and at > 0.5


@dataclass(frozen=True, repr=False)
class DDPM:
    """A discrete table as a process (Ho, Jain & Abbeel 2020, eq. 4): ``alpha(i)^2 = prod_{j <= i} (1 - beta_j)``.

    ``t`` in [-1, N - 1]: an integer is the table's entry, -1 the data. Between nodes ``log alpha`` is linear in
    ``t``, or with ``smooth`` one C2 cubic spline; in a last interval that ends at ``alpha = 0`` (a last beta of 1),
    ``alpha`` itself is linear. At a kink the derivatives are those of the interval below.

    Args:
        betas: any sequence; default 1000 from 1e-4 to 0.02, linear. Stored as a tuple of floats.

    Raises:
        ValueError: a beta outside (0, 1), except a last one of 1; a spline that is not monotone.
    """

    betas: Sequence[float] | None = None  # a tuple once built
    smooth: bool = False
    name: ClassVar[str] = "DDPM"
    preserves_variance: ClassVar[bool] = True
    t_stop: ClassVar[float] = 0.0
    t_clean: ClassVar[float] = -1.0

    def __post_init__(self) -> None:
        given = np.linspace(1e-4, 0.02, 1000) if self.betas is None else self.betas
        betas = tuple(float(beta) for beta in given)
        _require(len(betas) > 0, "DDPM(betas=()) has no noise: give at least one beta")
        for i, beta in enumerate(betas):
            ok = 0 < beta < 1 or (beta == 1 and i == len(betas) - 1 and not self.smooth)
            _require(ok, f"betas[{i}] = {beta!r} is outside (0, 1): only the last beta of a table without smooth may be 1")
        object.__setattr__(self, "betas", betas)
        _ = self._table  # a spline that is not monotone is refused here

    def __repr__(self) -> str:
        betas = tuple(self.betas or ())
        return f"DDPM({len(betas)} betas from {betas[0]:g} to {betas[-1]:g}, smooth={self.smooth})"

    @cached_property
    def _table(self) -> Table:
        return Table.through(tuple(self.betas or ()), self.smooth)

    @property
    def t_start(self) -> float:
        return len(self._table.alphas) - 2.0

    @_of_time
    def alpha(self, t: Any) -> Any:
        return self._table.alpha(t)

    @_of_time
    def sigma(self, t: Any) -> Any:
        return self._table.sigma(t)

    @_of_time
    def lam(self, t: Any) -> Any:
        return self._table.lam(t)

    @_of_lam
    def t(self, lam: Any) -> Any:
        at = as_float(lam)
        if at is None:
            raise TypeError("a DDPM table has no symbolic inverse: give a number")
        return self._table.find(at, -_softplus(-2 * lam) / 2, _circle(lam)[0])

    def level(self, t: Any) -> Level:
        return _level(self, t)

    def at(self, lam: Any) -> Level:
        return _at(self, lam, _circle)

    def clock(self, level: Level) -> Any:
        return level.t

    def at_clock(self, c: Any) -> Level:
        return self.level(c)

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = self._table.alpha_rate(level.t, level.alpha)
        return slope, -level.alpha * slope / level.sigma

    @_of_time
    def drift(self, t: Any) -> Any:
        return self._table.slope(t)

    @_of_time
    def diffusion(self, t: Any) -> Any:
        return sqrt(-2 * self.drift(t))

    def prior(self, level: Level) -> float:
        return 1.0

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "betas": list(self.betas or ()), "smooth": self.smooth}


def from_json(data: Mapping[str, Any]) -> Process:
    """Inverse of ``to_json``.

    Raises:
        ValueError: an unknown name or parameters that do not belong to it.
    """
    kinds = {kind.name: kind for kind in (VP, Cosine, VE, EDM, SubVP, Flow, DDPM)}
    parameters = {key: value for key, value in data.items() if key != "name"}
    if data.get("name") not in kinds:
        raise ValueError(f"process {data.get('name')!r} is unknown: use one of {', '.join(kinds)}")
    try:
        return kinds[data["name"]](**parameters)
    except TypeError as error:
        raise ValueError(f"{parameters!r} are no parameters of {data['name']}: {error}") from error
