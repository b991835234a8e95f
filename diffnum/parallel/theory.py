"""What iterations in parallel do on a Gaussian, exactly.

There the model is linear in every eigen-direction, ``E_j = p_j u_j + constant``, and one round of an iteration maps the
error of all inputs by one matrix per direction,

    e^{k+1} = L e^k,        L_ji = A_ji p_i        (A the rows of the tableau, for Picard iteration of its lines),

strictly lower triangular, its first column zero, since the first input never errs. So ``L^k`` is the error after ``k``
rounds, its first ``k + 1`` rows are zero, and ``L^{n-1} = 0``: the iteration ends. With ``l_i`` the largest entry of
column ``i``, a product of ``k`` entries is a chain ``j > i_1 > ... > i_k``, so

    |L^k| <= sum over i_1 < ... < i_k of l_{i_1} ... l_{i_k} <= (l_1 + ... + l_n)^k / k!,

the discrete form of Picard and Lindelöf's ``(Lambda T)^k / k!``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..plan import Level, Plan
from ..prediction import to_native
from ..read.moments import denoiser_gain, start_law
from ..read.sample import linear
from .picard import Iterated, Rule, check_rule, iterate
from .scales import Scale, ancestral
from .triangular import Sweep, Triangle, by_increments, by_substitution

__all__ = [
    "by_increments",
    "by_substitution",
    "chain_bounds",
    "factorial_bounds",
    "iteration_matrix",
    "predicted",
    "predicted_errors",
    "predicted_iterations",
]


def iteration_matrix(plan: Plan, target: Any, sweep: Sweep = by_substitution) -> np.ndarray:
    """The matrix of one round on a Gaussian, ``(d, n, n)`` for ``n`` evaluations: strictly lower triangular.

    Args:
        plan: with scalar coefficients.
        target: a Gaussian; its eigen-directions are the first axis.
        sweep: :func:`by_substitution`, what :func:`~diffnum.parallel.picard` does, or :func:`by_increments`,
            ParaDiGMS.

    Raises:
        ValueError: a target that is not Gaussian.
    """
    _, variances = _eigen(target)
    n, zero = plan.nfe, np.zeros((plan.nfe, len(variances)))
    triangle = Triangle(plan, linear(zero), lambda line: zero)
    # the first input is x_T, or what is made of it: it never errs
    inputs = [_row(zero, j, float(j > 0)) for j in range(n)]
    predictions = [inputs[j] * _slope(variances, *_asked(triangle, j)) for j in range(n)]
    swept = sweep(triangle, triangle.start(zero), 0, predictions, inputs)
    # row i of an input is what it takes from the input i
    rows = [zero, *swept.inputs][:n]
    return np.stack(rows).transpose(2, 0, 1) if n else np.zeros((len(variances), 0, 0))


def chain_bounds(matrix: np.ndarray) -> np.ndarray:
    """Bounds of ``max |L^k|`` for ``k = 0..n``: elementary symmetric polynomials of the columns' largest entries.

    Args:
        matrix: as from :func:`iteration_matrix`.
    """
    bounds = np.zeros(matrix.shape[-1] + 1)
    bounds[0] = 1.0
    for entry in _columns(matrix):
        bounds[1:] += entry * bounds[:-1]
    return bounds


def factorial_bounds(matrix: np.ndarray) -> np.ndarray:
    """``(l_1 + ... + l_n)^k / k!`` for ``k = 0..n``, above :func:`chain_bounds`."""
    total = float(_columns(matrix).sum())
    steps = total / np.arange(1.0, matrix.shape[-1] + 1)
    return np.concatenate([[1.0], np.cumprod(steps)])


def _columns(matrix: np.ndarray) -> np.ndarray:
    return np.abs(matrix).max(axis=(0, 1))


def predicted(
    plan: Plan,
    target: Any,
    tol: float = 0.1,
    window: int | None = None,
    scale: Scale = ancestral,
    sweep: Sweep = by_substitution,
    init: str = "marginal",
) -> Iterated:
    """The whole iteration on a Gaussian, run on its law: windows, rounds and residuals, with no sample drawn.

    Every register is an affine form in ``x_T`` and the draws, one per eigen-direction, and a mean square is an
    expected one. A sample of many dimensions changes by about that; a batch waits for its worst.

    Args:
        plan, tol, window, scale: as for :func:`~diffnum.parallel.picard`.
        target: a Gaussian.
        sweep: as for :func:`iteration_matrix`.
        init: law of ``x_T``, as for :func:`diffnum.moments`.

    Returns:
        The result of the iteration, its outputs as forms: constants, ``x_T`` and draws ``(2 + draws, d)``.

    Raises:
        ValueError: a target that is not Gaussian; as :func:`~diffnum.parallel.picard`.
    """
    return _forms(plan, target, check_rule(Rule(tol, window)), scale(plan), sweep, init)[0]


def _forms(
    plan: Plan, target: Any, rule: Rule, variances_of: Sequence[float], sweep: Sweep, init: str
) -> tuple[Iterated, list[np.ndarray]]:
    """An iteration on affine forms, and the first input of every round."""
    mean, variances = _eigen(target)
    start_mean, start_variance = start_law(plan, mean, variances, init)
    edges: list[np.ndarray] = []
    x = np.zeros((2 + len(plan.draws), len(mean)))
    x[0], x[1] = start_mean, np.sqrt(start_variance)
    rows = {id(plan.lines[r - 1]): 2 + k for k, r in enumerate(plan.draws)}
    triangle = Triangle(plan, linear(x), lambda line: _row(0 * x, rows[id(line)], 1.0))

    def ask(inputs: Sequence[np.ndarray], levels: Sequence[Level]) -> list[np.ndarray]:
        edges.append(inputs[0])
        return [_answer(u, level, plan.prediction, mean, variances) for u, level in zip(inputs, levels, strict=True)]

    def gap(new: np.ndarray, old: np.ndarray) -> float:
        return float(((new - old) ** 2).sum() / len(mean))

    return iterate(triangle, x, ask, rule, variances_of, gap, sweep), edges


def predicted_iterations(plan: Plan, target: Any, tol: float = 0.1, window: int | None = None, **more: Any) -> int:
    """Rounds that :func:`predicted` takes."""
    return predicted(plan, target, tol, window, **more).iterations


def predicted_errors(
    plan: Plan, target: Any, rounds: int, sweep: Sweep = by_substitution, init: str = "marginal"
) -> np.ndarray:
    """Root mean square error of every input after ``0..rounds`` rounds of the whole plan, ``(1 + rounds, n)``: powers
    of :func:`iteration_matrix` on the error of the first guess, copies of the first input.

    What :func:`~diffnum.parallel.measured_errors` measures.
    """
    matrix = iteration_matrix(plan, target, sweep)
    truth = _inputs(plan, target, init)
    error = truth[:1] - truth
    table = []
    for _ in range(rounds + 1):
        table.append(np.sqrt((error**2).sum(axis=(1, 2)) / error.shape[-1]))
        error = np.einsum("dji,ird->jrd", matrix, error)
    return np.stack(table)


def _inputs(plan: Plan, target: Any, init: str) -> np.ndarray:
    """Inputs of all evaluations of a sequential run as forms, ``(n, 2 + draws, d)``."""
    return np.stack(_forms(plan, target, Rule(0.0, 1), [0.0] * plan.nfe, by_substitution, init)[1])


def _eigen(target: Any) -> tuple[np.ndarray, np.ndarray]:
    if not hasattr(target, "eigen"):
        raise ValueError(f"the theory needs a Gaussian, got {type(target).__name__}: use dn.Gaussian.fit(data)")
    return target.eigen()


def _asked(triangle: Triangle, j: int) -> tuple[Level, str]:
    line = triangle.evaluation(j)
    return line.level, line.quantity


def _slope(variances: np.ndarray, level: Level, quantity: str) -> np.ndarray:
    """``dE/du`` per direction."""
    a, b = to_native(level, quantity)
    return a + b * denoiser_gain(variances, level)


def _answer(u: np.ndarray, level: Level, quantity: str, mean: np.ndarray, variances: np.ndarray) -> np.ndarray:
    value = _slope(variances, level, quantity) * u
    _, b = to_native(level, quantity)
    value[0] += b * (1.0 - denoiser_gain(variances, level) * level.alpha) * mean
    return value


def _row(zero: np.ndarray, j: int, value: Any) -> np.ndarray:
    out = zero.copy()
    out[j] = value
    return out
