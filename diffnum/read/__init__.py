"""Readings of a plan: one loop, :func:`diffnum.plan.interpret`, over different kinds of number."""
