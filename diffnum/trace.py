"""Write the formula of the paper; get a :class:`~diffnum.plan.Plan`.

The author of a sampler is a function ``f(T, grid)`` over symbols that record themselves: a
:class:`Form` is a linear combination of registers, a :class:`Trace` hands out the state ``T.x``,
the steps of the grid, evaluations of the model and draws of noise.

.. code-block:: python

    @solver(order=1, cold=1, cite="song2021ddim", eq="12")
    def ddim(T, grid):
        for s, t in T.steps(grid):
            r = t.sigma / s.sigma
            T.x = r * T.x + (t.alpha - r * s.alpha) * T.denoise(T.x, s)

Builders branch on indices and on the flags ``pure_noise`` and ``clean``, never on numbers, so the
same source runs on floats, torch leaves, sympy expressions and truncated series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .folding import Infinite, finite, fold
from .nodes import evaluated, level_inside, linear, made
from .num import scaled
from .plan import PREDICTIONS, Level, Line, Noise, Plan
from .prediction import convert

__all__ = ["Evaluation", "Form", "Solver", "Trace", "compile", "solver"]


@dataclass(frozen=True, init=False, slots=True)
class Form:
    """A linear combination of registers; ``+ -`` with forms, ``* /`` with coefficients."""

    terms: tuple[tuple[int, Any], ...] = ()

    # numpy scalars and arrays must not swallow a Form from the left
    __array_ufunc__ = None

    def __init__(self, terms: tuple[tuple[int, Any], ...] = ()) -> None:
        # two for every term of a formula: past the frozen door they take half the time
        _set_terms(self, terms)

    def __add__(self, other: Form | int) -> Form:
        if not isinstance(other, Form):
            return self if other == 0 else NotImplemented
        terms = dict(self.terms)
        for r, c in other.terms:
            terms[r] = terms[r] + c if r in terms else c
        return Form(tuple(terms.items()))

    __radd__ = __add__

    def __neg__(self) -> Form:
        return Form(tuple([(r, -c) for r, c in self.terms]))

    def __sub__(self, other: Form) -> Form:
        return self + (-other)

    def __mul__(self, c: Any) -> Form:
        if isinstance(c, Form):
            raise TypeError("a sampler is linear in its registers: a product of two forms has no plan")
        return Form(tuple([(r, c if isinstance(a, float) and a == 1.0 else c * a) for r, a in self.terms]))

    __rmul__ = __mul__

    def __truediv__(self, c: Any) -> Form:
        return Form(tuple([(r, a / c) for r, a in self.terms]))


_set_terms: Callable[[Form, Any], None] = vars(Form)["terms"].__set__


@dataclass(frozen=True)
class Evaluation:
    """One call of the model, read as any prediction; a reading that a level does not allow raises when used."""

    trace: Trace
    x: int
    register: int
    level: Level
    name: str

    @property
    def data(self) -> Form:
        """``D = E[x0 | x]``."""
        return self.read("data")

    @property
    def noise(self) -> Form:
        """``E[eps | x] = (x - alpha D) / sigma``."""
        return self.read("noise")

    @property
    def score(self) -> Form:
        """``grad log p(x) = (alpha D - x) / sigma^2``."""
        return self.read("score")

    @property
    def slope(self) -> Form:
        """``dx/dc = alpha' D + sigma' E[eps | x]``, the probability-flow ODE in the process's own clock ``c``."""
        return self.read(self.trace.process.rates(self.level), "slope")

    def read(self, target: str | tuple[Any, Any], name: str = "") -> Form:
        """``target`` as a form in the native prediction and the input, see :func:`diffnum.prediction.convert`.

        What has a name and is read again is the same register; it belongs to the step that reads it last."""
        trace = self.trace
        if trace.prediction == target or (trace.prediction == "velocity" and target == self.level.v):
            return Form(((self.register, 1.0),))
        key, known = (self.register, target if isinstance(target, str) else name), trace._read
        if key not in known or not key[1]:
            a, b = convert(self.level, trace.prediction, target)
            known[key] = trace._converted(((self.x, a), (self.register, b)), self.name, key[1])
            return known[key]
        register = known[key].terms[0][0]
        line = trace.lines[register - 1]
        if line.step != trace.step:
            trace.lines[register - 1] = replace(line, step=trace.step)
        return known[key]


