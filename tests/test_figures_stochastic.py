"""Curves against noise: what is drawn is what was given, and the ring sits on the least of it."""

import numpy as np

from diffnum import figures
from diffnum.figures.stochastic import against_noise


def test_each_curve_is_drawn_with_a_ring_at_its_least_value():
    rates = np.array([0.0, 0.5, 1.0, 2.0])
    errors = {"few steps": [1.0, 2.0, 3.0, 4.0], "many steps": [2.0, np.nan, 0.5, 0.7], "none": [np.nan] * 4}
    with figures.style():
        _, axes = figures.panels()
        ax = axes[0, 0]
        against_noise(ax, rates, errors)
    curves = [line for line in ax.lines if len(line.get_xdata()) == 4]
    rings = [line for line in ax.lines if len(line.get_xdata()) == 1]
    for curve, error in zip(curves, errors.values(), strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), error)
    assert [(ring.get_xdata()[0], ring.get_ydata()[0]) for ring in rings] == [(0.0, 1.0), (1.0, 0.5)]
    assert {text.get_text() for text in ax.texts} == {"few steps", "many steps"}
