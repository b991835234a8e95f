"""Linear lines by a kernel of Triton: on a GPU one launch and one pass over memory per line."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..plan import Plan
from .buffers import Buffers, Task, countable, plain
from .execute import Hooks, eager, registers, walked

__all__ = ["triton_lines"]


def triton_lines(plan: Plan, x: Any, hooks: Hooks) -> tuple[Any, ...]:
    """For :func:`dn.sample <diffnum.sample>` on a GPU: ``execution=dn.triton_lines``.

    As ``dn.eager``, with the same buffers, but a line of up to eight terms is one kernel: it reads each term once, adds
    in float32 from the last to the first, and writes the result once in the state's dtype. Coefficients are arguments
    of the kernel, so nothing is compiled again for another plan. Lines of more terms, states of float64 and lines that
    need gradients are left to ``dn.eager``, and so is a run on a CPU.

    Raises:
        ValueError: triton is not installed.
    """
    if find_spec("triton") is None:
        raise ValueError("triton is not installed, which CUDA builds of torch bring along: use dn.eager or dn.fused")
    if not plain(x) or not countable() or x.device.type == "cpu" or x.dtype.itemsize > 4:
        return eager(plan, x, hooks)
    return walked(plan, hooks, registers(plan, x, Lines))


class Lines(Buffers):
    """Buffers that the kernel writes."""

    def write(self, tasks: Sequence[Task], repeated: frozenset[int] = frozenset()) -> None:
        """One kernel for each task, where it can."""
        kernel = import_module(".triton_kernel", __package__)
        for task in tasks:
            whole = all(v.is_contiguous() for v in (task.out, *task.values))
            if whole and 0 < len(task.values) <= kernel.MOST:
                kernel.add_up(task.out, list(zip(task.coefficients, task.values, strict=True))[::-1])
            else:
                super().write([task])
