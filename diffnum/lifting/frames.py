"""What a sampler's model means: the level that a time tells it, the scale of its input, what it returns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..plan import PREDICTIONS, Level
from ..process import EDM, VE, Flow, as_float

__all__ = ["Frame", "of_process", "of_schedule", "of_scheduler"]

NATIVE = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "velocity"}


def _one(level: Level) -> float:
    return 1.0


def _itself(level: Level) -> tuple[float, float]:
    return 0.0, 1.0


@dataclass(frozen=True)
class Frame:
    """Levels, scales and prediction of one sampler's model.

    Attributes:
        told: from the model's time argument to the level that the network is told.
        quantity: what the network returns, one of :data:`diffnum.plan.PREDICTIONS`.
        kind: the curve of its levels: ``"circle"`` (``alpha^2 + sigma^2 = 1``), ``"flow"`` (``alpha + sigma = 1``),
            ``"exploding"`` (``alpha = 1``), ``"free"``.
        process: name and parameters, for the plan.
        view: factor of the network's input over ``alpha x0 + sigma eps``.
        returned: ``(a, b)`` of ``a * input + b * quantity``, what a preconditioned network returns.
        time: from a log-SNR to the time, where times count the entries of a table.
        span: first and last time that the network knows.
        least: smallest ``sigma / alpha`` that the network knows, above zero.
        shift: of the levels, where the sampler says that it has one.
    """

    told: Callable[[Any], Level]
    quantity: str
    kind: str
    process: Mapping[str, Any] = field(default_factory=dict)
    view: Callable[[Level], float] = _one
    returned: Callable[[Level], tuple[float, float]] = _itself
    time: Callable[[float], float] | None = None
    span: tuple[float, float] | None = None
    least: float | None = None
    shift: float = 1.0

    def __post_init__(self) -> None:
        if self.quantity not in PREDICTIONS:
            raise ValueError(f"prediction {self.quantity!r} is unknown: use one of {', '.join(PREDICTIONS)}")

    def clock(self, time: Any) -> float:
        """The model's time argument as one float."""
        return _float(time.t if isinstance(time, Level) else time)

    def size(self, alpha: float, sigma: float) -> float:
        """1 on the curve of the levels, homogeneous of degree one."""
        if self.kind == "flow":
            return alpha + sigma
        return alpha if self.kind == "exploding" else math.hypot(alpha, sigma)

    def v(self, alpha: float, sigma: float) -> tuple[float, float]:
        """The pair of the velocity on the curve at ``sigma / alpha``; see :class:`diffnum.plan.Level`."""
        if self.kind == "flow":
            return -1.0, 1.0
        if self.kind == "exploding":
            return 0.0, 1.0
        size = 1.0 if self.kind == "free" else math.hypot(alpha, sigma)
        return -sigma / size, alpha / size


def _float(time: Any) -> float:
    return float(time.detach().reshape(-1)[0]) if isinstance(time, torch.Tensor) else float(np.ravel(time)[0])


# --- processes of ours ---


def of_process(process: Any, prediction: str) -> Frame:
    """The frame of a function whose model is told ``sigma`` on VE, EDM and Flow, else ``t``, or one of our levels."""
    exploding, flow = isinstance(process, (VE, EDM)), isinstance(process, Flow)

    def told(time: Any) -> Level:
        if isinstance(time, Level):
            return time
        value = _float(time)
        if exploding:
            return Level(value, 1.0, value, v=(0.0, 1.0))
        return process.at_clock(value) if flow else process.level(value)

    kind = "exploding" if exploding else "flow" if flow else "circle" if process.preserves_variance else "free"
    return Frame(told, prediction, kind, process.to_json())


