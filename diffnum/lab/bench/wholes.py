"""Runs of a plan and a network as one piece, in which nobody can put marks between the two.

What such a run spends outside the network is what it takes longer than the network alone, asked as often and in the
same manner: recorded in a graph, or compiled, as a plan that has evaluations and no lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from ...plan import Plan
from ...read.captured import captured, unrolled
from ...read.execute import Execution, eager
from ...read.triton_lines import triton_lines

__all__ = ["PREDICTION", "Whole", "bare", "wholes"]

# of all that is compiled or recorded, since that takes minutes
PREDICTION = "noise"

Model = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Whole:
    """A way to run plan and network as one piece.

    Attributes:
        name: in the tables.
        run: from a plan, a model and a state like those to come to ``run(x)``.
        again: the same, to a run from wherever the state was left, which returns nothing that is of use.
    """

    name: str
    run: Callable[[Plan, Model, Any], Callable[[Any], Any]]
    again: Callable[[Plan, Model, Any], Callable[[], Any]]


def wholes(device: str, batch: int) -> tuple[Whole, ...]:
    """The ways on a device, for states of a batch.

    None on a CPU, where no graph is recorded, and where compiling a small U-Net eight times over takes longer than all
    else that is measured. On a GPU graphs, and a compiled run for a batch of one alone: another is compiled anew.
    """
    if device == "cpu":
        return ()
    graphs = [_graph("diffnum captured", eager)]
    if find_spec("triton") is not None:
        graphs.append(_graph("diffnum captured triton", triton_lines))
    return (*graphs, *((_UNROLLED,) if batch == 1 else ()))


def bare(plan: Plan) -> Plan:
    """The evaluations of ``plan`` alone, each of the prediction before."""
    made = tuple(replace(plan.lines[r - 1], x=i) for i, r in enumerate(plan.evaluations))
    last = len(made)
    states = (*(min(i, last) for i in range(plan.steps)), last)
    return replace(plan, lines=made, states=states, outputs=(("x", last),), partners=(), conversions=())


def _graph(name: str, execution: Execution) -> Whole:
    def run(plan: Plan, model: Model, x: Any) -> Callable[[Any], Any]:
        return captured(plan, model, x, execution)

    # without the copies into the graph and out of it, which a run has besides the network
    return Whole(name, run, lambda plan, model, x: captured(plan, model, x, execution).replay)


def _unrolled(plan: Plan, model: Model, x: Any) -> Callable[[], Any]:
    compiled = unrolled(plan, model)
    return lambda: compiled(x)


_UNROLLED = Whole("diffnum unrolled", lambda plan, model, x: unrolled(plan, model), _unrolled)
