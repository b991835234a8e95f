"""Inversion of samplers that cannot be undone exactly: backwards, by fixed points, noise maps and control; editing."""

from .controlled import rf_edit, rf_invert
from .editing import Edited, edit
from .fixed import Solved, contraction, fixed_point, renoise
from .map_variances import map_variances
from .maps import NoiseMaps, forward_path, forward_variance, independent_path, noise_maps, shift, variance
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
    "forward_variance",
    "independent_path",
    "map_variances",
    "noise_maps",
    "renoise",
    "rf_edit",
    "rf_invert",
    "round_trip",
    "round_trip_error",
    "shift",
    "variance",
]
