"""The two variance-exploding processes, ``alpha = 1``: VE with its geometric time and EDM with ``sigma = t``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .num import exp, log, sqrt
from .plan import Level
from .process_shared import (
    DEEPEST,
    ROUNDING,
    as_float,
    level_at,
    level_of,
    like,
    node_inside,
    noise_of,
    of_lam,
    of_time,
    parameters,
    require,
    scalar,
)

__all__ = ["EDM", "VE"]


_unit = of_time(lambda self, t: 1.0)
_no_drift = of_time(lambda self, t: 0.0)


def _level_exploding(self: Any, t: Any) -> Level:
    return level_at(self, t, (0.0, 1.0))


def _at_exploding(self: Any, lam: Any) -> Level:
    return level_of(self, lam, lambda lam: (1.0, exp(-lam)), (0.0, 1.0))


def _rates_exploding(self: Any, level: Level) -> tuple[float, float]:
    return 0.0, 1.0


@dataclass(frozen=True)
class VE:
    """Variance-exploding process (Song et al. 2021, eq. 30), ``alpha = 1``, ``t`` in [0, 1]:

    ``sigma = sigma_min (sigma_max / sigma_min)^t``. The clean level ``sigma = 0`` lies at ``t = -inf``; it carries the
    label ``t = 0``, what a network trained on [0, 1] can be told. Nodes that a method places inside a last step to
    it (:meth:`at_clock` and :meth:`node` below ``sigma_min``) keep their true, negative ``t``.
    """

    sigma_min: float = 0.02
    sigma_max: float = 80.0
    name = "VE"
    preserves_variance = False
    t_start = 1.0
    t_stop = 0.0
    t_clean = 0.0

    def __post_init__(self) -> None:
        _check_sigmas(self)

    def _log_ratio(self, x: Any) -> Any:
        return log(like(self.sigma_max, x) / self.sigma_min)

    @of_time
    def sigma(self, t: Any) -> Any:
        if isinstance(t, float) and t > 0.5:  # both ends exact
            return self.sigma_max * (self.sigma_min / self.sigma_max) ** (1 - t)
        return self.sigma_min * (like(self.sigma_max, t) / self.sigma_min) ** t

    @of_time
    def lam(self, t: Any) -> Any:
        return -log(self.sigma(t))

    @of_lam
    def t(self, lam: Any) -> Any:
        return self._label(exp(-lam))

    def _label(self, sigma: Any) -> Any:
        return log(sigma / self.sigma_min) / self._log_ratio(sigma)

    def at_clock(self, c: Any) -> Level:
        return _exploding_level(self, c, self._label)

    def node(self, lam: Any) -> Level:
        lam, at = scalar(lam), as_float(lam)
        if at is None or not self.lam(self.t_clean) < at < DEEPEST:
            return self.at(lam)
        sigma = exp(-lam)
        return Level(self._label(sigma), 1.0, sigma, lam, (0.0, 1.0), pure_noise=False, clean=False)

    @of_time
    def diffusion(self, t: Any) -> Any:
        return self.sigma(t) * sqrt(2 * self._log_ratio(t))

    alpha = _unit
    level = _level_exploding
    at = _at_exploding
    clock = noise_of
    drift = _no_drift
    rates = _rates_exploding
    prior = noise_of
    to_json = parameters


@dataclass(frozen=True)
class EDM:
    """Variance-exploding process labelled by its noise (Karras et al. 2022, Table 1): ``alpha = 1``, ``sigma = t``.

    ``t`` in [0, sigma_max]; ``sigma_min`` is only the default end of grids.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    name = "EDM"
    preserves_variance = False
    t_clean = 0.0

    def __post_init__(self) -> None:
        _check_sigmas(self)

    @property
    def t_start(self) -> float:
        return self.sigma_max

    @property
    def t_stop(self) -> float:
        return self.sigma_min

    sigma = of_time(lambda self, t: t)
    lam = of_time(lambda self, t: -log(t))
    t = of_lam(lambda self, lam: exp(-lam))
    diffusion = of_time(lambda self, t: sqrt(2 * t))

    def at_clock(self, c: Any) -> Level:
        return _exploding_level(self, c, lambda sigma: sigma)

    alpha = _unit
    level = _level_exploding
    at = _at_exploding
    node = node_inside
    clock = noise_of
    drift = _no_drift
    rates = _rates_exploding
    prior = noise_of
    to_json = parameters


def _exploding_level(process: VE | EDM, sigma: Any, label: Callable[[Any], Any]) -> Level:
    sigma, value = scalar(sigma), as_float(sigma)
    require(
        value is None or 0 <= value <= process.sigma_max * (1 + ROUNDING),
        f"sigma = {value!r} is outside {process.name}: use 0 <= sigma <= {process.sigma_max!r}",
    )
    if value == 0:
        return Level(process.t_clean, 1.0, sigma, math.inf, (0.0, 1.0), pure_noise=False, clean=True)
    return Level(label(sigma), 1.0, sigma, -log(sigma), (0.0, 1.0), pure_noise=False, clean=False)


def _check_sigmas(process: VE | EDM) -> None:
    low, high = process.sigma_min, process.sigma_max
    require(
        0 < low < high < math.inf,
        f"{process.name}(sigma_min={low!r}, sigma_max={high!r}) is no range: use 0 < sigma_min < sigma_max",
    )
