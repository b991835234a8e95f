"""What is wrong with a sampler, or worth knowing, as records."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["NOTES", "Finding"]

NOTES = ("calls", "rounded", "reuse")
"""Kinds of finding that may be meant; the others are faults."""


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        kind: ``stopped`` (an exception), ``infinite`` (a coefficient), ``nonlinear``, ``random`` (two fresh runs
            differ), ``stale`` (state left by the run before), ``level`` (told another level than its input's),
            ``scale`` (an input on no level), ``noise`` (a draw used twice), ``outside`` (a time that the network does
            not know), ``idle`` (a step that does nothing), ``missing``
            (a step that is not taken), ``end`` (noise left over), ``shift`` (levels shifted
            twice), ``precision`` (digits lost in single precision); notes: ``calls`` (another number than asked for),
            ``rounded`` (a time cut to the entries of a table), ``reuse`` (a second run without preparation differs).
        step, call: where it begins, counted from zero; None where it has no place.
        size: how much: of a coefficient over its row's maximum, of a level in log-SNR, of a scale relative.
        sentence: in words, with the value and the remedy.
        column: of the coefficient, ``"x"``, ``"D3"`` or ``"z1"``, where one alone is meant.
        count: how many times.
    """

    kind: str
    sentence: str
    step: int | None = None
    call: int | None = None
    size: float = math.nan
    column: str = ""
    count: int = 1

    @property
    def note(self) -> bool:
        """May it be meant?"""
        return self.kind in NOTES

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"
