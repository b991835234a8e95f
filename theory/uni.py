"""DPM-Solver and UniPC as quadrature: what their coefficients solve, and where they do not.

In the convention of chapter 5 a published step is ``h sum_j w_j N_j`` with ``z = -h`` for data and ``z = h`` for noise;
``r_m = c_m`` are the places of the points, 1 that of the new one. UniP and UniC (Zhao et al. 2023, section 3) are

    phi_1 N_0 + b sum_m a_m (N_m - N_0) / r_m,    b sum_m a_m r_m^{k-1} = k! phi_{k+1}(z),    b = B(z) / z,

with ``B_1(z) = z`` or ``B_2(z) = e^z - 1``, that is ``b = 1`` or ``b = phi_1(z)``; with one unknown the authors take
``a_1 = 1/2`` instead of the solution. The published schemes are written here once, as they are published, for numbers
of any kind: pieces are their weights, and the equations of a piece are the scheme itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from random import Random
from typing import Any

import sympy
from sympy.polys.fields import field

from diffnum.num import phi
from diffnum.series import h_series
from diffnum.solvers import ALL
from diffnum.trace import Trace, compile

from .adams import (
    BASHFORTH,
    EXPLICIT,
    PAST,
    Z,
    closed,
    exponential_moments,
    moment,
    random_fraction,
    random_nodes,
    rule,
)
from .generator import PHI, Piece, formula
from .statement import Chapter, Statement, differ, prove
from .symbols import difference, grid, log_snr_levels

__all__ = ["CHAPTER", "PIECES"]

Phi = Callable[[int, Any], Any]
Scheme = Callable[..., Any]  # (z, past, values, phi) -> the sum of w_j N_j, with N_t first where there is one
UNIPC = "Zhao et al. 2023, section 3, and their reference code uni_pc.py"
DPM = "Lu et al. 2022b, appendix, and their reference code dpm_solver_pytorch.py"


# --- the published schemes ---


def dpm_2m(z: Any, past: Sequence[Any], values: Sequence[Any], function: Phi) -> Any:
    """DPM-Solver(++) multistep of order two: ``phi_1 (N_0 + D / 2)``, ``D = (N_0 - N_1) / r_0``, ``r_0 = -c_1``."""
    return function(1, z) * (values[0] + (values[0] - values[1]) / (2 * -past[0]))


def dpm_2m_taylor(z: Any, past: Sequence[Any], values: Sequence[Any], function: Phi) -> Any:
    """The type that their code calls taylor, and diffusers heun: ``phi_1 N_0 + phi_2 D``."""
    return function(1, z) * values[0] + function(2, z) * (values[0] - values[1]) / -past[0]


def dpm_3m(z: Any, past: Sequence[Any], values: Sequence[Any], function: Phi, factor: int = 1) -> Any:
    """DPM-Solver(++) multistep of order three: ``phi_1 N_0 + phi_2 D_1 + factor phi_3 D_2``, published with 1."""
    r0, r1 = -past[0], past[0] - past[1]
    first, second = (values[0] - values[1]) / r0, (values[1] - values[2]) / r1
    bend = (first - second) / (r0 + r1)
    return function(1, z) * values[0] + function(2, z) * (first + r0 * bend) + factor * (function(3, z) * bend)


def unip_2(z: Any, past: Sequence[Any], values: Sequence[Any], function: Phi, variant: int = 1) -> Any:
    """UniP of order two with ``a_1 = 1/2``."""
    b = 1 if variant == 1 else function(1, z)
    return function(1, z) * values[0] + b * ((values[1] - values[0]) / (2 * past[0]))


def unic_1(z: Any, past: Sequence[Any], values: Sequence[Any], function: Phi, variant: int = 1) -> Any:
    """UniC of order one with ``a_1 = 1/2``; ``values`` are ``(N_t, N_0)``."""
    b = 1 if variant == 1 else function(1, z)
    return function(1, z) * values[1] + b * ((values[0] - values[1]) * Fraction(1, 2))


def unic_coded(z: Any, past: Sequence[Any], values: Sequence[Any], function: Phi) -> Any:
    """The corrector of ``multistep_uni_pc_vary_update``, as it is coded: with ``C_ik = r_i^{k-1} / k!``, ``A = C^{-1}``
    and ``K`` differences ``D_j = (N_j - N_0) / r_j``, the last of them of the new point,

        phi_1 N_0 + sum_{k < K} phi_{k+1} sum_{j < K} A_kj D_j + phi_{K+1} A_{K-1,K} D_K,

    where the second sum lacks ``j = K`` and the last term stands for a whole row.
    """
    new, now, *old = values
    r = [*past, Fraction(1)]
    D = [(N - now) / c for N, c in zip((*old, new), r, strict=True)]
    A = sympy.Matrix(len(r), len(r), lambda i, k: sympy.sympify(r[i]) ** k / math.factorial(k + 1)).inv()
    if all(isinstance(c, Fraction) for c in r):
        rows = [[Fraction(int(a.p), int(a.q)) for a in A.row(k)] for k in range(len(r))]
    else:
        rows = A.tolist()
    last = len(r) - 1
    total = function(1, z) * now
    for k in range(last):
        total = total + function(k + 2, z) * sum(rows[k][j] * D[j] for j in range(last))
    return total + function(last + 2, z) * (rows[last - 1][last] * D[last])


# --- pieces ---


def weights(scheme: Scheme, z: Any, past: Sequence[Any], count: int, function: Phi = phi) -> tuple[Any, ...]:
    """What the scheme makes of unit vectors."""
    units = [tuple(Fraction(i == j) for i in range(count)) for j in range(count)]
    return tuple(scheme(z, past, unit, function) for unit in units)


def _symbolic(scheme: Scheme, past: int, count: int) -> tuple[Any, ...]:
    return tuple(
        sympy.together(sympy.sympify(scheme(Z, PAST[:past], unit, PHI)))
        for unit in ([sympy.Integer(i == j) for i in range(count)] for j in range(count))
    )


def piece(name: str, scheme: Scheme, past: int, count: int, says: str) -> Piece:
    """The weights of a published scheme over ``count`` points, ``past`` of them remembered."""

    def check(module: Any) -> Iterator[Any]:
        random = Random(count)
        for _ in range(2):
            nodes, z = random_nodes(random, past), h_series(9, random_fraction(random))
            yield from (
                a - b for a, b in zip(getattr(module, name)(z, *nodes), weights(scheme, z, nodes, count), strict=True)
            )

    return formula(name, (Z, *PAST[:past]), _symbolic(scheme, past, count), says, f"theory.uni.{_name(scheme)}", check)


def _name(scheme: Scheme) -> str:
    return scheme.func.__name__ if isinstance(scheme, partial) else scheme.__name__


# name, scheme, points of the past, points, what it is
PUBLISHED: tuple[tuple[str, Scheme, int, int, str], ...] = (
    ("dpm_2m", dpm_2m, 1, 2, "DPM-Solver(++) 2M, which is UniP-2 with ``B_2`` and ``a_1 = 1/2``, over (0, c1)."),
    ("dpm_3m", dpm_3m, 2, 3, "DPM-Solver(++) 3M, over (0, c1, c2): a factor 2 short of exponential_adams_3."),
    ("unip_2_bh1", unip_2, 1, 2, "UniP-2 with ``B_1`` and ``a_1 = 1/2``, over (0, c1)."),
    ("unic_1_bh1", unic_1, 0, 2, "UniC-1 with ``B_1`` and ``a_1 = 1/2``, over (1, 0)."),
    ("unic_1_bh2", partial(unic_1, variant=2), 0, 2, "UniC-1 with ``B_2`` and ``a_1 = 1/2``, over (1, 0)."),
    ("unic_2_coded", unic_coded, 1, 3, "UniC-2 with varying coefficients as coded, over (1, 0, c1): of order one."),
    ("unic_3_coded", unic_coded, 2, 4, "UniC-3 with varying coefficients as coded, over (1, 0, c1, c2): of order one."),
)

PIECES: tuple[Callable[[], Piece], ...] = tuple(partial(piece, *row) for row in PUBLISHED)


# --- statements ---


def free_function() -> Statement:
    """The published systems: solved in symbols for up to three unknowns, their solution put in for up to five."""
    b, residual = sympy.Symbol("b", nonzero=True), []
    for count, ahead in ((1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)):
        r = [*PAST[: count - ahead], *[sympy.Integer(1)] * ahead]
        system = sympy.Matrix(count, count, lambda k, m, r=r: r[m] ** k)
        a = system.LUsolve(sympy.Matrix([math.factorial(k) * PHI(k + 1, Z) / b for k in range(1, count + 1)]))
        w = rule([sympy.Integer(0), *r], exponential_moments(count + 1))
        residual += [sympy.cancel(sympy.together(b * a[m] / r[m] - w[m + 1])) for m in range(count)]
        residual.append(sympy.cancel(sympy.together(w[0] - PHI(1, Z) + sum(b * a[m] / r[m] for m in range(count)))))
    generators: Any = field([*(f"p{m}" for m in range(1, 7)), *(str(c) for c in PAST)], sympy.QQ)[1:]
    moments, past = [math.factorial(m) * p for m, p in enumerate(generators[:6])], generators[6:]
    for count, ahead in ((4, 0), (5, 0), (4, 1), (5, 1)):
        r = [*past[: count - ahead], *[past[0] / past[0]] * ahead]
        w = rule([0 * past[0], *r], moments)
        scaled = [place * weight for place, weight in zip(r, w[1:], strict=True)]
        residual += [(moment(scaled, r, k - 1) - moments[k]).as_expr() for k in range(1, count + 1)]
    places = sympy.symbols("r1:5")
    vandermonde: Any = sympy.Matrix(4, 4, lambda k, m: places[m] ** k).det()
    spread = math.prod(places[j] - places[i] for j in range(4) for i in range(j))
    return prove(
        "B(h) cancels from UniPC wherever its system is solved: UniP-p is exponential Adams of order p, "
        "UniC-p exponential Adams-Moulton of order p + 1",
        r"b \sum_m a_m r_m^{k-1} = k!\, \varphi_{k+1}(z) \ (k \le K) \iff a_m = \frac{r_m w_m(z; r)}{b}: \quad "
        r"\varphi_1 N_0 + b \sum_m \frac{a_m}{r_m} (N_m - N_0) = \sum_m w_m N_m \ \text{ for every } b \ne 0; \qquad "
        r"\det (r_m^{k-1}) = \prod_{l<m} (r_m - r_l) \ne 0",
        [*residual, sympy.expand(vandermonde - spread)],
        f"diffnum.solvers.generated: exponential_adams, exponential_adams_moulton; {UNIPC}",
    )


def varying_coefficients() -> Statement:
    """UniPC's other form, ``phi_1 N_0 + sum_k phi_{k+1} (C^{-1} D)_k`` with ``C_mk = r_m^{k-1} / k!``."""
    residual = []
    for count, ahead in ((1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)):
        r = [*PAST[: count - ahead], *[sympy.Integer(1)] * ahead]
        inverse = sympy.Matrix(count, count, lambda m, k, r=r: r[m] ** k / sympy.factorial(k + 1)).inv()
        w = rule([sympy.Integer(0), *r], exponential_moments(count + 1))
        for m in range(count):
            found = sum(PHI(k + 2, Z) * inverse[k, m] / r[m] for k in range(count))
            residual.append(sympy.cancel(sympy.together(found - w[m + 1])))
    return prove(
        "UniPC with varying coefficients, as in the paper, is exponential Adams and Adams-Moulton",
        r"\varphi_1 N_0 + \sum_{k} \varphi_{k+1} \sum_m (C^{-1})_{km} \frac{N_m - N_0}{r_m} = \sum_m w_m(z; r) N_m, "
        r"\qquad C_{mk} = \frac{r_m^{k-1}}{k!}",
        residual,
        f"theory.adams.rule on up to four points; {UNIPC}",
    )