@dataclass
class Trace:
    """The recorder that a sampler's function receives.

    Attributes:
        x: the state, a :class:`Form`; assign the new state to it.
        process: the noise process, for levels between grid points and for clock rates.
        prediction: the model's native quantity.
    """

    process: Any
    prediction: str = "data"
    x: Form = field(default_factory=lambda: Form(((0, 1.0),)))
    lines: list[Line] = field(default_factory=list)
    states: list[int] = field(default_factory=lambda: [0])
    conversions: dict[int, str] = field(default_factory=dict)
    step: int = 0
    inputs: list[tuple[str, int]] = field(default_factory=lambda: [("x", 0)])
    others: list[tuple[str, int]] = field(default_factory=list)
    partners: dict[str, list[int]] = field(default_factory=dict)
    _increments: dict[tuple[int, int], Any] = field(default_factory=dict)
    _drawn: dict[tuple[int, int], int] = field(default_factory=dict)
    _levels: list[Level] = field(default_factory=list)
    _read: dict[tuple[int, str], Form] = field(default_factory=dict)

    def steps(self, grid: Any) -> Iterator[tuple[Level, Level]]:
        """The grid's pairs ``(s, t)`` from noise to data; pins the state to a register at every boundary."""
        if len(self.states) != 1 or self.step:
            raise ValueError("T.steps was used twice: a sampler walks its grid once")
        for i, (s, t) in enumerate(zip(grid.levels[:-1], grid.levels[1:], strict=True)):
            self.step = i
            self._remember(s, t, grid.h[i])
            yield s, t
            register = self.pin(self.x, "x")
            if register <= self.states[-1]:
                # a step that does nothing, or ends in a given state: every level has a register of its own, in order
                register = self._line(((register, 1.0),), "x")
            self.states.append(register)
            self.x = Form(((self.states[-1], 1.0),))
        self.step = len(grid.levels) - 1

    def h(self, s: Level, t: Level) -> Any:
        """Log-SNR increment from ``s`` to ``t``; the grid's own, ahead or back, where it has one."""
        known = self._increments.get((id(s), id(t)))
        back = self._increments.get((id(t), id(s)))
        return known if known is not None else t.lam - s.lam if back is None else -back

    def between(self, s: Level, t: Level, r: Any) -> Level:
        """The level at log-SNR ``lam_s + r h``, inside a step between finite log-SNRs."""
        h = self.h(s, t)
        if s.pure_noise or t.clean:
            raise Infinite(self.step)
        return self.below(s, scaled(r, h))

    def below(self, s: Level, h: Any) -> Level:
        """The level at log-SNR ``lam_s + h``, for a finite ``lam_s``."""
        u = level_inside(self.process, "node", s.lam + h)
        self._remember(s, u, h)
        return u

    def clock_between(self, s: Level, t: Level, r: Any) -> Level:
        """The level at ``c_s + r (c_t - c_s)`` in the process's clock."""
        c = self.process.clock(s)
        return level_inside(self.process, "at_clock", c + scaled(r, self.process.clock(t) - c))

    def dt(self, s: Level, t: Level) -> Any:
        """Clock increment from ``s`` to ``t`` (negative where the clock runs with the noise)."""
        return self.process.clock(t) - self.process.clock(s)

    def evaluate(self, x: Form, level: Level, name: str = "D") -> Evaluation:
        """Call the model once at ``x`` and ``level``."""
        register = self.pin(x, "u")
        self.lines.append(evaluated(register, level, self.prediction, name, self.step))
        known = {"trace": self, "x": register, "register": len(self.lines), "level": level, "name": name}
        return made(Evaluation, known)

    def denoise(self, x: Form, level: Level, name: str = "D") -> Form:
        """``E[x0 | x]``, for one call of the model."""
        return self.evaluate(x, level, name).data

    def slope(self, x: Form, level: Level, name: str = "v") -> Form:
        """``dx/dc`` of the probability-flow ODE, for one call of the model."""
        return self.evaluate(x, level, name).slope

    def noise(self, s: Level, t: Level, name: str = "z") -> Form:
        """A fresh standard normal that belongs to the interval from ``s`` to ``t``."""
        j = self._drawn.get((id(s), id(t)), 0)
        self._drawn[id(s), id(t)] = j + 1
        self._levels += [s, t]
        self.lines.append(Noise(s, t, j, name, self.step))
        return Form(((len(self.lines), 1.0),))

    def given(self, name: str, x: Form) -> Form:
        """A partner state that a run may be given beside ``x_T``; it is ``x`` where it is not given."""
        register = self._line(x.terms, name)
        self.inputs.append((name, register))
        self.partners[name] = [register]
        return Form(((register, 1.0),))

    def partner(self, name: str, x: Form) -> Form:
        """The partner state ``name`` at the end of this step, an approximation of the same state as ``T.x``.

        Proofs and warm runs put the exact state in its place too. A last step may leave it where it is.
        """
        register = self.pin(x, name)
        self.partners[name].append(register)
        return Form(((register, 1.0),))

    def returns(self, name: str, x: Form) -> None:
        """A further output beside the sample: with it a reversible sampler gives its start back."""
        self.others.append((name, self.pin(x, name)))

    def held(self, x: Form, name: str = "u") -> Form:
        """``x`` in a register of its own: what comes later refers to it, and an inverse can solve for it."""
        return Form(((self.pin(x, name), 1.0),))

    def pin(self, x: Form, name: str = "u") -> int:
        """The register that holds ``x``; a new line unless ``x`` is a register already."""
        terms, numbers = x.terms, [c for _, c in x.terms]
        if {*map(type, numbers)} != {float} or not all(numbers):
            terms = tuple([(r, c) for r, c in terms if not (isinstance(c, (int, float)) and c == 0)])
        if len(terms) == 1 and isinstance(terms[0][1], float) and terms[0][1] == 1.0:
            return terms[0][0]
        return self._line(terms, name)

    def _line(self, terms: tuple[tuple[int, Any], ...], name: str) -> int:
        self.lines.append(linear(terms, name, self.step))
        return len(self.lines)

    def _converted(self, terms: tuple[tuple[int, Any], ...], name: str, quantity: str) -> Form:
        register = self._line(terms, name)
        self.conversions[register] = quantity
        return Form(((register, 1.0),))

    def _remember(self, s: Level, t: Level, h: Any) -> None:
        # ids are keys because equal levels of a foreign grid may differ in h; the list keeps them alive
        self._levels += [s, t]
        self._increments[id(s), id(t)] = h


