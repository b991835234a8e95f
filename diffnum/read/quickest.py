"""Which way of running lines is the quickest, by device, size and precision of the states."""

from __future__ import annotations

from typing import Any

from ..plan import Plan
from .buffers import narrow, plain
from .execute import Execution, Hooks, eager
from .fused import Group, fused, groups
from .lean import lean

__all__ = ["chosen", "quickest"]

_LARGE, _SMALL, _SMALLEST = 10 * 2**20, 2**20, 2**19
_WIDE = 6


def quickest(plan: Plan, x: Any, hooks: Hooks) -> tuple[Any, ...]:
    """:func:`dn.fused <diffnum.read.fused.fused>` where it is the quicker one once it is compiled, else :func:`dn.eager
    <diffnum.read.execute.eager>`, for :func:`dn.sample <diffnum.sample>`: ``execution=dn.quickest``.

    The first run with compiled lines waits some seconds for the compiler: this is for whoever runs a plan all day. See
    :func:`chosen` for the rule.
    """
    return chosen(plan, x)(plan, x, hooks)


def chosen(plan: Plan, x: Any) -> Execution:
    """The execution that :func:`quickest` takes.

    As measured on a CPU (``tests/benchmarks/cpu/steps.csv``, of states of 0.5, 1, 25 and 50 MB), lines are compiled
    where states have ten megabytes or more; of 16 bits and half a megabyte or more; or one megabyte or more and some
    step that reads and writes six of them. On other devices nothing is measured yet, and lines are not compiled.

    Args:
        plan: that runs.
        x: the state that it starts from.
    """
    if not plain(x) or x.device.type != "cpu":
        return eager
    size = x.numel() * x.element_size()
    if size >= _LARGE or (narrow(x.dtype) and size >= _SMALLEST):
        return fused
    return fused if size >= _SMALL and _widest(plan) >= _WIDE else eager


def _widest(plan: Plan) -> int:
    """States read and written between two evaluations, at most."""
    return max((len(g.inputs) + len(g.kept) for g in groups(lean(plan)) if isinstance(g, Group)), default=0)
