"""A sampler as data: straight-line code of linear combinations, model evaluations and draws.

A :class:`Plan` is the whole of a sampler on one noise process and one time grid,

.. code-block:: text

    Lin(terms)                 register = sum of coefficient * register
    Eval(x, level, quantity)   register = the model's prediction at that register and level
    Noise(s, t, j)             register = a standard normal named by its interval and index

with no control flow. Register 0 is the starting state ``x_T``; line ``i`` defines register
``i + 1``. Everything that is done with a sampler (running it, proving it, comparing it) is
:func:`interpret` with another kind of number. This module imports nothing of diffnum and no
array library.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["PREDICTIONS", "Eval", "Level", "Lin", "Noise", "Plan", "interpret", "sources"]

SCHEMA = 1
PREDICTIONS = ("data", "noise", "velocity", "score")


@dataclass(frozen=True)
class Level:
    """A noise level of ``x = alpha * x0 + sigma * eps``.

    Attributes:
        t: the process's time label; what a network is told. Any scalar kind.
        alpha, sigma: signal and noise scale, dimensionless.
        lam: log-SNR ``log(alpha / sigma)``; ``-inf`` where ``alpha = 0``, ``inf`` where
            ``sigma = 0``. Computed for plain floats, given for other kinds of number.
        v: the pair ``(a, b)`` of the velocity prediction ``v = a * x0 + b * eps``: ``(-sigma, alpha)`` when variance is
            preserved (Salimans & Ho 2022, app. D), ``(-1, 1)`` for flow matching, ``(0, 1)`` for variance exploding.
        pure_noise, clean: structural flags for ``alpha = 0`` and ``sigma = 0``; all that a builder may branch on.
    """

    t: Any
    alpha: Any
    sigma: Any
    lam: Any = None
    v: Any = None
    pure_noise: bool = field(default=None)  # type: ignore[assignment]
    clean: bool = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        plain = isinstance(self.alpha, (int, float)) and isinstance(self.sigma, (int, float))
        if self.pure_noise is None:
            object.__setattr__(self, "pure_noise", plain and self.alpha == 0)
        if self.clean is None:
            object.__setattr__(self, "clean", plain and self.sigma == 0)
        if self.v is None:
            object.__setattr__(self, "v", (-self.sigma, self.alpha))
        if self.lam is None:
            if not plain:
                raise TypeError("a Level of numbers other than floats needs its log-SNR: pass lam=")
            if not (self.alpha >= 0 and self.sigma >= 0 and self.alpha + self.sigma > 0):
                raise ValueError(
                    f"alpha = {self.alpha!r}, sigma = {self.sigma!r} is no noise level: both must be >= 0 and one > 0"
                )
            ends = -math.inf if self.pure_noise else math.inf
            between = not (self.pure_noise or self.clean)
            lam = math.log(self.alpha) - math.log(self.sigma) if between else ends
            object.__setattr__(self, "lam", lam)


@dataclass(frozen=True, slots=True)
class Lin:
    """``register = sum(c * register_r for r, c in terms)``."""

    terms: tuple[tuple[int, Any], ...]
    name: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True)
class Eval:
    """``register = model(register_x, level)``, the model's prediction of ``quantity``."""

    x: int
    level: Level
    quantity: str = "data"
    name: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True)
class Noise:
    """``register = N(0, I)``, the ``j``-th draw that belongs to the interval from ``s`` to ``t``."""

    s: Level
    t: Level
    j: int = 0
    name: str = ""
    step: int = 0


Line = Lin | Eval | Noise


