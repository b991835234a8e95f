"""One step of every sampler in every library: time, kernels, bytes, memory, host reads, scalar work.

Runs of :data:`STEPS` steps are measured in the middle, where histories are full and no order is lowered for the end: a
step is what lies between a call of the network and that of the next step. All that run a case take turns, in one
process; a time is the median over turns and steps, of processor time on a CPU and of events on a GPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import torch

from ...read.cost import cost
from ...solvers import ALL
from ...trace import compile
from .cases import Case
from .clock import Clock, Lap, one_pass, spread, typical
from .ideal import least, of_step, stages
from .libraries import COMPILED, OURS, Draws, Subject, levels, subjects
from .network import Enough, Stored, outputs_like
from .traffic import Counts, Traffic, compiled_regions

__all__ = ["DTYPES", "SHAPES", "STEPS", "StepRow", "check", "counted", "counted_compiled", "measure"]

STEPS = 8
FIRST = 3
SHAPES = ((16, 4, 64, 64), (64, 3, 256, 256))
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# a state of more bytes is run less often
LARGE = 8e6


@dataclass(frozen=True)
class StepRow:
    """A line of the table of steps; tensors are counted in units of the state.

    Attributes:
        case, library, sampler, prediction, shape, dtype, device: what was run.
        time: of a step, relative to that of :func:`dn.sample` on the same prediction (processor time, GPU: events).
        wall: likewise by the least wall time.
        to_ideal: its time relative to that of the ideal traffic at the measured rate of ``torch.add(x, y, out=z)``.
        spread: half the distance between the quartiles of its times, relative to their median.
        kernels: operations on full-size tensors, in parts where they are on blocks.
        moved: tensors read and written.
        ideal: tensors that must be, see :mod:`~diffnum.lab.bench.ideal`.
        passes: tensors that the lines of our plan move one by one; empty for other libraries.
        extra: most tensors alive at once that the run made, the network's outputs among them, ``x_T`` not.
        live: registers that ``dn.cost`` predicts for that; empty for other libraries.
        scalar: operations on small tensors.
        host: numbers given to Python.
        waits: times that the host waited for a GPU; empty on a CPU.
        turns: how often it was run.
    """

    case: str
    library: str
    sampler: str
    prediction: str
    shape: str
    dtype: str
    device: str
    time: float
    wall: float
    to_ideal: float
    spread: float
    kernels: float
    moved: float
    ideal: int
    passes: str
    extra: float
    live: str
    scalar: int
    host: int
    waits: str
    turns: int


def measure(
    case: Case,
    shape: tuple[int, ...],
    dtype: str = "float32",
    device: str = "cpu",
    turns: int | None = None,
    libraries: Sequence[str] | None = None,
) -> list[StepRow]:
    """The rows of one case.

    Args:
        turns: runs of each; by default as many as the size of the state allows.

    Raises:
        ValueError: an unknown dtype, no turns, a library or a device that is not here.
    """
    check(dtype, device, turns)
    x = _state(shape, DTYPES[dtype], device)
    large = x.nbytes > LARGE
    turns = turns or (2 if large else 15)
    draws, outputs = Draws(x), outputs_like(x)
    those = subjects(case, STEPS, draws, device, libraries)
    plan = compile(ALL[case.ours], levels(STEPS))
    each = stages(plan)
    timed = 2 if large else 3
    last = (FIRST + timed) * each
    end = last if large else None
    # what is compiled is compiled now, and counted after its times were taken: counting costs it time
    counts = [None if s.library in COMPILED else counted(s, x, outputs, each, end) for s in those]
    for subject in (s for s in those if s.library in COMPILED):
        _walk(subject, Stored(x, last=end, outputs=outputs), x)
    laps: list[list[Lap]] = [[] for _ in those]
    passes: list[Lap] = []
    clock, once = Clock(device), one_pass(x)
    for _ in range(turns):
        passes += [clock.time(once) for _ in range(timed)]
        for subject, found in zip(those, laps, strict=True):
            network = Stored(x, clock, last, outputs=outputs)
            _walk(subject, network, x)
            found += network.steps(FIRST, timed, each)
    counts = [c or counted_compiled(s, x, outputs, each, end) for s, c in zip(those, counts, strict=True)]
    _unharmed(outputs, outputs_like(x))
    third = typical(passes, device) / 3
    own = {s.prediction: found for s, found in zip(those, laps, strict=True) if s.library == OURS[0]}
    rows = []
    for subject, found, count in zip(those, laps, counts, strict=True):
        base = own[subject.prediction]
        ideal = least(ALL[case.ours], levels(STEPS), subject.prediction, FIRST + 1)
        time = typical(found, device)
        rows.append(
            StepRow(
                case.name,
                subject.library,
                subject.sampler,
                subject.prediction,
                "x".join(map(str, shape)),
                dtype,
                device,
                time / typical(base, device),
                min(lap.wall for lap in found) / min(lap.wall for lap in base),
                time / (third * ideal.moved),
                spread(found, device),
                count.step.kernels,
                count.step.moved / x.nbytes,
                ideal.moved,
                *_predicted(subject, case, count, x),
                count.step.scalar,
                count.step.host,
                "" if count.waits is None else str(count.waits),
                turns,
            )
        )
    return rows


def _predicted(subject: Subject, case: Case, count: Counted, x: torch.Tensor) -> tuple[str, float, str]:
    extra = count.peak / x.nbytes
    if subject.library not in OURS:
        return "", extra, ""
    plan = compile(ALL[case.ours], levels(STEPS), subject.prediction)
    return str(of_step(plan, FIRST + 1).passes), extra, str(cost(plan).live)


@dataclass(frozen=True)
class Counted:
    """What a run does to tensors: in its middle ``step``, at its ``peak`` in bytes, and how often it ``waits``."""

    step: Counts
    peak: int
    waits: int | None


def counted(
    subject: Subject, x: torch.Tensor, outputs: list[torch.Tensor], each: int, last: int | None = None
) -> Counted:
    """One run of ``subject`` under :class:`~diffnum.lab.bench.traffic.Traffic`, with a network that makes new tensors.

    Args:
        each: calls of the network in a step.
        last: the call at which the run ends early; None for a whole run.
    """
    with Traffic(x.numel()) as traffic:
        _walk(subject, Stored(x, last=last, traffic=traffic, outputs=outputs), x)
    return Counted(_middle(traffic, each), traffic.peak, _waits(subject, x, outputs, each))


def counted_compiled(
    subject: Subject, x: torch.Tensor, outputs: list[torch.Tensor], each: int, last: int | None = None
) -> Counted:
    """:func:`counted` of what torch compiles; nan where this torch cannot tell.

    A compiled region counts as many kernels as the compiler made of all regions, divided by their number.
    """
    with compiled_regions() as made:
        if made is None:
            unknown = float("nan")
            return Counted(Counts(unknown, unknown, unknown, unknown, unknown), unknown, None)  # type: ignore[arg-type]
        _walk(subject, Stored(x, last=last, outputs=outputs), x)
        kernels = made()
        with Traffic(x.numel()) as traffic:
            _walk(subject, Stored(x, last=last, traffic=traffic, outputs=outputs), x)
        step = _middle(traffic, each)
        if traffic.regions:
            step = replace(step, kernels=step.kernels * kernels / len(traffic.regions))
        return Counted(step, traffic.peak, _waits(subject, x, outputs, each))


def _middle(traffic: Traffic, each: int) -> Counts:
    first = 1 + (FIRST + 1) * each
    return sum(traffic.pieces[first : first + each], Counts())


def _waits(subject: Subject, x: torch.Tensor, outputs: list[torch.Tensor], each: int) -> int | None:
    if not x.is_cuda:
        return None
    seen: list[int] = []
    with warnings.catch_warnings(record=True) as caught, _telling():
        warnings.simplefilter("always")
        network = Stored(x, outputs=outputs)

        def counting(state: torch.Tensor) -> torch.Tensor:
            seen.append(sum("synchroniz" in str(w.message) for w in caught))
            return network(state)

        _walk(subject, counting, x)
    first = (FIRST + 1) * each
    return seen[first + each] - seen[first]


@contextmanager
def _telling() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _walk(subject: Subject, network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> None:
    with torch.no_grad(), suppress(Enough):
        subject.run(network, x)


def check(dtype: str, device: str, turns: int | None) -> None:
    """Refuses what :func:`measure` refuses."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is unknown: use one of {', '.join(DTYPES)}")
    if turns is not None and turns < 1:
        raise ValueError(f"turns = {turns!r} measure nothing: use at least 1")
    kind = device.partition(":")[0]
    if kind != "cpu" and not (kind == "cuda" and torch.cuda.is_available()):
        raise ValueError(f"device {device!r} is not here: use cpu{', or cuda' if torch.cuda.is_available() else ''}")


def _state(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device=device, dtype=dtype)


def _unharmed(used: list[torch.Tensor], fresh: list[torch.Tensor]) -> None:
    if not all(torch.equal(a, b) for a, b in zip(used, fresh, strict=True)):
        raise ValueError("a sampler changed what the network returned: no time of this case means anything")
