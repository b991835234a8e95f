"""Small pipelines of diffusers with random weights, made where they are needed."""

from __future__ import annotations

import inspect
import warnings
from functools import cache
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline

from diffnum.interop.diffusers import PlanScheduler

__all__ = [
    "IMAGE",
    "SHAPE",
    "Denoising",
    "V",
    "apart",
    "in_single",
    "label",
    "network",
    "noise",
    "ours",
    "scheduler",
    "walked",
]

SHAPE = (2, 3, 8, 8)
V = {"prediction_type": "v_prediction"}
BLOCKS = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}


@cache
def network(kind: str = "unet", seed: int = 0) -> Any:
    """A network with a few thousand weights: ``unet``, ``conditional``, ``dit`` or ``sd3``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = {"unet": _unet, "conditional": _conditional, "dit": _dit, "sd3": _sd3}[kind]()
    return made.eval().requires_grad_(False)


def _unet() -> Any:
    down, up = ("DownBlock2D", "DownBlock2D"), ("UpBlock2D", "UpBlock2D")
    return diffusers.UNet2DModel(8, 3, 3, down_block_types=down, up_block_types=up, **BLOCKS)


def _conditional() -> Any:
    down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    return diffusers.UNet2DConditionModel(
        8, 3, 3, down_block_types=down, up_block_types=up, cross_attention_dim=8, attention_head_dim=4, **BLOCKS
    )


def _dit() -> Any:
    # pipelines reserve class 1000 for none
    made = diffusers.DiTTransformer2DModel(
        2, 8, in_channels=3, out_channels=6, num_layers=2, sample_size=8, num_embeds_ada_norm=1000, norm_num_groups=4
    )
    # its last layer starts at zero
    torch.nn.init.normal_(made.proj_out_2.weight, std=0.1)
    return made


def _sd3() -> Any:
    return diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=3,
        out_channels=3,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        caption_projection_dim=16,
        pooled_projection_dim=8,
        pos_embed_max_size=8,
    )


def noise(seed: int = 1, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


IMAGE = noise(5).clamp(-1, 1)


def label(value: Any) -> Any:
    return "-".join(f"{k}={v}" for k, v in value.items()) or "default" if isinstance(value, dict) else value


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, over the largest pixel."""
    return float((a - b).abs().max() / a.abs().max())


def ours(theirs: Any, sampler: str, **more: Any) -> PlanScheduler:
    """A plan's scheduler in the place of ``theirs``."""
    return PlanScheduler.from_config(theirs.config, sampler=sampler, **more)


def scheduler(name: str, **config: Any) -> Any:
    with warnings.catch_warnings():
        # deprecations between diffusers, numpy and torch are theirs to settle
        warnings.simplefilter("ignore")
        return getattr(diffusers, name)(**config)


class Denoising(DiffusionPipeline):
    """The loop that pipelines have: custom levels, images to start from, guidance and a callback; no decoder."""

    def __init__(self, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        n: int | None = 8,
        start: int = 0,
        image: torch.Tensor | None = None,
        say: bool = True,
        guidance: float = 1.0,
        conditions: Any = None,
        callback: Any = None,
        seed: int = 1,
        **timing: Any,
    ) -> torch.Tensor:
        s, generator = self.scheduler, torch.Generator().manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            s.set_timesteps(*([] if n is None else [n]), **timing)
        times = s.timesteps[start * s.order :]
        if say and hasattr(s, "set_begin_index"):
            s.set_begin_index(start * s.order)
        x = torch.randn(SHAPE, generator=generator)
        if image is not None:
            x = s.scale_noise(image, times[:1], x) if hasattr(s, "scale_noise") else s.add_noise(image, x, times[:1])
        else:
            x = x * getattr(s, "init_noise_sigma", 1.0)
        takes = inspect.signature(s.step).parameters
        more = {"generator": generator} if "generator" in takes else {}
        for i, t in enumerate(times):
            seen = s.scale_model_input(x, t) if hasattr(s, "scale_model_input") else x
            output = self._asked(seen, t, guidance, conditions)
            x = s.step(output, t, x, return_dict=False, **more)[0]
            if callback is not None:
                x = callback(i, t, x)
        return x

    def _asked(self, x: torch.Tensor, t: Any, guidance: float, conditions: Any) -> torch.Tensor:
        if conditions is None:
            return self.unet(x, t).sample
        without = self.unet(x, t, encoder_hidden_states=torch.zeros_like(conditions)).sample
        return without + guidance * (self.unet(x, t, encoder_hidden_states=conditions).sample - without)


def walked(scheduler: Any, kind: str = "unet", **call: Any) -> torch.Tensor:
    """What :class:`Denoising` makes with this scheduler."""
    return Denoising(network(kind), scheduler)(**call)


class _Rounded(torch.nn.Module):
    """A network each of whose answers is off by one unit of single precision, up or down."""

    def __init__(self, network: Any, seed: int) -> None:
        super().__init__()
        self.network, self.generator = network, torch.Generator().manual_seed(seed)

    @property
    def config(self) -> Any:
        return self.network.config

    def forward(self, *args: Any, **more: Any) -> Any:
        made = self.network(*args, **more)
        sign = torch.randint(0, 2, made.sample.shape, generator=self.generator) * 2 - 1
        made.sample = made.sample + 2**-24 * made.sample.abs().max() * sign
        return made


def in_single(scheduler: Any, kind: str = "unet", **call: Any) -> float:
    """How far :func:`apart` two runs of one sampler in single precision may end, on any processor.

    Ten times what one rounding of every answer of the network changes: how much a sampler and its levels magnify
    roundings differs by a factor of twenty between schedulers, and how many there are by a few between processors.
    """
    exact = walked(scheduler, kind, **call)
    return 10 * max(apart(exact, Denoising(_Rounded(network(kind), seed), scheduler)(**call)) for seed in (2, 3))