@dataclass(frozen=True)
class Plan:
    """One sampler on one grid: lines, and the names by which the readings find their way.

    Attributes:
        lines: the program.
        levels: the ``n + 1`` grid levels from noise to data.
        states: register of the state at each grid level; ``states[0] == 0``.
        outputs: named result registers; the first is the sample.
        prediction: what the model must return, one of :data:`PREDICTIONS`.
        solver, process, end: where the plan comes from, for people and for JSON.
        prior: standard deviation from which users draw ``x_T``.
        conversions: for each prediction read as another quantity ``(step, name, folded, stored)``,
            the terms that it takes folded into its users or stored once; the smaller was taken.
        inputs: named registers from which a run may start; register 0 is the first. Further ones, the partner states
            of a reversible sampler, hold what their line says unless they are given.
        partners: for each second state that goes along with the first its registers at the grid levels, like
            ``states``; where a last step leaves it behind, the one before again.
    """

    lines: tuple[Line, ...]
    levels: tuple[Level, ...]
    states: tuple[int, ...]
    outputs: tuple[tuple[str, int], ...]
    prediction: str = "data"
    solver: str = ""
    process: Mapping[str, Any] = field(default_factory=dict)
    end: str = "stop"
    prior: Any = 1.0
    conversions: tuple[tuple[int, str, int, int], ...] = ()
    inputs: tuple[tuple[str, int], ...] = (("x", 0),)
    partners: tuple[tuple[int, ...], ...] = ()

    @property
    def start(self) -> Level:
        """The level of ``x_T``."""
        return self.levels[0]

    @property
    def stop(self) -> Level:
        """The level to which the output belongs: the last grid level."""
        return self.levels[-1]

    @property
    def steps(self) -> int:
        """Number of grid steps."""
        return len(self.levels) - 1

    @cached_property
    def evaluations(self) -> tuple[int, ...]:
        """Registers that hold a model evaluation, in order."""
        return tuple(r for r, line in enumerate(self.lines, 1) if isinstance(line, Eval))

    @cached_property
    def draws(self) -> tuple[int, ...]:
        """Registers that hold a draw of noise, in order."""
        return tuple(r for r, line in enumerate(self.lines, 1) if isinstance(line, Noise))

    @property
    def nfe(self) -> int:
        """Number of model evaluations, wasted ones included."""
        return len(self.evaluations)

    @cached_property
    def reads(self) -> tuple[tuple[int, ...], ...]:
        """For each line the registers that it reads."""
        return tuple([sources(line) for line in self.lines])

    @cached_property
    def last_use(self) -> dict[int, int]:
        """For each register the register in whose line it is read last (outputs: past the end)."""
        last = {r: r for r in range(len(self.lines) + 1)}
        last |= {q: r for r, read in enumerate(self.reads, 1) for q in read}
        return last | {r: len(self.lines) + 1 for _, r in self.outputs}

    @cached_property
    def depth(self) -> int:
        """How many steps back a step looks: 0 for a one-step method, p - 1 for p-step multistep."""
        return max((d for d in self.depths), default=0)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """:attr:`depth` of every step."""
        # the state, or pair, at level i is the start of step i, whichever step wrote it
        home = {r: i for rows in (*self.partners, self.states) for i, r in reversed(list(enumerate(rows)))}
        born = [home.get(r, step) for r, step in enumerate([0, *[line.step for line in self.lines]])]
        first: dict[int, int] = {}
        for line, read in zip(self.lines, self.reads, strict=True):
            first[line.step] = min([first.get(line.step, line.step), *[born[q] for q in read]])
        return tuple(i - first.get(i, i) for i in range(self.steps))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what the plan computes: names, solver, the list of grid levels and the end policy do not enter."""
        return hashlib.sha256(json.dumps(self._meaning(), sort_keys=True).encode()).hexdigest()

    def _meaning(self) -> dict[str, Any]:
        # levels stand in full where they are used: their place in the table means nothing
        code = self._encode()
        lines: list[dict[str, Any]] = []
        for entry in code["lines"]:
            line = {k: v for k, v in entry.items() if k not in ("name", "step")}
            if "eval" in line:
                line["level"] = code["table"][line["level"]]
            elif "noise" in line:
                s, t, j = line["noise"]
                line["noise"] = [code["table"][s], code["table"][t], j]
            lines.append(line)
        # a single input says nothing, and hashes of older plans stay as they are
        inputs = {"inputs": list(self.inputs)} if len(self.inputs) > 1 else {}
        return {"lines": lines, "outputs": list(self.outputs), "prediction": self.prediction, **inputs}

    def _encode(self) -> dict[str, Any]:
        table: dict[Any, int] = {}

        def index(level: Level) -> int:
            return table.setdefault(level, len(table))

        levels = [index(level) for level in self.levels]
        lines: list[dict[str, Any]] = []
        for line in self.lines:
            tag = {"name": line.name, "step": line.step}
            if isinstance(line, Lin):
                lines.append({"lin": [[r, _number(c)] for r, c in line.terms], **tag})
            elif isinstance(line, Eval):
                lines.append({"eval": line.x, "level": index(line.level), "quantity": line.quantity, **tag})
            else:
                lines.append({"noise": [index(line.s), index(line.t), line.j], **tag})
        return {"table": [_encode_level(level) for level in table], "levels": levels, "lines": lines}

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON data, with a schema number and its hash; floats survive exactly."""
        return {
            "schema": SCHEMA,
            "hash": self.hash,
            "solver": self.solver,
            "prediction": self.prediction,
            "process": dict(self.process),
            "end": self.end,
            "prior": _number(self.prior),
            "states": list(self.states),
            "outputs": [list(o) for o in self.outputs],
            "conversions": [list(c) for c in self.conversions],
            **({"inputs": [list(i) for i in self.inputs]} if len(self.inputs) > 1 else {}),
            **({"partners": [list(p) for p in self.partners]} if self.partners else {}),
            **self._encode(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Inverse of :meth:`to_json`.

        Raises:
            ValueError: unknown schema, or a hash that does not belong to the content.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"plan schema {data.get('schema')!r} is unknown: this diffnum reads schema {SCHEMA}")
        try:
            table = [Level(e["t"], e["alpha"], e["sigma"], lam=e["lam"], v=tuple(e["v"])) for e in data["table"]]
            plan = cls(
                lines=tuple(_decode_line(entry, table) for entry in data["lines"]),
                levels=tuple(table[i] for i in data["levels"]),
                states=tuple(data["states"]),
                outputs=tuple((name, r) for name, r in data["outputs"]),
                prediction=data["prediction"],
                solver=data["solver"],
                process=data["process"],
                end=data["end"],
                prior=data["prior"],
                conversions=tuple((i, name, a, b) for i, name, a, b in data["conversions"]),
                inputs=tuple((name, r) for name, r in data.get("inputs", [("x", 0)])),
                partners=tuple(tuple(registers) for registers in data.get("partners", ())),
            )
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the plan is incomplete or damaged ({error!r}): save it again") from error
        if data.get("hash") != plan.hash:
            raise ValueError(f"the plan's hash {data.get('hash')!r} is not that of its content: save it again")
        return plan

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON to ``path``, whole or not at all."""
        part = Path(path).with_name(Path(path).name + ".part")
        part.write_text(json.dumps(self.to_json(), indent=1))
        part.replace(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan written by :meth:`save`; ``ValueError`` names the file and the trouble."""
        try:
            data = json.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ValueError(f"{path} is not a readable plan ({why}): name a saved one") from error
        if not isinstance(data, dict):
            raise ValueError(f"{path} is not a plan but a JSON {type(data).__name__}: name a saved one")
        return cls.from_json(data)

    @cached_property
    def names(self) -> dict[int, str]:
        """What a printed plan calls each register: the author's name and the step, the level for a state."""
        return _names(self)

    def __str__(self) -> str:
        names = self.names
        where = self.process.get("name", "?")
        head = f"{self.solver or 'plan'} on {where}: {self.steps} steps, NFE {self.nfe}, {self.prediction} prediction"
        rows = [head, f"  {names[0]} = x_T"]
        rows += [f"  {names[r]} = {_show(line, names)}" for r, line in enumerate(self.lines, 1)]
        rows.append("return " + ", ".join(names[r] for _, r in self.outputs))
        return "\n".join(rows)


def sources(line: Line) -> tuple[int, ...]:
    """Registers that ``line`` reads."""
    if isinstance(line, Lin):
        return tuple([r for r, _ in line.terms])
    return (line.x,) if isinstance(line, Eval) else ()


def interpret(
    plan: Plan,
    x: Any,
    lin: Callable[[Sequence[tuple[Any, Any]]], Any],
    evaluate: Callable[[Any, Level, str], Any],
    noise: Callable[[Noise], Any],
    visit: Callable[[int, Line | None, Any], Any] | None = None,
) -> tuple[Any, ...]:
    """Run ``plan`` over any kind of number.

    Args:
        x: the value of register 0.
        lin: from ``[(coefficient, value), ...]`` to their combination.
        evaluate: from ``(value, level, quantity)`` to the prediction.
        noise: from a :class:`Noise` line to its draw.
        visit: called with ``(register, line, value)`` after each definition (``line`` is None for
            register 0); what it returns takes the value's place. Return the value to only look.

    Returns:
        The outputs in the plan's order. Registers are dropped after their last use.
    """
    values, last = {0: x if visit is None else visit(0, None, x)}, plan.last_use
    for r, (line, read) in enumerate(zip(plan.lines, plan.reads, strict=True), 1):
        if isinstance(line, Lin):
            value = lin([(c, values[source]) for source, c in line.terms])
        elif isinstance(line, Eval):
            value = evaluate(values[line.x], line.level, line.quantity)
        else:
            value = noise(line)
        values[r], value = value if visit is None else visit(r, line, value), None
        for source in (*read, r):
            if last[source] <= r:
                values.pop(source, None)
    return tuple(values[r] for _, r in plan.outputs)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"coefficient {value!r} is not a number: only numeric plans have a JSON form") from error


