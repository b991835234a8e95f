"""How the linear lines of a plan are computed: in arrays that are fresh, or in buffers that are written again.

An *execution* runs a plan for :func:`diffnum.sample`. :func:`eager` is the default: every line

    y = c_1 v_1 + ... + c_k v_k

of torch tensors is written into a buffer of the run, from the last term to the first, which is the state: each small
term that is added to the state itself is rounded to the state's last digit, in every one of many short steps the same
way. Coefficients are Python numbers, so nothing is copied to a device and nothing on it is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ..plan import Eval, Level, Noise, Plan
from .buffers import Buffers, Task, countable, narrow, plain
from .pieces import Piece, held, pieces

__all__ = ["Execution", "Hooks", "Registers", "eager", "fresh", "linear", "registers"]


@dataclass(frozen=True)
class Hooks:
    """What a run does besides linear lines.

    Attributes:
        evaluate: from ``(value, level, quantity)`` to the prediction.
        noise: from a line to its draw.
        visit: called with ``(register, value)`` when a register that is ``watched`` is known, the first too.
        given: values that take the place of what a line says, by register.
        watched: registers at which ``visit`` looks.
    """

    evaluate: Callable[[Any, Level, str], Any]
    noise: Callable[[Noise], Any]
    visit: Callable[[int, Any], None] = lambda register, value: None
    given: Mapping[int, Any] = field(default_factory=dict)
    watched: Set[int] = frozenset()


Execution = Callable[[Plan, Any, Hooks], tuple[Any, ...]]


def eager(plan: Plan, x: Any, hooks: Hooks) -> tuple[Any, ...]:
    """Line by line, in buffers that are written again: the default.

    A buffer belongs to the run, which allocated it, and is written again only when the run is the last that holds its
    memory. Whoever keeps a tensor, a view of it or its storage, be it a model, a callback, the caller or a graph of
    autograd, keeps it unchanged; ``x_T`` and what a model returns are never written. What cannot be seen is a bare
    address, and work queued on another stream of a device, which must be waited for before a call returns. (A model
    that writes over what it returned before, as a graph does at its next replay, must return a copy, here as anywhere.)

    On a CPU the lines between two evaluations of a state of more than a megabyte go over a block of it before they go
    on to the next, so that what one of them writes is still in the cache when another reads it. States of 16 bits are
    accumulated in float32 and rounded once per line. Lines with a term that requires a gradient or a coefficient that
    is a tensor are computed as in :func:`fresh`, and so are whole runs on arrays that are not plain: subclasses of
    tensors, tensors under ``torch.func``, traced ones.
    """
    return walked(plan, hooks, registers(plan, x))


def fresh(plan: Plan, x: Any, hooks: Hooks) -> tuple[Any, ...]:
    """Line by line, each in an array of its own: what runs when gradients are wanted."""
    return walked(plan, hooks, Registers(x))


def registers(plan: Plan, x: Any, buffers: Callable[[Any, int], Buffers] = Buffers) -> Registers:
    """The registers of a run from ``x``, in buffers where that is possible."""
    return Registers(x, buffers(x, held(plan) + 1) if plain(x) and countable() else None)


class Registers:
    """The registers of a run: what it was given and what it made.

    Args:
        x: register 0.
        buffers: where to write linear lines; None to make an array for each.
    """

    def __init__(self, x: Any, buffers: Buffers | None = None) -> None:
        self.values, self.homes = {0: x}, dict[int, Any]()
        self.buffers, self.combine = buffers, linear(x)

    def run(self, piece: Piece) -> None:
        """Compute the lines of a piece; registers that die on the way are forgotten."""
        values, homes, buffers = self.values, self.homes, self.buffers
        if buffers is None or not piece.numbers or not buffers.fits([values[q] for q in piece.inputs if q in values]):
            self._run_fresh(piece)
            return
        tasks = []
        for r, read, coefficients, dead in piece.lines:
            home = buffers.take()
            terms = [homes[q] if q in homes else values[q] for q in read]
            tasks.append(Task(r, home, read, coefficients, terms))
            homes[r] = home
            self.forget(dead)
        # a buffer that is given back by one line may be taken by a later one, which writes it after the first has read
        buffers.write(tasks, piece.repeated)
        for r in piece.shown:
            # what is handed out is an alias, by which the buffer is known to be held
            values[r] = homes[r].detach()

    def _run_fresh(self, piece: Piece) -> None:
        for r, read, coefficients, dead in piece.lines:
            held = [self.values[q] if q in self.values else self.homes[q].detach() for q in read]
            self.values[r] = self.combine(list(zip(coefficients, held, strict=True))[::-1])
            del held
            self.forget(dead)

    def forget(self, dead: Sequence[int]) -> None:
        """These registers are not read any more."""
        for q in dead:
            self.values.pop(q, None)
            home = self.homes.pop(q, None)
            if home is not None:
                self.buffers.release(home)  # type: ignore[union-attr]


def walked(plan: Plan, hooks: Hooks, run: Registers) -> tuple[Any, ...]:
    """The run of a plan in ``run``."""
    values, watched, given = run.values, hooks.watched, hooks.given
    values[0] = given.get(0, values[0])
    if 0 in watched:
        hooks.visit(0, values[0])
    for part in pieces(plan, watched, given.keys()):
        if isinstance(part, Piece):
            run.run(part)
            r = part.end
        else:
            r, line = part.register, part.line
            if isinstance(line, Eval):
                values[r] = hooks.evaluate(values[line.x], line.level, line.quantity)
            elif isinstance(line, Noise):
                values[r] = hooks.noise(line)
            if r in given:
                values[r] = given[r]
        if r in watched:
            hooks.visit(r, values[r])
        run.forget(part.after)
    return tuple(values[r] for _, r in plan.outputs)


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
