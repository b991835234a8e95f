"""One linear line ``out = c_1 x_1 + ... + c_k x_k``, computed in every form that an executor could choose.

    plain       the expression, with an array for each product and sum
    in place    the executor's own lines, :meth:`diffnum.read.buffers.Buffers.write`
    ring mv     a stacked history: the registers are rows of one buffer, the line is its product with a vector
    ring mm     the same by a product of matrices
    compiled    what ``dn.fused`` compiles, where there is a compiler
    triton      the kernel of ``dn.triton_lines``, on a GPU that has triton

All of them take turns in one process. A time is the median over turns of a block of calls, of processor time on a CPU
and of events on a GPU, beside that of as many passes of ``torch.add(x, y, out=z)``, which moves three tensors where a
line needs ``k + 1``.

A ring goes on by writing over its oldest row and turning its coefficients, which moves no data, so no copies are
charged here. A run would pay for some: a prediction is copied into its row unless the network writes it there, and so
is whatever is read after its turn is over: the state from which all stages of a Runge-Kutta step, or a predictor and
its corrector, set out, and the second state of a reversible sampler. In 16 bits a product takes its coefficients in 16
bits too; ``sums`` says what it loses apart from that, and so whether it is accumulated in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from ...read.buffers import Buffers, Task, narrow
from ...read.fused import Group, written
from ...read.triton_lines import Lines
from .clock import Clock, Lap, one_pass, spread, typical
from .steps import DTYPES, LARGE, check

__all__ = ["TERMS", "Form", "FormRow", "compare", "forms"]

TERMS = (2, 3, 4, 5, 6)
IN_PLACE = "in place"
# bytes of states that a block of calls passes over, and the most calls
_BLOCK = {"cpu": 1e8, "other": 1e9}
_CALLS = 1000


@dataclass(frozen=True)
class FormRow:
    """A line of the table of forms.

    Attributes:
        form, terms, shape, dtype, device: what was run.
        to_ideal: time relative to that of moving ``terms + 1`` tensors at the measured rate of ``torch.add``.
        to_in_place: relative to that of the executor's own form.
        spread: half the distance between the quartiles of its times, relative to their median.
        error: largest distance to the line in float64, relative to the largest number of that.
        sums: likewise, where the line in float64 has the coefficients as rounded as the form takes them.
        calls, turns: of how many calls a block, and how many blocks, there were.
    """

    form: str
    terms: int
    shape: str
    dtype: str
    device: str
    to_ideal: float
    to_in_place: float
    spread: float
    error: float
    sums: float
    calls: int
    turns: int


@dataclass(frozen=True)
class Form:
    """``run()`` computes the line and returns it in any shape, by coefficients that are numbers of ``dtype``."""

    name: str
    run: Callable[[], torch.Tensor]
    dtype: torch.dtype = torch.float64


def compare(
    shape: tuple[int, ...],
    dtype: str = "float32",
    device: str = "cpu",
    turns: int | None = None,
    terms: Sequence[int] = TERMS,
) -> list[FormRow]:
    """The rows of one shape and dtype.

    Args:
        turns: blocks of each; by default as many as the size of the state allows.
        terms: how long the lines are.

    Raises:
        ValueError: an unknown dtype, no turns, a device that is not here, a line without terms.
    """
    check(dtype, device, turns)
    if not terms or min(terms) < 1:
        raise ValueError(f"terms = {terms!r} are no lines: use at least one, of at least 1 term")
    return [row for k in terms for row in _line(k, shape, dtype, device, turns)]


def _line(k: int, shape: tuple[int, ...], dtype: str, device: str, turns: int | None) -> list[FormRow]:
    coefficients, values = _given(k, shape, DTYPES[dtype], device)
    ways = forms(coefficients, values)
    errors = [_errors(form, coefficients, values) for form in ways]
    size = values[0].nbytes
    turns = turns or (5 if size > LARGE else 15)
    calls = min(_CALLS, max(1, int(_BLOCK.get(device, _BLOCK["other"]) / size)))
    third, laps = _turns(ways, one_pass(values[0]), calls, turns, device)
    times = {form.name: typical(found, device) for form, found in zip(ways, laps, strict=True)}
    return [
        FormRow(
            form.name,
            k,
            "x".join(map(str, shape)),
            dtype,
            device,
            times[form.name] / (third * (k + 1)),
            times[form.name] / times[IN_PLACE],
            spread(found, device),
            *lost,
            calls,
            turns,
        )
        for form, found, lost in zip(ways, laps, errors, strict=True)
    ]


def _turns(
    ways: Sequence[Form], once: Callable[[], Any], calls: int, turns: int, device: str
) -> tuple[float, list[list[Lap]]]:
    """The time of a third of a pass, and the laps of every form; both of a whole block."""
    clock = Clock(device)
    blocks = [_repeated(run, calls) for run in (once, *(form.run for form in ways))]
    laps: list[list[Lap]] = [[] for _ in blocks]
    for turn in range(turns + 1):
        for block, found in zip(blocks, laps, strict=True):
            lap = clock.time(block)
            found += [lap] if turn else []  # the first warms up
    return typical(laps[0], device) / 3, laps[1:]


def _repeated(run: Callable[[], Any], calls: int) -> Callable[[], None]:
    def block() -> None:
        for _ in range(calls):
            run()

    return block


def _given(
    k: int, shape: tuple[int, ...], dtype: torch.dtype, device: str
) -> tuple[tuple[float, ...], list[torch.Tensor]]:
    """Coefficients and values of a line."""
    generator = torch.Generator().manual_seed(k)
    coefficients = torch.randn(k, generator=generator, dtype=torch.float64)
    values = [torch.randn(shape, generator=generator).to(device=device, dtype=dtype) for _ in range(k)]
    return tuple(coefficients.tolist()), values


def _errors(form: Form, coefficients: Sequence[float], values: Sequence[torch.Tensor]) -> tuple[float, float]:
    found = form.run().double().reshape(values[0].shape)
    taken = torch.tensor(coefficients, dtype=torch.float64).to(form.dtype).tolist()
    exact, given = _exact(coefficients, values), _exact(taken, values)
    return tuple(float((found - line).abs().max() / line.abs().max()) for line in (exact, given))  # type: ignore[return-value]


def _exact(coefficients: Sequence[float], values: Sequence[torch.Tensor]) -> torch.Tensor:
    total = torch.zeros_like(values[0], dtype=torch.float64)
    for c, value in zip(coefficients, values, strict=True):
        total.add_(value.double(), alpha=c)
    return total


# --- the forms ---


def forms(coefficients: Sequence[float], values: Sequence[torch.Tensor]) -> list[Form]:
    """All forms that can be computed here, of a line of contiguous tensors of one kind."""
    out = torch.empty_like(values[0])
    return [
        Form("plain", lambda: _plain(coefficients, values)),
        _buffered(IN_PLACE, Buffers(out, 1), out, coefficients, values),
        *_rings(out, coefficients, values),
        *_compiled(out, coefficients, values),
        *_kernel(out, coefficients, values),
    ]


def _plain(coefficients: Sequence[float], values: Sequence[torch.Tensor]) -> torch.Tensor:
    total = coefficients[0] * values[0]
    for c, value in zip(coefficients[1:], values[1:], strict=True):
        total = total + c * value
    return total


def _buffered(
    name: str, buffers: Buffers, out: torch.Tensor, coefficients: Sequence[float], values: Sequence[torch.Tensor]
) -> Form:
    tasks = [Task(len(values), out, range(len(values)), coefficients, values)]

    def run() -> torch.Tensor:
        buffers.write(tasks)
        return out

    return Form(name, run)


def _rings(out: torch.Tensor, coefficients: Sequence[float], values: Sequence[torch.Tensor]) -> list[Form]:
    ring = torch.stack([value.view(-1) for value in values])
    numbers = torch.tensor(coefficients, dtype=torch.float64).to(out)
    flat, row = out.view(-1), out.view(1, -1)
    return [
        Form("ring mv", lambda: torch.mv(ring.t(), numbers, out=flat), out.dtype),
        Form("ring mm", lambda: torch.mm(numbers[None], ring, out=row), out.dtype),
    ]


def _compiled(out: torch.Tensor, coefficients: Sequence[float], values: Sequence[torch.Tensor]) -> list[Form]:
    k = len(values)
    terms = tuple((i, float(c)) for i, c in enumerate(coefficients))
    write = written(Group((), tuple(range(k)), ((k, terms),), (k,), k), narrow(out.dtype))
    numbers = torch.tensor(coefficients, dtype=torch.float64, device=out.device)
    flat = [value.view(-1) for value in (out, *values)]

    def run() -> torch.Tensor:
        write(numbers, *flat)
        return out

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    # without a compiler the function says so, and runs as it is
    refused = any(issubclass(w.category, RuntimeWarning) for w in caught)
    return [] if refused else [Form("compiled", run)]


def _kernel(out: torch.Tensor, coefficients: Sequence[float], values: Sequence[torch.Tensor]) -> list[Form]:
    if not out.is_cuda or find_spec("triton") is None:
        return []
    return [_buffered("triton", Lines(out, 1), out, coefficients, values)]
