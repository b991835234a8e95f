"""Elementary functions for every kind of number that diffnum computes with.

``exp log sqrt expm1 log1p sin cos tan atan`` and ``phi(k, z)`` take a Python float, a numpy array, a torch
tensor, a sympy expression, an mpmath, gmpy2 or decimal number or any object that brings the method itself (the
truncated series of :mod:`diffnum.order`). The kind is read off the argument, so one formula
serves a run in float64, a proof and a gradient.

``phi`` are the functions of exponential integrators (Hochbruck & Ostermann 2010, eq. 2.10),

    phi_0(z) = e^z,    phi_{k+1}(z) = (phi_k(z) - 1/k!) / z,    phi_k(0) = 1/k!,

computed without cancellation: for ``z >= 0`` by their series of positive terms, for ``z < 0`` by
the Kummer transform ``phi_k(z) = e^z / k! * sum_j k/(k+j) |z|^j / j!``, positive again, and far
out by the recurrence. Tensors, through which derivatives pass, take a quadrature of the integral
``phi_k(z) = int_0^1 e^((1-theta) z) theta^(k-1) / (k-1)! dtheta`` in place of the series.

``extended(formula, ...)`` is where a coefficient that float64 cannot give, such as a quadrature weight with
cancelling terms, is evaluated in more digits and rounded once.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from decimal import Context, Decimal, getcontext, localcontext
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import Any

__all__ = ["atan", "cos", "exp", "expm1", "extended", "log", "log1p", "phi", "scaled", "sin", "sqrt", "tan"]

# beyond this |z| the recurrence loses at most k/|z| of a digit per step and the series is long
_FAR = 24.0
# of a quadrature that is exact to rounding up to there
_NODES = 26
# what the exponential of a float bears
_LARGEST = 709.78
# a sixth divided difference over steps of 1e-8 would cost 48 digits
_EXTENDED = Context(prec=110, Emax=10**9, Emin=-(10**9))


def _apply(name: str, x: Any) -> Any:
    if isinstance(x, (int, float)):
        return _plain(name, float(x))
    if isinstance(x, complex):
        return getattr(cmath, name)(x)
    if isinstance(x, Decimal):
        return _decimal(name, x)
    kind = type(x).__module__.partition(".")[0]
    if kind == "gmpy2":
        return getattr(_gmpy2(), name)(x)
    own = getattr(x, name, None)
    if kind not in ("numpy", "torch", "sympy", "mpmath") and own is not None:
        return own()
    if kind == "sympy":
        return _sympy(name, x)
    if kind in ("numpy", "torch", "mpmath"):
        module = import_module(kind)
        return getattr(module, "arctan" if name == "atan" and kind == "numpy" else name)(x)
    kinds = "float, numpy, torch, sympy, mpmath or gmpy2 numbers"
    raise TypeError(f"{name} of {type(x).__name__} is not defined: use {kinds}")


@lru_cache(maxsize=1)
def _gmpy2() -> Any:
    return import_module("gmpy2")


def _plain(name: str, x: float) -> float:
    # IEEE ends instead of Python's exceptions: an infinite log-SNR is a legitimate level
    if name == "log" and x == 0:
        return -math.inf
    if name in ("exp", "expm1") and x > _LARGEST:
        return math.inf
    return getattr(math, name)(x)


def _decimal(name: str, x: Decimal) -> Decimal:
    if name in ("expm1", "log1p"):
        # digits enough that a small argument loses none
        with localcontext() as more:
            more.prec += max(0, -x.adjusted())
            value = x.exp() - 1 if name == "expm1" else (1 + x).ln()
        return +value
    if name in ("sin", "cos", "tan", "atan"):
        raise TypeError(f"{name} of a decimal number is not defined: use mpmath")
    return x.ln() if name == "log" else getattr(x, name)()


def _sympy(name: str, x: Any) -> Any:
    import sympy

    if name == "expm1":
        return sympy.exp(x) - 1
    if name == "log1p":
        return sympy.log(1 + x)
    return getattr(sympy, name)(x)


def exp(x: Any) -> Any:
    """``e**x``; ``inf`` on overflow for floats."""
    if type(x) is float and x <= _LARGEST:
        return math.exp(x)
    return _apply("exp", x)


def log(x: Any) -> Any:
    """Natural logarithm; ``-inf`` at a float zero."""
    if type(x) is float and x > 0:
        return math.log(x)
    return _apply("log", x)


def sqrt(x: Any) -> Any:
    """Square root."""
    if type(x) is float:
        return math.sqrt(x)
    return _apply("sqrt", x)


def expm1(x: Any) -> Any:
    """``e**x - 1`` without cancellation."""
    if type(x) is float and x <= _LARGEST:
        return math.expm1(x)
    return _apply("expm1", x)


def log1p(x: Any) -> Any:
    """``log(1 + x)`` without cancellation."""
    return _apply("log1p", x)


def sin(x: Any) -> Any:
    """Sine."""
    return _apply("sin", x)


def cos(x: Any) -> Any:
    """Cosine."""
    return _apply("cos", x)


def tan(x: Any) -> Any:
    """Tangent."""
    return _apply("tan", x)


def atan(x: Any) -> Any:
    """Arc tangent."""
    return _apply("atan", x)


def phi(k: int, z: Any) -> Any:
    """``phi_k(z)``, see the module's head; relative error a few ulp for floats of any size.

    Args:
        k: index, ``k >= 0``.
        z: any kind of number. Arrays elementwise. A sympy zero gives ``1/k!``.
    """
    if k < 0:
        raise ValueError(f"phi_{k} is not defined: use an index k >= 0")
    if k == 0:
        return exp(z)
    if k == 1 and isinstance(z, float) and abs(z) > 1e-8:
        return expm1(z) / z
    if isinstance(z, (int, float)):
        return _phi_plain(k, float(z))
    if isinstance(z, Decimal):
        return _phi_decimal(k, z)
    kind = type(z).__module__.partition(".")[0]
    if kind == "numpy":
        numpy = import_module("numpy")
        return numpy.vectorize(lambda entry: phi(k, float(entry)), otypes=[float])(z)
    if kind == "torch":
        return _phi_torch(k, z)
    if kind == "mpmath":
        mpmath = import_module("mpmath")
        return mpmath.hyp1f1(1, k + 1, z) / mpmath.factorial(k)
    if kind == "sympy":
        return _phi_sympy(k, z)
    if kind == "gmpy2":
        return _phis_gmpy2(max(k, 7), z, import_module("gmpy2").get_context().precision)[k]
    return z.phi(k)


def _phi_plain(k: int, z: float) -> float:
    if z == -math.inf:
        return 0.0
    if abs(z) > _FAR:
        value = exp(z)
        for j in range(k):
            value = (value - 1 / math.factorial(j)) / z
        return value
    term = 1 / math.factorial(k)
    total, j = term, 0
    if z >= 0:
        while term > 1e-18 * total:
            j += 1
            term *= z / (k + j)
            total += term
        return total
    power = 1.0
    total = 1.0
    while power * k / (k + j) > 1e-18 * total or j < -z:
        j += 1
        power *= -z / j
        total += power * k / (k + j)
    return term * math.exp(z) * total


def _phi_torch(k: int, z: Any) -> Any:
    torch = import_module("torch")
    far = z.abs() > _FAR
    nodes, weights = (torch.tensor(part, dtype=z.dtype, device=z.device) for part in _gauss(k))
    near = torch.exp(torch.where(far, torch.zeros_like(z), z)[..., None] * nodes) @ weights
    out = torch.where(far, z, torch.ones_like(z))
    value = torch.exp(out)
    for j in range(k):
        value = (value - 1 / math.factorial(j)) / out
    return torch.where(far, value, near)


@lru_cache(maxsize=16)
def _gauss(k: int) -> tuple[list[float], list[float]]:
    """``1 - theta_i`` and weights of ``phi_k(z) = int_0^1 e^((1 - theta) z) theta^(k-1) / (k-1)! dtheta`` by Gauss and
    Legendre, whose terms are positive; exact to rounding up to ``|z| = 24``."""
    # libraries of float64 give weights of 13 digits
    with localcontext(prec=40):
        found = [_legendre(_NODES, math.cos(math.pi * (i + 0.75) / (_NODES + 0.5))) for i in range(_NODES)]
        scale = math.factorial(k - 1)
        return [float((1 + x) / 2) for x, _ in found], [float(w * ((1 - x) / 2) ** (k - 1) / scale) for x, w in found]


def _legendre(n: int, guess: float) -> tuple[Decimal, Decimal]:
    """The root of the Legendre polynomial nearest to ``guess``, and half its Gauss weight, by Newton's method."""
    x, slope = Decimal(guess), Decimal(1)
    for _ in range(6):
        below, p = Decimal(1), x
        for j in range(2, n + 1):
            below, p = p, ((2 * j - 1) * x * p - (j - 1) * below) / j
        slope = n * (x * p - below) / (x * x - 1)
        x -= p / slope
    return x, 1 / ((1 - x * x) * slope * slope)


