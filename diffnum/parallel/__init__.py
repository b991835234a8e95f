"""A sampler's steps side by side: its plan as a triangular system, solved by iterations whose rounds are batches."""

from .batching import PerSample, Sharded, sharded, together
from .picard import Iterated, gauss_seidel, paradigms, picard
from .scales import ancestral, marginal

__all__ = [
    "Iterated",
    "PerSample",
    "Sharded",
    "ancestral",
    "gauss_seidel",
    "marginal",
    "paradigms",
    "picard",
    "sharded",
    "together",
]