@dataclass(frozen=True)
class Solver:
    """A sampler with its claim; call it through :func:`compile`.

    Attributes:
        build: ``f(T, grid, **options)``.
        order: warm order, with exact starting values; weak order when ``stochastic``.
        cold: order with the start-up as published.
        cite, eq: bibliography key and equation number.
        family: shelf in listings.
        note: one sentence where the published claim and the truth differ.
        options: bound keyword options.
        smooth: warm order on grids whose step ratios tend to one, for methods with weights of constant steps, whose
            ``order`` on any grid is lower; ``cold`` is then that on smooth grids.
        vanishing: whether the error of the last steps to ``sigma = 0`` vanishes with the noise at which they start.
        smooth_only: whether it is zero-stable on equal steps alone: where steps alternate, a perturbation grows with
            their number, although without one the order is as claimed.
        transient: whether slopes of this order show beyond the numbers of steps that are measured alone, and larger
            ones before: the leading errors of a state and of its partner are opposite until the two have mixed.
        steps_for: for samplers whose option ``nfe`` is spent on steps of several orders, the number of these steps.
    """

    build: Callable[..., None]
    order: int
    cold: int
    cite: str
    eq: str = ""
    family: str = ""
    note: str = ""
    stochastic: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    name: str = ""
    smooth: int | None = None
    vanishing: bool = True
    smooth_only: bool = False
    transient: bool = False
    steps_for: Callable[[int], int] | None = None

    def __str__(self) -> str:
        return self.name

    def with_options(self, **options: Any) -> Solver:
        """The same sampler with keyword options bound, such as ``eta=1.0``."""
        return replace(self, options=tuple({**dict(self.options), **options}.items()))


def solver(
    order: int,
    cold: int | None = None,
    cite: str = "",
    eq: str = "",
    family: str = "",
    note: str = "",
    stochastic: bool = False,
    smooth: int | None = None,
    smooth_only: bool = False,
    transient: bool = False,
) -> Callable[[Callable[..., None]], Solver]:
    """Decorator above a sampler's formula: the one place where its claim stands.

    Args:
        order: with exact starting values; weak order when ``stochastic``.
        cold: with the start-up as written; as ``order`` if None.
        cite, eq, family, note, smooth, smooth_only, transient: see :class:`Solver`.
    """

    def wrap(build: Callable[..., None]) -> Solver:
        start = order if cold is None else cold
        made = Solver(build, order, start, cite, eq, family, note, stochastic, name=build.__name__, smooth=smooth)
        made = replace(made, smooth_only=smooth_only, transient=transient)
        object.__setattr__(made, "__doc__", build.__doc__)
        return made

    return wrap


