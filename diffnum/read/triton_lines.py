"""Linear lines by a kernel of Triton: on a GPU one launch and one pass over memory per line."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..plan import Plan, interpret
from .cost import live
from .execute import Buffers, Hooks, countable, eager, plain

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
    return interpret(plan, x, Lines(x, live(plan) + 1).combine, hooks.evaluate, hooks.noise, hooks.see)


class Lines(Buffers):
    """Buffers that the kernel writes."""

    def write(self, out: Any, terms: Sequence[tuple[Any, Any]]) -> None:
        """One kernel, where it can."""
        kernel = import_module(".triton_kernel", __package__)
        whole = all(v.is_contiguous() for v in (out, *(v for _, v in terms)))
        if whole and 0 < len(terms) <= kernel.MOST:
            kernel.add_up(out, terms)
        else:
            super().write(out, terms)