def half() -> Statement:
    """With ``a_1 = 1/2`` the system is not solved, the first moment is wrong, and ``B`` matters."""
    first, second = (weights(partial(unip_2, variant=v), Z, PAST, 2, PHI) for v in (1, 2))
    closed_form = PHI(2, Z) * Z / (2 * PAST[0])
    gap = [closed(b - a) for a, b in zip(first, second, strict=True)]
    return differ(
        "With a = 1/2 UniP-2 depends on B(h)",
        r"\sum_j w_j N_j \Big|_{B_2} - \sum_j w_j N_j \Big|_{B_1} = \frac{z \varphi_2(z)}{2 r_1} (N_1 - N_0)",
        gap,
        [closed(-closed_form), closed(closed_form)],
        {PAST[0]: -1, Z: 1},
        f"diffnum.solvers.generated: unip_2_bh1, dpm_2m; {UNIPC}",
    )


def half_is_of_order_two() -> Statement:
    """The first moments of the special cases: right at ``z = 0``, so one order is not lost."""
    residual, at_one = [], sympy.Integer(1)
    z = sympy.Symbol("z", nonzero=True)
    lacks = {1: z * phi(3, z), 2: phi(2, z) - phi(1, z) / 2}
    for variant, lacking in lacks.items():
        p = weights(partial(unip_2, variant=variant), z, PAST, 2)
        c = weights(partial(unic_1, variant=variant), z, (), 2)
        for w, nodes in ((p, (sympy.Integer(0), PAST[0])), (c, (at_one, sympy.Integer(0)))):
            residual += [moment(w, nodes, 0) - phi(1, z), phi(2, z) - moment(w, nodes, 1) - lacking]
    leading = {1: sympy.Rational(1, 6), 2: sympy.Rational(-1, 12)}
    residual += [sympy.series(lacks[v], z, 0, 2).removeO() / z - leading[v] for v in (1, 2)]
    return prove(
        "UniP-2 and UniC-1 with a = 1/2: exact for constants, first moments to O(z)",
        r"\sum_j w_j = \varphi_1, \qquad \varphi_2 - \sum_j w_j c_j = z \varphi_3 = \tfrac{z}{6} + O(z^2) \ (B_1), "
        r"\qquad \varphi_2 - \tfrac12 \varphi_1 = -\tfrac{z}{12} + O(z^2) \ (B_2)",
        residual,
        f"diffnum.solvers.generated: unip_2_bh1, dpm_2m, unic_1_bh1, unic_1_bh2; {UNIPC}",
    )


