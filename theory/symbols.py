"""Symbols on which the code itself runs: processes with symbolic parameters, grids of symbolic levels, normal forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sympy

from diffnum.order import GenericGrid
from diffnum.plan import Level, Noise, Plan, interpret
from diffnum.prediction import to_native
from diffnum.process import DDPM, EDM, VE, VP, Cosine, CosineRate, Flow, MeanReverting, SubVP
from diffnum.process_table import Table

__all__ = [
    "LogSNR",
    "Native",
    "NodeTime",
    "NormalForm",
    "cosine_rate",
    "difference",
    "grid",
    "log_snr_levels",
    "normal_form",
    "processes",
    "table_pieces",
    "with_symbols",
]

Row = dict[Any, Any]


def with_symbols(kind: type, **parameters: Any) -> Any:
    """A process with symbols for parameters: its checks, which compare numbers, are passed by."""
    process = object.__new__(kind)
    for name, value in parameters.items():
        object.__setattr__(process, name, value)
    return process


def processes() -> dict[str, Any]:
    """Every process of :mod:`diffnum.process` whose ``t`` is in closed form, its parameters symbols.

    The offset of :class:`~diffnum.process.Cosine` is given through ``k = pi / (2 (1 + s))``. The signal of
    :class:`~diffnum.process.MeanReverting` is that of VP.
    """
    low, high, k, shift = sympy.symbols("beta_min beta_max k rho", positive=True)
    least, most = sympy.symbols("sigma_min sigma_max", positive=True)
    vp = with_symbols(VP, beta_min=low, beta_max=high)
    return {
        "VP": vp,
        "SubVP": with_symbols(SubVP, beta_min=low, beta_max=high),
        "Cosine": with_symbols(Cosine, s=sympy.pi / (2 * k) - 1),
        "VE": with_symbols(VE, sigma_min=least, sigma_max=most),
        "EDM": EDM(),  # its formulas hold no parameter
        "Flow": with_symbols(Flow, shift=shift),
        "MeanReverting": with_symbols(MeanReverting, signal=vp, sigma_max=most),
    }


def cosine_rate() -> dict[str, Any]:
    """IR-SDE's rate, the inverse of whose log-SNR is no formula; its offset is given as that of
    :class:`~diffnum.process.Cosine`, and ``delta`` through ``c = -log(delta) / g(1)``."""
    k, c = sympy.symbols("k c", positive=True)
    s = sympy.pi / (2 * k) - 1
    whole = with_symbols(CosineRate, s=s)._g(sympy.Float(1.0))
    return {"CosineRate": with_symbols(CosineRate, delta=sympy.exp(-c * whole), s=s)}


class NodeTime(sympy.Symbol):
    """A symbolic time that knows in which piece of a table it lies: as a number it is ``-1/2``, in the first."""

    def __float__(self) -> float:
        return -0.5


def table_pieces() -> dict[str, Any]:
    """Tables with one piece on which ``t`` is a :class:`NodeTime`: any cubic (a linear piece has ``c = d = 0``), and
    the last piece that ends at ``alpha = 0``, where ``alpha`` itself is linear."""
    a, b, c, d = sympy.symbols("a_0 a_1 a_2 a_3", real=True)
    start = sympy.Symbol("alpha_0", positive=True)
    nodes = dict(sigmas=(0, 0), logs=(0, 0), lams=(0, 0))
    tables = {
        "DDPM, a cubic piece": Table(alphas=(1.0, 0.5), cubics=((a, b, c, d),), **nodes),  # type: ignore[arg-type]
        "DDPM, the piece that ends at alpha = 0": Table(alphas=(start, 0.0), cubics=(), **nodes),  # type: ignore[arg-type]
    }
    found = {}
    for name, table in tables.items():
        found[name] = with_symbols(DDPM, betas=(0.5,), smooth=False)
        vars(found[name])["_table"] = table
    return found


@dataclass(frozen=True)
class LogSNR:
    """A process known by its log-SNR: ``alpha(lam)`` any positive function, ``sigma = alpha e^-lam``."""

    preserves_variance: bool = False
    name: str = "any"

    def at(self, lam: Any) -> Level:
        """The level at log-SNR ``lam``."""
        alpha = sympy.Function("alpha", positive=True)(lam)
        return Level(lam, alpha, alpha * sympy.exp(-lam), lam, pure_noise=False, clean=False)

    def node(self, lam: Any) -> Level:
        """:meth:`at`: no level is too clean."""
        return self.at(lam)

    def prior(self, level: Level) -> float:
        """No meaning here."""
        return 1.0

    def to_json(self) -> dict[str, Any]:
        """A name for printing."""
        return {"name": self.name}


@dataclass(frozen=True)
class Native(LogSNR):
    """A process known in its own time: ``alpha(t)`` and ``sigma(t)`` any positive functions, clock ``t``."""

    def level(self, t: Any) -> Level:
        """The level at time ``t``."""
        alpha, sigma = (sympy.Function(name, positive=True)(t) for name in ("alpha", "sigma"))
        return Level(t, alpha, sigma, sympy.log(alpha / sigma), pure_noise=False, clean=False)

    def clock(self, level: Level) -> Any:
        """``t``."""
        return level.t

    def rates(self, level: Level) -> tuple[Any, Any]:
        """``(alpha', sigma')``."""
        return level.alpha.diff(level.t), level.sigma.diff(level.t)


def grid(process: Any, levels: Sequence[Level], end: str = "stop") -> GenericGrid:
    """Levels as a grid for :func:`diffnum.trace.compile`."""
    return GenericGrid(process, tuple(levels), tuple(t.lam - s.lam for s, t in pairwise(levels)), end)


def log_snr_levels(count: int) -> tuple[LogSNR, list[Level], tuple[Any, ...]]:
    """``count`` levels of any process at symbols ``lam_0``, ``lam_0 + h_1``, ``lam_0 + h_1 + h_2`` and so on."""
    process, at = LogSNR(), sympy.Symbol("lambda_0", real=True)
    steps = sympy.symbols(f"h_1:{count}", positive=True)
    lams = [at + sum(steps[:i]) for i in range(count)]
    return process, [process.at(lam) for lam in lams], steps


@dataclass(frozen=True)
class NormalForm:
    """A plan without its names: what every evaluation sees, where, and what comes out.

    Attributes:
        rows: the input of every evaluation, then the output, over ``x``, the data predictions ``D1, D2, ...`` in order
            and the draws ``z1, ...``.
        levels: of every evaluation, then both ends of the interval of every draw.
    """

    rows: tuple[Row, ...]
    levels: tuple[Level, ...]


def normal_form(plan: Plan) -> NormalForm:
    """Two plans are one method iff their normal forms agree."""
    inputs: list[Row] = []
    where: list[Level] = []
    draws: list[Noise] = []

    def lin(terms: Sequence[tuple[Any, Row]]) -> Row:
        out: Row = {}
        for c, value in terms:
            for key, a in value.items():
                out[key] = out.get(key, 0) + c * a
        return out

    def evaluate(value: Row, level: Level, quantity: str) -> Row:
        inputs.append(value)
        where.append(level)
        a, b = to_native(level, quantity)
        return lin([(a, value), (b, {f"D{len(inputs)}": 1})])

    def noise(line: Noise) -> Row:
        draws.append(line)
        return {f"z{len(draws)}": 1}

    out = interpret(plan, {"x": 1}, lin, evaluate, noise)[0]
    return NormalForm((*inputs, out), (*where, *(level for draw in draws for level in (draw.s, draw.t))))


def difference(one: Plan, other: Plan) -> list[Any]:
    """Entries of the difference of two normal forms: levels (``alpha``, then ``sigma``), then rows, row by row.

    Raises:
        ValueError: another number of evaluations or draws, so that there is no difference.
    """
    first, second = normal_form(one), normal_form(other)
    if (len(first.rows), len(first.levels)) != (len(second.rows), len(second.levels)):
        raise ValueError(f"{one.solver} and {other.solver} do not evaluate and draw equally often: compare others")
    levels = [
        d for p, q in zip(first.levels, second.levels, strict=True) for d in (p.alpha - q.alpha, p.sigma - q.sigma)
    ]
    pairs = zip(first.rows, second.rows, strict=True)
    return [*levels, *(p.get(key, 0) - q.get(key, 0) for p, q in pairs for key in sorted({*p, *q}))]
