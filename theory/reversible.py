"""Reversible samplers. Two-step methods that give their past back, one family with a gain.

A step is reversible when it gives its own past back: ``y_c = (y_1 - A y_0 - W N_0) / B``. On the unit step, with the
past point at ``c < 0`` and ``y' = z y + N``, explicit two-step methods with one evaluation

    y_1 = A y_0 + B y_c + W N_0

that are exact for constant ``N`` have one parameter left, the gain ``B = g`` on the old state, and are all

    y_1 - F(y_0) = g (y_c - G(y_0)),    F, G the first-order steps from 0 to 1 and from 0 to c:

BDIA with a ``g`` of its own, leapfrog with ``g = e^{(1 - c) z}``, and BELM with the one ``g`` that is of order two.
Here ``z = -h`` for data and ``z = h`` for noise in log-SNR, ``z = 0`` in ``x / alpha`` against ``sigma / alpha``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import sympy

from diffnum.num import exp, phi
from diffnum.series import h_series

from . import reversible_pairs
from .adams import closed
from .generator import PHI, Piece, formula
from .statement import Chapter, Statement, differ, prove

__all__ = ["CHAPTER", "PIECES", "belm_gain", "two_step"]

Z, G, H, OLD = sympy.Symbol("z", nonzero=True), sympy.Symbol("g"), *sympy.symbols("h H", positive=True)
C = sympy.Symbol("c", negative=True)
CASES = ((Fraction(-1), Fraction(1)), (Fraction(-2, 3), Fraction(3, 5)), (Fraction(-7, 4), Fraction(-5, 3)))
Weights = tuple[Any, Any, Any]


def two_step(gain: Any, z: Any = Z, c: Any = C) -> Weights:
    """``(A, B, W)`` of the family with gain ``B``."""
    return PHI(0, z) - gain * PHI(0, c * z), gain, PHI(1, z) - gain * c * PHI(1, c * z)


def belm_gain(z: Any = Z, c: Any = C) -> Any:
    """The gain of order two: ``N = s`` is integrated too."""
    return PHI(2, z) / (c**2 * PHI(2, c * z))


def leapfrog_gain(z: Any = Z, c: Any = C) -> Any:
    """The gain without ``y_0``."""
    return PHI(0, (1 - c) * z)


def backwards(weights: Weights, c: Any = C) -> Weights:
    """The weights that give ``y_c`` back, as weights of a step of length one from 0 to the point ``c``."""
    a, b, w = weights
    return -a / b, 1 / b, -w / (b * c)


# --- pieces ---


def _residuals(weights: Weights, z: Any, c: Any, quadrature: int) -> Iterator[Any]:
    """``N = 0, 1, s, ...``: exact solutions ``e^{sz}`` and ``k! s^{k+1} phi_{k+1}(s z)`` at 1, 0 and c."""
    a, b, w = weights
    yield exp(z) - a - b * exp(c * z)
    for k in range(quadrature):
        yield phi(k + 1, z) - b * c ** (k + 1) * phi(k + 1, c * z) - (w if k == 0 else 0)


def bdia() -> Piece:
    """The family."""

    def check(module: Any) -> Iterator[Any]:
        for c, rate in CASES:
            z = h_series(9, rate)
            for gain in (Fraction(1), Fraction(3, 7)):
                found = module.bdia(z, c, gain)
                yield from _residuals(found, z, c, 1)
                yield found[1] - gain

    says = (
        "``(A, B, W)`` of ``y_1 = A y_0 + B y_c + W N_0`` with gain ``B = g``, exact for constant ``N``.\n\n    The "
        "step back has gain ``1/g``. BDIA's ``g`` in ``y = x / scale`` is its gamma times ``scale_c / scale_1``."
    )
    return formula("bdia", (Z, C, G), two_step(G), says, "theory.reversible.two_step", check)


def belm() -> Piece:
    """Order two."""

    def check(module: Any) -> Iterator[Any]:
        for c, rate in CASES:
            z = h_series(9, rate)
            yield from _residuals(module.belm_2(z, c), z, c, 2)

    says = (
        "``(A, B, W)`` of the reversible two-step method of order two over the nodes (0, c):\n\n"
        "    exact for ``N = 1`` and ``N = s``; at ``z = 0`` the optimal BELM, ``B = 1 / c^2``."
    )
    return formula("belm_2", (Z, C), two_step(belm_gain()), says, "theory.reversible.belm_gain", check)


def leapfrog() -> Piece:
    """Symmetric, without the present state."""

    def check(module: Any) -> Iterator[Any]:
        for c, rate in CASES:
            z = h_series(9, rate)
            b, w = module.leapfrog(z, c)
            yield from _residuals((0 * z, b, w), z, c, 1)

    says = (
        "``(B, W)`` of ``y_1 = B y_c + W N_0``, exact for constant ``N`` over the nodes (0, c):\n\n"
        "    of order two where ``c = -1`` and ``z = 0``, else of order one; its second root is ``-1`` on any steps."
    )
    value = leapfrog_gain(), (1 - C) * PHI(1, (1 - C) * Z)
    return formula("leapfrog", (Z, C), value, says, "theory.reversible.leapfrog_gain", check)


PIECES: tuple[Callable[[], Piece], ...] = (bdia, belm, leapfrog)


# --- two-step methods ---


def one_family() -> Statement:
    """Two equations for three weights; leapfrog and BELM are points on the line."""
    a, b, w = sympy.symbols("A B W")
    solved = sympy.solve(
        [sympy.exp(Z) - a - b * sympy.exp(C * Z), phi(1, Z) - b * C * phi(1, C * Z) - w], [a, w], dict=True
    )[0]
    family = [closed(e) for e in two_step(b)]
    frog = [sympy.expand(closed(e)) for e in two_step(leapfrog_gain())]
    best = [closed(e) for e in two_step(belm_gain())]
    return prove(
        "Explicit reversible two-step methods are one family",
        r"A = e^z - g e^{c z}, \quad B = g, \quad W = \varphi_1(z) - g c\, \varphi_1(c z); \qquad \text{leapfrog } g = "
        r"e^{(1 - c) z}: A = 0,\ W = (1 - c) \varphi_1((1 - c) z); \qquad \text{BELM } g = \frac{\varphi_2(z)}"
        r"{c^2 \varphi_2(c z)}",
        (
            sympy.expand(solved[a] - family[0]),
            sympy.expand(solved[w] - family[2]),
            frog[0],
            sympy.expand(frog[2] - (1 - C) * closed(PHI(1, (1 - C) * Z))),
            *_simplified(exp(Z) - best[0] - best[1] * exp(C * Z), phi(1, Z) - best[1] * C * phi(1, C * Z) - best[2]),
            *_simplified(phi(2, Z) - best[1] * C**2 * phi(2, C * Z)),
        ),
        "diffnum.solvers.generated: bdia, belm_2, leapfrog",
    )


def _simplified(*residual: Any) -> tuple[Any, ...]:
    return tuple(sympy.simplify(r) for r in residual)


def _x_step(weights: Weights, scales: Sequence[Any], factor: Any) -> Weights:
    """Weights of ``x_0``, ``x_c`` and the prediction from those in ``y = x / scale``, ``N = factor * prediction``."""
    now, old, new = scales
    a, b, w = weights
    return new / now * a, new / old * b, new * factor * w


def _levels() -> tuple[Any, ...]:
    """``alpha`` and log-SNR at the past, the present and the new level, steps ``H`` and ``h``."""
    return *sympy.symbols("alpha_- alpha_0 alpha_+", positive=True), sympy.Symbol("lambda", real=True)


def published_bdia() -> Statement:
    """BDIA as published, and as the family in three coordinates with its gamma times a ratio of scales."""
    old, now, new, lam = _levels()
    gamma = sympy.Symbol("gamma", positive=True)
    sigmas = [old * sympy.exp(-lam + OLD), now * sympy.exp(-lam), new * sympy.exp(-lam - H)]
    forward, back = new / now, old / now
    # gamma x_old + (1 - gamma) x - gamma Delta(back) + Delta(forward), Delta the increments of DDIM from x, in noise
    x = (1 - gamma) - gamma * (back - 1) + (forward - 1)
    e = (sigmas[2] - forward * sigmas[1]) - gamma * (sigmas[0] - back * sigmas[1])
    published = (x, gamma, e)
    c = -OLD / H
    scales = (sigmas[1], sigmas[0], sigmas[2])
    in_noise = _x_step(_closed(two_step(gamma * sigmas[0] / sigmas[2], H, c)), scales, -H)
    plain = _x_step(_plain(gamma * old / new, *_ratios(lam)), (now, old, new), _ratios(lam)[0])
    in_data = _x_step(_closed(two_step(gamma * old / new, -H, c)), (now, old, new), H)
    # from data to noise: D = (x - sigma eps) / alpha
    turned = (in_data[0] + in_data[2] / now, in_data[1], -in_data[2] * sigmas[1] / now)
    residual = [
        sympy.simplify(p - q) for other in (in_noise, plain, turned) for p, q in zip(published, other, strict=True)
    ]
    return prove(
        "BDIA is one method in data, noise and classical coordinates",
        r"x_+ - \mathrm{DDIM}_+(x_0) = \gamma\, \bigl(x_- - \mathrm{DDIM}_-(x_0)\bigr); \qquad g = \gamma "
        r"\frac{\alpha_-}{\alpha_+} \text{ in } x / \alpha, \quad g = \gamma \frac{\sigma_-}{\sigma_+} \text{ in } x / "
        r"\sigma",
        residual,
        "Zhang et al. 2024 and its code; diffnum.solvers.generated.bdia at z = h, 0, -h",
    )


def _closed(weights: Weights) -> Weights:
    a, b, w = (closed(e) for e in weights)
    return a, b, w


def _ratios(lam: Any) -> tuple[Any, Any]:
    """Steps in ``sigma / alpha``, forward and back: negative and positive."""
    now = sympy.exp(-lam)
    return now * (sympy.exp(-H) - 1), now * (sympy.exp(OLD) - 1)


def _plain(gain: Any, step: Any, back: Any) -> Weights:
    """The family at ``z = 0``."""
    return 1 - gain, gain, 1 - gain * back / step


def published_belm() -> Statement:
    """The optimal BELM as published is the family's second-order member in ``x / alpha`` against ``sigma / alpha``."""
    old, now, new, _ = _levels()
    c = -OLD / H
    gain = sympy.limit(closed(belm_gain(Z, sympy.Symbol("q"))), Z, 0).subs(sympy.Symbol("q"), c)
    # levels fall: the step in sigma / alpha is -h after -H
    found = _x_step(_plain(gain, -H, OLD), (now, old, new), -H)
    published = (
        (OLD**2 - H**2) / OLD**2 * new / now,
        H**2 / OLD**2 * new / old,
        -H * (H + OLD) / OLD * new,
    )
    return prove(
        "The optimal BELM as published is the two-step method of order two in classical coordinates",
        r"x_+ = \frac{H^2 - h^2}{H^2} \frac{\alpha_+}{\alpha_0} x_0 + \frac{h^2}{H^2} \frac{\alpha_+}{\alpha_-} x_- - "
        r"\frac{h (h + H)}{H} \alpha_+ \epsilon_0, \qquad h, H \text{ the last two decreases of } \sigma / \alpha",
        [sympy.simplify(a - b) for a, b in zip(found, published, strict=True)],
        "Wang et al. 2024 and its code; diffnum.solvers.generated.belm_2 at z = 0",
    )


