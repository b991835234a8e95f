"""Iterations in parallel on Gaussians: matrices, powers, bounds and counts against runs."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

import diffnum as dn
from diffnum.parallel import (
    by_increments,
    by_substitution,
    chain_bounds,
    factorial_bounds,
    iteration_matrix,
    measured_errors,
    paradigms,
    picard,
    predicted,
    predicted_errors,
    predicted_iterations,
)

TARGET = dn.Gaussian.power_law(6)
NOISE = dn.noise.Counter(3)
BOTH = [(by_substitution, picard), (by_increments, paradigms)]
SINGLE = ["ddim", "dpmpp_2m", "ddpm_ancestral"]


def compiled(name: str, n: int = 10, prediction: str = "data") -> Any:
    return dn.compile(name, dn.grid.uniform(dn.VP(), n), prediction)


def signs(plan: Any, n: int = 6) -> np.ndarray:
    """Points whose every eigen-direction is one standard deviation away from the mean: each has the expected square."""
    spread = np.sqrt(TARGET.marginal(plan.start)[1])
    return spread * np.random.default_rng(0).choice([-1.0, 1.0], (n, TARGET.dim))


@pytest.mark.parametrize("sweep", [by_substitution, by_increments])
@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_the_matrix_is_strictly_lower_triangular_and_nilpotent(sweep, prediction):
    matrix = iteration_matrix(compiled("dpmpp_2m", 10, prediction), TARGET, sweep)
    assert matrix.shape == (6, 10, 10)
    assert np.all(np.triu(matrix) == 0) and np.all(matrix[:, :, 0] == 0)
    assert np.all(np.linalg.matrix_power(matrix, 9) == 0)
    assert np.any(np.linalg.matrix_power(matrix, 8) != 0)


def test_the_matrix_is_the_tableau_times_the_jacobian():
    plan = compiled("dpmpp_3m")
    matrix = iteration_matrix(plan, TARGET)
    tableau = dn.tableau(plan)
    levels = plan.levels[:-1]
    for d, c in enumerate(TARGET.variances):
        gains = np.array([level.alpha * c / (level.alpha**2 * c + level.sigma**2) for level in levels])
        alphas = np.array([level.alpha for level in levels])
        rows = alphas[:, None] * tableau[: plan.nfe, 1 : 1 + plan.nfe] * gains
        rows[:, 0] = 0
        assert np.abs(matrix[d] - rows).max() < 1e-13


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc_3", "heun"])
def test_the_error_after_k_rounds_is_the_kth_power(name):
    plan = compiled(name)
    found = measured_errors(plan, TARGET, signs(plan), 7)
    expected = predicted_errors(plan, TARGET, 7)
    assert np.abs(found - expected).max() < 1e-14
    # and where it is far above rounding, to many digits
    seen = expected > 1e-6
    assert np.abs(found[seen] / expected[seen] - 1).max() < 1e-8


def test_of_increments_too():
    plan = compiled("ddim")
    found = measured_errors(plan, TARGET, signs(plan), 7, sweep=by_increments)
    assert np.abs(found - predicted_errors(plan, TARGET, 7, by_increments)).max() < 1e-14


def test_increments_miss_the_terms_of_the_product_beyond_k():
    """Measured, what is proved for four steps: x_j is the product of 1 + c_i, and k rounds have k of its terms."""
    plan = compiled("ddim", 8)
    found = measured_errors(plan, TARGET, signs(plan), 7, sweep=by_increments)
    spread = np.sqrt(TARGET.marginal(plan.start)[1])
    factors = []
    for s, t in pairwise(plan.levels):
        r, c = t.sigma / s.sigma, TARGET.variances
        factors.append(r + (t.alpha - r * s.alpha) * s.alpha * c / (s.alpha**2 * c + s.sigma**2) - 1)
    for k in range(8):
        for j in range(plan.nfe):
            missed = sum(np.prod(one, axis=0) for i in range(k + 1, j + 1) for one in combinations(factors[:j], i))
            assert found[k, j] == pytest.approx(np.sqrt(np.mean((missed * spread) ** 2)), rel=1e-6, abs=1e-14)


def test_the_error_of_a_stochastic_sampler_is_the_expected_one():
    plan = compiled("ddpm_ancestral")
    spread = np.sqrt(TARGET.marginal(plan.start)[1])
    x = spread * np.random.default_rng(1).standard_normal((20000, TARGET.dim))
    found = measured_errors(plan, TARGET, x, 4, NOISE)
    expected = predicted_errors(plan, TARGET, 4)
    # mean squares of 120 000 numbers
    assert np.abs(found / np.where(expected, expected, 1) - 1)[expected > 1e-8].max() < 0.02


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("tol", [0.3, 0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc_3"])
def test_the_count_of_rounds_is_predicted_exactly(name, prediction, tol, window):
    plan = compiled(name, 14, prediction)
    for sweep, run in BOTH[: 2 if name in SINGLE else 1]:
        found, expected = run(plan, TARGET, signs(plan), tol, window), predicted(plan, TARGET, tol, window, sweep=sweep)
        assert found.windows == expected.windows
        assert predicted_iterations(plan, TARGET, tol, window, sweep=sweep) == found.iterations
        for ours, theirs in zip(found.residuals, expected.residuals, strict=True):
            assert np.abs(np.sqrt(ours) - np.sqrt(theirs)).max(initial=0.0) < 1e-10


def test_a_mean_is_iterated_like_a_deviation():
    law = dn.Gaussian(np.array([1.0, -2.0]), np.zeros(2) + 1e-12)
    plan = compiled("ddim", 12)
    x = np.tile(plan.start.alpha * law.mean, (2, 1)) + plan.start.sigma * np.array([[1.0, -1.0], [-1.0, 1.0]])
    centred = dn.parallel.predicted_errors(plan, law, 3)
    # of two opposite points, the mean square is that of the mean and that of the deviation
    assert np.abs(measured_errors(plan, law, x, 3) - centred).max() < 1e-12


@pytest.mark.parametrize("sweep", [by_substitution, by_increments])
@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("prediction", ["data", "velocity"])
def test_powers_are_below_chains_of_columns_and_those_below_the_factorial(name, prediction, sweep):
    plan = compiled(name, 12, prediction)
    matrix = iteration_matrix(plan, TARGET, sweep)
    chains, factorials = chain_bounds(matrix), factorial_bounds(matrix)
    for k in range(13):
        power = np.abs(np.linalg.matrix_power(matrix, k))
        assert power.sum(axis=-1).max() <= chains[k] * (1 + 1e-12)
        assert chains[k] <= factorials[k] * (1 + 1e-12)
    assert chains[-1] == 0


def test_chain_bounds_are_elementary_symmetric_polynomials():
    matrix = iteration_matrix(compiled("ddim", 7), TARGET)
    columns = np.abs(matrix).max(axis=(0, 1))
    for k, bound in enumerate(chain_bounds(matrix)):
        assert bound == pytest.approx(sum(math.prod(c) for c in combinations(columns, k)), rel=1e-12)


def test_for_equal_columns_the_bound_of_chains_is_the_power_itself():
    """Sums of equal increments: L_ji = c for all i < j, and chains are counted by binomial numbers."""
    n, c = 6, 0.3
    matrix = c * np.tril(np.ones((n, n)), -1)[None]
    matrix[:, :, 0] = 0
    for k in range(n):
        power = np.linalg.matrix_power(matrix, k)[0, -1, 1:].sum() if k else 1.0
        # chains among the n - 2 columns between the first and the last, whose own column is empty
        assert power == pytest.approx(math.comb(n - 2, k) * c**k, rel=1e-12)
        assert power <= chain_bounds(matrix)[k] * (1 + 1e-12)


def test_rounds_grow_slowly_with_the_number_of_steps():
    """The iteration is of the differential equation: four times the steps, hardly more rounds."""
    rounds = [predicted_iterations(compiled("ddim", n, "velocity"), TARGET, 1e-2, scale=one) for n in (20, 40, 80)]
    assert rounds[2] <= rounds[0] + 2
    assert rounds[2] < 80 / 5


def one(plan: Any) -> list[float]:
    return [1.0] * plan.nfe


def test_other_laws_are_refused():
    law = dn.Mixture([1.0], [[0.0]], [[[1.0]]])
    for ask in (iteration_matrix, predicted, predicted_errors):
        with pytest.raises(ValueError, match="the theory needs a Gaussian, got Mixture"):
            ask(compiled("ddim"), law, *([3] if ask is predicted_errors else []))