def one_method() -> Statement:
    """UniP-2 with ``B_2`` and DPM-Solver(++) 2M are one step."""
    one, other = weights(partial(unip_2, variant=2), Z, PAST, 2, PHI), weights(dpm_2m, Z, PAST, 2, PHI)
    return prove(
        "UniP-2 with B_2 and a = 1/2 is DPM-Solver(++) 2M",
        r"\varphi_1 N_0 + \frac{\varphi_1}{2 r_1} (N_1 - N_0) = \varphi_1 \Bigl(N_0 + \frac{1}{2 r_0} (N_0 - N_1)\Bigr)"
        r", \qquad r_0 = -r_1 = \frac{h_1}{h}",
        [a - b for a, b in zip(one, other, strict=True)],
        f"diffnum.solvers.generated: dpm_2m; {UNIPC}; {DPM}",
    )


def taylor_types() -> Statement:
    """With all of their Taylor terms the multistep DPM-Solvers are exponential Adams methods."""
    residual = []
    for scheme, count in ((dpm_2m_taylor, 2), (partial(dpm_3m, factor=2), 3)):
        found = weights(scheme, Z, PAST, count, PHI)
        residual += [sympy.cancel(sympy.together(a - b)) for a, b in zip(found, EXPLICIT.weights(count), strict=True)]
    return prove(
        "DPM-Solver(++) 2M of type taylor and 3M with its factor 2 restored are exponential Adams methods",
        r"\varphi_1 N_0 + \varphi_2 D_1 = \sum_j w_j(z; 0, c_1) N_j, \qquad \varphi_1 N_0 + \varphi_2 D_1 + "
        r"2 \varphi_3 D_2 = \sum_j w_j(z; 0, c_1, c_2) N_j",
        residual,
        f"diffnum.solvers.generated: exponential_adams_2, exponential_adams_3; {DPM}",
    )


