"""Linear lines compiled: everything between two model calls is one pass over memory.

The lines between two evaluations read a few registers and leave a few. They are written out as one function of flat
arrays, which ``torch.compile`` makes one loop on a CPU and one kernel on a GPU: each register that is needed is read
once, each result that is used later is written once, in the place of a register that dies there if one does. In bytes,
for a state of ``b`` bytes, a step moves ``b`` times the registers read and the results kept, :func:`traffic`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..plan import Eval, Lin, Noise, Plan
from .buffers import Buffers, alone, countable, narrow, plain
from .execute import Hooks, eager, linear
from .lean import lean
from .pieces import held

__all__ = ["Group", "fused", "groups", "traffic", "written"]


_TYPICAL = 4096


@dataclass(frozen=True)
class Group:
    """The lines between two evaluations.

    Attributes:
        draws: registers of noise that are drawn first.
        inputs: registers that the lines read and do not write.
        lines: registers and their terms.
        kept: registers that are used later, or seen.
        end: the last register.
    """

    draws: tuple[int, ...]
    inputs: tuple[int, ...]
    lines: tuple[tuple[int, tuple[tuple[int, float], ...]], ...]
    kept: tuple[int, ...]
    end: int

    @property
    def shape(self) -> tuple[int, tuple[tuple[int, ...], ...], tuple[int, ...]]:
        """What the compiled function depends on: the number of inputs, what each line reads, which lines are kept."""
        place = {r: i for i, r in enumerate((*self.inputs, *(r for r, _ in self.lines)))}
        reads = tuple(tuple(place[q] for q, _ in terms) for _, terms in self.lines)
        return len(self.inputs), reads, tuple(i for i, (r, _) in enumerate(self.lines) if r in self.kept)


def groups(plan: Plan, given: Mapping[int, Any] | None = None) -> list[Group | int]:
    """The plan as evaluations, by their register, and groups of lines.

    Args:
        given: registers whose value is known, whatever their lines say.
    """
    known = dict(given or {})
    seen = {*plan.states, *(r for registers in plan.partners for r in registers)}
    found: list[Group | int] = []
    draws: list[int] = []
    lines: list[tuple[int, tuple[tuple[int, float], ...]]] = []

    def close(end: int) -> None:
        if draws or lines:
            mine = {r for r, _ in lines}
            inputs = dict.fromkeys(q for _, terms in lines for q, _ in terms if q not in mine)
            kept = tuple(r for r in mine if plan.last_use[r] > end or r in seen)
            found.append(Group(tuple(draws), tuple(inputs), tuple(lines), tuple(sorted(kept)), end))
        draws.clear()
        lines.clear()

    for r, line in enumerate(plan.lines, 1):
        if r in known:
            continue
        if isinstance(line, Eval):
            close(r - 1)
            found.append(r)
        elif isinstance(line, Noise):
            draws.append(r)
        else:
            lines.append((r, line.terms))
    close(len(plan.lines))
    return found


def traffic(plan: Plan) -> int:
    """Registers moved by :func:`fused`, the least that any run can: each needed one read once between two evaluations,
    each result that is used later written once."""
    return sum(len(g.inputs) + len(g.kept) for g in groups(lean(plan)) if isinstance(g, Group))


def fused(plan: Plan, x: Any, hooks: Hooks) -> tuple[Any, ...]:
    """Compiled, for :func:`dn.sample <diffnum.sample>`: ``execution=dn.fused``.

    The first run waits for a compiler, some seconds for each kind of step that the plan has; later runs, also on other
    shapes and with other coefficients, do not. It pays on states of ten megabytes and more, of 16 bits already on half
    a megabyte, and for samplers with many terms; see :mod:`diffnum.read.fused` for what a step moves. States of 16 bits
    are computed in float32 and rounded once per line. Results agree with those of
    :func:`~diffnum.read.execute.eager` to the rounding of sums.

    Without a compiler the same functions run uncompiled, after a warning, and so they do, without one, as long as a
    dispatch mode of torch watches. Lines with a term that requires a gradient,
    and runs on arrays that are not plain tensors or with coefficients that are tensors, are left to ``dn.eager``.
    """
    numbers = all(isinstance(c, (int, float)) for line in plan.lines if isinstance(line, Lin) for _, c in line.terms)
    if not (numbers and plain(x) and countable() and x.is_contiguous()) or x.requires_grad:
        return eager(plan, x, hooks)
    program = groups(plan, hooks.given)
    run = _Run(plan, x, hooks, program)
    for part in program:
        if isinstance(part, Group):
            run.lines(part)
        else:
            run.evaluation(part)
    return tuple(run.values[r] for _, r in plan.outputs)


class _Run:
    """Values by register, and which of them stand in buffers of the run."""

    def __init__(self, plan: Plan, x: Any, hooks: Hooks, program: Sequence[Group | int]) -> None:
        self.plan, self.hooks = plan, hooks
        self.values: dict[int, Any] = {0: x, **hooks.given}
        self.buffers, self.combine = Buffers(x, held(plan) + 1), linear(x)
        self.home: dict[int, Any] = {}
        self.visited = -1
        self._visit(0)
        made = [g for g in program if isinstance(g, Group)]
        self.numbers = dict(zip((g.end for g in made), _numbers(made, x.device), strict=True))

    def evaluation(self, r: int) -> None:
        line: Any = self.plan.lines[r - 1]
        self.values[r] = self.hooks.evaluate(self.values[line.x], line.level, line.quantity)
        self._visit(r)
        self._drop((line.x, r), r)

    def lines(self, group: Group) -> None:
        for r in group.draws:
            line: Any = self.plan.lines[r - 1]
            self.values[r] = self.hooks.noise(line)
        if group.kept and self._uniform(group):
            self._compiled(group)
        else:
            for r, terms in group.lines:
                self.values[r] = self.combine([(c, self.values[q]) for q, c in terms])
        self._visit(group.end)
        self._drop((*group.inputs, *group.draws, *(r for r, _ in group.lines)), group.end)

    def _uniform(self, group: Group) -> bool:
        read, device = [self.values[q] for q in group.inputs], self.buffers.device
        return self.buffers.fits(read) and all(v.is_contiguous() and v.device == device for v in read)

    def _compiled(self, group: Group) -> None:
        inputs: list[Any] = []
        outputs: list[Any] = []
        places: list[int] = []
        kept = iter(group.kept)
        for i, q in enumerate(group.inputs):
            home = self.home.get(q)
            inputs.append(home if home is not None else self.values[q])
            # a register that dies here and that nobody else holds makes room for a result
            if home is not None and self.plan.last_use[q] <= group.end and len(places) < len(group.kept):
                del self.values[q]
                if alone(home):
                    places.append(i)
                    del self.home[q]
                    self._put(next(kept), home)
                else:
                    self.values[q] = home.detach()
        for r in kept:
            outputs.append(self.buffers.take())
            self._put(r, outputs[-1])
        flat = [v.view(-1) for v in (*outputs, *inputs)]
        _function(group.shape, tuple(places), narrow(self.buffers.dtype))(self.numbers[group.end], *flat)

    def _put(self, r: int, home: Any) -> None:
        # what is handed out is an alias, by which the buffer is known to be held
        self.home[r], self.values[r] = home, home.detach()

    def _visit(self, end: int) -> None:
        for r in range(self.visited + 1, end + 1):
            if r in self.values and r in self.hooks.watched:
                self.hooks.visit(r, self.values[r])
        self.visited = end

    def _drop(self, registers: Sequence[int], end: int) -> None:
        for r in registers:
            if self.plan.last_use[r] <= end:
                self.values.pop(r, None)
                home = self.home.pop(r, None)
                if home is not None:
                    self.buffers.release(home)


def _numbers(made: Sequence[Group], device: Any) -> list[Any]:
    """Coefficients of each group in float64, where the state is."""
    import torch

    rows = [[float(c) for _, terms in g.lines for _, c in terms] for g in made]
    if device.type == "cpu" or not rows:
        return [torch.tensor(row, dtype=torch.float64) for row in rows]
    # one transfer for all, which is not waited for
    width = max(map(len, rows))
    table = torch.tensor([row + [0.0] * (width - len(row)) for row in rows], dtype=torch.float64).pin_memory()
    return [row.clone() for row in table.to(device, non_blocking=True)]


def written(group: Group, wide: bool) -> Callable[..., None]:
    """The lines of ``group`` compiled: ``f(coefficients, *outputs, *inputs)`` of flat arrays, with every result in
    a place of its own.

    Args:
        wide: whether sums are float32 and rounded once per line.
    """
    return _function(group.shape, (), wide)


@cache
def _function(
    shape: tuple[int, tuple[tuple[int, ...], ...], tuple[int, ...]], places: tuple[int, ...], wide: bool
) -> Callable[..., None]:
    """``f(coefficients, *outputs, *inputs)``; the first results kept go to the inputs at ``places``."""
    source = _source(shape, places, wide)
    scope: dict[str, Any] = {}
    exec(source, scope)
    return _announced(scope["lines"])


def _source(
    shape: tuple[int, tuple[tuple[int, ...], ...], tuple[int, ...]], places: tuple[int, ...], wide: bool
) -> str:
    number, reads, kept = shape
    up, down = (".float()", ".to(v0.dtype)") if wide else ("", "")
    homes = [*(f"v{i}" for i in places), *(f"o{i}" for i in range(len(kept) - len(places)))]
    body = [f"a{i} = v{i}{up}" for i in range(number)]
    at = 0
    for i, terms in enumerate(reads):
        factors = [f"c[{at + j}] * a{q}" for j, q in enumerate(terms)]
        at += len(terms)
        # from the last term to the first, which is the state
        total = factors[-1]
        for factor in factors[-2::-1]:
            total = f"({total} + {factor})"
        body += [f"r{i} = {total}{down}", f"a{number + i} = r{i}{up}"]
    body += [f"{home}.copy_(r{i})" for home, i in zip(homes, kept, strict=True)]
    names = [*(home for home in homes if home.startswith("o")), *(f"v{i}" for i in range(number))]
    return f"def lines(c, {', '.join(names)}):\n    " + "\n    ".join(body) + "\n"


def _observed() -> bool:
    """Whether a dispatch mode wants to see every operation, which compiled code would hide from it."""
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    return any(not getattr(mode, "ignore_compile_internals", bool)() for mode in _get_current_dispatch_mode_stack())


def _compile(function: Callable[..., None]) -> Callable[..., None]:
    import torch

    return torch.compile(function, fullgraph=True, dynamic=True)


def _settle(compiled: Callable[..., None], numbers: Any, *values: Any) -> None:
    """A first call with states of :data:`_TYPICAL` numbers: the width of a compiled loop is that of the first state,
    for good, and a state of few numbers would leave loops half as wide to all later ones."""
    compiled(numbers, *[value.new_zeros(_TYPICAL) for value in values])


def _announced(function: Callable[..., None]) -> Callable[..., None]:
    """Compiled, or as it is after a warning where it cannot be."""
    chosen: list[Callable[..., None]] = []

    def call(*args: Any) -> None:
        import torch

        with torch.no_grad():
            run(*args)

    def run(*args: Any) -> None:
        if _observed():
            # torch would not compile, now or when it is asked again
            function(*args)
            return
        if not chosen:
            try:
                compiled = _compile(function)
                _settle(compiled, *args)
                compiled(*args)
            except Exception as error:
                # torch says on the second line what its compiler said
                reason = " ".join(str(error).split("\n")[:2]).strip()
                warnings.warn(
                    f"linear lines cannot be compiled here ({type(error).__name__}: {reason}), so they run uncompiled: "
                    "install a C++ compiler for a CPU or triton for a GPU, or use the default execution",
                    RuntimeWarning,
                    stacklevel=2,
                )
                chosen.append(function)
            else:
                chosen.append(compiled)
                return
        chosen[0](*args)

    return call
