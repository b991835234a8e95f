"""Processes between two images as changes of variable of processes between an image and noise."""

from .centred import Centred

__all__ = ["Centred"]
