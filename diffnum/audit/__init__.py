"""Every sampler of a library, with every setting, examined and measured."""

from .checking import audited
from .findings import Defect, Order, Record
from .runner import audit, chosen, version_of
from .subjects import Case, Sampler, cases, library_of, samplers

__all__ = [
    "Case",
    "Defect",
    "Order",
    "Record",
    "Sampler",
    "audit",
    "audited",
    "cases",
    "chosen",
    "library_of",
    "samplers",
    "version_of",
]
