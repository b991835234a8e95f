"""``lift`` and ``examine``: a sampler of somebody else becomes a plan, and a list of findings."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..plan import Plan
from .building import assumed, build, ratio, stepped
from .checks import checks
from .findings import Finding
from .measured import measure
from .recording import Call, Recording
from .running import Stopped, parting, prepared, run, run_on_units
from .subjects import Subject, precise, subject
from .units import Exhausted

__all__ = ["Lifted", "examine", "lift"]

# loss of digits over a row's maximum that is more than rounding, times the root of the number of calls
LOST = 128 * 2.0**-24


@dataclass(frozen=True)
class Lifted:
    """A sampler examined.

    Attributes:
        name: of its class or function.
        plan: what it computes, evaluations at the levels that the model is told; None where a finding forbids one.
        assumed: the same with evaluations at the levels at which their inputs are.
        findings: faults first, then notes; see :class:`Finding`.
        steps: asked for, or None.
        times: what the model was told.
        precision: ``"shipped"`` or ``"double"``.
        loss: largest change of a coefficient, over its row's maximum, from double to its own precision; NaN where
            that was not measured.
    """

    name: str
    plan: Plan | None
    assumed: Plan | None
    findings: tuple[Finding, ...]
    steps: int | None
    times: tuple[float, ...]
    precision: str
    loss: float = float("nan")

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Findings that are no notes."""
        return tuple(f for f in self.findings if not f.note)

    def __str__(self) -> str:
        calls = f"{len(self.times)} calls" + (f" for {self.steps} steps" if self.steps else "")
        return "\n".join([f"{self.name}: {calls}", *(f"  {finding}" for finding in self.findings)])


def lift(
    thing: Any,
    walk: Any = None,
    *,
    process: Any = None,
    prediction: str | None = None,
    options: Mapping[str, Any] | None = None,
    timesteps: Mapping[str, Any] | Callable[[Any], Any] | None = None,
    precision: str = "shipped",
) -> Plan:
    """The plan of somebody else's sampler, by running it on unit vectors.

    The sampler must be linear in its start, in what its model returns and in its draws. It is run with ``x_T = e_0``,
    predictions and draws that are unit vectors of their own, and every input of the model becomes a row of
    coefficients; a second run on ``-3`` times these vectors and a third on random ones must give the same rows.

    The plan itself is returned, since it is what one goes on to sample, certify and compare; :func:`examine` gives
    the record of what was found on the way.

    Args:
        thing: one of

            - an object with ``set_timesteps`` and ``step``, as in diffusers. It is copied, never changed. What its
              times, inputs and outputs mean is read from what it has: ``alphas_cumprod``, ``config.prediction_type``,
              ``precondition_inputs`` and the like, ``num_train_timesteps``;
            - an object with ``timesteps``, ``step(x, t, s)`` and a denoiser with ``schedule(t)``, as in azula;
            - a function ``f(model, x, sigmas, **options)``, as in k-diffusion. ``model(x, sigma)`` returns the
              prediction. A parameter ``noise_sampler`` is given a Brownian motion in ``sigma``;
            - a function ``f(model, x)`` that walks a grid of its own; ``model(x, time)`` takes times of the process,
              or levels.
        walk: the number of steps; for functions the levels, noise first, or a :class:`diffnum.grid.Grid`, or None.
        process: of a function's model; default :class:`diffnum.process.EDM`. The model is told ``sigma`` for VE, EDM
            and Flow, else ``t``.
        prediction: what the model returns; default ``"data"`` for functions, the scheduler's own otherwise.
        options: keywords of every ``step``, or of the function.
        timesteps: further keywords of ``set_timesteps``, or a function that prepares the scheduler in its place.
        precision: ``"shipped"`` runs the code as it is; ``"double"`` with float64 wherever it says float32, tables
            included, for comparisons of formulas rather than of roundings.

    Returns:
        A plan whose ``levels`` are those at which the states are, in the sampler's own scale of the state (some step
        ``x / alpha``), and whose evaluations stand at the levels that the model is told.

    Raises:
        ValueError: it cannot be lifted: it raised an exception, is not linear, or has a coefficient that is not
            finite. The sentence names the step.
    """
    lifted = _examined(thing, walk, process, prediction, options, timesteps, precision, thorough=False)
    if lifted.plan is None:
        raise ValueError(f"{lifted.name} cannot be lifted: {lifted.findings[0].sentence}")
    return lifted.plan


