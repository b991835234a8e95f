"""A process and grids that stand for all: power series in the clock with random rational coefficients.

A polynomial identity that holds at random rationals fails to be one with probability zero, so what is proved here is
proved on every process at once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from .nodes import made
from .plan import Level
from .series import Series, compose, h_series, rational, revert

__all__ = ["GenericGrid", "GenericProcess", "random_rational"]


@dataclass(frozen=True)
class GenericProcess:
    """A process with power series ``alpha(theta)``, ``sigma(theta)`` in the clock displacement ``theta``.

    Attributes:
        alphas, sigmas: coefficients, exact or extended numbers; ``sigmas[0] != 0``.
    """

    alphas: tuple[Any, ...]
    sigmas: tuple[Any, ...]
    preserves_variance: bool = False
    name: str = "generic"

    @staticmethod
    def random(seed: int, order: int) -> GenericProcess:
        """Random rationals; ``alpha`` falls and ``sigma`` rises with the clock.

        At ``theta = 0`` the mean of ``alpha^2`` and ``sigma^2`` is a rational square, so that the radius is one too.
        """
        rng = random.Random(seed)
        radius, tangent = random_rational(rng), random_rational(rng) / 8
        cos, sin = 1 - tangent * tangent, 2 * tangent
        unit = radius / (1 + tangent * tangent)
        alphas = (unit * (cos + sin), -random_rational(rng), *(_signed(rng) for _ in range(order)))
        sigmas = (unit * (cos - sin), random_rational(rng), *(_signed(rng) for _ in range(order)))
        return GenericProcess(alphas, sigmas)

    @cached_property
    def _lams(self) -> tuple[Any, ...]:
        n = len(self.alphas)
        lam = Series(0, self.alphas).log() - Series(0, self.sigmas).log()
        return tuple(lam[i] for i in range(n))

    @cached_property
    def _thetas(self) -> tuple[Any, ...]:
        """The inverse of :attr:`_lams`."""
        n = len(self._lams)
        theta = revert(self._lams, h_series(n))
        return tuple(theta[i] for i in range(n))

    def level(self, theta: Series) -> Level:
        """The level at clock displacement ``theta``; ``lam`` is relative to ``theta = 0``."""
        return _fresh(_known_level(self, theta)) if theta.exact else self._of_clock(theta)

    def _of_clock(self, theta: Series) -> Level:
        return self._level(theta, compose(self._lams, theta))

    def _level(self, theta: Series, lam: Series) -> Level:
        alpha, sigma = compose(self.alphas, theta), compose(self.sigmas, theta)
        return Level(theta, alpha, sigma, lam, pure_noise=False, clean=False)

    def at(self, lam: Series) -> Level:
        """The level at relative log-SNR ``lam``."""
        return _fresh(_known_node(self, lam)) if lam.exact else self._of_lam(lam)

    def _of_lam(self, lam: Series) -> Level:
        # at a distance that does not shrink with the step the inverse is no series in it
        near = lam.valuation > 0
        return self._level(compose(self._thetas, lam) if near else revert(self._lams, lam), lam)

    def node(self, lam: Series) -> Level:
        """As :meth:`at`."""
        return self.at(lam)

    def clock(self, level: Level) -> Series:
        """``theta``."""
        return level.t

    def at_clock(self, c: Series) -> Level:
        """As :meth:`level`."""
        return self.level(c)

    def rates(self, level: Level) -> tuple[Series, Series]:
        """``(alpha', sigma')``."""
        return compose(_derivative(self.alphas), level.t), compose(_derivative(self.sigmas), level.t)

    def prior(self, level: Level) -> float:
        """No meaning here."""
        return 1.0

    def to_json(self) -> dict[str, Any]:
        """A name for printing."""
        return {"name": self.name}


# samplers ask for the same levels inside the same steps; extended numbers may have had other digits
@lru_cache(maxsize=2**12)
def _known_level(process: GenericProcess, theta: Series) -> Level:
    return process._of_clock(theta)


@lru_cache(maxsize=2**12)
def _known_node(process: GenericProcess, lam: Series) -> Level:
    return process._of_lam(lam)


def _fresh(u: Level) -> Level:
    """A level of its own, since increments are kept by identity."""
    return made(Level, dict(u.__dict__))


def random_rational(rng: random.Random) -> Any:
    """A small positive one."""
    return rational(rng.randint(3, 9), rng.randint(3, 9))


def _signed(rng: random.Random) -> Any:
    return rng.choice((-1, 1)) * random_rational(rng) / 4


def _derivative(c: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(k * x for k, x in enumerate(c))[1:]


@dataclass(frozen=True)
class GenericGrid:
    """Levels at ``theta_i = -(r_1 + ... + r_i) h`` relative to level ``origin``; a grid for :func:`compile`."""

    process: Any
    levels: tuple[Level, ...]
    h: tuple[Any, ...]
    end: str = "stop"

    @staticmethod
    def build(process: Any, ratios: Sequence[Any], order: int) -> GenericGrid:
        """``len(ratios)`` steps of sizes ``ratios * h``; the last one starts at ``theta = 0``."""
        at = [-sum(ratios[: i + 1]) + sum(ratios[:-1]) for i in range(-1, len(ratios))]
        return GenericGrid.through(process, [h_series(order, a) for a in at])

    @staticmethod
    def smooth(process: Any, steps: int, order: int, seed: int) -> GenericGrid:
        """Levels at ``theta(i h)`` of a random analytic ``theta``: step ratios tend to one as ``h`` does to zero."""
        rng = random.Random(2000 + seed)
        curve = (rational(0), -random_rational(rng), *(_signed(rng) for _ in range(order - 2)))
        return GenericGrid.through(process, [compose(curve, h_series(order, i - steps + 1)) for i in range(steps + 1)])

    @staticmethod
    def through(process: Any, thetas: Sequence[Series]) -> GenericGrid:
        """The grid of given displacements."""
        levels = tuple(process.level(theta) for theta in thetas)
        return GenericGrid(process, levels, tuple(t.lam - s.lam for s, t in pairwise(levels)))
