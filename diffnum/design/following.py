"""Many exact trajectories at a tenth of the reference's price: steps doubled until each end stays where it is.

:func:`diffnum.targets.reference.reference_flow` integrates a batch at the pace of its hardest point, three times over.
Here every point is followed on its own account, by the exponential Adams-Bashforth method of order five on equal
steps in log-SNR,

    64, 128, 256, ... steps,   accepted where   |x_2n - x_n| / (2^2 - 1) <= tol (|x_2n| + rms),

norms root mean squares per coordinate, the change the largest of any coordinate: a cold start caps the order at two in
the end, so that a third of the change bounds the error of the finer run; it is mostly far smaller. The last step is a
denoise, at a level that lies at less noise from run to run, so that what it leaves out is seen too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from .. import grid
from ..plan import Level, Plan
from ..process import Cosine
from ..read.sample import sample
from ..solvers import exp_ab2, exp_ab3, exp_ab5
from ..trace import Solver, compile

__all__ = ["doubts", "follow"]

_FEWEST, _MOST = 64, 512
_FIRST, _LAST = -9.0, 6.0
# rows enough for products of single components, and states that a processor's cache holds
_BATCH = 128
_CIRCLE = Cosine(0.0)


def follow(law: Any, x: np.ndarray, start: Level, tol: float) -> np.ndarray:
    """Where the probability flow takes points, at the clean level; nan where no two runs agree.

    Args:
        law: with ``denoise``, ``predict`` and ``rms``.
        x: ``(n, d)`` at ``start``, pure noise or a log-SNR well below that of the data's detail.
        tol: relative, as above.

    Raises:
        ValueError: a start at almost no noise.
    """
    last = _LAST - np.log(law.rms)
    if start.lam > last - 1:
        raise ValueError(f"a start at log-SNR {start.lam:g} is not followed by equal steps to {last:g}: use the flow")
    u, first = _begun(law, x, start)
    ends = np.full_like(u, np.nan)
    left, n = np.arange(len(u)), _FEWEST
    coarse = _run(law, u, first, last, n)
    while len(left) and n < _MOST:
        n, last = 2 * n, last + 0.5
        fine = _run(law, u[left], first, last, n)
        change = np.abs(fine - coarse).max(axis=-1) / (2**exp_ab5.cold - 1)
        known = change <= tol * (np.sqrt((fine**2).mean(axis=-1)) + law.rms)
        ends[left[known]] = fine[known]
        left, coarse = left[~known], fine[~known]
    return ends


def doubts(law: Any, x: np.ndarray, start: Level, plans: Sequence[Plan] = ()) -> np.ndarray:
    """How far apart three and two points of history and twice the steps end, ``(n,)``, of few steps: near a watershed
    by as much as its sides are apart. A guess which trajectories are hard, at a tenth of the price of following them.

    With ``plans`` that start there, which ones are hard for these: how far each ends from the finer of the two, added
    up. A trajectory that one plan loses is seldom one that another plan does.
    """
    u, first = _begun(law, x, start)
    rough, finer = (_run(law, u, first, _LAST - np.log(law.rms), n, rule) for n, rule in ((8, exp_ab2), (16, exp_ab3)))
    ends = [_ended(plan, law, x) for plan in plans if plan.start == start]
    return sum((np.linalg.norm(finer - end, axis=-1) for end in ends or [rough]), np.zeros(len(x)))


def _ended(plan: Plan, law: Any, x: np.ndarray) -> np.ndarray:
    return np.concatenate([sample(plan, law, x[i : i + _BATCH]) for i in range(0, len(x), _BATCH)])


def _begun(law: Any, x: np.ndarray, start: Level) -> tuple[np.ndarray, float]:
    """Points on the circle, and the first log-SNR that is finite."""
    u = x / np.hypot(start.alpha, start.sigma)
    if not start.pure_noise:
        return u, start.lam
    # D stays at the mean of the data until it is asked about e^-9 of them
    at = _CIRCLE.at(_FIRST - np.log(law.rms))
    return at.sigma * u + at.alpha * law.denoise(x, start), at.lam


def _run(law: Any, u: np.ndarray, first: float, last: float, n: int, rule: Solver = exp_ab5) -> np.ndarray:
    return _ended(_steps(first, last, n, rule), law, u)


@cache
def _steps(first: float, last: float, n: int, rule: Solver) -> Plan:
    levels = [_CIRCLE.at(lam) for lam in np.linspace(first, last, n + 1)]
    return compile(rule, grid.through(_CIRCLE, levels, end="denoise"), "data")