def belm_has_coordinates() -> Statement:
    """Unlike BDIA, the method of order two is another one in each coordinate: it interpolates another quantity."""
    old, _, new, lam = _levels()
    classical = _ratios(lam)
    gap = (closed(belm_gain(-H, -OLD / H)) - (classical[0] / classical[1]) ** 2) * new / old
    point = {H: sympy.log(2), OLD: sympy.log(2), old: 1, new: 1}
    return differ(
        "BELM in data and BELM in classical coordinates are two methods",
        r"\frac{\alpha_-}{\alpha_+} B: \quad \frac{\varphi_2(-h)}{c^2 \varphi_2(H)} \ne \Bigl(\frac{\tau_+ - \tau_0}"
        r"{\tau_0 - \tau_-}\Bigr)^2, \qquad \tau = \frac{\sigma}{\alpha}, \ c = -H / h",
        [gap],
        [gap],
        point,
        "diffnum.solvers.generated.belm_2 at z = -h and z = 0",
    )


def reversible(name: str) -> Statement:
    """The step solved for the past is the same formula on the nodes seen from the other side, and undoes the step."""
    gain, back = {
        "BDIA": (lambda z, c: G, lambda z, c: 1 / G),
        "leapfrog": (leapfrog_gain, leapfrog_gain),
        "BELM": (belm_gain, belm_gain),
    }[name]
    weights = _closed(two_step(gain(Z, C)))
    there = backwards(weights)
    same = _closed(two_step(back(C * Z, 1 / C), C * Z, 1 / C))
    y, past, n = sympy.symbols("y_0 y_c N_0")
    new = weights[0] * y + weights[1] * past + weights[2] * n
    again = there[0] * y + there[1] * new + C * there[2] * n
    return prove(
        f"{name} backwards is {name}" + (" with the inverse gain" if name == "BDIA" else ""),
        r"y_c = -\frac{A}{B} y_0 + \frac{1}{B} y_1 - \frac{W}{B} N_0, \quad \Bigl(-\frac{A}{B}, \frac1B, -\frac{W}"
        r"{c B}\Bigr)(z, c"
        + (", g)" if name == "BDIA" else ")")
        + r" = (A, B, W)\bigl(c z, \tfrac1c"
        + (r", \tfrac1g\bigr)" if name == "BDIA" else r"\bigr)"),
        [*_simplified(*(p - q for p, q in zip(there, same, strict=True))), sympy.simplify(again - past)],
        "diffnum.solvers.generated; also as its own inverse on any values",
    )


