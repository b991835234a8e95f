"""Rounding beside a method's own error: what is drawn is what was given, and the ring sits where one overtakes."""

import numpy as np
import pytest

from diffnum import figures
from diffnum.figures.rounding import overtaken, rounding_floor

NS = [10, 20, 40, 80]
OWN = {"crosses": [1e-1, 1e-2, 1e-3, 1e-4], "stays below": [1e-1, 5e-2, 2e-2, 1e-2], "unknown": [np.nan] * 4}
ADDED = {"crosses": [1e-4, 1e-3, 1e-2, 1e-1], "stays below": [1e-6] * 4, "unknown": [1e-3, 0.0, 1e-3, 1e-3]}


def test_rounding_overtakes_where_it_is_first_the_larger_part():
    assert {name: overtaken(NS, OWN[name], ADDED[name]) for name in OWN} == {
        "crosses": 40.0,
        "stays below": None,
        "unknown": None,
    }


def test_both_errors_are_drawn_and_one_ring_where_rounding_overtakes():
    with figures.style():
        _, axes = figures.panels()
        ax = axes[0, 0]
        rounding_floor(ax, NS, OWN, ADDED)
    curves = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 4]
    given = [y for name in OWN for y in (OWN[name], np.where(np.array(ADDED[name]) > 0, ADDED[name], np.nan))]
    assert len(curves) == len(given)
    for curve, wanted in zip(curves, given, strict=True):
        np.testing.assert_array_equal(curve, wanted)
    rings = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
    assert rings == [(40.0, 1e-2)]
    assert {text.get_text() for text in ax.texts} == set(OWN)


def test_a_name_without_its_other_error_is_refused():
    with figures.style():
        _, axes = figures.panels()
        with pytest.raises(ValueError, match=r"\[alone\] are in one only"):
            rounding_floor(axes[0, 0], NS, OWN, {**ADDED, "alone": [1.0] * 4})
