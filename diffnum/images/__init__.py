"""Images: data, networks that denoise them, their training, and pictures drawn from them."""

from .checkpoints import halved, read, restore, write
from .data import Dataset, load, to_images
from .hub import from_hub
from .judging import Denoising, denoising
from .many import Drawn, Many
from .networks import DiT, UNet, build, count, preconditioned, target_pair
from .pretrained import available, card, digits, pretrained
from .samples import draw, sheet
from .sets import PHOTOGRAPHS, dequantised, divided, patches, resized
from .training import Training, held_out_loss, load_network, train

__all__ = [
    "PHOTOGRAPHS",
    "Dataset",
    "Denoising",
    "DiT",
    "Drawn",
    "Many",
    "Training",
    "UNet",
    "available",
    "build",
    "card",
    "count",
    "denoising",
    "dequantised",
    "digits",
    "divided",
    "draw",
    "from_hub",
    "halved",
    "held_out_loss",
    "load",
    "load_network",
    "patches",
    "preconditioned",
    "pretrained",
    "read",
    "resized",
    "restore",
    "sheet",
    "target_pair",
    "to_images",
    "train",
    "write",
]
