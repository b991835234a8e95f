"""The few numbers of a published family of grids, searched for one's own law instead of typed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeVar

import numpy as np

from ...grid import Grid
from ...process import Process
from .bands import beta
from .ramps import RAMPS, Ramp, hyper

__all__ = ["fit_beta", "fit_hyper"]

Judge = Callable[[Grid], Any]
T = TypeVar("T")

_SHAPES = (0.3, 0.45, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0)
_RHOS = (3.0, 5.0, 7.0, 10.0)
_RHO_TIMES = (0.7, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 12.0)
# beyond these a grid hardly changes, and exponents of 1e13 make one of rounding errors
_BOUNDS = (0.1, 60.0)
_POLISH = 120
# ways downhill, from as many of the best candidates
_DESCENTS = 3


def fit_beta(
    judge: Judge,
    process: Process,
    n: int,
    start: Any = None,
    stop: Any = None,
    end: str = "stop",
    polish: int = _POLISH,
) -> tuple[float, float]:
    """The ``(a, b)`` of :func:`beta` whose grid ``judge`` likes best,

        argmin over a, b > 0 of   judge(beta(process, n, a, b, start, stop, end)).

    The paper chooses ``a = b`` by sample quality among a few. Here all of some pairs are asked, the default and equal
    steps in time (1, 1) among them, and from the best three a simplex goes downhill in the logarithms (Nelder & Mead
    1965, by scipy), between 0.1 and 60.

    Args:
        judge: from a grid to its error, such as ``lambda grid: dn.w2(dn.compile("ddim", grid), target)``. One who says
            infinity or NaN is not liked.
        process, n, start, stop, end: as for :func:`beta`.
        polish: grids asked on each way downhill, at most; 0 takes the best pair as it is.

    Returns:
        ``a`` and ``b``.

    Raises:
        ValueError: no grid that the judge likes; ends that make no grid.
    """

    def error(numbers: Sequence[float]) -> float:
        return _asked(judge, lambda: beta(process, n, *numbers, start=start, stop=stop, end=end))

    beta(process, n, 1.0, 1.0, start, stop, end)
    found = [_downhill(error, pair, polish) for pair in _best(error, product(_SHAPES, _SHAPES))]
    a, b = min(found)[1]
    return a, b


def fit_hyper(
    judge: Judge,
    process: Process,
    n: int,
    start: Any = None,
    stop: Any = None,
    end: str = "zero",
    ramps: Iterable[Ramp] | None = None,
    polish: int = _POLISH,
) -> Ramp:
    """The numbers of :func:`hyper` whose grid ``judge`` likes best.

    The authors try numbers by hand. Here all of ``ramps`` are asked, and from the best three a simplex goes downhill in
    the logarithms of the two exponents (Nelder & Mead 1965, by scipy), between 0.1 and 60, the number of points and the
    cut fixed. Of the four numbers three say no more than where the grid is cut: ramps that are cut at the same level
    are the same grid.

    Args:
        judge: from a grid to its error, see :func:`fit_beta`.
        process, n, start, stop, end: as for :func:`hyper`.
        ramps: one or more candidates; default the authors' and every cut of their two numbers of points, for some
            exponents.
        polish: grids asked on each way downhill, at most; 0 takes the best ramp as it is.

    Raises:
        ValueError: no grid that the judge likes; ends that make no grid, or the first at ``alpha = 0``.
    """

    def error(ramp: Ramp) -> float:
        return _asked(judge, lambda: hyper(process, n, ramp, start, stop, end))

    hyper(process, n, RAMPS[5], start, stop, end)
    found = []
    for ramp in _best(error, _ramps() if ramps is None else ramps):

        def bent(exponents: Sequence[float], at: Ramp = ramp) -> Ramp:
            return replace(at, rho=exponents[0], rho_time=exponents[1])

        value, exponents = _downhill(lambda pair, at=bent: error(at(pair)), (ramp.rho, ramp.rho_time), polish)
        found.append((value, bent(exponents)))
    return min(found, key=lambda pair: pair[0])[1]


def _ramps() -> Iterator[Ramp]:
    yield from RAMPS.values()
    for points, rho, rho_time in product(sorted({ramp.points for ramp in RAMPS.values()}), _RHOS, _RHO_TIMES):
        yield from (Ramp(points, rho, kept, rho_time) for kept in range(1, points))


def _asked(judge: Judge, make: Callable[[], Grid]) -> float:
    # levels may come together, and then there is no grid to ask about
    try:
        grid = make()
    except ValueError:
        return math.inf
    value = float(judge(grid))
    return value if math.isfinite(value) else math.inf


def _best(error: Callable[[T], float], candidates: Iterable[T]) -> list[T]:
    """Those with the least errors, best first."""
    known = [(error(one), i, one) for i, one in enumerate(candidates)]
    liked = sorted(entry for entry in known if math.isfinite(entry[0]))[:_DESCENTS]
    if not liked:
        raise ValueError(f"the judge likes none of the {len(known)} grids: give one that is finite at some of them")
    return [one for _, _, one in liked]


def _downhill(
    error: Callable[[Sequence[float]], float], numbers: Sequence[float], polish: int
) -> tuple[float, tuple[float, ...]]:
    """The least error on the way down from some positive numbers, and where."""
    from scipy.optimize import minimize

    first = error(numbers), tuple(numbers)
    if polish < 1:
        return first
    found: Any = minimize(
        lambda logs: error(np.exp(logs).tolist()),
        np.log(numbers),
        method="Nelder-Mead",
        bounds=[(math.log(_BOUNDS[0]), math.log(_BOUNDS[1]))] * len(numbers),
        options={"maxfev": polish, "xatol": 1e-6, "fatol": 0.0},
    )
    return min(first, (float(found.fun), tuple(np.exp(found.x).tolist())))