def _phi_sympy(k: int, z: Any) -> Any:
    sympy = import_module("sympy")
    z = sympy.sympify(z)
    if z.is_zero:
        return sympy.Rational(1, math.factorial(k))
    head = sum(z**j / sympy.factorial(j) for j in range(k))
    return (sympy.exp(z) - head) / z**k


def _phi_decimal(k: int, z: Decimal) -> Decimal:
    # a formula asks for several functions at one argument
    return _phis_decimal(max(k, 7), z, getcontext().prec)[k]


@lru_cache(maxsize=64)
def _phis_decimal(top: int, z: Decimal, digits: int) -> tuple[Decimal, ...]:
    """``phi_0(z), ..., phi_top(z)`` in the current context, whose precision is ``digits``."""
    first = [1 / Decimal(math.factorial(j)) for j in range(top + 1)]
    return _phis(top, z, z.exp, first, first[top].scaleb(-digits - 2))


@lru_cache(maxsize=64)
def _phis_gmpy2(top: int, z: Any, bits: int) -> tuple[Any, ...]:
    """As :func:`_phis_decimal`, with ``bits`` of precision."""
    gmpy2 = import_module("gmpy2")
    first = [1 / gmpy2.mpfr(math.factorial(j)) for j in range(top + 1)]
    return _phis(top, z, lambda: gmpy2.exp(z), first, gmpy2.div_2exp(first[top], bits + 6))


