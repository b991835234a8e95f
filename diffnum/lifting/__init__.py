"""Other people's samplers on unit vectors: their plans, and what is wrong with them."""

from .examination import Lifted, examine, lift
from .findings import NOTES, Finding
from .nearest import Difference, Near, nearest

__all__ = ["NOTES", "Difference", "Finding", "Lifted", "Near", "examine", "lift", "nearest"]
