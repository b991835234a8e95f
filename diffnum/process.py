"""Noise processes ``x_t = alpha(t) x0 + sigma(t) eps``: how much signal and noise there is at each time.

Every process is a frozen dataclass with the members of :class:`Process`, which are documented there. Formulas
take any kind of number that :mod:`diffnum.num` knows and are arranged so that neither end cancels: ``1 - alpha^2`` is
never formed by subtraction, nor ``alpha`` near ``alpha = 0``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .num import exp, expm1, log, log1p, sin, sqrt
from .plan import Level
from .process_exploding import EDM, VE
from .process_reverting import CosineRate, MeanReverting, rate_table
from .process_shared import (
    Process,
    as_float,
    asin,
    circle,
    diffusion_on_circle,
    level_at,
    level_of,
    level_on_circle,
    like,
    node_inside,
    noise_of,
    noisy,
    of_lam,
    of_time,
    parameters,
    pi,
    require,
    scalar,
    softplus,
    time_of,
    unit_prior,
)
from .process_table import DDPM

__all__ = [
    "DDPM",
    "EDM",
    "VE",
    "VP",
    "Cosine",
    "CosineRate",
    "Flow",
    "MeanReverting",
    "Process",
    "SubVP",
    "as_float",
    "from_json",
    "rate_table",
]


@dataclass(frozen=True)
class VP:
    """Variance-preserving process with a rate linear in time (Song et al. 2021, eq. 32-33), ``t`` in [0, 1]:

    ``log alpha = -(beta_max - beta_min) t^2 / 4 - beta_min t / 2``, ``sigma^2 = 1 - alpha^2``.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    name = "VP"
    preserves_variance = True
    t_start = 1.0
    t_stop = 1e-3
    t_clean = 0.0

    def __post_init__(self) -> None:
        _check_betas(self)

    @of_time
    def alpha(self, t: Any) -> Any:
        return exp(_log_alpha(self, t))

    @of_time
    def sigma(self, t: Any) -> Any:
        return sqrt(-expm1(2 * _log_alpha(self, t)))

    @of_time
    def lam(self, t: Any) -> Any:
        return _log_alpha(self, t) - log(self.sigma(t))

    @of_lam
    def t(self, lam: Any) -> Any:
        return _time_of_fall(self, softplus(-2 * lam))

    @of_time
    def drift(self, t: Any) -> Any:
        return -_rate(self, t) / 2

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = level.alpha * self.drift(level.t)
        return slope, -level.alpha * slope / level.sigma

    level = level_at
    at = level_on_circle
    node = node_inside
    clock = time_of
    at_clock = level_at
    diffusion = diffusion_on_circle
    prior = unit_prior
    to_json = parameters


