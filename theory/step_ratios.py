"""Step ratios. Zero-stability and the orders of methods that look back one step, for every ratio ``r`` of two steps.

The plan is traced on a generic process with a step of ``h`` and one of ``r h``, and read in Q(r): what vanishes there
vanishes for every ratio, and what does not has its zeros in sight. With ``D = 0`` a method that combines two states
moves the difference of neighbours, in ``u = x / sigma`` and as ``h`` tends to 0, by

    u_{n+1} - u_n = g(r_n) (u_n - u_{n-1}),    r_n = h_n / h_{n-1}.

Where ``g`` grows with ``r`` and ``g(R) = 1``, differences form a series that a geometric one bounds on every grid whose
ratios stay below some number less than ``R``; constant ratios beyond ``R`` are not stable (Hairer, Norsett & Wanner
1993, III.5, for BDF).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import sympy
from sympy.polys.fields import field

from diffnum.bseries import GUARD
from diffnum.generic import GenericGrid, GenericProcess
from diffnum.order import Proof, history, leading_condition, local_errors, show_tree, start_up
from diffnum.read.rational import Rational, variable
from diffnum.roots import state_rows
from diffnum.solvers import ALL
from diffnum.trace import Solver, compile

from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "difference_factor", "residuals", "stable_ratios"]

R = sympy.Symbol("r", positive=True)
B, KAPPA = sympy.symbols("b kappa", positive=True)
SEED = 1


# --- zero-stability ---


def difference_factor(sampler: Solver, ratio: Rational | None = None) -> Any:
    """``g`` of the module's head in sympy's symbols, for a step ``r h`` after steps ``h`` and past the start-up.

    Args:
        ratio: ``r`` in the field that the sampler's options are in; default that of Q(r).

    Raises:
        ArithmeticError: more than two states enter, or their coefficients do not sum to one.
    """
    ratio = variable("r") if ratio is None else ratio
    one = ratio * 0 + 1
    steps = [one] * (start_up(sampler) + 1) + [ratio, one]
    process = GenericProcess.random(SEED, 3 + GUARD)
    plan = compile(sampler, GenericGrid.build(process, steps, 3 + GUARD))
    # the last step may be another one
    row = state_rows(plan, _exact)[-2]
    if not set(row) <= {0, 1} or sum(row.values()) != 1:
        raise ArithmeticError(f"{sampler.name} is no combination of two states: its row is {row}")
    return _symbols(-sympy.sympify(row.get(1, 0)))


def _exact(c: Any) -> Any:
    """The coefficients that a form has of itself, 1.0 and -1.0, as integers; those of a formula are exact."""
    return int(c) if isinstance(c, float) and c.is_integer() else c


def _symbols(expression: Any) -> Any:
    """With positive symbols for those of the field."""
    return sympy.factor(expression.xreplace({sympy.Symbol(s.name): s for s in (R, B, KAPPA)}))


@lru_cache
def stable_ratios(sampler: Solver, proof: Proof) -> str:
    """For which step ratios zero-stability is proved, in Markdown.

    Raises:
        ArithmeticError: it is not shown that ``g`` grows with the ratio.
    """
    if proof.every_ratio:
        return "every ratio"
    if sampler.stochastic:
        return "random ratios"
    g = difference_factor(sampler)
    if not g.has(R):
        return "every ratio"
    parts = sympy.fraction(sympy.cancel(g.diff(R)))
    if any(c < 0 for part in parts for c in sympy.Poly(part, R).coeffs()):
        raise ArithmeticError(f"{sampler.name}: {g} does not grow with the ratio")
    end = min(sympy.solve(g - 1, R))
    return f"$r < {sympy.latex(end)}$"


def backward_differences() -> Statement:
    """BDF of order two, and UCGM-S with the ``kappa`` of order two, which is the same combination of states."""
    g = R**2 / (1 + 2 * R)
    return prove(
        "Zero-stability of two-step methods in the ratio of steps",
        r"u_{n+1} - u_n = g\,(u_n - u_{n-1}), \qquad g = \frac{r^2}{1 + 2r}, \quad "
        r"g' = \frac{2 r (1 + r)}{(1 + 2 r)^2} > 0, \quad g = 1 \iff r = 1 + \sqrt 2",
        [
            *(difference_factor(ALL[name]) - g for name in ("bdf2", "rho_bdf2", "ucgm_2")),
            g.diff(R) - 2 * R * (1 + R) / (1 + 2 * R) ** 2,
            g.subs(R, 1 + sympy.sqrt(2)) - 1,
        ],
        "the plans of diffnum.solvers: bdf2, rho_bdf2, ucgm_2",
    )


def velocities() -> Statement:
    """A running mean carries the velocity, ``(1 - b)`` of it a step: a difference is that times the step."""
    ratio, b = (Rational(x) for x in field("r b", sympy.QQ)[1:])
    # two slopes show it as well as four; the rows of the table have the others, with b = 0.8
    members = (*(ALL[name].with_options(r=2) for name in ("ghvb", "hb", "nesterov")), ALL["ghvb2"], ALL["hb_2m"])
    return prove(
        "Zero-stability of momentum in the ratio of steps",
        r"u_{n+1} - u_n = (1 - b)\, r\,(u_n - u_{n-1}): \quad \text{the root } 1 - b \text{ in the velocity; } "
        r"\ r < \frac{1}{1 - b}",
        [difference_factor(sampler.with_options(b=b), ratio) - (1 - B) * R for sampler in members],
        "the plans of diffnum.solvers: " + ", ".join(sampler.name for sampler in members),
    )


def extrapolation() -> Statement:
    """UCGM-S carries ``kappa`` times the last difference, whatever the steps."""
    ratio, kappa = (Rational(x) for x in field("r kappa", sympy.QQ)[1:])
    return prove(
        "Zero-stability of UCGM-S",
        r"u_{n+1} - u_n = \kappa\,(u_n - u_{n-1}): \quad |\kappa| < 1, \ \text{ for every ratio}",
        [difference_factor(ALL["ucgm"].with_options(kappa=kappa), ratio) - KAPPA],
        "the plan of diffnum.solvers.ucgm",
    )


# --- orders ---


@lru_cache
def residuals(sampler: Solver) -> tuple[int, dict[str, Any]]:
    """The power of ``h`` at which a step ``r h`` after steps ``h`` misses from exact history, and what fails there:
    from elementary differentials to rational functions of ``r``."""
    order = (sampler.smooth or sampler.order) + 2
    past = history(sampler, order)
    process = GenericProcess.random(SEED, order + GUARD)
    r = variable("r")
    one = r * 0 + 1
    steps = [one] * past.steps + [r, one]
    plan = compile(sampler, GenericGrid.build(process, steps, order + GUARD))
    error = local_errors(plan, process, order, past.predictions(plan), past.steps)[0]
    power, trees = leading_condition(error, order)
    return power, {show_tree(t): _symbols(sympy.sympify(c)) for t, c in trees.items()}


@dataclass(frozen=True)
class Shape:
    """Samplers of one order whose conditions one order up are, but for a number each, one function of ``r``.

    Attributes:
        forms: of the conditions named; ``""`` is every one that is not.
        partly: only those named have a form.
    """

    says: str
    claim: str
    order: int
    forms: Mapping[str, Any]
    members: tuple[str, ...]
    partly: bool = False

    def derive(self) -> Statement:
        """The lowest power is ``order + 1`` for every ratio, and condition over form does not depend on it."""
        residual: list[Any] = []
        for name in self.members:
            power, found = residuals(ALL[name])
            residual.append(sympy.Integer(power - self.order - 1))
            named = [tree for tree in found if tree in self.forms or not self.partly]
            residual += [sympy.cancel(found[t] / self.forms.get(t, self.forms.get(""))).diff(R) for t in named]
            residual += [sympy.Integer(tree not in found) for tree in self.forms if tree]
        return prove(self.says, self.claim, residual, "the plans of diffnum.solvers: " + ", ".join(self.members))


ADAMS, BDF = R**2 * (2 * R + 3), R**2 * (1 + R) ** 2 / (1 + 2 * R)
PREDICTED = {"D_cc": R**3, "D_u(D_u(D))": R * (2 * R**2 + 3)}
HALF, FIFTH = sympy.Rational(1, 2), sympy.Rational(1, 5)
SHAPES = (
    Shape(
        "Adams methods of two steps are of order two for every ratio, and never of three",
        r"\text{every condition of order three} \ \propto\ r^2 (2 r + 3)",
        2,
        {"": ADAMS},
        ("ab2", "deis_rhoab_2", "exp_ab2", "exp_ab2_noise", "snr_ab2", "trig_ab2", "deis_tab_2"),
    ),
    Shape(
        "DPM-Solver++(2M) is of order two for every ratio, and never of three",
        r"D_{cc},\ D_u(D_u(D)),\ D_{cu}(D),\ D_{uu}(D, D),\ D_u(D_c) \ \propto\ r^2 (2 r + 3), \qquad "
        r"D_u(D) \ \propto\ r^2 (r + 1)",
        2,
        dict.fromkeys(("D_cc", "D_u(D_u(D))", "D_cu(D)", "D_uu(D, D)", "D_u(D_c)"), ADAMS) | {"D_u(D)": R**2 * (R + 1)},
        ("dpmpp_2m", "unip_2"),
        partly=True,
    ),
    Shape(
        "DPM-Solver-2M on the noise is of order two for every ratio, and never of three",
        r"D_{cc},\ D_u(D_u(D)),\ D_{cu}(D),\ D_{uu}(D, D),\ D_u(D_c) \ \propto\ r^2 (2 r + 3), \qquad "
        r"D_u(D) \ \propto\ r^2 (r + 2)",
        2,
        dict.fromkeys(("D_cc", "D_u(D_u(D))", "D_cu(D)", "D_uu(D, D)", "D_u(D_c)"), ADAMS) | {"D_u(D)": R**2 * (R + 2)},
        ("dpm_2m",),
        partly=True,
    ),
    Shape(
        "Weights of equal steps are of order two on equal steps alone",
        r"\text{every condition of order two} \ \propto\ r\,(r - 1)",
        1,
        {"": R * (R - 1)},
        ("ipndm_2", "s_pndm", "ghvb"),
    ),
    Shape(
        "The trapezoidal corrector after Adams-Bashforth is of order two for every ratio, and never of three",
        r"\text{every condition of order three} \ \propto\ r^3",
        2,
        {"": R**3},
        ("abm2_pece", "rho_abm2_pece"),
    ),
    Shape(
        "A corrector on a remembered prediction is of order two for every ratio, and never of three",
        r"D_{cc} \ \propto\ r^3, \qquad D_u(D_u(D)) \ \propto\ r\,(2 r^2 + 3)",
        2,
        PREDICTED,
        ("unipc_1", "unipc_1_bh1", "unipc_1_noise", "unipc_1_vary", "flowturbo"),
        partly=True,
    ),
    Shape(
        "Two-step methods of states are of order two for every ratio, and never of three",
        r"\text{every condition of order three} \ \propto\ \frac{r^2 (1 + r)^2}{1 + 2 r}",
        2,
        {"": BDF},
        ("bdf2", "rho_bdf2", "ucgm_2"),
    ),
    Shape(
        "GHVB with the weights of the grid is of order two for every ratio, and never of three",
        r"\text{every condition of order three} \ \propto\ r\,(2 r^2 + 3 r + 1 - b), \qquad b = \tfrac45",
        2,
        {"": R * (2 * R**2 + 3 * R + FIFTH)},
        ("ghvb2",),
    ),
    Shape(
        "Heavy ball on 2M is of order one for every ratio, and never of two",
        r"\text{every condition of order two} \ \propto\ r\,(r + 1)",
        1,
        {"": R * (R + 1)},
        ("hb_2m",),
    ),
    Shape(
        "UCGM-S is of order two where its number is that of the ratio alone",
        r"\text{every condition of order two} \ \propto\ \kappa\,(1 + 2 r) - r^2, \qquad \kappa = \tfrac12",
        1,
        {"": HALF * (1 + 2 * R) - R**2},
        ("ucgm",),
    ),
)

CHAPTER: Chapter = (backward_differences, velocities, extrapolation, *(partial(Shape.derive, s) for s in SHAPES))
