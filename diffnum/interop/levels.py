"""The levels at which a scheduler of diffusers walks, read off the scheduler itself, and what it tells the network.

So every spacing, shift and rounding that a version of diffusers has is the one that is used.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..grid import Grid, through
from ..models.convention import Convention
from ..plan import Level

__all__ = ["Walked", "in_table", "made", "modules_of", "plain", "walked"]

# schedulers that list more than one time for a step or give their steps orders: those with the same levels, listed once
PLAIN = {
    "PNDMScheduler": "DDIMScheduler",
    "LCMScheduler": "DDIMScheduler",
    "TCDScheduler": "DDIMScheduler",
    "HeunDiscreteScheduler": "EulerDiscreteScheduler",
    "KDPM2DiscreteScheduler": "EulerDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler": "EulerDiscreteScheduler",
    "DPMSolverSDEScheduler": "EulerDiscreteScheduler",
    "DPMSolverSinglestepScheduler": "DPMSolverMultistepScheduler",
    "FlowMatchHeunDiscreteScheduler": "FlowMatchEulerDiscreteScheduler",
}
TABLES = ("DDIMScheduler", "DDIMParallelScheduler", "CogVideoXDDIMScheduler", "PNDMScheduler")
ANCESTRAL = ("DDPMScheduler", "DDPMParallelScheduler")
TWICE = ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
BETWEEN = ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")
# their state is x / alpha
SCALED = (
    "DPMSolverSDEScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
)


@dataclass(frozen=True)
class Walked:
    """A scheduler's levels as a grid.

    Attributes:
        grid: of the config's process; ``t`` of a level is what that process calls it.
        told: what the network is told at each level but the last.
        prior: standard deviation of ``x_T`` in the scale ``alpha x0 + sigma eps``, from ``init_noise_sigma``.
    """

    grid: Grid
    told: Mapping[Level, float]
    prior: float


def made(name: str, config: Mapping[str, Any]) -> Any:
    """A scheduler of diffusers with those of ``config``'s settings that it knows.

    Raises:
        ValueError: diffusers has no such class.
    """
    import diffusers

    kind = getattr(diffusers, name, None)
    if not inspect.isclass(kind):
        raise ValueError(f"diffusers {diffusers.__version__} has no {name}: give the config of a scheduler that it has")
    known = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    return kind(**{k: v for k, v in config.items() if k in known})


def plain(name: str, config: Mapping[str, Any]) -> Any:
    """A scheduler with the levels of ``name``, one evaluation for each."""
    # what it does between its levels is not asked for: nothing that some version refuses
    quiet = {"algorithm_type": "dpmsolver++", "thresholding": False, "clip_sample": False, "solver_order": 2}
    if "algorithm_type" not in config:
        quiet.pop("algorithm_type")
    if name.startswith("DEIS"):
        quiet["algorithm_type"] = "deis"
    return made(PLAIN.get(name, name), {**config, **{k: v for k, v in quiet.items() if k in config}})


def modules_of(name: str) -> tuple[str, ...]:
    """Modules of diffusers in which the schedulers are whose levels are those of ``name``."""
    import diffusers

    kinds = (getattr(diffusers, one, None) for one in (name, PLAIN.get(name, name)))
    return tuple(kind.__module__ for kind in kinds if inspect.isclass(kind))


def walked(scheduler: Any, convention: Convention) -> Walked:
    """The levels of ``scheduler`` after its ``set_timesteps``.

    Raises:
        ValueError: levels that repeat or run backwards, as some spacings give for some numbers of steps.
    """
    name = type(scheduler).__name__
    times = [float(t) for t in scheduler.timesteps.tolist()]
    if name in TABLES or name in ANCESTRAL:
        levels, told = _in_table(scheduler, name, times)
    elif name == "IPNDMScheduler":
        scales = zip(scheduler.alphas.double().tolist(), scheduler.betas.double().tolist(), strict=True)
        told = times
        levels = [Level(t, alpha, sigma) for t, (alpha, sigma) in zip([*times, 0.0], scales, strict=True)]
    else:
        sigmas = [float(s) for s in scheduler.sigmas.tolist()]
        convention = _reaching(convention, sigmas[0])
        sigmas, told = _once(name, sigmas, times)
        levels = [_level(convention, s, t) for s, t in zip(sigmas, [*told, math.nan], strict=True)]
    try:
        grid = through(convention.process, levels)
    except ValueError as error:
        raise ValueError(f"the levels of {name} with {len(levels) - 1} steps are no grid: {error}") from error
    return Walked(grid, dict(zip(levels[:-1], told, strict=True)), _prior(scheduler, name, levels[0]))


def _in_table(scheduler: Any, name: str, times: Sequence[float]) -> tuple[list[Level], list[float]]:
    products = scheduler.alphas_cumprod.double().tolist()
    inner = getattr(scheduler, "prk_timesteps", None)
    if inner is not None and len(inner):
        # of four stages the first is at a level
        times = [*map(float, inner[::4]), *map(float, scheduler.plms_timesteps)]
    # pseudo-linear methods list a time again where they evaluate again
    once = sorted({t for t in times if t >= 0}, reverse=True)
    last = 1.0 if name in ANCESTRAL else float(scheduler.final_alpha_cumprod)
    values = [(t, products[int(t)]) for t in once]
    levels = [Level(t, math.sqrt(a), math.sqrt(1 - a)) for t, a in [*values, (-1.0 if last == 1 else 0.0, last)]]
    return levels, once


def in_table(scheduler: Any, time: float) -> Level:
    """The level of an entry of the table; the last one below the first."""
    product = float(scheduler.alphas_cumprod[int(time)] if time >= 0 else scheduler.final_alpha_cumprod)
    return Level(time, math.sqrt(product), math.sqrt(1 - product))


def _once(name: str, sigmas: list[float], times: list[float]) -> tuple[list[float], list[float]]:
    if name in TWICE:
        return [sigmas[0], *sigmas[1::2]], [times[0], *times[1::2]]
    if name in BETWEEN:
        return [sigmas[0], *sigmas[1:-1:2]], [times[0], *times[2::2]]
    return sigmas[: len(times) + 1], times


def _level(convention: Convention, sigma: float, told: float) -> Level:
    if sigma == 0:
        return convention.process.at(math.inf)
    if convention.name in ("edm", "flow"):
        return convention.process.at_clock(sigma)
    root = math.hypot(1.0, sigma)
    if convention.name == "continuous":
        return convention.process.at(-math.log(sigma))
    return Level(told if told == told else 0.0, 1 / root, sigma / root, -math.log(sigma))


def _reaching(convention: Convention, sigma: float) -> Convention:
    if convention.name != "edm" or sigma <= convention.process.t_start:
        return convention
    return replace(convention, process=replace(convention.process, sigma_max=sigma))  # type: ignore[type-var]


def _prior(scheduler: Any, name: str, start: Level) -> float:
    given = float(getattr(scheduler, "init_noise_sigma", 1.0))
    return given * start.alpha if name in SCALED else given