def examine(
    thing: Any,
    walk: Any = None,
    *,
    process: Any = None,
    prediction: str | None = None,
    options: Mapping[str, Any] | None = None,
    timesteps: Mapping[str, Any] | Callable[[Any], Any] | None = None,
    precision: str = "shipped",
) -> Lifted:
    """:func:`lift` with everything that was found: see there for the arguments, :class:`Finding` for the kinds.

    Besides being linear, a sampler should do the same when it is made anew, when it is prepared and run again, and when
    it is run again as it is; compute in double precision what it computes in single; call its model at the levels
    of its states, as often as it was asked, at times that the network knows; draw fresh noise; take no idle step; and
    end at the data, or at the last level that the network knows.

    Raises:
        ValueError: only for something that is no sampler, or arguments that do not fit it.
    """
    return _examined(thing, walk, process, prediction, options, timesteps, precision, thorough=True)


def _examined(
    thing: Any,
    walk: Any,
    process: Any,
    prediction: str | None,
    options: Mapping[str, Any] | None,
    timesteps: Any,
    precision: str,
    thorough: bool,
) -> Lifted:
    if precision not in ("shipped", "double"):
        raise ValueError(f"precision {precision!r} is unknown: use shipped or double")
    sampler = subject(thing, walk, process, prediction, options, timesteps)
    double = precision == "double"
    try:
        recording, handle, tail = run_on_units(sampler, double)
    except Stopped as stopped:
        if isinstance(stopped.error, ValueError) and not thorough:
            raise ValueError(f"{sampler.name} cannot be lifted: {stopped.error}") from stopped
        return _without(sampler, precision, _stopped(stopped), ())
    times = tuple(c.time for c in recording.calls)
    broken = _infinite(recording)
    if broken is not None:
        return _without(sampler, precision, broken, times)
    frame = sampler.frame(handle)
    measured = measure(recording, frame, None if sampler.pinned else sampler.start)
    if not sampler.pinned:
        end = ratio(measured.states[-1]) if sampler.stop is None else ratio((sampler.stop.alpha, sampler.stop.sigma))
        recording = stepped(recording, sampler.start or recording.calls[0].level, end, sampler.levels)
    broken = _random(sampler, recording, tail, double) or _nonlinear(sampler, recording, tail, double)
    if broken is not None:
        return _without(sampler, precision, broken, times)
    plan = build(recording, measured, frame, sampler, sampler.prior(handle))
    found: list[Finding] = []
    loss = float("nan")
    if thorough:
        found += [*_states(sampler, recording, handle, tail, double)]
        loss = 0.0 if double else _loss(sampler, recording, tail)
        if loss > LOST * len(times) ** 0.5:
            found.append(_digits(loss))
        found += checks(recording, measured, frame, sampler, not double, 0.0 if math.isnan(loss) else loss)
    ordered = tuple(sorted(found, key=lambda f: f.note))
    return Lifted(sampler.name, plan, assumed(plan, measured, frame), ordered, sampler.steps, times, precision, loss)


def _without(sampler: Subject, precision: str, why: Finding, times: tuple[float, ...]) -> Lifted:
    return Lifted(sampler.name, None, None, (why,), sampler.steps, times, precision)


# --- what forbids a plan ---


def _stopped(stopped: Stopped) -> Finding:
    where = f"in step {stopped.step}, after {stopped.calls} calls" if stopped.calls else "before its first call"
    return Finding("stopped", f"it raises {stopped} {where}", stopped.step, stopped.calls)


def _infinite(recording: Recording) -> Finding | None:
    k = 0
    for event, row in recording.rows:
        if not np.isfinite(row).all():
            what = f"the input of call {k}" if isinstance(event, Call) else f"the state after step {event.step}"
            return Finding("infinite", f"{what} has coefficients that are not finite", event.step, k, float("inf"))
        k += isinstance(event, Call)
    return None


