"""How the linear lines of a plan are computed: in arrays that are fresh, or in buffers that are written again.

An *execution* runs a plan for :func:`diffnum.sample`. :func:`eager` is the default: every line

    y = c_1 v_1 + ... + c_k v_k

of torch tensors is written into a buffer of the run, from the last term to the first, which is the state: each small
term that is added to the state itself is rounded to the state's last digit, in every one of many short steps the same
way. Coefficients are Python numbers, so nothing is copied to a device and nothing on it is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..plan import Level, Noise, Plan, interpret
from .cost import live

__all__ = ["Execution", "Hooks", "eager", "fresh", "linear", "plain"]

# numbers that are accumulated in float32 at once where a state is stored in fewer bits
_BLOCK = {"cpu": 1 << 18, "other": 1 << 24}


@dataclass(frozen=True)
class Hooks:
    """What a run does besides linear lines.

    Attributes:
        evaluate: from ``(value, level, quantity)`` to the prediction.
        noise: from a line to its draw.
        visit: called with ``(register, value)`` when a register is known, the first too.
        given: values that take the place of what a line says, by register.
    """

    evaluate: Callable[[Any, Level, str], Any]
    noise: Callable[[Noise], Any]
    visit: Callable[[int, Any], None] = lambda register, value: None
    given: Mapping[int, Any] = field(default_factory=dict)

    def see(self, register: int, line: Any, value: Any) -> Any:
        """As :func:`diffnum.plan.interpret` wants it."""
        value = self.given.get(register, value)
        self.visit(register, value)
        return value


Execution = Callable[[Plan, Any, Hooks], tuple[Any, ...]]


def eager(plan: Plan, x: Any, hooks: Hooks) -> tuple[Any, ...]:
    """Line by line, in buffers that are written again: the default.

    A buffer belongs to the run, which allocated it, and is written again only when the run is the last that holds its
    memory. Whoever keeps a tensor, a view of it or its storage, be it a model, a callback, the caller or a graph of
    autograd, keeps it unchanged; ``x_T`` and what a model returns are never written. What cannot be seen is a bare
    address, and work queued on another stream of a device, which must be waited for before a call returns. (A model
    that writes over what it returned before, as a graph does at its next replay, must return a copy, here as anywhere.)

    States of 16 bits are accumulated in float32 and rounded once per line. Lines with a term that requires a gradient
    or a coefficient that is a tensor are computed by :func:`fresh`, and so are whole runs on arrays that are not plain:
    subclasses of tensors, tensors under ``torch.func``, traced ones.
    """
    return interpret(plan, x, _lines(plan, x), hooks.evaluate, hooks.noise, hooks.see)


def fresh(plan: Plan, x: Any, hooks: Hooks) -> tuple[Any, ...]:
    """Line by line, each in an array of its own: what runs when gradients are wanted."""
    return interpret(plan, x, linear(x), hooks.evaluate, hooks.noise, hooks.see)


def linear(x: Any) -> Callable[[Sequence[tuple[Any, Any]]], Any]:
    """``[(coefficient, value), ...]`` to their combination in an array of its own, for arrays like ``x``."""
    return _torch_linear if type(x).__module__.startswith("torch") else _array_linear


def _array_linear(terms: Sequence[tuple[Any, Any]]) -> Any:
    (c, value), *rest = reversed(terms)
    total = c * value
    for c, value in rest:
        total = total + c * value
    return total


def _torch_linear(terms: Sequence[tuple[Any, Any]]) -> Any:
    # the first value is the state: what a line returns has its dtype, whatever is added up in between
    dtype = terms[0][1].dtype
    if narrow(dtype):
        terms = [(c, value.float()) for c, value in terms]
    (c, value), *rest = reversed(terms)
    total = value * c
    for c, value in rest:
        total = total.add_(value, alpha=c) if isinstance(c, (int, float)) else total + c * value
    return total.to(dtype)


def narrow(dtype: Any) -> bool:
    """Whether a torch dtype is floating of 16 bits or fewer."""
    return dtype.is_floating_point and dtype.itemsize < 4


def _lines(plan: Plan, x: Any) -> Callable[[Sequence[tuple[Any, Any]]], Any]:
    if not plain(x) or not countable():
        return linear(x)
    return Buffers(x, live(plan) + 1).combine


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

    Attributes:
        like: a plain tensor, :func:`plain`.
        most: how many to remember; older ones that are still held are left to whoever holds them.
    """

    def __init__(self, like: Any, most: int) -> None:
        import torch

        self.torch, self.like, self.most = torch, like, most
        self.kind, self.dtype, self.shape = torch.Tensor, like.dtype, like.shape
        self.own: list[Any] = []
        self.wide: Any = None

    def take(self) -> Any:
        """A buffer to write. Hand out ``buffer.detach()``, not the buffer itself, which would count as free."""
        for buffer in self.own:
            if alone(buffer):
                return buffer
        buffer = self.torch.empty_like(self.like, requires_grad=False)
        self.own = [*self.own[-self.most :], buffer]
        return buffer

    def fits(self, terms: Sequence[tuple[Any, Any]]) -> bool:
        """Whether a combination may be written into a buffer: numbers times tensors of one kind without gradients."""
        kind, dtype, shape = self.kind, self.dtype, self.shape
        return all(
            isinstance(c, (float, int))
            and type(v) is kind
            and v.dtype is dtype
            and not v.requires_grad
            and v.shape == shape
            for c, v in terms
        )

    def combine(self, terms: Sequence[tuple[Any, Any]]) -> Any:
        """``sum(c * v for c, v in terms)``, in a buffer if it may be."""
        if not self.fits(terms):
            return _torch_linear(terms)
        out = self.take()
        self.write(out, terms)
        return out.detach()

    def write(self, out: Any, terms: Sequence[tuple[Any, Any]]) -> None:
        """``out = sum(c * v for c, v in terms)``."""
        if not narrow(self.dtype):
            _add_up(self.torch, out, terms)
        elif out.is_contiguous() and all(v.is_contiguous() for _, v in terms):
            self._add_up_wide(out.view(-1), [(c, v.view(-1)) for c, v in terms])
        else:
            out.copy_(_torch_linear(terms))

    def _add_up_wide(self, out: Any, terms: Sequence[tuple[Any, Any]]) -> None:
        """In float32, a block at a time, so that no other tensor of the state's size is needed."""
        if self.wide is None:
            most = _BLOCK.get(out.device.type, _BLOCK["other"])
            self.wide = self.torch.empty(min(most, max(1, len(out))), dtype=self.torch.float32, device=out.device)
        size = len(self.wide)
        parts = [v.split(size) for _, v in terms]
        for target, *values in zip(out.split(size), *parts, strict=True):
            wide = self.wide[: len(target)]
            wide.copy_(values[-1]).mul_(terms[-1][0])
            for (c, _), value in zip(terms[-2::-1], values[-2::-1], strict=True):
                wide.add_(value, alpha=c)
            target.copy_(wide)


def _add_up(torch: Any, out: Any, terms: Sequence[tuple[Any, Any]]) -> None:
    (c, value), *rest = reversed(terms)
    torch.mul(value, c, out=out)
    for c, value in rest:
        out.add_(value, alpha=c)
