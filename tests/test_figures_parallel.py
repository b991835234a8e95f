"""Figures of iterations in parallel show what they were given."""

from __future__ import annotations

import numpy as np
import pytest

from diffnum import figures
from diffnum.figures.parallel import errors_by_round, residual_map


def axes():
    return figures.panels()[1][0, 0]


def test_the_map_shows_the_changes_of_each_window_and_tints_what_is_final():
    nan = np.nan
    history = np.array([[0.0, 0.5, 0.2, nan], [nan, 0.0, 1e-9, 0.3], [nan, nan, nan, 0.0]])
    with figures.style():
        ax = axes()
        residual_map(ax, history)
    tint, mesh = (np.ma.filled(m.get_array(), nan).reshape(3, 4) for m in ax.collections[:2])
    assert np.array_equal(np.isfinite(tint), [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])
    # the smallest is raised to the lightest shade
    assert np.allclose(mesh, [[nan, 0.5, 0.2, nan], [nan, nan, 1e-6, 0.3], [nan] * 4], equal_nan=True)
    # the edge of the window, one evaluation further every time the first is final
    assert list(ax.lines[0].get_xdata()) == [1, 1, 2, 2, 4, 4]


def test_a_map_without_changes_is_refused():
    with figures.style(), pytest.raises(ValueError, match="shows no change"):
        residual_map(axes(), np.zeros((2, 3)))


def test_errors_are_marks_over_what_was_predicted():
    measured, predicted = np.array([1.0, 0.4, 0.1, 0.0]), np.array([1.0, 0.41, 0.11, 0.01])
    with figures.style():
        ax = axes()
        errors_by_round(ax, {"ddim": measured}, {"ddim": predicted}, {"ddim": 10 * predicted}, tol=0.05)
    line, marks, bound = ax.lines[:3]
    assert np.array_equal(line.get_ydata(), predicted) and np.array_equal(bound.get_ydata(), 10 * predicted)
    assert np.array_equal(marks.get_ydata()[:3], measured[:3]) and np.isnan(marks.get_ydata()[3])
    texts = {text.get_text() for text in ax.texts}
    assert {"ddim", "tolerance", "marks: measured · line: predicted · dots: bound"} <= texts


def test_errors_of_zero_are_refused():
    with figures.style(), pytest.raises(ValueError, match="has an error above zero"):
        errors_by_round(axes(), {"ddim": [0.0, 0.0]})