def of_schedule(schedule: Callable[[Any], tuple[Any, Any]], prediction: str) -> Frame:
    """The frame of a denoiser with ``schedule(t) -> (alpha, sigma)``; the curve is the one that three times lie on."""

    def scales(time: Any) -> tuple[float, float]:
        alpha, sigma = schedule(time if isinstance(time, torch.Tensor) else torch.tensor(time, dtype=torch.float64))
        return _float(alpha), _float(sigma)

    some = [scales(torch.tensor(t, dtype=torch.float64)) for t in (0.25, 0.5, 0.75)]
    curves = {
        "exploding": lambda a, s: a,
        "flow": lambda a, s: a + s,
        "circle": math.hypot,
    }
    kind = next((k for k, f in curves.items() if all(abs(f(a, s) - 1) < 1e-6 for a, s in some)), "free")
    shape = Frame(lambda t: Level(0.0, 1.0, 1.0), prediction, kind)

    def told(time: Any) -> Level:
        alpha, sigma = scales(time)
        return Level(_float(time), alpha, sigma, v=shape.v(alpha, sigma))

    return Frame(told, prediction, kind, {"name": type(schedule).__name__})


# --- scheduler objects ---


def of_scheduler(scheduler: Any, prediction: str | None = None) -> Frame:
    """The frame of an object with ``set_timesteps`` and ``step``, by what it has.

    A ``convention`` that maps levels to times and back, as :class:`diffnum.interop.diffusers.PlanScheduler` has one,
    says all of it. ``precondition_noise`` makes it one of preconditioned networks (Karras et al. 2022, eq. 7);
    ``alphas_cumprod`` one with a table of betas, unless its settings speak of flow matching; arrays ``alphas`` and
    ``betas`` on a circle one in the angle; ``num_train_timesteps`` alone one of flow matching, ``sigma = t /
    num_train_timesteps``.

    Raises:
        ValueError: none of these, or a prediction type that is not known.
    """
    with warnings.catch_warnings():
        # some warn where a setting is read as an attribute
        warnings.simplefilter("ignore")
        setting, convention = _settings(scheduler), getattr(scheduler, "convention", None)
        if all(hasattr(convention, part) for part in ("process", "prediction", "told", "at", "scale", "read")):
            return _agreed(convention, setting, prediction)
        return _of_scheduler(scheduler, setting, prediction)


def _agreed(convention: Any, setting: Mapping[str, Any], prediction: str | None) -> Frame:
    """The frame that one of our conventions states."""
    process, edm = convention.process, convention.name == "edm"
    base = of_process(process, prediction or convention.prediction)

    def told(time: Any) -> Level:
        # of EDM a grid may start above the process's own end
        t = _float(time)
        level = Level(t, 1.0, math.exp(4 * t)) if edm else convention.at(t)
        return replace(level, t=_float(time), v=base.v(level.alpha, level.sigma))

    def time(lam: float) -> float:
        return float(convention.told(process.at(lam)))

    def returned(level: Level) -> tuple[float, float]:
        a, b = convention.read(level)
        return -a / (b * convention.scale(level)), 1 / b

    if convention.name == "table":
        span, least = (process.t_stop, process.t_start), math.exp(-process.lam(process.t_stop))
        return replace(base, told=told, returned=returned, time=time, span=span, least=least)
    if convention.name == "flow":
        count = int(setting.get("num_train_timesteps") or 1000)
        flow = _flow(count, base.quantity, process.shift)
        return replace(
            base, told=told, returned=returned, time=time, span=flow.span, least=flow.least, shift=flow.shift
        )
    return replace(base, told=told, view=convention.scale, returned=returned)


def _of_scheduler(scheduler: Any, setting: Mapping[str, Any], prediction: str | None) -> Frame:
    given = setting.get("prediction_type")
    if all(hasattr(scheduler, f"precondition_{part}") for part in ("noise", "inputs", "outputs")):
        return _preconditioned(scheduler, setting)
    flowing = given == "flow_prediction" or setting.get("use_flow_sigmas", False)
    named = prediction or (NATIVE.get(given, given) if given else "velocity")
    if getattr(scheduler, "alphas_cumprod", None) is not None and not flowing:
        return _table(scheduler.alphas_cumprod, named)
    if _round(scheduler):
        return _angle(named)
    if setting.get("num_train_timesteps"):
        return _flow(int(setting["num_train_timesteps"]), named, _shift(scheduler, setting))
    raise ValueError(
        f"{type(scheduler).__name__} has neither alphas_cumprod nor num_train_timesteps to say what its times mean: "
        "walk it in a function f(model, x) and lift that with process="
    )


def _settings(scheduler: Any) -> Mapping[str, Any]:
    config = getattr(scheduler, "config", {})
    return dict(config) if isinstance(config, Mapping) else vars(config)


