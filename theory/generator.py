"""From derivations to ``diffnum/solvers/generated.py``: exact numbers and pure expressions, checked as they stand.

A chapter offers *pieces*. A piece is the text of one function or constant, the derivation that wrote it, and a check:
the defining equations, evaluated in exact arithmetic on the object that the text defines. So what is proved is the
generated file and not the formula that it was printed from, and a number changed by hand is noticed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any

import sympy
from sympy.printing.str import StrPrinter

__all__ = ["PHI", "Piece", "additive", "constant", "formula", "load", "mutants", "numbers", "source", "verify"]

HEAD = '''"""Coefficients that theory derives: exact numbers and pure expressions.

Written by ``python -m theory``; do not edit. Every docstring names its derivation. Functions take any kind of number;
with floats call them through :func:`diffnum.num.extended`.
"""

# ruff: noqa: E501
from __future__ import annotations

from fractions import Fraction as F
from typing import Any

from ..num import phi
from .tables import Additive, Table

__all__ = [
{names}
]
'''

PHI = sympy.Function("phi")  # phi(k, z)
Value = Any


@dataclass(frozen=True)
class Piece:
    """One name of the generated file.

    Attributes:
        name: of the function or constant.
        text: its Python source.
        derivation: where it was derived, such as ``theory.adams.exponential``.
        check: defining equations on the generated module, left minus right in exact arithmetic; all zero.
        free: descriptions of directions in which its numbers may move without violating an equation.
    """

    name: str
    text: str
    derivation: str
    check: Callable[[Any], Iterable[Any]]
    free: tuple[str, ...] = ()


class _Printer(StrPrinter):
    """Python in which no two integers are divided: that would be a float."""

    def _print_Rational(self, expr: Any) -> str:
        return f"F({expr.p}, {expr.q})"

    def _print_Float(self, expr: Any) -> str:
        raise ValueError(f"{expr} is a float: generated coefficients are exact")


def _plain(value: Any) -> sympy.Expr:
    value = sympy.sympify(Fraction(value)) if isinstance(value, (int, Fraction)) else sympy.sympify(value)
    return value if value.is_Number else sympy.factor_terms(sympy.together(value))  # type: ignore[arg-type]


def _print(expr: sympy.Expr) -> str:
    if expr.is_Number:
        return _Printer().doprint(expr)
    numerator, denominator = expr.as_numer_denom()
    text = _Printer().doprint(numerator)
    if any(not r.is_Integer for r in (numerator.atoms(sympy.Rational) | denominator.atoms(sympy.Rational))):
        raise ValueError(f"{expr} holds a fraction that is not over a common denominator")
    if denominator == 1:
        return text
    below = _Printer().doprint(denominator)
    text = text if numerator.is_Atom or numerator.is_Function else f"({text})"
    return f"{text}/{below}" if denominator.is_Atom else f"{text}/({below})"


def _nested(value: Value, show: Callable[[sympy.Expr], str]) -> str:
    if isinstance(value, (tuple, list)):
        inside = ", ".join(_nested(v, show) for v in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return show(value)


def _leaves(value: Value) -> Iterator[sympy.Expr]:
    for v in value:
        if isinstance(v, (tuple, list)):
            yield from _leaves(v)
        else:
            yield v


def _mapped(value: Value, f: Callable[[Any], Any]) -> Value:
    return tuple(_mapped(v, f) for v in value) if isinstance(value, (tuple, list)) else f(value)


def formula(
    name: str,
    arguments: Sequence[sympy.Symbol],
    value: Value,
    says: str,
    derivation: str,
    check: Callable[[Any], Iterable[Any]],
    free: tuple[str, ...] = (),
) -> Piece:
    """A function of symbols that returns ``value``, nested tuples of expressions in ``arguments`` and :data:`PHI`.

    Args:
        says: what it is, in plain text with the equation; the docstring.
    """
    value = _mapped(value, _plain)
    calls = sorted({call for leaf in _leaves(value) for call in leaf.atoms(PHI)}, key=sympy.default_sort_key)
    names = {call: sympy.Symbol(f"p{i}") for i, call in enumerate(calls, 1)}
    value = _mapped(value, lambda e: e.xreplace(names))
    shared, leaves = sympy.cse(list(_leaves(value)), symbols=(sympy.Symbol(f"u{i}") for i in range(1, 999)))
    found = iter(leaves)
    value = _mapped(value, lambda _: next(found))
    lines = [f"{names[c]} = phi({c.args[0]}, {_print(_plain(c.args[1]))})" for c in calls]
    lines += [f"{s} = {_print(_plain(e))}" for s, e in shared]
    head = ", ".join(f"{a}: Any" for a in arguments)
    body = [f'"""{says}', "", f"Derived by ``{derivation}``.", '"""', *lines, f"return {_nested(value, _print)}"]
    text = f"def {name}({head}) -> Any:\n" + "\n".join("    " + line if line else "" for line in body)
    return Piece(name, text, derivation, check, free)


def constant(
    name: str,
    nodes: Sequence[Any],
    matrix: Sequence[Sequence[Any]],
    weights: Sequence[Any],
    says: str,
    derivation: str,
    check: Callable[[Any], Iterable[Any]],
    free: tuple[str, ...] = (),
) -> Piece:
    """An exact :class:`diffnum.solvers.tables.Table`."""
    return Piece(name, _built("Table", name, (nodes, matrix, weights), says, derivation), derivation, check, free)


def additive(
    name: str, entries: Sequence[Any], says: str, derivation: str, check: Callable[[Any], Iterable[Any]]
) -> Piece:
    """An exact :class:`diffnum.solvers.tables.Additive`: nodes, matrix, weights, path and area."""
    return Piece(name, _built("Additive", name, entries, says, derivation), derivation, check)


def _built(kind: str, name: str, parts: Sequence[Any], says: str, derivation: str) -> str:
    body = "\n".join(f"    {_nested(tuple(part), lambda v: _print(_plain(v)))}," for part in parts)
    return f'{name} = {kind}(\n{body}\n)\n"""{says} Derived by ``{derivation}``."""'


def numbers(
    name: str,
    values: Sequence[Any],
    says: str,
    derivation: str,
    check: Callable[[Any], Iterable[Any]],
    free: tuple[str, ...] = (),
) -> Piece:
    """Exact numbers in nested tuples, such as the weights of every order of a family."""
    text = _nested(tuple(values), lambda v: _print(_plain(v)))
    return Piece(name, f'{name} = {text}\n"""{says} Derived by ``{derivation}``."""', derivation, check, free)


def source(pieces: Sequence[Piece]) -> str:
    """The text of the generated file."""
    names = [piece.name for piece in pieces]
    if len(set(names)) != len(names):
        raise ValueError(f"two derivations write one name: {sorted(n for n in names if names.count(n) > 1)}")
    listed = "\n".join(f'    "{name}",' for name in sorted(names))
    functions = [p.text for p in pieces if p.text.startswith("def ")]
    tables = [p.text for p in pieces if not p.text.startswith("def ")]
    return HEAD.replace("{names}", listed) + "\n" + "\n\n".join(tables) + "\n\n\n" + "\n\n\n".join(functions) + "\n"


def load(text: str) -> Any:
    """The generated module from its text."""
    module = ModuleType("diffnum.solvers.generated")
    module.__package__ = "diffnum.solvers"
    exec(compile(text, "generated.py", "exec"), module.__dict__)
    return module


def verify(piece: Piece, module: Any) -> bool:
    """Whether every defining equation of the piece holds on the module."""
    found = False
    for residual in piece.check(module):
        if not _zero(residual):
            return False
        found = True
    return found


def _zero(residual: Any) -> bool:
    if hasattr(residual, "valuation"):
        return residual.end > 0 and residual.valuation == residual.end
    return residual == 0


def mutants(piece: Piece) -> Iterator[tuple[str, str]]:
    """Every number of the piece raised by one, as (place, text)."""
    tree = ast.parse(piece.text)
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is int]
    for node in nodes:
        value = node.value
        node.value = value + 1  # type: ignore[operator]
        yield f"{piece.name}, line {node.lineno} column {node.col_offset}: {value}", ast.unparse(tree)
        node.value = value