def published_moments() -> Statement:
    """Moments of the published methods: the first one of 2M is right to ``O(z)``, the second of 3M not at all."""
    z, nodes = sympy.Symbol("z", nonzero=True), (sympy.Integer(0), *PAST)
    two, three = weights(dpm_2m, z, PAST, 2), weights(dpm_3m, z, PAST, 3)
    residual = [moment(two, nodes[:2], 0) - phi(1, z), moment(two, nodes[:2], 1) - phi(1, z) / 2]
    residual += [moment(three, nodes[:3], m) - phi(m + 1, z) for m in range(3)]
    return prove(
        "Moments of DPM-Solver(++) 2M and 3M as published",
        r"\text{2M}: \ \sum_j w_j c_j = \tfrac12 \varphi_1 = \varphi_2 + \tfrac{z}{12} + O(z^2); \qquad \text{3M}: \ "
        r"\sum_j w_j c_j = \varphi_2, \quad \sum_j w_j c_j^2 = \varphi_3 \ne 2 \varphi_3",
        [sympy.cancel(sympy.together(r)) for r in residual],
        f"diffnum.solvers.generated: dpm_2m, dpm_3m; {DPM}",
    )


def coded_corrector() -> Statement:
    """The reference code of the corrector with varying coefficients: the first moment is wrong at ``z = 0``."""
    r1, r2 = PAST[:2]
    nodes = (sympy.Integer(1), sympy.Integer(0), r1, r2)
    two, three = (weights(unic_coded, Z, PAST[:p], p + 2, PHI) for p in (1, 2))
    lacks = [PHI(2, Z) - moment(two, nodes[:3], 1), PHI(2, Z) - moment(three, nodes, 1)]
    known = [
        -r1 / (1 - r1) * (PHI(2, Z) - PHI(3, Z)),
        (r1 * r2 * PHI(2, Z) - 2 * (r1 + r2) * (PHI(3, Z) - PHI(4, Z))) / (1 - r1) / (1 - r2),
    ]
    return differ(
        "UniC-2 and UniC-3 with varying coefficients, as coded, are not the paper's correctors: they are of order one",
        r"\varphi_2 - \sum_j w_j c_j = -\frac{r_1}{1 - r_1} (\varphi_2 - \varphi_3), \qquad \frac{r_1 r_2 \varphi_2 - "
        r"2 (r_1 + r_2) (\varphi_3 - \varphi_4)}{(1 - r_1)(1 - r_2)}",
        [closed(sympy.cancel(sympy.together(r))) for r in lacks],
        [closed(r) for r in known],
        {r1: -1, r2: -2, Z: 1},
        "diffnum.solvers.generated: unic_2_coded, unic_3_coded; Zhao et al. 2023, reference code, "
        "multistep_uni_pc_vary_update",
    )


