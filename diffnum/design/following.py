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

from functools import cache
from typing import Any

import numpy as np

from .. import grid
from ..plan import Level, Plan
from ..process import Cosine
from ..read.sample import sample
from ..solvers import exp_ab5
from ..trace import compile

__all__ = ["follow"]

_FEWEST, _MOST = 64, 512
_FIRST, _LAST = -9.0, 6.0
# what a processor's cache holds is twice as fast
_BATCH = 32
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
    u, first = x / np.hypot(start.alpha, start.sigma), start.lam
    if start.pure_noise:
        # D stays at the mean of the data until it is asked about e^-9 of them
        first = _FIRST - np.log(law.rms)
        at = _CIRCLE.at(first)
        u = at.sigma * u + at.alpha * law.denoise(x, start)
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


def _run(law: Any, u: np.ndarray, first: float, last: float, n: int) -> np.ndarray:
    plan = _steps(first, last, n)
    return np.concatenate([sample(plan, law, u[i : i + _BATCH]) for i in range(0, len(u), _BATCH)])


@cache
def _steps(first: float, last: float, n: int) -> Plan:
    levels = [_CIRCLE.at(lam) for lam in np.linspace(first, last, n + 1)]
    return compile(exp_ab5, grid.through(_CIRCLE, levels, end="denoise"), "data")