def _table(products: Any, prediction: str) -> Frame:
    p = np.asarray(torch.as_tensor(products).detach().double())
    with np.errstate(divide="ignore"):
        lams = (np.log(p) - np.log1p(-p)) / 2
    inner = np.maximum(lams, -50.0)

    def told(time: Any) -> Level:
        t = _float(time)
        i = min(max(t, 0.0), len(p) - 1.0)
        if i == int(i):
            a, s = math.sqrt(p[int(i)]), math.sqrt(1 - p[int(i)])
            return Level(t, a, s, v=(-s, a))
        lam = float(np.interp(i, np.arange(len(p)), inner))
        a = 1 / math.sqrt(1 + math.exp(-2 * lam))
        s = a * math.exp(-lam)
        return Level(t, a, s, v=(-s, a))

    def time(lam: float) -> float:
        return float(np.interp(-lam, -inner, np.arange(len(p))))

    name = {"name": "DDPM", "entries": len(p), "least": float(p[0]), "most": float(p[-1])}
    return Frame(told, prediction, "circle", name, time=time, span=(0.0, len(p) - 1.0), least=math.exp(-lams[0]))


def _flow(count: int, prediction: str, shift: float) -> Frame:
    def told(time: Any) -> Level:
        t = _float(time)
        s = min(max(t / count, 0.0), 1.0)
        return Level(t, 1 - s, s, v=(-1.0, 1.0))

    def time(lam: float) -> float:
        return count / (1 + math.exp(lam)) if lam < 700 else 0.0

    least = 1 / (count - 1) if count > 1 else None
    name = {"name": "Flow", "entries": count}
    return Frame(told, prediction, "flow", name, time=time, span=(0.0, float(count)), least=least, shift=shift)


def _shift(scheduler: Any, setting: Mapping[str, Any]) -> float:
    if setting.get("use_dynamic_shifting"):
        return 1.0
    value = as_float(getattr(scheduler, "shift", None) or setting.get("shift") or setting.get("flow_shift") or 1.0)
    return 1.0 if value is None else value


def _round(scheduler: Any) -> bool:
    alphas, betas = getattr(scheduler, "alphas", None), getattr(scheduler, "betas", None)
    if not (isinstance(alphas, torch.Tensor) and isinstance(betas, torch.Tensor) and alphas.shape == betas.shape):
        return False
    return bool(((alphas.double() ** 2 + betas.double() ** 2 - 1).abs() < 1e-5).all())


def _angle(prediction: str) -> Frame:
    def told(time: Any) -> Level:
        t = _float(time)
        a, s = math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)
        a = 0.0 if a < 1e-7 else a
        return Level(t, a, s, v=(-s, a))

    return Frame(told, prediction, "circle", {"name": "Cosine", "s": 0.0})


def _preconditioned(scheduler: Any, setting: Mapping[str, Any]) -> Frame:
    def tensor(value: float) -> torch.Tensor:
        return torch.tensor([value], dtype=torch.float64)

    def told(time: Any) -> Level:
        t = _float(time)
        low, high = math.log(1e-9), math.log(1e9)
        for _ in range(80):
            middle = (low + high) / 2
            if _float(scheduler.precondition_noise(tensor(math.exp(middle)))) < t:
                low = middle
            else:
                high = middle
        sigma = math.exp((low + high) / 2)
        return Level(t, 1.0, sigma, v=(0.0, 1.0))

    def view(level: Level) -> float:
        return _float(scheduler.precondition_inputs(tensor(1.0), tensor(level.sigma)))

    def returned(level: Level) -> tuple[float, float]:
        # F of D = c_skip x + c_out F(c_in x), Karras et al. 2022, eq. 7
        skip, out = (
            _float(scheduler.precondition_outputs(tensor(x), tensor(f), tensor(level.sigma)))
            for x, f in ((1.0, 0.0), (0.0, 1.0))
        )
        return -skip / (out * view(level)), 1 / out

    least = as_float(setting.get("sigma_min") or 0.0) or None
    name = {"name": "EDM", "sigma_data": setting.get("sigma_data")}
    return Frame(told, "data", "exploding", name, view, returned, least=least)
