"""From a scheduler's config, and what a pipeline asks of ``set_timesteps``, to the grid of a sampler."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import grid as grids
from ..grid import Grid, custom, through
from ..models.convention import Convention
from ..plan import Level
from ..process import Flow
from .levels import Walked, plain, walked

__all__ = ["GRIDS", "timed"]

GRIDS: dict[str, Callable[..., Grid]] = {
    "uniform": grids.uniform,
    "quadratic": grids.quadratic,
    "log_snr": grids.log_snr,
    "exponential": grids.exponential,
    "karras": grids.karras,
    "edm": grids.edm,
}


def timed(
    config: Mapping[str, Any],
    convention: Convention,
    grid: str | None,
    options: Mapping[str, Any],
    n: int | None = None,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    mu: float | None = None,
) -> Walked:
    """Levels, and what the network is told at them.

    Args:
        config: of the scheduler whose spacing is used where ``grid`` is None, complete.
        grid, options: one of :data:`GRIDS` on the process of the config, and its keywords, ``end="zero"`` by default.
        n, timesteps, sigmas, mu: of ``set_timesteps``; a list goes before ``n``.

    Raises:
        ValueError: none or several of them; lists beside a named grid, except on flow matching, where the grid runs
            between the ends of ``sigmas``; levels that are no grid.
    """
    lists = [("timesteps", timesteps), ("sigmas", sigmas)]
    given = [(key, [float(v) for v in values]) for key, values in lists if values is not None]
    if len(given) > 1 or (n is None and not given):
        raise ValueError("give set_timesteps one of num_inference_steps, timesteps and sigmas")
    if given and n is not None and n not in (len(given[0][1]), len(given[0][1]) - 1):
        raise ValueError(f"num_inference_steps = {n} beside {len(given[0][1])} {given[0][0]}: leave it out")
    if grid is not None:
        return _on_grid(grid, options, _shifted(convention, config, mu), n, given)
    name = str(config["_class_name"])
    scheduler = plain(name, config)
    accepted = inspect.signature(scheduler.set_timesteps).parameters
    if given and given[0][0] not in accepted:
        return _listed(*given[0], convention)
    more: dict[str, Any] = {key: values if key == "sigmas" else _whole(values) for key, values in given}
    if mu is not None:
        if "mu" not in accepted:
            raise ValueError(f"mu = {mu!r} shifts the levels of flow matching; {name} has no such shift: leave it out")
        more["mu"] = mu
    if not given:
        more["num_inference_steps"] = n
    scheduler.set_timesteps(**more)
    return walked(scheduler, convention)


def _on_grid(
    grid: str, options: Mapping[str, Any], convention: Convention, n: int | None, given: list[tuple[str, list[float]]]
) -> Walked:
    if grid not in GRIDS:
        raise ValueError(
            f"grid {grid!r} is unknown: use one of {', '.join(GRIDS)}, or None for the scheduler's own levels"
        )
    process, ends = convention.process, dict(options)
    if given:
        key, values = given[0]
        if key != "sigmas" or convention.name != "flow":
            raise ValueError(f"{key} were given beside grid = {grid!r}: use grid=None, or num_inference_steps alone")
        # pipelines of flow matching list their sigmas, which are still to be shifted; diffusers, too, keeps the ends
        values = values[:-1] if values[-1] == 0 else values
        n = len(values)
        ends = {"start": process.level(values[0]), "stop": process.level(values[-1]), **ends}
    made = GRIDS[grid](process, n, **{"end": "zero", **ends})  # type: ignore[arg-type]
    return Walked(made, {}, float(process.prior(made[0])))


def _shifted(convention: Convention, config: Mapping[str, Any], mu: float | None) -> Convention:
    """The shift of flow matching that a pipeline chose for the size of its image."""
    if convention.name != "flow" or not config.get("use_dynamic_shifting"):
        return convention
    if mu is None:
        raise ValueError("use_dynamic_shifting = True takes its shift from the pipeline: pass mu")
    shift = mu if config.get("time_shift_type") == "linear" else math.exp(mu)
    return replace(convention, process=Flow(shift))


def _listed(key: str, values: list[float], convention: Convention) -> Walked:
    process = convention.process
    if key == "sigmas":
        made = custom(process, sigmas=values, end="zero")
        return Walked(made, {}, float(process.prior(made[0])))
    levels: list[Level] = [convention.at(t) for t in values]
    made = through(process, [*levels, process.at(math.inf)])
    return Walked(made, dict(zip(levels, values, strict=True)), float(process.prior(made[0])))


def _whole(values: list[float]) -> list[Any]:
    return [int(v) if v == int(v) else v for v in values]