@dataclass(frozen=True)
class SubVP:
    """Sub-variance-preserving process (Song et al. 2021, eq. 29): ``alpha`` of :class:`VP`, ``sigma = 1 - alpha^2``."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    name = "SubVP"
    preserves_variance = False
    t_start = 1.0
    t_stop = 1e-3
    t_clean = 0.0

    def __post_init__(self) -> None:
        _check_betas(self)

    @of_time
    def alpha(self, t: Any) -> Any:
        return exp(_log_alpha(self, t))

    @of_time
    def sigma(self, t: Any) -> Any:
        return -expm1(2 * _log_alpha(self, t))

    @of_time
    def lam(self, t: Any) -> Any:
        return _log_alpha(self, t) - log(self.sigma(t))

    @of_lam
    def t(self, lam: Any) -> Any:
        # alpha = e^-asinh(q), see at()
        q = exp(-lam) / 2
        return _time_of_fall(self, 2 * log1p(q + q * q / (1 + sqrt(1 + q * q))))

    def at(self, lam: Any) -> Level:
        return level_of(self, lam, _below_circle)

    @of_time
    def drift(self, t: Any) -> Any:
        return -_rate(self, t) / 2

    @of_time
    def diffusion(self, t: Any) -> Any:
        return sqrt(-_rate(self, t) * expm1(4 * _log_alpha(self, t)))

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = level.alpha * self.drift(level.t)
        return slope, -2 * level.alpha * slope

    level = level_at
    node = node_inside
    clock = time_of
    at_clock = level_at
    prior = unit_prior
    to_json = parameters


@dataclass(frozen=True)
class Cosine:
    """Cosine process (Nichol & Dhariwal 2021, eq. 17) without its clipping, ``t`` in [0, 1]; ``s = 0`` is TrigFlow
    (Lu & Song 2025) with its time in units of ``pi / 2``:

    ``alpha = cos(theta(t)) / cos(theta(0))``, ``theta(t) = pi/2 (t + s) / (1 + s)``, ``sigma^2 = 1 - alpha^2``;
    ``alpha = 0`` exactly at ``t = 1`` and ``sigma = 0`` exactly at ``t = 0``. With ``k = pi/2 / (1 + s)``,
    ``alpha = sin(k (1 - t)) / sin k`` and ``sigma^2 = sin(k t) sin(k (t + 2 s)) / sin^2 k``.
    """

    s: float = 0.008
    name = "Cosine"
    preserves_variance = True
    t_start = 1.0
    t_stop = 1e-3
    t_clean = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.s < math.inf, f"Cosine(s={self.s!r}) has no such offset: use s >= 0, such as 0.008")

    def _k(self, x: Any) -> Any:
        return pi(x) / (2 * (1 + like(self.s, x)))

    @of_time
    def alpha(self, t: Any) -> Any:
        k = self._k(t)
        return sin(k * (1 - t)) / sin(k)

    @of_time
    def sigma(self, t: Any) -> Any:
        alpha, at = self.alpha(t), as_float(t)
        if at is not None and at > 0.75:
            return sqrt((1 - alpha) * (1 + alpha))
        k = self._k(t)
        return sqrt(sin(k * t)) * sqrt(sin(k * (t + 2 * like(self.s, t)))) / sin(k)

    @of_time
    def lam(self, t: Any) -> Any:
        return log(self.alpha(t)) - log(self.sigma(t))

    @of_lam
    def t(self, lam: Any) -> Any:
        k, (alpha, sigma) = self._k(lam), circle(lam)
        if noisy(lam):
            return 1 - asin(alpha * sin(k)) / k
        # sin(theta - theta_0) = sigma^2 cos(theta_0) / (sin(theta) + alpha sin(theta_0)), all terms positive
        near, far = sin(k * like(self.s, lam)), sigma * sin(k)
        whole = near * sqrt(1 + (far / near) ** 2) if self.s else far
        return asin(sigma * far / (whole + alpha * near)) / k

    @of_time
    def drift(self, t: Any) -> Any:
        return self._slope(t) / self.alpha(t)

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = self._slope(level.t)
        return slope, -level.alpha * slope / level.sigma

    def _slope(self, t: Any) -> Any:
        # cos(k (1 - t)) near its zero would cancel
        k = self._k(t)
        return -k * sin(k * (t + like(self.s, t))) / sin(k)

    level = level_at
    at = level_on_circle
    node = node_inside
    clock = time_of
    at_clock = level_at
    diffusion = diffusion_on_circle
    prior = unit_prior
    to_json = parameters


@dataclass(frozen=True)
class Flow:
    """Linear interpolation of flow matching (Lipman et al. 2023, eq. 20), its time shifted (Esser et al. 2024, eq. 23):

    ``sigma = shift t / (1 + (shift - 1) t)``, ``alpha = 1 - sigma``, ``t`` in [0, 1]. The clock is ``sigma``, in which
    the velocity is ``eps - x0``; the shift only moves the labels.
    """

    shift: float = 1.0
    name = "Flow"
    preserves_variance = False
    t_start = 1.0
    t_stop = 1e-3
    t_clean = 0.0

    def __post_init__(self) -> None:
        require(0 < self.shift < math.inf, f"Flow(shift={self.shift!r}) has no such shift: use a positive number")

    def _stretch(self, t: Any) -> Any:
        return self.shift * t + (1 - t)

    @of_time
    def alpha(self, t: Any) -> Any:
        return (1 - t) / self._stretch(t)

    @of_time
    def sigma(self, t: Any) -> Any:
        return self.shift * t / self._stretch(t)

    @of_time
    def lam(self, t: Any) -> Any:
        return log(1 - t) - log(self.shift * t)

    @of_lam
    def t(self, lam: Any) -> Any:
        odds = self.shift * exp(lam) if noisy(lam) else exp(-lam) / self.shift
        return 1 - odds / (1 + odds) if noisy(lam) else odds / (1 + odds)

    def level(self, t: Any) -> Level:
        return level_at(self, t, (-1.0, 1.0))

    def at(self, lam: Any) -> Level:
        return level_of(self, lam, _on_line, (-1.0, 1.0))

    def at_clock(self, c: Any) -> Level:
        c, value = scalar(c), as_float(c)
        require(value is None or 0 <= value <= 1, f"sigma = {value!r} is outside Flow: use 0 <= sigma <= 1")
        t = c / (c + self.shift * (1 - c))
        return Level(t, 1 - c, c, log(1 - c) - log(c), (-1.0, 1.0), pure_noise=value == 1, clean=value == 0)

    def rates(self, level: Level) -> tuple[float, float]:
        return -1.0, 1.0

    @of_time
    def drift(self, t: Any) -> Any:
        return -self.shift / ((1 - t) * self._stretch(t))

    @of_time
    def diffusion(self, t: Any) -> Any:
        # g^2 = 2 sigma sigma' / alpha
        return sqrt(-2 * self.sigma(t) * self.drift(t))

    node = node_inside
    clock = noise_of
    prior = noise_of
    to_json = parameters


def from_json(data: Mapping[str, Any]) -> Process:
    """Inverse of ``to_json``.

    Raises:
        ValueError: an unknown name, or parameters that do not belong to it.
    """
    kinds = {kind.name: kind for kind in (VP, SubVP, Cosine, VE, EDM, Flow, DDPM, CosineRate, MeanReverting)}
    given: dict[str, Any] = {k: from_json(v) if isinstance(v, Mapping) else v for k, v in data.items() if k != "name"}
    require(data.get("name") in kinds, f"process {data.get('name')!r} is unknown: use one of {', '.join(kinds)}")
    try:
        return kinds[data["name"]](**given)
    except TypeError as error:
        raise ValueError(f"{given!r} are no parameters of {data['name']}: {error}") from error


def _log_alpha(process: VP | SubVP, t: Any) -> Any:
    return -t * ((process.beta_max - process.beta_min) / 4 * t + process.beta_min / 2)


def _rate(process: VP | SubVP, t: Any) -> Any:
    return process.beta_min + (process.beta_max - process.beta_min) * t


def _time_of_fall(process: VP | SubVP, fall: Any) -> Any:
    """``t`` where ``-2 log alpha = fall``: the root of the quadratic that does not cancel."""
    half = like(process.beta_min / 2, fall)
    return fall / (half + sqrt(half * half + (process.beta_max - process.beta_min) / 2 * fall))


def _below_circle(lam: Any) -> tuple[Any, Any]:
    # alpha^2 + 2 q alpha - 1 = 0 with q = sigma / (2 alpha)
    q = exp(-lam) / 2
    alpha = 1 / (q + sqrt(1 + q * q))
    return alpha, 2 * q * alpha


def _on_line(lam: Any) -> tuple[Any, Any]:
    r = exp(lam) if noisy(lam) else exp(-lam)
    return (r / (1 + r), 1 / (1 + r)) if noisy(lam) else (1 / (1 + r), r / (1 + r))


def _check_betas(process: VP | SubVP) -> None:
    for key, beta in (("beta_min", process.beta_min), ("beta_max", process.beta_max)):
        require(0 < beta < math.inf, f"{process.name}({key}={beta!r}) has no such rate: use a positive number")
    top = process.beta_min + process.beta_max
    require(top < 2000, f"beta_min + beta_max = {top!r} leaves {process.name} no signal in float64: use less than 2000")
