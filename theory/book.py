"""The book put together: chapters in reading order, the table of proofs, and their page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sympy

from diffnum.order import Proof, prove
from diffnum.solvers import ALL
from diffnum.trace import Solver
from diffnum.weak_order import prove_weak

from . import (
    adams,
    additive,
    adjoint,
    brownian,
    closed_forms,
    collocation,
    equalities,
    errors,
    exponential_rk,
    exponentials,
    extrapolation,
    false_equalities,
    mean_reverting,
    momentum,
    more_equalities,
    parallel,
    reversible,
    runge_kutta,
    stability,
    step_ratios,
    stochastic,
    stochastic_errors,
    taylor,
    tsitouras,
    uni,
    variable_pndm,
    variables,
)
from .statement import Chapter, Statement, check

__all__ = ["CHAPTERS", "Row", "derive", "page", "row", "rows", "section", "work"]

CHAPTERS: dict[str, Chapter] = {
    "1. Closed forms": closed_forms.CHAPTER,
    "2. Exponentials": exponentials.CHAPTER,
    "3. Multistep quadrature": adams.CHAPTER,
    "4. Variables of interpolation": variables.CHAPTER,
    "5. DPM-Solver and UniPC": (*uni.CHAPTER, *variable_pndm.CHAPTER),
    "6. Runge-Kutta": (*runge_kutta.CHAPTER, *collocation.CHAPTER, *tsitouras.CHAPTER),
    "7. Exponential Runge-Kutta": (*exponential_rk.CHAPTER, *taylor.CHAPTER),
    "8. Momentum and extrapolation": (*momentum.CHAPTER, *extrapolation.CHAPTER),
    "9. Stability": stability.CHAPTER,
    "10. Reversible samplers": reversible.CHAPTER,
    "11. Stochastic samplers": (*stochastic.CHAPTER, *additive.CHAPTER, *brownian.CHAPTER),
    "12. Equalities": (*equalities.CHAPTER, *more_equalities.CHAPTER, *mean_reverting.CHAPTER),
    "13. What is not equal": false_equalities.CHAPTER,
    "14. Errors": (*errors.CHAPTER, *stochastic_errors.CHAPTER),
    "15. Step ratios": step_ratios.CHAPTER,
    "16. Parallel rounds, gradients and likelihoods": (*parallel.CHAPTER, *adjoint.CHAPTER),
}

HEAD = """# Proofs

Written by `python -m theory`; do not edit. `python -m theory --check` derives everything again and compares.

## Samplers

