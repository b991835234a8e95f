"""Memory that a run writes again, once nobody else holds it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["Buffers", "Task", "alone", "countable", "narrow", "plain"]

# numbers that all lines of a piece pass over before they go on to the next ones, on a CPU: a megabyte in float32
_BLOCK = 1 << 18
# numbers that are accumulated in float32 at once where a state is stored in fewer bits
_WIDE = {"cpu": 1 << 16, "other": 1 << 24}


@dataclass(slots=True)
class Task:
    """``out = sum(c * v)``, added up from the first term given to the last.

    Attributes:
        register: of the result.
        out: where to write it.
        registers, coefficients, values: the terms.
    """

    register: int
    out: Any
    registers: Sequence[int]
    coefficients: Sequence[float]
    values: Sequence[Any]


def narrow(dtype: Any) -> bool:
    """Whether a torch dtype is floating of 16 bits or fewer."""
    return dtype.is_floating_point and dtype.itemsize < 4


def plain(x: Any) -> bool:
    """Whether ``x`` is a torch tensor whose memory a run may manage: dense, floating, neither wrapped nor traced."""
    torch = sys.modules.get("torch")
    if torch is None or type(x) is not torch.Tensor or x.layout is not torch.strided or not x.is_floating_point():
        return False
    level = getattr(torch._C._functorch, "maybe_current_level", lambda: None)()
    forward = torch.autograd.forward_ad._current_level >= 0
    return level is None and not forward and not torch.compiler.is_compiling()


def _holders(tensor: Any) -> tuple[int, int]:
    """How often a tensor's memory is held: its storage as a Python object, and in all."""
    import torch

    storage = tensor.untyped_storage()
    return sys.getrefcount(storage), torch._C._storage_Use_Count(storage._cdata)


def alone(buffer: Any) -> bool:
    """Whether nobody else holds a tensor's memory."""
    return _holders(buffer) == _alone()


@cache
def _alone() -> tuple[int, int]:
    """:func:`_holders` of a tensor that nobody else holds."""
    import torch

    return _holders(torch.empty(1))


@cache
def countable() -> bool:
    """Whether this torch tells who holds memory: a private function, tried out before it is trusted."""
    import torch

    try:
        tensor = torch.empty(2)
        told = alone(tensor)
        for hold in (tensor.detach, tensor.numpy, tensor.untyped_storage, lambda: tensor[:1]):
            held = hold()
            told = told and not alone(tensor)
            del held
        return told and alone(tensor)
    except (AttributeError, TypeError, RuntimeError):
        return False


class Buffers:
    """Memory of one run: tensors of the shape and kind of ``like``, each written again once nobody else holds it.

    Args:
        like: a plain tensor, :func:`plain`.
        most: how many to remember that were given back; older ones that are still held are left to whoever holds them.
    """

    def __init__(self, like: Any, most: int) -> None:
        self.most, self.shape, self.size, self.device = most, like.shape, like.numel(), like.device
        self.kind, self.dtype = type(like), like.dtype
        # not the tensor itself, which somebody may want to be rid of
        self.strides = like.stride() if like.is_contiguous() else _strides(like)
        self.free: list[Any] = []
        self.wide: list[Any] = []

    def take(self) -> Any:
        """A buffer to write. Hand out ``buffer.detach()``, not the buffer itself, which would count as free."""
        import torch

        for i, buffer in enumerate(self.free):
            if alone(buffer):
                return self.free.pop(i)
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=self.device)

    def release(self, buffer: Any) -> None:
        """Give back a buffer that the run does not need any more, whoever else may hold it."""
        self.free.append(buffer)
        if len(self.free) > self.most:
            del self.free[0]

    def fits(self, values: Iterable[Any]) -> bool:
        """Whether combinations of ``values`` may be written into buffers: tensors of one kind without gradients."""
        kind, dtype, shape = self.kind, self.dtype, self.shape
        return all([type(v) is kind and v.dtype is dtype and not v.requires_grad and v.shape == shape for v in values])

    def write(self, tasks: Sequence[Task], repeated: frozenset[int] = frozenset()) -> None:
        """Do ``tasks``, block by block where that saves passes over memory.

        Args:
            repeated: registers that are read more than once.
        """
        if narrow(self.dtype):
            if _contiguous(tasks):
                self._write_wide(tasks, repeated)
            else:
                for task in tasks:
                    task.out.copy_(_wide_sum(task))
        elif self.size > _BLOCK and self.device.type == "cpu" and _contiguous(tasks):
            for block in _blocks(tasks, _BLOCK):
                for out, coefficients, values in block:
                    _add_up(out, coefficients, values)
        else:
            for task in tasks:
                _add_up(task.out, task.coefficients, task.values)

    def _write_wide(self, tasks: Sequence[Task], repeated: frozenset[int]) -> None:
        """In float32, a block at a time, so that no other tensor of the state's size is needed."""
        import torch

        device = self.device
        # a CPU adds 16 bits to 32 in two passes, so that what is read twice is better converted once
        often = sorted(repeated) if device.type == "cpu" else []
        most = min(_WIDE.get(device.type, _WIDE["other"]), max(1, self.size))
        while len(self.wide) <= len(often):
            self.wide.append(torch.empty(most, dtype=torch.float32, device=device))
        for block in _blocks(tasks, most):
            known: dict[int, Any] = {}
            for task, (out, coefficients, values) in zip(tasks, block, strict=True):
                read = []
                for q, v in zip(task.registers, values, strict=True):
                    if q in repeated and q not in known and often:
                        known[q] = self.wide[1 + often.index(q)][: len(v)]
                        known[q].copy_(v)
                    read.append(known.get(q, v))
                total = self.wide[0][: len(out)]
                total.copy_(read[0]).mul_(coefficients[0])
                for c, v in zip(coefficients[1:], read[1:], strict=True):
                    total.add_(v, alpha=c)
                out.copy_(total)


def _strides(like: Any) -> tuple[int, ...]:
    import torch

    return torch.empty_like(like, device="meta").stride()


def _contiguous(tasks: Sequence[Task]) -> bool:
    return all(v.is_contiguous() for task in tasks for v in (task.out, *task.values))


def _blocks(tasks: Sequence[Task], size: int) -> Iterable[list[tuple[Any, Sequence[float], list[Any]]]]:
    """``(out, coefficients, values)`` of every task on each block of ``size`` numbers."""
    parts: dict[int, Sequence[Any]] = {}

    def cut(v: Any) -> Sequence[Any]:
        if id(v) not in parts:
            parts[id(v)] = v.view(-1).split(size)
        return parts[id(v)]

    split = [(cut(task.out), task.coefficients, [cut(v) for v in task.values]) for task in tasks]
    for i in range(len(split[0][0])):
        yield [(out[i], coefficients, [v[i] for v in values]) for out, coefficients, values in split]


def _add_up(out: Any, coefficients: Sequence[float], values: Sequence[Any]) -> None:
    import torch

    if coefficients[0] != 1.0:
        torch.mul(values[0], coefficients[0], out=out)
        done = 1
    elif len(values) > 1:
        torch.add(values[0], values[1], alpha=coefficients[1], out=out)
        done = 2
    else:
        out.copy_(values[0])
        return
    for c, value in zip(coefficients[done:], values[done:], strict=True):
        out.add_(value, alpha=c)


def _wide_sum(task: Task) -> Any:
    total = task.values[0].float() * task.coefficients[0]
    for c, value in zip(task.coefficients[1:], task.values[1:], strict=True):
        total.add_(value, alpha=c)
    return total