def samplers_that_run() -> Statement:
    """The plans of the package against weights, three steps of any process with start-up."""
    process, levels, _ = log_snr_levels(4)
    cases = {"dpmpp_2m": (dpm_2m, None), "dpmpp_3m": (dpm_2m, dpm_3m), "dpmpp_3m_corrected": (dpm_2m, None)}
    residual: list[Any] = []
    for name, (second, third) in cases.items():
        order = 2 if name == "dpmpp_2m" else 3

        def by_weights(T: Trace, levels: Any, second: Scheme = second, third: Any = third, order: int = order) -> None:
            points: list[tuple[Any, Any]] = []
            for s, t in T.steps(levels):
                h = T.h(s, t)
                points = [(s.lam, T.denoise(T.x, s)), *points][:order]
                past, count = [(lam - s.lam) / h for lam, _ in points[1:]], len(points)
                scheme = {2: second, 3: third}.get(count)
                exact = rule([sympy.Integer(0), *past], exponential_moments(count, -h, phi))
                w = weights(scheme, -h, past, count) if scheme else exact
                T.x = t.sigma / s.sigma * T.x
                for a, (_, D) in zip(w, points, strict=True):
                    T.x = T.x + t.alpha * h * a * D

        residual += difference(*(compile(one, grid(process, levels)) for one in (ALL[name], by_weights)))
    return prove(
        "The multistep samplers of the package have the weights of this chapter",
        r"x_t = \frac{\sigma_t}{\sigma_s} x_s + \alpha_t h \sum_j w_j(-h; c) D_j, \qquad c_j = "
        r"\frac{\lambda_j - \lambda_s}{h}",
        residual,
        "diffnum.solvers: dpmpp_2m, dpmpp_3m, dpmpp_3m_corrected",
    )


def constant_weights_on_variable_steps() -> Statement:
    """PLMS, PNDM and iPNDM: how far the first moment is off when steps are not equal."""
    residual = []
    for order in (2, 3, 4):
        equal = rule([sympy.Integer(-j) for j in range(order)], [sympy.Rational(1, m + 1) for m in range(order)])
        nodes = BASHFORTH.nodes(order)
        off = sympy.Rational(1, 2) - moment(equal, nodes, 1)
        residual.append(off + sum(w * (c + j) for j, (w, c) in enumerate(zip(equal, nodes, strict=True))))
        residual.append(moment(equal, nodes, 0) - 1)
        if order == 2:
            residual.append(off - (1 + nodes[1]) / 2)
    return prove(
        "Constant Adams weights on variable steps are exact for constants; the first moment is off",
        r"\sum_j \beta_j = 1, \qquad \tfrac12 - \sum_j \beta_j c_j = -\sum_j \beta_j (c_j + j); \qquad k = 2: \ "
        r"\tfrac12 (1 + c_1)",
        residual,
        "diffnum.solvers.generated: ADAMS_BASHFORTH; Liu et al. 2022, eq. 12; Zhang & Chen 2023, iPNDM",
    )


CHAPTER: Chapter = (
    free_function,
    varying_coefficients,
    half,
    half_is_of_order_two,
    one_method,
    taylor_types,
    published_moments,
    coded_corrector,
    samplers_that_run,
    constant_weights_on_variable_steps,
)