def order_and_constants() -> Statement:
    """What the first moment that is missed weighs, and by what a zero of the polynomial at one divides it."""
    zeta, gamma = sympy.symbols("zeta gamma", positive=True)
    second = closed(PHI(2, Z)) - G * C**2 * closed(PHI(2, C * Z))
    third = closed(PHI(3, Z) - belm_gain() * C**3 * PHI(3, C * Z))
    rho = zeta**2 - (1 - gamma) * zeta - gamma
    local = sympy.limit(second, Z, 0).subs({C: -1, G: gamma})
    frog = sympy.limit(second.subs(G, sympy.exp((1 - C) * Z)), Z, 0)
    return prove(
        "Orders and error constants of reversible two-step methods",
        r"y(1) - y_1 = \bigl(\varphi_2(z) - g c^2 \varphi_2(c z)\bigr) N' + \ldots; \quad z = 0: \ \tfrac12 (1 - g "
        r"c^2) N', "
        r"\ \tfrac12 (1 - c^2) N' \text{ (leapfrog)}, \ \tfrac16 (1 - c) N'' \text{ (BELM)}; \quad c = -1: \ "
        r"\frac{\tfrac12 (1 - \gamma)}{\rho'(1)} = \frac{1 - \gamma}{2 (1 + \gamma)}, \ \rho = (\zeta - 1)(\zeta + "
        r"\gamma)",
        (
            sympy.limit(second, Z, 0) - (1 - G * C**2) / 2,
            sympy.simplify(frog - (1 - C**2) / 2),
            sympy.simplify(sympy.limit(third, Z, 0) - (1 - C) / 6),
            sympy.expand(rho - (zeta - 1) * (zeta + gamma)),
            sympy.simplify(local / rho.diff(zeta).subs(zeta, 1) - (1 - gamma) / (2 * (1 + gamma))),
        ),
        "BDIA on equal steps in classical coordinates is of order two at gamma = 1 and of order one below",
    )


