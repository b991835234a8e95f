"""Runge-Kutta tables: what :mod:`diffnum.solvers.generated` holds and :mod:`diffnum.solvers.rules` runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..num import scaled

__all__ = ["Table", "scaled"]


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
        stages = len(self.weights)
        if [len(row) for row in self.matrix] != list(range(stages)) or len(self.nodes) != stages:
            raise ValueError(
                f"a table of {stages} weights needs as many nodes and rows of 0, 1, ... {stages - 1} entries, "
                f"got {len(self.nodes)} nodes and rows of {[len(row) for row in self.matrix]}"
            )
        if isinstance(self.nodes[0], (int, float)) and self.nodes[0] != 0:
            raise ValueError(f"the first node is {self.nodes[0]}: an explicit method starts at 0")

    @property
    def stages(self) -> int:
        """Evaluations per step."""
        return len(self.weights)
