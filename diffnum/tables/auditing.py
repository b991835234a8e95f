"""The audit of a table: every check of its kind, a single slip where one explains what fails, and who it is."""

from __future__ import annotations

from . import exponential, multistep, runge_kutta, runge_kutta_slips
from .known import known
from .records import Exponential, RungeKutta, TableRecord
from .report import Audit

__all__ = ["audit"]


def audit(table: TableRecord, claim: int | None = None) -> Audit:
    """Check a table against what a method of its kind must satisfy, and against what it claims.

    Runge-Kutta: shape, row sums, weights, order by rooted trees (for ``y' = f(t, y)`` with the nodes as they are given,
    and for ``y' = f(y)``), stage order, embedded weights, stability. Exponential: ``psi_1``, classical and stiff order.
    Multistep: consistency, order, root condition, error constant, stability.

    Args:
        table: :class:`RungeKutta`, :class:`Exponential` or :class:`Multistep`.
        claim: the order that it should have; by default the table's own, if it has one. Of an exponential table the
            classical order.

    Raises:
        ValueError: a claim that is no order.
    """
    if claim is not None and (isinstance(claim, bool) or not isinstance(claim, int) or claim < 1):
        raise ValueError(f"the claimed order is {claim!r}: give a whole number from 1 on")
    claimed = table.order if claim is None else claim
    if isinstance(table, RungeKutta):
        order, findings = runge_kutta.check(table, claimed)
        slips, kind = runge_kutta_slips.slips(table, claimed, order), runge_kutta.kind(table)
    elif isinstance(table, Exponential):
        order, findings = exponential.check(table, claimed)
        slips, kind = exponential.slips(table, claimed, order), exponential.kind(table)
    else:
        order, findings = multistep.check(table, claimed)
        slips, kind = multistep.slips(table, claimed, order), multistep.kind(table)
    return Audit(table.name, kind, claimed, order, tuple(findings), tuple(slips), known(table))
