"""What there is to audit in a library: its samplers, and the settings that their signatures offer."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .quiet import quiet

__all__ = ["Case", "Constant", "Sampler", "cases", "library_of", "samplers"]

# parts of a package in which samplers live, by custom
PLACES = ("", "schedulers", "sampling", "sample", "samplers", "solvers")
# values other than the default, by the name of a parameter that is a number
NUMBERS: dict[str, tuple[Any, ...]] = {
    "shift": (3.0,),
    "flow_shift": (3.0,),
    "shift_terminal": (0.1,),
    "steps_offset": (1,),
    "eta": (0.0, 1.0),
    # a corrector reads one value more than its predictor
    "corrector_order": (1, 2, 3, 4),
}
# settings that make sense together only
COMPANIONS = {
    "use_flow_sigmas": ("prediction_type", "flow_prediction"),
    # noise says nothing of the data where there is no signal (Lin et al. 2024, section 3.2)
    "rescale_betas_zero_snr": ("prediction_type", "v_prediction"),
}
# values that mean nothing without their companion
DEPENDENT = ("flow_prediction",)
# what a function of this parameter of set_timesteps expects, where a setting asks for it
DEMANDS = {"use_dynamic_shifting": ("mu", 0.8)}
# settings that cut states or predictions: no linear method is left where they are on
LIMITING = ("clip_", "thresholding")
# switches of what is printed or returned
SILENT = ("return_", "silent", "disable", "verbose")
# what makes a method's formula, its grid, the end of its grid, its noise
FORMULA = ("algorithm_type", "solver_type", "predict_x0")
NOISE = ("beta_schedule",)
# what makes levels, by the beginning of its name: the method stays what it is
LEVELWISE = ("use_", "beta", "timestep", "steps_", "rescale_", "shift", "flow_", "set_alpha", "sigma_", "interpolation")


@dataclass(frozen=True)
class Constant:
    """A function that returns one number, for settings that are functions of time."""

    value: float

    def __call__(self, *unused: Any) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"lambda t: {self.value:g}"


@dataclass(frozen=True)
class Denoiser:
    """Stands for a denoiser whose schedule is linear in log-SNR, from 4 at time 0 to -4 at time 1."""

    def schedule(self, t: Any) -> tuple[Any, Any]:
        """``(alpha, sigma)`` on the circle, tensors."""
        import torch

        lam = 4 - 8 * torch.as_tensor(t)
        return torch.sigmoid(2 * lam).sqrt(), torch.sigmoid(-2 * lam).sqrt()

    def __call__(self, x: Any, t: Any, **options: Any) -> Any:
        """Not for use: what is lifted is given another."""
        raise NotImplementedError("this denoiser has a schedule alone")


@dataclass(frozen=True)
class Sampler:
    """One class or function of a library.

    Attributes:
        path: ``"module:name"``, from where it is imported.
        kind: ``"scheduler"`` (``set_timesteps`` and ``step``), ``"stepper"`` (``step(x_t, t, s)`` and a denoiser) or
            ``"function"`` (``f(model, x, sigmas)`` or ``f(model, x)``).
    """

    path: str
    kind: str

    @property
    def name(self) -> str:
        """Without its module."""
        return self.path.split(":")[1]

    @property
    def thing(self) -> Any:
        """The class or function."""
        return _found(self.path)


@dataclass(frozen=True)
class Case:
    """A sampler with settings: one thing that is audited.

    Attributes:
        sampler: which.
        settings: that differ from the defaults, of its constructor; of a function its own.
        options: keywords of every step.
        off: limiting settings that are on by default and switched off here.
        preparation: keywords of ``set_timesteps`` beside the number of steps.
    """

    sampler: Sampler
    settings: tuple[tuple[str, Any], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    off: tuple[str, ...] = ()
    preparation: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """Name and settings, as one would write them."""
        given = [f"{k}={v!r}" for k, v in (*self.settings, *((self._step + k, v) for k, v in self.options))]
        return f"{self.sampler.name}({', '.join(given)})"

    @property
    def _step(self) -> str:
        return "step." if self.sampler.kind == "scheduler" else ""

    @property
    def chosen(self) -> dict[str, Any]:
        """All settings and options."""
        return {**dict(self.settings), **dict(self.options)}

    def build(self, steps: int = 10) -> Any:
        """A new object of the class, one that is made with a denoiser for so many steps; a function as it is."""
        thing = self.sampler.thing
        if self.sampler.kind == "scheduler":
            return thing(**dict(self.settings), **{name: False for name in self.off})
        if self.sampler.kind == "stepper":
            import torch

            given = {name for kind in thing.__mro__ for name in inspect.signature(kind.__init__).parameters}
            more = {"denoiser": Denoiser(), "steps": steps, "silent": True, "dtype": torch.float64}
            return thing(**dict(self.settings), **{k: v for k, v in more.items() if k in given})
        return thing

    @property
    def levelwise(self) -> bool:
        """It differs from the defaults by its levels alone."""
        return bool(self.settings) and all(name.startswith(LEVELWISE) for name, _ in self.settings)

    @property
    def alone(self) -> bool:
        """One setting is changed at most, and what belongs to it, and levels alone are made by it."""
        given = dict(self.settings)
        forced = dict(pair for name, pair in COMPANIONS.items() if given.get(name) is True)
        own = [name for name, value in self.settings if forced.get(name) != value]
        return len(own) < 2 and all(name.startswith(LEVELWISE) for name in own)

    @property
    def call(self) -> str:
        """The line of Python that makes it."""
        given = [f"{k}={v!r}" for k, v in self.settings] + [f"{name}=False" for name in self.off]
        return f"{self.sampler.name}({', '.join(given)})"


def library_of(target: str) -> str:
    """The package that ``target`` means: ``k-diffusion`` is imported as ``k_diffusion``."""
    return target.split(":")[0].split(".")[0].replace("-", "_")


def samplers(target: str) -> tuple[Sampler, ...]:
    """Samplers of a library, or the one at ``path.to:name``.

    Raises:
        ValueError: nothing there, or nothing that is a sampler.
    """
    if ":" in target:
        kind = _kind(_found(target))
        if kind is None:
            raise ValueError(
                f"{target} is no sampler: name a class with set_timesteps and step, one with step(x_t, t, s), or a "
                "function f(model, x, sigmas)"
            )
        return (Sampler(target, kind),)
    found = {s.name: s for s in _listed(library_of(target))}
    if not found:
        raise ValueError(f"{target} shows no samplers: name one as path.to:callable")
    return tuple(found[name] for name in sorted(found))


def _listed(library: str) -> Iterator[Sampler]:
    root = _module(library)
    for place in PLACES:
        try:
            module = importlib.import_module(f"{library}.{place}") if place else root
        except ImportError:
            continue
        for name in dir(module):
            if name.startswith("_"):
                continue
            try:
                kind = _kind(getattr(module, name), name)
            except Exception:
                # what is not there without a further package
                continue
            if kind is not None:
                yield Sampler(f"{module.__name__}:{name}", kind)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{name} cannot be imported ({error}): install it, or check the name") from error


def _found(path: str) -> Any:
    module, name = path.split(":", 1)
    try:
        return getattr(_module(module), name)
    except AttributeError as error:
        raise ValueError(f"{module} has no {name}: check the name") from error


def _kind(thing: Any, name: str | None = None) -> str | None:
    if inspect.isclass(thing):
        step = getattr(thing, "step", None)
        if inspect.isabstract(thing) or not callable(step):
            return None
        if callable(getattr(thing, "set_timesteps", None)):
            return "scheduler"
        given = list(inspect.signature(step).parameters)[1:]
        return "stepper" if given[:3] == ["x_t", "t", "s"] else None
    if inspect.isfunction(thing) and (name is None or name.startswith("sample_")):
        given = inspect.signature(thing).parameters
        needed = [p.name for p in given.values() if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD]
        return "function" if len(needed) > 1 and (name is None or needed[:2] == ["model", "x"]) else None
    return None


# --- settings ---


@dataclass(frozen=True)
class _Choice:
    """Values that a parameter may take besides its default."""

    name: str
    default: Any
    others: tuple[Any, ...] = ()
    limiting: bool = False

    @property
    def order(self) -> bool:
        return "order" in self.name and isinstance(self.default, int) and not isinstance(self.default, bool)

    @property
    def grid(self) -> bool:
        return self.name.startswith("use_") and self.default in (False, None) and self.others == (True,)

    @property
    def end(self) -> bool:
        return self.name.startswith("final_")


@dataclass
class _Vocabulary:
    """Words that a library lists for its parameters anywhere, for those that only say ``str``."""

    words: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @staticmethod
    def of(things: list[Any]) -> _Vocabulary:
        found = _Vocabulary()
        for thing in things:
            for name, hint in _hints(thing).items():
                known = found.words.get(name, ())
                found.words[name] = (*known, *(v for v in _literals(hint) if v not in known))
        return found


def cases(target: str) -> tuple[Case, ...]:
    """Every sampler of ``target`` with every setting that is audited.

    The defaults; each setting changed alone; orders with formulas; the highest order with every grid and every end, and
    with every formula on one grid; noise schedules with grids. A setting that its class refuses is tried once more
    with the setting that the refusal names.

    Raises:
        ValueError: as :func:`samplers`.
    """
    chosen = samplers(target)
    words = _Vocabulary.of([s.thing for s in samplers(library_of(target))] if ":" not in target else [])
    found: dict[str, Case] = {}
    # where warnings are errors a warning is no refusal
    with quiet():
        for sampler in chosen:
            for case in _cases(sampler, words):
                found.setdefault(case.key, case)
    return tuple(found.values())


def _cases(sampler: Sampler, words: _Vocabulary) -> Iterator[Case]:
    choices = _choices(sampler.thing, words)
    if sampler.kind != "scheduler":
        for settings in _settings([c for c in choices if not c.limiting]):
            given = tuple(settings.items())
            yield Case(sampler, given) if sampler.kind == "stepper" else Case(sampler, (), given)
        return
    off = tuple(c.name for c in choices if c.limiting and c.default is True)
    choices = [c for c in choices if not c.limiting]
    given = inspect.signature(sampler.thing.set_timesteps).parameters
    for settings in _settings(choices):
        need = tuple(DEMANDS[k] for k, v in settings.items() if v is True and k in DEMANDS and DEMANDS[k][0] in given)
        full = dict(settings)
        for name, (other, value) in COMPANIONS.items():
            if settings.get(name) is True and any(c.name == other and value in c.others for c in choices):
                full.setdefault(other, value)
        case = Case(sampler, tuple(full.items()), (), off, need)
        yield case if case.levelwise else _accepted(case, choices)
    steps = inspect.signature(sampler.thing.step).parameters
    for choice in (c for c in _choices(sampler.thing.step, words) if c.name in steps):
        for value in choice.others:
            yield Case(sampler, (), ((choice.name, value),), off)


def _settings(choices: list[_Choice]) -> Iterator[dict[str, Any]]:
    yield {}
    for choice in choices:
        yield from ({choice.name: value} for value in choice.others if value not in DEPENDENT)
    orders = [c for c in choices if c.order]
    formula = [c for c in choices if c.name in FORMULA]
    grids = [c for c in choices if c.grid]
    ends = [c for c in choices if c.end]
    for values in product(*((c.default, *c.others) for c in (*orders, *formula))):
        yield _differing([*orders, *formula], values)
    top = {c.name: max(c.default, *c.others) for c in orders}
    for grid in grids[:1] if orders else ():
        for choice in formula:
            yield from ({**top, choice.name: value, grid.name: True} for value in choice.others)
    for grid in grids:
        yield {**top, grid.name: True}
        for end in ends:
            yield from ({**top, grid.name: True, end.name: value} for value in end.others)
        for noise in (c for c in choices if c.name in NOISE):
            yield from ({noise.name: value, grid.name: True} for value in noise.others)


def _differing(choices: list[_Choice], values: tuple[Any, ...]) -> dict[str, Any]:
    return {c.name: v for c, v in zip(choices, values, strict=True) if v != c.default}


def _accepted(case: Case, choices: list[_Choice]) -> Case:
    try:
        case.build()
    except Exception as refusal:
        said = str(refusal)
        for choice in choices:
            if choice.name not in said or choice.name in dict(case.settings):
                continue
            for value in choice.others:
                again = Case(case.sampler, (*case.settings, (choice.name, value)), case.options, case.off)
                try:
                    again.build()
                except Exception:
                    continue
                return again
    return case


def _choices(thing: Any, words: _Vocabulary) -> list[_Choice]:
    function = inspect.unwrap(thing.__init__) if inspect.isclass(thing) else thing
    hints = _hints(thing)
    found = []
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        default = parameter.default
        if default is parameter.empty:
            continue
        if any(word in name for word in LIMITING):
            found.append(_Choice(name, default, (), True))
        else:
            found.append(_Choice(name, default, _others(name, default, hints.get(name), words)))
    return found


def _others(name: str, default: Any, hint: Any, words: _Vocabulary) -> tuple[Any, ...]:
    if name in NUMBERS:
        return tuple(v for v in NUMBERS[name] if v != default)
    if isinstance(default, bool) or (default is None and name.startswith("use_")):
        return () if name.startswith(SILENT) else (not default,)
    if "order" in name and isinstance(default, int):
        return tuple(v for v in range(1, max(3, default) + 1) if v != default)
    if default is None and "Callable" in str(hint):
        return (Constant(0.0),)
    listed = _literals(hint) or (words.words.get(name, ()) if isinstance(default, str) else ())
    if isinstance(default, str) and default not in listed:
        return ()
    # learned values need a network with more outputs
    return tuple(v for v in listed if v != default and "learned" not in str(v))


def _literals(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(v for part in get_args(hint) for v in _literals(part))


def _hints(thing: Any) -> Mapping[str, Any]:
    function = inspect.unwrap(thing.__init__) if inspect.isclass(thing) else thing
    try:
        return get_type_hints(function)
    except Exception:
        return getattr(function, "__annotations__", {})
