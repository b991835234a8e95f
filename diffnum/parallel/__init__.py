"""A sampler's steps side by side: its plan as a triangular system, solved by iterations whose rounds are batches."""

from .batching import PerSample, Restated, Sharded, sharded, together
from .gauss_seidel import (
    AffineFlow,
    Solved,
    convergence_ranking,
    gs_jacobi,
    initial_guessing,
    jacobian_ranking,
    zeros,
)
from .measured import Cost, cost_table, costs, measured_errors
from .parareal import Parareal, parareal, parareal_bound, parareal_errors
from .picard import Iterated, gauss_seidel, paradigms, picard
from .scales import ancestral, marginal
from .theory import (
    chain_bounds,
    factorial_bounds,
    iteration_matrix,
    predicted,
    predicted_errors,
    predicted_iterations,
)
from .triangular import by_increments, by_substitution

__all__ = [
    "AffineFlow",
    "Cost",
    "Iterated",
    "Parareal",
    "PerSample",
    "Restated",
    "Sharded",
    "Solved",
    "ancestral",
    "by_increments",
    "by_substitution",
    "chain_bounds",
    "convergence_ranking",
    "cost_table",
    "costs",
    "factorial_bounds",
    "gauss_seidel",
    "gs_jacobi",
    "initial_guessing",
    "iteration_matrix",
    "jacobian_ranking",
    "marginal",
    "measured_errors",
    "paradigms",
    "parareal",
    "parareal_bound",
    "parareal_errors",
    "picard",
    "predicted",
    "predicted_errors",
    "predicted_iterations",
    "sharded",
    "together",
    "zeros",
]
