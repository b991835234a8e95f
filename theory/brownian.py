"""A Brownian path with its integral, halved: what :class:`diffnum.noise.Brownian` draws.

Over a unit interval ``(W, I) = (B_1, int_0^1 B)`` is normal with covariance ``((1, 1/2), (1/2, 1/3))``. Given both, the
path at ``x`` and its integral up to there are normal around two polynomials, and at the middle independent.
"""

from __future__ import annotations

from typing import Any

import sympy

from diffnum.noise.brownian import leaf, middle

from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER"]

W, AREA, A, B = sympy.symbols("W I a b", real=True)
X, Y = sympy.symbols("x y", positive=True)
SPREAD = sympy.Matrix([[1, sympy.Rational(1, 2)], [sympy.Rational(1, 2), sympy.Rational(1, 3)]])


def _covariance(early: Any, late: Any) -> sympy.Matrix:
    """Of ``(B, int B)`` at ``early <= late``, rows the former, from ``E B_s B_t = min(s, t)``."""
    s, t = sympy.symbols("s t", positive=True)
    below = sympy.integrate(t, (t, 0, s)) + sympy.integrate(s, (t, s, late))
    return sympy.Matrix(
        [
            [early, sympy.integrate(t, (t, 0, early)) + early * (late - early)],
            [sympy.integrate(s, (s, 0, early)), sympy.integrate(below, (s, 0, early))],
        ]
    )


def halved() -> Statement:
    """The code's middle has the right joint law with the end, and so have both halves."""
    made = sympy.Matrix(middle(W, AREA, A, B))
    gain = made.jacobian([W, AREA])
    free = made.jacobian([A, B]) * sympy.diag(sympy.Rational(1, 16), sympy.Rational(1, 192)) * made.jacobian([A, B]).T
    half = sympy.Rational(1, 2)
    with_end = gain * SPREAD - _covariance(half, sympy.Integer(1))
    own = gain * SPREAD * gain.T + free - _covariance(half, half)
    return prove(
        "A Brownian interval halves into two, its area shared out",
        r"W_{1/2} = \tfrac32 I - \tfrac14 W + \tfrac14 z_1, \quad \int_0^{1/2} B = \tfrac12 I - \tfrac18 W + "
        r"\tfrac{1}{\sqrt{192}} z_2 \qquad \text{have the law of } \bigl(B, \textstyle\int B\bigr) \text{ given "
        r"its end}",
        [*with_end, *own],
        "diffnum.noise.brownian.middle; Foster, Lyons & Oberhauser 2020",
    )


def conditional_mean() -> Statement:
    """The code's leaf is the difference of conditional means; its rise and integral are those of one polynomial."""
    mean = _covariance(X, sympy.Integer(1)) * SPREAD.inv() * sympy.Matrix([W, AREA])
    length, rise, integral = leaf(W, AREA, X, Y)
    path, area = mean
    at = {X: Y}
    return prove(
        "Between the leaves of a Brownian tree the path is its conditional mean",
        r"E[B_x \mid W, I] = x (3x - 2) W + 6 x (1 - x) I, \quad E\Bigl[\int_0^x B \Bigm| W, I\Bigr] = "
        r"x^2 (x - 1) W + x^2 (3 - 2x) I",
        [
            path - X * (3 * X - 2) * W - 6 * X * (1 - X) * AREA,
            area - X**2 * (X - 1) * W - X**2 * (3 - 2 * X) * AREA,
            rise - (path.subs(at) - path),
            integral - (area.subs(at) - area - path * length),
        ],
        "diffnum.noise.brownian.leaf",
    )


CHAPTER: Chapter = (halved, conditional_mean)
