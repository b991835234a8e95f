"""Any sampler or plan of diffnum in any pipeline of diffusers, and their schedulers as plans.

.. code-block:: python

    pipe.scheduler = PlanScheduler.from_config(pipe.scheduler.config, sampler="dpmpp_3m_corrected")
    pipe.save_pretrained(folder)                  # and DiffusionPipeline.from_pretrained(folder) brings it back
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin, SchedulerOutput
from diffusers.utils.torch_utils import randn_tensor

from ..grid import Grid
from ..models.convention import Convention, completed, convention
from ..models.rounding import Rounding, nearest
from ..plan import Eval, Level, Noise, Plan
from ..trace import Solver
from ..trace import compile as compiled
from .levels import Walked, modules_of
from .names import named
from .scheduler_plan import scheduler_to_plan
from .timing import timed
from .walk import Walk, starts

__all__ = ["PlanScheduler", "scheduler_to_plan"]

HALVES = (torch.float16, torch.bfloat16)


class PlanScheduler(SchedulerMixin, ConfigMixin):
    """A scheduler of diffusers that runs a plan.

    The state is ``x = alpha x0 + sigma eps`` (``init_noise_sigma`` is near 1 but for EDM); ``timesteps`` lists a time
    for every evaluation, so that a method of two stages lists two a step, and ``order`` is their number where all steps
    have the same. A call of ``step`` runs the plan's lines up to the next evaluation: Python floats times tensors,
    in the dtype of the state; halves are added up in float32 and rounded once per line. Positions are counted and
    nothing on the device is read. What ``step`` returns is written again once nobody holds it any more, not before.
    With ``clip_sample = True`` in the config every data prediction is cut before it is used, as DDPM does; that is no
    part of :attr:`plan`, and thresholding is refused.

    Args:
        sampler: one of ``dn.solvers.ALL``, a name that another library gives it (``"DPM++ 2M"``), or a sampler.
        options: its keyword options.
        grid: ``"karras"``, ``"log_snr"``, ``"uniform"``, ... on the process of the config; None for the very levels of
            the scheduler in whose place this one stands.
        grid_options: ``start``, ``stop``, ``rho``, ``end``; ``end`` is ``"zero"`` by default, a last step to the data.
        plan: a fixed plan, or its JSON, instead of a sampler; then ``num_inference_steps`` must be its steps.
        whole_times: tell the network whole times, if its times are those of a table; see :attr:`rounding`.
        source: the class of the scheduler whose config this is.

    Raises:
        ValueError: when timesteps are set: a sampler that this prediction does not allow or that moves before
            its first evaluation, a plan for another process, prediction or number of steps, levels that are no grid.
            When a pipeline begins inside a step of several evaluations, or where a method with memory cannot.
    """

    _compatibles = [*(e.name for e in KarrasDiffusionSchedulers), "FlowMatchEulerDiscreteScheduler"]  # noqa: RUF012
    order = 1

    @register_to_config
    def __init__(
        self,
        sampler: str | Solver = "dpmpp_2m",
        options: Mapping[str, Any] | None = None,
        grid: str | None = None,
        grid_options: Mapping[str, Any] | None = None,
        plan: Mapping[str, Any] | Plan | None = None,
        whole_times: bool = False,
        source: str = "DDPMScheduler",
    ) -> None:
        if isinstance(sampler, Solver):
            self.register_to_config(sampler=sampler.name, options={**dict(sampler.options), **(options or {})})
        if isinstance(plan, Plan):
            self.register_to_config(plan=plan.to_json())
        named(self.config["sampler"])
        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(len(self) - 1, -1, -1)
        self.sigmas = torch.empty(0)
        self._begin_index: int | None = None
        self._step_index: int | None = None
        self._walk: Walk | None = None
        self._known: tuple[Any, Convention] | None = None

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """This scheduler in the place of another: its config is kept, and switching back finds all of it.

        Args:
            config: another scheduler's config, or this one's.
            kwargs: arguments of the class, or settings of the other scheduler to replace, such as
                ``prediction_type="v_prediction"``.
        """
        given = dict(getattr(config, "config", config))
        if given.get("_class_name") != cls.__name__ and "source" not in given:
            named_ = {"_class_name": kwargs["source"]} if "source" in kwargs else {}
            given = completed({**given, **named_} if named_ else config)
            given = {**{k: _plain(v) for k, v in given.items() if k[0] != "_"}, "source": given["_class_name"]}
        given |= {k: kwargs.pop(k) for k in list(kwargs) if k in given}
        return super().from_config(given, return_unused_kwargs=return_unused_kwargs, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    def __len__(self) -> int:
        return int(self.config.get("num_train_timesteps") or 1000)

    # --- what is run ---

    @property
    def levels_from(self) -> tuple[str, ...]:
        """Modules whose code makes the levels where ``grid`` is None; lifting widens them to double precision."""
        return modules_of(str(self.config["source"])) if self.config["grid"] is None else ()

    @property
    def convention(self) -> Convention:
        """The process of the config, and how its network is asked."""
        if self._known is None or self._known[0] is not self.config:
            config = completed({**self.config, "_class_name": self.config["source"]})
            if config.get("thresholding"):
                raise ValueError("thresholding = True is not linear and so in no plan: pass thresholding=False")
            self._known = self.config, convention(config)
        return self._known[1]

    @property
    def plan(self) -> Plan:
        """The plan that runs from the first of ``timesteps``."""
        self._check_set()
        return self._plan

    @property
    def rounding(self) -> Rounding:
        """How far what the network is told is from the levels it is used at; zero but for tables of whole times."""
        self._check_set()
        if self.convention.name != "table":
            return Rounding(0.0, 0.0)
        process = self.convention.process
        pairs = [(t, level) for t, level in zip(self._told, self._levels, strict=True) if not level.pure_noise]
        # levels in single precision may lie beyond the end of the table by their rounding
        at = [process.t(max(level.lam, process.lam(process.t_start))) for _, level in pairs]
        return Rounding(
            max((abs(t - u) for (t, _), u in zip(pairs, at, strict=True)), default=0.0),
            max((abs(process.lam(t) - level.lam) for t, level in pairs), default=0.0),
        )

    @property
    def step_index(self) -> int | None:
        """Evaluations done, counted from the first of ``timesteps``; None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The evaluation with which the pipeline said it begins."""
        return self._begin_index

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
    ) -> None:
        """Compile the plan.

        Args:
            num_inference_steps: steps of the grid; the network is asked ``len(self.timesteps)`` times.
            device: where ``timesteps`` are put.
            timesteps, sigmas, mu: custom levels, with the meaning that the scheduler of ``source`` gives them.
        """
        conv, config = self.convention, self.config
        if config["plan"] is not None:
            plan = _fixed(config["plan"], conv, num_inference_steps, timesteps if sigmas is None else sigmas)
            walk = Walked(None, {}, float(plan.prior))  # type: ignore[arg-type]
        else:
            full = completed({**config, "_class_name": config["source"]})
            grid, options = config["grid"], config["grid_options"] or {}
            walk = timed(full, conv, grid, options, num_inference_steps, timesteps, sigmas, mu)
            plan = self._compiled(walk.grid)
        self._plan, self._grid, self._walk = plan, walk.grid, Walk(plan)
        self._levels = _asked(plan)
        self._told = [self._tell(level, walk.told) for level in self._levels]
        self._starts = starts(plan)
        self.order = _evaluations_a_step(self._starts)
        whole = conv.name == "table" and all(t == int(t) for t in self._told)
        self.timesteps = torch.tensor(self._told, dtype=torch.int64 if whole else torch.float32, device=device)
        self.sigmas = torch.tensor([_noise(conv, level) for level in (*self._levels, plan.stop)], dtype=torch.float32)
        self.init_noise_sigma = walk.prior if conv.name != "edm" else (self._levels[0].sigma ** 2 + 1) ** 0.5
        self.num_inference_steps = plan.steps
        self._begin_index = self._step_index = None

    def _compiled(self, grid: Grid) -> Plan:
        sampler = named(self.config["sampler"], self.convention.name == "flow")
        return compiled(sampler, grid, self.convention.prediction, **(self.config["options"] or {}))

    def _tell(self, level: Level, told: Mapping[Level, float]) -> float:
        conv = self.convention
        if level in told and not self.config["whole_times"]:
            return told[level]
        whole = self.config["whole_times"] and conv.name == "table"
        return nearest(conv.process, level.t) if whole else conv.told(level)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin with this entry of ``timesteps``: the plan is compiled from there, its memory empty."""
        self._check_set()
        self._begin_index, self._step_index = begin_index, None
        self._walk = self._from(begin_index)

    def _from(self, first: int) -> Walk | None:
        if not 0 <= first <= self._plan.nfe:
            raise ValueError(
                f"begin_index = {first} is none of the {self._plan.nfe} timesteps: use 0 to {self._plan.nfe - 1}"
            )
        if first == 0:
            return Walk(self._plan)
        if first == self._plan.nfe:
            return None
        if self._grid is None:
            return Walk(self._plan, first)
        if first not in self._starts:
            raise ValueError(
                f"begin_index = {first} falls inside a step of {self._plan.solver}, whose steps begin at the "
                f"evaluations {[k for k in self._starts if k is not None]}: begin at one of them"
            )
        i = self._starts.index(first)
        rest = self._compiled(Grid(self._grid.levels[i:], self._grid.h[i:], self._grid.process, self._grid.end))
        if _asked(rest) != self._levels[first:]:
            raise ValueError(
                f"{self._plan.solver} from level {i} on asks {rest.nfe} times and at other levels than the "
                f"{self._plan.nfe - first} timesteps that are left: begin at 0, or use a sampler without "
                "a start of its own"
            )
        return Walk(rest)

    # --- the pipeline's loop ---

    def scale_model_input(self, sample: Any, timestep: Any = None) -> Any:
        """What the network sees: the state, but for EDM, which divides it by ``sqrt(sigma^2 + sigma_data^2)``."""
        if self.convention.name != "edm":
            return sample
        scale = self.convention.scale(self._levels[self._position(timestep)])
        return sample * scale

    def step(
        self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
    ) -> Any:
        """From the network's answer at ``sample`` to the state at which it is asked next, or to the result.

        Args:
            model_output: of the shape of ``sample``; where the network predicts a variance too, that half is left out.
            timestep: the current entry of ``timesteps``; looked at only at the first call, if the pipeline
                has not called ``set_begin_index``.
            sample: the state that the network saw, as the last call returned it or as the pipeline changed it.
            generator: for plans that draw.

        Raises:
            ValueError: timesteps not set, or all of them done.
        """
        k = self._position(timestep)
        if self._walk is None or self._walk.done:
            raise ValueError(
                f"the plan has done its {self._plan.nfe} evaluations: call set_timesteps before another run"
            )
        moved = self._walk.give(sample, self._native(model_output, sample, k), partial(_drawn, generator))
        self._step_index = k + 1
        return SchedulerOutput(prev_sample=moved) if return_dict else (moved,)

    def _native(self, output: Any, x: Any, k: int) -> Any:
        conv, level = self.convention, self._levels[k]
        if x.dtype not in HALVES or (output.dtype == x.dtype and conv.clip is None):
            return conv.answer(x, output.to(x.dtype), level)
        return conv.answer(x.float(), output.float(), level).to(x.dtype)

    def _position(self, timestep: Any) -> int:
        self._check_set()
        if self._step_index is None:
            if self._begin_index is None:
                first = self._found(timestep)
                self._walk = self._from(first)
            else:
                first = self._begin_index
            self._step_index = first
        return min(self._step_index, self._plan.nfe - 1)

    def _found(self, timestep: Any) -> int:
        own = self.timesteps
        # an entry of timesteps is a view of it: where it lies says which it is, and nothing is read
        if isinstance(timestep, torch.Tensor) and timestep.numel() == 1 and _shared(timestep, own):
            return int(timestep.storage_offset()) - int(own.storage_offset())
        value = float(timestep)
        near = [k for k, t in enumerate(self._told) if abs(t - value) <= 1e-6 * max(1.0, abs(t))]
        if not near:
            raise ValueError(f"timestep {value!r} is none of scheduler.timesteps: call step with one of them")
        return next((k for k in near if k in self._starts), near[0])

    # --- levels, for pipelines that start from images, and for training ---

    def add_noise(self, original_samples: Any, noise: Any, timesteps: Any) -> Any:
        """``alpha x0 + sigma eps`` at each sample's time; at the current level where the pipeline has begun."""
        return self._mixed(original_samples, noise, self._times(timesteps), lambda level: (level.alpha, level.sigma))

    def scale_noise(self, sample: Any, timestep: Any, noise: Any) -> Any:
        """:meth:`add_noise` as schedulers of flow matching call it."""
        return self.add_noise(sample, noise, timestep)

    def get_velocity(self, sample: Any, noise: Any, timesteps: Any) -> Any:
        """The velocity of the process, ``alpha eps - sigma x0`` or ``eps - x0``, at each sample's time."""
        return self._mixed(sample, noise, [self._level(t) for t in _listed(timesteps)], lambda level: level.v)

    def _times(self, timesteps: Any) -> list[Level]:
        if self._begin_index is None:
            return [self._level(t) for t in _listed(timesteps)]
        at = self._begin_index if self._step_index is None else self._step_index
        return [self._levels[at] if at < len(self._levels) else self._plan.stop]

    def _level(self, time: float) -> Level:
        if self._walk is not None:
            for told, level in zip(self._told, self._levels, strict=True):
                if abs(told - time) <= 1e-6 * max(1.0, abs(told)):
                    return level
        return self.convention.at(time)

    def _mixed(self, x0: Any, noise: Any, levels: list[Level], weights: Any) -> Any:
        if len(levels) == 1:
            a, b = weights(levels[0])
            return float(a) * x0 + float(b) * noise
        pairs = torch.tensor([weights(level) for level in levels], dtype=torch.float64)
        shape = (len(levels), *[1] * (x0.ndim - 1))
        a, b = (pairs[:, i].to(x0.dtype).to(x0.device).reshape(shape) for i in (0, 1))
        return a * x0 + b * noise

    def _check_set(self) -> None:
        if self.num_inference_steps is None:
            raise ValueError("the scheduler has no timesteps yet: call set_timesteps(num_inference_steps) first")


