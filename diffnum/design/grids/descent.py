"""Grids by gradient: the exact error of a plan as a function of its levels, and a quasi-Newton method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import grid as grids
from ...grid import Grid
from ...plan import Plan
from ...process import Process
from ...read.distance import kl, w2
from ...read.sample import sample
from ...targets import Gaussian
from ...trace import Solver, compile
from ..trajectories import Trajectories
from .angles import tangent, tangent_kl, tangent_w2
from .window import Window, as_spectrum

__all__ = ["by_gradient", "gradient_grid", "spectral_kl", "spectral_w2"]

Sampler = Solver | Callable[..., None]
Judge = Callable[[Grid], Any]

_STEPS = 200
_NOTHING = 1e-12
# descents from the most promising of the starts that are made here
_DESCENTS = 3


def by_gradient(
    judge: Judge,
    process: Process,
    n: int,
    starts: Iterable[Grid],
    start: Any = None,
    stop: Any = None,
    end: str = "stop",
    steps: int = _STEPS,
) -> Grid:
    """The least value of ``judge`` that descents from several grids reach.

    The ends are fixed; the ``n - 1`` inner log-SNR have increments that are the softmax of ``n`` free numbers, so that
    every point of the search is a grid. BFGS with a line search (Nocedal & Wright 2006, algorithm 6.1, by scipy) on the
    logarithm of the judge.

    Args:
        judge: from a grid of torch levels to a positive torch scalar with gradient, such as
            ``lambda grid: dn.w2(dn.compile("ddim", grid), target)``.
        process, n, start, stop, end: see :func:`diffnum.grid.uniform`. With ``end="zero"`` the inner levels are free
            between ``start`` and ``stop``, and the last step goes to the clean level.
        starts: grids of ``n`` steps to begin from.
        steps: most iterations of each descent.

    Raises:
        ValueError: ends that make no grid; no start, or one with another number of steps; a judge that is not finite
            at any of the starts.
    """
    window = Window.of(process, n, start, stop, end)
    found = [_descend(judge, window, window.to_shares(grid), steps) for grid in starts]
    known = [result for result in found if np.isfinite(result[0])]
    if not known:
        raise ValueError(f"the judge is finite at none of the {len(found)} starts: give starts that it accepts")
    best = min(known, key=lambda result: result[0])[1]
    return window.grid([lam.item() for lam in window.from_shares(_leaf(best))])


def spectral_w2(
    sampler: Sampler,
    process: Process,
    n: int,
    spectrum: ArrayLike,
    start: Any = None,
    stop: Any = None,
    end: str = "stop",
    at: Any = None,
) -> Grid:
    """The grid on which ``sampler`` has the least exact W2 error on a Gaussian of this spectrum.

    First-order samplers err to one side in all directions, and what is best for one spectrum is nearly so for its
    neighbours. Others err to both sides: levels are found where errors of steps cancel, in as many directions as there
    are inner levels, on this spectrum and no other. Judge the outcome on another spectrum, or train on trajectories
    (:func:`gradient_grid`).

    Args:
        sampler: a sampler, stochastic ones included.
        process, n, start, stop, end: see :func:`by_gradient`.
        spectrum: variances of the data per direction, > 0.
        at: the wanted law, see :func:`diffnum.read.distance.w2`.
    """
    target = _centred(spectrum)

    def judge(grid: Grid) -> Any:
        # its square has no kink where it vanishes
        return w2(compile(sampler, grid), target, at) ** 2

    return _descended(judge, process, n, spectrum, start, stop, end)


def spectral_kl(
    sampler: Sampler,
    process: Process,
    n: int,
    spectrum: ArrayLike,
    start: Any = None,
    stop: Any = None,
    end: str = "stop",
    at: Any = None,
) -> Grid:
    """The same for ``KL(output || wanted)``; see :func:`spectral_w2`."""
    target = _centred(spectrum)

    def judge(grid: Grid) -> Any:
        return kl(compile(sampler, grid), target, at)

    return _descended(judge, process, n, spectrum, start, stop, end)


def gradient_grid(
    sampler: Sampler,
    process: Process,
    n: int,
    trajectories: Trajectories,
    stop: Any = None,
    end: str = "stop",
    starts: Iterable[Grid] | None = None,
    steps: int = 60,
) -> Grid:
    """The grid on which ``sampler`` ends nearest to exact trajectories, ``sum_k |plan(x_k) - end_k|^2`` at its least.

    The gradient passes through every evaluation of the target, in ``x`` and in the level.

    Args:
        sampler: a deterministic sampler.
        process, n, stop, end: see :func:`by_gradient`; the grid starts where the trajectories do.
        trajectories: of a target whose ``predict`` works on torch, such as a mixture.
        starts: grids from there to begin from; one descent from each; by default the most promising of the hand-made
            ones and of the tangent laws of the ends' principal variances.
        steps: most iterations of each descent.

    Raises:
        ValueError: a sampler that draws noise, which follows no trajectory.
    """
    import torch

    start = trajectories.start
    x, ends = torch.tensor(trajectories.x), torch.tensor(trajectories.end)
    spread = _principal(trajectories.end)

    def judge(grid: Grid) -> Any:
        plan = compile(sampler, grid)
        _check_deterministic(plan)
        return ((sample(plan, trajectories.target, x) - ends) ** 2).sum(-1).mean()

    begun = _best(judge, _starts(process, n, spread, start, stop, end)) if starts is None else starts
    return by_gradient(judge, process, n, begun, start, stop, end, steps)


def _principal(points: np.ndarray) -> np.ndarray:
    """Variances of points along their principal directions, those that are more than rounding; 1 of a single point."""
    values = np.linalg.svd(points - points.mean(0), compute_uv=False) ** 2 / len(points)
    return values[values > 1e-8 * values[0]] if values[0] > 0 else np.ones(1)


def _check_deterministic(plan: Plan) -> None:
    if plan.draws:
        raise ValueError(f"{plan.solver} draws noise and follows no trajectory: use spectral_w2")


def _centred(spectrum: ArrayLike) -> Gaussian:
    c = as_spectrum(spectrum)
    return Gaussian(np.zeros(len(c)), c)


def _descended(judge: Judge, process: Process, n: int, spectrum: ArrayLike, start: Any, stop: Any, end: str) -> Grid:
    starts = _best(judge, _starts(process, n, spectrum, start, stop, end))
    return by_gradient(judge, process, n, starts, start, stop, end)


def _starts(process: Process, n: int, spectrum: ArrayLike, start: Any, stop: Any, end: str) -> list[Grid]:
    """Hand-made grids and the closed forms, those of them that this process and these ends have."""
    c = as_spectrum(spectrum)
    to = None if end == "zero" else stop
    makers: list[Callable[[], Grid]] = [
        lambda: grids.log_snr(process, n, start, stop, end),
        lambda: grids.karras(process, n, start, stop, end),
        lambda: grids.uniform(process, n, start, stop, end),
        lambda: tangent(process, n, float(np.exp(np.log(c).mean())), start, to, end),
        lambda: tangent_w2(process, n, c, start, to, end),
        lambda: tangent_kl(process, n, c, start, to, end),
    ]
    return [grid for grid in map(_made, makers) if grid is not None]


def _best(judge: Judge, starts: Iterable[Grid]) -> list[Grid]:
    return sorted(starts, key=lambda grid: float(judge(grid)))[:_DESCENTS]


def _made(maker: Callable[[], Grid]) -> Grid | None:
    # a grid in log-SNR has no place where the signal vanishes: it is one start less
    try:
        return maker()
    except ValueError:
        return None


def _leaf(z: np.ndarray) -> Any:
    import torch

    return torch.tensor(z, dtype=torch.float64, requires_grad=True)


def _descend(judge: Judge, window: Window, z: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
    """The least value found and where."""
    from scipy.optimize import minimize

    def value(z: np.ndarray) -> tuple[float, np.ndarray]:
        import torch

        leaf = _leaf(z)
        # an error may vanish, which its logarithm must not do
        loss = (judge(window.grid(window.from_shares(leaf))) + _NOTHING).log()
        (slope,) = torch.autograd.grad(loss, leaf)
        return loss.item(), slope.numpy()

    if window.n == 1:
        return value_of(judge, window), z
    result = minimize(value, z, jac=True, method="BFGS", options={"maxiter": steps, "gtol": 1e-7})
    return float(result.fun), result.x


def value_of(judge: Judge, window: Window) -> float:
    return float(judge(window.grid([])))
