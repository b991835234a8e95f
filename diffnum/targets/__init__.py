"""Data distributions whose denoiser, score, density and probability-flow map are exact."""

from .gaussian import Gaussian
from .laws import Atoms1D, Laplace1D, Mixture1D, Uniform1D
from .product import Product1D

__all__ = ["Atoms1D", "Gaussian", "Laplace1D", "Mixture1D", "Product1D", "Uniform1D"]
