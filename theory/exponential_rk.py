"""Exponential Runge-Kutta methods. Classical and stiff orders, two-sided; one method under several names.

``L`` is a number: -1 in data prediction, with ``z = -h``, and 1 in noise prediction, with ``z = h``. The orders are
those for any operator ``L``, as published; the stiff order for a number is computed beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import sympy

from diffnum.exponential_numbers import ExpSum, point
from diffnum.exponential_trees import (
    bicoloured_trees,
    classical_order,
    classical_residuals,
    fewest_conditions,
    first_argument,
    show_bicoloured,
    stiff_latex,
    stiff_order,
    stiff_residual,
)
from diffnum.num import phi
from diffnum.process import EDM
from diffnum.rooted_trees import rooted_trees
from diffnum.solvers import dpm_solver_1, dpm_solver_2, dpmpp_1, dpmpp_2s
from diffnum.trace import Trace, compile

from . import runge_kutta
from .exponential_pieces import PIECES, generated, method, scheme
from .exponential_schemes import SCHEMES, gamma
from .runge_kutta import code, rows_in_latex
from .runge_kutta_families import exact_table
from .statement import Chapter, Statement, differ, prove
from .symbols import difference, grid, log_snr_levels

__all__ = ["CHAPTER", "PIECES", "by_table"]

Z, R = sympy.Symbol("z", nonzero=True), sympy.Symbol("r", positive=True)


def _expression(value: Any) -> Any:
    """Of a sum of exponentials, for a statement."""
    if not isinstance(value, ExpSum):
        return value
    return sympy.Add(*(sympy.sympify(c) * sympy.exp(sympy.sympify(q)) for q, c in value.terms))


def _multisets(counts: Sequence[int], size: int) -> int:
    """How many multisets of total size ``size`` there are of ``counts[n - 1]`` things of size ``n`` (Euler)."""
    found = [1]
    for n in range(1, size + 1):
        weights = [sum(d * counts[d - 1] for d in range(1, k + 1) if k % d == 0) for k in range(1, n + 1)]
        found.append(sum(w * found[n - k] for k, w in enumerate(weights, 1)) // n)
    return found[size]


def numbers_of_conditions() -> Statement:
    """The trees that the recursions find, against counts that do not list them."""
    coloured, plain = [2], [1]
    for n in range(2, 7):
        coloured.append(_multisets(coloured, n - 1) + coloured[-1])
        plain.append(_multisets(plain, n - 1) + plain[-1])
    stiff = [len(rooted_trees(n)) for n in range(1, 7)]
    conditions = ", ".join(str(n - 1) for n in coloured)
    listed = r",\ ".join(stiff_latex(tree) for n in range(1, 5) for tree in rooted_trees(n))
    return prove(
        "The numbers of classical and of stiff order conditions",
        rf"\text{{classical: }} {conditions}; \text{{ with }} \psi_{{1,i}} = 0: {', '.join(map(str, plain))}; \qquad "
        rf"\text{{stiff: }} {', '.join(map(str, stiff))}; \quad \psi_{{1,i}}(z) = 0,\ {listed},\ \dots",
        [len(bicoloured_trees(n)) - count for n, count in enumerate(coloured, 1)]
        + [fewest_conditions(n) - count for n, count in enumerate(plain, 1)]
        # Luan & Ostermann 2014: 16 up to order five; Luan & Alhsmy 2023: 36 up to order six; both without psi_1
        + [sum(stiff[1:5]) - 16, sum(stiff[1:6]) - 36],
        "diffnum.exponential_trees; Berland, Owren & Skaflestad 2005; Hochbruck & Ostermann 2005",
    )


def orders_of_methods() -> Statement:
    """Every method: all conditions up to its orders, and the first one that fails."""
    rows, found = [], []
    for s in SCHEMES:
        run = method(generated(), s, s.points[0])
        order, failed = classical_order(run, s.order + 1)
        stiff, number = (stiff_order(run, s.stiff + 1, scalar) for scalar in (False, True))
        found += [order - s.order, stiff.order - s.stiff, number.order - s.stiff, number.strong - stiff.strong]
        for p in range(1, order + 1):
            found += list(classical_residuals(run, p).values())
        for p in range(1, s.stiff + 1):
            found += [_expression(stiff_residual(tree, run, weak=p == s.stiff)) for tree in rooted_trees(p)]
        tree, residual = next(iter(failed.items()))
        left = rf"\texttt{{{show_bicoloured(tree)}}}:\ {sympy.latex(sympy.sympify(residual))}"
        shown = left if not s.arguments else rf"\texttt{{{show_bicoloured(tree)}}}"
        rows.append((code(s.name), len(s.nodes), order, shown, stiff.order, stiff.strong, stiff.violated))
    titles = ("method", "stages", "classical", "first that fails", "stiff", "all strong to", "first that fails")
    return prove(
        "Orders of the exponential Runge-Kutta methods, for operators and for numbers",
        rows_in_latex([rf"\text{{{t}}}" for t in titles], rows),
        found,
        "diffnum.solvers.generated; Hochbruck & Ostermann 2005, section 5",
    )


def weights_of_dpm_solver_2() -> Statement:
    """``b_2 = phi_1 / (2 c_2)`` integrates a linear ``N`` at ``z = 0`` only."""
    defect = phi(2, Z) - generated().dpm_2s(Z, R)[2][1] * R
    at_zero = stiff_residual(((),), method(generated(), scheme("dpm_2s"), (Fraction(3, 11),)), weak=True)
    return differ(
        "DPM-Solver-2 satisfies the second stiff condition in its weak form only",
        r"\psi_2(z) = \varphi_2(z) - \tfrac12 \varphi_1(z) = -\tfrac{1}{12} z + O(z^2), \qquad \psi_2(0) = 0",
        [defect, sympy.series(defect, Z, 0, 2).removeO() + Z / 12, _expression(at_zero)],
        [phi(2, Z) - phi(1, Z) / 2, 0, 0],
        {Z: sympy.log(2)},
        "diffnum.solvers.generated.dpm_2s; Hochbruck & Ostermann 2005, section 5",
    )


def third_order_needs_two_thirds() -> Statement:
    """A residual of DPM-Solver-3 in each of its two types, for any ``r_1`` and ``r_2``; and none for ``r_2 = 2/3``."""
    r1, r2 = sympy.symbols("r_1 r_2", positive=True)
    bend, chain = (0, (0,), (0,)), (0, (0, (0,)))
    published = classical_residuals(lambda z: generated().dpm_3s(z, r1, r2), 3)[bend]
    taylor = classical_residuals(lambda z: generated().dpm_3s_taylor(z, r1, r2), 3)[chain]
    found: list[Any] = [published - (3 * r2 - 2) / 6, taylor - r1 * (3 * r2 - 2) / (12 * (r1 - r2))]
    for name in ("dpm_3s", "dpm_3s_taylor"):
        run = method(generated(), scheme(name), (Fraction(3, 11), Fraction(2, 3)))
        found += [*classical_residuals(run, 3).values(), classical_order(run)[0] - 3, stiff_order(run).order - 3]
    return prove(
        "DPM-Solver-3 is of order three for r2 = 2/3 only, and then of stiff order three",
        r"\sum b_i c_i^2 - \tfrac13 = \frac{3 r_2 - 2}{6}, \qquad \text{of type taylor: } "
        r"\sum b_i a_{ij} c_j - \tfrac16 = \frac{r_1 (3 r_2 - 2)}{12 (r_1 - r_2)}",
        found,
        "diffnum.solvers.generated: dpm_3s, dpm_3s_taylor; Lu et al. 2022",
    )


def _entries(table: Any) -> list[Any]:
    nodes, matrix, weights = table
    return [*nodes, *(a for row in matrix for a in row), *weights]


def _apart(one: Any, other: Any) -> list[Any]:
    return [_expression(a - b) for a, b in zip(_entries(one), _entries(other), strict=True)]


def members() -> Statement:
    """Methods inside families, compared at a rational ``z``, where sums of exponentials have one form."""
    m, z, third, c2 = generated(), first_argument(), Fraction(1, 3), Fraction(3, 11)
    pairs = [
        (m.dpm_3s(z, c2, 2 * third), m.hochbruck_ostermann_3(z, c2, 2 * third)),
        (m.dpm_3s_taylor(z, third, 2 * third), _etd2cf3(z)),
        (m.dpm_2s(z, Fraction(1, 2)), _exponential_midpoint(z)),
        (m.dpm_2s(z, Fraction(1)), ((0, 1), ((), (phi(1, z),)), (phi(1, z) / 2, phi(1, z) / 2))),
        (m.etd2(z, Fraction(1)), ((0, 1), ((), (phi(1, z),)), (phi(1, z) - phi(2, z), phi(2, z)))),
        (m.lawson_2a(z), _lawson(runge_kutta.generated().MIDPOINT, z)),
        (m.lawson_2b(z), _lawson(runge_kutta.generated().HEUN2, z)),
        (m.lawson_4(z), _lawson(runge_kutta.generated().RK4, z)),
    ]
    return prove(
        "Members: ETD2RK, the exponential midpoint rule, RKMK2e, ETD2CF3, DPM-Solver-3 and the Lawson methods",
        r"\texttt{etd2}(1) = \text{ETD2RK}, \ \texttt{dpm\_2s}(\tfrac12) = \text{midpoint}, \ \texttt{dpm\_2s}(1) = "
        r"\text{RKMK2e}, \ \texttt{dpm\_3s\_taylor}(\tfrac13, \tfrac23) = \text{ETD2CF3}, \ "
        r"\texttt{dpm\_3s}(r_1, \tfrac23) = \texttt{hochbruck\_ostermann\_3}(r_1, \tfrac23); \quad "
        r"\text{Lawson: } a_{ij} e^{(c_i - c_j) z}",
        [entry for one, other in pairs for entry in _apart(one, other)],
        "diffnum.solvers.generated; Cox & Matthews 2002; Hochbruck & Ostermann 2005, section 5; Lawson 1967",
    )


def _exponential_midpoint(z: Any) -> Any:
    return (0, Fraction(1, 2)), ((), (phi(1, z / 2) / 2,)), (0, phi(1, z))


def _etd2cf3(z: Any) -> Any:
    p, q = [phi(k, z) for k in (1, 2, 3)], [phi(k, z * Fraction(2, 3)) for k in (1, 2)]
    last = (q[0] * Fraction(2, 3) - q[1] * Fraction(4, 3), q[1] * Fraction(4, 3))
    weights = (p[0] - p[1] * Fraction(9, 2) + 9 * p[2], 6 * p[1] - 18 * p[2], 9 * p[2] - p[1] * Fraction(3, 2))
    return (0, Fraction(1, 3), Fraction(2, 3)), ((), (phi(1, z / 3) / 3,), last), weights


def _lawson(table: Any, z: Any) -> Any:
    def powers(row: Sequence[Any], c: Any) -> tuple[Any, ...]:
        return tuple(a * phi(0, z * (c - x)) for a, x in zip(row, table.nodes, strict=False))

    rows = tuple(powers(row, c) for row, c in zip(table.matrix, table.nodes, strict=True))
    return table.nodes, rows, powers(table.weights, 1)


def without_linear_part() -> Statement:
    """At ``z = 0`` the methods are classical ones."""
    m, k, zero = generated(), runge_kutta.generated(), point(0)
    c2, c3 = Fraction(3, 11), Fraction(7, 13)
    four = k.explicit_4_equal(Fraction(2, 3))
    pairs = [
        (m.etd2(zero, c2), k.explicit_2(c2)),
        (m.dpm_2s(zero, c2), k.explicit_2(c2)),
        (m.hochbruck_ostermann_3(zero, c2, c3), k.explicit_3(c2, c3)),
        *((f(zero), _of(k.RK4)) for f in (m.etd4rk, m.cfree_4, m.krogstad_4, m.lawson_4)),
        *((f(zero), four) for f in (m.strehmel_weiner_4, m.friedli_4)),
        (m.etd3rk(zero), _of(k.KUTTA3)),
        (m.dpm_3s(zero, Fraction(1, 3), Fraction(2, 3)), _of(k.HEUN3)),
    ]
    return prove(
        "At h L = 0 exponential methods are classical ones",
        r"\text{ETD4RK, Krogstad, CFREE4, Lawson4: } \texttt{RK4}; \ \text{Strehmel-Weiner, Friedli: } "
        r"\texttt{explicit\_4\_equal}(\tfrac23); \ \text{ETD3RK: } \texttt{KUTTA3}; \ "
        r"\text{DPM-Solver-3: } \texttt{HEUN3}; \ \texttt{hochbruck\_ostermann\_3}: \texttt{explicit\_3}",
        [entry for one, other in pairs for entry in _apart(one, other)],
        "diffnum.solvers.generated",
    )


def _of(table: Any) -> Any:
    return table.nodes, table.matrix, table.weights


def closed_forms_of_etd4rk() -> Statement:
    """The coefficients as they were printed, each a difference of large numbers divided by ``z^3``."""
    table = exact_table(generated().etd4rk(Z))
    e, half = sympy.exp(Z), sympy.exp(Z / 2)
    printed = [
        (table.matrix[1][0], (half - 1) / Z),
        (table.matrix[3][0], (half - 1) ** 2 / Z),
        (table.matrix[3][2], 2 * (half - 1) / Z),
        (table.weights[0], (-4 - Z + e * (4 - 3 * Z + Z**2)) / Z**3),
        (table.weights[1], 2 * (2 + Z + e * (Z - 2)) / Z**3),
        (table.weights[2], 2 * (2 + Z + e * (Z - 2)) / Z**3),
        (table.weights[3], (-4 - 3 * Z - Z**2 + e * (4 - Z)) / Z**3),
    ]
    return prove(
        "ETD4RK in phi functions is ETD4RK as printed",
        r"\varphi_1 - 3 \varphi_2 + 4 \varphi_3 = \frac{-4 - z + e^z (4 - 3z + z^2)}{z^3}, \quad "
        r"\varphi_1(z) - \varphi_1(\tfrac z2) = \frac{(e^{z/2} - 1)^2}{z}",
        [one - other for one, other in printed],
        "diffnum.solvers.generated.etd4rk; Cox & Matthews 2002, eq. 26-29; Kassam & Trefethen 2005",
    )


def weight_of_res() -> Statement:
    """``gamma`` of the three-stage family, from ``psi_3(0) = 0``."""
    c2, c3 = sympy.symbols("c_2 c_3", positive=True)
    g = gamma(c2, c3)
    b3 = sympy.Rational(1, 2) / (g * c2 + c3)
    return prove(
        "The three-stage family of Hochbruck and Ostermann, RES-3S",
        r"\gamma = \frac{(3 c_3 - 2) c_3}{(2 - 3 c_2) c_2}, \quad b_2 = \gamma b_3, \quad "
        r"b_3 = \frac{\varphi_2}{\gamma c_2 + c_3}, \quad 2 (\gamma c_2 + c_3) = 3 (\gamma c_2^2 + c_3^2)",
        [
            2 * (g * c2 + c3) - 3 * (g * c2**2 + c3**2),
            g * b3 * c2**2 + b3 * c3**2 - sympy.Rational(1, 3),
            gamma(c2, sympy.Rational(2, 3)),
        ],
        "diffnum.solvers.generated.hochbruck_ostermann_3; Hochbruck & Ostermann 2005, section 5",
    )


# --- plans ---


def by_table(name: str, noise: bool, *arguments: Any) -> Callable[[Trace, Any], None]:
    """The sampler of an exponential table in log-SNR, in noise (``z = h``) or data prediction (``z = -h``)."""

    def build(T: Trace, levels: Any) -> None:
        for s, t in T.steps(levels):
            h = T.h(s, t)
            nodes, matrix, weights = getattr(generated(), name)(h if noise else -h, *arguments)

            def at(u: Any, row: Iterable[Any], seen: Sequence[Any], s: Any = s, h: Any = h) -> Any:
                x, gain = (u.alpha / s.alpha, -u.sigma * h) if noise else (u.sigma / s.sigma, u.alpha * h)
                x = x * T.x
                for weight, N in zip(row, seen, strict=True):
                    x = x if weight == 0 else x + (gain * weight) * N
                return x

            seen: list[Any] = []
            for c, row in zip(nodes, matrix, strict=True):
                u = s if c == 0 else T.between(s, t, c)
                e = T.evaluate(at(u, row, seen) if seen else T.x, u)
                seen.append(e.noise if noise else e.data)
            T.x = at(t, weights, seen)

    return build


def plans_of_tables() -> Statement:
    """Samplers that run, against the tables in both predictions."""
    process, levels, _ = log_snr_levels(2)
    two = grid(process, levels)
    pairs = [
        (dpm_solver_1, by_table("exponential_euler", True)),
        (dpmpp_1, by_table("exponential_euler", False)),
        (dpm_solver_2.with_options(r=R), by_table("dpm_2s", True, R)),
        (dpmpp_2s.with_options(r=R), by_table("dpm_2s", False, R)),
    ]
    return prove(
        "DPM-Solver and DPM-Solver++ of orders one and two are exponential Runge-Kutta methods",
        r"v = x/\sigma: v' = v - \epsilon,\ z = h, \qquad w = x/\alpha: w' = -w + D,\ z = -h; \qquad "
        r"\texttt{exponential\_euler}, \ \texttt{dpm\_2s}(r)",
        [entry for one, other in pairs for entry in difference(compile(one, two), compile(other, two))],
        "diffnum.solvers: dpm_solver_1, dpmpp_1, dpm_solver_2, dpmpp_2s",
    )


def _at_geometric_mean(T: Trace, levels: Any) -> None:
    """k-diffusion's ``sample_dpm_2``: straight to the geometric mean of ``sigma``, then with its slope."""
    for s, t in T.steps(levels):
        m = T.between(s, t, sympy.Rational(1, 2))
        u = T.x + (m.sigma - s.sigma) * T.evaluate(T.x, s).noise
        T.x = T.x + (t.sigma - s.sigma) * T.evaluate(u, m).noise


