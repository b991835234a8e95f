"""Networks that denoise images, from 0.2 to 100 million parameters, preconditioned for every process and prediction.

The modules are those of diffusers: :class:`UNet` describes a ``UNet2DModel``, :class:`DiT` a ``DiTTransformer2DModel``.
:func:`preconditioned` makes of either a model of ``dn.sample``. A state is ``x = alpha x0 + sigma eps``; with
``d = sigma_data`` and ``r^2 = sigma^2 + alpha^2 d^2`` the module sees ``x / r`` and is told
``c_noise = ln(sigma / alpha) / 4`` (16 times it, so that sinusoids resolve it), and its output ``F`` is read as

    D = (alpha d^2 / r^2) x + (sigma d / r) F,      eps = (sigma / r^2) x - (alpha d / r) F,

the preconditioning of Karras et al. 2022 (table 1, equation 7: their state is ``x / alpha``, their noise
``sigma / alpha``) written so that neither clean data (``sigma = 0``) nor pure noise (``alpha = 0``) divides by zero.
The module's target ``F* = (sigma x0 - alpha d^2 eps) / (d r)`` has mean square 1 at every level if ``d^2 = E[x0^2]``
per pixel; with ``d = 1`` it is minus the velocity of the circle.

As only ``sigma / alpha`` and ``x / alpha`` enter, a module that was trained once serves every process and every
prediction::

    config = dn.images.UNet((8, 8, 1), classes=10)
    module = dn.images.build(config, seed=0)
    network = dn.images.preconditioned(module, dn.Cosine(0.0), "velocity", sigma_data=0.8)
    plan = dn.compile("dpmpp_2m", dn.grid.log_snr(network.process, 20), network.prediction)
    x = dn.sample(plan, network.given(class_labels=torch.tensor([3])), torch.randn(16, *network.shape))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..models import Convention, Network
from ..plan import PREDICTIONS, Level
from ..process import Process

__all__ = ["DiT", "UNet", "build", "count", "preconditioned", "target_pair"]

# beyond it ln(sigma / alpha) is told as if it stood there: e^8 = 2981 times more of one than of the other
FARTHEST = 8.0
# of the told number to the sinusoids of the embedding: the fastest turns once per 1.6 units of ln(sigma / alpha)
TIME_SCALE = 16.0
RAW = ("edm", *(p for p in PREDICTIONS if p != "score"))


@dataclass(frozen=True)
class UNet:
    """A convolutional U-Net with attention (``UNet2DModel``; Ronneberger et al. 2015, Ho et al. 2020).

    Attributes:
        shape: ``(h, w, c)`` of an image; ``h`` and ``w`` are halved at every level but the first.
        width: channels of the first level, a multiple of 8 from 16 on.
        multipliers: channels of each level in units of ``width``.
        blocks: residual blocks at each level.
        attention: for each level, whether its blocks attend; default the last alone. The middle always does.
        classes: number of classes, or 0 for none; label ``classes`` is the null class, "any of them".
        dropout: share of features dropped in training.

    Raises:
        ValueError: a size that cannot be halved so often, an unfit width, ``attention`` of
            another length than ``multipliers``.
    """

    shape: tuple[int, int, int]
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention: tuple[bool, ...] | None = None
    classes: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        h, w, c = self.shape
        halvings = 2 ** (len(self.multipliers) - 1)
        if min(h, w, c) < 1 or h % halvings or w % halvings:
            raise ValueError(
                f"images of {h}x{w}x{c} cannot be halved {len(self.multipliers) - 1} times: give a size that is a "
                f"multiple of {halvings}, or fewer multipliers"
            )
        # of groups of one channel each the normalisation would erase time and class, which are added to whole channels
        if self.width < 16 or self.width % 8:
            raise ValueError(f"width = {self.width} cannot be normalised in 8 groups: use a multiple of 8 from 16 on")
        if self.attention is not None and len(self.attention) != len(self.multipliers):
            raise ValueError(
                f"attention has {len(self.attention)} entries for {len(self.multipliers)} levels: give one for each"
            )
        _check_common(self.classes, self.dropout)


@dataclass(frozen=True)
class DiT:
    """A diffusion transformer (``DiTTransformer2DModel``; Peebles & Xie 2023): every block is told time and class.

    Attributes:
        shape: ``(h, h, c)`` of an image, square.
        patch: side of the square of pixels that is one token.
        heads, head_dim: attention heads and features of each; the width is their product, a multiple of 4.
        layers: transformer blocks.
        classes: number of classes, or 0 for none; label ``classes`` is the null class.
        dropout: share of features dropped in training.

    Raises:
        ValueError: an image that is not square or not made of whole patches.
    """

    shape: tuple[int, int, int]
    patch: int = 2
    heads: int = 4
    head_dim: int = 16
    layers: int = 4
    classes: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        h, w, _ = self.shape
        if h != w or self.patch < 1 or h % self.patch:
            raise ValueError(
                f"images of {h}x{w} are not a square of whole {self.patch}x{self.patch} patches: resize or choose patch"
            )
        if self.heads * self.head_dim % 4:
            raise ValueError(f"the width {self.heads} * {self.head_dim} is not a multiple of 4: change head_dim")
        _check_common(self.classes, self.dropout)


def build(config: UNet | DiT, seed: int = 0) -> Any:
    """The torch module of a configuration, float32, its weights drawn from ``seed``.

    The last layer starts at zero, so the first output is ``F = 0``: the best denoiser that knows no image but the scale
    of the data. In a :class:`DiT` the gates of all blocks start at zero too (adaLN-Zero).
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _unet(config) if isinstance(config, UNet) else _dit(config)
    module.eval()
    return module


