"""What can be lifted, as one kind of object: something to prepare afresh, to walk once, and perhaps to reset."""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from ..grid import Grid
from ..plan import Level
from ..process import EDM
from .frames import Frame, of_process, of_schedule, of_scheduler
from .units import Path, Session, widened

__all__ = ["Subject", "precise", "subject"]


@dataclass(frozen=True)
class Subject:
    """A sampler of somebody else.

    Attributes:
        name: of the class or function.
        prepare: a fresh one, ready to walk; its argument asks for one whose code is in double precision.
        walk: from it and a session to the output, noted there.
        frame: of a prepared one.
        reset: makes one that has walked ready again; None where there is nothing to reset.
        steps: number of steps asked for; None where the sampler was not told.
        start, stop: levels, where they are known beforehand.
        levels: ``sigma / alpha`` of the levels that it was given.
        modules: whose code it runs.
        limits: settings that are switched on and make a sampler not linear.
        prior: standard deviation of ``x_T``.
        pinned: the state is replaced by a unit vector at every step.
    """

    name: str
    prepare: Callable[[bool], Any]
    walk: Callable[[Any, Session], None]
    frame: Callable[[Any], Frame]
    reset: Callable[[Any], None] | None = None
    steps: int | None = None
    start: Level | None = None
    stop: Level | None = None
    levels: tuple[float, ...] = ()
    modules: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    prior: Callable[[Any], float | None] = field(default=lambda handle: None)
    pinned: bool = False


def subject(
    thing: Any,
    walk: Any = None,
    process: Any = None,
    prediction: str | None = None,
    options: Mapping[str, Any] | None = None,
    timesteps: Mapping[str, Any] | Callable[[Any], Any] | None = None,
) -> Subject:
    """The kind of thing it is, by what it has; see :func:`diffnum.lifting.lift`.

    Raises:
        ValueError: something that none of the ways of lifting fits.
    """
    options = dict(options or {})
    if inspect.isclass(thing):
        raise ValueError(f"{thing.__name__} is a class: make one with its settings and lift that")
    if hasattr(thing, "set_timesteps") and hasattr(thing, "step"):
        return _scheduler(thing, walk, prediction, options, timesteps)
    if hasattr(thing, "step") and hasattr(thing, "timesteps"):
        return _stepper(thing, prediction or "data", options)
    if callable(thing):
        return _function(thing, walk, process, prediction or "data", options)
    raise ValueError(
        f"a {type(thing).__name__} is no sampler: lift an object with set_timesteps and step, one with timesteps and "
        "step(x, t, s), a function f(model, x, sigmas) or a function f(model, x)"
    )


# --- set_timesteps and step ---


def _scheduler(
    thing: Any,
    n: Any,
    prediction: str | None,
    options: dict[str, Any],
    timesteps: Mapping[str, Any] | Callable[[Any], Any] | None,
) -> Subject:
    if timesteps is None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
        raise ValueError(f"n = {n!r} is no number of steps: lift(scheduler, n) with an integer >= 1, or timesteps=")
    config = getattr(thing, "config", None)
    modules = tuple(k.__module__ for k in type(thing).__mro__ if k.__module__.split(".")[0] != "builtins")
    # it may leave its levels to the code of another
    modules += tuple(getattr(thing, "levels_from", ()))
    own = tuple(dict.fromkeys(m for m in modules if m in sys.modules))

    def start(scheduler: Any) -> None:
        if callable(timesteps):
            timesteps(scheduler)
        elif n is None:
            scheduler.set_timesteps(**(timesteps or {}))
        else:
            scheduler.set_timesteps(n, **(timesteps or {}))

    @cache
    def wide() -> Any:
        # called where its code is in double precision; some take long to make
        return type(thing).from_config(config)

    def prepare(double: bool) -> Any:
        again = hasattr(type(thing), "from_config") and config is not None
        made = copy.deepcopy(wide() if double and again else thing)
        start(made)
        return made

    return Subject(
        name=type(thing).__name__,
        prepare=prepare,
        walk=lambda scheduler, session: _steps(scheduler, session, options),
        frame=lambda scheduler: of_scheduler(scheduler, prediction),
        reset=start,
        steps=n,
        modules=own,
        limits=_limits(config),
        prior=lambda scheduler: _number(getattr(scheduler, "init_noise_sigma", None)),
        pinned=True,
    )


def _steps(scheduler: Any, session: Session, options: dict[str, Any]) -> None:
    given = inspect.signature(scheduler.step).parameters
    if "return_dict" in given:
        options = {"return_dict": False, **options}
    if getattr(scheduler, "noise_sampler", options) is None:
        scheduler.noise_sampler = Path(session)
    x = session.start()
    for i, t in enumerate(scheduler.timesteps):
        session.step = i
        view = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        result = scheduler.step(session.model(view, t), t, x, **options)
        x = result if isinstance(result, torch.Tensor) else result[0]
        x = session.pin(x)