def _encode_level(level: Level) -> dict[str, Any]:
    # lam is infinite at the ends, which JSON cannot hold: there it follows from alpha and sigma
    lam = None if level.pure_noise or level.clean else _number(level.lam)
    return {
        "t": _number(level.t),
        "alpha": _number(level.alpha),
        "sigma": _number(level.sigma),
        "lam": lam,
        "v": [_number(c) for c in level.v],
    }


def _decode_line(entry: Mapping[str, Any], table: Sequence[Level]) -> Line:
    tag = {"name": entry["name"], "step": entry["step"]}
    if "lin" in entry:
        return Lin(tuple((r, c) for r, c in entry["lin"]), **tag)
    if "eval" in entry:
        return Eval(entry["eval"], table[entry["level"]], entry["quantity"], **tag)
    s, t, j = entry["noise"]
    return Noise(table[s], table[t], j, **tag)


def _names(plan: Plan) -> dict[int, str]:
    names, used = {0: "x0"}, {"x0"}
    state = {r: f"x{i}" for i, r in enumerate(plan.states)}
    for r, line in enumerate(plan.lines, 1):
        base = state.get(r) or f"{line.name or 'u'}{line.step}"
        marked = (base + mark for mark in ("", *"bcdefghijklmnopqrstuvwy"))
        names[r] = next((name for name in marked if name not in used), base + "z")
        used.add(names[r])
    return names


def _show(line: Line, names: Mapping[int, str]) -> str:
    if isinstance(line, Lin):
        return " ".join(f"{_sign(c)} {names[r]}" for r, c in line.terms)
    if isinstance(line, Eval):
        return f"{line.quantity}({names[line.x]}; alpha={_short(line.level.alpha)}, sigma={_short(line.level.sigma)})"
    return f"N(0, I) of ({_short(line.s.t)}, {_short(line.t.t)}) no. {line.j}"


def _sign(c: Any) -> str:
    return f"{c:+.4f}" if isinstance(c, float) and 1e-4 <= abs(c) < 1e4 else f"+{_short(c)}"


def _short(c: Any) -> str:
    return f"{c:.4g}" if isinstance(c, (int, float)) else f"({c})"
