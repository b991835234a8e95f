"""CFG++ around any sampler: an unconditional run that is moved towards the condition once a step."""

from __future__ import annotations

import math
from typing import Any

from ..noise import as_source
from ..plan import Eval, Level, Line, Plan, interpret
from ..read.sample import adapted_model, as_like, linear
from .guidance import check_prediction, read

__all__ = ["sample_cfgpp"]

Array = Any


def sample_cfgpp(
    plan: Plan, conditional: Any, unconditional: Any, strength: float, x: Array, noise: Any = None
) -> Array:
    """The run of ``plan`` on the unconditional model, moved at the end of each step from ``s`` to ``t`` by

        alpha_t strength (D_c - D_u)    at the state and level where the step began.

    This is CFG++ (Chung et al. 2024, for solvers of high order): the first term of a step is guided, what re-noises it
    and every correction of higher order is unconditional. For ``ddim`` it is :func:`~diffnum.models.cfgpp`; for other
    samplers it is no guidance of any scale. It takes ``plan.nfe + plan.steps`` calls. As the moves do not shrink with
    the steps, it has no limit as an ODE, and a sampler's order says nothing of it but for ``strength = 0``, the sampler
    itself.

    Args:
        plan: one that evaluates the model at the state in which each step begins.
        conditional, unconditional: models of ``plan.prediction``, or targets.
        strength: ``lambda`` of the paper, in [0, 1] there.
        x: ``x_T``, as for ``dn.sample``.
        noise: as for ``dn.sample``; required where the plan draws.

    Raises:
        ValueError: a step that does not evaluate where it begins, such as a predictor's; an end that denoises; a
            strength that is not finite.
    """
    if not math.isfinite(strength):
        raise ValueError(f"strength = {strength!r} is no strength of guidance: give a finite number")
    if plan.end not in ("stop", "zero"):
        raise ValueError(f"the plan ends by {plan.end!r}, for which CFG++ is not defined: let it stop, or reach zero")
    for model in (conditional, unconditional):
        check_prediction(model, plan.prediction)
    strong, weak = (adapted_model(model, plan.prediction) for model in (conditional, unconditional))
    starts = _starts(plan)
    draw: Any = as_source(noise) if plan.draws else None
    level_of = {r: i for i, r in enumerate(plan.states)}
    states: dict[int, Array] = {}
    free: dict[int, Array] = {}

    def evaluate(value: Array, level: Level, quantity: str) -> Array:
        return as_like(weak(value, level), value)

    def visit(r: int, line: Line | None, value: Array) -> Array:
        if r in starts:
            free[starts[r]] = value
        i = level_of.get(r)
        if i is None:
            return value
        if i:
            s = plan.levels[i - 1]
            before, own = states.pop(i - 1), free.pop(i - 1)
            bound = as_like(strong(before, s), before)
            D_c, D_u = (read(before, prediction, s, plan.prediction, "data") for prediction in (bound, own))
            value = value + float(plan.levels[i].alpha) * strength * (D_c - D_u)
        states[i] = value
        return value

    return interpret(plan, x, linear(x), evaluate, lambda line: draw(line, x), visit)[0]


def _starts(plan: Plan) -> dict[int, int]:
    """Registers of the evaluations at which steps begin, to the index of the step."""
    place = {r: i for i, r in enumerate(plan.states[:-1])}
    found: dict[int, int] = {}
    for r in plan.evaluations:
        line = plan.lines[r - 1]
        assert isinstance(line, Eval)
        i = place.get(line.x)
        if i is not None and line.step == i and line.level == plan.levels[i]:
            found[r] = i
    missing = sorted(set(place.values()) - set(found.values()))
    if missing:
        raise ValueError(
            f"step {missing[0]} of {plan.solver} does not evaluate the state in which it begins: use a sampler without "
            "a corrector that hands its evaluation on"
        )
    return found
