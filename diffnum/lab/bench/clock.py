"""Time between two points of a run: on a CPU processor and wall time, on a GPU events of its stream.

Processor time is that of the whole process and, with one thread, what the code itself took, whoever else uses the
machine; wall time stands beside it. On a GPU a mark is an event in the current stream, so that nothing is waited for
while the run goes on, and processor time is what the host spent on asking.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Clock", "Lap", "one_pass", "one_thread", "seconds", "spread", "typical"]


@dataclass(frozen=True)
class Lap:
    """Seconds between two marks.

    Attributes:
        wall: by the wall clock; by the events of the device where that is a GPU.
        cpu: of the processor.
    """

    wall: float
    cpu: float

    def __add__(self, other: Lap) -> Lap:
        return Lap(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True)
class Clock:
    """Marks on ``device`` and the laps between them."""

    device: str = "cpu"

    def mark(self) -> tuple[Any, float]:
        """Now."""
        if not self.device.startswith("cuda"):
            return time.perf_counter(), time.process_time()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event, time.process_time()

    def laps(self, marks: list[tuple[tuple[Any, float], tuple[Any, float]]]) -> list[Lap]:
        """The laps between pairs of marks; waits for the device."""
        if not self.device.startswith("cuda"):
            return [Lap(b[0] - a[0], b[1] - a[1]) for a, b in marks]
        torch.cuda.synchronize()
        return [Lap(a[0].elapsed_time(b[0]) / 1e3, b[1] - a[1]) for a, b in marks]

    def time(self, run: Callable[[], Any]) -> Lap:
        """One call of ``run``."""
        start = self.mark()
        run()
        return self.laps([(start, self.mark())])[0]


def seconds(run: Callable[[], Any], repeats: int = 5, at_least: float = 0.02, device: str = "cpu") -> Lap:
    """The least processor and the least wall time of ``run`` over ``repeats`` blocks, each of as many calls as take
    ``at_least`` seconds; after one call that is not timed."""
    clock = Clock(device)
    run()
    first = clock.time(run).wall
    calls = max(1, round(at_least / max(first, 1e-9)))
    blocks = [clock.time(lambda: [run() for _ in range(calls)]) for _ in range(repeats)]
    return Lap(min(b.wall for b in blocks) / calls, min(b.cpu for b in blocks) / calls)


def typical(laps: Sequence[Lap], device: str) -> float:
    """The median of ``laps``: of processor time on a CPU, of events on a GPU."""
    return statistics.median(_times(laps, device))


def spread(laps: Sequence[Lap], device: str) -> float:
    """Half the distance between the quartiles of ``laps``, relative to their median."""
    times = sorted(_times(laps, device))
    quarter = len(times) // 4
    return (times[-1 - quarter] - times[quarter]) / 2 / statistics.median(times)


def _times(laps: Sequence[Lap], device: str) -> list[float]:
    return [lap.cpu if device == "cpu" else lap.wall for lap in laps]


def one_pass(x: torch.Tensor) -> Callable[[], Any]:
    """What moves three tensors like ``x`` as quickly as torch does: ``torch.add`` into a buffer."""
    y, z = torch.randn_like(x), torch.empty_like(x)
    return lambda: torch.add(x, y, alpha=0.5, out=z)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread for the length of a ``with`` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
