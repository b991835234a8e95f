"""Data distributions whose denoiser, score, density and probability-flow map are exact."""

from .conditional import Conditional
from .empirical import Empirical
from .gaussian import Gaussian
from .guided_gaussian import GuidedGaussian
from .laws import Atoms1D, Laplace1D, Mixture1D, Uniform1D
from .mistaken import Mistaken
from .mixture import Mixture
from .product import Product1D

__all__ = [
    "Atoms1D",
    "Conditional",
    "Empirical",
    "Gaussian",
    "GuidedGaussian",
    "Laplace1D",
    "Mistaken",
    "Mixture",
    "Mixture1D",
    "Product1D",
    "Uniform1D",
]
