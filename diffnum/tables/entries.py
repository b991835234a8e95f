"""Entries of tables: whole numbers, fractions, decimals, floats, roots, and combinations of phi functions."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from numbers import Rational
from typing import Any

from ..series import rational
from .numbers import Ball, convincing, middle, ratio

__all__ = ["ARGUMENT", "Argument", "Combination", "combination", "number", "shown"]

# fewer digits are taken at their word, more are a rounding
DIGITS = 12
IRRATIONAL = 1e-70
_WORKING = 90
# of shorter kinds of float
_UNITS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def number(x: Any) -> Any:
    """A rational, or a :class:`~diffnum.tables.numbers.Ball` where an entry is a rounding.

    Args:
        x: an integer, fraction, float, decimal, sympy or numpy number, or text such as ``"-8/27"``, ``"0.25"``,
            ``"1/2 - sqrt(3)/6"``. A decimal, or a float as it prints, of fewer than 12 digits is exact. One of up to
            17 digits is known to ``2^-52 max(1, |x|)`` or one unit of its last digit, whichever is more, a longer one
            to one unit. A root is known to 70 digits, a number of single precision to its own rounding.

    Raises:
        ValueError: anything else, or a number that is not finite.
    """
    if isinstance(x, Ball):
        return x
    if isinstance(x, bool) or x is None:
        raise ValueError(f"an entry is {x!r}: write a number")
    if isinstance(x, str):
        return _evaluated(x, _number_node)
    if isinstance(x, Decimal):
        return _decimal(x)
    if isinstance(x, (int, Fraction, Rational)) or type(x) is type(rational(0)):
        return rational(int(x.numerator), int(x.denominator))
    if isinstance(x, float):
        return _decimal(Decimal(repr(float(x))))
    if hasattr(x, "_sympy_") or type(x).__module__.startswith("sympy"):
        return _sympy(x)
    if getattr(x, "ndim", None) == 0 and hasattr(x, "item"):
        value = x.item()
        unit = _UNITS.get(str(x.dtype).removeprefix("torch."))
        if unit is None or not isinstance(value, float) or not value or not math.isfinite(value):
            return number(value)
        return Ball(rational(Fraction(value)), unit * max(1.0, abs(value)))
    raise ValueError(f"an entry is {x!r}, no real number: write an integer, a fraction, a decimal or a root")


def _decimal(x: Decimal) -> Any:
    if not x.is_finite():
        raise ValueError(f"an entry is {x}: write a finite number")
    exact = Fraction(x)
    digits = len("".join(map(str, x.as_tuple().digits)).strip("0"))
    mid = rational(exact.numerator, exact.denominator)
    if digits < DIGITS:
        return mid
    unit = 10.0 ** int(x.as_tuple().exponent)
    return Ball(mid, max(unit, 2.0**-52 * max(1.0, abs(float(x)))) if digits <= 17 else unit)


def _sympy(x: Any) -> Any:
    import sympy

    whole = sympy.sympify(x)
    if whole.is_Rational:
        return rational(int(whole.p), int(whole.q))
    if whole.is_real is not True:
        raise ValueError(f"an entry is {x}, which is no real number: write its value")
    return _known(sympy.N(whole, _WORKING))


def _known(x: Any) -> Ball:
    mid = rational(Fraction(Decimal(str(x))))
    return Ball(mid, IRRATIONAL * max(1.0, abs(float(mid))))


def shown(x: Any) -> str:
    """A number to be read: a fraction that is short for what is known of it, or else the nearest float."""
    said = str(ratio(x))
    if isinstance(x, Ball):
        return said if convincing(x) else repr(float(x.mid))
    return said if len(said) <= 40 else repr(float(x))


# --- phi functions ---


@dataclass(frozen=True, eq=False)
class Combination:
    """``sum q phi_k(c z)``.

    Attributes:
        terms: from ``(k, c)`` to ``q``; a constant is ``phi_0(0 z)``. Arguments ``c`` are rational: a rounded one is
            the simplest fraction that it may be.
    """

    terms: Mapping[tuple[int, Any], Any]

    def __add__(self, other: Any) -> Combination:
        out = dict(self.terms)
        for key, q in _constant(other).terms.items():
            out[key] = out[key] + q if key in out else q
        return Combination({key: q for key, q in out.items() if isinstance(q, Ball) or q != 0})

    def __neg__(self) -> Combination:
        return Combination({key: -q for key, q in self.terms.items()})

    def __sub__(self, other: Any) -> Combination:
        return self + -_constant(other)

    def __rsub__(self, other: Any) -> Combination:
        return -self + other

    def __mul__(self, other: Any) -> Combination:
        if isinstance(other, (Combination, Argument)):
            raise ValueError("an entry multiplies functions of z: write it as a sum of multiples of phi_k(c z)")
        return Combination({key: q * _plain(other) for key, q in self.terms.items()})

    def __truediv__(self, other: Any) -> Combination:
        if isinstance(other, (Combination, Argument)):
            raise ValueError("an entry divides by a function of z: write it as a sum of multiples of phi_k(c z)")
        return self * (1 / _plain(other))

    __radd__ = __add__
    __rmul__ = __mul__

    def taylor(self, power: int) -> Any:
        """The coefficient of ``z^power``."""
        parts = [
            q * c**power * rational(1, math.factorial(k + power)) for (k, c), q in self.terms.items() if c or not power
        ]
        return sum(parts, rational(0))

    def __str__(self) -> str:
        parts = [
            f"{shown(q)} {_function(k, c)}".strip() for (k, c), q in sorted(self.terms.items(), key=lambda t: t[0])
        ]
        return " + ".join(parts).replace("+ -", "- ") or "0"


def _function(k: int, c: Any) -> str:
    if not c:
        return "" if k == 0 else f"phi_{k}(0)"
    at = "z" if c == 1 else f"{c} z"
    return f"phi_{k}({at})" if k else f"exp({at})"


def _plain(x: Any) -> Any:
    return rational(x) if isinstance(x, (int, Fraction)) else x


def _constant(x: Any) -> Combination:
    if isinstance(x, Combination):
        return x
    if isinstance(x, Argument):
        raise ValueError("an entry has z outside of a function: write it as a sum of multiples of phi_k(c z)")
    return Combination({(0, rational(0)): _plain(x)} if isinstance(x, Ball) or x != 0 else {})


@dataclass(frozen=True)
class Argument:
    """``at z``, what phi functions are taken of."""

    at: Any

    def __mul__(self, other: Any) -> Argument:
        return Argument(self.at * rational(ratio(_plain(other))))

    def __truediv__(self, other: Any) -> Argument:
        return Argument(self.at / rational(ratio(_plain(other))))

    def __neg__(self) -> Argument:
        return Argument(-self.at)

    __rmul__ = __mul__

    def phi(self, k: int) -> Combination:
        """``phi_k(at z)``."""
        return Combination({(k, self.at): rational(1)} if self.at else {(0, self.at): rational(1, math.factorial(k))})

    def exp(self) -> Combination:
        """``e^(at z)``."""
        return self.phi(0)


ARGUMENT = Argument(rational(1))


def combination(x: Any) -> Combination:
    """A combination of phi functions.

    Args:
        x: a number; a mapping ``{"phi": k, "at": c, "coefficient": q}``, in which ``at`` and ``coefficient`` are 1
            where they are left out; a list of such, which is their sum; or text such as ``"phi_1(z/2)/2 - phi_2(z)"``.

    Raises:
        ValueError: anything else.
    """
    if isinstance(x, Combination):
        return x
    if isinstance(x, str):
        return _constant(_evaluated(x, _phi_node))
    if isinstance(x, Mapping):
        strange = set(x) - {"phi", "at", "coefficient"}
        k = x.get("phi")
        if strange or isinstance(k, bool) or not isinstance(k, int) or k < 0:
            raise ValueError(
                f'an entry is {dict(x)}: write {{"phi": k, "at": c, "coefficient": q}} with k = 0, 1, 2, ...'
            )
        return (ARGUMENT * number(x.get("at", 1))).phi(k) * number(x.get("coefficient", 1))
    if isinstance(x, Sequence):
        return sum((combination(part) for part in x), Combination({}))
    return _constant(number(x))


# --- text ---


def _evaluated(text: str, leaf: Callable[[ast.expr, str], Any]) -> Any:
    clean = text.strip().replace("^", "**").replace("−", "-").replace("·", "*")
    try:
        return _walk(ast.parse(clean, mode="eval").body, clean, leaf)
    except (SyntaxError, ZeroDivisionError, InvalidOperation, OverflowError, RecursionError):
        raise ValueError(f"an entry is {text!r}: write it like -8/27, 0.25, sqrt(2)/2 or phi_1(z/2)") from None


def _walk(node: ast.expr, text: str, leaf: Callable[[ast.expr, str], Any]) -> Any:
    match node:
        case ast.Constant(value=int()) if not isinstance(node.value, bool):
            return rational(node.value)
        case ast.Constant(value=float()):
            return _decimal(Decimal((ast.get_source_segment(text, node) or "").replace("_", "")))
        case ast.UnaryOp(op=ast.USub()):
            return -_walk(node.operand, text, leaf)
        case ast.UnaryOp(op=ast.UAdd()):
            return _walk(node.operand, text, leaf)
        case ast.BinOp():
            one, other = (_walk(part, text, leaf) for part in (node.left, node.right))
            match node.op:
                case ast.Add():
                    return one + other
                case ast.Sub():
                    return one - other
                case ast.Mult():
                    return one * other
                case ast.Div():
                    return one / other
                case ast.Pow():
                    return _power(one, other, text)
    return leaf(node, text)


def _power(base: Any, exponent: Any, text: str) -> Any:
    if isinstance(exponent, Ball) or isinstance(base, (Combination, Argument)) or abs(exponent) > 64:
        raise ValueError(f"an entry is {text!r}: its power is no small whole or half number of a number")
    if exponent.denominator == 1:
        return base ** int(exponent)
    return _real("sqrt", base) ** int(2 * exponent) if exponent.denominator == 2 else _real("pow", base, exponent)


def _number_node(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Name(id="pi"):
            return _real("pi")
        case ast.Call(func=ast.Name(id="sqrt" | "cos" | "sin" | "exp" | "log" as name), args=[inner], keywords=[]):
            return _real(name, _walk(inner, text, _number_node))
    raise ValueError(f"an entry is {text!r}: write it like -8/27, 0.25 or sqrt(2)/2")


def _phi_node(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Name(id="z"):
            return ARGUMENT
        case ast.Call(func=ast.Name(id="phi"), args=[ast.Constant(value=int(k)), inner], keywords=[]) if k >= 0:
            return _taken(inner, text).phi(k)
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]):
            index = name.removeprefix("phi").removeprefix("_")
            if name.startswith("phi") and index.isdecimal():
                return _taken(inner, text).phi(int(index))
            value = _walk(inner, text, _phi_node)
            if name == "exp" and isinstance(value, Argument):
                return value.exp()
    return _number_node(node, text)


def _taken(inner: ast.expr, text: str) -> Argument:
    value = _walk(inner, text, _phi_node)
    if not isinstance(value, Argument):
        raise ValueError(f"an entry is {text!r}: a phi function is taken of a multiple of z, as in phi_1(z/2)")
    return value


def _real(name: str, *inner: Any) -> Any:
    """An elementary function to :data:`IRRATIONAL`; a square root of a square is exact."""
    import mpmath

    x: Any = inner[0] if inner else None
    if name in ("sqrt", "log", "pow") and middle(x) <= 0:
        raise ValueError(f"an entry has {name} of {float(middle(x))!r}: it is no real number")
    if name == "sqrt" and not isinstance(x, Ball):
        parts = [math.isqrt(int(part)) for part in (x.numerator, x.denominator)]
        if rational(*parts) ** 2 == x:
            return rational(*parts)
    with mpmath.workdps(_WORKING):
        if x is None:
            return _known(mpmath.nstr(+mpmath.pi, _WORKING))
        function = {"pow": lambda u: u ** _mp(inner[-1])}.get(name) or getattr(mpmath, name)
        value = function(_mp(middle(x)))
        known = _known(mpmath.nstr(value, _WORKING))
        if not isinstance(x, Ball):
            return known
        slope = mpmath.diff(function, _mp(x.mid))
        return Ball(known.mid, known.rad + 2 * abs(float(slope)) * x.rad)


def _mp(x: Any) -> Any:
    import mpmath

    return mpmath.mpf(int(x.numerator)) / int(x.denominator)
