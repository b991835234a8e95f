"""The share of a run that is not the network's: DPM-Solver++ 2M with small U-Nets, in every library.

All libraries call the same network, with the same times: what they take it to predict makes no difference to its time.
A run is counted from its first call of the network to its end, so that what a scheduler does once is left out. On a GPU
lines by a kernel of triton take part, and runs that take the network along, :mod:`~diffnum.lab.bench.wholes`, which are
counted from end to end.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from ...images import UNet, build, preconditioned, pretrained
from ...plan import Plan
from ...process import VP
from ...solvers import ALL
from ...trace import compile
from .cases import named
from .clock import Clock, Lap
from .libraries import Draws, by_kernel, levels, subjects
from .steps import STEPS
from .wholes import PREDICTION, Whole, bare, wholes

__all__ = ["NETWORKS", "NetworkRow", "check_networks", "end_to_end"]


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
        adapter: share of a run that ``network(x, level)`` spends outside the torch module; nan where nobody can tell.
        run: time of the run, relative to that of :func:`dn.sample` on the same prediction.
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
    run: float
    turns: int


@dataclass(frozen=True)
class _Split:
    """Seconds of a run, those of them outside the network, and those between it and its module."""

    total: float
    outside: float
    adapter: float


@dataclass(frozen=True)
class _Runner:
    """Something that is timed: ``split()`` is one run of it."""

    library: str
    prediction: str
    split: Callable[[], _Split]


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

    def split(self, end: Any) -> _Split:
        """The run that is over at ``end``."""
        pairs = ([(self.calls[0][0], end)], self.calls, self.inner)
        total, called, module = (_seconds(sum(self.clock.laps(p), Lap(0.0, 0.0)), self.clock) for p in pairs)
        return _Split(total, total - called, called - module)


def end_to_end(
    name: str, batch: int, device: str = "cpu", turns: int = 7, libraries: Sequence[str] | None = None
) -> list[NetworkRow]:
    """The rows of one network at one batch.

    Raises:
        ValueError: no diffusers; an unknown network; a batch or turns below 1.
    """
    check_networks()
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown: use one of {', '.join(NETWORKS)}")
    if min(batch, turns) < 1:
        raise ValueError(f"batch = {batch!r}, turns = {turns!r} measure nothing: use at least 1 of each")
    network = NETWORKS[name][0](device)
    x = torch.randn((batch, *network.shape), generator=torch.Generator().manual_seed(0)).to(device)
    clock = Clock(device)
    those = [*_marked(network, x, clock, libraries), *_unmarked(network, x, clock)]
    found: list[list[_Split]] = [[] for _ in those]
    for turn in range(turns + 1):
        for runner, splits in zip(those, found, strict=True):
            split = runner.split()
            splits += [split] if turn else []  # the first warms up
    own = {r.prediction: splits for r, splits in zip(those, found, strict=True) if r.library == "diffnum"}
    return [
        NetworkRow(
            name,
            batch,
            runner.library,
            runner.prediction,
            device,
            statistics.median(s.outside / s.total for s in splits),
            _outside(splits) / _outside(own[runner.prediction]),
            statistics.median(s.adapter / s.total for s in splits),
            _total(splits) / _total(own[runner.prediction]),
            turns,
        )
        for runner, splits in zip(those, found, strict=True)
    ]


def check_networks() -> None:
    """Refuses to time networks that cannot be built here."""
    if find_spec("diffusers") is None:
        raise ValueError(
            "the networks are built by diffusers, which is not installed: run pip install 'diffnum[interop]', or leave "
            "them out by --parts"
        )


def _outside(splits: Sequence[_Split]) -> float:
    return statistics.median(s.outside for s in splits)


def _total(splits: Sequence[_Split]) -> float:
    return statistics.median(s.total for s in splits)


def _marked(network: Any, x: torch.Tensor, clock: Clock, libraries: Sequence[str] | None) -> list[_Runner]:
    """All that ask the network from Python."""
    case, draws = named("DPM-Solver++ 2M")[0], Draws(x)
    those = [*subjects(case, STEPS, draws, clock.device, libraries), *by_kernel(case, STEPS, draws, clock.device)]
    return [_Runner(s.library, s.prediction, partial(_run, s.run, network, x, clock)) for s in those]


def _unmarked(network: Any, x: torch.Tensor, clock: Clock) -> list[_Runner]:
    """All that take the network along; what cannot run says so and is left out."""
    plan = compile(ALL[named("DPM-Solver++ 2M")[0].ours], levels(STEPS), PREDICTION)
    found = []
    for way in wholes(clock.device, len(x)):
        try:
            runner = _whole(way, plan, network, x, clock)
            runner.split()
        except RuntimeError as error:
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            warnings.warn(f"{way.name} cannot run here ({reason}) and is left out", RuntimeWarning, stacklevel=2)
        else:
            found.append(runner)
    return found


def _whole(way: Whole, plan: Plan, network: Any, x: torch.Tensor, clock: Clock) -> _Runner:
    def model(x: torch.Tensor, level: Any) -> torch.Tensor:
        return network(x, level)

    run, alone = way.run(plan, model, x), way.again(bare(plan), model, x)

    def split() -> _Split:
        with torch.no_grad():
            total, inside = (_seconds(clock.time(f), clock) for f in (lambda: run(x), alone))
        return _Split(total, total - inside, float("nan"))

    return _Runner(way.name, PREDICTION, split)


def _run(run: Callable[..., Any], network: Any, x: torch.Tensor, clock: Clock) -> _Split:
    timed = _Timed(network, clock)
    begun: list[Any] = []
    before = network.module.register_forward_pre_hook(lambda module, given: begun.append(clock.mark()))
    after = network.module.register_forward_hook(
        lambda module, given, output: timed.inner.append((begun[-1], clock.mark()))
    )
    try:
        with torch.no_grad():
            run(timed, x)
        return timed.split(clock.mark())
    finally:
        before.remove()
        after.remove()


def _seconds(lap: Lap, clock: Clock) -> float:
    return lap.cpu if clock.device == "cpu" else lap.wall
