"""Run a plan on arrays: torch tensors on any device and dtype, or numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..noise import as_source
from ..plan import PREDICTIONS, Level, Plan
from .buffers import narrow, plain
from .execute import Execution, Hooks, eager, linear
from .invert import from_inputs
from .lean import lean, unit

__all__ = ["linear", "sample"]

Model = Callable[[Any, Level], Any]


class _Stop(Exception):
    """Carries the state reached."""


def sample(
    plan: Plan,
    model: Model | Any,
    x: Any,
    noise: Any = None,
    keep: str = "last",
    outputs: str = "first",
    callback: Callable[[int, Level, Any, Any], Any] | None = None,
    pinned: dict[int, Any] | None = None,
    execution: Execution = eager,
) -> Any:
    """The sampler's run from ``x`` at ``plan.start``.

    Args:
        plan: what to run. Coefficients are float64; the state keeps the dtype of ``x``, and a model
            that returns another dtype is cast to it here, the one place where a cast happens.
        model: ``model(x, level) -> prediction`` of ``plan.prediction``, or a target, whose exact
            prediction is used.
        x: ``x_T``, torch or numpy, any shape whose first axis is the batch; or a tuple of all of ``plan.inputs``, the
            partner states of a reversible sampler, such as the outputs of the run that is to be undone.
        noise: ``dn.noise.Counter(seed)``, ``dn.noise.Brownian(seed)`` or ``f(s, t, j, x)``; required where the plan
            draws.
        keep: ``"last"``; ``"states"`` returns the state at every level, ``"denoised"`` every evaluation
            as the model returned it, both as lists.
        outputs: ``"first"`` or ``"all"`` (a tuple in the order of ``plan.outputs``).
        callback: ``callback(step, level, x, D)`` after each step with the state reached and the last
            prediction; returning True stops the run, which then gives the state reached.
        pinned: replacement values for states by level index, such as exact starting values.
        execution: how linear lines are computed. :func:`dn.eager <diffnum.read.execute.eager>` writes them into buffers
            that are used again, and never into what anybody else holds; ``dn.fused`` compiles them for a CPU or a GPU,
            ``dn.triton_lines`` has a kernel for a GPU; ``dn.quickest`` compiles them where that was measured to be
            quicker. ``dn.captured`` and ``dn.unrolled`` take the network along.

    Raises:
        ValueError: ``x`` of integers; a plan that draws noise run without a source; a model of another shape, or a
            network that says of itself that it predicts something else; unknown ``keep``; a tuple of another length
            than ``plan.inputs``.
    """
    if keep not in ("last", "states", "denoised"):
        raise ValueError(f"keep = {keep!r} is unknown: use 'last', 'states' or 'denoised'")
    if outputs not in ("first", "all"):
        raise ValueError(f"outputs = {outputs!r} is unknown: use 'first' or 'all'")
    plan, x, partners = started(plan, x)
    draw = as_source(noise) if plan.draws else None
    call = adapted_model(model, plan.prediction)
    level_of = {r: i for i, r in enumerate(plan.states)}
    states: list[Any] = []
    seen: list[Any] = []

    def evaluate(value: Any, level: Level, quantity: str) -> Any:
        prediction = as_like(call(value, level), value)
        # nothing is held longer than somebody asked for it
        if keep == "denoised":
            seen.append(prediction)
        elif callback:
            seen[:] = [prediction]
        return prediction

    def visit(r: int, value: Any) -> None:
        i = level_of[r]
        if keep == "states":
            states.append(value)
        if callback and i and callback(i, plan.levels[i], value, seen[-1] if seen else None):
            raise _Stop(value)

    given = partners | {r: pinned[i] for r, i in level_of.items() if pinned and i in pinned}
    watched = frozenset(level_of if callback or keep == "states" else ())
    hooks = Hooks(evaluate, lambda line: draw(line, x), visit, given, watched)  # type: ignore[misc]
    if plain(x):
        known = watched | given.keys()
        plan = plan if known else lean(plan)
        plan = plan if narrow(x.dtype) else unit(plan, known)
    try:
        results = execution(plan, x, hooks)
    except _Stop as stop:
        results = stop.args
    if keep == "states":
        return states
    if keep == "denoised":
        return seen
    return results if outputs == "all" else results[0]


def started(plan: Plan, x: Any) -> tuple[Plan, Any, dict[int, Any]]:
    """The plan to run, ``x_T``, and the values of further inputs by register."""
    for state in x if isinstance(x, (tuple, list)) else (x,):
        _check_kind(state)
    if not isinstance(x, (tuple, list)):
        return plan, _in_memory(x), {}
    if len(x) != len(plan.inputs):
        names = ", ".join(name for name, _ in plan.inputs)
        raise ValueError(f"{len(x)} states were given and {plan.solver} starts from {len(plan.inputs)}: give {names}")
    plan, x = from_inputs(plan), [_in_memory(state) for state in x]
    return plan, x[0], {r: as_like(value, x[0]) for (_, r), value in zip(plan.inputs[1:], x[1:], strict=True)}


def _in_memory(x: Any) -> Any:
    """An array on disk as the plain array that a model makes of it."""
    return np.asarray(x) if isinstance(x, np.memmap) else x


def _check_kind(x: Any) -> None:
    """Refuse states whose numbers have no fraction."""
    dtype = getattr(x, "dtype", None)
    kind = getattr(dtype, "kind", None)
    whole = kind in ("b", "i", "u") if isinstance(kind, str) else getattr(dtype, "is_floating_point", None) is False
    if whole and getattr(dtype, "is_complex", False) is False:
        raise ValueError(f"x is of {dtype}, in which every state would be rounded to whole numbers: pass floats")


def adapted_model(model: Any, prediction: str) -> Model:
    predict = getattr(model, "predict", None)
    if predict is not None and hasattr(model, "denoise"):
        return lambda x, level: _flat(x, model.dim, lambda rows: predict(rows, level, prediction))
    if not callable(model):
        raise ValueError(f"{type(model).__name__} is no model: give a function model(x, level) or a target")
    own = getattr(model, "prediction", prediction)
    if own in PREDICTIONS and own != prediction:
        raise ValueError(
            f"the network predicts {own} and the plan takes a prediction of {prediction}: compile the plan for {own!r}"
        )
    return model


def _flat(x: Any, dim: int, f: Callable[[Any], Any]) -> Any:
    """``f`` on rows of ``dim`` numbers where ``x`` is a batch of images of that many."""
    if len(x.shape) > 2 and x.shape[-1] != dim and math.prod(x.shape[1:]) == dim:
        return f(x.reshape(len(x), dim)).reshape(x.shape)
    return f(x)


def as_like(value: Any, x: Any) -> Any:
    if type(value) is not type(x) and not isinstance(value, type(x)):
        raise ValueError(
            f"the model returned a {type(value).__name__} for a {type(x).__name__}: return what the state is"
        )
    if getattr(value, "shape", None) != x.shape:
        raise ValueError(
            f"the model returned shape {tuple(getattr(value, 'shape', ()))} for a state of shape {tuple(x.shape)}: "
            "a prediction has the shape of its input"
        )
    if value.dtype == x.dtype:
        return value
    return value.to(x.dtype) if hasattr(value, "to") else value.astype(x.dtype)
