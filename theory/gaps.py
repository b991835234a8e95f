"""What two samplers that are taken for one differ by: statements with closed forms, and the forms.

A :class:`Gap` states the difference of two samplers after a few steps from one start as a combination of the data
predictions on the way, a function of levels of any kind of number: on symbols it is proved, on floats it predicts what
two runs differ by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sympy

from diffnum.num import exp, expm1, log, phi, sqrt
from diffnum.order import GenericGrid
from diffnum.plan import Level
from diffnum.read.sample import sample
from diffnum.trace import Trace, compile

from . import published as one
from . import published_multistep as adams
from .coordinates import expression
from .statement import Statement, differ
from .symbols import difference, normal_form

__all__ = ["Gap"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Gap:
    """Two samplers that are not one.

    Attributes:
        name, claim, where: as in a statement; the claim is the closed form in LaTeX.
        one, other: the samplers; their difference is the first minus the second.
        closed: from levels, one more than there are steps, to coefficients of ``x``, the data predictions ``D1, D2,
            ...`` and the draws ``z1, ...``.
        grid: symbolic levels on which it is proved.
        at: what the closed form is made of, to values at which it shows.
        home: a process on which it shows in numbers.
    """

    name: str
    claim: str
    where: str
    one: Any
    other: Any
    closed: Callable[[Sequence[Level]], Row]
    grid: GenericGrid
    at: Mapping[Any, Any]
    home: Callable[[], Any]

    @property
    def steps(self) -> int:
        """Number of steps after which they first differ."""
        return len(self.grid.levels) - 1

    @property
    def short(self) -> str:
        """What is subtracted from what, from the left side of the claim."""
        left = re.sub(r"\\text\{([^}]*)\}", r"\1", self.claim.partition(" = ")[0])
        return left.replace(r"\gamma", "γ").replace("B_1", "B₁").replace(" - ", " − ")

    def statement(self) -> Statement:
        """That every input of the model agrees and the output differs by the closed form."""
        plans = [compile(sampler, self.grid) for sampler in (self.one, self.other)]
        entries = [expression(entry) for entry in difference(*plans)]
        keys = sorted({key for plan in plans for key in normal_form(plan).rows[-1]})
        row = {key: expression(c) for key, c in self.closed(self.grid.levels).items()}
        closed = [0] * (len(entries) - len(keys)) + [row.get(key, 0) for key in keys]
        shown = {key: value for key, value in self.at.items() if any(sympy.sympify(c).has(key) for c in row.values())}
        return differ(self.name, self.claim, entries, closed, shown, self.where)

    def compare(self, levels: Any, target: Any, x: Any) -> tuple[Any, Any]:
        """The difference of two runs on ``target`` from ``x``, predicted by the closed form and measured.

        Only without draws, and on a grid of :attr:`steps` steps.
        """
        first, second = (compile(sampler, levels) for sampler in (self.one, self.other))
        seen = sample(first, target, x, keep="denoised")
        values = {"x": x, **{f"D{i}": D for i, D in enumerate(seen, 1)}}
        predicted = sum(c * values[key] for key, c in self.closed(levels.levels).items())
        return predicted, sample(first, target, x) - sample(second, target, x)


def apart(c: Any, new: str = "D2", old: str = "D1") -> Row:
    """``c (new - old)``."""
    return {new: c, old: -c}


def sizes(levels: Sequence[Level]) -> list[Any]:
    """Steps in log-SNR."""
    return [t.lam - s.lam for s, t in pairwise(levels)]


def moves(levels: Sequence[Level]) -> list[Any]:
    """Steps in ``kappa = sigma / alpha``."""
    return [one.ratio(t) - one.ratio(s) for s, t in pairwise(levels)]


def falls(levels: Sequence[Level]) -> list[Any]:
    """Steps in ``sigma``."""
    return [t.sigma - s.sigma for s, t in pairwise(levels)]


# --- one step


def minimax(levels: Sequence[Level]) -> Row:
    s, t = levels
    return {"D1": (1 - t.alpha) - t.sigma / s.sigma * (1 - s.alpha)}


def heun(levels: Sequence[Level]) -> Row:
    s, t = levels
    return apart(-((t.sigma - s.sigma) ** 2) / (2 * t.sigma * (1 - s.sigma)))


def two_stages(levels: Sequence[Level]) -> Row:
    (h,) = sizes(levels)
    return apart(2 * levels[-1].alpha * h * (phi(1, -h) / 2 - phi(2, -h)))


def eta(levels: Sequence[Level]) -> Row:
    (s, t), (h,) = levels, sizes(levels)
    noise = t.sigma * (exp(-h / 2) - sqrt(1 + expm1(-2 * h) / 4))
    draw = t.sigma * (sqrt(-expm1(-h)) - sqrt(-expm1(-2 * h)) / 2)
    return {"x": noise / s.sigma, "D1": -noise * s.alpha / s.sigma, "z1": draw}


def sde(levels: Sequence[Level]) -> Row:
    (s, t), (h,) = levels, sizes(levels)
    mean = t.alpha * expm1(-h) ** 2
    return {"D1": mean, "x": -mean / s.alpha, "z1": t.sigma * sqrt(-expm1(-2 * h)) * expm1(h)}


# --- two steps: what is added to a shared first step


def midpoint_or_heun(levels: Sequence[Level]) -> Row:
    old, h = sizes(levels)
    return apart(levels[-1].alpha * h * h / old * (phi(1, -h) / 2 - phi(2, -h)))


def sde_midpoint_or_heun(levels: Sequence[Level]) -> Row:
    old, h = sizes(levels)
    return apart(levels[-1].alpha * 2 * h * h / old * (phi(1, -2 * h) / 2 - phi(2, -2 * h)))


def b_1(levels: Sequence[Level]) -> Row:
    old, h = sizes(levels)
    return apart(levels[-1].alpha * h**3 / (2 * old) * phi(2, -h))


def constant_etd(levels: Sequence[Level]) -> Row:
    old, h = sizes(levels)
    return apart(levels[-1].alpha * h * phi(2, -h) * (1 - h / old))


def k_on_flow(levels: Sequence[Level]) -> Row:
    r, s, t = levels
    old, h = sizes(levels)
    theirs = (log(s.sigma) - log(t.sigma)) / (log(r.sigma) - log(s.sigma))
    return apart((1 - t.sigma / s.sigma) * (theirs - h / old) / 2)


def adams_for_2m(levels: Sequence[Level]) -> Row:
    (old, h), (before, now) = sizes(levels), falls(levels)
    return apart(-now / (2 * levels[1].sigma) * (h / old - now / before))


def adams_on_flow(levels: Sequence[Level]) -> Row:
    (r, s, t), (before, now) = levels, falls(levels)
    return apart(-(now**2) / (2 * before * s.sigma) * (t.alpha - r.alpha) / t.alpha)


def constant_weights(levels: Sequence[Level]) -> Row:
    before, now = moves(levels)
    return apart(-levels[-1].alpha * now / (2 * one.ratio(levels[1])) * (1 - now / before))


def gamma(levels: Sequence[Level]) -> Row:
    return apart(-falls(levels)[1] / (2 * levels[1].sigma))


def bdia(levels: Sequence[Level]) -> Row:
    r, s, t = levels
    return apart((t.alpha - r.alpha) * moves(levels)[0] / one.ratio(s))


# --- three steps, and four


def noise_or_data(levels: Sequence[Level]) -> Row:
    first, old, h = sizes(levels)
    return apart(-levels[-1].alpha * expm1(-h) * expm1(-old) * h / (4 * first))


def ucgm(levels: Sequence[Level]) -> Row:
    first, old, new = falls(levels)
    return apart(-new * old / (4 * first * levels[1].sigma))


def ipndm_v(levels: Sequence[Level]) -> Row:
    d2, d1, d = falls(levels)
    # d[s, 1] and d[1, 2] in data predictions: the second step was Adams-Bashforth of order two
    late, early = 1 / (d1 * levels[2].sigma), 1 / (d2 * levels[1].sigma)
    curve = d1 / (2 * levels[2].sigma)
    c = d * (d1 * (d1 + d2) - d * (d + d1)) / (2 * (d1 + d2))
    return {"D3": -c * late, "D2": c * (late + early - curve * early), "D1": c * (curve * early - early)}


def fourth_order(levels: Sequence[Level]) -> Row:
    d3, d2, d1, d = moves(levels)
    second = d * (2 * d + 3 * d1) / 6 / (d1 + d2)
    third = d * (3 * d**2 + 4 * d * (2 * d1 + d2) + 6 * d1 * (d1 + d2)) / 12 / (d1 + d2 + d3)
    in_differences = (
        31 * d1 / 24 - d / 2 - second - third / (d1 + d2),
        -7 * d2 / 6 + second + third / (d1 + d2) + third / (d2 + d3),
        3 * d3 / 8 - third / (d2 + d3),
    )
    kappas, scale = [one.ratio(level) for level in levels], levels[-1].alpha * d
    late, middle, early = (
        -scale * c / (kappa * step) for c, kappa, step in zip(in_differences, kappas[3:0:-1], (d1, d2, d3), strict=True)
    )
    return {"D4": late, "D3": middle - late, "D2": early - middle, "D1": -early}


def after_ddim(T: Trace, levels: Any, weights: Callable[[Sequence[Any], Any], Sequence[Any]]) -> None:
    """DDIM, but for the last step, which combines all noises with ``weights(kappas, kappa_t)``, latest first."""
    past: list[tuple[Any, Any]] = []
    for s, t in T.steps(levels):
        past = [(T.evaluate(T.x, s).noise, one.ratio(s)), *past]
        new = [one.ratio(t) - one.ratio(s)]
        if len(past) == len(levels.levels) - 1:
            new = weights([kappa for _, kappa in past], one.ratio(t))
        T.x = t.alpha * (1 / s.alpha * T.x + adams.mix(new, [e for e, _ in past[: len(new)]]))


def constant_4(kappas: Sequence[Any], to: Any) -> list[Any]:
    """PNDM's weights."""
    weights, over = adams.ADAMS[4]
    return [(to - kappas[0]) * w / over for w in weights]


def variable_4(kappas: Sequence[Any], to: Any) -> list[Any]:
    """Adams-Bashforth weights of these steps."""
    return adams.lagrange(kappas, kappas[0], to)
