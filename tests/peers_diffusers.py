"""Schedulers of diffusers on unit vectors, on the very levels that they use. See :mod:`peers`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from peers import CIRCLE, EDM, FLOW, Recorder, condition, double, grid_of

from diffnum.grid import Grid
from diffnum.plan import Level, Plan

__all__ = ["Run", "in_single", "made", "run"]

NATIVE = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "velocity"}


@dataclass(frozen=True)
class Run:
    """One scheduler on one setting.

    Attributes:
        plan: what it computes; a last step between equal levels is left out.
        grid: our grid of its levels.
        times: what it told the model.
        idle: where the last two levels are equal, the largest change of a coefficient by that step; else infinite.
    """

    plan: Plan
    grid: Grid
    times: tuple[float, ...]
    scheduler: Any
    idle: float = math.inf


@contextmanager
def made(name: str, n: int, precision: str = "double", **config: Any) -> Iterator[Any]:
    """The scheduler ``name`` after ``set_timesteps(n)``; ``precision="single"`` leaves it as it is shipped."""
    import diffusers

    kind = getattr(diffusers, name)
    with warnings.catch_warnings(), double(kind.__module__) if precision == "double" else nullcontext():
        # deprecations between diffusers, numpy and torch are theirs to settle
        warnings.simplefilter("ignore")
        scheduler = kind(**config)
        scheduler.set_timesteps(n)
        yield scheduler


def run(
    name: str,
    n: int,
    precision: str = "double",
    then: Callable[[Any], None] | None = None,
    step: dict[str, Any] | None = None,
    **config: Any,
) -> Run:
    """``name`` with ``n`` steps and ``config``.

    Args:
        precision: see :func:`made`.
        then: called with the scheduler after ``set_timesteps``.
        step: keywords of ``scheduler.step``.
    """
    with made(name, n, precision, **config) as scheduler:
        if then:
            then(scheduler)
        return _walk(scheduler, step or {})


def in_single(r: Run) -> float:
    """How many units of ``2^-24`` single precision may leave on a coefficient of ``r``, over its row's maximum.

    A hundred for the logarithms of a process's table and their differences; where a system is solved for the weights,
    as UniPC does, its condition number if that is larger.
    """
    solved = getattr(r.scheduler.config, "solver_order", 1) if "UniPC" in type(r.scheduler).__name__ else 1
    return max(100.0, condition([level.lam for level in r.grid if math.isfinite(level.lam)], solved))


def _walk(scheduler: Any, options: dict[str, Any]) -> Run:
    process, exploding = _process(scheduler)
    walk, calls = LEVELS.get(type(scheduler).__name__, _plain)(scheduler)
    still = len(walk) > 2 and abs(walk[-1] - walk[-2]) <= 1e-6 * walk[-2]
    grid = grid_of(walk[:-1] if still else walk, process)
    at = dict(zip(walk, grid.levels, strict=False))
    seen = [at[c] if c in at else grid_of((2 * c, c), process)[1] for c in calls]
    first, last = ((1 / level.alpha if exploding else 1.0) for level in (grid[0], grid[-1]))
    model, answer = Recorder(len(calls) + 1), _answer(scheduler)
    x = model.start(first)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    plan, before = None, x
    for i, (t, level) in enumerate(zip(scheduler.timesteps, seen, strict=True)):
        if still and i == len(calls) - 1:
            plan, before = model.plan(x / last, grid[0], grid[-1]), x
        view = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(answer(model, view, level, t), t, x, return_dict=False, **options)[0]
    if plan is not None:
        return Run(plan, grid, tuple(model.times), scheduler, float((x - before).abs().max()))
    return Run(model.plan(x / last, grid[0], grid[-1]), grid, tuple(model.times), scheduler)


def _process(scheduler: Any) -> tuple[Any, bool]:
    """Where the scheduler's levels lie, and whether its state is ``x / alpha``."""
    name = type(scheduler).__name__
    if name.startswith("EDM"):
        return EDM, False
    if name.startswith("FlowM") or getattr(scheduler.config, "use_flow_sigmas", False):
        return FLOW, False
    return CIRCLE, name in ("EulerDiscreteScheduler", "HeunDiscreteScheduler", *SCALED)


SCALED = ("KDPM2DiscreteScheduler", "LMSDiscreteScheduler")


def _answer(scheduler: Any) -> Callable[..., torch.Tensor]:
    if not type(scheduler).__name__.startswith("EDM"):
        kind = "v_prediction" if type(scheduler).__name__ == "IPNDMScheduler" else "flow_prediction"
        quantity = NATIVE[getattr(scheduler.config, "prediction_type", kind)]
        return lambda model, view, level, t: model(view, level, quantity, t)

    def preconditioned(model: Recorder, view: torch.Tensor, level: Level, t: Any) -> torch.Tensor:
        # F of D = c_skip x + c_out F(c_in x), Karras et al. 2022, eq. 7
        s, d = level.sigma, scheduler.config.sigma_data
        root = math.hypot(s, d)
        x = view * root
        sign = 1 if scheduler.config.prediction_type == "epsilon" else -1
        return (model(x, level, "data", t) - d * d / root**2 * x) * (sign * root / (s * d))

    return preconditioned


# --- levels: those of the grid, and that of each call ---

Levels = tuple[list[float], list[float]]


def _plain(scheduler: Any) -> Levels:
    steps = len(scheduler.timesteps)
    sigmas = [float(s) for s in scheduler.sigmas[: steps + 1]]
    return sigmas, sigmas[:steps]


def _twice(scheduler: Any) -> Levels:
    sigmas = [float(s) for s in scheduler.sigmas]
    return [sigmas[0], *sigmas[1::2]], sigmas[:-1]


def _between(scheduler: Any) -> Levels:
    sigmas = [float(s) for s in scheduler.sigmas]
    inner = [float(s) for s in scheduler.sigmas_interpol]
    calls = [inner[i] if i % 2 else sigmas[i] for i in range(len(scheduler.timesteps))]
    return [sigmas[0], *sigmas[1:-1:2]], calls


def _table(scheduler: Any) -> Levels:
    products, last = scheduler.alphas_cumprod.double(), float(scheduler.final_alpha_cumprod)
    calls = [float(((1 - products[t]) / products[t]).sqrt()) for t in scheduler.timesteps]
    on_grid = calls
    if getattr(scheduler, "prk_timesteps", None) is not None:
        on_grid = [float(((1 - products[int(t)]) / products[int(t)]).sqrt()) for t in scheduler._timesteps]
    return [*sorted(set(on_grid), reverse=True), ((1 - last) / last) ** 0.5], calls


def _angles(scheduler: Any) -> Levels:
    pairs = zip(scheduler.betas, scheduler.alphas, strict=True)
    walk = [float(b / a) if a > 1e-12 else math.inf for b, a in pairs]
    return walk, walk[:-1]


LEVELS: dict[str, Callable[[Any], Levels]] = {
    "HeunDiscreteScheduler": _twice,
    "FlowMatchHeunDiscreteScheduler": _twice,
    "KDPM2DiscreteScheduler": _between,
    "DDIMScheduler": _table,
    "DDIMParallelScheduler": _table,
    "CogVideoXDDIMScheduler": _table,
    "PNDMScheduler": _table,
    "IPNDMScheduler": _angles,
}
