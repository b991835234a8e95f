"""Inversion of samplers that cannot be undone exactly, by walking back, by fixed points and by noise maps; editing."""

from .editing import Edited, edit
from .fixed import Solved, contraction, fixed_point, renoise
from .maps import NoiseMaps, forward_path, independent_path, noise_maps, shift, variance
from .walked import RoundTrip, backwards, round_trip, round_trip_error

__all__ = [
    "Edited",
    "NoiseMaps",
    "RoundTrip",
    "Solved",
    "backwards",
    "contraction",
    "edit",
    "fixed_point",
    "forward_path",
    "independent_path",
    "noise_maps",
    "renoise",
    "round_trip",
    "round_trip_error",
    "shift",
    "variance",
]