def roots() -> Statement:
    """How a difference of the two states grows where ``N = 0``, seen in the variable that then stands still."""
    y, past = sympy.symbols("y_0 y_c", positive=True)
    a, b, _ = _closed(two_step(G))
    still = sympy.exp(-Z) * (a * y + b * sympy.exp(C * Z) * past) - y
    growth = G * sympy.exp((C - 1) * Z)

    def area(length: Any, rate: Any) -> Any:
        """``int_0^length s e^{-rate s} ds``."""
        return length**2 * sympy.exp(-rate * length) * closed(PHI(2, rate * length))

    rate = sympy.Symbol("q", nonzero=True)
    best = closed(belm_gain(rate * H, -OLD / H)) * sympy.exp(-rate * (OLD + H))
    steps = sympy.symbols("h_0:4", positive=True)
    product = sympy.prod([(steps[i + 1] / steps[i]) ** 2 for i in range(3)])
    frog = closed(leapfrog_gain() * PHI(0, (C - 1) * Z))
    return prove(
        "Roots of reversible two-step methods",
        r"d_{n+1} = -\hat g\, d_n, \quad \hat g = g e^{(c - 1) z}: \quad 1 \text{ (leapfrog)}, \quad \frac{\int_0^h s "
        r"e^{-q s} ds}{\int_0^H s e^{q s} ds} \text{ (BELM)}; \qquad q = 0: \ \prod_n \frac{h_{n+1}^2}{h_n^2} = "
        r"\frac{h_N^2}{h_0^2}; \quad q = \mp 1, \ h = H: \ 1 \pm \tfrac43 h + O(h^2)",
        (
            sympy.simplify(still - (-growth) * (y - past)),
            sympy.simplify(frog - 1),
            sympy.simplify(best - area(H, rate) / area(OLD, -rate)),
            product - steps[3] ** 2 / steps[0] ** 2,
            *(
                sympy.series(best.subs({OLD: H, rate: q}), H, 0, 2).removeO() - (1 - sympy.Rational(4, 3) * q * H)
                for q in (-1, 1)
            ),
        ),
        "they are inverted: what damps in sampling amplifies rounding backwards, by (h_0 / h_N)^2 for BELM",
    )


