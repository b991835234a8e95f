"""Taylor polynomials whose derivatives are estimated from evaluations: the predictors and correctors of :mod:`.usf`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction as F
from typing import Any

from ...num import phi, scaled

__all__ = ["RELAXATIONS", "Taylor", "ahead", "bh1", "bh2", "derivative", "down", "half", "one", "plain", "up"]


def one(z: Any) -> Any:
    """No relaxation."""
    return 1


def half(z: Any) -> Any:
    """``1/2``: the second derivative of DPM-Solver++(3M) as published."""
    return F(1, 2)


def bh1(z: Any) -> Any:
    """UniPC's ``B_1`` with ``a = 1/2``: ``1 / (2 phi_2)``."""
    return 1 / (2 * phi(2, z))


def bh2(z: Any) -> Any:
    """UniPC's ``B_2`` with ``a = 1/2``, DPM-Solver-2's and 2M's: ``phi_1 / (2 phi_2)``."""
    return phi(1, z) / (2 * phi(2, z))


def up(z: Any) -> Any:
    """``1 + (e^z - 1) / 2``, ``0.5exp`` of the reference code, whose ``h`` is our ``z``."""
    return (1 + phi(0, z)) / 2


def down(z: Any) -> Any:
    """``1 - (e^z - 1) / 2``, ``-0.5exp`` of the reference code."""
    return (3 - phi(0, z)) / 2


Relaxation = Callable[[Any], Any]
RELAXATIONS: tuple[Relaxation, ...] = (one, bh1, bh2, up, down)


@dataclass(frozen=True)
class Taylor:
    """A Taylor polynomial with estimated derivatives.

    Attributes:
        points: for each derivative the evaluations that it is estimated from, counted back from the newest, 0; at least
            as many as its order. Those that there are not are left out, and with too few the order falls.
        relaxations: ``R_1, ...`` as functions of ``z``; those not given are one.

    Raises:
        ValueError: too few evaluations for a derivative, or one twice.
    """

    points: tuple[tuple[int, ...], ...] = ()
    relaxations: tuple[Relaxation, ...] = ()

    def __post_init__(self) -> None:
        for k, points in enumerate(self.points, 1):
            if len(points) < k or len(set(points)) != len(points) or min(points) < 0:
                raise ValueError(f"derivative {k} from evaluations {points}: give {k} or more different ones, >= 0")

    @property
    def order(self) -> int:
        """Terms, the value included."""
        return len(self.points) + 1

    def weights(self, z: Any, *nodes: Any) -> tuple[Any, ...]:
        """Over the evaluation at the start, then those at ``nodes``, in units of the step; ``points`` count these."""
        inner: list[Any] = [0] * len(nodes)
        for k, points in enumerate(self.points, 1):
            relaxed = self.relaxations[k - 1](z) if k <= len(self.relaxations) else 1
            for j, a in zip(points, derivative(k, [nodes[j] for j in points]), strict=True):
                inner[j] = inner[j] + scaled(relaxed, phi(k + 1, z) * a)
        return (phi(1, z) - sum(inner), *inner)

    def among(self, known: Sequence[int]) -> tuple[Taylor, tuple[int, ...]]:
        """The polynomial that is left with these evaluations, its points counting the ones returned."""
        kept = []
        for k, points in enumerate(self.points, 1):
            found = tuple(j for j in points if j in known)
            if len(found) < k:
                break
            kept.append(found)
        used = tuple(sorted({j for points in kept for j in points}))
        return Taylor(tuple(tuple(used.index(j) for j in points) for points in kept), self.relaxations), used


def plain(order: int, relaxations: tuple[Relaxation, ...] = (), newest: int = 1) -> Taylor:
    """All derivatives from as many evaluations as the order takes, the newest of them ``newest`` back."""
    return Taylor((tuple(range(newest, newest + order - 1)),) * (order - 1), relaxations)


def ahead(order: int, relaxations: tuple[Relaxation, ...] = ()) -> Taylor:
    """For correctors: from the evaluation at the prediction and ``order - 2`` before the start, which is 1."""
    return Taylor(((0, *range(2, order)),) * (order - 1), relaxations)


def derivative(k: int, nodes: Sequence[Any]) -> list[Any]:
    """Weights ``a_j`` of differences at ``nodes`` with ``sum_j a_j c_j^m = k! [m = k]`` for ``m = 1 .. len(nodes)``,
    by elimination in whatever numbers the nodes are."""
    n = len(nodes)
    rows = [[c**m for c in nodes] for m in range(1, n + 1)]
    right: list[Any] = [0] * n
    right[k - 1] = 1
    for j in range(2, k + 1):
        right[k - 1] = right[k - 1] * j
    for i in range(n):
        for m in range(i + 1, n):
            factor = rows[m][i] / rows[i][i]
            rows[m] = [a - factor * b for a, b in zip(rows[m], rows[i], strict=True)]
            right[m] = right[m] - factor * right[i]
    found: list[Any] = [0] * n
    for i in reversed(range(n)):
        rest = sum((rows[i][j] * found[j] for j in range(i + 1, n)), 0 * nodes[0])
        found[i] = (right[i] - rest) / rows[i][i]
    return found
