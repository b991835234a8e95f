"""What a chapter is made of: statements whose residual is exactly zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy

__all__ = ["Chapter", "Statement", "check", "differ", "exact", "prove"]

Chapter = tuple[Callable[[], "Statement"], ...]


@dataclass(frozen=True)
class Statement:
    """One derived statement.

    Attributes:
        name: a sentence.
        claim: the same in LaTeX.
        residual: left side minus right side of every equation of the claim, simplified; all zero when it holds.
        where: what it says something about: the code, or the source.
        counterexample: for two things that are not equal, a point where they differ and by how much.
    """

    name: str
    claim: str
    residual: tuple[sympy.Expr, ...]
    where: str
    counterexample: str = ""

    @property
    def holds(self) -> bool:
        """Whether every residual is the number zero: not small, not unknown."""
        return len(self.residual) > 0 and all(r == 0 for r in self.residual)


def prove(name: str, claim: str, residual: Any, where: str) -> Statement:
    """A statement from one residual or several; floats of the code, which are dyadic, become rationals first."""
    several = residual if isinstance(residual, (tuple, list)) else (residual,)
    return Statement(name, claim, tuple(_simplify(r) for r in several), where)


def differ(
    name: str, claim: str, difference: Iterable[Any], closed: Iterable[Any], at: Mapping[Any, Any], where: str
) -> Statement:
    """That two things are not equal: their differences in closed form, and values at a point that are not all zero.

    Args:
        at: replaced in this order.

    Raises:
        ArithmeticError: the point does not tell the two apart.
    """
    forms = [exact(form) for form in closed]
    residual = tuple(_simplify(d - form) for d, form in zip(difference, forms, strict=True))
    values = [sympy.simplify(form.subs(list(at.items()))) for form in forms]
    if all(value == 0 for value in values):
        raise ArithmeticError(f"{name}: no difference at {at}")
    point = ", ".join(f"{sympy.latex(k)} = {sympy.latex(v)}" for k, v in at.items())
    shown = ", ".join(sympy.latex(v) for v in values if v != 0)
    return Statement(name, claim, residual, where, f"${shown}$ at ${point}$")


def exact(expression: Any) -> sympy.Expr:
    """The expression with every float replaced by the rational that it is."""
    expression = sympy.sympify(expression)
    return expression.xreplace({f: sympy.Rational(float(f)) for f in expression.atoms(sympy.Float)})


def _simplify(expression: Any) -> sympy.Expr:
    # most residuals fall at the first, cheap attempt
    expression = exact(expression)
    for attempt in (sympy.expand, _waves, sympy.cancel, sympy.simplify, lambda e: sympy.simplify(e.rewrite(sympy.exp))):
        found = attempt(expression)
        if found == 0:
            return sympy.Integer(0)
    return sympy.simplify(expression)


def _waves(expression: sympy.Expr) -> sympy.Expr:
    """Sines and cosines as exponentials, whose products expand."""
    return sympy.expand(expression.rewrite(sympy.exp)) if expression.has(sympy.sin, sympy.cos) else expression


def check(chapter: Iterable[Statement]) -> None:
    """ArithmeticError that names the first statement whose residual is not zero."""
    for statement in chapter:
        if not statement.holds:
            raise ArithmeticError(f"{statement.name}: the residual is {statement.residual}, not zero")