def belm_on_alternating_steps() -> Statement:
    """Two steps of BELM whose sizes alternate: one is a double root with a chain, so a perturbation grows with time."""
    r, k = sympy.symbols("r k", positive=True)  # r = H / h

    def companion(ratio: Any) -> Any:
        gain = 1 / ratio**2
        return sympy.Matrix([[1 - gain, gain], [1, 0]])

    pair = companion(1 / r) * companion(r)
    chain = (1 - 1 / r**2) * sympy.Matrix([[1, -1], [1, -1]])
    return differ(
        "BELM is not zero-stable on steps that alternate",
        r"d_n = (-1)^n \frac{h_n^2}{h_0^2} d_0, \quad y_N - y_0 = \sum_n d_n; \qquad \text{steps } h, r h, h, \ldots: "
        r"\ "
        r"\det(M_2 - \zeta) = (\zeta - 1)^2, \ M_2 - 1 = \Bigl(1 - \frac{1}{r^2}\Bigr) \begin{pmatrix} 1 & -1 \\ 1 & "
        r"-1 "
        r"\end{pmatrix} \ne 0 \ (r \ne 1)",
        [*(pair - sympy.eye(2)), sympy.simplify((pair - k * sympy.eye(2)).det() - (k - 1) ** 2)],
        [*chain, 0],
        {r: 2},
        "diffnum.solvers.generated.belm_2 at z = 0; the sum alternates, and is bounded where steps change smoothly",
    )


def interval() -> Statement:
    """The real stability interval of BDIA: a root reaches minus one."""
    zeta, w, gamma = sympy.symbols("zeta w gamma", positive=True)
    rho = zeta**2 - (1 - gamma + (1 + gamma) * w) * zeta - gamma
    return prove(
        "The real stability interval of BDIA",
        r"y' = \mu y, \ w = h \mu: \quad \rho(\zeta) = \zeta^2 - (1 - \gamma + (1 + \gamma) w) \zeta - \gamma, \quad "
        r"\rho(-1) = 0 \iff w = -\frac{2 (1 - \gamma)}{1 + \gamma}",
        sympy.simplify(rho.subs(zeta, -1).subs(w, -2 * (1 - gamma) / (1 + gamma))),
        "Zhang et al. 2024; zero for leapfrog, gamma = 1",
    )


CHAPTER: Chapter = (
    one_family,
    published_bdia,
    published_belm,
    belm_has_coordinates,
    *(partial(reversible, name) for name in ("BDIA", "leapfrog", "BELM")),
    order_and_constants,
    roots,
    belm_on_alternating_steps,
    interval,
    *reversible_pairs.CHAPTER,
)
