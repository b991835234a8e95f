"""Step-size controllers: from the last three error norms to the factor by which the step changes.

With ``E`` the norm of the error estimate in units of the tolerance and ``k`` the power of the step with which it falls
(Soderlind 2003, the filters of Table III with ``alpha = 0``),

    h_new / h = limit(safety * E_n^(-b1/k) E_{n-1}^(-b2/k) E_{n-2}^(-b3/k)).

A rejected step is tried again with the elementary controller, ``b = (1, 0, 0)``, unless the controller judges by the
factor itself (Soderlind & Wang 2006): then a step is kept when its factor is not below ``least``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["DPM", "H211PI", "K_DIFFUSION", "PI42", "PID", "Controller", "I", "arctan", "cut", "pid", "unlimited"]

# what a step is multiplied by where its error is not a number
SHRINK = 0.1


def cut(factor: float) -> float:
    """The factor, not below 1/5 and not above 5 (Hairer, Norsett & Wanner 1993, eq. II.4.13)."""
    return min(max(factor, 0.2), 5.0)


def arctan(factor: float) -> float:
    """The smooth limiter ``1 + atan(factor - 1)`` (Soderlind & Wang 2006)."""
    return 1 + math.atan(factor - 1)


def unlimited(factor: float) -> float:
    """The factor itself."""
    return factor


@dataclass(frozen=True)
class Controller:
    """The law above.

    Attributes:
        betas: ``(b1, b2, b3)``.
        safety: keeps the aim below the tolerance.
        limit: of the factor.
        least: smallest factor with which a step is kept; None keeps the steps of ``E <= 1``.
        offset: added to every ``E``.
    """

    name: str
    betas: tuple[float, float, float]
    safety: float = 0.9
    limit: Callable[[float], float] = cut
    least: float | None = None
    offset: float = 0.0
    cite: str = "soderlind2003"

    def judge(self, error: float, past: Sequence[float], k: int) -> tuple[bool, float]:
        """Whether the step with ``error`` is kept, and the factor for the next one.

        Args:
            past: errors of the kept steps, latest first; missing ones count as the present.
            k: power of the step with which the error falls.
        """
        if not math.isfinite(error):
            return False, SHRINK
        errors = [error, *past[:2]]
        errors += [error] * (3 - len(errors))
        factor = self._factor(errors, self.betas, k)
        if self.least is not None:
            return factor >= self.least, factor
        return (True, factor) if error <= 1 else (False, min(self._factor(errors, (1.0, 0.0, 0.0), k), self.safety))

    def _factor(self, errors: Sequence[float], betas: Sequence[float], k: int) -> float:
        # an error of zero asks for the longest step there is
        logs = [b / k * math.log(max(e + self.offset, 1e-300)) for e, b in zip(errors, betas, strict=True) if b]
        return self.limit(self.safety * math.exp(min(-sum(logs), 690.0)))


def pid(proportional: float, integral: float, derivative: float) -> tuple[float, float, float]:
    """``betas`` from gains: ``(p + i + d, -(p + 2 d), d)`` (Soderlind 2003)."""
    return proportional + integral + derivative, -(proportional + 2 * derivative), derivative


DPM = Controller("DPM-Solver", (1.0, 0.0, 0.0), limit=unlimited, cite="lu2022dpm")
"""``h <- 0.9 h E^(-1/k)``, as DPM-Solver-12 and -23 are published (Lu et al. 2022, appendix C.2)."""
K_DIFFUSION = Controller(
    "k-diffusion", pid(0.0, 1.0, 0.0), safety=1.0, limit=arctan, least=0.81, offset=1e-8, cite="soderlind2006"
)
"""The controller of k-diffusion's adaptive DPM-Solver with its default gains."""
I = Controller("I", (1.0, 0.0, 0.0))  # noqa: E741
"""The elementary controller."""
PI42 = Controller("PI.4.2", (3 / 5, -1 / 5, 0.0))
"""A proportional-integral controller (Soderlind 2003)."""
H211PI = Controller("H211PI", (1 / 6, 1 / 6, 0.0))
"""A proportional-integral controller that filters (Soderlind 2003, Table III)."""
PID = Controller("H312PID", (1 / 18, 1 / 9, 1 / 18))
"""A PID controller that filters twice (Soderlind 2003, Table III)."""
