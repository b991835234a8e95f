"""Data distributions whose denoiser, score, density and probability-flow map are exact."""

from .gaussian import Gaussian

__all__ = ["Gaussian"]