def _limits(config: Any) -> tuple[str, ...]:
    items = dict(config).items() if isinstance(config, Mapping) else vars(config).items() if config else ()
    return tuple(k for k, v in items if v is True and any(word in k for word in ("clip", "threshold", "rescale_")))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


# --- timesteps and step(x, t, s) ---


@dataclass
class _Denoiser:
    """Stands for a denoiser ``q = denoiser(x, t)`` with ``q.mean`` and a schedule."""

    session: Session
    schedule: Any
    mean: Any = None

    def __call__(self, x: torch.Tensor, t: Any, *unused: Any, **options: Any) -> _Denoiser:
        return _Denoiser(self.session, self.schedule, self.session.model(x, t))


def _stepper(thing: Any, prediction: str, options: dict[str, Any]) -> Subject:
    name = next((k for k, v in vars(thing).items() if callable(v) and hasattr(v, "schedule")), None)
    if name is None:
        raise ValueError(
            f"{type(thing).__name__} holds no denoiser with a schedule(t): lift a function f(model, x) that makes one"
        )
    schedule = getattr(thing, name).schedule
    times = thing.timesteps

    def walk(sampler: Any, session: Session) -> None:
        setattr(sampler, name, _Denoiser(session, schedule))
        x = session.start()
        if callable(sampler):
            out: Any = sampler(x, **options)
            session.finish(out)
            return
        for i in range(len(times) - 1):
            session.step = i
            x = session.pin(sampler.step(x, times[i], times[i + 1], **options))

    frame = of_schedule(schedule, prediction)
    levels = [frame.told(t) for t in times]
    return Subject(
        name=type(thing).__name__,
        prepare=lambda double: copy.copy(thing),
        walk=walk,
        frame=lambda sampler: frame,
        steps=len(times) - 1,
        start=levels[0],
        stop=levels[-1],
        levels=_ratios(levels),
        modules=tuple(k.__module__ for k in type(thing).__mro__ if k.__module__ in sys.modules and k is not object),
        pinned=not callable(thing),
    )


def _ratios(levels: Sequence[Level]) -> tuple[float, ...]:
    return tuple(float("inf") if level.pure_noise else level.sigma / level.alpha for level in levels)


# --- functions ---


def _function(thing: Any, walk: Any, process: Any, prediction: str, options: dict[str, Any]) -> Subject:
    process = process or (walk.process if isinstance(walk, Grid) else EDM())
    frame = of_process(process, prediction)
    given = _parameters(thing)
    if isinstance(walk, int):
        raise ValueError(f"n = {walk!r} says nothing to a function: give it the sigmas, or walk its grid inside it")
    times = None if walk is None else _times(walk, frame)
    levels = [] if times is None else [*walk] if isinstance(walk, Grid) else [frame.told(t) for t in times]
    required = [p for p in given.values() if p.kind <= p.POSITIONAL_OR_KEYWORD and p.name not in options]
    own = len(required) == 2

    def call(function: Any, session: Session) -> None:
        more = dict(options)
        if "noise_sampler" in given and "noise_sampler" not in more:
            more["noise_sampler"] = Path(session)
        if "disable" in given:
            more.setdefault("disable", True)
        rest = () if times is None or own else (torch.tensor(times, dtype=torch.float64),)
        session.finish(function(session.model, session.start(), *rest, **more))

    return Subject(
        name=getattr(thing, "__name__", type(thing).__name__),
        prepare=lambda double: thing,
        walk=call,
        frame=lambda function: frame,
        steps=len(levels) - 1 if levels else None,
        start=levels[0] if levels else None,
        stop=levels[-1] if levels else None,
        levels=_ratios(levels),
        modules=tuple(m for m in (getattr(thing, "__module__", None),) if m in sys.modules),
    )


def _parameters(thing: Any) -> Mapping[str, Any]:
    try:
        return inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return {}


def _times(walk: Any, frame: Frame) -> list[float]:
    if isinstance(walk, Grid):
        return [float(level.sigma if frame.kind in ("exploding", "flow") else level.t) for level in walk]
    values = [float(s) for s in walk]
    if len(values) < 2:
        raise ValueError(f"{len(values)} levels make no step: give at least two, noise first")
    return values


# --- precision ---


@contextmanager
def precise(subject: Subject, double: bool) -> Iterator[None]:
    """The context in which a subject is prepared and walks."""
    with warnings.catch_warnings(), widened(subject.modules) if double else nullcontext():
        # deprecations between others' code, numpy and torch are theirs to settle
        warnings.simplefilter("ignore")
        yield
