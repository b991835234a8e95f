"""What an audit says: findings, suspected slips, known tables, as sentences and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from .entries import shown
from .numbers import Ball, middle
from .slips import Slip

__all__ = ["FAILS", "HOLDS", "NOTE", "Audit", "Finding", "Known", "residual_text", "sentence"]

HOLDS, FAILS, NOTE = "holds", "fails", "note"


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        check: what was looked at.
        verdict: ``holds``, ``fails``, or ``note`` for what is no claim.
        said: the result in words.
        where: entries, rows or conditions that are violated.
        residuals: of those, as floats.
    """

    check: str
    verdict: str
    said: str
    where: tuple[str, ...] = ()
    residuals: tuple[float, ...] = ()


@dataclass(frozen=True)
class Known:
    """A table of :mod:`diffnum.solvers.generated` that this one is, or is near.

    Attributes:
        name: with its parameters, where it is a member of a family.
        distance: largest difference of two entries; 0.0 for the same method.
        differs: entries that differ, ``name here: here, there``.
        how: what was done to make them comparable.
    """

    name: str
    distance: float
    differs: tuple[str, ...] = ()
    how: str = ""

    def __str__(self) -> str:
        how = f" ({self.how})" if self.how else ""
        if not self.differs:
            return f"is {self.name}{how}"
        return f"is {self.name}{how} to {self.distance:.2g}, but for {'; '.join(self.differs)}"


@dataclass(frozen=True)
class Audit:
    """The audit of one table.

    Attributes:
        name: of the table. ``kind``: what sort of method it is.
        claim: the order it claims, or None. ``order``: the order it has.
        findings: every check in turn.
        slips: single entries that would mend it, each with what it should be; one of them if it is unique.
        known: the same method among diffnum's, or else the nearest where all but a few entries agree.
    """

    name: str
    kind: str
    claim: int | None
    order: int
    findings: tuple[Finding, ...]
    slips: tuple[Slip, ...] = ()
    known: tuple[Known, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """``fails`` where a finding does."""
        return FAILS if any(finding.verdict == FAILS for finding in self.findings) else HOLDS

    def finding(self, check: str) -> Finding:
        """The finding of that name.

        Raises:
            KeyError: there was no such check.
        """
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(f"{check!r} was not checked: {', '.join(finding.check for finding in self.findings)} were")

    def __str__(self) -> str:
        head = f"{self.name}: {self.kind}, order {self.order}" + (
            "" if self.claim is None else f", claims {self.claim}"
        )
        lines = [f"  {f.check}: {f.verdict}, {f.said}" for f in self.findings]
        lines += [f"  slip: {slip}" for slip in self.slips] + [f"  known: it {known}" for known in self.known]
        return "\n".join([head, *lines])

    def to_json(self) -> dict[str, Any]:
        """As plain values; an infinite length is None."""
        slips = [{k: v for k, v in asdict(slip).items() if k != "value"} for slip in self.slips]
        out = {k: getattr(self, k) for k in ("name", "kind", "claim", "order", "verdict")}
        return out | {
            "findings": [asdict(finding) for finding in self.findings],
            "slips": slips,
            "known": [asdict(known) for known in self.known],
        }


def residual_text(x: Any) -> str:
    """A residual to be read."""
    if isinstance(x, Ball):
        return f"{float(middle(x)):.3g}"
    said = shown(x)
    return said if len(said) < 24 else f"{float(x):.6g}"


def sentence(parts: Iterable[str]) -> str:
    """Joined by semicolons."""
    return "; ".join(part for part in parts if part)