def compile(sampler: Solver | Callable[..., None], levels: Any, prediction: str = "data", **options: Any) -> Plan:
    """Compile a sampler on a grid.

    Args:
        sampler: a :class:`Solver` or any function ``f(T, grid, **options)``.
        levels: a :class:`diffnum.grid.Grid`; its end policy is applied here: ``"denoise"``
            returns ``D`` at the last level, ``"half"`` returns ``(x / alpha + D) / 2``.
        prediction: what the model will return.
        options: keyword options of the sampler.

    Raises:
        ValueError: unknown prediction; a sampler that is not finite at an end of this grid, or on levels too close
            or too deep for float64.
    """
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction {prediction!r} is unknown: use one of {', '.join(PREDICTIONS)}")
    if not all(hasattr(levels, name) for name in ("levels", "h", "process", "end")):
        raise ValueError(f"{type(levels).__name__} is no grid: use dn.grid.log_snr(process, n) or dn.grid.custom")
    build, bound = (sampler.build, dict(sampler.options)) if isinstance(sampler, Solver) else (sampler, {})
    name = getattr(sampler, "name", "") or getattr(sampler, "__name__", "plan")
    trace = Trace(levels.process, prediction)
    try:
        build(trace, levels, **{**bound, **options})
        if len(trace.states) != len(levels.levels):
            raise ValueError(f"{name} did not walk its grid to the end: loop over T.steps(grid)")
        out = trace.pin(_end(trace, levels), "out")
        lines = finite(trace.lines)
        named = [("x", out), *trace.others, *trace.inputs]
        # what is given but not kept at every level is a state of another step
        kept = [rows for rows in trace.partners.values() if len(rows) == len(trace.states)]
        roots = [*(r for _, r in named), *(r for rows in kept for r in rows)]
        lines, states, registers, conversions = fold(lines, trace.conversions, trace.states, roots)
        pairs = iter(registers[len(named) :])
    except (ArithmeticError, Infinite) as error:
        # decimal's exceptions are among the former: extended precision meets infinite nodes
        step = error.args[0] if isinstance(error, Infinite) else trace.step
        raise ValueError(_refusal(name, prediction, levels, step)) from error
    ends = [(name, r) for (name, _), r in zip(named, registers, strict=False)]
    outs = 1 + len(trace.others)
    return Plan(
        lines=tuple(lines),
        levels=tuple(levels.levels),
        states=tuple(states),
        outputs=tuple(ends[:outs]),
        prediction=prediction,
        solver=name,
        process=levels.process.to_json(),
        end=levels.end,
        prior=levels.process.prior(levels.levels[0]),
        conversions=tuple(conversions),
        inputs=tuple(ends[outs:]),
        partners=tuple(tuple(next(pairs) for _ in rows) for rows in kept),
    )


def _end(trace: Trace, levels: Any) -> Form:
    if levels.end in ("stop", "zero"):
        return trace.x
    stop = levels.levels[-1]
    D = trace.denoise(trace.x, stop)
    return D if levels.end == "denoise" else 0.5 * D + (0.5 / stop.alpha) * trace.x


def _refusal(name: str, prediction: str, levels: Any, step: int) -> str:
    step = min(step, len(levels.levels) - 2)
    start, stop = levels.levels[step], levels.levels[step + 1]
    both = (("start", start), ("stop", stop))
    noisy, clean = ([(verb, u) for verb, u in both if getattr(u, flag)] for flag in ("pure_noise", "clean"))
    ends = [f"alpha = 0 (t = {u.t:g})" for _, u in noisy] + [f"sigma = 0 (t = {u.t:g})" for _, u in clean]
    if not ends:
        return (
            f"{name} has no finite coefficients between log-SNR {start.lam!r} and {stop.lam!r}, step {step} of "
            f"{len(levels.levels) - 1}: use levels further apart, and none beyond log-SNR 300 or -300"
        )
    remedy = [f"{verb} at alpha > 0" for verb, _ in noisy] + [f"{verb} at sigma > 0" for verb, _ in clean]
    return (
        f"{name} with {prediction} prediction is not defined at {' or '.join(ends)}: "
        f"{' and '.join(remedy)}, or use another prediction or sampler"
    )
