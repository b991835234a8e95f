"""Networks of diffusers as models ``model(x, level)``.

.. code-block:: python

    network = dn.models.from_diffusers("path/or/hub-id")
    plan = dn.compile("dpmpp_2m", dn.grid.karras(network.process, 10, stop=0, end="zero"), network.prediction)
    x = dn.sample(plan, network, torch.randn(4, *network.shape))
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..plan import Level
from ..process import Process
from .convention import Convention, completed, convention
from .rounding import nearest

__all__ = ["Network", "from_diffusers"]

# what a pipeline calls the network that it asks at every step
PARTS = ("unet", "transformer", "prior")


@dataclass(frozen=True)
class Network:
    """A network with the convention of its scheduler's config: ``network(x, level)`` is the plan's prediction.

    Attributes:
        module: the torch module; its first argument is the state, another is ``timestep``.
        convention: see :class:`~diffnum.models.convention.Convention`.
        conditions: further keywords of every call, such as ``encoder_hidden_states`` or ``class_labels``.
        whole_times: round the told time to an integer, for networks with a table of time embeddings; what that costs
            is :func:`~diffnum.models.rounding.rounding_error`.
        time_scale: factor of the told time, for transformers that multiply it by 1000 themselves (0.001).
    """

    module: Any
    convention: Convention
    conditions: Mapping[str, Any] = field(default_factory=dict)
    whole_times: bool = False
    time_scale: float = 1.0

    @property
    def process(self) -> Process:
        """The noise process of the config."""
        return self.convention.process

    @property
    def prediction(self) -> str:
        """What plans for this network must be compiled for."""
        return self.convention.prediction

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of a state, where the module's config says so."""
        config = self.module.config
        size = config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return config.in_channels, height, width

    def given(self, **conditions: Any) -> Network:
        """The same network under other conditions."""
        return replace(self, conditions={**self.conditions, **conditions})

    def told(self, level: Level) -> float:
        """The number that stands for ``level`` at the network's time input."""
        told = self.convention.told(level)
        return (nearest(self.process, told) if self.whole_times else told) * self.time_scale

    def __call__(self, x: Any, level: Level) -> Any:
        """``(batch, channels, ...)`` in the dtype of ``x``.

        Raises:
            ValueError: ``x`` is no tensor.
        """
        import torch

        n, dtype, scale = self._batch(x), self._dtype(x), self.convention.scale(level)
        seen = x if scale == 1.0 else x * scale
        # filled where it is needed: a copy from the host would be waited for
        told = torch.full((n,), self.told(level), dtype=torch.float32, device=x.device)
        output = self._ask(seen if seen.dtype is dtype else seen.to(dtype), told, self.conditions)
        output = output[0] if isinstance(output, tuple) else output.sample
        return self.convention.answer(x, output if output.dtype is x.dtype else output.to(x.dtype), level)

    def at(self, xs: Any, levels: Sequence[Level]) -> Any:
        """``(p, batch, channels, ...)`` at ``p`` levels, in one call of the module; see
        :func:`diffnum.parallel.together`.

        Conditions that have one entry per sample are repeated for every level. Agrees with a call for each level to the
        rounding of a batch of another size.

        Raises:
            ValueError: ``xs`` is no tensor.
        """
        import torch

        n, dtype = self._batch(xs[0]), self._dtype(xs[0])
        scales = [self.convention.scale(level) for level in levels]
        seen = [(x if scale == 1.0 else x * scale).to(dtype) for x, scale in zip(xs, scales, strict=True)]
        told = [torch.full((n,), self.told(level), dtype=torch.float32, device=xs[0].device) for level in levels]
        output = self._ask(torch.cat(seen), torch.cat(told), _repeated(self.conditions, n, len(levels)))
        output = output[0] if isinstance(output, tuple) else output.sample
        parts = output.to(xs[0].dtype).split(n)
        answers = [self.convention.answer(x, part, level) for x, part, level in zip(xs, parts, levels, strict=True)]
        return torch.stack(answers)

    def _batch(self, x: Any) -> int:
        import torch

        if not isinstance(x, torch.Tensor):
            raise ValueError(f"a network of diffusers was given a {type(x).__name__}: give a torch tensor as x_T")
        return x.shape[0]

    def _dtype(self, x: Any) -> Any:
        """What the module computes in, which may have been changed since it was asked last."""
        return next(iter(self.module.parameters()), x).dtype

    @cached_property
    def _ask(self) -> Callable[[Any, Any, Mapping[str, Any]], Any]:
        names = list(inspect.signature(self.module.forward).parameters)
        state = names[0]
        return lambda x, t, conditions: self.module(**{state: x, "timestep": t, **conditions})


