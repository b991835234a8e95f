"""Gradients of a loss of a sampler's output: in its start, in a condition and in the model's parameters.

Four methods, called alike: ``backprop`` keeps torch's graph of the whole run; ``checkpointed`` stores few states and
repeats what lies between; ``reversal`` stores none, because a reversible sampler gives them back; all three are the
gradient of the run, to rounding. ``adjoint`` integrates the adjoint ODE, and has the error of a sampler.
"""

from .adjoint import Backwards, adjoint, backwards, scale
from .backprop import backprop, checkpointed
from .comparing import Comparison, Row, compare
from .memory import peak_bytes
from .problem import Gradient
from .reversal import reversal

__all__ = [
    "Backwards",
    "Comparison",
    "Gradient",
    "Row",
    "adjoint",
    "backprop",
    "backwards",
    "checkpointed",
    "compare",
    "peak_bytes",
    "reversal",
    "scale",
]
