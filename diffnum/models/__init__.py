"""Networks as models of ``dn.sample``: adapters from what a checkpoint predicts, and is told, to plans; guidance,
thresholding and steering of models."""

from .convention import Convention, betas, completed, convention
from .guidance import Batched, Guidance, Pair, ZeroStart, autoguidance, cfgpp, classifier_free
from .guidance_rules import Banded, Linear, Optimised, Projected, Rescaled
from .momentum import sample_with_momentum
from .network import Network, from_diffusers
from .renoised import sample_cfgpp
from .rounding import Rounding, rounded, rounding, rounding_error
from .steering import (
    ClassifierGuided,
    RewardGuided,
    by_autograd,
    exact_gradient,
    flowchef,
    gradient_cosine,
    misfit,
)
from .thresholding import DynamicThreshold, StaticThreshold, Thresholded

__all__ = [
    "Banded",
    "Batched",
    "ClassifierGuided",
    "Convention",
    "DynamicThreshold",
    "Guidance",
    "Linear",
    "Network",
    "Optimised",
    "Pair",
    "Projected",
    "Rescaled",
    "RewardGuided",
    "Rounding",
    "StaticThreshold",
    "Thresholded",
    "ZeroStart",
    "autoguidance",
    "betas",
    "by_autograd",
    "cfgpp",
    "classifier_free",
    "completed",
    "convention",
    "exact_gradient",
    "flowchef",
    "from_diffusers",
    "gradient_cosine",
    "misfit",
    "rounded",
    "rounding",
    "rounding_error",
    "sample_cfgpp",
    "sample_with_momentum",
]
