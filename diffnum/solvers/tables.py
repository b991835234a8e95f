"""Runge-Kutta tables: what :mod:`diffnum.solvers.generated` holds and :mod:`diffnum.solvers.rules` and
:mod:`diffnum.solvers.stochastic_rk` run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..num import scaled

__all__ = ["Additive", "Table", "scaled"]


@dataclass(frozen=True)
class Table:
    """An explicit Runge-Kutta table, classical or exponential, of ``s`` stages:

        Y_i = P_i y + step * sum_{j < i} a_ij N(Y_j),    y_t = P y + step * sum_i b_i N(Y_i)

    with ``P`` the exact propagator of the linear part (one for a classical method).

    Attributes:
        nodes: ``c_1 = 0, c_2, ..., c_s`` as fractions of the step.
        matrix: rows ``a_i`` of ``i - 1`` entries.
        weights: ``b_1, ..., b_s``.

    Raises:
        ValueError: shapes that do not fit, or a first node that is not zero.
    """

    nodes: tuple[Any, ...]
    matrix: tuple[tuple[Any, ...], ...]
    weights: tuple[Any, ...]

    def __post_init__(self) -> None:
        _check_shape(self.nodes, self.matrix, self.weights)
        if isinstance(self.nodes[0], (int, float)) and self.nodes[0] != 0:
            raise ValueError(f"the first node is {self.nodes[0]}: an explicit method starts at 0")

    @property
    def stages(self) -> int:
        """Evaluations per step."""
        return len(self.weights)


@dataclass(frozen=True)
class Additive:
    """A stochastic Runge-Kutta table for additive noise, of ``s`` stages: with the increment ``W`` of the path over a
    step of length ``L`` and the space-time area ``H``, of variance ``L / 12``,

        Y_i = y + L sum_{j < i} a_ij f(Y_j) + p_i W + q_i H,    y_t = y + L sum_i b_i f(Y_i) + W.

    Attributes:
        nodes, matrix, weights: ``c``, rows of ``a`` below the diagonal, ``b``.
        path, area: ``p`` and ``q``.

    Raises:
        ValueError: shapes that do not fit.
    """

    nodes: tuple[Any, ...]
    matrix: tuple[tuple[Any, ...], ...]
    weights: tuple[Any, ...]
    path: tuple[Any, ...]
    area: tuple[Any, ...]

    def __post_init__(self) -> None:
        _check_shape(self.nodes, self.matrix, self.weights)
        if {len(self.path), len(self.area)} != {len(self.weights)}:
            raise ValueError(
                f"a table of {len(self.weights)} weights needs as many shares of path and area, "
                f"got {len(self.path)} and {len(self.area)}"
            )


def _check_shape(nodes: tuple[Any, ...], matrix: tuple[tuple[Any, ...], ...], weights: tuple[Any, ...]) -> None:
    stages = len(weights)
    if [len(row) for row in matrix] != list(range(stages)) or len(nodes) != stages:
        raise ValueError(
            f"a table of {stages} weights needs as many nodes and rows of 0, 1, ... {stages - 1} entries, "
            f"got {len(nodes)} nodes and rows of {[len(row) for row in matrix]}"
        )
