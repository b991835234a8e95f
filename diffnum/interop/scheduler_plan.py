"""A scheduler of diffusers, by its config, as a plan: what it computes, compiled from our formulas on its levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from ..models.convention import completed, convention
from ..plan import Level, Plan
from ..solvers import ALL
from ..solvers import generated as g
from ..solvers.coords import DATA, NOISE
from ..solvers.multistep import DPM_3M
from ..solvers.rules import formulas
from ..solvers.singlestep import grouped
from ..trace import Solver
from ..trace import compile as compiled
from .coded import angular, pseudo_numerical, stochastic
from .levels import Walked, in_table, made, walked
from .lowering import PAIRS, adams, corrected, lowered, remaining
from .names import find

__all__ = ["scheduler_to_plan"]

Chosen = tuple[Any, Any]  # a sampler, and the grid it is compiled on
# steps of PNDM before it is of several points
RUNGE_KUTTA = 3


def scheduler_to_plan(
    scheduler: Mapping[str, Any] | Any, n: int | None = None, eta: float = 0.0, **timing: Any
) -> Plan:
    """The plan of a scheduler of diffusers.

    Args:
        scheduler: one of their schedulers, or its config with its ``_class_name``.
        n: number of steps, as in their ``set_timesteps``; None for a scheduler whose ``set_timesteps`` was called.
        eta: of ``step``, for their DDIM.
        timing: further keywords of ``set_timesteps``: ``mu``, ``sigmas``, ``timesteps``.

    Returns:
        A plan on the levels of that scheduler, for the prediction in its config and for states in the scale
        ``alpha x0 + sigma eps``; what its tableau equals is theirs, on whatever the network predicts.

    Raises:
        ValueError: where ours has no equal: clipping and thresholding, which are not linear; levels that repeat; steps
            of another level than the one evaluated at; variances that the network learned; a scheduler that
            :data:`diffnum.interop.names.TABLE` does not know. The sentence says which.
    """
    if not hasattr(scheduler, "config") and "_class_name" not in scheduler:
        # schedulers with the same settings are not the same
        raise ValueError("a config without _class_name may be that of several schedulers: give the scheduler itself")
    config = completed(scheduler)
    name = str(config["_class_name"])
    _check_known(name)
    _check_linear(name, config)
    if name == "PNDMScheduler" and not config.get("skip_prk_steps") and n is not None and n <= RUNGE_KUTTA:
        raise ValueError(f"{name} begins with three Runge-Kutta steps and n = {n}: use n >= 4, or skip_prk_steps=True")
    if n is not None or timing:
        timed: Any = made(name, config)
        timed.set_timesteps(*([] if n is None else [n]), **timing)
    elif not hasattr(scheduler, "timesteps") or getattr(scheduler, "num_inference_steps", None) is None:
        raise ValueError(f"{name} has no number of steps yet: pass n")
    else:
        timed = scheduler
    conv = convention(config)
    walk = walked(timed, conv)
    sampler, grid = _choose(name, timed, config, walk, eta)
    return compiled(sampler, grid, conv.prediction)


def _check_known(name: str) -> None:
    rows = find(name, "diffusers")
    if name not in FAMILIES and (not rows or not rows[0].ours):
        why = rows[0].note if rows else "it is not in the table of names"
        raise ValueError(f"{name} has no equal here: {why}")


def _check_linear(name: str, config: Mapping[str, Any]) -> None:
    for key in ("clip_sample", "thresholding"):
        if config.get(key):
            raise ValueError(f"{name} with {key} = True is not linear and so no plan: use {key}=False")
    if config.get("solver_p") is not None:
        raise ValueError(f"{name} with solver_p takes its predictor from another scheduler, and has no equal: use none")


def _choose(name: str, scheduler: Any, config: Mapping[str, Any], walk: Walked, eta: float) -> Chosen:
    family = FAMILIES.get(name)
    if family is not None:
        return family(scheduler, config, walk)
    if name in ("DDIMScheduler", "DDIMParallelScheduler", "CogVideoXDDIMScheduler"):
        _check_steps(name, config, walk)
        return (ALL["ddim_eta"].with_options(eta=eta) if eta else ALL["ddim"]), walk.grid
    return ALL[find(name, "diffusers")[0].ours], walk.grid


def _check_steps(name: str, config: Mapping[str, Any], walk: Walked) -> None:
    times, back = list(walk.told.values()), config["num_train_timesteps"] // walk.grid.steps
    for s, t in pairwise(times):
        if s - back != t:
            raise ValueError(
                f"{name} with timestep_spacing = {config.get('timestep_spacing')!r} steps from {s:g} to the level of "
                f"{s - back:g} and evaluates at {t:g} there, which has no equal: use timestep_spacing='leading'"
            )


def _ddpm(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    kinds = {
        "fixed_small": "ddpm_ancestral",
        "fixed_small_log": "ddpm_ancestral",
        "fixed_large": "ddpm_ancestral_large",
    }
    kind = config.get("variance_type")
    if kind in ("learned", "learned_range"):
        raise ValueError(
            f"DDPMScheduler with variance_type = {kind!r} multiplies its noise by a second output of the network, "
            "which is not linear and in no plan: use fixed_small or fixed_large"
        )
    if kind not in kinds:
        raise ValueError(
            f"DDPMScheduler with variance_type = {kind!r} has no equal here: use one of {', '.join(kinds)}"
        )
    return ALL[kinds[kind]], walk.grid


def _pndm(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    kind = config.get("prediction_type")
    if kind not in ("epsilon", "v_prediction"):
        raise ValueError(f"PNDMScheduler knows no prediction_type = {kind!r}: use epsilon or v_prediction")
    _check_steps("PNDMScheduler", config, walk)
    if config.get("skip_prk_steps") and kind == "epsilon":
        return ALL["plms"], walk.grid
    halves = () if config.get("skip_prk_steps") else _halves(scheduler, config, walk)
    name = ("pndm" if halves else "plms") + ", velocities added" * (kind == "v_prediction")
    build = pseudo_numerical(halves, "noise" if kind == "epsilon" else "velocity")
    return Solver(build, 1, 1 if kind == "v_prediction" else 2, "", name=name), walk.grid


def _halves(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> list[tuple[Level, Level]]:
    """Levels inside its Runge-Kutta steps: half a step below their start, and above their end."""
    times = list(walk.told.values())
    half = config["num_train_timesteps"] // walk.grid.steps // 2
    return [
        (in_table(scheduler, s - half), in_table(scheduler, t + half)) for s, t in pairwise(times[: RUNGE_KUTTA + 1])
    ]


def _ipndm(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    return Solver(angular, 1, 1, "", name="ipndm, from pure noise"), walk.grid


def _sa(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    p, c, n = int(config["predictor_order"]), int(config["corrector_order"]), walk.grid.steps
    data, low = config["algorithm_type"] == "data_prediction", bool(config["lower_order_final"])
    # it starts with what it has, and ends with the steps that are left
    known = [min(i, max(p, c - 1)) for i in range(n)]
    points = [min(p, known[i] + 1, n - i if low else p) for i in range(n)]
    corrector = [min(c, known[i] + 2, n - i + 1 if low else c) for i in range(n)]
    rates = [float(scheduler.tau_func(t)) ** 2 for t in scheduler.timesteps]
    name = f"sa_p{p}c{c}" + "_noise" * (not data)
    return Solver(stochastic(data, points, corrector, rates), min(p, 2), 1, "", name=name), walk.grid


def _flow_euler(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    return ALL["renoise" if config.get("stochastic_sampling") else "ddim"], walk.grid


SDE = {
    ("sde-dpmsolver++", 1, "midpoint"): "sde_dpmpp_1",
    ("sde-dpmsolver++", 1, "heun"): "sde_dpmpp_1",
    ("sde-dpmsolver++", 2, "midpoint"): "sde_dpmpp_2m",
    ("sde-dpmsolver++", 2, "heun"): "sde_dpmpp_2m_heun",
    ("sde-dpmsolver++", 3, "midpoint"): "sde_dpmpp_3m_coded",
    ("sde-dpmsolver", 1, "midpoint"): "sde_dpm_1",
    ("sde-dpmsolver", 1, "heun"): "sde_dpm_1",
    ("sde-dpmsolver", 2, "midpoint"): "sde_dpm_2m",
    ("sde-dpmsolver", 2, "heun"): "sde_dpm_2m_heun",
}
RULES = {"midpoint": DPM_3M, "heun": formulas(g.exponential_adams_1, g.exponential_adams_2, g.dpm_3m)}


def _dpm(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    algorithm, order, kind = config["algorithm_type"], config["solver_order"], config["solver_type"]
    n, zero = walk.grid.steps, walk.grid[-1].clean
    low, euler = bool(config["lower_order_final"]), bool(config["euler_at_final"])
    orders = lowered(n, order, config["final_sigmas_type"] == "zero", low, euler)
    if not algorithm.startswith("sde"):
        coords = {"dpmsolver++": DATA, "dpmsolver": NOISE}[algorithm]
        name = _multistep_name(algorithm, order, kind)
        return _called(name, adams(coords, orders, RULES[kind]), orders, order, zero), walk.grid
    found = SDE.get((algorithm, order, kind))
    if found is None or orders[: n - zero] != [min(i + 1, order) for i in range(n - zero)]:
        raise ValueError(
            f"{algorithm} of order {order} and type {kind} with orders {orders} in its {n} steps has no equal here: "
            "use solver_order <= 2 to sigma = 0, or lower_order_final=False"
        )
    return ALL[found], walk.grid


def _multistep_name(algorithm: str, order: int, kind: str) -> str:
    stem = {"dpmsolver++": "dpmpp", "dpmsolver": "dpm"}[algorithm]
    return f"{stem}_{order}m" if kind == "midpoint" else f"{stem}_{order}m, type heun"


def _called(name: str, build: Callable[..., None], orders: list[int], order: int, zero: bool) -> Solver:
    # a step to the clean level is of first order whatever the name
    plainly = all(p == min(i + 1, order) for i, p in enumerate(orders[: len(orders) - zero]))
    label = name if plainly else f"{name}, orders {' '.join(str(p) for p in orders)}"
    return Solver(build, order, min(order, 2), "", name=label)


def _single(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    algorithm, order, kind = config["algorithm_type"], config["solver_order"], config["solver_type"]
    names = {(1, "midpoint"): "dpmpp_1", (1, "heun"): "dpmpp_1", (2, "midpoint"): "dpmpp_singlestep_2"}
    names |= {(3, "heun"): "dpmpp_singlestep_3_taylor"}
    found = names.get((order, kind))
    if algorithm != "dpmsolver++" or found is None:
        raise ValueError(
            f"singlestep {algorithm} of order {order} and type {kind} has no equal here: use dpmsolver++ of order 2"
        )
    if order == 1:
        return ALL[found], walk.grid
    orders, sizes = list(scheduler.order_list), []
    for p in orders:
        sizes = [*sizes, 1] if p == 1 else [*sizes[:-1], p]
    if walk.grid[-1].clean and sizes[-1] != 1:
        raise ValueError(f"a step of order {sizes[-1]} to sigma = 0 has no equal here: use lower_order_final=True")
    return ALL[found], grouped(walk.grid, sizes)


def _deis(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    order = config["solver_order"]
    orders = lowered(walk.grid.steps, order, low=bool(config["lower_order_final"]))
    return _called(f"exp_ab{order}_noise", adams(NOISE, orders), orders, order, False), walk.grid


def _unipc(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    order, kind = config["solver_order"], config["solver_type"]
    if kind == "bh1" and walk.grid[-1].clean:
        raise ValueError(
            "UniPCMultistepScheduler of type bh1 is not a number at sigma = 0, and has no equal: use "
            "final_sigmas_type='sigma_min'"
        )
    n, skip = walk.grid.steps, tuple(config.get("disable_corrector") or ())
    orders = remaining(n, order, bool(config["lower_order_final"]))
    coords = DATA if config["predict_x0"] else NOISE
    build = corrected(coords, orders, *PAIRS[kind], skip=skip)
    name = f"unipc_{order}" + "_bh1" * (kind == "bh1") + "_noise" * (coords is NOISE)
    return _called(
        name + f", no corrector at {skip}" * bool(skip), build, orders, order, walk.grid[-1].clean
    ), walk.grid


def _edm_dpm(scheduler: Any, config: Mapping[str, Any], walk: Walked) -> Chosen:
    return _dpm(scheduler, {**config, "euler_at_final": config.get("euler_at_final", False)}, walk)


FAMILIES: dict[str, Callable[[Any, Mapping[str, Any], Walked], Chosen]] = {
    "DDPMScheduler": _ddpm,
    "DDPMParallelScheduler": _ddpm,
    "PNDMScheduler": _pndm,
    "IPNDMScheduler": _ipndm,
    "SASolverScheduler": _sa,
    "FlowMatchEulerDiscreteScheduler": _flow_euler,
    "DPMSolverMultistepScheduler": _dpm,
    "EDMDPMSolverMultistepScheduler": _edm_dpm,
    "DPMSolverSinglestepScheduler": _single,
    "DEISMultistepScheduler": _deis,
    "UniPCMultistepScheduler": _unipc,
}
