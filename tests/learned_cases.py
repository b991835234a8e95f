"""Exact trajectories of laws whose flow is known, for the tests of learned samplers."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import diffnum as dn
from diffnum.design import Trajectories
from diffnum.design.trajectories import DATA

PROCESS = dn.VP()
# with an end above the noise that rounding hides, so that errors are those of steps
START, STOP = PROCESS.at(-2.5), PROCESS.at(2.5)


@dataclass(frozen=True)
class Tolerant:
    """A Gaussian whose exact flow takes the tolerance that other flows need."""

    law: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.law, name)

    def flow(self, x, s, t, tol=0.0):
        return self.law.flow(x, s, t)


def gaussian_trajectories(variances, n=24, seed=0, mean=0.0, start=START, stop=DATA):
    """Trajectories of a Gaussian, their ends at ``stop``."""
    variances = np.asarray(variances, dtype=float)
    law = Tolerant(dn.Gaussian(np.full(len(variances), mean), variances))
    x = law.sample(n, seed, start)
    return Trajectories(law, start, x, law.flow(x, start, stop))


@lru_cache(maxsize=8)
def mixture_trajectories(n, seed):
    """Trajectories of a two-dimensional mixture with three modes."""
    law = dn.Mixture([0.5, 0.3, 0.2], [[1.0, 0.0], [-1.0, 0.5], [0.0, -1.2]], np.full((3, 2), 0.05))
    return Trajectories.draw(law, START, n, seed=seed, tol=1e-5)


@lru_cache(maxsize=8)
def other_trajectories(n, seed):
    """Trajectories of another mixture of three modes, which are elsewhere, wider and otherwise weighted."""
    law = dn.Mixture([0.4, 0.4, 0.2], [[0.8, 0.2], [-0.9, 0.4], [0.1, -1.0]], np.full((3, 2), 0.07))
    return Trajectories.draw(law, START, n, seed=seed, tol=1e-5)


def grid(n, end="stop"):
    return dn.grid.log_snr(PROCESS, n, START, STOP, end)


def readable(plan):
    """Whether a learned plan is saved and loaded, and runs through every reading."""
    again = dn.Plan.from_json(json.loads(json.dumps(plan.to_json())))
    mean, variance = dn.moments(plan, dn.Gaussian.power_law(3))
    read = [dn.tableau(plan), dn.cost(plan), str(plan)]
    return again.hash == plan.hash and np.isfinite(mean).all() and (variance >= 0).all() and len(read) == 3
