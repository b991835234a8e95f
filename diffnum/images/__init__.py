"""Images: data, and what is made from it."""

from .data import Dataset, load, to_images

__all__ = ["Dataset", "load", "to_images"]
