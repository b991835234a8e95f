"""Likelihoods: of the exact flow, by the divergence along any sampler's steps, and of a sampler's own law.

``log_prob`` integrates the instantaneous change of variables by a compiled plan from data to noise, with that plan's
order; ``by_adaptive_steps`` by scipy. ``pushed`` is the density of what a sampler returns, by the determinant of its
map, and ``of_outputs`` that at given points, for samplers that can be undone.
"""

from .determinant import Pushed, of_outputs, pushed
from .divergence import Divergence, Gaussian, Rademacher, exact, jacobian
from .flow import LogProb, bits_per_dim, by_adaptive_steps, log_prob, normal

__all__ = [
    "Divergence",
    "Gaussian",
    "LogProb",
    "Pushed",
    "Rademacher",
    "bits_per_dim",
    "by_adaptive_steps",
    "exact",
    "jacobian",
    "log_prob",
    "normal",
    "of_outputs",
    "pushed",
]
