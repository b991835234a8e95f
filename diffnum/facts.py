"""What a sampler costs and how far it is stable, measured on the plans that run; beside it the claim and its source.

A sampler is compiled on ``3 k`` steps equally spaced in log-SNR, ``k = 6``. The first ``k`` steps are its start-up, the
last ``k`` its end, those between repeat themselves, and a run of ``n`` steps costs

    nfe(n) = a n + b,    a = evaluations of a step in between,    b = what start and end take beyond ``a`` a step

A method that mixes steps of several orders has a fraction ``a``. Two real intervals of
:mod:`diffnum.read.stability` say how stiff a model may be:

    interval    L on dy/dc = mu y, steps dc of the variable in which the sampler's steps repeat, the first of
                sigma / alpha, alpha / sigma, the angle and log-SNR:  stable for  -L <= mu dc <= 0, the textbook's
                number; samplers whose slopes depend on the process have that of EDM
    guidance    L on dw/dlam = (J - 1) w, steps h = 1/2 of log-SNR:  stable for Jacobians  1 - L <= J <= 1,
                the same question to every sampler

The second is a guidance scale. Guided denoising has ``J = J_u + g (J_c - J_u)``; the stiffest case is a class that is
a point (``J_c = 0``) in a broad distribution (``J_u -> 1`` as the noise falls), ``J = 1 - g``, so that ``g <= L``
is stable at every noise and for every class, and beyond ``L`` some class is not: this is
:func:`diffnum.read.stability.largest_guidance` with a conditional variance of zero. Below one, steps of 1/2 grow
without any guidance. Steps of 1/2 are 20 steps over ten units of log-SNR; shorter ones allow more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from .grid import log_snr
from .plan import Eval, Line, Noise, Plan, sources
from .process import VP
from .read.cost import cost
from .read.stability import Angle, DataForm, Equation, Irregular, Ratio, SignalRatio, amplification, real_interval
from .trace import Solver, compile

__all__ = ["STEP", "Count", "Facts", "cells", "families", "markdown", "measure", "orders", "titled"]

STEP = 0.5
"""The step in log-SNR at which :attr:`Facts.guidance` is stated."""

_VARIABLES: Mapping[str, Equation] = {"sigma / alpha": Ratio(), "alpha / sigma": SignalRatio(), "angle": Angle()}

# start-up, steps that repeat, end; one two and three divide it, so that mixed step lists come out even
_PART = 6


@dataclass(frozen=True)
class Count:
    """How often something happens in a run of ``n`` steps: ``each n + start + end``.

    Attributes:
        each: per step, once the method is under way.
        start, end: what the first and the last steps take beyond that; negative where they take less.
        least: the fewest steps for which this holds; on fewer the start-up is not over.
    """

    each: Fraction
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    least: int = 1

    def of(self, n: int) -> Fraction:
        """The number for ``n >= least`` steps."""
        return self.each * n + self.start + self.end

    def __str__(self) -> str:
        number, parts = self.each.numerator, self.each.denominator
        each = f"{'' if number == 1 else number}n{'' if parts == 1 else f'/{parts}'}" if number else "0"
        rest = self.start + self.end
        return f"{each} {'+' if rest > 0 else '-'} {abs(rest)}" if rest else each


@dataclass(frozen=True)
class Facts:
    """A sampler's claim, source, cost and stability.

    Attributes:
        name, family, order, cold, smooth, stochastic, cite, eq, note: see :class:`diffnum.trace.Solver`.
        nfe, draws: model evaluations and draws of noise.
        stages: evaluations of one step, of the longest where steps differ.
        waits: evaluations per step on the longest chain of them, each in need of the one before; fewer than all where
            stages are independent and a machine may evaluate them at once.
        back: how many earlier steps a step looks back on; 0 for a one-step method.
        live_data, live_noise: most registers, each the size of a sample, that a run of any length holds at once,
            for a model that predicts data and one that predicts noise.
        interval: real interval of stability in ``variable``, ``mu dc >= -interval``; or in one word why there is none.
        variable: "sigma / alpha", "alpha / sigma", "angle", "log-SNR", or "" without an interval.
        guidance: largest guidance scale that is stable at steps of 1/2 in log-SNR for every class and noise; or in
            one word why there is none.

    The words are "noise" where paths are random, and "varies" where no step is like another: exponential samplers
    depend on the length of their steps in log-SNR, and only ``guidance`` speaks of them.
    """

    name: str
    family: str
    order: int
    cold: int
    smooth: int | None
    stochastic: bool
    cite: str
    eq: str
    note: str
    nfe: Count
    draws: Count
    stages: int
    waits: Fraction
    back: int
    live_data: int
    live_noise: int
    interval: float | str
    variable: str
    guidance: float | str

    @property
    def live(self) -> int:
        """Registers with the prediction that needs fewer."""
        return min(self.live_data, self.live_noise)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data: fractions as whole numbers or as "3/2", an interval without end as "inf"."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        """Inverse of :meth:`to_json`.

        Raises:
            ValueError: a key is missing or unknown.
        """
        try:
            counts = {name: _count(data[name]) for name in ("nfe", "draws")}
            intervals = {name: _read(data[name]) for name in ("interval", "guidance")}
            return cls(**{**data, **counts, **intervals, "waits": Fraction(data["waits"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"these are no facts of a sampler ({error}): use Facts.to_json") from error


def measure(sampler: Solver) -> Facts:
    """Compile ``sampler`` on the variance-preserving process and measure it.

    Raises:
        ValueError: a sampler whose start-up takes more than six steps, or whose steps repeat after more than three.
    """
    levels = log_snr(VP(), 3 * _PART)
    data, noise = compile(sampler, levels, "data"), compile(sampler, levels, "noise")
    guidance = _length(sampler, data, DataForm(STEP))
    interval, variable = _interval(sampler, data, guidance)
    claim = ("name", "family", "order", "cold", "smooth", "stochastic", "cite", "eq", "note")
    return Facts(
        **{name: getattr(sampler, name) for name in claim},
        nfe=_counted(data, Eval),
        draws=_counted(data, Noise),
        stages=max(_per_step(data, Eval)[_PART:-_PART]),
        waits=_chain(data),
        # how far a prediction that is read as another looks back belongs to the step that reads it
        back=max(*data.depths[_PART:-_PART], *noise.depths[_PART:-_PART]),
        live_data=cost(data).live,
        live_noise=cost(noise).live,
        interval=interval,
        variable=variable,
        guidance=guidance,
    )


def _per_step(plan: Plan, kind: type[Line]) -> list[int]:
    found = [0] * plan.steps
    for line in plan.lines:
        if isinstance(line, kind):
            found[line.step] += 1
    return found


def _counted(plan: Plan, kind: type[Line]) -> Count:
    found = _per_step(plan, kind)
    first, between, last = found[:_PART], found[_PART:-_PART], found[-_PART:]
    if all(between != between[:period] * (_PART // period) for period in (1, 2, 3)):
        raise ValueError(f"{plan.solver} does not repeat itself after {_PART} steps: count the lines of a plan instead")
    each = Fraction(sum(between), _PART)
    starting = max((i + 1 for i, m in enumerate(first) if m != between[i]), default=0)
    return Count(each, sum(first) - _PART * each, sum(last) - _PART * each, max(1, starting))


def _chain(plan: Plan) -> Fraction:
    """Evaluations per step on the longest path to the state, of the steps that repeat."""
    rank = [0]
    for line in plan.lines:
        rank.append(max((rank[q] for q in sources(line)), default=0) + isinstance(line, Eval))
    return Fraction(rank[plan.states[2 * _PART]] - rank[plan.states[_PART]], _PART)


def _interval(sampler: Solver, plan: Plan, guidance: float | str) -> tuple[float | str, str]:
    if plan.draws:
        return "noise", ""
    for variable, equation in _VARIABLES.items():
        length = _length(sampler, plan, equation)
        if not isinstance(length, str):
            return length, variable
    if isinstance(guidance, str) or not _is_slope_in_log_snr(sampler):
        return "varies", ""
    return STEP * guidance, "log-SNR"


def _is_slope_in_log_snr(sampler: Solver) -> bool:
    """Whether steps of any length in log-SNR are alike, since only ``(J - 1) h`` matters."""
    one, two = (amplification(sampler, 1 - 0.7 / h, DataForm(h)) for h in (STEP, 2 * STEP))
    return math.isclose(one, two, rel_tol=1e-9)


def _length(sampler: Solver, plan: Plan, equation: Equation) -> float | str:
    if plan.draws:
        return "noise"
    try:
        return real_interval(sampler, equation)
    except Irregular:
        return "varies"


def families(samplers: Iterable[Solver]) -> tuple[str, ...]:
    """The families of ``samplers``, in the order in which they first appear."""
    return tuple(dict.fromkeys(sampler.family for sampler in samplers))


def titled(family: str) -> str:
    """The name of a family as a heading; capitals that it has stay."""
    return family[:1].upper() + family[1:]


def orders(facts: Facts) -> str:
    """The claim in words, such as "3, cold 2": with exact starting values, and as it starts by itself."""
    kind = "weak " if facts.stochastic else ""
    cold = f", cold {facts.cold}" if facts.cold != facts.order else ""
    return f"{kind}{facts.order}{cold}" + ("" if facts.smooth is None else f", smooth grids {facts.smooth}")


def cells(facts: Facts) -> dict[str, str]:
    """What tables show, by column: order, NFE, stages, back, live, interval, guidance, source."""
    where = {"alpha / sigma": " SNR", "angle": " angle", "log-SNR": " log-SNR"}.get(facts.variable, "")
    waits = f" ({facts.waits})" if facts.waits != facts.stages else ""
    return {
        "order": orders(facts),
        "NFE": f"{facts.nfe}, {facts.draws} draws" if facts.draws.each else str(facts.nfe),
        "stages": f"{facts.stages}{waits}",
        "back": str(facts.back),
        "live": str(facts.live),
        "interval": f"{_number(facts.interval)}{where}",
        "guidance": _number(facts.guidance),
        "source": ", ".join(filter(None, (facts.cite, facts.eq))),
    }


def markdown(facts: Iterable[Facts]) -> str:
    """The samplers as a Markdown table."""
    head = ("sampler", "order", "NFE", "stages", "back", "live", "interval", "guidance", "source")
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for one in facts:
        shown = [cell.replace("|", "\\|") for cell in cells(one).values()]
        rows.append("| " + " | ".join([f"`{one.name}`", *shown]) + " |")
    return "\n".join(rows)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else str(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _count(data: Mapping[str, Any]) -> Count:
    return Count(**{**{name: Fraction(data[name]) for name in ("each", "start", "end")}, "least": data["least"]})


def _read(value: float | str) -> float | str:
    return math.inf if value == "inf" else value
