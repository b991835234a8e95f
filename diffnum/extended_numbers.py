"""Extended numbers: gmpy2's, many times quicker than mpmath's, which stay where it is not installed.

Weak proofs trace a plan with mpmath's and expand trees with gmpy2's; both carry the same digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .plan import Level
from .series import Series

gmpy2: Any
try:
    import gmpy2
except ImportError:  # pragma: no cover
    gmpy2 = None

__all__ = ["digits", "number", "quick"]


@contextmanager
def digits(count: int) -> Iterator[None]:
    """Decimal digits of both kinds of number."""
    import mpmath

    with mpmath.workdps(count):
        if gmpy2 is None:
            yield
        else:
            with gmpy2.context(precision=mpmath.mp.prec):
                yield


def number(value: int | float) -> Any:
    """An integer or float as the quickest extended number, exact as far as :func:`digits` go."""
    if gmpy2 is not None:
        return gmpy2.mpfr(value)
    from mpmath import mpf

    return mpf(value)


def quick(value: Any) -> Any:
    """Series, levels, tuples and dictionaries of them with gmpy2's numbers, under :func:`digits`; others unchanged."""
    if isinstance(value, Series):
        return value.map(quick)
    if isinstance(value, Level):
        fields = {name: quick(getattr(value, name)) for name in ("t", "alpha", "sigma", "lam", "v")}
        return replace(value, **fields)
    if isinstance(value, tuple):
        return tuple([quick(entry) for entry in value])
    if isinstance(value, dict):
        return {key: quick(entry) for key, entry in value.items()}
    if gmpy2 is None or not hasattr(value, "_mpf_"):
        return value
    # exact: the mantissa has no more bits than the precision
    negative, mantissa, exponent, _ = value._mpf_
    whole = gmpy2.mpfr(-mantissa if negative else mantissa)
    return gmpy2.mul_2exp(whole, exponent) if exponent >= 0 else gmpy2.div_2exp(whole, -exponent)
