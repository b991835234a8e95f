"""Pictures drawn from a network by a plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..grid import log_snr
from ..models import Network
from ..process import Cosine
from ..read.sample import sample
from ..solvers import ALL
from ..trace import compile
from .data import to_images
from .networks import device_of

__all__ = ["draw", "sheet"]


def draw(network: Network, n: int, plan: Any = None, seed: int = 0, labels: Any = None, noise: Any = None) -> Any:
    """``n`` images ``(n, c, h, w)`` of a network, float32, on its device.

    Args:
        plan: compiled for ``network.prediction`` on its process; default 20 steps of ``dpmpp_2m``, equal in log-SNR
            from ``-4`` to ``5`` and then clean, for a network on ``Cosine(0)``.
        seed: of the starting noise, standard normals times ``plan.start``'s ``sigma``.
        labels: classes of shape ``(n,)``, or one for all; default the null class.
        noise: the source of a plan that draws.

    Raises:
        ValueError: no plan for a network on another process than ``Cosine(0)``.
    """
    import torch

    if plan is None:
        if network.process != Cosine(0.0):
            raise ValueError(f"the default plan is on Cosine(0) and the network on {network.process}: give plan=")
        levels = log_snr(network.process, 20, network.process.at(-4.0), network.process.at(5.0), "zero")
        plan = compile(ALL["dpmpp_2m"], levels, network.prediction)
    device = device_of(network.module)
    if labels is not None:
        network = network.given(class_labels=torch.as_tensor(np.atleast_1d(labels), dtype=torch.long, device=device))
    x = torch.randn((n, *network.shape), generator=torch.Generator().manual_seed(seed)).to(device)
    with torch.no_grad():
        return sample(plan, network, x * float(plan.start.sigma), noise=noise)


def sheet(x: Any, path: str | os.PathLike[str], columns: int = 8, side: int = 64) -> None:
    """Images ``(n, c, h, w)`` as a PNG, ``columns`` in a row with lines between them, each enlarged to about ``side``
    pixels without smoothing; replaced as a whole."""
    from PIL import Image

    n, c, h, w = x.shape
    rows = -(-n // columns)
    factor = max(1, side // max(h, w))
    line = 2
    pictures = np.full((rows * columns, h * factor + line, w * factor + line, c), 96, dtype=np.uint8)
    small = to_images(x.permute(0, 2, 3, 1).reshape(n, -1), (h, w, c))
    pictures[:n, line:, line:] = small.repeat(factor, axis=1).repeat(factor, axis=2)
    tall, wide = pictures.shape[1:3]
    tiled = pictures.reshape(rows, columns, tall, wide, c).swapaxes(1, 2).reshape(rows * tall, columns * wide, c)
    image = Image.fromarray(tiled[..., 0] if c == 1 else tiled)
    path = Path(path)
    part = path.with_name(path.name + ".part")
    image.save(part, "png")
    os.replace(part, path)
