"""Integrals over a step that have no closed form, for every kind of number that a builder meets.

A step of length ``h`` in log-SNR weighs its points by ``d(sigma / alpha) ~ e^-y dy``, ``y`` from 0 to ``h``. The clocks
of the processes are analytic in log-SNR in a strip of half-width ``pi / 2`` about the real axis (their singularity is
where ``sigma^2 = -alpha^2``), so Gauss-Legendre panels of length two converge like ``3.4^(-2 n)``: sixteen nodes each
are exact to rounding, up to the clean level at ``h = inf``; the kinks of a table that is interpolated linearly cost
digits (1e-7 of a weight, 1e-4 on the step to the clean level). A truncated series in ``h`` is a polynomial in the
position within the step, for which an interpolatory rule at rational nodes is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..extended_numbers import quick
from ..num import exp, expm1
from ..process import as_float
from ..series import Series, rational

__all__ = ["decaying_mean", "interpolatory", "lagrange"]

PANEL = 2.0
# e^-y beyond it is below the rounding of the whole
FARTHEST = 40.0

Rule = Sequence[tuple[Any, Any]]


def decaying_mean(h: Any, more: int = 0) -> Rule:
    """Nodes ``y`` and weights ``w`` with ``sum w f(y) = int_0^h e^-y f(y) dy / (1 - e^-h)``.

    Args:
        h: a float (``inf`` too), torch leaf, mpmath number or series without constant term.
        more: how much longer than ``h`` the series of ``f`` may be known, as products are.

    Raises:
        TypeError: a symbol.
    """
    if isinstance(h, Series):
        share = h / -expm1(-h)
        return [(u * h, b * share * exp(-(u * h))) for u, b in interpolatory(h.end + more)]
    length = as_float(h)
    if length is None:
        raise TypeError(f"no closed form of an integral over a step of length {h!r}: use numbers instead of symbols")
    if math.isinf(length):
        panels = _panels(FARTHEST)
        return [(FARTHEST * u, FARTHEST * b * math.exp(-FARTHEST * u)) for u, b in panels]
    kind = type(h).__module__.partition(".")[0]
    panels = _extended_panels(length, kind) if kind in ("mpmath", "gmpy2") else _panels(length)
    share = h / -expm1(-h)
    return [(u * h, b * share * exp(-(u * h))) for u, b in panels]


def lagrange(nodes: Sequence[Any], at: Any) -> list[Any]:
    """The Lagrange polynomials of ``nodes`` at a point."""
    found = []
    away = [(at - other, other) for other in nodes]
    for j, node in enumerate(nodes):
        value = None
        for far, other in (*away[:j], *away[j + 1 :]):
            factor = far / (node - other)
            value = factor if value is None else value * factor
        found.append(1 if value is None else value)
    return found


@lru_cache
def interpolatory(count: int) -> Rule:
    """The rule on [0, 1] at ``count`` equally spaced rational nodes that is exact below degree ``count``."""
    nodes = [rational(i, max(count - 1, 1)) for i in range(count)]
    rule = []
    for j, node in enumerate(nodes):
        coefficients = [rational(1)]
        for other in (*nodes[:j], *nodes[j + 1 :]):
            rise, fall = [rational(0), *coefficients], [*(-other * c for c in coefficients), rational(0)]
            coefficients = [(a + b) / (node - other) for a, b in zip(rise, fall, strict=True)]
        rule.append((node, sum(c / (k + 1) for k, c in enumerate(coefficients))))
    return rule


def _panels(length: float) -> Rule:
    count = _count(length)
    return [((i + u) / count, b / count) for i in range(count) for u, b in _gauss()]


def _count(length: float) -> int:
    return max(1, math.ceil(abs(length) / PANEL))


@lru_cache
def _gauss() -> Rule:
    nodes, weights = np.polynomial.legendre.leggauss(16)
    return [((1 + float(x)) / 2, float(w) / 2) for x, w in zip(nodes, weights, strict=True)]


def _extended_panels(length: float, kind: str) -> Rule:
    import mpmath

    count, rule = _count(length), _extended_gauss(mpmath.mp.dps)
    rule = quick(tuple(rule)) if kind == "gmpy2" else rule
    return [((i + u) / count, b / count) for i in range(count) for u, b in rule]


@lru_cache
def _extended_gauss(digits: int) -> Rule:
    """Legendre's polynomial of degree ``digits + 8`` by its recurrence, roots by Newton from rounded ones."""
    import mpmath

    degree, rule = digits + 8, []
    with mpmath.workdps(digits + 10):
        for x in map(mpmath.mpf, np.polynomial.legendre.leggauss(degree)[0].tolist()):
            slope = mpmath.mpf(1)
            for _ in range(digits.bit_length()):
                low, value = mpmath.mpf(1), x
                for k in range(2, degree + 1):
                    low, value = value, ((2 * k - 1) * x * value - (k - 1) * low) / k
                slope = degree * (x * value - low) / (x * x - 1)
                x -= value / slope
            rule.append(((1 + x) / 2, 1 / ((1 - x * x) * slope * slope)))
    return rule