def count(config: UNet | DiT) -> int:
    """Number of parameters, without allocating any."""
    import torch

    with torch.device("meta"):
        return sum(p.numel() for p in build(config).parameters())


def preconditioned(
    module: Any, process: Process, prediction: str = "data", sigma_data: float = 0.5, raw: str = "edm"
) -> Network:
    """``module`` as a model of ``dn.sample`` for plans on ``process`` compiled for ``prediction``.

    Args:
        module: built by :func:`build`, or another with ``config.sample_size`` and ``config.in_channels`` whose first
            argument is the state and which takes ``timestep`` (and ``class_labels``).
        process: any noise process.
        prediction: ``"data"``, ``"noise"``, ``"velocity"`` or ``"score"``: what the model is to return.
        sigma_data: root mean square of the data's pixels, ``d``.
        raw: what the module's output is: ``"edm"``, ``F`` of the equations above; or ``"data"``, ``"noise"``,
            ``"velocity"`` of the circle (``cos eps - sin x0``), whatever the process. With ``"noise"`` pure noise
            determines no image, with ``"data"`` a clean image no noise.

    Returns:
        A :class:`diffnum.models.Network`, states ``(n, c, h, w)`` of any float dtype. With classes it answers for
        the null class until ``network.given(class_labels=...)`` names a class for all, shape ``(1,)``, or for each.

    Raises:
        ValueError: an unknown ``raw`` or ``prediction``; no process; ``sigma_data`` that is not positive.
    """
    import torch

    if raw not in RAW:
        raise ValueError(f"raw = {raw!r} is unknown: use one of {', '.join(RAW)}")
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction = {prediction!r} is unknown: use one of {', '.join(PREDICTIONS)}")
    if isinstance(process, type) or not all(callable(getattr(process, name, None)) for name in ("level", "at")):
        raise ValueError(f"process = {process!r} is no noise process: pass one, such as dn.VP()")
    if not (sigma_data > 0 and math.isfinite(sigma_data)):
        raise ValueError(f"sigma_data = {sigma_data} is no scale: use the root mean square of the pixels")
    convention = Convention(
        name="edm" if raw == "edm" else "log_ratio",
        process=process,
        prediction=prediction,
        told=lambda level: TIME_SCALE * _told(level),
        at=lambda t: process.at(-4 * t / TIME_SCALE),
        scale=lambda level: 1.0 / _root(level, sigma_data),
        read=_reading(raw, prediction, sigma_data),
    )
    null = null_label(module)
    labels = {} if null is None else {"class_labels": torch.tensor([null], device=device_of(module))}
    return Network(module, convention, labels)


