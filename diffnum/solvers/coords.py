"""What is interpolated, against what: the probability-flow ODE in the coordinates of the published samplers.

Every deterministic sampler is a rule (Runge-Kutta, Adams, ...) for one quantity ``N`` of the network in one variable:

    x_t = ratio(s, t) x_s + gain(t) step(s, t) int_0^1 e^{(1 - tau) z} N(tau) dtau,    z = stiffness * step(s, t)

| coordinates    | variable               | N                | kernel  | from                                  |
|----------------|------------------------|------------------|---------|---------------------------------------|
| ``DATA``       | log-SNR                | data             | z = -h  | Lu et al. 2022b, eq. 8                |
| ``NOISE``      | log-SNR                | noise            | z = +h  | Lu et al. 2022a, eq. 3.4              |
| ``RATIO``      | sigma / alpha          | noise            | none    | Song et al. 2021, eq. 14              |
| ``SNR``        | alpha / sigma          | data             | none    | the same ODE divided by sigma         |
| ``ANGLE``      | atan(sigma / alpha)    | velocity         | none    | Lu & Song 2025, TrigFlow              |
| ``CLOCK``      | the process's clock    | dx / dc          | none    | Song et al. 2021b, eq. 13             |
| ``LOG_SNR``    | log-SNR                | dx / dlam        | none    | the same ODE in log-SNR               |
| ``LAWSON_DATA``| log-SNR                | e^lam data       | none    | Lawson 1967, integrating factor       |
| ``LAWSON_NOISE``| log-SNR               | e^-lam noise     | none    | Lawson 1967, integrating factor       |

Where a variable is infinite (log-SNR at ``sigma = 0``) a rule takes the first-order step of :func:`transfer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..num import atan, expm1, log, log1p, sqrt, tan
from ..plan import Level
from ..trace import Evaluation, Form, Trace
from .tables import scaled

__all__ = [
    "ANGLE",
    "CLOCK",
    "DATA",
    "LAWSON_DATA",
    "LAWSON_NOISE",
    "LOG_SNR",
    "NOISE",
    "RATIO",
    "SNR",
    "Coords",
    "data_transfer",
    "noise_transfer",
    "total",
    "transfer",
]


@dataclass(frozen=True)
class Coords:
    """One row of the table above.

    Attributes:
        name: the variable and the quantity.
        quantity: ``N`` from an evaluation.
        ratio: factor of the state over a step.
        gain: factor of the integral, at the end of the step.
        step: increment of the variable.
        between: the level at a fraction of the step.
        stiffness: ``z / step``: -1, 0 or 1.
        at_noise, at_clean: whether the variable, and ``N``, are finite at ``alpha = 0``; the variable at ``sigma = 0``.
    """

    name: str
    quantity: Callable[[Evaluation], Form]
    ratio: Callable[[Level, Level], Any]
    gain: Callable[[Level], Any]
    step: Callable[[Trace, Level, Level], Any]
    between: Callable[[Trace, Level, Level, Any], Level]
    stiffness: int = 0
    at_noise: bool = False
    at_clean: bool = False

    def regular(self, s: Level, t: Level) -> bool:
        """Whether the step has finite coefficients in these coordinates."""
        return (self.at_noise or not s.pure_noise) and (self.at_clean or not t.clean)


def total(parts: Iterable[tuple[Any, Form]]) -> Form:
    """``sum c F``, from the first part to the last, without the forms in between."""
    terms: dict[int, Any] = {}
    for c, form in parts:
        for r, a in form.terms:
            a = c if isinstance(a, float) and a == 1.0 else c * a
            terms[r] = terms[r] + a if r in terms else a
    return Form(tuple(terms.items()))


def transfer(x: Form, s: Level, t: Level, D: Form) -> Form:
    """The first-order exponential step in level coordinates, ``r x + (alpha_t - r alpha_s) D`` with
    ``r = sigma_t / sigma_s``: no logarithm, no branch, exact for constant ``D``; any level but ``sigma_s = 0``."""
    r = t.sigma / s.sigma
    return r * x + (t.alpha - r * s.alpha) * D


def noise_transfer(x: Form, s: Level, t: Level, e: Form) -> Form:
    """``(alpha_t / alpha_s) x - sigma_t (e^h - 1) e``, in level coordinates so that ``sigma_t = 0`` is regular."""
    q = t.alpha / s.alpha
    return q * x + (t.sigma - q * s.sigma) * e


def data_transfer(T: Trace, x: Form, s: Level, t: Level, D: Form) -> Form:
    """``(sigma_t / sigma_s) x - alpha_t (e^-h - 1) D``."""
    return (t.sigma / s.sigma) * x - (t.alpha * expm1(-T.h(s, t))) * D


def _sigma_ratio(s: Level, t: Level) -> Any:
    return t.sigma / s.sigma


def _alpha_ratio(s: Level, t: Level) -> Any:
    return t.alpha / s.alpha


def _one(s: Level, t: Level) -> Any:
    return 1.0


def _unit(t: Level) -> Any:
    return 1.0


def _at_fraction_of_log_snr(T: Trace, s: Level, t: Level, r: Any) -> Level:
    return T.between(s, t, r)


def _ratio_step(T: Trace, s: Level, t: Level) -> Any:
    return (s.sigma / s.alpha) * expm1(-T.h(s, t))


def _at_fraction_of_ratio(T: Trace, s: Level, t: Level, r: Any) -> Level:
    return T.below(s, -log1p(scaled(r, expm1(-T.h(s, t)))))


def _snr_step(T: Trace, s: Level, t: Level) -> Any:
    # from the end of the step, since alpha / sigma = 0 at pure noise
    return -(t.alpha / t.sigma) * expm1(-T.h(s, t))


def _at_fraction_of_snr(T: Trace, s: Level, t: Level, r: Any) -> Level:
    if s.pure_noise:
        return T.process.node(t.lam + log(scaled(r, 1.0)))
    return T.below(s, log1p(scaled(r, expm1(T.h(s, t)))))


def _radius_ratio(s: Level, t: Level) -> Any:
    return _radius(t) / _radius(s)


def _radius(level: Level) -> Any:
    # up to a factor, which cancels: this one is rational at alpha = sigma, where leading errors are derived
    return sqrt((level.alpha * level.alpha + level.sigma * level.sigma) / 2)


def _angle_step(T: Trace, s: Level, t: Level) -> Any:
    if s.pure_noise and t.clean:
        return -math.pi / 2
    return atan(s.sigma * t.alpha * expm1(-T.h(s, t)) / (t.alpha * s.alpha + t.sigma * s.sigma))


def _at_fraction_of_angle(T: Trace, s: Level, t: Level, r: Any) -> Level:
    turned = tan(scaled(r, _angle_step(T, s, t)))
    if s.pure_noise:
        return T.process.node(log(-turned))
    ratio = (1 + turned * s.alpha / s.sigma) / (1 - turned * s.sigma / s.alpha)
    return T.below(s, -log(ratio))


def _velocity(e: Evaluation) -> Form:
    r = _radius(e.level)
    return e.read((-e.level.sigma / r, e.level.alpha / r))


def _log_snr_slope(e: Evaluation) -> Form:
    da, ds = e.trace.process.rates(e.level)
    fall = da / e.level.alpha - ds / e.level.sigma
    return e.read((da / fall, ds / fall))


def _clock_fraction(T: Trace, s: Level, t: Level, r: Any) -> Level:
    return T.clock_between(s, t, r)


DATA = Coords(
    "data in log-SNR",
    lambda e: e.data,
    _sigma_ratio,
    lambda t: t.alpha,
    lambda T, s, t: T.h(s, t),
    _at_fraction_of_log_snr,
    stiffness=-1,
)
NOISE = Coords(
    "noise in log-SNR",
    lambda e: e.noise,
    _alpha_ratio,
    lambda t: -t.sigma,
    lambda T, s, t: T.h(s, t),
    _at_fraction_of_log_snr,
    stiffness=1,
)
RATIO = Coords(
    "noise in sigma / alpha",
    lambda e: e.noise,
    _alpha_ratio,
    lambda t: t.alpha,
    _ratio_step,
    _at_fraction_of_ratio,
    at_clean=True,
)
SNR = Coords(
    "data in alpha / sigma",
    lambda e: e.data,
    _sigma_ratio,
    lambda t: t.sigma,
    _snr_step,
    _at_fraction_of_snr,
    at_noise=True,
)
ANGLE = Coords(
    "velocity in the angle",
    _velocity,
    _radius_ratio,
    _radius,
    _angle_step,
    _at_fraction_of_angle,
    at_noise=True,
    at_clean=True,
)
CLOCK = Coords(
    "slope in the process's clock",
    lambda e: e.slope,
    _one,
    _unit,
    lambda T, s, t: T.dt(s, t),
    _clock_fraction,
    at_noise=True,
    at_clean=True,
)
LOG_SNR = Coords(
    "slope in log-SNR",
    _log_snr_slope,
    _one,
    _unit,
    lambda T, s, t: T.h(s, t),
    _at_fraction_of_log_snr,
)
LAWSON_DATA = Coords(
    "integrating factor, data in log-SNR",
    lambda e: (e.level.alpha / e.level.sigma) * e.data,
    _sigma_ratio,
    lambda t: t.sigma,
    lambda T, s, t: T.h(s, t),
    _at_fraction_of_log_snr,
)
LAWSON_NOISE = Coords(
    "integrating factor, noise in log-SNR",
    lambda e: (-e.level.sigma / e.level.alpha) * e.noise,
    _alpha_ratio,
    lambda t: t.alpha,
    lambda T, s, t: T.h(s, t),
    _at_fraction_of_log_snr,
)
