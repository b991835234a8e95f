"""Checks of linear multistep methods."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from ..series import rational
from .conditions import multistep_residuals
from .entries import shown
from .numbers import middle, vanishes
from .records import Multistep
from .report import FAILS, HOLDS, NOTE, Finding, residual_text, sentence
from .slips import Slip, Unknown, proposal, solve
from .stability import multistep_stability, root_condition

__all__ = ["check", "error_constant", "kind", "order", "slips"]


def kind(table: Multistep) -> str:
    """Explicit or implicit, and how far it looks back."""
    steps = len(table.alpha) - 1
    return f"{'explicit' if table.explicit else 'implicit'} multistep method of {steps} step{'s' * (steps > 1)}"


def order(table: Multistep) -> tuple[int, Any]:
    """The order, and the residual ``C_{p+1}`` of the condition that fails; -1 where ``sum alpha_j`` is not zero."""
    # no consistent method has an order above 2 k
    for q, residual in enumerate(islice(multistep_residuals(table.alpha, table.beta), 2 * len(table.alpha) + 2)):
        if not vanishes(residual):
            return q - 1, residual
    raise ValueError(f"{table.name} has no entry but zeros that count: it is no method")


def error_constant(table: Multistep) -> Any:
    """``C_{p+1} / sigma(1)``, which does not depend on how the method is scaled (Hairer, Norsett & Wanner 1993, III.2).

    Raises:
        ZeroDivisionError: ``sigma(1) = 0``.
    """
    return order(table)[1] / sum(table.beta, rational(0))


def check(table: Multistep, claim: int | None) -> tuple[int, list[Finding]]:
    """The order, and every check in turn."""
    p, residual = order(table)
    stable = multistep_stability(table)
    return max(p, 0), [
        Finding("shape", HOLDS, kind(table)),
        _consistent(table, p),
        _order(p, residual, claim),
        _roots(stable.roots, stable.zero_stable),
        _constant(table),
        Finding("stability", NOTE, sentence([
            f"real interval {_length(stable.real)}, imaginary {_length(stable.imaginary)}",
            "" if table.explicit else "A-stable" if stable.a_stable else "not A-stable",
        ])),
    ]  # fmt: skip


def _length(x: float) -> str:
    return "all" if math.isinf(x) else f"{x:.6g}"


def _consistent(table: Multistep, p: int) -> Finding:
    names = ("sum_j alpha_j = 0", "sum_j j alpha_j = sum_j beta_j")
    found = list(zip(names, multistep_residuals(table.alpha, table.beta), strict=False))
    failed = [(name, r) for name, r in found if not vanishes(r)]
    if not failed:
        return Finding("consistency", HOLDS, " and ".join(names))
    said = sentence(f"{name} is missed by {residual_text(r)}" for name, r in failed)
    return Finding("consistency", FAILS, said, tuple(n for n, _ in failed), tuple(float(middle(r)) for _, r in failed))


def _order(p: int, residual: Any, claim: int | None) -> Finding:
    short = claim is not None and p < claim
    q = p + 1
    beside = f" - {q} j^{p}" if p > 1 else " - 2 j" if p == 1 else " -" if p == 0 else ""
    condition = (
        f"sum_j (j^{q} alpha_j{beside} beta_j)"
        if p > 0
        else ("sum_j (j alpha_j - beta_j)" if p == 0 else "sum_j alpha_j")
    )
    said = f"order {max(p, 0)}" + (
        f", not {claim}" if short else f", more than the claimed {claim}" if claim is not None and p > claim else ""
    )
    said += f"; {condition} = 0 is missed by {residual_text(residual * math.factorial(max(q, 0)))}"
    verdict = FAILS if short or p < 1 else HOLDS if claim is not None else NOTE
    return Finding("order", verdict, said, (condition,), (float(middle(residual)),))


def _roots(roots: tuple[tuple[complex, int], ...], stable: bool) -> Finding:
    outside = [(r, n) for r, n in roots if abs(r) > 1 + 1e-9 or (n > 1 and abs(r) > 1 - 1e-9)]
    if stable:
        others = [abs(r) for r, n in roots if abs(r - 1) > 1e-9]
        said = "the principal root is alone" if not others else f"the largest root beside 1 has size {max(others):.6g}"
        return Finding("zero-stability", HOLDS, f"the root condition holds; {said}")
    said = sentence(f"{_complex(r)} is a root of rho" + (f", {n} times" if n > 1 else "") for r, n in outside)
    return Finding(
        "zero-stability", FAILS, said, tuple(_complex(r) for r, _ in outside), tuple(abs(r) - 1 for r, _ in outside)
    )


def _complex(r: complex) -> str:
    return f"{r.real:.6g}" if abs(r.imag) < 1e-12 else f"{r.real:.6g}{r.imag:+.6g}i"


def _constant(table: Multistep) -> Finding:
    try:
        return Finding("error constant", NOTE, f"C = {shown(error_constant(table))}")
    except ZeroDivisionError:
        return Finding("error constant", NOTE, "none: sum_j beta_j = 0")


def slips(table: Multistep, claim: int | None, found: int) -> list[Slip]:
    """Single entries whose change restores the claim, or the best that one entry can do; zero-stable ones first."""
    p = order(table)[0]
    if claim is not None and claim > p:
        made = list(_search(table, claim))
        if made:
            return _best(made)
    if claim is not None and p >= claim:
        return []
    made = _best(list(_search(table, p + 1)))
    # any method may gain an order by a change of one entry, a mended one gains more
    return [slip for slip in made if p < 1 or slip.order >= p + 2]


def _best(made: list[tuple[Slip, bool]]) -> list[Slip]:
    top = max(((slip.order, stable) for slip, stable in made), default=None)
    return [slip for slip, stable in made if (slip.order, stable) == top]


def _search(table: Multistep, target: int) -> Iterator[tuple[Slip, bool]]:
    for side in ("alpha", "beta"):
        entries = getattr(table, side)
        for j, given in enumerate(entries):
            # what makes a method explicit is no entry
            if side == "beta" and j == len(entries) - 1 and table.explicit:
                continue

            def residuals(x: Any, side: str = side, j: int = j) -> Iterator[Any]:
                both = {"alpha": table.alpha, "beta": table.beta}
                both[side] = (*both[side][:j], x, *both[side][j + 1 :])
                return islice(multistep_residuals(both["alpha"], both["beta"]), target + 1)

            for root in solve(Unknown(f"{side}_{j}", given, residuals)):
                value, written = proposal(root)
                if vanishes(value - given) or (side == "alpha" and j == len(entries) - 1 and vanishes(value)):
                    continue
                mended = replace(table, **{side: (*entries[:j], value, *entries[j + 1 :])})
                slip = Slip(f"{side}_{j}", shown(given), written, order(mended)[0], value=value)
                yield slip, root_condition(mended.alpha)[1]