def midpoint_in_log_sigma() -> Statement:
    """Where ``alpha = 1`` straight lines in ``sigma`` are exponential steps of the noise form."""
    lam, h = sympy.Symbol("lambda", real=True), sympy.Symbol("h", positive=True)
    levels = [EDM().at(lam), EDM().at(lam + h)]
    two = grid(EDM(), levels)
    middle = EDM().at(lam + h / 2)
    plans = [compile(one, two) for one in (_at_geometric_mean, dpm_solver_2, by_table("dpm_2s", True, Fraction(1, 2)))]
    return prove(
        "KDPM2 is the exponential midpoint rule in noise prediction, DPM-Solver-2",
        r"\sigma_m = \sqrt{\sigma_s \sigma_t}, \quad u = x + (\sigma_m - \sigma_s)\, \epsilon_s, \quad "
        r"x_t = x + (\sigma_t - \sigma_s)\, \epsilon(u, \sigma_m) \qquad (\alpha = 1)",
        [middle.sigma**2 - levels[0].sigma * levels[1].sigma]
        + [entry for other in plans[1:] for entry in difference(plans[0], other)],
        "k-diffusion sample_dpm_2; diffnum.solvers.dpm_solver_2; diffnum.solvers.generated.dpm_2s",
    )


CHAPTER: Chapter = (
    numbers_of_conditions,
    orders_of_methods,
    weights_of_dpm_solver_2,
    third_order_needs_two_thirds,
    weight_of_res,
    members,
    without_linear_part,
    closed_forms_of_etd4rk,
    plans_of_tables,
    midpoint_in_log_sigma,
)
