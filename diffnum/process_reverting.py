"""Mean-reverting diffusion about its mean, and the rate with which restoration networks were trained.

``dx = theta_t (mu - x) dt + g_t dw`` with ``g_t^2 = 2 theta_t sigma_max^2`` (Luo et al. 2023, section 3) leaves

    x = alpha x0 + (1 - alpha) mu + sigma eps,   alpha = exp(-int theta),   sigma = sigma_max sqrt(1 - alpha^2),

so that ``u = x - mu`` is a centred process of ``x0 - mu``: here are its levels, :class:`diffnum.bridges.Centred` makes
the change of variable. With the ``alpha`` of a variance-preserving process of rate ``beta``, ``theta = beta / 2``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .num import exp, log, phi, sin, sqrt
from .plan import Level
from .process_shared import (
    Process,
    as_float,
    diffusion_on_circle,
    level_at,
    level_of,
    level_on_circle,
    like,
    node_inside,
    noisy,
    of_lam,
    of_time,
    parameters,
    pi,
    require,
    softplus,
    time_of,
    unit_prior,
)
from .process_table import DDPM

__all__ = ["CosineRate", "MeanReverting", "rate_table"]

# terms of the series of x - sin x that float64 needs for |x| <= 2
TERMS = 13


@dataclass(frozen=True)
class CosineRate:
    """Variance-preserving process whose rate is one minus the squared cosine of :class:`~diffnum.process.Cosine`, the
    "cosine schedule" of IR-SDE (Luo et al. 2023, their code), ``t`` in [0, 1]:

    ``-dlog alpha / dt`` is proportional to ``1 - cos^2(k (t + s)) / cos^2(k s)``, ``k = pi/2 / (1 + s)``, and
    ``alpha = delta`` at ``t = 1``; ``sigma^2 = 1 - alpha^2``. With ``S(x) = (x - sin x) / x^3``,

        log alpha = log(delta) t^2 g(t) / g(1),   g(t) = 4 k^2 t cos(2 k s) S(2 k t) + sin(2 k s) sin^2(k t) / (k t^2).

    Their code sums this rate over a table of ``T`` entries: :func:`rate_table`.
    """

    delta: float = 0.005
    s: float = 0.008
    name = "CosineRate"
    preserves_variance = True
    t_start = 1.0
    t_stop = 1e-3
    t_clean = 0.0

    def __post_init__(self) -> None:
        _check_delta("CosineRate", self.delta)
        require(0 <= self.s < 1, f"CosineRate(s={self.s!r}) has no such offset: use 0 <= s < 1, such as 0.008")

    def _k(self, x: Any) -> Any:
        return pi(x) / (2 * (1 + like(self.s, x)))

    def _g(self, t: Any) -> Any:
        k, s = self._k(t), like(self.s, t)
        near = k if as_float(t) == 0 else sin(k * t) / t
        return 4 * k * k * t * sin(k * (1 - s)) * _cubic_part(2 * k * t) + sin(2 * k * s) * near * near / k

    def _fall(self, t: Any) -> Any:
        """``-log alpha / t^2``, which stays a normal float where ``t^2`` is not one."""
        return -log(like(self.delta, t)) * self._g(t) / self._g(like(1.0, t))

    @of_time
    def alpha(self, t: Any) -> Any:
        return exp(-t * t * self._fall(t))

    @of_time
    def sigma(self, t: Any) -> Any:
        fall = 2 * self._fall(t)
        return t * sqrt(fall * phi(1, -t * t * fall))

    @of_time
    def lam(self, t: Any) -> Any:
        return -t * t * self._fall(t) - log(self.sigma(t))

    @of_lam
    def t(self, lam: Any) -> Any:
        if as_float(lam) is None:
            raise TypeError("the cosine rate has no symbolic inverse: give a number")
        fall = softplus(-2 * lam) / 2
        root = sqrt(fall * self._g(like(1.0, lam)) / -log(like(self.delta, lam)))
        plain = as_float(root)
        assert plain is not None
        return self._inverse(root, plain) if plain else 0 * root

    def _inverse(self, root: Any, plain: float) -> Any:
        """``t`` where ``t sqrt(g(t)) = root``: Newton in logarithms, in which the slope is between 1 and 3/2."""
        t = 0.5
        for _ in range(60):
            last, t = t, min(self._newton(t, plain), 1.0)
            if abs(t - last) <= 2e-16 * t:
                break
        if isinstance(root, float):
            return t
        # the same step in the number's own kind: derivatives for torch, digits for mpmath
        refined = like(t, root)
        for _ in range(3):
            refined = self._newton(refined, root)
        return refined

    def _newton(self, t: Any, root: Any) -> Any:
        k, g = self._k(t), self._g(t)
        slope = sin(k * t) / t * sin(k * (t + 2 * like(self.s, t))) / g
        return t * (root / (t * sqrt(g))) ** (1 / slope)

    @of_time
    def drift(self, t: Any) -> Any:
        k, s = self._k(t), like(self.s, t)
        return 2 * log(like(self.delta, t)) * sin(k * t) * sin(k * (t + 2 * s)) / self._g(like(1.0, t))

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
class MeanReverting:
    """Mean-reverting diffusion about its mean (Luo et al. 2023, section 3): ``x - mu = alpha (x0 - mu) + sigma eps``,
    ``alpha`` that of ``signal`` and ``sigma = sigma_max sqrt(1 - alpha^2)``. :class:`diffnum.Centred` holds ``mu``.

    ``theta = -dlog alpha / dt`` is half the rate of ``signal``: ``VP(b, b)`` has a constant one, :class:`VP` a linear
    one, :class:`CosineRate` IR-SDE's, :func:`rate_table` any table's. A sampler of order ``p`` in log-SNR is one here:
    increments of log-SNR do not know ``sigma_max``. A run starts from ``mu + sigma_max n``. The velocity is
    ``-sqrt(1 - alpha^2) (x0 - mu) + sigma_max alpha eps``, the derivative in the angle (Li et al. 2025).

    Args:
        signal: a process with ``alpha^2 + sigma^2 = 1`` and ``alpha > 0``.
        sigma_max: stationary standard deviation in the units of ``x``, the lambda of the papers and ``max_sigma`` of
            their code; 10 of 255 grey values there.

    Raises:
        ValueError: ``signal`` does not preserve variance or reaches ``alpha = 0``; ``sigma_max`` is not positive.
    """

    signal: Process = field(default_factory=CosineRate)
    sigma_max: float = 10 / 255
    name = "MeanReverting"

    def __post_init__(self) -> None:
        signal = self.signal
        require(
            0 < self.sigma_max < math.inf,
            f"MeanReverting(sigma_max={self.sigma_max!r}) has no such noise: use a positive number, such as 10 / 255",
        )
        require(
            getattr(signal, "preserves_variance", False),
            f"MeanReverting(signal={signal!r}) has no rate theta: use a process with alpha^2 + sigma^2 = 1, such as VP",
        )
        require(
            signal.lam(signal.t_start) > -math.inf,
            f"MeanReverting(signal={signal!r}) forgets x0, alpha = 0: use a process with alpha > 0, such as VP",
        )

    @property
    def preserves_variance(self) -> bool:
        return self.sigma_max == 1

    @property
    def t_start(self) -> float:
        return self.signal.t_start

    @property
    def t_stop(self) -> float:
        return self.signal.t_stop

    @property
    def t_clean(self) -> float:
        return self.signal.t_clean

    @of_time
    def alpha(self, t: Any) -> Any:
        return self.signal.alpha(t)

    @of_time
    def sigma(self, t: Any) -> Any:
        return self.sigma_max * self.signal.sigma(t)

    @of_time
    def lam(self, t: Any) -> Any:
        return self.signal.lam(t) - log(like(self.sigma_max, t))

    @of_lam
    def t(self, lam: Any) -> Any:
        return self.signal.t(lam + log(like(self.sigma_max, lam)))

    def level(self, t: Any) -> Level:
        return self._with_velocity(level_at(self, t))

    def at(self, lam: Any) -> Level:
        return self._with_velocity(level_of(self, lam, self._scales))

    def _scales(self, lam: Any) -> tuple[Any, Any]:
        if noisy(lam + log(like(self.sigma_max, lam))):
            r = self.sigma_max * exp(lam)
            large = 1 / sqrt(1 + r * r)
            return r * large, self.sigma_max * large
        ratio = exp(-lam)
        q = ratio / self.sigma_max
        alpha = 1 / sqrt(1 + q * q)
        return alpha, alpha * ratio

    def _with_velocity(self, level: Level) -> Level:
        return replace(level, v=(-level.sigma / self.sigma_max, self.sigma_max * level.alpha))

    @of_time
    def drift(self, t: Any) -> Any:
        return self.signal.drift(t)

    @of_time
    def diffusion(self, t: Any) -> Any:
        return self.sigma_max * self.signal.diffusion(t)

    def rates(self, level: Level) -> tuple[Any, Any]:
        slope = level.alpha * self.drift(level.t)
        return slope, -self.sigma_max * self.sigma_max * level.alpha * slope / level.sigma

    def prior(self, level: Level) -> Any:
        return self.sigma_max

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "signal": self.signal.to_json(), "sigma_max": self.sigma_max}

    node = node_inside
    clock = time_of
    at_clock = level


def rate_table(thetas: Sequence[float], delta: float = 0.005) -> DDPM:
    """The table with ``log alpha_i = log(delta) (theta_0 + ... + theta_i) / sum(theta)``: a ``signal`` for
    :class:`MeanReverting`. Entry ``i`` stands at ``t = i`` and the data at -1, see :class:`~diffnum.process.DDPM`.

    The code of IR-SDE has ``T + 1`` rates and takes the first away from every sum: give the others, and ``t + 1`` to
    the network. That of MR Sampler keeps it: give all, and ``t`` to the network.

    Raises:
        ValueError: no rates, or one that is not positive; ``delta`` outside (0, 1).
    """
    _check_delta("rate_table", delta)
    rates = [float(theta) for theta in thetas]
    for i, theta in enumerate(rates):
        require(0 < theta < math.inf, f"thetas[{i}] = {theta!r} is no rate: use positive numbers")
    require(len(rates) > 0, "rate_table(()) has no noise: give at least one rate")
    unit = 2 * math.log(delta) / math.fsum(rates)
    return DDPM([-math.expm1(unit * theta) for theta in rates])


def _check_delta(name: str, delta: float) -> None:
    require(0 < delta < 1, f"{name}(delta={delta!r}) is no remaining signal: use 0 < delta < 1, such as 0.005")


def _cubic_part(x: Any) -> Any:
    """``(x - sin x) / x^3``, by its series where that cancels in float64."""
    at = as_float(x)
    if at is None or at > 2 or not (isinstance(x, float) or hasattr(x, "detach")):
        return (x - sin(x)) / x**3 if at != 0 else like(1.0, x) / 6
    total: Any = 1.0
    for j in range(2 * TERMS, 2, -2):
        total = 1 - x * x / (j * (j + 1)) * total
    return total / 6
