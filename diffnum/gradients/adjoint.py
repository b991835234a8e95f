"""The continuous adjoint: gradients of the probability-flow ODE, by any sampler run from data to noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..grid import Grid
from ..plan import PREDICTIONS, Eval, Level, Plan, interpret
from ..prediction import convert
from .problem import Gradient, Loss, Problem

__all__ = ["Backwards", "adjoint", "backwards", "check_variables", "reading", "scale"]


@dataclass(frozen=True)
class Backwards:
    """Levels from data to noise, on which a sampler compiles as on a :class:`~diffnum.grid.Grid`.

    Attributes:
        levels, h, process: as of a grid; increments are negative.
        end: "stop".
    """

    levels: tuple[Level, ...]
    h: tuple[Any, ...]
    process: Any
    end: str = "stop"


def backwards(grid: Grid) -> Backwards:
    """``grid`` walked from its last level to its first."""
    return Backwards(grid.levels[::-1], tuple(-h for h in grid.h[::-1]), grid.process)


def adjoint(
    plan: Plan,
    back: Plan,
    model: Any,
    x: Any,
    loss: Loss,
    parameters: Iterable[Any] = (),
    variables: str = "velocity",
) -> Gradient:
    """The gradient of ``loss(x_0)`` by the adjoint of the probability-flow ODE (Pan et al. 2024, AdjointDPM).

    With ``y = x / alpha`` and ``rho = sigma / alpha`` the ODE is ``dy/drho = eps(alpha y)``, and ``a = dL/dy`` and the
    gradient of the parameters, with ``y`` once more, solve from data to noise

        dy/drho = eps,     da/drho = -(d eps/dy)^T a,     dg/drho = -(d eps/dtheta)^T a       (Chen et al. 2018, eq. 4)

    This is a diffusion sampler's equation for the triple: scaled as ``x`` is, its components are ``alpha y``,
    ``alpha a`` and ``alpha g``, and a model answers with the three right-hand sides as *its noise prediction*. So the
    triple is handed to ``back``, any compiled plan that runs from data to noise, and is integrated exponentially, with
    that plan's order. Every prediction ``n`` has variables of its own, in which with ``A = w dL/dx`` and
    ``G = sqrt(w) g`` the answer is

        (n,  -(dn/dx)^T A,  -(dn/dtheta)^T A / sqrt(w))

    where ``w`` is ``alpha^2`` for noise (the paper's) and score, ``sigma^2`` for data (``y = x / sigma`` against
    ``alpha / sigma``), and ``alpha^2 + sigma^2`` for the velocity ``alpha eps - sigma x0`` (``x`` over its radius,
    against the angle). What the model returns does not bind the choice: the answer is read as its prediction
    afterwards. ``alpha^2`` and ``sigma^2`` change by orders of magnitude from end to end, ``alpha^2 + sigma^2`` does
    not where variance is preserved: at 20 steps errors in the velocity's variables are the smallest of nearly all
    samplers, processes and laws tried, in the median 20 times below those in the paper's.

    Memory does not grow with the steps. The gradient is that of the exact flow, with errors of discretisation of both
    runs; it is not that of the discrete sampler. The state found again at the start, ``returned``, drifts from
    ``x_T`` by an error of the plan's order, or of one more where that is even and both runs are by one one-step
    method on one grid, whose leading errors cancel. Calls of the model: ``plan.nfe`` forward, ``back.nfe`` back, each
    of those with a vector-Jacobian product.

    Args:
        plan: from noise to data, without draws.
        back: from data to noise through the same ends, for the same prediction, such as
            ``dn.compile("rk4", dn.gradients.backwards(grid), "noise")``.
        model, x, loss, parameters: as for :func:`~diffnum.gradients.backprop`.
        variables: the prediction ``n`` in whose variables the adjoint is integrated.

    Raises:
        ValueError: plans that draw noise, do not fit one another, or do not end with a state; an end where ``w`` is
            zero (``alpha = 0`` for noise, ``sigma = 0`` for data) or where the model's prediction does not determine
            ``n``; as :func:`~diffnum.gradients.backprop`.
    """
    import torch

    for one in (plan, back):
        _check(one)
    _check_fit(plan, back)
    check_variables(back, variables)
    problem = Problem.of(plan, model, x, parameters, None, replayed=False)
    with torch.no_grad():
        output = problem.run(problem.given, problem.value)[0]
        value, cotangent = problem.judged(loss, output)
        first, last = (scale(level, variables) for level in (back.start, back.stop))
        triple = _Triple(output, cotangent * first, problem.zeros())
        end = interpret(back, triple, _combination(problem), _answers(problem, variables), _no_draw)[0]
        gradient, root = end.a / last, last**0.5
    totals = [g / root for g in end.g]
    return problem.result(value, output, {0: gradient}, totals, end.x)


def scale(level: Level, variables: str) -> Any:
    """``w`` of :func:`adjoint`: what ``dL/dx`` is multiplied by, to be integrated as a state.

    It solves ``dw/w = 2 (dlog alpha + a g)`` where ``dx = x dlog alpha + g eps`` and ``eps = a x + b n`` for the
    prediction ``n`` whose variables they are: proved in the book, chapter 16.
    """
    if variables == "velocity":
        return level.alpha**2 + level.sigma**2
    return level.sigma**2 if variables == "data" else level.alpha**2


def reading(level: Level, prediction: str, variables: str) -> tuple[Any, Any]:
    """``(a, b)`` of ``n = a x + b prediction`` for the prediction ``n`` whose variables are used.

    For ``"velocity"`` it is ``alpha eps - sigma x0`` on every process, whatever its own velocity is.
    """
    if variables == "velocity" and (prediction != "velocity" or level.v != (-level.sigma, level.alpha)):
        return convert(level, prediction, (-level.sigma, level.alpha))
    return convert(level, prediction, variables)


@dataclass(frozen=True, eq=False)
class _Triple:
    """The state, ``w dL/dx`` there, and ``sqrt(w)`` times the gradient gathered so far."""

    x: Any
    a: Any
    g: list[Any]


def _combination(problem: Problem) -> Callable[[Sequence[tuple[Any, _Triple]]], _Triple]:
    def lin(terms: Sequence[tuple[Any, _Triple]]) -> _Triple:
        parts = [[(c, t.g[i]) for c, t in terms] for i in range(len(problem.parameters))]
        return _Triple(
            problem.lin([(c, t.x) for c, t in terms]),
            problem.lin([(c, t.a) for c, t in terms]),
            [problem.lin(part) for part in parts],
        )

    return lin


def _answers(problem: Problem, variables: str) -> Callable[[_Triple, Level, str], _Triple]:
    def evaluate(at: _Triple, level: Level, quantity: str) -> _Triple:
        leaf, found = problem.graph(at.x, level)
        pulled, parts = problem.product(leaf, found, at.a)
        # n = c x + d found: the answer is that in n, read as the model's own prediction
        c, d = reading(level, quantity, variables)
        root = scale(level, variables) ** 0.5
        shift = c / d
        a = -pulled if shift == 0 else -pulled - 2 * shift * at.a
        return _Triple(found.detach(), a, [-part / root - shift * g for part, g in zip(parts, at.g, strict=True)])

    return evaluate


def _no_draw(line: Any) -> Any:
    raise AssertionError("refused before")


def _check(plan: Plan) -> None:
    if plan.draws:
        raise ValueError(
            f"{plan.solver} draws noise and so follows no ODE: differentiate its run with dn.gradients.checkpointed"
        )
    if plan.outputs[0][1] != plan.states[-1]:
        raise ValueError(f"{plan.solver} ends with {plan.end!r}, which is no state of the ODE: use end='stop'")


def _check_fit(plan: Plan, back: Plan) -> None:
    if plan.prediction != back.prediction:
        raise ValueError(
            f"there is {plan.prediction} prediction on the way to data and {back.prediction} prediction on the way "
            "back: compile both for what the model returns"
        )
    ends = (plan.stop, plan.start), (back.start, back.stop)
    if any((s.alpha, s.sigma) != (t.alpha, t.sigma) for s, t in zip(*ends, strict=True)):
        raise ValueError(
            f"the way back runs from sigma = {back.start.sigma} to {back.stop.sigma} and the way to data from "
            f"{plan.start.sigma} to {plan.stop.sigma}: compile it on dn.gradients.backwards(grid)"
        )


def check_variables(back: Plan, variables: str) -> None:
    """Refuse variables that are unknown, or not regular at some level at which the plan asks the model."""
    if variables not in PREDICTIONS:
        raise ValueError(f"variables = {variables!r} are unknown: use one of {', '.join(PREDICTIONS)}")
    levels = [*(line.level for line in back.lines if isinstance(line, Eval)), back.start, back.stop]
    for level in levels:
        if not _regular(level, back.prediction, variables):
            raise ValueError(
                f"the flow in variables of {variables} prediction, from a model of {back.prediction}, is not "
                f"defined at alpha = {float(level.alpha):g}, sigma = {float(level.sigma):g}: keep away from that end, "
                "or use other variables"
            )


def _regular(level: Level, prediction: str, variables: str) -> bool:
    try:
        return bool(scale(level, variables)) and bool(reading(level, prediction, variables)[1])
    except ZeroDivisionError:
        return False
