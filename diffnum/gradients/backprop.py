"""The discrete gradient: that of the run itself, by torch's graph of all of it or over few stored states."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from ..plan import Eval, Lin, Plan, sources
from .problem import Gradient, Loss, Problem, pull

__all__ = ["backprop", "checkpointed"]


def backprop(plan: Plan, model: Any, x: Any, loss: Loss, parameters: Iterable[Any] = (), noise: Any = None) -> Gradient:
    """The gradient of ``loss(x_0)`` by torch's automatic differentiation of the whole run.

    The graph of every evaluation is kept until the end: memory grows with NFE times what the model keeps.

    Args:
        plan: any plan.
        model: as for :func:`diffnum.sample`, computed with torch.
        x: ``x_T``, a torch tensor; or a tuple of all of ``plan.inputs``.
        loss: of the first output.
        parameters: tensors that require a gradient and that the model uses: weights, a condition.
        noise: as for :func:`diffnum.sample`.

    Raises:
        ValueError: ``x`` or the model is not torch's; a plan that draws noise without a source; a parameter that does
            not require a gradient; a loss that is no single number.
    """
    import torch

    problem = Problem.of(plan, model, x, parameters, noise, replayed=False)
    leaves = {r: value.clone().requires_grad_() for r, value in problem.given.items()}
    with torch.enable_grad():
        output = problem.run(leaves, problem.attached)[0]
    value, cotangent = problem.judged(loss, output)
    wanted = (*leaves.values(), *problem.parameters)
    found = torch.autograd.grad(output, wanted, cotangent, allow_unused=True)
    filled = [torch.zeros_like(w) if part is None else part for w, part in zip(wanted, found, strict=True)]
    problem.vjps = problem.evaluations
    return problem.result(value, output, dict(zip(leaves, filled, strict=False)), filled[len(leaves) :])


def checkpointed(
    plan: Plan,
    model: Any,
    x: Any,
    loss: Loss,
    parameters: Iterable[Any] = (),
    noise: Any = None,
    segment: int | None = None,
) -> Gradient:
    """The gradient of :func:`backprop` over stored states between which the run is repeated (Chen et al. 2016).

    A plan is linear but for its evaluations, so a segment of ``k`` of them is differentiated from their ``k`` inputs,
    one graph at a time: ``dL/d(input) = sum c dL/d(reader)`` over the lines that read it, and one vector-Jacobian
    product at each evaluation. Memory is the graph of one evaluation, ``k`` inputs, and what is alive at each of the
    ``NFE / k`` boundaries. Calls of the model are ``NFE`` forward, ``NFE`` for products and one for each evaluation
    that a repeated segment passes over, at most ``NFE (1 - 1/k)``.

    Args:
        segment: evaluations ``k`` between stored states; None takes ``sqrt(NFE)``, 1 repeats nothing.
        plan, model, x, loss, parameters, noise: as for :func:`backprop`; draws are asked for again on the way back,
            so the source must be keyed by interval, as dn.noise.Counter is.

    Raises:
        ValueError: as :func:`backprop`; a segment below one; a source that gives another draw the second time.
    """
    import torch

    problem = Problem.of(plan, model, x, parameters, noise, replayed=True)
    if segment is not None and (not isinstance(segment, int) or segment < 1):
        raise ValueError(f"segment = {segment!r}: give a number of evaluations between stored states, 1 or more")
    cuts = _cuts(problem.plan, segment or max(1, math.isqrt(problem.plan.nfe)))
    with torch.no_grad():
        stored = [dict[int, Any]()]
        for first, last in pairwise(cuts[:-1]):
            stored.append(_run(problem, stored[-1], first, last))
        seen: dict[int, Any] = {}
        output = _run(problem, stored.pop(), cuts[-2], cuts[-1], seen)[problem.plan.outputs[0][1]]
        value, cotangent = problem.judged(loss, output)
        totals = problem.zeros()
        cotangents = {problem.plan.outputs[0][1]: cotangent}
        for first, last in reversed(list(pairwise(cuts))):
            if not seen:
                _again(problem, stored.pop(), first, last, seen)
            lines = [(r, problem.plan.lines[r - 1]) for r in range(last, first, -1)]
            pull(lines, cotangents, problem.given, lambda r, line, own: _product(problem, seen, totals, r, line, own))
            seen.clear()
    return problem.result(value, output, cotangents, totals)


def _product(problem: Problem, seen: dict[int, Any], totals: list[Any], r: int, line: Eval, own: Any) -> Any:
    x = seen.pop(r)
    if own is None:
        return None
    found, parts = problem.product(*problem.graph(x, line.level), own)
    for total, part in zip(totals, parts, strict=True):
        total += part
    return found


def _cuts(plan: Plan, segment: int) -> list[int]:
    """Registers after which states are stored, from 0 to the last: before every ``segment``-th evaluation."""
    inside = [r - 1 for r in plan.evaluations[segment::segment]]
    return [0, *(r for r in inside if r), len(plan.lines)]


def _again(problem: Problem, alive: dict[int, Any], first: int, last: int, seen: dict[int, Any]) -> None:
    """Repeat a segment for the inputs of its evaluations: what follows the last of them is not needed."""
    final = max(r for r in problem.plan.evaluations if first < r <= last)
    alive = _run(problem, alive, first, final - 1, seen)
    seen[final] = alive[problem.plan.lines[final - 1].x]  # type: ignore[union-attr]


def _run(
    problem: Problem, alive: dict[int, Any], first: int, last: int, seen: dict[int, Any] | None = None
) -> dict[int, Any]:
    """Lines ``first + 1`` to ``last`` from the registers alive there; those alive at the end, and in ``seen`` the input
    of every evaluation."""
    plan = problem.plan
    values = dict(alive) if first else {0: problem.given[0]}
    for r in range(first + 1, last + 1):
        line = plan.lines[r - 1]
        if isinstance(line, Eval) and seen is not None:
            seen[r] = values[line.x]
        if r in problem.given:
            values[r] = problem.given[r]
        elif isinstance(line, Lin):
            values[r] = problem.lin([(c, values[q]) for q, c in line.terms])
        elif isinstance(line, Eval):
            values[r] = problem.value(values[line.x], line.level)
        else:
            values[r] = problem.noise(line)
        for q in {*sources(line), r}:
            if plan.last_use[q] <= r:
                values.pop(q, None)
    return values
