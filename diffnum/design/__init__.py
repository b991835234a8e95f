"""Grids and coefficients optimised on a surrogate of the data, whose denoiser is exact: no network is called."""

from __future__ import annotations

from . import learned
from .trajectories import Trajectories

__all__ = ["Trajectories", "learned"]
