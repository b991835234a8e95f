"""Every piece of ``diffnum/solvers/generated.py``, in the order of the book."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from .generator import Piece, load, source, verify

__all__ = ["GENERATED", "derive_pieces", "generated_text", "unsound"]

GENERATED = Path(__file__).parents[1] / "diffnum" / "solvers" / "generated.py"
SOURCES = (
    "adams",
    "uni",
    "variable_pndm",
    "runge_kutta",
    "collocation",
    "tsitouras",
    "extrapolation",
    "exponential_rk",
    "reversible",
    "stochastic",
    "additive",
)


def sources() -> tuple[Callable[[], Piece], ...]:
    """The derivations that write a piece."""
    chapters = (import_module(f"theory.{name}") for name in SOURCES)
    return tuple(piece for chapter in chapters for piece in chapter.PIECES)


def derive_pieces() -> list[Piece]:
    """All pieces."""
    return [make() for make in sources()]


def generated_text(pieces: list[Piece]) -> str:
    """What ``generated.py`` must hold."""
    return source(pieces)


def unsound(pieces: list[Piece]) -> list[str]:
    """Names whose defining equations do not hold on the text."""
    module = load(source(pieces))
    return [piece.name for piece in pieces if not verify(piece, module)]