def _phis(top: int, z: Any, exponential: Callable[[], Any], first: list[Any], small: Any) -> tuple[Any, ...]:
    """``phi_0(z), ..., phi_top(z)`` of extended numbers; ``first`` holds ``1/k!``, ``small`` bounds what is cut."""
    if abs(z) >= 1:
        # each step divides by z: nothing is lost but the digits of 1/k!
        found = [exponential()]
        for j in range(top):
            found.append((found[-1] - first[j]) / z)
        return tuple(found)
    term = total = first[top]
    j = top
    while abs(term) > small:
        j += 1
        term = term * z / j
        total += term
    found = [total]
    for j in reversed(range(top)):
        found.append(first[j] + z * found[-1])
    return tuple(reversed(found))


def scaled(number: Any, by: Any) -> Any:
    """``by * number`` for an exact or any other ``number``: fractions times floats, torch leaves, series or symbols."""
    if type(number) is float or not _is_fraction(type(number)):
        return number * by
    if type(by) is not float and type(by).__module__.partition(".")[0] == "torch":
        # its integers end at 2^63, which numerators of surds pass
        return by * (int(number.numerator) / int(number.denominator))
    return by * number.numerator / number.denominator


@lru_cache(maxsize=64)
def _is_fraction(kind: type) -> bool:
    outside = kind.__module__.partition(".")[0] in ("torch", "numpy", "sympy")
    return not outside and not issubclass(kind, float) and hasattr(kind, "numerator")


def extended(formula: Callable[..., Any], *arguments: Any) -> Any:
    """``formula(*arguments)`` in 110 decimal digits, rounded once, when every argument is an ordinary number.

    Args:
        formula: arithmetic on its arguments, ``exp`` ... ``phi`` of this module; gives a number or nested tuples.
        arguments: floats, integers and fractions are taken as exact. With any other kind of number among them (torch
            leaves, series, sympy) the formula is evaluated as it stands; fractions become floats beside tensors.

    Returns:
        floats, in the same nesting; fractions and integers that the formula returns stay exact.
    """
    if not all(isinstance(a, (int, float, Fraction)) for a in arguments):
        kinds = {type(a).__module__.partition(".")[0] for a in arguments}
        plain = bool(kinds & {"torch", "numpy"})
        return formula(*(float(a) if plain and isinstance(a, Fraction) else a for a in arguments))
    return _extended(formula, arguments)


# the steps of a grid ask for few different weights
@lru_cache(maxsize=1024)
def _extended(formula: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    with localcontext(_EXTENDED):
        return _rounded(formula(*(_widened(a) for a in arguments)))


def _widened(a: Any) -> Decimal:
    return Decimal(a.numerator) / a.denominator if isinstance(a, Fraction) else Decimal(a)


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_rounded(entry) for entry in value)
    return float(value) if isinstance(value, Decimal) else value
