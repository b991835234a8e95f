"""What a scheduler's config says about its network: the noise process, the prediction, and what it is told.

A config is the dictionary that diffusers saves as ``scheduler_config.json``. Five conventions are in use, for a level
``x = alpha x0 + sigma eps``:

| convention | state seen by the network | told | returned |
|---|---|---|---|
| table of betas | ``x`` | ``t``, the index in the table | noise, data or velocity |
| flow matching | ``x`` | ``N sigma`` | velocity ``eps - x0`` |
| EDM | ``x / sqrt(sigma^2 + d^2)`` | ``log(sigma) / 4`` | ``F`` of ``D = c_skip x + c_out F`` |
| continuous | ``x`` on the circle | ``log(sigma / alpha) / 4`` | velocity |
| angle | ``x`` on the circle | ``(2 / pi) atan(sigma / alpha)`` | velocity |

EDM's is Karras et al. 2022, equation 7, with ``d = sigma_data``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level
from ..prediction import to_data, to_native
from ..process import DDPM, EDM, Cosine, Flow, Process
from ..read.execute import linear

__all__ = ["Convention", "betas", "completed", "convention"]

NATIVE = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "velocity"}


@dataclass(frozen=True)
class Convention:
    """How a network is asked and answers.

    Attributes:
        name: the row of the table above: ``"table"``, ``"flow"``, ``"edm"``, ``"continuous"`` or ``"angle"``.
        process: the noise process it was trained on.
        prediction: the quantity that plans are compiled for.
        told: from a level to the number that the network receives as its time.
        at: the level that belongs to such a number; inverse of ``told``.
        scale: factor of the state at the network's input.
        read: ``(a, b)`` of ``prediction = a x + b output``.
        clip: the data prediction is cut to ``[-clip, clip]``, if a number (``clip_sample``).
    """

    name: str
    process: Process
    prediction: str
    told: Callable[[Level], float]
    at: Callable[[float], Level]
    scale: Callable[[Level], float]
    read: Callable[[Level], tuple[float, float]]
    clip: float | None = None

    def answer(self, x: Any, output: Any, level: Level) -> Any:
        """The prediction, from what the network returned for the state ``x`` (not scaled): its second half, a learned
        variance, left out; read; its data prediction cut if that is the convention."""
        if output.shape[1] == 2 * x.shape[1]:
            output = output[:, : x.shape[1]]
        a, b = self.read(level)
        native = output if (a, b) == (0.0, 1.0) else linear(x)([(a, x), (b, output)])
        if self.clip is None:
            return native
        a, b = to_data(level, self.prediction)
        D = (a * x + b * native).clamp(-self.clip, self.clip)
        a, b = to_native(level, self.prediction)
        return a * x + b * D


def convention(config: Mapping[str, Any]) -> Convention:
    """The convention of a scheduler's config.

    Args:
        config: as saved by diffusers, defaults filled in (:func:`completed`).

    Raises:
        ValueError: a scheduler whose process is none of the five, an unknown prediction or table of betas.
    """
    name = str(config.get("_class_name", ""))
    if name.startswith("EDM"):
        return _edm(config)
    if name.startswith("IPNDM"):
        return _angle()
    if name.startswith("FlowM") or name in FLOWS or config.get("use_flow_sigmas"):
        return _flow(config)
    if "num_train_timesteps" not in config or not ({"beta_schedule", "trained_betas"} & set(config)):
        raise ValueError(
            f"the config of {name or 'a scheduler without a name'} has neither a table of betas nor sigmas of a known "
            "process: give the config of another scheduler of the same network"
        )
    if config.get("timestep_type") == "continuous" and config.get("prediction_type") == "v_prediction":
        return _continuous()
    return _table(config)


FLOWS = ("LTXEulerAncestralRFScheduler",)


# classes by which the config of a scheduler that was never saved is recognised: it has no name, only settings
KINDS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
    "CogVideoXDDIMScheduler",
    "EDMEulerScheduler",
    "EDMDPMSolverMultistepScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "LCMScheduler",
)


def completed(given: Mapping[str, Any] | Any) -> dict[str, Any]:
    """The config of a scheduler with its class's name and the defaults of that class where it is silent.

    Args:
        given: a scheduler of diffusers, or its config; one that was never saved has no ``_class_name``, and then the
            class with the same settings is taken.

    Raises:
        ValueError: no such class.
    """
    import diffusers

    config = dict(getattr(given, "config", given))
    # that of a PlanScheduler says in whose place it stands
    name = (
        config.get("source")
        or config.get("_class_name")
        or (type(given).__name__ if hasattr(given, "config") else _recognised(config))
    )
    kind = getattr(diffusers, str(name), None)
    defaults = _defaults(kind) if inspect.isclass(kind) else {}
    return {**defaults, **config, "_class_name": name}


def _recognised(config: Mapping[str, Any]) -> str:
    import diffusers

    settings = {k for k in config if not k.startswith("_")}
    for name in KINDS:
        kind = getattr(diffusers, name, None)
        if inspect.isclass(kind) and settings == set(_defaults(kind)):
            return name
    raise ValueError(
        f"a config without _class_name and with the settings {', '.join(sorted(settings)) or 'none'} is that of no "
        "scheduler known here: give the scheduler itself"
    )


def _defaults(kind: type) -> dict[str, Any]:
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("self", "kwargs")}


def betas(config: Mapping[str, Any]) -> tuple[float, ...]:
    """The table of betas of a config, in float64.

    ``beta_schedule`` is linear, scaled_linear (the square of a line between roots), squaredcos_cap_v2 (Nichol &
    Dhariwal 2021, eq. 17) or sigmoid; ``trained_betas`` goes before it, ``snr_shift_scale = c`` divides the ratio
    of signal to noise power by ``c`` and ``rescale_betas_zero_snr`` moves the last level to ``alpha = 0`` (Lin et al.
    2024, algorithm 1).

    Raises:
        ValueError: another schedule.
    """
    table = _plain_betas(config)
    products = np.cumprod(1 - table)
    shift = config.get("snr_shift_scale") or 1.0
    zero = bool(config.get("rescale_betas_zero_snr"))
    if shift == 1.0 and not zero:
        return tuple(table.tolist())
    products = products / (shift + (1 - shift) * products)
    if zero:
        roots = np.sqrt(products)
        products = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    return tuple((1 - products / np.concatenate([[1.0], products[:-1]])).tolist())


def _plain_betas(config: Mapping[str, Any]) -> np.ndarray:
    given = config.get("trained_betas")
    if given is not None:
        return np.array([float(b) for b in given])
    n, kind = int(config["num_train_timesteps"]), config.get("beta_schedule", "linear")
    low, high = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if kind == "linear":
        return np.linspace(low, high, n)
    if kind == "scaled_linear":
        return np.linspace(math.sqrt(low), math.sqrt(high), n) ** 2
    if kind == "squaredcos_cap_v2":
        power = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * math.pi / 2) ** 2
        return np.minimum(1 - power[1:] / power[:-1], 0.999)
    if kind == "sigmoid":
        return low + (high - low) / (1 + np.exp(-np.linspace(-6, 6, n)))
    raise ValueError(
        f"beta_schedule = {kind!r} is unknown: use linear, scaled_linear, squaredcos_cap_v2, sigmoid or trained_betas"
    )


def _native(config: Mapping[str, Any]) -> str:
    kind = config.get("prediction_type", "epsilon")
    if kind not in NATIVE:
        raise ValueError(f"prediction_type = {kind!r} is unknown: use one of {', '.join(NATIVE)}")
    return NATIVE[kind]


def _one(level: Level) -> float:
    return 1.0


def _as_is(level: Level) -> tuple[float, float]:
    return 0.0, 1.0


def _table(config: Mapping[str, Any]) -> Convention:
    process = DDPM(betas(config))
    clip = float(config.get("clip_sample_range") or 1.0) if config.get("clip_sample") else None
    return Convention("table", process, _native(config), lambda level: level.t, process.level, _one, _as_is, clip)


def _flow(config: Mapping[str, Any]) -> Convention:
    if config.get("invert_sigmas"):
        raise ValueError(
            "invert_sigmas = True runs its levels from data to noise: use a config with invert_sigmas=False"
        )
    n = int(config.get("num_train_timesteps", 1000))
    shift = config.get("shift", config.get("flow_shift", 1.0))
    process = Flow(1.0 if config.get("use_dynamic_shifting") else float(shift or 1.0))
    kind = _native(config) if config.get("use_flow_sigmas") else "velocity"
    return Convention(
        "flow", process, kind, lambda level: n * level.sigma, lambda t: process.at_clock(t / n), _one, _as_is
    )


def _edm(config: Mapping[str, Any]) -> Convention:
    process = EDM(float(config.get("sigma_min", 0.002)), float(config.get("sigma_max", 80.0)))
    d = float(config.get("sigma_data", 0.5))
    # with v_prediction the network returns minus what it returns with epsilon
    sign = {"epsilon": 1.0, "v_prediction": -1.0}.get(config.get("prediction_type", "epsilon"))
    if sign is None:
        raise ValueError(
            f"prediction_type = {config['prediction_type']!r} is unknown to EDM: use epsilon or v_prediction"
        )

    def read(level: Level) -> tuple[float, float]:
        root = math.hypot(level.sigma, d)
        return (d / root) ** 2, sign * level.sigma * d / root

    return Convention(
        "edm",
        process,
        "data",
        lambda level: math.log(level.sigma) / 4,
        lambda t: process.at_clock(math.exp(4 * t)),
        lambda level: 1 / math.hypot(level.sigma, d),
        read,
    )


def _continuous() -> Convention:
    process = Cosine(0.0)
    return Convention(
        "continuous",
        process,
        "velocity",
        lambda level: -level.lam / 4,
        lambda t: process.at(-4 * t),
        _one,
        _as_is,
    )


def _angle() -> Convention:
    process = Cosine(0.0)

    def told(level: Level) -> float:
        return 2 / math.pi * math.atan2(level.sigma, level.alpha)

    return Convention("angle", process, "velocity", told, process.level, _one, _as_is)