def _shared(a: Any, b: Any) -> bool:
    return a.device == b.device and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _asked(plan: Plan) -> list[Level]:
    return [line.level for line in plan.lines if isinstance(line, Eval)]


def _drawn(generator: Any, line: Noise, x: Any) -> Any:
    kind = torch.float32 if x.dtype in HALVES else x.dtype
    return randn_tensor(x.shape, generator=generator, device=x.device, dtype=kind).to(x.dtype)


def _listed(timesteps: Any) -> list[float]:
    return torch.as_tensor(timesteps).reshape(-1).double().tolist()


def _noise(conv: Convention, level: Level) -> float:
    return float(level.sigma if conv.name == "flow" else level.sigma / level.alpha if level.alpha else torch.inf)


def _evaluations_a_step(first: list[int | None]) -> int:
    per = first[1] if len(first) > 1 and first[1] else 1
    return per if all(k == per * i for i, k in enumerate(first)) else 1


def _fixed(data: Mapping[str, Any], conv: Convention, n: int | None, listed: Any) -> Plan:
    plan = Plan.from_json(data)
    if listed is not None:
        raise ValueError("the plan of this scheduler has its own levels: pass num_inference_steps alone")
    if n != plan.steps:
        raise ValueError(f"num_inference_steps = {n} but the plan has {plan.steps} steps: pass {plan.steps}")
    if plan.prediction != conv.prediction:
        raise ValueError(
            f"the plan is for {plan.prediction} prediction and the network predicts {conv.prediction}: "
            f"compile it with prediction={conv.prediction!r}"
        )
    if plan.process.get("name") != conv.process.name:
        raise ValueError(
            f"the plan lies on {plan.process.get('name')} and the network was trained on {conv.process.name}: "
            "compile it on a grid of scheduler.convention.process"
        )
    return plan
