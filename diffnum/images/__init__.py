"""Images: data, networks that denoise them, their training, and pictures drawn from them."""

from .checkpoints import halved, read, restore, write
from .copying import Copying, copying
from .coverage import Coverage, coverage, expected_coverage
from .data import Dataset, load, to_images
from .distances import Distance, frechet_distance, gaussian_distance, kernel_distance
from .features import Features, extractor, features
from .hub import from_hub
from .judging import Denoising, denoising
from .jump import Jumped, class_gaussians, jump, jumped, saved
from .many import Drawn, Many
from .networks import DiT, UNet, build, count, preconditioned, target_pair
from .pretrained import available, card, digits, photographs, pretrained
from .samples import draw, sheet
from .score_error import ScoreError, score_error
from .sets import PHOTOGRAPHS, dequantised, divided, patches, resized
from .training import Training, held_out_loss, load_network, train
from .trajectory import Apart, Converged, apart, converged

__all__ = [
    "PHOTOGRAPHS",
    "Apart",
    "Converged",
    "Copying",
    "Coverage",
    "Dataset",
    "Denoising",
    "DiT",
    "Distance",
    "Drawn",
    "Features",
    "Jumped",
    "Many",
    "ScoreError",
    "Training",
    "UNet",
    "apart",
    "available",
    "build",
    "card",
    "class_gaussians",
    "converged",
    "copying",
    "count",
    "coverage",
    "denoising",
    "dequantised",
    "digits",
    "divided",
    "draw",
    "expected_coverage",
    "extractor",
    "features",
    "frechet_distance",
    "from_hub",
    "gaussian_distance",
    "halved",
    "held_out_loss",
    "jump",
    "jumped",
    "kernel_distance",
    "load",
    "load_network",
    "patches",
    "photographs",
    "preconditioned",
    "pretrained",
    "read",
    "resized",
    "restore",
    "saved",
    "score_error",
    "sheet",
    "target_pair",
    "to_images",
    "train",
    "write",
]
