"""The share of a run that is not the network's: DPM-Solver++ 2M with small U-Nets, in every library.

All libraries call the same network, with the same times: what they take it to predict makes no difference to its time.
A run is counted from its first call of the network to its end, so that what a scheduler does once is left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...images import UNet, build, preconditioned, pretrained
from ...process import VP
from .cases import named
from .clock import Clock, Lap
from .libraries import Draws, levels, subjects
from .steps import STEPS

__all__ = ["NETWORKS", "NetworkRow", "end_to_end"]


def _digits(device: str) -> Any:
    return pretrained("digits", VP(), device=device)


def _small(device: str) -> Any:
    return preconditioned(build(UNet((32, 32, 3), width=32)).to(device), VP())


# by name: how it is made, and the batches it is asked for
NETWORKS: dict[str, tuple[Callable[[str], Any], tuple[int, ...]]] = {
    "digits 8x8": (_digits, (1, 16)),
    "U-Net 32x32": (_small, (1, 4)),
}


@dataclass(frozen=True)
class NetworkRow:
    """A line of the table of networks.

    Attributes:
        network, batch, library, prediction, device: what was run.
        outside: share of the time of a run that is spent outside ``network(x, level)``, the median over turns.
        to_ours: its time outside, relative to that of :func:`dn.sample` on the same prediction.
        adapter: share of a run that ``network(x, level)`` spends outside the torch module.
        turns: how often it was run.
    """

    network: str
    batch: int
    library: str
    prediction: str
    device: str
    outside: float
    to_ours: float
    adapter: float
    turns: int


class _Timed:
    """A network with marks around it and around its module, and times in turn."""

    def __init__(self, network: Any, clock: Clock) -> None:
        self.network, self.clock = network, clock
        self.at = levels(STEPS)
        self.calls: list[tuple[Any, Any]] = []
        self.inner: list[tuple[Any, Any]] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        start = self.clock.mark()
        output = self.network(x, self.at[len(self.calls) % STEPS])
        self.calls.append((start, self.clock.mark()))
        return output

    def shares(self, end: Any) -> tuple[float, float, float]:
        """Time outside, its share of the whole, and the share of the adapter."""
        total = self._seconds([(self.calls[0][0], end)])
        called, module = self._seconds(self.calls), self._seconds(self.inner)
        return total - called, (total - called) / total, (called - module) / total

    def _seconds(self, pairs: list[tuple[Any, Any]]) -> float:
        lap = sum(self.clock.laps(pairs), Lap(0.0, 0.0))
        return lap.cpu if self.clock.device == "cpu" else lap.wall


def end_to_end(
    name: str, batch: int, device: str = "cpu", turns: int = 7, libraries: Sequence[str] | None = None
) -> list[NetworkRow]:
    """The rows of one network at one batch.

    Raises:
        ValueError: an unknown network, a batch or turns below 1.
    """
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown: use one of {', '.join(NETWORKS)}")
    if min(batch, turns) < 1:
        raise ValueError(f"batch = {batch!r}, turns = {turns!r} measure nothing: use at least 1 of each")
    network = NETWORKS[name][0](device)
    x = torch.randn((batch, *network.shape), generator=torch.Generator().manual_seed(0)).to(device)
    those = subjects(named("DPM-Solver++ 2M")[0], STEPS, Draws(x), device, libraries)
    clock = Clock(device)
    found: list[list[tuple[float, float, float]]] = [[] for _ in those]
    for turn in range(turns + 1):
        for subject, shares in zip(those, found, strict=True):
            measured = _run(subject.run, network, x, clock)
            shares += [measured] if turn else []  # the first warms up
    outside = [statistics.median(s[0] for s in shares) for shares in found]
    own = {s.prediction: t for s, t in zip(those, outside, strict=True) if s.library == "diffnum"}
    return [
        NetworkRow(
            name,
            batch,
            subject.library,
            subject.prediction,
            device,
            statistics.median(s[1] for s in shares),
            took / own[subject.prediction],
            statistics.median(s[2] for s in shares),
            turns,
        )
        for subject, shares, took in zip(those, found, outside, strict=True)
    ]


def _run(run: Callable[..., Any], network: Any, x: torch.Tensor, clock: Clock) -> tuple[float, float, float]:
    timed = _Timed(network, clock)
    begun: list[Any] = []
    before = network.module.register_forward_pre_hook(lambda module, given: begun.append(clock.mark()))
    after = network.module.register_forward_hook(
        lambda module, given, output: timed.inner.append((begun[-1], clock.mark()))
    )
    try:
        with torch.no_grad():
            run(timed, x)
        return timed.shares(clock.mark())
    finally:
        before.remove()
        after.remove()
