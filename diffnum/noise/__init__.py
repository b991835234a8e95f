"""Noise that belongs to an interval and a sample, not to a call: :class:`Counter` draws it independently for every
interval, :class:`Brownian` from one path that every grid sees the same."""

from .brownian import Brownian
from .counter import Counter, box_muller, philox
from .source import Source, as_source

__all__ = ["Brownian", "Counter", "Source", "as_source", "box_muller", "philox"]
