"""What an audit found: defects and notes with their numbers, and one record per sampler and setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["REMEDY", "Defect", "Order", "Record", "merged"]

REMEDY = {
    "stopped": "refuse the setting with a sentence when the object is made, or mend the branch",
    "infinite": "treat the step whose levels coincide, or whose end is clean, as its limit",
    "nonlinear": "audit with clipping and thresholding off",
    "random": "draw from the generator that was given",
    "stale": "forget the run before in set_timesteps",
    "level": "step from the level at which the model is asked",
    "scale": "make the coefficients of the step add up to the levels of its two ends",
    "noise": "draw a fresh normal for every step",
    "outside": "leave the step out",
    "idle": "leave the repeated level out",
    "missing": "walk to the end",
    "end": "append the clean level",
    "shift": "shift the levels once",
    "precision": "compute levels and coefficients in double precision and cast at the end",
    "calls": "count evaluations, not steps",
    "rounded": "keep the fraction of the times, or choose levels that are in the table",
    "reuse": "forget the run before at the last step, or refuse to go on",
}


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: as :class:`diffnum.lifting.Finding` has them, and ``order`` (less than the object says), ``diverges``
            (errors do not fall with more steps), ``monotone`` (a higher order is no more accurate), ``ledger`` (another
            number of calls than other numbers of steps have), ``lookup`` (an entry of its own table is not found),
            ``bound`` (it refuses some numbers of steps, and says why: a note).
        where: number of steps, step and coefficient.
        sentence: in words, with the numbers.
        remedy: what to change.
        note: it may be meant.
        numbers: the same by name.
    """

    kind: str
    where: str
    sentence: str
    remedy: str
    note: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} ({self.where}): {self.sentence}"


@dataclass(frozen=True)
class Order:
    """A measured order.

    Attributes:
        witness: what was run: ``"non-linear"``, ``"Gaussian"``, or ``"Gaussian variance"`` for a sampler that draws.
        counts: numbers of steps; ``widths`` of them lie where the error is measured.
        errors: largest errors there.
        slopes: between neighbours.
        settled: whether the last two agree.
    """

    witness: str
    counts: tuple[int, ...]
    widths: tuple[int, ...]
    errors: tuple[float, ...]
    slopes: tuple[float, ...]
    settled: bool

    @property
    def value(self) -> float:
        """Mean of the last two slopes; NaN where there are none."""
        return sum(self.slopes[-2:]) / 2 if len(self.slopes) > 1 else math.nan

    @property
    def place(self) -> str:
        """The witness, in a sentence."""
        return self.witness + " law" * (self.witness == "non-linear")

    @property
    def trend(self) -> float:
        """Slope of the line through the last four errors; NaN where there are fewer."""
        count = len(self.slopes) + 1
        if count < 4:
            return math.nan
        x = [math.log(w) for w in self.widths[count - 4 : count]]
        y = [math.log(e) for e in self.errors[count - 4 : count]]
        middle, height = sum(x) / 4, sum(y) / 4
        return -sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True)) / sum((a - middle) ** 2 for a in x)


@dataclass(frozen=True)
class Record:
    """One sampler with one setting, audited.

    Attributes:
        key, name, settings, remark: which, and what was changed to audit it.
        defaults: of its order options.
        call: the line of Python that makes it.
        path, kind: from where it is imported, and what it is; see :class:`diffnum.audit.Sampler`.
        off: limiting settings that were switched off.
        status: ``"audited"``, ``"refused"`` (by its own sentence) or ``"skipped"``, with the ``reason``.
        steps, calls: asked for, and evaluations made.
        stochastic: it draws noise.
        claim: the order that its settings or its name say, None where they say none.
        orders: measured.
        loss: largest change of a coefficient by single precision, by number of steps.
        floor: error on the exact flow that single precision and rounded times add, by number of steps.
        near, distance, difference: the nearest sampler known and the first coefficient that differs.
        advice: where its order is less than it says, what it is and what to change.
        defects: all of them, notes last.
        seconds: of one processor.
    """

    key: str
    name: str
    path: str
    kind: str
    call: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    preparation: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, int] = field(default_factory=dict)
    off: tuple[str, ...] = ()
    remark: str = ""
    status: str = "audited"
    reason: str = ""
    steps: int = 0
    calls: int = 0
    stochastic: bool = False
    claim: int | None = None
    orders: tuple[Order, ...] = ()
    loss: Mapping[str, float] = field(default_factory=dict)
    floor: Mapping[str, float] = field(default_factory=dict)
    near: str = ""
    distance: float = math.nan
    difference: str = ""
    advice: str = ""
    defects: tuple[Defect, ...] = ()
    seconds: float = 0.0

    @property
    def faults(self) -> tuple[Defect, ...]:
        """Defects that are no notes."""
        return tuple(d for d in self.defects if not d.note)

    @property
    def order(self) -> Order | None:
        """The one that decides: that on the non-linear law, of a sampler that draws that of the variance."""
        return self.orders[0] if self.orders else None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of all defects, each once."""
        return tuple(dict.fromkeys(d.kind for d in self.defects))

    def to_json(self) -> dict[str, Any]:
        """Plain data, NaN as None."""
        return _plain(asdict(self))

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Record:
        """What :meth:`to_json` gave."""
        data = dict(content)
        data["orders"] = tuple(_order(o) for o in content["orders"])
        data["off"] = tuple(content["off"])
        data["defects"] = tuple(Defect(**d) for d in content["defects"])
        data["distance"] = _real(content["distance"])
        return Record(**data)


def _order(content: Mapping[str, Any]) -> Order:
    return Order(
        content["witness"],
        tuple(content["counts"]),
        tuple(content["widths"]),
        tuple(_real(e) for e in content["errors"]),
        tuple(_real(s) for s in content["slopes"]),
        content["settled"],
    )


def _real(value: Any) -> float:
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | bool | None) else repr(value)


def merged(defects: list[Defect]) -> tuple[Defect, ...]:
    """Each kind once, the first; faults before notes."""
    first: dict[str, Defect] = {}
    for defect in sorted(defects, key=lambda d: d.note):
        first.setdefault(defect.kind, defect)
    return tuple(first.values())
