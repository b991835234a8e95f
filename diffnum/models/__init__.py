"""Networks as models of ``dn.sample``: adapters from what a checkpoint predicts, and is told, to plans."""

from .convention import Convention, betas, completed, convention
from .network import Network, from_diffusers
from .rounding import Rounding, rounded, rounding, rounding_error

__all__ = [
    "Convention",
    "Network",
    "Rounding",
    "betas",
    "completed",
    "convention",
    "from_diffusers",
    "rounded",
    "rounding",
    "rounding_error",
]
