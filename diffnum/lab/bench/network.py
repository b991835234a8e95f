"""The trivial network: it returns stored tensors in turn, so that what is timed is the sampler."""

from __future__ import annotations

from typing import Any

import torch

from .clock import Clock, Lap
from .traffic import Traffic

__all__ = ["Enough", "Stored"]

# more than any history, so that no two predictions of a history are one tensor
KEPT = 4


class Enough(Exception):
    """The steps that are timed are over."""


class Stored:
    """``network(x)``: the next of four stored tensors of the shape of ``x``, and a mark of the clock on both sides.

    Args:
        like: a state; the tensors have its shape, dtype and device, and their numbers come from ``seed``.
        clock: what takes the marks.
        last: raise :class:`Enough` at this call, counted from 0; None never.
        traffic: where given, every call begins another piece of it and returns a fresh copy, as a network does.

    Attributes:
        marks: before and after every call.
    """

    def __init__(
        self,
        like: torch.Tensor,
        clock: Clock | None = None,
        last: int | None = None,
        traffic: Traffic | None = None,
        outputs: list[torch.Tensor] | None = None,
    ) -> None:
        self.outputs = outputs or outputs_like(like)
        self.clock = clock or Clock()
        self.last = last
        self.traffic = traffic
        self.marks: list[tuple[Any, Any]] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        before = self.clock.mark()
        i = len(self.marks)
        output = self.outputs[i % len(self.outputs)]
        if x.shape != output.shape:
            raise ValueError(f"the network was given {tuple(x.shape)} and knows {tuple(output.shape)} only")
        if self.traffic is not None:
            self.traffic.mark()
            with self.traffic.paused():
                output = output.clone()
        if i == self.last:
            self.marks.append((before, before))
            raise Enough
        self.marks.append((before, self.clock.mark()))
        return output

    def steps(self, first: int, steps: int, stages: int) -> list[Lap]:
        """Seconds outside the network in each of ``steps`` steps of ``stages`` calls, from step ``first`` on."""
        calls = range(first * stages, (first + steps) * stages)
        laps = self.clock.laps([(self.marks[c][1], self.marks[c + 1][0]) for c in calls])
        return [sum(laps[i : i + stages], Lap(0.0, 0.0)) for i in range(0, len(laps), stages)]


def outputs_like(x: torch.Tensor, seed: int = 1) -> list[torch.Tensor]:
    """Four tensors of standard normals like ``x``."""
    generator = torch.Generator().manual_seed(seed)
    draws = (torch.randn(x.shape, generator=generator) for _ in range(KEPT))
    return [draw.to(device=x.device, dtype=x.dtype) for draw in draws]