def target_pair(raw: str, alpha: Any, sigma: Any, d: float) -> tuple[Any, Any]:
    """``(p0, p1)`` of the module's target ``F = p0 x0 + p1 eps`` at ``alpha x0 + sigma eps``, numbers or tensors; see
    :func:`preconditioned` for ``raw`` and :mod:`diffnum.images.networks` for the equation of ``"edm"``."""
    if raw == "edm":
        r = (sigma**2 + (alpha * d) ** 2) ** 0.5
        return sigma / (d * r), -alpha * d / r
    if raw == "velocity":
        norm = (alpha**2 + sigma**2) ** 0.5
        return -sigma / norm, alpha / norm
    return (1.0, 0.0) if raw == "data" else (0.0, 1.0)


def device_of(module: Any) -> Any:
    """Where a module's parameters are; the CPU for one without any."""
    import torch

    return next((p.device for p in module.parameters()), torch.device("cpu"))


def null_label(module: Any) -> int | None:
    """The label that stands for "any class", or None for a network without classes."""
    embeddings = getattr(module.config, "num_embeds_ada_norm", None)
    if embeddings is not None:
        return int(embeddings)
    given = getattr(module.config, "num_class_embeds", None)
    return None if given is None else int(given) - 1


def _check_common(classes: int, dropout: float) -> None:
    if classes < 0:
        raise ValueError(f"classes = {classes} is no number of classes: use 0 for none")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout = {dropout} is no share: use a number from 0 to below 1")


def _unet(config: UNet) -> Any:
    from diffusers import UNet2DModel
    from torch import nn

    levels = len(config.multipliers)
    attends = config.attention or (*(False,) * (levels - 1), True)
    h, w, c = config.shape
    module = UNet2DModel(
        sample_size=(h, w),
        in_channels=c,
        out_channels=c,
        block_out_channels=tuple(config.width * m for m in config.multipliers),
        layers_per_block=config.blocks,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        norm_num_groups=8,
        attention_head_dim=8 * max(1, config.width // 32),
        dropout=config.dropout,
        num_class_embeds=config.classes + 1 if config.classes else None,
    )
    nn.init.zeros_(module.conv_out.weight)
    nn.init.zeros_(module.conv_out.bias)  # type: ignore[arg-type]
    return module


def _dit(config: DiT) -> Any:
    from diffusers import DiTTransformer2DModel
    from torch import nn

    module = DiTTransformer2DModel(
        sample_size=config.shape[0],
        patch_size=config.patch,
        in_channels=config.shape[2],
        out_channels=config.shape[2],
        num_attention_heads=config.heads,
        attention_head_dim=config.head_dim,
        num_layers=config.layers,
        dropout=config.dropout,
        num_embeds_ada_norm=max(config.classes, 1),
    )
    for block in module.transformer_blocks:
        modulation: Any = block.norm1
        nn.init.zeros_(modulation.linear.weight)
        nn.init.zeros_(modulation.linear.bias)
        # it would replace labels by the null class from torch's global generator, which no restart could repeat
        modulation.emb.class_embedder.dropout_prob = 0.0
    nn.init.zeros_(module.proj_out_2.weight)
    nn.init.zeros_(module.proj_out_2.bias)
    return module


def _told(level: Level) -> float:
    return max(-FARTHEST, min(FARTHEST, -float(level.lam))) / 4


def _root(level: Level, d: float) -> float:
    return math.hypot(float(level.sigma), float(level.alpha) * d)


def _reading(raw: str, prediction: str, d: float) -> Callable[[Level], tuple[float, float]]:
    """``(a, b)`` of ``prediction = a x + b F``, from ``F = p0 x0 + p1 eps`` and ``x = alpha x0 + sigma eps``."""

    def read(level: Level) -> tuple[float, float]:
        alpha, sigma = float(level.alpha), float(level.sigma)
        p0, p1 = target_pair(raw, alpha, sigma, d)
        q0, q1 = _quantity(level, prediction)
        det = alpha * p1 - sigma * p0
        return (q0 * p1 - q1 * p0) / det, (alpha * q1 - sigma * q0) / det

    return read


def _quantity(level: Level, prediction: str) -> tuple[float, float]:
    """``(q0, q1)`` of ``prediction = q0 x0 + q1 eps``."""
    if prediction == "score":
        return 0.0, -1.0 / float(level.sigma)
    q0, q1 = {"data": (1.0, 0.0), "noise": (0.0, 1.0), "velocity": level.v}[prediction]
    return float(q0), float(q1)