*Order* is proved with exact starting values (warm) and with the start-up as published (cold): residuals of all
conditions up to it vanish, and the condition named fails one order up. A method with weights of constant steps has a
second order, on grids whose step ratios tend to one. Conditions are elementary differentials of
the denoiser: `D_u(D)` is its derivative in the state applied to itself, `D_c` its derivative in the clock, `x` the part
without a denoiser. Proofs run on the traced plan, on a random process with random step ratios, in exact arithmetic
(weak orders, whose steps carry square roots, in 50 digits).
*Zero-stable* is the root condition past the start-up, on equal steps and on steps that alternate 1 : 2, and
the step ratios $r = h_n / h_{n-1}$ for which more is proved. *Every ratio*: no state is read but the last, on random
steps, or differences of states shrink by a number that does not depend on $r$. $r < R$: they are multiplied by a
function of $r$ that grows and is one at $R$ (chapter 15), so that every grid is stable whose ratios stay below a
number less than $R$, and constant ratios beyond $R$ are not. The *leading error* is that of one step of
size $h$ in log-SNR from exact history, on data $N(0, c)$ with $\\alpha = 1$, at $\\sigma = 1$, where the exact state is
$\\sqrt{1 + c}$: on a Gaussian everything commutes, so it can be of higher order than the sampler. Where it depends on
how long the history is, as DC-Solver's does, it is the limit of a long one.
Samplers that choose their steps or coefficients as they run, and those with trained ones, are proved *frozen*: for the
controls that one run left, or for the stated values of their options (`amed`, `dc_solver`, `ucgm`); what the controls
do is not proved. A stochastic sampler's order is weak, proved for every denoiser by trees with Gaussian leaves; that it
is not higher is shown on a Gaussian. Its error is one of a law and has no leading term of a path; that of its variance
is in chapter 14.
"""


@dataclass(frozen=True)
class Row:
    """What is proved of a sampler: its orders, the step ratios for which it is zero-stable and, unless it draws noise,
    its leading error on a Gaussian in LaTeX."""

    name: str
    proof: Proof
    ratios: str
    error: str

    def markdown(self) -> str:
        """The row of the table."""
        proof = self.proof
        weak = "weak " if proof.kind == "weak order" else ""
        violated = proof.violated[0]
        violated = violated if weak else f"`{violated.partition(':')[0]}`"
        # a method of order zero does not keep x as D vanishes, so there is nothing to be stable about
        stable = "equal steps" if proof.on_equal else "no" if proof.order else "not consistent"
        stable = self.ratios if proof.stable else stable
        order = f"{weak}{proof.order}" + (f" ({proof.smooth} on smooth grids)" if proof.smooth else "")
        return f"| `{self.name}` | {order} | {proof.cold} | {violated} | {stable} | {self.error} |"


def row(sampler: Solver) -> Row:
    """Prove one sampler.

    Raises:
        ArithmeticError: the claim on its decorator is not what is proved.
    """
    proof = prove_weak(sampler) if sampler.stochastic else prove(sampler, highest=max(4, sampler.order + 1))
    if (proof.order, proof.cold, proof.smooth) != (sampler.order, sampler.cold, sampler.smooth):
        claimed = f"{sampler.order}, cold {sampler.cold}"
        raise ArithmeticError(f"{sampler.name} claims order {claimed}; proved is {proof.order}, cold {proof.cold}")
    ratios = step_ratios.stable_ratios(sampler, proof) if proof.stable else ""
    return Row(sampler.name, proof, ratios, "a law" if sampler.stochastic else _error(sampler))


def _error(sampler: Solver) -> str:
    found = errors.gaussian_error(sampler)
    return f"${sympy.latex(_legible(found.coefficient))}\\, h^{{{found.power}}}$"


def _legible(coefficient: Any) -> Any:
    """The same; with eight digits where an irrational method makes exact numbers of hundreds."""
    if max((len(str(abs(n))) for n in coefficient.atoms(sympy.Integer)), default=0) < 40:
        return coefficient
    above, below = sympy.fraction(sympy.together(coefficient))
    factor, power = below.as_independent(errors.C)
    digits = [sympy.N(a / factor, 8) for a in sympy.Poly(above, errors.C).all_coeffs()]
    return sympy.Poly(digits, errors.C).as_expr() / power


def work() -> list[tuple[str, str, Callable[[], Statement | Row]]]:
    """Everything there is to derive, as (chapter, what, derivation)."""
    statements = [(title, "statement", derive) for title, chapter in CHAPTERS.items() for derive in chapter]
    return [*statements, *(("Samplers", s.name, _prover(s)) for s in ALL.values())]


def _prover(sampler: Solver) -> Callable[[], Row]:
    return lambda: row(sampler)


def derive(jobs: int = 1) -> Iterator[tuple[str, Statement | Row]]:
    """Carry :func:`work` out, ``jobs`` pieces at a time, in order.

    Raises:
        ArithmeticError: a residual that is not zero, or a claimed order that is not the proved one.
    """
    from joblib import Parallel, delayed

    pieces = range(len(work()))
    yield from Parallel(n_jobs=jobs, return_as="generator")(delayed(_piece)(i) for i in pieces)  # type: ignore[misc]


def _piece(i: int) -> tuple[str, Statement | Row]:
    # by number: what is derived are functions without a name, which do not travel
    title, _, derivation = work()[i]
    found = derivation()
    if isinstance(found, Statement):
        check([found])
    return title, found


def rows(found: Sequence[tuple[str, Statement | Row]]) -> list[Row]:
    """The rows of the table among what was derived."""
    return [piece for _, piece in found if isinstance(piece, Row)]


def page(found: Sequence[tuple[str, Statement | Row]]) -> str:
    """``PROOFS.md``."""
    lines = [
        HEAD,
        "| sampler | order | cold | first condition that fails one order up | zero-stable | leading error |",
        "|---|---|---|---|---|---|",
        *(piece.markdown() for piece in rows(found)),
    ]
    notes = [f"- `{s.name}`: {s.note}" for s in ALL.values() if s.note]
    lines += ["", *notes, "", "## Statements", "", "Each is proved by a residual that sympy simplifies to zero."]
    for title in CHAPTERS:
        statements = [piece for chapter, piece in found if chapter == title and isinstance(piece, Statement)]
        lines += ["", section(title, statements)]
    return "\n".join(lines) + "\n"


def section(title: str, statements: Sequence[Statement]) -> str:
    """A chapter of the page."""
    return "\n".join([f"### {title}", *(line for same in _by_claim(statements) for line in _paragraph(same))])


def _by_claim(statements: Sequence[Statement]) -> list[list[Statement]]:
    """Neighbours with one claim, such as one statement of every process, are one paragraph."""
    return [list(same) for _, same in groupby(statements, key=lambda s: (s.claim, s.where))]


def _paragraph(same: Sequence[Statement]) -> list[str]:
    first = same[0]
    name = first.name
    if len(same) > 1:
        subjects = "; ".join(s.name.partition(": ")[0] for s in same)
        shared = first.name.partition(": ")[2]
        name = f"{subjects}: {shared}" if shared else subjects
    lines = ["", f"**{name}** ({first.where})", "", f"$$ {first.claim} $$"]
    return [*lines, "", f"They differ, for example by {first.counterexample}."] if first.counterexample else lines
