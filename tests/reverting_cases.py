"""The processes, models, grids and laws that the tests of mean-reverting diffusion share."""

from __future__ import annotations

import numpy as np
import pytest

import diffnum as dn
from diffnum.plan import PREDICTIONS
from diffnum.process import rate_table

DIM = 5
PROCESSES = {
    "cosine": dn.MeanReverting(),
    "constant": dn.MeanReverting(dn.VP(10.6, 10.6), 50 / 255),
    "linear": dn.MeanReverting(dn.VP(), 1.7),
    "table": dn.MeanReverting(rate_table(np.linspace(0.01, 1.0, 100)), 0.3),
}
every = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
every_prediction = pytest.mark.parametrize("prediction", PREDICTIONS)


def random_grid(process, steps, seed):
    """Steps between a third of and three times one another."""
    h = np.exp(np.random.default_rng(seed).uniform(-0.55, 0.55, steps))
    low, high = process.lam(process.t_start), process.lam(process.t_start) + 6.0
    return dn.grid.custom(process, lams=(low + (high - low) * np.concatenate([[0.0], np.cumsum(h) / h.sum()])).tolist())


def random_model(seed, linear):
    rng = np.random.default_rng(seed)
    A, B, c = rng.normal(size=(DIM, DIM)) / DIM, rng.normal(size=(DIM, DIM)) / DIM, rng.normal(size=DIM)

    def model(x, level):
        z = x @ A.T + level.t * c
        return z if linear else np.tanh(z) + 0.3 * np.sin(x @ B.T)

    return model


MU = np.array([0.7, -1.3, 2.0])


MEAN, VARIANCES = np.array([0.5, -1.0, 0.3]), np.array([0.1, 0.6, 2.5])
MEANS, SPREADS = np.array([[-1.0, 0.4, 0.0], [0.7, -0.9, 0.5]]), np.array([[0.3, 0.5, 0.4], [0.4, 0.2, 0.6]])
WEIGHTS = np.array([0.3, 0.7])
GAUSSIAN, MIXTURE = dn.Gaussian(MEAN, VARIANCES), dn.Mixture(WEIGHTS, MEANS, SPREADS)
# the laws of x0 - mu
RECENTRED = {
    "Gaussian": (GAUSSIAN, dn.Gaussian(MEAN - MU, VARIANCES)),
    "mixture": (MIXTURE, dn.Mixture(WEIGHTS, MEANS - MU, SPREADS)),
}