def _repeated(conditions: Mapping[str, Any], n: int, times: int) -> dict[str, Any]:
    """Conditions with one entry for each of ``n`` samples, for ``times`` batches of them."""
    return {name: _repeat(value, n, times) for name, value in conditions.items()}


def _repeat(value: Any, n: int, times: int) -> Any:
    if isinstance(value, Mapping):
        return _repeated(value, n, times)
    own = times > 1 and hasattr(value, "repeat") and len(getattr(value, "shape", ())) and len(value) == n
    return value.repeat(times, *(1,) * (len(value.shape) - 1)) if own else value


def from_diffusers(
    source: str | os.PathLike[str] | Any,
    scheduler: Mapping[str, Any] | Any = None,
    part: str | None = None,
    whole_times: bool = False,
    time_scale: float = 1.0,
    conditions: Mapping[str, Any] | None = None,
    **load: Any,
) -> Network:
    """A network of diffusers, with the noise process and the prediction of its scheduler's config.

    Args:
        source: a folder written by ``save_pretrained``, a hub id, a pipeline, or the network itself.
        scheduler: a scheduler or its config; default the source's own.
        part: which network of a pipeline; default its ``unet``, ``transformer`` or ``prior``.
        whole_times, time_scale, conditions: see :class:`Network`.
        load: keywords of ``from_pretrained``, such as ``local_files_only=True``, ``revision``, ``torch_dtype``.

    Raises:
        ValueError: no network or no scheduler in the source; weights that are not safetensors; a config whose process
            is unknown.
    """
    import torch

    if isinstance(source, (str, os.PathLike)):
        module, found = _loaded(os.fspath(source), part, load)
    elif isinstance(source, torch.nn.Module):
        module, found = source, None
    else:
        module, found = getattr(source, _part(source.config, part)), source.scheduler
    given = scheduler if scheduler is not None else found
    if given is None:
        raise ValueError(f"{type(module).__name__} comes without a scheduler's config: pass scheduler=config")
    conv = convention(completed(given))
    return Network(module, conv, dict(conditions or {}), whole_times, time_scale)


def _part(index: Mapping[str, Any], part: str | None) -> str:
    names = [name for name in ((part,) if part else PARTS) if index.get(name)]
    if not names:
        listed = ", ".join(k for k in index if not k.startswith("_"))
        raise ValueError(f"the pipeline has no {part or ' or '.join(PARTS)}: pass part= as one of {listed}")
    return names[0]


def _loaded(source: str, part: str | None, load: Mapping[str, Any]) -> tuple[Any, Any]:
    import diffusers

    hub = {
        k: v for k, v in load.items() if k in ("cache_dir", "force_download", "local_files_only", "revision", "token")
    }
    index: Any = _config(diffusers.DiffusionPipeline, source, hub)
    name = _part(index, part)
    kind = getattr(diffusers, index[name][1], None)
    if kind is None:
        raise ValueError(
            f"{name} of {source} is a {index[name][1]}, which diffusers does not have: load it and pass it"
        )
    try:
        module = kind.from_pretrained(source, subfolder=name, use_safetensors=True, **load)
    except OSError as error:
        raise ValueError(f"{source} has no {name} in safetensors, the only weights that are read: {error}") from error
    # any scheduler's class reads the config of any other
    timing = (
        _config(diffusers.DDPMScheduler, source, {**hub, "subfolder": "scheduler"}) if "scheduler" in index else None
    )
    return module.eval().requires_grad_(False), timing


def _config(kind: Any, source: str, hub: Mapping[str, Any]) -> Any:
    try:
        return kind.load_config(source, **hub)
    except OSError as error:
        raise ValueError(f"{source} holds no pipeline written by save_pretrained: {error}") from error