def _random(sampler: Subject, recording: Recording, tail: tuple[int, ...], double: bool) -> Finding | None:
    try:
        other = run(sampler, prepared(sampler, double), np.eye(len(recording.calls[0].row)), tail, double)
    except Stopped as stopped:
        return _stopped(stopped)
    except Exhausted:
        return Finding("random", "a second fresh run takes more calls or draws: make it depend on its arguments", 0)
    at = parting(recording, other, None, 1e-12)
    if at is None:
        return None
    sentence = f"two fresh runs differ from step {at.step} on: make it depend on nothing but its arguments"
    return Finding("random", sentence, at.step, at.call, at.size)


def _nonlinear(sampler: Subject, recording: Recording, tail: tuple[int, ...], double: bool) -> Finding | None:
    width = len(recording.calls[0].row)
    tol = 1e-9 if double else 1e-4
    rng = np.random.default_rng(0)
    more: Finding | None = None
    remedy = (
        f"set {' and '.join(f'{name}=False' for name in sampler.limits)}"
        if sampler.limits
        else "switch off clipping, thresholding, rescaling and step control, and lift the rest"
    )
    for basis, what in (
        (-3.0 * np.eye(width), "does not scale with its start and predictions"),
        (3.0 * rng.standard_normal((8 * width, 16)), "has coefficients that depend on what the model returns"),
    ):
        try:
            other = run(sampler, prepared(sampler, double), basis, tail, double)
        except Exhausted:
            # the next vectors are many more, to say where
            more = Finding("nonlinear", f"it takes more calls or draws for other predictions: {remedy}", 0)
            continue
        except Stopped as stopped:
            return _stopped(stopped)
        at = parting(recording, other, basis, tol)
        if at is not None:
            sentence = f"step {at.step} {what}, off by {at.size:.3g} of it: {remedy}"
            return Finding("nonlinear", sentence, at.step, at.call, at.size)
    return more


# --- what needs more runs ---


def _states(
    sampler: Subject, recording: Recording, handle: Any, tail: tuple[int, ...], double: bool
) -> Iterator[Finding]:
    """Memory: the handle has walked once."""
    basis = np.eye(len(recording.calls[0].row))

    def again(which: Any) -> Any:
        return parting(recording, run(sampler, which, basis, tail, double), None, 1e-12)

    if sampler.reset is None:
        return
    used = copy.deepcopy(handle)
    try:
        with precise(sampler, double):
            sampler.reset(handle)
        at = again(handle)
        words = f"differs from step {at.step} on" if at else ""
    except Stopped as stopped:
        at, words = _At(stopped.step), f"raises {stopped}"
    if at:
        sentence = f"prepared and run again it {words}: state of the run before is left"
        yield Finding("stale", sentence, at.step, at.call, at.size)
    try:
        at = again(used)
        words = f"differs from step {at.step} on" if at else ""
    except Stopped as stopped:
        at, words = _At(stopped.step), f"raises {stopped}"
    if at:
        yield Finding("reuse", f"run again without preparation it {words}", at.step, at.call, at.size)


@dataclass(frozen=True)
class _At:
    step: int
    call: int | None = None
    size: float = float("inf")


def _loss(sampler: Subject, recording: Recording, tail: tuple[int, ...]) -> float:
    """From the same tables in double precision."""
    basis = np.eye(len(recording.calls[0].row))
    try:
        exact = run(sampler, _cast(prepared(sampler)), basis, tail, True)
    except Stopped:
        return float("nan")
    if len(exact.events) != len(recording.events):
        return float("nan")
    worst = 0.0
    for one, two in zip(recording.dense(), exact.dense(), strict=True):
        if one.size:
            scale = np.abs(two).max(axis=1, keepdims=True)
            worst = max(worst, float((np.abs(one - two) / np.where(scale > 0, scale, 1.0)).max()))
    return worst


def _cast(handle: Any) -> Any:
    for name, value in list(vars(handle).items()) if hasattr(handle, "set_timesteps") else ():
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
            setattr(handle, name, value.double())
        elif isinstance(value, np.ndarray) and value.dtype == np.float32:
            setattr(handle, name, value.astype(np.float64))
    return handle


def _digits(loss: float) -> Finding:
    sentence = f"single precision changes a coefficient by {loss:.3g} of its row: compute coefficients in double"
    return Finding("precision", sentence, size=loss)
